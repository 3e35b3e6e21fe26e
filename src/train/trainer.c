/* Options, planning, and one step: shards forward and backward, their sum, clipping (as torch's clip_grad_norm_), AdamW. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

pl_train_options pl_train_options_default(void) {
    return (pl_train_options){.steps = 100,
                              .batch_size = 8,
                              .gradient_accumulation_steps = 1,
                              .shards = 4,
                              .lr = 1e-3,
                              .weight_decay = 0,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .max_grad_norm = 1.0,
                              .schedule = PL_SCHEDULE_COSINE,
                              .warmup_steps = 0,
                              .seed = 1};
}

static pl_status check_count(const char *name, int32_t value, int32_t minimum, int32_t maximum,
                             pl_error *error) {
    if (value >= minimum && value <= maximum)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s %d is outside %d..%d", name, value, minimum, maximum);
}

static pl_status check_real(const char *name, double value, double minimum, double maximum, pl_error *error) {
    if (value >= minimum && value <= maximum)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%s %g is outside %g..%g", name, value, minimum, maximum);
}

pl_status pl_train_options_check(const pl_train_options *o, pl_error *error) {
    PL_TRY(check_count("steps", o->steps, 1, PL_STEPS_MAX, error));
    PL_TRY(check_count("batch_size", o->batch_size, 1, PL_BATCH_MAX, error));
    PL_TRY(
        check_count("gradient_accumulation_steps", o->gradient_accumulation_steps, 1, PL_SHARDS_MAX, error));
    PL_TRY(check_count("shards", o->shards, 1, o->batch_size, error));
    PL_TRY(check_count("shards * gradient_accumulation_steps", o->shards * o->gradient_accumulation_steps, 1,
                       PL_SHARDS_MAX, error));
    PL_TRY(check_count("warmup_steps", o->warmup_steps, 0, o->steps, error));
    PL_TRY(check_real("lr", o->lr, 0.0, 1000.0, error));
    PL_TRY(check_real("weight_decay", o->weight_decay, 0.0, 10.0, error));
    PL_TRY(check_real("beta1", o->beta1, 0.0, 0.9999, error));
    PL_TRY(check_real("beta2", o->beta2, 0.0, 0.999999, error));
    PL_TRY(check_real("eps", o->eps, 1e-15, 1.0, error));
    return check_real("max_grad_norm", o->max_grad_norm, 0.0, 1e6, error);
}

static bool trains(const pl_module *module) { return module->gradients != NULL; }

/* Sequences first .. first+count-1 of the step belong to the shard. */
static void shard_range(const pl_trainer *t, int32_t shard, int32_t *first, int32_t *count) {
    int32_t total = t->options.batch_size * t->options.gradient_accumulation_steps;
    *first = (int32_t)((int64_t)total * shard / t->shard_count);
    *count = (int32_t)((int64_t)total * (shard + 1) / t->shard_count) - *first;
}

static pl_status allocate(pl_trainer *t, pl_error *error) {
    int32_t virtual_tokens = 0;
    for (int32_t i = 0; i < t->stack.count; i++)
        virtual_tokens += t->stack.hooks[i].virtual_tokens;
    int32_t rows = pl_dataset_rows(t->dataset, t->shard_seqs);
    pl_extent extent = {.rows = rows + t->shard_seqs * virtual_tokens,
                        .seqs = t->shard_seqs,
                        .labels = rows,
                        .training = true};
    for (int32_t i = 0; i < t->module_count; i++)
        PL_TRY(pl_module_plan(t->modules[i], &extent, error));
    PL_TRY(pl_workspace_create(t->memory, t->model, &t->stack, &extent, &t->workspace, error));
    PL_TRY(pl_batch_buffer_create(t->memory, t->shard_seqs, rows, &t->buffer, error));
    t->total = pl_memory_alloc(t->memory, (uint64_t)t->size, sizeof(real));
    t->first = pl_memory_alloc(t->memory, (uint64_t)t->size, sizeof(real));
    t->second = pl_memory_alloc(t->memory, (uint64_t)t->size, sizeof(real));
    t->order = pl_memory_alloc(t->memory, (size_t)t->dataset->example_count, sizeof *t->order);
    if (!t->total || !t->first || !t->second || !t->order)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for the optimiser state of %lld numbers",
                       (long long)t->trainable);
    return PL_OK;
}

