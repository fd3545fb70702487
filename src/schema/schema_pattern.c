/*
 * schema_pattern.c: a regular expression, as ECMA-262 has them, to a grammar: both are made of the
 * same things. What a grammar cannot do (looking around, referring back) is refused. A pattern that
 * is not held at an end by ^ or $ may have anything there.
 */
#include <stdlib.h>
#include <string.h>

#include "schema/schema_sets.h"

enum { GROUPS = 32 };

typedef struct pattern {
    el_schema_work *w;
    uint32_t place;
    const char *at, *end;
    uint32_t depth;
    bool is_literal; /* a literal is open */
    bool has_named;  /* the class in hand has a set such as \d */
} pattern;

/* What was read: whether it may be empty, and how long its repetitions are when written out. */
typedef struct extent {
    bool may_be_empty;
    uint64_t size;
} extent;

static edgellm_status refuse(const pattern *p, const char *why)
{
    return el_schema_fail(p->w, p->place, "pattern", EDGELLM_ERR_UNSUPPORTED, "%s", why);
}

static char peek(const pattern *p)
{
    return p->at < p->end ? *p->at : '\0';
}

static bool take(pattern *p, char c)
{
    if (p->at == p->end || *p->at != c) return false;
    p->at++;
    return true;
}

/* ---- characters --------------------------------------------------------------------------- */

/* jansson takes valid UTF-8 only. */
static uint32_t next_character(pattern *p)
{
    uint32_t c = (unsigned char)*p->at++;
    const int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    if (more) c &= 0x3fu >> more;
    for (int i = 0; i < more && p->at < p->end; i++)
        c = c << 6 | ((unsigned char)*p->at++ & 0x3fu);
    return c;
}

static size_t encode(uint32_t c, char text[4])
{
    const size_t more = c >= 0x10000 ? 3 : c >= 0x800 ? 2 : c >= 0x80 ? 1 : 0;
    static const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    for (size_t i = more; i > 0; i--, c >>= 6)
        text[i] = (char)(0x80 | (c & 0x3f));
    text[0] = (char)(leads[more] | c);
    return more + 1;
}

static edgellm_status read_hex(pattern *p, int digits, uint32_t *c)
{
    *c = 0;
    for (int i = 0; i < digits; i++) {
        const char one[2] = {peek(p), 0};
        char *end;
        const unsigned long value = strtoul(one, &end, 16);
        if (end == one) return refuse(p, "\\x has two hexadecimal digits, \\u has four");
        *c = *c << 4 | (uint32_t)value;
        p->at++;
    }
    if (*c >= 0xd800 && *c <= 0xdfff) return refuse(p, "half a character (\\ud800 to \\udfff)");
    return EDGELLM_OK;
}

/* Behind a backslash: one character. */
static edgellm_status read_escape(pattern *p, uint32_t *c)
{
    static const char letters[] = "tnrfv", means[] = "\t\n\r\f\v";
    const char letter = peek(p);
    const char *known = letter ? strchr(letters, letter) : NULL;
    if (!letter) return refuse(p, "a backslash at the end");
    *c = next_character(p);
    if (letter == 'x' || letter == 'u') return read_hex(p, letter == 'x' ? 2 : 4, c);
    if (known) *c = (unsigned char)means[known - letters];
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (known || (!is_letter && !(letter >= '0' && letter <= '9'))) return EDGELLM_OK;
    return refuse(p, "this escape is not supported (there are \\d \\w \\s \\D \\W \\S \\t \\n \\r "
                     "\\f \\v \\xHH \\uHHHH, and signs)");
}

static void close_literal(pattern *p)
{
    if (p->is_literal) el_schema_put(p->w, "\" ");
    p->is_literal = false;
}

static bool is_repeated(const pattern *p)
{
    return peek(p) != '\0' && strchr("*+?{", peek(p)) != NULL;
}

static void put_one(pattern *p, uint32_t c)
{
    char text[4];
    const size_t len = encode(c, text);
    if (is_repeated(p)) close_literal(p);
    if (!p->is_literal) el_schema_put(p->w, "\"");
    el_schema_literal_inside(p->w, text, len);
    p->is_literal = true;
    if (!is_repeated(p)) return;
    el_schema_put(p->w, "\"");
    p->is_literal = false;
}

