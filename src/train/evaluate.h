/* Loss on held-out examples. */
#ifndef PL_TRAIN_EVALUATE_H
#define PL_TRAIN_EVALUATE_H

#include "peft/methods.h"
#include "train/dataset.h"

/* A workspace for one sequence at a time: every example's loss is the same bits whatever it is evaluated together with. */
typedef struct pl_evaluator {
    pl_memory *memory;
    pl_workspace *workspace;
    pl_batch_buffer buffer;
} pl_evaluator;

/* Plans for examples of up to `longest` tokens with these modules. Modules must be prepared (pl_stack_prepare). Errors: PL_ERR_MEMORY. */
pl_status pl_evaluator_create(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                              const pl_stack *stack, int32_t longest, pl_evaluator *evaluator,
                              pl_error *error);
void pl_evaluator_free(pl_evaluator *evaluator);

/* Sum of nats and number of targets of one example. Errors: PL_ERR_RANGE where there is no such example, those of pl_forward_loss. */
pl_status pl_evaluate_example(pl_evaluator *evaluator, pl_model *model, const pl_stack *stack,
                              const pl_dataset *dataset, int32_t example, pl_loss *loss, pl_error *error);

#endif
