/* The base tensors: declared once, placed in one block, packed once for the GEMMs of both directions. */
#include "kernels/kernels.h"
#include "model/model.h"

/* Order inside a layer, that of transformers' state_dict: the seven maps, then the two norms. */
enum { PL_ATTENTION_NORM = PL_SITE_COUNT, PL_FFN_NORM, PL_LAYER_TENSORS };

static const double INIT_RANGE = 0.02; /* transformers' initializer_range */

static void declare_layer(const pl_config *config, int32_t layer, pl_layout *layout) {
    for (int32_t s = 0; s < PL_SITE_COUNT; s++) {
        pl_site site = (pl_site)s;
        pl_tensor map = pl_tensor_matrix(layer, s, s, pl_site_out(config, site), pl_site_in(config, site),
                                         PL_INIT_NORMAL, INIT_RANGE);
        pl_tensor_name(&map, "model.layers.%d.%s.%s.weight", layer, pl_site_parent(site), pl_site_name(site));
        pl_layout_add(layout, &map);
    }
    pl_tensor norm = pl_tensor_vector(layer, PL_NONE, PL_ATTENTION_NORM, config->hidden_size, PL_INIT_ONE, 0);
    pl_tensor_name(&norm, "model.layers.%d.input_layernorm.weight", layer);
    pl_layout_add(layout, &norm);
    norm.slot = PL_FFN_NORM;
    pl_tensor_name(&norm, "model.layers.%d.post_attention_layernorm.weight", layer);
    pl_layout_add(layout, &norm);
}

pl_status pl_model_declare(const pl_config *config, pl_layout *layout) {
    pl_tensor embedding = pl_tensor_matrix(PL_NONE, PL_NONE, 0, config->vocab_size, config->hidden_size,
                                           PL_INIT_NORMAL, INIT_RANGE);
    pl_tensor_name(&embedding, "model.embed_tokens.weight");
    pl_layout_add(layout, &embedding);
    for (int32_t layer = 0; layer < config->num_hidden_layers; layer++)
        declare_layer(config, layer, layout);
    pl_tensor norm = pl_tensor_vector(PL_NONE, PL_NONE, 0, config->hidden_size, PL_INIT_ONE, 0);
    pl_tensor_name(&norm, "model.norm.weight");
    pl_layout_add(layout, &norm);
    if (!config->tie_word_embeddings) {
        pl_tensor_name(&embedding, "lm_head.weight");
        pl_layout_add(layout, &embedding);
    }
    return layout->status;
}

/* Where base tensor `index` lives in the model: its values and gradient pointers, and the packed map that
 * follows it (or NULL). */
typedef struct place {
    real **values, **gradients;
    pl_linear *linear;
} place;

static place place_of(const pl_model *model, int32_t index) {
    pl_model *m = (pl_model *)(uintptr_t)model; /* one look-up for readers and writers */
    int32_t layers = m->config.num_hidden_layers;
    if (index == 0)
        return (place){&m->embedding, &m->dembedding, m->config.tie_word_embeddings ? &m->head : NULL};
    if (index > layers * PL_LAYER_TENSORS + 1)
        return (place){&m->head.w, &m->head.dw, &m->head};
    if (index > layers * PL_LAYER_TENSORS)
        return (place){&m->final_norm.g, &m->final_norm.dg, NULL};
    pl_layer *layer = &m->layers[(index - 1) / PL_LAYER_TENSORS];
    int32_t slot = (index - 1) % PL_LAYER_TENSORS;
    if (slot == PL_ATTENTION_NORM)
        return (place){&layer->attention_norm.g, &layer->attention_norm.dg, NULL};
    if (slot == PL_FFN_NORM)
        return (place){&layer->ffn_norm.g, &layer->ffn_norm.dg, NULL};
    return (place){&layer->linear[slot].w, &layer->linear[slot].dw, &layer->linear[slot]};
}

/* Gives the map its sizes and its share of the packed block; base NULL only counts. Returns the reals taken.
 */
static int64_t place_packed(pl_linear *linear, int32_t out, int32_t in, real *base) {
    int64_t forward = pl_pack_size(out, in), backward = pl_pack_size(in, out);
    linear->out = out;
    linear->in = in;
    linear->packed = base;
    linear->packed_t = base ? base + forward : NULL;
    return forward + backward;
}

static int64_t place_all_packed(pl_model *model, real *base) {
    const pl_config *config = &model->config;
    int64_t used = 0;
    for (int32_t l = 0; l < config->num_hidden_layers; l++)
        for (int32_t s = 0; s < PL_SITE_COUNT; s++)
            used += place_packed(&model->layers[l].linear[s], pl_site_out(config, (pl_site)s),
                                 pl_site_in(config, (pl_site)s), base ? base + used : NULL);
    return used +
           place_packed(&model->head, config->vocab_size, config->hidden_size, base ? base + used : NULL);
}

