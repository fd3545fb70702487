/*
 * perplexity_against.h: a model beside the one it was made from, on the same tokens: the source
 * always in exact mode, the model as its session says.
 */
#ifndef EL_CLI_PERPLEXITY_AGAINST_H
#define EL_CLI_PERPLEXITY_AGAINST_H

#include "cli/perplexity_chunks.h"

typedef struct el_cli_against_options {
    const char *source; /* a TM2 or GGUF file */
    const char *cache;  /* a folder, "none", or NULL: see perplexity_cache.h */
    const el_cli_model_values *model;
    bool progress;
} el_cli_against_options;

typedef struct el_cli_against {
    double nll, source_nll; /* sums over the scored positions */
    double divergence;      /* likewise: KL(source || model), nats */
    uint64_t agreed;        /* positions with the same most likely token */
    uint64_t scored;        /* positions */
    double seconds, source_seconds;
    uint64_t source_hash, tokens_hash;
    uint32_t rounded;  /* matrices of the source that TM2 cannot hold as they are */
    const char *cache; /* "used", "made" or "none": where the source's logits come from, or go */
} el_cli_against;

/* model: started. Errors: those of el_cli_chunk_score() and el_cli_source_start(). */
edgellm_status el_cli_against_measure(el_cli_against *result, const el_cli_model *model,
                                      const el_cli_chunks *chunks,
                                      const el_cli_against_options *options, edgellm_error *err);

#endif
