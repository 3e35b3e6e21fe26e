/* Tokens, logits and generation. */
#include <string.h>

#include "kernels/kernels.h"
#include "session/internal.h"

static pl_status need_tokenizer(pl_session *s) {
    PL_TRY(session_need_model(s));
    return s->tokenizer ? PL_OK
                        : pl_fail(&s->error, PL_ERR_STATE,
                                  "the model was loaded without a tokenizer.json: pass token ids");
}

static pl_status encode(pl_session *s, const char *text, int32_t length, bool add_special) {
    int32_t *tokens = NULL, count = 0;
    PL_TRY(need_tokenizer(s));
    PL_TRY(pl_tokenizer_encode(s->tokenizer, &s->memory, text, (size_t)(length < 0 ? 0 : length), add_special,
                               &tokens, &count, &s->error));
    pl_text_bytes(&s->result, (const char *)tokens, (size_t)count * sizeof *tokens);
    pl_memory_free(&s->memory, tokens);
    return PL_OK;
}

int32_t pl_encode(pl_session *s, const char *text, int32_t length, int32_t add_special) {
    session_begin(s);
    return session_end(s, encode(s, text, length, add_special != 0));
}

static pl_status decode(pl_session *s, const int32_t *tokens, int32_t count, bool skip_special) {
    char *text = NULL;
    size_t length = 0;
    PL_TRY(need_tokenizer(s));
    PL_TRY(pl_tokenizer_decode(s->tokenizer, &s->memory, tokens, count, skip_special, &text, &length,
                               &s->error));
    pl_text_bytes(&s->result, text, length);
    pl_memory_free(&s->memory, text);
    return PL_OK;
}

int32_t pl_decode(pl_session *s, const int32_t *tokens, int32_t count, int32_t skip_special) {
    session_begin(s);
    return session_end(s, decode(s, tokens, count, skip_special != 0));
}

static pl_status check_tokens(pl_session *s, const int32_t *tokens, int32_t count) {
    const pl_config *config = &s->model->config;
    int32_t room = config->max_position_embeddings - session_learned_rows(s);
    if (count < 1)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "the text is empty: at least one token is needed");
    if (count > room)
        return pl_fail(&s->error, PL_ERR_RANGE,
                       "the text has %d tokens, the context holds %d (learned rows excluded); shorten it",
                       count, room);
    for (int32_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= config->vocab_size)
            return pl_fail(&s->error, PL_ERR_RANGE, "token %d at position %d is outside the vocabulary of %d",
                           tokens[i], i, config->vocab_size);
    return PL_OK;
}

/* A workspace for `count` tokens, kept for the next call of the same size or less. */
static pl_status ready_for_logits(pl_session *s, int32_t count) {
    int32_t rows = count + session_learned_rows(s);
    PL_TRY(session_ready(s, rows));
    if (s->logits_workspace && s->logits_rows >= rows)
        return PL_OK;
    pl_workspace_free(s->logits_workspace);
    s->logits_workspace = NULL;
    pl_extent extent = {.rows = rows, .seqs = 1, .labels = count, .training = false};
    PL_TRY(pl_workspace_create(&s->memory, s->model, &s->stack, &extent, &s->logits_workspace, &s->error));
    s->logits_rows = rows;
    return PL_OK;
}

static pl_status logits(pl_session *s, const int32_t *tokens, int32_t count) {
    PL_TRY(session_need_model(s));
    PL_TRY(check_tokens(s, tokens, count));
    PL_TRY(ready_for_logits(s, count));
    int32_t vocab = s->model->config.vocab_size;
    real *values = pl_memory_alloc(&s->memory, (uint64_t)count * (uint64_t)vocab, sizeof *values);
    if (!values)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for logits of %d tokens", count);
    const int32_t starts[2] = {0, count};
    pl_batch batch = {.seq_count = 1, .row_count = count, .seq_start = starts, .tokens = tokens};
    pl_status status = pl_forward_logits(s->model, &s->stack, s->logits_workspace, &batch, values, &s->error);
    for (int64_t i = 0; status == PL_OK && i < (int64_t)count * vocab; i++) {
        float value = (float)values[i];
        pl_text_bytes(&s->result, (const char *)&value, sizeof value);
    }
    pl_memory_free(&s->memory, values);
    return status;
}

int32_t pl_logits(pl_session *s, const int32_t *tokens, int32_t count) {
    session_begin(s);
    return session_end(s, logits(s, tokens, count));
}

