/* Combining LoRAs: the properties each rule must have. build: both */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft_helpers.h"

static const bool is_double = sizeof(real) == sizeof(double);

typedef struct pair {
    rig r;
    pl_module *a, *b, *made;
    pl_mix_report report;
} pair;

static void open_pair(pair *p, const char *first, const char *second) {
    memset(p, 0, sizeof *p);
    rig_open(&p->r, helper_gqa_odd(), 8);
    p->a = rig_add(&p->r, "lora", "a", first, false);
    p->b = rig_add(&p->r, "lora", "b", second, false);
}

static pl_status combine(pair *p, pl_mix_options options, double wa, double wb) {
    pl_error error = {0};
    pl_module *modules[] = {p->a, p->b};
    double weights[] = {wa, wb};
    pl_module_free(p->made);
    p->made = NULL;
    return pl_mix(&p->r.memory, p->r.model, modules, weights, 2, &options, "made", &p->made, &p->report,
                  &error);
}

static void close_pair(pair *p) {
    pl_module_free(p->made);
    rig_close(&p->r);
}

static const double exact = 2e-7; /* the result is stored in reals */

/* Logits of a stack of these modules alone. */
static real *logits_with(rig *r, pl_module *a, pl_module *b) {
    pl_module *kept[8];
    int32_t count = r->count;
    memcpy(kept, r->modules, sizeof kept);
    r->count = 0;
    r->modules[r->count++] = a;
    if (b)
        r->modules[r->count++] = b;
    rig_ready(r, false);
    real *logits = rig_logits(r);
    memcpy(r->modules, kept, sizeof kept);
    r->count = count;
    return logits;
}

/* peft counts the ranks that configurations name, also where no adapted map has them; by themselves the maps count. */
TEST(ranks_by_name_and_by_map) {
    pair p;
    open_pair(&p, "rank=2;target_modules=q_proj;rank_pattern.up_proj=5",
              "rank=4;target_modules=q_proj,v_proj;rank_pattern.q_proj=1;rank_pattern.v_proj=2");
    for (int compat = 0; compat < 2; compat++) {
        static const int32_t svd[] = {2, 5}, cat[] = {4, 9};
        pl_mix_options options = pl_mix_options_default(PL_MIX_SVD);
        options.compat = compat;
        CHECK_INT(combine(&p, options, 1, 1), PL_OK);
        CHECK_INT(p.report.rank, svd[compat]);
        options.type = PL_MIX_CAT;
        CHECK_INT(combine(&p, options, 1, 1), PL_OK);
        CHECK_INT(p.report.rank, cat[compat]);
        CHECK_NEAR(p.report.relative_error, 0, exact);
    }
    close_pair(&p);
}

/* Nothing is left of untrained PiSSA and OLoRA but rounding, against which no error is measured. */
TEST(sources_that_cancel_are_exact) {
    pair p;
    memset(&p, 0, sizeof p);
    rig_open(&p.r, helper_gqa_odd(), 8);
    p.a = rig_add(&p.r, "lora", "a", "rank=3;init=pissa;target_modules=all-linear", true);
    p.b = rig_add(&p.r, "lora", "b", "rank=2;init=olora;target_modules=all-linear", true);
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_CAT), 0.3, 0.7) == PL_OK);
    CHECK_MSG(p.report.exact && p.report.relative_error <= exact, "%g", p.report.relative_error);
    CHECK(p.report.norm == 0);
    close_pair(&p);
}

/* cat == several active adapters with weights. */
TEST(cat_is_the_stack) {
    pair p;
    open_pair(&p, "rank=2;alpha=3", "rank=3;target_modules=all-linear;rank_pattern.v_proj=5");
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_CAT), 0.7, -0.4) == PL_OK);
    CHECK(p.report.exact && p.report.relative_error <= exact);
    CHECK_INT(p.report.rank, 7);
    p.a->weight = (real)0.7;
    p.b->weight = (real)-0.4;
    real *stack = logits_with(&p.r, p.a, p.b), *cat = logits_with(&p.r, p.made, NULL);
    size_t n = (size_t)p.r.batch.batch.row_count * (size_t)p.r.config.vocab_size;
    CHECK_NEAR(rig_difference(stack, cat, n), 0, (is_double ? 1e-12 : 1e-4) * rig_largest(stack, n));
    close_pair(&p);
}

/* 10.8: two identical LoRAs at 0.5 and 0.5 come out twice too strong; one LoRA alone is exact with any sign. */
TEST(linear_doubles_identical_twins) {
    pair p;
    open_pair(&p, "rank=4", "rank=4");
    memcpy(p.b->values, p.a->values, (size_t)p.a->layout.extent * sizeof(real));
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_LINEAR), 0.5, 0.5) == PL_OK);
    CHECK_NEAR(p.report.relative_error, 1, 1e-6);
    CHECK(!p.report.exact);
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_LINEAR), -1.5, 0) == PL_OK);
    CHECK(p.report.relative_error <= exact);
    close_pair(&p);
}

