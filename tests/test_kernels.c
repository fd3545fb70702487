/*
 * test_kernels.c: every kernel of every level this CPU has, bit for bit against a naive reference
 * written from the contract in kernels.h and matrix.h: random and extreme fills, odd shapes,
 * unaligned vectors, partial tile ranges, and canaries around whatever is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/detmath.h"
#include "base/half.h"
#include "kernel/kernels.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* -------- seeded random numbers -------- */

typedef struct random_state {
    uint64_t s;
} random_state;

static uint32_t random_bits(random_state *r)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->s >> 32);
}

static int32_t random_int(random_state *r, int32_t low, int32_t high)
{
    return low + (int32_t)(random_bits(r) % (uint32_t)(high - low + 1));
}

/* -1 .. 1 */
static float random_unit(random_state *r)
{
    return (float)random_int(r, -(1 << 24), 1 << 24) * 0x1p-24f;
}

/* Any magnitude from 2^-20 to 2^3, now and then a zero. */
static float random_float(random_state *r)
{
    if (random_bits(r) % 37 == 0) return 0.0f;
    float scale = el_float_of_bits((uint32_t)random_int(r, 127 - 20, 127 + 3) << 23);
    return random_unit(r) * scale;
}

static uint16_t random_half(random_state *r)
{
    uint16_t h = (uint16_t)random_bits(r);
    return el_half_is_finite(h) ? h : (uint16_t)(h & 0x83ff); /* makes it subnormal */
}

/* -------- buffers with canaries, one float away from any alignment -------- */

#define CANARY 0xa5
#define GUARD  68

typedef struct guarded {
    uint8_t *memory;
    size_t size;
    void *data;
} guarded;

static guarded guard(size_t size)
{
    guarded g = {malloc(size + 2 * GUARD), size, NULL};
    assert_non_null(g.memory);
    memset(g.memory, CANARY, size + 2 * GUARD);
    g.data = g.memory + GUARD;
    return g;
}

static guarded guard_floats(size_t n)
{
    return guard(n * sizeof(float));
}

/* Checks the canaries and frees the buffer. */
static void unguard(guarded *g)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(g->memory[i], CANARY);
        assert_int_equal(g->memory[GUARD + g->size + i], CANARY);
    }
    free(g->memory);
}

static void assert_same_bits(const float *got, const float *want, size_t n, const char *what,
                             const el_kernels *k)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0) {
            fail_msg("%s %s: [%zu of %zu] is %a, expected %a", k->name, what, i, n,
                     (double)got[i], (double)want[i]);
        }
    }
}

/* Runs a test on every level of this CPU. */
static void on_all_levels(void (*test)(const el_kernels *k))
{
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (!el_cpu_has((el_cpu_level)level)) continue;
        el_kernels k;
        el_kernels_init(&k, (el_cpu_level)level);
        assert_int_equal(k.level, level);
        test(&k);
    }
}

/* -------- reference of the reductions -------- */

static float sum_of_lanes(const float lanes[16])
{
    float t[16];
    memcpy(t, lanes, sizeof t);
    for (int step = 8; step >= 1; step /= 2) {
        for (int i = 0; i < step; i++)
            t[i] = t[i] + t[i + step];
    }
    return t[0];
}

