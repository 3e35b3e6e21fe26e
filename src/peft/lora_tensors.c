/* LoRA's options, tensors, buffers and packed factors; the computation itself is in lora.c. */
#include "peft/lora.h"

#include <math.h>
#include <string.h>

#include "base/pieces.h"
#include "kernels/kernels.h"

/* ---- options -------------------------------------------------------------------------------------------------- */

enum { RANK_MAX = 1024 };
enum {
    RANK,
    ALPHA,
    DROPOUT,
    TARGETS,
    RANK_PATTERN,
    ALPHA_PATTERN,
    RSLORA,
    DORA,
    INIT,
    LR_RATIO,
    OPTION_COUNT
};
_Static_assert((int)OPTION_COUNT == (int)PL_LORA_OPTION_COUNT,
               "lora.h tells the registry how many there are");

const pl_option PL_LORA_OPTIONS[OPTION_COUNT] = {
    [RANK] =
        {.name = "rank",
         .type = PL_OPTION_INT,
         .minimum = 1,
         .maximum = RANK_MAX,
         .step = 1,
         .initial = 8,
         .label = "Rank r",
         .help = "Width of the detour: how many directions of each map can change. Parameters grow with it."},
    [ALPHA] = {.name = "alpha",
               .type = PL_OPTION_REAL,
               .minimum = 1e-6,
               .maximum = 65536,
               .step = 1,
               .initial = 16,
               .label = "Alpha",
               .help = "Strength of the detour: its output is multiplied by alpha / r."},
    [DROPOUT] = {.name = "dropout",
                 .type = PL_OPTION_REAL,
                 .minimum = 0,
                 .maximum = 0.95,
                 .step = 0.05,
                 .initial = 0,
                 .label = "Dropout",
                 .help = "Share of the detour's inputs set to zero in each training step."},
    [TARGETS] = {.name = "target_modules",
                 .type = PL_OPTION_TARGETS,
                 .initial_text = "q_proj,v_proj",
                 .label = "Target modules",
                 .help = "Which linear maps get a detour. all-linear usually learns best."},
    [RANK_PATTERN] = {.name = "rank_pattern",
                      .type = PL_OPTION_PATTERN,
                      .minimum = 1,
                      .maximum = RANK_MAX,
                      .step = 1,
                      .level = 2,
                      .label = "Rank per module",
                      .help = "Another rank for some maps, by name or dotted end of the path."},
    [ALPHA_PATTERN] = {.name = "alpha_pattern",
                       .type = PL_OPTION_PATTERN,
                       .minimum = 1e-6,
                       .maximum = 65536,
                       .step = 1,
                       .level = 2,
                       .label = "Alpha per module",
                       .help = "Another alpha for some maps, by name or dotted end of the path."},
    [RSLORA] = {.name = "use_rslora",
                .type = PL_OPTION_BOOL,
                .maximum = 1,
                .step = 1,
                .level = 1,
                .label = "rsLoRA",
                .help = "Scale by alpha / sqrt(r), so that large ranks keep learning."},
    [DORA] = {.name = "use_dora",
              .type = PL_OPTION_BOOL,
              .maximum = 1,
              .step = 1,
              .level = 1,
              .label = "DoRA",
              .help = "Train the length of each output row separately from its direction."},
    [INIT] = {.name = "init",
              .type = PL_OPTION_CHOICE,
              .choices = "true|gaussian|false|pissa|olora|orthogonal",
              .step = 1,
              .level = 2,
              .label = "Start values",
              .help = "true: A uniform, B zero. gaussian: A normal with deviation 1/r, B zero. false: both "
                      "random, so not a no-op. pissa, olora: A and B take over the strongest part of each "
                      "matrix (by its singular values, by QR) and the rest is frozen. orthogonal: both from "
                      "halves of one rotation, so that their product is zero; r even."},
    [LR_RATIO] = {.name = "loraplus_lr_ratio",
                  .type = PL_OPTION_REAL,
                  .minimum = 1,
                  .maximum = 256,
                  .step = 1,
                  .initial = 1,
                  .level = 1,
                  .label = "LoRA+ ratio",
                  .help = "Learning rate of B divided by that of A; 1 is plain LoRA, 16 is usual."},
};

