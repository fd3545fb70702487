#include "grammar/matcher.h"

void el_matcher_layout(el_matcher *m, const el_trie *trie, el_arena *arena)
{
    *m = (el_matcher){.trie = trie};
    m->frames = el_arena_take(arena, EL_FRAMES, sizeof *m->frames);
    m->frame_slots = el_arena_take(arena, EL_FRAME_SLOTS, sizeof *m->frame_slots);
    m->configs = el_arena_take(arena, EL_CONFIGS, sizeof *m->configs);
    m->states = el_arena_take(arena, EL_STATES, sizeof *m->states);
    m->state_slots = el_arena_take(arena, EL_STATE_SLOTS, sizeof *m->state_slots);
    m->cells = el_arena_take(arena, EL_CELLS, sizeof *m->cells);
    m->items = el_arena_take(arena, EL_CLOSURE_MAX, sizeof *m->items);
    m->seen = el_arena_take(arena, EL_CLOSURE_SLOTS, sizeof *m->seen);
    m->found = el_arena_take(arena, EL_CLOSURE_MAX, sizeof *m->found);
    m->chain = el_arena_take(arena, EL_FRAMES, sizeof *m->chain);
    m->path = el_arena_take(arena, trie->depth + 1, sizeof *m->path);
    m->path_nodes = el_arena_take(arena, trie->depth + 1, sizeof *m->path_nodes);
    for (uint32_t i = 0; i <= EL_MASKS; i++) {
        m->masks[i].trie = trie;
        m->masks[i].words = el_arena_take(arena, (trie->n_ranks + 63) / 64, sizeof(uint64_t));
    }
}

edgellm_status el_matcher_begin(el_matcher *m, const el_program *program, edgellm_error *err)
{
    m->program = program;
    m->ended = false;
    if (!program) return EDGELLM_OK;
    el_masks_forget(m);
    m->current = el_states_start(m);
    if (m->current != EL_STATE_DEAD && m->current != EL_STATE_UNKNOWN) return EDGELLM_OK;
    m->program = NULL;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "the grammar begins in more than %d ways: join some of them",
                   EL_CONFIGS_OF_STATE);
}

/* The state after some bytes; EL_STATE_UNKNOWN: there is no room. */
static uint16_t read_bytes(el_matcher *m, const uint8_t *bytes, size_t len)
{
    uint16_t state = m->current;
    for (size_t i = 0; i < len && state != EL_STATE_DEAD && state != EL_STATE_UNKNOWN; i++)
        state = el_states_step(m, state, bytes[i]);
    return state;
}

static bool is_end(const el_trie *trie, uint32_t token)
{
    for (uint32_t i = 0; i < trie->n_ends; i++)
        if (trie->ends[i] == token) return true;
    return false;
}

bool el_matcher_take(el_matcher *m, uint32_t token, const uint8_t *bytes, size_t len)
{
    if (is_end(m->trie, token)) {
        const bool may = m->ended || m->states[m->current].accepts;
        m->ended |= may;
        return may;
    }
    if (m->ended || len == 0) return false;
    uint16_t state = read_bytes(m, bytes, len);
    if (state == EL_STATE_UNKNOWN) {
        el_states_forget(m);
        state = read_bytes(m, bytes, len);
    }
    if (state == EL_STATE_DEAD || state == EL_STATE_UNKNOWN) return false;
    m->current = state;
    return true;
}

uint32_t el_matcher_needs(const el_matcher *m)
{
    return m->ended ? 0 : el_cost_add(m->states[m->current].cost, 1);
}