static float ref_dot(const float *a, const float *b, uint32_t n)
{
    float lanes[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + a[i] * b[i];
    return sum_of_lanes(lanes);
}

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

static uint8_t code_byte(random_state *r, const matrix_case *c)
{
    int is_signed = el_codecs[c->codec].bits == 8;
    uint8_t high = is_signed ? 127 : 0xff, low = is_signed ? 0x81 : 0, any;
    if (c->fill == FILL_HIGH) return high;
    if (c->fill == FILL_LOW) return low;
    any = (uint8_t)random_bits(r);
    if (c->fill == FILL_MIXED) return any & 1 ? high : low;
    return is_signed && any == 0x80 ? 0 : any;
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
    assert_int_equal(
        el_matrix_measure(c->rows, c->cols, c->codec, c->kind, c->group, &layout), 0);
    t.data = aligned_alloc(64, layout.bytes);
    assert_non_null(t.data);
    for (int p = 0; p < EL_PLANES; p++) {
        uint8_t *plane = t.data + layout.plane_offset[p];
        int bytes = p == 0 || (c->kind == EL_SCALE_BYTE && p < 3);
        for (uint64_t i = 0; bytes && i < layout.plane_bytes[p]; i++)
            plane[i] = p == 0 ? code_byte(r, c) : scale_byte(r, c);
        for (uint64_t i = 0; !bytes && i < layout.plane_bytes[p] / 2; i++) {
            uint16_t h = half_value(r, c);
            memcpy(plane + 2 * i, &h, sizeof h);
        }
    }
    assert_int_equal(
        el_matrix_view(&t.m, t.data, c->rows, c->cols, c->codec, c->kind, c->group), 0);
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
    a.sum = (int32_t *)(a.scale + cells);
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
    const el_codec_info *info = &el_codecs[m->codec];
    memset(levels, 0, (size_t)m->blocks * 32 * sizeof *levels);
    for (uint32_t col = 0; col < m->cols; col++)
        levels[col] = info->mul * el_matrix_code(m, row, col) + info->bias;
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
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 17, 64};
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

static size_t all_levels(el_kernels *kernels)
{
    size_t n = 0;
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (el_cpu_has((el_cpu_level)level)) el_kernels_init(&kernels[n++], (el_cpu_level)level);
    }
    return n;
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

static void check_all_shapes(const el_kernels *kernels, size_t levels, matrix_case c)
{
    static const uint32_t rows[] = {1, 15, 16, 17, 49, 192};
    static const uint32_t cols[] = {32, 33, 100, 192, 576, 1536};
    for (size_t i = 0; i < LENGTH(rows); i++) {
        for (size_t j = 0; j < LENGTH(cols); j++) {
            c.rows = rows[i];
            c.cols = cols[j];
            c.n = c.rows * c.cols <= 49 * 192 ? 17 : 8;
            if (c.rows * c.cols > 49 * 576 && c.group != 64) continue; /* time */
            check_matrix_case(kernels, levels, &c);
        }
    }
}

static void test_matmul_shapes(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.fill = FILL_RANDOM}, check_all_shapes);
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
    on_all_formats((matrix_case){.rows = 33, .cols = 192, .n = 64}, check_one);
}

/* -------- matrices in exact mode -------- */

