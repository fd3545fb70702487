#include "cli/cli_prompt_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fnv.h"
#include "cli/cli_folders.h"
#include "cli/cli_output.h"
#include "cli/cli_stats.h"

/* A file of another version has another note. */
#define NOTE_BEGIN "edgellm "
#define NOTE_END   " prompt cache"
#define NOTE       NOTE_BEGIN EDGELLM_VERSION NOTE_END

enum { PLACES = 2, NOTE_ROOM = 64 };

static bool is_named(const el_cli_prompt_cache *c)
{
    return c->asked != NULL && c->asked[0] != '\0';
}

void el_cli_prompt_cache_open(el_cli_prompt_cache *c, const char *asked, const char *model_path,
                              const edgellm_session_options *session)
{
    const uint32_t bits = session->kv_bits == 8 ? 0 : session->kv_bits;
    *c = (el_cli_prompt_cache){
        .asked = asked, .model_path = model_path, .mode = (uint8_t)(session->exact + 2 * bits)};
}

void el_cli_prompt_cache_release(el_cli_prompt_cache *c)
{
    free(c->path);
    c->path = NULL;
}

/* ---- places ------------------------------------------------------------------------------- */

static void hash_tokens(el_cli_prompt_cache *c, const edgellm_model_info *info, const uint32_t *ids)
{
    c->hash = el_fnv(EDGELLM_HASH_START, &c->mode, 1);
    c->hash = el_fnv(c->hash, ids, c->tokens * sizeof *ids);
    c->hash_elsewhere = el_fnv(c->hash, info->identity, sizeof info->identity);
}

static char *name_in(const char *folder, const char *model, uint64_t hash)
{
    char *path = NULL;
    const int n = asprintf(&path, "%s%s%s.prompt-%016llx.els", folder, folder[0] != '\0' ? "/" : "",
                           model, (unsigned long long)hash);
    return n < 0 ? NULL : path;
}

static char *beside(const el_cli_prompt_cache *c)
{
    return name_in("", c->model_path, c->hash);
}

static char *named(const el_cli_prompt_cache *c)
{
    return strdup(c->asked);
}

static char *elsewhere(const el_cli_prompt_cache *c)
{
    const char *slash = strrchr(c->model_path, '/');
    const char *model = slash != NULL ? slash + 1 : c->model_path;
    char *folder = el_cli_cache_folder(NULL);
    char *path = name_in(folder != NULL ? folder : "", model, c->hash_elsewhere);
    const bool nowhere = folder == NULL && path != NULL;
    free(folder);
    if (nowhere) path[0] = '\0';
    return path;
}

/* Where to look, and to keep: place 0, then place 1. *path is owned; "": there is no such place. */
static edgellm_status place(const el_cli_prompt_cache *c, int index, char **path,
                            edgellm_error *err)
{
    if (is_named(c))
        *path = index == 0 ? named(c) : strdup("");
    else
        *path = index == 0 ? beside(c) : elsewhere(c);
    if (*path != NULL) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the name of a prompt cache");
}

/* ---- files that are not used -------------------------------------------------------------- */

/* Is a whole file the prompt cache of any version? */
static edgellm_status check_ours(const char *path, bool *ours, edgellm_error *err)
{
    const size_t begin = strlen(NOTE_BEGIN), end = strlen(NOTE_END);
    char note[NOTE_ROOM];
    size_t len = 0;
    EL_CLI_TRY(edgellm_session_note(path, note, sizeof note, &len, err));
    *ours = len >= begin + end && len <= sizeof note && memcmp(note, NOTE_BEGIN, begin) == 0 &&
            memcmp(note + len - end, NOTE_END, end) == 0;
    return EDGELLM_OK;
}

edgellm_status el_cli_prompt_cache_check(const el_cli_prompt_cache *c, edgellm_error *err)
{
    bool ours = false;
    edgellm_error why = {EDGELLM_OK, ""};
    if (!is_named(c) || access(c->asked, F_OK) != 0) return EDGELLM_OK;
    const edgellm_status status = check_ours(c->asked, &ours, &why);
    if (status == EDGELLM_OK && ours) return EDGELLM_OK;
    if (status == EDGELLM_OK)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "'%.150s' is a session, but no prompt cache, and is not overwritten: "
                           "name another file",
                           c->asked);
    return el_cli_fail(err, status, "%.300s; it is not overwritten: remove it or name another file",
                       why.message);
}

/* A file that cannot be used: the tokens are computed, unless it is not to be replaced. */
static edgellm_status pass_over(const el_cli_prompt_cache *c, const edgellm_error *why,
                                edgellm_error *err)
{
    if (why->status == EDGELLM_ERR_MEMORY || (why->status == EDGELLM_ERR_IO && is_named(c))) {
        *err = *why;
        return why->status;
    }
    EL_CLI_TRY(el_cli_prompt_cache_check(c, err));
    fprintf(stderr, "note: the prompt cache is not used: %s\n", why->message);
    return EDGELLM_OK;
}

