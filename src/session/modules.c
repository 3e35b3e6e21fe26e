/* Fine-tuning modules of a session: add, remove, switch, order, read and write tensors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "session/internal.h"

pl_entry *session_entry(pl_session *s, int32_t id) {
    for (int32_t i = 0; i < s->entry_count; i++)
        if (s->entries[i].id == id)
            return &s->entries[i];
    (void)pl_fail(&s->error, PL_ERR_ARGUMENT, "there is no module with id %d", id);
    return NULL;
}

int32_t session_json_id(const pl_json *node) {
    double id = pl_json_number(node);
    return id >= 1 && id <= INT32_MAX && id == (double)(int32_t)id ? (int32_t)id : 0;
}

int64_t session_entry_parameters(const pl_entry *entry) { return entry->module->layout.elements; }

pl_needs session_needs(const pl_module *module) {
    pl_needs needs = {0};
    if (module->method->needs)
        module->method->needs(&module->options, &module->config, &needs);
    return needs;
}

static bool name_taken(const pl_session *s, const char *name) {
    for (int32_t i = 0; i < s->entry_count; i++)
        if (strcmp(s->entries[i].module->name, name) == 0)
            return true;
    return false;
}

pl_status session_check_name(pl_session *s, const char *wanted) {
    if (strlen(wanted) > 48)
        return pl_fail(&s->error, PL_ERR_RANGE, "the module name has %d characters, at most 48 fit",
                       (int)strlen(wanted));
    for (const char *c = wanted; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
              *c == '-'))
            return pl_fail(
                &s->error, PL_ERR_ARGUMENT,
                "the module name \"%s\" may only have letters, digits, _ and - (it becomes a folder name)",
                wanted);
    return PL_OK;
}

pl_status session_free_name(pl_session *s, const char *wanted, char name[64]) {
    if (!wanted || !wanted[0])
        wanted = "default";
    PL_TRY(session_check_name(s, wanted));
    (void)snprintf(name, 64, "%s", wanted);
    for (int32_t i = 2; name_taken(s, name); i++)
        (void)snprintf(name, 64, "%.44s-%d", wanted, i);
    return PL_OK;
}

pl_status session_adopt(pl_session *s, pl_module *module, uint64_t seed, bool trainable, pl_entry **entry) {
    if (s->entry_count == PL_SESSION_MODULES_MAX) {
        pl_module_free(module);
        return pl_fail(&s->error, PL_ERR_RANGE, "a session holds at most %d modules; remove one",
                       PL_SESSION_MODULES_MAX);
    }
    session_invalidate(s);
    *entry = &s->entries[s->entry_count++];
    **entry = (pl_entry){
        .id = s->next_id++, .module = module, .active = true, .trainable = trainable, .seed = seed};
    return PL_OK;
}

void session_abandon(pl_session *s) {
    pl_entry *last = &s->entries[--s->entry_count];
    session_invalidate(s);
    pl_module_detach(s->model, last->module);
    pl_module_free(last->module);
    s->next_id--;
}

void session_drop_modules(pl_session *s) {
    for (int32_t i = 0; i < s->entry_count; i++) {
        if (s->model)
            pl_module_detach(s->model, s->entries[i].module);
        pl_module_free(s->entries[i].module);
    }
    s->entry_count = 0;
}

static void write_tensors(pl_text *out, const pl_layout *layout) {
    pl_write_key(out, "tensors");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < layout->count; i++) {
        const pl_tensor *tensor = &layout->tensors[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "name", tensor->name);
        pl_write_key(out, "shape");
        pl_write_begin(out, '[');
        pl_write_int(out, tensor->rows);
        if (tensor->dims == 2)
            pl_write_int(out, tensor->cols);
        pl_write_end(out, ']');
        pl_write_key_int(out, "layer", tensor->layer);
        pl_write_key_int(out, "site", tensor->site);
        if (tensor->transient)
            pl_write_key_bool(out, "transient", true);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
}

void session_write_entry(pl_session *s, const pl_entry *entry) {
    pl_text *out = &s->result;
    const pl_module *module = entry->module;
    pl_needs needs = session_needs(module);
    pl_write_begin(out, '{');
    pl_write_key_int(out, "id", entry->id);
    pl_write_key_string(out, "name", module->name);
    pl_write_key_string(out, "method", module->method->name);
    pl_write_key_string(out, "label", module->method->label);
    pl_write_key(out, "options");
    session_write_options(out, &module->options, &module->config);
    pl_write_key_int(out, "seed", (int64_t)entry->seed);
    pl_write_key_bool(out, "active", entry->active);
    pl_write_key_bool(out, "trainable", entry->trainable);
    pl_write_key_bool(out, "merged", entry->merged);
    pl_write_key_number(out, "weight", (double)module->weight);
    pl_write_key_bool(out, "can_merge", module->method->cannot_merge == NULL);
    pl_write_key_int(out, "parameters", module->layout.elements);
    pl_write_key_int(out, "virtual_tokens", needs.virtual_tokens);
    pl_write_key_int(out, "memory_tokens", needs.memory_tokens);
    write_tensors(out, &module->layout);
    pl_write_end(out, '}');
}

pl_status session_answer_entry(pl_session *s, const pl_entry *entry) {
    session_write_entry(s, entry);
    return session_answered(s);
}

static pl_status add_answer(pl_session *s, const pl_json *root, int32_t id) {
    static const char *const known[] = {"method", "name", "seed", "trainable", "options"};
    (void)id;
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "add a module"));
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    if (s->merged)
        return pl_fail(&s->error, PL_ERR_STATE,
                       "modules are merged into the base: unmerge before adding another");
    const char *name = pl_json_string(pl_json_get(root, "method"));
    const pl_method *method;
    PL_TRY(session_find_method(s, name, &method));
    int64_t seed = 1;
    bool trainable = true;
    PL_TRY(pl_json_get_int(root, "request", "seed", false, 0, (int64_t)1 << 53, &seed, &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "trainable", false, &trainable, &s->error));
    char free_name[64];
    const char *wanted = NULL;
    PL_TRY(pl_json_get_word(root, "request", "name", &wanted, &s->error));
    PL_TRY(session_free_name(s, wanted, free_name));
    session_options options;
    pl_module *module = NULL;
    pl_entry *entry = NULL;
    pl_status status = session_read_options(&s->memory, pl_json_get(root, "options"), method,
                                            &s->model->config, s->tokenizer, &options, &s->error);
    if (status == PL_OK)
        status = pl_module_create(&s->memory, s->model, &options.values, free_name, (uint64_t)seed, &module,
                                  &s->error);
    session_free_options(&options);
    PL_TRY(status);
    PL_TRY(session_adopt(s, module, (uint64_t)seed, trainable, &entry));
    /* A stack that cannot run together is refused now, not at the first step. */
    status = session_ready(s, 1);
    if (status == PL_OK)
        status = session_answer_entry(s, entry);
    if (status != PL_OK)
        session_abandon(s);
    return status;
}

