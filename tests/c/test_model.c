/* Errors with their sentences, memory, weights, sampling. (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "model_helpers.h"
#include "model_synthetic.h"

static const int32_t LENGTHS[] = {6, 4};

static void check_bad_config(pl_config config, const char *sentence) {
    pl_error error = {0};
    CHECK(pl_config_check(&config, &error) != PL_OK);
    CHECK_STR(error.message, sentence);
}

TEST(bad_configs_are_named) {
    pl_config c = helper_gqa_odd();
    CHECK(pl_config_check(&c, NULL) == PL_OK);
    c.head_dim = 7;
    check_bad_config(c, "head_dim is 7; it must be even, because RoPE rotates pairs");
    c = helper_gqa_odd();
    c.num_key_value_heads = 2;
    check_bad_config(c, "num_key_value_heads is 2; it must divide num_attention_heads, which is 5");
    c = helper_gqa_odd();
    c.num_hidden_layers = 0;
    check_bad_config(c, "num_hidden_layers is 0; it must be from 1 to 256");
    c = helper_gqa_odd();
    c.rms_norm_eps = NAN;
    check_bad_config(c, "rms_norm_eps is nan; it must be a positive number");
    c = helper_gqa_odd();
    c.eos_token_id = 101;
    check_bad_config(c, "eos_token_id is 101; the vocabulary has the ids 0 to 100");
    c = helper_gqa_odd();
    c.rope_theta = 1e-300; /* its frequencies would leave the domain of sines and cosines */
    check_bad_config(c, "rope_theta is 1e-300; it must be from 1 to 1e+30");
    c = helper_gqa_odd();
    c.max_position_embeddings = 1 << 24;
    check_bad_config(c, "max_position_embeddings is 16777216; it must be from 1 to 1048576");
    c = helper_llama3_rope();
    c.rope_factor = 0.5;
    check_bad_config(c, "the RoPE factor is 0.5; it must be from 1 to 1e+06");
    c = helper_llama3_rope();
    c.rope_high_freq_factor = 1;
    check_bad_config(c, "high_freq_factor is 1; it must be larger than low_freq_factor, which is 1");
}

TEST(a_bad_config_makes_no_model) {
    pl_memory memory = {0};
    pl_error error;
    pl_config c = helper_gqa_odd();
    c.vocab_size = -3;
    pl_model *model;
    CHECK_INT(pl_model_create(&memory, &c, &model, &error), PL_ERR_RANGE);
    CHECK(model == NULL);
    CHECK_INT(memory.bytes, 0);
}

static void check_refused(pl_model *model, pl_workspace *workspace, const pl_batch *batch,
                          const char *sentence) {
    pl_error error = {0};
    pl_loss loss;
    CHECK(pl_forward_loss(model, NULL, workspace, batch, false, 0, 1, &loss, &error) != PL_OK);
    CHECK_STR(error.message, sentence);
}

TEST(bad_batches_are_named) {
    pl_memory memory = {0};
    pl_config config = helper_gqa_odd();
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 2, 1);
    pl_model *model = helper_model(&memory, &config, 1);
    pl_workspace *workspace = helper_workspace(&memory, model, NULL, &b.batch, false);
    b.tokens[7] = 101;
    check_refused(model, workspace, &b.batch,
                  "token 101 at place 1 of sequence 1 is outside the vocabulary 0..100");
    b.tokens[7] = 0;
    b.targets[2] = -2;
    check_refused(model, workspace, &b.batch,
                  "target -2 at place 2 of sequence 0 is outside the vocabulary 0..100");
    b.targets[2] = PL_IGNORE;
    b.starts[1] = 10;
    check_refused(model, workspace, &b.batch, "sequence 1 of the batch is empty; leave it out");
    int32_t starts[] = {0, 49};
    const pl_batch longer = {.seq_count = 1, .row_count = 49, .seq_start = starts, .tokens = b.tokens};
    check_refused(
        model, workspace, &longer,
        "sequence 0 has 49 tokens and 0 learned rows; the model's context holds 48: shorten the sequence");
    starts[1] = 12;
    const pl_batch larger = {.seq_count = 1, .row_count = 12, .seq_start = starts, .tokens = b.tokens};
    check_refused(model, workspace, &larger,
                  "the batch has 12 rows (learned ones included) and 0 labels; the workspace was planned for "
                  "10 and 10");
    pl_memory_free_all(&memory);
}

