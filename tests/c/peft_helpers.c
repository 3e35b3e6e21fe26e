#include "peft_helpers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "peft/lora.h"

void rig_open(rig *r, pl_config config, uint64_t seed) {
    static const int32_t lengths[] = {7, 1, 4, 9};
    memset(r, 0, sizeof *r);
    r->config = config;
    r->model = helper_model(&r->memory, &config, seed);
    r->dropout_key = 99;
    helper_batch_make(&r->batch, &config, lengths, 4, seed + 1);
}

/* One "name=value" or "pattern.key=value". */
static pl_status set_option(pl_options *options, const pl_config *config, char *pair, pl_error *error) {
    char *value = strchr(pair, '='), *dot = strchr(pair, '.');
    *value++ = '\0';
    if (!dot || dot > value)
        return pl_options_set_text(options, config, pair, value, error);
    *dot++ = '\0';
    return pl_options_set_pattern(options, config, pair, dot, strtod(value, NULL), error);
}

pl_module *rig_make(rig *r, const char *method, const char *name, const char *text, pl_status *status,
                    pl_error *error) {
    static char words[512]; /* option texts must live until the module has copied them */
    pl_module *module = NULL;
    pl_options options;
    pl_options_default(pl_method_find(method), &r->config, &options);
    (void)snprintf(words, sizeof words, "%s", text);
    *status = PL_OK;
    for (char *pair = words; *pair && *status == PL_OK;) {
        char *end = pair + strcspn(pair, ";");
        bool last = *end == '\0';
        *end = '\0';
        *status = set_option(&options, &r->config, pair, error);
        pair = last ? end : end + 1;
    }
    if (*status == PL_OK)
        *status = pl_module_create(&r->memory, r->model, &options, name, 17, &module, error);
    return module;
}

pl_module *rig_add(rig *r, const char *method, const char *name, const char *options, bool keep_start) {
    pl_status status;
    pl_error error = {0};
    pl_module *module = rig_make(r, method, name, options, &status, &error);
    if (!CHECK_MSG(status == PL_OK, "%s %s: %s", method, options, error.message))
        return NULL;
    if (!keep_start)
        rig_shake(module, (uint64_t)r->count + 5);
    CHECK(pl_module_trainable(module, true, &error) == PL_OK);
    r->modules[r->count++] = module;
    return module;
}

void rig_shake(pl_module *module, uint64_t seed) {
    pl_rng rng = pl_rng_stream(seed, 3);
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        for (int64_t j = 0; j < tensor->rows * tensor->cols; j++)
            module->values[tensor->offset + j] += (real)(0.15 * pl_rng_normal(&rng));
    }
}

void rig_prepare(rig *r) {
    for (int32_t i = 0; i < r->count; i++)
        pl_module_refresh(r->model, r->modules[i]);
    pl_stack_prepare(r->modules, r->count, r->model);
}

void rig_ready(rig *r, bool training) {
    pl_error error = {0};
    r->training = training;
    CHECK_MSG(pl_stack_build(r->modules, r->count, &r->stack, &error) == PL_OK, "%s", error.message);
    pl_extent extent = {.rows = r->batch.batch.row_count,
                        .seqs = r->batch.batch.seq_count,
                        .labels = r->batch.batch.row_count,
                        .training = training};
    for (int32_t i = 0; i < r->stack.count; i++)
        extent.rows += extent.seqs * r->stack.hooks[i].virtual_tokens;
    for (int32_t i = 0; i < r->count; i++) {
        CHECK(pl_module_plan(r->modules[i], &extent, &error) == PL_OK);
        CHECK_MSG(pl_module_attach(r->model, r->modules[i], &error) == PL_OK, "%s", error.message);
    }
    pl_stack_prepare(r->modules, r->count, r->model);
    pl_workspace_free(r->workspace);
    r->workspace = helper_workspace(&r->memory, r->model, &r->stack, &r->batch.batch, training);
}

double rig_loss(rig *r) {
    pl_loss loss = {0};
    pl_error error = {0};
    real scale = (real)1 / (real)r->batch.labels;
    pl_status status = pl_forward_loss(r->model, &r->stack, r->workspace, &r->batch.batch, r->training,
                                       r->dropout_key, scale, &loss, &error);
    CHECK_MSG(status == PL_OK, "%s", error.message);
    return loss.sum / r->batch.labels;
}

void rig_backward(rig *r) {
    pl_error error = {0};
    for (int32_t i = 0; i < r->count; i++)
        if (r->modules[i]->gradients)
            memset(r->modules[i]->gradients, 0, (size_t)r->modules[i]->layout.extent * sizeof(real));
    CHECK(pl_backward(r->model, &r->stack, r->workspace, &r->batch.batch, &error) == PL_OK);
    pl_stack_finish(r->modules, r->count);
}

