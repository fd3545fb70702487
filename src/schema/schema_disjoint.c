/*
 * schema_disjoint.c: that no value satisfies two alternatives of oneOf, which a grammar cannot see
 * for itself. They differ in their types, or in their values, or are objects in which one member,
 * that one of them requires, has different values.
 */
#include "schema/schema_work.h"

enum { ALTERNATIVES = 32, TYPE_DEPTH = 8 };

/* ---- types -------------------------------------------------------------------------------- */

/* An integer is a number. */
static unsigned with_integers(unsigned types)
{
    return types & EL_TYPE_NUMBER ? types | EL_TYPE_INTEGER : types;
}

static edgellm_status types_of(el_schema_work *w, uint32_t place, uint32_t depth, unsigned *types);

static edgellm_status types_of_list(el_schema_work *w, uint32_t place, const char *keyword,
                                    uint32_t depth, unsigned *types)
{
    const size_t n = json_array_size(el_schema_get(w, place, keyword));
    *types = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t one;
        unsigned found;
        EL_TRY(el_schema_within(w, place, keyword, NULL, i, &one));
        EL_TRY(el_schema_resolve(w, &one));
        EL_TRY(types_of(w, one, depth + 1, &found));
        *types |= found;
    }
    return EDGELLM_OK;
}

/* A value's place in `enum`, or the one of `const`; NULL behind the last. */
static const json_t *value_at(const json_t *node, size_t i)
{
    const json_t *one = json_object_get(node, "const");
    if (one) return i == 0 ? one : NULL;
    return json_array_get(json_object_get(node, "enum"), i);
}

/* All types that values of the schema may have, or more. */
static edgellm_status types_of(el_schema_work *w, uint32_t place, uint32_t depth, unsigned *types)
{
    const json_t *node = w->places[place].node, *value;
    unsigned of_values = 0;
    *types = EL_TYPES;
    EL_TRY(el_schema_step(w, place));
    if (!json_is_object(node) || depth == TYPE_DEPTH) return EDGELLM_OK;
    if (json_object_get(node, "anyOf")) return types_of_list(w, place, "anyOf", depth, types);
    if (json_object_get(node, "oneOf")) return types_of_list(w, place, "oneOf", depth, types);
    EL_TRY(el_schema_types(w, place, types));
    *types = with_integers(*types);
    for (size_t i = 0; (value = value_at(node, i)) != NULL; i++)
        of_values |= el_schema_type_of(value);
    if (of_values) *types &= of_values;
    return EDGELLM_OK;
}

/* ---- values ------------------------------------------------------------------------------- */

/* 1 and 1.0 are equal. Lists and objects, in which there may be such, count as equal. */
static bool may_be_equal(const json_t *a, const json_t *b)
{
    const bool nests = json_is_object(a) || json_is_array(a);
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_typeof(a) == json_typeof(b) && (nests || json_equal(a, b));
}

/* Both have values to choose from, and no value twice. */
static edgellm_status differ(el_schema_work *w, uint32_t place, const json_t *a, const json_t *b,
                             bool *differs)
{
    const json_t *left, *right;
    *differs = value_at(a, 0) && value_at(b, 0);
    for (size_t i = 0; *differs && (left = value_at(a, i)) != NULL; i++) {
        for (size_t k = 0; *differs && (right = value_at(b, k)) != NULL; k++) {
            EL_TRY(el_schema_step(w, place));
            *differs = !may_be_equal(left, right);
        }
    }
    return EDGELLM_OK;
}

/* ---- members ------------------------------------------------------------------------------ */

/* A member that `a` requires tells them apart. */
static edgellm_status member_tells(el_schema_work *w, uint32_t place, const json_t *a,
                                   const json_t *b, bool *tells)
{
    const json_t *required = json_object_get(a, "required");
    *tells = false;
    for (size_t i = 0; !*tells && i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        EL_TRY(el_schema_step(w, place));
        if (!name) continue;
        EL_TRY(differ(w, place, json_object_get(json_object_get(a, "properties"), name),
                      json_object_get(json_object_get(b, "properties"), name), tells));
    }
    return EDGELLM_OK;
}

static edgellm_status pair(el_schema_work *w, uint32_t place, const uint32_t *at,
                           const unsigned *types, bool *is_disjoint)
{
    const json_t *a = w->places[at[0]].node, *b = w->places[at[1]].node;
    *is_disjoint = !(types[0] & types[1]);
    if (!*is_disjoint) EL_TRY(differ(w, place, a, b, is_disjoint));
    if (*is_disjoint || (types[0] & types[1]) != EL_TYPE_OBJECT) return EDGELLM_OK;
    EL_TRY(member_tells(w, place, a, b, is_disjoint));
    if (!*is_disjoint) EL_TRY(member_tells(w, place, b, a, is_disjoint));
    return EDGELLM_OK;
}

edgellm_status el_schema_disjoint(el_schema_work *w, uint32_t place, const json_t *list)
{
    uint32_t at[ALTERNATIVES];
    unsigned types[ALTERNATIVES];
    const uint32_t n = (uint32_t)json_array_size(list);
    if (n > ALTERNATIVES)
        return el_schema_fail(w, place, "oneOf", EDGELLM_ERR_UNSUPPORTED, "more than %d",
                              ALTERNATIVES);
    for (uint32_t i = 0; i < n; i++) {
        EL_TRY(el_schema_within(w, place, "oneOf", NULL, i, &at[i]));
        EL_TRY(el_schema_resolve(w, &at[i]));
        EL_TRY(types_of(w, at[i], 0, &types[i]));
        for (uint32_t k = 0; k < i; k++) {
            bool is_disjoint;
            EL_TRY(pair(w, place, (uint32_t[]){at[i], at[k]}, (unsigned[]){types[i], types[k]},
                        &is_disjoint));
            if (!is_disjoint)
                return el_schema_fail(w, place, "oneOf", EDGELLM_ERR_UNSUPPORTED,
                                      "alternatives %u and %u may both hold: make them differ in "
                                      "type, in value or in a required member, or say anyOf",
                                      k, i);
        }
    }
    return EDGELLM_OK;
}
