/* From a file's number format to real. */
#include <math.h>
#include <string.h>

#include "io/floats.h"
#include "io/safetensors.h"

static void read_f32(const uint8_t *bytes, int64_t count, real *values) {
    for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + 4 * i, sizeof value);
        values[i] = (real)value;
    }
}

static void read_f64(const uint8_t *bytes, int64_t count, real *values) {
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, bytes + 8 * i, sizeof value);
        values[i] = (real)value;
    }
}

static void read_half(const uint8_t *bytes, int64_t count, float (*convert)(uint16_t), real *values) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        values[i] = (real)convert(half);
    }
}

pl_status pl_safetensors_read(const pl_file_tensor *tensor, const char *what, real *values, pl_error *error) {
    switch (tensor->dtype) {
    case PL_DTYPE_F32:
        read_f32(tensor->bytes, tensor->elements, values);
        break;
    case PL_DTYPE_F64:
        read_f64(tensor->bytes, tensor->elements, values);
        break;
    case PL_DTYPE_F16:
        read_half(tensor->bytes, tensor->elements, pl_float_from_f16, values);
        break;
    case PL_DTYPE_BF16:
        read_half(tensor->bytes, tensor->elements, pl_float_from_bf16, values);
        break;
    case PL_DTYPE_OTHER:
        return pl_fail(error, PL_ERR_UNSUPPORTED, "%s: %s holds neither F32, F16, BF16 nor F64 values", what,
                       tensor->name);
    }
    int64_t bad = 0, first = 0;
    for (int64_t i = 0; i < tensor->elements; i++) {
        if (isfinite(values[i]))
            continue;
        if (bad++ == 0)
            first = i;
    }
    if (bad == 0)
        return PL_OK;
    return pl_fail(
        error, PL_ERR_NUMERIC,
        "%s: %s has numbers that are not finite, %lld in all, the first at index %lld: load another copy, or "
        "weights from before they diverged",
        what, tensor->name, (long long)bad, (long long)first);
}
