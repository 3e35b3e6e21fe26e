/* What must agree bit for bit: decoding and batches, a sequence alone and in company, loss and logits.
 * (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "model_helpers.h"
#include "model_synthetic.h"

static const int32_t LENGTHS[] = {11, 1, 40, 3};
enum { SEQUENCES = 4, ROWS_MAX = 128 };

static const synthetic_kinds EVERYTHING = {.virtual_tokens = 3,
                                           .memory_tokens = 2,
                                           .memory_shifts = true,
                                           .input_sites = 127,
                                           .linear_sites = 127,
                                           .blocks = 3};
static const synthetic_kinds MEMORY_AT_ZERO = {
    .virtual_tokens = 1, .memory_tokens = 1, .linear_sites = 1 << PL_SITE_V, .first_layer = 1};

typedef struct bench {
    pl_memory memory;
    pl_config config;
    helper_batch batch;
    pl_model *model;
    pl_stack stack;
    pl_workspace *workspace;
    real *logits;
    size_t vocab;
} bench;

static void bench_open(bench *b, pl_config config, bool with_modules) {
    memset(b, 0, sizeof *b);
    b->config = config;
    b->vocab = (size_t)config.vocab_size;
    helper_batch_make(&b->batch, &b->config, LENGTHS, SEQUENCES, 9);
    b->model = helper_model(&b->memory, &b->config, 4);
    if (with_modules) {
        synthetic_push(&b->stack, synthetic_make(&b->memory, &b->config, &EVERYTHING, ROWS_MAX, 1), true);
        synthetic_push(&b->stack, synthetic_make(&b->memory, &b->config, &MEMORY_AT_ZERO, ROWS_MAX, 2), true);
    }
    b->workspace = helper_workspace(&b->memory, b->model, &b->stack, &b->batch.batch, false);
    b->logits = pl_memory_alloc(&b->memory, (size_t)b->batch.batch.row_count * b->vocab, sizeof(real));
}

static void logits_of(bench *b) {
    pl_error error = {0};
    CHECK_MSG(pl_forward_logits(b->model, &b->stack, b->workspace, &b->batch.batch, b->logits, &error) ==
                  PL_OK,
              "%s", error.message);
}

static bool same(const real *a, const real *b, size_t n) { return memcmp(a, b, n * sizeof(real)) == 0; }

/* Feeds sequence s in pieces of `step` tokens and compares the logits behind each piece with the batch's
 * rows. */
static void check_decoding(bench *b, pl_decoder *decoder, real *row, int32_t s, int32_t step) {
    pl_error error = {0};
    int32_t first = b->batch.starts[s], length = b->batch.starts[s + 1] - first;
    pl_decoder_reset(decoder);
    for (int32_t i = 0; i < length; i += step) {
        int32_t count = length - i < step ? length - i : step;
        REQUIRE(pl_decoder_feed(decoder, b->batch.tokens + first + i, count, row, &error) == PL_OK);
        const real *want = b->logits + (size_t)(first + i + count - 1) * b->vocab;
        CHECK_MSG(same(row, want, b->vocab), "row %d of sequence %d, %d at a time", i + count - 1, s, step);
    }
}

static void check_decoder(pl_config config, bool with_modules) {
    bench b;
    pl_error error;
    pl_decoder *decoder;
    bench_open(&b, config, with_modules);
    logits_of(&b);
    REQUIRE(pl_decoder_create(&b.memory, b.model, &b.stack, 47, &decoder, &error) == PL_OK);
    real *row = pl_memory_alloc(&b.memory, b.vocab, sizeof(real));
    int64_t allocations = b.memory.allocation_count;
    for (int32_t s = 0; s < SEQUENCES; s++) {
        check_decoding(&b, decoder, row, s, 1);
        check_decoding(&b, decoder, row, s, 3);
        check_decoding(&b, decoder, row, s, 36); /* more than a pass of the decoder holds */
    }
    CHECK_INT(b.memory.allocation_count, allocations);
    CHECK_INT(pl_decoder_length(decoder), 3 + (with_modules ? 7 : 0));
    pl_memory_free_all(&b.memory);
}

TEST(decoding_equals_the_batch_mha) { check_decoder(helper_mha_tied(), false); }
TEST(decoding_equals_the_batch_gqa) { check_decoder(helper_gqa_odd(), false); }
TEST(decoding_equals_the_batch_wide_heads) { check_decoder(helper_wide_heads(), false); }
TEST(decoding_equals_the_batch_with_modules) { check_decoder(helper_gqa_odd(), true); }

static void check_alone(bool with_modules) {
    bench b;
    pl_error error;
    bench_open(&b, helper_gqa_odd(), with_modules);
    logits_of(&b);
    real *alone = pl_memory_alloc(&b.memory, 40 * b.vocab, sizeof(real));
    for (int32_t s = 0; s < SEQUENCES; s++) {
        int32_t first = b.batch.starts[s], starts[2] = {0, b.batch.starts[s + 1] - first};
        const pl_batch one = {
            .seq_count = 1, .row_count = starts[1], .seq_start = starts, .tokens = b.batch.tokens + first};
        REQUIRE(pl_forward_logits(b.model, &b.stack, b.workspace, &one, alone, &error) == PL_OK);
        CHECK_MSG(same(alone, b.logits + (size_t)first * b.vocab, (size_t)starts[1] * b.vocab), "sequence %d",
                  s);
    }
    pl_memory_free_all(&b.memory);
}

TEST(a_sequence_alone_equals_the_batch) {
    check_alone(false);
    check_alone(true);
}

