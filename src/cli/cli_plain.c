/*
 * cli_plain.c: lines from a pipe, a file or a terminal that does its own editing: no escape codes,
 * no history. Reads no further than the system gives at once, so that an answer can begin as soon
 * as its question is there.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_line.h"
#include "cli/cli_signals.h"

typedef struct plain {
    el_cli_line_source base;
    bool prompts;
    char *bytes;
    size_t used, room; /* bytes read and not yet handed out */
} plain;

/* Hands out the first `len` bytes, and drops `end` more. */
static edgellm_status take(plain *p, size_t len, size_t end, el_cli_line *line, edgellm_error *err)
{
    if (len > 0 && end > 0 && p->bytes[len - 1] == '\r') {
        len--;
        end++;
    }
    bool whole = memchr(p->bytes, '\0', len) == NULL;
    char *text = whole ? strndup(p->bytes, len) : NULL;
    p->used -= len + end;
    memmove(p->bytes, p->bytes + len + end, p->used);
    if (!whole) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "the line holds a NUL byte; a message cannot");
    }
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a line");
    *line = (el_cli_line){EL_CLI_LINE_TEXT, text};
    return EDGELLM_OK;
}

static edgellm_status make_room(plain *p, edgellm_error *err)
{
    if (p->room - p->used > 0) return EDGELLM_OK;
    size_t wanted = p->room > 0 ? p->room * 2 : 4096;
    char *bytes = wanted > p->room ? realloc(p->bytes, wanted) : NULL;
    if (bytes == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a line");
    p->bytes = bytes;
    p->room = wanted;
    return EDGELLM_OK;
}

/* The line that a signal broke off is gone: the terminal has dropped it too. */
static el_cli_line_event broken_off(plain *p)
{
    p->used = 0;
    return el_cli_interrupted() == SIGINT ? EL_CLI_LINE_BREAK : EL_CLI_LINE_STOP;
}

static edgellm_status read_more(plain *p, el_cli_line *line, bool *ended, edgellm_error *err)
{
    ssize_t n;
    EL_CLI_TRY(make_room(p, err));
    if (!el_cli_wait_for_input(STDIN_FILENO)) {
        *line = (el_cli_line){broken_off(p), NULL};
        *ended = true;
        return EDGELLM_OK;
    }
    n = read(STDIN_FILENO, p->bytes + p->used, p->room - p->used);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read standard input: %s", strerror(errno));
    }
    if (n > 0) p->used += (size_t)n;
    if (n != 0) return EDGELLM_OK;
    *ended = true;
    *line = (el_cli_line){EL_CLI_LINE_END, NULL};
    return p->used > 0 ? take(p, p->used, 0, line, err) : EDGELLM_OK;
}

static edgellm_status plain_read(el_cli_line_source *source, const char *prompt, el_cli_line *line,
                                 edgellm_error *err)
{
    plain *p = (plain *)source;
    size_t looked = 0;
    bool ended = false;
    if (p->prompts) fputs(prompt, stderr);
    while (!ended) {
        char *end = p->used > looked ? memchr(p->bytes + looked, '\n', p->used - looked) : NULL;
        if (end != NULL) return take(p, (size_t)(end - p->bytes), 1, line, err);
        looked = p->used;
        EL_CLI_TRY(read_more(p, line, &ended, err));
    }
    if (p->prompts && line->event != EL_CLI_LINE_TEXT) fputc('\n', stderr);
    return EDGELLM_OK;
}

static void plain_remember(el_cli_line_source *source, const char *text)
{
    (void)source, (void)text;
}

static void plain_close(el_cli_line_source *source)
{
    plain *p = (plain *)source;
    free(p->bytes);
    free(p);
}

edgellm_status el_cli_plain_open(el_cli_line_source **source, bool prompts, edgellm_error *err)
{
    plain *p = calloc(1, sizeof *p);
    if (p == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read lines");
    p->base = (el_cli_line_source){plain_read, plain_remember, plain_close};
    p->prompts = prompts;
    *source = &p->base;
    return EDGELLM_OK;
}
