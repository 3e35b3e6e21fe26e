/* Options, modules and stacks: defaults, matching by name, sentences, refused memory. build: both */
#include <string.h>

#include "harness.h"
#include "peft/lora.h"
#include "peft_helpers.h"

static pl_options defaults(const char *method, const pl_config *config) {
    pl_options options;
    pl_options_default(pl_method_find(method), config, &options);
    return options;
}

TEST(defaults_follow_the_chapter) {
    pl_config config = helper_gqa_odd();
    pl_options options = defaults("lora", &config);
    CHECK_NEAR(pl_option_number(&options, "rank"), 8, 0);
    CHECK_NEAR(pl_option_number(&options, "alpha"), 16, 0);
    for (int32_t layer = 0; layer < config.num_hidden_layers; layer++)
        CHECK_INT(options.targets[layer], 1U << PL_SITE_Q | 1U << PL_SITE_V);
    CHECK_INT(options.targets[config.num_hidden_layers], 0);
    options = defaults("ia3", &config);
    CHECK_INT(options.targets[0], 1U << PL_SITE_K | 1U << PL_SITE_V | 1U << PL_SITE_DOWN);
}

TEST(every_method_is_complete) {
    for (int32_t i = 0; i < PL_METHOD_COUNT; i++) {
        const pl_method *m = PL_METHODS[i];
        CHECK(pl_method_find(m->name) == m);
        CHECK_MSG(m->label && m->summary && m->paper && m->declare && m->flops, "%s", m->name);
        CHECK_MSG(m->option_count <= PL_OPTIONS_MAX, "%s", m->name);
        for (int32_t o = 0; o < m->option_count; o++) {
            CHECK_MSG(m->options[o].label && m->options[o].help, "%s %s", m->name, m->options[o].name);
            CHECK(pl_option_index(m, m->options[o].name) == o);
        }
        pl_config config = helper_mha_tied();
        pl_options options = defaults(m->name, &config);
        pl_error error = {0};
        CHECK_MSG(pl_options_check(&options, &config, &error) == PL_OK, "%s: %s", m->name, error.message);
    }
    CHECK(pl_method_find("Lora") == NULL);
}

TEST(targets_by_name_and_dotted_tail) {
    pl_config config = helper_gqa_odd();
    pl_options options = defaults("lora", &config);
    pl_error error = {0};
    CHECK(pl_options_set_text(&options, &config, "target_modules", " q_proj , layers.1.mlp.up_proj",
                              &error) == PL_OK);
    CHECK_INT(options.targets[0], 1U << PL_SITE_Q);
    CHECK_INT(options.targets[1], 1U << PL_SITE_Q | 1U << PL_SITE_UP);
    CHECK(pl_options_set_text(&options, &config, "target_modules", "model.layers.2.self_attn.o_proj",
                              &error) == PL_OK);
    CHECK_INT(options.targets[1], 0);
    CHECK_INT(options.targets[2], 1U << PL_SITE_O);
    CHECK(pl_options_set_text(&options, &config, "target_modules", "all-linear", &error) == PL_OK);
    CHECK_INT(options.targets[2], (1U << PL_SITE_COUNT) - 1);
}

/* Neither a part of a word nor a regular expression matches; the targets of before stay. */
TEST(targets_that_match_nothing) {
    static const char *const wrong[] = {
        "proj", "_proj", "query", ".*q_proj", "q_proj,k_pro", "layers.3.mlp.up_proj", "lm_head", "Q_PROJ"};
    pl_config config = helper_gqa_odd();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pl_options options = defaults("lora", &config);
        pl_error error = {0};
        CHECK_INT(pl_options_set_text(&options, &config, "target_modules", wrong[i], &error),
                  PL_ERR_ARGUMENT);
        CHECK_MSG(strstr(error.message, "all-linear") != NULL, "%s", error.message);
        CHECK_INT(options.targets[0], 1U << PL_SITE_Q | 1U << PL_SITE_V);
    }
}

