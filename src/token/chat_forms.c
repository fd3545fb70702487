/* chat_forms.c: see chat_forms.h. */
#include "token/chat_forms.h"

#include <stdio.h>
#include <string.h>

#include "token/lookup.h"

#define ROLES_AS_TOKENS                                                                            \
    .system = {"<|system|>\n", "<|end|>\n"}, .user = {"<|user|>\n", "<|end|>\n"},                  \
    .answer = {"<|assistant|>\n", "<|end|>\n"}

static const el_chat_template rows[] = {
    /* ChatML: SmolLM, SmolLM2, Qwen, Yi, MiniCPM 4; tools as Hermes and Qwen know them. Qwen 3
     * thinks before it answers */
    {.form = "chatml",
     .tokens = {"<|im_start|>", "<|im_end|>"},
     .has = {"<|im_start|>", "<|im_end|>"},
     .system = {"<|im_start|>system\n", "<|im_end|>\n"},
     .user = {"<|im_start|>user\n", "<|im_end|>\n"},
     .answer = {"<|im_start|>assistant\n", "<|im_end|>\n"},
     .thinks = "last_query_index",
     .default_before = "<|im_start|>system",
     .default_after = "<|im_end|>",
     .tools_before = "# Tools\n\nYou may call one or more functions to assist with the user query."
                     "\n\nYou are provided with function signatures within <tools></tools> XML "
                     "tags:\n<tools>\n",
     .tools_after = "\n</tools>\n\nFor each function call, return a json object with function name "
                    "and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>",
     .result = {"<|im_start|>user\n", "<|im_end|>\n"},
     .each = {"<tool_response>\n", "\n</tool_response>"}},
    /* Llama 3; from 3.1 on with dates, of which "today" is what the template says where nobody
     * tells it the day: answers are the same tomorrow */
    {.form = "llama3",
     .tokens = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .has = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     .answer = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     .trims = true,
     .dated = "Cutting Knowledge Date: December 2023",
     .dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
     .tools_before =
         "Given the following functions, please respond with a JSON for a function call "
         "with its proper arguments that best answers the given prompt.\n\nRespond in "
         "the format {\"name\": function name, \"parameters\": dictionary of argument "
         "name and its value}.Do not use variables.\n\n",
     .tools_after = "\n\n",
     .tools_with_user = true,
     .tools_note = "Environment: ipython\n",
     .result = {"<|start_header_id|>ipython<|end_header_id|>\n\n", "<|eot_id|>"}},
    /* Gemma 2 and 3, which know no tools. Templates of Gemma 2 refuse system messages: here they
     * are as in Gemma 3 */
    {.form = "gemma",
     .tokens = {"<start_of_turn>", "<end_of_turn>"},
     .has = {"<start_of_turn>", "<end_of_turn>"},
     .system = {"<start_of_turn>user\n", "<end_of_turn>\n"},
     .user = {"<start_of_turn>user\n", "<end_of_turn>\n"},
     .answer = {"<start_of_turn>model\n", "<end_of_turn>\n"},
     .trims = true,
     .joined = "\n\n"},
    /* Phi 3 and 3.5, whose vocabulary takes in the white space behind the tokens of turns */
    {.form = "phi3",
     .tokens = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"},
     .has = {"<|user|>", "<|assistant|>", "<|end|>"},
     ROLES_AS_TOKENS,
     .drops_space = true,
     .skips_empty = "message['role'] == 'system' and message['content']"},
    /* BitNet b1.58 2B4T. Its GGUF files have a converter's placeholder for a template, in which a
     * turn ends before its answer: they get the one that the model was taught */
    {.form = "bitnet",
     .tokens = {"<|eot_id|>"},
     .has = {"<|eot_id|>", "capitalize", "Assistant: "},
     .lacks = "<|start_header_id|>",
     .or_has = "BITNETAssistant",
     .system = {"System: ", "<|eot_id|>"},
     .user = {"User: ", "<|eot_id|>"},
     .answer = {"Assistant: ", "<|eot_id|>"},
     .trims = true},
    /* Zephyr and TinyLlama: every turn ends with the token that ends a text */
    {.form = "zephyr",
     .tokens = {"</s>", "<|system|>", "<|user|>", "<|assistant|>"},
     .needed = 1,
     .has = {"<|system|>", "<|assistant|>"},
     .lacks = "<|end|>",
     .at = "<|user|>",
     .there = "eos_token",
     .system = {"<|system|>\n", "</s>\n"},
     .user = {"<|user|>\n", "</s>\n"},
     .answer = {"<|assistant|>\n", "</s>\n"}},
    /* Falcon 3: only an answer ends so */
    {.form = "falcon3",
     .tokens = {"</s>", "<|system|>", "<|user|>", "<|assistant|>"},
     .needed = 1,
     .has = {"<|system|>", "<|assistant|>", "eos_token"},
     .lacks = "<|end|>",
     .at = "<|user|>",
     .absent = "eos_token",
     .system = {"<|system|>\n", "\n"},
     .user = {"<|user|>\n", "\n"},
     .answer = {"<|assistant|>\n", "</s>\n"}},
    /* Llama 2: each exchange is a text of its own */
    {.form = "llama2",
     .tokens = {"<s>", "</s>"},
     .has = {"bos_token + '[INST] '", "<<SYS>>", "eos_token"},
     .system = {"<s>[INST] ", " [/INST]"},
     .user = {"<s>[INST] ", " [/INST]"},
     .answer = {" ", " </s>"},
     .opening = "",
     .bos_is_in_frame = true,
     .trims = true,
     .joined_before = "<<SYS>>\n",
     .joined = "\n<</SYS>>\n\n"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

const char *el_chat_form_name(size_t index)
{
    return index < ROWS ? rows[index].form : NULL;
}

/* ---- tokens ---- */

/* Only special tokens make a frame: those are what the text of a message cannot become. */
static bool is_name_of(const el_vocab *vocab, uint32_t id, const char *name)
{
    size_t len;
    if (!el_vocab_is_special(vocab, id)) return false; /* most are not */
    const uint8_t *bytes = el_vocab_bytes(vocab, id, &len);
    return len == strlen(name) && memcmp(bytes, name, len) == 0;
}

static uint32_t if_special(const el_vocab *vocab, uint32_t id)
{
    return id != EL_TOKEN_NONE && el_vocab_is_special(vocab, id) ? id : EL_TOKEN_NONE;
}

uint32_t el_chat_form_token(const el_vocab *vocab, const char *name)
{
    if (strcmp(name, "<s>") == 0) return if_special(vocab, vocab->bos);
    if (strcmp(name, "</s>") == 0) return if_special(vocab, vocab->eos);
    for (uint32_t id = 0; id < vocab->n_tokens; id++)
        if (is_name_of(vocab, id, name)) return id;
    return EL_TOKEN_NONE;
}

/* The first of the tokens it needs that is not there; NULL: all are. */
static const char *missing(const el_chat_template *row, const el_vocab *vocab)
{
    const size_t needed = row->needed > 0 ? row->needed : EL_CHAT_TOKENS;
    for (size_t i = 0; i < needed && row->tokens[i] != NULL; i++)
        if (el_chat_form_token(vocab, row->tokens[i]) == EL_TOKEN_NONE) return row->tokens[i];
    return NULL;
}

/* ---- recognising ---- */

/* Is `part` in the text before the expression that `at` begins in is over? */
static bool is_there(const char *at, const char *part)
{
    const char *found = strstr(at, part), *end = strstr(at, "}}");
    return found != NULL && (end == NULL || found < end);
}

static bool is_at(const el_chat_template *row, const char *source)
{
    const char *at = strstr(source, row->at);
    if (at == NULL) return false;
    return row->there ? is_there(at, row->there) : !is_there(at, row->absent);
}

static bool is_of(const el_chat_template *row, const char *source)
{
    if (row->or_has != NULL && strstr(source, row->or_has) != NULL) return true;
    for (size_t i = 0; i < sizeof row->has / sizeof row->has[0] && row->has[i] != NULL; i++)
        if (strstr(source, row->has[i]) == NULL) return false;
    if (row->lacks != NULL && strstr(source, row->lacks) != NULL) return false;
    return row->at == NULL || is_at(row, source);
}

const el_chat_template *el_chat_form_of(const el_vocab *vocab)
{
    for (size_t i = 0; i < ROWS; i++)
        if (is_of(&rows[i], vocab->chat_template) && missing(&rows[i], vocab) == NULL)
            return &rows[i];
    return NULL;
}

static edgellm_status unknown(const char *name, edgellm_error *err)
{
    char names[160] = "";
    for (size_t i = 0, len = 0; i < ROWS && len < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", i > 0 ? ", " : "",
                                rows[i].form);
    return el_fail(err, EDGELLM_ERR_USAGE, "chat: there is no template \"%.40s\"; known are: %s",
                   name, names);
}

/* How a token is called where it is missing. */
static const char *title_of(const char *token)
{
    if (strcmp(token, "<s>") == 0) return "a token that begins a text";
    return strcmp(token, "</s>") == 0 ? "a token that ends a text" : token;
}

edgellm_status el_chat_form_named(const el_chat_template **row, const char *name,
                                  const el_vocab *vocab, edgellm_error *err)
{
    size_t i = 0;
    while (i < ROWS && strcmp(rows[i].form, name) != 0)
        i++;
    if (i == ROWS) return unknown(name, err);
    const char *token = missing(&rows[i], vocab);
    if (token != NULL)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "chat: template \"%s\" needs %s, and the model has no such special token",
                       name, title_of(token));
    *row = &rows[i];
    return EDGELLM_OK;
}
