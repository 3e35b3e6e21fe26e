/* Matrix products of linear layers.
 *   forward          y  = x w^T            x by rows, w packed
 *   backward, input  dx = dy w             the same with w packed transposed
 *   backward, weight dw = dy^T x           dy by columns, x packed here */
#include "kernels/kernels.h"
#include "kernels/tile.h"

static void by_rows(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real *y, bool add,
                    real scale) {
    pl_tile_rows(&(pl_tile){.a = x,
                            .a_step = (size_t)in,
                            .b = packed,
                            .b_panel = (size_t)in * PL_PANEL,
                            .c = y,
                            .c_step = (size_t)out,
                            .m = n,
                            .k = in,
                            .n = out,
                            .add = add,
                            .scale = scale});
}

void pl_gemm(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real *y,
             bool accumulate) {
    by_rows(x, n, in, packed, out, y, accumulate, (real)1);
}

void pl_gemm_scaled(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real scale,
                    real *y) {
    by_rows(x, n, in, packed, out, y, true, scale);
}

void pl_gemm_outer(const real *dy, const real *x, int32_t n, int32_t out, int32_t in, real scale, real *dw,
                   real *scratch) {
    pl_pack_columns(x, (size_t)in, n, in, scratch);
    pl_tile_columns(&(pl_tile){.a = dy,
                               .a_step = (size_t)out,
                               .b = scratch,
                               .b_panel = (size_t)n * PL_PANEL,
                               .c = dw,
                               .c_step = (size_t)in,
                               .m = out,
                               .k = n,
                               .n = in,
                               .add = true,
                               .scale = scale});
}
