#include "model_synthetic.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS, KEYS, VALUES, INPUT, SCALE, SHIFT, BLOCK_SCALE, BLOCK_SHIFT };
enum {
    SAVED_INPUT,
    SAVED_Y = PL_SITE_COUNT,
    SAVED_BLOCK = 2 * PL_SITE_COUNT,
    SAVED_PLACES = SAVED_BLOCK + PL_BLOCK_COUNT
};

static void add(synthetic *m, int32_t layer, int32_t site, int32_t slot, int64_t rows, int64_t cols,
                double mean) {
    pl_tensor tensor = pl_tensor_matrix(layer, site, slot, rows, cols, PL_INIT_NORMAL, 0.3);
    tensor.lr_scale = (float)mean; /* remembered until the values are filled */
    pl_tensor_name(&tensor, "layer %d place %d slot %d", layer, site, slot);
    pl_layout_add(&m->layout, &tensor);
}

static void declare_layer(synthetic *m, int32_t layer) {
    const pl_config *c = &m->config;
    if (m->kinds.memory_tokens > 0) {
        add(m, layer, PL_NONE, KEYS, m->kinds.memory_tokens, pl_site_out(c, PL_SITE_K), 0);
        add(m, layer, PL_NONE, VALUES, m->kinds.memory_tokens, pl_site_out(c, PL_SITE_K), 0);
    }
    if (layer < m->kinds.first_layer)
        return;
    for (int32_t s = 0; s < PL_SITE_COUNT; s++) {
        if ((m->kinds.input_sites >> s & 1) != 0)
            add(m, layer, s, INPUT, 1, pl_site_in(c, (pl_site)s), 1);
        if ((m->kinds.linear_sites >> s & 1) == 0)
            continue;
        add(m, layer, s, SCALE, 1, pl_site_out(c, (pl_site)s), 1);
        add(m, layer, s, SHIFT, 1, pl_site_out(c, (pl_site)s), 0);
    }
    for (int32_t b = 0; b < PL_BLOCK_COUNT; b++)
        if ((m->kinds.blocks >> b & 1) != 0) {
            add(m, layer, b, BLOCK_SCALE, 1, c->hidden_size, 1);
            add(m, layer, b, BLOCK_SHIFT, 1, c->hidden_size, 0);
        }
}

static int32_t widest(const pl_config *c) {
    int32_t width = c->hidden_size;
    for (int32_t s = 0; s < PL_SITE_COUNT; s++) {
        width = pl_site_in(c, (pl_site)s) > width ? pl_site_in(c, (pl_site)s) : width;
        width = pl_site_out(c, (pl_site)s) > width ? pl_site_out(c, (pl_site)s) : width;
    }
    return width;
}

synthetic *synthetic_make(pl_memory *memory, const pl_config *config, const synthetic_kinds *kinds,
                          int32_t rows_max, uint64_t seed) {
    synthetic *m = pl_memory_alloc(memory, 1, sizeof *m);
    if (!m)
        abort();
    *m = (synthetic){.kinds = *kinds, .config = *config, .rows_max = rows_max, .lowest_layer = PL_LAYERS_MAX};
    m->layout = pl_layout_make(memory, NULL);
    if (kinds->virtual_tokens > 0)
        add(m, PL_NONE, PL_NONE, ROWS, kinds->virtual_tokens, config->hidden_size, 0);
    for (int32_t l = 0; l < config->num_hidden_layers; l++)
        declare_layer(m, l);
    size_t places = (size_t)config->num_hidden_layers * SAVED_PLACES;
    m->values = pl_memory_alloc(memory, (size_t)m->layout.extent, sizeof(real));
    m->gradients = pl_memory_alloc(memory, (size_t)m->layout.extent, sizeof(real));
    m->saved = pl_memory_alloc(memory, places * (size_t)rows_max * (size_t)widest(config), sizeof(real));
    if (!m->values || !m->gradients || !m->saved)
        abort();
    pl_layout_fill(&m->layout, seed, m->values);
    for (int32_t i = 0; i < m->layout.count; i++)
        for (int64_t j = 0; j < m->layout.tensors[i].rows * m->layout.tensors[i].cols; j++)
            m->values[m->layout.tensors[i].offset + j] += (real)m->layout.tensors[i].lr_scale;
    return m;
}

