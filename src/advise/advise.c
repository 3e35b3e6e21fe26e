/* Walking the decision tree. */
#include "advise/advise.h"

#include "account/account.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

pl_status pl_recommendation_options(const pl_recommendation *recommendation, const pl_config *config,
                                    pl_options *options, pl_error *error) {
    return pl_settings_options(recommendation->method, recommendation->settings, config, options, error);
}

const pl_task_advice *pl_task_advice_find(const char *word) {
    for (int32_t i = 0; i < PL_TASK_ADVICE_COUNT; i++) {
        const pl_task_advice *task = &PL_TASK_ADVICE[i];
        if (strcasecmp(task->key, word) == 0 || strcasecmp(task->label, word) == 0 ||
            strcasecmp(task->task, word) == 0)
            return task;
    }
    return NULL;
}

/* Is word one of the space separated words of list? */
static bool listed(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = strchr(list, ' '); at; at = strchr(at + 1, ' '))
        if (strncasecmp(at + 1, word, length) == 0 && at[1 + length] == ' ')
            return true;
    return false;
}

/* " a b c " as ", or a, b, c"; task also has the chapter's tasks. */
static void other_words(int32_t index, char *text, size_t size) {
    const char *const lists[] = {index == PL_TREE_TASK ? "classification instruction domain style code" : "",
                                 PL_TREE[index].yes_words, PL_TREE[index].no_words};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const char *at = lists[i]; *at && used < size;) {
            const size_t length = strcspn(at, " ");
            const bool twice = i > 0 && index == PL_TREE_TASK && length == strlen("classification") &&
                               strncmp(at, "classification", length) == 0;
            if (length > 0 && !twice)
                used += (size_t)snprintf(text + used, size - used, "%s%.*s", used ? ", " : ", or ",
                                         (int)length, at);
            at += length + (at[length] == ' ' ? 1 : 0);
        }
}

static pl_status understand(int32_t index, const char *word, pl_advice *advice, pl_error *error) {
    const pl_tree_node *node = &PL_TREE[index];
    pl_answer *answer = &advice->answers[index];
    *answer = PL_ANSWER_UNKNOWN;
    if (!word || !*word || strcasecmp(word, "unknown") == 0)
        return PL_OK;
    if (index == PL_TREE_TASK)
        advice->task = pl_task_advice_find(word);
    if (strcasecmp(word, "yes") == 0 || strcasecmp(word, "true") == 0 || listed(node->yes_words, word) ||
        (advice->task && index == PL_TREE_TASK && strcmp(advice->task->key, "classification") == 0))
        *answer = PL_ANSWER_YES;
    else if (strcasecmp(word, "no") == 0 || strcasecmp(word, "false") == 0 || listed(node->no_words, word) ||
             (advice->task && index == PL_TREE_TASK))
        *answer = PL_ANSWER_NO;
    else {
        char words[200];
        other_words(index, words, sizeof words);
        return pl_fail(error, PL_ERR_ARGUMENT, "%s: '%.40s' is not understood; answer yes or no%s", node->key,
                       word, words);
    }
    return PL_OK;
}

pl_status pl_advise_tree(const char *const answers[PL_TREE_QUESTIONS], pl_advice *advice, pl_error *error) {
    memset(advice, 0, sizeof *advice);
    for (int32_t i = 0; i < PL_TREE_QUESTIONS; i++)
        PL_TRY(understand(i, answers[i], advice, error));
    int32_t node = 0;
    for (;; node++) {
        advice->path[advice->path_length++] = node;
        if (node == PL_TREE_DEFAULT || advice->answers[node] == PL_ANSWER_YES)
            break;
    }
    advice->best = &PL_TREE[node].best;
    advice->other = PL_TREE[node].other.method ? &PL_TREE[node].other : NULL;
    return PL_OK;
}

void pl_advice_step(const pl_advice *advice, int32_t index, char *text, size_t size) {
    static const char *const words[] = {"Not answered, so no", "No", "Yes"};
    int32_t at = index >= 0 && index < advice->path_length ? advice->path[index] : PL_TREE_DEFAULT;
    const pl_tree_node *node = &PL_TREE[at];
    if (index < 0 || index > advice->path_length)
        (void)snprintf(text, size, "%s", "");
    else if (at == PL_TREE_DEFAULT)
        (void)snprintf(text, size, "Default recommendation: %s. %s", node->best.quote, node->why);
    else if (advice->answers[at] == PL_ANSWER_YES)
        (void)snprintf(text, size, "%s Yes: %s. %s", node->question, node->best.quote, node->why);
    else
        (void)snprintf(text, size, "%s %s.", node->question, words[advice->answers[at]]);
}
