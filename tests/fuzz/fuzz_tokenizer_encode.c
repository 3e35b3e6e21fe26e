/* Text through four tokenizers made here (the first byte chooses): byte level must give the text back,
 * whatever its bytes; SentencePiece style must give it back too; BPE must agree with a slow search; scanners
 * must cover the text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/utf8.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = 4 };

static void require(bool condition) {
    if (!condition)
        abort();
}

static const char by_gpt2[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}";
static const char by_llama3[] =
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'"
    "ve|'m|'ll|'d)|"
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
    "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}";
static const char by_digits[] =
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}";
static const char *const splitters[KINDS] = {by_gpt2, by_llama3, by_digits, "null"};

static const char *const merges[] = {"t h", "th e", "i n", "in g", "a n", "an d",  "e r",
                                     "' s", "o u",  "1 2", "12 3", "a a", "aa aa", "h e"};

/* Byte-level kinds have GPT-2's 256 characters, the other one "<0x00>" … and U+2581. */
static void write_vocab(pl_text *out, bool bytes) {
    int32_t id = 0;
    pl_write_key(out, "vocab");
    pl_write_begin(out, '{');
    for (unsigned byte = 0; byte < 256; byte++) {
        char token[8] = {0};
        if (bytes)
            (void)pl_utf8_put(pl_byte_char((uint8_t)byte), token);
        else
            (void)snprintf(token, sizeof token, "<0x%02X>", byte);
        pl_write_key_int(out, token, id++);
    }
    static const char *const extra[] = {"a", "n", "d", "t", "h", "e", "i", "g",           "r",
                                        "'", "s", "o", "u", "1", "2", "3", "\xe2\x96\x81"};
    for (size_t i = 0; !bytes && i < sizeof extra / sizeof *extra; i++)
        pl_write_key_int(out, extra[i], id++);
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        char token[16];
        const char *space = strchr(merges[i], ' ');
        (void)snprintf(token, sizeof token, "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        pl_write_key_int(out, token, id++);
    }
    pl_write_end(out, '}');
}

static pl_tokenizer *make(pl_memory *memory, int kind) {
    static const char decoder[] = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
                                  "\"String\":\"\xe2\x96\x81\"},\"content\":\" \"},"
                                  "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}";
    static const char normalizer[] =
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}";
    bool bytes = kind != KINDS - 1;
    pl_text out = pl_text_make(memory);
    pl_write_begin(&out, '{');
    pl_write_key(&out, "pre_tokenizer");
    pl_text_bytes(&out, splitters[kind], strlen(splitters[kind]));
    pl_text_bytes(&out, ",\"decoder\":", 11);
    pl_text_bytes(&out, bytes ? "{\"type\":\"ByteLevel\"}" : decoder, bytes ? 20 : sizeof decoder - 1);
    pl_text_bytes(&out, ",\"normalizer\":", 14);
    pl_text_bytes(&out, bytes ? "null" : normalizer, bytes ? 4 : sizeof normalizer - 1);
    out.comma = true;
    pl_write_key(&out, "model");
    pl_write_begin(&out, '{');
    pl_write_key_string(&out, "type", "BPE");
    pl_write_key_bool(&out, "byte_fallback", !bytes);
    write_vocab(&out, bytes);
    pl_write_key(&out, "merges");
    pl_write_begin(&out, '[');
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        pl_write_string(&out, merges[i]);
    pl_write_end(&out, ']');
    pl_write_end(&out, '}');
    pl_write_end(&out, '}');
    pl_tokenizer *tokenizer;
    pl_error error;
    require(!out.failed);
    require(pl_tokenizer_load(memory, out.data, out.length, &tokenizer, &error) == PL_OK);
    pl_text_free(&out);
    return tokenizer;
}

