/*
 * bench_codecs_model.c: draws the codes row by row, the same whenever asked, packs them in both
 * layouts (the packed one with the packer of the real files), and multiplies them naively.
 */
#include "bench_codecs_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "kernel/matrix_pack.h"

#define DIM   576
#define FFN   1536
#define VOCAB 49152
#define GROUP 64
#define WIDE  1536 /* the widest row */

typedef struct shape {
    uint32_t rows, cols;
    bool shares_input;
} shape;

static const shape layer_shapes[] = {
    {DIM, DIM, false}, {192, DIM, true}, {192, DIM, true}, /* q, k, v */
    {DIM, DIM, false},                                     /* o */
    {FFN, DIM, false}, {FFN, DIM, true},                   /* gate, up */
    {DIM, FFN, false},                                     /* down */
};
static const shape head_shape = {VOCAB, DIM, false};
#define LAYER_SHAPES (sizeof layer_shapes / sizeof *layer_shapes)

static const shape *shape_of(const bench_model *model, uint32_t index)
{
    return index < model->body ? &layer_shapes[index % LAYER_SHAPES] : &head_shape;
}

bool bench_model_shares_input(const bench_model *model, uint32_t index)
{
    return shape_of(model, index)->shares_input;
}

const bench_acts *bench_model_acts(const bench_model *model, const bench_matrix *m)
{
    return m->cols == FFN ? &model->wide : &model->narrow;
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Some rows hold nothing but the largest or the smallest code: the sums reach their limits. */
static void draw_row(const bench_matrix *m, uint32_t row, int bits, uint8_t *codes)
{
    uint64_t state = (uint64_t)m->id << 32 | row, word = 0;
    uint8_t top = (uint8_t)bench_top_level(bits);
    if (row % 61 == 7 || row % 61 == 9) {
        memset(codes, row % 61 == 7 ? top : 0, m->cols);
        return;
    }
    for (uint32_t c = 0; c < m->cols; c++, word >>= 4) {
        if (c % 16 == 0) word = next_random(&state);
        codes[c] = (uint8_t)(word & top);
    }
}

static void pack_row(const bench_matrix *m, uint32_t row, int bits, const uint8_t *codes)
{
    static const el_codec codec[BENCH_BITS] = {
        [2] = EL_CODEC_S2, [3] = EL_CODEC_S3, [4] = EL_CODEC_S4};
    for (uint32_t c = 0; c < m->cols; c++) {
        el_matrix_set_code(m->packed, codec[bits], m->blocks, row, c, codes[c]);
    }
}

static void pack_row_planes(const bench_matrix *m, uint32_t row, int bits, const uint8_t *codes)
{
    for (uint32_t quad = 0; quad < m->cols / 4; quad++, codes += 4) {
        size_t block = (size_t)(row / EL_TILE) * m->blocks + quad / 8;
        uint8_t *at = m->planes + block * (size_t)bits * 64 + quad % 4 * 16 + row % EL_TILE;
        for (int p = 0; p < bits; p++, at += 64) {
            int index = 0;
            for (int i = 0; i < 4; i++)
                index |= (codes[i] >> p & 1) << i;
            *at = (uint8_t)(*at | index << (quad % 8 / 4 * 4));
        }
    }
}

/* Scales in [2^-10, 2^-6): normal in fp16. */
static void fill_matrix(const bench_matrix *m, int bits)
{
    uint8_t codes[WIDE];
    for (uint32_t row = 0; row < m->rows; row++) {
        draw_row(m, row, bits, codes);
        pack_row(m, row, bits, codes);
        pack_row_planes(m, row, bits, codes);
    }
    uint64_t state = m->id;
    size_t scales = (size_t)m->rows * (m->cols / GROUP);
    for (size_t i = 0; i < scales; i++) {
        m->scales[i] = (uint16_t)(5 * 1024 + next_random(&state) % (4 * 1024));
    }
}

static void *get_aligned(size_t bytes)
{
    size_t whole = (bytes + 63) & ~(size_t)63;
    void *p = aligned_alloc(64, whole);
    if (p) memset(p, 0, whole);
    return p;
}

/* Block 0 is all 127 and block 1 all -127 in the first two vectors: the limits again. */
static int make_acts(bench_acts *a, uint32_t cols, uint32_t vectors, uint64_t state)
{
    a->blocks = cols / EL_BLOCK;
    size_t blocks = (size_t)vectors * a->blocks;
    a->q = get_aligned(blocks * EL_BLOCK);
    a->scale = get_aligned(blocks * sizeof *a->scale);
    a->sum = get_aligned(blocks * sizeof *a->sum);
    a->tables = get_aligned(blocks * BENCH_TABLE_BYTES);
    if (!a->q || !a->scale || !a->sum || !a->tables) return -1;
    for (size_t b = 0; b < blocks; b++) {
        a->scale[b] = (float)(1 + next_random(&state) % 1000) / 65536.0f;
        for (size_t i = b * EL_BLOCK; i < (b + 1) * EL_BLOCK; i++) {
            a->q[i] = (int8_t)((int)(next_random(&state) % 255) - 127);
            if (b == 0 || b == a->blocks) a->q[i] = 127;
            if (b == 1 || b == a->blocks + 1) a->q[i] = -127;
            a->sum[b] += a->q[i];
        }
    }
    return 0;
}

/* Sets the shapes of all matrices and counts what they need. */
static int set_shapes(bench_model *model)
{
    model->matrix = calloc(model->count, sizeof *model->matrix);
    if (!model->matrix) return -1;
    for (uint32_t i = 0; i < model->count; i++) {
        const shape *s = shape_of(model, i);
        model->matrix[i] = (bench_matrix){.rows = s->rows, .cols = s->cols, .id = i + 1};
        model->matrix[i].tiles = s->rows / EL_TILE;
        model->matrix[i].blocks = s->cols / EL_BLOCK;
        model->weights += (size_t)s->rows * s->cols;
    }
    model->code_bytes = model->weights / 8 * (size_t)model->bits;
    model->scale_bytes = model->weights / GROUP * sizeof *model->scales;
    return 0;
}

int bench_model_make(bench_model *model, int bits, uint32_t layers, bool head, uint32_t vectors)
{
    *model = (bench_model){.bits = bits, .vectors = vectors};
    model->body = layers * (uint32_t)LAYER_SHAPES;
    model->count = model->body + (head ? 1 : 0);
    if (set_shapes(model)) return -1;
    model->packed = get_aligned(model->code_bytes);
    model->planes = get_aligned(model->code_bytes);
    model->scales = get_aligned(model->scale_bytes);
    if (!model->packed || !model->planes || !model->scales) return -1;
    size_t weights = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        bench_matrix *m = &model->matrix[i];
        m->packed = model->packed + weights / 8 * (size_t)bits;
        m->planes = model->planes + weights / 8 * (size_t)bits;
        m->scales = model->scales + weights / GROUP;
        fill_matrix(m, bits);
        weights += (size_t)m->rows * m->cols;
    }
    if (make_acts(&model->narrow, DIM, vectors, 1)) return -1;
    return make_acts(&model->wide, FFN, vectors, 2);
}

