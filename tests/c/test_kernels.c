/* build: both
   Every operation against a plain reference in double at odd sizes, and the promise that a row has the same
   bits alone and in a batch. */
#include "harness.h"
#include "kernels/kernels.h"
#include "kernels_data.h"

#include <math.h>
#include <string.h>

static const double TOL = PL_REAL_IS_FLOAT ? 2e-5 : 1e-12;

static real x[20000], y[20000], z[20000], w[20000], packed[20000], old[20000], scratch[40000];

static double reference(const real *a, const real *b, int32_t row, int32_t column, int32_t in) {
    double sum = 0.0;
    for (int32_t k = 0; k < in; k++)
        sum += (double)a[row * in + k] * (double)b[column * in + k];
    return sum;
}

static void gemm_case(int32_t n, int32_t in, int32_t out) {
    data_fill(x, (size_t)(n * in), 1);
    data_fill(w, (size_t)(out * in), 2);
    data_fill(old, (size_t)(n * out), 3);
    pl_pack(w, out, in, packed);
    pl_gemm(x, n, in, packed, out, y, false);
    memcpy(z, old, sizeof z);
    pl_gemm(x, n, in, packed, out, z, true);
    real *scaled = scratch;
    memcpy(scaled, old, sizeof old);
    pl_gemm_scaled(x, n, in, packed, out, (real)-0.75, scaled);
    bool same = true;
    for (int32_t i = 0; i < n; i++) {
        real alone[80];
        pl_gemm(x + i * in, 1, in, packed, out, alone, false);
        same = same && memcmp(alone, y + i * out, (size_t)out * sizeof(real)) == 0;
        memcpy(alone, old + i * out, (size_t)out * sizeof(real));
        pl_gemm_scaled(x + i * in, 1, in, packed, out, (real)-0.75, alone);
        same = same && memcmp(alone, scaled + i * out, (size_t)out * sizeof(real)) == 0;
        for (int32_t o = 0; o < out; o++) {
            const double want = reference(x, w, i, o, in), before = (double)old[i * out + o];
            CHECK_NEAR(y[i * out + o], want, TOL * (1 + in));
            CHECK_NEAR(z[i * out + o], want + before, TOL * (1 + in));
            CHECK_NEAR(scaled[i * out + o], before - 0.75 * want, TOL * (1 + in));
        }
    }
    CHECK_MSG(same, "n %d in %d out %d: a row alone differs from the batch", n, in, out);
    CHECK(memcmp(z + n * out, old + n * out, 64) == 0); /* nothing is written behind the end */
}

TEST(gemm_matches_reference_and_rows_are_independent) {
    for (int32_t n = 1; n <= 17; n++)
        for (int32_t d = 1; d <= 70; d += 3)
            gemm_case(n, d, 1 + (d * 7 + n) % 70);
}

TEST(gemm_transposed_gives_the_input_gradient) {
    for (int32_t n = 1; n <= 11; n += 2)
        for (int32_t in = 1; in <= 41; in += 4) {
            const int32_t out = 1 + (in * 5 + n) % 37;
            data_fill(x, (size_t)(n * out), 4);
            data_fill(w, (size_t)(out * in), 5);
            pl_pack_transposed(w, out, in, packed);
            pl_gemm(x, n, out, packed, in, y, false);
            for (int32_t i = 0; i < n; i++)
                for (int32_t c = 0; c < in; c++) {
                    double want = 0.0;
                    for (int32_t o = 0; o < out; o++)
                        want += (double)x[i * out + o] * (double)w[o * in + c];
                    CHECK_NEAR(y[i * in + c], want, TOL * out);
                }
        }
}

static void outer_case(int32_t n, int32_t out, int32_t in) {
    data_fill(x, (size_t)(n * in), 6);
    data_fill(y, (size_t)(n * out), 7);
    data_fill(w, (size_t)(out * in), 8);
    memcpy(old, w, sizeof old);
    pl_gemm_outer(y, x, n, out, in, (real)1.5, w, scratch);
    for (int32_t o = 0; o < out; o++)
        for (int32_t c = 0; c < in; c++) {
            double want = (double)old[o * in + c];
            for (int32_t i = 0; i < n; i++)
                want += 1.5 * (double)y[i * out + o] * (double)x[i * in + c];
            CHECK_NEAR(w[o * in + c], want, TOL * (1 + n));
        }
}

