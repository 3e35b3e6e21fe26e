/* Every buffer of a pass, placed in one block. The same code counts (base NULL) and places, so plan and use
 * cannot drift apart. */
#include <string.h>

#include "kernels/kernels.h"
#include "model/workspace.h"

enum {
    PL_PLACE_ALIGN = 64,
    PL_LOGITS_KEPT = 1 << 22 /* logits kept for the head's own gradient: 16 MiB of float at most */
};

/* A block being laid out; base NULL only counts its bytes. */
typedef struct plan {
    char *base;
    int64_t bytes;
} plan;

static void *take(plan *p, int64_t count, size_t size) {
    char *at = p->base ? p->base + p->bytes : NULL;
    p->bytes += (count * (int64_t)size + PL_PLACE_ALIGN - 1) / PL_PLACE_ALIGN * PL_PLACE_ALIGN;
    return at;
}

static real *reals(plan *p, int64_t rows, int64_t width) { return take(p, rows * width, sizeof(real)); }

/* The shapes that decide every size. */
typedef struct shape {
    const pl_config *config;
    int64_t rows, tail, hidden, query, key, ffn; /* widths */
    int32_t past, cache_rows;
    uint8_t input_sites;
    bool training;
} shape;

pl_stack_needs pl_stack_collect(const pl_stack *stack) {
    pl_stack_needs needs = {0};
    for (int32_t i = 0; stack && i < stack->count; i++) {
        const pl_hooks *hooks = &stack->hooks[i];
        needs.virtual_tokens += hooks->virtual_tokens;
        needs.memory_tokens += hooks->memory_tokens;
        needs.shift += hooks->memory_shifts ? hooks->memory_tokens : 0;
        needs.input_sites = (uint8_t)(needs.input_sites | hooks->input_sites);
        needs.has_memory = needs.has_memory || hooks->memory_tokens > 0;
        needs.has_linear = needs.has_linear || hooks->linear_forward || hooks->linear_backward;
        needs.has_block = needs.has_block || hooks->block_forward || hooks->block_backward;
    }
    return needs;
}

/* Buffers that only the pass up to attention uses (n rows). */
static void plan_attention_half(plan *p, const shape *s, pl_layer_state *state) {
    state->normed = reals(p, s->rows, s->hidden);
    state->inverse = reals(p, s->rows, 1);
    state->q = reals(p, s->rows, s->query);
    if (!s->cache_rows) {
        state->k = reals(p, s->rows, s->key);
        state->v = reals(p, s->rows, s->key);
    }
    state->attended = reals(p, s->rows, s->query);
    state->stats = s->training ? reals(p, s->rows, s->config->num_attention_heads) : NULL;
    state->tail_attended = state->attended;
}

/* Buffers behind attention, for `tail` rows. */
static void plan_ffn_half(plan *p, const shape *s, int64_t tail, pl_layer_state *state) {
    state->middle = reals(p, tail, s->hidden);
    state->ffn_normed = reals(p, tail, s->hidden);
    state->ffn_inverse = reals(p, tail, 1);
    state->gate = reals(p, tail, s->ffn);
    state->up = reals(p, tail, s->ffn);
    state->product = reals(p, tail, s->ffn);
}

static void plan_inputs(plan *p, const shape *s, int64_t tail, pl_layer_state *state) {
    for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
        int64_t rows = site < PL_SITE_O ? s->rows : tail;
        bool wanted = (s->input_sites >> site & 1) != 0;
        state->input[site] = wanted ? reals(p, rows, pl_site_in(s->config, (pl_site)site)) : NULL;
    }
}

/* The last layer gathers its tail rows into buffers of their own. */
static void plan_tail(plan *p, const shape *s, pl_layer_state *state) {
    state->tail_x = reals(p, s->tail, s->hidden);
    state->tail_attended = reals(p, s->tail, s->query);
}

