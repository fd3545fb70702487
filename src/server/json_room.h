/*
 * json_room.h: jansson's memory in the server: one room made before the start, from which all of a
 * request's JSON is taken, and which is empty again when that was read. jansson has one allocator a
 * process, so this is one of the variables that the program cannot do without. It is the room of
 * the thread that opened it; what others do with jansson (they read a certificate) takes
 * malloc()'s.
 */
#ifndef EL_SERVER_JSON_ROOM_H
#define EL_SERVER_JSON_ROOM_H

#include "edgellm.h"

/* From here on jansson takes its memory from a room of so many bytes. Nothing that it made before
 * may be released after. Errors: MEMORY. */
edgellm_status el_json_room_open(size_t bytes, edgellm_error *err);

/* Nothing in it is needed any more. */
void el_json_room_empty(void);

/* Bytes that are taken: nothing is given back until all is. */
size_t el_json_room_used(void);

/* jansson takes its memory from malloc() again. */
void el_json_room_close(void);

#endif
