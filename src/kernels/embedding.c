/* x[i] = table[token_i].  Backward: dtable[token_i] += dx[i], rows in order, so a repeated token sums
   deterministically. */
#include "kernels/kernels.h"

#include <string.h>

void pl_embedding_forward(const real *table, const int32_t *tokens, int32_t n, int32_t d, real *x) {
    for (int32_t row = 0; row < n; row++, x += d)
        memcpy(x, table + (size_t)tokens[row] * (size_t)d, (size_t)d * sizeof *x);
}

void pl_embedding_backward(const int32_t *tokens, const real *dx, int32_t n, int32_t d, real *dtable) {
    for (int32_t row = 0; row < n; row++, dx += d)
        pl_add(dx, dtable + (size_t)tokens[row] * (size_t)d, (size_t)d);
}
