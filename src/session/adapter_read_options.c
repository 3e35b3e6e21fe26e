/* Method and options out of an adapter folder's config and tensors. */
#include <stdio.h>
#include <string.h>

#include "io/tensor_names.h"
#include "peft/bottleneck.h"
#include "peft/virtual.h"
#include "session/adapter_file.h"

/* Rows of the tensor whose normalised key ends with tail, or 0. */
static int64_t rows_of(const pl_safetensors *file, const char *tail) {
    for (int32_t i = 0; i < file->count; i++) {
        char key[PL_FILE_NAME_SIZE];
        if (pl_tensor_name_normal(file->tensors[i].name, key, sizeof key, NULL) != PL_OK)
            continue;
        size_t length = strlen(key), wanted = strlen(tail);
        if (length >= wanted && strcmp(key + length - wanted, tail) == 0)
            return file->tensors[i].shape[0];
    }
    return 0;
}

static pl_status read_virtual(const pl_json *config, const pl_safetensors *file, pl_options *options,
                              pl_error *error) {
    int64_t said = 0, rows = rows_of(file, "prompt_embeddings");
    PL_TRY(pl_json_get_int(config, "adapter_config.json", "num_virtual_tokens", false, 1, 1 << 20, &said,
                           error));
    if (rows == 0)
        return pl_fail(error, PL_ERR_FORMAT, "the weights have no prompt_embeddings");
    if (said && said != rows)
        return pl_fail(error, PL_ERR_MISMATCH,
                       "prompt_embeddings has %lld rows but adapter_config.json says num_virtual_tokens %lld",
                       (long long)rows, (long long)said);
    return pl_options_set_number(options, "num_virtual_tokens", (double)rows, error);
}

/* Targets of any per-map method from the keys that end with tail. */
static pl_status targets_from_keys(const pl_safetensors *file, const pl_config *model,
                                   const char *tail_wanted, pl_options *options, pl_error *error) {
    memset(options->targets, 0, sizeof options->targets);
    for (int32_t i = 0; i < file->count; i++) {
        char key[PL_FILE_NAME_SIZE];
        int32_t layer;
        pl_site site;
        const char *tail;
        PL_TRY(adapter_check_place(file->tensors[i].name, error));
        PL_TRY(pl_tensor_name_normal(file->tensors[i].name, key, sizeof key, error));
        if (adapter_key_place(key, model, &layer, &site, &tail) && strcmp(tail, tail_wanted) == 0)
            options->targets[layer] |= (uint8_t)(1U << site);
    }
    return PL_OK;
}

static pl_status read_activation(const pl_json *config, bool old_file, pl_options *options,
                                 const pl_config *model, pl_error *error) {
    const char *word = NULL;
    PL_TRY(pl_json_get_word(config, "adapter_config.json", "non_linearity", &word, error));
    if (!word)
        return PL_OK;
    if (strcmp(word, "silu") == 0)
        word = "swish";
    if (old_file && strcmp(word, "gelu") == 0) /* files without a version were trained with the tanh form */
        word = "gelu_new";
    return pl_options_set_text(options, model, "non_linearity", word, error);
}

pl_status adapter_read_dropout(const pl_json *config, const char *key, pl_options *options, pl_text *notes,
                               pl_error *error) {
    const double most = options->method->options[pl_option_index(options->method, "dropout")].maximum;
    double dropout = 0;
    PL_TRY(pl_json_get_number(config, "adapter_config.json", key, false, 0, 1, &dropout, error));
    if (dropout <= most)
        return pl_options_set_number(options, "dropout", dropout, error);
    char note[120];
    (void)snprintf(note, sizeof note, "%s %g is more than training here takes; trained further it is %g", key,
                   dropout, most);
    pl_write_string(notes, note);
    return pl_options_set_number(options, "dropout", most, error);
}

