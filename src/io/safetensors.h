/* safetensors, byte-compatible with the reference (huggingface/safetensors, serialize_file). The reader trusts nothing: header <=
 * 1 MiB, <= 4096 tensors, offsets contiguous, no hole, no overlap, no trailing bytes, sizes in 64 bits,
 * finite weights. */
#ifndef PL_IO_SAFETENSORS_H
#define PL_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/real.h"
#include "base/status.h"

typedef enum pl_dtype { PL_DTYPE_F32, PL_DTYPE_F16, PL_DTYPE_BF16, PL_DTYPE_F64, PL_DTYPE_OTHER } pl_dtype;

enum { PL_SAFETENSORS_HEADER_MAX = 1 << 20, PL_SAFETENSORS_TENSORS_MAX = 4096, PL_TENSOR_DIMS_MAX = 4 };

typedef struct pl_file_tensor {
    const char *name; /* owned by the file object */
    pl_dtype dtype;
    int32_t dims;
    int64_t shape[PL_TENSOR_DIMS_MAX];
    const uint8_t *bytes; /* inside the caller's buffer */
    uint64_t size;        /* bytes */
    int64_t elements;
    bool used; /* set by the loader, for the report of unexpected tensors */
} pl_file_tensor;

typedef struct pl_safetensors {
    pl_memory *memory;
    pl_file_tensor *tensors; /* sorted by name, in byte order */
    int32_t count;
    char *metadata; /* __metadata__ as JSON text, or NULL */
    char *names;    /* the text of all names, in one block */
} pl_safetensors;

/* Opens bytes[size] without copying tensor data: bytes must outlive the object. what names the file in
   messages. Errors: PL_ERR_FORMAT, PL_ERR_UNSUPPORTED for more than 4 dimensions, PL_ERR_MEMORY. */
pl_status pl_safetensors_open(pl_memory *memory, const uint8_t *bytes, size_t size, const char *what,
                              pl_safetensors *file, pl_error *error);
void pl_safetensors_close(pl_safetensors *file);
pl_file_tensor *pl_safetensors_find(const pl_safetensors *file, const char *name); /* NULL when absent */

/* Converts to values[elements] (f32, f16, bf16, f64 accepted). NaN/Inf: PL_ERR_NUMERIC with count and first
   index; another dtype: PL_ERR_UNSUPPORTED. */
pl_status pl_safetensors_read(const pl_file_tensor *tensor, const char *what, real *values, pl_error *error);

/* ---- writer ---- */

typedef struct pl_save_tensor {
    const char *name;
    int32_t dims;
    int64_t shape[PL_TENSOR_DIMS_MAX];
    const real *values;
} pl_save_tensor;

/* Writes a whole file: tensors in any order are sorted as the reference does; all in dtype (F32, F16, BF16;
   round to nearest even). metadata_json: the value of __metadata__ (an object of strings), e.g.
   "{\"format\":\"pt\"}", or NULL for none. The block *bytes[*size] belongs to memory. Errors: PL_ERR_ARGUMENT for a
   name that is empty or there twice, or for metadata of another kind; PL_ERR_RANGE for an impossible shape or too
   large a header; PL_ERR_NUMERIC for values that are not finite in dtype; PL_ERR_MEMORY. */
pl_status pl_safetensors_write(pl_memory *memory, const pl_save_tensor *tensors, int32_t count,
                               pl_dtype dtype, const char *metadata_json, uint8_t **bytes, size_t *size,
                               pl_error *error);

#endif
