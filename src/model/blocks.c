#include "model/forward.h"

#include <string.h>

#include "base/clock.h"

static uint32_t blocks_of(uint32_t width)
{
    return (width + EL_BLOCK - 1) / EL_BLOCK;
}

typedef struct el_span {
    uint32_t token, begin, end; /* blocks [begin, end) of this token */
} el_span;

/* Columns of a span, of a vector of this width: returns how many, *first is the first. */
static uint32_t columns_of(const el_span *s, uint32_t width, uint32_t *first)
{
    *first = s->begin * EL_BLOCK;
    return (s->end * EL_BLOCK < width ? s->end * EL_BLOCK : width) - *first;
}

/* The columns x of a span become part of an input as matrices of one rotation meet it. */
static void put_input(el_forward *f, el_rotation rotation, const float *x, uint32_t width,
                      const el_span *s)
{
    uint32_t first, n = columns_of(s, width, &first);
    const el_input *to = &f->input[rotation];
    if (f->exact) {
        memcpy(to->exact + (size_t)s->token * width + first, x, n * sizeof *x);
        return;
    }
    const size_t at = (size_t)s->token * blocks_of(width) + s->begin;
    const el_acts *a = &to->acts;
    f->kernels->quantize(x, n, a->q + at * EL_BLOCK, a->scale + at, a->sum + at);
}

/* The same for all rotations that are asked for: a span is of whole rotations then, and x is
 * overwritten. */
static void make_input(el_forward *f, unsigned rotations, float *x, uint32_t width, el_span s)
{
    uint32_t first, n = columns_of(&s, width, &first);
    if (f->adapted) memcpy(f->plain + (size_t)s.token * width + first, x, n * sizeof *x);
    if (rotations & EL_ROTATION_BIT(EL_ROTATION_NONE)) put_input(f, EL_ROTATION_NONE, x, width, &s);
    if (!(rotations & EL_ROTATION_BIT(EL_ROTATION_HADAMARD64))) return;
    f->kernels->rotate(x, n);
    put_input(f, EL_ROTATION_HADAMARD64, x, width, &s);
}

/* A member's share of an input: (n, blocks), in units that must not be cut. */
typedef struct el_portion {
    uint32_t unit;    /* blocks: those of a rotation, or 1 */
    uint32_t units;   /* of a token */
    uint32_t at, end; /* units, over all tokens */
} el_portion;

static el_portion portion_of(const el_forward *f, unsigned rotations, uint32_t width,
                             unsigned member, unsigned size)
{
    const bool plain = rotations == EL_ROTATION_BIT(EL_ROTATION_NONE);
    el_portion p = {.unit = plain ? 1 : EL_ROTATION_WIDTH / EL_BLOCK};
    p.units = blocks_of(width) / p.unit;
    el_share(f->n * p.units, member, size, &p.at, &p.end);
    return p;
}

/* Cuts the portion at token borders: at runs up to end. */
static el_span next_span(el_portion *p)
{
    const uint32_t begin = p->at % p->units, left = p->end - p->at;
    const uint32_t end = left < p->units - begin ? begin + left : p->units;
    const el_span span = {p->at / p->units, begin * p->unit, end * p->unit};
    p->at += end - begin;
    return span;
}

void el_block_norm(el_forward *f, const el_norm *norm, unsigned rotations, unsigned member,
                   unsigned size)
{
    const uint32_t dim = f->model->config.dim;
    const float eps = f->model->config.norm_eps;
    for (uint32_t t = member; t < f->n; t += size) {
        const size_t at = (size_t)t * dim;
        float *x = f->x + at, *y = f->y + at, *h = f->h + at;
        if (norm->add && norm->post) f->kernels->rms_norm(y, norm->post, dim, eps, y);
        if (norm->add) f->kernels->add(x, y, dim);
        f->kernels->rms_norm(x, norm->weight, dim, eps, h);
        make_input(f, rotations, h, dim, (el_span){t, 0, blocks_of(dim)});
    }
    el_crew_barrier(f->crew);
}

/* The next write of `stopped` is behind the next layer's barriers, which nobody passes before all
 * have read it. */