static pl_status read_per_linear(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                                 pl_options *options, pl_text *notes, pl_error *error) {
    double scaling = 1;
    bool parallel = false, after = false;
    const char *what = "adapter_config.json";
    PL_TRY(pl_json_get_bool(config, what, "use_parallel_adapter", false, &parallel, error));
    PL_TRY(pl_json_get_bool(config, what, "use_adapterp", false, &after, error));
    PL_TRY(pl_json_get_number(config, what, "scaling", false, -1e4, 1e4, &scaling, error));
    PL_TRY(pl_options_set_text(options, model, "variant", parallel ? "per_linear_parallel" : "per_linear",
                               error));
    PL_TRY(pl_options_set_number(options, "bottleneck_size", (double)rows_of(file, "adapter_down.weight"),
                                 error));
    PL_TRY(pl_options_set_number(options, "scaling", scaling, error));
    PL_TRY(adapter_read_dropout(config, "adapter_dropout", options, notes, error));
    PL_TRY(read_activation(config, false, options, model, error));
    PL_TRY(targets_from_keys(file, model, "adapter_down.weight", options, error));
    return adapter_check_targets(config, model, options, notes, error);
}

static pl_status hub_variant(const pl_json *config, const char **variant, pl_error *error) {
    bool mh = pl_json_bool(pl_json_get(config, "mh_adapter")),
         output = pl_json_bool(pl_json_get(config, "output_adapter"));
    bool parallel = pl_json_bool(pl_json_get(config, "is_parallel")),
         before = pl_json_bool(pl_json_get(config, "original_ln_before"));
    const pl_json *after = pl_json_get(config, "original_ln_after");
    bool plain_after = !after || pl_json_bool(after);
    if (output && plain_after && !mh && parallel && !before)
        *variant = "parallel";
    else if (output && plain_after && !mh && !parallel && before)
        *variant = "pfeiffer";
    else if (output && plain_after && mh && !parallel && !before)
        *variant = "houlsby";
    else
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "adapter_config.json: this placement (mh_adapter, output_adapter, is_parallel, "
                       "original_ln_before) is none of "
                       "seq_bn, double_seq_bn and par_bn");
    return PL_OK;
}

/* Other values let the adapter's own input, or nothing at all, pass by it. */
static pl_status check_residual(const pl_json *config, pl_error *error) {
    const pl_json *before = pl_json_get(config, "residual_before_ln");
    if (!before || pl_json_bool(before))
        return PL_OK;
    return pl_fail(error, PL_ERR_UNSUPPORTED,
                   "adapter_config.json: residual_before_ln must be true: another residual is not supported "
                   "here, and ignoring it would give wrong results");
}

static pl_status hub_layers(const pl_json *config, const pl_config *model, pl_options *options,
                            pl_error *error) {
    const pl_json *left_out;
    PL_TRY(pl_json_get_list(config, "adapter_config.json", "leave_out", &left_out, error));
    for (int32_t l = 0; l < model->num_hidden_layers; l++)
        options->targets[l] = (uint8_t)((1U << PL_SITE_COUNT) - 1);
    for (const pl_json *item = left_out; item; item = pl_json_next(item)) {
        double layer = pl_json_is_number(item) ? pl_json_number(item) : -1.0;
        if (!(layer >= 0 && layer < model->num_hidden_layers) || layer != (double)(int32_t)layer)
            return pl_fail(
                error, PL_ERR_MISMATCH,
                "adapter_config.json: leave_out must name layers of this model, whole numbers from 0 to "
                "%d",
                model->num_hidden_layers - 1);
        options->targets[(int32_t)layer] = 0;
    }
    return PL_OK;
}

