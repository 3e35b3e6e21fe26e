/* build: double
   Prompt, prefix and bottleneck adapters, alone and stacked, against finite differences: every trainable tensor. */
#include "harness.h"
#include "peft_helpers.h"

static void check(pl_config config, const char *method, const char *options) {
    rig r;
    rig_open(&r, config, 3);
    rig_add(&r, method, "a", options, false);
    rig_ready(&r, true);
    rig_check_gradients(&r, false);
    rig_close(&r);
}

TEST(prompt_mha) { check(helper_mha_tied(), "prompt", "num_virtual_tokens=3"); }
TEST(prompt_gqa) { check(helper_gqa_odd(), "prompt", "num_virtual_tokens=1"); }
TEST(prompt_wide_heads) { check(helper_wide_heads(), "prompt", "num_virtual_tokens=6"); }
TEST(prompt_llama3) { check(helper_llama3_rope(), "prompt", "num_virtual_tokens=2"); }

TEST(prefix_mha) { check(helper_mha_tied(), "prefix", "num_virtual_tokens=3"); }
TEST(prefix_gqa) { check(helper_gqa_odd(), "prefix", "num_virtual_tokens=1"); }
TEST(prefix_wide_heads) { check(helper_wide_heads(), "prefix", "num_virtual_tokens=5"); }
TEST(prefix_llama3) { check(helper_llama3_rope(), "prefix", "num_virtual_tokens=2;prefix_init=random"); }
TEST(prefix_from_position_0) {
    check(helper_gqa_odd(), "prefix", "num_virtual_tokens=4;memory_shifts=false");
}
TEST(prefix_projection) {
    check(helper_gqa_odd(), "prefix", "num_virtual_tokens=3;prefix_projection=true;encoder_hidden_size=11");
}
TEST(prefix_projection_default_width) {
    check(helper_wide_heads(), "prefix", "num_virtual_tokens=2;prefix_projection=true");
}

TEST(houlsby) { check(helper_gqa_odd(), "adapter", "variant=houlsby;bottleneck_size=5"); }
TEST(pfeiffer) {
    check(helper_mha_tied(), "adapter", "variant=pfeiffer;bottleneck_size=9;non_linearity=gelu");
}
TEST(parallel) {
    check(helper_wide_heads(), "adapter",
          "variant=parallel;bottleneck_size=0;reduction_factor=3;non_linearity=gelu_new");
}
TEST(houlsby_learned_scale) {
    check(helper_gqa_odd(), "adapter", "variant=houlsby;bottleneck_size=4;learned_scale=true");
}
TEST(parallel_learned_scale) {
    check(helper_gqa_odd(), "adapter", "variant=parallel;bottleneck_size=4;learned_scale=true");
}
TEST(per_linear) { check(helper_gqa_odd(), "adapter", "variant=per_linear;bottleneck_size=3"); }
TEST(per_linear_all) {
    check(helper_wide_heads(), "adapter", "variant=per_linear;bottleneck_size=3;target_modules=all-linear");
}
TEST(per_linear_some) {
    check(
        helper_gqa_odd(), "adapter",
        "variant=per_linear;bottleneck_size=2;target_modules=layers.1.self_attn.v_proj,layers.2.mlp.up_proj");
}
TEST(per_linear_parallel) {
    check(helper_wide_heads(), "adapter",
          "variant=per_linear_parallel;bottleneck_size=3;target_modules=all-linear;non_linearity=swish");
}
/* The mask is a function of the key, so differences see the same one. */
TEST(dropout_houlsby) { check(helper_gqa_odd(), "adapter", "variant=houlsby;bottleneck_size=5;dropout=0.3"); }
TEST(dropout_per_linear) {
    check(helper_mha_tied(), "adapter", "variant=per_linear;bottleneck_size=5;dropout=0.3");
}
TEST(dropout_learned_scale) {
    check(helper_mha_tied(), "adapter", "variant=parallel;bottleneck_size=5;dropout=0.2;learned_scale=true");
}

/* ---- stacks: {method, options} pairs ---- */

static void check_stack(pl_config config, const char *const *pairs, real first_weight) {
    static const char *const names[] = {"a", "b", "c", "d"};
    rig r;
    rig_open(&r, config, 4);
    for (int i = 0; pairs[2 * i]; i++)
        rig_add(&r, pairs[2 * i], names[i], pairs[2 * i + 1], false);
    r.modules[0]->weight = first_weight;
    rig_ready(&r, true);
    rig_check_gradients(&r, false);
    rig_close(&r);
}

#define STACK(name, config, weight, ...)                                                                     \
    TEST(name) {                                                                                             \
        static const char *const pairs[] = {__VA_ARGS__, NULL};                                              \
        check_stack(config, pairs, weight);                                                                  \
    }

STACK(prompt_then_lora, helper_gqa_odd(), 1, "prompt", "num_virtual_tokens=2", "lora",
      "rank=3;target_modules=all-linear")
STACK(lora_then_prompt, helper_mha_tied(), (real)0.5, "lora", "rank=3", "prompt", "num_virtual_tokens=2")
STACK(two_prompts, helper_gqa_odd(), 1, "prompt", "num_virtual_tokens=2", "prompt", "num_virtual_tokens=3")
STACK(two_prefixes, helper_gqa_odd(), 1, "prefix", "num_virtual_tokens=2", "prefix",
      "num_virtual_tokens=3;prefix_projection=true")
STACK(prefix_adapter_lora, helper_gqa_odd(), 1, "prefix", "num_virtual_tokens=2", "adapter",
      "bottleneck_size=4", "lora", "rank=2;target_modules=q_proj,down_proj")
STACK(adapter_prefix_per_linear, helper_wide_heads(), (real)-0.6, "adapter",
      "variant=pfeiffer;bottleneck_size=4;non_linearity=tanh", "prefix", "num_virtual_tokens=2", "adapter",
      "variant=per_linear;bottleneck_size=3")
STACK(two_per_linear, helper_gqa_odd(), (real)0.7, "adapter", "variant=per_linear;bottleneck_size=3",
      "adapter", "variant=per_linear;bottleneck_size=2;target_modules=q_proj,up_proj,o_proj")
STACK(everything, helper_llama3_rope(), 1, "prompt", "num_virtual_tokens=2", "prefix", "num_virtual_tokens=3",
      "adapter", "variant=parallel;bottleneck_size=4;non_linearity=tanh", "ia3", "")

/* A frozen module in the stack still passes gradients through. */
TEST(frozen_adapter_above_a_prompt) {
    rig r;
    pl_error error = {0};
    rig_open(&r, helper_gqa_odd(), 5);
    rig_add(&r, "prompt", "p", "num_virtual_tokens=3", false);
    pl_module *adapter = rig_add(&r, "adapter", "a", "variant=per_linear;bottleneck_size=4", false);
    pl_module *prefix = rig_add(&r, "prefix", "k", "num_virtual_tokens=2", false);
    CHECK(pl_module_trainable(adapter, false, &error) == PL_OK);
    CHECK(pl_module_trainable(prefix, false, &error) == PL_OK);
    rig_ready(&r, true);
    rig_check_gradients(&r, false);
    rig_close(&r);
}
