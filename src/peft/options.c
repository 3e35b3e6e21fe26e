/* Values for the options of one method: defaults, look-up, setting, checking. Module names are matched as peft matches plain words
   (tuners_utils.check_target_module_exists): equal to the path or a dotted tail of it. Regular expressions are never interpreted. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/methods.h"

/* ---- names of linear maps ---------------------------------------------------------------------------------- */

void pl_site_path(int32_t layer, pl_site site, char path[PL_NAME_SIZE]) {
    (void)snprintf(path, PL_NAME_SIZE, "model.layers.%d.%s.%s", (int)layer, pl_site_parent(site),
                   pl_site_name(site));
}

bool pl_path_named(const char *path, const char *word, size_t length) {
    size_t whole = strlen(path);
    if (length == 0 || length > whole || memcmp(path + whole - length, word, length) != 0)
        return false;
    return length == whole || path[whole - length - 1] == '.';
}

const char *pl_list_word(const char **list, size_t *length) {
    const char *word = *list;
    while (*word == ' ' || *word == ',')
        word++;
    size_t n = strcspn(word, ",");
    *list = word + n;
    while (n > 0 && word[n - 1] == ' ')
        n--;
    *length = n;
    return n ? word : NULL;
}

bool pl_path_listed(const char *path, const char *list) {
    size_t length = 0;
    for (const char *word; (word = pl_list_word(&list, &length)) != NULL;)
        if (pl_path_named(path, word, length))
            return true;
    return false;
}

/* Adds to targets every site that word[length] names; how many it named. */
static int32_t mark_sites(const pl_config *config, const char *word, size_t length,
                          uint8_t targets[PL_LAYERS_MAX]) {
    bool all = length == strlen("all-linear") && memcmp(word, "all-linear", length) == 0;
    int32_t found = 0;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            char path[PL_NAME_SIZE];
            pl_site_path(layer, (pl_site)site, path);
            if (!all && !pl_path_named(path, word, length))
                continue;
            targets[layer] = (uint8_t)(targets[layer] | 1U << site);
            found++;
        }
    }
    return found;
}

static pl_status resolve(const char *what, const pl_config *config, const char *list,
                         uint8_t targets[PL_LAYERS_MAX], pl_error *error) {
    size_t length = 0;
    const char *rest = list;
    for (const char *word; (word = pl_list_word(&rest, &length)) != NULL;)
        if (mark_sites(config, word, length, targets) == 0)
            return pl_fail(
                error, PL_ERR_ARGUMENT,
                "%s: '%.*s' names no linear map of this model; choose among q_proj, k_proj, v_proj, o_proj, "
                "gate_proj, up_proj, down_proj, a path such as layers.0.mlp.up_proj, or all-linear",
                what, (int)length, word);
    return PL_OK;
}

/* ---- look-up ------------------------------------------------------------------------------------------------- */

int32_t pl_option_index(const struct pl_method *method, const char *name) {
    for (int32_t i = 0; i < method->option_count; i++)
        if (strcmp(method->options[i].name, name) == 0)
            return i;
    return PL_NONE;
}

void pl_options_default(const struct pl_method *method, const pl_config *config, pl_options *options) {
    memset(options, 0, sizeof *options);
    options->method = method;
    for (int32_t i = 0; i < method->option_count; i++) {
        const pl_option *option = &method->options[i];
        options->number[i] = option->initial;
        if (option->type == PL_OPTION_TEXT)
            options->text[i] = option->initial_text;
        if (option->type == PL_OPTION_TARGETS && option->initial_text)
            (void)resolve(option->name, config, option->initial_text, options->targets, NULL);
    }
}

double pl_option_number(const pl_options *options, const char *name) {
    int32_t index = pl_option_index(options->method, name);
    return index == PL_NONE ? 0.0 : options->number[index];
}

