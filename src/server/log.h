/*
 * log.h: lines on standard error that nobody has to wait for: one that finds no room there, since
 * whoever reads it is slow, is left out and counted.
 */
#ifndef EL_SERVER_LOG_H
#define EL_SERVER_LOG_H

#include "server/account.h"

enum { EL_LOG_LINE = 1024 }; /* bytes at most: the system takes so many whole or not at all */

typedef struct el_log {
    int fd; /* -1: not open */
    bool is_own, is_socket, may_block;
    bool is_torn; /* of the last line only a part went out */
    uint64_t written, dropped;
} el_log;

/* To the file with that descriptor. Whatever else writes there still does so as before. */
void el_log_open(el_log *log, int fd);
void el_log_close(el_log *log);

/* Without a newline at its end; what is longer than a line is cut. */
void el_log_line(el_log *log, const char *text, size_t len);

/* Something else worth knowing: "edgellm: ...", or a JSON object. */
void el_log_message(el_log *log, bool is_json, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What is left of a request, as a JSON object. id, peer: whose it was. */
void el_log_request(el_log *log, const el_account *account, const char *id, const char *peer);

#endif
