/*
 * test_tune.c: training of a whole compressed model. The loss is that of the model's weights, its
 * gradients are those of the loss, it falls, and the number of threads changes nothing; with
 * matrices that are rotated and tables that are cut, too. Models are made in memory: random
 * weights, and what they compute is what the student shall learn.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdlib.h>

#include "format/ggml_types.h"
#include "support/naive.h"
#include "train/hadamard.h"
#include "train/tune.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum {
    LAYERS = 2,
    TABLES = 2,
    PIECES = TABLES * EL_TABLE_PARTS,
    MATRICES = TABLES + LAYERS * EL_PARTS,
    LATENTS = PIECES + LAYERS * EL_PARTS,
    NORMS = 2 * LAYERS + 1
};

typedef struct spec {
    uint32_t vocab, dim, ffn, heads, kv_heads;
    bool tied;
    uint32_t sequences, length, batch;
    el_codec codec;
    uint32_t cuts[2]; /* of each table, as in el_source */
    bool rotated;
    float cap, scale; /* of logits, of rows of the embedding; 0: none */
} spec;

/*
 * Two slices of the head and a head of its own, cut; a sequence longer than the head's chunks; and
 * rotated ones, cut within a band of rows and with more than one after it.
 */
static const spec small = {90, 32, 48, 4, 2, true, 7, 10, 3, EL_CODEC_S3, {0}, false, 0, 0};
static const spec apart = {4100, 8, 12, 2, 1, false, 3, 5, 2, EL_CODEC_O3, {2050}, false, 0, 0};
static const spec lengthy = {50, 16, 16, 2, 2, true, 2, 300, 1, EL_CODEC_S4, {0}, false, 0, 0};
static const spec fine = {90, 32, 48, 4, 2, false, 4, 12, 4, EL_CODEC_O4, {0}, false, 0, 0};
static const spec turned = {150, 64, 128, 4, 2, true, 4, 12, 2, EL_CODEC_S3, {70}, true, 0, 0};
static const spec turned_apart = {150, 64, 64,          2,         1,    false, 4,
                                  9,   3,  EL_CODEC_O3, {45, 110}, true, 0,     0};
/* As Gemma's. */
static const spec capped = {90, 32, 48,          4,   2,     true,        5,
                            10, 3,  EL_CODEC_S3, {0}, false, .cap = 1.5f, .scale = 5.0f};
static const spec *const specs[] = {&small,  &apart,        &lengthy, &fine,
                                    &turned, &turned_apart, &capped};

/* Latent `index`: the pieces of the embedding, those of the head, then layer by layer. Matrices of
 * the source are numbered alike, with tables that are whole. */
typedef struct fixture {
    const spec *spec;
    el_layer_shape shape;
    el_gguf_tensor head;
    el_source source;
    float *weights[MATRICES]; /* the source's */
    float *norms, *teacher;
    uint32_t *tokens, order[8];
    el_arena students, memory, crews;
    el_student student;
    el_latent layers[LAYERS][EL_PARTS];
    el_crew *crew;
    el_tune tune;
} fixture;

static el_latent *latent_of(fixture *f, int index)
{
    if (index < PIECES) {
        el_latent_table *t = index < EL_TABLE_PARTS ? &f->student.embedding : &f->student.head;
        return &t->piece[index % EL_TABLE_PARTS];
    }
    return &f->layers[(index - PIECES) / EL_PARTS][(index - PIECES) % EL_PARTS];
}

static const el_latent_moments *moments_of(const fixture *f, int index)
{
    if (index < EL_TABLE_PARTS) return &f->tune.embedding_moments[index];
    if (index < PIECES) return &f->tune.head_moments[index - EL_TABLE_PARTS];
    return &f->tune.layer_moments[index - PIECES];
}

/* A whole table has one piece. */
static bool exists(const spec *s, int index)
{
    int piece = index % EL_TABLE_PARTS;
    return index >= PIECES || piece == 0 || s->cuts[piece - 1];
}

/* The head's pieces are there but not used if it is tied. */
static bool is_trained(const spec *s, int index)
{
    bool head = index >= EL_TABLE_PARTS && index < PIECES;
    return exists(s, index) && !(head && s->tied);
}

static int matrix_of(int index)
{
    return index < PIECES ? index / EL_TABLE_PARTS : index - PIECES + TABLES;
}

