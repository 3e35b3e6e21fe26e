/* Back ends agree bit for bit: this file compiles every kernel again on the scalar back end, under other
   names, and compares it with the library's (GCC/Clang vectors natively, SIMD128 in a WASM build of the
   tests). build: unsanitized */
#define PL_SIMD_SCALAR 1
#define pl_log scalar_log
#define pl_pack_size scalar_pack_size
#define pl_pack scalar_pack
#define pl_pack_transposed scalar_pack_transposed
#define pl_pack_rows scalar_pack_rows
#define pl_pack_columns scalar_pack_columns
#define pl_tile_rows scalar_tile_rows
#define pl_tile_columns scalar_tile_columns
#define pl_gemm scalar_gemm
#define pl_gemm_scaled scalar_gemm_scaled
#define pl_gemm_outer scalar_gemm_outer
#define pl_add scalar_add
#define pl_add_scaled scalar_add_scaled
#define pl_scale scalar_scale
#define pl_fill scalar_fill
#define pl_add_rows scalar_add_rows
#define pl_sum_rows scalar_sum_rows
#define pl_mul_rows scalar_mul_rows
#define pl_mul_rows_backward scalar_mul_rows_backward
#define pl_sum_squares scalar_sum_squares
#define pl_all_finite scalar_all_finite
#define pl_activation_forward scalar_activation_forward
#define pl_activation_backward scalar_activation_backward
#define pl_dropout scalar_dropout
#define pl_rmsnorm_forward scalar_rmsnorm_forward
#define pl_rmsnorm_backward scalar_rmsnorm_backward
#define pl_rope_table scalar_rope_table
#define pl_rope_forward scalar_rope_forward
#define pl_rope_backward scalar_rope_backward
#define pl_attention_scratch scalar_attention_scratch
#define pl_attention_forward scalar_attention_forward
#define pl_attention_backward scalar_attention_backward
#define pl_swiglu_forward scalar_swiglu_forward
#define pl_swiglu_backward scalar_swiglu_backward
#define pl_embedding_forward scalar_embedding_forward
#define pl_embedding_backward scalar_embedding_backward
#define pl_cross_entropy scalar_cross_entropy
#define pl_softmax scalar_softmax
#define pl_adamw_step scalar_adamw_step
#define pl_kernels_selftest scalar_kernels_selftest

#include "../../src/kernels/activation.c"
#include "../../src/kernels/adamw.c"
#include "../../src/kernels/attention.c"
#include "../../src/kernels/cross_entropy.c"
#include "../../src/kernels/dropout.c"
#include "../../src/kernels/elementwise.c"
#include "../../src/kernels/embedding.c"
#include "../../src/kernels/gemm.c"
#include "../../src/kernels/pack.c"
#include "../../src/kernels/rmsnorm.c"
#include "../../src/kernels/rope.c"
#include "../../src/kernels/selftest.c"
#include "../../src/kernels/swiglu.c"
#include "../../src/kernels/tile.c"
#include "../../src/simd/vecmath.c"

#include "harness.h"

#undef pl_activation_forward
#undef pl_activation_backward
#undef pl_kernels_selftest
void pl_activation_forward(pl_activation f, const real *x, real *y, size_t n);
void pl_activation_backward(pl_activation f, const real *x, const real *dy, real *dx, size_t n);
uint64_t pl_kernels_selftest(void);

TEST(every_kernel_gives_the_known_answer_on_both_back_ends) {
    const uint64_t vectors = pl_kernels_selftest(), scalar = scalar_kernels_selftest();
    CHECK_MSG(vectors == scalar, "vectors 0x%016llX, scalar 0x%016llX", (unsigned long long)vectors,
              (unsigned long long)scalar);
    CHECK_MSG(vectors == PL_KERNELS_KNOWN_ANSWER, "the answer is 0x%016llX", (unsigned long long)vectors);
    CHECK(pl_kernels_selftest() == vectors);
}

/* The elementary functions inside the activations, over 400,000 values of every magnitude and sign. */
TEST(elementary_functions_have_the_same_bits) {
    enum { N = 4096 };
    static real x[N], one[N], vectors[N], scalar[N];
    uint32_t seed = 1;
    pl_fill(one, (real)1, N);
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < N; i++) {
            seed = seed * 1664525u + 1013904223u;
            const uint32_t bits =
                (seed & 0x807FFFFFu) | ((90u + (seed >> 10) % 45u) << 23); /* 2^-37 .. 2^7 */
            memcpy(&x[i], &bits, sizeof bits);
        }
        for (int f = PL_ACT_RELU; f <= PL_ACT_IDENTITY; f++) {
            pl_activation_forward((pl_activation)f, x, vectors, N);
            scalar_activation_forward((pl_activation)f, x, scalar, N);
            CHECK(memcmp(vectors, scalar, sizeof scalar) == 0);
            pl_activation_backward((pl_activation)f, x, one, vectors, N);
            scalar_activation_backward((pl_activation)f, x, one, scalar, N);
            CHECK(memcmp(vectors, scalar, sizeof scalar) == 0);
        }
    }
}