/* 10.8: exact where B_j A_i = 0, here because the two use different inner dimensions. */
TEST(linear_is_exact_on_orthogonal_supports) {
    pair p;
    open_pair(&p, "rank=4", "rank=4");
    for (int32_t i = 0; i < p.a->layout.count; i++) {
        const pl_tensor *t = &p.a->layout.tensors[i];
        for (int64_t row = 0; row < t->rows; row++)
            for (int64_t col = 0; col < t->cols; col++) {
                int64_t inner = t->slot == PL_LORA_A ? row : col;
                (inner < 2 ? p.b : p.a)->values[t->offset + row * t->cols + col] = 0;
            }
    }
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_LINEAR), 0.8, -0.3) == PL_OK);
    CHECK_MSG(p.report.relative_error <= exact, "%g", p.report.relative_error);
    close_pair(&p);
}

/* 10.28: disjoint modules: linear == cat == sum. */
TEST(disjoint_modules_add_up) {
    pair p;
    open_pair(&p, "rank=3;target_modules=q_proj", "rank=3;target_modules=up_proj");
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_LINEAR), 0.8, 0.3) == PL_OK);
    CHECK(p.report.exact);
    REQUIRE(combine(&p, pl_mix_options_default(PL_MIX_CAT), 0.8, 0.3) == PL_OK);
    CHECK(p.report.exact);
    close_pair(&p);
}

/* 10.10: enough rank gives the sum back; less gives exactly the Eckart-Young error; the old double scaling is s times as strong. */
TEST(svd_is_the_best_approximation) {
    pair p;
    open_pair(&p, "rank=3;alpha=6;target_modules=v_proj", "rank=2;alpha=4;target_modules=v_proj");
    pl_mix_options options = pl_mix_options_default(PL_MIX_SVD);
    options.svd_rank = 5;
    REQUIRE(combine(&p, options, 0.6, 0.9) == PL_OK);
    CHECK(p.report.relative_error <= exact);
    double norm = p.report.norm, values[64], rest = 0;
    pl_error error = {0};
    pl_stack_prepare(&p.made, 1, p.r.model);
    for (int32_t layer = 0; layer < p.r.config.num_hidden_layers; layer++) {
        CHECK(pl_delta_spectrum(p.made, p.r.model, layer, PL_SITE_V, values, &error) == PL_OK);
        rest += values[2] * values[2] + values[3] * values[3] + values[4] * values[4];
        CHECK_NEAR(values[5], 0, 1e-6);
    }
    options.svd_rank = 2;
    REQUIRE(combine(&p, options, 0.6, 0.9) == PL_OK);
    CHECK_NEAR(p.report.relative_error, sqrt(rest) / norm, 1e-6);
    options.svd_rank = 5;
    options.compat_double = true;
    REQUIRE(combine(&p, options, 0.6, 0.9) == PL_OK);
    CHECK_NEAR(p.report.relative_error, 1, 1e-6); /* s = 2 for both: twice too strong */
    close_pair(&p);
}

/* (A, B) -> (M A, B M^-1), M = [[2, 1], [1, 1]]: another description of the same change. */
static void change_gauge(pl_module *module) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *t = &module->layout.tensors[i];
        real *x = module->values + t->offset;
        bool a = t->slot == PL_LORA_A;
        for (int64_t j = 0; j < (a ? t->cols : t->rows); j++) {
            real *first = a ? &x[j] : &x[2 * j], *second = a ? &x[t->cols + j] : &x[2 * j + 1], f = *first,
                 s = *second;
            *first = a ? 2 * f + s : f - s;
            *second = a ? f + s : 2 * s - f;
        }
    }
}

/* 10.9 */
TEST(gauge_changes_only_linear) {
    static const pl_mix_type types[] = {PL_MIX_CAT, PL_MIX_SVD, PL_MIX_LINEAR};
    pair p;
    open_pair(&p, "rank=2;target_modules=v_proj", "rank=2;target_modules=v_proj");
    size_t n = (size_t)p.r.batch.batch.row_count * (size_t)p.r.config.vocab_size;
    real *before[3], *alone = logits_with(&p.r, p.a, NULL);
    for (int32_t t = 0; t < 3; t++) {
        REQUIRE(combine(&p, pl_mix_options_default(types[t]), 0.6, 0.9) == PL_OK);
        before[t] = logits_with(&p.r, p.made, NULL);
    }
    change_gauge(p.a);
    double tolerance = (is_double ? 1e-11 : 2e-4) * rig_largest(alone, n);
    CHECK_NEAR(rig_difference(alone, logits_with(&p.r, p.a, NULL), n), 0, tolerance);
    for (int32_t t = 0; t < 3; t++) {
        REQUIRE(combine(&p, pl_mix_options_default(types[t]), 0.6, 0.9) == PL_OK);
        double moved = rig_difference(before[t], logits_with(&p.r, p.made, NULL), n);
        CHECK_MSG(t < 2 ? moved <= tolerance : moved > 1e-2, "%s moved by %g", pl_mix_name(types[t]), moved);
    }
    close_pair(&p);
}

