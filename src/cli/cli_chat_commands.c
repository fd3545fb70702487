/*
 * cli_chat_commands.c: the /commands of `edgellm chat`, one row of a table each. They speak on
 * standard error: standard output holds answers and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_chat.h"

typedef struct command {
    const char *name, *argument, *help;
    bool needs_argument;
    edgellm_status (*run)(el_cli_chat *chat, char *argument, edgellm_error *err);
} command;

/* ---- parameters --------------------------------------------------------------------------- */

#define NO_TEXT "\"\"" /* how an empty text is written */

const el_cli_option el_cli_chat_parameters[] = {
    EL_CLI_CHAT_TOKENS_ROW(el_cli_chat_values),
    EL_CLI_SAMPLER_ROWS(el_cli_chat_values),
    {0},
};

edgellm_status el_cli_chat_set_sampler(el_cli_chat *chat, edgellm_error *err)
{
    uint64_t seed = 0;
    EL_CLI_TRY(el_cli_sampler_set(&chat->v.sampler, chat->model.session, &seed, err));
    chat->v.sampler.options.seed = seed;
    return EDGELLM_OK;
}

static const char *keep(el_cli_chat *chat, const char *text)
{
    size_t len = strlen(text);
    el_cli_chat_word *word = malloc(sizeof *word + len + 1);
    if (word == NULL) return NULL;
    memcpy(word->text, text, len + 1);
    word->next = chat->words;
    chat->words = word;
    return word->text;
}

edgellm_status el_cli_chat_set(el_cli_chat *chat, const char *name, const char *word,
                               el_cli_chat_values *values, edgellm_error *err)
{
    const char *kept = keep(chat, word);
    if (kept == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a parameter");
    return el_cli_set(el_cli_chat_parameters, name, kept, values, err);
}

static void show_parameter(const el_cli_chat *chat, const el_cli_option *o)
{
    char room[64];
    const char *word = el_cli_show(o, &chat->v, room, sizeof room);
    fprintf(stderr, "  %-18s %-10s %s\n", o->name, word[0] != '\0' ? word : NO_TEXT, o->help);
}

/* A value that the sampler refuses leaves things as they were. */
static edgellm_status set_parameter(el_cli_chat *chat, const char *name, const char *word,
                                    edgellm_error *err)
{
    const el_cli_chat_values before = chat->v;
    if (strcmp(word, NO_TEXT) == 0) word = "";
    edgellm_status status = el_cli_chat_set(chat, name, word, &chat->v, err);
    if (status == EDGELLM_OK) status = el_cli_chat_set_sampler(chat, err);
    if (status != EDGELLM_OK) chat->v = before;
    return status;
}

static edgellm_status params(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    el_cli_option_list list;
    char *value = argument + strcspn(argument, " \t");
    if (*value != '\0') *value++ = '\0';
    value += strspn(value, " \t");
    if (*value != '\0') return set_parameter(chat, argument, value, err);
    bool found = false;
    el_cli_flatten(el_cli_chat_parameters, list);
    for (const el_cli_option *o = list; o->name != NULL; o++) {
        if (argument[0] != '\0' && strcmp(argument, o->name) != 0) continue;
        show_parameter(chat, o);
        found = true;
    }
    if (found) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "there is no parameter '%.80s' (see /params)",
                       argument);
}

/* ---- the conversation --------------------------------------------------------------------- */

static edgellm_status reset(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    (void)argument;
    EL_CLI_TRY(el_cli_conversation_reset(&chat->talk, chat->talk.system, err));
    return el_cli_chat_set_sampler(chat, err);
}

static edgellm_status set_system(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    if (argument[0] == '\0') {
        fprintf(stderr, "%s\n",
                chat->talk.system != NULL ? chat->talk.system : "(the chat template's own)");
        return EDGELLM_OK;
    }
    EL_CLI_TRY(el_cli_conversation_reset(&chat->talk, argument, err));
    return el_cli_chat_set_sampler(chat, err);
}

static edgellm_status save(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    return el_cli_chat_save(chat, argument, err);
}

void el_cli_chat_show(const el_cli_chat *chat)
{
    const el_cli_conversation *c = &chat->talk;
    if (chat->v.quiet) return;
    fprintf(stderr, "[%zu exchange%s, %zu tokens]\n", c->n_exchanges,
            c->n_exchanges == 1 ? "" : "s", c->n_tokens);
    if (c->n_exchanges == 0 || !chat->editor.interactive) return;
    const el_cli_exchange *last = &c->exchanges[c->n_exchanges - 1];
    fprintf(stderr, ">>> %s\n%s\n", last->user, last->answer);
}

static edgellm_status load(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    EL_CLI_TRY(el_cli_chat_load(chat, argument, err));
    el_cli_chat_show(chat);
    return EDGELLM_OK;
}

static edgellm_status quit(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    (void)argument, (void)err;
    chat->leaves = true;
    return EDGELLM_OK;
}

/* ---- the table ---------------------------------------------------------------------------- */

static edgellm_status help(el_cli_chat *chat, char *argument, edgellm_error *err);

static const command commands[] = {
    {"help", "", "this text", false, help},
    {"reset", "", "forget the conversation; the sampler starts again from its seed", false, reset},
    {"system", "[TEXT]", "show the system message, or set it and reset", false, set_system},
    {"save", "FILE", "save the conversation, its parameters and the state of the model", true,
     save},
    {"load", "FILE", "go on with a saved conversation, as if it had never stopped", true, load},
    {"params", "[NAME [VALUE]]", "show parameters, or set one; the sampler starts again", false,
     params},
    {"quit", "", "leave", false, quit},
    {0},
};

static edgellm_status help(el_cli_chat *chat, char *argument, edgellm_error *err)
{
    (void)chat, (void)argument, (void)err;
    for (const command *c = commands; c->name != NULL; c++) {
        char head[40];
        snprintf(head, sizeof head, "/%s %s", c->name, c->argument);
        fprintf(stderr, "  %-22s %s\n", head, c->help);
    }
    fputs(EL_CLI_CHAT_RULES, stderr);
    return EDGELLM_OK;
}

/* Cuts the blanks at both ends off. */
static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t", text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
    return text;
}

edgellm_status el_cli_chat_command(el_cli_chat *chat, char *line, edgellm_error *err)
{
    char *name = line + 1, *argument = name + strcspn(name, " \t");
    if (*argument != '\0') *argument++ = '\0';
    argument = trim(argument);
    for (const command *c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) != 0) continue;
        if (c->needs_argument && argument[0] == '\0') {
            return el_cli_fail(err, EDGELLM_ERR_USAGE, "/%s needs a %s", c->name, c->argument);
        }
        if (c->argument[0] == '\0' && argument[0] != '\0') {
            return el_cli_fail(err, EDGELLM_ERR_USAGE, "/%s takes nothing after it", c->name);
        }
        return c->run(chat, argument, err);
    }
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "there is no command '/%.80s' (see /help; to send it as a message, begin "
                       "with two slashes)",
                       name);
}
