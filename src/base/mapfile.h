/* mapfile.h: a regular file in memory: mapped read-only, or a copy of it. */
#ifndef EL_BASE_MAPFILE_H
#define EL_BASE_MAPFILE_H

#include "base/error.h"

typedef struct el_mapfile {
    const uint8_t *data; /* page-aligned; NULL if not mapped */
    size_t size;         /* at least 1 while mapped */
} el_mapfile;

/* Errors: IO (missing, no permission, a directory, ...), FORMAT (empty file), MEMORY (no room in
 * the address space), UNSUPPORTED (in 32 bits: too large). */
edgellm_status el_mapfile_open(el_mapfile *map, const char *path, edgellm_error *err);

/*
 * The same, but as a copy that nobody else can change: a mapped file that is cut short under its
 * reader ends the process, and what was checked may not be what is used. It lies in huge pages
 * where the system gives them (the rest at its end in small ones), which are read faster than what
 * a page cache has scattered. Errors: also IO (not read, or cut short meanwhile).
 */
edgellm_status el_mapfile_copy(el_mapfile *map, const char *path, edgellm_error *err);

/* The same of a file that may be large. Errors: also MEMORY (more than `room` bytes). */
edgellm_status el_mapfile_copy_within(el_mapfile *map, const char *path, uint64_t room,
                                      edgellm_error *err);

/* Locks the pages if permitted, else reads them in and leaves them to the page cache. */
void el_mapfile_settle(const el_mapfile *map);

/* Instead of that, for a file that memory does not hold: it will be read from its beginning to its
 * end, again and again. */
void el_mapfile_stream(const el_mapfile *map);

void el_mapfile_close(el_mapfile *map);

#endif
