/*
 * test_probe.c: damages of matrices, against the same found the long way: moments in double, whole
 * matrices (or pieces of tables) rounded at once, whole models run to whole rows of logits. Threads
 * change nothing, and the work can be stopped at every step.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "support/float_model.h"
#include "support/naive.h"
#include "train/gptq.h"
#include "train/probe.h"

#define SOURCE EL_TEST_OUT "/probe.gguf"

enum {
    LAYERS = 3,
    DIM = 64,
    SEQUENCES = 9,
    LENGTH = 40,
    SEGMENTS = 4,
    SPAN = 27,
    LAST = LAYERS - 1,
    CUT = 100 /* no whole number of bands */
};
enum { PART_FORMS = 5, TABLE_FORMS = 4 };

static const el_form part_forms[PART_FORMS] = {{.codec = EL_CODEC_S2, .group = 64},
                                               {.codec = EL_CODEC_O2, .group = 32},
                                               {.codec = EL_CODEC_S3, .group = 64},
                                               {.codec = EL_CODEC_S4},
                                               {EL_CODEC_I8, 32, .kept = true}};
static const el_form table_forms[TABLE_FORMS] = {{.codec = EL_CODEC_S2, .group = 64},
                                                 {.codec = EL_CODEC_S3},
                                                 {.codec = EL_CODEC_S4, .group = 32},
                                                 {EL_CODEC_I8, 32, .kept = true}};
static const el_form rotated_part_forms[PART_FORMS] = {{EL_CODEC_S2, 128, .rotated = true},
                                                       {EL_CODEC_O2, 32, .rotated = true},
                                                       {EL_CODEC_S3, 64, .rotated = true},
                                                       {EL_CODEC_S4, 0, .rotated = true},
                                                       {EL_CODEC_I8, 32, .kept = true}};
static const el_form rotated_table_forms[TABLE_FORMS] = {{EL_CODEC_S2, 64, .rotated = true},
                                                         {EL_CODEC_S3, 0, .rotated = true},
                                                         {EL_CODEC_S4, 32, .rotated = true},
                                                         {EL_CODEC_I8, 32, .kept = true}};

/* What is probed. */
typedef struct kind {
    bool separate_head;
    uint32_t cut;
    bool rotated;
    const char *architecture;
} kind;

static const kind tied = {false, 0, false, NULL}, apart = {true, 0, false, NULL};
static const kind tied_pieces = {false, CUT, true, NULL}, apart_pieces = {true, CUT, true, NULL};
/* Rows of the embedding are scaled, what is added is normed, windows and caps. */
static const kind gemma = {false, 0, false, "gemma2"};

typedef struct fixture {
    kind kind;
    el_source source;
    float_model model;
    uint32_t tokens[SEQUENCES * LENGTH];
    el_arena arena, crews;
    el_crew *crew;
    el_probe probe;
    uint32_t calls, stop_at; /* of progress; 0: never */
} fixture;

/* ---- set-up ------------------------------------------------------------------------------ */

static bool count_call(void *context, uint32_t done, uint32_t total)
{
    fixture *f = context;
    assert_int_equal(done, ++f->calls);
    assert_true(done <= total);
    return done != f->stop_at;
}

static void open_source(fixture *f, kind k)
{
    edgellm_error err;
    el_tiny_spec spec = el_tiny_defaults();
    el_random r = {7};
    spec.layers = LAYERS;
    spec.dim = DIM;
    spec.ffn_dim = 192;
    spec.heads = 4;
    spec.kv_heads = 1;
    spec.separate_head = k.separate_head;
    spec.architecture = k.architecture;
    assert_true(el_tiny_write(&spec, SOURCE));
    assert_ok(el_source_open(&f->source, SOURCE, &err));
    f->kind = k;
    f->source.cuts[0] = k.cut;
    assert_ok(float_model_open(&f->model, &f->source, LENGTH, &err));
    for (int i = 0; i < SEQUENCES * LENGTH; i++)
        f->tokens[i] = el_random_below(&r, EL_TINY_VOCAB);
}

