/* One example, forward only. */
#include "train/evaluate.h"

pl_status pl_evaluator_create(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                              const pl_stack *stack, int32_t longest, pl_evaluator *evaluator,
                              pl_error *error) {
    *evaluator = (pl_evaluator){.memory = memory};
    int32_t rows = longest;
    for (int32_t i = 0; i < stack->count; i++)
        rows += stack->hooks[i].virtual_tokens;
    pl_extent extent = {.rows = rows, .seqs = 1, .labels = longest, .training = false};
    for (int32_t i = 0; i < count; i++)
        PL_TRY(pl_module_plan(modules[i], &extent, error));
    PL_TRY(pl_workspace_create(memory, model, stack, &extent, &evaluator->workspace, error));
    pl_status status = pl_batch_buffer_create(memory, 1, longest, &evaluator->buffer, error);
    if (status != PL_OK)
        pl_evaluator_free(evaluator);
    return status;
}

void pl_evaluator_free(pl_evaluator *evaluator) {
    if (!evaluator->memory)
        return;
    pl_workspace_free(evaluator->workspace);
    pl_batch_buffer_free(evaluator->memory, &evaluator->buffer);
    *evaluator = (pl_evaluator){0};
}

pl_status pl_evaluate_example(pl_evaluator *evaluator, pl_model *model, const pl_stack *stack,
                              const pl_dataset *dataset, int32_t example, pl_loss *loss, pl_error *error) {
    pl_batch_clear(&evaluator->buffer);
    if (example < 0 || example >= dataset->example_count ||
        !pl_batch_append(&evaluator->buffer, dataset, example, (uint64_t)example))
        return pl_fail(error, PL_ERR_RANGE, "example %d is outside 0..%d", example,
                       dataset->example_count - 1);
    return pl_forward_loss(model, stack, evaluator->workspace, &evaluator->buffer.batch, false, 0, 0, loss,
                           error);
}
