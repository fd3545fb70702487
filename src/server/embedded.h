/*
 * embedded.h: files that the program carries in itself. Each is a constant that cmake/embed.cmake
 * makes of a file: edgellm_embed(el_server FILE SYMBOL TYPE) in cmake/programs.cmake, and here
 * `extern const el_embedded SYMBOL`.
 */
#ifndef EL_SERVER_EMBEDDED_H
#define EL_SERVER_EMBEDDED_H

#include <stddef.h>

typedef struct el_embedded {
    const char *type; /* of its media */
    const unsigned char *bytes;
    size_t len;
} el_embedded;

extern const el_embedded el_embedded_openapi; /* src/server/openapi.json */

#endif
