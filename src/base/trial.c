#include "base/trial.h"

#include <limits.h>
#include <signal.h>

enum { JUMP = 50000, STACK = 64 * 1024 };

static void *run(void *argument)
{
    el_rival *rival = argument;
    while (!atomic_load_explicit(&rival->stop, memory_order_relaxed))
        ;
    return NULL;
}

int el_rival_start(el_rival *rival)
{
    pthread_attr_t attributes;
    sigset_t all, old;
    *rival = (el_rival){.runs = false};
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_setstacksize(&attributes, STACK > PTHREAD_STACK_MIN ? STACK : PTHREAD_STACK_MIN);
    error = pthread_create(&rival->thread, &attributes, run, rival);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    rival->runs = error == 0;
    return error;
}

void el_rival_stop(el_rival *rival)
{
    atomic_store(&rival->stop, true);
    if (rival->runs) pthread_join(rival->thread, NULL);
    rival->runs = false;
}

el_trial el_trial_measure(void (*border)(void *context), void *context)
{
    el_trial trial = {0, 0, 0};
    const el_nanoseconds begin = el_clock_now();
    el_nanoseconds before = begin, token = begin;
    while (before - begin < EL_TRIAL_LENGTH) {
        if (before - token >= EL_TRIAL_TOKEN) {
            border(context);
            token = before;
        }
        el_nanoseconds now = el_clock_now(), jump = now - before;
        if (jump > trial.worst) trial.worst = jump;
        if (jump > JUMP) trial.lost += jump;
        before = now;
    }
    trial.length = before - begin;
    return trial;
}
