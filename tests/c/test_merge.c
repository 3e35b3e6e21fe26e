/* Merging: all or nothing, restored bit for bit, and what subtracting leaves behind. build: both */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft_helpers.h"

static const bool is_double = sizeof(real) == sizeof(double);

typedef struct merging {
    rig r;
    real *before; /* base values */
    pl_merged *merged;
    pl_error error;
} merging;

static size_t base_bytes(const merging *m) { return (size_t)m->r.model->layout.extent * sizeof(real); }

static void open_merging(merging *m, pl_config config) {
    memset(m, 0, sizeof *m);
    rig_open(&m->r, config, 21);
    m->before = pl_memory_alloc(&m->r.memory, base_bytes(m), 1);
    memcpy(m->before, m->r.model->values, base_bytes(m));
}

static bool base_is_intact(const merging *m) {
    return memcmp(m->before, m->r.model->values, base_bytes(m)) == 0;
}

static pl_status merge_all(merging *m) {
    return pl_merge(&m->r.memory, m->r.model, m->r.modules, m->r.count, &m->merged, &m->error);
}

/* Logits with no module active. */
static real *bare_logits(merging *m) {
    int32_t count = m->r.count;
    m->r.count = 0;
    rig_ready(&m->r, false);
    real *logits = rig_logits(&m->r);
    m->r.count = count;
    return logits;
}

/* Merged == unmerged; unmerging restores every bit; attached again, the logits are those of before. */
static void check_stack(pl_config config, const char *const (*modules)[2], int32_t count,
                        const real *weights) {
    merging m;
    open_merging(&m, config);
    size_t n = (size_t)m.r.batch.batch.row_count * (size_t)config.vocab_size;
    static const char *const names[] = {"a", "b", "c"};
    for (int32_t i = 0; i < count; i++) {
        pl_module *module = rig_add(&m.r, modules[i][0], names[i], modules[i][1], false);
        REQUIRE(module != NULL);
        module->weight = weights ? weights[i] : 1;
    }
    rig_ready(&m.r, false);
    real *unmerged = rig_logits(&m.r);
    CHECK_MSG(merge_all(&m) == PL_OK, "%s", m.error.message);
    REQUIRE(m.merged != NULL);
    CHECK(!base_is_intact(&m));
    real *merged = bare_logits(&m);
    CHECK_NEAR(rig_difference(unmerged, merged, n), 0, (is_double ? 1e-12 : 1e-4) * rig_largest(unmerged, n));
    pl_unmerge(m.r.model, m.merged);
    CHECK(base_is_intact(&m));
    rig_ready(&m.r, false);
    CHECK(rig_same_bits(unmerged, rig_logits(&m.r), n));
    rig_close(&m.r);
}

#define LORA_ALL "rank=3;alpha=2;target_modules=all-linear"
TEST(one_lora) { check_stack(helper_gqa_odd(), (const char *const[][2]){{"lora", LORA_ALL}}, 1, NULL); }
TEST(one_dora) {
    check_stack(helper_gqa_odd(), (const char *const[][2]){{"lora", LORA_ALL ";use_dora=true"}}, 1, NULL);
}
TEST(one_pissa) {
    check_stack(helper_gqa_odd(), (const char *const[][2]){{"lora", LORA_ALL ";init=pissa"}}, 1, NULL);
}
TEST(one_olora_dora) {
    check_stack(helper_gqa_odd(), (const char *const[][2]){{"lora", LORA_ALL ";init=olora;use_dora=true"}}, 1,
                NULL);
}
TEST(pissa_and_olora_weighted) {
    check_stack(helper_mha_tied(),
                (const char *const[][2]){{"lora", LORA_ALL ";init=pissa"}, {"lora", "rank=2;init=olora"}}, 2,
                (const real[]){(real)0.6, (real)-1.5});
}
TEST(one_ia3) {
    check_stack(helper_wide_heads(), (const char *const[][2]){{"ia3", "target_modules=all-linear"}}, 1, NULL);
}
TEST(norms_alone) { check_stack(helper_mha_tied(), (const char *const[][2]){{"norms", ""}}, 1, NULL); }
TEST(full_tied) { check_stack(helper_mha_tied(), (const char *const[][2]){{"full", ""}}, 1, NULL); }
TEST(full_untied) { check_stack(helper_llama3_rope(), (const char *const[][2]){{"full", ""}}, 1, NULL); }
TEST(two_loras_weighted) {
    check_stack(helper_gqa_odd(), (const char *const[][2]){{"lora", "rank=2"}, {"lora", LORA_ALL}}, 2,
                (const real[]){(real)0.7, (real)-0.4});
}
TEST(lora_and_dora_in_order) {
    check_stack(
        helper_mha_tied(),
        (const char *const[][2]){{"lora", "rank=2"}, {"lora", LORA_ALL ";use_dora=true"}, {"lora", "rank=1"}},
        3, NULL);
}
TEST(two_doras) {
    check_stack(
        helper_mha_tied(),
        (const char *const[][2]){{"lora", "rank=2;use_dora=true"}, {"lora", LORA_ALL ";use_dora=true"}}, 2,
        NULL);
}
TEST(ia3_and_lora_and_norms) {
    check_stack(helper_gqa_odd(), (const char *const[][2]){{"ia3", ""}, {"lora", LORA_ALL}, {"norms", ""}}, 3,
                (const real[]){(real)0.5, 2, 1});
}
TEST(lora_over_full) {
    check_stack(helper_mha_tied(), (const char *const[][2]){{"lora", LORA_ALL}, {"full", ""}}, 2, NULL);
}

