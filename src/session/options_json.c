/* {"rank": 8, "target_modules": ["q_proj"], …} <-> pl_options. peft's spellings of the same things are accepted too. */
#include <stdio.h>
#include <string.h>

#include "peft/bottleneck.h"
#include "session/internal.h"

enum { PL_LIST_SIZE = 1 << 16 /* more than every path of the deepest model */ };

/* peft's LoraConfig word -> ours. */
static const char *canonical(const char *key) {
    static const char *const aliases[][2] = {
        {"r", "rank"},
        {"lora_alpha", "alpha"},
        {"lora_dropout", "dropout"},
        {"init_lora_weights", "init"},
    };
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(key, aliases[i][0]) == 0)
            return aliases[i][1];
    return key;
}

pl_status session_find_method(pl_session *s, const char *name, const pl_method **method) {
    char known[200] = "";
    *method = name ? pl_method_find(name) : NULL;
    if (*method)
        return PL_OK;
    for (int32_t i = 0; i < PL_METHOD_COUNT; i++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", PL_METHODS[i]->name);
    }
    return pl_fail(&s->error, PL_ERR_ARGUMENT, "method \"%s\" is unknown; there are %s",
                   name ? name : "(none)", known);
}

/* Characters of a text, or of an array of texts joined by commas. */
static pl_status list_length(const pl_json *node, const char *key, size_t *length, pl_error *error) {
    *length = 0;
    if (pl_json_is_string(node))
        *length = strlen(pl_json_string(node));
    else if (!pl_json_is_array(node))
        return pl_fail(error, PL_ERR_ARGUMENT, "%s must be a text or a list of texts", key);
    for (const pl_json *item = pl_json_is_array(node) ? pl_json_first(node) : NULL; item;
         item = pl_json_next(item)) {
        if (!pl_json_is_string(item))
            return pl_fail(error, PL_ERR_ARGUMENT, "%s must be a list of module names, each a text in quotes",
                           key);
        *length += strlen(pl_json_string(item)) + 1;
    }
    if (*length >= PL_LIST_SIZE)
        return pl_fail(
            error, PL_ERR_RANGE,
            "%s: the list has %zu characters, more than the %d it may have; name whole kinds of maps "
            "(q_proj) instead of every path",
            key, *length, PL_LIST_SIZE - 1);
    return PL_OK;
}

/* A text, or an array of texts joined by commas, as a new text. */
static pl_status read_list(pl_memory *memory, const pl_json *node, const char *key, char **list,
                           pl_error *error) {
    size_t length = 0, used = 0;
    *list = NULL;
    PL_TRY(list_length(node, key, &length, error));
    char *joined = pl_memory_alloc(memory, length + 1, 1);
    if (!joined)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the option %s", key);
    if (pl_json_is_string(node))
        memcpy(joined, pl_json_string(node), length);
    for (const pl_json *item = pl_json_is_array(node) ? pl_json_first(node) : NULL; item;
         item = pl_json_next(item)) {
        const size_t size = strlen(pl_json_string(item));
        if (used)
            joined[used++] = ',';
        memcpy(joined + used, pl_json_string(item), size);
        used += size;
    }
    *list = joined;
    return PL_OK;
}

static pl_status read_pattern(const pl_json *node, const pl_config *config, const char *key,
                              pl_options *options, pl_error *error) {
    if (!pl_json_is_object(node))
        return pl_fail(error, PL_ERR_ARGUMENT, "%s must be an object of module names and numbers", key);
    for (const pl_json *item = pl_json_first(node); item; item = pl_json_next(item)) {
        if (!pl_json_is_number(item))
            return pl_fail(error, PL_ERR_ARGUMENT, "%s: \"%s\" must have a number", key, pl_json_key(item));
        PL_TRY(pl_options_set_pattern(options, config, key, pl_json_key(item), pl_json_number(item), error));
    }
    return PL_OK;
}

pl_status session_set_list(session_options *kept, const pl_json *node, const pl_config *config,
                           const char *name, pl_error *error) {
    char *list;
    if (kept->text_count == PL_OPTION_TEXTS_MAX)
        return pl_fail(error, PL_ERR_RANGE, "at most %d lists can be set", PL_OPTION_TEXTS_MAX);
    PL_TRY(read_list(kept->memory, node, name, &list, error));
    kept->texts[kept->text_count++] = list;
    return pl_options_set_text(&kept->values, config, name, list, error);
}

