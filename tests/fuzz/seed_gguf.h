/* seed_gguf.h: seeds for the GGUF reader that have no tensors, whose data the caller frees; and the
 * data of tensors. */
#ifndef EL_FUZZ_SEED_GGUF_H
#define EL_FUZZ_SEED_GGUF_H

#include <stdint.h>

#include "support/tiny_model.h"

/* Metadata of every type, arrays in arrays. */
el_bytes seed_values(void);

/* A vocabulary of pieces with scores ("llama", or "t5"), and the numbers of Gemma 3. worst: the
 * last score. */
el_bytes seed_pieces(const char *model, float worst);

/* Appends so many weights of a type of GGUF: scales that are small numbers, codes that are noise.
 */
void seed_blocks(el_bytes *data, uint32_t type, uint64_t weights, el_random *random);

#endif
