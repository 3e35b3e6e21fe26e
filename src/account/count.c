/* Counting parameters and FLOPs from the declarations. */
#include "account/account.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pl_sentence(pl_sentences *sentences, const char *format, ...) {
    if (!sentences || sentences->count >= PL_SENTENCES_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentences->text[sentences->count++], PL_SENTENCE_SIZE, format, arguments);
    va_end(arguments);
}

static int64_t linear_parameters(const pl_config *config) {
    int64_t sum = 0;
    for (int s = 0; s < PL_SITE_COUNT; s++)
        sum += (int64_t)pl_site_in(config, (pl_site)s) * pl_site_out(config, (pl_site)s);
    return sum * config->num_hidden_layers;
}

static bool names_site(const char *name, pl_site site) { return strstr(name, pl_site_name(site)) != NULL; }

/* What one tensor of a method means for the books. */
static void book(const pl_tensor *tensor, pl_counts *counts) {
    bool linear = false;
    for (int s = 0; s < PL_SITE_COUNT; s++) {
        if (!names_site(tensor->name, (pl_site)s))
            continue;
        counts->site_input[s] = true;
        linear = true;
    }
    if (!tensor->replaces)
        return;
    counts->replaced += tensor->rows * tensor->cols;
    counts->replaced_linear += linear ? tensor->rows * tensor->cols : 0;
}

static pl_status count_method(pl_memory *memory, const pl_config *config, const pl_options *options,
                              pl_counts *counts, pl_error *error) {
    const pl_method *method = options->method;
    PL_TRY(pl_options_check(options, config, error));
    pl_layout layout = pl_layout_make(memory, error), file = pl_layout_make(NULL, error);
    pl_status status = method->declare(options, config, &layout);
    status = status == PL_OK ? layout.status : status;
    if (status == PL_OK && method->file_declare)
        status = method->file_declare(options, config, &file);
    for (int32_t i = 0; status == PL_OK && i < layout.count; i++)
        book(&layout.tensors[i], counts);
    counts->trainable += layout.elements;
    counts->stored += method->file_declare ? file.file_elements : layout.file_elements;
    pl_layout_free(&layout);
    pl_needs needs = {0};
    if (method->needs)
        method->needs(options, config, &needs);
    counts->virtual_tokens += needs.virtual_tokens;
    counts->memory_tokens += needs.memory_tokens;
    if (needs.first_layer < counts->first_layer)
        counts->first_layer = needs.first_layer;
    return status;
}

static void say_counts(const pl_config *config, const pl_counts *counts, pl_sentences *assumptions) {
    pl_sentence(assumptions,
                "Dimensions: %d layers, hidden size %d, FFN %d, %d attention heads, vocabulary %d%s.",
                config->num_hidden_layers, config->hidden_size, config->intermediate_size,
                config->num_attention_heads, config->vocab_size,
                config->tie_word_embeddings ? ", input and output embedding shared" : "");
    if (config->num_key_value_heads < config->num_attention_heads)
        pl_sentence(assumptions,
                    "Grouped-query attention: %d key/value heads, so prefixes and k/v modules are %d times "
                    "smaller than with one "
                    "per head.",
                    config->num_key_value_heads, config->num_attention_heads / config->num_key_value_heads);
    pl_sentence(assumptions, "Percent is trained parameters by parameters of the base model (the added ones "
                             "are not in the total).");
    if (counts->stored > counts->trainable)
        pl_sentence(
            assumptions,
            "The file holds %lld numbers: with PiSSA and OLoRA also those of the start, so that the base "
            "itself can stay as it is.",
            (long long)counts->stored);
    if (counts->stored < counts->trainable)
        pl_sentence(
            assumptions,
            "A network of %lld parameters is trained, but only the %lld numbers it computes are stored.",
            (long long)counts->trainable, (long long)counts->stored);
}

pl_status pl_account_count(pl_memory *memory, const pl_config *config, const pl_options *const *methods,
                           int32_t count, pl_counts *counts, pl_sentences *assumptions, pl_error *error) {
    *counts = (pl_counts){.first_layer = config->num_hidden_layers};
    if (assumptions)
        assumptions->count = 0;
    PL_TRY(pl_config_check(config, error));
    pl_layout base = pl_layout_make(NULL, error);
    PL_TRY(pl_model_declare(config, &base));
    counts->base = base.elements;
    counts->base_linear = linear_parameters(config);
    for (int32_t i = 0; i < count; i++)
        PL_TRY(count_method(memory, config, methods[i], counts, error));
    counts->percent = 100.0 * (double)counts->trainable / (double)counts->base;
    say_counts(config, counts, assumptions);
    return PL_OK;
}

int64_t pl_account_file_data(const pl_counts *counts, pl_format format) {
    return counts->stored * (int64_t)pl_format_other_bytes(format);
}

void pl_account_flops(const pl_config *config, const pl_options *const *methods, int32_t count,
                      int32_t context, pl_flops *flops) {
    double head = (double)config->vocab_size * (double)config->hidden_size;
    double width = (double)config->num_attention_heads * (double)config->head_dim;
    *flops = (pl_flops){.base = 2.0 * ((double)linear_parameters(config) + head)};
    /* Token i of a causal sequence attends to i rows: context / 2 on average; 2 FLOPs each for the score and the weighted sum. */
    flops->attention = 4.0 * width * (double)config->num_hidden_layers * (double)context / 2.0;
    for (int32_t i = 0; i < count; i++)
        if (methods[i]->method->flops)
            flops->extra += methods[i]->method->flops(methods[i], config, context);
    flops->extra_percent = 100.0 * flops->extra / flops->base;
}
