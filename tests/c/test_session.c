/* build: both
 * The session through its public header, under the sanitizers: load, train, merge, save, restore, generate; wrong requests; every refused
 * allocation. What the numbers are is the business of the golden tests in Node; here nothing may leak, overflow or be lost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "session/internal.h"
#include "session/peftlab.h"

static const char *const FOLDER = "tests/golden/models/gqa-odd";
static const char *const METHODS[] = {"lora", "prompt", "prefix", "adapter", "ia3", "norms", "full"};
enum { METHOD_COUNT = sizeof METHODS / sizeof METHODS[0] };

static uint8_t *read_file(const char *name, int32_t *size) {
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", FOLDER, name);
    FILE *file = fopen(path, "rb");
    if (!CHECK(file != NULL))
        return NULL;
    (void)fseek(file, 0, SEEK_END);
    *size = (int32_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)*size);
    size_t got = fread(bytes, 1, (size_t)*size, file);
    (void)fclose(file);
    CHECK_INT((long long)got, *size);
    return bytes;
}

static int32_t ask(int32_t (*call)(pl_session *, const char *, int32_t), pl_session *s, const char *json) {
    return call(s, json, (int32_t)strlen(json));
}

static int32_t load_config(pl_session *s, const char *config, int32_t config_size) {
    int32_t weights_size = 0;
    uint8_t *weights = read_file("model.safetensors", &weights_size);
    int32_t status = pl_model_begin(s, config, config_size);
    if (status == 0)
        status = pl_model_weights(s, weights, weights_size);
    if (status == 0)
        status = pl_model_commit(s);
    free(weights);
    return status;
}

static int32_t load(pl_session *s) {
    int32_t size = 0;
    uint8_t *config = read_file("config.json", &size);
    int32_t status = load_config(s, (const char *)config, size);
    free(config);
    return status;
}

/* The model with other end tokens in its config.json, and a token to pad with. */
static int32_t load_with_ends(pl_session *s, const char *ends) {
    static const char *const old = "\"eos_token_id\": 2,", *const none = "\"pad_token_id\": null,";
    int32_t size = 0;
    char *config = (char *)read_file("config.json", &size);
    char *changed = calloc(1, (size_t)size + 200);
    char *eos = strstr(config, old), *pad = strstr(config, none);
    int32_t status = -1;
    if (CHECK(eos != NULL && pad > eos)) {
        (void)sprintf(changed, "%.*s\"eos_token_id\": %s, \"pad_token_id\": 3,%.*s%.*s", (int)(eos - config),
                      config, ends, (int)(pad - eos - (long)strlen(old)), eos + strlen(old),
                      (int)(config + size - pad - (long)strlen(none)), pad + strlen(none));
        status = load_config(s, changed, (int32_t)strlen(changed));
    }
    free(config);
    free(changed);
    return status;
}

static int32_t add_data(pl_session *s) {
    int32_t status = pl_data_begin(s, "train", 0);
    for (int32_t i = 0; i < 10 && status == 0; i++) {
        int32_t tokens[9];
        for (int32_t t = 0; t < 9; t++)
            tokens[t] = (7 * i + 13 * t * t) % 101;
        status = pl_data_add_tokens(s, "train", tokens, 5 + i % 5, 2, 10);
    }
    return status;
}

static int32_t add_module(pl_session *s, const char *method) {
    char json[100];
    (void)snprintf(json, sizeof json, "{\"method\":\"%s\"}", method);
    return ask(pl_module_add, s, json);
}

static int32_t train(pl_session *s, int32_t steps) {
    int32_t status =
        ask(pl_train_begin, s, "{\"steps\":6,\"batch_size\":4,\"shards\":2,\"lr\":0.01,\"warmup_steps\":1}");
    for (int32_t i = 0; i < steps && status == 0; i++)
        status = pl_train_step(s);
    return status;
}

static pl_session *ready(const char *method) {
    pl_session *s = pl_session_new();
    CHECK_INT(load(s), 0);
    CHECK_INT(add_data(s), 0);
    CHECK_INT(add_module(s, method), 0);
    return s;
}

/* A copy of the result, ended with a 0. */
static char *result(const pl_session *s, int32_t *size) {
    *size = pl_result_size(s);
    char *copy = malloc((size_t)*size + 1);
    memcpy(copy, pl_result(s), (size_t)*size);
    copy[*size] = 0;
    return copy;
}

