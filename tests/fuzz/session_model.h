/* session_model.h: the small model that session files of the fuzz target belong to. */
#ifndef EL_FUZZ_SESSION_MODEL_H
#define EL_FUZZ_SESSION_MODEL_H

#include "fuzz/fuzz.h"

/* Made anew, the same on every machine; the caller closes it. kernel: NULL for the fastest. */
edgellm_engine *fuzz_session_engine(const char *kernel);

#endif
