/* Broken, hostile and unsupported tokenizer.json files: each refused with its own status and sentence. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static int cases;

static void expect(const char *json, size_t length, pl_status want, const char *message) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_tokenizer *tokenizer;
    pl_status status = pl_tokenizer_load(&memory, json, length, &tokenizer, &error);
    CHECK_MSG(status == want && strstr(error.message, message) != NULL,
              "%.300s: status %d, \"%s\", expected %d, \"%s\"", json, (int)status, error.message, (int)want,
              message);
    CHECK((status == PL_OK) == (tokenizer != NULL));
    pl_tokenizer_free(tokenizer);
    CHECK_INT(memory.bytes, 0);
    cases++;
}

static void expect_file(const char *json, pl_status want, const char *message) {
    expect(json, strlen(json), want, message);
}

/* A file whose model is "BPE" with these members. */
static void expect_model(const char *members, pl_status want, const char *message) {
    char json[2000];
    (void)snprintf(json, sizeof json, "{\"model\":{\"type\":\"BPE\",%s}}", members);
    expect_file(json, want, message);
}

/* A good model ("a", "b", "ab", "<unk>") and other members of the file. */
static void expect_part(const char *members, pl_status want, const char *message) {
    char json[2000];
    (void)snprintf(json, sizeof json,
                   "{%s%s\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<unk>\":3},"
                   "\"merges\":[\"a b\"]}}",
                   members, *members ? "," : "");
    expect_file(json, want, message);
}

TEST(good_files) {
    expect_part("", PL_OK, "");
    expect_part("\"version\":\"1.0\",\"truncation\":{\"max_length\":4},\"padding\":null,\"normalizer\":null,"
                "\"extra\":[]",
                PL_OK, "");
    expect_file("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}", PL_OK, "");
    expect_model("\"vocab\":{\"a\":0,\"b\":7},\"merges\":[]", PL_OK, "");
    expect_model("\"vocab\":{\"a\":0,\"b\":1048575},\"merges\":[]", PL_OK, "");
    expect_model("\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"#version: 0.2\",\"a b\",[\"a\",\"b\"]]",
                 PL_OK, "");
    expect_model("\"vocab\":{\"a\":0,\"<0x-1>\":1,\"<0xGG>\":2,\"<0x+F>\":3,\"<0x123>\":4},\"merges\":[],"
                 "\"byte_fallback\":true",
                 PL_OK, "");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"\",\"end_of_word_"
                 "suffix\":null,\"dropout\":0.0",
                 PL_OK, "");
}

TEST(bad_json) {
    expect_file("", PL_ERR_FORMAT, "tokenizer.json:1:1: the text ends");
    expect_file("[]", PL_ERR_FORMAT, "must be an object");
    expect_file("{}", PL_ERR_FORMAT, "model: must be an object");
    expect_file("{\"model\":[]}", PL_ERR_FORMAT, "model: must be an object");
    expect_file("{\"model\":null}", PL_ERR_FORMAT, "model: must be an object");
    expect_file("{\"model\":{}}", PL_ERR_UNSUPPORTED, "model \"without a type\"");
    static const char *const types[] = {"Unigram", "WordPiece", "WordLevel", "bpe", "BPE ", ""};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char json[200], message[100];
        (void)snprintf(json, sizeof json, "{\"model\":{\"type\":\"%s\",\"vocab\":{\"a\":0},\"merges\":[]}}",
                       types[i]);
        (void)snprintf(message, sizeof message, "model \"%s\" is not supported", types[i]);
        expect_file(json, PL_ERR_UNSUPPORTED, message);
    }
    char *spaces = malloc((32u << 20) + 1);
    memset(spaces, ' ', (32u << 20) + 1);
    expect(spaces, (32u << 20) + 1, PL_ERR_RANGE, "33554433 bytes are over the limit");
    free(spaces);
}

