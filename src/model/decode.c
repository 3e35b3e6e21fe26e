/* One sequence, token by token: the same walk through the layers as a batch, with keys and values in a cache.
 * The cache rows in front of a call are its `past`, so every bit equals that of a batch. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/workspace.h"

struct pl_decoder {
    pl_memory *memory;
    const pl_model *model;
    pl_stack stack; /* a copy: the modules stay the caller's */
    pl_stack_needs needs;
    pl_workspace *w;
    real *learned;    /* [virtual_tokens, hidden] rows that go first */
    int32_t capacity; /* cache rows */
    int32_t length;   /* cache rows filled */
    int32_t tokens;   /* rows fed so far, learned input rows included: gives the positions */
};

static pl_status check_capacity(const pl_model *model, const pl_stack_needs *needs, int32_t capacity,
                                pl_error *error) {
    int32_t learned = needs->virtual_tokens + needs->memory_tokens,
            limit = model->config.max_position_embeddings;
    if (capacity >= 1 && capacity <= limit && learned < capacity)
        return PL_OK;
    return pl_fail(
        error, PL_ERR_RANGE,
        "a decoder of %d positions is not possible: %d learned rows and at least one token must fit, and the "
        "model's context holds %d",
        capacity, learned, limit);
}

pl_status pl_decoder_create(pl_memory *memory, const pl_model *model, const pl_stack *stack, int32_t capacity,
                            pl_decoder **decoder, pl_error *error) {
    *decoder = NULL;
    pl_stack_needs needs = pl_stack_collect(stack);
    PL_TRY(check_capacity(model, &needs, capacity, error));
    pl_decoder *made = pl_memory_alloc(memory, 1, sizeof *made);
    if (!made)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for a decoder");
    *made = (pl_decoder){.memory = memory, .model = model, .needs = needs, .capacity = capacity};
    if (stack)
        made->stack = *stack;
    const pl_extent extent = {.rows = PL_DECODE_ROWS, .seqs = 1, .labels = 1};
    pl_status status = pl_workspace_make(memory, &model->config, stack, &extent, capacity, &made->w, error);
    size_t learned = (size_t)needs.virtual_tokens * (size_t)model->config.hidden_size;
    if (status == PL_OK && !(made->learned = pl_memory_alloc(memory, learned, sizeof(real))))
        status = pl_fail(error, PL_ERR_MEMORY, "no memory for the %d learned rows of a decoder",
                         needs.virtual_tokens);
    if (status != PL_OK) {
        pl_decoder_free(made);
        return status;
    }
    pl_decoder_reset(made);
    *decoder = made;
    return PL_OK;
}

void pl_decoder_free(pl_decoder *decoder) {
    if (!decoder)
        return;
    pl_workspace_free(decoder->w);
    pl_memory_free(decoder->memory, decoder->learned);
    pl_memory_free(decoder->memory, decoder);
}

void pl_decoder_reset(pl_decoder *decoder) {
    pl_workspace *w = decoder->w;
    for (int32_t l = 0; l < decoder->model->config.num_hidden_layers; l++)
        pl_memory_gather(decoder->model, &decoder->stack, l, w->layers[l].past_k, w->layers[l].past_v);
    decoder->length = decoder->needs.memory_tokens;
    decoder->tokens = 0;
}

/* Runs rows whose embeddings are already in the first layer's x. want_logits: the tail is the last of them.
 */
static void feed_rows(pl_decoder *d, int32_t rows, bool want_logits) {
    pl_workspace *w = d->w;
    size_t offset = (size_t)d->length * (size_t)pl_site_out(&d->model->config, PL_SITE_K);
    for (int32_t l = 0; l < d->model->config.num_hidden_layers; l++) {
        w->layers[l].k = w->layers[l].past_k + offset;
        w->layers[l].v = w->layers[l].past_v + offset;
    }
    for (int32_t i = 0; i < rows; i++)
        w->positions[i] = d->needs.shift + d->tokens + i;
    w->row_start[0] = w->tail_start[0] = 0;
    w->row_start[1] = rows;
    w->tail_start[1] = want_logits ? 1 : 0;
    w->tail_rows[0] = rows - 1;
    w->pass = (pl_pass){.rows = rows, .seq_count = 1, .row_start = w->row_start, .streams = w->streams};
    w->tail = w->pass;
    w->tail.rows = w->tail_start[1];
    w->tail.row_start = w->tail_start;
    w->past = d->length;
    pl_layers_forward(d->model, &d->stack, w);
    d->length += rows;
    d->tokens += rows;
}

/* The learned input rows, once, in front of the first token. */
static void feed_learned(pl_decoder *d) {
    size_t hidden = (size_t)d->model->config.hidden_size;
    real *x = d->learned;
    const pl_pass none = {.seq_count = 1, .row_start = d->w->row_start, .streams = d->w->streams};
    for (int32_t i = 0; i < d->stack.count; i++) {
        const pl_hooks *hooks = &d->stack.hooks[i];
        if (hooks->virtual_tokens > 0)
            hooks->embed_forward(hooks->self, &none, x);
        x += (size_t)hooks->virtual_tokens * hidden;
    }
    for (int32_t first = 0; first < d->needs.virtual_tokens; first += PL_DECODE_ROWS) {
        int32_t left = d->needs.virtual_tokens - first, rows = left < PL_DECODE_ROWS ? left : PL_DECODE_ROWS;
        memcpy(d->w->layers[0].x, d->learned + (size_t)first * hidden, (size_t)rows * hidden * sizeof(real));
        feed_rows(d, rows, false);
    }
}

static pl_status check_feed(const pl_decoder *d, const int32_t *tokens, int32_t count, pl_error *error) {
    int32_t waiting = d->tokens == 0 ? d->needs.virtual_tokens : 0, vocab = d->model->config.vocab_size;
    if (count < 1)
        return pl_fail(error, PL_ERR_ARGUMENT, "a decoder needs at least one token to go on");
    if (count > d->capacity - d->length - waiting)
        return pl_fail(error, PL_ERR_RANGE,
                       "%d more tokens do not fit: %d of the decoder's %d positions are in use", count,
                       d->length + waiting, d->capacity);
    for (int32_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab)
            return pl_fail(error, PL_ERR_RANGE, "token %d at place %d is outside the vocabulary 0..%d",
                           tokens[i], i, vocab - 1);
    return PL_OK;
}

pl_status pl_decoder_feed(pl_decoder *decoder, const int32_t *tokens, int32_t count, real *logits,
                          pl_error *error) {
    PL_TRY(check_feed(decoder, tokens, count, error));
    const pl_model *model = decoder->model;
    if (decoder->tokens == 0)
        feed_learned(decoder);
    for (int32_t first = 0; first < count; first += PL_DECODE_ROWS) {
        int32_t left = count - first, rows = left < PL_DECODE_ROWS ? left : PL_DECODE_ROWS;
        pl_embedding_forward(model->embedding, tokens + first, rows, model->config.hidden_size,
                             decoder->w->layers[0].x);
        feed_rows(decoder, rows, logits && rows == left);
    }
    if (logits) {
        pl_head_norm(model, decoder->w);
        pl_head_logits(model, decoder->w, 0, 1, logits);
    }
    return PL_OK;
}

int32_t pl_decoder_length(const pl_decoder *decoder) { return decoder->length; }

void pl_decoder_cache(const pl_decoder *decoder, int32_t layer, const real **k, const real **v) {
    *k = decoder->w->layers[layer].past_k;
    *v = decoder->w->layers[layer].past_v;
}