static pl_status read_sampling(pl_session *s, const pl_json *root) {
    pl_generation *g = &s->generation;
    const char *what = "generation options";
    int64_t max_new = 64, top_k = 0, seed = 1;
    double temperature = 0.7, top_p = 1.0;
    bool stop = true;
    static const char *const known[] = {"max_new_tokens", "temperature", "top_k",
                                        "top_p",          "seed",        "stop_at_eos"};
    PL_TRY(pl_json_only(root, what, known, sizeof known / sizeof known[0], &s->error));
    PL_TRY(pl_json_get_int(root, what, "max_new_tokens", false, 1, 100000, &max_new, &s->error));
    PL_TRY(pl_json_get_number(root, what, "temperature", false, 0.0, 100.0, &temperature, &s->error));
    PL_TRY(pl_json_get_int(root, what, "top_k", false, 0, 1 << 20, &top_k, &s->error));
    PL_TRY(pl_json_get_number(root, what, "top_p", false, 0.0, 1.0, &top_p, &s->error));
    PL_TRY(pl_json_get_int(root, what, "seed", false, 0, (int64_t)1 << 53, &seed, &s->error));
    PL_TRY(pl_json_get_bool(root, what, "stop_at_eos", false, &stop, &s->error));
    g->sampling = (pl_sampling){.temperature = temperature, .top_k = (int32_t)top_k, .top_p = top_p};
    g->rng = pl_rng_stream((uint64_t)seed, 0x5A);
    g->left = (int32_t)max_new;
    g->stop_at_eos = stop;
    return PL_OK;
}

static pl_status ready_for_generation(pl_session *s) {
    pl_generation *g = &s->generation;
    const pl_config *config = &s->model->config;
    PL_TRY(session_ready(s, config->max_position_embeddings));
    if (g->decoder) {
        pl_decoder_reset(g->decoder);
        return PL_OK;
    }
    PL_TRY(pl_decoder_create(&s->memory, s->model, &s->stack, config->max_position_embeddings, &g->decoder,
                             &s->error));
    g->logits = pl_memory_alloc(&s->memory, (size_t)config->vocab_size, sizeof *g->logits);
    g->scratch = pl_memory_alloc(&s->memory, (size_t)config->vocab_size, sizeof *g->scratch);
    if (!g->logits || !g->scratch)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for generation");
    return PL_OK;
}

static pl_status generate_begin(pl_session *s, const int32_t *tokens, int32_t count, const char *json,
                                int32_t length) {
    pl_json *root = NULL;
    s->generation.running = false;
    PL_TRY(session_need_model(s));
    PL_TRY(check_tokens(s, tokens, count));
    PL_TRY(ready_for_generation(s));
    PL_TRY(session_parse(s, json, length, &root));
    pl_status status = read_sampling(s, root);
    pl_json_free(root);
    PL_TRY(status);
    PL_TRY(pl_decoder_feed(s->generation.decoder, tokens, count, s->generation.logits, &s->error));
    s->generation.pending = PL_NONE;
    s->generation.running = true;
    return PL_OK;
}

int32_t pl_generate_begin(pl_session *s, const int32_t *tokens, int32_t count, const char *json,
                          int32_t length) {
    session_begin(s);
    pl_status status = generate_begin(s, tokens, count, json, length);
    if (status == PL_ERR_MEMORY)
        session_invalidate(s);
    return session_end(s, status);
}

/* The next token, PL_NONE at the end. The token sampled last time is fed first, so no work is done for a token nobody asks for. */
static pl_status generate_next(pl_session *s, int32_t *token) {
    pl_generation *g = &s->generation;
    const pl_config *config = &s->model->config;
    *token = PL_NONE;
    bool full = g->pending != PL_NONE && pl_decoder_length(g->decoder) >= config->max_position_embeddings;
    if (g->left == 0 || full)
        return PL_OK;
    if (g->pending != PL_NONE)
        PL_TRY(pl_decoder_feed(g->decoder, &g->pending, 1, g->logits, &s->error));
    if (!pl_all_finite(g->logits, (size_t)config->vocab_size))
        return pl_fail(&s->error, PL_ERR_NUMERIC,
                       "the logits are not finite: the weights have diverged; go back to an earlier state");
    int32_t next = pl_sample(g->logits, config->vocab_size, &g->sampling, &g->rng, g->scratch);
    g->pending = next;
    g->left--;
    if (g->stop_at_eos && pl_config_ends(config, next))
        return PL_OK;
    *token = next;
    return PL_OK;
}

int32_t pl_generate_next(pl_session *s) {
    int32_t token;
    session_begin(s);
    if (!s->generation.running) {
        (void)pl_fail(&s->error, PL_ERR_STATE,
                      "no generation is running (a change of model or modules ends it): begin again");
        return -2;
    }
    if (generate_next(s, &token) != PL_OK)
        return -2;
    s->generation.running = token != PL_NONE;
    return token;
}