/* ---- loading ------------------------------------------------------------------------------ */

/* Takes over the path. */
static edgellm_status try_file(el_cli_prompt_cache *c, char *path, const el_cli_model *model,
                               const uint32_t *ids, edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    edgellm_status status =
        edgellm_session_load_prefix(model->session, path, ids, c->tokens, NOTE, strlen(NOTE), &why);
    c->hit = status == EDGELLM_OK;
    if (c->hit)
        c->path = path;
    else
        free(path);
    return c->hit ? EDGELLM_OK : pass_over(c, &why, err);
}

static edgellm_status look(el_cli_prompt_cache *c, const el_cli_model *model, const uint32_t *ids,
                           edgellm_error *err)
{
    for (int i = 0; i < PLACES && !c->hit; i++) {
        char *path;
        EL_CLI_TRY(place(c, i, &path, err));
        if (access(path, F_OK) == 0)
            EL_CLI_TRY(try_file(c, path, model, ids, err));
        else
            free(path);
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_prompt_cache_load(el_cli_prompt_cache *c, const el_cli_model *model,
                                        const uint32_t *ids, size_t n, edgellm_error *err)
{
    const double began = el_cli_now_ms();
    el_cli_prompt_cache_release(c);
    c->hit = c->kept = c->consulted = false;
    if (c->asked == NULL || n == 0 || n > UINT32_MAX) return EDGELLM_OK;
    c->consulted = true;
    c->tokens = (uint32_t)n;
    hash_tokens(c, &model->info, ids);
    EL_CLI_TRY(look(c, model, ids, err));
    c->load_ms = el_cli_now_ms() - began;
    return EDGELLM_OK;
}

/* ---- keeping ------------------------------------------------------------------------------ */

/* Where a window has left the prompt behind, it is computed once more. */
static edgellm_status save_to(const el_cli_prompt_cache *c, const char *path,
                              const el_cli_model *model, edgellm_error *err)
{
    edgellm_session *s = model->session;
    const edgellm_status status =
        edgellm_session_save_prefix(s, c->tokens, path, NOTE, strlen(NOTE), err);
    if (status != EDGELLM_ERR_CONTEXT) return status;
    EL_CLI_TRY(edgellm_session_truncate(s, 0, err));
    EL_CLI_TRY(edgellm_session_eval(s, edgellm_session_tokens(s), c->tokens, NULL, err));
    return edgellm_session_save_prefix(s, c->tokens, path, NOTE, strlen(NOTE), err);
}

static edgellm_status keep_in(el_cli_prompt_cache *c, int index, const el_cli_model *model,
                              edgellm_error *err)
{
    char *path;
    EL_CLI_TRY(place(c, index, &path, err));
    if (index > 0) el_cli_make_folders(path);
    edgellm_status status = save_to(c, path, model, err);
    c->kept = status == EDGELLM_OK;
    if (c->kept)
        c->path = path;
    else
        free(path);
    return status;
}

edgellm_status el_cli_prompt_cache_save(el_cli_prompt_cache *c, const el_cli_model *model,
                                        edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""}, other = {EDGELLM_OK, ""};
    if (!c->consulted || c->hit || c->kept) return EDGELLM_OK;
    if (edgellm_session_position(model->session) < c->tokens) return EDGELLM_OK; /* broken off */
    if (keep_in(c, 0, model, &why) == EDGELLM_OK) return EDGELLM_OK;
    if (is_named(c)) {
        *err = why;
        return why.status;
    }
    if (keep_in(c, 1, model, &other) == EDGELLM_OK)
        fprintf(stderr, "note: the prompt cache is kept as %s: %s\n", c->path, why.message);
    else
        fprintf(stderr, "note: the prompt cache is not kept: %s\n", why.message);
    return EDGELLM_OK;
}

/* ---- reports ------------------------------------------------------------------------------ */

json_t *el_cli_prompt_cache_json(const el_cli_prompt_cache *c)
{
    if (!c->consulted) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "file",
                        c->path != NULL ? el_cli_json_text(c->path, strlen(c->path)) : json_null());
    json_object_set_new(o, "hit", json_boolean(c->hit));
    json_object_set_new(o, "kept", json_boolean(c->kept));
    json_object_set_new(o, "tokens", json_integer(c->tokens));
    json_object_set_new(o, "load_ms", c->hit ? json_real(c->load_ms) : json_null());
    return o;
}

void el_cli_prompt_cache_print(const el_cli_prompt_cache *c)
{
    if (!c->consulted) return;
    fprintf(stderr, " | prompt cache: %u tokens ", c->tokens);
    if (c->hit)
        fprintf(stderr, "in %.1f ms", c->load_ms);
    else
        fprintf(stderr, "%s", c->kept ? "kept for the next start" : "not kept");
}
