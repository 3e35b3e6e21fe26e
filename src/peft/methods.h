/* What a fine-tuning method is: its options, the tensors it declares, and the hooks it hangs into the model. One file per method, one word
 * in the registry (methods.c); the command line, the page's controls, the counter, the file format and the tests follow from these tables. */
#ifndef PL_PEFT_METHODS_H
#define PL_PEFT_METHODS_H

#include "base/layout.h"
#include "model/model.h"

enum { PL_OPTIONS_MAX = 24, PL_PATTERNS_MAX = 64 };

typedef enum pl_option_type {
    PL_OPTION_INT,
    PL_OPTION_REAL,
    PL_OPTION_BOOL,
    PL_OPTION_CHOICE,  /* text, one of choices "a|b|c"; number holds its index */
    PL_OPTION_TEXT,    /* free text */
    PL_OPTION_TARGETS, /* which linear maps; see pl_options.targets */
    PL_OPTION_PATTERN  /* module name -> number (rank_pattern, alpha_pattern) */
} pl_option_type;

typedef struct pl_option {
    const char *name; /* often peft's word; session/options_json.c takes its others too ("r" for "rank") */
    pl_option_type type;
    double minimum, maximum, step, initial; /* numbers, bool as 0/1, choice as index */
    const char *choices;                    /* PL_OPTION_CHOICE: "a|b|c" */
    const char *initial_text;               /* PL_OPTION_TEXT, PL_OPTION_TARGETS ("q_proj,v_proj") */
    const char *label, *help;               /* for people */
    int32_t level;                          /* 0 student, 1 explorer, 2 developer */
} pl_option;

typedef struct pl_pattern {
    /* plain module name or dotted path tail: "q_proj", "layers.3.mlp.up_proj"; never a regular expression */
    char key[80];
    double value;
} pl_pattern;

struct pl_method;

/* Values for the options of one method; index i belongs to method->options[i]. Plain data: copying it is fine as long as texts live. */
typedef struct pl_options {
    const struct pl_method *method;
    double number[PL_OPTIONS_MAX];
    const char *text[PL_OPTIONS_MAX];
    /* [layer]: bit s set = site s is targeted (target_modules, layers_to_transform, exclude_modules resolved) */
    uint8_t targets[PL_LAYERS_MAX];
    pl_pattern patterns[PL_PATTERNS_MAX];
    int32_t pattern_option[PL_PATTERNS_MAX]; /* which option each pattern belongs to */
    int32_t pattern_count;
    const int32_t *init_tokens; /* token ids of an initial text (prompt/prefix from text), or NULL */
    int32_t init_token_count;
} pl_options;

/* Defaults of every option; targets from initial_text in every layer. */
void pl_options_default(const struct pl_method *method, const pl_config *config, pl_options *options);
/* As pl_option_index, with an error that names the options there are. */
pl_status pl_options_find(const pl_options *options, const char *name, int32_t *index, pl_error *error);
int32_t pl_option_index(const struct pl_method *method, const char *name); /* PL_NONE when unknown */
double pl_option_number(const pl_options *options, const char *name); /* 0 where there is no such option */
/* Value of a pattern option for one site: first key that equals the path or is its dotted tail wins; else fallback. */
double pl_option_pattern(const pl_options *options, const char *name, int32_t layer, pl_site site,
                         double fallback);
/* Range check of every number against the table (PL_ERR_RANGE), then the method's own check(). */
pl_status pl_options_check(const pl_options *options, const pl_config *config, pl_error *error);
bool pl_options_targets(const pl_options *options, int32_t layer, pl_site site); /* is the map targeted? */

/* Setting options, every failure with a sentence: PL_ERR_ARGUMENT for an unknown name or word, PL_ERR_RANGE for a number outside the table.
   Numbers, switches (0 or 1) and choices (by index). */
pl_status pl_options_set_number(pl_options *options, const char *name, double value, pl_error *error);
/* Any type from text: "8", "true", "gaussian", "q_proj,v_proj" or "all-linear" (targets, in every layer; call pl_options_limit afterwards).
   Of targets only the resolved bits are kept; a PL_OPTION_TEXT must live until pl_module_create, which copies it. */
