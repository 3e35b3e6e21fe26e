/* The calculators: counts, file sizes, FLOPs and memory for any dimensions, from the same declarations as the engine. No model is needed. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "account/account.h"
#include "peft/virtual.h"
#include "session/internal.h"

enum { PL_CALC_METHODS_MAX = 8 };

/* What a request asks about. */
typedef struct calc_request {
    pl_config config;
    session_options options[PL_CALC_METHODS_MAX];
    const pl_options *methods[PL_CALC_METHODS_MAX];
    int32_t count;
} calc_request;

static pl_status read_shape(pl_session *s, const pl_json *root, pl_config *config) {
    const pl_json *given = pl_json_get(root, "config");
    const char *name = NULL;
    PL_TRY(pl_json_get_word(root, "request", "shape", &name, &s->error));
    if (given && !pl_json_is_null(given))
        return session_read_config(given, config, &s->error);
    if (name) {
        const pl_shape *shape = pl_shape_find(name);
        if (!shape)
            return pl_fail(
                &s->error, PL_ERR_ARGUMENT,
                "shape \"%s\" is unknown; try llama-2-7b, llama-3.1-8b, tinyllama-1.1b or a config.json",
                name);
        *config = shape->config;
        return PL_OK;
    }
    if (!s->model)
        return pl_fail(&s->error, PL_ERR_ARGUMENT,
                       "name a shape (llama-2-7b, …), give a config, or load a model");
    *config = s->model->config;
    return PL_OK;
}

static pl_status read_method(pl_session *s, const pl_json *node, calc_request *r) {
    const char *name = pl_json_string(pl_json_get(node, "method"));
    const pl_method *method;
    PL_TRY(session_find_method(s, name, &method));
    if (r->count == PL_CALC_METHODS_MAX)
        return pl_fail(&s->error, PL_ERR_RANGE, "at most %d methods can be counted together",
                       PL_CALC_METHODS_MAX);
    session_options *options = &r->options[r->count];
    r->methods[r->count++] = &options->values;
    PL_TRY(session_read_options(&s->memory, pl_json_get(node, "options"), method, &r->config, NULL, options,
                                &s->error));
    return pl_options_check(&options->values, &r->config, &s->error);
}

static void free_request(calc_request *r) {
    for (int32_t i = 0; i < r->count; i++)
        session_free_options(&r->options[i]);
}

/* Allocated because options are large and wasm's stack is small. NULL with the error set when memory is refused. */
static calc_request *read_request(pl_session *s, const pl_json *root, pl_status *status) {
    calc_request *r = pl_memory_alloc(&s->memory, 1, sizeof *r);
    if (!r) {
        *status = pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a calculation");
        return NULL;
    }
    const pl_json *methods = NULL;
    *status = pl_json_get_list(root, "request", "methods", &methods, &s->error);
    if (*status == PL_OK)
        *status = read_shape(s, root, &r->config);
    if (*status == PL_OK && !methods && pl_json_get(root, "method"))
        *status = read_method(s, root, r);
    static const char *const known[] = {"method", "options"};
    for (const pl_json *item = methods; item && *status == PL_OK; item = pl_json_next(item)) {
        *status = pl_json_only(item, "methods", known, sizeof known / sizeof known[0], &s->error);
        if (*status == PL_OK)
            *status = read_method(s, item, r);
    }
    return r;
}

static void write_sentences(pl_text *out, const pl_sentences *sentences) {
    pl_write_key(out, "assumptions");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < sentences->count; i++)
        pl_write_string(out, sentences->text[i]);
    pl_write_end(out, ']');
}

static pl_status file_sizes(pl_session *s, const calc_request *r, const char *key, pl_format format) {
    int64_t total = 0;
    for (int32_t i = 0; i < r->count; i++) {
        int64_t bytes;
        PL_TRY(pl_account_file_size(&s->memory, &r->config, r->methods[i], "default", format, &bytes,
                                    &s->error));
        total += bytes;
    }
    pl_write_key_int(&s->result, key, total);
    return PL_OK;
}

