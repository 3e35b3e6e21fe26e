/* Several trained LoRAs become one new LoRA, and what a module changes in a map (for inspection).
 *
 * With u_i = w_i s_i (user's weight times alpha/r) the honest result is the weighted sum of the changes,
 *
 *      D = sum_i u_i B_i A_i          [out, in]
 *
 * which a stack of active modules with weights computes exactly, and which only "cat" stores exactly in one LoRA: its rank is the sum of the
 * ranks. Every other type is an approximation in fewer numbers, or deliberately something else; each reports how far from D it lands.
 *
 *  cat               A = rows u_i A_i, B = columns B_i                                                     exact
 *  linear            A = sum sign(u_i) sqrt|u_i| A_i, B = sum sqrt|u_i| B_i: has cross terms B_j A_i; exact only when those vanish
 *  svd               best rank-k approximation of D (Eckart, Young 1936)
 *  ties              TIES: prune to `density` by magnitude, elect a sign per element, average what agrees. Yadav et al. 2023, arXiv:2306.01708
 *  dare_linear,      DARE: drop at random, rescale by 1/density, then sum or elect. Yu et al. 2023, arXiv:2311.03099
 *  dare_ties
 *  magnitude_prune   prune to `density` by magnitude, then sum
 *  *_svd             the same rule on the full changes s_i B_i A_i, then rank-k approximation; the others work on the A_i and B_i apart
 *
 * Names, options and formulas are those of peft's add_weighted_adapter. */
#ifndef PL_PEFT_MIX_H
#define PL_PEFT_MIX_H

#include "peft/methods.h"

typedef enum pl_mix_type {
    PL_MIX_CAT,
    PL_MIX_LINEAR,
    PL_MIX_SVD,
    PL_MIX_TIES,
    PL_MIX_TIES_SVD,
    PL_MIX_DARE_LINEAR,
    PL_MIX_DARE_TIES,
    PL_MIX_DARE_LINEAR_SVD,
    PL_MIX_DARE_TIES_SVD,
    PL_MIX_MAGNITUDE_PRUNE,
    PL_MIX_MAGNITUDE_PRUNE_SVD,
    PL_MIX_COUNT
} pl_mix_type;

const char *pl_mix_name(pl_mix_type type);    /* "dare_ties_svd" */
const char *pl_mix_summary(pl_mix_type type); /* one sentence for people */
/* Errors: PL_ERR_ARGUMENT for an unknown name (lists those there are). */
pl_status pl_mix_find(const char *name, pl_mix_type *type, pl_error *error);

typedef struct pl_mix_options {
    pl_mix_type type;
    int32_t svd_rank; /* rank of *svd results; 0: the largest rank among the sources */
    double density;   /* share kept by pruning, in (0, 1]; 1: nothing is pruned */
    bool frequency;   /* majority_sign_method "frequency" (count signs) instead of "total" (sum values) */
    uint64_t seed;    /* of DARE's random choice */
    /* peft's quirks as of 0.21: rsLoRA sources make the result sqrt(rank) too strong, one source is always "linear", and the rank of a source
       is the largest number its configuration names, whether or not a map has it */
    bool compat;
    bool compat_double; /* and those of peft <= 0.20: *svd types count the scale s_i twice */
} pl_mix_options;

pl_mix_options pl_mix_options_default(pl_mix_type type); /* density 0.5, the rest zero */

typedef struct pl_mix_report {
    int32_t rank; /* of the result */
    /* |result - D| / |D|, Frobenius norms over all maps together; where D is 0, against the size of what cancelled */
    double relative_error;
    double norm; /* |D|; 0 where its products cancel but for rounding, as those of an untrained PiSSA do */
    bool exact;  /* relative_error is rounding only (<= 1e-6) */
} pl_mix_report;

/* Makes the new module from LoRA modules[count] with these weights (module->weight plays no part). Targets are united; a map that only some
   sources target gets their share alone. alpha equals the rank, so the result's own scale is 1. PiSSA's and OLoRA's count as the plain LoRAs
   of twice the rank that they amount to.
   Errors: PL_ERR_UNSUPPORTED for other methods and DoRA, PL_ERR_MISMATCH for unequal ranks where the rule needs equal ones (linear, ties,
   dare_*, magnitude_prune without _svd), PL_ERR_RANGE for count, a weight that is not finite, density, svd_rank or the rank of the result,
   PL_ERR_MEMORY. */
pl_status pl_mix(pl_memory *memory, pl_model *model, pl_module *const *modules, const double *weights,
                 int32_t count, const pl_mix_options *options, const char *name, pl_module **result,
                 pl_mix_report *report, pl_error *error);

/* ---- mix_rules.c: the element-wise rules, on x[count][n] with factors c[count]; x is changed ---- */

/* Keeps the int(density * n) elements of largest magnitude; scratch[n]. */
void pl_mix_prune_magnitude(double *x, size_t n, double density, double *scratch);
/* Keeps each element with probability density and divides it by density. */
void pl_mix_prune_random(double *x, size_t n, double density, pl_rng *rng);
/* y[n] = sum_i c_i x_i */
void pl_mix_sum(double *const *x, const double *c, int32_t count, size_t n, double *y);
/* y[n] = sum of c_i x_i over the x_i whose sign is the elected one, divided by their number. The sign is elected before weighting; a tie is
   positive; zeros agree with nobody. */
void pl_mix_elect(double *const *x, const double *c, int32_t count, size_t n, bool frequency, double *y);

/* ---- delta.c ---- */

/* delta[out, in]: what merging the module alone would add to this map, W' - W (for LoRA s B A, weight included). Call after prepare.
   Errors: PL_ERR_UNSUPPORTED when the method cannot be merged, PL_ERR_MISMATCH when the module does not touch this map. */
pl_status pl_delta(pl_module *module, const pl_model *model, int32_t layer, pl_site site, real *delta,
                   pl_error *error);

/* Singular values of a matrix[rows, cols], descending: values[min(rows, cols)]. Errors: PL_ERR_MEMORY. */
pl_status pl_singular_values(pl_memory *memory, const real *matrix, int32_t rows, int32_t cols,
                             double *values, pl_error *error);

/* Singular values of pl_delta: values[min(in, out)], those beyond the rank are 0. For LoRA without DoRA from the factors, which takes
   microseconds; otherwise from the full matrix. Errors: those of pl_delta, PL_ERR_MEMORY. */
pl_status pl_delta_spectrum(pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            double *values, pl_error *error);

#endif