pl_status pl_options_set_text(pl_options *options, const pl_config *config, const char *name,
                              const char *value, pl_error *error);
/* Appends key -> value to a pattern option; a key that matches no linear map of the model is an error. */
pl_status pl_options_set_pattern(pl_options *options, const pl_config *config, const char *name,
                                 const char *key, double value, pl_error *error);
/* Narrows the targets: to these layers (layers_to_transform; count 0: all), and without the maps in the comma list exclude (exclude_modules;
   NULL: none). Errors: PL_ERR_RANGE for a layer that the model does not have, PL_ERR_ARGUMENT for a word that names no map. */
pl_status pl_options_limit(pl_options *options, const pl_config *config, const int32_t *layers, int32_t count,
                           const char *exclude, pl_error *error);

/* Full path of one linear map, as peft matches it: "model.layers.3.mlp.up_proj". */
void pl_site_path(int32_t layer, pl_site site, char path[PL_NAME_SIZE]);
/* peft's rule for plain words: one of the comma list equals the path, or is a dotted tail of it ("q_proj", "layers.3.mlp.up_proj"). */
bool pl_path_listed(const char *path, const char *list);
/* The next word of a comma list, spaces trimmed; *list moves behind it. NULL at the end. */
const char *pl_list_word(const char **list, size_t *length);
/* Is word[length] the path or a dotted tail of it? */
bool pl_path_named(const char *path, const char *word, size_t length);

/* What a module with these options asks of the model: the fields of the same names in pl_hooks (model/hooks.h). */
typedef struct pl_needs {
    int32_t virtual_tokens, memory_tokens;
    bool memory_shifts;
    int32_t first_layer;
    uint8_t input_sites;
} pl_needs;

/* One instance of a method: tensors, gradients, buffers. Optimiser state belongs to the trainer. */
typedef struct pl_module {
    const struct pl_method *method;
    pl_memory *memory;
    char name[64];      /* adapter name, unique in a session */
    pl_options options; /* its texts are the module's own copies; init_tokens is gone once start() has run */
    char *texts;        /* block of those copies */
    pl_config config;
    pl_layout layout;  /* trainable tensors */
    real *values;      /* block of layout */
    real *gradients;   /* same shape; NULL when frozen */
    pl_layout scratch; /* buffers for passes up to extent */
    real *buffers;     /* block of scratch */
    pl_extent extent;  /* what buffers were planned for */
    /* Factor on what the module does (1 by default); needs method->can_scale; takes effect in prepare(). LoRA: s (with DoRA, where V = W + s B A
       is normed, too); bottleneck adapters: the scale of the output; (IA)3: factors 1 + weight (l - 1). */
    real weight;
    void *state; /* the method's own: one block from memory, freed with the module */
    /* {layers+1, sites+1, slots} then [(layer+1), (site+1), slot] -> tensor, see pl_module_shape */
    int32_t *index;
    int32_t *scratch_index;
    uint64_t tag; /* dropout stream of this module */
} pl_module;

/* What a module does at a linear map y = W x: whether it can change places with others there decides which may be merged without them. */
typedef enum pl_effect {
    PL_EFFECT_NONE,
    PL_EFFECT_ADDS,         /* something made of x to y */
    PL_EFFECT_SCALES,       /* each number of y */
    PL_EFFECT_BENDS,        /* y by a network */
    PL_EFFECT_NORMS,        /* y by the norms of W */
    PL_EFFECT_SCALES_INPUT, /* each number of x, for everything at the map */
    PL_EFFECT_BENDS_INPUT   /* x by a network, likewise */
} pl_effect;

