#include "train/tune.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

enum { HEAD = 128, SLICE = 4096, BAND = 64 }; /* tokens, rows of the head, rows of a matrix */

/* ---- memory ----------------------------------------------------------------------------- */

static uint32_t slices_of(const el_tune *t)
{
    return (t->source->config.vocab + SLICE - 1) / SLICE;
}

/* Floats of `slice` for one member: rows of the source's head, or what a row of logits takes, twice
 * where they are capped. */
static size_t slice_size(const el_tune *t)
{
    const el_config *c = &t->source->config;
    size_t rows = (size_t)SLICE * t->shape->dim, row = (size_t)c->vocab * (c->logit_cap ? 2 : 1);
    return rows > row ? rows : row;
}

/* Floats of `partial`: gradients of the head's slices, or of one sequence. */
static size_t partial_size(const el_tune *t)
{
    size_t slices = (size_t)slices_of(t) * HEAD;
    return (slices > t->length ? slices : t->length) * t->shape->dim;
}

static void layout_grads(el_tune *t, el_arena *a)
{
    for (uint32_t b = 0; b < t->batch; b++) {
        el_layer_floats g = el_layer_floats_layout(a, t->shape);
        if (a->base) t->grads[b] = g;
    }
}

static void layout_table(const el_latent_table *table, el_latent_moments *moments, el_arena *a)
{
    for (uint32_t i = 0; i < table->pieces; i++)
        moments[i] = el_latent_moments_layout(a, &table->piece[i]);
}

static void layout_moments(el_tune *t, el_arena *a)
{
    const el_config *c = &t->source->config;
    size_t begin = a->used;
    layout_table(&t->student->embedding, t->embedding_moments, a);
    if (!t->student->tied) layout_table(&t->student->head, t->head_moments, a);
    for (uint32_t i = 0; i < c->layers * EL_PARTS; i++) {
        el_latent_moments m =
            el_latent_moments_layout(a, &t->student->layers[i / EL_PARTS][i % EL_PARTS]);
        if (a->base) t->layer_moments[i] = m;
    }
    t->norm_m = el_arena_take(a, (2 * c->layers + 1), c->dim * sizeof(float));
    t->norm_v = el_arena_take(a, (2 * c->layers + 1), c->dim * sizeof(float));
    t->moments = (el_span){a->base ? a->base + begin : NULL, a->used - begin};
}

void el_tune_layout(el_tune *t, el_arena *a)
{
    const el_config *c = &t->source->config;
    size_t tokens = (size_t)t->batch * t->length, row = c->dim * sizeof(float);
    t->layer_moments = el_arena_take(a, (size_t)c->layers * EL_PARTS, sizeof *t->layer_moments);
    t->traces = el_arena_take(a, t->members, sizeof *t->traces);
    t->grads = el_arena_take(a, t->batch, sizeof *t->grads);
    layout_moments(t, a);
    for (int p = 0; p < EL_PARTS; p++) {
        size_t n = (size_t)el_part_rows(t->shape, p) * el_part_cols(t->shape, p);
        t->part[p] = el_arena_take(a, n, sizeof(float));
    }
    t->dtable = el_arena_take(a, c->vocab, row);
    t->inputs = el_arena_take(a, (c->layers + 1) * tokens, row);
    t->hidden = el_arena_take(a, tokens, row);
    t->dhidden = el_arena_take(a, tokens, row);
    for (int i = 0; i < 2; i++)
        t->logits[i] = el_arena_take(a, HEAD, c->vocab * sizeof(float));
    t->slice = el_arena_take(a, t->members, slice_size(t) * sizeof(float));
    t->partial = el_arena_take(a, partial_size(t), sizeof(float));
    t->loss = el_arena_take(a, HEAD, sizeof *t->loss);
    for (unsigned m = 0; m < t->members; m++) {
        el_layer_trace trace = el_layer_trace_layout(a, t->shape, t->length, true);
        if (a->base) t->traces[m] = trace;
    }
    layout_grads(t, a);
}

/* ---- a step ----------------------------------------------------------------------------- */

typedef struct pass {
    el_tune *t;
    const uint32_t *order;
    uint32_t layer;
    uint32_t first, count; /* tokens of the head's chunk */
    el_latent_rates rates;
    float rate_norm;
    uint32_t bands[EL_PARTS + 1];
    const el_latent *table; /* the piece that is stepped, of embedding or head */
    uint32_t table_first;   /* its first row */
    const el_latent_moments *table_moments;
} pass;

static float *input_of(const el_tune *t, uint32_t layer, uint32_t slot)
{
    size_t tokens = (size_t)t->batch * t->length;
    return t->inputs + (layer * tokens + (size_t)slot * t->length) * t->shape->dim;
}

