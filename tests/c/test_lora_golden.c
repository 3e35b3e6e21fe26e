/* LoRA, rsLoRA, DoRA, LoRA+, (IA)3, norms and full fine-tuning against peft: logits, loss, every gradient, a run of 20 AdamW steps, and the
   merged weights. build: both */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden_adapter.h"
#include "harness.h"
#include "kernels/kernels.h"
#include "model_golden.h"

enum { MODULES_MAX = 3 };

typedef struct run {
    const char *name;
    pl_memory memory;
    golden g;
    pl_module *modules[MODULES_MAX];
    int32_t count;
    pl_stack stack;
    pl_workspace *workspace;
} run;

static const bool is_double = sizeof(real) == sizeof(double);

static double number(const pl_json *object, const char *key) {
    return pl_json_number(pl_json_get(object, key));
}

static void add_adapters(run *r) {
    for (const pl_json *a = pl_json_first(pl_json_get(r->g.expected, "adapters")); a; a = pl_json_next(a)) {
        char folder[200];
        (void)snprintf(folder, sizeof folder, "%s/%s", r->name, pl_json_string(pl_json_get(a, "dir")));
        pl_module *module =
            golden_module(&r->memory, r->g.model, folder, pl_json_string(pl_json_get(a, "name")));
        module->weight = pl_json_get(a, "weight") ? (real)number(a, "weight") : 1;
        r->modules[r->count++] = module;
    }
}

static void add_full(run *r) {
    pl_options options;
    pl_error error = {0};
    pl_options_default(pl_method_find("full"), &r->g.model->config, &options);
    CHECK(pl_module_create(&r->memory, r->g.model, &options, "base", 1, &r->modules[0], &error) == PL_OK);
    CHECK(pl_module_trainable(r->modules[0], true, &error) == PL_OK);
    r->count = 1;
}

/* The create_loraplus_optimizer ratio is in the training section, not in the adapter's files. */
static void apply_ratio(run *r) {
    double ratio = number(pl_json_get(r->g.expected, "training"), "loraplus_lr_ratio");
    for (int32_t i = 0; ratio > 0 && i < r->modules[0]->layout.count; i++) {
        pl_options options = r->modules[0]->options;
        pl_error error = {0};
        CHECK(pl_options_set_number(&options, "loraplus_lr_ratio", ratio, &error) == PL_OK);
        pl_layout layout = pl_layout_make(&r->memory, &error);
        CHECK(options.method->declare(&options, &r->modules[0]->config, &layout) == PL_OK);
        r->modules[0]->layout.tensors[i].lr_scale = layout.tensors[i].lr_scale;
        pl_layout_free(&layout);
    }
}

static void open_run(run *r, const char *name, bool full) {
    pl_error error = {0};
    memset(r, 0, sizeof *r);
    r->name = name;
    golden_open(&r->g, &r->memory, name);
    if (full)
        add_full(r);
    else
        add_adapters(r);
    apply_ratio(r);
    CHECK_MSG(pl_stack_build(r->modules, r->count, &r->stack, &error) == PL_OK, "%s", error.message);
    pl_extent extent = {.rows = r->g.batch.batch.row_count,
                        .seqs = r->g.batch.batch.seq_count,
                        .labels = r->g.batch.labels,
                        .training = true};
    for (int32_t i = 0; i < r->count; i++) {
        CHECK(pl_module_plan(r->modules[i], &extent, &error) == PL_OK);
        CHECK(pl_module_attach(r->g.model, r->modules[i], &error) == PL_OK);
    }
    pl_stack_prepare(r->modules, r->count, r->g.model);
    r->workspace = helper_workspace(&r->memory, r->g.model, &r->stack, &r->g.batch.batch, true);
}

static void close_run(run *r) {
    golden_close(&r->g);
    pl_memory_free_all(&r->memory);
}

static void compare(const run *r, const char *key, const real *got, const real *want, int64_t count,
                    double relative, double absolute) {
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double difference = fabs((double)got[i] - (double)want[i]);
        largest = fmax(largest, fabs((double)want[i]));
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    CHECK_MSG(worst <= relative * largest + absolute, "%s %s: off by %g of %g", r->name, key, worst, largest);
}

static real *logits_of(run *r) {
    pl_error error = {0};
    size_t vocab = (size_t)r->g.model->config.vocab_size;
    real *logits = pl_memory_alloc(&r->memory, (size_t)r->g.batch.batch.row_count * vocab, sizeof *logits);
    CHECK(pl_forward_logits(r->g.model, &r->stack, r->workspace, &r->g.batch.batch, logits, &error) == PL_OK);
    return logits;
}

