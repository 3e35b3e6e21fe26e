/* The tree: built and owned by cJSON, seen by everybody else as the opaque pl_json. */
#include "io/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/json_check.h"
#include "io/utf8.h"
#include "vendor/cjson/cJSON.h"

static const cJSON *node_of(const pl_json *node) { return (const cJSON *)(const void *)node; }
static const pl_json *json_of(const cJSON *item) { return (const pl_json *)(const void *)item; }

pl_status pl_json_parse(const char *text, size_t length, const char *what, pl_json **root, pl_error *error) {
    *root = NULL;
    PL_TRY(pl_json_check(text, length, what, error));
    cJSON *item = cJSON_ParseWithLengthOpts(text, length, NULL, 0);
    if (!item) /* the text is known to be right, so cJSON can only have run out of memory */
        return pl_fail(error, PL_ERR_MEMORY, "%s: no memory for its %zu bytes of JSON", what, length);
    *root = (pl_json *)(void *)item;
    return PL_OK;
}

void pl_json_free(pl_json *root) { cJSON_Delete((cJSON *)(void *)root); }

bool pl_json_is_null(const pl_json *node) { return cJSON_IsNull(node_of(node)) != 0; }
bool pl_json_is_bool(const pl_json *node) { return cJSON_IsBool(node_of(node)) != 0; }
bool pl_json_is_number(const pl_json *node) { return cJSON_IsNumber(node_of(node)) != 0; }
bool pl_json_is_string(const pl_json *node) { return cJSON_IsString(node_of(node)) != 0; }
bool pl_json_is_array(const pl_json *node) { return cJSON_IsArray(node_of(node)) != 0; }
bool pl_json_is_object(const pl_json *node) { return cJSON_IsObject(node_of(node)) != 0; }

bool pl_json_bool(const pl_json *node) { return cJSON_IsTrue(node_of(node)) != 0; }

double pl_json_number(const pl_json *node) {
    return pl_json_is_number(node) ? node_of(node)->valuedouble : 0;
}

const char *pl_json_string(const pl_json *node) {
    return pl_json_is_string(node) ? node_of(node)->valuestring : NULL;
}

const pl_json *pl_json_first(const pl_json *node) {
    return pl_json_is_array(node) || pl_json_is_object(node) ? json_of(node_of(node)->child) : NULL;
}

const pl_json *pl_json_next(const pl_json *member) { return member ? json_of(node_of(member)->next) : NULL; }

const char *pl_json_key(const pl_json *member) { return member ? node_of(member)->string : NULL; }

int32_t pl_json_size(const pl_json *node) {
    int32_t count = 0;
    for (const pl_json *member = pl_json_first(node); member && count < INT32_MAX;
         member = pl_json_next(member))
        count++;
    return count;
}

const pl_json *pl_json_get(const pl_json *object, const char *key) {
    if (!pl_json_is_object(object))
        return NULL;
    const pl_json *member = pl_json_first(object);
    while (member && strcmp(pl_json_key(member), key) != 0)
        member = pl_json_next(member);
    return member;
}

/* ---- typed access ---- */

enum { SHOWN_SIZE = 64 };

/* How a value appears in a message: short strings in quotes, longer ones cut at a whole character. */
static const char *shown(const pl_json *node, char out[SHOWN_SIZE]) {
    if (pl_json_is_string(node)) {
        const char *text = pl_json_string(node);
        size_t length = 0;
        uint32_t point;
        for (int32_t step; text[length]; length += (size_t)step) {
            step = pl_utf8_next(text + length, strlen(text + length), &point);
            if (step == 0 || length + (size_t)step > 40)
                break;
        }
        (void)snprintf(out, SHOWN_SIZE, "\"%.*s%s\"", (int)length, text, text[length] ? "..." : "");
    } else if (pl_json_is_number(node)) {
        (void)snprintf(out, SHOWN_SIZE, "%.15g", pl_json_number(node));
    } else {
        (void)snprintf(out, SHOWN_SIZE, "%s",
                       pl_json_is_null(node)    ? "null"
                       : pl_json_is_bool(node)  ? (pl_json_bool(node) ? "true" : "false")
                       : pl_json_is_array(node) ? "an array"
                                                : "an object");
    }
    return out;
}

