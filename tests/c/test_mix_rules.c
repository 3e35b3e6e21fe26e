/* The element-wise rules of combining on numbers small enough to check by hand, and the singular value decomposition. build: both */
#include <string.h>

#include "base/rng.h"
#include "harness.h"
#include "peft/mix.h"
#include "peft/svd.h"

TEST(magnitude_keeps_the_largest) {
    double x[] = {1, -5, 3, -2, 4}, scratch[5];
    pl_mix_prune_magnitude(x, 5, 0.5, scratch); /* int(2.5) = 2 */
    const double want[] = {0, -5, 0, 0, 4};
    CHECK(memcmp(x, want, sizeof x) == 0);
}

TEST(magnitude_ties_keep_the_number) {
    double x[] = {2, -2, 2, 2, 1}, scratch[5];
    pl_mix_prune_magnitude(x, 5, 0.4, scratch);
    const double want[] = {2, -2, 0, 0, 0};
    CHECK(memcmp(x, want, sizeof x) == 0);
    pl_mix_prune_magnitude(x, 5, 0.1, scratch); /* int(0.5) = 0 */
    for (int i = 0; i < 5; i++)
        CHECK(x[i] == 0);
}

TEST(random_keeps_the_expectation) {
    enum { N = 20000 };
    static double x[N];
    pl_rng rng = pl_rng_stream(5, 1);
    double sum = 0;
    int kept = 0;
    for (int i = 0; i < N; i++)
        x[i] = 1;
    pl_mix_prune_random(x, N, 0.25, &rng);
    for (int i = 0; i < N; i++) {
        CHECK(x[i] == 0 || x[i] == 4);
        sum += x[i];
        kept += x[i] != 0;
    }
    CHECK_NEAR(sum / N, 1, 0.05);
    CHECK_NEAR(kept / (double)N, 0.25, 0.0125);
}

TEST(equal_signs_average) {
    double a[] = {1, -2}, b[] = {3, -4}, y[2], *x[] = {a, b};
    const double c[] = {0.5, 0.25};
    pl_mix_elect(x, c, 2, 2, false, y);
    CHECK_NEAR(y[0], (0.5 * 1 + 0.25 * 3) / 2, 1e-15);
    CHECK_NEAR(y[1], (0.5 * -2 + 0.25 * -4) / 2, 1e-15);
}

/* Opposite equal values: the tie goes to +. "total" and "frequency" differ when one large value faces two small ones. */
TEST(sign_election) {
    double a[] = {1, 5, 0}, b[] = {-1, -1, 0}, d[] = {0, -1, 0}, y[3], *x[] = {a, b, d};
    const double c[] = {1, 1, 1};
    pl_mix_elect(x, c, 3, 3, false, y);
    CHECK_NEAR(y[0], 1, 0);
    CHECK_NEAR(y[1], 5, 0);
    CHECK_NEAR(y[2], 0, 0);
    pl_mix_elect(x, c, 3, 3, true, y);
    CHECK_NEAR(y[1], -1, 0);
}

static void check_svd(const pl_svd *svd, const double *a, double tolerance) {
    int32_t n = svd->rows, m = svd->cols, k = svd->rank;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < m; j++) {
            double sum = 0;
            for (int32_t r = 0; r < k; r++)
                sum += svd->u[i * k + r] * svd->s[r] * svd->vt[r * m + j];
            CHECK_NEAR(sum, a[i * m + j], tolerance);
        }
    for (int32_t p = 0; p < k; p++) {
        CHECK(p == 0 || svd->s[p] <= svd->s[p - 1]);
        for (int32_t q = 0; q < k && svd->s[p] > 1e-9 && svd->s[q] > 1e-9; q++) {
            double left = 0, right = 0;
            for (int32_t i = 0; i < n; i++)
                left += svd->u[i * k + p] * svd->u[i * k + q];
            for (int32_t j = 0; j < m; j++)
                right += svd->vt[p * m + j] * svd->vt[q * m + j];
            CHECK_NEAR(left, p == q, 1e-13);
            CHECK_NEAR(right, p == q, 1e-13);
        }
    }
}

TEST(svd_of_dense_matrices) {
    static const int32_t shapes[][2] = {{1, 1}, {1, 7}, {7, 1}, {13, 9}, {9, 13}, {24, 24}};
    pl_memory memory = {0};
    pl_error error = {0};
    double a[24 * 24];
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        pl_rng rng = pl_rng_stream(s, 0);
        for (int32_t i = 0; i < shapes[s][0] * shapes[s][1]; i++)
            a[i] = pl_rng_normal(&rng);
        pl_svd svd;
        CHECK(pl_svd_dense(&memory, a, shapes[s][0], shapes[s][1], &svd, &error) == PL_OK);
        check_svd(&svd, a, 1e-13);
        pl_svd_free(&memory, &svd);
    }
    CHECK_INT(memory.bytes, 0);
}

/* A product of rank 3, dense and from its factors: the same three values, the others zero; and the zero matrix. */
TEST(svd_of_low_rank) {
    enum { N = 17, R = 3, M = 11 };
    pl_memory memory = {0};
    pl_error error = {0};
    double b[N * R], a[R * M], d[N * M] = {0};
    pl_rng rng = pl_rng_stream(1, 1);
    for (int i = 0; i < N * R; i++)
        b[i] = pl_rng_normal(&rng);
    for (int i = 0; i < R * M; i++)
        a[i] = pl_rng_normal(&rng);
    for (int i = 0; i < N; i++)
        for (int r = 0; r < R; r++)
            for (int j = 0; j < M; j++)
                d[i * M + j] += b[i * R + r] * a[r * M + j];
    pl_svd dense, thin, none;
    CHECK(pl_svd_dense(&memory, d, N, M, &dense, &error) == PL_OK);
    CHECK(pl_svd_product(&memory, b, a, N, R, M, &thin, &error) == PL_OK);
    check_svd(&dense, d, 1e-13);
    check_svd(&thin, d, 1e-13);
    CHECK_INT(thin.rank, R);
    for (int k = 0; k < M; k++)
        CHECK_NEAR(dense.s[k], k < R ? thin.s[k] : 0, 1e-12);
    memset(d, 0, sizeof d);
    CHECK(pl_svd_dense(&memory, d, N, M, &none, &error) == PL_OK);
    for (int k = 0; k < M; k++)
        CHECK(none.s[k] == 0);
    pl_svd_free(&memory, &dense);
    pl_svd_free(&memory, &thin);
    pl_svd_free(&memory, &none);
    CHECK_INT(memory.bytes, 0);
}