static pl_status setup(pl_trainer *t, pl_error *error) {
    for (int32_t i = 0; i < t->module_count; i++) {
        if (!trains(t->modules[i]))
            continue;
        t->size += t->modules[i]->layout.extent;
        t->trainable += t->modules[i]->layout.elements;
    }
    if (t->trainable == 0)
        return pl_fail(error, PL_ERR_STATE, "nothing to train: add a module (or make one trainable) first");
    if (t->dataset->example_count == 0)
        return pl_fail(error, PL_ERR_STATE, "the training data holds no example");
    PL_TRY(pl_stack_build(t->modules, t->module_count, &t->stack, error));
    PL_TRY(allocate(t, error));
    pl_stack_prepare(t->modules, t->module_count, t->model);
    return PL_OK;
}

pl_status pl_trainer_create(pl_memory *memory, pl_model *model, pl_module *const *modules,
                            int32_t module_count, const pl_dataset *dataset, const pl_train_options *options,
                            pl_trainer **trainer, pl_error *error) {
    PL_TRY(pl_train_options_check(options, error));
    if (module_count > PL_STACK_MAX)
        return pl_fail(error, PL_ERR_RANGE, "%d active modules, at most %d can run together", module_count,
                       PL_STACK_MAX);
    pl_trainer *t = pl_memory_alloc(memory, 1, sizeof *t);
    if (!t)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for a training run");
    t->memory = memory;
    t->model = model;
    t->module_count = module_count;
    if (module_count)
        memcpy(t->modules, modules, (size_t)module_count * sizeof *modules);
    t->dataset = dataset;
    t->options = *options;
    t->order_epoch = PL_NONE;
    t->shard_count = options->shards * options->gradient_accumulation_steps;
    t->shard_seqs = (options->batch_size + options->shards - 1) / options->shards;
    pl_status status = setup(t, error);
    if (status != PL_OK) {
        pl_trainer_free(t);
        return status;
    }
    *trainer = t;
    return PL_OK;
}

void pl_trainer_free(pl_trainer *t) {
    if (!t)
        return;
    pl_memory *memory = t->memory;
    pl_trainer_free_kept(t);
    pl_workspace_free(t->workspace);
    pl_batch_buffer_free(memory, &t->buffer);
    pl_memory_free(memory, t->total);
    pl_memory_free(memory, t->first);
    pl_memory_free(memory, t->second);
    pl_memory_free(memory, t->order);
    pl_memory_free(memory, t);
}

/* Example of the index-th sequence since the start of the run: epoch after epoch, each in its own shuffled order. */
static int32_t example_at(pl_trainer *t, int64_t index) {
    int32_t epoch = (int32_t)(index / t->dataset->example_count % INT32_MAX);
    if (epoch != t->order_epoch) {
        pl_dataset_order(t->dataset, t->options.seed, epoch, t->order);
        t->order_epoch = epoch;
    }
    return t->order[index % t->dataset->example_count];
}

/* Targets of the whole coming step: the common denominator of all its shards. */
static int32_t step_labels(pl_trainer *t) {
    int32_t total = t->options.batch_size * t->options.gradient_accumulation_steps, labels = 0;
    for (int32_t i = 0; i < total; i++) {
        const pl_example *e = &t->dataset->examples[example_at(t, (int64_t)t->step * total + i)];
        labels += e->count - e->label_from;
    }
    return labels;
}

static void zero_gradients(pl_trainer *t) {
    for (int32_t i = 0; i < t->module_count; i++)
        if (trains(t->modules[i]))
            memset(t->modules[i]->gradients, 0, (size_t)t->modules[i]->layout.extent * sizeof(real));
}

