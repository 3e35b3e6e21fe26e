/* The mirror of layer.c and forward.c, bottom to top. Gradients flow down to the lowest place that trains
 * anything and no further. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/workspace.h"

enum { PL_PLACE_EMBEDDING = -1 /* layers are 0 … L-1; L is the final norm and the head; L+1 is nowhere */ };

typedef struct walk {
    const pl_model *model;
    const pl_stack *stack;
    pl_workspace *w;
    pl_stack_needs needs;
    bool input_trains[PL_SITE_COUNT]; /* a module that trains changes the input of this site */
    int32_t lowest;                   /* the lowest place that trains */
} walk;

static void clear(real *x, int32_t rows, int32_t width) {
    memset(x, 0, (size_t)rows * (size_t)width * sizeof(real));
}

static bool layer_trains(const pl_layer *layer) {
    for (int32_t s = 0; s < PL_SITE_COUNT; s++)
        if (layer->linear[s].dw)
            return true;
    return layer->attention_norm.dg || layer->ffn_norm.dg;
}

static int32_t lowest_of_base(const pl_model *model) {
    int32_t layers = model->config.num_hidden_layers;
    if (model->dembedding)
        return PL_PLACE_EMBEDDING;
    for (int32_t l = 0; l < layers; l++)
        if (layer_trains(&model->layers[l]))
            return l;
    return model->final_norm.dg || model->head.dw ? layers : layers + 1;
}

static walk start(const pl_model *model, const pl_stack *stack, pl_workspace *w) {
    walk k = {.model = model,
              .stack = stack,
              .w = w,
              .needs = pl_stack_collect(stack),
              .lowest = lowest_of_base(model)};
    for (int32_t i = 0; stack && i < stack->count; i++) {
        const pl_hooks *hooks = &stack->hooks[i];
        if (!hooks->trains)
            continue;
        int32_t place = hooks->virtual_tokens > 0 ? PL_PLACE_EMBEDDING : hooks->first_layer;
        k.lowest = place < k.lowest ? place : k.lowest;
        for (int32_t s = 0; s < PL_SITE_COUNT; s++)
            k.input_trains[s] = k.input_trains[s] || (hooks->input_sites >> s & 1) != 0;
    }
    return k;
}

/* Reverses site_forward. x: the shared input; dy may be changed; dx += unless NULL (nobody below needs it).
 */
static void site_backward(const walk *k, const pl_pass *pass, int32_t layer, pl_site site, const real *x,
                          real *dy, real *dx) {
    const pl_linear_at at = pl_at_linear(k->model, pass, layer, site);
    const pl_linear *linear = at.linear;
    bool own_input = (k->needs.input_sites >> site & 1) != 0;
    real *into = dx;
    if (own_input) {
        x = k->w->layers[layer].input[site];
        into = dx || k->input_trains[site] ? k->w->back.dinput : NULL;
        if (into)
            clear(into, at.rows, at.in);
    }
    for (int32_t i = k->needs.has_linear ? k->stack->count - 1 : -1; i >= 0; i--) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->linear_backward)
            hooks->linear_backward(hooks->self, &at, x, dy, into);
    }
    if (linear->dw)
        pl_gemm_outer(dy, x, at.rows, at.out, at.in, 1, linear->dw, k->w->back.outer);
    if (into)
        pl_gemm(dy, at.rows, at.out, linear->packed_t, at.in, into, true);
    if (!own_input || !into)
        return;
    for (int32_t i = k->stack->count - 1; i >= 0; i--) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->input_backward && (hooks->input_sites >> site & 1) != 0)
            hooks->input_backward(hooks->self, &at, into);
    }
    if (dx)
        pl_add(into, dx, (size_t)at.rows * (size_t)at.in);
}

/* Reverses block_forward: dx is the gradient of x + h, and stays the gradient of x; the result is the
 * gradient of h, free to be changed. */
static real *block_backward(const walk *k, const pl_pass *pass, int32_t layer, pl_block block, const real *x,
                            real *dx) {
    if (!k->needs.has_block && !k->needs.has_linear)
        return dx; /* nobody changes dh: one buffer serves both; dx is added to only after dh was read */
    int32_t width = k->model->config.hidden_size;
    const pl_block_at at = {.pass = pass, .layer = layer, .block = block, .rows = pass->rows, .width = width};
    real *dh = k->w->back.dh;
    memcpy(dh, dx, (size_t)pass->rows * (size_t)width * sizeof(real));
    for (int32_t i = k->stack->count - 1; i >= 0; i--) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->block_backward)
            hooks->block_backward(hooks->self, &at, x, dh, dx);
    }
    return dh;
}

