/*
 * envelope.h: a line of a batch, as OpenAI has it: {"custom_id", "method", "url", "body"}. What is
 * in the body is ask.h's.
 */
#ifndef EL_BATCH_ENVELOPE_H
#define EL_BATCH_ENVELOPE_H

#include <jansson.h>

#include "batch/lines.h"
#include "server/answer.h"
#include "server/ask.h"

enum { EL_ENVELOPE_ID = 512 }; /* bytes of a custom_id, at most */

/* What may be asked for. */
typedef struct el_batch_url {
    const char *url;
    el_ask_form form;
    const char *id; /* what the names of its answers begin with */
    const el_wire *wire;
} el_batch_url;

typedef struct el_envelope {
    json_t *root;          /* owned */
    const char *custom_id; /* in `root`; NULL: there is none that is sound */
    const el_batch_url *url;
    json_t *body; /* in `root`: an object */
} el_envelope;

/* Why a line is no request; "code" and "message" of its "error". */
typedef struct el_envelope_fault {
    const char *code;
    char message[320];
} el_envelope_fault;

/* Nothing but white space. */
bool el_envelope_is_blank(const el_line *line);

/* False: *fault says why it is none; custom_id may be there all the same. In both cases release it.
 */
bool el_envelope_read(el_envelope *envelope, const el_line *line, el_envelope_fault *fault);
void el_envelope_release(el_envelope *envelope);

#endif