static el_layer_weights weights_of(const pass *p)
{
    const el_tune *t = p->t;
    el_layer_weights w;
    for (int i = 0; i < EL_PARTS; i++)
        w.part[i] = t->part[i];
    for (int i = 0; i < EL_NORMS; i++)
        w.norm[i] = t->student->norms + ((size_t)p->layer * 2 + i) * t->shape->dim;
    el_source_fixed(t->source, p->layer, &w);
    return w;
}

/* Which rows of which part a piece is about. */
typedef struct band {
    int part;
    uint32_t first, count;
} band;

static band band_of(const pass *p, uint32_t piece)
{
    const el_latent *latents = p->t->student->layers[p->layer];
    band b = {0, 0, BAND};
    while (piece >= p->bands[b.part + 1])
        b.part++;
    b.first = (piece - p->bands[b.part]) * BAND;
    uint32_t left = latents[b.part].rows - b.first;
    if (left < BAND) b.count = left;
    return b;
}

static void weights_piece(void *context, uint32_t piece, unsigned member)
{
    const pass *p = context;
    band b = band_of(p, piece);
    const el_latent *l = &p->t->student->layers[p->layer][b.part];
    (void)member;
    el_latent_weights(l, b.first, b.count, p->t->part[b.part] + (size_t)b.first * l->cols);
}

/* Rows of one slice of our head, as floats. */
static uint32_t slice_of(const el_tune *t, uint32_t slice, float *rows)
{
    uint32_t first = slice * SLICE, left = t->source->config.vocab - first;
    uint32_t n = left < SLICE ? left : SLICE;
    el_latent_table_weights(el_student_head(t->student), first, n, rows);
    return n;
}

static void forward_piece(void *context, uint32_t slot, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    const el_layer_weights w = weights_of(p);
    el_layer_forward(t->shape, &w, input_of(t, p->layer, slot), t->length, &t->traces[member],
                     input_of(t, p->layer + 1, slot));
}

static void embed_piece(void *context, uint32_t slot, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    const uint32_t *tokens = t->tokens + (size_t)p->order[slot] * t->length;
    float *x = input_of(t, 0, slot);
    (void)member;
    for (uint32_t i = 0; i < t->length; i++, x += t->shape->dim) {
        el_latent_table_weights(&t->student->embedding, tokens[i], 1, x);
        el_source_scale(t->source, x);
    }
}

/* ---- head ------------------------------------------------------------------------------- */

static void logits_piece(void *context, uint32_t slice, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    uint32_t vocab = t->source->config.vocab, dim = t->shape->dim, first = slice * SLICE;
    uint32_t n = vocab - first < SLICE ? vocab - first : SLICE;
    float *rows = t->slice + member * slice_size(t);
    uint32_t slot = p->first / t->length, at = p->first % t->length;
    const float *teacher = t->teacher + ((size_t)p->order[slot] * t->length + at) * dim;
    el_source_rows(t->source->head, first, n, rows);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->count, (int)n, (int)dim, 1.0f,
                teacher, (int)dim, rows, (int)dim, 0.0f, t->logits[1] + first, (int)vocab);
    slice_of(t, slice, rows);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->count, (int)n, (int)dim, 1.0f,
                t->hidden + (size_t)p->first * dim, (int)dim, rows, (int)dim, 0.0f,
                t->logits[0] + first, (int)vocab);
    for (uint32_t i = 0; i < 2 * p->count; i++)
        el_source_cap(t->source, t->logits[i % 2] + (size_t)(i / 2) * vocab + first, n);
}

/* KL of one position; our logits become d = (ours - source's) / tokens. */
static void loss_piece(void *context, uint32_t i, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    uint32_t vocab = t->source->config.vocab;
    float *ours = t->logits[0] + (size_t)i * vocab, *theirs = t->logits[1] + (size_t)i * vocab;
    float scale = 1.0f / (float)((size_t)t->batch * t->length);
    float *scratch = t->slice + member * slice_size(t), cap = t->source->config.logit_cap;
    if (cap != 0) memcpy(scratch + vocab, ours, vocab * sizeof *ours);
    t->loss[i] = el_divergence_row(ours, theirs, vocab, scale, scratch);
    if (cap != 0) el_soft_cap_back(scratch + vocab, vocab, cap, ours);
}

