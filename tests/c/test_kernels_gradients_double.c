/* Central differences in double for every backward pass. The loss is <weight, y> with random weights: a plain
   sum would not see errors that cancel. */
#include "harness.h"
#include "kernels/kernels.h"
#include "kernels_data.h"

#include <math.h>
#include <string.h>

enum { MOST = 4096 };
static real scratch[65536], weight[MOST], y[MOST];

static double inner(size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += weight[i] * y[i];
    return sum;
}

/* loss(data) recomputes y and returns <weight, y>. gradient[n] was computed with a start value of `start` in
   every element (to see that backward adds), 0 for the operations that overwrite. */
static void check_gradient(double (*loss)(void *), void *data, real *at, const real *gradient, size_t n,
                           double start, const char *name) {
    double largest = 0.0, error = 0.0;
    for (size_t i = 0; i < n; i++) {
        const real keep = at[i], h = 1e-5;
        at[i] = keep + h;
        const double up = loss(data);
        at[i] = keep - h;
        const double down = loss(data);
        at[i] = keep;
        const double numeric = (up - down) / (2.0 * h);
        largest = fmax(largest, fabs(numeric));
        error = fmax(error, fabs(numeric - (gradient[i] - start)));
    }
    CHECK_MSG(error <= 1e-7 * fmax(largest, 1e-3), "%s: error %.3g, largest gradient %.3g", name, error,
              largest);
}

