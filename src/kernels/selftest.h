/* Known-answer test of all kernels, for start-up: some engines have shipped wrong SIMD (iOS 16.4 computed
 * wrong floats, WebKit pull request 18827), and a model that trains on wrong numbers fails silently. Takes a
 * few milliseconds on a cold engine. */
#ifndef PL_KERNELS_SELFTEST_H
#define PL_KERNELS_SELFTEST_H

#include <stdint.h>

#include "base/real.h"

/* A hash of every kernel's output on fixed inputs. Needs about 20 KiB of stack. */
uint64_t pl_kernels_selftest(void);

#if PL_REAL_IS_FLOAT
/* The value on every correct machine and back end. Changes only when a kernel's order of operations changes;
   then run tests/c/test_simd_scalar.c, which prints it, and say so in the commit. */
#define PL_KERNELS_KNOWN_ANSWER 0x926E16DED7F62389ULL
#endif

#endif
