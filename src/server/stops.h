/*
 * stops.h: texts that end an answer. They are looked for in its text, not in its tokens, so that
 * one that begins within a token and ends within another is found too; and no part of one is given
 * out: what may be the beginning of one is held back until that is known. Pure: no memory but the
 * caller's.
 */
#ifndef EL_SERVER_STOPS_H
#define EL_SERVER_STOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EL_STOPS      8   /* of a request */
#define EL_STOP_BYTES 128 /* of each */

typedef struct el_stop_list {
    uint32_t n;
    uint32_t len[EL_STOPS]; /* 1 .. EL_STOP_BYTES */
    char text[EL_STOPS][EL_STOP_BYTES];
} el_stop_list;

/* Start with {0}. */
typedef struct el_stop_search {
    char held[EL_STOP_BYTES]; /* the end of the text so far, where one of them may begin */
    uint32_t n_held;
    bool found; /* the text has ended */
} el_stop_search;

/*
 * Takes the next `len` bytes, which stand at text + EL_STOP_BYTES: the room before them is used for
 * what was held back. Gives back what can be given out: *out points into the room, the length is
 * returned. After one was found everything is swallowed. Of several that end with the text in hand
 * the one that begins first counts.
 */
size_t el_stop_push(const el_stop_list *stops, el_stop_search *search, char *text, size_t len,
                    const char **out);

/* The text has ended without one: gives back what was held, in *out. */
size_t el_stop_flush(el_stop_search *search, const char **out);

#endif
