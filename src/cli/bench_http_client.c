#include "cli/bench_http_client.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cli/cli_signals.h"

enum {
    CONNECT_MS = 10000, /* at most, and at most the timeout */
    POLL_MS = 1000,     /* at most: a signal may come just before poll() */
    URL_SHOWN = 150,    /* bytes of an error */
    SOFTWARE_BYTES = 64
};

struct el_cli_http {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char *url; /* without a path */
    uint64_t timeout_ns;
    char why[CURL_ERROR_SIZE];
    char software[SOFTWARE_BYTES];
    char here[INET6_ADDRSTRLEN], there[INET6_ADDRSTRLEN]; /* the connection's two ends */
    unsigned port;                                        /* there */

    char *bytes;                   /* (bytes_held) */
    el_cli_http_read *reads;       /* (reads_held) */
    size_t bytes_held, reads_held; /* memory */
    size_t room, reads_room;       /* how much of it an answer may take; a NUL follows the bytes */
    size_t used, n_reads;
    uint64_t start_ns, last_ns; /* last_ns: of the newest sign of life */
    bool begun, woken, overflowed;
};

/* ---- what libcurl calls -------------------------------------------------------------------- */

/* One time for all that one turn of the loop brings: libcurl hands over each chunk of a read. */
static void wake(el_cli_http *h)
{
    if (!h->woken) h->last_ns = el_clock_now();
    h->woken = true;
}

static bool note_read(el_cli_http *h)
{
    bool same = h->n_reads > 0 && h->reads[h->n_reads - 1].ns == h->last_ns;
    if (!same && h->n_reads == h->reads_room) return false;
    if (!same) h->n_reads++;
    h->reads[h->n_reads - 1] = (el_cli_http_read){h->last_ns, h->used};
    return true;
}

static size_t take_body(char *data, size_t one, size_t n, void *user)
{
    el_cli_http *h = user;
    wake(h);
    n *= one;
    if (n == 0) return 0;
    if (n <= h->room - h->used) {
        memcpy(h->bytes + h->used, data, n);
        h->used += n;
        if (note_read(h)) return n;
        h->used -= n;
    }
    h->overflowed = true;
    return 0; /* ends the request */
}

