/* The chapter's advice and the coach, as JSON. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "account/account.h"
#include "advise/advise.h"
#include "session/internal.h"

/* Settings are words of the method's options, so they are resolved against a model to become numbers and lists. */
static pl_status write_recommendation(pl_session *s, const pl_recommendation *r, const pl_config *config) {
    pl_text *out = &s->result;
    pl_options *options = pl_memory_alloc(&s->memory, 1, sizeof *options);
    if (!options)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the advice");
    pl_status status = pl_recommendation_options(r, config, options, &s->error);
    if (status == PL_OK) {
        pl_write_key_string(out, "method", r->method);
        pl_write_key_string(out, "label", options->method->label);
        pl_write_key_string(out, "settings", r->settings);
        pl_write_key(out, "options");
        session_write_options(out, options, config);
        pl_write_key_bool(out, "merge", r->merge);
        pl_write_key_string(out, "quote", r->quote);
    }
    pl_memory_free(&s->memory, options);
    return status;
}

static pl_status write_other(pl_session *s, const pl_recommendation *other, const pl_config *config) {
    pl_write_key(&s->result, "other");
    if (!other) {
        pl_write_null(&s->result);
        return PL_OK;
    }
    pl_write_begin(&s->result, '{');
    PL_TRY(write_recommendation(s, other, config));
    pl_write_end(&s->result, '}');
    return PL_OK;
}

static pl_status write_advice(pl_session *s, const pl_advice *advice, const pl_config *config) {
    pl_text *out = &s->result;
    pl_write_begin(out, '{');
    PL_TRY(write_recommendation(s, advice->best, config));
    PL_TRY(write_other(s, advice->other, config));
    pl_write_key(out, "why");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < advice->path_length; i++) {
        char text[400];
        pl_advice_step(advice, i, text, sizeof text);
        pl_write_string(out, text);
    }
    pl_write_end(out, ']');
    pl_write_key(out, "path");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < advice->path_length; i++)
        pl_write_string(out, PL_TREE[advice->path[i]].key);
    pl_write_end(out, ']');
    pl_write_key_string(out, "task", advice->task ? advice->task->task : NULL);
    pl_write_end(out, '}');
    return PL_OK;
}

static pl_status advise(pl_session *s, const pl_json *root, int32_t id) {
    (void)id;
    const char *answers[PL_TREE_QUESTIONS], *known[PL_TREE_QUESTIONS];
    pl_advice advice;
    for (int32_t i = 0; i < PL_TREE_QUESTIONS; i++)
        known[i] = PL_TREE[i].key;
    PL_TRY(pl_json_only(root, "request", known, PL_TREE_QUESTIONS, &s->error));
    for (int32_t i = 0; i < PL_TREE_QUESTIONS; i++) {
        const pl_json *node = pl_json_get(root, PL_TREE[i].key);
        answers[i] = pl_json_is_bool(node) ? (pl_json_bool(node) ? "yes" : "no") : NULL;
        if (!answers[i])
            PL_TRY(pl_json_get_word(root, "request", PL_TREE[i].key, &answers[i], &s->error));
    }
    PL_TRY(pl_advise_tree(answers, &advice, &s->error));
    const pl_config *config = s->model ? &s->model->config : &pl_shape_find("llama-2-7b")->config;
    return write_advice(s, &advice, config);
}

int32_t pl_advise(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, advise);
}

/* ---- the chapter's tables ---- */

static void write_rows(pl_text *out, const char *key, const pl_table_row *rows, int32_t count) {
    static const session_column columns[] = {{"when", SESSION_TEXT, offsetof(pl_table_row, when)},
                                             {"use", SESSION_TEXT, offsetof(pl_table_row, use)},
                                             {"why", SESSION_TEXT_IF_ANY, offsetof(pl_table_row, why)}};
    session_write_table(out, key, columns, 3, rows, sizeof *rows, count);
}

static pl_status write_tree(pl_session *s, const pl_config *config) {
    pl_text *out = &s->result;
    pl_write_key(out, "tree");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i <= PL_TREE_QUESTIONS; i++) {
        const pl_tree_node *node = &PL_TREE[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "key", node->key);
        pl_write_key_string(out, "question", node->question);
        pl_write_key_string(out, "reason", node->why);
        PL_TRY(write_recommendation(s, &node->best, config));
        PL_TRY(write_other(s, node->other.method ? &node->other : NULL, config));
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    return PL_OK;
}

static pl_status write_tasks(pl_session *s, const pl_config *config) {
    pl_text *out = &s->result;
    pl_write_key(out, "tasks");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_TASK_ADVICE_COUNT; i++) {
        const pl_task_advice *task = &PL_TASK_ADVICE[i];
        pl_write_begin(out, '{');
        pl_write_key_string(out, "key", task->key);
        pl_write_key_string(out, "heading", task->label);
        pl_write_key_string(out, "task", task->task);
        pl_write_key_string(out, "best", task->quote);
        pl_write_key(out, "reasons");
        pl_write_begin(out, '[');
        for (int32_t r = 0; r < 3; r++)
            if (task->reasons[r])
                pl_write_string(out, task->reasons[r]);
        pl_write_end(out, ']');
        PL_TRY(write_recommendation(s, &task->best, config));
        PL_TRY(write_other(s, task->other.method ? &task->other : NULL, config));
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    return PL_OK;
}

