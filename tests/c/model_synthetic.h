/* A module that uses every hook of model/hooks.h with simple formulas, to test the model without any
 * fine-tuning method:
 *   learned rows   x = e                 memory rows   k, v
 *   site input     x = s * x             block         h = b * h + a * x
 *   linear map     y[o] = l[o] * y[o] + c[o] * dropout(x)[o mod in]
 */
#ifndef PL_TEST_MODEL_SYNTHETIC_H
#define PL_TEST_MODEL_SYNTHETIC_H

#include "model/model.h"

typedef struct synthetic_kinds {
    int32_t virtual_tokens, memory_tokens;
    bool memory_shifts;
    uint8_t input_sites, linear_sites; /* bit s */
    uint8_t blocks;                    /* bit b */
    int32_t first_layer;
    double dropout;
} synthetic_kinds;

typedef struct synthetic {
    synthetic_kinds kinds;
    pl_config config;
    pl_layout layout; /* its parameters, slot = kind */
    real *values, *gradients;
    real *saved; /* activations of one pass, by layer and place */
    int32_t rows_max;
    int32_t backward_calls, lowest_layer; /* seen by backward hooks of sites and blocks */
    bool dx_given, dx_missing;            /* of q, k, v in the lowest layer */
} synthetic;

synthetic *synthetic_make(pl_memory *memory, const pl_config *config, const synthetic_kinds *kinds,
                          int32_t rows_max, uint64_t seed);
/* Appends it to the stack. */
void synthetic_push(pl_stack *stack, synthetic *module, bool trains);

#endif
