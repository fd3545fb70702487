#include "grammar/gbnf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- errors and memory ----------------------------------------------------------------------- */

#undef el_gbnf_fail
edgellm_status el_gbnf_fail(const el_gbnf *g, uint32_t at, edgellm_error *err, const char *format,
                            ...)
{
    char what[360];
    uint32_t line = 1, column = 1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    for (uint32_t i = 0; i < at && i < g->len; i++) {
        const bool inside = ((uint8_t)g->text[i] & 0xc0) == 0x80; /* of a character */
        column = g->text[i] == '\n' ? 1 : column + !inside;
        line += g->text[i] == '\n';
    }
    return el_fail(err, EDGELLM_ERR_FORMAT, "line %u, column %u: %s", line, column, what);
}
#ifdef __clang_analyzer__
#define el_gbnf_fail(g, at, err, ...)                                                              \
    el_failure(el_gbnf_fail(g, at, err, __VA_ARGS__), EDGELLM_ERR_FORMAT)
#endif

edgellm_status el_gbnf_append(el_gbnf *g, el_gbnf_list *list, const void *entries, size_t size,
                              uint32_t n, uint32_t most, uint32_t *first, edgellm_error *err)
{
    if (n > most - list->n)
        return el_gbnf_fail(g, g->at, err, "the grammar is too large here: make it smaller");
    *first = list->n;
    if (n == 0) return EDGELLM_OK;
    if (list->n + n > list->room) {
        uint32_t room = list->room > 0 ? 2 * list->room : 64;
        while (room < list->n + n)
            room *= 2;
        void *data = realloc(list->data, room * size);
        if (!data) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the grammar");
        list->data = data;
        list->room = room;
    }
    memcpy((char *)list->data + list->n * size, entries, n * size);
    list->n += n;
    return EDGELLM_OK;
}

void el_gbnf_release(el_gbnf *g)
{
    free(g->items.data);
    free(g->ranges.data);
    free(g->bytes.data);
    free(g->rules.data);
    memset(g, 0, sizeof *g);
}

static edgellm_status add_item(el_gbnf *g, el_gbnf_item item, uint32_t *index, edgellm_error *err)
{
    return el_gbnf_append(g, &g->items, &item, sizeof item, 1, EL_GBNF_ITEMS_MAX, index, err);
}

/* ---- words ----------------------------------------------------------------------------------- */

static char peek(const el_gbnf *g)
{
    return g->at < g->len ? g->text[g->at] : '\0';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Passes spaces and comments, and ends of lines too if `lines`. */
static void skip_space(el_gbnf *g, bool lines)
{
    for (; g->at < g->len; g->at++) {
        const char c = g->text[g->at];
        if (c == '#') {
            while (g->at < g->len && g->text[g->at] != '\n' && g->text[g->at] != '\r')
                g->at++;
            g->at--;
            continue;
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r'))) return;
    }
}

static uint32_t read_name(el_gbnf *g)
{
    const uint32_t start = g->at;
    while (is_word(peek(g)))
        g->at++;
    return g->at - start;
}

/* By a factor that nobody knows beforehand, or names could be chosen that all meet. */
static uint32_t hash_name(const el_gbnf *g, uint32_t name, uint32_t bytes)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)g->text[name + i]) * g->factor;
    return (hash ^ hash >> 16) % EL_GBNF_NAMES;
}

/* The rule of this name, which is made if it is new. */
static edgellm_status find_rule(el_gbnf *g, uint32_t name, uint32_t bytes, uint32_t *rule,
                                edgellm_error *err)
{
    uint32_t slot = hash_name(g, name, bytes);
    for (; g->names[slot] != 0; slot = (slot + 1) % EL_GBNF_NAMES) {
        const el_gbnf_rule *r = el_gbnf_rule_at(g, g->names[slot] - 1u);
        if (r->name_bytes != bytes || memcmp(g->text + r->name, g->text + name, bytes) != 0)
            continue;
        *rule = g->names[slot] - 1u;
        return EDGELLM_OK;
    }
    const el_gbnf_rule new_rule = {name, bytes, EL_GBNF_NONE};
    if (g->rules.n == EL_GBNF_RULES_MAX)
        return el_gbnf_fail(g, name, err, "more than %d rules: join some", EL_GBNF_RULES_MAX);
    EL_TRY(
        el_gbnf_append(g, &g->rules, &new_rule, sizeof new_rule, 1, EL_GBNF_RULES_MAX, rule, err));
    g->names[slot] = (uint16_t)(*rule + 1);
    return EDGELLM_OK;
}

/* ---- items ----------------------------------------------------------------------------------- */

static edgellm_status parse_choice(el_gbnf *g, uint32_t depth, uint32_t *index, edgellm_error *err);