static void ffn_half(const walk *k, int32_t layer, real *dx) {
    const pl_config *c = &k->model->config;
    const pl_layer_state *state = &k->w->layers[layer];
    const pl_backward_state *back = &k->w->back;
    const pl_layer *weights = &k->model->layers[layer];
    const pl_pass *tail = pl_tail_pass(k->model, k->w, layer);
    real *dh = block_backward(k, tail, layer, PL_BLOCK_FFN, state->middle, dx);
    clear(back->dproduct, tail->rows, c->intermediate_size);
    site_backward(k, tail, layer, PL_SITE_DOWN, state->product, dh, back->dproduct);
    pl_swiglu_backward(state->gate, state->up, back->dproduct, back->dgate, back->dup,
                       (size_t)tail->rows * (size_t)c->intermediate_size);
    clear(back->dnormed, tail->rows, c->hidden_size);
    site_backward(k, tail, layer, PL_SITE_UP, state->ffn_normed, back->dup, back->dnormed);
    site_backward(k, tail, layer, PL_SITE_GATE, state->ffn_normed, back->dgate, back->dnormed);
    pl_rmsnorm_backward(state->middle, weights->ffn_norm.g, state->ffn_inverse, back->dnormed, tail->rows,
                        c->hidden_size, dx, weights->ffn_norm.dg);
}

/* Reverses gather_tail: rows outside the tail get no gradient from above. */
static void scatter_tail(const walk *k) {
    const pl_backward_state *back = &k->w->back;
    int32_t hidden = k->model->config.hidden_size, query = pl_site_out(&k->model->config, PL_SITE_Q);
    clear(back->dx, k->w->pass.rows, hidden);
    clear(back->dattended, k->w->pass.rows, query);
    for (size_t i = 0; i < (size_t)k->w->tail.rows; i++) {
        size_t row = (size_t)k->w->tail_rows[i], h = (size_t)hidden, q = (size_t)query;
        memcpy(back->dx + row * h, back->dtail + i * h, h * sizeof(real));
        memcpy(back->dattended + row * q, back->dtail_attended + i * q, q * sizeof(real));
    }
}

/* The gradients of the learned rows, collected over all sequences, go back to their owners. */
static void return_memory(const walk *k, int32_t layer) {
    size_t width = (size_t)pl_site_out(&k->model->config, PL_SITE_K), row = 0;
    for (int32_t i = 0; i < k->stack->count; i++) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->memory_tokens < 1)
            continue;
        pl_memory_kv kv = {0};
        hooks->memory_kv(hooks->self, layer, &kv);
        size_t size = (size_t)hooks->memory_tokens * width;
        if (kv.dk)
            pl_add(k->w->back.dpast_k + row * width, kv.dk, size);
        if (kv.dv)
            pl_add(k->w->back.dpast_v + row * width, kv.dv, size);
        row += (size_t)hooks->memory_tokens;
    }
}

static bool memory_trains(const walk *k) {
    for (int32_t i = 0; k->needs.has_memory && i < k->stack->count; i++)
        if (k->stack->hooks[i].memory_tokens > 0 && k->stack->hooks[i].trains)
            return true;
    return false;
}

static void attention(const walk *k, int32_t layer) {
    const pl_config *c = &k->model->config;
    const pl_layer_state *state = &k->w->layers[layer];
    const pl_backward_state *back = &k->w->back;
    const pl_pass *pass = &k->w->pass;
    int32_t query = pl_site_out(c, PL_SITE_Q), key = pl_site_out(c, PL_SITE_K);
    bool past_trains = memory_trains(k);
    clear(back->dq, pass->rows, query);
    clear(back->dk, pass->rows, key);
    clear(back->dv, pass->rows, key);
    clear(back->dpast_k, past_trains ? k->w->past : 0, key);
    clear(back->dpast_v, past_trains ? k->w->past : 0, key);
    for (int32_t s = 0; s < pass->seq_count; s++) {
        size_t first = (size_t)pass->row_start[s], q = first * (size_t)query, kv = first * (size_t)key;
        const pl_attention a = {.heads = c->num_attention_heads,
                                .kv_heads = c->num_key_value_heads,
                                .head_dim = c->head_dim,
                                .rows = pass->row_start[s + 1] - pass->row_start[s],
                                .past = k->w->past,
                                .q = state->q + q,
                                .k = state->k + kv,
                                .v = state->v + kv,
                                .past_k = state->past_k,
                                .past_v = state->past_v};
        if (a.rows == 0)
            continue;
        const pl_attention_gradients g = {.out = state->attended + q,
                                          .stats = state->stats + first * (size_t)c->num_attention_heads,
                                          .dout = back->dattended + q,
                                          .dq = back->dq + q,
                                          .dk = back->dk + kv,
                                          .dv = back->dv + kv,
                                          .dpast_k = past_trains ? back->dpast_k : NULL,
                                          .dpast_v = past_trains ? back->dpast_v : NULL};
        pl_attention_backward(&a, &g, k->w->attention_scratch);
    }
    if (past_trains)
        return_memory(k, layer);
    const real *cosine = k->model->rope_cosine, *sine = k->model->rope_sine;
    pl_rope_backward(back->dq, k->w->positions, pass->rows, c->num_attention_heads, c->head_dim, cosine,
                     sine);
    pl_rope_backward(back->dk, k->w->positions, pass->rows, c->num_key_value_heads, c->head_dim, cosine,
                     sine);
}

