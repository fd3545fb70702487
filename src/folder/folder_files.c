/* folder_files.c: the files of a folder, mapped, and JSON text, the extent of which is known before
 * it is parsed. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder/folder_work.h"
#include "format/checks.h"

#define MOST_FILES 4096u
#define MOST_TEXT  ((size_t)1 << 27) /* bytes: four times the largest vocabulary in use */
#define MOST_VALUES                                                                                \
    ((size_t)1 << 22) /* likewise, nearly; jansson takes about 100 bytes for one                   \
                       */

static bool make_path(const el_folder *f, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", f->path, name);
    return n > 0 && n < PATH_MAX;
}

bool el_folder_has(const el_folder *f, const char *name)
{
    char path[PATH_MAX];
    return make_path(f, name, path) && access(path, F_OK) == 0;
}

edgellm_status el_folder_map(el_folder *f, const char *name, el_mapfile *map)
{
    char path[PATH_MAX];
    el_gguf *file = f->file;
    if (!make_path(f, name, path))
        return el_fail(f->err, EDGELLM_ERR_IO, "the path of '%.100s' is too long", name);
    if (file->n_shards == MOST_FILES)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED, "more than %u files", MOST_FILES);
    el_mapfile *more = realloc(file->shards, (file->n_shards + (size_t)1) * sizeof *more);
    if (!more) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for the list of files");
    file->shards = more;
    EL_TRY(el_mapfile_open(map, path, f->err));
    more[file->n_shards++] = *map;
    return EDGELLM_OK;
}

/* Each value but the first stands behind one of these; inside of texts they count too. */
static bool has_too_many(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
    return n > MOST_VALUES;
}

/* Where jansson finds no memory in the middle of a text, it goes on without a part of it: so its
 * allocator, one a process, is watched while it parses. */
static json_malloc_t allocate;
static bool ran_out;

static void *watched(size_t bytes)
{
    void *memory = allocate(bytes);
    ran_out |= memory == NULL;
    return memory;
}

static json_t *parse(const char *text, size_t len, json_error_t *error)
{
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    ran_out = false;
    json_set_alloc_funcs(watched, release);
    /* some write numbers over 64 bits for "no limit" */
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, error);
    json_set_alloc_funcs(allocate, release);
    if (!ran_out) return json;
    json_decref(json);
    return NULL;
}

static edgellm_status not_json(const el_folder *f, const char *name, const json_error_t *error)
{
    if (ran_out) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for %s", name);
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "%s, line %d, column %d: %s", name, error->line,
                   error->column, error->text);
}

edgellm_status el_folder_parse(el_folder *f, const char *name, const char *text, size_t len,
                               json_t **json)
{
    json_error_t error;
    if (len > MOST_TEXT || has_too_many(text, len))
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       "%s: more than %zu bytes, or %zu values, of JSON", name, MOST_TEXT,
                       MOST_VALUES);
    *json = parse(text, len, &error);
    if (!*json) return not_json(f, name, &error);
    if (json_is_object(*json)) return EDGELLM_OK;
    json_decref(*json);
    *json = NULL;
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "%s: it is not a JSON object", name);
}

edgellm_status el_folder_json(el_folder *f, const char *name, json_t **json)
{
    el_mapfile map;
    *json = NULL;
    if (!el_folder_has(f, name)) return EDGELLM_OK;
    EL_TRY(el_folder_map(f, name, &map));
    return el_folder_parse(f, name, (const char *)map.data, map.size, json);
}

/* ---- values of objects -------------------------------------------------------------------- */

const char *el_folder_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

edgellm_status el_folder_number(const el_folder *f, const char *name, const json_t *object,
                                const char *key, double fallback, double *value)
{
    const json_t *found = json_object_get(object, key);
    *value = fallback;
    if (!found || json_is_null(found)) return EDGELLM_OK;
    if (!json_is_number(found))
        return el_fail(f->err, EDGELLM_ERR_FORMAT, "%s: '%s' is not a number", name, key);
    *value = json_number_value(found);
    return EDGELLM_OK;
}

edgellm_status el_folder_u32(const el_folder *f, const char *name, const json_t *object,
                             const char *key, uint32_t fallback, uint32_t *value)
{
    double number;
    EL_TRY(el_folder_number(f, name, object, key, fallback, &number));
    if (!(number >= 0 && number <= UINT32_MAX) || number != (double)(uint32_t)number)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "%s: '%s' is %g, not a whole number from 0 to %u", name, key, number,
                       UINT32_MAX);
    *value = (uint32_t)number;
    return EDGELLM_OK;
}
