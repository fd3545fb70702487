/*
 * nfc.c: see nfc.h. Every character is taken apart, marks are sorted, and what can be one is put
 * together again (Unicode Standard Annex 15). In linear time whatever the text: there are 255
 * orders of marks at most.
 */
#include "token/nfc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "token/chars.h"
#include "token/unicode_nfc.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum {
    FIRST_BYTE = 0xCC, /* no character whose first byte is lower changes, or changes others */
    MOST_PARTS = 4,
    BYTE = 0x110000, /* and more: a byte that is no character */
    SHORT = 16       /* marks that are sorted one by one */
};

/* Syllables of Hangul: 19 leads, 21 vowels, and 27 tails or none, one after the other. */
enum {
    SYLLABLE = 0xAC00,
    SYLLABLES = 11172,
    LEAD = 0x1100,
    LEADS = 19,
    VOWEL = 0x1161,
    VOWELS = 21,
    TAIL = 0x11A7, /* none */
    TAILS = 28
};

typedef struct work {
    uint32_t *codes; /* (n) */
    uint8_t *orders; /* (n) of marks; 0: it is none */
    uint32_t *other; /* as long: for sorting */
    size_t n;
} work;

/* ---- tables ---- */

/* The first row whose number in `column` is not below code; n: there is none. */
static size_t first_row(const uint32_t (*rows)[3], size_t n, int column, uint32_t code)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (rows[middle][column] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const uint32_t *find_parts(uint32_t code)
{
    const size_t n = COUNT(el_unicode_parts), at = first_row(el_unicode_parts, n, 0, code);
    return at < n && el_unicode_parts[at][0] == code ? el_unicode_parts[at] : NULL;
}

static uint8_t order_of(uint32_t code)
{
    const size_t n = COUNT(el_unicode_marks), at = first_row(el_unicode_marks, n, 1, code);
    return at < n && el_unicode_marks[at][0] <= code ? (uint8_t)el_unicode_marks[at][2] : 0;
}

/* ---- taking apart ---- */

/* The one or two that a character is; *second 0: one. false: it is itself. */
static bool split(uint32_t code, uint32_t *first, uint32_t *second)
{
    const uint32_t *row = find_parts(code), syllable = code - SYLLABLE;
    if (row != NULL) {
        *first = row[1];
        *second = row[2];
        return true;
    }
    if (syllable >= SYLLABLES) return false;
    if (syllable % TAILS != 0) {
        *first = code - syllable % TAILS;
        *second = TAIL + syllable % TAILS;
    } else {
        *first = LEAD + syllable / (VOWELS * TAILS);
        *second = VOWEL + syllable / TAILS % VOWELS;
    }
    return true;
}

/* Returns how many there are. */
static size_t take_apart(uint32_t code, uint32_t parts[MOST_PARTS])
{
    uint32_t first, second, behind[MOST_PARTS];
    size_t n = 0, count = 1;
    while (split(code, &first, &second)) {
        if (second != 0 && n < MOST_PARTS - 1) behind[n++] = second;
        code = first;
    }
    parts[0] = code;
    while (n > 0)
        parts[count++] = behind[--n];
    return count;
}

static void add(work *w, uint32_t code)
{
    uint32_t parts[MOST_PARTS] = {code};
    const size_t n = code < BYTE ? take_apart(code, parts) : 1;
    for (size_t i = 0; i < n; i++) {
        w->codes[w->n] = parts[i];
        w->orders[w->n++] = parts[i] < BYTE ? order_of(parts[i]) : 0;
    }
}

static void add_text(work *w, const uint8_t *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        const el_char c = el_chars_at(text + at, len - at);
        add(w, c.code != EL_CHAR_INVALID ? c.code : BYTE + (uint32_t)text[at]);
        at += c.size;
    }
}

/* ---- sorting ---- */

static void sort_short(work *w, size_t begin, size_t end)
{
    for (size_t i = begin + 1; i < end; i++) {
        const uint32_t code = w->codes[i];
        const uint8_t order = w->orders[i];
        size_t at = i;
        for (; at > begin && w->orders[at - 1] > order; at--) {
            w->codes[at] = w->codes[at - 1];
            w->orders[at] = w->orders[at - 1];
        }
        w->codes[at] = code;
        w->orders[at] = order;
    }
}

