/* model_name.h: what a model is called in answers, and what their bits depend on. */
#ifndef EL_SERVER_MODEL_NAME_H
#define EL_SERVER_MODEL_NAME_H

#include "edgellm.h"

/* The file's name without what all such names end with. */
void el_model_name(const char *path, char *name, size_t size);

/* This version and the model's identity. */
void el_model_name_bits(const edgellm_model_info *info, char *text, size_t size);

#endif
