/* The vector operations and elementary functions: accuracy against libm in double, special values, tails. */
#include "harness.h"
#include "simd/vecmath.h"

#include <math.h>
#include <string.h>

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* |got - want| in units of the last place of the float nearest to want. */
static double ulps(float got, double want) {
    int exponent;
    (void)frexp(want, &exponent);
    return fabs((double)got - want) / ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

typedef pl_vec (*vector_function)(pl_vec);
static pl_vec run_exp(pl_vec x) { return vec_exp(x); }
static pl_vec run_tanh(pl_vec x) { return vec_tanh(x); }
static pl_vec run_erf(pl_vec x) { return vec_erf(x); }
static pl_vec run_sigmoid(pl_vec x) { return vec_sigmoid(x); }
static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* The worst error over every 97th float of [-largest, -smallest] and [smallest, largest]. */
static double worst(vector_function f, double (*reference)(double), float smallest, float largest) {
    uint32_t from, to;
    memcpy(&from, &smallest, 4);
    memcpy(&to, &largest, 4);
    double error = 0.0;
    for (uint32_t bits = from; bits <= to; bits += 97 * 4) {
        const float a = from_bits(bits), b = from_bits(bits + 97 * 2);
        const pl_vec y = f(vec_set(a, -a, b, -b));
        error = fmax(error, fmax(ulps(vec_lane(y, 0), reference((double)a)),
                                 ulps(vec_lane(y, 1), reference(-(double)a))));
        error = fmax(error, fmax(ulps(vec_lane(y, 2), reference((double)b)),
                                 ulps(vec_lane(y, 3), reference(-(double)b))));
    }
    return error;
}

TEST(elementary_functions_are_accurate) {
    const double e = worst(run_exp, exp, 0x1p-30f, 87.3f), t = worst(run_tanh, tanh, 0x1p-20f, 20.0f);
    const double f = worst(run_erf, erf, 0x1p-20f, 5.0f), s = worst(run_sigmoid, sigmoid, 0x1p-20f, 80.0f);
    CHECK_MSG(e <= 1.5, "exp is off by %.2f ulp", e);
    CHECK_MSG(t <= 2.0, "tanh is off by %.2f ulp", t);
    CHECK_MSG(f <= 2.0, "erf is off by %.2f ulp", f);
    CHECK_MSG(s <= 3.0, "sigmoid is off by %.2f ulp", s);
}

TEST(exp_handles_the_ends) {
    const pl_vec y = vec_exp(vec_set(-INFINITY, -88.0f, 1000.0f, INFINITY));
    CHECK(vec_lane(y, 0) == 0.0f && vec_lane(y, 1) == 0.0f);
    CHECK(isfinite(vec_lane(y, 2)) && vec_lane(y, 2) > 2.3e38f);
    CHECK(vec_lane(y, 3) == vec_lane(y, 2));
    const pl_vec z = vec_exp(vec_set(0.0f, NAN, -3e38f, 88.3f));
    CHECK(vec_lane(z, 0) == 1.0f && isnan(vec_lane(z, 1)) && vec_lane(z, 2) == 0.0f &&
          isfinite(vec_lane(z, 3)));
    const pl_vec t = vec_tanh(vec_set(1e9f, -1e9f, -0.0f, NAN));
    CHECK(vec_lane(t, 0) == 1.0f && vec_lane(t, 1) == -1.0f && vec_lane(t, 2) == 0.0f &&
          isnan(vec_lane(t, 3)));
    const pl_vec e = vec_erf(vec_set(1e9f, -1e9f, 0.0f, NAN));
    CHECK(vec_lane(e, 0) == 1.0f && vec_lane(e, 1) == -1.0f && vec_lane(e, 2) == 0.0f &&
          isnan(vec_lane(e, 3)));
}

TEST(log_is_accurate) {
    double error = 0.0;
    for (int e = -300; e <= 300; e += 3)
        for (int i = 0; i < 200; i++) {
            const double x = ldexp(1.0 + i / 200.0, e), want = log(x);
            error = fmax(error, fabs(pl_log(x) - want) / fmax(fabs(want), 1e-3));
        }
    CHECK_MSG(error < 3e-16, "log is off by %.3g", error);
    CHECK(pl_log(1.0) == 0.0 && isinf(pl_log(0.0)) && isnan(pl_log(-1.0)) && isnan(pl_log((double)NAN)));
    CHECK(pl_log(HUGE_VAL) == HUGE_VAL);
}

TEST(basic_operations) {
    real m[16], out[4] = {9, 9, 9, 9};
    for (int i = 0; i < 16; i++)
        m[i] = (real)i;
    pl_vec r[4] = {vec_load(m), vec_load(m + 4), vec_load(m + 8), vec_load(m + 12)};
    vec_transpose(r);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            CHECK(vec_lane(r[i], j) == m[4 * j + i]);
    CHECK(vec_sum(vec_set(1e8f, 1, -1e8f, 1)) == (1e8f + 1.0f) + (-1e8f + 1.0f));
    CHECK(vec_largest(vec_set(-3, -1, -2, -5)) == -1);
    CHECK(vec_lane(vec_abs(vec_splat(-2.5f)), 1) == 2.5f && vec_lane(vec_sqrt(vec_splat(2.25f)), 2) == 1.5f);
    const pl_vec nan = vec_splat(NAN), one = vec_splat(1);
    CHECK(isnan(vec_lane(vec_max(nan, one), 0)) &&
          isnan(vec_lane(vec_min(nan, one), 0))); /* first operand stays */
    CHECK(vec_lane(vec_select(vec_less(one, vec_splat(2)), one, nan), 0) == 1);
    for (size_t n = 0; n <= 4; n++) {
        const pl_vec part = vec_load_part(m + 5, n, -7);
        for (int i = 0; i < 4; i++)
            CHECK(vec_lane(part, i) == ((size_t)i < n ? m[5 + i] : -7));
    }
    vec_store_part(out, vec_splat(2), 3);
    CHECK(out[2] == 2 && out[3] == 9);
}
