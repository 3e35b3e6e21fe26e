/* Inside the combination of LoRAs: one request, and its work on one linear map. */
#ifndef PL_PEFT_MIX_MAP_H
#define PL_PEFT_MIX_MAP_H

#include "peft/mix.h"

enum { PL_MIX_MAX = PL_STACK_MAX /* sources of one combination */ };

typedef enum pl_mix_rule { PL_MIX_RULE_SUM, PL_MIX_RULE_ELECT } pl_mix_rule;
typedef enum pl_mix_pruning {
    PL_MIX_PRUNE_NOTHING,
    PL_MIX_PRUNE_MAGNITUDE,
    PL_MIX_PRUNE_RANDOM
} pl_mix_pruning;

/* One combination under way. */
typedef struct pl_mixing {
    pl_memory *memory;
    pl_module *const *modules;
    const double *weights;
    int32_t count;
    pl_mix_options options;
    pl_mix_type type; /* options.type, or what a quirk makes of it */
    pl_mix_rule rule;
    pl_mix_pruning pruning;
    bool full_matrix; /* *_svd */
    pl_module *made;
    int32_t rank;
    /* Sums over maps: of result - D, of D, of the products that D is the sum of. */
    double square_error, square_norm, square_terms;
} pl_mixing;

/* Computes one map of mix->made from every source that targets it (nothing to do when none does), and adds its distance from the exact sum. */
pl_status pl_mix_map(pl_mixing *m, int32_t layer, pl_site site, pl_error *error);

#endif
