/* Inverted dropout (Srivastava et al. 2014): y = x mask / (1 - p), so E[y] = x. Elements 2i and 2i+1 take the
   low and high half of word i of the counter-based stream `key`: the backward pass draws the same mask again
   instead of storing it. */
#include "base/rng.h"
#include "kernels/kernels.h"

#include <string.h>

void pl_dropout(uint64_t key, real p, const real *x, real *y, size_t n) {
    if (!(p > (real)0)) {
        if (x != y)
            memcpy(y, x, n * sizeof *y);
        return;
    }
    if (p >= (real)1) {
        memset(y, 0, n * sizeof *y);
        return;
    }
    const uint32_t dropped_below = (uint32_t)((double)p * 0x1p32);
    const real keep = (real)(1.0 / (1.0 - (double)p));
    for (size_t i = 0; i < n; i += 2) {
        const uint64_t word = pl_rng_u64(&(pl_rng){.key = key, .counter = i / 2});
        y[i] = (uint32_t)word < dropped_below ? (real)0 : x[i] * keep;
        if (i + 1 < n)
            y[i + 1] = (uint32_t)(word >> 32) < dropped_below ? (real)0 : x[i + 1] * keep;
    }
}
