/*
 * cli_chat_file.c: a conversation as a session file. Tokens, cache and sampler are the library's;
 * the rest is the file's note, in JSON:
 *
 *   format      "edgellm chat", version 1
 *   system      the system message; null: the chat template's own
 *   parameters  {NAME: VALUE as typed}
 *   position    tokens in the session
 *   ahead       token ids that follow them and are not computed yet
 *   opening     tokens of the system message
 *   exchanges   [{start: token where the question's turn begins, user, answer}]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_chat.h"
#include "cli/cli_output.h"

#define FORMAT_NAME    "edgellm chat"
#define FORMAT_VERSION 1

/* ---- saving ------------------------------------------------------------------------------- */

static json_t *parameters_json(const el_cli_chat *chat)
{
    char room[64];
    el_cli_option_list list;
    json_t *object = json_object();
    el_cli_flatten(el_cli_chat_parameters, list);
    for (const el_cli_option *o = list; o->name != NULL; o++) {
        const char *word = el_cli_show(o, &chat->v, room, sizeof room);
        json_object_set_new(object, o->name, el_cli_json_text(word, strlen(word)));
    }
    return object;
}

static json_t *exchanges_json(const el_cli_conversation *c)
{
    json_t *array = json_array();
    for (size_t i = 0; i < c->n_exchanges; i++) {
        const el_cli_exchange *e = &c->exchanges[i];
        json_t *object = json_object();
        json_object_set_new(object, "start", json_integer((json_int_t)e->start));
        json_object_set_new(object, "user", el_cli_json_text(e->user, strlen(e->user)));
        json_object_set_new(object, "answer", el_cli_json_text(e->answer, strlen(e->answer)));
        json_array_append_new(array, object);
    }
    return array;
}

static char *make_note(const el_cli_chat *chat)
{
    const el_cli_conversation *c = &chat->talk;
    el_cli_tokens ahead = el_cli_conversation_ahead(c);
    json_t *note = json_object(), *ids = json_array();
    for (size_t i = 0; i < ahead.count; i++)
        json_array_append_new(ids, json_integer(ahead.ids[i]));
    json_object_set_new(note, "format", json_string(FORMAT_NAME));
    json_object_set_new(note, "version", json_integer(FORMAT_VERSION));
    json_object_set_new(note, "system",
                        c->system != NULL ? el_cli_json_text(c->system, strlen(c->system))
                                          : json_null());
    json_object_set_new(note, "parameters", parameters_json(chat));
    json_object_set_new(note, "position", json_integer((json_int_t)(c->n_tokens - ahead.count)));
    json_object_set_new(note, "ahead", ids);
    json_object_set_new(note, "opening", json_integer((json_int_t)c->opening));
    json_object_set_new(note, "exchanges", exchanges_json(c));
    return el_cli_json_dump(note, JSON_INDENT(1));
}

/* A session file may be replaced, and nothing else. */
static edgellm_status check_target(const char *path, edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    size_t len;
    if (access(path, F_OK) != 0) return EDGELLM_OK;
    edgellm_status status = edgellm_session_note(path, NULL, 0, &len, &why);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    if (status == EDGELLM_ERR_IO || status == EDGELLM_ERR_MEMORY) {
        *err = why;
        return status;
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'%.150s' is not a session file and is not overwritten: remove it or take "
                       "another name",
                       path);
}