/* 10.5: subtracting again is off by at most one unit in the last place of the largest number involved; 100 rounds by at most 100. */
static double unit(double x) {
    int exponent;
    (void)frexp(x, &exponent);
    return ldexp(1, exponent - (is_double ? 53 : 24));
}

TEST(subtracting_is_off_by_rounding) {
    merging m;
    open_merging(&m, helper_gqa_odd());
    pl_module *lora = rig_add(&m.r, "lora", "a", LORA_ALL, false);
    rig_ready(&m.r, false);
    const pl_linear *linear = pl_model_linear(m.r.model, 0, PL_SITE_Q);
    size_t n = (size_t)linear->in * (size_t)linear->out;
    real *delta = pl_memory_alloc(&m.r.memory, n, sizeof(real)),
         *w = pl_memory_alloc(&m.r.memory, n, sizeof(real));
    CHECK(pl_delta(lora, m.r.model, 0, PL_SITE_Q, delta, &m.error) == PL_OK);
    memcpy(w, linear->w, n * sizeof(real));
    for (int round = 1; round <= 100; round++) {
        pl_lora_add_delta(lora, 0, PL_SITE_Q, 1, w);
        pl_lora_add_delta(lora, 0, PL_SITE_Q, -1, w);
        for (size_t i = 0; i < n && (round == 1 || round == 100); i++) {
            double base = (double)linear->w[i], d = (double)delta[i];
            double bound = fmax(unit(base), fmax(unit(base + d), unit(d))) * round;
            CHECK_MSG(fabs((double)w[i] - base) <= bound, "round %d, element %zu: off by %g, bound %g", round,
                      i, (double)w[i] - base, bound);
        }
    }
    CHECK(merge_all(&m) == PL_OK);
    double residual = pl_unmerge_residual(m.r.model, m.merged, m.r.modules, m.r.count, &m.error);
    CHECK(residual > 0 && residual < (is_double ? 1e-14 : 1e-6));
    pl_unmerge(m.r.model, m.merged);
    CHECK(base_is_intact(&m));
    rig_close(&m.r);
}

/* DoRA and (IA)3 divide; (IA)3's 1e-8 makes it visible even in double. */
TEST(dividing_is_worse) {
    merging m;
    open_merging(&m, helper_gqa_odd());
    rig_add(&m.r, "ia3", "i", "", false);
    rig_add(&m.r, "lora", "d", LORA_ALL ";use_dora=true", false);
    rig_ready(&m.r, false);
    CHECK(merge_all(&m) == PL_OK);
    double residual = pl_unmerge_residual(m.r.model, m.merged, m.r.modules, m.r.count, &m.error);
    CHECK_MSG(residual > 0 && residual < (is_double ? 1e-7 : 1e-5), "%g", residual);
    pl_merged_free(m.merged); /* keeping the merge: nothing else is left behind */
    rig_close(&m.r);
}

/* 10.6: merging b on top of a and taking both away in reverse order. */
TEST(last_in_first_out) {
    merging m;
    open_merging(&m, helper_gqa_odd());
    pl_module *a = rig_add(&m.r, "lora", "a", "rank=2", false),
              *b = rig_add(&m.r, "lora", "b", LORA_ALL, false);
    pl_merged *first, *second;
    rig_ready(&m.r, false);
    CHECK(pl_merge(&m.r.memory, m.r.model, &a, 1, &first, &m.error) == PL_OK);
    real *between = pl_memory_alloc(&m.r.memory, base_bytes(&m), 1);
    memcpy(between, m.r.model->values, base_bytes(&m));
    CHECK(pl_merge(&m.r.memory, m.r.model, &b, 1, &second, &m.error) == PL_OK);
    pl_unmerge(m.r.model, second);
    CHECK(memcmp(between, m.r.model->values, base_bytes(&m)) == 0);
    pl_unmerge(m.r.model, first);
    CHECK(base_is_intact(&m));
    rig_close(&m.r);
}

