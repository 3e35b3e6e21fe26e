#include "harness.h"

#include <string.h>

#include "io/tensor_names.h"

static const char *const pairs[][2] = {
    /* files of peft */
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
     "model.layers.0.self_attn.q_proj.lora_A.weight"},
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias",
     "model.layers.0.self_attn.q_proj.lora_B.bias"},
    {"base_model.model.model.embed_tokens.lora_embedding_A", "model.embed_tokens.lora_embedding_A"},
    {"base_model.model.lm_head.lora_A.weight", "lm_head.lora_A.weight"},
    {"base_model.model.lm_head.weight", "lm_head.weight"},
    {"base_model.model.model.embed_tokens.base_layer.weight", "model.embed_tokens.base_layer.weight"},
    {"base_model.model.model.layers.1.mlp.down_proj.lora_magnitude_vector",
     "model.layers.1.mlp.down_proj.lora_magnitude_vector"},
    {"base_model.model.model.layers.1.mlp.down_proj.ia3_l", "model.layers.1.mlp.down_proj.ia3_l"},
    {"base_model.model.model.norm.ln_tuning_layers.weight", "model.norm.ln_tuning_layers.weight"},
    {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
     "model.embed_tokens.token_adapter.trainable_tokens_delta"},
    {"prompt_embeddings", "prompt_embeddings"},
    /* in-memory names with the adapter's name */
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
     "model.layers.0.self_attn.q_proj.lora_A.weight"},
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.my-task_2.bias",
     "model.layers.0.self_attn.q_proj.lora_B.bias"},
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight.weight",
     "model.layers.0.self_attn.q_proj.lora_A.weight"},
    {"base_model.model.model.embed_tokens.lora_embedding_B.default", "model.embed_tokens.lora_embedding_B"},
    {"model.layers.1.mlp.up_proj.lora_magnitude_vector.default",
     "model.layers.1.mlp.up_proj.lora_magnitude_vector"},
    {"model.layers.1.mlp.up_proj.lora_magnitude_vector.default.weight",
     "model.layers.1.mlp.up_proj.lora_magnitude_vector"},
    {"model.layers.1.mlp.up_proj.lora_magnitude_vector.weight",
     "model.layers.1.mlp.up_proj.lora_magnitude_vector"},
    {"model.layers.1.mlp.down_proj.ia3_l.default", "model.layers.1.mlp.down_proj.ia3_l"},
    {"model.norm.ln_tuning_layers.default.weight", "model.norm.ln_tuning_layers.weight"},
    {"base_model.model.lm_head.modules_to_save.default.weight", "lm_head.weight"},
    {"base_model.model.lm_head.modules_to_save.weight", "lm_head.weight"},
    {"model.embed_tokens.token_adapter.trainable_tokens_delta.default",
     "model.embed_tokens.token_adapter.trainable_tokens_delta"},
    {"prompt_encoder.default.embedding.weight", "prompt_embeddings"},
    /* without the prefix, or with another one */
    {"model.layers.0.self_attn.q_proj.lora_A.weight", "model.layers.0.self_attn.q_proj.lora_A.weight"},
    {"lm_head.lora_A.weight", "lm_head.lora_A.weight"},
    {"base_model.model.layers.0.mlp.up_proj.lora_A.weight", "model.layers.0.mlp.up_proj.lora_A.weight"},
    {"layers.0.mlp.up_proj.lora_A.weight", "model.layers.0.mlp.up_proj.lora_A.weight"},
    {"embed_tokens.lora_embedding_A", "model.embed_tokens.lora_embedding_A"},
    {"base_model.model.base_model.model.model.norm.weight", "model.norm.weight"},
    /* AdapterHub keeps the name; plain and foreign names are copied */
    {"model.layers.3.output_adapters.adapters.task.adapter_down.0.weight",
     "model.layers.3.output_adapters.adapters.task.adapter_down.0.weight"},
    {"model.layers.3.input_layernorm.weight", "model.layers.3.input_layernorm.weight"},
    {"a.lora_A.b.c.weight", "a.lora_A.b.c.weight"},
    {"a.lora_A.default", "a.lora_A.default"},
    {"a.lora_A", "a.lora_A"},
    {"a.ia3_l.x.y", "a.ia3_l.x.y"},
    {"lora_A.default.weight", "lora_A.default.weight"},
    {"a.lora_A_x.default.weight", "a.lora_A_x.default.weight"},
    {"a..b", "a..b"},
    {".", "."},
    {"prompt_encoder.default.embedding.bias", "prompt_encoder.default.embedding.bias"},
};

TEST(names_come_to_one_form) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char out[128];
        pl_error error = {0};
        CHECK_INT(pl_tensor_name_normal(pairs[i][0], out, sizeof out, &error), PL_OK);
        CHECK_STR(out, pairs[i][1]);
        char again[128];
        CHECK_INT(pl_tensor_name_normal(out, again, sizeof again, &error), PL_OK);
        CHECK_STR(again, out);
    }
}

TEST(names_that_do_not_fit_are_refused) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        size_t length = strlen(pairs[i][1]);
        for (size_t size = 1; size <= length + 1; size++) {
            char out[128];
            memset(out, '#', sizeof out);
            pl_error error = {0};
            pl_status status = pl_tensor_name_normal(pairs[i][0], out, size, &error);
            CHECK_MSG(status == (size == length + 1 ? PL_OK : PL_ERR_FORMAT), "%s in %zu", pairs[i][0], size);
            CHECK(out[size] == '#');
        }
    }
    char out[8];
    pl_error error = {0};
    CHECK_INT(pl_tensor_name_normal("", out, sizeof out, &error), PL_ERR_FORMAT);
    CHECK_INT(pl_tensor_name_normal("base_model.model.", out, sizeof out, &error), PL_ERR_FORMAT);
}
