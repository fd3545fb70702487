#include "cli/pull_web.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli_signals.h"
#include "cli/cli_stats.h"
#include "cli/pull_url.h"

enum {
    HOPS = 10,            /* redirects of one request */
    CONNECT_S = 30,       /* at most */
    LONGEST_WAIT_S = 300, /* that a server may ask for */
    LONGEST_PAUSE_S = 60, /* that doubling makes */
    MUCH = 1 << 20,       /* bytes after which the count of tries begins anew */
    BODY_OF_ERROR = 65536 /* read of an answer that is an error */
};

/* What an answer says of itself. */
typedef struct headers {
    char etag[256], range[128], reason[160], type[100];
} headers;

/* Where a body goes. Both return a status; `again` of the web asks for another try. */
typedef struct sink {
    edgellm_status (*begin)(el_pull_web *web, edgellm_error *err);
    edgellm_status (*take)(el_pull_web *web, const char *data, size_t n, edgellm_error *err);
    edgellm_status (*end)(el_pull_web *web, edgellm_error *err);
} sink;

struct el_pull_web {
    CURL *easy;
    const el_pull_options *options;
    const char *token, *token_for;
    char why[CURL_ERROR_SIZE];
    bool met; /* a server has answered before: a connection that fails now is worth a wait */

    /* The request in hand. */
    char *shown; /* its URL, for messages */
    const sink *to;
    headers head;
    long code;
    bool begun, again, silent;
    double heard_ms;       /* when something came last */
    size_t waste;          /* bytes of a body that nobody wants */
    edgellm_status status; /* of the sink */
    edgellm_error *err;

    /* A text. */
    char *text;
    size_t used, limit;

    /* A file. */
    el_pull_part *part;
    el_pull_progress *progress;
    uint64_t expected, total; /* total: as this answer has it */
    bool checked;
};

/* ---- what libcurl calls -------------------------------------------------------------------- */

static bool is_success(long code)
{
    return code == 200 || code == 206;
}

static bool is_redirect(long code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static const struct header_row {
    const char *name;
    size_t at, size;
} header_rows[] = {
    {"etag:", offsetof(headers, etag), sizeof((headers *)NULL)->etag},
    {"content-range:", offsetof(headers, range), sizeof((headers *)NULL)->range},
    {"x-error-message:", offsetof(headers, reason), sizeof((headers *)NULL)->reason},
    {"content-type:", offsetof(headers, type), sizeof((headers *)NULL)->type},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t take_header(char *data, size_t one, size_t n, void *user)
{
    el_pull_web *w = user;
    n *= one;
    w->heard_ms = el_cli_now_ms();
    if (n > 5 && strncasecmp(data, "HTTP/", 5) == 0) w->head = (headers){0};
    for (size_t i = 0; i < sizeof header_rows / sizeof header_rows[0]; i++) {
        const struct header_row *row = &header_rows[i];
        size_t from = strlen(row->name), to = n;
        if (n < from || strncasecmp(data, row->name, from) != 0) continue;
        while (from < to && is_space(data[from]))
            from++;
        while (to > from && is_space(data[to - 1]))
            to--;
        char *kept = (char *)&w->head + row->at;
        if (to - from >= row->size) to = from; /* none is better than half of one */
        memcpy(kept, data + from, to - from);
        kept[to - from] = '\0';
    }
    return n;
}

static edgellm_status begin_body(el_pull_web *w)
{
    if (w->begun) return EDGELLM_OK;
    w->begun = true;
    return w->status = w->to->begin(w, w->err);
}

static size_t take_body(char *data, size_t one, size_t n, void *user)
{
    el_pull_web *w = user;
    n *= one;
    w->heard_ms = el_cli_now_ms();
    curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &w->code);
    if (!is_success(w->code)) {
        w->waste += n;
        return w->waste <= BODY_OF_ERROR ? n : 0;
    }
    if (begin_body(w) != EDGELLM_OK || w->again) return 0;
    w->status = w->to->take(w, data, n, w->err);
    w->heard_ms = el_cli_now_ms(); /* a slow disk is no silence */
    return w->status == EDGELLM_OK && !w->again ? n : 0;
}

static int watch(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    el_pull_web *w = user;
    (void)down_all, (void)down, (void)up_all, (void)up;
    if (w->part != NULL && w->begun) el_pull_progress_draw(w->progress, w->part->bytes);
    /* Not by CURLOPT_LOW_SPEED_TIME: its speed is a mean of the last seconds. */
    w->silent = el_cli_now_ms() - w->heard_ms > w->options->stall_s * 1e3;
    return w->silent || el_cli_interrupted() != 0;
}

/* ---- a text -------------------------------------------------------------------------------- */

static edgellm_status begin_text(el_pull_web *w, edgellm_error *err)
{
    (void)err;
    w->used = 0;
    return EDGELLM_OK;
}

static edgellm_status take_text(el_pull_web *w, const char *data, size_t n, edgellm_error *err)
{
    if (n > w->limit - w->used)
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "%.150s answers with more than %zu bytes",
                           w->shown, w->limit);
    char *more = realloc(w->text, w->used + n + 1);
    if (more == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer");
    w->text = more;
    memcpy(w->text + w->used, data, n);
    w->used += n;
    w->text[w->used] = '\0';
    return EDGELLM_OK;
}

static edgellm_status end_text(el_pull_web *w, edgellm_error *err)
{
    return take_text(w, "", 0, err); /* there is a text, if an empty one */
}

static const sink text_sink = {begin_text, take_text, end_text};

/* ---- a file -------------------------------------------------------------------------------- */

static edgellm_status web_page(const el_pull_web *w, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "%.200s sends a web page instead of a model: is it the address of the file "
                       "itself, and does no login stand before it?",
                       w->shown);
}

