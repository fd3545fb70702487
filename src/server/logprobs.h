/*
 * logprobs.h: how probable the tokens of an answer were, and which others were, as OpenAI's
 * interface and Ollama's tell it. What is told of one token may be long, so it is written in steps,
 * each where there is room for it (EL_ANSWER_ROOM).
 */
#ifndef EL_SERVER_LOGPROBS_H
#define EL_SERVER_LOGPROBS_H

#include "edgellm.h"
#include "server/out.h"

typedef struct el_answer el_answer;

/* How far those of an answer are told. */
typedef struct el_logprobs {
    uint32_t before; /* characters of the prompt */
    uint32_t told;   /* tokens that were told */
    /* within an object, of the tokens from there to those that were written */
    bool is_open;
    uint32_t part, at, step; /* of its lists, of their tokens, of what is told of those */
    /* the text of the tokens that were told */
    uint32_t chars;
    edgellm_stream stream;
} el_logprobs;

/* An object for the tokens that were written since the last, or null; as much of it as there is
 * room for; there is for its beginning. True: that was all of it. */
bool el_logprobs_write_chat(el_answer *answer, el_out *out);
bool el_logprobs_write_completion(el_answer *answer, el_out *out);
bool el_logprobs_write_ollama(el_answer *answer, el_out *out); /* a list */

/* Characters of a text; each byte that is no UTF-8 counts as one. */
uint32_t el_logprobs_chars(const char *text, size_t len);

#endif
