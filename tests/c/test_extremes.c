/* The ends of every range: ranks above all widths, a context full of learned rows, one token, logits that overflow, nothing to learn from.
 * (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "kernels/kernels.h"
#include "peft_helpers.h"
#include "train/trainer.h"

static const bool is_double = sizeof(real) == sizeof(double);

/* ---- options at their ends: the loss is a number, in double the gradients are right, and decoding agrees with the batch ---- */

/* The first sequence of the batch, token by token, has the logits of the batch. */
static void check_decoding(rig *r) {
    pl_error error = {0};
    pl_decoder *decoder = NULL;
    size_t vocab = (size_t)r->config.vocab_size;
    rig_ready(r, false);
    const real *batch = rig_logits(r);
    real *one = pl_memory_alloc(&r->memory, vocab, sizeof *one);
    int32_t context = r->config.max_position_embeddings;
    CHECK_MSG(pl_decoder_create(&r->memory, r->model, &r->stack, context, &decoder, &error) == PL_OK, "%s",
              error.message);
    for (int32_t i = 0; decoder && i < r->batch.starts[1]; i++) {
        CHECK(pl_decoder_feed(decoder, &r->batch.tokens[i], 1, one, &error) == PL_OK);
        CHECK_MSG(rig_same_bits(one, batch + (size_t)i * vocab, vocab), "token %d differs", i);
    }
    pl_decoder_free(decoder);
}

static void check_end(pl_config config, const char *method, const char *options) {
    rig r;
    rig_open(&r, config, 5);
    REQUIRE(rig_add(&r, method, "a", options, false) != NULL);
    rig_ready(&r, true);
    CHECK(isfinite(rig_loss(&r)));
    if (is_double)
        rig_check_gradients(&r, strstr(options, "use_dora") != NULL);
    check_decoding(&r);
    rig_close(&r);
}

TEST(a_rank_above_every_width) {
    check_end(helper_wide_heads(), "lora", "rank=80;target_modules=all-linear");
}
TEST(a_dora_rank_above_every_width) {
    check_end(helper_mha_tied(), "lora",
              "rank=75;use_dora=true;dropout=0.95;target_modules=k_proj,down_proj");
}
TEST(pissa_of_the_whole_matrix) {
    check_end(helper_gqa_odd(), "lora", "init=pissa;rank=8;target_modules=k_proj");
}
TEST(an_adapter_wider_than_the_model) {
    check_end(helper_mha_tied(), "adapter", "bottleneck_size=67;dropout=0.9");
}
TEST(an_adapter_of_width_one) {
    check_end(helper_gqa_odd(), "adapter", "variant=per_linear;bottleneck_size=1;target_modules=all-linear");
}
TEST(a_prompt_as_long_as_the_context_allows) {
    check_end(helper_gqa_odd(), "prompt", "num_virtual_tokens=39");
}
TEST(a_prefix_as_long_as_the_context_allows) {
    check_end(helper_wide_heads(), "prefix", "num_virtual_tokens=39");
}

/* n learned rows in a context of n + 1: one token fits, two do not. */
static void check_full_context(const char *method) {
    rig r;
    pl_error error = {0};
    pl_decoder *decoder = NULL;
    static real logits[128];
    const int32_t tokens[] = {3, 4};
    rig_open(&r, helper_gqa_odd(), 5);
    rig_add(&r, method, "a", "num_virtual_tokens=47", false);
    CHECK(pl_stack_build(r.modules, 1, &r.stack, &error) == PL_OK);
    rig_prepare(&r);
    REQUIRE(pl_decoder_create(&r.memory, r.model, &r.stack, 48, &decoder, &error) == PL_OK);
    CHECK_INT(pl_decoder_feed(decoder, tokens, 2, logits, &error), PL_ERR_RANGE);
    CHECK_INT(pl_decoder_feed(decoder, tokens, 1, logits, &error), PL_OK);
    CHECK(pl_all_finite(logits, (size_t)r.config.vocab_size));
    CHECK_INT(pl_decoder_feed(decoder, tokens, 1, logits, &error), PL_ERR_RANGE);
    pl_decoder_free(decoder);
    pl_status status;
    CHECK(rig_make(&r, method, "b", "num_virtual_tokens=48", &status, &error) == NULL &&
          status == PL_ERR_RANGE);
    rig_close(&r);
}

TEST(a_prompt_beside_one_token) { check_full_context("prompt"); }
TEST(a_prefix_beside_one_token) { check_full_context("prefix"); }

/* ---- losses ---- */

TEST(cross_entropy_of_huge_and_of_equal_logits) {
    for (int32_t vocab = 1; vocab <= 23; vocab++) {
        real huge[23], equal[23];
        for (int32_t i = 0; i < vocab; i++) {
            huge[i] = (real)(i % 2 ? 1e30 : -1e30);
            equal[i] = (real)-3e38;
        }
        const int32_t last = vocab - 1, largest = vocab > 1 ? 1 : 0;
        CHECK_NEAR(pl_cross_entropy(equal, &last, 1, vocab, 1), log(vocab), 1e-6);
        for (int32_t i = 0; i < vocab; i++)
            CHECK_NEAR(equal[i], 1.0 / vocab - (i == last), 1e-6);
        /* The largest logits share all of the probability; a target among them costs log of their number, another one the distance. */
        CHECK_NEAR(pl_cross_entropy(huge, &largest, 1, vocab, (real)0.5), log(vocab > 1 ? vocab / 2 : 1),
                   1e-6);
        CHECK(pl_all_finite(huge, (size_t)vocab));
        for (int32_t i = 0; vocab > 1 && i < vocab; i++)
            CHECK_NEAR(huge[i], i % 2 ? 0.5 * (1.0 / (vocab / 2) - (i == 1)) : 0, 1e-6);
    }
    real far[] = {(real)-1e30, (real)1e30, 0};
    const int32_t lost = 0;
    CHECK_NEAR(pl_cross_entropy(far, &lost, 1, 3, 1) / 2e30, 1, 1e-6);
    CHECK(far[0] == -1 && far[1] == 1 && far[2] == 0);
}

