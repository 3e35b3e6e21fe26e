/* Prefix tuning: the meaning of the table, positions, text starts, compiling prompts, refusals. (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/virtual.h"
#include "peft_helpers.h"

static const double CLOSE = sizeof(real) == sizeof(double) ? 1e-12 : 2e-5;

static size_t logit_count(const rig *r) {
    return (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size;
}

static pl_module *from_text(rig *r, const char *name, int32_t n, const int32_t *tokens, int32_t count,
                            bool shifts, pl_status *status, pl_error *error) {
    pl_options options;
    pl_module *module = NULL;
    pl_options_default(&PL_METHOD_PREFIX, &r->config, &options);
    options.number[pl_option_index(&PL_METHOD_PREFIX, "num_virtual_tokens")] = n;
    options.number[pl_option_index(&PL_METHOD_PREFIX, "memory_shifts")] = shifts;
    options.init_tokens = tokens;
    options.init_token_count = count;
    CHECK(pl_options_set_text(&options, &r->config, "prefix_init", "text", error) == PL_OK);
    *status = pl_module_create(&r->memory, r->model, &options, name, 11, &module, error);
    return module;
}

/* Logits of tokens[count] behind the modules. */
static real *logits_of(rig *r, pl_module **modules, int32_t module_count, const int32_t *tokens,
                       int32_t count) {
    pl_error error = {0};
    pl_stack stack;
    int32_t starts[] = {0, count};
    pl_batch batch = {.seq_count = 1, .row_count = count, .seq_start = starts, .tokens = tokens};
    real *logits = pl_memory_alloc(&r->memory, (size_t)count * (size_t)r->config.vocab_size, sizeof *logits);
    CHECK(pl_stack_build(modules, module_count, &stack, &error) == PL_OK);
    pl_extent extent = {.rows = 48, .seqs = 1, .labels = 48};
    for (int32_t i = 0; i < module_count; i++)
        CHECK(pl_module_plan(modules[i], &extent, &error) == PL_OK);
    pl_stack_prepare(modules, module_count, r->model);
    pl_workspace *workspace = helper_workspace(&r->memory, r->model, &stack, &batch, false);
    CHECK_MSG(pl_forward_logits(r->model, &stack, workspace, &batch, logits, &error) == PL_OK, "%s",
              error.message);
    pl_workspace_free(workspace);
    return logits;
}

static double relative(const real *x, const real *y, size_t n) {
    return rig_difference(x, y, n) / rig_largest(y, n);
}

/* Property 14: the captured keys and values of a text are that text; positions count, unless the keys are rotated back. */
static void check_text(pl_config config) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 55, 3, 20, 61, 5, 44, 12};
    enum { N = 4, REST = 5 };
    rig_open(&r, config, 3);
    size_t vocab = (size_t)r.config.vocab_size;
    const real *want = logits_of(&r, NULL, 0, text, N + REST) + N * vocab;
    pl_module *module = from_text(&r, "k", N, text, N, true, &status, &error);
    REQUIRE(module != NULL);
    CHECK(relative(logits_of(&r, &module, 1, text + N, REST), want, REST * vocab) <= CLOSE);
    int32_t shifts = pl_option_index(&PL_METHOD_PREFIX, "memory_shifts");
    module->options.number[shifts] = 0;
    CHECK(relative(logits_of(&r, &module, 1, text + N, REST), want, REST * vocab) > 1e-3);
    pl_prefix_rotate(&r.config, N, -N, module->values);
    CHECK(relative(logits_of(&r, &module, 1, text + N, REST), want, REST * vocab) <= CLOSE);
    pl_module *hub = from_text(&r, "h", N, text, N, false, &status, &error);
    CHECK(rig_difference(hub->values, module->values, (size_t)module->layout.elements) <= CLOSE);
    pl_prefix_rotate(&r.config, N, N, module->values);
    module->options.number[shifts] = 1;
    CHECK(relative(logits_of(&r, &module, 1, text + N, REST), want, REST * vocab) <= CLOSE);
    pl_module_free(module);
    pl_module_free(hub);
    rig_close(&r);
}

TEST(text_mha) { check_text(helper_mha_tied()); }
TEST(text_gqa) { check_text(helper_gqa_odd()); }
TEST(text_wide_heads) { check_text(helper_wide_heads()); }
TEST(text_llama3) { check_text(helper_llama3_rope()); }

