/* Singular value decomposition in double precision by one-sided Jacobi rotations (Hestenes 1958): slower than bidiagonalisation for large
 * matrices, but short, and accurate for the small singular values too (Demmel, Veselic 1992). */
#ifndef PL_PEFT_SVD_H
#define PL_PEFT_SVD_H

#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct pl_svd {
    int32_t rows, cols, rank; /* rank = number of kept singular values */
    double *u;                /* [rows, rank], orthonormal columns (zero columns where s is 0) */
    double *s;                /* [rank], descending, >= 0 */
    double *vt;               /* [rank, cols], orthonormal rows */
} pl_svd;

/* a[rows, cols] = u diag(s) vt, all min(rows, cols) singular values. a is not changed. The three blocks belong to memory.
   Errors: PL_ERR_MEMORY. About 6 rows cols min(rows, cols) flops per sweep, 6 to 10 sweeps. */
pl_status pl_svd_dense(pl_memory *memory, const double *a, int32_t rows, int32_t cols, pl_svd *svd,
                       pl_error *error);

/* The same of the product b[rows, inner] a[inner, cols] without forming it: min(inner, rows, cols) singular values, in inner^2 (rows + cols)
   time. This is how the singular values of a LoRA's change are had almost for free. */
pl_status pl_svd_product(pl_memory *memory, const double *b, const double *a, int32_t rows, int32_t inner,
                         int32_t cols, pl_svd *svd, pl_error *error);

void pl_svd_free(pl_memory *memory, pl_svd *svd);

#endif
