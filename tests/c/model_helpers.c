#include "model_helpers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pl_config shape(int32_t vocab, int32_t hidden, int32_t ffn, int32_t layers, int32_t heads,
                       int32_t kv_heads, int32_t head_dim, bool tied) {
    return (pl_config){.vocab_size = vocab,
                       .hidden_size = hidden,
                       .intermediate_size = ffn,
                       .num_hidden_layers = layers,
                       .num_attention_heads = heads,
                       .num_key_value_heads = kv_heads,
                       .head_dim = head_dim,
                       .max_position_embeddings = 48,
                       .tie_word_embeddings = tied,
                       .rms_norm_eps = 1e-5,
                       .rope_theta = 10000,
                       .bos_token_id = 1,
                       .eos_token_id = 2};
}

pl_config helper_mha_tied(void) { return shape(96, 32, 88, 2, 4, 4, 8, true); }
pl_config helper_gqa_odd(void) { return shape(101, 40, 72, 3, 5, 1, 8, false); }
pl_config helper_wide_heads(void) { return shape(67, 24, 52, 2, 4, 2, 10, true); }

pl_config helper_llama3_rope(void) {
    pl_config config = shape(83, 32, 60, 2, 2, 1, 16, false);
    config.rope_kind = PL_ROPE_LLAMA3;
    config.rope_theta = 500000;
    config.rope_factor = 8;
    config.rope_low_freq_factor = 1;
    config.rope_high_freq_factor = 4;
    config.rope_original_positions = 64;
    return config;
}

static void demand(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "test helper: %s\n", what);
    abort();
}

pl_model *helper_model(pl_memory *memory, const pl_config *config, uint64_t seed) {
    pl_error error;
    pl_model *model;
    demand(pl_model_create(memory, config, &model, &error) == PL_OK, "no model");
    for (int32_t i = 0; i < model->layout.count; i++) {
        const pl_tensor *tensor = &model->layout.tensors[i];
        pl_rng rng = pl_rng_stream(seed, (uint64_t)i);
        for (int64_t j = 0; j < tensor->rows * tensor->cols; j++)
            model->values[tensor->offset + j] =
                (real)(tensor->dims == 1 ? 1 + 0.2 * pl_rng_normal(&rng) : 0.2 * pl_rng_normal(&rng));
    }
    pl_model_pack(model);
    return model;
}

real *helper_train_base(pl_model *model) {
    size_t extent = (size_t)model->layout.extent;
    real *values = pl_memory_alloc(model->memory, extent, sizeof(real));
    real *gradients = pl_memory_alloc(model->memory, extent, sizeof(real));
    demand(values && gradients, "no memory for gradients");
    memcpy(values, model->values, extent * sizeof(real));
    for (int32_t i = 0; i < model->layout.count; i++) {
        int64_t offset = model->layout.tensors[i].offset;
        pl_model_redirect(model, i, values + offset, gradients + offset);
    }
    return gradients;
}

void helper_batch_make(helper_batch *out, const pl_config *config, const int32_t *lengths, int32_t count,
                       uint64_t seed) {
    pl_rng rng = pl_rng_stream(seed, 77);
    int32_t rows = 0;
    memset(out, 0, sizeof *out);
    demand(count <= 8, "at most 8 sequences");
    for (int32_t s = 0; s < count; s++) {
        out->starts[s] = rows;
        demand(rows + lengths[s] <= 256, "at most 256 rows");
        for (int32_t i = 0; i < lengths[s]; i++, rows++) {
            out->tokens[rows] = pl_rng_below(&rng, config->vocab_size);
            bool labelled = pl_rng_below(&rng, 3) > 0 || rows == 0;
            out->targets[rows] = labelled ? pl_rng_below(&rng, config->vocab_size) : PL_IGNORE;
            out->labels += labelled;
        }
    }
    out->starts[count] = rows;
    out->batch = (pl_batch){.seq_count = count,
                            .row_count = rows,
                            .seq_start = out->starts,
                            .tokens = out->tokens,
                            .targets = out->targets};
}

pl_workspace *helper_workspace(pl_memory *memory, const pl_model *model, const pl_stack *stack,
                               const pl_batch *batch, bool training) {
    pl_extent extent = {
        .rows = batch->row_count, .seqs = batch->seq_count, .labels = batch->row_count, .training = training};
    for (int32_t i = 0; stack && i < stack->count; i++)
        extent.rows += batch->seq_count * stack->hooks[i].virtual_tokens;
    pl_workspace *workspace;
    pl_error error;
    demand(pl_workspace_create(memory, model, stack, &extent, &workspace, &error) == PL_OK, "no workspace");
    return workspace;
}
