/* One instance of a method: everything it needs follows from the method's declare() and scratch(). All memory of a module is in a handful of
   blocks (values, gradients, buffers, look-up tables, the method's state), so a refused allocation undoes the whole creation. */
#include "peft/methods.h"

#include <stdio.h>
#include <string.h>

/* ---- look-up of (layer, site, slot) in O(1) ----------------------------------------------------------------- */

enum { INDEX_LAYERS, INDEX_SITES, INDEX_SLOTS, INDEX_TABLE };

/* A table from (layer + 1, site + 1, slot) to the position in the layout, behind its three extents. */
static int32_t *make_index(pl_memory *memory, const pl_layout *layout) {
    int32_t layers = 1, sites = 1, slots = 1;
    for (int32_t i = 0; i < layout->count; i++) {
        const pl_tensor *t = &layout->tensors[i];
        layers = t->layer + 2 > layers ? t->layer + 2 : layers;
        sites = t->site + 2 > sites ? t->site + 2 : sites;
        slots = t->slot + 1 > slots ? t->slot + 1 : slots;
    }
    size_t size = (size_t)layers * (size_t)sites * (size_t)slots;
    int32_t *index = pl_memory_alloc(memory, size + INDEX_TABLE, sizeof *index);
    if (!index)
        return NULL;
    index[INDEX_LAYERS] = layers;
    index[INDEX_SITES] = sites;
    index[INDEX_SLOTS] = slots;
    for (size_t i = 0; i < size; i++)
        index[INDEX_TABLE + i] = PL_NONE;
    for (int32_t i = 0; i < layout->count; i++) {
        const pl_tensor *t = &layout->tensors[i];
        index[INDEX_TABLE + ((t->layer + 1) * sites + t->site + 1) * slots + t->slot] = i;
    }
    return index;
}

static const pl_tensor *look_up(const int32_t *index, const pl_layout *layout, int32_t layer, int32_t site,
                                int32_t slot) {
    if (!index || layer + 1 < 0 || layer + 1 >= index[INDEX_LAYERS] || site + 1 < 0 ||
        site + 1 >= index[INDEX_SITES] || slot < 0 || slot >= index[INDEX_SLOTS])
        return NULL;
    int32_t i =
        index[INDEX_TABLE + ((layer + 1) * index[INDEX_SITES] + site + 1) * index[INDEX_SLOTS] + slot];
    return i == PL_NONE ? NULL : &layout->tensors[i];
}

const pl_tensor *pl_module_shape(const pl_module *module, int32_t layer, int32_t site, int32_t slot) {
    return look_up(module->index, &module->layout, layer, site, slot);
}

real *pl_module_values(const pl_module *module, int32_t layer, int32_t site, int32_t slot) {
    const pl_tensor *tensor = pl_module_shape(module, layer, site, slot);
    return tensor ? module->values + tensor->offset : NULL;
}

real *pl_module_gradients(const pl_module *module, int32_t layer, int32_t site, int32_t slot) {
    const pl_tensor *tensor = module->gradients ? pl_module_shape(module, layer, site, slot) : NULL;
    return tensor ? module->gradients + tensor->offset : NULL;
}

real *pl_module_buffer(const pl_module *module, int32_t layer, int32_t site, int32_t slot) {
    const pl_tensor *tensor = look_up(module->scratch_index, &module->scratch, layer, site, slot);
    return tensor ? module->buffers + tensor->offset : NULL;
}

/* ---- creation -------------------------------------------------------------------------------------------------- */

static pl_status no_memory(const char *name, const char *what, int64_t bytes, pl_error *error) {
    return pl_fail(error, PL_ERR_MEMORY, "module '%s': no memory left for its %s (%lld bytes)", name, what,
                   (long long)bytes);
}

static int64_t bytes_of(const pl_layout *layout) { return layout->extent * (int64_t)sizeof(real); }

/* FNV-1a: the dropout masks of a module depend on its name, not on when it was added. */
static uint64_t tag_of(const char *name) {
    uint64_t hash = 0xCBF29CE484222325ULL;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001B3ULL;
    return hash;
}

