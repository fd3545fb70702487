/*
 * tool_layout.h: messages of a request that has to do with tools, as el_chat lays them out: the
 * tools in front, calls as text of the assistant, what they gave. Its memory lasts until the prompt
 * is tokens.
 */
#ifndef EL_SERVER_TOOL_LAYOUT_H
#define EL_SERVER_TOOL_LAYOUT_H

#include "server/ask.h"

typedef struct el_tool_layout {
    char *text; /* owned */
    uint32_t n_messages;
    edgellm_message messages[EL_ASK_MESSAGES + 1]; /* (n_messages) in `text` and the request */
} el_tool_layout;

/* False: *problem says what is wrong. In both cases release it. */
bool el_tool_layout_make(el_tool_layout *layout, const el_ask *ask, const el_call_form *form,
                         el_problem *problem);
void el_tool_layout_release(el_tool_layout *layout);

/* Are messages more than texts, so that a layout is needed? */
static inline bool el_tool_layout_is_needed(const el_ask *ask)
{
    return ask->has_calls || el_ask_may_call(ask);
}

#endif
