#include "io/utf8.h"

/* The length a lead byte announces and the range of the byte after it: that range is what excludes overlong
   forms (E0, F0), surrogates (ED) and numbers above U+10FFFF (F4). 0 for a byte that cannot lead. */
static int32_t lead(uint8_t byte, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xBF;
    if (byte < 0x80)
        return 1;
    if (byte >= 0xC2 && byte <= 0xDF)
        return 2;
    if (byte >= 0xE0 && byte <= 0xEF) {
        if (byte == 0xE0)
            *low = 0xA0;
        if (byte == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
        if (byte == 0xF0)
            *low = 0x90;
        if (byte == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

/* Counts the good bytes of the character at bytes[0]; *want is its announced length. */
static int32_t good_bytes(const char *bytes, size_t length, int32_t *want) {
    uint8_t low, high;
    *want = length ? lead((uint8_t)bytes[0], &low, &high) : 0;
    if (*want == 0)
        return 0;
    int32_t good = 1;
    while (good < *want && (size_t)good < length) {
        uint8_t byte = (uint8_t)bytes[good];
        if (byte < low || byte > high)
            break;
        low = 0x80;
        high = 0xBF;
        good++;
    }
    return good;
}

int32_t pl_utf8_next(const char *bytes, size_t length, uint32_t *point) {
    if (length && (uint8_t)bytes[0] < 0x80) {
        *point = (uint8_t)bytes[0];
        return 1;
    }
    int32_t want;
    if (good_bytes(bytes, length, &want) != want || want == 0)
        return 0;
    uint32_t value = (uint8_t)bytes[0] & (0x7Fu >> want);
    for (int32_t i = 1; i < want; i++)
        value = value << 6 | ((uint8_t)bytes[i] & 0x3Fu);
    *point = value;
    return want;
}

int32_t pl_utf8_bad(const char *bytes, size_t length, bool *truncated) {
    int32_t want;
    int32_t good = good_bytes(bytes, length, &want);
    if (truncated)
        *truncated = want > 0 && good < want && (size_t)good == length;
    return good > 0 ? good : 1;
}

int32_t pl_utf8_put(uint32_t point, char *out) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    int32_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (int32_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80u | (point & 0x3Fu));
    out[0] = (char)((0xF00u >> length & 0xF0u) | point);
    return length;
}

bool pl_utf8_valid(const char *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int32_t step = pl_utf8_next(bytes + at, length - at, &point);
        if (step == 0)
            return false;
        at += (size_t)step;
    }
    return true;
}
