/* Every string of tests/golden/tokenizers (made by the `tokenizers` library), encoded and decoded by every
   tokenizer there. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gunzip.h"
#include "io/json.h"
#include "io/utf8.h"
#include "text/tokenizer.h"

#define ROOT "tests/golden/tokenizers/"

typedef struct fixture {
    pl_memory memory;
    pl_tokenizer *tokenizer;
    const char *name;
    int lines, wrong;
} fixture;

static void report(fixture *f, const char *what, const char *text) {
    if (f->wrong++ < 5)
        CHECK_MSG(false, "%s, line %d: %s differs for \"%.80s\"", f->name, f->lines, what, text);
}

static int32_t *read_ids(const pl_json *list, int32_t *count) {
    *count = pl_json_size(list);
    int32_t *ids = malloc(((size_t)*count + 1) * sizeof *ids);
    int32_t i = 0;
    for (const pl_json *id = pl_json_first(list); id && ids; id = pl_json_next(id))
        ids[i++] = (int32_t)pl_json_number(id);
    return ids;
}

/* Bytes as tokenizers shows them: U+FFFD for each ill-formed part, and one for each byte of a run of byte
   tokens that does not end a character (we keep those bytes for the next call). */
static bool same_text(const char *got, size_t length, const char *want) {
    char *shown = malloc(length * 3 + 16), *end = shown;
    size_t tail = 0;
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int32_t step = pl_utf8_next(got + at, length - at, &point);
        if (step > 0) {
            memcpy(end, got + at, (size_t)step);
            end += step;
        } else {
            step = pl_utf8_bad(got + at, length - at, NULL);
            memcpy(end, "\xEF\xBF\xBD", 3);
            end += 3;
            if (at + (size_t)step == length)
                tail = (size_t)step;
        }
        at += (size_t)step;
    }
    *end = '\0';
    bool same = strcmp(shown, want) == 0;
    if (!same && tail) { /* byte fallback: compare what is before the unfinished run */
        size_t kept = strlen(want);
        while (kept >= 3 && memcmp(want + kept - 3, "\xEF\xBF\xBD", 3) == 0)
            kept -= 3;
        same = strncmp(shown, want, kept) == 0;
    }
    free(shown);
    return same;
}

static void check_decode(fixture *f, const int32_t *ids, int32_t count, bool skip, const char *want) {
    char *text;
    size_t length;
    pl_error error = {0};
    if (pl_tokenizer_decode(f->tokenizer, &f->memory, ids, count, skip, &text, &length, &error) != PL_OK) {
        report(f, error.message, want);
        return;
    }
    /* a NUL inside cannot be compared as a C string: such lines are skipped when read (\u0000 is refused) */
    if (!same_text(text, length, want))
        report(f, skip ? "decode without special tokens" : "decode", want);
    pl_memory_free(&f->memory, text);
}

static void check_encode(fixture *f, const char *text, size_t length, bool special, const int32_t *want,
                         int32_t count, int32_t before) {
    int32_t *ids, got;
    pl_error error = {0};
    if (pl_tokenizer_encode(f->tokenizer, &f->memory, text, length, special, &ids, &got, &error) != PL_OK) {
        report(f, error.message, text);
        return;
    }
    if (got != count + before || memcmp(ids + before, want, (size_t)count * sizeof *want) != 0)
        report(f, special ? "encode with special tokens" : "encode", text);
    pl_memory_free(&f->memory, ids);
}

/* Parses line `line` (ended by a newline or the end) of a JSON-lines text and moves on. NULL for lines with
   \u0000. */
static pl_json *next_line(const char **line) {
    const char *end = strchr(*line, '\n');
    size_t length = end ? (size_t)(end - *line) : strlen(*line);
    pl_json *root = NULL;
    pl_error error;
    (void)pl_json_parse(*line, length, "line", &root, &error);
    *line = end ? end + 1 : *line + length;
    return root;
}

static void check_row(fixture *f, const pl_json *text, const pl_json *row) {
    const char *string = pl_json_string(text);
    int32_t count;
    int32_t *ids = read_ids(pl_json_get(row, "i"), &count);
    int32_t before = (int32_t)pl_json_number(pl_json_get(row, "b"));
    check_encode(f, string, strlen(string), false, ids, count, 0);
    check_encode(f, string, strlen(string), true, ids, count, before);
    const char *all = pl_json_string(pl_json_get(row, "d")), *plain = pl_json_string(pl_json_get(row, "s"));
    all = all ? all : string;
    check_decode(f, ids, count, false, all);
    check_decode(f, ids, count, true, plain ? plain : all);
    free(ids);
}

static void check_strings(fixture *f, const char *strings, const char *expected) {
    int skipped = 0;
    for (f->lines = 1; *strings && *expected; f->lines++) {
        pl_json *text = next_line(&strings), *row = next_line(&expected);
        if (text && row)
            check_row(f, text, row);
        else
            skipped++;
        pl_json_free(text);
        pl_json_free(row);
    }
    CHECK(*strings == '\0' && *expected == '\0');
    CHECK_MSG(f->lines > 1000 && skipped * 20 < f->lines, "%s: %d lines, %d skipped", f->name, f->lines,
              skipped);
}

static void check_random_ids(fixture *f, const char *lines) {
    for (f->lines = 1; *lines; f->lines++) {
        pl_json *row = next_line(&lines);
        if (!row)
            continue;
        int32_t count;
        int32_t *ids = read_ids(pl_json_get(row, "i"), &count);
        check_decode(f, ids, count, false, pl_json_string(pl_json_get(row, "d")));
        free(ids);
        pl_json_free(row);
    }
}

static void check_folder(const char *name) {
    char path[256];
    size_t length;
    fixture f = {.name = name};
    pl_error error = {0};
    (void)snprintf(path, sizeof path, ROOT "%s/tokenizer.json", name);
    char *json = read_file(path, &length);
    REQUIRE(json != NULL);
    pl_status status = pl_tokenizer_load(&f.memory, json, length, &f.tokenizer, &error);
    free(json);
    CHECK_MSG(status == PL_OK, "%s: %s", name, error.message);
    if (status != PL_OK)
        return;
    char *strings = gunzip_file(ROOT "strings.jsonl.gz", &length);
    (void)snprintf(path, sizeof path, ROOT "%s/expected.jsonl.gz", name);
    char *expected = gunzip_file(path, &length);
    (void)snprintf(path, sizeof path, ROOT "%s/decode.jsonl.gz", name);
    char *decode = gunzip_file(path, &length);
    if (CHECK(strings && expected && decode)) {
        check_strings(&f, strings, expected);
        check_random_ids(&f, decode);
    }
    free(strings);
    free(expected);
    free(decode);
    pl_tokenizer_free(f.tokenizer);
    CHECK_INT(f.memory.bytes, 0);
}

TEST(gpt2_layout) { check_folder("gpt2"); }
TEST(llama3_layout) { check_folder("llama3"); }
TEST(llama2_layout) { check_folder("llama2"); }
TEST(metaspace_first_layout) { check_folder("metaspace-first"); }
TEST(metaspace_always_layout) { check_folder("metaspace-always"); }
