#include "server/json_room.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"

static char *room; /* aligned as malloc() aligns */
static size_t size, used;
static pthread_t owner;

static void *take(size_t bytes)
{
    const size_t unit = _Alignof(max_align_t);
    if (!pthread_equal(pthread_self(), owner)) return malloc(bytes);
    if (bytes > size - used || size - used - bytes < unit) return NULL;
    void *memory = room + used;
    used += (bytes + unit - 1) / unit * unit;
    return memory;
}

/* What is in the room goes with all others, by el_json_room_empty(). */
static void release(void *memory)
{
    const char *at = memory;
    if (at < room || at >= room + size) free(memory);
}

edgellm_status el_json_room_open(size_t bytes, edgellm_error *err)
{
    room = malloc(bytes);
    if (!room) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %zu bytes of JSON", bytes);
    size = bytes;
    used = 0;
    owner = pthread_self();
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
