/* Learned rows: prompt tuning (rows of the embedding space in front of the tokens) and prefix tuning (rows of keys and values in every
 * layer), and the exact conversions between them. */
#ifndef PL_PEFT_VIRTUAL_H
#define PL_PEFT_VIRTUAL_H

#include "peft/methods.h"

/* "prompt": Lester, Al-Rfou, Constant 2021, arXiv:2104.08691. One tensor, prompt_embeddings [n, hidden_size]. */
extern const pl_method PL_METHOD_PROMPT;

/* "prefix": Li, Liang 2021, arXiv:2101.00190. What is stored is the flat table prompt_embeddings [n, layers * 2 * kv], kv =
 * num_key_value_heads * head_dim: row j holds, layer by layer, the keys K_l[kv] and then the values V_l[kv] of virtual token j. Keys are
 * cache entries: no RoPE is applied to them any more. */
extern const pl_method PL_METHOD_PREFIX;

/* ---- prompt.c: what both methods share ------------------------------------------------------------------------------------------ */

/* Rows of the option tables. */
#define PL_VIRTUAL_TOKENS_OPTION(count, title, text)                                                         \
    {                                                                                                        \
        .name = "num_virtual_tokens", .type = PL_OPTION_INT, .minimum = 1, .maximum = 1024, .step = 1,       \
        .initial = (count), .label = (title), .help = (text)                                                 \
    }
#define PL_VIRTUAL_TEXT_OPTION(text)                                                                         \
    {                                                                                                        \
        .name = "init_text", .type = PL_OPTION_TEXT, .initial_text = "", .label = "Initial text",            \
        .help = (text), .level = 1                                                                           \
    }
/* Refuses n virtual tokens that leave no position for a token. */
pl_status pl_virtual_check(int32_t n, const pl_config *config, pl_error *error);

/* ---- prefix.c ------------------------------------------------------------------------------------------------------------------- */

/* Columns of the table: layers * 2 * num_key_value_heads * head_dim. */
int64_t pl_prefix_columns(const pl_config *config);

/* Writes the table [num_virtual_tokens, pl_prefix_columns] of a prefix module as peft's file holds it. With prefix_projection it is what
   the network computes from its present weights (the network itself is never stored, as in peft). */
void pl_prefix_table(const pl_module *module, real *table);

/* Rotates every key of table[n, columns] by RoPE(shift), in double precision; values are untouched. peft lets the tokens start at position n,
   AdapterHub at 0; scores depend on position differences only, so pl_prefix_rotate(.., -n) turns a peft table into an equivalent
   AdapterHub one (memory_shifts false), and +n turns it back. */
void pl_prefix_rotate(const pl_config *config, int32_t n, int32_t shift, real *table);

/* ---- prefix_capture.c ------------------------------------------------------------------------------------------------------------- */

/* Fills table[n, columns] with the keys and values the base model (no modules) computes for n tokens at positions 0 .. n-1: tokens[count]
   cut to n, or repeated from its start until there are n. Errors: PL_ERR_ARGUMENT when count is 0, PL_ERR_RANGE for a foreign token. */
pl_status pl_prefix_capture(pl_memory *memory, const pl_model *model, const int32_t *tokens, int32_t count,
                            int32_t n, real *table, pl_error *error);

/* Compiles the learned embedding rows of modules[count] (a prompt, or a prompt with other modules that are active beside it) into a new
   flat prefix module with the same outputs: the keys and values those rows produce in every layer are captured. Use it in place of the
   prompt modules and beside all the others. Errors: PL_ERR_STATE when no module has virtual
   rows, PL_ERR_UNSUPPORTED beside a prefix without memory_shifts. */
pl_status pl_prefix_from_prompt(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                                const char *name, pl_module **prefix, pl_error *error);

#endif
