#include "cli/doctor_tree.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 2048 };

/* ---- files -------------------------------------------------------------------------------- */

/* Opens without waiting; a pipe or a device where a file should be is not touched. */
static int open_regular(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) return fd;
    close(fd);
    return -1;
}

/* False: too long. */
static bool whole_path(const el_cli_tree *tree, char path[PATH_ROOM], const char *format,
                       va_list arguments)
{
    int head = snprintf(path, PATH_ROOM, "%s/", tree->root);
    if (head < 0 || head >= PATH_ROOM) return false;
    int tail = vsnprintf(path + head, PATH_ROOM - (size_t)head, format, arguments);
    return tail >= 0 && tail < PATH_ROOM - head;
}

bool el_cli_tree_has(const el_cli_tree *tree, const char *path_format, ...)
{
    char path[PATH_ROOM];
    va_list arguments;
    va_start(arguments, path_format);
    const bool fits = whole_path(tree, path, path_format, arguments);
    va_end(arguments);
    return fits && access(path, F_OK) == 0;
}

static const char *read_path(el_cli_tree *tree, const char *format, va_list arguments)
{
    char path[PATH_ROOM];
    if (!whole_path(tree, path, format, arguments)) return NULL;
    int fd = open_regular(path);
    if (fd < 0) return NULL;
    size_t used = 0;
    ssize_t got;
    while (used < sizeof tree->text - 1 &&
           (got = read(fd, tree->text + used, sizeof tree->text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(fd);
    tree->text[used] = '\0';
    return tree->text;
}

const char *el_cli_tree_read(el_cli_tree *tree, const char *path_format, ...)
{
    va_list arguments;
    va_start(arguments, path_format);
    const char *text = read_path(tree, path_format, arguments);
    va_end(arguments);
    return text;
}

int64_t el_cli_tree_number(el_cli_tree *tree, const char *path_format, ...)
{
    va_list arguments;
    va_start(arguments, path_format);
    const char *text = read_path(tree, path_format, arguments);
    va_end(arguments);
    return text != NULL ? el_cli_number(text) : EL_CLI_UNKNOWN;
}

bool el_cli_tree_line(el_cli_tree *tree, char *line, size_t size, const char *path_format, ...)
{
    va_list arguments;
    va_start(arguments, path_format);
    const char *text = read_path(tree, path_format, arguments);
    va_end(arguments);
    el_cli_copy_line(line, size, text != NULL ? text : "");
    return line[0] != '\0';
}

/* ---- text --------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

int64_t el_cli_number(const char *text)
{
    int64_t value = 0;
    text = skip_blanks(text);
    bool negative = *text == '-';
    if (negative) text++;
    if (*text < '0' || *text > '9') return EL_CLI_UNKNOWN;
    for (; *text >= '0' && *text <= '9'; text++) {
        int digit = *text - '0';
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
    }
    return negative ? -value : value;
}

const char *el_cli_next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end != NULL && end[1] != '\0' ? end + 1 : NULL;
}

const char *el_cli_next_word(const char *text)
{
    text = skip_blanks(text);
    return skip_blanks(text + strcspn(text, " \t\n"));
}

const char *el_cli_after(const char *text, const char *label)
{
    size_t length = strlen(label);
    for (; text != NULL; text = el_cli_next_line(text)) {
        if (strncmp(text, label, length) != 0) continue;
        const char *rest = text + length;
        if (*rest == '\0' || strchr(" \t:=", *rest) == NULL) continue; /* a longer label */
        return rest + strspn(rest, " \t:=");
    }
    return NULL;
}

void el_cli_copy_line(char *line, size_t size, const char *text)
{
    size_t used = 0;
    for (text = skip_blanks(text); *text != '\0' && *text != '\n' && used + 1 < size; text++) {
        char c = *text == '\t' ? ' ' : *text;
        line[used++] = c >= ' ' && c <= '~' ? c : '?';
    }
    while (used > 0 && line[used - 1] == ' ')
        used--;
    line[used] = '\0';
}

void el_cli_append(char *list, size_t size, const char *separator, const char *word)
{
    size_t used = strlen(list);
    if (used > 0 && used + strlen(separator) + strlen(word) >= size) return;
    snprintf(list + used, size - used, "%s%s", used > 0 ? separator : "", word);
}

bool el_cli_has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (*(list = skip_blanks(list)) != '\0') {
        size_t n = strcspn(list, " \t\n");
        if (n == length && memcmp(list, word, n) == 0) return true;
        list += n > 0 ? n : 1; /* a line end is skipped */
    }
    return false;
}
