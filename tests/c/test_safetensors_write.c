/* build: both */
#include "harness.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/floats.h"
#include "io/safetensors.h"

/* The three files that safetensors 0.8.0 (Python, save(..., metadata={"format": "pt"})) makes of the tensors
   below. */
static const char header_f32[] = "{\"__metadata__\":{\"format\":\"pt\"},\"layers.10.b\":{\"dtype\":\"F32\","
                                 "\"shape\":[3],\"data_offsets\":[0,12]},"
                                 "\"layers.2.a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[12,28]}"
                                 ",\"s\":{\"dtype\":\"F32\",\"shape\":[],"
                                 "\"data_offsets\":[28,32]},\"\xc3\xa9\\\"\\\\\":{\"dtype\":\"F32\","
                                 "\"shape\":[0,4],\"data_offsets\":[32,32]}}  ";
static const char header_f16[] = "{\"__metadata__\":{\"format\":\"pt\"},\"layers.10.b\":{\"dtype\":\"F16\","
                                 "\"shape\":[3],\"data_offsets\":[0,6]},"
                                 "\"layers.2.a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[6,14]},"
                                 "\"s\":{\"dtype\":\"F16\",\"shape\":[],"
                                 "\"data_offsets\":[14,16]},\"\xc3\xa9\\\"\\\\\":{\"dtype\":\"F16\","
                                 "\"shape\":[0,4],\"data_offsets\":[16,16]}}    ";
static const char header_bf16[] = "{\"__metadata__\":{\"format\":\"pt\"},\"layers.10.b\":{\"dtype\":\"BF16\","
                                  "\"shape\":[3],\"data_offsets\":[0,6]},"
                                  "\"layers.2.a\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[6,14]"
                                  "},\"s\":{\"dtype\":\"BF16\",\"shape\":[],"
                                  "\"data_offsets\":[14,16]},\"\xc3\xa9\\\"\\\\\":{\"dtype\":\"BF16\","
                                  "\"shape\":[0,4],\"data_offsets\":[16,16]}}";
static const char data_f32[] = "00000000cdcccc3dcdcc4c3e0000c03f000000c000e07f4795bfd63300005040";
static const char data_f16[] = "0000662e6632003e00c0ff7b02008042";
static const char data_bf16[] = "0000cd3d4d3ec03f00c08047d7335040";

static real layer_b[3], layer_a[4], scalar;

/* In an order of its own, to be sorted. */
static void sample(pl_save_tensor out[4]) {
    static const float b[3] = {0, 0.1f, 0.2f}, a[4] = {1.5f, -2, 65504, 1e-7f};
    for (int i = 0; i < 3; i++)
        layer_b[i] = (real)b[i];
    for (int i = 0; i < 4; i++)
        layer_a[i] = (real)a[i];
    scalar = (real)3.25;
    out[0] = (pl_save_tensor){"\xc3\xa9\"\\", 2, {0, 4, 0, 0}, NULL};
    out[1] = (pl_save_tensor){"s", 0, {0, 0, 0, 0}, &scalar};
    out[2] = (pl_save_tensor){"layers.2.a", 2, {2, 2, 0, 0}, layer_a};
    out[3] = (pl_save_tensor){"layers.10.b", 1, {3, 0, 0, 0}, layer_b};
}

