/* SplitMix64 (Steele, Lea, Flood 2014) over a counter; normal numbers by the polar method (Marsaglia, Bray 1964). */
#include "base/rng.h"

#include <math.h>

#include "base/exact.h"

static const uint64_t GOLDEN = 0x9E3779B97F4A7C15ULL;

static uint64_t finalize(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

uint64_t pl_rng_mix(uint64_t a, uint64_t b) { return finalize(finalize(a + GOLDEN) ^ (b * GOLDEN + 1)); }

pl_rng pl_rng_stream(uint64_t seed, uint64_t stream) {
    return (pl_rng){.key = pl_rng_mix(seed, stream), .counter = 0};
}

uint64_t pl_rng_u64(pl_rng *rng) { return finalize(rng->key + GOLDEN * ++rng->counter); }

double pl_rng_uniform(pl_rng *rng) { return (double)(pl_rng_u64(rng) >> 11) * 0x1.0p-53; }

int32_t pl_rng_below(pl_rng *rng, int32_t bound) {
    /* Scaling a 31-bit draw: the bias is at most bound / 2^31, far below anything a data order could show. */
    return (int32_t)(((pl_rng_u64(rng) >> 33) * (uint64_t)bound) >> 31);
}

double pl_rng_normal(pl_rng *rng) {
    for (;;) {
        double a = 2.0 * pl_rng_uniform(rng) - 1.0;
        double b = 2.0 * pl_rng_uniform(rng) - 1.0;
        double square = a * a + b * b;
        if (square > 0.0 && square < 1.0)
            return a * sqrt(-2.0 * pl_exact_log(square) /
                            square); /* the second normal is dropped: no hidden state */
    }
}
