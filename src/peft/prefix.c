/* Prefix tuning. Li, Liang 2021, arXiv:2101.00190.
 *
 * n learned rows of keys and values in every layer, which all tokens attend to before their own (kv = num_key_value_heads * head_dim):
 *
 *      attention(q, [K_l; k], [V_l; v])        K_l, V_l [n, kv] trained, one pair per layer l
 *
 * Seen from one query q, softmax over both parts is a mixture (He et al. 2022, arXiv:2110.04366, section 3.1):
 *
 *      (1 - g) attention(q, k, v) + g attention(q, K_l, V_l)        g: the share of q's attention that the prefix gets
 *
 * g depends on the token, so no fixed change of weights does the same, and a prefix cannot be merged. K_l = 0 is no no-op either: a score
 * of 0 still takes its share. The keys are used as they are, without RoPE: they are entries of the cache, where keys lie rotated already.
 *
 * The attention kernel has their gradients, as for any keys and values (kernels/attention.c). The model reads them per layer as
 * contiguous [n, kv] blocks; the file (and peft) has one row per virtual token, table[n, layers * 2 * kv]. prepare() and finish()
 * translate, and run the optional re-parameterisation network, which the authors found to train more steadily than the rows themselves (one
 * weight of it moves the rows of every layer). Only its result is kept in the file:
 *
 *      table = tanh(E W0^T + b0) W2^T + b2     E [n, kv], W0 [e, kv], W2 [layers * 2 * kv, e], e = encoder_hidden_size
 */
#include "peft/virtual.h"

#include <math.h>
#include <string.h>

#include "base/exact.h"
#include "base/pieces.h"
#include "kernels/kernels.h"

enum { TABLE, EMBEDDING, IN_WEIGHT, IN_BIAS, OUT_WEIGHT, OUT_BIAS /* slots */ };
enum {
    OPTION_TOKENS,
    OPTION_INIT,
    OPTION_TEXT,
    OPTION_PROJECTION,
    OPTION_HIDDEN,
    OPTION_SHIFTS,
    OPTION_COUNT
};
enum { INIT_RANDOM, INIT_ZERO, INIT_VOCAB, INIT_TEXT };

static const pl_option OPTIONS[OPTION_COUNT] = {
    PL_VIRTUAL_TOKENS_OPTION(10, "Virtual tokens per layer",
                             "How many learned key/value rows every layer gets. Each costs 2 x layers x "
                             "key/value width numbers."),
    {.name = "prefix_init",
     .type = PL_OPTION_CHOICE,
     .maximum = 3,
     .step = 1,
     .initial = INIT_VOCAB,
     .choices = "random|zero|vocab|text",
     .label = "Start from",
     .help = "vocab: the keys and values the model computes for random tokens; text: those of a text you "
             "give; random: normal numbers "
             "of size 1, peft's default; zero: zeros (not without effect: each zero key still takes "
             "attention). With the projection "
             "network on, only random applies."},
    PL_VIRTUAL_TEXT_OPTION(
        "Only for start = text: cut to the number of virtual tokens, or repeated until it is long enough."),
    {.name = "prefix_projection",
     .type = PL_OPTION_BOOL,
     .maximum = 1,
     .step = 1,
     .label = "Projection network",
     .help = "Train a small network that produces the rows instead of the rows themselves; only its result "
             "is stored.",
     .level = 1},
    {.name = "encoder_hidden_size",
     .type = PL_OPTION_INT,
     .maximum = 65536,
     .step = 1,
     .label = "Projection width",
     .help = "Hidden width of the projection network; 0 takes the key/value width, as peft does.",
     .level = 2},
    {.name = "memory_shifts",
     .type = PL_OPTION_BOOL,
     .maximum = 1,
     .step = 1,
     .initial = 1,
     .label = "Tokens start after the prefix",
     .help = "On: the first real token has position n, as in peft. Off: position 0, as in AdapterHub. Files "
             "are only interchangeable "
             "with the keys rotated.",
     .level = 2},
};

/* One allocation: this header, then the arrays it points into. */
typedef struct prefix_state {
    real *rows, *drows; /* [layer][k, v][n, kv]: what memory_kv hands out, and its gradients */
    real *z, *hidden, *table, *dhidden;      /* projection: [n, e], [n, e], [n, columns], [n, e] */
    real *in, *in_t, *out, *out_t, *scratch; /* packed weights; of pl_gemm_outer */
} prefix_state;

static int32_t tokens_of(const pl_options *options) { return (int32_t)options->number[OPTION_TOKENS]; }
static bool projects(const pl_options *options) { return options->number[OPTION_PROJECTION] > 0.0; }
static int32_t kv_width(const pl_config *config) { return config->num_key_value_heads * config->head_dim; }

