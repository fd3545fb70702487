/*
 * cli_chat.h: what the parts of `edgellm chat` share: cmd_chat.c asks and answers,
 * cli_chat_commands.c has the /commands, cli_chat_file.c saves and loads.
 */
#ifndef EL_CLI_CLI_CHAT_H
#define EL_CLI_CLI_CHAT_H

#include "cli/cli_answer.h"
#include "cli/cli_conversation.h"
#include "cli/cli_editor.h"
#include "cli/cli_grammar.h"
#include "cli/cli_prompt_cache.h"
#include "cli/cli_sampler.h"

/* Options as typed, and changed by /params. */
typedef struct el_cli_chat_values {
    el_cli_model_values model;
    el_cli_sampler_values sampler;
    el_cli_answer_options answer;
    el_cli_climate_values climate;
    const char *system, *load, *save, *certificate, *prompt_cache;
    el_cli_grammar_values grammar;
    bool no_history, json, quiet;
} el_cli_chat_values;

/* A word that was typed, or read from a file: a value may point to it. */
typedef struct el_cli_chat_word {
    struct el_cli_chat_word *next;
    char text[];
} el_cli_chat_word;

typedef struct el_cli_chat {
    el_cli_chat_values v;
    el_cli_model model;
    el_cli_conversation talk;
    el_cli_editor editor;
    el_cli_answer answer;
    el_cli_certified certified;
    el_cli_prompt_cache cache;
    el_cli_climate climate;
    edgellm_grammar *grammar; /* of each answer; NULL: none */
    el_cli_chat_word *words;
    bool leaves;           /* /quit */
    double stopped_ms;     /* when Ctrl-C last stopped an answer */
    edgellm_status failed; /* of the first message or command that failed */
} el_cli_chat;

/* What /params knows: rows of the option table, for el_cli_chat_values. */
extern const el_cli_option el_cli_chat_parameters[];

/* Sets a parameter in `values`. The word is copied and kept until the chat ends. Errors: USAGE. */
edgellm_status el_cli_chat_set(el_cli_chat *chat, const char *name, const char *word,
                               el_cli_chat_values *values, edgellm_error *err);

/* Sets the session's sampler; a seed that is drawn takes the place of "random". Errors: USAGE, IO.
 */
edgellm_status el_cli_chat_set_sampler(el_cli_chat *chat, edgellm_error *err);

/* Runs "/NAME ARGUMENT"; `line` is cut up. What it has to say goes to standard error. */
edgellm_status el_cli_chat_command(el_cli_chat *chat, char *line, edgellm_error *err);

/* Says how much was said, and what last. */
void el_cli_chat_show(const el_cli_chat *chat);

/* The part of the help that both `edgellm chat --help` and /help print. */
#define EL_CLI_CHAT_RULES                                                                          \
    "Several lines are one message when they are pasted, or written between \"\"\" and \"\"\". "   \
    "A\n"                                                                                          \
    "message that begins with a slash is sent with a second one. Ctrl-C stops an answer (what "    \
    "was\n"                                                                                        \
    "said stays said), or clears the line; twice at an empty prompt it leaves, as Ctrl-D does.\n"  \
    "When a message leaves no room for an answer (a quarter of the context, or -n if that is\n"    \
    "less), the oldest exchanges are forgotten until there is room, with a quarter to spare if\n"  \
    "possible; the system message stays, the rest is computed anew, and a line says so.\n"

#define EL_CLI_CHAT_TOKENS_ROW(type)                                                               \
    {                                                                                              \
        .name = "tokens", .letter = 'n', .kind = EL_CLI_U32,                                       \
        .field = offsetof(type, answer.max_tokens), .argument = "N", .initial = "512",             \
        .help = "longest answer, in tokens", .min = 1, .max = 16777216                             \
    }

/* A conversation as a session file, and back. What is there and is no session file is not
 * overwritten; what cannot be loaded changes nothing. Errors: those of edgellm_session_save() and
 * edgellm_session_load(). */
edgellm_status el_cli_chat_save(const el_cli_chat *chat, const char *path, edgellm_error *err);
edgellm_status el_cli_chat_load(el_cli_chat *chat, const char *path, edgellm_error *err);

/* Before the conversation begins: could it be saved there? Errors: USAGE (something else is there),
 * IO, MEMORY. */
edgellm_status el_cli_chat_check_save(const char *path, edgellm_error *err);

#endif
