/* The "model" of tokenizer.json: vocabulary and merges. */
#include <stdio.h>
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"

static pl_status wrong(pl_error *error, const char *sentence) {
    return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json: model: %s", sentence);
}

static pl_status load_vocab(pl_tokenizer *t, const pl_json *vocab, pl_error *error) {
    if (!pl_json_is_object(vocab))
        return wrong(error, "vocab must be an object of ids");
    size_t bytes = 0;
    int64_t largest = -1;
    size_t count = 0;
    for (const pl_json *token = pl_json_first(vocab); token; token = pl_json_next(token), count++) {
        bytes += strlen(pl_json_key(token)) + 1;
        double number = pl_json_number(token);
        if (!pl_json_is_number(token) || number < 0 || number >= PL_VOCAB_IDS_MAX ||
            number != (double)(int64_t)number)
            return pl_fail(error, PL_ERR_FORMAT,
                           "tokenizer.json: the id of \"%.60s\" must be an integer from 0 to %d",
                           pl_json_key(token), PL_VOCAB_IDS_MAX - 1);
        largest = (int64_t)number > largest ? (int64_t)number : largest;
    }
    if (largest < 0)
        return wrong(error, "vocab is empty");
    PL_TRY(pl_vocab_make(&t->vocab, t->memory, bytes + 1, count, (int32_t)largest + 1, error));
    for (const pl_json *token = pl_json_first(vocab); token; token = pl_json_next(token)) {
        const char *text = pl_json_key(token);
        PL_TRY(pl_vocab_add(&t->vocab, text, strlen(text), (int32_t)pl_json_number(token), error));
    }
    return PL_OK;
}

typedef struct merge_text {
    const char *left, *right;
    size_t left_length, right_length;
    bool skip; /* an old file's "#version" line */
} merge_text;

/* One merge: "left right" (the older form) or ["left", "right"]. *m is zero. */
static pl_status read_merge(const pl_json *merge, merge_text *m, pl_error *error) {
    const char *line = pl_json_string(merge);
    m->skip = line && strncmp(line, "#version", 8) == 0;
    if (m->skip)
        return PL_OK;
    if (line) {
        const char *space = strchr(line, ' ');
        if (!space || strchr(space + 1, ' '))
            return pl_fail(error, PL_ERR_FORMAT,
                           "tokenizer.json: the merge \"%.60s\" must be two tokens with a space between",
                           line);
        m->left = line;
        m->left_length = (size_t)(space - line);
        m->right = space + 1;
    } else {
        const pl_json *first = pl_json_first(merge), *second = pl_json_next(first);
        m->left = pl_json_string(first);
        m->right = pl_json_string(second);
        if (!pl_json_is_array(merge) || !m->left || !m->right || pl_json_next(second))
            return wrong(error, "a merge must be two tokens");
        m->left_length = strlen(m->left);
    }
    m->right_length = strlen(m->right);
    return PL_OK;
}

static pl_status add_merge(pl_tokenizer *t, const merge_text *m, uint32_t rank, pl_text *joined,
                           pl_error *error) {
    joined->length = 0;
    pl_text_bytes(joined, m->left, m->left_length);
    pl_text_bytes(joined, m->right, m->right_length);
    if (joined->failed)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the merges");
    int32_t left = pl_vocab_find(&t->vocab, m->left, m->left_length);
    int32_t right = pl_vocab_find(&t->vocab, m->right, m->right_length);
    int32_t result = pl_vocab_find(&t->vocab, joined->data, joined->length);
    if (left < 0 || right < 0 || result < 0)
        return pl_fail(error, PL_ERR_FORMAT,
                       "tokenizer.json: merge %u, which makes \"%.100s\": its %s is not in the vocabulary",
                       (unsigned)rank, joined->data,
                       left < 0    ? "left part"
                       : right < 0 ? "right part"
                                   : "result");
    uint64_t pair = (uint64_t)left << 32 | (uint32_t)right, value = (uint64_t)rank << 32 | (uint32_t)result;
    pl_map_result put =
        pl_map_set(&t->merges, pair, value); /* of two merges of a pair the later counts, as in tokenizers */
    if (put == PL_MAP_MEMORY)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the merges");
    return put == PL_MAP_COLLISIONS ? wrong(error, "the merges are made to collide") : PL_OK;
}