/* The row of its matrix that a latent begins with. */
static uint32_t begin_of(const spec *s, int index)
{
    return index < PIECES && index % EL_TABLE_PARTS ? s->cuts[index % EL_TABLE_PARTS - 1] : 0;
}

/* ---- the source -------------------------------------------------------------------------- */

static void shape_of(const fixture *f, int matrix, uint32_t *rows, uint32_t *cols)
{
    int part = (matrix - TABLES) % EL_PARTS;
    *rows = matrix < TABLES ? f->spec->vocab : el_part_rows(&f->shape, part);
    *cols = matrix < TABLES ? f->spec->dim : el_part_cols(&f->shape, part);
}

/* What the last norm gives for one sequence, with these weights. */
static void hidden_of(const fixture *f, float *const weights[MATRICES], const uint32_t *tokens,
                      float *x)
{
    edgellm_error err;
    uint32_t n = f->spec->length, dim = f->spec->dim;
    el_arena arena = el_arena_measure();
    el_layer_trace_layout(&arena, &f->shape, n, false);
    assert_ok(el_arena_reserve(&arena, arena.used, &err));
    el_layer_trace t = el_layer_trace_layout(&arena, &f->shape, n, false);
    for (uint32_t i = 0; i < n * dim; i++)
        x[i] = weights[0][(size_t)tokens[i / dim] * dim + i % dim] *
               (f->spec->scale != 0 ? f->spec->scale : 1);
    for (int l = 0; l < LAYERS; l++) {
        el_layer_weights w = {0};
        for (int p = 0; p < EL_PARTS; p++)
            w.part[p] = weights[TABLES + l * EL_PARTS + p];
        for (int i = 0; i < EL_NORMS; i++)
            w.norm[i] = f->norms + (size_t)(2 * l + i) * dim;
        el_layer_forward(&f->shape, &w, x, n, &t, x);
    }
    el_rms_norm(x, f->norms + (size_t)2 * LAYERS * dim, n, dim, f->shape.eps, x);
    el_arena_release(&arena);
}

static void make_source(fixture *f)
{
    const spec *s = f->spec;
    el_random r = {s->vocab};
    size_t count = (size_t)s->sequences * s->length;
    f->shape = (el_layer_shape){.dim = s->dim,
                                .ffn_dim = s->ffn,
                                .heads = s->heads,
                                .kv_heads = s->kv_heads,
                                .head_dim = s->dim / s->heads,
                                .eps = 1e-5f,
                                .rotary = naive_rotary(s->length, s->dim / s->heads, 100)};
    for (int i = 0; i < MATRICES; i++) {
        uint32_t rows, cols;
        shape_of(f, i, &rows, &cols);
        f->weights[i] = naive_noise(&r, (size_t)rows * cols, 1 / sqrtf((float)cols));
    }
    f->norms = naive_noise(&r, (size_t)NORMS * s->dim, 0.1f);
    for (uint32_t i = 0; i < NORMS * s->dim; i++)
        f->norms[i] += 1;
    f->tokens = naive_zeroes(count, sizeof *f->tokens);
    for (size_t i = 0; i < count; i++)
        f->tokens[i] = el_random_below(&r, s->vocab);
    f->teacher = naive_zeroes(count * s->dim, sizeof *f->teacher);
    for (uint32_t i = 0; i < s->sequences; i++)
        hidden_of(f, f->weights, f->tokens + (size_t)i * s->length,
                  f->teacher + (size_t)i * s->length * s->dim);
    f->head = (el_gguf_tensor){.type = EL_GGML_F32, .rows = s->vocab, .cols = s->dim};
    f->head.data = (const uint8_t *)f->weights[s->tied ? 0 : 1];
    f->source = (el_source){.head = &f->head, .embedding_scale = s->scale != 0 ? s->scale : 1};
    f->source.config =
        (el_config){.layers = LAYERS, .dim = s->dim, .vocab = s->vocab, .logit_cap = s->cap};
}

/* ---- the student ------------------------------------------------------------------------- */

/* The rest of a table has a codec of its own. */
static void layout_latent(fixture *f, int index)
{
    const spec *s = f->spec;
    bool next = index < PIECES && (index + 1) % EL_TABLE_PARTS && exists(s, index + 1);
    uint32_t rows, cols, begin = begin_of(s, index);
    shape_of(f, matrix_of(index), &rows, &cols);
    rows = (next ? begin_of(s, index + 1) : rows) - begin;
    el_codec codec = begin ? EL_CODEC_S4 : s->codec;
    *latent_of(f, index) = el_latent_layout(&f->students, rows, cols, codec, 32);
    latent_of(f, index)->rotated = s->rotated;
}

