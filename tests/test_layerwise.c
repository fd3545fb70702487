/*
 * test_layerwise.c: a tiny model compressed layer by layer: the source's stream is the source's,
 * the reported errors are those of the streams, training and what rounding makes up for lower
 * them, and the number of threads changes nothing. And pieces, which all of it is cut into.
 */
#include "support/test_help.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "format/ggml_types.h"
#include "support/float_model.h"
#include "support/naive.h"
#include "train/layerwise.h"
#include "train/student.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define SOURCE        EL_TEST_OUT "/layerwise.gguf"

enum { LAYERS = 2, SEQUENCES = 20, LONGEST = 24, MEMBERS = 3 };

/* ---- pieces ------------------------------------------------------------------------------ */

typedef struct counts {
    atomic_uint pieces[100];
    unsigned members;
} counts;

static void count_piece(void *context, uint32_t piece, unsigned member)
{
    counts *c = context;
    if (member < c->members) atomic_fetch_add(&c->pieces[piece], 1);
}

static el_crew *start_crew(el_arena *arena, unsigned members)
{
    edgellm_error err;
    *arena = el_arena_measure();
    el_crew_layout(arena);
    assert_ok(el_arena_reserve(arena, arena->used, &err));
    el_crew *crew = el_crew_layout(arena);
    assert_ok(el_crew_start(crew, members, &err));
    return crew;
}

static void test_pieces(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 7, 100};
    for (unsigned members = 1; members <= MEMBERS; members++) {
        el_arena arena;
        el_crew *crew = start_crew(&arena, members);
        for (size_t i = 0; i < LENGTH(sizes); i++) {
            counts c = {.members = members};
            el_pieces_run(crew, sizes[i], count_piece, &c);
            for (uint32_t k = 0; k < LENGTH(c.pieces); k++)
                assert_int_equal(atomic_load(&c.pieces[k]), k < sizes[i]);
        }
        el_crew_stop(crew);
        el_arena_release(&arena);
    }
}

/* Each number once, another order for another seed. */
static void test_orders(void **state)
{
    (void)state;
    uint32_t orders[2][50];
    for (uint32_t seed = 0; seed < 2; seed++) {
        uint64_t seen = 0;
        el_shuffle(orders[seed], 50, seed);
        for (int i = 0; i < 50; i++)
            seen |= (uint64_t)1 << orders[seed][i];
        assert_true(seen == ((uint64_t)1 << 50) - 1);
    }
    assert_memory_not_equal(orders[0], orders[1], sizeof orders[0]);
    el_shuffle(orders[1], 50, 0);
    assert_memory_equal(orders[0], orders[1], sizeof orders[0]);
}

/* ---- a run ------------------------------------------------------------------------------- */

static const el_recipe usual = {.correction = 0.5f,
                                .residual = 0.5f,
                                .correction_damping = 0.1f,
                                .damping = 0.01f,
                                .epochs = 20,
                                .batch = 4,
                                .rate_u = 0.01f,
                                .rate_scale = 0.001f};

/* A model in the course of being compressed, its latents kept layer by layer. */
typedef struct run {
    el_source source;
    float_model model; /* shape, angles */
    uint32_t tokens[SEQUENCES * LONGEST];
    el_arena latent_memory, memory, crew_memory;
    el_latent latents[LAYERS][EL_PARTS];
    el_layerwise w;
    el_layer_report reports[LAYERS];
} run;

/* Of a kept form, every other part is. */
static void layout_latents(run *r, el_form form)
{
    for (int i = 0; i < LAYERS * EL_PARTS; i++) {
        int part = i % EL_PARTS;
        el_latent l = el_latent_layout(&r->latent_memory, el_part_rows(&r->model.shape, part),
                                       el_part_cols(&r->model.shape, part), form.codec, form.group);
        l.kept = form.kept && part % 2 == 0;
        r->latents[i / EL_PARTS][part] = l;
    }
}

static void layout_all(run *r, el_form form)
{
    edgellm_error err;
    r->latent_memory = el_arena_measure();
    layout_latents(r, form);
    assert_ok(el_arena_reserve(&r->latent_memory, r->latent_memory.used, &err));
    layout_latents(r, form);
    r->memory = el_arena_measure();
    el_layerwise_layout(&r->w, &r->memory);
    size_t measured = r->memory.used;
    assert_ok(el_arena_reserve(&r->memory, measured, &err));
    el_layerwise_layout(&r->w, &r->memory);
    assert_int_equal(r->memory.used, measured);
}

static float *stream_of(const el_layerwise *w, float *stream, uint32_t sequence)
{
    return stream + (size_t)sequence * w->length * w->wide;
}

static void embed(run *r)
{
    const el_layerwise *w = &r->w;
    el_random random = {4};
    for (uint32_t i = 0; i < w->sequences * w->length; i++)
        r->tokens[i] = el_random_below(&random, EL_TINY_VOCAB);
    for (uint32_t i = 0; i < w->sequences; i++) {
        float *x = stream_of(w, w->source_in, i), *y = stream_of(w, w->ours_in, i);
        float_model_embed(&r->model, r->tokens + (size_t)i * w->length, x);
        memcpy(y, x, (size_t)w->length * w->shape->dim * sizeof *x);
    }
}

