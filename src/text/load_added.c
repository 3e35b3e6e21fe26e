/* The "added_tokens" and the "post_processor" of tokenizer.json. */
#include <string.h>

#include "text/tokenizer_parts.h"

/* Everything but the name of one added token. */
static pl_status read_flags(const pl_json *node, uint8_t *flags, bool *normalized, pl_error *error) {
    static const struct {
        const char *key;
        uint8_t flag;
    } keys[] = {{"special", PL_ADDED_SPECIAL},
                {"lstrip", PL_ADDED_LEFT},
                {"rstrip", PL_ADDED_RIGHT},
                {"single_word", PL_ADDED_WORD}};
    *flags = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool on = false;
        PL_TRY(pl_json_get_bool(node, "tokenizer.json: added token", keys[i].key, true, &on, error));
        *flags = (uint8_t)(*flags | (on ? keys[i].flag : 0));
    }
    return pl_json_get_bool(node, "tokenizer.json: added token", "normalized", true, normalized, error);
}

/* tokenizers ignores the file's id and takes the vocabulary's, or the next free one: refuse a file where
   they differ, since its author and its users would mean different rows of the embedding. */
static pl_status check_id(const pl_tokenizer *t, const char *text, int32_t id, int32_t model_tokens,
                          int32_t largest, pl_error *error) {
    int32_t known = pl_vocab_find(&t->vocab, text, strlen(text));
    int32_t wanted = known >= 0 ? known : largest >= model_tokens ? largest + 1 : model_tokens;
    if (id == wanted)
        return PL_OK;
    return pl_fail(error, PL_ERR_FORMAT,
                   "tokenizer.json: added token \"%.60s\" has id %d, but its place is %d", text, (int)id,
                   (int)wanted);
}

static pl_status add_token(pl_tokenizer *t, const pl_json *node, int32_t model_tokens, int32_t *largest,
                           pl_error *error) {
    const char *text = pl_json_string(pl_json_get(node, "content"));
    if (!text || !*text)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: an added token has no content");
    int64_t id = 0;
    uint8_t flags;
    bool normalized = false;
    PL_TRY(pl_json_get_int(node, "tokenizer.json: added token", "id", true, 0, PL_VOCAB_IDS_MAX - 1, &id,
                           error));
    PL_TRY(read_flags(node, &flags, &normalized, error));
    PL_TRY(check_id(t, text, (int32_t)id, model_tokens, *largest, error));
    PL_TRY(pl_vocab_add(&t->added, text, strlen(text), (int32_t)id, error));
    if (id < t->vocab.ids && t->vocab.entries[id].length != 0 &&
        pl_vocab_find(&t->vocab, text, strlen(text)) != (int32_t)id)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: id %d of added token \"%.60s\" is taken",
                       (int)id, text);
    t->flags[id] = (uint8_t)(flags | (normalized ? PL_ADDED_NORMAL : 0));
    *largest = (int32_t)id > *largest ? (int32_t)id : *largest;
    return PL_OK;
}

/* Puts the token where it will be looked for: as it is, or the way the normaliser changes it. */
static pl_status add_to_tree(pl_tokenizer *t, const pl_json *node, pl_text work[2], pl_error *error) {
    const char *text = pl_json_string(pl_json_get(node, "content"));
    size_t length = strlen(text);
    int32_t id = pl_vocab_find(&t->added, text, length);
    if (!pl_json_bool(pl_json_get(node, "normalized")))
        return pl_trie_add(&t->raw, text, length, id, error);
    (void)pl_normalize(&t->normalizer, text, length, &work[0], &work[1]);
    if (work[0].failed || work[1].failed)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the added tokens");
    if (work[0].length == 0)
        return pl_fail(error, PL_ERR_FORMAT,
                       "tokenizer.json: the normalizer leaves nothing of added token \"%.60s\"", text);
    return pl_trie_add(&t->normal, work[0].data, work[0].length, id, error);
}

/* How many bytes the tokens have once normalised, at most: every byte may become content and more. */
static size_t tree_bytes(const pl_tokenizer *t, size_t bytes, size_t count) {
    for (int32_t i = 0; i < t->normalizer.count; i++) {
        const pl_step *step = &t->normalizer.list[i];
        bytes = step->kind == PL_STEP_PREPEND ? bytes + count * step->text_length
                                              : bytes * (step->content_length + 1);
        if (bytes > INT32_MAX / 16)
            return INT32_MAX;
    }
    return bytes;
}

