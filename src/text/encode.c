/* Text to ids: cut at added tokens, normalise, cut again, split into pieces, BPE of each piece. */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"
#include "text/unicode/unicode.h"

enum { TEXT_BYTES_MAX = 1 << 28 }; /* positions, three times over, fit in int32_t */

typedef struct encoder {
    const pl_tokenizer *tokenizer;
    pl_ids ids;
    pl_bpe bpe;
    pl_text normal[2];                         /* the normaliser's result and scratch */
    pl_text stages[PL_TOKENIZER_STEPS_MAX][2]; /* buffers of the pre-tokeniser's steps */
} encoder;

static void split(encoder *e, int32_t step, const char *text, size_t length, bool first);

/* Bytes to GPT-2's characters. */
static void map_bytes(pl_text *out, const char *text, size_t length) {
    out->length = 0;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        int32_t size = pl_utf8_put(pl_byte_char((uint8_t)text[i]), bytes);
        pl_text_bytes(out, bytes, (size_t)size);
    }
}

static void split_bytes(encoder *e, int32_t index, const pl_step *step, const char *text, size_t length,
                        bool first) {
    pl_text *prefixed = &e->stages[index][0], *mapped = &e->stages[index][1];
    if (step->prefix_space && text[0] != ' ') {
        prefixed->length = 0;
        pl_text_bytes(prefixed, " ", 1);
        pl_text_bytes(prefixed, text, length);
        if (prefixed->failed)
            return;
        text = prefixed->data;
        length = prefixed->length;
    }
    for (size_t at = 0, piece; at < length; at += piece) {
        piece = step->split ? pl_scan_pattern(PL_PATTERN_GPT2, text + at, length - at) : length;
        map_bytes(mapped, text + at, piece);
        if (mapped->failed)
            return;
        split(e, index + 1, mapped->data, mapped->length, first && at == 0);
    }
}

/* Spaces to the replacement, one more in front where the scheme says so; with split, every replacement
   begins a piece. */
static void split_metaspace(encoder *e, int32_t index, const pl_step *step, const char *text, size_t length,
                            bool first) {
    pl_text *out = &e->stages[index][0];
    const size_t mark = step->text_length;
    out->length = 0;
    bool starts = text[0] == ' ' || (length >= mark && memcmp(text, step->text, mark) == 0);
    if (!starts && (step->prepend == PL_PREPEND_ALWAYS || (step->prepend == PL_PREPEND_FIRST && first)))
        pl_text_bytes(out, step->text, mark);
    pl_replace(out, text, length, " ", 1, step->text, mark);
    if (out->failed)
        return;
    for (size_t at = 0, next; at < out->length; at = next) {
        next = out->length;
        for (size_t i = at + 1; step->split && i + mark <= out->length; i++) {
            if (out->data[i] == step->text[0] && memcmp(out->data + i, step->text, mark) == 0) {
                next = i;
                break;
            }
        }
        split(e, index + 1, out->data + at, next - at, first && at == 0);
    }
}

/* Step number `step` of the pre-tokeniser, then the following ones on each piece, then BPE. first: the piece
   begins the whole text. */
static void split(encoder *e, int32_t index, const char *text, size_t length, bool first) {
    const pl_steps *steps = &e->tokenizer->splitter;
    if (index == steps->count) {
        pl_bpe_encode(e->tokenizer, &e->bpe, text, length, &e->ids);
        return;
    }
    const pl_step *step = &steps->list[index];
    if (step->kind == PL_STEP_BYTE_LEVEL) {
        split_bytes(e, index, step, text, length, first);
        return;
    }
    if (step->kind == PL_STEP_METASPACE) {
        split_metaspace(e, index, step, text, length, first);
        return;
    }
    for (size_t at = 0, piece; at < length; at += piece) {
        piece = step->kind == PL_STEP_DIGITS ? pl_scan_digits(step->individual, text + at, length - at)
                                             : pl_scan_pattern(step->pattern, text + at, length - at);
        split(e, index + 1, text + at, piece, first && at == 0);
    }
}

/* Where the character before at begins; at > 0. */
static size_t previous_char(const char *text, size_t at) {
    do
        at--;
    while (at > 0 && ((uint8_t)text[at] & 0xC0u) == 0x80u);
    return at;
}

static bool word_at(const char *text, size_t length, size_t at) {
    uint32_t point;
    return pl_utf8_next(text + at, length - at, &point) > 0 && pl_unicode_is_word(point);
}

static size_t spaces_before(const char *text, size_t at) {
    uint32_t point;
    while (at > 0) {
        size_t before = previous_char(text, at);
        if (pl_utf8_next(text + before, at - before, &point) == 0 || !pl_unicode_is_space(point))
            break;
        at = before;
    }
    return at;
}

static size_t spaces_behind(const char *text, size_t length, size_t at) {
    uint32_t point;
    for (int32_t step; at < length; at += (size_t)step) {
        step = pl_utf8_next(text + at, length - at, &point);
        if (step == 0 || !pl_unicode_is_space(point))
            break;
    }
    return at;
}

