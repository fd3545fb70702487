#include "server/json_room.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/error.h"

static char *room; /* aligned as malloc() aligns */
static size_t size, used;

static void *take(size_t bytes)
{
    const size_t unit = _Alignof(max_align_t);
    if (bytes > size - used || size - used - bytes < unit) return NULL;
    void *memory = room + used;
    used += (bytes + unit - 1) / unit * unit;
    return memory;
}

static void release(void *memory)
{
    (void)memory; /* with all others, by el_json_room_empty() */
}

edgellm_status el_json_room_open(size_t bytes, edgellm_error *err)
{
    room = malloc(bytes);
    if (!room) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %zu bytes of JSON", bytes);
    size = bytes;
    used = 0;
    json_set_alloc_funcs(take, release);
    return EDGELLM_OK;
}

void el_json_room_empty(void)
{
    used = 0;
}

size_t el_json_room_used(void)
{
    return used;
}

void el_json_room_close(void)
{
    json_set_alloc_funcs(malloc, free);
    free(room);
    room = NULL;
    size = used = 0;
}
