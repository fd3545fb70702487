/*
 * test_tm2_bad.c: TM2 files that are cut, flipped or lie. A liar's checksums are made right again
 * after each change, so that the checks behind them are reached.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32.h"
#include "format/tm2_layout.h"
#include "support/golden_tm2.h"
#include "support/tiny_model.h"

#define PATH EL_TEST_OUT "/bad.tm2.bin"

/* ---- the sound file, and its parts ----------------------------------------------------- */

/* Of the golden tensors, some small ones with all kinds of planes; by name in this order. */
enum { F32_MATRIX, F32_VECTOR, I8_F16, O3_BYTE, O8_BYTE, T1_F16, T2_BYTE, Z4_F16, N_TENSORS };

static el_bytes sound; /* as written */

static int make_sound(void **state)
{
    (void)state;
    static const uint32_t chosen[N_TENSORS] = {19, 18, 14, 9, 17, 26, 25, 12};
    el_tm2_writer *writer;
    el_config config = el_golden_config();
    el_vocab vocab = el_golden_vocab();
    if (el_tm2_create(&writer, PATH, &config, &vocab, N_TENSORS, NULL)) return -1;
    for (int i = 0; i < N_TENSORS; i++) {
        el_tensor t = el_golden_tensor(chosen[i]);
        edgellm_status status = el_tm2_put(writer, &t, NULL);
        free((void *)(uintptr_t)t.data);
        if (status) return -1;
    }
    if (el_tm2_finish(writer, EL_GOLDEN_MANIFEST, NULL, NULL, NULL)) return -1;
    return el_bytes_load(&sound, PATH) ? 0 : -1;
}

static int free_sound(void **state)
{
    (void)state;
    free(sound.data);
    return 0;
}

static el_bytes copy_of_sound(void)
{
    el_bytes b = {0};
    el_bytes_put(&b, sound.data, sound.size);
    return b;
}

static uint8_t *table_entry(el_bytes *b, int section)
{
    return b->data + EL_TM2_HEADER_BYTES + section * EL_TM2_ENTRY_BYTES;
}

static uint64_t start_of(int section)
{
    return el_load64(table_entry(&sound, section) + EL_TM2_AT_OFFSET);
}

static uint64_t end_of(int section)
{
    return start_of(section) + el_load64(table_entry(&sound, section) + EL_TM2_AT_SIZE);
}

static uint8_t *section_data(el_bytes *b, int section)
{
    return b->data + start_of(section);
}

static uint8_t *tensor_entry(el_bytes *b, int tensor)
{
    return section_data(b, EL_TM2_TENSORS) + tensor * EL_TM2_TENSOR_BYTES;
}

static uint8_t *tensor_data(el_bytes *b, int tensor)
{
    return b->data + el_load64(tensor_entry(&sound, tensor) + EL_TM2_AT_DATA);
}

/* Makes the checksums of tensors, small sections, table and header right, where they can be. */
static void sign(el_bytes *b)
{
    for (int i = 0; i < N_TENSORS; i++) {
        uint64_t size = el_load64(tensor_entry(&sound, i) + EL_TM2_AT_DATA_BYTES);
        el_store32(tensor_entry(b, i) + EL_TM2_AT_DATA_CRC,
                   el_crc32(0, tensor_data(b, i), (size_t)size));
    }
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        uint64_t offset = el_load64(table_entry(b, i) + EL_TM2_AT_OFFSET);
        uint64_t size = el_load64(table_entry(b, i) + EL_TM2_AT_SIZE);
        if (i == EL_TM2_WEIGHTS || offset > b->size || size > b->size - offset) continue;
        el_store32(table_entry(b, i) + EL_TM2_AT_CRC, el_crc32(0, b->data + offset, (size_t)size));
    }
    el_store32(b->data + EL_TM2_AT_TABLE_CRC,
               el_crc32(0, b->data + EL_TM2_HEADER_BYTES, EL_TM2_TABLE_BYTES));
    el_store32(b->data + EL_TM2_AT_HEADER_CRC, el_crc32(0, b->data, EL_TM2_AT_HEADER_CRC));
}

static edgellm_status open_bytes(const el_bytes *b, bool verify, el_tm2 *file, edgellm_error *err)
{
    err->message[0] = 0;
    assert_true(el_bytes_save(b, PATH));
    return el_tm2_open(file, PATH, verify, err);
}