/* Digits and what ends them; the text goes on after that. False: neither. */
static bool read_number(const char **text, char end, uint64_t *value)
{
    char *rest;
    if (**text < '0' || **text > '9') return false;
    errno = 0;
    *value = strtoull(*text, &rest, 10);
    *text = rest + 1;
    return errno == 0 && *rest == end;
}

/* "bytes 5-9/10": where it starts, and the size of the whole; false: no such thing. */
static bool read_range(const char *text, uint64_t *start, uint64_t *total)
{
    uint64_t last;
    if (strncmp(text, "bytes ", 6) != 0) return false;
    text += 6;
    return read_number(&text, '-', start) && read_number(&text, '/', &last) &&
           read_number(&text, '\0', total);
}

static edgellm_status check_total(const el_pull_web *w, edgellm_error *err)
{
    if (w->expected == EL_PULL_UNKNOWN || w->total == EL_PULL_UNKNOWN || w->total == w->expected)
        return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "%.200s has %" PRIu64 " bytes, where %" PRIu64 " were announced", w->shown,
                       w->total, w->expected);
}

/* The server goes on where we are, or begins anew: then so do we. */
static edgellm_status place(el_pull_web *w, edgellm_error *err)
{
    curl_off_t length = -1;
    uint64_t start = 0;
    w->total = EL_PULL_UNKNOWN;
    if (w->code == 206) {
        if (read_range(w->head.range, &start, &w->total) && start == w->part->bytes)
            return EDGELLM_OK;
        w->again = true; /* not what was asked for: whole, then */
        return el_pull_part_reset(w->part, err);
    }
    curl_easy_getinfo(w->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0) w->total = (uint64_t)length;
    return w->part->bytes > 0 ? el_pull_part_reset(w->part, err) : EDGELLM_OK;
}

static edgellm_status begin_file(el_pull_web *w, edgellm_error *err)
{
    static const char *const pages[] = {"text/html", "application/xhtml"};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strncasecmp(w->head.type, pages[i], strlen(pages[i])) == 0) return web_page(w, err);
    EL_CLI_TRY(place(w, err));
    if (w->again) return EDGELLM_OK;
    EL_CLI_TRY(check_total(w, err));
    if (w->expected == EL_PULL_UNKNOWN && w->total != EL_PULL_UNKNOWN)
        EL_CLI_TRY(el_pull_room(w->part->fd, w->total - w->part->bytes, err));
    if (w->progress->total == EL_PULL_UNKNOWN && w->total != EL_PULL_UNKNOWN)
        w->progress->total = w->progress->done_before + w->total;
    return el_pull_part_note(w->part, w->head.etag, err);
}

/* The one kind of file that may begin as a page does. */
static bool is_template(const char *url)
{
    static const char end[] = ".jinja";
    const size_t len = strlen(url);
    return len >= sizeof end - 1 && strcmp(url + len - (sizeof end - 1), end) == 0;
}

static edgellm_status take_file(el_pull_web *w, const char *data, size_t n, edgellm_error *err)
{
    const uint64_t most = w->expected != EL_PULL_UNKNOWN ? w->expected : w->total;
    if (w->part->bytes == 0 && n > 0 && data[0] == '<' && !is_template(w->shown))
        return web_page(w, err);
    if (most != EL_PULL_UNKNOWN && n > most - w->part->bytes)
        return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                           "%.200s sends more than the %" PRIu64 " bytes that were announced",
                           w->shown, most);
    return el_pull_part_add(w->part, data, n, err);
}

