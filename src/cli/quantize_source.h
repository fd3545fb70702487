/* quantize_source.h: what `edgellm quantize` makes a file of. */
#ifndef EL_CLI_QUANTIZE_SOURCE_H
#define EL_CLI_QUANTIZE_SOURCE_H

#include "format/gguf.h"

/* An el_gguf_opener: as el_folder_open(), and UNSUPPORTED for an architecture that the engine does
 * not run, before its numbers are asked for, which have other names then. */
edgellm_status el_cli_quantize_open(el_gguf *file, const char *path, edgellm_error *err);

#endif
