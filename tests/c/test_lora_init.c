/* PiSSA, OLoRA and the orthogonal start: their definitions, what stays of the base, the plain LoRA they amount to, refusals. build: both */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "peft/svd.h"
#include "peft_helpers.h"

static const bool is_double = sizeof(real) == sizeof(double);
static const double rounding = sizeof(real) == sizeof(double) ? 1e-13 : 2e-6;

static size_t logit_count(const rig *r) {
    return (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size;
}

static double gap(const double *a, const double *b, int32_t n) {
    double worst = 0;
    for (int32_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

/* s B0 A0 of one map in double. */
static double *origin_product(rig *r, const pl_module *m, int32_t layer, pl_site site) {
    const pl_lora_site *s = pl_lora_site_at(m, layer, site);
    double *c = pl_memory_alloc(&r->memory, (size_t)s->out * (size_t)s->in, sizeof *c);
    for (int32_t o = 0; o < s->out; o++)
        for (int32_t k = 0; k < s->rank; k++)
            for (int32_t i = 0; i < s->in; i++)
                c[o * s->in + i] += pl_lora_scale(&m->options, layer, site) *
                                    (double)s->origin.b[o * s->rank + k] * (double)s->origin.a[k * s->in + i];
    return c;
}

static double *base_matrix(rig *r, int32_t layer, pl_site site) {
    const real *w = pl_model_linear(r->model, layer, site)->w;
    size_t n = (size_t)(pl_site_out(&r->config, site) * pl_site_in(&r->config, site));
    double *copy = pl_memory_alloc(&r->memory, n, sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = (double)w[i];
    return copy;
}

/* PiSSA takes out the best approximation of rank r (Eckart, Young 1936): what is left has the other singular values, and A0, B0 share the
   strength evenly. Whatever alpha, rsLoRA and rank_pattern say. */
TEST(pissa_takes_the_strongest_directions) {
    static const char *const options[] = {
        "init=pissa;rank=3;target_modules=all-linear",
        "init=pissa;rank=4;alpha=1;use_rslora=true;target_modules=all-linear",
        "init=pissa;rank=5;target_modules=all-linear;rank_pattern.v_proj=2;alpha_pattern.v_proj=9"};
    for (size_t t = 0; t < 3; t++) {
        rig r;
        rig_open(&r, helper_gqa_odd(), 2);
        pl_module *m = rig_add(&r, "lora", "a", options[t], true);
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            const pl_lora_site *s = pl_lora_site_at(m, 1, (pl_site)site);
            double *w = base_matrix(&r, 1, (pl_site)site), *taken = origin_product(&r, m, 1, (pl_site)site);
            pl_svd whole, rest;
            pl_error error = {0};
            REQUIRE(pl_svd_dense(&r.memory, w, s->out, s->in, &whole, &error) == PL_OK);
            for (int32_t i = 0; i < s->out * s->in; i++)
                w[i] -= taken[i];
            REQUIRE(pl_svd_dense(&r.memory, w, s->out, s->in, &rest, &error) == PL_OK);
            for (int32_t k = 0; k + s->rank < whole.rank; k++)
                CHECK_NEAR(rest.s[k], whole.s[k + s->rank], 2 * rounding * whole.s[0]);
            for (int32_t k = 0; k < s->rank; k++) {
                double a = 0, b = 0;
                for (int32_t i = 0; i < s->in; i++)
                    a += pow((double)s->origin.a[k * s->in + i], 2);
                for (int32_t o = 0; o < s->out; o++)
                    b += pow((double)s->origin.b[o * s->rank + k], 2);
                CHECK_NEAR(a, b, 10 * rounding * a);
                CHECK_NEAR(a * pl_lora_scale(&m->options, 1, (pl_site)site), whole.s[k],
                           10 * rounding * whole.s[0]);
            }
        }
        rig_close(&r);
    }
}

/* OLoRA takes out what lies in the span of the first r columns: those columns themselves are s times what it takes (peft scales QR, too). */
TEST(olora_takes_the_first_columns) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 2);
    pl_module *m = rig_add(&r, "lora", "a", "init=olora;rank=4;alpha=6;target_modules=all-linear", true);
    for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
        const pl_lora_site *s = pl_lora_site_at(m, 0, (pl_site)site);
        double *w = base_matrix(&r, 0, (pl_site)site), *taken = origin_product(&r, m, 0, (pl_site)site);
        for (int32_t o = 0; o < s->out; o++)
            for (int32_t i = 0; i < 4; i++)
                CHECK_NEAR(taken[o * s->in + i], 1.5 * w[o * s->in + i], 5 * rounding);
        for (int32_t i = 0; i < s->in; i++) /* what is left over is orthogonal to B0 */
            for (int32_t k = 0; k < 4; k++) {
                double sum = 0;
                for (int32_t o = 0; o < s->out; o++)
                    sum += (double)s->origin.b[o * 4 + k] * (w[o * s->in + i] - taken[o * s->in + i] / 1.5);
                CHECK_NEAR(sum, 0, 10 * rounding);
            }
    }
    rig_close(&r);
}

