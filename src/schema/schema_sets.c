/* schema_sets.c: sets of characters; in a JSON string some of them are escapes. */
#include "schema/schema_sets.h"

#include <ctype.h>
#include <string.h>

/* ---- sets --------------------------------------------------------------------------------- */

void el_set_add(el_set *set, uint32_t from, uint32_t to)
{
    if (set->n == EL_SET_RANGES)
        set->is_full = true;
    else
        set->ranges[set->n++] = (el_set_range){from, to};
}

void el_set_add_set(el_set *set, const el_set *more)
{
    for (uint32_t i = 0; i < more->n; i++)
        el_set_add(set, more->ranges[i].from, more->ranges[i].to);
}

void el_set_order(el_set *set)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < set->n; i++) {
        const el_set_range one = set->ranges[i];
        uint32_t k = i;
        for (; k > 0 && set->ranges[k - 1].from > one.from; k--)
            set->ranges[k] = set->ranges[k - 1];
        set->ranges[k] = one;
    }
    for (uint32_t i = 0; i < set->n; i++) {
        const el_set_range one = set->ranges[i];
        if (n == 0 || one.from > set->ranges[n - 1].to + 1)
            set->ranges[n++] = one;
        else if (one.to > set->ranges[n - 1].to)
            set->ranges[n - 1].to = one.to;
    }
    set->n = n;
}

void el_set_invert(el_set *set)
{
    el_set rest = {.is_full = set->is_full};
    uint32_t from = 0;
    el_set_order(set);
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->ranges[i].from > from) el_set_add(&rest, from, set->ranges[i].from - 1);
        from = set->ranges[i].to + 1;
    }
    if (from <= EL_SET_LAST) el_set_add(&rest, from, EL_SET_LAST);
    *set = rest;
}

/* ---- names -------------------------------------------------------------------------------- */

static const struct {
    char letter;
    uint32_t n;
    el_set_range ranges[11];
} named[] = {
    {'d', 1, {{'0', '9'}}},
    {'w', 4, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
    {'s',
     10,
     {{9, 13},
      {' ', ' '},
      {0xa0, 0xa0},
      {0x1680, 0x1680},
      {0x2000, 0x200a},
      {0x2028, 0x2028},
      {0x2029, 0x2029},
      {0x202f, 0x202f},
      {0x205f, 0x205f},
      {0x3000, 0x3000}}},
    {'.', 3, {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}}, /* all but these */
};

void el_set_keep_ascii(el_set *set)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        el_set_range range = set->ranges[i];
        if (range.from > 0x7f) continue;
        if (range.to > 0x7f) range.to = 0x7f;
        set->ranges[n++] = range;
    }
    set->n = n;
}

bool el_set_named(char letter, el_set *set)
{
    const char lower = (char)tolower((unsigned char)letter);
    *set = (el_set){0};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].letter != lower) continue;
        for (uint32_t k = 0; k < named[i].n; k++)
            el_set_add(set, named[i].ranges[k].from, named[i].ranges[k].to);
        if (lower != letter || letter == '.') el_set_invert(set);
        if (lower != letter) el_set_keep_ascii(set);
        return true;
    }
    return false;
}

/* ---- text --------------------------------------------------------------------------------- */

static bool holds(const el_set *set, uint32_t c)
{
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->ranges[i].from <= c && c <= set->ranges[i].to) return true;
    }
    return false;
}

static void put_character(el_schema_work *w, uint32_t c)
{
    if (c < 0x7f && !strchr("[]\\^-\"", (int)c))
        el_schema_put(w, "%c", (int)c);
    else if (c < 0x80)
        el_schema_put(w, "\\x%02X", c);
    else
        el_schema_put(w, c < 0x10000 ? "\\u%04X" : "\\U%08X", c);
}

static void put_characters(el_schema_work *w, uint32_t from, uint32_t to)
{
    put_character(w, from);
    if (to > from + 1) el_schema_put(w, "-");
    if (to > from) put_character(w, to);
}

/* Those that stand for themselves. */
static bool put_plain(el_schema_work *w, const el_set *set)
{
    static const el_set_range plain[] = {
        {0x20, 0x21}, {0x23, 0x5b}, {0x5d, 0x7e}, {0x80, 0xd7ff}, {0xe000, EL_SET_LAST}};
    bool has_any = false;
    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
        for (uint32_t i = 0; i < set->n; i++) {
            const el_set_range *r = &set->ranges[i];
            const uint32_t from = r->from > plain[k].from ? r->from : plain[k].from;
            const uint32_t to = r->to < plain[k].to ? r->to : plain[k].to;
            if (from > to) continue;
            if (!has_any) el_schema_put(w, "[");
            put_characters(w, from, to);
            has_any = true;
        }
    }
    if (has_any) el_schema_put(w, "]");
    return has_any;
}

static bool put_escapes(el_schema_work *w, const el_set *set, const char *before)
{
    static const char escaped[] = "\"\\\b\f\n\r\t";
    static const char *const letters[] = {"\\x22", "\\x5C", "b", "f", "n", "r", "t"};
    bool has_any = false;
    for (size_t i = 0; escaped[i]; i++) {
        if (!holds(set, (unsigned char)escaped[i])) continue;
        if (!has_any) el_schema_put(w, "%s\"\\\\\" [", before);
        el_schema_put(w, "%s", letters[i]);
        has_any = true;
    }
    if (has_any) el_schema_put(w, "]");
    return has_any;
}

bool el_set_put(el_schema_work *w, const el_set *set)
{
    el_schema_put(w, "(");
    const bool has_plain = put_plain(w, set);
    const bool has_escapes = put_escapes(w, set, has_plain ? " | " : "");
    el_schema_put(w, ")");
    return has_plain || has_escapes;
}
