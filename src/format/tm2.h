/*
 * tm2.h: the model file, *.tm2.bin (docs/FORMAT.md is the law). Reading maps the file and checks
 * everything that is used before it is used: header, section table and small sections by checksum
 * and by value; weights by bounds, and by checksum with `verify`; float planes for NaN and
 * infinity always. Writing goes through outfile.h.
 */
#ifndef EL_FORMAT_TM2_H
#define EL_FORMAT_TM2_H

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/outfile.h"
#include "format/config.h"
#include "format/vocab.h"
#include "kernel/matrix.h"

#define EL_TM2_VERSION       7 /* the newest */
#define EL_TM2_CHAINED       7 /* has codecs of chained codes; all else is as before */
#define EL_TM2_USUAL         4 /* that is written where nothing newer is needed */
#define EL_TM2_OLDEST        3 /* that is read, with all after it */
#define EL_TENSOR_NAME_BYTES 64

/* A table of (vocab, dim), the embedding or the head, may be cut by rows: the parts follow one
 * another under these names, "token_embd" or "output" before them. */
#define EL_TABLE_PARTS 3
extern const char *const el_table_endings[EL_TABLE_PARTS];

typedef struct el_tensor {
    const char *name;    /* NUL-terminated, at most 63 bytes, "blk.0.attn_q.weight" as in GGUF */
    uint32_t rows, cols; /* a vector is (1, n) */
    uint32_t group;      /* as stored: 0 (row), 32, 64, 128 */
    uint8_t codec, scale_kind, rotation;
    const uint8_t *data; /* 64-byte aligned */
    uint64_t bytes;
} el_tensor;

typedef struct el_tm2 {
    el_mapfile map;
    uint32_t version; /* EL_TM2_OLDEST .. EL_TM2_VERSION */
    el_config config;
    el_vocab vocab; /* text in the mapping, arrays in vocab_memory */
    el_arena vocab_memory;
    const char *manifest; /* JSON, NUL-terminated, in the mapping */
    uint32_t n_tensors;
    uint64_t parameters;  /* weights in all tensors */
    uint64_t small_bytes; /* sections other than weights */
} el_tm2;

/* Opens and checks. `verify`: weights' checksums too. Errors: IO, FORMAT, UNSUPPORTED. */
edgellm_status el_tm2_open(el_tm2 *file, const char *path, bool verify, edgellm_error *err);
/* The same of a copy in memory of its own: el_mapfile_copy_within(). Errors: MEMORY too. */
edgellm_status el_tm2_copy(el_tm2 *file, const char *path, uint64_t room, bool verify,
                           edgellm_error *err);
void el_tm2_close(el_tm2 *file);

/* Tells models apart by what they compute: the CRC-32 of the sections model, vocab and tensors, the
 * last of which holds a checksum of every weight. Reads only the section table. */
#define EL_TM2_IDENTITY 3
void el_tm2_identity(const el_tm2 *file, uint32_t identity[EL_TM2_IDENTITY]);

/* Tensor by index (0 .. n_tensors-1). */
void el_tm2_tensor(const el_tm2 *file, uint32_t index, el_tensor *tensor);

/* Tensor by name; false if there is none. Binary search: the directory is sorted by name. */
bool el_tm2_find(const el_tm2 *file, const char *name, el_tensor *tensor);

/* A matrix of shape (rows, cols), or a vector (1, cols) of float32, both by name.
 * Errors: FORMAT (missing, other shape, other codec), naming tensor and both shapes. */
edgellm_status el_tm2_matrix(const el_tm2 *file, const char *name, uint32_t rows, uint32_t cols,
                             el_matrix *matrix, edgellm_error *err);
edgellm_status el_tm2_vector(const el_tm2 *file, const char *name, uint32_t cols,
                             const float **vector, edgellm_error *err);

/*
 * Writing: create, put every tensor in any order, finish. Tensors are written as they come, so
 * memory stays at one tensor. `manifest` is JSON text. Any failure: el_tm2_cancel().
 */
typedef struct el_tm2_writer el_tm2_writer;

edgellm_status el_tm2_create(el_tm2_writer **writer, const char *path, const el_config *config,
                             const el_vocab *vocab, uint32_t max_tensors, edgellm_error *err);
/* tensor->data holds tensor->bytes bytes laid out as matrix.h says (or float32 for F32). */
edgellm_status el_tm2_put(el_tm2_writer *writer, const el_tensor *tensor, edgellm_error *err);
/* Looks at the finished file before it gets its name; an error keeps what was there. */
typedef struct el_tm2_judge {
    edgellm_status (*accept)(void *context, const char *temporary, edgellm_error *err);
    void *context;
} el_tm2_judge;

/* Writes manifest, directory and header, asks the judge (NULL: none), and commits. Releases the
 * writer in any case. *file_bytes: size of the file; may be NULL. */
edgellm_status el_tm2_finish(el_tm2_writer *writer, const char *manifest, const el_tm2_judge *judge,
                             uint64_t *file_bytes, edgellm_error *err);
void el_tm2_cancel(el_tm2_writer *writer); /* NULL is allowed */

#endif
