/* Reads gzip files (RFC 1951, 1952) of the fixtures, for trusted input only. */
#ifndef PL_TEST_GUNZIP_H
#define PL_TEST_GUNZIP_H

#include <stddef.h>

/* The inflated content of a .gz file, with a terminator behind it; freed by free(). NULL when it cannot be
   read. */
char *gunzip_file(const char *path, size_t *length);

/* A whole file as it is, likewise. */
char *read_file(const char *path, size_t *length);

#endif