static int64_t find(const synthetic *m, int32_t layer, int32_t site, int32_t slot) {
    for (int32_t i = 0; i < m->layout.count; i++) {
        const pl_tensor *t = &m->layout.tensors[i];
        if (t->layer == layer && t->site == site && t->slot == slot)
            return t->offset;
    }
    return -1;
}

static real *saved(const synthetic *m, int32_t layer, int32_t place) {
    size_t index = (size_t)layer * SAVED_PLACES + (size_t)place;
    return m->saved + index * (size_t)m->rows_max * (size_t)widest(&m->config);
}

static void keep(const synthetic *m, int32_t layer, int32_t place, const real *x, int32_t rows,
                 int32_t width) {
    if (rows > m->rows_max)
        abort();
    memcpy(saved(m, layer, place), x, (size_t)rows * (size_t)width * sizeof(real));
}

/* Every hook sees a pass that describes the rows it gets. */
static void demand_rows(const pl_pass *pass, int32_t rows) {
    if (pass->rows != rows || pass->row_start[pass->seq_count] != rows)
        abort();
}

static void embed_forward(void *self, const pl_pass *pass, real *x) {
    const synthetic *m = self;
    (void)pass;
    size_t size = (size_t)m->kinds.virtual_tokens * (size_t)m->config.hidden_size;
    memcpy(x, m->values + find(m, PL_NONE, PL_NONE, ROWS), size * sizeof(real));
}

static void embed_backward(void *self, const pl_pass *pass, const real *dx) {
    const synthetic *m = self;
    (void)pass;
    real *de = m->gradients + find(m, PL_NONE, PL_NONE, ROWS);
    for (int32_t i = 0; i < m->kinds.virtual_tokens * m->config.hidden_size; i++)
        de[i] += dx[i];
}

static void memory_kv(void *self, int32_t layer, pl_memory_kv *out) {
    const synthetic *m = self;
    int64_t k = find(m, layer, PL_NONE, KEYS), v = find(m, layer, PL_NONE, VALUES);
    *out = (pl_memory_kv){m->values + k, m->values + v, m->gradients + k, m->gradients + v};
}

static void input_forward(void *self, const pl_linear_at *at, real *x) {
    const synthetic *m = self;
    demand_rows(at->pass, at->rows);
    int64_t offset = find(m, at->layer, (int32_t)at->site, INPUT);
    if (offset < 0)
        return;
    const real *s = m->values + offset;
    if (at->pass->training)
        keep(m, at->layer, SAVED_INPUT + (int32_t)at->site, x, at->rows, at->in);
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t i = 0; i < at->in; i++)
            x[r * at->in + i] *= s[i];
}

static void input_backward(void *self, const pl_linear_at *at, real *dx) {
    const synthetic *m = self;
    demand_rows(at->pass, at->rows);
    int64_t offset = find(m, at->layer, (int32_t)at->site, INPUT);
    if (offset < 0)
        return;
    const real *x = saved(m, at->layer, SAVED_INPUT + (int32_t)at->site);
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t i = 0; i < at->in; i++) {
            m->gradients[offset + i] += dx[r * at->in + i] * x[r * at->in + i];
            dx[r * at->in + i] *= m->values[offset + i];
        }
}

/* Dropped-out x, in the scratch place behind the saved outputs. */
static real *dropped(const synthetic *m, const pl_linear_at *at, const real *x) {
    real *y = malloc((size_t)at->rows * (size_t)at->in * sizeof(real) + 1);
    if (!y)
        abort();
    pl_pass_dropout(at->pass, (uint64_t)(at->layer * 100 + (int32_t)at->site), (real)m->kinds.dropout, x,
                    at->in, y);
    return y;
}

static void linear_forward(void *self, const pl_linear_at *at, const real *x, real *y) {
    const synthetic *m = self;
    demand_rows(at->pass, at->rows);
    int64_t l = find(m, at->layer, (int32_t)at->site, SCALE),
            c = find(m, at->layer, (int32_t)at->site, SHIFT);
    if (l < 0)
        return;
    if (at->pass->training)
        keep(m, at->layer, SAVED_Y + (int32_t)at->site, y, at->rows, at->out);
    real *input = dropped(m, at, x);
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t o = 0; o < at->out; o++)
            y[r * at->out + o] =
                y[r * at->out + o] * m->values[l + o] + m->values[c + o] * input[r * at->in + o % at->in];
    free(input);
}

