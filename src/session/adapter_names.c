/* Which norms an LN_TUNING folder trains, and which maps an IA3 folder rescales at their input: by the names in its config; where those
 * are a regular expression, which is never run here (a hostile one can take forever), by the tensors themselves. */
#include <stdio.h>
#include <string.h>

#include "io/tensor_names.h"
#include "session/adapter_file.h"

/* peft says these with a list of names, with a regular expression, or not at all. */
static pl_status check_kind(const pl_json *root, const char *key, bool *regex, pl_error *error) {
    const pl_json *names = pl_json_get(root, key);
    *regex = *regex || pl_json_is_string(names);
    if (!names || pl_json_is_null(names) || pl_json_is_string(names))
        return PL_OK;
    const pl_json *item = pl_json_is_array(names) ? pl_json_first(names) : names;
    for (; item; item = pl_json_next(item))
        if (!pl_json_is_string(item))
            return pl_fail(error, PL_ERR_FORMAT,
                           "adapter_config.json: %s must be a list of module names, each a text in quotes",
                           key);
    return PL_OK;
}

static bool is_given(const pl_json *names) { return names && !pl_json_is_null(names); }

static bool lists(const pl_json *names, const char *path) {
    for (const pl_json *item = pl_json_first(names); item; item = pl_json_next(item))
        if (pl_path_named(path, pl_json_string(item), strlen(pl_json_string(item))))
            return true;
    return false;
}

/* The tensor path.tail of the file, NULL when there is none. */
static const pl_file_tensor *find_tensor(const pl_safetensors *file, const char *path, const char *tail) {
    const size_t length = strlen(path);
    char key[PL_FILE_NAME_SIZE];
    for (int32_t i = 0; i < file->count; i++)
        if (pl_tensor_name_normal(file->tensors[i].name, key, sizeof key, NULL) == PL_OK &&
            strncmp(key, path, length) == 0 && key[length] == '.' && strcmp(key + length + 1, tail) == 0)
            return &file->tensors[i];
    return NULL;
}

static void add_name(pl_text *list, const char *name) {
    if (list->length)
        pl_text_bytes(list, ",", 1);
    pl_text_bytes(list, name, strlen(name));
}

/* Gives the list to the options, which own it from then on. */
static pl_status set_list(session_options *kept, const pl_config *model, const char *name, pl_text *list,
                          pl_error *error) {
    pl_text_bytes(list, "", 0); /* an empty list is a text, too */
    if (list->failed) {
        pl_text_free(list);
        return pl_fail(error, PL_ERR_MEMORY, "no memory for %s of the adapter", name);
    }
    kept->texts[kept->text_count++] = list->data;
    return pl_options_set_text(&kept->values, model, name, list->data, error);
}

/* ---- (IA)3 ------------------------------------------------------------------------------------------------------- */

/* Factors of inputs are rows [1, in], factors of outputs columns [out, 1]. */
static bool scales_input(const pl_safetensors *file, int32_t layer, pl_site site) {
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    const pl_file_tensor *tensor = find_tensor(file, path, "ia3_l");
    return tensor && tensor->dims == 2 && tensor->shape[0] == 1;
}

/* By name where all of a kind are alike, else by path. */
static void list_inputs(const pl_safetensors *file, const pl_config *model, const pl_options *options,
                        pl_text *list) {
    for (int32_t s = 0; s < PL_SITE_COUNT; s++) {
        int32_t targeted = 0, inputs = 0;
        for (int32_t layer = 0; layer < model->num_hidden_layers; layer++) {
            targeted += pl_options_targets(options, layer, (pl_site)s);
            inputs += scales_input(file, layer, (pl_site)s);
        }
        if (inputs == targeted && inputs > 0)
            add_name(list, pl_site_name((pl_site)s));
        for (int32_t layer = 0; inputs < targeted && layer < model->num_hidden_layers; layer++) {
            char path[PL_NAME_SIZE];
            pl_site_path(layer, (pl_site)s, path);
            if (scales_input(file, layer, (pl_site)s))
                add_name(list, path);
        }
    }
}

