/* session_model.h: the small model that session files and adapters of the fuzz targets belong to.
 */
#ifndef EL_FUZZ_SESSION_MODEL_H
#define EL_FUZZ_SESSION_MODEL_H

#include "format/config.h"
#include "fuzz/fuzz.h"
#include "support/tiny_model.h"

/* Its TM2 file, made anew, the same on every machine; free(model->data). */
void fuzz_session_model(el_bytes *model);

/* The same as a file, and its numbers. */
typedef struct fuzz_base {
    fuzz_file model;
    el_config config;
} fuzz_base;

/* Made at the first call and kept. */
const fuzz_base *fuzz_session_base(void);

/* The same, opened; the caller closes it. kernel: NULL for the fastest. */
edgellm_engine *fuzz_session_engine(const char *kernel);

/* A small session of it that nothing was computed in; made at the first call and kept. */
edgellm_session *fuzz_small_session(void);

#endif