/* ---- classes ------------------------------------------------------------------------------ */

/* A character, or a set such as \d; then *c is past the last character. */
static edgellm_status read_item(pattern *p, el_set *set, uint32_t *c)
{
    *c = EL_SET_LAST + 1;
    if (p->at == p->end) return refuse(p, "a class without its ]");
    if (!take(p, '\\')) {
        *c = next_character(p);
        return EDGELLM_OK;
    }
    if (peek(p) != '.' && el_set_named(peek(p), set)) {
        p->at++;
        p->has_named = true;
        return EDGELLM_OK;
    }
    if (take(p, 'b')) {
        *c = '\b';
        return EDGELLM_OK;
    }
    return read_escape(p, c);
}

/* One item, or a range from one to another. */
static edgellm_status read_items(pattern *p, el_set *set)
{
    el_set of_item = {0};
    uint32_t from = 0, to;
    EL_TRY(read_item(p, &of_item, &from));
    if (from > EL_SET_LAST) {
        el_set_add_set(set, &of_item);
        return EDGELLM_OK;
    }
    to = from;
    if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        EL_TRY(read_item(p, &of_item, &to));
    }
    if (to > EL_SET_LAST || to < from)
        return refuse(p, "a range in a class goes from less to more");
    el_set_add(set, from, to);
    return EDGELLM_OK;
}

static edgellm_status put_set(pattern *p, el_set *set)
{
    el_set_order(set);
    if (set->is_full) return refuse(p, "a class has too many ranges");
    close_literal(p);
    if (!el_set_put(p->w, set)) return refuse(p, "a class that no string can satisfy");
    return EDGELLM_OK;
}

static edgellm_status put_class(pattern *p)
{
    el_set set = {0};
    const bool is_inverted = take(p, '^');
    p->has_named = false;
    if (peek(p) == ']') return refuse(p, "an empty class; write \\] for the sign");
    while (!take(p, ']'))
        EL_TRY(read_items(p, &set));
    if (is_inverted) el_set_invert(&set);
    if (is_inverted && p->has_named) el_set_keep_ascii(&set);
    return put_set(p, &set);
}

/* ---- atoms -------------------------------------------------------------------------------- */

static edgellm_status put_choices(pattern *p, bool is_top, extent *all);

static edgellm_status put_group(pattern *p, extent *e)
{
    if (take(p, '?') && !take(p, ':')) return refuse(p, "of groups with ? only (?: )");
    if (++p->depth > GROUPS) return refuse(p, "groups nest too deep");
    close_literal(p);
    el_schema_put(p->w, "(");
    EL_TRY(put_choices(p, false, e));
    el_schema_put(p->w, ")");
    if (!take(p, ')')) return refuse(p, "a group without its )");
    p->depth--;
    return EDGELLM_OK;
}

static edgellm_status put_escaped(pattern *p)
{
    el_set set;
    uint32_t c = 0;
    if (peek(p) != '.' && el_set_named(peek(p), &set)) {
        p->at++;
        return put_set(p, &set);
    }
    EL_TRY(read_escape(p, &c));
    put_one(p, c);
    return EDGELLM_OK;
}

static edgellm_status put_atom(pattern *p, extent *e)
{
    *e = (extent){false, 1};
    if (take(p, '(')) return put_group(p, e);
    if (take(p, '[')) return put_class(p);
    if (take(p, '\\')) return put_escaped(p);
    if (take(p, '.')) {
        el_set set;
        el_set_named('.', &set);
        return put_set(p, &set);
    }
    if (strchr("^$", peek(p))) return refuse(p, "^ only at the front, $ only at the end");
    if (strchr("*+?{}]", peek(p)))
        return refuse(p, "a sign that needs a backslash, or no place here");
    put_one(p, next_character(p));
    return EDGELLM_OK;
}

/* ---- repetitions -------------------------------------------------------------------------- */

