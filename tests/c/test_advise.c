/* The decision tree, all 16 ways through it, the recommendations, and the coach on curves with a known verdict. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "account/account.h"
#include "advise/advise.h"
#include "harness.h"

static const pl_config *shape(void) { return &pl_shape_find("llama-2-7b")->config; }

static const char *decide(const char *latency, const char *compute, const char *task, const char *multitask,
                          pl_advice *advice) {
    const char *answers[PL_TREE_QUESTIONS] = {latency, compute, task, multitask};
    pl_error error = {0};
    CHECK_MSG(pl_advise_tree(answers, advice, &error) == PL_OK, "%s", error.message);
    return advice->best->method;
}

TEST(tree_follows_the_chapter) {
    static const char *const words[] = {"no", "yes"};
    for (int i = 0; i < 16; i++) {
        pl_advice advice;
        bool latency = i & 8, compute = i & 4, simple = i & 2, multitask = i & 1;
        const char *method = decide(words[latency], words[compute], words[simple], words[multitask], &advice);
        int decides = latency ? 0 : compute ? 1 : simple ? 2 : multitask ? 3 : 4;
        static const char *const want[] = {"lora", "prompt", "prompt", "adapter", "lora"};
        CHECK_STR(method, want[decides]);
        CHECK_INT(advice.path_length, decides + 1);
        CHECK_INT(advice.path[advice.path_length - 1], decides);
        CHECK(advice.best->merge == latency);
        CHECK((advice.other != NULL) == (decides == 2 || decides == 3));
    }
}

TEST(tree_understands_words) {
    pl_advice advice;
    CHECK_STR(decide("no", "limited", "classification", "no", &advice), "prompt");
    CHECK_INT(advice.path_length, 2);
    CHECK_STR(advice.task->key, "classification");
    CHECK_STR(decide(NULL, "", "classification", NULL, &advice), "prompt");
    CHECK_INT(advice.answers[PL_TREE_LATENCY], PL_ANSWER_UNKNOWN);
    CHECK_INT(advice.answers[PL_TREE_TASK], PL_ANSWER_YES);
    CHECK_STR(decide("no", "enough", "code", "one", &advice), "lora");
    CHECK_INT(advice.answers[PL_TREE_TASK], PL_ANSWER_NO);
    CHECK_STR(advice.task->best.settings, "rank=8;alpha=16;target_modules=q_proj,k_proj,v_proj,o_proj");
    CHECK_STR(decide("Critical", NULL, NULL, NULL, &advice), "lora");
    CHECK(advice.task == NULL);
    pl_error error = {0};
    const char *wrong[PL_TREE_QUESTIONS] = {"perhaps", NULL, NULL, NULL};
    CHECK_INT(pl_advise_tree(wrong, &advice, &error), PL_ERR_ARGUMENT);
    CHECK(strstr(error.message, "perhaps") && strstr(error.message, "latency"));
    const char *empty[PL_TREE_QUESTIONS] = {" ", NULL, NULL, NULL};
    CHECK_INT(pl_advise_tree(empty, &advice, &error), PL_ERR_ARGUMENT);
    const char *task[PL_TREE_QUESTIONS] = {NULL, NULL, "poetry", NULL};
    CHECK_INT(pl_advise_tree(task, &advice, &error), PL_ERR_ARGUMENT);
    CHECK(strstr(error.message, "classification") != NULL);
}

TEST(path_in_words) {
    pl_advice advice;
    char text[400];
    decide("no", "", "yes", "no", &advice);
    pl_advice_step(&advice, 0, text, sizeof text);
    CHECK_STR(text, "Is inference latency critical? No.");
    pl_advice_step(&advice, 1, text, sizeof text);
    CHECK_STR(text, "Is compute extremely limited? Not answered, so no.");
    pl_advice_step(&advice, 2, text, sizeof text);
    CHECK(strstr(text, "Yes: Prompt Tuning or LoRA (r=4). ") != NULL);
    decide("no", "no", "no", "yes", &advice);
    pl_advice_step(&advice, 3, text, sizeof text);
    CHECK(strstr(text, "Yes: Adapters (easy to swap/combine). ") != NULL);
    decide(NULL, NULL, NULL, NULL, &advice);
    pl_advice_step(&advice, 4, text, sizeof text);
    CHECK(strstr(text, "LoRA (r=8, α=16)") != NULL);
}

static void check_recommendation(const pl_recommendation *r) {
    pl_options options;
    pl_error error = {0};
    CHECK_MSG(pl_recommendation_options(r, shape(), &options, &error) == PL_OK, "%s: %s", r->settings,
              error.message);
    CHECK_MSG(pl_options_check(&options, shape(), &error) == PL_OK, "%s: %s", r->settings, error.message);
    CHECK(r->quote != NULL && r->quote[0]);
    CHECK(!r->merge || options.method->cannot_merge == NULL);
}

TEST(every_recommendation_is_possible) {
    for (int i = 0; i <= PL_TREE_DEFAULT; i++) {
        check_recommendation(&PL_TREE[i].best);
        if (PL_TREE[i].other.method)
            check_recommendation(&PL_TREE[i].other);
    }
    for (int32_t i = 0; i < PL_TASK_ADVICE_COUNT; i++) {
        check_recommendation(&PL_TASK_ADVICE[i].best);
        check_recommendation(&PL_TASK_ADVICE[i].other);
    }
    pl_options options;
    pl_error error = {0};
    pl_recommendation broken = {"lora", "rank", false, "x"};
    CHECK_INT(pl_recommendation_options(&broken, shape(), &options, &error), PL_ERR_ARGUMENT);
    broken = (pl_recommendation){"nothing", "", false, "x"};
    CHECK_INT(pl_recommendation_options(&broken, shape(), &options, &error), PL_ERR_ARGUMENT);
}

TEST(tasks_are_found) {
    CHECK_INT(PL_TASK_ADVICE_COUNT, 5);
    CHECK_STR(pl_task_advice_find("pirate")->key, "style");
    CHECK_STR(pl_task_advice_find("Code Generation")->key, "code");
    CHECK(pl_task_advice_find("chess") == NULL);
    CHECK_INT(PL_QUICK_REFERENCE_COUNT, 6);
    CHECK_INT(PL_SUMMARY_COUNT, 5);
    CHECK_INT(PL_PITFALLS_COUNT, 5);
}

/* ---- coach ---- */

