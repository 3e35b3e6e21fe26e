/* Status, memory, random numbers and layouts. (build: both) */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/layout.h"
#include "base/pieces.h"
#include "base/rng.h"
#include "harness.h"

TEST(a_failure_carries_its_sentence) {
    pl_error error = {0};
    CHECK_INT(pl_fail(&error, PL_ERR_RANGE, "rank %d is outside 1..%d", 90, 64), PL_ERR_RANGE);
    CHECK_INT(error.status, PL_ERR_RANGE);
    CHECK_STR(error.message, "rank 90 is outside 1..64");
    CHECK_INT(pl_fail(NULL, PL_ERR_STATE, "nobody listens"), PL_ERR_STATE);
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    pl_fail(&error, PL_ERR_FORMAT, "%s", longer);
    CHECK_INT(strlen(error.message), sizeof error.message - 1);
}

TEST(every_status_has_a_name_of_its_own) {
    for (int i = PL_OK; i <= PL_ERR_UNSUPPORTED; i++)
        for (int j = PL_OK; j < i; j++)
            CHECK(strcmp(pl_status_name((pl_status)i), pl_status_name((pl_status)j)) != 0);
    CHECK_STR(pl_status_name(PL_ERR_RANGE), "range");
    CHECK_STR(pl_status_name((pl_status)99), "unknown");
}

TEST(memory_is_zeroed_aligned_and_counted) {
    pl_memory memory = {0};
    unsigned char *a = pl_memory_alloc(&memory, 100, 3), *b = pl_memory_alloc(&memory, 0, 8);
    REQUIRE(a && b);
    CHECK_INT((uintptr_t)a % 64, 0);
    CHECK_INT((uintptr_t)b % 64, 0);
    for (int i = 0; i < 300; i++)
        CHECK(a[i] == 0);
    CHECK_INT(memory.bytes, 300);
    CHECK_INT(memory.allocation_count, 2);
    char *c = pl_memory_copy_text(&memory, "hello world", 5);
    CHECK_STR(c, "hello");
    pl_memory_free(&memory, a); /* in the middle of the list */
    pl_memory_free(&memory, NULL);
    CHECK_INT(memory.bytes, 6);
    CHECK_INT(memory.peak_bytes, 306);
    pl_memory_free_all(&memory);
    CHECK_INT(memory.bytes, 0);
    CHECK(memory.blocks == NULL);
}

TEST(memory_refuses) {
    pl_memory memory = {.limit_bytes = 1000};
    CHECK(pl_memory_alloc(&memory, SIZE_MAX / 2, 4) == NULL);
    CHECK(pl_memory_alloc(&memory, SIZE_MAX, 1) == NULL);
    CHECK(pl_memory_alloc(&memory, (uint64_t)-1, 64) == NULL); /* what a negative size becomes */
    CHECK(pl_memory_alloc(&memory, 1001, 1) == NULL);
    void *most = pl_memory_alloc(&memory, 900, 1);
    CHECK(most != NULL);
    CHECK(pl_memory_alloc(&memory, 101, 1) == NULL);
    pl_memory_free(&memory, most);
    CHECK(pl_memory_alloc(&memory, 1000, 1) != NULL);
    pl_memory_free_all(&memory);
    pl_memory failing = {.fail_at = 2};
    CHECK(pl_memory_alloc(&failing, 1, 1) != NULL);
    CHECK(pl_memory_alloc(&failing, 1, 1) == NULL);
    CHECK(pl_memory_alloc(&failing, 1, 1) != NULL);
    pl_memory_free_all(&failing);
}

