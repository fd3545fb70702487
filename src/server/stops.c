#include "server/stops.h"

#include <string.h>

/* Where the first of them begins; `len` if none is in there whole. */
static size_t find(const el_stop_list *stops, const char *text, size_t len)
{
    size_t first = len;
    for (uint32_t i = 0; i < stops->n; i++) {
        const size_t n = stops->len[i];
        for (size_t at = 0; at < first && at + n <= len; at++) {
            if (memcmp(text + at, stops->text[i], n) == 0) first = at;
        }
    }
    return first;
}

/* Could one of them begin with all of these bytes, and be longer? */
static bool may_begin(const el_stop_list *stops, const char *text, size_t len)
{
    for (uint32_t i = 0; i < stops->n; i++)
        if (stops->len[i] > len && memcmp(stops->text[i], text, len) == 0) return true;
    return false;
}

/* How many bytes at the end may be the beginning of one: the most. */
static size_t to_hold(const el_stop_list *stops, const char *text, size_t len)
{
    size_t n = len < EL_STOP_BYTES ? len : EL_STOP_BYTES - 1;
    while (n > 0 && !may_begin(stops, text + len - n, n))
        n--;
    return n;
}

size_t el_stop_push(const el_stop_list *stops, el_stop_search *search, char *text, size_t len,
                    const char **out)
{
    char *begin = text + EL_STOP_BYTES - search->n_held;
    memcpy(begin, search->held, search->n_held);
    len += search->n_held;
    search->n_held = 0;
    *out = begin;
    if (search->found) return 0;
    const size_t at = find(stops, begin, len);
    if (at < len) {
        search->found = true;
        return at;
    }
    const size_t held = to_hold(stops, begin, len);
    memcpy(search->held, begin + len - held, held);
    search->n_held = (uint32_t)held;
    return len - held;
}

size_t el_stop_flush(el_stop_search *search, const char **out)
{
    const size_t len = search->n_held;
    *out = search->held;
    search->n_held = 0;
    return search->found ? 0 : len;
}