TEST(gemm_outer_matches_reference) {
    for (int32_t n = 1; n <= 17; n++)
        for (int32_t d = 1; d <= 70; d += 7)
            outer_case(n, 1 + (d * 3 + n) % 23, d);
    outer_case(300, 8, 33); /* longer than any chunk of rows */
    outer_case(257, 13, 8);
    outer_case(270, 31, 50);
}

TEST(elementwise_matches_definitions) {
    for (size_t n = 1; n <= 19; n++) {
        data_fill(x, n, 9);
        data_fill(old, n, 10);
        memcpy(y, old, sizeof y);
        pl_add(x, y, n);
        memcpy(z, old, sizeof z);
        pl_add_scaled(x, (real)0.3, z, n);
        memcpy(w, x, sizeof w);
        pl_scale(w, (real)-2, n);
        double squares = 0.0;
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR(y[i], (double)old[i] + (double)x[i], TOL);
            CHECK_NEAR(z[i], (double)old[i] + (double)(real)0.3 * (double)x[i], TOL);
            CHECK_NEAR(w[i], -2.0 * (double)x[i], 0.0);
            squares += (double)x[i] * (double)x[i];
        }
        CHECK_NEAR(pl_sum_squares(x, n), squares, 1e-12);
        pl_fill(w, (real)7, n);
        CHECK_NEAR(w[n - 1], 7.0, 0.0);
        CHECK(pl_all_finite(x, n));
        for (size_t i = 0; i < n; i++) {
            const real keep = x[i];
            x[i] = (real)NAN;
            CHECK(!pl_all_finite(x, n));
            x[i] = (real)-INFINITY;
            CHECK(!pl_all_finite(x, n));
            x[i] = keep;
        }
    }
}

TEST(row_operations_match_definitions) {
    for (int32_t n = 1; n <= 5; n += 2)
        for (int32_t d = 1; d <= 11; d++) {
            const size_t all = (size_t)(n * d), wide = (size_t)d;
            data_fill(x, all, 11);
            data_fill(y, all, 12);
            data_fill(w, wide, 13);
            memcpy(z, x, sizeof z);
            pl_add_rows(w, n, d, z);
            memcpy(scratch, x, sizeof x);
            pl_mul_rows(w, n, d, scratch);
            data_fill(old, wide, 14);
            memcpy(packed, old, sizeof old);
            pl_sum_rows(y, n, d, old);
            pl_mul_rows_backward(x, y, n, d, packed);
            for (int32_t c = 0; c < d; c++) {
                real start[16];
                data_fill(start, wide, 14);
                double sum = (double)start[c], product = sum;
                for (int32_t i = 0; i < n; i++) {
                    const double xi = (double)x[i * d + c], yi = (double)y[i * d + c];
                    CHECK_NEAR(z[i * d + c], xi + (double)w[c], TOL);
                    CHECK_NEAR(scratch[i * d + c], xi * (double)w[c], TOL);
                    sum += yi;
                    product += xi * yi;
                }
                CHECK_NEAR(old[c], sum, TOL);
                CHECK_NEAR(packed[c], product, TOL);
            }
        }
}

static double activation(pl_activation f, double v) {
    switch (f) {
    case PL_ACT_RELU:
        return v > 0.0 ? v : 0.0;
    case PL_ACT_SILU:
        return v / (1.0 + exp(-v));
    case PL_ACT_GELU:
        return 0.5 * v * (1.0 + erf(v / sqrt(2.0)));
    case PL_ACT_GELU_TANH:
        return 0.5 * v * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v)));
    case PL_ACT_TANH:
        return tanh(v);
    case PL_ACT_IDENTITY:
        break;
    }
    return v;
}

TEST(activations_match_libm) {
    for (int f = PL_ACT_RELU; f <= PL_ACT_IDENTITY; f++)
        for (size_t n = 1; n <= 2001; n += 250) {
            for (size_t i = 0; i < n; i++)
                x[i] = (real)(-12.0 + 24.0 * (double)i / 2000.0);
            pl_activation_forward((pl_activation)f, x, y, n);
            for (size_t i = 0; i < n; i++) {
                const double want = activation((pl_activation)f, (double)x[i]);
                CHECK_NEAR(y[i], want, (PL_REAL_IS_FLOAT ? 6e-7 : 1e-14) * fmax(1.0, fabs(want)));
            }
            pl_activation_forward((pl_activation)f, x, x, n); /* in place */
            CHECK(memcmp(x, y, n * sizeof(real)) == 0);
        }
}

