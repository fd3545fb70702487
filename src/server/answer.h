/*
 * answer.h: an answer on its way from tokens to bytes. It knows no network: bytes go where there is
 * room, as many as there is room for, and what a slow reader has not had yet stays tokens. How it
 * looks is a wire: a new interface is a table of functions like those of openai_wire.c and
 * ollama_wire.c.
 *
 * A request may have several answers, its choices (choices.h): a list, of which the first stands
 * for all. Each is written by itself; only within a piece nobody else is.
 */
#ifndef EL_SERVER_ANSWER_H
#define EL_SERVER_ANSWER_H

#include "server/logprobs.h"
#include "server/out.h"
#include "server/problem.h"
#include "server/reader.h"
#include "server/tasks.h"

typedef struct el_wire {
    const char *content_type;
    bool streams; /* it begins with the first token; else when the answer is whole */
    /* of each choice; of a whole answer one after the other */
    void (*begin)(const el_answer *answer, el_out *out);
    void (*piece)(const el_answer *answer, const char *text, size_t len, el_out *out);
    void (*end)(const el_answer *answer, el_out *out);
    /* of the request, after something has begun */
    void (*fail)(const el_answer *answer, const el_problem *problem, el_out *out);
    /* Of a choice that `tells` more than a text: what stands behind the text of a piece, or behind
     * all of a whole answer's; as much of it as there is room for. True: it is over. NULL: nothing
     * ever does. */
    bool (*details)(el_answer *answer, el_out *out);
    /* Calls of tools, behind all text: the last of calls->n begins; its arguments, or a part of
     * them; it has ended. NULL: there are none. */
    void (*call)(const el_answer *answer, const el_calls *calls, el_out *out);
    void (*arguments)(const el_answer *answer, const el_calls *calls, const char *text, size_t len,
                      el_out *out);
    void (*call_end)(const el_answer *answer, el_out *out);
    bool whole_calls; /* a call is written when all of it is there, or not at all */
} el_wire;

/* What any of these may write at once. */
enum { EL_ANSWER_ROOM = 16384 };

static inline bool el_answer_has_room(const el_out *out)
{
    return out->room - out->used >= EL_ANSWER_ROOM;
}

struct el_answer {
    const el_wire *wire;
    const edgellm_engine *engine;
    el_tasks *tasks;
    el_task *task;                   /* NULL: there is none, or it is done with */
    const char *model, *fingerprint; /* as told */
    char id[40];
    int64_t created; /* seconds since 1970 */
    el_stop_list stops;
    const el_call_form *call_form; /* NULL: it calls no tools */
    bool only_first_calls;         /* el_calls.only_first */
    bool include_usage, ignore_eos;
    bool tells_cached;       /* usage says what was there already: it depends on who came before */
    uint32_t deadline_ms;    /* as asked for; 0: none */
    uint32_t index;          /* among the choices */
    bool tells;              /* details: log-probabilities, or an embedding */
    el_logprobs logprobs;    /* how far they are told */
    bool is_base64;          /* an embedding is told so ... */
    uint32_t n_numbers;      /* ... of which so many are written */
    el_answer *first, *next; /* of the choices; next NULL: the last */
    el_answer *current;      /* of the first: whose turn it is to be written */
    el_reader ahead;         /* goes on as soon as tokens come */
    el_reader written;       /* follows as there is room */
    uint32_t no_call_at;     /* so many tokens of `ahead` end with no call open */
    bool has_begun, has_ended, has_failed;
    bool is_sent;       /* of the first: something of the request is written */
    bool has_closed;    /* its end is written */
    bool is_telling;    /* the details of a piece are not all written */
    bool is_calling;    /* the calls in the last token are not */
    bool has_told;      /* those of a whole answer are */
    bool is_cancelled;  /* who asked wants no more of it: then its end is no failure */
    uint32_t n_text;    /* tokens of it that are text, once it has ended */
    const char *finish; /* "stop", "length" or "cancelled", likewise */
    uint64_t last_ns;   /* when the last of its tokens was there, likewise */
    el_problem problem; /* if it has failed */
};

/* All but what stands before `first` is the caller's to set; then this. The only choice, so far. */
void el_answer_open(el_answer *answer);

/* One more choice, open, behind `last`. */
void el_answer_add(el_answer *last, el_answer *choice);

/* Looks at what has come since. Is there something to write? If one choice fails all do; where
 * there is a deadline nothing is written before each has been accepted. */
bool el_answer_look(el_answer *answer);

/* Writes what there is room for; true: it is over. Not before el_answer_look() said so; not if it
 * has failed before it began. */
bool el_answer_write(el_answer *answer, el_out *out);

/* Nobody wants it any more, or it is over. */
void el_answer_close(el_answer *answer);

/* ---- for wires ----------------------------------------------------------------------------- */

/* Of all choices, which have ended. */
typedef struct el_answer_times {
    uint64_t queue_ns, prompt_ns, answer_ns; /* waited for a slot; to the first token; from it on */
} el_answer_times;

el_answer_times el_answer_times_of(const el_answer *answer);

/* Tokens of all choices. */
uint32_t el_answer_tokens(const el_answer *answer);

/* All choices but this one are written. */
bool el_answer_is_last(const el_answer *answer);

/* ,"deadline":{...}; nothing if there was none. */
void el_answer_write_deadline(const el_answer *answer, el_out *out);

#endif
