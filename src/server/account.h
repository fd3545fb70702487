/*
 * account.h: what is left of a request when it is over: numbers and names of ours, nothing of its
 * text. From it /metrics counts and the log has its line. Whatever serves requests makes one.
 */
#ifndef EL_SERVER_ACCOUNT_H
#define EL_SERVER_ACCOUNT_H

#include "server/answer.h"
#include "server/routes.h"

typedef struct el_server el_server;

typedef enum el_deadline_result {
    EL_DEADLINE_NONE,      /* it had none, or left while it waited */
    EL_DEADLINE_MET,       /* the last token was there in time */
    EL_DEADLINE_MISSED,    /* `late_ns` tells by how much */
    EL_DEADLINE_ABANDONED, /* accepted, but cut short: the client left, or the server */
    EL_DEADLINE_REFUSED,
    EL_DEADLINE_RESULTS
} el_deadline_result;

extern const char *const el_deadline_result_names[EL_DEADLINE_RESULTS];

typedef struct el_account {
    const el_route *route; /* NULL: there is none */
    unsigned status;       /* of HTTP; 0: none was sent */
    bool is_whole;         /* all of the reply went out */
    uint64_t asked_ns;     /* all of the request was there; or its head, if it never was */
    uint64_t ended_ns;
    /* of an answer; all 0 if there was none */
    bool has_begun;    /* it had a session */
    bool was_computed; /* to its end */
    bool has_failed;
    uint32_t prompt_tokens;      /* 0: its first token never came */
    uint32_t answer_tokens;      /* as in usage */
    uint64_t queue_ns, first_ns; /* to a session; to the first token; from asked_ns on */
    uint32_t deadline_ms;
    el_deadline_result deadline;
    uint64_t late_ns;
} el_account;

/* Fills in what there is of an answer, whose task must not be given back yet: of all choices, but
 * the deadline, which is that of the first. */
void el_account_answer(el_account *account, const el_answer *answer);

/* Its deadline alone, of one choice. */
void el_account_judge(el_account *account, const el_answer *choice);

/* "done", "refused", "failed", "gone" (the client was, before the end). */
const char *el_account_outcome(const el_account *account);

#endif
