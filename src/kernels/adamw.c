/* AdamW (Loshchilov and Hutter 2019), in the order of torch.optim.AdamW:
 *   g *= g_scale;  w *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   w -= (lr / c1) m / (sqrt(v) / sqrt(c2) + eps)
 * 1 - b is formed in double: 1 - 0.999f is off by 1e-5, which PyTorch's double scalars are not. */
#include "kernels/kernels.h"
#include "simd/simd.h"

#include <math.h>

typedef struct pl_adamw_vectors {
    pl_vec beta1, rest1, beta2, rest2, step, inverse_root2, eps, keep, g_scale;
} pl_adamw_vectors;

PL_INLINE void update(const pl_adamw_vectors *c, pl_vec g, pl_vec *m, pl_vec *v, pl_vec *w) {
    g = vec_mul(g, c->g_scale);
    *m = vec_madd(vec_mul(c->beta1, *m), c->rest1, g);
    *v = vec_madd(vec_mul(c->beta2, *v), c->rest2, vec_mul(g, g));
    const pl_vec root = vec_madd(c->eps, vec_sqrt(*v), c->inverse_root2);
    *w = vec_sub(vec_mul(*w, c->keep), vec_div(vec_mul(c->step, *m), root));
}

void pl_adamw_step(const pl_adamw *a, const real *g, real g_scale, real *m, real *v, real *w, size_t n) {
    const real one = (real)1;
    const pl_adamw_vectors c = {.beta1 = vec_splat((real)a->beta1),
                                .rest1 = vec_splat((real)(1.0 - a->beta1)),
                                .beta2 = vec_splat((real)a->beta2),
                                .rest2 = vec_splat((real)(1.0 - a->beta2)),
                                .step = vec_splat(a->lr / a->correction1),
                                .inverse_root2 = vec_splat((real)(1.0 / sqrt((double)a->correction2))),
                                .eps = vec_splat(a->eps),
                                .keep = vec_splat(one - a->lr * a->weight_decay),
                                .g_scale = vec_splat(g_scale)};
    size_t i = 0;
    for (; i + PL_LANES <= n; i += PL_LANES) {
        pl_vec mi = vec_load(m + i), vi = vec_load(v + i), wi = vec_load(w + i);
        update(&c, vec_load(g + i), &mi, &vi, &wi);
        vec_store(m + i, mi);
        vec_store(v + i, vi);
        vec_store(w + i, wi);
    }
    const size_t rest = n - i;
    pl_vec mi = vec_load_part(m + i, rest, (real)0), vi = vec_load_part(v + i, rest, (real)0);
    pl_vec wi = vec_load_part(w + i, rest, (real)0);
    update(&c, vec_load_part(g + i, rest, (real)0), &mi, &vi, &wi);
    vec_store_part(m + i, mi, rest);
    vec_store_part(v + i, vi, rest);
    vec_store_part(w + i, wi, rest);
}
