/* Properties of learned keys and values that follow from the mathematics of attention. (build: both) */
#include <string.h>

#include "harness.h"
#include "kernels/kernels.h"
#include "peft/virtual.h"
#include "peft_helpers.h"

/* ---- property 17: a zero prefix damps each head by Z / (Z + n) ---- */

/* A hook that keeps the attention output of layer 0. */
typedef struct spy {
    real out[32 * 64];
    int32_t rows;
} spy;

static void keep(void *self, const pl_linear_at *at, const real *x, real *y) {
    spy *s = self;
    (void)y;
    if (at->layer != 0 || at->site != PL_SITE_O)
        return;
    s->rows = at->rows;
    memcpy(s->out, x, (size_t)at->rows * (size_t)at->in * sizeof *x);
}

static void attention_output(rig *r, pl_module *prefix, const int32_t *tokens, int32_t count, spy *out) {
    pl_error error = {0};
    pl_stack stack;
    int32_t starts[] = {0, count};
    pl_batch batch = {.seq_count = 1, .row_count = count, .seq_start = starts, .tokens = tokens};
    CHECK(pl_stack_build(&prefix, prefix ? 1 : 0, &stack, &error) == PL_OK);
    stack.hooks[stack.count++] = (pl_hooks){.self = out, .linear_forward = keep};
    pl_stack_prepare(&prefix, prefix ? 1 : 0, r->model);
    pl_workspace *workspace = helper_workspace(&r->memory, r->model, &stack, &batch, false);
    real *logits = pl_memory_alloc(&r->memory, (size_t)count * (size_t)r->config.vocab_size, sizeof *logits);
    CHECK(pl_forward_logits(r->model, &stack, workspace, &batch, logits, &error) == PL_OK);
    CHECK_INT(out->rows, count);
    pl_workspace_free(workspace);
}

static pl_module *zero_prefix(rig *r, const char *options) {
    pl_status status;
    pl_error error = {0};
    pl_module *module = rig_make(r, "prefix", options, options, &status, &error);
    CHECK_MSG(module != NULL, "%s", error.message);
    return module;
}

/* With one zero row the factor is f = Z / (Z + 1), so Z = f / (1 - f), and five rows must give Z / (Z + 5). */
TEST(zero_prefix_damps_attention) {
    static const int32_t tokens[] = {7, 3, 55, 3, 20, 61};
    static spy base, one, five;
    const double close = sizeof(real) == sizeof(double) ? 1e-10 : 1e-4;
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *n1 = zero_prefix(&r, "num_virtual_tokens=1;prefix_init=zero"),
              *n5 = zero_prefix(&r, "num_virtual_tokens=5;prefix_init=zero");
    attention_output(&r, NULL, tokens, 6, &base);
    attention_output(&r, n1, tokens, 6, &one);
    attention_output(&r, n5, tokens, 6, &five);
    int32_t dim = r.config.head_dim, width = r.config.num_attention_heads * dim;
    for (int32_t head = 0; head < 6 * r.config.num_attention_heads; head++) {
        const real *b = base.out + head / r.config.num_attention_heads * width +
                        head % r.config.num_attention_heads * dim;
        ptrdiff_t at = b - base.out;
        double f = 0, norm = 0;
        for (int32_t c = 0; c < dim; c++) {
            f += (double)one.out[at + c] * (double)b[c];
            norm += (double)b[c] * (double)b[c];
        }
        f /= norm;
        CHECK(f > 0 && f < 1);
        double z = f / (1 - f), want = z / (z + 5);
        for (int32_t c = 0; c < dim; c++) {
            CHECK_NEAR(one.out[at + c], f * (double)b[c], close);
            CHECK_NEAR(five.out[at + c], want * (double)b[c], close);
        }
    }
    pl_module_free(n1);
    pl_module_free(n5);
    rig_close(&r);
}

/* ---- property 19: grouped heads are repeated heads ---- */

/* rows of w[kv_heads * dim, in] repeated so that every query head has its own. */
static void repeat_heads(const real *w, const pl_config *grouped, int64_t in, real *out) {
    int32_t group = grouped->num_attention_heads / grouped->num_key_value_heads;
    size_t block = (size_t)grouped->head_dim * (size_t)in;
    for (int32_t h = 0; h < grouped->num_attention_heads; h++)
        memcpy(out + (size_t)h * block, w + (size_t)(h / group) * block, block * sizeof *w);
}

static pl_model *with_all_heads(rig *r, pl_config *config) {
    pl_error error = {0};
    pl_model *model = NULL;
    *config = r->config;
    config->num_key_value_heads = config->num_attention_heads;
    if (!CHECK(pl_model_create(&r->memory, config, &model, &error) == PL_OK))
        return NULL;
    for (int32_t i = 0; i < model->layout.count; i++) {
        const pl_tensor *to = &model->layout.tensors[i], *from = &r->model->layout.tensors[i];
        if (to->rows == from->rows)
            memcpy(model->values + to->offset, r->model->values + from->offset,
                   (size_t)(to->rows * to->cols) * sizeof(real));
        else
            repeat_heads(r->model->values + from->offset, &r->config, to->cols, model->values + to->offset);
    }
    pl_model_pack(model);
    return model;
}

