#include "train/layerwise.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "train/gptq.h"

enum { COLLECT = 8, BAND = 64 }; /* sequences, rows of a piece */

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- memory ----------------------------------------------------------------------------- */

void el_layerwise_layout(el_layerwise *w, el_arena *a)
{
    const el_layer_shape *s = w->shape;
    size_t tokens = (size_t)w->sequences * w->length, batch = (size_t)COLLECT * w->length;
    uint32_t q = s->heads * s->head_dim, widest = larger(larger(s->ffn_dim, s->dim), q);
    w->wide = larger(s->dim, q);
    w->source_in = el_arena_take(a, tokens, w->wide * sizeof(float));
    w->ours_in = el_arena_take(a, tokens, w->wide * sizeof(float));
    w->source_mid = el_arena_take(a, tokens, w->wide * sizeof(float));
    w->ours_mid = el_arena_take(a, tokens, w->wide * sizeof(float));
    w->source = el_layer_floats_layout(a, s);
    for (int p = 0; p < EL_PARTS; p++) {
        size_t weights = (size_t)el_part_rows(s, p) * el_part_cols(s, p);
        w->ours[p] = el_arena_take(a, weights, sizeof(float));
    }
    w->traces = el_arena_take(a, w->members, sizeof *w->traces);
    w->outputs = el_arena_take(a, w->members, sizeof *w->outputs);
    w->grads = el_arena_take(a, w->recipe->batch, sizeof *w->grads);
    w->losses = el_arena_take(a, w->recipe->batch, sizeof *w->losses);
    w->adam = el_arena_take(a, EL_PARTS, sizeof *w->adam);
    for (unsigned m = 0; m < w->members; m++) {
        el_layer_trace trace = el_layer_trace_layout(a, s, w->length, true);
        float *output = el_arena_take(a, w->length, s->dim * sizeof(float));
        if (!a->base) continue;
        w->traces[m] = trace;
        w->outputs[m] = output;
    }
    for (uint32_t b = 0; b < w->recipe->batch; b++) {
        el_layer_floats grads = el_layer_floats_layout(a, s);
        if (a->base) w->grads[b] = grads;
    }
    for (int i = 0; i < 2; i++)
        w->inputs[i] = el_arena_take(a, batch, widest * sizeof(float));
    w->errors = el_arena_take(a, batch, s->dim * sizeof(float));
    w->moments = el_arena_take(a, widest, widest * sizeof(float));
    w->cross = el_arena_take(a, widest, widest * sizeof(float));
    w->stream = el_arena_take(a, s->dim, widest * sizeof(float));
    w->factor = el_arena_take(a, widest, widest * sizeof(float));
    w->importance = el_arena_take(a, widest, sizeof(float));
    w->target = el_arena_take(a, widest, widest * sizeof(float));
    w->lost = el_arena_take(a, (size_t)w->members * EL_GPTQ_BAND, widest * sizeof(float));
}

/* ---- stages: what enters each group of matrices ----------------------------------------- */

typedef struct stage {
    int first, last; /* parts that share the input */
    bool residual;   /* their output is added to the stream */
    /* One sequence of one stream (0: the source's, 1: ours): writes the input (length, cols). */
    void (*enter)(el_layerwise *w, int stream, uint32_t sequence, unsigned member, float *input);
} stage;

static float *stream_in(const el_layerwise *w, int stream, uint32_t sequence)
{
    return (stream ? w->ours_in : w->source_in) + (size_t)sequence * w->length * w->wide;
}

static float *stream_mid(const el_layerwise *w, int stream, uint32_t sequence)
{
    return (stream ? w->ours_mid : w->source_mid) + (size_t)sequence * w->length * w->wide;
}

static const el_layer_weights *weights_of(const el_layerwise *w, int stream)
{
    return stream ? &w->weights : &w->source_weights;
}

static void enter_attention(el_layerwise *w, int stream, uint32_t sequence, unsigned member,
                            float *input)
{
    (void)member;
    el_rms_norm(stream_in(w, stream, sequence), weights_of(w, stream)->norm[0], w->length,
                w->shape->dim, w->shape->eps, input);
}

