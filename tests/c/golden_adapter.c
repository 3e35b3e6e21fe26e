#include "golden_adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_golden.h"

static void demand(bool ok, const char *what, const char *detail) {
    if (ok)
        return;
    fprintf(stderr, "fixture %s: %s\n", what, detail);
    abort();
}

pl_safetensors golden_tensors(pl_memory *memory, const char *path) {
    char full[300];
    size_t size = 0;
    pl_error error = {0};
    pl_safetensors file;
    (void)snprintf(full, sizeof full, "tests/golden/%s", path);
    const char *bytes = golden_file(memory, full, &size);
    demand(bytes != NULL, full, "cannot be read");
    demand(pl_safetensors_open(memory, (const uint8_t *)bytes, size, full, &file, &error) == PL_OK, full,
           error.message);
    return file;
}

pl_json *golden_json(pl_memory *memory, const char *path) {
    char full[300];
    size_t size = 0;
    pl_error error = {0};
    pl_json *root = NULL;
    (void)snprintf(full, sizeof full, "tests/golden/%s", path);
    const char *text = golden_file(memory, full, &size);
    demand(text != NULL, full, "cannot be read");
    demand(pl_json_parse(text, size, full, &root, &error) == PL_OK, full, error.message);
    return root;
}

void golden_key(const pl_module *module, const pl_tensor *tensor, char key[2 * PL_NAME_SIZE]) {
    if (strcmp(module->method->name, "full") == 0) {
        (void)snprintf(key, 2 * PL_NAME_SIZE, "%s", tensor->name);
        return;
    }
    bool norm = strcmp(module->method->name, "norms") == 0;
    size_t length = strlen(tensor->name) - (norm ? strlen(".weight") : 0);
    (void)snprintf(key, 2 * PL_NAME_SIZE, "base_model.model.%.*s%s", (int)length, tensor->name,
                   norm ? ".ln_tuning_layers.weight" : "");
}

static void set(pl_options *options, const char *name, const pl_json *value) {
    pl_error error = {0};
    double number = pl_json_is_bool(value) ? (double)pl_json_bool(value) : pl_json_number(value);
    if (value && !pl_json_is_null(value))
        demand(pl_options_set_number(options, name, number, &error) == PL_OK, name, error.message);
}

static void set_patterns(pl_options *options, const pl_config *config, const char *name,
                         const pl_json *patterns) {
    pl_error error = {0};
    for (const pl_json *p = pl_json_first(patterns); p; p = pl_json_next(p))
        demand(pl_options_set_pattern(options, config, name, pl_json_key(p), pl_json_number(p), &error) ==
                   PL_OK,
               name, error.message);
}

static void set_targets(pl_options *options, const pl_config *config, const pl_json *root) {
    char list[512] = "";
    size_t used = 0;
    int32_t layers[PL_LAYERS_MAX], count = 0;
    pl_error error = {0};
    const pl_json *targets = pl_json_get(root, "target_modules");
    demand(pl_json_is_array(targets), "target_modules", "a list is expected");
    for (const pl_json *t = pl_json_first(targets); t; t = pl_json_next(t))
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? "," : "", pl_json_string(t));
    demand(pl_options_set_text(options, config, "target_modules", list, &error) == PL_OK, list,
           error.message);
    for (const pl_json *l = pl_json_first(pl_json_get(root, "layers_to_transform")); l; l = pl_json_next(l))
        layers[count++] = (int32_t)pl_json_number(l);
    demand(pl_options_limit(options, config, layers, count, NULL, &error) == PL_OK, "layers", error.message);
}

static void read_options(const pl_json *root, const pl_config *config, pl_options *options) {
    const char *type = pl_json_string(pl_json_get(root, "peft_type"));
    if (strcmp(type, "LN_TUNING") == 0) {
        pl_options_default(pl_method_find("norms"), config, options);
        return;
    }
    bool lora = strcmp(type, "LORA") == 0;
    pl_options_default(pl_method_find(lora ? "lora" : "ia3"), config, options);
    set_targets(options, config, root);
    if (!lora)
        return;
    set(options, "rank", pl_json_get(root, "r"));
    set(options, "alpha", pl_json_get(root, "lora_alpha"));
    set(options, "use_rslora", pl_json_get(root, "use_rslora"));
    set(options, "use_dora", pl_json_get(root, "use_dora"));
    const char *init = pl_json_string(pl_json_get(root, "init_lora_weights"));
    pl_error error = {0};
    if (init)
        demand(pl_options_set_text(options, config, "init", init, &error) == PL_OK, init, error.message);
    set_patterns(options, config, "rank_pattern", pl_json_get(root, "rank_pattern"));
    set_patterns(options, config, "alpha_pattern", pl_json_get(root, "alpha_pattern"));
}

pl_module *golden_module(pl_memory *memory, pl_model *model, const char *folder, const char *name) {
    char path[200];
    pl_options options;
    pl_error error = {0};
    pl_module *module = NULL;
    (void)snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    pl_json *root = golden_json(memory, path);
    read_options(root, &model->config, &options);
    pl_json_free(root);
    demand(pl_module_create(memory, model, &options, name, 1, &module, &error) == PL_OK, folder,
           error.message);
    demand(pl_module_trainable(module, true, &error) == PL_OK, folder, error.message);
    (void)snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    pl_safetensors file = golden_tensors(memory, path);
    demand(file.count == module->layout.count, folder, "declares other tensors than the file has");
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        char key[2 * PL_NAME_SIZE];
        golden_key(module, tensor, key);
        const pl_file_tensor *stored = pl_safetensors_find(&file, key);
        demand(stored && stored->elements == tensor->rows * tensor->cols, folder, key);
        demand(pl_safetensors_read(stored, key, module->values + tensor->offset, &error) == PL_OK, folder,
               error.message);
    }
    return module;
}
