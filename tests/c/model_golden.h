/* Fixtures of tests/golden (see its README.md): a model folder, a batch, and what transformers computed for
 * it in float64. */
#ifndef PL_TEST_MODEL_GOLDEN_H
#define PL_TEST_MODEL_GOLDEN_H

#include "io/json.h"
#include "io/safetensors.h"
#include "model_helpers.h"

typedef struct golden {
    pl_memory *memory;
    pl_json *expected;     /* expected.json */
    pl_safetensors values; /* expected.safetensors */
    pl_model *model;
    helper_batch batch;
} golden;

/* Opens tests/golden/<name>. Everything belongs to memory, except `expected`, which golden_close frees.
 * Aborts on a broken fixture. */
void golden_open(golden *out, pl_memory *memory, const char *name);
void golden_close(golden *g);

/* A tensor of expected.safetensors; NULL when there is none of that name. *count receives its elements. */
real *golden_values(const golden *g, const char *name, int64_t *count);

/* A whole file with a terminating 0 behind it; NULL when it cannot be read. */
char *golden_file(pl_memory *memory, const char *path, size_t *size);

#endif
