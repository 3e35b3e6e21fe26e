/* Prompt tuning: starts, places, decoding, refusals. (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/virtual.h"
#include "peft_helpers.h"

static size_t logit_count(const rig *r) {
    return (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size;
}

static int32_t row_in_embedding(const rig *r, const real *row) {
    size_t d = (size_t)r->config.hidden_size;
    for (int32_t t = 0; t < r->config.vocab_size; t++)
        if (memcmp(row, r->model->embedding + (size_t)t * d, d * sizeof *row) == 0)
            return t;
    return PL_NONE;
}

static pl_module *make(rig *r, const char *choice, int32_t n, const int32_t *tokens, int32_t count,
                       pl_status *status, pl_error *error) {
    pl_options options;
    pl_module *module = NULL;
    pl_options_default(&PL_METHOD_PROMPT, &r->config, &options);
    options.number[pl_option_index(&PL_METHOD_PROMPT, "num_virtual_tokens")] = n;
    options.init_tokens = tokens;
    options.init_token_count = count;
    *status = pl_options_set_text(&options, &r->config, "prompt_tuning_init", choice, error);
    if (*status == PL_OK)
        *status = pl_module_create(&r->memory, r->model, &options, "p", 11, &module, error);
    return module;
}

TEST(start_from_vocabulary_and_text) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 90};
    rig_open(&r, helper_gqa_odd(), 3);
    size_t d = (size_t)r.config.hidden_size;
    pl_module *vocab = make(&r, "vocab", 6, NULL, 0, &status, &error);
    REQUIRE(vocab != NULL);
    int32_t first = row_in_embedding(&r, vocab->values), different = 0;
    for (size_t i = 0; i < 6; i++) {
        int32_t row = row_in_embedding(&r, vocab->values + i * d);
        CHECK(row != PL_NONE);
        different += row != first;
    }
    CHECK(different > 0);
    pl_module *repeated = make(&r, "text", 7, text, 3, &status, &error),
              *cut = make(&r, "text", 2, text, 3, &status, &error);
    for (size_t i = 0; i < 7; i++)
        CHECK_INT(row_in_embedding(&r, repeated->values + i * d), text[i % 3]);
    for (size_t i = 0; i < 2; i++)
        CHECK_INT(row_in_embedding(&r, cut->values + i * d), text[i]);
    pl_module_free(vocab);
    pl_module_free(repeated);
    pl_module_free(cut);
    rig_close(&r);
}

static double rms(const real *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

TEST(random_starts) {
    rig r;
    pl_status status;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    size_t size = 40 * (size_t)r.config.hidden_size;
    pl_module *plain = make(&r, "random", 40, NULL, 0, &status, &error),
              *scaled = make(&r, "scaled", 40, NULL, 0, &status, &error);
    CHECK_NEAR(rms(plain->values, size), 1, 0.05);
    double want = rms(r.model->embedding, (size_t)r.config.vocab_size * (size_t)r.config.hidden_size);
    CHECK_NEAR(rms(scaled->values, size) / want, 1, 0.05);
    pl_module_free(plain);
    pl_module_free(scaled);
    rig_close(&r);
}

TEST(refusals) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t foreign[] = {5, 101};
    rig_open(&r, helper_gqa_odd(), 3);
    CHECK(make(&r, "text", 3, NULL, 0, &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(strstr(error.message, "init_text") != NULL);
    CHECK(make(&r, "text", 3, foreign, 2, &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_RANGE);
    CHECK(strstr(error.message, "101") != NULL);
    CHECK(make(&r, "vocab", 48, NULL, 0, &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_RANGE);
    CHECK(strstr(error.message, "47") != NULL);
    CHECK(make(&r, "poem", 4, NULL, 0, &status, &error) == NULL);
    CHECK(PL_METHOD_PROMPT.cannot_merge != NULL && PL_METHOD_PROMPT.merge == NULL &&
          !PL_METHOD_PROMPT.can_scale);
    pl_module *module = make(&r, "vocab", 3, NULL, 0, &status, &error);
    pl_stack stack;
    module->weight = (real)0.5;
    CHECK_INT(pl_stack_build(&module, 1, &stack, &error), PL_ERR_UNSUPPORTED);
    pl_module_free(module);
    rig_close(&r);
}

/* Property 13: rows copied from the embedding are those tokens, bit for bit. */
TEST(embedding_rows_are_tokens) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 90, 3};
    rig_open(&r, helper_llama3_rope(), 3);
    int32_t words[] = {text[0], text[1], text[2], text[3] % 83, 20, 61, 5, 44}, starts[] = {0, 8},
            late[] = {0, 4};
    words[2] = 80;
    pl_module *module = make(&r, "text", 4, words, 4, &status, &error);
    REQUIRE(module != NULL);
    size_t vocab = (size_t)r.config.vocab_size;
    real *whole = pl_memory_alloc(&r.memory, 8 * vocab, sizeof *whole),
         *after = pl_memory_alloc(&r.memory, 4 * vocab, sizeof *after);
    pl_batch all = {.seq_count = 1, .row_count = 8, .seq_start = starts, .tokens = words};
    pl_batch rest = {.seq_count = 1, .row_count = 4, .seq_start = late, .tokens = words + 4};
    pl_stack stack;
    CHECK(pl_stack_build(&module, 1, &stack, &error) == PL_OK);
    pl_workspace *plain = helper_workspace(&r.memory, r.model, NULL, &all, false);
    pl_workspace *virtual = helper_workspace(&r.memory, r.model, &stack, &rest, false);
    CHECK(pl_forward_logits(r.model, NULL, plain, &all, whole, &error) == PL_OK);
    CHECK(pl_forward_logits(r.model, &stack, virtual, &rest, after, &error) == PL_OK);
    CHECK(rig_same_bits(whole + 4 * vocab, after, 4 * vocab));
    pl_workspace_free(plain);
    pl_workspace_free(virtual);
    pl_module_free(module);
    rig_close(&r);
}

