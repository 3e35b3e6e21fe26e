/* adapter_config.json of every method, keys sorted as peft sorts them. */
#include <stdio.h>
#include <string.h>

#include "peft/bottleneck.h"
#include "peft/virtual.h"
#include "session/adapter_file.h"

/* A float that looks like one: AdapterHub refuses an integer scaling. */
static void write_key_float(pl_text *out, const char *key, double value) {
    size_t before;
    pl_write_key(out, key);
    before = out->length;
    pl_write_number(out, value);
    if (!out->failed && !strpbrk(out->data + before, ".en")) /* also "null", which needs no point */
        pl_text_bytes(out, ".0", 2);
}

static void write_key_null(pl_text *out, const char *key) {
    pl_write_key(out, key);
    pl_write_null(out);
}

static const char *choice(const pl_options *options, const char *name, char word[32]) {
    const pl_option *option = &options->method->options[pl_option_index(options->method, name)];
    const char *from = option->choices;
    for (int32_t i = (int32_t)pl_option_number(options, name); i > 0 && strchr(from, '|'); i--)
        from = strchr(from, '|') + 1;
    const char *end = strchr(from, '|');
    (void)snprintf(word, 32, "%.*s", (int)(end ? end - from : (int)strlen(from)), from);
    return word;
}

/* null when every layer has targets (or full paths are listed). */
static void write_layers(pl_text *out, const pl_options *options, const pl_config *model) {
    uint8_t mask;
    int32_t layers;
    if (session_targets_uniform(options, model, &mask, &layers) && layers < model->num_hidden_layers)
        session_write_target_layers(out, options, model);
    else
        write_key_null(out, "layers_to_transform");
}

static void write_patterns(pl_text *out, const pl_options *options, const char *name) {
    int32_t index = pl_option_index(options->method, name);
    pl_write_key(out, name);
    pl_write_begin(out, '{');
    for (int32_t i = 0; i < options->pattern_count; i++)
        if (options->pattern_option[i] == index)
            pl_write_key_number(out, options->patterns[i].key, options->patterns[i].value);
    pl_write_end(out, '}');
}

static void write_lora(pl_text *out, const pl_options *o, const pl_config *model) {
    char word[32];
    write_patterns(out, o, "alpha_pattern");
    write_key_null(out, "auto_mapping");
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_string(out, "bias", "none");
    pl_write_key_bool(out, "fan_in_fan_out", false);
    pl_write_key_bool(out, "inference_mode", true);
    pl_write_key(out, "init_lora_weights");
    choice(o, "init", word);
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        pl_write_bool(out, strcmp(word, "true") == 0);
    else
        pl_write_string(out, word);
    write_layers(out, o, model);
    write_key_null(out, "layers_pattern");
    pl_write_key_number(out, "lora_alpha", pl_option_number(o, "alpha"));
    pl_write_key_bool(out, "lora_bias", false);
    write_key_float(out, "lora_dropout", pl_option_number(o, "dropout"));
    write_key_null(out, "modules_to_save");
    pl_write_key_string(out, "peft_type", "LORA");
    pl_write_key_int(out, "r", (int64_t)pl_option_number(o, "rank"));
    write_patterns(out, o, "rank_pattern");
    write_key_null(out, "revision");
    session_write_target_names(out, o, model);
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
    pl_write_key_bool(out, "use_dora", pl_option_number(o, "use_dora") != 0.0);
    pl_write_key_bool(out, "use_rslora", pl_option_number(o, "use_rslora") != 0.0);
}

static void write_list(pl_text *out, const char *key, const char *list) {
    pl_write_key(out, key);
    pl_write_begin(out, '[');
    while (list && *list) {
        size_t length = strcspn(list, ",");
        pl_write_string_n(out, list, length);
        list += length + (list[length] == ',' ? 1 : 0);
    }
    pl_write_end(out, ']');
}

/* These formats have no layers_to_transform, and a name stands for that map of every layer: where some layers have none, paths say it. */
static bool needs_paths(const pl_options *o, const pl_config *model) {
    uint8_t mask;
    int32_t layers;
    return !session_targets_uniform(o, model, &mask, &layers) || layers < model->num_hidden_layers;
}

