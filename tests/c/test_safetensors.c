/* build: both */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"

/* A file in a heap block of exactly its size, so that the sanitizer sees any read outside. */
typedef struct blob {
    uint8_t *bytes;
    size_t size;
} blob;

static blob blob_make(uint64_t header_length, const char *header, size_t header_bytes, size_t data_bytes) {
    blob b = {.size = 8 + header_bytes + data_bytes};
    b.bytes = calloc(b.size, 1);
    if (!b.bytes)
        abort();
    for (int i = 0; i < 8; i++)
        b.bytes[i] = (uint8_t)(header_length >> (8 * i));
    memcpy(b.bytes + 8, header, header_bytes);
    return b;
}

static pl_status open_blob(blob b, pl_error *error) {
    pl_memory memory = {0};
    pl_safetensors file;
    pl_status status = pl_safetensors_open(&memory, b.bytes, b.size, "f", &file, error);
    CHECK((status == PL_OK) == (file.tensors != NULL));
    pl_safetensors_close(&file);
    CHECK_INT(memory.bytes, 0);
    return status;
}

static int cases;

/* Expects the status, and the message beginning with "f: " + message (or "f:" + message for JSON
   positions). */
static void expect(blob b, pl_status want, const char *message) {
    pl_error error = {0};
    pl_status status = open_blob(b, &error);
    bool same = strncmp(error.message, message, strlen(message)) == 0;
    CHECK_MSG(status == want && same, "header %.*s: status %d, \"%s\", expected %d, \"%s\"",
              (int)(b.size > 8 ? (b.size < 208 ? b.size - 8 : 200) : 0), (const char *)b.bytes + 8,
              (int)status, error.message, (int)want, message);
    free(b.bytes);
    cases++;
}

static void expect_header(const char *header, size_t data, pl_status want, const char *message) {
    size_t length = strlen(header);
    expect(blob_make(length, header, length, data), want, message);
}

/* One tensor "a" with the given members. */
static void expect_tensor(const char *members, size_t data, pl_status want, const char *message) {
    char header[600];
    (void)snprintf(header, sizeof header, "{\"a\":{%s}}", members);
    expect_header(header, data, want, message);
}

#define OFFSETS(b, e) "\"data_offsets\":[" #b "," #e "]"
#define F32_2 "\"dtype\":\"F32\",\"shape\":[2]"

TEST(good_files_open) {
    expect_header("{}", 0, PL_OK, "");
    expect_header("{}      ", 0, PL_OK, "");
    expect_header("{}\n\t ", 0, PL_OK, "");
    expect_header("{\"__metadata__\":{}}", 0, PL_OK, "");
    expect_header("{\"__metadata__\":{\"format\":\"pt\",\"\xc3\xa9\":\"\\n\"}}", 0, PL_OK, "");
    expect_tensor(F32_2 "," OFFSETS(0, 8), 8, PL_OK, "");
    expect_tensor(OFFSETS(0, 8) ", \"shape\" : [ 2 ] , \"dtype\":\"F32\"", 8, PL_OK, "");
    expect_tensor("\"dtype\":\"F32\",\"shape\":[]," OFFSETS(0, 4), 4, PL_OK, "");
    expect_tensor("\"dtype\":\"F32\",\"shape\":[0]," OFFSETS(0, 0), 0, PL_OK, "");
    expect_tensor("\"dtype\":\"F32\",\"shape\":[0,1000000]," OFFSETS(0, 0), 0, PL_OK, "");
    expect_tensor("\"dtype\":\"F16\",\"shape\":[1,2,1,2]," OFFSETS(0, 8), 8, PL_OK, "");
    expect_tensor("\"dtype\":\"F4\",\"shape\":[4]," OFFSETS(0, 2), 2, PL_OK, "");
    expect_header("{\"b\":{" F32_2 "," OFFSETS(0, 8) "},\"a\":{" F32_2 "," OFFSETS(8, 16) "}}", 16, PL_OK,
                  "");
    expect_header("{\"b\":{" F32_2 "," OFFSETS(8, 16) "},\"a\":{" F32_2 "," OFFSETS(0, 8) "}}", 16, PL_OK,
                  "");
    expect_header("{\"z\":{\"dtype\":\"F32\",\"shape\":[0]," OFFSETS(8, 8) "},\"b\":{" F32_2 "," OFFSETS(
                      8, 16) "},\"a\":{" F32_2 "," OFFSETS(0, 8) "}}",
                  16, PL_OK, "");
}

