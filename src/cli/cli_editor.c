#include "cli/cli_editor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_folders.h"

#define QUOTES      "\"\"\""
#define QUOTE_BYTES 3

/* ---- the source of lines ------------------------------------------------------------------ */

#ifdef EDGELLM_EDITLINE
static bool can_edit(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && terminal != NULL &&
           terminal[0] != '\0' && strcmp(terminal, "dumb") != 0;
}

/* NULL: nowhere. */
static char *history_path(void)
{
    char *path = el_cli_user_path("XDG_STATE_HOME", "/.local/state", "edgellm/chat_history");
    if (path == NULL || el_cli_make_folders(path)) return path;
    free(path);
    return NULL;
}

static edgellm_status open_editline(el_cli_line_source **lines, bool history, edgellm_error *err)
{
    if (!can_edit()) return EDGELLM_OK;
    char *path = history ? history_path() : NULL;
    edgellm_status status = el_cli_editline_open(lines, path, err);
    free(path);
    return status;
}
#else
static edgellm_status open_editline(el_cli_line_source **lines, bool history, edgellm_error *err)
{
    (void)lines, (void)history, (void)err;
    return EDGELLM_OK;
}
#endif

edgellm_status el_cli_editor_open(el_cli_editor *editor, bool history, edgellm_error *err)
{
    *editor = (el_cli_editor){NULL, isatty(STDIN_FILENO)};
    EL_CLI_TRY(open_editline(&editor->lines, history, err));
    if (editor->lines != NULL) return EDGELLM_OK;
    return el_cli_plain_open(&editor->lines, editor->interactive, err);
}

void el_cli_editor_close(el_cli_editor *editor)
{
    if (editor->lines != NULL) editor->lines->close(editor->lines);
    editor->lines = NULL;
}

/* ---- messages ----------------------------------------------------------------------------- */

static bool ends_quoted(const char *text)
{
    size_t len = strlen(text);
    return len >= QUOTE_BYTES && strcmp(text + len - QUOTE_BYTES, QUOTES) == 0;
}

/* Takes the closing quotes off, and the line ends next to either. */
static void trim_quoted(char *text, size_t len)
{
    len -= QUOTE_BYTES;
    if (len > 0 && text[len - 1] == '\n') len--;
    text[len] = '\0';
    if (text[0] == '\n') memmove(text, text + 1, len);
}

/* Copies lines to `out` until one ends with quotes. `line` is the first, and the last afterwards.
 */
static edgellm_status collect(el_cli_editor *editor, FILE *out, el_cli_line *line,
                              edgellm_error *err)
{
    fputs(line->text + QUOTE_BYTES, out);
    bool closed = ends_quoted(line->text + QUOTE_BYTES);
    while (!closed) {
        free(line->text);
        *line = (el_cli_line){EL_CLI_LINE_END, NULL};
        EL_CLI_TRY(editor->lines->read(editor->lines, "... ", line, err));
        if (line->event == EL_CLI_LINE_END) {
            return el_cli_fail(err, EDGELLM_ERR_USAGE,
                               "the message that begins with " QUOTES
                               " has no end: close it with " QUOTES);
        }
        if (line->event != EL_CLI_LINE_TEXT) return EDGELLM_OK;
        fprintf(out, "\n%s", line->text);
        closed = ends_quoted(line->text);
    }
    return EDGELLM_OK;
}

/* In place of its first line, the message between quotes. */
static edgellm_status read_quoted(el_cli_editor *editor, el_cli_line *line, edgellm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the message");
    edgellm_status status = collect(editor, out, line, err);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the message");
    }
    if (status != EDGELLM_OK || line->event != EL_CLI_LINE_TEXT) {
        free(text);
        if (line->event == EL_CLI_LINE_BREAK) line->event = EL_CLI_LINE_CLEARED;
        return status;
    }
    trim_quoted(text, len);
    free(line->text);
    line->text = text;
    return EDGELLM_OK;
}

edgellm_status el_cli_editor_read(el_cli_editor *editor, el_cli_line *message, bool *literal,
                                  edgellm_error *err)
{
    el_cli_line line = {EL_CLI_LINE_END, NULL};
    edgellm_status status = editor->lines->read(editor->lines, ">>> ", &line, err);
    bool several = line.text != NULL && strchr(line.text, '\n') != NULL;
    bool quoted = line.text != NULL && !several && strncmp(line.text, QUOTES, QUOTE_BYTES) == 0;
    if (quoted) status = read_quoted(editor, &line, err);
    if (status != EDGELLM_OK) {
        free(line.text);
        return status;
    }
    if (line.text != NULL && line.text[0] != '\0') {
        editor->lines->remember(editor->lines, line.text);
    }
    *literal = quoted || several;
    *message = line;
    return EDGELLM_OK;
}
