/*
 * bench_http_processes.h: which processes of this machine serve an address: those that listen
 * there, and all that descend from them (Ollama computes in children). Read from /proc; what may
 * not be looked at, another user's process say, is not found.
 */
#ifndef EL_CLI_BENCH_HTTP_PROCESSES_H
#define EL_CLI_BENCH_HTTP_PROCESSES_H

#include <stddef.h>
#include <sys/types.h>

enum { EL_CLI_HTTP_PROCESSES_MAX = 1024 };

typedef struct el_cli_http_processes {
    pid_t pid[EL_CLI_HTTP_PROCESSES_MAX]; /* (n), each once; listeners first */
    size_t n;
} el_cli_http_processes;

/* address: in numbers, such as "127.0.0.1" or "::1". */
void el_cli_http_find_processes(const char *address, unsigned port, el_cli_http_processes *found);

#endif
