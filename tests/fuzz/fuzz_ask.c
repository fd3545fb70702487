/*
 * fuzz_ask.c: any body of a request, and any message of a WebSocket. It is refused with one clean
 * problem, or what was read is what a session takes; and jansson never needs more room than was
 * reckoned before. What it says of tools is laid out, and becomes a grammar, for each form of chat,
 * or is refused as cleanly.
 *
 * Input: a byte, the form; the body.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/session_model.h"
#include "server/ask.h"
#include "server/json_limits.h"
#include "server/json_room.h"
#include "server/tool_grammar.h"
#include "server/tool_layout.h"

enum { LONGEST = 1 << 16 };

/* Nesting and values of a tree, names of members included. */
static void measure(const json_t *value, uint32_t depth, el_json_extent *extent)
{
    const char *name;
    json_t *inner;
    const bool nests = json_is_object(value) || json_is_array(value);
    extent->values++;
    depth += nests;
    if (depth > extent->depth) extent->depth = depth;
    for (size_t i = 0; i < json_array_size(value); i++)
        measure(json_array_get(value, i), depth, extent);
    json_object_foreach((json_t *)value, name, inner)
    {
        extent->values++;
        measure(inner, depth, extent);
    }
}

static void check_extent(const el_ask *ask, el_json_extent reckoned)
{
    el_json_extent found = {0, 0};
    if (!ask->root) return;
    measure(ask->root, 0, &found);
    FUZZ_CHECK(found.depth <= reckoned.depth && found.values <= reckoned.values);
}

/* A message has what it needs, and no more than one kind of prompt. */
static void check_message(const el_ask *ask)
{
    FUZZ_CHECK(ask->act < EL_ASK_ACTS);
    FUZZ_CHECK(ask->id || ask->act > EL_ASK_DEADLINE);
    FUZZ_CHECK(!ask->id || (ask->id[0] != '\0' && strlen(ask->id) <= EL_ASK_ID_BYTES));
    FUZZ_CHECK(ask->act != EL_ASK_REQUEST || (ask->n_messages > 0) != (ask->prompt != NULL));
    FUZZ_CHECK(ask->act != EL_ASK_DEADLINE || ask->deadline_ms > 0);
    FUZZ_CHECK(ask->act != EL_ASK_RESUME || ask->resume);
}

/* But for biases of tokens that the model does not have, which request.c refuses. */
static edgellm_sampler_options sampler_of(const el_ask *ask)
{
    edgellm_sampler_options sampler = ask->sampler;
    edgellm_model_info info;
    edgellm_engine_info(fuzz_session_engine(NULL), &info);
    for (uint32_t i = 0; i < ask->sampler.n_logit_bias; i++)
        if (ask->biases[i].token >= info.vocab) sampler.n_logit_bias = 0;
    return sampler;
}

static void check_taken(const el_ask *ask)
{
    edgellm_error err = {0};
    const edgellm_sampler_options sampler = sampler_of(ask);
    const edgellm_status status = edgellm_session_set_sampler(fuzz_small_session(), &sampler, &err);
    FUZZ_CHECK(fuzz_status(status, &err));
    if (ask->form == EL_ASK_STREAM) check_message(ask);
    FUZZ_CHECK(ask->form != EL_ASK_CHAT || ask->n_messages > 0);
    FUZZ_CHECK(ask->form != EL_ASK_COMPLETION || ask->prompt != NULL);
    const bool is_ollama = ask->form & (EL_ASK_OLLAMA_CHAT | EL_ASK_OLLAMA_GENERATE |
                                        EL_ASK_OLLAMA_SHOW | EL_ASK_OLLAMA_EMBED);
    FUZZ_CHECK(!is_ollama || ask->model != NULL);
    FUZZ_CHECK(ask->form != EL_ASK_TEMPLATE || ask->n_messages > 0);
    FUZZ_CHECK(ask->form != EL_ASK_TOKENIZE || ask->prompt != NULL);
    FUZZ_CHECK(ask->form != EL_ASK_DETOKENIZE || json_is_array(ask->ids));
    FUZZ_CHECK(ask->form != EL_ASK_OLLAMA_GENERATE || ask->raw || el_ask_is_empty(ask) ||
               ask->messages[ask->n_messages - 1].content == ask->prompt);
    for (uint32_t i = 0; i < ask->n_messages; i++)
        FUZZ_CHECK(ask->messages[i].role != NULL && ask->messages[i].content != NULL);
    FUZZ_CHECK(!ask->prompt || strlen(ask->prompt) == ask->prompt_len);
    FUZZ_CHECK(ask->n >= 1 && ask->n <= (el_ask_is_embed(ask) ? EL_ASK_INPUTS : EL_ASK_CHOICES));
    for (uint32_t i = 0; el_ask_is_embed(ask) && i < ask->n; i++)
        FUZZ_CHECK(json_string_length(el_ask_input(ask, i)) > 0);
    FUZZ_CHECK(ask->top_logprobs <= EDGELLM_TOP_LOGPROBS);
    FUZZ_CHECK(ask->top_logprobs == 0 || ask->logprobs);
    FUZZ_CHECK(ask->sampler.n_logit_bias <= EL_ASK_BIASES);
    for (uint32_t i = 0; i < ask->sampler.n_logit_bias; i++)
        FUZZ_CHECK(ask->sampler.logit_bias[i].bias >= -100 && ask->biases[i].bias <= 100);
    FUZZ_CHECK(ask->lora_ids <= EL_ASK_ADAPTERS && (ask->has_lora || ask->lora_ids == 0));
    for (uint32_t i = 0; i < EL_ASK_ADAPTERS; i++) {
        FUZZ_CHECK(ask->lora[i] >= -100 && ask->lora[i] <= 100);
        FUZZ_CHECK(i < ask->lora_ids || ask->lora[i] == 0);
    }
    FUZZ_CHECK(ask->stops.n <= EL_STOPS);
    for (uint32_t i = 0; i < ask->stops.n; i++)
        FUZZ_CHECK(ask->stops.len[i] >= 1 && ask->stops.len[i] <= EL_STOP_BYTES);
}

