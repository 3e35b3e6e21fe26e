/* Linear probing in a table at most half full. */
#include "text/map.h"

#include <string.h>

static size_t slot_of(const pl_map *map, uint64_t key) {
    key = (key ^ key >> 32) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing: the high bits are the good ones */
    return (size_t)(key >> 32) & (map->capacity - 1);
}

bool pl_map_make(pl_map *map, pl_memory *memory, size_t count) {
    *map = (pl_map){.memory = memory, .capacity = 16};
    while (map->capacity / 2 < count && map->capacity <= SIZE_MAX / 4)
        map->capacity *= 2;
    map->slots = pl_memory_alloc(memory, map->capacity, sizeof *map->slots);
    return map->slots != NULL;
}

void pl_map_free(pl_map *map) {
    if (map->memory)
        pl_memory_free(map->memory, map->slots);
    *map = (pl_map){0};
}

/* The key's slot, or the free one where it would go. */
static pl_map_slot *find_slot(const pl_map *map, uint64_t key, size_t *probes) {
    size_t at = slot_of(map, key);
    while (map->slots[at].value != 0 && map->slots[at].key != key) {
        at = (at + 1) & (map->capacity - 1);
        (*probes)++;
    }
    return &map->slots[at];
}

static bool grow(pl_map *map) {
    pl_map larger;
    if (!pl_map_make(&larger, map->memory, map->capacity))
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].value != 0)
            *find_slot(&larger, map->slots[i].key, &map->probes) = map->slots[i];
    pl_memory_free(map->memory, map->slots);
    map->slots = larger.slots;
    map->capacity = larger.capacity;
    return true;
}

static pl_map_result put(pl_map *map, uint64_t key, uint64_t value, bool overwrite) {
    /* Half full, so an honest key needs 1.5 probes; crafted ones may cost 100,000 before they are refused. */
    enum { PROBES_PER_KEY = 16, PROBES_FREE = 100000 };
    if (map->count >= map->capacity / 2 && !grow(map))
        return PL_MAP_MEMORY;
    pl_map_slot *slot = find_slot(map, key, &map->probes);
    bool exists = slot->value != 0;
    if (!exists || overwrite)
        *slot = (pl_map_slot){key, value + 1};
    map->count += !exists;
    if (map->probes > PROBES_FREE + PROBES_PER_KEY * map->count)
        return PL_MAP_COLLISIONS;
    return exists ? PL_MAP_EXISTS : PL_MAP_NEW;
}

pl_map_result pl_map_put(pl_map *map, uint64_t key, uint64_t value) { return put(map, key, value, false); }

pl_map_result pl_map_set(pl_map *map, uint64_t key, uint64_t value) { return put(map, key, value, true); }

bool pl_map_get(const pl_map *map, uint64_t key, uint64_t *value) {
    size_t probes = 0;
    uint64_t found = find_slot(map, key, &probes)->value;
    *value = found - 1;
    return found != 0;
}

uint64_t pl_map_hash(const char *bytes, size_t length) {
    uint64_t hash = length * 0x9e3779b97f4a7c15u, word;
    for (; length >= 8; length -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xbf58476d1ce4e5b9u;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, bytes, length);
    hash = (hash ^ word) * 0x94d049bb133111ebu;
    hash ^= hash >> 32;
    return hash * 0xbf58476d1ce4e5b9u;
}
