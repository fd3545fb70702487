/*
 * written_folder.h: folders as Hugging Face's libraries save them, out of an input: texts, each up
 * to a NUL, of which an empty one is a file that is not there; then the header of a safetensors
 * file; the rest are the weights.
 */
#ifndef EL_FUZZ_WRITTEN_FOLDER_H
#define EL_FUZZ_WRITTEN_FOLDER_H

#include "fuzz/fuzz.h"

enum { FUZZ_PATH_BYTES = FUZZ_FOLDER_BYTES + 64 };

/* Takes the next text. Returns whether there is any. */
bool fuzz_write_text(const char *folder, const char *name, fuzz_input *in);

/* Takes all there is. `more` is added to the length that the header says it has. */
void fuzz_write_safetensors(const char *folder, const char *name, uint8_t more, fuzz_input *in);

/* A model: config.json, tokenizer.json, tokenizer_config.json, generation_config.json,
 * model.safetensors.index.json, header and weights; with an index the weights are in one of the
 * files that it can name. */
void fuzz_write_model(const char *folder, uint8_t more, fuzz_input *in);

/* Removes the folder and all files that these can have written. */
void fuzz_remove_folder(const char *folder);

#endif
