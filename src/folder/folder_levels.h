/*
 * folder_levels.h: matrices of three levels, of models that were trained for them: what
 * quantization_config of config.json says, and such a matrix in the form of format/three_levels.h.
 */
#ifndef EL_FOLDER_FOLDER_LEVELS_H
#define EL_FOLDER_FOLDER_LEVELS_H

#include "folder/safetensors.h"

/* Reads it, once the family is known. Errors: FORMAT; UNSUPPORTED, naming the key and what is
 * supported of it. */
edgellm_status el_folder_levels_read(el_folder *f);

/* Is the tensor of this name such a matrix? */
bool el_folder_levels_in(const el_folder *f, const char *name);

/* Does such a matrix have a scale beside it, NAME_scale? */
bool el_folder_levels_scaled(const el_folder *f);

/* What matrix `t` of (rows, cols), with its scale or NULL, is for *to: type, data, bytes, levels.
 * Errors: FORMAT, UNSUPPORTED, naming shard and tensor. */
edgellm_status el_folder_levels_take(const el_folder *f, const el_safetensor *t,
                                     const el_safetensor *scale, uint32_t rows, uint32_t cols,
                                     el_gguf_tensor *to);

#endif
