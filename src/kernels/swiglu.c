/* y = silu(gate) up (Shazeer 2020).  dgate = dy up silu'(gate),  dup = dy silu(gate). */
#include "kernels/activation.h"
#include "kernels/kernels.h"
#include "simd/vecmath.h"

PL_INLINE pl_vec gated(pl_vec gate, pl_vec up) { return vec_mul(vec_mul(gate, vec_sigmoid(gate)), up); }

void pl_swiglu_forward(const real *gate, const real *up, real *y, size_t n) {
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(y + i, gated(vec_load(gate + i), vec_load(up + i)));
    if (i < n)
        vec_store_part(y + i,
                       gated(vec_load_part(gate + i, n - i, (real)0), vec_load_part(up + i, n - i, (real)0)),
                       n - i);
}

PL_INLINE void gated_backward(pl_vec gate, pl_vec up, pl_vec dy, pl_vec *dgate, pl_vec *dup) {
    const pl_vec s = vec_sigmoid(gate);
    *dgate = vec_mul(vec_mul(dy, up), pl_silu_slope(gate, s));
    *dup = vec_mul(dy, vec_mul(gate, s));
}

void pl_swiglu_backward(const real *gate, const real *up, const real *dy, real *dgate, real *dup, size_t n) {
    size_t i = 0;
    pl_vec dg, du;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        gated_backward(vec_load(gate + i), vec_load(up + i), vec_load(dy + i), &dg, &du);
        vec_store(dgate + i, dg);
        vec_store(dup + i, du);
    }
    if (i < n) {
        gated_backward(vec_load_part(gate + i, n - i, (real)0), vec_load_part(up + i, n - i, (real)0),
                       vec_load_part(dy + i, n - i, (real)0), &dg, &du);
        vec_store_part(dgate + i, dg, n - i);
        vec_store_part(dup + i, du, n - i);
    }
}
