/* The register micro-kernels every matrix product here is made of (internal to src/kernels).
 *
 *     C[m, n] = A[m, k] B[k, n]   or   C += scale * (A B)
 *
 * B lies in panels of PL_PANEL columns, [k][PL_PANEL] each; a tile is up to 4 rows by one panel, its sums
 * stay in registers over the whole of k. Sums start at zero and run over k = 0, 1, 2 …; what is in C is added
 * once at the end. So the bits of an element do not depend on m, n or the tile it falls in. (pl_tile_columns
 * does this per PL_TILE_CHUNK values of k.) */
#ifndef PL_KERNELS_TILE_H
#define PL_KERNELS_TILE_H

#include "base/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PL_TILE_CHUNK = 128 };

typedef struct pl_tile {
    const real *a; /* element (row, k) is a[row * a_step + k] by rows, a[k * a_step + row] by columns */
    size_t a_step;
    const real *b; /* element (k, column) is b[column / 8 * b_panel + k * 8 + column % 8] */
    size_t b_panel;
    real *c; /* element (row, column) is c[row * c_step + column] */
    size_t c_step;
    int32_t m, k, n; /* n need not be a multiple of 8, but B has whole panels */
    bool add;        /* C += scale * A B; otherwise C = A B */
    real scale;
} pl_tile;

/* A by rows: y = x w^T, scores, weighted sums of values. */
void pl_tile_rows(const pl_tile *t);
/* A by columns, that is C = A^T B for a row-major A[k, m]: gradients of weights, keys and values. Needs
   `add`: C takes one addition per PL_TILE_CHUNK rows of A and B. */
void pl_tile_columns(const pl_tile *t);

/* Panels of w^T: packed(k, column) = w[column * step + k], k < in, column < out; the last panel is zero
   padded. */
void pl_pack_rows(const real *w, size_t step, int32_t out, int32_t in, real *packed);
/* Panels of w: packed(k, column) = w[k * step + column], k < rows, column < columns; zero padded likewise. */
void pl_pack_columns(const real *w, size_t step, int32_t rows, int32_t columns, real *packed);

#endif
