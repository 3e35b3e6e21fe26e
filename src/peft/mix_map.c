/* Combining LoRAs at one linear map. All arithmetic is double. */
#include "peft/mix_map.h"

#include <math.h>
#include <string.h>

#include "peft/lora.h"
#include "peft/svd.h"

/* What takes part at one map. */
typedef struct sources {
    int32_t layer, count, inner, in, out; /* inner: sum of ranks */
    pl_site site;
    int32_t which[PL_MIX_MAX], rank[PL_MIX_MAX];
    double scale[PL_MIX_MAX], u[PL_MIX_MAX]; /* s_i, w_i s_i */
    const real *a[PL_MIX_MAX], *b[PL_MIX_MAX];
} sources;

static void gather(const pl_mixing *m, int32_t layer, pl_site site, sources *s) {
    *s = (sources){.layer = layer,
                   .site = site,
                   .in = pl_site_in(&m->made->config, site),
                   .out = pl_site_out(&m->made->config, site)};
    for (int32_t i = 0; i < m->count; i++) {
        const pl_module *module = m->modules[i];
        int32_t rank = pl_lora_site_at(module, layer, site)->rank;
        if (rank == 0)
            continue;
        int32_t k = s->count++;
        s->which[k] = i;
        s->rank[k] = rank;
        s->scale[k] = pl_lora_scale(&module->options, layer, site);
        s->u[k] = m->weights[i] * s->scale[k];
        s->a[k] = pl_module_values(module, layer, (int32_t)site, PL_LORA_A);
        s->b[k] = pl_module_values(module, layer, (int32_t)site, PL_LORA_B);
        s->inner += rank;
    }
}

/* a[inner, in] = rows factor_i A_i; b[out, inner] = columns B_i. */
static void concatenate(const sources *s, const double *factor, double *a, double *b) {
    int32_t row = 0;
    for (int32_t k = 0; k < s->count; k++) {
        for (int32_t r = 0; r < s->rank[k]; r++, row++) {
            for (int32_t i = 0; i < s->in; i++)
                a[(size_t)row * (size_t)s->in + (size_t)i] =
                    factor[k] * (double)s->a[k][(size_t)r * (size_t)s->in + (size_t)i];
            for (int32_t o = 0; o < s->out; o++)
                b[(size_t)o * (size_t)s->inner + (size_t)row] =
                    (double)s->b[k][(size_t)o * (size_t)s->rank[k] + (size_t)r];
        }
    }
}

static pl_status no_memory(const sources *s, pl_error *error) {
    char path[PL_NAME_SIZE];
    pl_site_path(s->layer, s->site, path);
    return pl_fail(error, PL_ERR_MEMORY, "combining: no memory left for %s", path);
}

/* Stores the first kept columns of b[out, stride] and rows of a[stride, in] in the new module; the rest stays 0. */
static void store(const pl_mixing *m, const sources *s, const double *a, const double *b, int32_t kept,
                  int32_t stride) {
    real *to_a = pl_module_values(m->made, s->layer, (int32_t)s->site, PL_LORA_A);
    real *to_b = pl_module_values(m->made, s->layer, (int32_t)s->site, PL_LORA_B);
    memset(to_a, 0, (size_t)m->rank * (size_t)s->in * sizeof(real));
    memset(to_b, 0, (size_t)s->out * (size_t)m->rank * sizeof(real));
    for (int32_t r = 0; r < kept; r++) {
        for (int32_t i = 0; i < s->in; i++)
            to_a[(size_t)r * (size_t)s->in + (size_t)i] = (real)a[(size_t)r * (size_t)s->in + (size_t)i];
        for (int32_t o = 0; o < s->out; o++)
            to_b[(size_t)o * (size_t)m->rank + (size_t)r] = (real)b[(size_t)o * (size_t)stride + (size_t)r];
    }
}

/* A' = V_k^T, B' = U_k S_k, as peft splits it. */
static void store_svd(const pl_mixing *m, const sources *s, pl_svd *svd) {
    for (int32_t o = 0; o < s->out; o++)
        for (int32_t k = 0; k < svd->rank; k++)
            svd->u[(size_t)o * (size_t)svd->rank + (size_t)k] *= svd->s[k];
    store(m, s, svd->vt, svd->u, svd->rank < m->rank ? svd->rank : m->rank, svd->rank);
}

