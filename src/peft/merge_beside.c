/* Some active modules are merged, others go on running beside the merged weights. That leaves the model's answers as they are only where, at
   every linear map, what stays would have come after what is merged, or can change places with it. */
#include "peft/methods.h"

static pl_effect effect_at(const pl_module *module, int32_t layer, pl_site site) {
    if (!module->method->effect || !pl_options_targets(&module->options, layer, site))
        return PL_EFFECT_NONE;
    return module->method->effect(&module->options, layer, site);
}

/* May a module with effect m go into the weights while one with effect r stays? r_first: r runs before m. */
static bool can_stay(pl_effect m, pl_effect r, bool r_first) {
    if (m == PL_EFFECT_NONE || r == PL_EFFECT_NONE)
        return true;
    if (r == PL_EFFECT_NORMS)
        return false;
    if (m == PL_EFFECT_SCALES_INPUT) /* what else reads the input has read it scaled */
        return r != PL_EFFECT_ADDS && (r != PL_EFFECT_BENDS_INPUT || r_first);
    if (!r_first || r == PL_EFFECT_SCALES_INPUT || r == PL_EFFECT_BENDS_INPUT)
        return true;
    return m == r && (m == PL_EFFECT_ADDS || m == PL_EFFECT_SCALES); /* sums and products have no order */
}

static pl_status check_pair(const pl_module *merged, const pl_module *stays, bool stays_first,
                            pl_error *error) {
    char path[PL_NAME_SIZE];
    for (int32_t layer = 0; layer < merged->config.num_hidden_layers; layer++) {
        for (int32_t site = 0; site < PL_SITE_COUNT; site++) {
            if (can_stay(effect_at(merged, layer, (pl_site)site), effect_at(stays, layer, (pl_site)site),
                         stays_first))
                continue;
            pl_site_path(layer, (pl_site)site, path);
            return pl_fail(error, PL_ERR_STATE,
                           "module '%s' cannot be merged alone: '%s' is active at %s, too, and beside the "
                           "merged weights it would give other results than before; merge it as well, if it "
                           "can be merged, or deactivate it first",
                           merged->name, stays->name, path);
        }
    }
    return PL_OK;
}

pl_status pl_merge_check_beside(pl_module *const *active, const bool *merged, int32_t count,
                                pl_error *error) {
    for (int32_t m = 0; m < count; m++)
        for (int32_t r = 0; r < count; r++)
            if (merged[m] && !merged[r])
                PL_TRY(check_pair(active[m], active[r], r < m, error));
    return PL_OK;
}
