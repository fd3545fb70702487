/*
 * matrix.h: how quantised matrices, and the vectors they meet, lie in memory. This is the layout
 * inside the file (docs/FORMAT.md), read straight from the mapping by every kernel.
 *
 * A matrix is (rows, cols). Rows are cut into tiles of 16, columns into blocks of 32, the last of
 * each padded: padded rows have scale 0, padded columns meet activations that are 0.
 * A block of a tile holds 8 quads; a quad is 4 neighbouring columns of all 16 rows:
 *
 *     quad byte r*4 + i  =  code of row r, column 4*quad + i          (r 0..15, i 0..3)
 *
 * so that one 32-bit lane is one row, and 4 products add up inside it. Codes of b bits (1, 2, 4,
 * 8) are packed 8/b quads to a 64-byte vector:  vector v holds quad v*(8/b) + s at bit b*s.
 * 3-bit codes are the 2-bit vectors of their low bits, then the 1-bit vector of their high bits.
 *
 *     bytes of a block: 1 bit 64, 2 bits 128, 3 bits 192, 4 bits 256, 8 bits 512
 *
 * Fives: five codes of three levels (0, 1, 2) share a byte. The quads of a tile are counted through
 * all of its blocks; vector v holds quads 5*v .. 5*v + 4, as one number and a fraction of 256:
 *
 *     value = 81 * c0 + 27 * c1 + 9 * c2 + 3 * c3 + c4        byte = ceil(value * 256 / 243)
 *
 * A code is what 3 * byte carries out of 8 bits, and what stays in them holds the next ones. Five
 * blocks (40 quads) are a run of just 8 vectors; a tile has ceil(8 * blocks / 5) of them.
 *
 * Planes of one matrix, each 64-byte aligned, all in order (tile, block or group, row in tile):
 *     codes    tiles x blocks x block bytes (fives: tiles x tile bytes)
 *     scales   tiles x groups x 16   fp16, or one byte k
 *     offsets  tiles x groups x 16   fp16, or one signed byte o     (codecs with an offset)
 *     refs     tiles x 16 fp16, the row's reference for byte scales  (byte scales only)
 *     orefs    tiles x 16 fp16, the row's reference for byte offsets (byte scales and offset)
 *
 * Chained codes: the level of a code depends on the code of the same column in the row before, too;
 * before the first row of a tile comes its last. (Trellis-coded quantisation, Marcellin & Fischer
 * 1990, as a trellis of 2 or 3 bits shifted in for each weight: Tseng et al. 2024, QTIP.) Codes lie
 * as those of plain codecs with as many bits; index and levels: el_chained_index() below.
 *
 * What a weight means:   w = ws * level (+ m)
 *     fp16 scales:  ws = scale                    m = offset
 *     byte scales:  ws = ref * el_scale_table[k]  m = oref * o      (one float multiplication each)
 *     level = mul * code + bias (chained: levels[index]), and symmetric codecs of 2..4 bits halve
 * ws first (ws * 0.5f, exact)
 */
#ifndef EL_KERNEL_MATRIX_H
#define EL_KERNEL_MATRIX_H

#include <stddef.h>
#include <stdint.h>

#define EL_TILE  16 /* rows of a tile */
#define EL_BLOCK 32 /* columns of a block; also the width of an activation group */

/* Numbers are part of the file format: never reuse one. */
typedef enum el_codec {
    EL_CODEC_F32 = 0, /* plain float32 (rows, cols), no tiles; norms only */
    EL_CODEC_S2 = 1,  /* symmetric, level 2q - 3 */
    EL_CODEC_S3 = 2,  /* symmetric, level 2q - 7 */
    EL_CODEC_S4 = 3,  /* symmetric, level 2q - 15 */
    EL_CODEC_O2 = 4,  /* offset, level q in 0..3 */
    EL_CODEC_O3 = 5,  /* offset, level q in 0..7 */
    EL_CODEC_O4 = 6,  /* offset, level q in 0..15; holds Q4_1 as it is */
    EL_CODEC_Z4 = 7,  /* level q - 8; holds Q4_0 as it is */
    EL_CODEC_I8 = 8,  /* level = signed byte -127..127; holds Q8_0 as it is */
    EL_CODEC_O8 = 9,  /* level = signed byte -127..127, with offset */
    EL_CODEC_B1 = 10, /* level 2q - 1: one bit, -1 and 1 */
    EL_CODEC_T2 = 11, /* level q - 1, q in 0..2: -1, 0, 1 in two bits; holds TQ2_0 as it is */
    EL_CODEC_T1 = 12, /* the same as fives, 1.6 bits; holds TQ1_0 as it is */
    EL_CODEC_C2 = 13, /* chained, 2 bits: levels -8 .. 8 */
    EL_CODEC_C3 = 14, /* chained, 3 bits: levels -13 .. 13 */
    EL_CODEC_COUNT
} el_codec;

typedef enum el_scale_kind { EL_SCALE_F16 = 0, EL_SCALE_BYTE = 1, EL_SCALE_KINDS } el_scale_kind;

/* What the inputs of a matrix go through before they meet it (kernel/rotation.h). Numbers are part
 * of the file format. */
typedef enum el_rotation {
    EL_ROTATION_NONE = 0,
    EL_ROTATION_HADAMARD64 = 1, /* columns are a multiple of EL_ROTATION_WIDTH */
    EL_ROTATIONS
} el_rotation;