static pl_status load_merges(pl_tokenizer *t, const pl_json *merges, pl_error *error) {
    if (!pl_json_is_array(merges))
        return wrong(error, "merges must be an array");
    int32_t count = pl_json_size(merges);
    if (!pl_map_make(&t->merges, t->memory, (size_t)count))
        return pl_fail(error, PL_ERR_MEMORY, "no memory for %d merges", (int)count);
    pl_text joined = pl_text_make(t->memory);
    pl_status status = PL_OK;
    uint32_t rank = 0;
    for (const pl_json *merge = pl_json_first(merges); merge && status == PL_OK;
         merge = pl_json_next(merge)) {
        merge_text text = {0};
        status = read_merge(merge, &text, error);
        if (status == PL_OK && !text.skip)
            status = add_merge(t, &text, rank++, &joined, error);
    }
    pl_text_free(&joined);
    return status;
}

/* Features of BPE that no Llama-like tokenizer uses: must be off. */
static pl_status check_unused(const pl_json *model, pl_error *error) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const char *value = pl_json_string(pl_json_get(model, affixes[i]));
        if (value && *value)
            return pl_load_refuse(affixes[i], value, error);
    }
    if (pl_json_number(pl_json_get(model, "dropout")) != 0)
        return pl_load_refuse("model", "BPE with dropout", error);
    return PL_OK;
}

static void fill_char_ids(pl_tokenizer *t) {
    for (uint32_t point = 0; point < PL_CHAR_IDS; point++) {
        char text[4];
        int32_t length = pl_utf8_put(point, text);
        t->char_ids[point] = pl_vocab_find(&t->vocab, text, (size_t)length);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        int length = snprintf(text, sizeof text, "<0x%02X>", byte);
        t->byte_ids[byte] = pl_vocab_find(&t->vocab, text, (size_t)length);
    }
}

/* Without a pre-tokeniser a whole text is one piece for BPE. But if every token has U+2581, the stand-in
   for a space, only at its beginning (or behind another one), nothing ever merges across the beginning of
   a word, so words can go one by one. Unless unknown characters vanish: then the last U+2581 of one word
   may meet the first of the next. */
static bool cuts_at_mark(const pl_tokenizer *t) {
    static const char mark[] = "\xE2\x96\x81";
    const pl_vocab *vocab = &t->vocab;
    if (pl_vocab_find(vocab, mark, 3) < 0 || t->unk < 0)
        return false;
    for (int32_t id = 0; id < vocab->ids; id++) {
        size_t length;
        const char *text = pl_vocab_text(vocab, id, &length);
        for (size_t at = 1; at + 3 <= length; at++)
            if (memcmp(text + at, mark, 3) == 0 && (at < 3 || memcmp(text + at - 3, mark, 3) != 0))
                return false;
    }
    return true;
}

pl_status pl_load_model(pl_tokenizer *t, const pl_json *model, pl_error *error) {
    if (!pl_json_is_object(model))
        return wrong(error, "must be an object");
    const pl_json *type = pl_json_get(model, "type");
    const char *name = pl_json_string(type);
    if (type ? !name || strcmp(name, "BPE") != 0 : !pl_json_get(model, "merges"))
        return pl_load_refuse("model", name, error);
    PL_TRY(check_unused(model, error));
    PL_TRY(pl_json_get_bool(model, "tokenizer.json", "byte_fallback", false, &t->byte_fallback, error));
    PL_TRY(pl_json_get_bool(model, "tokenizer.json", "fuse_unk", false, &t->fuse_unk, error));
    PL_TRY(pl_json_get_bool(model, "tokenizer.json", "ignore_merges", false, &t->ignore_merges, error));
    PL_TRY(load_vocab(t, pl_json_get(model, "vocab"), error));
    PL_TRY(load_merges(t, pl_json_get(model, "merges"), error));
    fill_char_ids(t);
    t->unk = -1;
    const pl_json *unk = pl_json_get(model, "unk_token");
    const char *unk_text = pl_json_string(unk);
    if (unk && !pl_json_is_null(unk)) {
        t->unk = unk_text ? pl_vocab_find(&t->vocab, unk_text, strlen(unk_text)) : -1;
        if (t->unk < 0)
            return wrong(error, "unk_token is not in the vocabulary");
    }
    t->cuts_at_mark = cuts_at_mark(t);
    return PL_OK;
}