/* A short text is repeated from its start until it is long enough, a long one is cut. */
TEST(short_text_repeats) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 55, 7, 3, 55, 7};
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *cut = from_text(&r, "a", 7, text, 7, true, &status, &error),
              *repeated = from_text(&r, "b", 7, text, 3, true, &status, &error);
    CHECK(rig_same_bits(cut->values, repeated->values, (size_t)cut->layout.extent));
    pl_module *shorter = from_text(&r, "c", 2, text, 7, true, &status, &error);
    CHECK(rig_same_bits(cut->values, shorter->values, (size_t)shorter->layout.elements));
    pl_module_free(cut);
    pl_module_free(repeated);
    pl_module_free(shorter);
    rig_close(&r);
}

/* Property 16: rows carry no order. */
TEST(row_order_does_not_matter) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *module = rig_add(&r, "prefix", "k", "num_virtual_tokens=3", false);
    rig_ready(&r, false);
    real *before = rig_logits(&r);
    size_t columns = (size_t)pl_prefix_columns(&r.config);
    for (size_t c = 0; c < columns; c++) {
        real kept = module->values[c];
        module->values[c] = module->values[2 * columns + c];
        module->values[2 * columns + c] = kept;
    }
    rig_prepare(&r);
    CHECK(relative(rig_logits(&r), before, logit_count(&r)) <= CLOSE);
    rig_close(&r);
}

/* Property 18: a prompt compiled into a prefix gives the same logits, alone and beside a LoRA. */
static void check_compiled(pl_config config, bool beside_lora) {
    rig r;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 55, 3, 20};
    rig_open(&r, config, 3);
    rig_add(&r, "prompt", "p", "num_virtual_tokens=4", false);
    if (beside_lora)
        rig_add(&r, "lora", "l", "rank=3;target_modules=all-linear", false);
    size_t size = 5 * (size_t)r.config.vocab_size;
    real *want = logits_of(&r, r.modules, r.count, text, 5);
    pl_module *prefix = NULL;
    CHECK_MSG(pl_prefix_from_prompt(&r.memory, r.model, r.modules, r.count, "c", &prefix, &error) == PL_OK,
              "%s", error.message);
    REQUIRE(prefix != NULL);
    CHECK_INT(prefix->layout.elements, 4 * pl_prefix_columns(&r.config));
    pl_module *compiled[] = {prefix, r.modules[1]};
    CHECK(relative(logits_of(&r, compiled, beside_lora ? 2 : 1, text, 5), want, size) <= CLOSE);
    pl_module_free(prefix);
    rig_close(&r);
}

TEST(compiled_prompt) { check_compiled(helper_gqa_odd(), false); }
TEST(compiled_prompt_wide_heads) { check_compiled(helper_wide_heads(), false); }
TEST(compiled_prompt_beside_lora) { check_compiled(helper_llama3_rope(), true); }

/* A prompt behind a prefix: its rows attend to the prefix, and stand after it. */
TEST(compiled_prompt_behind_prefix) {
    rig r;
    pl_error error = {0};
    static const int32_t text[] = {7, 3, 55, 3, 20};
    rig_open(&r, helper_gqa_odd(), 3);
    rig_add(&r, "prompt", "p", "num_virtual_tokens=4", false);
    pl_module *first = rig_add(&r, "prefix", "k", "num_virtual_tokens=3", false);
    real *want = logits_of(&r, r.modules, 2, text, 5);
    pl_module *prefix = NULL;
    CHECK(pl_prefix_from_prompt(&r.memory, r.model, r.modules, 2, "c", &prefix, &error) == PL_OK);
    REQUIRE(prefix != NULL);
    pl_module *compiled[] = {first, prefix};
    CHECK(relative(logits_of(&r, compiled, 2, text, 5), want, 5 * (size_t)r.config.vocab_size) <= CLOSE);
    pl_module_free(prefix);
    first->options.number[pl_option_index(&PL_METHOD_PREFIX, "memory_shifts")] = 0;
    CHECK_INT(pl_prefix_from_prompt(&r.memory, r.model, r.modules, 2, "c", &prefix, &error),
              PL_ERR_UNSUPPORTED);
    rig_close(&r);
}

