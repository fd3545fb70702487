/*
 * chat.h: conversations to tokens. Known chat templates are rows of a table, recognised by what
 * the source's Jinja text contains; no Jinja is interpreted.
 */
#ifndef EL_TOKEN_CHAT_H
#define EL_TOKEN_CHAT_H

#include "token/tokenizer.h"

typedef struct el_chat_template el_chat_template;

/* The row that fits this vocabulary's template; NULL if none does. */
const el_chat_template *el_chat_find(const el_vocab *vocab);

/* edgellm_model_info.chat_form; NULL of NULL. */
const char *el_chat_form(const el_chat_template *row);

/* As edgellm_chat_prompt(). */
edgellm_status el_chat_encode(const el_tokenizer *t, const el_vocab *vocab,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              uint32_t *tokens, size_t capacity, size_t *count, edgellm_error *err);

#endif
