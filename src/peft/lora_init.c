/* Starts of LoRA that are more than random numbers. All arithmetic is double; s is the map's scale.
 *
 *   pissa       W = U S V^T (singular values):  B0 = U_r sqrt(S_r / s),  A0 = sqrt(S_r / s) V_r^T.  Meng et al. 2024, arXiv:2404.02948
 *   olora       W = Q R:                        B0 = Q_r,  A0 = R_r.                               Büyükakyüz 2024, arXiv:2406.01775
 *   orthogonal  A0, B0 from the even and the odd rows of one random rotation, so that B0 A0 = 0; W is left alone
 *
 * The first two train a part of W itself: s B0 A0 is taken out of the base, and A and B start where they give it back. peft overwrites W by
 * W - s B0 A0. Here W is never touched: the module keeps A0 and B0, frozen, and its change of the map is
 *
 *      s (B A - B0 A0)  =  s ((B - B0) A + B0 (A - A0))
 *
 * The right-hand form is the one that is computed everywhere: at the start both differences are exactly zero, so the start is the base model
 * to the last bit, and nothing large is subtracted from something equally large later. So such a module can be switched off, weighted, mixed and
 * merged like any other, which peft's cannot. pl_lora_plain writes the same change as a LoRA of rank 2r on the untouched base, as peft's
 * path_initial_model_for_weight_conversion does:  A' = [A; A0],  B' = [B, -B0].
 */
#include <math.h>
#include <string.h>

#include "peft/lora.h"
#include "peft/qr.h"
#include "peft/svd.h"

pl_lora_init pl_lora_init_of(const pl_options *options) {
    return (pl_lora_init)pl_option_number(options, "init");
}

bool pl_lora_keeps_origin(const pl_options *options) {
    pl_lora_init init = pl_lora_init_of(options);
    return init == PL_LORA_INIT_PISSA || init == PL_LORA_INIT_OLORA;
}

/* ---- checks -------------------------------------------------------------------------------------------------------- */

static pl_status check_site(const pl_options *options, const pl_config *config, int32_t layer, pl_site site,
                            pl_error *error) {
    int32_t rank = pl_lora_rank(options, layer, site), in = pl_site_in(config, site),
            out = pl_site_out(config, site), least = in < out ? in : out;
    char path[PL_NAME_SIZE];
    pl_site_path(layer, site, path);
    if (pl_lora_init_of(options) == PL_LORA_INIT_ORTHOGONAL && rank % 2 != 0)
        return pl_fail(error, PL_ERR_RANGE,
                       "init 'orthogonal' halves a rotation between A and B: the rank must be even, not %d",
                       (int)rank);
    if (pl_lora_keeps_origin(options) && rank > least)
        return pl_fail(error, PL_ERR_RANGE,
                       "init '%s' takes the rank out of the matrix itself: %s is %d x %d, so rank %d is more "
                       "than the %d it has",
                       pl_lora_init_of(options) == PL_LORA_INIT_PISSA ? "pissa" : "olora", path, (int)out,
                       (int)in, (int)rank, (int)least);
    return PL_OK;
}

pl_status pl_lora_init_check(const pl_options *options, const pl_config *config, pl_error *error) {
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            if (pl_options_targets(options, layer, (pl_site)site))
                PL_TRY(check_site(options, config, layer, (pl_site)site, error));
    if (!pl_lora_keeps_origin(options))
        return PL_OK;
    pl_options plain;
    pl_error why = {0};
    pl_lora_plain_options(options, &plain);
    if (pl_options_check(&plain, config, &why) == PL_OK)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "as a plain LoRA, which its file is, it would not be allowed: %s",
                   why.message);
}

/* ---- the starts of one map ------------------------------------------------------------------------------------------- */

/* A and B of one map, to be filled. */
typedef struct factors {
    real *a, *b; /* [rank, in], [out, rank] */
    int32_t rank, in, out;
    double scale;
} factors;

static pl_status no_memory(const pl_module *module, pl_error *error) {
    return pl_fail(error, PL_ERR_MEMORY, "module '%s': no memory left to work out its start", module->name);
}