static void head_back_piece(void *context, uint32_t slice, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    uint32_t vocab = t->source->config.vocab, dim = t->shape->dim, first = slice * SLICE;
    float *rows = t->slice + member * slice_size(t);
    uint32_t n = slice_of(t, slice, rows);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)dim, (int)p->count, 1.0f,
                t->logits[0] + first, (int)vocab, t->hidden + (size_t)p->first * dim, (int)dim,
                p->first ? 1.0f : 0.0f, t->dtable + (size_t)first * dim, (int)dim);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->count, (int)dim, (int)n, 1.0f,
                t->logits[0] + first, (int)vocab, rows, (int)dim, 0.0f,
                t->partial + (size_t)slice * HEAD * dim, (int)dim);
}

static void sum_partials(const pass *p)
{
    el_tune *t = p->t;
    size_t n = (size_t)p->count * t->shape->dim;
    float *to = t->dhidden + (size_t)p->first * t->shape->dim;
    memcpy(to, t->partial, n * sizeof *to);
    for (uint32_t s = 1; s < slices_of(t); s++)
        cblas_saxpy((int)n, 1.0f, t->partial + (size_t)s * HEAD * t->shape->dim, 1, to, 1);
}

/* Loss, and the gradients of the hidden states and of the table. */
static double run_head(pass *p)
{
    el_tune *t = p->t;
    uint32_t tokens = t->batch * t->length;
    double loss = 0;
    for (p->first = 0; p->first < tokens; p->first += p->count) {
        p->count = t->length - p->first % t->length; /* within one sequence */
        if (p->count > HEAD) p->count = HEAD;
        el_pieces_run(t->crew, slices_of(t), logits_piece, p);
        el_pieces_run(t->crew, p->count, loss_piece, p);
        el_pieces_run(t->crew, slices_of(t), head_back_piece, p);
        sum_partials(p);
        for (uint32_t i = 0; i < p->count; i++)
            loss += t->loss[i];
    }
    return loss / tokens;
}

/* ---- back ------------------------------------------------------------------------------- */

/* dhidden (batch * length, dim) is the gradient of the layer's output, and becomes its input's. */
static void backward_piece(void *context, uint32_t slot, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    const el_layer_weights w = weights_of(p);
    const float *x = input_of(t, p->layer, slot);
    float *d = t->dhidden + (size_t)slot * t->length * t->shape->dim;
    el_layer_floats g = t->grads[slot];
    for (int i = 0; i < EL_PARTS; i++) {
        const el_latent *l = &t->student->layers[p->layer][i];
        if (l->kept)
            g.part[i] = NULL; /* nobody will ask */
        else
            memset(g.part[i], 0, (size_t)l->rows * l->cols * sizeof(float));
    }
    for (int i = 0; i < EL_NORMS; i++)
        memset(g.norm[i], 0, t->shape->dim * sizeof(float));
    /* The output is not needed: it goes where the next layer's input was, which is used up. */
    el_layer_forward(t->shape, &w, x, t->length, &t->traces[member],
                     input_of(t, p->layer + 1, slot));
    el_layer_backward(t->shape, &w, x, t->length, &t->traces[member], d, d, &g);
}

static void update_piece(void *context, uint32_t piece, unsigned member)
{
    const pass *p = context;
    el_tune *t = p->t;
    band b = band_of(p, piece);
    const el_latent *l = &t->student->layers[p->layer][b.part];
    if (l->kept) return;
    size_t at = (size_t)b.first * l->cols, n = (size_t)b.count * l->cols;
    float *g = t->grads[0].part[b.part] + at;
    (void)member;
    for (uint32_t slot = 1; slot < t->batch; slot++)
        cblas_saxpy((int)n, 1.0f, t->grads[slot].part[b.part] + at, 1, g, 1);
    el_latent_step(l, &t->layer_moments[p->layer * EL_PARTS + (uint32_t)b.part], &p->rates, b.first,
                   b.count, g);
}

static void step_norm(const pass *p, uint32_t index, const float *g)
{
    el_tune *t = p->t;
    uint32_t dim = t->shape->dim;
    float *w = t->student->norms + (size_t)index * dim;
    float *m = t->norm_m + (size_t)index * dim, *v = t->norm_v + (size_t)index * dim;
    float size = 0;
    for (uint32_t i = 0; i < dim; i++)
        size += fabsf(w[i]);
    size /= (float)dim;
    for (uint32_t i = 0; i < dim; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.99f * v[i] + 0.01f * g[i] * g[i];
        w[i] -=
            p->rate_norm * size * m[i] * p->rates.bias1 / (sqrtf(v[i] * p->rates.bias2) + 1e-20f);
    }
}

static void set_bands(pass *p)
{
    for (int i = 0; i < EL_PARTS; i++) {
        uint32_t rows = p->t->student->layers[p->layer][i].rows;
        p->bands[i + 1] = p->bands[i] + (rows + BAND - 1) / BAND;
    }
}

