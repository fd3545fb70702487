/*
 * matrix.c: the layout of matrix.h, stated once in place_in_block() and place_in_tile(), and the
 * slow accessors that define what a weight means. Kernels are held to these by the tests.
 */
#include "kernel/matrix.h"

#include "base/half.h"
#include "kernel/matrix_pack.h"

#define LIMIT      (1u << 24) /* rows and columns: keeps every product below 2^50 */
#define VECTOR     64         /* bytes; also the alignment of the planes */
#define QUAD       4          /* columns of a quad */
#define ALIGNED(n) (((n) + (VECTOR - 1)) & ~(uint64_t)(VECTOR - 1))

/*
 * The levels of chained codes, the best that random search with descent found for normally
 * distributed weights: of a variance of 1 there is left .0900 with 2 bits (evenly spaced levels of
 * their own: .1188), .0253 with 3 (.0374).
 */
static const int8_t levels_c2[16] = {1, -6, -2, 4, 4, -2, -8, 1, -1, 8, 2, -4, -4, 2, 6, -1};
static const int8_t levels_c3[16] = {-4, -7, 2, 0, 13, 2, -9, -5, 5, 9, -2, -13, 0, -2, 7, 4};

const el_codec_info el_codecs[EL_CODEC_COUNT] = {
    /*               name  bits mul bias half offset fives levels block bytes */
    [EL_CODEC_F32] = {"f32", 32, 1, 0, 0, 0, 0, NULL, 0},
    [EL_CODEC_S2] = {"s2", 2, 2, -3, 1, 0, 0, NULL, 128},
    [EL_CODEC_S3] = {"s3", 3, 2, -7, 1, 0, 0, NULL, 192},
    [EL_CODEC_S4] = {"s4", 4, 2, -15, 1, 0, 0, NULL, 256},
    [EL_CODEC_O2] = {"o2", 2, 1, 0, 0, 1, 0, NULL, 128},
    [EL_CODEC_O3] = {"o3", 3, 1, 0, 0, 1, 0, NULL, 192},
    [EL_CODEC_O4] = {"o4", 4, 1, 0, 0, 1, 0, NULL, 256},
    [EL_CODEC_Z4] = {"z4", 4, 1, -8, 0, 0, 0, NULL, 256},
    [EL_CODEC_I8] = {"i8", 8, 1, 0, 0, 0, 0, NULL, 512},
    [EL_CODEC_O8] = {"o8", 8, 1, 0, 0, 1, 0, NULL, 512},
    [EL_CODEC_B1] = {"b1", 1, 2, -1, 0, 0, 0, NULL, 64},
    [EL_CODEC_T2] = {"t2", 2, 1, -1, 0, 0, 0, NULL, 128},
    [EL_CODEC_T1] = {"t1", 2, 1, -1, 0, 0, 1, NULL, 0},
    [EL_CODEC_C2] = {"c2", 2, 1, -8, 0, 0, 0, levels_c2, 128},
    [EL_CODEC_C3] = {"c3", 3, 1, -13, 0, 0, 0, levels_c3, 192},
};

const char *const el_rotation_names[EL_ROTATIONS] = {"none", "hadamard64"};

const float el_scale_table[256] = {
#include "kernel/scale_table.inc"
};

static int shape_is_valid(uint32_t rows, uint32_t cols, el_codec codec, el_scale_kind kind,
                          uint32_t group)
{
    return rows >= 1 && rows <= LIMIT && cols >= 1 && cols <= LIMIT && codec > EL_CODEC_F32 &&
           codec < EL_CODEC_COUNT && (unsigned)kind < EL_SCALE_KINDS &&
           (group == 0 || group == 32 || group == 64 || group == 128);
}

/* Everything of a matrix but its planes. */
static void set_shape(el_matrix *m, uint32_t rows, uint32_t cols, el_codec codec,
                      el_scale_kind kind, uint32_t group)
{
    *m = (el_matrix){.rows = rows, .cols = cols};
    m->tiles = (rows + EL_TILE - 1) / EL_TILE;
    m->blocks = (cols + EL_BLOCK - 1) / EL_BLOCK;
    m->group_blocks = group ? group / EL_BLOCK : m->blocks;
    m->groups = (m->blocks + m->group_blocks - 1) / m->group_blocks;
    m->codec = (uint8_t)codec;
    m->scale_kind = (uint8_t)kind;
}