static pl_status allocate(pl_model *model, pl_error *error) {
    const pl_config *config = &model->config;
    pl_memory *memory = model->memory;
    model->layout = pl_layout_make(memory, error);
    PL_TRY(pl_model_declare(config, &model->layout));
    uint64_t table = (uint64_t)config->max_position_embeddings * (uint64_t)(config->head_dim / 2);
    model->layers = pl_memory_alloc(memory, (size_t)config->num_hidden_layers, sizeof *model->layers);
    model->values =
        model->layers ? pl_memory_alloc(memory, (uint64_t)model->layout.extent, sizeof(real)) : NULL;
    model->packed =
        model->values ? pl_memory_alloc(memory, (uint64_t)place_all_packed(model, NULL), sizeof(real)) : NULL;
    model->rope_cosine = model->packed ? pl_memory_alloc(memory, table, sizeof(real)) : NULL;
    model->rope_sine = model->rope_cosine ? pl_memory_alloc(memory, table, sizeof(real)) : NULL;
    if (!model->rope_sine)
        return pl_fail(error, PL_ERR_MEMORY,
                       "no memory for a model of %lld parameters (about %lld MiB with its packed copies); "
                       "close something or "
                       "load a smaller model",
                       (long long)model->layout.elements,
                       (long long)(3 * model->layout.extent * (int64_t)sizeof(real) >> 20));
    return PL_OK;
}

pl_status pl_model_create(pl_memory *memory, const pl_config *config, pl_model **model, pl_error *error) {
    *model = NULL;
    PL_TRY(pl_config_check(config, error));
    pl_model *made = pl_memory_alloc(memory, 1, sizeof *made);
    if (!made)
        return pl_fail(error, PL_ERR_MEMORY, "no memory for a model");
    made->memory = memory;
    made->config = *config;
    pl_status status = allocate(made, error);
    if (status != PL_OK) {
        pl_model_free(made);
        return status;
    }
    place_all_packed(made, made->packed);
    for (int32_t i = 0; i < made->layout.count; i++)
        pl_model_redirect(made, i, NULL, NULL);
    double frequencies[PL_ROPE_PAIRS_MAX];
    pl_config_rope_frequencies(config, frequencies);
    pl_rope_table(frequencies, config->head_dim, config->max_position_embeddings, made->rope_cosine,
                  made->rope_sine);
    made->layout.error = NULL; /* the caller's error does not live as long as the model */
    *model = made;
    return PL_OK;
}

void pl_model_free(pl_model *model) {
    if (!model)
        return;
    pl_memory *memory = model->memory;
    pl_layout_free(&model->layout);
    pl_memory_free(memory, model->layers);
    pl_memory_free(memory, model->values);
    pl_memory_free(memory, model->packed);
    pl_memory_free(memory, model->rope_cosine);
    pl_memory_free(memory, model->rope_sine);
    pl_memory_free(memory, model);
}

static void pack_linear(pl_linear *linear) {
    pl_pack(linear->w, linear->out, linear->in, linear->packed);
    pl_pack_transposed(linear->w, linear->out, linear->in, linear->packed_t);
}

void pl_model_pack(pl_model *model) {
    for (int32_t i = 0; i < model->layout.count; i++)
        pl_model_repack(model, i);
}

void pl_model_repack(pl_model *model, int32_t index) {
    pl_linear *linear = place_of(model, index).linear;
    if (linear)
        pack_linear(linear);
}

void pl_model_redirect(pl_model *model, int32_t index, real *values, real *gradients) {
    place at = place_of(model, index);
    *at.values = values ? values : model->values + model->layout.tensors[index].offset;
    *at.gradients = values ? gradients : NULL;
    if (index == 0 && model->config.tie_word_embeddings) {
        model->head.w = model->embedding;
        model->head.dw = model->dembedding;
    }
}

real *pl_model_tensor(const pl_model *model, int32_t index) { return *place_of(model, index).values; }

int32_t pl_model_linear_index(int32_t layer, pl_site site) {
    return 1 + layer * PL_LAYER_TENSORS + (int32_t)site; /* behind the embedding and the layers before */
}

pl_linear *pl_model_linear(const pl_model *model, int32_t layer, pl_site site) {
    return &model->layers[layer].linear[site];
}

void pl_linear_apply(const pl_linear *linear, const real *x, int32_t n, real *y) {
    pl_gemm(x, n, linear->in, linear->packed, linear->out, y, false);
}
