/* Elementary functions, written here because libm differs between systems (glibc picks FMA variants at run
 * time, musl does not) and has no vector forms. Float versions: same bits in every back end;
 * exp, tanh and erf are within 1.3 ulp, sigmoid within 2.4 (every 97th float, tests/c/test_simd.c). The double build, which
 * exists for gradient checks, calls libm. */
#ifndef PL_SIMD_VECMATH_H
#define PL_SIMD_VECMATH_H

#include "simd/simd.h"

/* Natural logarithm of a positive, normal, finite double, < 1 ulp: fdlibm's e_log.c (Sun Microsystems 1993),
   without its special cases. x <= 0, infinities and NaN give NaN or infinity as log does. Not inlined: called
   once per row. */
double pl_log(double x);

#if PL_REAL_IS_FLOAT

/* e^x for x <= 88.376: x = n ln2 + r, |r| <= ln2/2, e^r by the polynomial of Cephes' expf (Moshier 1989), 2^n
   through the exponent bits. Below -87.3365 (where e^x stops being normal) the result is 0; NaN is kept.
   Evaluated in Estrin's order: the chain of dependent operations, not their number, is what a loop waits for
   (20 % faster than Horner's order in Node 20). */
PL_INLINE pl_vec vec_exp_below(pl_vec x) {
    const pl_vec shift = vec_splat(0x1.8p23f);
    const pl_vec t = vec_madd(shift, x, vec_splat(1.44269504f)); /* adding 1.5 * 2^23 rounds to an integer */
    const pl_vec n = vec_sub(t, shift);
    /* ln2 in two parts: the first product is exact (8 bits times 10), so r keeps its low bits */
    const pl_vec r =
        vec_sub(vec_sub(x, vec_mul(n, vec_splat(0.693359375f))), vec_mul(n, vec_splat(-2.12194440e-4f)));
    const pl_vec square = vec_mul(r, r);
    const pl_vec p0 = vec_madd(vec_splat(5.0000001201e-1f), r, vec_splat(1.6666665459e-1f));
    const pl_vec p1 = vec_madd(vec_splat(4.1665795894e-2f), r, vec_splat(8.3334519073e-3f));
    const pl_vec p2 = vec_madd(vec_splat(1.3981999507e-3f), r, vec_splat(1.9875691500e-4f));
    const pl_vec p = vec_madd(p0, square, vec_madd(p1, square, p2));
    const pl_vec e = vec_add(vec_splat(1.0f), vec_madd(r, square, p));
    return vec_select(vec_less(x, vec_splat(-87.336544f)), vec_zero(), vec_mul(e, vec_power_of_two(t)));
}

/* e^x for any x; above 88.376 it stays at e^88.376 = 2.4e38, so no infinity arises from a finite value. */
PL_INLINE pl_vec vec_exp(pl_vec x) { return vec_exp_below(vec_min(x, vec_splat(88.376259f))); }

/* tanh: Cephes' tanhf, an odd polynomial below 0.625, 1 - 2/(e^2|x| + 1) above. */
PL_INLINE pl_vec vec_tanh(pl_vec x) {
    pl_vec a = vec_abs(x), z = vec_mul(x, x);
    pl_vec e = vec_exp(vec_add(a, a));
    pl_vec far = vec_sub(vec_splat(1.0f), vec_div(vec_splat(2.0f), vec_add(e, vec_splat(1.0f))));
    far = vec_select(vec_less(x, vec_zero()), vec_sub(vec_zero(), far), far);
    pl_vec p = vec_madd(vec_splat(2.06390887954531e-2f), z, vec_splat(-5.70498872745e-3f));
    p = vec_madd(vec_splat(-5.37397155531447e-2f), p, z);
    p = vec_madd(vec_splat(1.33314422036e-1f), p, z);
    p = vec_madd(vec_splat(-3.33332819422e-1f), p, z);
    pl_vec near = vec_madd(x, vec_mul(p, z), x);
    return vec_select(vec_less(a, vec_splat(0.625f)), near, far);
}

/* erf: odd polynomial up to 475/512, 1 - e^q(|x|) above; coefficients by N. Juffa (public domain). */
PL_INLINE pl_vec vec_erf(pl_vec x) {
    pl_vec a = vec_min(vec_abs(x), vec_splat(4.0f)), s = vec_mul(a, a); /* erff(4) rounds to 1 */
    pl_vec u = vec_madd(vec_splat(3.83197126e-4f), a, vec_splat(-1.72853470e-5f));
    pl_vec w = vec_madd(vec_splat(2.42546219e-2f), a, vec_splat(-3.88396438e-3f));
    u = vec_madd(w, u, s);
    u = vec_madd(vec_splat(-1.06777877e-1f), u, a);
    u = vec_madd(vec_splat(-6.34846687e-1f), u, a);
    u = vec_madd(vec_splat(-1.28717512e-1f), u, a);
    u = vec_sub(vec_mul(u, a), a);
    pl_vec far = vec_sub(vec_splat(1.0f), vec_exp_below(u));
    far = vec_select(vec_less(x, vec_zero()), vec_sub(vec_zero(), far), far);
    pl_vec p = vec_madd(vec_splat(4.99119423e-3f), s, vec_splat(-5.96761703e-4f));
    p = vec_madd(vec_splat(-2.67681349e-2f), p, s);
    p = vec_madd(vec_splat(1.12819925e-1f), p, s);
    p = vec_madd(vec_splat(-3.76125336e-1f), p, s);
    p = vec_madd(vec_splat(1.28379166e-1f), p, s);
    pl_vec near = vec_madd(x, p, x);
    return vec_select(vec_less(a, vec_splat(0.927734375f)), near, far);
}

#else /* double */

#include <math.h>

#define PL_BY_LANE(f, x) vec_set(f(vec_lane(x, 0)), f(vec_lane(x, 1)), f(vec_lane(x, 2)), f(vec_lane(x, 3)))
PL_INLINE pl_vec vec_exp(pl_vec x) { return PL_BY_LANE(exp, x); }
PL_INLINE pl_vec vec_exp_below(pl_vec x) { return vec_exp(x); }
PL_INLINE pl_vec vec_tanh(pl_vec x) { return PL_BY_LANE(tanh, x); }
PL_INLINE pl_vec vec_erf(pl_vec x) { return PL_BY_LANE(erf, x); }
#undef PL_BY_LANE

#endif

/* 1 / (1 + e^-x) */
PL_INLINE pl_vec vec_sigmoid(pl_vec x) {
    const pl_vec one = vec_splat((real)1);
    return vec_div(one, vec_add(one, vec_exp(vec_sub(vec_zero(), x))));
}

#endif
