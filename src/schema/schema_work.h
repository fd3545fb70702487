/*
 * schema_work.h: one run from schema to grammar. Schemas become rules by a list of work: writing a
 * rule only notes which others it names, so nothing recurses with the schema, a schema that is
 * referred to often is written once, and one may refer to itself.
 */
#ifndef EL_SCHEMA_SCHEMA_WORK_H
#define EL_SCHEMA_SCHEMA_WORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "schema/schema.h"

enum {
    EL_SCHEMA_PLACES = 4096,
    EL_SCHEMA_EDGES = 8192,
    EL_SCHEMA_PARTS = 32,     /* objects that allOf makes one of */
    EL_SCHEMA_STEPS = 250000, /* what may be compared in all */
    EL_SCHEMA_NONE = UINT32_MAX
};

/* ---- places: the schemas inside the schema ------------------------------------------------ */

typedef struct el_schema_place {
    const json_t *node;
    const char *keyword; /* of `outer`, under which it stands; without `outer` the whole path */
    const char *name;    /* of the member there, or NULL */
    uint32_t index;      /* of the element there, or NONE */
    uint32_t outer;      /* a place, or NONE */
    uint32_t rule;       /* its number, or NONE */
    uint32_t first_edge; /* those of its rule */
    uint32_t end_edge;
    bool is_finite; /* some sentence of its rule ends */
    bool is_open;   /* of a search: on the way here */
    bool is_done;   /* of a search: nothing is left behind it */
} el_schema_place;

/* Rule `to` is in a rule: in all of its sentences, or as one of several alternatives, which stands
 * at the front then. What may be left out is no edge. */
typedef struct el_schema_edge {
    uint32_t to; /* a place */
    bool is_choice;
} el_schema_edge;

typedef struct el_schema_member {
    const char *name;
    uint32_t place;
    bool is_required;
} el_schema_member;

/* ---- text --------------------------------------------------------------------------------- */

/* A failure to grow is kept until somebody asks: what is written after it is lost. */
typedef struct el_schema_text {
    char *at;
    size_t used, room;
    bool has_failed;  /* there was no memory */
    bool is_too_long; /* for EL_SCHEMA_TEXT_BYTES */
} el_schema_text;

/* Rules that do not depend on the schema: written once, at the end, if anything names them. */
typedef enum el_schema_shared {
    EL_SHARED_ANY,
    EL_SHARED_STRING,
    EL_SHARED_CHAR,
    EL_SHARED_INTEGER,
    EL_SHARED_NUMBER,
    EL_SHARED_BOOLEAN,
    EL_SHARED_NULL,
    EL_SHARED_DATE,
    EL_SHARED_TIME,
    EL_SHARED_DATE_TIME,
    EL_SHARED_UUID,
    EL_SHARED_RULES
} el_schema_shared;

typedef struct el_schema_work {
    edgellm_error *err;
    const json_t *root;
    el_schema_text text;
    uint32_t shared; /* a bit for each that is named */
    uint32_t steps;
    uint32_t rule; /* the place whose rule is being written */
    uint32_t n_places, n_rules, n_rows, n_edges, n_members, n_parts;
    bool has_row; /* the members go on in rules of their own, behind this one */
    el_schema_place places[EL_SCHEMA_PLACES];
    uint32_t rules[EL_SCHEMA_RULES]; /* their places */
    el_schema_edge edges[EL_SCHEMA_EDGES];
    el_schema_member members[EL_SCHEMA_MEMBERS]; /* of the object that is being written */
    uint32_t parts[EL_SCHEMA_PARTS];
} el_schema_work;

