/* log, exp and power in double-double arithmetic (Dekker 1971): a number is the unevaluated sum of two doubles, about 106 bits, and
 * the first of the two is the rounded result. sin and cos follow fdlibm (Sun Microsystems 1993), whose bits musl gives too. */
#include "base/exact.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct pair { /* high + low, |low| <= ulp(high) / 2 */
    double high, low;
} pair;

static pair quick_sum(double a, double b) { /* |a| >= |b| */
    const double high = a + b;
    return (pair){high, b - (high - a)};
}

static pair sum(double a, double b) {
    const double high = a + b, back = high - a;
    return (pair){high, (a - (high - back)) + (b - back)};
}

/* a * b exactly: each factor in halves of 26 bits, whose products fit. */
static pair product(double a, double b) {
    const double split = 134217729.0 /* 2^27 + 1 */, ta = split * a, tb = split * b;
    const double a1 = ta - (ta - a), a2 = a - a1, b1 = tb - (tb - b), b2 = b - b1, high = a * b;
    return (pair){high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2};
}

static pair add(pair a, pair b) {
    const pair high = sum(a.high, b.high), low = sum(a.low, b.low);
    const pair part = quick_sum(high.high, high.low + low.high);
    return quick_sum(part.high, part.low + low.low);
}

static pair multiply(pair a, pair b) {
    const pair p = product(a.high, b.high);
    return quick_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

static pair divide(pair a, pair b) {
    const double first = a.high / b.high;
    const pair whole = multiply(b, (pair){first, 0.0}), rest = add(a, (pair){-whole.high, -whole.low});
    const double second = rest.high / b.high;
    const pair part = multiply(b, (pair){second, 0.0}), left = add(rest, (pair){-part.high, -part.low});
    return add(quick_sum(first, second), (pair){left.high / b.high, 0.0});
}

/* ---- logarithm, exponential, power ------------------------------------------------------------------------------------------ */

/* ln 2 in three parts; the first two have 41 bits, so that their products with exponents are exact. */
static const double LN2_A = 0x1.62e42fefa3000p-1, LN2_B = 0x1.3de6af278e000p-42,
                    LN2_C = 0x1.9cc01f97b57a0p-83;

static pair times_ln2(double k) { return add(sum(k * LN2_A, k * LN2_B), (pair){k * LN2_C, 0.0}); }

/* ln m = 2 (s + s^3/3 + s^5/5 + …) with s = (m - 1) / (m + 1), sqrt(1/2) < m <= sqrt 2, so s^2 <= 0.0295: the terms from
   s^19/19 on, below 2^-50 of the sum, are summed as doubles. */
static pair log_mantissa(double m) {
    static const pair inverse[] = {
        {0x1.5555555555555p-2, 0x1.5555555555555p-56},  /* 1/3 */
        {0x1.999999999999ap-3, -0x1.999999999999ap-57}, /* 1/5 … */
        {0x1.2492492492492p-3, 0x1.2492492492492p-57},  {0x1.c71c71c71c71cp-4, 0x1.c71c71c71c71cp-58},
        {0x1.745d1745d1746p-4, -0x1.745d1745d1746p-59}, {0x1.3b13b13b13b14p-4, -0x1.3b13b13b13b14p-58},
        {0x1.1111111111111p-4, 0x1.1111111111111p-60},  {0x1.e1e1e1e1e1e1ep-5, 0x1.e1e1e1e1e1e1ep-61}};
    const pair s = divide((pair){m - 1.0, 0.0}, sum(m, 1.0)), z = multiply(s, s);
    double tail = 0.0;
    for (int n = 43; n >= 19; n -= 2)
        tail = tail * z.high + 1.0 / n;
    pair p = {tail, 0.0};
    for (int i = (int)(sizeof inverse / sizeof inverse[0]) - 1; i >= 0; i--)
        p = add(multiply(p, z), inverse[i]);
    p = add(s, multiply(multiply(p, z), s));
    return (pair){2.0 * p.high, 2.0 * p.low};
}

static pair log_pair(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 0x3FF0000000000000ULL - 0x3FE6A09E00000000ULL; /* so that sqrt(1/2) < mantissa <= sqrt(2) */
    const double k = (double)(int32_t)(bits >> 52) - 1023.0;
    bits = (bits & 0x000FFFFFFFFFFFFFULL) + 0x3FE6A09E00000000ULL;
    memcpy(&x, &bits, sizeof x);
    return add(times_ln2(k), log_mantissa(x));
}

/* e^x = 2^n e^r, |r| <= ln2 / 2; e^(r/16) as 1 + r/16 (1 + r/32 (1 + r/48 (…))), then squared four times. */
static double exp_pair(pair x) {
    const double shift = 0x1.8p52, n = (x.high * 1.4426950408889634 + shift) - shift;
    const pair part = times_ln2(-n), whole = add(x, part), r = {whole.high / 16.0, whole.low / 16.0};
    const pair one = {1.0, 0.0};
    pair e = one;
    for (int i = 16; i >= 1; i--)
        e = add(one, divide(multiply(r, e), (pair){(double)i, 0.0}));
    for (int i = 0; i < 4; i++)
        e = multiply(e, e);
    const uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return (e.high + e.low) * power;
}

double pl_exact_log(double x) {
    const pair y = log_pair(x);
    return y.high + y.low;
}

double pl_exact_exp(double x) { return exp_pair((pair){x, 0.0}); }

double pl_exact_power(double base, double exponent) {
    return exp_pair(multiply(log_pair(base), (pair){exponent, 0.0}));
}

/* ---- sine and cosine ---------------------------------------------------------------------------------------------------------- */

/* sine of x + y, |x| <= pi/4, y the part of the angle below x's last bit (fdlibm's k_sin.c) */
static double sine_near(double x, double y) {
    const double z = x * x, w = z * z, v = z * x;
    const double r = 8.33333333332248946124e-03 +
                     z * (-1.98412698298579493134e-04 + z * 2.75573137070700676789e-06) +
                     z * w * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10);
    return x - ((z * (0.5 * y - v * r) - y) - v * -1.66666666666666324348e-01);
}

