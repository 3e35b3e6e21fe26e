/* Reader of safetensors files: u64 length, JSON header, data. Every claim of the header is checked before
 * it is used; sizes are 64-bit also where size_t is not. Stricter than the reference in: header <= 1 MiB
 * and beginning with '{', <= 4096 tensors of <= 4 dimensions, no unknown or duplicate keys, no control
 * characters in names. */
#include "io/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/floats.h"
#include "io/json.h"

enum { LENGTH_BYTES = 8, NAME_BYTES_MAX = 256 };

static const struct {
    const char *name;
    uint32_t bits; /* per element */
    pl_dtype dtype;
} dtypes[] = {
    {"F32", 32, PL_DTYPE_F32},      {"F16", 16, PL_DTYPE_F16},      {"BF16", 16, PL_DTYPE_BF16},
    {"F64", 64, PL_DTYPE_F64},      {"I64", 64, PL_DTYPE_OTHER},    {"I32", 32, PL_DTYPE_OTHER},
    {"I16", 16, PL_DTYPE_OTHER},    {"I8", 8, PL_DTYPE_OTHER},      {"U64", 64, PL_DTYPE_OTHER},
    {"U32", 32, PL_DTYPE_OTHER},    {"U16", 16, PL_DTYPE_OTHER},    {"U8", 8, PL_DTYPE_OTHER},
    {"BOOL", 8, PL_DTYPE_OTHER},    {"C64", 64, PL_DTYPE_OTHER},    {"F8_E4M3", 8, PL_DTYPE_OTHER},
    {"F8_E5M2", 8, PL_DTYPE_OTHER}, {"F8_E8M0", 8, PL_DTYPE_OTHER}, {"F6_E2M3", 6, PL_DTYPE_OTHER},
    {"F6_E3M2", 6, PL_DTYPE_OTHER}, {"F4", 4, PL_DTYPE_OTHER},
};

typedef struct reader {
    const char *what;
    const uint8_t *data; /* behind the header */
    uint64_t data_size;
    pl_error *error;
} reader;

static pl_status out_of_memory(const reader *r) {
    return pl_fail(r->error, PL_ERR_MEMORY, "%s: no memory for its list of tensors", r->what);
}

/* A whole number from 0 to 2^53, which a double holds exactly. */
static bool whole_number(const pl_json *node, uint64_t *value) {
    double number = pl_json_number(node);
    if (!pl_json_is_number(node) || number < 0 || number > 9007199254740992.0 || floor(number) != number)
        return false;
    *value = (uint64_t)number;
    return true;
}

static pl_status read_name(const reader *r, const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > NAME_BYTES_MAX)
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: a tensor name of %zu bytes is outside 1..%d", r->what,
                       length, NAME_BYTES_MAX);
    for (const char *p = name; *p; p++)
        if ((uint8_t)*p < 0x20 || *p == 0x7F)
            return pl_fail(r->error, PL_ERR_FORMAT,
                           "%s: a tensor name has a control character (byte %u of %zu)", r->what,
                           (unsigned)(p - name) + 1, length);
    return PL_OK;
}

static pl_status read_shape(const reader *r, const pl_json *shape, pl_file_tensor *t) {
    if (!pl_json_is_array(shape))
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: shape must be an array", r->what, t->name);
    uint64_t elements = 1;
    bool empty = false;
    for (const pl_json *size = pl_json_first(shape); size; size = pl_json_next(size)) {
        uint64_t value;
        if (!whole_number(size, &value))
            return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: shape must hold whole numbers from 0 to 2^53",
                           r->what, t->name);
        if (t->dims == PL_TENSOR_DIMS_MAX)
            return pl_fail(r->error, PL_ERR_UNSUPPORTED, "%s: %s has more than %d dimensions", r->what,
                           t->name, PL_TENSOR_DIMS_MAX);
        t->shape[t->dims++] = (int64_t)value;
        empty = empty || value == 0;
        if (value != 0 && elements > (uint64_t)INT64_MAX / 64 / value)
            return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: its shape has too many elements to count",
                           r->what, t->name);
        elements *= value != 0 ? value : 1;
    }
    t->elements = empty ? 0 : (int64_t)elements;
    return PL_OK;
}