TEST(training_needs_its_own_workspace_and_order) {
    pl_memory memory = {0};
    pl_error error;
    pl_loss loss;
    pl_config config = helper_mha_tied();
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 2, 1);
    pl_model *model = helper_model(&memory, &config, 1);
    pl_workspace *evaluation = helper_workspace(&memory, model, NULL, &b.batch, false);
    pl_workspace *training = helper_workspace(&memory, model, NULL, &b.batch, true);
    CHECK_INT(pl_forward_loss(model, NULL, evaluation, &b.batch, true, 0, 1, &loss, &error), PL_ERR_STATE);
    CHECK_INT(pl_backward(model, NULL, training, &b.batch, &error), PL_ERR_STATE);
    CHECK_INT(pl_forward_loss(model, NULL, training, &b.batch, true, 0, 0, &loss, &error), PL_ERR_ARGUMENT);
    CHECK_INT(pl_forward_loss(model, NULL, training, &b.batch, true, 0, 1, &loss, &error), PL_OK);
    CHECK_INT(pl_backward(model, NULL, training, &b.batch, &error), PL_OK);
    CHECK_INT(pl_backward(model, NULL, training, &b.batch, &error), PL_ERR_STATE);
    pl_memory_free_all(&memory);
}

TEST(a_pass_allocates_nothing) {
    pl_memory memory = {0};
    pl_error error;
    pl_loss loss;
    pl_config config = helper_gqa_odd();
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 2, 1);
    pl_model *model = helper_model(&memory, &config, 1);
    helper_train_base(model);
    pl_stack stack = {.count = 0};
    const synthetic_kinds kinds = {
        .virtual_tokens = 2, .memory_tokens = 2, .input_sites = 127, .linear_sites = 127};
    synthetic_push(&stack, synthetic_make(&memory, &config, &kinds, 32, 1), true);
    const pl_extent extent = {.rows = 14, .seqs = 2, .labels = 10, .training = true};
    pl_workspace *workspace;
    REQUIRE(pl_workspace_create(&memory, model, &stack, &extent, &workspace, &error) == PL_OK);
    int64_t allocations = memory.allocation_count;
    for (int32_t i = 0; i < 3; i++) {
        CHECK(pl_forward_loss(model, &stack, workspace, &b.batch, true, 0, 1, &loss, &error) == PL_OK);
        CHECK(pl_backward(model, &stack, workspace, &b.batch, &error) == PL_OK);
    }
    CHECK_INT(memory.allocation_count, allocations);
    /* Another stack is fine where it needs no more than was planned for. */
    CHECK(pl_forward_loss(model, NULL, workspace, &b.batch, true, 0, 1, &loss, &error) == PL_OK);
    const synthetic_kinds more = {.memory_tokens = 1};
    synthetic_push(&stack, synthetic_make(&memory, &config, &more, 32, 1), true);
    CHECK_INT(pl_forward_loss(model, &stack, workspace, &b.batch, true, 0, 1, &loss, &error), PL_ERR_STATE);
    synthetic_push(&stack, synthetic_make(&memory, &config, &kinds, 32, 1), true);
    CHECK_INT(pl_forward_loss(model, &stack, workspace, &b.batch, true, 0, 1, &loss, &error), PL_ERR_RANGE);
    pl_memory_free_all(&memory);
}

/* Every allocation of model, workspace and decoder may fail: an error, and nothing stays behind. */
TEST(refused_memory_leaves_nothing_behind) {
    pl_config config = helper_gqa_odd();
    const pl_extent extent = {.rows = 10, .seqs = 2, .labels = 10, .training = true};
    for (int64_t fail = 1; fail < 30; fail++) {
        pl_memory memory = {.fail_at = fail};
        pl_error error = {0};
        pl_model *model;
        pl_workspace *workspace = NULL;
        pl_decoder *decoder = NULL;
        pl_status status = pl_model_create(&memory, &config, &model, &error);
        if (status == PL_OK)
            status = pl_workspace_create(&memory, model, NULL, &extent, &workspace, &error);
        if (status == PL_OK)
            status = pl_decoder_create(&memory, model, NULL, 40, &decoder, &error);
        CHECK(status == PL_OK || (status == PL_ERR_MEMORY && error.message[0]));
        pl_decoder_free(decoder);
        pl_workspace_free(workspace);
        pl_model_free(model);
        CHECK_INT(memory.bytes, 0);
        if (status == PL_OK)
            return;
    }
    CHECK_MSG(false, "never succeeded");
}

