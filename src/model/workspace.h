/* Inside the model layer only: the buffers of one pass and the walk through the layers that training and
 * decoding share. */
#ifndef PL_MODEL_WORKSPACE_H
#define PL_MODEL_WORKSPACE_H

#include "model/model.h"

/* Activations of one layer. n = rows of the pass, up to and including attention; behind it the last layer
   works on its tail alone: the rows somebody asked the loss or the logits of (t rows). In every other layer
   the tail is all n rows. Training keeps one set per layer; otherwise all layers share one. */
typedef struct pl_layer_state {
    real *x;                /* [n, hidden] residual stream on entry */
    real *normed, *inverse; /* [n, hidden], [n]: normalised x, 1/rms */
    real *q, *k, *v;        /* [n, width of q / k / v], q and k after RoPE */
    real *past_k, *past_v;  /* rows in front of every sequence: learned ones, or the cache of a decoder */
    real *attended, *stats; /* [n, width of q]; [n, heads], NULL unless training */
    /* [t, …] x and attended of the tail; the same pointers except in the last layer */
    real *tail_x, *tail_attended;
    real *middle;                   /* [t, hidden] residual stream between the sub-layers */
    real *ffn_normed, *ffn_inverse; /* [t, hidden], [t] */
    real *gate, *up, *product;      /* [t, intermediate], product = silu(gate) * up */
    real *out;                      /* [t, hidden] residual stream on exit = x of the next layer */
    real *input[PL_SITE_COUNT];     /* private copies of site inputs that some module changes, else NULL */
} pl_layer_state;

/* Scratch of the backward pass, used by one layer after the other. */
typedef struct pl_backward_state {
    real *dx, *dtail; /* gradient of the residual stream: [n, hidden], [t, hidden] in the last layer's tail */
    real *dh;         /* [n, hidden] of a sub-layer's output */
    real *dnormed;    /* [n, hidden] */
    real *dattended, *dtail_attended; /* [n, width of q], [t, …] */
    real *dq, *dk, *dv;
    real *dpast_k, *dpast_v;      /* [past, width of k] */
    real *dproduct, *dgate, *dup; /* [n, intermediate] */
    real *dinput;                 /* [n, widest private input] */
    real *dfinal;                 /* [t, hidden] of the final norm's output; written by the loss */
    real *outer;                  /* scratch of pl_gemm_outer */
} pl_backward_state;

struct pl_workspace {
    pl_memory *memory;
    pl_extent extent;   /* what it was planned for */
    int32_t past_max;   /* learned key/value rows planned for */
    int32_t cache_rows; /* > 0: a decoder's workspace, k and v live in a cache of so many rows per layer */
    uint8_t input_sites;
    int32_t logit_rows; /* rows of `logits`: all labels, or one block */

    /* of the current pass */
    pl_pass pass, tail; /* all rows; the last layer's tail */
    int32_t past;       /* rows in front of every sequence */
    int32_t virtual_tokens;
    int32_t *row_start, *tail_start; /* [seqs + 1] */
    uint64_t *streams;               /* [seqs] */
    int32_t *positions;              /* [rows] */
    int32_t *tail_rows;              /* [labels]: which rows of the pass the tail is */
    int32_t *targets;                /* [labels] */
    real gradient_scale;
    bool ready; /* a training forward pass waits for its backward pass */

    pl_layer_state *layers; /* [num_hidden_layers] */
    pl_backward_state back;
    real *final_normed, *final_inverse; /* [labels, hidden], [labels] */
    real *logits;                       /* [logit_rows, vocab] */
    real *attention_scratch;
};

/* Rows whose logits are made, turned into gradients and used while they are in cache. */
enum { PL_HEAD_BLOCK = 32 };

/* What a stack asks of the model. */
typedef struct pl_stack_needs {
    int32_t virtual_tokens, memory_tokens, shift; /* shift: position of the first row */
    uint8_t input_sites;
    bool has_memory, has_linear, has_block; /* some module has such a hook */
} pl_stack_needs;

pl_stack_needs pl_stack_collect(const pl_stack *stack);

/* As pl_workspace_create; cache_rows > 0 makes a decoder's workspace (not training). */
pl_status pl_workspace_make(pl_memory *memory, const pl_config *config, const pl_stack *stack,
                            const pl_extent *extent, int32_t cache_rows, pl_workspace **workspace,
                            pl_error *error);

/* ---- pass.c ---- */

/* Checks the batch against model and workspace, then fills pass, tail, positions. every_row: the tail is
   every token row, otherwise the rows with a target. */
pl_status pl_pass_begin(const pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                        const pl_batch *batch, bool every_row, pl_error *error);

/* Tokens of sequence s that run in the current pass: those behind its last tail row are left out. */
int32_t pl_pass_tokens(const pl_workspace *workspace, int32_t s);

/* ---- layer.c ---- */

/* From the first layer's x (filled) to the last layer's out. */
void pl_layers_forward(const pl_model *model, const pl_stack *stack, pl_workspace *workspace);

/* Copies the learned key/value rows of layer into k, v [memory_tokens, width of k]. */
void pl_memory_gather(const pl_model *model, const pl_stack *stack, int32_t layer, real *k, real *v);

/* The pass that sub-layers behind attention see in this layer. */
const pl_pass *pl_tail_pass(const pl_model *model, const pl_workspace *workspace, int32_t layer);

/* What the hooks of this map get. */
pl_linear_at pl_at_linear(const pl_model *model, const pl_pass *pass, int32_t layer, pl_site site);

/* The final norm of all tail rows, and from it logits[count, vocab_size] of tail rows first .. first+count-1. */
void pl_head_norm(const pl_model *model, pl_workspace *workspace);
void pl_head_logits(const pl_model *model, const pl_workspace *workspace, int32_t first, int32_t count,
                    real *logits);

#endif
