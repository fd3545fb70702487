/* folder_work.h: what the parts of the importer share; for folder_*.c and safetensors.c alone. */
#ifndef EL_FOLDER_FOLDER_WORK_H
#define EL_FOLDER_FOLDER_WORK_H

#include <jansson.h>

#include "base/error.h"
#include "folder/folder_families.h"
#include "format/gguf.h"

#define EL_FOLDER_CONFIG    "config.json"
#define EL_FOLDER_TOKENIZER "tokenizer.json"
#define EL_FOLDER_KEY_BYTES 128

/* By which wave lengths are longer, in the file's room. */
typedef struct el_folder_factors {
    const char *tensor; /* the name of the tensor that they become */
    float *list;
    uint32_t n;
} el_folder_factors;

/* Which matrices have three levels, and how they lie (folder_levels.c). */
typedef struct el_folder_levels {
    bool any;
    bool rounded;         /* the file has floats that are yet to be rounded */
    bool floats;          /* codes may be floats too, not packed alone */
    bool divides;         /* the scale does, else it multiplies */
    const json_t *except; /* modules that stay as they are; NULL: the head */
} el_folder_levels;

struct el_folder {
    const char *path;
    el_gguf *file; /* being made; owns all that is mapped or put */
    edgellm_error *err;
    json_t *config;                 /* owned */
    const el_folder_family *family; /* known once config.json was read */
    uint32_t vocab;                 /* likewise */
    el_folder_levels levels;        /* likewise */
    el_folder_factors factors[2];
    uint32_t n_factors; /* of these: none, Llama 3's, or longrope's two */
    bool failed;        /* there was no memory for a value that was put */
    char key[EL_FOLDER_KEY_BYTES];
};

/* ---- files (folder_files.c) --------------------------------------------------------------- */

bool el_folder_has(const el_folder *f, const char *name);

/* Maps a file of the folder, which the el_gguf then owns. Errors: IO, FORMAT, MEMORY. */
edgellm_status el_folder_map(el_folder *f, const char *name, el_mapfile *map);

/* An object; *json is NULL if the file is not there. Whole numbers are reals too. The caller's to
 * release. Errors: as above; FORMAT (no JSON, an object with a key twice, too long). */
edgellm_status el_folder_json(el_folder *f, const char *name, json_t **json);

/* The same of text that lies in `name`. */
edgellm_status el_folder_parse(el_folder *f, const char *name, const char *text, size_t len,
                               json_t **json);

/* ---- metadata (folder_values.c) ----------------------------------------------------------- */

/* A key of the architecture: "llama." before it; lasts until the next call. */
const char *el_folder_key(el_folder *f, const char *suffix);

/* Each puts one value. If there is no memory f->failed says so in the end. */
void el_folder_put_u32(el_folder *f, const char *key, uint32_t value);
void el_folder_put_f32(el_folder *f, const char *key, float value);
void el_folder_put_bool(el_folder *f, const char *key, bool value);
void el_folder_put_text(el_folder *f, const char *key, const char *text, size_t len);
/* Room for the elements, which are the caller's to write; NULL if there is none. */
uint8_t *el_folder_put_array(el_folder *f, const char *key, uint32_t element_type, uint64_t count,
                             size_t bytes);
/* Writes a string of an array; returns the place behind it. */
uint8_t *el_folder_write_text(uint8_t *at, const char *text, size_t len);

/* ---- what is in the files ----------------------------------------------------------------- */

/* A number of an object, or what stands for one that is missing or null; `name`: the file. Errors:
 * FORMAT (another kind of value; of u32 no whole number of 32 bits). */
edgellm_status el_folder_number(const el_folder *f, const char *name, const json_t *object,
                                const char *key, double fallback, double *value);
edgellm_status el_folder_u32(const el_folder *f, const char *name, const json_t *object,
                             const char *key, uint32_t fallback, uint32_t *value);
/* NULL if it is no string. */
const char *el_folder_text(const json_t *object, const char *key);

/* config.json: finds the family and puts the numbers. */
edgellm_status el_folder_config(el_folder *f);

/* tokenizer.json and those beside it: puts the vocabulary. */
edgellm_status el_folder_vocab(el_folder *f);

/* The safetensors files: the tensors that `config` needs, no other. */
edgellm_status el_folder_tensors(el_folder *f, const el_config *config);

#endif