static void layout_student(fixture *f)
{
    for (int i = 0; i < LATENTS; i++) {
        if (exists(f->spec, i)) layout_latent(f, i);
    }
    f->student.norms = el_arena_take(&f->students, NORMS, f->spec->dim * sizeof(float));
}

static void fit(const el_latent *l, const float *weights)
{
    size_t count = (size_t)l->rows * l->cols;
    float *importance = naive_zeroes(l->cols, sizeof *importance);
    float *copy = naive_zeroes(count, sizeof *copy), *w = copy;
    memcpy(copy, weights, count * sizeof *copy);
    if (l->rotated) el_hadamard(copy, count / EL_ROTATION_WIDTH);
    for (uint32_t c = 0; c < l->cols; c++)
        importance[c] = 1;
    for (uint32_t r = 0; r < l->rows; r++, w += l->cols) {
        el_latent_references(l, r, w);
        for (uint32_t g = 0; g < l->groups; g++) {
            uint32_t begin;
            el_latent_span(l, g, &begin);
            el_latent_fit(l, r, g, w + begin, importance);
        }
    }
    free(copy);
    free(importance);
}

static void make_student(fixture *f)
{
    edgellm_error err;
    f->students = el_arena_measure();
    layout_student(f);
    assert_ok(el_arena_reserve(&f->students, f->students.used, &err));
    layout_student(f);
    for (int i = 0; i < LATENTS; i++) {
        size_t begin = (size_t)begin_of(f->spec, i) * f->spec->dim;
        if (exists(f->spec, i)) fit(latent_of(f, i), f->weights[matrix_of(i)] + begin);
    }
    memcpy(f->student.norms, f->norms, NORMS * f->spec->dim * sizeof(float));
    f->student.embedding.pieces = f->student.head.pieces = exists(f->spec, 2)   ? 3
                                                           : exists(f->spec, 1) ? 2
                                                                                : 1;
    f->student.tied = f->spec->tied;
    f->student.layers = f->layers;
}

static fixture *make(const spec *s, unsigned members)
{
    edgellm_error err;
    fixture *f = naive_zeroes(1, sizeof *f);
    f->spec = s;
    make_source(f);
    make_student(f);
    f->crews = el_arena_measure();
    el_crew_layout(&f->crews);
    assert_ok(el_arena_reserve(&f->crews, f->crews.used, &err));
    f->crew = el_crew_layout(&f->crews);
    assert_ok(el_crew_start(f->crew, members, &err));
    f->tune = (el_tune){.source = &f->source,
                        .shape = &f->shape,
                        .student = &f->student,
                        .crew = f->crew,
                        .members = members,
                        .sequences = s->sequences,
                        .length = s->length,
                        .batch = s->batch,
                        .tokens = f->tokens,
                        .teacher = f->teacher,
                        .steps = 30};
    f->memory = el_arena_measure();
    el_tune_layout(&f->tune, &f->memory);
    size_t measured = f->memory.used;
    assert_ok(el_arena_reserve(&f->memory, measured, &err));
    el_tune_layout(&f->tune, &f->memory);
    assert_int_equal(f->memory.used, measured);
    for (uint32_t i = 0; i < s->batch; i++)
        f->order[i] = (i + 1) % s->sequences;
    return f;
}

static void end(fixture *f)
{
    el_crew_stop(f->crew);
    el_arena_release(&f->crews);
    el_arena_release(&f->memory);
    el_arena_release(&f->students);
    for (int i = 0; i < MATRICES; i++)
        free(f->weights[i]);
    free(f->norms);
    free(f->tokens);
    free(f->teacher);
    naive_rotary_free(&f->shape.rotary);
    free(f);
}

static void set_rates(fixture *f)
{
    f->tune.rate_u = 0.1f;
    f->tune.rate_scale = f->tune.rate_norm = 0.002f;
}

/* ---- the loss ---------------------------------------------------------------------------- */

/* Logits of one position. */
static void logits_of(const fixture *f, const float *head, const float *hidden, float *logits)
{
    const float cap = f->spec->cap;
    el_linear(hidden, head, 1, f->spec->vocab, f->spec->dim, false, logits);
    for (uint32_t i = 0; cap != 0 && i < f->spec->vocab; i++)
        logits[i] = cap * tanhf(logits[i] / cap);
}

