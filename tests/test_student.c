/*
 * test_student.c: how the matrices of a model are numbered, what they are called in the file, which
 * rows of which tensor they are made from, and where they lie in memory: tables whole or cut, tied
 * or apart.
 */
#include "support/test_help.h"

#include <stdlib.h>

#include "support/naive.h"
#include "train/student.h"

#define SOURCE EL_TEST_OUT "/student.gguf"

enum {
    LAYERS = 2,
    CUT = 112,
    REST = EL_TINY_VOCAB - CUT,
    LAST = 160,
    MOST = 6 + LAYERS * EL_PARTS
};

static const struct {
    bool separate_head;
    uint32_t cuts[2], tables;
} kinds[] = {{false, {0}, 1},  {true, {0}, 2},          {false, {CUT}, 2},
             {true, {CUT}, 4}, {false, {CUT, LAST}, 3}, {true, {CUT, LAST}, 6}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void open_source(el_source *s, int kind)
{
    edgellm_error err;
    el_tiny_spec spec = el_tiny_defaults();
    spec.layers = LAYERS;
    spec.ffn_dim = 128;
    spec.separate_head = kinds[kind].separate_head;
    assert_true(el_tiny_write(&spec, SOURCE));
    assert_ok(el_source_open(s, SOURCE, &err));
    assert_int_equal(el_source_pieces(s), 1); /* until somebody asks for more */
    memcpy(s->cuts, kinds[kind].cuts, sizeof s->cuts);
}

/* ---- numbers and names ------------------------------------------------------------------- */

typedef struct want {
    const char *name;
    uint32_t first, rows;
} want;

static const want wants[KINDS][6] = {
    {{"token_embd.weight", 0, EL_TINY_VOCAB}},
    {{"token_embd.weight", 0, EL_TINY_VOCAB}, {"output.weight", 0, EL_TINY_VOCAB}},
    {{"token_embd.weight", 0, CUT}, {"token_embd.rest.weight", CUT, REST}},
    {{"token_embd.weight", 0, CUT},
     {"token_embd.rest.weight", CUT, REST},
     {"output.weight", 0, CUT},
     {"output.rest.weight", CUT, REST}},
    {{"token_embd.weight", 0, CUT},
     {"token_embd.rest.weight", CUT, LAST - CUT},
     {"token_embd.last.weight", LAST, EL_TINY_VOCAB - LAST}},
    {{"token_embd.weight", 0, CUT},
     {"token_embd.rest.weight", CUT, LAST - CUT},
     {"token_embd.last.weight", LAST, EL_TINY_VOCAB - LAST},
     {"output.weight", 0, CUT},
     {"output.rest.weight", CUT, LAST - CUT},
     {"output.last.weight", LAST, EL_TINY_VOCAB - LAST}},
};

static void check_extent(const el_source *s, uint32_t index, const want *w,
                         const el_gguf_tensor *tensor)
{
    const el_extent e = el_student_extent(s, index);
    assert_string_equal(e.name, w->name);
    assert_int_equal(e.first, w->first);
    assert_int_equal(e.rows, w->rows);
    assert_ptr_equal(e.tensor, tensor);
}

static void check_parts(const el_source *s, uint32_t tables)
{
    for (uint32_t i = 0; i < LAYERS * EL_PARTS; i++) {
        const el_gguf_tensor *t = el_source_part(s, i / EL_PARTS, (int)(i % EL_PARTS));
        const want whole = {t->name, 0, t->rows};
        check_extent(s, tables + i, &whole, t);
    }
}

static void test_extents(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        el_source s;
        open_source(&s, k);
        uint32_t tables = kinds[k].tables, heads = kinds[k].separate_head ? 2 : 1;
        assert_int_equal(el_student_tables(&s), tables);
        assert_int_equal(el_student_count(&s), tables + LAYERS * EL_PARTS);
        for (uint32_t i = 0; i < tables; i++)
            check_extent(&s, i, &wants[k][i], i < tables / heads ? s.embedding : s.head);
        check_parts(&s, tables);
        el_source_close(&s);
    }
}

/* ---- memory ------------------------------------------------------------------------------ */

/* A form that tells a matrix from its neighbours. */
static el_form form_of(uint32_t index)
{
    static const el_codec codecs[] = {EL_CODEC_S2, EL_CODEC_O3, EL_CODEC_S4, EL_CODEC_I8};
    static const uint32_t groups[] = {32, 64, 0};
    return (el_form){codecs[index % 4], groups[index % 3], .rotated = index % 5 < 2,
                     .kept = index % 7 < 3};
}

static void check_latent(const el_student *s, const el_latent *l, uint32_t index)
{
    const el_extent e = el_student_extent(s->source, index);
    const el_form f = form_of(index);
    uint32_t group = f.group ? f.group : e.tensor->cols;
    assert_int_equal(l->rows, e.rows);
    assert_int_equal(l->cols, e.tensor->cols);
    assert_int_equal(l->codec, f.codec);
    assert_int_equal(l->group, group);
    assert_int_equal(l->rotated, f.rotated);
    assert_int_equal(l->kept, f.kept);
}

static void check_table(const el_student *s, const el_latent_table *t, uint32_t first)
{
    assert_int_equal(t->pieces, el_source_pieces(s->source));
    for (uint32_t i = 0; i < t->pieces; i++)
        check_latent(s, &t->piece[i], first + i);
}

/* Latents follow one another: tables, layer 0, layer 1, norms. */
static void check_spans(const el_student *s, const el_arena *arena, uint32_t tables)
{
    el_span ends = el_student_ends_span(s);
    const char *after = (char *)ends.data + ends.bytes;
    assert_ptr_equal(ends.data, s->embedding.piece[0].u);
    for (uint32_t i = 0; i < LAYERS; i++) {
        el_span layer = el_student_layer_span(s, i);
        assert_ptr_equal(layer.data, after);
        after += layer.bytes;
        for (int p = 0; p < EL_PARTS; p++)
            check_latent(s, &s->layers[i][p], tables + i * EL_PARTS + (uint32_t)p);
    }
    assert_ptr_equal(after, s->norms);
    assert_true((uint8_t *)el_student_norm(s, LAYERS, 1) <= arena->base + arena->used);
}

static void check_layout(el_student *s, uint32_t tables)
{
    edgellm_error err;
    el_arena arena = el_arena_measure();
    el_student_layout(s, &arena);
    size_t measured = arena.used;
    assert_ok(el_arena_reserve(&arena, measured, &err));
    el_student_layout(s, &arena);
    assert_int_equal(arena.used, measured);
    check_table(s, &s->embedding, 0);
    if (!s->tied) check_table(s, &s->head, tables / 2);
    assert_ptr_equal(el_student_head(s), s->tied ? &s->embedding : &s->head);
    check_spans(s, &arena, tables);
    el_arena_release(&arena);
}

static void test_layout(void **state)
{
    (void)state;
    el_form forms[MOST];
    for (uint32_t i = 0; i < MOST; i++)
        forms[i] = form_of(i);
    for (int k = 0; k < KINDS; k++) {
        el_source source;
        open_source(&source, k);
        const el_config *c = &source.config;
        const el_layer_shape shape = {.dim = c->dim, .ffn_dim = c->ffn_dim};
        el_student s = {.source = &source, .shape = &shape, .forms = forms};
        check_layout(&s, kinds[k].tables);
        assert_int_equal(s.tied, !kinds[k].separate_head);
        el_source_close(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extents),
        cmocka_unit_test(test_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
