/*
 * bench_server.c: servers behind HTTP, asked by a program of its own, edgellm-bench-http, so that
 * this one needs no HTTP. It is started once for each server and told by lines of JSON what to ask
 * (docs/ARCHITECTURE.md, "The program"); it notes each token's time itself, on the same clock,
 * while this process sleeps.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <poll.h>

#include "cli/bench.h"
#include "cli/cli_external.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"

typedef struct server {
    pid_t pid;   /* 0: it does not run */
    int in, out; /* pipes to it and from it; -1 */
    char *address, *model, *text;
    size_t text_bytes;
    char *line; /* (room) what was read; `used` of it */
    size_t used, room;
    size_t taken; /* bytes of the line that was handed out last */
    int in_a_row; /* requests that failed */
} server;

enum {
    IN_A_ROW = 3,          /* failures after which a server is given up */
    LINE_LIMIT = 64 << 20, /* bytes */
    PATIENCE_MS = 2000,    /* to end by itself */
};

static const el_cli_external program = {
    .name = "bench-http", .summary = NULL, .title = "the HTTP part of the benchmark"};

/* ---- the child's lines -------------------------------------------------------------------- */

/* How it ended, after its end of the pipe was found closed. */
static edgellm_status has_died(server *s, edgellm_error *err)
{
    int how = 0;
    while (waitpid(s->pid, &how, 0) < 0 && errno == EINTR) {
    }
    s->pid = 0;
    if (WIFSIGNALED(how)) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "edgellm-%s was ended by signal %d", program.name,
                           WTERMSIG(how));
    }
    return el_cli_fail(err, EDGELLM_ERR_IO, "edgellm-%s ended before it answered (exit code %d)",
                       program.name, WEXITSTATUS(how));
}

static edgellm_status make_room(server *s, edgellm_error *err)
{
    if (s->room - s->used > 1) return EDGELLM_OK;
    const size_t wanted = s->room > 0 ? 2 * s->room : 65536;
    char *line = wanted <= LINE_LIMIT ? realloc(s->line, wanted) : NULL;
    if (line == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer of %zu bytes",
                           s->used);
    }
    s->line = line;
    s->room = wanted;
    return EDGELLM_OK;
}

static edgellm_status read_more(server *s, edgellm_error *err)
{
    EL_CLI_TRY(make_room(s, err));
    if (!el_cli_wait_for_input(s->out)) {
        return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
    }
    ssize_t n = read(s->out, s->line + s->used, s->room - s->used - 1);
    if (n < 0 && errno == EINTR) return EDGELLM_OK;
    if (n < 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read from edgellm-%s: %s", program.name,
                           strerror(errno));
    }
    if (n == 0) return has_died(s, err);
    s->used += (size_t)n;
    return EDGELLM_OK;
}

static edgellm_status parse_line(const server *s, size_t len, json_t **value, edgellm_error *err)
{
    json_error_t why;
    *value = json_loadb(s->line, len, 0, &why);
    if (el_cli_json_starved()) {
        json_decref(*value);
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer of %zu bytes", len);
    }
    if (json_is_object(*value)) return EDGELLM_OK;
    json_decref(*value);
    return el_cli_fail(err, EDGELLM_ERR_IO, "edgellm-%s answered no JSON object: '%.60s'",
                       program.name, s->line);
}

/* The next line of the child; release the value. */
static edgellm_status read_answer(server *s, json_t **value, edgellm_error *err)
{
    char *end = NULL;
    s->used -= s->taken;
    if (s->taken > 0) memmove(s->line, s->line + s->taken, s->used);
    s->taken = 0;
    while (s->used == 0 || (end = memchr(s->line, '\n', s->used)) == NULL)
        EL_CLI_TRY(read_more(s, err));
    *end = '\0';
    s->taken = (size_t)(end - s->line) + 1;
    return parse_line(s, s->taken - 1, value, err);
}

