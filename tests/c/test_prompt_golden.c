/* Learned rows and bottleneck adapters against peft, AdapterHub and LLM-Adapters: logits, loss, gradients and a training run of 20 AdamW
   steps. (build: both) */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "kernels/kernels.h"
#include "model_golden.h"
#include "peft/bottleneck.h"
#include "peft/file_names.h"
#include "peft/virtual.h"

enum { MODULES_MAX = 2 };

/* One fixture with the modules it takes; settings as "name=value;name=value". */
typedef struct golden_case {
    const char *name;
    const char *method[MODULES_MAX], *settings[MODULES_MAX];
} golden_case;

typedef struct golden_run {
    golden g;
    pl_memory memory;
    pl_module *modules[MODULES_MAX];
    const char *names[MODULES_MAX]; /* of the adapters in expected.json */
    int32_t count;
    pl_stack stack;
    pl_workspace *workspace;
} golden_run;

static const bool is_double = sizeof(real) == sizeof(double);

static void apply(pl_options *options, const pl_config *config, const char *settings) {
    char text[256];
    pl_error error = {0};
    (void)snprintf(text, sizeof text, "%s", settings);
    for (char *pair = text; *pair;) {
        char *end = pair + strcspn(pair, ";"), *value = strchr(pair, '=');
        bool last = *end == '\0';
        *end = '\0';
        *value++ = '\0';
        CHECK_MSG(pl_options_set_text(options, config, pair, value, &error) == PL_OK, "%s", error.message);
        pair = last ? end : end + 1;
    }
}

/* The key of the tensor in the file; that of a projection network has plain ones. */
static void file_key(const pl_module *module, const pl_tensor *tensor, const char *adapter,
                     char key[PL_FILE_NAME_SIZE]) {
    if (tensor->transient)
        (void)snprintf(key, PL_FILE_NAME_SIZE, "%s", tensor->name);
    else
        CHECK(pl_file_name(&module->options, tensor, adapter, key, NULL) == PL_OK);
}

static bool open_file(golden_run *run, const char *path, pl_safetensors *file) {
    size_t size;
    pl_error error = {0};
    const char *bytes = golden_file(&run->memory, path, &size);
    return bytes &&
           pl_safetensors_open(&run->memory, (const uint8_t *)bytes, size, path, file, &error) == PL_OK;
}

static void load_module(golden_run *run, const golden_case *c, int32_t i, const char *folder) {
    char path[256], key[PL_FILE_NAME_SIZE];
    pl_safetensors file;
    pl_error error = {0};
    pl_module *module = run->modules[i];
    static const char *const names[] = {"adapter_model.safetensors", "adapter.safetensors"};
    (void)snprintf(path, sizeof path, "tests/golden/%s/encoder.safetensors", c->name);
    bool found = module->layout.elements > module->layout.file_elements && open_file(run, path, &file);
    for (int n = 0; !found && n < 2; n++) {
        (void)snprintf(path, sizeof path, "tests/golden/%s/%s/%s", c->name, folder, names[n]);
        found = open_file(run, path, &file);
    }
    REQUIRE(found);
    CHECK_INT(file.count, module->layout.count);
    for (int32_t t = 0; t < module->layout.count; t++) {
        const pl_tensor *tensor = &module->layout.tensors[t];
        file_key(module, tensor, run->names[i], key);
        const pl_file_tensor *stored = pl_safetensors_find(&file, key);
        if (CHECK_MSG(stored && stored->elements == tensor->rows * tensor->cols, "%s: %s", c->name, key))
            CHECK(pl_safetensors_read(stored, path, module->values + tensor->offset, &error) == PL_OK);
    }
}

