/* The coach: reads the curves of a run and says one thing. Numbers are in the rules, so that what it says can be checked by hand. */
#include "advise/advise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS_MIN = 6, VALIDATIONS_MIN = 2, RANK_MAX_ADVISED = 32 };

static const double RISE = 0.02;     /* validation loss above its best */
static const double WIDE_GAP = 0.25; /* validation above training */
static const double FALLING = 0.05;  /* training loss still falling in the last third */
static const double FLAT = 0.005;    /* no longer falling */
static const double LITTLE = 0.10;   /* fallen since the start */
static const double BLOWN_FACTOR = 1.3, BLOWN_NATS = 0.3;

const pl_coach_rule PL_COACH_RULES[] = {
    {PL_COACH_DIVERGING,
     "A loss is not a number, or the training loss (mean of the last sixth of its points) is above 1.3 "
     "times its best plus 0.3 nats.",
     "The steps are too large: divide the learning rate by 3."},
    {PL_COACH_TOO_EARLY, "Fewer than 6 points of the training loss, or fewer than 2 held-out losses.",
     "Train a little longer, then ask again."},
    {PL_COACH_OVERFITTING,
     "The held-out loss is 2% or more above its best while the training loss has fallen since; or it is "
     "25% above the training loss and has not improved by 0.5% in the last third.",
     "\"Decrease rank to 4\", \"Add dropout\", \"Reduce training epochs\"."},
    {PL_COACH_UNFINISHED, "The run has not reached its last step.",
     "Let it train on: whether it needs more steps or more capacity shows at its end."},
    {PL_COACH_UNDERFITTING,
     "The training loss is still falling by 5% or more in the last third (stopped too soon), or it has "
     "fallen by less than 10% in all (too little capacity, or steps too small).",
     "\"Increase rank to 16 or 32\", \"Add more target modules (K, O, FFN)\"; while it still falls: more "
     "steps."},
    {PL_COACH_PLATEAU, "The training loss has fallen by less than 0.5% in the last third.",
     "More of the same brings nothing; for a better result give the method more capacity."},
    {PL_COACH_GOOD, "None of the above: training and held-out loss fell together.",
     "Keep it. \"Validate performance\", then merge."},
};
const int32_t PL_COACH_RULE_COUNT = (int32_t)(sizeof PL_COACH_RULES / sizeof *PL_COACH_RULES);

const char *pl_coach_name(pl_coach_state state) {
    static const char *const names[PL_COACH_STATES] = {
        "too_early", "diverging", "overfitting", "unfinished", "underfitting", "plateau", "good"};
    return names[state];
}

/* ---- what the curves say ---------------------------------------------------------------------------------------- */

typedef struct coach_curves {
    bool finite;
    double best_train; /* lowest smoothed training loss */
    int32_t validations;
    double best_val, last_val, mid_val; /* mid_val: the last one before the last third */
    double train_at_best;               /* smoothed training loss when validation was best */
} coach_curves;

enum { SHARE = 6, WINDOW_MIN = 3 };

/* Points that a training loss is the mean of: a sixth of the run. */
static int32_t window_of(const pl_coach_input *in) {
    return in->count / SHARE > WINDOW_MIN ? in->count / SHARE : WINDOW_MIN;
}

/* Mean of the training loss over a window that ends at point `end`. */
static double smoothed(const pl_coach_input *in, int32_t end) {
    int32_t width = window_of(in), from = end - width + 1 > 0 ? end - width + 1 : 0;
    double sum = 0.0;
    for (int32_t i = from; i <= end; i++)
        sum += in->points[i].loss;
    return sum / (end - from + 1);
}

static coach_curves read_curves(const pl_coach_input *in, pl_coach_report *out) {
    coach_curves c = {.finite = true, .best_train = HUGE_VAL, .best_val = HUGE_VAL};
    int32_t third = in->count - 1 - in->count / 3;
    for (int32_t i = 0; i < in->count; i++) {
        const pl_coach_point *p = &in->points[i];
        if (!isfinite(p->loss) || (p->has_val_loss && !isfinite(p->val_loss))) {
            c.finite = false;
            return c;
        }
        double now = smoothed(in, i);
        c.best_train = i >= 2 && now < c.best_train ? now : c.best_train;
        if (!p->has_val_loss)
            continue;
        c.validations++;
        c.last_val = p->val_loss;
        if (i <= third)
            c.mid_val = p->val_loss;
        if (p->val_loss < c.best_val) {
            c.best_val = p->val_loss;
            c.train_at_best = now;
            out->best_step = p->step;
        }
    }
    if (in->count > 0) {
        out->start = smoothed(in, in->count < WINDOW_MIN ? in->count - 1 : WINDOW_MIN - 1);
        out->now = smoothed(in, in->count - 1);
        double before = smoothed(in, third > 0 ? third : 0);
        out->recent = before > 0.0 ? (before - out->now) / before : 0.0;
        out->gap = c.validations > 0 && out->now > 0.0 ? (c.last_val - out->now) / out->now : 0.0;
    }
    return c;
}

