/* DoRA: weight-decomposed low-rank adaptation. Liu et al. 2024, arXiv:2402.09353.
 *
 * The authors took apart what full fine-tuning does to each row of W: its length and its direction change independently, while LoRA changes
 * both in step. So LoRA's changed matrix V = W + s B A gives each output row its direction here; the row's length is trained separately:
 *
 *      y = g * (V x),    g[o] = m[o] / ||V[o, :]||          m[out] trained, starting at ||W[o, :]||, so g == 1 exactly
 *
 * As in the paper (section 4.3) and in peft the norm is a constant in the backward pass, which saves memory and, by their
 * measurements, costs next to no accuracy. (So finite differences disagree with these gradients unless they hold the norm still, too.)
 *
 *      z  = W x + s B A x       [n, out]   kept
 *      dm = sum over rows of dy * z / norm
 *      dz = g * dy                         and from there on it is LoRA
 *
 * With dropout peft drops the input of everything DoRA adds, of the (g - 1) W x term too: y = W x - W drop(x) + g * z(drop(x)).
 * PiSSA and OLoRA (lora_init.c) start from W - s B0 A0 in place of W, everywhere above; V at the start is W all the same.
 * Without dropout y already holds W x, and what earlier modules added to it is scaled too; so merging in the same order,
 * w <- g * (w + s B A), gives the same map.
 */
#include "peft/lora.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* norm[o] = ||V[o,:]||, summed in double; m starts from the same routine, so that g is exactly 1. */
void pl_dora_prepare(const pl_module *module, const pl_model *model, int32_t layer, pl_site site) {
    const pl_lora *lora = module->state;
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    const real *w = pl_model_linear(model, layer, site)->w;
    const real *m = pl_module_values(module, layer, (int32_t)site, PL_LORA_M);
    size_t in = (size_t)s->in;
    for (int32_t o = 0; o < s->out; o++) {
        memcpy(lora->row, w + (size_t)o * in, in * sizeof(real));
        pl_lora_row(module, layer, site, o, s->scale, lora->row);
        s->norm[o] = (real)sqrt(pl_sum_squares(lora->row, in));
        s->g[o] = s->norm[o] > 0 ? m[o] / s->norm[o] : 1; /* an all-zero row has no direction to scale */
    }
}

/* z -> kept for backward (when training), y = g * z. */
static void scale_rows(const pl_module *module, const pl_linear_at *at, const pl_lora_site *s, real *y) {
    real *z = at->pass->training ? pl_module_buffer(module, at->layer, (int32_t)at->site, PL_LORA_Z) : NULL;
    if (z)
        memcpy(z, y, (size_t)at->rows * (size_t)s->out * sizeof(real));
    pl_mul_rows(s->g, at->rows, s->out, y);
}

void pl_dora_forward(const pl_module *module, const pl_linear_at *at, const real *x, const real *dropped,
                     const real *u, real *y) {
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (!pl_lora_drops(module, at->pass)) {
        pl_lora_detour(module, at, x, u, y); /* y held W x: now z */
        scale_rows(module, at, s, y);
        return;
    }
    size_t count = (size_t)at->rows * (size_t)s->out;
    real *z = pl_module_buffer(module, at->layer, (int32_t)at->site, PL_LORA_Z);
    real *gz = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_DY);
    pl_linear_apply(at->linear, dropped, at->rows, z); /* W drop(x) */
    pl_add_scaled(z, -1, y, count);
    pl_lora_origin_forward(module, at, x, -1, y); /* of PiSSA's and OLoRA's W - s B0 A0 as well */
    pl_lora_origin_forward(module, at, dropped, 1, y);
    pl_lora_detour(module, at, dropped, u, z);
    memcpy(gz, z, count * sizeof(real));
    pl_mul_rows(s->g, at->rows, s->out, gz);
    pl_add(gz, y, count);
}

static void magnitude_gradient(pl_module *module, const pl_linear_at *at, const pl_lora_site *s,
                               const real *dy) {
    const pl_lora *lora = module->state;
    const real *z = pl_module_buffer(module, at->layer, (int32_t)at->site, PL_LORA_Z);
    real *dm = pl_module_gradients(module, at->layer, (int32_t)at->site, PL_LORA_M);
    pl_fill(lora->row, 0, (size_t)s->out);
    pl_mul_rows_backward(z, dy, at->rows, s->out, lora->row); /* dg */
    for (int32_t o = 0; o < s->out; o++)
        dm[o] += s->norm[o] > 0 ? lora->row[o] / s->norm[o] : 0;
}

const real *pl_dora_backward(pl_module *module, const pl_linear_at *at, real *dy, real *dx) {
    const pl_lora *lora = module->state;
    const pl_lora_site *s = pl_lora_site_at(module, at->layer, at->site);
    if (module->gradients)
        magnitude_gradient(module, at, s, dy);
    if (!pl_lora_drops(module, at->pass)) {
        pl_mul_rows(s->g, at->rows, s->out, dy); /* dy is now dz, for W and for earlier modules as well */
        return dy;
    }
    size_t count = (size_t)at->rows * (size_t)s->out, inputs = (size_t)at->rows * (size_t)s->in;
    real *dz = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_DY);
    memcpy(dz, dy, count * sizeof(real));
    pl_mul_rows(s->g, at->rows, s->out, dz);
    if (dx) { /* dx += drop((dz - dy) W): the base map itself still gets the whole dy */
        real *masked = pl_module_buffer(module, PL_NONE, PL_NONE, PL_LORA_X);
        pl_add_scaled(dy, -1, dz, count);
        pl_gemm(dz, at->rows, s->out, at->linear->packed_t, s->in, masked, false);
        pl_lora_origin_backward(module, at, dz, -1, masked);
        pl_pass_dropout(at->pass, pl_lora_tag(module, at), lora->dropout, masked, s->in, masked);
        pl_add(masked, dx, inputs);
        memcpy(dz, dy, count * sizeof(real));
        pl_mul_rows(s->g, at->rows, s->out, dz);
    }
    return dz;
}

/* w <- g * (w + s B A), with the norm of the last prepare() (peft caches it in the same way). */
void pl_dora_merge(const pl_module *module, int32_t layer, pl_site site, real *w) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    pl_lora_add_delta(module, layer, site, 1, w);
    for (int32_t o = 0; o < s->out; o++)
        pl_scale(w + (size_t)o * (size_t)s->in, s->g[o], (size_t)s->in);
}

/* w <- w / g - s B A */
void pl_dora_unmerge(const pl_module *module, int32_t layer, pl_site site, real *w) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    for (int32_t o = 0; o < s->out; o++)
        for (int32_t i = 0; i < s->in; i++)
            w[(size_t)o * (size_t)s->in + (size_t)i] /= s->g[o];
    pl_lora_add_delta(module, layer, site, -1, w);
}
