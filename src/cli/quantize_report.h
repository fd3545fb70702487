/*
 * quantize_report.h: what `edgellm quantize` tells of a file that it has made: figures from const
 * tables, in text and in JSON, and the matrices as they lie in the file.
 */
#ifndef EL_CLI_QUANTIZE_REPORT_H
#define EL_CLI_QUANTIZE_REPORT_H

#include <jansson.h>

#include "base/outfile.h"
#include "cli/cli.h"

/* ---- figures ------------------------------------------------------------------------------ */

typedef enum el_cli_figure_kind {
    EL_CLI_FIGURE_FLAG, /* bool */
    EL_CLI_FIGURE_U32,
    EL_CLI_FIGURE_U64,
    EL_CLI_FIGURE_REAL,  /* double; NaN and 0: was not measured */
    EL_CLI_FIGURE_SHARE, /* the same, 0 .. 1: text shows percent */
    EL_CLI_FIGURE_TEXT,  /* const char *; may be NULL */
    EL_CLI_FIGURE_CHARS  /* char [], ended by NUL */
} el_cli_figure_kind;

typedef struct el_cli_figure {
    const char *name;  /* in JSON; NULL ends a table */
    const char *title; /* in text; NULL: not there */
    el_cli_figure_kind kind;
    size_t field; /* offset in a struct */
} el_cli_figure;

void el_cli_figures_print(const el_cli_figure *table, const void *values);
void el_cli_figures_json(const el_cli_figure *table, const void *values, json_t *object);

/* A number of bits: 1.6 for EL_ROUND_TERNARY. */
json_t *el_cli_bits_json(unsigned bits);

/* ---- the finished file --------------------------------------------------------------------- */

typedef struct el_cli_made_kind {
    char codec[8];
    uint32_t group; /* 0: the row */
    uint64_t matrices, weights, bytes;
} el_cli_made_kind;

typedef struct el_cli_made {
    uint64_t parameters;
    json_t *matrices;        /* array; owned until it is put into an object */
    el_cli_made_kind *kinds; /* (n_kinds), owned */
    size_t n_kinds;
} el_cli_made;

/* An el_tm2_judge of a file that is to get its name: a file that this version cannot run would only
 * disappoint later. Reads all matrices. Errors: as edgellm_engine_open(), MEMORY. */
edgellm_status el_cli_made_look(void *made, const char *temporary, edgellm_error *err);
void el_cli_made_print(const el_cli_made *made);
void el_cli_made_free(el_cli_made *made);

/* ---- the report ---------------------------------------------------------------------------- */

/* Opened first, so that a place that cannot be written is known before the work begins.
 * Errors: IO, MEMORY. */
edgellm_status el_cli_report_open(el_outfile *out, const char *path, edgellm_error *err);

typedef struct el_cli_report_parts {
    const char *source, *target;
    json_t *options, *result; /* objects; released */
    const el_cli_made *made;
} el_cli_report_parts;

/* The report appears whole, or not at all. Errors: IO, MEMORY; they say that the model is complete
 * all the same. */
edgellm_status el_cli_report_write(el_outfile *out, const el_cli_report_parts *parts,
                                   edgellm_error *err);

/* One that was not written leaves nothing behind; one that was, or {0}, is left alone. */
void el_cli_report_cancel(el_outfile *out);

#endif
