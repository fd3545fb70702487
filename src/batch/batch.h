/*
 * batch.h: a file of requests, as OpenAI's batches have them, answered some at a time, into a file
 * of answers. Requests are decoded, laid out and answered by the same code as the server's; the
 * compute thread is the server's too. This thread reads, hands over, and writes what has ended.
 */
#ifndef EL_BATCH_BATCH_H
#define EL_BATCH_BATCH_H

#include "edgellm.h"

typedef struct el_batch_counts {
    uint64_t requests;                     /* lines of the input that are not blank */
    uint64_t earlier;                      /* answered by an earlier run */
    uint64_t answered;                     /* by this one: with an answer, */
    uint64_t refused;                      /* with another status than 200, */
    uint64_t unreadable;                   /* or because the line is no request */
    uint64_t prompt_tokens, answer_tokens; /* of answered ones; usage */
} el_batch_counts;

typedef struct el_batch_options {
    const char *model, *input, *output; /* paths */
    edgellm_engine_options engine;
    edgellm_session_options session;
    uint32_t sessions; /* 1 .. EDGELLM_SCHEDULER_SLOTS */
    uint64_t seed;     /* of requests that give none */
    uint64_t max_line; /* bytes of a line of the input */
    uint32_t calibrate_ms;
    int (*interrupted)(void);
    void (*progress)(void *context, const el_batch_counts *counts); /* a few times a second */
    void *context;
} el_batch_options;

/*
 * Goes on where an earlier run of the same batch was stopped or killed (ledger.h). A line that is
 * wrong is answered with an error, and the rest goes on. *counts: filled in as far as it came.
 * jansson's memory is its own meanwhile, and malloc()'s after it. Errors: IO, MEMORY, INTERRUPTED;
 * FORMAT (a custom_id stands twice); USAGE (the output is another batch's); those of
 * edgellm_engine_open() and edgellm_scheduler_open().
 */
edgellm_status el_batch_run(const el_batch_options *options, el_batch_counts *counts,
                            edgellm_error *err);

#endif