static bool overfits(const coach_curves *c, const pl_coach_report *out) {
    bool rose = c->last_val > c->best_val * (1.0 + RISE) && out->now < c->train_at_best;
    bool apart = out->gap > WIDE_GAP && c->mid_val > 0.0 && c->last_val > c->mid_val * (1.0 - FLAT);
    return rose || apart;
}

static int32_t last_step(const pl_coach_input *in) {
    return in->count > 0 ? in->points[in->count - 1].step : 0;
}

/* Steps are still to come: a learning rate that falls over the run makes its end another thing than its middle. */
static bool unfinished(const pl_coach_input *in) { return in->steps > last_step(in); }

static pl_coach_state judge(const pl_coach_input *in, const coach_curves *c, const pl_coach_report *out) {
    if (!c->finite || (in->count >= POINTS_MIN && out->now > BLOWN_FACTOR * c->best_train + BLOWN_NATS))
        return PL_COACH_DIVERGING;
    if (in->count < POINTS_MIN || c->validations < VALIDATIONS_MIN)
        return PL_COACH_TOO_EARLY;
    if (overfits(c, out))
        return PL_COACH_OVERFITTING;
    if (unfinished(in))
        return PL_COACH_UNFINISHED;
    double fallen = out->start > 0.0 ? (out->start - out->now) / out->start : 0.0;
    if (out->recent >= FALLING || fallen < LITTLE)
        return PL_COACH_UNDERFITTING;
    return out->recent < FLAT ? PL_COACH_PLATEAU : PL_COACH_GOOD;
}

static void explain(const pl_coach_input *in, const coach_curves *c, pl_coach_report *out) {
    double fallen = out->start > 0.0 ? 100.0 * (out->start - out->now) / out->start : 0.0;
    const char *side = out->gap < 0.0 ? "below" : "above";
    int32_t window = window_of(in); /* said, because a page may draw the curve smoothed in another way */
    switch (out->state) {
    case PL_COACH_DIVERGING:
        if (c->finite)
            (void)snprintf(out->why, sizeof out->why,
                           "The training loss (mean of %d points) was %.3f at best and is %.3f now.", window,
                           c->best_train, out->now);
        else
            (void)snprintf(out->why, sizeof out->why, "A loss became infinite or not a number.");
        return;
    case PL_COACH_TOO_EARLY:
        (void)snprintf(out->why, sizeof out->why,
                       "Training losses so far: %d (%d are needed); held-out losses: %d (%d are needed).",
                       in->count, (int)POINTS_MIN, c->validations, (int)VALIDATIONS_MIN);
        return;
    case PL_COACH_OVERFITTING:
        (void)snprintf(
            out->why, sizeof out->why,
            "The held-out loss was best at step %d (%.3f) and is %.3f now, while the training "
            "loss is %.3f (mean of the last %d points): the module learns the training examples by heart.",
            out->best_step, c->best_val, c->last_val, out->now, window);
        return;
    case PL_COACH_UNFINISHED:
        (void)snprintf(out->why, sizeof out->why,
                       "The run is at step %d of %d; the training loss went from %.3f to %.3f (means of %d "
                       "and %d points), the held-out loss is %.0f%% %s it.",
                       last_step(in), in->steps, out->start, out->now, (int)WINDOW_MIN, window,
                       fabs(100.0 * out->gap), side);
        return;
    case PL_COACH_UNDERFITTING:
    case PL_COACH_PLATEAU:
    case PL_COACH_GOOD:
    case PL_COACH_STATES:
        break;
    }
    (void)snprintf(out->why, sizeof out->why,
                   "The training loss %s from %.3f to %.3f (%.0f%%; means of %d and %d points), in the last "
                   "third it %s by %.1f%%; the held-out loss is %.0f%% %s it.",
                   fallen < 0.0 ? "rose" : "fell", out->start, out->now, fabs(fallen), (int)WINDOW_MIN,
                   window, out->recent < 0.0 ? "rose" : "fell", fabs(100.0 * out->recent),
                   fabs(100.0 * out->gap), side);
}

/* ---- what to change ---------------------------------------------------------------------------------------------- */

static void change_number(pl_coach_report *out, const char *option, double from, double to) {
    (void)snprintf(out->change.option, sizeof out->change.option, "%s", option);
    (void)snprintf(out->change.from, sizeof out->change.from, "%g", from);
    (void)snprintf(out->change.to, sizeof out->change.to, "%g", to);
}

/* Value of a number option, or -1 when the method has none of that name. */
static double number_of(const pl_coach_input *in, const char *name) {
    if (!in->options || pl_option_index(in->options->method, name) == PL_NONE)
        return -1.0;
    return pl_option_number(in->options, name);
}

