/* From active modules to the hooks the model calls. The order of the list is the order they run in; contributions to the same place add up,
   and what cannot add up is refused here, before any number is computed. */
#include "peft/methods.h"

#include <string.h>

static void fill_hooks(pl_module *module, pl_hooks *hooks) {
    const pl_method *method = module->method;
    pl_needs needs = {0};
    if (method->needs)
        method->needs(&module->options, &module->config, &needs);
    *hooks = (pl_hooks){
        .self = module,
        .virtual_tokens = needs.virtual_tokens,
        .memory_tokens = needs.memory_tokens,
        .memory_shifts = needs.memory_shifts,
        .trains = module->gradients != NULL,
        .first_layer = needs.first_layer,
        .input_sites = needs.input_sites,
        .embed_forward = method->embed_forward,
        .embed_backward = method->embed_backward,
        .memory_kv = method->memory_kv,
        .input_forward = method->input_forward,
        .input_backward = method->input_backward,
        .linear_forward = method->linear_forward,
        .linear_backward = method->linear_backward,
        .block_forward = method->block_forward,
        .block_backward = method->block_backward,
    };
}

static pl_status check_weight(const pl_module *module, pl_error *error) {
    if (module->weight == (real)1 || module->method->can_scale)
        return PL_OK;
    return pl_fail(error, PL_ERR_UNSUPPORTED,
                   "module '%s': %s cannot be weighted (%g); only weight 1 has a meaning for it",
                   module->name, module->method->label, (double)module->weight);
}

/* Both modules' learned rows are visible, but where the first token stands can follow only one convention. */
static pl_status check_memory(pl_module *const *modules, const pl_hooks *hooks, int32_t i, int32_t j,
                              pl_error *error) {
    if (hooks[i].memory_tokens == 0 || hooks[j].memory_tokens == 0 ||
        hooks[i].memory_shifts == hooks[j].memory_shifts)
        return PL_OK;
    return pl_fail(error, PL_ERR_UNSUPPORTED,
                   "modules '%s' and '%s' add key/value rows with different token positions (peft counts the "
                   "rows, AdapterHub "
                   "does not); use them one at a time or convert one of them",
                   modules[i]->name, modules[j]->name);
}

static pl_status check_replaced(const pl_module *a, const pl_module *b, pl_error *error) {
    for (int32_t i = 0; i < a->layout.count; i++) {
        const pl_tensor *tensor = &a->layout.tensors[i];
        int32_t other = tensor->replaces ? pl_layout_find(&b->layout, tensor->name) : PL_NONE;
        if (other != PL_NONE && b->layout.tensors[other].replaces)
            return pl_fail(error, PL_ERR_UNSUPPORTED,
                           "modules '%s' and '%s' both replace %s; only one of them can be active", a->name,
                           b->name, tensor->name);
    }
    return PL_OK;
}

static pl_status check_pair(pl_module *const *modules, const pl_hooks *hooks, int32_t i, int32_t j,
                            pl_error *error) {
    if (modules[i] == modules[j])
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "module '%s' is listed twice; list it once with twice the weight", modules[i]->name);
    PL_TRY(check_memory(modules, hooks, i, j, error));
    return check_replaced(modules[i], modules[j], error);
}

pl_status pl_stack_build(pl_module *const *modules, int32_t count, pl_stack *stack, pl_error *error) {
    memset(stack, 0, sizeof *stack);
    if (count > PL_STACK_MAX)
        return pl_fail(error, PL_ERR_RANGE, "%d modules are active; at most %d can be", (int)count,
                       (int)PL_STACK_MAX);
    int64_t learned = 0;
    for (int32_t i = 0; i < count; i++) {
        PL_TRY(check_weight(modules[i], error));
        fill_hooks(modules[i], &stack->hooks[i]);
        for (int32_t j = 0; j < i; j++)
            PL_TRY(check_pair(modules, stack->hooks, j, i, error));
        learned += stack->hooks[i].virtual_tokens + stack->hooks[i].memory_tokens;
        if (learned >= modules[i]->config.max_position_embeddings)
            return pl_fail(error, PL_ERR_RANGE,
                           "the active modules put %lld learned rows in front of a context of %d",
                           (long long)learned, (int)modules[i]->config.max_position_embeddings);
    }
    stack->count = count;
    return PL_OK;
}

void pl_stack_prepare(pl_module *const *modules, int32_t count, const pl_model *model) {
    for (int32_t i = 0; i < count; i++)
        if (modules[i]->method->prepare)
            modules[i]->method->prepare(modules[i], model);
}

void pl_stack_finish(pl_module *const *modules, int32_t count) {
    for (int32_t i = count - 1; i >= 0; i--)
        if (modules[i]->method->finish)
            modules[i]->method->finish(modules[i]);
}