/* A file appears in its folder as a temporary first. */
static edgellm_status check_folder(const char *path, edgellm_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (folder == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a file's name");
    const int error = access(folder, W_OK | X_OK) != 0 ? errno : 0;
    free(folder);
    if (error == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "the conversation could not be saved as '%.150s': %s; name another file",
                       path, strerror(error));
}

edgellm_status el_cli_chat_check_save(const char *path, edgellm_error *err)
{
    struct stat status;
    EL_CLI_TRY(check_target(path, err));
    if (lstat(path, &status) == 0) {
        const bool link = S_ISLNK(status.st_mode);
        if (link && stat(path, &status) != 0) {
            return el_cli_fail(err, EDGELLM_ERR_IO, "the symbolic link '%.150s' leads nowhere: %s",
                               path, strerror(errno));
        }
        return link ? EDGELLM_OK : check_folder(path, err);
    }
    if (errno == ENOENT && path[0] != '\0') return check_folder(path, err);
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot save as '%.150s': %s", path, strerror(errno));
}

edgellm_status el_cli_chat_save(const el_cli_chat *chat, const char *path, edgellm_error *err)
{
    EL_CLI_TRY(check_target(path, err));
    char *note = make_note(chat);
    if (note == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to save the session");
    edgellm_status status =
        edgellm_session_save(chat->model.session, path, note, strlen(note), err);
    free(note);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------ */

static edgellm_status bad_note(const char *what, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "the session file holds no conversation of 'edgellm chat': %.200s", what);
}

static edgellm_status read_note(const char *path, json_t **note, edgellm_error *err)
{
    json_error_t why;
    size_t len = 0, again = 0;
    EL_CLI_TRY(edgellm_session_note(path, NULL, 0, &len, err));
    char *text = malloc(len + 1);
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the note");
    edgellm_status status = edgellm_session_note(path, text, len, &again, err);
    if (status == EDGELLM_OK) {
        *note = json_loadb(text, len < again ? len : again, 0, &why);
        if (*note == NULL) status = bad_note(why.text, err);
    }
    if (status == EDGELLM_OK && el_cli_json_starved()) {
        json_decref(*note);
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the note");
    }
    free(text);
    return status;
}

static edgellm_status take_parameters(el_cli_chat *chat, json_t *parameters,
                                      el_cli_chat_values *values, edgellm_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(parameters, name, value)
    {
        if (!json_is_string(value)) return bad_note("a parameter is not a text", err);
        EL_CLI_TRY(el_cli_chat_set(chat, name, json_string_value(value), values, err));
    }
    return EDGELLM_OK;
}

/* The tokens that the session does not hold; those before them come when it is loaded. */
static edgellm_status take_ahead(json_t *ahead, json_int_t position, uint32_t vocab,
                                 el_cli_conversation *c, edgellm_error *err)
{
    const size_t n = json_array_size(ahead), most = (size_t)c->context + 1;
    if (position < 0 || (json_int_t)most < position || n > most - (size_t)position) {
        return el_cli_fail(err, EDGELLM_ERR_CONTEXT,
                           "the conversation does not fit into the context of %u: start with a "
                           "larger one (-c)",
                           c->context);
    }
    c->n_tokens = (size_t)position + n;
    for (size_t i = 0; i < n; i++) {
        json_t *id = json_array_get(ahead, i);
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= vocab) return bad_note("a token is not in the vocabulary", err);
        c->tokens[(size_t)position + i] = (uint32_t)value;
    }
    return EDGELLM_OK;
}

/* Of a key that is there, and of that kind. jansson's json_unpack() would say it shorter, at a
 * two hundredth of the static program. */
static bool text_of(const json_t *object, const char *key, const char **text)
{
    *text = json_string_value(json_object_get(object, key));
    return *text != NULL;
}

static bool number_of(const json_t *object, const char *key, json_int_t *number)
{
    const json_t *value = json_object_get(object, key);
    *number = json_integer_value(value);
    return json_is_integer(value);
}

static edgellm_status take_exchanges(json_t *exchanges, json_int_t opening, el_cli_conversation *c,
                                     edgellm_error *err)
{
    json_int_t least = opening, start;
    size_t i;
    json_t *exchange;
    if ((json_array_size(exchanges) > 0) != (c->n_tokens > 0) || opening < 0) {
        return bad_note("its exchanges and tokens do not belong together", err);
    }
    json_array_foreach(exchanges, i, exchange)
    {
        const char *user, *answer;
        if (!number_of(exchange, "start", &start) || !text_of(exchange, "user", &user) ||
            !text_of(exchange, "answer", &answer) || start < least ||
            start >= (json_int_t)c->n_tokens) {
            return bad_note("an exchange is not where it can be", err);
        }
        EL_CLI_TRY(el_cli_conversation_add(c, (size_t)start, strdup(user), strdup(answer), err));
        least = start + 1;
    }
    c->opening = (size_t)opening;
    return EDGELLM_OK;
}

/* Everything that the note says, into a conversation and options of its own. */
static edgellm_status take_note(el_cli_chat *chat, json_t *note, el_cli_conversation *c,
                                el_cli_chat_values *values, edgellm_error *err)
{
    json_t *system = json_object_get(note, "system"), *ahead = json_object_get(note, "ahead");
    json_t *parameters = json_object_get(note, "parameters");
    json_t *exchanges = json_object_get(note, "exchanges");
    const char *format;
    json_int_t version, position, opening;
    if (!text_of(note, "format", &format) || !number_of(note, "version", &version) ||
        strcmp(format, FORMAT_NAME) != 0 || version != FORMAT_VERSION) {
        return bad_note("its note has another format or version", err);
    }
    if (!number_of(note, "position", &position) || !number_of(note, "opening", &opening) ||
        system == NULL || !json_is_object(parameters) || !json_is_array(ahead) ||
        !json_is_array(exchanges)) {
        return bad_note("a part of its note is missing or of the wrong kind", err);
    }
    EL_CLI_TRY(el_cli_conversation_open(c, &chat->model, json_string_value(system), err));
    EL_CLI_TRY(take_parameters(chat, parameters, values, err));
    EL_CLI_TRY(take_ahead(ahead, position, chat->model.info.vocab, c, err));
    return take_exchanges(exchanges, opening, c, err);
}

/* The session takes the file over, and the conversation what the session then holds. */
static edgellm_status take_session(el_cli_chat *chat, const char *path, size_t position,
                                   el_cli_conversation *next, edgellm_error *err)
{
    edgellm_session *session = chat->model.session;
    EL_CLI_TRY(edgellm_session_load(session, path, err));
    if (edgellm_session_position(session) != position) {
        el_cli_conversation_reset(&chat->talk, chat->talk.system, err);
        return bad_note("note and tokens differ; the conversation was reset", err);
    }
    memcpy(next->tokens, edgellm_session_tokens(session), position * sizeof *next->tokens);
    return EDGELLM_OK;
}

edgellm_status el_cli_chat_load(el_cli_chat *chat, const char *path, edgellm_error *err)
{
    el_cli_conversation next = {.n_tokens = 0};
    el_cli_chat_values values = chat->v;
    json_t *note = NULL;
    EL_CLI_TRY(read_note(path, &note, err));
    edgellm_status status = take_note(chat, note, &next, &values, err);
    if (status == EDGELLM_OK) {
        size_t position = next.n_tokens - json_array_size(json_object_get(note, "ahead"));
        status = take_session(chat, path, position, &next, err);
    }
    json_decref(note);
    if (status != EDGELLM_OK) {
        el_cli_conversation_close(&next);
        return status;
    }
    el_cli_conversation_close(&chat->talk);
    chat->talk = next;
    chat->v = values;
    return EDGELLM_OK;
}
