/* Bottleneck adapters: starts, no-ops, weights, layers, refusals, averaging. (build: both) */
#include <math.h>
#include <string.h>

#include "harness.h"
#include "peft/bottleneck.h"
#include "peft_helpers.h"

static const char *const VARIANTS[] = {
    "variant=houlsby;bottleneck_size=6", "variant=pfeiffer;bottleneck_size=6",
    "variant=parallel;bottleneck_size=6", "variant=per_linear;bottleneck_size=6",
    "variant=per_linear_parallel;bottleneck_size=6"};
enum { VARIANT_COUNT = 5 };

static size_t logit_count(const rig *r) {
    return (size_t)r->batch.batch.row_count * (size_t)r->config.vocab_size;
}

/* Logits of the model alone. */
static real *base_logits(rig *r) {
    int32_t count = r->count;
    r->count = 0;
    rig_ready(r, false);
    real *logits = rig_logits(r);
    r->count = count;
    rig_ready(r, false);
    return logits;
}

/* Property 3: bert's start is not a no-op; with W_up = b_up = 0 it is, bit for bit. */
TEST(zero_up_is_the_base) {
    for (int v = 0; v < VARIANT_COUNT; v++) {
        rig r;
        rig_open(&r, helper_gqa_odd(), 3);
        pl_module *module = rig_add(&r, "adapter", "a", VARIANTS[v], false);
        real *base = base_logits(&r);
        CHECK(rig_difference(rig_logits(&r), base, logit_count(&r)) > 1e-4);
        for (int32_t i = 0; i < module->layout.count; i++) {
            const pl_tensor *tensor = &module->layout.tensors[i];
            if (tensor->slot == PL_BOTTLENECK_UP || tensor->slot == PL_BOTTLENECK_UP_BIAS)
                memset(module->values + tensor->offset, 0,
                       (size_t)(tensor->rows * tensor->cols) * sizeof(real));
        }
        rig_prepare(&r);
        CHECK_MSG(rig_same_bits(rig_logits(&r), base, logit_count(&r)), "%s", VARIANTS[v]);
        rig_close(&r);
    }
}

/* Property 1: mam_adapter starts as an exact no-op, bert and houlsby do not. */
TEST(starts) {
    static const struct {
        const char *options;
        bool no_op;
    } starts[] = {{"variant=parallel;bottleneck_size=6", true},
                  {"variant=houlsby;bottleneck_size=6;init_weights=mam_adapter", true},
                  {"variant=per_linear;bottleneck_size=6;init_weights=mam_adapter", true},
                  {"variant=houlsby;bottleneck_size=6", false},
                  {"variant=pfeiffer;bottleneck_size=6;init_weights=houlsby", false}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        rig r;
        rig_open(&r, helper_wide_heads(), 3);
        rig_add(&r, "adapter", "a", starts[i].options, true);
        real *base = base_logits(&r);
        CHECK_MSG(rig_same_bits(rig_logits(&r), base, logit_count(&r)) == starts[i].no_op, "%s",
                  starts[i].options);
        rig_close(&r);
    }
}

static double deviation(const pl_module *module, int32_t slot, double *largest) {
    double sum = 0, count = 0;
    *largest = 0;
    for (int32_t i = 0; i < module->layout.count; i++) {
        const pl_tensor *tensor = &module->layout.tensors[i];
        if (tensor->slot != slot)
            continue;
        for (int64_t j = 0; j < tensor->rows * tensor->cols; j++, count++) {
            double value = (double)module->values[tensor->offset + j];
            sum += value * value;
            *largest = fmax(*largest, fabs(value));
        }
    }
    return sqrt(sum / count);
}

