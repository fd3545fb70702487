#include "server/json_limits.h"

/* The place behind the string whose inside begins at `i`. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    while (i < len && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return i + 1;
}

static void open_one(el_json_extent *extent, uint32_t *depth)
{
    if (*depth < UINT32_MAX) ++*depth;
    if (*depth > extent->depth) extent->depth = *depth;
}

el_json_extent el_json_measure(const char *text, size_t len)
{
    el_json_extent extent = {0, 1};
    uint32_t depth = 0;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (c == '"') i = skip_string(text, len, i + 1) - 1;
        if (c == '[' || c == '{') open_one(&extent, &depth);
        if ((c == ']' || c == '}') && depth > 0) depth--;
        /* each value but the first stands behind one of these */
        if ((c == '[' || c == '{' || c == ',' || c == ':') && extent.values < UINT32_MAX)
            extent.values++;
    }
    return extent;
}