typedef void (*piece_function)(encoder *e, const char *text, size_t length, bool first);

/* Cuts text at the added tokens of a tree; what lies between goes to `between`. lstrip and rstrip may
   swallow spaces that the next token wants too; then, as in tokenizers, both tokens come out, unless nothing
   is left of the next. */
static void cut(encoder *e, const pl_trie *trie, const char *text, size_t length, bool first,
                piece_function between) {
    size_t done = 0, from = 0, start, stop;
    int32_t id;
    while (pl_trie_find(trie, text, length, from, &start, &stop, &id)) {
        uint8_t flags = e->tokenizer->flags[id];
        from = stop;
        if ((flags & PL_ADDED_WORD) && ((start > 0 && word_at(text, length, previous_char(text, start))) ||
                                        (stop < length && word_at(text, length, stop))))
            continue;
        if (flags & PL_ADDED_LEFT) {
            start = spaces_before(text, start);
            start = start < done ? done : start;
        }
        if (flags & PL_ADDED_RIGHT)
            stop = spaces_behind(text, length, stop);
        if (start >= stop)
            continue;
        if (done < start)
            between(e, text + done, start - done, first && done == 0);
        pl_ids_push(&e->ids, id);
        done = stop;
    }
    if (done < length)
        between(e, text + done, length - done, first && done == 0);
}

static void split_first_step(encoder *e, const char *text, size_t length, bool first) {
    split(e, 0, text, length, first);
}

static void normalize_piece(encoder *e, const char *text, size_t length, bool first) {
    if (e->tokenizer->normalizer.count > 0) {
        first &= pl_normalize(&e->tokenizer->normalizer, text, length, &e->normal[0], &e->normal[1]);
        if (e->normal[0].failed || e->normal[1].failed)
            return;
        text = e->normal[0].data;
        length = e->normal[0].length;
    }
    cut(e, &e->tokenizer->normal, text, length, first, split_first_step);
}

/* Copies text with U+FFFD for every ill-formed part. */
static void repair(pl_text *out, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int32_t step = pl_utf8_next(text + at, length - at, &point);
        if (step > 0) {
            pl_text_bytes(out, text + at, (size_t)step);
        } else {
            step = pl_utf8_bad(text + at, length - at, NULL);
            pl_text_bytes(out, "\xEF\xBF\xBD", 3);
        }
        at += (size_t)step;
    }
}

static bool finish(encoder *e) {
    bool failed = e->ids.failed || e->bpe.failed;
    for (int i = 0; i < 2; i++) {
        failed = failed || e->normal[i].failed;
        pl_text_free(&e->normal[i]);
        for (int k = 0; k < PL_TOKENIZER_STEPS_MAX; k++) {
            failed = failed || e->stages[k][i].failed;
            pl_text_free(&e->stages[k][i]);
        }
    }
    pl_bpe_free(&e->bpe);
    return !failed;
}

pl_status pl_tokenizer_encode(const pl_tokenizer *tokenizer, pl_memory *memory, const char *text,
                              size_t length, bool add_special, int32_t **tokens, int32_t *count,
                              pl_error *error) {
    *tokens = NULL;
    *count = 0;
    if (length > TEXT_BYTES_MAX)
        return pl_fail(error, PL_ERR_RANGE, "a text of %zu bytes is over the limit of %d", length,
                       TEXT_BYTES_MAX);
    encoder e = {.tokenizer = tokenizer, .ids = {.memory = memory}, .bpe = {.memory = memory}};
    for (int i = 0; i < 2; i++) {
        e.normal[i] = pl_text_make(memory);
        for (int k = 0; k < PL_TOKENIZER_STEPS_MAX; k++)
            e.stages[k][i] = pl_text_make(memory);
    }
    pl_text repaired = pl_text_make(memory);
    if (!pl_utf8_valid(text, length)) {
        repair(&repaired, text, length);
        text = repaired.data;
        length = repaired.length;
    }
    for (int32_t i = 0; add_special && i < tokenizer->before_count; i++)
        pl_ids_push(&e.ids, tokenizer->before[i]);
    if (!repaired.failed)
        cut(&e, &tokenizer->raw, text, length, true, normalize_piece);
    for (int32_t i = 0; add_special && i < tokenizer->after_count; i++)
        pl_ids_push(&e.ids, tokenizer->after[i]);
    bool good = !repaired.failed && finish(&e);
    if (repaired.failed)
        (void)finish(&e);
    pl_text_free(&repaired);
    if (good && !e.ids.list) /* an empty text is a valid list of no tokens */
        good = (e.ids.list = pl_memory_alloc(memory, 1, sizeof *e.ids.list)) != NULL;
    if (!good) {
        pl_memory_free(memory, e.ids.list);
        return pl_fail(error, PL_ERR_MEMORY, "no memory to tokenize a text of %zu bytes", length);
    }
    *tokens = e.ids.list;
    *count = e.ids.count;
    return PL_OK;
}