enum { POINTS = 60 };

typedef struct run {
    pl_coach_point points[POINTS];
    pl_options options;
    pl_coach_input input;
    pl_coach_report report;
} run;

/* Loss start -> floor with time constant tau (in points); validation every 10 points: training + gap + slope per point. */
static void curve(run *r, const char *method, const char *settings, double start, double floor_, double tau,
                  double gap, double slope) {
    pl_error error = {0};
    pl_recommendation wanted = {method, settings, false, "x"};
    memset(r, 0, sizeof *r);
    CHECK_MSG(pl_recommendation_options(&wanted, shape(), &r->options, &error) == PL_OK, "%s", error.message);
    for (int32_t i = 0; i < POINTS; i++) {
        pl_coach_point *p = &r->points[i];
        p->step = 2 * (i + 1);
        p->loss = floor_ + (start - floor_) * exp(-i / tau) + 0.01 * (i % 2 ? 1 : -1);
        p->has_val_loss = i % 10 == 9;
        p->val_loss = p->loss + gap + slope * i;
    }
    r->input = (pl_coach_input){
        .points = r->points, .count = POINTS, .options = &r->options, .lr = 0.001, .steps = 120};
}

static void expect(run *r, pl_coach_state state, const char *option, const char *from, const char *to) {
    pl_coach(&r->input, &r->report);
    CHECK_STR(pl_coach_name(r->report.state), pl_coach_name(state));
    CHECK(r->report.rule != NULL && r->report.rule->state == r->report.state);
    CHECK_STR(r->report.change.option, option);
    CHECK_STR(r->report.change.from, from);
    CHECK_STR(r->report.change.to, to);
    CHECK(r->report.why[0] != '\0');
}

