#include "server/server.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/error.h"
#include "server/json_limits.h"
#include "server/json_room.h"
#include "server/loop.h"
#include "server/model_name.h"
#include "server/server_state.h"
#include "server/stream.h"

static const uint64_t last_words_ns = 2000000000; /* after the drain: to tell those that were cut */

bool el_server_is_ready(const el_server *server, el_problem *problem)
{
    if (server->is_draining)
        return el_problem_set(problem, EL_PROBLEM_STOPPING, NULL, "The server is shutting down");
    if (server->was_ready) return true;
    return el_problem_set(problem, EL_PROBLEM_LOADING, NULL, "Loading model");
}

/* ---- cores --------------------------------------------------------------------------------- */

typedef struct cores {
    cpu_set_t all, compute, network;
    bool are_split;
} cores;

/* The worst core for the network, where computing does not need all. */
static void split_cores(cores *c, uint32_t threads)
{
    el_core_list list;
    el_cores_of_thread(&c->all);
    el_cores_list(&list, "/sys/devices/system/cpu", &c->all);
    c->are_split = list.n > 1 && threads < list.n;
    if (!c->are_split) return;
    c->compute = c->all;
    CPU_ZERO(&c->network);
    CPU_SET(list.number[list.n - 1], &c->network);
    CPU_CLR(list.number[list.n - 1], &c->compute);
}

