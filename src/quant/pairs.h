/*
 * pairs.h: the two numbers that rotary positions turn together stand side by side in our files, as
 * in GGUF files of Llama. Other architectures' GGUF files have the halves of a head apart: number i
 * of the one and i of the other. Here such rows change places, weight for weight.
 */
#ifndef EL_QUANT_PAIRS_H
#define EL_QUANT_PAIRS_H

#include <stdbool.h>

#include "format/config.h"
#include "format/gguf.h"

/* Where number i of `n` that are turned comes from, in halves that are apart. */
static inline uint32_t el_pairs_from(uint32_t n, uint32_t i)
{
    return i % 2 * (n / 2) + i / 2;
}

/* Is this a tensor whose rows, or a vector whose elements, have to change places? */
bool el_pairs_apart(const el_config *config, const el_gguf_tensor *tensor);

/*
 * *paired is the tensor with its data in `*data`, which is the caller's to free. Errors: FORMAT (no
 * whole number of heads), UNSUPPORTED (a vector in blocks), MEMORY; *data is NULL then.
 */
edgellm_status el_pairs_join(const el_config *config, const el_gguf_tensor *tensor,
                             el_gguf_tensor *paired, uint8_t **data, edgellm_error *err);

#endif
