/* Merging: the modules' changes multiplied into the base weights, all or nothing. First every changed tensor is computed beside the model
   and checked to be finite; only then are old and new values exchanged, so the same block afterwards holds the kept base. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "peft/methods.h"

typedef struct change {
    int32_t base; /* index in model->layout */
    int32_t layer;
    int32_t site; /* PL_NONE: not a linear map of a block */
    int64_t offset, size;
} change;

struct pl_merged {
    pl_memory *memory;
    change *changes;
    int32_t count;
    int64_t elements, largest;
    real *kept; /* first the new values, after the commit the old ones */
};

void pl_merged_free(pl_merged *merged) {
    if (!merged)
        return;
    pl_memory_free(merged->memory, merged->kept);
    pl_memory_free(merged->memory, merged->changes);
    pl_memory_free(merged->memory, merged);
}

/* ---- which tensors change ---------------------------------------------------------------------------------------- */

static change *find_change(const pl_merged *merged, int32_t base) {
    for (int32_t i = 0; i < merged->count; i++)
        if (merged->changes[i].base == base)
            return &merged->changes[i];
    return NULL;
}

/* The list has room for every base tensor. */
static change *add_change(pl_merged *merged, const pl_model *model, int32_t base) {
    change *found = find_change(merged, base);
    if (found)
        return found;
    const pl_tensor *tensor = &model->layout.tensors[base];
    change *added = &merged->changes[merged->count++];
    *added = (change){.base = base,
                      .layer = PL_NONE,
                      .site = PL_NONE,
                      .offset = merged->elements,
                      .size = tensor->rows * tensor->cols};
    merged->elements += added->size;
    merged->largest = added->size > merged->largest ? added->size : merged->largest;
    return added;
}

static void list_changes(pl_merged *merged, const pl_model *model, const pl_module *module) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        int32_t base = module->layout.tensors[i].replaces
                           ? pl_layout_find(&model->layout, module->layout.tensors[i].name)
                           : PL_NONE;
        if (base != PL_NONE)
            (void)add_change(merged, model, base);
    }
    for (int32_t layer = 0; module->method->merge && layer < model->config.num_hidden_layers; layer++) {
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            if (!pl_options_targets(&module->options, layer, (pl_site)site))
                continue;
            change *at = add_change(merged, model, pl_model_linear_index(layer, (pl_site)site));
            at->layer = layer;
            at->site = site;
        }
    }
}

static pl_status check_mergeable(const pl_module *module, pl_error *error) {
    const pl_method *method = module->method;
    if (!method->cannot_merge && (method->merge || pl_module_replaces(module)))
        return PL_OK;
    return pl_fail(error, PL_ERR_UNSUPPORTED, "module '%s' (%s) cannot be merged: %s", module->name,
                   method->label, method->cannot_merge ? method->cannot_merge : "it changes no weights");
}

/* ---- the new values ------------------------------------------------------------------------------------------------ */

/* Does the module change this map's input? Such a change acts on everything at the map, wherever the module stands in the stack. */
static bool at_input(const pl_module *module, int32_t site) {
    pl_needs needs = {0};
    if (module->method->needs)
        module->method->needs(&module->options, &module->config, &needs);
    return ((uint32_t)needs.input_sites >> site & 1U) != 0;
}

static bool takes_part(const pl_module *module, const change *at) {
    return at->site != PL_NONE && module->method->merge &&
           pl_options_targets(&module->options, at->layer, (pl_site)at->site);
}

/* Every module's change in stack order, those of inputs last: y = (W + s B A)(l x). */
static pl_status apply(const pl_model *model, const change *at, pl_module *const *modules, int32_t count,
                       real *w, pl_error *error) {
    for (int32_t input = 0; input <= 1; input++)
        for (int32_t i = 0; i < count; i++)
            if (takes_part(modules[i], at) && at_input(modules[i], at->site) == (input == 1))
                PL_TRY(modules[i]->method->merge(modules[i], model, at->layer, (pl_site)at->site, w, error));
    return PL_OK;
}

static void take_away(const pl_model *model, const change *at, pl_module *const *modules, int32_t count,
                      real *w) {
    for (int32_t input = 1; input >= 0; input--)
        for (int32_t i = count - 1; i >= 0; i--)
            if (takes_part(modules[i], at) && modules[i]->method->unmerge &&
                at_input(modules[i], at->site) == (input == 1))
                modules[i]->method->unmerge(modules[i], model, at->layer, (pl_site)at->site, w);
}

/* Base values, then replacing tensors, then the changes on top. */
static pl_status compute(const pl_model *model, const change *at, pl_module *const *modules, int32_t count,
                         real *w, pl_error *error) {
    const pl_tensor *tensor = &model->layout.tensors[at->base];
    memcpy(w, model->values + tensor->offset, (size_t)at->size * sizeof(real));
    for (int32_t i = 0; i < count; i++) {
        const pl_layout *layout = &modules[i]->layout;
        int32_t own = pl_module_replaces(modules[i]) ? pl_layout_find(layout, tensor->name) : PL_NONE;
        if (own != PL_NONE && layout->tensors[own].replaces)
            memcpy(w, modules[i]->values + layout->tensors[own].offset, (size_t)at->size * sizeof(real));
    }
    PL_TRY(apply(model, at, modules, count, w, error));
    if (!pl_all_finite(w, (size_t)at->size))
        return pl_fail(error, PL_ERR_NUMERIC,
                       "merging would make %s contain NaN or infinity; the model was not changed",
                       tensor->name);
    return PL_OK;
}