/* ---- signals ------------------------------------------------------------------------------- */

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* From here on they are read, in the loop, instead of caught. */
static edgellm_status open_signals(el_server *server, sigset_t *before, edgellm_error *err)
{
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    if (server->options->key_file || !is_ignored(SIGHUP)) sigaddset(&stops, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &stops, before);
    server->signals = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server->signals < 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot wait for signals: too few files may be open");
    if (server->options->interrupted() != 0)
        return el_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
    return EDGELLM_OK;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* A pipe has nothing more, and reading it would hold everybody up. */
static edgellm_status read_again(const el_server_options *o, el_keys *keys, edgellm_error *err)
{
    struct stat file;
    if (stat(o->key_file, &file) == 0 && !S_ISREG(file.st_mode))
        return el_fail(err, EDGELLM_ERR_IO,
                       "the file of keys '%.200s' is none: it cannot be read again", o->key_file);
    return el_keys_read(keys, o->key_file, o->key, err);
}

void el_server_reread_keys(el_server *server)
{
    const bool is_json = server->options->log_requests;
    el_keys keys;
    edgellm_error err;
    if (read_again(server->options, &keys, &err) != EDGELLM_OK) {
        server->metrics.keys_kept++;
        el_log_message(&server->log, is_json, "%s; the keys stay as they were", err.message);
        return;
    }
    server->keys = keys;
    server->metrics.keys_read++;
    el_log_message(&server->log, is_json, "keys read again: there are %u now", keys.n);
}

/* ---- opening ------------------------------------------------------------------------------- */

static edgellm_status check_place(const el_server *server, edgellm_error *err)
{
    const el_server_options *o = server->options;
    if (o->insecure || server->keys.n > 0 || el_place_is_local(&o->place)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "--host %.100s lets others ask: give keys with --api-key-file FILE or "
                   "EDGELLM_API_KEY, or say --insecure",
                   o->place.host);
}

/* A page in a browser of this machine may ask, too, where there is no key. */
static void check_hosts(el_server *server)
{
    const el_server_options *o = server->options;
    server->checks_host = server->keys.n == 0 && !o->place.path && el_place_is_local(&o->place);
    server->hosts = (el_hosts){o->allowed_hosts, o->n_allowed_hosts};
}

static size_t json_room(const el_server_options *o)
{
    return el_json_room((size_t)o->max_body, EL_JSON_VALUES);
}

static uint64_t own_bytes(const el_server_options *o)
{
    const uint64_t body = o->max_body > EL_METRICS_TEXT ? o->max_body : EL_METRICS_TEXT;
    return json_room(o) + sizeof(el_server) + EL_SERVER_OUT +
           o->connections * (sizeof(el_conn) + body) + el_streams_bytes(o->sessions + o->queue);
}

static edgellm_status open_network(el_server *server, edgellm_error *err)
{
    const el_server_options *o = server->options;
    EL_TRY(el_keys_read(&server->keys, o->key_file, o->key, err));
    EL_TRY(check_place(server, err));
    check_hosts(server);
    EL_TRY(el_listen(&server->listener, &o->place, err));
    server->conns = calloc(o->connections, sizeof *server->conns);
    if (!server->conns)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u connections", o->connections);
    EL_TRY(el_streams_open(server, err));
    return el_loop_open(server, err);
}

static edgellm_status start_computing(el_server *server, const cores *c, edgellm_error *err)
{
    const el_server_options *o = server->options;
    const el_compute_options options = {
        .model = o->model,
        .engine = o->engine,
        .scheduler = {.session = o->session, .slots = o->sessions},
        .queue = o->queue,
        .own_bytes = own_bytes(o),
        .calibrate_ns = o->calibrate_ms * (uint64_t)1000000,
        .cores = c->are_split ? &c->compute : NULL,
        .wake = el_loop_wake,
        .context = server,
    };
    EL_TRY(el_compute_start(&server->compute, &options, err));
    server->is_computing = true;
    if (c->are_split) sched_setaffinity(0, sizeof c->network, &c->network);
    return EDGELLM_OK;
}

/* ---- serving ------------------------------------------------------------------------------- */

static void say_ready(el_server *server)
{
    const el_compute *c = &server->compute;
    const el_server_report report = {.model = server->model,
                                     .url = server->listener.url,
                                     .sessions = server->options->sessions,
                                     .memory = c->memory};
    server->was_ready = true;
    el_model_name_bits(&c->info, server->fingerprint, sizeof server->fingerprint);
    server->options->ready(&report);
    el_notify("READY=1");
}

static void cut_off(el_server *server)
{
    el_tasks *tasks = &server->compute.tasks;
    for (uint32_t i = 0; server->was_ready && i < tasks->n; i++) {
        const el_stage stage = el_task_stage(&tasks->list[i]);
        if (stage == EL_STAGE_ASKED || stage == EL_STAGE_RUNNING)
            el_tasks_cancel(tasks, &tasks->list[i]);
    }
    el_loop_wake_at(server, server->drain_until + last_words_ns);
}

static void go_on_draining(el_server *server)
{
    const uint64_t now = el_clock_now();
    if (!server->is_draining) return;
    if (el_loop_is_quiet(server)) server->is_over = true;
    if (now >= server->drain_until + last_words_ns)
        server->is_over = true;
    else if (now >= server->drain_until)
        cut_off(server);
}

static edgellm_status serve(el_server *server, edgellm_error *err)
{
    while (!server->is_over) {
        el_loop_step(server);
        const el_readiness readiness = el_compute_readiness(&server->compute);
        if (readiness == EL_READINESS_FAILED) {
            *err = server->compute.error;
            return err->status;
        }
        if (readiness == EL_READINESS_READY && !server->was_ready) say_ready(server);
        go_on_draining(server);
    }
    return EDGELLM_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static edgellm_status open_and_serve(el_server *server, const cores *c, edgellm_error *err)
{
    EL_TRY(open_network(server, err));
    EL_TRY(el_json_room_open(json_room(server->options), err));
    EL_TRY(start_computing(server, c, err));
    return serve(server, err);
}

static void close_all(el_server *server)
{
    el_notify("STOPPING=1");
    if (server->is_computing) el_compute_stop(&server->compute);
    el_loop_close(server); /* connections let go of their tasks */
    el_streams_close(server);
    if (server->is_computing) el_compute_close(&server->compute);
    el_json_room_close();
    free(server->conns);
    el_listener_close(&server->listener);
    if (server->signals >= 0) close(server->signals);
    el_log_close(&server->log);
}

edgellm_status el_server_run(const el_server_options *options, edgellm_error *err)
{
    sigset_t before;
    cores c;
    el_server *server = calloc(1, sizeof *server);
    if (!server) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for the server");
    server->options = options;
    server->started = time(NULL);
    server->signals = server->listener.fd = -1;
    el_model_name(options->model, server->model, sizeof server->model);
    el_metrics_open(&server->metrics);
    el_log_open(&server->log, STDERR_FILENO);
    if (getrandom(&server->start_id, sizeof server->start_id, GRND_NONBLOCK) < 0)
        server->start_id = (uint32_t)el_clock_now();
    split_cores(&c, options->session.threads);
    edgellm_status status = open_signals(server, &before, err);
    if (status == EDGELLM_OK) status = open_and_serve(server, &c, err);
    close_all(server);
    if (c.are_split) sched_setaffinity(0, sizeof c.all, &c.all);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(server);
    return status;
}
