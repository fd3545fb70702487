/* error.c: turns a failure into one clean line of UTF-8, whatever bytes it is told about. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const status_names[] = {
    [EDGELLM_OK] = "ok",
    [EDGELLM_ERR_INTERNAL] = "internal",
    [EDGELLM_ERR_USAGE] = "usage",
    [EDGELLM_ERR_IO] = "io",
    [EDGELLM_ERR_FORMAT] = "format",
    [EDGELLM_ERR_UNSUPPORTED] = "unsupported",
    [EDGELLM_ERR_MEMORY] = "memory",
    [EDGELLM_ERR_CONTEXT] = "context",
    [EDGELLM_ERR_INTERRUPTED] = "interrupted",
    [EDGELLM_ERR_DEADLINE] = "deadline",
    [EDGELLM_ERR_BUSY] = "busy",
};

const char *edgellm_version(void)
{
    return EDGELLM_VERSION;
}

const char *edgellm_status_name(edgellm_status status)
{
    size_t index = (size_t)status;
    if (index >= sizeof status_names / sizeof status_names[0]) return "unknown";
    return status_names[index];
}

/* Length of the well-formed, printable UTF-8 character at s, which ends in NUL; 0 if there is
 * none: a control (C0, DEL, C1), a line or paragraph separator, or broken bytes. */
static size_t printable_length(const unsigned char *s)
{
    if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7f;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    uint32_t code = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    static const uint32_t smallest[] = {0, 0, 0xa0, 0x800, 0x10000};
    if (code < smallest[length] || code > 0x10ffff) return 0;
    if ((code >= 0xd800 && code <= 0xdfff) || code == 0x2028 || code == 0x2029) return 0;
    return length;
}

static void clean(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t length = printable_length(s);
        if (length == 0) {
            *s = '?';
            length = 1;
        }
        s += length;
    }
}

#undef el_fail /* an analyser's stand-in, see error.h */
edgellm_status el_fail(edgellm_error *err, edgellm_status status, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(err->message, sizeof err->message, format, arguments) < 0) {
        snprintf(err->message, sizeof err->message, "%s error", edgellm_status_name(status));
    }
    va_end(arguments);
    clean(err->message);
    return status;
}
