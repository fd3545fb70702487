/*
 * tokenizer.h: byte-level BPE, or SentencePiece's BPE or unigram model, over an el_vocab. Immutable
 * after init: any number of threads. Text is cut at special tokens, then by the pre-tokenizer
 * (SentencePiece has none), and each piece is merged by rank with a heap, or cut by scores:
 * near-linear even for a megabyte without a space.
 */
#ifndef EL_TOKEN_TOKENIZER_H
#define EL_TOKEN_TOKENIZER_H

#include "base/arena.h"
#include "format/vocab.h"

typedef struct el_tokenizer el_tokenizer;

/*
 * Builds the tables in `arena`; call it first on a measuring arena (el_arena_measure(), then
 * *tokenizer is not set) with the same vocabulary. `vocab` must outlive the tokenizer.
 * Errors: UNSUPPORTED (unknown pre-tokenizer), FORMAT (a merge that joins to no token).
 */
edgellm_status el_tokenizer_init(el_tokenizer **tokenizer, const el_vocab *vocab, el_arena *arena,
                                 edgellm_error *err);

/* As edgellm_tokenize(). Adds no bos. */
edgellm_status el_tokenizer_encode(const el_tokenizer *t, const char *text, size_t len,
                                   unsigned flags, uint32_t *tokens, size_t capacity, size_t *count,
                                   edgellm_error *err);

/* The raw bytes of a token (kept bytes: ids n_tokens .. n_tokens+255), or NULL if out of range. */
const uint8_t *el_tokenizer_bytes(const el_tokenizer *t, uint32_t token, size_t *len);

bool el_tokenizer_is_special(const el_tokenizer *t, uint32_t token);

/* Ends an answer: eos, and control tokens with a name that ends turns in known model families. */
bool el_tokenizer_is_end(const el_tokenizer *t, uint32_t token);

/* Is that one of those names? */
bool el_tokenizer_name_ends(const uint8_t *name, size_t len);

/* As edgellm_stream_push() and edgellm_stream_flush(). */
size_t el_tokenizer_stream_push(const el_tokenizer *t, edgellm_stream *stream, uint32_t token,
                                char *text);
size_t el_tokenizer_stream_flush(edgellm_stream *stream, char *text);

#endif
