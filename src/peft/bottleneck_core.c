/* Bottleneck adapters: the network A(u) = dropout(scale * (W_up f(W_down u + b_down) + b_up)), forward and backward. */
#include "peft/bottleneck.h"

#include <math.h>
#include <string.h>

#include "base/pieces.h"

/* The packed weights of one place; NULL where there is no network. The module's state is a table of these,
   [layers * PL_BOTTLENECK_PLACES], and behind it in the same block the weights. */
typedef struct packed_place {
    real *down, *down_t, *up, *up_t;
} packed_place;

static bool has_biases(const pl_options *options) {
    return pl_bottleneck_variant_of(options) < PL_BOTTLENECK_PER_LINEAR;
}

/* bert: N(0, 0.02); mam_adapter: down as torch's Linear, up 0 (starts as an exact no-op); houlsby: N(0, 0.01) cut at 2 sigma. */
enum { INIT_AUTO, INIT_BERT, INIT_MAM, INIT_HOULSBY };

static int init_of(const pl_options *options) {
    int init = (int)pl_option_number(options, "init_weights");
    if (init != INIT_AUTO)
        return init;
    return pl_bottleneck_variant_of(options) == PL_BOTTLENECK_PARALLEL ? INIT_MAM : INIT_BERT;
}

static pl_tensor weight(const pl_options *options, const pl_bottleneck_place *place, int32_t slot,
                        int64_t rows, int64_t cols) {
    int init = init_of(options);
    pl_tensor tensor = pl_tensor_matrix(place->layer, place->site, slot, rows, cols, PL_INIT_NORMAL, 0.02);
    if (init == INIT_MAM && slot == PL_BOTTLENECK_UP)
        tensor.init = PL_INIT_ZERO;
    else if (init == INIT_MAM) { /* kaiming_uniform with a = sqrt(5) is U(+-1/sqrt(in)) */
        tensor.init = PL_INIT_UNIFORM;
        tensor.scale = 1.0 / sqrt((double)cols);
    } else if (init == INIT_HOULSBY) {
        tensor.init = PL_INIT_TRUNCATED_NORMAL;
        tensor.scale = 0.01;
    }
    return tensor;
}

static pl_status declare_place(const pl_options *options, const pl_config *config,
                               const pl_bottleneck_place *place, pl_layout *layout) {
    int32_t m = pl_bottleneck_size(options, config);
    bool biases = has_biases(options);
    pl_tensor down = weight(options, place, PL_BOTTLENECK_DOWN, m, place->in);
    pl_tensor down_bias =
        pl_tensor_vector(place->layer, place->site, PL_BOTTLENECK_DOWN_BIAS, m, PL_INIT_ZERO, 0.0);
    pl_tensor up = weight(options, place, PL_BOTTLENECK_UP, place->out, m);
    pl_tensor up_bias =
        pl_tensor_vector(place->layer, place->site, PL_BOTTLENECK_UP_BIAS, place->out, PL_INIT_ZERO, 0.0);
    pl_tensor scaling =
        pl_tensor_vector(place->layer, place->site, PL_BOTTLENECK_SCALING, 1, PL_INIT_ONE, 0.0);
    pl_bottleneck_tensor_name(options, place, biases ? "adapter_down.0.weight" : "adapter_down.weight",
                              &down);
    pl_bottleneck_tensor_name(options, place, "adapter_down.0.bias", &down_bias);
    pl_bottleneck_tensor_name(options, place, "adapter_up.weight", &up);
    pl_bottleneck_tensor_name(options, place, "adapter_up.bias", &up_bias);
    pl_bottleneck_tensor_name(options, place, "scaling", &scaling);
    PL_TRY(pl_layout_add(layout, &down));
    if (biases)
        PL_TRY(pl_layout_add(layout, &down_bias));
    PL_TRY(pl_layout_add(layout, &up));
    if (biases)
        PL_TRY(pl_layout_add(layout, &up_bias));
    return pl_bottleneck_scale_learned(options) ? pl_layout_add(layout, &scaling) : PL_OK;
}

