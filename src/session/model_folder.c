/* Loading and saving a Hugging Face model folder. A new model is built aside and swapped in only when it is complete and valid. */
#include <string.h>

#include "session/internal.h"

void session_drop_loading(pl_session *s) {
    pl_loading *loading = &s->loading;
    pl_model_free(loading->model);
    pl_tokenizer_free(loading->tokenizer);
    pl_memory_free(&s->memory, loading->filled);
    pl_text_free(&loading->ignored);
    *loading = (pl_loading){.ignored = pl_text_make(&s->memory)};
}

void session_drop_model(pl_session *s) {
    session_invalidate(s);
    session_drop_run(s);
    session_drop_data(s);
    if (s->merged)
        pl_unmerge(s->model, s->merged);
    s->merged = NULL;
    session_drop_modules(s);
    pl_tokenizer_free(s->tokenizer);
    pl_model_free(s->model);
    s->tokenizer = NULL;
    s->model = NULL;
}

static pl_status model_begin(pl_session *s, const char *config_json, int32_t length) {
    pl_json *root;
    pl_config config;
    session_drop_loading(s);
    PL_TRY(pl_json_parse(config_json, (size_t)(length < 0 ? 0 : length), "config.json", &root, &s->error));
    pl_status status = session_read_config(root, &config, &s->error);
    pl_json_free(root);
    PL_TRY(status);
    PL_TRY(pl_model_create(&s->memory, &config, &s->loading.model, &s->error));
    s->loading.filled = pl_memory_alloc(&s->memory, (size_t)s->loading.model->layout.count, sizeof(bool));
    if (!s->loading.filled)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a model of %lld numbers",
                       (long long)s->loading.model->layout.elements);
    pl_write_begin(&s->loading.ignored, '[');
    return PL_OK;
}

int32_t pl_model_begin(pl_session *s, const char *config_json, int32_t length) {
    session_begin(s);
    pl_status status = model_begin(s, config_json, length);
    if (status != PL_OK)
        session_drop_loading(s);
    return session_end(s, status);
}

static pl_status need_loading(pl_session *s) {
    return s->loading.model ? PL_OK : pl_fail(&s->error, PL_ERR_STATE, "begin with the model's config.json");
}

/* Tensors that some exporters add and LlamaForCausalLM recomputes. A tied head may be stored as well; it must not differ, but which of two
   different copies is meant cannot be known, so transformers' rule applies: the embedding wins. */
static bool harmless(const pl_model *model, const char *name) {
    size_t length = strlen(name);
    const char *tail = "rotary_emb.inv_freq";
    if (length >= strlen(tail) && strcmp(name + length - strlen(tail), tail) == 0)
        return true;
    return model->config.tie_word_embeddings && strcmp(name, "lm_head.weight") == 0;
}

static pl_status read_weight(pl_session *s, const pl_file_tensor *file_tensor) {
    pl_model *model = s->loading.model;
    int32_t index = pl_layout_find(&model->layout, file_tensor->name);
    if (index == PL_NONE) {
        if (harmless(model, file_tensor->name)) {
            pl_write_string(&s->loading.ignored, file_tensor->name);
            return PL_OK;
        }
        return pl_fail(&s->error, PL_ERR_MISMATCH,
                       "model.safetensors: unexpected tensor %s: it does not belong to a Llama model with "
                       "this config.json",
                       file_tensor->name);
    }
    const pl_tensor *tensor = &model->layout.tensors[index];
    if (s->loading.filled[index])
        return pl_fail(&s->error, PL_ERR_FORMAT, "tensor %s is in two files", tensor->name);
    bool same = file_tensor->dims == tensor->dims && file_tensor->shape[0] == tensor->rows &&
                (tensor->dims == 1 || file_tensor->shape[1] == tensor->cols);
    if (!same)
        return pl_fail(&s->error, PL_ERR_MISMATCH,
                       "tensor %s has %lld numbers in the file, config.json asks for [%lld, %lld]; the two "
                       "files do not belong together",
                       tensor->name, (long long)file_tensor->elements, (long long)tensor->rows,
                       (long long)tensor->cols);
    PL_TRY(pl_safetensors_read(file_tensor, "model.safetensors", model->values + tensor->offset, &s->error));
    s->loading.filled[index] = true;
    return PL_OK;
}

static pl_status model_weights(pl_session *s, const uint8_t *bytes, int32_t size) {
    pl_safetensors file;
    PL_TRY(need_loading(s));
    PL_TRY(pl_safetensors_open(&s->memory, bytes, (size_t)(size < 0 ? 0 : size), "model.safetensors", &file,
                               &s->error));
    pl_status status = PL_OK;
    for (int32_t i = 0; i < file.count && status == PL_OK; i++)
        status = read_weight(s, &file.tensors[i]);
    pl_safetensors_close(&file);
    return status;
}

int32_t pl_model_weights(pl_session *s, const uint8_t *safetensors, int32_t size) {
    session_begin(s);
    pl_status status = model_weights(s, safetensors, size);
    if (status != PL_OK)
        session_drop_loading(s);
    return session_end(s, status);
}

