/* Bottleneck adapters: the method table, its options, and how each variant hangs the network into the model. */
#include "peft/bottleneck.h"

#include <string.h>

enum {
    OPTION_VARIANT,
    OPTION_SIZE,
    OPTION_FACTOR,
    OPTION_ACTIVATION,
    OPTION_SCALE,
    OPTION_LEARNED,
    OPTION_DROPOUT,
    OPTION_INIT,
    OPTION_TARGETS,
    OPTION_COUNT
};

static const pl_option OPTIONS[OPTION_COUNT] = {
    {.name = "variant",
     .type = PL_OPTION_CHOICE,
     .maximum = 4,
     .step = 1,
     .choices = "houlsby|pfeiffer|parallel|per_linear|per_linear_parallel",
     .label = "Placement",
     .help = "houlsby: after attention and after the FFN; pfeiffer: after the FFN; parallel: beside the FFN; "
             "per_linear: around the gate, up and down maps (three per layer, as in LLM-Adapters); "
             "per_linear_parallel: beside each of these maps, from its input to its output."},
    {.name = "bottleneck_size",
     .type = PL_OPTION_INT,
     .maximum = 8192,
     .step = 1,
     .initial = 64,
     .label = "Bottleneck",
     .help = "Width in the middle of the little network. 0 takes the hidden size divided by the reduction "
             "factor."},
    {.name = "reduction_factor",
     .type = PL_OPTION_REAL,
     .minimum = 0.01,
     .maximum = 8192,
     .step = 1,
     .initial = 16,
     .label = "Reduction factor",
     .help = "Hidden size divided by bottleneck, used when the bottleneck is 0.",
     .level = 1},
    {.name = "non_linearity",
     .type = PL_OPTION_CHOICE,
     .maximum = 5,
     .step = 1,
     .choices = "auto|relu|swish|gelu|gelu_new|tanh",
     .label = "Activation",
     .help = "auto: swish for houlsby, tanh for per_linear, relu for the others, as in their libraries.",
     .level = 1},
    {.name = "scaling",
     .type = PL_OPTION_REAL,
     .maximum = 100,
     .step = 0.1,
     .label = "Scale",
     .help = "Factor on the network's output; 0 takes the variant's own (4 for parallel, 1 for the others).",
     .level = 1},
    {.name = "learned_scale",
     .type = PL_OPTION_BOOL,
     .maximum = 1,
     .step = 1,
     .label = "Learn the scale",
     .help = "Train one scale per network, starting from 1 (scaled_par_bn); not for per_linear.",
     .level = 2},
    {.name = "dropout",
     .type = PL_OPTION_REAL,
     .maximum = 0.9,
     .step = 0.05,
     .label = "Dropout",
     .help = "Share of the network's outputs switched off at random while training: against over-fitting."},
    {.name = "init_weights",
     .type = PL_OPTION_CHOICE,
     .maximum = 3,
     .step = 1,
     .choices = "auto|bert|mam_adapter|houlsby",
     .label = "Initialisation",
     .help = "bert: small normal numbers; mam_adapter: starts as an exact no-op; houlsby: smaller normal "
             "numbers. auto: mam_adapter for "
             "parallel, bert for the others.",
     .level = 2},
    {.name = "target_modules",
     .type = PL_OPTION_TARGETS,
     .initial_text = "gate_proj,up_proj,down_proj",
     .label = "Wrapped maps",
     .help = "Which linear maps per_linear wraps. The other placements only follow its layers.",
     .level = 1},
};

pl_bottleneck_variant pl_bottleneck_variant_of(const pl_options *options) {
    return (pl_bottleneck_variant)(int)options->number[OPTION_VARIANT];
}

int32_t pl_bottleneck_size(const pl_options *options, const pl_config *config) {
    int32_t size = (int32_t)options->number[OPTION_SIZE];
    if (size < 1)
        size = (int32_t)((double)config->hidden_size / options->number[OPTION_FACTOR]);
    return size < 1 ? 1 : size;
}

