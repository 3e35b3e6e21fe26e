/* Do the weights of a folder adapt the maps that its config names? peft builds its modules by the config alone: it passes over tensors of
 * other maps without a word, and leaves maps without tensors as they are. A regular expression is never run here (a hostile one can take
 * forever): what only it could say is taken as the weights have it. */
#include <stdio.h>
#include <string.h>

#include "session/adapter_file.h"

typedef enum answer { NO, YES, UNKNOWN } answer;

static bool is_set(const pl_json *node) {
    if (pl_json_is_string(node))
        return pl_json_string(node)[0] != '\0';
    return node && !pl_json_is_null(node) && (!pl_json_is_array(node) || pl_json_size(node) > 0);
}

static bool lists(const pl_json *names, const char *path, bool whole) {
    for (const pl_json *item = pl_json_first(names); item; item = pl_json_next(item)) {
        const char *word = pl_json_string(item);
        if (word && (whole ? strcmp(path, word) == 0 : pl_path_named(path, word, strlen(word))))
            return true;
    }
    return false;
}

static bool counts(const pl_json *layers, int32_t layer) {
    if (pl_json_is_number(layers))
        return pl_json_number(layers) == (double)layer;
    for (const pl_json *item = pl_json_first(layers); item; item = pl_json_next(item))
        if (pl_json_is_number(item) && pl_json_number(item) == (double)layer)
            return true;
    return false;
}

/* Is a layer's number found behind this pattern? Only the words for where a Llama has its layers are known. */
static answer finds_layers(const pl_json *pattern) {
    const pl_json *item = pl_json_is_array(pattern) ? pl_json_first(pattern) : pattern;
    if (!is_set(pattern))
        return YES;
    for (; item; item = pl_json_is_array(pattern) ? pl_json_next(item) : NULL) {
        const char *word = pl_json_string(item);
        if (word && (strcmp(word, "layers") == 0 || strcmp(word, "model.layers") == 0))
            return YES;
        if (!word || strpbrk(word, ".\\^$*+?()[]{}|"))
            return UNKNOWN;
    }
    return NO;
}

/* As check_target_module_exists of peft goes about it. */
static answer is_target(const pl_json *config, const pl_json *targets, const char *path, int32_t layer) {
    const pl_json *excluded = pl_json_get(config, "exclude_modules"),
                  *layers = pl_json_get(config, "layers_to_transform");
    const char *word = pl_json_string(targets);
    const bool all = word && strcmp(word, "all-linear") == 0;
    answer yes = is_set(excluded) && pl_json_is_string(excluded) ? UNKNOWN : YES;
    if (lists(excluded, path, false))
        return NO;
    if (word && !all)
        return UNKNOWN;
    if (lists(targets, path, true))
        return yes;
    if (!all && !lists(targets, path, false))
        return NO;
    if (!is_set(layers))
        return yes;
    switch (finds_layers(pl_json_get(config, "layers_pattern"))) {
    case NO:
        return NO;
    case UNKNOWN:
        return counts(layers, layer) ? UNKNOWN : NO;
    case YES:
        break;
    }
    return counts(layers, layer) ? yes : NO;
}

static pl_status check_words(const pl_json *names, const char *key, pl_error *error) {
    bool fits = !names || pl_json_is_null(names) || pl_json_is_string(names) || pl_json_is_array(names);
    for (const pl_json *item = fits ? pl_json_first(names) : NULL; item && fits; item = pl_json_next(item))
        fits = pl_json_is_string(item);
    if (fits)
        return PL_OK;
    return pl_fail(error, PL_ERR_FORMAT,
                   "adapter_config.json: %s must be a list of module names, each a text in quotes", key);
}

pl_status adapter_check_targets(const pl_json *config, const pl_config *model, const pl_options *options,
                                pl_text *notes, pl_error *error) {
    const pl_json *targets = pl_json_get(config, "target_modules");
    PL_TRY(check_words(targets, "target_modules", error));
    PL_TRY(check_words(pl_json_get(config, "exclude_modules"), "exclude_modules", error));
    if (!is_set(targets)) {
        pl_write_string(notes,
                        "target_modules names nothing; what is adapted was read off the weights instead");
        return PL_OK;
    }
    bool unread = false;
    for (int32_t i = 0; i < model->num_hidden_layers * PL_SITE_COUNT; i++) {
        const int32_t layer = i / PL_SITE_COUNT;
        const pl_site site = (pl_site)(i % PL_SITE_COUNT);
        char path[PL_NAME_SIZE];
        pl_site_path(layer, site, path);
        const answer said = is_target(config, targets, path, layer);
        const bool there = pl_options_targets(options, layer, site);
        unread = unread || said == UNKNOWN;
        if (said == NO && there)
            return pl_fail(
                error, PL_ERR_MISMATCH,
                "the weights adapt %s, which target_modules, exclude_modules or layers_to_transform "
                "of adapter_config.json leave out; the two files do not belong together",
                path);
        if (said == YES && !there)
            return pl_fail(
                error, PL_ERR_MISMATCH,
                "adapter_config.json says that %s is adapted, but the weights have nothing for it; "
                "the two files do not belong together, or the adapter was made for another model",
                path);
    }
    if (unread &&
        pl_option_index(options->method, "feedforward_modules") == PL_NONE) /* (IA)3 says it itself */
        pl_write_string(notes,
                        "target_modules, exclude_modules or layers_pattern is a regular expression; what "
                        "is adapted was read off the weights instead");
    return PL_OK;
}
