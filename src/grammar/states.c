#include <string.h>

#include "grammar/matcher.h"

enum { GENERATIONS = 1 << 20 };

_Static_assert((uint64_t)GENERATIONS *EL_CLOSURE_SLOTS <= (uint64_t)UINT32_MAX + 1,
               "a slot holds a generation and an item");

/* ---- closure --------------------------------------------------------------------------------- */

static void begin_closure(el_matcher *m)
{
    m->n_items = m->n_found = 0;
    m->found_end = m->full = m->over_bound = false;
    if (++m->generation < GENERATIONS) return;
    memset(m->seen, 0, EL_CLOSURE_SLOTS * sizeof *m->seen);
    m->generation = 1;
}

/* Puts a step that has to be done, unless it was there already. */
static void put_item(el_matcher *m, uint32_t node, uint32_t stack, uint32_t fresh)
{
    uint32_t slot = (node * 0x9e3779b1u ^ stack * 0x85ebca6bu ^ fresh) >> 7;
    if (stack == EL_FRAMES) return;
    for (;; slot++) {
        const uint32_t entry = m->seen[slot % EL_CLOSURE_SLOTS];
        if (entry / EL_CLOSURE_SLOTS != m->generation) break;
        const el_closure_item *i = &m->items[entry % EL_CLOSURE_SLOTS];
        if (i->node == node && i->stack == stack && i->fresh == fresh) return;
    }
    if (m->n_items == EL_CLOSURE_MAX) {
        m->over_bound = true;
        return;
    }
    m->seen[slot % EL_CLOSURE_SLOTS] = m->generation * EL_CLOSURE_SLOTS + m->n_items;
    m->items[m->n_items++] = (el_closure_item){node, stack, fresh};
}

/* A repetition of which `count` are done. */
static void repeat(el_matcher *m, uint32_t at, uint32_t count, uint32_t stack, uint32_t fresh)
{
    const el_program *p = m->program;
    const el_node *node = &p->nodes[at];
    if (count >= node->least || p->nodes[node->first].nullable)
        put_item(m, node->then, stack, fresh);
    if (count < node->most || count == EL_COUNT_PLENTY)
        put_item(m, node->first, el_stacks_push(m, at, count, stack), fresh + 1);
}

/* Without a limit, what is more than enough need not be counted. */
static uint32_t counted(const el_node *node, uint32_t count)
{
    if (count == EL_COUNT_PLENTY) return count;
    return node->most == EL_GBNF_NO_LIMIT && count >= node->least ? node->least : count + 1;
}

/* The end of a rule or a body. A body that took nothing (its frame is fresh) is not done again. */
static void leave(el_matcher *m, uint32_t stack, uint32_t fresh)
{
    const el_frame *f = &m->frames[stack];
    const el_node *node = &m->program->nodes[f->node];
    if (stack == 0)
        m->found_end = true;
    else if (node->kind != EL_NODE_REPEAT)
        put_item(m, node->then, f->below, fresh > 0 ? fresh - 1 : 0);
    else if (fresh == 0)
        repeat(m, f->node, counted(node, f->count), f->below, 0);
}

static void call(el_matcher *m, uint32_t at, uint32_t stack, uint32_t fresh)
{
    const el_node *node = &m->program->nodes[at];
    if (m->program->nodes[node->then].kind == EL_NODE_END)
        put_item(m, node->first, stack, fresh); /* nothing comes after it */
    else
        put_item(m, node->first, el_stacks_push(m, at, 0, stack), fresh + 1);
}

