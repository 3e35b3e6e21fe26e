/* Combining LoRAs: the request, the new module, the report. What happens at each linear map is in mix_map.c. */
#include <math.h>
#include <string.h>

#include "peft/lora.h"
#include "peft/mix_map.h"

static const struct {
    const char *name, *summary;
} TYPES[PL_MIX_COUNT] = {
    [PL_MIX_CAT] = {"cat", "Puts the factors side by side: the exact weighted sum; ranks add up."},
    [PL_MIX_LINEAR] =
        {"linear",
         "Adds the factors A and B separately: same rank, but cross terms between the adapters come in."},
    [PL_MIX_SVD] = {"svd", "The best approximation of the weighted sum at a chosen rank."},
    [PL_MIX_TIES] = {"ties", "Prunes the factors, elects a sign per number and averages what agrees."},
    [PL_MIX_TIES_SVD] = {"ties_svd", "TIES on the full changes, then approximated at a chosen rank."},
    [PL_MIX_DARE_LINEAR] = {"dare_linear",
                            "Drops numbers of the factors at random, rescales the rest and adds."},
    [PL_MIX_DARE_TIES] = {"dare_ties", "Drops at random, then elects signs on the factors."},
    [PL_MIX_DARE_LINEAR_SVD] = {"dare_linear_svd",
                                "Random dropping on the full changes, then approximated at a chosen rank."},
    [PL_MIX_DARE_TIES_SVD] = {"dare_ties_svd",
                              "Random dropping and sign election on the full changes, then approximated."},
    [PL_MIX_MAGNITUDE_PRUNE] = {"magnitude_prune", "Keeps only the largest numbers of the factors and adds."},
    [PL_MIX_MAGNITUDE_PRUNE_SVD] = {"magnitude_prune_svd",
                                    "Keeps only the largest numbers of the full changes, then approximated."},
};

const char *pl_mix_name(pl_mix_type type) { return TYPES[type].name; }
const char *pl_mix_summary(pl_mix_type type) { return TYPES[type].summary; }

pl_status pl_mix_find(const char *name, pl_mix_type *type, pl_error *error) {
    for (int32_t i = 0; i < PL_MIX_COUNT; i++) {
        if (strcmp(TYPES[i].name, name) == 0) {
            *type = (pl_mix_type)i;
            return PL_OK;
        }
    }
    return pl_fail(error, PL_ERR_ARGUMENT,
                   "'%s' is no way to combine LoRAs; choose cat, linear, svd, ties, dare_linear, dare_ties, "
                   "magnitude_prune, or one of the "
                   "last four with _svd",
                   name);
}

pl_mix_options pl_mix_options_default(pl_mix_type type) {
    return (pl_mix_options){.type = type, .density = 0.5};
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static void describe_type(pl_mixing *m) {
    pl_mix_type t = m->type;
    bool ties = t == PL_MIX_TIES || t == PL_MIX_TIES_SVD,
         dare_ties = t == PL_MIX_DARE_TIES || t == PL_MIX_DARE_TIES_SVD;
    bool dare = t == PL_MIX_DARE_LINEAR || t == PL_MIX_DARE_LINEAR_SVD;
    m->full_matrix = t == PL_MIX_SVD || t == PL_MIX_TIES_SVD || t == PL_MIX_DARE_LINEAR_SVD ||
                     t == PL_MIX_DARE_TIES_SVD || t == PL_MIX_MAGNITUDE_PRUNE_SVD;
    m->rule = ties || dare_ties ? PL_MIX_RULE_ELECT : PL_MIX_RULE_SUM;
    m->pruning = dare || dare_ties ? PL_MIX_PRUNE_RANDOM
                 : ties || t == PL_MIX_MAGNITUDE_PRUNE || t == PL_MIX_MAGNITUDE_PRUNE_SVD
                     ? PL_MIX_PRUNE_MAGNITUDE
                     : PL_MIX_PRUNE_NOTHING;
}

static int32_t largest_rank(const pl_module *module) {
    int32_t largest = 0;
    for (int32_t i = 0; i < module->config.num_hidden_layers * PL_SITE_COUNT; i++) {
        int32_t rank = pl_lora_site_at(module, i / PL_SITE_COUNT, (pl_site)(i % PL_SITE_COUNT))->rank;
        largest = rank > largest ? rank : largest;
    }
    return largest;
}

/* What peft counts: the words of the configuration, with patterns that fit no adapted map, and a rank that every map has another than. */
static int32_t configured_rank(const pl_options *options) {
    int32_t index = pl_option_index(options->method, "rank_pattern");
    double largest = pl_option_number(options, "rank");
    for (int32_t i = 0; i < options->pattern_count; i++)
        if (options->pattern_option[i] == index && options->patterns[i].value > largest)
            largest = options->patterns[i].value;
    return (int32_t)largest;
}

static pl_status check_module(const pl_module *module, double weight, pl_error *error) {
    if (module->method != &PL_METHOD_LORA)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "module '%s' is %s; only LoRAs, or bottleneck adapters of one kind, can be combined "
                       "into one, others can be active together",
                       module->name, module->method->label);
    if (((const pl_lora *)module->state)->dora)
        return pl_fail(error, PL_ERR_UNSUPPORTED,
                       "module '%s' uses DoRA, whose row lengths no sum of LoRAs can hold; keep it active "
                       "with a weight instead",
                       module->name);
    if (!isfinite(weight))
        return pl_fail(error, PL_ERR_RANGE, "the weight of module '%s' must be a finite number",
                       module->name);
    return PL_OK;
}

