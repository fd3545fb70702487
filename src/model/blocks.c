#include "model/forward.h"

#include <string.h>

/* Blocks [begin, end) of the float vector x of one token become part of a matrix' input; those of a
 * rotated matrix are whole rotations, and x is rotated. */
static void make_input(el_forward *f, const el_matrix *to, float *x, uint32_t token, uint32_t begin,
                       uint32_t end)
{
    const uint32_t width = to->cols, first = begin * EL_BLOCK;
    const uint32_t n = (end * EL_BLOCK < width ? end * EL_BLOCK : width) - first;
    if (to->rotation == EL_ROTATION_HADAMARD64) f->kernels->rotate(x + first, n);
    if (f->exact) {
        float *h = f->h + (size_t)token * width + first;
        if (h != x + first) memcpy(h, x + first, n * sizeof(float));
        return;
    }
    const size_t blocks = (width + EL_BLOCK - 1) / EL_BLOCK, at = token * blocks + begin;
    f->kernels->quantize(x + first, n, f->acts.q + at * EL_BLOCK, f->acts.scale + at,
                         f->acts.sum + at);
}

/* A member's share of the input of a matrix: (n, blocks), in units that must not be cut. */
typedef struct el_portion {
    uint32_t unit;    /* blocks: those of a rotation, or 1 */
    uint32_t units;   /* of a token */
    uint32_t at, end; /* units, over all tokens */
} el_portion;

static el_portion portion_of(const el_forward *f, const el_matrix *to, unsigned member,
                             unsigned size)
{
    el_portion p = {.unit = to->rotation == EL_ROTATION_NONE ? 1 : EL_ROTATION_WIDTH / EL_BLOCK};
    p.units = to->blocks / p.unit;
    el_share(f->n * p.units, member, size, &p.at, &p.end);
    return p;
}

typedef struct el_span {
    uint32_t token, begin, end; /* blocks [begin, end) of this token */
} el_span;

/* Cuts the portion at token borders: at runs up to end. */
static el_span next_span(el_portion *p)
{
    const uint32_t begin = p->at % p->units, left = p->end - p->at;
    const uint32_t end = left < p->units - begin ? begin + left : p->units;
    const el_span span = {p->at / p->units, begin * p->unit, end * p->unit};
    p->at += end - begin;
    return span;
}

void el_block_norm(el_forward *f, const float *weight, bool add, const el_matrix *to,
                   unsigned member, unsigned size)
{
    const uint32_t dim = f->model->config.dim;
    for (uint32_t t = member; t < f->n; t += size) {
        float *x = f->x + (size_t)t * dim, *h = f->h + (size_t)t * dim;
        if (add) f->kernels->add(x, f->y + (size_t)t * dim, dim);
        f->kernels->rms_norm(x, weight, dim, f->model->config.norm_eps, h);
        make_input(f, to, h, t, 0, to->blocks);
    }
    el_crew_barrier(f->crew);
}

/* out (n, stride): its first columns. */
static void project(el_forward *f, const el_matrix *m, float *out, size_t stride, unsigned member,
                    unsigned size)
{
    uint32_t begin, end;
    el_share(m->tiles, member, size, &begin, &end);
    if (begin == end) return;
    if (f->exact) {
        float *row = f->row + (size_t)member * m->cols;
        f->kernels->matmul_exact(m, f->h, m->cols, f->n, begin, end, out, stride, row);
        return;
    }
    el_acts acts = f->acts;
    acts.blocks = m->blocks;
    f->kernels->matmul[m->codec](m, &acts, f->n, begin, end, out, stride);
}

void el_block_project(el_forward *f, const el_matrix *m, float *out, unsigned member, unsigned size)
{
    project(f, m, out, m->rows, member, size);
}

void el_block_project_table(el_forward *f, const el_table *table, float *out, unsigned member,
                            unsigned size)
{
    const uint32_t stride = f->model->config.vocab;
    for (uint32_t i = 0; i < table->parts; i++) {
        project(f, &table->part[i], out, stride, member, size);
        out += table->part[i].rows;
    }
}

