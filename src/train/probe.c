/*
 * probe.c: layer by layer. The calibration text goes through the source's layer and leaves its
 * second moments; the layer's parts are rounded; and one model for each part, changed there alone,
 * runs from the layer's input to the head, all side by side.
 */
#include "train/probe.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "train/gptq.h"

enum {
    BAND = EL_GPTQ_BAND,
    STRIDE = 2
}; /* rows of a piece; of so many tokens, the head sees one */

/* ---- memory ----------------------------------------------------------------------------- */

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t bands_of(uint32_t rows)
{
    return (rows + BAND - 1) / BAND;
}

static size_t widest_latent(const el_probe_forms *f, uint32_t cols)
{
    size_t most = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        el_arena a = el_arena_measure();
        el_latent_layout(&a, BAND, cols, f->forms[i].codec, f->forms[i].group);
        most = a.used > most ? a.used : most;
    }
    return most;
}

/* A member's scratch: four times (BAND, widest) floats, then a latent of a band. */
static void layout_scratch(el_probe *p, el_arena *a)
{
    const el_config *c = &p->source->config;
    size_t parts = widest_latent(&p->parts, p->widest), tables = widest_latent(&p->tables, c->dim);
    uint32_t rows = larger(p->widest, c->vocab);
    p->latent_bytes = parts > tables ? parts : tables;
    p->scratch_bytes = 4 * (size_t)BAND * p->widest * sizeof(float) + p->latent_bytes;
    p->scratch_bytes = (p->scratch_bytes + EL_ALIGN - 1) / EL_ALIGN * EL_ALIGN;
    p->scratch = el_arena_take(a, p->members, p->scratch_bytes);
    p->errors = el_arena_take(a, (size_t)bands_of(rows) * larger(p->parts.count, p->tables.count),
                              sizeof *p->errors);
}

void el_probe_layout(el_probe *p, el_arena *a)
{
    const el_layer_shape *s = p->shape;
    const el_config *c = &p->source->config;
    size_t tokens = (size_t)p->segments * p->span;
    p->moments = (el_moments){.shape = s,
                              .crew = p->crew,
                              .members = p->members,
                              .sequences = p->sequences,
                              .length = p->length};
    p->divergence = (el_divergence){.source = p->source,
                                    .crew = p->crew,
                                    .members = p->members,
                                    .positions = p->segments * (p->span / STRIDE),
                                    .most = EL_PARTS};
    p->widest = larger(larger(s->dim, s->ffn_dim), s->heads * s->head_dim);
    p->damage = el_arena_take(a, (size_t)c->layers * EL_PARTS, p->parts.count * sizeof(double));
    p->table_damage =
        el_arena_take(a, el_student_tables(p->source), p->tables.count * sizeof(double));
    el_moments_layout(&p->moments, a);
    el_divergence_layout(&p->divergence, a);
    p->layer = el_layer_floats_layout(a, s);
    p->later = el_layer_floats_layout(a, s);
    p->last_norm = el_arena_take(a, s->dim, sizeof(float));
    for (int i = 0; i < EL_PARTS; i++)
        p->rounded[i] = el_arena_take(a, el_part_rows(s, i), el_part_cols(s, i) * sizeof(float));
    p->streams = el_arena_take(a, EL_PARTS * tokens, s->dim * sizeof(float));
    p->factor = el_arena_take(a, p->widest, p->widest * sizeof(float));
    p->importance = el_arena_take(a, p->widest, sizeof(float));
    layout_scratch(p, a);
}

/* ---- results ---------------------------------------------------------------------------- */

static bool is_table(const el_probe *p, uint32_t matrix)
{
    return matrix < el_student_tables(p->source);
}

const el_probe_forms *el_probe_forms_of(const el_probe *p, uint32_t matrix)
{
    return is_table(p, matrix) ? &p->tables : &p->parts;
}