/* Gives the module its own copies of the option texts, in one block. */
static pl_status copy_texts(pl_module *module, pl_error *error) {
    size_t size = 0, used = 0;
    pl_options *options = &module->options;
    for (int32_t i = 0; i < PL_OPTIONS_MAX; i++)
        size += options->text[i] ? strlen(options->text[i]) + 1 : 0;
    module->texts = pl_memory_alloc(module->memory, size, 1);
    if (!module->texts)
        return no_memory(module->name, "texts", (int64_t)size, error);
    for (int32_t i = 0; i < PL_OPTIONS_MAX; i++) {
        if (!options->text[i])
            continue;
        size_t length = strlen(options->text[i]) + 1;
        memcpy(module->texts + used, options->text[i], length);
        options->text[i] = module->texts + used;
        used += length;
    }
    return PL_OK;
}

static pl_status place_tensors(pl_module *module, pl_error *error) {
    module->layout = pl_layout_make(module->memory, error);
    PL_TRY(module->method->declare(&module->options, &module->config, &module->layout));
    PL_TRY(module->layout.status);
    module->layout.error = NULL; /* the caller's error does not outlive this call */
    module->values = pl_memory_alloc(module->memory, (uint64_t)module->layout.extent, sizeof(real));
    module->index = make_index(module->memory, &module->layout);
    if (!module->values || !module->index)
        return no_memory(module->name, "values", bytes_of(&module->layout), error);
    return PL_OK;
}

static pl_status build(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    PL_TRY(copy_texts(module, error));
    PL_TRY(place_tensors(module, error));
    pl_layout_fill(&module->layout, seed, module->values);
    if (module->method->start)
        PL_TRY(module->method->start(module, model, seed, error));
    module->options.init_tokens = NULL;
    module->options.init_token_count = 0;
    return PL_OK;
}

pl_status pl_module_create(pl_memory *memory, pl_model *model, const pl_options *options, const char *name,
                           uint64_t seed, pl_module **module, pl_error *error) {
    *module = NULL;
    if (name[0] == '\0' || strlen(name) >= sizeof(*module)->name)
        return pl_fail(error, PL_ERR_ARGUMENT, "a module's name must have 1..%d characters, not %d",
                       (int)sizeof(*module)->name - 1, (int)strlen(name));
    PL_TRY(pl_options_check(options, &model->config, error));
    pl_module *made = pl_memory_alloc(memory, 1, sizeof *made);
    if (!made)
        return no_memory(name, "description", (int64_t)sizeof *made, error);
    made->method = options->method;
    made->memory = memory;
    made->options = *options;
    made->config = model->config;
    made->weight = 1;
    made->tag = tag_of(name);
    (void)snprintf(made->name, sizeof made->name, "%s", name);
    pl_status status = build(made, model, seed, error);
    if (status != PL_OK) {
        pl_module_free(made);
        return status;
    }
    *module = made;
    return PL_OK;
}

static void free_buffers(pl_module *module) {
    pl_memory_free(module->memory, module->buffers);
    pl_memory_free(module->memory, module->scratch_index);
    pl_layout_free(&module->scratch);
    module->buffers = NULL;
    module->scratch_index = NULL;
}

void pl_module_free(pl_module *module) {
    if (!module)
        return;
    pl_memory *memory = module->memory;
    free_buffers(module);
    pl_layout_free(&module->layout);
    pl_memory_free(memory, module->state);
    pl_memory_free(memory, module->index);
    pl_memory_free(memory, module->gradients);
    pl_memory_free(memory, module->values);
    pl_memory_free(memory, module->texts);
    pl_memory_free(memory, module);
}

pl_status pl_module_trainable(pl_module *module, bool trainable, pl_error *error) {
    if (trainable && !module->gradients) {
        module->gradients = pl_memory_alloc(module->memory, (uint64_t)module->layout.extent, sizeof(real));
        if (!module->gradients)
            return no_memory(module->name, "gradients", bytes_of(&module->layout), error);
    } else if (!trainable) {
        pl_memory_free(module->memory, module->gradients);
        module->gradients = NULL;
    }
    return PL_OK;
}

/* ---- buffers ----------------------------------------------------------------------------------------------------- */

static pl_extent larger(const pl_extent *a, const pl_extent *b) {
    return (pl_extent){.rows = a->rows > b->rows ? a->rows : b->rows,
                       .seqs = a->seqs > b->seqs ? a->seqs : b->seqs,
                       .labels = a->labels > b->labels ? a->labels : b->labels,
                       .training = a->training || b->training};
}