TEST(pieces_are_placed_as_they_were_measured) {
    pl_memory memory = {.limit_bytes = 1 << 20};
    pl_pieces pieces = {0};
    CHECK(pl_pieces_take(&pieces, 17) == NULL);
    CHECK(pl_pieces_take(&pieces, 1) == NULL);
    CHECK_INT(pieces.used, 48);
    int32_t *head = pl_pieces_block(&memory, 3 * sizeof *head, &pieces, &pieces.base);
    REQUIRE(head && pieces.base);
    CHECK_INT(memory.bytes, 64 + 48 * sizeof(real));
    CHECK_INT((char *)pieces.base - (char *)head, 64);
    pieces.used = 0;
    real *a = pl_pieces_take(&pieces, 17), *b = pl_pieces_take(&pieces, 1);
    CHECK(a == pieces.base && b == a + 32);
    pl_pieces huge = {.used = INT64_C(1) << 58}, small = {.used = 16};
    CHECK(pl_pieces_block(&memory, 0, &huge, &huge.base) == NULL && huge.base == NULL);
    memory.fail_at = memory.allocation_count + 1;
    CHECK(pl_pieces_block(&memory, 64, &small, &small.base) == NULL && small.base == NULL);
    pl_memory_free_all(&memory);
}

TEST(random_streams_repeat_and_differ) {
    pl_rng a = pl_rng_stream(1, 2), b = pl_rng_stream(1, 2), c = pl_rng_stream(1, 3), d = pl_rng_stream(2, 2);
    for (int i = 0; i < 100; i++) {
        uint64_t x = pl_rng_u64(&a);
        CHECK(x == pl_rng_u64(&b));
        CHECK(x != pl_rng_u64(&c));
        CHECK(x != pl_rng_u64(&d));
    }
    pl_rng resumed = {.key = a.key, .counter = a.counter}; /* the whole state to save */
    CHECK(pl_rng_u64(&a) == pl_rng_u64(&resumed));
    CHECK(pl_rng_mix(1, 2) != pl_rng_mix(2, 1));
}

TEST(random_numbers_have_their_moments) {
    enum { DRAWS = 40000 };
    pl_rng rng = pl_rng_stream(5, 0);
    double sum = 0, squares = 0, cubes = 0, uniform = 0;
    int32_t counts[7] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double z = pl_rng_normal(&rng), u = pl_rng_uniform(&rng);
        sum += z;
        squares += z * z;
        cubes += z * z * z;
        uniform += u;
        CHECK(u >= 0 && u < 1);
        int32_t k = pl_rng_below(&rng, 7);
        REQUIRE(k >= 0 && k < 7);
        counts[k]++;
    }
    CHECK_NEAR(sum / DRAWS, 0, 0.02);
    CHECK_NEAR(squares / DRAWS, 1, 0.03);
    CHECK_NEAR(cubes / DRAWS, 0, 0.08);
    CHECK_NEAR(uniform / DRAWS, 0.5, 0.006);
    for (int k = 0; k < 7; k++)
        CHECK_NEAR(counts[k], DRAWS / 7.0, 400);
    CHECK_INT(pl_rng_below(&rng, 1), 0);
}

static pl_tensor named(const char *name, int64_t rows, int64_t cols, pl_init init, double scale) {
    pl_tensor t = pl_tensor_matrix(0, 1, 2, rows, cols, init, scale);
    pl_tensor_name(&t, "%s", name);
    return t;
}

TEST(layout_places_tensors_apart) {
    pl_memory memory = {0};
    pl_layout layout = pl_layout_make(&memory, NULL);
    pl_tensor a = named("a", 3, 5, PL_INIT_ONE, 0), b = named("b", 16, 1, PL_INIT_ZERO, 0);
    b.transient = true;
    pl_tensor c = pl_tensor_vector(PL_NONE, PL_NONE, 0, 2, PL_INIT_ONE, 0);
    pl_tensor_name(&c, "layer.%d.c", 7);
    pl_layout_add(&layout, &a);
    pl_layout_add(&layout, &b);
    CHECK_INT(pl_layout_add(&layout, &c), PL_OK);
    CHECK_INT(layout.elements, 33);
    CHECK_INT(layout.file_elements, 17);
    CHECK_INT(layout.extent, 48);
    CHECK_INT(layout.tensors[1].offset, 16);
    CHECK_INT(layout.tensors[2].offset, 32);
    CHECK(a.decay && !c.decay && c.dims == 1);
    CHECK_INT(pl_layout_find(&layout, "layer.7.c"), 2);
    CHECK_INT(pl_layout_find(&layout, "d"), PL_NONE);
    pl_layout counting = pl_layout_make(NULL, NULL);
    pl_layout_add(&counting, &a);
    CHECK_INT(counting.elements, 15);
    CHECK(counting.tensors == NULL);
    pl_layout_free(&layout);
    CHECK_INT(memory.bytes, 0);
}

