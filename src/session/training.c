/* A training run of a session: begin, step (whole or in shards), end. */
#include <string.h>

#include "session/internal.h"

static pl_status read_schedule(const pl_json *root, pl_schedule *schedule, pl_error *error) {
    const char *name = NULL;
    PL_TRY(pl_json_get_word(root, "training options", "schedule", &name, error));
    if (!name)
        return PL_OK;
    for (int32_t i = 0; i < PL_SCHEDULE_COUNT; i++) {
        if (strcmp(name, pl_schedule_name((pl_schedule)i)) == 0) {
            *schedule = (pl_schedule)i;
            return PL_OK;
        }
    }
    return pl_fail(error, PL_ERR_ARGUMENT, "schedule \"%s\" is unknown: constant, linear or cosine", name);
}

static pl_status read_train_options(const pl_json *root, pl_train_options *o, pl_error *error) {
    const char *what = "training options";
    int64_t steps = o->steps, batch = o->batch_size, accumulation = o->gradient_accumulation_steps,
            warmup = 0, seed = 1;
    PL_TRY(pl_json_get_int(root, what, "steps", false, 1, PL_STEPS_MAX, &steps, error));
    PL_TRY(pl_json_get_int(root, what, "batch_size", false, 1, PL_BATCH_MAX, &batch, error));
    PL_TRY(pl_json_get_int(root, what, "gradient_accumulation_steps", false, 1, PL_SHARDS_MAX, &accumulation,
                           error));
    PL_TRY(pl_json_get_int(root, what, "warmup_steps", false, 0, steps, &warmup, error));
    PL_TRY(pl_json_get_int(root, what, "seed", false, 0, (int64_t)1 << 53, &seed, error));
    int64_t shards = batch < 4 ? batch : 4;
    if (shards * accumulation > PL_SHARDS_MAX) /* each micro-batch has as many */
        shards = PL_SHARDS_MAX / accumulation;
    PL_TRY(pl_json_get_int(root, what, "shards", false, 1, batch, &shards, error));
    o->steps = (int32_t)steps;
    o->batch_size = (int32_t)batch;
    o->gradient_accumulation_steps = (int32_t)accumulation;
    o->warmup_steps = (int32_t)warmup;
    o->seed = (uint64_t)seed;
    o->shards = (int32_t)shards;
    const struct {
        const char *key;
        double *value, minimum, maximum;
    } reals[] = {{"lr", &o->lr, 0, 1000},         {"weight_decay", &o->weight_decay, 0, 10},
                 {"beta1", &o->beta1, 0, 0.9999}, {"beta2", &o->beta2, 0, 0.999999},
                 {"eps", &o->eps, 1e-15, 1},      {"max_grad_norm", &o->max_grad_norm, 0, 1e6}};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        PL_TRY(pl_json_get_number(root, what, reals[i].key, false, reals[i].minimum, reals[i].maximum,
                                  reals[i].value, error));
    PL_TRY(read_schedule(root, &o->schedule, error));
    return pl_train_options_check(o, error);
}

/* Gradients for exactly the active, trainable, unmerged modules; then the pass is rebuilt, because gradient blocks moved. */
static pl_status open_gradients(pl_session *s) {
    session_invalidate(s);
    for (int32_t i = 0; i < s->entry_count; i++) {
        pl_entry *entry = &s->entries[i];
        pl_module_detach(s->model, entry->module);
        PL_TRY(pl_module_trainable(entry->module, entry->active && entry->trainable && !entry->merged,
                                   &s->error));
    }
    return session_ready(s, 1);
}

static void close_gradients(pl_session *s) {
    session_invalidate(s);
    for (int32_t i = 0; i < s->entry_count; i++) {
        pl_module_detach(s->model, s->entries[i].module);
        (void)pl_module_trainable(s->entries[i].module, false, NULL);
    }
}