static void layout(fixture *f, el_arena *arena)
{
    el_probe_layout(&f->probe, arena);
}

static void open_probe(fixture *f, unsigned threads)
{
    edgellm_error err;
    el_arena crews = el_arena_measure(), arena = el_arena_measure();
    el_crew_layout(&crews);
    f->crews = crews;
    assert_ok(el_arena_reserve(&f->crews, crews.used, &err));
    f->crew = el_crew_layout(&f->crews);
    assert_ok(el_crew_start(f->crew, threads, &err));
    f->probe = (el_probe){.source = &f->source,
                          .shape = &f->model.shape,
                          .crew = f->crew,
                          .members = threads,
                          .tokens = f->tokens,
                          .sequences = SEQUENCES,
                          .length = LENGTH,
                          .segments = SEGMENTS,
                          .span = SPAN,
                          .parts = {part_forms, PART_FORMS, 0, 0.01f},
                          .tables = {table_forms, TABLE_FORMS, 0, 0.03f},
                          .progress = count_call,
                          .progress_context = f};
    if (f->kind.rotated) {
        f->probe.parts.forms = rotated_part_forms;
        f->probe.tables.forms = rotated_table_forms;
        f->probe.parts.probed = f->probe.tables.probed = 1; /* any of them will do */
    }
    layout(f, &arena);
    f->arena = arena;
    assert_ok(el_arena_reserve(&f->arena, arena.used, &err));
    layout(f, &f->arena);
    f->calls = f->stop_at = 0;
}

static void close_probe(fixture *f)
{
    el_crew_stop(f->crew);
    el_arena_release(&f->crews);
    el_arena_release(&f->arena);
}

static void close_source(fixture *f)
{
    float_model_close(&f->model);
    el_source_close(&f->source);
}

/* Opens, runs with one thread. */
static fixture *run_probe(kind k)
{
    edgellm_error err;
    fixture *f = naive_zeroes(1, sizeof *f);
    open_source(f, k);
    open_probe(f, 1);
    assert_ok(el_probe_run(&f->probe, &err));
    assert_int_equal(f->calls, f->probe.total);
    return f;
}

static void end(fixture *f)
{
    close_probe(f);
    close_source(f);
    free(f);
}

/* ---- the long way ------------------------------------------------------------------------ */

/* A model that differs from the source in one matrix, or in none. */
typedef struct changed {
    int part;           /* of the last layer; -1: none */
    const float *w;     /* its weights */
    const float *input; /* (vocab, dim) instead of the embedding; may be NULL */
    const float *head;  /* instead of the head; may be NULL */
} changed;

static const changed unchanged = {-1, NULL, NULL, NULL};

static void hidden_of(const fixture *f, const changed *c, uint32_t sequence, float *x)
{
    edgellm_error err;
    const uint32_t *tokens = f->tokens + (size_t)sequence * LENGTH;
    const el_layer_floats *layer = &f->model.layer;
    el_layer_trace t = f->model.trace;
    float_model_embed(&f->model, tokens, x);
    for (int i = 0; i < LENGTH && c->input; i++) {
        memcpy(x + (size_t)i * DIM, c->input + (size_t)tokens[i] * DIM, DIM * sizeof *x);
        el_source_scale(&f->source, x + (size_t)i * DIM);
    }
    for (uint32_t l = 0; l < LAYERS; l++) {
        el_layer_weights w = {0};
        el_source_fixed(&f->source, l, &w);
        assert_ok(el_source_load_layer(&f->source, l, layer, &err));
        for (int p = 0; p < EL_PARTS; p++)
            w.part[p] = l == LAST && p == c->part ? c->w : layer->part[p];
        for (int i = 0; i < EL_NORMS; i++)
            w.norm[i] = layer->norm[i];
        el_layer_forward(&f->model.shape, &w, x, LENGTH, &t, x);
    }
    assert_ok(el_source_load(f->source.output_norm, layer->norm[0], &err));
    el_rms_norm(x, layer->norm[0], LENGTH, DIM, f->model.shape.eps, x);
}

