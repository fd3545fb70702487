/* schema.c: the list of work: the root's rule, and then the rule of whatever was named. */
#include "schema/schema.h"

#include <stdlib.h>
#include <string.h>

#include "schema/schema_work.h"

static bool is_too_deep(const json_t *value, uint32_t depth)
{
    const char *name;
    json_t *inner;
    if (!json_is_object(value) && !json_is_array(value)) return false;
    if (depth == EL_SCHEMA_DEPTH) return true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (is_too_deep(json_array_get(value, i), depth + 1)) return true;
    }
    json_object_foreach((json_t *)value, name, inner)
    {
        if (is_too_deep(inner, depth + 1)) return true;
    }
    return false;
}

/* What did not fit shows only here. */
static edgellm_status check_text(const el_schema_work *w)
{
    if (w->text.has_failed)
        return el_fail(w->err, EDGELLM_ERR_MEMORY, "no memory for the grammar of a schema");
    if (w->text.is_too_long)
        return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED,
                       "schema: its grammar is longer than %d bytes", EL_SCHEMA_TEXT_BYTES);
    return EDGELLM_OK;
}

static edgellm_status put_rule(el_schema_work *w, uint32_t rule)
{
    const uint32_t place = w->rules[rule];
    const size_t from = w->text.used;
    w->rule = place;
    w->has_row = false;
    w->places[place].first_edge = w->n_edges;
    el_schema_put_name(w, rule);
    el_schema_put(w, " ::= ");
    EL_TRY(el_schema_put_body(w, place));
    el_schema_put(w, "\n");
    if (w->has_row) EL_TRY(el_schema_put_row(w, place));
    w->places[place].end_edge = w->n_edges;
    el_schema_tidy(w, from);
    return check_text(w);
}

/* The root may refer to what is defined in it. */
static edgellm_status begin(el_schema_work *w, const el_schema_document *document)
{
    uint32_t place = w->n_places;
    if (place == EL_SCHEMA_PLACES || w->n_rules == EL_SCHEMA_RULES)
        return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED, "schema: there are too many");
    w->places[w->n_places++] = (el_schema_place){.node = document->schema,
                                                 .document = document,
                                                 .keyword = "#",
                                                 .index = EL_SCHEMA_NONE,
                                                 .outer = EL_SCHEMA_NONE,
                                                 .rule = EL_SCHEMA_NONE};
    if (!json_is_object(document->schema) && !json_is_boolean(document->schema))
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_FORMAT, "a schema is an object");
    if (is_too_deep(document->schema, 0))
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED, "nested deeper than %d",
                              EL_SCHEMA_DEPTH);
    EL_TRY(el_schema_resolve(w, &place));
    w->places[place].rule = w->n_rules;
    w->rules[w->n_rules++] = place;
    return EDGELLM_OK;
}

static edgellm_status write_all(el_schema_work *w)
{
    for (size_t i = 0; i < w->n_documents; i++)
        EL_TRY(begin(w, &w->documents[i]));
    for (uint32_t rule = 0; rule < w->n_rules; rule++)
        EL_TRY(put_rule(w, rule));
    EL_TRY(el_schema_check_finite(w));
    el_schema_put_shared_rules(w);
    return check_text(w);
}

edgellm_status el_schema_rules_of(const el_schema_document *documents, size_t n, char **text,
                                  size_t *text_len, edgellm_error *err)
{
    *text = NULL;
    *text_len = 0;
    el_schema_work *w = calloc(1, sizeof *w);
    if (!w) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory to read a schema");
    w->err = err;
    w->documents = documents;
    w->n_documents = n;
    const edgellm_status status = write_all(w);
    if (status == EDGELLM_OK) {
        *text = w->text.at;
        *text_len = w->text.used;
    } else {
        free(w->text.at);
    }
    free(w);
    return status;
}

edgellm_status el_schema_grammar_of(const json_t *schema, char **text, size_t *text_len,
                                    edgellm_error *err)
{
    const el_schema_document document = {schema, NULL};
    return el_schema_rules_of(&document, 1, text, text_len, err);
}

/* jansson calls some strings for which it has no memory a mistake in the text; who has none at the
 * second try either is told so, since that one fails earlier. */
static json_t *parse(const char *text, size_t len, json_error_t *why)
{
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, why);
    if (root) return root;
    return json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, why);
}

edgellm_status el_schema_grammar(const char *schema, size_t len, char **text, size_t *text_len,
                                 edgellm_error *err)
{
    json_error_t why;
    *text = NULL;
    *text_len = 0;
    if (len > EL_SCHEMA_BYTES)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "schema: longer than %d bytes",
                       EL_SCHEMA_BYTES);
    json_t *root = parse(schema, len, &why);
    if (!root && why.text[0] == '\0')
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory to read a schema");
    if (!root)
        return el_fail(err, EDGELLM_ERR_FORMAT, "schema: line %d, column %d: %s", why.line,
                       why.column, why.text);
    const edgellm_status status = el_schema_grammar_of(root, text, text_len, err);
    json_decref(root);
    return status;
}
