/*
 * swap.h: another model takes the place of the one that is served, at a signal, while requests run.
 * All of it is done by the network's thread in steps, between which it serves; what takes long is
 * done by the thread that computes (compute.h), or by one that is as nice as can be.
 *
 *   IDLE -> LOOKS    is the file another model, sound, and how much memory does it need?
 *   both fit:        PREPARES -> it is ready: new requests go to it -> RETIRES -> LEAVES -> CLOSES
 *   they do not:     DRAINS (new requests: 503) -> LEAVES -> CLOSES -> ALONE -> it is ready
 *
 * RETIRES and DRAINS last until no answer of the earlier model is in use, the kept ones of
 * WebSockets included; LEAVES, until the thread that computes has let go of it. ALONE is also how
 * the first model comes, and, if another cannot be opened there, the earlier one again.
 */
#ifndef EL_SERVER_SWAP_H
#define EL_SERVER_SWAP_H

#include <pthread.h>

#include "server/generation.h"

typedef struct el_server el_server;

typedef enum el_swap_state {
    EL_SWAP_ALONE, /* first: the server starts so */
    EL_SWAP_IDLE,
    EL_SWAP_LOOKS,
    EL_SWAP_PREPARES,
    EL_SWAP_RETIRES,
    EL_SWAP_DRAINS,
    EL_SWAP_LEAVES,
    EL_SWAP_CLOSES,
    EL_SWAP_STATES
} el_swap_state;

typedef enum el_swap_result {
    EL_SWAP_SWAPPED,
    EL_SWAP_SAME,
    EL_SWAP_KEPT,
    EL_SWAP_RESULTS
} el_swap_result;

extern const char *const el_swap_result_names[EL_SWAP_RESULTS];

typedef struct el_swap {
    el_swap_state state;
    bool is_wanted;               /* the signal came, and nothing was begun for it yet */
    bool is_exclusive;            /* both do not fit: no requests are taken until it is over */
    el_generation *next, *closed; /* in the states that have one */
    uint64_t n_models, program;   /* so many there were; bytes of the program alone */
    int file;                     /* of the earlier one, to go back to, while exclusive; -1 */
    /* the thread beside: what it does, and what came of it */
    void (*work)(el_server *server);
    pthread_t thread;
    _Atomic bool is_done;
    bool is_threaded; /* it has to be joined */
    bool is_same, fits;
    edgellm_error error; /* also: why the earlier one is loaded again */
} el_swap;

/* The thread that computes has started: it is to make the first model ready. */
void el_swap_begin(el_server *server);

/* The file may be another: to be looked at as soon as nothing else of this is under way. */
void el_swap_want(el_server *server);

/* Goes on as far as it can now; in the loop. Errors: those of a first model, or if neither another
 * nor the earlier one can be opened. */
edgellm_status el_swap_go_on(el_server *server, edgellm_error *err);

/* In how many seconds requests will be taken, while it is exclusive. */
uint32_t el_swap_retry_after(const el_server *server);

/* Ends what the thread beside does. */
void el_swap_close(el_server *server);

#endif
