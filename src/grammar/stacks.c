/* stacks.c: frames, each there once: equal stacks have equal numbers. A frame is made after those
 * below it, so its number is larger. */
#include <string.h>

#include "grammar/matcher.h"

static uint32_t hash_of(uint32_t node, uint32_t count, uint32_t below)
{
    uint32_t h = node * 0x9e3779b1u ^ count * 0x85ebca6bu ^ below * 0xc2b2ae35u;
    return (h ^ h >> 15) % EL_FRAME_SLOTS;
}

/* The slot of a frame, or the free one where it belongs. */
static uint32_t find_slot(const el_matcher *m, uint32_t node, uint32_t count, uint32_t below)
{
    uint32_t slot = hash_of(node, count, below);
    for (; m->frame_slots[slot] != 0; slot = (slot + 1) % EL_FRAME_SLOTS) {
        const el_frame *f = &m->frames[m->frame_slots[slot]];
        if (f->node == node && f->count == count && f->below == below) break;
    }
    return slot;
}

/* Can the repetition end, and does it have a limit that is still counted towards? */
static bool counts(const el_program *p, const el_frame *f)
{
    const el_node *node = &p->nodes[f->node];
    return node->kind == EL_NODE_REPEAT && node->most != EL_GBNF_NO_LIMIT &&
           f->count != EL_COUNT_PLENTY &&
           (f->count >= node->least || p->nodes[node->first].nullable);
}

static void complete(const el_matcher *m, el_frame *f)
{
    const el_program *p = m->program;
    const el_node *node = &p->nodes[f->node];
    const el_frame *below = &m->frames[f->below];
    const uint32_t done = f->count == EL_COUNT_PLENTY ? EL_COUNT_PLENTY : f->count + 1;
    const uint32_t rest =
        node->kind == EL_NODE_REPEAT ? el_cost_repeat(p, node, done) : p->nodes[node->then].cost;
    f->cost = el_cost_add(rest, below->cost);
    f->depth = below->depth + 1;
    f->counts = below->counts || counts(p, f);
}

uint32_t el_stacks_push(el_matcher *m, uint32_t node, uint32_t count, uint32_t below)
{
    const uint32_t slot = find_slot(m, node, count, below);
    if (m->frame_slots[slot] != 0) return m->frame_slots[slot];
    if (m->frames[below].depth == EL_STACK_MAX) return EL_FRAMES;
    if (m->n_frames == EL_FRAMES) {
        m->full = true;
        return EL_FRAMES;
    }
    el_frame *f = &m->frames[m->n_frames];
    *f = (el_frame){.node = node, .count = count, .below = below};
    complete(m, f);
    m->frame_slots[slot] = (uint16_t)m->n_frames;
    return m->n_frames++;
}

static bool is_far(const el_program *p, const el_frame *f, uint32_t far)
{
    return counts(p, f) && p->nodes[f->node].most - f->count > far;
}

uint32_t el_stacks_plenty(el_matcher *m, uint32_t stack, uint32_t far)
{
    uint32_t n = 0;
    while (m->frames[stack].counts) {
        m->chain[n++] = stack;
        stack = m->frames[stack].below;
    }
    m->work += n;
    while (n-- > 0 && stack != EL_FRAMES) {
        const el_frame *f = &m->frames[m->chain[n]];
        const uint32_t count = is_far(m->program, f, far) ? EL_COUNT_PLENTY : f->count;
        stack = el_stacks_push(m, f->node, count, stack);
    }
    return stack;
}

/* Of two frames at the same place: has the repetition had enough in both, and less in `f`? */
static bool eases(const el_program *p, const el_frame *f, const el_frame *g)
{
    const el_node *node = &p->nodes[f->node];
    if (f->node != g->node) return false;
    if (f->count == g->count) return true;
    if (f->count == EL_COUNT_PLENTY) return true;
    return g->count != EL_COUNT_PLENTY && f->count < g->count &&
           (f->count + 1 >= node->least || p->nodes[node->first].nullable);
}

bool el_stacks_ease(const el_matcher *m, uint32_t a, uint32_t b)
{
    for (uint32_t n = 0; a != b; n++) {
        const el_frame *f = &m->frames[a], *g = &m->frames[b];
        if (n == EL_STACK_COMPARED || f->depth != g->depth || !eases(m->program, f, g))
            return false;
        a = f->below;
        b = g->below;
    }
    return true;
}

void el_stacks_reset(el_matcher *m)
{
    memset(m->frame_slots, 0, EL_FRAME_SLOTS * sizeof *m->frame_slots);
    m->frames[0] = (el_frame){.node = 0};
    m->n_frames = 1;
}

void el_stacks_keep(el_matcher *m, const el_state *state)
{
    uint32_t *renamed = m->chain;
    const uint32_t n = m->n_frames;
    memset(renamed, 0, n * sizeof *renamed);
    for (uint32_t c = state->first; c < state->first + state->n; c++)
        renamed[el_wait_stack(m->configs[c])] = 1;
    for (uint32_t i = n; i-- > 1;)
        if (renamed[i]) renamed[m->frames[i].below] = 1;
    el_stacks_reset(m);
    renamed[0] = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (!renamed[i]) continue;
        el_frame f = m->frames[i];
        f.below = renamed[f.below];
        m->frame_slots[find_slot(m, f.node, f.count, f.below)] = (uint16_t)m->n_frames;
        m->frames[m->n_frames] = f;
        renamed[i] = m->n_frames++;
    }
    for (uint32_t c = state->first; c < state->first + state->n; c++)
        m->configs[c] =
            el_wait_of(el_wait_node(m->configs[c]), renamed[el_wait_stack(m->configs[c])]);
}
