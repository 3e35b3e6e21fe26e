/* The training loop as a state machine: one call, one step. A step's sequences are cut into a fixed number of shards; each
 * shard's gradient is computed from zero and the shards are added in order. So the result depends on `shards` (part of the run),
 * never on how many workers computed them. */
#ifndef PL_TRAIN_TRAINER_H
#define PL_TRAIN_TRAINER_H

#include "peft/methods.h"
#include "train/dataset.h"
#include "train/schedule.h"

enum { PL_SHARDS_MAX = 64, PL_BATCH_MAX = 256, PL_STEPS_MAX = 1000000 };

typedef struct pl_train_options {
    int32_t steps;
    int32_t batch_size;                  /* sequences per micro-batch */
    int32_t gradient_accumulation_steps; /* an optimiser step sees batch_size * this many sequences */
    int32_t shards;                      /* per micro-batch, <= batch_size */
    double lr, weight_decay, beta1, beta2, eps, max_grad_norm; /* max_grad_norm 0: no clipping */
    pl_schedule schedule;
    int32_t warmup_steps;
    uint64_t seed; /* of the data order and of dropout */
} pl_train_options;

/* Values that work for a start: 100 steps of 8 sequences in 4 shards, lr 1e-3, cosine, AdamW (0.9, 0.999, 1e-8), no decay, clipping at 1. */
pl_train_options pl_train_options_default(void);
/* Errors: PL_ERR_RANGE, naming the option and its limits. */
pl_status pl_train_options_check(const pl_train_options *options, pl_error *error);

typedef struct pl_step_report {
    int32_t step;     /* steps done, this one included */
    double loss;      /* mean nats per target over the step's sequences, before the update */
    double lr;        /* learning rate used */
    double grad_norm; /* global L2 norm before clipping */
    int32_t labels, tokens;
} pl_step_report;

/* What one shard contributes to a step. The gradients follow it in memory when shards travel between workers. */
typedef struct pl_shard {
    double loss_sum; /* nats over the shard's targets */
    int32_t labels, tokens;
} pl_shard;

typedef struct pl_trainer {
    pl_memory *memory;
    pl_model *model;
    /* Every active module in stack order; those with gradients are trained, jointly. */
    pl_module *modules[PL_STACK_MAX];
    int32_t module_count;
    pl_stack stack;
    const pl_dataset *dataset;
    pl_train_options options;
    int32_t step;         /* optimiser steps done */
    int32_t shard_count;  /* shards * gradient_accumulation_steps */
    int32_t shard_seqs;   /* most sequences in one shard */
    int64_t size;         /* reals of all gradients, module after module */
    int64_t trainable;    /* elements, without alignment gaps */
    real *total;          /* [size] sum over shards */
    real *first, *second; /* [size] Adam's moments */
    pl_workspace *workspace;
    pl_batch_buffer buffer;
    int32_t *order, order_epoch;    /* data order of the current epoch */
    pl_shard *kept[PL_SHARDS_MAX];  /* by shard, or NULL: those computed for a shared step (shared_step.c) */
    pl_shard *spare[PL_SHARDS_MAX]; /* blocks for the next ones */
    int32_t spare_count;
} pl_trainer;

/* Plans everything a step needs; steps allocate nothing. The modules must stay alive and unchanged in number while the trainer lives.
   Errors: PL_ERR_STATE when nothing is trainable or the data set is empty; PL_ERR_RANGE for options out of range or too many modules;
   PL_ERR_MEMORY. */
pl_status pl_trainer_create(pl_memory *memory, pl_model *model, pl_module *const *modules,
                            int32_t module_count, const pl_dataset *dataset, const pl_train_options *options,
                            pl_trainer **trainer, pl_error *error);
void pl_trainer_free(pl_trainer *trainer);

/* Computes shard (0 .. shard_count-1) of the coming step: gradients of the mean loss over ALL targets of the step end up in the
   modules' gradient blocks. Does not change weights, so shards can be computed anywhere in any order. Errors: PL_ERR_RANGE where there is
   no such shard, PL_ERR_STATE when all steps are done. */
pl_status pl_trainer_shard(pl_trainer *trainer, int32_t shard, pl_shard *result, pl_error *error);
/* How much work each shard of the coming step is, in multiply-adds of a forward pass through the base model: costs[shard_count].
   For sharing shards out to workers; sequences differ in length, so equal numbers of shards can be unequal work. Errors: PL_ERR_STATE when
   all steps are done. */
pl_status pl_trainer_shard_costs(pl_trainer *trainer, double *costs, pl_error *error);
/* Copies the modules' gradient blocks, one behind the other, to gradients[size]. */
void pl_trainer_copy_gradients(const pl_trainer *trainer, real *gradients);

/* Values of the modules were changed from outside: the coming step begins with the new ones, whatever was kept for it. */
void pl_trainer_changed(pl_trainer *trainer);

/* Clips, updates every trained tensor, advances the step. A loss or norm that is not finite is PL_ERR_NUMERIC and changes nothing. */
pl_status pl_trainer_update(pl_trainer *trainer, const pl_shard *sum, pl_step_report *report,
                            pl_error *error);

/* ---- a step shared by workers (shared_step.c) ---- */

/* Computes a shard of the coming step, as pl_trainer_shard, and keeps it in trainer->kept[shard] until the step is applied:
   pl_shard, then gradients[size]. The first steps allocate the blocks, later ones use them again.
   Errors: as pl_trainer_shard; PL_ERR_MEMORY, and the run goes on as if the shard had not been computed. */
pl_status pl_trainer_keep_shard(pl_trainer *trainer, int32_t shard, pl_error *error);
size_t pl_trainer_shard_bytes(const pl_trainer *trainer); /* of one kept shard */
/* Sum and update: `count` shards, named in shards[count], come from elsewhere as bytes[count * shard_bytes] (8-byte aligned);
   the others are kept here. Errors: PL_ERR_RANGE (no such shard), PL_ERR_MISMATCH (size, or a shard that is nowhere), those of
   pl_trainer_update; the step is not done then, and what is kept stays. */
pl_status pl_trainer_apply(pl_trainer *trainer, const int32_t *shards, int32_t count, const uint8_t *bytes,
                           size_t size, pl_step_report *report, pl_error *error);
void pl_trainer_release_kept(pl_trainer *trainer); /* their step is over: the blocks are spare */
void pl_trainer_free_kept(pl_trainer *trainer);

/* One whole step in this process: all shards, sum, update. Errors: those of pl_trainer_shard and pl_trainer_update. */
pl_status pl_trainer_step(pl_trainer *trainer, pl_step_report *report, pl_error *error);

/* Gradients of examples [from, to) into the modules' blocks, normalised by their own targets; no dropout, no update. For tests and inspection. */
pl_status pl_trainer_gradients(pl_trainer *trainer, int32_t from, int32_t to, pl_shard *result,
                               pl_error *error);

#endif