/* The product of orthogonal starts is zero while both factors are not, and the seed decides. */
TEST(orthogonal_factors_cancel) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 2);
    rig_ready(&r, true);
    real *base = rig_logits(&r);
    pl_module *m = rig_add(&r, "lora", "a", "init=orthogonal;rank=4;target_modules=all-linear", true);
    rig_ready(&r, true);
    CHECK_NEAR(rig_difference(base, rig_logits(&r), logit_count(&r)), 0, 20 * rounding);
    const real *a = pl_module_values(m, 1, PL_SITE_UP, PL_LORA_A),
               *b = pl_module_values(m, 1, PL_SITE_UP, PL_LORA_B);
    CHECK(rig_largest(a, 4 * 40) > 0.1 && rig_largest(a, 4 * 40) < 0.5);
    CHECK(rig_largest(b, 4 * 72) > 0.1 && rig_largest(b, 4 * 72) < 0.6);
    CHECK(rig_difference(a, pl_module_values(m, 0, PL_SITE_UP, PL_LORA_A), 4 * 40) > 0.1);
    (void)rig_loss(&r);
    rig_backward(&r);
    for (int32_t i = 0; i < m->layout.count; i++) /* unlike with B = 0, both learn from the first step on */
        CHECK(rig_largest(m->gradients + m->layout.tensors[i].offset, 8) > 0);
    rig_close(&r);
}

/* What the module trains, counts and saves: A0 and B0 are none of the first two, and half of the file. */
TEST(the_origin_is_not_trained) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 2);
    pl_module *m = rig_add(&r, "lora", "a", "init=pissa;rank=4", true),
              *usual = rig_add(&r, "lora", "b", "rank=4", true);
    const pl_lora_site *s = pl_lora_site_at(m, 0, PL_SITE_Q);
    CHECK_INT(m->layout.elements, usual->layout.elements);
    CHECK(rig_same_bits(s->origin.a, pl_module_values(m, 0, PL_SITE_Q, PL_LORA_A), 4 * 40));
    pl_layout file = pl_layout_make(NULL, NULL);
    CHECK(m->method->file_declare(&m->options, &r.config, &file) == PL_OK);
    CHECK_INT(file.file_elements, 2 * usual->layout.elements);
    CHECK_NEAR(m->method->flops(&m->options, &r.config, 0),
               2 * usual->method->flops(&usual->options, &r.config, 0), 0);
    rig_shake(m, 3);
    rig_prepare(&r);
    CHECK(!rig_same_bits(s->origin.a, pl_module_values(m, 0, PL_SITE_Q, PL_LORA_A), 4 * 40));
    rig_close(&r);
}

/* The start is worked out from the model's own weights, whatever stands in for them at the time. */
TEST(the_origin_ignores_what_is_active) {
    rig r;
    pl_status status;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 2);
    pl_module *before = rig_make(&r, "lora", "a", "init=olora;rank=3", &status, &error);
    rig_add(&r, "full", "full", "", false);
    rig_ready(&r, true);
    pl_module *after = rig_make(&r, "lora", "a", "init=olora;rank=3", &status, &error);
    REQUIRE(before && after);
    CHECK(rig_same_bits(before->values, after->values, (size_t)before->layout.extent));
    pl_module_free(before);
    pl_module_free(after);
    rig_close(&r);
}