TEST(every_method_trains_describes_and_generates) {
    for (int32_t m = 0; m < METHOD_COUNT; m++) {
        pl_session *s = ready(METHODS[m]);
        CHECK_INT(train(s, 6), 0);
        CHECK(strstr((const char *)pl_result(s), "\"step\":6") != NULL);
        CHECK(pl_train_step(s) != 0); /* the run is over, and says so */
        CHECK(strstr(pl_last_error(s), "begin a new run") != NULL);
        CHECK_INT(pl_train_end(s), 0);
        CHECK_INT(pl_data_loss(s, "train", 0, 10), 0);
        CHECK_INT(pl_describe(s), 0);
        const int32_t tokens[] = {1, 2, 3};
        CHECK_INT(pl_generate_begin(s, tokens, 3, "{\"max_new_tokens\":5,\"stop_at_eos\":false}", 40), 0);
        int32_t made = 0;
        for (int32_t token = pl_generate_next(s); token >= 0; token = pl_generate_next(s))
            made++;
        CHECK_INT(made, 5);
        pl_session_free(s);
    }
}

TEST(misspelt_options_are_refused_by_name) {
    pl_session *s = ready("lora");
    CHECK(ask(pl_train_begin, s, "{\"steps\":6,\"batchsize\":4}") != 0);
    CHECK(strstr(pl_last_error(s), "\"batchsize\" is unknown; there are steps, batch_size") != NULL);
    CHECK(pl_train_step(s) != 0); /* no run was begun */
    const int32_t tokens[] = {1, 2, 3};
    CHECK(pl_generate_begin(s, tokens, 3, "{\"max_tokens\":5}", 16) != 0);
    CHECK(strstr(pl_last_error(s), "\"max_tokens\" is unknown; there are max_new_tokens") != NULL);
    CHECK_INT(train(s, 6), 0); /* what was loaded stays usable */
    pl_session_free(s);
}

TEST(a_tensor_takes_finite_numbers_only) {
    pl_session *s = ready("ia3");
    const char *name = "model.layers.0.self_attn.k_proj.ia3_l";
    CHECK_INT(pl_module_tensor(s, 1, name), 0);
    int32_t size;
    char *before = result(s, &size);
    uint8_t *values = malloc((size_t)size);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memcpy(values, before, (size_t)size);
        memcpy(values + size - (int32_t)sizeof bad[i], &bad[i], sizeof bad[i]);
        CHECK(pl_module_set_tensor(s, 1, name, values, size) != 0);
        CHECK_STR(pl_last_error_code(s), "numeric");
        CHECK(strstr(pl_last_error(s), name) != NULL);
    }
    CHECK_INT(pl_module_tensor(s, 1, name), 0);
    CHECK(memcmp(pl_result(s), before, (size_t)size) == 0);
    free(values);
    free(before);
    pl_session_free(s);
}

/* Every id that config.json lists ends a text, and all of them are saved again. */
TEST(a_text_ends_at_any_of_the_ends) {
    pl_session *s = pl_session_new();
    CHECK_INT(load_with_ends(s, "[2, 5, 99]"), 0);
    CHECK_INT(pl_model_config(s, "F32"), 0);
    int32_t size;
    char *config = result(s, &size);
    CHECK(strstr(config, "\"eos_token_id\":[2,5,99]") != NULL);
    CHECK(strstr(config, "\"pad_token_id\":3") != NULL);
    free(config);
    int32_t ended = 0, made = 0;
    for (int32_t seed = 1; seed <= 60; seed++) {
        const int32_t token = 1;
        char json[90];
        (void)snprintf(json, sizeof json, "{\"max_new_tokens\":20,\"temperature\":2,\"seed\":%d}", seed);
        CHECK_INT(pl_generate_begin(s, &token, 1, json, (int32_t)strlen(json)), 0);
        int32_t count = 0;
        for (int32_t next = pl_generate_next(s); next >= 0; next = pl_generate_next(s), count++)
            CHECK(next != 2 && next != 5 && next != 99);
        ended += count < 20;
        made += count;
    }
    CHECK_MSG(ended > 0 && made > 100, "%d texts of %d tokens ended", ended, made);
    CHECK(load_with_ends(s, "[2, 101]") != 0); /* outside the vocabulary */
    CHECK(strstr(pl_last_error(s), "eos_token_id") != NULL);
    pl_session_free(s);
}

TEST(adapters_go_out_and_come_back) {
    for (int32_t m = 0; m < METHOD_COUNT - 1; m++) { /* full fine-tuning is a model, not an adapter */
        pl_session *s = ready(METHODS[m]);
        int32_t config_size, weights_size;
        CHECK_INT(pl_module_export_config(s, 1), 0);
        char *config = result(s, &config_size);
        CHECK_INT(pl_module_export_weights(s, 1), 0);
        char *weights = result(s, &weights_size);
        CHECK_INT(pl_module_remove(s, 1), 0);
        CHECK_INT(pl_module_import(s, "back", config, config_size, (const uint8_t *)weights, weights_size),
                  0);
        for (int32_t cut = 0; cut < weights_size;
             cut += weights_size / 7 + 1) /* truncated files are refused */
            CHECK(pl_module_import(s, NULL, config, config_size, (const uint8_t *)weights, cut) != 0);
        for (int32_t cut = 1; cut < config_size; cut += config_size / 7 + 1)
            CHECK(pl_module_import(s, NULL, config, cut, (const uint8_t *)weights, weights_size) != 0);
        free(config);
        free(weights);
        pl_session_free(s);
    }
}

