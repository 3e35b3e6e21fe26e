/* Memory of a training step and of generation. The activation count follows a usual eager bf16 implementation with fused attention (no score
   matrix is kept); per token and layer it keeps
     norm inputs 2d; q, k, v, attention output 2 qd + 2 kv; gate, up, silu(gate) 3f            always
     normed input of q, k, v: d; of gate, up: d; silu(gate) * up: f                            where a map that reads it is trained
   so full fine-tuning of an MHA model keeps 8d + 4f. Frozen maps do not need their inputs: that is part of what a PEFT method saves. */
#include "account/account.h"

#include <string.h>

enum { ACTIVATION_BYTES = 2, LOGIT_BYTES = 8 };

static double kv_width(const pl_config *c) { return (double)c->num_key_value_heads * (double)c->head_dim; }

/* Numbers per token and layer; everything: as if every map were trained. */
static double activation_numbers(const pl_config *c, const pl_counts *counts, bool everything) {
    double d = (double)c->hidden_size, qd = (double)c->num_attention_heads * (double)c->head_dim,
           f = (double)c->intermediate_size;
    const bool *in = counts->site_input;
    double sum = 2.0 * d + 2.0 * qd + 2.0 * kv_width(c) + 3.0 * f;
    if (everything || in[PL_SITE_Q] || in[PL_SITE_K] || in[PL_SITE_V])
        sum += d;
    if (everything || in[PL_SITE_GATE] || in[PL_SITE_UP])
        sum += d;
    if (everything || in[PL_SITE_DOWN])
        sum += f;
    return sum;
}

/* What the methods themselves keep per layer for backward: the per-layer buffers they declare for a training pass. */
static pl_status module_numbers(pl_memory *memory, const pl_memory_request *request, int32_t rows,
                                double *sum, pl_error *error) {
    pl_extent extent = {.rows = rows, .seqs = request->batch, .labels = rows, .training = true};
    *sum = 0.0;
    for (int32_t m = 0; m < request->method_count; m++) {
        const pl_options *options = request->methods[m];
        if (!options->method->scratch)
            continue;
        pl_layout layout = pl_layout_make(memory, error);
        pl_status status = options->method->scratch(options, request->config, &extent, &layout);
        status = status == PL_OK ? layout.status : status;
        for (int32_t i = 0; status == PL_OK && i < layout.count; i++)
            if (layout.tensors[i].layer != PL_NONE)
                *sum += (double)layout.tensors[i].rows * (double)layout.tensors[i].cols;
        pl_layout_free(&layout);
        PL_TRY(status);
    }
    return PL_OK;
}

static pl_status add_activations(pl_memory *memory, const pl_memory_request *request, int32_t rows,
                                 pl_memory_estimate *e, pl_error *error) {
    const pl_config *c = request->config;
    double modules = 0.0, layers = (double)c->num_hidden_layers,
           reached = layers - (double)e->counts.first_layer;
    PL_TRY(module_numbers(memory, request, rows, &modules, error));
    if (request->checkpointing) {
        double one = activation_numbers(c, &e->counts, true) * (double)rows + modules / layers;
        e->activations = ACTIVATION_BYTES * (reached * (double)c->hidden_size * (double)rows + one);
        pl_sentence(&e->assumptions, "Gradient checkpointing: each layer keeps its input; one layer at a "
                                     "time is recomputed in backward (about a "
                                     "third more computing).");
    } else {
        e->activations =
            ACTIVATION_BYTES * (reached * activation_numbers(c, &e->counts, false) * (double)rows + modules);
        pl_sentence(&e->assumptions,
                    "Activations of %d x %d positions are kept in 2 bytes, fused attention keeps no score "
                    "matrix; frozen maps "
                    "do not keep their inputs.",
                    request->batch, rows / request->batch);
    }
    e->logits = (double)LOGIT_BYTES * (double)rows * (double)c->vocab_size;
    pl_sentence(
        &e->assumptions,
        "Logits of all positions: 16-bit, an f32 copy for the loss, and a 16-bit gradient (8 bytes each).");
    return PL_OK;
}

