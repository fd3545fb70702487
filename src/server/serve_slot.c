/* serve_slot.c: POST /slots/{id}?action=save, restore or erase: a slot, and a file that keeps what
 * it holds. The work is done by the thread that computes (slots.h). */
#include <stdio.h>
#include <string.h>

#include "server/request.h"
#include "server/server_state.h"

static const struct {
    const char *action, *count, *bytes, *time; /* as llama.cpp's server calls them */
} acts[EL_SLOT_ACTS] = {
    [EL_SLOT_SAVE] = {"save", "n_saved", "n_written", "save_ms"},
    [EL_SLOT_RESTORE] = {"restore", "n_restored", "n_read", "restore_ms"},
    [EL_SLOT_ERASE] = {"erase", "n_erased", NULL, NULL},
};

/* ---- asking -------------------------------------------------------------------------------- */

static bool find_act(const el_conn *conn, el_slot_act *act, el_problem *problem)
{
    int i = 0;
    while (i < EL_SLOT_ACTS && strcmp(conn->action, acts[i].action) != 0)
        i++;
    *act = (el_slot_act)i;
    return i < EL_SLOT_ACTS ||
           el_problem_set(problem, EL_PROBLEM_REQUEST, "action",
                          "say what: ?action=save, ?action=restore or ?action=erase");
}

/* Erasing needs none, but a wrong one is wrong there too. */
static bool check_file(const char *file, el_slot_act act, el_problem *problem)
{
    if (file ? !el_slots_is_file(file) : act != EL_SLOT_ERASE)
        return el_problem_set(problem, EL_PROBLEM_REQUEST, "filename",
                              "'filename' must be a name of 1 to %d printable characters of ASCII "
                              "without spaces and slashes, and without a dot at its beginning",
                              EL_SLOT_FILE);
    return true;
}

static bool set_file(const el_server *server, el_slot_job *job, el_problem *problem)
{
    const char *folder = server->options->slot_folder, *file = server->ask.filename;
    snprintf(job->file, sizeof job->file, "%s", file);
    const int len = snprintf(job->path, sizeof job->path, "%s/%s", folder, file);
    return (len > 0 && (size_t)len < sizeof job->path) ||
           el_problem_set(problem, EL_PROBLEM_REQUEST, "filename",
                          "the path of the file has more than %d bytes", EL_SLOT_PATH - 1);
}

static bool check_place(const el_conn *conn, el_slot_act act, el_problem *problem)
{
    const el_server *server = conn->server;
    if (conn->number >= server->options->sessions)
        return el_problem_set(problem, EL_PROBLEM_ROUTE, NULL,
                              "there is no slot %u: they are 0 to %u", conn->number,
                              server->options->sessions - 1);
    if (act == EL_SLOT_ERASE || server->options->slot_folder) return true;
    return el_problem_set(problem, EL_PROBLEM_ROUTE, NULL,
                          "this server keeps no files of slots: start it with --slot-save-path "
                          "FOLDER");
}

static bool set_busy(el_problem *problem, const char *why)
{
    el_problem_set(problem, EL_PROBLEM_BUSY, NULL, "%s: try again later", why);
    problem->retry_after = 1;
    return false;
}

/* One at a time, of both models while there are two: there is one who waits for it. */
static bool is_any_at_work(const el_server *server)
{
    const el_generation *earlier = server->earlier;
    return el_slots_stage(&server->now->slots) != EL_SLOT_FREE ||
           (earlier && el_slots_stage(&earlier->slots) != EL_SLOT_FREE);
}

static bool ask(el_conn *conn, el_problem *problem)
{
    el_server *server = conn->server;
    el_slots *slots = &server->now->slots;
    el_slot_act act;
    if (!find_act(conn, &act, problem) || !check_file(server->ask.filename, act, problem) ||
        !check_place(conn, act, problem))
        return false;
    if (is_any_at_work(server)) return set_busy(problem, "a slot is being saved or restored");
    if (act != EL_SLOT_ERASE && !set_file(server, &slots->job, problem)) return false;
    slots->job.act = act;
    slots->job.slot = conn->number;
    server->slot_conn = conn;
    el_conn_reply_later(conn);
    el_slots_set_stage(slots, EL_SLOT_ASKED);
    sem_post(&server->compute.wake);
    return true;
}

static void reply_later(el_conn *conn)
{
    el_problem problem;
    if (!ask(conn, &problem)) el_conn_reply_problem(conn, &problem);
}

void el_serve_slot(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_SLOT, .reply = reply_later};
    el_request_serve(conn, &endpoint);
}

/* ---- telling ------------------------------------------------------------------------------- */

/* What the system did not do with a file that is to be written is the server's fault. */
static void set_problem(const el_slot_job *job, el_problem *problem)
{
    const edgellm_status status = job->error.status;
    const bool ours =
        status == EDGELLM_ERR_MEMORY || (job->act == EL_SLOT_SAVE && status != EDGELLM_ERR_USAGE);
    el_problem_set(problem, ours ? EL_PROBLEM_INTERNAL : EL_PROBLEM_REQUEST,
                   ours ? NULL : "filename", "%s", job->error.message);
}

static void write_file(const el_slot_job *job, el_out *out)
{
    el_out_text(out, ",\"filename\":");
    el_out_string(out, job->file);
    el_out_print(out, ",\"%s\":%llu,\"timings\":{\"%s\":", acts[job->act].bytes,
                 (unsigned long long)job->bytes, acts[job->act].time);
    el_out_real(out, (double)job->ns / 1e6);
    el_out_text(out, "}");
}

static void tell(el_conn *conn, const el_slot_job *job)
{
    el_problem problem;
    if (job->is_busy || job->error.status != EDGELLM_OK) {
        if (job->is_busy)
            set_busy(&problem, "the slot has a request, or a request has a deadline");
        else
            set_problem(job, &problem);
        el_conn_reply_problem(conn, &problem);
        return;
    }
    el_out out = el_conn_text(conn);
    el_out_print(&out, "{\"id_slot\":%u,\"%s\":%u", job->slot, acts[job->act].count, job->tokens);
    if (job->act != EL_SLOT_ERASE) write_file(job, &out);
    el_out_text(&out, "}");
    el_conn_reply(conn, 200, &out);
}

void el_server_look_at_slots(el_server *server)
{
    el_generation *const all[] = {server->now, server->earlier};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        el_slots *slots = all[i] ? &all[i]->slots : NULL;
        if (!slots || el_slots_stage(slots) != EL_SLOT_DONE) continue;
        if (server->slot_conn) tell(server->slot_conn, &slots->job);
        server->slot_conn = NULL;
        el_slots_set_stage(slots, EL_SLOT_FREE);
    }
}
