/* Bottleneck adapters: small two-layer networks inserted into the frozen model.
 *
 *     A(u) = dropout(scale * (W_up f(W_down u + b_down) + b_up)),  W_down [m, in], W_up [out, m]
 *
 * m is much smaller than in and out, so there are few numbers, 2 m hidden_size for one. f is what LoRA does not have: with it the network can
 * do what no matrix can, and without it (f = identity) it could be merged. What goes round the network unchanged (h + …) makes the start
 * harmless: with W_up at or near 0 the layer is the base's.
 *
 * variant        where (per layer)                output                      file format
 * houlsby        after attention, after FFN       h + A(h)                    AdapterHub double_seq_bn
 * pfeiffer       after FFN                        h + A(x + h)                AdapterHub seq_bn
 * parallel       beside FFN                       h + A(x)                    AdapterHub par_bn (learned_scale: scaled_par_bn)
 * per_linear     around each targeted linear map  q,k,v,gate,up: W(u + A(u)); o,down: z + A(z), z = Wu    LLM-Adapters
 * per_linear_parallel  beside each targeted map   Wu + A(u)                   LLM-Adapters, use_parallel_adapter
 *
 * x is the residual stream in front of the sub-layer (not normalised), h the sub-layer's output before the residual add.
 * Papers: Houlsby et al. 2019, arXiv:1902.00751; Pfeiffer et al. 2020, arXiv:2005.00247; He et al. 2022, arXiv:2110.04366; Hu et al. 2023
 * (LLM-Adapters), arXiv:2304.01933.
 *
 * Tensor names of the first three are AdapterHub's, which contain the adapter's name: the layout holds the placeholder
 * PL_BOTTLENECK_NAME ("{name}") in its place, and whoever writes or reads a file puts the module's name there:
 *     model.layers.3.output_adapters.adapters.{name}.adapter_down.0.weight   (.bias), .adapter_up.weight (.bias), .scaling
 *     model.layers.3.attention_adapters.adapters.{name}.…
 * Those of per_linear are LLM-Adapters': model.layers.3.mlp.gate_proj.adapter_down.weight, .adapter_up.weight (no biases). */
#ifndef PL_PEFT_BOTTLENECK_H
#define PL_PEFT_BOTTLENECK_H

#include "kernels/kernels.h"
#include "peft/methods.h"

#define PL_BOTTLENECK_NAME "{name}"

extern const pl_method PL_METHOD_BOTTLENECK; /* "adapter" */

typedef enum pl_bottleneck_variant {
    PL_BOTTLENECK_HOULSBY,
    PL_BOTTLENECK_PFEIFFER,
    PL_BOTTLENECK_PARALLEL,
    PL_BOTTLENECK_PER_LINEAR,
    PL_BOTTLENECK_PER_LINEAR_PARALLEL
} pl_bottleneck_variant;

pl_bottleneck_variant pl_bottleneck_variant_of(const pl_options *options);
/* m: bottleneck_size, or max(1, floor(hidden_size / reduction_factor)) when that is 0. */
int32_t pl_bottleneck_size(const pl_options *options, const pl_config *config);
/* With "auto" and 0 resolved to the variant's own. */
pl_activation pl_bottleneck_activation(const pl_options *options);
double pl_bottleneck_scale(const pl_options *options);
/* Is the scale a trained number per place? */
bool pl_bottleneck_scale_learned(const pl_options *options);

/* ---- bottleneck_place.c: where the networks sit ---------------------------------------------------------------------------------------- */

/* One network. site is a pl_block for the AdapterHub variants, a pl_site for the others. */
typedef struct pl_bottleneck_place {
    int32_t layer, site, in, out;
} pl_bottleneck_place;

enum { PL_BOTTLENECK_PLACES = PL_SITE_COUNT /* at most, per layer */ };

/* Is there a network here? Fills place when there is. */
bool pl_bottleneck_at(const pl_options *options, const pl_config *config, int32_t layer, int32_t site,
                      pl_bottleneck_place *place);
/* The map is wrapped on its input side (q, k, v, gate, up of per_linear)? */
bool pl_bottleneck_on_input(pl_site site);
/* File name of one of the place's tensors; part is "adapter_down.0.weight", …; LLM-Adapters' has no ".0". */
void pl_bottleneck_tensor_name(const pl_options *options, const pl_bottleneck_place *place, const char *part,
                               pl_tensor *tensor);

/* ---- bottleneck_core.c: the network itself ------------------------------------------------------------------------------------------------ */

enum {
    PL_BOTTLENECK_DOWN,
    PL_BOTTLENECK_DOWN_BIAS,
    PL_BOTTLENECK_UP,
    PL_BOTTLENECK_UP_BIAS,
    PL_BOTTLENECK_SCALING
}; /* tensor slots */
/* Buffers of a pass: kept per place for backward, or shared (layer and site PL_NONE) by all places.
 *   U         [rows, in]   the input, where it is overwritten afterwards (not parallel, per_linear_parallel); per place when training
 *   Z, ACT    [rows, m]    in front of and behind the non-linearity; per place when training
 *   OUT       [rows, out]  shared: the output, and in backward its gradient
 *   DACT      [rows, m]    shared: the gradient of ACT, then of Z
 *   DU        [rows, in]   shared: the gradient of U
 *   OUTER                  shared: scratch of pl_gemm_outer */
enum {
    PL_BOTTLENECK_U,
    PL_BOTTLENECK_Z,
    PL_BOTTLENECK_ACT,
    PL_BOTTLENECK_OUT,
    PL_BOTTLENECK_DACT,
    PL_BOTTLENECK_DU,
    PL_BOTTLENECK_OUTER
};

/* Members of PL_METHOD_BOTTLENECK; what each has to do is said in methods.h. */
pl_status pl_bottleneck_declare(const pl_options *options, const pl_config *config, pl_layout *layout);
pl_status pl_bottleneck_scratch(const pl_options *options, const pl_config *config, const pl_extent *extent,
                                pl_layout *layout);
pl_status pl_bottleneck_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error);
void pl_bottleneck_prepare(pl_module *module, const pl_model *model);

/* Where the input u[rows, in] of this place has to be put before the call below, so that backward finds it. */
real *pl_bottleneck_input(const pl_module *module, const pl_bottleneck_place *place);
/* y[rows, out] += A(u). */
void pl_bottleneck_forward(const pl_module *module, const pl_pass *pass, const pl_bottleneck_place *place,
                           int32_t rows, const real *u, real *y);
/* From dy[rows, out]: gradients of the place's tensors (+=) when the module trains, and the gradient of u added to du and du_too (NULL: not
   wanted; either may be dy itself). u as in the forward pass. */
void pl_bottleneck_backward(const pl_module *module, const pl_pass *pass, const pl_bottleneck_place *place,
                            int32_t rows, const real *u, const real *dy, real *du, real *du_too);

/* ---- bottleneck_mix.c --------------------------------------------------------------------------------------------------------- */

/* A new module whose parameters are the weighted mean of these adapters' (weights are normalised to sum 1, so n equal adapters give that
   adapter again). They must agree in placement, widths, activation and scale: PL_ERR_MISMATCH. PL_ERR_RANGE when the weights sum to 0. */
pl_status pl_bottleneck_average(pl_memory *memory, pl_model *model, pl_module *const *modules,
                                const double *weights, int32_t count, const char *name, pl_module **average,
                                pl_error *error);

#endif
