/* (IA)3: infused adapter by inhibiting and amplifying inner activations. Liu et al. 2022, arXiv:2205.05638.
 *
 * No new directions at all: what the model computes already is made louder or softer, channel by channel. One trained factor per channel,
 * starting at 1, so that the start is the base model:
 *
 *      k, v:            y = l * (W x)      l[out, 1]     dl = sum over rows of dy * (W x),   dy <- l * dy
 *      feed-forward:    y = W (l * x)      l[1, in]      dl = sum over rows of dx * x,       dx <- l * dx
 *
 * The paper scales keys, values and the activations inside the feed-forward layer; these are the input of down_proj, hence the second form.
 *
 * Merging multiplies rows or columns of W. Two active (IA)3 modules multiply. A module's weight w fades it in: the factor
 * in use is 1 + w (l - 1).
 */
#include <string.h>

#include "kernels/kernels.h"
#include "peft/methods.h"

enum { TARGETS, FEEDFORWARD, OPTION_COUNT };
enum { SLOT_L };
enum {
    BUFFER_X, /* [rows, width] per site: the activation before scaling */
    BUFFER_DL /* [widest] shared */
};

static const pl_option OPTIONS[OPTION_COUNT] = {
    [TARGETS] = {.name = "target_modules",
                 .type = PL_OPTION_TARGETS,
                 .initial_text = "k_proj,v_proj,down_proj",
                 .label = "Target modules",
                 .help = "Linear maps whose output (or input, see below) is rescaled."},
    [FEEDFORWARD] = {.name = "feedforward_modules",
                     .type = PL_OPTION_TEXT,
                     .initial_text = "down_proj",
                     .level = 2,
                     .label = "Scaled at the input",
                     .help = "Those of the target modules whose input is rescaled instead of the output."},
};

static bool scales_input(const pl_options *options, int32_t layer, pl_site site) {
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    return options->text[FEEDFORWARD] && pl_path_listed(path, options->text[FEEDFORWARD]);
}

static int32_t width_of(const pl_options *options, const pl_config *config, int32_t layer, pl_site site) {
    return scales_input(options, layer, site) ? pl_site_in(config, site) : pl_site_out(config, site);
}

/* peft refuses names outside the target modules. The default may name more than is targeted: a folder gets what is (adapter_config.c). */
static pl_status check_feedforward(const pl_options *options, const pl_config *config, pl_error *error) {
    const char *rest = options->text[FEEDFORWARD] ? options->text[FEEDFORWARD] : "", *word;
    bool given = strcmp(rest, OPTIONS[FEEDFORWARD].initial_text) != 0;
    size_t length = 0;
    while ((word = pl_list_word(&rest, &length)) != NULL) {
        bool known = false, targeted = false;
        for (int32_t i = 0; i < config->num_hidden_layers * PL_SITE_COUNT; i++) {
            int32_t layer = i / PL_SITE_COUNT;
            pl_site site = (pl_site)(i % PL_SITE_COUNT);
            char path[PL_NAME_SIZE];
            pl_site_path(layer, site, path);
            bool named = pl_path_named(path, word, length);
            known = known || named;
            targeted = targeted || (named && pl_options_targets(options, layer, site));
        }
        if (!known)
            return pl_fail(error, PL_ERR_ARGUMENT,
                           "feedforward_modules: '%.*s' names no linear map of this model; choose among the "
                           "target modules, e.g. down_proj",
                           (int)length, word);
        if (given && !targeted)
            return pl_fail(error, PL_ERR_ARGUMENT,
                           "feedforward_modules: '%.*s' is not among the target_modules, so there is nothing "
                           "to rescale; name it there too, or leave it out",
                           (int)length, word);
    }
    return PL_OK;
}

/* One rule for a map in every targeted layer: merging relies on knowing which maps are scaled at their input. */
static pl_status check_one_rule(const pl_options *options, const pl_config *config, pl_site site,
                                pl_error *error) {
    int32_t first = PL_NONE;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        if (!pl_options_targets(options, layer, site))
            continue;
        first = first == PL_NONE ? layer : first;
        if (scales_input(options, layer, site) != scales_input(options, first, site))
            return pl_fail(error, PL_ERR_UNSUPPORTED,
                           "feedforward_modules '%s' treats %s differently in layers %d and %d; name it "
                           "without a layer",
                           options->text[FEEDFORWARD], pl_site_name(site), (int)first, (int)layer);
    }
    return PL_OK;
}

