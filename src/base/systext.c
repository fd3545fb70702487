#include "base/systext.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool read_formatted(char *text, size_t room, const char *path_format, va_list arguments)
{
    char path[PATH_MAX];
    int length = vsnprintf(path, sizeof path, path_format, arguments);
    if (length < 0 || (size_t)length >= sizeof path) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t used = 0;
    ssize_t got;
    do {
        got = read(fd, text + used, room - 1 - used);
        if (got > 0) used += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    close(fd);
    text[used] = 0;
    return used > 0;
}

bool el_systext_read(char *text, size_t room, const char *path_format, ...)
{
    va_list arguments;
    va_start(arguments, path_format);
    bool found = read_formatted(text, room, path_format, arguments);
    va_end(arguments);
    return found;
}

uint64_t el_systext_number(const char **text)
{
    uint64_t value = 0;
    const char *s = *text;
    for (; *s >= '0' && *s <= '9'; s++) {
        value = value > UINT64_MAX / 10 - 1 ? UINT64_MAX / 10 - 1 : value;
        value = value * 10 + (uint64_t)(*s - '0');
    }
    *text = *s == ' ' ? s + 1 : s;
    return value;
}

uint64_t el_systext_value(uint64_t missing, const char *path_format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, path_format);
    bool found = read_formatted(text, sizeof text, path_format, arguments);
    va_end(arguments);
    const char *at = text;
    return found && *at >= '0' && *at <= '9' ? el_systext_number(&at) : missing;
}