static pl_status start_pissa(pl_memory *memory, const double *w, const factors *f, pl_error *error) {
    pl_svd svd;
    PL_TRY(pl_svd_dense(memory, w, f->out, f->in, &svd, error));
    for (int32_t k = 0; k < f->rank; k++) {
        double root = sqrt(svd.s[k] / f->scale);
        for (int32_t o = 0; o < f->out; o++)
            f->b[(size_t)o * (size_t)f->rank + (size_t)k] =
                (real)(svd.u[(size_t)o * (size_t)svd.rank + (size_t)k] * root);
        for (int32_t i = 0; i < f->in; i++)
            f->a[(size_t)k * (size_t)f->in + (size_t)i] =
                (real)(root * svd.vt[(size_t)k * (size_t)f->in + (size_t)i]);
    }
    pl_svd_free(memory, &svd);
    return PL_OK;
}

static pl_status start_olora(pl_memory *memory, const double *w, const factors *f, pl_error *error) {
    pl_qr qr;
    PL_TRY(pl_qr_leading(memory, w, f->out, f->in, f->rank, &qr, error));
    for (size_t i = 0; i < (size_t)f->out * (size_t)f->rank; i++)
        f->b[i] = (real)qr.q[i];
    for (size_t i = 0; i < (size_t)f->rank * (size_t)f->in; i++)
        f->a[i] = (real)qr.r[i];
    pl_qr_free(memory, &qr);
    return PL_OK;
}

static void draw(double *x, size_t n, uint64_t seed, uint64_t stream) {
    pl_rng rng = pl_rng_stream(seed, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = pl_rng_normal(&rng);
}

/* y[n, rank] = noise[n, rank / 2] times every second row of q[rank, rank], from the first or the second on, divided by ten (peft's size). */
static void project(const double *noise, const double *q, int32_t first, int32_t n, const factors *f,
                    bool transposed, real *y) {
    int32_t half = f->rank / 2;
    for (int32_t i = 0; i < n; i++)
        for (int32_t k = 0; k < f->rank; k++) {
            double sum = 0;
            for (int32_t h = 0; h < half; h++)
                sum += noise[(size_t)i * (size_t)half + (size_t)h] *
                       q[(size_t)(2 * h + first) * (size_t)f->rank + (size_t)k];
            size_t at =
                transposed ? (size_t)k * (size_t)n + (size_t)i : (size_t)i * (size_t)f->rank + (size_t)k;
            y[at] = (real)(sum / 10);
        }
}

static pl_status start_orthogonal(const pl_module *module, uint64_t seed, const factors *f, pl_error *error) {
    size_t square = (size_t)f->rank * (size_t)f->rank, half = (size_t)f->rank / 2;
    size_t widest = (size_t)(f->in > f->out ? f->in : f->out) * half;
    size_t size = widest > square ? widest : square;
    double *noise = pl_memory_alloc(module->memory, size, sizeof *noise);
    pl_qr qr = {0};
    if (!noise)
        return no_memory(module, error);
    draw(noise, square, seed, 0);
    pl_status status = pl_qr_leading(module->memory, noise, f->rank, f->rank, f->rank, &qr, error);
    if (status == PL_OK) {
        draw(noise, (size_t)f->in * half, seed, 1);
        project(noise, qr.q, 0, f->in, f, true, f->a);
        draw(noise, (size_t)f->out * half, seed, 2);
        project(noise, qr.q, 1, f->out, f, false, f->b);
    }
    pl_qr_free(module->memory, &qr);
    pl_memory_free(module->memory, noise);
    return status;
}

/* The base's own weight of the map, as loaded, in double: not what an active module may have lent in its place, so that the start does not
   depend on what else is active. From memory. */
static double *base_weight(const pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                           size_t size) {
    const real *w = model->values + model->layout.tensors[pl_model_linear_index(layer, site)].offset;
    double *copy = pl_memory_alloc(module->memory, size, sizeof *copy);
    for (size_t i = 0; copy && i < size; i++)
        copy[i] = (double)w[i];
    return copy;
}

pl_status pl_lora_init_site(pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            uint64_t seed, pl_error *error) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, site);
    pl_lora_init init = pl_lora_init_of(&module->options);
    factors f = {.a = pl_module_values(module, layer, (int32_t)site, PL_LORA_A),
                 .b = pl_module_values(module, layer, (int32_t)site, PL_LORA_B),
                 .rank = s->rank,
                 .in = s->in,
                 .out = s->out,
                 .scale = pl_lora_scale(&module->options, layer, site)};
    if (init == PL_LORA_INIT_ORTHOGONAL)
        return start_orthogonal(module, pl_rng_mix(seed, (uint64_t)(layer * PL_SITE_COUNT + (int32_t)site)),
                                &f, error);
    if (!pl_lora_keeps_origin(&module->options))
        return PL_OK; /* drawn by the layout */
    double *w = base_weight(module, model, layer, site, (size_t)f.out * (size_t)f.in);
    if (!w)
        return no_memory(module, error);
    pl_status status = init == PL_LORA_INIT_PISSA ? start_pissa(module->memory, w, &f, error)
                                                  : start_olora(module->memory, w, &f, error);
    pl_memory_free(module->memory, w);
    PL_TRY(status);
    memcpy(s->origin.a, f.a, (size_t)f.rank * (size_t)f.in * sizeof(real));
    memcpy(s->origin.b, f.b, (size_t)f.out * (size_t)f.rank * sizeof(real));
    return PL_OK;
}

