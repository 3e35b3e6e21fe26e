/* build: both */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

static pl_status parse(const char *text, size_t length, pl_error *error) {
    pl_json *root = NULL;
    pl_status status = pl_json_parse(text, length, "t.json", &root, error);
    CHECK((status == PL_OK) == (root != NULL));
    pl_json_free(root);
    return status;
}

/* Parses a heap copy of exactly the right size, so that the sanitizer sees any read behind it. */
static pl_status parse_copy(const char *text, size_t length, pl_error *error) {
    char *copy = malloc(length ? length : 1);
    if (!copy)
        return PL_ERR_MEMORY;
    memcpy(copy, text, length);
    pl_status status = parse(copy, length, error);
    free(copy);
    return status;
}

TEST(accepts_what_rfc_8259_allows) {
    static const char *const good[] = {
        "[]",
        "{}",
        "0",
        "-0",
        "1",
        "-1",
        "123",
        "1.5",
        "-0.0",
        "1e5",
        "1E5",
        "1e+5",
        "1e-5",
        "0e0",
        "0e+1",
        "1.5e3",
        "20e1",
        "1e-400",
        "-1e-400",
        "1.7976931348623157e308",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        " [] ",
        "\t{\r\n}\n",
        "[1,2]",
        "[[],[]]",
        "[1 , 2]",
        "{\"a\":1}",
        "{\"a\":1,\"b\":2}",
        "{\"a\" : {\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":1}]",
        "{\"\":0}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00e9\\u20AC\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u0001\"",
        "\"\\uFFFF\"",
        "\"\x7f\"",
        "\"\xc3\xa9\"",
        "\"\xe2\x82\xac\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xef\xbf\xbf\"",
        "\"\xe2\x80\xa8\"",
        "[null,true,1,\"\"]",
        "{\"__proto__\":1,\"constructor\":2}",
        "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
        "\"\\\\u0000\"",
        "123456789012345678901234567890",
        "[0.1,0.2,0.3]",
        "{\"a\":[],\"b\":{},\"c\":\"\",\"d\":null}",
        "\"\\ud800\\udc00\"",
        "\"\\udbff\\udfff\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        pl_error error = {0};
        CHECK_MSG(parse_copy(good[i], strlen(good[i]), &error) == PL_OK, "%s: %s", good[i], error.message);
    }
}

typedef struct bad_text {
    const char *text, *message; /* message: how the sentence must begin */
} bad_text;

