/* One-sided Jacobi: rows are rotated in pairs until all are orthogonal; their lengths are the singular values. */
#include "peft/svd.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { SWEEPS_MAX = 60 };

void pl_svd_free(pl_memory *memory, pl_svd *svd) {
    pl_memory_free(memory, svd->u);
    pl_memory_free(memory, svd->s);
    pl_memory_free(memory, svd->vt);
    *svd = (pl_svd){0};
}

/* In eight partial sums, always the same ones: a single sum would wait for each addition, and that is where the time went. */
static double dot(const double *x, const double *y, int32_t n) {
    double sum[8] = {0}, rest = 0;
    int32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int32_t k = 0; k < 8; k++)
            sum[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        rest += x[i] * y[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])) + rest;
}

/* (x, y) <- (c x - s y, s x + c y) */
static void rotate(double *x, double *y, int32_t n, double c, double s) {
    for (int32_t i = 0; i < n; i++) {
        double a = x[i], b = y[i];
        x[i] = c * a - s * b;
        y[i] = s * a + c * b;
    }
}

/* Makes rows p and q of w[n, m] orthogonal, the same rotation on v[n, n]; squares[] are the squared norms. False when they already are:
   up to rounding relative to their lengths, or, for rows that are rounding noise themselves, relative to the whole matrix. */
static bool orthogonalise(double *w, double *v, double *squares, int32_t p, int32_t q, int32_t n, int32_t m,
                          double noise) {
    double *x = w + (size_t)p * (size_t)m, *y = w + (size_t)q * (size_t)m;
    double mixed = dot(x, y, m);
    if (fabs(mixed) <= 1e-15 * sqrt(squares[p] * squares[q]) + noise)
        return false;
    double zeta = (squares[q] - squares[p]) / (2 * mixed);
    double t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    double c = 1 / sqrt(1 + t * t), s = c * t;
    rotate(x, y, m, c, s);
    rotate(v + (size_t)p * (size_t)n, v + (size_t)q * (size_t)n, n, c, s);
    squares[p] -= t * mixed;
    squares[q] += t * mixed;
    squares[p] = squares[p] > 0 ? squares[p] : 0;
    return true;
}

/* Rotates the rows of w[n, m], n <= m, until they are orthogonal. w begins as a and v as the identity, and both get every rotation, so that
   a = v^T w all the time. */
static void jacobi(double *w, double *v, double *squares, int32_t n, int32_t m) {
    bool turned = true;
    for (int32_t sweep = 0; turned && sweep < SWEEPS_MAX; sweep++) {
        double whole = 0;
        for (int32_t i = 0; i < n; i++) { /* fresh, as the running values collect rounding */
            squares[i] = dot(w + (size_t)i * (size_t)m, w + (size_t)i * (size_t)m, m);
            whole += squares[i];
        }
        turned = false;
        for (int32_t p = 0; p < n - 1; p++)
            for (int32_t q = p + 1; q < n; q++)
                turned = orthogonalise(w, v, squares, p, q, n, m, 1e-32 * whole) || turned;
    }
    for (int32_t i = 0; i < n; i++)
        squares[i] = sqrt(dot(w + (size_t)i * (size_t)m, w + (size_t)i * (size_t)m, m));
}

/* Position of the largest value not yet taken; marks it as taken (-1). */
static int32_t take_largest(double *values, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    values[best] = -1;
    return best;
}

/* From orthogonal rows w[n, m] and rotations v[n, n]: a[n, m] = v^T w, i.e. left vectors are rows of v, right ones rows of w / s. When
   flipped, a was the transpose of what is wanted. */
static void collect(const double *w, const double *v, double *lengths, int32_t n, int32_t m, bool flipped,
                    pl_svd *svd) {
    for (int32_t k = 0; k < n; k++) {
        int32_t row = take_largest(lengths, n);
        const double *left = v + (size_t)row * (size_t)n, *right = w + (size_t)row * (size_t)m;
        double length = sqrt(dot(right, right, m)), inverse = length > 0 ? 1 / length : 0;
        svd->s[k] = length;
        for (int32_t i = 0; i < n; i++) {
            if (flipped)
                svd->vt[(size_t)k * (size_t)n + (size_t)i] = left[i];
            else
                svd->u[(size_t)i * (size_t)n + (size_t)k] = left[i];
        }
        for (int32_t i = 0; i < m; i++) {
            if (flipped)
                svd->u[(size_t)i * (size_t)n + (size_t)k] = right[i] * inverse;
            else
                svd->vt[(size_t)k * (size_t)m + (size_t)i] = right[i] * inverse;
        }
    }
}

