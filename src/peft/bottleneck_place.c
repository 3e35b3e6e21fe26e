/* Bottleneck adapters: which places of a layer carry a network, how wide it is there, and what its tensors are called. */
#include "peft/bottleneck.h"

bool pl_bottleneck_on_input(pl_site site) { return site != PL_SITE_O && site != PL_SITE_DOWN; }

/* The AdapterHub variants have no target list, but follow its layers: a layer without any target has no network (leave_out). */
static bool at_block(const pl_options *options, const pl_config *config, int32_t layer, int32_t site,
                     pl_bottleneck_place *place) {
    bool both = pl_bottleneck_variant_of(options) == PL_BOTTLENECK_HOULSBY;
    if (site >= PL_BLOCK_COUNT || options->targets[layer] == 0 || (site == PL_BLOCK_ATTENTION && !both))
        return false;
    *place = (pl_bottleneck_place){
        .layer = layer, .site = site, .in = config->hidden_size, .out = config->hidden_size};
    return true;
}

bool pl_bottleneck_at(const pl_options *options, const pl_config *config, int32_t layer, int32_t site,
                      pl_bottleneck_place *place) {
    pl_bottleneck_variant variant = pl_bottleneck_variant_of(options);
    if (variant < PL_BOTTLENECK_PER_LINEAR)
        return at_block(options, config, layer, site, place);
    if (!pl_options_targets(options, layer, (pl_site)site))
        return false;
    *place = (pl_bottleneck_place){.layer = layer, .site = site};
    place->in = pl_site_in(config, (pl_site)site);
    place->out = pl_site_out(config, (pl_site)site);
    if (variant == PL_BOTTLENECK_PER_LINEAR && pl_bottleneck_on_input((pl_site)site))
        place->out = place->in;
    else if (variant == PL_BOTTLENECK_PER_LINEAR)
        place->in = place->out;
    return true;
}

void pl_bottleneck_tensor_name(const pl_options *options, const pl_bottleneck_place *place, const char *part,
                               pl_tensor *tensor) {
    if (pl_bottleneck_variant_of(options) < PL_BOTTLENECK_PER_LINEAR)
        pl_tensor_name(tensor, "model.layers.%d.%s.adapters." PL_BOTTLENECK_NAME ".%s", (int)place->layer,
                       place->site == PL_BLOCK_ATTENTION ? "attention_adapters" : "output_adapters", part);
    else
        pl_tensor_name(tensor, "model.layers.%d.%s.%s.%s", (int)place->layer,
                       pl_site_parent((pl_site)place->site), pl_site_name((pl_site)place->site), part);
}
