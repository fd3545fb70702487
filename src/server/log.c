#include "server/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- writing ------------------------------------------------------------------------------- */

/* A pipe or a terminal is opened once more, since not to wait is a property of an opened file,
 * which other programs may have in hand too. */
void el_log_open(el_log *log, int fd)
{
    char path[32];
    struct stat s = {0};
    *log = (el_log){.fd = fd};
    (void)fstat(fd, &s);
    log->is_socket = S_ISSOCK(s.st_mode);
    if (!S_ISFIFO(s.st_mode) && !S_ISCHR(s.st_mode)) return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    log->is_own = own >= 0;
    log->may_block = own < 0;
    if (own >= 0) log->fd = own;
}

void el_log_close(el_log *log)
{
    if (log->is_own) close(log->fd);
    *log = (el_log){.fd = -1};
}

static ssize_t put(const el_log *log, const char *bytes, size_t len)
{
    struct pollfd room = {.fd = log->fd, .events = POLLOUT};
    if (log->is_socket) return send(log->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (log->may_block && (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))) return -1;
    return write(log->fd, bytes, len);
}

static bool put_line(el_log *log, const char *line, size_t len)
{
    if (log->is_torn && put(log, "\n", 1) != 1) return false;
    const ssize_t n = put(log, line, len);
    log->is_torn = n > 0 && (size_t)n < len;
    return n == (ssize_t)len;
}

void el_log_line(el_log *log, const char *text, size_t len)
{
    char line[EL_LOG_LINE];
    if (log->fd < 0) return;
    if (len > sizeof line - 1) len = sizeof line - 1;
    memcpy(line, text, len);
    line[len] = '\n';
    if (put_line(log, line, len + 1))
        log->written++;
    else
        log->dropped++;
}

/* ---- lines --------------------------------------------------------------------------------- */

static void write_time(el_out *out)
{
    struct timespec now;
    struct tm parts;
    char text[32] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &parts)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    el_out_print(out, "{\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

/* ,"NAME":"TEXT"; NULL: null */
static void write_text(el_out *out, const char *name, const char *text)
{
    el_out_print(out, ",\"%s\":", name);
    if (text)
        el_out_string(out, text);
    else
        el_out_text(out, "null");
}

void el_log_message(el_log *log, bool is_json, const char *format, ...)
{
    char text[EL_LOG_LINE / EL_OUT_EXPANDS + 400], line[EL_LOG_LINE];
    el_out out = {.at = line, .room = sizeof line - 1};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (is_json) {
        write_time(&out);
        write_text(&out, "message", text);
        el_out_text(&out, "}");
    } else {
        el_out_print(&out, "edgellm: %s", text);
    }
    el_log_line(log, line, out.used);
}

static void write_number(el_out *out, const char *name, bool is_known, unsigned n)
{
    if (is_known)
        el_out_print(out, ",\"%s\":%u", name, n);
    else
        el_out_print(out, ",\"%s\":null", name);
}

static void write_ms(el_out *out, const char *name, bool is_known, uint64_t ns)
{
    if (is_known)
        el_out_print(out, ",\"%s\":%.3f", name, (double)ns / 1e6);
    else
        el_out_print(out, ",\"%s\":null", name);
}

void el_log_request(el_log *log, const el_account *a, const char *id, const char *peer)
{
    char text[EL_LOG_LINE];
    el_out out = {.at = text, .room = sizeof text - 1};
    const bool has_deadline = a->deadline != EL_DEADLINE_NONE;
    write_time(&out);
    write_text(&out, "id", id);
    write_text(&out, "route", a->route ? a->route->path : NULL);
    write_number(&out, "status", a->status > 0, a->status);
    write_text(&out, "peer", peer);
    write_number(&out, "prompt_tokens", a->prompt_tokens > 0, a->prompt_tokens);
    write_number(&out, "answer_tokens", a->prompt_tokens > 0, a->answer_tokens);
    write_ms(&out, "queue_ms", a->has_begun, a->queue_ns);
    write_ms(&out, "first_token_ms", a->prompt_tokens > 0, a->first_ns);
    write_ms(&out, "total_ms", true, a->ended_ns - a->asked_ns);
    write_number(&out, "deadline_ms", a->deadline_ms > 0, a->deadline_ms);
    write_text(&out, "deadline", has_deadline ? el_deadline_result_names[a->deadline] : NULL);
    write_text(&out, "outcome", el_account_outcome(a));
    el_out_text(&out, "}");
    el_log_line(log, text, out.used);
}