TEST(bad_vocabularies) {
    expect_model("\"merges\":[]", PL_ERR_FORMAT, "vocab must be an object");
    expect_model("\"vocab\":[],\"merges\":[]", PL_ERR_FORMAT, "vocab must be an object");
    expect_model("\"vocab\":{},\"merges\":[]", PL_ERR_FORMAT, "vocab is empty");
    static const char *const ids[] = {"-1",   "0.5", "1048576", "1e18",       "\"0\"", "null",
                                      "true", "[0]", "{}",      "4294967296", "-0.5"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char members[100];
        (void)snprintf(members, sizeof members, "\"vocab\":{\"a\":%s},\"merges\":[]", ids[i]);
        expect_model(members, PL_ERR_FORMAT, "the id of \"a\" must be an integer from 0 to 1048575");
    }
    expect_model("\"vocab\":{\"\":0},\"merges\":[]", PL_ERR_FORMAT, "id 0 is empty");
    expect_model("\"vocab\":{\"a\":0,\"\":1},\"merges\":[]", PL_ERR_FORMAT, "id 1 is empty");
    expect_model("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]", PL_ERR_FORMAT,
                 "id 0 belongs to both \"a\" and \"b\"");
    expect_model("\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]", PL_ERR_FORMAT, "this key was already used");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"b\"", PL_ERR_FORMAT,
                 "unk_token is not in the vocabulary");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":0", PL_ERR_FORMAT,
                 "unk_token is not in the vocabulary");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":1", PL_ERR_FORMAT,
                 "byte_fallback must be true or false");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"fuse_unk\":\"yes\"", PL_ERR_FORMAT,
                 "fuse_unk must be true or false");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"ignore_merges\":[]", PL_ERR_FORMAT,
                 "ignore_merges must be true or false");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1", PL_ERR_UNSUPPORTED, "BPE with dropout");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"continuing_subword_prefix\":\"##\"", PL_ERR_UNSUPPORTED,
                 "continuing_subword_prefix \"##\"");
    expect_model("\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"", PL_ERR_UNSUPPORTED,
                 "end_of_word_suffix \"</w>\"");
}

