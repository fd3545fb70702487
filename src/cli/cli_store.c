#include "cli/cli_store.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_folders.h"
#include "cli/cli_output.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static edgellm_status no_memory(edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the store of models");
}

/* ---- places -------------------------------------------------------------------------------- */

edgellm_status el_cli_store_root(char **root, edgellm_error *err)
{
    const char *chosen = getenv("EDGELLM_HOME");
    const bool is_chosen = chosen != NULL && chosen[0] != '\0';
    *root =
        is_chosen ? strdup(chosen) : el_cli_user_path("XDG_DATA_HOME", "/.local/share", "edgellm");
    if (*root != NULL) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "there is no place for models: neither EDGELLM_HOME nor XDG_DATA_HOME nor "
                       "HOME names a folder");
}

bool el_cli_store_is_name(const char *word)
{
    const size_t len = strlen(word);
    return len > 0 && len <= EL_CLI_STORE_NAME_MAX && strspn(word, NAME_CHARS "._-") == len &&
           strspn(word, NAME_CHARS) > 0;
}

edgellm_status el_cli_store_path(const char *root, const char *part, const char *name,
                                 const char *file, char **path, edgellm_error *err)
{
    const char *slash = file != NULL ? "/" : "", *last = file != NULL ? file : "";
    if (asprintf(path, "%s/%s/%s%s%s", root, part, name, slash, last) >= 0) return EDGELLM_OK;
    *path = NULL;
    return no_memory(err);
}

/* ---- entries ------------------------------------------------------------------------------- */

/* A name of a file in the entry's own folder, nothing that leads elsewhere. */
static bool is_plain(const json_t *name)
{
    const char *text = json_string_value(name);
    return name == NULL || (text != NULL && text[0] != '\0' && strchr(text, '/') == NULL &&
                            strcmp(text, "..") != 0);
}

static bool is_sound(const json_t *entry)
{
    const json_t *files = json_object_get(entry, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i), *name = json_object_get(file, "name");
        if (name == NULL || !is_plain(name)) return false;
        if (!json_is_integer(json_object_get(file, "bytes"))) return false;
    }
    return json_is_array(files) && json_is_string(json_object_get(entry, "source")) &&
           is_plain(json_object_get(entry, "model")) && is_plain(json_object_get(entry, "origin"));
}

edgellm_status el_cli_store_read(const char *root, const char *name, json_t **entry,
                                 edgellm_error *err)
{
    char *path;
    json_error_t why;
    *entry = NULL;
    if (!el_cli_store_is_name(name))
        return el_cli_fail(err, EDGELLM_ERR_IO, "'%.150s' is no name of a model in the store",
                           name);
    EL_CLI_TRY(el_cli_store_path(root, EL_CLI_STORE_MODELS, name, EL_CLI_STORE_ENTRY, &path, err));
    const bool there = access(path, F_OK) == 0;
    json_t *read = there ? json_load_file(path, JSON_REJECT_DUPLICATES, &why) : NULL;
    free(path);
    if (!there)
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "there is no model '%.150s' in the store (see edgellm list)", name);
    if (el_cli_json_starved()) {
        json_decref(read);
        return no_memory(err);
    }
    if (is_sound(read)) {
        *entry = read;
        return EDGELLM_OK;
    }
    json_decref(read);
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "the entry of '%.150s' in the store is damaged: remove it with 'edgellm rm' "
                       "and pull it again",
                       name);
}

const char *el_cli_store_file(const json_t *entry, bool to_quantize)
{
    const char *model = json_string_value(json_object_get(entry, "model"));
    const char *origin = json_string_value(json_object_get(entry, "origin"));
    if (to_quantize) return origin;
    return model != NULL ? model : origin;
}

uint64_t el_cli_store_bytes(const json_t *entry)
{
    const json_t *files = json_object_get(entry, "files");
    json_int_t sum = 0;
    for (size_t i = 0; i < json_array_size(files); i++)
        sum += json_integer_value(json_object_get(json_array_get(files, i), "bytes"));
    return (uint64_t)sum;
}

