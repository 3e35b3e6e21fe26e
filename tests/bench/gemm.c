/* Timing loops for tests/bench/run.mjs, linked with the engine's kernels into build/wasm/bench.wasm. JavaScript holds the clock. */
#include <emscripten.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "simd/simd.h"

/* Zero-initialised reals that live until the instance goes. NULL when memory is refused. */
EMSCRIPTEN_KEEPALIVE real *bench_reals(int32_t count);
EMSCRIPTEN_KEEPALIVE int32_t bench_pack_size(int32_t out, int32_t in);
EMSCRIPTEN_KEEPALIVE void bench_pack(const real *w, int32_t out, int32_t in, real *packed);
/* y[n, out] = x[n, in] w^T, `times` times. */
EMSCRIPTEN_KEEPALIVE void bench_gemm(const real *x, int32_t n, int32_t in, const real *packed, int32_t out,
                                     real *y, int32_t times);
/* dw[out, in] += dy[n, out]^T x[n, in], `times` times; scratch: bench_pack_size(in, n) reals. */
EMSCRIPTEN_KEEPALIVE void bench_outer(const real *dy, const real *x, int32_t n, int32_t out, int32_t in,
                                      real *dw, real *scratch, int32_t times);
/* Reads x[count] (a multiple of 32) `times` times, as fast as one core can; the sum keeps the compiler honest. */
EMSCRIPTEN_KEEPALIVE real bench_read(const real *x, int32_t count, int32_t times);

real *bench_reals(int32_t count) { return calloc((size_t)count, sizeof(real)); }

int32_t bench_pack_size(int32_t out, int32_t in) { return (int32_t)pl_pack_size(out, in); }

void bench_pack(const real *w, int32_t out, int32_t in, real *packed) { pl_pack(w, out, in, packed); }

void bench_gemm(const real *x, int32_t n, int32_t in, const real *packed, int32_t out, real *y,
                int32_t times) {
    while (times-- > 0)
        pl_gemm(x, n, in, packed, out, y, false);
}

void bench_outer(const real *dy, const real *x, int32_t n, int32_t out, int32_t in, real *dw, real *scratch,
                 int32_t times) {
    while (times-- > 0)
        pl_gemm_outer(dy, x, n, out, in, 1, dw, scratch);
}

real bench_read(const real *x, int32_t count, int32_t times) {
    enum { CHAINS = 8, STREAMS = 4 }; /* four streams: faster here than two */
    const int32_t part = count / STREAMS;
    pl_vec sum[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sum[i] = vec_zero();
    while (times-- > 0)
        for (int32_t at = 0; at < part; at += CHAINS / STREAMS * PL_LANES)
            for (int i = 0; i < CHAINS; i++)
                sum[i] = vec_add(sum[i], vec_load(x + i % STREAMS * part + at + i / STREAMS * PL_LANES));
    real total = 0;
    for (int i = 0; i < CHAINS; i++)
        total += vec_sum(sum[i]);
    return total;
}
