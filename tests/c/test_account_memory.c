/* The memory model against a table computed by hand, and the chapter's scaling table under its own assumptions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "account/account.h"
#include "harness.h"

static const char *const SHAPES[3] = {"tinyllama-1.1b", "llama-2-7b", "llama-2-70b"};

static pl_memory_estimate estimate(const char *shape, const char *method, pl_format format,
                                   bool checkpointing) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_memory_estimate result;
    pl_options options;
    const pl_config *config = &pl_shape_find(shape)->config;
    const pl_options *methods[] = {&options};
    pl_options_default(pl_method_find(method), config, &options);
    if (strcmp(method, "lora") == 0) { /* the chapter's r = 8 on Q and V */
        CHECK(pl_options_set_text(&options, config, "rank", "8", &error) == PL_OK);
        CHECK(pl_options_set_text(&options, config, "target_modules", "q_proj,v_proj", &error) == PL_OK);
    }
    pl_memory_request request = {.config = config,
                                 .methods = methods,
                                 .method_count = 1,
                                 .format = format,
                                 .optimizer = PL_OPTIMIZER_ADAMW,
                                 .batch = 1,
                                 .seq = 2048,
                                 .checkpointing = checkpointing};
    CHECK_MSG(pl_account_memory(&memory, &request, &result, &error) == PL_OK, "%s", error.message);
    CHECK_INT(memory.bytes, 0);
    return result;
}

/* Equal to the digit shown. */
static void shown(const char *what, const char *shape, double bytes, double want, double digit) {
    CHECK_MSG(fabs(bytes / 1e9 - want) <= digit / 2 * 1.0001, "%s of %s: %.4f GB, expected %.2f", what, shape,
              bytes / 1e9, want);
}

TEST(weights) {
    static const double f32[3] = {4.4, 27.0, 275.9}, bf16[3] = {2.2, 13.5, 138.0},
                        nf4[3] = {0.76, 3.87, 36.4};
    static const double nf4_digit[3] = {0.01, 0.01, 0.1};
    for (int i = 0; i < 3; i++) {
        shown("f32 weights", SHAPES[i], estimate(SHAPES[i], "lora", PL_FORMAT_F32, false).base_weights,
              f32[i], 0.1);
        shown("bf16 weights", SHAPES[i], estimate(SHAPES[i], "lora", PL_FORMAT_BF16, false).base_weights,
              bf16[i], 0.1);
        shown("nf4 weights", SHAPES[i], estimate(SHAPES[i], "lora", PL_FORMAT_NF4, false).base_weights,
              nf4[i], nf4_digit[i]);
    }
    shown("int8 weights", SHAPES[1], estimate(SHAPES[1], "lora", PL_FORMAT_INT8, false).base_weights, 7.0,
          0.1);
}

TEST(full_fine_tuning) {
    static const double states[3] = {17.6, 107.8, 1103.6}, kept[3] = {3.18, 10.1, 54.4},
                        kept_ck[3] = {0.33, 0.85, 3.4};
    static const double total[3] = {21.3, 118.4, 1158.5}, total_ck[3] = {18.5, 109.2, 1107.5};
    static const double digit[3] = {0.01, 0.1, 0.1}, digit_ck[3] = {0.01, 0.01, 0.1};
    for (int i = 0; i < 3; i++) {
        pl_memory_estimate e = estimate(SHAPES[i], "full", PL_FORMAT_BF16, false),
                           ck = estimate(SHAPES[i], "full", PL_FORMAT_BF16, true);
        shown("states", SHAPES[i], e.states, states[i], 0.1);
        shown("states in f32", SHAPES[i], estimate(SHAPES[i], "full", PL_FORMAT_F32, true).states, states[i],
              0.1);
        shown("activations", SHAPES[i], e.activations, kept[i], digit[i]);
        shown("checkpointed activations", SHAPES[i], ck.activations, kept_ck[i], digit_ck[i]);
        shown("full total", SHAPES[i], e.training, total[i], 0.1);
        shown("full total with checkpointing", SHAPES[i], ck.training, total_ck[i], 0.1);
    }
}

