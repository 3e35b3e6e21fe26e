/* The inside of a session, shared by the files of this folder only. */
#ifndef PL_SESSION_INTERNAL_H
#define PL_SESSION_INTERNAL_H

#include "account/account.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "peft/methods.h"
#include "session/peftlab.h"
#include "text/tokenizer.h"
#include "train/dataset.h"
#include "train/evaluate.h"
#include "train/trainer.h"

enum { PL_SESSION_MODULES_MAX = 32, PL_SESSION_SPLITS_MAX = 16, PL_SPLIT_NAME_SIZE = 32 };

typedef struct pl_entry {
    int32_t id; /* unique for the life of the session, never reused */
    pl_module *module;
    bool active;    /* takes part in every pass (unless merged) */
    bool trainable; /* gets gradients in the next run */
    bool merged;
    uint64_t seed;
} pl_entry;

typedef struct pl_split {
    char name[PL_SPLIT_NAME_SIZE];
    pl_dataset *dataset;
} pl_split;

/* A model being loaded, aside from the one in use. */
typedef struct pl_loading {
    pl_model *model;
    pl_tokenizer *tokenizer;
    bool *filled;    /* [layout.count] */
    pl_text ignored; /* JSON array of tensor names of no use to us */
} pl_loading;

typedef struct pl_generation {
    pl_decoder *decoder;
    pl_sampling sampling;
    pl_rng rng;
    real *logits;     /* [vocab_size] */
    int32_t *scratch; /* [vocab_size] */
    int32_t left;     /* tokens still allowed */
    bool stop_at_eos;
    bool running;
    int32_t pending; /* token sampled but not fed yet, or PL_NONE */
} pl_generation;

struct pl_session {
    pl_memory memory;
    pl_error error;
    pl_text result;

    pl_model *model;
    pl_tokenizer *tokenizer;
    pl_loading loading;

    pl_entry entries[PL_SESSION_MODULES_MAX]; /* in stack order */
    int32_t entry_count, next_id;
    pl_merged *merged;

    pl_split splits[PL_SESSION_SPLITS_MAX];
    int32_t split_count;
    pl_trainer *trainer;
    char trainer_split[PL_SPLIT_NAME_SIZE];

    /* What a pass needs; rebuilt by session_ready after anything changed. */
    bool ready;
    int32_t ready_rows;
    pl_stack stack;
    pl_module *active[PL_STACK_MAX];
    int32_t active_count;
    pl_evaluator evaluator;
    pl_workspace *logits_workspace;
    int32_t logits_rows;
    pl_generation generation;
};

/* session.c */
void session_begin(pl_session *s); /* clears error and result: first line of every public function */
/* The last line: turns a failed result into PL_ERR_MEMORY. */
int32_t session_end(pl_session *s, pl_status status);
/* Is the answer whole? A call that changes anything asks this while it can still undo what it did, or makes room for its answer first. */
pl_status session_answered(pl_session *s);
void session_invalidate(pl_session *s); /* anything about model, modules or their values changed */
pl_status session_need_model(pl_session *s);
pl_status session_need_idle(pl_session *s, const char *what); /* no run in progress */
/* Builds the stack of active modules, plans their buffers for passes of `rows` rows, attaches and prepares them. */
pl_status session_ready(pl_session *s, int32_t rows);
/* Could the active modules run together once nothing is merged any more? */
pl_status session_check_unmerged(pl_session *s);
/* Virtual + memory rows of active modules: positions that text cannot use. */
int32_t session_learned_rows(const pl_session *s);
void session_drop_run(pl_session *s);
/* A public function that takes a JSON request: parses it, lets answer() write into the result, ends. answer checks what it needs
   first; id is passed through. */
typedef pl_status (*session_answer)(pl_session *s, const pl_json *request, int32_t id);
int32_t session_request(pl_session *s, int32_t id, const char *json, int32_t length, session_answer answer);
/* Parses a request; the root must be freed by the caller when PL_OK. */
pl_status session_parse(pl_session *s, const char *json, int32_t length, pl_json **root);

/* config_file.c */
pl_status session_read_config(const pl_json *root, pl_config *config, pl_error *error);
void session_write_config(pl_text *out, const pl_config *config, const char *torch_dtype);