static void logits_of(const fixture *f, const changed *c, uint32_t sequence, float *logits)
{
    float *x = naive_zeroes(LENGTH * DIM, sizeof *x);
    hidden_of(f, c, sequence, x);
    if (c->head) {
        el_linear(x, c->head, LENGTH, EL_TINY_VOCAB, DIM, false, logits);
        el_source_cap(&f->source, logits, LENGTH * EL_TINY_VOCAB);
    } else {
        float_model_logits(&f->model, x, logits);
    }
    free(x);
}

/* Every second token of the segments counts. */
static double nats_of(const fixture *f, const changed *c)
{
    const size_t n = (size_t)LENGTH * EL_TINY_VOCAB;
    float *theirs = naive_zeroes(n, sizeof *theirs), *ours = naive_zeroes(n, sizeof *ours);
    double sum = 0;
    int count = 0;
    for (uint32_t s = 0; s < SEGMENTS; s++) {
        logits_of(f, &unchanged, s * SEQUENCES / SEGMENTS, theirs);
        logits_of(f, c, s * SEQUENCES / SEGMENTS, ours);
        for (size_t i = 1; i < SPAN; i += 2, count++)
            sum += naive_divergence(ours + i * EL_TINY_VOCAB, theirs + i * EL_TINY_VOCAB,
                                    EL_TINY_VOCAB);
    }
    free(theirs);
    free(ours);
    return sum / count;
}

static double mean_square(const float *x)
{
    double sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += (double)x[i] * x[i] / DIM;
    return sum;
}

/* Adds x x' of some tokens, each divided by the root mean square of `stream` (dim) if given, and of
 * `normed` likewise. */
static void add_moments(double *h, const float *x, uint32_t cols, const float *stream,
                        const float *normed)
{
    for (int t = 0; t < LENGTH; t++, x += cols) {
        const double size = (stream ? mean_square(stream + (size_t)t * DIM) : 1) *
                            (normed ? mean_square(normed + (size_t)t * DIM) : 1);
        for (uint32_t i = 0; i < cols; i++) {
            for (uint32_t j = 0; j < cols; j++)
                h[(size_t)i * cols + j] += (double)x[i] * x[j] / size / (SEQUENCES * LENGTH);
        }
    }
}

/* Moments of what enters a part of the last layer. */
static double *moments_of(const fixture *f, int part)
{
    edgellm_error err;
    uint32_t cols = el_part_cols(&f->model.shape, part);
    double *h = naive_zeroes((size_t)cols * cols, sizeof *h);
    float *x = naive_zeroes(LENGTH * DIM, sizeof *x), *y = naive_zeroes(LENGTH * DIM, sizeof *y);
    el_layer_trace t = f->model.trace;
    el_layer_weights w = {0};
    const bool normed = f->model.shape.post_norms;
    for (int p = 0; p < EL_PARTS; p++)
        w.part[p] = f->model.layer.part[p];
    for (int i = 0; i < EL_NORMS; i++)
        w.norm[i] = f->model.layer.norm[i];
    const float *const inputs[EL_PARTS] = {t.x1, t.x1, t.x1, t.o, t.x2, t.x2, t.act};
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        float_model_embed(&f->model, f->tokens + (size_t)s * LENGTH, x);
        for (uint32_t l = 0; l < LAYERS; l++) {
            assert_ok(el_source_load_layer(&f->source, l, &f->model.layer, &err));
            el_source_fixed(&f->source, l, &w);
            el_layer_forward(&f->model.shape, &w, x, LENGTH, &t, l == LAST ? y : x);
        }
        if (part == EL_PART_O)
            add_moments(h, inputs[part], cols, x, normed ? t.mixed : NULL);
        else if (part == EL_PART_DOWN)
            add_moments(h, inputs[part], cols, t.h, normed ? t.fed : NULL);
        else
            add_moments(h, inputs[part], cols, NULL, NULL);
    }
    free(x);
    free(y);
    return h;
}

