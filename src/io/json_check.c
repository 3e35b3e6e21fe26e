#include "io/json_check.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/json_keys.h"
#include "io/utf8.h"

typedef struct checker {
    const char *text, *end, *at;
    const char *what;
    pl_error *error;
    pl_key_set keys;
    uint32_t objects; /* objects opened so far: names the one a key belongs to */
    int32_t depth;
} checker;

static pl_status check_value(checker *c);

/* "what:line:column: sentence", for the character at c->at. */
static pl_status broken(const checker *c, const char *sentence) {
    size_t line = 1, column = 1;
    for (const char *p = c->text; p < c->at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((uint8_t)*p & 0xC0u) != 0x80u) {
            column++;
        }
    }
    return pl_fail(c->error, PL_ERR_FORMAT, "%s:%zu:%zu: %s", c->what, line, column, sentence);
}

static void skip_space(checker *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool at_char(const checker *c, char wanted) { return c->at < c->end && *c->at == wanted; }

static bool at_digit(const checker *c) { return c->at < c->end && *c->at >= '0' && *c->at <= '9'; }

static void skip_digits(checker *c) {
    while (at_digit(c))
        c->at++;
}

/* Reads the number again to see whether it overflows a double. Only called for those that could. */
static pl_status check_finite(checker *c, const char *start) {
    size_t length = (size_t)(c->at - start);
    char *copy = malloc(length + 1);
    if (!copy)
        return pl_fail(c->error, PL_ERR_MEMORY, "%s: no memory for a number of %zu characters", c->what,
                       length);
    memcpy(copy, start, length);
    copy[length] = '\0';
    bool finite = isfinite(strtod(copy, NULL));
    free(copy);
    if (finite)
        return PL_OK;
    c->at = start;
    return broken(c, "this number is too large for a 64-bit float");
}

static pl_status check_number(checker *c) {
    enum { ALWAYS_FINITE = 300 }; /* characters without exponent: the largest double has 309 digits */
    const char *start = c->at;
    if (at_char(c, '-'))
        c->at++;
    if (!at_digit(c))
        return broken(c, "expected a digit");
    if (*c->at++ == '0') {
        if (at_digit(c))
            return broken(c, "a number may not begin with 0");
    } else {
        skip_digits(c);
    }
    if (at_char(c, '.')) {
        c->at++;
        if (!at_digit(c))
            return broken(c, "expected a digit after the decimal point");
        skip_digits(c);
    }
    bool exponent = at_char(c, 'e') || at_char(c, 'E');
    if (exponent) {
        c->at++;
        if (at_char(c, '+') || at_char(c, '-'))
            c->at++;
        if (!at_digit(c))
            return broken(c, "expected a digit in the exponent");
        skip_digits(c);
    }
    if (exponent || c->at - start > ALWAYS_FINITE)
        return check_finite(c, start);
    return PL_OK;
}

/* The number of a "\uXXXX" at p, or -1. */
static int32_t hex4(const char *p, const char *end) {
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int32_t value = 0;
    for (int i = 2; i < 6; i++) {
        char ch = p[i];
        int32_t digit = ch >= '0' && ch <= '9'   ? ch - '0'
                        : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                        : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static pl_status check_escape(checker *c) {
    if (c->end - c->at < 2)
        return broken(c, "the text ends inside a string");
    if (c->at[1] != 'u') {
        if (!c->at[1] || !strchr("\"\\/bfnrt", c->at[1]))
            return broken(c, "unknown escape sequence");
        c->at += 2;
        return PL_OK;
    }
    int32_t unit = hex4(c->at, c->end);
    if (unit < 0)
        return broken(c, "\\u needs four hexadecimal digits");
    if (unit == 0)
        return broken(c, "\\u0000 is not allowed");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return broken(c, "a low surrogate without a high one before it");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        int32_t low = hex4(c->at + 6, c->end);
        if (low < 0xDC00 || low > 0xDFFF)
            return broken(c, "a high surrogate without a low one behind it");
        c->at += 6;
    }
    c->at += 6;
    return PL_OK;
}

/* A string with its quotes. */
static pl_status check_string(checker *c) {
    if (!at_char(c, '"'))
        return broken(c, "expected a string in double quotes");
    c->at++;
    while (c->at < c->end && *c->at != '"') {
        uint8_t byte = (uint8_t)*c->at;
        if (byte == '\\') {
            PL_TRY(check_escape(c));
        } else if (byte < 0x20) {
            return broken(c, "control characters must be escaped in a string");
        } else if (byte < 0x80) {
            c->at++;
        } else {
            uint32_t point;
            int32_t step = pl_utf8_next(c->at, (size_t)(c->end - c->at), &point);
            if (step == 0)
                return broken(c, "this is not valid UTF-8");
            c->at += step;
        }
    }
    if (c->at >= c->end)
        return broken(c, "the text ends inside a string");
    c->at++;
    return PL_OK;
}

static pl_status check_key(checker *c, uint32_t object) {
    const char *start = c->at;
    PL_TRY(check_string(c));
    const char *after = c->at;
    pl_key_set_result result =
        pl_key_set_add(&c->keys, object, c->text, (size_t)(start + 1 - c->text), (size_t)(after - start - 2));
    if (result == PL_KEY_SET_NEW)
        return PL_OK;
    if (result == PL_KEY_SET_MEMORY)
        return pl_fail(c->error, PL_ERR_MEMORY, "%s: no memory for its keys", c->what);
    c->at = start;
    return broken(c, result == PL_KEY_SET_DUPLICATE ? "this key was already used in the same object"
                                                    : "these keys are made to collide");
}

static pl_status check_object(checker *c) {
    uint32_t object = ++c->objects;
    c->at++;
    skip_space(c);
    if (at_char(c, '}')) {
        c->at++;
        return PL_OK;
    }
    for (;;) {
        skip_space(c);
        PL_TRY(check_key(c, object));
        skip_space(c);
        if (!at_char(c, ':'))
            return broken(c, "expected ':' after a key");
        c->at++;
        PL_TRY(check_value(c));
        skip_space(c);
        if (!at_char(c, ',') && !at_char(c, '}'))
            return broken(c, "expected ',' or '}' after a value");
        if (*c->at++ == '}')
            return PL_OK;
    }
}

static pl_status check_array(checker *c) {
    c->at++;
    skip_space(c);
    if (at_char(c, ']')) {
        c->at++;
        return PL_OK;
    }
    for (;;) {
        PL_TRY(check_value(c));
        skip_space(c);
        if (!at_char(c, ',') && !at_char(c, ']'))
            return broken(c, "expected ',' or ']' after a value");
        if (*c->at++ == ']')
            return PL_OK;
    }
}

static pl_status check_word(checker *c) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(c->end - c->at) >= length && memcmp(c->at, words[i], length) == 0) {
            c->at += length;
            return PL_OK;
        }
    }
    return broken(c, c->at < c->end ? "expected a value" : "the text ends where a value is expected");
}

static pl_status check_value(checker *c) {
    skip_space(c);
    if (at_char(c, '{') || at_char(c, '[')) {
        if (c->depth == PL_JSON_DEPTH)
            return broken(c, "nested deeper than 16 levels");
        c->depth++;
        pl_status status = *c->at == '{' ? check_object(c) : check_array(c);
        c->depth--;
        return status;
    }
    if (at_char(c, '"'))
        return check_string(c);
    if (at_char(c, '-') || at_digit(c))
        return check_number(c);
    return check_word(c);
}

pl_status pl_json_check(const char *text, size_t length, const char *what, pl_error *error) {
    checker c = {.text = text, .end = text + length, .at = text, .what = what, .error = error};
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return broken(&c, "the file begins with a byte order mark; save it as UTF-8 without one");
    pl_status status = check_value(&c);
    if (status == PL_OK) {
        skip_space(&c);
        if (c.at < c.end)
            status = broken(&c, "unexpected text after the value");
    }
    pl_key_set_free(&c.keys);
    return status;
}

_Static_assert(PL_JSON_DEPTH == 16, "the message above names the limit");