pl_status adapter_read_ia3(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                           session_options *kept, pl_text *notes, pl_error *error) {
    static const char *const key = "feedforward_modules";
    bool regex = false;
    PL_TRY(check_kind(config, key, &regex, error));
    PL_TRY(check_kind(config, "target_modules", &regex, error));
    if (!regex)
        return is_given(pl_json_get(config, key))
                   ? session_set_list(kept, pl_json_get(config, key), model, key, error)
                   : PL_OK;
    pl_text list = pl_text_make(kept->memory);
    list_inputs(file, model, &kept->values, &list);
    pl_write_string(notes,
                    "target_modules or feedforward_modules is a regular expression; what is scaled, and "
                    "where, was read off the weights instead");
    return set_list(kept, model, key, &list, error);
}

/* ---- norms ------------------------------------------------------------------------------------------------------- */

static const char *const NORMS[] = {"input_layernorm", "post_attention_layernorm", "norm"};
enum { NORM_KINDS = sizeof NORMS / sizeof NORMS[0], FINAL_NORM = NORM_KINDS - 1 };

static void norm_path(int32_t kind, int32_t layer, char path[PL_NAME_SIZE]) {
    if (kind == FINAL_NORM)
        (void)snprintf(path, PL_NAME_SIZE, "model.norm");
    else
        (void)snprintf(path, PL_NAME_SIZE, "model.layers.%d.%s", (int)layer, NORMS[kind]);
}

/* peft trains what target_modules names (by default every norm) and exclude_modules does not. */
static bool is_trained(const pl_json *config, const pl_safetensors *file, bool regex, const char *path) {
    const pl_json *targets = pl_json_get(config, "target_modules"),
                  *excluded = pl_json_get(config, "exclude_modules");
    if (regex)
        return find_tensor(file, path, "ln_tuning_layers.weight") != NULL;
    return (!is_given(targets) || lists(targets, path)) && !(is_given(excluded) && lists(excluded, path));
}

/* As for options: a name that is misspelt would leave its norms out without a word. What is excluded may be anything. */
static pl_status check_norm_names(const pl_json *names, const pl_config *model, pl_error *error) {
    for (const pl_json *item = pl_json_first(names); item; item = pl_json_next(item)) {
        const char *word = pl_json_string(item);
        bool known = false;
        for (int32_t i = 0; i < NORM_KINDS * model->num_hidden_layers; i++) {
            char path[PL_NAME_SIZE];
            norm_path(i % NORM_KINDS, i / NORM_KINDS, path);
            known = known || pl_path_named(path, word, strlen(word));
        }
        if (!known)
            return pl_fail(error, PL_ERR_ARGUMENT,
                           "adapter_config.json: target_modules: '%.60s' names no norm of this model", word);
    }
    return PL_OK;
}

pl_status adapter_read_norms(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                             session_options *kept, pl_text *notes, pl_error *error) {
    bool regex = false;
    PL_TRY(check_kind(config, "target_modules", &regex, error));
    PL_TRY(check_kind(config, "exclude_modules", &regex, error));
    PL_TRY(check_norm_names(pl_json_get(config, "target_modules"), model, error));
    pl_text list = pl_text_make(kept->memory);
    for (int32_t kind = 0; kind < NORM_KINDS; kind++) {
        char path[PL_NAME_SIZE];
        int32_t trained = 0, layers = kind == FINAL_NORM ? 1 : model->num_hidden_layers;
        for (int32_t layer = 0; layer < layers; layer++) {
            norm_path(kind, layer, path);
            trained += is_trained(config, file, regex, path);
        }
        if (trained == layers)
            add_name(&list, NORMS[kind]);
        for (int32_t layer = 0; trained < layers && layer < layers; layer++) {
            norm_path(kind, layer, path);
            if (is_trained(config, file, regex, path))
                add_name(&list, path);
        }
    }
    if (list.length == 0 && !list.failed)
        return pl_fail(error, PL_ERR_MISMATCH,
                       "adapter_config.json: target_modules and exclude_modules leave no norm of this model");
    if (regex)
        pl_write_string(notes, "target_modules or exclude_modules is a regular expression; which norms are "
                               "trained was read off the weights instead");
    return set_list(kept, model, "target_modules", &list, error);
}