TEST(coach_good) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 1.5, 11, 0.05, 0);
    expect(&r, PL_COACH_GOOD, "", "", "");
}

TEST(coach_still_falling) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 0.5, 60, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "steps", "120", "240");
}

/* In mid-run nothing is said of steps and capacity, however the curve looks; what goes wrong is said all the same. */
TEST(coach_unfinished) {
    run r;
    const double floors[] = {0.5, 2.9, 1.5};
    const double taus[] = {60, 5, 5};
    for (int i = 0; i < 3; i++) {
        curve(&r, "lora", "rank=8", 3.0, floors[i], taus[i], 0.02, 0);
        r.input.steps = 121;
        expect(&r, PL_COACH_UNFINISHED, "", "", "");
        r.input.steps = 0; /* planned steps not known: judged as ended */
        pl_coach(&r.input, &r.report);
        CHECK(r.report.state == PL_COACH_UNDERFITTING || r.report.state == PL_COACH_PLATEAU);
    }
    curve(&r, "lora", "rank=8", 3.0, 0.5, 60, 0.02, 0);
    r.input.count = 24;
    r.input.steps = 120;
    expect(&r, PL_COACH_UNFINISHED, "", "", "");
    CHECK(strstr(r.report.why, "step 48 of 120") != NULL);
    curve(&r, "lora", "rank=16", 3.0, 0.4, 20, 0.02, 0.02);
    r.input.steps = 200;
    expect(&r, PL_COACH_OVERFITTING, "rank", "16", "4");
}

TEST(coach_too_little_capacity) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "rank", "8", "16");
    curve(&r, "lora", "rank=16", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "rank", "16", "32");
    curve(&r, "lora", "rank=32;target_modules=q_proj,v_proj", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "target_modules", "q_proj,v_proj", "q_proj,k_proj,v_proj,o_proj");
    curve(&r, "lora", "rank=32;target_modules=q_proj,k_proj,v_proj,o_proj", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "target_modules", "q_proj,k_proj,v_proj,o_proj", "all-linear");
    curve(&r, "lora", "rank=32;target_modules=all-linear", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "lr", "0.001", "0.002");
    curve(&r, "prompt", "num_virtual_tokens=20", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "num_virtual_tokens", "20", "40");
    curve(&r, "adapter", "bottleneck_size=64", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "bottleneck_size", "64", "128");
    curve(&r, "norms", "", 3.0, 2.9, 5, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "lr", "0.001", "0.002");
}

/* As the rule is printed: less than 10% in all is too little, also where the curve is not flat yet. */
TEST(coach_little_but_not_flat) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 2.75, 40, 0.02, 0);
    expect(&r, PL_COACH_UNDERFITTING, "rank", "8", "16");
    CHECK(r.report.recent > 0.005 && r.report.recent < 0.05);
    CHECK(strstr(r.report.rule->condition, "flat") == NULL);
}

/* The page's chart has a line smoothed in another way: what these losses are means of is said, and so they are. */
TEST(coach_says_what_it_averages) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 1.5, 11, 0.05, 0);
    pl_coach(&r.input, &r.report);
    double first = 0.0, last = 0.0;
    for (int i = 0; i < 3; i++)
        first += r.points[i].loss / 3;
    for (int i = 0; i < POINTS / 6; i++)
        last += r.points[POINTS - 1 - i].loss / (POINTS / 6);
    char said[160];
    (void)snprintf(said, sizeof said, " fell from %.3f to %.3f (%.0f%%; means of 3 and %d points), in", first,
                   last, 100.0 * (first - last) / first, POINTS / 6);
    CHECK(strstr(r.report.why, said) != NULL);
    curve(&r, "lora", "rank=16", 3.0, 0.4, 20, 0.02, 0.02);
    pl_coach(&r.input, &r.report);
    CHECK(r.report.state == PL_COACH_OVERFITTING &&
          strstr(r.report.why, " (mean of the last 10 points): ") != NULL);
}