void el_schema_put(el_schema_work *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void el_schema_put_bytes(el_schema_work *w, const char *bytes, size_t len);
void el_schema_put_shared(el_schema_work *w, el_schema_shared rule);
void el_schema_put_shared_rules(el_schema_work *w);
/* Spaces that nobody needs go, from there to the end. */
void el_schema_tidy(el_schema_work *w, size_t from);
/* A repetition: ?, {2}, {2,} or {2,5} ..., with a space behind; most may be NONE. */
void el_schema_put_count(el_schema_work *w, uint32_t least, uint32_t most);

/* A literal is opened, filled with bytes, or with characters as they stand in a JSON string, and
 * closed. */
void el_schema_literal(el_schema_work *w, const char *text);
void el_schema_literal_byte(el_schema_work *w, unsigned char byte);
void el_schema_literal_inside(el_schema_work *w, const char *text, size_t len);
/* A value, in the one way in which the grammars write it. */
void el_schema_literal_value(el_schema_work *w, const json_t *value);
/* A number with so many digits, its length, and whether they are enough to read it back. */
enum { EL_SCHEMA_NUMBER_BYTES = 64 };
size_t el_schema_number_text(el_schema_work *w, const json_t *value, size_t digits,
                             char text[EL_SCHEMA_NUMBER_BYTES], bool *is_same);

/* ---- schema_places.c ---------------------------------------------------------------------- */

/* "schema: #/properties/a/pattern: ..."; keyword may be NULL. */
edgellm_status el_schema_fail(const el_schema_work *w, uint32_t place, const char *keyword,
                              edgellm_status status, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The schema under a keyword of place `outer`. */
edgellm_status el_schema_within(el_schema_work *w, uint32_t outer, const char *keyword,
                                const char *name, uint32_t index, uint32_t *place);

/* Follows $ref, and allOf of one, until there is something else. */
edgellm_status el_schema_resolve(el_schema_work *w, uint32_t *place);

/* Counts what takes time. */
edgellm_status el_schema_step(el_schema_work *w, uint32_t place);

/* ---- schema_keywords.c -------------------------------------------------------------------- */

/* What a schema's keywords speak of; the types are in this order everywhere. */
enum {
    EL_TYPE_OBJECT = 1,
    EL_TYPE_ARRAY = 2,
    EL_TYPE_STRING = 4,
    EL_TYPE_INTEGER = 8,
    EL_TYPE_NUMBER = 16,
    EL_TYPE_BOOLEAN = 32,
    EL_TYPE_NULL = 64,
    EL_TYPES = 127,
    EL_KEYWORD_TYPE = 128,
    EL_KEYWORD_VALUES = 256, /* enum, const */
    EL_KEYWORD_CHOICE = 512, /* anyOf, oneOf */
    EL_KEYWORD_ALL = 1024,
    EL_KEYWORD_REF = 2048
};

/* All of the above that the schema at `place` names. One that is unknown is an error. */
edgellm_status el_schema_keywords(el_schema_work *w, uint32_t place, unsigned *found);

/* The types that `type` allows, or all without it. */
edgellm_status el_schema_types(el_schema_work *w, uint32_t place, unsigned *allowed);

const json_t *el_schema_get(const el_schema_work *w, uint32_t place, const char *keyword);

/* A count; `otherwise` without the keyword. */
edgellm_status el_schema_count(el_schema_work *w, uint32_t place, const char *keyword,
                               uint32_t otherwise, uint32_t *count);

unsigned el_schema_type_of(const json_t *value);

/* ---- the kinds of values ------------------------------------------------------------------ */

/* Writes a name for the value at `place`; it gets a rule where it needs one. */
typedef enum el_schema_way { EL_WAY_ALWAYS, EL_WAY_CHOICE, EL_WAY_OPTIONAL } el_schema_way;
edgellm_status el_schema_put_value(el_schema_work *w, uint32_t place, el_schema_way way);

/* The right side of the rule for the value at `place`. */
edgellm_status el_schema_put_body(el_schema_work *w, uint32_t place);

edgellm_status el_schema_put_object(el_schema_work *w, uint32_t place);
edgellm_status el_schema_put_row(el_schema_work *w, uint32_t place);
edgellm_status el_schema_put_array(el_schema_work *w, uint32_t place);
edgellm_status el_schema_put_string(el_schema_work *w, uint32_t place);
edgellm_status el_schema_put_integer(el_schema_work *w, uint32_t place);
edgellm_status el_schema_put_number(el_schema_work *w, uint32_t place);

/* ---- schema_digits.c ---------------------------------------------------------------------- */

enum { EL_SCHEMA_DIGITS = 15 }; /* a double keeps so many */
#define EL_SCHEMA_WHOLE_MOST 999999999999999u

/* A bound of numbers without their sign: 36.6 is 36 and "6". The last digit of `part` is no 0. */
typedef struct el_schema_bound {
    uint64_t whole;
    char part[EL_SCHEMA_DIGITS + 1];
    bool is_open;      /* it is not in the range itself */
    bool is_unbounded; /* there is none: whole is the most that there can be */
} el_schema_bound;

/* Alternatives, each behind " | " but the first. */
typedef struct el_schema_choices {
    el_schema_work *w;
    uint32_t n;
    bool is_too_fine; /* out: a bound has too many digits to be exact */
} el_schema_choices;

/* Whole numbers from `least` to `most`, without leading zeros. */
void el_schema_put_whole(el_schema_choices *c, uint64_t least, uint64_t most, const char *behind);

/* Decimal numbers between two bounds. */
void el_schema_put_between(el_schema_choices *c, const el_schema_bound *least,
                           const el_schema_bound *most);

/* What a pattern accepts, inside the quotes of a JSON string. */
edgellm_status el_schema_put_pattern(el_schema_work *w, uint32_t place, const char *text,
                                     size_t len);

/* No value satisfies two alternatives of oneOf, or it is an error. */
edgellm_status el_schema_disjoint(el_schema_work *w, uint32_t place, const json_t *list);

/* ---- schema_finite.c ---------------------------------------------------------------------- */

/* Some value ends, of every rule that must; no rule begins with itself. */
edgellm_status el_schema_check_finite(el_schema_work *w);

#endif
