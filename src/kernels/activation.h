/* Shared by activation.c and swiglu.c. */
#ifndef PL_KERNELS_ACTIVATION_H
#define PL_KERNELS_ACTIVATION_H

#include "simd/simd.h"

/* silu'(x) = s (1 + x (1 - s)) for s = sigmoid(x) */
PL_INLINE pl_vec pl_silu_slope(pl_vec x, pl_vec s) {
    const pl_vec one = vec_splat((real)1);
    return vec_mul(s, vec_madd(one, x, vec_sub(one, s)));
}

#endif
