/* gbnf_chars.c: characters of a grammar: as they stand, escaped, in classes. */
#include <stdlib.h>
#include <string.h>

#include "grammar/gbnf.h"
#include "token/chars.h"

enum {
    LAST_CODE = 0x10ffff,
    FIRST_SURROGATE = 0xd800,
    LAST_SURROGATE = 0xdfff,
    RANGES_MAX = 1 << 18
};

edgellm_status el_gbnf_check_text(el_gbnf *g, edgellm_error *err)
{
    for (uint32_t at = 0; at < g->len;) {
        uint32_t code;
        const int size = el_chars_decode((const uint8_t *)g->text + at, g->len - at, &code);
        if (size <= 0)
            return el_gbnf_fail(g, at, err, "byte %02x is not UTF-8: save the grammar as UTF-8",
                                (uint8_t)g->text[at]);
        if (code == 0) return el_gbnf_fail(g, at, err, "a byte 0 in the text: write it as \\x00");
        at += (uint32_t)size;
    }
    return EDGELLM_OK;
}

/* ---- one character --------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    const char *at = lower != '\0' ? strchr(digits, lower) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* n digits after \x, \u or \U. */
static edgellm_status read_hex(el_gbnf *g, uint32_t n, uint32_t *code, edgellm_error *err)
{
    const uint32_t start = g->at - 2;
    *code = 0;
    for (uint32_t i = 0; i < n; i++, g->at++) {
        const int digit = g->at < g->len ? hex_digit(g->text[g->at]) : -1;
        if (digit < 0)
            return el_gbnf_fail(g, start, err, "expected %u hexadecimal digits after \\%c", n,
                                g->text[start + 1]);
        *code = *code << 4 | (uint32_t)digit;
    }
    if (*code <= LAST_CODE) return EDGELLM_OK;
    return el_gbnf_fail(g, start, err, "characters end at \\U0010FFFF");
}

static edgellm_status read_escape(el_gbnf *g, uint32_t *code, edgellm_error *err)
{
    static const char written[] = "nrt\\\"[]-^", meant[] = "\n\r\t\\\"[]-^";
    static const struct {
        char letter;
        uint32_t digits;
    } hex[] = {{'x', 2}, {'u', 4}, {'U', 8}};
    const char c = g->at + 1 < g->len ? g->text[g->at + 1] : '\0';
    const char *at = c != '\0' ? strchr(written, c) : NULL;
    if (at) *code = (uint8_t)meant[at - written];
    if (!at)
        for (size_t i = 0; i < sizeof hex / sizeof hex[0]; i++) {
            if (c != hex[i].letter) continue;
            g->at += 2;
            return read_hex(g, hex[i].digits, code, err);
        }
    if (!at)
        return el_gbnf_fail(g, g->at, err,
                            "unknown escape: use \\n \\r \\t \\\\ \\\" \\[ \\] \\- "
                            "\\^ \\xHH \\uHHHH \\UHHHHHHHH");
    g->at += 2;
    return EDGELLM_OK;
}

static edgellm_status read_char(el_gbnf *g, uint32_t *code, edgellm_error *err)
{
    if (g->text[g->at] == '\\') return read_escape(g, code, err);
    g->at += (uint32_t)el_chars_decode((const uint8_t *)g->text + g->at, g->len - g->at, code);
    return EDGELLM_OK;
}

/* ---- literals -------------------------------------------------------------------------------- */

static uint32_t encode(uint32_t code, uint8_t *bytes)
{
    static const uint32_t limits[] = {0x80, 0x800, 0x10000};
    static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
    uint32_t n = 1;
    while (n < 4 && code >= limits[n - 1])
        n++;
    for (uint32_t i = n; i-- > 1; code >>= 6)
        bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
    bytes[0] = (uint8_t)(marks[n - 1] | code);
    return n;
}

static edgellm_status open_text(const el_gbnf *g, uint32_t start, char end, edgellm_error *err)
{
    return el_gbnf_fail(g, start, err,
                        "%c ends nowhere: close it with %c in its line, and write "
                        "ends of lines in it as \\n",
                        g->text[start], end);
}

static bool at_end(const el_gbnf *g)
{
    return g->at >= g->len || g->text[g->at] == '\n' || g->text[g->at] == '\r';
}