static void write_ia3(pl_text *out, const pl_options *o, const pl_config *model) {
    const char *inputs = o->text[pl_option_index(o->method, "feedforward_modules")];
    const bool paths = needs_paths(o, model);
    write_key_null(out, "auto_mapping");
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_bool(out, "fan_in_fan_out", false);
    session_write_targets_named(out, o, model, "feedforward_modules", inputs ? inputs : "", paths);
    pl_write_key_bool(out, "inference_mode", true);
    pl_write_key_bool(out, "init_ia3_weights", true);
    write_key_null(out, "modules_to_save");
    pl_write_key_string(out, "peft_type", "IA3");
    write_key_null(out, "revision");
    session_write_targets_named(out, o, model, "target_modules", NULL, paths);
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
}

static void write_norms(pl_text *out, const pl_options *o, const pl_config *model) {
    (void)model;
    write_key_null(out, "auto_mapping");
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_bool(out, "inference_mode", true);
    write_key_null(out, "modules_to_save");
    pl_write_key_string(out, "peft_type", "LN_TUNING");
    write_key_null(out, "revision");
    write_list(out, "target_modules", o->text[pl_option_index(o->method, "target_modules")]);
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
}

/* The rows are stored, so how they began no longer matters; RANDOM is the one choice that asks for no tokenizer at load. */
static void write_prompt(pl_text *out, const pl_options *o, const pl_config *model) {
    write_key_null(out, "auto_mapping");
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_bool(out, "inference_mode", true);
    pl_write_key_int(out, "num_attention_heads", model->num_attention_heads);
    pl_write_key_int(out, "num_layers", model->num_hidden_layers);
    pl_write_key_int(out, "num_transformer_submodules", 1);
    pl_write_key_int(out, "num_virtual_tokens", (int64_t)pl_option_number(o, "num_virtual_tokens"));
    pl_write_key_string(out, "peft_type", "PROMPT_TUNING");
    pl_write_key_string(out, "prompt_tuning_init", "RANDOM");
    write_key_null(out, "prompt_tuning_init_text");
    write_key_null(out, "revision");
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
    pl_write_key_int(out, "token_dim", model->hidden_size);
    write_key_null(out, "tokenizer_name_or_path");
}

static void write_prefix(pl_text *out, const pl_options *o, const pl_config *model) {
    int32_t width = model->num_key_value_heads * model->head_dim;
    write_key_null(out, "auto_mapping");
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_int(out, "encoder_hidden_size", width);
    pl_write_key_bool(out, "inference_mode", true);
    pl_write_key_int(out, "num_attention_heads", model->num_key_value_heads);
    pl_write_key_int(out, "num_layers", model->num_hidden_layers);
    pl_write_key_int(out, "num_transformer_submodules", 1);
    pl_write_key_int(out, "num_virtual_tokens", (int64_t)pl_option_number(o, "num_virtual_tokens"));
    pl_write_key_string(out, "peft_type", "PREFIX_TUNING");
    pl_write_key_bool(out, "prefix_projection", false); /* the flat table is what the file holds */
    write_key_null(out, "revision");
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
    pl_write_key_int(out, "token_dim", width);
}

static const char *activation_word(const pl_options *o) {
    switch (pl_bottleneck_activation(o)) {
    case PL_ACT_RELU:
        return "relu";
    case PL_ACT_SILU:
        return "swish";
    case PL_ACT_GELU:
        return "gelu";
    case PL_ACT_GELU_TANH:
        return "gelu_new";
    case PL_ACT_TANH:
        return "tanh";
    case PL_ACT_IDENTITY:
        break;
    }
    return "linear";
}

static const char *init_word(const pl_options *o, char word[32]) {
    choice(o, "init_weights", word);
    if (strcmp(word, "auto") == 0)
        return pl_bottleneck_variant_of(o) == PL_BOTTLENECK_PARALLEL ? "mam_adapter" : "bert";
    return word;
}

