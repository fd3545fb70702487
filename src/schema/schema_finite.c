/* schema_finite.c: grammars that never end, and grammars that never begin, are refused. */
#include "schema/schema_work.h"

/* ---- some sentence ends ------------------------------------------------------------------- */

/* Whether the rule's sentences can end, by what is known of the rules that it names. */
static bool can_end(const el_schema_work *w, const el_schema_place *place)
{
    bool has_choice = false, has_chosen = false;
    for (uint32_t i = place->first_edge; i < place->end_edge; i++) {
        const el_schema_edge *edge = &w->edges[i];
        const bool ends = w->places[edge->to].is_finite;
        if (!edge->is_choice && !ends) return false;
        has_choice |= edge->is_choice;
        has_chosen |= edge->is_choice && ends;
    }
    return !has_choice || has_chosen;
}

/* One more round as long as one more rule was found to end; what is named mostly comes later. */
static void find_ends(el_schema_work *w)
{
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (uint32_t i = w->n_rules; i > 0; i--) {
            el_schema_place *place = &w->places[w->rules[i - 1]];
            if (place->is_finite || !can_end(w, place)) continue;
            place->is_finite = has_changed = true;
        }
    }
}

/* ---- no rule begins with itself ----------------------------------------------------------- */

static edgellm_status search(el_schema_work *w, uint32_t place)
{
    el_schema_place *at = &w->places[place];
    if (at->is_open)
        return el_schema_fail(w, place, NULL, EDGELLM_ERR_FORMAT,
                              "an alternative leads to itself, with nothing in between");
    if (at->is_done) return EDGELLM_OK;
    at->is_open = true;
    for (uint32_t i = at->first_edge; i < at->end_edge; i++) {
        if (w->edges[i].is_choice) EL_TRY(search(w, w->edges[i].to));
    }
    at->is_open = false;
    at->is_done = true;
    return EDGELLM_OK;
}

edgellm_status el_schema_check_finite(el_schema_work *w)
{
    for (uint32_t i = 0; i < w->n_rules; i++)
        EL_TRY(search(w, w->rules[i]));
    find_ends(w);
    for (uint32_t i = 0; i < w->n_rules; i++) {
        if (!w->places[w->rules[i]].is_finite)
            return el_schema_fail(w, w->rules[i], NULL, EDGELLM_ERR_FORMAT,
                                  "every value of it contains another of it, without an end");
    }
    return EDGELLM_OK;
}
