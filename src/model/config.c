/* The model's dimensions: widths of the seven maps, limits, RoPE's frequencies. */
#include "model/config.h"

#include <math.h>

#include "base/exact.h"
#include "base/layout.h"

/* Upper limits leave room for every published Llama (405B: 126 layers, width 16384, FFN 53248, vocabulary
   128256) and keep all products of two dimensions inside int64 and all of one dimension inside int32. RoPE turns by at most one
   radian per position, since no frequency is above 1 (rope_theta and the factor are at least 1): so all angles stay where
   pl_exact_sin_cos is exact. */
enum { PL_VOCAB_MAX = 1 << 22, PL_WIDTH_MAX = 1 << 20, PL_POSITIONS_MAX = 1 << 20, PL_HEADS_MAX = 4096 };
static const double ROPE_THETA_MAX = 1e30, ROPE_FACTOR_MAX = 1e6;

static const char *const SITE_NAMES[PL_SITE_COUNT] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                      "gate_proj", "up_proj", "down_proj"};

const char *pl_site_name(pl_site site) { return SITE_NAMES[site]; }

const char *pl_site_parent(pl_site site) { return site <= PL_SITE_O ? "self_attn" : "mlp"; }

int32_t pl_site_in(const pl_config *config, pl_site site) {
    switch (site) {
    case PL_SITE_O:
        return config->num_attention_heads * config->head_dim;
    case PL_SITE_DOWN:
        return config->intermediate_size;
    default:
        return config->hidden_size;
    }
}

int32_t pl_site_out(const pl_config *config, pl_site site) {
    switch (site) {
    case PL_SITE_Q:
        return config->num_attention_heads * config->head_dim;
    case PL_SITE_K:
    case PL_SITE_V:
        return config->num_key_value_heads * config->head_dim;
    case PL_SITE_GATE:
    case PL_SITE_UP:
        return config->intermediate_size;
    default:
        return config->hidden_size;
    }
}

static pl_status check_int(const char *name, int32_t value, int32_t minimum, int32_t maximum,
                           pl_error *error) {
    if (value >= minimum && value <= maximum)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s is %d; it must be from %d to %d", name, value, minimum, maximum);
}

static pl_status check_positive(const char *name, double value, pl_error *error) {
    if (isfinite(value) && value > 0)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s is %g; it must be a positive number", name, value);
}

static pl_status check_between(const char *name, double value, double minimum, double maximum,
                               pl_error *error) {
    if (value >= minimum && value <= maximum)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s is %g; it must be from %g to %g", name, value, minimum, maximum);
}

static pl_status check_heads(const pl_config *c, pl_error *error) {
    PL_TRY(check_int("num_attention_heads", c->num_attention_heads, 1, PL_HEADS_MAX, error));
    PL_TRY(check_int("num_key_value_heads", c->num_key_value_heads, 1, c->num_attention_heads, error));
    PL_TRY(check_int("head_dim", c->head_dim, 2, 2 * PL_ROPE_PAIRS_MAX, error));
    if (c->head_dim % 2 != 0)
        return pl_fail(error, PL_ERR_RANGE, "head_dim is %d; it must be even, because RoPE rotates pairs",
                       c->head_dim);
    if (c->num_attention_heads % c->num_key_value_heads != 0)
        return pl_fail(error, PL_ERR_RANGE,
                       "num_key_value_heads is %d; it must divide num_attention_heads, which is %d",
                       c->num_key_value_heads, c->num_attention_heads);
    return check_int("num_attention_heads * head_dim", c->num_attention_heads * c->head_dim, 2, PL_WIDTH_MAX,
                     error);
}

