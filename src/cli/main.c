/*
 * main.c: the `edgellm` program. Finds the command, has its options parsed, runs it and turns its
 * status into an exit code: the only place that ends the program or prints an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"

static const el_cli_command *const commands[] = {
    &el_cli_cmd_run,      &el_cli_cmd_chat,       &el_cli_cmd_quantize, &el_cli_cmd_info,
    &el_cli_cmd_tokenize, &el_cli_cmd_perplexity, &el_cli_cmd_bench,    &el_cli_cmd_doctor,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char exit_codes[] =
    "exit codes:\n"
    "  0    success\n"
    "  1    a bug in EdgeLLM: please report it\n"
    "  2    usage: an unknown option or command, a number out of range\n"
    "  3    input or output: a file or standard output cannot be opened, read or written\n"
    "  4    format: a file is truncated, damaged or not what it claims to be\n"
    "  5    unsupported: the file is sound, but this version cannot use it\n"
    "  6    memory: it ran out, or the plan exceeds --max-ram\n"
    "  7    context: the prompt does not fit into the context\n"
    "  130  interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP)\n"
    "An error is one line on standard error that starts with \"edgellm: \".\n";

static const el_cli_command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    }
    return NULL;
}

static void print_overview(void)
{
    printf("EdgeLLM %s: a language model on a small CPU, with known latency\n\n"
           "usage: edgellm COMMAND [options]\n"
           "       edgellm MODEL -p TEXT [options]     the same as: edgellm run MODEL ...\n"
           "       edgellm help COMMAND                the same as: edgellm COMMAND --help\n"
           "       edgellm --version\n\ncommands:\n",
           edgellm_version());
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("\n%s", exit_codes);
}

static edgellm_status unknown_command(const char *name, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'%.200s' is neither a command nor a file (see edgellm --help)", name);
}

/* `edgellm help [COMMAND]`: argv[0] is "help". */
static edgellm_status help(int argc, char **argv, edgellm_error *err)
{
    if (argc > 2) return el_cli_fail(err, EDGELLM_ERR_USAGE, "usage: edgellm help [COMMAND]");
    if (argc < 2) {
        print_overview();
        return EDGELLM_OK;
    }
    const el_cli_command *command = find_command(argv[1]);
    if (command == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "there is no command '%.200s' (see edgellm --help)", argv[1]);
    }
    el_cli_print_help(command, stdout);
    return EDGELLM_OK;
}

/* argv[0] is the command's name. */
static edgellm_status run_command(const el_cli_command *command, int argc, char **argv,
                                  edgellm_error *err)
{
    char **operands = NULL;
    bool wants_help = false;
    void *values = calloc(1, command->values_size);
    if (values == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the options");
    edgellm_status status = el_cli_parse(command, argc, argv, values, &operands, &wants_help, err);
    if (status == EDGELLM_OK && wants_help) {
        el_cli_print_help(command, stdout);
    } else if (status == EDGELLM_OK) {
        status = command->run(values, operands, argc - (int)(operands - argv), err);
    }
    free(values);
    return status;
}

/* Looks like a model rather than a mistyped command? */
static bool names_a_file(const char *word)
{
    return strpbrk(word, "/.") != NULL || access(word, F_OK) == 0;
}

static edgellm_status dispatch(int argc, char **argv, edgellm_error *err)
{
    const char *first = argc > 1 ? argv[1] : "--help";
    const el_cli_command *command = find_command(first);
    if (command != NULL) return run_command(command, argc - 1, argv + 1, err);
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_overview();
        return EDGELLM_OK;
    }
    if (strcmp(first, "help") == 0) return help(argc - 1, argv + 1, err);
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        printf("edgellm %s\n", edgellm_version());
        return EDGELLM_OK;
    }
    if (first[0] == '-') {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "option '%.80s' is unknown here (see edgellm --help)", first);
    }
    if (!names_a_file(first)) return unknown_command(first, err);
    return run_command(&el_cli_cmd_run, argc, argv, err); /* argv[0] stands for "run" */
}

static int exit_code(edgellm_status status)
{
    int signal_number = el_cli_interrupted();
    if (status == EDGELLM_ERR_INTERRUPTED && signal_number != 0) return 128 + signal_number;
    return (int)status;
}

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""}, late = {EDGELLM_OK, ""};
    el_cli_signals_install();
    el_cli_json_install();
    edgellm_status status = dispatch(argc, argv, &err);
    edgellm_status flushed = el_cli_flush(&late);
    if (status == EDGELLM_OK && flushed != EDGELLM_OK) {
        status = flushed;
        err = late;
    }
    if (status != EDGELLM_OK && err.message[0] != '\0') {
        fprintf(stderr, "edgellm: %s\n", err.message);
    }
    return exit_code(status);
}
