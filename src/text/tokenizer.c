/* Loading and freeing a tokenizer: the order of the parts. */
#include "text/tokenizer.h"

#include "text/tokenizer_parts.h"

enum { FILE_BYTES_MAX = 32 << 20 };

static void free_steps(pl_memory *memory, pl_steps *steps) {
    for (int32_t i = 0; i < steps->count; i++) {
        pl_memory_free(memory, steps->list[i].text);
        pl_memory_free(memory, steps->list[i].content);
    }
}

void pl_tokenizer_free(pl_tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    pl_memory *memory = tokenizer->memory;
    pl_vocab_free(&tokenizer->vocab);
    pl_vocab_free(&tokenizer->added);
    pl_memory_free(memory, tokenizer->flags);
    pl_trie_free(&tokenizer->raw);
    pl_trie_free(&tokenizer->normal);
    pl_map_free(&tokenizer->merges);
    free_steps(memory, &tokenizer->normalizer);
    free_steps(memory, &tokenizer->splitter);
    free_steps(memory, &tokenizer->decoder);
    pl_memory_free(memory, tokenizer->before);
    pl_memory_free(memory, tokenizer->after);
    pl_memory_free(memory, tokenizer);
}

/* The normaliser comes before the added tokens, which go through it. "truncation" and "padding" are ignored,
   as transformers resets them for every call. */
static pl_status load_parts(pl_tokenizer *tokenizer, const pl_json *root, pl_error *error) {
    if (!pl_json_is_object(root))
        return pl_fail(error, PL_ERR_FORMAT, "tokenizer.json must be an object");
    PL_TRY(pl_load_normalizer(tokenizer, pl_json_get(root, "normalizer"), error));
    PL_TRY(pl_load_splitter(tokenizer, pl_json_get(root, "pre_tokenizer"), error));
    PL_TRY(pl_load_decoder(tokenizer, pl_json_get(root, "decoder"), error));
    PL_TRY(pl_load_model(tokenizer, pl_json_get(root, "model"), error));
    PL_TRY(pl_load_added(tokenizer, pl_json_get(root, "added_tokens"), error));
    return pl_load_template(tokenizer, pl_json_get(root, "post_processor"), error);
}

pl_status pl_tokenizer_load(pl_memory *memory, const char *json, size_t length, pl_tokenizer **tokenizer,
                            pl_error *error) {
    *tokenizer = NULL;
    if (length > FILE_BYTES_MAX)
        return pl_fail(error, PL_ERR_RANGE, "tokenizer.json: %zu bytes are over the limit of %d", length,
                       FILE_BYTES_MAX);
    pl_json *root = NULL;
    PL_TRY(pl_json_parse(json, length, "tokenizer.json", &root, error));
    pl_tokenizer *t = pl_memory_alloc(memory, 1, sizeof *t);
    pl_status status = PL_ERR_MEMORY;
    if (t) {
        t->memory = memory;
        status = load_parts(t, root, error);
    } else {
        (void)pl_fail(error, status, "no memory for the tokenizer");
    }
    pl_json_free(root);
    if (status == PL_OK)
        *tokenizer = t;
    else
        pl_tokenizer_free(t);
    return status;
}

int32_t pl_tokenizer_vocab_size(const pl_tokenizer *tokenizer) {
    return tokenizer->vocab.ids > tokenizer->added.ids ? tokenizer->vocab.ids : tokenizer->added.ids;
}