TEST(bad_lengths) {
    for (size_t size = 0; size < 8; size++) {
        blob b = blob_make(2, "{}", 2, 0);
        b.size = size;
        char message[80];
        (void)snprintf(message, sizeof message, "f: %zu bytes are too few", size);
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, b.bytes, size);
        free(b.bytes);
        b.bytes = exact;
        expect(b, PL_ERR_FORMAT, message);
    }
    expect(blob_make(0, "", 0, 0), PL_ERR_FORMAT, "f: the header must begin with '{'");
    expect(blob_make(0, "", 0, 9), PL_ERR_FORMAT, "f: the header must begin with '{'");
    expect(blob_make(3, "{}", 2, 0), PL_ERR_FORMAT, "f: the file ends inside its header (2 of 3 bytes)");
    expect(blob_make(1, "{}", 2, 0), PL_ERR_FORMAT, "f:1:2: ");
    for (int bit = 2; bit < 64; bit++) {
        bool over = bit >= 20;
        uint64_t length = ((uint64_t)1 << bit) + 2;
        expect(blob_make(length, "{}", 2, 0), PL_ERR_FORMAT,
               over ? "f: a header of" : "f: the file ends inside");
    }
    expect(blob_make(UINT64_MAX, "{}", 2, 0), PL_ERR_FORMAT,
           "f: a header of 18446744073709551615 bytes is over");
    expect(blob_make(UINT64_MAX - 7, "{}", 2, 0), PL_ERR_FORMAT, "f: a header of 18446744073709551608 bytes");
    size_t limit = PL_SAFETENSORS_HEADER_MAX;
    char *spaces = malloc(limit + 1);
    memset(spaces, ' ', limit + 1);
    memcpy(spaces, "{}", 2);
    expect(blob_make(limit, spaces, limit, 0), PL_OK, "");
    expect(blob_make(limit + 1, spaces, limit + 1, 0), PL_ERR_FORMAT, "f: a header of 1048577 bytes");
    free(spaces);
}

TEST(bad_header_json) {
    static const char *const not_object[] = {" {}", "[]",  "\n{}", "null", "1", "\"a\"", "\xef\xbb\xbf{}",
                                             "x",   "\xff"};
    for (size_t i = 0; i < sizeof not_object / sizeof *not_object; i++)
        expect_header(not_object[i], 0, PL_ERR_FORMAT, "f: the header must begin with '{'");
    expect_header("{", 0, PL_ERR_FORMAT, "f:1:2: expected a string");
    expect_header("{}x", 0, PL_ERR_FORMAT, "f:1:3: unexpected text");
    expect_header("{}{}", 0, PL_ERR_FORMAT, "f:1:3: unexpected text");
    expect_header("{\"a\":1,}", 0, PL_ERR_FORMAT, "f:1:8: expected a string");
    expect_header("{\"\xff\":{}}", 0, PL_ERR_FORMAT, "f:1:3: this is not valid UTF-8");
    expect_header("{\"\\u0000\":{}}", 0, PL_ERR_FORMAT, "f:1:3: \\u0000");
    expect_header("{\"\\ud800\":{}}", 0, PL_ERR_FORMAT, "f:1:3: a high surrogate");
    expect_header("{\"a\":{},\"a\":{}}", 0, PL_ERR_FORMAT, "f:1:9: this key was already used");
    expect_header("{\"a\":{},\"\\u0061\":{}}", 0, PL_ERR_FORMAT, "f:1:9: this key was already used");
    expect_header("{\"__metadata__\":{},\"__metadata__\":{}}", 0, PL_ERR_FORMAT, "f:1:20: this key was");
    expect_tensor(F32_2 "," F32_2 "," OFFSETS(0, 8), 8, PL_ERR_FORMAT, "f:1:33: this key was already used");
    expect_tensor("\"shape\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]", 0, PL_ERR_FORMAT,
                  "f:1:29: nested deeper");
    expect(blob_make(3, "{}\0", 3, 0), PL_ERR_FORMAT, "f:1:3: unexpected text");
}