static pl_status read_offsets(const reader *r, const pl_json *offsets, pl_file_tensor *t) {
    const pl_json *first = pl_json_first(offsets), *second = pl_json_next(first);
    uint64_t begin, end;
    if (!pl_json_is_array(offsets) || pl_json_next(second) || !whole_number(first, &begin) ||
        !whole_number(second, &end))
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: data_offsets must be two whole numbers", r->what,
                       t->name);
    if (begin > end || end > r->data_size)
        return pl_fail(r->error, PL_ERR_FORMAT,
                       "%s: %s: data_offsets [%llu, %llu] are not inside the %llu data bytes", r->what,
                       t->name, (unsigned long long)begin, (unsigned long long)end,
                       (unsigned long long)r->data_size);
    t->bytes = r->data + (size_t)begin;
    t->size = end - begin;
    return PL_OK;
}

static pl_status read_dtype(const reader *r, const pl_json *dtype, pl_file_tensor *t, uint32_t *bits) {
    const char *name = pl_json_string(dtype);
    if (!name)
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: dtype must be a string", r->what, t->name);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            t->dtype = dtypes[i].dtype;
            *bits = dtypes[i].bits;
            return PL_OK;
        }
    }
    return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: unknown dtype \"%.40s\"", r->what, t->name, name);
}

/* One member of the header, already named. */
static pl_status read_tensor(const reader *r, const pl_json *entry, pl_file_tensor *t) {
    if (!pl_json_is_object(entry))
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: its entry must be an object", r->what, t->name);
    const pl_json *dtype = NULL, *shape = NULL, *offsets = NULL;
    for (const pl_json *member = pl_json_first(entry); member; member = pl_json_next(member)) {
        const char *key = pl_json_key(member);
        if (strcmp(key, "dtype") == 0)
            dtype = member;
        else if (strcmp(key, "shape") == 0)
            shape = member;
        else if (strcmp(key, "data_offsets") == 0)
            offsets = member;
        else
            return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: unknown key \"%.40s\"", r->what, t->name, key);
    }
    if (!dtype || !shape || !offsets)
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: %s: %s is missing", r->what, t->name,
                       !dtype   ? "dtype"
                       : !shape ? "shape"
                                : "data_offsets");
    uint32_t bits = 0;
    PL_TRY(read_dtype(r, dtype, t, &bits));
    PL_TRY(read_shape(r, shape, t));
    PL_TRY(read_offsets(r, offsets, t));
    uint64_t total = (uint64_t)t->elements * bits; /* elements < 2^57, bits <= 64 */
    if (total % 8 != 0 || total / 8 != t->size)
        return pl_fail(r->error, PL_ERR_FORMAT,
                       "%s: %s: shape and dtype need %llu bytes, data_offsets give %llu", r->what, t->name,
                       (unsigned long long)(total / 8 + (total % 8 != 0)), (unsigned long long)t->size);
    return PL_OK;
}

/* Keeps __metadata__ as text after checking that it maps strings to strings. */
static pl_status read_metadata(const reader *r, const pl_json *entry, pl_safetensors *file) {
    bool good = pl_json_is_object(entry);
    for (const pl_json *member = pl_json_first(entry); member; member = pl_json_next(member))
        good = good && pl_json_is_string(member);
    if (!good)
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: __metadata__ must be an object of strings", r->what);
    pl_text text = pl_text_make(file->memory);
    pl_write_node(&text, entry);
    if (text.failed) {
        pl_text_free(&text);
        return out_of_memory(r);
    }
    file->metadata = text.data;
    return PL_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const pl_file_tensor *)a)->name, ((const pl_file_tensor *)b)->name);
}