static run *begin(const el_recipe *recipe, el_form form, uint32_t length, unsigned members)
{
    edgellm_error err;
    run *r = naive_zeroes(1, sizeof *r);
    assert_ok(el_source_open(&r->source, SOURCE, &err));
    assert_ok(float_model_open(&r->model, &r->source, length, &err));
    r->w = (el_layerwise){.recipe = recipe,
                          .shape = &r->model.shape,
                          .crew = start_crew(&r->crew_memory, members),
                          .members = members,
                          .sequences = SEQUENCES,
                          .length = length};
    layout_all(r, form);
    embed(r);
    return r;
}

static void end(run *r)
{
    el_crew_stop(r->w.crew);
    el_arena_release(&r->crew_memory);
    el_arena_release(&r->memory);
    el_arena_release(&r->latent_memory);
    float_model_close(&r->model);
    el_source_close(&r->source);
    free(r);
}

static edgellm_status do_layer(run *r, uint32_t layer, edgellm_error *said)
{
    edgellm_error err;
    assert_ok(el_source_load_layer(&r->source, layer, &r->w.source, &err));
    r->w.latents = r->latents[layer];
    return el_layerwise_run(&r->w, &r->reports[layer], said);
}

static run *do_all(const el_recipe *recipe, el_form form, uint32_t length, unsigned members)
{
    edgellm_error err;
    run *r = begin(recipe, form, length, members);
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        assert_ok(do_layer(r, layer, &err));
    return r;
}

static int write_model(void **state)
{
    el_tiny_spec spec = el_tiny_defaults();
    (void)state;
    spec.matrix_type = spec.embedding_type = EL_GGML_F32;
    spec.layers = LAYERS;
    return el_tiny_write(&spec, SOURCE) ? 0 : -1;
}

/* ---- what it does ------------------------------------------------------------------------ */

/* Mean over tokens of |ours - source|^2 / |source|^2. */
static double stream_error(const el_layerwise *w)
{
    double total = 0;
    for (uint32_t t = 0; t < w->sequences * w->length; t++) {
        const float *x = stream_of(w, w->source_in, t / w->length);
        const float *y = stream_of(w, w->ours_in, t / w->length);
        size_t at = (size_t)(t % w->length) * w->shape->dim;
        double error = 0, size = 0;
        for (size_t i = at; i < at + w->shape->dim; i++) {
            error += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            size += (double)x[i] * x[i];
        }
        total += log1p(error / size);
    }
    return total / (w->sequences * w->length);
}

static void check_source_stream(run *r)
{
    edgellm_error err;
    uint32_t n = r->w.length, dim = r->w.shape->dim;
    float *want = naive_zeroes((size_t)n * dim, sizeof *want), norm[64];
    float *got = naive_zeroes((size_t)n * dim, sizeof *got);
    assert_int_equal(dim, LENGTH(norm));
    assert_ok(el_source_load(r->source.output_norm, norm, &err));
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        assert_ok(float_model_hidden(&r->model, r->tokens + (size_t)i * n, want, &err));
        el_rms_norm(stream_of(&r->w, r->w.source_in, i), norm, n, dim, r->w.shape->eps, got);
        double *wanted = naive_double(want, (size_t)n * dim);
        naive_compare(got, wanted, (size_t)n * dim, 1e-5, "the source's stream");
        free(wanted);
    }
    free(want);
    free(got);
}

/* The last has fewer tokens than matrices have columns: streams and threads are what they are, but
 * training has little to go by. */
enum { TRAINABLE = 2 };
static const struct {
    el_form form;
    uint32_t length;
} kinds[] = {{{.codec = EL_CODEC_S3, .group = 32}, LONGEST},
             {{.codec = EL_CODEC_O2, .group = 64}, 16},
             {{EL_CODEC_O3, 32, .kept = true}, 16},
             {{.codec = EL_CODEC_S4}, 2}};

static void test_streams_and_reports(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        edgellm_error err;
        run *r = begin(&usual, kinds[i].form, kinds[i].length, 1);
        for (uint32_t layer = 0; layer < LAYERS; layer++) {
            assert_ok(do_layer(r, layer, &err));
            double want = stream_error(&r->w), got = r->reports[layer].trained;
            assert_true(want > 1e-6 && fabs(got / want - 1) < 1e-6);
        }
        check_source_stream(r);
        end(r);
    }
}

static void test_training_lowers_the_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < TRAINABLE; i++) {
        run *r = do_all(&usual, kinds[i].form, kinds[i].length, 1);
        for (int layer = 0; layer < LAYERS; layer++) {
            const el_layer_report *p = &r->reports[layer];
            if (!(p->trained < 0.93 * p->rounded))
                fail_msg("kind %zu, layer %d: from %g to %g", i, layer, p->rounded, p->trained);
        }
        end(r);
    }
}

