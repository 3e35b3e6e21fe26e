#include "io/json_keys.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"

/* Walks a checked JSON string and gives its meaning as UTF-8 bytes. */
typedef struct reader {
    const char *at, *end;
    char pending[4]; /* rest of an escaped character */
    int32_t count, given;
} reader;

static uint32_t hex_value(const char *digits) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char ch = digits[i];
        value = value * 16 + (uint32_t)(ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    return value;
}

static void read_escape(reader *r) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char kind = r->at[1];
    uint32_t point = (uint8_t)kind; /* \" \\ \/ stand for themselves */
    const char *found = strchr(from, kind);
    if (found)
        point = (uint8_t)to[found - from];
    r->at += 2;
    if (kind == 'u') {
        point = hex_value(r->at);
        r->at += 4;
        if (point >= 0xD800 && point <= 0xDBFF) {
            point = 0x10000 + ((point - 0xD800) << 10) + (hex_value(r->at + 2) - 0xDC00);
            r->at += 6;
        }
    }
    r->count = pl_utf8_put(point, r->pending);
    r->given = 0;
}

/* The next byte, or -1 at the end. */
static int32_t read_byte(reader *r) {
    if (r->given == r->count) {
        if (r->at >= r->end)
            return -1;
        if (*r->at != '\\')
            return (uint8_t)*r->at++;
        read_escape(r);
    }
    return (uint8_t)r->pending[r->given++];
}

static bool same_key(const char *text, const pl_key_entry *a, const pl_key_entry *b) {
    reader left = {.at = text + a->start, .end = text + a->start + a->length};
    reader right = {.at = text + b->start, .end = text + b->start + b->length};
    for (;;) {
        int32_t x = read_byte(&left), y = read_byte(&right);
        if (x != y)
            return false;
        if (x < 0)
            return true;
    }
}

/* FNV-1a over the meaning, then SplitMix64's finaliser with the object's number. */
static uint64_t hash_key(const char *text, const pl_key_entry *key) {
    reader r = {.at = text + key->start, .end = text + key->start + key->length};
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t byte; (byte = read_byte(&r)) >= 0;)
        hash = (hash ^ (uint64_t)byte) * 0x100000001b3u;
    hash ^= (uint64_t)key->object * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

/* First free slot for hash. */
static size_t free_slot(const pl_key_entry *slots, size_t capacity, uint64_t hash) {
    size_t slot = (size_t)hash & (capacity - 1);
    while (slots[slot].object != 0)
        slot = (slot + 1) & (capacity - 1);
    return slot;
}

static bool grow(pl_key_set *keys) {
    size_t capacity = keys->capacity ? keys->capacity * 2 : 64;
    pl_key_entry *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < keys->capacity; i++)
        if (keys->slots[i].object != 0)
            slots[free_slot(slots, capacity, keys->slots[i].hash)] = keys->slots[i];
    free(keys->slots);
    keys->slots = slots;
    keys->capacity = capacity;
    return true;
}

pl_key_set_result pl_key_set_add(pl_key_set *keys, uint32_t object, const char *text, size_t start,
                                 size_t length) {
    /* Honest keys need 1 to 2 probes each. */
    enum { PROBES_PER_KEY = 16, PROBES_FREE = 100000 };
    if (keys->count >= keys->capacity / 2 && !grow(keys))
        return PL_KEY_SET_MEMORY;
    pl_key_entry key = {.start = start, .length = length, .object = object};
    key.hash = hash_key(text, &key);
    size_t slot = (size_t)key.hash & (keys->capacity - 1);
    for (; keys->slots[slot].object != 0; slot = (slot + 1) & (keys->capacity - 1)) {
        const pl_key_entry *other = &keys->slots[slot];
        if (++keys->probes > PROBES_FREE + PROBES_PER_KEY * keys->count)
            return PL_KEY_SET_COLLISIONS;
        if (other->hash == key.hash && other->object == object && same_key(text, other, &key))
            return PL_KEY_SET_DUPLICATE;
    }
    keys->slots[slot] = key;
    keys->count++;
    return PL_KEY_SET_NEW;
}

void pl_key_set_free(pl_key_set *keys) {
    free(keys->slots);
    *keys = (pl_key_set){0};
}