static pl_status fill_trees(pl_tokenizer *t, const pl_json *list, size_t bytes, size_t count,
                            pl_error *error) {
    PL_TRY(pl_trie_make(&t->raw, t->memory, bytes, error));
    PL_TRY(pl_trie_make(&t->normal, t->memory, tree_bytes(t, bytes, count), error));
    pl_text work[2] = {pl_text_make(t->memory), pl_text_make(t->memory)};
    pl_status status = PL_OK;
    for (int special = 1; special >= 0;
         special--) { /* the order of tokenizers, which decides between equal texts */
        for (const pl_json *node = pl_json_first(list); node && status == PL_OK; node = pl_json_next(node))
            if (pl_json_bool(pl_json_get(node, "special")) == (special == 1))
                status = add_to_tree(t, node, work, error);
    }
    pl_text_free(&work[0]);
    pl_text_free(&work[1]);
    return status;
}

pl_status pl_load_added(pl_tokenizer *t, const pl_json *list, pl_error *error) {
    if (list && !pl_json_is_null(list) && !pl_json_is_array(list))
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: added_tokens must be an array");
    size_t bytes = 1, count = 0;
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node), count++) {
        const char *text = pl_json_string(pl_json_get(node, "content"));
        bytes += text ? strlen(text) + 1 : 0;
    }
    int64_t ids = (int64_t)t->vocab.ids + (int64_t)count;
    if (ids > PL_VOCAB_IDS_MAX)
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: more than %d tokens", PL_VOCAB_IDS_MAX);
    PL_TRY(pl_vocab_make(&t->added, t->memory, bytes, count, (int32_t)ids, error));
    t->flags = pl_memory_alloc(t->memory, (size_t)ids, sizeof *t->flags);
    if (!t->flags)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the added tokens");
    int32_t largest = -1, model_tokens = (int32_t)t->vocab.lookup.count;
    for (const pl_json *node = pl_json_first(list); node; node = pl_json_next(node))
        PL_TRY(add_token(t, node, model_tokens, &largest, error));
    return fill_trees(t, list, bytes, count, error);
}

/* ---- post-processor ---- */

static pl_status wrong_template(pl_error *error) {
    return pl_fail(
        error, PL_ERR_FORMAT,
        "tokenizer.json: post_processor: its template must be special tokens around one sequence A");
}

/* Appends the ids of a special token of the template. */
static pl_status push_special(const pl_tokenizer *t, const pl_json *tokens, const char *name, pl_ids *ids,
                              pl_error *error) {
    const pl_json *list = pl_json_get(name ? pl_json_get(tokens, name) : NULL, "ids");
    if (!pl_json_is_array(list))
        return wrong_template(error);
    for (const pl_json *id = pl_json_first(list); id; id = pl_json_next(id)) {
        double number = pl_json_number(id);
        if (!pl_json_is_number(id) || !(number >= 0 && number < pl_tokenizer_vocab_size(t)) ||
            number != (double)(int32_t)number)
            return pl_fail(error, PL_ERR_FORMAT,
                           "tokenizer.json: post_processor: \"%.60s\" is no token of the vocabulary", name);
        pl_ids_push(ids, (int32_t)number);
    }
    return PL_OK;
}

static pl_status load_single(pl_tokenizer *t, const pl_json *node, pl_ids ids[2], pl_error *error) {
    int side = 0;
    for (const pl_json *part = pl_json_first(pl_json_get(node, "single")); part; part = pl_json_next(part)) {
        const pl_json *special = pl_json_get(part, "SpecialToken"), *sequence = pl_json_get(part, "Sequence");
        const char *name = pl_json_string(pl_json_get(special ? special : sequence, "id"));
        if (special)
            PL_TRY(push_special(t, pl_json_get(node, "special_tokens"), name, &ids[side], error));
        else if (name && strcmp(name, "A") == 0 && side == 0)
            side = 1;
        else
            return wrong_template(error);
    }
    return side == 1 ? PL_OK : wrong_template(error);
}

static pl_status load_processor(pl_tokenizer *t, const pl_json *node, bool *done, pl_error *error) {
    const char *type = pl_json_string(pl_json_get(node, "type"));
    if (type && strcmp(type, "ByteLevel") == 0) /* changes offsets only */
        return PL_OK;
    if (type && strcmp(type, "Sequence") == 0) {
        for (const pl_json *part = pl_json_first(pl_json_get(node, "processors")); part;
             part = pl_json_next(part))
            PL_TRY(load_processor(t, part, done, error));
        return PL_OK;
    }
    if (!type || strcmp(type, "TemplateProcessing") != 0 || *done)
        return pl_load_refuse("post_processor", *done ? "several templates" : type, error);
    *done = true;
    pl_ids ids[2] = {{.memory = t->memory}, {.memory = t->memory}};
    pl_status status = load_single(t, node, ids, error);
    t->before = ids[0].list;
    t->before_count = ids[0].count;
    t->after = ids[1].list;
    t->after_count = ids[1].count;
    if (status == PL_OK && (ids[0].failed || ids[1].failed))
        status = pl_fail(error, PL_ERR_MEMORY, "no memory for the post-processor");
    return status;
}

pl_status pl_load_template(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error) {
    bool done = false;
    return !node || pl_json_is_null(node) ? PL_OK : load_processor(tokenizer, node, &done, error);
}
