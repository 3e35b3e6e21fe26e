/* Logarithm, power, sine and cosine for what is drawn or tabulated once (normal numbers, RoPE). libm's differ in the last bit
   between C libraries and between their versions; these are sums, products and quotients of doubles in one order, so the same
   seed gives the same bytes whatever the compiler links. Too slow for kernels: those have simd/vecmath.h. */
#ifndef PL_BASE_EXACT_H
#define PL_BASE_EXACT_H

/* Natural logarithm of a positive, normal, finite number, correctly rounded (in all but about one case in 2^35). */
double pl_exact_log(double x);

/* e^x for -700 <= x <= 700, likewise. */
double pl_exact_exp(double x);

/* base^exponent for a positive, normal base where the result is between e^-700 and e^700, likewise. */
double pl_exact_power(double base, double exponent);

/* sine and cosine of |x| <= 2^20 pi/2 (1.6 million), < 1 ulp. */
void pl_exact_sin_cos(double x, double *sine, double *cosine);

#endif