/* By counting: marks of one order keep theirs. */
static void sort_long(work *w, size_t begin, size_t end)
{
    size_t places[257] = {0};
    for (size_t i = begin; i < end; i++)
        places[w->orders[i] + 1]++;
    for (unsigned order = 0; order < 256; order++)
        places[order + 1] += places[order];
    for (size_t i = begin; i < end; i++)
        w->other[begin + places[w->orders[i]]++] = w->codes[i];
    for (size_t i = begin; i < end; i++) {
        w->codes[i] = w->other[i];
        w->orders[i] = order_of(w->codes[i]);
    }
}

static void sort_marks(work *w)
{
    for (size_t begin = 0, end; begin < w->n; begin = end) {
        for (end = begin; end < w->n && w->orders[end] != 0;)
            end++;
        if (end - begin > SHORT)
            sort_long(w, begin, end);
        else
            sort_short(w, begin, end);
        if (end == begin) end++;
    }
}

/* ---- putting together ---- */

static int compare(const uint32_t *row, uint32_t first, uint32_t second)
{
    if (row[1] != first) return row[1] < first ? -1 : 1;
    return (row[2] > second) - (row[2] < second);
}

/* 0: they stay two. */
static uint32_t put_together(uint32_t first, uint32_t second)
{
    if (first - LEAD < LEADS && second - VOWEL < VOWELS)
        return SYLLABLE + ((first - LEAD) * VOWELS + (second - VOWEL)) * TAILS;
    if (first - SYLLABLE < SYLLABLES && (first - SYLLABLE) % TAILS == 0 && second > TAIL &&
        second - TAIL < TAILS)
        return first + (second - TAIL);
    size_t low = 0, high = COUNT(el_unicode_composed);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare(el_unicode_parts[el_unicode_composed[middle]], first, second) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == COUNT(el_unicode_composed)) return 0;
    const uint32_t *row = el_unicode_parts[el_unicode_composed[low]];
    return compare(row, first, second) == 0 ? row[0] : 0;
}

/* A mark joins the character before it unless one that comes no later stands between. */
static void compose(work *w)
{
    size_t kept = 0, base = SIZE_MAX;
    for (size_t i = 0; i < w->n; i++) {
        const uint8_t order = w->orders[i];
        const bool can = base != SIZE_MAX && (base + 1 == kept || w->orders[kept - 1] < order);
        const uint32_t whole = can ? put_together(w->codes[base], w->codes[i]) : 0;
        if (whole != 0) {
            w->codes[base] = whole;
            continue;
        }
        if (order == 0) base = kept;
        w->codes[kept] = w->codes[i];
        w->orders[kept++] = order;
    }
    w->n = kept;
}

/* ---- all ---- */

static size_t write_code(uint8_t *to, uint32_t code)
{
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    const size_t size = code >= BYTE     ? 1
                        : code < 0x80    ? 1
                        : code < 0x800   ? 2
                        : code < 0x10000 ? 3
                                         : 4;
    if (size == 1) {
        to[0] = (uint8_t)(code >= BYTE ? code - BYTE : code);
        return 1;
    }
    for (size_t i = size; i-- > 1; code >>= 6)
        to[i] = (uint8_t)(0x80 | (code & 0x3F));
    to[0] = (uint8_t)(leads[size] | code);
    return size;
}

static bool may_change(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] >= FIRST_BYTE) return true;
    return false;
}

edgellm_status el_nfc(const uint8_t *text, size_t len, uint8_t **made, size_t *made_len,
                      edgellm_error *err)
{
    *made = NULL;
    if (!may_change(text, len)) return EDGELLM_OK;
    const size_t room = 2 * len; /* no byte has more parts, as the test shows */
    uint32_t *memory = malloc(room * (2 * sizeof *memory + 1));
    if (memory == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "tokenizer: no memory to normalize %zu bytes", len);
    work w = {memory, (uint8_t *)(memory + 2 * room), memory + room, 0};
    add_text(&w, text, len);
    sort_marks(&w);
    compose(&w);
    uint8_t *to = (uint8_t *)w.other; /* 4 bytes for each */
    size_t n = 0;
    for (size_t i = 0; i < w.n; i++)
        n += write_code(to + n, w.codes[i]);
    *made = malloc(n > 0 ? n : 1);
    if (*made != NULL) memcpy(*made, to, n);
    *made_len = n;
    free(memory);
    if (*made != NULL) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "tokenizer: no memory for %zu bytes", n);
}
