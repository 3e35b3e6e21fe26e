#include "gunzip.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct stream {
    const uint8_t *at, *end;
    uint32_t bits; /* not yet used, lowest first */
    int count;
    char *out;
    size_t length, capacity;
    bool bad;
} stream;

/* Canonical Huffman code: how many symbols have each length, and the symbols in order. */
typedef struct code {
    int16_t count[16], symbol[288];
} code;

static uint32_t take(stream *s, int count) {
    while (s->count < count) {
        s->bad = s->bad || s->at >= s->end;
        s->bits |= (s->bad ? 0u : *s->at++) << s->count;
        s->count += 8;
    }
    uint32_t value = s->bits & ((1u << count) - 1);
    s->bits >>= count;
    s->count -= count;
    return value;
}

static void put(stream *s, char byte) {
    if (s->length + 1 >= s->capacity) {
        s->capacity = s->capacity * 2 + 4096;
        s->out = realloc(s->out, s->capacity);
        if (!s->out)
            abort();
    }
    s->out[s->length++] = byte;
}

static void build(code *c, const uint8_t *lengths, int symbols) {
    int16_t offsets[16] = {0};
    memset(c, 0, sizeof *c);
    for (int i = 0; i < symbols; i++)
        c->count[lengths[i]]++;
    c->count[0] = 0;
    for (int i = 1; i < 15; i++)
        offsets[i + 1] = (int16_t)(offsets[i] + c->count[i]);
    for (int i = 0; i < symbols; i++)
        if (lengths[i])
            c->symbol[offsets[lengths[i]]++] = (int16_t)i;
}

static int decode(stream *s, const code *c) {
    int value = 0, first = 0, index = 0;
    for (int length = 1; length < 16 && !s->bad; length++) {
        value |= (int)take(s, 1);
        int count = c->count[length];
        if (value - count < first)
            return c->symbol[index + value - first];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    s->bad = true;
    return 256;
}

static void read_block(stream *s, const code *lengths, const code *distances) {
    static const uint16_t base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                    2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t far_base[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                        33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                        1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (int symbol; !s->bad && (symbol = decode(s, lengths)) != 256;) {
        if (symbol < 256) {
            put(s, (char)symbol);
            continue;
        }
        if (symbol > 285)
            break;
        size_t length = base[symbol - 257] + take(s, extra[symbol - 257]);
        int far = decode(s, distances);
        if (far > 29)
            break;
        size_t distance = far_base[far] + take(s, far < 2 ? 0 : far / 2 - 1);
        s->bad = s->bad || distance > s->length;
        for (; length > 0 && !s->bad; length--)
            put(s, s->out[s->length - distance]);
    }
}

static void read_fixed(stream *s) {
    uint8_t lengths[288];
    for (int i = 0; i < 288; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    code literal, distance;
    build(&literal, lengths, 288);
    memset(lengths, 5, 30);
    build(&distance, lengths, 30);
    read_block(s, &literal, &distance);
}

static void read_dynamic(stream *s) {
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    int literals = (int)take(s, 5) + 257, distances = (int)take(s, 5) + 1, count = (int)take(s, 4) + 4;
    uint8_t lengths[320] = {0}, all[320] = {0};
    for (int i = 0; i < count; i++)
        lengths[order[i]] = (uint8_t)take(s, 3);
    code meta, literal, distance;
    build(&meta, lengths, 19);
    for (int i = 0; i < literals + distances && !s->bad;) {
        int symbol = decode(s, &meta), repeat = 1;
        uint8_t value = (uint8_t)symbol;
        if (symbol >= 16) {
            value = symbol == 16 && i > 0 ? all[i - 1] : 0;
            repeat = (int)(symbol == 16 ? 3 + take(s, 2) : symbol == 17 ? 3 + take(s, 3) : 11 + take(s, 7));
        }
        while (repeat-- > 0 && i < literals + distances)
            all[i++] = value;
    }
    build(&literal, all, literals);
    build(&distance, all + literals, distances);
    read_block(s, &literal, &distance);
}

static void inflate(stream *s) {
    bool last = false;
    while (!last && !s->bad) {
        last = take(s, 1);
        uint32_t type = take(s, 2);
        if (type == 1) {
            read_fixed(s);
        } else if (type == 2) {
            read_dynamic(s);
        } else if (type == 0) {
            s->bits = 0;
            s->count = 0;
            uint32_t length = take(s, 16);
            for (take(s, 16); length > 0 && !s->bad; length--)
                put(s, (char)take(s, 8));
        } else {
            s->bad = true;
        }
    }
}

char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    (void)fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    if (bytes && fread(bytes, 1, *length, file) == *length)
        bytes[*length] = '\0';
    (void)fclose(file);
    return bytes;
}

char *gunzip_file(const char *path, size_t *length) {
    size_t size;
    char *file = read_file(path, &size);
    if (!file)
        return NULL;
    const uint8_t *bytes = (const uint8_t *)file;
    stream s = {.at = bytes + 10, .end = bytes + size};
    s.bad = size < 18 || bytes[0] != 0x1F || bytes[1] != 0x8B || bytes[3] != 0; /* no name, no extra fields */
    inflate(&s);
    put(&s, '\0');
    *length = s.length - 1;
    free(file);
    if (s.bad)
        free(s.out);
    return s.bad ? NULL : s.out;
}
