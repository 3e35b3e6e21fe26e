#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static harness_test *first_test, **last_link = &first_test;
static bool test_failed;

void harness_add(harness_test *test) {
    *last_link = test;
    last_link = &test->next;
}

bool harness_check(bool ok, const char *file, int line, const char *format, ...) {
    if (ok)
        return true;
    va_list arguments;
    va_start(arguments, format);
    printf("# %s:%d: ", file, line);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    test_failed = true;
    return false;
}

bool harness_int(long long got, long long want, const char *file, int line, const char *text) {
    return harness_check(got == want, file, line, "%s is %lld, expected %lld", text, got, want);
}

bool harness_near(double got, double want, double tolerance, const char *file, int line, const char *text) {
    double error = fabs(got - want);
    return harness_check(error <= tolerance, file, line, "%s is %.17g, expected %.17g (error %.3g > %.3g)",
                         text, got, want, error, tolerance);
}

bool harness_str(const char *got, const char *want, const char *file, int line, const char *text) {
    bool ok = got && want ? strcmp(got, want) == 0 : got == want;
    return harness_check(ok, file, line, "%s is \"%s\", expected \"%s\"", text, got ? got : "(null)",
                         want ? want : "(null)");
}

int main(int argc, char **argv) {
    const char *filter = argc > 1 ? argv[1] : "";
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash must not swallow the lines before it */
    for (harness_test *test = first_test; test; test = test->next) {
        if (!strstr(test->name, filter))
            continue;
        test_failed = false;
        test->run();
        if (test_failed)
            failed++;
        else
            passed++;
        printf("%s %d - %s\n", test_failed ? "not ok" : "ok", passed + failed, test->name);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
