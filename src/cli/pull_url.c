#include "cli/pull_url.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/pull.h"

bool el_pull_is_url(const char *word)
{
    return strncasecmp(word, "http://", 7) == 0 || strncasecmp(word, "https://", 8) == 0;
}

static CURLU *parse(const char *url)
{
    CURLU *u = curl_url();
    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) return u;
    curl_url_cleanup(u);
    return NULL;
}

/* libcurl's text as ours. */
static char *own(char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    curl_free(text);
    return copy;
}

static char *part_of(CURLU *u, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    return curl_url_get(u, part, &text, flags) == CURLUE_OK ? own(text) : NULL;
}

edgellm_status el_pull_url_join(const char *base, const char *address, char **url,
                                edgellm_error *err)
{
    CURLU *u = parse(base);
    const bool joined = u != NULL && curl_url_set(u, CURLUPART_URL, address, 0) == CURLUE_OK;
    *url = joined ? part_of(u, CURLUPART_URL, 0) : NULL;
    curl_url_cleanup(u);
    if (*url != NULL && el_pull_is_url(*url) &&
        (strncasecmp(base, "https:", 6) != 0 || strncasecmp(*url, "https:", 6) == 0))
        return EDGELLM_OK;
    const bool unsafe = *url != NULL && el_pull_is_url(*url);
    char *shown = el_pull_url_shown(base);
    free(*url);
    *url = NULL;
    edgellm_status status = el_cli_fail(
        err, EDGELLM_ERR_IO, "%.200s leads %s: refused", shown != NULL ? shown : "an address",
        unsafe ? "from https to http, where anybody may change what comes"
               : "to an address that begins with neither http:// nor https://");
    free(shown);
    return status;
}

bool el_pull_url_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *u = parse(a), *v = parse(b);
    bool same = u != NULL && v != NULL;
    for (size_t i = 0; same && i < sizeof parts / sizeof parts[0]; i++) {
        char *x = part_of(u, parts[i], CURLU_DEFAULT_PORT);
        char *y = part_of(v, parts[i], CURLU_DEFAULT_PORT);
        same = x != NULL && y != NULL && strcasecmp(x, y) == 0;
        free(x);
        free(y);
    }
    curl_url_cleanup(u);
    curl_url_cleanup(v);
    return same;
}

bool el_pull_url_is_private(const char *url)
{
    static const char *const here[] = {"localhost", "127.0.0.1", "[::1]"};
    if (strncasecmp(url, "https://", 8) == 0) return true;
    CURLU *u = parse(url);
    char *host = u != NULL ? part_of(u, CURLUPART_HOST, 0) : NULL;
    bool local = false;
    for (size_t i = 0; host != NULL && i < sizeof here / sizeof here[0]; i++)
        local = local || strcasecmp(host, here[i]) == 0;
    free(host);
    curl_url_cleanup(u);
    return local;
}

char *el_pull_url_shown(const char *url)
{
    static const CURLUPart hidden[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                       CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *u = parse(url);
    for (size_t i = 0; u != NULL && i < sizeof hidden / sizeof hidden[0]; i++)
        curl_url_set(u, hidden[i], NULL, 0);
    char *shown = u != NULL ? part_of(u, CURLUPART_URL, 0) : NULL;
    curl_url_cleanup(u);
    return shown;
}

bool el_pull_is_file_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '.' || strlen(name) > 200) return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 32 || *c == 127) return false;
    return true;
}

char *el_pull_url_name(const char *url)
{
    CURLU *u = parse(url);
    char *path = u != NULL ? part_of(u, CURLUPART_PATH, CURLU_URLDECODE) : NULL;
    curl_url_cleanup(u);
    if (path == NULL) return NULL;
    const char *slash = strrchr(path, '/'), *last = slash != NULL ? slash + 1 : path;
    char *name = strdup(el_pull_is_file_name(last) ? last : "");
    free(path);
    return name;
}

char *el_pull_url_escape(const char *path, bool keep_slashes)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    char *text = malloc(strlen(path) * 3 + 1), *to = text;
    for (; text != NULL && *path != '\0'; path++) {
        if (strchr(plain, *path) != NULL || (keep_slashes && *path == '/')) {
            *to++ = *path;
        } else {
            to += sprintf(to, "%%%02X", (unsigned)(unsigned char)*path);
        }
    }
    if (text != NULL) *to = '\0';
    return text;
}