static void enter_output(el_layerwise *w, int stream, uint32_t sequence, unsigned member,
                         float *input)
{
    el_layer_trace *t = &w->traces[member];
    size_t bytes = (size_t)w->length * el_part_cols(w->shape, EL_PART_O) * sizeof(float);
    el_layer_attend(w->shape, weights_of(w, stream), stream_in(w, stream, sequence), w->length, t);
    memcpy(input, t->o, bytes);
    memcpy(stream_mid(w, stream, sequence), t->o, bytes); /* kept for leave_attention() */
}

static void enter_feed(el_layerwise *w, int stream, uint32_t sequence, unsigned member,
                       float *input)
{
    (void)member;
    el_rms_norm(stream_mid(w, stream, sequence), weights_of(w, stream)->norm[1], w->length,
                w->shape->dim, w->shape->eps, input);
}

static void enter_down(el_layerwise *w, int stream, uint32_t sequence, unsigned member,
                       float *input)
{
    el_layer_trace *t = &w->traces[member];
    memcpy(t->h, stream_mid(w, stream, sequence),
           (size_t)w->length * w->shape->dim * sizeof(float));
    el_layer_feed(w->shape, weights_of(w, stream), w->length, t);
    memcpy(input, t->act, (size_t)w->length * w->shape->ffn_dim * sizeof(float));
}

static const stage stages[] = {
    {EL_PART_Q, EL_PART_V, false, enter_attention},
    {EL_PART_O, EL_PART_O, true, enter_output},
    {EL_PART_GATE, EL_PART_UP, false, enter_feed},
    {EL_PART_DOWN, EL_PART_DOWN, true, enter_down},
};

/* ---- second moments --------------------------------------------------------------------- */

/* One batch of sequences on its way through a stage. */
typedef struct batch {
    el_layerwise *w;
    const stage *stage;
    uint32_t first, count, cols;
    bool fresh; /* the first: overwrites the moments */
} batch;

static void enter_piece(void *context, uint32_t piece, unsigned member)
{
    const batch *b = context;
    el_layerwise *w = b->w;
    uint32_t slot = piece / 2, stream = piece % 2;
    float *input = w->inputs[stream] + (size_t)slot * w->length * b->cols;
    b->stage->enter(w, (int)stream, b->first + slot, member, input);
}

static void scale_row(float *x, uint32_t n, float by)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] *= by;
}

static float mean_square(const float *x, uint32_t n)
{
    float sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum / (float)n;
}

/* What a matrix gives (length, dim), in `out`, is normed before it is added: the stream then, in
 * units of what the matrix gives, as its errors count. */
static void add_normed(const el_layerwise *w, const float *stream, const float *norm, float *out)
{
    uint32_t dim = w->shape->dim;
    for (uint32_t t = 0; t < w->length; t++, stream += dim, out += dim) {
        float size = sqrtf(mean_square(out, dim) + w->shape->eps);
        for (uint32_t i = 0; i < dim; i++)
            out[i] = stream[i] * size + out[i] * norm[i];
    }
}

/* What the source's matrix would make of inputs, on top of a stream (length, dim). */
static const float *with_source(const batch *b, const float *stream, const float *input, float *out)
{
    const el_layerwise *w = b->w;
    uint32_t dim = w->shape->dim;
    const int post = b->stage->first == EL_PART_DOWN ? EL_FIXED_PD : EL_FIXED_PO;
    if (w->source_weights.fixed[post]) {
        el_linear(input, w->source.part[b->stage->first], w->length, dim, b->cols, false, out);
        add_normed(w, stream, w->source_weights.fixed[post], out);
        return out;
    }
    memcpy(out, stream, (size_t)w->length * dim * sizeof *out);
    el_linear(input, w->source.part[b->stage->first], w->length, dim, b->cols, true, out);
    return out;
}

/*
 * What is added to the stream counts relative to the stream's size at that token, the source's or
 * ours: else the few tokens that attention uses as sinks, a thousand times larger, would decide
 * alone, and so would one that ours takes for a sink by mistake.
 */
