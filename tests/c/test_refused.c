/* Every allocation refused, one after the other, in a life of add, train, share a step, save, restore, merge, compile and unmerge, for
 * every method. A refused call has done nothing, or all of its work (where the memory was missing for its answer only): the model and
 * the session's description of itself are those before it or those after it. Repeated with memory at hand, a call that has done nothing
 * leads to the bits of a life without refusal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "session/peftlab.h"

static const char *const MODULES[] = {
    "{\"method\":\"lora\",\"options\":{\"use_dora\":true,\"dropout\":0.5,\"rank\":3}}",
    "{\"method\":\"lora\",\"options\":{\"init\":\"pissa\",\"rank\":2}}",
    "{\"method\":\"lora\",\"options\":{\"init\":\"olora\",\"rank\":2,\"target_modules\":\"down_proj\"}}",
    "{\"method\":\"lora\",\"options\":{\"init\":\"orthogonal\",\"rank\":4}}",
    "{\"method\":\"prompt\",\"options\":{\"num_virtual_tokens\":3}}",
    "{\"method\":\"prefix\",\"options\":{\"num_virtual_tokens\":3}}",
    "{\"method\":\"prefix\",\"options\":{\"num_virtual_tokens\":3,\"prefix_projection\":true}}",
    "{\"method\":\"adapter\",\"options\":{\"bottleneck_size\":4}}",
    "{\"method\":\"adapter\",\"options\":{\"variant\":\"per_linear\",\"bottleneck_size\":4}}",
    "{\"method\":\"ia3\"}",
    "{\"method\":\"norms\"}",
    "{\"method\":\"full\"}"};
enum { MODULE_COUNT = sizeof MODULES / sizeof MODULES[0], NTH_MAX = 4000, RESTORED_ID = 2 };

/* ---- the model, read once ---- */

typedef struct bytes {
    uint8_t *data;
    int32_t size;
} bytes;

static bytes read_file(const char *path) {
    bytes b = {0};
    FILE *file = fopen(path, "rb");
    if (!CHECK(file != NULL))
        return b;
    (void)fseek(file, 0, SEEK_END);
    b.size = (int32_t)ftell(file);
    rewind(file);
    b.data = malloc((size_t)b.size);
    CHECK(b.data && fread(b.data, 1, (size_t)b.size, file) == (size_t)b.size);
    (void)fclose(file);
    return b;
}

static pl_session *open_session(void) {
    static bytes config, weights; /* kept until the program ends */
    if (!config.data) {
        config = read_file("tests/golden/models/gqa-odd/config.json");
        weights = read_file("tests/golden/models/gqa-odd/model.safetensors");
    }
    pl_session *s = pl_session_new();
    CHECK_INT(pl_model_begin(s, (const char *)config.data, config.size), 0);
    CHECK_INT(pl_model_weights(s, weights.data, weights.size), 0);
    CHECK_INT(pl_model_commit(s), 0);
    CHECK_INT(pl_data_begin(s, "train", 0), 0);
    for (int32_t i = 0; i < 6; i++) {
        const int32_t tokens[] = {1 + i, 20 + 3 * i, 7, 90 - i, 5 + 2 * i, 33};
        CHECK_INT(pl_data_add_tokens(s, "train", tokens, 4 + i % 3, 2, 10), 0);
    }
    return s;
}

/* ---- one life, as calls that can be repeated ---- */

static int32_t ask(int32_t (*call)(pl_session *, const char *, int32_t), pl_session *s, const char *json) {
    return call(s, json, (int32_t)strlen(json));
}

/* Its own bytes back from "another worker": the shard is kept here and handed over as well. */
static int32_t shared_step(pl_session *s) {
    const int32_t shard = 1;
    int32_t status = pl_train_shard(s, 0);
    if (status == 0)
        status = pl_train_shard(s, shard);
    if (status == 0)
        status = pl_train_apply(s, &shard, 1, pl_train_kept(s, shard), pl_train_kept_size(s));
    return status;
}

static bool is(const char *json, const char *word) { return strstr(json, word) != NULL; }

static bool merges(const char *json) {
    return !is(json, "prompt") && !is(json, "prefix") && !is(json, "adapter");
}

enum {
    ADD,
    BEGIN,
    STEP,
    SHARED,
    EVALUATE,
    SNAPSHOT,
    END,
    RESTORE,
    RESUMED_STEP,
    LAST_END,
    EXPORT,
    COMPILE,
    MERGE,
    UNMERGE,
    CALL_COUNT
};