/* The weights that the latents give; free() each. */
static void latents_to_weights(fixture *f, float *weights[MATRICES])
{
    for (int i = 0; i < MATRICES; i++) {
        uint32_t rows, cols;
        shape_of(f, i, &rows, &cols);
        weights[i] = naive_zeroes((size_t)rows * cols, sizeof(float));
    }
    for (int i = 0; i < LATENTS; i++) {
        const el_latent *l = latent_of(f, i);
        float *to = weights[matrix_of(i)] + (size_t)begin_of(f->spec, i) * l->cols;
        if (exists(f->spec, i)) el_latent_weights(l, 0, l->rows, to);
    }
}

/* Mean KL over the sequences of `order`, by the weights that the latents give. */
static double naive_loss(fixture *f)
{
    const spec *s = f->spec;
    float *weights[MATRICES], *ours = naive_zeroes(s->vocab, sizeof *ours);
    float *theirs = naive_zeroes(s->vocab, sizeof *theirs);
    float *x = naive_zeroes((size_t)s->length * s->dim, sizeof *x);
    double sum = 0;
    latents_to_weights(f, weights);
    for (uint32_t slot = 0; slot < s->batch; slot++) {
        size_t first = (size_t)f->order[slot] * s->length;
        hidden_of(f, weights, f->tokens + first, x);
        for (uint32_t i = 0; i < s->length; i++) {
            logits_of(f, weights[s->tied ? 0 : 1], x + (size_t)i * s->dim, ours);
            logits_of(f, f->weights[s->tied ? 0 : 1], f->teacher + (first + i) * s->dim, theirs);
            sum += naive_divergence(ours, theirs, s->vocab);
        }
    }
    for (int i = 0; i < MATRICES; i++)
        free(weights[i]);
    free(ours);
    free(theirs);
    free(x);
    return sum / ((double)s->batch * s->length);
}

static void test_the_loss_is_the_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(specs); i++) {
        fixture *f = make(specs[i], 1);
        double want = naive_loss(f), got = el_tune_step(&f->tune, 0, f->order);
        assert_true(want > 1e-5);
        assert_true(fabs(got - want) < 1e-5 * want + 1e-6);
        assert_true(fabs(naive_loss(f) - want) < 1e-12); /* with rates of 0 nothing moves */
        end(f);
    }
}

/* Every bit takes away at least half of the loss. */
static void test_finer_codes_lose_less(void **state)
{
    (void)state;
    static const el_codec codecs[] = {EL_CODEC_O2, EL_CODEC_O3, EL_CODEC_O4};
    double before = INFINITY;
    for (size_t i = 0; i < LENGTH(codecs); i++) {
        spec s = fine;
        s.codec = codecs[i];
        fixture *f = make(&s, 1);
        double loss = el_tune_step(&f->tune, 0, f->order);
        assert_true(loss > 0 && loss < before / 2);
        before = loss;
        end(f);
    }
}

/* ---- gradients --------------------------------------------------------------------------- */

/* Loss after some numbers moved along `direction`, relative to each or not; then put back. */
static double loss_at(fixture *f, float *x, const double *direction, uint32_t n, double by,
                      bool relative)
{
    float *before = naive_zeroes(n, sizeof *before);
    memcpy(before, x, n * sizeof *before);
    for (uint32_t i = 0; i < n; i++)
        x[i] = (float)(x[i] + by * direction[i] * (relative ? x[i] : 1));
    double loss = el_tune_step(&f->tune, 0, f->order);
    memcpy(x, before, n * sizeof *before);
    free(before);
    return loss;
}

/* The gradient by x against the loss a little along it and a little back. */
static void check_along(fixture *f, float *x, double *gradient, uint32_t n, bool relative,
                        const char *what, int index)
{
    const double step = 0.02;
    double size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += gradient[i] * gradient[i];
    size = sqrt(size);
    assert_true(size > 1e-5);
    for (uint32_t i = 0; i < n; i++)
        gradient[i] /= size;
    double change =
        loss_at(f, x, gradient, n, step, relative) - loss_at(f, x, gradient, n, -step, relative);
    if (!(fabs(change / (2 * step) / size - 1) < 0.02))
        fail_msg("%s %d: derivative %g, but the loss changes by %g", what, index, size,
                 change / (2 * step));
}

