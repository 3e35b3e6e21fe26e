/* A tiny model with modules on it: build, run, differentiate. */
#ifndef PL_TEST_PEFT_HELPERS_H
#define PL_TEST_PEFT_HELPERS_H

#include "model_helpers.h"
#include "peft/methods.h"

typedef struct rig {
    pl_memory memory;
    pl_config config;
    pl_model *model;
    pl_module *modules[8];
    int32_t count;
    pl_stack stack;
    helper_batch batch; /* ragged: 7, 1, 4 and 9 tokens */
    pl_workspace *workspace;
    uint64_t dropout_key;
    bool training;
} rig;

void rig_open(rig *r, pl_config config, uint64_t seed);
/* Adds a module with options "rank=3;target_modules=q_proj,v_proj;rank_pattern.k_proj=2" and puts it into the stack. Its tensors are made
   random unless keep_start; it trains. NULL and a failed check when refused. */
pl_module *rig_add(rig *r, const char *method, const char *name, const char *options, bool keep_start);
/* The same without the stack; *status says what happened. */
pl_module *rig_make(rig *r, const char *method, const char *name, const char *options, pl_status *status,
                    pl_error *error);
/* Random values in every tensor: normal with deviation 0.15 around the present values. */
void rig_shake(pl_module *module, uint64_t seed);
/* (Re)builds stack, buffers and workspace and prepares the modules. */
void rig_ready(rig *r, bool training);
/* After values changed. */
void rig_prepare(rig *r);
double rig_loss(rig *r);   /* mean over the labelled rows; keeps everything for rig_backward when training */
void rig_backward(rig *r); /* gradients of the last rig_loss, from zero */
real *rig_logits(rig *r);  /* [row_count, vocab_size]; from memory, freed with the rig */
void rig_close(rig *r);    /* checks that nothing is left allocated */

/* Double build only. Compares the gradient of every tensor of every module (a sample of its elements) with central differences.
   frozen_norms: DoRA's norms stay those of the starting point, as its backward pass assumes. */
void rig_check_gradients(rig *r, bool frozen_norms);

double rig_largest(const real *x, size_t n);                   /* max |x| */
double rig_difference(const real *x, const real *y, size_t n); /* max |x - y| */
bool rig_same_bits(const real *x, const real *y, size_t n);

#endif