bool el_block_layer_ends(el_forward *f, unsigned member)
{
    if (member == 0 && f->deadline != 0 && el_clock_now() >= f->deadline) f->stopped = true;
    el_crew_barrier(f->crew);
    return f->stopped;
}

/* out (n, stride): its first columns. */
static void project(el_forward *f, const el_matrix *m, float *out, size_t stride, unsigned member,
                    unsigned size)
{
    uint32_t begin, end;
    el_share(m->tiles, member, size, &begin, &end);
    if (begin == end) return;
    const el_input *in = &f->input[m->rotation];
    if (f->exact) {
        float *row = f->row + (size_t)member * m->cols;
        f->kernels->matmul_exact(m, in->exact, m->cols, f->n, begin, end, out, stride, row);
        return;
    }
    el_acts acts = in->acts;
    acts.blocks = m->blocks;
    f->kernels->matmul[m->codec](m, &acts, f->n, begin, end, out, stride);
}

void el_block_project(el_forward *f, const el_matrix *m, float *out, unsigned member, unsigned size)
{
    project(f, m, out, m->rows, member, size);
}

/* Caps the rows of a matrix that this member has computed. */
static void cap_rows(el_forward *f, const el_matrix *m, float *out, unsigned member, unsigned size)
{
    const uint32_t stride = f->model->config.vocab;
    uint32_t begin, end;
    el_share(m->tiles, member, size, &begin, &end);
    begin *= EL_TILE;
    end = end * EL_TILE < m->rows ? end * EL_TILE : m->rows;
    for (uint32_t t = 0; t < f->n && begin < end; t++)
        f->kernels->soft_cap(out + (size_t)t * stride + begin, end - begin,
                             f->model->config.logit_cap);
}

void el_block_project_head(el_forward *f, const el_table *head, float *out, unsigned member,
                           unsigned size)
{
    for (uint32_t i = 0; i < head->parts; i++) {
        project(f, &head->part[i], out, f->model->config.vocab, member, size);
        if (f->model->config.logit_cap != 0) cap_rows(f, &head->part[i], out, member, size);
        out += head->part[i].rows;
    }
}

/* Heads side by side (count, head_dim): a bias is added, (count, head_dim) too, then each is
 * normed, where there are such. */
static void finish_heads(const el_forward *f, float *x, uint32_t count, const float *bias,
                         const float *norm)
{
    const el_config *c = &f->model->config;
    if (bias) f->kernels->add(x, bias, count * c->head_dim);
    for (uint32_t i = 0; norm && i < count; i++, x += c->head_dim)
        f->kernels->rms_norm(x, norm, c->head_dim, c->norm_eps, x);
}

/* What the matrices gave for one KV head and the queries of its group, with biases and norms. */
static void finish_group(const el_forward *f, const el_layer *l, uint32_t kv_head, size_t at)
{
    const el_config *c = &f->model->config;
    const uint32_t group = c->heads / c->kv_heads;
    const size_t head = (size_t)kv_head * c->head_dim;
    const float *q_bias = l->q_bias ? l->q_bias + head * group : NULL;
    finish_heads(f, f->q + at * group, group, q_bias, l->q_norm);
    finish_heads(f, f->k + at, 1, l->k_bias ? l->k_bias + head : NULL, l->k_norm);
    finish_heads(f, f->v + at, 1, l->v_bias ? l->v_bias + head : NULL, NULL);
}

/* What lies at `at` of k and v, a head each, into the cache. */
static void store(const el_forward *f, const el_place *place, bool local, size_t plane, size_t at)
{
    const uint32_t dim = f->model->config.head_dim;
    const uint32_t position = el_cache_at(place->cache, local, place->position);
    if (f->exact) {
        const el_exact_kv *kv = &place->cache->exact[plane];
        memcpy(kv->keys + (size_t)position * dim, f->k + at, dim * sizeof(float));
        memcpy(kv->values + (size_t)position * dim, f->v + at, dim * sizeof(float));
        return;
    }
    f->kernels->kv_store(&place->cache->planes[plane], position, f->k + at, f->v + at, dim);
}

