/* self_test.c: see self_test.h. */
#include "kernel/self_test.h"

#include <stdbool.h>
#include <string.h>

/* Sizes that take every path: tiles of which one is not full, one block more than a run of fives,
 * several groups, a batch of vectors and one over. */
enum {
    ROWS = EL_TILE + 5,
    COLS = (EL_RUN + 1) * EL_BLOCK,
    GROUP = 64,
    BLOCKS = COLS / EL_BLOCK,
    VECTORS = 9,
    WIDE = 2 * EL_ROTATION_WIDTH, /* floats of a vector */
    ODD = WIDE - 27,
    HEAD = 64,
    HEADS = 7, /* that share keys and values */
    POSITIONS = EL_TILE + 5,
    PADDED = 64, /* room for their scores */
    MATRIX_BYTES = 8192,
};

/* Bits, not values: -0 is not 0, and a NaN is itself. */
static bool are_same(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

/* ---- made-up numbers ---------------------------------------------------------------------- */

typedef struct chance {
    uint32_t state;
} chance;

static uint32_t draw(chance *c)
{
    c->state = c->state * 1664525u + 1013904223u;
    return c->state >> 8;
}

static void fill_floats(chance *c, float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = ((float)(draw(c) & 0xffff) - 32768.0f) * 0x1p-14f; /* -2 .. 2 */
}

/* -127 .. 127 */
static void fill_bytes(chance *c, int8_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (int8_t)((int)(draw(c) % 255) - 127);
}

/* ---- matrices ----------------------------------------------------------------------------- */

typedef struct vectors {
    int8_t q[VECTORS * COLS];
    float scale[VECTORS * BLOCKS];
    int32_t sum[VECTORS * BLOCKS];
} vectors;

static void fill_vectors(chance *c, vectors *v)
{
    fill_bytes(c, v->q, sizeof v->q);
    for (int b = 0; b < VECTORS * BLOCKS; b++) {
        v->scale[b] = (float)(1 + draw(c) % 255) * 0x1p-10f;
        v->sum[b] = 0;
        for (int i = 0; i < EL_BLOCK; i++)
            v->sum[b] += v->q[b * EL_BLOCK + i];
    }
}

/* Any bytes are codes, byte scales and byte offsets; references are finite. */
static void fill_matrix(chance *c, el_codec codec, uint8_t data[MATRIX_BYTES], el_matrix *m)
{
    el_matrix_layout layout;
    el_matrix_measure(ROWS, COLS, codec, EL_SCALE_BYTE, GROUP, &layout);
    fill_bytes(c, (int8_t *)data, (size_t)layout.bytes);
    for (int plane = 3; plane < EL_PLANES; plane++) {
        for (uint64_t i = 0; i + 1 < layout.plane_bytes[plane]; i += 2)
            data[layout.plane_offset[plane] + i + 1] = (uint8_t)(0x30 + draw(c) % 8); /* 2^-3 .. */
    }
    el_matrix_view(m, data, ROWS, COLS, codec, EL_SCALE_BYTE, GROUP);
}

static const char *test_matmul(const el_kernels *k, const el_kernels *scalar)
{
    uint8_t data[MATRIX_BYTES] __attribute__((aligned(64)));
    float ours[VECTORS * ROWS], theirs[VECTORS * ROWS];
    chance c = {1};
    vectors v;
    fill_vectors(&c, &v);
    const el_acts acts = {v.q, v.scale, v.sum, BLOCKS};
    for (int codec = EL_CODEC_F32 + 1; codec < EL_CODEC_COUNT; codec++) {
        el_matrix m;
        fill_matrix(&c, (el_codec)codec, data, &m);
        for (uint32_t n = 1; n <= VECTORS; n += VECTORS - 1) {
            k->matmul[codec](&m, &acts, n, 0, m.tiles, ours, ROWS);
            scalar->matmul[codec](&m, &acts, n, 0, m.tiles, theirs, ROWS);
            if (!are_same(ours, theirs, n * ROWS * sizeof *ours)) return el_codecs[codec].name;
        }
    }
    return NULL;
}

static bool matmul_exact_is_right(const el_kernels *k, const el_kernels *scalar)
{
    uint8_t data[MATRIX_BYTES] __attribute__((aligned(64)));
    float x[COLS], ours[ROWS], theirs[ROWS], scratch[COLS];
    chance c = {2};
    el_matrix m;
    fill_matrix(&c, EL_CODEC_O3, data, &m);
    fill_floats(&c, x, COLS);
    k->matmul_exact(&m, x, COLS, 1, 0, m.tiles, ours, ROWS, scratch);
    scalar->matmul_exact(&m, x, COLS, 1, 0, m.tiles, theirs, ROWS, scratch);
    return are_same(ours, theirs, sizeof ours);
}

/* ---- vectors ------------------------------------------------------------------------------ */

/* What an operation on x, y and z, which it may change, leaves behind. */
typedef struct work {
    float x[WIDE], y[WIDE], z[WIDE];
    int8_t q[WIDE];
    int32_t sum[WIDE / EL_BLOCK];
} work;

static void run_quantize(const el_kernels *k, work *w)
{
    k->quantize(w->x, ODD, w->q, w->y, w->sum);
}

static void run_rms_norm(const el_kernels *k, work *w)
{
    k->rms_norm(w->x, w->y, ODD, 1e-5f, w->z);
}

static void run_rotate(const el_kernels *k, work *w)
{
    k->rotate(w->x, WIDE);
}

static void run_add(const el_kernels *k, work *w)
{
    k->add(w->x, w->y, ODD);
}

static void run_swiglu(const el_kernels *k, work *w)
{
    k->swiglu(w->x, w->y, ODD);
}

static void run_geglu(const el_kernels *k, work *w)
{
    k->geglu(w->x, w->y, ODD);
}

static void run_reglu2(const el_kernels *k, work *w)
{
    k->reglu2(w->x, w->y, ODD);
}

static void run_soft_cap(const el_kernels *k, work *w)
{
    k->soft_cap(w->x, ODD, 0.5f);
}

static void run_rope(const el_kernels *k, work *w)
{
    k->rope(w->x, WIDE / HEAD, HEAD, HEAD, w->y, w->z);
}

/* ---- attention ---------------------------------------------------------------------------- */

enum { KEY_BYTES = (POSITIONS + EL_TILE - 1) / EL_TILE * EL_TILE * HEAD * 2 };

typedef struct cache {
    int8_t keys[KEY_BYTES], values[KEY_BYTES];
    float kscale[KEY_BYTES / EL_BLOCK], vscale[KEY_BYTES / EL_BLOCK];
    float query[HEADS * HEAD], scores[EL_ATTEND_ROWS * PADDED], out[HEADS * HEAD];
    float part[HEADS * HEAD];
} cache;

static void run_attention(const el_kernels *k, uint32_t bits, cache *a)
{
    const uint32_t blocks = HEAD / EL_BLOCK * (bits == 16 ? 2 : 1);
    const el_kv kv = {a->keys, a->kscale, a->values, a->vscale, blocks, bits};
    chance c = {3};
    memset(a, 0, sizeof *a);
    for (uint32_t p = 0; p < POSITIONS; p++) {
        float key[HEAD], value[HEAD];
        fill_floats(&c, key, HEAD);
        fill_floats(&c, value, HEAD);
        k->kv_store(&kv, p, key, value, HEAD);
    }
    fill_floats(&c, a->query, HEADS * HEAD);
    const el_attended all = {
        .head_dim = HEAD, .end = POSITIONS, .last = POSITIONS, .scale = 0.125f};
    el_attended part = all;
    el_queries q = {a->query, a->out, HEADS * HEAD, HEADS, 1};
    k->attend(&kv, &q, &all, a->scores);
    part.begin = 3;
    part.end = EL_TILE - 1;
    part.last = 2 * EL_TILE;
    part.cap = 0.5f;
    q.out = a->part;
    k->attend(&kv, &q, &part, a->scores);
    memset(a->scores, 0, sizeof a->scores); /* scratch: not of the result */
}

static bool attention_is_right(const el_kernels *k, const el_kernels *scalar)
{
    static const uint32_t widths[] = {16, 8, 4};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        cache ours, theirs;
        run_attention(k, widths[i], &ours);
        run_attention(scalar, widths[i], &theirs);
        if (!are_same(&ours, &theirs, sizeof ours)) return false;
    }
    return true;
}