static void open_run(golden_run *run, const golden_case *c) {
    pl_error error = {0};
    memset(run, 0, sizeof *run);
    golden_open(&run->g, &run->memory, c->name);
    const pl_json *adapter = pl_json_first(pl_json_get(run->g.expected, "adapters"));
    for (; adapter && run->count < MODULES_MAX; adapter = pl_json_next(adapter), run->count++) {
        int32_t i = run->count;
        pl_options options;
        run->names[i] = pl_json_string(pl_json_get(adapter, "name"));
        pl_options_default(pl_method_find(c->method[i]), &run->g.model->config, &options);
        apply(&options, &run->g.model->config, c->settings[i]);
        CHECK_MSG(pl_module_create(&run->memory, run->g.model, &options, run->names[i], 1, &run->modules[i],
                                   &error) == PL_OK,
                  "%s: %s", c->name, error.message);
        CHECK(pl_module_trainable(run->modules[i], true, &error) == PL_OK);
        load_module(run, c, i, pl_json_string(pl_json_get(adapter, "dir")));
    }
    CHECK(pl_stack_build(run->modules, run->count, &run->stack, &error) == PL_OK);
    pl_extent extent = {.rows = run->g.batch.batch.row_count,
                        .seqs = run->g.batch.batch.seq_count,
                        .labels = run->g.batch.labels,
                        .training = true};
    for (int32_t i = 0; i < run->stack.count; i++)
        extent.rows += extent.seqs * run->stack.hooks[i].virtual_tokens;
    for (int32_t i = 0; i < run->count; i++)
        CHECK(pl_module_plan(run->modules[i], &extent, &error) == PL_OK);
    pl_stack_prepare(run->modules, run->count, run->g.model);
    run->workspace = helper_workspace(&run->memory, run->g.model, &run->stack, &run->g.batch.batch, true);
}

static void close_run(golden_run *run) {
    for (int32_t i = 0; i < run->count; i++)
        pl_module_free(run->modules[i]);
    golden_close(&run->g);
}

static void compare(const char *what, const char *key, const real *got, const real *want, int64_t count,
                    double relative, double absolute) {
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)want[i]));
        double error = fabs((double)got[i] - (double)want[i]);
        worst = error > worst || isnan(error) ? error : worst;
    }
    CHECK_MSG(worst <= relative * largest + absolute, "%s %s: largest error %g of %g", what, key, worst,
              largest);
}

static void check_logits(golden_run *run, const char *name) {
    pl_error error = {0};
    const pl_batch *batch = &run->g.batch.batch;
    size_t vocab = (size_t)run->g.model->config.vocab_size;
    real *logits = pl_memory_alloc(&run->memory, (size_t)batch->row_count * vocab, sizeof *logits);
    REQUIRE(pl_forward_logits(run->g.model, &run->stack, run->workspace, batch, logits, &error) == PL_OK);
    for (int32_t s = 0; s < batch->seq_count; s++) {
        char key[64];
        int64_t count = 0;
        (void)snprintf(key, sizeof key, "logits/%d", s);
        const real *want = golden_values(&run->g, key, &count);
        REQUIRE(want != NULL);
        CHECK_INT(count, (batch->seq_start[s + 1] - batch->seq_start[s]) * (int64_t)vocab);
        compare(name, key, logits + (size_t)batch->seq_start[s] * vocab, want, count, is_double ? 1e-6 : 1e-5,
                0);
    }
}

static double step_loss(golden_run *run) {
    pl_error error = {0};
    pl_loss loss = {0};
    for (int32_t i = 0; i < run->count; i++)
        memset(run->modules[i]->gradients, 0, (size_t)run->modules[i]->layout.extent * sizeof(real));
    pl_stack_prepare(run->modules, run->count, run->g.model);
    const pl_batch *batch = &run->g.batch.batch;
    CHECK(pl_forward_loss(run->g.model, &run->stack, run->workspace, batch, true, 1,
                          (real)1 / (real)run->g.batch.labels, &loss, &error) == PL_OK);
    CHECK(pl_backward(run->g.model, &run->stack, run->workspace, batch, &error) == PL_OK);
    pl_stack_finish(run->modules, run->count);
    return loss.sum / loss.labels;
}

/* Every tensor of every module against grad/<adapter>/<key> or final/<adapter>/<key>. */
static void check_tensors(golden_run *run, const char *name, const char *kind) {
    bool gradients = strcmp(kind, "grad") == 0;
    for (int32_t i = 0; i < run->count; i++)
        for (int32_t t = 0; t < run->modules[i]->layout.count; t++) {
            const pl_tensor *tensor = &run->modules[i]->layout.tensors[t];
            char key[PL_FILE_NAME_SIZE], full[400];
            int64_t count = 0;
            file_key(run->modules[i], tensor, run->names[i], key);
            (void)snprintf(full, sizeof full, "%s/%s/%s", kind, run->names[i], key);
            const real *want = golden_values(&run->g, full, &count);
            if (!CHECK_MSG(want && count == tensor->rows * tensor->cols, "%s: no %s", name, full))
                continue;
            const real *got =
                (gradients ? run->modules[i]->gradients : run->modules[i]->values) + tensor->offset;
            if (gradients)
                compare(name, full, got, want, count, is_double ? 1e-6 : 2e-5, is_double ? 1e-9 : 1e-7);
            else
                compare(name, full, got, want, count, 0, is_double ? 2e-6 : 2e-4);
        }
}