TEST(bad_merges) {
    static const struct {
        const char *merge, *message;
    } bad[] = {
        {"\"a c\"", "its right part is not in the vocabulary"},
        {"\"c a\"", "its left part is not in the vocabulary"},
        {"\"a a\"", "makes \"aa\": its result"},
        {"\"b a\"", "makes \"ba\": its result"},
        {"\"ab\"", "must be two tokens"},
        {"\"a b c\"", "must be two tokens"},
        {"\"a  b\"", "must be two tokens"},
        {"\" ab\"", "its left part"},
        {"\"ab \"", "its right part"},
        {"\"\"", "must be two tokens"},
        {"\" \"", "its left part"},
        {"[\"a\"]", "must be two tokens"},
        {"[\"a\",\"b\",\"a\"]", "must be two tokens"},
        {"[\"a\",1]", "must be two tokens"},
        {"[]", "must be two tokens"},
        {"[\"\",\"ab\"]", "its left part"},
        {"[\"ab\",\"\"]", "its right part"},
        {"1", "must be two tokens"},
        {"null", "must be two tokens"},
        {"{\"a\":\"a\",\"b\":\"b\"}", "must be two tokens"},
        {"[[\"a\"],[\"b\"]]", "must be two tokens"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char members[200];
        (void)snprintf(members, sizeof members,
                       "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\",%s]", bad[i].merge);
        expect_model(members, PL_ERR_FORMAT, bad[i].message);
    }
    expect_model("\"vocab\":{\"a\":0},\"merges\":{}", PL_ERR_FORMAT, "merges must be an array");
    expect_model("\"vocab\":{\"a\":0},\"merges\":\"a b\"", PL_ERR_FORMAT, "merges must be an array");
    expect_model("\"vocab\":{\"a\":0}", PL_ERR_FORMAT, "merges must be an array");
}

#define FLAGS "\"special\":false,\"normalized\":false,\"lstrip\":false,\"rstrip\":false,\"single_word\":false"

TEST(bad_added_tokens) {
    expect_part("\"added_tokens\":[{\"id\":4,\"content\":\"<x>\"," FLAGS
                "},{\"id\":2,\"content\":\"ab\"," FLAGS "},{\"id\":5,\"content\":\"y\"," FLAGS "}]",
                PL_OK, "");
    static const struct {
        const char *list, *message;
    } bad[] = {
        {"{}", "added_tokens must be an array"},
        {"\"x\"", "added_tokens must be an array"},
        {"[1]", "has no content"},
        {"[{}]", "has no content"},
        {"[{\"id\":4,\"content\":\"\"," FLAGS "}]", "has no content"},
        {"[{\"id\":4,\"content\":1," FLAGS "}]", "has no content"},
        {"[{\"content\":\"x\"," FLAGS "}]", "id is missing"},
        {"[{\"id\":-1,\"content\":\"x\"," FLAGS "}]", "id must be an integer from 0 to 1048575, not -1"},
        {"[{\"id\":1048576,\"content\":\"x\"," FLAGS "}]", "id must be an integer from 0"},
        {"[{\"id\":4.5,\"content\":\"x\"," FLAGS "}]", "id must be an integer from 0"},
        {"[{\"id\":\"4\",\"content\":\"x\"," FLAGS "}]", "id must be an integer from 0"},
        {"[{\"id\":5,\"content\":\"x\"," FLAGS "}]", "\"x\" has id 5, but its place is 4"},
        {"[{\"id\":3,\"content\":\"x\"," FLAGS "}]", "\"x\" has id 3, but its place is 4"},
        {"[{\"id\":4,\"content\":\"a\"," FLAGS "}]", "\"a\" has id 4, but its place is 0"},
        {"[{\"id\":4,\"content\":\"x\"," FLAGS "},{\"id\":4,\"content\":\"y\"," FLAGS "}]",
         "\"y\" has id 4, but its place is 5"},
        {"[{\"id\":4,\"content\":\"x\"," FLAGS "},{\"id\":5,\"content\":\"x\"," FLAGS "}]",
         "collides with another token"},
        {"[{\"id\":4,\"content\":\"x\"," FLAGS "},{\"id\":6,\"content\":\"y\"," FLAGS "}]",
         "\"y\" has id 6, but its place is 5"},
        {"[{\"id\":4,\"content\":\"x\",\"special\":false}]", "lstrip is missing"},
        {"[{\"id\":4,\"content\":\"x\",\"special\":1}]", "special must be true or false"},
        {"[{\"id\":4,\"content\":\"x\",\"special\":true,\"lstrip\":false,\"rstrip\":false,\"single_word\":"
         "false}]",
         "normalized is missing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char members[600];
        (void)snprintf(members, sizeof members, "\"added_tokens\":%s", bad[i].list);
        expect_part(members, PL_ERR_FORMAT, bad[i].message);
    }
    expect_part("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"\"},"
                "\"added_tokens\":[{\"id\":4,\"content\":"
                "\"xx\",\"special\":false,\"normalized\":true,\"lstrip\":false,\"rstrip\":false,\"single_"
                "word\":false}]",
                PL_ERR_FORMAT, "the normalizer leaves nothing of added token \"xx\"");
    expect_file("{\"added_tokens\":[{\"id\":1048576,\"content\":\"x\"," FLAGS
                "}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1048575},\"merges\":[]}}",
                PL_ERR_FORMAT, "more than 1048576 tokens");
    expect_file("{\"added_tokens\":[{\"id\":1,\"content\":\"x\"," FLAGS
                "}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1},\"merges\":[]}}",
                PL_ERR_FORMAT, "id 1 of added token \"x\" is taken");
}

typedef struct part_case {
    const char *members;
    pl_status want;
    const char *message;
} part_case;

static void expect_parts(const part_case *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        expect_part(list[i].members, list[i].want, list[i].message);
}

TEST(unsupported_and_broken_normalizers) {
    static const part_case list[] = {
        {"\"normalizer\":{\"type\":\"NFC\"}", PL_ERR_UNSUPPORTED, "normalizer \"NFC\" is not supported"},
        {"\"normalizer\":{\"type\":\"Lowercase\"}", PL_ERR_UNSUPPORTED, "normalizer \"Lowercase\""},
        {"\"normalizer\":{\"type\":\"Precompiled\"}", PL_ERR_UNSUPPORTED, "normalizer \"Precompiled\""},
        {"\"normalizer\":{}", PL_ERR_UNSUPPORTED, "normalizer \"without a type\""},
        {"\"normalizer\":\"NFC\"", PL_ERR_UNSUPPORTED, "normalizer \"without a type\""},
        {"\"normalizer\":{\"type\":\"ByteLevel\"}", PL_ERR_UNSUPPORTED, "normalizer \"ByteLevel\""},
        {"\"normalizer\":{\"type\":\"Sequence\"}", PL_ERR_FORMAT, "normalizers must be an array"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"}]}", PL_ERR_UNSUPPORTED,
         "normalizer \"NFKC\""},
        {"\"normalizer\":{\"type\":\"Prepend\"}", PL_ERR_FORMAT, "prepend must be a string"},
        {"\"normalizer\":{\"type\":\"Prepend\",\"prepend\":1}", PL_ERR_FORMAT, "prepend must be a string"},
        {"\"normalizer\":{\"type\":\"Replace\"}", PL_ERR_FORMAT, "String must be a string"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}",
         PL_ERR_FORMAT, "String must be a string that is not empty"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"}}", PL_ERR_FORMAT,
         "content must be a string"},
        {"\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"x\"}",
         PL_ERR_UNSUPPORTED, "regular expression \" {2,}\""},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"a\"},{"
         "\"type\":\"Prepend\",\"prepend\":\"a\"},"
         "{\"type\":\"Prepend\",\"prepend\":\"a\"},{\"type\":\"Prepend\",\"prepend\":\"a\"},{\"type\":"
         "\"Prepend\",\"prepend\":\"a\"},{\"type\":"
         "\"Prepend\",\"prepend\":\"a\"},{\"type\":\"Prepend\",\"prepend\":\"a\"},{\"type\":\"Prepend\","
         "\"prepend\":\"a\"},{\"type\":\"Prepend\","
         "\"prepend\":\"a\"}]}",
         PL_ERR_FORMAT, "Sequence has too many steps"},
    };
    expect_parts(list, sizeof list / sizeof *list);
}

