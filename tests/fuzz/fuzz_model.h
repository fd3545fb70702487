/* fuzz_model.h: holds whatever opens as a model to the contracts of edgellm.h. */
#ifndef EL_FUZZ_FUZZ_MODEL_H
#define EL_FUZZ_FUZZ_MODEL_H

#include "fuzz/fuzz.h"

/*
 * Opens the TM2 file and, if that works, asks everything an embedder may ask: info, tensors, plan,
 * text, chat, and a few tokens computed on every kernel level of this CPU, which must agree bit
 * for bit. A file of n bytes may cost O(n) memory. Returns whether it opened.
 */
bool fuzz_model(const char *path, bool verify);

#endif
