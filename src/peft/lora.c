/* LoRA: low-rank adaptation. Hu et al. 2021, arXiv:2106.09685.
 *
 * A frozen map W[out, in] gets a trained detour through r dimensions:
 *
 *      y = W x + s * B (A drop(x))         A[r, in], B[out, r], s = alpha / r
 *
 * Only A and B are trained: r (in + out) numbers in place of in * out. Full fine-tuning may change W by any matrix; here the change is
 * s B A, of rank r at most: r directions of the input (rows of A) are looked at, r directions of the output (columns of B) answer.
 *
 * The start. B = 0, so the first step begins exactly at the base model. A must not be 0, too: each is the factor of the other's gradient
 * (below), and from A = B = 0 neither would ever move. A random, B zero: B moves at once, A as soon as B has.
 *
 * The scale. A change of r adds terms to the sum B A; dividing by r makes up for that, so that, say the authors, the learning rate need not be
 * found anew for every r. With Adam tuning alpha is much like tuning the learning rate, so they set it once and leave it alone.
 *
 * Rows are tokens here, n of them, so with x[n, in] and the intermediate u and du, which are only r wide,
 *
 *      u = drop(x) A^T            [n, r]      kept for the backward pass
 *      y = x W^T + s * u B^T      [n, out]
 *
 *      du = dy B                  [n, r]
 *      dB += s * dy^T u           [out, r]
 *      dA += s * du^T drop(x)     [r, in]     zero while B is zero. The mask is drawn again, not stored
 *      dx += s * drop(du A)       [n, in]
 *
 * In this order, (x A^T) B^T, the detour costs r (in + out) multiply-adds per token; B A first would cost as much as W once more, and would
 * have to be stored. W itself needs no gradient and no optimiser state: its part of the backward pass is dx += dy W alone
 * (model/backward.c). Yet the whole of it is multiplied with, forward and backward: LoRA saves memory far more than time.
 *
 * Merging. W + s B A is a matrix of W's shape, so after training the detour can be multiplied out (lora_merge) and costs nothing any more.
 * In 16 bits that rounds; here it is done on a copy in full precision, and the old W is kept (merge.c). A module's weight w (a slider from
 * "base" to "trained" and beyond) stands beside s everywhere: s <- w alpha / r.
 *
 * rsLoRA (Kalajdzievski 2023, arXiv:2312.03732): s = alpha / sqrt(r), as with alpha / r the gradients die away when r grows. LoRA+ (Hayou
 * et al. 2024, arXiv:2402.12354): B learns faster than A by loraplus_lr_ratio. DoRA (Liu et al. 2024, arXiv:2402.09353): dora.c.
 *
 * PiSSA and OLoRA (lora_init.c) start at some B0 A0 != 0 and take it out of the base, so that the start is the base model again:
 *
 *      y = W x + s * (B A drop(x) - B0 A0 x)  =  W x + s * ((B - B0) u + B0 u0),    u0 = u - A0 x
 *
 * A0 and B0 are frozen: dA and dB are the same as above, and dx gets - s * (dy B0) A0 more.
 */
#include "peft/lora.h"

#include "kernels/kernels.h"

/* ---- the detour -------------------------------------------------------------------------------------------------------- */

bool pl_lora_drops(const pl_module *module, const pl_pass *pass) {
    const pl_lora *lora = module->state;
    return pl_pass_drops(pass) && lora->dropout > 0;
}

uint64_t pl_lora_tag(const pl_module *module, const pl_linear_at *at) {
    return pl_rng_mix(module->tag, (uint64_t)(at->layer * PL_SITE_COUNT + (int32_t)at->site));
}

const real *pl_lora_input(const pl_module *module, const pl_linear_at *at, const real *x) {
    if (!pl_lora_drops(module, at->pass))
        return x;
    const pl_lora *lora = module->state;
    real *dropped = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_X);
    pl_pass_dropout(at->pass, pl_lora_tag(module, at), lora->dropout, x, at->in, dropped);
    return dropped;
}

