/*
 * schema_digits.c: exactly the digits of the numbers in a range. Numbers with fractions keep to 15
 * digits next to an open bound, so that none rounds onto the bound when it is read as a double.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema_work.h"

static const char zeros[] = "000000000000000", nines[] = "999999999999999";

static void next_choice(el_schema_choices *c)
{
    if (c->n++ > 0) el_schema_put(c->w, " | ");
}

static bool is_all(const char *digits, char digit)
{
    return strspn(digits, (const char[]){digit, 0}) == strlen(digits);
}

static const char *last(const char *digits, size_t n)
{
    return digits + EL_SCHEMA_DIGITS - n;
}

static void put_digit(el_schema_choices *c, char from, char to)
{
    if (from == to)
        el_schema_put(c->w, "\"%c\" ", from);
    else
        el_schema_put(c->w, "[%c-%c] ", from, to);
}

static void put_any_digits(el_schema_choices *c, size_t least, size_t most)
{
    if (most == 0) return;
    el_schema_put(c->w, "[0-9]");
    if (least != 1 || most != 1) el_schema_put_count(c->w, (uint32_t)least, (uint32_t)most);
    el_schema_put(c->w, " ");
}

/* ---- whole numbers ------------------------------------------------------------------------ */

/* All strings of digits from `a` to `b`, which are equally long. */
static void put_range(el_schema_choices *c, const char *a, const char *b)
{
    const size_t rest = strlen(a) - 1;
    if (is_all(a, '0') && is_all(b, '9')) {
        put_any_digits(c, strlen(a), strlen(a));
        return;
    }
    if (a[0] == b[0]) {
        put_digit(c, a[0], a[0]);
        if (rest > 0) put_range(c, a + 1, b + 1);
        return;
    }
    el_schema_choices in = {.w = c->w};
    const char from = is_all(a + 1, '0') ? a[0] : (char)(a[0] + 1);
    const char to = is_all(b + 1, '9') ? b[0] : (char)(b[0] - 1);
    const bool has_several = (from != a[0]) + (from <= to) + (to != b[0]) > 1;
    if (has_several) el_schema_put(c->w, "(");
    if (from != a[0]) {
        next_choice(&in);
        put_digit(c, a[0], a[0]);
        put_range(c, a + 1, last(nines, rest));
    }
    if (from <= to) {
        next_choice(&in);
        put_digit(c, from, to);
        put_any_digits(c, rest, rest);
    }
    if (to != b[0]) {
        next_choice(&in);
        put_digit(c, b[0], b[0]);
        put_range(c, last(zeros, rest), b + 1);
    }
    if (has_several) el_schema_put(c->w, ") ");
}

/* All numbers of `n` digits or more, up to the longest below `most`: the first that is not among
 * them. There is no 0 in front of others. */
static uint64_t put_lengths(el_schema_choices *c, size_t n, uint64_t end, uint64_t most)
{
    const size_t first = n;
    for (; most / 10 >= end && end * 10 - 1 <= most; n++)
        end *= 10;
    next_choice(c);
    el_schema_put(c->w, "[1-9] ");
    put_any_digits(c, first - 1, n - 1);
    return end;
}

void el_schema_put_whole(el_schema_choices *c, uint64_t least, uint64_t most, const char *behind)
{
    uint64_t begin = 1, end = 10; /* of the numbers of `digits` digits */
    size_t digits = 1;
    while (least <= most) {
        char a[24], b[24];
        for (; least >= end; digits++, end *= 10)
            begin = end;
        const uint64_t top = most < end ? most : end - 1;
        snprintf(a, sizeof a, "%llu", (unsigned long long)least);
        snprintf(b, sizeof b, "%llu", (unsigned long long)(least == 0 && most >= 99 ? 0 : top));
        if (least == begin && top == end - 1) {
            least = put_lengths(c, digits, end, most);
        } else {
            next_choice(c);
            put_range(c, a, b);
            least = strtoull(b, NULL, 10) + 1;
        }
        el_schema_put(c->w, "%s", behind);
    }
}

/* ---- fractions ---------------------------------------------------------------------------- */

/* Digits behind those of `part` or more, of which `room` count. Open: more. */
static void put_from(el_schema_choices *c, const char *part, bool is_open, size_t room)
{
    if (*part == '\0' && !is_open) {
        put_any_digits(c, 0, room);
        return;
    }
    if (room == 0) {
        c->is_too_fine = true;
        return;
    }
    if (*part == '\0') {
        if (room > 1) el_schema_put(c->w, "\"0\"{0,%zu} ", room - 1);
        el_schema_put(c->w, "[1-9] ");
        put_any_digits(c, 0, room - 1);
        return;
    }
    el_schema_put(c->w, "(");
    put_digit(c, *part, *part);
    put_from(c, part + 1, is_open, room - 1);
    if (*part < '9') {
        el_schema_put(c->w, "| ");
        put_digit(c, (char)(*part + 1), '9');
        put_any_digits(c, 0, room - 1);
    }
    el_schema_put(c->w, ") ");
}

/* Digits up to those of `part`, which may end earlier where `may_end`. Open: less; `part` is not
 * empty then. */
static void put_up_to(el_schema_choices *c, const char *part, bool is_open, bool may_end,
                      size_t room)
{
    el_schema_choices in = {.w = c->w};
    if (*part == '\0') {
        if (room > 0) el_schema_put(c->w, "\"0\"{0,%zu} ", room);
        return;
    }
    if (room == 0) {
        c->is_too_fine = true;
        return;
    }
    el_schema_put(c->w, "(");
    if (*part > '0') {
        next_choice(&in);
        put_digit(c, '0', (char)(*part - 1));
        put_any_digits(c, 0, room - 1);
    }
    if (part[1] || !is_open) {
        next_choice(&in);
        put_digit(c, *part, *part);
        put_up_to(c, part + 1, is_open, true, room - 1);
    }
    el_schema_put(c->w, may_end ? ")? " : ") ");
}

