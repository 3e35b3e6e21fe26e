/* safetensors: an accepted file's tensors tile the data exactly; what can be read is written and read again
   unchanged. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static void check_tensor(const pl_safetensors *file, int32_t index, const uint8_t *data, size_t size) {
    const pl_file_tensor *t = &file->tensors[index];
    require(t->bytes >= data + 8 && t->size <= size && t->bytes + t->size <= data + size);
    require(t->dims >= 0 && t->dims <= PL_TENSOR_DIMS_MAX);
    int64_t elements = 1;
    for (int32_t i = 0; i < t->dims; i++)
        elements *= t->shape[i];
    require(elements == t->elements);
    require(pl_safetensors_find(file, t->name) == t);
    require(index == 0 || strcmp(file->tensors[index - 1].name, t->name) < 0);
}

/* Writes the tensors that hold finite floats, and compares. */
static void check_rewrite(pl_memory *memory, const pl_safetensors *file) {
    pl_error error;
    pl_save_tensor *save = pl_memory_alloc(memory, (size_t)file->count, sizeof *save);
    require(save != NULL);
    int32_t count = 0;
    for (int32_t i = 0; i < file->count; i++) {
        const pl_file_tensor *t = &file->tensors[i];
        real *values = pl_memory_alloc(memory, (size_t)t->elements, sizeof *values);
        require(values != NULL);
        pl_status status = pl_safetensors_read(t, "f", values, &error);
        require(status == PL_OK || status == PL_ERR_NUMERIC || status == PL_ERR_UNSUPPORTED);
        if (status != PL_OK)
            continue;
        save[count] = (pl_save_tensor){.name = t->name, .dims = t->dims, .values = values};
        memcpy(save[count++].shape, t->shape, sizeof t->shape);
    }
    uint8_t *bytes;
    size_t size;
    require(pl_safetensors_write(memory, save, count, PL_DTYPE_F32, file->metadata, &bytes, &size, &error) ==
            PL_OK);
    pl_safetensors again;
    require(pl_safetensors_open(memory, bytes, size, "f", &again, &error) == PL_OK);
    require(again.count == count);
    for (int32_t i = 0; i < count; i++) {
        real *values = pl_memory_alloc(memory, (size_t)again.tensors[i].elements, sizeof *values);
        require(values && strcmp(again.tensors[i].name, save[i].name) == 0);
        require(pl_safetensors_read(&again.tensors[i], "f", values, &error) == PL_OK);
        for (int64_t k = 0; k < again.tensors[i].elements; k++)
            require(values[k] == save[i].values[k]);
    }
    pl_safetensors_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pl_memory memory = {0};
    pl_error error = {.status = PL_OK};
    pl_safetensors file;
    if (pl_safetensors_open(&memory, data, size, "f", &file, &error) != PL_OK) {
        require(error.status == PL_ERR_FORMAT || error.status == PL_ERR_UNSUPPORTED);
        require(memory.bytes == 0);
        return 0;
    }
    uint64_t total = 0;
    for (int32_t i = 0; i < file.count; i++) {
        check_tensor(&file, i, data, size);
        total += file.tensors[i].size;
    }
    require(total < size);
    check_rewrite(&memory, &file);
    pl_safetensors_close(&file);
    pl_memory_free_all(&memory);
    return 0;
}
