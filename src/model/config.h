/* The dimensions of a Llama-architecture model, in the words of Hugging Face's config.json. */
#ifndef PL_MODEL_CONFIG_H
#define PL_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { PL_LAYERS_MAX = 256, PL_ROPE_PAIRS_MAX = 256, PL_OTHER_EOS_MAX = 15 };

/* The seven linear maps of a block, in the order they run. */
typedef enum pl_site {
    PL_SITE_Q,
    PL_SITE_K,
    PL_SITE_V,
    PL_SITE_O,
    PL_SITE_GATE,
    PL_SITE_UP,
    PL_SITE_DOWN,
    PL_SITE_COUNT
} pl_site;

typedef enum pl_rope_kind { PL_ROPE_DEFAULT, PL_ROPE_LINEAR, PL_ROPE_LLAMA3 } pl_rope_kind;

typedef struct pl_config {
    int32_t vocab_size;
    int32_t hidden_size;       /* d_model */
    int32_t intermediate_size; /* FFN width */
    int32_t num_hidden_layers; /* 1 .. PL_LAYERS_MAX */
    int32_t num_attention_heads;
    int32_t num_key_value_heads;     /* divides num_attention_heads */
    int32_t head_dim;                /* even; need not be hidden_size / num_attention_heads */
    int32_t max_position_embeddings; /* context length, learned rows included */
    bool tie_word_embeddings;
    double rms_norm_eps;
    double rope_theta;
    pl_rope_kind rope_kind;
    /* Of rope_scaling (llama3); for linear the factor alone. */
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int32_t rope_original_positions;
    int32_t bos_token_id, eos_token_id; /* PL_NONE when the file names none */
    /* Ids that end a text as well: Llama 3 has several. */
    int32_t other_eos[PL_OTHER_EOS_MAX], other_eos_count;
    int32_t pad_token_id; /* of no use here, kept for the file; or PL_NONE */
} pl_config;

/* "q_proj" … "down_proj"; the module path inside a layer is "self_attn." or "mlp." plus this. */
const char *pl_site_name(pl_site site);
const char *pl_site_parent(pl_site site);                   /* "self_attn" or "mlp" */
int32_t pl_site_in(const pl_config *config, pl_site site);  /* input width */
int32_t pl_site_out(const pl_config *config, pl_site site); /* output width */

/* Does this token end a text? */
bool pl_config_ends(const pl_config *config, int32_t token);

/* Checks every dimension and their relations; the message names the field, its value and the limit. Errors: PL_ERR_RANGE;
   PL_ERR_UNSUPPORTED for a kind of RoPE that is not offered. */
pl_status pl_config_check(const pl_config *config, pl_error *error);

/* Inverse RoPE frequencies[head_dim / 2] in double, as transformers computes them for this rope_kind. */
void pl_config_rope_frequencies(const pl_config *config, double *frequencies);

#endif