double pl_option_pattern(const pl_options *options, const char *name, int32_t layer, pl_site site,
                         double fallback) {
    if (options->pattern_count == 0)
        return fallback;
    int32_t index = pl_option_index(options->method, name);
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    for (int32_t i = 0; i < options->pattern_count; i++) {
        const pl_pattern *pattern = &options->patterns[i];
        if (options->pattern_option[i] == index && pl_path_named(path, pattern->key, strlen(pattern->key)))
            return pattern->value;
    }
    return fallback;
}

bool pl_options_targets(const pl_options *options, int32_t layer, pl_site site) {
    return layer >= 0 && layer < PL_LAYERS_MAX && (options->targets[layer] >> site & 1U) != 0;
}

/* ---- checking -------------------------------------------------------------------------------------------------- */

static int32_t choice_count(const char *choices) {
    int32_t count = 1;
    for (; *choices; choices++)
        count += *choices == '|';
    return count;
}

static pl_status check_number(const pl_option *option, double value, pl_error *error) {
    double low = option->minimum, high = option->maximum;
    if (option->type == PL_OPTION_BOOL)
        low = 0, high = 1;
    if (option->type == PL_OPTION_CHOICE)
        low = 0, high = choice_count(option->choices) - 1;
    bool whole = option->type != PL_OPTION_REAL && option->type != PL_OPTION_PATTERN;
    if (whole && value != floor(value)) /* also NaN */
        return pl_fail(error, PL_ERR_RANGE, "%s must be a whole number, not %g", option->name, value);
    if (!(value >= low && value <= high))
        return pl_fail(error, PL_ERR_RANGE, "%s %g is outside %g..%g", option->name, value, low, high);
    return PL_OK;
}

static bool has_number(const pl_option *option) {
    return option->type == PL_OPTION_INT || option->type == PL_OPTION_REAL ||
           option->type == PL_OPTION_BOOL || option->type == PL_OPTION_CHOICE;
}

pl_status pl_options_check(const pl_options *options, const pl_config *config, pl_error *error) {
    const struct pl_method *method = options->method;
    for (int32_t i = 0; i < method->option_count; i++)
        if (has_number(&method->options[i]))
            PL_TRY(check_number(&method->options[i], options->number[i], error));
    for (int32_t i = 0; i < options->pattern_count; i++)
        PL_TRY(check_number(&method->options[options->pattern_option[i]], options->patterns[i].value, error));
    return method->check ? method->check(options, config, error) : PL_OK;
}

/* ---- setting ----------------------------------------------------------------------------------------------------- */

pl_status pl_options_find(const pl_options *options, const char *name, int32_t *index, pl_error *error) {
    const struct pl_method *method = options->method;
    *index = pl_option_index(method, name);
    if (*index != PL_NONE)
        return PL_OK;
    char known[400] = "";
    size_t used = 0;
    for (int32_t i = 0; i < method->option_count && used < sizeof known - 1; i++) {
        int wrote =
            snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", method->options[i].name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return pl_fail(error, PL_ERR_ARGUMENT, "%s has no option \"%s\"; it has: %s", method->label, name,
                   method->option_count ? known : "none");
}

pl_status pl_options_set_number(pl_options *options, const char *name, double value, pl_error *error) {
    int32_t index;
    PL_TRY(pl_options_find(options, name, &index, error));
    const pl_option *option = &options->method->options[index];
    if (!has_number(option))
        return pl_fail(error, PL_ERR_ARGUMENT, "%s takes words, not the number %g", name, value);
    PL_TRY(check_number(option, value, error));
    options->number[index] = value;
    return PL_OK;
}

static pl_status set_choice(pl_options *options, int32_t index, const char *value, pl_error *error) {
    const pl_option *option = &options->method->options[index];
    const char *choice = option->choices;
    for (int32_t i = 0;; i++) {
        size_t length = strcspn(choice, "|");
        if (strlen(value) == length && memcmp(value, choice, length) == 0) {
            options->number[index] = i;
            return PL_OK;
        }
        if (choice[length] == '\0')
            return pl_fail(error, PL_ERR_ARGUMENT, "%s '%s' is not one of %s", option->name, value,
                           option->choices);
        choice += length + 1;
    }
}

