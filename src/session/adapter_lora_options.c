/* LoRA and IA3 options out of an adapter folder. Which maps are adapted, and with which rank, is read off the tensors themselves: peft's
 * target_modules may be a regular expression, which is never run here (a hostile one can take forever). */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "io/tensor_names.h"
#include "peft/lora.h"
#include "session/adapter_file.h"

bool adapter_key_place(const char *key, const pl_config *model, int32_t *layer, pl_site *site,
                       const char **tail) {
    for (int32_t s = 0; s < PL_SITE_COUNT; s++) {
        for (int32_t l = 0; l < model->num_hidden_layers; l++) {
            char path[PL_NAME_SIZE];
            pl_site_path(l, (pl_site)s, path);
            size_t length = strlen(path);
            if (strncmp(key, path, length) != 0 || key[length] != '.')
                continue;
            *layer = l;
            *site = (pl_site)s;
            *tail = key + length + 1;
            return true;
        }
    }
    return false;
}

pl_status adapter_check_place(const char *name, pl_error *error) {
    bool outside = strstr(name, "lm_head.") != NULL || strstr(name, "embed_tokens.") != NULL;
    bool adapts = strstr(name, "lora_") != NULL || strstr(name, "ia3_") != NULL;
    if (!outside || !adapts)
        return PL_OK;
    return pl_fail(error, PL_ERR_UNSUPPORTED,
                   "tensor %s: adapting the embedding or the head is not supported here, only the seven "
                   "linear maps of a layer",
                   name);
}

static bool says_something(const pl_json *node) {
    if (!node || pl_json_is_null(node))
        return false;
    if (pl_json_is_bool(node))
        return pl_json_bool(node);
    if (pl_json_is_array(node) || pl_json_is_object(node))
        return pl_json_size(node) > 0;
    return true;
}

pl_status adapter_refuse(const pl_json *config, const char *const *keys, int32_t count, pl_error *error) {
    for (int32_t i = 0; i < count; i++)
        if (says_something(pl_json_get(config, keys[i])))
            return pl_fail(error, PL_ERR_UNSUPPORTED,
                           "adapter_config.json: %s is set, which is not supported here; ignoring it would "
                           "give wrong results",
                           keys[i]);
    return PL_OK;
}

static bool starts_with(const char *word, const char *start) {
    return strncasecmp(word, start, strlen(start)) == 0;
}

/* Our word for a decomposition of the base, NULL when it is none; as peft takes them, also in capitals: "OLoRA". */
static const char *decomposition(const char *word) {
    if (strcasecmp(word, "olora") == 0)
        return "olora";
    return strcasecmp(word, "pissa") == 0 ? "pissa" : NULL;
}

/* What an approximate PiSSA took out of the base depends on random numbers that no file holds: even peft itself draws others at load. */
static pl_status refuse_random(const char *word, pl_error *error) {
    return pl_fail(error, PL_ERR_UNSUPPORTED,
                   "adapter_config.json: init_lora_weights \"%s\" took a random part out of the base, which "
                   "these files do not hold, so the trained model cannot be rebuilt from them; where it was "
                   "trained, save it as plain LoRA: save_pretrained(path_initial_model_for_weight_conversion="
                   "the untrained start)",
                   word);
}

static pl_status read_init_word(const char *word, pl_options *options, const pl_config *model, pl_text *notes,
                                pl_error *error) {
    static const char *const changes_base[] = {"pissa", "corda", "lora_ga", "loftq"};
    const char *known = decomposition(word);
    if (starts_with(word, "pissa_niter_"))
        return refuse_random(word, error);
    if (strcasecmp(word, "gaussian") == 0)
        word = "gaussian";
    if (known || strcmp(word, "gaussian") == 0 || strcmp(word, "orthogonal") == 0)
        return pl_options_set_text(options, model, "init", known ? known : word, error);
    for (size_t i = 0; i < sizeof changes_base / sizeof changes_base[0]; i++)
        if (starts_with(word, changes_base[i]))
            return pl_fail(error, PL_ERR_UNSUPPORTED,
                           "adapter_config.json: init_lora_weights \"%s\" changes the base model in a way "
                           "not offered here; convert the adapter to plain LoRA first (peft: "
                           "save_pretrained(path_initial_model_for_weight_conversion=…))",
                           word);
    if (strcasecmp(word, "mica") != 0 && strcmp(word, "eva") != 0)
        return pl_fail(
            error, PL_ERR_UNSUPPORTED,
            "adapter_config.json: init_lora_weights \"%s\" is not known here; a start that changes "
            "the base model would give wrong results",
            word);
    if (strcasecmp(word, "mica") == 0)
        pl_write_string(notes,
                        "init_lora_weights \"mica\" freezes B; if this module is trained further here, "
                        "B is trained too");
    return PL_OK; /* eva, mica: only the start of A and B */
}

