/*
 * pull_hub.c: hf:OWNER/NAME[:FILE][@REVISION]: Hugging Face, or a mirror that HF_ENDPOINT names.
 * One request says which files a revision has, with sizes and the SHA-256 of the large ones; the
 * files are then asked for by the commit that it names, so that all are of one state.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli_folders.h"
#include "cli/pull_sources.h"
#include "cli/pull_split.h"
#include "cli/pull_url.h"

enum { TOKEN_BYTES = 4096 };

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* ---- the address and the token ------------------------------------------------------------- */

const char *el_pull_hub_address(void)
{
    const char *address = getenv("HF_ENDPOINT");
    return address != NULL && address[0] != '\0' ? address : "https://huggingface.co";
}

/* Of the address without slashes at its end. */
static int address_len(void)
{
    size_t len = strlen(el_pull_hub_address());
    while (len > 0 && el_pull_hub_address()[len - 1] == '/')
        len--;
    return (int)len;
}

/* The file that the hub's own program writes at a login. */
static char *token_file(void)
{
    const char *path = getenv("HF_TOKEN_PATH"), *home = getenv("HF_HOME");
    char *file = NULL;
    if (path != NULL && path[0] != '\0') return strdup(path);
    if (home == NULL || home[0] == '\0')
        return el_cli_user_path("XDG_CACHE_HOME", "/.cache", "huggingface/token");
    return asprintf(&file, "%s/token", home) >= 0 ? file : NULL;
}

/* One word of printable characters, as a header can hold. */
static char *only_word(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = 0;
    while (text[n] > 32 && text[n] < 127)
        n++;
    text[n] = '\0';
    return n > 0 ? strdup(text) : NULL;
}

char *el_pull_hub_token(void)
{
    const char *given = getenv("HF_TOKEN");
    char text[TOKEN_BYTES] = "";
    if (given != NULL && given[0] != '\0') {
        snprintf(text, sizeof text, "%s", given);
        return only_word(text);
    }
    char *path = token_file();
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    free(path);
    if (file == NULL) return NULL;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    return only_word(text);
}

/* ---- hf:OWNER/NAME[:FILE][@REVISION] ------------------------------------------------------- */

static edgellm_status no_source(const char *rest, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'hf:%.150s' is not as it should be: hf:OWNER/NAME[:FILE][@REVISION]", rest);
}

static bool is_place(const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    if (slash == NULL || slash == text || slash + 1 == text + len) return false;
    const size_t owner = (size_t)(slash - text), name = len - owner - 1;
    return text[0] != '.' && slash[1] != '.' && strspn(text, NAME_CHARS) == owner &&
           strspn(slash + 1, NAME_CHARS) >= name;
}

static edgellm_status read_hub(el_pull_source *source, const char *rest, edgellm_error *err)
{
    const size_t place = strcspn(rest, ":@");
    const char *file = rest[place] == ':' ? rest + place + 1 : NULL;
    const char *at = strrchr(file != NULL ? file : rest + place, '@');
    const size_t len = file == NULL ? 0 : at != NULL ? (size_t)(at - file) : strlen(file);
    if (!is_place(rest, place) || (file != NULL && len == 0) || (at != NULL && at[1] == '\0'))
        return no_source(rest, err);
    EL_CLI_TRY(el_pull_text(&source->place, err, "%.*s", (int)place, rest));
    if (file != NULL) EL_CLI_TRY(el_pull_text(&source->file, err, "%.*s", (int)len, file));
    if (at != NULL) EL_CLI_TRY(el_pull_text(&source->revision, err, "%s", at + 1));
    return EDGELLM_OK;
}

/* ---- which files --------------------------------------------------------------------------- */

static bool ends(const char *text, const char *end)
{
    const size_t len = strlen(text), n = strlen(end);
    return len >= n && strcasecmp(text + len - n, end) == 0;
}

static bool begins(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

static const char *path_of(const json_t *file)
{
    const char *path = json_string_value(json_object_get(file, "rfilename"));
    return path != NULL ? path : "";
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* A language model, not what lets one see. */
static bool is_gguf(const char *path)
{
    return ends(path, ".gguf") && !begins(base_of(path), "mmproj");
}

static bool is_tm2(const char *path)
{
    return ends(path, ".tm2.bin");
}

/* A model in parts is one model: its first part stands for it. */
static bool is_gguf_model(const char *path)
{
    el_pull_split split;
    return is_gguf(path) && (!el_pull_split_read(path, &split) || split.number == 1);
}

/* FILE may be a word that one GGUF file alone ends with, or one model in parts: Q4_K_M. */
static bool is_called(const char *path, const char *word)
{
    el_pull_split split;
    const size_t n = strlen(word);
    if (!is_gguf_model(path)) return false;
    if (!el_pull_split_read(path, &split)) split.stem = strlen(path) - 5;
    if (split.stem < n + 1) return false;
    const char *at = path + split.stem - n;
    return strncasecmp(at, word, n) == 0 && strchr("-._", at[-1]) != NULL;
}

/* What belongs to a model that is a folder, but the weights. */
static bool is_of_folder(const char *path)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "tokenizer.model",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "chat_template.json",
                                        "model.safetensors.index.json",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(path, names[i]) == 0) return true;
    return false;
}

