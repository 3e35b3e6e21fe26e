/* The operations of a Llama block, forward beside backward. One op per file; this header is the whole list.
 *
 * Conventions, everywhere:
 *  - matrices are row-major; x[n, d] means n rows of d reals; "ld" arguments do not exist: rows are contiguous;
 *  - a backward function *adds* to the gradients of inputs and weights (`+=`), so that several consumers of one tensor need
 *    no special case; the exceptions say "overwrites";
 *  - pointers of one call do not overlap unless stated;
 *  - every output element is summed in one fixed order (over k = 0, 1, 2 …), whatever the SIMD back end, the number of rows
 *    in the call or the tile it falls in. So a token gives the same bits alone (decoding) and in a batch (training).
 */
#ifndef PL_KERNELS_KERNELS_H
#define PL_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/real.h"

/* ---- gemm.c: y = x w^T with w packed in panels -------------------------------------------------------------------- */

enum { PL_PANEL = 8 /* columns per panel: two SIMD128 registers of float */ };

/* Reals needed for w[out, in] packed: ceil(out / PL_PANEL) panels of [in][PL_PANEL], zero padded. Sizes are int64_t, because
   size_t has 32 bits in WebAssembly and would wrap around. */
int64_t pl_pack_size(int32_t out, int32_t in);

/* Packs w[out, in] for y[n, out] = x[n, in] w^T. */
void pl_pack(const real *w, int32_t out, int32_t in, real *packed);

/* Packs w[out, in] for dx[n, in] = dy[n, out] w: panels along `in`, that is pl_pack of the transposed matrix. */
void pl_pack_transposed(const real *w, int32_t out, int32_t in, real *packed);

/* y[n, out] = x[n, in] w^T (accumulate: +=). packed = pl_pack(w). Also used for dx = dy w with pl_pack_transposed(w)
   (then `in` is w's out and `out` is w's in). */
void pl_gemm(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real *y, bool accumulate);

/* As pl_gemm, but y[n, out] += scale * (x w^T): the epilogue of low-rank products. */
void pl_gemm_scaled(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real scale,
                    real *y);

/* dw[out, in] += scale * dy[n, out]^T x[n, in]: the gradient of a weight. scratch: pl_pack_size(in, n) reals. */
void pl_gemm_outer(const real *dy, const real *x, int32_t n, int32_t out, int32_t in, real scale, real *dw,
                   real *scratch);

/* ---- elementwise.c ------------------------------------------------------------------------------------------------- */

void pl_add(const real *x, real *y, size_t n);                    /* y += x */
void pl_add_scaled(const real *x, real scale, real *y, size_t n); /* y += scale * x */
void pl_scale(real *x, real scale, size_t n);                     /* x *= scale */
void pl_fill(real *x, real value, size_t n);
void pl_add_rows(const real *bias, int32_t n, int32_t d, real *y); /* y[n, d] += bias[d] */
void pl_sum_rows(const real *dy, int32_t n, int32_t d,
                 real *dbias);                                  /* dbias[d] += sum over rows of dy[n, d] */
void pl_mul_rows(const real *l, int32_t n, int32_t d, real *y); /* y[n, d] *= l[d] */
/* dl[d] += sum over rows of dy*x */
void pl_mul_rows_backward(const real *x, const real *dy, int32_t n, int32_t d, real *dl);
double pl_sum_squares(const real *x, size_t n); /* in double, fixed order */
bool pl_all_finite(const real *x, size_t n);

/* ---- activation.c: the non-linearities bottleneck modules may choose ------------------------------------------------ */

typedef enum pl_activation {
    PL_ACT_RELU,
    PL_ACT_SILU,
    PL_ACT_GELU,
    PL_ACT_GELU_TANH,
    PL_ACT_TANH,
    PL_ACT_IDENTITY
} pl_activation;

/* y[n] = f(x[n]); y may be x. gelu is the exact erf form of torch.nn.functional.gelu; gelu_tanh its "tanh" form. */
void pl_activation_forward(pl_activation f, const real *x, real *y, size_t n);
/* dx[n] = dy[n] * f'(x[n]) (overwrites; dx may be dy). */
void pl_activation_backward(pl_activation f, const real *x, const real *dy, real *dx, size_t n);

/* ---- dropout.c: inverted dropout with a counter-based mask ----------------------------------------------------------- */

/* y[n] = x[n] * mask / (1 - p), the mask of element i being drawn from (key, i) alone. y may be x. Backward is the same call on
   dy: nothing is stored. p = 0 copies. */
void pl_dropout(uint64_t key, real p, const real *x, real *y, size_t n);

/* ---- rmsnorm.c ------------------------------------------------------------------------------------------------------- */