/* Call number `call` of the life of this module; 0 also where it has no such call. */
static int32_t make_call(pl_session *s, const char *json, int32_t call) {
    static bytes snapshot; /* the last one */
    switch (call) {
    case ADD:
        return ask(pl_module_add, s, json);
    case BEGIN:
        return ask(pl_train_begin, s, "{\"steps\":5,\"batch_size\":4,\"shards\":2,\"lr\":0.01}");
    case STEP:
    case RESUMED_STEP:
        return pl_train_step(s);
    case SHARED:
        return shared_step(s);
    case EVALUATE:
        return pl_data_loss(s, "train", 0, 3);
    case SNAPSHOT: {
        int32_t status = pl_snapshot(s);
        if (status == 0) {
            free(snapshot.data);
            snapshot = (bytes){malloc((size_t)pl_result_size(s)), pl_result_size(s)};
            memcpy(snapshot.data, pl_result(s), (size_t)snapshot.size);
        }
        return status;
    }
    case RESTORE:
        return pl_restore(s, snapshot.data, snapshot.size);
    case END:
    case LAST_END:
        return pl_train_end(s);
    case EXPORT:
        return is(json, "full") ? pl_model_export(s, "F32") : pl_module_export_weights(s, RESTORED_ID);
    case COMPILE:
        return is(json, "\"prompt\"") ? pl_module_compile_prompt(s, RESTORED_ID, "compiled") : 0;
    case MERGE:
        return merges(json) ? ask(pl_merge_modules, s, "[]") : 0;
    default:
        return merges(json) ? pl_unmerge_modules(s) : 0;
    }
}

/* FNV-1a over the result, without the numbers of modules: a refused call may have used one up. */
static uint64_t mix(uint64_t hash, const pl_session *s) {
    static const char id[] = "\"id\":";
    const char *text = (const char *)pl_result(s), *end = text + pl_result_size(s);
    const ptrdiff_t length = (ptrdiff_t)strlen(id);
    for (const char *at = text; at < end; at++) {
        bool number = at - text >= length && memcmp(at - length, id, (size_t)length) == 0;
        hash = (hash ^ (uint8_t)(number ? '0' : *at)) * 0x100000001B3ULL;
    }
    return hash;
}

/* A hash of what the model answers and of what the session says about itself: modules, data, run. */
static uint64_t state_of(pl_session *s) {
    const int32_t tokens[] = {1, 42, 7, 99};
    CHECK_MSG(pl_logits(s, tokens, 4) == 0, "%s", pl_last_error(s));
    uint64_t hash = mix(0xCBF29CE484222325ULL, s);
    CHECK_MSG(pl_describe(s) == 0, "%s", pl_last_error(s));
    return mix(hash, s);
}

/* A life in which allocation nth of call `call` is refused. False once the call makes fewer allocations than that. */
static bool refuse(const char *json, int32_t call, int32_t nth, const uint64_t *states) {
    pl_session *s = open_session();
    for (int32_t before = 0; before < call; before++)
        CHECK_INT(make_call(s, json, before), 0);
    CHECK(state_of(s) == states[call]);
    (void)pl_session_fail_at(s, nth);
    int32_t status = make_call(s, json, call);
    (void)pl_session_fail_at(s, 0);
    bool refused =
        status != 0 && CHECK_MSG(strcmp(pl_last_error_code(s), "memory") == 0,
                                 "%s, call %d, allocation %d: %s", json, call, nth, pl_last_error(s));
    uint64_t state = state_of(s);
    CHECK_MSG(state == states[call + 1] || (refused && state == states[call]),
              "%s, call %d, allocation %d: neither the state before the call nor that after it", json, call,
              nth);
    if (refused && state != states[call + 1]) {
        CHECK_MSG(make_call(s, json, call) == 0, "%s, call %d, allocation %d, repeated: %s", json, call, nth,
                  pl_last_error(s));
        CHECK_MSG(state_of(s) == states[call + 1], "%s, call %d, allocation %d, repeated: another state",
                  json, call, nth);
    }
    pl_session_free(s);
    return refused;
}

static void lives_of(const char *json) {
    uint64_t states[CALL_COUNT + 1]; /* [call]: before it */
    pl_session *s = open_session();
    for (int32_t call = 0; call < CALL_COUNT; call++) {
        states[call] = state_of(s);
        CHECK_MSG(make_call(s, json, call) == 0, "%s, call %d: %s", json, call, pl_last_error(s));
    }
    states[CALL_COUNT] = state_of(s);
    pl_session_free(s);
    int32_t refusals = 0;
    for (int32_t call = 0; call < CALL_COUNT; call++)
        for (int32_t nth = 1; nth < NTH_MAX && refuse(json, call, nth, states); nth++)
            refusals++;
    CHECK(refusals > CALL_COUNT);
}

TEST(refused_calls_change_nothing) {
    for (int32_t i = 0; i < MODULE_COUNT; i++)
        lives_of(MODULES[i]);
}