static edgellm_status send_request(server *s, json_t *value, edgellm_error *err)
{
    char *text = el_cli_json_dump(value, JSON_COMPACT);
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a request");
    size_t len = strlen(text), done = 0;
    text[len++] = '\n'; /* in place of the NUL */
    while (done < len) {
        ssize_t n = write(s->in, text + done, len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        done += (size_t)n;
    }
    free(text);
    return done == len ? EDGELLM_OK : has_died(s, err);
}

/* ---- starting ----------------------------------------------------------------------------- */

/* "URL#MODEL": the model is for servers that have several. */
static edgellm_status split_address(server *s, const char *address, edgellm_error *err)
{
    s->address = strdup(address);
    if (s->address == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an address");
    char *mark = strrchr(s->address, '#');
    if (mark != NULL) *mark = '\0';
    s->model = mark != NULL && mark[1] != '\0' ? mark + 1 : NULL;
    return EDGELLM_OK;
}

/* Its ends of both pipes are moved to where it looks for them; all others close by themselves. */
static int spawn(server *s, const char *path, char **words, const int to[2], const int from[2])
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) return error;
    error = posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    if (error == 0) error = posix_spawn(&s->pid, path, &actions, NULL, words, environ);
    if (error != 0) s->pid = 0;
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static edgellm_status start_words(server *s, const char *path, char **words, edgellm_error *err)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    s->in = to[1];
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]);
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    s->out = from[0];
    const int error = spawn(s, path, words, to, from);
    close(to[0]);
    close(from[1]);
    if (error == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot start '%.300s': %s", path, strerror(error));
}

static edgellm_status start(server *s, const char *kind, uint32_t timeout, edgellm_error *err)
{
    el_cli_path path;
    char seconds[16], name[32], backend[16],
        words[4][12] = {"--backend", "--url", "--timeout", "--model"};
    EL_CLI_TRY(el_cli_external_find(&program, path, err));
    snprintf(name, sizeof name, "edgellm-%s", program.name);
    snprintf(backend, sizeof backend, "%s", kind);
    snprintf(seconds, sizeof seconds, "%u", timeout);
    char *list[] = {name,       words[0], backend, words[1],
                    s->address, words[2], seconds, s->model != NULL ? words[3] : NULL,
                    s->model,   NULL};
    return start_words(s, path, list, err);
}

static void note_pids(el_cli_bench_backend *backend, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "pids");
    for (size_t i = 0; i < json_array_size(list); i++)
        el_cli_bench_add_pid(&backend->pids, json_integer_value(json_array_get(list, i)));
}

/* Ollama tells its version; a llama-server names llama.cpp in its header. */
static bool is_peer(const char *what)
{
    return strncmp(what, "ollama", 6) == 0 || strstr(what, "llama.cpp") != NULL ||
           strstr(what, "llama-server") != NULL;
}

static edgellm_status take_hello(el_cli_bench_backend *backend, const json_t *hello,
                                 edgellm_error *err)
{
    const server *s = backend->own;
    const char *what = json_string_value(json_object_get(hello, "server"));
    const char *model = json_string_value(json_object_get(hello, "model"));
    const char *error = json_string_value(json_object_get(hello, "error"));
    if (error != NULL) return el_cli_fail(err, EDGELLM_ERR_IO, "%.480s", error);
    if (json_integer_value(json_object_get(hello, "hello")) != 1 || what == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_IO,
                           "edgellm-%s speaks another protocol: install programs of one version",
                           program.name);
    }
    snprintf(backend->title, sizeof backend->title, "%.40s at %.60s", what, s->address);
    snprintf(backend->model, sizeof backend->model, "%.120s", model != NULL ? model : "");
    backend->is_peer = is_peer(what);
    note_pids(backend, hello);
    return EDGELLM_OK;
}

