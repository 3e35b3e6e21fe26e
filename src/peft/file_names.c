#include "peft/file_names.h"

#include <stdio.h>
#include <string.h>

#include "peft/bottleneck.h"
#include "peft/virtual.h"

extern const pl_method PL_METHOD_FULL;

bool pl_file_is_hub(const pl_options *options) {
    return options->method == &PL_METHOD_BOTTLENECK &&
           pl_bottleneck_variant_of(options) < PL_BOTTLENECK_PER_LINEAR;
}

const char *pl_file_prefix(const pl_options *options) {
    bool bare = options->method == &PL_METHOD_PROMPT || options->method == &PL_METHOD_PREFIX ||
                options->method == &PL_METHOD_FULL || pl_file_is_hub(options);
    return bare ? "" : "base_model.model.";
}

pl_status pl_file_name(const pl_options *options, const pl_tensor *tensor, const char *adapter,
                       char name[PL_FILE_NAME_SIZE], pl_error *error) {
    const char *own = tensor->name, *middle = "", *tail = "";
    const char *hole = strstr(own, PL_BOTTLENECK_NAME), *last = strrchr(own, '.');
    size_t head = strlen(own);
    if (hole) { /* …adapters.{name}.adapter_up.weight */
        middle = adapter;
        tail = hole + strlen(PL_BOTTLENECK_NAME);
        head = (size_t)(hole - own);
    } else if (tensor->replaces && last && options->method != &PL_METHOD_FULL) {
        middle = ".ln_tuning_layers"; /* norms: model.norm.weight -> model.norm.ln_tuning_layers.weight */
        tail = last;
        head = (size_t)(last - own);
    }
    int written = snprintf(name, PL_FILE_NAME_SIZE, "%s%.*s%s%s", pl_file_prefix(options), (int)head, own,
                           middle, tail);
    if (written < 0 || written >= PL_FILE_NAME_SIZE)
        return pl_fail(error, PL_ERR_RANGE, "the name of tensor %s does not fit a file", own);
    return PL_OK;
}