TEST(layers_and_exclusions_narrow) {
    pl_config config = helper_gqa_odd();
    pl_options options = defaults("lora", &config);
    pl_error error = {0};
    const int32_t layers[] = {2, 0}, beyond[] = {3};
    CHECK(pl_options_limit(&options, &config, layers, 2, "layers.0.self_attn.v_proj", &error) == PL_OK);
    CHECK_INT(options.targets[0], 1U << PL_SITE_Q);
    CHECK_INT(options.targets[1], 0);
    CHECK_INT(options.targets[2], 1U << PL_SITE_Q | 1U << PL_SITE_V);
    CHECK_INT(pl_options_limit(&options, &config, beyond, 1, NULL, &error), PL_ERR_RANGE);
    CHECK_STR(error.message, "layers_to_transform: layer 3 is outside 0..2");
    CHECK_INT(pl_options_limit(&options, &config, NULL, 0, "nothing", &error), PL_ERR_ARGUMENT);
}

TEST(first_pattern_wins) {
    pl_config config = helper_gqa_odd();
    pl_options options = defaults("lora", &config);
    pl_error error = {0};
    CHECK(pl_options_set_pattern(&options, &config, "rank_pattern", "layers.1.self_attn.q_proj", 3, &error) ==
          PL_OK);
    CHECK(pl_options_set_pattern(&options, &config, "rank_pattern", "q_proj", 5, &error) == PL_OK);
    CHECK(pl_options_set_pattern(&options, &config, "alpha_pattern", "self_attn.q_proj", 20, &error) ==
          PL_OK);
    CHECK_INT(pl_lora_rank(&options, 0, PL_SITE_Q), 5);
    CHECK_INT(pl_lora_rank(&options, 1, PL_SITE_Q), 3);
    CHECK_INT(pl_lora_rank(&options, 1, PL_SITE_V), 8);
    CHECK_NEAR(pl_lora_scale(&options, 0, PL_SITE_Q), 20.0 / 5, 1e-15);
    CHECK_NEAR(pl_lora_scale(&options, 0, PL_SITE_V), 16.0 / 8, 1e-15);
    CHECK_INT(pl_options_set_pattern(&options, &config, "rank_pattern", "q_pro", 5, &error), PL_ERR_ARGUMENT);
    CHECK_INT(pl_options_set_pattern(&options, &config, "rank_pattern", "q_proj", 0, &error), PL_ERR_RANGE);
    CHECK_INT(pl_options_set_pattern(&options, &config, "rank", "q_proj", 1, &error), PL_ERR_ARGUMENT);
    CHECK(pl_options_set_pattern(&options, &config, "rank_pattern", "v_proj", 2.5, &error) == PL_OK);
    CHECK_INT(pl_options_check(&options, &config, &error), PL_ERR_RANGE);
    CHECK_STR(error.message, "rank_pattern: the rank of 'v_proj' must be a whole number, not 2.5");
}

TEST(wrong_values_get_a_sentence) {
    static const struct {
        const char *name, *value, *message;
        pl_status status;
    } cases[] = {
        {"rank", "0", "rank 0 is outside 1..1024", PL_ERR_RANGE},
        {"rank", "2.5", "rank must be a whole number, not 2.5", PL_ERR_RANGE},
        {"rank", "eight", "rank must be a number, not 'eight'", PL_ERR_ARGUMENT},
        {"rank", "nan", "rank must be a whole number, not nan", PL_ERR_RANGE},
        {"alpha", "-1", "alpha -1 is outside 1e-06..65536", PL_ERR_RANGE},
        {"dropout", "1", "dropout 1 is outside 0..0.95", PL_ERR_RANGE},
        {"use_dora", "yes", "use_dora must be a number, not 'yes'", PL_ERR_ARGUMENT},
        {"init", "eva", "init 'eva' is not one of true|gaussian|false|pissa|olora|orthogonal",
         PL_ERR_ARGUMENT},
    };
    pl_config config = helper_mha_tied();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pl_options options = defaults("lora", &config);
        pl_error error = {0};
        CHECK_INT(pl_options_set_text(&options, &config, cases[i].name, cases[i].value, &error),
                  cases[i].status);
        CHECK_STR(error.message, cases[i].message);
    }
    pl_options options = defaults("full", &config);
    pl_error error = {0};
    CHECK_INT(pl_options_set_number(&options, "rank", 4, &error), PL_ERR_ARGUMENT);
    CHECK_STR(error.message, "Full fine-tuning has no option \"rank\"; it has: none");
}