static void repeat_table(const real *table, const pl_config *grouped, int32_t n, real *out) {
    size_t kv = (size_t)grouped->num_key_value_heads * (size_t)grouped->head_dim;
    size_t all = (size_t)grouped->num_attention_heads * (size_t)grouped->head_dim;
    for (size_t block = 0; block < (size_t)n * 2 * (size_t)grouped->num_hidden_layers; block++)
        repeat_heads(table + block * kv, grouped, 1, out + block * all);
}

static void check_grouped(pl_config grouped) {
    rig r, all;
    pl_config config;
    rig_open(&r, grouped, 3);
    pl_module *small = rig_add(&r, "prefix", "k", "num_virtual_tokens=3", false);
    rig_ready(&r, false);
    real *want = rig_logits(&r);
    all = r;
    all.count = 0;
    all.workspace = NULL;
    all.model = with_all_heads(&r, &config);
    REQUIRE(all.model != NULL);
    all.config = config;
    all.memory = r.memory;
    pl_status status;
    pl_error error = {0};
    /* The memory list has one owner: r. */
    pl_options options;
    pl_module *large = NULL;
    pl_options_default(&PL_METHOD_PREFIX, &config, &options);
    options.number[pl_option_index(&PL_METHOD_PREFIX, "num_virtual_tokens")] = 3;
    options.number[pl_option_index(&PL_METHOD_PREFIX, "prefix_init")] = 0;
    status = pl_module_create(&r.memory, all.model, &options, "k", 1, &large, &error);
    CHECK(status == PL_OK);
    repeat_table(small->values, &r.config, 3, large->values);
    pl_stack stack;
    CHECK(pl_stack_build(&large, 1, &stack, &error) == PL_OK);
    pl_stack_prepare(&large, 1, all.model);
    pl_workspace *workspace = helper_workspace(&r.memory, all.model, &stack, &r.batch.batch, false);
    size_t size = (size_t)r.batch.batch.row_count * (size_t)r.config.vocab_size;
    real *got = pl_memory_alloc(&r.memory, size, sizeof *got);
    CHECK(pl_forward_logits(all.model, &stack, workspace, &r.batch.batch, got, &error) == PL_OK);
    CHECK(rig_difference(got, want, size) <=
          (sizeof(real) == sizeof(double) ? 1e-12 : 1e-5) * rig_largest(want, size));
    pl_workspace_free(workspace);
    pl_module_free(large);
    pl_model_free(all.model);
    rig_close(&r);
}

TEST(grouped_heads_one_key_head) { check_grouped(helper_gqa_odd()); }
TEST(grouped_heads_wide) { check_grouped(helper_wide_heads()); }

/* ---- property 15: only differences of positions count ---- */

/* The same keys, all positions moved together: through the rotation helper and the two conventions of where tokens start. */
TEST(shifted_positions) {
    rig r;
    rig_open(&r, helper_llama3_rope(), 3);
    pl_module *module = rig_add(&r, "prefix", "k", "num_virtual_tokens=6;prefix_init=random", false);
    rig_ready(&r, false);
    size_t size = (size_t)r.batch.batch.row_count * (size_t)r.config.vocab_size;
    real *from_six = rig_logits(&r);
    pl_prefix_rotate(&r.config, 6, -6, module->values);
    module->options.number[pl_option_index(module->method, "memory_shifts")] = 0;
    rig_ready(&r, false);
    CHECK(rig_difference(rig_logits(&r), from_six, size) <=
          (sizeof(real) == sizeof(double) ? 1e-12 : 1e-5) * rig_largest(from_six, size));
    rig_close(&r);
}

/* Rotating by a and then by b is rotating by a + b, and rotation keeps the length of every key. */
TEST(rotation_composes) {
    rig r;
    const double close = sizeof(real) == sizeof(double) ? 1e-13 : 1e-6;
    rig_open(&r, helper_wide_heads(), 3);
    pl_module *a = rig_add(&r, "prefix", "a", "num_virtual_tokens=4;prefix_init=random", true);
    pl_module *b = rig_add(&r, "prefix", "b", "num_virtual_tokens=4;prefix_init=random", true);
    size_t size = (size_t)a->layout.elements;
    double square = pl_sum_squares(a->values, size);
    memcpy(b->values, a->values, size * sizeof *a->values);
    pl_prefix_rotate(&r.config, 4, 3, a->values);
    CHECK(rig_difference(a->values, b->values, size) > 0.1);
    pl_prefix_rotate(&r.config, 4, -5, a->values);
    pl_prefix_rotate(&r.config, 4, -2, b->values);
    CHECK(rig_difference(a->values, b->values, size) <= close * 10);
    CHECK_NEAR(pl_sum_squares(a->values, size) / square, 1, close * 10);
    rig_close(&r);
}