static pl_status write_count(pl_session *s, const pl_json *root, const calc_request *r) {
    pl_text *out = &s->result;
    pl_counts counts;
    pl_flops flops;
    pl_sentences sentences = {0};
    int64_t context = 0;
    PL_TRY(pl_json_get_int(root, "request", "context", false, 0, 1 << 24, &context, &s->error));
    PL_TRY(pl_account_count(&s->memory, &r->config, r->methods, r->count, &counts, &sentences, &s->error));
    pl_account_flops(&r->config, r->methods, r->count, (int32_t)context, &flops);
    pl_write_begin(out, '{');
    pl_write_key_int(out, "trainable", counts.trainable);
    pl_write_key_int(out, "total", counts.base);
    pl_write_key_number(out, "percent", counts.percent);
    pl_write_key_int(out, "stored", counts.stored);
    pl_write_key(out, "data_bytes"); /* 4 or 2 bytes per stored number, without the header */
    pl_write_begin(out, '{');
    pl_write_key_int(out, "fp32", pl_account_file_data(&counts, PL_FORMAT_F32));
    pl_write_key_int(out, "fp16", pl_account_file_data(&counts, PL_FORMAT_F16));
    pl_write_end(out, '}');
    pl_write_key(out, "file_bytes"); /* exact size of the safetensors file(s) */
    pl_write_begin(out, '{');
    PL_TRY(file_sizes(s, r, "fp32", PL_FORMAT_F32));
    PL_TRY(file_sizes(s, r, "fp16", PL_FORMAT_F16));
    pl_write_end(out, '}');
    pl_write_key(out, "flops_per_token");
    pl_write_begin(out, '{');
    pl_write_key_number(out, "base", flops.base);
    pl_write_key_number(out, "attention", flops.attention);
    pl_write_key_number(out, "extra", flops.extra);
    pl_write_key_number(out, "extra_percent", flops.extra_percent);
    pl_write_end(out, '}');
    pl_write_key_int(out, "virtual_tokens", counts.virtual_tokens);
    pl_write_key_int(out, "memory_tokens", counts.memory_tokens);
    write_sentences(out, &sentences);
    pl_write_end(out, '}');
    return PL_OK;
}

static pl_status read_memory_request(pl_session *s, const pl_json *root, const calc_request *r,
                                     pl_memory_request *m) {
    const char *format = NULL, *optimizer = NULL;
    int64_t batch = 1, seq = 2048;
    PL_TRY(pl_json_get_word(root, "request", "dtype", &format, &s->error));
    PL_TRY(pl_json_get_word(root, "request", "optimizer", &optimizer, &s->error));
    *m = (pl_memory_request){
        .config = &r->config, .methods = r->methods, .method_count = r->count, .format = PL_FORMAT_BF16};
    if (format && !pl_format_find(format, &m->format))
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "dtype \"%s\" is unknown: f32, f16, bf16, int8 or nf4",
                       format);
    if (optimizer && !pl_optimizer_find(optimizer, &m->optimizer))
        return pl_fail(&s->error, PL_ERR_ARGUMENT,
                       "optimizer \"%s\" is unknown: adamw, adamw8bit, momentum or sgd", optimizer);
    PL_TRY(pl_json_get_int(root, "request", "batch", false, 1, 1 << 20, &batch, &s->error));
    PL_TRY(pl_json_get_int(root, "request", "seq", false, 1, 1 << 24, &seq, &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "checkpointing", false, &m->checkpointing, &s->error));
    m->batch = (int32_t)batch;
    m->seq = (int32_t)seq;
    return PL_OK;
}

static void write_estimate(pl_text *out, const pl_memory_estimate *e) {
    const struct {
        const char *key;
        double value;
    } parts[] = {{"base_weights", e->base_weights}, {"module_weights", e->module_weights},
                 {"gradients", e->gradients},       {"optimizer", e->optimizer},
                 {"activations", e->activations},   {"logits", e->logits},
                 {"training", e->training},         {"states", e->states},
                 {"kv_cache", e->kv_cache},         {"inference", e->inference}};
    pl_write_begin(out, '{');
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        pl_write_key_number(out, parts[i].key, floor(parts[i].value + 0.5));
    pl_write_key_string(out, "dtype", pl_format_name(e->format));
    pl_write_key_int(out, "trainable", e->counts.trainable);
    pl_write_key_int(out, "total", e->counts.base);
    write_sentences(out, &e->assumptions);
    pl_write_end(out, '}');
}

/* peft refuses gradient checkpointing with these: it switches off the cache that carries a prefix. */
static bool has_prefix(const calc_request *r) {
    for (int32_t i = 0; i < r->count; i++)
        if (r->methods[i]->method == &PL_METHOD_PREFIX)
            return true;
    return false;
}

