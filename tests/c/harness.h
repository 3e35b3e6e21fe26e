/* A small test harness. Each tests/c/test_*.c is one program, linked with the library and with harness.c
 * (which has main):
 *
 *     #include "harness.h"
 *     TEST(rng_repeats) { CHECK_INT(pl_rng_next(&a), pl_rng_next(&b)); }
 *
 * A program prints one line per test ("ok 1 - name" or "not ok 1 - name" after the failed checks), then "N
 * passed, N failed", and exits 1 if a test failed or none ran. An argument runs only the tests whose name
 * contains it. The working directory is the repository root. Files test_*_double.c, or with the comment
 * "build: double", are compiled with PL_REAL=double; "build: both" compiles and runs the file with float and
 * with double. All run under ASan and UBSan. */
#ifndef PL_TEST_HARNESS_H
#define PL_TEST_HARNESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct harness_test {
    const char *name;
    void (*run)(void);
    struct harness_test *next;
} harness_test;

/* Adds a test at program start; TEST() calls it. The test must live until exit. */
void harness_add(harness_test *test);
/* Each returns `ok`, and on false prints file:line and what was expected and marks the running test as
 * failed. */
bool harness_check(bool ok, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool harness_int(long long got, long long want, const char *file, int line, const char *text);
bool harness_near(double got, double want, double tolerance, const char *file, int line, const char *text);
bool harness_str(const char *got, const char *want, const char *file, int line, const char *text);

#define TEST(id)                                                                                             \
    static void id(void);                                                                                    \
    __attribute__((constructor)) static void harness_register_##id(void) {                                   \
        static harness_test test = {#id, id, NULL};                                                          \
        harness_add(&test);                                                                                  \
    }                                                                                                        \
    static void id(void)

/* CHECK goes on after a failure; REQUIRE leaves the (void) function it stands in. */
#define CHECK(condition) harness_check((condition), __FILE__, __LINE__, "%s is false", #condition)
#define CHECK_MSG(condition, ...) harness_check((condition), __FILE__, __LINE__, __VA_ARGS__)
#define CHECK_INT(got, want) harness_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) harness_str((got), (want), __FILE__, __LINE__, #got)
/* |got - want| <= tolerance; NaN never passes. */
#define CHECK_NEAR(got, want, tolerance)                                                                     \
    harness_near((double)(got), (double)(want), (double)(tolerance), __FILE__, __LINE__, #got)
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!CHECK(condition))                                                                               \
            return;                                                                                          \
    } while (0)

#endif
