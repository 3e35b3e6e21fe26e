/* A Llama-architecture language model: weights, training forward/backward, decoding. Weight names and shapes are those of
 * transformers' LlamaForCausalLM. */
#ifndef PL_MODEL_MODEL_H
#define PL_MODEL_MODEL_H

#include "base/layout.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "model/config.h"
#include "model/hooks.h"

/* ---- weights.c ------------------------------------------------------------------------------------------------------ */

/* y = x w^T. Packed copies (kernels.h) serve the forward and backward GEMM; frozen weights are packed once. */
typedef struct pl_linear {
    int32_t in, out;
    real *w;        /* [out, in] */
    real *dw;       /* gradient, NULL when frozen */
    real *packed;   /* pl_pack(w) */
    real *packed_t; /* pl_pack_transposed(w) */
} pl_linear;

typedef struct pl_norm {
    real *g;  /* [hidden_size] */
    real *dg; /* NULL when frozen */
} pl_norm;

typedef struct pl_layer {
    pl_norm attention_norm, ffn_norm; /* input_layernorm, post_attention_layernorm */
    pl_linear linear[PL_SITE_COUNT];
} pl_layer;

typedef struct pl_model {
    pl_memory *memory;
    pl_config config;
    pl_layout layout; /* base tensors, in file order of transformers' state_dict */
    real *values;     /* block of the layout */
    real *packed;     /* block of all packed copies */
    pl_layer *layers; /* [num_hidden_layers] */
    real *embedding;  /* [vocab_size, hidden_size] */
    real *dembedding; /* NULL when frozen */
    pl_linear head;   /* w == embedding when tied; head.dw then is dembedding: both uses add up */
    pl_norm final_norm;
    real *rope_cosine, *rope_sine; /* [max_position_embeddings, head_dim/2] */
} pl_model;

/* Lists the base tensors: the one declaration that loading, counting, saving and full fine-tuning share. Errors: the layout's. */
pl_status pl_model_declare(const pl_config *config, pl_layout *layout);

/* Allocates a model with zero weights; fill model->values by layout, then call pl_model_pack. Errors: those of pl_config_check, PL_ERR_MEMORY. */
pl_status pl_model_create(pl_memory *memory, const pl_config *config, pl_model **model, pl_error *error);
void pl_model_free(pl_model *model);

/* Packs every linear map from its current w. */
void pl_model_pack(pl_model *model);
/* Re-packs after the values of base tensor `index` of model->layout changed (no-op for tensors that are not packed). */
void pl_model_repack(pl_model *model, int32_t index);

/* Points base tensor `index` at other values (same shape) and gradients; NULL, NULL restores the model's own values. Call
   pl_model_repack afterwards. This is how full fine-tuning trains a copy and leaves the base untouched. */
void pl_model_redirect(pl_model *model, int32_t index, real *values, real *gradients);

/* Current values of base tensor `index` (own or redirected). */
real *pl_model_tensor(const pl_model *model, int32_t index);

/* Index in model->layout of the weight of one linear map, and the map itself (layer and site must be the model's). */
int32_t pl_model_linear_index(int32_t layer, pl_site site);
pl_linear *pl_model_linear(const pl_model *model, int32_t layer, pl_site site);

/* y[n, out] = x[n, in] w^T with the base weights alone (for hooks that need the base product again). */
void pl_linear_apply(const pl_linear *linear, const real *x, int32_t n, real *y);

/* ---- workspace.c ---------------------------------------------------------------------------------------------------------- */

/* The largest pass a workspace can hold. */
typedef struct pl_extent {
    int32_t rows; /* rows incl. virtual tokens of every sequence */
    int32_t seqs;
    int32_t labels; /* labelled rows (loss) or rows whose logits are asked for */
    bool training;  /* keep what backward needs */
} pl_extent;

typedef struct pl_workspace pl_workspace;

/* Plans and allocates every buffer of forward and backward in one block, for this model and this stack (learned rows, private inputs).
   A pass with another stack is fine as long as it needs no more than that; the pass checks it, and the extent. Nothing is allocated during
   a pass. Errors: PL_ERR_RANGE for an extent that no pass can have, PL_ERR_MEMORY. */
