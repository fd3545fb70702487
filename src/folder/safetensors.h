/*
 * safetensors.h: the tensors of a safetensors file: 8 bytes that say how long the header is, a JSON
 * object of names, types, shapes and places, then the data, without a gap and without an overlap.
 */
#ifndef EL_FOLDER_SAFETENSORS_H
#define EL_FOLDER_SAFETENSORS_H

#include "folder/folder_work.h"

#define EL_SAFETENSOR_DIMS 4

typedef struct el_safetensor {
    const char *name, *shard; /* in the file's room; the shard's is the caller's */
    const char *dtype;        /* "BF16" */
    uint32_t type;            /* ggml's of F32, F16 and BF16; else EL_SAFETENSOR_OTHER */
    uint32_t n_dims;
    uint64_t dims[EL_SAFETENSOR_DIMS];
    uint64_t begin, bytes; /* in the data */
    const uint8_t *data;
    bool used; /* the caller's */
} el_safetensor;

#define EL_SAFETENSOR_OTHER UINT32_MAX

typedef struct el_safetensors {
    el_safetensor *list; /* owned */
    uint32_t n, room;
} el_safetensors;

/* Maps the file and adds its tensors to the list. Errors: IO; FORMAT, UNSUPPORTED (naming shard and
 * tensor); MEMORY. */
edgellm_status el_safetensors_read(el_folder *f, const char *shard, el_safetensors *all);

/* "(2, 3)" */
void el_safetensor_shape(const el_safetensor *t, char *text, size_t size);

#endif
