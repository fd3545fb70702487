#include "batch/census.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"
#include "batch/envelope.h"
#include "server/json_room.h"

/* A custom_id that was seen. */
typedef struct seen {
    uint64_t hash, at, number; /* of the id; of its line */
} seen;

typedef struct list {
    seen *ids; /* (n) */
    size_t n, room;
} list;

/* ---- walking ------------------------------------------------------------------------------- */

static edgellm_status add(list *l, const el_line *line, const char *id, edgellm_error *err)
{
    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 1024;
        seen *more = realloc(l->ids, room * sizeof *more);
        if (!more) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %zu custom_ids", room);
        l->ids = more;
        l->room = room;
    }
    l->ids[l->n++] = (seen){el_fnv(EDGELLM_HASH_START, id, strlen(id)), line->at, line->number};
    return EDGELLM_OK;
}

static edgellm_status note(list *l, const el_line *line, edgellm_error *err)
{
    el_envelope envelope;
    el_envelope_fault fault;
    edgellm_status status = EDGELLM_OK;
    (void)el_envelope_read(&envelope, line, &fault); /* what is wrong is told in its place */
    if (envelope.custom_id) status = add(l, line, envelope.custom_id, err);
    el_envelope_release(&envelope);
    el_json_room_empty();
    return status;
}

static edgellm_status walk(el_census *census, list *l, el_lines *lines, int (*interrupted)(void),
                           edgellm_error *err)
{
    el_line line;
    bool any;
    for (;;) {
        EL_TRY(el_lines_next(lines, &line, &any, err));
        if (!any) break;
        census->lines++;
        if (interrupted() != 0) return el_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        if (el_envelope_is_blank(&line)) continue;
        census->requests++;
        EL_TRY(note(l, &line, err));
    }
    census->hash = lines->hash;
    return EDGELLM_OK;
}

/* ---- the same twice ------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    const seen *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static edgellm_status read_id(el_lines *lines, const seen *where, char id[EL_ENVELOPE_ID + 1],
                              edgellm_error *err)
{
    el_line line;
    el_envelope envelope = {0};
    el_envelope_fault fault;
    bool any;
    EL_TRY(el_lines_seek(lines, where->at, where->number, err));
    EL_TRY(el_lines_next(lines, &line, &any, err));
    if (any) (void)el_envelope_read(&envelope, &line, &fault);
    const bool is_there = envelope.custom_id != NULL;
    snprintf(id, EL_ENVELOPE_ID + 1, "%s", is_there ? envelope.custom_id : "");
    el_envelope_release(&envelope);
    el_json_room_empty();
    if (is_there) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "'%.300s' has changed while it was read", lines->path);
}

/* Two ids of the same hash: are they the same? */
static edgellm_status check_pair(el_lines *lines, const seen *a, const seen *b, edgellm_error *err)
{
    char one[EL_ENVELOPE_ID + 1], other[EL_ENVELOPE_ID + 1];
    EL_TRY(read_id(lines, a, one, err));
    EL_TRY(read_id(lines, b, other, err));
    if (strcmp(one, other) != 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "'%.120s' has the custom_id '%.120s' twice, in lines %" PRIu64 " and %" PRIu64
                   ": each request needs one of its own; nothing was computed",
                   lines->path, one, a->number, b->number);
}

static edgellm_status check_all(list *l, el_lines *lines, edgellm_error *err)
{
    if (l->n > 1) qsort(l->ids, l->n, sizeof *l->ids, compare);
    for (size_t i = 0; i + 1 < l->n; i++)
        for (size_t j = i + 1; j < l->n && l->ids[j].hash == l->ids[i].hash; j++)
            EL_TRY(check_pair(lines, &l->ids[i], &l->ids[j], err));
    return EDGELLM_OK;
}

edgellm_status el_census_take(el_census *census, el_lines *lines, int (*interrupted)(void),
                              edgellm_error *err)
{
    list l = {NULL, 0, 0};
    *census = (el_census){0};
    edgellm_status status = walk(census, &l, lines, interrupted, err);
    if (status == EDGELLM_OK) status = check_all(&l, lines, err);
    free(l.ids);
    return status;
}