/* By the scales of each row: their sum is the derivative by the row's reference. */
static void check_latent(fixture *f, int index)
{
    const el_latent *l = latent_of(f, index);
    const el_latent_moments *m = moments_of(f, index);
    double *gradient = naive_zeroes(l->rows, sizeof *gradient);
    for (uint32_t r = 0; r < l->rows; r++) {
        for (uint32_t g = 0; g < l->groups; g++)
            gradient[r] += 10 * (double)m->steps_m[(size_t)r * l->groups + g];
    }
    check_along(f, l->ref, gradient, l->rows, true, "latent", index);
    free(gradient);
}

static void check_norm(fixture *f, int index)
{
    uint32_t dim = f->spec->dim;
    float *m = f->tune.norm_m + (size_t)index * dim;
    double *gradient = naive_double(m, dim);
    for (uint32_t i = 0; i < dim; i++)
        gradient[i] *= 10;
    check_along(f, f->student.norms + (size_t)index * dim, gradient, dim, false, "norm", index);
    free(gradient);
}

/* After one step from nothing a first moment is a tenth of the gradient. Rates are 0. */
static void test_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(specs); i++) {
        for (int index = 0; index < LATENTS + NORMS; index++) {
            if (index < LATENTS && !is_trained(specs[i], index)) continue;
            fixture *f = make(specs[i], 1);
            el_tune_step(&f->tune, 0, f->order);
            if (index < LATENTS)
                check_latent(f, index);
            else
                check_norm(f, index - LATENTS);
            end(f);
        }
    }
}

/* ---- training ---------------------------------------------------------------------------- */

static void next_order(fixture *f)
{
    for (uint32_t i = 0; i < f->spec->batch; i++)
        f->order[i] = (f->order[i] + f->spec->batch) % f->spec->sequences;
}

static void test_the_loss_falls(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(specs); i++) {
        fixture *f = make(specs[i], 1);
        double first = naive_loss(f);
        set_rates(f);
        for (uint32_t step = 0; step < 30; step++)
            assert_true(isfinite(el_tune_step(&f->tune, step, f->order)));
        f->tune.rate_u = f->tune.rate_scale = f->tune.rate_norm = 0;
        double last = el_tune_step(&f->tune, 0, f->order);
        if (!(last < 0.7 * first)) fail_msg("model %zu: from %g to %g", i, first, last);
        end(f);
    }
}

static uint64_t hash_of(fixture *f)
{
    uint64_t hash = 14695981039346656037ULL;
    for (int i = 0; i < LATENTS; i++) {
        const el_latent *l = latent_of(f, i);
        if (!exists(f->spec, i)) continue;
        size_t groups = (size_t)l->rows * l->groups * sizeof(float);
        hash = hash_bytes(hash, l->u, (size_t)l->rows * l->cols * sizeof *l->u);
        hash = hash_bytes(hash, l->steps, groups);
        if (l->shifts) hash = hash_bytes(hash, l->shifts, groups);
    }
    return hash_bytes(hash, f->student.norms, NORMS * f->spec->dim * sizeof(float));
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(specs); i++) {
        uint64_t want = 0;
        double losses[6] = {0};
        for (unsigned members = 1; members <= 3; members++) {
            fixture *f = make(specs[i], members);
            uint64_t untrained = hash_of(f);
            set_rates(f);
            for (uint32_t step = 0; step < LENGTH(losses); step++, next_order(f)) {
                double loss = el_tune_step(&f->tune, step, f->order);
                if (members == 1) losses[step] = loss;
                assert_true(loss == losses[step]);
            }
            if (members == 1) want = hash_of(f);
            assert_true(hash_of(f) == want && want != untrained);
            end(f);
        }
    }
}

static uint64_t hash_latent(const el_latent *l)
{
    return hash_bytes(1, l->u, (size_t)l->rows * l->cols * sizeof *l->u);
}

/* A head of its own and the embedding are trained both, each piece; tied, the head's latents are
 * not touched. */
static void test_tables(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        spec s = apart;
        s.tied = tied;
        fixture *f = make(&s, 1);
        uint64_t before[PIECES];
        set_rates(f);
        for (int i = 0; i < PIECES; i++)
            before[i] = hash_latent(latent_of(f, i));
        for (uint32_t step = 0; step < 3; step++)
            el_tune_step(&f->tune, step, f->order);
        for (int i = 0; i < PIECES; i++)
            assert_int_equal(before[i] != hash_latent(latent_of(f, i)), is_trained(&s, i));
        end(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_loss_is_the_models),
        cmocka_unit_test(test_finer_codes_lose_less),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_the_loss_falls),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
