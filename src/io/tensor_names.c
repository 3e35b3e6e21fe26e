#include "io/tensor_names.h"

#include <stdbool.h>
#include <string.h>

/* What may follow a marker of peft: in memory an adapter's name always does, in files never. */
typedef struct marker {
    const char *text;       /* a whole path component */
    const char *endings[2]; /* the components that may end the key; NULL: none does */
    bool drop_ending, drop_marker;
} marker;

static const marker markers[] = {
    {"lora_A", {"weight", "bias"}, false, false},
    {"lora_B", {"weight", "bias"}, false, false},
    {"ln_tuning_layers", {"weight", "bias"}, false, false},
    {"modules_to_save", {"weight", "bias"}, false, true},
    {"lora_magnitude_vector", {"weight", NULL}, true, false},
    {"lora_embedding_A", {NULL, NULL}, false, false},
    {"lora_embedding_B", {NULL, NULL}, false, false},
    {"ia3_l", {NULL, NULL}, false, false},
    {"trainable_tokens_delta", {NULL, NULL}, false, false},
};

/* One component of a key: [start, start + length). */
typedef struct part {
    const char *start;
    size_t length;
} part;

static part part_at(const char *start) { return (part){start, strcspn(start, ".")}; }

static bool part_is(part p, const char *text) {
    return strlen(text) == p.length && memcmp(p.start, text, p.length) == 0;
}

static const marker *find_marker(part p) {
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
        if (part_is(p, markers[i].text))
            return &markers[i];
    return NULL;
}

static bool is_ending(const marker *m, part p) {
    for (int i = 0; i < 2; i++)
        if (m->endings[i] && part_is(p, m->endings[i]))
            return true;
    return false;
}

/* The path without peft's wrapper. */
static const char *without_prefix(const char *key) {
    static const char wrapper[] = "base_model.", inner[] = "model.";
    while (strncmp(key, wrapper, sizeof wrapper - 1) == 0) {
        key += sizeof wrapper - 1;
        /* base_model.model.model.layers -> model.layers; without a head: base_model.model.layers -> layers */
        if (strncmp(key, inner, sizeof inner - 1) == 0)
            key += sizeof inner - 1;
    }
    return key;
}

static bool append(char *out, size_t size, size_t *length, const char *text, size_t count) {
    if (count >= size - *length)
        return false;
    memcpy(out + *length, text, count);
    *length += count;
    out[*length] = '\0';
    return true;
}

/* Copies the tail "marker[.NAME][.ending]", without NAME; false when it is not of that form. */
static bool append_tail(const marker *m, part marked, char *out, size_t size, size_t *length) {
    const char *rest = marked.start + marked.length; /* "" or ".…" */
    part parts[2] = {{rest, 0}, {rest, 0}};
    int count = 0;
    while (*rest == '.' && count < 2) {
        parts[count] = part_at(rest + 1);
        rest = parts[count].start + parts[count].length;
        count++;
    }
    if (*rest)
        return false;
    bool ends = count > 0 && is_ending(m, parts[count - 1]);
    bool must_end = m->endings[0] && !m->drop_ending;
    if ((must_end && !ends) || count - (int)ends > 1)
        return false;
    if (m->drop_marker)
        (*length)--; /* the dot in front of it */
    else if (!append(out, size, length, marked.start, marked.length))
        return false;
    if (!ends || m->drop_ending)
        return true;
    return append(out, size, length, ".", 1) &&
           append(out, size, length, parts[count - 1].start, parts[count - 1].length);
}

static bool is_bare(const char *path) {
    return strncmp(path, "layers.", 7) == 0 || strncmp(path, "embed_tokens.", 13) == 0 ||
           strncmp(path, "norm.", 5) == 0;
}

static bool is_prompt(const char *path) {
    part first = part_at(path);
    if (!part_is(first, "prompt_encoder") || path[first.length] != '.')
        return false;
    part name = part_at(path + first.length + 1);
    return strcmp(name.start + name.length, ".embedding.weight") == 0;
}

static bool normal_form(const char *path, char *out, size_t size) {
    size_t length = 0;
    if (is_prompt(path))
        path = "prompt_embeddings";
    if (is_bare(path) && !append(out, size, &length, "model.", 6))
        return false;
    for (const char *at = path;;) {
        part p = part_at(at);
        const marker *m = find_marker(p);
        size_t before = length;
        if (m && at != path && append_tail(m, p, out, size, &length))
            return true;
        length = before;
        if (!append(out, size, &length, p.start, p.length))
            return false;
        at = p.start + p.length;
        if (!*at)
            return length > 0;
        if (!append(out, size, &length, ".", 1))
            return false;
        at++;
    }
}

pl_status pl_tensor_name_normal(const char *key, char *out, size_t size, pl_error *error) {
    out[0] = '\0';
    if (normal_form(without_prefix(key), out, size))
        return PL_OK;
    return pl_fail(error, PL_ERR_FORMAT,
                   "\"%.100s\" is not the name of an adapter's tensor of at most %zu characters", key,
                   size - 1);
}
