/* Every base gradient against central differences in double. (build: double) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "model_helpers.h"

static const int32_t LENGTHS[] = {7, 1, 12, 4};

static double loss_of(pl_model *model, pl_workspace *workspace, const pl_batch *batch) {
    pl_error error;
    pl_loss loss;
    if (!CHECK(pl_forward_loss(model, NULL, workspace, batch, false, 0, 1, &loss, &error) == PL_OK))
        return NAN;
    return loss.sum;
}

/* Up to `probes` elements of each tensor, spread over it. */
static void check_tensor(pl_model *model, pl_workspace *workspace, const pl_batch *batch, int32_t index,
                         const real *gradients, double scale) {
    const pl_tensor *tensor = &model->layout.tensors[index];
    const int64_t size = tensor->rows * tensor->cols, probes = 8;
    real *values = pl_model_tensor(model, index);
    double largest = 0;
    for (int64_t j = 0; j < size; j++)
        largest = fmax(largest, fabs((double)gradients[tensor->offset + j]));
    CHECK_MSG(largest > 0, "%s has no gradient at all", tensor->name);
    for (int64_t p = 0; p < probes && p < size; p++) {
        int64_t j = size <= probes ? p : (p * 2654435761LL + index) % size;
        const double step = 1e-5;
        real kept = values[j];
        values[j] = (real)((double)kept + step);
        pl_model_repack(model, index);
        double above = loss_of(model, workspace, batch);
        values[j] = (real)((double)kept - step);
        pl_model_repack(model, index);
        double below = loss_of(model, workspace, batch);
        values[j] = kept;
        pl_model_repack(model, index);
        double want = scale * (above - below) / (2 * step), got = (double)gradients[tensor->offset + j];
        CHECK_MSG(fabs(got - want) <= 1e-7 * fmax(1, largest),
                  "%s[%lld]: gradient %.10g, difference quotient %.10g", tensor->name, (long long)j, got,
                  want);
    }
}

static void check_shape(pl_config config) {
    pl_memory memory = {0};
    pl_error error;
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 4, 5);
    pl_model *model = helper_model(&memory, &config, 3);
    real *gradients = helper_train_base(model);
    pl_workspace *workspace = helper_workspace(&memory, model, NULL, &b.batch, true);
    pl_loss loss;
    const double scale = 0.25;
    REQUIRE(pl_forward_loss(model, NULL, workspace, &b.batch, true, 0, (real)scale, &loss, &error) == PL_OK);
    CHECK_INT(loss.labels, b.labels);
    REQUIRE(pl_backward(model, NULL, workspace, &b.batch, &error) == PL_OK);
    CHECK_NEAR(loss_of(model, workspace, &b.batch), loss.sum, 0);
    for (int32_t i = 0; i < model->layout.count; i++)
        check_tensor(model, workspace, &b.batch, i, gradients, scale);
    pl_memory_free_all(&memory);
}

TEST(gradients_mha_tied) { check_shape(helper_mha_tied()); }
TEST(gradients_gqa_odd) { check_shape(helper_gqa_odd()); }
TEST(gradients_wide_heads) { check_shape(helper_wide_heads()); }
TEST(gradients_llama3_rope) { check_shape(helper_llama3_rope()); }

/* One base tensor alone: backward must reach it, however little else wants a gradient. */
TEST(gradients_of_single_tensors) {
    pl_memory memory = {0};
    pl_error error;
    pl_loss loss;
    pl_config config = helper_gqa_odd();
    helper_batch b;
    helper_batch_make(&b, &config, LENGTHS, 4, 5);
    pl_model *model = helper_model(&memory, &config, 3);
    pl_workspace *workspace = helper_workspace(&memory, model, NULL, &b.batch, true);
    real *gradients = pl_memory_alloc(&memory, (size_t)model->layout.extent, sizeof(real));
    for (int32_t i = 0; i < model->layout.count; i++) {
        const pl_tensor *tensor = &model->layout.tensors[i];
        pl_model_redirect(model, i, model->values + tensor->offset, gradients + tensor->offset);
        CHECK(pl_forward_loss(model, NULL, workspace, &b.batch, true, 0, 1, &loss, &error) == PL_OK);
        CHECK(pl_backward(model, NULL, workspace, &b.batch, &error) == PL_OK);
        pl_model_redirect(model, i, NULL, NULL);
        check_tensor(model, workspace, &b.batch, i, gradients, 1);
    }
    pl_memory_free_all(&memory);
}

/* A head whose logits are too many to keep is trained from logits made again, block by block. */
TEST(gradients_of_a_head_in_blocks) {
    pl_config config = helper_gqa_odd();
    config.vocab_size = 20000;
    config.num_hidden_layers = 1;
    config.tie_word_embeddings = true;
    const int32_t lengths[] = {40, 40, 40, 40, 40, 40};
    pl_memory memory = {0};
    pl_error error;
    pl_loss loss;
    helper_batch b;
    helper_batch_make(&b, &config, lengths, 6, 5);
    pl_model *model = helper_model(&memory, &config, 3);
    real *gradients = helper_train_base(model);
    size_t extent = (size_t)model->layout.extent;
    real *whole = pl_memory_alloc(&memory, extent, sizeof(real));
    pl_workspace *blocks = helper_workspace(&memory, model, NULL, &b.batch, true);
    CHECK(pl_forward_loss(model, NULL, blocks, &b.batch, true, 0, 1, &loss, &error) == PL_OK);
    CHECK(pl_backward(model, NULL, blocks, &b.batch, &error) == PL_OK);
    memcpy(whole, gradients, extent * sizeof(real));
    memset(gradients, 0, extent * sizeof(real));
    pl_extent half = {.rows = 120, .seqs = 3, .labels = 120, .training = true};
    pl_workspace *kept;
    REQUIRE(pl_workspace_create(&memory, model, NULL, &half, &kept, &error) == PL_OK);
    for (int32_t first = 0; first < 120 + 1; first += 120) {
        const int32_t starts[] = {0, 40, 80, 120};
        const pl_batch part = {.seq_count = 3,
                               .row_count = 120,
                               .seq_start = starts,
                               .tokens = b.tokens + first,
                               .targets = b.targets + first};
        CHECK(pl_forward_loss(model, NULL, kept, &part, true, 0, 1, &loss, &error) == PL_OK);
        CHECK(pl_backward(model, NULL, kept, &part, &error) == PL_OK);
    }
    double worst = 0;
    for (size_t i = 0; i < extent; i++)
        worst = fmax(worst, fabs((double)(whole[i] - gradients[i])));
    CHECK_MSG(worst < 1e-10, "differ by %g", worst);
    pl_memory_free_all(&memory);
}