/* Pruning nothing: the pruned rules become their plain forms. 10.11 */
TEST(density_one_prunes_nothing) {
    pair p;
    open_pair(&p, "rank=3", "rank=3");
    static const pl_mix_type plain[] = {PL_MIX_LINEAR, PL_MIX_LINEAR, PL_MIX_SVD, PL_MIX_SVD};
    static const pl_mix_type pruned[] = {PL_MIX_DARE_LINEAR, PL_MIX_MAGNITUDE_PRUNE, PL_MIX_DARE_LINEAR_SVD,
                                         PL_MIX_MAGNITUDE_PRUNE_SVD};
    for (int32_t t = 0; t < 4; t++) {
        pl_mix_options options = pl_mix_options_default(pruned[t]);
        options.density = 1;
        REQUIRE(combine(&p, pl_mix_options_default(plain[t]), 0.4, 0.7) == PL_OK);
        double want = p.report.relative_error;
        real *values = pl_memory_alloc(&p.r.memory, (size_t)p.made->layout.extent, sizeof(real));
        memcpy(values, p.made->values, (size_t)p.made->layout.extent * sizeof(real));
        REQUIRE(combine(&p, options, 0.4, 0.7) == PL_OK);
        CHECK_NEAR(p.report.relative_error, want, 1e-6);
        if (t < 2)
            CHECK(rig_same_bits(values, p.made->values, (size_t)p.made->layout.extent));
    }
    close_pair(&p);
}

TEST(dare_repeats_with_its_seed) {
    pair p;
    open_pair(&p, "rank=3", "rank=3");
    pl_mix_options options = pl_mix_options_default(PL_MIX_DARE_TIES_SVD);
    double first[2];
    for (int32_t i = 0; i < 4; i++) {
        options.seed = (uint64_t)(i / 2);
        REQUIRE(combine(&p, options, 0.4, 0.7) == PL_OK);
        if (i % 2 == 0)
            first[i / 2] = p.report.relative_error;
        else
            CHECK(first[i / 2] == p.report.relative_error);
    }
    CHECK(first[0] != first[1]);
    close_pair(&p);
}

TEST(refusals_say_why) {
    pair p;
    pl_error error = {0};
    open_pair(&p, "rank=3", "rank=4");
    pl_mix_options options = pl_mix_options_default(PL_MIX_LINEAR);
    CHECK_INT(combine(&p, options, 1, 1), PL_ERR_MISMATCH);
    options = pl_mix_options_default(PL_MIX_TIES_SVD);
    options.density = 0;
    CHECK_INT(combine(&p, options, 1, 1), PL_ERR_RANGE);
    CHECK_INT(combine(&p, pl_mix_options_default(PL_MIX_CAT), 1, (double)NAN), PL_ERR_RANGE);
    pl_module *dora = rig_add(&p.r, "lora", "d", "use_dora=true", false),
              *ia3 = rig_add(&p.r, "ia3", "i", "", false), *made = NULL;
    double weight = 1;
    options = pl_mix_options_default(PL_MIX_CAT);
    CHECK_INT(pl_mix(&p.r.memory, p.r.model, &dora, &weight, 1, &options, "x", &made, &p.report, &error),
              PL_ERR_UNSUPPORTED);
    CHECK(strstr(error.message, "DoRA") != NULL);
    CHECK_INT(pl_mix(&p.r.memory, p.r.model, &ia3, &weight, 1, &options, "x", &made, &p.report, &error),
              PL_ERR_UNSUPPORTED);
    pl_mix_type type;
    CHECK_INT(pl_mix_find("average", &type, &error), PL_ERR_ARGUMENT);
    CHECK(made == NULL);
    close_pair(&p);
}

/* Every allocation of a combination refused in turn: an error, nothing left behind. */
TEST(refused_memory_leaves_nothing) {
    pair p;
    open_pair(&p, "rank=2;target_modules=layers.0.self_attn.q_proj",
              "rank=2;target_modules=layers.0.self_attn.q_proj");
    static const pl_mix_type types[] = {PL_MIX_CAT, PL_MIX_SVD, PL_MIX_TIES, PL_MIX_TIES_SVD};
    for (int32_t t = 0; t < 4; t++) {
        size_t before = p.r.memory.bytes;
        for (int64_t n = 1; n < 100; n++) {
            p.r.memory.fail_at = p.r.memory.allocation_count + n;
            pl_status status = combine(&p, pl_mix_options_default(types[t]), 0.5, 0.5);
            p.r.memory.fail_at = 0;
            if (status == PL_OK)
                break;
            CHECK_INT(status, PL_ERR_MEMORY);
            CHECK_INT(p.r.memory.bytes, before);
        }
        REQUIRE(p.made != NULL);
        pl_module_free(p.made);
        p.made = NULL;
    }
    close_pair(&p);
}
