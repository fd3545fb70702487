/*
 * bench_run.c: the order of work: servers are opened before the load, which is forked before this
 * process has threads and a model; then blocks take turns, so that what drifts meets all backends.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/threads.h"
#include "cli/bench.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

/* ---- opening ------------------------------------------------------------------------------ */

static edgellm_status open_kind(el_cli_bench *b, bool servers, edgellm_error *err)
{
    for (uint32_t i = 0; i < b->n_backends; i++) {
        const el_cli_bench_kind *kind = b->backends[i].kind;
        if (kind->needs_address == servers) EL_CLI_TRY(kind->open(b, &b->backends[i], err));
    }
    return EDGELLM_OK;
}

/* Those of the servers, and this process's own if it is one of them or nothing else is known. */
static void find_cores(el_cli_bench *b)
{
    cpu_set_t own;
    bool mine = false;
    CPU_ZERO(&b->cores);
    for (uint32_t i = 0; i < b->n_backends; i++) {
        el_cli_bench_cores(&b->backends[i].pids, &b->cores);
        mine = mine || !b->backends[i].kind->needs_address;
    }
    if (!mine && CPU_COUNT(&b->cores) > 0) return;
    if (sched_getaffinity(0, sizeof own, &own) == 0) CPU_OR(&b->cores, &b->cores, &own);
}