/* Losses that rose, or held-out ones below those of training, are said so, not with a minus. */
TEST(coach_says_which_way) {
    run r;
    curve(&r, "prefix", "num_virtual_tokens=20", 3.0, 3.1, 30, -0.2, 0);
    expect(&r, PL_COACH_UNDERFITTING, "num_virtual_tokens", "20", "40");
    CHECK(strstr(r.report.why, "training loss rose from ") != NULL);
    CHECK(strstr(r.report.why, "in the last third it rose by ") != NULL);
    CHECK(strstr(r.report.why, "% below it.") != NULL &&
          strchr(r.report.why, '-') == strstr(r.report.why, "-out"));
}

TEST(coach_plateau) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 1.5, 5, 0.05, 0);
    expect(&r, PL_COACH_PLATEAU, "rank", "8", "16");
}

TEST(coach_overfitting) {
    run r;
    curve(&r, "lora", "rank=16", 3.0, 0.4, 20, 0.02, 0.02);
    expect(&r, PL_COACH_OVERFITTING, "rank", "16", "4");
    CHECK(r.report.best_step > 0 && r.report.best_step < 120);
    curve(&r, "lora", "rank=4", 3.0, 0.4, 20, 0.02, 0.02);
    expect(&r, PL_COACH_OVERFITTING, "dropout", "0", "0.1");
    curve(&r, "prompt", "num_virtual_tokens=20", 3.0, 0.4, 20, 0.02, 0.02);
    expect(&r, PL_COACH_OVERFITTING, "num_virtual_tokens", "20", "10");
    curve(&r, "full", "", 3.0, 0.4, 20, 0.02, 0.02);
    char best[16];
    pl_coach(&r.input, &r.report);
    (void)snprintf(best, sizeof best, "%d", r.report.best_step);
    expect(&r, PL_COACH_OVERFITTING, "steps", "120", best);
    /* the other condition: far apart and flat */
    curve(&r, "lora", "rank=16", 3.0, 1.0, 4, 0.4, 0);
    expect(&r, PL_COACH_OVERFITTING, "rank", "16", "4");
}

TEST(coach_diverging) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 1.5, 5, 0.05, 0);
    for (int32_t i = 45; i < POINTS; i++)
        r.points[i].loss = 1.5 + 0.3 * (i - 44);
    expect(&r, PL_COACH_DIVERGING, "lr", "0.001", "0.000333333");
    r.points[10].loss = (double)NAN;
    expect(&r, PL_COACH_DIVERGING, "lr", "0.001", "0.000333333");
    r.input.count = 1; /* even one point can tell */
    r.points[0].loss = HUGE_VAL;
    expect(&r, PL_COACH_DIVERGING, "lr", "0.001", "0.000333333");
    r.input.lr = 0;
    expect(&r, PL_COACH_DIVERGING, "", "", "");
}

TEST(coach_too_early) {
    run r;
    curve(&r, "lora", "rank=8", 3.0, 1.5, 5, 0.05, 0);
    for (int32_t count = 0; count < 6; count++) {
        r.input.count = count;
        expect(&r, PL_COACH_TOO_EARLY, "", "", "");
    }
    r.input.count = 19; /* one validation only */
    expect(&r, PL_COACH_TOO_EARLY, "", "", "");
    CHECK_INT(r.report.best_step, 20);
    r.input.options = NULL; /* unknown method: still a verdict */
    r.input.count = POINTS;
    expect(&r, PL_COACH_PLATEAU, "lr", "0.001", "0.002");
}

TEST(coach_rules_cover_all_states) {
    CHECK_INT(PL_COACH_RULE_COUNT, PL_COACH_STATES);
    for (int state = 0; state < PL_COACH_STATES; state++) {
        int found = 0;
        for (int32_t i = 0; i < PL_COACH_RULE_COUNT; i++)
            found += (int)PL_COACH_RULES[i].state == state;
        CHECK_INT(found, 1);
    }
}