int el_matrix_measure(uint32_t rows, uint32_t cols, el_codec codec, el_scale_kind kind,
                      uint32_t group, el_matrix_layout *layout)
{
    if (!shape_is_valid(rows, cols, codec, kind, group)) return -1;
    el_matrix m;
    set_shape(&m, rows, cols, codec, kind, group);
    const el_codec_info *info = &el_codecs[codec];
    uint64_t scales = (uint64_t)m.tiles * m.groups * EL_TILE;
    uint64_t refs = kind == EL_SCALE_BYTE ? (uint64_t)m.tiles * EL_TILE * sizeof(uint16_t) : 0;
    uint64_t scale_bytes = kind == EL_SCALE_BYTE ? scales : scales * sizeof(uint16_t);
    *layout = (el_matrix_layout){.plane_bytes = {
                                     (uint64_t)m.tiles * el_tile_bytes(info, m.blocks),
                                     scale_bytes,
                                     info->offset ? scale_bytes : 0,
                                     refs,
                                     info->offset ? refs : 0,
                                 }};
    for (int p = 0; p < EL_PLANES; p++) {
        layout->plane_offset[p] = layout->bytes;
        layout->bytes += ALIGNED(layout->plane_bytes[p]);
    }
    return 0;
}

int el_matrix_view(el_matrix *m, const uint8_t *data, uint32_t rows, uint32_t cols, el_codec codec,
                   el_scale_kind kind, uint32_t group)
{
    el_matrix_layout layout;
    if (el_matrix_measure(rows, cols, codec, kind, group, &layout)) return -1;
    const void *plane[EL_PLANES];
    for (int p = 0; p < EL_PLANES; p++) {
        plane[p] = layout.plane_bytes[p] ? data + layout.plane_offset[p] : NULL;
    }
    set_shape(m, rows, cols, codec, kind, group);
    m->codes = plane[0];
    m->scales = plane[1];
    m->offsets = plane[2];
    m->refs = plane[3];
    m->orefs = plane[4];
    return 0;
}

/* Where `bits` bits of a weight lie, counted from the vectors of its block. */
typedef struct place {
    size_t byte;
    unsigned shift;
} place;

static place place_in_block(unsigned bits, uint32_t row, uint32_t col)
{
    uint32_t quad = col % EL_BLOCK / QUAD, per_vector = 8 / bits;
    uint32_t lane = row % EL_TILE * QUAD + col % QUAD;
    return (place){(size_t)(quad / per_vector) * VECTOR + lane, bits * (quad % per_vector)};
}

static size_t block_start(el_codec codec, uint32_t blocks, uint32_t row, uint32_t col)
{
    return ((size_t)(row / EL_TILE) * blocks + col / EL_BLOCK) * el_codecs[codec].block_bytes;
}

/* The 1-bit vector of a 3-bit block comes after the two 2-bit vectors. */
#define HIGH_BITS (2 * VECTOR)

static unsigned get_bits(const uint8_t *block, unsigned bits, uint32_t row, uint32_t col)
{
    place p = place_in_block(bits, row, col);
    return block[p.byte] >> p.shift & ((1u << bits) - 1);
}

static void set_bits(uint8_t *block, unsigned bits, uint32_t row, uint32_t col, unsigned value)
{
    place p = place_in_block(bits, row, col);
    unsigned mask = ((1u << bits) - 1) << p.shift;
    block[p.byte] = (uint8_t)((block[p.byte] & ~mask) | (value << p.shift & mask));
}

/* ---- fives ---- */

/* Where a weight lies, counted from the codes of a tile, and by how much its code counts there. */
typedef struct place_of_five {
    size_t byte;
    unsigned weight;
} place_of_five;

static place_of_five place_in_tile(uint32_t row, uint32_t col)
{
    static const unsigned weights[5] = {81, 27, 9, 3, 1};
    uint32_t quad = col / QUAD, lane = row % EL_TILE * QUAD + col % QUAD;
    return (place_of_five){(size_t)(quad / 5) * VECTOR + lane, weights[quad % 5]};
}

/* The value of five codes; every byte has one, though 13 of them are not written (matrix.h). */
static unsigned value_of(uint8_t byte)
{
    return byte * 243u >> 8;
}

static int get_five(const uint8_t *tile, uint32_t row, uint32_t col)
{
    place_of_five p = place_in_tile(row, col);
    return (int)(value_of(tile[p.byte]) / p.weight % 3);
}

static void set_five(uint8_t *tile, uint32_t row, uint32_t col, int code)
{
    place_of_five p = place_in_tile(row, col);
    unsigned value = value_of(tile[p.byte]);
    value += (unsigned)code % 3 * p.weight - value / p.weight % 3 * p.weight;
    tile[p.byte] = (uint8_t)((value * 256 + 242) / 243);
}

