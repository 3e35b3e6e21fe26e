/* Writer of safetensors files, equal byte for byte to the reference's: __metadata__ first,
 * tensors by name in byte order, header padded with spaces to a multiple of 8, data without gaps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/floats.h"
#include "io/json.h"
#include "io/safetensors.h"

typedef const pl_save_tensor *entry;

typedef struct writer {
    pl_memory *memory;
    entry *order; /* [count], sorted by name */
    int32_t count;
    pl_dtype dtype;
    uint64_t width; /* bytes per element */
    uint64_t total; /* data bytes */
    pl_text header;
    pl_error *error;
} writer;

static int compare_entries(const void *a, const void *b) {
    return strcmp((*(const entry *)a)->name, (*(const entry *)b)->name);
}

/* -1 when the shape is impossible. */
static int64_t element_count(entry t) {
    int64_t count = 1;
    bool good = t->dims >= 0 && t->dims <= PL_TENSOR_DIMS_MAX;
    for (int32_t i = 0; good && i < t->dims; i++) {
        good = t->shape[i] >= 0 && (t->shape[i] == 0 || count <= (INT64_MAX >> 8) / t->shape[i]);
        count = good ? count * t->shape[i] : 0;
    }
    return good ? count : -1;
}

static pl_status out_of_memory(const writer *w, uint64_t size) {
    return pl_fail(w->error, PL_ERR_MEMORY, "no memory for a safetensors file of %llu bytes",
                   (unsigned long long)size);
}

static pl_status check_metadata(const writer *w, const char *text) {
    pl_json *root = NULL;
    PL_TRY(pl_json_parse(text, strlen(text), "__metadata__", &root, w->error));
    bool good = pl_json_is_object(root);
    for (const pl_json *member = pl_json_first(root); member; member = pl_json_next(member))
        good = good && pl_json_is_string(member);
    pl_json_free(root);
    return good ? PL_OK : pl_fail(w->error, PL_ERR_ARGUMENT, "__metadata__ must be an object of strings");
}

/* Sorted copies of the pointers; names present, plain and unique. */
static pl_status sort_entries(writer *w, const pl_save_tensor *tensors) {
    w->order = pl_memory_alloc(w->memory, (size_t)w->count, sizeof *w->order);
    if (!w->order)
        return out_of_memory(w, 0);
    for (int32_t i = 0; i < w->count; i++) {
        w->order[i] = &tensors[i];
        const char *name = tensors[i].name;
        if (!*name || strcmp(name, "__metadata__") == 0)
            return pl_fail(w->error, PL_ERR_ARGUMENT, "\"%s\" cannot be the name of a tensor", name);
    }
    qsort(w->order, (size_t)w->count, sizeof *w->order, compare_entries);
    for (int32_t i = 1; i < w->count; i++)
        if (strcmp(w->order[i - 1]->name, w->order[i]->name) == 0)
            return pl_fail(w->error, PL_ERR_ARGUMENT, "two tensors are named %s", w->order[i]->name);
    return PL_OK;
}

static pl_status write_header(writer *w, const char *metadata_json) {
    static const char *const names[] = {
        [PL_DTYPE_F32] = "F32", [PL_DTYPE_F16] = "F16", [PL_DTYPE_BF16] = "BF16"};
    pl_text *out = &w->header;
    pl_write_begin(out, '{');
    if (metadata_json) {
        pl_write_key(out, "__metadata__");
        pl_text_bytes(out, metadata_json, strlen(metadata_json));
        out->comma = true;
    }
    for (int32_t i = 0; i < w->count; i++) {
        entry t = w->order[i];
        int64_t elements = element_count(t);
        if (elements < 0 || (uint64_t)elements * w->width > (uint64_t)INT64_MAX / 2 - w->total)
            return pl_fail(w->error, PL_ERR_RANGE, "%s has an impossible shape", t->name);
        pl_write_key(out, t->name);
        pl_write_begin(out, '{');
        pl_write_key_string(out, "dtype", names[w->dtype]);
        pl_write_key(out, "shape");
        pl_write_begin(out, '[');
        for (int32_t k = 0; k < t->dims; k++)
            pl_write_int(out, t->shape[k]);
        pl_write_end(out, ']');
        pl_write_key(out, "data_offsets");
        pl_write_begin(out, '[');
        pl_write_int(out, (int64_t)w->total);
        w->total += (uint64_t)elements * w->width;
        pl_write_int(out, (int64_t)w->total);
        pl_write_end(out, ']');
        pl_write_end(out, '}');
    }
    pl_write_end(out, '}');
    while (out->length % 8 != 0 && !out->failed)
        pl_text_bytes(out, " ", 1);
    if (out->failed)
        return out_of_memory(w, w->total);
    if (out->length > PL_SAFETENSORS_HEADER_MAX)
        return pl_fail(w->error, PL_ERR_RANGE, "a safetensors header of %zu bytes is over the limit of %d",
                       out->length, PL_SAFETENSORS_HEADER_MAX);
    return PL_OK;
}

