/* The exact size of an adapter file. safetensors: 8 bytes length, a JSON header without spaces whose tensors are sorted by name, padded with
   spaces to a multiple of 8, then the data. */
#include "account/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/file_names.h"

typedef struct file_entry {
    char name[PL_FILE_NAME_SIZE];
    const pl_tensor *tensor;
} file_entry;

static int by_name(const void *a, const void *b) {
    const file_entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Length of ,"name":{"dtype":"F32","shape":[8,64],"data_offsets":[0,2048]} */
static int64_t entry_length(const file_entry *entry, const char *dtype, int64_t from, int64_t to) {
    char text[2 * PL_FILE_NAME_SIZE], shape[48];
    if (entry->tensor->dims == 2)
        (void)snprintf(shape, sizeof shape, "%" PRId64 ",%" PRId64, entry->tensor->rows, entry->tensor->cols);
    else
        (void)snprintf(shape, sizeof shape, "%" PRId64, entry->tensor->rows);
    return snprintf(text, sizeof text,
                    ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}",
                    entry->name, dtype, shape, from, to);
}

/* bare: without __metadata__, as AdapterHub writes it */
static int64_t size_of(file_entry *entries, int32_t count, pl_format format, bool bare) {
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    int64_t header = 2 + (bare ? 0 : (int64_t)strlen("\"__metadata__\":{\"format\":\"pt\"},")) - 1,
            offset = 0;
    qsort(entries, (size_t)count, sizeof *entries, by_name);
    for (int32_t i = 0; i < count; i++) {
        int64_t end = offset + entries[i].tensor->rows * entries[i].tensor->cols *
                                   (int64_t)pl_format_other_bytes(format);
        header += entry_length(&entries[i], dtypes[format], offset, end);
        offset = end;
    }
    return 8 + (header + 7) / 8 * 8 + offset;
}

pl_status pl_account_file_size(pl_memory *memory, const pl_config *config, const pl_options *options,
                               const char *name, pl_format format, int64_t *bytes, pl_error *error) {
    if (format > PL_FORMAT_BF16)
        return pl_fail(error, PL_ERR_UNSUPPORTED, "adapter files are written as f32, f16 or bf16, not as %s",
                       pl_format_name(format));
    const pl_method *method = options->method;
    PL_TRY(pl_options_check(options, config, error));
    pl_layout layout = pl_layout_make(memory, error);
    pl_status status =
        (method->file_declare ? method->file_declare : method->declare)(options, config, &layout);
    status = status == PL_OK ? layout.status : status;
    file_entry *entries =
        status == PL_OK ? pl_memory_alloc(memory, (size_t)layout.count, sizeof *entries) : NULL;
    if (status == PL_OK && !entries)
        status = pl_fail(error, PL_ERR_MEMORY, "no memory to list the %d tensors of the file", layout.count);
    for (int32_t i = 0; i < layout.count && status == PL_OK; i++) {
        entries[i].tensor = &layout.tensors[i];
        status = pl_file_name(options, &layout.tensors[i], name, entries[i].name, error);
    }
    if (status == PL_OK)
        *bytes = size_of(entries, layout.count, format, pl_file_is_hub(options));
    pl_memory_free(memory, entries);
    pl_layout_free(&layout);
    return status;
}
