/* Hugging Face's config.json <-> pl_config. Both spellings of RoPE are read: rope_theta + rope_scaling (transformers 4) and rope_parameters
 * (transformers 5). */
#include <string.h>

#include "session/internal.h"

static const char *const WHAT = "config.json";

static pl_status read_dims(const pl_json *root, pl_config *c, pl_error *error) {
    const struct {
        const char *key;
        int32_t *value;
        bool required;
        int64_t maximum;
    } fields[] = {
        {"vocab_size", &c->vocab_size, true, 1 << 20},
        {"hidden_size", &c->hidden_size, true, 1 << 16},
        {"intermediate_size", &c->intermediate_size, true, 1 << 18},
        {"num_hidden_layers", &c->num_hidden_layers, true, PL_LAYERS_MAX},
        {"num_attention_heads", &c->num_attention_heads, true, 1024},
        {"num_key_value_heads", &c->num_key_value_heads, false, 1024},
        {"head_dim", &c->head_dim, false, 1024},
        {"max_position_embeddings", &c->max_position_embeddings, false, 1 << 20},
    };
    c->max_position_embeddings = 2048; /* LlamaConfig's default */
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int64_t value = *fields[i].value;
        if (!fields[i].required && pl_json_is_null(pl_json_get(root, fields[i].key)))
            continue;
        PL_TRY(pl_json_get_int(root, WHAT, fields[i].key, fields[i].required, 1, fields[i].maximum, &value,
                               error));
        *fields[i].value = (int32_t)value;
    }
    if (c->num_key_value_heads == 0)
        c->num_key_value_heads = c->num_attention_heads;
    if (c->head_dim == 0)
        c->head_dim = c->hidden_size / c->num_attention_heads;
    return PL_OK;
}

static pl_status read_rope(const pl_json *root, pl_config *c, pl_error *error) {
    static const char *const keys[] = {"rope_scaling", "rope_parameters"}; /* the later one counts */
    const pl_json *node = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const pl_json *given = pl_json_get(root, keys[i]);
        if (!given || pl_json_is_null(given))
            continue;
        if (!pl_json_is_object(given))
            return pl_fail(error, PL_ERR_FORMAT,
                           "config.json: %s must be an object like {\"rope_type\":\"default\"}", keys[i]);
        node = given;
    }
    c->rope_theta = 10000.0;
    PL_TRY(pl_json_get_number(root, WHAT, "rope_theta", false, 1.0, 1e9, &c->rope_theta, error));
    if (!node)
        return PL_OK;
    PL_TRY(pl_json_get_number(node, WHAT, "rope_theta", false, 1.0, 1e9, &c->rope_theta, error));
    const char *kind = NULL;
    PL_TRY(pl_json_get_word(node, WHAT, "type", &kind, error)); /* the older spelling */
    PL_TRY(pl_json_get_word(node, WHAT, "rope_type", &kind, error));
    if (!kind || strcmp(kind, "default") == 0)
        return PL_OK;
    if (strcmp(kind, "linear") != 0 && strcmp(kind, "llama3") != 0)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "config.json: RoPE scaling \"%s\" is not supported; default, linear and llama3 are",
                       kind);
    PL_TRY(pl_json_get_number(node, WHAT, "factor", true, 1.0, 1e4, &c->rope_factor, error));
    if (strcmp(kind, "linear") == 0) {
        c->rope_kind = PL_ROPE_LINEAR;
        return PL_OK;
    }
    c->rope_kind = PL_ROPE_LLAMA3;
    int64_t original = 0;
    PL_TRY(
        pl_json_get_number(node, WHAT, "low_freq_factor", true, 1e-3, 1e4, &c->rope_low_freq_factor, error));
    PL_TRY(pl_json_get_number(node, WHAT, "high_freq_factor", true, 1e-3, 1e4, &c->rope_high_freq_factor,
                              error));
    PL_TRY(
        pl_json_get_int(node, WHAT, "original_max_position_embeddings", true, 1, 1 << 20, &original, error));
    c->rope_original_positions = (int32_t)original;
    return PL_OK;
}

/* What would make the numbers wrong if it were ignored. */
static pl_status refuse_foreign(const pl_json *root, pl_error *error) {
    const char *type = NULL, *act = NULL;
    bool attention_bias = false, mlp_bias = false;
    PL_TRY(pl_json_get_word(root, WHAT, "model_type", &type, error));
    PL_TRY(pl_json_get_word(root, WHAT, "hidden_act", &act, error));
    PL_TRY(pl_json_get_bool(root, WHAT, "attention_bias", false, &attention_bias, error));
    PL_TRY(pl_json_get_bool(root, WHAT, "mlp_bias", false, &mlp_bias, error));
    if (type && strcmp(type, "llama") != 0)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "config.json: model_type \"%s\" is not supported; only \"llama\" is", type);
    if (act && strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "config.json: hidden_act \"%s\" is not supported; only \"silu\" is", act);
    if (attention_bias || mlp_bias)
        return pl_fail(
            error, PL_ERR_UNSUPPORTED,
            "config.json: attention_bias and mlp_bias must be false: linear maps have no bias here");
    return PL_OK;
}

static pl_status read_token(const pl_json *node, const char *key, const pl_config *c, int32_t *id,
                            pl_error *error) {
    *id = PL_NONE;
    if (!node || pl_json_is_null(node))
        return PL_OK;
    double value = pl_json_is_number(node) ? pl_json_number(node) : -1.0;
    if (value < 0 || value >= c->vocab_size || value != (double)(int32_t)value)
        return pl_fail(error, PL_ERR_FORMAT,
                       "config.json: %s must be a token id below the vocabulary size %d", key, c->vocab_size);
    *id = (int32_t)value;
    return PL_OK;
}

