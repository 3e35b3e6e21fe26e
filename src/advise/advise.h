/* The chapter's advice as data: its decision tree, its recommendations per task, its quick reference, and a coach that reads a training run.
 * Everything here is a pure function of what is handed in; every rule can be printed, and quotes are the chapter's own words. */
#ifndef PL_ADVISE_ADVISE_H
#define PL_ADVISE_ADVISE_H

#include "peft/methods.h"

/* A method with settings: what "LoRA (r=4)" means here. */
typedef struct pl_recommendation {
    const char *method; /* word of the registry */
    /* "rank=8;alpha=16;target_modules=q_proj,v_proj"; names and values of the method's options */
    const char *settings;
    bool merge;        /* merge it into the weights for use */
    const char *quote; /* the chapter's words */
} pl_recommendation;

/* Default options with the recommendation's settings. Errors: those of pl_options_set_text. */
pl_status pl_recommendation_options(const pl_recommendation *recommendation, const pl_config *config,
                                    pl_options *options, pl_error *error);

/* ---- tree.c: the decision tree ------------------------------------------------------------------------------------------------------ */

typedef enum pl_answer { PL_ANSWER_UNKNOWN, PL_ANSWER_NO, PL_ANSWER_YES } pl_answer;

enum {
    PL_TREE_LATENCY,
    PL_TREE_COMPUTE,
    PL_TREE_TASK,
    PL_TREE_MULTITASK,
    PL_TREE_QUESTIONS,
    PL_TREE_DEFAULT = PL_TREE_QUESTIONS
};

/* A question, and what "yes" leads to; "no" goes on to the next node. The last node has no question: it is the default. */
typedef struct pl_tree_node {
    const char *key;                  /* "latency" */
    const char *question;             /* as in the chapter; NULL for the default */
    const char *yes_words, *no_words; /* other answers understood, " a b c " */
    pl_recommendation best, other; /* best.quote: the whole answer, as printed; other.method is NULL when the
                                         chapter names only one */
    const char *why;               /* one sentence for a student */
} pl_tree_node;

extern const pl_tree_node PL_TREE[PL_TREE_QUESTIONS + 1];

/* ---- tasks -------------------------------------------------------------------------------------------------------------------------- */

typedef struct pl_task_advice {
    const char *key;   /* "classification" */
    const char *label; /* the chapter's heading */
    const char *task;  /* the task folder that shows it */
    const char *quote; /* "Best: Prompt Tuning or LoRA (r=4)" */
    const char *reasons[3];
    pl_recommendation best, other;
} pl_task_advice;

extern const pl_task_advice PL_TASK_ADVICE[];
extern const int32_t PL_TASK_ADVICE_COUNT;
/* By key, label or task folder; NULL when unknown. */
const pl_task_advice *pl_task_advice_find(const char *word);

/* ---- tables: quick reference, summary, pitfalls ---------------------------------------------------------------------------------------- */

typedef struct pl_table_row {
    const char *when, *use, *why; /* why only for pitfalls */
} pl_table_row;

extern const pl_table_row PL_QUICK_REFERENCE[], PL_SUMMARY[], PL_PITFALLS[];
extern const int32_t PL_QUICK_REFERENCE_COUNT, PL_SUMMARY_COUNT, PL_PITFALLS_COUNT;

/* ---- advise.c ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct pl_advice {
    const pl_recommendation *best, *other; /* other may be NULL */
    const pl_task_advice *task;            /* when the task answer names one of the chapter's tasks */
    pl_answer answers[PL_TREE_QUESTIONS];  /* as understood */
    int32_t path[PL_TREE_QUESTIONS + 1];   /* nodes visited; the last one decided */
    int32_t path_length;
} pl_advice;

/* answers[i] answers PL_TREE[i].key: "yes", "no", "limited", "classification" …; NULL or "" is unknown and counts as no. The task answer may be
   any key of PL_TASK_ADVICE. Errors: PL_ERR_ARGUMENT for a word that is not understood (lists the words). */
pl_status pl_advise_tree(const char *const answers[PL_TREE_QUESTIONS], pl_advice *advice, pl_error *error);

/* Step `index` of the path in words: "Is inference latency critical? No." or the reason for the result. size as in snprintf. */
void pl_advice_step(const pl_advice *advice, int32_t index, char *text, size_t size);

/* ---- coach.c: what a training run looks like ----------------------------------------------------------------------------------------------- */

typedef struct pl_coach_point {
    int32_t step;
    double loss; /* training, nats per label */
    bool has_val_loss;
    double val_loss;
} pl_coach_point;

typedef struct pl_coach_input {
    const pl_coach_point *points; /* in order of steps */
    int32_t count;
    const pl_options *options; /* of the module that trains; NULL: unknown */
    double lr;                 /* 0: unknown */
    int32_t steps;             /* planned; 0: those done */
} pl_coach_input;

typedef enum pl_coach_state {
    PL_COACH_TOO_EARLY,
    PL_COACH_DIVERGING,
    PL_COACH_OVERFITTING,
    PL_COACH_UNFINISHED,
    PL_COACH_UNDERFITTING,
    PL_COACH_PLATEAU,
    PL_COACH_GOOD,
    PL_COACH_STATES
} pl_coach_state;

const char *pl_coach_name(pl_coach_state state); /* "too_early", "diverging", … */

/* The rules in the order they are tried; the first that holds speaks. */
typedef struct pl_coach_rule {
    pl_coach_state state;
    const char *condition; /* with the numbers it uses */
    const char *advice;    /* what to change, in the chapter's words where it has any */
} pl_coach_rule;

extern const pl_coach_rule PL_COACH_RULES[];
extern const int32_t PL_COACH_RULE_COUNT;

/* One suggestion with the exact change. */
typedef struct pl_coach_change {
    char option[32]; /* name of the method's option, or "lr", "steps"; "" = change nothing */
    char from[80], to[80];
} pl_coach_change;

typedef struct pl_coach_report {
    pl_coach_state state;
    const pl_coach_rule *rule;
    char why[320]; /* the numbers that made the rule hold */
    pl_coach_change change;
    int32_t best_step; /* step of the lowest validation loss, PL_NONE without one */
    double start, now; /* smoothed training loss at the start and now */
    double recent;     /* relative fall of the training loss over the last third of the run */
    double gap;        /* (validation - training) / training, now; 0 without validation */
} pl_coach_report;

/* Tries the rules in their order; one of them always holds. */
void pl_coach(const pl_coach_input *input, pl_coach_report *report);

#endif
