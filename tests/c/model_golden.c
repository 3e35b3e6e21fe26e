#include "model_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *golden_file(pl_memory *memory, const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *bytes = pl_memory_alloc(memory, (size_t)length + 1, 1);
    *size = bytes ? fread(bytes, 1, (size_t)length, file) : 0;
    fclose(file);
    return bytes && *size == (size_t)length ? bytes : NULL;
}

static void demand(bool ok, const char *what, const char *detail) {
    if (ok)
        return;
    fprintf(stderr, "fixture: %s: %s\n", what, detail);
    abort();
}

static char *file_in(pl_memory *memory, const char *folder, const char *name, size_t *size) {
    char path[512];
    (void)snprintf(path, sizeof path, "tests/golden/%s/%s", folder, name);
    char *bytes = golden_file(memory, path, size);
    demand(bytes != NULL, "cannot be read", path);
    return bytes;
}

static pl_json *json_in(pl_memory *memory, const char *folder, const char *name) {
    size_t size;
    pl_error error;
    pl_json *root = NULL;
    const char *text = file_in(memory, folder, name, &size);
    demand(pl_json_parse(text, size, name, &root, &error) == PL_OK, folder, name);
    return root;
}

static int32_t whole(const pl_json *object, const char *key, int32_t otherwise) {
    const pl_json *node = pl_json_get(object, key);
    return pl_json_is_number(node) ? (int32_t)pl_json_number(node) : otherwise;
}

static double number(const pl_json *object, const char *key) {
    return pl_json_number(pl_json_get(object, key));
}

/* Both spellings: rope_parameters of transformers 5 and rope_theta beside rope_scaling of 4. */
static void read_rope(const pl_json *root, pl_config *config) {
    const pl_json *rope = pl_json_get(root, "rope_parameters");
    config->rope_theta = number(rope ? rope : root, "rope_theta");
    const char *kind = pl_json_string(pl_json_get(rope, "rope_type"));
    if (!kind || strcmp(kind, "llama3") != 0)
        return;
    config->rope_kind = PL_ROPE_LLAMA3;
    config->rope_factor = number(rope, "factor");
    config->rope_low_freq_factor = number(rope, "low_freq_factor");
    config->rope_high_freq_factor = number(rope, "high_freq_factor");
    config->rope_original_positions = whole(rope, "original_max_position_embeddings", 0);
}

static pl_config read_config(const pl_json *root) {
    pl_config config = {.vocab_size = whole(root, "vocab_size", 0),
                        .hidden_size = whole(root, "hidden_size", 0),
                        .intermediate_size = whole(root, "intermediate_size", 0),
                        .num_hidden_layers = whole(root, "num_hidden_layers", 0),
                        .num_attention_heads = whole(root, "num_attention_heads", 1),
                        .max_position_embeddings = whole(root, "max_position_embeddings", 0),
                        .tie_word_embeddings = pl_json_bool(pl_json_get(root, "tie_word_embeddings")),
                        .rms_norm_eps = number(root, "rms_norm_eps"),
                        .bos_token_id = 1,
                        .eos_token_id = 2};
    config.num_key_value_heads = whole(root, "num_key_value_heads", config.num_attention_heads);
    config.head_dim = whole(root, "head_dim", config.hidden_size / config.num_attention_heads);
    read_rope(root, &config);
    return config;
}

static void read_weights(golden *g, const char *folder) {
    size_t size;
    pl_error error;
    pl_safetensors file;
    const char *bytes = file_in(g->memory, folder, "model.safetensors", &size);
    demand(pl_safetensors_open(g->memory, (const uint8_t *)bytes, size, "weights", &file, &error) == PL_OK,
           folder, "weights");
    for (int32_t i = 0; i < g->model->layout.count; i++) {
        const pl_tensor *tensor = &g->model->layout.tensors[i];
        const pl_file_tensor *found = pl_safetensors_find(&file, tensor->name);
        demand(found && found->elements == tensor->rows * tensor->cols, folder, tensor->name);
        demand(pl_safetensors_read(found, "weights", g->model->values + tensor->offset, &error) == PL_OK,
               folder, tensor->name);
    }
    pl_safetensors_close(&file);
    pl_model_pack(g->model);
}

/* Row t predicts labels[t + 1]; the first token of a sequence is never a target. */
static void read_batch(golden *g) {
    helper_batch *b = &g->batch;
    const pl_json *tokens = pl_json_first(pl_json_get(g->expected, "tokens"));
    const pl_json *labels = pl_json_first(pl_json_get(g->expected, "labels"));
    int32_t row = 0, count = 0;
    for (; tokens; tokens = pl_json_next(tokens), labels = pl_json_next(labels)) {
        b->starts[count++] = row;
        const pl_json *label = pl_json_next(pl_json_first(labels));
        for (const pl_json *token = pl_json_first(tokens); token; token = pl_json_next(token), row++) {
            demand(row < 256 && count < 9, "too large", "batch");
            bool labelled = label && pl_json_number(label) >= 0;
            b->tokens[row] = (int32_t)pl_json_number(token);
            b->targets[row] = labelled ? (int32_t)pl_json_number(label) : PL_IGNORE;
            b->labels += labelled;
            label = label ? pl_json_next(label) : NULL;
        }
    }
    b->starts[count] = row;
    b->batch = (pl_batch){.seq_count = count,
                          .row_count = row,
                          .seq_start = b->starts,
                          .tokens = b->tokens,
                          .targets = b->targets};
}

void golden_open(golden *out, pl_memory *memory, const char *name) {
    size_t size;
    pl_error error;
    char folder[256];
    *out = (golden){.memory = memory, .expected = json_in(memory, name, "expected.json")};
    const char *bytes = file_in(memory, name, "expected.safetensors", &size);
    demand(pl_safetensors_open(memory, (const uint8_t *)bytes, size, "expected", &out->values, &error) ==
               PL_OK,
           name, "expected.safetensors");
    (void)snprintf(folder, sizeof folder, "%s/%s", name, pl_json_string(pl_json_get(out->expected, "model")));
    pl_json *root = json_in(memory, folder, "config.json");
    pl_config config = read_config(root);
    pl_json_free(root);
    demand(pl_model_create(memory, &config, &out->model, &error) == PL_OK, name, error.message);
    read_weights(out, folder);
    read_batch(out);
}

void golden_close(golden *g) {
    pl_json_free(g->expected);
    pl_memory_free_all(g->memory);
}

real *golden_values(const golden *g, const char *name, int64_t *count) {
    pl_error error;
    const pl_file_tensor *tensor = pl_safetensors_find(&g->values, name);
    if (!tensor)
        return NULL;
    real *values = pl_memory_alloc(g->memory, (size_t)tensor->elements, sizeof(real));
    demand(values && pl_safetensors_read(tensor, "expected", values, &error) == PL_OK, "cannot read", name);
    *count = tensor->elements;
    return values;
}