/* y[n, d] = g[d] * x / sqrt(mean(x^2) + eps); inverse[n] receives 1/sqrt(…) for the backward pass (may be NULL). */
void pl_rmsnorm_forward(const real *x, const real *g, int32_t n, int32_t d, real eps, real *y, real *inverse);
/* dx[n, d] += …; dg[d] += … (dg may be NULL: a frozen norm). */
void pl_rmsnorm_backward(const real *x, const real *g, const real *inverse, const real *dy, int32_t n,
                         int32_t d, real *dx, real *dg);

/* ---- rope.c: rotary position embedding, Hugging Face's half-split layout (pairs c and c + head_dim/2) ----------------- */

/* cosine/sine[max_positions, head_dim/2] from inverse frequencies[head_dim/2], computed in double by base/exact.h, rounded once. */
void pl_rope_table(const double *frequencies, int32_t head_dim, int32_t max_positions, real *cosine,
                   real *sine);
/* Rotates x[n, heads*head_dim] in place, row i at positions[i]. */
void pl_rope_forward(real *x, const int32_t *positions, int32_t n, int32_t heads, int32_t head_dim,
                     const real *cosine, const real *sine);
/* The transposed rotation, in place on dx. */
void pl_rope_backward(real *dx, const int32_t *positions, int32_t n, int32_t heads, int32_t head_dim,
                      const real *cosine, const real *sine);

/* ---- attention.c: one sequence, grouped-query, causal over its own rows; `past` rows are visible to all ---------------- */

typedef struct pl_attention {
    int32_t heads, kv_heads, head_dim; /* query head h reads kv head h / (heads / kv_heads) */
    int32_t rows, past; /* t own rows; past = cached or learned key/value rows before them (0 allowed) */
    const real *q;      /* [rows, heads*head_dim] */
    const real *k, *v;  /* [rows, kv_heads*head_dim] */
    const real *past_k, *past_v; /* [past, kv_heads*head_dim] */
} pl_attention;

/* Reals of scratch for forward and backward of this shape. */
int64_t pl_attention_scratch(int32_t rows, int32_t past, int32_t head_dim);

/* out[rows, heads*head_dim] = softmax(q k^T / sqrt(head_dim)) v (overwrites). stats[rows, heads] receives max + log(sum) of
   each row's scores, all that the backward pass needs (may be NULL). */
void pl_attention_forward(const pl_attention *a, real *out, real *stats, real *scratch);

typedef struct pl_attention_gradients {
    const real *out, *stats, *dout; /* of the forward pass; dout[rows, heads*head_dim] */
    real *dq, *dk, *dv;             /* += ; shapes as q, k, v */
    real *dpast_k, *dpast_v;        /* += ; NULL when the past is frozen */
} pl_attention_gradients;

/* scratch as in the forward pass. The probabilities are computed again from q, k and stats: nothing of size rows x rows is kept. */
void pl_attention_backward(const pl_attention *a, const pl_attention_gradients *g, real *scratch);

/* ---- swiglu.c ---------------------------------------------------------------------------------------------------------- */

void pl_swiglu_forward(const real *gate, const real *up, real *y, size_t n); /* y = silu(gate) * up */
/* dgate and dup overwritten. */
void pl_swiglu_backward(const real *gate, const real *up, const real *dy, real *dgate, real *dup, size_t n);

/* ---- embedding.c --------------------------------------------------------------------------------------------------------- */

void pl_embedding_forward(const real *table, const int32_t *tokens, int32_t n, int32_t d,
                          real *x); /* x[n,d] = table[token] */
void pl_embedding_backward(const int32_t *tokens, const real *dx, int32_t n, int32_t d, real *dtable);

/* ---- cross_entropy.c ------------------------------------------------------------------------------------------------------- */

/* Loss of n labelled rows of logits[n, vocab]: returns the SUM over rows of -log softmax(logits)[target] (in double, rows in
   order). When scale != 0, logits are overwritten by the gradient scale * (softmax - onehot). */
double pl_cross_entropy(real *logits, const int32_t *targets, int32_t n, int32_t vocab, real scale);

/* In place: logits[n] -> probabilities at temperature t > 0 (max subtracted). */
void pl_softmax(real *logits, int32_t n, real temperature);

/* ---- adamw.c ---------------------------------------------------------------------------------------------------------------- */

typedef struct pl_adamw {
    double beta1, beta2;           /* double, because 1 - beta2 must not lose digits */
    real lr, eps, weight_decay;    /* weight_decay 0 for excluded tensors */
    real correction1, correction2; /* 1 - beta^t */
} pl_adamw;

/* One decoupled step (Loshchilov & Hutter 2019, as torch.optim.AdamW): w *= 1 - lr*wd; w -= lr * mhat / (sqrt(vhat) + eps).
   g is multiplied by g_scale first (gradient clipping). */
void pl_adamw_step(const pl_adamw *a, const real *g, real g_scale, real *m, real *v, real *w, size_t n);

#endif