int32_t pl_module_add(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, add_answer);
}

static pl_status module_remove(pl_session *s, int32_t id) {
    PL_TRY(session_need_idle(s, "remove a module"));
    pl_entry *entry = session_entry(s, id);
    if (!entry)
        return s->error.status;
    if (entry->merged)
        return pl_fail(&s->error, PL_ERR_STATE, "module %s is merged into the base: unmerge first",
                       entry->module->name);
    session_invalidate(s);
    pl_module_detach(s->model, entry->module);
    pl_module_free(entry->module);
    int32_t index = (int32_t)(entry - s->entries);
    memmove(entry, entry + 1, (size_t)(s->entry_count - index - 1) * sizeof *entry);
    s->entry_count--;
    return PL_OK;
}

int32_t pl_module_remove(pl_session *s, int32_t id) {
    session_begin(s);
    return session_end(s, module_remove(s, id));
}

/* Names the methods that do have a weight, as the registry knows them. */
static pl_status refuse_weight(const pl_method *method, pl_error *error) {
    char names[200] = "";
    for (int32_t i = 0; i < PL_METHOD_COUNT; i++) {
        size_t used = strlen(names);
        if (PL_METHODS[i]->can_scale)
            (void)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", PL_METHODS[i]->label);
    }
    return pl_fail(error, PL_ERR_UNSUPPORTED, "%s has no weight other than 1; these methods have one: %s",
                   method->label, names);
}

static pl_status set_parsed(pl_session *s, pl_entry *entry, const pl_json *root) {
    bool active = entry->active, trainable = entry->trainable;
    double weight = (double)entry->module->weight;
    static const char *const known[] = {"active", "weight", "trainable"};
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "active", false, &active, &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "trainable", false, &trainable, &s->error));
    PL_TRY(pl_json_get_number(root, "request", "weight", false, -100.0, 100.0, &weight, &s->error));
    if (weight != 1.0 && !entry->module->method->can_scale)
        return refuse_weight(entry->module->method, &s->error);
    if (entry->merged && (active != entry->active || weight != (double)entry->module->weight))
        return pl_fail(&s->error, PL_ERR_STATE,
                       "module %s is merged into the base: unmerge before changing it", entry->module->name);
    pl_entry before = *entry;
    real weight_before = entry->module->weight;
    session_invalidate(s);
    if (!active)
        pl_module_detach(s->model, entry->module);
    entry->active = active;
    entry->trainable = trainable;
    entry->module->weight = (real)weight;
    pl_status status = session_ready(s, 1);
    if (status == PL_OK)
        status = session_check_unmerged(s); /* else unmerging would leave what cannot run */
    if (status == PL_OK)
        status = session_answer_entry(s, entry);
    if (status == PL_OK)
        return PL_OK;
    session_invalidate(s);
    if (!before.active)
        pl_module_detach(s->model, entry->module);
    *entry = before;
    entry->module->weight = weight_before;
    return status;
}