static void expect_file(pl_dtype dtype, const char *header, const char *hex) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_save_tensor tensors[4];
    sample(tensors);
    uint8_t *bytes;
    size_t size, length = strlen(header), data = strlen(hex) / 2;
    CHECK_INT(pl_safetensors_write(&memory, tensors, 4, dtype, "{\"format\":\"pt\"}", &bytes, &size, &error),
              PL_OK);
    REQUIRE(bytes && size == 8 + length + data);
    for (size_t i = 0; i < 8; i++)
        CHECK_INT(bytes[i], length >> (8 * i) & 255);
    CHECK_MSG(memcmp(bytes + 8, header, length) == 0, "header is %.*s", (int)length, (char *)bytes + 8);
    for (size_t i = 0; i < data; i++) {
        unsigned byte = 0;
        (void)sscanf(hex + 2 * i, "%2x", &byte);
        CHECK_INT(bytes[8 + length + i], byte);
    }
    pl_safetensors file;
    REQUIRE(pl_safetensors_open(&memory, bytes, size, "f", &file, &error) == PL_OK);
    CHECK_INT(file.count, 4);
    CHECK_STR(file.metadata, "{\"format\":\"pt\"}");
    pl_file_tensor *a = pl_safetensors_find(&file, "layers.2.a");
    REQUIRE(a && a->dims == 2 && a->elements == 4);
    real values[4];
    CHECK_INT(pl_safetensors_read(a, "f", values, &error), PL_OK);
    CHECK_NEAR(values[1], -2, 0);
    CHECK_NEAR(values[2], dtype == PL_DTYPE_BF16 ? 65536 : 65504, 0);
    CHECK(pl_safetensors_find(&file, "layers.2") == NULL && pl_safetensors_find(&file, "") == NULL);
    pl_safetensors_close(&file);
    pl_memory_free(&memory, bytes);
    CHECK_INT(memory.bytes, 0);
}

TEST(the_reference_writes_the_same_bytes) {
    expect_file(PL_DTYPE_F32, header_f32, data_f32);
    expect_file(PL_DTYPE_F16, header_f16, data_f16);
    expect_file(PL_DTYPE_BF16, header_bf16, data_bf16);
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    (void)fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size ? *size : 1);
    if (bytes && fread(bytes, 1, *size, file) != *size)
        *size = 0;
    (void)fclose(file);
    return bytes;
}

/* Reads a PEFT file and writes it again: the same bytes. */
static void check_rewrite(const char *path) {
    pl_memory memory = {0};
    pl_error error = {0};
    size_t size, again_size = 0;
    uint8_t *bytes = read_whole(path, &size), *again = NULL;
    REQUIRE(bytes != NULL);
    pl_safetensors file;
    if (pl_safetensors_open(&memory, bytes, size, path, &file, &error) != PL_OK) {
        CHECK_MSG(false, "%s", error.message);
        free(bytes);
        return;
    }
    pl_save_tensor *tensors = pl_memory_alloc(&memory, (size_t)file.count, sizeof *tensors);
    for (int32_t i = 0; i < file.count; i++) {
        const pl_file_tensor *t = &file.tensors[i];
        real *values = pl_memory_alloc(&memory, (size_t)t->elements, sizeof *values);
        CHECK_INT(pl_safetensors_read(t, path, values, &error), PL_OK);
        tensors[i] = (pl_save_tensor){.name = t->name, .dims = t->dims, .values = values};
        memcpy(tensors[i].shape, t->shape, sizeof t->shape);
    }
    pl_dtype dtype = file.count ? file.tensors[0].dtype : PL_DTYPE_F32;
    CHECK_INT(
        pl_safetensors_write(&memory, tensors, file.count, dtype, file.metadata, &again, &again_size, &error),
        PL_OK);
    CHECK_MSG(again_size == size && memcmp(again, bytes, size) == 0, "%s changed when written again", path);
    pl_safetensors_close(&file);
    pl_memory_free_all(&memory);
    free(bytes);
}

TEST(files_of_peft_survive_a_round_trip) {
    DIR *folder = opendir("tests/golden");
    REQUIRE(folder != NULL);
    int files = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[512];
        (void)snprintf(path, sizeof path, "tests/golden/%s/adapter/adapter_model.safetensors", entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file)
            continue;
        (void)fclose(file);
        check_rewrite(path);
        files++;
    }
    (void)closedir(folder);
    CHECK_MSG(files > 0, "no adapter files in tests/golden");
    check_rewrite("tests/golden/models/gqa-odd-bf16/model.safetensors");
    check_rewrite("tests/golden/models/mha-tied-f16/model.safetensors");
}

static void expect_refused(pl_dtype dtype, const pl_save_tensor *tensors, int32_t count, const char *metadata,
                           pl_status want, const char *message) {
    pl_memory memory = {0};
    pl_error error = {0};
    uint8_t *bytes;
    size_t size;
    CHECK_INT(pl_safetensors_write(&memory, tensors, count, dtype, metadata, &bytes, &size, &error), want);
    CHECK_MSG(strstr(error.message, message) != NULL, "\"%s\" does not have \"%s\"", error.message, message);
    CHECK(bytes == NULL && size == 0);
    CHECK_INT(memory.bytes, 0);
}