static void check_exact(const el_kernels *k, const el_matrix *m, const float *x, uint32_t n)
{
    const uint32_t x_stride = m->cols + 1, stride = m->rows + 1;
    guarded out = guard_floats((size_t)n * stride), scratch = guard_floats(m->cols);
    guarded row = guard_floats(m->cols);
    k->matmul_exact(m, x, x_stride, n, 0, m->tiles, out.data, stride, scratch.data);
    for (uint32_t i = 0; i < m->rows; i++) {
        el_matrix_row(m, i, row.data);
        for (uint32_t t = 0; t < n; t++) {
            float want = ref_dot(row.data, x + (size_t)t * x_stride, m->cols);
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
        for (size_t i = 0; i < levels; i++)
            check_exact(&kernels[i], &t.m, x.data, c.n);
        unguard(&x);
        free(t.data);
    }
}

static void test_matmul_exact(void **state)
{
    (void)state;
    on_all_formats((matrix_case){.rows = 18}, check_exact_format);
}

/* -------- vectors -------- */

static const uint32_t widths[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 100, 576, 1536};

/* Nearest integer, ties to even. */
static int ref_round(float x)
{
    int n = (int)x;
    float rest = x - (float)n;
    if (rest > 0.5f || (rest == 0.5f && n % 2 != 0)) return n + 1;
    if (rest < -0.5f || (rest == -0.5f && n % 2 != 0)) return n - 1;
    return n;
}

static void ref_quantize(const float *x, uint32_t n, int8_t *q, float *scale, int32_t *sum)
{
    for (uint32_t b = 0; b * 32 < n; b++) {
        float amax = 0;
        for (uint32_t i = b * 32; i < b * 32 + 32 && i < n; i++) {
            float magnitude = x[i] < 0 ? -x[i] : x[i];
            if (magnitude > amax) amax = magnitude;
        }
        float inv = amax < 0x1p-100f ? 0.0f : 127.0f / amax;
        scale[b] = amax < 0x1p-100f ? 0.0f : amax / 127.0f;
        sum[b] = 0;
        for (uint32_t i = b * 32; i < b * 32 + 32; i++) {
            int code = i < n ? ref_round(x[i] * inv) : 0;
            if (code > 127) code = 127;
            if (code < -127) code = -127;
            q[i] = (int8_t)code;
            sum[b] += code;
        }
    }
}

/* Vectors that try what rounding and limits can get wrong. */
static void fill_floats(random_state *r, float *x, uint32_t n, unsigned kind)
{
    static const float limits[] = {0.0f,      -0.0f,      0x1p-100f, 0x1.fffffep-101f, 0x1p-149f,
                                   -0x1p-120, 0x1p+120f, -0x1p100f, 1.0f};
    for (uint32_t i = 0; i < n; i++) {
        if (kind == 0) x[i] = random_float(r);
        if (kind == 1) x[i] = limits[random_bits(r) % LENGTH(limits)];
        if (kind == 2) x[i] = i % 32 == 5 ? 127.0f : (float)random_int(r, -254, 254) * 0.5f;
        if (kind == 3) x[i] = random_unit(r) * 0x1p-100f;
        if (kind == 4) x[i] = random_unit(r) * 100.0f;
    }
}

#define FLOAT_KINDS 5

static void check_quantize(const el_kernels *k)
{
    random_state r = {1};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        for (unsigned kind = 0; kind < FLOAT_KINDS; kind++) {
            uint32_t n = widths[w], blocks = (n + 31) / 32;
            guarded x = guard_floats(n), q = guard(blocks * 32);
            guarded scale = guard_floats(blocks), sum = guard_floats(blocks);
            int8_t want_q[1536];
            float want_scale[48];
            int32_t want_sum[48];
            fill_floats(&r, x.data, n, kind);
            ref_quantize(x.data, n, want_q, want_scale, want_sum);
            k->quantize(x.data, n, q.data, scale.data, sum.data);
            assert_memory_equal(q.data, want_q, blocks * 32);
            assert_memory_equal(sum.data, want_sum, blocks * sizeof(int32_t));
            assert_same_bits(scale.data, want_scale, blocks, "quantize", k);
            unguard(&sum);
            unguard(&scale);
            unguard(&q);
            unguard(&x);
        }
    }
}

static void check_rms_norm(const el_kernels *k)
{
    random_state r = {2};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        uint32_t n = widths[w];
        guarded x = guard_floats(n), weight = guard_floats(n), out = guard_floats(n);
        float want[1536], *in = x.data;
        fill_floats(&r, in, n, 0);
        fill_floats(&r, weight.data, n, 0);
        float factor = 1.0f / __builtin_sqrtf(ref_dot(in, in, n) / (float)n + 1e-5f);
        for (uint32_t i = 0; i < n; i++)
            want[i] = (in[i] * factor) * ((float *)weight.data)[i];
        k->rms_norm(in, weight.data, n, 1e-5f, out.data);
        assert_same_bits(out.data, want, n, "rms_norm", k);
        k->rms_norm(in, weight.data, n, 1e-5f, in);
        assert_same_bits(in, want, n, "rms_norm in place", k);
        unguard(&out);
        unguard(&weight);
        unguard(&x);
    }
}

static void check_add(const el_kernels *k)
{
    random_state r = {3};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        uint32_t n = widths[w];
        guarded x = guard_floats(n), y = guard_floats(n);
        float want[1536];
        fill_floats(&r, x.data, n, 0);
        fill_floats(&r, y.data, n, 4);
        for (uint32_t i = 0; i < n; i++)
            want[i] = ((float *)x.data)[i] + ((float *)y.data)[i];
        k->add(x.data, y.data, n);
        assert_same_bits(x.data, want, n, "add", k);
        unguard(&y);
        unguard(&x);
    }
}