static size_t take_header(char *data, size_t one, size_t n, void *user)
{
    static const char name[] = "Server:";
    el_cli_http *h = user;
    wake(h);
    n *= one;
    if (n < sizeof name - 1 || strncasecmp(data, name, sizeof name - 1) != 0) return n;
    const char *from = data + sizeof name - 1, *end = data + n;
    while (from < end && *from == ' ')
        from++;
    while (end > from && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    size_t len = (size_t)(end - from);
    if (len >= sizeof h->software) len = sizeof h->software - 1;
    memcpy(h->software, from, len);
    h->software[len] = '\0';
    return n;
}

static void keep_address(char kept[INET6_ADDRSTRLEN], const char *address)
{
    size_t len = strnlen(address, INET6_ADDRSTRLEN);
    if (len == INET6_ADDRSTRLEN) len = 0;
    memcpy(kept, address, len);
    kept[len] = '\0';
}

/* The connection stands, old or new, and the request is written next. */
static int begin(void *user, char *there, char *here, int port_there, int port_here)
{
    el_cli_http *h = user;
    (void)port_here;
    keep_address(h->there, there);
    keep_address(h->here, here);
    h->port = (unsigned)port_there;
    h->begun = true;
    h->used = h->n_reads = 0; /* a connection that had died is tried anew by libcurl */
    h->start_ns = h->last_ns = el_clock_now();
    return CURL_PREREQFUNC_OK;
}

/* ---- opening ------------------------------------------------------------------------------- */

static bool drop_end(char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    if (len < n || strcmp(text + len - n, end) != 0) return false;
    text[len - n] = '\0';
    return true;
}

static edgellm_status take_url(el_cli_http *h, const char *url, const char *ending,
                               edgellm_error *err)
{
    const char *scheme = strstr(url, "://");
    const char *prefix = scheme == NULL ? "http://" : "";
    size_t bytes = strlen(prefix) + strlen(url) + 1;
    if (scheme != NULL && strncasecmp(url, "http://", 7) != 0 &&
        strncasecmp(url, "https://", 8) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "'%.*s' is no URL of a server: it begins with http:// or https://",
                           URL_SHOWN, url);
    }
    h->url = malloc(bytes);
    if (h->url == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the URL");
    stpcpy(stpcpy(h->url, prefix), url);
    while (drop_end(h->url, "/"))
        continue;
    drop_end(h->url, ending);
    return EDGELLM_OK;
}

static bool add_header(el_cli_http *h, const char *line)
{
    struct curl_slist *list = curl_slist_append(h->headers, line);
    if (list != NULL) h->headers = list;
    return list != NULL;
}

static edgellm_status prepare(el_cli_http *h, edgellm_error *err)
{
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (h->multi != NULL && h->easy != NULL && add_header(h, "Content-Type: application/json") &&
        add_header(h, "Expect:")) { /* no question before a long body */
        return EDGELLM_OK;
    }
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the connection");
}

edgellm_status el_cli_http_open(el_cli_http **http, const char *url, const char *ending,
                                double timeout, edgellm_error *err)
{
    el_cli_http *h = calloc(1, sizeof *h);
    if (h == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the connection");
    h->timeout_ns = (uint64_t)(timeout * 1e9);
    edgellm_status status = take_url(h, url, ending, err);
    if (status == EDGELLM_OK) status = prepare(h, err);
    if (status == EDGELLM_OK) {
        *http = h;
    } else {
        el_cli_http_close(h);
    }
    return status;
}

void el_cli_http_close(el_cli_http *h)
{
    if (h == NULL) return;
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    free(h->url);
    free(h->bytes);
    free(h->reads);
    free(h);
}

/* The memory, or more of it, touched, so that the pages are there; NULL: there is none. */
static void *grow(void *memory, size_t *held, size_t wanted, size_t one)
{
    if (memory != NULL && wanted <= *held) return memory;
    free(memory);
    *held = wanted;
    memory = wanted <= SIZE_MAX / one ? malloc(wanted * one) : NULL;
    if (memory != NULL) memset(memory, 0xff, wanted * one);
    return memory;
}

edgellm_status el_cli_http_reserve(el_cli_http *h, size_t bytes, size_t reads, edgellm_error *err)
{
    h->bytes = grow(h->bytes, &h->bytes_held, bytes + 1, 1);
    h->reads = grow(h->reads, &h->reads_held, reads, sizeof *h->reads);
    h->room = bytes;
    h->reads_room = reads;
    if (h->bytes != NULL && h->reads != NULL) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer of %zu bytes", bytes);
}

/* ---- a request ----------------------------------------------------------------------------- */

/* Before each request: older versions of libcurl count the connections that a server closed over a
 * handle's whole life, unless it is reset, and fail at each sixth. */
static edgellm_status set_options(el_cli_http *h, edgellm_error *err)
{
    uint64_t timeout_ms = h->timeout_ns / 1000000;
    long connect_ms = timeout_ms < CONNECT_MS ? (long)timeout_ms : CONNECT_MS;
    CURL *c = h->easy;
    int failed = 0;
    curl_easy_reset(c); /* connections stay open */
    failed |= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_PROXY, "") != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_USERAGENT, "edgellm/" EDGELLM_VERSION) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_WRITEDATA, h) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_HEADERDATA, h) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, begin) != CURLE_OK;
    failed |= curl_easy_setopt(c, CURLOPT_PREREQDATA, h) != CURLE_OK;
    if (failed == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_INTERNAL, "libcurl %s refuses an option that is needed",
                       curl_version());
}

static edgellm_status set_request(el_cli_http *h, const char *path, const char *body,
                                  edgellm_error *err)
{
    char url[2048];
    int n = snprintf(url, sizeof url, "%s%s", h->url, path);
    if (n < 0 || (size_t)n >= sizeof url) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "the URL '%.*s...' is too long", URL_SHOWN,
                           h->url);
    }
    CURLcode code = curl_easy_setopt(h->easy, CURLOPT_URL, url);
    if (code == CURLE_OK && body == NULL) code = curl_easy_setopt(h->easy, CURLOPT_HTTPGET, 1L);
    if (code == CURLE_OK && body != NULL) {
        code = curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        if (code == CURLE_OK) code = curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, body);
    }
    if (code == CURLE_OK)
        code = curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, body != NULL ? h->headers : NULL);
    if (code == CURLE_OK) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a request");
}

