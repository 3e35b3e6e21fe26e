/* Prompt tuning. Lester, Al-Rfou, Constant 2021, arXiv:2104.08691.
 *
 * n learned rows P[n, hidden_size] of the embedding space stand in front of every sequence, before its first token:
 *
 *      x = [P; E[tokens]]     [n + T, hidden_size]        dP += dx[0 .. n)     summed over the sequences
 *
 * The frozen model does the rest: this is its own backward pass carried on down to the input, past every layer. So few
 * numbers do not make a cheap step. Rows of the vocabulary are a better start than random ones, the authors found, except in the
 * largest models; and the method catches up with full fine-tuning only there. Real tokens start at position n; the
 * learned rows are never a loss target, and the last one predicts nothing (all methods have the same targets). */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "peft/virtual.h"

enum { TABLE /* the only slot */ };
enum { OPTION_TOKENS, OPTION_INIT, OPTION_TEXT, OPTION_COUNT };
enum { INIT_RANDOM, INIT_SCALED, INIT_VOCAB, INIT_TEXT };

static const pl_option OPTIONS[OPTION_COUNT] = {
    PL_VIRTUAL_TOKENS_OPTION(20, "Virtual tokens",
                             "How many learned rows stand in front of the text. More rows hold more, and "
                             "make every sequence longer."),
    {.name = "prompt_tuning_init",
     .type = PL_OPTION_CHOICE,
     .maximum = 3,
     .step = 1,
     .initial = INIT_VOCAB,
     .choices = "random|scaled|vocab|text",
     .label = "Start from",
     .help = "vocab: rows of random tokens; text: the rows of a text you give, cut or repeated; random: "
             "normal numbers of size 1 as "
             "peft does; scaled: normal numbers of the size of this model's embeddings."},
    PL_VIRTUAL_TEXT_OPTION("Only for start = text: what the learned rows begin as."),
};

static int32_t tokens_of(const pl_options *options) { return (int32_t)options->number[OPTION_TOKENS]; }

pl_status pl_virtual_check(int32_t n, const pl_config *config, pl_error *error) {
    int32_t limit = config->max_position_embeddings - 1;
    if (n > limit)
        return pl_fail(error, PL_ERR_RANGE,
                       "num_virtual_tokens %d leaves no room for a token: this model has %d positions; "
                       "choose at most %d",
                       n, limit + 1, limit);
    return PL_OK;
}

static pl_status check(const pl_options *options, const pl_config *config, pl_error *error) {
    return pl_virtual_check(tokens_of(options), config, error);
}

static pl_status declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    pl_init init = options->number[OPTION_INIT] == (double)INIT_RANDOM ? PL_INIT_NORMAL : PL_INIT_CUSTOM;
    pl_tensor table =
        pl_tensor_matrix(PL_NONE, PL_NONE, TABLE, tokens_of(options), config->hidden_size, init, 1.0);
    pl_tensor_name(&table, "prompt_embeddings");
    return pl_layout_add(layout, &table);
}

static void needs(const pl_options *options, const pl_config *config, pl_needs *needs) {
    (void)config;
    *needs = (pl_needs){.virtual_tokens = tokens_of(options)};
}

/* Root mean square of the embedding table: what a row of real text looks like. */
static double embedding_rms(const pl_model *model) {
    size_t size = (size_t)model->config.vocab_size * (size_t)model->config.hidden_size;
    return sqrt(pl_sum_squares(model->embedding, size) / (double)size);
}

static pl_status start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    const pl_options *options = &module->options;
    int32_t n = tokens_of(options), d = model->config.hidden_size,
            init = (int32_t)options->number[OPTION_INIT];
    real *table = pl_module_values(module, PL_NONE, PL_NONE, TABLE);
    if (init == INIT_RANDOM)
        return PL_OK;
    if (init == INIT_TEXT && options->init_token_count < 1)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "prompt_tuning_init is text, but init_text is empty; give a text "
                       "or choose vocab");
    pl_rng rng = pl_rng_stream(seed, 0);
    double rms = init == INIT_SCALED ? embedding_rms(model) : 0.0;
    for (int32_t i = 0; i < n; i++) {
        real *row = table + (size_t)i * (size_t)d;
        if (init == INIT_SCALED) {
            for (int32_t c = 0; c < d; c++)
                row[c] = (real)(float)(rms * pl_rng_normal(&rng));
            continue;
        }
        int32_t token = init == INIT_TEXT ? options->init_tokens[i % options->init_token_count]
                                          : pl_rng_below(&rng, model->config.vocab_size);
        if (token < 0 || token >= model->config.vocab_size)
            return pl_fail(error, PL_ERR_RANGE, "initial token %d is outside this model's vocabulary of %d",
                           token, model->config.vocab_size);
        memcpy(row, model->embedding + (size_t)token * (size_t)d, (size_t)d * sizeof(real));
    }
    return PL_OK;
}

static void embed_forward(void *self, const pl_pass *pass, real *x) {
    const pl_module *module = self;
    (void)pass;
    size_t size = (size_t)tokens_of(&module->options) * (size_t)module->config.hidden_size;
    memcpy(x, pl_module_values(module, PL_NONE, PL_NONE, TABLE), size * sizeof(real));
}

static void embed_backward(void *self, const pl_pass *pass, const real *dx) {
    const pl_module *module = self;
    (void)pass;
    real *gradients = pl_module_gradients(module, PL_NONE, PL_NONE, TABLE);
    if (gradients)
        pl_add(dx, gradients, (size_t)tokens_of(&module->options) * (size_t)module->config.hidden_size);
}

/* Each token attends to n more rows in every layer (scores and weighted sum: 2 * 2 FLOPs per head dimension), and the n rows themselves
   run through the whole model once per sequence, which is spread over its `context` tokens (0: decoding, the rows are already cached). */
static double flops(const pl_options *options, const pl_config *config, int32_t context) {
    double n = (double)tokens_of(options), row = 0.0;
    double attention = 4.0 * n * (double)config->num_attention_heads * (double)config->head_dim;
    for (int s = 0; s < PL_SITE_COUNT; s++)
        row += 2.0 * (double)pl_site_in(config, (pl_site)s) * (double)pl_site_out(config, (pl_site)s);
    double total = attention + (context > 0 ? n / (double)context * row : 0.0);
    return total * (double)config->num_hidden_layers;
}

const pl_method PL_METHOD_PROMPT = {
    .name = "prompt",
    .label = "Prompt tuning",
    .summary = "Learns a few rows that stand in front of your text like words nobody can pronounce; the "
               "model itself stays as it is.",
    .paper = "Lester, Al-Rfou, Constant 2021, arXiv:2104.08691",
    .options = OPTIONS,
    .option_count = OPTION_COUNT,
    .cannot_merge = "A prompt is extra input, not a change of weights: there is no matrix it could be added "
                    "to. It can be compiled into a "
                    "prefix, which gives the same outputs.",
    .check = check,
    .declare = declare,
    .needs = needs,
    .start = start,
    .flops = flops,
    .embed_forward = embed_forward,
    .embed_backward = embed_backward,
};
