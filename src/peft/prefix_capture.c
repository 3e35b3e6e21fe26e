/* Prefixes read off the model: the keys and values it computes for a text or for learned embedding rows. */
#include <string.h>

#include "peft/virtual.h"

/* Copies cached rows [first, first + n) of every layer into table[n, layers * 2 * kv]. */
static void copy_cache(const pl_decoder *decoder, const pl_config *config, int32_t first, int32_t n,
                       real *table) {
    size_t kv = (size_t)config->num_key_value_heads * (size_t)config->head_dim,
           columns = (size_t)pl_prefix_columns(config);
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        const real *k, *v;
        pl_decoder_cache(decoder, layer, &k, &v);
        for (size_t j = 0; j < (size_t)n; j++) {
            real *row = table + j * columns + 2 * (size_t)layer * kv;
            memcpy(row, k + ((size_t)first + j) * kv, kv * sizeof(real));
            memcpy(row + kv, v + ((size_t)first + j) * kv, kv * sizeof(real));
        }
    }
}

pl_status pl_prefix_capture(pl_memory *memory, const pl_model *model, const int32_t *tokens, int32_t count,
                            int32_t n, real *table, pl_error *error) {
    static const pl_stack no_modules = {.count = 0};
    if (count < 1)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "a prefix cannot be read off an empty text; give at least one token");
    pl_decoder *decoder = NULL;
    PL_TRY(pl_decoder_create(memory, model, &no_modules, n, &decoder, error));
    pl_status status = PL_OK;
    for (int32_t done = 0;
         status == PL_OK && done < n;) { /* attention is causal: rows after the n-th would not change these */
        int32_t step = count < n - done ? count : n - done;
        status = pl_decoder_feed(decoder, tokens, step, NULL, error);
        done += step;
    }
    if (status == PL_OK)
        copy_cache(decoder, &model->config, 0, n, table);
    pl_decoder_free(decoder);
    return status;
}

/* Rows of the stack's learned embedding rows in the cache: after its own learned keys. */
static void learned_rows(const pl_stack *stack, int32_t *first, int32_t *n) {
    *first = *n = 0;
    for (int32_t i = 0; i < stack->count; i++) {
        *first += stack->hooks[i].memory_tokens;
        *n += stack->hooks[i].virtual_tokens;
    }
}

static pl_status fill_from_stack(pl_memory *memory, const pl_model *model, const pl_stack *stack,
                                 pl_module *prefix, pl_error *error) {
    int32_t first, n, token = 0;
    learned_rows(stack, &first, &n);
    pl_decoder *decoder = NULL;
    PL_TRY(pl_decoder_create(memory, model, stack, first + n + 1, &decoder, error));
    /* The learned rows run before the first token whatever it is, so any token will do to set them off. */
    pl_status status = pl_decoder_feed(decoder, &token, 1, NULL, error);
    if (status == PL_OK)
        copy_cache(decoder, &model->config, first, n, pl_module_values(prefix, PL_NONE, PL_NONE, 0));
    pl_decoder_free(decoder);
    return status;
}

pl_status pl_prefix_from_prompt(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                                const char *name, pl_module **prefix, pl_error *error) {
    pl_stack stack;
    int32_t first, n;
    *prefix = NULL;
    PL_TRY(pl_stack_build(modules, count, &stack, error));
    learned_rows(&stack, &first, &n);
    if (n < 1)
        return pl_fail(error, PL_ERR_STATE,
                       "there is no prompt to compile: none of the active modules has virtual tokens");
    for (int32_t i = 0; i < stack.count; i++)
        if (stack.hooks[i].memory_tokens > 0 && !stack.hooks[i].memory_shifts)
            return pl_fail(
                error, PL_ERR_UNSUPPORTED,
                "a prompt beside a prefix whose tokens start at position 0 (memory_shifts off) has no "
                "equivalent prefix: the tokens would move; convert that prefix first");
    pl_options options;
    pl_options_default(&PL_METHOD_PREFIX, &model->config, &options);
    options.number[pl_option_index(&PL_METHOD_PREFIX, "num_virtual_tokens")] = n;
    options.number[pl_option_index(&PL_METHOD_PREFIX, "prefix_init")] = 0; /* random: overwritten below */
    pl_module *made = NULL;
    PL_TRY(pl_module_create(memory, model, &options, name, 1, &made, error));
    pl_extent extent = {.rows = PL_DECODE_ROWS, .seqs = 1, .labels = 1};
    pl_status status = PL_OK;
    for (int32_t i = 0; status == PL_OK && i < count; i++)
        status = pl_module_plan(modules[i], &extent, error);
    pl_stack_prepare(modules, count, model); /* planning moves what it fills */
    if (status == PL_OK)
        status = fill_from_stack(memory, model, &stack, made, error);
    if (status != PL_OK) {
        pl_module_free(made);
        return status;
    }
    pl_stack_prepare(&made, 1, model);
    *prefix = made;
    return PL_OK;
}
