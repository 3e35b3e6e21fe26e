/* Ids to text: the strings of the tokens, then the steps of the decoder, each over all tokens. */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"

/* Tokens between two steps of the decoder: one text, cut at ends[]. */
typedef struct pieces {
    pl_text text;
    pl_ids ends; /* [i] where piece i ends in text */
} pieces;

typedef struct decoder {
    pieces now, next;
    pl_text scratch[2];
} decoder;

static bool failed(const decoder *d) {
    return d->now.text.failed || d->next.text.failed || d->now.ends.failed || d->next.ends.failed ||
           d->scratch[0].failed || d->scratch[1].failed;
}

static void begin_step(decoder *d) {
    d->next.text.length = 0;
    d->next.ends.count = 0;
}

static void end_piece(pieces *p) { pl_ids_push(&p->ends, (int32_t)p->text.length); }

static void end_step(decoder *d) {
    pieces swap = d->now;
    d->now = d->next;
    d->next = swap;
}

static const char *piece_at(const pieces *p, int32_t index, size_t *length) {
    size_t begin = index > 0 ? (size_t)p->ends.list[index - 1] : 0;
    *length = (size_t)p->ends.list[index] - begin;
    return p->text.data + begin;
}

/* A token of GPT-2's characters as the bytes they stand for; any other token as it is. */
static void bytes_of_token(pl_text *out, const char *text, size_t length) {
    size_t before = out->length;
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int32_t step = pl_utf8_next(text + at, length - at, &point);
        int32_t byte = step > 0 ? pl_char_byte(point) : -1;
        if (byte < 0) {
            out->length = before;
            pl_text_bytes(out, text, length);
            return;
        }
        char value = (char)byte;
        pl_text_bytes(out, &value, 1);
        at += (size_t)step;
    }
}

static int32_t hex_digit(char ch) {
    return ch >= '0' && ch <= '9'   ? ch - '0'
           : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
           : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                                    : -1;
}