static void weigh_tokens(const batch *b, const float *theirs, const float *ours, float *f, float *q,
                         float *e)
{
    uint32_t dim = b->w->shape->dim;
    for (uint32_t t = 0; t < b->w->length; t++) {
        size_t at = (size_t)t * dim, in = (size_t)t * b->cols;
        float size = mean_square(theirs + at, dim) + mean_square(ours + at, dim);
        float by = 1.0f / sqrtf(size + 1e-12f);
        scale_row(f + in, b->cols, by);
        scale_row(q + in, b->cols, by);
        scale_row(e + at, dim, by);
    }
}

/* The source's inputs become differences; and the stream's errors are set down. */
static void subtract_piece(void *context, uint32_t slot, unsigned member)
{
    const batch *b = context;
    el_layerwise *w = b->w;
    uint32_t sequence = b->first + slot;
    bool late = b->stage->first == EL_PART_DOWN;
    size_t n = (size_t)w->length * b->cols, dim = w->shape->dim;
    float *f = w->inputs[0] + slot * n, *e = w->errors + (size_t)slot * w->length * dim;
    float *q = w->inputs[1] + slot * n;
    const float *x = late ? stream_mid(w, 0, sequence) : stream_in(w, 0, sequence);
    const float *y = late ? stream_mid(w, 1, sequence) : stream_in(w, 1, sequence);
    const float *theirs = NULL, *ours = NULL;
    if (b->stage->residual) {
        theirs = with_source(b, x, f, w->traces[member].h);
        ours = with_source(b, y, q, w->outputs[member]);
    }
    for (size_t i = 0; i < n; i++)
        f[i] -= q[i];
    if (!b->stage->residual) return;
    for (size_t i = 0; i < (size_t)w->length * dim; i++)
        e[i] = x[i] - y[i];
    weigh_tokens(b, theirs, ours, f, q, e);
}

/* Rows [first, first + count) of left' * right over the batch, added to `to`. */
static void add_moments(const batch *b, const float *left, uint32_t left_cols, uint32_t first,
                        uint32_t count, float *to)
{
    int k = (int)(b->count * b->w->length);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)count, (int)b->cols, k, 1.0f,
                left + first, (int)left_cols, b->w->inputs[1], (int)b->cols, b->fresh ? 0.0f : 1.0f,
                to + (size_t)first * b->cols, (int)b->cols);
}

static void moments_piece(void *context, uint32_t piece, unsigned member)
{
    const batch *b = context;
    el_layerwise *w = b->w;
    uint32_t bands = (b->cols + BAND - 1) / BAND, kind = piece / bands,
             first = piece % bands * BAND;
    (void)member;
    if (kind == 2) {
        first = (piece - 2 * bands) * BAND;
        uint32_t n = w->shape->dim - first;
        add_moments(b, w->errors, w->shape->dim, first, n < BAND ? n : BAND, w->stream);
        return;
    }
    uint32_t n = b->cols - first < BAND ? b->cols - first : BAND;
    add_moments(b, w->inputs[kind ? 0 : 1], b->cols, first, n, kind ? w->cross : w->moments);
}

static void collect(el_layerwise *w, const stage *s)
{
    batch b = {.w = w, .stage = s, .cols = el_part_cols(w->shape, s->first)};
    uint32_t bands = (b.cols + BAND - 1) / BAND, dim_bands = (w->shape->dim + BAND - 1) / BAND;
    for (b.first = 0; b.first < w->sequences; b.first += COLLECT) {
        uint32_t left = w->sequences - b.first;
        b.count = left < COLLECT ? left : COLLECT;
        b.fresh = b.first == 0;
        el_pieces_run(w->crew, b.count * 2, enter_piece, &b);
        el_pieces_run(w->crew, b.count, subtract_piece, &b);
        el_pieces_run(w->crew, 2 * bands + (s->residual ? dim_bands : 0), moments_piece, &b);
    }
    float per_token = 1.0f / (float)((size_t)w->sequences * w->length);
    cblas_sscal((int)(b.cols * b.cols), per_token, w->moments, 1);
    cblas_sscal((int)(b.cols * b.cols), per_token, w->cross, 1);
    if (s->residual) cblas_sscal((int)(w->shape->dim * b.cols), per_token, w->stream, 1);
}

