/* Programs fail_*.c must exit 1: this one proves that a failing check fails the program, so that no test passes by accident. */
#include "harness.h"

#include <math.h>

TEST(wrong_int_fails) { CHECK_INT(1 + 1, 3); }
TEST(nan_is_never_near) { CHECK_NEAR(NAN, NAN, 1e9); }
TEST(wrong_text_fails) { CHECK_STR("a", "b"); }
TEST(require_leaves_the_test) {
    REQUIRE(1 > 2);
    CHECK_INT(0, 0);
}
