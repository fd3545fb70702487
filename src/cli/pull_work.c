#include "cli/pull_work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/outfile.h"
#include "cli/cli_folders.h"
#include "cli/cli_output.h"
#include "cli/cli_store.h"
#include "cli/pull.h"
#include "cli/pull_sum.h"

#define FILES "files"
#define ENTRY "entry" /* the folder of the entry that is being made */

static edgellm_status cannot(const char *what, const char *path, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot %s '%.250s': %s", what, path, strerror(errno));
}

static edgellm_status write_json(json_t *value, const char *path, edgellm_error *err)
{
    el_outfile out;
    char *text = el_cli_json_dump(json_incref(value), JSON_INDENT(2));
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an entry");
    edgellm_status status = el_outfile_create(&out, path, err);
    if (status == EDGELLM_OK) {
        el_outfile_write(&out, text, strlen(text));
        el_outfile_write(&out, "\n", 1);
        status = el_outfile_commit(&out, err);
    }
    free(text);
    return status;
}

/* ---- the folder ---------------------------------------------------------------------------- */

/* The name still leads to what is locked: whoever had the lock before may have removed it. */
static bool is_named(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static edgellm_status lock_folder(el_pull_work *work, edgellm_error *err)
{
    for (int round = 0; round < 100; round++) {
        if (mkdir(work->folder, 0700) != 0 && errno != EEXIST) break;
        work->lock = open(work->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (work->lock < 0 && errno != ENOENT) break;
        if (work->lock < 0) continue;
        if (flock(work->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            return el_cli_fail(err, EDGELLM_ERR_IO, "another process is fetching this source now");
        if (is_named(work->lock, work->folder)) return EDGELLM_OK;
        close(work->lock);
        work->lock = -1;
    }
    return cannot("make the folder", work->folder, err);
}

static edgellm_status name_source(const el_pull_work *work, const char *source, edgellm_error *err)
{
    char *path;
    EL_CLI_TRY(el_pull_text(&path, err, "%s/" EL_CLI_STORE_SOURCE, work->folder));
    json_t *about = json_pack("{s:s}", "source", source);
    edgellm_status status = EDGELLM_OK;
    if (about == NULL) status = el_cli_fail(err, EDGELLM_ERR_USAGE, "the source is no UTF-8 text");
    if (status == EDGELLM_OK && json_dump_file(about, path, JSON_COMPACT) != 0)
        status = cannot("write", path, err);
    json_decref(about);
    free(path);
    return status;
}

static edgellm_status prepare(el_pull_work *work, const char *source, edgellm_error *err)
{
    el_pull_hex key;
    el_pull_sum_text(source, key);
    if (key[0] == '\0') return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a SHA-256");
    key[32] = '\0';
    EL_CLI_TRY(el_cli_store_path(work->root, EL_CLI_STORE_PARTIAL, key, NULL, &work->folder, err));
    if (!el_cli_make_folders(work->folder)) return cannot("make the folder", work->folder, err);
    EL_CLI_TRY(lock_folder(work, err));
    EL_CLI_TRY(el_pull_text(&work->files, err, "%s/" FILES, work->folder));
    if (mkdir(work->files, 0700) != 0 && errno != EEXIST)
        return cannot("make the folder", work->files, err);
    return name_source(work, source, err);
}

edgellm_status el_pull_work_open(el_pull_work *work, char *root, const char *source,
                                 edgellm_error *err)
{
    *work = (el_pull_work){.root = root, .lock = -1};
    const edgellm_status status = prepare(work, source, err);
    if (status != EDGELLM_OK) el_pull_work_close(work, false);
    return status;
}

/* Holds no byte of a model: notes alone are not worth going on with. */
static bool is_empty(const el_pull_work *work)
{
    const struct dirent *one;
    struct stat facts;
    DIR *folder = work->files != NULL ? opendir(work->files) : NULL;
    bool empty = true;
    if (folder == NULL) return work->files != NULL;
    while (empty && (one = readdir(folder)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        const size_t len = strlen(one->d_name);
        if (len > 6 && strcmp(one->d_name + len - 6, ".about") == 0) continue;
        empty = fstatat(dirfd(folder), one->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
                !S_ISREG(facts.st_mode) || facts.st_size == 0;
    }
    closedir(folder);
    return empty;
}

void el_pull_work_close(el_pull_work *work, bool done)
{
    if (work->lock >= 0 && (done || is_empty(work))) el_cli_store_remove_tree(work->folder);
    if (work->lock >= 0) close(work->lock);
    free(work->root);
    free(work->folder);
    free(work->files);
    *work = (el_pull_work){.lock = -1};
}

edgellm_status el_pull_work_path(const el_pull_work *work, const char *name, char **path,
                                 edgellm_error *err)
{
    return el_pull_text(path, err, "%s/%s", work->files, name);
}

/* ---- the entry ----------------------------------------------------------------------------- */

edgellm_status el_pull_work_begin(const el_pull_work *work, edgellm_error *err)
{
    char *path;
    EL_CLI_TRY(el_pull_text(&path, err, "%s/" ENTRY, work->folder));
    const bool made = el_cli_store_remove_tree(path) && mkdir(path, 0700) == 0;
    edgellm_status status = made ? EDGELLM_OK : cannot("make the folder", path, err);
    free(path);
    return status;
}

static edgellm_status sum_of(const char *path, uint64_t *bytes, bool wanted, el_pull_hex hex,
                             edgellm_error *err)
{
    struct stat facts;
    el_pull_sum sum = {NULL};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cannot("open", path, err);
    edgellm_status status = EDGELLM_OK;
    if (fsync(fd) != 0 || fstat(fd, &facts) != 0) status = cannot("read", path, err);
    if (status == EDGELLM_OK) *bytes = (uint64_t)facts.st_size;
    if (status == EDGELLM_OK && wanted) status = el_pull_sum_begin(&sum, err);
    if (status == EDGELLM_OK && wanted) status = el_pull_sum_file(&sum, fd, *bytes, err);
    if (wanted) el_pull_sum_end(&sum, hex);
    close(fd);
    return status;
}

edgellm_status el_pull_work_add(const el_pull_work *work, json_t *entry, const char *path,
                                const char *sha256, edgellm_error *err)
{
    char *to;
    el_pull_hex hex;
    uint64_t bytes = 0;
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    EL_CLI_TRY(sum_of(path, &bytes, sha256 == NULL, hex, err));
    EL_CLI_TRY(el_pull_text(&to, err, "%s/" ENTRY "/%s", work->folder, name));
    /* A second name, so that a death before the end loses nothing; where there is no such thing,
     * the only name. */
    edgellm_status status = EDGELLM_OK;
    if (link(path, to) != 0 && rename(path, to) != 0) status = cannot("move", path, err);
    free(to);
    if (status == EDGELLM_OK)
        json_array_append_new(json_object_get(entry, "files"),
                              json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)bytes,
                                        "sha256", sha256 != NULL ? sha256 : hex));
    return status;
}

static void sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd); /* a folder that cannot be synced is no failure: all is in place */
    close(fd);
}

/* To a free name, or in exchange for what has it. Where a file system cannot exchange, what has it
 * goes aside first, so that for a moment nothing is there. */
static bool move_in(const char *from, const char *to)
{
    char *aside = NULL;
    if (rename(from, to) == 0) return true; /* an empty folder counts as none */
    if (errno != ENOTEMPTY && errno != EEXIST) return false;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0) return true;
    if (asprintf(&aside, "%s.old", from) < 0) return false;
    const bool moved =
        el_cli_store_remove_tree(aside) && rename(to, aside) == 0 && rename(from, to) == 0;
    free(aside);
    return moved;
}

edgellm_status el_pull_work_keep(const el_pull_work *work, json_t *entry, const char *name,
                                 edgellm_error *err)
{
    char *from = NULL, *to = NULL, *about = NULL;
    edgellm_status status = el_pull_text(&from, err, "%s/" ENTRY, work->folder);
    if (status == EDGELLM_OK) status = el_pull_text(&about, err, "%s/" EL_CLI_STORE_ENTRY, from);
    if (status == EDGELLM_OK)
        status = el_cli_store_path(work->root, EL_CLI_STORE_MODELS, name, NULL, &to, err);
    if (status == EDGELLM_OK) status = write_json(entry, about, err);
    if (status == EDGELLM_OK) {
        sync_folder(from);
        if (!el_cli_make_folders(to) || !move_in(from, to)) status = cannot("make", to, err);
    }
    if (status == EDGELLM_OK) {
        stpcpy(strrchr(to, '/'), "");
        sync_folder(to); /* models/ */
    }
    free(from);
    free(to);
    free(about);
    return status;
}
