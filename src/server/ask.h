/*
 * ask.h: the body of a request to OpenAI's interface or to Ollama's, from bytes to a struct. Pure:
 * nothing is asked of the system but memory for jansson, whose room is known beforehand
 * (json_limits.h). What is not understood and would change the answer is refused with its name;
 * null is as not given.
 */
#ifndef EL_SERVER_ASK_H
#define EL_SERVER_ASK_H

#include <jansson.h>

#include "server/problem.h"
#include "server/stops.h"

enum { EL_ASK_MESSAGES = 512 };

typedef enum el_ask_form {
    EL_ASK_CHAT = 1,            /* messages */
    EL_ASK_COMPLETION = 2,      /* a prompt */
    EL_ASK_OLLAMA_CHAT = 4,     /* messages; none: nothing to compute */
    EL_ASK_OLLAMA_GENERATE = 8, /* a prompt, laid out as messages unless it is raw; likewise */
    EL_ASK_OLLAMA_SHOW = 16,    /* a model */
    EL_ASK_STREAM = 32,         /* a message of a WebSocket (stream.h): `act` says which */
} el_ask_form;

/* What a message of a WebSocket wants. */
typedef enum el_ask_act {
    EL_ASK_REQUEST,  /* as CHAT or COMPLETION; has `id` */
    EL_ASK_CANCEL,   /* has `id` */
    EL_ASK_DEADLINE, /* has `id` and deadline_ms */
    EL_ASK_RESUME,   /* has `resume` and `from` */
    EL_ASK_PING,
    EL_ASK_ACTS
} el_ask_act;
enum { EL_ASK_ID_BYTES = 64 };

/* What an answer has to keep to. */
typedef enum el_keeps {
    EL_KEEPS_NOTHING,
    EL_KEEPS_GRAMMAR, /* `grammar` */
    EL_KEEPS_SCHEMA,  /* `schema` */
    EL_KEEPS_OBJECT   /* any JSON object */
} el_keeps;

typedef struct el_ask {
    el_ask_form form;
    uint32_t n_messages;                       /* 0: a text that goes on */
    edgellm_message messages[EL_ASK_MESSAGES]; /* (n_messages), in `root` */
    const char *model, *prompt, *system;       /* in `root`; NULL: not given */
    size_t prompt_len;
    edgellm_sampler_options sampler; /* but for the seed, if there is none */
    bool has_seed;
    uint32_t max_tokens;  /* 0: as many as there is room for */
    uint32_t deadline_ms; /* 0: none */
    uint32_t num_ctx;     /* tokens of context that it counts on; 0: nothing was said */
    bool stream, include_usage, ignore_eos, raw, logprobs;
    el_ask_act act;
    const char *id, *resume; /* in `root`; NULL: not given. id: 1 .. EL_ASK_ID_BYTES bytes */
    uint32_t from;           /* a token's index */
    el_stop_list stops;
    el_keeps keeps;
    const char *keeps_field; /* where that was said */
    const char *grammar;     /* in `root` */
    const json_t *schema;    /* likewise */
    json_t *root;            /* owned */
} el_ask;

/*
 * Reads a body. False: *problem says what is wrong and where. In both cases release it. Among the
 * kinds: REQUEST, BODY (too many values), INTERNAL (no memory).
 */
bool el_ask_read(el_ask *ask, el_ask_form form, const char *body, size_t len, el_problem *problem);
/* The same of an object that was parsed already, which it takes over. */
bool el_ask_read_object(el_ask *ask, el_ask_form form, json_t *object, el_problem *problem);

void el_ask_release(el_ask *ask);

/* It asks for no tokens. */
static inline bool el_ask_is_empty(const el_ask *ask)
{
    return ask->n_messages == 0 && ask->prompt_len == 0;
}

#endif
