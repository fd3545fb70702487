/* schema_places.c: where in the schema something stands; paths, references, failures. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema_work.h"

enum { PATH_BYTES = 200, HOPS = 64, TOKEN_BYTES = 256 };

/* ---- paths -------------------------------------------------------------------------------- */

typedef struct path {
    char at[PATH_BYTES + 4]; /* and "..." */
    size_t used;
    bool is_dotted; /* it began with a label */
} path;

static void add(path *p, const char *text)
{
    while (*text && p->used < PATH_BYTES)
        p->at[p->used++] = *text++;
    memcpy(p->at + p->used, *text ? "..." : "", *text ? 4 : 1);
}

/* As a JSON pointer has it, or as the fields of a request are named. */
static void add_name(path *p, const char *name)
{
    add(p, p->is_dotted ? "." : "/");
    if (p->is_dotted) add(p, name);
    for (; *name && !p->is_dotted; name++) {
        const char one[2] = {*name, 0};
        add(p, *name == '~' ? "~0" : *name == '/' ? "~1" : one);
    }
}

/* Where a chain of places begins: "#", or a pointer from there. */
static void add_start(path *p, const char *label, const char *pointer)
{
    p->is_dotted = label != NULL;
    add(p, label ? label : pointer);
    for (pointer++; label && *pointer; pointer++) {
        const char one[2] = {*pointer, 0};
        add(p, *pointer == '/' ? "." : one);
    }
}

static void add_place(const el_schema_work *w, path *p, uint32_t place)
{
    uint32_t chain[EL_SCHEMA_DEPTH + 1];
    uint32_t n = 0;
    while (w->places[place].outer != EL_SCHEMA_NONE && n < EL_SCHEMA_DEPTH) {
        chain[n++] = place;
        place = w->places[place].outer;
    }
    add_start(p, w->places[place].document->label, w->places[place].keyword);
    while (n > 0) {
        const el_schema_place *at = &w->places[chain[--n]];
        char number[16];
        add_name(p, at->keyword);
        if (at->name) add_name(p, at->name);
        snprintf(number, sizeof number, "%u", at->index);
        if (at->index != EL_SCHEMA_NONE) add_name(p, number);
    }
}

edgellm_status el_schema_fail(const el_schema_work *w, uint32_t place, const char *keyword,
                              edgellm_status status, const char *format, ...)
{
    char what[200];
    path p = {.used = 0};
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(what, sizeof what, format, arguments) < 0) what[0] = '\0';
    va_end(arguments);
    add_place(w, &p, place);
    if (keyword) add_name(&p, keyword);
    return el_fail(w->err, status, "schema: %s: %s", p.at, what);
}

edgellm_status el_schema_step(el_schema_work *w, uint32_t place)
{
    if (++w->steps <= EL_SCHEMA_STEPS) return EDGELLM_OK;
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED, "too much to compare");
}

/* ---- places ------------------------------------------------------------------------------- */

/* The place of a node that has one, or a new one. true and false have one node for all of them. */
static edgellm_status add_or_find(el_schema_work *w, const el_schema_place *place, uint32_t *id)
{
    const bool is_own = json_is_object(place->node);
    for (uint32_t i = 0; is_own && i < w->n_places; i++) {
        if (w->places[i].node != place->node) continue;
        *id = i;
        return EDGELLM_OK;
    }
    if (w->n_places == EL_SCHEMA_PLACES)
        return el_schema_fail(w, 0, NULL, EDGELLM_ERR_UNSUPPORTED, "more than %d schemas in it",
                              EL_SCHEMA_PLACES);
    *id = w->n_places++;
    w->places[*id] = *place;
    if (!is_own && !json_is_boolean(place->node))
        return el_schema_fail(w, *id, NULL, EDGELLM_ERR_FORMAT, "a schema is an object");
    return EDGELLM_OK;
}

