/* Data sets of a session: text in, tokenised examples with labels out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "session/internal.h"

static pl_split *find_split(pl_session *s, const char *name) {
    for (int32_t i = 0; i < s->split_count; i++)
        if (strcmp(s->splits[i].name, name) == 0)
            return &s->splits[i];
    return NULL;
}

pl_dataset *session_split(pl_session *s, const char *name) {
    pl_split *split = find_split(s, name);
    if (split)
        return split->dataset;
    (void)pl_fail(&s->error, PL_ERR_STATE, "there is no data split \"%s\"; add data first", name);
    return NULL;
}

void session_drop_data(pl_session *s) {
    for (int32_t i = 0; i < s->split_count; i++)
        pl_dataset_free(s->splits[i].dataset);
    s->split_count = 0;
}

static pl_status data_begin(pl_session *s, const char *name, int32_t max_length) {
    PL_TRY(session_need_model(s));
    PL_TRY(session_need_idle(s, "replace data"));
    int32_t room = s->model->config.max_position_embeddings - session_learned_rows(s);
    if (max_length < 0 || max_length > room)
        return pl_fail(
            &s->error, PL_ERR_RANGE,
            "max_length %d is outside 2..%d: the context holds %d positions, learned rows included",
            max_length, room, s->model->config.max_position_embeddings);
    if (!name[0] || strlen(name) >= PL_SPLIT_NAME_SIZE)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "a split needs a name of 1 to %d characters",
                       PL_SPLIT_NAME_SIZE - 1);
    pl_split *split = find_split(s, name);
    if (!split && s->split_count == PL_SESSION_SPLITS_MAX)
        return pl_fail(&s->error, PL_ERR_RANGE, "at most %d data splits fit into a session",
                       PL_SESSION_SPLITS_MAX);
    pl_dataset *dataset;
    PL_TRY(pl_dataset_create(&s->memory, max_length ? max_length : room, s->model->config.vocab_size,
                             &dataset, &s->error));
    if (!split) {
        split = &s->splits[s->split_count++];
        (void)snprintf(split->name, sizeof split->name, "%s", name);
    } else {
        pl_dataset_free(split->dataset);
    }
    split->dataset = dataset;
    return PL_OK;
}

int32_t pl_data_begin(pl_session *s, const char *split, int32_t max_length) {
    session_begin(s);
    return session_end(s, data_begin(s, split, max_length));
}

static pl_status data_move(pl_session *s, const char *from, const char *to) {
    PL_TRY(session_need_idle(s, "replace data"));
    if (!session_split(s, from))
        return s->error.status;
    if (strlen(to) >= PL_SPLIT_NAME_SIZE)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "a split needs a name of 1 to %d characters",
                       PL_SPLIT_NAME_SIZE - 1);
    pl_split *source = find_split(s, from), *target = find_split(s, to);
    if (to[0] && !target) {
        (void)snprintf(source->name, sizeof source->name, "%s", to);
    } else if (source != target) {
        pl_dataset_free(target ? target->dataset : source->dataset);
        if (target)
            target->dataset = source->dataset;
        *source = s->splits[--s->split_count]; /* the order of splits means nothing */
    }
    return PL_OK;
}

int32_t pl_data_move(pl_session *s, const char *from, const char *to) {
    session_begin(s);
    return session_end(s, data_move(s, from, to));
}

typedef struct example_tokens {
    int32_t *all;
    int32_t count, label_from;
} example_tokens;

/* BOS, prompt, completion, EOS. The two texts are encoded apart, so that generating from the prompt sees the tokens that training saw. */
static pl_status encode_example(pl_session *s, const char *prompt, int32_t prompt_length,
                                const char *completion, int32_t completion_length, example_tokens *made) {
    int32_t *head = NULL, *tail = NULL, head_count = 0, tail_count = 0;
    const pl_config *config = &s->model->config;
    PL_TRY(pl_tokenizer_encode(s->tokenizer, &s->memory, prompt ? prompt : "",
                               (size_t)(prompt ? prompt_length : 0), true, &head, &head_count, &s->error));
    pl_status status = pl_tokenizer_encode(s->tokenizer, &s->memory, completion, (size_t)completion_length,
                                           false, &tail, &tail_count, &s->error);
    int32_t *all = status == PL_OK
                       ? pl_memory_alloc(&s->memory, (size_t)head_count + (size_t)tail_count + 2, sizeof *all)
                       : NULL;
    if (status == PL_OK && !all)
        status = pl_fail(&s->error, PL_ERR_MEMORY, "no memory for an example of %d tokens",
                         head_count + tail_count);
    if (status == PL_OK) {
        int32_t n = 0;
        if (config->bos_token_id >= 0 && (head_count == 0 || head[0] != config->bos_token_id))
            all[n++] = config->bos_token_id;
        memcpy(all + n, head, (size_t)head_count * sizeof *all);
        n += head_count;
        made->label_from = n;
        memcpy(all + n, tail, (size_t)tail_count * sizeof *all);
        n += tail_count;
        if (config->eos_token_id >= 0 && tail_count > 0)
            all[n++] = config->eos_token_id;
        made->all = all;
        made->count = n;
    }
    pl_memory_free(&s->memory, head);
    pl_memory_free(&s->memory, tail);
    return status;
}

