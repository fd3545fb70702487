/*
 * cli_options.h: one const table of options a command, from which both the parsing and the help
 * text come. Defaults are written as text and go through the same parser as the user's words, so
 * that what the help says is what happens.
 */
#ifndef EL_CLI_CLI_OPTIONS_H
#define EL_CLI_CLI_OPTIONS_H

#include <stdio.h>

#include "cli/cli.h"

typedef enum el_cli_kind {
    EL_CLI_ON,          /* no argument: sets a bool to true */
    EL_CLI_OFF,         /* no argument: sets a bool to false */
    EL_CLI_TEXT,        /* const char * */
    EL_CLI_TEXT_IF_ANY, /* the same, but the argument may be left out: "" (--name or --name=TEXT) */
    EL_CLI_INPUT,       /* TEXT that names a file, which is read */
    EL_CLI_OUTPUT,      /* and one that is written (cli_outputs.h) */
    EL_CLI_TEXTS,       /* el_cli_texts: may be given several times, none takes another's place */
    EL_CLI_ADAPTERS,    /* the same, FILE or FILE=SCALE each (cli_lora.h), which are read */
    EL_CLI_U32,         /* whole number, uint32_t */
    EL_CLI_U64,         /* whole number, or one of the choices if there are any; uint64_t */
    EL_CLI_I32,         /* whole number with an optional minus sign, int32_t */
    EL_CLI_FLOAT,       /* float */
    EL_CLI_SIZE,   /* bytes; K, M, G or KiB, MiB, GiB: 1024 each; KB, MB, GB: 1000 each; uint64_t */
    EL_CLI_CHOICE, /* one word of a list, uint32_t */
    EL_CLI_TABLE,  /* not an option: the rows of `list` stand here, for the struct at `field` */
    EL_CLI_KINDS
} el_cli_kind;

enum { EL_CLI_TEXTS_MAX = 64 };

typedef struct el_cli_texts {
    const char *text[EL_CLI_TEXTS_MAX]; /* (n), in the order in which they were given */
    uint32_t n;
} el_cli_texts;

typedef struct el_cli_choice {
    const char *word; /* NULL ends the list */
    uint64_t value;
} el_cli_choice;

struct el_cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    el_cli_kind kind;
    size_t field;         /* offset in the command's values */
    const char *argument; /* as shown in the help; NULL: takes none */
    const char *initial;  /* default as text; NULL: zero, see the help text */
    const char *help;
    double min, max;  /* numbers: both included */
    const void *list; /* CHOICE, U64: el_cli_choice[]; TABLE: el_cli_option[]; else NULL */
};

/*
 * Fills in `values` (zeroed, command->values_size bytes) and moves the operands to the end of
 * argv: *operands .. argv + argc. argv[0] is the command's name. *help: --help was given; nothing
 * else is checked then. Errors: USAGE.
 */
edgellm_status el_cli_parse(const el_cli_command *command, int argc, char **argv, void *values,
                            char ***operands, bool *help, edgellm_error *err);

#define EL_CLI_OPTIONS_MAX 80 /* of a command */

/* The rows of a table in one list, those of tables in it included; ends with a row without name. */
typedef el_cli_option el_cli_option_list[EL_CLI_OPTIONS_MAX + 1];
void el_cli_flatten(const el_cli_option *table, el_cli_option_list list);

/* Sets one option by its long name, checked as on the command line. A text is kept as a pointer.
 * Errors: USAGE. */
edgellm_status el_cli_set(const el_cli_option *table, const char *name, const char *word,
                          void *values, edgellm_error *err);

/* The word that would set a row of a list to the value it has, in `room` if need be; NULL if its
 * kind has no such word. */
const char *el_cli_show(const el_cli_option *option, const void *values, char *room, size_t size);

void el_cli_print_help(const el_cli_command *command, FILE *out);

/* A whole number 0 .. 2^53-1 in decimal digits and nothing else. */
bool el_cli_parse_whole(const char *text, uint64_t *value);

#endif