/* ---- using what was accepted ----------------------------------------------------------- */

/* The sanitisers watch; the sum makes sure that everything is read. */
static float use_tensor(const el_tm2 *file, const el_tensor *t)
{
    edgellm_error err;
    float sum = 0, row[1024];
    el_tensor found;
    assert_true(el_tm2_find(file, t->name, &found));
    assert_ptr_equal(found.data, t->data);
    if (t->codec == EL_CODEC_F32) {
        const float *weights = (const float *)(const void *)t->data;
        for (uint32_t i = 0; i < t->rows * t->cols; i++)
            sum += weights[i];
        if (t->rows == 1)
            assert_int_equal(el_tm2_vector(file, t->name, t->cols, &weights, &err), 0);
        return sum;
    }
    el_matrix m;
    assert_int_equal(el_tm2_matrix(file, t->name, t->rows, t->cols, &m, &err), EDGELLM_OK);
    assert_true(t->cols <= 1024);
    for (uint32_t r = 0; r < t->rows; r++) {
        el_matrix_row(&m, r, row);
        for (uint32_t c = 0; c < t->cols; c++)
            sum += row[c];
    }
    return sum;
}

static void use_all(const el_tm2 *file)
{
    const el_vocab *v = &file->vocab;
    size_t length = strlen(file->manifest) + strlen(v->chat_template) + strlen(v->pretokenizer) +
                    strlen(file->config.architecture) + strlen(file->config.name);
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        for (uint32_t k = v->starts[i]; k < v->starts[i + 1]; k++)
            length += v->bytes[k];
        length += v->types[i];
    }
    for (uint32_t i = 0; i < v->n_merges; i++) {
        length += v->starts[v->merges[i].left] + v->starts[v->merges[i].right];
    }
    assert_true(length > 0);
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(file, i, &t);
        float sum = use_tensor(file, &t);
        assert_true(sum == sum); /* finite planes make finite weights: no NaN */
    }
}

static void test_sound(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    el_bytes b = copy_of_sound();
    sign(&b);
    assert_memory_equal(b.data, sound.data, sound.size);
    assert_int_equal(open_bytes(&b, true, &file, &err), EDGELLM_OK);
    use_all(&file);
    el_tm2_close(&file);
    free(b.data);
}

/* ---- cut off --------------------------------------------------------------------------- */

static void assert_cut_is_refused(size_t size)
{
    edgellm_error err;
    el_tm2 file = {.n_tensors = 77};
    el_bytes b = {sound.data, size, size};
    assert_int_equal(open_bytes(&b, false, &file, &err), EDGELLM_ERR_FORMAT);
    assert_true(strlen(err.message) > 20);
    assert_int_equal(file.n_tensors, 77);
}

static void test_truncated(void **state)
{
    (void)state;
    for (size_t size = 0; size < sound.size; size += size < 1024 ? 1 : 61) {
        assert_cut_is_refused(size);
    }
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        for (int d = -1; d <= 1; d++) {
            assert_cut_is_refused((size_t)start_of(i) + (size_t)d);
            if (i + 1 < EL_TM2_SECTIONS || d < 0)
                assert_cut_is_refused((size_t)end_of(i) + (size_t)d);
        }
    }
}

static void test_extended(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    el_bytes b = copy_of_sound();
    el_bytes_put(&b, "", 1);
    assert_int_equal(open_bytes(&b, false, &file, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "file size"));
    el_store64(b.data + EL_TM2_AT_FILE_BYTES, b.size);
    sign(&b);
    assert_int_equal(open_bytes(&b, false, &file, &err), EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "the last section ends"));
    free(b.data);
}

static void test_not_files(void **state)
{
    (void)state;
    edgellm_error err;
    el_tm2 file;
    assert_int_equal(el_tm2_open(&file, EL_TEST_OUT "/missing", false, &err), EDGELLM_ERR_IO);
    assert_int_equal(el_tm2_open(&file, EL_TEST_OUT, false, &err), EDGELLM_ERR_IO);
    assert_int_equal(el_tm2_open(&file, EL_TEST_OUT, false, NULL), EDGELLM_ERR_IO);
    if (geteuid() == 0) return; /* root may read everything */
    el_bytes b = copy_of_sound();
    assert_true(el_bytes_save(&b, EL_TEST_OUT "/secret"));
    assert_int_equal(chmod(EL_TEST_OUT "/secret", 0), 0);
    assert_int_equal(el_tm2_open(&file, EL_TEST_OUT "/secret", false, &err), EDGELLM_ERR_IO);
    free(b.data);
}

