/* Learning-rate schedules, as transformers' get_{constant,linear,cosine}_schedule_with_warmup. */
#ifndef PL_TRAIN_SCHEDULE_H
#define PL_TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum pl_schedule {
    PL_SCHEDULE_CONSTANT,
    PL_SCHEDULE_LINEAR,
    PL_SCHEDULE_COSINE,
    PL_SCHEDULE_COUNT
} pl_schedule;

const char *pl_schedule_name(pl_schedule schedule); /* "constant", "linear", "cosine" */

/* Factor on the learning rate at 0-based step: rises from 0 over warmup steps (0 at step 0, as in transformers), then 1, or falls to 0 at steps. */
double pl_schedule_factor(pl_schedule schedule, int32_t step, int32_t warmup, int32_t steps);

#endif
