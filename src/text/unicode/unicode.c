/* Looking a character up in the tables of runs. */
#include "text/unicode/unicode.h"

/* Inside a run: the number of edges <= point is odd. */
static bool in_set(const pl_unicode_set *set, uint32_t point) {
    int32_t mark = 0;
    while (mark + 1 < set->mark_count && set->marks[mark + 1].point <= point)
        mark++;
    uint32_t edge = set->marks[mark].point;
    bool inside = false;
    for (int32_t at = set->marks[mark].at; at < set->size; inside = !inside) {
        uint32_t step = 0, shift = 0, byte;
        do {
            byte = set->steps[at++];
            step |= (byte & 0x7Fu) << shift;
            shift += 7;
        } while (byte & 0x80u);
        edge += step;
        if (edge > point)
            return inside;
    }
    return false;
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
    if ((point >= 0x4E00 && point <= 0x9FFF) ||
        (point >= 0xAC00 && point <= 0xD7A3)) /* the usual Chinese and Korean */
        return PL_CHAR_LETTER;
    if (in_set(&pl_unicode_letters, point))
        return PL_CHAR_LETTER;
    if (in_set(&pl_unicode_numbers, point))
        return PL_CHAR_NUMBER;
    return pl_unicode_is_space(point) ? PL_CHAR_SPACE : PL_CHAR_OTHER;
}

bool pl_unicode_is_numeric(uint32_t point) {
    return in_set(&pl_unicode_numbers, point) ||
           (point >= 0x11DE0 && point <= 0x11DE9) || /* Tolong Siki digits, new in Unicode 17 */
           (point >= 0x16FF4 && point <= 0x16FF6);   /* Yangqin signs, new in Unicode 17 */
}

bool pl_unicode_is_word(uint32_t point) { return in_set(&pl_unicode_words, point); }
