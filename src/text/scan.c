/* The known pre-tokenisation patterns, by hand. Each scanner returns the length of the first match at
 * text[0]; the alternatives are tried in the order of the pattern, as a backtracking engine does. */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"
#include "text/unicode/unicode.h"

/* One character of the text. length 0: the end. */
typedef struct glyph {
    uint32_t point;
    size_t length;
    pl_char_class class;
} glyph;

static glyph glyph_at(const char *text, size_t length, size_t at) {
    glyph g = {0, 0, PL_CHAR_OTHER};
    if (at < length) {
        g.length = (size_t)pl_utf8_next(text + at, length - at, &g.point);
        g.class = pl_unicode_class(g.point);
    }
    return g;
}

static bool is(glyph g, pl_char_class class) { return g.length > 0 && g.class == class; }

static bool is_newline(glyph g) { return g.length > 0 && (g.point == '\n' || g.point == '\r'); }

/* End of the run of class that begins at `at`, of at most `most` characters. */
static size_t run_end(const char *text, size_t length, size_t at, pl_char_class class, size_t most) {
    for (; most > 0; most--) {
        glyph g = glyph_at(text, length, at);
        if (!is(g, class))
            break;
        at += g.length;
    }
    return at;
}

/* 's 't 're 've 'm 'll 'd; 0 when none stands here. With ignore_case also 'S … and the long s (U+017F),
   which folds to s. */
static size_t contraction(const char *text, size_t length, bool ignore_case) {
    static const char *const pairs[] = {"re", "ve", "ll"};
    if (length < 2 || text[0] != '\'')
        return 0;
    char low[2] = {text[1], length > 2 ? text[2] : '\0'};
    for (int i = 0; i < 2 && ignore_case; i++)
        if (low[i] >= 'A' && low[i] <= 'Z')
            low[i] = (char)(low[i] | 0x20);
    if (low[0] == 's' || low[0] == 't' || low[0] == 'm' || low[0] == 'd')
        return 2;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (memcmp(low, pairs[i], 2) == 0)
            return 3;
    if (ignore_case && length >= 3 && memcmp(text + 1, "\xC5\xBF", 2) == 0)
        return 3;
    return 0;
}

/* \s+(?!\S)|\s+ : a run of spaces, but its last one is left to what follows, unless nothing does. */
static size_t spaces(const char *text, size_t length) {
    size_t at = 0, last = 0; /* last: where the last space of the run begins */
    for (glyph g = glyph_at(text, length, 0); is(g, PL_CHAR_SPACE); g = glyph_at(text, length, at)) {
        last = at;
        at += g.length;
    }
    return at == length || last == 0 ? at : last;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t scan_gpt2(const char *text, size_t length) {
    size_t found = contraction(text, length, false);
    if (found)
        return found;
    glyph g = glyph_at(text, length, 0);
    size_t start = 0;
    if (g.point == ' ') {
        glyph next = glyph_at(text, length, g.length);
        if (next.length > 0 && next.class != PL_CHAR_SPACE) {
            start = g.length;
            g = next;
        }
    }
    return g.class == PL_CHAR_SPACE ? spaces(text, length) : run_end(text, length, start, g.class, length);
}

/* \s*[\r\n]+ : the run of spaces up to its last line break; 0 without one. */
static size_t line_breaks(const char *text, size_t length) {
    size_t at = 0, end = 0;
    for (glyph g = glyph_at(text, length, 0); is(g, PL_CHAR_SPACE); g = glyph_at(text, length, at)) {
        at += g.length;
        if (is_newline(g))
            end = at;
    }
    return end;
}

/* With at most `digits` numbers in the third alternative (3 here):
   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t scan_llama3(const char *text, size_t length, size_t digits) {
    size_t found = contraction(text, length, true);
    if (found)
        return found;
    glyph g = glyph_at(text, length, 0), next = glyph_at(text, length, g.length);
    if (g.class == PL_CHAR_LETTER)
        return run_end(text, length, 0, PL_CHAR_LETTER, length);
    if (g.class == PL_CHAR_NUMBER)
        return run_end(text, length, 0, PL_CHAR_NUMBER, digits);
    if (!is_newline(g) && is(next, PL_CHAR_LETTER))
        return run_end(text, length, g.length, PL_CHAR_LETTER, length);
    if (g.class == PL_CHAR_OTHER || (g.point == ' ' && is(next, PL_CHAR_OTHER))) {
        size_t at = run_end(text, length, g.class == PL_CHAR_OTHER ? 0 : g.length, PL_CHAR_OTHER, length);
        while (at < length && (text[at] == '\n' || text[at] == '\r'))
            at++;
        return at;
    }
    found = line_breaks(text, length);
    return found ? found : spaces(text, length);
}

size_t pl_scan_pattern(pl_pattern pattern, const char *text, size_t length) {
    switch (pattern) {
    case PL_PATTERN_GPT2:
        return scan_gpt2(text, length);
    case PL_PATTERN_LLAMA3:
        return scan_llama3(text, length, 3);
    case PL_PATTERN_QWEN2:
        return scan_llama3(text, length, 1);
    }
    return length;
}

size_t pl_scan_digits(bool individual, const char *text, size_t length) {
    uint32_t point;
    size_t at = (size_t)pl_utf8_next(text, length, &point);
    bool numeric = pl_unicode_is_numeric(point);
    if (numeric && individual)
        return at;
    while (at < length) {
        size_t step = (size_t)pl_utf8_next(text + at, length - at, &point);
        if (pl_unicode_is_numeric(point) != numeric)
            break;
        at += step;
    }
    return at;
}
