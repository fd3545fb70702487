/*
 * realtime.h: makes a crew and its owner as real-time as the system permits, says what it got, and
 * puts everything back. Nothing here fails: what is refused is a line of the report.
 *
 *   lock    code, stacks and the ranges given, which brings them in too
 *   pin     one member to a core, the best cores first (cores.h)
 *   policy  each that is permitted is tried beside a busy thread (trial.h), the most even is kept
 *   border  between tokens: leaves what the kernel would take (pace.h); makes a system call only
 *           when something is due, never if nothing would be taken
 */
#ifndef EL_BASE_REALTIME_H
#define EL_BASE_REALTIME_H

#include "base/memlock.h"
#include "base/threads.h"

typedef struct el_realtime el_realtime;

/* Takes the memory, which begins as zeroes; NULL while measuring. */
el_realtime *el_realtime_layout(el_arena *arena);

/* One more range to keep in place; counted in the report. */
void el_realtime_lock(el_realtime *rt, const void *at, size_t bytes);

/* Called once, by the owner of the crew, which is its member 0. */
void el_realtime_start(el_realtime *rt, el_crew *crew);

/* rt may be NULL. long_ahead: what follows is longer than a token. */
void el_realtime_border(el_realtime *rt, bool long_ahead);

/* Something with a deadline is being computed, or no longer: what is owed has time until then. */
void el_realtime_put_off(el_realtime *rt, bool put_off);

const edgellm_realtime *el_realtime_report(const el_realtime *rt);

/* Puts back the owner's policy and cores, unless somebody else has changed them meanwhile, and lets
 * the memory go. Before el_crew_stop(). rt may be NULL. */
void el_realtime_stop(el_realtime *rt);

#endif
