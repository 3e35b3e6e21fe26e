#include "kernels/tile.h"

#include "kernels/kernels.h"
#include "simd/simd.h"

enum { ROWS = 5, MOST = 10 /* accumulators of a tile */ };

/* c[row][panel][half] = sum over k. rows, panels, by_columns and b_step are constants wherever this is inlined, so the arrays become
   registers. One pass of k is `rows` broadcasts, 2 * panels loads and 2 * rows * panels multiply-adds. */
PL_INLINE void tile_sum(const pl_tile *t, const real *a, const real *b, const int rows, const int panels,
                        const size_t a_row, const size_t a_k, const size_t b_step, pl_vec c[MOST]) {
    const size_t b_panel = t->b_panel;
    for (int i = 0; i < 2 * rows * panels; i++)
        c[i] = vec_zero();
    for (int32_t k = t->k; k > 0; k--, a += a_k, b += b_step)
        for (int p = 0; p < panels; p++) {
            const pl_vec b0 = vec_load(b + (size_t)p * b_panel),
                         b1 = vec_load(b + (size_t)p * b_panel + PL_LANES);
            for (int r = 0; r < rows; r++) {
                const pl_vec x = vec_load_splat(a + (size_t)r * a_row);
                pl_vec *s = c + 2 * (r * panels + p);
                s[0] = vec_madd(s[0], x, b0);
                s[1] = vec_madd(s[1], x, b1);
            }
        }
}

PL_INLINE pl_vec combine(const pl_tile *t, pl_vec sum, pl_vec old) {
    if (t->mode == PL_TILE_SET)
        return sum;
    return vec_add(old, t->mode == PL_TILE_ADD ? sum : vec_mul(vec_splat(t->scale), sum));
}

/* One row of one panel into C: whole vectors, or `columns` < 8 single elements with the same arithmetic. */
PL_INLINE void store_row(const pl_tile *t, real *c, int32_t columns, pl_vec s0, pl_vec s1) {
    if (columns >= PL_PANEL) {
        vec_store(c, combine(t, s0, t->mode == PL_TILE_SET ? s0 : vec_load(c)));
        vec_store(c + PL_LANES, combine(t, s1, t->mode == PL_TILE_SET ? s1 : vec_load(c + PL_LANES)));
        return;
    }
    const size_t first = columns < PL_LANES ? (size_t)columns : PL_LANES, rest = (size_t)columns - first;
    vec_store_part(c, combine(t, s0, vec_load_part(c, first, (real)0)), first);
    vec_store_part(c + PL_LANES, combine(t, s1, vec_load_part(c + PL_LANES, rest, (real)0)), rest);
}

PL_INLINE void tile(const pl_tile *t, int32_t row, int32_t column, const int rows, const int panels,
                    const int by_columns) {
    pl_vec c[MOST];
    const real *b = t->b + (size_t)(column / PL_PANEL) * t->b_panel;
    if (by_columns)
        tile_sum(t, t->a + row, b, rows, panels, 1, t->a_step, t->b_step, c);
    else
        tile_sum(t, t->a + (size_t)row * t->a_step, b, rows, panels, t->a_step, 1, PL_PANEL, c);
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++) {
            const int32_t at = column + p * PL_PANEL;
            const pl_vec *s = c + 2 * (r * panels + p);
            store_row(t, t->c + (size_t)(row + r) * t->c_step + at, t->n - at, s[0], s[1]);
        }
}

/* The 1 to 4 rows below the last whole tile, or all rows of a short call: decoding is one row. */
PL_INLINE void last_rows(const pl_tile *t, int32_t row, const int by_columns) {
    const int rows = t->m - row;
    int32_t column = 0;
    if (rows == 1)
        for (; column + 3 * PL_PANEL < t->n; column += 4 * PL_PANEL)
            tile(t, row, column, 1, 4, by_columns);
    if (rows == 2)
        for (; column + PL_PANEL < t->n; column += 2 * PL_PANEL)
            tile(t, row, column, 2, 2, by_columns);
    for (; column < t->n; column += PL_PANEL)
        if (rows == 1)
            tile(t, row, column, 1, 1, by_columns);
        else if (rows == 2)
            tile(t, row, column, 2, 1, by_columns);
        else if (rows == 3)
            tile(t, row, column, 3, 1, by_columns);
        else if (rows == 4)
            tile(t, row, column, 4, 1, by_columns);
}

PL_INLINE void product(const pl_tile *t, const int by_columns) {
    const int32_t whole = t->m - t->m % ROWS;
    for (int32_t column = 0; column < t->n;
         column += PL_PANEL) /* the panel stays in L1 while the rows stream by */
        for (int32_t row = 0; row < whole; row += ROWS)
            tile(t, row, column, ROWS, 1, by_columns);
    last_rows(t, whole, by_columns);
}

void pl_tile_rows(const pl_tile *t) { product(t, 0); }
void pl_tile_columns(const pl_tile *t) { product(t, 1); }
