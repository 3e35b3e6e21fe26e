/* RMSNorm (Zhang and Sennrich 2019), per row, with r = 1 / sqrt(mean(x^2) + eps):
 *   y_i  = g_i (x_i r)
 *   dx_i = r g_i dy_i - x_i r^3 / d  sum_j g_j dy_j x_j          dg_i = sum over rows of dy_i x_i r */
#include "kernels/kernels.h"
#include "simd/simd.h"

#include <math.h>

static real root(real x) {
#if PL_REAL_IS_FLOAT
    return sqrtf(x);
#else
    return sqrt(x);
#endif
}

void pl_rmsnorm_forward(const real *x, const real *g, int32_t n, int32_t d, real eps, real *y,
                        real *inverse) {
    const size_t width = (size_t)d, whole = width - width % PL_LANES;
    for (int32_t row = 0; row < n; row++, x += d, y += d) {
        pl_vec sum = vec_load_part(x + whole, width - whole, (real)0);
        sum = vec_mul(sum, sum);
        for (size_t i = 0; i < whole; i += PL_LANES)
            sum = vec_madd(sum, vec_load(x + i), vec_load(x + i));
        const real r = (real)1 / root(vec_sum(sum) / (real)d + eps);
        for (size_t i = 0; i < whole; i += PL_LANES)
            vec_store(y + i, vec_mul(vec_load(g + i), vec_mul(vec_load(x + i), vec_splat(r))));
        for (size_t i = whole; i < width; i++)
            y[i] = g[i] * (x[i] * r);
        if (inverse)
            inverse[row] = r;
    }
}

static void gain_gradient(const real *x, real r, const real *dy, size_t width, real *dg) {
    size_t i = 0;
    for (; i + PL_LANES <= width; i += PL_LANES)
        vec_store(dg + i,
                  vec_madd(vec_load(dg + i), vec_load(dy + i), vec_mul(vec_load(x + i), vec_splat(r))));
    for (; i < width; i++)
        dg[i] += dy[i] * (x[i] * r);
}

void pl_rmsnorm_backward(const real *x, const real *g, const real *inverse, const real *dy, int32_t n,
                         int32_t d, real *dx, real *dg) {
    const size_t width = (size_t)d, whole = width - width % PL_LANES;
    for (int32_t row = 0; row < n; row++, x += d, dy += d, dx += d) {
        const real r = inverse[row];
        pl_vec dot = vec_mul(vec_mul(vec_load_part(g + whole, width - whole, (real)0),
                                     vec_load_part(dy + whole, width - whole, (real)0)),
                             vec_load_part(x + whole, width - whole, (real)0));
        for (size_t i = 0; i < whole; i += PL_LANES)
            dot = vec_madd(dot, vec_mul(vec_load(g + i), vec_load(dy + i)), vec_load(x + i));
        const real back = r * r * r / (real)d * vec_sum(dot);
        for (size_t i = 0; i < whole; i += PL_LANES) {
            const pl_vec straight = vec_mul(vec_mul(vec_load(g + i), vec_load(dy + i)), vec_splat(r));
            const pl_vec turn = vec_mul(vec_load(x + i), vec_splat(back));
            vec_store(dx + i, vec_add(vec_load(dx + i), vec_sub(straight, turn)));
        }
        for (size_t i = whole; i < width; i++)
            dx[i] += g[i] * dy[i] * r - x[i] * back;
        if (dg)
            gain_gradient(x, r, dy, width, dg);
    }
}