static void linear_backward(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx) {
    synthetic *m = self;
    demand_rows(at->pass, at->rows);
    m->backward_calls++;
    m->lowest_layer = at->layer < m->lowest_layer ? at->layer : m->lowest_layer;
    if (at->layer == m->lowest_layer && at->site <= PL_SITE_V) {
        m->dx_given = m->dx_given || dx;
        m->dx_missing = m->dx_missing || !dx;
    }
    int64_t l = find(m, at->layer, (int32_t)at->site, SCALE),
            c = find(m, at->layer, (int32_t)at->site, SHIFT);
    if (l < 0)
        return;
    const real *y = saved(m, at->layer, SAVED_Y + (int32_t)at->site);
    real *input = dropped(m, at, x), *back = calloc((size_t)at->rows * (size_t)at->in, sizeof(real));
    if (!back)
        abort();
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t o = 0; o < at->out; o++) {
            real g = dy[r * at->out + o];
            m->gradients[l + o] += g * y[r * at->out + o];
            m->gradients[c + o] += g * input[r * at->in + o % at->in];
            back[r * at->in + o % at->in] += g * m->values[c + o];
            dy[r * at->out + o] = g * m->values[l + o];
        }
    pl_pass_dropout(at->pass, (uint64_t)(at->layer * 100 + (int32_t)at->site), (real)m->kinds.dropout, back,
                    at->in, back);
    for (int32_t i = 0; dx && i < at->rows * at->in; i++)
        dx[i] += back[i];
    free(input);
    free(back);
}

static void block_forward(void *self, const pl_block_at *at, const real *x, real *h) {
    const synthetic *m = self;
    demand_rows(at->pass, at->rows);
    int32_t block = (int32_t)at->block;
    int64_t b = find(m, at->layer, block, BLOCK_SCALE), a = find(m, at->layer, block, BLOCK_SHIFT);
    if (b < 0)
        return;
    if (at->pass->training)
        keep(m, at->layer, SAVED_BLOCK + block, h, at->rows, at->width);
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t i = 0; i < at->width; i++) {
            int32_t j = r * at->width + i;
            h[j] = h[j] * m->values[b + i] + m->values[a + i] * x[j];
        }
}

static void block_backward(void *self, const pl_block_at *at, const real *x, real *dh, real *dx) {
    synthetic *m = self;
    demand_rows(at->pass, at->rows);
    m->backward_calls++;
    m->lowest_layer = at->layer < m->lowest_layer ? at->layer : m->lowest_layer;
    int32_t block = (int32_t)at->block;
    int64_t b = find(m, at->layer, block, BLOCK_SCALE), a = find(m, at->layer, block, BLOCK_SHIFT);
    if (b < 0)
        return;
    const real *h = saved(m, at->layer, SAVED_BLOCK + block);
    for (int32_t r = 0; r < at->rows; r++)
        for (int32_t i = 0; i < at->width; i++) {
            int32_t j = r * at->width + i;
            m->gradients[b + i] += dh[j] * h[j];
            m->gradients[a + i] += dh[j] * x[j];
            dx[j] += dh[j] * m->values[a + i];
            dh[j] *= m->values[b + i];
        }
}

void synthetic_push(pl_stack *stack, synthetic *module, bool trains) {
    const synthetic_kinds *kinds = &module->kinds;
    stack->hooks[stack->count++] =
        (pl_hooks){.self = module,
                   .virtual_tokens = kinds->virtual_tokens,
                   .memory_tokens = kinds->memory_tokens,
                   .memory_shifts = kinds->memory_shifts,
                   .trains = trains,
                   .first_layer = kinds->memory_tokens > 0 ? 0 : kinds->first_layer,
                   .input_sites = kinds->input_sites,
                   .embed_forward = embed_forward,
                   .embed_backward = embed_backward,
                   .memory_kv = memory_kv,
                   .input_forward = input_forward,
                   .input_backward = input_backward,
                   .linear_forward = linear_forward,
                   .linear_backward = linear_backward,
                   .block_forward = block_forward,
                   .block_backward = block_backward};
}