static void check_swiglu(const el_kernels *k)
{
    random_state r = {4};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        for (unsigned kind = 0; kind < FLOAT_KINDS; kind++) {
            uint32_t n = widths[w];
            guarded gate = guard_floats(n), up = guard_floats(n);
            float want[1536];
            fill_floats(&r, gate.data, n, kind);
            fill_floats(&r, up.data, n, 0);
            for (uint32_t i = 0; i < n; i++) {
                float g = ((float *)gate.data)[i], t = -g > 88.0f ? 88.0f : -g;
                want[i] = (g / (1.0f + el_expf(t))) * ((float *)up.data)[i];
            }
            k->swiglu(gate.data, up.data, n);
            assert_same_bits(gate.data, want, n, "swiglu", k);
            unguard(&up);
            unguard(&gate);
        }
    }
}

static void check_rope(const el_kernels *k)
{
    static const struct {
        uint32_t heads, head_dim, rotary_dim;
    } cases[] = {{1, 2, 2}, {3, 64, 64}, {2, 80, 32}, {9, 10, 6}, {1, 256, 256}, {5, 34, 34}};
    random_state r = {5};
    for (size_t c = 0; c < LENGTH(cases); c++) {
        uint32_t dim = cases[c].head_dim, half = cases[c].rotary_dim / 2;
        uint32_t n = cases[c].heads * dim;
        guarded x = guard_floats(n), cosine = guard_floats(half), sine = guard_floats(half);
        float want[1536], *in = x.data, *cs = cosine.data, *sn = sine.data;
        fill_floats(&r, in, n, 0);
        fill_floats(&r, cs, half, 0);
        fill_floats(&r, sn, half, 0);
        memcpy(want, in, n * sizeof *in);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t d = i % dim;
            if (d >= 2 * half) continue;
            if (d % 2 == 0) want[i] = in[i] * cs[d / 2] - in[i + 1] * sn[d / 2];
            if (d % 2 == 1) want[i] = in[i - 1] * sn[d / 2] + in[i] * cs[d / 2];
        }
        k->rope(in, cases[c].heads, dim, 2 * half, cs, sn);
        assert_same_bits(in, want, n, "rope", k);
        unguard(&sine);
        unguard(&cosine);
        unguard(&x);
    }
}

/* -------- attention -------- */

#define POSITIONS 304 /* a multiple of 16 */

typedef struct test_kv {
    el_kv kv;
    guarded keys, kscale, values, vscale;
} test_kv;

/* Everything is garbage at first; the scales are NaN. */
static test_kv make_kv(uint32_t head_dim)
{
    test_kv t = {.kv = {.blocks = (head_dim + 31) / 32}};
    size_t codes = (size_t)POSITIONS * t.kv.blocks * 32, scales = (size_t)POSITIONS * t.kv.blocks;
    t.keys = guard(codes);
    t.values = guard(codes);
    t.kscale = guard_floats(scales);
    t.vscale = guard_floats(scales);
    memset(t.kscale.data, 0xff, t.kscale.size);
    memset(t.vscale.data, 0xff, t.vscale.size);
    t.kv.keys = t.keys.data;
    t.kv.values = t.values.data;
    t.kv.kscale = t.kscale.data;
    t.kv.vscale = t.vscale.data;
    return t;
}

static void free_kv(test_kv *t)
{
    unguard(&t->keys);
    unguard(&t->values);
    unguard(&t->kscale);
    unguard(&t->vscale);
}

static void ref_kv_store(const el_kv *kv, uint32_t p, const float *key, const float *value,
                         uint32_t head_dim)
{
    int8_t kq[EL_HEAD_DIM_MAX], vq[EL_HEAD_DIM_MAX];
    float ks[8], vs[8];
    int32_t sum[8];
    uint32_t quads = kv->blocks * 8;
    ref_quantize(key, head_dim, kq, ks, sum);
    ref_quantize(value, head_dim, vq, vs, sum);
    for (uint32_t d = 0; d < kv->blocks * 32; d++) {
        kv->keys[((p / 16 * quads + d / 4) * 16 + p % 16) * 4 + d % 4] = kq[d];
        kv->values[p * kv->blocks * 32 + d] = vq[d];
    }
    for (uint32_t b = 0; b < kv->blocks; b++) {
        kv->kscale[(p / 16 * kv->blocks + b) * 16 + p % 16] = ks[b];
        kv->vscale[p * kv->blocks + b] = vs[b];
    }
}

