/*
 * matcher.h: where an answer stands in a grammar, and which tokens may follow. All memory is taken
 * once, from an arena; nothing is allocated afterwards.
 *
 *   frame   an entry of a stack, with the frame below it: stacks are trees that share their roots
 *   config  a BYTES node and the stack on which it waits
 *   state   a set of configs: all ways to read the answer up to here. Equal sets have equal numbers
 *   cell    of a state and a class of bytes: the state that follows, once it was asked for
 *   mask    the tokens that may follow a state, kept while there is room
 *
 * A config that can do nothing but what another of its state can is left out: one of which a
 * repetition that has had enough was done more often than in the other.
 *
 * When frames, configs or states run out, or much was computed, all are forgotten but what the
 * answer stands on, and are found again as they are needed: this changes times, never results. A
 * mask in which that happens is begun again once all is forgotten, so that whether it is then too
 * much work does not depend on what was known before.
 *
 *   stacks.c      frames
 *   states.c      configs and states, by closure
 *   matcher.c     memory, one token after the other
 *   token_mask.c  the walk through the trie
 */
#ifndef EL_GRAMMAR_MATCHER_H
#define EL_GRAMMAR_MATCHER_H

#include "grammar/program.h"
#include "grammar/token_mask.h"

enum {
    EL_FRAMES = 4096,
    EL_FRAME_SLOTS = 2 * EL_FRAMES,
    EL_STACK_MAX = 1000, /* frames of a stack */
    EL_CONFIGS = 1 << 16,
    EL_CONFIGS_OF_STATE = 512, /* as many properties in a row, or values of an enum */
    EL_STATES = 512,
    EL_STATE_SLOTS = 2 * EL_STATES,
    EL_CELLS = 1 << 16,
    EL_CLOSURE_MAX = 2048,
    EL_CLOSURE_SLOTS = 2 * EL_CLOSURE_MAX,
    EL_HEIGHTS = 14, /* of what is below a node of the trie: 0 .. 7, then up to 15, 31 ... 255 */
    EL_MASKS = 8,    /* kept */

    EL_WORK = 1 << 17,      /* steps of closures until all is forgotten, as if room had run out */
    EL_MASK_WORK = 1 << 19, /* of one mask that had to forget: beyond it the answer is an error */
    EL_STACK_COMPARED = 16  /* frames from the top in which two stacks are compared */
};

#define EL_STATE_DEAD    0u      /* no text goes on like this */
#define EL_STATE_UNKNOWN 0xffffu /* in a cell: not asked for; as an answer: no room is left */
#define EL_COUNT_PLENTY  UINT32_MAX

typedef struct el_frame {
    uint32_t node;  /* CALL or REPEAT that put it there */
    uint32_t count; /* REPEAT: times that its body is done; EL_COUNT_PLENTY: enough of them, and
                       its limit far away */
    uint32_t below; /* frame; 0: the stack is empty below */
    uint32_t cost;  /* tokens that are enough after it was taken off */
    bool counts;    /* this frame, or one below, has a limit that is counted towards */
    uint32_t depth;
} el_frame;

/* A node and a stack in one number, in whose order configs lie. */
typedef uint32_t el_wait;

static inline el_wait el_wait_of(uint32_t node, uint32_t stack)
{
    return node * EL_FRAMES + stack;
}

static inline uint32_t el_wait_node(el_wait w)
{
    return w / EL_FRAMES;
}

static inline uint32_t el_wait_stack(el_wait w)
{
    return w % EL_FRAMES;
}

_Static_assert((uint64_t)EL_PROGRAM_NODES_MAX *EL_FRAMES <= (uint64_t)UINT32_MAX + 1,
               "a config is one number");

typedef struct el_state {
    uint32_t first; /* configs [first, first + n) */
    uint32_t n;
    uint32_t cost;               /* tokens that are enough to end */
    bool counts;                 /* some of its stacks have a limit that is counted towards */
    uint32_t loops;              /* groups of bytes that lead back to it, once `has_loops` */
    uint16_t plenty[EL_HEIGHTS]; /* see el_states_plenty(); EL_STATE_UNKNOWN: not asked for */
    bool accepts, has_loops;
} el_state;

/* A step of a closure: a node, a stack, and how many of its frames were put there meanwhile. */
typedef struct el_closure_item {
    uint32_t node, stack, fresh;
} el_closure_item;

