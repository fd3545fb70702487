/* schema_values.c: one schema to one rule: which kind of value it is, and values from lists. */
#include <string.h>

#include "schema/schema_work.h"

/* ---- naming a rule ------------------------------------------------------------------------ */

static edgellm_status add_edge(el_schema_work *w, uint32_t to, el_schema_way way)
{
    if (way == EL_WAY_OPTIONAL) return EDGELLM_OK;
    if (w->n_edges == EL_SCHEMA_EDGES)
        return el_schema_fail(w, to, NULL, EDGELLM_ERR_UNSUPPORTED, "more than %d values in it",
                              EL_SCHEMA_EDGES);
    w->edges[w->n_edges++] = (el_schema_edge){to, way == EL_WAY_CHOICE};
    return EDGELLM_OK;
}

static edgellm_status put_rule_name(el_schema_work *w, uint32_t place, el_schema_way way)
{
    el_schema_place *at = &w->places[place];
    if (at->rule == EL_SCHEMA_NONE) {
        if (w->n_rules == EL_SCHEMA_RULES)
            return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED, "more than %d rules",
                                  EL_SCHEMA_RULES);
        at->rule = w->n_rules;
        w->rules[w->n_rules++] = place;
    }
    el_schema_put_name(w, at->rule);
    return add_edge(w, place, way);
}

/* A type about which nothing more is said. */
static bool find_shared(unsigned types, el_schema_shared *rule)
{
    static const struct {
        unsigned types;
        el_schema_shared rule;
    } plain[] = {
        {EL_TYPES, EL_SHARED_ANY},
        {EL_TYPE_STRING, EL_SHARED_STRING},
        {EL_TYPE_INTEGER, EL_SHARED_INTEGER},
        {EL_TYPE_NUMBER, EL_SHARED_NUMBER},
        {EL_TYPE_BOOLEAN, EL_SHARED_BOOLEAN},
        {EL_TYPE_NULL, EL_SHARED_NULL},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (plain[i].types != types) continue;
        *rule = plain[i].rule;
        return true;
    }
    return false;
}

static edgellm_status check_not_false(el_schema_work *w, uint32_t place)
{
    if (!json_is_false(w->places[place].node)) return EDGELLM_OK;
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_FORMAT, "false allows no value");
}

edgellm_status el_schema_put_value(el_schema_work *w, uint32_t place, el_schema_way way)
{
    unsigned found = 0, types = EL_TYPES;
    el_schema_shared rule;
    EL_TRY(el_schema_resolve(w, &place));
    EL_TRY(check_not_false(w, place));
    if (json_is_object(w->places[place].node)) {
        EL_TRY(el_schema_keywords(w, place, &found));
        EL_TRY(el_schema_types(w, place, &types));
    }
    if ((found & ~(unsigned)EL_KEYWORD_TYPE) != 0 || !find_shared(types, &rule))
        return put_rule_name(w, place, way);
    el_schema_put_shared(w, rule);
    if (way == EL_WAY_CHOICE) w->places[w->rule].is_finite = true;
    return EDGELLM_OK;
}

/* ---- values from a list ------------------------------------------------------------------- */

static edgellm_status put_values(el_schema_work *w, uint32_t place, const char *keyword)
{
    const json_t *list = el_schema_get(w, place, keyword);
    const bool is_const = strcmp(keyword, "const") == 0;
    const size_t n = is_const ? 1 : json_array_size(list);
    unsigned types = 0;
    const char *before = "";
    EL_TRY(el_schema_types(w, place, &types));
    for (size_t i = 0; i < n; i++) {
        const json_t *value = is_const ? list : json_array_get(list, i);
        if (!(el_schema_type_of(value) & types)) continue;
        el_schema_put(w, "%s\"", before);
        el_schema_literal_value(w, value);
        el_schema_put(w, "\"");
        before = " | ";
    }
    if (*before) return EDGELLM_OK;
    return el_schema_fail(w, place, keyword, EDGELLM_ERR_FORMAT, "no value in it is allowed");
}

static edgellm_status put_enum_or_const(el_schema_work *w, uint32_t place)
{
    const bool has_enum = el_schema_get(w, place, "enum") != NULL;
    if (has_enum && el_schema_get(w, place, "const"))
        return el_schema_fail(w, place, "const", EDGELLM_ERR_UNSUPPORTED, "beside enum");
    return put_values(w, place, has_enum ? "enum" : "const");
}

/* ---- alternatives ------------------------------------------------------------------------- */

