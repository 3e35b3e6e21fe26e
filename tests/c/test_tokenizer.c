#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

/* Byte level with three merges; "x" is unknown to the model on purpose. */
static const char byte_level[] = "{\"added_tokens\":[{\"id\":9,\"content\":\"<end>\",\"special\":true,"
                                 "\"normalized\":false,\"lstrip\":false,\"rstrip\":false,"
                                 "\"single_word\":false}],\"normalizer\":null,\"pre_tokenizer\":{\"type\":"
                                 "\"ByteLevel\",\"add_prefix_space\":false},"
                                 "\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":{\"type\":"
                                 "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
                                 "{\"id\":\"<end>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":"
                                 "0}}],\"special_tokens\":{\"<end>\":{\"id\":\"<end>\","
                                 "\"ids\":[9],\"tokens\":[\"<end>\"]}}},\"model\":{\"type\":\"BPE\","
                                 "\"vocab\":{\"a\":0,\"b\":1,\"\xc4\xa0\":2,\"ab\":3,\"\xc4\xa0"
                                 "ab\":4,\"\xc3\xa3\":5,\"\xc4\xa4\":6,\"\xc4\xa2\":7,\"\xc3\xaf\":8},"
                                 "\"merges\":[\"a b\",[\"\xc4\xa0\",\"ab\"]]}}";

/* SentencePiece style with byte fallback for E3 81 82 (あ) only. */
static const char pieces[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false,\"lstrip\":"
    "false,\"rstrip\":false,"
    "\"single_word\":false}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
    "\"prepend\":\"\xe2\x96\x81\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
    "\"},\"content\":\"\xe2\x96\x81\"}]},\"pre_tokenizer\":null,\"decoder\":{\"type\":"
    "\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":"
    "\" \"},{\"type\":"
    "\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
    "\",\"start\":1,\"stop\":0}]},\"model\":{\"type\":\"BPE\","
    "\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<0xE3>\":1,\"<"
    "0x81>\":2,\"<0x82>\":3,"
    "\"\xe2\x96\x81\":4,\"a\":5,\"\xe2\x96\x81"
    "a\":6},\"merges\":[\"\xe2\x96\x81 a\"]}}";

typedef struct setup {
    pl_memory memory;
    pl_tokenizer *tokenizer;
} setup;

/* In place: the tokenizer keeps the address of the memory. */
static void load(setup *s, const char *json) {
    *s = (setup){0};
    pl_error error = {0};
    pl_status status = pl_tokenizer_load(&s->memory, json, strlen(json), &s->tokenizer, &error);
    CHECK_MSG(status == PL_OK, "%s", error.message);
}

static void unload(setup *s) {
    pl_tokenizer_free(s->tokenizer);
    CHECK_INT(s->memory.bytes, 0);
}

/* want: ids, ended by -1. */
static void expect_ids(setup *s, const char *text, size_t length, bool special, const int32_t *want) {
    int32_t *ids, count, expected = 0;
    pl_error error = {0};
    while (want[expected] >= 0)
        expected++;
    REQUIRE(pl_tokenizer_encode(s->tokenizer, &s->memory, text, length, special, &ids, &count, &error) ==
            PL_OK);
    CHECK_MSG(count == expected && memcmp(ids, want, (size_t)count * sizeof *ids) == 0,
              "\"%s\": %d tokens, first %d", text, (int)count, count ? (int)ids[0] : -1);
    pl_memory_free(&s->memory, ids);
}

#define IDS(...) ((const int32_t[]){__VA_ARGS__, -1})

static void expect_text(setup *s, const int32_t *ids, bool skip, const char *want) {
    char *text;
    size_t length;
    int32_t count = 0;
    pl_error error = {0};
    while (ids[count] >= 0)
        count++;
    REQUIRE(pl_tokenizer_decode(s->tokenizer, &s->memory, ids, count, skip, &text, &length, &error) == PL_OK);
    CHECK_STR(text, want);
    CHECK_INT(length, strlen(want));
    pl_memory_free(&s->memory, text);
}

TEST(byte_level_basics) {
    setup s;
    load(&s, byte_level);
    CHECK_INT(pl_tokenizer_vocab_size(s.tokenizer), 10);
    expect_ids(&s, "", 0, false, IDS(-1));
    expect_ids(&s, "", 0, true, IDS(9));
    expect_ids(&s, "ab abb", 6, true, IDS(9, 3, 4, 1));
    expect_ids(&s, "<end>a<end>", 11, false, IDS(9, 0, 9));
    expect_ids(&s, "<en", 3, false, IDS(-1)); /* unknown bytes without unk_token vanish, as in tokenizers */
    expect_text(&s, IDS(9, 3, 4, 1), false, "<end>ab abb");
    expect_text(&s, IDS(9, 3, 4, 1), true, "ab abb");
    expect_text(&s, IDS(-1), true, "");
    unload(&s);
}

TEST(invalid_utf8_is_read_as_replacement_characters) {
    setup s;
    load(&s, byte_level);
    expect_ids(&s,
               "a\xff"
               "b",
               3, false, IDS(0, 8, 1)); /* EF BF BD: only EF has a token here */
    expect_ids(&s, "\xc3", 1, false, IDS(8));
    expect_ids(&s, "\xe3\x81", 2, false, IDS(8));
    expect_ids(&s, "\xed\xa0\x80", 3, false, IDS(8, 8, 8));
    expect_ids(&s, "a\0b", 3, false, IDS(0, 1));
    unload(&s);
}

TEST(tokens_outside_the_vocabulary_are_refused) {
    setup s;
    load(&s, byte_level);
    static const int32_t bad[] = {-1, 10, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text;
        size_t length;
        pl_error error = {0};
        CHECK_INT(pl_tokenizer_decode(s.tokenizer, &s.memory, &bad[i], 1, false, &text, &length, &error),
                  PL_ERR_RANGE);
        CHECK(text == NULL && strstr(error.message, "is outside the vocabulary 0..9") != NULL);
    }
    unload(&s);
}

TEST(a_stream_may_end_inside_a_character) {
    setup s;
    load(&s, byte_level);
    expect_text(&s, IDS(0, 5), false, "a\xe3");
    expect_text(&s, IDS(0, 5, 6), false, "a\xe3\x82");
    unload(&s);
    load(&s, pieces);
    expect_text(&s, IDS(6, 1), false, "a\xe3");
    expect_text(&s, IDS(6, 1, 2), false, "a\xe3\x81");
    expect_text(&s, IDS(6, 1, 2, 3), false, "a\xe3\x81\x82");
    expect_text(&s, IDS(6, 1, 2, 5), false,
                "a\xef\xbf\xbd\xef\xbf\xbd"
                "a"); /* the run ended: one U+FFFD a byte */
    expect_text(&s, IDS(2, 1), false, "\xef\xbf\xbd\xef\xbf\xbd");
    unload(&s);
}

TEST(byte_fallback_and_unknown) {
    setup s;
    load(&s, pieces);
    expect_ids(&s, "a", 1, false, IDS(6));
    expect_ids(&s, " a  a", 5, false, IDS(4, 6, 4, 6));
    expect_ids(&s, "\xe3\x81\x82", 3, false, IDS(4, 1, 2, 3));
    expect_ids(&s, "bc", 2, false, IDS(4, 0));
    expect_ids(&s, "<unk>a", 6, false, IDS(0, 6));
    expect_text(&s, IDS(4, 6, 4, 6), false, " a  a");
    unload(&s);
}

/* A model of "a" and "aa" where b and c are unknown; what tokenizers 0.23.3 gives for each setting. */
static void load_unknown(setup *s, const char *settings) {
    char json[400];
    (void)snprintf(json, sizeof json,
                   "{\"model\":{\"type\":\"BPE\",%s,\"vocab\":{\"?\":0,\"a\":1,\"aa\":2,\"<0x62>\":3},"
                   "\"merges\":[\"a a\"]}}",
                   settings);
    load(s, json);
}

TEST(unknown_characters) {
    setup s;
    load_unknown(&s, "\"unk_token\":\"?\",\"fuse_unk\":true");
    expect_ids(&s, "bcaacbabaac", 11, false, IDS(0, 2, 0, 1, 0, 2, 0));
    unload(&s);
    load_unknown(&s, "\"unk_token\":\"?\",\"fuse_unk\":false");
    expect_ids(&s, "bcaacbabaac", 11, false, IDS(0, 0, 2, 0, 0, 1, 0, 2, 0));
    unload(&s);
    load_unknown(&s, "\"unk_token\":\"?\",\"fuse_unk\":true,\"byte_fallback\":true");
    expect_ids(&s, "ccbaab", 6, false, IDS(3, 0, 2, 3)); /* the byte overtakes the unknown token before it */
    unload(&s);
    load_unknown(&s, "\"unk_token\":\"?\",\"byte_fallback\":true");
    expect_ids(&s, "cbcca", 5, false, IDS(3, 0, 0, 0, 1));
    unload(&s);
    load_unknown(&s, "\"unk_token\":null");
    expect_ids(&s, "abacb", 5, false, IDS(2)); /* unknown characters vanish before the merges */
    unload(&s);
}

/* One vocabulary for all layouts: "?", a, b, the three stand-ins for a space, and each of them merged with a. */
static void load_layout(setup *s, const char *members) {
    char json[1200];
    (void)snprintf(json, sizeof json,
                   "{%s,\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"a\":1,\"b\":2,"
                   "\"\xc4\xa0\":3,\"_\":4,"
                   "\"\xe2\x96\x81\":5,\"\xc4\xa0"
                   "a\":6,\"_a\":7,\"\xe2\x96\x81"
                   "a\":8},\"merges\":[\"\xc4\xa0 a\",\"_ a\",\"\xe2\x96\x81 a\"]}}",
                   members);
    load(s, json);
}

TEST(a_space_in_front_of_the_text) {
    setup s;
    load_layout(&s, "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}");
    expect_ids(&s, "a", 1, false, IDS(6));
    expect_ids(&s, "b a", 3, false, IDS(3, 2, 6));
    expect_ids(&s, " a", 2, false, IDS(6));
    expect_ids(&s, "ab", 2, false, IDS(6, 2));
    expect_ids(&s, "aa a", 4, false, IDS(6, 1, 6));
    unload(&s);
}

TEST(metaspace_with_another_character) {
    setup s;
    load_layout(&s, "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
                    "\"always\",\"split\":true}");
    expect_ids(&s, "a  b", 4, false, IDS(7, 4, 4, 2));
    expect_ids(&s, "a_a", 3, false, IDS(7, 7));
    expect_ids(&s, "__a", 3, false, IDS(4, 7));
    expect_ids(&s, "  ", 2, false, IDS(4, 4));
    unload(&s);
}

static const char normalized_token[] =
    "\"added_tokens\":[{\"id\":9,\"content\":\"b "
    "a\",\"special\":true,\"normalized\":true,\"lstrip\":false,\"rstrip\":false,"
    "\"single_word\":false}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
    "\"prepend\":\"\xe2\x96\x81\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
    "\"},\"content\":\"\xe2\x96\x81\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":\" "
    "\"},{\"type\":\"Fuse\"}]}";

TEST(normalized_added_tokens) {
    setup s;
    load_layout(&s, normalized_token);
    expect_ids(&s, "a b a b a", 9, false, IDS(8, 9, 9));
    expect_text(&s, IDS(8, 9, 9), false, " a b a b a");
    expect_text(&s, IDS(8, 9, 9), true, " a"); /* tokenizers 0.23.3 does not skip it: tokenizer.h */
    unload(&s);
}

/* Spaces swallowed by one token are not there for the next: it comes out all the same, unless it strips them itself, so that nothing is left
   of it (as tokenizers 0.23.3). */
TEST(added_tokens_of_spaces) {
    static const char form[] =
        "\"added_tokens\":[{\"id\":9,\"content\":\"  \",\"special\":false,\"normalized\":false,\"lstrip\":%s,"
        "\"rstrip\":true,\"single_word\":false}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_"
        "space\":"
        "false}";
    char members[sizeof form + 8];
    setup s;
    (void)snprintf(members, sizeof members, form, "false");
    load_layout(&s, members);
    expect_ids(&s, "a    b", 6, false, IDS(1, 9, 9, 2));
    unload(&s);
    (void)snprintf(members, sizeof members, form, "true");
    load_layout(&s, members);
    expect_ids(&s, "a    b", 6, false, IDS(1, 9, 2));
    expect_ids(&s, "a    ", 5, false, IDS(1, 9));
    unload(&s);
}

/* "first" looks at where a piece stood in the text as it came, and what replaces several characters stands where the last of them stood. */
TEST(a_normaliser_that_takes_the_start_away) {
    setup s;
    load_layout(&s,
                "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{"
                "\"String\":\"cc\"},\"content\":\"ab\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"d\"},"
                "\"content\":\"\"},{\"type\":\"Prepend\",\"prepend\":\"a\"}]},"
                "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
                "\"first\",\"split\":true}");
    expect_ids(&s, "bd", 2, false, IDS(7, 2));
    expect_ids(&s, "db", 2, false, IDS(1, 2));
    expect_ids(&s, "ccb", 3, false, IDS(1, 1, 2, 2));
    unload(&s);
}

/* A long text without pre-tokeniser is cut at its words: the working memory does not grow with it. */
TEST(words_go_one_by_one) {
    enum { WORDS = 20000 };
    setup s;
    load_layout(&s, normalized_token);
    char *text = malloc(3 * WORDS);
    for (size_t i = 0; i < WORDS; i++)
        memcpy(text + 3 * i, "aa ", 3);
    size_t loaded = s.memory.bytes;
    int32_t *ids, count;
    pl_error error = {0};
    REQUIRE(pl_tokenizer_encode(s.tokenizer, &s.memory, text, 3 * WORDS, false, &ids, &count, &error) ==
            PL_OK);
    CHECK_INT(count, 2 * WORDS + 1);
    CHECK_MSG(s.memory.peak_bytes - loaded < 30 * WORDS, "%zu bytes for %d", s.memory.peak_bytes - loaded,
              3 * WORDS);
    pl_memory_free(&s.memory, ids);
    free(text);
    unload(&s);
}

TEST(the_byte_alphabet_is_a_bijection) {
    bool seen[512] = {false};
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t point = pl_byte_char((uint8_t)byte);
        REQUIRE(point < 512 && !seen[point]);
        seen[point] = true;
        CHECK_INT(pl_char_byte(point), byte);
    }
    for (uint32_t point = 0; point < 512; point++)
        CHECK((pl_char_byte(point) >= 0) == seen[point]);
    CHECK_INT(pl_char_byte(0x10FFFF), -1);
}

/* The n-th allocation fails: a clean error, nothing left behind, for every n until all goes well. */
TEST(every_refused_allocation_is_clean) {
    static const char *const files[] = {byte_level, pieces};
    static const char text[] =
        "ab  abab <end> \xe3\x81\x82 abababababababababababababababababababababababababababababababababab";
    for (size_t f = 0; f < 2; f++) {
        bool done = false;
        for (int64_t fail = 1; !done; fail++) {
            pl_memory memory = {.fail_at = fail};
            pl_error error = {0};
            pl_tokenizer *tokenizer = NULL;
            int32_t *ids = NULL, count = 0;
            char *back = NULL;
            size_t length;
            pl_status status = pl_tokenizer_load(&memory, files[f], strlen(files[f]), &tokenizer, &error);
            if (status == PL_OK)
                status = pl_tokenizer_encode(tokenizer, &memory, text, sizeof text - 1, true, &ids, &count,
                                             &error);
            if (status == PL_OK)
                status = pl_tokenizer_decode(tokenizer, &memory, ids, count, false, &back, &length, &error);
            CHECK_MSG(status == PL_OK || status == PL_ERR_MEMORY, "allocation %lld: %s", (long long)fail,
                      error.message);
            done = status == PL_OK;
            pl_memory_free(&memory, ids);
            pl_memory_free(&memory, back);
            pl_tokenizer_free(tokenizer);
            CHECK_INT(memory.bytes, 0);
            REQUIRE(fail < 500);
        }
    }
}

/* BPE against the definition: find the pair of lowest rank, merge its leftmost occurrence, repeat. */
static int32_t slow_bpe(const pl_tokenizer *t, int32_t *ids, int32_t count) {
    for (;;) {
        uint64_t best = UINT64_MAX;
        int32_t at = -1;
        for (int32_t i = 0; i + 1 < count; i++) {
            uint64_t merge;
            if (pl_map_get(&t->merges, (uint64_t)ids[i] << 32 | (uint32_t)ids[i + 1], &merge) &&
                merge < best) {
                best = merge;
                at = i;
            }
        }
        if (at < 0)
            return count;
        ids[at] = (int32_t)(best & UINT32_MAX);
        memmove(ids + at + 1, ids + at + 2, (size_t)(count - at - 2) * sizeof *ids);
        count--;
    }
}

TEST(the_heap_finds_the_same_merges_as_a_slow_search) {
    /* every string of a and b up to length 4 is a token; merges in an order that makes them compete */
    char json[6000], *at = json;
    static const char *const words[] = {"a",   "b",   "aa",   "ab",   "ba",  "bb",
                                        "aba", "bab", "abab", "baba", "aab", "bba"};
    at += sprintf(at, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int i = 0; i < 12; i++)
        at += sprintf(at, "%s\"%s\":%d", i ? "," : "", words[i], i);
    at += sprintf(at, "},\"merges\":[\"ab a\",\"b a\",\"a b\",\"ab ab\",\"ba ba\",\"a ba\",\"b ab\",\"bb "
                      "a\",\"b ba\",\"a ab\",\"aa b\",\"b b\",\"a a\"]}}");
    setup s;
    load(&s, json);
    uint64_t state = 7;
    for (int round = 0; round < 3000; round++) {
        char text[40];
        int32_t slow[40], *fast, count, length = 1 + round % 39;
        for (int32_t i = 0; i < length; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            slow[i] = (int32_t)(state >> 63);
            text[i] = (char)('a' + slow[i]);
        }
        int32_t want = slow_bpe(s.tokenizer, slow, length);
        pl_error error = {0};
        REQUIRE(pl_tokenizer_encode(s.tokenizer, &s.memory, text, (size_t)length, false, &fast, &count,
                                    &error) == PL_OK);
        CHECK_MSG(count == want && memcmp(fast, slow, (size_t)want * sizeof *slow) == 0, "%.*s", (int)length,
                  text);
        pl_memory_free(&s.memory, fast);
    }
    unload(&s);
}
