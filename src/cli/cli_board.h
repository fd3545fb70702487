/*
 * cli_board.h: which machine this is, so that what was measured on one is not believed on another.
 */
#ifndef EL_CLI_CLI_BOARD_H
#define EL_CLI_CLI_BOARD_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/doctor_tree.h"

/* Texts are "" where the system does not tell. */
typedef struct el_cli_board {
    char name[96];    /* of the device tree, else of the firmware */
    char cpu[160];    /* model name, or the identifications of the cores */
    char cores[24];   /* that are online */
    char kernel[96];  /* release of the operating system's kernel */
    char machine[32]; /* such as "x86_64" */
} el_cli_board;

/* Errors: MEMORY. */
edgellm_status el_cli_board_gather(el_cli_board *board, edgellm_error *err);

/* What the device tree calls the machine, else its firmware; untouched if neither does. */
void el_cli_board_name(el_cli_tree *tree, char *name, size_t size);

/* All of it under stable keys; and back: false if something is not there or is too long. */
json_t *el_cli_board_json(const el_cli_board *board);
bool el_cli_board_read(el_cli_board *board, const json_t *object);

/* `what` was measured on the first. What this system does not tell is not compared. Errors:
 * UNSUPPORTED, naming what differs in both. */
edgellm_status el_cli_board_compare(const el_cli_board *measured, const el_cli_board *here,
                                    const char *what, edgellm_error *err);

#endif
