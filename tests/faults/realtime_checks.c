#include "faults/realtime_checks.h"

#include <string.h>

#include "base/trial.h"

/* All policies are equally even, at once: the first that is permitted is taken. */
el_trial __wrap_el_trial_measure(void (*border)(void *context), void *context);
el_trial __wrap_el_trial_measure(void (*border)(void *context), void *context)
{
    border(context);
    return (el_trial){.worst = 1000000, .length = EL_TRIAL_LENGTH};
}

bool has_note(const edgellm_realtime *r, const char *begin)
{
    for (uint32_t i = 0; i < r->n_notes; i++)
        if (strncmp(r->notes[i], begin, strlen(begin)) == 0) return true;
    return false;
}

void check_report(const edgellm_session *session)
{
    edgellm_realtime r;
    el_policy now;
    char words[sizeof r.policy];
    edgellm_session_realtime(session, &r);
    assert_true(r.active && r.n_notes <= EDGELLM_REALTIME_NOTES);
    if (r.locked_bytes < r.wanted_bytes) assert_true(has_note(&r, "memory: "));
    for (uint32_t i = 0; i < r.n_tries; i++)
        if (r.tries[i].refusal[0] != '\0') assert_true(has_note(&r, r.tries[i].name));
    if (r.n_tries > 0) assert_string_equal(r.tries[r.chosen].refusal, "");
    assert_int_equal(el_policy_get(0, &now), 0);
    el_policy_words(&now, words, sizeof words);
    if (strcmp(r.policy, "unknown") == 0)
        assert_true(has_note(&r, "policy: unknown"));
    else
        assert_memory_equal(r.policy, words, strlen(words));
    if (r.n_cores == 0) assert_true(has_note(&r, "cores: ") || now.policy == EL_POLICY_DEADLINE);
    if (r.n_cores > 0) assert_int_equal(sched_getcpu(), r.cores[0]);
}

void check_put_back(const thread_state *before, const thread_state *after)
{
    assert_true(el_policy_same(&before->policy, &after->policy));
    assert_true(CPU_EQUAL(&before->cores, &after->cores));
    assert_int_equal(before->locked, after->locked);
}