/* Forward and backward of what is in the buffer. */
static pl_status run_buffer(pl_trainer *t, bool dropout, int32_t denominator, pl_shard *result,
                            pl_error *error) {
    pl_loss loss;
    zero_gradients(t);
    real scale = (real)(1.0 / (double)(denominator > 0 ? denominator : 1));
    uint64_t key = dropout ? pl_rng_mix(pl_rng_mix(t->options.seed, 0xD20), (uint64_t)t->step) : 0;
    PL_TRY(
        pl_forward_loss(t->model, &t->stack, t->workspace, &t->buffer.batch, true, key, scale, &loss, error));
    PL_TRY(pl_backward(t->model, &t->stack, t->workspace, &t->buffer.batch, error));
    pl_stack_finish(t->modules, t->module_count);
    *result = (pl_shard){.loss_sum = loss.sum, .labels = loss.labels, .tokens = t->buffer.batch.row_count};
    return PL_OK;
}

pl_status pl_trainer_shard(pl_trainer *t, int32_t shard, pl_shard *result, pl_error *error) {
    if (shard < 0 || shard >= t->shard_count)
        return pl_fail(error, PL_ERR_RANGE, "shard %d is outside 0..%d", shard, t->shard_count - 1);
    if (t->step >= t->options.steps)
        return pl_fail(error, PL_ERR_STATE, "all %d steps of this run are done; begin a new run to go on",
                       t->options.steps);
    int32_t first, count, denominator = step_labels(t);
    int32_t total = t->options.batch_size * t->options.gradient_accumulation_steps;
    shard_range(t, shard, &first, &count);
    pl_batch_clear(&t->buffer);
    for (int32_t i = first; i < first + count; i++)
        if (!pl_batch_append(&t->buffer, t->dataset, example_at(t, (int64_t)t->step * total + i),
                             (uint64_t)i))
            return pl_fail(error, PL_ERR_STATE, "sequence %d does not fit the batch that was planned", i);
    return run_buffer(t, true, denominator, result, error);
}

/* Multiply-adds of one sequence: the linear maps per row, attention over half of rows x rows, logits per label. */
static double sequence_cost(const pl_trainer *t, const pl_example *e) {
    const pl_config *c = &t->model->config;
    double rows = e->count, maps = 0, query = (double)pl_site_out(c, PL_SITE_Q);
    for (int32_t i = 0; i < t->stack.count; i++)
        rows += t->stack.hooks[i].virtual_tokens;
    for (int32_t s = 0; s < PL_SITE_COUNT; s++)
        maps += (double)pl_site_in(c, (pl_site)s) * (double)pl_site_out(c, (pl_site)s);
    return (double)c->num_hidden_layers * (rows * maps + rows * rows * query) +
           (double)(e->count - e->label_from) * (double)c->hidden_size * (double)c->vocab_size;
}

pl_status pl_trainer_shard_costs(pl_trainer *t, double *costs, pl_error *error) {
    int64_t total = (int64_t)t->options.batch_size * t->options.gradient_accumulation_steps;
    if (t->step >= t->options.steps)
        return pl_fail(error, PL_ERR_STATE, "all %d steps of this run are done; begin a new run to go on",
                       t->options.steps);
    for (int32_t shard = 0; shard < t->shard_count; shard++) {
        int32_t first, count;
        shard_range(t, shard, &first, &count);
        costs[shard] = 0;
        for (int32_t i = first; i < first + count; i++)
            costs[shard] += sequence_cost(t, &t->dataset->examples[example_at(t, t->step * total + i)]);
    }
    return PL_OK;
}

void pl_trainer_copy_gradients(const pl_trainer *t, real *gradients) {
    for (int32_t i = 0; i < t->module_count; i++) {
        if (!trains(t->modules[i]))
            continue;
        memcpy(gradients, t->modules[i]->gradients, (size_t)t->modules[i]->layout.extent * sizeof(real));
        gradients += t->modules[i]->layout.extent;
    }
}

/* Adds the modules' gradient blocks to the step's sum. */
static void add_gradients(pl_trainer *t) {
    real *total = t->total;
    for (int32_t i = 0; i < t->module_count; i++) {
        if (!trains(t->modules[i]))
            continue;
        pl_add(t->modules[i]->gradients, total, (size_t)t->modules[i]->layout.extent);
        total += t->modules[i]->layout.extent;
    }
}

