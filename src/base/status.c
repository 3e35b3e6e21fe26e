/* Sentences and names of errors. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

pl_status pl_fail(pl_error *error, pl_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        error->status = status;
    }
    return status;
}

const char *pl_status_name(pl_status status) {
    switch (status) {
    case PL_OK:
        return "ok";
    case PL_ERR_ARGUMENT:
        return "argument";
    case PL_ERR_RANGE:
        return "range";
    case PL_ERR_FORMAT:
        return "format";
    case PL_ERR_MISMATCH:
        return "mismatch";
    case PL_ERR_MEMORY:
        return "memory";
    case PL_ERR_STATE:
        return "state";
    case PL_ERR_NUMERIC:
        return "numeric";
    case PL_ERR_UNSUPPORTED:
        return "unsupported";
    }
    return "unknown";
}