/* cat, and svd without pruning: both start from the exact sum as one product. */
static pl_status mix_exact(const pl_mixing *m, const sources *s, pl_error *error) {
    double factor[PL_MIX_MAX], *a = pl_memory_alloc(m->memory, (size_t)s->inner * (size_t)s->in, sizeof *a);
    double *b = pl_memory_alloc(m->memory, (size_t)s->out * (size_t)s->inner, sizeof *b);
    pl_svd svd = {0};
    pl_status status = PL_OK;
    for (int32_t k = 0; k < s->count; k++)
        factor[k] = s->u[k] * (m->full_matrix && m->options.compat_double ? s->scale[k] : 1);
    if (!a || !b) {
        status = no_memory(s, error);
    } else {
        concatenate(s, factor, a, b);
        if (!m->full_matrix)
            store(m, s, a, b, s->inner, s->inner);
        else if ((status = pl_svd_product(m->memory, b, a, s->out, s->inner, s->in, &svd, error)) == PL_OK)
            store_svd(m, s, &svd);
    }
    pl_svd_free(m->memory, &svd);
    pl_memory_free(m->memory, a);
    pl_memory_free(m->memory, b);
    return status;
}

/* y[n] from x[count][n] by the rule; what: 0 for A, 1 for B or the full change (its own random numbers). */
static void apply_rule(const pl_mixing *m, const sources *s, double *const *x, const double *c, size_t n,
                       int32_t what, double *y) {
    for (int32_t k = 0; k < s->count; k++) {
        uint64_t place = (uint64_t)((s->layer * PL_SITE_COUNT + (int32_t)s->site) * 2 + what);
        pl_rng rng = pl_rng_stream(pl_rng_mix(m->options.seed, place), (uint64_t)s->which[k]);
        if (m->pruning == PL_MIX_PRUNE_MAGNITUDE)
            pl_mix_prune_magnitude(x[k], n, m->options.density, y);
        else if (m->pruning == PL_MIX_PRUNE_RANDOM)
            pl_mix_prune_random(x[k], n, m->options.density, &rng);
    }
    if (m->rule == PL_MIX_RULE_ELECT)
        pl_mix_elect(x, c, s->count, n, m->options.frequency, y);
    else
        pl_mix_sum(x, c, s->count, n, y);
}

/* A pointer per source into one block x[count][n], and y[n] behind them. */
static double *rows_of(const pl_mixing *m, const sources *s, size_t n, double *x[PL_MIX_MAX]) {
    double *block = pl_memory_alloc(m->memory, ((size_t)s->count + 1) * n, sizeof *block);
    for (int32_t k = 0; block && k < s->count; k++)
        x[k] = block + (size_t)k * n;
    return block;
}

/* linear, ties, dare_*, magnitude_prune: the rule on the A_i and the B_i apart, each with sqrt|u_i|, the sign on A. */
static pl_status mix_factors(const pl_mixing *m, const sources *s, pl_error *error) {
    double *x[PL_MIX_MAX], *y[PL_MIX_MAX], signed_root[PL_MIX_MAX], root[PL_MIX_MAX];
    size_t a_size = (size_t)s->rank[0] * (size_t)s->in, b_size = (size_t)s->out * (size_t)s->rank[0];
    for (int32_t k = 0; k < s->count; k++) {
        if (s->rank[k] != s->rank[0])
            return pl_fail(
                error, PL_ERR_MISMATCH,
                "%s needs equal ranks in every map, but a rank_pattern makes them differ; use cat or svd",
                pl_mix_name(m->type));
        root[k] = sqrt(fabs(s->u[k]));
        signed_root[k] = s->u[k] >= 0 ? root[k] : -root[k];
    }
    double *a = rows_of(m, s, a_size, x), *b = rows_of(m, s, b_size, y);
    pl_status status = a && b ? PL_OK : no_memory(s, error);
    if (status == PL_OK) {
        for (int32_t k = 0; k < s->count; k++) {
            for (size_t i = 0; i < a_size; i++)
                x[k][i] = (double)s->a[k][i];
            for (size_t i = 0; i < b_size; i++)
                y[k][i] = (double)s->b[k][i];
        }
        double *to_a = a + (size_t)s->count * a_size, *to_b = b + (size_t)s->count * b_size;
        apply_rule(m, s, x, signed_root, a_size, 0, to_a);
        apply_rule(m, s, y, root, b_size, 1, to_b);
        store(m, s, to_a, to_b, s->rank[0], s->rank[0]);
    }
    pl_memory_free(m->memory, a);
    pl_memory_free(m->memory, b);
    return status;
}

