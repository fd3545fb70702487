/* lookup.c: see lookup.h. */
#include "token/lookup.h"

#include <string.h>

#define FNV_START 2166136261u
#define FNV_PRIME 16777619u

/* FNV-1a, continued over `len` bytes. */
static uint32_t hash_bytes(uint32_t hash, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * FNV_PRIME;
    return hash;
}

/* FNV's low bits follow the last byte too closely for a table of a power of two. */
static uint32_t stir(uint32_t hash)
{
    return hash ^ hash >> 15;
}

uint32_t el_lookup_slots(uint32_t n)
{
    uint32_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

/* The slot with the two parts' bytes, or the free one where they would be. */
static uint32_t find_slot(const el_lookup *lookup, const uint8_t *left, size_t left_len,
                          const uint8_t *right, size_t right_len)
{
    uint32_t hash = hash_bytes(FNV_START, left, left_len);
    uint32_t slot = stir(hash_bytes(hash, right, right_len)) & lookup->mask;
    while (lookup->slots[slot] != 0) {
        size_t len;
        const uint8_t *bytes = el_vocab_bytes(lookup->vocab, lookup->slots[slot] - 1, &len);
        if (len == left_len + right_len && memcmp(bytes, left, left_len) == 0 &&
            memcmp(bytes + left_len, right, right_len) == 0)
            break;
        slot = (slot + 1) & lookup->mask;
    }
    return slot;
}

static el_lookup build(const el_vocab *vocab, bool normal, uint32_t *slots)
{
    el_lookup lookup = {.vocab = vocab, .slots = slots};
    lookup.mask = el_lookup_slots(vocab->n_tokens) - 1;
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        size_t len;
        const uint8_t *bytes = el_vocab_bytes(vocab, id, &len);
        if (len == 0 || (normal && vocab->types[id] != EL_TOKEN_NORMAL)) continue;
        uint32_t slot = find_slot(&lookup, bytes, len, bytes, 0);
        bool is_better = slots[slot] != 0 && el_vocab_is_special(vocab, slots[slot] - 1) &&
                         !el_vocab_is_special(vocab, id);
        if (slots[slot] == 0 || is_better) slots[slot] = id + 1;
    }
    return lookup;
}

el_lookup el_lookup_build(const el_vocab *vocab, uint32_t *slots)
{
    return build(vocab, false, slots);
}

el_lookup el_lookup_build_normal(const el_vocab *vocab, uint32_t *slots)
{
    return build(vocab, true, slots);
}

uint32_t el_lookup_pair(const el_lookup *lookup, const uint8_t *left, size_t left_len,
                        const uint8_t *right, size_t right_len)
{
    uint32_t entry = lookup->slots[find_slot(lookup, left, left_len, right, right_len)];
    return entry == 0 ? EL_TOKEN_NONE : entry - 1;
}

uint32_t el_lookup_bytes(const el_lookup *lookup, const uint8_t *bytes, size_t len)
{
    return el_lookup_pair(lookup, bytes, len, bytes, 0);
}
