/* Every allocation refused, one after the other, in a life of add, train, share a step, save, restore, change, import, mix, compile,
 * merge, unmerge, read data and load another model, for every method. A refused call has done nothing, also where the memory was missing
 * for its answer only: the logits and the session's description of itself, numbers of modules included, are those before it. Repeated
 * with memory at hand it leads to the bits of a life without refusal. */
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
enum {
    MODULE_COUNT = sizeof MODULES / sizeof MODULES[0],
    RESTORED_ID = 2, /* the module added had 1 */
    IMPORTED_ID = 3,
};

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

static int32_t load_model(pl_session *s) {
    static bytes config, weights; /* kept until the program ends */
    if (!config.data) {
        config = read_file("tests/golden/models/gqa-odd/config.json");
        weights = read_file("tests/golden/models/gqa-odd/model.safetensors");
    }
    int32_t status = pl_model_begin(s, (const char *)config.data, config.size);
    if (status == 0)
        status = pl_model_weights(s, weights.data, weights.size);
    return status == 0 ? pl_model_commit(s) : status;
}

static pl_session *open_session(void) {
    pl_session *s = pl_session_new();
    CHECK_INT(load_model(s), 0);
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

/* Two of these would stand in for the same tensors. */
static bool replaces(const char *json) { return is(json, "norms") || is(json, "full"); }

static void keep_result(const pl_session *s, bytes *kept) {
    free(kept->data);
    *kept = (bytes){malloc((size_t)pl_result_size(s) + 1), pl_result_size(s)};
    memcpy(kept->data, pl_result(s), (size_t)kept->size);
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
    CONFIG,
    EXPORT,
    CHANGE,
    IMPORT,
    COMPILE,
    MIX,
    GENERATE,
    MERGE,
    MERGE_MORE,
    UNMERGE,
    REMOVE,
    DATA_BEGIN,
    DATA_ADD,
    DATA_MOVE,
    RELOAD,
    CALL_COUNT
};

static int32_t generate(pl_session *s) {
    const char *json = "{\"max_new_tokens\":3,\"seed\":5,\"stop_at_eos\":false}";
    const int32_t tokens[] = {5, 6, 7};
    int32_t status = pl_generate_begin(s, tokens, 3, json, (int32_t)strlen(json));
    for (int32_t i = 0; i < 3 && status == 0; i++)
        status = pl_generate_next(s) < 0 ? -1 : 0;
    return status;
}

/* As make_call, from CHANGE on. */
static int32_t make_later_call(pl_session *s, const char *json, int32_t call, const bytes *config,
                               const bytes *weights) {
    const int32_t text[] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    const bool one = replaces(json) || is(json, "\"prompt\""); /* two prompts do not compile */
    const bool together = is(json, "dora"); /* each reads the norms of W: they merge together */
    char request[120];
    switch (call) {
    case CHANGE:
        return pl_module_set(s, RESTORED_ID, "{\"trainable\":false}", 19);
    case IMPORT:
        return one ? 0
                   : pl_module_import(s, "default", (const char *)config->data, config->size, weights->data,
                                      weights->size);
    case COMPILE:
        return is(json, "\"prompt\"") ? pl_module_compile_prompt(s, RESTORED_ID, "default") : 0;
    case MIX:
        (void)snprintf(request, sizeof request, "{\"modules\":[{\"id\":%d},{\"id\":%d,\"weight\":0.5}]}",
                       RESTORED_ID, IMPORTED_ID);
        return is(json, "\"lora\"") && !is(json, "dora") ? ask(pl_module_mix, s, request) : 0;
    case GENERATE:
        return generate(s);
    case MERGE:
    case MERGE_MORE: /* over the first merge */
        if (call == MERGE_MORE && (one || together))
            return 0;
        (void)snprintf(request, sizeof request, together ? "[%d,%d]" : "[%d]",
                       call == MERGE ? RESTORED_ID : IMPORTED_ID, IMPORTED_ID);
        return merges(json) ? ask(pl_merge_modules, s, request) : 0;
    case UNMERGE:
        return merges(json) ? pl_unmerge_modules(s) : 0;
    case REMOVE:
        return pl_module_remove(s, RESTORED_ID);
    case DATA_BEGIN:
        return pl_data_begin(s, "new", 4);
    case DATA_ADD: /* in several windows */
        return pl_data_add_tokens(s, "new", text, sizeof text / sizeof text[0], 1, 20);
    case DATA_MOVE:
        return pl_data_move(s, "new", "train");
    default:
        return load_model(s);
    }
}

/* Call number `call` of the life of this module; 0 also where it has no such call. */
static int32_t make_call(pl_session *s, const char *json, int32_t call) {
    static bytes snapshot, config, weights; /* the last ones */
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
        if (status == 0)
            keep_result(s, &snapshot);
        return status;
    }
    case RESTORE:
        return pl_restore(s, snapshot.data, snapshot.size);
    case END:
    case LAST_END:
        return pl_train_end(s);
    case CONFIG: {
        int32_t status =
            is(json, "full") ? pl_model_config(s, "F32") : pl_module_export_config(s, RESTORED_ID);
        if (status == 0)
            keep_result(s, &config);
        return status;
    }
    case EXPORT: {
        int32_t status =
            is(json, "full") ? pl_model_export(s, "F32") : pl_module_export_weights(s, RESTORED_ID);
        if (status == 0)
            keep_result(s, &weights);
        return status;
    }
    default:
        return make_later_call(s, json, call, &config, &weights);
    }
}

