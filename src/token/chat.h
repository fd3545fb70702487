/*
 * chat.h: conversations to tokens, by one of the templates that are known (chat_forms.h).
 */
#ifndef EL_TOKEN_CHAT_H
#define EL_TOKEN_CHAT_H

#include "token/chat_forms.h"
#include "token/tokenizer.h"

/* How a vocabulary's conversations are laid out. `vocab` must outlive it. */
typedef struct el_chat {
    const el_vocab *vocab;
    const el_chat_template *row;     /* NULL: by no template that is known */
    const char *source;              /* the vocabulary's own text if it is of that row, else "" */
    uint32_t tokens[EL_CHAT_TOKENS]; /* those of the row, in its order; or EL_TOKEN_NONE */
} el_chat;

/* By the template of that name; NULL: by that of the vocabulary, if it is one of those known.
 * Errors: USAGE (an unknown name), UNSUPPORTED (the vocabulary has not its tokens). */
edgellm_status el_chat_open(el_chat *chat, const el_vocab *vocab, const char *name,
                            edgellm_error *err);

/* edgellm_model_info.chat_form: NULL where no template is known. */
static inline const char *el_chat_form(const el_chat *chat)
{
    return chat->row != NULL ? chat->row->form : NULL;
}

/* As edgellm_chat_prompt(). */
edgellm_status el_chat_encode(const el_chat *chat, const el_tokenizer *t,
                              const edgellm_message *messages, size_t n_messages, unsigned flags,
                              uint32_t *tokens, size_t capacity, size_t *count, edgellm_error *err);

#endif