double *el_probe_damage_of(const el_probe *p, uint32_t matrix)
{
    if (is_table(p, matrix)) return p->table_damage + (size_t)matrix * p->tables.count;
    return p->damage + (size_t)(matrix - el_student_tables(p->source)) * p->parts.count;
}

/* ---- progress --------------------------------------------------------------------------- */

static uint32_t steps_of(const el_probe *p)
{
    uint32_t layers = p->source->config.layers, tables = el_student_tables(p->source);
    uint32_t inputs = el_source_pieces(p->source); /* those that the first layer sees */
    return layers + layers * (layers + 1) / 2 + inputs * layers + tables;
}

static edgellm_status tick(el_probe *p, edgellm_error *err)
{
    p->done++;
    if (!p->progress || p->progress(p->progress_context, p->done, p->total)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
}

/* ---- rounding --------------------------------------------------------------------------- */

/* A matrix and its forms. Those of a layer are held as floats, tables are read row by row. */
typedef struct rounding {
    el_probe *p;
    const el_probe_forms *forms;
    el_gptq gptq;
    const float *h;
    const el_gguf_tensor *tensor;
    const float *w; /* (rows, cols), or NULL: read from the tensor, rows `begin` and up */
    uint32_t begin, rows, cols;
    float *rounded; /* (rows, cols) receives the probed form; or NULL */
    bool inputs;    /* rows of the probed form replace the tokens' in model 0 */
} rounding;

typedef struct band {
    float *w, *rounded, *product, *lost; /* (BAND, cols) */
    uint8_t *latent;
} band;

static band band_of(const rounding *r, unsigned member)
{
    size_t n = (size_t)BAND * r->p->widest;
    uint8_t *scratch = r->p->scratch + member * r->p->scratch_bytes;
    float *w = (float *)(void *)scratch;
    return (band){w, w + n, w + 2 * n, w + 3 * n, scratch + 4 * n * sizeof *w};
}

static void read_rows(const rounding *r, uint32_t first, uint32_t count, float *w)
{
    size_t n = (size_t)count * r->cols;
    if (r->w)
        memcpy(w, r->w + (size_t)first * r->cols, n * sizeof *w);
    else
        el_source_rows(r->tensor, r->begin + first, count, w);
}

/* Rows first .. first + count - 1 in a form, (count, cols). */
static void round_rows(const rounding *r, const el_form *form, uint32_t first, uint32_t count,
                       const band *b, float *out)
{
    el_arena a = el_arena_borrow(b->latent, r->p->latent_bytes);
    el_latent l = el_latent_layout(&a, count, r->cols, form->codec, form->group);
    l.rotated = form->rotated;
    l.kept = form->kept;
    read_rows(r, first, count, b->w);
    el_gptq_rows(&r->gptq, &l, 0, count, b->w, b->lost);
    el_latent_weights(&l, 0, count, out);
}

/* Sum over rows of (w - rounded) H (w - rounded)'. */
static double error_of(const rounding *r, uint32_t first, uint32_t count, const band *b)
{
    size_t n = (size_t)count * r->cols;
    double sum = 0;
    read_rows(r, first, count, b->w);
    cblas_saxpy((int)n, -1.0f, b->rounded, 1, b->w, 1);
    el_linear(b->w, r->h, count, r->cols, r->cols, false, b->product);
    for (size_t i = 0; i < n; i += r->cols)
        sum += cblas_sdot((int)r->cols, b->w + i, 1, b->product + i, 1);
    return sum;
}

static uint32_t token_at(const el_probe *p, uint32_t segment, uint32_t at)
{
    size_t sequence = (size_t)segment * p->sequences / p->segments;
    return p->tokens[sequence * p->length + at];
}

static float *stream_of(const el_probe *p, uint32_t model, uint32_t segment)
{
    size_t n = (size_t)p->span * p->shape->dim;
    return p->streams + ((size_t)model * p->segments + segment) * n;
}

/* Tokens of the segments that are among the rows. */
static void replace_inputs(const rounding *r, uint32_t first, uint32_t count, const float *rows)
{
    const el_probe *p = r->p;
    for (uint32_t i = 0; i < p->segments * p->span; i++) {
        uint32_t row = token_at(p, i / p->span, i % p->span) - r->begin; /* wraps below begin */
        if (row < first || row - first >= count) continue;
        float *x = p->streams + (size_t)i * r->cols;
        memcpy(x, rows + (size_t)(row - first) * r->cols, r->cols * sizeof *rows);
        el_source_scale(p->source, x);
    }
}

static void round_piece(void *context, uint32_t piece, unsigned member)
{
    const rounding *r = context;
    uint32_t bands = bands_of(r->rows), form = piece / bands, first = piece % bands * BAND;
    uint32_t left = r->rows - first, count = left < BAND ? left : BAND;
    const band b = band_of(r, member);
    round_rows(r, &r->forms->forms[form], first, count, &b, b.rounded);
    r->p->errors[piece] = error_of(r, first, count, &b);
    if (form != r->forms->probed) return;
    if (r->inputs) replace_inputs(r, first, count, b.rounded);
    if (!r->rounded) return;
    size_t n = (size_t)count * r->cols;
    memcpy(r->rounded + (size_t)first * r->cols, b.rounded, n * sizeof(float));
}

/* Errors of all forms, relative to that of the probed one. */
static edgellm_status round_forms(rounding *r, double *damage, edgellm_error *err)
{
    uint32_t bands = bands_of(r->rows);
    el_pieces_run(r->p->crew, bands * r->forms->count, round_piece, r);
    for (uint32_t f = 0; f < r->forms->count; f++) {
        damage[f] = 0;
        for (uint32_t i = 0; i < bands; i++)
            damage[f] += r->p->errors[(size_t)f * bands + i];
        if (isfinite(damage[f])) continue;
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' cannot be rounded: it has weights that are not finite numbers, "
                       "or its inputs overflow",
                       r->tensor->name);
    }
    double whole = damage[r->forms->probed];
    for (uint32_t f = 0; f < r->forms->count; f++)
        damage[f] = whole > 0 ? damage[f] / whole : 0;
    return EDGELLM_OK;
}