/* ---- between two bounds ------------------------------------------------------------------- */

static size_t room_behind(uint64_t whole)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%llu", (unsigned long long)whole);
    return n < EL_SCHEMA_DIGITS ? (size_t)(EL_SCHEMA_DIGITS - n) : 1;
}

static void put_point(el_schema_choices *c, uint64_t whole)
{
    next_choice(c);
    el_schema_put(c->w, "\"%llu.\" ", (unsigned long long)whole);
}

static void put_alone(el_schema_choices *c, uint64_t whole)
{
    next_choice(c);
    el_schema_put(c->w, "\"%llu\" ", (unsigned long long)whole);
}

/* With zeros behind, up to `n` digits. */
static void pad(char to[EL_SCHEMA_DIGITS + 1], const char *from, size_t n)
{
    memset(to, '0', n);
    to[n] = '\0';
    memcpy(to, from, strlen(from));
}

static void cut_zeros(char *digits)
{
    for (size_t n = strlen(digits); n > 0 && digits[n - 1] == '0'; n--)
        digits[n - 1] = '\0';
}

/* Fractions that begin with a digit of `from`, one of `to`, which is greater, or between these. */
static void put_fork(el_schema_choices *c, char *from, bool is_open, char *to, bool is_open_above,
                     size_t room)
{
    if (room == 0) {
        c->is_too_fine = true;
        return;
    }
    cut_zeros(from + 1);
    cut_zeros(to + 1);
    el_schema_put(c->w, "(");
    put_digit(c, from[0], from[0]);
    put_from(c, from + 1, is_open, room - 1);
    if (to[0] - from[0] > 1) {
        el_schema_put(c->w, "| ");
        put_digit(c, (char)(from[0] + 1), (char)(to[0] - 1));
        put_any_digits(c, 0, room - 1);
    }
    if (to[1] || !is_open_above) {
        el_schema_put(c->w, "| ");
        put_digit(c, to[0], to[0]);
        put_up_to(c, to + 1, is_open_above, true, room - 1);
    }
    el_schema_put(c->w, ") ");
}

/* Where the digits of the lower bound are written and zeros follow, a number may end. */
static void put_shared_digits(el_schema_choices *c, const el_schema_bound *a, const char *digits,
                              size_t n, size_t *open)
{
    for (size_t i = 0; i <= n; i++) {
        if (!a->is_open && i > 0 && i >= strlen(a->part) && digits[i]) {
            el_schema_put(c->w, "(");
            ++*open;
        }
        if (i < n) put_digit(c, digits[i], digits[i]);
    }
}

/* Both bounds have the same whole part: fractions from one to the other. */
static void put_inside(el_schema_choices *c, const el_schema_bound *a, const el_schema_bound *b)
{
    char from[EL_SCHEMA_DIGITS + 1], to[EL_SCHEMA_DIGITS + 1];
    const size_t n = strlen(a->part) > strlen(b->part) ? strlen(a->part) : strlen(b->part);
    const size_t room = room_behind(a->whole);
    size_t same = 0, open = 0;
    pad(from, a->part, n);
    pad(to, b->part, n);
    const bool is_one = strcmp(from, to) == 0;
    if (is_one && (a->is_open || b->is_open)) return;
    if (!*a->part && !a->is_open) put_alone(c, a->whole);
    while (from[same] && from[same] == to[same])
        same++;
    put_point(c, a->whole);
    put_shared_digits(c, a, from, same, &open);
    if (is_one)
        el_schema_put(c->w, "\"0\"{%d,%zu} ", n == 0, n < room ? room - n : 1);
    else
        put_fork(c, from + same, a->is_open, to + same, b->is_open, same < room ? room - same : 0);
    for (; open > 0; open--)
        el_schema_put(c->w, ")?");
}

/* Of `least` the whole part, which is not that of the greatest. */
static void put_lowest(el_schema_choices *c, const el_schema_bound *least, size_t room)
{
    const size_t own = room_behind(least->whole);
    put_point(c, least->whole);
    put_from(c, least->part, least->is_open, own < room ? own : room);
}

static void put_highest(el_schema_choices *c, const el_schema_bound *most)
{
    if (!*most->part && most->is_open) return;
    put_alone(c, most->whole);
    if (*most->part) {
        put_point(c, most->whole);
        put_up_to(c, most->part, most->is_open, false, room_behind(most->whole));
    } else {
        put_point(c, most->whole);
        el_schema_put(c->w, "\"0\"{1,%zu} ", room_behind(most->whole));
    }
}

void el_schema_put_between(el_schema_choices *c, const el_schema_bound *least,
                           const el_schema_bound *most)
{
    char behind[32];
    const size_t room = most->is_unbounded ? EL_SCHEMA_DIGITS : room_behind(most->whole);
    const bool is_cut = *least->part || least->is_open;
    if (!most->is_unbounded && least->whole == most->whole) {
        put_inside(c, least, most);
        return;
    }
    if (is_cut) put_lowest(c, least, room);
    snprintf(behind, sizeof behind, "(\".\" [0-9]{1,%zu})?", room);
    const uint64_t end = most->is_unbounded ? EL_SCHEMA_WHOLE_MOST : most->whole - 1;
    el_schema_put_whole(c, least->whole + is_cut, end, behind);
    if (!most->is_unbounded) put_highest(c, most);
}
