/* Names of the tensors in adapter files, as peft writes them and as people dump them, brought to one form:
 * what peft saves without the prefix "base_model.model." and without the adapter's name (what pl_tensor.name holds). */
#ifndef PL_IO_TENSOR_NAMES_H
#define PL_IO_TENSOR_NAMES_H

#include <stddef.h>

#include "base/status.h"

/* Writes the normal form of a key of an adapter file to out[size], size >= 1:
 *   base_model.model.X                          -> X   (also repeated, also "base_model.X" of a bare base model)
 *   X.lora_A.NAME.weight, X.lora_B.NAME.bias    -> X.lora_A.weight, X.lora_B.bias
 *   X.lora_embedding_A.NAME                     -> X.lora_embedding_A
 *   X.lora_magnitude_vector[.NAME][.weight]     -> X.lora_magnitude_vector
 *   X.ia3_l.NAME                                -> X.ia3_l
 *   X.ln_tuning_layers.NAME.weight              -> X.ln_tuning_layers.weight
 *   X.modules_to_save[.NAME].weight             -> X.weight
 *   X.token_adapter.trainable_tokens_delta.NAME -> X.token_adapter.trainable_tokens_delta
 *   prompt_encoder.NAME.embedding.weight        -> prompt_embeddings
 *   layers.3.…, embed_tokens.…, norm.…          -> model.layers.3.…  (trained on the model without its head)
 * NAME, the adapter's name in dumps of memory, is one path component. Anything else is copied. PL_ERR_FORMAT when the
 * result would be empty or not fit. */
pl_status pl_tensor_name_normal(const char *key, char *out, size_t size, pl_error *error);

#endif