/* The first config that was found of this number or more. */
static uint32_t place_of(const el_matcher *m, el_wait wait)
{
    uint32_t from = 0, to = m->n_found;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (m->found[middle] < wait)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Is there a config at the same node, from `from` to `to`, that can do all that this one can? Only
 * a stack that counts can have counted more than it needs. */
static bool is_eased(const el_matcher *m, uint32_t stack, uint32_t from, uint32_t to)
{
    if (!m->frames[stack].counts) return false;
    for (uint32_t i = from; i < to; i++)
        if (el_stacks_ease(m, el_wait_stack(m->found[i]), stack)) return true;
    return false;
}

/* Takes out those that can do nothing but what this one can. */
static void drop_eased(el_matcher *m, uint32_t stack, uint32_t from, uint32_t to)
{
    uint32_t left = from;
    for (uint32_t i = from; i < to; i++) {
        const uint32_t other = el_wait_stack(m->found[i]);
        if (m->frames[other].counts && el_stacks_ease(m, stack, other)) continue;
        m->found[left++] = m->found[i];
    }
    if (left == to) return;
    memmove(m->found + left, m->found + to, (m->n_found - to) * sizeof *m->found);
    m->n_found -= to - left;
}

/* What is found is in order, so that equal sets are equal lists. */
static void keep(el_matcher *m, uint32_t node, uint32_t stack)
{
    const el_wait wait = el_wait_of(node, stack);
    if (el_cost_add(m->program->nodes[node].cost, m->frames[stack].cost) == EL_COST_NONE) return;
    const uint32_t from = place_of(m, el_wait_of(node, 0));
    const uint32_t to = place_of(m, el_wait_of(node, EL_FRAMES - 1) + 1);
    uint32_t at = place_of(m, wait);
    if (at < to && m->found[at] == wait) return;
    if (is_eased(m, stack, from, to)) return;
    drop_eased(m, stack, from, to);
    at = place_of(m, wait);
    memmove(m->found + at + 1, m->found + at, (m->n_found - at) * sizeof *m->found);
    m->found[at] = wait;
    m->n_found++;
}

static void close_items(el_matcher *m)
{
    const el_program *p = m->program;
    for (uint32_t i = 0; i < m->n_items && !m->full && !m->over_bound; i++) {
        const el_closure_item item = m->items[i];
        const el_node *node = &p->nodes[item.node];
        switch (node->kind) {
        case EL_NODE_BYTES:
            keep(m, item.node, item.stack);
            break;
        case EL_NODE_SPLIT:
            for (uint32_t e = node->first; e < node->first + node->count; e++)
                put_item(m, p->edges[e].to, item.stack, item.fresh);
            break;
        case EL_NODE_CALL:
            call(m, item.node, item.stack, item.fresh);
            break;
        case EL_NODE_REPEAT:
            repeat(m, item.node, 0, item.stack, item.fresh);
            break;
        case EL_NODE_END:
        default:
            leave(m, item.stack, item.fresh);
        }
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

static uint32_t hash_found(const el_matcher *m)
{
    uint32_t h = m->found_end;
    for (uint32_t i = 0; i < m->n_found; i++)
        h = (h ^ m->found[i] * 0x9e3779b1u) * 16777619u;
    return h ^ h >> 15;
}

static bool is_found(const el_matcher *m, const el_state *s)
{
    return s->n == m->n_found && s->accepts == m->found_end &&
           memcmp(m->configs + s->first, m->found, s->n * sizeof *m->found) == 0;
}

static el_state measured(const el_matcher *m)
{
    el_state s = {.first = m->n_configs,
                  .n = m->n_found,
                  .cost = m->found_end ? 0 : EL_COST_NONE,
                  .accepts = m->found_end};
    for (uint32_t i = 0; i < m->n_found; i++) {
        const el_frame *f = &m->frames[el_wait_stack(m->found[i])];
        const uint32_t node = el_wait_node(m->found[i]);
        const uint32_t cost = el_cost_add(m->program->nodes[node].cost, f->cost);
        if (cost < s.cost) s.cost = cost;
        s.counts |= f->counts;
    }
    memset(s.plenty, 0xff, sizeof s.plenty);
    return s;
}

static uint16_t add_state(el_matcher *m, uint32_t slot)
{
    const uint32_t classes = m->program->n_classes;
    if (m->n_states == m->most_states || m->n_found > EL_CONFIGS - m->n_configs)
        return EL_STATE_UNKNOWN;
    const uint16_t state = (uint16_t)m->n_states++;
    m->states[state] = measured(m);
    memcpy(m->configs + m->n_configs, m->found, m->n_found * sizeof *m->found);
    m->n_configs += m->n_found;
    memset(m->cells + (size_t)state * classes, 0xff, classes * sizeof *m->cells);
    m->state_slots[slot] = state;
    return state;
}

/* The state of what was found. */
static uint16_t state_found(el_matcher *m)
{
    if (m->full) return EL_STATE_UNKNOWN;
    if (m->over_bound || m->n_found > EL_CONFIGS_OF_STATE) return EL_STATE_DEAD;
    if (m->n_found == 0 && !m->found_end) return EL_STATE_DEAD;
    uint32_t slot = hash_found(m) % EL_STATE_SLOTS;
    for (; m->state_slots[slot] != 0; slot = (slot + 1) % EL_STATE_SLOTS)
        if (is_found(m, &m->states[m->state_slots[slot]])) return m->state_slots[slot];
    return add_state(m, slot);
}

/* Configs that were compared with each other. What is counted does not depend on the order in which
 * they were found. */
static uint32_t comparisons(const el_matcher *m)
{
    uint32_t n = 0, run = 0;
    for (uint32_t i = 0; i < m->n_found; i++) {
        const bool goes_on = i > 0 && el_wait_node(m->found[i]) == el_wait_node(m->found[i - 1]);
        run = goes_on ? run + 1 : 0;
        if (m->frames[el_wait_stack(m->found[i])].counts) n += run;
    }
    return n;
}

static uint16_t compute_step(el_matcher *m, uint16_t from, uint8_t byte)
{
    const el_program *p = m->program;
    const el_state *s = &m->states[from];
    begin_closure(m);
    for (uint32_t c = s->first; c < s->first + s->n; c++) {
        const el_node *node = &p->nodes[el_wait_node(m->configs[c])];
        for (uint32_t e = node->first; e < node->first + node->count; e++)
            if (byte >= p->edges[e].low && byte <= p->edges[e].high)
                put_item(m, p->edges[e].to, el_wait_stack(m->configs[c]), 0);
    }
    close_items(m);
    m->work += s->n + m->n_items + comparisons(m);
    return state_found(m);
}

uint16_t el_states_step(el_matcher *m, uint16_t state, uint8_t byte)
{
    uint16_t *cell = &m->cells[state * m->program->n_classes + m->program->class_of[byte]];
    if (*cell == EL_STATE_UNKNOWN) *cell = compute_step(m, state, byte);
    return *cell;
}

static void reset_states(el_matcher *m)
{
    memset(m->state_slots, 0, EL_STATE_SLOTS * sizeof *m->state_slots);
    memset(m->cells, 0, m->program->n_classes * sizeof *m->cells); /* the dead stay dead */
    m->n_states = 1;
    m->n_configs = 0;
    m->work = 0;
    m->most_states = EL_CELLS / m->program->n_classes;
    if (m->most_states > EL_STATES) m->most_states = EL_STATES;
}

uint16_t el_states_start(el_matcher *m)
{
    el_stacks_reset(m);
    reset_states(m);
    begin_closure(m);
    put_item(m, m->program->root, 0, 0);
    close_items(m);
    return state_found(m);
}

void el_states_forget(el_matcher *m)
{
    const el_state s = m->states[m->current];
    el_stacks_keep(m, &s);
    begin_closure(m);
    m->found_end = s.accepts;
    for (uint32_t c = s.first; c < s.first + s.n; c++)
        keep(m, el_wait_node(m->configs[c]), el_wait_stack(m->configs[c]));
    reset_states(m);
    m->current = state_found(m);
    el_masks_forget(m);
}

/* Large heights are rounded up. */
static uint32_t height_class(uint32_t height, uint32_t *far)
{
    enum { EXACT = 8 };
    uint32_t class = height;
    *far = height;
    if (height < EXACT) return class;
    for (class = EXACT, *far = 2 * EXACT - 1; *far < height; class ++)
        *far = 2 * *far + 1;
    return class;
}

uint16_t el_states_plenty(el_matcher *m, uint16_t state, uint32_t height)
{
    uint32_t far;
    el_state *s = &m->states[state];
    const uint32_t class = height_class(height, &far);
    if (!s->counts || class >= EL_HEIGHTS) return state;
    if (s->plenty[class] != EL_STATE_UNKNOWN) return s->plenty[class];
    begin_closure(m);
    m->found_end = s->accepts;
    for (uint32_t c = s->first; c < s->first + s->n; c++) {
        const uint32_t stack = el_stacks_plenty(m, el_wait_stack(m->configs[c]), far);
        if (stack == EL_FRAMES) return state;
        keep(m, el_wait_node(m->configs[c]), stack);
    }
    const uint16_t plenty = state_found(m);
    if (plenty == EL_STATE_UNKNOWN) return state;
    s->plenty[class] = plenty;
    return plenty;
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Does every way to finish a character lead to `home`? A class of bytes is tried once. */
static bool chars_end_at(el_matcher *m, uint16_t state, el_utf8 at, uint16_t home)
{
    if (at.left == 0) return state == home;
    for (uint32_t b = at.low; b <= at.high; b++) {
        if (b > at.low && m->program->class_of[b] == m->program->class_of[b - 1]) continue;
        el_utf8 next = at;
        const uint16_t to = el_states_step(m, state, (uint8_t)b);
        if (to == EL_STATE_DEAD || to == EL_STATE_UNKNOWN) return false;
        if (!el_utf8_next(&next, (uint8_t)b) || !chars_end_at(m, to, next, home)) return false;
    }
    return true;
}

static bool all_chars_loop(el_matcher *m, uint16_t state)
{
    enum { CLASSES_MAX = 40 }; /* above ASCII: with more it would take too long */
    if (m->program->n_classes - m->program->class_of[0x80] > CLASSES_MAX) return false;
    for (uint32_t b = 0xc2; b <= 0xf4; b++) {
        el_utf8 at = {0, 0, 0}, before = {0, 0, 0};
        (void)el_utf8_next(&at, (uint8_t)b);
        (void)el_utf8_next(&before, (uint8_t)(b - 1));
        if (m->program->class_of[b] == m->program->class_of[b - 1] &&
            memcmp(&at, &before, sizeof at) == 0)
            continue;
        const uint16_t to = el_states_step(m, state, (uint8_t)b);
        if (to == EL_STATE_DEAD || to == EL_STATE_UNKNOWN || !chars_end_at(m, to, at, state))
            return false;
    }
    return true;
}

uint32_t el_states_loops(el_matcher *m, uint16_t state)
{
    el_state *s = &m->states[state];
    if (s->has_loops) return s->loops;
    uint32_t loops = EL_TRIE_WHOLE_CHARS - 1;
    for (uint32_t b = 0; b < 128; b++)
        if (el_states_step(m, state, (uint8_t)b) != state) loops &= ~el_trie_group((uint8_t)b);
    if (all_chars_loop(m, state)) loops |= EL_TRIE_WHOLE_CHARS;
    s->loops = loops;
    s->has_loops = true;
    return loops;
}
