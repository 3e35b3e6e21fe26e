/* peftlab.h: the only public header. One opaque session owns a base model, its tokenizer, fine-tuning modules, data sets and one training
 * run. There are no globals, no printf, no clock: same calls, same bytes.
 *
 * Conventions of every function
 *  - returns PL_OK (0) or a pl_status; pl_last_error() then is a sentence that names the value, the limit and the fix. After any error what was
 *    loaded before is still loaded and usable.
 *  - requests and reports are JSON texts in UTF-8; bulk data are bytes. A call that produces something leaves it in the session's result
 *    (pl_result, pl_result_size), valid until the next call.
 *  - int32_t across the boundary; lengths in bytes.
 */
#ifndef PL_SESSION_PEFTLAB_H
#define PL_SESSION_PEFTLAB_H

#include <stdint.h>

typedef struct pl_session pl_session;

/* ---- life -------------------------------------------------------------------------------------------------------- */

pl_session *pl_session_new(void);    /* NULL when memory is refused */
void pl_session_free(pl_session *s); /* NULL allowed */
const char *pl_last_error(const pl_session *s);
const char *pl_last_error_code(const pl_session *s); /* "range", "format", … (status.h) */
const uint8_t *pl_result(const pl_session *s);
int32_t pl_result_size(const pl_session *s);

/* Memory for handing bytes in (also from JavaScript). NULL when refused. */
void *pl_buffer_new(int32_t size);
void pl_buffer_free(void *buffer);

/* Fault injection and checks for tests: JSON {"bytes":live,"peak_bytes":…,"allocations":count}; fail_at > 0 makes that allocation fail. */
int32_t pl_session_memory(pl_session *s);
int32_t pl_session_fail_at(pl_session *s, int32_t allocation);
/* Known-answer test of every kernel: 0 when this machine computes the stored bits. */
int32_t pl_selftest(void);

/* ---- what is there ----------------------------------------------------------------------------------------------- */

/* Static tables: {"methods":[{name,label,summary,paper,can_merge,cannot_merge,can_scale,
   options:[{name,type,label,help,level,default, for numbers min,max,step, for a choice choices}]}],
   "shapes":[{name,label,note,config:{…config.json…}}],"sites":[…],"schedules":[…],"mix_types":[{name,summary}],
   "training":{steps,batch_size,…: the defaults of pl_train_begin}} */
int32_t pl_describe_static(pl_session *s);
/* The session now, what the page draws: {"model":{parameters, the dimensions of config.json,
   tie_word_embeddings,bos_token_id,eos_token_id,merged:bool,learned_rows}|null,
   "counts":{trainable,total,added,percent} (with a model),"tokenizer":{vocab_size}|null,
   "modules":[{id,name,method,label,options,seed,active,trainable,merged,weight,can_merge,parameters,virtual_tokens,memory_tokens,
   tensors:[{name,shape,layer,site, transient where it is not saved}]}],
   "data":{split:{examples,tokens,labelled_tokens,longest}},"run":{as pl_train_begin answers}|null} */
int32_t pl_describe(pl_session *s);

/* ---- base model (Hugging Face folder) ---------------------------------------------------------------------------- */

/* A new model is built aside and swapped in by pl_model_commit, which also drops all modules, data and the run. */
int32_t pl_model_begin(pl_session *s, const char *config_json, int32_t length);
/* One file; call once per shard. */
int32_t pl_model_weights(pl_session *s, const uint8_t *safetensors, int32_t size);
int32_t pl_model_tokenizer(pl_session *s, const char *tokenizer_json, int32_t length); /* optional */
/* Missing or unexpected tensors are an error that lists them. -> {"parameters":…,"ignored":[…]} */
int32_t pl_model_commit(pl_session *s);
void pl_model_cancel(pl_session *s); /* drops what was read since pl_model_begin */
/* Current weights (merged modules included; a full fine-tuning module that is active counts as the weights) as
   model.safetensors. dtype "F32", "F16", "BF16". */