TEST(the_writer_refuses_what_it_could_not_read) {
    real values[2] = {1, 2}, large[2] = {1, 70000}, infinite[2] = {(real)INFINITY, 1},
         nan_values[2] = {1, (real)NAN};
    pl_save_tensor t[2] = {{"a", 1, {2, 0, 0, 0}, values}, {"a", 1, {2, 0, 0, 0}, values}};
    expect_refused(PL_DTYPE_F32, t, 2, NULL, PL_ERR_ARGUMENT, "two tensors are named a");
    expect_refused(PL_DTYPE_F64, t, 1, NULL, PL_ERR_ARGUMENT, "F32, F16 or BF16");
    expect_refused(PL_DTYPE_OTHER, t, 1, NULL, PL_ERR_ARGUMENT, "F32, F16 or BF16");
    expect_refused(PL_DTYPE_F32, t, -1, NULL, PL_ERR_RANGE, "-1 tensors");
    expect_refused(PL_DTYPE_F32, t, 4097, NULL, PL_ERR_RANGE, "4097 tensors");
    expect_refused(PL_DTYPE_F32, t, 1, "{\"a\":1}", PL_ERR_ARGUMENT, "object of strings");
    expect_refused(PL_DTYPE_F32, t, 1, "[]", PL_ERR_ARGUMENT, "object of strings");
    expect_refused(PL_DTYPE_F32, t, 1, "{", PL_ERR_FORMAT, "__metadata__:1:2");
    t[0].name = "";
    expect_refused(PL_DTYPE_F32, t, 1, NULL, PL_ERR_ARGUMENT, "cannot be the name");
    t[0].name = "__metadata__";
    expect_refused(PL_DTYPE_F32, t, 1, NULL, PL_ERR_ARGUMENT, "cannot be the name");
    t[0].name = "b";
    t[0].shape[0] = -1;
    expect_refused(PL_DTYPE_F32, t, 1, NULL, PL_ERR_RANGE, "b has an impossible shape");
    t[0] = (pl_save_tensor){"b", 3, {INT64_MAX, 2, 2, 0}, values};
    expect_refused(PL_DTYPE_F32, t, 1, NULL, PL_ERR_RANGE, "b has an impossible shape");
    t[0] = (pl_save_tensor){"b", 5, {1, 1, 1, 1}, values};
    expect_refused(PL_DTYPE_F32, t, 1, NULL, PL_ERR_RANGE, "b has an impossible shape");
    t[0] = (pl_save_tensor){"b", 1, {2, 0, 0, 0}, nan_values};
    expect_refused(PL_DTYPE_F32, t, 2, NULL, PL_ERR_NUMERIC, "b: value nan at index 1");
    t[0].values = infinite;
    expect_refused(PL_DTYPE_BF16, t, 2, NULL, PL_ERR_NUMERIC, "b: value inf at index 0");
    t[0].values = large;
    expect_refused(PL_DTYPE_F16, t, 2, NULL, PL_ERR_NUMERIC,
                   "b: value 70000 at index 1 is not finite in this 16-bit");
}

TEST(not_finite_weights_are_counted) {
    static const char header[] = "{\"a\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,16]}}";
    uint8_t bytes[8 + sizeof header - 1 + 16] = {sizeof header - 1};
    memcpy(bytes + 8, header, sizeof header - 1);
    static const uint8_t data[8] = {0, 0x3C, 0, 0x7C, 0, 0xFC, 1, 0x7C}; /* 1, inf, -inf, nan */
    memcpy(bytes + 8 + sizeof header - 1, data, 8);
    pl_memory memory = {0};
    pl_error error = {0};
    pl_safetensors file;
    REQUIRE(pl_safetensors_open(&memory, bytes, sizeof bytes, "f", &file, &error) == PL_OK);
    real values[8];
    CHECK_INT(pl_safetensors_read(pl_safetensors_find(&file, "a"), "f", values, &error), PL_ERR_NUMERIC);
    CHECK_STR(error.message, "f: a has numbers that are not finite, 3 in all, the first at index 1: load "
                             "another copy, or weights from before they diverged");
    CHECK_INT(pl_safetensors_read(pl_safetensors_find(&file, "b"), "f", values, &error), PL_ERR_UNSUPPORTED);
    pl_safetensors_close(&file);
}