static void free_acts(bench_acts *a)
{
    free(a->q);
    free(a->scale);
    free(a->sum);
    free(a->tables);
}

void bench_model_free(bench_model *model)
{
    free_acts(&model->narrow);
    free_acts(&model->wide);
    free(model->packed);
    free(model->planes);
    free(model->scales);
    free(model->matrix);
    *model = (bench_model){0};
}

/* One row against one vector, in the order of the contract. */
static float reference_dot(const bench_matrix *m, const bench_acts *a, uint32_t row, uint32_t v,
                           const int8_t *level)
{
    float acc = 0.0f;
    for (uint32_t b = 0; b < m->blocks; b++) {
        size_t at = (size_t)v * a->blocks + b;
        size_t group = (size_t)(row / EL_TILE) * (m->blocks / 2) + b / 2;
        float ws = el_float_of_half(m->scales[group * EL_TILE + row % EL_TILE]) * 0.5f;
        int32_t sum = 0;
        for (uint32_t i = 0; i < EL_BLOCK; i++) {
            sum += level[b * EL_BLOCK + i] * a->q[at * EL_BLOCK + i];
        }
        acc = acc + (float)sum * (ws * a->scale[at]);
    }
    return acc;
}

void bench_model_reference(const bench_model *model, const bench_matrix *m, uint32_t n, float *out)
{
    const bench_acts *a = bench_model_acts(model, m);
    for (uint32_t row = 0; row < m->rows; row++) {
        uint8_t codes[WIDE];
        int8_t level[WIDE] = {0};
        draw_row(m, row, model->bits, codes);
        for (uint32_t c = 0; c < m->cols; c++) {
            level[c] = (int8_t)(2 * codes[c] - bench_top_level(model->bits));
        }
        for (uint32_t v = 0; v < n; v++) {
            out[(size_t)v * m->rows + row] = reference_dot(m, a, row, v, level);
        }
    }
}
