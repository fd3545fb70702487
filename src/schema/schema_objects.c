/*
 * schema_objects.c: objects: members in the order of the schema, each of which may have to be
 * there; or any names with values of one kind. Where the first member may be left out, each place
 * where a row of members can go on is a rule, so that a grammar is as long as its schema.
 */
#include <string.h>

#include "schema/schema_work.h"

/* ---- parts: what allOf makes one of ------------------------------------------------------- */

static edgellm_status check_part(el_schema_work *w, uint32_t place)
{
    unsigned found = 0, types = 0;
    if (!json_is_object(w->places[place].node))
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED,
                              "allOf of something else than objects");
    EL_TRY(el_schema_keywords(w, place, &found));
    EL_TRY(el_schema_types(w, place, &types));
    if (types & EL_TYPE_OBJECT &&
        !(found & ~(unsigned)(EL_TYPE_OBJECT | EL_KEYWORD_TYPE | EL_KEYWORD_ALL)))
        return EDGELLM_OK;
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED,
                          "allOf of something else than objects");
}

/* Each once, what is in allOf before what stands beside it. */
static edgellm_status add_parts(el_schema_work *w, uint32_t place, uint32_t depth)
{
    const json_t *list = el_schema_get(w, place, "allOf");
    EL_TRY(el_schema_step(w, place));
    EL_TRY(el_schema_resolve(w, &place));
    if (depth > 0 || list) EL_TRY(check_part(w, place));
    list = el_schema_get(w, place, "allOf");
    if (list && (json_array_size(list) == 0 || depth > EL_SCHEMA_PARTS))
        return el_schema_fail(w, place, "allOf", EDGELLM_ERR_FORMAT,
                              "it must be a list of schemas");
    for (uint32_t i = 0; i < json_array_size(list); i++) {
        uint32_t one;
        EL_TRY(el_schema_within(w, place, "allOf", NULL, i, &one));
        EL_TRY(add_parts(w, one, depth + 1));
    }
    for (uint32_t i = 0; i < w->n_parts; i++) {
        if (w->parts[i] == place) return EDGELLM_OK;
    }
    if (w->n_parts == EL_SCHEMA_PARTS)
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED, "more than %d parts",
                              EL_SCHEMA_PARTS);
    w->parts[w->n_parts++] = place;
    return EDGELLM_OK;
}

/* ---- members ------------------------------------------------------------------------------ */

static el_schema_member *find_member(el_schema_work *w, const char *name)
{
    for (uint32_t i = 0; i < w->n_members; i++) {
        if (strcmp(w->members[i].name, name) == 0) return &w->members[i];
    }
    return NULL;
}

static edgellm_status add_member(el_schema_work *w, uint32_t part, const char *name)
{
    if (find_member(w, name))
        return el_schema_fail(w, part, "properties", EDGELLM_ERR_UNSUPPORTED,
                              "'%s' is in two parts of allOf", name);
    if (w->n_members == EL_SCHEMA_MEMBERS)
        return el_schema_fail(w, part, "properties", EDGELLM_ERR_UNSUPPORTED,
                              "more than %d properties", EL_SCHEMA_MEMBERS);
    el_schema_member *member = &w->members[w->n_members++];
    *member = (el_schema_member){.name = name};
    return el_schema_within(w, part, "properties", name, EL_SCHEMA_NONE, &member->place);
}

static edgellm_status add_members(el_schema_work *w, uint32_t part)
{
    const json_t *list = el_schema_get(w, part, "properties");
    const char *name;
    json_t *inner;
    if (list && !json_is_object(list))
        return el_schema_fail(w, part, "properties", EDGELLM_ERR_FORMAT, "it must be an object");
    json_object_foreach((json_t *)list, name, inner)
    {
        EL_TRY(el_schema_step(w, part));
        EL_TRY(add_member(w, part, name));
    }
    return EDGELLM_OK;
}

static edgellm_status require(el_schema_work *w, uint32_t part)
{
    const json_t *list = el_schema_get(w, part, "required");
    if (list && !json_is_array(list))
        return el_schema_fail(w, part, "required", EDGELLM_ERR_FORMAT, "it must be a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        el_schema_member *member = name ? find_member(w, name) : NULL;
        EL_TRY(el_schema_step(w, part));
        if (!member)
            return el_schema_fail(w, part, "required", EDGELLM_ERR_UNSUPPORTED,
                                  "'%s' is not among the properties", name ? name : "?");
        member->is_required = true;
    }
    return EDGELLM_OK;
}

