/*
 * test_tm2.c: the TM2 file: what is written is read back, value by value; the golden file is read
 * as docs/FORMAT.md says, and written again byte for byte; one of an older version is still read.
 * golden.tm2.bin is of version 4, which is written where nothing of version 5 is needed.
 * Damaged files: test_tm2_bad.c.
 *
 * When the format changes on purpose: copy golden.tm2.bin from the folder of this program to
 * tests/data, then run  python3 tests/test_tm2_reader.py --write  (needs numpy). If the version
 * before is still read, keep its file as golden_VERSION.tm2.bin.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crc32.h"
#include "kernel/rotation.h"
#include "support/golden_tm2.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

#define GOLDEN   EL_TEST_DATA "/golden.tm2.bin"
#define GOLDEN_3 EL_TEST_DATA "/golden_3.tm2.bin" /* as version 3 wrote it */
#define GOLDEN_5 EL_TEST_DATA "/golden_5.tm2.bin"
#define GOLDEN_6 EL_TEST_DATA "/golden_6.tm2.bin"
#define GOLDEN_7 EL_TEST_DATA "/golden_7.tm2.bin"
#define FOLDER   EL_TEST_OUT "/tm2"
#define PATH     FOLDER "/test.tm2.bin"

/* ---- the golden file ------------------------------------------------------------------- */

static void assert_same_files(const char *made_path, const char *golden_path)
{
    el_bytes made, golden;
    assert_true(el_bytes_load(&made, made_path));
    assert_true(el_bytes_load(&golden, golden_path));
    assert_int_equal(made.size, golden.size);
    assert_memory_equal(made.data, golden.data, golden.size);
    free(made.data);
    free(golden.data);
}

static void test_golden_bytes(void **state)
{
    (void)state;
    edgellm_error err;
    assert_ok(el_golden_write(EL_TEST_OUT "/golden.tm2.bin", &err));
    assert_same_files(EL_TEST_OUT "/golden.tm2.bin", GOLDEN);
    assert_ok(el_golden_5_write(EL_TEST_OUT "/golden_5.tm2.bin", &err));
    assert_same_files(EL_TEST_OUT "/golden_5.tm2.bin", GOLDEN_5);
    assert_ok(el_golden_6_write(EL_TEST_OUT "/golden_6.tm2.bin", &err));
    assert_same_files(EL_TEST_OUT "/golden_6.tm2.bin", GOLDEN_6);
    assert_ok(el_golden_7_write(EL_TEST_OUT "/golden_7.tm2.bin", false, &err));
    assert_same_files(EL_TEST_OUT "/golden_7.tm2.bin", GOLDEN_7);
}

static void test_golden_6(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    const el_config c = el_golden_6_config();
    assert_ok(el_tm2_open(&file, GOLDEN_6, true, &err));
    assert_int_equal(file.version, 6);
    assert_memory_equal(&file.config, &c, sizeof c);
    el_tm2_close(&file);
}

/* In version 7 section model has as many numbers as the model needs. */
static void test_golden_7(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    const char *stretched = EL_TEST_OUT "/golden_7_stretched.tm2.bin";
    const el_config few = el_golden_config(), many = el_golden_6_config();
    assert_ok(el_golden_7_write(stretched, true, &err));
    for (int i = 0; i < 2; i++) {
        assert_ok(el_tm2_open(&file, i ? stretched : GOLDEN_7, true, &err));
        assert_int_equal(file.version, 7);
        assert_memory_equal(&file.config, i ? &many : &few, sizeof few);
        el_tm2_close(&file);
    }
}

