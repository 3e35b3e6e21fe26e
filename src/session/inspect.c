/* Looking inside a module: the matrices of one site. */
#include <math.h>
#include <string.h>

#include "base/exact.h"
#include "kernels/kernels.h"
#include "peft/lora.h"
#include "peft/mix.h"
#include "session/internal.h"

pl_status session_find_site(pl_session *s, int32_t layer, const char *name, pl_site *site) {
    if (layer < 0 || layer >= s->model->config.num_hidden_layers)
        return pl_fail(&s->error, PL_ERR_RANGE, "layer %d is outside 0..%d", layer,
                       s->model->config.num_hidden_layers - 1);
    for (int32_t i = 0; i < PL_SITE_COUNT; i++) {
        if (strcmp(name, pl_site_name((pl_site)i)) == 0) {
            *site = (pl_site)i;
            return PL_OK;
        }
    }
    return pl_fail(
        &s->error, PL_ERR_ARGUMENT,
        "\"%s\" is no linear map; q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj are",
        name);
}

/* The base weight as the session's base has it, whatever is merged or attached now. */
static const real *base_weight(const pl_session *s, int32_t layer, pl_site site) {
    char path[PL_NAME_SIZE], name[PL_NAME_SIZE + 8];
    pl_site_path(layer, site, path);
    size_t length = strlen(path);
    memcpy(name, path, length);
    memcpy(name + length, ".weight", 8);
    int32_t index = pl_layout_find(&s->model->layout, name);
    return index == PL_NONE ? NULL : s->model->values + s->model->layout.tensors[index].offset;
}

static pl_status write_floats(pl_session *s, const real *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float value = (float)values[i];
        pl_text_bytes(&s->result, (const char *)&value, sizeof value);
    }
    return PL_OK;
}

/* A or B such that s B A is the change: for PiSSA and OLoRA those of the plain LoRA that the module amounts to. */
static pl_status factor(pl_session *s, const pl_module *module, int32_t layer, pl_site site, int32_t slot) {
    pl_module *plain = NULL;
    const pl_tensor *tensor =
        module->method == &PL_METHOD_LORA ? pl_module_shape(module, layer, (int32_t)site, slot) : NULL;
    if (!tensor)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "module %s has no low-rank factors here", module->name);
    if (pl_lora_keeps_origin(&module->options)) {
        PL_TRY(pl_lora_plain(&s->memory, s->model, module, &plain, &s->error));
        module = plain;
        tensor = pl_module_shape(plain, layer, (int32_t)site, slot);
    }
    pl_status status = write_floats(s, module->values + tensor->offset, tensor->rows * tensor->cols);
    pl_module_free(plain);
    return status;
}

/* Factors and norms of the module as it is now. session_ready does that for active modules; a module that is not active (a fresh mix, for
   one) has never been prepared, and its change would read as zero. */
static pl_status prepare_entry(pl_session *s, pl_entry *entry) {
    pl_module *module = entry->module;
    pl_extent extent = {.rows = 1, .seqs = 1, .labels = 1, .training = false};
    PL_TRY(session_ready(s, 1));
    if (entry->active && !entry->merged)
        return PL_OK;
    PL_TRY(pl_module_plan(module, &extent, &s->error));
    pl_stack_prepare(&module, 1, s->model);
    return PL_OK;
}