static void write_per_linear(pl_text *out, const pl_options *o, const pl_config *model) {
    char word[32];
    write_key_float(out, "adapter_dropout", pl_option_number(o, "dropout"));
    write_key_null(out, "base_model_name_or_path");
    pl_write_key_string(out, "bias", "none");
    pl_write_key_int(out, "bottleneck_size", pl_bottleneck_size(o, model));
    pl_write_key_bool(out, "inference_mode", true);
    pl_write_key_string(out, "init_weights", init_word(o, word));
    pl_write_key_string(out, "non_linearity", activation_word(o));
    pl_write_key_string(out, "peft_type", "BOTTLENECK");
    write_key_float(out, "scaling", pl_bottleneck_scale(o));
    session_write_targets_named(out, o, model, "target_modules", NULL, needs_paths(o, model));
    pl_write_key_string(out, "task_type", "CAUSAL_LM");
    pl_write_key_bool(out, "use_adapterp", false);
    pl_write_key_bool(out, "use_parallel_adapter",
                      pl_bottleneck_variant_of(o) == PL_BOTTLENECK_PER_LINEAR_PARALLEL);
}

/* Readers compute m = int(d // reduction_factor): d / m itself where that is a whole number, else a value in the middle of those that give m
   (d / m would be rounded up in binary and give m - 1). */
static double reduction_factor(int32_t d, int32_t m) {
    return d % m == 0 ? (double)d / m : (double)d / ((double)m + 0.5);
}

static void write_hub_config(pl_text *out, const pl_options *o, const pl_config *model) {
    char word[32];
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(o);
    pl_write_begin(out, '{');
    pl_write_key_bool(out, "adapter_residual_before_ln", false);
    pl_write_key_bool(out, "cross_adapter", false);
    write_key_float(out, "dropout", pl_option_number(o, "dropout"));
    pl_write_key_string(out, "init_weights", init_word(o, word));
    write_key_null(out, "inv_adapter");
    write_key_null(out, "inv_adapter_reduction_factor");
    pl_write_key_bool(out, "is_parallel", variant == PL_BOTTLENECK_PARALLEL);
    pl_write_key(out, "leave_out");
    pl_write_begin(out, '[');
    for (int32_t l = 0; l < model->num_hidden_layers; l++)
        if (!o->targets[l])
            pl_write_int(out, l);
    pl_write_end(out, ']');
    pl_write_key_bool(out, "ln_after", false);
    pl_write_key_bool(out, "ln_before", false);
    pl_write_key_bool(out, "mh_adapter", variant == PL_BOTTLENECK_HOULSBY);
    pl_write_key_string(out, "non_linearity", activation_word(o));
    pl_write_key_bool(out, "original_ln_after", true);
    pl_write_key_bool(out, "original_ln_before", variant == PL_BOTTLENECK_PFEIFFER);
    pl_write_key_bool(out, "output_adapter", true);
    pl_write_key_bool(out, "phm_layer", false);
    write_key_float(out, "reduction_factor",
                    reduction_factor(model->hidden_size, pl_bottleneck_size(o, model)));
    pl_write_key_bool(out, "residual_before_ln", true);
    if (pl_bottleneck_scale_learned(o))
        pl_write_key_string(out, "scaling", "learned");
    else
        write_key_float(out, "scaling", pl_bottleneck_scale(o));
    write_key_float(out, "stochastic_depth", 0.0);
    pl_write_key_bool(out, "use_gating", false);
    pl_write_end(out, '}');
}

typedef void config_writer(pl_text *out, const pl_options *o, const pl_config *model);

/* NULL for a method without a folder format. */
static config_writer *writer_of(const pl_method *method) {
    static const struct {
        const char *method;
        config_writer *write;
    } writers[] = {{"adapter", write_per_linear}, {"ia3", write_ia3},       {"lora", write_lora},
                   {"norms", write_norms},        {"prefix", write_prefix}, {"prompt", write_prompt}};
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++)
        if (strcmp(method->name, writers[i].method) == 0)
            return writers[i].write;
    return NULL;
}

bool adapter_file_known(const pl_method *method) { return writer_of(method) != NULL; }

void adapter_write_config(pl_text *out, const pl_options *o, const char *name, const pl_config *model) {
    pl_write_begin(out, '{');
    if (pl_file_is_hub(o)) {
        pl_write_key(out, "config");
        write_hub_config(out, o, model);
        pl_write_key_int(out, "hidden_size", model->hidden_size);
        pl_write_key_string(out, "model_class", "LlamaForCausalLM");
        write_key_null(out, "model_name");
        pl_write_key_string(out, "model_type", "llama");
        pl_write_key_string(out, "name", name);
        pl_write_key_string(out, "version", "adapters.1.2.0");
    } else {
        writer_of(o->method)(out, o, model);
    }
    pl_write_end(out, '}');
}