static float ref_score(const el_kv *kv, const int8_t *q, const float *qs, uint32_t p)
{
    uint32_t quads = kv->blocks * 8;
    float score = 0;
    for (uint32_t b = 0; b < kv->blocks; b++) {
        int32_t dot = 0;
        for (uint32_t d = b * 32; d < b * 32 + 32; d++)
            dot += kv->keys[((p / 16 * quads + d / 4) * 16 + p % 16) * 4 + d % 4] * q[d];
        float ks = kv->kscale[(p / 16 * kv->blocks + b) * 16 + p % 16];
        score = score + (float)dot * (qs[b] * ks);
    }
    return score;
}

/* Weights e(p) from scores, in place; returns the sum of the sums of 64. */
static float ref_weigh(float *e, uint32_t length)
{
    float largest = e[0], total = 0;
    for (uint32_t p = 1; p < length; p++)
        largest = e[p] > largest ? e[p] : largest;
    for (uint32_t p = 0; p < length; p++)
        e[p] = el_expf(e[p] - largest);
    for (uint32_t begin = 0; begin < length; begin += 64) {
        float lanes[16] = {0};
        for (uint32_t p = begin; p < begin + 64 && p < length; p++)
            lanes[p % 16] = lanes[p % 16] + e[p];
        total = total + sum_of_lanes(lanes);
    }
    return total;
}

/* values is used if not NULL, else the cache. */
static float ref_mix(const el_kv *kv, const float *values, uint32_t head_dim, const float *e,
                     uint32_t length, uint32_t d)
{
    float total = 0;
    for (uint32_t begin = 0; begin < length; begin += 64) {
        float mix = 0;
        for (uint32_t p = begin; p < begin + 64 && p < length; p++) {
            if (values) {
                mix = mix + e[p] * values[p * head_dim + d];
            } else {
                float vs = kv->vscale[p * kv->blocks + d / 32];
                mix = mix + (e[p] * vs) * (float)kv->values[p * kv->blocks * 32 + d];
            }
        }
        total = total + mix;
    }
    return total;
}

static void ref_attend(const el_kv *kv, const float *query, uint32_t head_dim, uint32_t length,
                       float inv_sqrt, float *out)
{
    int8_t q[EL_HEAD_DIM_MAX];
    float qs[8], e[POSITIONS];
    int32_t sum[8];
    ref_quantize(query, head_dim, q, qs, sum);
    for (uint32_t p = 0; p < length; p++)
        e[p] = ref_score(kv, q, qs, p) * inv_sqrt;
    float factor = 1.0f / ref_weigh(e, length);
    for (uint32_t d = 0; d < head_dim; d++)
        out[d] = ref_mix(kv, NULL, head_dim, e, length, d) * factor;
}

static void ref_attend_exact(const float *keys, const float *values, const float *query,
                             uint32_t head_dim, uint32_t length, float inv_sqrt, float *out)
{
    float e[POSITIONS];
    for (uint32_t p = 0; p < length; p++)
        e[p] = ref_dot(keys + p * head_dim, query, head_dim) * inv_sqrt;
    float factor = 1.0f / ref_weigh(e, length);
    for (uint32_t d = 0; d < head_dim; d++)
        out[d] = ref_mix(NULL, values, head_dim, e, length, d) * factor;
}

static const uint32_t head_dims[] = {2, 32, 33, 64, 80, 96, 128, 256};
static const uint32_t lengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 128, 129, 300};

static void check_attend_lengths(const el_kernels *k, const el_kv *kv, const float *query,
                                 uint32_t head_dim, float inv_sqrt)
{
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        guarded scores = guard_floats((lengths[i] + 63) / 64 * 64), out = guard_floats(head_dim);
        float want[EL_HEAD_DIM_MAX];
        ref_attend(kv, query, head_dim, lengths[i], inv_sqrt, want);
        k->attend(kv, query, head_dim, lengths[i], inv_sqrt, scores.data, out.data);
        assert_same_bits(out.data, want, head_dim, "attend", k);
        unguard(&out);
        unguard(&scores);
    }
}

