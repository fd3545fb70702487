/*
 * answer.h: an answer on its way from tokens to bytes. It knows no network: bytes go where there is
 * room, as many as there is room for, and what a slow reader has not had yet stays tokens. How it
 * looks is a wire: a new interface is a table of functions like those of openai_wire.c and
 * ollama_wire.c.
 */
#ifndef EL_SERVER_ANSWER_H
#define EL_SERVER_ANSWER_H

#include "server/out.h"
#include "server/problem.h"
#include "server/reader.h"
#include "server/tasks.h"

typedef struct el_answer el_answer;

typedef struct el_wire {
    const char *content_type;
    bool streams; /* it begins with the first token; else when the answer is whole */
    void (*begin)(const el_answer *answer, el_out *out);
    void (*piece)(const el_answer *answer, const char *text, size_t len, el_out *out);
    void (*end)(const el_answer *answer, el_out *out);
    void (*fail)(const el_answer *answer, const el_problem *problem, el_out *out); /* after begin */
    /* Calls of tools, behind all text: the last of calls->n begins; its arguments, or a part of
     * them; it has ended. NULL: there are none. */
    void (*call)(const el_answer *answer, const el_calls *calls, el_out *out);
    void (*arguments)(const el_answer *answer, const el_calls *calls, const char *text, size_t len,
                      el_out *out);
    void (*call_end)(const el_answer *answer, el_out *out);
    bool whole_calls; /* a call is written when all of it is there, or not at all */
} el_wire;

/* What any of these may write at once. */
enum { EL_ANSWER_ROOM = 12288 };

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
    bool tells_cached;    /* usage says what was there already: it depends on who came before */
    uint32_t deadline_ms; /* as asked for; 0: none */
    el_reader ahead;      /* goes on as soon as tokens come */
    el_reader written;    /* follows as there is room */
    uint32_t no_call_at;  /* so many tokens of `ahead` end with no call open */
    bool has_begun, has_ended, has_failed;
    bool is_cancelled;  /* who asked wants no more of it: then its end is no failure */
    uint32_t n_text;    /* tokens of it that are text, once it has ended */
    const char *finish; /* "stop", "length" or "cancelled", likewise */
    uint64_t last_ns;   /* when the last of its tokens was there, likewise */
    el_problem problem; /* if it has failed */
};

/* All but what stands before `ahead` is the caller's to set; then this. */
void el_answer_open(el_answer *answer);

/* Looks at what has come since. Is there something to write? */
bool el_answer_look(el_answer *answer);

/* Writes what there is room for; true: it is over. Not before el_answer_look() said so; not if it
 * has failed before it began. */
bool el_answer_write(el_answer *answer, el_out *out);

/* Nobody wants it any more, or it is over. */
void el_answer_close(el_answer *answer);

/* ---- for wires ----------------------------------------------------------------------------- */

/* Of an answer that has ended. */
typedef struct el_answer_times {
    uint64_t queue_ns, prompt_ns, answer_ns; /* waited for a slot; to the first token; from it on */
} el_answer_times;

el_answer_times el_answer_times_of(const el_answer *answer);

/* ,"deadline":{...}; nothing if there was none. */
void el_answer_write_deadline(const el_answer *answer, el_out *out);

#endif