static edgellm_status end_file(el_pull_web *w, edgellm_error *err)
{
    const uint64_t all = w->expected != EL_PULL_UNKNOWN ? w->expected : w->total;
    (void)err;
    w->again = all != EL_PULL_UNKNOWN && w->part->bytes < all;
    return EDGELLM_OK;
}

static const sink file_sink = {begin_file, take_file, end_file};

/* ---- one request --------------------------------------------------------------------------- */

static bool add(struct curl_slist **list, const char *format, const char *text)
{
    char *line = NULL;
    if (asprintf(&line, format, text) < 0) return false;
    struct curl_slist *more = curl_slist_append(*list, line);
    free(line);
    if (more != NULL) *list = more;
    return more != NULL;
}

/* From where the part ends, if nothing else can come than what it is the beginning of. */
static bool add_range(const el_pull_web *w, struct curl_slist **list)
{
    char from[32];
    const el_pull_part *p = w->part;
    if (p == NULL || p->bytes == 0 || (p->etag[0] == '\0' && !w->checked)) return true;
    snprintf(from, sizeof from, "%" PRIu64, p->bytes);
    return add(list, "Range: bytes=%s-", from) &&
           (p->etag[0] == '\0' || add(list, "If-Range: %s", p->etag));
}

static bool may_see_token(const el_pull_web *w, const char *url)
{
    return w->token != NULL && el_pull_url_is_private(url) &&
           el_pull_url_same_origin(url, w->token_for);
}

static CURLcode ask(el_pull_web *w, const char *url, const char *accept)
{
    struct curl_slist *list = NULL;
    bool made = add(&list, "Accept: %s", accept) && add_range(w, &list);
    if (made && may_see_token(w, url)) made = add(&list, "Authorization: Bearer %s", w->token);
    CURLcode code = made ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    w->begun = w->again = w->silent = false;
    w->heard_ms = el_cli_now_ms();
    w->waste = 0;
    w->code = 0;
    w->why[0] = '\0';
    w->head = (headers){0};
    w->status = EDGELLM_OK;
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_URL, url);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, list);
    if (code == CURLE_OK) code = curl_easy_perform(w->easy);
    curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &w->code);
    curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(list);
    w->met = w->met || w->code != 0;
    return code;
}

/* Follows redirects. *code: libcurl's, of the last hop. */
static edgellm_status ask_through(el_pull_web *w, const char *url, const char *accept,
                                  CURLcode *code, edgellm_error *err)
{
    char *here = strdup(url), *next = NULL;
    edgellm_status status = here != NULL ? EDGELLM_OK : EDGELLM_ERR_MEMORY;
    for (int hop = 0; status == EDGELLM_OK; hop++) {
        const char *location = NULL;
        *code = ask(w, here, accept);
        if (!is_redirect(w->code) || w->status != EDGELLM_OK) break;
        curl_easy_getinfo(w->easy, CURLINFO_REDIRECT_URL, &location);
        if (location == NULL || hop == HOPS) {
            status = el_cli_fail(err, EDGELLM_ERR_IO, "%.200s redirects %s", w->shown,
                                 location == NULL ? "to no address" : "again and again");
            break;
        }
        status = el_pull_url_join(here, location, &next, err);
        free(here);
        here = next;
    }
    free(here);
    if (status == EDGELLM_ERR_MEMORY) return el_cli_fail(err, status, "no memory for an address");
    return status;
}

/* ---- again, or not ------------------------------------------------------------------------- */

static bool passes_by_itself(const el_pull_web *w, CURLcode code)
{
    static const CURLcode broken[] = {CURLE_PARTIAL_FILE, CURLE_OPERATION_TIMEDOUT,
                                      CURLE_GOT_NOTHING,  CURLE_SEND_ERROR,
                                      CURLE_RECV_ERROR,   CURLE_HTTP2,
                                      CURLE_HTTP2_STREAM, CURLE_SSL_CONNECT_ERROR};
    static const CURLcode absent[] = {CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST,
                                      CURLE_COULDNT_RESOLVE_PROXY};
    if (w->silent) return true;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        if (code == broken[i]) return true;
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (code == absent[i]) return w->met;
    return false;
}

static bool is_passing_code(long code)
{
    return code == 408 || code == 425 || code == 429 || (code >= 500 && code <= 599);
}