/* The member, or NULL when it is absent or null; then *status says whether that is allowed. */
static const pl_json *member_of(const pl_json *object, const char *what, const char *key, bool required,
                                pl_status *status, pl_error *error) {
    const pl_json *member = pl_json_get(object, key);
    *status = PL_OK;
    if (member && !pl_json_is_null(member))
        return member;
    if (required)
        *status = pl_fail(error, PL_ERR_FORMAT, "%s: %s is %s", what, key, member ? "null" : "missing");
    return NULL;
}

pl_status pl_json_get_int(const pl_json *object, const char *what, const char *key, bool required,
                          int64_t minimum, int64_t maximum, int64_t *value, pl_error *error) {
    pl_status status;
    const pl_json *member = member_of(object, what, key, required, &status, error);
    if (!member)
        return status;
    const double exact = 9007199254740992.0; /* 2^53: beyond it a double no longer tells neighbours apart */
    double number = pl_json_number(member);
    bool whole = pl_json_is_number(member) && fabs(number) <= exact && floor(number) == number;
    if (!whole || (int64_t)number < minimum || (int64_t)number > maximum) {
        char text[SHOWN_SIZE];
        return pl_fail(error, PL_ERR_FORMAT, "%s: %s must be an integer from %lld to %lld, not %s", what, key,
                       (long long)minimum, (long long)maximum, shown(member, text));
    }
    *value = (int64_t)number;
    return PL_OK;
}

pl_status pl_json_get_number(const pl_json *object, const char *what, const char *key, bool required,
                             double minimum, double maximum, double *value, pl_error *error) {
    pl_status status;
    const pl_json *member = member_of(object, what, key, required, &status, error);
    if (!member)
        return status;
    double number = pl_json_number(member);
    if (!pl_json_is_number(member) || !(number >= minimum && number <= maximum)) {
        char text[SHOWN_SIZE];
        return pl_fail(error, PL_ERR_FORMAT, "%s: %s must be a number from %.15g to %.15g, not %s", what, key,
                       minimum, maximum, shown(member, text));
    }
    *value = number;
    return PL_OK;
}

pl_status pl_json_get_bool(const pl_json *object, const char *what, const char *key, bool required,
                           bool *value, pl_error *error) {
    pl_status status;
    const pl_json *member = member_of(object, what, key, required, &status, error);
    if (!member)
        return status;
    if (!pl_json_is_bool(member)) {
        char text[SHOWN_SIZE];
        return pl_fail(error, PL_ERR_FORMAT, "%s: %s must be true or false, not %s", what, key,
                       shown(member, text));
    }
    *value = pl_json_bool(member);
    return PL_OK;
}

pl_status pl_json_only(const pl_json *object, const char *what, const char *const *known, int32_t count,
                       pl_error *error) {
    for (const pl_json *member = pl_json_first(object); member; member = pl_json_next(member)) {
        int32_t i = 0;
        while (i < count && strcmp(pl_json_key(member), known[i]) != 0)
            i++;
        if (i < count)
            continue;
        char list[300] = "";
        for (i = 0; i < count; i++) {
            const size_t used = strlen(list);
            (void)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", known[i]);
        }
        return pl_fail(error, PL_ERR_ARGUMENT, "%s: \"%.40s\" is unknown; there are %s", what,
                       pl_json_key(member), list);
    }
    return PL_OK;
}

pl_status pl_json_get_word(const pl_json *object, const char *what, const char *key, const char **value,
                           pl_error *error) {
    pl_status status;
    const pl_json *member = member_of(object, what, key, false, &status, error);
    if (!member)
        return PL_OK;
    if (!pl_json_is_string(member)) {
        char text[SHOWN_SIZE];
        return pl_fail(error, PL_ERR_FORMAT, "%s: %s must be a text in quotes, not %s", what, key,
                       shown(member, text));
    }
    *value = pl_json_string(member);
    return PL_OK;
}

pl_status pl_json_get_list(const pl_json *object, const char *what, const char *key, const pl_json **first,
                           pl_error *error) {
    pl_status status;
    const pl_json *member = member_of(object, what, key, false, &status, error);
    *first = pl_json_first(member);
    if (!member || pl_json_is_array(member))
        return PL_OK;
    char text[SHOWN_SIZE];
    return pl_fail(error, PL_ERR_FORMAT, "%s: %s must be a list in brackets, not %s", what, key,
                   shown(member, text));
}