static pl_status model_tokenizer(pl_session *s, const char *json, int32_t length) {
    PL_TRY(need_loading(s));
    pl_tokenizer_free(s->loading.tokenizer);
    s->loading.tokenizer = NULL;
    PL_TRY(pl_tokenizer_load(&s->memory, json, (size_t)(length < 0 ? 0 : length), &s->loading.tokenizer,
                             &s->error));
    int32_t ids = pl_tokenizer_vocab_size(s->loading.tokenizer), rows = s->loading.model->config.vocab_size;
    if (ids > rows)
        return pl_fail(&s->error, PL_ERR_MISMATCH,
                       "tokenizer.json has ids up to %d but the model embeds only %d tokens; they do not "
                       "belong together",
                       ids - 1, rows);
    return PL_OK;
}

int32_t pl_model_tokenizer(pl_session *s, const char *tokenizer_json, int32_t length) {
    session_begin(s);
    pl_status status = model_tokenizer(s, tokenizer_json, length);
    if (status != PL_OK)
        session_drop_loading(s);
    return session_end(s, status);
}

void pl_model_cancel(pl_session *s) { session_drop_loading(s); }

static pl_status check_complete(pl_session *s) {
    const pl_layout *layout = &s->loading.model->layout;
    int32_t missing = 0, first = PL_NONE;
    for (int32_t i = 0; i < layout->count; i++) {
        if (s->loading.filled[i])
            continue;
        first = missing == 0 ? i : first;
        missing++;
    }
    if (missing)
        return pl_fail(&s->error, PL_ERR_MISMATCH,
                       "%d of %d tensors are missing from the weight files, the first is %s", missing,
                       layout->count, layout->tensors[first].name);
    return PL_OK;
}

static pl_status model_commit(pl_session *s) {
    PL_TRY(need_loading(s));
    PL_TRY(check_complete(s));
    pl_write_end(&s->loading.ignored, ']');
    if (s->loading.ignored.failed)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the report of this load");
    pl_write_begin(&s->result, '{');
    pl_write_key_int(&s->result, "parameters", s->loading.model->layout.elements);
    pl_write_key(&s->result, "ignored");
    pl_text_bytes(&s->result, s->loading.ignored.data, s->loading.ignored.length);
    pl_write_end(&s->result, '}');
    PL_TRY(session_answered(s));
    pl_model_pack(s->loading.model);
    session_drop_model(s);
    s->model = s->loading.model;
    s->tokenizer = s->loading.tokenizer;
    s->loading.model = NULL;
    s->loading.tokenizer = NULL;
    return PL_OK;
}

int32_t pl_model_commit(pl_session *s) {
    session_begin(s);
    pl_status status = model_commit(s);
    session_drop_loading(s);
    return session_end(s, status);
}

static pl_status parse_dtype(pl_session *s, const char *text, pl_dtype *dtype, const char **torch_name) {
    static const struct {
        const char *name, *torch_name;
        pl_dtype dtype;
    } known[] = {{"F32", "float32", PL_DTYPE_F32},
                 {"F16", "float16", PL_DTYPE_F16},
                 {"BF16", "bfloat16", PL_DTYPE_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) != 0)
            continue;
        *dtype = known[i].dtype;
        *torch_name = known[i].torch_name;
        return PL_OK;
    }
    return pl_fail(&s->error, PL_ERR_ARGUMENT, "dtype \"%s\" is unknown: F32, F16 or BF16", text);
}

static pl_status model_export(pl_session *s, const char *dtype_text) {
    pl_dtype dtype = PL_DTYPE_F32;
    const char *unused = NULL;
    PL_TRY(session_ready(s, 1)); /* attaches modules that stand in for base tensors */
    PL_TRY(parse_dtype(s, dtype_text, &dtype, &unused));
    const pl_layout *layout = &s->model->layout;
    pl_save_tensor *list = pl_memory_alloc(&s->memory, (size_t)layout->count, sizeof *list);
    if (!list)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory to save the model");
    for (int32_t i = 0; i < layout->count; i++)
        list[i] = (pl_save_tensor){.name = layout->tensors[i].name,
                                   .dims = layout->tensors[i].dims,
                                   .shape = {layout->tensors[i].rows, layout->tensors[i].cols},
                                   .values = pl_model_tensor(s->model, i)};
    uint8_t *bytes = NULL;
    size_t size = 0;
    pl_status status = pl_safetensors_write(&s->memory, list, layout->count, dtype, "{\"format\":\"pt\"}",
                                            &bytes, &size, &s->error);
    pl_memory_free(&s->memory, list);
    PL_TRY(status);
    pl_text_bytes(&s->result, (const char *)bytes, size);
    pl_memory_free(&s->memory, bytes);
    return PL_OK;
}

int32_t pl_model_export(pl_session *s, const char *dtype) {
    session_begin(s);
    return session_end(s, model_export(s, dtype));
}

int32_t pl_model_config(pl_session *s, const char *dtype) {
    session_begin(s);
    pl_dtype parsed;
    const char *torch_name = NULL;
    pl_status status = session_need_model(s);
    if (status == PL_OK)
        status = parse_dtype(s, dtype, &parsed, &torch_name);
    if (status == PL_OK)
        session_write_config(&s->result, &s->model->config, torch_name);
    return session_end(s, status);
}