/* One set of buffers per layer, because backward needs them all. */
static void plan_layers_kept(plan *p, const shape *s, pl_layer_state *layers) {
    int32_t last = s->config->num_hidden_layers - 1;
    real *x = reals(p, s->rows, s->hidden);
    for (int32_t l = 0; l <= last; l++) {
        int64_t tail = l == last ? s->tail : s->rows;
        pl_layer_state state = {.x = x, .tail_x = x};
        plan_attention_half(p, s, &state);
        plan_ffn_half(p, s, tail, &state);
        plan_inputs(p, s, tail, &state);
        if (l == last)
            plan_tail(p, s, &state);
        state.out = x = reals(p, tail, s->hidden);
        if (layers)
            layers[l] = state;
    }
}

/* One set for all layers; the residual stream alternates between x and middle. */
static void plan_layers_shared(plan *p, const shape *s, pl_layer_state *layers) {
    int32_t last = s->config->num_hidden_layers - 1;
    pl_layer_state state = {.x = reals(p, s->rows, s->hidden)};
    state.out = state.tail_x = state.x;
    plan_attention_half(p, s, &state);
    plan_ffn_half(p, s, s->rows, &state);
    plan_inputs(p, s, s->rows, &state);
    for (int32_t l = 0; layers && l <= last; l++)
        layers[l] = state;
    plan_tail(p, s, &state);
    if (layers)
        layers[last] = state;
}

static void plan_past(plan *p, const shape *s, pl_layer_state *layers) {
    for (int32_t l = 0; l < s->config->num_hidden_layers; l++) {
        int64_t rows = s->cache_rows ? s->cache_rows : s->past;
        real *k = reals(p, rows, s->key), *v = reals(p, rows, s->key);
        if (layers) {
            layers[l].past_k = k;
            layers[l].past_v = v;
        }
    }
}

static int64_t widest_input(const shape *s) {
    int64_t widest = 0;
    for (int32_t site = 0; site < PL_SITE_COUNT; site++)
        if ((s->input_sites >> site & 1) != 0 && pl_site_in(s->config, (pl_site)site) > widest)
            widest = pl_site_in(s->config, (pl_site)site);
    return widest;
}

/* pl_gemm_outer wants its x packed; the widest x of any map, the head included, is one of these. */
static int64_t outer_scratch(const shape *s) {
    int64_t widest = s->hidden > s->query ? s->hidden : s->query;
    widest = widest > s->ffn ? widest : s->ffn;
    return pl_pack_size((int32_t)widest, (int32_t)s->rows);
}

static void plan_backward(plan *p, const shape *s, pl_backward_state *back) {
    back->dx = reals(p, s->rows, s->hidden);
    back->dtail = reals(p, s->tail, s->hidden);
    back->dh = reals(p, s->rows, s->hidden);
    back->dnormed = reals(p, s->rows, s->hidden);
    back->dattended = reals(p, s->rows, s->query);
    back->dtail_attended = reals(p, s->tail, s->query);
    back->dq = reals(p, s->rows, s->query);
    back->dk = reals(p, s->rows, s->key);
    back->dv = reals(p, s->rows, s->key);
    back->dpast_k = reals(p, s->past, s->key);
    back->dpast_v = reals(p, s->past, s->key);
    back->dproduct = reals(p, s->rows, s->ffn);
    back->dgate = reals(p, s->rows, s->ffn);
    back->dup = reals(p, s->rows, s->ffn);
    back->dinput = reals(p, s->rows, widest_input(s));
    back->dfinal = reals(p, s->tail, s->hidden);
    back->outer = reals(p, outer_scratch(s), 1);
}

static void plan_pass(plan *p, const pl_extent *extent, pl_workspace *w) {
    w->row_start = take(p, (int64_t)extent->seqs + 1, sizeof(int32_t));
    w->tail_start = take(p, (int64_t)extent->seqs + 1, sizeof(int32_t));
    w->streams = take(p, extent->seqs, sizeof(uint64_t));
    w->positions = take(p, extent->rows, sizeof(int32_t));
    w->tail_rows = take(p, extent->labels, sizeof(int32_t));
    w->targets = take(p, extent->labels, sizeof(int32_t));
}