static pl_status set_parsed(pl_options *options, int32_t index, const char *value, pl_error *error) {
    const pl_option *option = &options->method->options[index];
    char *end = NULL;
    double number = strtod(value, &end);
    if (option->type == PL_OPTION_BOOL && strcmp(value, "true") == 0)
        number = 1;
    else if (option->type == PL_OPTION_BOOL && strcmp(value, "false") == 0)
        number = 0;
    else if (end == value || *end != '\0')
        return pl_fail(error, PL_ERR_ARGUMENT, "%s must be a number, not '%s'", option->name, value);
    return pl_options_set_number(options, option->name, number, error);
}

pl_status pl_options_set_text(pl_options *options, const pl_config *config, const char *name,
                              const char *value, pl_error *error) {
    int32_t index;
    PL_TRY(pl_options_find(options, name, &index, error));
    uint8_t targets[PL_LAYERS_MAX] = {0};
    switch (options->method->options[index].type) {
    case PL_OPTION_CHOICE:
        return set_choice(options, index, value, error);
    case PL_OPTION_TEXT:
        options->text[index] = value;
        return PL_OK;
    case PL_OPTION_TARGETS:
        PL_TRY(resolve(name, config, value, targets, error));
        memcpy(options->targets, targets, sizeof targets);
        return PL_OK;
    case PL_OPTION_PATTERN:
        return pl_fail(error, PL_ERR_ARGUMENT, "%s takes names with numbers, not the text '%s'", name, value);
    default:
        return set_parsed(options, index, value, error);
    }
}

pl_status pl_options_set_pattern(pl_options *options, const pl_config *config, const char *name,
                                 const char *key, double value, pl_error *error) {
    int32_t index;
    PL_TRY(pl_options_find(options, name, &index, error));
    const pl_option *option = &options->method->options[index];
    if (option->type != PL_OPTION_PATTERN)
        return pl_fail(error, PL_ERR_ARGUMENT, "%s is one value, not a list of names with numbers", name);
    pl_pattern *pattern = &options->patterns[options->pattern_count];
    if (options->pattern_count == PL_PATTERNS_MAX)
        return pl_fail(error, PL_ERR_RANGE, "%s: more than %d patterns", name, (int)PL_PATTERNS_MAX);
    if (strlen(key) >= sizeof pattern->key)
        return pl_fail(error, PL_ERR_RANGE, "%s: the name '%.40s…' is longer than %d characters", name, key,
                       (int)sizeof pattern->key - 1);
    uint8_t matched[PL_LAYERS_MAX] = {0};
    if (mark_sites(config, key, strlen(key), matched) == 0)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "%s: '%s' names no linear map of this model (plain names or dotted tails of a path, "
                       "no regular expressions)",
                       name, key);
    PL_TRY(check_number(option, value, error));
    (void)snprintf(pattern->key, sizeof pattern->key, "%s", key);
    pattern->value = value;
    options->pattern_option[options->pattern_count++] = index;
    return PL_OK;
}

pl_status pl_options_limit(pl_options *options, const pl_config *config, const int32_t *layers, int32_t count,
                           const char *exclude, pl_error *error) {
    uint8_t excluded[PL_LAYERS_MAX] = {0};
    if (exclude)
        PL_TRY(resolve("exclude_modules", config, exclude, excluded, error));
    uint8_t kept[PL_LAYERS_MAX] = {0};
    for (int32_t i = 0; i < count; i++) {
        if (layers[i] < 0 || layers[i] >= config->num_hidden_layers)
            return pl_fail(error, PL_ERR_RANGE, "layers_to_transform: layer %d is outside 0..%d",
                           (int)layers[i], (int)config->num_hidden_layers - 1);
        kept[layers[i]] = 0xFF;
    }
    for (int32_t layer = 0; layer < PL_LAYERS_MAX; layer++) {
        uint32_t mask = (count ? kept[layer] : 0xFFU) & ~(uint32_t)excluded[layer];
        options->targets[layer] = (uint8_t)(options->targets[layer] & mask);
    }
    return PL_OK;
}
