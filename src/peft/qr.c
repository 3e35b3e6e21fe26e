/* Householder reflections: R column by column, then the wanted columns of Q. */
#include "peft/qr.h"

#include <math.h>
#include <string.h>

void pl_qr_free(pl_memory *memory, pl_qr *qr) {
    pl_memory_free(memory, qr->q);
    pl_memory_free(memory, qr->r);
    *qr = (pl_qr){0};
}

static double dot(const double *x, const double *y, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Turns x[n] into the v of the reflection H = I - 2 v v^T / (v^T v) that maps x to (-sign(x[0]) |x|, 0, …), the sign without cancellation.
   A zero x stays: then H = I. */
static void reflector(double *x, int32_t n) {
    double length = sqrt(dot(x, x, n));
    x[0] += x[0] < 0 ? -length : length;
}

/* y <- H y */
static void reflect(const double *v, double *y, int32_t n) {
    double square = dot(v, v, n);
    if (!(square > 0))
        return;
    double factor = 2 * dot(v, y, n) / square;
    for (int32_t i = 0; i < n; i++)
        y[i] -= factor * v[i];
}

/* columns[cols][rows] of a -> R, and the reflectors v[kept][rows]. Column j of R is H_{k} … H_0 of column j of a, down to the diagonal. */
static void eliminate(double *columns, double *v, pl_qr *qr) {
    size_t rows = (size_t)qr->rows;
    for (int32_t k = 0; k < qr->kept; k++) {
        double *own = v + (size_t)k * rows;
        memcpy(own + k, columns + (size_t)k * rows + k, (rows - (size_t)k) * sizeof *own);
        reflector(own + k, qr->rows - k);
        for (int32_t j = k; j < qr->cols; j++) {
            double *column = columns + (size_t)j * rows;
            reflect(own + k, column + k, qr->rows - k);
            qr->r[(size_t)k * (size_t)qr->cols + (size_t)j] = column[k];
        }
    }
}

/* Column c of Q is H_0 … H_{kept-1} of the unit vector c; column is scratch. */
static void collect(const double *v, double *column, pl_qr *qr) {
    size_t rows = (size_t)qr->rows;
    for (int32_t c = 0; c < qr->kept; c++) {
        memset(column, 0, rows * sizeof *column);
        column[c] = 1;
        for (int32_t k = qr->kept - 1; k >= 0; k--)
            reflect(v + (size_t)k * rows + k, column + k, qr->rows - k);
        for (size_t i = 0; i < rows; i++)
            qr->q[i * (size_t)qr->kept + (size_t)c] = column[i];
    }
}

pl_status pl_qr_leading(pl_memory *memory, const double *a, int32_t rows, int32_t cols, int32_t kept,
                        pl_qr *qr, pl_error *error) {
    size_t n = (size_t)rows;
    *qr = (pl_qr){.rows = rows, .cols = cols, .kept = kept};
    qr->q = pl_memory_alloc(memory, n * (size_t)kept, sizeof(double));
    qr->r = pl_memory_alloc(memory, (size_t)kept * (size_t)cols, sizeof(double));
    double *columns = pl_memory_alloc(memory, n * (size_t)cols, sizeof *columns);
    double *v = pl_memory_alloc(memory, n * (size_t)kept, sizeof *v);
    pl_status status = PL_OK;
    if (qr->q && qr->r && columns && v) {
        for (size_t i = 0; i < n; i++)
            for (int32_t j = 0; j < cols; j++)
                columns[(size_t)j * n + i] = a[i * (size_t)cols + (size_t)j];
        eliminate(columns, v, qr);
        collect(v, columns, qr);
    } else {
        pl_qr_free(memory, qr);
        status = pl_fail(error, PL_ERR_MEMORY, "no memory left to decompose a %d x %d matrix", (int)rows,
                         (int)cols);
    }
    pl_memory_free(memory, columns);
    pl_memory_free(memory, v);
    return status;
}
