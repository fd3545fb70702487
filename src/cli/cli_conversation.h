/*
 * cli_conversation.h: a conversation as tokens, computed turn by turn.
 *
 *   tokens    | system message | exchange 0 | exchange 1 | ... | question | answer
 *             0             opening     exchanges[i].start                        n_tokens
 *   KV cache  |------------------- a prefix: position tokens -----------|
 *
 * What the cache lacks (the last token of an answer, or more after an interruption) is computed
 * with the next question. When the context is full the oldest exchanges are dropped; the rest keeps
 * its tokens.
 */
#ifndef EL_CLI_CLI_CONVERSATION_H
#define EL_CLI_CLI_CONVERSATION_H

#include "cli/cli_model.h"

typedef struct el_cli_exchange {
    size_t start;        /* where the question's turn begins, in tokens */
    char *user, *answer; /* the texts, owned */
} el_cli_exchange;

typedef struct el_cli_conversation {
    const edgellm_engine *engine;
    edgellm_session *session;
    uint32_t context;
    char *system;     /* owned; NULL: the chat template's own */
    uint32_t *tokens; /* (context + 1) */
    size_t n_tokens, opening;
    size_t asked_at; /* n_tokens before the last question */
    el_cli_exchange *exchanges;
    size_t n_exchanges, room; /* room: exchanges that fit into the array */
} el_cli_conversation;

/* An empty conversation over a session that the caller keeps. Errors: MEMORY. */
edgellm_status el_cli_conversation_open(el_cli_conversation *c, const el_cli_model *model,
                                        const char *system, edgellm_error *err);
void el_cli_conversation_close(el_cli_conversation *c);

/* Forgets everything that was said. system: the new system message, or NULL for the template's. */
edgellm_status el_cli_conversation_reset(el_cli_conversation *c, const char *system,
                                         edgellm_error *err);

/*
 * Adds a question, and the opening of its answer. `reserve` tokens of the context are to be left
 * for the answer: if they are not, the oldest exchanges are dropped until they are, with a quarter
 * of the context to spare where possible. *dropped: how many. Errors: CONTEXT (not even alone does
 * the question fit: nothing is changed), MEMORY, UNSUPPORTED.
 */
edgellm_status el_cli_conversation_ask(el_cli_conversation *c, const char *text, size_t reserve,
                                       size_t *dropped, edgellm_error *err);

/* What is to be computed before the answer: a view into the conversation. */
el_cli_tokens el_cli_conversation_ahead(const el_cli_conversation *c);

/* Takes back the question that was just asked: its answer never began. */
void el_cli_conversation_withdraw(el_cli_conversation *c);

/* Adds the answer: its tokens without the one that ended it. Errors: MEMORY, USAGE. */
edgellm_status el_cli_conversation_answer(el_cli_conversation *c, const uint32_t *tokens, size_t n,
                                          edgellm_error *err);

/* Adds an answer before whose end the session was shifted, with the opening kept: what the session
 * holds, and the last token unless all were computed, is what is left. Earlier exchanges are
 * forgotten: *dropped more. Errors: as above. */
edgellm_status el_cli_conversation_shifted(el_cli_conversation *c, const uint32_t *tokens, size_t n,
                                           bool all_computed, size_t *dropped, edgellm_error *err);

/* Adds an exchange that begins at token `start`, and takes over both texts; NULL, as strdup() gives
 * it, is an error. Errors: MEMORY. */
edgellm_status el_cli_conversation_add(el_cli_conversation *c, size_t start, char *user,
                                       char *answer, edgellm_error *err);

#endif