static int32_t hidden_width(const pl_options *options, const pl_config *config) {
    int32_t width = (int32_t)options->number[OPTION_HIDDEN];
    return width > 0 ? width : kv_width(config);
}

int64_t pl_prefix_columns(const pl_config *config) {
    return (int64_t)config->num_hidden_layers * 2 * kv_width(config);
}

static pl_status check(const pl_options *options, const pl_config *config, pl_error *error) {
    int32_t init = (int32_t)options->number[OPTION_INIT];
    PL_TRY(pl_virtual_check(tokens_of(options), config, error));
    if (projects(options) && (init == INIT_TEXT || init == INIT_ZERO))
        return pl_fail(
            error, PL_ERR_ARGUMENT,
            "prefix_init %s sets the rows themselves, but with prefix_projection a network computes them; "
            "choose random, or switch prefix_projection off",
            init == INIT_TEXT ? "text" : "zero");
    return PL_OK;
}

static pl_status file_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    pl_tensor table = pl_tensor_matrix(PL_NONE, PL_NONE, TABLE, tokens_of(options), pl_prefix_columns(config),
                                       PL_INIT_NORMAL, 1.0);
    int32_t init = (int32_t)options->number[OPTION_INIT];
    table.init = init == INIT_RANDOM ? PL_INIT_NORMAL : init == INIT_ZERO ? PL_INIT_ZERO : PL_INIT_CUSTOM;
    pl_tensor_name(&table, "prompt_embeddings");
    return pl_layout_add(layout, &table);
}

/* torch.nn.Embedding draws N(0, 1); torch.nn.Linear draws weight and bias from U(-1/sqrt(in), 1/sqrt(in)). */
static pl_status declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    if (!projects(options))
        return file_declare(options, config, layout);
    int64_t n = tokens_of(options), d = kv_width(config), e = hidden_width(options, config),
            columns = pl_prefix_columns(config);
    double in_bound = 1.0 / sqrt((double)d), out_bound = 1.0 / sqrt((double)e);
    pl_tensor tensors[] = {
        pl_tensor_matrix(PL_NONE, PL_NONE, EMBEDDING, n, d, PL_INIT_NORMAL, 1.0),
        pl_tensor_matrix(PL_NONE, PL_NONE, IN_WEIGHT, e, d, PL_INIT_UNIFORM, in_bound),
        pl_tensor_vector(PL_NONE, PL_NONE, IN_BIAS, e, PL_INIT_UNIFORM, in_bound),
        pl_tensor_matrix(PL_NONE, PL_NONE, OUT_WEIGHT, columns, e, PL_INIT_UNIFORM, out_bound),
        pl_tensor_vector(PL_NONE, PL_NONE, OUT_BIAS, columns, PL_INIT_UNIFORM, out_bound),
    };
    static const char *const names[] = {"embedding.weight", "transform.0.weight", "transform.0.bias",
                                        "transform.2.weight", "transform.2.bias"};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        pl_tensor_name(&tensors[i], "%s", names[i]);
        tensors[i].transient = true;
        PL_TRY(pl_layout_add(layout, &tensors[i]));
    }
    return PL_OK;
}

static void needs(const pl_options *options, const pl_config *config, pl_needs *needs) {
    (void)config;
    *needs = (pl_needs){.memory_tokens = tokens_of(options),
                        .memory_shifts = options->number[OPTION_SHIFTS] > 0.0};
}

/* Places every array of the state (or only measures them). */
static void place_state(const pl_options *options, const pl_config *config, pl_pieces *pieces,
                        prefix_state *state) {
    int32_t n = tokens_of(options), columns = (int32_t)pl_prefix_columns(config);
    state->rows = pl_pieces_take(pieces, (int64_t)n * columns);
    state->drows = pl_pieces_take(pieces, (int64_t)n * columns);
    if (!projects(options))
        return;
    int32_t d = kv_width(config), e = hidden_width(options, config), wide = d > e ? d : e;
    state->z = pl_pieces_take(pieces, (int64_t)n * e);
    state->hidden = pl_pieces_take(pieces, (int64_t)n * e);
    state->dhidden = pl_pieces_take(pieces, (int64_t)n * e);
    state->table = pl_pieces_take(pieces, (int64_t)n * columns);
    state->in = pl_pieces_take(pieces, pl_pack_size(e, d));
    state->in_t = pl_pieces_take(pieces, pl_pack_size(d, e));
    state->out = pl_pieces_take(pieces, pl_pack_size(columns, e));
    state->out_t = pl_pieces_take(pieces, pl_pack_size(e, columns));
    state->scratch = pl_pieces_take(pieces, pl_pack_size(wide, n));
}