static edgellm_status put_alternatives(el_schema_work *w, uint32_t place)
{
    const bool is_one = el_schema_get(w, place, "oneOf") != NULL;
    const char *keyword = is_one ? "oneOf" : "anyOf";
    const json_t *list = el_schema_get(w, place, keyword);
    if (is_one && el_schema_get(w, place, "anyOf"))
        return el_schema_fail(w, place, "anyOf", EDGELLM_ERR_UNSUPPORTED, "beside oneOf");
    if (json_array_size(list) == 0)
        return el_schema_fail(w, place, keyword, EDGELLM_ERR_FORMAT,
                              "it must be a list of schemas");
    if (is_one) EL_TRY(el_schema_disjoint(w, place, list));
    for (uint32_t i = 0; i < json_array_size(list); i++) {
        uint32_t one;
        if (i > 0) el_schema_put(w, " | ");
        EL_TRY(el_schema_within(w, place, keyword, NULL, i, &one));
        EL_TRY(el_schema_put_value(w, one, EL_WAY_CHOICE));
    }
    return EDGELLM_OK;
}

/* ---- types -------------------------------------------------------------------------------- */

static edgellm_status put_boolean(el_schema_work *w, uint32_t place)
{
    (void)place;
    el_schema_put_shared(w, EL_SHARED_BOOLEAN);
    return EDGELLM_OK;
}

static edgellm_status put_null(el_schema_work *w, uint32_t place)
{
    (void)place;
    el_schema_put_shared(w, EL_SHARED_NULL);
    return EDGELLM_OK;
}

static edgellm_status (*const writers[])(el_schema_work *w, uint32_t place) = {
    el_schema_put_object,
    el_schema_put_array,
    el_schema_put_string,
    el_schema_put_integer,
    el_schema_put_number,
    put_boolean,
    put_null,
};

/* Without `type` the keywords tell it, if they speak of one only. */
static edgellm_status find_types(el_schema_work *w, uint32_t place, unsigned found, unsigned *types)
{
    const unsigned about = found & EL_TYPES;
    EL_TRY(el_schema_types(w, place, types));
    if (!(found & EL_KEYWORD_TYPE)) {
        const bool is_one = (about & (about - 1)) == 0;
        *types = about;
        if (is_one) return EDGELLM_OK;
        if (about == (EL_TYPE_INTEGER | EL_TYPE_NUMBER)) *types = EL_TYPE_NUMBER;
        if (*types == EL_TYPE_NUMBER) return EDGELLM_OK;
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED,
                              "its keywords are for several types: say which, with \"type\"");
    }
    const unsigned numbers = EL_TYPE_INTEGER | EL_TYPE_NUMBER;
    unsigned known = *types & numbers ? *types | numbers : *types;
    if (*types & EL_TYPE_NUMBER) *types &= ~(unsigned)EL_TYPE_INTEGER; /* it is one */
    if (!(about & ~known)) return EDGELLM_OK;
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED,
                          "a keyword of it does nothing to its type");
}

/* A list of types is a choice, whose scalars end; the sentences of an object or a list may not. */
static edgellm_status put_types(el_schema_work *w, uint32_t place, unsigned types)
{
    const unsigned nesting = EL_TYPE_OBJECT | EL_TYPE_ARRAY;
    const char *before = "";
    if (types & ~nesting) w->places[place].is_finite = true;
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        if (!(types & 1u << i)) continue;
        el_schema_put(w, "%s", before);
        EL_TRY(writers[i](w, place));
        before = " | ";
    }
    return EDGELLM_OK;
}

edgellm_status el_schema_put_body(el_schema_work *w, uint32_t place)
{
    static const char beside[] = "other keywords beside it";
    unsigned found = 0, types = 0;
    EL_TRY(check_not_false(w, place));
    EL_TRY(el_schema_keywords(w, place, &found));
    const unsigned rest = found & ~(unsigned)EL_KEYWORD_TYPE;
    if (found & EL_KEYWORD_VALUES) {
        if (rest == EL_KEYWORD_VALUES) return put_enum_or_const(w, place);
        return el_schema_fail(w, place, el_schema_get(w, place, "enum") ? "enum" : "const",
                              EDGELLM_ERR_UNSUPPORTED, beside);
    }
    if (found & EL_KEYWORD_CHOICE) {
        if (found == EL_KEYWORD_CHOICE) return put_alternatives(w, place);
        return el_schema_fail(w, place, el_schema_get(w, place, "oneOf") ? "oneOf" : "anyOf",
                              EDGELLM_ERR_UNSUPPORTED, beside);
    }
    if (found & EL_KEYWORD_ALL) return el_schema_put_object(w, place);
    if (!found) {
        el_schema_put_shared(w, EL_SHARED_ANY);
        return EDGELLM_OK;
    }
    EL_TRY(find_types(w, place, found, &types));
    return put_types(w, place, types);
}