static pl_status set_answer(pl_session *s, const pl_json *root, int32_t id) {
    pl_entry *entry = session_entry(s, id);
    if (!entry)
        return s->error.status;
    PL_TRY(session_need_idle(s, "change a module"));
    return set_parsed(s, entry, root);
}

int32_t pl_module_set(pl_session *s, int32_t id, const char *json, int32_t length) {
    return session_request(s, id, json, length, set_answer);
}

static pl_status order_answer(pl_session *s, const pl_json *root, int32_t id) {
    (void)id;
    PL_TRY(session_need_idle(s, "reorder modules"));
    pl_entry sorted[PL_SESSION_MODULES_MAX];
    int32_t count = 0;
    if (pl_json_size(root) != s->entry_count)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "the order must list each of the %d module ids once",
                       s->entry_count);
    for (const pl_json *item = pl_json_first(root); item; item = pl_json_next(item)) {
        pl_entry *entry = session_entry(s, session_json_id(item));
        if (!entry)
            return s->error.status;
        for (int32_t i = 0; i < count; i++)
            if (sorted[i].id == entry->id)
                return pl_fail(&s->error, PL_ERR_ARGUMENT, "module id %d is listed twice", entry->id);
        sorted[count++] = *entry;
    }
    session_invalidate(s);
    if (count)
        memcpy(s->entries, sorted, (size_t)count * sizeof sorted[0]);
    return PL_OK;
}

int32_t pl_module_order(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, order_answer);
}

/* The tensor's place in its module's block, or NULL with the error set. */
static const pl_tensor *find_tensor(pl_session *s, const pl_entry *entry, const char *name) {
    int32_t index = pl_layout_find(&entry->module->layout, name);
    if (index != PL_NONE)
        return &entry->module->layout.tensors[index];
    (void)pl_fail(&s->error, PL_ERR_ARGUMENT, "module %s has no tensor \"%s\"", entry->module->name, name);
    return NULL;
}

/* Copies reals into the result as float32. */
static void result_floats(pl_session *s, const real *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float value = (float)values[i];
        pl_text_bytes(&s->result, (const char *)&value, sizeof value);
    }
}

int32_t pl_module_tensor(pl_session *s, int32_t id, const char *name) {
    session_begin(s);
    pl_entry *entry = session_entry(s, id);
    const pl_tensor *tensor = entry ? find_tensor(s, entry, name) : NULL;
    if (!tensor)
        return session_end(s, s->error.status);
    result_floats(s, entry->module->values + tensor->offset, tensor->rows * tensor->cols);
    return session_end(s, PL_OK);
}

int32_t pl_module_gradient(pl_session *s, int32_t id, const char *name) {
    session_begin(s);
    pl_entry *entry = session_entry(s, id);
    const pl_tensor *tensor = entry ? find_tensor(s, entry, name) : NULL;
    if (!tensor)
        return session_end(s, s->error.status);
    if (!entry->module->gradients)
        return session_end(s, pl_fail(&s->error, PL_ERR_STATE, "module %s is frozen: it has no gradients",
                                      entry->module->name));
    result_floats(s, entry->module->gradients + tensor->offset, tensor->rows * tensor->cols);
    return session_end(s, PL_OK);
}

static float float_at(const uint8_t *bytes, int64_t index) {
    float value;
    memcpy(&value, bytes + index * (int64_t)sizeof value, sizeof value);
    return value;
}

int32_t pl_module_set_tensor(pl_session *s, int32_t id, const char *name, const uint8_t *values,
                             int32_t size) {
    session_begin(s);
    pl_entry *entry = session_entry(s, id);
    const pl_tensor *tensor = entry ? find_tensor(s, entry, name) : NULL;
    if (!tensor)
        return session_end(s, s->error.status);
    int64_t count = tensor->rows * tensor->cols;
    if (size != count * (int64_t)sizeof(float))
        return session_end(s, pl_fail(&s->error, PL_ERR_MISMATCH,
                                      "tensor %s takes %lld float32 numbers, not %d bytes", name,
                                      (long long)count, size));
    if (entry->merged)
        return session_end(s,
                           pl_fail(&s->error, PL_ERR_STATE,
                                   "module %s is merged into the base: unmerge first", entry->module->name));
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(float_at(values, i)))
            return session_end(s, pl_fail(&s->error, PL_ERR_NUMERIC, "tensor %s: number %lld of %lld is %g",
                                          name, (long long)i, (long long)count, (double)float_at(values, i)));
    for (int64_t i = 0; i < count; i++)
        entry->module->values[tensor->offset + i] = (real)float_at(values, i);
    session_invalidate(s);
    if (pl_module_replaces(entry->module))
        pl_module_refresh(s->model, entry->module);
    if (s->trainer)
        pl_trainer_changed(s->trainer);
    return session_end(s, PL_OK);
}