/* By place in the file; an empty tensor comes before the one that begins where it lies. */
static int compare_places(const void *a, const void *b) {
    const pl_file_tensor *x = *(const pl_file_tensor *const *)a, *y = *(const pl_file_tensor *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

/* No hole, no overlap, nothing behind the last tensor. */
static pl_status check_places(const reader *r, const pl_safetensors *file) {
    const pl_file_tensor **order = pl_memory_alloc(file->memory, (size_t)file->count, sizeof *order);
    if (!order)
        return out_of_memory(r);
    for (int32_t i = 0; i < file->count; i++)
        order[i] = &file->tensors[i];
    qsort(order, (size_t)file->count, sizeof *order, compare_places);
    uint64_t end = 0;
    pl_status status = PL_OK;
    for (int32_t i = 0; i < file->count && status == PL_OK; i++) {
        uint64_t begin = (uint64_t)(order[i]->bytes - r->data);
        if (begin != end)
            status = pl_fail(r->error, PL_ERR_FORMAT,
                             "%s: %s begins at data byte %llu, %s the tensor before it ends (%llu)", r->what,
                             order[i]->name, (unsigned long long)begin,
                             begin < end ? "before" : "behind where", (unsigned long long)end);
        end = begin + order[i]->size;
    }
    pl_memory_free(file->memory, order);
    if (status == PL_OK && end != r->data_size)
        status = pl_fail(r->error, PL_ERR_FORMAT, "%s: %llu bytes behind the last tensor belong to none",
                         r->what, (unsigned long long)(r->data_size - end));
    return status;
}

static pl_status read_header(const reader *r, const pl_json *root, pl_safetensors *file) {
    if (!pl_json_is_object(root))
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: the header must be a JSON object", r->what);
    size_t name_bytes = 0, count = 0;
    for (const pl_json *member = pl_json_first(root); member; member = pl_json_next(member), count++)
        name_bytes += strlen(pl_json_key(member)) + 1;
    if (count > PL_SAFETENSORS_TENSORS_MAX + (size_t)(pl_json_get(root, "__metadata__") != NULL))
        return pl_fail(r->error, PL_ERR_FORMAT, "%s: more than %d tensors", r->what,
                       PL_SAFETENSORS_TENSORS_MAX);
    char *name = pl_memory_alloc(file->memory, name_bytes, 1);
    file->names = name;
    file->tensors = pl_memory_alloc(file->memory, count, sizeof *file->tensors);
    if (!name || !file->tensors)
        return out_of_memory(r);
    for (const pl_json *member = pl_json_first(root); member; member = pl_json_next(member)) {
        const char *key = pl_json_key(member);
        if (strcmp(key, "__metadata__") == 0) {
            PL_TRY(read_metadata(r, member, file));
            continue;
        }
        PL_TRY(read_name(r, key));
        pl_file_tensor *t = &file->tensors[file->count++];
        size_t size = strlen(key) + 1;
        memcpy(name, key, size);
        t->name = name;
        name += size;
        PL_TRY(read_tensor(r, member, t));
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, compare_names);
    return check_places(r, file);
}

/* "8.0", "8e0" and "-0" are whole numbers to the tree, but not to the reference, which wants plain digits. header is
   correct JSON. */
static bool plain_numbers(const char *header, size_t length) {
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char byte = header[i];
        if (in_string && byte == '\\')
            i++;
        else if (byte == '"')
            in_string = !in_string;
        else if (!in_string && (byte == '.' || byte == '-' || byte == 'e' || byte == 'E'))
            return false;
    }
    return true;
}

pl_status pl_safetensors_open(pl_memory *memory, const uint8_t *bytes, size_t size, const char *what,
                              pl_safetensors *file, pl_error *error) {
    *file = (pl_safetensors){.memory = memory};
    if (size < LENGTH_BYTES)
        return pl_fail(error, PL_ERR_FORMAT, "%s: %zu bytes are too few for a safetensors file", what, size);
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    if (length > PL_SAFETENSORS_HEADER_MAX)
        return pl_fail(error, PL_ERR_FORMAT,
                       "%s: a header of %llu bytes is over the limit of %d; is this a safetensors file?",
                       what, (unsigned long long)length, PL_SAFETENSORS_HEADER_MAX);
    if (length > size - LENGTH_BYTES)
        return pl_fail(error, PL_ERR_FORMAT, "%s: the file ends inside its header (%zu of %llu bytes)", what,
                       size - LENGTH_BYTES, (unsigned long long)length);
    const char *header = (const char *)bytes + LENGTH_BYTES;
    if (length == 0 || *header != '{')
        return pl_fail(error, PL_ERR_FORMAT, "%s: the header must begin with '{'", what);
    pl_json *root = NULL;
    PL_TRY(pl_json_parse(header, (size_t)length, what, &root, error));
    reader r = {.what = what,
                .data = bytes + LENGTH_BYTES + length,
                .data_size = size - LENGTH_BYTES - length,
                .error = error};
    pl_status status = read_header(&r, root, file);
    if (status == PL_OK && !plain_numbers(header, (size_t)length))
        status = pl_fail(error, PL_ERR_FORMAT, "%s: the header's numbers must be plain digits", what);
    pl_json_free(root);
    if (status != PL_OK)
        pl_safetensors_close(file);
    return status;
}

void pl_safetensors_close(pl_safetensors *file) {
    if (!file->memory)
        return;
    pl_memory_free(file->memory, file->tensors);
    pl_memory_free(file->memory, file->names);
    pl_memory_free(file->memory, file->metadata);
    *file = (pl_safetensors){0};
}

pl_file_tensor *pl_safetensors_find(const pl_safetensors *file, const char *name) {
    pl_file_tensor wanted = {.name = name};
    return file->count ? bsearch(&wanted, file->tensors, (size_t)file->count, sizeof wanted, compare_names)
                       : NULL;
}