/* Moments of what the head sees. */
static double *last_moments(const fixture *f)
{
    double *h = naive_zeroes(DIM * DIM, sizeof *h);
    float *x = naive_zeroes(LENGTH * DIM, sizeof *x);
    for (uint32_t s = 0; s < SEQUENCES; s++) {
        hidden_of(f, &unchanged, s, x);
        add_moments(h, x, DIM, NULL, NULL);
    }
    free(x);
    return h;
}

static float *tensor_floats(const el_gguf_tensor *t)
{
    float *w = naive_zeroes((size_t)t->rows * t->cols, sizeof *w);
    el_source_rows(t, 0, t->rows, w);
    return w;
}

/* The rows of a tensor that are a matrix of the student. */
typedef struct extent {
    const el_gguf_tensor *tensor;
    uint32_t first, rows;
} extent;

/* The whole tensor, with these rows rounded at once. */
static float *round_whole(extent e, const double *h, const el_form *form, float damping)
{
    const el_gguf_tensor *t = e.tensor;
    edgellm_error err;
    el_gptq g;
    uint32_t cols = t->cols;
    size_t square = (size_t)cols * cols;
    float *plain = naive_zeroes(square, sizeof *plain),
          *factor = naive_zeroes(square, sizeof *factor);
    float *importance = naive_zeroes(cols, sizeof *importance), *w = tensor_floats(t);
    float *lost = naive_zeroes((size_t)e.rows * cols, sizeof *lost), *from = w + e.first * cols;
    el_arena a = el_arena_measure();
    for (size_t i = 0; i < square; i++)
        plain[i] = (float)h[i];
    assert_ok(el_gptq_prepare(plain, cols, form->rotated, damping, factor, importance, &g, &err));
    el_latent_layout(&a, e.rows, cols, form->codec, form->group);
    assert_ok(el_arena_reserve(&a, a.used, &err));
    el_latent l = el_latent_layout(&a, e.rows, cols, form->codec, form->group);
    l.rotated = form->rotated;
    l.kept = form->kept;
    el_gptq_rows(&g, &l, 0, e.rows, from, lost);
    el_latent_weights(&l, 0, e.rows, from);
    el_arena_release(&a);
    free(plain);
    free(factor);
    free(importance);
    free(lost);
    return w;
}

static double error_of(const el_gguf_tensor *t, const double *h, const float *rounded)
{
    float *w = tensor_floats(t);
    double sum = 0;
    for (uint32_t r = 0; r < t->rows; r++) {
        const float *a = w + (size_t)r * t->cols, *b = rounded + (size_t)r * t->cols;
        for (uint32_t i = 0; i < t->cols; i++) {
            for (uint32_t j = 0; j < t->cols; j++)
                sum += ((double)a[i] - b[i]) * h[(size_t)i * t->cols + j] * ((double)a[j] - b[j]);
        }
    }
    free(w);
    return sum;
}

static void assert_near(double got, double want, double tolerance, const char *what, uint32_t form)
{
    if (fabs(got - want) <= tolerance * want) return;
    fail_msg("%s, form %u: %g instead of %g", what, form, got, want);
}

/* All forms of one matrix; c says where the rounded one belongs. */
static void check_matrix(const fixture *f, uint32_t matrix, extent e, const double *h, changed c)
{
    const el_gguf_tensor *t = e.tensor;
    const el_probe_forms *forms = el_probe_forms_of(&f->probe, matrix);
    const double *damage = el_probe_damage_of(&f->probe, matrix);
    float *probed = round_whole(e, h, &forms->forms[forms->probed], forms->damping);
    changed with = {c.part, probed, c.input ? probed : NULL, c.head ? probed : NULL};
    double nats = nats_of(f, &with), whole = error_of(t, h, probed);
    free(probed);
    assert_true(nats > 1e-5);
    for (uint32_t k = 0; k < forms->count; k++) {
        float *w = round_whole(e, h, &forms->forms[k], forms->damping);
        assert_near(damage[k], nats * error_of(t, h, w) / whole, 0.02, t->name, k);
        free(w);
    }
}

