/*
 * cmd_soak.c: `edgellm soak`: are deadlines kept? Requests of random lengths with deadlines, under
 * a load if wanted, and what became of them; with --rt promises that were broken are an error.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/outfile.h"
#include "cli/bench_load.h"
#include "cli/cli_certificate.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_stats.h"
#include "cli/soak_requests.h"

static const uint64_t calibration_ns = 2000000000;

/* What is promised of those requests that the machine did not disturb; and of all. */
static const double least_admitted = 0.95, least_used = 0.8, most_late = 0.01;

typedef struct soak_values {
    el_cli_model_values model;
    const char *certificate, *output;
    uint32_t requests, most_prompt, most_answer, load;
    uint64_t seed;
    bool json, quiet;
} soak_values;

/* What the requests came to. */
typedef struct sums {
    uint32_t enough, enough_admitted; /* with EDGELLM_ADMITTED_AT times the forecast or more */
    uint32_t fates[3], begun;
    uint64_t fit, used;       /* tokens of those begun; of what fits */
    double gap;               /* P50, milliseconds; NaN: there is none, and nobody may be late */
    uint32_t late, late_more; /* at all; by more than that */
    uint32_t broken;          /* of late_more: with nothing of the machine to blame */
    double most_late;
} sums;

typedef struct work {
    const soak_values *v;
    el_cli_model model;
    el_cli_certified certified;
    edgellm_costs costs;
    cpu_set_t cores;
    el_cli_bench_load load;
    char load_words[160];
    double seconds;
    el_cli_soak_results results;
    sums sums;
} work;

/* ---- summing up --------------------------------------------------------------------------- */

static void sum_late(sums *s, const el_cli_soaked *q)
{
    const double late = el_cli_soaked_late(q);
    if (late <= 0) return;
    s->late++;
    if (late > s->most_late) s->most_late = late;
    if (late <= s->gap) return;
    s->late_more++;
    if (!q->disturbed) s->broken++;
}

static void sum_request(sums *s, const el_cli_soaked *q)
{
    s->fates[q->fate]++;
    if (q->share >= EDGELLM_ADMITTED_AT) {
        s->enough++;
        s->enough_admitted += q->fate == EL_CLI_WHOLE;
    }
    if (q->fate == EL_CLI_REFUSED) return;
    s->begun++;
    s->fit += q->fit;
    s->used += q->got < q->fit ? q->got : q->fit;
    sum_late(s, q);
}

static sums sum_up(const el_cli_soak_results *r)
{
    el_cli_sort(r->gaps_ms, r->n_gaps);
    sums s = {.gap = el_cli_median(r->gaps_ms, r->n_gaps)};
    for (uint32_t i = 0; i < r->n; i++)
        sum_request(&s, &r->requests[i]);
    return s;
}

static double share_of(double part, double whole)
{
    return whole > 0 ? part / whole : 1;
}

/* ---- saying ------------------------------------------------------------------------------- */

static const char *const fates[] = {"whole", "shortened", "refused"};

static json_t *request_json(const el_cli_soaked *q)
{
    json_t *o = json_object();
    json_object_set_new(o, "fate", json_string(fates[q->fate]));
    json_object_set_new(o, "prompt_tokens", json_integer(q->prompt));
    json_object_set_new(o, "answer_tokens", json_integer(q->answer));
    json_object_set_new(o, "fit", json_integer(q->fit));
    json_object_set_new(o, "tokens", json_integer(q->got));
    json_object_set_new(o, "forecast_ms", el_cli_json_real(q->forecast_ms));
    json_object_set_new(o, "deadline_ms", el_cli_json_real(q->deadline_ms));
    json_object_set_new(o, "taken_ms",
                        q->fate != EL_CLI_REFUSED ? json_real(q->taken_ms) : json_null());
    json_object_set_new(o, "late_ms", json_real(el_cli_soaked_late(q)));
    json_object_set_new(o, "disturbed", json_boolean(q->disturbed));
    json_object_set_new(o, "causes", el_cli_bench_cause_json(q->causes));
    return o;
}

