/* Merging modules into the base weights and taking them out again. */
#include "session/internal.h"

static pl_status mark(pl_session *s, const pl_json *ids, bool wanted[PL_SESSION_MODULES_MAX]) {
    if (ids && !pl_json_is_array(ids)) /* a lone id would merge them all */
        return pl_fail(&s->error, PL_ERR_FORMAT, "what to merge must be a list of module ids, like [1, 2]");
    bool all = !ids || pl_json_size(ids) == 0;
    for (int32_t i = 0; i < s->entry_count; i++)
        wanted[i] = s->entries[i].merged ||
                    (all && s->entries[i].active && !s->entries[i].module->method->cannot_merge);
    for (const pl_json *item = pl_json_first(ids); item; item = pl_json_next(item)) {
        pl_entry *entry = session_entry(s, session_json_id(item));
        if (!entry)
            return s->error.status;
        if (entry->module->method->cannot_merge)
            return pl_fail(&s->error, PL_ERR_UNSUPPORTED, "%s cannot be merged: %s",
                           entry->module->method->label, entry->module->method->cannot_merge);
        wanted[entry - s->entries] = true;
    }
    return PL_OK;
}

static void unmerge_all(pl_session *s) {
    if (!s->merged)
        return;
    session_invalidate(s);
    pl_unmerge(s->model, s->merged);
    s->merged = NULL;
    for (int32_t i = 0; i < s->entry_count; i++)
        s->entries[i].merged = false;
}

/* Those that stay active beside the merged weights must do what they did. */
static pl_status check_beside(pl_session *s, const bool wanted[PL_SESSION_MODULES_MAX]) {
    pl_module *active[PL_SESSION_MODULES_MAX];
    bool merged[PL_SESSION_MODULES_MAX];
    int32_t count = 0;
    for (int32_t i = 0; i < s->entry_count; i++) {
        if (!s->entries[i].active)
            continue;
        merged[count] = wanted[i];
        active[count++] = s->entries[i].module;
    }
    return pl_merge_check_beside(active, merged, count, &s->error);
}

static pl_status merge_wanted(pl_session *s, const bool wanted[PL_SESSION_MODULES_MAX], double *residual) {
    pl_module *modules[PL_SESSION_MODULES_MAX];
    int32_t count = 0;
    for (int32_t i = 0; i < s->entry_count; i++)
        if (wanted[i])
            modules[count++] = s->entries[i].module;
    *residual = 0;
    if (count == 0)
        return pl_fail(&s->error, PL_ERR_STATE,
                       "no active module can be merged; LoRA, (IA)3, norm tuning and full fine-tuning can");
    PL_TRY(check_beside(s, wanted));
    /* What stands in for base tensors while running does so now, too. */
    for (int32_t i = 0; i < s->entry_count; i++)
        if (s->entries[i].active)
            PL_TRY(pl_module_attach(s->model, s->entries[i].module, &s->error));
    session_invalidate(s);
    PL_TRY(pl_merge(&s->memory, s->model, modules, count, &s->merged, &s->error));
    for (int32_t i = 0; i < s->entry_count; i++)
        s->entries[i].merged = wanted[i];
    *residual = pl_unmerge_residual(s->model, s->merged, modules, count, &s->error);
    return *residual < 0 ? s->error.status : PL_OK;
}

static pl_status write_merge(pl_session *s, double residual) {
    pl_write_begin(&s->result, '{');
    pl_write_key(&s->result, "merged");
    pl_write_begin(&s->result, '[');
    for (int32_t i = 0; i < s->entry_count; i++)
        if (s->entries[i].merged)
            pl_write_int(&s->result, s->entries[i].id);
    pl_write_end(&s->result, ']');
    pl_write_key_number(&s->result, "residual_of_subtracting", residual);
    pl_write_end(&s->result, '}');
    return session_answered(s);
}

/* Takes the merge there is out of the model, kept whole in *before, so that putting it back needs no memory. */
static void lift(pl_session *s, bool was[PL_SESSION_MODULES_MAX], pl_merged **before) {
    *before = s->merged;
    s->merged = NULL;
    for (int32_t i = 0; i < s->entry_count; i++) {
        was[i] = s->entries[i].merged;
        s->entries[i].merged = false;
    }
    session_invalidate(s);
    if (*before)
        pl_merged_swap(s->model, *before);
}

static void put_back(pl_session *s, const bool was[PL_SESSION_MODULES_MAX], pl_merged *before) {
    unmerge_all(s);
    session_invalidate(s);
    for (int32_t i = 0; i < s->entry_count; i++) {
        s->entries[i].merged = was[i];
        if (was[i])
            pl_module_detach(s->model, s->entries[i].module);
    }
    s->merged = before;
    if (before)
        pl_merged_swap(s->model, before);
}

static pl_status merge_answer(pl_session *s, const pl_json *ids, int32_t id) {
    (void)id;
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "merge"));
    bool was[PL_SESSION_MODULES_MAX] = {false}, wanted[PL_SESSION_MODULES_MAX] = {false};
    pl_merged *before;
    double residual;
    PL_TRY(mark(s, ids, wanted));
    lift(s, was, &before); /* what was merged is merged again together with the new ones, in stack order */
    pl_status status = merge_wanted(s, wanted, &residual);
    if (status == PL_OK)
        status = write_merge(s, residual);
    if (status == PL_OK)
        pl_merged_free(before);
    else
        put_back(s, was, before);
    return status;
}

int32_t pl_merge_modules(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, merge_answer);
}

int32_t pl_unmerge_modules(pl_session *s) {
    session_begin(s);
    pl_status status = session_need_model(s);
    if (status == PL_OK)
        status = session_need_idle(s, "unmerge");
    if (status == PL_OK)
        unmerge_all(s);
    return session_end(s, status);
}
