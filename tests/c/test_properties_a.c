/* Properties of LoRA, DoRA, LoRA+, (IA)3, norms and full fine-tuning that follow from their definitions. build: both */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft_helpers.h"

static const bool is_double = sizeof(real) == sizeof(double);

static size_t logit_count(const rig *r) {
    return (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size;
}

/* A module at its start values changes no bit of the logits, in evaluation and (through the loss) in training. */
static void check_noop(const char *method, const char *options) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 2);
    rig_ready(&r, true);
    real *base = rig_logits(&r);
    double loss = rig_loss(&r);
    rig_add(&r, method, "a", options, true);
    rig_ready(&r, true);
    CHECK_MSG(rig_same_bits(base, rig_logits(&r), logit_count(&r)), "%s %s changes the logits", method,
              options);
    CHECK_MSG(rig_loss(&r) == loss, "%s %s changes the loss", method, options);
    rig_close(&r);
}

TEST(lora_starts_at_the_base) { check_noop("lora", "target_modules=all-linear"); }
TEST(lora_gaussian_starts_at_the_base) { check_noop("lora", "init=gaussian;use_rslora=true"); }
TEST(lora_with_dropout_starts_at_the_base) { check_noop("lora", "target_modules=all-linear;dropout=0.5"); }
TEST(pissa_starts_at_the_base) { check_noop("lora", "init=pissa;target_modules=all-linear"); }
TEST(olora_starts_at_the_base) {
    check_noop("lora", "init=olora;rank=5;alpha=7;use_rslora=true;target_modules=all-linear");
}
TEST(pissa_dora_starts_at_the_base) {
    check_noop("lora", "init=pissa;use_dora=true;target_modules=all-linear");
}
TEST(dora_starts_at_the_base) { check_noop("lora", "target_modules=all-linear;use_dora=true"); }
TEST(ia3_starts_at_the_base) {
    check_noop("ia3", "target_modules=all-linear;feedforward_modules=o_proj,down_proj");
}
TEST(norms_start_at_the_base) { check_noop("norms", ""); }
TEST(full_starts_at_the_base) { check_noop("full", ""); }

TEST(lora_init_false_is_no_noop) {
    rig r;
    rig_open(&r, helper_mha_tied(), 2);
    rig_ready(&r, false);
    real *base = rig_logits(&r);
    pl_module *m = rig_add(&r, "lora", "a", "init=false;rank=4", true);
    rig_ready(&r, false);
    CHECK(rig_difference(base, rig_logits(&r), logit_count(&r)) > 1e-3);
    double bound_a = 1 / sqrt(32.0), bound_b = 1 / sqrt(4.0);
    CHECK(rig_largest(pl_module_values(m, 0, PL_SITE_Q, PL_LORA_A), 4 * 32) <= bound_a);
    CHECK(rig_largest(pl_module_values(m, 0, PL_SITE_Q, PL_LORA_A), 4 * 32) > 0.9 * bound_a);
    CHECK(rig_largest(pl_module_values(m, 0, PL_SITE_Q, PL_LORA_B), 4 * 32) > 0.9 * bound_b);
    rig_close(&r);
}

/* A module of weight 0 is switched off. */
TEST(weight_zero_is_off) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 2);
    rig_ready(&r, false);
    real *base = rig_logits(&r);
    rig_add(&r, "lora", "a", "target_modules=all-linear", false)->weight = 0;
    rig_add(&r, "ia3", "b", "", false)->weight = 0;
    rig_ready(&r, false);
    CHECK(rig_same_bits(base, rig_logits(&r), logit_count(&r)));
    rig_close(&r);
}

static real *lora_logits(const char *options) {
    static real kept[32 * 128];
    rig r;
    rig_open(&r, helper_gqa_odd(), 6);
    rig_add(&r, "lora", "a", options, false);
    rig_ready(&r, false);
    CHECK(logit_count(&r) <= sizeof kept / sizeof *kept);
    memcpy(kept, rig_logits(&r), logit_count(&r) * sizeof(real));
    rig_close(&r);
    return kept;
}

/* rsLoRA with alpha is LoRA with alpha sqrt(r); with r = 4 and powers of two even bit for bit. */
TEST(rslora_is_lora_with_more_alpha) {
    static real rs[32 * 128];
    memcpy(rs, lora_logits("rank=4;alpha=8;use_rslora=true"), sizeof rs);
    CHECK(memcmp(rs, lora_logits("rank=4;alpha=16"), sizeof rs) == 0);
    CHECK(memcmp(rs, lora_logits("rank=4;alpha=8"), sizeof rs) != 0);
}