/* ---- the optimiser ---- */

static pl_trainer *trainer_of(rig *r, pl_dataset **data, const pl_train_options *options) {
    pl_error error = {0};
    pl_trainer *trainer = NULL;
    const int32_t tokens[] = {5, 17, 90, 2, 33};
    CHECK(pl_dataset_create(&r->memory, 8, r->config.vocab_size, data, &error) == PL_OK);
    for (int32_t i = 2; i <= 5; i++)
        CHECK(pl_dataset_add(*data, tokens, i, 1, 1, &error) == PL_OK);
    CHECK_MSG(pl_trainer_create(&r->memory, r->model, r->modules, r->count, *data, options, &trainer,
                                &error) == PL_OK,
              "%s", error.message);
    return trainer;
}

/* Three steps; the largest change of a value of the module. */
static double moved(const char *start, bool all_zero, const pl_train_options *options, double *norm) {
    rig r;
    pl_dataset *data = NULL;
    pl_error error = {0};
    pl_step_report report = {0};
    rig_open(&r, helper_gqa_odd(), 5);
    pl_module *m = rig_add(&r, "lora", "a", start, false);
    size_t n = (size_t)m->layout.extent;
    if (all_zero)
        memset(m->values, 0, n * sizeof(real));
    real *before = pl_memory_alloc(&r.memory, n, sizeof(real));
    memcpy(before, m->values, n * sizeof(real));
    pl_trainer *trainer = trainer_of(&r, &data, options);
    for (int32_t step = 0; trainer && step < 3; step++)
        CHECK_MSG(pl_trainer_step(trainer, &report, &error) == PL_OK, "%s", error.message);
    CHECK(pl_all_finite(m->values, n));
    double change = rig_difference(before, m->values, n);
    *norm = report.grad_norm;
    pl_trainer_free(trainer);
    pl_dataset_free(data);
    rig_close(&r);
    return change;
}

TEST(what_does_not_learn_stays) {
    double norm;
    pl_train_options options = pl_train_options_default();
    options.batch_size = options.shards = 2;
    options.lr = 0;
    options.weight_decay = 10; /* is multiplied by the learning rate */
    CHECK(moved("rank=3", false, &options, &norm) == 0 && norm > 0);
    options.lr = 1;
    options.weight_decay = 0;
    CHECK(moved("rank=3", true, &options, &norm) == 0 &&
          norm == 0); /* A = B = 0: nothing to clip, nothing to follow */
    options.max_grad_norm = 0;
    CHECK(moved("rank=3", true, &options, &norm) == 0 && norm == 0);
}

TEST(extreme_options_train) {
    double norm;
    pl_train_options options = pl_train_options_default();
    options.batch_size = options.shards = 1;
    options.beta1 = options.beta2 = 0;
    options.eps = 1e-15;
    options.max_grad_norm = 1e-12;
    CHECK(moved("rank=3;dropout=0.95", false, &options, &norm) > 0);
    options.max_grad_norm = 1e6;
    options.beta1 = 0.9999;
    options.beta2 = 0.999999;
    options.warmup_steps = options.steps;
    CHECK(moved("rank=1;alpha=0.000001", false, &options, &norm) > 0);
}

/* An update that would not be finite changes nothing: the weights, the moments and the step stay. */
TEST(a_diverged_step_changes_nothing) {
    rig r;
    pl_dataset *data = NULL;
    pl_error error = {0};
    pl_step_report report;
    pl_train_options options = pl_train_options_default();
    rig_open(&r, helper_gqa_odd(), 5);
    pl_module *m = rig_add(&r, "lora", "a", "rank=3", false);
    size_t n = (size_t)m->layout.extent;
    pl_trainer *trainer = trainer_of(&r, &data, &options);
    REQUIRE(trainer != NULL && pl_trainer_step(trainer, &report, &error) == PL_OK);
    real kept = m->values[0];
    m->values[0] = (real)INFINITY;
    real *before = pl_memory_alloc(&r.memory, 3 * n, sizeof(real));
    memcpy(before, m->values, n * sizeof(real));
    memcpy(before + n, trainer->first, n * sizeof(real));
    memcpy(before + 2 * n, trainer->second, n * sizeof(real));
    rig_prepare(&r);
    CHECK_INT(pl_trainer_step(trainer, &report, &error), PL_ERR_NUMERIC);
    CHECK_INT(trainer->step, 1);
    CHECK(memcmp(before, m->values, n * sizeof(real)) == 0);
    CHECK(memcmp(before + n, trainer->first, n * sizeof(real)) == 0);
    CHECK(memcmp(before + 2 * n, trainer->second, n * sizeof(real)) == 0);
    m->values[0] = kept;
    rig_prepare(&r);
    CHECK_INT(pl_trainer_step(trainer, &report, &error), PL_OK);
    pl_trainer_free(trainer);
    pl_dataset_free(data);
    rig_close(&r);
}