TEST(look_up_by_place) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 1);
    pl_module *m =
        rig_add(&r, "lora", "a",
                "rank=3;target_modules=q_proj,down_proj;rank_pattern.layers.1.mlp.down_proj=6", false);
    for (int32_t i = 0; i < m->layout.count; i++) {
        const pl_tensor *t = &m->layout.tensors[i];
        CHECK(pl_module_shape(m, t->layer, t->site, t->slot) == t);
        CHECK(pl_module_values(m, t->layer, t->site, t->slot) == m->values + t->offset);
        CHECK(pl_module_gradients(m, t->layer, t->site, t->slot) == m->gradients + t->offset);
    }
    CHECK_INT(pl_module_shape(m, 1, PL_SITE_DOWN, PL_LORA_A)->rows, 6);
    CHECK(pl_module_values(m, 0, PL_SITE_K, PL_LORA_A) == NULL);
    CHECK(pl_module_values(m, 0, PL_SITE_Q, PL_LORA_M) == NULL);
    CHECK(pl_module_values(m, 3, PL_SITE_Q, PL_LORA_A) == NULL);
    CHECK(pl_module_values(m, -2, PL_SITE_Q, PL_LORA_A) == NULL);
    CHECK(pl_module_values(m, PL_NONE, PL_NONE, 0) == NULL);
    pl_error error = {0};
    CHECK(pl_module_trainable(m, false, &error) == PL_OK);
    CHECK(pl_module_gradients(m, 0, PL_SITE_Q, PL_LORA_A) == NULL);
    rig_close(&r);
}

/* Every allocation of creating, training and planning refused in turn: an error each time, and nothing is left allocated. */
TEST(refused_memory_undoes_everything) {
    static const char *const methods[] = {"lora", "ia3", "norms", "full"};
    for (size_t k = 0; k < sizeof methods / sizeof methods[0]; k++) {
        rig r;
        rig_open(&r, helper_mha_tied(), 1);
        pl_extent extent = {.rows = 9, .seqs = 1, .labels = 9, .training = true};
        size_t before = r.memory.bytes;
        bool done = false;
        for (int64_t n = 1; n < 60 && !done; n++) {
            pl_status status;
            pl_error error = {0};
            r.memory.fail_at = r.memory.allocation_count + n;
            pl_module *module = rig_make(&r, methods[k], "m", "", &status, &error);
            if (status == PL_OK)
                status = pl_module_trainable(module, true, &error);
            if (status == PL_OK)
                status = pl_module_plan(module, &extent, &error);
            r.memory.fail_at = 0;
            done = status == PL_OK;
            CHECK_INT(status, done ? PL_OK : PL_ERR_MEMORY);
            CHECK(done || strlen(error.message) > 0);
            pl_module_free(module);
            CHECK_INT(r.memory.bytes, before);
        }
        CHECK(done);
        rig_close(&r);
    }
}

static void expect_refused(const char *method, const char *options, const char *says) {
    rig r;
    pl_status status;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 1);
    CHECK_MSG(rig_make(&r, method, "m", options, &status, &error) == NULL, "%s %s", method, options);
    CHECK(status == PL_ERR_ARGUMENT || status == PL_ERR_UNSUPPORTED);
    CHECK_MSG(strstr(error.message, says) != NULL, "%s %s: %s", method, options, error.message);
    rig_close(&r);
}

