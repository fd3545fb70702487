/* schema_arrays.c: lists: what each of the first items is, and what all others are. */
#include "schema/schema_work.h"

enum { FIRST_ITEMS = 32 };

typedef struct list {
    uint32_t place, least, most;
    uint32_t first;  /* items that have a schema of their own */
    uint32_t others; /* the place of the schema for all others; NONE: any value */
} list;

/* Item `i`, or one like it. */
static edgellm_status put_item(el_schema_work *w, const list *l, uint32_t i)
{
    const el_schema_way way = i < l->least ? EL_WAY_ALWAYS : EL_WAY_OPTIONAL;
    uint32_t item = l->others;
    if (i > 0) el_schema_put(w, "\", \" ");
    if (i < l->first) EL_TRY(el_schema_within(w, l->place, "prefixItems", NULL, i, &item));
    if (item != EL_SCHEMA_NONE) return el_schema_put_value(w, item, way);
    el_schema_put_shared(w, EL_SHARED_ANY);
    return EDGELLM_OK;
}

/* The others behind at least one item: so many at least and at most. */
static edgellm_status put_others(el_schema_work *w, const list *l, uint32_t behind)
{
    const uint32_t least = l->least > behind ? l->least - behind : 0;
    if (l->most == behind) return EDGELLM_OK;
    el_schema_put(w, " (");
    EL_TRY(put_item(w, l, behind));
    el_schema_put(w, ")");
    el_schema_put_count(w, least, l->most == EL_SCHEMA_NONE ? l->most : l->most - behind);
    return EDGELLM_OK;
}

/* Items one after the other, each within the brackets of the one before as long as it may be left
 * out; then the others. */
static edgellm_status put_items(el_schema_work *w, const list *l)
{
    const uint32_t named = l->first ? l->first : 1;
    uint32_t open = 0;
    for (uint32_t i = 0; i < named && i < l->most; i++) {
        el_schema_put(w, " ");
        if (i >= l->least) {
            el_schema_put(w, "(");
            open++;
        }
        EL_TRY(put_item(w, l, i));
    }
    if (l->most > named) EL_TRY(put_others(w, l, named));
    for (; open > 0; open--)
        el_schema_put(w, ")?");
    return EDGELLM_OK;
}

static edgellm_status read_first(el_schema_work *w, list *l)
{
    const json_t *first = el_schema_get(w, l->place, "prefixItems");
    if (first && json_array_size(first) == 0)
        return el_schema_fail(w, l->place, "prefixItems", EDGELLM_ERR_FORMAT,
                              "it must be a list of schemas");
    if (json_array_size(first) > FIRST_ITEMS)
        return el_schema_fail(w, l->place, "prefixItems", EDGELLM_ERR_UNSUPPORTED, "more than %d",
                              FIRST_ITEMS);
    l->first = (uint32_t)json_array_size(first);
    return EDGELLM_OK;
}

/* Without `items` a list ends behind the items that have schemas of their own. */
static edgellm_status read_others(el_schema_work *w, list *l)
{
    const json_t *items = el_schema_get(w, l->place, "items");
    const bool has_others = items ? !json_is_false(items) : l->first == 0;
    if (json_is_array(items))
        return el_schema_fail(w, l->place, "items", EDGELLM_ERR_UNSUPPORTED,
                              "a list of schemas is called prefixItems");
    if (!has_others && l->most > l->first) l->most = l->first;
    if (l->least > l->most)
        return el_schema_fail(w, l->place, "minItems", EDGELLM_ERR_FORMAT,
                              "more than there can be");
    if (!items || !has_others) return EDGELLM_OK;
    return el_schema_within(w, l->place, "items", NULL, EL_SCHEMA_NONE, &l->others);
}

edgellm_status el_schema_put_array(el_schema_work *w, uint32_t place)
{
    list l = {.place = place, .others = EL_SCHEMA_NONE};
    EL_TRY(el_schema_count(w, place, "minItems", 0, &l.least));
    EL_TRY(el_schema_count(w, place, "maxItems", EL_SCHEMA_NONE, &l.most));
    EL_TRY(read_first(w, &l));
    EL_TRY(read_others(w, &l));
    el_schema_put(w, "\"[\"");
    EL_TRY(put_items(w, &l));
    el_schema_put(w, " \"]\"");
    return EDGELLM_OK;
}
