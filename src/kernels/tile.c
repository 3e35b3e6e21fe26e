#include "kernels/tile.h"

#include "kernels/kernels.h"
#include "simd/simd.h"

/* Why 4 x 8. GFLOP/s in Node 20 on one Zen 5 core, operands in L1, k = 256 (the hardware limit of separate 128-bit
 * multiplications and additions is 64 here):
 *     4x8: 63     3x8: 63     2x16: 58     5x8: 46 (V8 spills; published measurements on another machine had it ahead)
 *     4x8 with the k-loop unrolled 2, 4, 8 times: 44, 31, 22
 * Model shapes reach 60 to 66, a row of weights in L2 is read at 37 GB/s. Reproduce: tests/bench/kernels.mjs. */
enum {
    ROWS = 4,
    SUMS = 8,   /* vectors of sums in a tile */
    STRIP = 16, /* columns of A copied together: one cache line of float */
};

/* sum[row][panel][half] = sums over k. rows, panels and a_k are constants wherever this is inlined, so the arrays become
   registers. One step of k is `rows` broadcasts, 2 * panels loads, 2 * rows * panels multiplications and additions. Not
   unrolled: clang 14 then moves the loads of later steps up, and V8, which keeps that order, spills (table above). */
PL_INLINE void tile_sum(const real *a, const size_t a_row, const size_t a_k, const real *b,
                        const size_t b_panel, const int32_t count, const int rows, const int panels,
                        pl_vec sum[SUMS]) {
    const real *row[ROWS];
    for (int r = 0; r < rows; r++)
        row[r] = a + (size_t)r * a_row;
    for (int i = 0; i < 2 * rows * panels; i++)
        sum[i] = vec_zero();
    for (int32_t k = count; k > 0; k--, b += PL_PANEL) {
        for (int p = 0; p < panels; p++) {
            const real *from = b + (size_t)p * b_panel;
            const pl_vec b0 = vec_load(from), b1 = vec_load(from + PL_LANES);
            for (int r = 0; r < rows; r++) {
                const pl_vec x = vec_load_splat(row[r]);
                pl_vec *s = sum + 2 * (r * panels + p);
                s[0] = vec_madd(s[0], x, b0);
                s[1] = vec_madd(s[1], x, b1);
            }
        }
        for (int r = 0; r < rows; r++)
            row[r] += a_k;
    }
}

/* The last panel of C when it has fewer than 8 columns: the same arithmetic, element by element. */
static void store_part(const pl_tile *t, const real *sums, int rows, int panels, int32_t row,
                       int32_t column) {
    for (int r = 0; r < rows; r++)
        for (int32_t i = 0; i < panels * PL_PANEL && column + i < t->n; i++) {
            real *c = t->c + (size_t)(row + r) * t->c_step + (size_t)(column + i);
            const real sum = sums[r * panels * PL_PANEL + i];
            *c = t->add ? *c + t->scale * sum : sum;
        }
}

/* Rows [row, row + rows) by panels from `column`; a points at the first row's (or strip column's) k = 0. */
PL_INLINE void tile(const pl_tile *t, const real *a, const size_t a_row, const size_t a_k, const real *b,
                    const int32_t count, int32_t row, int32_t column, const int rows, const int panels) {
    pl_vec sum[SUMS];
    tile_sum(a, a_row, a_k, b + (size_t)(column / PL_PANEL) * t->b_panel, t->b_panel, count, rows, panels,
             sum);
    if (column + panels * PL_PANEL > t->n) {
        real copy[SUMS * PL_LANES]; /* taking the address of `sum` would keep it out of registers */
        for (int i = 0; i < 2 * rows * panels; i++)
            vec_store(copy + i * PL_LANES, sum[i]);
        store_part(t, copy, rows, panels, row, column);
        return;
    }
    const pl_vec scale = vec_splat(t->scale);
    for (int r = 0; r < rows; r++) {
        real *c = t->c + (size_t)(row + r) * t->c_step + (size_t)column;
        for (int i = 0; i < 2 * panels; i++) {
            const pl_vec s = sum[2 * r * panels + i];
            vec_store(c + i * PL_LANES, t->add ? vec_madd(vec_load(c + i * PL_LANES), scale, s) : s);
        }
    }
}