/* ---- rounding --------------------------------------------------------------------------- */

typedef struct rounding {
    el_layerwise *w;
    el_gptq gptq;
    el_latent *latent;
    int part;
} rounding;

static void round_piece(void *context, uint32_t piece, unsigned member)
{
    const rounding *r = context;
    el_layerwise *w = r->w;
    el_latent *l = r->latent;
    uint32_t first = piece * EL_GPTQ_BAND, left = l->rows - first;
    uint32_t count = left < EL_GPTQ_BAND ? left : EL_GPTQ_BAND;
    float *target = w->target + (size_t)first * l->cols;
    float *lost = w->lost + (size_t)member * EL_GPTQ_BAND * l->cols;
    el_gptq_rows(&r->gptq, l, first, count, target, lost);
    el_latent_weights(l, first, count, w->ours[r->part] + (size_t)first * l->cols);
}

/* w->target = W + correction towards what the source computes on its own inputs; W if it is kept.
 */
static edgellm_status aim(el_layerwise *w, const stage *s, int part, edgellm_error *err)
{
    uint32_t rows = el_part_rows(w->shape, part), cols = el_part_cols(w->shape, part);
    const el_recipe *r = w->recipe;
    size_t n = (size_t)rows * cols;
    if (w->latents[part].kept) {
        memcpy(w->target, w->source.part[part], n * sizeof *w->target);
        return EDGELLM_OK;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)cols, (int)cols,
                r->correction, w->source.part[part], (int)cols, w->cross, (int)cols, 0.0f,
                w->target, (int)cols);
    /* A norm between would make what is added of another size. */
    if (s->residual && !w->shape->post_norms)
        cblas_saxpy((int)n, r->residual, w->stream, 1, w->target, 1);
    EL_TRY(el_gptq_correct(w->moments, cols, r->correction_damping, w->target, rows, err));
    cblas_saxpy((int)n, 1.0f, w->source.part[part], 1, w->target, 1);
    return EDGELLM_OK;
}

/* Are those rotated that are not kept? */
static bool is_rotated(const el_layerwise *w, const stage *s)
{
    bool rotated = false;
    for (int i = s->first; i <= s->last; i++)
        rotated |= w->latents[i].rotated;
    return rotated;
}

static edgellm_status round_stage(el_layerwise *w, const stage *s, edgellm_error *err)
{
    rounding r = {.w = w};
    collect(w, s);
    EL_TRY(el_gptq_prepare(w->moments, el_part_cols(w->shape, s->first), is_rotated(w, s),
                           w->recipe->damping, w->factor, w->importance, &r.gptq, err));
    for (r.part = s->first; r.part <= s->last; r.part++) {
        EL_TRY(aim(w, s, r.part, err));
        r.latent = &w->latents[r.part];
        el_pieces_run(w->crew, (r.latent->rows + EL_GPTQ_BAND - 1) / EL_GPTQ_BAND, round_piece, &r);
    }
    return EDGELLM_OK;
}

/* ---- between the stages ----------------------------------------------------------------- */

/* mid = in + o Wo', for one sequence of one stream. */
static void leave_attention(void *context, uint32_t piece, unsigned member)
{
    el_layerwise *w = context;
    const el_layer_shape *s = w->shape;
    el_layer_trace *t = &w->traces[member];
    int stream = (int)(piece % 2);
    float *mid = stream_mid(w, stream, piece / 2);
    memcpy(t->o, mid, (size_t)w->length * el_part_cols(s, EL_PART_O) * sizeof(float));
    el_layer_output(s, weights_of(w, stream), stream_in(w, stream, piece / 2), w->length, t);
    memcpy(mid, t->h, (size_t)w->length * s->dim * sizeof(float));
}