TEST(a_method_without_a_folder_format_is_not_saved_as_another) {
    pl_session *s = ready("ia3");
    pl_method fresh = *pl_method_find("ia3");
    fresh.name = "fresh";
    session_entry(s, 1)->module->method = &fresh;
    CHECK(pl_module_export_config(s, 1) != 0 && pl_module_export_weights(s, 1) != 0);
    CHECK(strstr(pl_last_error(s), "no library has an adapter folder for the method 'fresh'") != NULL);
    pl_session_free(s);
}

static pl_session *sharing(const char *method) {
    pl_session *s = ready(method);
    CHECK_INT(ask(pl_train_begin, s, "{\"steps\":6,\"batch_size\":4,\"shards\":4,\"lr\":0.01}"), 0);
    return s;
}

/* Computes `count` shards; a copy of their bytes, one behind the other. */
static uint8_t *computed(pl_session *s, const int32_t *shards, int32_t count) {
    int32_t size = pl_train_kept_size(s);
    uint8_t *bytes = malloc((size_t)size * (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        CHECK_INT(pl_train_shard(s, shards[i]), 0);
        memcpy(bytes + (size_t)size * (size_t)i, pl_train_kept(s, shards[i]), (size_t)size);
    }
    return bytes;
}

static void check_same_result(const pl_session *a, const pl_session *b) {
    CHECK_INT(pl_result_size(a), pl_result_size(b));
    CHECK_INT(memcmp(pl_result(a), pl_result(b), (size_t)pl_result_size(a)), 0);
}

TEST(a_step_shared_by_two_sessions_is_the_step_of_one) {
    static const int32_t of_a[] = {3, 0}, of_b[] = {1, 2};
    for (int32_t m = 0; m < METHOD_COUNT; m++) {
        pl_session *alone = sharing(METHODS[m]), *a = sharing(METHODS[m]), *b = sharing(METHODS[m]);
        int32_t two = 2 * pl_train_kept_size(a);
        for (int32_t step = 0; step < 3; step++) {
            uint8_t *from_a = computed(a, of_a, 2), *from_b = computed(b, of_b, 2);
            CHECK_INT(pl_train_apply(a, of_b, 2, from_b, two), 0);
            CHECK_INT(pl_train_apply(b, of_a, 2, from_a, two), 0);
            CHECK_INT(pl_train_step(alone), 0);
            check_same_result(alone, a);
            check_same_result(alone, b);
            free(from_a);
            free(from_b);
        }
        CHECK_INT(pl_snapshot(alone), 0);
        CHECK_INT(pl_snapshot(b), 0);
        check_same_result(alone, b);
        pl_session_free(alone);
        pl_session_free(a);
        pl_session_free(b);
    }
}

TEST(a_shared_step_needs_every_shard_and_whole_ones) {
    static const int32_t mine[] = {0, 2}, theirs[] = {1, 3}, outside[] = {1, 4};
    pl_session *s = sharing("lora"), *other = sharing("lora");
    int32_t size = pl_train_kept_size(s);
    uint8_t *bytes = computed(other, theirs, 2);
    free(computed(s, mine, 2));
    CHECK(pl_train_apply(s, theirs, 1, bytes, size) != 0);
    CHECK(strstr(pl_last_error(s), "shard 3 of 4 is missing") != NULL);
    CHECK(pl_train_apply(s, theirs, 2, bytes, 2 * size - 1) != 0);
    CHECK(pl_train_apply(s, theirs, -1, bytes, -size) != 0);
    CHECK(pl_train_apply(s, outside, 2, bytes, 2 * size) != 0);
    CHECK(pl_train_shard(s, 4) != 0);
    CHECK_INT(pl_train_apply(s, theirs, 2, bytes, 2 * size), 0); /* nothing was lost */
    CHECK(strstr((const char *)pl_result(s), "\"step\":1") != NULL);
    CHECK(pl_train_kept(s, 0) == NULL);
    free(computed(s, mine, 2));
    CHECK_INT(pl_train_step(s), 0); /* goes on alone, */
    CHECK(pl_train_kept(s, 0) == NULL);
    CHECK(pl_train_apply(s, theirs, 2, bytes, 2 * size) != 0); /* and what it kept before is of no step */
    CHECK_INT(pl_train_end(s), 0);
    CHECK(pl_train_kept(s, 0) == NULL);
    CHECK_INT(pl_train_kept_size(s), 0);
    CHECK(pl_train_shard(s, 0) != 0);
    free(bytes);
    pl_session_free(s);
    pl_session_free(other);
}

TEST(a_snapshot_restores_and_a_damaged_one_changes_nothing) {
    pl_session *s = ready("lora");
    CHECK_INT(add_module(s, "prompt"), 0);
    CHECK_INT(train(s, 3), 0);
    CHECK_INT(pl_snapshot(s), 0);
    int32_t size;
    char *bytes = result(s, &size);
    CHECK_INT(pl_train_end(s), 0);
    for (int32_t cut = 0; cut < size; cut += size / 11 + 1)
        CHECK(pl_restore(s, (const uint8_t *)bytes, cut) != 0);
    CHECK_INT(pl_restore(s, (const uint8_t *)bytes, size), 0);
    CHECK(strstr((const char *)pl_result(s), "\"step\":3") != NULL);
    for (int32_t i = 3; i < 6; i++)
        CHECK_INT(pl_train_step(s), 0);
    free(bytes);
    pl_session_free(s);
}

TEST(merging_mixing_and_inspecting) {
    pl_session *s = ready("lora");
    CHECK_INT(add_module(s, "lora"), 0);
    CHECK_INT(train(s, 4), 0);
    CHECK_INT(pl_train_end(s), 0);
    CHECK_INT(pl_module_spectrum(s, 1, 0, "q_proj"), 0);
    CHECK_INT(pl_module_matrix(s, 1, 0, "q_proj", "delta"), 0);
    CHECK(pl_module_matrix(s, 1, 99, "q_proj", "delta") != 0);
    CHECK_INT(ask(pl_module_mix, s,
                  "{\"type\":\"cat\",\"modules\":[{\"id\":1,\"weight\":0.5},{\"id\":2,\"weight\":-1}]}"),
              0);
    CHECK_INT(ask(pl_merge_modules, s, "[1,2]"), 0);
    CHECK(add_module(s, "lora") != 0); /* not while merged */
    CHECK_INT(pl_model_export(s, "BF16"), 0);
    CHECK_INT(pl_unmerge_modules(s), 0);
    pl_session_free(s);
}

TEST(calculators_need_no_model) {
    pl_session *s = pl_session_new();
    CHECK_INT(pl_describe_static(s), 0);
    CHECK_INT(pl_chapter(s), 0);
    CHECK_INT(pl_guide(s), 0);
    CHECK_INT(ask(pl_count, s, "{\"shape\":\"llama-2-70b\",\"method\":\"lora\"}"), 0);
    CHECK_INT(
        ask(pl_estimate_memory, s, "{\"shape\":\"llama-2-7b\",\"method\":\"full\",\"assume\":\"chapter\"}"),
        0);
    CHECK_INT(ask(pl_advise, s, "{\"latency\":\"yes\"}"), 0);
    CHECK_INT(ask(pl_coach_history, s, "{\"history\":[{\"step\":1,\"loss\":2.5}]}"), 0);
    const char *const wrong[] = {"",
                                 "{",
                                 "[]",
                                 "null",
                                 "{\"shape\":7}",
                                 "{\"shape\":\"x\"}",
                                 "{\"shape\":\"llama-2-7b\",\"method\":\"x\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(ask(pl_count, s, wrong[i]) != 0);
    pl_session_free(s);
}

/* One whole life of a session; the first refusal ends it. */
static int32_t life(pl_session *s) {
    int32_t status = add_data(s);
    if (status == 0)
        status = add_module(s, "lora");
    if (status == 0)
        status = train(s, 2);
    if (status == 0)
        status = pl_train_shard(s, 1);
    if (status == 0)
        status = pl_snapshot(s);
    if (status == 0)
        status = pl_train_end(s);
    if (status == 0)
        status = ask(pl_merge_modules, s, "[]");
    if (status == 0)
        status = pl_model_export(s, "F16");
    return status;
}

TEST(every_refused_allocation_is_survived) {
    bool finished = false;
    for (int32_t nth = 1; nth < 2000 && !finished; nth++) {
        pl_session *s = pl_session_new();
        CHECK_INT(load(s), 0);
        (void)pl_session_fail_at(s, nth);
        int32_t status = life(s);
        finished = status == 0;
        CHECK(finished || strcmp(pl_last_error_code(s), "memory") == 0);
        (void)pl_session_fail_at(s, 0);
        const int32_t tokens[] = {1, 2, 3};
        CHECK_INT(pl_logits(s, tokens, 3), 0); /* the session lives on */
        pl_session_free(s);
    }
    CHECK(finished);
}
