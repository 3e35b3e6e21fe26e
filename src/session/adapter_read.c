/* Importing an adapter folder: strict, with a report. Nothing changes in the session unless everything fits. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "io/tensor_names.h"
#include "session/adapter_file.h"

/* Index of the module tensor that a file key stands for, or PL_NONE. */
static int32_t find_target(const pl_module *module, const char *file_name, const char *adapter_name) {
    char wanted[PL_FILE_NAME_SIZE], name[PL_FILE_NAME_SIZE];
    const size_t prefix = strlen(pl_file_prefix(&module->options)); /* the normal form has none */
    if (pl_tensor_name_normal(file_name, wanted, sizeof wanted, NULL) != PL_OK)
        return PL_NONE;
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        if (pl_file_name(&module->options, tensor, adapter_name, name, NULL) == PL_OK &&
            strcmp(name + prefix, wanted) == 0)
            return i;
    }
    return PL_NONE;
}

static pl_status copy_tensor(pl_module *module, int32_t index, const pl_file_tensor *from, pl_error *error) {
    const pl_tensor *tensor = &module->layout.tensors[index];
    bool same = from->dims == tensor->dims && from->shape[0] == tensor->rows &&
                (tensor->dims == 1 || from->shape[1] == tensor->cols);
    if (!same)
        return pl_fail(error, PL_ERR_MISMATCH,
                       "tensor %s is [%lld, %lld] in the file, this model needs [%lld, %lld]; the adapter "
                       "was made for another model",
                       from->name, (long long)from->shape[0],
                       (long long)(from->dims > 1 ? from->shape[1] : 1), (long long)tensor->rows,
                       (long long)tensor->cols);
    return pl_safetensors_read(from, "adapter weights", module->values + tensor->offset, error);
}

static pl_status fill_module(pl_memory *memory, pl_module *module, const pl_safetensors *file,
                             const char *adapter_name, pl_error *error) {
    bool *filled = pl_memory_alloc(memory, (size_t)module->layout.count, sizeof *filled);
    pl_status status = filled ? PL_OK : pl_fail(error, PL_ERR_MEMORY, "no memory to import the adapter");
    for (int32_t i = 0; i < file->count && status == PL_OK; i++) {
        int32_t index = find_target(module, file->tensors[i].name, adapter_name);
        if (index == PL_NONE)
            status = pl_fail(error, PL_ERR_MISMATCH,
                             "unexpected tensor %s: this model and adapter_config.json have no place for it",
                             file->tensors[i].name);
        else
            status = copy_tensor(module, index, &file->tensors[i], error);
        if (status == PL_OK)
            filled[index] = true;
    }
    for (int32_t i = 0; i < module->layout.count && status == PL_OK; i++)
        if (!filled[i])
            status = pl_fail(error, PL_ERR_MISMATCH, "tensor %s is missing from the adapter file",
                             module->layout.tensors[i].name);
    pl_memory_free(memory, filled);
    return status;
}

/* Keys that say how or where the adapter was made, or that the readers of options understand. */
static const char *const KNOWN_KEYS =
    " alpha_pattern auto_mapping base_model_name_or_path bias config encoder_hidden_size "
    "ensure_weight_tying exclude_modules fan_in_fan_out feedforward_modules hidden_size "
    "inference_mode init_ia3_weights init_lora_weights init_weights layer_replication layers_pattern "
    "layers_to_transform loftq_config lora_alpha lora_bias lora_dropout megatron_config "
    "megatron_core model_class model_name model_type modules_to_save name num_attention_heads "
    "num_layers num_transformer_submodules num_virtual_tokens peft_type peft_version "
    "prefix_projection prompt_tuning_init prompt_tuning_init_text qalora_group_size r rank_pattern "
    "revision target_modules target_parameters task_type token_dim tokenizer_kwargs "
    "tokenizer_name_or_path use_dora use_rslora version bottleneck_size non_linearity scaling "
    "adapter_dropout use_parallel_adapter use_adapterp ";

/* The same for what AdapterHub has under "config". */
static const char *const HUB_KEYS =
    " adapter_residual_before_ln architecture cross_adapter dropout factorized_phm_W factorized_phm_rule "
    "hypercomplex_nonlinearity init_weights init_weights_seed inv_adapter inv_adapter_reduction_factor "
    "is_parallel learn_phm "
    "leave_out ln_after ln_before mh_adapter non_linearity original_ln_after original_ln_before "
    "output_adapter phm_bias phm_c_init phm_dim phm_init_range phm_layer phm_rank reduction_factor "
    "residual_before_ln scaling shared_W_phm shared_phm_rule stochastic_depth use_gating ";