static bool attention_exact_is_right(const el_kernels *k, const el_kernels *scalar)
{
    float keys[POSITIONS * HEAD], values[POSITIONS * HEAD], query[HEAD], scores[PADDED];
    float ours[HEAD], theirs[HEAD];
    chance c = {4};
    fill_floats(&c, keys, POSITIONS * HEAD);
    fill_floats(&c, values, POSITIONS * HEAD);
    fill_floats(&c, query, HEAD);
    const el_attended of = {.head_dim = HEAD,
                            .begin = 3,
                            .end = POSITIONS,
                            .last = POSITIONS,
                            .scale = 0.125f,
                            .cap = 2};
    k->attend_exact(keys, values, query, &of, scores, ours);
    scalar->attend_exact(keys, values, query, &of, scores, theirs);
    return are_same(ours, theirs, sizeof ours);
}

/* ---- all ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(const el_kernels *k, work *w);
} vector_ops[] = {
    {"quantize", run_quantize}, {"rms_norm", run_rms_norm}, {"rotate", run_rotate},
    {"add", run_add},           {"swiglu", run_swiglu},     {"geglu", run_geglu},
    {"rope", run_rope},         {"soft_cap", run_soft_cap}, {"reglu2", run_reglu2},
};

static const struct {
    const char *name;
    bool (*is_right)(const el_kernels *k, const el_kernels *scalar);
} larger_ops[] = {
    {"matmul_exact", matmul_exact_is_right},
    {"attend", attention_is_right}, /* kv_store too */
    {"attend_exact", attention_exact_is_right},
};

static void fill_work(work *w)
{
    chance c = {5};
    memset(w, 0, sizeof *w);
    fill_floats(&c, w->x, WIDE);
    fill_floats(&c, w->y, WIDE);
    fill_floats(&c, w->z, WIDE);
}

const char *el_kernels_self_test(const el_kernels *kernels)
{
    el_kernels scalar;
    if (kernels->level == EL_CPU_SCALAR) return NULL;
    el_kernels_init(&scalar, EL_CPU_SCALAR);
    for (size_t i = 0; i < sizeof vector_ops / sizeof vector_ops[0]; i++) {
        work ours, theirs;
        fill_work(&ours);
        fill_work(&theirs);
        vector_ops[i].run(kernels, &ours);
        vector_ops[i].run(&scalar, &theirs);
        if (!are_same(&ours, &theirs, sizeof ours)) return vector_ops[i].name;
    }
    for (size_t i = 0; i < sizeof larger_ops / sizeof larger_ops[0]; i++)
        if (!larger_ops[i].is_right(kernels, &scalar)) return larger_ops[i].name;
    return test_matmul(kernels, &scalar);
}
