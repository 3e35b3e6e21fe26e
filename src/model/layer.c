/* The walk through the layers, for training, evaluation and decoding alike. backward.c mirrors this file
 * bottom to top. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/workspace.h"

/* What the functions below share during one pass. */
typedef struct walk {
    const pl_model *model;
    const pl_stack *stack;
    pl_workspace *w;
    uint8_t input_sites; /* of this stack; the workspace may have room for more */
} walk;

static bool is_last(const pl_model *model, int32_t layer) {
    return layer == model->config.num_hidden_layers - 1;
}

const pl_pass *pl_tail_pass(const pl_model *model, const pl_workspace *workspace, int32_t layer) {
    return is_last(model, layer) ? &workspace->tail : &workspace->pass;
}

pl_linear_at pl_at_linear(const pl_model *model, const pl_pass *pass, int32_t layer, pl_site site) {
    const pl_linear *linear = pl_model_linear(model, layer, site);
    return (pl_linear_at){.pass = pass,
                          .linear = linear,
                          .layer = layer,
                          .site = site,
                          .rows = pass->rows,
                          .in = linear->in,
                          .out = linear->out};
}

/* y = the map of this site with everything that modules add to it. x is the shared input; a module that
 * changes it gets a copy. */
static void site_forward(const walk *k, const pl_pass *pass, int32_t layer, pl_site site, const real *x,
                         real *y) {
    const pl_linear_at at = pl_at_linear(k->model, pass, layer, site);
    if ((k->input_sites >> site & 1) != 0) {
        real *copy = k->w->layers[layer].input[site];
        memcpy(copy, x, (size_t)at.rows * (size_t)at.in * sizeof(real));
        for (int32_t i = 0; i < k->stack->count; i++) {
            const pl_hooks *hooks = &k->stack->hooks[i];
            if (hooks->input_forward && (hooks->input_sites >> site & 1) != 0)
                hooks->input_forward(hooks->self, &at, copy);
        }
        x = copy;
    }
    pl_linear_apply(at.linear, x, at.rows, y);
    for (int32_t i = 0; k->stack && i < k->stack->count; i++) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->linear_forward)
            hooks->linear_forward(hooks->self, &at, x, y);
    }
}

/* h becomes x + (h changed by the modules of this block). */
static void block_forward(const walk *k, const pl_pass *pass, int32_t layer, pl_block block, const real *x,
                          real *h) {
    int32_t width = k->model->config.hidden_size;
    const pl_block_at at = {.pass = pass, .layer = layer, .block = block, .rows = pass->rows, .width = width};
    for (int32_t i = 0; k->stack && i < k->stack->count; i++) {
        const pl_hooks *hooks = &k->stack->hooks[i];
        if (hooks->block_forward)
            hooks->block_forward(hooks->self, &at, x, h);
    }
    pl_add(x, h, (size_t)pass->rows * (size_t)width);
}

void pl_memory_gather(const pl_model *model, const pl_stack *stack, int32_t layer, real *k, real *v) {
    size_t width = (size_t)pl_site_out(&model->config, PL_SITE_K), row = 0;
    for (int32_t i = 0; stack && i < stack->count; i++) {
        const pl_hooks *hooks = &stack->hooks[i];
        if (hooks->memory_tokens < 1)
            continue;
        pl_memory_kv kv = {0};
        hooks->memory_kv(hooks->self, layer, &kv);
        size_t size = (size_t)hooks->memory_tokens * width;
        memcpy(k + row * width, kv.k, size * sizeof(real));
        memcpy(v + row * width, kv.v, size * sizeof(real));
        row += (size_t)hooks->memory_tokens;
    }
}

/* Every sequence attends to the rows in front (learned or cached) and to its own past. */
static void attention(const walk *k, pl_layer_state *state) {
    const pl_config *c = &k->model->config;
    const pl_pass *pass = &k->w->pass;
    size_t query = (size_t)pl_site_out(c, PL_SITE_Q), key = (size_t)pl_site_out(c, PL_SITE_K);
    for (int32_t s = 0; s < pass->seq_count; s++) {
        size_t first = (size_t)pass->row_start[s];
        const pl_attention a = {.heads = c->num_attention_heads,
                                .kv_heads = c->num_key_value_heads,
                                .head_dim = c->head_dim,
                                .rows = pass->row_start[s + 1] - pass->row_start[s],
                                .past = k->w->past,
                                .q = state->q + first * query,
                                .k = state->k + first * key,
                                .v = state->v + first * key,
                                .past_k = state->past_k,
                                .past_v = state->past_v};
        if (a.rows == 0)
            continue; /* a sequence without labels */
        real *stats = state->stats ? state->stats + first * (size_t)c->num_attention_heads : NULL;
        pl_attention_forward(&a, state->attended + first * query, stats, k->w->attention_scratch);
    }
}

