/* schema_out.c: the grammar's text: literals, values, and the rules that all schemas share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema_work.h"

/* ---- text that grows ---------------------------------------------------------------------- */

static bool make_room(el_schema_text *t, size_t more)
{
    size_t room = t->room ? t->room : 4096;
    while (room - t->used < more + 1)
        room *= 2;
    t->is_too_long |= room > EL_SCHEMA_TEXT_BYTES;
    if (t->is_too_long || t->has_failed) return false;
    char *at = room == t->room ? t->at : realloc(t->at, room);
    if (!at) {
        t->has_failed = true;
        return false;
    }
    t->at = at;
    t->room = room;
    return true;
}

void el_schema_put_bytes(el_schema_work *w, const char *bytes, size_t len)
{
    el_schema_text *t = &w->text;
    if (!make_room(t, len)) return;
    memcpy(t->at + t->used, bytes, len);
    t->used += len;
    t->at[t->used] = '\0';
}

void el_schema_put(el_schema_work *w, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (len > 0) el_schema_put_bytes(w, text, (size_t)len);
}

void el_schema_put_name(el_schema_work *w, uint32_t rule)
{
    if (rule == 0 && !w->documents->label)
        el_schema_put(w, "root");
    else
        el_schema_put(w, "r%u", rule);
}

void el_schema_put_count(el_schema_work *w, uint32_t least, uint32_t most)
{
    if (least < 2 && most == EL_SCHEMA_NONE)
        el_schema_put(w, least ? "+ " : "* ");
    else if (least == 0 && most == 1)
        el_schema_put(w, "? ");
    else if (least == 1 && most == 1)
        el_schema_put(w, " ");
    else if (most == EL_SCHEMA_NONE)
        el_schema_put(w, "{%u,} ", least);
    else if (least == most)
        el_schema_put(w, "{%u} ", least);
    else
        el_schema_put(w, "{%u,%u} ", least, most);
}

/* How far a literal or a class reaches that begins here; 1 for anything else. */
static size_t whole_piece(const char *text, size_t len)
{
    const char end = *text == '"' ? '"' : ']';
    if (*text != '"' && *text != '[') return 1;
    for (size_t i = 1; i < len; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == end)
            return i + 1;
    }
    return len;
}

void el_schema_tidy(el_schema_work *w, size_t from)
{
    el_schema_text *t = &w->text;
    if (from > t->used) return;
    size_t to = from;
    for (size_t i = from, len; i < t->used; i += len) {
        len = whole_piece(t->at + i, t->used - i);
        const char c = t->at[i], before = to > from ? t->at[to - 1] : ' ';
        if (c == ' ' && (before == ' ' || before == '(')) continue;
        if ((c == ')' || c == '\n') && before == ' ') to--;
        memmove(t->at + to, t->at + i, len);
        to += len;
    }
    t->used = to;
    if (t->at) t->at[to] = '\0';
}

/* ---- literals ----------------------------------------------------------------------------- */

void el_schema_literal_byte(el_schema_work *w, unsigned char byte)
{
    const char one = (char)byte;
    if (byte == '"' || byte == '\\')
        el_schema_put(w, "\\%c", one);
    else if (byte < 0x20 || byte == 0x7f)
        el_schema_put(w, "\\x%02X", byte);
    else
        el_schema_put_bytes(w, &one, 1);
}

void el_schema_literal(el_schema_work *w, const char *text)
{
    for (; *text; text++)
        el_schema_literal_byte(w, (unsigned char)*text);
}

/* As jansson writes them, and as rule `char` reads them: one way for each character. */
void el_schema_literal_inside(el_schema_work *w, const char *text, size_t len)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    for (size_t i = 0; i < len; i++) {
        const unsigned char byte = (unsigned char)text[i];
        const char *control = byte ? strchr(controls, byte) : NULL;
        char escape[8] = {'\\', (char)byte};
        if (control)
            escape[1] = letters[control - controls];
        else if (byte < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        if (byte < 0x20 || byte == '"' || byte == '\\')
            el_schema_literal(w, escape);
        else
            el_schema_literal_byte(w, byte);
    }
}

/* ---- values ------------------------------------------------------------------------------- */

size_t el_schema_number_text(el_schema_work *w, const json_t *value, size_t digits,
                             char text[EL_SCHEMA_NUMBER_BYTES], bool *is_same)
{
    const size_t len = json_dumpb(value, text, EL_SCHEMA_NUMBER_BYTES - 1,
                                  JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
    json_t *read = json_loadb(text, len, JSON_DECODE_ANY, NULL);
    text[len] = '\0';
    w->text.has_failed |= read == NULL; /* jansson had no memory */
    *is_same = json_number_value(read) == json_number_value(value);
    json_decref(read);
    return len;
}

/* As few digits as give the same number again. */
static void literal_number(el_schema_work *w, const json_t *value)
{
    char text[EL_SCHEMA_NUMBER_BYTES];
    bool is_same = false;
    for (size_t digits = 15; digits <= 17 && !is_same; digits++)
        el_schema_number_text(w, value, digits, text, &is_same);
    el_schema_literal(w, text);
}

static void literal_string(el_schema_work *w, const char *text, size_t len)
{
    el_schema_literal(w, "\"");
    el_schema_literal_inside(w, text, len);
    el_schema_literal(w, "\"");
}

static void literal_object(el_schema_work *w, const json_t *value)
{
    const char *name;
    json_t *inner;
    const char *before = "{";
    json_object_foreach((json_t *)value, name, inner)
    {
        el_schema_literal(w, before);
        literal_string(w, name, strlen(name));
        el_schema_literal(w, ": ");
        el_schema_literal_value(w, inner);
        before = ", ";
    }
    el_schema_literal(w, json_object_size(value) ? "}" : "{}");
}

static void literal_array(el_schema_work *w, const json_t *value)
{
    el_schema_literal(w, "[");
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (i > 0) el_schema_literal(w, ", ");
        el_schema_literal_value(w, json_array_get(value, i));
    }
    el_schema_literal(w, "]");
}

