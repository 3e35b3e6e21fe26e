/* Runs every kernel on inputs without rounding and hashes what comes out. */
#include "kernels/selftest.h"

#include "kernels/kernels.h"

#include <string.h>

enum { MOST = 640, SCRATCH = 1600 };

typedef struct pl_selftest {
    uint64_t hash;
    uint32_t seed;
    real a[MOST], b[MOST], c[MOST], out[MOST], scratch[SCRATCH];
} pl_selftest;

/* FNV-1a over the bit patterns, by value, so that the byte order of the machine does not matter. */
static void mix(pl_selftest *s, const real *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        const float value = (float)x[i];
        memcpy(&bits, &value, sizeof bits);
        s->hash = (s->hash ^ bits) * 0x100000001B3ULL;
    }
}

/* Multiples of 1/512 in (-2, 2): exact, so the inputs cannot depend on the machine. */
static void draw(pl_selftest *s, real *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        s->seed = s->seed * 1664525u + 1013904223u;
        x[i] = (real)((int32_t)(s->seed >> 21) - 1024) / (real)512;
    }
}

static void redraw(pl_selftest *s) {
    draw(s, s->a, MOST);
    draw(s, s->b, MOST);
    draw(s, s->c, MOST);
    draw(s, s->out, MOST);
}

static void products(pl_selftest *s) {
    const int32_t in = 19, out = 21;
    redraw(s);
    pl_pack(s->b, out, in, s->scratch);
    for (int32_t n = 1; n <= 7; n++) { /* every height of tile */
        pl_gemm(s->a, n, in, s->scratch, out, s->out, n % 2 == 0);
        mix(s, s->out, (size_t)(n * out));
    }
    pl_gemm_scaled(s->a, 6, in, s->scratch, out, (real)0.3, s->out);
    mix(s, s->out, (size_t)(6 * out));
    pl_pack_transposed(s->b, out, in, s->scratch);
    pl_gemm(s->a, 5, out, s->scratch, in, s->out, false);
    mix(s, s->out, (size_t)(5 * in));
    pl_gemm_outer(s->a, s->c, 11, out, in, (real)0.7, s->out, s->scratch);
    mix(s, s->out, (size_t)(out * in));
}

static void pointwise(pl_selftest *s) {
    const size_t n = 43;
    redraw(s);
    for (int f = PL_ACT_RELU; f <= PL_ACT_IDENTITY; f++) {
        pl_activation_forward((pl_activation)f, s->a, s->out, n);
        mix(s, s->out, n);
        pl_activation_backward((pl_activation)f, s->a, s->b, s->out, n);
        mix(s, s->out, n);
    }
    pl_swiglu_forward(s->a, s->b, s->out, n);
    mix(s, s->out, n);
    pl_swiglu_backward(s->a, s->b, s->c, s->out, s->scratch, n);
    mix(s, s->out, n);
    mix(s, s->scratch, n);
    pl_dropout(0x123456789ULL, (real)0.3, s->a, s->out, n);
    pl_add(s->b, s->out, n);
    pl_add_scaled(s->c, (real)0.9, s->out, n);
    pl_scale(s->out, (real)1.1, n);
    pl_add_rows(s->a, 3, 13, s->out);
    pl_mul_rows(s->b, 3, 13, s->out);
    pl_sum_rows(s->out, 3, 13, s->c);
    pl_mul_rows_backward(s->a, s->b, 3, 13, s->c);
    mix(s, s->out, n);
    mix(s, s->c, 13);
    const real squares = (real)pl_sum_squares(s->out, n), finite = (real)pl_all_finite(s->out, n);
    mix(s, &squares, 1);
    mix(s, &finite, 1);
}

static void rows(pl_selftest *s) {
    static const double frequencies[5] = {1.0, 0.5, 0.25, 0.125, 0.0625};
    const int32_t n = 5, d = 23, positions[5] = {0, 3, 1, 6, 2}, targets[5] = {0, 22, 7, 3, 11};
    real inverse[5], cosine[40], sine[40];
    redraw(s);
    pl_rmsnorm_forward(s->a, s->b, n, d, (real)1e-5, s->out, inverse);
    mix(s, s->out, (size_t)(n * d));
    pl_rmsnorm_backward(s->a, s->b, inverse, s->c, n, d, s->out, s->b);
    mix(s, s->out, (size_t)(n * d));
    mix(s, s->b, (size_t)d);
    pl_rope_table(frequencies, 10, 8, cosine, sine);
    pl_rope_forward(s->a, positions, n, 2, 10, cosine, sine);
    mix(s, s->a, 100);
    pl_rope_backward(s->a, positions, n, 2, 10, cosine, sine);
    mix(s, s->a, 100);
    const real loss = (real)pl_cross_entropy(s->c, targets, n, d, (real)0.2);
    mix(s, &loss, 1);
    mix(s, s->c, (size_t)(n * d));
    pl_softmax(s->out, 61, (real)0.8);
    mix(s, s->out, 61);
    pl_embedding_forward(s->a, targets, n, d, s->out);
    pl_embedding_backward(targets, s->c, n, d, s->a);
    mix(s, s->out, (size_t)(n * d));
    mix(s, s->a, MOST);
    const pl_adamw adamw = {.beta1 = 0.9,
                            .beta2 = 0.999,
                            .lr = (real)0.01,
                            .eps = (real)1e-8,
                            .weight_decay = (real)0.1,
                            .correction1 = (real)0.19,
                            .correction2 = (real)0.002};
    pl_fill(s->b, (real)0.25, MOST);
    pl_adamw_step(&adamw, s->a, (real)0.5, s->c, s->b, s->out, 47);
    mix(s, s->b, 47);
    mix(s, s->c, 47);
    mix(s, s->out, 47);
}

static void attention(pl_selftest *s) {
    enum { HEADS = 4, KV = 2, DIM = 10, ROWS = 9, PAST = 3, OWN = ROWS * KV * DIM, BEFORE = PAST * KV * DIM };
    redraw(s);
    real stats[ROWS * HEADS], dv[MOST];
    const pl_attention a = {HEADS, KV,   DIM,        ROWS,           PAST,
                            s->a,  s->b, s->b + OWN, s->b + 2 * OWN, s->b + 2 * OWN + BEFORE};
    pl_attention_forward(&a, s->out, stats, s->scratch);
    mix(s, s->out, ROWS * HEADS * DIM);
    mix(s, stats, ROWS * HEADS);
    real *dq = s->c, *dk = dv + 2 * OWN;
    draw(s, dv, MOST);
    const pl_attention_gradients g = {s->out, stats, s->a, dq, dk, dv, dv + OWN, dv + OWN + BEFORE};
    pl_attention_backward(&a, &g, s->scratch);
    mix(s, dq, ROWS * HEADS * DIM);
    mix(s, dv, MOST);
}

uint64_t pl_kernels_selftest(void) {
    pl_selftest s = {.hash = 0xCBF29CE484222325ULL, .seed = 1};
    products(&s);
    pointwise(&s);
    rows(&s);
    attention(&s);
    return s.hash;
}