TEST(every_name_of_a_list_counts) {
    expect_refused("norms", "target_modules=input_layernorm,foo", "'foo' names no norm");
    expect_refused("norms", "target_modules=layers.9.input_layernorm", "'layers.9.input_layernorm' names no");
    expect_refused("norms", "target_modules=,", "target_modules is empty");
    expect_refused("ia3", "feedforward_modules=down_proj,foo", "'foo' names no linear map");
    expect_refused("ia3", "feedforward_modules=q_proj", "'q_proj' is not among the target_modules");
    expect_refused("ia3", "feedforward_modules=layers.1.mlp.down_proj", "differently in layers 0 and 1");
    rig r;
    rig_open(&r, helper_gqa_odd(), 1);
    CHECK_INT(
        rig_add(&r, "norms", "n", "target_modules= layers.1.input_layernorm , norm", false)->layout.count, 2);
    /* The default names a map that need not be targeted. */
    CHECK(rig_add(&r, "ia3", "a", "target_modules=k_proj", false)->layout.count > 0);
    CHECK(rig_add(&r, "ia3", "b", "target_modules=q_proj;feedforward_modules=self_attn.q_proj", false) !=
          NULL);
    rig_close(&r);
}

TEST(plans_grow_and_keep) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_mha_tied(), 1);
    pl_module *m = rig_add(&r, "lora", "a", "dropout=0.1", false);
    pl_extent small = {.rows = 4, .seqs = 1, .labels = 1},
              large = {.rows = 30, .seqs = 2, .labels = 9, .training = true};
    CHECK(pl_module_plan(m, &large, &error) == PL_OK);
    const real *buffers = m->buffers;
    int64_t made = r.memory.allocation_count;
    CHECK(pl_module_plan(m, &small, &error) == PL_OK);
    CHECK(m->buffers == buffers);
    CHECK_INT(r.memory.allocation_count, made);
    CHECK_INT(m->extent.rows, 30);
    rig_close(&r);
}

TEST(stacks_refuse_what_cannot_add_up) {
    rig r;
    pl_stack stack;
    pl_error error = {0};
    rig_open(&r, helper_mha_tied(), 1);
    pl_module *lora = rig_add(&r, "lora", "a", "", false), *full = rig_add(&r, "full", "f", "", true);
    pl_module *norms = rig_add(&r, "norms", "n", "", true);
    pl_module *twice[] = {lora, lora}, *both[] = {full, norms}, *fine[] = {full, lora};
    CHECK_INT(pl_stack_build(twice, 2, &stack, &error), PL_ERR_ARGUMENT);
    CHECK_STR(error.message, "module 'a' is listed twice; list it once with twice the weight");
    CHECK_INT(pl_stack_build(both, 2, &stack, &error), PL_ERR_UNSUPPORTED);
    CHECK(strstr(error.message, "both replace") != NULL);
    CHECK_INT(pl_stack_build(fine, 2, &stack, &error), PL_OK);
    CHECK_INT(stack.count, 2);
    CHECK(stack.hooks[1].trains && stack.hooks[1].self == lora);
    full->weight = (real)0.5;
    CHECK_INT(pl_stack_build(fine, 2, &stack, &error), PL_ERR_UNSUPPORTED);
    full->weight = 1;
    CHECK(pl_module_attach(r.model, full, &error) == PL_OK);
    CHECK_INT(pl_module_attach(r.model, norms, &error), PL_ERR_STATE);
    rig_close(&r);
}

TEST(names_are_checked) {
    rig r;
    pl_status status;
    pl_error error = {0};
    rig_open(&r, helper_mha_tied(), 1);
    CHECK(rig_make(&r, "lora", "", "", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(rig_make(&r, "lora", "0123456789012345678901234567890123456789012345678901234567890123456789", "",
                   &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    CHECK(rig_make(&r, "norms", "n", "target_modules=q_proj", &status, &error) == NULL);
    CHECK_INT(status, PL_ERR_ARGUMENT);
    rig_close(&r);
}
