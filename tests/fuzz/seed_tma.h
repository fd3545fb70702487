/* seed_tma.h: adapters of the small model of session_model.h. */
#ifndef EL_FUZZ_SEED_TMA_H
#define EL_FUZZ_SEED_TMA_H

#include "edgellm.h"

/* Writes some as files of FOLDER/tma, which is there. Errors: IO, MEMORY. */
edgellm_status seed_tmas(const char *folder, edgellm_error *err);

#endif