static void add_sums(json_t *o, const sums *s)
{
    for (int i = 0; i < 3; i++)
        json_object_set_new(o, fates[i], json_integer(s->fates[i]));
    json_object_set_new(o, "with_enough_time", json_integer(s->enough));
    json_object_set_new(o, "of_those_admitted", json_integer(s->enough_admitted));
    json_object_set_new(o, "tokens_that_fit", json_integer((json_int_t)s->fit));
    json_object_set_new(o, "tokens_of_those", json_integer((json_int_t)s->used));
    json_object_set_new(o, "late", json_integer(s->late));
    json_object_set_new(o, "late_by_more_than_a_gap", json_integer(s->late_more));
    json_object_set_new(o, "of_those_undisturbed", json_integer(s->broken));
    json_object_set_new(o, "most_late_ms", json_real(s->most_late));
}

static json_t *soak_json(const work *w)
{
    json_t *o = json_object(), *all = json_array();
    json_object_set_new(o, "seconds", json_real(w->seconds));
    json_object_set_new(o, "seed", json_integer((json_int_t)w->v->seed));
    json_object_set_new(o, "load", json_string(w->load_words));
    json_object_set_new(o, "certificate", el_cli_certified_json(&w->certified));
    json_object_set_new(o, "step_ms", el_cli_json_real(w->costs.step / 1e6));
    json_object_set_new(o, "step_position_ms", el_cli_json_real(w->costs.step_position / 1e6));
    json_object_set_new(o, "step_margin_ms", el_cli_json_real(w->costs.step_margin / 1e6));
    el_cli_realtime_add(o, w->model.session);
    add_sums(o, &w->sums);
    json_object_set_new(o, "gap_ms", el_cli_distribution(w->results.gaps_ms, w->results.n_gaps));
    for (uint32_t i = 0; i < w->results.n; i++)
        json_array_append_new(all, request_json(&w->results.requests[i]));
    json_object_set_new(o, "requests", all);
    return o;
}

static void print_late(const work *w)
{
    char causes[200];
    const sums *s = &w->sums;
    printf("late            %u of %u (%.2f %%)", s->late, s->begun,
           100 * share_of(s->late, s->begun));
    if (s->late > 0)
        printf(", by %.2f ms at most; by more than a gap %u, %u of them undisturbed", s->most_late,
               s->late_more, s->broken);
    printf("\n");
    for (uint32_t i = 0; i < w->results.n; i++) {
        const el_cli_soaked *q = &w->results.requests[i];
        if (el_cli_soaked_late(q) <= 0) continue;
        printf("  request %-5u %u + %u tokens, %u came, deadline %.2f ms: late by %.2f ms, %s\n", i,
               q->prompt, q->answer, q->got, q->deadline_ms, el_cli_soaked_late(q),
               el_cli_bench_cause_words(q->causes, causes, sizeof causes));
    }
}

static void print_text(const work *w)
{
    const sums *s = &w->sums;
    printf("load            %s\n", w->load_words);
    el_cli_realtime_print(w->model.session, stdout);
    printf("forecast        by %s: %.3f ms a token, %.3f us for each position before it, margin "
           "%.3f ms\n",
           w->certified.holds ? w->certified.path : "a calibration", w->costs.step / 1e6,
           w->costs.step_position / 1e3, w->costs.step_margin / 1e6);
    printf("requests        %u in %.1f s: %u whole, %u shortened, %u refused\n", w->results.n,
           w->seconds, s->fates[EL_CLI_WHOLE], s->fates[EL_CLI_SHORTENED],
           s->fates[EL_CLI_REFUSED]);
    printf("admitted        %u of %u with %.2f times the forecast or more\n", s->enough_admitted,
           s->enough, EDGELLM_ADMITTED_AT);
    printf("tokens          %llu of %llu that fit (%.1f %%)\n", (unsigned long long)s->used,
           (unsigned long long)s->fit, 100 * share_of((double)s->used, (double)s->fit));
    if (w->results.n_gaps > 0) el_cli_print_tail("gaps", w->results.gaps_ms, w->results.n_gaps);
    print_late(w);
}