/* Random context tokens for init vocab; for text, the text's. */
static pl_status start_table(pl_module *module, const pl_model *model, uint64_t seed, pl_error *error) {
    const pl_options *options = &module->options;
    int32_t n = tokens_of(options), init = (int32_t)options->number[OPTION_INIT];
    real *table = pl_module_values(module, PL_NONE, PL_NONE, TABLE);
    if (init == INIT_TEXT && options->init_token_count < 1)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "prefix_init is text, but init_text is empty; give a text or choose vocab");
    if (init == INIT_TEXT)
        PL_TRY(pl_prefix_capture(module->memory, model, options->init_tokens, options->init_token_count, n,
                                 table, error));
    if (init == INIT_VOCAB) {
        pl_rng rng = pl_rng_stream(seed, 0);
        int32_t *tokens = pl_memory_alloc(module->memory, (size_t)n, sizeof *tokens);
        if (!tokens)
            return pl_fail(error, PL_ERR_MEMORY, "no memory for %d initial tokens", n);
        for (int32_t i = 0; i < n; i++)
            tokens[i] = pl_rng_below(&rng, model->config.vocab_size);
        pl_status status = pl_prefix_capture(module->memory, model, tokens, n, n, table, error);
        pl_memory_free(module->memory, tokens);
        PL_TRY(status);
    }
    if ((init == INIT_VOCAB || init == INIT_TEXT) && options->number[OPTION_SHIFTS] <= 0.0)
        pl_prefix_rotate(&module->config, n, -n, table);
    return PL_OK;
}

static pl_status start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    prefix_state measure;
    pl_pieces pieces = {0};
    place_state(&module->options, &module->config, &pieces, &measure);
    module->state = pl_pieces_block(module->memory, sizeof measure, &pieces, &pieces.base);
    if (!module->state)
        return pl_fail(error, PL_ERR_MEMORY,
                       "no memory for the %lld numbers of the prefix; choose fewer virtual tokens",
                       (long long)pieces.used);
    pieces.used = 0;
    place_state(&module->options, &module->config, &pieces, module->state);
    return projects(&module->options) ? PL_OK : start_table(module, model, seed, error);
}

static real *value(const pl_module *module, int32_t slot) {
    return pl_module_values(module, PL_NONE, PL_NONE, slot);
}
static real *gradient(const pl_module *module, int32_t slot) {
    return pl_module_gradients(module, PL_NONE, PL_NONE, slot);
}

/* z = E W0^T + b0;  hidden = tanh z;  table = hidden W2^T + b2 */
static void project(const pl_module *module) {
    prefix_state *state = module->state;
    int32_t n = tokens_of(&module->options), d = kv_width(&module->config),
            e = hidden_width(&module->options, &module->config);
    int32_t columns = (int32_t)pl_prefix_columns(&module->config);
    pl_pack(value(module, IN_WEIGHT), e, d, state->in);
    pl_pack_transposed(value(module, IN_WEIGHT), e, d, state->in_t);
    pl_pack(value(module, OUT_WEIGHT), columns, e, state->out);
    pl_pack_transposed(value(module, OUT_WEIGHT), columns, e, state->out_t);
    pl_gemm(value(module, EMBEDDING), n, d, state->in, e, state->z, false);
    pl_add_rows(value(module, IN_BIAS), n, e, state->z);
    pl_activation_forward(PL_ACT_TANH, state->z, state->hidden, (size_t)n * (size_t)e);
    pl_gemm(state->hidden, n, e, state->out, columns, state->table, false);
    pl_add_rows(value(module, OUT_BIAS), n, columns, state->table);
}

/* table[n, L*2*kv] <-> rows[L*2][n, kv] */
static void table_to_rows(const pl_config *config, int32_t n, const real *table, real *rows) {
    size_t kv = (size_t)kv_width(config), blocks = 2 * (size_t)config->num_hidden_layers;
    for (size_t b = 0; b < blocks; b++)
        for (size_t j = 0; j < (size_t)n; j++)
            memcpy(rows + (b * (size_t)n + j) * kv, table + (j * blocks + b) * kv, kv * sizeof(real));
}

static void rows_add_to_table(const pl_config *config, int32_t n, const real *rows, real *table) {
    size_t kv = (size_t)kv_width(config), blocks = 2 * (size_t)config->num_hidden_layers;
    for (size_t b = 0; b < blocks; b++)
        for (size_t j = 0; j < (size_t)n; j++)
            pl_add(rows + (b * (size_t)n + j) * kv, table + (j * blocks + b) * kv, kv);
}

static void prepare(pl_module *module, const pl_model *model) {
    (void)model;
    prefix_state *state = module->state;
    if (projects(&module->options))
        project(module);
    table_to_rows(&module->config, tokens_of(&module->options),
                  projects(&module->options) ? state->table : value(module, TABLE), state->rows);
}

