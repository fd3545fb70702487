/*
 * adapter.h: a LoRA adapter in the form of a GGUF file (llama.cpp's: general.type "adapter",
 * tensors blk.N.attn_q.weight.lora_a and .lora_b) becomes an adapter file for one model
 * (format/tma.h): found, checked against the model by name and shape, as float32, the rows of
 * queries and keys in the order that TM2 files have.
 */
#ifndef EL_QUANT_ADAPTER_H
#define EL_QUANT_ADAPTER_H

#include "format/gguf.h"

typedef struct el_adapter_made {
    uint32_t matrices, layers; /* that are adapted */
    uint32_t rank;             /* the largest */
    uint64_t bytes;            /* of the file */
} el_adapter_made;

/* open: of `source`. model: a TM2 file. Errors: as of opening both; FORMAT (a half that is missing,
 * ranks that differ, a number that is not finite), UNSUPPORTED (a tensor that cannot be adapted,
 * another kind of adapter), USAGE (not of this model: what differs), IO, MEMORY. */
edgellm_status el_adapter_make(const char *source, el_gguf_opener *open, const char *model,
                               const char *target, el_adapter_made *made, edgellm_error *err);

#endif
