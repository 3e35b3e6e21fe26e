/* {"rank": 8, "target_modules": ["q_proj"], …} <-> pl_options. peft's spellings of the same things are accepted too. */
#include <stdio.h>
#include <string.h>

#include "session/internal.h"

enum { PL_LIST_SIZE = 2048 };

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

/* A string, or an array of strings joined by commas. */
static pl_status read_list(const pl_json *node, const char *key, char list[PL_LIST_SIZE], pl_error *error) {
    list[0] = 0;
    if (pl_json_is_string(node)) {
        if (strlen(pl_json_string(node)) >= PL_LIST_SIZE)
            return pl_fail(error, PL_ERR_RANGE, "%s: the list is longer than %d characters", key,
                           PL_LIST_SIZE);
        memcpy(list, pl_json_string(node), strlen(pl_json_string(node)) + 1);
        return PL_OK;
    }
    if (!pl_json_is_array(node))
        return pl_fail(error, PL_ERR_ARGUMENT, "%s must be a text or a list of texts", key);
    size_t used = 0;
    for (const pl_json *item = pl_json_first(node); item; item = pl_json_next(item)) {
        const char *word = pl_json_string(item);
        if (!word || used + strlen(word) + 2 > PL_LIST_SIZE)
            return pl_fail(error, PL_ERR_ARGUMENT, "%s must be a list of module names", key);
        int written = snprintf(list + used, PL_LIST_SIZE - used, "%s%s", used ? "," : "", word);
        used += (size_t)written;
    }
    return PL_OK;
}

static pl_status unknown_option(const pl_method *method, const char *key, pl_error *error) {
    char known[400] = "";
    size_t used = 0;
    for (int32_t i = 0; i < method->option_count && used < sizeof known - 1; i++) {
        int written =
            snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", method->options[i].name);
        used += written > 0 ? (size_t)written : 0;
    }
    return pl_fail(error, PL_ERR_ARGUMENT, "%s has no option \"%s\"; it has: %s", method->label, key,
                   known[0] ? known : "none");
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
    char list[PL_LIST_SIZE];
    PL_TRY(read_list(node, name, list, error));
    if (kept->text_count == PL_OPTION_TEXTS_MAX)
        return pl_fail(error, PL_ERR_RANGE, "at most %d lists can be set", PL_OPTION_TEXTS_MAX);
    char *copy = pl_memory_copy_text(kept->memory, list, strlen(list));
    if (!copy)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the option %s", name);
    kept->texts[kept->text_count++] = copy;
    return pl_options_set_text(&kept->values, config, name, copy, error);
}

static pl_status read_option(const pl_json *node, const pl_config *config, session_options *kept,
                             pl_error *error) {
    const char *key = canonical(pl_json_key(node));
    pl_options *options = &kept->values;
    int32_t index = pl_option_index(options->method, key);
    if (index == PL_NONE)
        return unknown_option(options->method, pl_json_key(node), error);
    switch (options->method->options[index].type) {
    case PL_OPTION_PATTERN:
        return read_pattern(node, config, key, options, error);
    case PL_OPTION_TARGETS:
        return session_set_list(kept, node, config, key, error);
    case PL_OPTION_INT:
    case PL_OPTION_REAL:
    case PL_OPTION_BOOL:
    case PL_OPTION_CHOICE:
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

/* layers_to_transform and exclude_modules narrow the targets after all options are known. */
static pl_status read_limits(const pl_json *node, const pl_config *config, pl_options *options,
                             pl_error *error) {
    const pl_json *layers = pl_json_get(node, "layers_to_transform"),
                  *exclude = pl_json_get(node, "exclude_modules");
    int32_t list[PL_LAYERS_MAX], count = 0;
    char words[PL_LIST_SIZE];
    bool narrowed = (layers && !pl_json_is_null(layers)) || (exclude && !pl_json_is_null(exclude));
    if (!narrowed)
        return PL_OK;
    if (pl_option_index(options->method, "target_modules") == PL_NONE)
        return pl_fail(error, PL_ERR_ARGUMENT, "%s has no target_modules to narrow", options->method->label);
    if (pl_json_is_number(layers))
        list[count++] = (int32_t)pl_json_number(layers);
    for (const pl_json *item = pl_json_first(layers); item; item = pl_json_next(item)) {
        double layer = pl_json_is_number(item) ? pl_json_number(item) : -1.0;
        if (count == PL_LAYERS_MAX || layer < 0 || layer >= config->num_hidden_layers ||
            layer != (double)(int32_t)layer)
            return pl_fail(error, PL_ERR_RANGE, "layers_to_transform: layers are whole numbers from 0 to %d",
                           config->num_hidden_layers - 1);
        list[count++] = (int32_t)layer;
    }
    bool excludes = exclude && !pl_json_is_null(exclude);
    if (excludes)
        PL_TRY(read_list(exclude, "exclude_modules", words, error));
    return pl_options_limit(options, config, list, count, excludes ? words : NULL, error);
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
    pl_options_default(method, config, &kept->values);
    if (node && !pl_json_is_null(node) && !pl_json_is_object(node))
        return pl_fail(error, PL_ERR_ARGUMENT, "options must be an object like {\"rank\": 8}");
    for (const pl_json *item = pl_json_first(node); item; item = pl_json_next(item)) {
        bool limit = strcmp(pl_json_key(item), "layers_to_transform") == 0 ||
                     strcmp(pl_json_key(item), "exclude_modules") == 0;
        if (!limit && !pl_json_is_null(item))
            PL_TRY(read_option(item, config, kept, error));
    }
    PL_TRY(read_limits(node, config, &kept->values, error));
    return read_init_text(tokenizer, kept, error);
}

/* Targets as a list of names where one list fits every targeted layer (plus layers_to_transform where some layers have none), else full paths. */
static void write_targets(pl_text *out, const pl_options *options, const pl_config *config) {
    uint8_t mask = 0;
    bool uniform = true;
    int32_t targeted = 0;
    for (int32_t l = 0; l < config->num_hidden_layers; l++) {
        if (!options->targets[l])
            continue;
        targeted++;
        uniform = uniform && (mask == 0 || mask == options->targets[l]);
        mask = options->targets[l];
    }
    pl_write_key(out, "target_modules");
    pl_write_begin(out, '[');
    for (int32_t site = 0; uniform && site < PL_SITE_COUNT; site++)
        if (mask & (1U << site))
            pl_write_string(out, pl_site_name((pl_site)site));
    for (int32_t l = 0; !uniform && l < config->num_hidden_layers; l++) {
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            char path[PL_NAME_SIZE];
            if (!pl_options_targets(options, l, (pl_site)site))
                continue;
            pl_site_path(l, (pl_site)site, path);
            pl_write_string(out, path);
        }
    }
    pl_write_end(out, ']');
    if (!uniform || targeted == config->num_hidden_layers || targeted == 0)
        return;
    pl_write_key(out, "layers_to_transform");
    pl_write_begin(out, '[');
    for (int32_t l = 0; l < config->num_hidden_layers; l++)
        if (options->targets[l])
            pl_write_int(out, l);
    pl_write_end(out, ']');
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
