/*
 * pace.h: how a real-time thread stays below the throttle (throttle.h): it leaves the share of time
 * that would be taken back, at moments of its own choice, between two tokens. What it owes grows
 * with the time it computes; what it slept counts. One millisecond is left at a time, so a gap
 * between tokens grows by that instead of by 50 ms.
 *
 * Two ways to leave time: to sleep, which costs it always, or to go on as an ordinary thread of
 * nice -20 (lending), which costs it only if somebody wants it. Before a batch of a prompt, which
 * is far longer than what is owed, it sleeps in any case. Both are counted as left, by the
 * throttle and by the fair server.
 *
 * While an answer has a deadline, a little of what is owed is put off until it has ended
 * (EL_PACE_PUT_OFF), so that the answer does not wait for others just then.
 *
 * Time lent in advance counts only so far (EL_PACE_CREDIT): the kernel counts within periods of a
 * second, which may begin just after it.
 *
 * Only arithmetic: the times are arguments.
 */
#ifndef EL_BASE_PACE_H
#define EL_BASE_PACE_H

#include <stdbool.h>

#include "base/clock.h"

typedef enum el_pace_kind { EL_PACE_NONE, EL_PACE_LEND, EL_PACE_SLEEP } el_pace_kind;

typedef enum el_pace_step {
    EL_PACE_GO_ON, /* nothing to do */
    EL_PACE_LEAVE, /* lent: become ordinary; else: sleep for el_pace_pause() */
    EL_PACE_RETURN /* lending: become real-time again */
} el_pace_step;

#define EL_PACE_QUANTUM 1000000 /* nanoseconds that are left at a time, or a little more */
#define EL_PACE_MARGIN  20 /* thousandths left beyond the share: clocks and wake-ups are late */
#define EL_PACE_PUT_OFF 8000000  /* at most so much of the debt */
#define EL_PACE_CREDIT  10000000 /* a long token lent pays for at most so many nanoseconds */

typedef struct el_pace {
    el_pace_kind kind;
    unsigned share;           /* thousandths of the time to leave, with the margin */
    bool lent;                /* ordinary at present */
    bool put_off;             /* the caller's: not now, if it can wait */
    bool long_ahead;          /* the caller's: what follows is long; who lends it waits often */
    int64_t debt;             /* nanoseconds to leave; negative: left in advance */
    el_nanoseconds wall, cpu; /* when the debt was counted; the thread's own time then */
} el_pace;

/* share: as el_throttle_share() states it. 0: NONE, whatever the kind. */
el_pace el_pace_begin(el_pace_kind kind, unsigned share, el_nanoseconds wall, el_nanoseconds cpu);

/* Could there be something to do? Errs on the side of yes; costs nothing. */
bool el_pace_due(const el_pace *pace, el_nanoseconds wall);

/* Nanoseconds of the debt that have no time. */
int64_t el_pace_pause(const el_pace *pace);

/* Counts the time since the last call. */
el_pace_step el_pace_count(el_pace *pace, el_nanoseconds wall, el_nanoseconds cpu);

#endif
