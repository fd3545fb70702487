/*
 * chain.c: sixteen columns at a time, one in each lane. All that counts of a code for the next row
 * are its two low bits, the state that it leads to. Codes of 3 bits are two ways from a state to
 * the next, of which the nearer is taken.
 */
#include "train/chain.h"

#include <string.h>

#include "train/clones.h"

enum { STATES = 4, LANES = EL_CHAIN_COLUMNS };

typedef float costs __attribute__((vector_size(4 * LANES)));
typedef int32_t choices __attribute__((vector_size(4 * LANES)));

#define INLINE static inline __attribute__((always_inline))

/* levels[way][from][to]: of the ways from a state to the next; of codes of 2 bits both are the
 * same. */
typedef struct trellis {
    float levels[2][STATES][STATES];
} trellis;

/* The cheapest of some ways: what it costs, and which it is. */
typedef struct best {
    costs cost;
    choices choice;
} best;

/* Paths from one state, as far as they are followed. */
typedef struct paths {
    costs cost[STATES];
} paths;

float el_chain_unit(el_codec codec)
{
    return codec == EL_CODEC_C2 ? 0.261f : 0.1945f;
}

static trellis trellis_of(el_codec codec)
{
    const el_codec_info *info = &el_codecs[codec];
    trellis t;
    for (unsigned way = 0; way < 2; way++) {
        for (unsigned from = 0; from < STATES; from++) {
            for (unsigned to = 0; to < STATES; to++) {
                const unsigned code = info->bits == 3 ? way << 2 | to : to;
                t.levels[way][from][to] = info->levels[el_chained_index(info->bits, code, from)];
            }
        }
    }
    return t;
}

INLINE void take(best *b, const costs *cost, const choices *choice)
{
    const choices better = *cost < b->cost;
    b->cost = (costs)(((choices)*cost & better) | ((choices)b->cost & ~better));
    b->choice = (*choice & better) | (b->choice & ~better);
}

/* What a row costs on the way from a state to the next. */
INLINE void cost_of_ways(const trellis *t, int from, int to, const costs *x, float importance,
                         best *b)
{
    const choices other = (choices){0} + (STATES + from);
    costs d = *x - t->levels[0][from][to];
    b->cost = importance * d * d;
    b->choice = (choices){0} + from;
    d = *x - t->levels[1][from][to];
    d = importance * d * d;
    take(b, &d, &other);
}

/* One row of all paths; chosen[start][to]: `way * 4 + from`. */
INLINE void step(const trellis *t, const costs *x, float importance, paths p[STATES],
                 choices chosen[STATES][STATES])
{
    paths before[STATES];
    memcpy(before, p, sizeof before);
    for (int to = 0; to < STATES; to++) {
        best ways[STATES];
        for (int from = 0; from < STATES; from++)
            cost_of_ways(t, from, to, x, importance, &ways[from]);
        for (int start = 0; start < STATES; start++) {
            best b = {before[start].cost[0] + ways[0].cost, ways[0].choice};
            for (int from = 1; from < STATES; from++) {
                const costs cost = before[start].cost[from] + ways[from].cost;
                take(&b, &cost, &ways[from].choice);
            }
            p[start].cost[to] = b.cost;
            chosen[start][to] = b.choice;
        }
    }
}

EL_CLONES static void follow(const trellis *t, uint32_t rows, const float (*x)[LANES],
                             const float *importance, paths p[STATES],
                             choices (*chosen)[STATES][STATES])
{
    for (int start = 0; start < STATES; start++) {
        for (int state = 0; state < STATES; state++)
            p[start].cost[state] = (costs){0} + (state == start ? 0.0f : 1e30f);
    }
    for (uint32_t r = 0; r < rows; r++) {
        costs at;
        memcpy(&at, x[r], sizeof at);
        step(t, &at, importance[r], p, chosen[r]);
    }
}

typedef struct end {
    unsigned start, state;
} end;

/* Of a whole tile a path ends where it began; else it begins after a row of padding, in state 0. */
static end best_end(const paths p[STATES], uint32_t rows, uint32_t lane)
{
    end least = {0, 0};
    for (unsigned i = 1; i < STATES; i++) {
        const end other = {rows == EL_TILE ? i : 0, i};
        if (p[other.start].cost[other.state][lane] < p[least.start].cost[least.state][lane])
            least = other;
    }
    return least;
}

void el_chain_search(el_codec codec, uint32_t rows, uint32_t columns,
                     const float (*x)[EL_CHAIN_COLUMNS], const float importance[EL_TILE],
                     uint8_t (*codes)[EL_CHAIN_COLUMNS])
{
    choices chosen[EL_TILE][STATES][STATES];
    paths p[STATES];
    const trellis t = trellis_of(codec);
    follow(&t, rows, x, importance, p, chosen);
    for (uint32_t lane = 0; lane < columns; lane++) {
        end at = best_end(p, rows, lane);
        for (uint32_t r = rows; r-- > 0;) {
            const unsigned choice = (unsigned)chosen[r][at.start][at.state][lane];
            codes[r][lane] = (uint8_t)(choice / STATES * STATES + at.state);
            at.state = choice % STATES;
        }
    }
}
