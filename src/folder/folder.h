/*
 * folder.h: a model as Hugging Face publishes it, a folder of config.json, tokenizer.json and
 * safetensors files, in the form of a GGUF file: the metadata that a converter would write are made
 * in memory, tensors stay where they are in the mapped files. What a class of models is called
 * there and here is a row of the table in folder_families.c. Needs jansson, so it is the programs'
 * alone.
 */
#ifndef EL_FOLDER_FOLDER_H
#define EL_FOLDER_FOLDER_H

#include "format/gguf.h"

/*
 * Opens such a folder, or, if `path` is no folder, a GGUF file. Errors: as el_gguf_open(); FORMAT
 * (a file of the folder and what is wrong with it), UNSUPPORTED (a class of models, a
 * pre-tokenizer,
 * ... that this version doesn't know, and those that it does), MEMORY.
 */
edgellm_status el_folder_open(el_gguf *file, const char *path, edgellm_error *err);

#endif