static pl_status write_memory(pl_session *s, const pl_json *root, const calc_request *r) {
    pl_memory_request request;
    const char *assume = NULL;
    PL_TRY(pl_json_get_word(root, "request", "assume", &assume, &s->error));
    PL_TRY(read_memory_request(s, root, r, &request));
    if (assume && strcmp(assume, "chapter") != 0)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "assume \"%s\" is unknown: only \"chapter\"", assume);
    /* The chapter's own way of counting has checkpointed activations whatever the method. */
    const bool refused = request.checkpointing && !assume && has_prefix(r);
    request.checkpointing = request.checkpointing && !refused;
    pl_memory_estimate *e = pl_memory_alloc(&s->memory, 1, sizeof *e);
    if (!e)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a calculation");
    pl_status status = assume ? pl_account_memory_chapter(&s->memory, &request, e, &s->error)
                              : pl_account_memory(&s->memory, &request, e, &s->error);
    if (refused)
        pl_sentence(&e->assumptions, "Gradient checkpointing is refused with prefix tuning.");
    if (status == PL_OK)
        write_estimate(&s->result, e);
    pl_memory_free(&s->memory, e);
    return status;
}

/* What is counted, besides which memory says how; "rank" beside "options" would otherwise count another rank. */
#define CALC_KEYS "shape", "config", "method", "options", "methods"

typedef pl_status (*calc_writer)(pl_session *s, const pl_json *root, const calc_request *r);

static pl_status calculate(pl_session *s, const pl_json *root, calc_writer write) {
    pl_status status = PL_OK;
    calc_request *request = read_request(s, root, &status);
    if (status == PL_OK)
        status = write(s, root, request);
    if (request)
        free_request(request);
    pl_memory_free(&s->memory, request);
    return status;
}

static pl_status count_answer(pl_session *s, const pl_json *root, int32_t id) {
    static const char *const known[] = {CALC_KEYS, "context"};
    (void)id;
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    return calculate(s, root, write_count);
}

static pl_status memory_answer(pl_session *s, const pl_json *root, int32_t id) {
    static const char *const known[] = {CALC_KEYS, "dtype",         "optimizer", "batch",
                                        "seq",     "checkpointing", "assume"};
    (void)id;
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    return calculate(s, root, write_memory);
}

int32_t pl_count(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, count_answer);
}

int32_t pl_estimate_memory(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, memory_answer);
}

/* The chapter's tables as printed, with what they assume and where the exact figures differ. */
int32_t pl_chapter(pl_session *s) {
    static const session_column methods[] = {
        {"label", SESSION_TEXT, offsetof(pl_chapter_method, label)},
        {"params", SESSION_TEXT, offsetof(pl_chapter_method, params)},
        {"storage", SESSION_TEXT, offsetof(pl_chapter_method, storage)},
        {"params_value", SESSION_NUMBER, offsetof(pl_chapter_method, params_value)},
        {"storage_value", SESSION_NUMBER, offsetof(pl_chapter_method, storage_value)},
        {"method", SESSION_TEXT, offsetof(pl_chapter_method, method)},
        {"settings", SESSION_TEXT, offsetof(pl_chapter_method, settings)},
        {"explanation", SESSION_TEXT, offsetof(pl_chapter_method, explanation)}};
    static const session_column memory[] = {
        {"label", SESSION_TEXT, offsetof(pl_chapter_memory, label)},
        {"shape", SESSION_TEXT, offsetof(pl_chapter_memory, shape)},
        {"full", SESSION_TEXT, offsetof(pl_chapter_memory, full)},
        {"lora", SESSION_TEXT, offsetof(pl_chapter_memory, lora)},
        {"savings", SESSION_TEXT, offsetof(pl_chapter_memory, savings)},
        {"full_value", SESSION_NUMBER, offsetof(pl_chapter_memory, full_value)},
        {"lora_value", SESSION_NUMBER, offsetof(pl_chapter_memory, lora_value)},
        {"lora_dtype", SESSION_FORMAT, offsetof(pl_chapter_memory, lora_format)},
        {"lora_activations", SESSION_BOOL, offsetof(pl_chapter_memory, lora_activations)},
        {"explanation", SESSION_TEXT, offsetof(pl_chapter_memory, explanation)}};
    pl_text *out = &s->result;
    session_begin(s);
    pl_write_begin(out, '{');
    session_write_table(out, "methods", methods, (int32_t)(sizeof methods / sizeof methods[0]),
                        PL_CHAPTER_METHODS, sizeof *PL_CHAPTER_METHODS, PL_CHAPTER_METHOD_COUNT);
    session_write_table(out, "memory", memory, (int32_t)(sizeof memory / sizeof memory[0]), PL_CHAPTER_MEMORY,
                        sizeof *PL_CHAPTER_MEMORY, PL_CHAPTER_MEMORY_COUNT);
    pl_write_end(out, '}');
    return session_end(s, PL_OK);
}
