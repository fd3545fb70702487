/*
 * cli_certificate.h: what `edgellm certify` has measured of one model on one board, as a JSON file;
 * and its use by other commands. A certificate says what was measured, never what must be.
 *
 * It belongs to a model (the checksums of what it computes), a version of the program, a kernel
 * level, a number of threads, a mode and a board, up to its context and batch; with another of
 * those it is refused. A checksum over the rest of the file finds what was changed by hand.
 */
#ifndef EL_CLI_CLI_CERTIFICATE_H
#define EL_CLI_CLI_CERTIFICATE_H

#include <jansson.h>
#include <stdio.h>

#include "cli/cli_board.h"
#include "cli/cli_model.h"

enum { EL_CLI_CERTIFICATE_FORMAT = 1 };

/* What runs: a certificate of something else says nothing about it. */
typedef struct el_cli_setup {
    char version[16], kernel[24];
    char identity[32]; /* of edgellm_engine_info(), in hexadecimal */
    uint32_t threads, batch, context;
    uint32_t kv_bits; /* 8, if the file does not say it */
    bool exact, constant_time, realtime;
    bool copied; /* the weights; as realtime, if the file does not say it */
} el_cli_setup;

typedef struct el_cli_certificate {
    el_cli_setup setup;
    el_cli_board board;
    edgellm_costs costs;
    double most_over;   /* nanoseconds: the most that a step took beyond costs.step(position) */
    double step_share;  /* median of a step's time over what is forecast; and of a chunk's: what */
    double chunk_share; /* `certify --check` compares */
} el_cli_certificate;

/* How the model runs in its session; in one, or a scheduler, of that plan. */
el_cli_setup el_cli_setup_of(const el_cli_model *model, const edgellm_session_options *options);
el_cli_setup el_cli_setup_planned(const el_cli_model *model, const edgellm_memory_plan *plan,
                                  const edgellm_session_options *options);

/* The default place of a setup's certificate. Owned: free(). NULL: nowhere; no memory. */
char *el_cli_certificate_path(const el_cli_setup *setup);

/* ---- the file ----------------------------------------------------------------------------- */

/* All but what was only counted: add that under keys of its own, then seal it. */
json_t *el_cli_certificate_json(const el_cli_certificate *c);

/* Adds the checksum of everything else. Errors: MEMORY. */
edgellm_status el_cli_certificate_seal(json_t *object, edgellm_error *err);

/* Errors: IO (cannot be opened or read), FORMAT (no certificate, changed or damaged), UNSUPPORTED
 * (another format), MEMORY. */
edgellm_status el_cli_certificate_load(el_cli_certificate *c, const char *path, edgellm_error *err);

/* Does it hold for this setup on this board? Errors: UNSUPPORTED, naming what differs. */
edgellm_status el_cli_certificate_check(const el_cli_certificate *c, const char *path,
                                        const el_cli_setup *setup, const el_cli_board *board,
                                        edgellm_error *err);

/* ---- its use ------------------------------------------------------------------------------ */

#define EL_CLI_CERTIFICATE_ROW(type)                                                               \
    {                                                                                              \
        .name = "certificate", .kind = EL_CLI_INPUT, .field = offsetof(type, certificate),         \
        .argument = "FILE",                                                                        \
        .help = "what edgellm certify wrote; that of the cache if not given; or none"              \
    }

/* A certificate that is used, or the reason why not; and what was counted against it. */
typedef struct el_cli_certified {
    el_cli_certificate certificate;
    char *path;           /* NULL: there is none */
    bool holds;           /* it is used */
    edgellm_error why;    /* that one was found, but is not */
    double mask;          /* ns that a grammar's takes in a step; 0: answers keep to none */
    uint64_t gaps, above; /* times from token to token; of those, above the certified maximum */
    double most_above_ms;
} el_cli_certified;

/*
 * given: a file; "none"; NULL: the default place, where one that is missing, or does not hold, is
 * no error. Needs the model's session. Start with {0}; release it in any case. Errors: those of
 * loading and checking a file that was given; MEMORY.
 */
edgellm_status el_cli_certified_find(el_cli_certified *c, const char *given,
                                     const el_cli_model *model,
                                     const edgellm_session_options *options, edgellm_error *err);

/* The same for a scheduler of `sessions`, which must have what passes of them take (certify
 * --sessions), or it does not hold. */
edgellm_status el_cli_certified_find_passes(el_cli_certified *c, const char *given,
                                            const el_cli_model *model, edgellm_scheduler *scheduler,
                                            uint32_t sessions,
                                            const edgellm_session_options *options,
                                            edgellm_error *err);
void el_cli_certified_release(el_cli_certified *c);

/* Counts the time of a step at `position` against the largest that was certified for it, beside
 * what a grammar's mask was certified to take. */
void el_cli_certified_count(el_cli_certified *c, uint32_t position, double ms);

/* null if there is none; else "file", "used", and either "why" or "gaps", "above", "most_above_ms".
 */
json_t *el_cli_certified_json(const el_cli_certified *c);

/* A line of its own, if there is one: "certificate     0 of 640 tokens took longer ...". */
void el_cli_certified_print_line(const el_cli_certified *c, FILE *out);

/* " | certified: 0 of 29 gaps above" to standard error, if there is one. */
void el_cli_certified_print(const el_cli_certified *c);

#endif
