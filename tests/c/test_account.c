/* Parameters, file sizes and FLOPs of well-known shapes against peft's own counters and published file sizes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/account.h"
#include "harness.h"
#include "io/json.h"

static pl_options options_of(const pl_config *config, const char *method, const char *settings) {
    pl_options options;
    pl_error error = {0};
    CHECK_MSG(pl_settings_options(method, settings, config, &options, &error) == PL_OK, "%s", error.message);
    return options;
}

static pl_counts count_of(const char *shape, const char *method, const char *settings) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_counts counts = {0};
    const pl_shape *found = pl_shape_find(shape);
    if (!CHECK_MSG(found != NULL, "no shape %s", shape))
        return counts;
    pl_options options = options_of(&found->config, method, settings);
    const pl_options *methods[] = {&options};
    CHECK_MSG(pl_account_count(&memory, &found->config, methods, 1, &counts, NULL, &error) == PL_OK, "%s",
              error.message);
    CHECK_INT(memory.bytes, 0);
    return counts;
}

#define QV "target_modules=q_proj,v_proj"
#define QKVO "target_modules=q_proj,k_proj,v_proj,o_proj"
#define MLP "target_modules=gate_proj,up_proj,down_proj"
#define ALL "target_modules=all-linear"

/* Rows of tests/golden/counts.json (peft's get_nb_trainable_parameters) and how they are spelled here. */
static const struct {
    const char *row, *method, *settings;
} ROWS[] = {
    {"lora-r4-qv", "lora", "rank=4;" QV},
    {"lora-r8-qv", "lora", "rank=8;" QV},
    {"lora-r16-qv", "lora", "rank=16;" QV},
    {"lora-r32-qv", "lora", "rank=32;" QV},
    {"lora-r64-qv", "lora", "rank=64;" QV},
    {"lora-r8-qkvo", "lora", "rank=8;" QKVO},
    {"lora-r8-all", "lora", "rank=8;" ALL},
    {"lora-r16-all", "lora", "rank=16;" ALL},
    {"lora-r64-all", "lora", "rank=64;" ALL},
    {"lora-r10-mlp", "lora", "rank=10;" MLP},
    {"dora-r8-qv", "lora", "rank=8;use_dora=true;" QV},
    {"dora-r32-qv", "lora", "rank=32;use_dora=true;" QV},
    {"dora-r8-all", "lora", "rank=8;use_dora=true;" ALL},
    {"prompt-20", "prompt", "num_virtual_tokens=20"},
    {"prompt-200", "prompt", "num_virtual_tokens=200"},
    {"prefix-10", "prefix", "num_virtual_tokens=10"},
    {"prefix-200", "prefix", "num_virtual_tokens=200"},
    {"prefix-10-projection", "prefix", "num_virtual_tokens=10;prefix_projection=true"},
    {"ia3", "ia3", ""},
    {"norms", "norms", ""},
    {"full", "full", ""},
    {"seq_bn-64", "adapter", "variant=pfeiffer;bottleneck_size=64"},
    {"double_seq_bn-64", "adapter", "variant=houlsby;bottleneck_size=64"},
    {"per_linear-64", "adapter", "variant=per_linear;bottleneck_size=64"},
    {"seq_bn-rf16", "adapter", "variant=pfeiffer;bottleneck_size=0;reduction_factor=16"},
    {"double_seq_bn-rf16", "adapter", "variant=houlsby;bottleneck_size=0;reduction_factor=16"},
    {"par_bn-rf2", "adapter", "variant=parallel;bottleneck_size=0;reduction_factor=2"},
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

static pl_json *counts_file(void) {
    FILE *file = fopen("tests/golden/counts.json", "rb");
    static char text[1 << 16];
    pl_json *root = NULL;
    pl_error error = {0};
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (file)
        fclose(file);
    CHECK_MSG(pl_json_parse(text, size, "counts.json", &root, &error) == PL_OK, "%s", error.message);
    return root;
}

TEST(trainable_parameters_of_peft) {
    pl_json *root = counts_file();
    int32_t checked = 0;
    for (const pl_json *shape = pl_json_first(pl_json_get(root, "trainable")); shape;
         shape = pl_json_next(shape)) {
        const char *name = pl_json_key(shape);
        for (int i = 0; i < ROW_COUNT; i++) {
            pl_counts counts = count_of(name, ROWS[i].method, ROWS[i].settings);
            double want = pl_json_number(pl_json_get(shape, ROWS[i].row));
            CHECK_MSG((double)counts.trainable == want, "%s %s: %lld, peft counts %.0f", name, ROWS[i].row,
                      (long long)counts.trainable, want);
            CHECK_INT(counts.base, pl_json_number(pl_json_get(pl_json_get(root, "total"), name)));
            checked++;
        }
        CHECK_INT(pl_json_size(shape), ROW_COUNT);
    }
    CHECK_INT(checked, 9 * ROW_COUNT);
    pl_json_free(root);
}

/* Counts worked out by hand, and totals published with the models. */
TEST(known_totals) {
    CHECK_INT(count_of("smollm2-135m", "prompt", "").base, 134515008);
    CHECK_INT(count_of("smollm2-360m", "prompt", "").base, 361821120);
    CHECK_INT(count_of("smollm2-1.7b", "prompt", "").base, 1711376384);
    CHECK_INT(count_of("llama-3.1-405b", "prompt", "").base, 405853388800);
    CHECK_INT(count_of("Llama-2-7B", "prompt", "").base, 6738415616);
    CHECK(pl_shape_find("llama-2-8b") == NULL);
}

TEST(chapter_figures) {
    pl_counts prompt = count_of("llama-2-7b", "prompt", "num_virtual_tokens=20");
    CHECK_NEAR(prompt.percent, 0.00122, 0.000005);
    CHECK_INT(pl_account_file_data(&prompt, PL_FORMAT_F32), 327680);
    CHECK_INT(prompt.virtual_tokens, 20);
    CHECK_NEAR(count_of("llama-2-7b", "prefix", "num_virtual_tokens=10").percent, 0.0389, 0.00005);
    CHECK_NEAR(count_of("llama-2-7b", "lora", "rank=8;" QV).percent, 0.0622, 0.00005);
    CHECK_INT(count_of("llama-3.1-8b", "prefix", "num_virtual_tokens=10").trainable, 655360);
    CHECK_INT(count_of("llama-3.1-8b", "lora", "rank=8;" QV).trainable, 3407872);
    /* AdapterHub's default prefix: 30 rows, hidden width 512 */
    CHECK_INT(count_of("llama-2-7b", "prefix",
                       "num_virtual_tokens=30;prefix_projection=true;encoder_hidden_size=512")
                  .trainable,
              136700416);
    pl_counts projected = count_of("llama-2-7b", "prefix", "num_virtual_tokens=10;prefix_projection=true");
    CHECK_INT(projected.trainable, 1090826240);
    CHECK_INT(projected.stored, 2621440);
    pl_counts full = count_of("llama-2-7b", "full", "");
    CHECK_INT(full.replaced, full.base);
    CHECK_INT(full.replaced_linear, full.base_linear);
    CHECK_NEAR(full.percent, 100, 0);
}

TEST(chapter_rows) {
    const pl_shape *shape = pl_shape_find("llama-2-7b");
    CHECK_INT(PL_CHAPTER_METHOD_COUNT, 5);
    for (int32_t i = 0; i < PL_CHAPTER_METHOD_COUNT; i++) {
        const pl_chapter_method *row = &PL_CHAPTER_METHODS[i];
        pl_memory memory = {0};
        pl_error error = {0};
        pl_options options;
        pl_counts counts;
        const pl_options *methods[] = {&options};
        CHECK_MSG(pl_settings_options(row->method, row->settings, &shape->config, &options, &error) == PL_OK,
                  "%s", error.message);
        CHECK(pl_account_count(&memory, &shape->config, methods, 1, &counts, NULL, &error) == PL_OK);
        double bytes = (double)pl_account_file_data(&counts, PL_FORMAT_F32);
        /* The chapter rounds to one or two digits: within 10 %. */
        CHECK_NEAR((double)counts.trainable / row->params_value, 1, 0.1);
        CHECK_NEAR(bytes / row->storage_value, 1, 0.1);
        CHECK(strlen(row->explanation) > 40);
    }
}

TEST(several_methods_add_up) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_counts counts;
    pl_sentences said;
    const pl_config *config = &pl_shape_find("llama-3.2-3b")->config;
    pl_options lora = options_of(config, "lora", "rank=8;" QV),
               prompt = options_of(config, "prompt", "num_virtual_tokens=20");
    pl_options prefix = options_of(config, "prefix", "num_virtual_tokens=7");
    const pl_options *methods[] = {&lora, &prompt, &prefix};
    CHECK(pl_account_count(&memory, config, methods, 3, &counts, &said, &error) == PL_OK);
    int64_t parts = count_of("llama-3.2-3b", "lora", "rank=8;" QV).trainable + 20 * 3072 + 7 * 28 * 2 * 1024;
    CHECK_INT(counts.trainable, parts);
    CHECK_INT(counts.virtual_tokens, 20);
    CHECK_INT(counts.memory_tokens, 7);
    CHECK(said.count >= 3);
    CHECK(pl_account_count(&memory, config, methods, 0, &counts, &said, &error) == PL_OK);
    CHECK_INT(counts.trainable, 0);
}

