#include "text/unicode/unicode.h"

/* Inside a run: the number of edges <= point is odd. */
static bool in_runs(const uint32_t *edges, int32_t count, uint32_t point) {
    int32_t low = 0, high = count; /* edges[low - 1] <= point < edges[high] */
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (edges[middle] <= point)
            low = middle + 1;
        else
            high = middle;
    }
    return low & 1;
}

bool pl_unicode_is_space(uint32_t point) {
    if (point < 0x80)
        return point == ' ' || (point >= 9 && point <= 13);
    return point == 0x85 || point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) ||
           point == 0x2028 || point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

pl_char_class pl_unicode_class(uint32_t point) {
    if (point < 0x80) {
        uint32_t lower = point | 0x20;
        if (lower >= 'a' && lower <= 'z')
            return PL_CHAR_LETTER;
        if (point >= '0' && point <= '9')
            return PL_CHAR_NUMBER;
        return pl_unicode_is_space(point) ? PL_CHAR_SPACE : PL_CHAR_OTHER;
    }
    if (point >= 0x4E00 && point <= 0x9FFF) /* the usual Chinese characters: all letters */
        return PL_CHAR_LETTER;
    if (in_runs(pl_unicode_letters, pl_unicode_letters_count, point))
        return PL_CHAR_LETTER;
    if (in_runs(pl_unicode_numbers, pl_unicode_numbers_count, point))
        return PL_CHAR_NUMBER;
    return pl_unicode_is_space(point) ? PL_CHAR_SPACE : PL_CHAR_OTHER;
}

bool pl_unicode_is_numeric(uint32_t point) {
    return in_runs(pl_unicode_numbers, pl_unicode_numbers_count, point) ||
           (point >= 0x11DE0 && point <= 0x11DE9) || /* Tolong Siki digits, new in Unicode 17 */
           (point >= 0x16FF4 && point <= 0x16FF6);   /* Yangqin signs, new in Unicode 17 */
}

bool pl_unicode_is_word(uint32_t point) { return in_runs(pl_unicode_words, pl_unicode_words_count, point); }