TEST(rejects_everything_else_and_says_where) {
    static const bad_text bad[] = {
        {"", "t.json:1:1: the text ends where a value"},
        {" \n ", "t.json:2:2: the text ends where a value"},
        {"[", "t.json:1:2: the text ends"},
        {"]", "t.json:1:1: expected a value"},
        {"[1,]", "t.json:1:4: expected a value"},
        {"[,1]", "t.json:1:2: expected a value"},
        {"[1 2]", "t.json:1:4: expected ',' or ']'"},
        {"[1", "t.json:1:3: expected ',' or ']'"},
        {"[1}", "t.json:1:3: expected ',' or ']'"},
        {"[1:2]", "t.json:1:3: expected ',' or ']'"},
        {"{", "t.json:1:2: expected a string"},
        {"{,}", "t.json:1:2: expected a string"},
        {"{\"a\"}", "t.json:1:5: expected ':'"},
        {"{\"a\" 1}", "t.json:1:6: expected ':'"},
        {"{\"a\":}", "t.json:1:6: expected a value"},
        {"{\"a\":1", "t.json:1:7: expected ',' or '}'"},
        {"{\"a\":1,}", "t.json:1:8: expected a string"},
        {"{\"a\":1 \"b\":2}", "t.json:1:8: expected ',' or '}'"},
        {"{a:1}", "t.json:1:2: expected a string"},
        {"{'a':1}", "t.json:1:2: expected a string"},
        {"{1:1}", "t.json:1:2: expected a string"},
        {"{\"a\":1}}", "t.json:1:8: unexpected text"},
        {"[]\n[]", "t.json:2:1: unexpected text"},
        {"[]//x", "t.json:1:3: unexpected text"},
        {"/**/[]", "t.json:1:1: expected a value"},
        {"# x", "t.json:1:1: expected a value"},
        {"1 2", "t.json:1:3: unexpected text"},
        {"01", "t.json:1:2: a number may not begin with 0"},
        {"-01", "t.json:1:3: a number may not begin with 0"},
        {"-", "t.json:1:2: expected a digit"},
        {"-a", "t.json:1:2: expected a digit"},
        {"--1", "t.json:1:2: expected a digit"},
        {"+1", "t.json:1:1: expected a value"},
        {".5", "t.json:1:1: expected a value"},
        {"-.5", "t.json:1:2: expected a digit"},
        {"1.", "t.json:1:3: expected a digit after the decimal"},
        {"1.e1", "t.json:1:3: expected a digit after the decimal"},
        {"1e", "t.json:1:3: expected a digit in the exponent"},
        {"1e+", "t.json:1:4: expected a digit in the exponent"},
        {"1e1.5", "t.json:1:4: unexpected text"},
        {"0x10", "t.json:1:2: unexpected text"},
        {"1_000", "t.json:1:2: unexpected text"},
        {"1e309", "t.json:1:1: this number is too large"},
        {"[-1e999]", "t.json:1:2: this number is too large"},
        {"NaN", "t.json:1:1: expected a value"},
        {"Infinity", "t.json:1:1: expected a value"},
        {"-Infinity", "t.json:1:2: expected a digit"},
        {"nul", "t.json:1:1: expected a value"},
        {"True", "t.json:1:1: expected a value"},
        {"truee", "t.json:1:5: unexpected text"},
        {"undefined", "t.json:1:1: expected a value"},
        {"\"", "t.json:1:2: the text ends inside a string"},
        {"\"a", "t.json:1:3: the text ends inside a string"},
        {"\"\\", "t.json:1:2: the text ends inside a string"},
        {"\"\\\"", "t.json:1:4: the text ends inside a string"},
        {"'a'", "t.json:1:1: expected a value"},
        {"\"\\x41\"", "t.json:1:2: unknown escape"},
        {"\"\\a\"", "t.json:1:2: unknown escape"},
        {"\"\\'\"", "t.json:1:2: unknown escape"},
        {"\"\\U0041\"", "t.json:1:2: unknown escape"},
        {"\"\\u\"", "t.json:1:2: \\u needs four"},
        {"\"\\u00\"", "t.json:1:2: \\u needs four"},
        {"\"\\u00g1\"", "t.json:1:2: \\u needs four"},
        {"\"\\u 041\"", "t.json:1:2: \\u needs four"},
        {"\"\\u0000\"", "t.json:1:2: \\u0000 is not allowed"},
        {"{\"\\u0000a\":1}", "t.json:1:3: \\u0000 is not allowed"},
        {"\"\\ud800\"", "t.json:1:2: a high surrogate"},
        {"\"\\ud800\\n\"", "t.json:1:2: a high surrogate"},
        {"\"\\ud800\\ud800\"", "t.json:1:2: a high surrogate"},
        {"\"\\ud800\\u0041\"", "t.json:1:2: a high surrogate"},
        {"\"\\udc00\"", "t.json:1:2: a low surrogate"},
        {"\"\\udfff\\ud800\"", "t.json:1:2: a low surrogate"},
        {"\"a\nb\"", "t.json:1:3: control characters"},
        {"\"\t\"", "t.json:1:2: control characters"},
        {"\"\x1f\"", "t.json:1:2: control characters"},
        {"\"\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xff\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xc0\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xc1\xbf\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xc3\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xc3(\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xe0\x9f\xbf\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xed\xa0\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xe2\x82\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xf0\x8f\xbf\xbf\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xf5\x80\x80\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\"\xf8\x88\x80\x80\x80\"", "t.json:1:2: this is not valid UTF-8"},
        {"\xef\xbb\xbf[]", "t.json:1:1: the file begins with a byte order mark"},
        {"\xfe\xff[]", "t.json:1:1: expected a value"},
        {"[\xc2\xa0]", "t.json:1:2: expected a value"},
        {"[\f]", "t.json:1:2: expected a value"},
        {"[\v1]", "t.json:1:2: expected a value"},
        {"{\"a\":1,\"a\":1}", "t.json:1:8: this key was already used"},
        {"{\"a\":1,\"b\":{\"a\":2},\"a\":1}", "t.json:1:20: this key was already used"},
        {"{\"a\":1,\n \"\\u0061\":2}", "t.json:2:2: this key was already used"},
        {"{\"\":1,\"\":2}", "t.json:1:7: this key was already used"},
        {"{\"\xc3\xa9\":1,\"\\u00e9\":2}", "t.json:1:8: this key was already used"},
        {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "t.json:1:19: this key was already used"},
        {"{\"\\n\":1,\"\\u000a\":2}", "t.json:1:9: this key was already used"},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "t.json:1:17: nested deeper than 16"},
        {"{\"a\":[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]}", "t.json:1:21: nested deeper than 16"},
        {"[\"\xc3\xa9\xe2\x82\xac\",x]", "t.json:1:7: expected a value"},
        {"[1,\n2,\n\n  x]", "t.json:4:3: expected a value"},
        {"[1]\r\n,", "t.json:2:1: unexpected text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pl_error error = {0};
        pl_status status = parse_copy(bad[i].text, strlen(bad[i].text), &error);
        CHECK_MSG(status == PL_ERR_FORMAT && error.status == status &&
                      strncmp(error.message, bad[i].message, strlen(bad[i].message)) == 0,
                  "%s: status %d, \"%s\", expected \"%s\"", bad[i].text, (int)status, error.message,
                  bad[i].message);
    }
}

