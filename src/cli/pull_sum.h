/* pull_sum.h: SHA-256, by OpenSSL, as lower-case hexadecimal text. */
#ifndef EL_CLI_PULL_SUM_H
#define EL_CLI_PULL_SUM_H

#include "cli/cli.h"

typedef char el_pull_hex[65]; /* "": not known */

typedef struct el_pull_sum {
    void *context; /* OpenSSL's; NULL: not begun */
} el_pull_sum;

/* Begins, also anew. Errors: MEMORY. */
edgellm_status el_pull_sum_begin(el_pull_sum *sum, edgellm_error *err);
void el_pull_sum_add(el_pull_sum *sum, const void *bytes, size_t n);
/* Ends it and releases what it holds; `hex` may be NULL. */
void el_pull_sum_end(el_pull_sum *sum, el_pull_hex hex);

/* Of the first `bytes` of an open file, read from its start; goes on with `sum`, which has begun.
 * Errors: IO (shorter too), INTERRUPTED. */
edgellm_status el_pull_sum_file(el_pull_sum *sum, int fd, uint64_t bytes, edgellm_error *err);

void el_pull_sum_text(const char *text, el_pull_hex hex); /* "" when out of memory */

/* 64 hexadecimal digits? In lower case to `hex`. */
bool el_pull_sum_read(const char *text, el_pull_hex hex);

#endif
