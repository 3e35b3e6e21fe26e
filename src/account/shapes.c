/* Dimensions of well-known Llama-architecture models, from their published config.json. Models whose attention has biases (Qwen) or other
   blocks (Gemma, Phi) are left out: their counts would be wrong here. */
#include "account/account.h"

#include <strings.h>

#define SHAPE(vocab, hidden, ffn, layers, heads, kv, dim, context, tied, eps, theta)                         \
    .vocab_size = (vocab), .hidden_size = (hidden), .intermediate_size = (ffn),                              \
    .num_hidden_layers = (layers), .num_attention_heads = (heads), .num_key_value_heads = (kv),              \
    .head_dim = (dim), .max_position_embeddings = (context), .tie_word_embeddings = (tied),                  \
    .rms_norm_eps = (eps), .rope_theta = (theta), .bos_token_id = 1, .eos_token_id = 2,                      \
    .pad_token_id = PL_NONE

#define LLAMA3_ROPE(factor)                                                                                  \
    .rope_kind = PL_ROPE_LLAMA3, .rope_factor = (factor), .rope_low_freq_factor = 1.0,                       \
    .rope_high_freq_factor = 4.0, .rope_original_positions = 8192

const pl_shape PL_SHAPES[] = {
    {"gpt2-small",
     "GPT-2 small sized",
     "A Llama with GPT-2 small's depth, width and vocabulary (GPT-2 itself has another block).",
     {SHAPE(50257, 768, 2048, 12, 12, 12, 64, 1024, true, 1e-5, 1e4)}},
    {"smollm2-135m",
     "SmolLM2 135M",
     "HuggingFaceTB/SmolLM2-135M",
     {SHAPE(49152, 576, 1536, 30, 9, 3, 64, 8192, true, 1e-5, 1e5)}},
    {"smollm2-360m",
     "SmolLM2 360M",
     "HuggingFaceTB/SmolLM2-360M",
     {SHAPE(49152, 960, 2560, 32, 15, 5, 64, 8192, true, 1e-5, 1e5)}},
    {"smollm2-1.7b",
     "SmolLM2 1.7B",
     "HuggingFaceTB/SmolLM2-1.7B",
     {SHAPE(49152, 2048, 8192, 24, 32, 32, 64, 8192, true, 1e-5, 1.3e5)}},
    {"tinyllama-1.1b",
     "TinyLlama 1.1B",
     "TinyLlama/TinyLlama-1.1B",
     {SHAPE(32000, 2048, 5632, 22, 32, 4, 64, 2048, false, 1e-5, 1e4)}},
    {"llama-3.2-1b",
     "Llama 3.2 1B",
     "meta-llama/Llama-3.2-1B",
     {SHAPE(128256, 2048, 8192, 16, 32, 8, 64, 131072, true, 1e-5, 5e5), LLAMA3_ROPE(32.0)}},
    {"llama-3.2-3b",
     "Llama 3.2 3B",
     "meta-llama/Llama-3.2-3B: the model of peft's own method comparison",
     {SHAPE(128256, 3072, 8192, 28, 24, 8, 128, 131072, true, 1e-5, 5e5), LLAMA3_ROPE(32.0)}},
    {"llama-2-7b",
     "Llama 2 7B",
     "meta-llama/Llama-2-7b: the chapter's \"7B model\"",
     {SHAPE(32000, 4096, 11008, 32, 32, 32, 128, 4096, false, 1e-5, 1e4)}},
    {"llama-3.1-8b",
     "Llama 3.1 8B",
     "meta-llama/Llama-3.1-8B",
     {SHAPE(128256, 4096, 14336, 32, 32, 8, 128, 131072, false, 1e-5, 5e5), LLAMA3_ROPE(8.0)}},
    {"llama-2-13b",
     "Llama 2 13B",
     "meta-llama/Llama-2-13b",
     {SHAPE(32000, 5120, 13824, 40, 40, 40, 128, 4096, false, 1e-5, 1e4)}},
    {"llama-2-70b",
     "Llama 2 70B",
     "meta-llama/Llama-2-70b: the chapter's \"70B\"",
     {SHAPE(32000, 8192, 28672, 80, 64, 8, 128, 4096, false, 1e-5, 1e4)}},
    {"llama-3.1-70b",
     "Llama 3.1 70B",
     "meta-llama/Llama-3.1-70B",
     {SHAPE(128256, 8192, 28672, 80, 64, 8, 128, 131072, false, 1e-5, 5e5), LLAMA3_ROPE(8.0)}},
    {"llama-3.1-405b",
     "Llama 3.1 405B",
     "meta-llama/Llama-3.1-405B",
     {SHAPE(128256, 16384, 53248, 126, 128, 8, 128, 131072, false, 1e-5, 5e5), LLAMA3_ROPE(8.0)}},
};
const int32_t PL_SHAPE_COUNT = (int32_t)(sizeof PL_SHAPES / sizeof *PL_SHAPES);

const pl_shape *pl_shape_find(const char *name) {
    for (int32_t i = 0; i < PL_SHAPE_COUNT; i++)
        if (strcasecmp(PL_SHAPES[i].name, name) == 0)
            return &PL_SHAPES[i];
    return NULL;
}