static edgellm_status prepare(rounding *r, edgellm_error *err)
{
    return el_gptq_prepare(r->h, r->cols, r->forms->forms[r->forms->probed].rotated,
                           r->forms->damping, r->p->factor, r->p->importance, &r->gptq, err);
}

static double *damage_of(const el_probe *p, uint32_t layer, int part)
{
    return el_probe_damage_of(p, el_student_tables(p->source) + layer * EL_PARTS + (uint32_t)part);
}

static edgellm_status round_layer(el_probe *p, uint32_t layer, edgellm_error *err)
{
    rounding r = {.p = p, .forms = &p->parts};
    for (int i = 0; i < EL_PARTS; i++) {
        bool fresh = i == 0 || el_stage_of(i) != el_stage_of(i - 1);
        r.h = p->moments.of[el_stage_of(i)];
        r.tensor = el_source_part(p->source, layer, i);
        r.w = p->layer.part[i];
        r.rows = el_part_rows(p->shape, i);
        r.cols = el_part_cols(p->shape, i);
        r.rounded = p->rounded[i];
        if (fresh) EL_TRY(prepare(&r, err));
        EL_TRY(round_forms(&r, damage_of(p, layer, i), err));
    }
    return EDGELLM_OK;
}

/* ---- streams ---------------------------------------------------------------------------- */

static el_layer_weights weights_of(const el_probe *p, uint32_t layer, const el_layer_floats *l)
{
    el_layer_weights w;
    el_source_fixed(p->source, layer, &w);
    for (int i = 0; i < EL_PARTS; i++)
        w.part[i] = l->part[i];
    for (int i = 0; i < EL_NORMS; i++)
        w.norm[i] = l->norm[i];
    return w;
}