/* Training needs u of every map at once, when backward comes; otherwise one buffer serves them all. */
static real *saved_u(const pl_module *module, const pl_linear_at *at) {
    real *u = pl_module_buffer(module, at->layer, (int32_t)at->site, PL_LORA_U);
    return u ? u : pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_U);
}

/* These two work in the same shared buffer of [rows, rank] numbers: neither leaves anything in it. */
void pl_lora_origin_forward(const pl_module *module, const pl_linear_at *at, const real *x, real sign,
                            real *y) {
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (!s->origin.a)
        return;
    real *u0 = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_U0);
    pl_gemm(x, at->rows, s->in, s->origin.a_packed, s->rank, u0, false);
    pl_gemm_scaled(u0, at->rows, s->rank, s->origin.b_packed, s->out, sign * s->scale, y);
}

void pl_lora_origin_backward(const pl_module *module, const pl_linear_at *at, const real *dy, real sign,
                             real *dx) {
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (!s->origin.a)
        return;
    real *du = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_U0);
    pl_gemm(dy, at->rows, s->out, s->origin.b_t, s->rank, du, false);
    pl_gemm_scaled(du, at->rows, s->rank, s->origin.a_t, s->in, sign * s->scale, dx);
}

void pl_lora_detour(const pl_module *module, const pl_linear_at *at, const real *base, const real *u,
                    real *y) {
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (s->origin.a) {
        real *u0 = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_U0);
        size_t count = (size_t)at->rows * (size_t)s->rank;
        pl_gemm(base, at->rows, s->in, s->origin.a_packed, s->rank, u0, false);
        pl_scale(u0, -1, count);
        pl_add(u, u0, count); /* u0 = u - base A0^T */
        pl_gemm_scaled(u0, at->rows, s->rank, s->origin.b_packed, s->out, s->scale, y);
    }
    /* y += s u B^T; with an origin s->b is B - B0 */
    pl_gemm_scaled(u, at->rows, s->rank, s->b, s->out, s->scale, y);
}

static void lora_forward(void *self, const pl_linear_at *at, const real *x, real *y) {
    pl_module *module = self;
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (s->rank == 0)
        return;
    real *u = saved_u(module, at);
    const real *dropped = pl_lora_input(module, at, x);
    pl_gemm(dropped, at->rows, s->in, s->a, s->rank, u, false); /* u = drop(x) A^T */
    if (s->g)
        pl_dora_forward(module, at, x, dropped, u, y);
    else
        pl_lora_detour(module, at, x, u, y);
}

/* dx += s * drop(du A) */
static void lora_input_gradient(const pl_module *module, const pl_linear_at *at, const pl_lora_site *s,
                                const real *du, real *dx) {
    if (!pl_lora_drops(module, at->pass)) {
        pl_gemm_scaled(du, at->rows, s->rank, s->a_t, s->in, s->scale, dx);
        return;
    }
    const pl_lora *lora = module->state;
    real *masked = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_X);
    pl_gemm(du, at->rows, s->rank, s->a_t, s->in, masked, false);
    pl_pass_dropout(at->pass, pl_lora_tag(module, at), lora->dropout, masked, s->in, masked);
    pl_add_scaled(masked, s->scale, dx, (size_t)at->rows * (size_t)s->in);
}

/* Runs before the base map's own backward (hooks.h), which then reads dy as this leaves it: changed by DoRA, else untouched. dx NULL: nothing
   below trains. gradients NULL: the module is frozen, and only passes the gradient on. */