/* A change of a tensor that another module stands in for would be seen by nobody. */
static pl_status check_seen(const pl_model *model, const change *at, pl_module *const *modules, int32_t count,
                            pl_error *error) {
    const pl_tensor *tensor = &model->layout.tensors[at->base];
    const real *now = pl_model_tensor(model, at->base);
    bool seen = now == model->values + tensor->offset;
    for (int32_t i = 0; i < count && !seen; i++) {
        int32_t own = pl_layout_find(&modules[i]->layout, tensor->name);
        seen = own != PL_NONE && now == modules[i]->values + modules[i]->layout.tensors[own].offset;
    }
    if (seen)
        return PL_OK;
    return pl_fail(error, PL_ERR_STATE,
                   "another active module stands in for %s, so what is merged into it would have no effect; "
                   "merge that module too, or deactivate it first",
                   tensor->name);
}

static pl_status fill(pl_merged *merged, const pl_model *model, pl_module *const *modules, int32_t count,
                      pl_error *error) {
    merged->changes = pl_memory_alloc(merged->memory, (size_t)model->layout.count, sizeof *merged->changes);
    if (!merged->changes)
        return pl_fail(error, PL_ERR_MEMORY, "merging: no memory left for the list of changed tensors");
    for (int32_t i = 0; i < count; i++)
        list_changes(merged, model, modules[i]);
    for (int32_t i = 0; i < merged->count; i++)
        PL_TRY(check_seen(model, &merged->changes[i], modules, count, error));
    merged->kept = pl_memory_alloc(merged->memory, (uint64_t)merged->elements, sizeof(real));
    if (!merged->kept)
        return pl_fail(error, PL_ERR_MEMORY, "merging: no memory left to keep %lld weights for unmerging",
                       (long long)merged->elements);
    for (int32_t i = 0; i < merged->count; i++)
        PL_TRY(compute(model, &merged->changes[i], modules, count, merged->kept + merged->changes[i].offset,
                       error));
    return PL_OK;
}

static void exchange(pl_model *model, pl_merged *merged) {
    for (int32_t i = 0; i < merged->count; i++) {
        const change *at = &merged->changes[i];
        real *own = model->values + model->layout.tensors[at->base].offset,
             *other = merged->kept + at->offset;
        for (int64_t j = 0; j < at->size; j++) {
            real value = own[j];
            own[j] = other[j];
            other[j] = value;
        }
        pl_model_repack(model, at->base);
    }
}

pl_status pl_merge(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                   pl_merged **merged, pl_error *error) {
    *merged = NULL;
    pl_stack stack; /* the same conflicts are refused as for running */
    PL_TRY(pl_stack_build(modules, count, &stack, error));
    for (int32_t i = 0; i < count; i++)
        PL_TRY(check_mergeable(modules[i], error));
    pl_merged *made = pl_memory_alloc(memory, 1, sizeof *made);
    if (!made)
        return pl_fail(error, PL_ERR_MEMORY, "merging: no memory left");
    made->memory = memory;
    /* With replacing tensors still attached: DoRA's norms are those of the running model. */
    pl_stack_prepare(modules, count, model);
    pl_status status = fill(made, model, modules, count, error);
    if (status != PL_OK) {
        pl_merged_free(made);
        return status;
    }
    for (int32_t i = 0; i < count; i++)
        pl_module_detach(model, modules[i]);
    exchange(model, made);
    *merged = made;
    return PL_OK;
}

void pl_merged_swap(pl_model *model, pl_merged *merged) { exchange(model, merged); }

void pl_unmerge(pl_model *model, pl_merged *merged) {
    exchange(model, merged);
    pl_merged_free(merged);
}

/* ---- the lesson about rounding ------------------------------------------------------------------------------------- */

static double largest_difference(const real *a, const real *b, int64_t size) {
    double largest = 0;
    for (int64_t i = 0; i < size; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        largest = difference > largest ? difference : largest;
    }
    return largest;
}

double pl_unmerge_residual(const pl_model *model, const pl_merged *merged, pl_module *const *modules,
                           int32_t count, pl_error *error) {
    real *w = pl_memory_alloc(merged->memory, (uint64_t)merged->largest, sizeof(real));
    double largest = 0;
    if (!w) {
        (void)pl_fail(error, PL_ERR_MEMORY, "no memory left to subtract the merged modules on a copy");
        return -1;
    }
    for (int32_t i = 0; i < merged->count; i++) {
        const change *at = &merged->changes[i];
        bool exact = at->site == PL_NONE; /* replaced only: nothing was added, nothing can be subtracted */
        for (int32_t m = 0; m < count; m++)
            exact =
                exact || pl_layout_find(&modules[m]->layout, model->layout.tensors[at->base].name) != PL_NONE;
        if (exact)
            continue;
        memcpy(w, model->values + model->layout.tensors[at->base].offset, (size_t)at->size * sizeof(real));
        take_away(model, at, modules, count, w);
        double difference = largest_difference(w, merged->kept + at->offset, at->size);
        largest = difference > largest ? difference : largest;
    }
    pl_memory_free(merged->memory, w);
    return largest;
}
