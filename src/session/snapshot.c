/* A snapshot is an ordinary safetensors file: every module's values, the optimiser's moments, and a JSON header (under
 * __metadata__) that says how to build them again. Floats are written as they are, so a resumed run continues bit for bit. */
#include <stdio.h>
#include <string.h>

#include "session/internal.h"

static const char *const FORMAT = "peftlab-snapshot-1";

static uint64_t hash_reals(uint64_t hash, const real *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t word = 0;
        float value = (float)values[i];
        memcpy(&word, &value, sizeof value);
        hash = pl_rng_mix(hash, word);
    }
    return hash;
}

/* The base model a snapshot belongs to. Merged weights would not be the base's, so snapshots are refused while anything is merged. */
static uint64_t model_fingerprint(const pl_model *model) {
    uint64_t hash = 0;
    for (int32_t i = 0; i < model->layout.count; i++) {
        const pl_tensor *tensor = &model->layout.tensors[i];
        hash = hash_reals(hash, model->values + tensor->offset, tensor->rows * tensor->cols);
    }
    return hash;
}

static void write_hex(pl_text *out, const char *key, uint64_t value) {
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%016llx", (unsigned long long)value);
    pl_write_key_string(out, key, digits);
}

/* {"model":fp,"modules":[…],"run":{…},"data":fp} */
static void write_header(pl_session *s, pl_text *out) {
    pl_write_begin(out, '{');
    write_hex(out, "model", model_fingerprint(s->model));
    pl_write_key(out, "modules");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < s->entry_count; i++) {
        const pl_entry *entry = &s->entries[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "method", entry->module->method->name);
        pl_write_key_string(out, "name", entry->module->name);
        pl_write_key_int(out, "seed", (int64_t)entry->seed);
        pl_write_key_bool(out, "active", entry->active);
        pl_write_key_bool(out, "trainable", entry->trainable);
        pl_write_key_number(out, "weight", (double)entry->module->weight);
        write_hex(out, "tag", entry->module->tag);
        pl_write_key(out, "options");
        session_write_options(out, &entry->module->options, &entry->module->config);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    if (s->trainer) {
        write_hex(out, "data", s->trainer->dataset->fingerprint);
        pl_write_key(out, "run");
        session_write_run(out, s);
    }
    pl_write_end(out, '}');
}

static pl_status write_snapshot(pl_session *s) {
    PL_TRY(session_need_model(s));
    if (s->merged)
        return pl_fail(&s->error, PL_ERR_STATE,
                       "modules are merged into the base: unmerge before taking a snapshot");
    pl_save_tensor list[PL_SESSION_MODULES_MAX + 2];
    char names[PL_SESSION_MODULES_MAX][24];
    int32_t count = 0;
    for (int32_t i = 0; i < s->entry_count; i++) {
        const pl_module *module = s->entries[i].module;
        (void)snprintf(names[i], sizeof names[i], "modules.%d", i);
        list[count++] = (pl_save_tensor){
            .name = names[i], .dims = 1, .shape = {module->layout.extent}, .values = module->values};
    }
    if (s->trainer) {
        const pl_trainer *t = s->trainer;
        list[count++] =
            (pl_save_tensor){.name = "optimizer.first", .dims = 1, .shape = {t->size}, .values = t->first};
        list[count++] =
            (pl_save_tensor){.name = "optimizer.second", .dims = 1, .shape = {t->size}, .values = t->second};
    }
    pl_text header = pl_text_make(&s->memory), metadata = pl_text_make(&s->memory);
    write_header(s, &header);
    pl_write_begin(&metadata, '{');
    pl_write_key_string(&metadata, "format", FORMAT);
    pl_write_key_string(&metadata, "session", header.data);
    pl_write_end(&metadata, '}');
    uint8_t *bytes = NULL;
    size_t size = 0;
    pl_status status = header.failed || metadata.failed
                           ? pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a snapshot")
                           : pl_safetensors_write(&s->memory, list, count, PL_DTYPE_F32, metadata.data,
                                                  &bytes, &size, &s->error);
    pl_text_free(&header);
    pl_text_free(&metadata);
    if (status == PL_OK)
        pl_text_bytes(&s->result, (const char *)bytes, size);
    pl_memory_free(&s->memory, bytes);
    return status;
}

int32_t pl_snapshot(pl_session *s) {
    session_begin(s);
    return session_end(s, write_snapshot(s));
}

/* ---- restoring ---- */