pl_activation pl_bottleneck_activation(const pl_options *options) {
    static const pl_activation chosen[] = {PL_ACT_IDENTITY, PL_ACT_RELU,      PL_ACT_SILU,
                                           PL_ACT_GELU,     PL_ACT_GELU_TANH, PL_ACT_TANH};
    int choice = (int)options->number[OPTION_ACTIVATION];
    if (choice > 0)
        return chosen[choice];
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(options);
    if (variant == PL_BOTTLENECK_HOULSBY)
        return PL_ACT_SILU;
    return variant < PL_BOTTLENECK_PER_LINEAR ? PL_ACT_RELU : PL_ACT_TANH;
}

double pl_bottleneck_scale(const pl_options *options) {
    if (options->number[OPTION_SCALE] > 0.0)
        return options->number[OPTION_SCALE];
    return pl_bottleneck_variant_of(options) == PL_BOTTLENECK_PARALLEL ? 4.0 : 1.0;
}

bool pl_bottleneck_scale_learned(const pl_options *options) { return options->number[OPTION_LEARNED] > 0.0; }

static pl_status check(const pl_options *options, const pl_config *config, pl_error *error) {
    pl_bottleneck_place place;
    int32_t places = 0;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++)
            places += pl_bottleneck_at(options, config, layer, site, &place) ? 1 : 0;
    if (places == 0)
        return pl_fail(error, PL_ERR_ARGUMENT,
                       "target_modules names no linear map, so there would be no adapter at all; choose e.g. "
                       "gate_proj,up_proj,down_proj");
    if (pl_bottleneck_scale_learned(options) && pl_bottleneck_variant_of(options) >= PL_BOTTLENECK_PER_LINEAR)
        return pl_fail(
            error, PL_ERR_ARGUMENT,
            "learned_scale has no place in the per_linear file format; choose the houlsby, pfeiffer or "
            "parallel variant, or a fixed scaling");
    return PL_OK;
}

static void needs(const pl_options *options, const pl_config *config, pl_needs *needs) {
    pl_bottleneck_place place;
    *needs = (pl_needs){.first_layer = config->num_hidden_layers};
    bool wraps_input = pl_bottleneck_variant_of(options) == PL_BOTTLENECK_PER_LINEAR;
    for (int32_t layer = config->num_hidden_layers - 1; layer >= 0; layer--)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++) {
            if (!pl_bottleneck_at(options, config, layer, site, &place))
                continue;
            needs->first_layer = layer;
            if (wraps_input && pl_bottleneck_on_input((pl_site)site))
                needs->input_sites = (uint8_t)(needs->input_sites | 1U << site);
        }
}

/* Two matrix products per network and token. */
static double flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)context;
    pl_bottleneck_place place;
    double total = 0.0;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++)
            if (pl_bottleneck_at(options, config, layer, site, &place))
                total += 2.0 * (double)pl_bottleneck_size(options, config) *
                         ((double)place.in + (double)place.out);
    return total;
}

/* ---- around a sub-layer -------------------------------------------------------------------------------------------- */

static bool at_block(const pl_module *module, const pl_block_at *at, pl_bottleneck_place *place) {
    return pl_bottleneck_variant_of(&module->options) < PL_BOTTLENECK_PER_LINEAR &&
           pl_bottleneck_at(&module->options, &module->config, at->layer, (int32_t)at->block, place);
}

static void block_forward(void *self, const pl_block_at *at, const real *x, real *h) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_block(module, at, &place))
        return;
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(&module->options);
    const real *input = x;
    if (variant != PL_BOTTLENECK_PARALLEL) {
        size_t size = (size_t)at->rows * (size_t)at->width;
        real *u = pl_bottleneck_input(module, &place);
        memcpy(u, h, size * sizeof *u);
        if (variant == PL_BOTTLENECK_PFEIFFER)
            pl_add(x, u, size);
        input = u;
    }
    pl_bottleneck_forward(module, at->pass, &place, at->rows, input, h);
}

static void block_backward(void *self, const pl_block_at *at, const real *x, real *dh, real *dx) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_block(module, at, &place))
        return;
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(&module->options);
    bool parallel = variant == PL_BOTTLENECK_PARALLEL;
    const real *u = parallel ? x : pl_bottleneck_input(module, &place);
    pl_bottleneck_backward(module, at->pass, &place, at->rows, u, dh, parallel ? NULL : dh,
                           variant == PL_BOTTLENECK_HOULSBY ? NULL : dx);
}

