/* Timing loops over every operation of one Llama block, for tests/bench/kernels.mjs: which of them would have
   to get faster to matter. Buffers are made once per shape; JavaScript holds the clock. */
#include <emscripten.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "kernels/tile.h"

typedef struct block_bench {
    int32_t rows, dim, heads, hidden;
    real *x, *y, *z, *w, *packed, *scratch, *cosine, *sine, *inverse, *stats;
    int32_t *positions;
    pl_attention attention;
    pl_attention_gradients gradients;
} block_bench;

/* Operations of `block_bench_run`, in the order of kernels.mjs. */
enum {
    LINEAR,
    LINEAR_HIDDEN,
    OUTER,
    RMSNORM,
    RMSNORM_BACK,
    ROPE,
    ATTENTION,
    ATTENTION_BACK,
    DECODE,
    SWIGLU,
    SWIGLU_BACK,
    DROPOUT,
    ADAMW
};

/* NULL when memory is refused. Lives until the instance goes. */
EMSCRIPTEN_KEEPALIVE block_bench *block_bench_new(int32_t rows, int32_t dim, int32_t heads, int32_t hidden);
/* Runs one operation `times` times. */
EMSCRIPTEN_KEEPALIVE void block_bench_run(block_bench *b, int32_t operation, int32_t times);
/* A 4 x 8 tile on operands in the first-level cache, `times` times: the engine's own peak. 2 * 20 * 256 * 8
   flops each. */
EMSCRIPTEN_KEEPALIVE void block_bench_tile(block_bench *b, int32_t times);

/* count reals in (-1, 1), from a small generator: the values only have to be ordinary. */
static real *numbers(size_t count, uint32_t seed) {
    real *x = malloc(count * sizeof *x);
    for (size_t i = 0; x && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (real)((int32_t)(seed >> 8) - (1 << 23)) / (real)(1 << 23);
    }
    return x;
}

block_bench *block_bench_new(int32_t rows, int32_t dim, int32_t heads, int32_t hidden) {
    block_bench *b = calloc(1, sizeof *b);
    const size_t wide = (size_t)(hidden > dim ? hidden : dim),
                 whole = (size_t)rows * wide + (size_t)(dim * hidden);
    const size_t scratch = (size_t)pl_attention_scratch(rows, rows, dim / heads) + 2 * whole;
    if (!b)
        return NULL;
    *b = (block_bench){.rows = rows, .dim = dim, .heads = heads, .hidden = hidden};
    real **const all[] = {&b->x,      &b->y,    &b->z,       &b->w,    &b->packed,
                          &b->cosine, &b->sine, &b->inverse, &b->stats};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!(*all[i] = numbers(4 * whole, (uint32_t)i + 1)))
            return NULL;
    b->scratch = numbers(scratch, 99);
    b->positions = calloc((size_t)rows, sizeof *b->positions);
    if (!b->scratch || !b->positions)
        return NULL;
    const size_t own = (size_t)(rows * dim);
    b->attention = (pl_attention){.heads = heads,
                                  .kv_heads = heads,
                                  .head_dim = dim / heads,
                                  .rows = rows,
                                  .q = b->x,
                                  .k = b->x + own,
                                  .v = b->x + 2 * own,
                                  .past_k = b->w,
                                  .past_v = b->w + own};
    b->gradients = (pl_attention_gradients){
        .out = b->y, .stats = b->stats, .dout = b->w, .dq = b->z, .dk = b->z + own, .dv = b->z + 2 * own};
    pl_attention_forward(&b->attention, b->y, b->stats, b->scratch);
    return b;
}

static void run_products(const block_bench *b, int32_t operation) {
    if (operation == LINEAR)
        pl_gemm(b->x, b->rows, b->dim, b->packed, b->dim, b->cosine, false);
    else if (operation == LINEAR_HIDDEN)
        pl_gemm(b->x, b->rows, b->dim, b->packed, b->hidden, b->cosine, false);
    else
        pl_gemm_outer(b->x, b->w, b->rows, b->dim, b->dim, (real)1e-6, b->cosine, b->scratch);
}

static void run_attention(const block_bench *b, int32_t operation) {
    if (operation == ATTENTION) {
        pl_attention_forward(&b->attention, b->cosine, NULL, b->scratch);
    } else if (operation == ATTENTION_BACK) {
        pl_attention_backward(&b->attention, &b->gradients, b->scratch);
    } else { /* one token behind a cache of rows - 1 */
        pl_attention one = b->attention;
        one.rows = 1;
        one.past = b->rows - 1;
        pl_attention_forward(&one, b->cosine, NULL, b->scratch);
    }
}

static void run_rows(const block_bench *b, int32_t operation) {
    const size_t inner = (size_t)(b->rows * b->hidden), outer = (size_t)(b->rows * b->dim);
    const pl_adamw adamw = {.beta1 = 0.9,
                            .beta2 = 0.999,
                            .lr = (real)1e-6,
                            .eps = (real)1e-8,
                            .correction1 = 1,
                            .correction2 = 1};
    switch (operation) {
    case RMSNORM:
        pl_rmsnorm_forward(b->x, b->w, b->rows, b->dim, (real)1e-5, b->cosine, b->inverse);
        break;
    case RMSNORM_BACK:
        pl_rmsnorm_backward(b->x, b->w, b->inverse, b->packed, b->rows, b->dim, b->cosine, NULL);
        break;
    case ROPE:
        pl_rope_forward(b->cosine, b->positions, b->rows, b->heads, b->dim / b->heads, b->x, b->w);
        break;
    case SWIGLU:
        pl_swiglu_forward(b->x, b->w, b->cosine, inner);
        break;
    case SWIGLU_BACK:
        pl_swiglu_backward(b->x, b->w, b->packed, b->cosine, b->sine, inner);
        break;
    case DROPOUT:
        pl_dropout(7, (real)0.1, b->x, b->cosine, outer);
        break;
    default:
        pl_adamw_step(&adamw, b->x, 1, b->cosine, b->sine, b->inverse, outer);
    }
}

void block_bench_run(block_bench *b, int32_t operation, int32_t times) {
    while (times-- > 0)
        if (operation <= OUTER)
            run_products(b, operation);
        else if (operation == ATTENTION || operation == ATTENTION_BACK || operation == DECODE)
            run_attention(b, operation);
        else
            run_rows(b, operation);
}

void block_bench_tile(block_bench *b, int32_t times) {
    while (times-- > 0)
        pl_gemm(b->x, 20, 256, b->packed, PL_PANEL, b->cosine, false);
}
