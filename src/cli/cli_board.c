#include "cli/cli_board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Two machines are the same if all of these are. */
static const struct row {
    const char *key;
    size_t field, size;
} rows[] = {
#define ROW(member)                                                                                \
    {                                                                                              \
#member, offsetof(el_cli_board, member), sizeof(((el_cli_board *)0)->member)               \
    }
    ROW(name), ROW(cpu), ROW(cores), ROW(kernel), ROW(machine),
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static const char *field_of(const el_cli_board *board, const struct row *row)
{
    return (const char *)board + row->field;
}

/* ---- gathering ---------------------------------------------------------------------------- */

/* Cores of ARM have no names: "0x41 0xd08 0x3" for each kind there is. */
static void add_core(el_cli_board *board, const char *core)
{
    static const char *const labels[] = {"CPU implementer", "CPU part", "CPU revision"};
    char kind[64] = "";
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        const char *found = el_cli_after(core, labels[i]);
        char word[16] = "?";
        if (found != NULL) el_cli_copy_line(word, sizeof word, found);
        el_cli_append(kind, sizeof kind, " ", word);
    }
    if (strstr(board->cpu, kind) == NULL) el_cli_append(board->cpu, sizeof board->cpu, " + ", kind);
}

static void take_cpu(el_cli_board *board, const char *text)
{
    const char *found = el_cli_after(text, "model name");
    if (found == NULL) found = el_cli_after(text, "uarch");
    if (found != NULL) {
        el_cli_copy_line(board->cpu, sizeof board->cpu, found);
        return;
    }
    for (; text != NULL; text = el_cli_next_line(text)) {
        if (strncmp(text, "CPU implementer", 15) == 0) add_core(board, text);
    }
}

void el_cli_board_name(el_cli_tree *tree, char *name, size_t size)
{
    static const char *const places[] = {"proc/device-tree/model",
                                         "sys/devices/virtual/dmi/id/product_name",
                                         "sys/devices/virtual/dmi/id/board_name"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (el_cli_tree_line(tree, name, size, "%s", places[i])) return;
    }
}

edgellm_status el_cli_board_gather(el_cli_board *board, edgellm_error *err)
{
    struct utsname system;
    el_cli_tree *tree = malloc(sizeof *tree);
    if (tree == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to look at the board");
    tree->root = "";
    *board = (el_cli_board){.name = ""};
    const char *text = el_cli_tree_read(tree, "proc/cpuinfo");
    if (text != NULL) take_cpu(board, text);
    el_cli_board_name(tree, board->name, sizeof board->name);
    free(tree);
    snprintf(board->cores, sizeof board->cores, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    if (uname(&system) == 0) {
        el_cli_copy_line(board->kernel, sizeof board->kernel, system.release);
        el_cli_copy_line(board->machine, sizeof board->machine, system.machine);
    }
    return EDGELLM_OK;
}

/* ---- JSON --------------------------------------------------------------------------------- */

json_t *el_cli_board_json(const el_cli_board *board)
{
    json_t *o = json_object();
    for (int i = 0; i < ROWS; i++)
        json_object_set_new(o, rows[i].key, json_string(field_of(board, &rows[i])));
    return o;
}

bool el_cli_board_read(el_cli_board *board, const json_t *object)
{
    for (int i = 0; i < ROWS; i++) {
        const char *text = json_string_value(json_object_get(object, rows[i].key));
        if (text == NULL || strlen(text) >= rows[i].size) return false;
        snprintf((char *)board + rows[i].field, rows[i].size, "%s", text);
    }
    return true;
}

edgellm_status el_cli_board_compare(const el_cli_board *measured, const el_cli_board *here,
                                    const char *what, edgellm_error *err)
{
    for (int i = 0; i < ROWS; i++) {
        const char *then = field_of(measured, &rows[i]), *now = field_of(here, &rows[i]);
        if (now[0] == '\0' || strcmp(then, now) == 0) continue;
        return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "%.160s is of another board: its %s is '%.90s', here it is '%.90s'",
                           what, rows[i].key, then, now);
    }
    return EDGELLM_OK;
}