static edgellm_status parse_group(el_gbnf *g, uint32_t depth, uint32_t *index, edgellm_error *err)
{
    const uint32_t start = g->at++;
    if (depth == EL_GBNF_DEPTH_MAX)
        return el_gbnf_fail(g, start, err,
                            "more than %d groups in each other: give the inner ones rules",
                            EL_GBNF_DEPTH_MAX);
    skip_space(g, true);
    EL_TRY(parse_choice(g, depth + 1, index, err));
    if (peek(g) != ')') return el_gbnf_fail(g, g->at, err, "expected ) for the ( before it");
    g->at++;
    return EDGELLM_OK;
}

static edgellm_status parse_reference(el_gbnf *g, uint32_t *index, edgellm_error *err)
{
    el_gbnf_item item = {.kind = EL_GBNF_RULE, .before = EL_GBNF_NONE};
    const uint32_t name = g->at, bytes = read_name(g);
    EL_TRY(find_rule(g, name, bytes, &item.first, err));
    return add_item(g, item, index, err);
}

static edgellm_status
parse_simple(el_gbnf *g, edgellm_status (*parse)(el_gbnf *, el_gbnf_item *, edgellm_error *),
             uint32_t *index, edgellm_error *err)
{
    el_gbnf_item item = {.before = EL_GBNF_NONE};
    EL_TRY(parse(g, &item, err));
    return add_item(g, item, index, err);
}

static bool starts_item(char c)
{
    return is_word(c) || (c != '\0' && strchr("\"[.(", c));
}

static edgellm_status parse_item(el_gbnf *g, uint32_t depth, uint32_t *index, edgellm_error *err)
{
    const char c = peek(g);
    if (c == '"') return parse_simple(g, el_gbnf_literal, index, err);
    if (c == '[' || c == '.') return parse_simple(g, el_gbnf_class, index, err);
    if (c == '(') return parse_group(g, depth, index, err);
    return parse_reference(g, index, err);
}

/* ---- repetitions ----------------------------------------------------------------------------- */

static edgellm_status parse_count(el_gbnf *g, uint32_t *count, edgellm_error *err)
{
    const uint32_t start = g->at;
    uint32_t value = 0;
    for (; peek(g) >= '0' && peek(g) <= '9'; g->at++) {
        value = value * 10 + (uint32_t)(peek(g) - '0');
        if (value > EL_GBNF_COUNT_MAX)
            return el_gbnf_fail(g, start, err,
                                "repetitions are counted up to %d: leave it open, {m,}",
                                EL_GBNF_COUNT_MAX);
    }
    if (g->at == start) return el_gbnf_fail(g, start, err, "expected a number: {m}, {m,} or {m,n}");
    skip_space(g, false);
    *count = value;
    return EDGELLM_OK;
}

/* {m}, {m,} or {m,n}. */
static edgellm_status parse_braces(el_gbnf *g, uint32_t *least, uint32_t *most, edgellm_error *err)
{
    const uint32_t start = g->at++;
    skip_space(g, false);
    EL_TRY(parse_count(g, least, err));
    *most = *least;
    if (peek(g) == ',') {
        g->at++;
        skip_space(g, false);
        *most = EL_GBNF_NO_LIMIT;
        if (peek(g) != '}') EL_TRY(parse_count(g, most, err));
    }
    if (peek(g) != '}') return el_gbnf_fail(g, g->at, err, "expected } after {m, {m, or {m,n");
    g->at++;
    if (*most < *least)
        return el_gbnf_fail(g, start, err, "{%u,%u}: the second number is smaller than the first",
                            *least, *most);
    return EDGELLM_OK;
}

static bool starts_repetition(char c)
{
    return c != '\0' && strchr("*+?{", c);
}

/* What follows an item: it is put into one that repeats it. */
static edgellm_status parse_repetition(el_gbnf *g, uint32_t *index, edgellm_error *err)
{
    el_gbnf_item item = {.kind = EL_GBNF_REPEAT, .first = *index, .before = EL_GBNF_NONE};
    const char c = peek(g);
    if (!starts_repetition(c)) return EDGELLM_OK;
    if (c == '{') {
        EL_TRY(parse_braces(g, &item.least, &item.most, err));
    } else {
        item.least = c == '+';
        item.most = c == '?' ? 1 : EL_GBNF_NO_LIMIT;
        g->at++;
    }
    skip_space(g, false);
    if (starts_repetition(peek(g)))
        return el_gbnf_fail(g, g->at, err,
                            "two repetitions of one item: put the first into parentheses");
    return add_item(g, item, index, err);
}

/* ---- sequences, choices, rules --------------------------------------------------------------- */

/* Puts the item behind those of its parent. */
static void link_item(el_gbnf *g, uint32_t parent, uint32_t index)
{
    el_gbnf_item *items = g->items.data;
    items[index].before = items[parent].first;
    items[parent].first = index;
    items[parent].count++;
}

static edgellm_status parse_sequence(el_gbnf *g, uint32_t depth, uint32_t *index,
                                     edgellm_error *err)
{
    const el_gbnf_item item = {EL_GBNF_SEQUENCE, EL_GBNF_NONE, 0, EL_GBNF_NONE, 0, 0};
    EL_TRY(add_item(g, item, index, err));
    while (starts_item(peek(g))) {
        uint32_t child;
        EL_TRY(parse_item(g, depth, &child, err));
        skip_space(g, depth > 0);
        EL_TRY(parse_repetition(g, &child, err));
        skip_space(g, depth > 0);
        link_item(g, *index, child);
    }
    return EDGELLM_OK;
}

