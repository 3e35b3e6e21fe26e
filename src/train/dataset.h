/* Tokenised examples and the order in which training visits them. An example is tokens[count] of which those from label_from on
 * are targets ("completion-only" loss: the prompt is read but not learned). Text longer than the limit becomes several windows;
 * nothing is dropped silently: every truncation, window and duplicate is counted. */
#ifndef PL_TRAIN_DATASET_H
#define PL_TRAIN_DATASET_H

#include "base/memory.h"
#include "base/status.h"
#include "model/hooks.h"

enum { PL_EXAMPLES_MAX = 1000000, PL_TOKENS_MAX = 200000000 };

typedef struct pl_example {
    int32_t start, count; /* tokens[start .. start+count) of the data set */
    int32_t label_from;   /* first target inside the example, >= 1: the first token is never a target */
    int32_t bytes;        /* text bytes the targets stand for (bits per byte) */
} pl_example;

typedef struct pl_dataset {
    pl_memory *memory;
    int32_t max_length; /* tokens per example */
    int32_t vocab_size;
    int32_t *tokens;
    int32_t token_count, token_capacity;
    pl_example *examples;
    int32_t example_count, example_capacity;
    int32_t longest;                /* tokens of the longest example */
    int64_t labels, labelled_bytes; /* over all examples */
    int32_t truncated;              /* completions cut at max_length */
    int32_t windows;                /* examples that are a later part of a longer text */
    int32_t duplicates;             /* examples equal to an earlier one (kept) */
    uint64_t fingerprint;           /* of all tokens and boundaries, for resuming */
    uint64_t *seen;                 /* open-addressing set of example hashes */
    int32_t seen_capacity;
} pl_dataset;

/* An empty data set. Errors: PL_ERR_RANGE for a max_length below 2, PL_ERR_MEMORY. */
pl_status pl_dataset_create(pl_memory *memory, int32_t max_length, int32_t vocab_size, pl_dataset **dataset,
                            pl_error *error);
void pl_dataset_free(pl_dataset *dataset);

/* Adds tokens[count] with targets from label_from on. Longer than max_length: when label_from <= 1 (plain text) it is split into windows that
   overlap by one token, so that every token is a target exactly once; otherwise the completion is cut and counted as truncated.
   Errors: fewer than 2 tokens or no target left (PL_ERR_ARGUMENT), token outside the vocabulary (PL_ERR_RANGE), prompt alone longer than the
   limit or too many examples or tokens in all (PL_ERR_RANGE), PL_ERR_MEMORY. The data set is unchanged after an error. */
pl_status pl_dataset_add(pl_dataset *dataset, const int32_t *tokens, int32_t count, int32_t label_from,
                         int32_t bytes, pl_error *error);

/* Writes a permutation of the examples for this epoch: Fisher-Yates with stream `epoch` of seed. order[example_count]. */
void pl_dataset_order(const pl_dataset *dataset, uint64_t seed, int32_t epoch, int32_t *order);

/* Tokens that `count` sequences following each other in training can have at most, also across the end of an epoch. */
int32_t pl_dataset_rows(const pl_dataset *dataset, int32_t count);

/* Buffers for assembling batches: up to seqs sequences and rows tokens. */
typedef struct pl_batch_buffer {
    pl_batch batch; /* points into the arrays below */
    int32_t seq_capacity, row_capacity;
    int32_t *seq_start, *tokens, *targets;
    uint64_t *streams;
    int32_t labels; /* targets in the batch */
    int64_t bytes;  /* text bytes they stand for */
} pl_batch_buffer;

/* Errors: PL_ERR_MEMORY. */
pl_status pl_batch_buffer_create(pl_memory *memory, int32_t seqs, int32_t rows, pl_batch_buffer *buffer,
                                 pl_error *error);
void pl_batch_buffer_free(pl_memory *memory, pl_batch_buffer *buffer);
void pl_batch_clear(pl_batch_buffer *buffer);
/* Appends one example; false when it does not fit. stream identifies the sequence for dropout. */
bool pl_batch_append(pl_batch_buffer *buffer, const pl_dataset *dataset, int32_t example, uint64_t stream);

#endif
