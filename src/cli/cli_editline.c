/*
 * cli_editline.c: line editing with libedit, keys as the user's ~/.editrc says. While a line is
 * edited the terminal marks what is pasted (bracketed paste), so that a paste of several lines is
 * one message; that and the terminal's modes are undone before anything else happens: when the line
 * ends, at Ctrl-C and Ctrl-Z, and when a signal ends the program.
 */
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/cli_line.h"
#include "cli/cli_signals.h"

#define MOST_REMEMBERED 1000
#define PASTE_MARKS_ON  "\033[?2004h"
#define PASTE_MARKS_OFF "\033[?2004l"

static const wchar_t paste_end[] = L"\033[201~";
enum { PASTE_END = sizeof paste_end / sizeof paste_end[0] - 1 };

typedef struct editline {
    el_cli_line_source base;
    EditLine *el;
    History *history;
    char *path, *temporary; /* of the history; NULL: none */
    const char *prompt;
    mbstate_t state;   /* of a character that has begun */
    bool broken, full; /* a signal ended the line; something was typed by then */
} editline;

static editline *self_of(EditLine *el)
{
    editline *self = NULL;
    el_get(el, EL_CLIENTDATA, &self);
    return self;
}

static char *prompt_of(EditLine *el)
{
    return (char *)(uintptr_t)self_of(el)->prompt;
}

/* ---- characters --------------------------------------------------------------------------- */

static void say(const char *codes)
{
    ssize_t n = write(STDOUT_FILENO, codes, strlen(codes));
    (void)n; /* a terminal that is gone is noticed when the line is read */
}

static void suspend(EditLine *el)
{
    el_set(el, EL_PREP_TERM, 0);
    say(PASTE_MARKS_OFF "\n");
    raise(SIGSTOP);
    say(PASTE_MARKS_ON);
    el_set(el, EL_PREP_TERM, 1);
    el_set(el, EL_REFRESH);
}

/* One byte more of a character: 1 if that completes it, 0 if not yet, or if it cannot be one. */
static int add_byte(editline *self, char byte, wchar_t *c)
{
    size_t n = mbrtowc(c, &byte, 1, &self->state);
    if (n == (size_t)-1) self->state = (mbstate_t){0};
    return n == 0 || n == 1;
}

/* For libedit: 1 and a character, 0 at the end, -1 when the line is over for another reason. */
static int get_character(EditLine *el, wchar_t *c)
{
    editline *self = self_of(el);
    for (;;) {
        char byte;
        el_cli_event event = el_cli_wait_for_event(STDIN_FILENO);
        if (event == EL_CLI_EVENT_ASKED) {
            const LineInfo *line = el_line(el);
            self->broken = true;
            self->full = line->lastchar > line->buffer;
            return -1;
        }
        if (event == EL_CLI_EVENT_SUSPEND) suspend(el);
        if (event == EL_CLI_EVENT_RESIZE) el_resize(el);
        if (event != EL_CLI_EVENT_INPUT) continue;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return (int)n;
        if (add_byte(self, byte, c)) return 1;
    }
}

/* ---- paste -------------------------------------------------------------------------------- */

typedef struct pasted {
    wchar_t *text;
    size_t len, room;
} pasted;

static bool add_character(pasted *p, wchar_t c)
{
    if (p->room - p->len < 2) {
        size_t wanted = p->room > 0 ? p->room * 2 : 1024;
        wchar_t *text =
            wanted < SIZE_MAX / sizeof *text ? realloc(p->text, wanted * sizeof *text) : NULL;
        if (text == NULL) return false;
        p->text = text;
        p->room = wanted;
    }
    p->text[p->len++] = c == L'\r' ? L'\n' : c;
    p->text[p->len] = L'\0';
    return true;
}

static bool at_paste_end(const pasted *p)
{
    return p->len >= PASTE_END && wmemcmp(p->text + p->len - PASTE_END, paste_end, PASTE_END) == 0;
}

/* Reads up to the mark of the end, and takes that and one last line end off. */
static bool read_paste(EditLine *el, pasted *p)
{
    wchar_t c;
    do {
        if (el_wgetc(el, &c) != 1) return false;
        if (c != L'\0' && !add_character(p, c)) return false;
    } while (!at_paste_end(p));
    p->len -= PASTE_END;
    if (p->len > 0 && p->text[p->len - 1] == L'\n') p->len--;
    p->text[p->len] = L'\0';
    return true;
}

static unsigned char insert_paste(EditLine *el, int key)
{
    pasted p = {NULL, 0, 0};
    (void)key;
    bool whole = read_paste(el, &p);
    if (whole && p.len > 0) el_winsertstr(el, p.text);
    free(p.text);
    return whole ? CC_REFRESH : CC_EOF;
}

/* In vi's keys the mark's escape has left the insert mode, one character back: return there. */
static unsigned char insert_paste_vi(EditLine *el, int key)
{
    const LineInfo *line = el_line(el);
    if (line->cursor < line->lastchar) el_cursor(el, 1);
    unsigned char done = insert_paste(el, key);
    if (done == CC_REFRESH) el_push(el, "a");
    return done;
}