static edgellm_status refused(const el_pull_web *w, edgellm_error *err)
{
    static const struct {
        long code;
        const char *help;
    } rows[] = {
        {401, "; it asks who you are: a model may be gated or private, or not be there at all; "
              "accept its terms on its page, and give a token in HF_TOKEN (sent by https only)"},
        {403, "; it is not for you: accept the terms on the model's page, and give a token in "
              "HF_TOKEN (sent by https only)"},
        {404, "; there is no such thing there: are owner, name, file and revision right?"},
        {429, "; too many requests: try again later, or with a token"},
    };
    const char *help = "";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == w->code) help = rows[i].help;
    return el_cli_fail(err, EDGELLM_ERR_IO, "%.130s answers with HTTP %ld%s%.80s%s", w->shown,
                       w->code, w->head.reason[0] != '\0' ? ", " : "", w->head.reason, help);
}

static edgellm_status broken(const el_pull_web *w, CURLcode code, edgellm_error *err)
{
    const char *why = w->why[0] != '\0' ? w->why : curl_easy_strerror(code);
    if (code == CURLE_OK) why = "it ended before its end";
    if (w->silent) why = "nothing came any more";
    return el_cli_fail(err, EDGELLM_ERR_IO, "%.150s: %.150s%s", w->shown, why,
                       w->part != NULL && w->part->bytes > 0
                           ? "; what came is kept: the same command goes on"
                           : "");
}

/* After one request: OK, with `again` if it is to be asked once more, or the error. */
static edgellm_status judge(el_pull_web *w, CURLcode code, edgellm_error *err)
{
    if (el_cli_interrupted() != 0)
        return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED,
                           "interrupted: what came is kept, the same command goes on");
    if (w->status != EDGELLM_OK || w->again) return w->status;
    if (code == CURLE_OUT_OF_MEMORY)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a request");
    if (code == CURLE_OK && is_success(w->code)) {
        EL_CLI_TRY(begin_body(w)); /* of no bytes */
        return w->again ? EDGELLM_OK : w->to->end(w, err);
    }
    if (w->code == 416 && w->part != NULL && w->part->bytes > 0) {
        w->again = true;
        return el_pull_part_reset(w->part, err);
    }
    w->again = is_passing_code(w->code) || (code != CURLE_OK && passes_by_itself(w, code));
    if (w->again) return EDGELLM_OK;
    return code != CURLE_OK && (w->code == 0 || is_success(w->code)) ? broken(w, code, err)
                                                                     : refused(w, err);
}

static edgellm_status give_up(const el_pull_web *w, CURLcode code, edgellm_error *err)
{
    return is_passing_code(w->code) ? refused(w, err) : broken(w, code, err);
}

static void wait_ms(double ms)
{
    const double until = el_cli_now_ms() + ms;
    double left = ms;
    while (left > 0 && el_cli_interrupted() == 0) {
        poll(NULL, 0, left < 200 ? (int)left + 1 : 200);
        left = until - el_cli_now_ms();
    }
}

/* Waits, unless the server asks for longer than anybody would. */
static edgellm_status pause_for(el_pull_web *w, uint32_t tries, CURLcode code, edgellm_error *err)
{
    curl_off_t asked = 0;
    char text[128];
    double seconds = w->options->delay_s;
    curl_easy_getinfo(w->easy, CURLINFO_RETRY_AFTER, &asked);
    if (asked > LONGEST_WAIT_S) return give_up(w, code, err);
    for (uint32_t i = 1; i < tries && seconds < LONGEST_PAUSE_S; i++)
        seconds *= 2;
    if (seconds > LONGEST_PAUSE_S) seconds = LONGEST_PAUSE_S;
    if ((double)asked > seconds) seconds = (double)asked;
    snprintf(text, sizeof text, "%s; again in %.0f s (%u of %u)",
             is_passing_code(w->code) ? "the server is busy" : "the connection broke", seconds,
             tries, w->options->retries);
    if (w->progress != NULL) el_pull_progress_pause(w->progress);
    if (w->progress != NULL) el_pull_progress_say(w->progress, text);
    wait_ms(seconds * 1e3);
    return EDGELLM_OK;
}