static pl_status check_rope(const pl_config *c, pl_error *error) {
    PL_TRY(check_between("rope_theta", c->rope_theta, 1, ROPE_THETA_MAX, error));
    if (c->rope_kind == PL_ROPE_DEFAULT)
        return PL_OK;
    if (c->rope_kind != PL_ROPE_LINEAR && c->rope_kind != PL_ROPE_LLAMA3)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "rope type number %d is unknown; use default, linear or llama3", (int)c->rope_kind);
    PL_TRY(check_between("the RoPE factor", c->rope_factor, 1, ROPE_FACTOR_MAX, error));
    if (c->rope_kind == PL_ROPE_LINEAR)
        return PL_OK;
    PL_TRY(check_positive("low_freq_factor", c->rope_low_freq_factor, error));
    PL_TRY(check_positive("high_freq_factor", c->rope_high_freq_factor, error));
    if (c->rope_high_freq_factor <= c->rope_low_freq_factor)
        return pl_fail(error, PL_ERR_RANGE,
                       "high_freq_factor is %g; it must be larger than low_freq_factor, which is %g",
                       c->rope_high_freq_factor, c->rope_low_freq_factor);
    return check_int("original_max_position_embeddings", c->rope_original_positions, 1, PL_POSITIONS_MAX,
                     error);
}

static pl_status check_token(const char *name, int32_t token, int32_t vocab_size, pl_error *error) {
    if (token == PL_NONE || (token >= 0 && token < vocab_size))
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s is %d; the vocabulary has the ids 0 to %d", name, token,
                   vocab_size - 1);
}

pl_status pl_config_check(const pl_config *config, pl_error *error) {
    PL_TRY(check_int("vocab_size", config->vocab_size, 1, PL_VOCAB_MAX, error));
    PL_TRY(check_int("hidden_size", config->hidden_size, 1, PL_WIDTH_MAX, error));
    PL_TRY(check_int("intermediate_size", config->intermediate_size, 1, PL_WIDTH_MAX, error));
    PL_TRY(check_int("num_hidden_layers", config->num_hidden_layers, 1, PL_LAYERS_MAX, error));
    PL_TRY(check_heads(config, error));
    PL_TRY(check_int("max_position_embeddings", config->max_position_embeddings, 1, PL_POSITIONS_MAX, error));
    PL_TRY(check_positive("rms_norm_eps", config->rms_norm_eps, error));
    PL_TRY(check_rope(config, error));
    PL_TRY(check_token("bos_token_id", config->bos_token_id, config->vocab_size, error));
    for (int32_t i = 0; i < config->other_eos_count; i++)
        PL_TRY(check_token("eos_token_id", config->other_eos[i], config->vocab_size, error));
    return check_token("eos_token_id", config->eos_token_id, config->vocab_size, error);
}

bool pl_config_ends(const pl_config *config, int32_t token) {
    bool ends = token == config->eos_token_id;
    for (int32_t i = 0; i < config->other_eos_count; i++)
        ends = ends || token == config->other_eos[i];
    return ends;
}

/* Llama 3 (transformers' _compute_llama3_parameters): long waves are stretched by factor, short ones kept,
 * those between blended. */
static double llama3_frequency(const pl_config *c, double frequency) {
    const double two_pi = 6.283185307179586476925286766559;
    double wavelength = two_pi / frequency;
    double old = (double)c->rope_original_positions;
    if (wavelength > old / c->rope_low_freq_factor)
        return frequency / c->rope_factor;
    if (wavelength < old / c->rope_high_freq_factor)
        return frequency;
    double smooth =
        (old / wavelength - c->rope_low_freq_factor) / (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return (1.0 - smooth) * frequency / c->rope_factor + smooth * frequency;
}

void pl_config_rope_frequencies(const pl_config *config, double *frequencies) {
    for (int32_t i = 0; i < config->head_dim / 2; i++) {
        double frequency =
            1.0 / pl_exact_power(config->rope_theta, 2.0 * (double)i / (double)config->head_dim);
        if (config->rope_kind == PL_ROPE_LINEAR)
            frequency /= config->rope_factor;
        else if (config->rope_kind == PL_ROPE_LLAMA3)
            frequency = llama3_frequency(config, frequency);
        frequencies[i] = frequency;
    }
}
