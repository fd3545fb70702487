#include "train/moments.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

enum { COLLECT = 8, BAND = 64 }; /* sequences of a batch, rows of a piece */

int el_stage_of(int part)
{
    static const int stages[EL_PARTS] = {0, 0, 0, 1, 2, 2, 3};
    return stages[part];
}

uint32_t el_stage_cols(const el_layer_shape *s, int stage)
{
    static const int parts[EL_STAGES] = {EL_PART_Q, EL_PART_O, EL_PART_GATE, EL_PART_DOWN};
    return el_part_cols(s, parts[stage]);
}

void el_moments_layout(el_moments *m, el_arena *a)
{
    const el_layer_shape *s = m->shape;
    size_t batch = (size_t)COLLECT * m->length;
    m->stream = el_arena_take(a, (size_t)m->sequences * m->length, s->dim * sizeof(float));
    for (int i = 0; i < EL_STAGES; i++) {
        size_t cols = el_stage_cols(s, i);
        m->of[i] = el_arena_take(a, cols, cols * sizeof(float));
        m->inputs[i] = el_arena_take(a, batch, cols * sizeof(float));
    }
    m->traces = el_arena_take(a, m->members, sizeof *m->traces);
    for (unsigned i = 0; i < m->members; i++) {
        el_layer_trace trace = el_layer_trace_layout(a, s, m->length, false);
        if (a->base) m->traces[i] = trace;
    }
}

/* ---- inputs ----------------------------------------------------------------------------- */

/* A batch of sequences. */
typedef struct batch {
    const el_moments *m;
    const el_layer_weights *w;
    const float *norm;     /* the last one, instead of a layer */
    uint32_t first, count; /* sequences */
    int stages;
    uint32_t bands[EL_STAGES + 1]; /* pieces before those of a stage */
} batch;

static float *stream_of(const batch *b, uint32_t slot)
{
    return b->m->stream + (size_t)(b->first + slot) * b->m->length * b->m->shape->dim;
}

static float *input_of(const batch *b, int stage, uint32_t slot)
{
    size_t cols = el_stage_cols(b->m->shape, stage);
    return b->m->inputs[stage] + (size_t)slot * b->m->length * cols;
}

static float inverse_size(const float *x, uint32_t dim)
{
    float sum = cblas_sdot((int)dim, x, 1, x, 1);
    return 1.0f / sqrtf(sum / (float)dim + 1e-12f);
}

/* to = x, each token divided by the root mean square of the stream there; and, where what the
 * matrix makes of it is normed before it is added, of that. */
static void copy_weighed(const batch *b, const float *x, uint32_t cols, const float *stream,
                         const float *normed, float *to)
{
    uint32_t dim = b->m->shape->dim;
    for (uint32_t t = 0; t < b->m->length; t++, stream += dim, x += cols, to += cols) {
        float by = inverse_size(stream, dim);
        if (b->m->shape->post_norms) by *= inverse_size(normed + (size_t)t * dim, dim);
        for (uint32_t i = 0; i < cols; i++)
            to[i] = x[i] * by;
    }
}

static void layer_piece(void *context, uint32_t slot, unsigned member)
{
    const batch *b = context;
    const el_layer_shape *s = b->m->shape;
    el_layer_trace *t = &b->m->traces[member];
    size_t row = (size_t)b->m->length * s->dim * sizeof(float);
    float *x = stream_of(b, slot);
    el_layer_attend(s, b->w, x, b->m->length, t);
    el_layer_output(s, b->w, x, b->m->length, t);
    memcpy(input_of(b, 0, slot), t->x1, row);
    copy_weighed(b, t->o, el_stage_cols(s, 1), x, t->mixed, input_of(b, 1, slot));
    el_layer_feed(s, b->w, b->m->length, t);
    memcpy(input_of(b, 2, slot), t->x2, row);
    el_layer_down(s, b->w, b->m->length, t, x);
    copy_weighed(b, t->act, s->ffn_dim, t->h, t->fed, input_of(b, 3, slot));
}

static void last_piece(void *context, uint32_t slot, unsigned member)
{
    const batch *b = context;
    (void)member;
    el_rms_norm(stream_of(b, slot), b->norm, b->m->length, b->m->shape->dim, b->m->shape->eps,
                input_of(b, 0, slot));
}

/* ---- sums ------------------------------------------------------------------------------- */

/* Some rows of the upper triangle of one stage's moments. */
static void sum_piece(void *context, uint32_t piece, unsigned member)
{
    const batch *b = context;
    int stage = 0;
    (void)member;
    while (piece >= b->bands[stage + 1])
        stage++;
    uint32_t cols = el_stage_cols(b->m->shape, stage), first = (piece - b->bands[stage]) * BAND;
    uint32_t left = cols - first, count = left < BAND ? left : BAND;
    const float *x = b->m->inputs[stage] + first;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)count, (int)left,
                (int)(b->count * b->m->length), 1.0f, x, (int)cols, x, (int)cols,
                b->first ? 1.0f : 0.0f, b->m->of[stage] + (size_t)first * cols + first, (int)cols);
}

/* The mean, and the lower triangle. */
static void finish(const batch *b, int stage)
{
    uint32_t cols = el_stage_cols(b->m->shape, stage);
    float *h = b->m->of[stage], share = 1.0f / ((float)b->m->sequences * (float)b->m->length);
    for (uint32_t i = 0; i < cols; i++) {
        for (uint32_t j = i; j < cols; j++)
            h[(size_t)j * cols + i] = h[(size_t)i * cols + j] *= share;
    }
}

static void run(batch *b, el_piece_fn enter)
{
    for (int i = 0; i < b->stages; i++) {
        uint32_t cols = el_stage_cols(b->m->shape, i);
        b->bands[i + 1] = b->bands[i] + (cols + BAND - 1) / BAND;
    }
    for (b->first = 0; b->first < b->m->sequences; b->first += COLLECT) {
        uint32_t left = b->m->sequences - b->first;
        b->count = left < COLLECT ? left : COLLECT;
        el_pieces_run(b->m->crew, b->count, enter, b);
        el_pieces_run(b->m->crew, b->bands[b->stages], sum_piece, b);
    }
    for (int i = 0; i < b->stages; i++)
        finish(b, i);
}

void el_moments_layer(el_moments *m, const el_layer_weights *w)
{
    batch b = {.m = m, .w = w, .stages = EL_STAGES};
    run(&b, layer_piece);
}

void el_moments_last(el_moments *m, const float *norm)
{
    batch b = {.m = m, .norm = norm, .stages = 1};
    run(&b, last_piece);
}