TEST(names_and_order_are_those_of_transformers) {
    pl_config config = helper_gqa_odd();
    pl_memory memory = {0};
    pl_layout layout = pl_layout_make(&memory, NULL);
    REQUIRE(pl_model_declare(&config, &layout) == PL_OK);
    CHECK_INT(layout.count, 3 + 9 * config.num_hidden_layers);
    CHECK_STR(layout.tensors[0].name, "model.embed_tokens.weight");
    CHECK_STR(layout.tensors[1].name, "model.layers.0.self_attn.q_proj.weight");
    CHECK_STR(layout.tensors[7].name, "model.layers.0.mlp.down_proj.weight");
    CHECK_STR(layout.tensors[8].name, "model.layers.0.input_layernorm.weight");
    CHECK_STR(layout.tensors[9].name, "model.layers.0.post_attention_layernorm.weight");
    CHECK_STR(layout.tensors[28].name, "model.norm.weight");
    CHECK_STR(layout.tensors[29].name, "lm_head.weight");
    pl_layout_free(&layout);
    /* Llama-2-7B, counted without its memory */
    pl_config large = {.vocab_size = 32000,
                       .hidden_size = 4096,
                       .intermediate_size = 11008,
                       .num_hidden_layers = 32,
                       .num_attention_heads = 32,
                       .num_key_value_heads = 32,
                       .head_dim = 128,
                       .max_position_embeddings = 4096,
                       .rms_norm_eps = 1e-5,
                       .rope_theta = 10000,
                       .bos_token_id = 1,
                       .eos_token_id = 2};
    CHECK(pl_config_check(&large, NULL) == PL_OK);
    layout = pl_layout_make(NULL, NULL);
    REQUIRE(pl_model_declare(&large, &layout) == PL_OK);
    CHECK_INT(layout.elements, 6738415616LL);
}

static double logit_of(pl_model *model, pl_workspace *workspace, const pl_batch *batch, real *logits) {
    pl_error error;
    CHECK(pl_forward_logits(model, NULL, workspace, batch, logits, &error) == PL_OK);
    double sum = 0;
    for (int32_t i = 0; i < batch->row_count * model->config.vocab_size; i++)
        sum += (double)logits[i] * sin(i);
    return sum;
}

/* Redirected tensors are used, and the model's own values come back bit for bit. */
static void check_redirect(pl_config config) {
    pl_memory memory = {0};
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 2, 1);
    pl_model *model = helper_model(&memory, &config, 1);
    pl_workspace *workspace = helper_workspace(&memory, model, NULL, &b.batch, false);
    real *logits = pl_memory_alloc(&memory, (size_t)(b.batch.row_count * config.vocab_size), sizeof(real));
    double before = logit_of(model, workspace, &b.batch, logits);
    for (int32_t i = 0; i < model->layout.count; i++) {
        const pl_tensor *t = &model->layout.tensors[i];
        size_t size = (size_t)(t->rows * t->cols);
        real *other = pl_memory_alloc(&memory, size, sizeof(real));
        for (size_t j = 0; j < size; j++)
            other[j] = model->values[t->offset + (int64_t)j] * (real)1.5;
        pl_model_redirect(model, i, other, NULL);
        pl_model_repack(model, i);
        CHECK(pl_model_tensor(model, i) == other);
        CHECK_MSG(logit_of(model, workspace, &b.batch, logits) != before, "%s is not used", t->name);
        pl_model_redirect(model, i, NULL, NULL);
        pl_model_repack(model, i);
        CHECK(pl_model_tensor(model, i) == model->values + t->offset);
        CHECK_MSG(logit_of(model, workspace, &b.batch, logits) == before, "%s did not come back", t->name);
    }
    pl_memory_free_all(&memory);
}

