/* Four-lane vectors of `real`: the only file that knows an instruction set.
 *
 * Three back ends, the same bits from each (tests/c/test_simd_scalar.c runs every kernel on two of them and
 * compares):
 *  - wasm:   SIMD128 intrinsics
 *  - vector: GCC/Clang vector extensions (SSE2, NEON, … natively)
 *  - scalar: plain C; also the double build, and PL_SIMD_SCALAR for engines without SIMD128
 * They agree because every operation is one IEEE operation per lane, a multiply-add is two roundings (the
 * build says -ffp-contract=off), and horizontal sums have one written order. Relaxed SIMD is left out: its
 * results vary by machine. */
#ifndef PL_SIMD_SIMD_H
#define PL_SIMD_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/real.h"

/* The vector back ends inline everything (a tile's sums must become registers). The scalar one leaves the
   choice to the compiler: forced, one file of it takes minutes under the sanitizers. */
#if PL_REAL_IS_FLOAT && !defined(PL_SIMD_SCALAR)
#define PL_INLINE static inline __attribute__((always_inline, unused))
#else
#define PL_INLINE static inline __attribute__((unused))
#endif

enum { PL_LANES = 4 };

#if PL_REAL_IS_FLOAT && defined(__wasm_simd128__) && !defined(PL_SIMD_SCALAR)
/* ---- wasm ---------------------------------------------------------------------------------------------- */
#include <wasm_simd128.h>

typedef v128_t pl_vec;
typedef v128_t pl_mask;