static void check_attend(const el_kernels *k)
{
    random_state r = {6};
    for (size_t h = 0; h < LENGTH(head_dims); h++) {
        uint32_t dim = head_dims[h];
        test_kv got = make_kv(dim), want = make_kv(dim);
        guarded query = guard_floats(dim);
        float key[EL_HEAD_DIM_MAX], value[EL_HEAD_DIM_MAX];
        for (uint32_t p = 0; p < 300; p++) {
            fill_floats(&r, key, dim, p % 7 == 3 ? 3 : 0);
            fill_floats(&r, value, dim, p % 7 == 4 ? 3 : 0);
            k->kv_store(&got.kv, p, key, value, dim);
            ref_kv_store(&want.kv, p, key, value, dim);
        }
        assert_memory_equal(got.keys.data, want.keys.data, want.keys.size);
        assert_memory_equal(got.values.data, want.values.data, want.values.size);
        assert_memory_equal(got.kscale.data, want.kscale.data, want.kscale.size);
        assert_memory_equal(got.vscale.data, want.vscale.data, want.vscale.size);
        fill_floats(&r, query.data, dim, 0);
        check_attend_lengths(k, &got.kv, query.data, dim, 0.125f);
        check_attend_lengths(k, &got.kv, query.data, dim, 60.0f); /* many weights become 0 */
        unguard(&query);
        free_kv(&want);
        free_kv(&got);
    }
}

static void check_attend_exact(const el_kernels *k)
{
    random_state r = {7};
    for (size_t h = 0; h < LENGTH(head_dims); h++) {
        uint32_t dim = head_dims[h];
        guarded keys = guard_floats((size_t)300 * dim), values = guard_floats((size_t)300 * dim);
        guarded query = guard_floats(dim), out = guard_floats(dim), scores = guard_floats(320);
        fill_floats(&r, keys.data, 300 * dim, 0);
        fill_floats(&r, values.data, 300 * dim, 0);
        fill_floats(&r, query.data, dim, 0);
        for (size_t i = 0; i < LENGTH(lengths); i++) {
            float want[EL_HEAD_DIM_MAX];
            ref_attend_exact(keys.data, values.data, query.data, dim, lengths[i], 0.25f, want);
            k->attend_exact(keys.data, values.data, query.data, dim, lengths[i], 0.25f,
                            scores.data, out.data);
            assert_same_bits(out.data, want, dim, "attend_exact", k);
        }
        unguard(&scores);
        unguard(&out);
        unguard(&query);
        unguard(&values);
        unguard(&keys);
    }
}

/* -------- the table -------- */

static void test_table(void **state)
{
    (void)state;
    static const struct {
        el_codec codec;
        int bits, mul, bias, half, offset;
    } rows[] = {
#define EL_MATMUL(codec, name, bits, mul, bias, half, offset)                                      \
    {codec, bits, mul, bias, half, offset},
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
    }
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        el_kernels k;
        el_kernels_init(&k, (el_cpu_level)level);
        assert_true((int)k.level <= level && el_cpu_has(k.level));
        assert_string_equal(k.name, el_cpu_level_name(k.level));
        assert_null(k.matmul[EL_CODEC_F32]);
        for (int codec = EL_CODEC_F32 + 1; codec < EL_CODEC_COUNT; codec++)
            assert_non_null(k.matmul[codec]);
    }
}

/* -------- the list of operations -------- */

#define OPERATIONS(X)                                                                              \
    X(quantize) X(rms_norm) X(add) X(swiglu) X(rope) X(attend) X(attend_exact)

#define X(name)                                                                                    \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        on_all_levels(check_##name);                                                               \
    }
OPERATIONS(X)
#undef X

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_matmul_shapes),
        cmocka_unit_test(test_matmul_extremes),
        cmocka_unit_test(test_matmul_many_vectors),
        cmocka_unit_test(test_matmul_exact),
#define X(name) cmocka_unit_test(test_##name),
        OPERATIONS(X)
#undef X
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
