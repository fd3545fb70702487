#include "server/server.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/error.h"
#include "server/choices.h"
#include "server/json_limits.h"
#include "server/json_room.h"
#include "server/loop.h"
#include "server/model_name.h"
#include "server/server_state.h"
#include "server/stream.h"
#include "server/tls.h"
#include "server/watchdog.h"

static const uint64_t last_words_ns = 2000000000; /* after the drain: to tell those that were cut */

bool el_server_is_ready(const el_server *server, el_problem *problem)
{
    if (server->is_draining)
        return el_problem_set(problem, EL_PROBLEM_STOPPING, NULL, "The server is shutting down");
    if (server->now && !server->swap.is_exclusive) return true;
    el_problem_set(problem, EL_PROBLEM_LOADING, NULL, "Loading model");
    if (server->was_ready) problem->retry_after = el_swap_retry_after(server);
    return false;
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

/* The terminal that it was started from, while there is one. */
static bool has_terminal(void)
{
    const int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* From here on they are read, in the loop, instead of caught. */
static edgellm_status open_signals(el_server *server, sigset_t *before, edgellm_error *err)
{
    sigset_t stops;
    server->ends_with_terminal = !is_ignored(SIGHUP) && has_terminal();
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGHUP);
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

/* If something is wrong with the file the keys stay as they were. */
static void reread_keys(el_server *server)
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

/* systemd takes the time that is told to be after the signal's. */
static void notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)el_clock_now() / 1000);
    el_notify(state);
}

/* ---- TLS ----------------------------------------------------------------------------------- */

static edgellm_status open_tls(el_server *server, edgellm_error *err)
{
    const el_server_options *o = server->options;
    if (!o->tls_certificate && !o->tls_key) return EDGELLM_OK;
    if (!o->tls_certificate || !o->tls_key)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "--tls-cert and --tls-key go together: a certificate and its key");
    if (o->place.path)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "--tls-cert is for TCP: at --unix only this user can ask");
    return el_tls_read(&server->tls, o->tls_certificate, o->tls_key, err);
}

/* If something is wrong with the files the certificate stays as it was. */
static void reread_tls(el_server *server)
{
    const el_server_options *o = server->options;
    edgellm_error err;
    if (el_tls_read(&server->tls, o->tls_certificate, o->tls_key, &err) == EDGELLM_OK)
        el_log_message(&server->log, o->log_requests, "certificate read again");
    else
        el_log_message(&server->log, o->log_requests, "%s; the certificate stays as it was",
                       err.message);
}

/* ---- SIGHUP -------------------------------------------------------------------------------- */

void el_server_look_again(el_server *server)
{
    if (server->ends_with_terminal && !has_terminal()) {
        el_server_drain(server);
        return;
    }
    if (server->is_draining) return;
    if (server->was_ready) notify_reloading();
    if (server->options->key_file) reread_keys(server);
    if (server->tls) reread_tls(server);
    el_swap_want(server);
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

/* Better said now than when the first slot is to be saved. */
static edgellm_status check_folder(const char *path, edgellm_error *err)
{
    struct stat folder;
    if (!path) return EDGELLM_OK;
    if (stat(path, &folder) == 0 && S_ISDIR(folder.st_mode) && access(path, W_OK | X_OK) == 0)
        return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO,
                   "--slot-save-path '%.200s' is no folder that can be written to", path);
}

static size_t json_room(const el_server_options *o)
{
    return el_json_room((size_t)o->max_body, EL_JSON_VALUES);
}

static uint64_t longest_body(const el_server_options *o)
{
    return o->max_body > EL_METRICS_TEXT ? o->max_body : EL_METRICS_TEXT;
}

size_t el_server_long_text(const el_server *server)
{
    return (size_t)longest_body(server->options);
}

uint64_t el_server_shared(const el_server_options *options)
{
    const uint64_t most = EL_SERVER_BODIES;
    return (options->connections < most ? options->connections : most) * longest_body(options);
}

/* What a connection takes at most, but for what all share. */
static uint64_t connection_bytes(void)
{
    return sizeof(el_conn) + EL_CONN_BODY + EL_LOOP_CONNECTION;
}

uint32_t el_server_tasks(const el_server_options *options)
{
    return EL_GENERATIONS * (options->sessions + options->queue);
}

uint32_t el_server_place(const el_server *server, const el_tasks *tasks, const el_task *task)
{
    const bool is_second = tasks == &server->compute.generations[1].tasks;
    return (uint32_t)(task - tasks->list) + (is_second ? el_server_tasks(server->options) / 2 : 0);
}