/* mid = the source's output: the target of training. */
static void leave_source(void *context, uint32_t sequence, unsigned member)
{
    el_layerwise *w = context;
    el_layer_trace *t = &w->traces[member];
    float *mid = stream_mid(w, 0, sequence), *input = w->outputs[member];
    size_t bytes = (size_t)w->length * w->shape->dim * sizeof(float);
    memcpy(t->h, mid, bytes);
    el_layer_feed(w->shape, &w->source_weights, w->length, t);
    el_layer_down(w->shape, &w->source_weights, w->length, t, input);
    memcpy(mid, input, bytes);
}

/* ---- training --------------------------------------------------------------------------- */

/*
 * How far y is from the target: the mean over tokens of log(1 + r), r the squared error relative to
 * the target. The logarithm keeps a token that ours takes for a sink by mistake, with an r in the
 * thousands, from deciding alone. With dy, the gradient times the number of tokens.
 */
static double compare(const el_layerwise *w, const float *y, const float *target, float *dy)
{
    uint32_t dim = w->shape->dim;
    double total = 0;
    for (uint32_t t = 0; t < w->length; t++, y += dim, target += dim) {
        double size = 1e-12, error = 0;
        for (uint32_t i = 0; i < dim; i++) {
            double d = (double)y[i] - target[i];
            size += (double)target[i] * target[i];
            error += d * d;
        }
        total += log1p(error / size);
        if (!dy) continue;
        float weight = (float)(2.0 / (size + error));
        for (uint32_t i = 0; i < dim; i++)
            dy[i] = (y[i] - target[i]) * weight;
        dy += dim;
    }
    return total / w->length;
}

typedef struct training {
    el_layerwise *w;
    uint32_t *order; /* (sequences) */
    uint32_t first, step, steps;
    el_latent_rates rates;
    uint32_t bands[EL_PARTS + 1]; /* pieces before those of a part */
} training;

static void gradient_piece(void *context, uint32_t slot, unsigned member)
{
    const training *tr = context;
    el_layerwise *w = tr->w;
    uint32_t sequence = tr->order[(tr->first + slot) % w->sequences];
    const el_layer_floats *g = &w->grads[slot];
    const float *x = stream_in(w, 1, sequence);
    float *y = w->outputs[member];
    for (int p = 0; p < EL_PARTS; p++) {
        const el_latent *l = &w->latents[p];
        memset(g->part[p], 0, (size_t)l->rows * l->cols * sizeof(float));
    }
    el_layer_forward(w->shape, &w->weights, x, w->length, &w->traces[member], y);
    w->losses[slot] = compare(w, y, stream_mid(w, 0, sequence), y);
    el_layer_backward(w->shape, &w->weights, x, w->length, &w->traces[member], y, y, g);
}

static void update_piece(void *context, uint32_t piece, unsigned member)
{
    const training *tr = context;
    el_layerwise *w = tr->w;
    int part = 0;
    (void)member;
    while (piece >= tr->bands[part + 1])
        part++;
    const el_latent *l = &w->latents[part];
    uint32_t first = (piece - tr->bands[part]) * BAND, left = l->rows - first;
    uint32_t count = left < BAND ? left : BAND;
    size_t at = (size_t)first * l->cols, n = (size_t)count * l->cols;
    for (uint32_t b = 1; b < w->recipe->batch; b++)
        cblas_saxpy((int)n, 1.0f, w->grads[b].part[part] + at, 1, w->grads[0].part[part] + at, 1);
    el_latent_step(l, &w->adam[part], &tr->rates, first, count, w->grads[0].part[part] + at);
    el_latent_weights(l, first, count, w->ours[part] + at);
}

/* Memory of Adam for the latents at hand, and an order of the sequences. */
static void training_layout(training *tr, el_arena *arena)
{
    el_layerwise *w = tr->w;
    tr->order = el_arena_take(arena, w->sequences, sizeof *tr->order);
    for (int p = 0; p < EL_PARTS; p++) {
        w->adam[p] = el_latent_moments_layout(arena, &w->latents[p]);
        tr->bands[p + 1] = tr->bands[p] + (w->latents[p].rows + BAND - 1) / BAND;
    }
}