/* ---- tests ------------------------------------------------------------------------------- */

static void check_parts(kind k, uint32_t tables)
{
    fixture *f = run_probe(k);
    for (int p = 0; p < EL_PARTS; p++) {
        double *h = moments_of(f, p);
        const el_gguf_tensor *t = el_source_part(&f->source, LAST, p);
        check_matrix(f, tables + LAST * EL_PARTS + (uint32_t)p, (extent){t, 0, t->rows}, h,
                     (changed){p, NULL, NULL, NULL});
        free(h);
    }
    end(f);
}

static void parts_cost_what_the_long_way_finds(void **state)
{
    (void)state;
    check_parts(tied, 1);
    check_parts(apart_pieces, 4);
    check_parts(gemma, 1);
}

/* A table: whole, or one piece and then the other. */
static void check_table(const fixture *f, uint32_t matrix, const el_gguf_tensor *t, const double *h,
                        changed c)
{
    uint32_t cut = f->kind.cut;
    check_matrix(f, matrix, (extent){t, 0, cut ? cut : t->rows}, h, c);
    if (cut) check_matrix(f, matrix + 1, (extent){t, cut, t->rows - cut}, h, c);
}

static const float replaced; /* any pointer but NULL */

static void check_tied(kind k)
{
    fixture *f = run_probe(k);
    double *h = last_moments(f);
    check_table(f, 0, f->source.embedding, h, (changed){-1, NULL, &replaced, &replaced});
    free(h);
    end(f);
}

static void a_tied_embedding_is_input_and_head(void **state)
{
    (void)state;
    check_tied(tied);
    check_tied(tied_pieces);
    check_tied(gemma);
}

static void check_apart(kind k)
{
    fixture *f = run_probe(k);
    double *h = last_moments(f), *identity = naive_zeroes(DIM * DIM, sizeof *identity);
    for (int i = 0; i < DIM; i++)
        identity[i * DIM + i] = 1;
    check_table(f, 0, f->source.embedding, identity, (changed){-1, NULL, &replaced, NULL});
    check_table(f, k.cut ? 2 : 1, f->source.head, h, (changed){-1, NULL, NULL, &replaced});
    free(h);
    free(identity);
    end(f);
}

static void a_head_of_its_own_is_not_the_input(void **state)
{
    (void)state;
    check_apart(apart);
    check_apart(apart_pieces);
}

/* Each layer's, not only the last one's: the finer the form, the less it costs. */
static void check_falling(kind of)
{
    fixture *f = run_probe(of);
    for (uint32_t i = 0; i < el_student_count(&f->source); i++) {
        const double *d = el_probe_damage_of(&f->probe, i);
        uint32_t n = el_probe_forms_of(&f->probe, i)->count;
        assert_true(d[0] > 1e-6 && d[0] < 10);
        for (uint32_t k = 1; k < n; k++)
            assert_true(d[k] > 0 && d[k] < d[k - 1]);
    }
    end(f);
}

static void finer_forms_cost_less(void **state)
{
    (void)state;
    check_falling(tied);
    check_falling(apart_pieces);
}

