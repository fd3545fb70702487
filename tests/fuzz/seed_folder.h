/* seed_folder.h: seeds for the importer of Hugging Face folders, as fuzz_folder.c takes them. */
#ifndef EL_FUZZ_SEED_FOLDER_H
#define EL_FUZZ_SEED_FOLDER_H

#include "support/tiny_model.h"

enum { SEED_FOLDERS = 6 };

/* A whole small model; the caller frees its data. *name: a word for it. */
el_bytes seed_folder(int index, const char **name);

#endif