static void update_module(pl_trainer *t, pl_module *module, int64_t at, const pl_adamw *base, real g_scale) {
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        pl_adamw a = *base;
        a.lr *= (real)tensor->lr_scale;
        if (!tensor->decay)
            a.weight_decay = 0;
        int64_t o = at + tensor->offset;
        pl_adamw_step(&a, t->total + o, g_scale, t->first + o, t->second + o, module->values + tensor->offset,
                      (size_t)(tensor->rows * tensor->cols));
    }
}

/* 1 - beta^t by repeated multiplication: pow() may differ in the last bit between C libraries. */
static double correction(double beta, int32_t t) {
    double power = 1.0;
    for (double b = beta; t > 0; t >>= 1, b *= b)
        if (t & 1)
            power *= b;
    return 1.0 - power;
}

void pl_trainer_changed(pl_trainer *t) {
    pl_stack_prepare(t->modules, t->module_count, t->model);
    pl_trainer_release_kept(t);
}

pl_status pl_trainer_update(pl_trainer *t, const pl_shard *sum, pl_step_report *report, pl_error *error) {
    double lr = t->options.lr *
                pl_schedule_factor(t->options.schedule, t->step, t->options.warmup_steps, t->options.steps);
    double norm = sqrt(pl_sum_squares(t->total, (size_t)t->size));
    double loss = sum->labels ? sum->loss_sum / sum->labels : 0.0;
    if (!isfinite(loss) || !isfinite(norm))
        return pl_fail(
            error, PL_ERR_NUMERIC,
            "the run diverged at step %d (loss %g, gradient norm %g, learning rate %g): nothing was updated; "
            "start again with a learning rate of %g or less",
            t->step + 1, loss, norm, lr, t->options.lr / 10);
    real g_scale = 1;
    if (t->options.max_grad_norm > 0 && norm > t->options.max_grad_norm)
        g_scale = (real)(t->options.max_grad_norm / (norm + 1e-6)); /* torch's clip_grad_norm_ */
    pl_adamw a = {.lr = (real)lr,
                  .beta1 = t->options.beta1,
                  .beta2 = t->options.beta2,
                  .eps = (real)t->options.eps,
                  .weight_decay = (real)t->options.weight_decay,
                  .correction1 = (real)correction(t->options.beta1, t->step + 1),
                  .correction2 = (real)correction(t->options.beta2, t->step + 1)};
    int64_t at = 0;
    for (int32_t i = 0; i < t->module_count; i++) {
        if (!trains(t->modules[i]))
            continue;
        update_module(t, t->modules[i], at, &a, g_scale);
        at += t->modules[i]->layout.extent;
        pl_module_refresh(t->model, t->modules[i]);
    }
    pl_stack_prepare(t->modules, t->module_count, t->model);
    pl_trainer_release_kept(t);
    t->step++;
    *report = (pl_step_report){.step = t->step,
                               .loss = loss,
                               .lr = lr,
                               .grad_norm = norm,
                               .labels = sum->labels,
                               .tokens = sum->tokens};
    return PL_OK;
}

pl_status pl_trainer_step(pl_trainer *t, pl_step_report *report, pl_error *error) {
    pl_shard sum = {0};
    memset(t->total, 0, (size_t)t->size * sizeof(real));
    for (int32_t shard = 0; shard < t->shard_count; shard++) {
        pl_shard part;
        PL_TRY(pl_trainer_shard(t, shard, &part, error));
        add_gradients(t);
        sum.loss_sum += part.loss_sum;
        sum.labels += part.labels;
        sum.tokens += part.tokens;
    }
    return pl_trainer_update(t, &sum, report, error);
}

pl_status pl_trainer_gradients(pl_trainer *t, int32_t from, int32_t to, pl_shard *result, pl_error *error) {
    pl_batch_clear(&t->buffer);
    for (int32_t i = from; i < to; i++)
        if (i < 0 || i >= t->dataset->example_count ||
            !pl_batch_append(&t->buffer, t->dataset, i, (uint64_t)i))
            return pl_fail(error, PL_ERR_RANGE,
                           "examples %d..%d do not fit the run: %d examples, %d sequences per shard", from,
                           to, t->dataset->example_count, t->shard_seqs);
    return run_buffer(t, false, t->buffer.labels, result, error);
}
