/*
 * reader.h: from the tokens of an answer to the text that may be shown: whole characters, up to the
 * first stop text or call of a tool, and the parts of the calls. Two readers go along each answer,
 * one to find its end as soon as it is there, one to write; what they see is the same.
 */
#ifndef EL_SERVER_READER_H
#define EL_SERVER_READER_H

#include "edgellm.h"
#include "server/calls.h"
#include "server/stops.h"

/* Start with {.stops = ...}, and .calls where there may be some. */
typedef struct el_reader {
    const el_stop_list *stops;
    edgellm_stream stream;
    el_stop_search search;
    el_calls calls;
    const char *call; /* (call_len) of the last token, what belongs to calls */
    size_t call_len;
    uint32_t at; /* tokens that were read */
    char room[EL_STOP_BYTES + EL_CALLS_HELD + EDGELLM_STREAM_BYTES];
} el_reader;

/* Reads one token; the text that is certain now, in *text until the next call. */
size_t el_reader_push(el_reader *reader, const edgellm_engine *engine, uint32_t token,
                      const char **text);

/* The parts of calls that came with that token, one after the other, until NONE; before the next.
 */
el_call_part el_reader_call(el_reader *reader, const char **piece, size_t *len);

/* The answer has ended: two pieces may be left, so it is called until it gives 0. */
size_t el_reader_flush(el_reader *reader, const char **text);

#endif