TEST(bad_metadata) {
    static const char *const bad[] = {"1",         "null",         "[]",         "\"pt\"",
                                      "{\"a\":1}", "{\"a\":null}", "{\"a\":{}}", "{\"a\":\"b\",\"c\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char header[80];
        (void)snprintf(header, sizeof header, "{\"__metadata__\":%s}", bad[i]);
        expect_header(header, 0, PL_ERR_FORMAT, "f: __metadata__ must be an object of strings");
    }
}

TEST(bad_names) {
    static const char rest[] = "\":{" F32_2 "," OFFSETS(0, 8) "}}";
    static const char *const control[] = {"\\u0001", "a\\n", "\\u001f", "\x7f", "a\\tb", "\\u007f"};
    char header[700];
    for (size_t i = 0; i < sizeof control / sizeof *control; i++) {
        (void)snprintf(header, sizeof header, "{\"%s%s", control[i], rest);
        expect_header(header, 8, PL_ERR_FORMAT, "f: a tensor name has a control character");
    }
    for (int length = 0; length <= 300; length += length == 0 || (length >= 254 && length < 258) ? 1 : 127) {
        char name[301];
        memset(name, 'n', sizeof name);
        name[length] = '\0';
        (void)snprintf(header, sizeof header, "{\"%s%s", name, rest);
        bool good = length >= 1 && length <= 256;
        expect_header(header, 8, good ? PL_OK : PL_ERR_FORMAT, good ? "" : "f: a tensor name of");
    }
}

TEST(bad_entries) {
    static const char *const not_object[] = {"1", "null", "[]", "\"F32\"", "true", "[0,8]"};
    for (size_t i = 0; i < sizeof not_object / sizeof *not_object; i++) {
        char header[80];
        (void)snprintf(header, sizeof header, "{\"a\":%s}", not_object[i]);
        expect_header(header, 0, PL_ERR_FORMAT, "f: a: its entry must be an object");
    }
    expect_tensor("", 0, PL_ERR_FORMAT, "f: a: dtype is missing");
    expect_tensor("\"dtype\":\"F32\"", 0, PL_ERR_FORMAT, "f: a: shape is missing");
    expect_tensor(F32_2, 8, PL_ERR_FORMAT, "f: a: data_offsets is missing");
    expect_tensor("\"shape\":[2]," OFFSETS(0, 8), 8, PL_ERR_FORMAT, "f: a: dtype is missing");
    expect_tensor("\"dtype\":\"F32\"," OFFSETS(0, 8), 8, PL_ERR_FORMAT, "f: a: shape is missing");
    expect_tensor(F32_2 "," OFFSETS(0, 8) ",\"extra\":1", 8, PL_ERR_FORMAT, "f: a: unknown key \"extra\"");
    expect_tensor("\"Dtype\":\"F32\",\"shape\":[2]," OFFSETS(0, 8), 8, PL_ERR_FORMAT,
                  "f: a: unknown key \"Dtype\"");
    expect_tensor("\"__proto__\":{}," F32_2, 8, PL_ERR_FORMAT, "f: a: unknown key \"__proto__\"");
}