static edgellm_status read_number(pattern *p, uint32_t *number)
{
    const char *const begin = p->at;
    *number = 0;
    while (peek(p) >= '0' && peek(p) <= '9' && *number <= EL_SCHEMA_REPEATS)
        *number = *number * 10 + (uint32_t)(*p->at++ - '0');
    return p->at > begin ? EDGELLM_OK : refuse(p, "{ is for counts, such as {2,5}; write \\{");
}

static edgellm_status read_count(pattern *p, uint32_t *least, uint32_t *most)
{
    EL_TRY(read_number(p, least));
    *most = *least;
    if (take(p, ',')) *most = EL_SCHEMA_NONE;
    if (*most == EL_SCHEMA_NONE && peek(p) != '}') EL_TRY(read_number(p, most));
    if (!take(p, '}')) return refuse(p, "a count without its }");
    if (*most < *least) return refuse(p, "a count goes from less to more");
    return EDGELLM_OK;
}

static edgellm_status put_repetition(pattern *p, extent *e)
{
    uint32_t least = 1, most = 1;
    if (take(p, '*') || take(p, '?')) {
        least = 0;
        most = p->at[-1] == '*' ? EL_SCHEMA_NONE : 1;
    } else if (take(p, '+')) {
        most = EL_SCHEMA_NONE;
    } else if (take(p, '{')) {
        EL_TRY(read_count(p, &least, &most));
    } else {
        return EDGELLM_OK;
    }
    take(p, '?'); /* as few as possible: the same strings */
    if (is_repeated(p)) return refuse(p, "a repetition of a repetition");
    if (most > 1 && e->may_be_empty) return refuse(p, "what may be empty cannot be repeated");
    const uint32_t times = most == EL_SCHEMA_NONE ? least + 1 : most;
    e->size *= times ? times : 1;
    e->may_be_empty |= least == 0;
    if (e->size > EL_SCHEMA_REPEATS) return refuse(p, "its counts make it too long");
    el_schema_put_count(p->w, least, most);
    return EDGELLM_OK;
}

/* ---- sequences ---------------------------------------------------------------------------- */

static bool ends_here(const pattern *p)
{
    return p->at == p->end || *p->at == '|' || *p->at == ')';
}

static void put_anything(pattern *p)
{
    el_schema_put_shared(p->w, EL_SHARED_CHAR);
    el_schema_put(p->w, "* ");
}

/* At the top a sequence may be held at its ends. */
static edgellm_status put_sequence(pattern *p, bool is_top, extent *all)
{
    const bool is_free = is_top && !take(p, '^');
    bool is_held = false, is_empty = true;
    if (is_free) put_anything(p);
    for (; !ends_here(p); is_empty = false) {
        extent e;
        const bool is_last = p->end - p->at == 1 || p->at[1] == '|';
        is_held = is_top && is_last && take(p, '$');
        if (is_held) break;
        EL_TRY(put_atom(p, &e));
        EL_TRY(put_repetition(p, &e));
        if (!p->is_literal) el_schema_put(p->w, " ");
        all->may_be_empty &= e.may_be_empty;
        all->size += e.size;
    }
    close_literal(p);
    if (is_top && !is_held) put_anything(p);
    if (is_empty) el_schema_put(p->w, "\"\"");
    return EDGELLM_OK;
}

static edgellm_status put_choices(pattern *p, bool is_top, extent *all)
{
    *all = (extent){false, 0};
    do {
        extent one = {true, 0};
        if (all->size > 0) el_schema_put(p->w, "| ");
        EL_TRY(put_sequence(p, is_top, &one));
        all->may_be_empty |= one.may_be_empty;
        all->size += one.size + 1;
        if (all->size > EL_SCHEMA_REPEATS) return refuse(p, "its counts make it too long");
    } while (take(p, '|'));
    return EDGELLM_OK;
}

edgellm_status el_schema_put_pattern(el_schema_work *w, uint32_t place, const char *text,
                                     size_t len)
{
    pattern p = {.w = w, .place = place, .at = text, .end = text + len};
    extent all;
    el_schema_put(w, "(");
    EL_TRY(put_choices(&p, true, &all));
    if (p.at < p.end) return refuse(&p, "a ) without its (");
    el_schema_put(w, ")");
    return EDGELLM_OK;
}