/* model_folder.c */
void session_drop_model(pl_session *s);
void session_drop_loading(pl_session *s);

/* options_json.c */
enum { PL_OPTION_TEXTS_MAX = 4 };

/* Options of a method together with what they point to. Freed by session_free_options, also after an error. */
typedef struct session_options {
    pl_memory *memory;
    pl_options values;
    int32_t *tokens;                  /* of the init text */
    char *texts[PL_OPTION_TEXTS_MAX]; /* lists joined to one text */
    int32_t text_count;
} session_options;

/* {"rank":8,…} -> options. tokenizer NULL: init texts are not encoded (counting). */
pl_status session_read_options(pl_memory *memory, const pl_json *node, const pl_method *method,
                               const pl_config *config, const pl_tokenizer *tokenizer,
                               session_options *options, pl_error *error);
void session_free_options(session_options *options);
/* Sets an option from a JSON array of texts (or one text): comma list, kept by options. */
pl_status session_set_list(session_options *options, const pl_json *node, const pl_config *config,
                           const char *name, pl_error *error);
void session_write_options(pl_text *out, const pl_options *options, const pl_config *config);
/* Do all layers that have targets have the same? mask: these; layers: how many have any. */
bool session_targets_uniform(const pl_options *options, const pl_config *config, uint8_t *mask,
                             int32_t *layers);
/* "target_modules":[…]: names of maps where one list fits every targeted layer, else full paths. */
void session_write_target_names(pl_text *out, const pl_options *options, const pl_config *config);
/* The same under another key, only those that the comma list names (NULL: all), and, if asked for, always full paths. */
void session_write_targets_named(pl_text *out, const pl_options *options, const pl_config *config,
                                 const char *key, const char *only, bool paths);
/* "layers_to_transform":[…]: the layers that have targets. */
void session_write_target_layers(pl_text *out, const pl_options *options, const pl_config *config);
/* The method of that name, or an error that lists those there are. */
pl_status session_find_method(pl_session *s, const char *name, const pl_method **method);

/* modules.c */
pl_entry *session_entry(pl_session *s, int32_t id); /* NULL with error set */
/* A module id in a request; 0, which no module has, for what is none. */
int32_t session_json_id(const pl_json *node);
/* Takes ownership, also on error. */
pl_status session_adopt(pl_session *s, pl_module *module, uint64_t seed, bool trainable, pl_entry **entry);
void session_abandon(pl_session *s); /* frees the module that was adopted last, as if it had never been */
void session_write_entry(pl_session *s, const pl_entry *entry);       /* one JSON object into the result */
pl_status session_answer_entry(pl_session *s, const pl_entry *entry); /* it is the whole answer */
pl_needs session_needs(const pl_module *module);                      /* what the module asks of every pass */
void session_drop_modules(pl_session *s);
int64_t session_entry_parameters(const pl_entry *entry);
/* Refuses names that could not be a folder's: letters, digits, _ and -, up to 48. */
pl_status session_check_name(pl_session *s, const char *name);
pl_status session_free_name(pl_session *s, const char *wanted, char name[64]); /* unique adapter name */

/* data.c */
pl_dataset *session_split(pl_session *s, const char *name); /* NULL with error set */
void session_drop_data(pl_session *s);

/* tables.c: rows of a constant table as "key":[{…},…]. A column is a member of the row's struct. */
typedef struct session_column {
    const char *key;
    enum {
        SESSION_TEXT,
        SESSION_TEXT_IF_ANY, /* left out where it is NULL */
        SESSION_NUMBER,
        SESSION_BOOL,
        SESSION_FORMAT
    } type;
    size_t offset;
} session_column;
void session_write_table(pl_text *out, const char *key, const session_column *columns, int32_t column_count,
                         const void *rows, size_t row_size, int32_t row_count);

/* inspect.c */
pl_status session_find_site(pl_session *s, int32_t layer, const char *name, pl_site *site);

/* mixing.c */
void session_write_mix_types(pl_text *out);

/* training.c */
pl_status session_begin_run(pl_session *s, const pl_json *root); /* from the JSON of pl_train_begin */
void session_write_train_options(pl_text *out, const pl_train_options *options);
void session_write_run(pl_text *out, const pl_session *s);

#endif