TEST(lora_and_qlora) {
    static const double lora[3] = {5.2, 22.2, 181.0}, lora_ck[3] = {3.1, 14.9, 142.1},
                        qlora[3] = {3.8, 12.5, 79.4};
    static const double qlora_ck[3] = {1.6, 5.3, 40.5}, saving_ck[3] = {5.9, 7.3, 7.8},
                        saving[3] = {4.1, 5.3, 6.4};
    for (int i = 0; i < 3; i++) {
        double full = estimate(SHAPES[i], "full", PL_FORMAT_BF16, false).training;
        double full_ck = estimate(SHAPES[i], "full", PL_FORMAT_BF16, true).training;
        double plain = estimate(SHAPES[i], "lora", PL_FORMAT_BF16, false).training;
        double plain_ck = estimate(SHAPES[i], "lora", PL_FORMAT_BF16, true).training;
        shown("LoRA", SHAPES[i], plain, lora[i], 0.1);
        shown("LoRA with checkpointing", SHAPES[i], plain_ck, lora_ck[i], 0.1);
        shown("QLoRA", SHAPES[i], estimate(SHAPES[i], "lora", PL_FORMAT_NF4, false).training, qlora[i], 0.1);
        shown("QLoRA with checkpointing", SHAPES[i],
              estimate(SHAPES[i], "lora", PL_FORMAT_NF4, true).training, qlora_ck[i], 0.1);
        /* The table divides figures that are already rounded to two digits. */
        CHECK_NEAR(full_ck / plain_ck / saving_ck[i], 1, 0.02);
        CHECK_NEAR(full / plain / saving[i], 1, 0.02);
    }
}

TEST(key_value_cache) {
    pl_memory_estimate e = estimate("llama-2-7b", "lora", PL_FORMAT_BF16, false);
    CHECK_NEAR(e.kv_cache / 2048, 512 * 1024, 0); /* 512 KiB per token */
    pl_memory_estimate prompt = estimate("llama-2-7b", "prompt", PL_FORMAT_BF16, false);
    CHECK_NEAR(prompt.kv_cache - e.kv_cache, 10.0 * 1024 * 1024, 0); /* 20 virtual tokens: 10 MiB */
    CHECK_NEAR(prompt.inference, prompt.base_weights + 81920 * 2 + prompt.kv_cache, 1);
}

/* More positions, and no inputs of frozen maps: each part moves the way it should. */
TEST(parts_follow_the_method) {
    pl_memory_estimate prompt = estimate("llama-2-7b", "prompt", PL_FORMAT_BF16, false);
    pl_memory_estimate lora = estimate("llama-2-7b", "lora", PL_FORMAT_BF16, false);
    pl_memory_estimate norms = estimate("llama-2-7b", "norms", PL_FORMAT_BF16, false);
    CHECK(prompt.counts.trainable < lora.counts.trainable && prompt.optimizer < lora.optimizer);
    CHECK_NEAR(prompt.logits / lora.logits, (2048.0 + 20) / 2048, 1e-9);
    CHECK(prompt.activations < lora.activations);  /* no normed input of q and v is needed */
    CHECK_NEAR(norms.optimizer, 266240.0 * 12, 0); /* moments and a master copy */
    CHECK_NEAR(norms.module_weights, 0, 0);
    CHECK(lora.assumptions.count >= 5);
}

TEST(refusals) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_memory_estimate result;
    pl_options options;
    const pl_config *config = &pl_shape_find("llama-2-7b")->config;
    const pl_options *methods[] = {&options};
    pl_options_default(pl_method_find("full"), config, &options);
    pl_memory_request request = {.config = config,
                                 .methods = methods,
                                 .method_count = 1,
                                 .format = PL_FORMAT_NF4,
                                 .batch = 1,
                                 .seq = 2048};
    CHECK_INT(pl_account_memory(&memory, &request, &result, &error), PL_ERR_UNSUPPORTED);
    CHECK(strstr(error.message, "QLoRA") != NULL);
    request.format = PL_FORMAT_BF16;
    request.batch = 0;
    CHECK_INT(pl_account_memory(&memory, &request, &result, &error), PL_ERR_RANGE);
    request.batch = 60000;
    request.seq = 1 << 20;
    CHECK_INT(pl_account_memory(&memory, &request, &result, &error), PL_ERR_RANGE);
    CHECK_INT(memory.bytes, 0);
}