static void check_plain(const char *options) {
    rig r;
    pl_error error = {0};
    pl_module *plain = NULL;
    rig_open(&r, helper_gqa_odd(), 4);
    pl_module *m = rig_add(&r, "lora", "a", options, false);
    rig_ready(&r, false);
    real *logits = rig_logits(&r);
    REQUIRE(pl_lora_plain(&r.memory, r.model, m, &plain, &error) == PL_OK);
    CHECK(!pl_lora_keeps_origin(&plain->options));
    CHECK_INT(plain->layout.count, m->layout.count);
    CHECK(pl_module_trainable(plain, true, &error) == PL_OK);
    r.modules[0] = plain;
    rig_ready(&r, false);
    CHECK_NEAR(rig_difference(logits, rig_logits(&r), logit_count(&r)), 0,
               (is_double ? 1e-12 : 1e-5) * rig_largest(logits, logit_count(&r)));
    size_t n = 40 * 40;
    real *one = pl_memory_alloc(&r.memory, 2 * n, sizeof *one), *two = one + n;
    double *values = pl_memory_alloc(&r.memory, 80, sizeof *values);
    CHECK(pl_delta(m, r.model, 1, PL_SITE_Q, one, &error) == PL_OK);
    CHECK(pl_delta(plain, r.model, 1, PL_SITE_Q, two, &error) == PL_OK);
    CHECK_NEAR(rig_difference(one, two, n), 0, 20 * rounding * rig_largest(one, n));
    CHECK(pl_delta_spectrum(m, r.model, 1, PL_SITE_Q, values, &error) == PL_OK);
    CHECK(pl_delta_spectrum(plain, r.model, 1, PL_SITE_Q, values + 40, &error) == PL_OK);
    CHECK_NEAR(gap(values, values + 40, 40), 0, 20 * rounding * values[0]);
    CHECK(values[0] > 0.01);
    r.modules[0] = m;
    pl_module_free(plain);
    rig_close(&r);
}

TEST(pissa_as_plain_lora) { check_plain("init=pissa;rank=3;alpha=5;target_modules=all-linear"); }
TEST(olora_as_plain_lora) { check_plain("init=olora;rank=4;target_modules=q_proj,down_proj"); }
TEST(pissa_rslora_patterns_as_plain_lora) {
    check_plain("init=pissa;rank=3;use_rslora=true;target_modules=q_proj,v_proj;rank_pattern.q_proj=5;alpha_"
                "pattern.v_proj=2");
}
TEST(pissa_dora_as_plain_dora) { check_plain("init=pissa;rank=3;use_dora=true;target_modules=all-linear"); }

/* At the start there is no change at all: not one bit in the weights, no singular value. */
TEST(the_start_changes_no_weight) {
    rig r;
    pl_error error = {0};
    pl_merged *merged = NULL;
    rig_open(&r, helper_gqa_odd(), 4);
    pl_module *m = rig_add(&r, "lora", "a", "init=pissa;target_modules=all-linear", true);
    rig_ready(&r, false);
    double values[40];
    CHECK(pl_delta_spectrum(m, r.model, 0, PL_SITE_Q, values, &error) == PL_OK);
    CHECK(values[0] == 0);
    size_t bytes = (size_t)r.model->layout.extent * sizeof(real);
    real *before = pl_memory_alloc(&r.memory, bytes, 1);
    memcpy(before, r.model->values, bytes);
    REQUIRE(pl_merge(&r.memory, r.model, r.modules, 1, &merged, &error) == PL_OK);
    CHECK(memcmp(before, r.model->values, bytes) == 0);
    pl_unmerge(r.model, merged);
    rig_close(&r);
}

TEST(weights_scale_the_whole_change) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 4);
    rig_ready(&r, false);
    real *base = rig_logits(&r);
    pl_module *m = rig_add(&r, "lora", "a", "init=pissa;rank=4;target_modules=all-linear", false);
    m->weight = 0;
    rig_ready(&r, false);
    CHECK(rig_same_bits(base, rig_logits(&r), logit_count(&r)));
    rig_close(&r);
}