TEST(layout_keeps_its_first_failure) {
    pl_error error = {0};
    pl_layout layout = pl_layout_make(NULL, &error);
    pl_tensor bad = named("bad", 3, 0, PL_INIT_ZERO, 0), good = named("good", 1, 1, PL_INIT_ZERO, 0);
    CHECK_INT(pl_layout_add(&layout, &bad), PL_ERR_RANGE);
    CHECK_INT(pl_layout_add(&layout, &good), PL_ERR_RANGE);
    CHECK_INT(layout.count, 0);
    CHECK(strstr(error.message, "bad") != NULL);
    layout = pl_layout_make(NULL, &error);
    bad = named("bad", INT64_MAX / 2, 3, PL_INIT_ZERO, 0);
    CHECK_INT(pl_layout_add(&layout, &bad), PL_ERR_RANGE);
    for (int64_t fail = 1; fail <= 2; fail++) {
        pl_memory memory = {.fail_at = fail};
        layout = pl_layout_make(&memory, &error);
        for (int i = 0; i < 33; i++)
            pl_layout_add(&layout, &good);
        CHECK_INT(layout.status, PL_ERR_MEMORY);
        pl_layout_free(&layout);
        CHECK_INT(memory.bytes, 0);
    }
}

TEST(layout_fills_by_tensor) {
    pl_memory memory = {0};
    pl_layout layout = pl_layout_make(&memory, NULL), longer = pl_layout_make(&memory, NULL);
    const pl_tensor tensors[] = {
        named("one", 2, 2, PL_INIT_ONE, 0), named("normal", 60, 60, PL_INIT_NORMAL, 0.1),
        named("uniform", 60, 60, PL_INIT_UNIFORM, 2), named("cut", 60, 60, PL_INIT_TRUNCATED_NORMAL, 1),
        named("custom", 4, 4, PL_INIT_CUSTOM, 0)};
    for (int i = 0; i < 5; i++) {
        pl_layout_add(&layout, &tensors[i]);
        pl_layout_add(&longer, &tensors[i]);
    }
    pl_layout_add(&longer, &tensors[1]);
    real *values = pl_memory_alloc(&memory, (size_t)layout.extent, sizeof(real));
    real *more = pl_memory_alloc(&memory, (size_t)longer.extent, sizeof(real));
    values[layout.tensors[4].offset] = 9;
    pl_layout_fill(&layout, 3, values);
    pl_layout_fill(&longer, 3, more);
    more[layout.tensors[4].offset] = 9;
    CHECK(memcmp(values, more, (size_t)layout.extent * sizeof(real)) ==
          0); /* what follows a tensor does not change it */
    CHECK(values[3] == 1);
    CHECK(values[layout.tensors[4].offset] == 9);
    double normal = 0, uniform = 0, cut = 0;
    for (int i = 0; i < 3600; i++) {
        double u = (double)values[layout.tensors[2].offset + i],
               z = (double)values[layout.tensors[3].offset + i];
        normal += pow((double)values[layout.tensors[1].offset + i], 2);
        uniform += u * u;
        cut += z * z;
        CHECK(fabs(u) <= 2 && fabs(z) <= 2);
    }
    CHECK_NEAR(normal / 3600, 0.01, 0.001);
    CHECK_NEAR(uniform / 3600, 4.0 / 3, 0.08);
    CHECK_NEAR(cut / 3600, 0.774, 0.06);
    pl_memory_free_all(&memory);
}