edgellm_status el_schema_within(el_schema_work *w, uint32_t outer, const char *keyword,
                                const char *name, uint32_t index, uint32_t *place)
{
    const json_t *node = json_object_get(w->places[outer].node, keyword);
    if (name) node = json_object_get(node, name);
    if (index != EL_SCHEMA_NONE) node = json_array_get(node, index);
    const el_schema_place made = {.node = node,
                                  .document = w->places[outer].document,
                                  .keyword = keyword,
                                  .name = name,
                                  .index = index,
                                  .outer = outer,
                                  .rule = EL_SCHEMA_NONE};
    return add_or_find(w, &made, place);
}

/* ---- references --------------------------------------------------------------------------- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of a token, which is written as itself, as %2F or as ~1; *text moves behind it. */
static char token_byte(const char **text)
{
    const char *at = *text;
    if (at[0] == '%' && hex(at[1]) >= 0 && hex(at[2]) >= 0) {
        *text += 3;
        return (char)(hex(at[1]) << 4 | hex(at[2]));
    }
    const bool is_escape = at[0] == '~' && (at[1] == '0' || at[1] == '1');
    *text += is_escape ? 2 : 1;
    return !is_escape ? at[0] : at[1] == '0' ? '~' : '/';
}

static const json_t *go_into(const json_t *node, const char *token)
{
    if (json_is_object(node)) return json_object_get(node, token);
    char *end;
    const unsigned long index = strtoul(token, &end, 10);
    const bool is_number = token[0] >= '0' && token[0] <= '9' && *end == '\0';
    return is_number && json_is_array(node) ? json_array_get(node, index) : NULL;
}

/* What "#/$defs/a" points at in the document; NULL if nothing is there. */
static const json_t *find(const json_t *node, const char *pointer)
{
    if (*pointer++ != '#') return NULL;
    while (node && *pointer == '/') {
        char token[TOKEN_BYTES];
        size_t used = 0;
        pointer++;
        while (*pointer && *pointer != '/' && used + 1 < sizeof token)
            token[used++] = token_byte(&pointer);
        token[used] = '\0';
        if (*pointer && *pointer != '/') return NULL;
        node = go_into(node, token);
    }
    return *pointer ? NULL : node;
}

static edgellm_status follow(el_schema_work *w, uint32_t from, uint32_t *to)
{
    const char *text = json_string_value(json_object_get(w->places[from].node, "$ref"));
    if (!text) return el_schema_fail(w, from, "$ref", EDGELLM_ERR_FORMAT, "it must be a string");
    if (text[0] != '#')
        return el_schema_fail(w, from, "$ref", EDGELLM_ERR_UNSUPPORTED,
                              "only places in the same schema (#/...) can be referred to");
    const el_schema_document *document = w->places[from].document;
    const el_schema_place found = {.node = find(document->schema, text),
                                   .document = document,
                                   .keyword = text,
                                   .index = EL_SCHEMA_NONE,
                                   .outer = EL_SCHEMA_NONE,
                                   .rule = EL_SCHEMA_NONE};
    if (!found.node)
        return el_schema_fail(w, from, "$ref", EDGELLM_ERR_FORMAT, "there is no '%s'", text);
    return add_or_find(w, &found, to);
}

edgellm_status el_schema_resolve(el_schema_work *w, uint32_t *place)
{
    for (int hops = 0; hops < HOPS; hops++) {
        const uint32_t at = *place;
        const json_t *list = el_schema_get(w, at, "allOf");
        unsigned found = 0;
        if (json_is_object(w->places[at].node)) EL_TRY(el_schema_keywords(w, at, &found));
        if (found == EL_KEYWORD_ALL && json_array_size(list) == 1)
            EL_TRY(el_schema_within(w, at, "allOf", NULL, 0, place));
        else if (found == EL_KEYWORD_REF)
            EL_TRY(follow(w, at, place));
        else if (found & EL_KEYWORD_REF)
            return el_schema_fail(w, at, "$ref", EDGELLM_ERR_UNSUPPORTED,
                                  "other keywords beside it");
        else
            return EDGELLM_OK;
    }
    return el_schema_fail(w, *place, NULL, EDGELLM_ERR_FORMAT,
                          "refers to itself, or through more than %d others", HOPS);
}