/* The byte of "<0xHH>", or -1. */
static int32_t byte_token(const char *text, size_t length) {
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int32_t high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of byte tokens: text if the bytes are UTF-8, else one U+FFFD for each. At the end of the tokens a
   run that is good but for its unfinished last character stays as bytes, so that a stream can go on from
   there. */
static void end_byte_run(pl_text *out, const char *bytes, size_t count, bool at_end) {
    bool truncated = false;
    size_t at = 0;
    uint32_t point;
    for (int32_t step; at < count; at += (size_t)step) {
        step = pl_utf8_next(bytes + at, count - at, &point);
        if (step == 0) {
            (void)pl_utf8_bad(bytes + at, count - at, &truncated);
            break;
        }
    }
    if (at == count || (truncated && at_end)) {
        pl_text_bytes(out, bytes, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        pl_text_bytes(out, "\xEF\xBF\xBD", 3);
}

static void byte_fallback(decoder *d) {
    pl_text *run = &d->scratch[0];
    begin_step(d);
    run->length = 0;
    for (int32_t i = 0; i <= d->now.ends.count; i++) {
        bool at_end = i == d->now.ends.count;
        size_t length = 0;
        const char *text = at_end ? "" : piece_at(&d->now, i, &length);
        int32_t byte = byte_token(text, length);
        if (byte >= 0) {
            char value = (char)byte;
            pl_text_bytes(run, &value, 1);
            continue;
        }
        if (run->length > 0) {
            end_byte_run(&d->next.text, run->data, run->length, at_end);
            end_piece(&d->next);
            run->length = 0;
        }
        if (!at_end) {
            pl_text_bytes(&d->next.text, text, length);
            end_piece(&d->next);
        }
    }
    end_step(d);
}

static void fuse(decoder *d) {
    d->now.ends.count = 0;
    end_piece(&d->now);
}

static void strip(pl_text *out, const char *text, size_t length, const pl_step *step) {
    const size_t size = step->text_length;
    size_t begin = 0, end = length;
    for (int32_t i = 0; i < step->start && end - begin >= size && memcmp(text + begin, step->text, size) == 0;
         i++)
        begin += size;
    for (int32_t i = 0;
         i < step->stop && end - begin >= size && memcmp(text + end - size, step->text, size) == 0; i++)
        end -= size;
    pl_text_bytes(out, text + begin, end - begin);
}

/* The steps that treat every token for itself. */
static void each_token(decoder *d, const pl_step *step) {
    begin_step(d);
    for (int32_t i = 0; i < d->now.ends.count; i++) {
        size_t length;
        const char *text = piece_at(&d->now, i, &length);
        pl_text *out = &d->next.text;
        if (step->kind == PL_STEP_BYTE_LEVEL) {
            bytes_of_token(out, text, length);
        } else if (step->kind == PL_STEP_STRIP) {
            strip(out, text, length, step);
        } else if (step->kind == PL_STEP_METASPACE) { /* the prepended one goes away again */
            bool drop = i == 0 && step->prepend != PL_PREPEND_NEVER;
            pl_replace(out, text, length, step->text, step->text_length, " ", drop ? 0 : 1);
        } else {
            pl_replace(out, text, length, step->text, step->text_length, step->content, step->content_length);
        }
        end_piece(&d->next);
    }
    end_step(d);
}

static void run_steps(decoder *d, const pl_steps *steps) {
    for (int32_t i = 0; i < steps->count && !failed(d); i++) {
        if (steps->list[i].kind == PL_STEP_FUSE)
            fuse(d);
        else if (steps->list[i].kind == PL_STEP_BYTE_FALLBACK)
            byte_fallback(d);
        else
            each_token(d, &steps->list[i]);
    }
}

/* The string of a token, or NULL when it is left out: special, or an id that no token has. An added token
   that was found in normalised text is decoded from its normalised form, as tokenizers does since 0.23. */
static const char *token_text(const pl_tokenizer *t, decoder *d, int32_t id, bool skip_special,
                              size_t *length) {
    const char *text = pl_vocab_text(&t->added, id, length);
    if (!text)
        return pl_vocab_text(&t->vocab, id, length);
    if (skip_special && (t->flags[id] & PL_ADDED_SPECIAL))
        return NULL;
    if (!(t->flags[id] & PL_ADDED_NORMAL) || t->normalizer.count == 0)
        return text;
    (void)pl_normalize(&t->normalizer, text, *length, &d->scratch[0], &d->scratch[1]);
    *length = d->scratch[0].length;
    return d->scratch[0].data;
}

static pl_status look_up(const pl_tokenizer *t, decoder *d, const int32_t *tokens, int32_t count,
                         bool skip_special, pl_error *error) {
    const int32_t size = pl_tokenizer_vocab_size(t);
    for (int32_t i = 0; i < count && !failed(d); i++) {
        if (tokens[i] < 0 || tokens[i] >= size)
            return pl_fail(error, PL_ERR_RANGE, "token %d is outside the vocabulary 0..%d", (int)tokens[i],
                           (int)size - 1);
        size_t length;
        const char *text = token_text(t, d, tokens[i], skip_special, &length);
        if (!text)
            continue;
        if (d->now.text.length > INT32_MAX / 8)
            return pl_fail(error, PL_ERR_RANGE, "the text of %d tokens is too long", (int)count);
        if (!t->has_decoder && d->now.ends.count > 0)
            pl_text_bytes(&d->now.text, " ", 1);
        pl_text_bytes(&d->now.text, text, length);
        end_piece(&d->now);
    }
    return PL_OK;
}

static decoder decoder_make(pl_memory *memory) {
    decoder d = {.now = {pl_text_make(memory), {.memory = memory}},
                 .next = {pl_text_make(memory), {.memory = memory}}};
    d.scratch[0] = pl_text_make(memory);
    d.scratch[1] = pl_text_make(memory);
    pl_text_bytes(&d.now.text, "", 0); /* so that even no tokens give a text */
    pl_text_bytes(&d.next.text, "", 0);
    return d;
}

/* Frees everything but the result. */
static void decoder_close(pl_memory *memory, decoder *d) {
    pl_text_free(&d->scratch[0]);
    pl_text_free(&d->scratch[1]);
    pl_text_free(&d->next.text);
    pl_memory_free(memory, d->next.ends.list);
    pl_memory_free(memory, d->now.ends.list);
}

pl_status pl_tokenizer_decode(const pl_tokenizer *tokenizer, pl_memory *memory, const int32_t *tokens,
                              int32_t count, bool skip_special, char **text, size_t *length,
                              pl_error *error) {
    *text = NULL;
    *length = 0;
    decoder d = decoder_make(memory);
    pl_status status = look_up(tokenizer, &d, tokens, count, skip_special, error);
    if (status == PL_OK)
        run_steps(&d, &tokenizer->decoder);
    if (status == PL_OK && failed(&d))
        status = pl_fail(error, PL_ERR_MEMORY, "no memory for the text of %d tokens", (int)count);
    decoder_close(memory, &d);
    if (status != PL_OK) {
        pl_text_free(&d.now.text);
        return status;
    }
    d.now.text.data[d.now.text.length] = '\0';
    *text = d.now.text.data;
    *length = d.now.text.length;
    return PL_OK;
}
