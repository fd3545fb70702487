/* cli_certified.c: how commands use a certificate (cli_certificate.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_certificate.h"
#include "cli/cli_output.h"

/* Who goes by a certificate: a session, or a scheduler with passes of so many sessions. */
typedef struct user {
    edgellm_session *session;
    edgellm_scheduler *scheduler;
    uint32_t sessions;
    bool grammar; /* its answers keep to one */
} user;

static edgellm_status need_passes(const el_cli_certified *c, const user *u, edgellm_error *err)
{
    const edgellm_costs *costs = &c->certificate.costs;
    const uint32_t most = costs->n_passes > 0 ? costs->pass_sessions[costs->n_passes - 1] : 1;
    if (u->sessions <= most) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "the certificate '%.200s' knows no passes of %u sessions: certify with "
                       "--sessions %u",
                       c->path, u->sessions, u->sessions);
}

static edgellm_status set_costs(const user *u, const edgellm_costs *costs, edgellm_error *err)
{
    if (u->scheduler != NULL) return edgellm_scheduler_set_costs(u->scheduler, costs, err);
    return edgellm_session_set_costs(u->session, costs, err);
}

/* Costs that no measurement gives are a fault of the file. */
static edgellm_status use(el_cli_certified *c, const user *u, edgellm_error *err)
{
    edgellm_error why;
    EL_CLI_TRY(need_passes(c, u, err));
    c->holds = set_costs(u, &c->certificate.costs, &why) == EDGELLM_OK;
    c->mask = u->grammar ? c->certificate.costs.mask : 0;
    if (c->holds) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_FORMAT, "the certificate '%.200s': %s", c->path,
                       why.message);
}

static edgellm_status load(el_cli_certified *c, const el_cli_setup *setup, const user *u,
                           edgellm_error *err)
{
    el_cli_board board;
    EL_CLI_TRY(el_cli_certificate_load(&c->certificate, c->path, err));
    EL_CLI_TRY(el_cli_board_gather(&board, err));
    EL_CLI_TRY(el_cli_certificate_check(&c->certificate, c->path, setup, &board, err));
    return use(c, u, err);
}

/* The default place: what is not there, or does not hold, is no error. */
static edgellm_status load_default(el_cli_certified *c, const el_cli_setup *setup, const user *u,
                                   edgellm_error *err)
{
    c->path = el_cli_certificate_path(setup);
    if (c->path == NULL) return EDGELLM_OK;
    if (access(c->path, F_OK) != 0) {
        free(c->path);
        c->path = NULL;
        return EDGELLM_OK;
    }
    if (load(c, setup, u, &c->why) != EDGELLM_ERR_MEMORY) return EDGELLM_OK;
    *err = c->why;
    return EDGELLM_ERR_MEMORY;
}

static edgellm_status find(el_cli_certified *c, const char *given, const el_cli_setup *setup,
                           const user *u, edgellm_error *err)
{
    if (given == NULL) return load_default(c, setup, u, err);
    if (strcmp(given, "none") == 0) return EDGELLM_OK;
    c->path = strdup(given);
    if (c->path == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a name");
    return load(c, setup, u, err);
}

edgellm_status el_cli_certified_find(el_cli_certified *c, const char *given,
                                     const el_cli_model *model,
                                     const edgellm_session_options *options, edgellm_error *err)
{
    const el_cli_setup setup = el_cli_setup_of(model, options);
    const user u = {.session = model->session, .grammar = options->grammar};
    return find(c, given, &setup, &u, err);
}

edgellm_status el_cli_certified_find_passes(el_cli_certified *c, const char *given,
                                            const el_cli_model *model, edgellm_scheduler *scheduler,
                                            uint32_t sessions,
                                            const edgellm_session_options *options,
                                            edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_scheduler_memory(scheduler, &plan);
    const el_cli_setup setup = el_cli_setup_planned(model, &plan, options);
    const user u = {.scheduler = scheduler,
                    .sessions = sessions < plan.batch ? sessions : plan.batch};
    return find(c, given, &setup, &u, err);
}

void el_cli_certified_release(el_cli_certified *c)
{
    free(c->path);
    c->path = NULL;
}

void el_cli_certified_count(el_cli_certified *c, uint32_t position, double ms)
{
    const edgellm_costs *costs = &c->certificate.costs;
    if (!c->holds) return;
    const double expected = costs->step + costs->step_position * position + c->mask;
    const double above = ms - (expected + c->certificate.most_over) / 1e6;
    c->gaps++;
    if (above <= 0) return;
    c->above++;
    if (above > c->most_above_ms) c->most_above_ms = above;
}

json_t *el_cli_certified_json(const el_cli_certified *c)
{
    if (c->path == NULL) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "file", el_cli_json_text(c->path, strlen(c->path)));
    json_object_set_new(o, "used", json_boolean(c->holds));
    if (!c->holds) {
        json_object_set_new(o, "why", el_cli_json_text(c->why.message, strlen(c->why.message)));
        return o;
    }
    json_object_set_new(o, "gaps", json_integer((json_int_t)c->gaps));
    json_object_set_new(o, "above", json_integer((json_int_t)c->above));
    json_object_set_new(o, "most_above_ms", json_real(c->most_above_ms));
    return o;
}

void el_cli_certified_print(const el_cli_certified *c)
{
    if (c->path == NULL) return;
    if (!c->holds) {
        fprintf(stderr, " | a certificate does not hold here");
        return;
    }
    fprintf(stderr, " | certified: %llu of %llu gaps above", (unsigned long long)c->above,
            (unsigned long long)c->gaps);
    if (c->above > 0) fprintf(stderr, ", by %.2f ms at most", c->most_above_ms);
}

void el_cli_certified_print_line(const el_cli_certified *c, FILE *out)
{
    if (c->path == NULL) return;
    if (!c->holds) {
        fprintf(out, "certificate     is not used: %s\n", c->why.message);
        return;
    }
    fprintf(out, "certificate     %llu of %llu tokens took longer than the largest certified time",
            (unsigned long long)c->above, (unsigned long long)c->gaps);
    if (c->above > 0) fprintf(out, ", by %.2f ms at most", c->most_above_ms);
    fprintf(out, "\n");
}
