/* build: both */
#include "harness.h"

TEST(right_values_pass) {
    CHECK_INT(2, 2);
    CHECK_NEAR(1.0, 1.0 + 1e-12, 1e-9);
    CHECK_STR("a", "a");
    REQUIRE(true);
}