/* The printed figures are those of the label's round number ("7B") under the row's assumptions, and these are what the estimate takes. */
TEST(chapter_scaling_table) {
    CHECK_INT(PL_CHAPTER_MEMORY_COUNT, 3);
    for (int32_t i = 0; i < PL_CHAPTER_MEMORY_COUNT; i++) {
        const pl_chapter_memory *row = &PL_CHAPTER_MEMORY[i];
        const pl_config *config = &pl_shape_find(row->shape)->config;
        double parameters = 1e9 * strtod(row->label, NULL);
        double lora = parameters * pl_format_bytes(row->lora_format);
        pl_memory memory = {0};
        pl_error error = {0};
        pl_memory_estimate e;
        pl_options options;
        const pl_options *methods[] = {&options};
        CHECK(pl_settings_options("lora", PL_CHAPTER_METHODS[2].settings, config, &options, &error) == PL_OK);
        pl_memory_request request = {
            .config = config, .methods = methods, .method_count = 1, .batch = 1, .seq = 2048};
        CHECK(pl_account_memory_chapter(&memory, &request, &e, &error) == PL_OK);
        CHECK(e.format == row->lora_format);
        CHECK(row->lora_activations == (e.activations > 0));
        lora += e.module_weights + e.gradients + e.optimizer + e.activations;
        CHECK_NEAR(4.0 * parameters, row->full_value, 0);
        CHECK_NEAR(round(lora / 1e9), row->lora_value / 1e9, 0);
        CHECK(strlen(row->explanation) > 40);
    }
}

TEST(chapter_assumptions_for_any_request) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_memory_estimate e;
    pl_options full, lora;
    const pl_config *config = &pl_shape_find("llama-2-7b")->config;
    const pl_options *full_only[] = {&full}, *lora_only[] = {&lora};
    pl_options_default(pl_method_find("full"), config, &full);
    CHECK(pl_settings_options("lora", PL_CHAPTER_METHODS[2].settings, config, &lora, &error) == PL_OK);
    pl_memory_request request = {
        .config = config, .methods = full_only, .method_count = 1, .batch = 1, .seq = 2048};
    CHECK(pl_account_memory_chapter(&memory, &request, &e, &error) == PL_OK);
    CHECK_NEAR(e.training, 4.0 * 6738415616.0, 1);
    CHECK(e.format == PL_FORMAT_F32);
    request.methods = lora_only;
    CHECK(pl_account_memory_chapter(&memory, &request, &e, &error) == PL_OK);
    shown("chapter's LoRA", "llama-2-7b", e.training, 7.9, 0.1);
    CHECK(e.assumptions.count == 2 && strstr(e.assumptions.text[0], "int8") != NULL);
    CHECK(e.format == PL_FORMAT_INT8);
}

TEST(names) {
    pl_format format;
    pl_optimizer optimizer;
    for (int i = 0; i < PL_FORMAT_COUNT; i++)
        CHECK(pl_format_find(pl_format_name((pl_format)i), &format) && (int)format == i);
    CHECK(pl_format_find("fp32", &format) && format == PL_FORMAT_F32);
    CHECK(pl_format_find("bfloat16", &format) && format == PL_FORMAT_BF16);
    CHECK(!pl_format_find("fp64", &format) && !pl_format_find("", &format) && !pl_format_find(" ", &format));
    for (int i = 0; i < PL_OPTIMIZER_COUNT; i++)
        CHECK(pl_optimizer_find(pl_optimizer_name((pl_optimizer)i), &optimizer) && (int)optimizer == i);
    CHECK(!pl_optimizer_find("lion", &optimizer));
}