typedef struct choice {
    const json_t *files;
    const char *wanted; /* FILE */
    const json_t *only; /* of those that fit */
    size_t fit;
} choice;

static void choose(choice *c, bool (*fits)(const char *path))
{
    c->fit = 0;
    for (size_t i = 0; i < json_array_size(c->files); i++) {
        const json_t *file = json_array_get(c->files, i);
        if (fits != NULL ? !fits(path_of(file)) : !is_called(path_of(file), c->wanted)) continue;
        c->only = file;
        c->fit++;
    }
}

static const json_t *named(const choice *c)
{
    for (size_t i = 0; i < json_array_size(c->files); i++) {
        const json_t *file = json_array_get(c->files, i);
        if (strcmp(path_of(file), c->wanted) == 0) return file;
    }
    return NULL;
}

/* The names of the GGUF files, as far as an error has room for them. */
static edgellm_status ask_which(const choice *c, const char *place, edgellm_error *err)
{
    char names[300] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(c->files); i++) {
        const char *path = path_of(json_array_get(c->files, i));
        if (!is_gguf_model(path)) continue;
        const int n =
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", path);
        if (n < 0 || (size_t)n >= sizeof names - used - 4) {
            stpcpy(names + used, " ...");
            break;
        }
        used += (size_t)n;
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "which file of %.60s? Say hf:OWNER/NAME:FILE; %s%s",
                       place, names[0] != '\0' ? "there are " : "there is no GGUF file", names);
}

/* ---- the plan ------------------------------------------------------------------------------ */

typedef struct hub {
    const el_pull_source *source;
    const char *commit;
    el_pull_plan *plan;
} hub;

static uint64_t size_of(const json_t *file)
{
    const json_t *size = json_object_get(json_object_get(file, "lfs"), "size");
    if (size == NULL) size = json_object_get(file, "size");
    return json_is_integer(size) && json_integer_value(size) >= 0
               ? (uint64_t)json_integer_value(size)
               : EL_PULL_UNKNOWN;
}

/* *url: owned. */
static edgellm_status url_of(const hub *h, const char *file, char **url, edgellm_error *err)
{
    char *path = el_pull_url_escape(file, true), *commit = el_pull_url_escape(h->commit, false);
    *url = NULL;
    edgellm_status status =
        path == NULL || commit == NULL
            ? el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an address")
            : el_pull_text(url, err, "%.*s/%s/resolve/%s/%s", address_len(), el_pull_hub_address(),
                           h->source->place, commit, path);
    free(path);
    free(commit);
    return status;
}

static edgellm_status add(const hub *h, const json_t *file, edgellm_error *err)
{
    char *url;
    const json_t *lfs = json_object_get(file, "lfs");
    const json_t *sum = json_object_get(lfs, "sha256");
    if (sum == NULL) sum = json_object_get(lfs, "oid");
    EL_CLI_TRY(url_of(h, path_of(file), &url, err));
    const edgellm_status status = el_pull_plan_add(h->plan, url, base_of(path_of(file)),
                                                   size_of(file), json_string_value(sum), err);
    free(url);
    return status;
}

/* ---- models in parts ----------------------------------------------------------------------- */

static const json_t *find(const json_t *files, const char *path)
{
    const choice one = {.files = files, .wanted = path};
    return named(&one);
}

static edgellm_status add_part(const hub *h, const json_t *files, const char *wanted,
                               const char *named_by, edgellm_error *err)
{
    if (wanted == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
    const json_t *file = find(files, wanted);
    if (file != NULL) return add(h, file, err);
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "the model lies in several files, and the repository has '%.120s' but not "
                       "'%.120s'",
                       named_by, wanted);
}

/* All parts, whichever is named. */
static edgellm_status add_split(const hub *h, const json_t *files, const char *path,
                                const el_pull_split *split, edgellm_error *err)
{
    h->plan->is_split = true;
    for (unsigned number = 1; number <= split->count; number++) {
        char *part = el_pull_split_name(path, split, number);
        const edgellm_status status = add_part(h, files, part, path, err);
        free(part);
        if (status != EDGELLM_OK) return status;
    }
    const char *base = base_of(path);
    return el_pull_text(&h->plan->title, err, "%.*s.gguf",
                        (int)(split->stem - (size_t)(base - path)), base);
}

static edgellm_status add_one(const hub *h, const json_t *files, const json_t *file,
                              edgellm_error *err)
{
    el_pull_split split;
    if (el_pull_split_read(path_of(file), &split))
        return add_split(h, files, path_of(file), &split, err);
    EL_CLI_TRY(add(h, file, err));
    return el_pull_text(&h->plan->title, err, "%s", base_of(path_of(file)));
}