static void refuse_config(const el_config *c, const char *part)
{
    edgellm_error err;
    el_tm2_writer *writer;
    const el_vocab v = el_golden_vocab();
    assert_int_equal(el_tm2_create(&writer, PATH, c, &v, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, part);
}

/* What YaRN needs, and what is no number. */
static void test_bad_stretches(void **state)
{
    (void)state;
    el_config c = el_golden_6_config();
    c.yarn_slow = 24;
    refuse_config(&c, "YaRN needs all of them");
    c = el_golden_6_config();
    c.rope_factor = 0;
    refuse_config(&c, "rope_factor 0,");
    c = el_golden_6_config();
    c.rope_context = 0;
    refuse_config(&c, "rope_context 0,");
    c = el_golden_6_config();
    c.rope_base = 1;
    refuse_config(&c, "rope_base above 1");
    c = el_golden_6_config();
    c.rope_context = UINT32_MAX;
    refuse_config(&c, "rope_context is 4294967295");
    c = el_golden_6_config();
    c.rope_gain = -1;
    refuse_config(&c, "rope_gain -1 must be 0, or positive");
}

static void test_golden_5(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    const el_vocab v = el_golden_5_vocab();
    const el_config c = el_golden_5_config();
    assert_ok(el_tm2_open(&file, GOLDEN_5, true, &err));
    assert_int_equal(file.version, 5);
    assert_memory_equal(&file.config, &c, sizeof c);
    assert_string_equal(file.vocab.pretokenizer, "spm");
    assert_int_equal(file.vocab.space_first, 1);
    assert_int_equal(file.vocab.add_bos, 1);
    assert_memory_equal(file.vocab.ranks, v.ranks, v.n_tokens * sizeof *v.ranks);
    assert_memory_equal(file.vocab.types, v.types, v.n_tokens);
    assert_memory_equal(file.vocab.bytes, v.bytes, v.starts[v.n_tokens]);
    el_tm2_close(&file);
}

/* A file has ranks if and only if its vocabulary is one that is merged by them. */
static void test_ranks_are_asked_for(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2_writer *writer;
    const el_config c = el_golden_5_config();
    el_vocab v = el_golden_5_vocab();
    v.ranks = NULL;
    v.space_first = 0;
    assert_int_equal(el_tm2_create(&writer, PATH, &c, &v, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "'spm' needs ranks");
    v = el_golden_5_vocab();
    v.pretokenizer = "gpt2";
    assert_int_equal(el_tm2_create(&writer, PATH, &c, &v, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "'gpt2' has no ranks");
    v = el_golden_5_vocab();
    v.n_merges = 1;
    v.merges = &(el_merge){2, 3};
    assert_int_equal(el_tm2_create(&writer, PATH, &c, &v, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "both ranks and merges");
}

/* Scores are bits; those that no sum can be made of are refused, on both ways. */
static void test_scores_come_back(void **state)
{
    (void)state;
    static const float scores[] = {0, 0, -2.5f, -1e9f, 0, 0.1f, -0.0f};
    edgellm_error err;
    el_tm2_writer *writer;
    el_tm2 file;
    uint32_t bits[7];
    const el_config c = el_golden_5_config();
    el_vocab v = el_golden_5_vocab();
    memcpy(bits, scores, sizeof bits);
    v.ranks = bits;
    v.pretokenizer = "unigram";
    assert_ok(el_tm2_create(&writer, PATH, &c, &v, 0, &err));
    assert_ok(el_tm2_finish(writer, "{}", NULL, NULL, &err));
    assert_ok(el_tm2_open(&file, PATH, true, &err));
    assert_int_equal(file.version, 5);
    assert_string_equal(file.vocab.pretokenizer, "unigram");
    assert_int_equal(file.vocab.space_first, 1);
    assert_memory_equal(file.vocab.ranks, bits, sizeof bits);
    el_tm2_close(&file);
    bits[4] = 0x7fc00000;
    assert_int_equal(el_tm2_create(&writer, PATH, &c, &v, 0, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "the score of token 4 is nan");
}

/* The CRC-32 of the weights that a tensor stands for, as float32. */
static uint32_t crc_of_weights(const el_tm2 *file, const el_tensor *t)
{
    edgellm_error err;
    if (t->codec == EL_CODEC_F32) return el_crc32(0, t->data, t->bytes);
    el_matrix m;
    assert_ok(el_tm2_matrix(file, t->name, t->rows, t->cols, &m, &err));
    float *row = malloc(t->cols * sizeof *row);
    assert_non_null(row);
    uint32_t crc = 0;
    for (uint32_t r = 0; r < t->rows; r++) {
        el_matrix_row(&m, r, row);
        if (m.rotation) el_rotate_back(row, m.cols);
        crc = el_crc32(crc, row, t->cols * sizeof *row);
    }
    free(row);
    return crc;
}

/* golden.expected was made by tools/tm2.py, which knows nothing of this code. */
static void test_golden_values(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    el_bytes expected;
    assert_ok(el_tm2_open(&file, GOLDEN, true, &err));
    assert_int_equal(file.n_tensors, el_golden_count);
    assert_true(el_bytes_load(&expected, EL_TEST_DATA "/golden.expected"));
    el_bytes_put(&expected, "", 1);
    char *line = strtok((char *)expected.data, "\n");
    for (uint32_t i = 0; i < file.n_tensors; i++, line = strtok(NULL, "\n")) {
        char text[160];
        el_tensor t;
        el_tm2_tensor(&file, i, &t);
        assert_non_null(line);
        snprintf(text, sizeof text, "%s %u %u %s %08x", t.name, t.rows, t.cols,
                 el_codecs[t.codec].name, crc_of_weights(&file, &t));
        assert_string_equal(text, line);
    }
    assert_null(line);
    free(expected.data);
    el_tm2_close(&file);
}

static void assert_golden_text(const char *path)
{
    edgellm_error err;
    el_tm2 file;
    el_vocab v = el_golden_vocab();
    el_config c = el_golden_config();
    assert_ok(el_tm2_open(&file, path, false, &err));
    assert_memory_equal(&file.config, &c, sizeof c);
    assert_string_equal(file.manifest, EL_GOLDEN_MANIFEST);
    assert_string_equal(file.vocab.chat_template, v.chat_template);
    assert_string_equal(file.vocab.pretokenizer, v.pretokenizer);
    assert_int_equal(file.vocab.n_tokens, v.n_tokens);
    assert_int_equal(file.vocab.n_merges, v.n_merges);
    assert_memory_equal(file.vocab.starts, v.starts, 7 * sizeof *v.starts);
    assert_memory_equal(file.vocab.types, v.types, 6);
    assert_memory_equal(file.vocab.merges, v.merges, sizeof *v.merges);
    assert_memory_equal(file.vocab.bytes, v.bytes, v.starts[6]);
    assert_true(file.vocab.bos == EL_TOKEN_NONE && file.vocab.pad == EL_TOKEN_NONE);
    assert_int_equal(file.vocab.eos, 0);
    assert_int_equal(file.vocab.unk, 0);
    assert_int_equal(file.vocab.add_bos, 0);
    uint64_t parameters = 0, weights = 0;
    for (uint32_t i = 0; i < file.n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(&file, i, &t);
        parameters += (uint64_t)t.rows * t.cols;
        weights += t.bytes;
    }
    assert_int_equal(file.parameters, parameters);
    assert_in_range(file.map.size - file.small_bytes, weights, weights + 64 * file.n_tensors);
    el_tm2_close(&file);
}

static void test_golden_text(void **state)
{
    (void)state;
    assert_golden_text(GOLDEN);
    assert_golden_text(GOLDEN_3);
}

/* ---- by name --------------------------------------------------------------------------- */

/* The file has the first of the golden tensors. */
static void assert_golden_tensors(const el_tm2 *file, uint32_t count)
{
    assert_int_equal(file->n_tensors, count);
    for (uint32_t i = 0; i < count; i++) {
        el_tensor made = el_golden_tensor(i), read;
        assert_true(el_tm2_find(file, made.name, &read));
        assert_string_equal(read.name, made.name);
        assert_true(read.rows == made.rows && read.cols == made.cols && read.group == made.group &&
                    read.codec == made.codec && read.scale_kind == made.scale_kind &&
                    read.rotation == made.rotation);
        assert_int_equal(read.bytes, made.bytes);
        assert_int_equal((uintptr_t)read.data % 64, 0);
        assert_memory_equal(read.data, made.data, made.bytes);
        free((void *)(uintptr_t)made.data);
    }
}

/* Codecs that are newer than version 3 come last. */
static void test_version_3(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    uint32_t count = 0;
    while (count < el_golden_count) {
        el_tensor t = el_golden_tensor(count);
        free((void *)(uintptr_t)t.data);
        if (t.codec >= EL_CODEC_B1) break;
        count++;
    }
    assert_ok(el_tm2_open(&file, GOLDEN_3, true, &err));
    assert_int_equal(file.version, 3);
    assert_golden_tensors(&file, count);
    el_tm2_close(&file);
}

static void test_find(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    assert_ok(el_tm2_open(&file, GOLDEN, true, &err));
    assert_int_equal(file.version, EL_TM2_USUAL);
    assert_golden_tensors(&file, el_golden_count);
    el_tensor t = {.rows = 77};
    static const char *const others[] = {"", "a", "s3.f16.640", "s3.f16.6", "zzz"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(el_tm2_find(&file, others[i], &t));
    }
    assert_int_equal(t.rows, 77);
    el_tm2_close(&file);
}

static void test_matrix_and_vector(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    el_matrix m = {.rows = 77};
    const float *v = NULL;
    assert_ok(el_tm2_open(&file, GOLDEN, false, &err));
    assert_ok(el_tm2_vector(&file, "f32.vector", 100, &v, &err));
    el_tensor t = el_golden_tensor(18);
    assert_memory_equal(v, t.data, t.bytes);
    free((void *)(uintptr_t)t.data);

    assert_int_equal(el_tm2_matrix(&file, "nothing", 49, 100, &m, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'nothing' is missing"));
    assert_int_equal(el_tm2_matrix(&file, "s3.f16.64", 49, 101, &m, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "(49, 100) in codec s3; the model needs (49, 101)"));
    assert_int_equal(el_tm2_matrix(&file, "f32.matrix", 3, 5, &m, &err), EDGELLM_ERR_FORMAT);
    assert_int_equal(el_tm2_vector(&file, "f32.vector", 99, &v, &err), EDGELLM_ERR_FORMAT);
    assert_int_equal(el_tm2_vector(&file, "z4.byte.32", 33, &v, &err), EDGELLM_ERR_FORMAT);
    assert_int_equal(m.rows, 77);
    assert_ok(el_tm2_matrix(&file, "s3.f16.64", 49, 100, &m, &err));
    assert_true(m.rows == 49 && m.tiles == 4 && m.blocks == 4 && m.groups == 2);
    assert_int_equal(m.rotation, EL_ROTATION_NONE);
    assert_ok(el_tm2_matrix(&file, "r.o2.byte.64", 33, 128, &m, &err));
    assert_int_equal(m.rotation, EL_ROTATION_HADAMARD64);
    el_tm2_close(&file);
}

/* ---- the writer ------------------------------------------------------------------------ */

static int files_in_folder(void)
{
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    int n = 0;
    for (struct dirent *e; (e = readdir(folder));)
        n += e->d_name[0] != '.';
    closedir(folder);
    return n;
}

/* An empty folder, so that whatever is left behind is seen. */
static int make_folder(void **state)
{
    (void)state;
    return system("rm -rf '" FOLDER "' && mkdir '" FOLDER "'");
}

static el_tm2_writer *start_file(void)
{
    edgellm_error err;
    el_tm2_writer *writer = NULL;
    el_config config = el_golden_config();
    el_vocab vocab = el_golden_vocab();
    assert_ok(el_tm2_create(&writer, PATH, &config, &vocab, 3, &err));
    return writer;
}

static void test_empty_model(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    uint64_t bytes = 0;
    assert_ok(el_tm2_finish(start_file(), "{}", NULL, &bytes, &err));
    assert_ok(el_tm2_open(&file, PATH, true, &err));
    assert_int_equal(file.n_tensors, 0);
    assert_int_equal(bytes, file.map.size);
    el_tm2_close(&file);
    assert_int_equal(unlink(PATH), 0);
}

static void name_twice(el_tensor *t)
{
    t->name = "first";
}

static void name_empty(el_tensor *t)
{
    t->name = "";
}

static void name_spaced(el_tensor *t)
{
    t->name = "a b";
}

static void name_long(el_tensor *t)
{
    t->name = "a.name.of.64.bytes.a.name.of.64.bytes.a.name.of.64.bytes.a.name.";
}

static void no_rows(el_tensor *t)
{
    t->rows = 0;
}

static void more_rows(el_tensor *t)
{
    t->rows = 65;
}

static void odd_group(el_tensor *t)
{
    t->group = 48;
}

static void odd_codec(el_tensor *t)
{
    t->codec = EL_CODEC_COUNT;
}

static void odd_kind(el_tensor *t)
{
    t->scale_kind = EL_SCALE_KINDS;
}

static void few_bytes(el_tensor *t)
{
    t->bytes -= 64;
}

static uint8_t *plane_of(el_tensor *t, int plane)
{
    el_matrix_layout layout;
    assert_int_equal(el_matrix_measure(t->rows, t->cols, (el_codec)t->codec,
                                       (el_scale_kind)t->scale_kind, t->group, &layout),
                     0);
    return (uint8_t *)(uintptr_t)t->data + layout.plane_offset[plane];
}

static void infinite_scale(el_tensor *t) /* tile 1, group 2, row 3 of the tile */
{
    memcpy(plane_of(t, 1) + 2 * ((1 * 3 + 2) * 16 + 3), "\x00\x7c", 2);
}

static void nan_offset(el_tensor *t) /* the last entry of a real row */
{
    memcpy(plane_of(t, 2) + 2 * ((1 * 3 + 2) * 16 + 0), "\x01\xfc", 2);
}

static void scaled_padding(el_tensor *t)
{
    memcpy(plane_of(t, 1) + 2 * ((1 * 3 + 0) * 16 + 15), "\x00\x3c", 2);
}

static void lowest_code(el_tensor *t) /* tile 1, block 1, quad 3, row 0 of the tile, column 2 */
{
    plane_of(t, 0)[(1 * 3 + 1) * 512 + 3 * 64 + 2] = 0x80;
}

static void dirty_padding(el_tensor *t) /* one group of 16 halves: 32 bytes, then 32 of padding */
{
    el_matrix_layout layout;
    t->rows = 16;
    t->group = 0;
    assert_int_equal(el_matrix_measure(16, 65, EL_CODEC_O8, EL_SCALE_F16, 0, &layout), 0);
    t->bytes = layout.bytes;
    plane_of(t, 1)[32] = 1;
}

/* What the writer refuses, it refuses with the name and the place; and no file appears. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(el_tensor *);
        const char *part;
    } rows[] = {
        {name_twice, "'first' was written before"},
        {name_empty, "a name is"},
        {name_spaced, "a name is"},
        {name_long, "a name is"},
        {no_rows, "(0, 65)"},
        {more_rows, "takes"},
        {odd_group, "group 48"},
        {odd_codec, "codec 15"},
        {odd_kind, "scale kind 2"},
        {few_bytes, "takes"},
        {infinite_scale, "scales, row 19, group 2: 0x7c00"},
        {nan_offset, "offsets, row 16, group 2: 0xfc01"},
        {scaled_padding, "padded row 31, group 0"},
        {lowest_code, "row 16, column 46: the code -128"},
        {dirty_padding, "padding after the scales"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        edgellm_error err;
        el_tm2_writer *writer = start_file();
        el_tensor first = el_golden_tensor(18), t = el_golden_tensor(16);
        assert_int_equal(t.codec, EL_CODEC_O8);
        first.name = "first";
        t.group = 32; /* 3 groups */
        el_matrix_layout layout;
        assert_int_equal(el_matrix_measure(17, 65, EL_CODEC_O8, EL_SCALE_F16, 32, &layout), 0);
        free((void *)(uintptr_t)t.data);
        uint8_t *data = calloc(1, layout.bytes);
        assert_non_null(data);
        t.data = data;
        t.bytes = layout.bytes;
        assert_ok(el_tm2_put(writer, &first, &err));
        rows[i].spoil(&t);
        assert_int_equal(el_tm2_put(writer, &t, &err), EDGELLM_ERR_FORMAT);
        if (!strstr(err.message, rows[i].part)) fail_msg("row %zu: %s", i, err.message);
        if (i % 2) { /* a caller that goes on gets no file either */
            assert_int_equal(el_tm2_finish(writer, "{}", NULL, NULL, &err), EDGELLM_ERR_USAGE);
        } else {
            el_tm2_cancel(writer);
        }
        assert_int_equal(files_in_folder(), 0);
        free(data);
        free((void *)(uintptr_t)first.data);
    }
}

/* The columns would fit, the codec does not. */
static void test_floats_are_not_rotated(void **state)
{
    (void)state;
    static const float row[64] = {1.0f};
    edgellm_error err;
    el_tensor t = {.name = "norm", .rows = 1, .cols = 64, .bytes = sizeof row};
    el_tm2_writer *writer = start_file();
    t.data = (const uint8_t *)row;
    t.rotation = EL_ROTATION_HADAMARD64;
    assert_int_equal(el_tm2_put(writer, &t, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "'norm': (1, 64) in codec f32 cannot be rotated"));
    el_tm2_cancel(writer);
}

static void test_nan_weight(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2_writer *writer = start_file();
    el_tensor t = el_golden_tensor(19);
    memcpy((uint8_t *)(uintptr_t)t.data + 4 * 7, "\x00\x00\x80\xff", 4);
    assert_int_equal(el_tm2_put(writer, &t, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "row 1, column 2: 0xff800000"));
    free((void *)(uintptr_t)t.data);
    el_tm2_cancel(writer);
    el_tm2_cancel(NULL);
}

static void test_too_many(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    edgellm_error err;
    el_tm2_writer *writer = start_file();
    el_tensor t = el_golden_tensor(18);
    for (int i = 0; i < 4; i++) {
        t.name = names[i];
        assert_int_equal(el_tm2_put(writer, &t, &err), i < 3 ? EDGELLM_OK : EDGELLM_ERR_USAGE);
    }
    free((void *)(uintptr_t)t.data);
    el_tm2_cancel(writer);
    assert_int_equal(files_in_folder(), 0);
}

static void test_bad_head(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2_writer *writer = NULL;
    el_config config = el_golden_config();
    el_vocab vocab = el_golden_vocab();
    config.vocab = 7;
    assert_int_equal(el_tm2_create(&writer, PATH, &config, &vocab, 3, &err), EDGELLM_ERR_FORMAT);
    config = el_golden_config();
    config.norm_eps = -1;
    assert_int_equal(el_tm2_create(&writer, PATH, &config, &vocab, 3, &err), EDGELLM_ERR_FORMAT);
    config = el_golden_config();
    vocab.eos = 6;
    assert_int_equal(el_tm2_create(&writer, PATH, &config, &vocab, 3, &err), EDGELLM_ERR_FORMAT);
    vocab = el_golden_vocab();
    vocab.pretokenizer = "a.name.of.16.byt";
    assert_int_equal(el_tm2_create(&writer, PATH, &config, &vocab, 3, &err), EDGELLM_ERR_FORMAT);
    vocab = el_golden_vocab();
    assert_int_equal(el_tm2_create(&writer, FOLDER "/no/file", &config, &vocab, 3, &err),
                     EDGELLM_ERR_IO);
    assert_int_equal(el_tm2_finish(start_file(), "\xff", NULL, NULL, &err), EDGELLM_ERR_FORMAT);
    assert_null(writer);
    assert_int_equal(files_in_folder(), 0);
}

/* A full disk, played by a limit on the size of files: what was there stays as it was. */
static void test_full_disk(void **state)
{
    (void)state;
    edgellm_error err;
    struct rlimit kept, small;
    el_bytes before, after;
    assert_ok(el_tm2_finish(start_file(), "{}", NULL, NULL, &err));
    assert_true(el_bytes_load(&before, PATH));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    signal(SIGXFSZ, SIG_IGN);
    small = kept;
    small.rlim_cur = 2000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    el_tm2_writer *writer = start_file();
    el_tensor t = el_golden_tensor(2);
    edgellm_status put = el_tm2_put(writer, &t, &err);
    edgellm_status finish = el_tm2_finish(writer, "{}", NULL, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_true(put == EDGELLM_OK || put == EDGELLM_ERR_IO);
    assert_true(finish != EDGELLM_OK);
    assert_true(el_bytes_load(&after, PATH));
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, after.size);
    assert_int_equal(files_in_folder(), 1);
    free((void *)(uintptr_t)t.data);
    free(before.data);
    free(after.data);
    unlink(PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_golden_values),
        cmocka_unit_test(test_golden_text),
        cmocka_unit_test(test_version_3),
        cmocka_unit_test(test_golden_5),
        cmocka_unit_test(test_golden_6),
        cmocka_unit_test(test_golden_7),
        cmocka_unit_test(test_bad_stretches),
        cmocka_unit_test(test_ranks_are_asked_for),
        cmocka_unit_test(test_scores_come_back),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_matrix_and_vector),
        cmocka_unit_test(test_empty_model),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nan_weight),
        cmocka_unit_test(test_floats_are_not_rotated),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_bad_head),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests_name("tm2", tests, make_folder, NULL);
}
