/*
 * problem.h: why a request is not answered, as OpenAI's interface tells it, a status of HTTP and an
 * object "error" with message, type, param and code, or as Ollama's does. A kind is a row of a
 * table.
 */
#ifndef EL_SERVER_PROBLEM_H
#define EL_SERVER_PROBLEM_H

#include "edgellm.h"
#include "server/out.h"

typedef enum el_problem_kind {
    EL_PROBLEM_REQUEST,  /* 400: `param` names the field */
    EL_PROBLEM_CONTEXT,  /* 400: the prompt is too long */
    EL_PROBLEM_KEY,      /* 401 */
    EL_PROBLEM_ORIGIN,   /* 403: a web page of another place */
    EL_PROBLEM_HOST,     /* 403 */
    EL_PROBLEM_ROUTE,    /* 404 */
    EL_PROBLEM_MODEL,    /* 404: there is another model */
    EL_PROBLEM_METHOD,   /* 405 */
    EL_PROBLEM_BUSY,     /* 409: a slot cannot be saved or restored now */
    EL_PROBLEM_LENGTH,   /* 411 */
    EL_PROBLEM_BODY,     /* 413 */
    EL_PROBLEM_MEDIA,    /* 415 */
    EL_PROBLEM_DEADLINE, /* 422: has a forecast */
    EL_PROBLEM_UPGRADE,  /* 426 */
    EL_PROBLEM_QUEUE,    /* 429: has retry_after */
    EL_PROBLEM_INTERNAL, /* 500 */
    EL_PROBLEM_LOADING,  /* 503 */
    EL_PROBLEM_STOPPING, /* 503 */
    EL_PROBLEM_KINDS
} el_problem_kind;

typedef struct el_problem {
    el_problem_kind kind;
    char param[192]; /* the field; "": none */
    char message[480];
    bool has_forecast;
    edgellm_forecast forecast;
    unsigned retry_after; /* seconds; 0: nobody knows */
} el_problem;

/* Fills it in. param: NULL or "" if no field is to blame. Returns false. */
bool el_problem_set(el_problem *problem, el_problem_kind kind, const char *param,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

unsigned el_problem_status(const el_problem *problem);

/* {"error": {...}} */
void el_problem_write(const el_problem *problem, el_out *out);

/* As Ollama has it: {"error": the message}; the field and the forecast, if any, stand beside it. */
void el_problem_write_flat(const el_problem *problem, el_out *out);

#endif