/* Counts of members are for objects without names of their own, unless they say nothing. */
static edgellm_status check_counts(el_schema_work *w, uint32_t part)
{
    uint32_t least = 0, most = 0, required = 0;
    EL_TRY(el_schema_count(w, part, "minProperties", 0, &least));
    EL_TRY(el_schema_count(w, part, "maxProperties", EL_SCHEMA_NONE, &most));
    for (uint32_t i = 0; i < w->n_members; i++)
        required += w->members[i].is_required;
    if (least <= required && most >= w->n_members) return EDGELLM_OK;
    return el_schema_fail(w, part, least > required ? "minProperties" : "maxProperties",
                          EDGELLM_ERR_UNSUPPORTED, "beside named properties");
}

/* A generator may leave out what more would be allowed; but not what must be allowed elsewhere. */
static edgellm_status check_others(el_schema_work *w, uint32_t part)
{
    const json_t *others = el_schema_get(w, part, "additionalProperties");
    if (!others || json_is_true(others)) return EDGELLM_OK;
    if (json_is_false(others) && w->n_parts == 1) return EDGELLM_OK;
    if (json_is_false(others))
        return el_schema_fail(w, part, "additionalProperties", EDGELLM_ERR_UNSUPPORTED,
                              "false in a part of allOf forbids the other parts");
    return el_schema_fail(w, part, "additionalProperties", EDGELLM_ERR_UNSUPPORTED,
                          "a schema beside named properties; say false");
}

static edgellm_status gather(el_schema_work *w)
{
    for (uint32_t i = 0; i < w->n_parts; i++)
        EL_TRY(add_members(w, w->parts[i]));
    for (uint32_t i = 0; i < w->n_parts; i++)
        EL_TRY(require(w, w->parts[i]));
    for (uint32_t i = 0; i < w->n_parts; i++) {
        EL_TRY(check_counts(w, w->parts[i]));
        EL_TRY(check_others(w, w->parts[i]));
    }
    return EDGELLM_OK;
}

/* ---- any names ---------------------------------------------------------------------------- */

static edgellm_status put_pair(el_schema_work *w, uint32_t values, el_schema_way way)
{
    el_schema_put_shared(w, EL_SHARED_STRING);
    el_schema_put(w, " \": \" ");
    if (values != EL_SCHEMA_NONE) return el_schema_put_value(w, values, way);
    el_schema_put_shared(w, EL_SHARED_ANY);
    return EDGELLM_OK;
}

/* Two members of one name are one to whoever reads them: so no least number but 1 can be kept. */
static edgellm_status put_map(el_schema_work *w, uint32_t place, uint32_t values)
{
    uint32_t least = 0, most = 0;
    EL_TRY(el_schema_count(w, place, "minProperties", 0, &least));
    EL_TRY(el_schema_count(w, place, "maxProperties", EL_SCHEMA_NONE, &most));
    if (least > 1)
        return el_schema_fail(w, place, "minProperties", EDGELLM_ERR_UNSUPPORTED,
                              "a grammar cannot tell names apart: at most 1");
    if (least > most)
        return el_schema_fail(w, place, "maxProperties", EDGELLM_ERR_FORMAT,
                              "less than minProperties");
    const el_schema_way way = least ? EL_WAY_ALWAYS : EL_WAY_OPTIONAL;
    el_schema_put(w, most ? "\"{\" " : "\"{}\"");
    if (most == 0) return EDGELLM_OK;
    if (!least) el_schema_put(w, "(");
    EL_TRY(put_pair(w, values, way));
    if (most > 1) {
        el_schema_put(w, " (\", \" ");
        EL_TRY(put_pair(w, values, EL_WAY_OPTIONAL));
        el_schema_put(w, ")");
        el_schema_put_count(w, 0, most == EL_SCHEMA_NONE ? most : most - 1);
    }
    el_schema_put(w, least ? " \"}\"" : ")? \"}\"");
    return EDGELLM_OK;
}