static pl_status read_hub(const pl_json *root, const pl_safetensors *file, const pl_config *model,
                          pl_options *options, char name[64], pl_text *notes, pl_error *error) {
    static const char *const refused[] = {"ln_before",
                                          "ln_after",
                                          "use_gating",
                                          "phm_layer",
                                          "cross_adapter",
                                          "inv_adapter",
                                          "adapter_residual_before_ln",
                                          "stochastic_depth"};
    const pl_json *config = pl_json_get(root, "config");
    const char *variant = NULL, *file_name = pl_json_string(pl_json_get(root, "name")), *architecture = NULL;
    int64_t hidden = model->hidden_size;
    PL_TRY(pl_json_get_word(config, "adapter_config.json", "architecture", &architecture, error));
    if (architecture)
        return pl_fail(
            error, PL_ERR_UNSUPPORTED,
            "adapter_config.json: architecture \"%s\" of AdapterHub is not supported; bottleneck adapters "
            "are, and LoRA in peft's format",
            architecture);
    PL_TRY(pl_json_get_int(root, "adapter_config.json", "hidden_size", false, 1, 1 << 20, &hidden, error));
    if (hidden != model->hidden_size)
        return pl_fail(error, PL_ERR_MISMATCH,
                       "this adapter was made for hidden_size %lld, the loaded model has %d",
                       (long long)hidden, model->hidden_size);
    int32_t count = (int32_t)(sizeof refused / sizeof refused[0]);
    const pl_json *depth = pl_json_get(config, "stochastic_depth");
    PL_TRY(adapter_refuse(config, refused,
                          pl_json_is_number(depth) && pl_json_number(depth) == 0.0 ? count - 1 : count,
                          error));
    PL_TRY(hub_variant(config, &variant, error));
    PL_TRY(check_residual(config, error));
    PL_TRY(pl_options_set_text(options, model, "variant", variant, error));
    PL_TRY(pl_options_set_number(options, "bottleneck_size", (double)rows_of(file, "adapter_down.0.weight"),
                                 error));
    const char *scaling = pl_json_string(pl_json_get(config, "scaling"));
    double scale = 1;
    if (scaling && strcmp(scaling, "learned") != 0)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "adapter_config.json: scaling \"%s\" is not supported; a number or \"learned\" is",
                       scaling);
    if (!scaling)
        PL_TRY(pl_json_get_number(config, "adapter_config.json", "scaling", false, -1e4, 1e4, &scale, error));
    PL_TRY(pl_options_set_number(options, "learned_scale", scaling ? 1 : 0, error));
    if (!scaling)
        PL_TRY(pl_options_set_number(options, "scaling", scale, error));
    PL_TRY(adapter_read_dropout(config, "dropout", options, notes, error));
    PL_TRY(read_activation(config, !pl_json_get(root, "version"), options, model, error));
    if (file_name)
        (void)snprintf(name, 64, "%.48s", file_name);
    return hub_layers(config, model, options, error);
}

pl_status adapter_read_options(const pl_json *root, const pl_safetensors *file, const pl_config *model,
                               session_options *kept, char name[64], pl_text *notes, pl_error *error) {
    pl_options *options = &kept->values;
    if (!pl_json_is_object(root))
        return pl_fail(error, PL_ERR_FORMAT, "adapter_config.json must be a JSON object");
    const char *type = pl_json_string(pl_json_get(root, "peft_type"));
    bool hub = !type && pl_json_is_object(pl_json_get(root, "config"));
    static const char *const methods[][2] = {{"LORA", "lora"},
                                             {"IA3", "ia3"},
                                             {"LN_TUNING", "norms"},
                                             {"PROMPT_TUNING", "prompt"},
                                             {"PREFIX_TUNING", "prefix"},
                                             {"BOTTLENECK", "adapter"}};
    const pl_method *method = hub ? &PL_METHOD_BOTTLENECK : NULL;
    for (size_t i = 0; type && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(type, methods[i][0]) == 0)
            method = pl_method_find(methods[i][1]);
    if (!method)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "adapter_config.json: peft_type \"%s\" is not supported; LORA, IA3, LN_TUNING, "
                       "PROMPT_TUNING, PREFIX_TUNING and "
                       "bottleneck adapters are",
                       type ? type : "(none)");
    pl_options_default(method, model, options);
    static const char *const saved[] = {"modules_to_save"};
    PL_TRY(adapter_refuse(root, saved, 1, error));
    if (hub)
        return read_hub(root, file, model, options, name, notes, error);
    if (strcmp(method->name, "lora") == 0)
        return adapter_read_lora(root, file, model, options, notes, error);
    if (method == &PL_METHOD_PROMPT || method == &PL_METHOD_PREFIX)
        return read_virtual(root, file, options, error);
    if (method == &PL_METHOD_BOTTLENECK)
        return read_per_linear(root, file, model, options, notes, error);
    if (strcmp(method->name, "ia3") != 0)
        return adapter_read_norms(root, file, model, kept, notes, error);
    PL_TRY(targets_from_keys(file, model, "ia3_l", options, error));
    PL_TRY(adapter_check_targets(root, model, options, notes, error));
    return adapter_read_ia3(root, file, model, kept, notes, error);
}
