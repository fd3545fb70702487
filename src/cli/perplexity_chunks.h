/*
 * perplexity_chunks.h: what is scored of a file: ranges of tokens, each computed with an empty
 * cache, in which position j, from `first` to the last but one, predicts token j+1.
 *
 * A text is cut as llama.cpp cuts it: the tokens of the whole file without a first special one, in
 * chunks of the context; in each the second half is scored. Where a vocabulary asks for a token at
 * the beginning of a text, the first token of each chunk gives way to it. Of conversations, a chunk
 * each, the answers are scored: perplexity_answers.h.
 */
#ifndef EL_CLI_PERPLEXITY_CHUNKS_H
#define EL_CLI_PERPLEXITY_CHUNKS_H

#include "cli/cli_model.h"

typedef struct el_cli_chunk {
    size_t begin;          /* its first token in those of all chunks */
    uint32_t count, first; /* tokens; the position that predicts the first token scored */
} el_cli_chunk;

typedef struct el_cli_chunks {
    const char *path; /* for messages */
    char *text;       /* owned, with `len` bytes */
    size_t len;
    bool chat;            /* the text is conversations */
    uint32_t most;        /* chunks at most; 0: all */
    uint32_t context;     /* tokens at most of a chunk */
    el_cli_tokens tokens; /* of the chunks, one after another; owned */
    el_cli_chunk *list;   /* (count) owned */
    size_t count;         /* chunks to score */
    uint32_t positions;   /* scored in the chunk that has the most */
} el_cli_chunks;

/* Reads and cuts a file. most: chunks at most; 0: all. Errors: those of el_cli_read() and
 * el_cli_tokenize(); USAGE (no chunk to score); those of el_cli_answers_cut(). */
edgellm_status el_cli_chunks_read(el_cli_chunks *chunks, const el_cli_model *model,
                                  const char *path, bool chat, uint32_t most, edgellm_error *err);
void el_cli_chunks_release(el_cli_chunks *chunks);

/* Does another model have the same tokens for the same text? Errors: as above. */
edgellm_status el_cli_chunks_compare(const el_cli_chunks *chunks, const edgellm_engine *engine,
                                     bool *same, edgellm_error *err);

/* What a chunk is called: "chunk", or "answer". */
const char *el_cli_chunks_unit(const el_cli_chunks *chunks);

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
