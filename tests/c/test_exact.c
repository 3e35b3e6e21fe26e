/* build: both — logarithm, power, sine and cosine of base/exact.h against values computed with 200 bits (mpmath 1.3). */
#include "base/exact.h"
#include "base/rng.h"
#include "harness.h"

#include <math.h>

typedef struct row {
    double x, y, want, second;
} row;

TEST(logarithms_are_correctly_rounded) {
    static const row rows[] = {
        {0x1.0000000000000p-1, 0, -0x1.62e42fefa39efp-1, 0},
        {0x1.0000000000000p+0, 0, 0x0.0p+0, 0},
        {0x1.0000000000000p+1, 0, 0x1.62e42fefa39efp-1, 0},
        {0x1.999999999999ap-4, 0, -0x1.26bb1bbb55515p+1, 0},
        {0x1.8000000000000p+1, 0, 0x1.193ea7aad030bp+0, 0},
        {0x1.56e1fc2f8f359p-997, 0, -0x1.5963447f87fb5p+9, 0},
        {0x1.7e43c8800759cp+996, 0, 0x1.5963447f87fb5p+9, 0},
        {0x1.000000006df38p+0, 0, 0x1.b7cdffffa18d8p-34, 0},
        {0x1.ffffffff24190p-1, 0, -0x1.b7ce00005e728p-34, 0},
        {0x1.0000000000001p+0, 0, 0x1.fffffffffffffp-53, 0},
        {0x1.fffffffffffffp-1, 0, -0x1.0000000000000p-53, 0},
        {0x1.6a09e667f3bcdp-1, 0, -0x1.62e42fefa39eep-2, 0},
        {0x1.6a09e667f3bcdp+0, 0, 0x1.62e42fefa39f0p-2, 0},
        {0x1.0000000000000p-1022, 0, -0x1.6232bdd7abcd2p+9, 0},
        {0x1.fffffffffffffp+1023, 0, 0x1.62e42fefa39efp+9, 0},
        {0x1.cf3c95eed0a4ap-2, 0, -0x1.9622bb4c93e1dp-1, 0},
        {0x1.1e9a7c76d6d7ep-1, 0, -0x1.2913415b8d8c5p-1, 0},
        {0x1.d9322131ff7a0p-1, 0, -0x1.42d3dca69dd93p-4, 0},
        {0x1.dcd35f39d5a42p-2, 0, -0x1.87550ff845c2ep-1, 0},
        {0x1.0403c576b9115p-1, 0, -0x1.5aec98989e851p-1, 0},
        {0x1.2cbdb44c275adp-1, 0, -0x1.106c255d83257p-1, 0},
        {0x1.7a2f33cdcc690p-3, 0, -0x1.b071d80beaf09p+0, 0},
        {0x1.0618e39e72e7ap-1, 0, -0x1.56d701528c164p-1, 0},
        {0x1.427ffce74b19fp-1, 0, -0x1.d950a0dcada71p-2, 0},
        {0x1.9601108bea450p-1, 0, -0x1.db0e7c3e2ca18p-3, 0},
        {0x1.818798e4a7db8p-4, 0, -0x1.2e7ba22b85140p+1, 0},
        {0x1.36aed2122657cp-2, 0, -0x1.3154b997d5f7ap+0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_MSG(pl_exact_log(rows[i].x) == rows[i].want, "log %a is %a, not %a", rows[i].x,
                  pl_exact_log(rows[i].x), rows[i].want);
}

TEST(powers_are_correctly_rounded) {
    static const row rows[] = {
        {0x1.3880000000000p+13, 0x1.0000000000000p-2, 0x1.4000000000000p+3, 0},
        {0x1.3880000000000p+13, 0x0.0p+0, 0x1.0000000000000p+0, 0},
        {0x1.3880000000000p+13, 0x1.0000000000000p-6, 0x1.279fcaca404e6p+0, 0},
        {0x1.3880000000000p+13, 0x1.8c00000000000p-1, 0x1.363c0445ac06fp+10, 0},
        {0x1.e848000000000p+18, 0x1.0800000000000p-1, 0x1.b202fd2b20929p+9, 0},
        {0x1.e848000000000p+19, 0x1.0800000000000p-1, 0x1.363c0445ac06fp+10, 0},
        {0x1.e848000000000p+18, 0x1.f800000000000p-1, 0x1.8dc3277bc0b87p+18, 0},
        {0x1.dcd6500000000p+29, 0x1.fae147ae147aep-1, 0x1.839679a150133p+29, 0},
        {0x1.d4c0000000000p+14, 0x1.2000000000000p-4, 0x1.083ed766b2b7cp+1, 0},
        {0x1.0000000000000p+0, 0x1.0000000000000p-1, 0x1.0000000000000p+0, 0},
        {0x1.0000000000000p+1, -0x1.0000000000000p-1, 0x1.6a09e667f3bcdp-1, 0},
        {0x1.c000000000000p+2, 0x1.9000000000000p+6, 0x1.aa3b2c5319d5ep+280, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_MSG(pl_exact_power(rows[i].x, rows[i].y) == rows[i].want, "%g ^ %g is %a, not %a", rows[i].x,
                  rows[i].y, pl_exact_power(rows[i].x, rows[i].y), rows[i].want);
    static const row exponents[] = {
        {0x0.0p+0, 0, 0x1.0000000000000p+0, 0},
        {0x1.0000000000000p+0, 0, 0x1.5bf0a8b145769p+1, 0},
        {-0x1.0000000000000p+0, 0, 0x1.78b56362cef38p-2, 0},
        {0x1.0000000000000p-1, 0, 0x1.a61298e1e069cp+0, 0},
        {0x1.5e00000000000p+9, 0, 0x1.d945df4f8ec8ep+1009, 0},
        {-0x1.5e00000000000p+9, 0, 0x1.14f2b0fb9307fp-1010, 0},
        {0x1.b7cdfd9d7bdbbp-34, 0, 0x1.000000006df38p+0, 0},
        {-0x1.2a00000000000p+5, 0, 0x1.3278bcd70e981p-54, 0},
    };
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++)
        CHECK_MSG(pl_exact_exp(exponents[i].x) == exponents[i].want, "e ^ %g is %a, not %a", exponents[i].x,
                  pl_exact_exp(exponents[i].x), exponents[i].want);
}

/* The third is 355, next to 113 pi, and the next two are the doubles next to 3 pi/2 and to 600000 pi/2: there most bits cancel. */
TEST(sines_and_cosines_are_within_an_ulp) {
    static const row rows[] = {
        {0x0.0p+0, 0, 0x0.0p+0, 0x1.0000000000000p+0},
        {0x1.8000000000000p-1, 0, 0x1.5cffc16bf8f0dp-1, 0x1.769fec655211fp-1},
        {0x1.6300000000000p+8, 0, -0x1.f9bd0307d1de3p-16, -0x1.fffffffc18e4cp-1},
        {0x1.2d97c7f3321d2p+2, 0, -0x1.0000000000000p+0, -0x1.a79394c9e8a0ap-53},
        {0x1.cc31b9797657bp+19, 0, -0x1.8029c8744b4b1p-35, 0x1.0000000000000p+0},
        {0x1.0000000000000p+0, 0, 0x1.aed548f090ceep-1, 0x1.14a280fb5068cp-1},
        {-0x1.0000000000000p+0, 0, -0x1.aed548f090ceep-1, 0x1.14a280fb5068cp-1},
        {0x1.0000000000000p+1, 0, 0x1.d18f6ead1b446p-1, -0x1.aa22657537205p-2},
        {0x1.8000000000000p+1, 0, 0x1.210386db6d55bp-3, -0x1.fae04be85e5d2p-1},
        {-0x1.6000000000000p+2, 0, 0x1.693c94e0ab057p-1, 0x1.6ad6c3c07d448p-1},
        {0x1.6000000000000p+4, 0, -0x1.220a29f6eb9f4p-7, -0x1.fffadd8d4acdap-1},
        {0x1.ff00000000000p+8, 0, 0x1.c37768f3b24c0p-1, -0x1.e2ffc96b2b3bcp-2},
        {0x1.0000000000000p+20, 0, 0x1.526ccb2fc8656p-2, 0x1.e33ada92fe2aep-1},
        {0x1.12e0be826d695p-30, 0, 0x1.12e0be826d695p-30, 0x1.0000000000000p+0},
        {0x1.921fb54442d18p-1, 0, 0x1.6a09e667f3bccp-1, 0x1.6a09e667f3bcdp-1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double sine, cosine;
        pl_exact_sin_cos(rows[i].x, &sine, &cosine);
        CHECK_NEAR(sine, rows[i].want, fabs(rows[i].want) * 0x1p-52);
        CHECK_NEAR(cosine, rows[i].second, fabs(rows[i].second) * 0x1p-52);
    }
}

/* Not a property of these functions but of C libraries: a table or a draw rounded to float came out of libm with the same bits. */
TEST(floats_are_those_of_libm) {
    pl_rng rng = pl_rng_stream(3, 0);
    for (int i = 0; i < 20000; i++) {
        const double x = pl_rng_uniform(&rng) + 0x1p-54, angle = 2048 * x;
        double sine, cosine;
        pl_exact_sin_cos(angle, &sine, &cosine);
        CHECK((float)sine == (float)sin(angle) && (float)cosine == (float)cos(angle));
        CHECK((float)pl_exact_log(x) == (float)log(x));
    }
}