TEST(unsupported_and_broken_pre_tokenizers) {
    static const part_case list[] = {
        {"\"pre_tokenizer\":{\"type\":\"Whitespace\"}", PL_ERR_UNSUPPORTED,
         "pre_tokenizer \"Whitespace\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}", PL_ERR_UNSUPPORTED,
         "pre_tokenizer \"BertPreTokenizer\""},
        {"\"pre_tokenizer\":[]", PL_ERR_UNSUPPORTED, "pre_tokenizer \"without a type\""},
        {"\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":{}}", PL_ERR_FORMAT,
         "pretokenizers must be an array"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":"
         "\"Isolated\"}",
         PL_ERR_UNSUPPORTED, "regular expression \"(a+)+$\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}",
         PL_ERR_UNSUPPORTED, "Split without a regular expression"},
        {"\"pre_tokenizer\":{\"type\":\"Split\"}", PL_ERR_UNSUPPORTED, "Split without a regular expression"},
        {"\"pre_tokenizer\":{\"type\":\"Digits\",\"individual_digits\":3}", PL_ERR_FORMAT,
         "individual_digits must be true or false"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"use_regex\":\"no\"}", PL_ERR_FORMAT,
         "use_regex must be true or false"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":0}", PL_ERR_FORMAT,
         "add_prefix_space must be true or false"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\"}", PL_ERR_FORMAT, "replacement must be a string"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"__\",\"prepend_scheme\":\"first\"}",
         PL_ERR_FORMAT, "replacement must be one character"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}",
         PL_ERR_FORMAT, "prepend_scheme must be always, first or never"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":1}",
         PL_ERR_FORMAT, "prepend_scheme must be always"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\","
         "\"split\":1}",
         PL_ERR_FORMAT, "split must be true or false"},
    };
    expect_parts(list, sizeof list / sizeof *list);
}

