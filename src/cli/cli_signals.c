#include "cli/cli_signals.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

/* The one variable that a signal handler can reach. */
static volatile sig_atomic_t asked;

static void ask(int number)
{
    asked = number;
}

void el_cli_signals_install(void)
{
    struct sigaction stop, ignore, hang_up;
    memset(&stop, 0, sizeof stop);
    memset(&ignore, 0, sizeof ignore);
    stop.sa_handler = ask;
    stop.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
    ignore.sa_handler = SIG_IGN;
    if (sigaction(SIGHUP, NULL, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &stop, NULL);
    }
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

int el_cli_interrupted(void)
{
    return asked;
}

bool el_cli_wait_for_input(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    /* Blocked from the look at `asked` until ppoll() lets them in: none slips between. */
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    if (asked == 0) ppoll(&input, 1, NULL, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return asked == 0;
}
