/*
 * checks.h: tests of sense that both file formats and the TM2 writer share, and the wording of
 * their errors. Messages name the section and the field; the caller's caller adds the path.
 */
#ifndef EL_FORMAT_CHECKS_H
#define EL_FORMAT_CHECKS_H

#include <stddef.h>

#include "base/error.h"
#include "format/config.h"
#include "format/vocab.h"

#define EL_MAX_DIM         65536u
#define EL_MAX_LAYERS      1024u
#define EL_MAX_VOCAB       (1u << 21)
#define EL_MAX_MERGES      (1u << 23)
#define EL_MAX_VOCAB_BYTES (1u << 26) /* of all tokens together */
#define EL_MAX_CONTEXT     (1u << 28)
#define EL_MAX_TENSORS     65536u

/* Puts "'PATH': " before the message that is there (the end of a long path). Returns `status`. */
edgellm_status el_fail_in_file(edgellm_error *err, edgellm_status status, const char *path);

/* Reserved bytes and padding: are they what a writer of this version makes them? */
bool el_all_zero(const uint8_t *bytes, uint64_t size);

/* Is this well-formed UTF-8 without NUL? */
bool el_text_is_valid(const void *text, size_t len);

/* The longest prefix of at most `limit` bytes that does not cut a UTF-8 character. */
size_t el_text_cut(const char *text, size_t len, size_t limit);

/* Ranges, and how the numbers fit together. `where`: "metadata", "section model". Errors: FORMAT.
 */
edgellm_status el_config_check(const el_config *config, const char *where, edgellm_error *err);

/* Offsets ascending, types known, ids and merges in range. `bytes` is the room that the tokens'
 * bytes may use, and must be the last offset. Errors: FORMAT. */
edgellm_status el_vocab_check(const el_vocab *vocab, uint64_t bytes, const char *where,
                              edgellm_error *err);

#endif