/* Llama 3 lists several ends; the first is the document's. */
static pl_status read_tokens(const pl_json *root, pl_config *c, pl_error *error) {
    const pl_json *bos = pl_json_get(root, "bos_token_id"), *eos = pl_json_get(root, "eos_token_id"),
                  *pad = pl_json_get(root, "pad_token_id");
    const bool several = pl_json_is_array(eos);
    if (several && pl_json_size(eos) > PL_OTHER_EOS_MAX + 1)
        return pl_fail(error, PL_ERR_RANGE, "config.json: eos_token_id lists more than %d tokens",
                       PL_OTHER_EOS_MAX + 1);
    eos = several ? pl_json_first(eos) : eos;
    PL_TRY(read_token(pl_json_is_array(bos) ? pl_json_first(bos) : bos, "bos_token_id", c, &c->bos_token_id,
                      error));
    PL_TRY(read_token(eos, "eos_token_id", c, &c->eos_token_id, error));
    for (eos = several && eos ? pl_json_next(eos) : NULL; eos; eos = pl_json_next(eos))
        PL_TRY(read_token(eos, "eos_token_id", c, &c->other_eos[c->other_eos_count++], error));
    /* Some files say -1 for none, or an id that the vocabulary gets later. */
    double id = pl_json_is_number(pad) ? pl_json_number(pad) : -1.0;
    c->pad_token_id = id >= 0 && id <= INT32_MAX && id == (double)(int32_t)id ? (int32_t)id : PL_NONE;
    return PL_OK;
}

pl_status session_read_config(const pl_json *root, pl_config *config, pl_error *error) {
    if (!pl_json_is_object(root))
        return pl_fail(error, PL_ERR_FORMAT, "config.json: must be a JSON object");
    *config = (pl_config){.rms_norm_eps = 1e-6};
    PL_TRY(refuse_foreign(root, error));
    PL_TRY(read_dims(root, config, error));
    PL_TRY(pl_json_get_number(root, WHAT, "rms_norm_eps", false, 1e-12, 1e-1, &config->rms_norm_eps, error));
    if (!pl_json_is_null(pl_json_get(root, "tie_word_embeddings")))
        PL_TRY(
            pl_json_get_bool(root, WHAT, "tie_word_embeddings", false, &config->tie_word_embeddings, error));
    PL_TRY(read_rope(root, config, error));
    PL_TRY(read_tokens(root, config, error));
    return pl_config_check(config, error);
}

static void write_rope(pl_text *out, const pl_config *c) {
    pl_write_key_number(out, "rope_theta", c->rope_theta);
    pl_write_key(out, "rope_scaling");
    if (c->rope_kind == PL_ROPE_DEFAULT) {
        pl_write_null(out);
        return;
    }
    pl_write_begin(out, '{');
    pl_write_key_string(out, "rope_type", c->rope_kind == PL_ROPE_LINEAR ? "linear" : "llama3");
    pl_write_key_number(out, "factor", c->rope_factor);
    if (c->rope_kind == PL_ROPE_LLAMA3) {
        pl_write_key_number(out, "low_freq_factor", c->rope_low_freq_factor);
        pl_write_key_number(out, "high_freq_factor", c->rope_high_freq_factor);
        pl_write_key_int(out, "original_max_position_embeddings", c->rope_original_positions);
    }
    pl_write_end(out, '}');
}

static void write_token(pl_text *out, const char *key, int32_t id) {
    pl_write_key(out, key);
    id >= 0 ? pl_write_int(out, id) : pl_write_null(out);
}

static void write_ends(pl_text *out, const pl_config *c) {
    pl_write_key(out, "eos_token_id");
    pl_write_begin(out, '[');
    pl_write_int(out, c->eos_token_id);
    for (int32_t i = 0; i < c->other_eos_count; i++)
        pl_write_int(out, c->other_eos[i]);
    pl_write_end(out, ']');
}

void session_write_config(pl_text *out, const pl_config *c, const char *torch_dtype) {
    pl_write_begin(out, '{');
    pl_write_key(out, "architectures");
    pl_write_begin(out, '[');
    pl_write_string(out, "LlamaForCausalLM");
    pl_write_end(out, ']');
    pl_write_key_string(out, "model_type", "llama");
    pl_write_key_string(out, "torch_dtype", torch_dtype);
    pl_write_key_string(out, "hidden_act", "silu");
    pl_write_key_int(out, "vocab_size", c->vocab_size);
    pl_write_key_int(out, "hidden_size", c->hidden_size);
    pl_write_key_int(out, "intermediate_size", c->intermediate_size);
    pl_write_key_int(out, "num_hidden_layers", c->num_hidden_layers);
    pl_write_key_int(out, "num_attention_heads", c->num_attention_heads);
    pl_write_key_int(out, "num_key_value_heads", c->num_key_value_heads);
    pl_write_key_int(out, "head_dim", c->head_dim);
    pl_write_key_int(out, "max_position_embeddings", c->max_position_embeddings);
    pl_write_key_number(out, "rms_norm_eps", c->rms_norm_eps);
    write_rope(out, c);
    pl_write_key_bool(out, "tie_word_embeddings", c->tie_word_embeddings);
    pl_write_key_bool(out, "attention_bias", false);
    pl_write_key_bool(out, "mlp_bias", false);
    write_token(out, "bos_token_id", c->bos_token_id);
    if (c->other_eos_count)
        write_ends(out, c);
    else
        write_token(out, "eos_token_id", c->eos_token_id);
    if (c->pad_token_id >= 0)
        write_token(out, "pad_token_id", c->pad_token_id);
    pl_write_end(out, '}');
}