typedef struct pl_method {
    const char *name;    /* JSON key: "lora" */
    const char *label;   /* "LoRA" */
    const char *summary; /* one sentence for a student */
    const char *paper;   /* "Hu et al. 2021, arXiv:2106.09685" */
    const pl_option *options;
    int32_t option_count;
    const char *cannot_merge; /* NULL when merge works; else the reason, for people */
    bool can_scale; /* pl_module.weight may differ from 1: 0: the base model (with DoRA but for m) */

    /* Of the functions below only declare() and flops() must be there; any other may be NULL: nothing to do. */

    /* beyond the table's ranges */
    pl_status (*check)(const pl_options *options, const pl_config *config, pl_error *error);
    /* The trainable tensors: names as in the file, shapes, initial values. Pure (no model needed): the calculators call it for 70B, too. */
    pl_status (*declare)(const pl_options *options, const pl_config *config, pl_layout *layout);
    /* needs arrives zeroed; NULL: no learned rows, no private inputs, and layer 0 is the lowest */
    void (*needs)(const pl_options *options, const pl_config *config, pl_needs *needs);
    /* buffers for a pass; layer/site/slot as in declare (own slot numbers) */
    pl_status (*scratch)(const pl_options *options, const pl_config *config, const pl_extent *extent,
                         pl_layout *layout);
    /* state, and PL_INIT_CUSTOM tensors from the base weights. The model's own values must be in place (nothing merged). */
    pl_status (*start)(pl_module *module, pl_model *model, uint64_t seed, pl_error *error);
    /* after values changed, before a pass: packing, norms, projections */
    void (*prepare)(pl_module *module, const pl_model *model);
    /* after each backward pass, before its gradients are read: chains them through projections */
    void (*finish)(pl_module *module);
    /* extra forward FLOPs per token, unmerged, in a sequence of `context` tokens (0: decoding) */
    double (*flops)(const pl_options *options, const pl_config *config, int32_t context);

    /* hooks of model/hooks.h; self is the pl_module */
    void (*embed_forward)(void *self, const pl_pass *pass, real *x);
    void (*embed_backward)(void *self, const pl_pass *pass, const real *dx);
    void (*memory_kv)(void *self, int32_t layer, pl_memory_kv *out);
    void (*input_forward)(void *self, const pl_linear_at *at, real *x);
    void (*input_backward)(void *self, const pl_linear_at *at, real *dx);
    void (*linear_forward)(void *self, const pl_linear_at *at, const real *x, real *y);
    void (*linear_backward)(void *self, const pl_linear_at *at, const real *x, real *dy, real *dx);
    void (*block_forward)(void *self, const pl_block_at *at, const real *x, real *h);
    void (*block_backward)(void *self, const pl_block_at *at, const real *x, real *dh, real *dx);

    /* w[out, in] becomes the merged weight of one targeted site (w already holds the base or earlier merges). NULL = cannot. */
    pl_status (*merge)(const pl_module *module, const pl_model *model, int32_t layer, pl_site site, real *w,
                       pl_error *error);
    /* The inverse by arithmetic, as peft does it (for the lesson about rounding). NULL = none. Tensors that `replace` base tensors need
       neither: merging copies them. */
    void (*unmerge)(const pl_module *module, const pl_model *model, int32_t layer, pl_site site, real *w);
    /* at one targeted map; NULL: none */
    pl_effect (*effect)(const pl_options *options, int32_t layer, pl_site site);

    /* The tensors of the file, for methods that store others than they train (a re-parameterised prefix, see pl_prefix_table). NULL: the
       layout without its transient tensors. */
    pl_status (*file_declare)(const pl_options *options, const pl_config *config, pl_layout *layout);
} pl_method;

/* The registry, in the order the page shows; find gives NULL for an unknown name. */
extern const pl_method *const PL_METHODS[];
extern const int32_t PL_METHOD_COUNT;
const pl_method *pl_method_find(const char *name);

/* ---- module.c ---- */

/* Checks options, declares, allocates, initialises (layout fill + start). Errors: PL_ERR_ARGUMENT for a name of no or 64 and more bytes, those of
   pl_options_check and start(), PL_ERR_MEMORY; then there is no module. */
pl_status pl_module_create(pl_memory *memory, pl_model *model, const pl_options *options, const char *name,
                           uint64_t seed, pl_module **module, pl_error *error);