/* While B is zero, A has no gradient at all: B moves first. */
TEST(a_waits_for_b) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *m = rig_add(&r, "lora", "a", "target_modules=all-linear", true);
    rig_ready(&r, true);
    (void)rig_loss(&r);
    rig_backward(&r);
    for (int32_t i = 0; i < m->layout.count; i++) {
        const pl_tensor *t = &m->layout.tensors[i];
        double largest = rig_largest(m->gradients + t->offset, (size_t)(t->rows * t->cols));
        CHECK_MSG(t->slot == PL_LORA_A ? largest == 0 : largest > 0, "%s: %g", t->name, largest);
    }
    rig_close(&r);
}

/* The norm of DoRA is a constant in backward: differentiating it as well gives another gradient. */
TEST(dora_detaches_the_norm) {
    rig r;
    rig_open(&r, helper_mha_tied(), 3);
    pl_module *m = rig_add(&r, "lora", "a", "rank=2;use_dora=true;target_modules=v_proj", false);
    rig_ready(&r, true);
    (void)rig_loss(&r);
    rig_backward(&r);
    real *b = pl_module_values(m, 0, PL_SITE_V, PL_LORA_B), start = b[0];
    double gradient = (double)pl_module_gradients(m, 0, PL_SITE_V, PL_LORA_B)[0], h = is_double ? 1e-5 : 1e-2,
           loss[2];
    for (int i = 0; i < 2; i++) {
        b[0] = (real)((double)start + (i ? h : -h));
        rig_prepare(&r); /* a new norm */
        loss[i] = rig_loss(&r);
    }
    double full = (loss[1] - loss[0]) / (2 * h);
    CHECK_MSG(fabs(full - gradient) > 1e-2 * fabs(gradient), "gradient %g, with the norm's own derivative %g",
              gradient, full);
    rig_close(&r);
}

/* Frozen modules get no gradient memory, and their presence changes nothing for the one that trains. */
TEST(frozen_modules_have_no_gradients) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *frozen = rig_add(&r, "lora", "a", "target_modules=all-linear;use_dora=true", false);
    pl_module *ia3 = rig_add(&r, "ia3", "i", "", false), *trained = rig_add(&r, "lora", "b", "rank=2", false);
    rig_ready(&r, true);
    (void)rig_loss(&r);
    rig_backward(&r);
    size_t n = (size_t)trained->layout.extent;
    real *together = pl_memory_alloc(&r.memory, n, sizeof(real));
    memcpy(together, trained->gradients, n * sizeof(real));
    CHECK(pl_module_trainable(frozen, false, &error) == PL_OK &&
          pl_module_trainable(ia3, false, &error) == PL_OK);
    CHECK(frozen->gradients == NULL && ia3->gradients == NULL);
    rig_ready(&r, true);
    CHECK(!r.stack.hooks[0].trains && r.stack.hooks[2].trains);
    (void)rig_loss(&r);
    rig_backward(&r);
    CHECK(rig_same_bits(together, trained->gradients, n));
    rig_close(&r);
}

/* Nothing is allocated inside a step. */
TEST(steps_allocate_nothing) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "full", "f", "", true);
    rig_add(&r, "lora", "a", "target_modules=all-linear;use_dora=true;dropout=0.2", false);
    rig_add(&r, "ia3", "i", "target_modules=all-linear", false);
    rig_ready(&r, true);
    int64_t before = r.memory.allocation_count;
    for (int step = 0; step < 3; step++) {
        rig_prepare(&r);
        CHECK(isfinite(rig_loss(&r)));
        rig_backward(&r);
    }
    CHECK_INT(r.memory.allocation_count, before);
    rig_close(&r);
}

/* Dropout: p = 0 and evaluation are untouched; a seed repeats; another does not; the mean over seeds is the map without dropout. */
TEST(dropout_is_off_in_evaluation) {
    static real plain[32 * 128];
    memcpy(plain, lora_logits("rank=4;dropout=0"), sizeof plain);
    CHECK(memcmp(plain, lora_logits("rank=4;dropout=0.5"), sizeof plain) == 0);
}

TEST(dropout_repeats_with_its_key) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "lora", "a", "target_modules=all-linear;dropout=0.5", false);
    rig_ready(&r, true);
    double first = rig_loss(&r), again = rig_loss(&r);
    r.dropout_key = 7;
    double other = rig_loss(&r);
    CHECK(first == again && first != other);
    rig_close(&r);
}