static pl_status data_add(pl_session *s, const char *split, const char *prompt, int32_t prompt_length,
                          const char *completion, int32_t completion_length) {
    PL_TRY(session_need_idle(s, "add data"));
    pl_dataset *dataset = session_split(s, split);
    if (!dataset)
        return s->error.status;
    if (!s->tokenizer)
        return pl_fail(&s->error, PL_ERR_STATE,
                       "the model has no tokenizer.json: text cannot be encoded, add token ids instead");
    if (completion_length < 0)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "the example has no completion");
    example_tokens made = {0};
    PL_TRY(encode_example(s, prompt, prompt_length < 0 ? 0 : prompt_length, completion, completion_length,
                          &made));
    pl_status status =
        pl_dataset_add(dataset, made.all, made.count, made.label_from, completion_length, &s->error);
    pl_memory_free(&s->memory, made.all);
    return status;
}

int32_t pl_data_add(pl_session *s, const char *split, const char *prompt, int32_t prompt_length,
                    const char *completion, int32_t completion_length) {
    session_begin(s);
    return session_end(s, data_add(s, split, prompt_length < 0 ? NULL : prompt, prompt_length, completion,
                                   completion_length));
}

int32_t pl_data_add_tokens(pl_session *s, const char *split, const int32_t *tokens, int32_t count,
                           int32_t label_from, int32_t bytes) {
    session_begin(s);
    pl_status status = session_need_idle(s, "add data");
    pl_dataset *dataset = status == PL_OK ? session_split(s, split) : NULL;
    if (status == PL_OK)
        status =
            dataset ? pl_dataset_add(dataset, tokens, count, label_from, bytes, &s->error) : s->error.status;
    return session_end(s, status);
}

int32_t pl_data_stats(pl_session *s, const char *split) {
    session_begin(s);
    const pl_dataset *d = session_split(s, split);
    if (!d)
        return session_end(s, s->error.status);
    char fingerprint[24];
    (void)snprintf(fingerprint, sizeof fingerprint, "%016llx", (unsigned long long)d->fingerprint);
    pl_write_begin(&s->result, '{');
    pl_write_key_int(&s->result, "examples", d->example_count);
    pl_write_key_int(&s->result, "tokens", d->token_count);
    pl_write_key_int(&s->result, "labelled_tokens", d->labels);
    pl_write_key_int(&s->result, "labelled_bytes", d->labelled_bytes);
    pl_write_key_int(&s->result, "truncated", d->truncated);
    pl_write_key_int(&s->result, "windows", d->windows);
    pl_write_key_int(&s->result, "duplicates", d->duplicates);
    pl_write_key_int(&s->result, "longest", d->longest);
    pl_write_key_int(&s->result, "max_length", d->max_length);
    pl_write_key_string(&s->result, "fingerprint", fingerprint);
    pl_write_end(&s->result, '}');
    return session_end(s, PL_OK);
}

static pl_status data_loss(pl_session *s, const char *name, int32_t from, int32_t to) {
    const pl_dataset *d = session_split(s, name);
    if (!d)
        return s->error.status;
    int32_t learned = session_learned_rows(s);
    PL_TRY(session_ready(s, d->longest + learned));
    if (s->evaluator.memory && s->evaluator.buffer.row_capacity < d->longest)
        pl_evaluator_free(&s->evaluator);
    if (!s->evaluator.memory) {
        PL_TRY(pl_evaluator_create(&s->memory, s->model, s->active, s->active_count, &s->stack, d->longest,
                                   &s->evaluator, &s->error));
        /* Planning may have moved what it had filled. */
        pl_stack_prepare(s->active, s->active_count, s->model);
    }
    pl_loss sum = {0};
    int64_t bytes = 0;
    pl_write_begin(&s->result, '{');
    pl_write_key(&s->result, "examples");
    pl_write_begin(&s->result, '[');
    for (int32_t i = from; i < to; i++) {
        pl_loss loss;
        PL_TRY(pl_evaluate_example(&s->evaluator, s->model, &s->stack, d, i, &loss, &s->error));
        if (!isfinite(loss.sum))
            return pl_fail(
                &s->error, PL_ERR_NUMERIC,
                "the loss of example %d of \"%s\" is not finite: the weights have diverged; go back "
                "to an earlier state, or train again with a lower learning rate",
                i, name);
        sum.sum += loss.sum;
        sum.labels += loss.labels;
        bytes += d->examples[i].bytes;
        pl_write_number(&s->result, loss.sum);
    }
    pl_write_end(&s->result, ']');
    pl_write_key_number(&s->result, "sum", sum.sum);
    pl_write_key_int(&s->result, "labels", sum.labels);
    pl_write_key_int(&s->result, "bytes", bytes);
    pl_write_end(&s->result, '}');
    return PL_OK;
}

int32_t pl_data_loss(pl_session *s, const char *split, int32_t from, int32_t to) {
    session_begin(s);
    return session_end(s, data_loss(s, split, from, to));
}
