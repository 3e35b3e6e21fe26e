/* Softmax over a row z of logits and its cross-entropy with target t:
 *   loss = log(sum_j e^(z_j - m)) + m - z_t,  m = max z          dz_j = softmax(z)_j - [j = t]
 * Sixteen partial sums (four vectors) keep float error low over a vocabulary and hide the latency of
 * addition. */
#include "kernels/kernels.h"
#include "simd/vecmath.h"

#include <math.h>

enum { CHAINS = 4, BLOCK = CHAINS * PL_LANES };

static real row_max(const real *z, size_t n) {
    pl_vec m = vec_splat(z[0]);
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        m = vec_max(m, vec_load(z + i));
    return vec_largest(vec_max(m, vec_load_part(z + i, n - i, z[0])));
}

/* z[i] = e^(scale (z[i] - m)) when `keep`; returns their sum. */
PL_INLINE real row_exp(real *z, size_t n, real m, real scale, const bool keep) {
    pl_vec sum[CHAINS] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
    const pl_vec shift = vec_splat(m), s = vec_splat(scale);
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        for (size_t j = 0; j < CHAINS; j++) {
            const pl_vec e = vec_exp_below(vec_mul(s, vec_sub(vec_load(z + i + j * PL_LANES), shift)));
            sum[j] = vec_add(sum[j], e);
            if (keep)
                vec_store(z + i + j * PL_LANES, e);
        }
    for (; i < n; i += PL_LANES) { /* absent lanes are -infinity: they add e^-inf = 0 */
        const size_t count = n - i < PL_LANES ? n - i : PL_LANES;
        const pl_vec e =
            vec_exp_below(vec_mul(s, vec_sub(vec_load_part(z + i, count, (real)-INFINITY), shift)));
        sum[0] = vec_add(sum[0], e);
        if (keep)
            vec_store_part(z + i, e, count);
    }
    return vec_sum(vec_add(vec_add(sum[0], sum[1]), vec_add(sum[2], sum[3])));
}

double pl_cross_entropy(real *logits, const int32_t *targets, int32_t n, int32_t vocab, real scale) {
    double loss = 0.0;
    for (int32_t row = 0; row < n; row++, logits += vocab) {
        const real m = row_max(logits, (size_t)vocab), target = logits[targets[row]];
        const bool gradient = scale != (real)0;
        const real sum = gradient ? row_exp(logits, (size_t)vocab, m, (real)1, true)
                                  : row_exp(logits, (size_t)vocab, m, (real)1, false);
        loss += pl_log((double)sum) + ((double)m - (double)target);
        if (gradient) {
            pl_scale(logits, scale / sum, (size_t)vocab);
            logits[targets[row]] -= scale;
        }
    }
    return loss;
}

void pl_softmax(real *logits, int32_t n, real temperature) {
    const real m = row_max(logits, (size_t)n);
    const real sum = row_exp(logits, (size_t)n, m, (real)1 / temperature, true);
    pl_scale(logits, (real)1 / sum, (size_t)n);
}
