/* schema_strings.c: strings: any, so many characters, a pattern, or a format. */
#include <string.h>

#include "schema/schema_work.h"

static const struct {
    const char *name;
    el_schema_shared rule;
} formats[] = {
    {"date", EL_SHARED_DATE},
    {"time", EL_SHARED_TIME},
    {"date-time", EL_SHARED_DATE_TIME},
    {"uuid", EL_SHARED_UUID},
};

static edgellm_status put_format(el_schema_work *w, uint32_t place)
{
    const char *name = json_string_value(el_schema_get(w, place, "format"));
    for (size_t i = 0; name && i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        el_schema_put_shared(w, formats[i].rule);
        return EDGELLM_OK;
    }
    return el_schema_fail(w, place, "format", EDGELLM_ERR_UNSUPPORTED,
                          "there are date, time, date-time and uuid");
}

static edgellm_status put_length(el_schema_work *w, uint32_t place)
{
    uint32_t least = 0, most = 0;
    EL_TRY(el_schema_count(w, place, "minLength", 0, &least));
    EL_TRY(el_schema_count(w, place, "maxLength", EL_SCHEMA_NONE, &most));
    if (least > most)
        return el_schema_fail(w, place, "maxLength", EDGELLM_ERR_FORMAT, "less than minLength");
    if (most == 0) return EDGELLM_OK;
    el_schema_put_shared(w, EL_SHARED_CHAR);
    el_schema_put_count(w, least, most);
    return EDGELLM_OK;
}

edgellm_status el_schema_put_string(el_schema_work *w, uint32_t place)
{
    const json_t *pattern = el_schema_get(w, place, "pattern");
    const json_t *format = el_schema_get(w, place, "format");
    const bool has_length =
        el_schema_get(w, place, "minLength") || el_schema_get(w, place, "maxLength");
    if ((pattern != NULL) + (format != NULL) + has_length > 1)
        return el_schema_fail(w, place, pattern ? "pattern" : "format", EDGELLM_ERR_UNSUPPORTED,
                              "of pattern, format and lengths only one");
    if (pattern && !json_is_string(pattern))
        return el_schema_fail(w, place, "pattern", EDGELLM_ERR_FORMAT, "it must be a string");
    el_schema_put(w, "\"\\\"\" ");
    if (pattern)
        EL_TRY(el_schema_put_pattern(w, place, json_string_value(pattern),
                                     json_string_length(pattern)));
    else if (format)
        EL_TRY(put_format(w, place));
    else
        EL_TRY(put_length(w, place));
    el_schema_put(w, " \"\\\"\"");
    return EDGELLM_OK;
}
