#include "support/tiny_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/quantize.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

/* head_dim 48 and ffn 104 are no multiples of the activation group of 32; texts begin with bos. */
static const el_tiny_spec odd_spec = {.dim = 96,
                                      .ffn_dim = 104,
                                      .layers = 2,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .context = 256,
                                      .matrix_type = 0,
                                      .embedding_type = 0,
                                      .add_bos = true,
                                      .version = 3,
                                      .seed = 5};

/* Widths that are rotated, in shares of three and two. */
static const el_tiny_spec rotated_spec = {.dim = 192,
                                          .ffn_dim = 128,
                                          .layers = 2,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .context = 256,
                                          .matrix_type = 0,
                                          .embedding_type = 0,
                                          .rotated = true,
                                          .version = 3,
                                          .seed = 6};

/* Files behind those that others may ask for: three sources, and what TINY_ROTATED is made of. */
enum { KEPT_SOURCE = TINY_FILES, ODD_SOURCE, ROTATED_SOURCE, UNSAID, ALL_FILES };

static const char *const names[ALL_FILES] = {
    [TINY_KEPT] = "kept.tm2.bin",      [TINY_BYTE_2] = "byte2.tm2.bin",
    [TINY_BYTE_3] = "byte3.tm2.bin",   [TINY_OFFSET_4] = "offset4.tm2.bin",
    [TINY_ROW_8] = "row8.tm2.bin",     [TINY_ROTATED] = "rotated.tm2.bin",
    [TINY_CUT] = "cut.tm2.bin",        [TINY_MIXED] = "mixed.tm2.bin",
    [KEPT_SOURCE] = "kept.gguf",       [ODD_SOURCE] = "odd.gguf",
    [ROTATED_SOURCE] = "rotated.gguf", [UNSAID] = "unsaid.tm2.bin",
};

/* Of each test program its own, since they run at the same time. Written by tiny_files_make(). */
static char paths[ALL_FILES][PATH_MAX];

/* What the quantiser makes. */
typedef struct recipe {
    int source, target;
    el_quantize_options options;
} recipe;

static const recipe recipes[] = {
    {KEPT_SOURCE, TINY_KEPT, {.group = 32, .embedding_group = 32}},
    {ODD_SOURCE,
     TINY_BYTE_2,
     {.bits = 2, .group = 64, .embedding_group = 64, .scales = EL_SCALE_BYTE}},
    {ODD_SOURCE,
     TINY_BYTE_3,
     {.bits = 3, .group = 32, .embedding_group = 32, .scales = EL_SCALE_BYTE}},
    {ODD_SOURCE,
     TINY_OFFSET_4,
     {.bits = 4, .embedding_bits = 8, .group = 32, .embedding_group = 32, .offset = true}},
    {ODD_SOURCE, TINY_ROW_8, {.bits = 8}},
    {ROTATED_SOURCE,
     UNSAID,
     {.bits = 3, .group = 64, .embedding_group = 64, .scales = EL_SCALE_BYTE}},
};

static int make(const recipe *r)
{
    edgellm_error err = {0};
    el_quantize_result result;
    if (el_quantize(paths[r->source], paths[r->target], &r->options, &result, &err) == EDGELLM_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", paths[r->target], err.message);
    return -1;
}

void tiny_file_say_rotated(const char *from, const char *to, bool (*turned)(const char *name))
{
    edgellm_error err;
    el_tm2 source;
    el_tm2_writer *writer;
    assert_ok(el_tm2_open(&source, from, true, &err));
    assert_ok(el_tm2_create(&writer, to, &source.config, &source.vocab, source.n_tensors, &err));
    for (uint32_t i = 0; i < source.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&source, i, &t);
        const bool turn = t.codec != EL_CODEC_F32 && (!turned || turned(t.name));
        t.rotation = turn ? EL_ROTATION_HADAMARD64 : EL_ROTATION_NONE;
        assert_ok(el_tm2_put(writer, &t, &err));
    }
    assert_ok(el_tm2_finish(writer, source.manifest, NULL, NULL, &err));
    el_tm2_close(&source);
}

