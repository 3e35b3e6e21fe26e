/* Gradients of every kind of hook against central differences in double, alone and two in a stack, and where
 * backward stops. */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "model_helpers.h"
#include "model_synthetic.h"

static const int32_t LENGTHS[] = {6, 1, 9};
enum { ALL_SITES = 127, ROWS_MAX = 64 };

typedef struct bench {
    pl_memory memory;
    pl_config config;
    helper_batch batch;
    pl_model *model;
    pl_stack stack;
    pl_workspace *workspace;
} bench;

static void bench_open(bench *b, pl_config config) {
    memset(b, 0, sizeof *b);
    b->config = config;
    helper_batch_make(&b->batch, &b->config, LENGTHS, 3, 9);
    b->model = helper_model(&b->memory, &b->config, 4);
}

static synthetic *push(bench *b, synthetic_kinds kinds, bool trains) {
    synthetic *module =
        synthetic_make(&b->memory, &b->config, &kinds, ROWS_MAX, 17 + (uint64_t)b->stack.count);
    synthetic_push(&b->stack, module, trains);
    return module;
}

static double loss_of(bench *b) {
    pl_error error;
    pl_loss loss;
    if (!CHECK(pl_forward_loss(b->model, &b->stack, b->workspace, &b->batch.batch, true, 31, 1, &loss,
                               &error) == PL_OK))
        return NAN;
    return loss.sum;
}

static void run(bench *b) {
    pl_error error;
    b->workspace = helper_workspace(&b->memory, b->model, &b->stack, &b->batch.batch, true);
    loss_of(b);
    CHECK(pl_backward(b->model, &b->stack, b->workspace, &b->batch.batch, &error) == PL_OK);
}

static void check_element(bench *b, real *value, double got, double largest, const char *name) {
    const double step = 1e-5;
    real kept = *value;
    *value = (real)((double)kept + step);
    double above = loss_of(b);
    *value = (real)((double)kept - step);
    double below = loss_of(b);
    *value = kept;
    double want = (above - below) / (2 * step);
    CHECK_MSG(fabs(got - want) <= 1e-7 * fmax(1, largest), "%s: gradient %.10g, difference quotient %.10g",
              name, got, want);
}

static void check_module(bench *b, synthetic *m) {
    for (int32_t i = 0; i < m->layout.count; i++) {
        const pl_tensor *t = &m->layout.tensors[i];
        int64_t size = t->rows * t->cols;
        double largest = 0;
        for (int64_t j = 0; j < size; j++)
            largest = fmax(largest, fabs((double)m->gradients[t->offset + j]));
        CHECK_MSG(largest > 0, "%s has no gradient", t->name);
        for (int64_t p = 0; p < 4 && p < size; p++) {
            int64_t j = t->offset + (p * 2654435761LL + i) % size;
            check_element(b, m->values + j, (double)m->gradients[j], largest, t->name);
        }
    }
}

static void check_alone(pl_config config, synthetic_kinds kinds) {
    bench b;
    bench_open(&b, config);
    synthetic *module = push(&b, kinds, true);
    run(&b);
    check_module(&b, module);
    pl_memory_free_all(&b.memory);
}

TEST(virtual_rows) { check_alone(helper_gqa_odd(), (synthetic_kinds){.virtual_tokens = 3}); }
TEST(memory_rows) {
    check_alone(helper_gqa_odd(), (synthetic_kinds){.memory_tokens = 3, .memory_shifts = true});
    check_alone(helper_wide_heads(), (synthetic_kinds){.memory_tokens = 2});
}
TEST(site_inputs) {
    check_alone(helper_gqa_odd(), (synthetic_kinds){.input_sites = ALL_SITES});
    check_alone(helper_wide_heads(),
                (synthetic_kinds){.input_sites = 1 << PL_SITE_DOWN | 1 << PL_SITE_K, .first_layer = 1});
}
TEST(linear_maps) {
    check_alone(helper_wide_heads(), (synthetic_kinds){.linear_sites = ALL_SITES, .dropout = 0.3});
    check_alone(helper_gqa_odd(),
                (synthetic_kinds){.linear_sites = 1 << PL_SITE_Q | 1 << PL_SITE_V, .first_layer = 1});
}
TEST(blocks) { check_alone(helper_mha_tied(), (synthetic_kinds){.blocks = 3}); }