/* ---- flipped --------------------------------------------------------------------------- */

/* With `verify` no flip goes unnoticed; without, weights may differ but everything is usable. */
static void test_flipped(void **state)
{
    (void)state;
    el_random random = {3};
    el_bytes b = copy_of_sound();
    uint32_t accepted = 0;
    for (int i = 0; i < 2000; i++) {
        uint32_t at = el_random_below(&random, (uint32_t)b.size);
        uint8_t bit = (uint8_t)(1u << el_random_below(&random, 8));
        edgellm_error err;
        el_tm2 file;
        b.data[at] ^= bit;
        if (open_bytes(&b, false, &file, &err) == EDGELLM_OK) {
            accepted++;
            bool in_weights = at >= start_of(EL_TM2_WEIGHTS) && at < end_of(EL_TM2_WEIGHTS);
            assert_true(in_weights || sound.data[at] == 0); /* else only padding */
            use_all(&file);
            el_tm2_close(&file);
            assert_int_equal(el_tm2_open(&file, PATH, true, &err), EDGELLM_ERR_FORMAT);
        }
        assert_true(strlen(err.message) > 20);
        b.data[at] ^= bit;
    }
    assert_in_range(accepted, 200, 1999);
    free(b.data);
}

/* Structure with flips and right checksums: reaches every check behind them. */
static void test_flipped_and_signed(void **state)
{
    (void)state;
    el_random random = {4};
    uint32_t accepted = 0, refused = 0;
    for (int i = 0; i < 3000; i++) {
        el_bytes b = copy_of_sound();
        edgellm_error err;
        el_tm2 file;
        for (int k = 0; k <= i % 3; k++) {
            uint32_t at = el_random_below(&random, (uint32_t)b.size);
            if (at >= start_of(EL_TM2_WEIGHTS) && at < end_of(EL_TM2_WEIGHTS)) {
                at = (uint32_t)start_of(EL_TM2_TENSORS) + at % (N_TENSORS * EL_TM2_TENSOR_BYTES);
            }
            b.data[at] ^= (uint8_t)(1u << el_random_below(&random, 8));
        }
        sign(&b);
        if (open_bytes(&b, i % 2, &file, &err) == EDGELLM_OK) {
            use_all(&file);
            el_tm2_close(&file);
            accepted++;
        } else {
            assert_true(strlen(err.message) > 20);
            refused++;
        }
        free(b.data);
    }
    assert_true(accepted > 100 && refused > 1000);
}

/* ---- lies ------------------------------------------------------------------------------ */

/* What to write where: `bytes` bytes of `value` at `at` in a part of the file. */
typedef enum part { HEADER, TABLE, MODEL, VOCAB, TEMPLATE, MANIFEST, ENTRY, DATA } part;

typedef struct lie {
    part in;
    int index; /* of table entry, directory entry or tensor */
    uint32_t at, bytes;
    uint64_t value;
    const char *message;   /* part of it */
    edgellm_status status; /* 0 stands for FORMAT */
    bool verify;           /* found only then */
} lie;

static uint8_t *part_data(el_bytes *b, const lie *l)
{
    switch (l->in) {
    case HEADER:
        return b->data;
    case TABLE:
        return table_entry(b, l->index);
    case MODEL:
        return section_data(b, EL_TM2_MODEL);
    case VOCAB:
        return section_data(b, EL_TM2_VOCAB);
    case TEMPLATE:
        return section_data(b, EL_TM2_TEMPLATE);
    case MANIFEST:
        return section_data(b, EL_TM2_MANIFEST);
    case ENTRY:
        return tensor_entry(b, l->index);
    case DATA:
        return tensor_data(b, l->index);
    }
    return NULL;
}

#define NAN_BITS 0x7fc00000

/* Places in section vocab: the merge, and the runs of tokens. */
enum { MERGE = 64, END = 66, LETTERS = 76, JOINED = 84, EMPTY = 88, EURO = 93 };

