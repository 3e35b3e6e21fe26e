/* What a batch becomes before it runs: checked, with learned rows counted in, positions, and the tail rows
 * that need logits. */
#include "kernels/kernels.h"
#include "model/workspace.h"

static pl_status check_batch(const pl_batch *batch, const pl_workspace *w, pl_error *error) {
    if (batch->seq_count < 1 || batch->seq_start[0] != 0 ||
        batch->seq_start[batch->seq_count] != batch->row_count)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "a batch needs at least one sequence and sequences that cover its %d rows",
                       batch->row_count);
    if (batch->seq_count > w->extent.seqs)
        return pl_fail(error, PL_ERR_RANGE, "the batch has %d sequences; the workspace was planned for %d",
                       batch->seq_count, w->extent.seqs);
    for (int32_t s = 0; s < batch->seq_count; s++)
        if (batch->seq_start[s + 1] <= batch->seq_start[s])
            return pl_fail(error, PL_ERR_ARGUMENT, "sequence %d of the batch is empty; leave it out", s);
    return PL_OK;
}

/* Tokens and targets of one sequence, and its length. */
static pl_status check_sequence(const pl_batch *batch, int32_t s, const pl_config *config, int32_t learned,
                                pl_error *error) {
    int32_t first = batch->seq_start[s], end = batch->seq_start[s + 1], vocab = config->vocab_size;
    if (end - first > config->max_position_embeddings - learned)
        return pl_fail(error, PL_ERR_RANGE,
                       "sequence %d has %d tokens and %d learned rows; the model's context holds %d: shorten "
                       "the sequence",
                       s, end - first, learned, config->max_position_embeddings);
    for (int32_t i = first; i < end; i++) {
        if (batch->tokens[i] < 0 || batch->tokens[i] >= vocab)
            return pl_fail(error, PL_ERR_RANGE,
                           "token %d at place %d of sequence %d is outside the vocabulary 0..%d",
                           batch->tokens[i], i - first, s, vocab - 1);
        if (batch->targets && batch->targets[i] != PL_IGNORE &&
            (batch->targets[i] < 0 || batch->targets[i] >= vocab))
            return pl_fail(error, PL_ERR_RANGE,
                           "target %d at place %d of sequence %d is outside the vocabulary 0..%d",
                           batch->targets[i], i - first, s, vocab - 1);
    }
    return PL_OK;
}

static bool in_tail(const pl_batch *batch, int32_t row, bool every_row) {
    return every_row || (batch->targets && batch->targets[row] != PL_IGNORE);
}

static pl_status check_size(const pl_batch *batch, const pl_workspace *w, const pl_stack_needs *needs,
                            bool every_row, pl_error *error) {
    int64_t rows = (int64_t)batch->row_count + (int64_t)batch->seq_count * needs->virtual_tokens;
    int32_t labels = 0;
    for (int32_t i = 0; i < batch->row_count; i++)
        labels += in_tail(batch, i, every_row);
    if (rows > w->extent.rows || labels > w->extent.labels)
        return pl_fail(
            error, PL_ERR_RANGE,
            "the batch has %lld rows (learned ones included) and %d labels; the workspace was planned for %d "
            "and %d",
            (long long)rows, labels, w->extent.rows, w->extent.labels);
    if (needs->memory_tokens > w->past_max || (needs->input_sites & ~w->input_sites) != 0)
        return pl_fail(error, PL_ERR_STATE,
                       "the workspace was planned for another set of modules; make a new one");
    return PL_OK;
}

/* Rows of sequence s that run: causal attention lets nothing behind its last tail row matter, so those rows are left out; 0
   when no row of it is in the tail. */
static int32_t rows_needed(const pl_batch *batch, int32_t s, bool every_row, int32_t virtual_tokens) {
    int32_t end = batch->seq_start[s + 1];
    while (end > batch->seq_start[s] && !in_tail(batch, end - 1, every_row))
        end--;
    return end > batch->seq_start[s] ? virtual_tokens + end - batch->seq_start[s] : 0;
}

static void fill_pass(const pl_batch *batch, bool every_row, const pl_stack_needs *needs, pl_workspace *w) {
    int32_t row = 0, labels = 0;
    for (int32_t s = 0; s < batch->seq_count; s++) {
        w->row_start[s] = row;
        w->tail_start[s] = labels;
        w->streams[s] = batch->streams ? batch->streams[s] : (uint64_t)s;
        int32_t length = rows_needed(batch, s, every_row, needs->virtual_tokens);
        for (int32_t i = 0; i < length; i++, row++) {
            w->positions[row] = needs->shift + i;
            int32_t token_row = batch->seq_start[s] + i - needs->virtual_tokens;
            if (i < needs->virtual_tokens || !in_tail(batch, token_row, every_row))
                continue;
            w->targets[labels] = batch->targets ? batch->targets[token_row] : PL_IGNORE;
            w->tail_rows[labels++] = row;
        }
    }
    w->row_start[batch->seq_count] = row;
    w->tail_start[batch->seq_count] = labels;
    w->pass = (pl_pass){
        .rows = row, .seq_count = batch->seq_count, .row_start = w->row_start, .streams = w->streams};
    w->tail = w->pass;
    w->tail.rows = labels;
    w->tail.row_start = w->tail_start;
}

pl_status pl_pass_begin(const pl_model *model, const pl_stack *stack, pl_workspace *workspace,
                        const pl_batch *batch, bool every_row, pl_error *error) {
    pl_stack_needs needs = pl_stack_collect(stack);
    workspace->ready = false;
    PL_TRY(check_batch(batch, workspace, error));
    for (int32_t s = 0; s < batch->seq_count; s++)
        PL_TRY(check_sequence(batch, s, &model->config, needs.virtual_tokens + needs.shift, error));
    PL_TRY(check_size(batch, workspace, &needs, every_row, error));
    fill_pass(batch, every_row, &needs, workspace);
    workspace->past = needs.memory_tokens;
    workspace->virtual_tokens = needs.virtual_tokens;
    return PL_OK;
}

int32_t pl_pass_tokens(const pl_workspace *workspace, int32_t s) {
    int32_t rows = workspace->row_start[s + 1] - workspace->row_start[s];
    return rows > 0 ? rows - workspace->virtual_tokens : 0;
}

bool pl_pass_drops(const pl_pass *pass) { return pass->training && pass->dropout_key != 0; }

void pl_pass_dropout(const pl_pass *pass, uint64_t tag, real p, const real *x, int32_t width, real *y) {
    uint64_t place = pl_rng_mix(pass->dropout_key, tag);
    real rate = pl_pass_drops(pass) ? p : 0;
    for (int32_t s = 0; s < pass->seq_count; s++) {
        size_t offset = (size_t)pass->row_start[s] * (size_t)width;
        size_t size = (size_t)(pass->row_start[s + 1] - pass->row_start[s]) * (size_t)width;
        pl_dropout(pl_rng_mix(place, pass->streams[s]), rate, x + offset, y + offset, size);
    }
}