/* d[out, in] = factor B A of source k. */
static void full_change(const sources *s, int32_t k, double factor, double *d) {
    size_t in = (size_t)s->in;
    memset(d, 0, (size_t)s->out * in * sizeof *d);
    for (int32_t o = 0; o < s->out; o++)
        for (int32_t r = 0; r < s->rank[k]; r++) {
            double b = factor * (double)s->b[k][(size_t)o * (size_t)s->rank[k] + (size_t)r];
            for (size_t i = 0; i < in; i++)
                d[(size_t)o * in + i] += b * (double)s->a[k][(size_t)r * in + i];
        }
}

/* ties_svd, dare_*_svd, magnitude_prune_svd: the rule on s_i B_i A_i, then the best approximation of rank m->rank. */
static pl_status mix_changes(const pl_mixing *m, const sources *s, pl_error *error) {
    double *x[PL_MIX_MAX], c[PL_MIX_MAX];
    size_t n = (size_t)s->out * (size_t)s->in;
    double *block = rows_of(m, s, n, x);
    if (!block)
        return no_memory(s, error);
    for (int32_t k = 0; k < s->count; k++) {
        full_change(s, k, s->scale[k], x[k]);
        c[k] = m->options.compat_double ? s->u[k] : m->weights[s->which[k]];
    }
    double *sum = block + (size_t)s->count * n;
    apply_rule(m, s, x, c, n, 1, sum);
    pl_svd svd = {0};
    pl_status status = pl_svd_dense(m->memory, sum, s->out, s->in, &svd, error);
    if (status == PL_OK)
        store_svd(m, s, &svd);
    pl_svd_free(m->memory, &svd);
    pl_memory_free(m->memory, block);
    return status;
}

/* Adds |result - D|^2, |D|^2 and the squares of the products that D sums up, of this map, row by row. */
static pl_status measure(pl_mixing *m, const sources *s, pl_error *error) {
    size_t in = (size_t)s->in;
    double *row = pl_memory_alloc(m->memory, 2 * in, sizeof *row), *want = row ? row + in : NULL;
    double scale = pl_lora_scale(&m->made->options, s->layer, s->site);
    const real *a = pl_module_values(m->made, s->layer, (int32_t)s->site, PL_LORA_A);
    const real *b = pl_module_values(m->made, s->layer, (int32_t)s->site, PL_LORA_B);
    if (!row)
        return no_memory(s, error);
    for (int32_t o = 0; o < s->out; o++) {
        memset(row, 0, 2 * in * sizeof *row);
        for (int32_t r = 0; r < m->rank; r++)
            for (size_t i = 0; i < in; i++)
                row[i] += scale * (double)b[(size_t)o * (size_t)m->rank + (size_t)r] *
                          (double)a[(size_t)r * in + i];
        for (int32_t k = 0; k < s->count; k++)
            for (int32_t r = 0; r < s->rank[k]; r++)
                for (size_t i = 0; i < in; i++) {
                    const double term = s->u[k] *
                                        (double)s->b[k][(size_t)o * (size_t)s->rank[k] + (size_t)r] *
                                        (double)s->a[k][(size_t)r * in + i];
                    want[i] += term;
                    m->square_terms += term * term;
                }
        for (size_t i = 0; i < in; i++) {
            m->square_error += (row[i] - want[i]) * (row[i] - want[i]);
            m->square_norm += want[i] * want[i];
        }
    }
    pl_memory_free(m->memory, row);
    return PL_OK;
}

pl_status pl_mix_map(pl_mixing *m, int32_t layer, pl_site site, pl_error *error) {
    sources s;
    gather(m, layer, site, &s);
    if (s.count == 0)
        return PL_OK;
    if (m->type == PL_MIX_CAT || m->type == PL_MIX_SVD)
        PL_TRY(mix_exact(m, &s, error));
    else if (m->full_matrix)
        PL_TRY(mix_changes(m, &s, error));
    else
        PL_TRY(mix_factors(m, &s, error));
    return measure(m, &s, error);
}
