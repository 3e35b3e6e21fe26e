/* build: both */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "io/json.h"

TEST(writer_structure_and_escapes) {
    pl_memory memory = {0};
    pl_text out = pl_text_make(&memory);
    pl_write_begin(&out, '{');
    pl_write_key_string(&out, "a\"b", "x\\y\n\t\b\f\r\x01\x1f\x7f\xc3\xa9/");
    pl_write_key_string(&out, "none", NULL);
    pl_write_key_int(&out, "i", INT64_MIN);
    pl_write_key_bool(&out, "t", true);
    pl_write_key_number(&out, "n", 0.1);
    pl_write_key(&out, "l");
    pl_write_begin(&out, '[');
    pl_write_bool(&out, false);
    pl_write_null(&out);
    pl_write_begin(&out, '[');
    pl_write_end(&out, ']');
    pl_write_begin(&out, '{');
    pl_write_end(&out, '}');
    pl_write_number(&out, (double)NAN);
    pl_write_number(&out, (double)INFINITY);
    pl_write_end(&out, ']');
    pl_write_key(&out, "ns");
    pl_write_numbers(&out, (const double[]){1, 0.5}, 2);
    pl_write_key(&out, "no");
    pl_write_numbers(&out, NULL, 0);
    pl_write_end(&out, '}');
    CHECK_STR(out.data, "{\"a\\\"b\":\"x\\\\y\\n\\t\\b\\f\\r\\u0001\\u001f\x7f\xc3\xa9/"
                        "\",\"none\":null,\"i\":-9223372036854775808,"
                        "\"t\":true,\"n\":0.1,\"l\":[false,null,[],{},null,null],\"ns\":[1,0.5],\"no\":[]}");
    CHECK_INT(out.length, strlen(out.data));
    pl_text_free(&out);
    CHECK_INT(memory.bytes, 0);
}

static void expect_number(double value, const char *want) {
    pl_memory memory = {0};
    pl_text out = pl_text_make(&memory);
    pl_write_number(&out, value);
    CHECK_STR(out.data, want);
    pl_text_free(&out);
}

TEST(numbers_are_shortest_and_read_back) {
    expect_number(0, "0");
    expect_number(-0.0, "-0");
    expect_number(1, "1");
    expect_number(-123456789, "-123456789");
    expect_number(999999999999999.0, "999999999999999");
    expect_number(1e15, "1e+15");
    expect_number(1e22, "1e+22");
    expect_number(0.1, "0.1");
    expect_number(0.1 + 0.2, "0.30000000000000004");
    expect_number(1e-5, "1e-05");
    expect_number(1.0 / 3, "0.3333333333333333");
    expect_number(5e-324, "5e-324");
    expect_number(DBL_MAX, "1.7976931348623157e+308");
    expect_number(DBL_MIN, "2.2250738585072014e-308");
    uint64_t state = 1;
    for (int i = 0; i < 20000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double value;
        memcpy(&value, &state, sizeof value);
        if (!isfinite(value))
            continue;
        pl_memory memory = {0};
        pl_text out = pl_text_make(&memory);
        pl_write_number(&out, value);
        pl_json *root = NULL;
        pl_error error;
        REQUIRE(pl_json_parse(out.data, out.length, "t", &root, &error) == PL_OK);
        double back = pl_json_number(root);
        CHECK_MSG(memcmp(&back, &value, sizeof back) == 0, "%.17g came back from %s as %.17g", value,
                  out.data, back);
        pl_json_free(root);
        pl_text_free(&out);
    }
}

TEST(a_node_is_written_as_it_was_read) {
    static const char text[] = "{\"a\":[1,2.5,\"\\u0001\xc3\xa9\",null,true,[],{}],\"b\":{\"c\":-0.1}}";
    pl_memory memory = {0};
    pl_error error = {0};
    pl_json *root = NULL;
    REQUIRE(pl_json_parse(text, sizeof text - 1, "t", &root, &error) == PL_OK);
    pl_text out = pl_text_make(&memory);
    pl_write_node(&out, root);
    CHECK_STR(out.data, text);
    pl_text_free(&out);
    pl_json_free(root);
}

TEST(a_refused_allocation_makes_the_writer_stop_quietly) {
    for (int64_t fail = 1; fail < 8; fail++) {
        pl_memory memory = {.fail_at = fail};
        pl_text out = pl_text_make(&memory);
        pl_write_begin(&out, '[');
        for (int i = 0; i < 2000; i++)
            pl_write_int(&out, i);
        pl_write_end(&out, ']');
        CHECK_INT(out.failed, memory.allocation_count >= fail);
        pl_text_free(&out);
        CHECK_INT(memory.bytes, 0);
    }
}
