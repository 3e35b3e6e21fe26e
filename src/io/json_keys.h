/* A set of the keys seen in a JSON text, to find duplicates in linear time. Keys are compared by what they
 * mean ("a" and "\u0061" are the same key), without copying them. */
#ifndef PL_IO_JSON_KEYS_H
#define PL_IO_JSON_KEYS_H

#include <stddef.h>
#include <stdint.h>

typedef struct pl_key_entry {
    uint64_t hash;
    size_t start, length; /* raw characters between the quotes */
    uint32_t object;      /* 0: free slot */
} pl_key_entry;

/* Zero-initialise. Memory comes from malloc: a JSON document does not belong to a session. */
typedef struct pl_key_set {
    pl_key_entry *slots;
    size_t count, capacity; /* capacity is 0 or a power of two */
    size_t probes;          /* work so far, bounded so that crafted collisions cannot make it quadratic */
} pl_key_set;

typedef enum pl_key_set_result {
    PL_KEY_SET_NEW,
    PL_KEY_SET_DUPLICATE,
    PL_KEY_SET_COLLISIONS,
    PL_KEY_SET_MEMORY
} pl_key_set_result;

/* Adds the key at text[start, start + length), which must be a checked JSON string, to the object numbered
   object > 0. */
pl_key_set_result pl_key_set_add(pl_key_set *keys, uint32_t object, const char *text, size_t start,
                                 size_t length);
void pl_key_set_free(pl_key_set *keys);

#endif