/* One body is there twice while it grows. */
static uint64_t own_bytes(const el_server_options *o)
{
    const uint32_t tasks = el_server_tasks(o);
    return json_room(o) + sizeof(el_server) + (uint64_t)2 * EL_SERVER_OUT +
           o->connections * connection_bytes() + el_server_shared(o) + EL_METRICS_TEXT +
           longest_body(o) + tasks * sizeof(el_conn *) + el_streams_bytes(tasks) +
           el_choices_bytes(tasks);
}

static edgellm_status open_network(el_server *server, edgellm_error *err)
{
    const el_server_options *o = server->options;
    EL_TRY(el_keys_read(&server->keys, o->key_file, o->key, err));
    EL_TRY(check_place(server, err));
    check_hosts(server);
    EL_TRY(open_tls(server, err));
    EL_TRY(check_folder(o->slot_folder, err));
    EL_TRY(el_listen(&server->listener, &o->place, err));
    server->conns = calloc(o->connections, sizeof *server->conns);
    server->asking = calloc(el_server_tasks(o), sizeof(el_conn *));
    if (!server->conns || !server->asking)
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u connections", o->connections);
    EL_TRY(el_streams_open(server, err));
    EL_TRY(el_choices_open(server, err));
    EL_TRY(el_loop_open(server, err));
    return el_watchdog_open(server, err);
}

static edgellm_status start_computing(el_server *server, const cores *c, edgellm_error *err)
{
    const el_server_options *o = server->options;
    const el_compute_options options = {
        .model = {.model = o->model,
                  .engine = o->engine,
                  .scheduler = {.session = o->session, .slots = o->sessions},
                  .queue = o->queue,
                  .answer = o->answer,
                  .top_logprobs = o->top_logprobs,
                  .own_bytes = own_bytes(o),
                  .find_costs = o->find_costs,
                  .costs_context = o->costs_context,
                  .calibrate_ns = o->calibrate_ms * (uint64_t)1000000,
                  .keeps_slots = o->slot_folder != NULL,
                  .cores = c->are_split ? &c->compute : NULL},
        .patience_ns = o->drain_s * (uint64_t)1000000000,
        .wake = el_loop_wake,
        .show = el_loop_show,
        .context = server,
    };
    server->shares_core = !c->are_split;
    EL_TRY(el_compute_start(&server->compute, &options, err));
    server->is_computing = true;
    el_swap_begin(server);
    if (c->are_split) sched_setaffinity(0, sizeof c->network, &c->network);
    return EDGELLM_OK;
}

/* ---- serving ------------------------------------------------------------------------------- */

void el_server_say_ready(el_server *server)
{
    const el_server_report report = {.model = server->model,
                                     .url = server->listener.url,
                                     .forecasts_by = server->now->forecasts.by,
                                     .sessions = server->options->sessions,
                                     .connections = server->options->connections,
                                     .connection_bytes = connection_bytes(),
                                     .memory = server->now->memory};
    server->was_ready = true;
    server->options->ready(&report);
    el_notify("READY=1");
    el_watchdog_start(server);
    if (server->swap.is_wanted) notify_reloading();
}

void el_server_drain(el_server *server)
{
    if (server->is_draining) { /* the second signal */
        server->is_over = true;
        return;
    }
    server->is_draining = true;
    server->drain_until = el_clock_now() + server->options->drain_s * UINT64_C(1000000000);
    el_loop_wake_at(server, server->drain_until);
    el_streams_drain(server);
}

static void cancel_all(el_generation *g)
{
    for (uint32_t i = 0; g && i < g->tasks.n; i++) {
        const el_stage stage = el_task_stage(&g->tasks.list[i]);
        if (stage == EL_STAGE_ASKED || stage == EL_STAGE_RUNNING)
            el_tasks_cancel(&g->tasks, &g->tasks.list[i]);
    }
}

static void cut_off(el_server *server)
{
    cancel_all(server->now);
    cancel_all(server->earlier);
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
        el_loop_enter(server);
        const edgellm_status status = el_swap_go_on(server, err);
        go_on_draining(server);
        el_loop_leave(server);
        EL_TRY(status);
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
    el_swap_close(server);
    if (server->is_computing) el_compute_stop(&server->compute);
    el_loop_close(server); /* connections let go of their tasks */
    el_watchdog_close(server);
    el_tls_close(server->tls);
    el_streams_close(server);
    if (server->is_computing) el_compute_close(&server->compute);
    el_json_room_close();
    free(server->conns);
    el_choices_close(server);
    free(server->asking);
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
    pthread_mutex_init(&server->lock, NULL);
    server->started = time(NULL);
    server->signals = server->listener.fd = server->swap.file = -1;
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
    pthread_mutex_destroy(&server->lock);
    free(server);
    return status;
}