int32_t pl_lora_rank(const pl_options *options, int32_t layer, pl_site site) {
    return (int32_t)pl_option_pattern(options, "rank_pattern", layer, site, options->number[RANK]);
}

double pl_lora_scale(const pl_options *options, int32_t layer, pl_site site) {
    double rank = pl_lora_rank(options, layer, site);
    double alpha = pl_option_pattern(options, "alpha_pattern", layer, site, options->number[ALPHA]);
    return alpha / (options->number[RSLORA] != 0 ? sqrt(rank) : rank);
}

pl_status pl_lora_check(const pl_options *options, const pl_config *config, pl_error *error) {
    bool any = false;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        any = any || options->targets[layer] != 0;
    if (!any)
        return pl_fail(
            error, PL_ERR_ARGUMENT,
            "target_modules leaves no linear map to adapt; choose at least one, e.g. q_proj,v_proj");
    for (int32_t i = 0; i < options->pattern_count; i++) {
        double value = options->patterns[i].value;
        if (options->pattern_option[i] == RANK_PATTERN && value != floor(value))
            return pl_fail(error, PL_ERR_RANGE,
                           "rank_pattern: the rank of '%s' must be a whole number, not %g",
                           options->patterns[i].key, value);
    }
    return pl_lora_init_check(options, config, error);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* Optimiser groups as peft's create_loraplus_optimizer forms them: "lora_B" and every 1-D tensor get the higher rate; the 1-D magnitude is
   then in the group with weight decay, because peft excludes only biases and norms. Without LoRA+, 1-D tensors do not decay. */
static void declare_site(const pl_options *options, const pl_config *config, int32_t layer, pl_site site,
                         pl_layout *layout) {
    int32_t rank = pl_lora_rank(options, layer, site), in = pl_site_in(config, site),
            out = pl_site_out(config, site);
    pl_lora_init start = pl_lora_init_of(options);
    bool computed = start >= PL_LORA_INIT_PISSA;
    float ratio = (float)options->number[LR_RATIO];
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);

    /* kaiming_uniform(a = sqrt 5) of torch is U(-1/sqrt(fan_in), 1/sqrt(fan_in)). */
    bool normal = start == PL_LORA_INIT_GAUSSIAN;
    pl_tensor a = pl_tensor_matrix(layer, (int32_t)site, PL_LORA_A, rank, in,
                                   computed ? PL_INIT_CUSTOM
                                   : normal ? PL_INIT_NORMAL
                                            : PL_INIT_UNIFORM,
                                   normal ? 1.0 / rank : 1.0 / sqrt(in));
    pl_tensor_name(&a, "%.100s.lora_A.weight", path);
    (void)pl_layout_add(layout, &a);

    pl_tensor b = pl_tensor_matrix(layer, (int32_t)site, PL_LORA_B, out, rank,
                                   computed                      ? PL_INIT_CUSTOM
                                   : start == PL_LORA_INIT_FALSE ? PL_INIT_UNIFORM
                                                                 : PL_INIT_ZERO,
                                   1.0 / sqrt(rank));
    b.lr_scale = ratio;
    pl_tensor_name(&b, "%.100s.lora_B.weight", path);
    (void)pl_layout_add(layout, &b);

    if (options->number[DORA] == 0)
        return;
    pl_tensor m = pl_tensor_vector(layer, (int32_t)site, PL_LORA_M, out, PL_INIT_CUSTOM, 0);
    m.lr_scale = ratio;
    m.decay = ratio != 1.0F;
    pl_tensor_name(&m, "%.100s.lora_magnitude_vector", path);
    (void)pl_layout_add(layout, &m);
}

pl_status pl_lora_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            if (pl_options_targets(options, layer, (pl_site)site))
                declare_site(options, config, layer, (pl_site)site, layout);
    return layout->status;
}

void pl_lora_needs(const pl_options *options, const pl_config *config, pl_needs *needs) {
    int32_t layer = 0;
    while (layer + 1 < config->num_hidden_layers && options->targets[layer] == 0)
        layer++;
    needs->first_layer = layer;
}

