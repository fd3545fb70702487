/*
 * tm2_layout.h: where the fields of a TM2 file lie (docs/FORMAT.md, same names), for reader and
 * writer, and the checks of tensors that both make.
 */
#ifndef EL_FORMAT_TM2_LAYOUT_H
#define EL_FORMAT_TM2_LAYOUT_H

#include <string.h>

#include "base/error.h"
#include "format/tm2.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "EdgeLLM reads its files in place and needs a little-endian machine"
#endif

#define EL_TM2_MAGIC       "\x93TM2\r\n\x1a\n"
#define EL_TM2_MAGIC_BYTES 8
#define EL_TM2_ALIGN       64

/* header; the first 64 bytes are laid out like this in every version */
enum {
    EL_TM2_AT_VERSION = 8,
    EL_TM2_AT_SECTIONS = 12,
    EL_TM2_AT_FILE_BYTES = 16,
    EL_TM2_AT_TABLE_CRC = 24,
    EL_TM2_AT_HEADER_ZERO = 28,
    EL_TM2_AT_HEADER_CRC = 60,
    EL_TM2_HEADER_BYTES = 64
};

/* sections, in the order of table and file; the type is the index + 1 */
enum {
    EL_TM2_MODEL,
    EL_TM2_VOCAB,
    EL_TM2_TEMPLATE,
    EL_TM2_WEIGHTS,
    EL_TM2_TENSORS,
    EL_TM2_MANIFEST,
    EL_TM2_SECTIONS
};

/* entry of the section table */
enum {
    EL_TM2_AT_TYPE = 0,
    EL_TM2_AT_CRC = 4,
    EL_TM2_AT_OFFSET = 8,
    EL_TM2_AT_SIZE = 16,
    EL_TM2_AT_NAME = 24,
    EL_TM2_SECTION_NAME_BYTES = 16,
    EL_TM2_ENTRY_BYTES = 40
};

#define EL_TM2_TABLE_BYTES ((size_t)EL_TM2_SECTIONS * EL_TM2_ENTRY_BYTES)
#define EL_TM2_FIRST       320 /* offset of the first section */

/* section model */
enum {
    EL_TM2_AT_ARCHITECTURE = 0,
    EL_TM2_AT_MODEL_NAME = 24,
    EL_TM2_AT_NUMBERS = 120, /* in the order of el_tm2_numbers */
    EL_TM2_NUMBERS_4 = 11,   /* up to version 4 */
    EL_TM2_NUMBERS_5 = 18,
    EL_TM2_NUMBERS = 22,
    EL_TM2_MODEL_BYTES = 208
};

/* Bytes of section model with so many numbers. */
static inline uint64_t el_tm2_model_bytes(int numbers)
{
    return EL_TM2_AT_NUMBERS + 4 * (uint64_t)numbers;
}

/* Numbers in a section model of so many bytes; 0 if a file of this version has none such. */
static inline int el_tm2_number_count(uint32_t version, uint64_t bytes)
{
    if (bytes == el_tm2_model_bytes(EL_TM2_NUMBERS_4) && (version < 5 || version > 6))
        return EL_TM2_NUMBERS_4;
    if (bytes == el_tm2_model_bytes(EL_TM2_NUMBERS_5) && (version == 5 || version > 6))
        return EL_TM2_NUMBERS_5;
    return bytes == el_tm2_model_bytes(EL_TM2_NUMBERS) && version > 5 ? EL_TM2_NUMBERS : 0;
}

/* section vocab: this head, then what vocab_pack.h makes */
enum {
    EL_TM2_AT_TOKENS = 0,
    EL_TM2_AT_MERGES = 4,
    EL_TM2_AT_TOKEN_BYTES = 8,
    EL_TM2_AT_SPECIAL = 12, /* bos, eos, unk, pad */
    EL_TM2_AT_ADD_BOS = 28,
    EL_TM2_AT_PRETOKENIZER = 32,
    EL_TM2_PRETOKENIZER_BYTES = 16,
    EL_TM2_AT_SPACE_FIRST = 48, /* from version 5 on; reserved before */
    EL_TM2_AT_NFC = 49,
    EL_TM2_AT_VOCAB_ZERO = 50,
    EL_TM2_AT_FLAGGED = 52,
    EL_TM2_AT_VOCAB_ZERO2 = 56,
    EL_TM2_VOCAB_HEAD_BYTES = 64
};

/* entry of section tensors */
enum {
    EL_TM2_AT_TENSOR_NAME = 0,
    EL_TM2_AT_ROWS = 64,
    EL_TM2_AT_COLS = 68,
    EL_TM2_AT_GROUP = 72,
    EL_TM2_AT_CODEC = 76,
    EL_TM2_AT_SCALE_KIND = 77,
    EL_TM2_AT_ROTATION = 78,
    EL_TM2_AT_TENSOR_ZERO2 = 79,
    EL_TM2_AT_DATA = 80,
    EL_TM2_AT_DATA_BYTES = 88,
    EL_TM2_AT_DATA_CRC = 96,
    EL_TM2_AT_TENSOR_ZERO = 100,
    EL_TM2_TENSOR_BYTES = 128
};

static inline uint32_t el_load32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t el_load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void el_store32(uint8_t *p, uint32_t x)
{
    memcpy(p, &x, sizeof x);
}

static inline void el_store64(uint8_t *p, uint64_t x)
{
    memcpy(p, &x, sizeof x);
}

static inline uint64_t el_tm2_aligned(uint64_t n)
{
    return (n + (EL_TM2_ALIGN - 1)) & ~(uint64_t)(EL_TM2_ALIGN - 1);
}

extern const char el_tm2_section_names[EL_TM2_SECTIONS][EL_TM2_SECTION_NAME_BYTES];

/* Where the 4-byte numbers of section model lie in el_config. */
extern const uint16_t el_tm2_numbers[EL_TM2_NUMBERS];

/* Name, shape, codec, group, rotation and bytes; not the data. Errors: FORMAT, naming the tensor.
 */
edgellm_status el_tensor_check_shape(const el_tensor *tensor, edgellm_error *err);

/* Scales, offsets and references (or float32 weights) are finite; padded rows are 0. FORMAT. */
edgellm_status el_tensor_check_floats(const el_tensor *tensor, edgellm_error *err);

/* 8-bit codes are never -128, padding after planes is 0. Reads all codes. Errors: FORMAT. */
edgellm_status el_tensor_check_codes(const el_tensor *tensor, edgellm_error *err);

#endif