static pl_status ia3_check(const pl_options *options, const pl_config *config, pl_error *error) {
    bool any = false;
    PL_TRY(check_feedforward(options, config, error));
    for (int32_t site = 0; site < PL_SITE_COUNT; site++)
        PL_TRY(check_one_rule(options, config, (pl_site)site, error));
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        any = any || options->targets[layer] != 0;
    if (any)
        return PL_OK;
    return pl_fail(error, PL_ERR_ARGUMENT,
                   "target_modules leaves no linear map to rescale; choose at least one, e.g. k_proj");
}

static pl_status ia3_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        for (int32_t i = 0; i < PL_SITE_COUNT; i++) {
            pl_site site = (pl_site)i;
            if (!pl_options_targets(options, layer, site))
                continue;
            int32_t width = width_of(options, config, layer, site);
            bool input = scales_input(options, layer, site);
            pl_tensor l =
                pl_tensor_matrix(layer, i, SLOT_L, input ? 1 : width, input ? width : 1, PL_INIT_ONE, 0);
            char path[PL_NAME_SIZE];
            pl_site_path(layer, site, path);
            pl_tensor_name(&l, "%.100s.ia3_l", path);
            (void)pl_layout_add(layout, &l);
        }
    }
    return layout->status;
}

static void ia3_needs(const pl_options *options, const pl_config *config, pl_needs *needs) {
    needs->first_layer = config->num_hidden_layers - 1;
    for (int32_t layer = config->num_hidden_layers - 1; layer >= 0; layer--) {
        for (int32_t i = 0; i < PL_SITE_COUNT; i++) {
            if (!pl_options_targets(options, layer, (pl_site)i))
                continue;
            needs->first_layer = layer;
            if (scales_input(options, layer, (pl_site)i))
                needs->input_sites = (uint8_t)(needs->input_sites | 1U << i);
        }
    }
}

static pl_status ia3_scratch(const pl_options *options, const pl_config *config, const pl_extent *extent,
                             pl_layout *layout) {
    int32_t widest = 1;
    if (!extent->training)
        return PL_OK;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        for (int32_t i = 0; i < PL_SITE_COUNT; i++) {
            if (!pl_options_targets(options, layer, (pl_site)i))
                continue;
            int32_t width = width_of(options, config, layer, (pl_site)i);
            widest = width > widest ? width : widest;
            pl_tensor x = pl_tensor_matrix(layer, i, BUFFER_X, extent->rows > 0 ? extent->rows : 1, width,
                                           PL_INIT_ZERO, 0);
            (void)pl_layout_add(layout, &x);
        }
    }
    pl_tensor dl = pl_tensor_vector(PL_NONE, PL_NONE, BUFFER_DL, widest, PL_INIT_ZERO, 0);
    return pl_layout_add(layout, &dl);
}

static double ia3_flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)context;
    double flops = 0;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t i = 0; i < PL_SITE_COUNT; i++)
            if (pl_options_targets(options, layer, (pl_site)i))
                flops += width_of(options, config, layer, (pl_site)i);
    return flops;
}

/* State: the factors in use, 1 + weight (l - 1), in the layout of values. At weight 1 they are l, bit for bit. */
static pl_status ia3_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    (void)model, (void)seed;
    module->state = pl_memory_alloc(module->memory, (uint64_t)module->layout.extent, sizeof(real));
    if (!module->state)
        return pl_fail(error, PL_ERR_MEMORY, "module '%s': no memory left for its factors", module->name);
    return PL_OK;
}

static void ia3_prepare(pl_module *module, const pl_model *model) {
    (void)model;
    real *factors = module->state;
    for (int64_t i = 0; i < module->layout.extent; i++)
        factors[i] =
            module->weight == (real)1 ? module->values[i] : 1 + module->weight * (module->values[i] - 1);
}

static const real *factors_at(const pl_module *module, int32_t layer, pl_site site) {
    const pl_tensor *l = pl_module_shape(module, layer, (int32_t)site, SLOT_L);
    return l ? (const real *)module->state + l->offset : NULL;
}

/* x <- l * x, keeping x for the backward pass. */
static void scale_forward(pl_module *module, const pl_linear_at *at, int32_t width, real *x) {
    const real *l = factors_at(module, at->layer, at->site);
    real *kept = at->pass->training ? pl_module_buffer(module, at->layer, (int32_t)at->site, BUFFER_X) : NULL;
    if (kept)
        memcpy(kept, x, (size_t)at->rows * (size_t)width * sizeof(real));
    pl_mul_rows(l, at->rows, width, x);
}