TEST(start_distributions) {
    rig r;
    double largest;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *bert = rig_add(&r, "adapter", "a", "variant=houlsby;bottleneck_size=20", true);
    CHECK_NEAR(deviation(bert, PL_BOTTLENECK_DOWN, &largest), 0.02, 0.001);
    CHECK_NEAR(deviation(bert, PL_BOTTLENECK_UP, &largest), 0.02, 0.001);
    CHECK_NEAR(deviation(bert, PL_BOTTLENECK_UP_BIAS, &largest), 0, 0);
    pl_module *cut =
        rig_add(&r, "adapter", "b", "variant=houlsby;bottleneck_size=20;init_weights=houlsby", true);
    CHECK_NEAR(deviation(cut, PL_BOTTLENECK_DOWN, &largest), 0.0088,
               0.0004); /* 0.01 * 0.88: cut at two sigma */
    CHECK(largest <= 0.02 + 1e-9);
    pl_module *mam = rig_add(&r, "adapter", "c", "variant=parallel;bottleneck_size=20", true);
    CHECK_NEAR(deviation(mam, PL_BOTTLENECK_DOWN, &largest), 1 / sqrt(3 * 40.0), 0.004);
    CHECK(largest <= 1 / sqrt(40.0));
    rig_close(&r);
}

/* weight 0 is the base; weight 2 is twice the scale. */
TEST(weights) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *module = rig_add(&r, "adapter", "a", "variant=parallel;bottleneck_size=6;scaling=0.5", false);
    real *base = base_logits(&r);
    module->weight = 0;
    rig_ready(&r, false);
    CHECK(rig_same_bits(rig_logits(&r), base, logit_count(&r)));
    module->weight = 2;
    rig_ready(&r, false);
    real *twice = rig_logits(&r);
    module->weight = 1;
    module->options.number[pl_option_index(module->method, "scaling")] = 1;
    rig_ready(&r, false);
    CHECK(rig_same_bits(rig_logits(&r), twice, logit_count(&r)));
    rig_close(&r);
}

/* layers_to_transform limits the AdapterHub placements too, and backward then stops there. */
TEST(only_some_layers) {
    pl_config config = helper_gqa_odd();
    pl_options options;
    pl_error error = {0};
    pl_needs needs;
    static const int32_t layers[] = {1, 2};
    pl_options_default(&PL_METHOD_BOTTLENECK, &config, &options);
    CHECK(pl_options_limit(&options, &config, layers, 2, NULL, &error) == PL_OK);
    PL_METHOD_BOTTLENECK.needs(&options, &config, &needs);
    CHECK_INT(needs.first_layer, 1);
    CHECK_INT(needs.input_sites, 0);
    pl_layout layout = pl_layout_make(NULL, &error);
    CHECK(PL_METHOD_BOTTLENECK.declare(&options, &config, &layout) == PL_OK);
    CHECK_INT(layout.elements, 2 * 2 * (2 * 64 * 40 + 64 + 40));
    CHECK(pl_options_set_text(&options, &config, "variant", "per_linear", &error) == PL_OK);
    PL_METHOD_BOTTLENECK.needs(&options, &config, &needs);
    CHECK_INT(needs.input_sites, 1 << PL_SITE_GATE | 1 << PL_SITE_UP);
}

TEST(names_carry_the_adapter) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *houlsby = rig_add(&r, "adapter", "a", VARIANTS[0], true),
              *linear = rig_add(&r, "adapter", "b", VARIANTS[3], true);
    CHECK(pl_layout_find(&houlsby->layout,
                         "model.layers.2.attention_adapters.adapters.{name}.adapter_down.0.weight") !=
          PL_NONE);
    CHECK(pl_layout_find(&houlsby->layout,
                         "model.layers.0.output_adapters.adapters.{name}.adapter_up.bias") != PL_NONE);
    CHECK(pl_layout_find(&linear->layout, "model.layers.1.mlp.gate_proj.adapter_down.weight") != PL_NONE);
    CHECK_INT(linear->layout.count, 3 * 3 * 2);
    rig_close(&r);
}

