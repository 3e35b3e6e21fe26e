/* Packing into panels of PL_PANEL columns. Frozen weights are packed once; gradients and attention pack their
   operands per call, so both directions move whole vectors (4x4 transposes in registers where rows become
   columns). */
#include "kernels/kernels.h"
#include "kernels/tile.h"
#include "simd/simd.h"

int64_t pl_pack_size(int32_t out, int32_t in) {
    return ((int64_t)out + PL_PANEL - 1) / PL_PANEL * PL_PANEL * in;
}

/* `count` (< 8) columns of a panel, the others zero. */
static void pack_rows_part(const real *w, size_t step, int32_t count, int32_t in, real *packed) {
    for (int32_t k = 0; k < in; k++)
        for (int32_t c = 0; c < PL_PANEL; c++)
            packed[(size_t)k * PL_PANEL + (size_t)c] = c < count ? w[(size_t)c * step + (size_t)k] : (real)0;
}

static void pack_rows_whole(const real *w, size_t step, int32_t in, real *packed) {
    int32_t k = 0;
    for (; k + PL_LANES <= in; k += PL_LANES, packed += PL_LANES * PL_PANEL)
        for (size_t half = 0; half < 2; half++) {
            const real *from = w + half * PL_LANES * step + (size_t)k;
            pl_vec r[4] = {vec_load(from), vec_load(from + step), vec_load(from + 2 * step),
                           vec_load(from + 3 * step)};
            vec_transpose(r);
            for (size_t i = 0; i < 4; i++)
                vec_store(packed + i * PL_PANEL + half * PL_LANES, r[i]);
        }
    pack_rows_part(w + k, step, PL_PANEL, in - k, packed);
}

void pl_pack_rows(const real *w, size_t step, int32_t out, int32_t in, real *packed) {
    for (int32_t column = 0; column < out; column += PL_PANEL, packed += (size_t)in * PL_PANEL) {
        const real *from = w + (size_t)column * step;
        if (out - column >= PL_PANEL)
            pack_rows_whole(from, step, in, packed);
        else
            pack_rows_part(from, step, out - column, in, packed);
    }
}

void pl_pack_columns(const real *w, size_t step, int32_t rows, int32_t columns, real *packed) {
    for (int32_t column = 0; column < columns; column += PL_PANEL)
        for (int32_t k = 0; k < rows; k++, packed += PL_PANEL) {
            const real *from = w + (size_t)k * step + (size_t)column;
            if (columns - column >= PL_PANEL) {
                vec_store(packed, vec_load(from));
                vec_store(packed + PL_LANES, vec_load(from + PL_LANES));
            } else {
                for (int32_t c = 0; c < PL_PANEL; c++)
                    packed[c] = c < columns - column ? from[c] : (real)0;
            }
        }
}

void pl_pack(const real *w, int32_t out, int32_t in, real *packed) {
    pl_pack_rows(w, (size_t)in, out, in, packed);
}

void pl_pack_transposed(const real *w, int32_t out, int32_t in, real *packed) {
    pl_pack_columns(w, (size_t)in, out, in, packed);
}