static void embed(const el_probe *p, const uint32_t *tokens, uint32_t n, float *x)
{
    for (uint32_t i = 0; i < n; i++)
        el_source_embed(p->source, tokens[i], x + (size_t)i * p->shape->dim);
}

static void embed_piece(void *context, uint32_t sequence, unsigned member)
{
    const el_probe *p = context;
    size_t at = (size_t)sequence * p->length;
    (void)member;
    embed(p, p->tokens + at, p->length, p->moments.stream + at * p->shape->dim);
}

/* The segments of the text, as the first layer sees them, become those of model 0. */
static void enter_text(const el_probe *p)
{
    for (uint32_t i = 0; i < p->segments; i++) {
        size_t sequence = (size_t)i * p->sequences / p->segments;
        embed(p, p->tokens + sequence * p->length, p->span, stream_of(p, 0, i));
    }
}

/* The segments of the calibration stream become those of the first `models` models. */
static void enter(const el_probe *p, uint32_t models)
{
    size_t n = (size_t)p->span * p->shape->dim, row = (size_t)p->length * p->shape->dim;
    for (uint32_t i = 0; i < models * p->segments; i++) {
        size_t sequence = (size_t)(i % p->segments) * p->sequences / p->segments;
        memcpy(p->streams + i * n, p->moments.stream + sequence * row, n * sizeof(float));
    }
}

/* One segment of one model through a layer. The layer reads its input before it writes there. */
static void step(const el_probe *p, const el_layer_weights *w, float *x, unsigned member)
{
    el_layer_forward(p->shape, w, x, p->span, &p->moments.traces[member], x);
}

/* Through the layer where each model is changed at one part. */
static void change_piece(void *context, uint32_t piece, unsigned member)
{
    const el_probe *p = context;
    uint32_t model = piece / p->segments;
    el_layer_weights w = weights_of(p, p->layer_at, &p->layer);
    w.part[model] = p->rounded[model];
    step(p, &w, stream_of(p, model, piece % p->segments), member);
}

static void later_piece(void *context, uint32_t piece, unsigned member)
{
    const el_probe *p = context;
    const el_layer_weights w = weights_of(p, p->later_at, &p->later);
    step(p, &w, stream_of(p, piece / p->segments, piece % p->segments), member);
}

/* From the input of a layer to the end. */
static edgellm_status run_layers(el_probe *p, uint32_t first, uint32_t models, edgellm_error *err)
{
    for (uint32_t i = first; i < p->source->config.layers; i++) {
        EL_TRY(el_source_load_layer(p->source, i, &p->later, err));
        p->later_at = i;
        el_pieces_run(p->crew, models * p->segments, later_piece, p);
        EL_TRY(tick(p, err));
    }
    return EDGELLM_OK;
}

/* What the head sees of the first `models` models, (models, positions, dim). */
static void leave(const el_probe *p, uint32_t models, float *to)
{
    uint32_t dim = p->shape->dim, per_segment = p->span / STRIDE;
    for (uint32_t i = 0; i < models * p->segments * per_segment; i++) {
        uint32_t segment = i / per_segment, token = i % per_segment * STRIDE + STRIDE - 1;
        size_t at = (size_t)segment * p->span + token;
        el_rms_norm(p->streams + at * dim, p->last_norm, 1, dim, p->shape->eps,
                    to + (size_t)i * dim);
    }
}

/* ---- probes ----------------------------------------------------------------------------- */

static void scale_damage(double *damage, uint32_t count, double nats)
{
    for (uint32_t f = 0; f < count; f++)
        damage[f] *= nats;
}