TEST(sizes) {
    pl_config config = helper_gqa_odd(); /* hidden 40 */
    pl_options options;
    pl_error error = {0};
    pl_options_default(&PL_METHOD_BOTTLENECK, &config, &options);
    CHECK_INT(pl_bottleneck_size(&options, &config), 64);
    static const char *const factors[] = {"7", "2.5", "40", "100"};
    static const int32_t want[] = {5, 16, 1, 1};
    CHECK(pl_options_set_text(&options, &config, "bottleneck_size", "0", &error) == PL_OK);
    for (int i = 0; i < 4; i++) {
        CHECK(pl_options_set_text(&options, &config, "reduction_factor", factors[i], &error) == PL_OK);
        CHECK_INT(pl_bottleneck_size(&options, &config), want[i]);
    }
}

TEST(refusals) {
    rig r;
    pl_status status;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    CHECK(rig_make(&r, "adapter", "a", "variant=per_linear;learned_scale=true", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(strstr(error.message, "learned_scale") != NULL);
    CHECK(rig_make(&r, "adapter", "a", "variant=per_linear;target_modules=", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(rig_make(&r, "adapter", "a", "bottleneck_size=9000", &status, &error) == NULL);
    CHECK(PL_METHOD_BOTTLENECK.cannot_merge != NULL && PL_METHOD_BOTTLENECK.merge == NULL);
    rig_close(&r);
}

/* Dropout is only on in training, and its masks depend on the key. */
TEST(dropout_in_training_only) {
    rig r, plain;
    rig_open(&r, helper_gqa_odd(), 3);
    rig_open(&plain, helper_gqa_odd(), 3);
    rig_add(&r, "adapter", "a", "variant=houlsby;bottleneck_size=6;dropout=0.5", false);
    rig_add(&plain, "adapter", "a", "variant=houlsby;bottleneck_size=6", false);
    rig_ready(&r, false);
    rig_ready(&plain, false);
    CHECK(rig_same_bits(rig_logits(&r), rig_logits(&plain), logit_count(&r)));
    double quiet = rig_loss(&r);
    rig_ready(&r, true);
    double once = rig_loss(&r), again = rig_loss(&r);
    CHECK_NEAR(once, again, 0);
    CHECK(fabs(once - quiet) > 1e-4);
    r.dropout_key++;
    CHECK(fabs(rig_loss(&r) - once) > 1e-5);
    rig_close(&r);
    rig_close(&plain);
}

/* Property 27: the average of equal adapters is that adapter, and weights are normalised. */
TEST(averages) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 3);
    pl_module *a = rig_add(&r, "adapter", "a", VARIANTS[0], false),
              *b = rig_add(&r, "adapter", "b", VARIANTS[0], false);
    pl_module *other = rig_add(&r, "adapter", "c", VARIANTS[1], false), *mean = NULL;
    pl_module *twice[] = {a, a}, *pair[] = {a, b}, *odd[] = {a, other};
    static const double equal[] = {0.5, 0.5}, mixed[] = {3, 1}, zero[] = {1, -1};
    CHECK(pl_bottleneck_average(&r.memory, r.model, twice, equal, 2, "m", &mean, &error) == PL_OK);
    CHECK(rig_same_bits(mean->values, a->values, (size_t)a->layout.extent));
    pl_module_free(mean);
    CHECK(pl_bottleneck_average(&r.memory, r.model, pair, mixed, 2, "m", &mean, &error) == PL_OK);
    CHECK_NEAR(mean->values[5], 0.75 * (double)a->values[5] + 0.25 * (double)b->values[5], 1e-6);
    pl_module_free(mean);
    CHECK_INT(pl_bottleneck_average(&r.memory, r.model, odd, equal, 2, "m", &mean, &error), PL_ERR_MISMATCH);
    CHECK_INT(pl_bottleneck_average(&r.memory, r.model, pair, zero, 2, "m", &mean, &error), PL_ERR_RANGE);
    CHECK(mean == NULL);
    rig_close(&r);
}