static const synthetic_kinds EVERYTHING = {.virtual_tokens = 2,
                                           .memory_tokens = 3,
                                           .memory_shifts = true,
                                           .input_sites = ALL_SITES,
                                           .linear_sites = ALL_SITES,
                                           .blocks = 3,
                                           .dropout = 0.2};
static const synthetic_kinds SOME = {.virtual_tokens = 1,
                                     .memory_tokens = 2,
                                     .input_sites = 1 << PL_SITE_V | 1 << PL_SITE_DOWN,
                                     .linear_sites = 1 << PL_SITE_Q | 1 << PL_SITE_O | 1 << PL_SITE_UP,
                                     .blocks = 2,
                                     .first_layer = 1};

TEST(two_in_a_stack) {
    bench b;
    bench_open(&b, helper_gqa_odd());
    synthetic *first = push(&b, EVERYTHING, true), *second = push(&b, SOME, true);
    run(&b);
    check_module(&b, first);
    check_module(&b, second);
    pl_memory_free_all(&b.memory);
}

/* A frozen module above and beside the trained one changes its gradients. */
TEST(frozen_beside_trained) {
    bench b;
    bench_open(&b, helper_wide_heads());
    synthetic *trained = push(&b, SOME, true);
    push(&b, EVERYTHING, false);
    run(&b);
    check_module(&b, trained);
    pl_memory_free_all(&b.memory);
}

/* Sequences without labels do not run at all, rows behind the last label neither. */
TEST(rows_that_cannot_matter) {
    bench b;
    bench_open(&b, helper_gqa_odd());
    for (int32_t i = 0; i < b.batch.batch.row_count; i++)
        b.batch.targets[i] = i == 9 || i == 11 ? 5 : PL_IGNORE; /* in the last sequence, rows 7 .. 15 */
    synthetic *module = push(&b, EVERYTHING, true);
    run(&b);
    check_module(&b, module);
    double before = loss_of(&b);
    b.batch.tokens[12] ^= 1;
    b.batch.tokens[3] ^= 1;
    CHECK(loss_of(&b) == before);
    pl_memory_free_all(&b.memory);
}

/* Base tensors and modules at once. */
TEST(base_with_modules) {
    bench b;
    bench_open(&b, helper_gqa_odd());
    push(&b, EVERYTHING, true);
    real *gradients = helper_train_base(b.model);
    run(&b);
    for (int32_t i = 0; i < b.model->layout.count; i++) {
        const pl_tensor *t = &b.model->layout.tensors[i];
        if (t->dims != 1) /* maps would have to be packed again; the norms stand for all places */
            continue;
        real *values = pl_model_tensor(b.model, i);
        check_element(&b, values + 5, (double)gradients[t->offset + 5], 1, t->name);
    }
    pl_memory_free_all(&b.memory);
}

TEST(backward_stops_at_the_lowest_trained_layer) {
    bench b;
    bench_open(&b, helper_gqa_odd());
    synthetic *m =
        push(&b, (synthetic_kinds){.linear_sites = 1 << PL_SITE_Q | 1 << PL_SITE_V, .first_layer = 2}, true);
    run(&b);
    CHECK_INT(m->lowest_layer, 2);
    CHECK(m->dx_missing);
    CHECK(!m->dx_given);
    check_module(&b, m);
    pl_memory_free_all(&b.memory);
}

TEST(backward_does_nothing_for_frozen_modules) {
    bench b;
    bench_open(&b, helper_gqa_odd());
    synthetic *m = push(&b, EVERYTHING, false);
    run(&b);
    CHECK_INT(m->backward_calls, 0);
    pl_memory_free_all(&b.memory);
}
