/* UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF (Unicode, table 3-7). */
#ifndef PL_IO_UTF8_H
#define PL_IO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1..4) of the well-formed character at bytes[0], whose number goes to *point; 0 when it is not
   well-formed or not complete within length. point may not be NULL. */
int32_t pl_utf8_next(const char *bytes, size_t length, uint32_t *point);

/* How many bytes one U+FFFD stands for at an ill-formed place: the longest prefix of a character, at least
   1 (the "maximal subpart" rule, as in Rust's from_utf8_lossy, Python's errors="replace" and the web's
   TextDecoder). *truncated (may be NULL) tells that the text ended inside a character that was good so
   far. */
int32_t pl_utf8_bad(const char *bytes, size_t length, bool *truncated);

/* Writes point (a Unicode scalar value) to out[4] and returns its length. */
int32_t pl_utf8_put(uint32_t point, char *out);

bool pl_utf8_valid(const char *bytes, size_t length);

#endif
