/* Writing adapter folders that peft and AdapterHub load. Keys are sorted and indented by two, as peft writes them. */
#include <string.h>

#include "peft/lora.h"
#include "peft/virtual.h"
#include "session/adapter_file.h"

/* Compact JSON -> indented by two, as json.dumps(indent=2). */
static void indent_json(pl_text *out, const char *json, size_t length) {
    int depth = 0;
    bool quoted = false, escaped = false;
    for (size_t i = 0; i < length; i++) {
        char c = json[i];
        bool opens = !quoted && (c == '{' || c == '['), closes = !quoted && (c == '}' || c == ']');
        bool empty = opens && i + 1 < length && (json[i + 1] == '}' || json[i + 1] == ']');
        bool emptied = closes && i > 0 && (json[i - 1] == '{' || json[i - 1] == '[');
        if (c == '"' && !escaped)
            quoted = !quoted;
        escaped = c == '\\' && !escaped;
        depth -= closes ? 1 : 0;
        if (closes && !emptied) {
            pl_text_bytes(out, "\n", 1);
            for (int d = 0; d < depth; d++)
                pl_text_bytes(out, "  ", 2);
        }
        pl_text_bytes(out, &c, 1);
        depth += opens ? 1 : 0;
        if (!quoted && c == ':')
            pl_text_bytes(out, " ", 1);
        if ((opens && !empty) || (!quoted && c == ',')) {
            pl_text_bytes(out, "\n", 1);
            for (int d = 0; d < depth; d++)
                pl_text_bytes(out, "  ", 2);
        }
    }
}

static pl_status exportable(pl_session *s, const pl_entry *entry) {
    const pl_method *method = entry->module->method;
    if (adapter_file_known(method))
        return PL_OK;
    if (strcmp(method->name, "full") == 0)
        return pl_fail(&s->error, PL_ERR_UNSUPPORTED,
                       "full fine-tuning changes the model itself: export the model, not an adapter");
    return pl_fail(&s->error, PL_ERR_UNSUPPORTED,
                   "no library has an adapter folder for the method '%s'; a snapshot keeps it", method->name);
}

int32_t pl_module_export_config(pl_session *s, int32_t id) {
    session_begin(s);
    pl_entry *entry = session_entry(s, id);
    pl_status status = entry ? exportable(s, entry) : s->error.status;
    if (status != PL_OK)
        return session_end(s, status);
    pl_text compact = pl_text_make(&s->memory);
    pl_options plain; /* PiSSA's and OLoRA's files are those of plain LoRAs */
    pl_lora_plain_options(&entry->module->options, &plain);
    adapter_write_config(&compact, &plain, entry->module->name, &s->model->config);
    if (compact.failed)
        status = pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the adapter's config");
    else
        indent_json(&s->result, compact.data, compact.length);
    pl_text_free(&compact);
    return session_end(s, status);
}

/* The module's tensors as the file names them; names[count] and, for a projected prefix, the computed table are owned by memory. */
typedef struct export_list {
    pl_save_tensor *tensors;
    char (*names)[PL_FILE_NAME_SIZE];
    real *table;
    int32_t count;
} export_list;

static void export_free(pl_session *s, export_list *list) {
    pl_memory_free(&s->memory, list->tensors);
    pl_memory_free(&s->memory, list->names);
    pl_memory_free(&s->memory, list->table);
}

static pl_status export_prefix(pl_session *s, const pl_module *module, export_list *list) {
    int64_t rows = (int64_t)pl_option_number(&module->options, "num_virtual_tokens"),
            cols = pl_prefix_columns(&module->config);
    list->table = pl_memory_alloc(&s->memory, (uint64_t)(rows * cols), sizeof *list->table);
    if (!list->table)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the prefix table");
    pl_prefix_table(module, list->table);
    const bool shifts = pl_option_number(&module->options, "memory_shifts") != 0.0;
    if (!shifts) /* the file's readers start tokens at position n */
        pl_prefix_rotate(&module->config, (int32_t)rows, (int32_t)rows, list->table);
    list->tensors[0] = (pl_save_tensor){
        .name = "prompt_embeddings", .dims = 2, .shape = {rows, cols}, .values = list->table};
    list->count = 1;
    return PL_OK;
}

static pl_status export_tensors(pl_session *s, const pl_module *module, export_list *list) {
    const pl_layout *layout = &module->layout;
    for (int32_t i = 0; i < layout->count; i++) {
        const pl_tensor *tensor = &layout->tensors[i];
        PL_TRY(pl_file_name(&module->options, tensor, module->name, list->names[i], &s->error));
        list->tensors[i] = (pl_save_tensor){.name = list->names[i],
                                            .dims = tensor->dims,
                                            .shape = {tensor->rows, tensor->cols},
                                            .values = module->values + tensor->offset};
    }
    list->count = layout->count;
    return PL_OK;
}

static pl_status export_module(pl_session *s, const pl_module *module) {
    export_list list = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    size_t count = (size_t)module->layout.count;
    list.tensors = pl_memory_alloc(&s->memory, count, sizeof *list.tensors);
    list.names = pl_memory_alloc(&s->memory, count, sizeof *list.names);
    pl_status status = list.tensors && list.names
                           ? PL_OK
                           : pl_fail(&s->error, PL_ERR_MEMORY, "no memory to save the module");
    if (status == PL_OK)
        status = module->method == &PL_METHOD_PREFIX ? export_prefix(s, module, &list)
                                                     : export_tensors(s, module, &list);
    if (status == PL_OK)
        status = pl_safetensors_write(&s->memory, list.tensors, list.count, PL_DTYPE_F32,
                                      pl_file_is_hub(&module->options) ? NULL : "{\"format\":\"pt\"}", &bytes,
                                      &size, &s->error);
    export_free(s, &list);
    if (status == PL_OK)
        pl_text_bytes(&s->result, (const char *)bytes, size);
    pl_memory_free(&s->memory, bytes);
    return status;
}

static pl_status export_weights(pl_session *s, const pl_entry *entry) {
    pl_module *plain = NULL;
    PL_TRY(exportable(s, entry));
    if (!pl_lora_keeps_origin(&entry->module->options))
        return export_module(s, entry->module);
    PL_TRY(pl_lora_plain(&s->memory, s->model, entry->module, &plain, &s->error));
    pl_status status = export_module(s, plain);
    pl_module_free(plain);
    return status;
}

int32_t pl_module_export_weights(pl_session *s, int32_t id) {
    session_begin(s);
    pl_entry *entry = session_entry(s, id);
    return session_end(s, entry ? export_weights(s, entry) : s->error.status);
}