static edgellm_status write_report(const work *w, el_outfile *out, edgellm_error *err)
{
    char *text = el_cli_json_dump(soak_json(w), JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the report");
    el_outfile_write(out, text, strlen(text));
    free(text);
    return el_outfile_commit(out, err);
}

/* On standard output also where the file cannot be written (a full disk). */
static edgellm_status tell(const work *w, el_outfile *out, edgellm_error *err)
{
    edgellm_error late = {EDGELLM_OK, ""};
    const edgellm_status written = w->v->output != NULL ? write_report(w, out, &late) : EDGELLM_OK;
    if (w->v->json)
        EL_CLI_TRY(el_cli_print_json(soak_json(w), err));
    else
        print_text(w);
    if (written != EDGELLM_OK) *err = late;
    return written;
}

/* ---- keeping what was promised ------------------------------------------------------------ */

/* Only --rt promises anything: without it misses are counted and told. */
static edgellm_status verdict(const work *w, edgellm_error *err)
{
    const sums *s = &w->sums;
    if (!w->v->model.session.realtime) return EDGELLM_OK;
    if (share_of(s->enough_admitted, s->enough) < least_admitted)
        return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                           "only %u of %u with enough time were admitted", s->enough_admitted,
                           s->enough);
    if (share_of((double)s->used, (double)s->fit) < least_used)
        return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                           "answers ended early: %llu of %llu tokens that fit came; the board is "
                           "slower than forecast: certify under this load",
                           (unsigned long long)s->used, (unsigned long long)s->fit);
    if (s->broken > 0)
        return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                           "%u answers ended more than a gap after their deadline, though the "
                           "machine shows neither stolen time nor throttling",
                           s->broken);
    if (share_of(s->late, s->begun) > most_late)
        return el_cli_fail(err, EDGELLM_ERR_DEADLINE,
                           "%u of %u answers were late, at most %.0f %% "
                           "may be",
                           s->late, s->begun, 100 * most_late);
    return EDGELLM_OK;
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status find_costs(work *w, const edgellm_session_options *o, edgellm_error *err)
{
    EL_CLI_TRY(el_cli_certified_find(&w->certified, w->v->certificate, &w->model, o, err));
    if (w->certified.holds) {
        w->costs = w->certified.certificate.costs;
        return EDGELLM_OK;
    }
    EL_CLI_TRY(edgellm_session_calibrate(w->model.session, calibration_ns, &w->costs, err));
    return edgellm_session_set_costs(w->model.session, &w->costs, err);
}

static edgellm_status soak(work *w, el_outfile *out, edgellm_error *err)
{
    const soak_values *v = w->v;
    const el_cli_soak_plan plan = {.requests = v->requests,
                                   .most_prompt = v->most_prompt,
                                   .most_answer = v->most_answer,
                                   .seed = v->seed,
                                   .progress = !v->quiet && isatty(STDERR_FILENO)};
    edgellm_session_options o = v->model.session;
    if (o.context == 0) o.context = v->most_prompt + v->most_answer;
    EL_CLI_TRY(el_cli_model_start(&w->model, &o, err));
    el_cli_bench_load_begin(&w->load);
    EL_CLI_TRY(find_costs(w, &o, err));
    const double start = el_cli_now_ms();
    edgellm_status status =
        el_cli_soak_requests(&plan, &w->model, &w->costs, &w->cores, &w->results, err);
    w->seconds = (el_cli_now_ms() - start) / 1e3;
    if (status != EDGELLM_OK && status != EDGELLM_ERR_INTERRUPTED) return status;
    /* A signal to all ends the load, too; and where the load has ended, what was is told. */
    if (status == EDGELLM_OK) status = el_cli_bench_load_check(&w->load, err);
    w->sums = sum_up(&w->results);
    EL_CLI_TRY(tell(w, out, err));
    return status == EDGELLM_OK ? verdict(w, err) : status;
}