/* ---- A by rows ------------------------------------------------------------------------------------------------------------ */

PL_INLINE void row_tile(const pl_tile *t, int32_t row, int32_t column, const int rows, const int panels) {
    tile(t, t->a + (size_t)row * t->a_step, t->a_step, 1, t->b, t->k, row, column, rows, panels);
}

/* One row: decoding. Four panels at a time, so that eight sums hide the latency of addition and reading the weights is the
   only limit. */
static void one_row(const pl_tile *t, int32_t row) {
    int32_t column = 0;
    for (; column + 3 * PL_PANEL < t->n; column += 4 * PL_PANEL)
        row_tile(t, row, column, 1, 4);
    for (; column < t->n; column += PL_PANEL)
        row_tile(t, row, column, 1, 1);
}

static void two_rows(const pl_tile *t, int32_t row) {
    int32_t column = 0;
    for (; column + PL_PANEL < t->n; column += 2 * PL_PANEL)
        row_tile(t, row, column, 2, 2);
    if (column < t->n)
        row_tile(t, row, column, 2, 1);
}

static void three_rows(const pl_tile *t, int32_t row) {
    for (int32_t column = 0; column < t->n; column += PL_PANEL)
        row_tile(t, row, column, 3, 1);
}

void pl_tile_rows(const pl_tile *t) {
    const int32_t whole = t->m - t->m % ROWS;
    for (int32_t column = 0; column < t->n;
         column += PL_PANEL) /* the panel stays in L1 while the rows stream by */
        for (int32_t row = 0; row < whole; row += ROWS)
            row_tile(t, row, column, ROWS, 1);
    switch (t->m - whole) {
    case 1:
        one_row(t, whole);
        break;
    case 2:
        two_rows(t, whole);
        break;
    case 3:
        three_rows(t, whole);
        break;
    default:
        break;
    }
}

/* ---- A by columns ---------------------------------------------------------------------------------------------------------- */

/* strip[k][16] = columns [from, from + 16) of A, zero where A has fewer. */
static void copy_strip(const real *a, size_t step, int32_t count, int32_t columns, real *strip) {
    if (columns >= STRIP) {
        for (int32_t k = 0; k < count; k++, a += step, strip += STRIP)
            for (int i = 0; i < STRIP; i += PL_LANES)
                vec_store(strip + i, vec_load(a + i));
        return;
    }
    for (int32_t k = 0; k < count; k++, a += step, strip += STRIP)
        for (int32_t i = 0; i < STRIP; i++)
            strip[i] = i < columns ? a[i] : (real)0;
}

static void strip_times_panels(const pl_tile *t, const real *strip, const real *b, int32_t count,
                               int32_t from) {
    const int32_t to = t->m - from < STRIP ? t->m : from + STRIP;
    for (int32_t column = 0; column < t->n; column += PL_PANEL) {
        int32_t row = from;
        for (; row + ROWS <= to; row += ROWS)
            tile(t, strip + (row - from), 1, STRIP, b, count, row, column, ROWS, 1);
        for (; row < to; row++)
            tile(t, strip + (row - from), 1, STRIP, b, count, row, column, 1, 1);
    }
}

void pl_tile_columns(const pl_tile *t) {
    real strip[PL_TILE_CHUNK * STRIP]; /* 8 KiB */
    for (int32_t k = 0; k < t->k; k += PL_TILE_CHUNK) {
        const int32_t count = t->k - k < PL_TILE_CHUNK ? t->k - k : PL_TILE_CHUNK;
        for (int32_t from = 0; from < t->m; from += STRIP) {
            copy_strip(t->a + (size_t)k * t->a_step + (size_t)from, t->a_step, count, t->m - from, strip);
            strip_times_panels(t, strip, t->b + (size_t)k * PL_PANEL, count, from);
        }
    }
}
