/*
 * test_matmul.c: the matrix kernels of every level this CPU has, bit for bit against a naive
 * reference written from kernels.h and matrix.h: every codec, kind of scale and group, odd shapes,
 * random and extreme fills, unaligned vectors, partial tile ranges, canaries around the results.
 */
#include "support/kernel_check.h"

/* -------- matrices -------- */

typedef enum fill { FILL_RANDOM, FILL_HIGH, FILL_LOW, FILL_MIXED, FILL_ZERO, FILL_TINY } fill;

typedef struct matrix_case {
    el_codec codec;
    el_scale_kind kind;
    uint32_t group, rows, cols, n;
    fill fill;
} matrix_case;

typedef struct test_matrix {
    el_matrix m;
    uint8_t *data;
} test_matrix;

static uint8_t code_byte(uint8_t any, const matrix_case *c)
{
    int is_signed = el_codecs[c->codec].bits == 8;
    uint8_t high = is_signed ? 127 : 0xff, low = is_signed ? 0x81 : 0;
    if (c->fill == FILL_HIGH) return high;
    if (c->fill == FILL_LOW) return low;
    if (c->fill == FILL_MIXED) return any & 1 ? high : low;
    return is_signed && any == 0x80 ? 0 : any;
}

/* Four of each random number: emulated, these are a fifth of what the test takes. */
static void fill_codes(random_state *r, const matrix_case *c, uint8_t *codes, uint64_t bytes)
{
    uint32_t any = 0;
    for (uint64_t i = 0; i < bytes; i++) {
        any = i % 4 == 0 ? random_bits(r) : any >> 8;
        codes[i] = code_byte((uint8_t)any, c);
    }
}

static uint16_t half_value(random_state *r, const matrix_case *c)
{
    if (c->fill == FILL_HIGH || c->fill == FILL_MIXED) return 0x7bff;
    if (c->fill == FILL_LOW) return 0xfbff;
    if (c->fill == FILL_ZERO) return random_bits(r) & 1 ? 0x8000 : 0;
    if (c->fill == FILL_TINY) return (uint16_t)(random_bits(r) & 0x83ff);
    return random_half(r);
}

static uint8_t scale_byte(random_state *r, const matrix_case *c)
{
    if (c->fill == FILL_HIGH) return 0;
    if (c->fill == FILL_LOW) return 254;
    if (c->fill == FILL_ZERO) return 255;
    return (uint8_t)random_bits(r);
}

static test_matrix make_matrix(random_state *r, const matrix_case *c)
{
    el_matrix_layout layout;
    test_matrix t;
    assert_int_equal(el_matrix_measure(c->rows, c->cols, c->codec, c->kind, c->group, &layout), 0);
    t.data = aligned_alloc(64, layout.bytes);
    assert_non_null(t.data);
    for (int p = 0; p < EL_PLANES; p++) {
        uint8_t *plane = t.data + layout.plane_offset[p];
        int bytes = p == 0 || (c->kind == EL_SCALE_BYTE && p < 3);
        if (p == 0) fill_codes(r, c, plane, layout.plane_bytes[p]);
        for (uint64_t i = 0; p > 0 && bytes && i < layout.plane_bytes[p]; i++)
            plane[i] = scale_byte(r, c);
        for (uint64_t i = 0; !bytes && i < layout.plane_bytes[p] / 2; i++) {
            uint16_t h = half_value(r, c);
            memcpy(plane + 2 * i, &h, sizeof h);
        }
    }
    assert_int_equal(el_matrix_view(&t.m, t.data, c->rows, c->cols, c->codec, c->kind, c->group),
                     0);
    return t;
}

static float act_scale(random_state *r, fill f)
{
    if (f == FILL_ZERO) return random_bits(r) & 1 ? 0.0f : 1.0f;
    if (f == FILL_TINY) return random_unit(r) * 0x1p-106f; /* the smallest, and beyond */
    return random_float(r);
}

static el_acts make_acts(random_state *r, const matrix_case *c, guarded *memory)
{
    uint32_t blocks = (c->cols + 31) / 32;
    size_t cells = (size_t)c->n * blocks;
    *memory = guard(cells * 40 + 4);
    el_acts a = {.blocks = blocks};
    a.scale = memory->data;
    a.sum = (int32_t *)(void *)(a.scale + cells);
    a.q = (int8_t *)(a.sum + cells) + 1; /* odd on purpose */
    memset((uint8_t *)memory->data + cells * 8, 0, cells * 32 + 4);
    for (size_t i = 0; i < cells; i++) {
        a.scale[i] = act_scale(r, c->fill);
        a.sum[i] = 0;
        for (uint32_t j = 0; j < 32 && i % blocks * 32 + j < c->cols; j++) {
            int q = random_int(r, -127, 127);
            if (c->fill == FILL_HIGH || c->fill == FILL_LOW) q = 127;
            if (c->fill == FILL_MIXED) q = q < 0 ? -127 : 127;
            a.q[i * 32 + j] = (int8_t)q;
            a.sum[i] += q;
        }
    }
    return a;
}

