#include "cli/cli_model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_folders.h"
#include "cli/cli_lora.h"
#include "cli/cli_signals.h"

edgellm_status el_cli_model_open(el_cli_model *model, const char *path,
                                 const edgellm_engine_options *options, edgellm_error *err)
{
    edgellm_engine_options o = *options;
    char *cache = el_cli_cache_folder(NULL);
    memset(model, 0, sizeof *model);
    if (cache != NULL) el_cli_make_folders(cache); /* those above it; else the choice is not kept */
    o.kernel_cache = cache;
    edgellm_status status = edgellm_engine_open(path, &o, &model->engine, err);
    free(cache);
    if (status == EDGELLM_OK) edgellm_engine_info(model->engine, &model->info);
    return status;
}

edgellm_status el_cli_model_open_adapted(el_cli_model *model, const char *path,
                                         const el_cli_model_values *values, edgellm_error *err)
{
    edgellm_engine_options o = values->engine;
    o.copy |= values->session.realtime;
    el_cli_lora lora = {.n = 0};
    edgellm_status status = el_cli_lora_read(&lora, &values->lora, err);
    o.adapters = lora.list;
    o.n_adapters = lora.n;
    if (status == EDGELLM_OK) status = el_cli_model_open(model, path, &o, err);
    el_cli_lora_release(&lora);
    return status;
}

edgellm_status el_cli_model_start(el_cli_model *model, const edgellm_session_options *options,
                                  edgellm_error *err)
{
    return edgellm_session_open(model->engine, options, &model->session, err);
}

void el_cli_model_close(el_cli_model *model)
{
    edgellm_session_close(model->session);
    edgellm_engine_close(model->engine);
    memset(model, 0, sizeof *model);
}

/* ---- files -------------------------------------------------------------------------------- */

static edgellm_status grow(el_cli_bytes *bytes, size_t *room, edgellm_error *err)
{
    size_t wanted = *room > 0 ? *room * 2 : 65536;
    char *text = wanted > *room ? realloc(bytes->text, wanted) : NULL;
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read the text");
    bytes->text = text;
    *room = wanted;
    return EDGELLM_OK;
}

static edgellm_status read_all(int fd, const char *title, el_cli_bytes *bytes, edgellm_error *err)
{
    size_t room = 0;
    ssize_t n;
    do {
        if (room - bytes->len < 2) EL_CLI_TRY(grow(bytes, &room, err));
        if (!el_cli_wait_for_input(fd)) {
            return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        }
        n = read(fd, bytes->text + bytes->len, room - bytes->len - 1);
        if (n < 0 && errno != EINTR) {
            return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read %.200s: %s", title,
                               strerror(errno));
        }
        if (n > 0) bytes->len += (size_t)n;
    } while (n != 0);
    bytes->text[bytes->len] = '\0';
    return EDGELLM_OK;
}

edgellm_status el_cli_read(const char *path, el_cli_bytes *bytes, edgellm_error *err)
{
    bool from_stdin = strcmp(path, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    el_cli_bytes whole = {NULL, 0};
    if (fd < 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot open %.200s: %s", path, strerror(errno));
    }
    edgellm_status status = read_all(fd, from_stdin ? "standard input" : path, &whole, err);
    if (!from_stdin) close(fd);
    if (status == EDGELLM_OK) {
        *bytes = whole;
    } else {
        free(whole.text);
    }
    return status;
}

/* ---- tokens ------------------------------------------------------------------------------- */

/* *count: how many there are, also when there is not room for all of them. */
static edgellm_status tokenize_into(const edgellm_engine *engine, const char *text, size_t len,
                                    unsigned flags, size_t room, uint32_t **ids, size_t *count,
                                    edgellm_error *err)
{
    *ids = room < SIZE_MAX / 8 ? malloc(room * sizeof **ids) : NULL;
    if (*ids == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the tokens");
    edgellm_status status = edgellm_tokenize(engine, text, len, flags, *ids, room, count, err);
    if (status == EDGELLM_OK && *count <= room) return EDGELLM_OK;
    free(*ids);
    *ids = NULL;
    return status;
}

edgellm_status el_cli_tokenize(const edgellm_engine *engine, const char *text, size_t len,
                               unsigned flags, el_cli_tokens *tokens, edgellm_error *err)
{
    /* Nearly every text has at most one token a byte, so one pass is enough; before them may come a
     * space and the token of a beginning. Spaces before each part, and NFC, can make it more. */
    size_t count = 0;
    uint32_t *ids;
    const size_t room = len < SIZE_MAX / 8 ? len + 2 : SIZE_MAX;
    EL_CLI_TRY(tokenize_into(engine, text, len, flags, room, &ids, &count, err));
    if (ids == NULL) EL_CLI_TRY(tokenize_into(engine, text, len, flags, count, &ids, &count, err));
    *tokens = (el_cli_tokens){ids, count};
    return EDGELLM_OK;
}

edgellm_status el_cli_lay_out(const edgellm_engine *engine, const edgellm_message *messages,
                              size_t n, unsigned flags, el_cli_tokens *tokens, edgellm_error *err)
{
    size_t count = 0;
    EL_CLI_TRY(edgellm_chat_prompt(engine, messages, n, flags, NULL, 0, &count, err));
    uint32_t *ids = count < SIZE_MAX / 8 ? malloc((count + 1) * sizeof *ids) : NULL;
    if (ids == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the messages");
    edgellm_status status =
        edgellm_chat_prompt(engine, messages, n, flags, ids, count, &count, err);
    if (status != EDGELLM_OK) {
        free(ids);
        return status;
    }
    *tokens = (el_cli_tokens){ids, count};
    return EDGELLM_OK;
}

edgellm_status el_cli_detokenize(const edgellm_engine *engine, const uint32_t *ids, size_t count,
                                 bool special, el_cli_bytes *bytes, edgellm_error *err)
{
    size_t len = 0;
    EL_CLI_TRY(edgellm_detokenize(engine, ids, count, special, NULL, 0, &len, err));
    char *text = len < SIZE_MAX ? malloc(len + 1) : NULL;
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the text");
    edgellm_status status = edgellm_detokenize(engine, ids, count, special, text, len, &len, err);
    if (status != EDGELLM_OK) {
        free(text);
        return status;
    }
    text[len] = '\0';
    *bytes = (el_cli_bytes){text, len};
    return EDGELLM_OK;
}
