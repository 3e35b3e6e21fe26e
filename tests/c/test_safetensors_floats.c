#include "harness.h"

#include <math.h>
#include <string.h>

#include "io/floats.h"

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

TEST(every_half_survives_a_round_trip) {
    int wrong = 0;
    for (uint32_t half = 0; half < 65536; half++) {
        float f16 = pl_float_from_f16((uint16_t)half), bf16 = pl_float_from_bf16((uint16_t)half);
        wrong +=
            isnan(f16) ? !isnan(pl_float_from_f16(pl_f16_from_float(f16))) : pl_f16_from_float(f16) != half;
        wrong += isnan(bf16) ? !isnan(pl_float_from_bf16(pl_bf16_from_float(bf16)))
                             : pl_bf16_from_float(bf16) != half;
    }
    CHECK_INT(wrong, 0);
}

/* By the definition: sign * 2^(e-15) * (1 + f/1024), subnormals sign * 2^-14 * f/1024. */
TEST(f16_means_what_ieee_754_says) {
    int wrong = 0;
    for (uint32_t half = 0; half < 65536; half++) {
        int exponent = (int)(half >> 10 & 31), fraction = (int)(half & 1023);
        double value =
            exponent ? ldexp(1.0 + fraction / 1024.0, exponent - 15) : ldexp(fraction / 1024.0, -14);
        if (exponent < 31)
            wrong += (double)pl_float_from_f16((uint16_t)half) != (half & 0x8000u ? -value : value);
    }
    CHECK_INT(wrong, 0);
    CHECK(isinf(pl_float_from_f16(0x7C00)) && isnan(pl_float_from_f16(0x7C01)) &&
          isinf(pl_float_from_bf16(0x7F80)));
}

/* Between two neighbours lo < hi: everything below the middle goes to lo, above to hi, the middle to the
   even one. */
static int check_between(uint32_t lo, float (*up)(uint16_t), uint16_t (*down)(float)) {
    float a = up((uint16_t)lo), b = up((uint16_t)(lo + 1));
    if (!isfinite(b))
        return 0;
    float middle =
        (float)(((double)a + (double)b) / 2); /* exact: both formats have far fewer bits than float */
    uint32_t even = lo & 1 ? lo + 1 : lo;
    int wrong = down(middle) != even;
    wrong += down(nextafterf(middle, a)) != lo;
    wrong += down(nextafterf(middle, b)) != lo + 1;
    wrong += down(-middle) != (even | 0x8000u);
    return wrong;
}

TEST(rounding_is_to_nearest_even) {
    int wrong = 0;
    for (uint32_t lo = 0; lo < 0x7C00; lo++)
        wrong += check_between(lo, pl_float_from_f16, pl_f16_from_float);
    for (uint32_t lo = 0x80; lo < 0x7F80;
         lo++) /* normal numbers: there a middle is a float with room to spare */
        wrong += check_between(lo, pl_float_from_bf16, pl_bf16_from_float);
    CHECK_INT(wrong, 0);
}

TEST(overflow_and_underflow) {
    CHECK_INT(pl_f16_from_float(65504), 0x7BFF);
    CHECK_INT(pl_f16_from_float(65519.99609375f), 0x7BFF);
    CHECK_INT(pl_f16_from_float(65520), 0x7C00);
    CHECK_INT(pl_f16_from_float(1e30f), 0x7C00);
    CHECK_INT(pl_f16_from_float(-1e30f), 0xFC00);
    CHECK_INT(pl_f16_from_float(0x1p-25f), 0);
    CHECK_INT(pl_f16_from_float(nextafterf(0x1p-25f, 1)), 1);
    CHECK_INT(pl_f16_from_float(-0.0f), 0x8000);
    CHECK_INT(pl_f16_from_float(float_of(1)), 0);
    CHECK_INT(pl_f16_from_float((float)NAN) & 0x7E00, 0x7E00);
    CHECK_INT(pl_bf16_from_float(float_of(0x7F7FFFFF)), 0x7F80);
    CHECK_INT(pl_bf16_from_float(float_of(0x7F7F7FFF)), 0x7F7F);
    CHECK(isnan(pl_float_from_bf16(pl_bf16_from_float(float_of(0x7F800001)))));
}
