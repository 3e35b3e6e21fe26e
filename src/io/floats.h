/* Half-precision formats. To float is exact; from float rounds to nearest, ties to even, as IEEE 754 and
   PyTorch do. */
#ifndef PL_IO_FLOATS_H
#define PL_IO_FLOATS_H

#include <stdint.h>

float pl_float_from_f16(uint16_t half);
float pl_float_from_bf16(uint16_t half);
uint16_t pl_f16_from_float(float value);  /* beyond 65504 + half a unit: infinity */
uint16_t pl_bf16_from_float(float value); /* NaN stays NaN */

#endif
