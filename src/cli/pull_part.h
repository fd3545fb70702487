/*
 * pull_part.h: a file that comes piece by piece. Until it is whole and right it is called
 * NAME.part, and NAME.about says what it is to be; then it is renamed. What was there from an
 * earlier run is gone on with if it is to be the same file.
 */
#ifndef EL_CLI_PULL_PART_H
#define EL_CLI_PULL_PART_H

#include "cli/pull_sum.h"

typedef struct el_pull_part {
    int fd;                    /* -1: the file is whole already */
    char *path, *part, *about; /* owned */
    uint64_t bytes;            /* that are there, and in the sum */
    el_pull_sum sum;
    el_pull_hex identity;
    char etag[256];     /* of the server: strong, or "" */
    el_pull_hex sha256; /* when it is whole */
} el_pull_part;

/* identity: a text, the same as long as the file is to be the same. Errors: IO, MEMORY,
 * INTERRUPTED. */
edgellm_status el_pull_part_open(el_pull_part *part, const char *path, const char *identity,
                                 edgellm_error *err);
/* Releases it; what came is kept. */
void el_pull_part_close(el_pull_part *part);

static inline bool el_pull_part_is_whole(const el_pull_part *part)
{
    return part->fd < 0;
}

/* Forgets what came. Errors: IO, MEMORY. */
edgellm_status el_pull_part_reset(el_pull_part *part, edgellm_error *err);

/* Notes which version of the file comes. Errors: IO. */
edgellm_status el_pull_part_note(el_pull_part *part, const char *etag, edgellm_error *err);

edgellm_status el_pull_part_add(el_pull_part *part, const void *bytes, size_t n,
                                edgellm_error *err);

/* Is there room for so many bytes more where the file lies? Errors: IO. */
edgellm_status el_pull_room(int fd, uint64_t bytes, edgellm_error *err);

/* It is whole: syncs and renames it. expected: "" or its sum; another one removes the file.
 * Errors: FORMAT (another sum), IO. */
edgellm_status el_pull_part_finish(el_pull_part *part, const char *expected, edgellm_error *err);

#endif