static void threads_change_nothing(void **state)
{
    fixture *f = run_probe(apart_pieces);
    uint32_t tables = 4 * TABLE_FORMS, parts = LAYERS * EL_PARTS * PART_FORMS;
    double kept[LAYERS * EL_PARTS * PART_FORMS + 4 * TABLE_FORMS];
    edgellm_error err;
    (void)state;
    memcpy(kept, f->probe.damage, parts * sizeof *kept);
    memcpy(kept + parts, f->probe.table_damage, tables * sizeof *kept);
    for (unsigned threads = 2; threads <= 3; threads++) {
        close_probe(f);
        open_probe(f, threads);
        assert_ok(el_probe_run(&f->probe, &err));
        assert_memory_equal(kept, f->probe.damage, parts * sizeof *kept);
        assert_memory_equal(kept + parts, f->probe.table_damage, tables * sizeof *kept);
    }
    end(f);
}

static void it_stops_at_every_step(void **state)
{
    (void)state;
    for (int pieces = 0; pieces < 2; pieces++) {
        fixture *f = run_probe(pieces ? apart_pieces : tied);
        edgellm_error err;
        uint32_t all = f->calls;
        for (uint32_t stop = 1; stop <= all; stop++) {
            f->calls = 0;
            f->stop_at = stop;
            assert_int_equal(el_probe_run(&f->probe, &err), EDGELLM_ERR_INTERRUPTED);
            assert_int_equal(f->calls, stop);
        }
        end(f);
    }
}

/* Moments of the layers before the last, too: they are what the last one's follow from. */
static void check_moments(kind k)
{
    fixture *f = naive_zeroes(1, sizeof *f);
    edgellm_error err;
    el_layer_weights w = {0};
    open_source(f, k);
    open_probe(f, 2);
    el_moments *m = &f->probe.moments;
    for (uint32_t s = 0; s < SEQUENCES; s++)
        float_model_embed(&f->model, f->tokens + (size_t)s * LENGTH,
                          m->stream + (size_t)s * LENGTH * DIM);
    for (uint32_t l = 0; l < LAYERS; l++) {
        assert_ok(el_source_load_layer(&f->source, l, &f->model.layer, &err));
        for (int p = 0; p < EL_PARTS; p++)
            w.part[p] = f->model.layer.part[p];
        for (int i = 0; i < EL_NORMS; i++)
            w.norm[i] = f->model.layer.norm[i];
        el_source_fixed(&f->source, l, &w);
        el_moments_layer(m, &w);
    }
    for (int p = 0; p < EL_PARTS; p++) {
        uint32_t cols = el_part_cols(&f->model.shape, p);
        double *h = moments_of(f, p);
        naive_compare(m->of[el_stage_of(p)], h, (size_t)cols * cols, 1e-5, el_part_names[p]);
        free(h);
    }
    end(f);
}

static void moments_are_those_of_the_inputs(void **state)
{
    (void)state;
    check_moments(tied);
    check_moments(gemma);
}

static void weights_that_are_no_numbers_are_refused(void **state)
{
    fixture *f = naive_zeroes(1, sizeof *f);
    edgellm_error err = {0};
    (void)state;
    open_source(f, tied);
    open_probe(f, 2);
    el_gguf_tensor broken = *f->source.embedding;
    size_t row = (size_t)DIM / 32 * 34; /* Q8_0 */
    uint8_t *data = naive_zeroes(broken.rows, row);
    memcpy(data, broken.data, broken.rows * row);
    for (int i = 0; i < SEQUENCES * LENGTH; i++)
        f->tokens[i] = f->tokens[i] == 299 ? 0 : f->tokens[i];
    data[299 * row + 1] = 0x7c; /* the scale of a token that the text lacks is infinite */
    data[299 * row] = 0;
    broken.data = data;
    f->source.head = f->source.embedding = &broken;
    assert_int_equal(el_probe_run(&f->probe, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "token_embd.weight");
    free(data);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_cost_what_the_long_way_finds),
        cmocka_unit_test(a_tied_embedding_is_input_and_head),
        cmocka_unit_test(a_head_of_its_own_is_not_the_input),
        cmocka_unit_test(finer_forms_cost_less),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(it_stops_at_every_step),
        cmocka_unit_test(moments_are_those_of_the_inputs),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