/* Converts one tensor to at; refuses what is not a finite number in the file's format. */
static pl_status write_values(const writer *w, entry t, uint8_t *at) {
    int64_t elements = element_count(t);
    for (int64_t i = 0; i < elements; i++, at += w->width) {
        float value = (float)t->values[i], stored = value;
        uint16_t half = 0;
        if (w->dtype == PL_DTYPE_F32) {
            memcpy(at, &value, sizeof value);
        } else {
            half = w->dtype == PL_DTYPE_F16 ? pl_f16_from_float(value) : pl_bf16_from_float(value);
            stored = w->dtype == PL_DTYPE_F16 ? pl_float_from_f16(half) : pl_float_from_bf16(half);
            memcpy(at, &half, sizeof half);
        }
        if (!isfinite(stored))
            return pl_fail(w->error, PL_ERR_NUMERIC,
                           "%s: value %g at index %lld is not finite%s; nothing was written", t->name,
                           (double)t->values[i], (long long)i,
                           isfinite(value) ? " in this 16-bit format (choose fp32)" : "");
    }
    return PL_OK;
}

static pl_status write_file(writer *w, const pl_save_tensor *tensors, const char *metadata_json,
                            uint8_t **bytes, size_t *size) {
    if (metadata_json)
        PL_TRY(check_metadata(w, metadata_json));
    PL_TRY(sort_entries(w, tensors));
    PL_TRY(write_header(w, metadata_json));
    uint64_t total = 8 + w->header.length + w->total;
    uint8_t *file = total <= SIZE_MAX ? pl_memory_alloc(w->memory, (size_t)total, 1) : NULL;
    if (!file)
        return out_of_memory(w, total);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)w->header.length >> (8 * i));
    memcpy(file + 8, w->header.data, w->header.length);
    uint8_t *at = file + 8 + w->header.length;
    for (int32_t i = 0; i < w->count; i++) {
        pl_status status = write_values(w, w->order[i], at);
        if (status != PL_OK) {
            pl_memory_free(w->memory, file);
            return status;
        }
        at += (uint64_t)element_count(w->order[i]) * w->width;
    }
    *bytes = file;
    *size = (size_t)total;
    return PL_OK;
}

pl_status pl_safetensors_write(pl_memory *memory, const pl_save_tensor *tensors, int32_t count,
                               pl_dtype dtype, const char *metadata_json, uint8_t **bytes, size_t *size,
                               pl_error *error) {
    *bytes = NULL;
    *size = 0;
    if (dtype != PL_DTYPE_F32 && dtype != PL_DTYPE_F16 && dtype != PL_DTYPE_BF16)
        return pl_fail(error, PL_ERR_ARGUMENT, "safetensors files are written as F32, F16 or BF16");
    if (count < 0 || count > PL_SAFETENSORS_TENSORS_MAX)
        return pl_fail(error, PL_ERR_RANGE, "%d tensors are outside 0..%d", (int)count,
                       PL_SAFETENSORS_TENSORS_MAX);
    writer w = {.memory = memory,
                .count = count,
                .dtype = dtype,
                .width = dtype == PL_DTYPE_F32 ? 4 : 2,
                .header = pl_text_make(memory),
                .error = error};
    pl_status status = write_file(&w, tensors, metadata_json, bytes, size);
    pl_text_free(&w.header);
    pl_memory_free(memory, w.order);
    return status;
}
