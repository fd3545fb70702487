#include "cli/cli_signals.h"

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
    struct sigaction stop, ignore;
    memset(&stop, 0, sizeof stop);
    memset(&ignore, 0, sizeof ignore);
    stop.sa_handler = ask;
    stop.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

int el_cli_interrupted(void)
{
    return asked;
}
