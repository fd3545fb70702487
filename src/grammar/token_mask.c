/*
 * token_mask.c: the walk through the trie. At a node whose byte leads nowhere, all below it is left
 * out; where all bytes below lead back to the same state, as in the middle of a string, all is
 * taken; else the walk goes on below. Where a repetition has a limit that no token below can reach,
 * it goes on with the state that does not count (el_states_plenty()), of which the same holds.
 *
 * When room runs out for the first time the walk begins again with all forgotten: then it, and how
 * much work it takes, is the same whatever the matcher did before.
 */
#include "grammar/token_mask.h"

#include <math.h> /* INFINITY */
#include <string.h>

#include "grammar/matcher.h"

enum { HEIGHT_MAX = 255 /* or more */ };

/* ---- bits ------------------------------------------------------------------------------------ */

static uint32_t words_of(const el_trie *t)
{
    return (t->n_ranks + 63) / 64;
}

static void set_range(uint64_t *words, uint32_t from, uint32_t to)
{
    const uint32_t first = from / 64, last = to / 64;
    const uint64_t begin = ~(uint64_t)0 << from % 64, end = ((uint64_t)1 << to % 64) - 1;
    if (first == last) {
        words[first] |= begin & end;
        return;
    }
    words[first] |= begin;
    for (uint32_t i = first + 1; i < last; i++)
        words[i] = ~(uint64_t)0;
    if (end != 0) words[last] |= end;
}

static void copy_set(const el_mask *mask, const float *logits, float *to)
{
    for (uint32_t i = 0; i < words_of(mask->trie); i++)
        for (uint64_t word = mask->words[i]; word != 0; word &= word - 1) {
            const uint32_t id = mask->trie->ids[64 * i + (uint32_t)__builtin_ctzll(word)];
            to[id] = logits[id];
        }
}

static void ban_others(const el_mask *mask, float *to)
{
    const el_trie *t = mask->trie;
    for (uint32_t i = 0; i < words_of(t); i++) {
        uint64_t word = ~mask->words[i];
        for (; word != 0; word &= word - 1) {
            const uint32_t rank = 64 * i + (uint32_t)__builtin_ctzll(word);
            if (rank < t->n_ranks) to[t->ids[rank]] = -INFINITY;
        }
    }
}

/* Tokens that are no text are in no trie: they are never in a mask, but for those at the end. */
void el_mask_logits(const el_mask *mask, const float *logits, uint32_t vocab, float *to)
{
    const el_trie *t = mask->trie;
    const bool most = mask->count > t->n_ranks / 2;
    if (most) {
        memcpy(to, logits, vocab * sizeof *to);
        for (uint32_t i = 0; i < t->n_others; i++)
            to[t->others[i]] = -INFINITY;
        ban_others(mask, to);
    } else {
        for (uint32_t i = 0; i < vocab; i++)
            to[i] = -INFINITY;
        copy_set(mask, logits, to);
    }
    for (uint32_t i = 0; i < t->n_ends && mask->ends; i++)
        to[t->ends[i]] = logits[t->ends[i]];
}

bool el_mask_has(const el_mask *mask, uint32_t token)
{
    for (uint32_t rank = 0; rank < mask->trie->n_ranks; rank++)
        if (mask->trie->ids[rank] == token) return mask->words[rank / 64] >> rank % 64 & 1;
    return false;
}

/* ---- the walk -------------------------------------------------------------------------------- */

typedef struct walk {
    el_matcher *m;
    el_mask *mask;
    uint32_t limit; /* the most that a state after a token may cost */
    bool is_fresh;  /* all was forgotten when it began */
    bool has_run_out;
    uint32_t work; /* before all was last forgotten */
} walk;

static bool is_no_state(uint16_t state)
{
    return state == EL_STATE_DEAD || state == EL_STATE_UNKNOWN;
}

/* The state at a node, whose parent's is known. */
static uint16_t state_at(el_matcher *m, uint32_t i)
{
    const el_trie_node *node = &m->trie->nodes[i];
    const uint16_t state = el_states_go(m, m->path[node->depth - 1], node->byte);
    if (is_no_state(state) || !m->states[state].counts || node->height == 0 ||
        node->height == HEIGHT_MAX)
        return state;
    return el_states_plenty(m, state, node->height);
}

/* Forgets all, and finds the states down to a node again. */
static uint16_t find_again(walk *w, uint32_t depth)
{
    el_matcher *m = w->m;
    w->work += m->work;
    w->has_run_out = !w->is_fresh || w->work > EL_MASK_WORK;
    if (w->has_run_out) return EL_STATE_DEAD;
    el_states_forget(m);
    m->path[0] = el_states_plenty(m, m->current, m->trie->depth);
    for (uint32_t d = 1; d <= depth; d++) {
        m->path[d] = state_at(m, m->path_nodes[d]);
        if (!is_no_state(m->path[d])) continue;
        w->has_run_out = d < depth; /* not even the way here fits */
        return m->path[d];
    }
    return m->path[depth];
}

static void allow(walk *w, uint32_t from, uint32_t to, uint32_t cost)
{
    if (from == to) return;
    if (cost > w->limit) {
        w->mask->bounded = true;
        return;
    }
    set_range(w->mask->words, from, to);
    if (cost > w->mask->most) w->mask->most = cost;
}