/* The mask of a sequence does not depend on the others in its batch: its gradient alone equals its share. */
TEST(dropout_does_not_depend_on_the_batch) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "lora", "a", "target_modules=all-linear;dropout=0.5", false);
    rig_ready(&r, true);
    static const uint64_t streams[] = {11, 12, 13, 14};
    pl_batch whole = r.batch.batch;
    whole.streams = streams;
    pl_loss together, sum = {0};
    pl_error error = {0};
    CHECK(pl_forward_loss(r.model, &r.stack, r.workspace, &whole, true, 5, 1, &together, &error) == PL_OK);
    for (int32_t s = 0; s < whole.seq_count; s++) {
        int32_t start[] = {0, whole.seq_start[s + 1] - whole.seq_start[s]};
        pl_batch one = {.seq_count = 1,
                        .row_count = start[1],
                        .seq_start = start,
                        .tokens = whole.tokens + whole.seq_start[s],
                        .targets = whole.targets + whole.seq_start[s],
                        .streams = streams + s};
        pl_loss loss;
        CHECK(pl_forward_loss(r.model, &r.stack, r.workspace, &one, true, 5, 1, &loss, &error) == PL_OK);
        sum.sum += loss.sum;
        sum.labels += loss.labels;
    }
    CHECK_INT(sum.labels, together.labels);
    CHECK_NEAR(sum.sum, together.sum, 1e-12 * together.sum);
    rig_close(&r);
}

TEST(dropout_keeps_the_expectation) {
    enum { ROWS = 4, WIDTH = 16, DRAWS = 4000 };
    const int32_t starts[] = {0, ROWS};
    const uint64_t stream = 3;
    real x[ROWS * WIDTH], y[ROWS * WIDTH];
    double mean[ROWS * WIDTH] = {0};
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = (real)(i - 20);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        pl_pass pass = {.rows = ROWS,
                        .seq_count = 1,
                        .row_start = starts,
                        .streams = &stream,
                        .training = true,
                        .dropout_key = draw};
        pl_pass_dropout(&pass, 9, (real)0.25, x, WIDTH, y);
        for (int i = 0; i < ROWS * WIDTH; i++)
            mean[i] += (double)y[i] / DRAWS;
    }
    for (int i = 0; i < ROWS * WIDTH; i++)
        CHECK_NEAR(mean[i], x[i], 0.04 * fabs((double)x[i]) + 1e-9);
}

/* Optimiser groups: every trained number is in exactly one, together they are the counter, and LoRA+ puts B (and the 1-D magnitude, which
   peft then decays too) into the faster one. */
TEST(lora_plus_groups) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *plain = rig_add(&r, "lora", "a", "rank=4;use_dora=true", true);
    pl_module *plus = rig_add(&r, "lora", "b", "rank=4;use_dora=true;loraplus_lr_ratio=16", true);
    int64_t slow = 0, fast = 0, sum = 0;
    for (int32_t i = 0; i < plus->layout.count; i++) {
        const pl_tensor *t = &plus->layout.tensors[i], *p = &plain->layout.tensors[i];
        int64_t size = t->rows * t->cols;
        CHECK(p->lr_scale == 1.0F && p->decay == (p->dims == 2));
        CHECK(t->lr_scale == (t->slot == PL_LORA_A ? 1.0F : 16.0F) && t->decay);
        sum += size;
        *(t->lr_scale == 1.0F ? &slow : &fast) += size;
    }
    CHECK_INT(sum, plus->layout.elements);
    CHECK_INT(slow + fast, plus->layout.elements);
    CHECK_INT(slow, 3 * (4 * 40 + 4 * 40));
    CHECK_INT(fast, 3 * (40 * 4 + 8 * 4 + 40 + 8));
    rig_close(&r);
}

/* (IA)3 merging is one exact multiplication per weight, and two modules multiply, in either order, merged or not. */
TEST(ia3_merges_by_multiplying) {
    rig r;
    pl_error error = {0};
    pl_merged *merged;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *a = rig_add(&r, "ia3", "a", "", false);
    rig_ready(&r, false);
    const pl_linear *v = pl_model_linear(r.model, 1, PL_SITE_V),
                    *down = pl_model_linear(r.model, 1, PL_SITE_DOWN);
    const real *lv = pl_module_values(a, 1, PL_SITE_V, 0), *ld = pl_module_values(a, 1, PL_SITE_DOWN, 0);
    real *old_v = pl_memory_alloc(&r.memory, (size_t)(v->in * v->out), sizeof(real));
    real *old_down = pl_memory_alloc(&r.memory, (size_t)(down->in * down->out), sizeof(real));
    memcpy(old_v, v->w, (size_t)(v->in * v->out) * sizeof(real));
    memcpy(old_down, down->w, (size_t)(down->in * down->out) * sizeof(real));
    CHECK(pl_merge(&r.memory, r.model, &a, 1, &merged, &error) == PL_OK);
    for (int32_t i = 0; i < v->in * v->out; i++)
        CHECK(v->w[i] == lv[i / v->in] * old_v[i]);
    for (int32_t i = 0; i < down->in * down->out; i++)
        CHECK(down->w[i] == ld[i % down->in] * old_down[i]);
    pl_unmerge(r.model, merged);
    rig_close(&r);
}

