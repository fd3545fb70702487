/*
 * out.h: text and JSON into memory that is there already. What does not fit is left out and noted;
 * nothing is allocated.
 */
#ifndef EL_SERVER_OUT_H
#define EL_SERVER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct el_out {
    char *at; /* (room) */
    size_t used, room;
    bool is_full; /* something did not fit */
} el_out;

#define EL_OUT_EXPANDS 6 /* bytes of JSON that a byte of text may become */

void el_out_bytes(el_out *out, const char *bytes, size_t len);
void el_out_text(el_out *out, const char *text);

/* As printf(). */
void el_out_print(el_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What each token's event has goes without printf(): its code is cold each time. */
void el_out_number(el_out *out, uint64_t value);

/* The inside of a JSON string; each byte that is no UTF-8 becomes U+FFFD. */
void el_out_escaped(el_out *out, const char *bytes, size_t len);

/* A whole JSON string. */
void el_out_string(el_out *out, const char *text);

/* A number with three digits behind the point; null if it is none. */
void el_out_real(el_out *out, double value);

#endif