static void measure(const el_tensor *t, el_matrix_layout *layout)
{
    assert_int_equal(el_matrix_measure(t->rows, t->cols, (el_codec)t->codec,
                                       (el_scale_kind)t->scale_kind, t->group, layout),
                     0);
}

/* Each plane lies tile after tile. */
void tiny_file_put_rows(el_tm2_writer *writer, const el_tensor *whole, const char *name,
                        uint32_t first, uint32_t rows)
{
    edgellm_error err;
    el_matrix_layout from, to;
    el_tensor t = *whole;
    t.name = name;
    t.rows = rows;
    measure(whole, &from);
    measure(&t, &to);
    uint8_t *data = calloc(1, (size_t)to.bytes);
    assert_non_null(data);
    for (int p = 0; p < EL_PLANES; p++) {
        uint64_t tile = from.plane_bytes[p] / ((whole->rows + EL_TILE - 1) / EL_TILE);
        memcpy(data + to.plane_offset[p],
               whole->data + from.plane_offset[p] + first / EL_TILE * tile,
               (size_t)to.plane_bytes[p]);
    }
    t.data = data;
    t.bytes = to.bytes;
    assert_ok(el_tm2_put(writer, &t, &err));
    free(data);
}

void tiny_file_cut(const char *from, const char *to, const char *name, const char *rest,
                   uint32_t rows)
{
    edgellm_error err;
    el_tm2 source;
    el_tm2_writer *writer;
    assert_ok(el_tm2_open(&source, from, true, &err));
    assert_ok(
        el_tm2_create(&writer, to, &source.config, &source.vocab, source.n_tensors + 1, &err));
    for (uint32_t i = 0; i < source.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&source, i, &t);
        if (strcmp(t.name, name) == 0) {
            tiny_file_put_rows(writer, &t, name, 0, rows);
            tiny_file_put_rows(writer, &t, rest, rows, t.rows - rows);
        } else {
            assert_ok(el_tm2_put(writer, &t, &err));
        }
    }
    assert_ok(el_tm2_finish(writer, source.manifest, NULL, NULL, &err));
    el_tm2_close(&source);
}

static bool is_turned_in_mixed(const char *name)
{
    static const char *const others[] = {"attn_k", "ffn_up", "embd.rest"};
    for (int i = 0; i < 3; i++)
        if (strstr(name, others[i])) return false;
    return true;
}

static int make_all(void)
{
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (make(&recipes[i]) != 0) return -1;
    tiny_file_say_rotated(paths[UNSAID], paths[TINY_ROTATED], NULL);
    tiny_file_cut(paths[TINY_ROTATED], paths[TINY_CUT], "token_embd.weight",
                  "token_embd.rest.weight", 160);
    tiny_file_say_rotated(paths[TINY_CUT], paths[TINY_MIXED], is_turned_in_mixed);
    return 0;
}

int tiny_files_make(void **state)
{
    const el_tiny_spec spec = el_tiny_defaults();
    (void)state;
    for (int i = 0; i < ALL_FILES; i++)
        snprintf(paths[i], sizeof paths[i], EL_TEST_OUT "/%s_%s", program_invocation_short_name,
                 names[i]);
    if (!el_tiny_write(&spec, paths[KEPT_SOURCE]) || !el_tiny_write(&odd_spec, paths[ODD_SOURCE]) ||
        !el_tiny_write(&rotated_spec, paths[ROTATED_SOURCE]))
        return -1;
    return make_all();
}

const char *tiny_file_path(tiny_file file)
{
    return paths[file];
}

edgellm_engine *tiny_file_open(tiny_file file)
{
    edgellm_engine *engine = NULL;
    edgellm_error err;
    assert_ok(edgellm_engine_open(tiny_file_path(file), NULL, &engine, &err));
    return engine;
}
