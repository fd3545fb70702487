#include "cli/pull_check.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli_output.h"
#include "cli/pull.h"
#include "format/gguf.h"

enum { SAFETENSORS_HEADER = 100 << 20 }; /* the format's own limit is 100 MB */

static edgellm_status cannot_read(const char *path, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", path, strerror(errno));
}

static uint64_t load64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* ---- kinds --------------------------------------------------------------------------------- */

static el_pull_kind kind_of_bytes(const unsigned char head[9], size_t n)
{
    static const struct {
        const char *magic;
        size_t len;
        el_pull_kind kind;
    } rows[] = {{"GGUF", 4, EL_PULL_GGUF},
                {"\x93TM2\r\n\x1a\n", 8, EL_PULL_TM2},
                {"PK\3\4", 4, EL_PULL_ZIP}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (n >= rows[i].len && memcmp(head, rows[i].magic, rows[i].len) == 0) return rows[i].kind;
    if (n == 9 && head[8] == '{' && load64(head) <= SAFETENSORS_HEADER) return EL_PULL_SAFETENSORS;
    return EL_PULL_OTHER;
}

edgellm_status el_pull_kind_of(const char *path, el_pull_kind *kind, edgellm_error *err)
{
    unsigned char head[9];
    struct stat facts;
    *kind = EL_PULL_OTHER;
    if (stat(path, &facts) != 0) return cannot_read(path, err);
    if (S_ISDIR(facts.st_mode)) {
        char *config;
        EL_CLI_TRY(el_pull_text(&config, err, "%s/config.json", path));
        if (stat(config, &facts) == 0) *kind = EL_PULL_FOLDER;
        free(config);
        return EDGELLM_OK;
    }
    if (!S_ISREG(facts.st_mode)) return EDGELLM_OK;
    FILE *file = fopen(path, "re");
    if (file == NULL) return cannot_read(path, err);
    *kind = kind_of_bytes(head, fread(head, 1, sizeof head, file));
    fclose(file);
    return EDGELLM_OK;
}

/* ---- safetensors --------------------------------------------------------------------------- */

static edgellm_status damaged(const char *name, const char *what, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s' is damaged: %s", name, what);
}

/* The end of the last tensor, as the header has it. */
static uint64_t end_of(json_t *header)
{
    const char *name;
    json_t *tensor;
    json_int_t end = 0;
    json_object_foreach(header, name, tensor)
    {
        const json_t *offsets = json_object_get(tensor, "data_offsets");
        const json_int_t last = json_integer_value(json_array_get(offsets, 1));
        if (last > end) end = last;
    }
    return (uint64_t)end;
}

static edgellm_status check_header(FILE *file, uint64_t bytes, const char *name, edgellm_error *err)
{
    unsigned char head[8];
    json_error_t why;
    if (fread(head, 1, sizeof head, file) != sizeof head)
        return damaged(name, "it is cut off in its header", err);
    const uint64_t n = load64(head);
    if (n > SAFETENSORS_HEADER || n > bytes - sizeof head)
        return damaged(name, "its header is longer than the file, or it is no safetensors file",
                       err);
    char *text = malloc((size_t)n + 1);
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a header");
    const size_t got = fread(text, 1, (size_t)n, file);
    json_t *header = json_loadb(text, got, 0, &why);
    free(text);
    const bool is_object = json_is_object(header);
    const uint64_t end = is_object ? end_of(header) : 0;
    json_decref(header);
    if (el_cli_json_starved())
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a header");
    if (!is_object) return damaged(name, "its header is no JSON", err);
    if (end != bytes - sizeof head - n)
        return damaged(name, "it is not as long as its header says", err);
    return EDGELLM_OK;
}

static edgellm_status check_safetensors(const char *path, edgellm_error *err)
{
    struct stat facts;
    FILE *file = fopen(path, "re");
    if (file == NULL || fstat(fileno(file), &facts) != 0) {
        const edgellm_status status = cannot_read(path, err);
        if (file != NULL) fclose(file);
        return status;
    }
    const edgellm_status status = check_header(file, (uint64_t)facts.st_size, path, err);
    fclose(file);
    return status;
}

/* Whole numbers of any size: "model_max_length" tends to have thirty digits. */
static edgellm_status check_json(const char *path, edgellm_error *err)
{
    json_error_t why;
    json_t *value = json_load_file(path, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &why);
    const bool sound = value != NULL;
    json_decref(value);
    if (el_cli_json_starved()) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for JSON");
    return sound ? EDGELLM_OK : damaged(path, "it is no JSON", err);
}

static bool ends(const char *text, const char *end)
{
    const size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

static edgellm_status check_member(const char *folder, const char *name, edgellm_error *err)
{
    char *path;
    edgellm_status status = EDGELLM_OK;
    EL_CLI_TRY(el_pull_text(&path, err, "%s/%s", folder, name));
    if (ends(name, ".safetensors")) status = check_safetensors(path, err);
    if (ends(name, ".json")) status = check_json(path, err);
    free(path);
    return status;
}

static edgellm_status check_folder(const char *path, edgellm_error *err)
{
    const struct dirent *one;
    edgellm_status status = EDGELLM_OK;
    DIR *folder = opendir(path);
    if (folder == NULL) return cannot_read(path, err);
    while (status == EDGELLM_OK &&
           (one = readdir(folder)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
        status = check_member(path, one->d_name, err);
    closedir(folder);
    return status;
}

/* ---- all ----------------------------------------------------------------------------------- */

static edgellm_status check_gguf(const char *path, edgellm_error *err)
{
    el_gguf file;
    EL_CLI_TRY(el_gguf_open(&file, path, err));
    el_gguf_close(&file);
    return EDGELLM_OK;
}

static edgellm_status check_tm2(const char *path, edgellm_error *err)
{
    edgellm_engine *engine = NULL;
    const edgellm_engine_options options = {.verify = true};
    EL_CLI_TRY(edgellm_engine_open(path, &options, &engine, err));
    edgellm_engine_close(engine);
    return EDGELLM_OK;
}

edgellm_status el_pull_check(const char *path, el_pull_kind kind, edgellm_error *err)
{
    switch (kind) {
    case EL_PULL_GGUF:
        return check_gguf(path, err);
    case EL_PULL_TM2:
        return check_tm2(path, err);
    case EL_PULL_FOLDER:
        return check_folder(path, err);
    default:
        break;
    }
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "what came is no model: neither a GGUF file nor a TM2 file nor a folder "
                       "with config.json and safetensors%s",
                       kind == EL_PULL_SAFETENSORS ? "; of one safetensors file, pull the whole "
                                                     "repository"
                                                   : "");
}
