/* Declaring, finding and filling named tensors. */
#include "base/layout.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

enum { PL_TENSOR_ALIGN = 16 /* elements: 64 bytes of float, one cache line */ };

pl_layout pl_layout_make(pl_memory *memory, pl_error *error) {
    return (pl_layout){.memory = memory, .error = error};
}

pl_tensor pl_tensor_matrix(int32_t layer, int32_t site, int32_t slot, int64_t rows, int64_t cols,
                           pl_init init, double scale) {
    return (pl_tensor){.layer = layer,
                       .site = site,
                       .slot = slot,
                       .dims = 2,
                       .rows = rows,
                       .cols = cols,
                       .init = init,
                       .scale = scale,
                       .lr_scale = 1.0F,
                       .decay = true};
}

pl_tensor pl_tensor_vector(int32_t layer, int32_t site, int32_t slot, int64_t size, pl_init init,
                           double scale) {
    return (pl_tensor){.layer = layer,
                       .site = site,
                       .slot = slot,
                       .dims = 1,
                       .rows = size,
                       .cols = 1,
                       .init = init,
                       .scale = scale,
                       .lr_scale = 1.0F,
                       .decay = false};
}

void pl_tensor_name(pl_tensor *tensor, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(tensor->name, sizeof tensor->name, format, arguments);
    va_end(arguments);
}

static pl_status layout_fail(pl_layout *layout, pl_status status, const pl_tensor *tensor, const char *why) {
    layout->status = status;
    return pl_fail(layout->error, status, "tensor %s of %lld x %lld: %s", tensor->name,
                   (long long)tensor->rows, (long long)tensor->cols, why);
}

static pl_status layout_grow(pl_layout *layout) {
    int32_t capacity = layout->capacity ? 2 * layout->capacity : 32;
    pl_tensor *tensors = pl_memory_alloc(layout->memory, (size_t)capacity, sizeof *tensors);
    if (!tensors)
        return PL_ERR_MEMORY;
    if (layout->count)
        memcpy(tensors, layout->tensors, (size_t)layout->count * sizeof *tensors);
    pl_memory_free(layout->memory, layout->tensors);
    layout->tensors = tensors;
    layout->capacity = capacity;
    return PL_OK;
}

pl_status pl_layout_add(pl_layout *layout, const pl_tensor *tensor) {
    if (layout->status != PL_OK)
        return layout->status;
    if (tensor->rows < 1 || tensor->cols < 1 || tensor->rows > INT64_MAX / 4 / tensor->cols)
        return layout_fail(layout, PL_ERR_RANGE, tensor,
                           "every dimension must be positive and the product must fit");
    if (layout->memory && layout->count == layout->capacity && layout_grow(layout) != PL_OK)
        return layout_fail(layout, PL_ERR_MEMORY, tensor, "no memory left for the list of tensors");
    int64_t size = tensor->rows * tensor->cols;
    if (layout->memory) {
        layout->tensors[layout->count] = *tensor;
        layout->tensors[layout->count].offset = layout->extent;
    }
    layout->count++;
    layout->elements += size;
    layout->extent += (size + PL_TENSOR_ALIGN - 1) / PL_TENSOR_ALIGN * PL_TENSOR_ALIGN;
    layout->file_elements += tensor->transient ? 0 : size;
    return PL_OK;
}

int32_t pl_layout_find(const pl_layout *layout, const char *name) {
    for (int32_t i = 0; layout->tensors && i < layout->count; i++)
        if (strcmp(layout->tensors[i].name, name) == 0)
            return i;
    return PL_NONE;
}

static real draw(const pl_tensor *tensor, pl_rng *rng) {
    switch (tensor->init) {
    case PL_INIT_ZERO:
    case PL_INIT_CUSTOM:
        return 0;
    case PL_INIT_ONE:
        return 1;
    case PL_INIT_UNIFORM:
        return (real)(float)(tensor->scale * (2.0 * pl_rng_uniform(rng) - 1.0));
    case PL_INIT_NORMAL:
        return (real)(float)(tensor->scale * pl_rng_normal(rng));
    case PL_INIT_TRUNCATED_NORMAL:
        for (;;) {
            double z = pl_rng_normal(rng);
            if (fabs(z) <= 2.0)
                return (real)(float)(tensor->scale * z);
        }
    }
    return 0;
}

void pl_layout_fill(const pl_layout *layout, uint64_t seed, real *values) {
    for (int32_t i = 0; i < layout->count; i++) {
        const pl_tensor *tensor = &layout->tensors[i];
        if (tensor->init == PL_INIT_CUSTOM)
            continue;
        pl_rng rng = pl_rng_stream(seed, (uint64_t)i);
        for (int64_t j = 0; j < tensor->rows * tensor->cols; j++)
            values[tensor->offset + j] = draw(tensor, &rng);
    }
}

void pl_layout_free(pl_layout *layout) {
    if (layout->memory)
        pl_memory_free(layout->memory, layout->tensors);
    *layout = (pl_layout){0};
}