int32_t pl_model_export(pl_session *s, const char *dtype);
/* config.json to go with it, with every end token and the token to pad with that were read. */
int32_t pl_model_config(pl_session *s, const char *dtype);

/* ---- fine-tuning modules ----------------------------------------------------------------------------------------- */

/* {"method":"lora","name":"default","seed":1,"trainable":true,"options":{"rank":8,"target_modules":["q_proj","v_proj"],…}}
   -> {"id":1,…as in pl_describe}.
   Unknown options are an error that lists the known ones. Text options that need tokens (init text) are encoded here. */
int32_t pl_module_add(pl_session *s, const char *json, int32_t length);
/* Not while a run is going on, nor one that is merged (PL_ERR_STATE). */
int32_t pl_module_remove(pl_session *s, int32_t id);
/* {"active":bool,"weight":number,"trainable":bool}: any of them -> as in pl_describe. A weight other than 1 needs can_scale
   (pl_describe_static): LoRA, bottleneck adapters, (IA)3. */
int32_t pl_module_set(pl_session *s, int32_t id, const char *json, int32_t length);
/* Order in which active modules run: JSON array of ids. */
int32_t pl_module_order(pl_session *s, const char *json, int32_t length);
/* An adapter folder: adapter_config.json + adapter_model.safetensors (peft) or adapter.safetensors (AdapterHub).
   -> {"module":{as in pl_describe},"ignored":[config keys],"notes":[…]}; name NULL takes the file's. */
int32_t pl_module_import(pl_session *s, const char *name, const char *config_json, int32_t length,
                         const uint8_t *safetensors, int32_t size);
int32_t pl_module_export_config(pl_session *s, int32_t id);  /* adapter_config.json */
int32_t pl_module_export_weights(pl_session *s, int32_t id); /* the safetensors file, F32 */
/* Raw values of one trainable tensor, float32. */
int32_t pl_module_tensor(pl_session *s, int32_t id, const char *name);
/* Overwrites one tensor: finite float32 values of its size. */
int32_t pl_module_set_tensor(pl_session *s, int32_t id, const char *name, const uint8_t *values,
                             int32_t size);
/* ΔW of one site for inspection: "what" is "base", "delta", "merged", "A", "B": float32 matrix [rows, cols] row-major (see
   pl_module_spectrum for shape). A and B are those of s B A = delta, for PiSSA and OLoRA of twice the rank. */
int32_t pl_module_matrix(pl_session *s, int32_t id, int32_t layer, const char *site, const char *what);
/* {"rows":…,"cols":…,"singular_values":[…],"effective_rank":…,"frobenius":|ΔW|,"base_frobenius":|W|,"relative":|ΔW|/|W|} */
int32_t pl_module_spectrum(pl_session *s, int32_t id, int32_t layer, const char *site);
/* {"type":"cat","name":"mix","modules":[{"id":1,"weight":0.5},…],"density":…,"svd_rank":…,"seed":…,
   "majority_sign_method":"total"|"frequency","compat":false,"compat_double":false (with peft's quirks, see mix.h)}
   -> {"module":{as in pl_describe, not active},"type":…,"rank":…,"exact":bool,"relative_error":…,"norm":…}
   Bottleneck adapters of one kind: type "linear" is the average of their numbers (weights normalised), -> module and type only. */
int32_t pl_module_mix(pl_session *s, const char *json, int32_t length);
/* A trained prompt compiled into an equivalent prefix: a new module, as in pl_describe, in whose favour the prompt is switched off. */
int32_t pl_module_compile_prompt(pl_session *s, int32_t id, const char *name);

/* ---- merging ----------------------------------------------------------------------------------------------------- */

/* Merges active modules (JSON array of ids, order kept) into the base weights; refused where a module that stays active would do something
   else beside them than before. -> {"merged":[…],"residual_of_subtracting":…} */