static uint64_t read_hex(const pl_json *object, const char *key) {
    const char *text = pl_json_string(pl_json_get(object, key));
    uint64_t value = 0;
    for (; text && *text; text++)
        value = value * 16 + (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    return value;
}

static pl_status read_block(pl_session *s, const pl_safetensors *file, const char *name, int64_t size,
                            real *values) {
    const pl_file_tensor *tensor = pl_safetensors_find(file, name);
    if (!tensor || tensor->elements != size)
        return pl_fail(&s->error, PL_ERR_FORMAT, "the snapshot's %s is missing or has the wrong size", name);
    return pl_safetensors_read(tensor, "snapshot", values, &s->error);
}

static pl_status build_entry(pl_session *s, const pl_json *node, const pl_safetensors *file, int32_t index,
                             pl_entry *entry) {
    const char *method_name = pl_json_string(pl_json_get(node, "method")),
               *name = pl_json_string(pl_json_get(node, "name"));
    const pl_method *method = method_name ? pl_method_find(method_name) : NULL;
    if (!method || !name || !name[0])
        return pl_fail(&s->error, PL_ERR_FORMAT, "the snapshot's module %d names no method of this version",
                       index);
    PL_TRY(session_check_name(s, name)); /* it becomes a folder's */
    int64_t seed = 1;
    *entry = (pl_entry){.active = true, .trainable = true};
    PL_TRY(pl_json_get_int(node, "snapshot", "seed", false, 0, (int64_t)1 << 53, &seed, &s->error));
    PL_TRY(pl_json_get_bool(node, "snapshot", "active", false, &entry->active, &s->error));
    PL_TRY(pl_json_get_bool(node, "snapshot", "trainable", false, &entry->trainable, &s->error));
    entry->seed = (uint64_t)seed;
    session_options options;
    pl_status status = session_read_options(&s->memory, pl_json_get(node, "options"), method,
                                            &s->model->config, s->tokenizer, &options, &s->error);
    if (status == PL_OK)
        status = pl_module_create(&s->memory, s->model, &options.values, name, entry->seed, &entry->module,
                                  &s->error);
    session_free_options(&options);
    PL_TRY(status);
    char block[24];
    (void)snprintf(block, sizeof block, "modules.%d", index);
    entry->module->tag = read_hex(node, "tag");
    double weight = 1;
    status = pl_json_get_number(node, "snapshot", "weight", false, -100, 100, &weight, &s->error);
    entry->module->weight = (real)weight;
    if (status == PL_OK)
        status = read_block(s, file, block, entry->module->layout.extent, entry->module->values);
    if (status != PL_OK) {
        pl_module_free(entry->module);
        entry->module = NULL;
    }
    return status;
}

typedef struct kept_modules {
    pl_entry entries[PL_SESSION_MODULES_MAX];
    int32_t count;
} kept_modules;

static void free_entries(pl_session *s, kept_modules *kept) {
    for (int32_t i = 0; i < kept->count; i++) {
        pl_module_detach(s->model, kept->entries[i].module);
        pl_module_free(kept->entries[i].module);
    }
    kept->count = 0;
}

static pl_status build_modules(pl_session *s, const pl_json *header, const pl_safetensors *file,
                               kept_modules *made) {
    const pl_json *modules = pl_json_get(header, "modules");
    if (pl_json_size(modules) > PL_SESSION_MODULES_MAX)
        return pl_fail(&s->error, PL_ERR_FORMAT, "the snapshot has %d modules, at most %d fit",
                       pl_json_size(modules), PL_SESSION_MODULES_MAX);
    for (const pl_json *node = pl_json_first(modules); node; node = pl_json_next(node)) {
        PL_TRY(build_entry(s, node, file, made->count, &made->entries[made->count]));
        const char *name = made->entries[made->count++].module->name;
        for (int32_t i = 0; i < made->count - 1; i++) /* a folder each, and dropout masks of its own */
            if (strcmp(made->entries[i].module->name, name) == 0)
                return pl_fail(&s->error, PL_ERR_FORMAT, "the snapshot has two modules of the name \"%s\"",
                               name);
    }
    return PL_OK;
}

/* Swaps the session's modules with another list; detaches what was there, so that the next pass attaches what is needed. */
static void swap_modules(pl_session *s, kept_modules *other) {
    kept_modules before = {.count = s->entry_count};
    session_invalidate(s);
    for (int32_t i = 0; i < s->entry_count; i++) {
        pl_module_detach(s->model, s->entries[i].module);
        before.entries[i] = s->entries[i];
    }
    for (int32_t i = 0; i < other->count; i++)
        s->entries[i] = other->entries[i];
    s->entry_count = other->count;
    *other = before;
}

static pl_status restore_run(pl_session *s, const pl_json *header, const pl_safetensors *file) {
    const pl_json *run = pl_json_get(header, "run");
    if (!run)
        return PL_OK;
    int64_t step = 0;
    PL_TRY(session_begin_run(s, run));
    pl_trainer *t = s->trainer;
    PL_TRY(pl_json_get_int(run, "snapshot", "step", true, 0, t->options.steps, &step, &s->error));
    if (read_hex(header, "data") != t->dataset->fingerprint)
        return pl_fail(
            &s->error, PL_ERR_MISMATCH,
            "the snapshot was taken with other training data; load the same data in the same order");
    PL_TRY(read_block(s, file, "optimizer.first", t->size, t->first));
    PL_TRY(read_block(s, file, "optimizer.second", t->size, t->second));
    for (int64_t i = 0; i < t->size; i++)
        if (t->second[i] < 0)
            return pl_fail(&s->error, PL_ERR_FORMAT,
                           "the snapshot's optimizer.second has a negative number: no square is");
    t->step = (int32_t)step;
    return PL_OK;
}

static pl_status write_restored(pl_session *s) {
    pl_write_begin(&s->result, '{');
    pl_write_key(&s->result, "modules");
    pl_write_begin(&s->result, '[');
    for (int32_t i = 0; i < s->entry_count; i++)
        session_write_entry(s, &s->entries[i]);
    pl_write_end(&s->result, ']');
    pl_write_key(&s->result, "run");
    s->trainer ? session_write_run(&s->result, s) : pl_write_null(&s->result);
    pl_write_end(&s->result, '}');
    return session_answered(s);
}

static pl_status restore_header(pl_session *s, const pl_json *header, const pl_safetensors *file) {
    if (read_hex(header, "model") != model_fingerprint(s->model))
        return pl_fail(&s->error, PL_ERR_MISMATCH,
                       "the snapshot was taken with another base model; load that model first");
    kept_modules made = {0};
    pl_status status = build_modules(s, header, file, &made);
    if (status != PL_OK) {
        free_entries(s, &made);
        return status;
    }
    swap_modules(s, &made); /* made now holds the modules from before */
    const int32_t next_id = s->next_id;
    for (int32_t i = 0; i < s->entry_count; i++)
        s->entries[i].id = s->next_id++;
    status = session_ready(s, 1); /* a file made by hand may switch on what cannot run together */
    if (status == PL_OK)
        status = restore_run(s, header, file);
    if (status == PL_OK)
        status = write_restored(s);
    if (status != PL_OK) {
        session_drop_run(s);
        swap_modules(s, &made);
        s->next_id = next_id;
    }
    free_entries(s, &made);
    return status;
}

static pl_status restore_file(pl_session *s, const pl_safetensors *file) {
    pl_json *metadata = NULL, *header = NULL;
    if (!file->metadata)
        return pl_fail(&s->error, PL_ERR_FORMAT, "this file is no snapshot: it has no __metadata__");
    PL_TRY(pl_json_parse(file->metadata, strlen(file->metadata), "snapshot", &metadata, &s->error));
    const char *format = pl_json_string(pl_json_get(metadata, "format")),
               *text = pl_json_string(pl_json_get(metadata, "session"));
    pl_status status = PL_OK;
    if (!format || !text || strcmp(format, FORMAT) != 0)
        status = pl_fail(&s->error, PL_ERR_FORMAT,
                         "this file is no snapshot of this version (\"%s\" expected)", FORMAT);
    if (status == PL_OK)
        status = pl_json_parse(text, strlen(text), "snapshot", &header, &s->error);
    if (status == PL_OK)
        status = restore_header(s, header, file);
    pl_json_free(header);
    pl_json_free(metadata);
    return status;
}

int32_t pl_restore(pl_session *s, const uint8_t *bytes, int32_t size) {
    pl_safetensors file;
    session_begin(s);
    pl_status status = session_need_model(s);
    if (status == PL_OK)
        status = session_need_idle(s, "restore a snapshot");
    if (status == PL_OK && s->merged)
        status = pl_fail(&s->error, PL_ERR_STATE,
                         "modules are merged into the base: unmerge before restoring a snapshot");
    if (status == PL_OK)
        status = pl_safetensors_open(&s->memory, bytes, (size_t)(size < 0 ? 0 : size), "snapshot", &file,
                                     &s->error);
    if (status == PL_OK) {
        status = restore_file(s, &file);
        pl_safetensors_close(&file);
    }
    return session_end(s, status);
}
