/* Combining LoRAs against the tensors of peft's add_weighted_adapter. build: both */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden_adapter.h"
#include "harness.h"
#include "model_golden.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft_helpers.h"

typedef struct fixture {
    pl_memory memory;
    golden g;
    pl_json *expected;
    pl_safetensors values;
    pl_module *modules[4];
    const char *names[4];
    int32_t count;
} fixture;

static void open_fixture(fixture *f, const char *name) {
    char path[200];
    memset(f, 0, sizeof *f);
    golden_open(&f->g, &f->memory, "lora-qv-mha-tied"); /* for its model */
    (void)snprintf(path, sizeof path, "%s/expected.json", name);
    f->expected = golden_json(&f->memory, path);
    (void)snprintf(path, sizeof path, "%s/expected.safetensors", name);
    f->values = golden_tensors(&f->memory, path);
    for (const pl_json *a = pl_json_first(pl_json_get(f->expected, "adapters")); a; a = pl_json_next(a)) {
        f->names[f->count] = pl_json_string(pl_json_get(a, "name"));
        (void)snprintf(path, sizeof path, "%s/%s", name, pl_json_string(pl_json_get(a, "dir")));
        f->modules[f->count] = golden_module(&f->memory, f->g.model, path, f->names[f->count]);
        f->count++;
    }
}

static void close_fixture(fixture *f) {
    pl_json_free(f->expected);
    golden_close(&f->g);
    pl_memory_free_all(&f->memory);
}

static real *stored(fixture *f, const char *key, int64_t elements) {
    pl_error error = {0};
    const pl_file_tensor *t = pl_safetensors_find(&f->values, key);
    if (!CHECK_MSG(t && t->elements == elements, "no %s of the right size", key))
        return NULL;
    real *values = pl_memory_alloc(&f->memory, (size_t)elements, sizeof(real));
    CHECK(pl_safetensors_read(t, key, values, &error) == PL_OK);
    return values;
}

/* d[out, in] = scale b a */
static void product(const real *b, const real *a, int32_t out, int32_t rank, int32_t in, double scale,
                    real *d) {
    for (int32_t o = 0; o < out; o++)
        for (int32_t i = 0; i < in; i++) {
            double sum = 0;
            for (int32_t r = 0; r < rank; r++)
                sum += (double)b[o * rank + r] * (double)a[r * in + i];
            d[o * in + i] = (real)(scale * sum);
        }
}

/* The factors themselves, or, where singular vectors are free in sign, scale B A. */
static void compare_map(fixture *f, int32_t id, const pl_module *made, int32_t layer, int32_t site,
                        bool factors) {
    const pl_tensor *ta = pl_module_shape(made, layer, site, PL_LORA_A),
                    *tb = pl_module_shape(made, layer, site, PL_LORA_B);
    const real *a = made->values + ta->offset, *b = made->values + tb->offset;
    char key[2 * PL_NAME_SIZE], path[PL_NAME_SIZE];
    if (factors) {
        (void)snprintf(key, sizeof key, "%d/base_model.model.%s", (int)id, ta->name);
        const real *want = stored(f, key, ta->rows * ta->cols);
        CHECK_NEAR(want ? rig_difference(a, want, (size_t)(ta->rows * ta->cols)) : 1, 0, 1e-6);
        (void)snprintf(key, sizeof key, "%d/base_model.model.%s", (int)id, tb->name);
        want = stored(f, key, tb->rows * tb->cols);
        CHECK_NEAR(want ? rig_difference(b, want, (size_t)(tb->rows * tb->cols)) : 1, 0, 1e-6);
        return;
    }
    pl_site_path(layer, (pl_site)site, path);
    (void)snprintf(key, sizeof key, "%d/delta/%.100s", (int)id, path);
    const real *want = stored(f, key, tb->rows * ta->cols);
    size_t size = (size_t)(tb->rows * ta->cols);
    REQUIRE(want != NULL);
    real *got = pl_memory_alloc(&f->memory, size, sizeof(real));
    product(b, a, (int32_t)tb->rows, (int32_t)ta->rows, (int32_t)ta->cols,
            pl_lora_scale(&made->options, layer, (pl_site)site), got);
    CHECK_NEAR(rig_difference(got, want, size), 0, 1e-4 * rig_largest(want, size));
}

static void check_result(fixture *f, const pl_json *result) {
    pl_mix_type type;
    pl_error error = {0};
    const char *name = pl_json_string(pl_json_get(result, "type"));
    CHECK(pl_mix_find(name, &type, &error) == PL_OK);
    pl_mix_options options = pl_mix_options_default(type);
    options.compat = true;
    options.svd_rank = (int32_t)pl_json_number(pl_json_get(result, "svd_rank"));
    if (pl_json_get(result, "density"))
        options.density = pl_json_number(pl_json_get(result, "density"));
    const char *sign = pl_json_string(pl_json_get(result, "majority_sign_method"));
    options.frequency = sign && strcmp(sign, "frequency") == 0;
    pl_module *modules[4], *made = NULL;
    double weights[4];
    int32_t count = 0;
    const pl_json *w = pl_json_first(pl_json_get(result, "weights"));
    for (const pl_json *a = pl_json_first(pl_json_get(result, "adapters")); a;
         a = pl_json_next(a), w = pl_json_next(w)) {
        for (int32_t i = 0; i < f->count; i++)
            if (strcmp(f->names[i], pl_json_string(a)) == 0)
                modules[count] = f->modules[i];
        weights[count++] = pl_json_number(w);
    }
    pl_mix_report report;
    pl_status status =
        pl_mix(&f->memory, f->g.model, modules, weights, count, &options, "made", &made, &report, &error);
    if (!CHECK_MSG(status == PL_OK, "%s: %s", name, error.message))
        return;
    CHECK_INT(report.rank, pl_json_number(pl_json_get(result, "r")));
    double want = pl_json_number(pl_json_get(result, "relative_error"));
    CHECK_MSG(fabs(report.relative_error - want) <= 1e-5 + 1e-4 * want, "%s: relative error %g, peft %g",
              name, report.relative_error, want);
    bool svd = strstr(name, "svd") != NULL;
    for (int32_t i = 0; i < f->g.model->config.num_hidden_layers * PL_SITE_COUNT; i++) {
        if (!pl_module_shape(made, i / PL_SITE_COUNT, i % PL_SITE_COUNT, PL_LORA_A))
            continue;
        compare_map(f, (int32_t)pl_json_number(pl_json_get(result, "id")), made, i / PL_SITE_COUNT,
                    i % PL_SITE_COUNT, !svd);
        CHECK_NEAR(pl_lora_scale(&made->options, i / PL_SITE_COUNT, (pl_site)(i % PL_SITE_COUNT)),
                   pl_json_number(pl_json_get(result, "scale")), 1e-6);
    }
    pl_module_free(made);
}

static void check_case(const char *name) {
    fixture f;
    open_fixture(&f, name);
    int32_t results = 0;
    for (const pl_json *r = pl_json_first(pl_json_get(f.expected, "results")); r;
         r = pl_json_next(r), results++)
        check_result(&f, r);
    CHECK(results > 0);
    close_fixture(&f);
}

TEST(as_peft_equal_rank) { check_case("combine-equal-rank"); }
TEST(as_peft_mixed_rank) { check_case("combine-mixed-rank"); }
TEST(as_peft_rslora) { check_case("combine-rslora"); }
TEST(as_peft_three) { check_case("combine-three"); }
