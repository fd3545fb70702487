/* schema_sets.h: sets of characters, of which classes in patterns are made. */
#ifndef EL_SCHEMA_SCHEMA_SETS_H
#define EL_SCHEMA_SCHEMA_SETS_H

#include "schema/schema_work.h"

enum { EL_SET_RANGES = 256, EL_SET_LAST = 0x10ffff };

typedef struct el_set_range {
    uint32_t from, to;
} el_set_range;

/* Ranges in any order until el_set_order(). */
typedef struct el_set {
    uint32_t n;
    bool is_full; /* a range was lost */
    el_set_range ranges[EL_SET_RANGES];
} el_set;

void el_set_add(el_set *set, uint32_t from, uint32_t to);
void el_set_add_set(el_set *set, const el_set *more);
/* In order, none touching another. */
void el_set_order(el_set *set);
void el_set_invert(el_set *set);

void el_set_keep_ascii(el_set *set);

/* d, w, s and, of all others, D, W, S; `.`. False: it is another letter. What is a digit, a letter
 * or white space beyond ASCII is where dialects of regular expressions differ: these sets have what
 * all of them accept. */
bool el_set_named(char letter, el_set *set);

/* One character of the ordered set, as it stands in a JSON string. False: no string can hold one.
 */
bool el_set_put(el_schema_work *w, const el_set *set);

#endif
