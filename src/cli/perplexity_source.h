/*
 * perplexity_source.h: the model that another one is judged by: a TM2 file, or a GGUF file or a
 * Hugging Face folder, which is converted first, weight for weight, to a TM2 file without a name in
 * $TMPDIR or /tmp.
 */
#ifndef EL_CLI_PERPLEXITY_SOURCE_H
#define EL_CLI_PERPLEXITY_SOURCE_H

#include "cli/perplexity_chunks.h"

typedef struct el_cli_source {
    const char *path;
    bool converts;      /* it is no TM2 file */
    uint64_t hash;      /* FNV-1a over the file, or over those of a folder */
    el_cli_model model; /* started in exact mode, once el_cli_source_start() has succeeded */
    uint32_t rounded;   /* matrices of another form that TM2 cannot hold as they are: 8 bits */
} el_cli_source;

/* FNV-1a over the bytes of a file; its first four. Errors: IO, INTERRUPTED. */
edgellm_status el_cli_hash_file(const char *path, uint64_t *hash, char first[4],
                                edgellm_error *err);

/* Reads the file and no more. Errors: those of el_cli_hash_file(). */
edgellm_status el_cli_source_identify(el_cli_source *source, const char *path, edgellm_error *err);

/*
 * Opens the source, in exact mode and else as the options say, and holds it to the model: the same
 * vocabulary, and the same tokens for the text. Errors: USAGE (they differ), those of el_quantize()
 * and of opening a model.
 */
edgellm_status el_cli_source_start(el_cli_source *source, const el_cli_model *model,
                                   const el_cli_chunks *chunks, const el_cli_model_values *options,
                                   bool progress, edgellm_error *err);

/* Releases what was started. */
void el_cli_source_stop(el_cli_source *source);

/* FNV-1a over what tells vocabularies apart: the pre-tokenizer and the text of every token. */
uint64_t el_cli_vocabulary_hash(const el_cli_model *model);

#endif
