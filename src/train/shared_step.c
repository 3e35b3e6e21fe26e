/* A step whose shards are computed by several workers. Each keeps the shards it computed, hands their bytes to the others, and
 * all add the same shards in the same order: so every worker makes the same update, bit for bit, and none has to be sent the
 * result. */
#include "kernels/kernels.h"
#include "train/trainer.h"

#include <string.h>

/* Shards are added in pieces that stay in the first-level cache until all of them are in. */
enum { PL_SUM_PIECE = 4096 };

size_t pl_trainer_shard_bytes(const pl_trainer *t) {
    return sizeof(pl_shard) + (size_t)t->size * sizeof(real);
}

static real *gradients_of(pl_shard *kept) { return (real *)(void *)(kept + 1); }

/* A block that no shard uses: of an earlier step, or a new one. */
static pl_shard *take_block(pl_trainer *t) {
    if (t->spare_count > 0)
        return t->spare[--t->spare_count];
    return pl_memory_alloc(t->memory, 1, pl_trainer_shard_bytes(t));
}

pl_status pl_trainer_keep_shard(pl_trainer *t, int32_t shard, pl_error *error) {
    pl_shard part;
    PL_TRY(pl_trainer_shard(t, shard, &part, error));
    if (!t->kept[shard])
        t->kept[shard] = take_block(t);
    if (!t->kept[shard])
        return pl_fail(error, PL_ERR_MEMORY, "no memory to keep the %lld gradients of a shard",
                       (long long)t->trainable);
    *t->kept[shard] = part;
    pl_trainer_copy_gradients(t, gradients_of(t->kept[shard]));
    return PL_OK;
}

void pl_trainer_release_kept(pl_trainer *t) {
    for (int32_t shard = 0; shard < t->shard_count; shard++) {
        if (t->kept[shard])
            t->spare[t->spare_count++] = t->kept[shard];
        t->kept[shard] = NULL;
    }
}

void pl_trainer_free_kept(pl_trainer *t) {
    pl_trainer_release_kept(t);
    while (t->spare_count > 0)
        pl_memory_free(t->memory, t->spare[--t->spare_count]);
}

/* Where each shard of the step is: kept here, or among the bytes from elsewhere. */
static pl_status place_shards(const pl_trainer *t, const int32_t *shards, int32_t count, const uint8_t *bytes,
                              const uint8_t **at, pl_error *error) {
    for (int32_t shard = 0; shard < t->shard_count; shard++)
        at[shard] = (const uint8_t *)t->kept[shard];
    for (int32_t i = 0; i < count; i++) {
        if (shards[i] < 0 || shards[i] >= t->shard_count)
            return pl_fail(error, PL_ERR_RANGE, "shard %d is outside 0..%d", shards[i], t->shard_count - 1);
        at[shards[i]] = bytes + pl_trainer_shard_bytes(t) * (size_t)i;
    }
    for (int32_t shard = 0; shard < t->shard_count; shard++)
        if (!at[shard])
            return pl_fail(error, PL_ERR_MISMATCH,
                           "shard %d of %d is missing: it was neither computed here nor handed over", shard,
                           t->shard_count);
    return PL_OK;
}

/* total = the shards' gradients, added in shard order from zero, as pl_trainer_step does. */
static void sum_gradients(pl_trainer *t, const uint8_t *const *at) {
    for (int64_t first = 0; first < t->size; first += PL_SUM_PIECE) {
        size_t count = (size_t)(t->size - first < PL_SUM_PIECE ? t->size - first : PL_SUM_PIECE);
        memset(t->total + first, 0, count * sizeof(real));
        for (int32_t shard = 0; shard < t->shard_count; shard++) {
            /* Shards begin at multiples of 8 bytes: blocks from malloc, sizes of 64 bytes' multiples plus 16. */
            const real *gradients = (const real *)(const void *)(at[shard] + sizeof(pl_shard));
            pl_add(gradients + first, t->total + first, count);
        }
    }
}

pl_status pl_trainer_apply(pl_trainer *t, const int32_t *shards, int32_t count, const uint8_t *bytes,
                           size_t size, pl_step_report *report, pl_error *error) {
    const uint8_t *at[PL_SHARDS_MAX];
    if (count < 0 || size != pl_trainer_shard_bytes(t) * (size_t)count)
        return pl_fail(error, PL_ERR_MISMATCH, "%lld bytes of gradients for %d shards; one has %lld",
                       (long long)size, count, (long long)pl_trainer_shard_bytes(t));
    PL_TRY(place_shards(t, shards, count, bytes, at, error));
    sum_gradients(t, at);
    pl_shard sum = {0};
    for (int32_t shard = 0; shard < t->shard_count; shard++) {
        pl_shard part;
        memcpy(&part, at[shard], sizeof part);
        sum.loss_sum += part.loss_sum;
        sum.labels += part.labels;
        sum.tokens += part.tokens;
    }
    return pl_trainer_update(t, &sum, report, error);
}