/* seen: bits of the options that were set before, under whatever spelling. */
static pl_status read_option(const pl_json *node, const pl_config *config, session_options *kept,
                             uint32_t *seen, pl_error *error) {
    const char *key = canonical(pl_json_key(node));
    pl_options *options = &kept->values;
    int32_t index = pl_option_index(options->method, key);
    if (index == PL_NONE)
        return pl_options_find(options, pl_json_key(node), &index, error);
    if (*seen >> index & 1U)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "option %s is given twice, once as \"%s\": leave one of them out", key,
                       pl_json_key(node));
    *seen |= 1U << index;
    switch (options->method->options[index].type) {
    case PL_OPTION_PATTERN:
        return read_pattern(node, config, key, options, error);
    case PL_OPTION_TARGETS:
        return session_set_list(kept, node, config, key, error);
    case PL_OPTION_CHOICE:
        if (pl_json_is_number(node))
            return pl_fail(error, PL_ERR_ARGUMENT, "%s must be one of %s, not the number %g", key,
                           options->method->options[index].choices, pl_json_number(node));
        break;
    case PL_OPTION_INT:
    case PL_OPTION_REAL:
    case PL_OPTION_BOOL:
    case PL_OPTION_TEXT:
        break;
    }
    if (pl_json_is_array(node) && options->method->options[index].type == PL_OPTION_TEXT)
        return session_set_list(kept, node, config, key, error);
    if (pl_json_is_number(node))
        return pl_options_set_number(options, key, pl_json_number(node), error);
    if (pl_json_is_bool(node))
        return pl_options_set_text(options, config, key, pl_json_bool(node) ? "true" : "false", error);
    if (pl_json_is_string(node))
        return pl_options_set_text(options, config, key, pl_json_string(node), error);
    return pl_fail(error, PL_ERR_ARGUMENT, "option %s has a value of the wrong type", pl_json_key(node));
}

static pl_status read_layer(const pl_json *node, const pl_config *config, int32_t *layer, pl_error *error) {
    double value = pl_json_is_number(node) ? pl_json_number(node) : -1.0;
    if (!(value >= 0 && value < config->num_hidden_layers) || value != (double)(int32_t)value)
        return pl_fail(error, PL_ERR_RANGE,
                       "layers_to_transform: layers are whole numbers from 0 to %d, one or a list of them",
                       config->num_hidden_layers - 1);
    *layer = (int32_t)value;
    return PL_OK;
}

/* Where nothing would be narrowed, that is said. what: the first of the two words that was given. */
static pl_status check_limits(const pl_options *options, const char *what, bool excludes, pl_error *error) {
    const pl_method *method = options->method;
    int32_t index = pl_option_index(method, "target_modules");
    if (index == PL_NONE || method->options[index].type != PL_OPTION_TARGETS)
        return pl_fail(error, PL_ERR_ARGUMENT, "%s adapts no linear maps that %s could narrow%s",
                       method->label, what,
                       index == PL_NONE ? "" : "; name what to train in target_modules instead");
    if (excludes && method == &PL_METHOD_BOTTLENECK &&
        pl_bottleneck_variant_of(options) < PL_BOTTLENECK_PER_LINEAR)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "exclude_modules leaves linear maps out, and adapters in this placement stand around "
                       "whole sub-layers; use layers_to_transform, or a per_linear variant");
    return PL_OK;
}

/* layers_to_transform and exclude_modules narrow the targets after all options are known. */
static pl_status read_limits(pl_memory *memory, const pl_json *node, const pl_config *config,
                             pl_options *options, pl_error *error) {
    const pl_json *layers = pl_json_get(node, "layers_to_transform"),
                  *exclude = pl_json_get(node, "exclude_modules");
    int32_t list[PL_LAYERS_MAX], count = 0;
    char *words = NULL;
    bool limits = layers && !pl_json_is_null(layers), excludes = exclude && !pl_json_is_null(exclude);
    if (!limits && !excludes)
        return PL_OK;
    PL_TRY(check_limits(options, limits ? "layers_to_transform" : "exclude_modules", excludes, error));
    if (limits && !pl_json_is_array(layers))
        PL_TRY(read_layer(layers, config, &list[count++], error));
    for (const pl_json *item = pl_json_is_array(layers) ? pl_json_first(layers) : NULL; item;
         item = pl_json_next(item)) {
        if (count == PL_LAYERS_MAX)
            return pl_fail(error, PL_ERR_RANGE, "layers_to_transform: more than %d layers", PL_LAYERS_MAX);
        PL_TRY(read_layer(item, config, &list[count++], error));
    }
    if (excludes)
        PL_TRY(read_list(memory, exclude, "exclude_modules", &words, error));
    pl_status status = pl_options_limit(options, config, list, count, words, error);
    pl_memory_free(memory, words);
    return status;
}

/* The init text of virtual tokens or prefixes as ids. */
static pl_status read_init_text(const pl_tokenizer *tokenizer, session_options *kept, pl_error *error) {
    pl_options *options = &kept->values;
    int32_t index = pl_option_index(options->method, "init_text");
    if (index == PL_NONE || !options->text[index] || !options->text[index][0] || !tokenizer)
        return PL_OK;
    const char *text = options->text[index];
    PL_TRY(pl_tokenizer_encode(tokenizer, kept->memory, text, strlen(text), true, &kept->tokens,
                               &options->init_token_count, error));
    options->init_tokens = kept->tokens;
    return PL_OK;
}

void session_free_options(session_options *options) {
    if (!options->memory)
        return;
    pl_memory_free(options->memory, options->tokens);
    for (int32_t i = 0; i < options->text_count; i++)
        pl_memory_free(options->memory, options->texts[i]);
    options->tokens = NULL;
    options->text_count = 0;
}

