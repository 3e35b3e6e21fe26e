/* Collecting examples, their order in an epoch, and laying them end to end as batches. */
#include "train/dataset.h"

#include <string.h>

#include "base/rng.h"

pl_status pl_dataset_create(pl_memory *memory, int32_t max_length, int32_t vocab_size, pl_dataset **dataset,
                            pl_error *error) {
    if (max_length < 2)
        return pl_fail(
            error, PL_ERR_RANGE,
            "an example needs room for at least 2 tokens, the limit is %d; use fewer virtual tokens",
            max_length);
    pl_dataset *made = pl_memory_alloc(memory, 1, sizeof *made);
    if (!made)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for a data set");
    *made = (pl_dataset){.memory = memory, .max_length = max_length, .vocab_size = vocab_size};
    *dataset = made;
    return PL_OK;
}

void pl_dataset_free(pl_dataset *dataset) {
    if (!dataset)
        return;
    pl_memory *memory = dataset->memory;
    pl_memory_free(memory, dataset->tokens);
    pl_memory_free(memory, dataset->examples);
    pl_memory_free(memory, dataset->seen);
    pl_memory_free(memory, dataset);
}

/* Makes room for `more` items of `size` bytes behind *used of *capacity; doubles. */
static bool grow(pl_memory *memory, void **items, int32_t used, int32_t more, int32_t *capacity,
                 size_t size) {
    if (used + more <= *capacity)
        return true;
    int32_t wanted = *capacity ? *capacity : 256;
    while (wanted < used + more)
        wanted *= 2;
    void *larger = pl_memory_alloc(memory, (size_t)wanted, size);
    if (!larger)
        return false;
    if (used)
        memcpy(larger, *items, (size_t)used * size);
    pl_memory_free(memory, *items);
    *items = larger;
    *capacity = wanted;
    return true;
}

static uint64_t hash_example(const int32_t *tokens, int32_t count, int32_t label_from) {
    uint64_t hash = pl_rng_mix((uint64_t)count, (uint64_t)label_from);
    for (int32_t i = 0; i < count; i++)
        hash = pl_rng_mix(hash, (uint64_t)tokens[i]);
    return hash ? hash : 1; /* 0 marks an empty slot */
}

static bool seen_rehash(pl_dataset *d, int32_t capacity) {
    uint64_t *larger = pl_memory_alloc(d->memory, (size_t)capacity, sizeof *larger);
    if (!larger)
        return false;
    for (int32_t i = 0; i < d->seen_capacity; i++) {
        if (!d->seen[i])
            continue;
        uint64_t slot = d->seen[i] & (uint64_t)(capacity - 1);
        while (larger[slot])
            slot = (slot + 1) & (uint64_t)(capacity - 1);
        larger[slot] = d->seen[i];
    }
    pl_memory_free(d->memory, d->seen);
    d->seen = larger;
    d->seen_capacity = capacity;
    return true;
}

/* Records the hash; true when it was there before. The set is at most half full (reserved by add_one). */
static bool seen_before(pl_dataset *d, uint64_t hash) {
    uint64_t mask = (uint64_t)(d->seen_capacity - 1), slot = hash & mask;
    while (d->seen[slot] && d->seen[slot] != hash)
        slot = (slot + 1) & mask;
    bool before = d->seen[slot] == hash;
    d->seen[slot] = hash;
    return before;
}

static bool reserve(pl_dataset *d, int32_t tokens, int32_t examples) {
    void *token_items = d->tokens, *example_items = d->examples;
    bool ok = grow(d->memory, &token_items, d->token_count, tokens, &d->token_capacity, sizeof *d->tokens);
    d->tokens = token_items;
    ok = ok && grow(d->memory, &example_items, d->example_count, examples, &d->example_capacity,
                    sizeof *d->examples);
    d->examples = example_items;
    int32_t slots = d->seen_capacity ? d->seen_capacity : 512;
    while (slots < 2 * (d->example_count + examples))
        slots *= 2;
    return ok && (slots == d->seen_capacity || seen_rehash(d, slots));
}

static void add_one(pl_dataset *d, const int32_t *tokens, int32_t count, int32_t label_from, int32_t bytes) {
    memcpy(d->tokens + d->token_count, tokens, (size_t)count * sizeof *tokens);
    d->examples[d->example_count++] =
        (pl_example){.start = d->token_count, .count = count, .label_from = label_from, .bytes = bytes};
    d->token_count += count;
    d->labels += count - label_from;
    d->labelled_bytes += bytes;
    if (count > d->longest)
        d->longest = count;
    uint64_t hash = hash_example(tokens, count, label_from);
    d->duplicates += seen_before(d, hash) ? 1 : 0;
    d->fingerprint = pl_rng_mix(d->fingerprint, hash);
}

/* Plain text: windows of max_length tokens, each starting with the last token of the one before, which is its context, not its target.
   Bytes are shared out in proportion to targets; the last window takes the rounding. */
static void add_windows(pl_dataset *d, const int32_t *tokens, int32_t count, int32_t bytes) {
    int32_t done = 0;
    for (int32_t from = 0; from < count - 1; from += d->max_length - 1) {
        int32_t size = count - from < d->max_length ? count - from : d->max_length;
        bool last = from + size == count;
        int32_t share = last ? bytes - done : (int32_t)((int64_t)bytes * (size - 1) / (count - 1));
        add_one(d, tokens + from, size, 1, share);
        done += share;
        d->windows += from > 0 ? 1 : 0;
    }
}

