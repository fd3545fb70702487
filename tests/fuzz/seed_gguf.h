/* seed_gguf.h: seeds for the GGUF reader that have no tensors. The caller frees their data. */
#ifndef EL_FUZZ_SEED_GGUF_H
#define EL_FUZZ_SEED_GGUF_H

#include "support/tiny_model.h"

/* Metadata of every type, arrays in arrays. */
el_bytes seed_values(void);

/* A vocabulary of pieces with scores ("llama", or "t5"), and the numbers of Gemma 3. worst: the last
 * score. */
el_bytes seed_pieces(const char *model, float worst);

#endif