#define EL_ROTATION_WIDTH  64          /* inputs that are rotated together */
#define EL_ROTATION_BIT(r) (1u << (r)) /* of a set of rotations */

extern const char *const el_rotation_names[EL_ROTATIONS]; /* "none", "hadamard64" */

typedef struct el_codec_info {
    const char *name;     /* "s2" ... */
    uint8_t bits;         /* of a code; 32 for f32 */
    int8_t mul, bias;     /* level = mul * code + bias; code is signed for 8 bits */
    uint8_t half;         /* 1: ws is halved */
    uint8_t offset;       /* 1: has offsets */
    uint8_t fives;        /* 1: five codes in a byte */
    const int8_t *levels; /* (16) of chained codes; their mul is 1, the least of them is bias */
    uint16_t block_bytes; /* codes of one tile and block; 0: fives */
} el_codec_info;

#define EL_RUN       5   /* blocks that lie together as fives */
#define EL_RUN_BYTES 512 /* of a tile */

/* Bytes of the codes of a tile. */
static inline size_t el_tile_bytes(const el_codec_info *info, uint32_t blocks)
{
    return info->fives ? ((size_t)blocks * 8 + 4) / 5 * 64 : (size_t)blocks * info->block_bytes;
}

extern const el_codec_info el_codecs[EL_CODEC_COUNT];

/*
 * Which of the 16 levels a chained code of 2 or 3 bits has, `before` being the code of the row
 * before it. 3 bits: only two of those bits count, and there are four states as well.
 */
static inline unsigned el_chained_index(unsigned bits, unsigned code, unsigned before)
{
    if (bits == 2) return before << 2 | code;
    return (code >> 2) << 3 | (before & 1) << 2 | ((code ^ (before >> 1 & 1)) & 3);
}

/* el_scale_table[k] = 2^(-k/32) rounded to float for k < 255; [255] = 0. */
extern const float el_scale_table[256];

typedef struct el_matrix {
    const uint8_t *codes;
    const void *scales;    /* uint16_t (fp16) or uint8_t */
    const void *offsets;   /* uint16_t (fp16) or int8_t; NULL without offset */
    const uint16_t *refs;  /* fp16; NULL with fp16 scales */
    const uint16_t *orefs; /* fp16; NULL with fp16 scales or without offset */
    uint32_t rows, cols;
    uint32_t tiles;        /* ceil(rows / 16) */
    uint32_t blocks;       /* ceil(cols / 32) */
    uint32_t groups;       /* ceil(cols / group), 1 if group is 0 */
    uint32_t group_blocks; /* blocks that share a scale: group / 32, or blocks if group is 0 */
    uint8_t codec;         /* el_codec, not F32 */
    uint8_t scale_kind;    /* el_scale_kind */
    uint8_t rotation;      /* el_rotation; a view has none until its owner says so */
} el_matrix;

/* Bytes of each plane in file order (codes, scales, offsets, refs, orefs); 0 if absent. */
enum { EL_PLANES = 5 };
typedef struct el_matrix_layout {
    uint64_t plane_bytes[EL_PLANES];
    uint64_t plane_offset[EL_PLANES]; /* from the start of the tensor, 64-byte aligned */
    uint64_t bytes;                   /* of the whole tensor, a multiple of 64 */
} el_matrix_layout;

/*
 * Computes the layout of a matrix. group: 0 (row), 32, 64 or 128. Returns 0, or -1 if a number is
 * out of range (rows, cols 1 .. 2^24; unknown codec, kind or group).
 */
int el_matrix_measure(uint32_t rows, uint32_t cols, el_codec codec, el_scale_kind kind,
                      uint32_t group, el_matrix_layout *layout);

/* Fills in a matrix whose tensor starts at `data` (64-byte aligned). Same arguments and result. */
int el_matrix_view(el_matrix *m, const uint8_t *data, uint32_t rows, uint32_t cols, el_codec codec,
                   el_scale_kind kind, uint32_t group);

/* The code of one weight: 0 .. 2^bits-1, or signed for 8 bits; and its level. Slow: for tests and
 * tools. */
int el_matrix_code(const el_matrix *m, uint32_t row, uint32_t col);
int el_matrix_level(const el_matrix *m, uint32_t row, uint32_t col);

/* Scale (halved where the codec says so) and offset of a row in a group, as float. */
float el_matrix_scale(const el_matrix *m, uint32_t row, uint32_t group);
float el_matrix_offset(const el_matrix *m, uint32_t row, uint32_t group);

/* Dequantises one row to `out` (cols): level * ws, then + m where the codec has an offset. As it is
 * stored: of a rotated matrix this is the rotated row. */
void el_matrix_row(const el_matrix *m, uint32_t row, float *out);

/*
 * Quantised activations of n vectors of width cols (the numeric contract): one scale and one sum
 * per block of 32.   amax = max |x|;  scale = amax / 127;  inv = 127 / amax;
 * q = clamp(rint(x * inv), -127, 127);  amax < 2^-100 gives scale 0 and q 0.  Padding is 0.
 */
typedef struct el_acts {
    int8_t *q;    /* (n, blocks * 32) */
    float *scale; /* (n, blocks) */
    int32_t *sum; /* (n, blocks): sum of q */
    uint32_t blocks;
} el_acts;

#endif