/* Rotates the keys of one KV head and the queries of its group, if the layer does, and stores key
 * and value. */
static void rotate_and_store(el_forward *f, uint32_t layer, uint32_t token, uint32_t kv_head)
{
    const el_config *c = &f->model->config;
    const el_place *place = &f->places[token];
    const uint32_t position = place->position, group = c->heads / c->kv_heads;
    const size_t at = ((size_t)token * c->kv_heads + kv_head) * c->head_dim;
    const el_layer *l = &f->model->layers[layer];
    const el_angles *angles = l->local ? &f->local_angles : &f->angles;
    const float *cosine = angles->cosine + (size_t)position * (c->rotary_dim / 2);
    const float *sine = angles->sine + (size_t)position * (c->rotary_dim / 2);
    finish_group(f, l, kv_head, at);
    if (!l->unturned) {
        f->kernels->rope(f->q + at * group, group, c->head_dim, c->rotary_dim, cosine, sine);
        f->kernels->rope(f->k + at, 1, c->head_dim, c->rotary_dim, cosine, sine);
    }
    store(f, place, l->local, (size_t)layer * c->kv_heads + kv_head, at);
}

/* Heads of some tokens in a row that share keys and values. */
typedef struct el_heads {
    uint32_t token, tokens, first, count;
    size_t plane; /* of the cache */
    bool local;   /* of a local layer */
} el_heads;

/* What a token attends to; where attention is padded, everything is computed, be it a ring. */
static el_attended attended_by(const el_forward *f, const el_heads *h, uint32_t token)
{
    const el_config *c = &f->model->config;
    const el_place *place = &f->places[token];
    const uint32_t end = place->position + 1, padded = place->cache->padded;
    const uint32_t begin = h->local && end > c->window ? end - c->window : 0;
    const uint32_t ring = h->local ? place->cache->ring : 0;
    const uint32_t first = padded && !ring ? 0 : begin / EL_ATTEND_SPAN * EL_ATTEND_SPAN;
    return (el_attended){.head_dim = c->head_dim,
                         .begin = begin,
                         .end = end,
                         .first = first,
                         .last = !padded ? end
                                 : ring  ? first + ring
                                         : padded,
                         .scale = f->model->attention_scale,
                         .cap = c->attention_cap,
                         .ring = ring};
}

static void attend_exact(el_forward *f, const el_heads *h, float *scores)
{
    const el_config *c = &f->model->config;
    const el_exact_kv *kv = &f->places[h->token].cache->exact[h->plane];
    const el_attended of = attended_by(f, h, h->token);
    for (uint32_t i = 0; i < h->count; i++) {
        const size_t at = ((size_t)h->token * c->heads + h->first + i) * c->head_dim;
        f->kernels->attend_exact(kv->keys, kv->values, f->q + at, &of, scores, f->h + at);
    }
}

/* Returns of how many tokens: those that see the same cache from the same position on. */
static uint32_t attend(el_forward *f, const el_heads *h, float *scores)
{
    const el_config *c = &f->model->config;
    const el_place *places = f->places + h->token;
    const size_t stride = (size_t)c->heads * c->head_dim;
    const size_t at = h->token * stride + (size_t)h->first * c->head_dim;
    el_attended of[EL_ATTEND_ROWS];
    el_queries q = {f->q + at, f->h + at, stride, h->count, 0};
    do {
        of[q.tokens] = attended_by(f, h, h->token + q.tokens);
        if (of[q.tokens].first != of->first) break;
        q.tokens++;
    } while (q.tokens < h->tokens && places[q.tokens].cache == places->cache &&
             places[q.tokens].position == places->position + q.tokens);
    f->kernels->attend(&places->cache->planes[h->plane], &q, of, scores);
    return q.tokens;
}

static void attend_each(el_forward *f, el_heads h, float *scores)
{
    const uint32_t end = h.token + h.tokens;
    for (uint32_t done; h.token < end; h.token += done) {
        h.tokens = end - h.token;
        done = f->exact ? 1 : attend(f, &h, scores);
        if (f->exact) attend_exact(f, &h, scores);
    }
}