TEST(nul_bytes_are_text_like_any_other) {
    pl_error error = {0};
    CHECK_INT(parse_copy("[1\0]", 4, &error), PL_ERR_FORMAT);
    CHECK_INT(parse_copy("[]\0", 3, &error), PL_ERR_FORMAT);
    CHECK_INT(parse_copy("\"a\0b\"", 5, &error), PL_ERR_FORMAT);
    CHECK_INT(parse_copy("\"\\\0\"", 4, &error), PL_ERR_FORMAT);
    CHECK_INT(parse_copy("\0", 1, &error), PL_ERR_FORMAT);
    CHECK_INT(parse_copy("nul\0", 4, &error), PL_ERR_FORMAT);
}

/* Every prefix of a document with all constructs is refused, none crashes. */
TEST(every_truncation_is_refused) {
    static const char text[] =
        "{\"a\":[1,-2.5e+3,true,false,null,\"\\u00e9\\n\xe2\x82\xac\"],\"b\":{\"c\":{}}}";
    for (size_t length = 0; length < sizeof text - 1; length++) {
        pl_error error = {0};
        CHECK_MSG(parse_copy(text, length, &error) == PL_ERR_FORMAT, "prefix of %zu bytes", length);
    }
    pl_error error = {0};
    CHECK_INT(parse_copy(text, sizeof text - 1, &error), PL_OK);
}

TEST(tree_access) {
    static const char text[] =
        "{\"n\":2.5,\"s\":\"x\\u0041\",\"t\":true,\"z\":null,\"a\":[1,2,3],\"N\":1,\"o\":{\"k\":7}}";
    pl_error error = {0};
    pl_json *root = NULL;
    REQUIRE(pl_json_parse(text, sizeof text - 1, "t.json", &root, &error) == PL_OK);
    CHECK_INT(pl_json_size(root), 7);
    CHECK_NEAR(pl_json_number(pl_json_get(root, "n")), 2.5, 0);
    CHECK_NEAR(pl_json_number(pl_json_get(root, "N")), 1, 0);
    CHECK_STR(pl_json_string(pl_json_get(root, "s")), "xA");
    CHECK(pl_json_string(pl_json_get(root, "n")) == NULL);
    CHECK(pl_json_bool(pl_json_get(root, "t")) && !pl_json_bool(pl_json_get(root, "n")));
    CHECK(pl_json_is_null(pl_json_get(root, "z")) && !pl_json_is_null(NULL));
    CHECK(pl_json_get(root, "absent") == NULL && pl_json_get(pl_json_get(root, "a"), "n") == NULL);
    CHECK(pl_json_get(NULL, "n") == NULL && pl_json_first(NULL) == NULL && pl_json_size(NULL) == 0);
    CHECK(!pl_json_is_object(NULL) && !pl_json_is_array(NULL) && !pl_json_is_string(NULL));
    CHECK(!pl_json_is_number(NULL) && !pl_json_is_bool(NULL) && pl_json_key(NULL) == NULL);
    double sum = 0;
    for (const pl_json *m = pl_json_first(pl_json_get(root, "a")); m; m = pl_json_next(m))
        sum += pl_json_number(m);
    CHECK_NEAR(sum, 6, 0);
    CHECK_STR(pl_json_key(pl_json_first(root)), "n");
    CHECK_INT(pl_json_size(pl_json_get(root, "a")), 3);
    pl_json_free(root);
    pl_json_free(NULL);
}

