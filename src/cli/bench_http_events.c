#include "cli/bench_http_events.h"

#include <string.h>

typedef struct line {
    char *text; /* (len), without the line end */
    size_t len;
    size_t last; /* offset of its end's first byte; of the last byte, if there is no end */
    bool ended;
} line;

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

/* False: there are no bytes left. */
static bool next_line(el_cli_http_events *e, line *l)
{
    size_t at = e->at;
    if (at == e->size) return false;
    while (at < e->size && !ends_line(e->bytes[at]))
        at++;
    *l = (line){e->bytes + e->at, at - e->at, at, at < e->size};
    if (!l->ended) l->last = at - 1;
    bool pair = e->size - at >= 2 && e->bytes[at] == '\r' && e->bytes[at + 1] == '\n';
    e->at = at + (pair ? 2 : l->ended ? 1 : 0);
    return true;
}

/* Offsets are asked for in ascending order. */
static uint64_t time_of(el_cli_http_events *e, size_t offset)
{
    while (e->read + 1 < e->n_reads && e->reads[e->read].end <= offset)
        e->read++;
    return e->n_reads > 0 ? e->reads[e->read].ns : 0;
}

static void end_event(el_cli_http_events *e, el_cli_http_event *event, const line *end)
{
    event->ns = time_of(e, end->last);
    event->number = ++e->number;
    event->whole = end->ended;
}

static bool next_of_lines(el_cli_http_events *e, el_cli_http_event *event)
{
    line l;
    while (next_line(e, &l)) {
        if (l.len == 0) continue;
        *event = (el_cli_http_event){.data = l.text, .len = l.len};
        end_event(e, event, &l);
        return true;
    }
    return false;
}

/* "data: x", "data:x", "data" (an empty value). `value` is left alone if the field is another. */
static bool is_field(const line *l, const char *name, line *value)
{
    size_t n = strlen(name);
    if (l->len < n || memcmp(l->text, name, n) != 0) return false;
    if (l->len > n && l->text[n] != ':') return false;
    if (l->len > n) n++;
    if (l->len > n && l->text[n] == ' ') n++;
    *value = (line){l->text + n, l->len - n, l->last, l->ended};
    return true;
}

/* Lines of one event are joined by LF, where the first one lies: there is always room, since each
 * further one had a name and a line end before it. */
static void join(char **data, size_t *len, const line *value)
{
    if (*data == NULL) {
        *data = value->text;
        *len = value->len;
        return;
    }
    (*data)[(*len)++] = '\n';
    memmove(*data + *len, value->text, value->len);
    *len += value->len;
}

static bool next_of_sse(el_cli_http_events *e, el_cli_http_event *event)
{
    line l = {0}, value;
    char *data = NULL;
    size_t len = 0;
    bool error = false;
    while (next_line(e, &l)) {
        if (l.len == 0 && len > 0) break;
        if (l.len == 0) { /* an event without data is none */
            data = NULL;
            error = false;
        }
        bool is_error = is_field(&l, "error", &value);
        if (is_error || is_field(&l, "data", &value)) join(&data, &len, &value);
        error = error || is_error;
    }
    if (len == 0) return false;
    l.ended = l.ended && l.len == 0; /* the stream's end ends no event */
    *event = (el_cli_http_event){.data = data, .len = len, .error = error};
    end_event(e, event, &l);
    return true;
}

bool el_cli_http_next(el_cli_http_events *e, el_cli_http_event *event)
{
    static const char mark[] = "\xef\xbb\xbf"; /* a byte order mark may begin a stream */
    if (e->at == 0 && e->size >= 3 && memcmp(e->bytes, mark, 3) == 0) e->at = 3;
    return e->form == EL_CLI_HTTP_SSE ? next_of_sse(e, event) : next_of_lines(e, event);
}
