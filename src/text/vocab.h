/* The strings of a vocabulary: id -> text and text -> id. */
#ifndef PL_TEXT_VOCAB_H
#define PL_TEXT_VOCAB_H

#include "base/status.h"
#include "text/map.h"

enum { PL_VOCAB_IDS_MAX = 1 << 20 }; /* the largest published vocabularies have 262,144 ids */

typedef struct pl_vocab {
    pl_memory *memory;
    char *bytes; /* all strings, each with a terminator */
    size_t used, capacity;
    struct pl_vocab_entry {
        uint32_t start; /* in bytes */
        int32_t length; /* 0: no token has this id */
    } * entries;        /* [ids_capacity] */
    int32_t ids;        /* largest id + 1 */
    int32_t ids_capacity;
    pl_map lookup; /* hash of the text -> id */
} pl_vocab;

/* Room for `tokens` tokens of text_bytes in all (terminators included) with ids below ids_capacity. */
pl_status pl_vocab_make(pl_vocab *vocab, pl_memory *memory, size_t text_bytes, size_t tokens,
                        int32_t ids_capacity, pl_error *error);
void pl_vocab_free(pl_vocab *vocab);

/* Adds a token. Refuses: empty text, id outside the capacity, text or id already there. */
pl_status pl_vocab_add(pl_vocab *vocab, const char *text, size_t length, int32_t id, pl_error *error);

/* -1 when no token has this text. */
int32_t pl_vocab_find(const pl_vocab *vocab, const char *text, size_t length);

/* NULL (and length 0) when no token has this id. */
const char *pl_vocab_text(const pl_vocab *vocab, int32_t id, size_t *length);

#endif
