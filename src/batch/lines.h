/*
 * lines.h: the lines of a file of any size, in bounded memory, with where they lie. Of a line that
 * is longer than the room only its beginning is there; the rest is looked at and let go.
 */
#ifndef EL_BATCH_LINES_H
#define EL_BATCH_LINES_H

#include "base/error.h"

typedef struct el_line {
    const char *text; /* (len) without the line feed; until the next line is read */
    size_t len;       /* at most the room */
    uint64_t number;  /* 1, 2, ... */
    uint64_t at;      /* where in the file it begins, */
    uint64_t next;    /* and the one after it */
    bool is_cut;      /* it was longer than the room */
    bool has_end;     /* a line feed: the last line may have none */
    bool has_nul;     /* a byte 0 is in it */
    char last;        /* its last byte; 0: it is empty */
} el_line;

typedef struct el_lines {
    const char *path; /* for messages */
    int fd;
    size_t room, size;
    char *buffer;      /* (size) */
    size_t begin, end; /* what is there and was not given out */
    uint64_t at;       /* where in the file `begin` lies */
    uint64_t number;   /* of the last line */
    uint64_t hash;     /* of all bytes that were given out: base/fnv.h */
    bool is_over;      /* the file has no more */
} el_lines;

/* fd: it stays the caller's, and is read from where it stands, which is offset 0. Errors: MEMORY.
 */
edgellm_status el_lines_open(el_lines *lines, int fd, const char *path, size_t room,
                             edgellm_error *err);
void el_lines_close(el_lines *lines);

/* The next line; *any false: there is none. Errors: IO. */
edgellm_status el_lines_next(el_lines *lines, el_line *line, bool *any, edgellm_error *err);

/* What el_lines_next() gives next is the line that begins there and has that number. Errors: IO. */
edgellm_status el_lines_seek(el_lines *lines, uint64_t at, uint64_t number, edgellm_error *err);

#endif
