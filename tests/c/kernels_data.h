/* Fixed pseudo-random numbers in (-1, 1) for the kernel tests. */
#ifndef PL_TEST_KERNELS_DATA_H
#define PL_TEST_KERNELS_DATA_H

#include "base/real.h"
#include "base/rng.h"

#include <stddef.h>

static inline void data_fill(real *x, size_t n, uint64_t stream) {
    pl_rng rng = pl_rng_stream(7, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)(2.0 * pl_rng_uniform(&rng) - 1.0);
}

#endif