pl_status pl_workspace_create(pl_memory *memory, const pl_model *model, const pl_stack *stack,
                              const pl_extent *extent, pl_workspace **workspace, pl_error *error);
void pl_workspace_free(pl_workspace *workspace);

/* ---- forward.c, backward.c -------------------------------------------------------------------------------------------------- */

typedef struct pl_loss {
    double sum;     /* of -log p(target) over the labelled rows, in nats */
    int32_t labels; /* number of labelled rows */
} pl_loss;

/* Runs the batch and the loss over its targets. With training true everything for pl_backward is kept and dropout (of modules) is on,
   unless dropout_key is 0; gradient_scale is d(objective)/d(sum), normally 1 / (labelled tokens of the whole optimiser step).
   Errors: PL_ERR_RANGE for a token outside the vocabulary, a sequence longer than max_position_embeddings (says which) or a batch beyond
   the workspace's extent; PL_ERR_ARGUMENT for a batch with an empty sequence, or a gradient_scale of 0 when training; PL_ERR_STATE for a
   workspace that was planned without training or for modules that need more than it was planned for. */
pl_status pl_forward_loss(pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                          const pl_batch *batch, bool training, uint64_t dropout_key, real gradient_scale,
                          pl_loss *loss, pl_error *error);

/* Adds the gradients of the last pl_forward_loss(training) to every module that trains and every base tensor with a gradient. Stops at
   the lowest place that trains anything. Errors: PL_ERR_STATE unless such a forward pass came just before. */
pl_status pl_backward(pl_model *model, const pl_stack *stack, pl_workspace *workspace, const pl_batch *batch,
                      pl_error *error);

/* logits[row_count, vocab_size] of every token row (virtual rows are left out). Same arithmetic as pl_forward_loss, bit for bit, and the same
   errors. */
pl_status pl_forward_logits(pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                            const pl_batch *batch, real *logits, pl_error *error);

/* ---- decode.c: one sequence with a key/value cache ------------------------------------------------------------------------- */

typedef struct pl_decoder pl_decoder;

/* Rows of one pass of a decoder at most: modules plan their buffers for an extent of so many rows. */
enum { PL_DECODE_ROWS = 32 };

/* capacity: positions the cache can hold, learned rows included (<= max_position_embeddings). The stack is copied; its modules stay the
   caller's and are asked for their learned rows at create, reset and the first feed. Errors: PL_ERR_RANGE for a capacity that the model or
   the learned rows do not allow, PL_ERR_MEMORY. */
pl_status pl_decoder_create(pl_memory *memory, const pl_model *model, const pl_stack *stack, int32_t capacity,
                            pl_decoder **decoder, pl_error *error);
void pl_decoder_free(pl_decoder *decoder);
/* Back to the state before the first token: learned key/value rows in the cache, nothing else. */
void pl_decoder_reset(pl_decoder *decoder);
/* Feeds tokens[count] (the virtual rows go first on the first call); logits[vocab_size] of the last one (NULL: not wanted). Errors, and then
   nothing was fed: PL_ERR_ARGUMENT for no token, PL_ERR_RANGE for one outside the vocabulary or no room for all. */
pl_status pl_decoder_feed(pl_decoder *decoder, const int32_t *tokens, int32_t count, real *logits,
                          pl_error *error);
int32_t pl_decoder_length(const pl_decoder *decoder); /* positions used */
/* Cached rows of one layer: k (after RoPE) and v, [pl_decoder_length, num_key_value_heads * head_dim]. */
void pl_decoder_cache(const pl_decoder *decoder, int32_t layer, const real **k, const real **v);

/* ---- sample.c ---------------------------------------------------------------------------------------------------------------- */

typedef struct pl_sampling {
    double temperature; /* 0, or too small to divide by: greedy (lowest id wins ties) */
    int32_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
} pl_sampling;

/* One token from logits[vocab_size] (overwritten). scratch: vocab_size int32. Order as in transformers: temperature, top-k, top-p. */
int32_t pl_sample(real *logits, int32_t vocab_size, const pl_sampling *sampling, pl_rng *rng,
                  int32_t *scratch);

#endif