/* ---- FLOPs ---- */

static double extra_percent(const char *method, const char *settings) {
    const pl_config *config = &pl_shape_find("llama-2-7b")->config;
    pl_options options = options_of(config, method, settings);
    const pl_options *methods[] = {&options};
    pl_flops flops;
    pl_account_flops(config, methods, 1, 0, &flops);
    CHECK_NEAR(flops.base / 1e9, 13.21, 0.005);
    return flops.extra_percent;
}

TEST(inference_overhead) {
    CHECK_NEAR(extra_percent("lora", "rank=8;" QV), 0.063, 0.0006);
    CHECK_NEAR(extra_percent("adapter", "variant=pfeiffer;bottleneck_size=64"), 0.25, 0.005);
    CHECK_NEAR(extra_percent("adapter", "variant=houlsby;bottleneck_size=64"), 0.51, 0.005);
    CHECK_NEAR(extra_percent("adapter", "variant=per_linear;bottleneck_size=64"), 0.76, 0.005);
    CHECK_NEAR(extra_percent("full", ""), 0, 0);
    /* 10 rows: 4 * 10 * 4096 * 32 FLOPs */
    CHECK_NEAR(extra_percent("prefix", "num_virtual_tokens=10"), 100 * 4 * 10 * 4096.0 * 32 / 13214154752.0,
               1e-6);
    /* A prompt also has to be computed once per sequence: at 20 rows and 20 tokens it doubles the work. */
    const pl_config *config = &pl_shape_find("llama-2-7b")->config;
    pl_options options = options_of(config, "prompt", "num_virtual_tokens=20");
    const pl_options *methods[] = {&options};
    pl_flops flops;
    pl_account_flops(config, methods, 1, 20, &flops);
    CHECK_NEAR(flops.extra / flops.base, 0.98, 0.02);
}

