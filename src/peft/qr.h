/* QR decomposition in double precision by Householder reflections (Householder 1958), only as far as it is wanted. */
#ifndef PL_PEFT_QR_H
#define PL_PEFT_QR_H

#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct pl_qr {
    int32_t rows, cols, kept;
    double *q; /* [rows, kept], orthonormal columns, also where a has not so many independent ones */
    double *r; /* [kept, cols], zero below the diagonal */
} pl_qr;

/* The first kept columns of Q and rows of R of a[rows, cols] = Q R, kept <= min(rows, cols). Signs are LAPACK's (and so torch.linalg.qr's):
   the diagonal of R has the sign opposite to that of the column's first remaining number. a is not changed; both blocks belong to memory.
   Errors: PL_ERR_MEMORY. About 4 rows cols kept flops. */
pl_status pl_qr_leading(pl_memory *memory, const double *a, int32_t rows, int32_t cols, int32_t kept,
                        pl_qr *qr, pl_error *error);

void pl_qr_free(pl_memory *memory, pl_qr *qr);

#endif
