/* seed_adapter.h: seeds for the importer of adapters, as fuzz_adapter.c takes them. */
#ifndef EL_FUZZ_SEED_ADAPTER_H
#define EL_FUZZ_SEED_ADAPTER_H

#include "support/tiny_model.h"

enum { SEED_ADAPTERS = 5 };

/* A whole adapter of the small model of session_model.h; the caller frees its data. *name: a word
 * for it. */
el_bytes seed_adapter(int index, const char **name);

#endif
