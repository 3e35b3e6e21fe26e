/* What a fine-tuning method costs, for any dimensions: parameters, bytes, FLOPs, memory. Everything is derived from the same declare(),
 * scratch() and flops() that the engine itself uses, only with other dimensions; no weights are needed. Memory and FLOPs are estimates of
 * usual GPU practice; the sentences that come with them say what was assumed. Bytes are bytes; GB means 1e9. */
#ifndef PL_ACCOUNT_ACCOUNT_H
#define PL_ACCOUNT_ACCOUNT_H

#include "base/memory.h"
#include "peft/methods.h"

/* Default options of a method with settings "name=value;name=value" (values as pl_options_set_text takes them; "" for none). Errors:
   PL_ERR_ARGUMENT for an unknown method or a setting without "=", and those of pl_options_set_text. */
pl_status pl_settings_options(const char *method, const char *settings, const pl_config *config,
                              pl_options *options, pl_error *error);

/* ---- number formats ------------------------------------------------------------------------------------------------------- */

typedef enum pl_format {
    PL_FORMAT_F32,
    PL_FORMAT_F16,
    PL_FORMAT_BF16,
    PL_FORMAT_INT8,
    PL_FORMAT_NF4,
    PL_FORMAT_COUNT
} pl_format;

const char *pl_format_name(pl_format format);             /* "f32", "f16", "bf16", "int8", "nf4" */
bool pl_format_find(const char *name, pl_format *format); /* also "fp32", "fp16", "float32", "4bit" … */
double pl_format_bytes(pl_format format);                 /* per weight of a linear map, scales included */
/* per embedding, head and norm weight: quantised formats keep these in bf16 */
double pl_format_other_bytes(pl_format format);
const char *pl_format_assumption(pl_format format); /* a sentence that says where the two numbers come from */

typedef enum pl_optimizer {
    PL_OPTIMIZER_ADAMW,
    PL_OPTIMIZER_ADAMW_8BIT,
    PL_OPTIMIZER_MOMENTUM,
    PL_OPTIMIZER_SGD,
    PL_OPTIMIZER_COUNT
} pl_optimizer;

const char *pl_optimizer_name(pl_optimizer optimizer); /* "adamw", "adamw8bit", "momentum", "sgd" */
bool pl_optimizer_find(const char *name, pl_optimizer *optimizer);
double pl_optimizer_bytes(pl_optimizer optimizer); /* of state per trained parameter */

/* ---- count.c ----------------------------------------------------------------------------------------------------------------- */

enum { PL_SENTENCES_MAX = 16, PL_SENTENCE_SIZE = 240 };

typedef struct pl_sentences {
    char text[PL_SENTENCES_MAX][PL_SENTENCE_SIZE];
    int32_t count;
} pl_sentences;

