/* Cutting a block into pieces. */
#include "base/pieces.h"

enum { LINE_BYTES = 64, LINE_REALS = 16 /* a cache line of float */ };

real *pl_pieces_take(pl_pieces *pieces, int64_t count) {
    real *piece = pieces->base ? pieces->base + pieces->used : NULL;
    pieces->used += (count + LINE_REALS - 1) / LINE_REALS * LINE_REALS;
    return piece;
}

void *pl_pieces_block(pl_memory *memory, size_t head, const pl_pieces *measured, real **base) {
    const size_t lines = (head + LINE_BYTES - 1) / LINE_BYTES;
    const uint64_t bytes = (uint64_t)measured->used * sizeof(real);
    char *block = pl_memory_alloc(memory, lines + bytes / LINE_BYTES, LINE_BYTES);
    *base = block ? (real *)(void *)(block + lines * LINE_BYTES) : NULL;
    return block;
}
