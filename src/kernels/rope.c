/* Rotary position embedding (Su et al. 2021) in Hugging Face's layout: the pair
 *   (a, b) = (x[c], x[c + head_dim/2])
 * at position p turns by the angle p f_c:  a' = a cos - b sin,  b' = b cos + a sin.  The backward pass turns back
 * (sin -> -sin). */
#include "base/exact.h"
#include "kernels/kernels.h"
#include "simd/simd.h"

void pl_rope_table(const double *frequencies, int32_t head_dim, int32_t max_positions, real *cosine,
                   real *sine) {
    const size_t half = (size_t)head_dim / 2;
    for (int32_t p = 0; p < max_positions; p++)
        for (size_t c = 0; c < half; c++) {
            double s, co;
            pl_exact_sin_cos((double)p * frequencies[c], &s, &co);
            cosine[(size_t)p * half + c] = (real)co;
            sine[(size_t)p * half + c] = (real)s;
        }
}

/* One head of one row; sign is +1 forward, -1 backward. */
PL_INLINE void turn(real *x, size_t half, const real *cosine, const real *sine, const real sign) {
    size_t c = 0;
    for (; c + PL_LANES <= half; c += PL_LANES) {
        const pl_vec a = vec_load(x + c), b = vec_load(x + half + c);
        const pl_vec co = vec_load(cosine + c), si = vec_mul(vec_splat(sign), vec_load(sine + c));
        vec_store(x + c, vec_sub(vec_mul(a, co), vec_mul(b, si)));
        vec_store(x + half + c, vec_add(vec_mul(b, co), vec_mul(a, si)));
    }
    for (; c < half; c++) {
        const real a = x[c], b = x[half + c], si = sign * sine[c];
        x[c] = a * cosine[c] - b * si;
        x[half + c] = b * cosine[c] + a * si;
    }
}

PL_INLINE void turn_all(real *x, const int32_t *positions, int32_t n, int32_t heads, int32_t head_dim,
                        const real *cosine, const real *sine, const real sign) {
    const size_t half = (size_t)head_dim / 2;
    for (int32_t row = 0; row < n; row++) {
        const size_t at = (size_t)positions[row] * half;
        for (int32_t h = 0; h < heads; h++, x += head_dim)
            turn(x, half, cosine + at, sine + at, sign);
    }
}

void pl_rope_forward(real *x, const int32_t *positions, int32_t n, int32_t heads, int32_t head_dim,
                     const real *cosine, const real *sine) {
    turn_all(x, positions, n, heads, head_dim, cosine, sine, (real)1);
}

void pl_rope_backward(real *dx, const int32_t *positions, int32_t n, int32_t heads, int32_t head_dim,
                      const real *cosine, const real *sine) {
    turn_all(dx, positions, n, heads, head_dim, cosine, sine, (real)-1);
}
