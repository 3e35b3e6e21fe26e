/* A hash map from 64-bit keys to 64-bit values, with open addressing. Both of a tokenizer's look-ups use
 * it: from the hash of a token's text to its id, and from a pair of ids to its merge. */
#ifndef PL_TEXT_MAP_H
#define PL_TEXT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct pl_map_slot {
    uint64_t key, value; /* value + 1; 0 marks a free slot */
} pl_map_slot;

typedef struct pl_map {
    pl_memory *memory;
    pl_map_slot *slots;
    size_t count, capacity; /* capacity is a power of two */
    size_t probes;          /* work done by pl_map_put */
} pl_map;

typedef enum pl_map_result {
    PL_MAP_NEW,
    PL_MAP_EXISTS,     /* the value was not changed */
    PL_MAP_COLLISIONS, /* the keys are crafted to fall into the same slots; honest ones never come near that */
    PL_MAP_MEMORY
} pl_map_result;

/* Room for count keys; grows beyond that. False without memory. */
bool pl_map_make(pl_map *map, pl_memory *memory, size_t count);
void pl_map_free(pl_map *map);

/* value < UINT64_MAX. */
pl_map_result pl_map_put(pl_map *map, uint64_t key, uint64_t value);

/* False when absent. */
bool pl_map_get(const pl_map *map, uint64_t key, uint64_t *value);
/* Puts or overwrites. */
pl_map_result pl_map_set(pl_map *map, uint64_t key, uint64_t value);

/* 64-bit hash of bytes. */
uint64_t pl_map_hash(const char *bytes, size_t length);

#endif