static edgellm_status ask_until(el_pull_web *w, const char *url, const char *accept,
                                edgellm_error *err)
{
    uint32_t tries = 0;
    uint64_t had = w->part != NULL ? w->part->bytes : 0;
    if (w->options->offline)
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "offline: %.200s is not asked (--offline, or HF_HUB_OFFLINE is set)",
                           w->shown);
    for (;;) {
        CURLcode code = CURLE_OK;
        EL_CLI_TRY(ask_through(w, url, accept, &code, err));
        EL_CLI_TRY(judge(w, code, err));
        if (!w->again) return EDGELLM_OK;
        if (w->part != NULL && w->part->bytes >= had + MUCH) tries = 0;
        had = w->part != NULL ? w->part->bytes : 0;
        if (tries++ == w->options->retries) return give_up(w, code, err);
        EL_CLI_TRY(pause_for(w, tries, code, err));
    }
}

static edgellm_status request(el_pull_web *w, const char *url, const char *accept,
                              edgellm_error *err)
{
    w->err = err;
    w->shown = el_pull_url_shown(url);
    edgellm_status status = EDGELLM_OK;
    if (w->shown == NULL)
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an address, or it is no URL");
    if (status == EDGELLM_OK) status = ask_until(w, url, accept, err);
    free(w->shown);
    w->shown = NULL;
    return status;
}

edgellm_status el_pull_web_text(el_pull_web *w, const char *url, const char *accept, size_t limit,
                                char **text, char **type, edgellm_error *err)
{
    w->to = &text_sink;
    w->part = NULL;
    w->progress = NULL;
    w->limit = limit;
    edgellm_status status = request(w, url, accept, err);
    *text = NULL;
    if (type != NULL) *type = NULL;
    if (status == EDGELLM_OK && type != NULL) status = el_pull_text(type, err, "%s", w->head.type);
    if (status == EDGELLM_OK) {
        *text = w->text;
    } else {
        free(w->text);
    }
    w->text = NULL;
    w->used = 0;
    return status;
}

edgellm_status el_pull_web_file(el_pull_web *w, const char *url, uint64_t bytes, bool checked,
                                el_pull_part *part, el_pull_progress *progress, edgellm_error *err)
{
    w->to = &file_sink;
    w->part = part;
    w->progress = progress;
    w->expected = bytes;
    w->checked = checked;
    if (bytes != EL_PULL_UNKNOWN && part->bytes == bytes) return EDGELLM_OK; /* but for its name */
    if (bytes != EL_PULL_UNKNOWN && part->bytes > bytes) EL_CLI_TRY(el_pull_part_reset(part, err));
    el_pull_progress_pause(progress);
    edgellm_status status = request(w, url, "*/*", err);
    el_pull_progress_clear(progress);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* curl, the program, looks at these; libcurl leaves it to others. */
static CURLcode set_authorities(CURL *easy)
{
    static const char *const variables[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *file = getenv(variables[i]);
        if (file != NULL && file[0] != '\0') return curl_easy_setopt(easy, CURLOPT_CAINFO, file);
    }
    return CURLE_OK;
}

static CURLcode set_times(el_pull_web *w)
{
    const long stall = (long)w->options->stall_s;
    CURLcode code = curl_easy_setopt(w->easy, CURLOPT_CONNECTTIMEOUT,
                                     stall < CONNECT_S ? stall : (long)CONNECT_S);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
    return code;
}

static CURLcode set_calls(el_pull_web *w)
{
    CURLcode code = curl_easy_setopt(w->easy, CURLOPT_ERRORBUFFER, w->why);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_HEADERFUNCTION, take_header);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_HEADERDATA, w);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, take_body);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_WRITEDATA, w);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_XFERINFOFUNCTION, watch);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_XFERINFODATA, w);
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_NOPROGRESS, 0L);
    return code;
}

edgellm_status el_pull_web_open(el_pull_web **web, const el_pull_options *options,
                                const char *token, const char *token_for, edgellm_error *err)
{
    el_pull_web *w = calloc(1, sizeof *w);
    char agent[64];
    *web = w;
    if (w == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the network");
    w->options = options;
    w->token = token;
    w->token_for = token_for;
    snprintf(agent, sizeof agent, "edgellm/%.40s", edgellm_version());
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    w->easy = code == CURLE_OK ? curl_easy_init() : NULL;
    if (w->easy == NULL) code = CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK) code = curl_easy_setopt(w->easy, CURLOPT_USERAGENT, agent);
    if (code == CURLE_OK) code = set_times(w);
    if (code == CURLE_OK) code = set_calls(w);
    if (code == CURLE_OK) code = set_authorities(w->easy);
    if (code == CURLE_OK) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "libcurl cannot begin: %s",
                       curl_easy_strerror(code));
}

void el_pull_web_close(el_pull_web *w)
{
    if (w == NULL) return;
    curl_easy_cleanup(w->easy);
    curl_global_cleanup();
    free(w->text);
    free(w);
}