int32_t pl_merge_modules(pl_session *s, const char *json, int32_t length);
int32_t pl_unmerge_modules(pl_session *s); /* restores the kept base bit for bit */

/* ---- text and logits --------------------------------------------------------------------------------------------- */

int32_t pl_encode(pl_session *s, const char *text, int32_t length, int32_t add_special); /* -> int32 ids */
int32_t pl_decode(pl_session *s, const int32_t *tokens, int32_t count, int32_t skip_special); /* -> UTF-8 */
/* float32 logits[count, vocab_size] of the base plus active modules. */
int32_t pl_logits(pl_session *s, const int32_t *tokens, int32_t count);
/* {"max_new_tokens":80,"temperature":0.7,"top_k":0,"top_p":1,"seed":1,"stop_at_eos":true} */
int32_t pl_generate_begin(pl_session *s, const int32_t *tokens, int32_t count, const char *json,
                          int32_t length);
/* Next token id, or -1 at the end (with stop_at_eos any of config.json's eos_token_id ends the text), or -2 on error. */
int32_t pl_generate_next(pl_session *s);

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* split: "train", "validation", "test" … (<= 16 splits). max_length in tokens, learned rows excluded; 0 = the context length
   less what active modules need. */
int32_t pl_data_begin(pl_session *s, const char *split, int32_t max_length);
/* Renames a split, replacing one of that name; `to` empty drops it. So data can be read in aside (as "~train", which pl_describe leaves out) and
   put in its place when it is complete. */
int32_t pl_data_move(pl_session *s, const char *from, const char *to);
/* One example: loss on the completion and EOS only; prompt NULL (prompt_length -1): plain text, loss on everything, longer text
   becomes several windows. */
int32_t pl_data_add(pl_session *s, const char *split, const char *prompt, int32_t prompt_length,
                    const char *completion, int32_t completion_length);
/* As above with token ids: tokens[count], labels from index label_from on (the first token is never a target). bytes: text bytes
   the labels stand for. */
int32_t pl_data_add_tokens(pl_session *s, const char *split, const int32_t *tokens, int32_t count,
                           int32_t label_from, int32_t bytes);
/* {"examples":…,"tokens":…,"labelled_tokens":…,"labelled_bytes":…,"truncated":…,"windows":…,"duplicates":…,"longest":…,
   "max_length":…,"fingerprint":"…"} */
int32_t pl_data_stats(pl_session *s, const char *split);
/* Loss of examples [from, to): {"examples":[nats of each],"sum":nats,"labels":…,"bytes":…}. */
int32_t pl_data_loss(pl_session *s, const char *split, int32_t from, int32_t to);

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* {"steps":120,"batch_size":8,"shards":4,"gradient_accumulation_steps":1,"lr":1e-3,"schedule":"cosine|linear|constant","warmup_steps":5,
   "weight_decay":0,"beta1":0.9,"beta2":0.999,"eps":1e-8,"max_grad_norm":1,"seed":1,"split":"train"}
   Trains every active trainable module jointly.
   -> these options, with {"step":0,"shard_count":…,"trainable":…,"gradient_bytes":…} */
int32_t pl_train_begin(pl_session *s, const char *json, int32_t length);
/* One whole step in this session: {"step":n (steps done),"loss":mean nats,"lr":…,"grad_norm":…,"tokens":…,"labels":…}. */
int32_t pl_train_step(pl_session *s);
/* The same step spread over workers: every worker computes some shards and keeps them, hands copies to the others, and applies
   the same update to its own and theirs. */
/* How much work each shard of the coming step is, [number, …] in any unit, so that workers can be given equal shares. */
int32_t pl_train_shard_costs(pl_session *s);
int32_t pl_train_shard(pl_session *s, int32_t shard); /* computes and keeps one */
/* A kept shard: pl_train_kept_size bytes (float64 sum of nats, int32 labels, int32 tokens, float32 gradients of all trained
   modules), or NULL; valid until pl_train_apply. */
