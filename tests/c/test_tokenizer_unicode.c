/* The character classes and the scanners that stand for regular expressions. */
#include "harness.h"

#include <string.h>

#include "text/tokenizer_parts.h"
#include "text/unicode/unicode.h"

/* Unicode 16.0 has this many L*, N* and White_Space characters; \w and Rust's is_numeric as tokenizers
   0.23.3 has them. */
TEST(class_sizes) {
    int count[4] = {0}, numeric = 0, words = 0, spaces = 0, both = 0;
    for (uint32_t point = 0; point < 0x110000; point++) {
        if (point >= 0xD800 && point <= 0xDFFF)
            continue;
        count[pl_unicode_class(point)]++;
        numeric += pl_unicode_is_numeric(point);
        words += pl_unicode_is_word(point);
        spaces += pl_unicode_is_space(point);
        both += pl_unicode_is_word(point) && pl_unicode_is_space(point);
    }
    CHECK_INT(count[PL_CHAR_LETTER], 141028);
    CHECK_INT(count[PL_CHAR_NUMBER], 1911);
    CHECK_INT(count[PL_CHAR_SPACE], 25);
    CHECK_INT(spaces, 25);
    CHECK_INT(numeric, 1924);
    CHECK_INT(words, 144667);
    CHECK_INT(both, 0);
}

TEST(some_characters) {
    static const struct {
        uint32_t point;
        pl_char_class class;
    } known[] = {{'a', PL_CHAR_LETTER},    {'Z', PL_CHAR_LETTER},     {'[', PL_CHAR_OTHER},
                 {'@', PL_CHAR_OTHER},     {'`', PL_CHAR_OTHER},      {'{', PL_CHAR_OTHER},
                 {'0', PL_CHAR_NUMBER},    {'9', PL_CHAR_NUMBER},     {':', PL_CHAR_OTHER},
                 {'/', PL_CHAR_OTHER},     {8, PL_CHAR_OTHER},        {9, PL_CHAR_SPACE},
                 {13, PL_CHAR_SPACE},      {14, PL_CHAR_OTHER},       {0x85, PL_CHAR_SPACE},
                 {0xA0, PL_CHAR_SPACE},    {0xAA, PL_CHAR_LETTER},    {0xB2, PL_CHAR_NUMBER},
                 {0xE9, PL_CHAR_LETTER},   {0xD7, PL_CHAR_OTHER},     {0x300, PL_CHAR_OTHER},
                 {0x660, PL_CHAR_NUMBER},  {0x180E, PL_CHAR_OTHER},   {0x200B, PL_CHAR_OTHER},
                 {0x2160, PL_CHAR_NUMBER}, {0x3000, PL_CHAR_SPACE},   {0x3042, PL_CHAR_LETTER},
                 {0x4E00, PL_CHAR_LETTER}, {0xAC00, PL_CHAR_LETTER},  {0xD7A3, PL_CHAR_LETTER},
                 {0xD7A4, PL_CHAR_OTHER},  {0xFEFF, PL_CHAR_OTHER},   {0x1D7D8, PL_CHAR_NUMBER},
                 {0x1F600, PL_CHAR_OTHER}, {0x323AF, PL_CHAR_LETTER}, {0x10FFFF, PL_CHAR_OTHER}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        CHECK_MSG(pl_unicode_class(known[i].point) == known[i].class, "U+%04X", (unsigned)known[i].point);
    CHECK(pl_unicode_is_numeric(0x11DE0) && pl_unicode_class(0x11DE0) == PL_CHAR_OTHER);
    CHECK(pl_unicode_is_word('_') && pl_unicode_is_word(0x301) && pl_unicode_is_word(0x200D) &&
          !pl_unicode_is_word('-'));
}

/* want: the pieces, with | between them. */
static void expect_pieces(pl_pattern pattern, const char *text, const char *want) {
    char got[200];
    size_t length = strlen(text), used = 0;
    for (size_t at = 0, step; at < length; at += step) {
        step = pl_scan_pattern(pattern, text + at, length - at);
        REQUIRE(step > 0 && step <= length - at && used + step + 2 < sizeof got);
        if (at > 0)
            got[used++] = '|';
        memcpy(got + used, text + at, step);
        used += step;
    }
    got[used] = '\0';
    CHECK_STR(got, want);
}

TEST(gpt2_pattern) {
    expect_pieces(PL_PATTERN_GPT2, "I'll don't IT'S 've", "I|'ll| don|'t| IT|'|S| '|ve");
    expect_pieces(PL_PATTERN_GPT2, "a  b   c ", "a| | b|  | c| ");
    expect_pieces(PL_PATTERN_GPT2, "x12 34.5!?", "x|12| 34|.|5|!?");
    expect_pieces(PL_PATTERN_GPT2, "a\n\nb\n", "a|\n|\n|b|\n");
    expect_pieces(PL_PATTERN_GPT2, "\xc3\xa9t\xc3\xa9\xe3\x80\x80\xe6\x97\xa5",
                  "\xc3\xa9t\xc3\xa9|\xe3\x80\x80|\xe6\x97\xa5");
}

TEST(llama3_pattern) {
    expect_pieces(PL_PATTERN_LLAMA3, "I'LL don't '\xc5\xbf", "I|'LL| don|'t| '|\xc5\xbf");
    expect_pieces(PL_PATTERN_LLAMA3, "x'\xc5\xbf", "x|'\xc5\xbf");
    expect_pieces(PL_PATTERN_LLAMA3, "1234567 12", "123|456|7| |12");
    expect_pieces(PL_PATTERN_QWEN2, "123", "1|2|3");
    expect_pieces(PL_PATTERN_LLAMA3, "$a !!\n\n x \n \n  y", "$a| !!\n\n| x| \n \n| | y");
    expect_pieces(PL_PATTERN_LLAMA3, "a\r\nb  \nc", "a|\r\n|b|  \n|c");
    expect_pieces(PL_PATTERN_LLAMA3, "\tab \tcd  ", "\tab| |\tcd|  ");
}

TEST(digits) {
    CHECK_INT(pl_scan_digits(true, "12a", 3), 1);
    CHECK_INT(pl_scan_digits(false, "12a", 3), 2);
    CHECK_INT(pl_scan_digits(true, "ab1", 3), 2);
    CHECK_INT(pl_scan_digits(false, "ab", 2), 2);
}