real *rig_logits(rig *r) {
    pl_error error = {0};
    real *logits = pl_memory_alloc(
        &r->memory, (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size, sizeof(real));
    CHECK_MSG(pl_forward_logits(r->model, &r->stack, r->workspace, &r->batch.batch, logits, &error) == PL_OK,
              "%s", error.message);
    return logits;
}

void rig_close(rig *r) {
    for (int32_t i = 0; i < r->count; i++) {
        pl_module_detach(r->model, r->modules[i]);
        pl_module_free(r->modules[i]);
    }
    pl_workspace_free(r->workspace);
    pl_model_free(r->model);
    pl_memory_free_all(&r->memory);
    CHECK_INT(r->memory.bytes, 0);
}

/* ---- finite differences ---- */

enum { SITES_MAX = 8 * PL_SITE_COUNT };

typedef struct norms {
    real *kept[8][SITES_MAX]; /* per module and site */
} norms;

static void each_norm(rig *r, norms *n, bool restore) {
    for (int32_t m = 0; m < r->count; m++) {
        if (strcmp(r->modules[m]->method->name, "lora") != 0)
            continue;
        for (int32_t i = 0; i < r->config.num_hidden_layers * PL_SITE_COUNT; i++) {
            pl_lora_site *s = pl_lora_site_at(r->modules[m], i / PL_SITE_COUNT, (pl_site)(i % PL_SITE_COUNT));
            if (!s->norm)
                continue;
            size_t bytes = (size_t)s->out * sizeof(real);
            if (!restore) {
                n->kept[m][i] = pl_memory_alloc(&r->memory, (size_t)s->out, sizeof(real));
                memcpy(n->kept[m][i], s->norm, bytes);
                continue;
            }
            const real *magnitude =
                pl_module_values(r->modules[m], i / PL_SITE_COUNT, i % PL_SITE_COUNT, PL_LORA_M);
            memcpy(s->norm, n->kept[m][i], bytes);
            for (int32_t o = 0; o < s->out; o++)
                s->g[o] = magnitude[o] / s->norm[o];
        }
    }
}

static double loss_at(rig *r, real *value, double step, norms *n, bool frozen) {
    real before = *value;
    *value = (real)((double)before + step);
    rig_prepare(r);
    if (frozen)
        each_norm(r, n, true);
    double loss = rig_loss(r);
    *value = before;
    return loss;
}

/* Central difference; where two points disagree with the gradient, four points decide (error O(h^4)). */
static double difference_at(rig *r, real *value, double gradient, double tolerance, norms *n, bool frozen) {
    const double h = 1e-5;
    double near = loss_at(r, value, h, n, frozen) - loss_at(r, value, -h, n, frozen);
    if (fabs(near / (2 * h) - gradient) <= tolerance)
        return near / (2 * h);
    const double k = 2e-4;
    near = loss_at(r, value, k, n, frozen) - loss_at(r, value, -k, n, frozen);
    double far = loss_at(r, value, 2 * k, n, frozen) - loss_at(r, value, -2 * k, n, frozen);
    return (8 * near - far) / (12 * k);
}

static void check_tensor(rig *r, const pl_module *module, int32_t index, norms *n, bool frozen) {
    const pl_tensor *tensor = &module->layout.tensors[index];
    int64_t size = tensor->rows * tensor->cols, step = size > 4 ? size / 4 + 1 : 1;
    const real *gradient = module->gradients + tensor->offset;
    double scale = rig_largest(gradient, (size_t)size), tolerance = 1e-7 * scale + 1e-9;
    CHECK_MSG(scale > 0, "%s/%s has no gradient at all", module->name, tensor->name);
    for (int64_t j = (index * 7) % step; j < size; j += step) {
        double got = (double)gradient[j];
        double want = difference_at(r, module->values + tensor->offset + j, got, tolerance, n, frozen);
        if (getenv("PEFTLAB_REPORT")) /* web/content/recorded/make-proof.mjs publishes the largest of these */
            printf("gap %s %.3g\n", tensor->name, fabs(want - got) / scale);
        CHECK_MSG(fabs(want - got) <= tolerance, "%s/%s[%lld]: gradient %.12g, difference %.12g, scale %g",
                  module->name, tensor->name, (long long)j, got, want, scale);
    }
}

void rig_check_gradients(rig *r, bool frozen_norms) {
    norms *n = pl_memory_alloc(&r->memory, 1, sizeof *n);
    rig_prepare(r);
    each_norm(r, n, false);
    CHECK(isfinite(rig_loss(r)));
    rig_backward(r);
    for (int32_t m = 0; m < r->count; m++)
        for (int32_t i = 0; r->modules[m]->gradients && i < r->modules[m]->layout.count; i++)
            check_tensor(r, r->modules[m], i, n, frozen_norms);
    rig_prepare(r);
}

double rig_largest(const real *x, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
    return largest;
}

double rig_difference(const real *x, const real *y, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)x[i] - (double)y[i]);
        largest = difference > largest ? difference : largest;
    }
    return largest;
}

bool rig_same_bits(const real *x, const real *y, size_t n) { return memcmp(x, y, n * sizeof(real)) == 0; }