/* The levels of one row, padded with zeroes. */
static void ref_levels(const el_matrix *m, uint32_t row, int32_t *levels)
{
    memset(levels, 0, (size_t)m->blocks * 32 * sizeof *levels);
    for (uint32_t col = 0; col < m->cols; col++)
        levels[col] = el_matrix_level(m, row, col);
}

static void ref_matmul(const el_matrix *m, const el_acts *a, uint32_t n, float *out)
{
    int32_t *levels = malloc((size_t)m->blocks * 32 * sizeof *levels);
    assert_non_null(levels);
    for (uint32_t row = 0; row < m->rows; row++) {
        ref_levels(m, row, levels);
        for (uint32_t t = 0; t < n; t++)
            out[(size_t)t * m->rows + row] = 0.0f;
        for (uint32_t b = 0; b < m->blocks; b++) {
            float ws = el_matrix_scale(m, row, b / m->group_blocks);
            float offset = el_matrix_offset(m, row, b / m->group_blocks);
            for (uint32_t t = 0; t < n; t++) {
                size_t cell = (size_t)t * a->blocks + b;
                float acc = out[(size_t)t * m->rows + row], as = a->scale[cell];
                int32_t sum = 0;
                for (int j = 0; j < 32; j++)
                    sum += levels[b * 32 + (uint32_t)j] * a->q[cell * 32 + (size_t)j];
                acc = acc + (float)sum * (ws * as);
                if (m->offsets) acc = acc + (offset * as) * (float)a->sum[cell];
                out[(size_t)t * m->rows + row] = acc;
            }
        }
    }
    free(levels);
}

/* Runs fn over tiles [begin, end) for n vectors and compares what it wrote, and only that. */
static void check_matmul(const el_kernels *k, const el_matrix *m, const el_acts *a, uint32_t n,
                         uint32_t begin, uint32_t end, const float *want)
{
    size_t stride = m->rows + 3;
    guarded out = guard_floats((n - 1) * stride + m->rows);
    const float *got = out.data;
    float untouched;
    memset(&untouched, CANARY, sizeof untouched);
    k->matmul[m->codec](m, a, n, begin, end, out.data, stride);
    for (uint32_t t = 0; t < n; t++) {
        for (uint32_t row = 0; row < stride && t * stride + row < out.size / 4; row++) {
            int mine = row < m->rows && row / 16 >= begin && row / 16 < end;
            const float *expected = mine ? &want[(size_t)t * m->rows + row] : &untouched;
            if (memcmp(&got[t * stride + row], expected, 4) != 0) {
                fail_msg("%s matmul %s kind %d group %u (%u, %u) n %u: vector %u row %u is %a, "
                         "expected %a",
                         k->name, el_codecs[m->codec].name, m->scale_kind, m->group_blocks * 32,
                         m->rows, m->cols, n, t, row, (double)got[t * stride + row],
                         (double)*expected);
            }
        }
    }
    unguard(&out);
}

static void check_matrix_case(const el_kernels *kernels, size_t levels, const matrix_case *c)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 17, 64, 65};
    random_state r = {c->rows * 7919u + c->cols * 31u + c->codec};
    test_matrix t = make_matrix(&r, c);
    guarded act_memory;
    el_acts acts = make_acts(&r, c, &act_memory);
    float *want = malloc((size_t)c->n * c->rows * sizeof *want);
    assert_non_null(want);
    ref_matmul(&t.m, &acts, c->n, want);
    for (size_t i = 0; i < levels; i++) {
        for (size_t j = 0; j < LENGTH(counts) && counts[j] <= c->n; j++)
            check_matmul(&kernels[i], &t.m, &acts, counts[j], 0, t.m.tiles, want);
        check_matmul(&kernels[i], &t.m, &acts, 1, t.m.tiles / 2, t.m.tiles, want);
        check_matmul(&kernels[i], &t.m, &acts, 3, 0, t.m.tiles - t.m.tiles / 2, want);
    }
    free(want);
    unguard(&act_memory);
    free(t.data);
}

static const uint32_t all_groups[] = {0, 32, 64, 128};

/* Calls fn for every codec, kind of scale and group. */
static void on_all_formats(matrix_case c, void (*fn)(const el_kernels *, size_t, matrix_case))
{
    el_kernels kernels[EL_CPU_LEVELS];
    size_t levels = all_levels(kernels);
    for (int codec = EL_CODEC_F32 + 1; codec < EL_CODEC_COUNT; codec++) {
        for (int kind = 0; kind < EL_SCALE_KINDS; kind++) {
            for (size_t g = 0; g < LENGTH(all_groups); g++) {
                c.codec = (el_codec)codec;
                c.kind = (el_scale_kind)kind;
                c.group = all_groups[g];
                fn(kernels, levels, c);
            }
        }
    }
}

