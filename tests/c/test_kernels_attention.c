/* build: both
   Attention against a plain reference in double, for every head width a model may have, with grouped queries
   and past rows; and the promise on which KV-cached decoding rests: the same bits whether keys are cached or
   computed in the call. */
#include "harness.h"
#include "kernels/kernels.h"
#include "kernels_data.h"

#include <math.h>
#include <string.h>

static const double TOL = PL_REAL_IS_FLOAT ? 2e-5 : 1e-12;

enum { MOST = 16384 };
static real q[MOST], keys[MOST], values[MOST], out[MOST], out2[MOST], scratch[4 * MOST], stats[1024],
    stats2[1024];

/* keys[past + rows], values likewise: the first `past` rows are given to the kernel as past. */
static pl_attention shape(int32_t heads, int32_t kv_heads, int32_t dim, int32_t rows, int32_t past) {
    data_fill(q, (size_t)(rows * heads * dim), 30);
    data_fill(keys, (size_t)((past + rows) * kv_heads * dim), 31);
    data_fill(values, (size_t)((past + rows) * kv_heads * dim), 32);
    const size_t own = (size_t)(past * kv_heads * dim);
    return (pl_attention){.heads = heads,
                          .kv_heads = kv_heads,
                          .head_dim = dim,
                          .rows = rows,
                          .past = past,
                          .q = q,
                          .k = keys + own,
                          .v = values + own,
                          .past_k = past ? keys : NULL,
                          .past_v = past ? values : NULL};
}

static void check_row(const pl_attention *a, int32_t row, int32_t head) {
    const int32_t d = a->head_dim, step = a->kv_heads * d, seen = a->past + row + 1;
    const real *qi = q + (row * a->heads + head) * d;
    const int32_t at = head / (a->heads / a->kv_heads) * d;
    double p[256], sum = 0.0;
    for (int32_t j = 0; j < seen; j++) {
        double s = 0.0;
        for (int32_t c = 0; c < d; c++)
            s += (double)qi[c] * (double)keys[j * step + at + c];
        sum += p[j] = exp(s / sqrt(d));
    }
    CHECK_NEAR(stats[row * a->heads + head], log(sum), TOL);
    for (int32_t c = 0; c < d; c++) {
        double want = 0.0;
        for (int32_t j = 0; j < seen; j++)
            want += p[j] / sum * (double)values[j * step + at + c];
        CHECK_NEAR(out[(row * a->heads + head) * d + c], want, TOL);
    }
}

static void forward_case(int32_t heads, int32_t kv_heads, int32_t dim, int32_t rows, int32_t past) {
    const pl_attention a = shape(heads, kv_heads, dim, rows, past);
    pl_attention_forward(&a, out, stats, scratch);
    for (int32_t row = 0; row < rows; row++)
        for (int32_t head = 0; head < heads; head++)
            check_row(&a, row, head);
    pl_attention_forward(&a, out2, NULL, scratch);
    CHECK(memcmp(out, out2, (size_t)(rows * heads * dim) * sizeof(real)) == 0);
}

TEST(attention_matches_reference) {
    static const int32_t dims[] = {1, 2, 4, 7, 8, 10, 12, 16, 20, 32, 64};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        for (int32_t rows = 1; rows <= 17; rows += 4)
            for (int32_t past = 0; past <= 19; past += past < 4 ? 1 : 5)
                forward_case(i % 2 ? 4 : 2, i % 3 ? 2 : 1, dims[i], rows, past);
}

TEST(attention_scratch_is_enough) {
    /* Guard words behind the scratch stay untouched by both passes. */
    static real zeros[MOST], grads[6][MOST];
    for (int32_t rows = 1; rows <= 23; rows += 11)
        for (int32_t past = 0; past <= 9; past += 9) {
            const pl_attention a = shape(2, 1, 10, rows, past);
            const size_t need = (size_t)pl_attention_scratch(rows, past, 10);
            for (size_t i = 0; i < 64; i++)
                scratch[need + i] = (real)3;
            pl_attention_forward(&a, out, stats, scratch);
            data_fill(zeros, (size_t)(rows * 20), 33);
            const pl_attention_gradients g = {.out = out,
                                              .stats = stats,
                                              .dout = zeros,
                                              .dq = grads[0],
                                              .dk = grads[1],
                                              .dv = grads[2],
                                              .dpast_k = grads[3],
                                              .dpast_v = grads[4]};
            pl_attention_backward(&a, &g, scratch);
            for (size_t i = 0; i < 64; i++)
                CHECK(scratch[need + i] == (real)3);
        }
}

/* One call over all rows == row by row with a growing past == any split. */
static void split_case(int32_t heads, int32_t kv_heads, int32_t dim, int32_t rows) {
    const pl_attention whole = shape(heads, kv_heads, dim, rows, 0);
    const int32_t q_step = heads * dim, kv_step = kv_heads * dim;
    pl_attention_forward(&whole, out, stats, scratch);
    for (int32_t piece = 1; piece <= 7; piece += 3) {
        for (int32_t row = 0; row < rows; row += piece) {
            pl_attention part = whole;
            part.rows = rows - row < piece ? rows - row : piece;
            part.past = row;
            part.q = q + row * q_step;
            part.past_k = keys;
            part.past_v = values;
            part.k = keys + row * kv_step;
            part.v = values + row * kv_step;
            pl_attention_forward(&part, out2 + row * q_step, stats2 + row * heads, scratch);
        }
        CHECK_MSG(memcmp(out, out2, (size_t)(rows * q_step) * sizeof(real)) == 0,
                  "dim %d rows %d pieces of %d", dim, rows, piece);
        CHECK(memcmp(stats, stats2, (size_t)(rows * heads) * sizeof(real)) == 0);
    }
}

TEST(cached_keys_give_the_same_bits) {
    split_case(4, 2, 8, 41);
    split_case(2, 1, 10, 33);
    split_case(3, 3, 16, 29);
    split_case(2, 2, 32, 37);
    split_case(4, 1, 4, 64);
}