/* ---- folders ------------------------------------------------------------------------------- */

#define WEIGHTS "model.safetensors"
#define INDEX   "model.safetensors.index.json"

static bool is_weights(const char *path)
{
    return ends(path, ".safetensors") && strchr(path, '/') == NULL;
}

/* The files that hold tensors, by the index; each once. */
static edgellm_status add_indexed(const hub *h, const json_t *files, const json_t *map,
                                  edgellm_error *err)
{
    const char *tensor;
    json_t *value, *seen = json_object();
    edgellm_status status = EDGELLM_OK;
    json_object_foreach((json_t *)map, tensor, value)
    {
        const char *path = json_string_value(value);
        if (path == NULL || !is_weights(path)) {
            status = el_cli_fail(err, EDGELLM_ERR_FORMAT,
                                 INDEX ": tensor '%.100s' has no safetensors file", tensor);
        } else if (json_object_get(seen, path) == NULL) {
            status = add_part(h, files, path, INDEX, err);
            json_object_set_new(seen, path, json_true());
        }
        if (status != EDGELLM_OK) break;
    }
    json_decref(seen);
    return status;
}

/* What a folder's weights are: one file; else those that an index names, and no other copy of them
 * beside; else all that there are. */
static edgellm_status add_weights(const hub *h, const json_t *files, el_pull_web *web,
                                  edgellm_error *err)
{
    if (find(files, WEIGHTS) != NULL) return add(h, find(files, WEIGHTS), err);
    if (find(files, INDEX) != NULL) {
        char *url;
        json_t *index = NULL;
        EL_CLI_TRY(url_of(h, INDEX, &url, err));
        edgellm_status status = el_pull_web_json(web, url, "application/json", &index, err);
        free(url);
        if (status == EDGELLM_OK)
            status = add_indexed(h, files, json_object_get(index, "weight_map"), err);
        json_decref(index);
        return status;
    }
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (is_weights(path_of(file))) EL_CLI_TRY(add(h, file, err));
    }
    return EDGELLM_OK;
}

static edgellm_status add_folder(const hub *h, const json_t *files, el_pull_web *web,
                                 edgellm_error *err)
{
    h->plan->is_folder = true;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (is_of_folder(path_of(file))) EL_CLI_TRY(add(h, file, err));
    }
    EL_CLI_TRY(add_weights(h, files, web, err));
    return el_pull_text(&h->plan->title, err, "%s", base_of(h->source->place));
}

static edgellm_status add_named(const hub *h, choice *c, edgellm_error *err)
{
    const json_t *file = named(c);
    if (file == NULL) {
        choose(c, NULL);
        if (c->fit == 1) file = c->only;
    }
    if (file == NULL) return ask_which(c, h->source->place, err);
    return add_one(h, c->files, file, err);
}

static edgellm_status add_files(const hub *h, const json_t *files, el_pull_web *web,
                                edgellm_error *err)
{
    choice c = {.files = files, .wanted = h->source->file};
    if (c.wanted != NULL) return add_named(h, &c, err);
    choose(&c, is_gguf_model);
    if (c.fit > 1) return ask_which(&c, h->source->place, err);
    if (c.fit == 0) choose(&c, is_tm2);
    if (c.fit == 1) return add_one(h, files, c.only, err);
    choose(&c, is_weights);
    if (c.fit > 0 && find(files, "config.json") != NULL) return add_folder(h, files, web, err);
    return ask_which(&c, h->source->place, err);
}

static edgellm_status plan_hub(const el_pull_source *source, el_pull_web *web, el_pull_plan *plan,
                               edgellm_error *err)
{
    const char *revision = source->revision != NULL ? source->revision : "main";
    char *url = NULL, *escaped = el_pull_url_escape(revision, false);
    json_t *answer = NULL;
    if (escaped == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an address");
    edgellm_status status =
        el_pull_text(&url, err, "%.*s/api/models/%s/revision/%s?blobs=true", address_len(),
                     el_pull_hub_address(), source->place, escaped);
    if (status == EDGELLM_OK) status = el_pull_web_json(web, url, "application/json", &answer, err);
    free(url);
    free(escaped);
    const char *commit = json_string_value(json_object_get(answer, "sha"));
    hub h = {source, commit != NULL ? commit : revision, plan};
    if (status == EDGELLM_OK) status = add_files(&h, json_object_get(answer, "siblings"), web, err);
    if (status == EDGELLM_OK) status = el_pull_text(&plan->revision, err, "%s", h.commit);
    json_decref(answer);
    return status;
}

const el_pull_source_kind el_pull_hub = {"hf:", "hf:OWNER/NAME[:FILE][@REVISION]", read_hub,
                                         plan_hub};