typedef struct el_matcher {
    const el_program *program; /* NULL: none */
    uint16_t current;
    bool ended; /* the end token was taken */
    const el_trie *trie;
    el_frame *frames;      /* (EL_FRAMES), the first is the empty stack */
    uint16_t *frame_slots; /* (EL_FRAME_SLOTS) */
    el_wait *configs;      /* (EL_CONFIGS) */
    el_state *states;      /* (EL_STATES), the first is EL_STATE_DEAD */
    uint16_t *state_slots; /* (EL_STATE_SLOTS) */
    uint16_t *cells;       /* (EL_CELLS): (states, classes) */
    uint32_t n_frames, n_configs, n_states, most_states;

    el_closure_item *items; /* (EL_CLOSURE_MAX) */
    uint32_t *seen;         /* (EL_CLOSURE_SLOTS) generation and index of an item */
    uint32_t n_items, generation;
    el_wait *found; /* (EL_CLOSURE_MAX) */
    uint32_t n_found;
    uint32_t work; /* since all was forgotten */
    bool found_end;
    bool full;       /* there is no room: forget, and try again */
    bool over_bound; /* more steps than EL_CLOSURE_MAX: no way is followed */
    uint32_t *chain; /* (EL_FRAMES) scratch of stacks */

    uint16_t *path;              /* (trie depth + 1) states of a walk */
    uint32_t *path_nodes;        /* (trie depth + 1) */
    el_mask masks[EL_MASKS + 1]; /* the last: of a state that is not kept */
    uint32_t next_mask;
} el_matcher;

/* Takes the memory; `trie` must outlive it. */
void el_matcher_layout(el_matcher *m, const el_trie *trie, el_arena *arena);

/* At the beginning of an answer; NULL: without a grammar. The program must be of the same trie and
 * outlive its use. Errors: UNSUPPORTED (its beginning already goes over a bound). */
edgellm_status el_matcher_begin(el_matcher *m, const el_program *program, edgellm_error *err);

/* Takes a token, of text or one that ends the answer; false: it may not follow, and nothing has
 * changed. */
bool el_matcher_take(el_matcher *m, uint32_t token, const uint8_t *bytes, size_t len);

/* Tokens that are enough from here on, with the one that ends the answer. */
uint32_t el_matcher_needs(const el_matcher *m);

/*
 * The tokens that may follow, if `left` tokens are left with this one and the one that ends the
 * answer: of those only such that the end stays in reach; if it is not, those that lead nearest to
 * it. Valid until the next call. Errors: UNSUPPORTED (all ways go over a bound, or it would be more
 * than EL_MASK_WORK).
 */
edgellm_status el_matcher_mask(el_matcher *m, uint32_t left, const el_mask **mask,
                               edgellm_error *err);

/* That no way is left within the bounds: of a mask, or of a token in it that cannot be taken, since
 * a mask does not tell counts apart that are far from their limits. */
edgellm_status el_matcher_fail_bound(edgellm_error *err);

/* ---- between the files of a matcher ---- */

/* The frame with these. EL_FRAMES: the stack is too deep; with m->full set, there is no room. */
uint32_t el_stacks_push(el_matcher *m, uint32_t node, uint32_t count, uint32_t below);
/* The same stack with EL_COUNT_PLENTY where a repetition has had enough, and has a limit that is
 * more than `far` times away. EL_FRAMES: there is no room. */
uint32_t el_stacks_plenty(el_matcher *m, uint32_t stack, uint32_t far);
/* Can whatever stands on stack `a` do all that it could on `b`, at no higher cost? */
bool el_stacks_ease(const el_matcher *m, uint32_t a, uint32_t b);
void el_stacks_reset(el_matcher *m);
/* Keeps the frames under the configs of a state, which it corrects. */
void el_stacks_keep(el_matcher *m, const el_state *state);

/* The state after a byte; EL_STATE_UNKNOWN: there is no room. */
uint16_t el_states_step(el_matcher *m, uint16_t state, uint8_t byte);
uint16_t el_states_start(el_matcher *m);
/* The same state with EL_COUNT_PLENTY where `height` more bytes cannot reach a limit: no text of so
 * many bytes can tell them apart. */
uint16_t el_states_plenty(el_matcher *m, uint16_t state, uint32_t height);
/* Forgets all states but m->current, which gets a new number. */
void el_states_forget(el_matcher *m);
/* Groups of bytes (token_trie.h) of which every one leads from the state back to it. */
uint32_t el_states_loops(el_matcher *m, uint16_t state);

void el_masks_forget(el_matcher *m);

/* el_states_step(), where it mostly was asked for before. */
static inline uint16_t el_states_go(el_matcher *m, uint16_t state, uint8_t byte)
{
    const el_program *p = m->program;
    const uint16_t to = m->cells[state * p->n_classes + p->class_of[byte]];
    return to != EL_STATE_UNKNOWN ? to : el_states_step(m, state, byte);
}

#endif