/* ---- names --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void el_cli_store_forget(el_cli_store_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
    *names = (el_cli_store_names){NULL, 0};
}

static bool add(el_cli_store_names *names, const char *name)
{
    char **more = realloc(names->name, (names->n + 1) * sizeof *more);
    if (more == NULL) return false;
    names->name = more;
    names->name[names->n] = strdup(name);
    return names->name[names->n] != NULL && ++names->n > 0;
}

static bool read_names(DIR *folder, el_cli_store_names *names)
{
    const struct dirent *one;
    bool kept = true;
    while (kept && (one = readdir(folder)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (el_cli_store_is_name(one->d_name)) kept = add(names, one->d_name);
    }
    if (names->n > 1) qsort(names->name, names->n, sizeof *names->name, by_text);
    return kept;
}

edgellm_status el_cli_store_list(const char *root, const char *part, el_cli_store_names *names,
                                 edgellm_error *err)
{
    char *path;
    *names = (el_cli_store_names){NULL, 0};
    EL_CLI_TRY(el_cli_store_path(root, part, ".", NULL, &path, err));
    DIR *folder = opendir(path);
    const int error = errno;
    free(path);
    if (folder == NULL && error == ENOENT) return EDGELLM_OK;
    if (folder == NULL)
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read the store in '%.200s': %s", root,
                           strerror(error));
    const bool kept = read_names(folder, names);
    closedir(folder);
    if (kept) return EDGELLM_OK;
    el_cli_store_forget(names);
    return no_memory(err);
}

edgellm_status el_cli_store_find(const char *word, bool to_quantize, char **path,
                                 edgellm_error *err)
{
    edgellm_error none = {EDGELLM_OK, ""};
    char *root, *place = NULL;
    json_t *entry = NULL;
    *path = NULL;
    if (!el_cli_store_is_name(word) || access(word, F_OK) == 0) return EDGELLM_OK;
    if (el_cli_store_root(&root, &none) != EDGELLM_OK) return EDGELLM_OK;
    edgellm_status status =
        el_cli_store_path(root, EL_CLI_STORE_MODELS, word, EL_CLI_STORE_ENTRY, &place, err);
    const bool there = status == EDGELLM_OK && access(place, F_OK) == 0;
    free(place);
    if (there) status = el_cli_store_read(root, word, &entry, err);
    const char *file = entry != NULL ? el_cli_store_file(entry, to_quantize) : NULL;
    if (file != NULL) status = el_cli_store_path(root, EL_CLI_STORE_MODELS, word, file, path, err);
    if (entry != NULL && file == NULL)
        status = el_cli_fail(err, EDGELLM_ERR_FORMAT,
                             "'%.150s' in the store holds nothing to %s (see edgellm show)", word,
                             to_quantize ? "quantize: pull it with --keep-source" : "run");
    json_decref(entry);
    free(root);
    return status;
}

/* ---- removing ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

bool el_cli_store_remove_tree(const char *path)
{
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
}

/* Out of models/ first, in one step: nobody sees a model of which a part is gone. */
static edgellm_status take_out(const char *root, const char *name, char **path, edgellm_error *err)
{
    char *aside = NULL, unique[64];
    snprintf(unique, sizeof unique, "removed-%ld", (long)getpid());
    EL_CLI_TRY(el_cli_store_path(root, EL_CLI_STORE_PARTIAL, unique, NULL, &aside, err));
    const bool moved = el_cli_make_folders(aside) && rename(*path, aside) == 0;
    const int error = errno;
    if (!moved) {
        free(aside);
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot remove '%.150s' from the store: %s", name,
                           strerror(error));
    }
    free(*path);
    *path = aside;
    return EDGELLM_OK;
}

edgellm_status el_cli_store_remove(const char *root, const char *part, const char *name,
                                   edgellm_error *err)
{
    char *path;
    if (!el_cli_store_is_name(name))
        return el_cli_fail(err, EDGELLM_ERR_IO, "'%.150s' is no name of a model in the store",
                           name);
    EL_CLI_TRY(el_cli_store_path(root, part, name, NULL, &path, err));
    edgellm_status status = EDGELLM_OK;
    if (access(path, F_OK) != 0)
        status = el_cli_fail(err, EDGELLM_ERR_IO,
                             "there is no model '%.150s' in the store (see edgellm list)", name);
    if (status == EDGELLM_OK && strcmp(part, EL_CLI_STORE_MODELS) == 0)
        status = take_out(root, name, &path, err);
    if (status == EDGELLM_OK && !el_cli_store_remove_tree(path))
        status = el_cli_fail(err, EDGELLM_ERR_IO, "cannot remove all of '%.200s': %s", path,
                             strerror(errno));
    free(path);
    return status;
}
