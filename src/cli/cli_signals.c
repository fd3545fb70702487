#include "cli/cli_signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

/* The variables that a signal handler can reach. */
static volatile sig_atomic_t asked, suspended, resized;

/* A Ctrl-C does not take the place of a signal that ends more. */
static void ask(int number)
{
    if (asked == 0 || asked == SIGINT) asked = number;
}

static void note_terminal(int number)
{
    if (number == SIGWINCH) {
        resized = 1;
    } else {
        suspended = 1;
    }
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(number, &action, NULL);
}

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void el_cli_signals_install(void)
{
    const int once = (int)(SA_RESTART | SA_RESETHAND);
    if (!is_ignored(SIGHUP)) handle(SIGHUP, ask, once);
    handle(SIGTERM, ask, once);
    handle(SIGINT, ask, once);
    handle(SIGPIPE, SIG_IGN, 0);
    handle(SIGXFSZ, SIG_IGN, 0);
}

void el_cli_signals_keep(void)
{
    handle(SIGINT, ask, SA_RESTART);
}

void el_cli_watch_terminal(bool on)
{
    suspended = resized = 0;
    handle(SIGWINCH, on ? note_terminal : SIG_DFL, SA_RESTART);
    if (!is_ignored(SIGTSTP)) handle(SIGTSTP, on ? note_terminal : SIG_DFL, SA_RESTART);
}

int el_cli_interrupted(void)
{
    return asked;
}

/* Blocks the signals that are looked at, so that none slips between the look and what follows. */
static void block(sigset_t *before)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH};
    sigset_t all;
    sigemptyset(&all);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&all, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

bool el_cli_forget_interrupt(void)
{
    sigset_t before;
    block(&before);
    bool was = asked == SIGINT;
    if (was) asked = 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return was;
}

el_cli_event el_cli_wait_for_event(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    el_cli_event event = EL_CLI_EVENT_INPUT;
    sigset_t before;
    int ready = 0;
    block(&before); /* ppoll() lets them in */
    while (asked == 0 && !suspended && !resized && ready == 0) {
        ready = ppoll(&input, 1, NULL, &before);
        if (ready < 0 && errno == EINTR) ready = 0;
    }
    if (asked != 0) {
        event = EL_CLI_EVENT_ASKED;
    } else if (suspended) {
        event = EL_CLI_EVENT_SUSPEND;
    } else if (resized) {
        event = EL_CLI_EVENT_RESIZE;
    }
    suspended = suspended && event != EL_CLI_EVENT_SUSPEND;
    resized = resized && event != EL_CLI_EVENT_RESIZE;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* ppoll() lets no signal in when there is input at once: one that waited comes in here. */
    return asked != 0 ? EL_CLI_EVENT_ASKED : event;
}

bool el_cli_wait_for_input(int fd)
{
    return el_cli_wait_for_event(fd) == EL_CLI_EVENT_INPUT;
}