static edgellm_status put_open_object(el_schema_work *w, uint32_t place)
{
    const json_t *others = el_schema_get(w, place, "additionalProperties");
    uint32_t values = EL_SCHEMA_NONE;
    EL_TRY(require(w, place));
    if (json_is_object(others))
        EL_TRY(el_schema_within(w, place, "additionalProperties", NULL, EL_SCHEMA_NONE, &values));
    else if (others && !json_is_true(others))
        return el_schema_fail(w, place, "additionalProperties", EDGELLM_ERR_FORMAT,
                              "a schema is an object");
    return put_map(w, place, values);
}

/* ---- names -------------------------------------------------------------------------------- */

static edgellm_status put_member(el_schema_work *w, uint32_t i, const char *before)
{
    const el_schema_member *m = &w->members[i];
    el_schema_put(w, "\"%s\\\"", before);
    el_schema_literal_inside(w, m->name, strlen(m->name));
    el_schema_put(w, "\\\": \" ");
    return el_schema_put_value(w, m->place, m->is_required ? EL_WAY_ALWAYS : EL_WAY_OPTIONAL);
}

/* A member that stands behind another. */
static edgellm_status put_next(el_schema_work *w, uint32_t i)
{
    const bool is_required = w->members[i].is_required;
    el_schema_put(w, is_required ? " " : " (");
    EL_TRY(put_member(w, i, ", "));
    el_schema_put(w, is_required ? "" : ")?");
    return EDGELLM_OK;
}

static void put_row_name(el_schema_work *w, uint32_t place, uint32_t i)
{
    el_schema_put(w, "r%u-%u", w->places[place].rule, i);
}

/* Any member may be the first, up to one that must be there. */
static edgellm_status put_first(el_schema_work *w, uint32_t place)
{
    bool is_required = false;
    el_schema_put(w, " (");
    for (uint32_t i = 0; i < w->n_members && !is_required; i++) {
        is_required = w->members[i].is_required;
        if (i > 0) el_schema_put(w, " | ");
        EL_TRY(put_member(w, i, ""));
        if (i + 1 == w->n_members) continue;
        el_schema_put(w, " ");
        put_row_name(w, place, i + 1);
    }
    el_schema_put(w, is_required ? ")" : ")?");
    w->has_row = w->n_members > 1;
    return EDGELLM_OK;
}

edgellm_status el_schema_put_row(el_schema_work *w, uint32_t place)
{
    w->n_rows += w->n_members - 1;
    if (w->n_rows > EL_SCHEMA_ROWS)
        return el_schema_fail(w, place, "required", EDGELLM_ERR_UNSUPPORTED,
                              "in all schemas more than %d properties that may be left out",
                              EL_SCHEMA_ROWS);
    for (uint32_t i = 1; i < w->n_members; i++) {
        put_row_name(w, place, i);
        el_schema_put(w, " ::=");
        EL_TRY(put_next(w, i));
        el_schema_put(w, " ");
        if (i + 1 < w->n_members) put_row_name(w, place, i + 1);
        el_schema_put(w, "\n");
    }
    return EDGELLM_OK;
}

static edgellm_status put_members(el_schema_work *w, uint32_t place)
{
    el_schema_put(w, "\"{\"");
    if (w->n_members > 0 && !w->members[0].is_required) {
        EL_TRY(put_first(w, place));
    } else {
        el_schema_put(w, " ");
        if (w->n_members > 0) EL_TRY(put_member(w, 0, ""));
        for (uint32_t i = 1; i < w->n_members; i++)
            EL_TRY(put_next(w, i));
    }
    el_schema_put(w, " \"}\"");
    return EDGELLM_OK;
}

edgellm_status el_schema_put_object(el_schema_work *w, uint32_t place)
{
    bool has_names = false;
    w->n_parts = w->n_members = 0;
    EL_TRY(add_parts(w, place, 0));
    for (uint32_t i = 0; i < w->n_parts; i++)
        has_names |= el_schema_get(w, w->parts[i], "properties") != NULL;
    const json_t *others = el_schema_get(w, place, "additionalProperties");
    if (!has_names && w->n_parts == 1 && !json_is_false(others)) return put_open_object(w, place);
    EL_TRY(gather(w));
    return put_members(w, place);
}