const uint8_t *pl_train_kept(const pl_session *s, int32_t shard);
int32_t pl_train_kept_size(const pl_session *s);
/* shards[count] came from other workers as bytes[size], in that order; all others are kept here -> as pl_train_step */
int32_t pl_train_apply(pl_session *s, const int32_t *shards, int32_t count, const uint8_t *bytes,
                       int32_t size);
int32_t pl_train_end(pl_session *s); /* drops gradients and optimiser state; modules stay */
/* Modules, optimiser state, step, options: a safetensors file with a JSON header. Restoring needs the same base model and data
   (checked by fingerprint).
   pl_restore -> {"modules":[as in pl_describe],"run":{…}|null} */
int32_t pl_snapshot(pl_session *s);
int32_t pl_restore(pl_session *s, const uint8_t *bytes, int32_t size);
/* Loss and gradients of one batch without an update, for tests: the gradients can be read by pl_module_gradient.
   -> {"loss":…,"sum":…,"labels":…} */
int32_t pl_gradients(pl_session *s, const char *split, int32_t from, int32_t to);
int32_t pl_module_gradient(pl_session *s, int32_t id, const char *name); /* float32 */

/* ---- calculators (no model needed) ------------------------------------------------------------------------------- */

/* {"shape":"llama-2-7b" | "config":{…config.json…} | absent = the loaded model,"method":"lora","options":{…}}
   or {"methods":[{…},{…}]} for a stack
   -> {"trainable":…,"total":…,"percent":…,"stored":…,"data_bytes":{"fp32":…,"fp16":…},"file_bytes":{"fp32":…,"fp16":…},
   "flops_per_token":{base,attention,extra,extra_percent},"virtual_tokens":…,"memory_tokens":…,"assumptions":[…]} */
int32_t pl_count(pl_session *s, const char *json, int32_t length);
/* … plus "dtype":"bf16","optimizer":"adamw","batch":1,"seq":2048,"checkpointing":false,"assume":"chapter"|absent
   -> in bytes {"base_weights","module_weights","gradients","optimizer","activations","logits", "training": the sum of these,
   "states": of the first four,"kv_cache","inference"}, and in the same object "dtype","trainable","total","assumptions":[…].
   Checkpointing with prefix tuning, which peft refuses, is not counted, and the assumptions say so. */
int32_t pl_estimate_memory(pl_session *s, const char *json, int32_t length);
/* The chapter's tables "Parameter Efficiency" and "Scaling Behavior": printed figures, hidden assumptions, explanations (account.h).
   -> {"methods":[{label,params,storage,params_value,storage_value,method,settings,explanation}],
   "memory":[{label,shape,full,lora,savings,full_value,lora_value,lora_dtype,lora_activations,explanation}]} */
int32_t pl_chapter(pl_session *s);
/* The chapter's decision tree: {"latency":"no","compute":"limited","task":"classification","multitask":"no"}
   -> {"method","label","settings","options","merge","quote","other","why":[…],"path":[…],"task"} */
int32_t pl_advise(pl_session *s, const char *json, int32_t length);
/* The chapter's tree, task recommendations, quick reference, summary and pitfalls as data.
   -> {"tree":[{key,question,reason, and a recommendation as in pl_advise}],"tasks":[{key,heading,task,best,reasons:[…], likewise}],
   "quick_reference":[{when,use}],"summary":[{when,use}],"pitfalls":[{when,use,why}]} */
int32_t pl_guide(pl_session *s);
/* The coach: {"history":[{"step","loss","val_loss"}…],"steps":planned,"lr":…,"method":…,"options":{…}}; history's losses are nats per label,
   null for one that was no number, val_loss where there was one; all the rest may be left out
   -> {"state":"underfitting|…","why":…,"advice":…,"suggestion":{option,from,to}|null,"best_step":…,"gap":…,"recent":…,
   "rules":[{state,condition,advice,applies}]} */
int32_t pl_coach_history(pl_session *s, const char *json, int32_t length);

#endif
