#include "cli/cli_output.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Length of the valid UTF-8 character at s (no overlong forms, no surrogates); 0 if none. */
static size_t character_length(const unsigned char *s, size_t len)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, length;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        size_t n = rows[r].length;
        if (s[0] < rows[r].first_min || s[0] > rows[r].first_max) continue;
        if (n > len) return 0;
        if (n > 1 && (s[1] < rows[r].second_min || s[1] > rows[r].second_max)) return 0;
        for (size_t i = 2; i < n; i++) {
            if ((s[i] & 0xc0) != 0x80) return 0;
        }
        return n;
    }
    return 0;
}

/* Not text for a terminal: C0, DEL, C1. */
static bool is_control(const unsigned char *s)
{
    return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

/* One line of UTF-8, whatever bytes were typed: what is not becomes '?'. */
static void clean(char *text)
{
    size_t len = strlen(text), n;
    for (unsigned char *s = (unsigned char *)text; len > 0; s += n, len -= n) {
        n = character_length(s, len);
        if (n > 0 && !is_control(s)) continue;
        n = n > 0 ? n : 1;
        memset(s, '?', n);
    }
}

#undef el_cli_fail /* an analyser's stand-in, see cli.h */
edgellm_status el_cli_fail(edgellm_error *err, edgellm_status status, const char *format, ...)
{
    va_list arguments;
    err->status = status;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    clean(err->message);
    return status;
}

static edgellm_status cannot_write(int number, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_IO, "cannot write to standard output: %s",
                       number != 0 ? strerror(number) : "an earlier write failed");
}

edgellm_status el_cli_write(const char *bytes, size_t len, edgellm_error *err)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_write(errno, err);
        bytes += n;
        len -= (size_t)n;
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_flush(edgellm_error *err)
{
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) return cannot_write(errno, err);
    return EDGELLM_OK;
}

/*
 * jansson has one allocator a process and no context for it to note a failure in, so these three
 * are variables. What jansson is not given it does not always miss: members and keys are left
 * out, and the parser of 2.14 crashes. So it gets its memory from a reserve then, to come to a
 * safe end, and what it made is thrown away.
 */
static bool json_starved;
static _Alignas(max_align_t) char json_reserve[65536];
static size_t json_reserve_used;

static void *json_memory(size_t size)
{
    void *memory = malloc(size);
    if (memory != NULL) return memory;
    json_starved = true;
    if (size > sizeof json_reserve / 2) return NULL;
    size = (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    if (size > sizeof json_reserve - json_reserve_used) return NULL;
    memory = json_reserve + json_reserve_used;
    json_reserve_used += size;
    return memory;
}

static void json_release(void *memory)
{
    char *at = memory;
    if (at >= json_reserve && at < json_reserve + sizeof json_reserve) return;
    free(memory); /* NOLINT(clang-analyzer-unix.Malloc): it doesn't lie in the reserve */
}

void el_cli_json_install(void)
{
    json_set_alloc_funcs(json_memory, json_release);
}

bool el_cli_json_starved(void)
{
    return json_starved;
}

char *el_cli_json_dump(json_t *value, size_t flags)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;
    json_decref(value);
    if (!json_starved) return text;
    json_release(text);
    return NULL;
}

static edgellm_status print_json(json_t *value, size_t form, edgellm_error *err)
{
    char *text = el_cli_json_dump(value, form | JSON_REAL_PRECISION(12));
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the JSON output");
    edgellm_status status = el_cli_write(text, strlen(text), err);
    free(text);
    return status == EDGELLM_OK ? el_cli_write("\n", 1, err) : status;
}

edgellm_status el_cli_print_json(json_t *value, edgellm_error *err)
{
    return print_json(value, JSON_INDENT(2), err);
}

edgellm_status el_cli_print_json_line(json_t *value, edgellm_error *err)
{
    return print_json(value, 0, err);
}

json_t *el_cli_json_text(const char *bytes, size_t len)
{
    char *text = len <= SIZE_MAX / 4 ? json_memory(3 * len + 1) : NULL; /* U+FFFD has 3 bytes */
    size_t used = 0;
    if (text == NULL) return NULL;
    for (size_t i = 0; i < len;) {
        size_t n = character_length((const unsigned char *)bytes + i, len - i);
        memcpy(text + used, n > 0 ? bytes + i : "\xef\xbf\xbd", n > 0 ? n : 3);
        used += n > 0 ? n : 3;
        i += n > 0 ? n : 1;
    }
    json_t *value = json_stringn(text, used);
    json_release(text);
    return value;
}
