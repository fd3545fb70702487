/*
 * gguf.h: reads GGUF (v2, v3) files: metadata, vocabulary and tensors. The file is mapped; every
 * count, length and offset is checked before it is used, in 64 bits. Other sources of models
 * (folder/folder.h) are put into the same form, so that all that follows serves them too.
 */
#ifndef EL_FORMAT_GGUF_H
#define EL_FORMAT_GGUF_H

#include "base/mapfile.h"
#include "format/config.h"
#include "format/ggml_types.h"
#include "format/vocab.h"

typedef struct el_gguf_value el_gguf_value; /* one metadata entry, in gguf.c */
typedef struct el_gguf_block el_gguf_block; /* memory of el_gguf_room() */

/* How a matrix of three levels is kept in a source that is no GGUF file (three_levels.h). */
typedef struct el_gguf_levels {
    uint32_t floats; /* their ggml type; EL_GGML_LEVELS: there are none, but packed codes */
    bool rounded;    /* they are yet to be rounded to levels; else `scale` counts */
    bool divides;    /* the scale does; else it multiplies */
    float scale;     /* of all that is in `data` */
} el_gguf_levels;

typedef struct el_gguf_tensor {
    char name[64];
    uint32_t type;       /* ggml type id; known to el_ggml_type(), or I2_S or LEVELS: a matrix */
    uint32_t rows, cols; /* GGUF's ne[1], ne[0]; a vector is (1, n) */
    const uint8_t *data;
    uint64_t bytes;
    uint32_t halves; /* rows of a head, the halves of which are apart although this architecture's
                        GGUF files have them otherwise; else 0 */
    uint32_t turned; /* of them, in el_source_rows(): the first so many; 0: all */
    el_gguf_levels levels; /* of EL_GGML_LEVELS */
} el_gguf_tensor;

typedef struct el_gguf {
    el_mapfile map;
    uint32_t version, n_tensors, n_values;
    el_gguf_tensor *tensors; /* owned */
    el_gguf_value *values;   /* owned */
    void *vocab_memory;      /* owned: what el_gguf_vocab() built */
    el_mapfile *shards;      /* owned: of a model in several files the others, of a folder all */
    uint32_t n_shards;
    el_gguf_block *blocks; /* owned: what lies in none of them, of a source that is no GGUF file */
} el_gguf;

/* Any part of a model in several files, NAME-00001-of-00003.gguf, opens all of them. Errors: IO,
 * FORMAT (with section, offset and field), UNSUPPORTED (version, tensor type), MEMORY. */
edgellm_status el_gguf_open(el_gguf *file, const char *path, edgellm_error *err);
void el_gguf_close(el_gguf *file);

/* What opens a source as el_gguf_open() does, whatever its form is. */
typedef edgellm_status el_gguf_opener(el_gguf *file, const char *path, edgellm_error *err);

/* Metadata by key; false if missing or of another type. Any integer type serves u32. */
bool el_gguf_u32(const el_gguf *file, const char *key, uint32_t *value);
bool el_gguf_f32(const el_gguf *file, const char *key, float *value);
bool el_gguf_bool(const el_gguf *file, const char *key, bool *value);
/* Not NUL-terminated; points into the mapping. */
bool el_gguf_string(const el_gguf *file, const char *key, const char **text, size_t *len);

const el_gguf_tensor *el_gguf_find(const el_gguf *file, const char *name);

/* Of all that it was read from: bytes, and their checksum, which takes reading them. */
uint64_t el_gguf_bytes(const el_gguf *file);
uint32_t el_gguf_crc(const el_gguf *file);

/* Zeroed memory that lasts until the file is closed; NULL if there is none. */
void *el_gguf_room(el_gguf *file, size_t bytes);

/* The name by which this version knows an architecture; some files have another. */
const char *el_gguf_architecture(const char *name);

/* The model's numbers, checked for sense. Errors: FORMAT (missing key), UNSUPPORTED. */
edgellm_status el_gguf_config(const el_gguf *file, el_config *config, edgellm_error *err);

/* Projections that lie in one tensor (Phi-3's queries, keys and values, its gate and up) become
 * tensors of their own, views of the mapping. Errors: FORMAT (shapes), UNSUPPORTED, MEMORY. */
edgellm_status el_gguf_split(el_gguf *file, const el_config *config, edgellm_error *err);

/* The key under which an importer of other sources says el_space_first. */
#define EL_GGUF_SPACE_FIRST "edgellm.space_first"
/* And whether a text is normalized to NFC. */
#define EL_GGUF_NFC "edgellm.nfc"
/* And el_token_flag: a byte for each token. */
#define EL_GGUF_TOKEN_FLAGS "edgellm.token_flags"

/* The vocabulary (byte-level BPE, tokenizer model "gpt2"), decoded to raw bytes, merges resolved
 * to ids. Owned by `file`. Errors: FORMAT, UNSUPPORTED, MEMORY. */
edgellm_status el_gguf_vocab(el_gguf *file, el_vocab *vocab, edgellm_error *err);

#endif