/* Do all bytes below lead back to this state? A token may end inside a character. */
static bool takes_all_below(walk *w, const el_trie_node *node, uint16_t state)
{
    el_matcher *m = w->m;
    const uint32_t inside = (node->groups & EL_TRIE_WHOLE_CHARS) ? 3 : 0;
    if (state != m->path[node->depth - 1] && !m->states[state].has_loops)
        return false; /* it came from elsewhere: not worth the look */
    return (node->groups & ~el_states_loops(m, state)) == 0 &&
           m->states[state].cost + inside <= w->limit;
}

/* Visits a node; returns the one that comes next. */
static uint32_t visit(walk *w, uint32_t i)
{
    el_matcher *m = w->m;
    const el_trie_node *node = &m->trie->nodes[i], *next = node + 1;
    m->path_nodes[node->depth] = i;
    uint16_t state = m->work > EL_WORK ? EL_STATE_UNKNOWN : state_at(m, i);
    if (state == EL_STATE_UNKNOWN) state = find_again(w, node->depth);
    if (is_no_state(state)) return node->skip;
    const uint32_t cost = m->states[state].cost;
    allow(w, node->rank, next->rank, cost);
    if (node->skip == i + 1) return node->skip;
    if (takes_all_below(w, node, state)) {
        const uint32_t inside = (node->groups & EL_TRIE_WHOLE_CHARS) ? 3 : 0;
        allow(w, next->rank, m->trie->nodes[node->skip].rank, cost + inside);
        return node->skip;
    }
    m->path[node->depth] = state;
    return i + 1;
}

static uint32_t count_bits(const el_mask *mask)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < words_of(mask->trie); i++)
        n += (uint32_t)__builtin_popcountll(mask->words[i]);
    return n;
}

/* ---- masks ----------------------------------------------------------------------------------- */

void el_masks_forget(el_matcher *m)
{
    for (uint32_t i = 0; i <= EL_MASKS; i++)
        m->masks[i].state = EL_STATE_DEAD;
}

/* The whole walk; false: room has run out. */
static bool walk_all(walk *w)
{
    el_matcher *m = w->m;
    el_mask *mask = w->mask;
    memset(mask->words, 0, words_of(m->trie) * sizeof *mask->words);
    mask->bounded = false;
    mask->most = 0;
    mask->ends = m->states[m->current].accepts;
    m->path[0] = el_states_plenty(m, m->current, m->trie->depth);
    for (uint32_t i = 0; i < m->trie->n_nodes && !w->has_run_out;)
        i = visit(w, i);
    mask->count = count_bits(mask);
    return !w->has_run_out;
}

static edgellm_status fill(el_matcher *m, el_mask *mask, uint32_t limit, edgellm_error *err)
{
    walk w = {.m = m, .mask = mask, .limit = limit};
    if (walk_all(&w)) return EDGELLM_OK;
    el_states_forget(m);
    w = (walk){.m = m, .mask = mask, .limit = limit, .is_fresh = true};
    if (walk_all(&w)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "which tokens the grammar allows here would take too long to find out: let "
                   "fewer of its ways begin alike");
}

/* A mask that was made for the same state, and holds for the limit. */
static const el_mask *kept_mask(const el_matcher *m, uint16_t state, uint32_t limit)
{
    for (uint32_t i = 0; i < EL_MASKS; i++)
        if (m->masks[i].state == state && m->masks[i].most <= limit) return &m->masks[i];
    return NULL;
}

/* Nothing but the end. */
static const el_mask *end_mask(el_matcher *m)
{
    el_mask *mask = &m->masks[EL_MASKS];
    memset(mask->words, 0, words_of(m->trie) * sizeof *mask->words);
    mask->count = 0;
    mask->ends = true;
    return mask;
}

/* Of `left` tokens one is this, one the end. */
static uint32_t limit_of(const el_matcher *m, uint32_t left)
{
    const uint32_t cost = m->states[m->current].cost;
    const uint32_t limit = left > 2 ? left - 2 : 0;
    return cost > limit + 1 ? cost - 1 : limit;
}

edgellm_status el_matcher_fail_bound(edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "the grammar goes on in more than %d ways at once, or %d rules deep: no token "
                   "can follow; make it simpler",
                   EL_CONFIGS_OF_STATE, EL_STACK_MAX);
}

static edgellm_status make_mask(el_matcher *m, uint32_t limit, const el_mask **mask,
                                edgellm_error *err)
{
    el_mask *made = &m->masks[m->next_mask];
    made->state = EL_STATE_DEAD;
    EL_TRY(fill(m, made, limit, err));
    *mask = made;
    if (made->count == 0 && !made->ends) return el_matcher_fail_bound(err);
    if (made->bounded) return EDGELLM_OK;
    made->state = el_states_plenty(m, m->current, m->trie->depth);
    m->next_mask = (m->next_mask + 1) % EL_MASKS;
    return EDGELLM_OK;
}

edgellm_status el_matcher_mask(el_matcher *m, uint32_t left, const el_mask **mask,
                               edgellm_error *err)
{
    const bool can_go_on = !m->ended && m->states[m->current].n > 0;
    if (!can_go_on || (left < 2 && m->states[m->current].accepts)) {
        *mask = end_mask(m);
        return EDGELLM_OK;
    }
    const uint32_t limit = limit_of(m, left);
    *mask = kept_mask(m, el_states_plenty(m, m->current, m->trie->depth), limit);
    return *mask ? EDGELLM_OK : make_mask(m, limit, mask, err);
}
