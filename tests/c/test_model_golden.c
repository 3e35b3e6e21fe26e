/* Logits, loss, gradients and greedy decoding against transformers (tests/golden). (build: both) */
#include <math.h>
#include <stdio.h>

#include "harness.h"
#include "model_golden.h"

/* Float rounding, or the F32 rounding of the stored numbers. */
static const double LOGIT_TOLERANCE =
    PL_REAL_IS_FLOAT ? 1e-5 : 1e-6; /* of the largest; the fixtures ask for 1e-4 */
static const double LOSS_TOLERANCE = PL_REAL_IS_FLOAT ? 1e-5 : 1e-9;
static const double GRADIENT_TOLERANCE = PL_REAL_IS_FLOAT ? 2e-5 : 1e-6;

/* Largest difference and largest expected magnitude. */
static double difference(const real *got, const real *want, int64_t count, double *largest) {
    double worst = 0;
    *largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        worst = d <= worst ? worst : d; /* a NaN is taken over */
        *largest = fmax(*largest, fabs((double)want[i]));
    }
    return worst;
}

static void check_logits(golden *g, pl_workspace *workspace) {
    pl_error error;
    const pl_batch *batch = &g->batch.batch;
    size_t vocab = (size_t)g->model->config.vocab_size;
    real *logits = pl_memory_alloc(g->memory, (size_t)batch->row_count * vocab, sizeof(real));
    REQUIRE(pl_forward_logits(g->model, NULL, workspace, batch, logits, &error) == PL_OK);
    for (int32_t s = 0; s < batch->seq_count; s++) {
        char name[32];
        (void)snprintf(name, sizeof name, "logits/%d", s);
        int64_t count;
        double largest;
        const real *want = golden_values(g, name, &count);
        REQUIRE(want != NULL);
        CHECK_INT(count, (batch->seq_start[s + 1] - batch->seq_start[s]) * (int64_t)vocab);
        double worst = difference(logits + (size_t)batch->seq_start[s] * vocab, want, count, &largest);
        CHECK_MSG(worst <= LOGIT_TOLERANCE * largest, "%s differ by %.3g of %.3g", name, worst, largest);
    }
}

static void check_gradients(golden *g, const real *gradients) {
    for (int32_t i = 0; i < g->model->layout.count; i++) {
        const pl_tensor *tensor = &g->model->layout.tensors[i];
        char name[PL_NAME_SIZE + 16];
        (void)snprintf(name, sizeof name, "grad/base/%s", tensor->name);
        int64_t count;
        double largest;
        const real *want = golden_values(g, name, &count);
        if (!CHECK_MSG(want != NULL, "the fixture has no %s", name))
            continue;
        double worst = difference(gradients + tensor->offset, want, count, &largest);
        CHECK_MSG(worst <= GRADIENT_TOLERANCE * largest + 1e-7, "%s differs by %.3g of %.3g", name, worst,
                  largest);
    }
}

static void check_case(const char *name, bool trained) {
    pl_memory memory = {0};
    pl_error error;
    pl_loss loss;
    golden g;
    golden_open(&g, &memory, name);
    const pl_batch *batch = &g.batch.batch;
    real *gradients = trained ? helper_train_base(g.model) : NULL;
    pl_workspace *workspace = helper_workspace(&memory, g.model, NULL, batch, true);
    check_logits(&g, workspace);
    double targets = pl_json_number(pl_json_get(g.expected, "targets"));
    REQUIRE(pl_forward_loss(g.model, NULL, workspace, batch, true, 0, (real)(1 / targets), &loss, &error) ==
            PL_OK);
    CHECK_NEAR(loss.labels, targets, 0);
    CHECK_NEAR(loss.sum / targets, pl_json_number(pl_json_get(g.expected, "loss")), LOSS_TOLERANCE);
    CHECK(pl_backward(g.model, NULL, workspace, batch, &error) == PL_OK);
    if (trained)
        check_gradients(&g, gradients);
    golden_close(&g);
}

/* Greedy tokens from the prompt, with the cache. */
static void check_greedy(const char *name) {
    pl_memory memory = {0};
    pl_error error;
    golden g;
    golden_open(&g, &memory, name);
    const pl_json *greedy = pl_json_get(g.expected, "greedy");
    int32_t prompt[64], count = 0, vocab = g.model->config.vocab_size;
    for (const pl_json *t = pl_json_first(pl_json_get(greedy, "prompt")); t; t = pl_json_next(t))
        prompt[count++] = (int32_t)pl_json_number(t);
    pl_decoder *decoder;
    REQUIRE(pl_decoder_create(&memory, g.model, NULL, 40, &decoder, &error) == PL_OK);
    real *logits = pl_memory_alloc(&memory, (size_t)vocab, sizeof(real));
    int32_t *scratch = pl_memory_alloc(&memory, (size_t)vocab, sizeof(int32_t));
    pl_rng rng = pl_rng_stream(1, 1);
    const pl_sampling sampling = {.temperature = 0, .top_p = 1};
    REQUIRE(pl_decoder_feed(decoder, prompt, count, logits, &error) == PL_OK);
    for (const pl_json *want = pl_json_first(pl_json_get(greedy, "tokens")); want;
         want = pl_json_next(want)) {
        int32_t token = pl_sample(logits, vocab, &sampling, &rng, scratch);
        CHECK_NEAR(token, pl_json_number(want), 0);
        REQUIRE(pl_decoder_feed(decoder, &token, 1, logits, &error) == PL_OK);
    }
    golden_close(&g);
}

TEST(golden_base_mha_tied) { check_case("base-mha-tied", false); }
TEST(golden_base_gqa_odd) { check_case("base-gqa-odd", false); }
TEST(golden_base_headdim_gqa) { check_case("base-headdim-gqa", false); }
TEST(golden_base_llama3_rope) { check_case("base-llama3-rope", false); }
TEST(golden_base_bf16) { check_case("base-gqa-odd-bf16", false); }
TEST(golden_base_f16) { check_case("base-mha-tied-f16", false); }
TEST(golden_full_mha_tied) { check_case("full-mha-tied", true); }
TEST(golden_full_gqa_odd) { check_case("full-gqa-odd", true); }
TEST(golden_full_llama3_rope) { check_case("full-llama3-rope", true); }
TEST(golden_greedy) {
    check_greedy("base-mha-tied");
    check_greedy("base-gqa-odd");
    check_greedy("base-headdim-gqa");
    check_greedy("base-llama3-rope");
}