/* The load is forked before there are threads, on the cores that those may have. */
static edgellm_status open_all(work *w, const char *path, edgellm_error *err)
{
    w->load.gate = -1;
    EL_CLI_TRY(el_cli_model_open_adapted(&w->model, path, &w->v->model, err));
    EL_CLI_TRY(el_cli_bench_load_prepare_here(&w->load, w->v->load, &w->cores, err));
    el_cli_bench_load_words(&w->load, w->load_words, sizeof w->load_words);
    return EDGELLM_OK;
}

static edgellm_status run(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    work w = {.v = values};
    el_outfile out = {.temporary = NULL};
    (void)n_operands;
    if (w.v->output != NULL) EL_CLI_TRY(el_outfile_create(&out, w.v->output, err));
    edgellm_status status = open_all(&w, operands[0], err);
    if (status == EDGELLM_OK) status = soak(&w, &out, err);
    if (out.temporary != NULL) el_outfile_cancel(&out);
    el_cli_bench_load_stop(&w.load);
    el_cli_soak_results_release(&w.results);
    el_cli_certified_release(&w.certified);
    el_cli_model_close(&w.model);
    return status;
}

#define FIELD(member) offsetof(soak_values, member)
#define WHOLE_MAX     9007199254740991.0

static const el_cli_option options[] = {
    {"requests", 0, EL_CLI_U32, FIELD(requests), "N", "1000", "requests", 1, 10000000, NULL},
    {"prompt-tokens", 'p', EL_CLI_U32, FIELD(most_prompt), "N", "96",
     "prompts have 1 to N tokens, at random", 1, 1048576, NULL},
    {"tokens", 'n', EL_CLI_U32, FIELD(most_answer), "N", "64", "answers are to have 1 to N tokens",
     1, 65536, NULL},
    {"seed", 's', EL_CLI_U64, FIELD(seed), "N", "1", "of lengths and deadlines", 0, WHOLE_MAX,
     NULL},
    EL_CLI_LOAD_ROW(soak_values),
    {"output", 'o', EL_CLI_OUTPUT, FIELD(output), "FILE", NULL, "all requests and figures, as JSON",
     0, 0, NULL},
    EL_CLI_CONTEXT_ROW(soak_values, NULL, "context in tokens; what the requests need"),
    EL_CLI_SESSION_ROWS(soak_values),
    EL_CLI_REALTIME_ROWS(soak_values),
    EL_CLI_ENGINE_ROWS(soak_values),
    EL_CLI_CERTIFICATE_ROW(soak_values),
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_soak = {
    .name = "soak",
    .summary = "are deadlines kept? many requests, under load",
    .synopsis = "soak MODEL [options]",
    .about =
        "Sends requests of random lengths, one after the other, each with a deadline of 0.5 to\n"
        "2 times its forecast, as run --deadline-ms does: what fits is admitted, of the rest as\n"
        "much is answered as fits, where not even a token does it is refused. Tells how many\n"
        "with 1.15 times the forecast were admitted, what part of the tokens that fit came, and\n"
        "each answer that ended late, with what the kernel's counters show.\n"
        "The forecast is by the certificate (edgellm certify), or by a calibration at the start.\n"
        "With --rt it is an error (exit code 9) if fewer than 95 % of those were admitted, fewer\n"
        "than 80 % of the tokens came, more than 1 % were late, or one by more than a median gap\n"
        "while the machine shows no stolen time and no throttling. Without, it is only told.\n",
    .examples = "  edgellm soak model.tm2.bin --rt --load all\n"
                "  edgellm soak model.tm2.bin --requests 100 -j 1 --certificate board.json\n",
    .options = options,
    .values_size = sizeof(soak_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = run,
};