static edgellm_status reserve(el_cli_bench *b, edgellm_error *err)
{
    const el_cli_bench_plan *p = &b->plan;
    for (uint32_t i = 0; i < b->n_backends; i++) {
        el_cli_bench_backend *backend = &b->backends[i];
        EL_CLI_TRY(el_cli_bench_series_reserve(&backend->series, p->runs, p->steps, p->blocks,
                                               p->trace && !backend->kind->needs_address, err));
        if (backend->kind->floor == NULL || b->floor.runs > 0) continue;
        EL_CLI_TRY(
            el_cli_bench_series_reserve(&b->floor, p->runs, p->passes, p->blocks, false, err));
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_bench_open(el_cli_bench *b, unsigned load, edgellm_error *err)
{
    b->load.gate = -1;
    if (!b->plan.plain) {
        b->tree = malloc(sizeof *b->tree);
        if (b->tree == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read /proc");
        b->tree->root = "";
    }
    EL_CLI_TRY(open_kind(b, true, err));
    find_cores(b);
    EL_CLI_TRY(el_cli_bench_load_prepare(&b->load, load, &b->cores, err));
    EL_CLI_TRY(open_kind(b, false, err));
    return reserve(b, err);
}

void el_cli_bench_close(el_cli_bench *b)
{
    el_cli_bench_load_stop(&b->load);
    for (uint32_t i = 0; i < b->n_backends; i++) {
        b->backends[i].kind->close(&b->backends[i]);
        el_cli_bench_series_release(&b->backends[i].series);
    }
    el_cli_bench_series_release(&b->floor);
    free(b->tree);
}

/* ---- a request ---------------------------------------------------------------------------- */

static el_cli_bench_ask next_ask(el_cli_bench *b, el_cli_bench_backend *backend,
                                 el_cli_bench_series *s, uint32_t block)
{
    el_cli_bench_ask a = {.bench = b,
                          .backend = backend,
                          .number = b->plan.first_number,
                          .slot = &s->requests[s->n],
                          .times = el_cli_bench_times(s, s->n)};
    if (s->trace != NULL) a.trace = s->trace + (size_t)s->n * (s->steps + 1);
    *a.slot = (el_cli_bench_request){.block = block,
                                     .tokens = EL_CLI_UNKNOWN,
                                     .prompt_tokens = EL_CLI_UNKNOWN,
                                     .prefill_ms = NAN};
    return a;
}

static edgellm_status ask(el_cli_bench *b, el_cli_bench_backend *backend, uint32_t block,
                          edgellm_error *err)
{
    el_cli_bench_ask a = next_ask(b, backend, &backend->series, block);
    a.number += backend->asked++;
    if (b->plan.plain) return backend->kind->ask(&a, err);
    el_cli_bench_read_counters(b->tree, &backend->pids, &b->cores, &a.slot->before);
    edgellm_status status = backend->kind->ask(&a, err);
    el_cli_bench_read_counters(b->tree, &backend->pids, &b->cores, &a.slot->after);
    return status;
}

/* Of this process after the first request: that allocates nothing, but mapped a second time, for
 * the floor, the file would count twice. */
static void note_peak(el_cli_bench *b, el_cli_bench_backend *backend)
{
    if (!backend->kind->needs_address) {
        if (backend->series.n == 1) backend->peak_bytes = el_cli_peak_rss();
        return;
    }
    const uint64_t now = el_cli_bench_peak(b->tree, &backend->pids);
    if (now > backend->peak_bytes) backend->peak_bytes = now;
}

static edgellm_status measure_request(el_cli_bench *b, el_cli_bench_backend *backend,
                                      uint32_t block, edgellm_error *err)
{
    EL_CLI_TRY(ask(b, backend, block, err));
    backend->series.n++;
    note_peak(b, backend);
    if (backend->kind->floor == NULL) return EDGELLM_OK;
    const el_cli_bench_ask a = next_ask(b, backend, &b->floor, block);
    EL_CLI_TRY(backend->kind->floor(&a, err));
    b->floor.n++;
    return EDGELLM_OK;
}

/* ---- blocks ------------------------------------------------------------------------------- */

static edgellm_status run_block(el_cli_bench *b, el_cli_bench_backend *backend, uint32_t block,
                                edgellm_error *err)
{
    uint32_t begin, end;
    el_share(b->plan.runs, block, b->plan.blocks, &begin, &end);
    for (uint32_t i = 0; i < b->plan.warmup; i++)
        EL_CLI_TRY(ask(b, backend, block, err));
    for (uint32_t i = begin; i < end; i++)
        EL_CLI_TRY(measure_request(b, backend, block, err));
    return EDGELLM_OK;
}

/* One backend's turn. False: nothing more is to be measured. */
static bool take_turn(el_cli_bench *b, el_cli_bench_backend *backend, uint32_t block)
{
    edgellm_error err = {EDGELLM_OK, ""};
    if (backend->failure.status != EDGELLM_OK) return true;
    edgellm_status status = run_block(b, backend, block, &err);
    if (!b->plan.plain) el_cli_bench_look(&backend->pids, &backend->threads);
    if (status == EDGELLM_ERR_INTERRUPTED || el_cli_interrupted() != 0) {
        el_cli_fail(&b->failure, EDGELLM_ERR_INTERRUPTED, "interrupted");
    } else if (status != EDGELLM_OK) {
        backend->failure = err;
    } else {
        (void)el_cli_bench_load_check(&b->load, &b->failure);
    }
    return b->failure.status == EDGELLM_OK;
}

static uint32_t count_requests(const el_cli_bench *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_backends; i++)
        n += b->backends[i].series.n;
    return n;
}

edgellm_status el_cli_bench_measure(el_cli_bench *b, edgellm_error *err)
{
    bool on = true;
    el_cli_bench_load_begin(&b->load);
    for (uint32_t block = 0; block < b->plan.blocks && on; block++) {
        for (uint32_t i = 0; i < b->n_backends && on; i++)
            on = take_turn(b, &b->backends[i], block);
    }
    el_cli_bench_count_certified(b);
    /* The plain form tells of the floor, too. */
    const bool partial = count_requests(b) > 0 && (!b->plan.plain || b->floor.n > 0);
    return partial ? EDGELLM_OK : el_cli_bench_verdict(b, err);
}

/* ---- what went wrong ---------------------------------------------------------------------- */

static edgellm_status verdict_of(const el_cli_bench_backend *backend, uint32_t runs,
                                 edgellm_error *err)
{
    const el_cli_bench_faulty count = el_cli_bench_count_faulty(&backend->series);
    if (backend->failure.status != EDGELLM_OK) {
        return el_cli_fail(err, backend->failure.status,
                           "%.120s failed after %u of %u requests: %.300s", backend->title,
                           backend->series.n, runs, backend->failure.message);
    }
    if (count.failed + count.fewer == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO,
                       "%.120s: of %u requests %u failed, %u gave fewer tokens than asked for; "
                       "the first: %.240s",
                       backend->title, backend->series.n, count.failed, count.fewer,
                       backend->complaint.message);
}

edgellm_status el_cli_bench_verdict(const el_cli_bench *b, edgellm_error *err)
{
    if (b->failure.status != EDGELLM_OK) {
        *err = b->failure;
        return err->status;
    }
    for (uint32_t i = 0; i < b->n_backends; i++) {
        const el_cli_bench_backend *backend = &b->backends[i];
        if (b->plan.plain && backend->failure.status != EDGELLM_OK) {
            *err = backend->failure;
            return err->status;
        }
        EL_CLI_TRY(verdict_of(backend, b->plan.runs, err));
    }
    return EDGELLM_OK;
}
