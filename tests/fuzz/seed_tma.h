/* seed_tma.h: adapters of the small model of session_model.h. */
#ifndef EL_FUZZ_SEED_TMA_H
#define EL_FUZZ_SEED_TMA_H

#include "edgellm.h"

/* Writes one: of the matrices (el_lora_part) whose bit is set in `set`, of each layer; rank 1 to 3.
 * Errors: IO, MEMORY. */
edgellm_status seed_tma(const char *path, unsigned set, uint32_t rank, float gain,
                        edgellm_error *err);

#endif
