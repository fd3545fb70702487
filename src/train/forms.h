/*
 * forms.h: which codec and group each matrix gets: as the options say, or as a number of bytes
 * allows (probe.h, allocate.h); and the manifest that tells of it.
 */
#ifndef EL_TRAIN_FORMS_H
#define EL_TRAIN_FORMS_H

#include "train/compress.h"
#include "train/pieces.h"
#include "train/student.h"

/* Sets where a source's tables are cut (el_source.cuts) under these options. */
void el_forms_cut(el_source *source, const el_compress_options *options);

/* Options in themselves: bits, groups, patterns that are regular expressions and match a matrix;
 * and a size that can be met. Errors: USAGE, MEMORY. */
edgellm_status el_forms_check(const el_source *source, const el_compress_options *options,
                              edgellm_error *err);

/* What choosing needs besides. */
typedef struct el_forms_means {
    const el_layer_shape *shape;
    el_crew *crew;
    unsigned members;
    const uint32_t *tokens; /* (sequences, length) */
    uint32_t sequences, length;
    bool (*progress)(void *context, uint32_t done, uint32_t total);
    void *progress_context;
} el_forms_means;

/* Fills in forms (el_student_count()). Errors: USAGE (the size can't be met), as el_probe_run(). */
edgellm_status el_forms_choose(const el_source *source, const el_compress_options *options,
                               const el_forms_means *means, el_form *forms, edgellm_error *err);

/* The manifest; free() it. NULL: memory ran out. */
char *el_forms_manifest(const char *path, const el_source *source, const el_form *forms,
                        const el_compress_options *options, uint32_t sequences,
                        const char *kernels);

#endif