static void lora_backward(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx) {
    pl_module *module = self;
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (s->rank == 0)
        return;
    int32_t n = at->rows, site = (int32_t)at->site;
    const real *dv = s->g ? pl_dora_backward(module, at, dy, dx) : dy; /* gradient of v = s u B^T */
    real *du = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_DU);
    pl_gemm(dv, n, s->out, s->b_t, s->rank, du, false); /* du = dv B */
    if (module->gradients) {
        real *scratch = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_OUTER);
        const real *dropped = pl_lora_input(module, at, x);
        /* dB += s dv^T u,  dA += s du^T drop(x) */
        pl_gemm_outer(dv, saved_u(module, at), n, s->out, s->rank, s->scale,
                      pl_module_gradients(module, at->layer, site, PL_LORA_B), scratch);
        pl_gemm_outer(du, dropped, n, s->rank, s->in, s->scale,
                      pl_module_gradients(module, at->layer, site, PL_LORA_A), scratch);
    }
    if (dx) {
        lora_input_gradient(module, at, s, du, dx);
        pl_lora_origin_backward(module, at, dy, -1, dx);
    }
}

/* ---- merging -------------------------------------------------------------------------------------------------------------- */

/* Row o of B A is B[o, 0] A[0, :] + … + B[o, r-1] A[r-1, :]: no caller needs B A as a whole. With an origin the form of lora_init.c. */
void pl_lora_row(const pl_module *module, int32_t layer, pl_site site, int32_t o, real factor, real *row) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    size_t in = (size_t)s->in, first = (size_t)o * (size_t)s->rank;
    const real *a = pl_module_values(module, layer, (int32_t)site, PL_LORA_A);
    const real *b = pl_module_values(module, layer, (int32_t)site, PL_LORA_B) + first;
    for (int32_t k = 0; k < s->rank; k++, a += in) {
        if (!s->origin.a) {
            pl_add_scaled(a, factor * b[k], row, in);
            continue;
        }
        const real *a0 = s->origin.a + (size_t)k * in, b0 = s->origin.b[first + (size_t)k];
        for (size_t i = 0; i < in; i++)
            row[i] += factor * ((b[k] - b0) * a[i] + b0 * (a[i] - a0[i]));
    }
}

void pl_lora_add_delta(const pl_module *module, int32_t layer, pl_site site, real sign, real *w) {
    const pl_lora *lora = module->state;
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    size_t in = (size_t)s->in;
    for (int32_t o = 0; o < s->out; o++) {
        pl_fill(lora->row, 0, in);
        pl_lora_row(module, layer, site, o, 1, lora->row);
        pl_add_scaled(lora->row, sign * s->scale, w + (size_t)o * in, in);
    }
}

static pl_status lora_merge(const pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            real *w, pl_error *error) {
    (void)model, (void)error;
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    if (s->g)
        pl_dora_merge(module, layer, site, w);
    else if (s->rank > 0)
        pl_lora_add_delta(module, layer, site, 1, w);
    return PL_OK;
}

static void lora_unmerge(const pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                         real *w) {
    (void)model;
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    if (s->g)
        pl_dora_unmerge(module, layer, site, w);
    else if (s->rank > 0)
        pl_lora_add_delta(module, layer, site, -1, w);
}

/* LoRA adds s B A x whatever else stands at the map; DoRA scales by the norms of W + s B A, so W must not change under it. */
static pl_effect lora_effect(const pl_options *options, int32_t layer, pl_site site) {
    (void)layer, (void)site;
    return pl_option_number(options, "use_dora") != 0.0 ? PL_EFFECT_NORMS : PL_EFFECT_ADDS;
}

const pl_method PL_METHOD_LORA = {
    .name = "lora",
    .label = "LoRA",
    .summary = "Adds a thin trained detour of rank r beside chosen linear maps; it can be multiplied into "
               "the weights afterwards.",
    .paper = "Hu et al. 2021, arXiv:2106.09685",
    .options = PL_LORA_OPTIONS,
    .option_count = PL_LORA_OPTION_COUNT,
    .can_scale = true,
    .check = pl_lora_check,
    .declare = pl_lora_declare,
    .needs = pl_lora_needs,
    .scratch = pl_lora_scratch,
    .start = pl_lora_start,
    .prepare = pl_lora_prepare,
    .flops = pl_lora_flops,
    .linear_forward = lora_forward,
    .linear_backward = lora_backward,
    .merge = lora_merge,
    .unmerge = lora_unmerge,
    .effect = lora_effect,
    .file_declare = pl_lora_file_declare,
};
