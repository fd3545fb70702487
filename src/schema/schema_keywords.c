/* schema_keywords.c: the words that are known, and what they speak of. */
#include <math.h>
#include <string.h>

#include "schema/schema_work.h"

enum { NOTE = 0, AT_ROOT = 1 << 16, FALSE_ONLY = 1 << 17 };
#define NUMBERS (EL_TYPE_INTEGER | EL_TYPE_NUMBER)

static const struct {
    const char *name;
    unsigned group;
} keywords[] = {
    {"type", EL_KEYWORD_TYPE},
    {"enum", EL_KEYWORD_VALUES},
    {"const", EL_KEYWORD_VALUES},
    {"anyOf", EL_KEYWORD_CHOICE},
    {"oneOf", EL_KEYWORD_CHOICE},
    {"allOf", EL_KEYWORD_ALL},
    {"$ref", EL_KEYWORD_REF},
    {"properties", EL_TYPE_OBJECT},
    {"required", EL_TYPE_OBJECT},
    {"additionalProperties", EL_TYPE_OBJECT},
    {"minProperties", EL_TYPE_OBJECT},
    {"maxProperties", EL_TYPE_OBJECT},
    {"items", EL_TYPE_ARRAY},
    {"prefixItems", EL_TYPE_ARRAY},
    {"minItems", EL_TYPE_ARRAY},
    {"maxItems", EL_TYPE_ARRAY},
    {"uniqueItems", EL_TYPE_ARRAY | FALSE_ONLY},
    {"minLength", EL_TYPE_STRING},
    {"maxLength", EL_TYPE_STRING},
    {"pattern", EL_TYPE_STRING},
    {"format", EL_TYPE_STRING},
    {"minimum", NUMBERS},
    {"maximum", NUMBERS},
    {"exclusiveMinimum", NUMBERS},
    {"exclusiveMaximum", NUMBERS},
    {"$defs", NOTE},
    {"definitions", NOTE},
    {"title", NOTE},
    {"description", NOTE},
    {"default", NOTE},
    {"example", NOTE},
    {"examples", NOTE},
    {"deprecated", NOTE},
    {"readOnly", NOTE},
    {"writeOnly", NOTE},
    {"discriminator", NOTE}, /* OpenAPI's: which member tells the alternatives apart */
    {"$comment", NOTE},
    {"$schema", AT_ROOT},
    {"$id", AT_ROOT}, /* elsewhere it would change what '#' is */
};

static const struct {
    const char *name;
    unsigned type;
} types[] = {
    {"object", EL_TYPE_OBJECT},   {"array", EL_TYPE_ARRAY},   {"string", EL_TYPE_STRING},
    {"integer", EL_TYPE_INTEGER}, {"number", EL_TYPE_NUMBER}, {"boolean", EL_TYPE_BOOLEAN},
    {"null", EL_TYPE_NULL},
};

const json_t *el_schema_get(const el_schema_work *w, uint32_t place, const char *keyword)
{
    return json_object_get(w->places[place].node, keyword);
}

static edgellm_status look_up(el_schema_work *w, uint32_t place, const char *name, unsigned *group)
{
    size_t i = 0;
    while (i < sizeof keywords / sizeof *keywords && strcmp(keywords[i].name, name) != 0)
        i++;
    EL_TRY(el_schema_step(w, place));
    if (i == sizeof keywords / sizeof *keywords)
        return el_schema_fail(w, place, name, EDGELLM_ERR_UNSUPPORTED,
                              "this keyword is not supported");
    *group = keywords[i].group & ~(unsigned)(AT_ROOT | FALSE_ONLY);
    if (keywords[i].group == AT_ROOT && w->places[place].node != w->places[place].document->schema)
        return el_schema_fail(w, place, name, EDGELLM_ERR_UNSUPPORTED,
                              "this keyword is supported at the root only");
    if (keywords[i].group & FALSE_ONLY && !json_is_false(el_schema_get(w, place, name)))
        return el_schema_fail(w, place, name, EDGELLM_ERR_UNSUPPORTED,
                              "a grammar cannot compare items: leave it out");
    return EDGELLM_OK;
}

edgellm_status el_schema_keywords(el_schema_work *w, uint32_t place, unsigned *found)
{
    const char *name;
    json_t *value;
    *found = 0;
    json_object_foreach((json_t *)w->places[place].node, name, value)
    {
        unsigned group = 0;
        EL_TRY(look_up(w, place, name, &group));
        *found |= group;
    }
    return EDGELLM_OK;
}

static unsigned type_named(const char *name)
{
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) return types[i].type;
    }
    return 0;
}

edgellm_status el_schema_types(el_schema_work *w, uint32_t place, unsigned *allowed)
{
    const json_t *type = el_schema_get(w, place, "type");
    const size_t n = json_is_array(type) ? json_array_size(type) : 1;
    *allowed = type ? 0 : EL_TYPES;
    for (size_t i = 0; type && i < n; i++) {
        const json_t *one = json_is_array(type) ? json_array_get(type, i) : type;
        const unsigned named = type_named(json_string_value(one));
        if (!named)
            return el_schema_fail(w, place, "type", EDGELLM_ERR_FORMAT,
                                  "no type; there are object, array, string, integer, number, "
                                  "boolean and null");
        *allowed |= named;
    }
    if (*allowed) return EDGELLM_OK;
    return el_schema_fail(w, place, "type", EDGELLM_ERR_FORMAT, "no type in the list");
}

edgellm_status el_schema_count(el_schema_work *w, uint32_t place, const char *keyword,
                               uint32_t otherwise, uint32_t *count)
{
    const json_t *value = el_schema_get(w, place, keyword);
    *count = otherwise;
    if (!value) return EDGELLM_OK;
    const double number = json_number_value(value);
    if (!json_is_number(value) || number < 0 || number != floor(number))
        return el_schema_fail(w, place, keyword, EDGELLM_ERR_FORMAT,
                              "it must be a whole number of at least 0");
    if (number > EL_SCHEMA_REPEATS)
        return el_schema_fail(w, place, keyword, EDGELLM_ERR_UNSUPPORTED,
                              "the most that can be counted is %d", EL_SCHEMA_REPEATS);
    *count = (uint32_t)number;
    return EDGELLM_OK;
}

unsigned el_schema_type_of(const json_t *value)
{
    static const unsigned of[] = {
        [JSON_OBJECT] = EL_TYPE_OBJECT, [JSON_ARRAY] = EL_TYPE_ARRAY,
        [JSON_STRING] = EL_TYPE_STRING, [JSON_INTEGER] = EL_TYPE_INTEGER | EL_TYPE_NUMBER,
        [JSON_REAL] = EL_TYPE_NUMBER,   [JSON_TRUE] = EL_TYPE_BOOLEAN,
        [JSON_FALSE] = EL_TYPE_BOOLEAN, [JSON_NULL] = EL_TYPE_NULL,
    };
    const bool is_whole =
        json_is_real(value) && json_real_value(value) == floor(json_real_value(value));
    return of[json_typeof(value)] | (is_whole ? (unsigned)EL_TYPE_INTEGER : 0);
}