pl_status pl_bottleneck_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    pl_bottleneck_place place;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++)
            if (pl_bottleneck_at(options, config, layer, site, &place))
                PL_TRY(declare_place(options, config, &place, layout));
    return layout->status;
}

/* ---- buffers ------------------------------------------------------------------------------------------------- */

static pl_status add_buffer(pl_layout *layout, const pl_bottleneck_place *place, int32_t slot, int64_t rows,
                            int64_t cols) {
    pl_tensor buffer = pl_tensor_matrix(place ? place->layer : PL_NONE, place ? place->site : PL_NONE, slot,
                                        rows, cols, PL_INIT_ZERO, 0.0);
    pl_tensor_name(&buffer, "bottleneck.%d.%d.%d", (int)buffer.layer, (int)buffer.site, (int)slot);
    return pl_layout_add(layout, &buffer);
}

static pl_status place_buffers(const pl_options *options, const pl_bottleneck_place *place, int32_t m,
                               int32_t rows, pl_layout *layout) {
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(options);
    /* The parallel variants get their input handed in again on the way back; the others read one that is overwritten. */
    if (variant != PL_BOTTLENECK_PARALLEL && variant != PL_BOTTLENECK_PER_LINEAR_PARALLEL)
        PL_TRY(add_buffer(layout, place, PL_BOTTLENECK_U, rows, place->in));
    PL_TRY(add_buffer(layout, place, PL_BOTTLENECK_Z, rows, m));
    return add_buffer(layout, place, PL_BOTTLENECK_ACT, rows, m);
}

pl_status pl_bottleneck_scratch(const pl_options *options, const pl_config *config, const pl_extent *extent,
                                pl_layout *layout) {
    int32_t m = pl_bottleneck_size(options, config), rows = extent->rows, in = 1, out = 1;
    pl_bottleneck_place place;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++) {
            if (!pl_bottleneck_at(options, config, layer, site, &place))
                continue;
            in = place.in > in ? place.in : in;
            out = place.out > out ? place.out : out;
            if (extent->training)
                PL_TRY(place_buffers(options, &place, m, rows, layout));
        }
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_U, rows, in));
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_Z, rows, m));
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_ACT, rows, m));
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_OUT, rows, out));
    if (!extent->training)
        return PL_OK;
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_DACT, rows, m));
    PL_TRY(add_buffer(layout, NULL, PL_BOTTLENECK_DU, rows, in));
    return add_buffer(layout, NULL, PL_BOTTLENECK_OUTER, 1, pl_pack_size(in > m ? in : m, rows));
}

/* The place's own buffer where one is planned (training), else the shared one. */
static real *buffer_of(const pl_module *module, const pl_bottleneck_place *place, int32_t slot) {
    real *own = pl_module_buffer(module, place->layer, place->site, slot);
    return own ? own : pl_module_buffer(module, PL_NONE, PL_NONE, slot);
}

real *pl_bottleneck_input(const pl_module *module, const pl_bottleneck_place *place) {
    return buffer_of(module, place, PL_BOTTLENECK_U);
}

/* ---- packed weights ------------------------------------------------------------------------------------------- */

static packed_place *packed_at(const pl_module *module, const pl_bottleneck_place *place) {
    packed_place *table = module->state;
    return &table[place->layer * PL_BOTTLENECK_PLACES + place->site];
}

/* Places the packed weights of every place (or only measures them). */
static void place_packed(const pl_module *module, pl_pieces *pieces) {
    const pl_config *config = &module->config;
    int32_t m = pl_bottleneck_size(&module->options, config);
    pl_bottleneck_place place;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++) {
            if (!pl_bottleneck_at(&module->options, config, layer, site, &place))
                continue;
            packed_place packed;
            packed.down = pl_pieces_take(pieces, pl_pack_size(m, place.in));
            packed.down_t = pl_pieces_take(pieces, pl_pack_size(place.in, m));
            packed.up = pl_pieces_take(pieces, pl_pack_size(place.out, m));
            packed.up_t = pl_pieces_take(pieces, pl_pack_size(m, place.out));
            if (pieces->base)
                *packed_at(module, &place) = packed;
        }
}

