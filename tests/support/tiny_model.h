/*
 * tiny_model.h: a small random model, a llama unless the spec says otherwise, as a GGUF file, for
 * the tests of every module: a vocabulary of 300 tokens (3 control tokens, 256 bytes, 41 merges),
 * ChatML, all tensors that a llama model has. Same spec, same bytes, on every machine. Running out
 * of memory aborts.
 */
#ifndef EL_TEST_TINY_MODEL_H
#define EL_TEST_TINY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- bytes that grow ------------------------------------------------------------------- */

typedef struct el_bytes {
    uint8_t *data; /* start with {0}; free(data) at the end */
    size_t size, room;
} el_bytes;

void el_bytes_put(el_bytes *b, const void *data, size_t size);
void el_bytes_align(el_bytes *b, size_t alignment); /* with zeroes */
void el_bytes_u32(el_bytes *b, uint32_t x);
void el_bytes_u64(el_bytes *b, uint64_t x);
void el_bytes_text(el_bytes *b, const char *text); /* GGUF: 8 bytes of length, then the text */

/* Writes a whole file; true if that worked. */
bool el_bytes_save(const el_bytes *b, const char *path);
/* Reads a whole file into fresh bytes; true if that worked. */
bool el_bytes_load(el_bytes *b, const char *path);

/* Metadata entries of GGUF. */
void el_gguf_put_u32(el_bytes *b, const char *key, uint32_t value);
void el_gguf_put_f32(el_bytes *b, const char *key, float value);
void el_gguf_put_bool(el_bytes *b, const char *key, bool value);
void el_gguf_put_text(el_bytes *b, const char *key, const char *value);
void el_gguf_put_array(el_bytes *b, const char *key, uint32_t element_type, uint64_t count);

/* ---- seeded randomness ----------------------------------------------------------------- */

typedef struct el_random {
    uint64_t state;
} el_random;

uint64_t el_random_next(el_random *r);
uint32_t el_random_below(el_random *r, uint32_t n); /* 0 .. n-1 */
float el_random_unit(el_random *r);                 /* mean 0, variance 1, within +-1.74 */

/* ---- the model ------------------------------------------------------------------------- */

/* How positions are stretched. */
typedef enum el_tiny_scaling {
    EL_TINY_UNSCALED,
    EL_TINY_LINEAR,
    EL_TINY_FACTORS, /* a tensor of factors, as in Llama 3 */
    EL_TINY_YARN,
    EL_TINY_LONGROPE /* two of them: for contexts up to 40 tokens and for longer ones */
} el_tiny_scaling;

typedef struct el_tiny_spec {
    uint32_t dim, ffn_dim, layers, heads, kv_heads, context; /* head_dim is dim / heads */
    uint32_t matrix_type;     /* EL_GGML_F32, F16, Q4_0, Q4_1 or Q8_0: of the matrices in layers */
    uint32_t embedding_type;  /* the same: of token_embd.weight and output.weight */
    bool separate_head;       /* with output.weight; else the embedding is the head too */
    bool add_bos;             /* texts begin with <|im_start|> */
    uint32_t left_out;        /* of the merges, the last ones: a smaller vocabulary */
    const char *architecture; /* any that the engine runs, with the tensors that it has; Gemma
                                 has small caps and windows; NULL: llama */
    uint32_t window;          /* of llama and phi3: of all layers; 0: none */
    uint32_t turned;          /* numbers of a head that positions turn; 0: all */
    el_tiny_scaling scaling;
    bool llama3;      /* its chat template is Llama 3's, not ChatML */
    bool rotated;     /* rows of matrices are R w (FORMAT.md); f32, widths in 64s */
    bool lone;        /* of 64 weights all but one are 0: rounded to 8 bits without loss,
                         rotated or not; f32, widths in 64s */
    uint32_t version; /* of GGUF: 2 or 3 */
    uint64_t seed;
} el_tiny_spec;

enum { EL_TINY_VOCAB = 300, EL_TINY_END_OF_TEXT = 0, EL_TINY_IM_START = 1, EL_TINY_IM_END = 2 };

/* dim 64, ffn 96, 2 layers, 4 heads, 2 kv heads, context 256; Q4_1, embedding Q8_0, tied; v3. */
el_tiny_spec el_tiny_defaults(void);

/* Appends the file to `out`. Widths of quantised types must be multiples of 32. */
void el_tiny_gguf(const el_tiny_spec *spec, el_bytes *out);

/* Writes the file to `path`; true if that worked. */
bool el_tiny_write(const el_tiny_spec *spec, const char *path);

#endif
