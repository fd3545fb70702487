/*
 * gguf_pieces.h: what is other in a vocabulary of SentencePiece than in one of merges: pieces whose
 * spaces are U+2581, bytes named <0x41>, and scores. For gguf*.c alone.
 */
#ifndef EL_FORMAT_GGUF_PIECES_H
#define EL_FORMAT_GGUF_PIECES_H

#include "base/error.h"
#include "format/gguf_value.h"
#include "format/vocab.h"

/* The type of a token: the borders of turns, which some files have as text, are special. */
uint32_t el_gguf_piece_type(el_token_type type, const char *text, size_t len);

/*
 * Writes the raw bytes of token `id` to `out`, which has room for *len bytes; *len becomes how many
 * they are. Errors: FORMAT (a byte whose name is none).
 */
edgellm_status el_gguf_piece(uint8_t *out, el_token_type type, const char *text, size_t *len,
                             uint32_t id, edgellm_error *err);

/*
 * Ranks of normal tokens: 0 for the best score, the same for equal ones; those of other tokens,
 * which nothing is merged into, are 0. ranks: one for each score. Errors: FORMAT, MEMORY.
 */
edgellm_status el_gguf_ranks(const el_gguf_value *scores, const uint8_t *types, uint32_t *ranks,
                             edgellm_error *err);

/* The scores as they are: el_vocab.ranks of a unigram model. */
void el_gguf_scores(const el_gguf_value *scores, uint32_t *bits);

/* Text is taken as it is: a vocabulary that asks for more is refused. Errors: UNSUPPORTED. */
edgellm_status el_gguf_refuse_normalizing(const el_gguf *file, edgellm_error *err);

#endif
