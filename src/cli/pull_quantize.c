#include "cli/pull_quantize.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli_external.h"
#include "cli/cli_signals.h"

enum { LOOK_MS = 50 /* at most */, ARGUMENTS = 12, NOT_STARTED = 127 };

static const el_cli_external quantizer = {"quantize", NULL, "the quantizer"};

edgellm_status el_pull_quantizer(edgellm_error *err)
{
    el_cli_path path;
    return el_cli_external_find(&quantizer, path, err);
}

/* Not by waitpid() alone: a signal that asks only this process to stop is handed on. A Ctrl-C goes
 * to both by itself, and twice would end it at once. */
static int wait_for(pid_t pid)
{
    int status = 0, pause = 1;
    bool told = false;
    for (;;) {
        const pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid) return status;
        if (done < 0 && errno != EINTR) return -1;
        const int asked = el_cli_interrupted();
        if (asked != 0 && asked != SIGINT && !told) told = kill(pid, asked) == 0;
        poll(NULL, 0, pause);
        pause = pause * 2 < LOOK_MS ? pause * 2 : LOOK_MS;
    }
}

static edgellm_status judge(int status, edgellm_error *err)
{
    if (el_cli_interrupted() != 0)
        return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED,
                           "interrupted: the source is kept, the same command goes on");
    if (status >= 0 && WIFEXITED(status)) {
        const int code = WEXITSTATUS(status);
        err->message[0] = '\0';
        if (code <= EDGELLM_ERR_MEMORY) return (edgellm_status)code;
        if (code == NOT_STARTED)
            return el_cli_fail(err, EDGELLM_ERR_IO, "the quantizer cannot be started");
        return el_cli_fail(err, EDGELLM_ERR_INTERNAL, "the quantizer ended with code %d", code);
    }
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY,
                           "the quantizer was killed, as the system does when memory runs out; the "
                           "source is kept, the same command goes on");
    return el_cli_fail(err, EDGELLM_ERR_INTERNAL, "the quantizer ended by a signal");
}

/* After fork(). Its progress is shown, its summary is not: it names a file that will lie elsewhere.
 * It does not outlive this process, whatever ends that: it would be in the way of the next one. */
static void become(const char *path, char **words, pid_t parent)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) execv(path, words);
    _exit(NOT_STARTED);
}

static edgellm_status start(char **words, edgellm_error *err)
{
    el_cli_path path;
    EL_CLI_TRY(el_cli_external_find(&quantizer, path, err));
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) become(path, words, parent);
    if (pid < 0)
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot start '%.300s': %s", path, strerror(errno));
    return judge(wait_for(pid), err);
}

edgellm_status el_pull_quantize(const el_pull_options *o, const char *source, const char *target,
                                edgellm_error *err)
{
    char name[] = "edgellm-quantize", output[] = "-o", fit[48], resume[] = "--resume",
         quiet[] = "-q", end[] = "--";
    char *words[ARGUMENTS] = {name}, *from = strdup(source), *to = strdup(target), *rest = NULL;
    size_t n = 1;
    edgellm_status status = el_pull_text(&rest, err, "%s.unfinished-edgellm", target);
    if (status == EDGELLM_OK && (from == NULL || to == NULL))
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to quantize");
    if (status == EDGELLM_OK) {
        snprintf(fit, sizeof fit, "--fit=%" PRIu64, o->fit);
        if (o->fit != 0) words[n++] = fit;
        if (o->fit != 0 && access(rest, F_OK) == 0) words[n++] = resume;
        if (o->quiet) words[n++] = quiet;
        words[n++] = output;
        words[n++] = to;
        words[n++] = end;
        words[n] = from;
        status = start(words, err);
    }
    free(from);
    free(to);
    free(rest);
    return status;
}