/* Every example must leave room for the learned rows of the modules that are active now (data may be older than they are). */
static pl_status check_room(pl_session *s, const pl_dataset *dataset) {
    int32_t learned = session_learned_rows(s), positions = s->model->config.max_position_embeddings;
    if (dataset->longest + learned <= positions)
        return PL_OK;
    if (positions - learned < 2) /* no example is as short as that */
        return pl_fail(
            &s->error, PL_ERR_RANGE,
            "the active modules add %d learned rows to a context of %d, which leaves no room to learn "
            "anything; use fewer virtual tokens",
            learned, positions);
    return pl_fail(&s->error, PL_ERR_RANGE,
                   "the longest example has %d tokens and the active modules add %d learned rows, but the "
                   "context holds %d; "
                   "load the data again with max_length %d",
                   dataset->longest, learned, positions, positions - learned);
}

static pl_status begin_run(pl_session *s, const pl_train_options *options, const char *split) {
    pl_dataset *dataset = session_split(s, split);
    if (!dataset)
        return s->error.status;
    PL_TRY(check_room(s, dataset));
    pl_status status = open_gradients(s);
    if (status == PL_OK)
        status = pl_trainer_create(&s->memory, s->model, s->active, s->active_count, dataset, options,
                                   &s->trainer, &s->error);
    if (status != PL_OK) {
        close_gradients(s);
        return status;
    }
    memcpy(s->trainer_split, split, strlen(split) + 1);
    return PL_OK;
}

pl_status session_begin_run(pl_session *s, const pl_json *root) {
    pl_train_options options = pl_train_options_default();
    const char *split = NULL;
    PL_TRY(pl_json_get_word(root, "training options", "split", &split, &s->error));
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "begin a run"));
    PL_TRY(read_train_options(root, &options, &s->error));
    return begin_run(s, &options, split ? split : "train");
}

/* Members of an object that is open. */
void session_write_train_options(pl_text *out, const pl_train_options *o) {
    pl_write_key_int(out, "steps", o->steps);
    pl_write_key_int(out, "batch_size", o->batch_size);
    pl_write_key_int(out, "gradient_accumulation_steps", o->gradient_accumulation_steps);
    pl_write_key_int(out, "shards", o->shards);
    pl_write_key_number(out, "lr", o->lr);
    pl_write_key_string(out, "schedule", pl_schedule_name(o->schedule));
    pl_write_key_int(out, "warmup_steps", o->warmup_steps);
    pl_write_key_number(out, "weight_decay", o->weight_decay);
    pl_write_key_number(out, "beta1", o->beta1);
    pl_write_key_number(out, "beta2", o->beta2);
    pl_write_key_number(out, "eps", o->eps);
    pl_write_key_number(out, "max_grad_norm", o->max_grad_norm);
    pl_write_key_int(out, "seed", (int64_t)o->seed);
}

void session_write_run(pl_text *out, const pl_session *s) {
    const pl_trainer *t = s->trainer;
    pl_write_begin(out, '{');
    pl_write_key_int(out, "step", t->step);
    session_write_train_options(out, &t->options);
    pl_write_key_int(out, "shard_count", t->shard_count);
    pl_write_key_string(out, "split", s->trainer_split);
    pl_write_key_int(out, "trainable", t->trainable);
    pl_write_key_int(out, "gradient_bytes", t->trainable * (int64_t)sizeof(real));
    pl_write_end(out, '}');
}

static void end_run(pl_session *s) {
    session_drop_run(s);
    close_gradients(s);
}

static pl_status begin_answer(pl_session *s, const pl_json *root, int32_t id) {
    static const char *const known[] = {"steps",        "batch_size", "gradient_accumulation_steps",
                                        "shards",       "lr",         "schedule",
                                        "warmup_steps", "beta1",      "beta2",
                                        "weight_decay", "eps",        "max_grad_norm",
                                        "seed",         "split"};
    (void)id;
    PL_TRY(pl_json_only(root, "training options", known, sizeof known / sizeof known[0], &s->error));
    PL_TRY(session_begin_run(s, root));
    session_write_run(&s->result, s);
    pl_status status = session_answered(s);
    if (status != PL_OK)
        end_run(s);
    return status;
}

int32_t pl_train_begin(pl_session *s, const char *json, int32_t length) {
    return session_request(s, 0, json, length, begin_answer);
}

static pl_status need_run(pl_session *s) {
    return s->trainer ? PL_OK : pl_fail(&s->error, PL_ERR_STATE, "no training run is open: begin one first");
}