/* Reverses project(): dtable[n, columns] -> gradients of the five tensors (+=). */
static void project_backward(pl_module *module, const real *dtable) {
    prefix_state *state = module->state;
    int32_t n = tokens_of(&module->options), d = kv_width(&module->config),
            e = hidden_width(&module->options, &module->config);
    int32_t columns = (int32_t)pl_prefix_columns(&module->config);
    pl_gemm_outer(dtable, state->hidden, n, columns, e, 1, gradient(module, OUT_WEIGHT), state->scratch);
    pl_sum_rows(dtable, n, columns, gradient(module, OUT_BIAS));
    pl_gemm(dtable, n, columns, state->out_t, e, state->dhidden, false);
    pl_activation_backward(PL_ACT_TANH, state->z, state->dhidden, state->dhidden, (size_t)n * (size_t)e);
    pl_gemm_outer(state->dhidden, value(module, EMBEDDING), n, e, d, 1, gradient(module, IN_WEIGHT),
                  state->scratch);
    pl_sum_rows(state->dhidden, n, e, gradient(module, IN_BIAS));
    pl_gemm(state->dhidden, n, e, state->in_t, d, gradient(module, EMBEDDING), true);
}

/* Collects the gradients of all layers and clears them: called again before another backward it adds nothing. */
static void finish(pl_module *module) {
    prefix_state *state = module->state;
    int32_t n = tokens_of(&module->options);
    size_t size = (size_t)n * (size_t)pl_prefix_columns(&module->config);
    if (module->gradients && !projects(&module->options)) {
        rows_add_to_table(&module->config, n, state->drows, gradient(module, TABLE));
    } else if (module->gradients) {
        pl_fill(state->table, 0, size); /* its values have been copied to rows; now it carries the gradient */
        rows_add_to_table(&module->config, n, state->drows, state->table);
        project_backward(module, state->table);
    }
    pl_fill(state->drows, 0, size);
}

static void memory_kv(void *self, int32_t layer, pl_memory_kv *out) {
    const pl_module *module = self;
    const prefix_state *state = module->state;
    size_t size = (size_t)tokens_of(&module->options) * (size_t)kv_width(&module->config);
    size_t k = 2 * (size_t)layer * size, v = k + size;
    *out = (pl_memory_kv){.k = state->rows + k, .v = state->rows + v};
    if (module->gradients) {
        out->dk = state->drows + k;
        out->dv = state->drows + v;
    }
}

void pl_prefix_table(const pl_module *module, real *table) {
    const prefix_state *state = module->state;
    size_t size = (size_t)tokens_of(&module->options) * (size_t)pl_prefix_columns(&module->config);
    if (!projects(&module->options)) {
        memcpy(table, value(module, TABLE), size * sizeof(real));
        return;
    }
    project(module);
    memcpy(table, state->table, size * sizeof(real));
}

void pl_prefix_rotate(const pl_config *config, int32_t n, int32_t shift, real *table) {
    int32_t kv = kv_width(config), half = config->head_dim / 2;
    double frequencies[PL_ROPE_PAIRS_MAX];
    pl_config_rope_frequencies(config, frequencies);
    for (int32_t row = 0; row < n * config->num_hidden_layers; row++) {
        /* rows are [layer][k, v][kv], so every other kv block holds keys */
        real *keys = table + (size_t)row * 2 * (size_t)kv;
        for (int32_t i = 0; i < config->num_key_value_heads * half; i++) {
            int32_t c = i % half, low = i / half * config->head_dim + c, high = low + half;
            double cosine, sine;
            pl_exact_sin_cos(shift * frequencies[c], &sine, &cosine);
            double a = (double)keys[low], b = (double)keys[high];
            keys[low] = (real)(a * cosine - b * sine);
            keys[high] = (real)(b * cosine + a * sine);
        }
    }
}

/* Scores and weighted sum over n more rows: 2 * 2 FLOPs per head dimension and row, in every layer. */
static double flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)context;
    return 4.0 * (double)tokens_of(options) * (double)config->num_attention_heads * (double)config->head_dim *
           (double)config->num_hidden_layers;
}

const pl_method PL_METHOD_PREFIX = {
    .name = "prefix",
    .label = "Prefix tuning",
    .summary = "Gives every layer a few learned keys and values to attend to, as if the model remembered a "
               "text that was never written.",
    .paper = "Li, Liang 2021, arXiv:2101.00190",
    .options = OPTIONS,
    .option_count = OPTION_COUNT,
    .cannot_merge = "A prefix adds rows to the attention cache, and how much each token listens to them "
                    "depends on that token: no fixed "
                    "weight matrix does the same.",
    .check = check,
    .declare = declare,
    .needs = needs,
    .start = start,
    .prepare = prepare,
    .finish = finish,
    .flops = flops,
    .memory_kv = memory_kv,
    .file_declare = file_declare,
};
