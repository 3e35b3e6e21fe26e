/* Bytes per parameter of number formats and optimisers. */
#include "account/account.h"

#include <string.h>
#include <strings.h>

typedef struct format_row {
    const char *name, *aliases; /* aliases: " a b c " */
    double linear, other;
    const char *assumption;
} format_row;

static const format_row FORMATS[PL_FORMAT_COUNT] = {
    [PL_FORMAT_F32] = {"f32", " fp32 float32 ", 4.0, 4.0, "f32: 4 bytes per parameter."},
    [PL_FORMAT_F16] = {"f16", " fp16 float16 half ", 2.0, 2.0, "f16: 2 bytes per parameter."},
    [PL_FORMAT_BF16] = {"bf16", " bfloat16 ", 2.0, 2.0, "bf16: 2 bytes per parameter."},
    [PL_FORMAT_INT8] = {"int8", " 8bit i8 ", 1.0, 2.0,
                        "int8: 1 byte per weight of the linear maps (row scales are below 0.1 %); embedding, "
                        "head and norms stay bf16."},
    /* QLoRA (Dettmers et al. 2023): 4 bits, one 8-bit scale per 64 weights, one f32 per 256 of those scales */
    [PL_FORMAT_NF4] = {"nf4", " 4bit int4 qlora ", 0.5 + 1.0 / 64.0 + 4.0 / (64.0 * 256.0), 2.0,
                       "nf4 with double quantisation: 4.127 bits per weight of the linear maps; embedding, "
                       "head and norms stay bf16."},
};

const char *pl_format_name(pl_format format) { return FORMATS[format].name; }
double pl_format_bytes(pl_format format) { return FORMATS[format].linear; }
double pl_format_other_bytes(pl_format format) { return FORMATS[format].other; }
const char *pl_format_assumption(pl_format format) { return FORMATS[format].assumption; }

/* Is word one of the space separated words of list? */
static bool listed(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; length > 0 && *at; at++)
        if (*at == ' ' && strncasecmp(at + 1, word, length) == 0 && at[1 + length] == ' ')
            return true;
    return false;
}

bool pl_format_find(const char *name, pl_format *format) {
    for (int i = 0; i < PL_FORMAT_COUNT; i++)
        if (strcasecmp(FORMATS[i].name, name) == 0 || listed(FORMATS[i].aliases, name)) {
            *format = (pl_format)i;
            return true;
        }
    return false;
}

static const struct {
    const char *name;
    double bytes;
} OPTIMIZERS[PL_OPTIMIZER_COUNT] = {
    [PL_OPTIMIZER_ADAMW] = {"adamw", 8.0}, /* two f32 moments */
    [PL_OPTIMIZER_ADAMW_8BIT] = {"adamw8bit", 2.0},
    [PL_OPTIMIZER_MOMENTUM] = {"momentum", 4.0},
    [PL_OPTIMIZER_SGD] = {"sgd", 0.0},
};

const char *pl_optimizer_name(pl_optimizer optimizer) { return OPTIMIZERS[optimizer].name; }
double pl_optimizer_bytes(pl_optimizer optimizer) { return OPTIMIZERS[optimizer].bytes; }

bool pl_optimizer_find(const char *name, pl_optimizer *optimizer) {
    for (int i = 0; i < PL_OPTIMIZER_COUNT; i++)
        if (strcasecmp(OPTIMIZERS[i].name, name) == 0) {
            *optimizer = (pl_optimizer)i;
            return true;
        }
    return false;
}