edgellm_status el_gbnf_literal(el_gbnf *g, el_gbnf_item *item, edgellm_error *err)
{
    const uint32_t start = g->at++;
    item->kind = EL_GBNF_TEXT;
    item->first = g->bytes.n;
    while (!at_end(g) && g->text[g->at] != '"') {
        uint8_t bytes[4];
        uint32_t code = 0, at, place = g->at;
        EL_TRY(read_char(g, &code, err));
        if (code >= FIRST_SURROGATE && code <= LAST_SURROGATE)
            return el_gbnf_fail(g, place, err,
                                "U+%04X is half a character: write the whole one, as "
                                "\\UHHHHHHHH",
                                code);
        EL_TRY(el_gbnf_append(g, &g->bytes, bytes, 1, encode(code, bytes), EL_GBNF_TEXT_MAX, &at,
                              err));
    }
    if (at_end(g)) return open_text(g, start, '"', err);
    g->at++;
    item->count = g->bytes.n - item->first;
    return EDGELLM_OK;
}

/* ---- classes --------------------------------------------------------------------------------- */

static int by_low(const void *a, const void *b)
{
    const el_gbnf_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

/* Sorts ranges, and joins those that meet; returns how many are left. */
static uint32_t join(el_gbnf_range *ranges, uint32_t n)
{
    uint32_t kept = 0;
    if (n > 1) qsort(ranges, n, sizeof *ranges, by_low);
    for (uint32_t i = 0; i < n; i++) {
        if (kept > 0 && ranges[i].low <= ranges[kept - 1].high + 1) {
            if (ranges[i].high > ranges[kept - 1].high) ranges[kept - 1].high = ranges[i].high;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

static edgellm_status add_range(el_gbnf *g, uint32_t low, uint32_t high, edgellm_error *err)
{
    const el_gbnf_range range = {low, high};
    uint32_t at;
    return el_gbnf_append(g, &g->ranges, &range, sizeof range, 1, RANGES_MAX, &at, err);
}

/* All characters but those of the ranges from `first` on, which are joined. */
static edgellm_status negate(el_gbnf *g, uint32_t first, edgellm_error *err)
{
    const uint32_t n = g->ranges.n - first;
    uint32_t low = 0;
    EL_TRY(add_range(g, 0, 0, err)); /* room: there may be one more */
    el_gbnf_range *ranges = (el_gbnf_range *)g->ranges.data + first;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const el_gbnf_range r = ranges[i];
        if (r.low > low) ranges[kept++] = (el_gbnf_range){low, r.low - 1};
        low = r.high + 1;
    }
    if (low <= LAST_CODE) ranges[kept++] = (el_gbnf_range){low, LAST_CODE};
    g->ranges.n = first + kept;
    return EDGELLM_OK;
}

static edgellm_status read_ranges(el_gbnf *g, edgellm_error *err)
{
    while (!at_end(g) && g->text[g->at] != ']') {
        const uint32_t place = g->at;
        uint32_t low = 0, high;
        EL_TRY(read_char(g, &low, err));
        high = low;
        if (g->at + 1 < g->len && g->text[g->at] == '-' && g->text[g->at + 1] != ']') {
            g->at++;
            if (at_end(g)) return EDGELLM_OK; /* the class is open: told by the caller */
            EL_TRY(read_char(g, &high, err));
        }
        if (high < low)
            return el_gbnf_fail(g, place, err, "the range ends (U+%04X) before it begins (U+%04X)",
                                high, low);
        EL_TRY(add_range(g, low, high, err));
    }
    return EDGELLM_OK;
}

edgellm_status el_gbnf_class(el_gbnf *g, el_gbnf_item *item, edgellm_error *err)
{
    const uint32_t start = g->at++, first = g->ranges.n;
    bool negated = g->text[start] == '.';
    if (!negated) {
        negated = g->at < g->len && g->text[g->at] == '^';
        g->at += negated;
        EL_TRY(read_ranges(g, err));
        if (at_end(g)) return open_text(g, start, ']', err);
        g->at++;
    }
    if (g->ranges.n > first)
        g->ranges.n = first + join((el_gbnf_range *)g->ranges.data + first, g->ranges.n - first);
    if (negated) EL_TRY(negate(g, first, err));
    item->kind = EL_GBNF_CLASS;
    item->first = first;
    item->count = g->ranges.n - first;
    if (item->count > 0) return EDGELLM_OK;
    return el_gbnf_fail(g, start, err, "a class of no characters: put some in, or leave it out");
}