/* FNV-1a over the result. */
static uint64_t mix(uint64_t hash, const pl_session *s) {
    const uint8_t *text = pl_result(s);
    for (int32_t i = 0; i < pl_result_size(s); i++)
        hash = (hash ^ text[i]) * 0x100000001B3ULL;
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

/* A life up to this call. */
static pl_session *live(const char *json, int32_t call, const uint64_t *states) {
    pl_session *s = open_session();
    for (int32_t before = 0; before < call; before++)
        CHECK_INT(make_call(s, json, before), 0);
    CHECK(state_of(s) == states[call]);
    return s;
}

static int32_t allocations(pl_session *s) {
    CHECK_INT(pl_session_memory(s), 0);
    const char *at = strstr((const char *)pl_result(s), "\"allocations\":");
    return at ? atoi(at + strlen("\"allocations\":")) : 0;
}

/* How many allocations the call makes. */
static int32_t needs(const char *json, int32_t call, const uint64_t *states) {
    pl_session *s = live(json, call, states);
    const int32_t before = allocations(s);
    CHECK_INT(make_call(s, json, call), 0);
    const int32_t made = allocations(s) - before;
    pl_session_free(s);
    return made;
}

/* A life in which allocation nth of call `call` is refused: was the call? (It can do without some.) */
static bool refuse(const char *json, int32_t call, int32_t nth, const uint64_t *states) {
    pl_session *s = live(json, call, states);
    (void)pl_session_fail_at(s, nth);
    int32_t status = make_call(s, json, call);
    (void)pl_session_fail_at(s, 0);
    bool refused =
        status != 0 && CHECK_MSG(strcmp(pl_last_error_code(s), "memory") == 0,
                                 "%s, call %d, allocation %d: %s", json, call, nth, pl_last_error(s));
    CHECK_MSG(state_of(s) == states[call + !refused], "%s, call %d, allocation %d: %s", json, call, nth,
              refused ? "something changed" : "another state than without refusal");
    if (refused) {
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
        for (int32_t nth = needs(json, call, states); nth > 0; nth--)
            refusals += refuse(json, call, nth, states) ? 1 : 0;
    CHECK(refusals > CALL_COUNT);
}

TEST(refused_calls_change_nothing) {
    for (int32_t i = 0; i < MODULE_COUNT; i++)
        lives_of(MODULES[i]);
}
