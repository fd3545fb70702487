/*
 * census.h: the first walk through a batch, before anything is computed: how many requests there
 * are, that no two have the same custom_id, and a hash of all its bytes. 24 bytes of memory for
 * each custom_id, twice that while the list grows, until it has ended.
 */
#ifndef EL_BATCH_CENSUS_H
#define EL_BATCH_CENSUS_H

#include "batch/lines.h"

typedef struct el_census {
    uint64_t lines;    /* of the file */
    uint64_t requests; /* those that are not blank */
    uint64_t hash;     /* of all bytes */
} el_census;

/* From the first line to the last; jansson's memory is the server's (json_room.h). Errors: IO,
 * MEMORY, INTERRUPTED; FORMAT (a custom_id stands twice: the message says where). */
edgellm_status el_census_take(el_census *census, el_lines *lines, int (*interrupted)(void),
                              edgellm_error *err);

#endif
