/* The calculators: counts, file sizes, FLOPs and memory for any dimensions, from the same declarations as the engine. No model is needed. */
#include <math.h>
#include <string.h>

#include "account/account.h"
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
    const char *name = pl_json_string(pl_json_get(root, "shape"));
    if (pl_json_is_object(given))
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
    const pl_method *method = name ? pl_method_find(name) : NULL;
    if (!method)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "method \"%s\" is unknown", name ? name : "(none)");
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
    const pl_json *methods = pl_json_get(root, "methods");
    *status = read_shape(s, root, &r->config);
    if (*status == PL_OK && !methods && pl_json_get(root, "method"))
        *status = read_method(s, root, r);
    for (const pl_json *item = pl_json_first(methods); item && *status == PL_OK; item = pl_json_next(item))
        *status = read_method(s, item, r);
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
    const char *format = pl_json_string(pl_json_get(root, "dtype")),
               *optimizer = pl_json_string(pl_json_get(root, "optimizer"));
    int64_t batch = 1, seq = 2048;
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
        pl_write_key_int(out, parts[i].key, (int64_t)floor(parts[i].value + 0.5));
    pl_write_key_int(out, "trainable", e->counts.trainable);
    pl_write_key_int(out, "total", e->counts.base);
    write_sentences(out, &e->assumptions);
    pl_write_end(out, '}');
}

static pl_status write_memory(pl_session *s, const pl_json *root, const calc_request *r) {
    pl_memory_request request;
    const char *assume = pl_json_string(pl_json_get(root, "assume"));
    PL_TRY(read_memory_request(s, root, r, &request));
    if (assume && strcmp(assume, "chapter") != 0)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "assume \"%s\" is unknown: only \"chapter\"", assume);
    pl_memory_estimate *e = pl_memory_alloc(&s->memory, 1, sizeof *e);
    if (!e)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a calculation");
    pl_status status = assume ? pl_account_memory_chapter(&s->memory, &request, e, &s->error)
                              : pl_account_memory(&s->memory, &request, e, &s->error);
    if (status == PL_OK)
        write_estimate(&s->result, e);
    pl_memory_free(&s->memory, e);
    return status;
}

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
    (void)id;
    return calculate(s, root, write_count);
}

static pl_status memory_answer(pl_session *s, const pl_json *root, int32_t id) {
    (void)id;
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
    session_begin(s);
    pl_text *out = &s->result;
    pl_write_begin(out, '{');
    pl_write_key(out, "methods");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_CHAPTER_METHOD_COUNT; i++) {
        const pl_chapter_method *row = &PL_CHAPTER_METHODS[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "label", row->label);
        pl_write_key_string(out, "params", row->params);
        pl_write_key_string(out, "storage", row->storage);
        pl_write_key_number(out, "params_value", row->params_value);
        pl_write_key_number(out, "storage_value", row->storage_value);
        pl_write_key_string(out, "method", row->method);
        pl_write_key_string(out, "settings", row->settings);
        pl_write_key_string(out, "explanation", row->explanation);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    pl_write_key(out, "memory");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_CHAPTER_MEMORY_COUNT; i++) {
        const pl_chapter_memory *row = &PL_CHAPTER_MEMORY[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "label", row->label);
        pl_write_key_string(out, "shape", row->shape);
        pl_write_key_string(out, "full", row->full);
        pl_write_key_string(out, "lora", row->lora);
        pl_write_key_string(out, "savings", row->savings);
        pl_write_key_number(out, "full_value", row->full_value);
        pl_write_key_number(out, "lora_value", row->lora_value);
        pl_write_key_string(out, "lora_dtype", pl_format_name(row->lora_format));
        pl_write_key_bool(out, "lora_activations", row->lora_activations);
        pl_write_key_string(out, "explanation", row->explanation);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    pl_write_end(out, '}');
    return session_end(s, PL_OK);
}