/* ---- file sizes ---- */

static int64_t file_size(const pl_config *config, const char *method, const char *settings,
                         const char *name) {
    pl_memory memory = {0};
    pl_error error = {0};
    int64_t bytes = 0;
    pl_options options = options_of(config, method, settings);
    CHECK_MSG(pl_account_file_size(&memory, config, &options, name, PL_FORMAT_F32, &bytes, &error) == PL_OK,
              "%s", error.message);
    CHECK_INT(memory.bytes, 0);
    return bytes;
}

/* Files of peft's method comparison. */
TEST(published_file_sizes) {
    const pl_config *config = &pl_shape_find("llama-3.2-3b")->config;
    CHECK_INT(file_size(config, "lora", "rank=32;" QV, "default"), 36715216);
    CHECK_INT(file_size(config, "prompt", "num_virtual_tokens=200", "default"), 2457728);
    CHECK_INT(file_size(config, "prefix", "num_virtual_tokens=200", "default"), 45875328);
    CHECK_INT(file_size(config, "prefix", "num_virtual_tokens=200;prefix_projection=true", "default"),
              45875328);
}

static int64_t size_on_disk(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    fseek(file, 0, SEEK_END);
    int64_t size = ftell(file);
    fclose(file);
    return size;
}

/* The files that peft and adapters wrote for our fixtures. */
TEST(fixture_file_sizes) {
    pl_config mha = {.vocab_size = 64,
                     .hidden_size = 32,
                     .intermediate_size = 48,
                     .num_hidden_layers = 2,
                     .num_attention_heads = 4,
                     .num_key_value_heads = 4,
                     .head_dim = 8,
                     .max_position_embeddings = 64,
                     .tie_word_embeddings = true,
                     .rms_norm_eps = 1e-5,
                     .rope_theta = 1e4,
                     .bos_token_id = 1,
                     .eos_token_id = 2};
    pl_config gqa = mha;
    gqa.vocab_size = 101, gqa.hidden_size = 40, gqa.intermediate_size = 72, gqa.num_hidden_layers = 3;
    gqa.num_attention_heads = 5, gqa.num_key_value_heads = 1, gqa.tie_word_embeddings = false;
    static const struct {
        const char *path;
        bool gqa;
        const char *method, *settings, *name;
    } files[] = {
        {"double-seq-bn-gqa-odd/adapter/adapter.safetensors", true, "adapter",
         "variant=houlsby;bottleneck_size=5", "bn"},
        {"seq-bn-mha-tied/adapter/adapter.safetensors", false, "adapter",
         "variant=pfeiffer;bottleneck_size=8", "bn"},
        {"seq-bn-stack-gqa-odd/bn2/adapter.safetensors", true, "adapter",
         "variant=pfeiffer;bottleneck_size=5", "bn2"},
        {"scaled-par-bn-gqa-odd/adapter/adapter.safetensors", true, "adapter",
         "variant=parallel;bottleneck_size=10;learned_scale=true", "bn"},
        {"per-linear-gqa-odd/adapter/adapter_model.safetensors", true, "adapter",
         "variant=per_linear;bottleneck_size=5", "default"},
        {"prompt-random-gqa-odd/adapter/adapter_model.safetensors", true, "prompt", "num_virtual_tokens=3",
         "default"},
        {"prefix-projection-gqa-odd/adapter/adapter_model.safetensors", true, "prefix",
         "num_virtual_tokens=4;prefix_projection=true;encoder_hidden_size=11", "default"},
        {"norms-gqa-odd/adapter/adapter_model.safetensors", true, "norms", "", "default"},
        {"ia3-gqa-odd/adapter/adapter_model.safetensors", true, "ia3", "", "default"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "tests/golden/%s", files[i].path);
        int64_t want = size_on_disk(path), got = file_size(files[i].gqa ? &gqa : &mha, files[i].method,
                                                           files[i].settings, files[i].name);
        CHECK_MSG(got == want, "%s: %lld bytes computed, %lld on disk", files[i].path, (long long)got,
                  (long long)want);
    }
}

TEST(refusals) {
    pl_memory memory = {0};
    pl_error error = {0};
    pl_counts counts;
    int64_t bytes;
    pl_config config = pl_shape_find("llama-2-7b")->config;
    pl_options options = options_of(&config, "prompt", "num_virtual_tokens=20");
    const pl_options *methods[] = {&options};
    CHECK_INT(pl_account_file_size(&memory, &config, &options, "a", PL_FORMAT_NF4, &bytes, &error),
              PL_ERR_UNSUPPORTED);
    config.max_position_embeddings = 16;
    CHECK_INT(pl_account_count(&memory, &config, methods, 1, &counts, NULL, &error), PL_ERR_RANGE);
    CHECK(strstr(error.message, "20") != NULL);
    config.num_attention_heads = 0;
    CHECK(pl_account_count(&memory, &config, methods, 1, &counts, NULL, &error) != PL_OK);
    CHECK_INT(memory.bytes, 0);
}