static pl_status matrix(pl_session *s, int32_t id, int32_t layer, const char *site_name, const char *what) {
    pl_entry *entry = session_entry(s, id);
    pl_site site = PL_SITE_Q;
    if (!entry)
        return s->error.status;
    PL_TRY(session_find_site(s, layer, site_name, &site));
    int64_t size = (int64_t)pl_site_in(&s->model->config, site) * pl_site_out(&s->model->config, site);
    const real *base = base_weight(s, layer, site);
    if (strcmp(what, "A") == 0 || strcmp(what, "B") == 0)
        return factor(s, entry->module, layer, site, what[0] == 'A' ? PL_LORA_A : PL_LORA_B);
    if (strcmp(what, "base") == 0)
        return write_floats(s, base, size);
    bool delta = strcmp(what, "delta") == 0;
    if (!delta && strcmp(what, "merged") != 0)
        return pl_fail(&s->error, PL_ERR_ARGUMENT, "\"%s\" is none of base, delta, merged, A, B", what);
    PL_TRY(prepare_entry(s, entry));
    real *w = pl_memory_alloc(&s->memory, (uint64_t)size, sizeof *w);
    if (!w)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for a matrix of %lld numbers", (long long)size);
    pl_status status = pl_delta(entry->module, s->model, layer, site, w, &s->error);
    if (status == PL_OK && !delta)
        pl_add(base, w, (size_t)size);
    if (status == PL_OK)
        status = write_floats(s, w, size);
    pl_memory_free(&s->memory, w);
    return status;
}

int32_t pl_module_matrix(pl_session *s, int32_t id, int32_t layer, const char *site, const char *what) {
    session_begin(s);
    pl_status status = session_need_model(s);
    return session_end(s, status == PL_OK ? matrix(s, id, layer, site, what) : status);
}

/* exp of the entropy of the normalised squared singular values (Roy, Vetterli 2007): how many directions the change really uses. */
static double effective_rank(const double *values, int32_t count) {
    double total = 0, entropy = 0;
    for (int32_t i = 0; i < count; i++)
        total += values[i] * values[i];
    for (int32_t i = 0; i < count && total > 0; i++) {
        double p = values[i] * values[i] / total;
        entropy -= p > 0 ? p * pl_exact_log(p) : 0;
    }
    return total > 0 ? pl_exact_exp(entropy) : 0;
}

static void write_spectrum(pl_session *s, const double *values, int32_t layer, pl_site site) {
    const pl_config *config = &s->model->config;
    int32_t in = pl_site_in(config, site), out = pl_site_out(config, site), count = in < out ? in : out;
    double square = 0;
    for (int32_t i = 0; i < count; i++)
        square += values[i] * values[i];
    double base = sqrt(pl_sum_squares(base_weight(s, layer, site), (size_t)in * (size_t)out));
    pl_write_begin(&s->result, '{');
    pl_write_key_int(&s->result, "rows", out);
    pl_write_key_int(&s->result, "cols", in);
    pl_write_key(&s->result, "singular_values");
    pl_write_numbers(&s->result, values, count);
    pl_write_key_number(&s->result, "effective_rank", effective_rank(values, count));
    pl_write_key_number(&s->result, "frobenius", sqrt(square));
    pl_write_key_number(&s->result, "base_frobenius", base);
    pl_write_key_number(&s->result, "relative", base > 0 ? sqrt(square) / base : 0);
    pl_write_end(&s->result, '}');
}

static pl_status spectrum(pl_session *s, int32_t id, int32_t layer, const char *site_name) {
    pl_entry *entry = session_entry(s, id);
    pl_site site = PL_SITE_Q;
    if (!entry)
        return s->error.status;
    PL_TRY(session_find_site(s, layer, site_name, &site));
    PL_TRY(prepare_entry(s, entry));
    int32_t in = pl_site_in(&s->model->config, site), out = pl_site_out(&s->model->config, site);
    double *values = pl_memory_alloc(&s->memory, (size_t)(in < out ? in : out), sizeof *values);
    if (!values)
        return pl_fail(&s->error, PL_ERR_MEMORY, "no memory for the singular values");
    pl_status status = pl_delta_spectrum(entry->module, s->model, layer, site, values, &s->error);
    if (status == PL_OK)
        write_spectrum(s, values, layer, site);
    pl_memory_free(&s->memory, values);
    return status;
}

int32_t pl_module_spectrum(pl_session *s, int32_t id, int32_t layer, const char *site) {
    session_begin(s);
    pl_status status = session_need_model(s);
    return session_end(s, status == PL_OK ? spectrum(s, id, layer, site) : status);
}