/* The first three of each where all of them take minutes: tools/test_isa.sh, under emulators. */
static void check_all_shapes(const el_kernels *kernels, size_t levels, matrix_case c)
{
    static const uint32_t rows[] = {1, 17, 49, 15, 16, 192};
    static const uint32_t cols[] = {33, 100, 192, 32, 576, 1536};
    const size_t count = getenv("EL_TEST_EMULATED") ? 3 : LENGTH(rows);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            c.rows = rows[i];
            c.cols = cols[j];
            c.n = c.rows * c.cols <= 49 * 576 ? 17 : 8; /* time */
            check_matrix_case(kernels, levels, &c);
        }
    }
}

static void test_matmul_shapes(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.fill = FILL_RANDOM}, check_all_shapes);
}

/* The widths of larger models. */
static void check_long_rows(const el_kernels *kernels, size_t levels, matrix_case c)
{
    static const uint32_t cols[] = {960, 2048, 8192};
    c.rows = getenv("EL_TEST_EMULATED") ? 1 : 17;
    c.n = 3;
    for (size_t j = 0; j < LENGTH(cols); j++) {
        c.cols = cols[j];
        check_matrix_case(kernels, levels, &c);
    }
}

static void test_matmul_long_rows(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.fill = FILL_RANDOM}, check_long_rows);
}

static void check_all_fills(const el_kernels *kernels, size_t levels, matrix_case c)
{
    for (c.fill = FILL_HIGH; c.fill <= FILL_TINY; c.fill++)
        check_matrix_case(kernels, levels, &c);
}

static void test_matmul_extremes(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.rows = 17, .cols = 260, .n = 8}, check_all_fills);
}

static void check_one(const el_kernels *kernels, size_t levels, matrix_case c)
{
    check_matrix_case(kernels, levels, &c);
}

static void test_matmul_many_vectors(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.rows = 33, .cols = 192, .n = 65}, check_one);
}

/* -------- matrices in exact mode -------- */

static void check_exact(const el_kernels *k, const el_matrix *m, const float *x, uint32_t n,
                        uint32_t tile_begin)
{
    const uint32_t x_stride = m->cols + 1, stride = m->rows + 1;
    guarded out = guard_floats((size_t)n * stride), scratch = guard_floats(m->cols);
    guarded row = guard_floats(m->cols);
    k->matmul_exact(m, x, x_stride, n, tile_begin, m->tiles, out.data, stride, scratch.data);
    for (uint32_t i = 0; i < m->rows; i++) {
        el_matrix_row(m, i, row.data);
        for (uint32_t t = 0; t < n; t++) {
            float want = ref_dot(row.data, x + (size_t)t * x_stride, m->cols);
            if (i / 16 < tile_begin) memset(&want, CANARY, sizeof want);
            assert_same_bits((float *)out.data + (size_t)t * stride + i, &want, 1, "exact", k);
        }
    }
    unguard(&row);
    unguard(&scratch);
    unguard(&out);
}

static void check_exact_format(const el_kernels *kernels, size_t levels, matrix_case c)
{
    static const uint32_t cols[] = {1, 33, 100, 192};
    for (size_t j = 0; j < LENGTH(cols); j++) {
        random_state r = {cols[j]};
        c.cols = cols[j];
        c.n = j == 1 ? 19 : 3;
        test_matrix t = make_matrix(&r, &c);
        guarded x = guard_floats((size_t)c.n * (c.cols + 1));
        for (size_t i = 0; i < x.size / sizeof(float); i++)
            ((float *)x.data)[i] = random_float(&r);
        for (size_t i = 0; i < levels; i++) {
            check_exact(&kernels[i], &t.m, x.data, c.n, 0);
            check_exact(&kernels[i], &t.m, x.data, 1, 1);
        }
        unguard(&x);
        free(t.data);
    }
}

static void test_matmul_exact(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.rows = 18}, check_exact_format);
}

/* -------- the list -------- */

static void test_codecs(void **state)
{
    (void)state;
    static const struct {
        el_codec codec;
        int bits, mul, bias, half, offset, kind;
    } rows[] = {
#define EL_MATMUL(codec, name, bits, mul, bias, half, offset, kind)                                \
    {codec, bits, mul, bias, half, offset, kind},
#include "kernel/kernels.inc"
    };
    assert_int_equal(LENGTH(rows), EL_CODEC_COUNT - 1);
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const el_codec_info *info = &el_codecs[rows[i].codec];
        assert_int_equal(rows[i].bits, info->bits);
        assert_int_equal(rows[i].mul, info->mul);
        assert_int_equal(rows[i].bias, info->bias);
        assert_int_equal(rows[i].half, info->half);
        assert_int_equal(rows[i].offset, info->offset);
        assert_int_equal(rows[i].kind, info->fives    ? EL_FIVES
                                       : info->levels ? EL_CHAINED
                                                      : EL_PLAIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_matmul_shapes),
        cmocka_unit_test(test_matmul_long_rows),
        cmocka_unit_test(test_matmul_extremes),
        cmocka_unit_test(test_matmul_many_vectors),
        cmocka_unit_test(test_matmul_exact),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
