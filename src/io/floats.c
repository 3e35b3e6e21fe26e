#include "io/floats.h"

#include <string.h>

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* 1 sign, 5 exponent (bias 15), 10 fraction bits. */
float pl_float_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (uint32_t)half >> 10 & 0x1Fu;
    uint32_t fraction = half & 0x3FFu;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact in float */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 31)
        return from_bits(sign | 0x7F800000u | fraction << 13);
    return from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

float pl_float_from_bf16(uint16_t half) { return from_bits((uint32_t)half << 16); }

/* Drops the low `drop` bits of value, rounding to nearest, ties to even. A carry into the exponent field is
   right. */
static uint32_t round_off(uint32_t value, uint32_t drop) {
    uint32_t half = 1u << (drop - 1), odd = value >> drop & 1u;
    return (value + half - 1 + odd) >> drop;
}

uint16_t pl_f16_from_float(float value) {
    uint32_t bits = to_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u);
    if (magnitude >= 0x47800000u) /* 65536 and more, infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (magnitude >= 0x38800000u) /* normal in f16: 2^-14 and more; may round up to infinity */
        return (uint16_t)(sign | round_off(magnitude - (112u << 23), 13));
    if (magnitude < 0x33000000u) /* below 2^-25: rounds to zero */
        return (uint16_t)sign;
    uint32_t shift = 126 - (magnitude >> 23); /* 14..24: a subnormal counts units of 2^-24 */
    return (uint16_t)(sign | round_off((magnitude & 0x7FFFFFu) | 0x800000u, shift));
}

uint16_t pl_bf16_from_float(float value) {
    uint32_t bits = to_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 |
                          0x40u); /* keep a NaN whose payload is in the low bits from becoming infinity */
    return (uint16_t)round_off(bits, 16);
}
