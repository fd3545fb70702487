/*
 * calls.h: calls of tools in the text of an answer, as each form of chat has them:
 *
 *   chatml   text <tool_call>\n{"name": "NAME", "arguments": {...}}\n</tool_call>, and again
 *   llama3   {"name": "NAME", "parameters": {...}}, or text
 *
 * A grammar holds the answer to that (tool_grammar.h), so here it is only cut into its parts. Once
 * a call has begun there is no more text. Pure: no memory but the caller's.
 */
#ifndef EL_SERVER_CALLS_H
#define EL_SERVER_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EL_TOOL_NAME = 64,  /* bytes of a tool's name at most */
    EL_CALLS = 16,      /* calls of one answer, or of a message, at most */
    EL_CALLS_HELD = 64, /* bytes of text that may be held back */
    EL_CALLS_LINES = 16 /* of them line ends, which are no text where a call follows them */
};

typedef struct el_call_form {
    const char *name;   /* edgellm_model_info.chat_form */
    const char *marker; /* what a call begins with: its first byte is in it once */
    const char *head;   /* behind it, up to the name */
    const char *middle; /* from the name to the arguments, with the quote behind the name */
    const char *close;  /* from the arguments to the end */
    const char *between;
    uint32_t most;     /* calls of an answer */
    bool follows_text; /* there may be text before the first; else an answer is one or the other */
    bool quotes_results; /* what a call gave is a JSON string */
    size_t indent;       /* spaces with which tools are laid out; 0: each is a line */
} el_call_form;

/* NULL: such models call nothing. */
const el_call_form *el_call_form_find(const char *name);

typedef enum el_calls_stage {
    EL_CALLS_TEXT,
    EL_CALLS_SKIP, /* `to_skip` bytes, then `then` */
    EL_CALLS_NAME,
    EL_CALLS_ARGUMENTS
} el_calls_stage;

/* Start with {.form = ...}; without a form all is text. */
typedef struct el_calls {
    const el_call_form *form;
    bool only_first;          /* a call is the first that comes, or there is none */
    bool has_text;            /* there was some */
    bool ends;                /* the arguments are over: that is to be told */
    uint8_t stage, then;      /* el_calls_stage */
    uint8_t n_lines, n_begun; /* held back: line ends, and bytes of the marker behind them */
    uint32_t to_skip, depth;  /* depth: of the arguments' braces and brackets */
    bool in_string, is_escaped;
    uint32_t n, n_done; /* calls of which the name is there; and all */
    uint32_t name_len;
    char name[EL_TOOL_NAME + 1]; /* of the last of them */
} el_calls;

/* The name of a call is there, and its arguments are not over. */
static inline bool el_calls_are_open(const el_calls *calls)
{
    return calls->n > calls->n_done;
}

/* Puts what was held back to `at`, where there is room for EL_CALLS_HELD bytes: it is text again,
 * to be given to el_calls_text() with what follows, or all that is left. Its length. */
size_t el_calls_unhold(el_calls *calls, char *at);

/* How many bytes are certain to be text. *call: what follows of a call begins there; `len`: nothing
 * does. Once it was less than `len`, or the stage is not TEXT, there is no text. */
size_t el_calls_text(el_calls *calls, const char *bytes, size_t len, size_t *call);

typedef enum el_call_part {
    EL_CALL_NONE,      /* no more in these bytes */
    EL_CALL_BEGINS,    /* `name`; it is the last of `n` */
    EL_CALL_ARGUMENTS, /* *piece, *len */
    EL_CALL_ENDS
} el_call_part;

/* The next part in the bytes of calls from *at to `end`; *at moves on. Called until NONE. */
el_call_part el_calls_next(el_calls *calls, const char **at, const char *end, const char **piece,
                           size_t *len);

#endif
