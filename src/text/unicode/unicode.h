/* Character classes as the regular expressions of tokenizer.json files see them. The tables are made by
 * make_tables.py, which asks the `tokenizers` library (0.23.3): \p{L}, \p{N}, \s of Unicode 16.0. */
#ifndef PL_TEXT_UNICODE_UNICODE_H
#define PL_TEXT_UNICODE_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/* A set of characters as the edges of its runs, ascending: where the first run begins, where it ends
   (exclusive), and so on. steps holds the distances from edge to edge in LEB128; reading can start at any
   mark, which stands before a run. */
typedef struct pl_unicode_mark {
    uint32_t point; /* the edge before, 0 at the first mark */
    int32_t at;     /* in steps */
} pl_unicode_mark;

typedef struct pl_unicode_set {
    const uint8_t *steps;
    int32_t size;
    const pl_unicode_mark *marks;
    int32_t mark_count;
} pl_unicode_set;

extern const pl_unicode_set pl_unicode_letters, pl_unicode_numbers, pl_unicode_words;

typedef enum pl_char_class { PL_CHAR_OTHER, PL_CHAR_LETTER, PL_CHAR_NUMBER, PL_CHAR_SPACE } pl_char_class;

/* \p{L}, \p{N}, \s or none of them; no character is in two. */
pl_char_class pl_unicode_class(uint32_t point);

/* char::is_numeric of the Rust that tokenizers is built with: \p{N} of Unicode 17. The Digits pre-tokeniser
   uses it. */
bool pl_unicode_is_numeric(uint32_t point);

/* \w; asked on both sides of single_word tokens. */
bool pl_unicode_is_word(uint32_t point);

bool pl_unicode_is_space(uint32_t point);

#endif