TEST(unsupported_and_broken_decoders_and_processors) {
    static const part_case list[] = {
        {"\"decoder\":{\"type\":\"WordPiece\"}", PL_ERR_UNSUPPORTED,
         "decoder \"WordPiece\" is not supported"},
        {"\"decoder\":{\"type\":\"CTC\"}", PL_ERR_UNSUPPORTED, "decoder \"CTC\""},
        {"\"decoder\":{\"type\":\"Strip\"}", PL_ERR_FORMAT, "content must be a string"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\",\"start\":1,\"stop\":0}", PL_ERR_FORMAT,
         "content must be one character"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", PL_ERR_FORMAT,
         "start must be an integer from 0"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":1}", PL_ERR_FORMAT, "stop is missing"},
        {"\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteLevel\"},{\"type\":\"Fuse\"}]}",
         PL_ERR_UNSUPPORTED, "ByteLevel before another step"},
        {"\"post_processor\":{\"type\":\"BertProcessing\"}", PL_ERR_UNSUPPORTED,
         "post_processor \"BertProcessing\""},
        {"\"post_processor\":{\"type\":\"RobertaProcessing\"}", PL_ERR_UNSUPPORTED,
         "post_processor \"RobertaProcessing\""},
        {"\"post_processor\":[]", PL_ERR_UNSUPPORTED, "post_processor \"without a type\""},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\"}", PL_ERR_FORMAT, "its template must be"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}", PL_ERR_FORMAT,
         "its template must be"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}",
         PL_ERR_FORMAT, "its template must be"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}]}",
         PL_ERR_FORMAT, "its template must be"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}]}",
         PL_ERR_FORMAT, "its template must be"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[4]}}}",
         PL_ERR_FORMAT, "\"x\" is no token of the vocabulary"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[-1]}}}",
         PL_ERR_FORMAT, "\"x\" is no token of the vocabulary"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[\"a\"]}}}",
         PL_ERR_FORMAT, "\"x\" is no token of the vocabulary"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{"
         "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[3,0]}}}",
         PL_OK, ""},
        {"\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"TemplateProcessing\","
         "\"single\":[{\"Sequence\":{\"id\":\"A\"}}]},{\"type\":\"TemplateProcessing\",\"single\":[{"
         "\"Sequence\":{\"id\":\"A\"}}]}]}",
         PL_ERR_UNSUPPORTED, "several templates"},
    };
    expect_parts(list, sizeof list / sizeof *list);
}

/* A token of 1 MB, and 20,000 merges of it with itself that do not exist: read in linear time, no deep
   stack. */
TEST(huge_tokens) {
    const size_t size = 1u << 20;
    char *json = malloc(size + 200), *at = json;
    at += sprintf(at, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"");
    memset(at, 'x', size);
    at += size;
    at += sprintf(at, "\":0,\"a\":1},\"merges\":[]}}");
    pl_memory memory = {0};
    pl_error error = {0};
    pl_tokenizer *tokenizer;
    REQUIRE(pl_tokenizer_load(&memory, json, (size_t)(at - json), &tokenizer, &error) == PL_OK);
    int32_t id = 0, *ids, count;
    char *text;
    size_t length;
    CHECK_INT(pl_tokenizer_decode(tokenizer, &memory, &id, 1, false, &text, &length, &error), PL_OK);
    CHECK_INT(length, size);
    CHECK_INT(pl_tokenizer_encode(tokenizer, &memory, text, length, false, &ids, &count, &error), PL_OK);
    CHECK_INT(count, 0);
    pl_memory_free(&memory, ids);
    pl_memory_free(&memory, text);
    pl_tokenizer_free(tokenizer);
    CHECK_INT(memory.bytes, 0);
    free(json);
}

/* A normaliser that could turn one added token into 400 MB: the tree of added tokens is refused, not reckoned wrong. */
TEST(added_tokens_that_may_grow) {
    enum { SIZE = 20000 };
    static char token[SIZE + 1], content[SIZE + 1];
    memset(token, 'y', SIZE);
    memset(content, 'z', SIZE);
    char *json = malloc(2 * SIZE + 1000);
    int length =
        sprintf(json,
                "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"%s\"},"
                "\"added_tokens\":[{\"id\":2,\"content\":\"%s\",\"special\":false,\"normalized\":true,"
                "\"lstrip\":false,\"rstrip\":false,\"single_word\":false}],"
                "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}",
                content, token);
    pl_memory memory = {0};
    pl_error error = {0};
    pl_tokenizer *tokenizer;
    CHECK_INT(pl_tokenizer_load(&memory, json, (size_t)length, &tokenizer, &error), PL_ERR_MEMORY);
    CHECK_STR(error.message, "no memory for the added tokens");
    CHECK_INT(memory.bytes, 0);
    free(json);
}

TEST(zz_enough_cases) { CHECK_MSG(cases >= 120, "only %d cases", cases); }
