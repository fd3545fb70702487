/* request_id.h: the name of a request, X-Request-Id, in its reply and its line of the log: the
 * client's own if that is harmless wherever it may be shown, else one of ours. */
#ifndef EL_SERVER_REQUEST_ID_H
#define EL_SERVER_REQUEST_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EL_REQUEST_ID = 64 }; /* bytes at most */

/* 1 to 64 letters, digits and - _ . : = + / */
bool el_request_id_is_sane(const char *id, size_t len);

/* Hexadecimal; unlike those of other starts, by chance, and of other requests. */
void el_request_id_make(char id[EL_REQUEST_ID + 1], uint32_t start, uint32_t number);

#endif
