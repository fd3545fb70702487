#include "train/pieces.h"

#include <stdatomic.h>

typedef struct pieces {
    el_piece_fn fn;
    void *context;
    uint32_t n;
    atomic_uint next;
} pieces;

static void take_pieces(void *context, unsigned member, unsigned size)
{
    pieces *p = context;
    (void)size;
    for (;;) {
        uint32_t piece = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (piece >= p->n) return;
        p->fn(p->context, piece, member);
    }
}

void el_pieces_run(el_crew *crew, uint32_t n, el_piece_fn fn, void *context)
{
    pieces p = {.fn = fn, .context = context, .n = n};
    el_crew_run(crew, take_pieces, &p);
}

/* Fisher and Yates, with a linear congruential generator (Knuth's MMIX). */
void el_shuffle(uint32_t *order, uint32_t n, uint32_t seed)
{
    uint64_t state = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t j = (uint32_t)((state >> 33) % i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
