/*
 * perplexity_answers.h: conversations of which the answers are scored. A line of JSON each:
 *
 *   {"messages": [{"role": ..., "content": ...}, ...], "answer": ..., "ended": ...}
 *
 * The messages are laid out by the chat template up to where an answer begins, the answer's tokens
 * follow, and then the token that ends a turn, unless "ended" (true if it is not there) says that
 * the answer was cut off. What is before the answer is computed and not scored. Blank lines are
 * none; other keys are not looked at.
 */
#ifndef EL_CLI_PERPLEXITY_ANSWERS_H
#define EL_CLI_PERPLEXITY_ANSWERS_H

#include "cli/perplexity_chunks.h"

/* Cuts chunks->text. Errors, with the line: FORMAT (it is no conversation, or its answer is empty),
 * CONTEXT (it is too long), USAGE (an unknown role). Others: USAGE (no line), UNSUPPORTED (no
 * template), MEMORY. What was made before an error is the caller's to release. */
edgellm_status el_cli_answers_cut(el_cli_chunks *chunks, const edgellm_engine *engine,
                                  edgellm_error *err);

#endif