/* ---- around one linear map -------------------------------------------------------------------------------------------- */

static bool at_linear(const pl_module *module, const pl_linear_at *at, pl_bottleneck_place *place) {
    return pl_bottleneck_variant_of(&module->options) >= PL_BOTTLENECK_PER_LINEAR &&
           pl_bottleneck_at(&module->options, &module->config, at->layer, (int32_t)at->site, place);
}

/* x[rows, in] += A(x), in front of the map. */
static void input_forward(void *self, const pl_linear_at *at, real *x) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_linear(module, at, &place) || !pl_bottleneck_on_input(at->site))
        return;
    real *u = pl_bottleneck_input(module, &place);
    memcpy(u, x, (size_t)at->rows * (size_t)at->in * sizeof *u);
    pl_bottleneck_forward(module, at->pass, &place, at->rows, u, x);
}

static void input_backward(void *self, const pl_linear_at *at, real *dx) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_linear(module, at, &place) || !pl_bottleneck_on_input(at->site))
        return;
    pl_bottleneck_backward(module, at->pass, &place, at->rows, pl_bottleneck_input(module, &place), dx, dx,
                           NULL);
}

/* y[rows, out] += A(y) behind the map, or A(x) beside it. */
static void linear_forward(void *self, const pl_linear_at *at, const real *x, real *y) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_linear(module, at, &place))
        return;
    if (pl_bottleneck_variant_of(&module->options) == PL_BOTTLENECK_PER_LINEAR_PARALLEL) {
        pl_bottleneck_forward(module, at->pass, &place, at->rows, x, y);
    } else if (!pl_bottleneck_on_input(at->site)) {
        real *u = pl_bottleneck_input(module, &place);
        memcpy(u, y, (size_t)at->rows * (size_t)at->out * sizeof *u);
        pl_bottleneck_forward(module, at->pass, &place, at->rows, u, y);
    }
}

static void linear_backward(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx) {
    const pl_module *module = self;
    pl_bottleneck_place place;
    if (!at_linear(module, at, &place))
        return;
    if (pl_bottleneck_variant_of(&module->options) == PL_BOTTLENECK_PER_LINEAR_PARALLEL)
        pl_bottleneck_backward(module, at->pass, &place, at->rows, x, dy, dx, NULL);
    else if (!pl_bottleneck_on_input(at->site))
        pl_bottleneck_backward(module, at->pass, &place, at->rows, pl_bottleneck_input(module, &place), dy,
                               dy, NULL);
}

static pl_effect effect(const pl_options *options, int32_t layer, pl_site site) {
    (void)layer;
    if (pl_bottleneck_variant_of(options) == PL_BOTTLENECK_PER_LINEAR_PARALLEL)
        return PL_EFFECT_ADDS;
    if (pl_bottleneck_variant_of(options) != PL_BOTTLENECK_PER_LINEAR)
        return PL_EFFECT_NONE;
    return pl_bottleneck_on_input(site) ? PL_EFFECT_BENDS_INPUT : PL_EFFECT_BENDS;
}

const pl_method PL_METHOD_BOTTLENECK = {
    .name = "adapter",
    .label = "Bottleneck adapters",
    .summary = "Inserts small trainable networks into every layer: squeeze to a few numbers, bend, expand "
               "again, add.",
    .paper = "Houlsby et al. 2019, arXiv:1902.00751",
    .options = OPTIONS,
    .option_count = OPTION_COUNT,
    .cannot_merge = "The little networks bend their input (an activation function sits between their two "
                    "maps), and no single matrix can do "
                    "that, so they cannot be added to the weights. Distilling the adapter into a LoRA gives "
                    "something that merges.",
    .can_scale = true,
    .check = check,
    .declare = pl_bottleneck_declare,
    .needs = needs,
    .scratch = pl_bottleneck_scratch,
    .start = pl_bottleneck_start,
    .prepare = pl_bottleneck_prepare,
    .flops = flops,
    .input_forward = input_forward,
    .input_backward = input_backward,
    .linear_forward = linear_forward,
    .linear_backward = linear_backward,
    .block_forward = block_forward,
    .block_backward = block_backward,
    .effect = effect,
};
