/* Error reporting: every fallible function returns a pl_status; the sentence for the user travels in a pl_error that the
   caller owns. A message names the value, the limit and what to do: "rank 90 is outside 1..64 for q_proj; choose …". */
#ifndef PL_BASE_STATUS_H
#define PL_BASE_STATUS_H

typedef enum pl_status {
    PL_OK = 0,
    PL_ERR_ARGUMENT = 1, /* unknown name, malformed request */
    PL_ERR_RANGE = 2,    /* a number outside its limits */
    PL_ERR_FORMAT = 3,   /* a file or text that breaks its format */
    /* well-formed, but does not belong to the loaded model (shape, vocabulary, tensor names) */
    PL_ERR_MISMATCH = 4,
    PL_ERR_MEMORY = 5,     /* an allocation was refused; what was loaded stays loaded */
    PL_ERR_STATE = 6,      /* the call is not possible now (nothing loaded, already merged, no run started) */
    PL_ERR_NUMERIC = 7,    /* NaN or infinity: diverged run, non-finite weights */
    PL_ERR_UNSUPPORTED = 8 /* valid elsewhere (e.g. in peft), but not offered here */
} pl_status;

typedef struct pl_error {
    pl_status status;
    char message[600];
} pl_error;

/* Writes the sentence into error (which may be NULL) and returns status, so callers can `return pl_fail(...)`. */
pl_status pl_fail(pl_error *error, pl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The stable name of a status for machines: "PL_ERR_RANGE" -> "range". */
const char *pl_status_name(pl_status status);

#define PL_TRY(expression)                                                                                   \
    do {                                                                                                     \
        pl_status pl_try_status = (expression);                                                              \
        if (pl_try_status != PL_OK)                                                                          \
            return pl_try_status;                                                                            \
    } while (0)

#endif