/* Room for write_report's six short numbers: a step cannot be taken back. */
static pl_status expect_report(pl_session *s) {
    (void)pl_text_reserve(&s->result, 512);
    return session_answered(s);
}

static void write_report(pl_text *out, const pl_step_report *r) {
    pl_write_begin(out, '{');
    pl_write_key_int(out, "step", r->step);
    pl_write_key_number(out, "loss", r->loss);
    pl_write_key_number(out, "lr", r->lr);
    pl_write_key_number(out, "grad_norm", r->grad_norm);
    pl_write_key_int(out, "tokens", r->tokens);
    pl_write_key_int(out, "labels", r->labels);
    pl_write_end(out, '}');
}

int32_t pl_train_step(pl_session *s) {
    pl_step_report report;
    session_begin(s);
    pl_status status = need_run(s);
    if (status == PL_OK)
        status = expect_report(s);
    if (status == PL_OK)
        status = pl_trainer_step(s->trainer, &report, &s->error);
    if (status == PL_OK)
        write_report(&s->result, &report);
    return session_end(s, status);
}

int32_t pl_train_shard(pl_session *s, int32_t shard) {
    session_begin(s);
    pl_status status = need_run(s);
    if (status == PL_OK)
        status = pl_trainer_keep_shard(s->trainer, shard, &s->error);
    return session_end(s, status);
}

const uint8_t *pl_train_kept(const pl_session *s, int32_t shard) {
    const pl_trainer *t = s->trainer;
    return t && shard >= 0 && shard < t->shard_count ? (const uint8_t *)t->kept[shard] : NULL;
}

int32_t pl_train_kept_size(const pl_session *s) {
    return s->trainer ? (int32_t)pl_trainer_shard_bytes(s->trainer) : 0;
}

int32_t pl_train_shard_costs(pl_session *s) {
    double costs[PL_SHARDS_MAX];
    session_begin(s);
    pl_status status = need_run(s);
    if (status == PL_OK)
        status = pl_trainer_shard_costs(s->trainer, costs, &s->error);
    if (status != PL_OK)
        return session_end(s, status);
    pl_write_numbers(&s->result, costs, s->trainer->shard_count);
    return session_end(s, PL_OK);
}

int32_t pl_train_apply(pl_session *s, const int32_t *shards, int32_t count, const uint8_t *bytes,
                       int32_t size) {
    pl_step_report report;
    session_begin(s);
    pl_status status = need_run(s);
    if (status == PL_OK)
        status = expect_report(s);
    if (status == PL_OK)
        status = pl_trainer_apply(s->trainer, shards, count, bytes, (size_t)size, &report, &s->error);
    if (status == PL_OK)
        write_report(&s->result, &report);
    return session_end(s, status);
}

int32_t pl_train_end(pl_session *s) {
    session_begin(s);
    if (s->trainer)
        end_run(s);
    return session_end(s, PL_OK);
}

static pl_status gradients(pl_session *s, const char *split, int32_t from, int32_t to, pl_shard *result) {
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "inspect gradients"));
    if (to <= from || to - from > PL_BATCH_MAX)
        return pl_fail(&s->error, PL_ERR_RANGE, "examples %d..%d: from 1 to %d examples", from, to,
                       PL_BATCH_MAX);
    pl_train_options options = pl_train_options_default();
    options.batch_size = to - from;
    options.shards = 1;
    PL_TRY(begin_run(s, &options, split));
    pl_status status = pl_trainer_gradients(s->trainer, from, to, result, &s->error);
    session_drop_run(s); /* the modules keep their gradient blocks to be read */
    return status;
}

int32_t pl_gradients(pl_session *s, const char *split, int32_t from, int32_t to) {
    pl_shard result = {0};
    session_begin(s);
    pl_status status = gradients(s, split, from, to, &result);
    if (status == PL_OK) {
        pl_write_begin(&s->result, '{');
        pl_write_key_number(&s->result, "loss", result.labels ? result.loss_sum / result.labels : 0.0);
        pl_write_key_number(&s->result, "sum", result.loss_sum);
        pl_write_key_int(&s->result, "labels", result.labels);
        pl_write_end(&s->result, '}');
    }
    return session_end(s, status);
}
