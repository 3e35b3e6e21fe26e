/* Norm tuning: only the gains g of the RMSNorm layers, y = g * x / rms(x), are trained. Zhao et al. 2024, arXiv:2312.11420 (peft:
   LN_TUNING). A gain in front of a map scales the columns of all maps that read it, as (IA)3 does for one. The tensors stand
   in for the base tensors of the same name, so there is no hook at all: pl_module_attach lends them to the model, whose own backward pass
   has their gradient. Merging copies them. */
#include <stdio.h>

#include "peft/methods.h"

enum { TARGETS, OPTION_COUNT };
enum { SLOT_ATTENTION, SLOT_FFN, SLOT_FINAL };

static const pl_option OPTIONS[OPTION_COUNT] = {
    [TARGETS] = {.name = "target_modules",
                 .type = PL_OPTION_TEXT,
                 .initial_text = "input_layernorm,post_attention_layernorm,norm",
                 .level = 2,
                 .label = "Norms",
                 .help = "Which norms are trained, by name or dotted end of the path."},
};

static void add_norm(const pl_options *options, const pl_config *config, int32_t layer, int32_t slot,
                     const char *path, pl_layout *layout) {
    if (!pl_path_listed(path, options->text[TARGETS]))
        return;
    pl_tensor g = pl_tensor_vector(layer, PL_NONE, slot, config->hidden_size, PL_INIT_CUSTOM, 0);
    g.replaces = true;
    pl_tensor_name(&g, "%.100s.weight", path);
    (void)pl_layout_add(layout, &g);
}

static pl_status norms_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    char path[PL_NAME_SIZE];
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        (void)snprintf(path, sizeof path, "model.layers.%d.input_layernorm", (int)layer);
        add_norm(options, config, layer, SLOT_ATTENTION, path, layout);
        (void)snprintf(path, sizeof path, "model.layers.%d.post_attention_layernorm", (int)layer);
        add_norm(options, config, layer, SLOT_FFN, path, layout);
    }
    add_norm(options, config, PL_NONE, SLOT_FINAL, "model.norm", layout);
    return layout->status;
}

static bool names_a_norm(const pl_config *config, const char *word, size_t length) {
    static const char *const kinds[] = {"input_layernorm", "post_attention_layernorm"};
    char path[PL_NAME_SIZE];
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
            (void)snprintf(path, sizeof path, "model.layers.%d.%s", (int)layer, kinds[kind]);
            if (pl_path_named(path, word, length))
                return true;
        }
    }
    return pl_path_named("model.norm", word, length);
}

/* Every name counts: one that is misspelt would leave its norms untrained without a word. */
static pl_status norms_check(const pl_options *options, const pl_config *config, pl_error *error) {
    const char *rest = options->text[TARGETS] ? options->text[TARGETS] : "", *word;
    size_t length = 0;
    int32_t words = 0;
    for (; (word = pl_list_word(&rest, &length)) != NULL; words++)
        if (!names_a_norm(config, word, length))
            return pl_fail(error, PL_ERR_ARGUMENT,
                           "target_modules: '%.*s' names no norm of this model; choose among "
                           "input_layernorm, post_attention_layernorm, norm",
                           (int)length, word);
    return words ? PL_OK
                 : pl_fail(error, PL_ERR_ARGUMENT,
                           "target_modules is empty; choose among input_layernorm, "
                           "post_attention_layernorm, norm");
}

static double no_flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)options, (void)config, (void)context;
    return 0;
}

/* Starts at the base values. */
static pl_status norms_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    (void)seed;
    return pl_module_copy_base(module, model, error);
}

const pl_method PL_METHOD_NORMS = {
    .name = "norms",
    .label = "Norm tuning",
    .summary =
        "Trains only the gains of the RMSNorm layers, the few numbers that set the volume of every channel.",
    .paper = "Zhao et al. 2024, arXiv:2312.11420",
    .options = OPTIONS,
    .option_count = OPTION_COUNT,
    .check = norms_check,
    .declare = norms_declare,
    .start = norms_start,
    .flops = no_flops,
};
