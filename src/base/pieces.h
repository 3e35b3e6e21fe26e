/* One block cut into pieces, each on cache lines of its own. The same calls first measure (base NULL) and then place, so what is
   allocated and what is used cannot drift apart. */
#ifndef PL_BASE_PIECES_H
#define PL_BASE_PIECES_H

#include <stdint.h>

#include "base/memory.h"
#include "base/real.h"

typedef struct pl_pieces {
    real *base; /* NULL: only adds up */
    /* reals handed out, gaps included; 64 bits, so that no size wraps around where addresses have 32 */
    int64_t used;
} pl_pieces;

/* The next piece of count reals; NULL while measuring. */
real *pl_pieces_take(pl_pieces *pieces, int64_t count);

/* A block for a header of head bytes and, behind it, as many reals as were measured; *base receives where they begin. NULL when
   memory is refused. */
void *pl_pieces_block(pl_memory *memory, size_t head, const pl_pieces *measured, real **base);

#endif
