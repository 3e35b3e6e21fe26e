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

static const pl_tensor *base_tensor(const pl_model *model, int32_t layer, pl_site site) {
    pl_tensor name;
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    pl_tensor_name(&name, "%.110s.weight", path);
    int32_t base = pl_layout_find(&model->layout, name.name);
    return base == PL_NONE ? NULL : &model->layout.tensors[base];
}

pl_status pl_delta(pl_module *module, const pl_model *model, int32_t layer, pl_site site, real *delta,
                   pl_error *error) {
    const pl_tensor *base = base_tensor(model, layer, site);
    if (!base)
        return not_touched(module, layer, site, error);
    size_t size = (size_t)(base->rows * base->cols);
    const real *w = model->values + base->offset, *own = replacement(module, base);
    bool targeted = module->method->merge && pl_options_targets(&module->options, layer, site);
    if (module->method->cannot_merge)
        return pl_fail(error, PL_ERR_UNSUPPORTED, "module '%s' (%s) changes no weights: %s", module->name,
                       module->method->label, module->method->cannot_merge);
    if (!own && !targeted)
        return not_touched(module, layer, site, error);
    if (is_plain_lora(module)) { /* s B A itself, without a detour over W */
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

static pl_status factor_spectrum(pl_module *module, int32_t layer, pl_site site, double *values,
                                 pl_error *error) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    size_t a_size = (size_t)s->rank * (size_t)s->in, b_size = (size_t)s->out * (size_t)s->rank;
    const real *a = pl_module_values(module, layer, (int32_t)site, PL_LORA_A);
    const real *b = pl_module_values(module, layer, (int32_t)site, PL_LORA_B);
    double *copy = pl_memory_alloc(module->memory, a_size + b_size, sizeof *copy);
    if (!copy)
        return pl_fail(error, PL_ERR_MEMORY, "no memory left for the factors of module '%s'", module->name);
    for (size_t i = 0; i < a_size; i++)
        copy[i] = (double)a[i] * (double)s->scale;
    for (size_t i = 0; i < b_size; i++)
        copy[a_size + i] = (double)b[i];
    pl_svd svd = {0};
    pl_status status =
        pl_svd_product(module->memory, copy + a_size, copy, s->out, s->rank, s->in, &svd, error);
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
