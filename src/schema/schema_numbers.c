/* schema_numbers.c: integers and numbers, and what bounds leave of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/schema_work.h"

/* ---- reading bounds ----------------------------------------------------------------------- */

typedef struct bound {
    double value;
    const json_t *node;  /* NULL: there is none */
    const char *keyword; /* the one that says it */
    bool is_open;
} bound;

/* The tighter of `inclusive` and `exclusive`; sign 1 for lower bounds, -1 for upper ones. */
static edgellm_status read_bound(el_schema_work *w, uint32_t place, const char *inclusive,
                                 const char *exclusive, double sign, bound *b)
{
    const char *const keywords[] = {inclusive, exclusive};
    *b = (bound){0};
    for (int i = 0; i < 2; i++) {
        const json_t *node = el_schema_get(w, place, keywords[i]);
        const double value = json_number_value(node);
        if (!node) continue;
        if (!json_is_number(node))
            return el_schema_fail(w, place, keywords[i], EDGELLM_ERR_FORMAT, "it must be a number");
        if (b->node && sign * value < sign * b->value) continue;
        *b = (bound){value, node, keywords[i], i == 1};
    }
    return EDGELLM_OK;
}

static edgellm_status read_bounds(el_schema_work *w, uint32_t place, bound *least, bound *most)
{
    EL_TRY(read_bound(w, place, "minimum", "exclusiveMinimum", 1, least));
    return read_bound(w, place, "maximum", "exclusiveMaximum", -1, most);
}

static edgellm_status fail_empty(el_schema_work *w, uint32_t place)
{
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_FORMAT,
                          "no number of at most %d digits is within the bounds", EL_SCHEMA_DIGITS);
}

/* ---- integers ----------------------------------------------------------------------------- */

/* Beyond what 15 digits can say is as far as anything is. */
static int64_t whole_of(double value)
{
    const double far = 2.0 * (double)EL_SCHEMA_WHOLE_MOST;
    return (int64_t)(value > far ? far : value < -far ? -far : value);
}

static int64_t least_whole(const bound *b)
{
    const int64_t end = -(int64_t)EL_SCHEMA_WHOLE_MOST;
    const int64_t value = whole_of(b->is_open ? floor(b->value) + 1 : ceil(b->value));
    return !b->node || value < end ? end : value;
}

static int64_t most_whole(const bound *b)
{
    const int64_t end = (int64_t)EL_SCHEMA_WHOLE_MOST;
    const int64_t value = whole_of(b->is_open ? ceil(b->value) - 1 : floor(b->value));
    return !b->node || value > end ? end : value;
}

edgellm_status el_schema_put_integer(el_schema_work *w, uint32_t place)
{
    bound low, high;
    el_schema_choices c = {.w = w}, negative = {.w = w};
    EL_TRY(read_bounds(w, place, &low, &high));
    if (!low.node && !high.node) {
        el_schema_put_shared(w, EL_SHARED_INTEGER);
        return EDGELLM_OK;
    }
    const int64_t least = least_whole(&low), most = most_whole(&high);
    if (least > most) return fail_empty(w, place);
    if (least < 0) {
        el_schema_put(w, "\"-\" (");
        el_schema_put_whole(&negative, most < 0 ? (uint64_t)-most : 1, (uint64_t)-least, "");
        el_schema_put(w, ")");
        c.n = 1;
    }
    if (most >= 0) el_schema_put_whole(&c, least > 0 ? (uint64_t)least : 0, (uint64_t)most, "");
    return EDGELLM_OK;
}

/* ---- numbers ------------------------------------------------------------------------------ */

/* As the decimal digits that the schema's author wrote, if a double says which these were. */
static bool split(el_schema_work *w, const json_t *node, el_schema_bound *b)
{
    char text[EL_SCHEMA_NUMBER_BYTES], *point;
    bool is_same;
    size_t len = el_schema_number_text(w, node, EL_SCHEMA_DIGITS, text, &is_same);
    if (w->text.has_failed) return true; /* told at the end of the rule */
    b->whole = strtoull(text[0] == '-' ? text + 1 : text, &point, 10);
    if (!is_same || b->whole > EL_SCHEMA_WHOLE_MOST || strpbrk(text, "eE")) return false;
    if (*point != '.') return true;
    while (text[len - 1] == '0')
        text[--len] = '\0';
    if (strlen(point + 1) > EL_SCHEMA_DIGITS) return false;
    memcpy(b->part, point + 1, strlen(point + 1) + 1);
    return true;
}

/* The bound of the numbers on one side of zero: `b` where it is on that side, else `otherwise`. */
static edgellm_status side(el_schema_work *w, uint32_t place, const bound *b, bool is_there,
                           el_schema_bound otherwise, el_schema_bound *out)
{
    *out = otherwise;
    if (!b->node || !is_there) return EDGELLM_OK;
    *out = (el_schema_bound){.is_open = b->is_open};
    if (split(w, b->node, out)) return EDGELLM_OK;
    return el_schema_fail(w, place, b->keyword, EDGELLM_ERR_UNSUPPORTED,
                          "a bound of a number has at most %d digits and no exponent",
                          EL_SCHEMA_DIGITS);
}

static const el_schema_bound no_bound = {.whole = EL_SCHEMA_WHOLE_MOST, .is_unbounded = true};

static edgellm_status put_below_zero(el_schema_work *w, uint32_t place, const bound *low,
                                     const bound *high, el_schema_choices *c)
{
    const el_schema_bound zero = {.is_open = true}; /* there is no -0 */
    el_schema_choices in = {.w = w};
    el_schema_bound from, to;
    EL_TRY(side(w, place, high, high->value < 0, zero, &from));
    EL_TRY(side(w, place, low, true, no_bound, &to));
    el_schema_put(w, "\"-\" (");
    el_schema_put_between(&in, &from, &to);
    el_schema_put(w, ")");
    c->n += in.n > 0;
    c->is_too_fine |= in.is_too_fine;
    return in.n > 0 ? EDGELLM_OK : fail_empty(w, place);
}

static edgellm_status put_from_zero(el_schema_work *w, uint32_t place, const bound *low,
                                    const bound *high, el_schema_choices *c)
{
    const el_schema_bound zero = {.whole = 0};
    el_schema_bound from, to;
    EL_TRY(side(w, place, low, low->value >= 0, zero, &from));
    EL_TRY(side(w, place, high, true, no_bound, &to));
    el_schema_put_between(c, &from, &to);
    return EDGELLM_OK;
}

edgellm_status el_schema_put_number(el_schema_work *w, uint32_t place)
{
    bound low, high;
    el_schema_choices c = {.w = w};
    EL_TRY(read_bounds(w, place, &low, &high));
    if (!low.node && !high.node) {
        el_schema_put_shared(w, EL_SHARED_NUMBER);
        return EDGELLM_OK;
    }
    if (low.node && high.node && low.value > high.value) return fail_empty(w, place);
    if (!low.node || low.value < 0) EL_TRY(put_below_zero(w, place, &low, &high, &c));
    if (!high.node || high.value > 0 || (high.value == 0 && !high.is_open))
        EL_TRY(put_from_zero(w, place, &low, &high, &c));
    if (c.n == 0) return fail_empty(w, place);
    if (!c.is_too_fine || w->text.has_failed) return EDGELLM_OK;
    return el_schema_fail(w, place, NULL, EDGELLM_ERR_UNSUPPORTED,
                          "bounds of a number have at most %d digits in all", EL_SCHEMA_DIGITS - 1);
}
