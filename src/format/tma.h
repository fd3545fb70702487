/*
 * tma.h: an adapter as a file (docs/ADAPTERS.md is the law): for some matrices W of a model two
 * narrow ones, A (rank, cols) and B (rows, rank), so that W x becomes W x + s * B (A x).
 *
 *   header | one entry for each matrix, by layer and part | A and B of each, in that order
 *
 * B lies in tiles of 16 rows, (tiles, rank, 16), the last padded with zeroes. All floats are
 * float32; A and B begin at multiples of 64.
 */
#ifndef EL_FORMAT_TMA_H
#define EL_FORMAT_TMA_H

#include "base/arena.h"
#include "base/mapfile.h"
#include "format/config.h"

#define EL_LORA_MAX      8    /* adapters of an engine */
#define EL_LORA_RANK_MAX 1024 /* columns of B */

/* Keys of an adapter in the form of a GGUF file. */
#define EL_ADAPTER_ALPHA "adapter.lora.alpha"
/* Of the importer alone, for rank-stabilised adapters: alpha is divided by sqrt(rank). */
#define EL_ADAPTER_ROOT "edgellm.adapter.root"

/* The matrices of a layer that can be adapted, in the order of the file. */
typedef enum el_lora_part {
    EL_LORA_Q,
    EL_LORA_K,
    EL_LORA_V,
    EL_LORA_O,
    EL_LORA_GATE,
    EL_LORA_UP,
    EL_LORA_DOWN,
    EL_LORA_PARTS
} el_lora_part;

#define EL_LORA_TOGETHER 3 /* so many parts meet one input, at most */

extern const char *const el_lora_part_names[EL_LORA_PARTS]; /* "attn_q", ... */

typedef struct el_lora_matrix {
    const float *a;            /* (rank, cols) */
    const float *b;            /* (tiles, rank, 16) */
    uint32_t rank, rows, cols; /* rank 0: this matrix is not adapted */
    float gain;                /* what the adapter itself multiplies by: alpha / rank */
} el_lora_matrix;

typedef struct el_lora {
    el_mapfile map;
    el_arena memory;
    el_lora_matrix *matrices; /* (layers, EL_LORA_PARTS), in `memory` */
    uint32_t rank;            /* the largest */
    uint32_t crc;             /* of the whole file: tells adapters apart */
    float scale;              /* by which sessions begin */
} el_lora;

/* Rows and columns that the model has there. */
void el_lora_shape(const el_config *config, el_lora_part part, uint32_t *rows, uint32_t *cols);

/* Maps a file and checks all of it, against the model too. Errors: IO, FORMAT, UNSUPPORTED
 * (another version), USAGE (of another model: what differs), MEMORY. */
edgellm_status el_tma_open(el_lora *lora, const char *path, const el_config *config,
                           edgellm_error *err);
void el_tma_close(el_lora *lora);

/* What is to be written: as above, but b (rows, rank) is plain. */
typedef struct el_tma_source {
    const el_lora_matrix *matrices; /* (layers, EL_LORA_PARTS) */
    uint32_t n;                     /* of rank above 0 */
} el_tma_source;

/* Errors: IO, MEMORY. */
edgellm_status el_tma_write(const char *path, const el_config *config, const el_tma_source *source,
                            uint64_t *bytes, edgellm_error *err);

#endif