TEST(swiglu_is_silu_times_up) {
    for (size_t n = 1; n <= 13; n++) {
        data_fill(x, n, 15);
        data_fill(w, n, 16);
        pl_swiglu_forward(x, w, y, n);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(y[i], activation(PL_ACT_SILU, (double)x[i]) * (double)w[i], TOL);
    }
}

TEST(rmsnorm_matches_reference) {
    for (int32_t n = 1; n <= 3; n++)
        for (int32_t d = 1; d <= 70; d++) {
            real inverse[3];
            data_fill(x, (size_t)(n * d), 17);
            data_fill(w, (size_t)d, 18);
            pl_rmsnorm_forward(x, w, n, d, (real)1e-5, y, inverse);
            pl_rmsnorm_forward(x + (n - 1) * d, w, 1, d, (real)1e-5, z, NULL);
            CHECK(memcmp(z, y + (n - 1) * d, (size_t)d * sizeof(real)) == 0);
            for (int32_t i = 0; i < n; i++) {
                double square = 0.0;
                for (int32_t c = 0; c < d; c++)
                    square += (double)x[i * d + c] * (double)x[i * d + c];
                const double r = 1.0 / sqrt(square / d + 1e-5);
                CHECK_NEAR(inverse[i], r, TOL * r);
                for (int32_t c = 0; c < d; c++)
                    CHECK_NEAR(y[i * d + c], (double)w[c] * (double)x[i * d + c] * r, TOL);
            }
        }
}

TEST(rope_rotates_half_split_pairs_and_back) {
    for (int32_t dim = 2; dim <= 20; dim += 2) {
        const int32_t n = 3, heads = 2, half = dim / 2, positions[3] = {0, 5, 31};
        double f[10];
        for (int32_t c = 0; c < half; c++)
            f[c] = pow(10000.0, -2.0 * c / dim);
        real *cosine = scratch, *sine = scratch + 32 * half;
        pl_rope_table(f, dim, 32, cosine, sine);
        data_fill(x, (size_t)(n * heads * dim), 19);
        memcpy(y, x, sizeof y);
        pl_rope_forward(y, positions, n, heads, dim, cosine, sine);
        for (int32_t i = 0; i < n * heads; i++)
            for (int32_t c = 0; c < half; c++) {
                const double angle = positions[i / heads] * f[c], a = (double)x[i * dim + c];
                const double b = (double)x[i * dim + half + c];
                CHECK_NEAR(y[i * dim + c], a * cos(angle) - b * sin(angle), TOL);
                CHECK_NEAR(y[i * dim + half + c], b * cos(angle) + a * sin(angle), TOL);
            }
        pl_rope_backward(y, positions, n, heads, dim, cosine, sine);
        for (int32_t i = 0; i < n * heads * dim; i++)
            CHECK_NEAR(y[i], x[i], TOL);
    }
}

TEST(embedding_gathers_and_scatters) {
    const int32_t tokens[5] = {3, 0, 3, 6, 3}, d = 7;
    data_fill(w, 7 * 7, 20);
    pl_embedding_forward(w, tokens, 5, d, y);
    CHECK(memcmp(y + 3 * d, w + 6 * d, (size_t)d * sizeof(real)) == 0);
    memset(z, 0, sizeof z);
    pl_embedding_backward(tokens, y, 5, d, z);
    CHECK_NEAR(z[3 * d + 2], 3.0 * (double)w[3 * d + 2], TOL);
    CHECK_NEAR(z[1 * d + 2], 0.0, 0.0);
}

