/*
 * main.c: the `edgellm` program. Finds the command and runs it, or starts the program that it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_external.h"
#include "cli/cli_options.h"
#include "cli/cli_program.h"
#include "cli/cli_store.h"

/* A command is part of this program, or a program of its own. */
typedef struct command_row {
    const el_cli_command *built_in; /* NULL: `external` */
    el_cli_external external;
} command_row;

static const command_row commands[] = {
    {.built_in = &el_cli_cmd_run},
    {.built_in = &el_cli_cmd_chat},
    {.external = {"quantize", "make a TM2 file from a GGUF file", "the quantizer"}},
    {.built_in = &el_cli_cmd_info},
    {.built_in = &el_cli_cmd_tokenize},
    {.built_in = &el_cli_cmd_embed},
    {.built_in = &el_cli_cmd_perplexity},
    {.built_in = &el_cli_cmd_bench},
    {.built_in = &el_cli_cmd_certify},
    {.built_in = &el_cli_cmd_soak},
    {.built_in = &el_cli_cmd_doctor},
    {.external = {"serve", "answer over HTTP, as OpenAI's interface and Ollama's", "the server"}},
    {.external = {"batch", "answer a file of requests, in OpenAI's batch format",
                  "the batch program"}},
    {.external = {"pull", "fetch a model into the store", "what fetches models"}},
    {.built_in = &el_cli_cmd_list},
    {.built_in = &el_cli_cmd_show},
    {.built_in = &el_cli_cmd_rm},
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
    "  9    deadline: it cannot be kept; or the board has become slower (certify --check)\n"
    "  130  interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP)\n"
    "An error is one line on standard error that starts with \"edgellm: \".\n";

static const char *name_of(const command_row *row)
{
    return row->built_in != NULL ? row->built_in->name : row->external.name;
}

static const command_row *find_row(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name_of(&commands[i]), name) == 0) return &commands[i];
    }
    return NULL;
}

static const el_cli_command *find_command(const char *name)
{
    const command_row *row = find_row(name);
    return row != NULL ? row->built_in : NULL;
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
        const el_cli_command *own = commands[i].built_in;
        printf("  %-12s %s\n", name_of(&commands[i]),
               own != NULL ? own->summary : commands[i].external.summary);
    }
    printf("\n%s", exit_codes);
}

static edgellm_status unknown_command(const char *name, edgellm_error *err)
{
    return el_cli_fail(
        err, EDGELLM_ERR_USAGE,
        "'%.200s' is neither a command nor a file nor a model in the store (see edgellm --help)",
        name);
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

/* Looks like a model rather than a mistyped command? */
static bool names_a_model(const char *word)
{
    edgellm_error ignored = {EDGELLM_OK, ""};
    char *path = NULL;
    if (strpbrk(word, "/.") != NULL || access(word, F_OK) == 0) return true;
    const bool damaged = el_cli_store_find(word, false, &path, &ignored) != EDGELLM_OK;
    const bool named = damaged || path != NULL; /* what is wrong is told when it is opened */
    free(path);
    return named;
}

static edgellm_status dispatch(int argc, char **argv, edgellm_error *err)
{
    const char *first = argc > 1 ? argv[1] : "--help";
    const el_cli_command *command = find_command(first);
    if (command != NULL) return el_cli_run_command(command, argc - 1, argv + 1, err);
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
    if (!names_a_model(first)) return unknown_command(first, err);
    return el_cli_run_command(&el_cli_cmd_run, argc, argv, err); /* argv[0] stands for "run" */
}

/* `edgellm NAME ...` and `edgellm help NAME`, where NAME is a program of its own: returns only if
 * it is not, or cannot be started. */
static edgellm_status start_external(int argc, char **argv, edgellm_error *err)
{
    char option[] = "--help", *for_help[] = {NULL, option, NULL};
    const bool asks_help = argc == 3 && strcmp(argv[1], "help") == 0;
    const command_row *row = argc > 1 ? find_row(argv[asks_help ? 2 : 1]) : NULL;
    if (row == NULL || row->built_in != NULL) return EDGELLM_OK;
    return el_cli_external_run(&row->external, asks_help ? for_help : argv + 1, err);
}

int main(int argc, char **argv)
{
    edgellm_error err = {EDGELLM_OK, ""};
    edgellm_status status = start_external(argc, argv, &err);
    if (status != EDGELLM_OK) return el_cli_end(status, &err);
    el_cli_begin();
    status = dispatch(argc, argv, &err);
    return el_cli_end(status, &err);
}
