/* The element-wise rules of combining: pruning, sign election, weighted sums (peft's utils/merge_utils.py). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peft/mix.h"

static int descending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Elements equal to the smallest kept magnitude are kept from the front until the number is reached. */
void pl_mix_prune_magnitude(double *x, size_t n, double density, double *scratch) {
    if (density >= 1)
        return;
    size_t keep = (size_t)(density * (double)n), above = 0;
    for (size_t i = 0; i < n; i++)
        scratch[i] = fabs(x[i]);
    qsort(scratch, n, sizeof *scratch, descending);
    double smallest = keep ? scratch[keep - 1] : HUGE_VAL;
    while (above < keep && scratch[above] > smallest)
        above++;
    size_t equal = keep - above;
    for (size_t i = 0; i < n; i++) {
        if (fabs(x[i]) > smallest)
            continue;
        if (fabs(x[i]) == smallest && equal > 0)
            equal--;
        else
            x[i] = 0;
    }
}

void pl_mix_prune_random(double *x, size_t n, double density, pl_rng *rng) {
    if (density >= 1)
        return;
    for (size_t i = 0; i < n; i++)
        x[i] = pl_rng_uniform(rng) < density ? x[i] / density : 0;
}

void pl_mix_sum(double *const *x, const double *c, int32_t count, size_t n, double *y) {
    memset(y, 0, n * sizeof *y);
    for (int32_t k = 0; k < count; k++)
        for (size_t i = 0; i < n; i++)
            y[i] += c[k] * x[k][i];
}

static double sign_of(double x) { return (double)((x > 0) - (x < 0)); }

void pl_mix_elect(double *const *x, const double *c, int32_t count, size_t n, bool frequency, double *y) {
    for (size_t i = 0; i < n; i++) {
        double votes = 0, sum = 0, agreeing = 0;
        for (int32_t k = 0; k < count; k++)
            votes += frequency ? sign_of(x[k][i]) : x[k][i];
        double elected = votes >= 0 ? 1 : -1;
        for (int32_t k = 0; k < count; k++) {
            if (sign_of(x[k][i]) != elected)
                continue;
            sum += c[k] * x[k][i];
            agreeing += 1;
        }
        y[i] = agreeing > 1 ? sum / agreeing : sum;
    }
}
