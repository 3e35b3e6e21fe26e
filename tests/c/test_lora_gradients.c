/* build: double
   LoRA and its variants against finite differences: every trainable tensor, ragged batches, stacks, dropout. */
#include "harness.h"
#include "peft_helpers.h"

static void check(pl_config config, const char *options, bool frozen_norms) {
    rig r;
    rig_open(&r, config, 3);
    rig_add(&r, "lora", "a", options, false);
    rig_ready(&r, true);
    rig_check_gradients(&r, frozen_norms);
    rig_close(&r);
}

TEST(lora_query_value) { check(helper_mha_tied(), "rank=3;alpha=5", false); }
TEST(lora_all_linear_gqa) { check(helper_gqa_odd(), "rank=2;alpha=3;target_modules=all-linear", false); }
TEST(lora_wide_heads_rslora) {
    check(helper_wide_heads(), "rank=9;alpha=4;use_rslora=true;target_modules=all-linear", false);
}
TEST(lora_one_deep_site) { check(helper_gqa_odd(), "rank=4;target_modules=layers.2.mlp.down_proj", false); }
TEST(lora_patterns) {
    check(helper_llama3_rope(),
          "rank=2;target_modules=q_proj,up_proj;rank_pattern.layers.1.mlp.up_proj=5;alpha_pattern.q_proj=1",
          false);
}
TEST(lora_dropout) { check(helper_gqa_odd(), "rank=3;dropout=0.3;target_modules=all-linear", false); }
TEST(dora) { check(helper_gqa_odd(), "rank=3;use_dora=true;target_modules=all-linear", true); }
TEST(dora_dropout) {
    check(helper_mha_tied(), "rank=3;use_dora=true;dropout=0.25;target_modules=all-linear", true);
}

/* The start is frozen: its gradients are those of A and B alone, and inputs get theirs through both. */
TEST(pissa) { check(helper_gqa_odd(), "init=pissa;rank=3;alpha=4;target_modules=all-linear", false); }
TEST(olora_rslora) {
    check(helper_wide_heads(), "init=olora;rank=4;use_rslora=true;target_modules=all-linear", false);
}
TEST(pissa_dropout) {
    check(helper_gqa_odd(), "init=pissa;rank=3;dropout=0.3;target_modules=all-linear", false);
}
TEST(pissa_dora) {
    check(helper_gqa_odd(), "init=pissa;rank=3;use_dora=true;target_modules=all-linear", true);
}
TEST(olora_dora_dropout) {
    check(helper_mha_tied(), "init=olora;rank=3;use_dora=true;dropout=0.25;target_modules=all-linear", true);
}
TEST(orthogonal) { check(helper_mha_tied(), "init=orthogonal;rank=4;target_modules=all-linear", false); }

static void check_pair(const char *one, const char *first, const char *two, const char *second,
                       bool frozen_norms, real weight) {
    rig r;
    rig_open(&r, helper_gqa_odd(), 4);
    pl_module *a = rig_add(&r, one, "a", first, false);
    rig_add(&r, two, "b", second, false);
    if (a)
        a->weight = weight;
    rig_ready(&r, true);
    rig_check_gradients(&r, frozen_norms);
    rig_close(&r);
}

TEST(two_loras_with_weights) {
    check_pair("lora", "rank=2", "lora", "rank=5;target_modules=v_proj,gate_proj", false, (real)-0.7);
}
TEST(pissa_weighted_then_lora) {
    check_pair("lora", "init=pissa;rank=2;alpha=2;target_modules=all-linear", "lora", "rank=3", false,
               (real)-0.6);
}
TEST(pissa_then_dora) {
    check_pair("lora", "init=pissa;rank=2", "lora", "rank=3;use_dora=true", true, (real)0.5);
}
TEST(lora_then_dora) { check_pair("lora", "rank=2", "lora", "rank=3;use_dora=true", true, (real)0.5); }
TEST(dora_then_lora) { check_pair("lora", "rank=2;use_dora=true", "lora", "rank=3", true, (real)0.5); }
TEST(lora_then_ia3) { check_pair("lora", "rank=2;alpha=2;target_modules=all-linear", "ia3", "", false, 1); }
TEST(ia3_weighted_then_lora) {
    check_pair("ia3", "", "lora", "rank=2;alpha=2;target_modules=all-linear", false, (real)0.4);
}
TEST(full_then_lora) { check_pair("full", "", "lora", "rank=2", false, 1); }
TEST(full_then_dora) { check_pair("full", "", "lora", "rank=2;use_dora=true", true, 1); }
TEST(norms_then_lora) { check_pair("norms", "", "lora", "rank=2", false, 1); }
TEST(two_ia3) {
    check_pair("ia3", "", "ia3", "target_modules=all-linear;feedforward_modules=down_proj,gate_proj", false,
               1);
}
