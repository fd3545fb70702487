/*
 * chain.c: sixteen paths at a time: lane 4 * start + state. All that counts of a code for the next
 * row are its two low bits, the state that it leads to. Codes of 3 bits are two ways from a state
 * to the next.
 */
#include "train/chain.h"

#include <stdbool.h>

#include "train/clones.h"

enum { STATES = EL_CHAIN_STATES, LANES = STATES * STATES };

typedef el_chain_costs costs;
typedef int32_t choices __attribute__((vector_size(4 * LANES)));

/* In each lane the cost of the lane of the same start in a state. */
#ifdef __clang__
#define OF_STATE(v, s)                                                                             \
    __builtin_shufflevector(v, v, s, s, s, s, s + 4, s + 4, s + 4, s + 4, s + 8, s + 8, s + 8,     \
                            s + 8, s + 12, s + 12, s + 12, s + 12)
#else
#define OF_STATE(v, s)                                                                             \
    __builtin_shuffle(v, (choices){s, s, s, s, s + 4, s + 4, s + 4, s + 4, s + 8, s + 8, s + 8,    \
                                   s + 8, s + 12, s + 12, s + 12, s + 12})
#endif

float el_chain_unit(el_codec codec)
{
    return codec == EL_CODEC_C2 ? 0.261f : 0.1945f;
}

void el_chain_prepare(el_codec codec, el_chain *chain)
{
    const el_codec_info *info = &el_codecs[codec];
    chain->ways = info->bits == 3 ? 2 : 1;
    for (int way = 0; way < chain->ways; way++) {
        for (unsigned from = 0; from < STATES; from++) {
            for (unsigned lane = 0; lane < LANES; lane++) {
                const unsigned code = (unsigned)way << 2 | lane % STATES;
                chain->levels[way][from][lane] =
                    info->levels[el_chained_index(info->bits, code, from)];
            }
        }
    }
}

/* The best way so far into each lane: what it costs, and `way << 2 | from`. */
typedef struct best {
    costs cost;
    choices choice;
} best;

static inline __attribute__((always_inline)) void take(best *b, const costs *cost, int choice)
{
    const choices better = *cost < b->cost;
    b->cost = (costs)(((choices)*cost & better) | ((choices)b->cost & ~better));
    b->choice = (((choices){0} + choice) & better) | (b->choice & ~better);
}

/* One row: `cost` of the states before it becomes that of the states after it. */
static inline __attribute__((always_inline)) void
step(const el_chain *chain, float x, float importance, costs *cost, choices *chosen)
{
    const costs from[STATES] = {OF_STATE(*cost, 0), OF_STATE(*cost, 1), OF_STATE(*cost, 2),
                                OF_STATE(*cost, 3)};
    best b = {(costs){0} + 3e38f, {0}};
    for (int way = 0; way < chain->ways; way++) {
        for (int s = 0; s < STATES; s++) {
            const costs d = x - chain->levels[way][s], sum = from[s] + importance * d * d;
            take(&b, &sum, way << 2 | s);
        }
    }
    *cost = b.cost;
    *chosen = b.choice;
}

/* Costs after all rows of paths that begin in each state, and the choices that led there. */
EL_CLONES static void follow(const el_chain *chain, uint32_t rows, const float *x,
                             const float *importance, choices *chosen, costs *cost)
{
    for (unsigned lane = 0; lane < LANES; lane++)
        (*cost)[lane] = lane / STATES == lane % STATES ? 0.0f : 1e30f;
    for (uint32_t r = 0; r < rows; r++)
        step(chain, x[r], importance[r], cost, &chosen[r]);
}

/* Of a whole tile a path ends where it began; else it begins after a row of padding, in state 0. */
static unsigned best_lane(const costs *cost, uint32_t rows)
{
    const bool whole = rows == EL_TILE;
    unsigned lane = 0;
    for (unsigned i = 1; i < STATES; i++) {
        const unsigned other = whole ? i * STATES + i : i;
        if ((*cost)[other] < (*cost)[lane]) lane = other;
    }
    return lane;
}

void el_chain_search(const el_chain *chain, uint32_t rows, const float x[EL_TILE],
                     const float importance[EL_TILE], uint8_t codes[EL_TILE])
{
    choices chosen[EL_TILE];
    costs cost;
    follow(chain, rows, x, importance, chosen, &cost);
    unsigned lane = best_lane(&cost, rows);
    for (uint32_t r = rows; r-- > 0;) {
        const unsigned choice = (unsigned)chosen[r][lane];
        codes[r] = (uint8_t)((choice & ~3u) | lane % STATES);
        lane = (lane & ~3u) | (choice & 3u);
    }
}
