/* Named tensors, declared once. A layout is the ordered list of a module's (or the base model's, or a workspace's) tensors:
   name, shape, initialisation, place. Count, memory, gradients, optimiser state, file contents and the live counter all
   follow from it. A counting layout (memory == NULL) only adds up elements, so Llama-2-70B costs nothing to "declare". */
#ifndef PL_BASE_LAYOUT_H
#define PL_BASE_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/real.h"
#include "base/status.h"

enum { PL_NAME_SIZE = 128, PL_NONE = -1 };

typedef enum pl_init {
    PL_INIT_ZERO,
    PL_INIT_ONE,
    PL_INIT_NORMAL,           /* N(0, scale^2) */
    PL_INIT_UNIFORM,          /* U(-scale, +scale) */
    PL_INIT_TRUNCATED_NORMAL, /* N(0, scale^2), redrawn outside 2 sigma */
    PL_INIT_CUSTOM            /* the method's own start() fills it (needs the base weights) */
} pl_init;

typedef struct pl_tensor {
    /* as in the file without PEFT's "base_model.model." e.g. "model.layers.0.self_attn.q_proj.lora_A.weight" */
    char name[PL_NAME_SIZE];
    int32_t layer;      /* 0-based, PL_NONE when it belongs to no layer */
    int32_t site;       /* pl_site, or a block number; PL_NONE when neither */
    int32_t slot;       /* which tensor of its owner: a small enum of the method, for O(1) look-up */
    int32_t dims;       /* 1 or 2 */
    int64_t rows, cols; /* [rows, cols]; a vector of n has dims 1, rows n, cols 1 */
    pl_init init;
    double scale;   /* of init */
    float lr_scale; /* learning-rate multiplier of its optimiser group (LoRA+); 1 by default */
    bool decay;     /* weight decay applies (by default: 2-D tensors) */
    bool replaces;  /* stands in for the base tensor of the same name (full and norm fine-tuning) */
    bool transient; /* trained, but never written to a file (re-parameterisation networks) */
    int64_t offset; /* in elements from the start of the block; set by pl_layout_add */
} pl_tensor;

typedef struct pl_layout {
    pl_memory *memory; /* NULL: count only, tensors stays NULL */
    pl_tensor *tensors;
    int32_t count, capacity;
    int64_t elements;      /* sum of rows*cols: what the counter shows */
    int64_t extent;        /* elements of the block incl. alignment of each tensor to 16 elements */
    int64_t file_elements; /* those that are not transient */
    pl_error *error;       /* where the first failure is explained; may be NULL */
    pl_status status; /* first failure; later calls are no-ops, so a declare() may check once at the end */
} pl_layout;

/* A counting layout (memory NULL) or a listing one. */
pl_layout pl_layout_make(pl_memory *memory, pl_error *error);

/* Appends a copy of the tensor, made by one of the helpers below, and sets its offset. Errors: PL_ERR_RANGE for a dimension that is not positive
   or a product beyond 64 bits, PL_ERR_MEMORY; both stay in layout->status. */
pl_status pl_layout_add(pl_layout *layout, const pl_tensor *tensor);

/* A matrix [rows, cols] or a vector [size] with the usual lr_scale and decay, to be named, adjusted and added. */
pl_tensor pl_tensor_matrix(int32_t layer, int32_t site, int32_t slot, int64_t rows, int64_t cols,
                           pl_init init, double scale);
pl_tensor pl_tensor_vector(int32_t layer, int32_t site, int32_t slot, int64_t size, pl_init init,
                           double scale);
void pl_tensor_name(pl_tensor *tensor, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Index of the tensor with this name, or PL_NONE. */
int32_t pl_layout_find(const pl_layout *layout, const char *name);

/* Fills values[extent] by each tensor's init (PL_INIT_CUSTOM is left alone). Tensor i draws from stream i of seed. */
void pl_layout_fill(const pl_layout *layout, uint64_t seed, real *values);

void pl_layout_free(pl_layout *layout);

#endif
