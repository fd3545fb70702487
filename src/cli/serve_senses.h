/* serve_senses.h: what the machine tells of itself, for the server's /metrics. */
#ifndef EL_CLI_SERVE_SENSES_H
#define EL_CLI_SERVE_SENSES_H

#include "cli/cli_sensors.h"
#include "server/server.h"

typedef struct el_cli_serve_senses {
    el_cli_tree *tree; /* owned; NULL: there was no memory, and nothing is told */
    el_cli_zones zones;
} el_cli_serve_senses;

void el_cli_serve_senses_open(el_cli_serve_senses *s);
void el_cli_serve_senses_close(el_cli_serve_senses *s);

/* el_server_options.sense; the context is el_cli_serve_senses. */
void el_cli_serve_sense(void *context, el_senses *senses);

#endif