TEST(infinite_weights_leave_the_model_alone) {
    merging m;
    open_merging(&m, helper_mha_tied());
    pl_module *a = rig_add(&m.r, "lora", "a", "rank=2", false);
    rig_ready(&m.r, false);
    pl_module_values(a, 1, PL_SITE_V, PL_LORA_B)[3] = (real)INFINITY;
    size_t bytes = m.r.memory.bytes;
    CHECK_INT(merge_all(&m), PL_ERR_NUMERIC);
    CHECK(strstr(m.error.message, "model.layers.1.self_attn.v_proj.weight") != NULL);
    CHECK(base_is_intact(&m) && m.merged == NULL);
    CHECK_INT(m.r.memory.bytes, bytes);
    rig_close(&m.r);
}

TEST(refused_memory_leaves_the_model_alone) {
    merging m;
    open_merging(&m, helper_mha_tied());
    rig_add(&m.r, "lora", "a", "rank=2", false);
    rig_add(&m.r, "norms", "n", "", false);
    rig_ready(&m.r, false);
    size_t bytes = m.r.memory.bytes, n = (size_t)m.r.batch.batch.row_count * (size_t)m.r.config.vocab_size;
    real *unmerged = rig_logits(&m.r);
    bytes = m.r.memory.bytes;
    for (int64_t k = 1; k < 20 && !m.merged; k++) {
        m.r.memory.fail_at = m.r.memory.allocation_count + k;
        pl_status status = merge_all(&m);
        m.r.memory.fail_at = 0;
        if (status == PL_OK)
            break;
        CHECK_INT(status, PL_ERR_MEMORY);
        CHECK(base_is_intact(&m));
        CHECK_INT(m.r.memory.bytes, bytes);
    }
    REQUIRE(m.merged != NULL);
    pl_unmerge(m.r.model, m.merged);
    rig_ready(&m.r, false);
    CHECK(rig_same_bits(unmerged, rig_logits(&m.r), n));
    rig_close(&m.r);
}

TEST(what_cannot_be_merged_says_why) {
    merging m;
    open_merging(&m, helper_mha_tied());
    rig_add(&m.r, "prompt", "p", "num_virtual_tokens=2", false);
    rig_ready(&m.r, false);
    CHECK_INT(merge_all(&m), PL_ERR_UNSUPPORTED);
    CHECK_MSG(strstr(m.error.message, "cannot be merged") != NULL, "%s", m.error.message);
    CHECK(base_is_intact(&m));
    rig_close(&m.r);
}

/* What the page shows as the change of one map. */
TEST(delta_is_what_merging_adds) {
    static const char *const modules[][2] = {{"lora", LORA_ALL},
                                             {"lora", LORA_ALL ";use_dora=true"},
                                             {"ia3", "target_modules=all-linear"},
                                             {"full", ""}};
    for (int32_t k = 0; k < 4; k++) {
        merging m;
        open_merging(&m, helper_gqa_odd());
        pl_module *module = rig_add(&m.r, modules[k][0], "a", modules[k][1], false);
        rig_ready(&m.r, false);
        const pl_linear *linear = pl_model_linear(m.r.model, 1, PL_SITE_UP);
        size_t n = (size_t)linear->in * (size_t)linear->out;
        real *delta = pl_memory_alloc(&m.r.memory, n, sizeof(real)),
             *base = pl_memory_alloc(&m.r.memory, n, sizeof(real));
        double values[64], squares = 0, sum = 0;
        CHECK_MSG(pl_delta(module, m.r.model, 1, PL_SITE_UP, delta, &m.error) == PL_OK, "%s",
                  m.error.message);
        CHECK(pl_delta_spectrum(module, m.r.model, 1, PL_SITE_UP, values, &m.error) == PL_OK);
        pl_module_detach(m.r.model, module);
        memcpy(base, linear->w, n * sizeof(real));
        CHECK(merge_all(&m) == PL_OK);
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR((double)linear->w[i] - (double)base[i], delta[i], is_double ? 1e-14 : 1e-6);
            squares += (double)delta[i] * (double)delta[i];
        }
        for (int32_t i = 0; i < 40; i++)
            sum += values[i] * values[i];
        CHECK_NEAR(sum, squares, 1e-6 * squares);
        if (k == 0)
            CHECK(values[2] > 1e-3 && values[3] < 1e-9); /* rank 3 */
        pl_unmerge(m.r.model, m.merged);
        rig_close(&m.r);
    }
}