TEST(mixing_takes_the_whole_change) {
    static const pl_mix_type types[] = {PL_MIX_CAT, PL_MIX_SVD, PL_MIX_LINEAR};
    static const bool exact[] = {true, false, false};
    for (size_t t = 0; t < 3; t++) {
        rig r;
        pl_error error = {0};
        pl_module *made = NULL;
        pl_mix_report report;
        double weights[] = {0.7, -0.4};
        rig_open(&r, helper_gqa_odd(), 8);
        rig_add(&r, "lora", "a", "init=pissa;rank=2;alpha=3", false)->weight = (real)0.7;
        rig_add(&r, "lora", "b", "rank=4;target_modules=q_proj,up_proj", false)->weight = (real)-0.4;
        rig_ready(&r, false);
        real *stack = rig_logits(&r);
        pl_mix_options options = pl_mix_options_default(types[t]);
        CHECK_MSG(pl_mix(&r.memory, r.model, r.modules, weights, 2, &options, "made", &made, &report,
                         &error) == PL_OK,
                  "%s", error.message);
        REQUIRE(made != NULL);
        CHECK_INT(report.rank, types[t] == PL_MIX_CAT ? 8 : 4);
        CHECK(report.exact == exact[t]);
        pl_module *first = r.modules[0];
        CHECK(pl_module_trainable(made, true, &error) == PL_OK);
        r.modules[0] = made;
        r.count = 1;
        rig_ready(&r, false);
        double difference =
            rig_difference(stack, rig_logits(&r), logit_count(&r)) / rig_largest(stack, logit_count(&r));
        if (exact[t])
            CHECK_NEAR(difference, 0, is_double ? 1e-12 : 1e-5);
        else
            CHECK(difference > 1e-4);
        pl_module_free(made);
        r.modules[0] = first;
        r.count = 2;
        rig_close(&r);
    }
}

TEST(refusals_say_why) {
    static const struct {
        const char *options, *message;
        pl_status status;
    } cases[] = {
        {"init=orthogonal;rank=3",
         "init 'orthogonal' halves a rotation between A and B: the rank must be even, not 3", PL_ERR_RANGE},
        {"init=orthogonal;rank=4;rank_pattern.v_proj=1",
         "init 'orthogonal' halves a rotation between A and B: the rank must be even, not 1", PL_ERR_RANGE},
        {"init=pissa;rank=9",
         "init 'pissa' takes the rank out of the matrix itself: model.layers.0.self_attn.v_proj is 8 x 40, "
         "so rank 9 is more than the 8 it has",
         PL_ERR_RANGE},
        {"init=olora;rank=41;target_modules=q_proj",
         "init 'olora' takes the rank out of the matrix itself: model.layers.0.self_attn.q_proj is 40 x 40, "
         "so rank 41 is more than the 40 it has",
         PL_ERR_RANGE},
        {"init=pissa;alpha=40000",
         "as a plain LoRA, which its file is, it would not be allowed: alpha 80000 is outside 1e-06..65536",
         PL_ERR_RANGE},
        {"init=pissa;rank=8", "", PL_OK},
        {"init=orthogonal;rank=60", "", PL_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        pl_status status;
        pl_error error = {0};
        rig_open(&r, helper_gqa_odd(), 4);
        pl_module *m = rig_make(&r, "lora", "a", cases[i].options, &status, &error);
        CHECK_INT(status, cases[i].status);
        if (status != PL_OK)
            CHECK_STR(error.message, cases[i].message);
        pl_module_free(m);
        rig_close(&r);
    }
}

/* Every refused allocation undoes the whole: of creation, of the plain LoRA, of a mix. */
static pl_status make_all(rig *r, pl_error *error) {
    pl_status status;
    pl_module *m = rig_make(r, "lora", "a", "init=pissa;rank=3;use_dora=true", &status, error), *plain = NULL,
              *o = NULL, *mix = NULL;
    pl_mix_options options = pl_mix_options_default(PL_MIX_CAT);
    pl_mix_report report;
    double weight = 1;
    if (m)
        status = pl_lora_plain(&r->memory, r->model, m, &plain, error);
    if (status == PL_OK)
        o = rig_make(r, "lora", "b", "init=olora;rank=2", &status, error);
    if (o)
        status = pl_mix(&r->memory, r->model, &o, &weight, 1, &options, "c", &mix, &report, error);
    pl_module *q = status == PL_OK ? rig_make(r, "lora", "d", "init=orthogonal;rank=2;target_modules=k_proj",
                                              &status, error)
                                   : NULL;
    pl_module_free(q);
    pl_module_free(mix);
    pl_module_free(o);
    pl_module_free(plain);
    pl_module_free(m);
    return status;
}

TEST(refused_memory_leaves_nothing) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 4);
    size_t bytes = r.memory.bytes;
    int32_t refused = 0;
    for (;; refused++) {
        r.memory.fail_at = r.memory.allocation_count + 1 + refused;
        pl_status status = make_all(&r, &error);
        CHECK_INT((int64_t)r.memory.bytes, (int64_t)bytes);
        if (status == PL_OK)
            break;
        CHECK_INT(status, PL_ERR_MEMORY);
    }
    CHECK(refused > 50);
    r.memory.fail_at = 0;
    rig_close(&r);
}