static edgellm_status train(el_layerwise *w, edgellm_error *err)
{
    uint32_t size = w->recipe->batch, per_epoch = w->sequences / size;
    if (per_epoch == 0) return EDGELLM_OK;
    training tr = {.w = w, .steps = per_epoch * w->recipe->epochs};
    el_arena arena = el_arena_measure();
    training_layout(&tr, &arena);
    EL_TRY(el_arena_reserve(&arena, arena.used, err));
    training_layout(&tr, &arena);
    for (tr.step = 0; tr.step < tr.steps; tr.step++) {
        if (tr.step % per_epoch == 0) el_shuffle(tr.order, w->sequences, tr.step + 1);
        tr.first = tr.step % per_epoch * size;
        tr.rates = el_latent_rates_at(w->recipe->rate_u, w->recipe->rate_scale,
                                      el_latent_fade(tr.step, tr.steps), tr.step);
        el_pieces_run(w->crew, size, gradient_piece, &tr);
        el_pieces_run(w->crew, tr.bands[EL_PARTS], update_piece, &tr);
    }
    el_arena_release(&arena);
    return EDGELLM_OK;
}

/* ---- the layer -------------------------------------------------------------------------- */

/* What ours makes of a sequence, into ours_mid; with its error. */
static void finish_piece(void *context, uint32_t sequence, unsigned member)
{
    el_layerwise *w = context;
    float *out = stream_mid(w, 1, sequence);
    el_layer_forward(w->shape, &w->weights, stream_in(w, 1, sequence), w->length,
                     &w->traces[member], out);
}

static double output_error(el_layerwise *w)
{
    double sum = 0;
    el_pieces_run(w->crew, w->sequences, finish_piece, w);
    for (uint32_t i = 0; i < w->sequences; i++)
        sum += compare(w, stream_mid(w, 1, i), stream_mid(w, 0, i), NULL);
    return sum / w->sequences;
}

static void move_on(float **in, float **mid)
{
    float *swap = *in;
    *in = *mid;
    *mid = swap;
}

static void set_weights(el_layerwise *w)
{
    for (int p = 0; p < EL_PARTS; p++) {
        w->source_weights.part[p] = w->source.part[p];
        w->weights.part[p] = w->ours[p];
    }
    for (int i = 0; i < EL_NORMS; i++)
        w->source_weights.norm[i] = w->weights.norm[i] = w->source.norm[i];
}

static void pass_piece(void *context, uint32_t piece, unsigned member)
{
    el_layerwise *w = context;
    int stream = (int)(piece % 2);
    el_layer_forward(w->shape, weights_of(w, stream), stream_in(w, stream, piece / 2), w->length,
                     &w->traces[member], stream_mid(w, stream, piece / 2));
}

void el_layerwise_pass(el_layerwise *w)
{
    set_weights(w);
    for (int p = 0; p < EL_PARTS; p++)
        el_latent_weights(&w->latents[p], 0, w->latents[p].rows, w->ours[p]);
    el_pieces_run(w->crew, w->sequences * 2, pass_piece, w);
    move_on(&w->source_in, &w->source_mid);
    move_on(&w->ours_in, &w->ours_mid);
}

edgellm_status el_layerwise_run(el_layerwise *w, el_layer_report *report, edgellm_error *err)
{
    set_weights(w);
    EL_TRY(round_stage(w, &stages[0], err));
    EL_TRY(round_stage(w, &stages[1], err));
    el_pieces_run(w->crew, w->sequences * 2, leave_attention, w);
    EL_TRY(round_stage(w, &stages[2], err));
    EL_TRY(round_stage(w, &stages[3], err));
    el_pieces_run(w->crew, w->sequences, leave_source, w);
    report->rounded = output_error(w);
    report->trained = report->rounded;
    if (w->recipe->epochs) {
        EL_TRY(train(w, err));
        report->trained = output_error(w);
    }
    move_on(&w->source_in, &w->source_mid);
    move_on(&w->ours_in, &w->ours_mid);
    return EDGELLM_OK;
}
