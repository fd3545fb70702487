#include "cli/bench_http_processes.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INODES_MAX = 64, ADDRESS_HEX = 32, LISTENING = 0x0a };

typedef struct inodes {
    unsigned long inode[INODES_MAX];
    size_t n;
} inodes;

/* ---- sockets that listen ------------------------------------------------------------------- */

/* As /proc/net writes it: each 32 bits of the address as a number of this machine. "": none. */
static void address_hex(const char *address, char hex[ADDRESS_HEX + 1])
{
    uint32_t words[4];
    size_t n = 0;
    hex[0] = '\0';
    if (inet_pton(AF_INET, address, words) == 1) n = 1;
    if (inet_pton(AF_INET6, address, words) == 1) n = 4;
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 8 * i, 9, "%08X", words[i]);
}

/* A listener at every address, at this one, or at the same of IPv4 within IPv6. */
static bool serves(const char *listener, const char *hex)
{
    size_t all = strlen(listener), n = strlen(hex);
    if (strspn(listener, "0") == all) return true;
    return all >= n && strcmp(listener + all - n, hex) == 0;
}

/* "SLOT: ADDRESS:PORT ADDRESS:PORT STATE QUEUES TIMER RETRANSMITS USER TIMEOUT INODE ..." */
static void note_listener(char *row, const char *hex, unsigned port, inodes *found)
{
    enum { LOCAL = 1, STATE = 3, INODE = 9, WORDS };
    char *word[WORDS], *rest = NULL;
    for (int i = 0; i < WORDS; i++) {
        word[i] = strtok_r(i == 0 ? row : NULL, " \n", &rest);
        if (word[i] == NULL) return;
    }
    char *colon = strchr(word[LOCAL], ':');
    if (colon == NULL || strtoul(word[STATE], NULL, 16) != LISTENING) return;
    *colon = '\0';
    if (strtoul(colon + 1, NULL, 16) != port || !serves(word[LOCAL], hex)) return;
    if (found->n < INODES_MAX) found->inode[found->n++] = strtoul(word[INODE], NULL, 10);
}

static void find_listeners(const char *table, const char *hex, unsigned port, inodes *found)
{
    char row[512];
    FILE *f = fopen(table, "re");
    if (f == NULL) return;
    while (fgets(row, sizeof row, f) != NULL)
        note_listener(row, hex, port, found); /* that of the heading has no such state */
    fclose(f);
}

/* ---- processes ----------------------------------------------------------------------------- */

static bool is_found(const el_cli_http_processes *found, pid_t pid)
{
    for (size_t i = 0; i < found->n; i++) {
        if (found->pid[i] == pid) return true;
    }
    return false;
}

static bool add(el_cli_http_processes *found, pid_t pid)
{
    if (found->n == EL_CLI_HTTP_PROCESSES_MAX || is_found(found, pid)) return false;
    found->pid[found->n++] = pid;
    return true;
}

/* Is the file behind /proc/PID/fd/N one of the sockets? */
static bool is_socket(int folder, const char *name, const inodes *sockets)
{
    static const char prefix[] = "socket:[";
    char target[64];
    ssize_t n = readlinkat(folder, name, target, sizeof target - 1);
    if (n < 0) return false;
    target[n] = '\0';
    if (strncmp(target, prefix, sizeof prefix - 1) != 0) return false;
    unsigned long inode = strtoul(target + sizeof prefix - 1, NULL, 10);
    for (size_t i = 0; i < sockets->n; i++) {
        if (sockets->inode[i] == inode) return true;
    }
    return false;
}

static bool holds_socket(pid_t pid, const inodes *sockets)
{
    char path[64];
    bool holds = false;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) return false;
    for (struct dirent *d = readdir(folder); d != NULL && !holds; d = readdir(folder))
        holds = is_socket(dirfd(folder), d->d_name, sockets);
    closedir(folder);
    return holds;
}

/* "PID (NAME) STATE PARENT ..."; the name may hold anything. 0: unknown. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *end = strrchr(text, ')');
    return end != NULL && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

/* Is it this process, or one that led to it? What measures is no part of a server, even if the
 * server's program started it. */
static bool measures(pid_t pid)
{
    pid_t at = getpid();
    while (at > 1 && at != pid)
        at = parent_of(at);
    return at == pid;
}

static bool is_child(const el_cli_http_processes *found, pid_t pid)
{
    return is_found(found, parent_of(pid)) && !measures(pid);
}

/* A look at every process; `sockets` NULL: looks for children of those that are found already.
 * True if one more was found. */
static bool look(el_cli_http_processes *found, const inodes *sockets)
{
    bool more = false;
    DIR *proc = opendir("/proc");
    if (proc == NULL) return false;
    for (struct dirent *d = readdir(proc); d != NULL; d = readdir(proc)) {
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        if (pid <= 0) continue;
        bool serves_it = sockets != NULL ? holds_socket(pid, sockets) : is_child(found, pid);
        if (serves_it && add(found, pid)) more = true;
    }
    closedir(proc);
    return more;
}

void el_cli_http_find_processes(const char *address, unsigned port, el_cli_http_processes *found)
{
    char hex[ADDRESS_HEX + 1];
    inodes sockets = {.n = 0};
    found->n = 0;
    address_hex(address, hex);
    if (hex[0] == '\0') return;
    if (strlen(hex) < ADDRESS_HEX) find_listeners("/proc/net/tcp", hex, port, &sockets);
    find_listeners("/proc/net/tcp6", hex, port, &sockets);
    if (sockets.n == 0 || !look(found, &sockets)) return;
    while (look(found, NULL))
        continue;
}
