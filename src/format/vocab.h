/*
 * vocab.h: a vocabulary as plain arrays: what importers produce, the file stores and the tokenizer
 * works on. Byte-level BPE has merges; SentencePiece's BPE (pre-tokenizer "spm") has ranks instead,
 * its unigram model ("unigram") scores. A view: it owns nothing.
 */
#ifndef EL_FORMAT_VOCAB_H
#define EL_FORMAT_VOCAB_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef enum el_token_type {
    EL_TOKEN_NORMAL = 1, /* numbers as in GGUF */
    EL_TOKEN_UNKNOWN = 2,
    EL_TOKEN_CONTROL = 3, /* special: its name is not text */
    EL_TOKEN_USER = 4,    /* added by the user: always matched whole, and is text */
    EL_TOKEN_UNUSED = 5,
    EL_TOKEN_BYTE = 6
} el_token_type;

#define EL_TOKEN_NONE UINT32_MAX

/* Of a token that is matched whole: what beside its name decides where it stands, as Hugging Face's
 * tokenizers have it. */
typedef enum el_token_flag {
    EL_TOKEN_RSTRIP = 1,      /* takes in the white space behind it */
    EL_TOKEN_LSTRIP = 2,      /* and before it */
    EL_TOKEN_SINGLE_WORD = 4, /* not where a word goes on before or behind it */
    EL_TOKEN_NORMALIZED = 8, /* is looked for when all others are found, in text that is ready to be
                                merged */
    EL_TOKEN_FLAGS = 15
} el_token_flag;

typedef struct el_merge {
    uint32_t left, right; /* token ids; the merged token's bytes are their bytes joined */
} el_merge;

/* Of pieces with scores: where a space is put that a text does not have. */
typedef enum el_space_first {
    EL_SPACE_NEVER,
    EL_SPACE_BEFORE, /* a text, and what follows a special token, as in SentencePiece */
    EL_SPACE_UNLESS, /* any part between tokens that are matched whole, unless it has one there */
    EL_SPACE_UNLESS_ONCE, /* likewise, but only at the beginning of a text */
    EL_SPACE_EACH /* each part between tokens that are matched whole, but the normalized ones,
                     before whose names it is put too */
} el_space_first;

typedef struct el_vocab {
    uint32_t n_tokens, n_merges;
    const uint8_t *bytes;   /* all tokens' raw bytes, joined (not GPT-2's printable mapping) */
    const uint32_t *starts; /* (n_tokens + 1) offsets into bytes */
    const uint8_t *types;   /* (n_tokens) el_token_type */
    const el_merge *merges; /* (n_merges), best rank first */
    /* (n_tokens) "spm": the lower, the sooner two parts become it; "unigram": the bits of its score
     * as a float; else NULL */
    const uint32_t *ranks;
    const uint8_t *flags;        /* (n_tokens) el_token_flag; NULL: none has any */
    const char *pretokenizer;    /* "smollm", "gpt2", "llama3", ..., "spm"; NUL-terminated */
    const char *chat_template;   /* the source's Jinja text, NUL-terminated; "" if none */
    uint32_t bos, eos, unk, pad; /* EL_TOKEN_NONE if absent */
    uint8_t add_bos;             /* put bos before a text */
    uint8_t nfc;                 /* a text is normalized to NFC; not with ranks */
    uint8_t space_first;         /* el_space_first; with "spm", "unigram" */
} el_vocab;

static inline unsigned el_vocab_flags(const el_vocab *vocab, uint32_t id)
{
    return vocab->flags ? vocab->flags[id] : 0;
}

static inline bool el_vocab_is_unigram(const el_vocab *vocab)
{
    return strcmp(vocab->pretokenizer, "unigram") == 0;
}

/* Pieces with scores, as SentencePiece has them. The only spelling of a space is a space. */
static inline bool el_vocab_is_scored(const el_vocab *vocab)
{
    return strcmp(vocab->pretokenizer, "spm") == 0 || el_vocab_is_unigram(vocab);
}

#endif
