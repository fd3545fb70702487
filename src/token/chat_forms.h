/*
 * chat_forms.h: the chat templates that are known, a row of a table each. A row is recognised by
 * what the source's Jinja text says, or asked for by its name; no Jinja is interpreted.
 */
#ifndef EL_TOKEN_CHAT_FORMS_H
#define EL_TOKEN_CHAT_FORMS_H

#include "base/error.h"
#include "format/vocab.h"

enum { EL_CHAT_TOKENS = 4 };

/* What stands around a content. The names of the form's tokens in it are those tokens, all else is
 * text; what stands between two tokens is one text. */
typedef struct el_chat_frame {
    const char *before, *after;
} el_chat_frame;

typedef struct el_chat_template {
    const char *form;
    /* What must be special in the vocabulary, so that the text of a message cannot become it: "<s>"
     * and "</s>" are its bos and eos, whatever their names, the others stand for themselves. */
    const char *tokens[EL_CHAT_TOKENS];
    uint32_t needed; /* the first so many; others are text where they are not special; 0: all are */

    /* By which the template's text is known: it has all of `has` and not `lacks`, and from `at` up
     * to the end of that expression there is `there` or there is not `absent`; or it has `or_has`,
     * in which case the rest does not count. */
    const char *has[3], *lacks, *at, *there, *absent, *or_has;

    el_chat_frame system, user, answer;
    const char *opening;  /* before an answer that is to be made, if not answer.before */
    bool bos_is_in_frame; /* else it stands before all, if the template says so */
    bool trims;           /* white space around a content is left out */
    bool drops_space; /* white space behind a form's token too, where vocabularies have scores */
    /* A system message is no turn: it stands between these before what the user's next turn says;
     * NULL: it is a turn. With `joined_before` the two are trimmed as one. */
    const char *joined_before, *joined;
    const char *skips_empty; /* where the template says this, no system message is empty */

    const char *dated; /* where the template has this text, a system message begins with `dates` */
    const char *dates;
    const char *thinks; /* where it has this, what was thought before an answer is left out later */

    /* The template's own system message, where nobody gives one, is what it has between these. */
    const char *default_before, *default_after;

    /* What may be called stands between these, at the end of the system message, or before what the
     * user says first; word for word as models of the family were taught. NULL: it knows no tools.
     */
    const char *tools_before, *tools_after;
    bool tools_with_user;
    const char *tools_note; /* stands before `dates` then */
    /* What calls gave: around the turn, and around each. Several in a row are one turn, a line end
     * between them. each.before NULL: nothing is around it, and each is a turn. */
    el_chat_frame result, each;
} el_chat_template;

/* The row that fits this vocabulary's template; NULL if none does. */
const el_chat_template *el_chat_form_of(const el_vocab *vocab);

/* The row of that name. Errors: USAGE (there is none), UNSUPPORTED (the vocabulary has not its
 * tokens). */
edgellm_status el_chat_form_named(const el_chat_template **row, const char *name,
                                  const el_vocab *vocab, edgellm_error *err);

/* The name of a row; NULL past the last. */
const char *el_chat_form_name(size_t index);

/* The id of a form's token; EL_TOKEN_NONE if it is not there or not special. */
uint32_t el_chat_form_token(const el_vocab *vocab, const char *name);

#endif