double pl_lora_flops(const pl_options *options, const pl_config *config, int32_t context) {
    (void)context;
    double flops = 0;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            if (pl_options_targets(options, layer, (pl_site)site))
                flops += 2.0 * pl_lora_rank(options, layer, (pl_site)site) *
                         (pl_site_in(config, (pl_site)site) + pl_site_out(config, (pl_site)site));
    return pl_lora_keeps_origin(options) ? 2 * flops : flops;
}

/* ---- buffers of a pass -------------------------------------------------------------------------------------------- */

typedef struct widths {
    int32_t rank, in, out;
} widths;

static void add_buffer(pl_layout *layout, int32_t layer, int32_t site, int32_t slot, int64_t rows,
                       int64_t cols) {
    pl_tensor tensor = pl_tensor_matrix(layer, site, slot, rows, cols, PL_INIT_ZERO, 0);
    (void)pl_layout_add(layout, &tensor);
}

static void site_buffers(const pl_options *options, const pl_config *config, const pl_extent *extent,
                         int32_t layer, pl_site site, widths *largest, pl_layout *layout) {
    int32_t rank = pl_lora_rank(options, layer, site), in = pl_site_in(config, site),
            out = pl_site_out(config, site);
    largest->rank = rank > largest->rank ? rank : largest->rank;
    largest->in = in > largest->in ? in : largest->in;
    largest->out = out > largest->out ? out : largest->out;
    if (!extent->training)
        return;
    add_buffer(layout, layer, (int32_t)site, PL_LORA_U, extent->rows, rank);
    if (options->number[DORA] != 0)
        add_buffer(layout, layer, (int32_t)site, PL_LORA_Z, extent->rows, out);
}

pl_status pl_lora_scratch(const pl_options *options, const pl_config *config, const pl_extent *extent,
                          pl_layout *layout) {
    widths largest = {1, 1, 1};
    int32_t rows = extent->rows > 0 ? extent->rows : 1;
    pl_extent one = *extent;
    one.rows = rows;
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            if (pl_options_targets(options, layer, (pl_site)site))
                site_buffers(options, config, &one, layer, (pl_site)site, &largest, layout);
    if (pl_lora_keeps_origin(options))
        add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_U0, rows, largest.rank);
    if (!extent->training) {
        add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_U, rows, largest.rank);
        return layout->status;
    }
    add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_DU, rows, largest.rank);
    int32_t packed = largest.in > largest.rank ? largest.in : largest.rank;
    add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_OUTER, 1, pl_pack_size(packed, rows));
    if (options->number[DROPOUT] > 0) {
        add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_X, rows, largest.in);
        if (options->number[DORA] != 0)
            add_buffer(layout, PL_NONE, PL_NONE, PL_LORA_DY, rows, largest.out);
    }
    return layout->status;
}

/* ---- state ---------------------------------------------------------------------------------------------------------- */

pl_lora_site *pl_lora_site_at(const pl_module *module, int32_t layer, pl_site site) {
    pl_lora *lora = module->state;
    return &lora->sites[layer * PL_SITE_COUNT + (int32_t)site];
}

static pl_lora_origin place_origin(const pl_lora_site *s, pl_pieces *pieces) {
    pl_lora_origin origin = {0};
    origin.a = pl_pieces_take(pieces, (int64_t)s->rank * s->in);
    origin.b = pl_pieces_take(pieces, (int64_t)s->out * s->rank);
    origin.a_packed = pl_pieces_take(pieces, pl_pack_size(s->rank, s->in));
    origin.b_packed = pl_pieces_take(pieces, pl_pack_size(s->out, s->rank));
    origin.a_t = pl_pieces_take(pieces, pl_pack_size(s->in, s->rank));
    origin.b_t = pl_pieces_take(pieces, pl_pack_size(s->rank, s->out));
    return origin;
}