/* dl += weight * sum over rows of dx * x, dx <- l * dx. */
static void scale_backward(pl_module *module, const pl_linear_at *at, int32_t width, real *dx) {
    const real *kept = pl_module_buffer(module, at->layer, (int32_t)at->site, BUFFER_X);
    real *dl = pl_module_gradients(module, at->layer, (int32_t)at->site, SLOT_L);
    if (dl) {
        real *sum = pl_module_buffer(module, PL_NONE, PL_NONE, BUFFER_DL);
        pl_fill(sum, 0, (size_t)width);
        pl_mul_rows_backward(kept, dx, at->rows, width, sum);
        pl_add_scaled(sum, module->weight, dl, (size_t)width);
    }
    pl_mul_rows(factors_at(module, at->layer, at->site), at->rows, width, dx);
}

static void ia3_linear_forward(void *self, const pl_linear_at *at, const real *x, real *y) {
    (void)x;
    pl_module *module = self;
    if (factors_at(module, at->layer, at->site) && !scales_input(&module->options, at->layer, at->site))
        scale_forward(module, at, at->out, y);
}

static void ia3_linear_backward(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx) {
    (void)x, (void)dx;
    pl_module *module = self;
    if (factors_at(module, at->layer, at->site) && !scales_input(&module->options, at->layer, at->site))
        scale_backward(module, at, at->out, dy);
}

static void ia3_input_forward(void *self, const pl_linear_at *at, real *x) {
    pl_module *module = self;
    if (factors_at(module, at->layer, at->site) && scales_input(&module->options, at->layer, at->site))
        scale_forward(module, at, at->in, x);
}

static void ia3_input_backward(void *self, const pl_linear_at *at, real *dx) {
    pl_module *module = self;
    if (factors_at(module, at->layer, at->site) && scales_input(&module->options, at->layer, at->site))
        scale_backward(module, at, at->in, dx);
}

static pl_status ia3_merge(const pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                           real *w, pl_error *error) {
    (void)model, (void)error;
    const real *l = factors_at(module, layer, site);
    int32_t out = pl_site_out(&module->config, site), in = pl_site_in(&module->config, site);
    if (!l)
        return PL_OK;
    if (scales_input(&module->options, layer, site)) {
        pl_mul_rows(l, out, in, w);
        return PL_OK;
    }
    for (int32_t o = 0; o < out; o++)
        pl_scale(w + (size_t)o * (size_t)in, l[o], (size_t)in);
    return PL_OK;
}

/* Divides by l + 1e-8 as peft does, which is why it is inexact. */
static void ia3_unmerge(const pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                        real *w) {
    (void)model;
    const real *l = factors_at(module, layer, site);
    int32_t out = pl_site_out(&module->config, site), in = pl_site_in(&module->config, site);
    bool input = scales_input(&module->options, layer, site);
    for (int32_t o = 0; l && o < out; o++)
        for (int32_t i = 0; i < in; i++)
            w[(size_t)o * (size_t)in + (size_t)i] /= l[input ? i : o] + (real)1e-8;
}

static pl_effect ia3_effect(const pl_options *options, int32_t layer, pl_site site) {
    return scales_input(options, layer, site) ? PL_EFFECT_SCALES_INPUT : PL_EFFECT_SCALES;
}

const pl_method PL_METHOD_IA3 = {
    .name = "ia3",
    .label = "(IA)3",
    .summary = "Learns one factor per channel of keys, values and the feed-forward layer; by far the fewest "
               "parameters inside the network.",
    .paper = "Liu et al. 2022, arXiv:2205.05638",
    .options = OPTIONS,
    .option_count = OPTION_COUNT,
    .can_scale = true,
    .check = ia3_check,
    .declare = ia3_declare,
    .needs = ia3_needs,
    .scratch = ia3_scratch,
    .start = ia3_start,
    .prepare = ia3_prepare,
    .flops = ia3_flops,
    .input_forward = ia3_input_forward,
    .input_backward = ia3_input_backward,
    .linear_forward = ia3_linear_forward,
    .linear_backward = ia3_linear_backward,
    .merge = ia3_merge,
    .unmerge = ia3_unmerge,
    .effect = ia3_effect,
};