static bool is_among(const char *known, const char *key) {
    size_t length = strlen(key);
    for (const char *at = strstr(known, key); at && length > 0; at = strstr(at + 1, key))
        if (at > known && at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

static void write_unknown(pl_text *out, const pl_json *config, const char *known) {
    for (const pl_json *item = pl_json_first(config); item; item = pl_json_next(item)) {
        bool empty = pl_json_is_null(item) || (pl_json_is_bool(item) && !pl_json_bool(item));
        if (!empty && !is_among(known, pl_json_key(item)))
            pl_write_string(out, pl_json_key(item));
    }
}

static void write_ignored(pl_text *out, const pl_json *config) {
    pl_write_key(out, "ignored");
    pl_write_begin(out, '[');
    write_unknown(out, config, KNOWN_KEYS);
    write_unknown(out, pl_json_get(config, "config"), HUB_KEYS);
    pl_write_end(out, ']');
}

typedef struct import_request {
    const char *name; /* wanted name, or NULL */
    const pl_json *config;
    const pl_safetensors *file;
} import_request;

static pl_status build_module(pl_session *s, const import_request *r, pl_module **module, pl_text *notes) {
    session_options options = {.memory = &s->memory};
    char file_name[64] = "default", free_name[64];
    pl_status status =
        adapter_read_options(r->config, r->file, &s->model->config, &options, file_name, notes, &s->error);
    char clean[49] = {0}; /* a file's name may have any characters, a session's becomes a folder */
    for (size_t i = 0; i + 1 < sizeof clean && file_name[i]; i++)
        clean[i] = isalnum((unsigned char)file_name[i]) || file_name[i] == '-' ? file_name[i] : '_';
    if (status == PL_OK)
        status = session_free_name(s, r->name && r->name[0] ? r->name : clean, free_name);
    if (status == PL_OK)
        status = pl_module_create(&s->memory, s->model, &options.values, free_name, 1, module, &s->error);
    session_free_options(&options);
    PL_TRY(status);
    status = fill_module(&s->memory, *module, r->file, file_name, &s->error);
    if (status != PL_OK) {
        pl_module_free(*module);
        *module = NULL;
    }
    return status;
}

static pl_status write_import(pl_session *s, const pl_entry *entry, const pl_json *config,
                              const pl_text *notes) {
    pl_write_begin(&s->result, '{');
    pl_write_key(&s->result, "module");
    session_write_entry(s, entry);
    write_ignored(&s->result, config);
    pl_write_key(&s->result, "notes");
    pl_text_bytes(&s->result, notes->data, notes->length);
    pl_write_end(&s->result, '}');
    return session_answered(s);
}

static pl_status import_parsed(pl_session *s, const import_request *r) {
    pl_module *module = NULL;
    pl_entry *entry = NULL;
    pl_text notes = pl_text_make(&s->memory);
    pl_write_begin(&notes, '[');
    pl_status status = build_module(s, r, &module, &notes);
    pl_write_end(&notes, ']');
    if (status == PL_OK && notes.failed) {
        pl_module_free(module);
        status = pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the report of this import");
    }
    if (status == PL_OK)
        status = session_adopt(s, module, 1, true, &entry);
    if (status == PL_OK) {
        status = session_ready(s, 1); /* what cannot run beside the active modules is refused now */
        if (status == PL_OK)
            status = write_import(s, entry, r->config, &notes);
        if (status != PL_OK)
            session_abandon(s);
    }
    pl_text_free(&notes);
    return status;
}

static pl_status import_adapter(pl_session *s, const char *name, const char *config_json, int32_t length,
                                const uint8_t *bytes, int32_t size) {
    pl_json *config = NULL;
    pl_safetensors file;
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "import an adapter"));
    if (s->merged)
        return pl_fail(&s->error, PL_ERR_STATE,
                       "modules are merged into the base: unmerge before importing another");
    PL_TRY(pl_json_parse(config_json, (size_t)(length < 0 ? 0 : length), "adapter_config.json", &config,
                         &s->error));
    pl_status status = pl_safetensors_open(&s->memory, bytes, (size_t)(size < 0 ? 0 : size),
                                           "adapter weights", &file, &s->error);
    if (status == PL_OK) {
        import_request request = {.name = name, .config = config, .file = &file};
        status = import_parsed(s, &request);
        pl_safetensors_close(&file);
    }
    pl_json_free(config);
    return status;
}

int32_t pl_module_import(pl_session *s, const char *name, const char *config_json, int32_t length,
                         const uint8_t *safetensors, int32_t size) {
    session_begin(s);
    return session_end(s, import_adapter(s, name, config_json, length, safetensors, size));
}