/* Does the rule go on in a line that starts with "|"? */
static void join_lines(el_gbnf *g)
{
    const uint32_t here = g->at;
    skip_space(g, true);
    if (peek(g) != '|') g->at = here;
}

static edgellm_status parse_choice(el_gbnf *g, uint32_t depth, uint32_t *index, edgellm_error *err)
{
    const el_gbnf_item item = {EL_GBNF_CHOICE, EL_GBNF_NONE, 0, EL_GBNF_NONE, 0, 0};
    EL_TRY(add_item(g, item, index, err));
    for (;;) {
        uint32_t child;
        EL_TRY(parse_sequence(g, depth, &child, err));
        link_item(g, *index, child);
        join_lines(g);
        if (peek(g) != '|') return EDGELLM_OK;
        g->at++;
        skip_space(g, true);
    }
}

static edgellm_status unexpected(const el_gbnf *g, edgellm_error *err)
{
    const char c = peek(g);
    if (c == '<' || c == '!')
        return el_gbnf_fail(g, g->at, err,
                            "tokens by name or number are not supported: write text");
    if (c == ':' || c == '=')
        return el_gbnf_fail(g, g->at, err, "a rule begins in a line of its own, as name ::= ...");
    return el_gbnf_fail(g, g->at, err,
                        "'%.1s' is no part of a rule: expected \"text\", [class], ., (group), a "
                        "rule's name, |, or the end of the line",
                        (uint8_t)c < 0x80 ? g->text + g->at : "?");
}

static edgellm_status parse_rule(el_gbnf *g, edgellm_error *err)
{
    const uint32_t name = g->at, bytes = read_name(g);
    uint32_t rule, item;
    if (bytes == 0)
        return el_gbnf_fail(
            g, name, err, "expected a rule: name ::= ..., where names have a-z, A-Z, 0-9, - and _");
    skip_space(g, false);
    if (g->len - g->at < 3 || memcmp(g->text + g->at, "::=", 3) != 0)
        return el_gbnf_fail(g, g->at, err, "expected ::= after the rule's name");
    g->at += 3;
    EL_TRY(find_rule(g, name, bytes, &rule, err));
    if (el_gbnf_rule_at(g, rule)->item != EL_GBNF_NONE)
        return el_gbnf_fail(g, name, err,
                            "a second rule of the name %.*s: rename one, or join them "
                            "with |",
                            bytes < EL_GBNF_NAME_SHOWN ? (int)bytes : EL_GBNF_NAME_SHOWN,
                            g->text + name);
    skip_space(g, true);
    EL_TRY(parse_choice(g, 0, &item, err));
    if (g->at < g->len && peek(g) != '\n' && peek(g) != '\r') return unexpected(g, err);
    el_gbnf_rule *r = (el_gbnf_rule *)g->rules.data + rule;
    *r = (el_gbnf_rule){name, bytes, item};
    return EDGELLM_OK;
}

/* Is every rule there that is used, and one where an answer begins? */
static edgellm_status check_rules(el_gbnf *g, edgellm_error *err)
{
    g->root = EL_GBNF_NONE;
    for (uint32_t i = 0; i < g->rules.n; i++) {
        const el_gbnf_rule *r = el_gbnf_rule_at(g, i);
        const int shown =
            r->name_bytes < EL_GBNF_NAME_SHOWN ? (int)r->name_bytes : EL_GBNF_NAME_SHOWN;
        if (r->item == EL_GBNF_NONE)
            return el_gbnf_fail(g, r->name, err,
                                "there is no rule %.*s: define it, or correct the "
                                "name",
                                shown, g->text + r->name);
        if (r->name_bytes == 4 && memcmp(g->text + r->name, "root", 4) == 0) g->root = i;
    }
    if (g->root != EL_GBNF_NONE) return EDGELLM_OK;
    return el_gbnf_fail(g, g->len, err,
                        "there is no rule root, where an answer begins: add root ::= "
                        "...");
}

edgellm_status el_gbnf_parse(el_gbnf *g, const char *text, size_t len, edgellm_error *err)
{
    memset(g, 0, sizeof *g);
    g->factor = (uint32_t)el_clock_now() << 3 | 5;
    g->text = text;
    g->len = len < EL_GBNF_TEXT_MAX ? (uint32_t)len : EL_GBNF_TEXT_MAX;
    if (len > EL_GBNF_TEXT_MAX)
        return el_gbnf_fail(g, g->len, err,
                            "the grammar has %zu bytes, more than %u: make it smaller", len,
                            EL_GBNF_TEXT_MAX);
    EL_TRY(el_gbnf_check_text(g, err));
    for (skip_space(g, true); g->at < g->len; skip_space(g, true))
        EL_TRY(parse_rule(g, err));
    return check_rules(g, err);
}
