/* A batch from tokens to its loss or its logits. */
#include "kernels/kernels.h"
#include "model/workspace.h"

/* Learned rows at the head of each sequence, in stack order, then the token embeddings. */
static void embed(const pl_model *model, const pl_stack *stack, pl_workspace *w, const pl_batch *batch) {
    size_t hidden = (size_t)model->config.hidden_size;
    for (int32_t s = 0; s < batch->seq_count; s++) {
        int32_t tokens = pl_pass_tokens(w, s);
        real *x = w->layers[0].x + (size_t)w->row_start[s] * hidden;
        for (int32_t i = 0; tokens > 0 && stack && i < stack->count; i++) {
            const pl_hooks *hooks = &stack->hooks[i];
            if (hooks->virtual_tokens > 0)
                hooks->embed_forward(hooks->self, &w->pass, x);
            x += (size_t)hooks->virtual_tokens * hidden;
        }
        pl_embedding_forward(model->embedding, batch->tokens + batch->seq_start[s], tokens,
                             model->config.hidden_size, x);
    }
}

/* Tokens to the final norm's output. */
static void run(const pl_model *model, const pl_stack *stack, pl_workspace *w, const pl_batch *batch) {
    embed(model, stack, w, batch);
    for (int32_t l = 0; w->past > 0 && l < model->config.num_hidden_layers; l++)
        pl_memory_gather(model, stack, l, w->layers[l].past_k, w->layers[l].past_v);
    pl_layers_forward(model, stack, w);
    pl_head_norm(model, w);
}

/* Logits, loss and gradient of the labelled rows, block by block while the logits are in cache. */
static double head_loss(const pl_model *model, pl_workspace *w, bool training) {
    size_t hidden = (size_t)model->config.hidden_size, vocab = (size_t)model->config.vocab_size;
    bool kept = w->logit_rows >= w->tail.rows;
    double sum = 0;
    for (int32_t first = 0; first < w->tail.rows; first += PL_HEAD_BLOCK) {
        int32_t count = w->tail.rows - first < PL_HEAD_BLOCK ? w->tail.rows - first : PL_HEAD_BLOCK;
        real *logits = w->logits + (kept ? (size_t)first * vocab : 0);
        pl_head_logits(model, w, first, count, logits);
        sum += pl_cross_entropy(logits, w->targets + first, count, model->config.vocab_size,
                                training ? w->gradient_scale : 0);
        if (training)
            pl_gemm(logits, count, model->head.out, model->head.packed_t, model->head.in,
                    w->back.dfinal + (size_t)first * hidden, false);
    }
    return sum;
}

pl_status pl_forward_loss(pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                          const pl_batch *batch, bool training, uint64_t dropout_key, real gradient_scale,
                          pl_loss *loss, pl_error *error) {
    pl_workspace *w = workspace;
    *loss = (pl_loss){0};
    if (training && !w->extent.training)
        return pl_fail(error, PL_ERR_STATE, "this workspace was planned without training");
    if (training && gradient_scale == 0)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "a gradient scale of 0 would train nothing; pass 1 / (number of labels)");
    PL_TRY(pl_pass_begin(model, stack, w, batch, false, error));
    w->pass.training = w->tail.training = training;
    w->pass.dropout_key = w->tail.dropout_key = dropout_key;
    w->gradient_scale = gradient_scale;
    loss->labels = w->tail.rows;
    if (loss->labels > 0) {
        run(model, stack, w, batch);
        loss->sum = head_loss(model, w, training);
    }
    w->ready = training;
    return PL_OK;
}

pl_status pl_forward_logits(pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                            const pl_batch *batch, real *logits, pl_error *error) {
    PL_TRY(pl_pass_begin(model, stack, workspace, batch, true, error));
    run(model, stack, workspace, batch);
    pl_head_logits(model, workspace, 0, workspace->tail.rows, logits);
    return PL_OK;
}
