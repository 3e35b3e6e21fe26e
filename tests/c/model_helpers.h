/* Tiny random models and batches for tests. */
#ifndef PL_TEST_MODEL_HELPERS_H
#define PL_TEST_MODEL_HELPERS_H

#include "model/model.h"

/* Shapes with one awkward property each; 2 or 3 layers, 48 positions. */
pl_config helper_mha_tied(void);    /* 4 heads, tied */
pl_config helper_gqa_odd(void);     /* 5 heads on 1, hidden 40, FFN 72, vocabulary 101, untied */
pl_config helper_wide_heads(void);  /* head_dim 10, hidden 24, 4 heads on 2, tied */
pl_config helper_llama3_rope(void); /* Llama 3 RoPE, untied */

/* A packed model whose weights are large enough for every path to matter. Aborts the program when it cannot
 * be made. */
pl_model *helper_model(pl_memory *memory, const pl_config *config, uint64_t seed);

/* Gives every base tensor a gradient buffer (the values are copied, the model's own stay untouched). Returns
   the gradient block, in the order and with the offsets of model->layout. */
real *helper_train_base(pl_model *model);

/* A ragged batch that owns its arrays. */
typedef struct helper_batch {
    pl_batch batch;
    int32_t starts[9], tokens[256], targets[256];
    int32_t labels;
} helper_batch;

/* Sequences of the given lengths with random tokens; about two thirds of the rows have a random target. batch
   points into *out: do not copy it afterwards. */
void helper_batch_make(helper_batch *out, const pl_config *config, const int32_t *lengths, int32_t count,
                       uint64_t seed);

/* A workspace for this batch with every token row labelled. Aborts when it cannot be made. */
pl_workspace *helper_workspace(pl_memory *memory, const pl_model *model, const pl_stack *stack,
                               const pl_batch *batch, bool training);

#endif