static pl_status check_count(int32_t count, pl_error *error) {
    if (count >= 1 && count <= PL_MIX_MAX)
        return PL_OK;
    return pl_fail(error, PL_ERR_RANGE, "%d modules to combine; it must be 1..%d", (int)count,
                   (int)PL_MIX_MAX);
}

static pl_status check_request(pl_mixing *m, pl_error *error) {
    const pl_mix_options *o = &m->options;
    int32_t sum = 0, largest = 0;
    if (m->pruning != PL_MIX_PRUNE_NOTHING && !(o->density > 0 && o->density <= 1))
        return pl_fail(error, PL_ERR_RANGE, "density %g is outside (0, 1]; 1 keeps everything", o->density);
    for (int32_t i = 0; i < m->count; i++) {
        PL_TRY(check_module(m->modules[i], m->weights[i], error));
        int32_t rank = o->compat ? configured_rank(&m->modules[i]->options) : largest_rank(m->modules[i]);
        bool equal_needed = !m->full_matrix && m->type != PL_MIX_CAT;
        if (equal_needed && i > 0 && rank != largest)
            return pl_fail(error, PL_ERR_MISMATCH,
                           "%s needs equal ranks, but '%s' has %d and '%s' has %d; use cat or svd",
                           TYPES[m->type].name, m->modules[0]->name, (int)largest, m->modules[i]->name,
                           (int)rank);
        sum += rank;
        largest = rank > largest ? rank : largest;
    }
    m->rank = m->type == PL_MIX_CAT ? sum : m->full_matrix && o->svd_rank ? o->svd_rank : largest;
    return PL_OK;
}

/* The new module: fields of the first source, targets of all, rank everywhere the same, own scale 1. */
static pl_status make_module(pl_mixing *m, pl_model *model, const char *name, pl_error *error) {
    pl_options options = m->modules[0]->options;
    options.pattern_count = 0;
    for (int32_t i = 1; i < m->count; i++)
        for (int32_t layer = 0; layer < PL_LAYERS_MAX; layer++)
            options.targets[layer] =
                (uint8_t)(options.targets[layer] | m->modules[i]->options.targets[layer]);
    PL_TRY(pl_options_set_number(&options, "rank", m->rank, error));
    PL_TRY(pl_options_set_number(&options, "alpha", m->rank, error));
    PL_TRY(pl_options_set_text(&options, &model->config, "init", "true", error));
    if (!m->options.compat)
        PL_TRY(pl_options_set_number(&options, "use_rslora", 0, error));
    return pl_module_create(m->memory, model, &options, name, 0, &m->made, error);
}

static pl_status mix_all(pl_mixing *m, pl_error *error) {
    for (int32_t layer = 0; layer < m->made->config.num_hidden_layers; layer++)
        for (int32_t site = 0; site < PL_SITE_COUNT; site++)
            PL_TRY(pl_mix_map(m, layer, (pl_site)site, error));
    return PL_OK;
}

static pl_status mix_plain(pl_mixing *m, pl_model *model, const char *name, pl_error *error) {
    PL_TRY(check_request(m, error));
    PL_TRY(make_module(m, model, name, error));
    pl_status status = mix_all(m, error);
    if (status != PL_OK)
        pl_module_free(m->made);
    return status;
}

/* PiSSA's and OLoRA's part that left the base is no factor of theirs: such sources are mixed as the plain LoRAs they amount to. */
static pl_status make_plain(const pl_mixing *m, pl_model *model, pl_module **made, pl_module **sources,
                            pl_error *error) {
    for (int32_t i = 0; i < m->count; i++) {
        sources[i] = m->modules[i];
        if (sources[i]->method != &PL_METHOD_LORA || !pl_lora_keeps_origin(&sources[i]->options))
            continue;
        PL_TRY(pl_lora_plain(m->memory, model, m->modules[i], &made[i], error));
        sources[i] = made[i];
    }
    return PL_OK;
}

pl_status pl_mix(pl_memory *memory, pl_model *model, pl_module *const *modules, const double *weights,
                 int32_t count, const pl_mix_options *options, const char *name, pl_module **result,
                 pl_mix_report *report, pl_error *error) {
    *result = NULL;
    pl_mixing m = {.memory = memory,
                   .modules = modules,
                   .weights = weights,
                   .count = count,
                   .options = *options,
                   .type = options->type};
    if (options->compat && count == 1)
        m.type = PL_MIX_LINEAR;
    describe_type(&m);
    pl_module *sources[PL_MIX_MAX], *made[PL_MIX_MAX] = {NULL};
    PL_TRY(check_count(count, error));
    pl_status status = make_plain(&m, model, made, sources, error);
    m.modules = sources;
    if (status == PL_OK)
        status = mix_plain(&m, model, name, error);
    for (int32_t i = 0; i < count; i++)
        pl_module_free(made[i]);
    PL_TRY(status);
    double norm = sqrt(m.square_norm), distance = sqrt(m.square_error), terms = sqrt(m.square_terms);
    if (norm <= 1e-12 * terms) /* they cancel: what is left of D is rounding, and no measure */
        norm = 0;
    const double measure = norm > 0 ? norm : terms;
    *report = (pl_mix_report){
        .rank = m.rank, .norm = norm, .relative_error = measure > 0 ? distance / measure : distance};
    report->exact = report->relative_error <= 1e-6;
    *result = m.made;
    return PL_OK;
}