static void repair(pl_text *out, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        uint32_t point;
        int32_t step = pl_utf8_next(text + at, length - at, &point);
        if (step > 0)
            pl_text_bytes(out, text + at, (size_t)step);
        else
            pl_text_bytes(out, "\xef\xbf\xbd", 3);
        at += (size_t)(step > 0 ? step : pl_utf8_bad(text + at, length - at, NULL));
    }
}

/* Merges as the definition says; the encoder's result must not change under it. */
static void check_finished(const pl_tokenizer *t, const char *text, size_t length) {
    pl_memory memory = {0};
    pl_bpe bpe = {.memory = &memory};
    pl_ids fast = {.memory = &memory};
    pl_bpe_encode(t, &bpe, text, length, &fast);
    int32_t *slow = malloc((length + 1) * sizeof *slow), count = 0;
    require(slow != NULL);
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t point;
        step = (size_t)pl_utf8_next(text + at, length - at, &point);
        int32_t id = pl_vocab_find(&t->vocab, text + at, step);
        if (id >= 0)
            slow[count++] = id;
        for (size_t i = 0; id < 0 && t->byte_fallback && i < step; i++)
            slow[count++] = t->byte_ids[(uint8_t)text[at + i]];
    }
    for (int32_t at = 0; at >= 0;) {
        uint64_t best = UINT64_MAX, merge;
        at = -1;
        for (int32_t i = 0; i + 1 < count; i++) {
            if (pl_map_get(&t->merges, (uint64_t)slow[i] << 32 | (uint32_t)slow[i + 1], &merge) &&
                merge < best) {
                best = merge;
                at = i;
            }
        }
        if (at >= 0) {
            slow[at] = (int32_t)(best & UINT32_MAX);
            memmove(slow + at + 1, slow + at + 2, (size_t)(count - at - 2) * sizeof *slow);
            count--;
        }
    }
    require(count == fast.count &&
            (count == 0 || memcmp(slow, fast.list, (size_t)count * sizeof *slow) == 0));
    free(slow);
    pl_bpe_free(&bpe);
    pl_memory_free(&memory, fast.list);
    require(memory.bytes == 0);
}

static void check_scanners(const char *text, size_t length) {
    for (int pattern = PL_PATTERN_GPT2; pattern <= PL_PATTERN_QWEN2; pattern++) {
        for (size_t at = 0, step; at < length; at += step) {
            step = pl_scan_pattern((pl_pattern)pattern, text + at, length - at);
            require(step > 0 && step <= length - at && pl_utf8_valid(text + at, step));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static pl_memory shared;
    static pl_tokenizer *tokenizers[KINDS];
    for (int kind = 0; !tokenizers[KINDS - 1] && kind < KINDS; kind++)
        tokenizers[kind] = make(&shared, kind);
    if (size == 0)
        return 0;
    const pl_tokenizer *t = tokenizers[data[0] % KINDS];
    const char *text = (const char *)data + 1;
    size_t length = size - 1, back_length;
    pl_memory memory = {0};
    pl_error error;
    int32_t *ids, count;
    char *back;
    require(pl_tokenizer_encode(t, &memory, text, length, true, &ids, &count, &error) == PL_OK);
    require(pl_tokenizer_decode(t, &memory, ids, count, false, &back, &back_length, &error) == PL_OK);
    pl_text want = pl_text_make(&memory);
    pl_text_bytes(&want, "", 0);
    repair(&want, text, length);
    check_scanners(want.data, want.length);
    if (want.length < 300)
        check_finished(t, want.data, want.length);
    bool has_mark =
        strstr(want.data, "\xe2\x96\x81") != NULL || memchr(want.data, 0, want.length); /* becomes a space */
    require((t == tokenizers[KINDS - 1] && has_mark) ||
            (back_length == want.length && memcmp(back, want.data, want.length) == 0));
    pl_text_free(&want);
    pl_memory_free(&memory, ids);
    pl_memory_free(&memory, back);
    require(memory.bytes == 0);
    return 0;
}
