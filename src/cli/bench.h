/*
 * bench.h: what `edgellm bench` measures and holds. A backend answers requests; a series is what
 * one of them took, token by token; the floor is a series too, of a bare loop that only reads what
 * a token reads. Nothing is allocated while requests are measured: series are reserved before.
 */
#ifndef EL_CLI_BENCH_H
#define EL_CLI_BENCH_H

#include <sched.h>

#include "cli/bench_load.h"
#include "cli/bench_process.h"
#include "cli/bench_series.h"
#include "cli/cli_certificate.h"
#include "cli/cli_climate.h"
#include "cli/cli_model.h"

enum {
    EL_CLI_BENCH_BACKENDS = 8,
    EL_CLI_BENCH_PASSES = 8, /* of the floor after each request of the plain form */
};

/* What every backend is asked for. */
typedef struct el_cli_bench_plan {
    uint32_t runs, warmup, blocks; /* runs: of all blocks; warmup: before each of them */
    uint32_t steps;                /* tokens after the first */
    uint32_t passes;               /* of the floor after each request */
    const char *prompt;            /* NULL: tokens at random, prompt_tokens of them */
    uint32_t prompt_tokens;
    uint64_t first_number; /* of the requests, which `unique` puts in front of each prompt */
    bool plain;            /* nothing is watched but times */
    bool unique, chat, trace;
    const char *emulated;    /* the processor, as the user says; NULL: it is real */
    uint32_t timeout;        /* seconds, of a server */
    const char *path;        /* of the model file of this process; NULL: none */
    const char *certificate; /* as el_cli_certified_find() takes it */
    el_cli_climate_values climate;
    el_cli_model_values model;
} el_cli_bench_plan;

struct el_cli_bench_kind;

typedef struct el_cli_bench_backend {
    const struct el_cli_bench_kind *kind;
    const char *address;         /* URL; NULL: in this process */
    char title[112], model[128]; /* for tables: what it is and where */
    bool is_peer;                /* an Ollama or a llama-server: ratios are taken against it */
    void *own;                   /* the kind's; NULL: not open */
    el_cli_bench_series series;
    el_cli_bench_pids pids;       /* the processes that serve it on this machine */
    el_cli_bench_threads threads; /* how they are scheduled */
    uint64_t peak_bytes;          /* of all of them; 0: not known */
    uint64_t asked;               /* requests so far, warm-ups included */
    edgellm_error failure;        /* what ended it; OK: nothing */
    edgellm_error complaint;      /* the first request that failed or was short; OK: none */
} el_cli_bench_backend;

typedef struct el_cli_bench {
    el_cli_bench_plan plan;
    el_cli_bench_backend backends[EL_CLI_BENCH_BACKENDS];
    uint32_t n_backends;
    el_cli_bench_series floor; /* no requests where no backend has one */
    el_cli_bench_load load;
    el_cli_tree *tree;     /* to read /proc and /sys with */
    cpu_set_t cores;       /* that backends may use */
    edgellm_error failure; /* what ended all: a signal, the load; OK: nothing */
} el_cli_bench;

/* A request to answer: slot is where the series keeps it. */
typedef struct el_cli_bench_ask {
    el_cli_bench *bench;
    el_cli_bench_backend *backend;
    uint64_t number;              /* unique in this run */
    el_cli_bench_request *slot;   /* zeroed */
    double *times;                /* (steps + 1) milliseconds since the request's start */
    el_cli_bench_counters *trace; /* (steps + 1) after each token; NULL: not wanted */
} el_cli_bench_ask;

/* One way to answer requests; a row of the table in bench_backend.c. */
typedef struct el_cli_bench_kind {
    const char *name;
    bool needs_address;
    /* Sets title, model, is_peer, pids. Errors: of all kinds; close() releases what was made. */
    edgellm_status (*open)(el_cli_bench *bench, el_cli_bench_backend *backend, edgellm_error *err);
    /* Fills in the slot. A request that failed is noted in it, with an OK; an error ends the
     * backend. Errors: INTERRUPTED too. */
    edgellm_status (*ask)(const el_cli_bench_ask *ask, edgellm_error *err);
    /* The bare loop, into slot and times; NULL: there is none. */
    edgellm_status (*floor)(const el_cli_bench_ask *ask, edgellm_error *err);
    void (*close)(el_cli_bench_backend *backend);
} el_cli_bench_kind;

extern const el_cli_bench_kind el_cli_bench_local, el_cli_bench_ollama, el_cli_bench_openai;

/* ---- bench_backend.c ---------------------------------------------------------------------- */

/* From "edgellm", "ollama=URL" or "openai=URL". Errors: USAGE. */
edgellm_status el_cli_bench_backend_parse(el_cli_bench_backend *backend, const char *text,
                                          edgellm_error *err);

/* The prompt of a request, with a number in front of it if prompts are to differ; all are of the
 * same length. The bytes are with the NUL. */
size_t el_cli_bench_prompt_bytes(const el_cli_bench_plan *plan);
void el_cli_bench_prompt(const el_cli_bench_plan *plan, uint64_t number, char *text, size_t size);

/* A prompt of n common words, most of which are a token each in any vocabulary; owned: free().
 * NULL: no memory. */
char *el_cli_bench_words(uint32_t n);

/* ---- bench_local.c ------------------------------------------------------------------------ */

/* What a report tells of the engine in this process; false if there is none. */
typedef struct el_cli_bench_facts {
    const el_cli_model *model;
    const el_cli_certified *certified;
    const el_cli_climate *climate;
    uint64_t roof_bytes; /* that a pass of the floor reads; 0: none was made */
    bool roof_copied;    /* of a copy, not a map, of the file */
} el_cli_bench_facts;
bool el_cli_bench_facts_of(const el_cli_bench *bench, el_cli_bench_facts *facts);

/* Counts what was measured against the certificate, if there is one. Once. */
void el_cli_bench_count_certified(el_cli_bench *bench);

/* ---- bench_run.c -------------------------------------------------------------------------- */

/* Opens the backends and reserves what they need. Close in any case. */
edgellm_status el_cli_bench_open(el_cli_bench *bench, unsigned load, edgellm_error *err);
void el_cli_bench_close(el_cli_bench *bench);

/* All blocks. A backend that fails is left out from then on, the others go on. OK also then: see
 * el_cli_bench_verdict(). Errors: IO (the load); where nothing was measured, the first failure. */
edgellm_status el_cli_bench_measure(el_cli_bench *bench, edgellm_error *err);

/* What went wrong in all: OK; INTERRUPTED; else IO or what the engine said. */
edgellm_status el_cli_bench_verdict(const el_cli_bench *bench, edgellm_error *err);

#endif
