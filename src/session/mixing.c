/* Several modules into one: LoRA mixtures, averaged adapters, and prompts compiled into prefixes. */
#include <string.h>

#include "peft/bottleneck.h"
#include "peft/mix.h"
#include "peft/virtual.h"
#include "session/internal.h"

void session_write_mix_types(pl_text *out) {
    pl_write_key(out, "mix_types");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_MIX_COUNT; i++) {
        pl_write_begin(out, '{');
        pl_write_key_string(out, "name", pl_mix_name((pl_mix_type)i));
        pl_write_key_string(out, "summary", pl_mix_summary((pl_mix_type)i));
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
}

static pl_status read_mix_options(pl_session *s, const pl_json *root, pl_mix_options *o) {
    static const char *const known[] = {"type",     "name",   "modules",
                                        "density",  "seed",   "majority_sign_method",
                                        "svd_rank", "compat", "compat_double"};
    const char *type_name = NULL, *sign = NULL;
    pl_mix_type type;
    int64_t rank = 0, seed = 1;
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    PL_TRY(pl_json_get_word(root, "request", "type", &type_name, &s->error));
    PL_TRY(pl_json_get_word(root, "request", "majority_sign_method", &sign, &s->error));
    PL_TRY(pl_mix_find(type_name ? type_name : "cat", &type, &s->error));
    *o = pl_mix_options_default(type);
    PL_TRY(pl_json_get_int(root, "request", "svd_rank", false, 0, 1 << 16, &rank, &s->error));
    PL_TRY(pl_json_get_int(root, "request", "seed", false, 0, (int64_t)1 << 53, &seed, &s->error));
    PL_TRY(pl_json_get_number(root, "request", "density", false, 0, 1, &o->density, &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "compat", false, &o->compat, &s->error));
    PL_TRY(pl_json_get_bool(root, "request", "compat_double", false, &o->compat_double, &s->error));
    if (sign && strcmp(sign, "total") != 0 && strcmp(sign, "frequency") != 0)
        return pl_fail(&s->error, PL_ERR_ARGUMENT,
                       "majority_sign_method \"%s\" is unknown: total or frequency", sign);
    o->frequency = sign && strcmp(sign, "frequency") == 0;
    o->svd_rank = (int32_t)rank;
    o->seed = (uint64_t)seed;
    return PL_OK;
}

static pl_status read_sources(pl_session *s, const pl_json *root, pl_module **modules, double *weights,
                              int32_t *count) {
    static const char *const known[] = {"id", "weight"};
    const pl_json *first;
    *count = 0;
    PL_TRY(pl_json_get_list(root, "request", "modules", &first, &s->error));
    for (const pl_json *item = first; item; item = pl_json_next(item)) {
        PL_TRY(pl_json_only(item, "modules", known, sizeof known / sizeof known[0], &s->error));
        pl_entry *entry = session_entry(s, session_json_id(pl_json_get(item, "id")));
        if (!entry)
            return s->error.status;
        if (*count == PL_STACK_MAX)
            return pl_fail(&s->error, PL_ERR_RANGE, "at most %d modules can be mixed", PL_STACK_MAX);
        weights[*count] = 1;
        PL_TRY(pl_json_get_number(item, "request", "weight", false, -100, 100, &weights[*count], &s->error));
        modules[(*count)++] = entry->module;
    }
    return *count ? PL_OK : pl_fail(&s->error, PL_ERR_ARGUMENT, "name at least one module to mix");
}

/* Adapters have no sum of changes that one adapter could hold: what AdapterHub offers for them is the average of their numbers. */
static pl_status average(pl_session *s, pl_module *const *modules, const double *weights, int32_t count,
                         pl_mix_type type, const char *name, pl_module **made) {
    if (type != PL_MIX_LINEAR)
        return pl_fail(&s->error, PL_ERR_UNSUPPORTED,
                       "module '%s' is a bottleneck adapter: only linear, the average, combines those",
                       modules[0]->name);
    return pl_bottleneck_average(&s->memory, s->model, modules, weights, count, name, made, &s->error);
}

