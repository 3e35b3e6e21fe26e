/* Causal grouped-query attention of one sequence, per head:
 *   S = Q K^T / sqrt(d),  P = softmax of each row of S over the keys it may see,  O = P V
 *   L = log of the softmax's denominator
 * Backward keeps only L and O (as Dao et al. 2022) and forms P = e^(S - L) again:
 *   dV = P^T dO,  dP = dO V^T,  dS = P (dP - D) / sqrt(d) with D_i = dO_i . O_i,  dQ = dS K,  dK = dS^T Q
 *
 * Keys, values and, backward, queries and dO are packed once per head, and every product
 * runs on the micro-kernels of tile.h. Key j of `past` and own key j - past differ only in where packing
 * reads them, and a score, a row's sum and an output are each summed in key order from zero. Hence decoding
 * with cached keys gives the bits of the training forward pass. Rows of a block that see fewer keys than its
 * last row add e^-inf = 0 or 0 * v: no bit changes. */
#include "kernels/kernels.h"
#include "kernels/tile.h"
#include "simd/vecmath.h"

#include <math.h>

enum {
    TILE_ROWS = 4,      /* one tile high: the least work above the diagonal */
    BACKWARD_ROWS = 32, /* several tiles, so that dK and dV are read and written less often */
};

typedef struct pl_head {
    size_t keys, padded_keys, padded_dim; /* past + rows; rounded up to whole panels */
    size_t q_step, kv_step;               /* reals per row of q, k */
    real scale;                           /* 1 / sqrt(head_dim) */
} pl_head;