/* Adds one, printf-style; cut at its size, left out beyond the last or where sentences is NULL. */
void pl_sentence(pl_sentences *sentences, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct pl_counts {
    int64_t base;        /* parameters of the model: the "total" everybody quotes */
    int64_t base_linear; /* of which in the seven linear maps per layer */
    int64_t trainable;   /* trained parameters of all methods together */
    int64_t stored;      /* written to files: without a projection network, twice for PiSSA and OLoRA */
    int64_t replaced;    /* base parameters whose own copy is trained (full and norm fine-tuning) */
    int64_t replaced_linear;
    int32_t virtual_tokens, memory_tokens; /* learned rows per sequence */
    int32_t first_layer;                   /* lowest layer that backward has to reach */
    /* some layer's map of this kind is trained, so its input is needed in backward */
    bool site_input[PL_SITE_COUNT];
    double percent; /* 100 * trainable / base */
} pl_counts;

/* methods[count]: the options of each active method (count 0: the base alone). memory is used for lists and given back.
   Errors: those of pl_config_check and of the methods' own checks. */
pl_status pl_account_count(pl_memory *memory, const pl_config *config, const pl_options *const *methods,
                           int32_t count, pl_counts *counts, pl_sentences *assumptions, pl_error *error);

/* Bytes of the tensor data in the files of these methods, at f32, f16 or bf16. */
int64_t pl_account_file_data(const pl_counts *counts, pl_format format);

typedef struct pl_flops {
    double base; /* forward, per token: 2 per weight of the linear maps and the head; no attention scores */
    double attention;     /* forward, per token at this context: scores and weighted sums */
    double extra;         /* forward, per token: what the methods add while they are not merged */
    double extra_percent; /* 100 * extra / base */
} pl_flops;

/* context: tokens the figures are averaged over; 0: one decoding step (learned rows already cached). */
void pl_account_flops(const pl_config *config, const pl_options *const *methods, int32_t count,
                      int32_t context, pl_flops *flops);

/* ---- file_size.c: the exact size of an adapter file --------------------------------------------------------------------------------- */

/* Size in bytes of the safetensors file this method is saved as, to the byte: header with sorted names and offsets, padding, data. name:
   the adapter's name (it is part of AdapterHub's tensor names). format: f32, f16 or bf16. Errors: PL_ERR_UNSUPPORTED for another format,
   those of pl_options_check and pl_file_name, PL_ERR_MEMORY. */
pl_status pl_account_file_size(pl_memory *memory, const pl_config *config, const pl_options *options,
                               const char *name, pl_format format, int64_t *bytes, pl_error *error);

/* ---- memory.c --------------------------------------------------------------------------------------------------------------------------- */

typedef struct pl_memory_request {
    const pl_config *config;
    const pl_options *const *methods;
    int32_t method_count;
    pl_format format; /* of the base weights */
    pl_optimizer optimizer;
    int32_t batch, seq; /* sequences at once, tokens in each */
    bool checkpointing; /* keep only each layer's input, recompute the rest in backward */
} pl_memory_request;

/* All in bytes. */
typedef struct pl_memory_estimate {
    /* frozen, or trained when full fine-tuning (then gradients and optimiser include them) */
    double base_weights;
    double module_weights; /* trained parameters beside the base, f32 */
    double gradients;
    double optimizer;   /* states, and the f32 master copy of trained 16-bit base weights */
    double activations; /* kept for backward */
    double logits;   /* 16-bit logits, f32 copy, 16-bit gradient: 8 bytes per position and vocabulary entry */
    double training; /* sum of the above */
    double kv_cache; /* of generating at this batch and length */
    double inference; /* weights and cache */
    double states;    /* weights + gradients + optimiser states */
    pl_format format; /* that the base weights are counted in: the request's, or the chapter's hidden one */
    pl_counts counts;
    pl_sentences assumptions;
} pl_memory_estimate;

/* Errors: those of pl_account_count, PL_ERR_RANGE for batch, seq; PL_ERR_UNSUPPORTED for training quantised linear maps themselves. */
pl_status pl_account_memory(pl_memory *memory, const pl_memory_request *request, pl_memory_estimate *estimate,
                            pl_error *error);

/* ---- shapes.c: dimensions of well-known models ------------------------------------------------------------------------------------------ */

typedef struct pl_shape {
    const char *name;  /* "llama-2-7b" */
    const char *label; /* "Llama 2 7B" */
    const char *note;  /* where the dimensions come from, or what is special */
    pl_config config;
} pl_shape;

extern const pl_shape PL_SHAPES[];
extern const int32_t PL_SHAPE_COUNT;
const pl_shape *pl_shape_find(const char *name); /* NULL when unknown; case does not matter */

/* ---- chapter.c: the tables of chapter section 9.5, with what they assume -------------------------------------------------------------------- */

/* One row of "Parameter Efficiency". */
typedef struct pl_chapter_method {
    const char *label;                  /* "Adapters (bottleneck=64)" */
    const char *params, *storage;       /* as printed: "~50M", "~200MB" */
    double params_value, storage_value; /* the printed figures as numbers, storage in bytes */
    const char *method; /* method and settings (for pl_settings_options) that reproduce it on Llama-2-7B */
    const char *settings;
    const char *explanation; /* where the exact figure differs, and why */
} pl_chapter_method;

extern const pl_chapter_method PL_CHAPTER_METHODS[];
extern const int32_t PL_CHAPTER_METHOD_COUNT;

/* One row of "Scaling Behavior". */
typedef struct pl_chapter_memory {
    const char *label, *shape;         /* "7B"; the shape we compute it for */
    const char *full, *lora, *savings; /* as printed: "~28GB", "~8GB", "3.5x" */
    double full_value, lora_value;     /* in bytes */
    pl_format lora_format;             /* the hidden precision of the LoRA column */
    bool lora_activations;             /* whether checkpointed activations (batch 1, 2048 tokens) are in it */
    const char *explanation;
} pl_chapter_memory;

extern const pl_chapter_memory PL_CHAPTER_MEMORY[];
extern const int32_t PL_CHAPTER_MEMORY_COUNT;
/* The chapter's way of counting for any request: f32 weights alone for full fine-tuning; otherwise int8 base weights up to 20e9 parameters and
   nf4 above, the trained parameters' states, and checkpointed activations from 3e9 parameters on; no logits. Errors: as pl_account_memory. */
pl_status pl_account_memory_chapter(pl_memory *memory, const pl_memory_request *request,
                                    pl_memory_estimate *estimate, pl_error *error);

#endif