static void fill(real *x, size_t n, real value) {
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

/* ---- linear ---- */
typedef struct linear_case {
    int32_t n, in, out;
    real x[256], w[256], packed[512];
} linear_case;

static double linear_loss(void *data) {
    linear_case *c = data;
    pl_pack(c->w, c->out, c->in, c->packed);
    pl_gemm(c->x, c->n, c->in, c->packed, c->out, y, false);
    return inner((size_t)(c->n * c->out));
}

TEST(linear_gradients) {
    static linear_case c;
    for (int32_t n = 1; n <= 12; n += 3) {
        c.n = n, c.in = 9, c.out = 11;
        data_fill(c.x, 256, 1);
        data_fill(c.w, 256, 2);
        data_fill(weight, MOST, 3);
        real dx[256], dw[256], packed[512];
        fill(dx, 256, 2.0);
        fill(dw, 256, 2.0);
        pl_pack_transposed(c.w, c.out, c.in, packed);
        pl_gemm(weight, n, c.out, packed, c.in, dx, true);
        pl_gemm_outer(weight, c.x, n, c.out, c.in, 1.0, dw, scratch);
        check_gradient(linear_loss, &c, c.x, dx, (size_t)(n * c.in), 2.0, "dx");
        check_gradient(linear_loss, &c, c.w, dw, (size_t)(c.out * c.in), 2.0, "dw");
    }
}

/* ---- activations and swiglu ---- */
typedef struct pointwise_case {
    pl_activation f;
    size_t n;
    real x[64], up[64];
} pointwise_case;

static double activation_loss(void *data) {
    pointwise_case *c = data;
    pl_activation_forward(c->f, c->x, y, c->n);
    return inner(c->n);
}

TEST(activation_gradients) {
    static pointwise_case c;
    for (int f = PL_ACT_RELU; f <= PL_ACT_IDENTITY; f++) {
        c.f = (pl_activation)f, c.n = 43;
        data_fill(c.x, c.n, 4);
        pl_scale(c.x, 4.0, c.n);
        data_fill(weight, c.n, 5);
        real dx[64], same[64];
        pl_activation_backward(c.f, c.x, weight, dx, c.n);
        memcpy(same, weight, sizeof same);
        pl_activation_backward(c.f, c.x, same, same, c.n); /* dx may be dy */
        CHECK(memcmp(same, dx, c.n * sizeof(real)) == 0);
        check_gradient(activation_loss, &c, c.x, dx, c.n, 0.0, "activation");
    }
}

static double swiglu_loss(void *data) {
    pointwise_case *c = data;
    pl_swiglu_forward(c->x, c->up, y, c->n);
    return inner(c->n);
}

TEST(swiglu_gradients) {
    static pointwise_case c;
    c.n = 37;
    data_fill(c.x, c.n, 6);
    pl_scale(c.x, 3.0, c.n);
    data_fill(c.up, c.n, 7);
    data_fill(weight, c.n, 8);
    real dgate[64], dup[64];
    pl_swiglu_backward(c.x, c.up, weight, dgate, dup, c.n);
    check_gradient(swiglu_loss, &c, c.x, dgate, c.n, 0.0, "dgate");
    check_gradient(swiglu_loss, &c, c.up, dup, c.n, 0.0, "dup");
}

/* ---- per-column products, rmsnorm, rope ---- */
typedef struct rows_case {
    int32_t n, d;
    real x[512], g[64], inverse[16];
} rows_case;

static double mul_loss(void *data) {
    rows_case *c = data;
    memcpy(y, c->x, sizeof c->x);
    pl_mul_rows(c->g, c->n, c->d, y);
    return inner((size_t)(c->n * c->d));
}

TEST(mul_rows_gradient) {
    static rows_case c;
    c.n = 5, c.d = 11;
    data_fill(c.x, 512, 9);
    data_fill(c.g, 64, 10);
    data_fill(weight, MOST, 11);
    real dl[64];
    fill(dl, 64, 1.0);
    pl_mul_rows_backward(c.x, weight, c.n, c.d, dl);
    check_gradient(mul_loss, &c, c.g, dl, (size_t)c.d, 1.0, "dl");
}

static double rmsnorm_loss(void *data) {
    rows_case *c = data;
    pl_rmsnorm_forward(c->x, c->g, c->n, c->d, 1e-5, y, NULL);
    return inner((size_t)(c->n * c->d));
}

TEST(rmsnorm_gradients) {
    static rows_case c;
    for (int32_t d = 1; d <= 37; d += 3) {
        c.n = 4, c.d = d;
        data_fill(c.x, 512, 12);
        data_fill(c.g, 64, 13);
        data_fill(weight, MOST, 14);
        real dx[512], dg[64], again[512];
        fill(dx, 512, -1.0);
        fill(dg, 64, -1.0);
        fill(again, 512, -1.0);
        pl_rmsnorm_forward(c.x, c.g, c.n, d, 1e-5, y, c.inverse);
        pl_rmsnorm_backward(c.x, c.g, c.inverse, weight, c.n, d, dx, dg);
        pl_rmsnorm_backward(c.x, c.g, c.inverse, weight, c.n, d, again, NULL);
        CHECK(memcmp(dx, again, sizeof dx) == 0);
        check_gradient(rmsnorm_loss, &c, c.x, dx, (size_t)(c.n * d), -1.0, "dx");
        check_gradient(rmsnorm_loss, &c, c.g, dg, (size_t)d, -1.0, "dg");
    }
}

static const int32_t positions[3] = {2, 0, 7};
static real cosine[64], sine[64];

static double rope_loss(void *data) {
    rows_case *c = data;
    memcpy(y, c->x, sizeof c->x);
    pl_rope_forward(y, positions, 3, 2, c->d, cosine, sine);
    return inner((size_t)(3 * 2 * c->d));
}

TEST(rope_gradient) {
    static rows_case c;
    for (c.d = 2; c.d <= 14; c.d += 4) {
        double f[8];
        for (int32_t i = 0; i < c.d / 2; i++)
            f[i] = 1.0 / (1.0 + i);
        pl_rope_table(f, c.d, 8, cosine, sine);
        data_fill(c.x, 512, 15);
        data_fill(weight, MOST, 16);
        real dx[512];
        memcpy(dx, weight, sizeof dx);
        pl_rope_backward(dx, positions, 3, 2, c.d, cosine, sine);
        check_gradient(rope_loss, &c, c.x, dx, (size_t)(6 * c.d), 0.0, "rope");
    }
}

/* ---- cross-entropy ---- */
static double cross_entropy_loss(void *data) {
    rows_case *c = data;
    const int32_t targets[4] = {0, 3, c->d - 1, 1};
    memcpy(y, c->x, sizeof c->x);
    return 0.5 * pl_cross_entropy(y, targets, c->n, c->d, 0.0);
}

TEST(cross_entropy_gradient) {
    static rows_case c;
    for (int32_t d = 4; d <= 45; d += 8) {
        const int32_t targets[4] = {0, 3, d - 1, 1};
        c.n = 4, c.d = d;
        data_fill(c.x, 512, 17);
        real dx[512];
        memcpy(dx, c.x, sizeof dx);
        pl_cross_entropy(dx, targets, c.n, d, 0.5);
        check_gradient(cross_entropy_loss, &c, c.x, dx, (size_t)(c.n * d), 0.0, "logits");
    }
}

/* ---- attention ---- */
typedef struct attention_case {
    pl_attention a;
    real q[1024], k[1024], v[1024], past_k[512], past_v[512], out[1024], stats[256];
} attention_case;

static double attention_loss(void *data) {
    attention_case *c = data;
    pl_attention_forward(&c->a, y, NULL, scratch);
    return inner((size_t)(c->a.rows * c->a.heads * c->a.head_dim));
}

static void attention_gradients(int32_t heads, int32_t kv_heads, int32_t dim, int32_t rows, int32_t past) {
    static attention_case c;
    static real dq[1024], dk[1024], dv[1024], dpk[512], dpv[512];
    data_fill(c.q, 1024, 18);
    data_fill(c.k, 1024, 19);
    data_fill(c.v, 1024, 20);
    data_fill(c.past_k, 512, 21);
    data_fill(c.past_v, 512, 22);
    data_fill(weight, MOST, 23);
    c.a = (pl_attention){heads, kv_heads, dim, rows, past, c.q, c.k, c.v, c.past_k, c.past_v};
    pl_attention_forward(&c.a, c.out, c.stats, scratch);
    real *all[5] = {dq, dk, dv, dpk, dpv};
    for (int i = 0; i < 5; i++)
        fill(all[i], i < 3 ? 1024 : 512, 0.5);
    pl_attention_gradients g = {c.out, c.stats, weight, dq, dk, dv, dpk, dpv};
    pl_attention_backward(&c.a, &g, scratch);
    const size_t own = (size_t)(rows * kv_heads * dim), before = (size_t)(past * kv_heads * dim);
    check_gradient(attention_loss, &c, c.q, dq, (size_t)(rows * heads * dim), 0.5, "dq");
    check_gradient(attention_loss, &c, c.k, dk, own, 0.5, "dk");
    check_gradient(attention_loss, &c, c.v, dv, own, 0.5, "dv");
    check_gradient(attention_loss, &c, c.past_k, dpk, before, 0.5, "dpast_k");
    check_gradient(attention_loss, &c, c.past_v, dpv, before, 0.5, "dpast_v");
    g.dpast_k = g.dpast_v = NULL; /* a frozen past changes nothing else */
    static real dk2[1024];
    fill(dk2, 1024, 0.5);
    g.dk = dk2;
    pl_attention_backward(&c.a, &g, scratch);
    CHECK(memcmp(dk, dk2, sizeof dk) == 0);
}

TEST(attention_gradients_match) {
    attention_gradients(2, 1, 4, 7, 0);
    attention_gradients(4, 2, 3, 6, 5);
    attention_gradients(1, 1, 10, 9, 3);
    attention_gradients(2, 2, 8, 23, 9);
    attention_gradients(2, 1, 16, 5, 1);
    attention_gradients(1, 1, 32, 3, 8);
}

/* ---- embedding: a gather, so its gradient is exact ---- */
TEST(embedding_gradient_counts_every_use) {
    const int32_t tokens[4] = {1, 2, 1, 0};
    real dx[12], table[9];
    data_fill(dx, 12, 24);
    fill(table, 9, 1.0);
    pl_embedding_backward(tokens, dx, 4, 3, table);
    for (int c = 0; c < 3; c++) {
        CHECK_NEAR(table[3 + c], 1.0 + dx[c] + dx[6 + c], 1e-15);
        CHECK_NEAR(table[6 + c], 1.0 + dx[3 + c], 1e-15);
    }
}