static pl_status read_init(const pl_json *config, pl_options *options, const pl_config *model, pl_text *notes,
                           pl_error *error) {
    const pl_json *init = pl_json_get(config, "init_lora_weights");
    const char *word = pl_json_string(init);
    if (word)
        return read_init_word(word, options, model, notes, error);
    if (init && !pl_json_is_null(init) && !pl_json_is_bool(init))
        return pl_fail(error, PL_ERR_FORMAT,
                       "adapter_config.json: init_lora_weights must be true, false or a word");
    bool random = init && pl_json_is_bool(init) && !pl_json_bool(init);
    return pl_options_set_text(options, model, "init", random ? "false" : "true", error);
}

static pl_status read_numbers(const pl_json *config, pl_options *options, pl_text *notes, pl_error *error) {
    const char *what = "adapter_config.json";
    int64_t rank = 8;
    double alpha = 8; /* peft's defaults when the keys are absent */
    bool rslora = false, dora = false;
    PL_TRY(pl_json_get_int(config, what, "r", false, 1, 1 << 16, &rank, error));
    PL_TRY(pl_json_get_number(config, what, "lora_alpha", false, 1e-6, 1e6, &alpha, error));
    PL_TRY(pl_json_get_bool(config, what, "use_rslora", false, &rslora, error));
    PL_TRY(pl_json_get_bool(config, what, "use_dora", false, &dora, error));
    PL_TRY(pl_options_set_number(options, "rank", (double)rank, error));
    PL_TRY(pl_options_set_number(options, "alpha", alpha, error));
    PL_TRY(adapter_read_dropout(config, "lora_dropout", options, notes, error));
    PL_TRY(pl_options_set_number(options, "use_rslora", rslora ? 1 : 0, error));
    return pl_options_set_number(options, "use_dora", dora ? 1 : 0, error);
}

static bool is_plain(const char *key) { return strpbrk(key, "\\^$*+?()[]{}|") == NULL; }

/* Is key the path or a dotted tail of it? Any: its dots stand for any character, as in a regular expression. */
static bool is_tail(const char *path, const char *key, bool any) {
    size_t whole = strlen(path), length = strlen(key);
    if (length == 0 || length > whole || (length < whole && path[whole - length - 1] != '.'))
        return false;
    for (size_t i = 0; i < length; i++)
        if (path[whole - length + i] != key[i] && !(any && key[i] == '.'))
            return false;
    return true;
}

/* whole: only as a whole path. */
static bool names_a_map(const char *key, const pl_config *model, bool whole, bool any) {
    char path[PL_NAME_SIZE];
    for (int32_t layer = 0; layer < model->num_hidden_layers; layer++) {
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            pl_site_path(layer, (pl_site)site, path);
            if (is_tail(path, key, any) && (!whole || strlen(path) == strlen(key)))
                return true;
        }
    }
    return false;
}

/* Plain keys, and whole paths behind a ^ as peft's documentation has them; one that fits nothing has no effect, as in peft. A rank pattern
   that is another regular expression is replaced by the ranks of the tensors; an alpha pattern cannot be. */
static pl_status read_patterns(const pl_json *config, const char *name, pl_options *options,
                               const pl_config *model, bool *regex, pl_text *notes, pl_error *error) {
    const pl_json *patterns = pl_json_get(config, name);
    if (patterns && !pl_json_is_null(patterns) && !pl_json_is_object(patterns))
        return pl_fail(error, PL_ERR_FORMAT,
                       "adapter_config.json: %s must be an object of module names and numbers", name);
    for (const pl_json *item = pl_json_first(patterns); item; item = pl_json_next(item)) {
        if (!pl_json_is_number(item))
            return pl_fail(error, PL_ERR_FORMAT, "adapter_config.json: %s.%s must be a number", name,
                           pl_json_key(item));
        const bool whole = pl_json_key(item)[0] == '^';
        const char *key = pl_json_key(item) + (whole ? 1 : 0);
        if (is_plain(key) && names_a_map(key, model, whole, false)) {
            PL_TRY(pl_options_set_pattern(options, model, name, key, pl_json_number(item), error));
            continue;
        }
        if (is_plain(key) && !names_a_map(key, model, whole, true)) {
            char note[160];
            (void)snprintf(note, sizeof note, "%s: \"%.60s\" names no linear map here and has no effect",
                           name, pl_json_key(item));
            pl_write_string(notes, note);
            continue;
        }
        *regex = true;
        if (strcmp(name, "alpha_pattern") == 0)
            return pl_fail(error, PL_ERR_UNSUPPORTED,
                           "adapter_config.json: alpha_pattern key \"%s\" is a regular expression; write "
                           "module names instead",
                           pl_json_key(item));
    }
    return PL_OK;
}