/* The loss of the labelled rows, computed here from the logits. */
TEST(loss_agrees_with_the_logits) {
    bench b;
    pl_error error;
    pl_loss loss;
    bench_open(&b, helper_gqa_odd(), true);
    logits_of(&b);
    double want = 0;
    for (int32_t i = 0; i < b.batch.batch.row_count; i++) {
        if (b.batch.targets[i] == PL_IGNORE)
            continue;
        double sum = 0;
        const real *row = b.logits + (size_t)i * b.vocab;
        for (size_t j = 0; j < b.vocab; j++)
            sum += exp((double)row[j]);
        want += log(sum) - (double)row[b.batch.targets[i]];
    }
    REQUIRE(pl_forward_loss(b.model, &b.stack, b.workspace, &b.batch.batch, false, 0, 1, &loss, &error) ==
            PL_OK);
    CHECK_INT(loss.labels, b.batch.labels);
    CHECK_NEAR(loss.sum, want, 1e-5 * want);
    pl_memory_free_all(&b.memory);
}

static double loss_of(bench *b) {
    pl_error error;
    pl_loss loss;
    CHECK(pl_forward_loss(b->model, &b->stack, b->workspace, &b->batch.batch, false, 0, 1, &loss, &error) ==
          PL_OK);
    return loss.sum;
}

/* Tokens behind the last target of a sequence, and rows without target at its end, cannot matter. */
TEST(unseen_tokens_do_not_change_the_loss) {
    bench b;
    bench_open(&b, helper_mha_tied(), false);
    for (int32_t i = 30; i < 40; i++)
        b.batch.targets[b.batch.starts[2] + i] = PL_IGNORE;
    double before = loss_of(&b);
    for (int32_t i = 30; i < 40; i++)
        b.batch.tokens[b.batch.starts[2] + i] = i;
    CHECK(loss_of(&b) == before);
    b.batch.tokens[b.batch.starts[2] + 5] ^= 1;
    CHECK(loss_of(&b) != before);
    pl_memory_free_all(&b.memory);
}

TEST(no_labels_no_loss) {
    bench b;
    bench_open(&b, helper_mha_tied(), false);
    for (int32_t i = 0; i < b.batch.batch.row_count; i++)
        b.batch.targets[i] = PL_IGNORE;
    CHECK_NEAR(loss_of(&b), 0, 0);
    b.batch.batch.targets = NULL;
    CHECK_NEAR(loss_of(&b), 0, 0);
    pl_memory_free_all(&b.memory);
}

/* RoPE sees distances only. A module with learned rows of zeros (score 0 at any distance) moves the positions
   of all tokens: once it is told to, once not. */
TEST(rope_sees_distances_only) {
    bench b;
    bench_open(&b, helper_wide_heads(), false);
    synthetic_kinds kinds = {.memory_tokens = 5};
    synthetic *module = synthetic_make(&b.memory, &b.config, &kinds, ROWS_MAX, 1);
    memset(module->values, 0, (size_t)module->layout.extent * sizeof(real));
    pl_batch *batch = &b.batch.batch;
    size_t size = (size_t)batch->row_count * b.vocab;
    real *shifted = pl_memory_alloc(&b.memory, size, sizeof(real));
    pl_error error;
    synthetic_push(&b.stack, module, false);
    b.workspace = helper_workspace(&b.memory, b.model, &b.stack, batch, false);
    logits_of(&b);
    b.stack.hooks[0].memory_shifts = true;
    REQUIRE(pl_forward_logits(b.model, &b.stack, b.workspace, batch, shifted, &error) == PL_OK);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < size; i++) {
        worst = fmax(worst, fabs((double)(shifted[i] - b.logits[i])));
        largest = fmax(largest, fabs((double)b.logits[i]));
    }
    CHECK_MSG(worst <= 1e-5 * largest, "%g of %g", worst, largest);
    CHECK(worst > 0);
    pl_memory_free_all(&b.memory);
}

/* Learned rows that are copies of embedding rows are those tokens. */
TEST(virtual_rows_equal_tokens) {
    bench b;
    pl_error error;
    bench_open(&b, helper_mha_tied(), false);
    synthetic_kinds kinds = {.virtual_tokens = 2};
    synthetic *module = synthetic_make(&b.memory, &b.config, &kinds, ROWS_MAX, 1);
    size_t hidden = (size_t)b.config.hidden_size;
    memcpy(module->values, b.model->embedding + 7 * hidden, hidden * sizeof(real));
    memcpy(module->values + hidden, b.model->embedding + 9 * hidden, hidden * sizeof(real));
    synthetic_push(&b.stack, module, false);
    int32_t tokens[] = {7, 9, 3, 4, 5}, starts[] = {0, 5}, short_starts[] = {0, 3};
    const pl_batch whole = {.seq_count = 1, .row_count = 5, .seq_start = starts, .tokens = tokens};
    const pl_batch part = {.seq_count = 1, .row_count = 3, .seq_start = short_starts, .tokens = tokens + 2};
    pl_stack none = {.count = 0};
    REQUIRE(pl_forward_logits(b.model, &none, b.workspace, &whole, b.logits, &error) == PL_OK);
    REQUIRE(pl_forward_logits(b.model, &b.stack, b.workspace, &part, b.logits + 5 * b.vocab, &error) ==
            PL_OK);
    CHECK(same(b.logits + 2 * b.vocab, b.logits + 5 * b.vocab, 3 * b.vocab));
    pl_memory_free_all(&b.memory);
}
