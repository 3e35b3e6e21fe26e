/* All strings in one block, found by their hash. */
#include "text/vocab.h"

#include <string.h>

pl_status pl_vocab_make(pl_vocab *vocab, pl_memory *memory, size_t text_bytes, size_t tokens,
                        int32_t ids_capacity, pl_error *error) {
    *vocab = (pl_vocab){.memory = memory, .capacity = text_bytes, .ids_capacity = ids_capacity};
    vocab->bytes = text_bytes < UINT32_MAX ? pl_memory_alloc(memory, text_bytes, 1) : NULL;
    vocab->entries = pl_memory_alloc(memory, (size_t)ids_capacity, sizeof *vocab->entries);
    if (!vocab->bytes || !vocab->entries || !pl_map_make(&vocab->lookup, memory, tokens))
        return pl_fail(error, PL_ERR_MEMORY, "no memory for a vocabulary of %d tokens", (int)ids_capacity);
    return PL_OK;
}

void pl_vocab_free(pl_vocab *vocab) {
    if (!vocab->memory)
        return;
    pl_memory_free(vocab->memory, vocab->bytes);
    pl_memory_free(vocab->memory, vocab->entries);
    pl_map_free(&vocab->lookup);
    *vocab = (pl_vocab){0};
}

pl_status pl_vocab_add(pl_vocab *vocab, const char *text, size_t length, int32_t id, pl_error *error) {
    if (length == 0)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: the token with id %d is empty", (int)id);
    if (id < 0 || id >= vocab->ids_capacity)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: id %d of \"%.60s\" is outside 0..%d", (int)id,
                       text, (int)vocab->ids_capacity - 1);
    if (vocab->entries[id].length != 0)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: id %d belongs to both \"%.60s\" and \"%.60s\"",
                       (int)id, vocab->bytes + vocab->entries[id].start, text);
    if (length >= vocab->capacity - vocab->used)
        return pl_fail(error, PL_ERR_MEMORY, "tokenizer.json: \"%.60s\" does not fit in the vocabulary",
                       text);
    switch (pl_map_put(&vocab->lookup, pl_map_hash(text, length), (uint64_t)id)) {
    case PL_MAP_NEW:
        break;
    case PL_MAP_MEMORY:
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the vocabulary");
    case PL_MAP_EXISTS: /* the same text again, or (2^-64) another text with the same hash */
    case PL_MAP_COLLISIONS:
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: \"%.60s\" collides with another token", text);
    }
    memcpy(vocab->bytes + vocab->used, text, length);
    vocab->entries[id].start = (uint32_t)vocab->used;
    vocab->entries[id].length = (int32_t)length;
    vocab->used += length;
    vocab->bytes[vocab->used++] = '\0';
    if (id >= vocab->ids)
        vocab->ids = id + 1;
    return PL_OK;
}

const char *pl_vocab_text(const pl_vocab *vocab, int32_t id, size_t *length) {
    *length = id >= 0 && id < vocab->ids ? (size_t)vocab->entries[id].length : 0;
    return *length ? vocab->bytes + vocab->entries[id].start : NULL;
}

int32_t pl_vocab_find(const pl_vocab *vocab, const char *text, size_t length) {
    uint64_t id;
    if (length == 0 || !vocab->memory || !pl_map_get(&vocab->lookup, pl_map_hash(text, length), &id))
        return -1;
    size_t found_length;
    const char *found = pl_vocab_text(vocab, (int32_t)id, &found_length);
    return found_length == length && memcmp(found, text, length) == 0 ? (int32_t)id : -1;
}
