#include <stdlib.h>

#include "kernels/selftest.h"
#include "session/internal.h"

pl_session *pl_session_new(void) {
    pl_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->result = pl_text_make(&s->memory);
    s->loading.ignored = pl_text_make(&s->memory);
    s->next_id = 1;
    s->generation.pending = PL_NONE;
    return s;
}

void pl_session_free(pl_session *s) {
    if (!s)
        return;
    session_drop_model(s);
    session_drop_loading(s);
    pl_memory_free_all(&s->memory);
    free(s);
}

const char *pl_last_error(const pl_session *s) { return s->error.message; }
const char *pl_last_error_code(const pl_session *s) { return pl_status_name(s->error.status); }
const uint8_t *pl_result(const pl_session *s) { return (const uint8_t *)s->result.data; }
int32_t pl_result_size(const pl_session *s) { return (int32_t)s->result.length; }

void *pl_buffer_new(int32_t size) { return size < 0 ? NULL : malloc((size_t)size + 1); }
void pl_buffer_free(void *buffer) { free(buffer); }

int32_t pl_selftest(void) {
#if PL_REAL_IS_FLOAT
    return pl_kernels_selftest() == PL_KERNELS_KNOWN_ANSWER ? 0 : 1;
#else
    return 0; /* the known answer is of the float kernels */
#endif
}

int32_t pl_session_fail_at(pl_session *s, int32_t allocation) {
    s->memory.fail_at = allocation > 0 ? s->memory.allocation_count + allocation : 0;
    return PL_OK;
}

int32_t pl_session_memory(pl_session *s) {
    pl_memory before = s->memory;
    session_begin(s);
    pl_write_begin(&s->result, '{');
    pl_write_key_int(&s->result, "bytes", (int64_t)before.bytes);
    pl_write_key_int(&s->result, "peak_bytes", (int64_t)before.peak_bytes);
    pl_write_key_int(&s->result, "allocations", before.allocation_count);
    pl_write_end(&s->result, '}');
    return session_end(s, PL_OK);
}

void session_begin(pl_session *s) {
    s->error = (pl_error){0};
    pl_text_free(&s->result);
    s->result = pl_text_make(&s->memory);
}

pl_status session_answered(pl_session *s) {
    return s->result.failed ? pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the result of this call")
                            : PL_OK;
}

int32_t session_end(pl_session *s, pl_status status) {
    if (status == PL_OK)
        status = session_answered(s);
    if (status != PL_OK) {
        pl_text_free(&s->result);
        s->result = pl_text_make(&s->memory);
    }
    return (int32_t)status;
}

pl_status session_parse(pl_session *s, const char *json, int32_t length, pl_json **root) {
    PL_TRY(pl_json_parse(json, (size_t)(length < 0 ? 0 : length), "request", root, &s->error));
    return PL_OK;
}

int32_t session_request(pl_session *s, int32_t id, const char *json, int32_t length, session_answer answer) {
    pl_json *root = NULL;
    session_begin(s);
    pl_status status = session_parse(s, json, length, &root);
    if (status == PL_OK) {
        status = answer(s, root, id);
        pl_json_free(root);
    }
    return session_end(s, status);
}

pl_status session_need_model(pl_session *s) {
    return s->model ? PL_OK
                    : pl_fail(&s->error, PL_ERR_STATE, "no model is loaded: load a model folder first");
}

pl_status session_need_idle(pl_session *s, const char *what) {
    if (!s->trainer)
        return PL_OK;
    return pl_fail(&s->error, PL_ERR_STATE,
                   "cannot %s while a training run is open (step %d of %d): end the run first", what,
                   s->trainer->step, s->trainer->options.steps);
}

void session_invalidate(pl_session *s) {
    s->ready = false;
    s->ready_rows = 0;
    pl_evaluator_free(&s->evaluator);
    pl_workspace_free(s->logits_workspace);
    s->logits_workspace = NULL;
    pl_decoder_free(s->generation.decoder);
    pl_memory_free(&s->memory, s->generation.logits);
    pl_memory_free(&s->memory, s->generation.scratch);
    s->generation = (pl_generation){.pending = PL_NONE};
}

int32_t session_learned_rows(const pl_session *s) {
    int32_t rows = 0;
    for (int32_t i = 0; i < s->entry_count; i++) {
        const pl_entry *entry = &s->entries[i];
        if (!entry->active || entry->merged)
            continue;
        pl_needs needs = session_needs(entry->module);
        rows += needs.virtual_tokens + (needs.memory_shifts ? needs.memory_tokens : 0);
    }
    return rows;
}

/* Active modules in stack order; those merged into the base run in it, unless they are asked for, too. */
static pl_status collect_active(pl_session *s, bool with_merged, pl_module **modules, int32_t *count) {
    *count = 0;
    for (int32_t i = 0; i < s->entry_count; i++) {
        if (!s->entries[i].active || (s->entries[i].merged && !with_merged))
            continue;
        if (*count == PL_STACK_MAX)
            return pl_fail(&s->error, PL_ERR_RANGE,
                           "at most %d modules can be active together; deactivate one", PL_STACK_MAX);
        modules[(*count)++] = s->entries[i].module;
    }
    return PL_OK;
}

pl_status session_check_unmerged(pl_session *s) {
    pl_module *modules[PL_STACK_MAX];
    int32_t count;
    pl_stack stack;
    PL_TRY(collect_active(s, true, modules, &count));
    return pl_stack_build(modules, count, &stack, &s->error);
}

static pl_status plan_active(pl_session *s, int32_t rows) {
    pl_extent extent = {.rows = rows, .seqs = 1, .labels = rows, .training = false};
    for (int32_t i = 0; i < s->active_count; i++) {
        PL_TRY(pl_module_plan(s->active[i], &extent, &s->error));
        PL_TRY(pl_module_attach(s->model, s->active[i], &s->error));
    }
    return PL_OK;
}

pl_status session_ready(pl_session *s, int32_t rows) {
    PL_TRY(session_need_model(s));
    if (s->ready && rows <= s->ready_rows)
        return PL_OK;
    if (!s->ready) {
        PL_TRY(collect_active(s, false, s->active, &s->active_count));
        PL_TRY(pl_stack_build(s->active, s->active_count, &s->stack, &s->error));
    }
    pl_status status = plan_active(s, rows);
    if (status == PL_OK || s->ready) /* planning moves what prepare() had filled, also before it fails */
        pl_stack_prepare(s->active, s->active_count, s->model);
    PL_TRY(status);
    s->ready = true;
    s->ready_rows = rows;
    return PL_OK;
}

void session_drop_run(pl_session *s) {
    pl_trainer_free(s->trainer);
    s->trainer = NULL;
    s->trainer_split[0] = 0;
}
