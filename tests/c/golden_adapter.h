/* Adapter folders of tests/golden as modules: just enough of peft's adapter_config.json for LoRA, (IA)3 and norms. */
#ifndef PL_TEST_GOLDEN_ADAPTER_H
#define PL_TEST_GOLDEN_ADAPTER_H

#include "io/json.h"
#include "io/safetensors.h"
#include "peft/methods.h"

/* Opens tests/golden/<folder>; the module (trainable) belongs to memory. Aborts on a broken fixture. */
pl_module *golden_module(pl_memory *memory, pl_model *model, const char *folder, const char *name);

/* The key of a tensor in peft's file. */
void golden_key(const pl_module *module, const pl_tensor *tensor, char key[2 * PL_NAME_SIZE]);

/* Opens a safetensors file under tests/golden; aborts when it cannot be read. */
pl_safetensors golden_tensors(pl_memory *memory, const char *path);

/* A parsed JSON file under tests/golden; aborts when it cannot be read. Free with pl_json_free. */
pl_json *golden_json(pl_memory *memory, const char *path);

#endif