static size_t tile_start(el_codec codec, uint32_t blocks, uint32_t row)
{
    return row / EL_TILE * el_tile_bytes(&el_codecs[codec], blocks);
}

/* ---- codes ---- */

int el_matrix_code(const el_matrix *m, uint32_t row, uint32_t col)
{
    unsigned bits = el_codecs[m->codec].bits;
    if (el_codecs[m->codec].fives)
        return get_five(m->codes + tile_start((el_codec)m->codec, m->blocks, row), row, col);
    const uint8_t *block = m->codes + block_start((el_codec)m->codec, m->blocks, row, col);
    if (bits == 3) {
        return (int)(get_bits(block, 2, row, col) | get_bits(block + HIGH_BITS, 1, row, col) << 2);
    }
    unsigned code = get_bits(block, bits, row, col);
    return bits == 8 && code >= 128 ? (int)code - 256 : (int)code;
}

int el_matrix_level(const el_matrix *m, uint32_t row, uint32_t col)
{
    const el_codec_info *info = &el_codecs[m->codec];
    const int code = el_matrix_code(m, row, col);
    if (!info->levels) return info->mul * code + info->bias;
    const uint32_t tile = row / EL_TILE * EL_TILE;
    const uint32_t before = tile + (row - tile + EL_TILE - 1) % EL_TILE;
    const unsigned last = (unsigned)el_matrix_code(m, before, col);
    return info->levels[el_chained_index(info->bits, (unsigned)code, last)];
}

void el_matrix_set_code(uint8_t *codes, el_codec codec, uint32_t blocks, uint32_t row, uint32_t col,
                        int code)
{
    uint8_t *block = codes + block_start(codec, blocks, row, col);
    unsigned bits = el_codecs[codec].bits;
    if (el_codecs[codec].fives) {
        set_five(codes + tile_start(codec, blocks, row), row, col, code);
    } else if (bits == 3) {
        set_bits(block, 2, row, col, (unsigned)code);
        set_bits(block + HIGH_BITS, 1, row, col, (unsigned)code >> 2);
    } else {
        set_bits(block, bits, row, col, (unsigned)code);
    }
}

void el_matrix_set_codes(uint8_t *codes, el_codec codec, uint32_t blocks, uint32_t row,
                         uint32_t col, uint32_t count, const int8_t *values)
{
    for (uint32_t i = 0; i < count; i++) {
        el_matrix_set_code(codes, codec, blocks, row, col + i, values[i]);
    }
}

/* Index of a row's entry in the planes of scales and offsets. */
static size_t scale_index(const el_matrix *m, uint32_t row, uint32_t group)
{
    return ((size_t)(row / EL_TILE) * m->groups + group) * EL_TILE + row % EL_TILE;
}

float el_matrix_scale(const el_matrix *m, uint32_t row, uint32_t group)
{
    size_t i = scale_index(m, row, group);
    float ws;
    if (m->scale_kind == EL_SCALE_BYTE) {
        ws = el_float_of_half(m->refs[row]) * el_scale_table[((const uint8_t *)m->scales)[i]];
    } else {
        ws = el_float_of_half(((const uint16_t *)m->scales)[i]);
    }
    return el_codecs[m->codec].half ? ws * 0.5f : ws;
}

float el_matrix_offset(const el_matrix *m, uint32_t row, uint32_t group)
{
    if (!m->offsets) return 0.0f;
    size_t i = scale_index(m, row, group);
    if (m->scale_kind == EL_SCALE_BYTE) {
        return el_float_of_half(m->orefs[row]) * (float)((const int8_t *)m->offsets)[i];
    }
    return el_float_of_half(((const uint16_t *)m->offsets)[i]);
}

void el_matrix_row(const el_matrix *m, uint32_t row, float *out)
{
    const el_codec_info *info = &el_codecs[m->codec];
    uint32_t width = m->group_blocks * EL_BLOCK;
    for (uint32_t group = 0; group < m->groups; group++) {
        float ws = el_matrix_scale(m, row, group), offset = el_matrix_offset(m, row, group);
        uint32_t begin = group * width;
        uint32_t end = m->cols - begin < width ? m->cols : begin + width;
        for (uint32_t col = begin; col < end; col++) {
            float w = ws * (float)el_matrix_level(m, row, col);
            out[col] = info->offset ? w + offset : w;
        }
    }
}
