/* All memory of one session. Blocks come from malloc, are zeroed and 64-byte aligned, and are counted, so that
   - freeing the session frees everything, whatever failed half-way;
   - a test can assert that a training step allocates nothing (allocation_count does not move);
   - a test can make the n-th allocation fail (fail_at) and watch every caller recover.
   Why not one bump arena: modules, models and runs come and go in any order while the user plays; within each of them
   a pl_layout (layout.h) places all tensors in ONE block, which is where the arena's advantages really are. */
#ifndef PL_BASE_MEMORY_H
#define PL_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct pl_chunk pl_chunk; /* header in front of every block; memory.c */

typedef struct pl_memory {
    pl_chunk *blocks;         /* doubly linked list of live blocks */
    size_t bytes, peak_bytes; /* live and largest total payload */
    size_t limit_bytes;       /* 0 = no limit of our own */
    int64_t allocation_count; /* allocations made so far */
    int64_t fail_at;          /* > 0: the allocation with this number returns NULL (fault injection) */
} pl_memory;

/* Zeroed, aligned to 64 bytes. NULL when count*size overflows, the limit is passed, or malloc refuses. count 0 gives a
   valid pointer to nothing. The block belongs to memory until pl_memory_free. count has 64 bits where addresses have 32, too:
   sizes are products of what files and people ask for, and cut to 32 bits a huge one would look small. */
void *pl_memory_alloc(pl_memory *memory, uint64_t count, size_t size);

/* Frees one block (NULL is allowed). */
void pl_memory_free(pl_memory *memory, void *pointer);

/* Frees every block that is left. */
void pl_memory_free_all(pl_memory *memory);

/* A copy of a string with its terminator, or NULL. */
char *pl_memory_copy_text(pl_memory *memory, const char *text, size_t length);

#endif