static void bind_paste(EditLine *el)
{
    const char *mode = NULL;
    /* Wide: of other strings el_set() makes copies that nobody frees. */
    el_wset(el, EL_ADDFN, L"edgellm-paste", L"insert pasted text", insert_paste);
    el_wset(el, EL_ADDFN, L"edgellm-paste-vi", L"insert pasted text", insert_paste_vi);
    el_get(el, EL_EDITOR, &mode);
    if (mode != NULL && strcmp(mode, "vi") == 0) {
        el_set(el, EL_BIND, "-a", "[200~", "edgellm-paste-vi", NULL);
    } else {
        el_set(el, EL_BIND, "\033[200~", "edgellm-paste", NULL);
    }
}

/* ---- history ------------------------------------------------------------------------------ */

/* A file that is there and is no history of libedit's is left alone. */
static void load_history(editline *self, const char *path)
{
    HistEvent event;
    struct stat there;
    history(self->history, &event, H_SETSIZE, MOST_REMEMBERED);
    history(self->history, &event, H_SETUNIQUE, 1);
    el_set(self->el, EL_HIST, history, self->history);
    if (path == NULL) return;
    if (stat(path, &there) == 0 && history(self->history, &event, H_LOAD, path) < 0) return;
    size_t room = strlen(path) + 24;
    self->temporary = malloc(room);
    self->path = strdup(path);
    if (self->temporary != NULL) {
        snprintf(self->temporary, room, "%s.%ld", path, (long)getpid());
    }
}

/* H_SAVE makes the file readable for its owner only. */
static void editline_remember(el_cli_line_source *source, const char *text)
{
    editline *self = (editline *)source;
    HistEvent event;
    history(self->history, &event, H_ENTER, text);
    if (self->path == NULL || self->temporary == NULL) return;
    if (history(self->history, &event, H_SAVE, self->temporary) < 0 ||
        rename(self->temporary, self->path) != 0) {
        unlink(self->temporary);
    }
}

/* ---- lines -------------------------------------------------------------------------------- */

static el_cli_line_event end_of_line(editline *self)
{
    say("\n");
    if (!self->broken) return EL_CLI_LINE_END;
    if (el_cli_interrupted() != SIGINT) return EL_CLI_LINE_STOP;
    return self->full ? EL_CLI_LINE_CLEARED : EL_CLI_LINE_BREAK;
}

static edgellm_status editline_read(el_cli_line_source *source, const char *prompt,
                                    el_cli_line *line, edgellm_error *err)
{
    editline *self = (editline *)source;
    int count = 0;
    self->prompt = prompt;
    self->broken = self->full = false;
    self->state = (mbstate_t){0};
    el_cli_watch_terminal(true);
    el_set(self->el, EL_PREP_TERM, 1); /* before the prompt: what is typed at once is edited too */
    say(PASTE_MARKS_ON);
    const char *typed = el_gets(self->el, &count);
    el_set(self->el, EL_PREP_TERM, 0);
    say(PASTE_MARKS_OFF);
    el_cli_watch_terminal(false);
    if (typed == NULL || count <= 0 || self->broken) {
        *line = (el_cli_line){end_of_line(self), NULL};
        return EDGELLM_OK;
    }
    size_t len = (size_t)count;
    if (typed[len - 1] == '\n') len--;
    char *text = strndup(typed, len);
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a line");
    *line = (el_cli_line){EL_CLI_LINE_TEXT, text};
    return EDGELLM_OK;
}

static void editline_close(el_cli_line_source *source)
{
    editline *self = (editline *)source;
    if (self->el != NULL) el_end(self->el);
    if (self->history != NULL) history_end(self->history);
    free(self->path);
    free(self->temporary);
    free(self);
}

/* libedit keeps characters of the locale; messages are UTF-8. */
static bool use_utf8(void)
{
    if (setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0) return true;
    return setlocale(LC_CTYPE, "C.UTF-8") != NULL;
}

edgellm_status el_cli_editline_open(el_cli_line_source **source, const char *history_path,
                                    edgellm_error *err)
{
    *source = NULL;
    if (!use_utf8()) return EDGELLM_OK;
    editline *self = calloc(1, sizeof *self);
    if (self == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to edit lines");
    self->base = (el_cli_line_source){editline_read, editline_remember, editline_close};
    self->el = el_init("edgellm", stdin, stdout, stderr);
    self->history = history_init();
    if (self->el == NULL || self->history == NULL) {
        editline_close(&self->base);
        return EDGELLM_OK;
    }
    el_set(self->el, EL_CLIENTDATA, self);
    el_set(self->el, EL_PROMPT, prompt_of);
    el_set(self->el, EL_GETCFN, get_character);
    el_set(self->el, EL_EDITOR, "emacs");
    load_history(self, history_path);
    el_source(self->el, NULL);
    bind_paste(self->el);
    *source = &self->base;
    return EDGELLM_OK;
}
