/* JSON: a strict validating reader in front of cJSON, and a writer. The only file that includes cJSON is
 * json.c. Strict means: RFC 8259 exactly, valid UTF-8, no duplicate keys, no \u0000, finite numbers, nesting
 * <= 16; errors give line:column. */
#ifndef PL_IO_JSON_H
#define PL_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct pl_json pl_json; /* one node of a parsed, immutable document */

enum { PL_JSON_DEPTH = 16 };

/* Parses text[length]. what names the document in messages ("adapter_config.json"). The root is freed by
   pl_json_free. Errors: PL_ERR_FORMAT with "what:line:column: …", PL_ERR_MEMORY. */
pl_status pl_json_parse(const char *text, size_t length, const char *what, pl_json **root, pl_error *error);
void pl_json_free(pl_json *root);

bool pl_json_is_null(const pl_json *node); /* all of these are false for node == NULL */
bool pl_json_is_bool(const pl_json *node);
bool pl_json_is_number(const pl_json *node);
bool pl_json_is_string(const pl_json *node);
bool pl_json_is_array(const pl_json *node);
bool pl_json_is_object(const pl_json *node);

bool pl_json_bool(const pl_json *node);          /* false unless true */
double pl_json_number(const pl_json *node);      /* 0 unless a number */
const char *pl_json_string(const pl_json *node); /* NULL unless a string; lives as long as the root */

int32_t pl_json_size(const pl_json *node);         /* members of an array or object, else 0 */
const pl_json *pl_json_first(const pl_json *node); /* first member or NULL; iterate with pl_json_next */
const pl_json *pl_json_next(const pl_json *member);
const char *pl_json_key(const pl_json *member); /* key of an object's member */
/* Case-sensitive, linear; NULL when absent. */
const pl_json *pl_json_get(const pl_json *object, const char *key);

/* Typed access with a sentence on failure ("config.json: hidden_size must be an integer from 1 to 65536,
   not 3.5"). When the key is absent or null: *value keeps the caller's default, or, if required,
   PL_ERR_FORMAT, as for a value of another type or outside the limits. */
pl_status pl_json_get_int(const pl_json *object, const char *what, const char *key, bool required,
                          int64_t minimum, int64_t maximum, int64_t *value, pl_error *error);
pl_status pl_json_get_number(const pl_json *object, const char *what, const char *key, bool required,
                             double minimum, double maximum, double *value, pl_error *error);
pl_status pl_json_get_bool(const pl_json *object, const char *what, const char *key, bool required,
                           bool *value, pl_error *error);
/* Refuses a member whose key is none of known[count], so that a misspelt option is not quietly left out: PL_ERR_ARGUMENT. */
pl_status pl_json_only(const pl_json *object, const char *what, const char *const *known, int32_t count,
                       pl_error *error);
/* A text that may be left out; it lives as long as the root. */
pl_status pl_json_get_word(const pl_json *object, const char *what, const char *key, const char **value,
                           pl_error *error);
/* An array that may be left out: *first is its first member, or NULL. */
pl_status pl_json_get_list(const pl_json *object, const char *what, const char *key, const pl_json **first,
                           pl_error *error);

/* ---- writer ---- */

/* A growing text in session memory; after a refused allocation `failed` stays true and writing is a no-op. */
typedef struct pl_text {
    pl_memory *memory;
    char *data; /* always terminated when not NULL */
    size_t length, capacity;
    bool failed;
    bool comma; /* writer state: the next value needs a comma in front */
} pl_text;

pl_text pl_text_make(pl_memory *memory);
void pl_text_free(pl_text *text);
void pl_text_bytes(pl_text *text, const char *bytes, size_t length); /* raw append */
/* Makes room for so many more bytes, which then cannot fail. False, and failed from then on, when memory is refused. */
bool pl_text_reserve(pl_text *text, size_t length);

void pl_write_begin(pl_text *out, char bracket); /* '{' or '[' */
void pl_write_end(pl_text *out, char bracket);   /* '}' or ']' */
void pl_write_key(pl_text *out, const char *key);
void pl_write_string(pl_text *out, const char *value); /* NULL writes null; escaped */
void pl_write_string_n(pl_text *out, const char *value, size_t length);
void pl_write_number(pl_text *out, double value); /* shortest text that reads back; non-finite writes null */
void pl_write_numbers(pl_text *out, const double *values, int32_t count); /* an array of them */
void pl_write_int(pl_text *out, int64_t value);
void pl_write_bool(pl_text *out, bool value);
void pl_write_null(pl_text *out);
void pl_write_node(pl_text *out, const pl_json *node); /* a parsed value, verbatim in meaning */
/* Key and value in one call. */
void pl_write_key_string(pl_text *out, const char *key, const char *value);
void pl_write_key_number(pl_text *out, const char *key, double value);
void pl_write_key_int(pl_text *out, const char *key, int64_t value);
void pl_write_key_bool(pl_text *out, const char *key, bool value);

#endif