static const char typed_text[] =
    "{\"i\":5,\"f\":3.5,\"s\":\"a \\\"b\\\" and a very very long text that must be cut\","
    "\"big\":9007199254740994,\"b\":false,\"z\":null,\"a\":[]}";

static void expect_int(const pl_json *root, const char *key, bool required, pl_status want,
                       const char *message) {
    pl_error error = {0};
    int64_t value = -7;
    CHECK_INT(pl_json_get_int(root, "t.json", key, required, 1, 64, &value, &error), want);
    CHECK_STR(error.message, message);
    CHECK_INT(value, want == PL_OK && strcmp(key, "i") == 0 ? 5 : -7);
}

TEST(typed_access_explains_itself) {
    pl_error error = {0};
    pl_json *root = NULL;
    REQUIRE(pl_json_parse(typed_text, sizeof typed_text - 1, "t.json", &root, &error) == PL_OK);
    expect_int(root, "i", true, PL_OK, "");
    expect_int(root, "x", false, PL_OK, "");
    expect_int(root, "z", false, PL_OK, "");
    expect_int(root, "x", true, PL_ERR_FORMAT, "t.json: x is missing");
    expect_int(root, "z", true, PL_ERR_FORMAT, "t.json: z is null");
    expect_int(root, "f", true, PL_ERR_FORMAT, "t.json: f must be an integer from 1 to 64, not 3.5");
    expect_int(root, "b", true, PL_ERR_FORMAT, "t.json: b must be an integer from 1 to 64, not false");
    expect_int(root, "a", true, PL_ERR_FORMAT, "t.json: a must be an integer from 1 to 64, not an array");
    expect_int(root, "big", true, PL_ERR_FORMAT,
               "t.json: big must be an integer from 1 to 64, not 9.00719925474099e+15");
    expect_int(
        root, "s", true, PL_ERR_FORMAT,
        "t.json: s must be an integer from 1 to 64, not \"a \"b\" and a very very long text that mus...\"");
    double number = 0;
    CHECK_INT(pl_json_get_number(root, "t.json", "f", true, 0, 3.5, &number, &error), PL_OK);
    CHECK_NEAR(number, 3.5, 0);
    CHECK_INT(pl_json_get_number(root, "t.json", "f", true, 0, 3, &number, &error), PL_ERR_FORMAT);
    CHECK_STR(error.message, "t.json: f must be a number from 0 to 3, not 3.5");
    CHECK_INT(pl_json_get_number(root, "t.json", "x", false, 0, 3, &number, &error), PL_OK);
    bool flag = true;
    CHECK_INT(pl_json_get_bool(root, "t.json", "b", true, &flag, &error), PL_OK);
    CHECK(!flag);
    CHECK_INT(pl_json_get_bool(root, "t.json", "i", true, &flag, &error), PL_ERR_FORMAT);
    CHECK_STR(error.message, "t.json: i must be true or false, not 5");
    pl_json_free(root);
}

/* 100,000 keys: a quadratic search would take minutes under the sanitizers. */
TEST(big_objects_are_read_in_linear_time) {
    pl_memory memory = {0};
    pl_text out = pl_text_make(&memory);
    pl_write_begin(&out, '{');
    for (int i = 0; i < 100000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        pl_write_key_int(&out, key, i);
    }
    pl_write_end(&out, '}');
    REQUIRE(!out.failed);
    pl_json *root = NULL;
    pl_error error = {0};
    CHECK_INT(pl_json_parse(out.data, out.length, "t", &root, &error), PL_OK);
    CHECK_INT(pl_json_size(root), 100000);
    pl_json_free(root);
    memcpy(strstr(out.data, "k99999"), "k54321", 6);
    CHECK_INT(pl_json_parse(out.data, out.length, "t", &root, &error), PL_ERR_FORMAT);
    CHECK(strstr(error.message, "already used") != NULL);
    pl_text_free(&out);
}
