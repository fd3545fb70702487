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
