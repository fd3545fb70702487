/*
 * cli.h: what a command of the `edgellm` program is. One file a command, one row of the table in
 * main.c; for a command that is a program of its own (cli_external.h) a main file too. A command
 * gets its options parsed and its operands counted; it returns a status and a message, prints
 * results on standard output and never exits by itself.
 */
#ifndef EL_CLI_CLI_H
#define EL_CLI_CLI_H

#include "edgellm.h"

typedef struct el_cli_option el_cli_option;

/*
 * values: the command's own struct, filled in from its option table. Operands as typed.
 * A command that was interrupted returns INTERRUPTED; with an empty message nothing is printed.
 */
typedef edgellm_status (*el_cli_fn)(const void *values, char **operands, int n_operands,
                                    edgellm_error *err);

typedef struct el_cli_command {
    const char *name;
    const char *summary;  /* one line for `edgellm --help`; NULL: not in this program's table */
    const char *synopsis; /* after "edgellm ": "run MODEL -p TEXT [options]" */
    const char *about;    /* a few lines, each ended by \n */
    const char *examples; /* one command a line, each ended by \n */
    const el_cli_option *options; /* ends with a row without name */
    size_t values_size;           /* bytes of the struct the options fill in */
    int min_operands, max_operands;
    /* The first operand is a model: it may be a name in the store (cli_store.h). */
    enum { EL_CLI_NO_MODEL, EL_CLI_RUNS_MODEL, EL_CLI_QUANTIZES_MODEL } model;
    el_cli_fn run;
} el_cli_command;

extern const el_cli_command el_cli_cmd_run;
extern const el_cli_command el_cli_cmd_chat;
extern const el_cli_command el_cli_cmd_quantize;
extern const el_cli_command el_cli_cmd_info;
extern const el_cli_command el_cli_cmd_tokenize;
extern const el_cli_command el_cli_cmd_embed;
extern const el_cli_command el_cli_cmd_perplexity;
extern const el_cli_command el_cli_cmd_bench;
extern const el_cli_command el_cli_cmd_certify;
extern const el_cli_command el_cli_cmd_soak;
extern const el_cli_command el_cli_cmd_doctor;
extern const el_cli_command el_cli_cmd_serve;
extern const el_cli_command el_cli_cmd_batch;
extern const el_cli_command el_cli_cmd_pull;
extern const el_cli_command el_cli_cmd_list;
extern const el_cli_command el_cli_cmd_show;
extern const el_cli_command el_cli_cmd_rm;

/* Writes the message (what is not printable UTF-8 becomes '?') and returns `status`. */
edgellm_status el_cli_fail(edgellm_error *err, edgellm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* it reads one file at a time: tell it that a failure is never OK */
static inline edgellm_status el_cli_failure(edgellm_status returned, edgellm_status status)
{
    (void)returned;
    return status;
}
#define el_cli_fail(err, status, ...) el_cli_failure(el_cli_fail(err, status, __VA_ARGS__), status)
#endif

#define EL_CLI_TRY(call)                                                                           \
    do {                                                                                           \
        edgellm_status el_status_ = (call);                                                        \
        if (el_status_ != EDGELLM_OK) return el_status_;                                           \
    } while (0)

#endif
