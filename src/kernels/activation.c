/* relu, silu, gelu (erf), gelu (tanh), tanh, identity and their derivatives:
 *   silu      x s                      s (1 + x (1 - s)),  s = 1 / (1 + e^-x)
 *   gelu      x Phi(x)                 Phi(x) + x phi(x)
 *   gelu_tanh x (1 + tanh u) / 2       (1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2
 * with Phi(x) = (1 + erf(x / sqrt 2)) / 2, phi its derivative, u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and
 * Gimpel 2016). The derivative is taken from x again: nothing but x is stored. */
#include "kernels/activation.h"

#include "kernels/kernels.h"
#include "simd/vecmath.h"

static const real HALF = (real)0.5, ONE = (real)1, CUBIC = (real)0.044715;
static const real ROOT_HALF = (real)0.70710678118654752440;        /* 1 / sqrt 2 */
static const real ROOT_2_OVER_PI = (real)0.79788456080286535588;   /* sqrt(2 / pi) */
static const real ROOT_1_OVER_2_PI = (real)0.39894228040143267794; /* phi(0) */

PL_INLINE pl_vec gelu_inner(pl_vec x) { /* u */
    const pl_vec cube = vec_mul(vec_mul(x, x), x);
    return vec_mul(vec_splat(ROOT_2_OVER_PI), vec_madd(x, vec_splat(CUBIC), cube));
}

PL_INLINE pl_vec gelu_cdf(pl_vec x) { /* Phi */
    return vec_mul(vec_splat(HALF), vec_add(vec_splat(ONE), vec_erf(vec_mul(x, vec_splat(ROOT_HALF)))));
}

PL_INLINE pl_vec value(const pl_activation f, pl_vec x) {
    switch (f) {
    case PL_ACT_RELU:
        return vec_max(x, vec_zero());
    case PL_ACT_SILU:
        return vec_mul(x, vec_sigmoid(x));
    case PL_ACT_GELU:
        return vec_mul(x, gelu_cdf(x));
    case PL_ACT_GELU_TANH:
        return vec_mul(vec_mul(vec_splat(HALF), x), vec_add(vec_splat(ONE), vec_tanh(gelu_inner(x))));
    case PL_ACT_TANH:
        return vec_tanh(x);
    case PL_ACT_IDENTITY:
        break;
    }
    return x;
}

PL_INLINE pl_vec slope(const pl_activation f, pl_vec x) {
    const pl_vec one = vec_splat(ONE), half = vec_splat(HALF);
    switch (f) {
    case PL_ACT_RELU: /* 0 at 0, as torch */
        return vec_select(vec_less(vec_zero(), x), one, vec_zero());
    case PL_ACT_SILU:
        return pl_silu_slope(x, vec_sigmoid(x));
    case PL_ACT_GELU: {
        const pl_vec density =
            vec_mul(vec_splat(ROOT_1_OVER_2_PI), vec_exp_below(vec_mul(vec_mul(x, x), vec_splat(-HALF))));
        return vec_madd(gelu_cdf(x), x, density);
    }
    case PL_ACT_GELU_TANH: {
        const pl_vec t = vec_tanh(gelu_inner(x));
        const pl_vec inner =
            vec_mul(vec_splat(ROOT_2_OVER_PI), vec_madd(one, vec_splat((real)3 * CUBIC), vec_mul(x, x)));
        const pl_vec tail = vec_mul(vec_mul(half, x), vec_mul(vec_sub(one, vec_mul(t, t)), inner));
        return vec_madd(tail, half, vec_add(one, t));
    }
    case PL_ACT_TANH: {
        const pl_vec t = vec_tanh(x);
        return vec_sub(one, vec_mul(t, t));
    }
    case PL_ACT_IDENTITY:
        break;
    }
    return one;
}

PL_INLINE void forward_as(const pl_activation f, const real *x, real *y, size_t n) {
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(y + i, value(f, vec_load(x + i)));
    if (i < n)
        vec_store_part(y + i, value(f, vec_load_part(x + i, n - i, (real)0)), n - i);
}

PL_INLINE void backward_as(const pl_activation f, const real *x, const real *dy, real *dx, size_t n) {
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES)
        vec_store(dx + i, vec_mul(vec_load(dy + i), slope(f, vec_load(x + i))));
    if (i < n) {
        const pl_vec g = vec_load_part(dy + i, n - i, (real)0), at = vec_load_part(x + i, n - i, (real)0);
        vec_store_part(dx + i, vec_mul(g, slope(f, at)), n - i);
    }
}

/* One loop per function, so that the choice is made once and not per vector. */
#define PL_DEFINE_LOOPS(name, f)                                                                             \
    static void name##_forward(const real *x, real *y, size_t n) { forward_as(f, x, y, n); }                 \
    static void name##_backward(const real *x, const real *dy, real *dx, size_t n) {                         \
        backward_as(f, x, dy, dx, n);                                                                        \
    }
PL_DEFINE_LOOPS(relu, PL_ACT_RELU)
PL_DEFINE_LOOPS(silu, PL_ACT_SILU)
PL_DEFINE_LOOPS(gelu, PL_ACT_GELU)
PL_DEFINE_LOOPS(gelu_tanh, PL_ACT_GELU_TANH)
PL_DEFINE_LOOPS(tanh, PL_ACT_TANH)
PL_DEFINE_LOOPS(identity, PL_ACT_IDENTITY)
#undef PL_DEFINE_LOOPS

void pl_activation_forward(pl_activation f, const real *x, real *y, size_t n) {
    static void (*const loops[])(const real *, real *, size_t) = {
        [PL_ACT_RELU] = relu_forward, [PL_ACT_SILU] = silu_forward,
        [PL_ACT_GELU] = gelu_forward, [PL_ACT_GELU_TANH] = gelu_tanh_forward,
        [PL_ACT_TANH] = tanh_forward, [PL_ACT_IDENTITY] = identity_forward};
    loops[f](x, y, n);
}

void pl_activation_backward(pl_activation f, const real *x, const real *dy, real *dx, size_t n) {
    static void (*const loops[])(const real *, const real *, real *, size_t) = {
        [PL_ACT_RELU] = relu_backward, [PL_ACT_SILU] = silu_backward,
        [PL_ACT_GELU] = gelu_backward, [PL_ACT_GELU_TANH] = gelu_tanh_backward,
        [PL_ACT_TANH] = tanh_backward, [PL_ACT_IDENTITY] = identity_backward};
    loops[f](x, dy, dx, n);
}
