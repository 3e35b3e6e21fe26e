/* The logarithm of fdlibm (Sun Microsystems 1993, e_log.c). The vector functions are in the header. */
#include "simd/vecmath.h"

#include <math.h>

double pl_log(double x) {
    uint64_t bits;
    if (!(x > 0.0) || x > 0x1.fffffffffffffp1023)
        return x == 0.0 ? -HUGE_VAL : (x > 0.0 ? x : x - x + (double)NAN);
    memcpy(&bits, &x, sizeof bits);
    bits += 0x3FF0000000000000ULL - 0x3FE6A09E00000000ULL; /* so that sqrt(1/2) < mantissa <= sqrt(2) */
    const double k = (double)(int32_t)(bits >> 52) - 1023.0;
    bits = (bits & 0x000FFFFFFFFFFFFFULL) + 0x3FE6A09E00000000ULL;
    memcpy(&x, &bits, sizeof x);
    const double f = x - 1.0, half_square = 0.5 * f * f, s = f / (2.0 + f), z = s * s, w = z * z;
    const double even =
        w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    const double odd =
        z * (6.666666666666735130e-01 +
             w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    const double low = s * (half_square + (even + odd)) + k * 1.90821492927058770002e-10;
    return low - half_square + f + k * 6.93147180369123816490e-01;
}
