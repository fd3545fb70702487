#include "cli/cli_realtime.h"

#include <math.h>

#include "cli/cli_output.h"
#include "cli/cli_stats.h"

static void print_cores(const edgellm_realtime *r, FILE *out)
{
    fprintf(out, "%u thread%s", r->n_threads, r->n_threads == 1 ? "" : "s");
    if (r->n_cores == 0) fprintf(out, ", not pinned");
    for (uint32_t i = 0; i < r->n_cores; i++)
        fprintf(out, "%s%u",
                i > 0             ? ","
                : r->n_cores == 1 ? " on core "
                                  : " on cores ",
                r->cores[i]);
}

/* The longest gap of what was chosen, beside that of what was there before (the last try). */
static void print_gaps(const edgellm_realtime *r, FILE *out)
{
    if (r->n_tries == 0) return;
    const edgellm_realtime_try *chosen = &r->tries[r->chosen], *before = &r->tries[r->n_tries - 1];
    fprintf(out, ": longest gap beside a busy thread %.2f ms", (double)chosen->gap_ms);
    if (chosen != before) fprintf(out, ", %s %.2f", before->name, (double)before->gap_ms);
}

void el_cli_realtime_print(const edgellm_session *session, FILE *out)
{
    edgellm_realtime r;
    edgellm_session_realtime(session, &r);
    if (!r.active) return;
    fprintf(out, "rt              ");
    print_cores(&r, out);
    fprintf(out, " | %.1f of %.1f MB locked | %s", (double)r.locked_bytes / EL_CLI_MB,
            (double)r.wanted_bytes / EL_CLI_MB, r.policy);
    print_gaps(&r, out);
    fprintf(out, "\n");
    for (uint32_t i = 0; i < r.n_notes; i++)
        fprintf(out, "rt              not: %s\n", r.notes[i]);
}

static json_t *try_json(const edgellm_realtime_try *t)
{
    bool refused = t->refusal[0] != '\0';
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(t->name));
    json_object_set_new(o, "refusal", refused ? json_string(t->refusal) : json_null());
    json_object_set_new(o, "gap_ms", el_cli_json_real(refused ? NAN : (double)t->gap_ms));
    json_object_set_new(o, "lost", el_cli_json_real(refused ? NAN : (double)t->lost));
    return o;
}

void el_cli_realtime_add(json_t *object, const edgellm_session *session)
{
    edgellm_realtime r;
    edgellm_session_realtime(session, &r);
    if (!r.active) return;
    json_t *o = json_object(), *cores = json_array(), *tries = json_array(), *notes = json_array();
    for (uint32_t i = 0; i < r.n_cores; i++)
        json_array_append_new(cores, json_integer(r.cores[i]));
    for (uint32_t i = 0; i < r.n_tries; i++)
        json_array_append_new(tries, try_json(&r.tries[i]));
    for (uint32_t i = 0; i < r.n_notes; i++)
        json_array_append_new(notes, json_string(r.notes[i]));
    json_object_set_new(o, "policy", json_string(r.policy));
    json_object_set_new(o, "cores", cores);
    json_object_set_new(o, "wanted_bytes", json_integer((json_int_t)r.wanted_bytes));
    json_object_set_new(o, "locked_bytes", json_integer((json_int_t)r.locked_bytes));
    json_object_set_new(o, "taken_back_permille", json_integer(r.taken_back));
    json_object_set_new(o, "tries", tries);
    json_object_set_new(o, "chosen", r.n_tries > 0 ? json_integer(r.chosen) : json_null());
    json_object_set_new(o, "not", notes);
    json_object_set_new(object, "realtime", o);
}
