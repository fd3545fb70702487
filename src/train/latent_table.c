#include "train/latent_table.h"

void el_latent_table_weights(const el_latent_table *t, uint32_t first, uint32_t count, float *w)
{
    for (uint32_t i = 0; i < t->pieces && count; i++) {
        const el_latent *l = &t->piece[i];
        uint32_t begin = el_latent_table_begin(t, i);
        if (first >= begin + l->rows) continue;
        uint32_t left = begin + l->rows - first, n = left < count ? left : count;
        el_latent_weights(l, first - begin, n, w);
        first += n;
        count -= n;
        w += (size_t)n * l->cols;
    }
}