TEST(bad_dtypes) {
    static const char *const unknown[] = {"",     "f32",     "F32 ", " F32", "F33",   "F128",
                                          "FP32", "float32", "Q4_0", "F8",   "BF16x", "F"};
    char members[200];
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":\"%s\",\"shape\":[2]," OFFSETS(0, 8), unknown[i]);
        expect_tensor(members, 8, PL_ERR_FORMAT, "f: a: unknown dtype");
    }
    static const char *const not_string[] = {"1", "null", "[\"F32\"]", "{}", "true"};
    for (size_t i = 0; i < sizeof not_string / sizeof *not_string; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":%s,\"shape\":[2]," OFFSETS(0, 8), not_string[i]);
        expect_tensor(members, 8, PL_ERR_FORMAT, "f: a: dtype must be a string");
    }
    static const struct {
        const char *name;
        size_t bits;
    } known[] = {{"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"I64", 64},
                 {"I32", 32},    {"I16", 16},    {"I8", 8},      {"U64", 64},    {"U32", 32},
                 {"U16", 16},    {"U8", 8},      {"BOOL", 8},    {"C64", 64},    {"F8_E4M3", 8},
                 {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4}};
    for (size_t i = 0; i < sizeof known / sizeof *known;
         i++) { /* 8 elements take `bits` bytes; one less, one more */
        for (size_t size = known[i].bits - 1; size <= known[i].bits + 1; size++) {
            (void)snprintf(members, sizeof members, "\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%zu]",
                           known[i].name, size);
            bool good = size == known[i].bits;
            expect_tensor(members, size, good ? PL_OK : PL_ERR_FORMAT,
                          good ? "" : "f: a: shape and dtype need");
        }
    }
    expect_tensor("\"dtype\":\"F4\",\"shape\":[3]," OFFSETS(0, 2), 2, PL_ERR_FORMAT,
                  "f: a: shape and dtype need 2");
    expect_tensor("\"dtype\":\"F4\",\"shape\":[3]," OFFSETS(0, 1), 1, PL_ERR_FORMAT,
                  "f: a: shape and dtype need 2");
}

TEST(bad_shapes) {
    static const char *const not_array[] = {"2", "null", "\"2\"", "{}", "{\"0\":2}", "true"};
    static const char *const not_whole[] = {
        "-1", "1.5",  "1e400", "9007199254740994",     "1e16", "\"2\"", "null", "[2]",
        "{}", "-0.5", "true",  "18446744073709551616", "2,-1", "2,[]"};
    char members[300];
    for (size_t i = 0; i < sizeof not_array / sizeof *not_array; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":\"F32\",\"shape\":%s," OFFSETS(0, 8),
                       not_array[i]);
        expect_tensor(members, 8, PL_ERR_FORMAT, "f: a: shape must be an array");
    }
    for (size_t i = 0; i < sizeof not_whole / sizeof *not_whole; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":\"F32\",\"shape\":[%s]," OFFSETS(0, 8),
                       not_whole[i]);
        bool overflow = strcmp(not_whole[i], "1e400") == 0;
        expect_tensor(members, 8, PL_ERR_FORMAT, overflow ? "f:1:" : "f: a: shape must hold whole numbers");
    }
    expect_tensor("\"dtype\":\"F32\",\"shape\":[1,1,1,1,2]," OFFSETS(0, 8), 8, PL_ERR_UNSUPPORTED,
                  "f: a has more than 4");
    static const char *const not_plain[] = {"2.0", "2e0", "2E0", "20e-1", "0.2e1", "2,1.0", "-0,2"};
    for (size_t i = 0; i < sizeof not_plain / sizeof *not_plain; i++) {
        bool zero = not_plain[i][0] == '-';
        (void)snprintf(members, sizeof members, "\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,%d]",
                       not_plain[i], zero ? 0 : 8);
        expect_tensor(members, zero ? 0 : 8, PL_ERR_FORMAT, "f: the header's numbers must be plain digits");
    }
    expect_tensor(F32_2 ",\"data_offsets\":[0,8.0]", 8, PL_ERR_FORMAT,
                  "f: the header's numbers must be plain digits");
    expect_header("{\"e.-E\\\"\":{" F32_2 "," OFFSETS(0, 8) "}}", 8, PL_OK, "");
    static const char *const overflow[] = {
        "4294967296,4294967296",
        "9007199254740992,9007199254740992",
        "2097152,2097152,2097152,2097152",
        "9007199254740992,17",
        "16777216,16777216,512",
        "9007199254740992,9007199254740992,9007199254740992,9007199254740992",
        "0,9007199254740992,9007199254740992",
        "9007199254740992,9007199254740992,0",
        "3037000500,3037000500"};
    for (size_t i = 0; i < sizeof overflow / sizeof *overflow; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":\"F32\",\"shape\":[%s]," OFFSETS(0, 8),
                       overflow[i]);
        expect_tensor(members, 8, PL_ERR_FORMAT, "f: a: its shape has too many elements");
    }
    static const char *const wrong_size[] = {
        "1", "3", "0", "2,2", "2,0", "1,1", "9007199254740992", "4611686018427387904", ""};
    for (size_t i = 0; i < sizeof wrong_size / sizeof *wrong_size; i++) {
        (void)snprintf(members, sizeof members, "\"dtype\":\"F32\",\"shape\":[%s]," OFFSETS(0, 8),
                       wrong_size[i]);
        bool large = strlen(wrong_size[i]) == 19;
        expect_tensor(members, 8, PL_ERR_FORMAT,
                      large ? "f: a: shape must hold" : "f: a: shape and dtype need");
    }
}

