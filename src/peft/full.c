/* Full fine-tuning: every base tensor is trained, on a copy. The same module machinery as for the small methods, so that the comparison is
   fair: parameters, optimiser memory and file size are counted in the same way. No hooks: the model itself knows how to train its tensors,
   it only gets other values and somewhere to put gradients (pl_module_attach). */
#include "peft/methods.h"

static pl_status full_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    (void)options;
    int32_t before = layout->count;
    PL_TRY(pl_model_declare(config, layout));
    for (int32_t i = before; layout->tensors && i < layout->count; i++) {
        layout->tensors[i].slot = i; /* base tensors need not have distinct slots */
        layout->tensors[i].replaces = true;
        layout->tensors[i].init = PL_INIT_CUSTOM;
    }
    return layout->status;
}

static pl_status full_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    (void)seed;
    return pl_module_copy_base(module, model, error);
}

static double no_flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)options, (void)config, (void)context;
    return 0;
}

const pl_method PL_METHOD_FULL = {
    .name = "full",
    .label = "Full fine-tuning",
    .summary =
        "Trains every weight of the model: the reference for quality, and for what the other methods save.",
    .paper = "Howard, Ruder 2018, arXiv:1801.06146",
    .declare = full_declare,
    .start = full_start,
    .flops = no_flops,
};