TEST(redirect_and_back) {
    check_redirect(helper_mha_tied());
    check_redirect(helper_gqa_odd());
}

TEST(rope_frequencies) {
    pl_config c = helper_mha_tied();
    double f[PL_ROPE_PAIRS_MAX], g[PL_ROPE_PAIRS_MAX];
    pl_config_rope_frequencies(&c, f);
    CHECK_NEAR(f[0], 1, 0);
    CHECK_NEAR(f[1], 0.1, 1e-15); /* 10000^(-2/8) */
    c.rope_kind = PL_ROPE_LINEAR;
    c.rope_factor = 4;
    pl_config_rope_frequencies(&c, g);
    for (int32_t i = 0; i < 4; i++)
        CHECK_NEAR(g[i], f[i] / 4, 0);
}

TEST(rope_frequencies_of_llama3) {
    /* ROPE_INIT_FUNCTIONS["llama3"] of transformers 5.23 for this shape: one kept, one blended, six stretched */
    static const double WANT[] = {1.0,
                                  0.079403013,
                                  0.00470075384,
                                  0.000911583134,
                                  0.000176776681,
                                  3.42810235e-05,
                                  6.64786967e-06,
                                  1.28917316e-06};
    pl_config c = helper_llama3_rope();
    double f[PL_ROPE_PAIRS_MAX];
    pl_config_rope_frequencies(&c, f);
    for (int32_t i = 0; i < 8; i++)
        CHECK_NEAR(f[i] / WANT[i], 1, 1e-6);
}

TEST(decoder_refuses_what_does_not_fit) {
    pl_memory memory = {0};
    pl_error error;
    pl_config config = helper_gqa_odd();
    pl_model *model = helper_model(&memory, &config, 1);
    pl_decoder *decoder;
    CHECK_INT(pl_decoder_create(&memory, model, NULL, 49, &decoder, &error), PL_ERR_RANGE);
    REQUIRE(pl_decoder_create(&memory, model, NULL, 4, &decoder, &error) == PL_OK);
    const int32_t tokens[] = {1, 2, 3, 200, 5};
    CHECK_INT(pl_decoder_feed(decoder, tokens, 5, NULL, &error), PL_ERR_RANGE);
    CHECK_STR(error.message, "5 more tokens do not fit: 0 of the decoder's 4 positions are in use");
    CHECK_INT(pl_decoder_feed(decoder, tokens, 4, NULL, &error), PL_ERR_RANGE);
    CHECK_STR(error.message, "token 200 at place 3 is outside the vocabulary 0..100");
    CHECK_INT(pl_decoder_feed(decoder, tokens, 0, NULL, &error), PL_ERR_ARGUMENT);
    CHECK_INT(pl_decoder_length(decoder), 0);
    CHECK_INT(pl_decoder_feed(decoder, tokens, 3, NULL, &error), PL_OK);
    CHECK_INT(pl_decoder_feed(decoder, tokens, 1, NULL, &error), PL_OK);
    CHECK_INT(pl_decoder_feed(decoder, tokens, 1, NULL, &error), PL_ERR_RANGE);
    pl_memory_free_all(&memory);
}

/* ---- sampling ---- */

enum { WORDS = 6 };
static const double PROBABILITIES[WORDS] = {0.1, 0.35, 0.05, 0.2, 0.25, 0.05};

/* Frequencies of 20000 draws. */
static void draw(const pl_sampling *sampling, double *frequency) {
    pl_rng rng = pl_rng_stream(7, 0);
    int32_t scratch[WORDS];
    for (int32_t i = 0; i < WORDS; i++)
        frequency[i] = 0;
    for (int32_t n = 0; n < 20000; n++) {
        real logits[WORDS];
        for (int32_t i = 0; i < WORDS; i++)
            logits[i] = (real)(log(PROBABILITIES[i]) + 3);
        frequency[pl_sample(logits, WORDS, sampling, &rng, scratch)] += 1.0 / 20000;
    }
}

TEST(sampling_follows_the_distribution) {
    double f[WORDS];
    draw(&(pl_sampling){.temperature = 1, .top_p = 1}, f);
    for (int32_t i = 0; i < WORDS; i++)
        CHECK_NEAR(f[i], PROBABILITIES[i], 0.012);
    draw(&(pl_sampling){.temperature = 0.5, .top_p = 1}, f);
    CHECK_NEAR(f[1], 0.35 * 0.35 / 0.24, 0.012);
    draw(&(pl_sampling){.temperature = 0, .top_p = 1}, f);
    CHECK_NEAR(f[1], 1, 1e-9);
}