/* The first pattern that fits counts, and what was read off a tensor has to go before the file's own words. */
static void put_last_pattern_first(pl_options *options) {
    const int32_t last = options->pattern_count - 1;
    const pl_pattern pattern = options->patterns[last];
    const int32_t option = options->pattern_option[last];
    for (int32_t i = last; i > 0; i--) {
        options->patterns[i] = options->patterns[i - 1];
        options->pattern_option[i] = options->pattern_option[i - 1];
    }
    options->patterns[0] = pattern;
    options->pattern_option[0] = option;
}

static pl_status set_first_pattern(pl_options *options, const pl_config *model, const char *name,
                                   const char *path, double value, pl_error *error) {
    PL_TRY(pl_options_set_pattern(options, model, name, path, value, error));
    put_last_pattern_first(options);
    return PL_OK;
}

/* A matrix has no more singular vectors, or columns of Q, than its smaller side: a PiSSA or OLoRA of a higher rank has that many in peft, and
   goes on dividing alpha by the rank that was asked for. */
static bool is_cut_short(const pl_options *options, const pl_config *model, pl_site site, int64_t rank,
                         double said) {
    const int32_t in = pl_site_in(model, site), out = pl_site_out(model, site);
    return pl_lora_keeps_origin(options) && (double)rank < said && rank == (in < out ? in : out);
}

static pl_status cut_short(pl_options *options, const pl_config *model, int32_t layer, pl_site site,
                           int64_t rank, double said, pl_error *error) {
    char path[PL_NAME_SIZE];
    double alpha =
        pl_option_pattern(options, "alpha_pattern", layer, site, pl_option_number(options, "alpha"));
    double share = (double)rank / said;
    pl_site_path(layer, site, path);
    if (pl_option_number(options, "use_rslora") != 0.0)
        share = sqrt(share);
    PL_TRY(set_first_pattern(options, model, "alpha_pattern", path, alpha * share, error));
    return set_first_pattern(options, model, "rank_pattern", path, (double)rank, error);
}

static pl_status check_rank(pl_options *options, const pl_config *model, int32_t layer, pl_site site,
                            int64_t rank, bool regex, pl_error *error) {
    char path[PL_NAME_SIZE];
    double said = pl_option_pattern(options, "rank_pattern", layer, site, pl_option_number(options, "rank"));
    pl_site_path(layer, site, path);
    if ((int64_t)said == rank)
        return PL_OK;
    if (regex)
        return set_first_pattern(options, model, "rank_pattern", path, (double)rank, error);
    if (is_cut_short(options, model, site, rank, said))
        return cut_short(options, model, layer, site, rank, said, error);
    return pl_fail(error, PL_ERR_MISMATCH,
                   "%s: lora_A has rank %lld in the weights but adapter_config.json says %d; the two files "
                   "do not belong together",
                   path, (long long)rank, (int)said);
}

pl_status adapter_read_lora(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                            pl_options *options, pl_text *notes, pl_error *error) {
    static const char *const refused[] = {"lora_bias",
                                          "fan_in_fan_out",
                                          "modules_to_save",
                                          "layer_replication",
                                          "target_parameters",
                                          "alora_invocation_tokens",
                                          "kasa_config",
                                          "arrow_config",
                                          "use_bdlora",
                                          "velora_config",
                                          "monteclora_config",
                                          "use_qalora",
                                          "trainable_token_indices"};
    bool regex = false;
    PL_TRY(adapter_refuse(config, refused, (int32_t)(sizeof refused / sizeof refused[0]), error));
    const char *bias = pl_json_string(pl_json_get(config, "bias"));
    if (bias && strcmp(bias, "none") != 0)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "adapter_config.json: bias \"%s\" trains biases, and a Llama model has none", bias);
    PL_TRY(read_numbers(config, options, notes, error));
    PL_TRY(read_init(config, options, model, notes, error));
    PL_TRY(read_patterns(config, "rank_pattern", options, model, &regex, notes, error));
    PL_TRY(read_patterns(config, "alpha_pattern", options, model, &regex, notes, error));
    memset(options->targets, 0, sizeof options->targets);
    for (int32_t i = 0; i < file->count; i++) {
        char key[PL_FILE_NAME_SIZE];
        int32_t layer;
        pl_site site;
        const char *tail;
        PL_TRY(adapter_check_place(file->tensors[i].name, error));
        PL_TRY(pl_tensor_name_normal(file->tensors[i].name, key, sizeof key, error));
        if (!adapter_key_place(key, model, &layer, &site, &tail) || strcmp(tail, "lora_A.weight") != 0)
            continue;
        options->targets[layer] |= (uint8_t)(1U << site);
        PL_TRY(check_rank(options, model, layer, site, file->tensors[i].shape[0], regex, error));
    }
    if (regex)
        pl_write_string(notes,
                        "rank_pattern has regular expressions; the ranks were read off the weights instead");
    return adapter_check_targets(config, model, options, notes, error);
}