/* Only the tail needs what follows the last attention. */
static void gather_tail(const walk *k, pl_layer_state *state) {
    size_t hidden = (size_t)k->model->config.hidden_size,
           query = (size_t)pl_site_out(&k->model->config, PL_SITE_Q);
    for (size_t i = 0; i < (size_t)k->w->tail.rows; i++) {
        size_t row = (size_t)k->w->tail_rows[i];
        memcpy(state->tail_x + i * hidden, state->x + row * hidden, hidden * sizeof(real));
        memcpy(state->tail_attended + i * query, state->attended + row * query, query * sizeof(real));
    }
}

static void attention_half(const walk *k, int32_t layer) {
    const pl_config *c = &k->model->config;
    pl_workspace *w = k->w;
    pl_layer_state *state = &w->layers[layer];
    const pl_layer *weights = &k->model->layers[layer];
    const pl_pass *pass = &w->pass;
    int32_t n = pass->rows;
    const real *cosine = k->model->rope_cosine, *sine = k->model->rope_sine;
    pl_rmsnorm_forward(state->x, weights->attention_norm.g, n, c->hidden_size, (real)c->rms_norm_eps,
                       state->normed, state->inverse);
    site_forward(k, pass, layer, PL_SITE_Q, state->normed, state->q);
    site_forward(k, pass, layer, PL_SITE_K, state->normed, state->k);
    site_forward(k, pass, layer, PL_SITE_V, state->normed, state->v);
    pl_rope_forward(state->q, w->positions, n, c->num_attention_heads, c->head_dim, cosine, sine);
    pl_rope_forward(state->k, w->positions, n, c->num_key_value_heads, c->head_dim, cosine, sine);
    if (is_last(k->model, layer) && w->tail.rows == 0)
        return; /* a decoder fills its cache and wants no logits */
    attention(k, state);
    if (is_last(k->model, layer))
        gather_tail(k, state);
    const pl_pass *tail = pl_tail_pass(k->model, w, layer);
    site_forward(k, tail, layer, PL_SITE_O, state->tail_attended, state->middle);
    block_forward(k, tail, layer, PL_BLOCK_ATTENTION, state->tail_x, state->middle);
}

static void ffn_half(const walk *k, int32_t layer) {
    const pl_config *c = &k->model->config;
    pl_layer_state *state = &k->w->layers[layer];
    const pl_pass *tail = pl_tail_pass(k->model, k->w, layer);
    if (tail->rows == 0)
        return;
    pl_rmsnorm_forward(state->middle, k->model->layers[layer].ffn_norm.g, tail->rows, c->hidden_size,
                       (real)c->rms_norm_eps, state->ffn_normed, state->ffn_inverse);
    site_forward(k, tail, layer, PL_SITE_GATE, state->ffn_normed, state->gate);
    site_forward(k, tail, layer, PL_SITE_UP, state->ffn_normed, state->up);
    pl_swiglu_forward(state->gate, state->up, state->product,
                      (size_t)tail->rows * (size_t)c->intermediate_size);
    site_forward(k, tail, layer, PL_SITE_DOWN, state->product, state->out);
    block_forward(k, tail, layer, PL_BLOCK_FFN, state->middle, state->out);
}

void pl_layers_forward(const pl_model *model, const pl_stack *stack, pl_workspace *workspace) {
    const walk k = {
        .model = model, .stack = stack, .w = workspace, .input_sites = pl_stack_collect(stack).input_sites};
    for (int32_t layer = 0; layer < model->config.num_hidden_layers; layer++) {
        attention_half(&k, layer);
        ffn_half(&k, layer);
    }
}

void pl_head_norm(const pl_model *model, pl_workspace *workspace) {
    const real *out = workspace->layers[model->config.num_hidden_layers - 1].out;
    pl_rmsnorm_forward(out, model->final_norm.g, workspace->tail.rows, model->config.hidden_size,
                       (real)model->config.rms_norm_eps, workspace->final_normed, workspace->final_inverse);
}

void pl_head_logits(const pl_model *model, const pl_workspace *workspace, int32_t first, int32_t count,
                    real *logits) {
    const real *x = workspace->final_normed + (size_t)first * (size_t)model->config.hidden_size;
    pl_linear_apply(&model->head, x, count, logits);
}
