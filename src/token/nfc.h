/*
 * nfc.h: Unicode's normal form NFC: marks stand in a fixed order, and what can be one character
 * with the marks behind it is one. Qwen's tokenizers bring a text into it before it is cut.
 */
#ifndef EL_TOKEN_NFC_H
#define EL_TOKEN_NFC_H

#include "base/error.h"

/* *made: the text in that form, `made_len` bytes, to be freed; NULL: it is in that form, for a
 * reason seen without work. Bytes that are no character stay. Errors: MEMORY. */
edgellm_status el_nfc(const uint8_t *text, size_t len, uint8_t **made, size_t *made_len,
                      edgellm_error *err);

#endif