static void test_without_training(void **state)
{
    (void)state;
    el_recipe recipe = usual;
    recipe.epochs = 0;
    run *r = do_all(&recipe, kinds[0].form, LONGEST, 1);
    for (int layer = 0; layer < LAYERS; layer++)
        assert_true(r->reports[layer].rounded == r->reports[layer].trained);
    end(r);
}

/* Rounding that knows how wrong its inputs are does better than one that does not. */
static void test_correction_helps(void **state)
{
    (void)state;
    double errors[2];
    for (int corrected = 0; corrected < 2; corrected++) {
        el_recipe recipe = usual;
        recipe.epochs = 0;
        if (!corrected) recipe.correction = recipe.residual = 0;
        run *r = do_all(&recipe, (el_form){.codec = EL_CODEC_S2, .group = 32}, LONGEST, 1);
        errors[corrected] = r->reports[LAYERS - 1].rounded;
        end(r);
    }
    if (!(errors[1] < errors[0])) fail_msg("%g, corrected %g", errors[0], errors[1]);
}

static bool same_latents(const el_latent *a, const el_latent *b)
{
    return memcmp(a->u, b->u, (size_t)a->rows * a->cols * sizeof *a->u) == 0;
}

/* No correction touches what is kept; the other parts have theirs. */
static void test_kept_weights_stay(void **state)
{
    (void)state;
    const el_form form = {EL_CODEC_O3, 32, .kept = true};
    el_recipe recipe = usual;
    recipe.epochs = 0;
    run *with = do_all(&recipe, form, LONGEST, 1);
    recipe.correction = recipe.residual = 0;
    run *without = do_all(&recipe, form, LONGEST, 1);
    for (int part = 0; part < EL_PARTS; part++) {
        const el_latent *a = with->latents[LAYERS - 1], *b = without->latents[LAYERS - 1];
        assert_int_equal(same_latents(&a[part], &b[part]), a[part].kept);
    }
    end(with);
    end(without);
}

static void hash_streams(const run *r, uint64_t *hash)
{
    size_t bytes = (size_t)r->w.length * r->w.shape->dim * sizeof(float);
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        *hash = hash_bytes(*hash, stream_of(&r->w, r->w.source_in, i), bytes);
        *hash = hash_bytes(*hash, stream_of(&r->w, r->w.ours_in, i), bytes);
    }
}

/* Passing through a layer that is done: our stream goes where it went, the source's too. */
static void test_passing_a_known_layer(void **state)
{
    (void)state;
    edgellm_error err;
    run *done = do_all(&usual, kinds[0].form, LONGEST, 1);
    run *again = begin(&usual, kinds[0].form, LONGEST, 1);
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        assert_ok(el_source_load_layer(&again->source, layer, &again->w.source, &err));
        again->w.latents = done->latents[layer];
        el_layerwise_pass(&again->w);
    }
    double want = stream_error(&done->w), got = stream_error(&again->w);
    assert_true(want > 1e-6 && fabs(got / want - 1) < 1e-4);
    check_source_stream(again);
    end(done);
    end(again);
}

/* ---- threads ----------------------------------------------------------------------------- */

static uint64_t hash_of(const run *r)
{
    uint64_t hash = hash_bytes(1, r->reports, sizeof r->reports);
    for (int i = 0; i < LAYERS * EL_PARTS; i++) {
        const el_latent *l = &r->latents[i / EL_PARTS][i % EL_PARTS];
        size_t groups = (size_t)l->rows * l->groups * sizeof(float);
        hash = hash_bytes(hash, l->u, (size_t)l->rows * l->cols * sizeof *l->u);
        hash = hash_bytes(hash, l->steps, groups);
        hash = hash_bytes(hash, l->ref, l->rows * sizeof(float));
        if (l->shifts) hash = hash_bytes(hash, l->shifts, groups);
        if (l->oref) hash = hash_bytes(hash, l->oref, l->rows * sizeof(float));
    }
    hash_streams(r, &hash);
    return hash;
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    el_recipe recipe = usual;
    recipe.epochs = 2;
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        uint64_t want = 0;
        for (unsigned members = 1; members <= MEMBERS; members++) {
            run *r = do_all(&recipe, kinds[i].form, kinds[i].length, members);
            if (members == 1) want = hash_of(r);
            assert_true(hash_of(r) == want);
            end(r);
        }
    }
}

/* ---- errors ------------------------------------------------------------------------------ */

static void test_streams_that_are_no_numbers(void **state)
{
    (void)state;
    edgellm_error err = {0};
    run *r = begin(&usual, kinds[0].form, LONGEST, 1);
    stream_of(&r->w, r->w.ours_in, 3)[7] = NAN;
    assert_int_equal(do_layer(r, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "second moments");
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_streams_and_reports),
        cmocka_unit_test(test_training_lowers_the_error),
        cmocka_unit_test(test_without_training),
        cmocka_unit_test(test_correction_helps),
        cmocka_unit_test(test_kept_weights_stay),
        cmocka_unit_test(test_passing_a_known_layer),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_streams_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, write_model, NULL);
}