static edgellm_status check_time(const el_cli_http *h, edgellm_error *err)
{
    if (el_cli_interrupted() != 0) return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "%s", "");
    if (el_clock_now() - h->last_ns <= h->timeout_ns) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "%.*s is silent: nothing came for %g s; --timeout SECONDS waits longer",
                       URL_SHOWN, h->url, (double)h->timeout_ns / 1e9);
}

static int poll_ms(const el_cli_http *h)
{
    uint64_t quiet = el_clock_now() - h->last_ns;
    uint64_t left = quiet < h->timeout_ns ? (h->timeout_ns - quiet) / 1000000 + 1 : 1;
    return left < POLL_MS ? (int)left : POLL_MS;
}

static edgellm_status broken(const el_cli_http *h, CURLcode code, edgellm_error *err)
{
    const char *why = h->why[0] != '\0' ? h->why : curl_easy_strerror(code);
    if (h->overflowed) {
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "%.*s sends more than fits: there is room for %zu bytes in %zu reads",
                           URL_SHOWN, h->url, h->room, h->reads_room);
    }
    if (!h->begun) {
        long number = 0; /* the system's, if that is why: shorter than what libcurl says */
        curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &number);
        if (number != 0) why = strerror((int)number);
        return el_cli_fail(err, EDGELLM_ERR_IO, "no connection to %.*s: %.150s; does it run there?",
                           URL_SHOWN, h->url, why);
    }
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "%.*s broke off after %zu bytes of its answer: %.150s; see its own log",
                       URL_SHOWN, h->url, h->used, why);
}

static CURLcode result_of(el_cli_http *h)
{
    int left = 0;
    CURLMsg *message = curl_multi_info_read(h->multi, &left);
    if (message == NULL || message->msg != CURLMSG_DONE) return CURLE_FAILED_INIT;
    return message->data.result;
}

static edgellm_status perform(el_cli_http *h, edgellm_error *err)
{
    int running = 1;
    CURLMcode code = CURLM_OK;
    while (code == CURLM_OK) {
        h->woken = false;
        code = curl_multi_perform(h->multi, &running);
        if (code != CURLM_OK || running == 0) break;
        EL_CLI_TRY(check_time(h, err));
        code = curl_multi_poll(h->multi, NULL, 0, poll_ms(h), NULL);
    }
    if (code != CURLM_OK) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "libcurl failed: %s", curl_multi_strerror(code));
    }
    CURLcode result = result_of(h);
    return result == CURLE_OK ? EDGELLM_OK : broken(h, result, err);
}

static void forget_last(el_cli_http *h)
{
    h->begun = h->overflowed = false;
    h->used = h->n_reads = 0;
    h->why[0] = h->software[0] = '\0';
    h->last_ns = el_clock_now();
}

static void tell(el_cli_http *h, el_cli_http_answer *answer)
{
    *answer = (el_cli_http_answer){.begun = h->begun,
                                   .start_ns = h->start_ns,
                                   .bytes = h->bytes,
                                   .size = h->used,
                                   .reads = h->reads,
                                   .n_reads = h->n_reads};
    h->bytes[h->used] = '\0';
    if (h->begun) curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &answer->status);
}

edgellm_status el_cli_http_ask(el_cli_http *h, const char *path, const char *body,
                               el_cli_http_answer *answer, edgellm_error *err)
{
    *answer = (el_cli_http_answer){0};
    EL_CLI_TRY(set_options(h, err));
    EL_CLI_TRY(set_request(h, path, body, err));
    forget_last(h);
    if (curl_multi_add_handle(h->multi, h->easy) != CURLM_OK) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a request");
    }
    edgellm_status status = perform(h, err);
    tell(h, answer);
    curl_multi_remove_handle(h->multi, h->easy); /* the connection stays open if all went well */
    return status;
}

const char *el_cli_http_url(const el_cli_http *h)
{
    return h->url;
}

const char *el_cli_http_software(const el_cli_http *h)
{
    return h->software;
}

void el_cli_http_served_by(const el_cli_http *h, el_cli_http_processes *found)
{
    found->n = 0;
    if (strcmp(h->here, h->there) != 0 && strncmp(h->there, "127.", 4) != 0) return;
    el_cli_http_find_processes(h->there, h->port, found);
}