/* Property 16: the order of prompt rows matters. */
TEST(row_order_matters) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *module = rig_add(&r, "prompt", "p", "num_virtual_tokens=3", false);
    rig_ready(&r, false);
    real *before = rig_logits(&r);
    for (int32_t c = 0; c < r.config.hidden_size; c++) {
        real kept = module->values[c];
        module->values[c] = module->values[2 * r.config.hidden_size + c];
        module->values[2 * r.config.hidden_size + c] = kept;
    }
    rig_prepare(&r);
    CHECK(rig_difference(before, rig_logits(&r), logit_count(&r)) > 1e-3);
    rig_close(&r);
}

/* Generating sees what training saw: same bits token by token. */
TEST(decoding_agrees) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "prompt", "p", "num_virtual_tokens=3", false);
    rig_add(&r, "prefix", "k", "num_virtual_tokens=2", false);
    rig_add(&r, "adapter", "a", "variant=per_linear;bottleneck_size=4", false);
    rig_add(&r, "adapter", "b", "variant=pfeiffer;bottleneck_size=4", false);
    rig_ready(&r, false);
    real *batch = rig_logits(&r);
    pl_extent extent = {.rows = PL_DECODE_ROWS, .seqs = 1, .labels = 1};
    for (int32_t i = 0; i < r.count; i++)
        CHECK(pl_module_plan(r.modules[i], &extent, &error) == PL_OK);
    pl_decoder *decoder = NULL;
    CHECK(pl_decoder_create(&r.memory, r.model, &r.stack, 40, &decoder, &error) == PL_OK);
    size_t vocab = (size_t)r.config.vocab_size;
    real *logits = pl_memory_alloc(&r.memory, vocab, sizeof *logits);
    const pl_batch *b = &r.batch.batch;
    for (int32_t s = 0; s < b->seq_count; s++) {
        pl_decoder_reset(decoder);
        for (int32_t row = b->seq_start[s]; row < b->seq_start[s + 1]; row++) {
            CHECK(pl_decoder_feed(decoder, &b->tokens[row], 1, logits, &error) == PL_OK);
            CHECK(rig_same_bits(logits, batch + (size_t)row * vocab, vocab));
        }
        CHECK_INT(pl_decoder_length(decoder), b->seq_start[s + 1] - b->seq_start[s] + 3 + 2);
    }
    pl_decoder_free(decoder);
    rig_close(&r);
}

/* A training step allocates nothing. */
TEST(no_allocation_in_a_step) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "prompt", "p", "num_virtual_tokens=3", false);
    rig_add(&r, "prefix", "k", "num_virtual_tokens=2;prefix_projection=true", false);
    rig_add(&r, "adapter", "a", "variant=per_linear;bottleneck_size=4;dropout=0.1", false);
    rig_ready(&r, true);
    int64_t before = r.memory.allocation_count;
    rig_prepare(&r);
    CHECK(isfinite(rig_loss(&r)));
    rig_backward(&r);
    CHECK_INT(r.memory.allocation_count, before);
    rig_close(&r);
}
