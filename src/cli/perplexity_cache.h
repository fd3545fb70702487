/*
 * perplexity_cache.h: reference logits of a text, chunk by chunk, and the file that keeps them for
 * the next model: exact mode is several times slower than what it judges. Nothing here is an error
 * of the command: what cannot be read is computed, what cannot be written is not kept; a note on
 * standard error says so. A file may be deleted at any time.
 *
 *   file    | header | chunk 0 | chunk 1 | ...      little-endian, nothing between
 *   chunk   | checksum | nll | positions: el_cli_coded | positions, vocab: 16-bit codes |
 */
#ifndef EL_CLI_PERPLEXITY_CACHE_H
#define EL_CLI_PERPLEXITY_CACHE_H

#include "base/outfile.h"
#include "cli/perplexity_numbers.h"

/* ---- the reference logits of one chunk ----------------------------------------------------- */

typedef struct el_cli_reference {
    double nll;          /* sum over the positions, from the logits themselves, not from codes */
    el_cli_coded *heads; /* (positions) */
    uint16_t *codes;     /* (positions, vocab) */
    size_t positions, vocab;
} el_cli_reference;

/* Owned. Errors: MEMORY. */
edgellm_status el_cli_reference_open(el_cli_reference *r, uint32_t positions, uint32_t vocab,
                                     edgellm_error *err);
void el_cli_reference_close(el_cli_reference *r);

/* ---- the file ------------------------------------------------------------------------------ */

/* What a file holds; a file with another header is not used. */
typedef struct el_cli_cache_header {
    char magic[16];
    uint64_t key; /* of source, text and protocol */
    uint32_t context, chunks, positions, vocab;
    uint32_t rounded; /* matrices of the source that were rounded: its logits are not all its own */
    uint32_t zero;
    uint64_t check; /* of the bytes before it */
} el_cli_cache_header;

typedef struct el_cli_cache {
    el_cli_cache_header header;
    char *path;     /* NULL: there is no cache */
    int fd;         /* being read; -1: not */
    el_outfile out; /* being written, if `writing` */
    bool writing, limited;
} el_cli_cache;

/*
 * header: without magic and check; `rounded` is filled in from the file that is found.
 * place: a folder, or "none"; NULL: $EDGELLM_CACHE, likewise, else $XDG_CACHE_HOME/edgellm or
 * ~/.cache/edgellm, where no file above EL_CLI_CACHE_MOST bytes is made. Close it in any case.
 */
#define EL_CLI_CACHE_MOST 4000000000u
void el_cli_cache_open(el_cli_cache *cache, const char *place, const el_cli_cache_header *header);

/* Can the chunks be read? */
bool el_cli_cache_found(const el_cli_cache *cache);

/* Reads the next chunk. False: the file is damaged; it is not used any more. */
bool el_cli_cache_read(el_cli_cache *cache, el_cli_reference *r);

/* Begins a file for `chunks` chunks, appends one, gives the file its name. True if that worked. */
bool el_cli_cache_begin(el_cli_cache *cache, uint32_t rounded);
bool el_cli_cache_append(el_cli_cache *cache, const el_cli_reference *r);
bool el_cli_cache_finish(el_cli_cache *cache);

/* What was begun and not finished leaves nothing behind. */
void el_cli_cache_close(el_cli_cache *cache);

#endif