pl_status session_read_options(pl_memory *memory, const pl_json *node, const pl_method *method,
                               const pl_config *config, const pl_tokenizer *tokenizer, session_options *kept,
                               pl_error *error) {
    *kept = (session_options){.memory = memory};
    uint32_t seen = 0;
    pl_options_default(method, config, &kept->values);
    if (node && !pl_json_is_null(node) && !pl_json_is_object(node))
        return pl_fail(error, PL_ERR_ARGUMENT, "options must be an object like {\"rank\": 8}");
    for (const pl_json *item = pl_json_first(node); item; item = pl_json_next(item)) {
        bool limit = strcmp(pl_json_key(item), "layers_to_transform") == 0 ||
                     strcmp(pl_json_key(item), "exclude_modules") == 0;
        if (!limit && !pl_json_is_null(item))
            PL_TRY(read_option(item, config, kept, &seen, error));
    }
    PL_TRY(read_limits(memory, node, config, &kept->values, error));
    return read_init_text(tokenizer, kept, error);
}

bool session_targets_uniform(const pl_options *options, const pl_config *config, uint8_t *mask,
                             int32_t *layers) {
    bool uniform = true;
    *mask = 0;
    *layers = 0;
    for (int32_t l = 0; l < config->num_hidden_layers; l++) {
        if (!options->targets[l])
            continue;
        uniform = uniform && (*mask == 0 || *mask == options->targets[l]);
        *mask = options->targets[l];
        ++*layers;
    }
    return uniform;
}

void session_write_targets_named(pl_text *out, const pl_options *options, const pl_config *config,
                                 const char *key, const char *only, bool paths) {
    uint8_t mask;
    int32_t layers, seen = 0;
    bool uniform = session_targets_uniform(options, config, &mask, &layers) && !paths;
    pl_write_key(out, key);
    pl_write_begin(out, '[');
    for (int32_t l = 0; l < config->num_hidden_layers && (!uniform || seen == 0); l++) {
        seen += options->targets[l] != 0;
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            char path[PL_NAME_SIZE];
            pl_site_path(l, (pl_site)site, path);
            if (pl_options_targets(options, l, (pl_site)site) && (!only || pl_path_listed(path, only)))
                pl_write_string(out, uniform ? pl_site_name((pl_site)site) : path);
        }
    }
    pl_write_end(out, ']');
}

void session_write_target_names(pl_text *out, const pl_options *options, const pl_config *config) {
    session_write_targets_named(out, options, config, "target_modules", NULL, false);
}

void session_write_target_layers(pl_text *out, const pl_options *options, const pl_config *config) {
    pl_write_key(out, "layers_to_transform");
    pl_write_begin(out, '[');
    for (int32_t l = 0; l < config->num_hidden_layers; l++)
        if (options->targets[l])
            pl_write_int(out, l);
    pl_write_end(out, ']');
}

/* Names of maps, plus layers_to_transform where some layers have none. */
static void write_targets(pl_text *out, const pl_options *options, const pl_config *config) {
    uint8_t mask;
    int32_t layers;
    session_write_target_names(out, options, config);
    if (session_targets_uniform(options, config, &mask, &layers) && layers > 0 &&
        layers < config->num_hidden_layers)
        session_write_target_layers(out, options, config);
}

static void write_pattern(pl_text *out, const pl_options *options, int32_t index) {
    pl_write_key(out, options->method->options[index].name);
    pl_write_begin(out, '{');
    for (int32_t p = 0; p < options->pattern_count; p++)
        if (options->pattern_option[p] == index)
            pl_write_key_number(out, options->patterns[p].key, options->patterns[p].value);
    pl_write_end(out, '}');
}

static void write_choice(pl_text *out, const pl_option *option, int32_t index) {
    const char *from = option->choices;
    for (; index > 0 && strchr(from, '|'); index--)
        from = strchr(from, '|') + 1;
    const char *end = strchr(from, '|');
    pl_write_key(out, option->name);
    pl_write_string_n(out, from, end ? (size_t)(end - from) : strlen(from));
}

void session_write_options(pl_text *out, const pl_options *options, const pl_config *config) {
    pl_write_begin(out, '{');
    for (int32_t i = 0; i < options->method->option_count; i++) {
        const pl_option *option = &options->method->options[i];
        switch (option->type) {
        case PL_OPTION_INT:
            pl_write_key_int(out, option->name, (int64_t)options->number[i]);
            break;
        case PL_OPTION_REAL:
            pl_write_key_number(out, option->name, options->number[i]);
            break;
        case PL_OPTION_BOOL:
            pl_write_key_bool(out, option->name, options->number[i] != 0.0);
            break;
        case PL_OPTION_CHOICE:
            write_choice(out, option, (int32_t)options->number[i]);
            break;
        case PL_OPTION_TEXT:
            pl_write_key_string(out, option->name, options->text[i] ? options->text[i] : "");
            break;
        case PL_OPTION_TARGETS:
            write_targets(out, options, config);
            break;
        case PL_OPTION_PATTERN:
            write_pattern(out, options, i);
            break;
        }
    }
    pl_write_end(out, '}');
}
