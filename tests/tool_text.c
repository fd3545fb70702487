/*
 * tool_text.c: not a test: prints what test_tool_text.py reads.
 *
 *   tool_text FORM grammar|layout [ollama] < BODY     of a request for a chat
 *
 * The grammar of its answer, or its messages as JSON; or, with exit code 1, "PARAM: MESSAGE".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tool_grammar.h"
#include "server/tool_layout.h"

enum { ROOM = 1 << 20 };

/* What a request begins with; nothing is sampled here. */
edgellm_sampler_options edgellm_sampler_defaults(void)
{
    return (edgellm_sampler_options){.temperature = 1};
}

static bool print_grammar(const el_ask *ask, const el_call_form *form, el_problem *problem)
{
    char *text;
    size_t len;
    if (!el_tool_grammar(ask, form, &text, &len, problem)) return false;
    fputs(text, stdout);
    free(text);
    return true;
}

static bool print_layout(const el_ask *ask, const el_call_form *form, el_problem *problem)
{
    static el_tool_layout layout;
    const bool is_right = el_tool_layout_make(&layout, ask, form, problem);
    json_t *list = json_array();
    for (uint32_t i = 0; is_right && i < layout.n_messages; i++)
        json_array_append_new(
            list, json_pack("[ss]", layout.messages[i].role, layout.messages[i].content));
    if (is_right) json_dumpf(list, stdout, 0);
    json_decref(list);
    el_tool_layout_release(&layout);
    return is_right;
}

int main(int argc, char **argv)
{
    static char body[ROOM];
    static el_ask ask;
    el_problem problem;
    const el_call_form *form = argc > 2 ? el_call_form_find(argv[1]) : NULL;
    const bool is_ollama = argc > 3;
    const size_t len = fread(body, 1, sizeof body, stdin);
    if (!form) return 2;
    bool is_right =
        el_ask_read(&ask, is_ollama ? EL_ASK_OLLAMA_CHAT : EL_ASK_CHAT, body, len, &problem);
    if (is_right && strcmp(argv[2], "grammar") == 0)
        is_right = print_grammar(&ask, form, &problem);
    else if (is_right)
        is_right = print_layout(&ask, form, &problem);
    if (!is_right) printf("%s: %s", problem.param, problem.message);
    el_ask_release(&ask);
    return is_right ? 0 : 1;
}
