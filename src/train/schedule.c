/* Warm-up, then constant, linear or cosine. */
#include "train/schedule.h"

const char *pl_schedule_name(pl_schedule schedule) {
    static const char *const names[PL_SCHEDULE_COUNT] = {"constant", "linear", "cosine"};
    return schedule < PL_SCHEDULE_COUNT ? names[schedule] : "unknown";
}

/* cos(pi * x) for x in [0, 1]. Only sums and products (Taylor around 0 and the reflection x -> 1 - x), because cos() differs
   in its last bit between C libraries and a learning rate must not. Error below 1e-15. */
static double cos_pi(double x) {
    if (x > 0.5)
        return -cos_pi(1.0 - x);
    const double pi = 3.14159265358979323846;
    double y = pi * x, square = y * y, term = 1.0, sum = 1.0;
    for (int k = 1; k <= 12; k++) {
        term *= -square / ((2.0 * k - 1.0) * (2.0 * k));
        sum += term;
    }
    return sum;
}

double pl_schedule_factor(pl_schedule schedule, int32_t step, int32_t warmup, int32_t steps) {
    if (step < warmup)
        return (double)step / (double)(warmup > 1 ? warmup : 1);
    if (schedule == PL_SCHEDULE_CONSTANT)
        return 1.0;
    double progress = (double)(step - warmup) / (double)(steps - warmup > 1 ? steps - warmup : 1);
    if (progress > 1.0)
        progress = 1.0;
    return schedule == PL_SCHEDULE_LINEAR ? 1.0 - progress : 0.5 * (1.0 + cos_pi(progress));
}
