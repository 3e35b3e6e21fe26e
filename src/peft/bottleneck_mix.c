/* Averaging adapters: what AdapterHub calls average_adapter (Chronopoulou et al. 2023, arXiv:2302.07027). The mean of the numbers is not the
   mean of what the networks do, as there is a non-linearity between them; it works as far as the adapters began alike and lie near each
   other. */
#include "peft/bottleneck.h"

#include <string.h>

/* Same places, widths and non-linearity: otherwise element i of one adapter means something else than element i of another. */
static pl_status check_alike(const pl_module *first, const pl_module *other, pl_error *error) {
    if (other->method != &PL_METHOD_BOTTLENECK)
        return pl_fail(error, PL_ERR_MISMATCH, "module '%s' is not a bottleneck adapter but %s", other->name,
                       other->method->label);
    bool same = first->layout.count == other->layout.count &&
                pl_bottleneck_variant_of(&first->options) == pl_bottleneck_variant_of(&other->options) &&
                pl_bottleneck_activation(&first->options) == pl_bottleneck_activation(&other->options) &&
                pl_bottleneck_scale(&first->options) == pl_bottleneck_scale(&other->options);
    for (int32_t i = 0; same && i < first->layout.count; i++) {
        const pl_tensor *a = &first->layout.tensors[i], *b = &other->layout.tensors[i];
        same = strcmp(a->name, b->name) == 0 && a->rows == b->rows && a->cols == b->cols;
    }
    if (!same)
        return pl_fail(
            error, PL_ERR_MISMATCH,
            "adapters '%s' and '%s' differ in placement, bottleneck, activation or scale; only equal ones "
            "can be averaged",
            first->name, other->name);
    return PL_OK;
}

pl_status pl_bottleneck_average(pl_memory *memory, pl_model *model, pl_module *const *modules,
                                const double *weights, int32_t count, const char *name, pl_module **average,
                                pl_error *error) {
    double sum = 0.0;
    *average = NULL;
    if (count < 1)
        return pl_fail(error, PL_ERR_ARGUMENT, "there is no adapter to average");
    for (int32_t i = 0; i < count; i++) {
        PL_TRY(check_alike(modules[0], modules[i], error));
        sum += weights[i];
    }
    if (!(sum > 1e-9))
        return pl_fail(error, PL_ERR_RANGE, "the weights add up to %g; an average needs a positive sum", sum);
    pl_module *made = NULL;
    PL_TRY(pl_module_create(memory, model, &modules[0]->options, name, 1, &made, error));
    for (int64_t j = 0; j < made->layout.extent; j++) {
        double value = 0.0;
        for (int32_t i = 0; i < count; i++)
            value += weights[i] / sum * (double)modules[i]->values[j];
        made->values[j] = (real)value;
    }
    made->method->prepare(made, model);
    *average = made;
    return PL_OK;
}
