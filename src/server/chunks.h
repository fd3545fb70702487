/*
 * chunks.h: the body of a request that comes in chunks (Transfer-Encoding: chunked), which
 * libwebsockets hands on as it came. Bytes in, pieces of the body out, which stand among them: no
 * memory, no copies. Strict, for what others in between may read in another way: sizes are
 * hexadecimal digits, lines end with CR LF. Extensions and trailers are passed over, up to a bound.
 */
#ifndef EL_SERVER_CHUNKS_H
#define EL_SERVER_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

enum {
    EL_CHUNKS_DIGITS = 8,  /* of a size */
    EL_CHUNKS_LINES = 4096 /* bytes of a chunk's extension, or of all trailers */
};

/* Begins as {0}. */
typedef struct el_chunks {
    uint32_t stage, digits; /* of chunks.c; of the size in hand */
    uint32_t passed;        /* bytes of an extension, or of trailers */
    uint64_t left;          /* of the chunk in hand */
} el_chunks;

typedef enum el_chunk {
    EL_CHUNK_NONE,  /* all bytes are used */
    EL_CHUNK_PIECE, /* a piece of the body */
    EL_CHUNK_END,   /* the body is whole; what is left of the bytes is not its */
    EL_CHUNK_WRONG
} el_chunk;

/* Goes on at *at, as far as the next of these. */
el_chunk el_chunks_next(el_chunks *chunks, const char **at, const char *end, const char **piece,
                        size_t *len);

#endif