/* fdlibm's k_cos.c */
static double cosine_near(double x, double y) {
    const double z = x * x, w = z * z;
    const double r = z * (4.16666666666666019037e-02 +
                          z * (-1.38888888888741095749e-03 + z * 2.48015872894767294178e-05)) +
                     w * w *
                         (-2.75573143513906633035e-07 +
                          z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11));
    const double half = 0.5 * z, rest = 1.0 - half;
    return rest + (((1.0 - rest) - half) + (z * r - x * y));
}

static int32_t exponent_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (int32_t)(bits >> 52 & 0x7FF);
}

/* x - n pi/2 as high + low, pi/2 in parts of 33 bits; a further part where the subtraction cancels many bits (e_rem_pio2.c). */
static pair less_quarters(double x, double n) {
    static const double part[] = {1.57079632673412561417e+00, 6.07710050630396597660e-11,
                                  2.02226624871116645580e-21};
    static const double rest[] = {6.07710050650619224932e-11, 2.02226624879595063154e-21,
                                  8.47842766036889956997e-32};
    static const int32_t spare[] = {16, 49}; /* bits that may cancel before another part is needed */
    const int32_t top = exponent_of(x);
    double r = x - n * part[0], w = n * rest[0], y = r - w;
    for (int i = 1; i < 3 && top - exponent_of(y) > spare[i - 1]; i++) {
        const double before = r;
        w = n * part[i];
        r = before - w;
        w = n * rest[i] - ((before - r) - w);
        y = r - w;
    }
    return (pair){y, (r - y) - w};
}

void pl_exact_sin_cos(double x, double *sine, double *cosine) {
    const double shift = 0x1.8p52, n = (x * 6.36619772367581382433e-01 + shift) - shift;
    const bool near = x >= -0.78539816339744830962 && x <= 0.78539816339744830962;
    const pair r = near ? (pair){x, 0.0} : less_quarters(x, n);
    const double s = sine_near(r.high, r.low), c = cosine_near(r.high, r.low);
    switch (near ? 0 : (int32_t)n & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
    }
}