TEST(sampling_filters) {
    double f[WORDS];
    draw(&(pl_sampling){.temperature = 1, .top_k = 2, .top_p = 1}, f);
    CHECK_NEAR(f[1], 0.35 / 0.6, 0.012);
    CHECK_NEAR(f[4], 0.25 / 0.6, 0.012);
    draw(&(pl_sampling){.temperature = 1, .top_p = 0.7}, f); /* 0.35 + 0.25 < 0.7: the third stays */
    CHECK_NEAR(f[3], 0.2 / 0.8, 0.012);
    CHECK_NEAR(f[0] + f[2] + f[5], 0, 0);
    draw(&(pl_sampling){.temperature = 1, .top_p = 0}, f); /* never nothing */
    CHECK_NEAR(f[1], 1, 1e-9);
    draw(&(pl_sampling){.temperature = 1, .top_k = 2, .top_p = 0.55}, f); /* 0.35 / 0.6 reaches it alone */
    CHECK_NEAR(f[1], 1, 1e-9);
}

/* Temperatures towards 0, also those whose reciprocal is no float, and filters at their ends. */
TEST(greedy_takes_the_lowest_of_equals) {
    const double temperatures[] = {0, 1e-310, 1e-50, 1e-40, 1e-30, 1e-3};
    pl_rng rng = pl_rng_stream(1, 1);
    int32_t scratch[4];
    for (size_t i = 0; i < sizeof temperatures / sizeof temperatures[0]; i++) {
        const double t = temperatures[i];
        real equals[] = {1, 3, 2, 3}, apart[] = {(real)-1e30, (real)1e30, 0, (real)9e29};
        if (!isfinite((real)1 / (real)t))
            CHECK_INT(pl_sample(equals, 4, &(pl_sampling){.temperature = t, .top_p = 1}, &rng, scratch), 1);
        CHECK_INT(pl_sample(apart, 4, &(pl_sampling){.temperature = t, .top_p = 1}, &rng, scratch), 1);
        real small[] = {0, (real)0.1, (real)0.4, (real)0.2};
        CHECK_INT(pl_sample(small, 4, &(pl_sampling){.temperature = t, .top_p = 1e-300, .top_k = 99}, &rng,
                            scratch),
                  2);
    }
}

/* ---- dropout over a pass ---- */

TEST(dropout_does_not_depend_on_the_batch) {
    const int32_t starts[] = {0, 3, 8}, alone[] = {0, 5};
    const uint64_t streams[] = {40, 41};
    const pl_pass both = {.rows = 8,
                          .seq_count = 2,
                          .row_start = starts,
                          .streams = streams,
                          .training = true,
                          .dropout_key = 5};
    pl_pass one = {.rows = 5,
                   .seq_count = 1,
                   .row_start = alone,
                   .streams = streams + 1,
                   .training = true,
                   .dropout_key = 5};
    real x[80], y[80], z[50];
    for (int32_t i = 0; i < 80; i++)
        x[i] = 1;
    pl_pass_dropout(&both, 3, (real)0.5, x, 10, y);
    pl_pass_dropout(&one, 3, (real)0.5, x, 10, z);
    CHECK(memcmp(y + 30, z, sizeof z) == 0);
    int32_t zeros = 0;
    for (int32_t i = 0; i < 80; i++) {
        CHECK(y[i] == 0 || y[i] == 2);
        zeros += y[i] == 0;
    }
    CHECK_MSG(zeros > 20 && zeros < 60, "%d of 80 dropped", zeros);
    CHECK(memcmp(y, z, 30 * sizeof(real)) != 0); /* two sequences, two masks */
    pl_pass_dropout(&one, 4, (real)0.5, x, 10, y);
    CHECK(memcmp(y, z, sizeof z) != 0);
    one.training = false;
    pl_pass_dropout(&one, 3, (real)0.5, x, 10, z);
    CHECK(memcmp(x, z, sizeof z) == 0);
}
