/* The tables of section 9.5 with the assumptions that reproduce their figures, and what is different when everything is counted. */
#include "account/account.h"

#include <stdio.h>
#include <string.h>

const pl_chapter_method PL_CHAPTER_METHODS[] = {
    {"Prompt Tuning (20 tokens)", "~80K", "~300KB", 80e3, 300e3, "prompt", "num_virtual_tokens=20",
     "Exact: 20 x 4,096 = 81,920 parameters; as f32 that is 327,680 bytes (320 KiB)."},
    {"Prefix Tuning (10 per layer)", "~2.6M", "~10MB", 2.6e6, 10e6, "prefix", "num_virtual_tokens=10",
     "Exact for Llama 2 7B: 10 x 32 layers x 2 x 4,096 = 2,621,440; as f32 10.49 MB (10.0 MiB). A model with "
     "grouped-query attention needs less: "
     "Llama 3.1 8B has 8 key/value heads instead of 32, so 655,360 parameters and 2.6 MB."},
    {"LoRA (r=8, Q+V)", "~4M", "~16MB", 4e6, 16e6, "lora", "rank=8;alpha=16;target_modules=q_proj,v_proj",
     "Exact for Llama 2 7B: 32 layers x 2 maps x 8 x (4,096 + 4,096) = 4,194,304; as f32 16.78 MB (16.0 "
     "MiB). On Llama 3.1 8B the value map is "
     "four times narrower: 3,407,872."},
    {"Adapters (bottleneck=64)", "~50M", "~200MB", 50e6, 200e6, "adapter",
     "variant=per_linear;bottleneck_size=64",
     "Holds only with three adapters per layer, as LLM-Adapters puts them around gate, up and down without "
     "biases: 50,331,648 parameters, "
     "201.3 MB. Houlsby's two per layer are 33,820,672 (135.3 MB), Pfeiffer's one per layer 16,910,336 (67.6 "
     "MB)."},
    {"Full Fine-Tuning", "~7B", "~28GB", 7e9, 28e9, "full", "",
     "Rounded up: Llama 2 7B has 6,738,415,616 parameters, 26.95 GB as f32. The usual bf16 file is half of "
     "that, 13.48 GB."},
};
const int32_t PL_CHAPTER_METHOD_COUNT = (int32_t)(sizeof PL_CHAPTER_METHODS / sizeof *PL_CHAPTER_METHODS);

const pl_chapter_memory PL_CHAPTER_MEMORY[] = {
    {"1B", "tinyllama-1.1b", "~4GB", "~1GB", "4x", 4e9, 1e9, PL_FORMAT_INT8, false,
     "Full: 4 bytes per parameter, that is f32 weights alone, without gradients, optimiser states and "
     "activations. LoRA: 1 byte per parameter, "
     "an int8 base alone."},
    {"7B", "llama-2-7b", "~28GB", "~8GB", "3.5x", 28e9, 8e9, PL_FORMAT_INT8, true,
     "Full: f32 weights alone. LoRA: an int8 base (7 GB) and checkpointed activations of 2,048 tokens (0.85 "
     "GB)."},
    {"70B", "llama-2-70b", "~280GB", "~40GB", "7x", 280e9, 40e9, PL_FORMAT_NF4, true,
     "Full: f32 weights alone. LoRA: a 4-bit base (36 GB) and checkpointed activations (3.4 GB). The step "
     "from 3.5x to 7x comes from changing int8 "
     "to 4 bits, not from the size of the model."},
};
const int32_t PL_CHAPTER_MEMORY_COUNT = (int32_t)(sizeof PL_CHAPTER_MEMORY / sizeof *PL_CHAPTER_MEMORY);

pl_status pl_settings_options(const char *method, const char *settings, const pl_config *config,
                              pl_options *options, pl_error *error) {
    const pl_method *found = pl_method_find(method);
    if (!found)
        return pl_fail(error, PL_ERR_ARGUMENT, "this build has no method '%s'", method);
    pl_options_default(found, config, options);
    char pair[128];
    for (const char *at = settings; *at;) {
        size_t length = strcspn(at, ";");
        (void)snprintf(pair, sizeof pair, "%.*s", (int)length, at);
        char *value = strchr(pair, '=');
        if (!value)
            return pl_fail(error, PL_ERR_ARGUMENT, "'%s' is not a setting of the form name=value", pair);
        *value++ = '\0';
        PL_TRY(pl_options_set_text(options, config, pair, value, error));
        at += length + (at[length] == ';' ? 1 : 0);
    }
    return PL_OK;
}

pl_status pl_account_memory_chapter(pl_memory *memory, const pl_memory_request *request,
                                    pl_memory_estimate *estimate, pl_error *error) {
    pl_memory_request hidden = *request;
    pl_memory_estimate *e = estimate;
    PL_TRY(pl_account_count(memory, request->config, request->methods, request->method_count, &e->counts,
                            NULL, error));
    bool full = e->counts.replaced == e->counts.base;
    hidden.checkpointing = true;
    hidden.format = full ? PL_FORMAT_F32 : e->counts.base > (int64_t)20e9 ? PL_FORMAT_NF4 : PL_FORMAT_INT8;
    PL_TRY(pl_account_memory(memory, &hidden, e, error));
    e->assumptions.count = 0;
    e->logits = 0.0;
    if (full) {
        e->gradients = e->optimizer = e->activations = 0.0;
        e->states = e->base_weights;
        pl_sentence(&e->assumptions, "As the chapter counts full fine-tuning: 4 bytes per parameter for the "
                                     "f32 weights, nothing for gradients, "
                                     "optimiser states, activations and logits.");
    } else {
        bool small = e->counts.base < (int64_t)3e9;
        if (small)
            e->activations = e->gradients = e->optimizer = e->module_weights = 0.0;
        e->states = e->base_weights + e->module_weights + e->gradients + e->optimizer;
        pl_sentence(&e->assumptions,
                    "As the chapter's LoRA column works out: an %s base%s; no logits. Full fine-tuning is "
                    "counted in f32 beside it, "
                    "so the ratio compares two precisions.",
                    pl_format_name(hidden.format),
                    small ? " and nothing else"
                          : ", the trained parameters with their states, and checkpointed activations");
        pl_sentence(&e->assumptions, "%s", pl_format_assumption(hidden.format));
    }
    e->training = e->states + e->activations;
    return PL_OK;
}
