/* The strict part of the JSON reader: decides whether a text is JSON as io/json.h promises, before cJSON
 * builds the tree. (cJSON alone accepts 17 of the 188 texts of JSONTestSuite that a parser must reject.) */
#ifndef PL_IO_JSON_CHECK_H
#define PL_IO_JSON_CHECK_H

#include <stddef.h>

#include "base/status.h"

/* PL_OK, or PL_ERR_FORMAT with "what:line:column: …" (column in characters), or PL_ERR_MEMORY.
   Time is linear in length, also for objects with 100,000 keys. */
pl_status pl_json_check(const char *text, size_t length, const char *what, pl_error *error);

#endif
