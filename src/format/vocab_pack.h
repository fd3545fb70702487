/*
 * vocab_pack.h: a vocabulary in few bytes, as section `vocab` of a TM2 file holds it
 * (docs/FORMAT.md, section 5). Most tokens are what a merge makes, so their bytes need not be
 * written: a fifth of the plain arrays' bytes remains.
 */
#ifndef EL_FORMAT_VOCAB_PACK_H
#define EL_FORMAT_VOCAB_PACK_H

#include "base/arena.h"
#include "format/vocab.h"

/* Packs a vocabulary that el_vocab_check() accepts; returns the bytes. `packed` NULL: only counts.
 */
uint64_t el_vocab_pack(const el_vocab *vocab, uint8_t *packed);

/* How many tokens have flags. */
uint32_t el_vocab_flagged(const el_vocab *vocab);

/*
 * Fills in the arrays from the `size` bytes at `packed`, which stand at `offset` of their file.
 * vocab->n_tokens and n_merges say how many there are, token_bytes how long all tokens are; none
 * of them need be right. `ranks`: those of scored vocabularies (vocab->pretokenizer) are there;
 * `flagged`: so many tokens have flags. The arrays lie in *memory, release it; untouched on
 * failure. Errors: FORMAT, with the offset; MEMORY.
 */
edgellm_status el_vocab_unpack(el_vocab *vocab, bool ranks, uint32_t flagged, uint32_t token_bytes,
                               const uint8_t *packed, uint64_t size, uint64_t offset,
                               el_arena *memory, edgellm_error *err);

#endif