/* What the projection computes, loaded as a flat prefix, is the same prefix. */
TEST(projection_exports_its_table) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *network = rig_add(&r, "prefix", "n",
                                 "num_virtual_tokens=3;prefix_projection=true;encoder_hidden_size=7", false);
    pl_module *flat = rig_add(&r, "prefix", "f", "num_virtual_tokens=3", false);
    CHECK_INT(network->layout.file_elements, 0);
    pl_prefix_table(network, flat->values);
    r.count = 1;
    rig_ready(&r, false);
    real *want = rig_logits(&r);
    r.modules[0] = flat;
    rig_ready(&r, false);
    CHECK(rig_same_bits(rig_logits(&r), want, logit_count(&r)));
    r.modules[0] = network;
    r.modules[1] = flat;
    r.count = 2;
    rig_close(&r);
}

/* finish() hands every gradient over once: two backward passes before one finish add up like two finished ones. */
TEST(gradients_accumulate) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *module = rig_add(&r, "prefix", "k", "num_virtual_tokens=3;prefix_projection=true", false);
    rig_ready(&r, true);
    size_t size = (size_t)module->layout.extent;
    CHECK(isfinite(rig_loss(&r)));
    rig_backward(&r);
    real *once = pl_memory_alloc(&r.memory, size, sizeof *once);
    memcpy(once, module->gradients, size * sizeof *once);
    CHECK(isfinite(rig_loss(&r)));
    CHECK(pl_backward(r.model, &r.stack, r.workspace, &r.batch.batch, &error) == PL_OK);
    pl_stack_finish(r.modules, 1);
    for (size_t i = 0; i < size; i++)
        once[i] *= 2;
    CHECK(relative(module->gradients, once, size) <= 1e-6);
    pl_stack_finish(r.modules, 1);
    CHECK(relative(module->gradients, once, size) <= 1e-6); /* nothing left to hand over */
    rig_close(&r);
}

TEST(refusals) {
    rig r;
    pl_status status;
    pl_error error = {0};
    static const int32_t foreign[] = {5, 101};
    rig_open(&r, helper_gqa_odd(), 3);
    CHECK(from_text(&r, "k", 3, NULL, 0, true, &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(from_text(&r, "k", 3, foreign, 2, true, &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_RANGE);
    CHECK(rig_make(&r, "prefix", "k", "num_virtual_tokens=48", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_RANGE);
    CHECK(rig_make(&r, "prefix", "k", "prefix_projection=true;prefix_init=zero", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(strstr(error.message, "prefix_projection") != NULL);
    pl_module *prefix = NULL;
    rig_add(&r, "prefix", "k", "num_virtual_tokens=2", false);
    CHECK_INT(pl_prefix_from_prompt(&r.memory, r.model, r.modules, 1, "c", &prefix, &error), PL_ERR_STATE);
    rig_add(&r, "prefix", "h", "num_virtual_tokens=2;memory_shifts=false", false);
    pl_stack stack;
    CHECK_INT(pl_stack_build(r.modules, 2, &stack, &error), PL_ERR_UNSUPPORTED);
    CHECK(PL_METHOD_PREFIX.cannot_merge != NULL && PL_METHOD_PREFIX.merge == NULL &&
          !PL_METHOD_PREFIX.can_scale);
    rig_close(&r);
}

/* Whichever allocation is refused, the module is not made, the sentence is there and nothing leaks. */
TEST(refused_memory) {
    rig r;
    pl_status status = PL_ERR_MEMORY;
    static const int32_t text[] = {7, 3, 55};
    rig_open(&r, helper_gqa_odd(), 3);
    size_t before = r.memory.bytes;
    for (int64_t n = 1; status == PL_ERR_MEMORY && n < 40; n++) {
        pl_error error = {0};
        r.memory.fail_at = r.memory.allocation_count + n;
        pl_module *module = from_text(&r, "k", 3, text, 3, true, &status, &error);
        r.memory.fail_at = 0;
        CHECK((module != NULL) == (status == PL_OK));
        CHECK(module || error.message[0]);
        pl_module_free(module);
        CHECK_INT(r.memory.bytes, before);
    }
    CHECK_INT(status, PL_OK);
    rig_close(&r);
}