/*
 * Heads that share keys and values are computed together, and so are tokens, as many as the scratch
 * holds: less work. But where there are few heads for each member, one by one: the work is shared
 * more evenly.
 */
static void attend_all(el_forward *f, uint32_t layer, unsigned member, unsigned size)
{
    const el_config *c = &f->model->config;
    const uint32_t group = c->heads / c->kv_heads;
    const bool few = size > 1 && f->n * c->kv_heads < 4 * size;
    const uint32_t step = few ? 1 : group < EL_ATTEND_ROWS ? group : EL_ATTEND_ROWS;
    const uint32_t tokens = few ? 1 : EL_ATTEND_ROWS / step;
    const uint32_t steps = (group + step - 1) / step;
    const uint32_t units = (f->n + tokens - 1) / tokens * c->kv_heads * steps;
    float *scores = f->scores + (size_t)member * el_forward_scores(f);
    for (uint32_t i = member; i < units; i += size) {
        const uint32_t kv_head = i / steps % c->kv_heads, begin = i % steps * step;
        const uint32_t token = i / steps / c->kv_heads * tokens;
        const el_heads h = {.token = token,
                            .tokens = f->n - token < tokens ? f->n - token : tokens,
                            .first = kv_head * group + begin,
                            .count = group - begin < step ? group - begin : step,
                            .plane = (size_t)layer * c->kv_heads + kv_head,
                            .local = f->model->layers[layer].local};
        attend_each(f, h, scores);
    }
}

/* Vectors x (n, width) become an input; with a norm, each whole by one member. */
static void make_inputs(el_forward *f, float *x, uint32_t width, const float *norm,
                        unsigned rotations, unsigned member, unsigned size)
{
    el_portion p = portion_of(f, rotations, width, member, size);
    for (uint32_t t = member; norm && t < f->n; t += size) {
        float *row = x + (size_t)t * width;
        f->kernels->rms_norm(row, norm, width, f->model->config.norm_eps, row);
        make_input(f, rotations, row, width, (el_span){t, 0, blocks_of(width)});
    }
    while (!norm && p.at < p.end) {
        const el_span s = next_span(&p);
        const size_t at = (size_t)s.token * width + (size_t)s.begin * EL_BLOCK;
        make_input(f, rotations, x + at, width, s);
    }
    el_crew_barrier(f->crew);
}

void el_block_attention(el_forward *f, uint32_t layer, unsigned rotations, unsigned member,
                        unsigned size)
{
    const el_config *c = &f->model->config;
    el_crew_barrier(f->crew);
    for (uint32_t i = member; i < f->n * c->kv_heads; i += size)
        rotate_and_store(f, layer, i / c->kv_heads, i % c->kv_heads);
    el_crew_barrier(f->crew);
    attend_all(f, layer, member, size);
    el_crew_barrier(f->crew);
    make_inputs(f, f->h, c->heads * c->head_dim, f->model->layers[layer].attn_sub_norm, rotations,
                member, size);
}

static void apply_gate(const el_forward *f, float *gate, const float *up, uint32_t n)
{
    switch (f->model->architecture->gate) {
    case EL_GATE_SILU:
        f->kernels->swiglu(gate, up, n);
        break;
    case EL_GATE_GELU:
        f->kernels->geglu(gate, up, n);
        break;
    case EL_GATE_RELU2:
        f->kernels->reglu2(gate, up, n);
        break;
    }
}

void el_block_gate(el_forward *f, const float *norm, unsigned rotations, unsigned member,
                   unsigned size)
{
    const uint32_t width = f->model->config.ffn_dim;
    el_crew_barrier(f->crew);
    el_portion p = portion_of(f, rotations, width, member, size);
    while (p.at < p.end) {
        const el_span s = next_span(&p);
        uint32_t first, n = columns_of(&s, width, &first);
        float *gate = f->gate + (size_t)s.token * width + first;
        apply_gate(f, gate, f->up + (size_t)s.token * width + first, n);
        if (!norm) make_input(f, rotations, gate, width, s);
    }
    el_crew_barrier(f->crew);
    if (norm) make_inputs(f, f->gate, width, norm, rotations, member, size);
}