/* Moves the calibration stream on. */
static edgellm_status probe_layer(el_probe *p, uint32_t layer, edgellm_error *err)
{
    double nats[EL_PARTS];
    EL_TRY(el_source_load_layer(p->source, layer, &p->layer, err));
    p->layer_at = layer;
    const el_layer_weights w = weights_of(p, layer, &p->layer);
    enter(p, EL_PARTS);
    el_moments_layer(&p->moments, &w);
    EL_TRY(round_layer(p, layer, err));
    el_pieces_run(p->crew, EL_PARTS * p->segments, change_piece, p);
    EL_TRY(tick(p, err));
    EL_TRY(run_layers(p, layer + 1, EL_PARTS, err));
    leave(p, EL_PARTS, p->divergence.ours);
    el_divergence_run(&p->divergence, EL_PARTS, NULL, NULL, nats);
    for (int i = 0; i < EL_PARTS; i++)
        scale_damage(damage_of(p, layer, i), p->parts.count, nats[i]);
    return EDGELLM_OK;
}

/* Rows of the head that are in the probed form, rounded anew: cheaper than to hold them. */
static void head_rows(void *context, uint32_t first, uint32_t count, unsigned member, float *rows)
{
    const rounding *r = context;
    const band b = band_of(r, member);
    uint32_t begin = larger(first, r->begin), end = first + count;
    if (end > r->begin + r->rows) end = r->begin + r->rows;
    for (uint32_t i = begin; i < end; i += BAND) {
        uint32_t n = end - i < BAND ? end - i : BAND;
        float *to = rows + (size_t)(i - first) * r->cols;
        round_rows(r, &r->forms->forms[r->forms->probed], i - r->begin, n, &b, to);
    }
}

static void set_identity(float *h, uint32_t cols)
{
    memset(h, 0, (size_t)cols * cols * sizeof *h);
    for (uint32_t i = 0; i < cols; i++)
        h[(size_t)i * cols + i] = 1.0f;
}

/* One piece of the embedding, which may be the head too, or of a head of its own. */
static edgellm_status probe_piece(el_probe *p, uint32_t index, bool head, edgellm_error *err)
{
    const el_extent e = el_student_extent(p->source, index);
    double nats, *damage = el_probe_damage_of(p, index);
    rounding r = {.p = p,
                  .forms = &p->tables,
                  .h = p->moments.of[0],
                  .tensor = e.tensor,
                  .begin = e.first,
                  .rows = e.rows,
                  .cols = e.tensor->cols,
                  .inputs = e.tensor == p->source->embedding};
    EL_TRY(prepare(&r, err));
    enter_text(p);
    EL_TRY(round_forms(&r, damage, err));
    EL_TRY(tick(p, err));
    if (r.inputs) {
        EL_TRY(run_layers(p, 0, 1, err));
        leave(p, 1, p->divergence.ours);
    } else {
        size_t n = (size_t)p->divergence.positions * r.cols;
        memcpy(p->divergence.ours, p->divergence.theirs, n * sizeof(float));
    }
    el_divergence_run(&p->divergence, 1, head ? head_rows : NULL, &r, &nats);
    scale_damage(damage, p->tables.count, nats);
    return EDGELLM_OK;
}

/* A table that is only looked up has no inputs: all columns count alike. */
static edgellm_status probe_tables(el_probe *p, edgellm_error *err)
{
    bool tied = p->source->head == p->source->embedding;
    uint32_t tables = el_student_tables(p->source);
    el_moments_last(&p->moments, p->last_norm);
    for (uint32_t i = tables; i-- > 0;) { /* a head of its own first: it needs the moments */
        bool head = tied || i >= tables / 2;
        if (!head) set_identity(p->moments.of[0], p->shape->dim);
        EL_TRY(probe_piece(p, i, head, err));
    }
    return EDGELLM_OK;
}

edgellm_status el_probe_run(el_probe *p, edgellm_error *err)
{
    p->done = 0;
    p->total = steps_of(p);
    EL_TRY(el_source_load(p->source->output_norm, p->last_norm, err));
    el_pieces_run(p->crew, p->sequences, embed_piece, p);
    enter_text(p);
    EL_TRY(run_layers(p, 0, 1, err));
    leave(p, 1, p->divergence.theirs);
    for (uint32_t i = 0; i < p->source->config.layers; i++)
        EL_TRY(probe_layer(p, i, err));
    return probe_tables(p, err);
}