PL_INLINE pl_vec vec_load(const real *p) {
    return wasm_v128_load(p);
} /* no alignment needed, here and below */
PL_INLINE void vec_store(real *p, pl_vec a) { wasm_v128_store(p, a); }
PL_INLINE pl_vec vec_splat(real a) { return wasm_f32x4_splat(a); }
PL_INLINE pl_vec vec_set(real a, real b, real c, real d) { return wasm_f32x4_make(a, b, c, d); }
PL_INLINE pl_vec vec_load_splat(const real *p) { return wasm_v128_load32_splat(p); }
PL_INLINE pl_vec vec_add(pl_vec a, pl_vec b) { return wasm_f32x4_add(a, b); }
PL_INLINE pl_vec vec_sub(pl_vec a, pl_vec b) { return wasm_f32x4_sub(a, b); }
PL_INLINE pl_vec vec_mul(pl_vec a, pl_vec b) { return wasm_f32x4_mul(a, b); }
PL_INLINE pl_vec vec_div(pl_vec a, pl_vec b) { return wasm_f32x4_div(a, b); }
PL_INLINE pl_vec vec_sqrt(pl_vec a) { return wasm_f32x4_sqrt(a); }
PL_INLINE pl_vec vec_abs(pl_vec a) { return wasm_f32x4_abs(a); }
/* a < b ? b : a, so a NaN in `a` stays; one instruction (pmax) on most machines. */
PL_INLINE pl_vec vec_max(pl_vec a, pl_vec b) { return wasm_f32x4_pmax(a, b); }
/* b < a ? b : a */
PL_INLINE pl_vec vec_min(pl_vec a, pl_vec b) { return wasm_f32x4_pmin(a, b); }
PL_INLINE pl_mask vec_less(pl_vec a, pl_vec b) { return wasm_f32x4_lt(a, b); }
/* mask ? a : b */
PL_INLINE pl_vec vec_select(pl_mask mask, pl_vec a, pl_vec b) { return wasm_v128_bitselect(a, b, mask); }
PL_INLINE real vec_lane(pl_vec a, int i) {
    return i == 0   ? wasm_f32x4_extract_lane(a, 0)
           : i == 1 ? wasm_f32x4_extract_lane(a, 1)
           : i == 2 ? wasm_f32x4_extract_lane(a, 2)
                    : wasm_f32x4_extract_lane(a, 3);
}
/* 2^n from t = n + 1.5 * 2^23, -126 <= n <= 127: the low mantissa bits of t are n, moved to the exponent. */
PL_INLINE pl_vec vec_power_of_two(pl_vec t) {
    return wasm_i32x4_add(wasm_i32x4_shl(t, 23), wasm_i32x4_splat(0x3F800000));
}
/* Transposes the 4x4 block whose rows are r[0..3]. */
PL_INLINE void vec_transpose(pl_vec r[4]) {
    pl_vec a = wasm_i32x4_shuffle(r[0], r[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(r[0], r[1], 2, 6, 3, 7);
    pl_vec c = wasm_i32x4_shuffle(r[2], r[3], 0, 4, 1, 5), d = wasm_i32x4_shuffle(r[2], r[3], 2, 6, 3, 7);
    r[0] = wasm_i64x2_shuffle(a, c, 0, 2);
    r[1] = wasm_i64x2_shuffle(a, c, 1, 3);
    r[2] = wasm_i64x2_shuffle(b, d, 0, 2);
    r[3] = wasm_i64x2_shuffle(b, d, 1, 3);
}

#elif PL_REAL_IS_FLOAT && defined(__GNUC__) && !defined(PL_SIMD_SCALAR)
/* ---- vector extensions --------------------------------------------------------------------------------- */
#include <math.h>

typedef real pl_vec __attribute__((vector_size(16)));
typedef int32_t pl_mask __attribute__((vector_size(16)));
typedef real pl_vec_memory __attribute__((vector_size(16), aligned(4), may_alias));

PL_INLINE pl_vec vec_load(const real *p) { return *(const pl_vec_memory *)p; }
PL_INLINE void vec_store(real *p, pl_vec a) { *(pl_vec_memory *)p = a; }
PL_INLINE pl_vec vec_splat(real a) { return (pl_vec){a, a, a, a}; }
PL_INLINE pl_vec vec_set(real a, real b, real c, real d) { return (pl_vec){a, b, c, d}; }
PL_INLINE pl_vec vec_load_splat(const real *p) { return vec_splat(*p); }
PL_INLINE pl_vec vec_add(pl_vec a, pl_vec b) { return a + b; }
PL_INLINE pl_vec vec_sub(pl_vec a, pl_vec b) { return a - b; }
PL_INLINE pl_vec vec_mul(pl_vec a, pl_vec b) { return a * b; }
PL_INLINE pl_vec vec_div(pl_vec a, pl_vec b) { return a / b; }
PL_INLINE pl_vec vec_sqrt(pl_vec a) { return (pl_vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
PL_INLINE pl_mask vec_less(pl_vec a, pl_vec b) { return a < b; }
PL_INLINE pl_vec vec_select(pl_mask mask, pl_vec a, pl_vec b) {
    return (pl_vec)(((pl_mask)a & mask) | ((pl_mask)b & ~mask));
}
PL_INLINE pl_vec vec_abs(pl_vec a) {
    const int32_t m = 0x7FFFFFFF;
    return (pl_vec)((pl_mask)a & (pl_mask){m, m, m, m});
}
PL_INLINE pl_vec vec_max(pl_vec a, pl_vec b) { return vec_select(a < b, b, a); }
PL_INLINE pl_vec vec_min(pl_vec a, pl_vec b) { return vec_select(b < a, b, a); }
PL_INLINE real vec_lane(pl_vec a, int i) { return a[i]; }
PL_INLINE pl_vec vec_power_of_two(pl_vec t) {
    typedef uint32_t bits __attribute__((vector_size(16)));
    return (pl_vec)(((bits)t << 23) + 0x3F800000u);
}
PL_INLINE void vec_transpose(pl_vec r[4]) {
    pl_vec a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5),
           b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    pl_vec c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5),
           d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

#else
/* ---- scalar (float or double) -------------------------------------------------------------------------- */
#include <math.h>
#include <stdbool.h>

typedef struct pl_vec {
    real lane[4];
} pl_vec;
typedef struct pl_mask {
    bool lane[4];
} pl_mask;

#define PL_EACH_LANE for (int i = 0; i < 4; i++)

PL_INLINE pl_vec vec_load(const real *p) { return (pl_vec){{p[0], p[1], p[2], p[3]}}; }
PL_INLINE void vec_store(real *p, pl_vec a) { PL_EACH_LANE p[i] = a.lane[i]; }
PL_INLINE pl_vec vec_splat(real a) { return (pl_vec){{a, a, a, a}}; }
PL_INLINE pl_vec vec_set(real a, real b, real c, real d) { return (pl_vec){{a, b, c, d}}; }
PL_INLINE pl_vec vec_load_splat(const real *p) { return vec_splat(*p); }
PL_INLINE pl_vec vec_add(pl_vec a, pl_vec b) {
    PL_EACH_LANE a.lane[i] += b.lane[i];
    return a;
}
PL_INLINE pl_vec vec_sub(pl_vec a, pl_vec b) {
    PL_EACH_LANE a.lane[i] -= b.lane[i];
    return a;
}
PL_INLINE pl_vec vec_mul(pl_vec a, pl_vec b) {
    PL_EACH_LANE a.lane[i] *= b.lane[i];
    return a;
}
PL_INLINE pl_vec vec_div(pl_vec a, pl_vec b) {
    PL_EACH_LANE a.lane[i] /= b.lane[i];
    return a;
}
PL_INLINE pl_vec vec_sqrt(pl_vec a) {
#if PL_REAL_IS_FLOAT
    PL_EACH_LANE a.lane[i] = sqrtf(a.lane[i]);
#else
    PL_EACH_LANE a.lane[i] = sqrt(a.lane[i]);
#endif
    return a;
}
PL_INLINE pl_mask vec_less(pl_vec a, pl_vec b) {
    pl_mask m;
    PL_EACH_LANE m.lane[i] = a.lane[i] < b.lane[i];
    return m;
}
PL_INLINE pl_vec vec_select(pl_mask mask, pl_vec a, pl_vec b) {
    PL_EACH_LANE a.lane[i] = mask.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}
PL_INLINE pl_vec vec_abs(pl_vec a) {
    PL_EACH_LANE a.lane[i] = (real)fabs((double)a.lane[i]);
    return a;
}
PL_INLINE pl_vec vec_max(pl_vec a, pl_vec b) { return vec_select(vec_less(a, b), b, a); }
PL_INLINE pl_vec vec_min(pl_vec a, pl_vec b) { return vec_select(vec_less(b, a), b, a); }
PL_INLINE real vec_lane(pl_vec a, int i) { return a.lane[i]; }
#if PL_REAL_IS_FLOAT
PL_INLINE pl_vec vec_power_of_two(pl_vec t) {
    PL_EACH_LANE {
        uint32_t bits;
        memcpy(&bits, &t.lane[i], 4);
        bits = (bits << 23) + 0x3F800000u;
        memcpy(&t.lane[i], &bits, 4);
    }
    return t;
}
#endif
PL_INLINE void vec_transpose(pl_vec r[4]) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) {
            real swap = r[i].lane[j];
            r[i].lane[j] = r[j].lane[i];
            r[j].lane[i] = swap;
        }
}
#undef PL_EACH_LANE
#endif

/* ---- built from the above, the same for every back end ------------------------------------------------- */

PL_INLINE pl_vec vec_zero(void) { return vec_splat((real)0); }

/* sum + a*b with two roundings. */
PL_INLINE pl_vec vec_madd(pl_vec sum, pl_vec a, pl_vec b) { return vec_add(sum, vec_mul(a, b)); }

/* (lane 0 + lane 1) + (lane 2 + lane 3) */
PL_INLINE real vec_sum(pl_vec a) {
    return (vec_lane(a, 0) + vec_lane(a, 1)) + (vec_lane(a, 2) + vec_lane(a, 3));
}

PL_INLINE real real_max(real a, real b) { return a < b ? b : a; }
PL_INLINE real vec_largest(pl_vec a) {
    return real_max(real_max(vec_lane(a, 0), vec_lane(a, 1)), real_max(vec_lane(a, 2), vec_lane(a, 3)));
}

/* The first `count` (0..4) lanes from memory, `fill` in the others; a tail goes through the same code as
   whole vectors, so its bits do not depend on where a row ends. */
PL_INLINE pl_vec vec_load_part(const real *p, size_t count, real fill) {
    real lane[4] = {fill, fill, fill, fill};
    for (size_t i = 0; i < count; i++)
        lane[i] = p[i];
    return vec_load(lane);
}
PL_INLINE void vec_store_part(real *p, pl_vec a, size_t count) {
    real lane[4];
    vec_store(lane, a);
    for (size_t i = 0; i < count; i++)
        p[i] = lane[i];
}

#endif