void el_schema_literal_value(el_schema_work *w, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        literal_object(w, value);
        return;
    case JSON_ARRAY:
        literal_array(w, value);
        return;
    case JSON_STRING:
        literal_string(w, json_string_value(value), json_string_length(value));
        return;
    case JSON_TRUE:
        el_schema_literal(w, "true");
        return;
    case JSON_FALSE:
        el_schema_literal(w, "false");
        return;
    case JSON_NULL:
        el_schema_literal(w, "null");
        return;
    default:
        literal_number(w, value);
    }
}

/* ---- shared rules ------------------------------------------------------------------------- */

#define BIT(rule) (1u << EL_SHARED_##rule)

#define UP_TO_28 "(\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])"

/* A year from 1000 on; the 29th of February in leap years. */
#define DATES                                                                                      \
    "[1-9] [0-9]{3} \"-\" (" LONG_MONTHS " | " SHORT_MONTHS " | \"02-\" " UP_TO_28                 \
    ") | " LEAP_YEARS " \"-02-29\""
#define LONG_MONTHS  "(\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01])"
#define SHORT_MONTHS "(\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\")"
#define LEAP_YEARS                                                                                 \
    "([1-9] [0-9] (\"0\" [48] | [2468] [048] | [13579] [26]) | "                                   \
    "([2468] [048] | [13579] [26]) \"00\")"
#define HOURS   "([01] [0-9] | \"2\" [0-3])"
#define MINUTES "[0-5] [0-9]"
#define HEX     "[0-9a-fA-F]"

static const struct {
    const char *name, *text;
    uint32_t names; /* the rules that it names */
} shared[EL_SHARED_RULES] = {
    [EL_SHARED_ANY] = {"any", NULL,
                       BIT(STRING) | BIT(CHAR) | BIT(NUMBER) | BIT(BOOLEAN) | BIT(NULL)},
    [EL_SHARED_STRING] = {"string", "\"\\\"\" char* \"\\\"\"", BIT(CHAR)},
    [EL_SHARED_CHAR] = {"char", "[^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" [\"\\\\bfnrt]", 0},
    [EL_SHARED_INTEGER] = {"integer", "\"0\" | \"-\"? [1-9] [0-9]{0,14}", 0},
    [EL_SHARED_NUMBER] = {"number",
                          "\"-\"? (\"0\" | [1-9] [0-9]{0,14}) (\".\" [0-9]{1,15})? "
                          "([eE] [-+]? [0-9]{1,2})?",
                          0},
    [EL_SHARED_BOOLEAN] = {"boolean", "\"true\" | \"false\"", 0},
    [EL_SHARED_NULL] = {"null", "\"null\"", 0},
    [EL_SHARED_DATE] = {"date", DATES, 0},
    [EL_SHARED_TIME] = {"time",
                        HOURS " \":\" " MINUTES " \":\" " MINUTES " (\".\" [0-9]{1,6})? "
                              "(\"Z\" | [-+] " HOURS " \":\" " MINUTES ")",
                        0},
    [EL_SHARED_DATE_TIME] = {"date-time", "date \"T\" time", BIT(DATE) | BIT(TIME)},
    [EL_SHARED_UUID] = {"uuid",
                        HEX "{8} \"-\" " HEX "{4} \"-\" " HEX "{4} \"-\" " HEX "{4} \"-\" " HEX
                            "{12}",
                        0},
};

void el_schema_put_shared(el_schema_work *w, el_schema_shared rule)
{
    el_schema_put(w, "%s", shared[rule].name);
    w->shared |= 1u << rule | shared[rule].names;
}

/* Lists and objects nest so often and no more: any-6 is `any` by another name. */
static void put_any(el_schema_work *w)
{
    static const char scalars[] = "string | number | boolean | null";
    el_schema_put(w, "any ::= any-%d\n", EL_SCHEMA_ANY_DEPTH);
    for (int depth = EL_SCHEMA_ANY_DEPTH; depth > 0; depth--) {
        const int in = depth - 1;
        el_schema_put(w, "any-%d ::= %s | \"[\" (any-%d (\", \" any-%d)*)? \"]\"", depth, scalars,
                      in, in);
        el_schema_put(w, " | \"{\" (string \": \" any-%d (\", \" string \": \" any-%d)*)? \"}\"\n",
                      in, in);
    }
    el_schema_put(w, "any-0 ::= %s\n", scalars);
}

void el_schema_put_shared_rules(el_schema_work *w)
{
    for (int i = 0; i < EL_SHARED_RULES; i++) {
        if (!(w->shared & 1u << i)) continue;
        if (i == EL_SHARED_ANY)
            put_any(w);
        else
            el_schema_put(w, "%s ::= %s\n", shared[i].name, shared[i].text);
    }
}