static const lie lies[] = {
    {HEADER, 0, 8, 4, 2, "TM2 version 2, this program reads versions 3 to 7",
     EDGELLM_ERR_UNSUPPORTED, 0},
    {HEADER, 0, 8, 4, 8, "TM2 version 8, this program reads versions 3 to 7",
     EDGELLM_ERR_UNSUPPORTED, 0},
    {HEADER, 0, 8, 4, 5, "size: is not 192", 0, 0}, /* of section model */
    {HEADER, 0, 8, 4, 6, "size: is not 208", 0, 0},
    {HEADER, 0, 8, 4, 3, "t1.f16.128: codec t1 is not in version 3", 0, 0},
    {HEADER, 0, 8, 4, 0, "TM2 version 0", EDGELLM_ERR_UNSUPPORTED, 0},
    {HEADER, 0, 0, 4, 0x46554747, "GGUF", 0, 0},
    {HEADER, 0, 0, 1, 0x13, "text mode", 0, 0},
    {HEADER, 0, 4, 1, '\n', "text mode", 0, 0},
    {HEADER, 0, 1, 1, 'X', "not a TM2 file", 0, 0},
    {HEADER, 0, 12, 4, 7, "section count", 0, 0},
    {HEADER, 0, 16, 8, 1, "should have 1 bytes", 0, 0},
    {HEADER, 0, 16, 8, UINT64_MAX, "should have 18446744073709551615", 0, 0},
    {HEADER, 0, 40, 1, 1, "reserved", 0, 0},
    {HEADER, 0, 310, 1, 1, "section model, offset 304, padding", 0, true},

    {TABLE, 1, EL_TM2_AT_TYPE, 4, 1, "section vocab, offset 104, type and name", 0, 0},
    {TABLE, 2, EL_TM2_AT_NAME, 1, 'T', "section template, offset 144, type", 0, 0},
    {TABLE, 0, EL_TM2_AT_OFFSET, 8, 384, "section model, offset 64, offset", 0, 0},
    {TABLE, 1, EL_TM2_AT_OFFSET, 8, 320, "section vocab, offset 104, offset", 0, 0},
    {TABLE, 5, EL_TM2_AT_OFFSET, 8, 1ull << 63, "section manifest", 0, 0},
    {TABLE, 3, EL_TM2_AT_SIZE, 8, 1ull << 40, "section weights, offset 184, size: runs past", 0, 0},
    {TABLE, 3, EL_TM2_AT_SIZE, 8, UINT64_MAX, "section weights, offset 184, size: runs past", 0, 0},
    {TABLE, 3, EL_TM2_AT_SIZE, 8, 0, "section tensors", 0, 0},
    {TABLE, 3, EL_TM2_AT_CRC, 4, 1, "section weights", 0, 0},

    {MODEL, 0, 0, 1, 0, "architecture", 0, 0},
    {MODEL, 0, 23, 1, 'x', "architecture", 0, 0},
    {MODEL, 0, 119, 1, 'x', "name", 0, 0},
    {MODEL, 0, 24, 1, 0xff, "name", 0, 0},
    {MODEL, 0, 120, 4, 0, "layers is 0", 0, 0},
    {MODEL, 0, 120, 4, 1025, "layers is 1025", 0, 0},
    {MODEL, 0, 124, 4, 65537, "dim is 65537", 0, 0},
    {MODEL, 0, 128, 4, UINT32_MAX, "ffn_dim is 4294967295", 0, 0},
    {MODEL, 0, 132, 4, 65536, "65536 heads cannot share 3", 0, 0},
    {MODEL, 0, 136, 4, 0, "kv_heads is 0", 0, 0},
    {MODEL, 0, 136, 4, 4, "6 heads cannot share 4", 0, 0},
    {MODEL, 0, 140, 4, 1, "rotary_dim is 8, outside 0..1", 0, 0},
    {MODEL, 0, 140, 4, 0, "head_dim is 0", 0, 0},
    {MODEL, 0, 144, 4, 7, "rotary_dim 7 is odd", 0, 0},
    {MODEL, 0, 148, 4, 7, "n_tokens", 0, 0},
    {MODEL, 0, 148, 4, 1u << 30, "vocab is 1073741824", 0, 0},
    {MODEL, 0, 152, 4, 0, "context is 0", 0, 0},
    {MODEL, 0, 156, 4, NAN_BITS, "rope_base", 0, 0},
    {MODEL, 0, 160, 4, 0, "norm_eps", 0, 0},
    {MODEL, 0, 160, 4, 0x7f800000, "norm_eps", 0, 0},

    {VOCAB, 0, 0, 4, 7, "n_tokens: differs", 0, 0},
    {VOCAB, 0, 4, 4, 2, "a run has an unknown type", 0,
     0}, /* all that follows is read one place further on */
    {VOCAB, 0, 4, 4, UINT32_MAX, "there cannot be as many tokens, merges or bytes", 0, 0},
    {VOCAB, 0, 8, 4, 13, "less than n_bytes", 0, 0},
    {VOCAB, 0, 8, 4, 11, "more than n_bytes", 0, 0},
    {VOCAB, 0, 8, 4, 0, "more than n_bytes", 0, 0},
    {VOCAB, 0, 8, 4, (1u << 26) + 1, "there cannot be as many tokens, merges or bytes", 0, 0},
    {VOCAB, 0, 16, 4, 6, "eos token 6", 0, 0},
    {VOCAB, 0, 28, 1, 1, "add_bos", 0, 0},
    {VOCAB, 0, 29, 1, 1, "reserved", 0, 0},
    {VOCAB, 0, 32, 1, 0, "pre-tokenizer", 0, 0},
    {VOCAB, 0, 47, 1, 'x', "pre-tokenizer", 0, 0},
    {VOCAB, 0, 50, 1, 1, "reserved", 0, 0},
    {VOCAB, 0, 49, 1, 2, "section vocab: nfc is 2", 0, 0},
    {VOCAB, 0, 51, 1, 1, "reserved", 0, 0},
    {VOCAB, 0, 56, 1, 1, "reserved", 0, 0},
    {VOCAB, 0, 52, 4, 1, "tokens: the section ends within them", 0, 0},
    {VOCAB, 0, 52, 4, 1000, "offset 564, n_flagged: is above n_tokens", 0, 0},
    {VOCAB, 0, MERGE, 1, 6, "joined from a token after it", 0, 0},
    {VOCAB, 0, MERGE, 1, 5, "joined from a token after it", 0, 0},
    {VOCAB, 0, MERGE + 1, 1, 3, "joined from a token after it", 0, 0},
    {VOCAB, 0, MERGE, 2, 0x0080, "a number is longer", 0, 0},
    {VOCAB, 0, MERGE, 5, 0x10ffffffff, "a number is longer", 0, 0},
    {VOCAB, 0, MERGE, 5, 0xffffffffff, "a number is longer", 0, 0},
    {VOCAB, 0, END, 1, 0, "a run has an unknown type", 0, 0},
    {VOCAB, 0, EURO, 1, 7, "a run has an unknown type", 0, 0},
    {VOCAB, 0, END + 1, 1, 2, "a run has more merges", 0, 0},
    {VOCAB, 0, END + 1, 1, 1, "a run has more merges", 0, 0}, /* the one that makes a token */
    {VOCAB, 0, END + 3, 1, 0, "a run has none", 0, 0},
    {VOCAB, 0, END + 3, 1, 7, "a run has none", 0, 0},
    {VOCAB, 0, END + 4, 1, 0x60, "runs past the end of the section", 0, 0},
    {VOCAB, 0, LETTERS + 2, 1, 1, "joined from a token after it", 0, 0},
    {VOCAB, 0, JOINED + 2, 1, 2, "a run has more merges", 0, 0},
    {VOCAB, 0, EMPTY + 4, 1, 9, "offset 605, tokens: one runs past", 0, 0},
    {VOCAB, 0, EURO + 4, 1, 2, "less than n_bytes", 0, 0},
    {VOCAB, 0, EURO + 4, 1, 4, "runs past the end of the section", 0, 0},

    {TEMPLATE, 0, 0, 1, 0, "section template", 0, 0},
    {TEMPLATE, 0, 0, 1, 0xe2, "section template", 0, 0},
    {TEMPLATE, 0, 11, 1, 'x', "section template", 0, 0},
    {MANIFEST, 0, 18, 1, '}', "section manifest", 0, 0},
    {MANIFEST, 0, 5, 1, 0, "section manifest", 0, 0},

    {ENTRY, 2, 0, 1, 0, "a name is", 0, 0},
    {ENTRY, 2, 0, 1, ' ', "a name is", 0, 0},
    {ENTRY, 2, 63, 1, 'x', "reserved", 0, 0},
    {ENTRY, 2, 0, 1, 'a', "not sorted", 0, 0},
    {ENTRY, 2, 64, 4, 0, "(0, 70)", 0, 0},
    {ENTRY, 2, 64, 4, UINT32_MAX, "(4294967295, 70)", 0, 0},
    {ENTRY, 2, 64, 4, 17, "takes", 0, 0},
    {ENTRY, 2, 68, 4, (1u << 24) + 1, "(15, 16777217)", 0, 0},
    {ENTRY, 0, 68, 4, 6, "'f32.matrix': has 60 bytes", 0, 0},
    {ENTRY, 0, 72, 4, 32, "group 32", 0, 0},
    {ENTRY, 0, 77, 1, 1, "scale kind 1", 0, 0},
    {ENTRY, 2, 72, 4, 96, "group 96", 0, 0},
    {ENTRY, 2, 76, 1, 15, "codec 15", 0, 0},
    {ENTRY, 2, 76, 1, 255, "codec 255", 0, 0},
    {ENTRY, T2_BYTE, 76, 1, EL_CODEC_C2, "t2.byte.row: codec c2 is not in version 4", 0, 0},
    {ENTRY, 2, 77, 1, 2, "scale kind 2", 0, 0},
    {ENTRY, 0, 78, 1, 1, "'f32.matrix': (3, 5) in codec f32 cannot be rotated", 0, 0},
    {ENTRY, 2, 78, 1, 1, "'i8.f16.32': (15, 70) in codec i8 cannot be rotated", 0, 0},
    {ENTRY, Z4_F16, 78, 1, 2, "'z4.f16.32': rotation 2 is unknown", 0, 0},
    {ENTRY, Z4_F16, 78, 1, 255, "rotation 255 is unknown", 0, 0},
    {ENTRY, 2, 79, 1, 1, "reserved", 0, 0},
    {ENTRY, 2, 127, 1, 1, "reserved", 0, 0},
    {ENTRY, 2, 88, 8, UINT64_MAX, "takes", 0, 0},
    {ENTRY, 2, 80, 8, 0, "not inside section weights", 0, 0},
    {ENTRY, 2, 80, 8, 1ull << 63, "not inside section weights", 0, 0},
    {ENTRY, 2, 80, 8, UINT64_MAX - 63, "not inside section weights", 0, 0},

    {DATA, F32_MATRIX, 4 * 7, 4, NAN_BITS, "'f32.matrix', row 1, column 2", 0, 0},
    {DATA, F32_VECTOR, 4 * 99, 4, 0xff800000, "'f32.vector', row 0, column 99", 0, 0},
    {DATA, F32_VECTOR, 400, 1, 1, "padding", 0, true},
    {DATA, Z4_F16, 512 + 2 * 17, 2, 0xfc00, "'z4.f16.32', scales, row 1, group 1", 0, 0},
    {DATA, I8_F16, 3 * 512 + 2 * 47, 2, 0x3c00, "padded row 15, group 2", 0, 0},
    {DATA, I8_F16, 512, 1, 0x80, "'i8.f16.32', row 0, column 32: the code -128", 0, true},
    {DATA, T2_BYTE, 128 + 64 + 7, 1, 0x30, "'t2.byte.row', row 1, column 59: the code 3", 0, true},
    {DATA, T1_F16, 448 + 128 + 9, 1, 0x01, "'t1.f16.128', row 18, column 41: no five", 0, true},
    {DATA, T1_F16, 0, 1, 0x14, "'t1.f16.128', row 0, column 0: no five codes", 0, true},
    {DATA, O3_BYTE, 2 * 3 * 192 + 64 + 64, 2, 0x7e00, "'o3.byte.row', refs, row 0", 0, 0},
    {DATA, O3_BYTE, 2 * 3 * 192 + 3 * 64 + 2 * 16, 2, 0x7c00, "orefs, row 16", 0, 0},
    {DATA, O3_BYTE, 2 * 3 * 192 + 32, 1, 9, "byte 1184, padding after the scales", 0, true},
};

