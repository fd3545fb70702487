/* seed_schema.h: JSON schemas that the fuzzer of their compiler starts from. */
#ifndef EL_FUZZ_SEED_SCHEMA_H
#define EL_FUZZ_SEED_SCHEMA_H

#include "support/tiny_model.h"

enum { SEED_SCHEMAS = 14 };

/* One that has what others have not; the caller frees its data. *name: a word for it. */
el_bytes seed_schema(int index, const char **name);

#endif
