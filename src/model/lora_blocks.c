/* lora_blocks.c: what adapters add to projections. Tokens of one batch may have different ones,
 * each by its own scale: those that stand together with the same are computed together. */
#include "model/forward.h"

/* Tokens from `first` on that have adapter `lora` by one scale, which is not 0. */
typedef struct el_run {
    uint32_t first, n;
    float scale;
} el_run;

/* The next run from run->first on; false: there is none. */
static bool next_run(const el_forward *f, uint32_t lora, el_run *run)
{
    uint32_t t = run->first + run->n;
    while (t < f->n && f->places[t].scales[lora] == 0)
        t++;
    if (t == f->n) return false;
    *run = (el_run){t, 0, f->places[t].scales[lora]};
    while (t < f->n && f->places[t].scales[lora] == run->scale)
        t++;
    run->n = t - run->first;
    return true;
}

/* Where what `lora` makes of the first token lies; of the index-th part. */
static float *low_of(const el_forward *f, uint32_t lora, uint32_t index)
{
    size_t at = 0;
    for (uint32_t i = 0; i < lora; i++)
        at += (size_t)EL_LORA_TOGETHER * f->model->loras[i].rank;
    return f->low + at + (size_t)index * f->model->loras[lora].rank;
}

static const el_lora_matrix *matrix_of(const el_forward *f, uint32_t lora, uint32_t layer,
                                       el_lora_part part)
{
    return &f->model->loras[lora].matrices[(size_t)layer * EL_LORA_PARTS + part];
}

static void lower(el_forward *f, uint32_t lora, const el_lora_matrix *m, float *low,
                  unsigned member, unsigned size)
{
    uint32_t begin, end;
    el_run run = {0};
    el_share(m->rank, member, size, &begin, &end);
    while (begin < end && next_run(f, lora, &run))
        f->kernels->lora_down(m->a, m->cols, begin, end, f->plain + (size_t)run.first * m->cols,
                              run.n, run.scale * m->gain, low + (size_t)run.first * f->low_width,
                              f->low_width);
}

void el_block_lower(el_forward *f, uint32_t layer, el_lora_part first, uint32_t count,
                    unsigned member, unsigned size)
{
    if (!f->adapted) return;
    for (uint32_t i = 0; i < f->model->n_loras; i++) {
        for (uint32_t k = 0; k < count; k++) {
            const el_lora_matrix *m = matrix_of(f, i, layer, (el_lora_part)(first + k));
            if (m->rank > 0) lower(f, i, m, low_of(f, i, k), member, size);
        }
    }
    el_crew_barrier(f->crew);
}

void el_block_raise(el_forward *f, uint32_t layer, el_lora_part part, uint32_t index, float *out,
                    unsigned member, unsigned size)
{
    for (uint32_t i = 0; f->adapted && i < f->model->n_loras; i++) {
        const el_lora_matrix *m = matrix_of(f, i, layer, part);
        const float *low = low_of(f, i, index);
        uint32_t begin, end;
        el_run run = {0};
        el_share((m->rows + EL_TILE - 1) / EL_TILE, member, size, &begin, &end);
        while (m->rank > 0 && next_run(f, i, &run))
            f->kernels->lora_up(m->b, m->rank, m->rows, begin, end,
                                low + (size_t)run.first * f->low_width, f->low_width, run.n,
                                out + (size_t)run.first * m->rows, m->rows);
    }
}
