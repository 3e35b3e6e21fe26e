/* The writer: compact JSON into a growing block. Escapes exactly what serde_json escapes, so that a
 * safetensors header written here equals the reference's. */
#include "io/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pl_text pl_text_make(pl_memory *memory) { return (pl_text){.memory = memory}; }

void pl_text_free(pl_text *text) {
    pl_memory_free(text->memory, text->data);
    *text = (pl_text){.memory = text->memory};
}

bool pl_text_reserve(pl_text *text, size_t length) {
    if (text->failed)
        return false;
    if (length < text->capacity - text->length && text->data)
        return true;
    size_t capacity = text->capacity < 256 ? 256 : text->capacity;
    while (capacity <= SIZE_MAX / 2 && length >= capacity - text->length)
        capacity *= 2;
    char *data = length < capacity - text->length ? pl_memory_alloc(text->memory, capacity, 1) : NULL;
    text->failed = !data;
    if (!data)
        return false;
    if (text->data)
        memcpy(data, text->data, text->length);
    pl_memory_free(text->memory, text->data);
    text->data = data;
    text->capacity = capacity;
    return true;
}

void pl_text_bytes(pl_text *text, const char *bytes, size_t length) {
    if (!pl_text_reserve(text, length))
        return;
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

static void raw(pl_text *out, const char *text) { pl_text_bytes(out, text, strlen(text)); }

/* In front of every value: the comma if it is not the first of its container. */
static void begin_value(pl_text *out) {
    if (out->comma)
        pl_text_bytes(out, ",", 1);
    out->comma = true;
}

void pl_write_begin(pl_text *out, char bracket) {
    begin_value(out);
    pl_text_bytes(out, &bracket, 1);
    out->comma = false;
}

void pl_write_end(pl_text *out, char bracket) {
    pl_text_bytes(out, &bracket, 1);
    out->comma = true;
}

void pl_write_key(pl_text *out, const char *key) {
    pl_write_string(out, key);
    pl_text_bytes(out, ":", 1);
    out->comma = false;
}

void pl_write_string_n(pl_text *out, const char *value, size_t length) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    begin_value(out);
    pl_text_bytes(out, "\"", 1);
    size_t done = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)value[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        pl_text_bytes(out, value + done, i - done);
        done = i + 1;
        char escape[8];
        const char *found = byte ? strchr(from, byte) : NULL;
        if (found)
            (void)snprintf(escape, sizeof escape, "\\%c", to[found - from]);
        else
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)byte);
        raw(out, escape);
    }
    pl_text_bytes(out, value + done, length - done);
    pl_text_bytes(out, "\"", 1);
}

void pl_write_string(pl_text *out, const char *value) {
    if (value)
        pl_write_string_n(out, value, strlen(value));
    else
        pl_write_null(out);
}

/* 15 digits survive the way to binary and back, so if 15 read back as value they are also the shortest
   ("%g" drops trailing zeros); otherwise 16 or 17 are needed (Goldberg 1991). Subnormals have fewer digits
   to begin with. */
void pl_write_number(pl_text *out, double value) {
    char text[40];
    if (!isfinite(value)) {
        pl_write_null(out);
        return;
    }
    if (fabs(value) < 1e15 && floor(value) == value && !(value == 0 && signbit(value))) {
        pl_write_int(out, (int64_t)value);
        return;
    }
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    begin_value(out);
    raw(out, text);
}

void pl_write_numbers(pl_text *out, const double *values, int32_t count) {
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < count; i++)
        pl_write_number(out, values[i]);
    pl_write_end(out, ']');
}

void pl_write_int(pl_text *out, int64_t value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    begin_value(out);
    raw(out, text);
}

void pl_write_bool(pl_text *out, bool value) {
    begin_value(out);
    raw(out, value ? "true" : "false");
}

void pl_write_null(pl_text *out) {
    begin_value(out);
    raw(out, "null");
}

void pl_write_node(pl_text *out, const pl_json *node) {
    if (pl_json_is_string(node)) {
        pl_write_string(out, pl_json_string(node));
    } else if (pl_json_is_number(node)) {
        pl_write_number(out, pl_json_number(node));
    } else if (pl_json_is_bool(node)) {
        pl_write_bool(out, pl_json_bool(node));
    } else if (pl_json_is_array(node) || pl_json_is_object(node)) {
        bool object = pl_json_is_object(node);
        pl_write_begin(out, object ? '{' : '[');
        for (const pl_json *member = pl_json_first(node); member; member = pl_json_next(member)) {
            if (object)
                pl_write_key(out, pl_json_key(member));
            pl_write_node(out, member); /* depth <= PL_JSON_DEPTH */
        }
        pl_write_end(out, object ? '}' : ']');
    } else {
        pl_write_null(out);
    }
}

void pl_write_key_string(pl_text *out, const char *key, const char *value) {
    pl_write_key(out, key);
    pl_write_string(out, value);
}

void pl_write_key_number(pl_text *out, const char *key, double value) {
    pl_write_key(out, key);
    pl_write_number(out, value);
}

void pl_write_key_int(pl_text *out, const char *key, int64_t value) {
    pl_write_key(out, key);
    pl_write_int(out, value);
}

void pl_write_key_bool(pl_text *out, const char *key, bool value) {
    pl_write_key(out, key);
    pl_write_bool(out, value);
}