pl_status pl_dataset_add(pl_dataset *d, const int32_t *tokens, int32_t count, int32_t label_from,
                         int32_t bytes, pl_error *error) {
    int32_t first = label_from < 1 ? 1 : label_from;
    if (count < 2 || first >= count)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "the example has %d tokens and nothing to learn from: the completion is empty", count);
    for (int32_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= d->vocab_size)
            return pl_fail(error, PL_ERR_RANGE, "token %d at position %d is outside the vocabulary of %d",
                           tokens[i], i, d->vocab_size);
    bool plain = first == 1;
    if (!plain && first >= d->max_length)
        return pl_fail(error, PL_ERR_RANGE,
                       "the prompt alone has %d tokens and the limit is %d; shorten the prompt", first,
                       d->max_length);
    int32_t parts = plain ? (count - 2) / (d->max_length - 1) + 1 : 1;
    if (count > PL_TOKENS_MAX - d->token_count - parts || parts > PL_EXAMPLES_MAX - d->example_count)
        return pl_fail(error, PL_ERR_RANGE, "the data set is full: at most %d examples and %d tokens",
                       PL_EXAMPLES_MAX, PL_TOKENS_MAX);
    if (!reserve(d, count + parts, parts))
        return pl_fail(error, PL_ERR_MEMORY, "no memory for more than %d examples", d->example_count);
    if (count <= d->max_length) {
        add_one(d, tokens, count, first, bytes);
    } else if (plain) {
        add_windows(d, tokens, count, bytes);
    } else {
        int64_t kept = (int64_t)bytes * (d->max_length - first) / (count - first);
        add_one(d, tokens, d->max_length, first, (int32_t)kept);
        d->truncated++;
    }
    return PL_OK;
}

void pl_dataset_order(const pl_dataset *d, uint64_t seed, int32_t epoch, int32_t *order) {
    pl_rng rng = pl_rng_stream(pl_rng_mix(seed, 0x0DE5), (uint64_t)epoch);
    for (int32_t i = 0; i < d->example_count; i++)
        order[i] = i;
    for (int32_t i = d->example_count - 1; i > 0; i--) {
        int32_t j = pl_rng_below(&rng, i + 1);
        int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

int32_t pl_dataset_rows(const pl_dataset *d, int32_t count) {
    /* Up to example_count sequences in a row touch at most two epochs, and so every example at most twice. */
    int64_t bound = (int64_t)d->longest * count, twice = 2 * (int64_t)d->token_count;
    return (int32_t)(count > d->example_count || bound < twice ? bound : twice);
}

pl_status pl_batch_buffer_create(pl_memory *memory, int32_t seqs, int32_t rows, pl_batch_buffer *b,
                                 pl_error *error) {
    *b = (pl_batch_buffer){.seq_capacity = seqs, .row_capacity = rows};
    b->seq_start = pl_memory_alloc(memory, (size_t)seqs + 1, sizeof *b->seq_start);
    b->tokens = pl_memory_alloc(memory, (size_t)rows, sizeof *b->tokens);
    b->targets = pl_memory_alloc(memory, (size_t)rows, sizeof *b->targets);
    b->streams = pl_memory_alloc(memory, (size_t)seqs, sizeof *b->streams);
    if (!b->seq_start || !b->tokens || !b->targets || !b->streams) {
        pl_batch_buffer_free(memory, b);
        return pl_fail(error, PL_ERR_MEMORY,
                       "no memory for a batch of %d sequences and %d tokens; use a smaller batch", seqs,
                       rows);
    }
    b->batch = (pl_batch){
        .seq_start = b->seq_start, .tokens = b->tokens, .targets = b->targets, .streams = b->streams};
    return PL_OK;
}

void pl_batch_buffer_free(pl_memory *memory, pl_batch_buffer *b) {
    pl_memory_free(memory, b->seq_start);
    pl_memory_free(memory, b->tokens);
    pl_memory_free(memory, b->targets);
    pl_memory_free(memory, b->streams);
    *b = (pl_batch_buffer){0};
}

void pl_batch_clear(pl_batch_buffer *b) {
    b->batch.seq_count = b->batch.row_count = 0;
    b->labels = 0;
    b->bytes = 0;
    b->seq_start[0] = 0;
}

bool pl_batch_append(pl_batch_buffer *b, const pl_dataset *d, int32_t example, uint64_t stream) {
    const pl_example *e = &d->examples[example];
    pl_batch *batch = &b->batch;
    if (batch->seq_count == b->seq_capacity || batch->row_count + e->count > b->row_capacity)
        return false;
    const int32_t *tokens = d->tokens + e->start;
    int32_t at = batch->row_count;
    for (int32_t i = 0; i < e->count; i++) {
        b->tokens[at + i] = tokens[i];
        /* Row i predicts token i+1, which is a target from label_from on. The last row predicts nothing. */
        b->targets[at + i] = i + 1 < e->count && i + 1 >= e->label_from ? tokens[i + 1] : PL_IGNORE;
    }
    b->streams[batch->seq_count++] = stream;
    batch->row_count += e->count;
    b->seq_start[batch->seq_count] = batch->row_count;
    b->labels += e->count - e->label_from;
    b->bytes += e->bytes;
    return true;
}