/* ---- the same as a plain LoRA ------------------------------------------------------------------------------------------ */

/* Twice the rank, and alpha such that s stays: alpha / r, or alpha / sqrt(r) for rsLoRA. */
void pl_lora_plain_options(const pl_options *options, pl_options *plain) {
    *plain = *options;
    if (!pl_lora_keeps_origin(options))
        return;
    int32_t rank = pl_option_index(options->method, "rank"),
            alpha = pl_option_index(options->method, "alpha"),
            ranks = pl_option_index(options->method, "rank_pattern");
    double more = pl_option_number(options, "use_rslora") != 0 ? sqrt(2) : 2;
    plain->number[rank] *= 2;
    plain->number[alpha] *= more;
    for (int32_t i = 0; i < plain->pattern_count; i++)
        plain->patterns[i].value *= plain->pattern_option[i] == ranks ? 2 : more;
    plain->number[pl_option_index(options->method, "init")] = PL_LORA_INIT_TRUE;
}

static void fill_plain(const pl_module *module, pl_module *plain, int32_t layer, int32_t site) {
    const pl_lora_site *s = pl_lora_site_at(module, layer, (pl_site)site);
    size_t rank = (size_t)s->rank, block = rank * (size_t)s->in;
    const real *b = pl_module_values(module, layer, site, PL_LORA_B),
               *m = pl_module_values(module, layer, site, PL_LORA_M);
    real *to_a = pl_module_values(plain, layer, site, PL_LORA_A),
         *to_b = pl_module_values(plain, layer, site, PL_LORA_B);
    memcpy(to_a, pl_module_values(module, layer, site, PL_LORA_A), block * sizeof(real));
    memcpy(to_a + block, s->origin.a, block * sizeof(real));
    for (size_t o = 0; o < (size_t)s->out; o++)
        for (size_t k = 0; k < rank; k++) {
            to_b[o * 2 * rank + k] = b[o * rank + k];
            to_b[o * 2 * rank + rank + k] = -s->origin.b[o * rank + k];
        }
    if (m)
        memcpy(pl_module_values(plain, layer, site, PL_LORA_M), m, (size_t)s->out * sizeof(real));
}

pl_status pl_lora_plain(pl_memory *memory, pl_model *model, const pl_module *module, pl_module **plain,
                        pl_error *error) {
    pl_options options;
    pl_lora_plain_options(&module->options, &options);
    PL_TRY(pl_module_create(memory, model, &options, module->name, 0, plain, error));
    for (int32_t layer = 0; layer < module->config.num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            if (pl_options_targets(&options, layer, (pl_site)site))
                fill_plain(module, *plain, layer, site);
    return PL_OK;
}

pl_status pl_lora_file_declare(const pl_options *options, const pl_config *config, pl_layout *layout) {
    pl_options plain;
    pl_lora_plain_options(options, &plain);
    return pl_lora_declare(&plain, config, layout);
}