TEST(two_ia3_multiply) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *a = rig_add(&r, "ia3", "a", "", false), *b = rig_add(&r, "ia3", "b", "", false);
    rig_ready(&r, false);
    real *both = rig_logits(&r);
    for (int64_t i = 0; i < a->layout.extent; i++) {
        a->values[i] *= b->values[i];
        b->values[i] = 1;
    }
    rig_prepare(&r);
    CHECK_NEAR(rig_difference(both, rig_logits(&r), logit_count(&r)), 0,
               (is_double ? 1e-12 : 1e-4) * rig_largest(both, logit_count(&r)));
    rig_close(&r);
}

/* A LoRA on every map of full rank can be what full fine-tuning finds: one step of gradient descent on W equals the same move by B A with
   A = identity on the inputs it needs. Here the simplest instance: B A = D for a given D of rank 1. */
TEST(lora_can_express_a_rank_one_change) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *full = rig_add(&r, "full", "f", "", true);
    pl_module *lora =
        rig_add(&r, "lora", "a", "rank=1;alpha=1;target_modules=layers.1.self_attn.o_proj", false);
    const real *a = pl_module_values(lora, 1, PL_SITE_O, PL_LORA_A),
               *b = pl_module_values(lora, 1, PL_SITE_O, PL_LORA_B);
    int32_t o = pl_layout_find(&full->layout, "model.layers.1.self_attn.o_proj.weight");
    REQUIRE(o != PL_NONE);
    r.count = 1;
    r.modules[0] = lora;
    rig_ready(&r, false);
    real *by_lora = rig_logits(&r);
    for (int32_t i = 0; i < 40; i++)
        for (int32_t j = 0; j < 40; j++)
            full->values[full->layout.tensors[o].offset + i * 40 + j] += b[i] * a[j];
    r.modules[0] = full;
    rig_ready(&r, false);
    real *by_full = rig_logits(&r);
    CHECK_NEAR(rig_difference(by_lora, by_full, logit_count(&r)), 0,
               (is_double ? 1e-12 : 1e-4) * rig_largest(by_full, logit_count(&r)));
    r.modules[1] = lora;
    r.count = 2;
    rig_close(&r);
}

/* DARE: on average over seeds it is the plain sum. */
TEST(dare_averages_to_linear) {
    rig r;
    rig_open(&r, helper_mha_tied(), 3);
    pl_module *modules[] = {
        rig_add(&r, "lora", "a", "rank=2;target_modules=layers.0.self_attn.q_proj", false),
        rig_add(&r, "lora", "b", "rank=2;target_modules=layers.0.self_attn.q_proj", false)};
    const double weights[] = {0.6, 0.5};
    pl_mix_options options = pl_mix_options_default(PL_MIX_LINEAR);
    pl_mix_report report;
    pl_error error = {0};
    pl_module *linear, *made;
    REQUIRE(pl_mix(&r.memory, r.model, modules, weights, 2, &options, "l", &linear, &report, &error) ==
            PL_OK);
    enum { SEEDS = 3000 };
    double *mean = pl_memory_alloc(&r.memory, (size_t)linear->layout.extent, sizeof *mean);
    options = pl_mix_options_default(PL_MIX_DARE_LINEAR);
    options.density = 0.7;
    for (options.seed = 0; options.seed < SEEDS; options.seed++) {
        REQUIRE(pl_mix(&r.memory, r.model, modules, weights, 2, &options, "d", &made, &report, &error) ==
                PL_OK);
        for (int64_t i = 0; i < made->layout.extent; i++)
            mean[i] += (double)made->values[i] / SEEDS;
        pl_module_free(made);
    }
    for (int64_t i = 0; i < linear->layout.extent; i++)
        CHECK_NEAR(mean[i], linear->values[i], 0.03);
    pl_module_free(linear);
    rig_close(&r);
}