static void assert_lie_is_found(size_t i, const lie *l)
{
    edgellm_error err;
    el_tm2 file;
    el_bytes b = copy_of_sound();
    memcpy(part_data(&b, l) + l->at, &l->value, l->bytes);
    sign(&b);
    if (l->verify) {
        assert_int_equal(open_bytes(&b, false, &file, &err), EDGELLM_OK);
        use_all(&file);
        el_tm2_close(&file);
    }
    edgellm_status status = open_bytes(&b, l->verify, &file, &err);
    if (status == EDGELLM_OK) fail_msg("lie %zu was believed", i);
    if (!strstr(err.message, l->message)) fail_msg("lie %zu: %s", i, err.message);
    assert_int_equal(status, l->status ? l->status : EDGELLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "bad.tm2.bin"));
    free(b.data);
}

static void test_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_lie_is_found(i, &lies[i]);
}

/* ---- lies that take more than one field ------------------------------------------------ */

static void assert_refused(el_bytes *b, bool verify, const char *message)
{
    edgellm_error err;
    el_tm2 file;
    assert_int_equal(open_bytes(b, verify, &file, &err), EDGELLM_ERR_FORMAT);
    if (!strstr(err.message, message)) fail_msg("%s", err.message);
    free(b->data);
}

static void test_order_and_overlap(void **state)
{
    (void)state;
    uint8_t kept[EL_TM2_TENSOR_BYTES];
    el_bytes b = copy_of_sound(); /* two entries change places */
    memcpy(kept, tensor_entry(&b, 1), sizeof kept);
    memcpy(tensor_entry(&b, 1), tensor_entry(&b, 2), sizeof kept);
    memcpy(tensor_entry(&b, 2), kept, sizeof kept);
    sign(&b);
    assert_refused(&b, false, "not sorted");

    b = copy_of_sound(); /* one entry twice */
    memcpy(tensor_entry(&b, 1), tensor_entry(&b, 0), sizeof kept);
    sign(&b);
    assert_refused(&b, false, "there twice");

    b = copy_of_sound(); /* the second tensor lies where the first is */
    memcpy(tensor_entry(&b, 1) + EL_TM2_AT_DATA, tensor_entry(&b, 0) + EL_TM2_AT_DATA, 8);
    sign(&b);
    assert_refused(&b, false, "overlaps the tensor before it, or leaves a gap");

    b = copy_of_sound(); /* a tensor that nobody knows: its entry is gone */
    uint64_t size = EL_TM2_TENSOR_BYTES * (N_TENSORS - 1);
    el_store64(table_entry(&b, EL_TM2_TENSORS) + EL_TM2_AT_SIZE, size);
    el_store64(table_entry(&b, EL_TM2_MANIFEST) + EL_TM2_AT_OFFSET,
               start_of(EL_TM2_TENSORS) + size);
    el_store64(table_entry(&b, EL_TM2_MANIFEST) + EL_TM2_AT_SIZE,
               b.size - start_of(EL_TM2_TENSORS) - size);
    b.data[b.size - 1] = 0;
    sign(&b);
    assert_refused(&b, false, "section");
}

