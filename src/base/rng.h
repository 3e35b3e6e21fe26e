/* Counter-based random numbers: the n-th number of a stream depends only on (seed, stream, n), never on what was drawn
   elsewhere. So a dropout mask is the same however sequences are spread over workers, and a resumed run continues exactly.
   The mixing function is SplitMix64 (Steele, Lea, Flood 2014). */
#ifndef PL_BASE_RNG_H
#define PL_BASE_RNG_H

#include <stdint.h>

typedef struct pl_rng {
    uint64_t key;     /* from pl_rng_stream */
    uint64_t counter; /* numbers drawn so far: the whole state to save */
} pl_rng;

/* One well-mixed word from two; also used to derive sub-streams: pl_rng_mix(seed, step), then (.., layer) … */
uint64_t pl_rng_mix(uint64_t a, uint64_t b);

/* Stream number `stream` of `seed`. */
pl_rng pl_rng_stream(uint64_t seed, uint64_t stream);

/* The next 64 random bits. */
uint64_t pl_rng_u64(pl_rng *rng);

/* Uniform in [0, 1) with 53 bits. */
double pl_rng_uniform(pl_rng *rng);

/* Uniform integer in [0, bound), bound > 0, bias below 2^-31. */
int32_t pl_rng_below(pl_rng *rng, int32_t bound);

/* Standard normal, Marsaglia's polar method (with our own logarithm: the same bits in every build). */
double pl_rng_normal(pl_rng *rng);

#endif