static size_t round_to(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t round_up(size_t n) { return round_to(n, PL_PANEL); }

static pl_head head_of(const pl_attention *a) {
    const size_t keys = (size_t)a->past + (size_t)a->rows;
    return (pl_head){.keys = keys,
                     .padded_keys = round_up(keys),
                     .padded_dim = round_up((size_t)a->head_dim),
                     .q_step = (size_t)a->heads * (size_t)a->head_dim,
                     .kv_step = (size_t)a->kv_heads * (size_t)a->head_dim,
                     .scale = (real)(1.0 / sqrt((double)a->head_dim))};
}

static int64_t whole_panels(int64_t n) { return (n + PL_PANEL - 1) / PL_PANEL * PL_PANEL; }

int64_t pl_attention_scratch(int32_t rows, int32_t past, int32_t head_dim) {
    const int64_t keys = (int64_t)past + rows, padded = whole_panels(keys), dim = whole_panels(head_dim);
    const int64_t packed = 2 * padded * head_dim + dim * keys + 2 * dim * rows;
    return packed + 2 * padded * BACKWARD_ROWS; /* the backward pass needs more than the forward pass */
}

/* Keys as panels over keys ([c][8 keys]): scores and dP. own/past point at the head's first column. */
static void pack_over_keys(const real *past, const real *own, const pl_attention *a, const pl_head *h,
                           real *packed) {
    const size_t d = (size_t)a->head_dim, whole = (size_t)a->past / PL_PANEL * PL_PANEL,
                 rest = (size_t)a->past - whole;
    pl_pack_rows(past, h->kv_step, (int32_t)whole, a->head_dim, packed);
    packed += whole * d;
    size_t row = 0;
    if (rest > 0) { /* the panel in which the past ends and the own rows begin */
        for (size_t c = 0; c < PL_PANEL; c++) {
            const size_t j = whole + c;
            const real *from =
                j < (size_t)a->past ? past + j * h->kv_step : own + (j - (size_t)a->past) * h->kv_step;
            for (size_t i = 0; i < d && j < h->keys; i++)
                packed[i * PL_PANEL + c] = from[i];
            for (size_t i = 0; i < d && j >= h->keys; i++)
                packed[i * PL_PANEL + c] = (real)0;
        }
        packed += PL_PANEL * d;
        row = PL_PANEL - rest;
    }
    if (row < (size_t)a->rows)
        pl_pack_rows(own + row * h->kv_step, h->kv_step, a->rows - (int32_t)row, a->head_dim, packed);
}

/* Values as panels over the head's columns ([key][8 columns]): weighted sums of values, dQ. */
static void pack_over_columns(const real *past, const real *own, const pl_attention *a, const pl_head *h,
                              real *packed) {
    for (int32_t c = 0; c < a->head_dim; c += PL_PANEL, packed += h->keys * PL_PANEL) {
        const int32_t columns = a->head_dim - c < PL_PANEL ? a->head_dim - c : PL_PANEL;
        pl_pack_columns(past + c, h->kv_step, a->past, columns, packed);
        pl_pack_columns(own + c, h->kv_step, a->rows, columns, packed + (size_t)a->past * PL_PANEL);
    }
}

/* c[m, keys] = rows of x times keys (or values), as far as key `limit`, rounded up to whole panels. */
static void times_keys(const pl_attention *a, const pl_head *h, const real *x, int32_t m, const real *packed,
                       size_t limit, real *c) {
    pl_tile_rows(&(pl_tile){.a = x,
                            .a_step = h->q_step,
                            .b = packed,
                            .b_panel = (size_t)a->head_dim * PL_PANEL,
                            .c = c,
                            .c_step = h->padded_keys,
                            .m = m,
                            .k = a->head_dim,
                            .n = (int32_t)round_up(limit),
                            .add = false,
                            .scale = (real)1});
}

/* c[m, head_dim] (=, +=) weights[m, limit] times values (or keys) */
static void times_values(const pl_attention *a, const pl_head *h, const real *weights, int32_t m,
                         const real *packed, size_t limit, real *c, bool add) {
    pl_tile_rows(&(pl_tile){.a = weights,
                            .a_step = h->padded_keys,
                            .b = packed,
                            .b_panel = h->keys * PL_PANEL,
                            .c = c,
                            .c_step = h->q_step,
                            .m = m,
                            .k = (int32_t)limit,
                            .n = a->head_dim,
                            .add = add,
                            .scale = (real)1});
}

/* x in the first `count` lanes, `other` in the rest. */
PL_INLINE pl_vec first_lanes(pl_vec x, size_t count, pl_vec other) {
    const pl_vec lane = vec_set((real)0, (real)1, (real)2, (real)3);
    return vec_select(vec_less(lane, vec_splat((real)(int32_t)count)), x, other);
}

static void clear(real *s, size_t from, size_t to) { /* whole vectors: rows of scores are padded */
    for (; from < to; from += PL_LANES)
        vec_store(s + from, vec_zero());
}

/* s[0, seen) -> e^(scale (s - max)), zeros up to `limit`; returns the sum and the scaled maximum. */
static real exponentials(real *s, size_t seen, size_t limit, real scale, real *largest) {
    const size_t whole = seen - seen % PL_LANES;
    const pl_vec none = vec_splat((real)-INFINITY),
                 tail = whole < seen ? first_lanes(vec_load(s + whole), seen - whole, none) : none;
    pl_vec m = tail, m2 = none, sum = vec_zero();
    size_t j = 0;
    for (; j + 2 * PL_LANES <= whole; j += 2 * PL_LANES) {
        m = vec_max(m, vec_load(s + j));
        m2 = vec_max(m2, vec_load(s + j + PL_LANES));
    }
    m = vec_max(m, m2);
    if (j < whole)
        m = vec_max(m, vec_load(s + j));
    const pl_vec top = vec_splat(vec_largest(m)), by = vec_splat(scale);
    for (j = 0; j < whole; j += PL_LANES) {
        const pl_vec e = vec_exp_below(vec_mul(by, vec_sub(vec_load(s + j), top)));
        sum = vec_add(sum, e);
        vec_store(s + j, e);
    }
    if (whole < seen) {
        const pl_vec e = vec_exp_below(vec_mul(by, vec_sub(tail, top)));
        sum = vec_add(sum, e);
        vec_store(s + whole, e);
    }
    clear(s, round_to(seen, PL_LANES), limit);
    *largest = scale * vec_lane(top, 0);
    return vec_sum(sum);
}

static void forward_block(const pl_attention *a, const pl_head *h, int32_t head, int32_t row,
                          const real *keys, const real *values, real *s, real *out, real *stats) {
    const int32_t m = a->rows - row < TILE_ROWS ? a->rows - row : TILE_ROWS;
    const size_t limit = (size_t)(a->past + row + m),
                 at = (size_t)row * h->q_step + (size_t)(head * a->head_dim);
    real total[TILE_ROWS];
    times_keys(a, h, a->q + at, m, keys, limit, s);
    for (int32_t i = 0; i < m; i++) {
        real largest;
        total[i] = exponentials(s + (size_t)i * h->padded_keys, (size_t)(a->past + row + i + 1), limit,
                                h->scale, &largest);
        if (stats)
            stats[(size_t)(row + i) * (size_t)a->heads + (size_t)head] =
                largest + (real)pl_log((double)total[i]);
    }
    times_values(a, h, s, m, values, limit, out + at, false);
    for (int32_t i = 0; i < m; i++)
        pl_scale(out + at + (size_t)i * h->q_step, (real)1 / total[i], (size_t)a->head_dim);
}

void pl_attention_forward(const pl_attention *a, real *out, real *stats, real *scratch) {
    const pl_head h = head_of(a);
    const int32_t group = a->heads / a->kv_heads;
    real *keys = scratch, *values = keys + h.padded_keys * (size_t)a->head_dim,
         *s = values + h.padded_dim * h.keys;
    for (int32_t kv = 0; kv < a->kv_heads; kv++) {
        const size_t at = (size_t)kv * (size_t)a->head_dim;
        const real *past_k = (a->past > 0 ? a->past_k : a->k) + at,
                   *past_v = (a->past > 0 ? a->past_v : a->v) + at;
        pack_over_keys(past_k, a->k + at, a, &h, keys);
        pack_over_columns(past_v, a->v + at, a, &h, values);
        for (int32_t head = kv * group; head < (kv + 1) * group; head++)
            for (int32_t row = 0; row < a->rows; row += TILE_ROWS)
                forward_block(a, &h, head, row, keys, values, s, out, stats);
    }
}

/* ---- backward ------------------------------------------------------------------------------------------ */

typedef struct pl_back { /* operands of one head in scratch; see the file comment */
    real *keys, *values; /* over keys: [c][8] */
    real *key_rows;      /* over columns: [key][8] */
    real *q, *dout;      /* over columns: [row][8] */
    real *p, *ds;        /* [BACKWARD_ROWS, padded_keys] each */
} pl_back;

static pl_back place(const pl_attention *a, const pl_head *h, real *scratch) {
    const size_t over_keys = h->padded_keys * (size_t)a->head_dim, rows = h->padded_dim * (size_t)a->rows;
    pl_back b;
    b.keys = scratch;
    b.values = b.keys + over_keys;
    b.key_rows = b.values + over_keys;
    b.q = b.key_rows + h->padded_dim * h->keys;
    b.dout = b.q + rows;
    b.p = b.dout + rows;
    b.ds = b.p + BACKWARD_ROWS * h->padded_keys;
    return b;
}

static real dot(const real *x, const real *y, size_t n) {
    const size_t whole = n - n % PL_LANES;
    pl_vec sum =
        vec_mul(vec_load_part(x + whole, n - whole, (real)0), vec_load_part(y + whole, n - whole, (real)0));
    for (size_t i = 0; i < whole; i += PL_LANES)
        sum = vec_madd(sum, vec_load(x + i), vec_load(y + i));
    return vec_sum(sum);
}

/* p: scores -> probabilities; ds: dP -> dS. Zero from `seen` to `limit`. */
static void row_backward(real *p, real *ds, size_t seen, size_t limit, real scale, real stat, real d) {
    const pl_vec by = vec_splat(scale), log_sum = vec_splat(stat), mean = vec_splat(d);
    pl_vec e = vec_zero(), g = vec_zero();
    for (size_t j = 0; j < seen; j += PL_LANES) {
        e = vec_exp_below(vec_sub(vec_mul(by, vec_load(p + j)), log_sum));
        g = vec_mul(vec_mul(e, vec_sub(vec_load(ds + j), mean)), by);
        vec_store(p + j, e);
        vec_store(ds + j, g);
    }
    const size_t last = (seen - 1) / PL_LANES * PL_LANES;
    vec_store(p + last, first_lanes(e, seen - last, vec_zero()));
    vec_store(ds + last, first_lanes(g, seen - last, vec_zero()));
    clear(p, last + PL_LANES, limit);
    clear(ds, last + PL_LANES, limit);
}

/* c[keys, head_dim] += w[m, keys]^T x for keys [from, to); x packed over columns. */
static void add_to_keys(const pl_attention *a, const pl_head *h, const real *w, int32_t m, const real *x,
                        size_t from, size_t to, real *c) {
    pl_tile_columns(&(pl_tile){.a = w + from,
                               .a_step = h->padded_keys,
                               .b = x,
                               .b_panel = (size_t)a->rows * PL_PANEL,
                               .c = c,
                               .c_step = h->kv_step,
                               .m = (int32_t)(to - from),
                               .k = m,
                               .n = a->head_dim,
                               .add = true,
                               .scale = (real)1});
}

/* Probabilities and dS of m rows (one tile high) into p and ds, zero up to `end`; dq of these rows. */
static void backward_rows(const pl_attention *a, const pl_attention_gradients *g, const pl_head *h,
                          int32_t head, int32_t row, int32_t m, const pl_back *b, real *p, real *ds,
                          size_t end) {
    const size_t past = (size_t)a->past, limit = past + (size_t)(row + m), dim = (size_t)a->head_dim;
    const size_t at = (size_t)row * h->q_step + (size_t)head * dim;
    times_keys(a, h, a->q + at, m, b->keys, limit, p);
    times_keys(a, h, g->dout + at, m, b->values, limit, ds);
    for (int32_t i = 0; i < m; i++) {
        const size_t from = at + (size_t)i * h->q_step, line = (size_t)i * h->padded_keys;
        const real stat = g->stats[(size_t)(row + i) * (size_t)a->heads + (size_t)head];
        row_backward(p + line, ds + line, past + (size_t)(row + i) + 1, end, h->scale, stat,
                     dot(g->dout + from, g->out + from, dim));
    }
    times_values(a, h, ds, m, b->key_rows, limit, g->dq + at, true);
}

static void backward_block(const pl_attention *a, const pl_attention_gradients *g, const pl_head *h,
                           int32_t head, int32_t row, const pl_back *b) {
    const int32_t m = a->rows - row < BACKWARD_ROWS ? a->rows - row : BACKWARD_ROWS;
    const size_t past = (size_t)a->past, limit = past + (size_t)(row + m);
    const size_t kv_at = (size_t)(head / (a->heads / a->kv_heads)) * (size_t)a->head_dim;
    for (int32_t i = 0; i < m; i += TILE_ROWS) {
        const size_t line = (size_t)i * h->padded_keys;
        backward_rows(a, g, h, head, row + i, m - i < TILE_ROWS ? m - i : TILE_ROWS, b, b->p + line,
                      b->ds + line, limit);
    }
    const real *q = b->q + (size_t)row * PL_PANEL, *dout = b->dout + (size_t)row * PL_PANEL;
    add_to_keys(a, h, b->ds, m, q, past, limit, g->dk + kv_at);
    add_to_keys(a, h, b->p, m, dout, past, limit, g->dv + kv_at);
    if (past > 0 && g->dpast_k)
        add_to_keys(a, h, b->ds, m, q, 0, past, g->dpast_k + kv_at);
    if (past > 0 && g->dpast_v)
        add_to_keys(a, h, b->p, m, dout, 0, past, g->dpast_v + kv_at);
}

void pl_attention_backward(const pl_attention *a, const pl_attention_gradients *g, real *scratch) {
    const pl_head h = head_of(a);
    const int32_t group = a->heads / a->kv_heads;
    const pl_back b = place(a, &h, scratch);
    for (int32_t kv = 0; kv < a->kv_heads; kv++) {
        const size_t at = (size_t)kv * (size_t)a->head_dim;
        const real *past_k = (a->past > 0 ? a->past_k : a->k) + at,
                   *past_v = (a->past > 0 ? a->past_v : a->v) + at;
        pack_over_keys(past_k, a->k + at, a, &h, b.keys);
        pack_over_keys(past_v, a->v + at, a, &h, b.values);
        pack_over_columns(past_k, a->k + at, a, &h, b.key_rows);
        for (int32_t head = kv * group; head < (kv + 1) * group; head++) {
            const size_t column = (size_t)head * (size_t)a->head_dim;
            pl_pack_columns(a->q + column, h.q_step, a->rows, a->head_dim, b.q);
            pl_pack_columns(g->dout + column, h.q_step, a->rows, a->head_dim, b.dout);
            for (int32_t row = 0; row < a->rows; row += BACKWARD_ROWS)
                backward_block(a, g, &h, head, row, &b);
        }
    }
}