void pl_module_free(pl_module *module);
/* Allocates (or releases) the gradient block. Errors: PL_ERR_MEMORY. */
pl_status pl_module_trainable(pl_module *module, bool trainable, pl_error *error);
/* Makes buffers large enough for passes of this extent; those there are stay if memory is refused (PL_ERR_MEMORY). */
pl_status pl_module_plan(pl_module *module, const pl_extent *extent, pl_error *error);
/* Values of tensor (layer, site, slot); layer/site may be PL_NONE. NULL when not declared. */
real *pl_module_values(const pl_module *module, int32_t layer, int32_t site, int32_t slot);
/* Likewise; gradients are NULL also when frozen, a buffer where scratch() asked for none for the planned extent. */
real *pl_module_gradients(const pl_module *module, int32_t layer, int32_t site, int32_t slot);
real *pl_module_buffer(const pl_module *module, int32_t layer, int32_t site, int32_t slot);
const pl_tensor *pl_module_shape(const pl_module *module, int32_t layer, int32_t site, int32_t slot);

/* Modules whose tensors `replace` base tensors (full and norm fine-tuning) take part by lending the model their values and gradients; for
   all others these three do nothing. Attach before a pass (again after pl_module_trainable, which moves the gradients), refresh after the
   values changed, detach before the module is freed or merged. Two modules cannot replace the same tensor: PL_ERR_STATE. */
pl_status pl_module_attach(pl_model *model, pl_module *module, pl_error *error);
void pl_module_refresh(pl_model *model, const pl_module *module);
void pl_module_detach(pl_model *model, const pl_module *module);
bool pl_module_replaces(const pl_module *module); /* has such tensors */
/* start() of such methods: copies the model's present values into every replacing tensor. Errors: PL_ERR_MISMATCH for a tensor that the model
   does not have. */
pl_status pl_module_copy_base(pl_module *module, const pl_model *model, pl_error *error);

/* ---- stack.c ---- */

/* Fills hooks for the model from active modules in order. Two owners of one place either add up or are refused with a sentence. Errors:
   PL_ERR_RANGE for too many modules or learned rows, PL_ERR_ARGUMENT for one that is listed twice, PL_ERR_UNSUPPORTED for a weight that a
   method cannot have, two modules that replace the same tensor, and prefixes that disagree about where tokens begin. */
pl_status pl_stack_build(pl_module *const *modules, int32_t count, pl_stack *stack, pl_error *error);
/* prepare()/finish() of every module of the list. */
void pl_stack_prepare(pl_module *const *modules, int32_t count, const pl_model *model);
void pl_stack_finish(pl_module *const *modules, int32_t count);

/* ---- merge.c: transactional ---- */

typedef struct pl_merged pl_merged; /* the kept base values of every changed map */

/* Would those active modules that are not merged do beside the merged weights what they do now? active[count] is in stack order.
   PL_ERR_STATE names the first that would not. */
pl_status pl_merge_check_beside(pl_module *const *active, const bool *merged, int32_t count, pl_error *error);
/* Merges modules (in stack order) into the model: prepare, scratch copy, finite check, commit, repack. On error the model is untouched.
   Values of modules that replace tensors are taken over first (they are what the other modules' changes come on top of); such modules are
   detached by the merge, attach them again after pl_unmerge. No site of a tied head is ever changed alone, so nothing needs untying.
   Errors: those of pl_stack_build; PL_ERR_UNSUPPORTED for a method that cannot be merged; PL_ERR_STATE where another module stands in for a
   tensor that would change; PL_ERR_NUMERIC where NaN or infinity would come out; PL_ERR_MEMORY. */
pl_status pl_merge(pl_memory *memory, pl_model *model, pl_module *const *modules, int32_t count,
                   pl_merged **merged, pl_error *error);
/* Exchanges the model's values with the kept ones: the base is back and merged holds the merged values, or the other way round. */
void pl_merged_swap(pl_model *model, pl_merged *merged);
/* Restores the kept base bit for bit and frees merged. */
void pl_unmerge(pl_model *model, pl_merged *merged);
/* The other way, for the lesson about rounding: subtracts (DoRA, IA3: divides) the modules again in reverse order on a copy and reports the
   largest |W'' - W| over all merged maps. The model is not changed. -1 when memory is refused (see error). */
double pl_unmerge_residual(const pl_model *model, const pl_merged *merged, pl_module *const *modules,
                           int32_t count, pl_error *error);
/* Keeps the merge for good: frees the kept base. */
void pl_merged_free(pl_merged *merged);

#endif
