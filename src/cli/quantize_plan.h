/*
 * quantize_plan.h: `edgellm quantize --plan SHAPES.json --fit SIZE`: byte arithmetic without
 * weights. SHAPES.json is one object; docs/QUANTISATION.md lists its members.
 */
#ifndef EL_CLI_QUANTIZE_PLAN_H
#define EL_CLI_QUANTIZE_PLAN_H

#include "cli/cli.h"

/* Prints the plan as text or JSON. A size into which nothing fits is an answer, not an error.
 * Errors: IO, FORMAT, UNSUPPORTED, MEMORY, INTERRUPTED. */
edgellm_status el_cli_plan(const char *path, uint64_t size, bool json, edgellm_error *err);

#endif