static double number(const pl_json *object, const char *key) {
    return pl_json_number(pl_json_get(object, key));
}

static void update(golden_run *run, const pl_json *training, int32_t step, double factor, real **moments) {
    double square = 0;
    for (int32_t i = 0; i < run->count; i++)
        square += pl_sum_squares(run->modules[i]->gradients, (size_t)run->modules[i]->layout.extent);
    double clip = number(training, "clip_norm") / (sqrt(square) + 1e-6), beta1 = number(training, "beta1"),
           beta2 = number(training, "beta2");
    for (int32_t i = 0; i < run->count; i++) {
        const pl_layout *layout = &run->modules[i]->layout;
        for (int32_t t = 0; t < layout->count; t++) {
            const pl_tensor *tensor = &layout->tensors[t];
            pl_adamw a = {.lr = (real)(number(training, "lr") * factor * (double)tensor->lr_scale),
                          .beta1 = (real)beta1,
                          .beta2 = (real)beta2,
                          .eps = (real)number(training, "eps"),
                          .weight_decay = tensor->decay ? (real)number(training, "weight_decay") : 0,
                          .correction1 = (real)(1 - pow(beta1, step + 1)),
                          .correction2 = (real)(1 - pow(beta2, step + 1))};
            pl_adamw_step(&a, run->modules[i]->gradients + tensor->offset, (real)fmin(1, clip),
                          moments[i] + tensor->offset, moments[i] + layout->extent + tensor->offset,
                          run->modules[i]->values + tensor->offset, (size_t)(tensor->rows * tensor->cols));
        }
    }
}

static void check_training(golden_run *run, const char *name) {
    const pl_json *training = pl_json_get(run->g.expected, "training");
    const pl_json *factor = pl_json_first(pl_json_get(training, "lr_factors")),
                  *want = pl_json_first(pl_json_get(training, "losses"));
    real *moments[MODULES_MAX] = {NULL, NULL};
    for (int32_t i = 0; i < run->count; i++)
        moments[i] = pl_memory_alloc(&run->memory, 2 * (size_t)run->modules[i]->layout.extent, sizeof(real));
    for (int32_t step = 0; want; step++, want = pl_json_next(want)) {
        double loss = step_loss(run);
        CHECK_MSG(fabs(loss - pl_json_number(want)) <= (is_double ? 1e-6 : 1e-4),
                  "%s: loss %.10g before step %d, expected %.10g", name, loss, step, pl_json_number(want));
        if (!factor)
            break; /* the loss after the last step */
        update(run, training, step, pl_json_number(factor), moments);
        factor = pl_json_next(factor);
    }
    check_tensors(run, name, "final");
}

/* What the network of a projected prefix computes is what peft stored. */
static void check_table(golden_run *run, const golden_case *c) {
    char path[256];
    pl_safetensors file;
    pl_error error = {0};
    (void)snprintf(path, sizeof path, "tests/golden/%s/adapter/adapter_model.safetensors", c->name);
    REQUIRE(open_file(run, path, &file));
    const pl_file_tensor *stored = pl_safetensors_find(&file, "prompt_embeddings");
    real *got = pl_memory_alloc(&run->memory, (size_t)stored->elements, sizeof *got);
    real *want = pl_memory_alloc(&run->memory, (size_t)stored->elements, sizeof *want);
    CHECK(pl_safetensors_read(stored, path, want, &error) == PL_OK);
    pl_prefix_table(run->modules[0], got);
    compare(c->name, "table", got, want, stored->elements, 1e-6, 0);
}

static void check_case(const char *name, const char *method, const char *settings, const char *method2,
                       const char *settings2) {
    golden_case c = {name, {method, method2}, {settings, settings2}};
    golden_run run;
    open_run(&run, &c);
    if (strcmp(method, "prefix") == 0)
        check_table(&run, &c);
    check_logits(&run, name);
    CHECK_NEAR(step_loss(&run), number(run.g.expected, "loss"), is_double ? 1e-7 : 1e-5);
    check_tensors(&run, name, "grad");
    check_training(&run, name);
    close_run(&run);
}