/* The new buffers replace the old ones only once all of them are there. */
pl_status pl_module_plan(pl_module *module, const pl_extent *extent, pl_error *error) {
    pl_extent wanted = larger(&module->extent, extent);
    bool same = wanted.rows == module->extent.rows && wanted.seqs == module->extent.seqs &&
                wanted.labels == module->extent.labels && wanted.training == module->extent.training;
    if (same || !module->method->scratch) {
        module->extent = wanted;
        return PL_OK;
    }
    pl_layout layout = pl_layout_make(module->memory, error);
    pl_status status = module->method->scratch(&module->options, &module->config, &wanted, &layout);
    status = status == PL_OK ? layout.status : status;
    layout.error = NULL;
    real *buffers =
        status == PL_OK ? pl_memory_alloc(module->memory, (uint64_t)layout.extent, sizeof(real)) : NULL;
    int32_t *index = buffers ? make_index(module->memory, &layout) : NULL;
    if (!index) {
        if (status == PL_OK)
            status = no_memory(module->name, "activations", bytes_of(&layout), error);
        pl_memory_free(module->memory, buffers);
        pl_layout_free(&layout);
        return status;
    }
    free_buffers(module);
    module->scratch = layout;
    module->buffers = buffers;
    module->scratch_index = index;
    module->extent = wanted;
    return PL_OK;
}

/* ---- tensors that stand in for base tensors ------------------------------------------------------------------------ */

bool pl_module_replaces(const pl_module *module) {
    for (int32_t i = 0; i < module->layout.count; i++)
        if (module->layout.tensors[i].replaces)
            return true;
    return false;
}

/* Index of the base tensor that tensor i of the module replaces, or PL_NONE. */
static int32_t base_of(const pl_model *model, const pl_module *module, int32_t i) {
    const pl_tensor *tensor = &module->layout.tensors[i];
    return tensor->replaces ? pl_layout_find(&model->layout, tensor->name) : PL_NONE;
}

pl_status pl_module_copy_base(pl_module *module, const pl_model *model, pl_error *error) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        int32_t base = base_of(model, module, i);
        if (tensor->replaces && base == PL_NONE)
            return pl_fail(error, PL_ERR_MISMATCH, "module '%s': this model has no tensor %s", module->name,
                           tensor->name);
        if (base != PL_NONE)
            memcpy(module->values + tensor->offset, pl_model_tensor(model, base),
                   (size_t)(tensor->rows * tensor->cols) * sizeof(real));
    }
    return PL_OK;
}

/* Is the base tensor lent by somebody else than this module? */
static bool taken(const pl_model *model, int32_t base, const real *mine) {
    const real *now = pl_model_tensor(model, base);
    return now != model->values + model->layout.tensors[base].offset && now != mine;
}

pl_status pl_module_attach(pl_model *model, pl_module *module, pl_error *error) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        int32_t base = base_of(model, module, i);
        if (tensor->replaces && base == PL_NONE)
            return pl_fail(error, PL_ERR_MISMATCH, "module '%s': this model has no tensor %s", module->name,
                           tensor->name);
        if (base != PL_NONE && taken(model, base, module->values + tensor->offset))
            return pl_fail(error, PL_ERR_STATE,
                           "module '%s': another active module already replaces %s; deactivate it first",
                           module->name, tensor->name);
    }
    for (int32_t i = 0; i < module->layout.count; i++) {
        int32_t base = base_of(model, module, i);
        int64_t offset = module->layout.tensors[i].offset;
        if (base != PL_NONE)
            pl_model_redirect(model, base, module->values + offset,
                              module->gradients ? module->gradients + offset : NULL);
    }
    pl_module_refresh(model, module);
    return PL_OK;
}

void pl_module_refresh(pl_model *model, const pl_module *module) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        int32_t base = base_of(model, module, i);
        if (base != PL_NONE &&
            pl_model_tensor(model, base) == module->values + module->layout.tensors[i].offset)
            pl_model_repack(model, base);
    }
}

void pl_module_detach(pl_model *model, const pl_module *module) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        int32_t base = base_of(model, module, i);
        if (base == PL_NONE ||
            pl_model_tensor(model, base) != module->values + module->layout.tensors[i].offset)
            continue;
        pl_model_redirect(model, base, NULL, NULL);
        pl_model_repack(model, base);
    }
}
