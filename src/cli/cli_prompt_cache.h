/*
 * cli_prompt_cache.h: what a prompt begins with, computed once: the KV cache of its first tokens is
 * kept in a file (docs/SESSION.md, a prefix) and loaded at the next start. A file counts only if
 * model, mode, version and tokens are the same; what follows then has the same bits.
 *
 * Without a name the file lies beside the model, MODEL.prompt-HASH.els, or if that folder cannot be
 * written in the cache folder; HASH is of the tokens, so every prompt has a file of its own. What
 * is wrong with such a file, or with keeping it, is said in a note and is no error: the tokens are
 * computed. A named file is replaced if it is the prompt cache of another prompt, model or version;
 * if it is anything else, damaged, or cannot be read or written, that is an error.
 */
#ifndef EL_CLI_CLI_PROMPT_CACHE_H
#define EL_CLI_CLI_PROMPT_CACHE_H

#include <jansson.h>

#include "cli/cli_model.h"

#define EL_CLI_PROMPT_CACHE_ROW(type)                                                              \
    {                                                                                              \
        .name = "prompt-cache", .kind = EL_CLI_TEXT_IF_ANY, .field = offsetof(type, prompt_cache), \
        .argument = "FILE",                                                                        \
        .help = "keep the computed system message beside the model, or in FILE"                    \
    }

typedef struct el_cli_prompt_cache {
    const char *asked; /* NULL: no cache; "": beside the model; else the file */
    const char *model_path;
    uint8_t mode; /* of the KV cache: exact, and its width */
    uint64_t hash,
        hash_elsewhere; /* of the tokens; with the model's identity for a shared folder */
    char *path;         /* where it was found, or was kept; NULL: nowhere */
    uint32_t tokens;
    double load_ms;
    bool consulted, hit, kept;
} el_cli_prompt_cache;

/* asked: as in the struct; it and the path are kept as pointers. Start with this, end with release.
 */
void el_cli_prompt_cache_open(el_cli_prompt_cache *c, const char *asked, const char *model_path,
                              const edgellm_session_options *session);
void el_cli_prompt_cache_release(el_cli_prompt_cache *c);

/* Could the named file be used, or replaced? Errors: those of a named file. */
edgellm_status el_cli_prompt_cache_check(const el_cli_prompt_cache *c, edgellm_error *err);

/*
 * Loads the first n tokens of a prompt into the session, in place of what it holds, if they are
 * kept. c->hit says whether. Nothing to do if no cache was asked for, or n is 0. Errors: MEMORY;
 * those of a named file.
 */
edgellm_status el_cli_prompt_cache_load(el_cli_prompt_cache *c, const el_cli_model *model,
                                        const uint32_t *ids, size_t n, edgellm_error *err);

/* Keeps them after a load without a hit, once the session holds them; c->kept says whether. Errors:
 * those of a named file. */
edgellm_status el_cli_prompt_cache_save(el_cli_prompt_cache *c, const el_cli_model *model,
                                        edgellm_error *err);

/* null if there was nothing to look for; else "file", "hit", "kept", "tokens", "load_ms". */
json_t *el_cli_prompt_cache_json(const el_cli_prompt_cache *c);

/* " | prompt cache: 200 tokens in 3.1 ms" to standard error. */
void el_cli_prompt_cache_print(const el_cli_prompt_cache *c);

#endif
