/*
 * keys.h: who may ask. A key is compared with all that are known, all of each, so that the time it
 * takes tells nothing of them.
 */
#ifndef EL_SERVER_KEYS_H
#define EL_SERVER_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "edgellm.h"

enum { EL_KEYS = 64, EL_KEY_BYTES = 256 };

typedef struct el_keys {
    unsigned n;                      /* 0: everybody may */
    char key[EL_KEYS][EL_KEY_BYTES]; /* padded with NULs */
} el_keys;

/* The keys of a file, one a line ("#" begins a comment), and of `given`, if they are not NULL.
 * Errors: IO; USAGE (none in it, too many, one that is too long). */
edgellm_status el_keys_read(el_keys *keys, const char *path, const char *given, edgellm_error *err);

/* Does a header "Authorization" with these bytes carry one? */
bool el_keys_allow(const el_keys *keys, const char *header, size_t len);

#endif