static void check_logits(run *r) {
    const pl_batch *batch = &r->g.batch.batch;
    real *logits = logits_of(r);
    for (int32_t s = 0; s < batch->seq_count; s++) {
        char key[64];
        int64_t count = 0;
        (void)snprintf(key, sizeof key, "logits/%d", (int)s);
        const real *want = golden_values(&r->g, key, &count);
        REQUIRE(want != NULL);
        compare(r, key, logits + (size_t)batch->seq_start[s] * (size_t)r->g.model->config.vocab_size, want,
                count, is_double ? 1e-6 : 1e-5, 0);
    }
}

static double step_loss(run *r) {
    pl_error error = {0};
    pl_loss loss = {0};
    const pl_batch *batch = &r->g.batch.batch;
    for (int32_t i = 0; i < r->count; i++) {
        memset(r->modules[i]->gradients, 0, (size_t)r->modules[i]->layout.extent * sizeof(real));
        pl_module_refresh(r->g.model, r->modules[i]);
    }
    pl_stack_prepare(r->modules, r->count, r->g.model);
    CHECK(pl_forward_loss(r->g.model, &r->stack, r->workspace, batch, true, 1,
                          (real)1 / (real)r->g.batch.labels, &loss, &error) == PL_OK);
    CHECK(pl_backward(r->g.model, &r->stack, r->workspace, batch, &error) == PL_OK);
    pl_stack_finish(r->modules, r->count);
    return loss.sum / loss.labels;
}

static void check_tensors(run *r, const char *kind) {
    bool gradients = strcmp(kind, "grad") == 0;
    for (int32_t i = 0; i < r->count; i++) {
        for (int32_t t = 0; t < r->modules[i]->layout.count; t++) {
            const pl_tensor *tensor = &r->modules[i]->layout.tensors[t];
            char key[2 * PL_NAME_SIZE], full[400];
            int64_t count = 0;
            golden_key(r->modules[i], tensor, key);
            (void)snprintf(full, sizeof full, "%s/%s/%s", kind, r->modules[i]->name, key);
            const real *want = golden_values(&r->g, full, &count);
            if (!CHECK_MSG(want && count == tensor->rows * tensor->cols, "%s: no %s", r->name, full))
                continue;
            if (gradients)
                compare(r, full, r->modules[i]->gradients + tensor->offset, want, count,
                        is_double ? 1e-6 : 2e-5, is_double ? 1e-9 : 1e-7);
            else
                compare(r, full, r->modules[i]->values + tensor->offset, want, count, 0,
                        is_double ? 2e-6 : 2e-4);
        }
    }
}

static void update(run *r, const pl_json *training, int32_t step, double factor, real **moments) {
    double square = 0;
    for (int32_t i = 0; i < r->count; i++)
        square += pl_sum_squares(r->modules[i]->gradients, (size_t)r->modules[i]->layout.extent);
    double clip = fmin(1, number(training, "clip_norm") / (sqrt(square) + 1e-6));
    double beta1 = number(training, "beta1"), beta2 = number(training, "beta2");
    for (int32_t i = 0; i < r->count; i++) {
        const pl_layout *layout = &r->modules[i]->layout;
        for (int32_t t = 0; t < layout->count; t++) {
            const pl_tensor *tensor = &layout->tensors[t];
            pl_adamw a = {.lr = (real)(number(training, "lr") * factor * (double)tensor->lr_scale),
                          .beta1 = (real)beta1,
                          .beta2 = (real)beta2,
                          .eps = (real)number(training, "eps"),
                          .weight_decay = tensor->decay ? (real)number(training, "weight_decay") : 0,
                          .correction1 = (real)(1 - pow(beta1, step + 1)),
                          .correction2 = (real)(1 - pow(beta2, step + 1))};
            pl_adamw_step(&a, r->modules[i]->gradients + tensor->offset, (real)clip,
                          moments[i] + tensor->offset, moments[i] + layout->extent + tensor->offset,
                          r->modules[i]->values + tensor->offset, (size_t)(tensor->rows * tensor->cols));
        }
    }
}

static void check_training(run *r) {
    const pl_json *training = pl_json_get(r->g.expected, "training");
    const pl_json *factor = pl_json_first(pl_json_get(training, "lr_factors"));
    real *moments[MODULES_MAX] = {NULL};
    int32_t step = 0;
    for (int32_t i = 0; i < r->count; i++)
        moments[i] = pl_memory_alloc(&r->memory, 2 * (size_t)r->modules[i]->layout.extent, sizeof(real));
    for (const pl_json *want = pl_json_first(pl_json_get(training, "losses")); want;
         want = pl_json_next(want), step++) {
        double loss = step_loss(r);
        CHECK_MSG(fabs(loss - pl_json_number(want)) <= (is_double ? 1e-6 : 1e-4),
                  "%s: loss %.10g before step %d, expected %.10g", r->name, loss, (int)step,
                  pl_json_number(want));
        if (!factor)
            break; /* the loss after the last step */
        update(r, training, step, pl_json_number(factor), moments);
        factor = pl_json_next(factor);
    }
    check_tensors(r, "final");
}