/* A trained base weight in 16 bits also has an f32 master copy; either way full fine-tuning with AdamW takes 16 bytes per parameter. */
static void add_states(const pl_memory_request *request, pl_memory_estimate *e) {
    const pl_counts *n = &e->counts;
    double other = pl_format_other_bytes(request->format), moments = pl_optimizer_bytes(request->optimizer);
    double replaced = (double)n->replaced, added = (double)(n->trainable - n->replaced);
    double linear = (double)n->base_linear, rest = (double)(n->base - n->base_linear);
    double master = other < 4.0 ? 4.0 : 0.0;
    e->format = request->format;
    e->base_weights = linear * pl_format_bytes(request->format) + rest * other;
    e->module_weights = 4.0 * added;
    e->gradients = replaced * other + 4.0 * added;
    e->optimizer = replaced * (moments + master) + added * moments;
    e->states = e->base_weights + e->module_weights + e->gradients + e->optimizer;
    pl_sentence(&e->assumptions, "%s", pl_format_assumption(request->format));
    if (added > 0.0)
        pl_sentence(&e->assumptions,
                    "Added parameters are trained in f32: 4 bytes each for weight and gradient, %g for %s.",
                    moments, pl_optimizer_name(request->optimizer));
    if (replaced > 0.0)
        pl_sentence(&e->assumptions,
                    "Trained base parameters take %g bytes each: weight %g, gradient %g, %s %g%s.",
                    2.0 * other + moments + master, other, other, pl_optimizer_name(request->optimizer),
                    moments, master > 0.0 ? ", f32 master copy 4" : "");
}

static pl_status check(const pl_memory_request *request, const pl_counts *counts, pl_error *error) {
    if (request->batch < 1 || request->batch > 65536)
        return pl_fail(error, PL_ERR_RANGE, "batch %d is outside 1..65536", request->batch);
    if (request->seq < 1 || request->seq > 1 << 20)
        return pl_fail(error, PL_ERR_RANGE, "seq %d is outside 1..%d tokens", request->seq, 1 << 20);
    if ((int64_t)request->batch * ((int64_t)request->seq + counts->virtual_tokens) > 1 << 30)
        return pl_fail(error, PL_ERR_RANGE,
                       "batch %d x seq %d is more than %d positions; choose a smaller batch", request->batch,
                       request->seq, 1 << 30);
    if (counts->replaced_linear > 0 && request->format > PL_FORMAT_BF16)
        return pl_fail(
            error, PL_ERR_UNSUPPORTED,
            "weights in %s cannot be trained themselves; choose bf16 for full fine-tuning, or a method "
            "that leaves the base frozen (that is QLoRA's idea)",
            pl_format_name(request->format));
    return PL_OK;
}

pl_status pl_account_memory(pl_memory *memory, const pl_memory_request *request, pl_memory_estimate *estimate,
                            pl_error *error) {
    const pl_config *c = request->config;
    pl_memory_estimate *e = estimate;
    memset(e, 0, sizeof *e);
    PL_TRY(pl_account_count(memory, c, request->methods, request->method_count, &e->counts, &e->assumptions,
                            error));
    PL_TRY(check(request, &e->counts, error));
    int32_t rows = request->batch * (request->seq + e->counts.virtual_tokens);
    add_states(request, e);
    PL_TRY(add_activations(memory, request, rows, e, error));
    e->training = e->states + e->activations + e->logits;
    double cached =
        (double)request->batch * (double)(request->seq + e->counts.virtual_tokens + e->counts.memory_tokens);
    double number = request->format == PL_FORMAT_F32 ? 4.0 : 2.0;
    e->kv_cache = 2.0 * (double)c->num_hidden_layers * kv_width(c) * cached * number;
    e->inference = e->base_weights + (double)(e->counts.stored - e->counts.replaced) * number + e->kv_cache;
    pl_sentence(&e->assumptions, "This is a model of usual practice, not a measurement: allocator overhead, "
                                 "temporary buffers and the framework "
                                 "itself come on top.");
    return PL_OK;
}
