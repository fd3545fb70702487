/*
 * gguf_flags.h: el_token_flag of a vocabulary in GGUF metadata. GGUF has none: an importer of other
 * sources says them under a key of its own, and of Phi-3 they are known.
 */
#ifndef EL_FORMAT_GGUF_FLAGS_H
#define EL_FORMAT_GGUF_FLAGS_H

#include "format/gguf.h"

/* Fills in the flags of all tokens; *any: some token has one. Errors: FORMAT. */
edgellm_status el_gguf_flags(const el_gguf *file, const el_vocab *vocab, uint8_t *flags, bool *any,
                             edgellm_error *err);

#endif
