/* folder.c: see folder.h. The order: config.json, the vocabulary, then the tensors that both need.
 */
#include "folder/folder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "folder/folder_work.h"
#include "format/checks.h"
#include "format/gguf_value.h"

#define VALUES 64 /* more than the importer puts */

/* The numbers as the reader of GGUF files finds them, which knows what each may be. */
static edgellm_status read_back(el_folder *f, el_config *config)
{
    edgellm_error why = {0};
    if (f->failed) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for metadata");
    EL_TRY(el_gguf_sort(f->file, f->err));
    edgellm_status status = el_gguf_config(f->file, config, &why);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    return el_fail(f->err, status, EL_FOLDER_CONFIG ", in GGUF's words: %s", why.message);
}

static edgellm_status read_folder(el_folder *f)
{
    el_config config;
    f->file->values = calloc(VALUES, sizeof *f->file->values);
    if (!f->file->values) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for metadata");
    EL_TRY(el_folder_config(f));
    EL_TRY(el_folder_vocab(f));
    EL_TRY(read_back(f, &config));
    return el_folder_tensors(f, &config);
}

edgellm_status el_folder_open(el_gguf *file, const char *path, edgellm_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) return el_gguf_open(file, path, err);
    el_gguf fresh = {0};
    el_folder f = {.path = path, .file = &fresh, .err = err};
    edgellm_status result = read_folder(&f);
    json_decref(f.config);
    if (result != EDGELLM_OK) {
        el_gguf_close(&fresh);
        return result == EDGELLM_ERR_IO ? result : el_fail_in_file(err, result, path);
    }
    *file = fresh;
    return EDGELLM_OK;
}