pl_status pl_bottleneck_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    (void)seed; /* every tensor starts from its declared distribution */
    size_t count = (size_t)model->config.num_hidden_layers * PL_BOTTLENECK_PLACES;
    pl_pieces pieces = {0};
    place_packed(module, &pieces);
    module->state = pl_pieces_block(module->memory, count * sizeof(packed_place), &pieces, &pieces.base);
    if (!module->state)
        return pl_fail(error, PL_ERR_MEMORY,
                       "no memory for %lld packed adapter weights; choose a smaller bottleneck_size",
                       (long long)pieces.used);
    pieces.used = 0;
    place_packed(module, &pieces);
    return PL_OK;
}

void pl_bottleneck_prepare(pl_module *module, const pl_model *model) {
    int32_t m = pl_bottleneck_size(&module->options, &module->config);
    pl_bottleneck_place place;
    for (int32_t layer = 0; layer < model->config.num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_BOTTLENECK_PLACES; site++) {
            if (!pl_bottleneck_at(&module->options, &module->config, layer, site, &place))
                continue;
            const real *down = pl_module_values(module, layer, site, PL_BOTTLENECK_DOWN);
            const real *up = pl_module_values(module, layer, site, PL_BOTTLENECK_UP);
            packed_place *packed = packed_at(module, &place);
            pl_pack(down, m, place.in, packed->down);
            pl_pack_transposed(down, m, place.in, packed->down_t);
            pl_pack(up, place.out, m, packed->up);
            pl_pack_transposed(up, place.out, m, packed->up_t);
        }
}

/* ---- the network ------------------------------------------------------------------------------------------------ */

static real scale_of(const pl_module *module, const pl_bottleneck_place *place) {
    const real *learned = pl_module_values(module, place->layer, place->site, PL_BOTTLENECK_SCALING);
    return module->weight * (learned ? *learned : (real)pl_bottleneck_scale(&module->options));
}

/* In place on a[rows, width]: the same mask forward and backward. */
static void drop(const pl_module *module, const pl_pass *pass, const pl_bottleneck_place *place, real *a,
                 int32_t width) {
    double p = pl_option_number(&module->options, "dropout");
    uint64_t tag = pl_rng_mix(module->tag, (uint64_t)(place->layer * PL_BOTTLENECK_PLACES + place->site));
    if (pl_pass_drops(pass) && p > 0.0)
        pl_pass_dropout(pass, tag, (real)p, a, width, a);
}

void pl_bottleneck_forward(const pl_module *module, const pl_pass *pass, const pl_bottleneck_place *place,
                           int32_t rows, const real *u, real *y) {
    int32_t m = pl_bottleneck_size(&module->options, &module->config);
    const packed_place *packed = packed_at(module, place);
    const real *down_bias = pl_module_values(module, place->layer, place->site, PL_BOTTLENECK_DOWN_BIAS);
    const real *up_bias = pl_module_values(module, place->layer, place->site, PL_BOTTLENECK_UP_BIAS);
    real *z = buffer_of(module, place, PL_BOTTLENECK_Z), *act = buffer_of(module, place, PL_BOTTLENECK_ACT);
    real *out = buffer_of(module, place, PL_BOTTLENECK_OUT);
    size_t size = (size_t)rows * (size_t)place->out;
    pl_gemm(u, rows, place->in, packed->down, m, z, false);
    if (down_bias)
        pl_add_rows(down_bias, rows, m, z);
    pl_activation_forward(pl_bottleneck_activation(&module->options), z, act, (size_t)rows * (size_t)m);
    pl_gemm(act, rows, m, packed->up, place->out, out, false);
    if (up_bias)
        pl_add_rows(up_bias, rows, place->out, out);
    pl_scale(out, scale_of(module, place), size);
    drop(module, pass, place, out, place->out);
    pl_add(out, y, size);
}

