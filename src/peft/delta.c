/* What a module changes in one linear map, and the spectrum of that change. */
#include <string.h>

#include "kernels/kernels.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft/svd.h"

static pl_status not_touched(const pl_module *module, int32_t layer, pl_site site, pl_error *error) {
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    return pl_fail(error, PL_ERR_MISMATCH, "module '%s' does not change %s", module->name, path);
}

static bool is_plain_lora(const pl_module *module) {
    return module->method == &PL_METHOD_LORA && !((const pl_lora *)module->state)->dora;
}

/* The module's own tensor in place of base tensor `base`, or NULL. */
static const real *replacement(const pl_module *module, const pl_tensor *base) {
    int32_t own = pl_layout_find(&module->layout, base->name);
    bool replaces = own != PL_NONE && module->layout.tensors[own].replaces;
    return replaces ? module->values + module->layout.tensors[own].offset : NULL;
}

pl_status pl_delta(pl_module *module, const pl_model *model, int32_t layer, pl_site site, real *delta,
                   pl_error *error) {
    const pl_tensor *base = &model->layout.tensors[pl_model_linear_index(layer, site)];
    size_t size = (size_t)(base->rows * base->cols);
    const real *w = model->values + base->offset, *own = replacement(module, base);
    bool targeted = module->method->merge && pl_options_targets(&module->options, layer, site);
    if (module->method->cannot_merge)
        return pl_fail(error, PL_ERR_UNSUPPORTED, "module '%s' (%s) changes no weights: %s", module->name,
                       module->method->label, module->method->cannot_merge);
    if (!own && !targeted)
        return not_touched(module, layer, site, error);
    if (is_plain_lora(module)) { /* the product itself, without a detour over W */
        pl_fill(delta, 0, size);
        return module->method->merge(module, model, layer, site, delta, error);
    }
    memcpy(delta, own ? own : w, size * sizeof(real));
    if (!own)
        PL_TRY(module->method->merge(module, model, layer, site, delta, error));
    pl_add_scaled(w, -1, delta, size);
    return PL_OK;
}

pl_status pl_singular_values(pl_memory *memory, const real *matrix, int32_t rows, int32_t cols,
                             double *values, pl_error *error) {
    size_t size = (size_t)rows * (size_t)cols;
    pl_svd svd = {0};
    double *copy = pl_memory_alloc(memory, size, sizeof *copy);
    if (!copy)
        return pl_fail(error, PL_ERR_MEMORY, "no memory left to decompose a %d x %d matrix", (int)rows,
                       (int)cols);
    for (size_t i = 0; i < size; i++)
        copy[i] = (double)matrix[i];
    pl_status status = pl_svd_dense(memory, copy, rows, cols, &svd, error);
    if (status == PL_OK)
        memcpy(values, svd.s, (size_t)svd.rank * sizeof *values);
    pl_svd_free(memory, &svd);
    pl_memory_free(memory, copy);
    return status;
}

/* a[inner, in] and b[out, inner] with s b a = the change: A and B, or with an origin [A; A - A0] and [B - B0, B0] (lora_init.c). */
static void change_factors(const pl_module *module, int32_t layer, pl_site site, int32_t inner, double *a,
                           double *b) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    const pl_lora_origin *origin = &s->origin;
    const real *from_a = pl_module_values(module, layer, (int32_t)site, PL_LORA_A);
    const real *from_b = pl_module_values(module, layer, (int32_t)site, PL_LORA_B);
    size_t rank = (size_t)s->rank, block = rank * (size_t)s->in;
    for (size_t i = 0; i < block; i++) {
        a[i] = (double)from_a[i] * (double)s->scale;
        if (origin->a)
            a[block + i] = (double)(from_a[i] - origin->a[i]) * (double)s->scale;
    }
    for (size_t i = 0; i < (size_t)s->out * rank; i++) {
        double *to = b + i / rank * (size_t)inner + i % rank;
        to[0] = (double)(origin->b ? from_b[i] - origin->b[i] : from_b[i]);
        if (origin->b)
            to[rank] = (double)origin->b[i];
    }
}

static pl_status factor_spectrum(pl_module *module, int32_t layer, pl_site site, double *values,
                                 pl_error *error) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    int32_t inner = s->origin.a ? 2 * s->rank : s->rank;
    size_t a_size = (size_t)inner * (size_t)s->in, b_size = (size_t)s->out * (size_t)inner;
    double *copy = pl_memory_alloc(module->memory, a_size + b_size, sizeof *copy);
    if (!copy)
        return pl_fail(error, PL_ERR_MEMORY, "no memory left for the factors of module '%s'", module->name);
    change_factors(module, layer, site, inner, copy, copy + a_size);
    pl_svd svd = {0};
    pl_status status = pl_svd_product(module->memory, copy + a_size, copy, s->out, inner, s->in, &svd, error);
    if (status == PL_OK)
        memcpy(values, svd.s, (size_t)svd.rank * sizeof *values);
    pl_svd_free(module->memory, &svd);
    pl_memory_free(module->memory, copy);
    return status;
}

pl_status pl_delta_spectrum(pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            double *values, pl_error *error) {
    int32_t out = pl_site_out(&module->config, site), in = pl_site_in(&module->config, site);
    memset(values, 0, (size_t)(out < in ? out : in) * sizeof *values);
    if (is_plain_lora(module) && pl_options_targets(&module->options, layer, site))
        return factor_spectrum(module, layer, site, values, error);
    real *delta = pl_memory_alloc(module->memory, (size_t)out * (size_t)in, sizeof(real));
    if (!delta)
        return pl_fail(error, PL_ERR_MEMORY, "no memory left for the change of module '%s'", module->name);
    pl_status status = pl_delta(module, model, layer, site, delta, error);
    if (status == PL_OK)
        status = pl_singular_values(module->memory, delta, out, in, values, error);
    pl_memory_free(module->memory, delta);
    return status;
}