/* The packed factors of every targeted site; lora NULL: only measured. */
static void place_sites(const pl_module *module, pl_pieces *pieces, pl_lora *lora) {
    int32_t widest = 1;
    for (int32_t i = 0; i < module->config.num_hidden_layers * PL_SITE_COUNT; i++) {
        int32_t layer = i / PL_SITE_COUNT;
        pl_site site = (pl_site)(i % PL_SITE_COUNT);
        if (!pl_options_targets(&module->options, layer, site))
            continue;
        pl_lora_site s = {.rank = pl_lora_rank(&module->options, layer, site),
                          .in = pl_site_in(&module->config, site),
                          .out = pl_site_out(&module->config, site)};
        widest = s.in > widest ? s.in : widest;
        widest = s.out > widest ? s.out : widest;
        s.a = pl_pieces_take(pieces, pl_pack_size(s.rank, s.in));
        s.b = pl_pieces_take(pieces, pl_pack_size(s.out, s.rank));
        s.a_t = pl_pieces_take(pieces, pl_pack_size(s.in, s.rank));
        s.b_t = pl_pieces_take(pieces, pl_pack_size(s.rank, s.out));
        if (pl_lora_keeps_origin(&module->options))
            s.origin = place_origin(&s, pieces);
        if (module->options.number[DORA] != 0) {
            s.norm = pl_pieces_take(pieces, s.out);
            s.g = pl_pieces_take(pieces, s.out);
        }
        if (lora)
            lora->sites[i] = s;
    }
    real *row = pl_pieces_take(pieces, widest);
    if (lora)
        lora->row = row;
}

/* A and B where they are not drawn, DoRA's m from the present rows. */
static pl_status start_site(pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            uint64_t seed, pl_error *error) {
    pl_lora_site *s = pl_lora_site_at(module, layer, site);
    if (s->rank == 0)
        return PL_OK;
    s->scale = (real)pl_lora_scale(&module->options, layer, site);
    PL_TRY(pl_lora_init_site(module, model, layer, site, seed, error));
    if (s->origin.a) {
        pl_pack(s->origin.a, s->rank, s->in, s->origin.a_packed);
        pl_pack(s->origin.b, s->out, s->rank, s->origin.b_packed);
        pl_pack_transposed(s->origin.a, s->rank, s->in, s->origin.a_t);
        pl_pack_transposed(s->origin.b, s->out, s->rank, s->origin.b_t);
    }
    if (!s->g)
        return PL_OK;
    pl_dora_prepare(module, model, layer, site);
    memcpy(pl_module_values(module, layer, (int32_t)site, PL_LORA_M), s->norm, (size_t)s->out * sizeof(real));
    return PL_OK;
}

pl_status pl_lora_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error) {
    int32_t count = module->config.num_hidden_layers * PL_SITE_COUNT;
    pl_pieces pieces = {0};
    place_sites(module, &pieces, NULL);
    pl_lora *lora = pl_pieces_block(module->memory, sizeof *lora + (size_t)count * sizeof *lora->sites,
                                    &pieces, &pieces.base);
    if (!lora)
        return pl_fail(error, PL_ERR_MEMORY,
                       "module '%s': no memory left for its %lld packed factors; choose a smaller rank",
                       module->name, (long long)pieces.used);
    module->state = lora;
    lora->dropout = (real)module->options.number[DROPOUT];
    lora->dora = module->options.number[DORA] != 0;
    pieces.used = 0;
    place_sites(module, &pieces, lora);
    for (int32_t i = 0; i < count; i++)
        PL_TRY(start_site(module, model, i / PL_SITE_COUNT, (pl_site)(i % PL_SITE_COUNT), seed, error));
    return PL_OK;
}

void pl_lora_prepare(pl_module *module, const pl_model *model) {
    for (int32_t layer = 0; layer < module->config.num_hidden_layers; layer++) {
        for (int32_t i = 0; i < PL_SITE_COUNT; i++) {
            pl_lora_site *s = pl_lora_site_at(module, layer, (pl_site)i);
            if (s->rank == 0)
                continue;
            const real *a = pl_module_values(module, layer, i, PL_LORA_A),
                       *b = pl_module_values(module, layer, i, PL_LORA_B);
            s->scale = (real)(pl_lora_scale(&module->options, layer, (pl_site)i) * (double)module->weight);
            pl_pack(a, s->rank, s->in, s->a);
            pl_pack(b, s->out, s->rank, s->b);
            if (s->origin.b) /* B - B0: packing only moves numbers */
                pl_add_scaled(s->origin.b_packed, -1, s->b, (size_t)pl_pack_size(s->out, s->rank));
            pl_pack_transposed(a, s->rank, s->in, s->a_t);
            pl_pack_transposed(b, s->out, s->rank, s->b_t);
            if (s->g)
                pl_dora_prepare(module, model, layer, (pl_site)i);
        }
    }
}
