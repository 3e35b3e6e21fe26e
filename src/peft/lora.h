/* What LoRA, its DoRA variant and the mixing of several LoRAs share. Not part of the contract with other layers. */
#ifndef PL_PEFT_LORA_H
#define PL_PEFT_LORA_H

#include "peft/methods.h"

extern const pl_method PL_METHOD_LORA;

enum { PL_LORA_A, PL_LORA_B, PL_LORA_M }; /* tensors of one site; M is DoRA's magnitude */

/* How A and B start; the order of the option's words. */
typedef enum pl_lora_init {
    PL_LORA_INIT_TRUE,
    PL_LORA_INIT_GAUSSIAN,
    PL_LORA_INIT_FALSE,
    PL_LORA_INIT_PISSA,
    PL_LORA_INIT_OLORA,
    PL_LORA_INIT_ORTHOGONAL
} pl_lora_init;

/* PiSSA and OLoRA: the frozen B0 A0 at which the detour started (lora_init.c); all NULL otherwise. */
typedef struct pl_lora_origin {
    real *a, *b;               /* [rank, in], [out, rank] */
    real *a_packed, *b_packed; /* for x A0^T and u B0^T */
    real *a_t, *b_t;           /* for (dy B0) A0 and dy B0 */
} pl_lora_origin;

/* One targeted linear map, ready for passes: placed by start(), filled by prepare(). */
typedef struct pl_lora_site {
    int32_t rank, in, out; /* rank 0: this map is not targeted */
    real scale;            /* s = alpha / rank (rsLoRA: alpha / sqrt(rank)), times the module's weight */
    real *a, *b;           /* packed for u = x A^T and y += s u B^T; with an origin b is B - B0 */
    real *a_t, *b_t;       /* packed for dx += s du A and du = dy B */
    pl_lora_origin origin;
    real *norm, *g; /* [out], DoRA only: ||W + s B A|| of each row, and g = m / norm; else NULL */
} pl_lora_site;

typedef struct pl_lora {
    real dropout;
    bool dora;
    real *row;            /* [max(in, out)] scratch */
    pl_lora_site sites[]; /* [num_hidden_layers * PL_SITE_COUNT] */
} pl_lora;

/* Buffers of a pass, one per (layer, site) or shared by all (PL_NONE, PL_NONE):
 *   U      [rows, rank]  u = drop(x) A^T; per site when training, as backward needs it; else shared
 *   DU     [rows, rank]  shared: du = dy B
 *   X      [rows, in]    shared, with dropout: the dropped input, and gradients on their way through the mask
 *   OUTER                shared: scratch of pl_gemm_outer
 *   Z      [rows, out]   per site, DoRA when training: (W + s B A) x, before the scaling by g
 *   DY     [rows, out]   shared, DoRA with dropout: g z forward, g dy backward
 *   U0     [rows, rank]  shared, with an origin: x A0^T and u - x A0^T; dy B0 */
enum { PL_LORA_U, PL_LORA_DU, PL_LORA_X, PL_LORA_OUTER, PL_LORA_Z, PL_LORA_DY, PL_LORA_U0 };

/* The site's state; its rank is 0 where the map is not targeted. */
pl_lora_site *pl_lora_site_at(const pl_module *module, int32_t layer, pl_site site);
int32_t pl_lora_rank(const pl_options *options, int32_t layer, pl_site site); /* rank_pattern or rank */
/* s = alpha / rank (rsLoRA: alpha / sqrt(rank)), without the module's weight. */
double pl_lora_scale(const pl_options *options, int32_t layer, pl_site site);

/* The dropped input of this site: x itself when nothing is dropped, else PL_LORA_X drawn again from the same mask. */
const real *pl_lora_input(const pl_module *module, const pl_linear_at *at, const real *x);
bool pl_lora_drops(const pl_module *module, const pl_pass *pass);      /* is dropout on, and more than 0? */
uint64_t pl_lora_tag(const pl_module *module, const pl_linear_at *at); /* dropout stream of this site */

/* y += s B A x, or with an origin s (B A x - B0 A0 base), for u = x A^T and the input base of the frozen part. */
void pl_lora_detour(const pl_module *module, const pl_linear_at *at, const real *base, const real *u,
                    real *y);
/* With an origin, else nothing: y += sign * s B0 A0 x, what was taken out of the base, and its backward dx += sign * s (dy B0) A0. */
void pl_lora_origin_forward(const pl_module *module, const pl_linear_at *at, const real *x, real sign,
                            real *y);
void pl_lora_origin_backward(const pl_module *module, const pl_linear_at *at, const real *dy, real sign,
                             real *dx);

/* row[in] += factor * row o of B A, or with an origin of B A - B0 A0. */
void pl_lora_row(const pl_module *module, int32_t layer, pl_site site, int32_t o, real factor, real *row);
/* w[out, in] += sign * s B A (with an origin: s (B A - B0 A0)), row by row: the product first, then the scale, as peft merges. */
void pl_lora_add_delta(const pl_module *module, int32_t layer, pl_site site, real sign, real *w);

/* ---- lora_tensors.c: members of PL_METHOD_LORA; what each has to do is said in methods.h ---- */

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

/* ---- lora_init.c: starts that are more than random numbers ---- */

pl_lora_init pl_lora_init_of(const pl_options *options);
bool pl_lora_keeps_origin(const pl_options *options); /* PiSSA, OLoRA */
/* Errors: PL_ERR_RANGE for an odd rank with orthogonal, and with PiSSA and OLoRA for one that the matrix does not have, or that is beyond the
   limits when doubled (pl_lora_plain). */
pl_status pl_lora_init_check(const pl_options *options, const pl_config *config, pl_error *error);
/* Fills A, B and, if it keeps one, the origin of one targeted map; nothing where the layout has drawn them. Errors: PL_ERR_MEMORY. */
pl_status pl_lora_init_site(pl_module *module, const pl_model *model, int32_t layer, pl_site site,
                            uint64_t seed, pl_error *error);
/* A module with an origin as a LoRA of twice the rank without one that changes the same: what its file holds and what mixing works on. The
   new module is the caller's. Errors: those of pl_module_create. */
pl_status pl_lora_plain(pl_memory *memory, pl_model *model, const pl_module *module, pl_module **plain,
                        pl_error *error);
void pl_lora_plain_options(const pl_options *options, pl_options *plain); /* unchanged without an origin */
/* The tensors of the file: those of the plain LoRA. */
pl_status pl_lora_file_declare(const pl_options *options, const pl_config *config, pl_layout *layout);

/* ---- dora.c: the four places where DoRA differs (site->g != NULL) ---- */

/* norm and g of a site from the present weights. */
void pl_dora_prepare(const pl_module *module, const pl_model *model, int32_t layer, pl_site site);
/* y from x, dropped = drop(x) and u = drop(x) A^T. */
void pl_dora_forward(const pl_module *module, const pl_linear_at *at, const real *x, const real *dropped,
                     const real *u, real *y);
/* Adds dm and, with dropout, the share of dx that does not pass through A. Returns the gradient for s u B^T. */
const real *pl_dora_backward(pl_module *module, const pl_linear_at *at, real *dy, real *dx);
/* w <- g (w + s B A), and back by w / g - s B A. */
void pl_dora_merge(const pl_module *module, int32_t layer, pl_site site, real *w);
void pl_dora_unmerge(const pl_module *module, int32_t layer, pl_site site, real *w);

#endif