int32_t pl_guide(pl_session *s) {
    session_begin(s);
    pl_text *out = &s->result;
    const pl_config *config = s->model ? &s->model->config : &pl_shape_find("llama-2-7b")->config;
    pl_write_begin(out, '{');
    pl_status status = write_tree(s, config);
    if (status == PL_OK)
        status = write_tasks(s, config);
    write_rows(out, "quick_reference", PL_QUICK_REFERENCE, PL_QUICK_REFERENCE_COUNT);
    write_rows(out, "summary", PL_SUMMARY, PL_SUMMARY_COUNT);
    write_rows(out, "pitfalls", PL_PITFALLS, PL_PITFALLS_COUNT);
    pl_write_end(out, '}');
    return session_end(s, status);
}

/* ---- the coach ---- */

static void write_coach(pl_text *out, const pl_coach_report *report) {
    pl_write_begin(out, '{');
    pl_write_key_string(out, "state", pl_coach_name(report->state));
    pl_write_key_string(out, "why", report->why);
    pl_write_key_string(out, "advice", report->rule ? report->rule->advice : NULL);
    pl_write_key(out, "suggestion");
    if (report->change.option[0]) {
        pl_write_begin(out, '{');
        pl_write_key_string(out, "option", report->change.option);
        pl_write_key_string(out, "from", report->change.from);
        pl_write_key_string(out, "to", report->change.to);
        pl_write_end(out, '}');
    } else {
        pl_write_null(out);
    }
    pl_write_key_int(out, "best_step", report->best_step);
    pl_write_key_number(out, "gap", report->gap);
    pl_write_key_number(out, "recent", report->recent);
    pl_write_key(out, "rules");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_COACH_RULE_COUNT; i++) {
        pl_write_begin(out, '{');
        pl_write_key_string(out, "state", pl_coach_name(PL_COACH_RULES[i].state));
        pl_write_key_string(out, "condition", PL_COACH_RULES[i].condition);
        pl_write_key_string(out, "advice", PL_COACH_RULES[i].advice);
        pl_write_key_bool(out, "applies", &PL_COACH_RULES[i] == report->rule);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    pl_write_end(out, '}');
}

/* A loss that was not a number arrives as null: JSON has no NaN. */
static pl_status read_point(const pl_json *item, pl_coach_point *point, pl_error *error) {
    const pl_json *loss = pl_json_get(item, "loss"), *held_out = pl_json_get(item, "val_loss");
    int64_t step = 0;
    if (!pl_json_is_number(loss) && !pl_json_is_null(loss))
        return pl_fail(error, PL_ERR_FORMAT,
                       "history: each point needs a loss, like {\"step\":1,\"loss\":2.5}");
    PL_TRY(pl_json_get_int(item, "history", "step", false, 0, 1 << 30, &step, error));
    *point = (pl_coach_point){.step = (int32_t)step,
                              .loss = pl_json_is_null(loss) ? (double)NAN : pl_json_number(loss),
                              .has_val_loss = pl_json_is_number(held_out),
                              .val_loss = pl_json_number(held_out)};
    return PL_OK;
}

static pl_status coach_parsed(pl_session *s, const pl_json *root, const pl_json *history,
                              pl_coach_point *points, const pl_config *config) {
    const char *name = NULL;
    pl_coach_input input = {.points = points};
    int64_t steps = 0;
    for (const pl_json *item = history; item; item = pl_json_next(item))
        PL_TRY(read_point(item, &points[input.count++], &s->error));
    PL_TRY(pl_json_get_int(root, "request", "steps", false, 0, 1 << 30, &steps, &s->error));
    PL_TRY(pl_json_get_number(root, "request", "lr", false, 0, 1000, &input.lr, &s->error));
    PL_TRY(pl_json_get_word(root, "request", "method", &name, &s->error));
    input.steps = (int32_t)steps;
    const pl_method *method = NULL;
    if (name)
        PL_TRY(session_find_method(s, name, &method));
    session_options options = {0};
    pl_status status = PL_OK;
    if (method)
        status = session_read_options(&s->memory, pl_json_get(root, "options"), method, config, NULL,
                                      &options, &s->error);
    if (status == PL_OK) {
        pl_coach_report report;
        input.options = method ? &options.values : NULL;
        pl_coach(&input, &report);
        write_coach(&s->result, &report);
    }
    session_free_options(&options);
    return status;
}

static pl_status coach(pl_session *s, const pl_json *root, int32_t id) {
    static const char *const known[] = {"history", "steps", "lr", "method", "options"};
    (void)id;
    const pl_json *history;
    PL_TRY(pl_json_only(root, "request", known, sizeof known / sizeof known[0], &s->error));
    PL_TRY(pl_json_get_list(root, "request", "history", &history, &s->error));
    int32_t count = pl_json_size(pl_json_get(root, "history"));
    pl_coach_point *points = pl_memory_alloc(&s->memory, (size_t)count, sizeof *points);
    const pl_config *config = s->model ? &s->model->config : &pl_shape_find("llama-2-7b")->config;
    pl_status status = points ? coach_parsed(s, root, history, points, config)
                              : pl_fail(&s->error, PL_ERR_MEMORY, "no memory for %d points", count);
    pl_memory_free(&s->memory, points);
    return status;
}

int32_t pl_coach_history(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, coach);
}