static int32_t steps_of(const pl_coach_input *in) { return in->steps > 0 ? in->steps : last_step(in); }

/* The next wider set of maps: Q+V -> all attention -> every map. False when there is nothing wider, or targets mean something else here. */
static bool widen_targets(const pl_coach_input *in, pl_coach_report *out) {
    if (!in->options || pl_option_index(in->options->method, "target_modules") == PL_NONE ||
        number_of(in, "rank") < 0.0)
        return false;
    static const uint8_t attention = 1U << PL_SITE_Q | 1U << PL_SITE_K | 1U << PL_SITE_V | 1U << PL_SITE_O,
                         all = 127;
    uint8_t now = 0;
    for (int32_t layer = 0; layer < PL_LAYERS_MAX; layer++)
        now = (uint8_t)(now | in->options->targets[layer]);
    if (now == all)
        return false;
    (void)snprintf(out->change.option, sizeof out->change.option, "target_modules");
    for (int s = 0; s < PL_SITE_COUNT; s++)
        if ((unsigned)now >> s & 1U)
            (void)snprintf(out->change.from + strlen(out->change.from),
                           sizeof out->change.from - strlen(out->change.from), "%s%s",
                           out->change.from[0] ? "," : "", pl_site_name((pl_site)s));
    (void)snprintf(out->change.to, sizeof out->change.to, "%s",
                   (now & attention) == attention || (now & (uint8_t)~attention)
                       ? "all-linear"
                       : "q_proj,k_proj,v_proj,o_proj");
    return true;
}

/* More capacity: rank to 16 or 32, then more maps; more virtual tokens; a wider bottleneck; else larger steps. */
static void more_capacity(const pl_coach_input *in, pl_coach_report *out) {
    static const char *const sizes[] = {"num_virtual_tokens", "bottleneck_size"};
    double rank = number_of(in, "rank");
    if (rank > 0.0 && rank < RANK_MAX_ADVISED) {
        change_number(out, "rank", rank, rank < 16.0 ? 16.0 : RANK_MAX_ADVISED);
        return;
    }
    if (widen_targets(in, out))
        return;
    for (int i = 0; i < 2; i++) {
        double size = number_of(in, sizes[i]);
        int32_t index = size > 0.0 ? pl_option_index(in->options->method, sizes[i]) : PL_NONE;
        if (index == PL_NONE || 2.0 * size > in->options->method->options[index].maximum)
            continue;
        change_number(out, sizes[i], size, 2.0 * size);
        return;
    }
    if (in->lr > 0.0)
        change_number(out, "lr", in->lr, 2.0 * in->lr);
    else
        change_number(out, "steps", steps_of(in), 2.0 * steps_of(in));
}

/* Less capacity or less training: rank to 4, dropout, fewer rows, stop at the best step. */
static void less_freedom(const pl_coach_input *in, pl_coach_report *out) {
    double rank = number_of(in, "rank"), tokens = number_of(in, "num_virtual_tokens"),
           dropout = number_of(in, "dropout");
    if (rank > 4.0)
        change_number(out, "rank", rank, 4.0);
    else if (dropout >= 0.0 && dropout < 0.1)
        change_number(out, "dropout", dropout, 0.1);
    else if (tokens > 4.0)
        change_number(out, "num_virtual_tokens", tokens, floor(tokens / 2.0));
    else if (out->best_step > 0 && out->best_step < steps_of(in))
        change_number(out, "steps", steps_of(in), out->best_step);
}

static void suggest(const pl_coach_input *in, pl_coach_report *out) {
    switch (out->state) {
    case PL_COACH_DIVERGING:
        if (in->lr > 0.0)
            change_number(out, "lr", in->lr, in->lr / 3.0);
        break;
    case PL_COACH_OVERFITTING:
        less_freedom(in, out);
        break;
    case PL_COACH_UNDERFITTING:
        if (out->recent >= FALLING)
            change_number(out, "steps", steps_of(in), 2.0 * steps_of(in));
        else
            more_capacity(in, out);
        break;
    case PL_COACH_PLATEAU:
        more_capacity(in, out);
        break;
    case PL_COACH_TOO_EARLY:
    case PL_COACH_UNFINISHED:
    case PL_COACH_GOOD:
    case PL_COACH_STATES:
        break;
    }
}

void pl_coach(const pl_coach_input *input, pl_coach_report *report) {
    memset(report, 0, sizeof *report);
    report->best_step = PL_NONE;
    coach_curves curves = read_curves(input, report);
    report->state = judge(input, &curves, report);
    for (int32_t i = 0; i < PL_COACH_RULE_COUNT; i++)
        if (PL_COACH_RULES[i].state == report->state)
            report->rule = &PL_COACH_RULES[i];
    explain(input, &curves, report);
    suggest(input, report);
}