TEST(prompt_random_gqa) { check_case("prompt-random-gqa-odd", "prompt", "num_virtual_tokens=3", NULL, NULL); }
TEST(prompt_random_mha) {
    check_case("prompt-random-mha-tied", "prompt", "num_virtual_tokens=5", NULL, NULL);
}
TEST(prompt_vocab_llama3) {
    check_case("prompt-vocab-llama3-rope", "prompt", "num_virtual_tokens=4", NULL, NULL);
}
TEST(prefix_gqa) { check_case("prefix-gqa-odd", "prefix", "num_virtual_tokens=5", NULL, NULL); }
TEST(prefix_wide_heads) { check_case("prefix-headdim-gqa", "prefix", "num_virtual_tokens=3", NULL, NULL); }
TEST(prefix_llama3) { check_case("prefix-llama3-rope", "prefix", "num_virtual_tokens=6", NULL, NULL); }
TEST(prefix_mha) { check_case("prefix-mha-tied", "prefix", "num_virtual_tokens=4", NULL, NULL); }
TEST(prefix_projection_gqa) {
    check_case("prefix-projection-gqa-odd", "prefix",
               "num_virtual_tokens=4;prefix_projection=true;encoder_hidden_size=11;prefix_init=random", NULL,
               NULL);
}
TEST(prefix_projection_mha) {
    check_case("prefix-projection-mha-tied", "prefix",
               "num_virtual_tokens=3;prefix_projection=true;encoder_hidden_size=24;prefix_init=random", NULL,
               NULL);
}
#define LORA "rank=4;alpha=8;target_modules=q_proj,v_proj,down_proj"
TEST(lora_and_prompt_gqa) {
    check_case("lora-prompt-gqa-odd", "lora", LORA, "prompt", "num_virtual_tokens=3");
}
TEST(lora_and_prompt_mha) {
    check_case("lora-prompt-mha-tied", "lora", LORA, "prompt", "num_virtual_tokens=4");
}
TEST(lora_and_prefix_gqa) {
    check_case("lora-prefix-gqa-odd", "lora", LORA, "prefix", "num_virtual_tokens=3");
}
TEST(lora_and_prefix_wide_heads) {
    check_case("lora-prefix-headdim-gqa", "lora", LORA, "prefix", "num_virtual_tokens=2");
}

#define FACTOR(variant, rf) "bottleneck_size=0;variant=" variant ";reduction_factor=" rf
TEST(pfeiffer_mha) { check_case("seq-bn-mha-tied", "adapter", FACTOR("pfeiffer", "4"), NULL, NULL); }
TEST(pfeiffer_gqa) { check_case("seq-bn-gqa-odd", "adapter", FACTOR("pfeiffer", "7"), NULL, NULL); }
TEST(pfeiffer_gelu) {
    check_case("seq-bn-gelu-llama3-rope", "adapter", FACTOR("pfeiffer", "4") ";non_linearity=gelu", NULL,
               NULL);
}
TEST(pfeiffer_stacked) {
    check_case("seq-bn-stack-gqa-odd", "adapter", FACTOR("pfeiffer", "5"), "adapter",
               FACTOR("pfeiffer", "8"));
}
TEST(houlsby_mha) { check_case("double-seq-bn-mha-tied", "adapter", FACTOR("houlsby", "4"), NULL, NULL); }
TEST(houlsby_gqa) { check_case("double-seq-bn-gqa-odd", "adapter", FACTOR("houlsby", "8"), NULL, NULL); }
TEST(parallel_mha) { check_case("par-bn-mha-tied", "adapter", FACTOR("parallel", "4"), NULL, NULL); }
TEST(parallel_wide_heads) {
    check_case("par-bn-headdim-gqa", "adapter", FACTOR("parallel", "2"), NULL, NULL);
}
TEST(parallel_start) { check_case("par-bn-init-gqa-odd", "adapter", FACTOR("parallel", "4"), NULL, NULL); }
TEST(parallel_learned_scale) {
    check_case("scaled-par-bn-gqa-odd", "adapter", FACTOR("parallel", "4") ";learned_scale=true", NULL, NULL);
}
TEST(per_linear_mha) {
    check_case("per-linear-mha-tied", "adapter", "variant=per_linear;bottleneck_size=6", NULL, NULL);
}
TEST(per_linear_gqa) {
    check_case("per-linear-gqa-odd", "adapter",
               "variant=per_linear;bottleneck_size=5;non_linearity=relu;scaling=0.5", NULL, NULL);
}
TEST(per_linear_parallel) {
    check_case("per-linear-parallel-gqa-odd", "adapter", "variant=per_linear_parallel;bottleneck_size=4",
               NULL, NULL);
}