static void run_forward(pass *p)
{
    el_tune *t = p->t;
    uint32_t layers = t->source->config.layers;
    el_pieces_run(t->crew, t->batch, embed_piece, p);
    for (p->layer = 0; p->layer < layers; p->layer++) {
        set_bands(p);
        el_pieces_run(t->crew, p->bands[EL_PARTS], weights_piece, p);
        el_pieces_run(t->crew, t->batch, forward_piece, p);
    }
    el_rms_norm(input_of(t, layers, 0), t->student->norms + (size_t)2 * layers * t->shape->dim,
                t->batch * t->length, t->shape->dim, t->shape->eps, t->hidden);
}

static void run_backward(pass *p)
{
    el_tune *t = p->t;
    uint32_t dim = t->shape->dim;
    for (p->layer = t->source->config.layers; p->layer-- > 0;) {
        set_bands(p);
        el_pieces_run(t->crew, p->bands[EL_PARTS], weights_piece, p);
        el_pieces_run(t->crew, t->batch, backward_piece, p);
        el_pieces_run(t->crew, p->bands[EL_PARTS], update_piece, p);
        for (uint32_t i = 0; i < EL_NORMS; i++) {
            for (uint32_t slot = 1; slot < t->batch; slot++)
                cblas_saxpy((int)dim, 1.0f, t->grads[slot].norm[i], 1, t->grads[0].norm[i], 1);
            step_norm(p, p->layer * 2 + i, t->grads[0].norm[i]);
        }
    }
}

/* dhidden: from the gradient after the last norm to that before it. */
static void back_through_norm(pass *p)
{
    el_tune *t = p->t;
    uint32_t dim = t->shape->dim, layers = t->source->config.layers, n = t->batch * t->length;
    float *dnorm = t->grads[0].norm[0], *dx = t->partial;
    for (uint32_t slot = 0; slot < t->batch; slot++) {
        size_t at = (size_t)slot * t->length * dim, size = (size_t)t->length * dim;
        float *d = t->dhidden + at;
        memset(dx, 0, size * sizeof *dx);
        if (slot == 0) memset(dnorm, 0, dim * sizeof *dnorm);
        el_rms_norm_back(input_of(t, layers, slot), t->student->norms + (size_t)2 * layers * dim, d,
                         n / t->batch, dim, t->shape->eps, dx, dnorm);
        memcpy(d, dx, size * sizeof *d);
    }
    step_norm(p, 2 * layers, dnorm);
}

static void step_table_piece(void *context, uint32_t piece, unsigned member)
{
    const pass *p = context;
    const el_latent *l = p->table;
    uint32_t first = piece * BAND, n = l->rows - first < BAND ? l->rows - first : BAND;
    (void)member;
    el_latent_step(l, p->table_moments, &p->rates, first, n,
                   p->t->dtable + (size_t)(p->table_first + first) * l->cols);
}

static void step_table(pass *p, const el_latent_table *table, const el_latent_moments *moments)
{
    for (uint32_t i = 0; i < table->pieces; i++) {
        p->table = &table->piece[i];
        p->table_first = el_latent_table_begin(table, i);
        p->table_moments = &moments[i];
        el_pieces_run(p->t->crew, (p->table->rows + BAND - 1) / BAND, step_table_piece, p);
    }
}

/* dtable is the head's gradient; the embedding's is added, or comes in its place if it is another
 * matrix. */
static void update_table(pass *p)
{
    el_tune *t = p->t;
    uint32_t dim = t->shape->dim;
    if (!t->student->tied) {
        step_table(p, &t->student->head, t->head_moments);
        memset(t->dtable, 0, (size_t)t->source->config.vocab * dim * sizeof(float));
    }
    for (uint32_t i = 0; i < t->batch * t->length; i++) {
        uint32_t token = t->tokens[(size_t)p->order[i / t->length] * t->length + i % t->length];
        cblas_saxpy((int)dim, t->source->embedding_scale, t->dhidden + (size_t)i * dim, 1,
                    t->dtable + (size_t)token * dim, 1);
    }
    step_table(p, &t->student->embedding, t->embedding_moments);
}

double el_tune_step(el_tune *t, uint32_t step, const uint32_t *order)
{
    float fade = el_latent_fade(step, t->steps);
    pass p = {.t = t, .order = order, .rate_norm = t->rate_norm * fade};
    p.rates = el_latent_rates_at(t->rate_u, t->rate_scale, fade, step);
    run_forward(&p);
    double loss = run_head(&p);
    back_through_norm(&p);
    run_backward(&p);
    update_table(&p);
    return loss;
}
