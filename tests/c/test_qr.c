/* The QR decomposition: what it must give back, also where the matrix has too few directions. build: both */
#include <math.h>

#include "base/rng.h"
#include "harness.h"
#include "peft/qr.h"

/* c[n, m] = a[n, k] b[k, m], in double. */
static void product(pl_memory *memory, const double *a, const double *b, int32_t n, int32_t k, int32_t m,
                    double **c) {
    *c = pl_memory_alloc(memory, (size_t)n * (size_t)m, sizeof(double));
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < m; j++)
            for (int32_t l = 0; l < k; l++)
                (*c)[i * m + j] += a[i * k + l] * b[l * m + j];
}

static double gap(const double *a, const double *b, int32_t n) {
    double worst = 0;
    for (int32_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

static double *random_matrix(pl_memory *memory, int32_t n) {
    double *a = pl_memory_alloc(memory, (size_t)n, sizeof *a);
    pl_rng rng = pl_rng_stream(5, 1);
    for (int32_t i = 0; i < n; i++)
        a[i] = pl_rng_normal(&rng);
    return a;
}

static void check_orthonormal(const pl_qr *qr) {
    for (int32_t i = 0; i < qr->kept; i++)
        for (int32_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int32_t k = 0; k < qr->rows; k++)
                sum += qr->q[k * qr->kept + i] * qr->q[k * qr->kept + j];
            CHECK_NEAR(sum, i == j ? 1 : 0, 1e-14);
        }
}

TEST(qr_gives_the_matrix_back) {
    static const int32_t shapes[][2] = {{7, 7}, {9, 5}, {5, 9}, {1, 4}, {6, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        pl_memory memory = {0};
        pl_error error = {0};
        pl_qr qr;
        int32_t rows = shapes[s][0], cols = shapes[s][1], kept = rows < cols ? rows : cols;
        double *a = random_matrix(&memory, rows * cols), *back;
        REQUIRE(pl_qr_leading(&memory, a, rows, cols, kept, &qr, &error) == PL_OK);
        check_orthonormal(&qr);
        product(&memory, qr.q, qr.r, rows, kept, cols, &back);
        CHECK_NEAR(gap(a, back, rows * cols), 0, 1e-13);
        for (int32_t k = 0; k < kept; k++)
            for (int32_t j = 0; j < k; j++)
                CHECK(qr.r[k * cols + j] == 0);
        CHECK((qr.r[0] > 0) == (a[0] < 0)); /* LAPACK's sign */
        pl_memory_free_all(&memory);
    }
}

/* Columns that depend on earlier ones, and zero ones: Q stays orthonormal and the product right. */
TEST(qr_of_a_deficient_matrix) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_qr qr;
    double *a = random_matrix(&memory, 6 * 4), *back;
    for (int32_t i = 0; i < 6; i++)
        a[i * 4 + 1] = 0, a[i * 4 + 2] = -2 * a[i * 4];
    REQUIRE(pl_qr_leading(&memory, a, 6, 4, 4, &qr, &error) == PL_OK);
    check_orthonormal(&qr);
    product(&memory, qr.q, qr.r, 6, 4, 4, &back);
    CHECK_NEAR(gap(a, back, 24), 0, 1e-13);
    pl_memory_free_all(&memory);
}
