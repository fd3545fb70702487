/*
 * lookup.h: from bytes to token. An open-addressing hash over a vocabulary's tokens. Of several
 * tokens with the same bytes the lowest id is found, a special token only if all of them are;
 * empty tokens never are.
 */
#ifndef EL_TOKEN_LOOKUP_H
#define EL_TOKEN_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/vocab.h"

typedef struct el_lookup {
    const el_vocab *vocab;
    uint32_t *slots; /* (mask + 1) token id + 1; 0: free. Zeroed memory of the caller */
    uint32_t mask;
} el_lookup;

/* Slots for `n` entries: a power of two, at most half full. n <= 2^24. */
uint32_t el_lookup_slots(uint32_t n);

/* `slots`: el_lookup_slots(vocab->n_tokens) zeroes. */
el_lookup el_lookup_build(const el_vocab *vocab, uint32_t *slots);

/* The same of normal tokens alone. */
el_lookup el_lookup_build_normal(const el_vocab *vocab, uint32_t *slots);

/* The token whose bytes are those of `left` and then `right`; EL_TOKEN_NONE if there is none. */
uint32_t el_lookup_pair(const el_lookup *lookup, const uint8_t *left, size_t left_len,
                        const uint8_t *right, size_t right_len);

/* The token with these bytes; EL_TOKEN_NONE if there is none. */
uint32_t el_lookup_bytes(const el_lookup *lookup, const uint8_t *bytes, size_t len);

static inline const uint8_t *el_vocab_bytes(const el_vocab *vocab, uint32_t id, size_t *len)
{
    *len = vocab->starts[id + 1] - vocab->starts[id];
    return vocab->bytes + vocab->starts[id];
}

/* Special tokens: their names are not text. */
static inline bool el_vocab_is_special(const el_vocab *vocab, uint32_t id)
{
    return vocab->types[id] == EL_TOKEN_CONTROL || vocab->types[id] == EL_TOKEN_UNKNOWN;
}

#endif
