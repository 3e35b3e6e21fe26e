/* Adapter folders: peft's adapter_config.json + adapter_model.safetensors, AdapterHub's adapter_config.json + adapter.safetensors. */
#ifndef PL_SESSION_ADAPTER_FILE_H
#define PL_SESSION_ADAPTER_FILE_H

#include "peft/file_names.h"
#include "session/internal.h"

/* adapter_config.c: has the method a folder format? */
bool adapter_file_known(const pl_method *method);
/* Compact JSON of adapter_config.json for these options of a method that has one; name is the adapter's. */
void adapter_write_config(pl_text *out, const pl_options *o, const char *name, const pl_config *model);

/* adapter_read_options.c: method and options from a parsed config and the tensors of the file. name receives the file's adapter name.
   notes: an open JSON array for remarks. */
pl_status adapter_read_options(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                               session_options *options, char name[64], pl_text *notes, pl_error *error);

/* A dropout as torch takes it, 0 to 1. Nothing depends on it until the module is trained further; training here takes less than 1, which is
   noted where it matters. */
pl_status adapter_read_dropout(const pl_json *config, const char *key, pl_options *options, pl_text *notes,
                               pl_error *error);

/* adapter_names.c; for IA3 the targets must be known */
pl_status adapter_read_ia3(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                           session_options *kept, pl_text *notes, pl_error *error);
pl_status adapter_read_norms(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                             session_options *kept, pl_text *notes, pl_error *error);

/* adapter_targets.c: what the config names and what the weights adapt (options) must be the same, as far as the config can be read. */
pl_status adapter_check_targets(const pl_json *config, const pl_config *model, const pl_options *options,
                                pl_text *notes, pl_error *error);

/* adapter_lora_options.c */
pl_status adapter_read_lora(const pl_json *config, const pl_safetensors *file, const pl_config *model,
                            pl_options *options, pl_text *notes, pl_error *error);
/* Layer and site of a normalised key "model.layers.3.mlp.up_proj.<tail>"; false when it is none. */
bool adapter_key_place(const char *key, const pl_config *model, int32_t *layer, pl_site *site,
                       const char **tail);
/* Refuses a tensor that adapts the embedding or the head, by its name in the file. */
pl_status adapter_check_place(const char *name, pl_error *error);
/* The keys whose presence with a value other than null, false or empty changes the meaning, and which we do not offer. */
pl_status adapter_refuse(const pl_json *config, const char *const *keys, int32_t count, pl_error *error);

#endif