static pl_status mix_answer(pl_session *s, const pl_json *root, int32_t id) {
    pl_module *modules[PL_STACK_MAX], *made = NULL;
    double weights[PL_STACK_MAX];
    int32_t count;
    pl_mix_options options;
    pl_mix_report report;
    pl_entry *entry;
    char name[64];
    (void)id;
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "mix modules"));
    if (s->merged)
        return pl_fail(&s->error, PL_ERR_STATE, "modules are merged into the base: unmerge before mixing");
    PL_TRY(read_mix_options(s, root, &options));
    PL_TRY(read_sources(s, root, modules, weights, &count));
    const char *wanted = NULL;
    PL_TRY(pl_json_get_word(root, "request", "name", &wanted, &s->error));
    PL_TRY(session_free_name(s, wanted ? wanted : "mix", name));
    const bool adapters = modules[0]->method == &PL_METHOD_BOTTLENECK;
    if (adapters)
        PL_TRY(average(s, modules, weights, count, options.type, name, &made));
    else
        PL_TRY(
            pl_mix(&s->memory, s->model, modules, weights, count, &options, name, &made, &report, &s->error));
    PL_TRY(session_adopt(s, made, options.seed, true, &entry));
    entry->active = false; /* its sources may be active: whoever asked decides what runs */
    pl_write_begin(&s->result, '{');
    pl_write_key(&s->result, "module");
    session_write_entry(s, entry);
    pl_write_key_string(&s->result, "type", pl_mix_name(options.type));
    if (!adapters) {
        pl_write_key_int(&s->result, "rank", report.rank);
        pl_write_key_bool(&s->result, "exact", report.exact);
        pl_write_key_number(&s->result, "relative_error", report.relative_error);
        pl_write_key_number(&s->result, "norm", report.norm);
    }
    pl_write_end(&s->result, '}');
    pl_status status = session_answered(s);
    if (status != PL_OK)
        session_abandon(s);
    return status;
}

int32_t pl_module_mix(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, mix_answer);
}

/* Beside which modules the prompt's rows are computed: those that are active with it, or none. */
static pl_status neighbours(pl_session *s, pl_entry *entry, pl_module **modules, int32_t *count) {
    PL_TRY(session_ready(s, 1));
    *count = entry->active ? s->active_count : 1;
    for (int32_t i = 0; i < *count; i++)
        modules[i] = entry->active ? s->active[i] : entry->module;
    if (!entry->active)
        return PL_OK;
    for (int32_t i = 0; i < *count; i++)
        if (modules[i] != entry->module && session_needs(modules[i]).virtual_tokens > 0)
            return pl_fail(&s->error, PL_ERR_STATE,
                           "module %s is a prompt, too, and its rows depend on these or these on them: "
                           "deactivate one of the two first",
                           modules[i]->name);
    return PL_OK;
}

static pl_status compile_prompt(pl_session *s, int32_t id, const char *name) {
    pl_entry *entry = session_entry(s, id), *made;
    pl_module *prefix = NULL, *modules[PL_STACK_MAX];
    int32_t count;
    char free_name[64];
    if (!entry)
        return s->error.status;
    PL_TRY(session_need_idle(s, "compile a prompt"));
    PL_TRY(session_free_name(s, name, free_name));
    if (session_needs(entry->module).virtual_tokens == 0)
        return pl_fail(&s->error, PL_ERR_STATE, "module %s is no prompt: there is nothing to compile",
                       entry->module->name);
    PL_TRY(neighbours(s, entry, modules, &count));
    pl_status status =
        pl_prefix_from_prompt(&s->memory, s->model, modules, count, free_name, &prefix, &s->error);
    session_invalidate(s); /* it planned their buffers anew */
    PL_TRY(status);
    PL_TRY(session_adopt(s, prefix, entry->seed, true, &made));
    const bool was_active = entry->active;
    entry->active = false; /* the prefix stands in for it */
    status = session_ready(s, 1);
    if (status == PL_OK)
        status = session_answer_entry(s, made);
    if (status != PL_OK) {
        session_abandon(s);
        entry->active = was_active;
    }
    return status;
}

int32_t pl_module_compile_prompt(pl_session *s, int32_t id, const char *name) {
    session_begin(s);
    pl_status status = session_need_model(s);
    return session_end(s, status == PL_OK ? compile_prompt(s, id, name) : status);
}
