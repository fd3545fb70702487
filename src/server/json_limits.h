/*
 * json_limits.h: how much there is in a JSON text, before anybody parses it: how deep it nests and
 * how many values it may hold, so that its parser's memory is known beforehand. Pure.
 */
#ifndef EL_SERVER_JSON_LIMITS_H
#define EL_SERVER_JSON_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum { EL_JSON_DEPTH = 32, EL_JSON_VALUES = 8192 };

typedef struct el_json_extent {
    uint32_t depth;  /* the deepest nesting of brackets and braces */
    uint32_t values; /* at least as many as there are, member names included */
} el_json_extent;

/* Any bytes. Both numbers stop counting at UINT32_MAX. */
el_json_extent el_json_measure(const char *text, size_t len);

/* Bytes that jansson needs for such a text at most. */
static inline size_t el_json_room(size_t len, size_t values)
{
    return 8 * len + 512 * values + 4096;
}

#endif