TEST(cross_entropy_matches_reference) {
    for (int32_t vocab = 1; vocab <= 70; vocab++) {
        const int32_t n = 3, targets[3] = {0, vocab - 1, vocab / 2};
        data_fill(x, (size_t)(n * vocab), 21);
        memcpy(y, x, sizeof y);
        double want = 0.0;
        for (int32_t i = 0; i < n; i++) {
            double sum = 0.0;
            for (int32_t c = 0; c < vocab; c++)
                sum += exp((double)x[i * vocab + c]);
            want += log(sum) - (double)x[i * vocab + targets[i]];
            for (int32_t c = 0; c < vocab; c++)
                w[i * vocab + c] = (real)(0.25 * (exp((double)x[i * vocab + c]) / sum - (c == targets[i])));
        }
        CHECK_NEAR(pl_cross_entropy(y, targets, n, vocab, (real)0), want, TOL);
        CHECK(memcmp(x, y, sizeof y) == 0); /* scale 0 leaves the logits alone */
        CHECK_NEAR(pl_cross_entropy(y, targets, n, vocab, (real)0.25), want, TOL);
        for (int32_t i = 0; i < n * vocab; i++)
            CHECK_NEAR(y[i], w[i], TOL);
    }
}

TEST(softmax_uses_the_temperature) {
    data_fill(x, 21, 22);
    double sum = 0.0;
    for (int32_t i = 0; i < 21; i++)
        sum += exp((double)x[i] / 0.5);
    memcpy(y, x, sizeof y);
    pl_softmax(y, 21, (real)0.5);
    for (int32_t i = 0; i < 21; i++)
        CHECK_NEAR(y[i], exp((double)x[i] / 0.5) / sum, TOL);
}

TEST(adamw_follows_hand_computed_steps) {
    double wd = 0.5, md = 0.0, vd = 0.0, p1 = 1.0, p2 = 1.0;
    real weight[5] = {(real)0.5, 0, 0, 0, (real)0.5}, m[5] = {0}, v[5] = {0};
    for (int step = 1; step <= 5; step++) {
        const double g = 0.3 - 0.2 * step, clipped = g * 0.5;
        const real gradient[5] = {(real)g, 0, 0, 0, (real)g};
        p1 *= 0.9;
        p2 *= 0.99;
        wd *= 1.0 - 1e-2 * 0.1;
        md = 0.9 * md + 0.1 * clipped;
        vd = 0.99 * vd + 0.01 * clipped * clipped;
        wd -= 1e-2 * (md / (1.0 - p1)) / (sqrt(vd / (1.0 - p2)) + 1e-8);
        const pl_adamw a = {.lr = (real)1e-2,
                            .beta1 = 0.9,
                            .beta2 = 0.99,
                            .eps = (real)1e-8,
                            .weight_decay = (real)0.1,
                            .correction1 = (real)(1.0 - p1),
                            .correction2 = (real)(1.0 - p2)};
        pl_adamw_step(&a, gradient, (real)0.5, m, v, weight, 5);
        CHECK_NEAR(weight[0], wd, TOL);
        CHECK_NEAR(m[0], md, TOL);
        CHECK_NEAR(v[0], vd, TOL);
        CHECK(weight[4] == weight[0]); /* the tail does what whole vectors do */
    }
}

TEST(dropout_keeps_the_mean_and_depends_on_key_and_index_only) {
    const size_t n = 20000;
    for (size_t i = 0; i < n; i++)
        x[i] = 1;
    pl_dropout(42, (real)0.25, x, y, n);
    double mean = 0.0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        mean += (double)y[i] / (double)n;
        kept += y[i] != 0;
        CHECK(y[i] == 0 || fabs((double)y[i] - 4.0 / 3.0) < 1e-6);
    }
    CHECK_NEAR(mean, 1.0, 0.02); /* standard deviation 0.004 */
    CHECK_NEAR((double)kept / (double)n, 0.75, 0.015);
    pl_dropout(42, (real)0.25, x, z, 4321); /* a shorter call draws the same mask */
    CHECK(memcmp(y, z, 4321 * sizeof(real)) == 0);
    pl_dropout(43, (real)0.25, x, z, n);
    CHECK(memcmp(y, z, n * sizeof(real)) != 0);
    pl_dropout(42, (real)0, x, z, n);
    CHECK(memcmp(x, z, n * sizeof(real)) == 0);
    pl_dropout(42, (real)0.25, x, x, n); /* in place */
    CHECK(memcmp(x, y, n * sizeof(real)) == 0);
}