/* Merged weights equal peft's (its merge is float32), merged logits equal unmerged ones, unmerging restores every bit. */
static void check_merge(run *r) {
    char path[200];
    pl_error error = {0};
    pl_model *model = r->g.model;
    size_t count = (size_t)r->g.batch.batch.row_count * (size_t)model->config.vocab_size,
           extent = (size_t)model->layout.extent;
    if (!pl_json_get(r->g.expected, "merged"))
        return;
    real *before = pl_memory_alloc(&r->memory, extent, sizeof(real)), *unmerged = logits_of(r);
    memcpy(before, model->values, extent * sizeof(real));
    pl_merged *merged = NULL;
    if (!CHECK_MSG(pl_merge(&r->memory, model, r->modules, r->count, &merged, &error) == PL_OK, "%s: %s",
                   r->name, error.message))
        return;
    (void)snprintf(path, sizeof path, "%s/merged.safetensors", r->name);
    pl_safetensors file = golden_tensors(&r->memory, path);
    for (int32_t i = 0; i < file.count; i++) {
        int32_t base = pl_layout_find(&model->layout, file.tensors[i].name);
        real *want = pl_memory_alloc(&r->memory, (size_t)file.tensors[i].elements, sizeof(real));
        REQUIRE(base != PL_NONE && pl_safetensors_read(&file.tensors[i], path, want, &error) == PL_OK);
        compare(r, file.tensors[i].name, model->values + model->layout.tensors[base].offset, want,
                file.tensors[i].elements, 4e-7, 1e-7);
    }
    pl_stack stack = r->stack;
    r->stack.count = 0;
    compare(r, "merged logits", logits_of(r), unmerged, (int64_t)count, is_double ? 1e-12 : 1e-4, 0);
    r->stack = stack;
    pl_unmerge(model, merged);
    CHECK(memcmp(before, model->values, extent * sizeof(real)) == 0);
    for (int32_t i = 0; i < r->count; i++)
        CHECK(pl_module_attach(model, r->modules[i], &error) == PL_OK);
    pl_stack_prepare(r->modules, r->count, model);
    CHECK(memcmp(unmerged, logits_of(r), count * sizeof(real)) == 0);
}

static void check(const char *name) {
    run r;
    open_run(&r, name, strncmp(name, "full", 4) == 0);
    int64_t trainable = 0;
    for (int32_t i = 0; i < r.count; i++)
        trainable += r.modules[i]->layout.elements;
    CHECK_INT(trainable, number(r.g.expected, "trainable"));
    check_logits(&r);
    CHECK_NEAR(step_loss(&r), number(r.g.expected, "loss"), is_double ? 1e-7 : 1e-5);
    check_tensors(&r, "grad");
    check_merge(&r);
    check_training(&r);
    close_run(&r);
}

TEST(lora_query_value_mha) { check("lora-qv-mha-tied"); }
TEST(lora_query_value_gqa) { check("lora-qv-gqa-odd"); }
TEST(lora_all_wide_heads) { check("lora-all-headdim-gqa"); }
TEST(lora_patterns) { check("lora-all-patterns-gqa-odd"); }
TEST(lora_gaussian_llama3) { check("lora-gaussian-llama3-rope"); }
TEST(lora_from_the_start) { check("lora-init-mha-tied"); }
TEST(lora_rs_wide_heads) { check("lora-rs-headdim-gqa"); }
TEST(lora_some_layers) { check("lora-some-layers-gqa-odd"); }
TEST(lora_plus) { check("loraplus-qv-gqa-odd"); }
TEST(dora_wide_heads) { check("dora-all-headdim-gqa"); }
TEST(dora_mha) { check("dora-qv-mha-tied"); }
TEST(pissa_patterns) { check("pissa-all-gqa-odd"); }
TEST(pissa_rs) { check("pissa-rs-headdim-gqa"); }
TEST(pissa_dora) { check("pissa-dora-mha-tied"); }
TEST(olora_all) { check("olora-all-mha-tied"); }
TEST(weighted_mixed) { check("weighted-mixed-mha-tied"); }
TEST(weighted_same) { check("weighted-same-gqa-odd"); }
TEST(ia3_gqa) { check("ia3-gqa-odd"); }
TEST(ia3_mha) { check("ia3-mha-tied"); }
TEST(norms_gqa) { check("norms-gqa-odd"); }
TEST(norms_mha) { check("norms-mha-tied"); }
TEST(full_gqa) { check("full-gqa-odd"); }
TEST(full_llama3) { check("full-llama3-rope"); }
TEST(full_mha) { check("full-mha-tied"); }