static pl_status make(pl_memory *memory, int32_t rows, int32_t cols, int32_t rank, pl_svd *svd,
                      pl_error *error) {
    *svd = (pl_svd){.rows = rows, .cols = cols, .rank = rank};
    svd->u = pl_memory_alloc(memory, (size_t)rows * (size_t)rank, sizeof(double));
    svd->s = pl_memory_alloc(memory, (size_t)rank, sizeof(double));
    svd->vt = pl_memory_alloc(memory, (size_t)rank * (size_t)cols, sizeof(double));
    if (svd->u && svd->s && svd->vt)
        return PL_OK;
    pl_svd_free(memory, svd);
    return pl_fail(error, PL_ERR_MEMORY, "no memory left for the singular vectors of a %d x %d matrix",
                   (int)rows, (int)cols);
}

pl_status pl_svd_dense(pl_memory *memory, const double *a, int32_t rows, int32_t cols, pl_svd *svd,
                       pl_error *error) {
    bool flipped = rows > cols;
    int32_t n = flipped ? cols : rows, m = flipped ? rows : cols;
    PL_TRY(make(memory, rows, cols, n, svd, error));
    double *w = pl_memory_alloc(memory, (size_t)n * (size_t)m, sizeof *w);
    double *v = pl_memory_alloc(memory, (size_t)n * (size_t)n, sizeof *v);
    double *squares = pl_memory_alloc(memory, (size_t)n, sizeof *squares);
    pl_status status = PL_OK;
    if (w && v && squares) {
        for (int32_t i = 0; i < n; i++) {
            v[(size_t)i * (size_t)n + (size_t)i] = 1;
            for (int32_t j = 0; j < m; j++)
                w[(size_t)i * (size_t)m + (size_t)j] = flipped ? a[(size_t)j * (size_t)cols + (size_t)i]
                                                               : a[(size_t)i * (size_t)cols + (size_t)j];
        }
        jacobi(w, v, squares, n, m);
        collect(w, v, squares, n, m, flipped, svd);
    } else {
        pl_svd_free(memory, svd);
        status = pl_fail(error, PL_ERR_MEMORY, "no memory left to decompose a %d x %d matrix", (int)rows,
                         (int)cols);
    }
    pl_memory_free(memory, w);
    pl_memory_free(memory, v);
    pl_memory_free(memory, squares);
    return status;
}

/* c[n, m] = a[n, k] b[k, m] */
static void multiply(const double *a, const double *b, int32_t n, int32_t k, int32_t m, double *c) {
    memset(c, 0, (size_t)n * (size_t)m * sizeof *c);
    for (int32_t i = 0; i < n; i++)
        for (int32_t l = 0; l < k; l++) {
            double factor = a[(size_t)i * (size_t)k + (size_t)l];
            for (int32_t j = 0; j < m; j++)
                c[(size_t)i * (size_t)m + (size_t)j] += factor * b[(size_t)l * (size_t)m + (size_t)j];
        }
}

/* a = U1 S1 V1^T, b U1 S1 = U2 S2 V2^T, hence b a = U2 S2 (V2^T V1^T): two thin decompositions. */
pl_status pl_svd_product(pl_memory *memory, const double *b, const double *a, int32_t rows, int32_t inner,
                         int32_t cols, pl_svd *svd, pl_error *error) {
    pl_svd first = {0}, second = {0};
    PL_TRY(pl_svd_dense(memory, a, inner, cols, &first, error));
    for (int32_t i = 0; i < inner; i++)
        for (int32_t k = 0; k < first.rank; k++)
            first.u[(size_t)i * (size_t)first.rank + (size_t)k] *= first.s[k];
    double *core = pl_memory_alloc(memory, (size_t)rows * (size_t)first.rank, sizeof *core);
    pl_status status = PL_ERR_MEMORY;
    if (core) {
        multiply(b, first.u, rows, inner, first.rank, core);
        status = pl_svd_dense(memory, core, rows, first.rank, &second, error);
    }
    if (status == PL_OK)
        status = make(memory, rows, cols, second.rank, svd, error);
    else if (!core)
        (void)pl_fail(error, PL_ERR_MEMORY, "no memory left to decompose a product of rank %d", (int)inner);
    if (status == PL_OK) {
        memcpy(svd->u, second.u, (size_t)rows * (size_t)second.rank * sizeof(double));
        memcpy(svd->s, second.s, (size_t)second.rank * sizeof(double));
        multiply(second.vt, first.vt, second.rank, first.rank, cols, svd->vt);
    }
    pl_memory_free(memory, core);
    pl_svd_free(memory, &first);
    pl_svd_free(memory, &second);
    return status;
}
