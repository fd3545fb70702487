/*
 * perplexity_chunks.h: a text as llama.cpp scores it: the tokens of the whole file without a first
 * special one, cut in chunks of the context; in each, with an empty cache, the second half is
 * scored: position j, from c/2 to c-2, predicts token j+1. Where a vocabulary asks for a token at
 * the beginning of a text, the first token of each chunk gives way to it.
 */
#ifndef EL_CLI_PERPLEXITY_CHUNKS_H
#define EL_CLI_PERPLEXITY_CHUNKS_H

#include "cli/cli_model.h"

typedef struct el_cli_chunks {
    char *text; /* owned, with `len` bytes */
    size_t len;
    el_cli_tokens tokens; /* of the text */
    uint32_t context;     /* tokens of a chunk */
    size_t count;         /* chunks to score, all of them whole */
} el_cli_chunks;

/* Reads and cuts a text. most: chunks at most; 0: all. Errors: those of el_cli_read() and
 * el_cli_tokenize(); USAGE (no chunk to score). */
edgellm_status el_cli_chunks_read(el_cli_chunks *chunks, const el_cli_model *model,
                                  const char *path, uint32_t most, edgellm_error *err);
void el_cli_chunks_release(el_cli_chunks *chunks);

/* Positions scored in a chunk. */
uint32_t el_cli_chunk_positions(uint32_t context);

/* Called for each scored position, in order: index 0, 1, ...; logits (vocab); the token predicted.
 */
typedef void (*el_cli_take)(void *context, uint32_t index, const float *logits, uint32_t next);

/* Room for the logits of a batch: owned, free(). NULL with an error: MEMORY. */
float *el_cli_chunk_logits(const el_cli_model *model, edgellm_error *err);

/* Computes chunk `index`; the session's context is that of the chunks. Errors: INTERRUPTED, and
 * those of edgellm_session_eval(). */
edgellm_status el_cli_chunk_score(const el_cli_chunks *chunks, size_t index,
                                  const el_cli_model *model, float *logits, el_cli_take take,
                                  void *context, edgellm_error *err);

#endif