/* d/dscale of scale * (W_up act + b_up): sum of g . (W_up act + b_up) = sum of (g W_up) . act + (sum of rows of g) . b_up */
static void scaling_gradient(const pl_module *module, const pl_bottleneck_place *place, int32_t rows,
                             const real *g, const real *dact, const real *act) {
    real *gradient = pl_module_gradients(module, place->layer, place->site, PL_BOTTLENECK_SCALING);
    const real *bias = pl_module_values(module, place->layer, place->site, PL_BOTTLENECK_UP_BIAS);
    size_t width = (size_t)place->out, m = (size_t)pl_bottleneck_size(&module->options, &module->config);
    double sum = 0.0;
    for (size_t i = 0; i < (size_t)rows * m; i++)
        sum += (double)dact[i] * (double)act[i];
    for (size_t i = 0; bias && i < (size_t)rows * width; i++)
        sum += (double)g[i] * (double)bias[i % width];
    *gradient += module->weight * (real)sum;
}

/* g[rows, out]: gradient of W_up act + b_up; dz[rows, m]: of W_down u + b_down. */
static void weight_gradients(const pl_module *module, const pl_bottleneck_place *place, int32_t rows,
                             const real *u, const real *act, const real *g, const real *dz) {
    int32_t m = pl_bottleneck_size(&module->options, &module->config), layer = place->layer,
            site = place->site;
    real *scratch = pl_module_buffer(module, PL_NONE, PL_NONE, PL_BOTTLENECK_OUTER);
    pl_gemm_outer(g, act, rows, place->out, m, 1, pl_module_gradients(module, layer, site, PL_BOTTLENECK_UP),
                  scratch);
    pl_gemm_outer(dz, u, rows, m, place->in, 1, pl_module_gradients(module, layer, site, PL_BOTTLENECK_DOWN),
                  scratch);
    if (!has_biases(&module->options))
        return;
    pl_sum_rows(g, rows, place->out, pl_module_gradients(module, layer, site, PL_BOTTLENECK_UP_BIAS));
    pl_sum_rows(dz, rows, m, pl_module_gradients(module, layer, site, PL_BOTTLENECK_DOWN_BIAS));
}

void pl_bottleneck_backward(const pl_module *module, const pl_pass *pass, const pl_bottleneck_place *place,
                            int32_t rows, const real *u, const real *dy, real *du, real *du_too) {
    int32_t m = pl_bottleneck_size(&module->options, &module->config);
    size_t out_size = (size_t)rows * (size_t)place->out, in_size = (size_t)rows * (size_t)place->in,
           m_size = (size_t)rows * (size_t)m;
    const packed_place *packed = packed_at(module, place);
    const real *z = buffer_of(module, place, PL_BOTTLENECK_Z),
               *act = buffer_of(module, place, PL_BOTTLENECK_ACT);
    real *g = buffer_of(module, place, PL_BOTTLENECK_OUT),
         *dact = buffer_of(module, place, PL_BOTTLENECK_DACT);
    real *grad_u = buffer_of(module, place, PL_BOTTLENECK_DU), scale = scale_of(module, place);
    memcpy(g, dy, out_size * sizeof *g);
    drop(module, pass, place, g, place->out);
    pl_gemm(g, rows, place->out, packed->up_t, m, dact, false); /* dact = g W_up, still without the scale */
    if (module->gradients && pl_bottleneck_scale_learned(&module->options))
        scaling_gradient(module, place, rows, g, dact, act);
    pl_scale(g, scale, out_size);
    pl_scale(dact, scale, m_size);
    pl_activation_backward(pl_bottleneck_activation(&module->options), z, dact, dact, m_size); /* now dz */
    if (module->gradients)
        weight_gradients(module, place, rows, u, act, g, dact);
    if (!du && !du_too)
        return;
    pl_gemm(dact, rows, m, packed->down_t, place->in, grad_u, false); /* du = dz W_down */
    if (du)
        pl_add(grad_u, du, in_size);
    if (du_too)
        pl_add(grad_u, du_too, in_size);
}