/* Rotates the keys of one KV head and the queries of its group, and stores key and value. */
static void rotate_and_store(el_forward *f, uint32_t layer, uint32_t token, uint32_t kv_head)
{
    const el_config *c = &f->model->config;
    const uint32_t position = f->position + token, group = c->heads / c->kv_heads;
    const size_t at = ((size_t)token * c->kv_heads + kv_head) * c->head_dim;
    const float *cosine = f->cosine + (size_t)position * (c->rotary_dim / 2);
    const float *sine = f->sine + (size_t)position * (c->rotary_dim / 2);
    f->kernels->rope(f->q + at * group, group, c->head_dim, c->rotary_dim, cosine, sine);
    f->kernels->rope(f->k + at, 1, c->head_dim, c->rotary_dim, cosine, sine);
    const size_t plane = (size_t)layer * c->kv_heads + kv_head;
    if (f->exact) {
        size_t to = plane * f->cache.plane + (size_t)position * c->head_dim;
        memcpy(f->cache.keys + to, f->k + at, c->head_dim * sizeof(float));
        memcpy(f->cache.values + to, f->v + at, c->head_dim * sizeof(float));
        return;
    }
    f->kernels->kv_store(&f->cache.planes[plane], position, f->k + at, f->v + at, c->head_dim);
}

static void attend_head(el_forward *f, uint32_t layer, uint32_t token, uint32_t head, float *scores)
{
    const el_config *c = &f->model->config;
    const size_t plane = (size_t)layer * c->kv_heads + head / (c->heads / c->kv_heads);
    const size_t at = ((size_t)token * c->heads + head) * c->head_dim;
    const uint32_t length = f->position + token + 1;
    const float inv_sqrt = 1.0f / __builtin_sqrtf((float)c->head_dim);
    if (f->exact)
        f->kernels->attend_exact(f->cache.keys + plane * f->cache.plane,
                                 f->cache.values + plane * f->cache.plane, f->q + at, c->head_dim,
                                 length, inv_sqrt, scores, f->h + at);
    else
        f->kernels->attend(&f->cache.planes[plane], f->q + at, c->head_dim, length, inv_sqrt,
                           scores, f->h + at);
}

void el_block_attention(el_forward *f, uint32_t layer, const el_matrix *to, unsigned member,
                        unsigned size)
{
    const el_config *c = &f->model->config;
    float *scores = f->scores + (size_t)member * ((f->context + (size_t)63) / 64 * 64);
    el_crew_barrier(f->crew);
    for (uint32_t i = member; i < f->n * c->kv_heads; i += size)
        rotate_and_store(f, layer, i / c->kv_heads, i % c->kv_heads);
    el_crew_barrier(f->crew);
    for (uint32_t i = member; i < f->n * c->heads; i += size)
        attend_head(f, layer, i / c->heads, i % c->heads, scores);
    el_crew_barrier(f->crew);
    el_portion p = portion_of(f, to, member, size);
    while (p.at < p.end) {
        el_span s = next_span(&p);
        make_input(f, to, f->h + (size_t)s.token * to->cols, s.token, s.begin, s.end);
    }
    el_crew_barrier(f->crew);
}

void el_block_swiglu(el_forward *f, const el_matrix *to, unsigned member, unsigned size)
{
    const uint32_t width = f->model->config.ffn_dim;
    el_crew_barrier(f->crew);
    el_portion p = portion_of(f, to, member, size);
    while (p.at < p.end) {
        el_span s = next_span(&p);
        const uint32_t first = s.begin * EL_BLOCK;
        const uint32_t n = (s.end * EL_BLOCK < width ? s.end * EL_BLOCK : width) - first;
        float *gate = f->gate + (size_t)s.token * width;
        const float *up = f->up + (size_t)s.token * width;
        f->kernels->swiglu(gate + first, up + first, n);
        make_input(f, to, gate, s.token, s.begin, s.end);
    }
    el_crew_barrier(f->crew);
}
