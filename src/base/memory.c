/* Blocks from malloc, each behind a header that links it into its session's list. */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { PL_ALIGN = 64 };

/* Sits in the PL_ALIGN bytes in front of the payload. */
struct pl_chunk {
    pl_chunk *next, *previous;
    void *raw; /* what malloc returned */
    size_t bytes;
};

_Static_assert(sizeof(pl_chunk) <= PL_ALIGN, "the header must fit in front of the payload");

static pl_chunk *chunk_of(void *pointer) { return (pl_chunk *)(void *)((char *)pointer - PL_ALIGN); }

void *pl_memory_alloc(pl_memory *memory, uint64_t count, size_t size) {
    memory->allocation_count++;
    if (memory->fail_at > 0 && memory->allocation_count == memory->fail_at)
        return NULL;
    if (size != 0 && count > (SIZE_MAX - 2 * PL_ALIGN) / size)
        return NULL;
    size_t bytes = (size_t)count * size;
    if (memory->limit_bytes && (bytes > memory->limit_bytes || memory->bytes > memory->limit_bytes - bytes))
        return NULL;
    char *raw = malloc(bytes + 2 * PL_ALIGN);
    if (!raw)
        return NULL;
    size_t skew = (PL_ALIGN - ((uintptr_t)raw & (PL_ALIGN - 1))) & (PL_ALIGN - 1);
    char *payload = raw + skew + PL_ALIGN;
    memset(payload, 0, bytes);
    pl_chunk *block = chunk_of(payload);
    *block = (pl_chunk){.next = memory->blocks, .raw = raw, .bytes = bytes};
    if (memory->blocks)
        memory->blocks->previous = block;
    memory->blocks = block;
    memory->bytes += bytes;
    if (memory->bytes > memory->peak_bytes)
        memory->peak_bytes = memory->bytes;
    return payload;
}

void pl_memory_free(pl_memory *memory, void *pointer) {
    if (!pointer)
        return;
    pl_chunk *block = chunk_of(pointer);
    if (block->previous)
        block->previous->next = block->next;
    else
        memory->blocks = block->next;
    if (block->next)
        block->next->previous = block->previous;
    memory->bytes -= block->bytes;
    free(block->raw);
}

void pl_memory_free_all(pl_memory *memory) {
    while (memory->blocks)
        pl_memory_free(memory, (char *)memory->blocks + PL_ALIGN);
}

char *pl_memory_copy_text(pl_memory *memory, const char *text, size_t length) {
    char *copy = pl_memory_alloc(memory, length + 1, 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}
