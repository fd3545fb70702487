/*
 * test_kernels.c: the table, and every operation but matmul of every level this CPU has, bit for
 * bit against a naive reference written from kernels.h: random and extreme values, odd widths,
 * unaligned vectors, garbage where nothing may be read, canaries around whatever is written.
 */
#include <math.h>

#include "support/kernel_check.h"
#include "support/kv_check.h"

#include "base/detmath.h"
#include "kernel/rotation.h"

/* Runs a test on every level of this CPU. */
static void on_all_levels(void (*test)(const el_kernels *k))
{
    el_kernels kernels[EL_CPU_LEVELS];
    size_t levels = all_levels(kernels);
    for (size_t i = 0; i < levels; i++)
        test(&kernels[i]);
}

/* -------- vectors -------- */

static const uint32_t widths[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 100, 576, 1536};

/* Vectors that try what rounding and limits can get wrong. */
static void fill_floats(random_state *r, float *x, uint32_t n, unsigned kind)
{
    static const float limits[] = {0.0f,      -0.0f,      0x1p-100f, 0x1.fffffep-101f,
                                   0x1p-149f, -0x1p-120f, 0x1p+120f, -0x1p100f,
                                   1.0f};
    static const float tiny[] = {0x1p-100f, 0x1.fffffep-101f, 0x1.8p-100f};
    for (uint32_t i = 0; i < n; i++) {
        if (kind == 0) x[i] = random_float(r);
        if (kind == 1) x[i] = limits[random_bits(r) % LENGTH(limits)];
        if (kind == 2) x[i] = i % 32 == 5 ? 127.0f : (float)random_int(r, -254, 254) * 0.5f;
        if (kind == 3) x[i] = (float)random_int(r, -1, 1) * tiny[i / 32 % 3];
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

static void check_rotate(const el_kernels *k)
{
    static const uint32_t blocks[] = {0, 1, 2, 3, 9, 24};
    random_state r = {8};
    for (size_t w = 0; w < LENGTH(blocks); w++) {
        for (unsigned kind = 0; kind < FLOAT_KINDS; kind++) {
            uint32_t n = blocks[w] * 64;
            guarded x = guard_floats(n);
            float want[1536];
            fill_floats(&r, x.data, n, kind);
            memcpy(want, x.data, n * sizeof *want);
            el_rotate_row(want, n); /* test_matrix.c holds it to its matrix */
            k->rotate(x.data, n);
            assert_same_bits(x.data, want, n, "rotate", k);
            unguard(&x);
        }
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

static float ref_swiglu(float g, float up)
{
    const float t = -g > 88.0f ? 88.0f : -g;
    return (g / (1.0f + el_expf(t))) * up;
}

static float ref_geglu(float g, float up)
{
    const float square = g * g;
    const float inner = -1.5957691216057308f + -0.07135481627260025f * square;
    return (g / (1.0f + el_expf(g * inner))) * up;
}

static void check_gate(const el_kernels *k, const char *name,
                       void (*gates)(float *gate, const float *up, uint32_t n),
                       float (*ref)(float g, float up))
{
    random_state r = {4};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        for (unsigned kind = 0; kind < FLOAT_KINDS; kind++) {
            uint32_t n = widths[w];
            guarded gate = guard_floats(n), up = guard_floats(n);
            float want[1536];
            fill_floats(&r, gate.data, n, kind);
            fill_floats(&r, up.data, n, 0);
            for (uint32_t i = 0; i < n; i++)
                want[i] = ref(((float *)gate.data)[i], ((float *)up.data)[i]);
            gates(gate.data, up.data, n);
            assert_same_bits(gate.data, want, n, name, k);
            unguard(&up);
            unguard(&gate);
        }
    }
}

static void check_swiglu(const el_kernels *k)
{
    check_gate(k, "swiglu", k->swiglu, ref_swiglu);
}

static void check_geglu(const el_kernels *k)
{
    check_gate(k, "geglu", k->geglu, ref_geglu);
}

static float ref_reglu2(float g, float up)
{
    return g > 0 ? g * g * up : 0 * up;
}

static void check_reglu2(const el_kernels *k)
{
    check_gate(k, "reglu2", k->reglu2, ref_reglu2);
}

static float ref_soft_cap(float x, float cap)
{
    const float e = el_expf(x / cap * -2.0f);
    return (1.0f - e) / (1.0f + e) * cap;
}

static void check_soft_cap(const el_kernels *k)
{
    random_state r = {9};
    static const float caps[] = {0.01f, 1.0f, 30.0f, 50.0f};
    for (size_t w = 0; w < LENGTH(widths); w++) {
        for (unsigned kind = 0; kind < FLOAT_KINDS; kind++) {
            const uint32_t n = widths[w];
            const float cap = caps[(w + kind) % LENGTH(caps)];
            guarded x = guard_floats(n);
            float want[1536];
            fill_floats(&r, x.data, n, kind);
            for (uint32_t i = 0; i < n; i++)
                want[i] = ref_soft_cap(((float *)x.data)[i], cap);
            k->soft_cap(x.data, n, cap);
            assert_same_bits(x.data, want, n, "soft_cap", k);
            unguard(&x);
        }
    }
}

/* The definitions themselves, which no other test of this file holds. */
static void check_gelu_and_tanh(const el_kernels *k)
{
    for (int i = -192; i <= 192; i++) {
        const float x = (float)i * 0.0625f;
        const double z = sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * pow((double)x, 3));
        const double want = 0.5 * (double)x * (1 + tanh(z));
        float gate = x, up = 1.0f, capped = x;
        k->geglu(&gate, &up, 1);
        k->soft_cap(&capped, 1, 3.0f);
        assert_true(fabs((double)gate - want) < 2e-6);
        assert_true(fabs((double)capped - 3 * tanh((double)x / 3)) < 2e-6);
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
static test_kv make_kv(uint32_t head_dim, uint32_t bits)
{
    test_kv t = {.kv = {.blocks = (head_dim + 31) / 32 * (bits == 16 ? 2 : 1), .bits = bits}};
    size_t scales = (size_t)POSITIONS * t.kv.blocks, codes = scales * (bits == 4 ? 16 : 32);
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

/* What becomes of a score; positions are counted from 0, whatever is computed. */
static float ref_finish(const el_attended *of, uint32_t p, float score)
{
    score = score * of->scale;
    if (of->cap != 0.0f) score = ref_soft_cap(score, of->cap);
    return p < of->begin ? -INFINITY : score;
}

/* Of the positions begin to end - 1, before anything becomes of them; 0 before. */
static void ref_scores(const el_kv *kv, const float *query, uint32_t head_dim, uint32_t begin,
                       uint32_t end, float *scores)
{
    int8_t q[EL_HEAD_DIM_MAX];
    float qs[8], turned[EL_HEAD_DIM_MAX];
    int32_t sum[8];
    ref_turn(kv, query, head_dim, turned);
    ref_quantize(turned, head_dim, q, qs, sum);
    for (uint32_t p = 0; p < end; p++)
        scores[p] = p < begin ? 0 : ref_score(kv, q, qs, sum, p);
}

static void ref_attend_by(const el_kv *kv, const float *scores, const el_attended *of, float *out)
{
    const uint32_t head_dim = of->head_dim, length = of->end;
    const uint32_t left = kv->blocks / 2 * 32; /* of 16 bits: what codes left over */
    float e[POSITIONS] = {0};
    for (uint32_t p = 0; p < length; p++)
        e[p] = ref_finish(of, p, scores[p]);
    float factor = 1.0f / ref_weigh(e, length);
    float codes[EL_HEAD_DIM_MAX], rest[EL_HEAD_DIM_MAX];
    ref_mix(kv, e, length, 0, head_dim, codes);
    if (kv->bits == 16) ref_mix(kv, e, length, left, head_dim, rest);
    for (uint32_t d = 0; d < head_dim; d++) {
        out[d] = codes[d] * factor;
        if (kv->bits == 16) out[d] = out[d] + rest[d] * factor;
    }
}

static void ref_attend(const el_kv *kv, const float *query, const el_attended *of, float *out)
{
    float scores[POSITIONS];
    ref_scores(kv, query, of->head_dim, of->begin, of->end, scores);
    ref_attend_by(kv, scores, of, out);
}

static void ref_attend_exact(const float *keys, const float *values, const float *query,
                             const el_attended *of, float *out)
{
    const uint32_t head_dim = of->head_dim, length = of->end;
    float e[POSITIONS] = {0};
    for (uint32_t p = 0; p < length; p++)
        e[p] = ref_finish(of, p, ref_dot(keys + p * head_dim, query, head_dim));
    float factor = 1.0f / ref_weigh(e, length);
    for (uint32_t d = 0; d < head_dim; d++)
        out[d] = ref_mix_exact(values, head_dim, e, length, d) * factor;
}

static const uint32_t head_dims[] = {2, 32, 33, 64, 80, 96, 128, 256};
static const uint32_t lengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 128, 129, 300};

enum { HEADS = 7 }; /* of queries that share keys and values: more than any level takes at once */

/* On the queries' first `heads`. */
static void check_attend_heads(const el_kernels *k, const el_kv *kv, const float *queries,
                               uint32_t heads, const el_attended *of, const float *want)
{
    const uint32_t most = heads < EL_ATTEND_ROWS ? heads : EL_ATTEND_ROWS;
    guarded scores = guard_floats((of->last - of->first + 63) / 64 * 64 * most);
    guarded out = guard_floats(heads * of->head_dim);
    const el_queries q = {queries, out.data, (size_t)heads * of->head_dim, heads, 1};
    k->attend(kv, &q, of, scores.data);
    assert_same_bits(out.data, want, heads * of->head_dim, "attend", k);
    unguard(&out);
    unguard(&scores);
}

/* What is past the end has keys of any kind, and costs its time without changing a bit; so does
 * what is before the beginning. */
static void check_attend_lengths(const el_kernels *k, const el_kv *kv, const float *queries,
                                 float scores[HEADS][POSITIONS], el_attended of)
{
    float want[HEADS * EL_HEAD_DIM_MAX];
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        of.end = of.last = lengths[i];
        of.first = 0;
        if (of.begin >= of.end) continue;
        for (uint32_t h = 0; h < HEADS; h++)
            ref_attend_by(kv, scores[h], &of, want + h * of.head_dim);
        for (uint32_t heads = 1 + i % 2; heads <= HEADS; heads += 2)
            check_attend_heads(k, kv, queries, heads, &of, want);
        for (of.first = 0; of.first <= of.begin; of.first += 64)
            for (of.last = (of.end + 15) / 16 * 16; of.last <= POSITIONS; of.last += 144)
                check_attend_heads(k, kv, queries, 1, &of, want);
    }
}

/* Heads of several tokens, of which the last ends at `end`, in a cache or in a ring. What lies
 * between the heads of two tokens stays. */
static void check_attend_tokens(const el_kernels *k, const el_kv *kv, const el_kv *all,
                                const float *queries, uint32_t heads, uint32_t tokens,
                                el_attended last, uint32_t window)
{
    const uint32_t dim = last.head_dim, width = heads * dim, stride = width + 3;
    float want[HEADS * EL_HEAD_DIM_MAX];
    el_attended of[HEADS] = {{0}};
    guarded in = guard_floats((tokens - 1) * stride + width),
            out = guard_floats((tokens - 1) * stride + width);
    const uint32_t most = heads * tokens < EL_ATTEND_ROWS ? heads * tokens : EL_ATTEND_ROWS;
    guarded scores = guard_floats((last.last - last.first + 63) / 64 * 64 * most);
    float *inputs = in.data, *outputs = out.data;
    for (uint32_t t = 0; t < tokens; t++) {
        of[t] = last;
        of[t].end = last.end - (tokens - 1 - t);
        of[t].begin = window && of[t].end > window ? of[t].end - window : 0;
        if (t < tokens - 1) outputs[t * stride + width] = -7.0f;
        for (uint32_t i = 0; i < width; i++)
            inputs[t * stride + i] = queries[(i + t * 13) % (HEADS * dim)];
    }
    const el_queries q = {inputs, outputs, stride, heads, tokens};
    k->attend(kv, &q, of, scores.data);
    for (uint32_t t = 0; t < tokens; t++) {
        for (uint32_t h = 0; h < heads; h++)
            ref_attend(all, inputs + t * stride + h * dim, &of[t], want + h * dim);
        assert_same_bits(outputs + t * stride, want, width, "attend, several tokens", k);
        if (t < tokens - 1) assert_true(outputs[t * stride + width] == -7.0f);
    }
    unguard(&scores);
    unguard(&out);
    unguard(&in);
}

/* More rows than any level takes at once, in one piece and in several; tokens whose spans differ.
 */
static void check_attend_batches(const el_kernels *k, const el_kv *kv, const float *queries,
                                 uint32_t dim)
{
    static const struct {
        uint32_t heads, tokens, end, window, last; /* last 0: end */
    } cases[] = {{1, 7, 7, 0, 0},  {1, 6, 65, 0, 0},   {3, 2, 65, 0, 0},    {3, 2, 130, 70, 0},
                 {2, 3, 66, 5, 0}, {3, 3, 64, 0, 304}, {7, 2, 130, 64, 304}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const uint32_t first = cases[i].end - (cases[i].tokens - 1), window = cases[i].window;
        const uint32_t begin = window && first > window ? first - window : 0;
        const el_attended of = {.head_dim = dim,
                                .end = cases[i].end,
                                .first = begin / 64 * 64,
                                .last = cases[i].last ? cases[i].last : cases[i].end,
                                .scale = 0.125f};
        check_attend_tokens(k, kv, kv, queries, cases[i].heads, cases[i].tokens, of, window);
    }
}

/* Scales, caps and beginnings: 60 makes many weights 0. */
static void check_attend_ways(const el_kernels *k, const el_kv *kv, const float *queries,
                              uint32_t dim)
{
    static const el_attended ways[] = {{.scale = 0.125f},
                                       {.scale = 60.0f},
                                       {.scale = 0.125f, .cap = 0.5f},
                                       {.scale = 0.125f, .begin = 1},
                                       {.scale = 60.0f, .begin = 64, .cap = 50.0f},
                                       {.scale = 0.125f, .begin = 127}};
    float scores[HEADS][POSITIONS];
    for (uint32_t h = 0; h < HEADS; h++)
        ref_scores(kv, queries + h * dim, dim, 0, lengths[LENGTH(lengths) - 1], scores[h]);
    for (size_t i = 0; i < LENGTH(ways); i++) {
        el_attended of = ways[i];
        of.head_dim = dim;
        check_attend_lengths(k, kv, queries, scores, of);
    }
}

static void check_attend_width(const el_kernels *k, random_state *r, uint32_t dim, uint32_t bits)
{
    test_kv got = make_kv(dim, bits), want = make_kv(dim, bits);
    guarded query = guard_floats(HEADS * dim);
    float key[EL_HEAD_DIM_MAX], value[EL_HEAD_DIM_MAX];
    memset(got.vscale.data, 0, got.vscale.size); /* of the last tile's rest */
    memset(want.vscale.data, 0, want.vscale.size);
    for (uint32_t p = 0; p < 300; p++) {
        fill_floats(r, key, dim, p % 7 == 3 ? 3 : 0);
        fill_floats(r, value, dim, p % 7 == 4 ? 3 : 0);
        k->kv_store(&got.kv, p, key, value, dim);
        ref_kv_store(&want.kv, p, key, value, dim);
    }
    assert_memory_equal(got.keys.data, want.keys.data, want.keys.size);
    assert_memory_equal(got.values.data, want.values.data, want.values.size);
    assert_memory_equal(got.kscale.data, want.kscale.data, want.kscale.size);
    assert_memory_equal(got.vscale.data, want.vscale.data, want.vscale.size);
    fill_floats(r, query.data, HEADS * dim, 0);
    check_attend_ways(k, &got.kv, query.data, dim);
    if (dim == 64 || dim == 80) check_attend_batches(k, &got.kv, query.data, dim);
    unguard(&query);
    free_kv(&want);
    free_kv(&got);
}

static void check_attend(const el_kernels *k)
{
    random_state r = {6};
    for (size_t h = 0; h < LENGTH(head_dims); h++)
        check_attend_width(k, &r, head_dims[h], 8);
}

static void check_attend_16(const el_kernels *k)
{
    random_state r = {26};
    check_attend_width(k, &r, 64, 16);
    check_attend_width(k, &r, 80, 16);
}

static void check_attend_4(const el_kernels *k)
{
    random_state r = {36};
    check_attend_width(k, &r, 33, 4);
    check_attend_width(k, &r, 64, 4);
    check_attend_width(k, &r, 80, 4);
}

/* A ring that is overwritten all along holds the window of each position: the bits are those of a
 * cache of all positions, in constant time too. */
enum { RING = 192, WINDOW = RING - 63 };

static el_attended in_ring(uint32_t dim, uint32_t end)
{
    const uint32_t begin = end > WINDOW ? end - WINDOW : 0;
    return (el_attended){.head_dim = dim,
                         .begin = begin,
                         .end = end,
                         .first = begin / 64 * 64,
                         .last = end,
                         .scale = 0.125f,
                         .ring = RING};
}

static void check_ring_of(const el_kernels *k, const el_kv *all, const el_kv *ring,
                          const float *queries, uint32_t dim, uint32_t end)
{
    float want[HEADS * EL_HEAD_DIM_MAX];
    el_attended of = in_ring(dim, end);
    for (uint32_t h = 0; h < HEADS; h++)
        ref_attend(all, queries + h * dim, &of, want + h * dim);
    check_attend_heads(k, ring, queries, HEADS, &of, want);
    if (end % 64 > 1) check_attend_tokens(k, ring, all, queries, 3, 2, of, WINDOW - 1);
    of.last = of.first + RING;
    check_attend_heads(k, ring, queries, HEADS, &of, want);
}

static void check_ring(const el_kernels *k)
{
    random_state r = {8};
    static const uint32_t dims[][2] = {{32, 8}, {80, 8}, {64, 16}, {80, 4}}; /* and bits */
    for (size_t i = 0; i < LENGTH(dims); i++) {
        const uint32_t dim = dims[i][0];
        test_kv all = make_kv(dim, dims[i][1]), ring = make_kv(dim, dims[i][1]);
        guarded query = guard_floats(HEADS * dim);
        float key[EL_HEAD_DIM_MAX], value[EL_HEAD_DIM_MAX];
        memset(ring.vscale.data, 0, ring.vscale.size);
        fill_floats(&r, query.data, HEADS * dim, 0);
        for (uint32_t p = 0; p < 300; p++) {
            fill_floats(&r, key, dim, 0);
            fill_floats(&r, value, dim, 0);
            k->kv_store(&all.kv, p, key, value, dim);
            k->kv_store(&ring.kv, p % RING, key, value, dim);
            if (p % 37 == 0 || p % 64 == 63 || p > 290)
                check_ring_of(k, &all.kv, &ring.kv, query.data, dim, p + 1);
        }
        unguard(&query);
        free_kv(&ring);
        free_kv(&all);
    }
}

static void check_ring_exact(const el_kernels *k)
{
    enum { DIM = 34 };
    random_state r = {9};
    static float keys[300 * DIM], values[300 * DIM], ring_keys[RING * DIM], ring_values[RING * DIM];
    float query[DIM], scores[RING], want[DIM], got[DIM];
    fill_floats(&r, keys, 300 * DIM, 0);
    fill_floats(&r, values, 300 * DIM, 0);
    fill_floats(&r, query, DIM, 0);
    for (uint32_t p = 0; p < 300; p++) {
        const el_attended of = in_ring(DIM, p + 1);
        memcpy(ring_keys + p % RING * DIM, keys + p * DIM, sizeof query);
        memcpy(ring_values + p % RING * DIM, values + p * DIM, sizeof query);
        ref_attend_exact(keys, values, query, &of, want);
        k->attend_exact(ring_keys, ring_values, query, &of, scores, got);
        assert_same_bits(got, want, DIM, "attend_exact in a ring", k);
    }
}

/* Weights so small that only huge values show them: where el_expf becomes 0. */
static void check_small_weights(const el_kernels *k)
{
    float keys[128] = {0}, values[128] = {0}, query[2] = {1.0f, 0.0f}, scores[64], got[2], want[2];
    for (int p = 1; p < 64; p++) {
        keys[2 * p] = -84.0f - (float)p * 0.0625f;
        values[2 * p] = 0x1p120f;
        values[2 * p + 1] = p % 2 ? 0x1p126f : -0x1p126f;
    }
    const el_attended of = {.head_dim = 2, .end = 64, .last = 64, .scale = 1.0f};
    ref_attend_exact(keys, values, query, &of, want);
    k->attend_exact(keys, values, query, &of, scores, got);
    assert_same_bits(got, want, 2, "small weights", k);
}

static void check_attend_exact(const el_kernels *k)
{
    random_state r = {7};
    check_small_weights(k);
    for (size_t h = 0; h < LENGTH(head_dims); h++) {
        uint32_t dim = head_dims[h];
        guarded keys = guard_floats((size_t)300 * dim), values = guard_floats((size_t)300 * dim);
        guarded query = guard_floats(dim), out = guard_floats(dim), scores = guard_floats(320);
        fill_floats(&r, keys.data, 300 * dim, 0);
        fill_floats(&r, values.data, 300 * dim, 0);
        fill_floats(&r, query.data, dim, 0);
        for (size_t i = 0; i < LENGTH(lengths); i++) {
            for (uint32_t begin = 0; begin < lengths[i]; begin += 70) {
                float want[EL_HEAD_DIM_MAX];
                const el_attended of = {.head_dim = dim,
                                        .begin = begin,
                                        .end = lengths[i],
                                        .first = begin / 64 * 64,
                                        .last = lengths[i],
                                        .scale = 0.25f,
                                        .cap = begin ? 2.0f : 0.0f};
                ref_attend_exact(keys.data, values.data, query.data, &of, want);
                k->attend_exact(keys.data, values.data, query.data, &of, scores.data, out.data);
                assert_same_bits(out.data, want, dim, "attend_exact", k);
            }
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

/* Levels are built in the order of their numbers: the last that runs is the one that is used. */
static void test_built(void **state)
{
    (void)state;
    const char *name;
    int last = -1;
    uint32_t n = 0;
    for (; (name = el_kernels_built(n)); n++) {
        assert_true(el_cpu_level_parse(name) > last);
        last = el_cpu_level_parse(name);
    }
    assert_string_equal(el_kernels_built(0), "scalar");
    assert_null(el_kernels_built(n + 1));
}

/* -------- adapters -------- */

/* A (rank, cols) and B in tiles, against sums in the order that kernels.h says. */
static void check_lora(const el_kernels *k)
{
    enum { RANK = 5, COLS = 53, ROWS = 21, N = 19, TILES = 2 };
    static float a[RANK * COLS], b[TILES * RANK * EL_TILE], x[N * COLS], low[N * RANK];
    static float want_low[N * RANK], out[N * ROWS], want[N * ROWS];
    uint32_t seed = 5;
    float *const filled[] = {a, b, x, out};
    const size_t sizes[] = {RANK * COLS, TILES * RANK * EL_TILE, N * COLS, N * ROWS};
    for (int f = 0; f < 4; f++)
        for (size_t i = 0; i < sizes[f]; i++) {
            seed = seed * 1664525u + 1013904223u;
            filled[f][i] = (float)(seed >> 8) * 0x1p-23f - 1;
        }
    for (int t = 0; t < N; t++) {
        for (int j = 0; j < RANK; j++) {
            float lane[16] = {0};
            for (int i = 0; i < COLS; i++)
                lane[i % 16] = lane[i % 16] + a[j * COLS + i] * x[t * COLS + i];
            for (int half = 8; half > 0; half /= 2)
                for (int l = 0; l < half; l++)
                    lane[l] = lane[l] + lane[l + half];
            want_low[t * RANK + j] = lane[0] * 0.3f;
        }
        for (int row = 0; row < ROWS; row++) {
            float sum = 0;
            for (int j = 0; j < RANK; j++)
                sum = sum + b[(row / 16 * RANK + j) * 16 + row % 16] * want_low[t * RANK + j];
            want[t * ROWS + row] = out[t * ROWS + row] + sum;
        }
    }
    k->lora_down(a, COLS, 0, 2, x, N, 0.3f, low, RANK);
    k->lora_down(a, COLS, 2, RANK, x, N, 0.3f, low, RANK);
    assert_same_bits(low, want_low, N * RANK, "lora_down", k);
    k->lora_up(b, RANK, ROWS, 0, 1, low, RANK, N, out, ROWS);
    k->lora_up(b, RANK, ROWS, 1, TILES, low, RANK, N, out, ROWS);
    assert_same_bits(out, want, N * ROWS, "lora_up", k);
}

/* -------- the list of operations -------- */

#define OPERATIONS(X)                                                                              \
    X(quantize)                                                                                    \
    X(rms_norm)                                                                                    \
    X(rotate)                                                                                      \
    X(add)                                                                                         \
    X(swiglu)                                                                                      \
    X(geglu)                                                                                       \
    X(reglu2)                                                                                      \
    X(soft_cap)                                                                                    \
    X(gelu_and_tanh)                                                                               \
    X(rope) X(attend) X(attend_16) X(attend_4) X(attend_exact) X(ring) X(ring_exact) X(lora)

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_built),
#define X(name) cmocka_unit_test(test_##name),
                                       OPERATIONS(X)
#undef X
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