/* Training keeps all logits where they are few enough: a trained head then needs them only once. */
static int32_t rows_of_logits(const pl_config *config, const pl_extent *extent) {
    if (extent->training && (int64_t)extent->labels * config->vocab_size <= PL_LOGITS_KEPT)
        return extent->labels;
    return extent->labels < PL_HEAD_BLOCK ? extent->labels : PL_HEAD_BLOCK;
}

static void plan_workspace(plan *p, const pl_config *config, pl_workspace *w) {
    shape s = {.config = config,
               .rows = w->extent.rows,
               .tail = w->extent.labels,
               .hidden = config->hidden_size,
               .query = pl_site_out(config, PL_SITE_Q),
               .key = pl_site_out(config, PL_SITE_K),
               .ffn = config->intermediate_size,
               .past = w->past_max,
               .cache_rows = w->cache_rows,
               .input_sites = w->input_sites,
               .training = w->extent.training};
    w->logit_rows = rows_of_logits(config, &w->extent);
    w->layers = take(p, config->num_hidden_layers, sizeof *w->layers);
    plan_pass(p, &w->extent, w);
    if (s.training)
        plan_layers_kept(p, &s, w->layers);
    else
        plan_layers_shared(p, &s, w->layers);
    plan_past(p, &s, w->layers);
    if (s.training)
        plan_backward(p, &s, &w->back);
    w->final_normed = reals(p, s.tail, s.hidden);
    w->final_inverse = reals(p, s.tail, 1);
    w->logits = reals(p, w->logit_rows, config->vocab_size);
    int32_t past = s.cache_rows ? s.cache_rows : s.past;
    w->attention_scratch = reals(p, pl_attention_scratch(w->extent.rows, past, config->head_dim), 1);
}

static pl_workspace describe(const pl_stack *stack, const pl_extent *extent, int32_t cache_rows) {
    pl_stack_needs needs = pl_stack_collect(stack);
    return (pl_workspace){.extent = *extent,
                          .past_max = cache_rows ? 0 : needs.memory_tokens,
                          .cache_rows = cache_rows,
                          .input_sites = needs.input_sites};
}

pl_status pl_workspace_make(pl_memory *memory, const pl_config *config, const pl_stack *stack,
                            const pl_extent *extent, int32_t cache_rows, pl_workspace **workspace,
                            pl_error *error) {
    *workspace = NULL;
    if (extent->rows < 1 || extent->seqs < 1 || extent->labels < 0 || extent->labels > extent->rows)
        return pl_fail(error, PL_ERR_RANGE,
                       "a pass of %d rows, %d sequences and %d labels is not possible; rows and sequences "
                       "start at 1 and "
                       "there are at most as many labels as rows",
                       extent->rows, extent->seqs, extent->labels);
    pl_workspace made = describe(stack, extent, cache_rows);
    plan counting = {0};
    plan_workspace(&counting, config, &made);
    size_t header = (sizeof made + PL_PLACE_ALIGN - 1) / PL_PLACE_ALIGN * PL_PLACE_ALIGN;
    char *block = pl_memory_alloc(memory, header + (uint64_t)counting.bytes, 1);
    if (!block)
        return pl_fail(error, PL_ERR_MEMORY,
                       "no memory for a pass of %d rows (%lld MiB); use a smaller batch or shorter sequences",
                       extent->rows, (long long)(counting.bytes >> 20));
    plan placing = {.base = block + header};
    plan_workspace(&placing, config, &made);
    made.memory = memory;
    memcpy(block, &made, sizeof made);
    *workspace = (pl_workspace *)(void *)block;
    return PL_OK;
}

pl_status pl_workspace_create(pl_memory *memory, const pl_model *model, const pl_stack *stack,
                              const pl_extent *extent, pl_workspace **workspace, pl_error *error) {
    return pl_workspace_make(memory, &model->config, stack, extent, 0, workspace, error);
}

void pl_workspace_free(pl_workspace *workspace) {
    if (workspace)
        pl_memory_free(workspace->memory, workspace);
}
