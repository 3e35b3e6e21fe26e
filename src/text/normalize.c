/* Rewriting text: the normalisers Prepend and Replace, and the byte alphabet of GPT-2. */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"

void pl_replace(pl_text *out, const char *text, size_t length, const char *from, size_t from_length,
                const char *to, size_t to_length) {
    size_t done = 0;
    for (size_t at = 0; at + from_length <= length;) {
        if (text[at] != from[0] || memcmp(text + at, from, from_length) != 0) {
            at++;
            continue;
        }
        pl_text_bytes(out, text + done, at - done);
        pl_text_bytes(out, to, to_length);
        at += from_length;
        done = at;
    }
    pl_text_bytes(out, text + done, length - done);
}

/* How many bytes at the start of the text stand for the first character of what it was made from, after a replacement: what is put in place of
   several characters stands for the last of them. */
static size_t start_replaced(const pl_text *text, const pl_step *step, size_t start) {
    size_t kept = 0;
    for (size_t at = 0; at < start;) {
        if (at + step->text_length > text->length ||
            memcmp(text->data + at, step->text, step->text_length) != 0) {
            at++;
            kept++;
            continue;
        }
        at += step->text_length;
        if (at > start)
            break;
        kept += step->content_length;
    }
    return kept;
}

bool pl_normalize(const pl_steps *steps, const char *text, size_t length, pl_text *out, pl_text *other) {
    uint32_t point;
    size_t start = length ? (size_t)pl_utf8_next(text, length, &point) : 0;
    out->length = 0;
    pl_text_bytes(out, text, length);
    for (int32_t i = 0; i < steps->count && !out->failed; i++) {
        const pl_step *step = &steps->list[i];
        other->length = 0;
        if (step->kind == PL_STEP_REPLACE) {
            start = start_replaced(out, step, start);
            pl_replace(other, out->data, out->length, step->text, step->text_length, step->content,
                       step->content_length);
        } else { /* PL_STEP_PREPEND */
            if (out->length)
                pl_text_bytes(other, step->text, step->text_length);
            pl_text_bytes(other, out->data, out->length);
            start += start ? step->text_length : 0;
        }
        pl_text swap = *out;
        *out = *other;
        *other = swap;
    }
    return start > 0;
}

/* Printable bytes stand for themselves, the 68 others for U+0100..U+0143 in their order: 0..32, 127..160,
   173. */
uint32_t pl_byte_char(uint8_t byte) {
    if (byte <= 32)
        return 256u + byte;
    if (byte >= 127 && byte <= 160)
        return 256u + 33u + byte - 127u;
    return byte == 173 ? 256u + 67u : byte;
}

int32_t pl_char_byte(uint32_t point) {
    if (point > 32 && point < 256 && !(point >= 127 && point <= 160) && point != 173)
        return (int32_t)point;
    if (point < 256 || point > 256 + 67)
        return -1;
    uint32_t index = point - 256;
    return (int32_t)(index <= 32 ? index : index < 67 ? index - 33 + 127 : 173);
}