static void attention_half(const walk *k, int32_t layer, real *dx) {
    const pl_config *c = &k->model->config;
    const pl_layer_state *state = &k->w->layers[layer];
    const pl_backward_state *back = &k->w->back;
    pl_norm norm = k->model->layers[layer].attention_norm;
    const pl_pass *pass = &k->w->pass, *tail = pl_tail_pass(k->model, k->w, layer);
    bool last = layer == c->num_hidden_layers - 1;
    real *dh = block_backward(k, tail, layer, PL_BLOCK_ATTENTION, state->tail_x, dx);
    real *dattended = last ? back->dtail_attended : back->dattended;
    clear(dattended, tail->rows, pl_site_out(c, PL_SITE_Q));
    site_backward(k, tail, layer, PL_SITE_O, state->tail_attended, dh, dattended);
    if (last)
        scatter_tail(k);
    attention(k, layer);
    /* Nothing trains below and the norm is frozen: the modules of q, k, v get their gradients, their input
     * gets none. */
    bool descend = k->lowest < layer;
    real *dnormed = descend || norm.dg ? back->dnormed : NULL;
    if (dnormed)
        clear(dnormed, pass->rows, c->hidden_size);
    site_backward(k, pass, layer, PL_SITE_V, state->normed, back->dv, dnormed);
    site_backward(k, pass, layer, PL_SITE_K, state->normed, back->dk, dnormed);
    site_backward(k, pass, layer, PL_SITE_Q, state->normed, back->dq, dnormed);
    if (dnormed)
        pl_rmsnorm_backward(state->x, norm.g, state->inverse, dnormed, pass->rows, c->hidden_size, back->dx,
                            norm.dg);
}

static void embedding_backward(const walk *k, const pl_batch *batch) {
    size_t hidden = (size_t)k->model->config.hidden_size;
    for (int32_t s = batch->seq_count - 1; s >= 0; s--) {
        int32_t tokens = pl_pass_tokens(k->w, s);
        const real *dx = k->w->back.dx + (size_t)k->w->row_start[s] * hidden;
        for (int32_t i = 0; tokens > 0 && k->stack && i < k->stack->count; i++) {
            const pl_hooks *hooks = &k->stack->hooks[i];
            if (hooks->virtual_tokens > 0 && hooks->embed_backward)
                hooks->embed_backward(hooks->self, &k->w->pass, dx);
            dx += (size_t)hooks->virtual_tokens * hidden;
        }
        if (k->model->dembedding)
            pl_embedding_backward(batch->tokens + batch->seq_start[s], dx, tokens, (int32_t)hidden,
                                  k->model->dembedding);
    }
}

/* The head's own gradient. Its logits' gradients were kept, or are made again block by block. */
static void head_weight_backward(const pl_model *model, pl_workspace *w) {
    size_t hidden = (size_t)model->config.hidden_size;
    int32_t vocab = model->config.vocab_size;
    bool kept = w->logit_rows >= w->tail.rows;
    int32_t step = kept ? w->tail.rows : PL_HEAD_BLOCK;
    for (int32_t first = 0; first < w->tail.rows; first += step) {
        int32_t count = w->tail.rows - first < step ? w->tail.rows - first : step;
        if (!kept) {
            pl_head_logits(model, w, first, count, w->logits);
            pl_cross_entropy(w->logits, w->targets + first, count, vocab, w->gradient_scale);
        }
        pl_gemm_outer(w->logits, w->final_normed + (size_t)first * hidden, count, vocab, (int32_t)hidden, 1,
                      model->head.dw, w->back.outer);
    }
}

pl_status pl_backward(pl_model *model, const pl_stack *stack, pl_workspace *workspace, const pl_batch *batch,
                      pl_error *error) {
    pl_workspace *w = workspace;
    if (!w->ready)
        return pl_fail(error, PL_ERR_STATE, "backward needs a forward pass with training on just before it");
    w->ready = false;
    int32_t layers = model->config.num_hidden_layers;
    const walk k = start(model, stack, w);
    if (w->tail.rows == 0 || k.lowest > layers)
        return PL_OK;
    if (model->head.dw)
        head_weight_backward(model, w);
    clear(w->back.dtail, w->tail.rows, model->config.hidden_size);
    pl_rmsnorm_backward(w->layers[layers - 1].out, model->final_norm.g, w->final_inverse, w->back.dfinal,
                        w->tail.rows, model->config.hidden_size, w->back.dtail, model->final_norm.dg);
    for (int32_t layer = layers - 1; layer >= 0 && layer >= k.lowest; layer--) {
        real *dx = layer == layers - 1 ? w->back.dtail : w->back.dx;
        ffn_half(&k, layer, dx);
        attention_half(&k, layer, dx);
    }
    if (k.lowest == PL_PLACE_EMBEDDING)
        embedding_backward(&k, batch);
    return PL_OK;
}
