#include "server/out.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "token/chars.h"

void el_out_bytes(el_out *out, const char *bytes, size_t len)
{
    if (len > out->room - out->used) {
        out->is_full = true;
        return;
    }
    memcpy(out->at + out->used, bytes, len);
    out->used += len;
}

void el_out_text(el_out *out, const char *text)
{
    el_out_bytes(out, text, strlen(text));
}

void el_out_print(el_out *out, const char *format, ...)
{
    va_list arguments;
    const size_t left = out->room - out->used;
    va_start(arguments, format);
    const int n = vsnprintf(out->at + out->used, left, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n >= left) /* its NUL must fit too */
        out->is_full = true;
    else
        out->used += (size_t)n;
}

void el_out_number(el_out *out, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do
        digits[sizeof digits - ++n] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    el_out_bytes(out, digits + sizeof digits - n, n);
}

/* A character that JSON wants escaped; false if it is none. */
static bool escape(el_out *out, char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", named[] = "\"\\bfnrt";
    const char *at = c != '\0' ? strchr(plain, c) : NULL;
    if (at)
        el_out_print(out, "\\%c", named[at - plain]);
    else if ((unsigned char)c < 0x20 || c == 0x7f)
        el_out_print(out, "\\u%04x", (unsigned)c);
    else
        return false;
    return true;
}

void el_out_escaped(el_out *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t code;
        const int n = el_chars_decode((const uint8_t *)bytes + i, len - i, &code);
        if (n <= 0)
            el_out_text(out, "\xef\xbf\xbd");
        else if (n > 1 || !escape(out, bytes[i]))
            el_out_bytes(out, bytes + i, (size_t)n);
        i += n > 0 ? (size_t)n : 1;
    }
}

void el_out_string(el_out *out, const char *text)
{
    el_out_text(out, "\"");
    el_out_escaped(out, text, strlen(text));
    el_out_text(out, "\"");
}

void el_out_real(el_out *out, double value)
{
    if (isfinite(value))
        el_out_print(out, "%.3f", value);
    else
        el_out_text(out, "null");
}
