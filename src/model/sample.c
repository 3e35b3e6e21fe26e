/* Choosing the next token. The order of the filters is that of transformers: temperature, top-k, top-p. */
#include <math.h>

#include "kernels/kernels.h"
#include "model/model.h"

static int32_t best(const real *logits, int32_t n) {
    int32_t at = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[at])
            at = i;
    return at;
}

/* a before b: more probable, then the lower id. */
static bool before(const real *p, int32_t a, int32_t b) { return p[a] > p[b] || (p[a] == p[b] && a < b); }

/* Sinks ids[root] in a heap of n whose root comes last in the order. */
static void sink(const real *p, int32_t *ids, int32_t root, int32_t n) {
    for (;;) {
        int32_t child = 2 * root + 1;
        if (child >= n)
            return;
        if (child + 1 < n && before(p, ids[child], ids[child + 1]))
            child++;
        if (!before(p, ids[root], ids[child]))
            return;
        int32_t swap = ids[root];
        ids[root] = ids[child];
        ids[child] = swap;
        root = child;
    }
}

/* ids[k] become the first k tokens in order, by a heap of k: the vocabulary is read once. */
static void select_first(const real *p, int32_t n, int32_t k, int32_t *ids) {
    for (int32_t i = 0; i < k; i++)
        ids[i] = i;
    for (int32_t root = k / 2 - 1; root >= 0; root--)
        sink(p, ids, root, k);
    for (int32_t i = k; i < n; i++)
        if (before(p, i, ids[0])) {
            ids[0] = i;
            sink(p, ids, 0, k);
        }
    for (int32_t end = k - 1; end > 0; end--) {
        int32_t swap = ids[0];
        ids[0] = ids[end];
        ids[end] = swap;
        sink(p, ids, 0, end);
    }
}

/* How many of the ordered ids stay: the shortest head that holds at least top_p of the mass, never none. */
static int32_t nucleus(const real *p, const int32_t *ids, int32_t count, double top_p, double *mass) {
    double total = 0, held = 0;
    for (int32_t i = 0; i < count; i++)
        total += (double)p[ids[i]];
    int32_t kept = 0;
    while (kept < count && (kept == 0 || held < top_p * total))
        held += (double)p[ids[kept++]];
    *mass = held;
    return kept;
}

int32_t pl_sample(real *logits, int32_t vocab_size, const pl_sampling *sampling, pl_rng *rng,
                  int32_t *scratch) {
    const real temperature = (real)sampling->temperature;
    /* Or so small that dividing by it gives no numbers. */
    if (!(temperature > 0) || !isfinite((real)1 / temperature))
        return best(logits, vocab_size);
    pl_softmax(logits, vocab_size, temperature);
    int32_t count = sampling->top_k > 0 && sampling->top_k < vocab_size ? sampling->top_k : vocab_size;
    bool all = count == vocab_size && sampling->top_p >= 1;
    double mass = 0;
    if (all) {
        for (int32_t i = 0; i < vocab_size; i++)
            mass += (double)logits[i];
    } else {
        select_first(logits, vocab_size, count, scratch);
        count = nucleus(logits, scratch, count, sampling->top_p < 1 ? sampling->top_p : 2, &mass);
    }
    double draw = pl_rng_uniform(rng) * mass;
    for (int32_t i = 0; i < count; i++) {
        int32_t token = all ? i : scratch[i];
        draw -= (double)logits[token];
        if (draw < 0)
            return token;
    }
    return all ? vocab_size - 1 : scratch[count - 1]; /* rounding left a crumb of the mass */
}
