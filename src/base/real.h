/* The number type of every tensor. The product computes in float; gradient checks compile the same sources with
   -DPL_REAL=double, because finite differences in float cannot tell a wrong backward pass from rounding. */
#ifndef PL_BASE_REAL_H
#define PL_BASE_REAL_H

#ifndef PL_REAL
#define PL_REAL float
#define PL_REAL_IS_FLOAT 1
#else
#define PL_REAL_IS_FLOAT 0 /* PL_REAL is only ever overridden to double */
#endif

typedef PL_REAL real;

#endif
