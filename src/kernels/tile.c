/* The micro-kernels: a tile of C held in registers while k runs. */
#include "kernels/tile.h"

#include "kernels/kernels.h"
#include "simd/simd.h"

/* Why 4 x 8. GFLOP/s in Node 20 on one Zen 5 core, operands in L1, k = 256 (the hardware limit of separate
 * 128-bit multiplications and additions is 64 here):
 *     4x8: 63     3x8: 63     2x16: 58     5x8: 46 (V8 spills; it was ahead in measurements on other machines)
 *     4x8 with the k-loop unrolled 2, 4, 8 times: 44, 31, 22
 * Model shapes reach 59 to 66. Reproduce: ./build.sh bench --only gemm,kernels. */
enum {
    ROWS = 4,
    PAIRS = 4,
    STRIP = 16, /* columns of A copied together: one cache line of float */
};

typedef struct pl_pair { /* the sums of one row in one panel */
    pl_vec low, high;
} pl_pair;

PL_INLINE pl_pair pair_madd(pl_pair s, const real *a, const real *b) {
    const pl_vec x = vec_load_splat(a);
    return (pl_pair){vec_madd(s.low, x, vec_load(b)), vec_madd(s.high, x, vec_load(b + PL_LANES))};
}

PL_INLINE void pair_store(pl_pair s, real *c, bool add, pl_vec scale) {
    vec_store(c, add ? vec_madd(vec_load(c), scale, s.low) : s.low);
    vec_store(c + PL_LANES, add ? vec_madd(vec_load(c + PL_LANES), scale, s.high) : s.high);
}

/* The last panel of C when it has fewer than 8 columns: `sums` (rows by whole panels) element by element. */
static void store_part(const pl_tile *t, const real *sums, int32_t width, int32_t rows, int32_t row,
                       int32_t column) {
    for (int32_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < width && column + i < t->n; i++) {
            real *c = t->c + (size_t)(row + r) * t->c_step + (size_t)(column + i);
            const real sum = sums[r * width + i];
            *c = t->add ? *c + t->scale * sum : sum;
        }
}

/* Rows [row, row + rows) by `panels` panels, every `apart`-th from `column`: rows * panels <= 4 pairs of sums,
   pair i being row i / panels, panel i % panels. a points at k = 0 of the first row (or of the strip's first
   column). rows, panels and a_k are constants wherever this is inlined; apart is one, too, or all panels are
   whole. No arrays, no inner loops, no unrolling over k: in clang 14 an array of sums costs a memset per tile,
   and unrolling moves the loads of later steps up, an order that V8 keeps and has to spill for (table above). */
PL_INLINE void tile(const pl_tile *t, const real *a, const size_t a_row, const size_t a_k, const real *b,
                    const int32_t count, int32_t row, int32_t column, const int rows, const int panels,
                    const int32_t apart) {
    const size_t pairs = (size_t)(rows * panels), wide = (size_t)panels, b_step = (size_t)apart * t->b_panel,
                 c_step = (size_t)(apart * PL_PANEL);
    const pl_pair zero = {vec_zero(), vec_zero()};
    pl_pair s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    const real *a0 = a, *a1 = a0 + 1 / wide * a_row, *a2 = a0 + 2 / wide * a_row, *a3 = a0 + 3 / wide * a_row;
    const real *b0 = b + (size_t)(column / PL_PANEL) * t->b_panel;
    const size_t b1 = 1 % wide * b_step, b2 = 2 % wide * b_step, b3 = 3 % wide * b_step;
    for (int32_t k = count; k > 0; k--) {
        s0 = pair_madd(s0, a0, b0);
        s1 = pairs > 1 ? pair_madd(s1, a1, b0 + b1) : s1;
        s2 = pairs > 2 ? pair_madd(s2, a2, b0 + b2) : s2;
        s3 = pairs > 3 ? pair_madd(s3, a3, b0 + b3) : s3;
        a0 += a_k, a1 += a_k, a2 += a_k, a3 += a_k;
        b0 += PL_PANEL;
    }
    const int32_t width = panels * PL_PANEL;
    const bool whole = column + (panels - 1) * apart * PL_PANEL + PL_PANEL <= t->n;
    real beside[PAIRS * PL_PANEL]; /* takes the sums when C ends inside the panel */
    real *c = whole ? t->c + (size_t)row * t->c_step + (size_t)column : beside;
    const size_t c_row = whole ? t->c_step : (size_t)width;
    const bool add = whole && t->add;
    const pl_vec scale = vec_splat(t->scale);
    pair_store(s0, c, add, scale);
    if (pairs > 1)
        pair_store(s1, c + 1 / wide * c_row + 1 % wide * c_step, add, scale);
    if (pairs > 2)
        pair_store(s2, c + 2 / wide * c_row + 2 % wide * c_step, add, scale);
    if (pairs > 3)
        pair_store(s3, c + 3 / wide * c_row + 3 % wide * c_step, add, scale);
    if (!whole)
        store_part(t, beside, width, rows, row, column);
}

/* ---- A by rows ----------------------------------------------------------------------------------------- */

PL_INLINE void row_tile(const pl_tile *t, int32_t row, int32_t column, const int rows, const int panels) {
    tile(t, t->a + (size_t)row * t->a_step, t->a_step, 1, t->b, t->k, row, column, rows, panels, 1);
}

/* One row, decoding: every weight is read once and comes from far away, so what counts is how many are on
   their way. Four panels a quarter of the matrix apart are four streams for the prefetcher, and twice as fast
   as pairs of neighbours, which are one (Zen 5, 21 MB of weights: 1.0 ms a token against 1.9; ./build.sh bench --only decode). */
static void one_row(const pl_tile *t, int32_t row) {
    const int32_t quarter = t->n / PL_PANEL / PAIRS;
    const real *a = t->a + (size_t)row * t->a_step;
    for (int32_t panel = 0; panel < quarter; panel++)
        tile(t, a, 0, 1, t->b, t->k, row, panel * PL_PANEL, 1, PAIRS, quarter);
    for (int32_t column = quarter * PAIRS * PL_PANEL; column < t->n; column += PL_PANEL)
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

/* ---- A by columns -------------------------------------------------------------------------------------- */

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
            tile(t, strip + (row - from), 1, STRIP, b, count, row, column, ROWS, 1, 1);
        for (; row < to; row++)
            tile(t, strip + (row - from), 1, STRIP, b, count, row, column, 1, 1, 1);
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
