/* Operations that touch each element once. Sums over rows run over rows 0, 1, 2 … for each column. */
#include "kernels/kernels.h"
#include "simd/simd.h"

void pl_add(const real *x, real *y, size_t n) {
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(y + i, vec_add(vec_load(y + i), vec_load(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

void pl_add_scaled(const real *x, real scale, real *y, size_t n) {
    const pl_vec s = vec_splat(scale);
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(y + i, vec_madd(vec_load(y + i), s, vec_load(x + i)));
    for (; i < n; i++)
        y[i] += scale * x[i];
}

void pl_scale(real *x, real scale, size_t n) {
    const pl_vec s = vec_splat(scale);
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(x + i, vec_mul(s, vec_load(x + i)));
    for (; i < n; i++)
        x[i] *= scale;
}

void pl_fill(real *x, real value, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

void pl_add_rows(const real *bias, int32_t n, int32_t d, real *y) {
    for (int32_t row = 0; row < n; row++, y += d)
        pl_add(bias, y, (size_t)d);
}

void pl_sum_rows(const real *dy, int32_t n, int32_t d, real *dbias) {
    for (int32_t row = 0; row < n; row++, dy += d)
        pl_add(dy, dbias, (size_t)d);
}

void pl_mul_rows(const real *l, int32_t n, int32_t d, real *y) {
    for (int32_t row = 0; row < n; row++, y += d) {
        int32_t i = 0;
        for (; i + PL_LANES <= d; i += PL_LANES)
            vec_store(y + i, vec_mul(vec_load(y + i), vec_load(l + i)));
        for (; i < d; i++)
            y[i] *= l[i];
    }
}

/* y = x l per column, so dl = sum over rows of dy x. */
void pl_mul_rows_backward(const real *x, const real *dy, int32_t n, int32_t d, real *dl) {
    for (int32_t row = 0; row < n; row++, x += d, dy += d) {
        int32_t i = 0;
        for (; i + PL_LANES <= d; i += PL_LANES)
            vec_store(dl + i, vec_madd(vec_load(dl + i), vec_load(dy + i), vec_load(x + i)));
        for (; i < d; i++)
            dl[i] += dy[i] * x[i];
    }
}

double pl_sum_squares(const real *x, size_t n) {
    double sum[4] = {0.0, 0.0, 0.0, 0.0}; /* four chains hide the latency of addition */
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            sum[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++)
        sum[0] += (double)x[i] * (double)x[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

bool pl_all_finite(const real *x, size_t n) {
    pl_vec sum = vec_zero(); /* x * 0 is 0 for finite x, NaN otherwise, and NaN survives every addition */
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        sum = vec_madd(sum, vec_load(x + i), vec_zero());
    sum = vec_madd(sum, vec_load_part(x + i, n - i, (real)0), vec_zero());
    return vec_sum(sum) == (real)0;
}