TEST(bad_offsets) {
    static const char *const not_pair[] = {"8",
                                           "null",
                                           "\"0,8\"",
                                           "{}",
                                           "{\"a\":0,\"b\":8}",
                                           "[]",
                                           "[0]",
                                           "[8]",
                                           "[0,8,8]",
                                           "[0,4,8]",
                                           "[\"0\",\"8\"]",
                                           "[null,8]",
                                           "[0,null]",
                                           "[-1,8]",
                                           "[0,-8]",
                                           "[0.5,8]",
                                           "[0,8.5]",
                                           "[0,9007199254740994]",
                                           "[9007199254740994,8]",
                                           "[[0],[8]]",
                                           "[0,18446744073709551615]",
                                           "[18446744073709551615,18446744073709551623]",
                                           "[true,8]",
                                           "[-8,0]"};
    char members[300];
    for (size_t i = 0; i < sizeof not_pair / sizeof *not_pair; i++) {
        (void)snprintf(members, sizeof members, F32_2 ",\"data_offsets\":%s", not_pair[i]);
        expect_tensor(members, 8, PL_ERR_FORMAT, "f: a: data_offsets must be two whole numbers");
    }
    static const struct {
        const char *range;
        size_t data;
        const char *message;
    } ranges[] = {
        {"[0,9]", 8, "f: a: data_offsets [0, 9] are not inside the 8"},
        {"[0,8]", 7, "f: a: data_offsets [0, 8] are not inside the 7"},
        {"[0,8]", 0, "f: a: data_offsets [0, 8] are not inside the 0"},
        {"[1,9]", 8, "f: a: data_offsets [1, 9] are not inside"},
        {"[8,16]", 8, "f: a: data_offsets [8, 16] are not inside"},
        {"[8,0]", 8, "f: a: data_offsets [8, 0] are not inside"},
        {"[8,7]", 8, "f: a: data_offsets [8, 7] are not inside"},
        {"[9,9]", 8, "f: a: data_offsets [9, 9] are not inside"},
        {"[0,9007199254740992]", 8, "f: a: data_offsets [0, 9007199254740992] are not inside"},
        {"[9007199254740984,9007199254740992]", 8, "f: a: data_offsets [9007199254740984, 9007199254740992]"},
        {"[4294967296,4294967304]", 8, "f: a: data_offsets [4294967296, 4294967304] are not inside"},
        {"[0,7]", 8, "f: a: shape and dtype need 8 bytes, data_offsets give 7"},
        {"[0,0]", 8, "f: a: shape and dtype need 8 bytes, data_offsets give 0"},
        {"[1,8]", 8, "f: a: shape and dtype need 8 bytes, data_offsets give 7"},
        {"[0,9]", 9, "f: a: shape and dtype need 8 bytes, data_offsets give 9"},
        {"[0,8]", 9, "f: 1 bytes behind the last tensor"},
        {"[0,8]", 16, "f: 8 bytes behind the last tensor"},
        {"[1,9]", 9, "f: a begins at data byte 1, behind where the tensor before it ends (0)"},
        {"[8,16]", 16, "f: a begins at data byte 8, behind where"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        (void)snprintf(members, sizeof members, F32_2 ",\"data_offsets\":%s", ranges[i].range);
        expect_tensor(members, ranges[i].data, PL_ERR_FORMAT, ranges[i].message);
    }
    expect_header("{}", 1, PL_ERR_FORMAT, "f: 1 bytes behind the last tensor");
    expect_header("{\"__metadata__\":{}}", 4, PL_ERR_FORMAT, "f: 4 bytes behind the last tensor");
}

/* Three tensors of 8 bytes; every shift of the middle one by -8..8 bytes but 0 is a hole or an overlap. */
TEST(holes_and_overlaps) {
    char header[400];
    for (int order = 0; order < 2; order++) {
        for (int shift = -8; shift <= 8; shift++) {
            static const char *const names[2][3] = {{"a", "b", "c"}, {"c", "b", "a"}};
            (void)snprintf(header, sizeof header,
                           "{\"%s\":{" F32_2 ",\"data_offsets\":[0,8]},\"%s\":{" F32_2
                           ",\"data_offsets\":[%d,%d]},"
                           "\"%s\":{" F32_2 ",\"data_offsets\":[16,24]}}",
                           names[order][0], names[order][1], 8 + shift, 16 + shift, names[order][2]);
            expect_header(header, 24, shift ? PL_ERR_FORMAT : PL_OK, shift ? "f: " : "");
        }
    }
    expect_header("{\"a\":{" F32_2 "," OFFSETS(0, 8) "},\"b\":{" F32_2 "," OFFSETS(0, 8) "}}", 8,
                  PL_ERR_FORMAT, "f: ");
    expect_header("{\"a\":{" F32_2
                  "," OFFSETS(0, 8) "},\"b\":{\"dtype\":\"F32\",\"shape\":[0]," OFFSETS(4, 4) "}}",
                  8, PL_ERR_FORMAT, "f: b begins at data byte 4, before the tensor before it ends (8)");
}

TEST(the_number_of_tensors_is_limited) {
    for (int extra = -1; extra <= 1; extra++) {
        for (int metadata = 0; metadata < 2; metadata++) {
            int count = PL_SAFETENSORS_TENSORS_MAX + extra;
            char *header = malloc((size_t)count * 64 + 64), *at = header;
            at += sprintf(at, "{%s", metadata ? "\"__metadata__\":{}," : "");
            for (int i = 0; i < count; i++)
                at += sprintf(at, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                              i ? "," : "", i, i, i + 1);
            at += sprintf(at, "}");
            expect(blob_make((uint64_t)(at - header), header, (size_t)(at - header), (size_t)count),
                   extra > 0 ? PL_ERR_FORMAT : PL_OK, extra > 0 ? "f: more than 4096 tensors" : "");
            free(header);
        }
    }
}

TEST(zz_enough_cases) { CHECK_MSG(cases >= 300, "only %d cases", cases); }