TEST(f64_and_empty_files) {
    static const char header[] = "{\"d\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]}}";
    static const double numbers[3] = {0.1, -1e300, 3};
    uint8_t bytes[8 + sizeof header - 1 + 24] = {sizeof header - 1};
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, numbers, 24);
    pl_memory memory = {0};
    pl_error error = {0};
    pl_safetensors file;
    REQUIRE(pl_safetensors_open(&memory, bytes, sizeof bytes, "f", &file, &error) == PL_OK);
    real *values = malloc(3 * sizeof *values);
    pl_status status = pl_safetensors_read(&file.tensors[0], "f", values, &error);
    CHECK_INT(status, PL_REAL_IS_FLOAT ? PL_ERR_NUMERIC : PL_OK); /* 1e300 is no float */
    CHECK(values[0] == (real)0.1 && values[2] == 3);
    free(values);
    pl_safetensors_close(&file);
    uint8_t *empty;
    size_t size;
    CHECK_INT(pl_safetensors_write(&memory, NULL, 0, PL_DTYPE_F32, NULL, &empty, &size, &error), PL_OK);
    CHECK(size == 16 && memcmp(empty, "\x08\0\0\0\0\0\0\0{}      ", 16) == 0);
    pl_memory_free(&memory, empty);
    CHECK_INT(memory.bytes, 0);
}

/* Each bit of a good file's length and header flipped: refused, or still a consistent file; never a crash or
   a leak. */
TEST(flipped_bits_are_survived) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_save_tensor tensors[4];
    sample(tensors);
    uint8_t *bytes;
    size_t size;
    REQUIRE(pl_safetensors_write(&memory, tensors, 4, PL_DTYPE_F32, "{\"format\":\"pt\"}", &bytes, &size,
                                 &error) == PL_OK);
    size_t live = memory.bytes, header = size - 32;
    int refused = 0, accepted = 0;
    for (size_t bit = 0; bit < header * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        pl_safetensors file;
        if (pl_safetensors_open(&memory, bytes, size, "f", &file, &error) == PL_OK) {
            accepted++; /* another letter in a name, or another shape with the same product */
            uint64_t total = 0;
            for (int32_t i = 0; i < file.count; i++) {
                CHECK(file.tensors[i].bytes >= bytes + 8 &&
                      file.tensors[i].bytes + file.tensors[i].size <= bytes + size);
                total += file.tensors[i].size;
            }
            CHECK_INT(total, 32);
            pl_safetensors_close(&file);
        } else {
            refused++;
        }
        CHECK_INT(memory.bytes, live);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_MSG(refused > 1500 && accepted > 50, "%d refused, %d accepted", refused, accepted);
    pl_memory_free(&memory, bytes);
}

TEST(every_refused_allocation_is_clean) {
    pl_save_tensor tensors[4];
    sample(tensors);
    pl_status status = PL_ERR_MEMORY;
    for (int64_t fail = 1; status != PL_OK; fail++) {
        pl_memory memory = {.fail_at = fail};
        pl_error error = {0};
        pl_safetensors file = {0};
        uint8_t *bytes;
        size_t size;
        status = pl_safetensors_write(&memory, tensors, 4, PL_DTYPE_F32, "{\"format\":\"pt\"}", &bytes, &size,
                                      &error);
        if (status == PL_OK) {
            status = pl_safetensors_open(&memory, bytes, size, "f", &file, &error);
            pl_safetensors_close(&file);
        }
        CHECK_MSG(status == PL_OK || status == PL_ERR_MEMORY, "%s", error.message);
        pl_memory_free(&memory, bytes);
        CHECK_INT(memory.bytes, 0);
        REQUIRE(fail < 100);
    }
}
