/* The normaliser, pre-tokeniser and decoder of tokenizer.json, each a list of steps. */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"

/* The regular expressions that are known, word for word. */
static const char gpt2_regex[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char llama3_regex[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                                   "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2_regex[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                                  "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static const char what_normalizer[] = "normalizer", what_splitter[] = "pre_tokenizer",
                  what_decoder[] = "decoder";

typedef struct loader {
    pl_tokenizer *tokenizer;
    pl_steps *steps;
    const char *what;
    pl_error *error;
} loader;

pl_status pl_load_refuse(const char *what, const char *name, pl_error *error) {
    return pl_fail(error, PL_ERR_UNSUPPORTED, "tokenizer.json: %s \"%.300s\" is not supported", what,
                   name ? name : "without a type");
}

static pl_status broken(const loader *l, const char *key, const char *rule) {
    return pl_fail(l->error, PL_ERR_FORMAT, "tokenizer.json: %s: %s %s", l->what, key, rule);
}

/* Copies a string member of 1 (or 0 if may_be_empty) bytes and more. */
static pl_status read_text(const loader *l, const pl_json *node, const char *key, bool may_be_empty,
                           char **text, size_t *length) {
    const char *value = pl_json_string(pl_json_get(node, key));
    if (!value || (!*value && !may_be_empty))
        return broken(l, key, may_be_empty ? "must be a string" : "must be a string that is not empty");
    *length = strlen(value);
    *text = pl_memory_copy_text(l->tokenizer->memory, value, *length);
    return *text ? PL_OK : pl_fail(l->error, PL_ERR_MEMORY, "no memory for the tokenizer's %s", l->what);
}

/* A string member of exactly one character. */
static pl_status read_char(const loader *l, const pl_json *node, const char *key, pl_step *step) {
    PL_TRY(read_text(l, node, key, false, &step->text, &step->text_length));
    uint32_t point;
    if ((size_t)pl_utf8_next(step->text, step->text_length, &point) != step->text_length)
        return broken(l, key, "must be one character");
    return PL_OK;
}

static pl_status load_replace(const loader *l, const pl_json *node, pl_step *step) {
    const pl_json *pattern = pl_json_get(node, "pattern");
    const char *regex = pl_json_string(pl_json_get(pattern, "Regex"));
    if (regex)
        return pl_load_refuse("regular expression", regex, l->error);
    step->kind = PL_STEP_REPLACE;
    PL_TRY(read_text(l, pattern, "String", false, &step->text, &step->text_length));
    return read_text(l, node, "content", true, &step->content, &step->content_length);
}

static pl_status load_split(const loader *l, const pl_json *node, pl_step *step) {
    const char *regex = pl_json_string(pl_json_get(pl_json_get(node, "pattern"), "Regex"));
    const char *behavior = pl_json_string(pl_json_get(node, "behavior"));
    bool invert = pl_json_bool(pl_json_get(node, "invert"));
    if (!regex)
        return pl_load_refuse("pre_tokenizer", "Split without a regular expression", l->error);
    step->kind = PL_STEP_SPLIT;
    if (strcmp(regex, gpt2_regex) == 0)
        step->pattern = PL_PATTERN_GPT2;
    else if (strcmp(regex, llama3_regex) == 0)
        step->pattern = PL_PATTERN_LLAMA3;
    else if (strcmp(regex, qwen2_regex) == 0)
        step->pattern = PL_PATTERN_QWEN2;
    else
        return pl_load_refuse("regular expression", regex, l->error);
    /* These patterns match every character, so keeping the matches is the same as removing what is between
       them. */
    bool isolated = behavior && strcmp(behavior, "Isolated") == 0 && !invert;
    bool removed = behavior && strcmp(behavior, "Removed") == 0 && invert;
    return isolated || removed ? PL_OK : pl_load_refuse("behavior of Split", behavior, l->error);
}

static pl_status load_metaspace(const loader *l, const pl_json *node, pl_step *step) {
    step->kind = PL_STEP_METASPACE;
    PL_TRY(read_char(l, node, "replacement", step));
    step->split = true;
    PL_TRY(pl_json_get_bool(node, "tokenizer.json", "split", false, &step->split, l->error));
    const pl_json *scheme = pl_json_get(node, "prepend_scheme");
    const char *name = pl_json_string(scheme);
    if (!scheme) { /* files before 2024 */
        bool add = true;
        PL_TRY(pl_json_get_bool(node, "tokenizer.json", "add_prefix_space", false, &add, l->error));
        step->prepend = add ? PL_PREPEND_ALWAYS : PL_PREPEND_NEVER;
    } else if (name && strcmp(name, "always") == 0) {
        step->prepend = PL_PREPEND_ALWAYS;
    } else if (name && strcmp(name, "first") == 0) {
        step->prepend = PL_PREPEND_FIRST;
    } else if (name && strcmp(name, "never") == 0) {
        step->prepend = PL_PREPEND_NEVER;
    } else {
        return broken(l, "prepend_scheme", "must be always, first or never");
    }
    return PL_OK;
}

static pl_status load_byte_level(const loader *l, const pl_json *node, pl_step *step) {
    step->kind = PL_STEP_BYTE_LEVEL;
    step->split = true;
    PL_TRY(pl_json_get_bool(node, "tokenizer.json", "use_regex", false, &step->split, l->error));
    return pl_json_get_bool(node, "tokenizer.json", "add_prefix_space", l->what == what_splitter,
                            &step->prefix_space, l->error);
}

static pl_status load_strip(const loader *l, const pl_json *node, pl_step *step) {
    int64_t start = 0, stop = 0;
    step->kind = PL_STEP_STRIP;
    PL_TRY(read_char(l, node, "content", step));
    PL_TRY(pl_json_get_int(node, "tokenizer.json", "start", true, 0, 1 << 20, &start, l->error));
    PL_TRY(pl_json_get_int(node, "tokenizer.json", "stop", true, 0, 1 << 20, &stop, l->error));
    step->start = (int32_t)start;
    step->stop = (int32_t)stop;
    return PL_OK;
}

static pl_status load_prepend(const loader *l, const pl_json *node, pl_step *step) {
    step->kind = PL_STEP_PREPEND;
    return read_text(l, node, "prepend", true, &step->text, &step->text_length);
}

static pl_status load_digits(const loader *l, const pl_json *node, pl_step *step) {
    step->kind = PL_STEP_DIGITS;
    return pl_json_get_bool(node, "tokenizer.json", "individual_digits", false, &step->individual, l->error);
}

static pl_status load_byte_fallback(const loader *l, const pl_json *node, pl_step *step) {
    (void)l, (void)node;
    step->kind = PL_STEP_BYTE_FALLBACK;
    return PL_OK;
}

static pl_status load_fuse(const loader *l, const pl_json *node, pl_step *step) {
    (void)l, (void)node;
    step->kind = PL_STEP_FUSE;
    return PL_OK;
}

static const struct {
    const char *what, *type;
    pl_status (*load)(const loader *l, const pl_json *node, pl_step *step);
    const char *list; /* the name of a Sequence's list */
} types[] = {
    {what_normalizer, "Prepend", load_prepend, NULL},
    {what_normalizer, "Replace", load_replace, NULL},
    {what_normalizer, "Sequence", NULL, "normalizers"},
    {what_splitter, "Split", load_split, NULL},
    {what_splitter, "Digits", load_digits, NULL},
    {what_splitter, "ByteLevel", load_byte_level, NULL},
    {what_splitter, "Metaspace", load_metaspace, NULL},
    {what_splitter, "Sequence", NULL, "pretokenizers"},
    {what_decoder, "ByteLevel", load_byte_level, NULL},
    {what_decoder, "Metaspace", load_metaspace, NULL},
    {what_decoder, "Replace", load_replace, NULL},
    {what_decoder, "ByteFallback", load_byte_fallback, NULL},
    {what_decoder, "Fuse", load_fuse, NULL},
    {what_decoder, "Strip", load_strip, NULL},
    {what_decoder, "Sequence", NULL, "decoders"},
};

/* Appends the step, or those of a Sequence; nesting is bounded by the depth of the JSON. */
static pl_status load_node(const loader *l, const pl_json *node) {
    const char *type = pl_json_string(pl_json_get(node, "type"));
    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++) {
        if (types[i].what != l->what || strcmp(types[i].type, type) != 0)
            continue;
        if (types[i].load) {
            if (l->steps->count == PL_TOKENIZER_STEPS_MAX)
                return broken(l, "Sequence", "has too many steps");
            return types[i].load(l, node, &l->steps->list[l->steps->count++]);
        }
        const pl_json *list = pl_json_get(node, types[i].list);
        if (!pl_json_is_array(list))
            return broken(l, types[i].list, "must be an array");
        for (const pl_json *member = pl_json_first(list); member; member = pl_json_next(member))
            PL_TRY(load_node(l, member));
        return PL_OK;
    }
    return pl_load_refuse(l->what, type, l->error);
}

static pl_status load_steps(pl_tokenizer *tokenizer, pl_steps *steps, const char *what, const pl_json *node,
                            pl_error *error) {
    loader l = {tokenizer, steps, what, error};
    return !node || pl_json_is_null(node) ? PL_OK : load_node(&l, node);
}

pl_status pl_load_normalizer(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error) {
    return load_steps(tokenizer, &tokenizer->normalizer, what_normalizer, node, error);
}

pl_status pl_load_splitter(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error) {
    return load_steps(tokenizer, &tokenizer->splitter, what_splitter, node, error);
}

pl_status pl_load_decoder(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error) {
    tokenizer->has_decoder = node && !pl_json_is_null(node);
    PL_TRY(load_steps(tokenizer, &tokenizer->decoder, what_decoder, node, error));
    for (int32_t i = 0; i + 1 < tokenizer->decoder.count; i++)
        if (tokenizer->decoder.list[i].kind ==
            PL_STEP_BYTE_LEVEL) /* its bytes need not be text that others can read */
            return pl_load_refuse(what_decoder, "ByteLevel before another step", error);
    return PL_OK;
}
