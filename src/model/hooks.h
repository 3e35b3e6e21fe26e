/* Where a fine-tuning module may take part in the model's computation. The model layer owns this interface and knows nothing
 * about who implements it (src/peft does). Four kinds of places:
 *
 *   tokens -> [learned rows + embedding] -> L x { norm -> q,k,v -> attention(with learned k/v rows) -> o -> BLOCK -> +residual
 *                                                 norm -> gate,up -> silu*up -> down           -> BLOCK -> +residual } -> norm -> head
 *      embed_*                                          linear_* (7 sites)    memory_kv              block_* (2 per layer)
 *
 * The model calls hooks in stack order on the way forward and in reverse order on the way back. Every pointer may be NULL: "does nothing there".
 */
#ifndef PL_MODEL_HOOKS_H
#define PL_MODEL_HOOKS_H

#include "base/real.h"
#include "model/config.h"

enum { PL_STACK_MAX = 16, PL_IGNORE = -1 /* target of a row without loss */ };

typedef enum pl_block { PL_BLOCK_ATTENTION, PL_BLOCK_FFN, PL_BLOCK_COUNT } pl_block;

/* Ragged sequences laid end to end: no padding anywhere. */
typedef struct pl_batch {
    int32_t seq_count;
    int32_t row_count;        /* tokens in all */
    const int32_t *seq_start; /* [seq_count + 1]: sequence s is rows seq_start[s] .. seq_start[s+1]-1 */
    const int32_t *tokens;    /* [row_count] */
    /* [row_count]: the token to predict AFTER this row (already shifted), or PL_IGNORE; NULL: no loss */
    const int32_t *targets;
    /* [seq_count]: identity of each sequence for its dropout masks; NULL: its index */
    const uint64_t *streams;
} pl_batch;

/* What one run through the model looks like to a hook. Learned rows are counted here: a sequence has virtual_tokens more rows.
 * Rows behind the last label of a sequence are left out (nothing behind can matter), a sequence without labels has no rows.
 * Behind the last layer's attention (its o, gate, up, down and blocks) only the rows that need logits go on: there the hooks get
 * a pass with fewer rows per sequence, and a decoder that wants no logits does not call them at all. Backward gets the same pass. */
typedef struct pl_pass {
    int32_t rows; /* rows of every activation in this pass */
    int32_t seq_count;
    const int32_t *row_start; /* [seq_count + 1], learned rows included */
    const uint64_t *streams;  /* [seq_count] */
    bool training;            /* activations are kept for backward, and dropout is on, if there is a key */
    uint64_t dropout_key;     /* derived from (seed, step); 0: no dropout */
} pl_pass;

struct pl_linear;

typedef struct pl_linear_at {
    const pl_pass *pass;
    const struct pl_linear *linear; /* the base map: in, out, w, packed (weights.h) */
    int32_t layer;
    pl_site site;
    int32_t rows, in, out;
} pl_linear_at;

typedef struct pl_block_at {
    const pl_pass *pass;
    int32_t layer;
    pl_block block;
    int32_t rows, width; /* width = hidden_size */
} pl_block_at;

/* Learned keys and values that every sequence attends to in one layer; keys are used as they are (no RoPE is applied). */
typedef struct pl_memory_kv {
    const real *k, *v; /* [memory_tokens, num_key_value_heads * head_dim] */
    real *dk, *dv;     /* gradients, +=; NULL when frozen */
} pl_memory_kv;

/* One active module as the model sees it. */
typedef struct pl_hooks {
    void *self;
    int32_t virtual_tokens; /* rows it puts in front of every sequence */
    int32_t memory_tokens;  /* key/value rows it adds to every layer */
    bool memory_shifts;     /* true: token positions start after the memory rows (peft); false: at 0 */
    bool trains;            /* its gradients are wanted */
    /* lowest layer it touches: with nothing trainable below, backward stops there. 0 for virtual tokens */
    int32_t first_layer;
    /* bit s: it changes the INPUT of site s, so the model gives it a private copy there */
    uint8_t input_sites;

    /* x[virtual_tokens, hidden_size]: written for each sequence; dx: gradient of the same rows. */
    void (*embed_forward)(void *self, const pl_pass *pass, real *x);
    void (*embed_backward)(void *self, const pl_pass *pass, const real *dx);

    void (*memory_kv)(void *self, int32_t layer, pl_memory_kv *out);

    /* In place on a private copy of the site's input x[rows, in], before the base map; dx likewise on the way back.
       (only called for sites in input_sites) */
    void (*input_forward)(void *self, const pl_linear_at *at, real *x);
    void (*input_backward)(void *self, const pl_linear_at *at, real *dx);

    /* y[rows, out] holds the base result (and earlier modules'): change it. Backward runs BEFORE the base map's own backward:
       dy may be changed (IA3-like), dx[rows, in] += the module's share; dx is NULL where nobody below needs it. */
    void (*linear_forward)(void *self, const pl_linear_at *at, const real *x, real *y);
    void (*linear_backward)(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx);

    /* After a sub-layer, before the residual add: x = the sub-layer's input on the residual stream (un-normalised),
       h = its output, changed in place. Backward: dh changed in place, dx += the module's share of the residual stream. */
    void (*block_forward)(void *self, const pl_block_at *at, const real *x, real *h);
    void (*block_backward)(void *self, const pl_block_at *at, const real *x, real *dh, real *dx);
} pl_hooks;

typedef struct pl_stack {
    pl_hooks hooks[PL_STACK_MAX]; /* in the order they run */
    int32_t count;
} pl_stack;

bool pl_pass_drops(const pl_pass *pass); /* is dropout on? */
/* Dropout over the rows of a pass: each sequence has its own mask stream, so masks do not depend on how sequences are batched or spread over
   workers. tag names the place (layer, site, module). x, y: [rows, width]; y may be x. Backward is the same call on dy. */
void pl_pass_dropout(const pl_pass *pass, uint64_t tag, real p, const real *x, int32_t width, real *y);

#endif
