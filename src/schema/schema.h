/*
 * schema.h: JSON schema to the text of a grammar (GBNF) whose every sentence is JSON that the
 * schema accepts. docs/SCHEMA.md says what is understood; whatever else a schema says is refused
 * with its place, "#/properties/a/pattern", never passed over. Schemas are not trusted: time and
 * memory are bounded by the limits below. It needs jansson, so programs have it and the core
 * library has not.
 */
#ifndef EL_SCHEMA_SCHEMA_H
#define EL_SCHEMA_SCHEMA_H

#include <stddef.h>

#include "edgellm.h"

enum {
    EL_SCHEMA_BYTES = 1 << 16,      /* of a schema */
    EL_SCHEMA_DEPTH = 64,           /* of its brackets and braces */
    EL_SCHEMA_RULES = 2048,         /* of the grammar for values */
    EL_SCHEMA_ROWS = 2000,          /* rules more, for objects whose first member may be left out */
    EL_SCHEMA_MEMBERS = 256,        /* named properties of one object */
    EL_SCHEMA_REPEATS = 65535,      /* of one thing: the most that a count may say */
    EL_SCHEMA_TEXT_BYTES = 1 << 20, /* of the grammar */
    EL_SCHEMA_ANY_DEPTH = 6         /* of lists and objects in a value of which nothing is said */
};

struct json_t; /* jansson's */

/*
 * *text, NUL-terminated, is the caller's to free(); the root rule is `root`. Errors: FORMAT (no
 * JSON, no schema, or no value can satisfy it), UNSUPPORTED, MEMORY; *text is NULL then.
 */
edgellm_status el_schema_grammar(const char *schema, size_t len, char **text, size_t *text_len,
                                 edgellm_error *err);

/* The same of a schema that was read already, as part of a request; it is only read. */
edgellm_status el_schema_grammar_of(const struct json_t *schema, char **text, size_t *text_len,
                                    edgellm_error *err);

/*
 * The rules of several schemas, each a document of its own, for a grammar that the caller goes on
 * with: r0 is that of the first, r1 of the second; there is no `root`. `label`: where the schema
 * stands; places in it are told behind it, "tools[2].function.parameters.properties.a".
 */
typedef struct el_schema_document {
    const struct json_t *schema;
    const char *label;
} el_schema_document;
edgellm_status el_schema_rules_of(const el_schema_document *documents, size_t n, char **text,
                                  size_t *text_len, edgellm_error *err);

#endif