/* As it is sent, read again: it fits into a reply. */
static json_t *sent(const el_problem *problem, void (*write)(const el_problem *, el_out *))
{
    static char text[6144];
    el_out out = {.at = text, .room = sizeof text};
    write(problem, &out);
    FUZZ_CHECK(!out.is_full);
    return json_loadb(text, out.used, 0, NULL);
}

static void check_param(const el_problem *problem, const json_t *holder)
{
    const char *param = json_string_value(json_object_get(holder, "param"));
    FUZZ_CHECK(param ? strcmp(param, problem->param) == 0 : problem->param[0] == '\0');
}

/* It is JSON that says what it says, in both looks. */
static void check_problem(const el_problem *problem)
{
    FUZZ_CHECK(problem->kind == EL_PROBLEM_REQUEST || problem->kind == EL_PROBLEM_BODY);
    const json_t *error = json_object_get(sent(problem, el_problem_write), "error");
    FUZZ_CHECK(json_string_length(json_object_get(error, "message")) > 0);
    check_param(problem, error);
    const json_t *flat = sent(problem, el_problem_write_flat);
    FUZZ_CHECK(json_string_length(json_object_get(flat, "error")) > 0);
    check_param(problem, flat);
}

static void check_layout(const el_ask *ask, const el_call_form *form)
{
    static el_tool_layout layout;
    el_problem problem = {.kind = EL_PROBLEM_KINDS};
    if (!el_tool_layout_make(&layout, ask, form, &problem)) {
        check_problem(&problem);
    } else {
        FUZZ_CHECK(layout.n_messages == ask->n_messages + el_ask_may_call(ask));
        for (uint32_t i = 0; i < layout.n_messages; i++)
            FUZZ_CHECK(layout.messages[i].role && layout.messages[i].content);
    }
    el_tool_layout_release(&layout);
}

/* Not all of them are compiled: that takes time, and is fuzz_grammar's. */
static void check_grammar(const el_ask *ask, const el_call_form *form)
{
    el_problem problem = {.kind = EL_PROBLEM_KINDS};
    char *text = NULL;
    size_t len = 0;
    if (el_tool_grammar(ask, form, &text, &len, &problem))
        FUZZ_CHECK(len > 0 && strlen(text) == len && strncmp(text, "root ::=", 8) == 0);
    else
        check_problem(&problem);
    free(text);
}

static void check_tools(const el_ask *ask)
{
    static const char *const forms[] = {"chatml", "llama3"};
    for (int i = 0; i < 2; i++) {
        const el_call_form *form = el_call_form_find(forms[i]);
        if (el_tool_layout_is_needed(ask)) check_layout(ask, form);
        if (el_ask_may_call(ask)) check_grammar(ask, form);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static el_ask ask;
    static bool is_open;
    fuzz_input in = {data, size};
    el_problem problem = {.kind = EL_PROBLEM_KINDS};
    edgellm_error err = {0};
    static const el_ask_form forms[] = {
        EL_ASK_COMPLETION,  EL_ASK_CHAT,       EL_ASK_OLLAMA_GENERATE, EL_ASK_OLLAMA_CHAT,
        EL_ASK_OLLAMA_SHOW, EL_ASK_STREAM,     EL_ASK_EMBED,           EL_ASK_OLLAMA_EMBED,
        EL_ASK_TOKENIZE,    EL_ASK_DETOKENIZE, EL_ASK_TEMPLATE,        EL_ASK_SLOT};
    const el_ask_form form = forms[fuzz_byte(&in) % (sizeof forms / sizeof forms[0])];
    const size_t len = in.size < LONGEST ? in.size : LONGEST;
    const char *body = (const char *)in.data;
    if (!is_open)
        FUZZ_CHECK(el_json_room_open(el_json_room(LONGEST, EL_JSON_VALUES), &err) == EDGELLM_OK);
    is_open = true;
    const el_json_extent reckoned = el_json_measure(body, len);
    const bool taken = el_ask_read(&ask, form, body, len, &problem);
    FUZZ_CHECK(el_json_room_used() <= el_json_room(len, reckoned.values));
    check_extent(&ask, reckoned);
    if (taken) check_tools(&ask);
    if (taken)
        check_taken(&ask);
    else
        check_problem(&problem);
    el_ask_release(&ask);
    el_json_room_empty();
    return 0;
}