/* Without new checksums every change in a small section, and with verify in a tensor, is seen. */
static void test_checksums(void **state)
{
    el_bytes b;
    (void)state;
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        char message[160];
        b = copy_of_sound();
        section_data(&b, i)[1] ^= 0x01;
        snprintf(message, sizeof message, "section %s, offset %llu", el_tm2_section_names[i],
                 (unsigned long long)start_of(i));
        assert_refused(&b, i == EL_TM2_WEIGHTS, message);
    }
    for (int i = 0; i < N_TENSORS; i++) {
        b = copy_of_sound();
        tensor_data(&b, i)[2] ^= 0x01;
        assert_refused(&b, true, (const char *)tensor_entry(&sound, i));
    }
    b = copy_of_sound();
    b.data[EL_TM2_HEADER_BYTES + 8] ^= 1;
    assert_refused(&b, false, "section table, offset 64: the checksum is wrong");
    b = copy_of_sound();
    b.data[EL_TM2_AT_VERSION] ^= 2;
    assert_refused(&b, false, "header, offset 0: the checksum is wrong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),     cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_extended),  cmocka_unit_test(test_not_files),
        cmocka_unit_test(test_flipped),   cmocka_unit_test(test_flipped_and_signed),
        cmocka_unit_test(test_lies),      cmocka_unit_test(test_order_and_overlap),
        cmocka_unit_test(test_checksums),
    };
    return cmocka_run_group_tests_name("tm2_bad", tests, make_sound, free_sound);
}
