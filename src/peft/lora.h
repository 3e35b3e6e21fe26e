/* What LoRA, its DoRA variant and the mixing of several LoRAs share. Not part of the contract with other layers. */
#ifndef PL_PEFT_LORA_H
#define PL_PEFT_LORA_H

#include "peft/methods.h"

extern const pl_method PL_METHOD_LORA;

enum { PL_LORA_A, PL_LORA_B, PL_LORA_M, PL_LORA_SLOTS }; /* tensors of one site; M is DoRA's magnitude */

/* One targeted linear map, ready for passes. Filled by prepare(). */
typedef struct pl_lora_site {
    int32_t rank, in, out; /* rank 0: this map is not targeted */
    real scale;            /* s = alpha / rank (rsLoRA: alpha / sqrt(rank)), times the module's weight */
    real *a, *b;           /* packed for u = x A^T and y += s u B^T */
    real *a_t, *b_t;       /* packed for dx += s du A and du = dy B */
    real *norm, *g;        /* [out], DoRA only: ||W + s B A|| of each row, and g = m / norm; else NULL */
} pl_lora_site;

typedef struct pl_lora {
    real dropout;
    bool dora;
    real *row;            /* [max(in, out)] scratch */
    pl_lora_site sites[]; /* [num_hidden_layers * PL_SITE_COUNT] */
} pl_lora;

enum {            /* buffers of a pass; (layer, site) or shared (PL_NONE, PL_NONE) */
       PL_LORA_U, /* [rows, rank] u = drop(x) A^T; per site when training, as backward needs it; else shared */
       PL_LORA_DU, /* [rows, rank] shared */
       PL_LORA_X, /* [rows, in] shared, with dropout: the dropped input, and gradients on their way through the mask */
       PL_LORA_OUTER, /* scratch of pl_gemm_outer, shared */
       PL_LORA_Z,     /* [rows, out] per site, DoRA when training: (W + s B A) x, before the scaling by g */
       PL_LORA_DY     /* [rows, out] shared, DoRA with dropout */
};

pl_lora_site *pl_lora_site_at(const pl_module *module, int32_t layer, pl_site site);
int32_t pl_lora_rank(const pl_options *options, int32_t layer, pl_site site); /* rank_pattern or rank */
double pl_lora_scale(const pl_options *options, int32_t layer,
                     pl_site site); /* s, without the module's weight */

/* The dropped input of this site: x itself when nothing is dropped, else PL_LORA_X drawn again from the same mask. */
const real *pl_lora_input(const pl_module *module, const pl_linear_at *at, const real *x);
bool pl_lora_drops(const pl_module *module, const pl_pass *pass);
uint64_t pl_lora_tag(const pl_module *module, const pl_linear_at *at); /* dropout stream of this site */

/* w[out, in] += sign * s B A, row by row: (B A) first, then the scale, as peft merges. */
void pl_lora_add_delta(const pl_module *module, int32_t layer, pl_site site, real sign, real *w);

/* ---- lora_tensors.c: members of PL_METHOD_LORA ---- */

enum { PL_LORA_OPTION_COUNT = 10 };
extern const pl_option PL_LORA_OPTIONS[];
pl_status pl_lora_check(const pl_options *options, const pl_config *config, pl_error *error);
pl_status pl_lora_declare(const pl_options *options, const pl_config *config, pl_layout *layout);
void pl_lora_needs(const pl_options *options, const pl_config *config, pl_needs *needs);
pl_status pl_lora_scratch(const pl_options *options, const pl_config *config, const pl_extent *extent,
                          pl_layout *layout);
pl_status pl_lora_start(pl_module *module, pl_model *model, uint64_t seed, pl_error *error);
void pl_lora_prepare(pl_module *module, const pl_model *model);
double pl_lora_flops(const pl_options *options, const pl_config *config, int32_t context);

/* ---- dora.c: the four places where DoRA differs (site->g != NULL) ---- */

/* norm and g of a site from the present weights. */
void pl_dora_prepare(const pl_module *module, const pl_model *model, int32_t layer, pl_site site);
/* y from u = drop(x) A^T and x = drop(x). */
void pl_dora_forward(const pl_module *module, const pl_linear_at *at, const real *x, const real *u, real *y);
/* Adds dm and, with dropout, the share of dx that does not pass through A. Returns the gradient for s u B^T. */
const real *pl_dora_backward(pl_module *module, const pl_linear_at *at, real *dy, real *dx);
void pl_dora_merge(const pl_module *module, int32_t layer, pl_site site, real *w);
void pl_dora_unmerge(const pl_module *module, int32_t layer, pl_site site, real *w);

#endif
