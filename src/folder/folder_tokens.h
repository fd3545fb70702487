/* folder_tokens.h: what the readers of tokenizer.json share; for folder_*.c alone. */
#ifndef EL_FOLDER_FOLDER_TOKENS_H
#define EL_FOLDER_FOLDER_TOKENS_H

#include "folder/folder_work.h"

typedef struct el_folder_token {
    const char *text; /* in the JSON tree; NULL: no token has this id */
    uint8_t type;     /* el_token_type */
    uint8_t flags;    /* el_token_flag */
} el_folder_token;

typedef struct el_folder_tokens {
    el_folder *f;
    json_t *json;          /* tokenizer.json */
    const json_t *model;   /* in it */
    const json_t *names;   /* in that: token to id */
    const json_t *added;   /* in json: an array, or NULL */
    el_folder_token *list; /* (n) */
    uint32_t n;
    bool scored;          /* pieces of SentencePiece; else bytes */
    bool bytes;           /* of those: what is no piece becomes bytes, else the unknown token */
    bool unigram;         /* of those: its unigram model, `names` is made */
    uint32_t unk;         /* of that: the unknown token, or EL_TOKEN_NONE */
    el_space_first first; /* where a space is put before a text */
    bool marks;           /* the normalizer writes spaces as U+2581 */
} el_folder_tokens;

/* How text is cut: puts the pre-tokenizer, or that there are pieces, and sets what t says of
 * spaces. Errors: UNSUPPORTED, quoting what is not known (folder_cutting.c). */
edgellm_status el_folder_cutting(el_folder_tokens *t);

/* Puts what a list of merges means: that list, or a score for each piece (folder_merges.c). */
edgellm_status el_folder_merges(el_folder_tokens *t);

/* The unigram model: makes t->names, the caller's to release; puts the scores; says whether no
 * piece has a space behind its first character (folder_unigram.c). Errors: FORMAT, MEMORY. */
edgellm_status el_folder_unigram_names(el_folder_tokens *t);
edgellm_status el_folder_unigram_scores(const el_folder_tokens *t);
bool el_folder_unigram_is_of_words(const el_folder_tokens *t);

/* Puts bos, eos, unk, pad, add_bos and the chat template (folder_special.c). */
edgellm_status el_folder_special(el_folder_tokens *t);

/* The id of a token of the model; EL_TOKEN_NONE if there is none. */
uint32_t el_folder_token_id(const el_folder_tokens *t, const char *text);

#endif