static edgellm_status open_server(el_cli_bench *bench, el_cli_bench_backend *backend,
                                  edgellm_error *err)
{
    json_t *hello = NULL;
    server *s = calloc(1, sizeof *s);
    if (s == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a server");
    s->in = s->out = -1;
    backend->own = s;
    s->text_bytes = el_cli_bench_prompt_bytes(&bench->plan);
    s->text = malloc(s->text_bytes);
    if (s->text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the prompt");
    EL_CLI_TRY(split_address(s, backend->address, err));
    EL_CLI_TRY(start(s, backend->kind->name, bench->plan.timeout, err));
    EL_CLI_TRY(read_answer(s, &hello, err));
    edgellm_status status = take_hello(backend, hello, err);
    json_decref(hello);
    return status;
}

/* ---- the end ------------------------------------------------------------------------------ */

/* It ends when its standard input does; one that does not is killed. */
static void end_child(server *s)
{
    char rest[512];
    struct pollfd end = {.fd = s->out, .events = POLLIN};
    while (poll(&end, 1, PATIENCE_MS) > 0 && read(s->out, rest, sizeof rest) > 0) {
    }
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        if (waitpid(s->pid, NULL, WNOHANG) != 0) return;
        poll(NULL, 0, 10);
    }
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

static void close_server(el_cli_bench_backend *backend)
{
    server *s = backend->own;
    if (s == NULL) return;
    if (s->in >= 0) close(s->in);
    if (s->pid > 0) end_child(s);
    if (s->out >= 0) close(s->out);
    free(s->address);
    free(s->text);
    free(s->line);
    free(s);
    backend->own = NULL;
}

/* ---- a request ---------------------------------------------------------------------------- */

/* Times that do not go forward are none. */
static bool take_times(const el_cli_bench_ask *a, const json_t *answer)
{
    const json_t *start = json_object_get(answer, "start_ns");
    const json_t *list = json_object_get(answer, "token_ns");
    const size_t most = (size_t)a->bench->plan.steps + 1;
    json_int_t last = json_integer_value(start);
    a->slot->start_ms = (double)last * 1e-6;
    for (size_t i = 0; i < json_array_size(list) && i < most; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_integer(value) || json_integer_value(value) < last) return false;
        last = json_integer_value(value);
        a->times[i] = (double)(last - json_integer_value(start)) * 1e-6;
        a->slot->count = (uint32_t)i + 1;
    }
    return json_is_integer(start) && json_is_array(list);
}

static int64_t whole(const json_t *answer, const char *key)
{
    const json_t *value = json_object_get(answer, key);
    return json_is_integer(value) ? json_integer_value(value) : EL_CLI_UNKNOWN;
}

/* The first trouble is told; the rest are counted. */
static void complain(el_cli_bench_backend *backend, const edgellm_error *what)
{
    if (backend->complaint.status == EDGELLM_OK) backend->complaint = *what;
}

/* A token may come without an event of its own: what the server says it made counts too. */
static void check_length(const el_cli_bench_ask *a)
{
    edgellm_error what;
    el_cli_bench_request *r = a->slot;
    const int64_t wanted = (int64_t)a->bench->plan.steps + 1;
    const int64_t made = r->tokens > (int64_t)r->count ? r->tokens : (int64_t)r->count;
    r->fewer = made < wanted;
    if (!r->fewer) return;
    el_cli_fail(&what, EDGELLM_ERR_IO, "gave %lld of the %lld tokens asked for (it says: %s)",
                (long long)made, (long long)wanted, r->finish[0] != '\0' ? r->finish : "nothing");
    complain(a->backend, &what);
}

static edgellm_status take_failure(const el_cli_bench_ask *a, const char *error, edgellm_error *err)
{
    edgellm_error what;
    server *s = a->backend->own;
    a->slot->failed = true;
    el_cli_fail(&what, EDGELLM_ERR_IO, "%.480s", error);
    complain(a->backend, &what);
    if (++s->in_a_row < IN_A_ROW) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO, "%d requests in a row failed: %.440s", s->in_a_row,
                       error);
}

static edgellm_status take_answer(const el_cli_bench_ask *a, const json_t *answer,
                                  edgellm_error *err)
{
    server *s = a->backend->own;
    const char *error = json_string_value(json_object_get(answer, "error"));
    const char *finish = json_string_value(json_object_get(answer, "finish"));
    const bool sound = take_times(a, answer);
    note_pids(a->backend, answer);
    if (error != NULL) return take_failure(a, error, err);
    if (!sound) return take_failure(a, "its answer holds no times that go forward", err);
    s->in_a_row = 0;
    a->slot->tokens = whole(answer, "tokens");
    a->slot->prompt_tokens = whole(answer, "prompt_tokens");
    snprintf(a->slot->finish, sizeof a->slot->finish, "%.15s", finish != NULL ? finish : "");
    check_length(a);
    return EDGELLM_OK;
}

static edgellm_status ask_server(const el_cli_bench_ask *a, edgellm_error *err)
{
    server *s = a->backend->own;
    json_t *answer = NULL, *request = json_object();
    el_cli_bench_prompt(&a->bench->plan, a->number, s->text, s->text_bytes);
    json_object_set_new(request, "prompt", el_cli_json_text(s->text, strlen(s->text)));
    json_object_set_new(request, "tokens", json_integer((json_int_t)a->bench->plan.steps + 1));
    json_object_set_new(request, "seed", json_integer(1));
    json_object_set_new(request, "temperature", json_integer(0));
    EL_CLI_TRY(send_request(s, request, err));
    EL_CLI_TRY(read_answer(s, &answer, err));
    edgellm_status status = take_answer(a, answer, err);
    json_decref(answer);
    return status;
}

const el_cli_bench_kind el_cli_bench_ollama = {
    .name = "ollama",
    .needs_address = true,
    .open = open_server,
    .ask = ask_server,
    .close = close_server,
};

const el_cli_bench_kind el_cli_bench_openai = {
    .name = "openai",
    .needs_address = true,
    .open = open_server,
    .ask = ask_server,
    .close = close_server,
};
