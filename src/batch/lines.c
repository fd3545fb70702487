#include "batch/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fnv.h"

enum { AT_ONCE = 65536 }; /* bytes beyond the room */

static void start(el_lines *lines)
{
    lines->begin = lines->end = 0;
    lines->is_over = false;
}

edgellm_status el_lines_open(el_lines *lines, int fd, const char *path, size_t room,
                             edgellm_error *err)
{
    *lines = (el_lines){.path = path, .fd = fd, .room = room, .size = room + AT_ONCE};
    lines->hash = EDGELLM_HASH_START;
    lines->buffer = malloc(lines->size);
    if (lines->buffer) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for lines of %zu bytes", room);
}

void el_lines_close(el_lines *lines)
{
    free(lines->buffer);
    lines->buffer = NULL;
}

static edgellm_status cannot_read(const el_lines *lines, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", lines->path, strerror(errno));
}

edgellm_status el_lines_seek(el_lines *lines, uint64_t at, uint64_t number, edgellm_error *err)
{
    if (lseek(lines->fd, (off_t)at, SEEK_SET) < 0) return cannot_read(lines, err);
    start(lines);
    lines->at = at;
    lines->number = number - 1;
    return EDGELLM_OK;
}

/* Reads more behind what is there, which moves to the front. */
static edgellm_status read_more(el_lines *lines, edgellm_error *err)
{
    memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
    lines->end -= lines->begin;
    lines->begin = 0;
    for (;;) {
        const ssize_t n = read(lines->fd, lines->buffer + lines->end, lines->size - lines->end);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_read(lines, err);
        lines->is_over = n == 0;
        lines->end += (size_t)n;
        return EDGELLM_OK;
    }
}

/* Bytes of the line, from `from` to `to` behind `begin`, are looked at once. */
static void look_at(el_lines *lines, el_line *line, size_t from, size_t to)
{
    const char *bytes = lines->buffer + lines->begin + from;
    if (to == from) return;
    if (memchr(bytes, '\0', to - from)) line->has_nul = true;
    line->last = bytes[to - from - 1];
    line->next += to - from;
    lines->hash = el_fnv(lines->hash, bytes, to - from);
}

/* How far the line goes in what is there. */
static size_t reach(const el_lines *lines, size_t from, bool *has_end)
{
    const size_t there = lines->end - lines->begin;
    const char *begin = lines->buffer + lines->begin;
    const char *feed = there > from ? memchr(begin + from, '\n', there - from) : NULL;
    *has_end = feed != NULL;
    return feed ? (size_t)(feed - begin) : there;
}

/* Gives out what was looked at, and the line feed. */
static void give_out(el_lines *lines, el_line *line, size_t len)
{
    line->is_cut |= len > lines->room;
    line->text = lines->buffer + lines->begin;
    line->len = len < lines->room ? len : lines->room;
    if (line->has_end) {
        lines->hash = el_fnv(lines->hash, "\n", 1);
        line->next++;
    }
    lines->begin += len + (line->has_end ? 1 : 0);
    lines->at = line->next;
    lines->number++;
}

edgellm_status el_lines_next(el_lines *lines, el_line *line, bool *any, edgellm_error *err)
{
    size_t seen = 0, len;
    *line = (el_line){.number = lines->number + 1, .at = lines->at, .next = lines->at};
    for (;;) {
        len = reach(lines, seen, &line->has_end);
        look_at(lines, line, seen, len);
        if (line->has_end || lines->is_over) break;
        seen = len;
        if (len > lines->room) { /* what goes beyond makes place for more */
            line->is_cut = true;
            seen = lines->room;
            lines->end = lines->begin + seen;
        }
        EL_TRY(read_more(lines, err));
    }
    *any = line->has_end || line->next > line->at;
    if (*any) give_out(lines, line, len);
    return EDGELLM_OK;
}
