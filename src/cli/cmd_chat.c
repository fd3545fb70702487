/*
 * cmd_chat.c: `edgellm chat`: a conversation, turn by turn. Standard output holds the answers and
 * nothing else; prompts, figures and errors go to standard error or the terminal.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_chat.h"
#include "cli/cli_output.h"
#include "cli/cli_realtime.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

enum { DEFAULT_CONTEXT = 2048 };

/* ---- one answer --------------------------------------------------------------------------- */

static void print_figures(const el_cli_chat *chat)
{
    static const char *const endings[EL_CLI_FINISHES] = {
        [EL_CLI_FINISH_LENGTH] = " | longest answer reached (-n)",
        [EL_CLI_FINISH_END] = "",
        [EL_CLI_FINISH_CONTEXT] = " | the context is full",
        [EL_CLI_FINISH_INTERRUPTED] = " | stopped",
        [EL_CLI_FINISH_DEADLINE] = " | the time is up"};
    const el_cli_answer *a = &chat->answer;
    const double speed = el_cli_answer_decode_speed(a);
    fprintf(stderr, "[%zu token%s", a->n, a->n == 1 ? "" : "s");
    if (!isnan(speed)) fprintf(stderr, ", %.1f tok/s", speed);
    if (a->n > 0) fprintf(stderr, ", first after %.0f ms", a->first_ms);
    fprintf(stderr, " | context %zu of %u%s", chat->talk.n_tokens, chat->talk.context,
            endings[a->finish]);
    if (a->shifts > 0) fprintf(stderr, " | shifted %zu times", a->shifts);
    el_cli_certified_print(&chat->certified);
    el_cli_prompt_cache_print(&chat->cache);
    el_cli_climate_print(&chat->climate, stderr);
    fprintf(stderr, "]\n");
}

static edgellm_status print_json(const el_cli_chat *chat, size_t dropped, edgellm_error *err)
{
    const el_cli_answer *a = &chat->answer;
    json_t *o;
    EL_CLI_TRY(el_cli_answer_json(a, &chat->model, &chat->v.answer, chat->v.sampler.options.seed,
                                  &o, err));
    json_object_set_new(o, "dropped", json_integer((json_int_t)dropped));
    json_object_set_new(o, "used", json_integer((json_int_t)chat->talk.n_tokens));
    json_object_set_new(o, "context", json_integer(chat->talk.context));
    json_object_set_new(o, "timings", el_cli_answer_timings(a));
    json_object_set_new(o, "certificate", el_cli_certified_json(&chat->certified));
    json_object_set_new(o, "conditions", el_cli_climate_json(&chat->climate));
    json_object_set_new(o, "prompt_cache", el_cli_prompt_cache_json(&chat->cache));
    return el_cli_print_json_line(o, err);
}

static edgellm_status report(const el_cli_chat *chat, size_t dropped, edgellm_error *err)
{
    if (chat->v.json) return print_json(chat, dropped, err);
    if (chat->v.answer.hash) {
        fprintf(stderr, "hash %016llx\n", (unsigned long long)chat->answer.hash);
    }
    if (!chat->v.quiet) print_figures(chat);
    return EDGELLM_OK;
}

/* The conversation goes on after a message or command that failed; the program's status tells. */
static void tell(el_cli_chat *chat, const edgellm_error *err)
{
    fprintf(stderr, "edgellm: %s\n", err->message);
    if (chat->failed == EDGELLM_OK && !chat->editor.interactive) chat->failed = err->status;
}

static void save_opening(el_cli_chat *chat)
{
    edgellm_error why = {EDGELLM_OK, ""};
    if (el_cli_prompt_cache_save(&chat->cache, &chat->model, &why) != EDGELLM_OK) tell(chat, &why);
}

/* A conversation's first question: its system message may be kept in the prompt cache. */
static edgellm_status load_opening(el_cli_chat *chat, edgellm_error *err)
{
    const el_cli_conversation *c = &chat->talk;
    const bool lacks = edgellm_session_position(chat->model.session) < c->opening;
    return el_cli_prompt_cache_load(&chat->cache, &chat->model, c->tokens, lacks ? c->opening : 0,
                                    err);
}

/* Each answer keeps to the grammar from its beginning; what is loaded takes it off. */
static edgellm_status begin_answer(el_cli_chat *chat, edgellm_error *err)
{
    const size_t room = chat->talk.context - chat->talk.n_tokens + 1;
    const size_t most = chat->v.answer.max_tokens < room ? chat->v.answer.max_tokens : room;
    EL_CLI_TRY(load_opening(chat, err));
    return edgellm_session_set_grammar(chat->model.session, chat->grammar, (uint32_t)most, err);
}

/* In between there is none: a session that keeps to one is not saved. */
static edgellm_status end_answer(el_cli_chat *chat, edgellm_status status, edgellm_error *err)
{
    edgellm_error late = {EDGELLM_OK, ""};
    const edgellm_status off = edgellm_session_set_grammar(chat->model.session, NULL, 0, &late);
    if (status != EDGELLM_OK || off == EDGELLM_OK) return status;
    *err = late;
    return off;
}

/* The system message stays; one of more than half of the context leaves nothing to shift. */
static void set_shift(const el_cli_chat *chat, el_cli_answer_options *o)
{
    const uint32_t opening = (uint32_t)chat->talk.opening, context = chat->talk.context;
    if (o->keep < opening) o->keep = opening;
    o->shift = o->shift && o->keep <= context / 2;
    if (o->shift && o->max_tokens > context) o->max_tokens = context; /* there is room for them */
}

static edgellm_status make_answer(el_cli_chat *chat, edgellm_error *err)
{
    el_cli_answer_options o = chat->v.answer;
    set_shift(chat, &o);
    o.mute = chat->v.json;
    o.certified = &chat->certified;
    o.climate = &chat->climate;
    EL_CLI_TRY(begin_answer(chat, err));
    el_cli_tokens ahead = el_cli_conversation_ahead(&chat->talk);
    return end_answer(chat, el_cli_answer_make(&chat->answer, &chat->model, &ahead, &o, err), err);
}

/* Takes the answer in. */
static edgellm_status keep_answer(el_cli_chat *chat, size_t *dropped, edgellm_error *err)
{
    const el_cli_answer *a = &chat->answer;
    if (a->shifts == 0) return el_cli_conversation_answer(&chat->talk, a->tokens, a->n, err);
    return el_cli_conversation_shifted(&chat->talk, a->tokens, a->n, a->finish == EL_CLI_FINISH_END,
                                       dropped, err);
}

/* The question is part of the conversation. Errors: those that end the program. */
static edgellm_status answer_question(el_cli_chat *chat, size_t dropped, edgellm_error *err)
{
    edgellm_status status = make_answer(chat, err);
    if (status == EDGELLM_OK) status = keep_answer(chat, &dropped, err);
    if (status != EDGELLM_OK) { /* else the session would be ahead of the conversation */
        el_cli_conversation_withdraw(&chat->talk);
        if (status == EDGELLM_ERR_INTERRUPTED) {
            fprintf(stderr, "[stopped before the answer began: the question is taken back]\n");
        }
        return status;
    }
    save_opening(chat);
    EL_CLI_TRY(report(chat, dropped, err));
    return chat->answer.finish == EL_CLI_FINISH_INTERRUPTED ? EDGELLM_ERR_INTERRUPTED : EDGELLM_OK;
}

static size_t reserve_of(const el_cli_chat *chat)
{
    size_t quarter = chat->talk.context / 4;
    return chat->v.answer.max_tokens < quarter ? chat->v.answer.max_tokens : quarter;
}

/* ---- messages ----------------------------------------------------------------------------- */

static edgellm_status tell_of_message(el_cli_chat *chat, edgellm_error *err)
{
    tell(chat, err);
    if (!chat->v.json) return EDGELLM_OK;
    json_t *error = json_object(), *o = json_object();
    json_object_set_new(error, "status", json_string(edgellm_status_name(err->status)));
    json_object_set_new(error, "message", el_cli_json_text(err->message, strlen(err->message)));
    json_object_set_new(o, "error", error);
    return el_cli_print_json_line(o, err);
}

/* Errors here and below: those that end the conversation. */
static edgellm_status ask(el_cli_chat *chat, const char *text, edgellm_error *err)
{
    size_t dropped = 0;
    edgellm_status status =
        el_cli_conversation_ask(&chat->talk, text, reserve_of(chat), &dropped, err);
    if (status != EDGELLM_OK) return tell_of_message(chat, err);
    if (dropped > 0) {
        fprintf(stderr, "[the context is full: the oldest %zu exchange%s forgotten]\n", dropped,
                dropped == 1 ? " is" : "s are");
    }
    status = answer_question(chat, dropped, err);
    if (status == EDGELLM_ERR_USAGE)
        return tell_of_message(chat, err); /* no room for the grammar */
    if (status != EDGELLM_ERR_INTERRUPTED) return status;
    err->message[0] = '\0';
    chat->stopped_ms = el_cli_now_ms();
    return chat->editor.interactive && el_cli_forget_interrupt() ? EDGELLM_OK : status;
}

/* A command, or a message to the model. */
static edgellm_status take_text(el_cli_chat *chat, char *text, bool literal, edgellm_error *err)
{
    if (text[strspn(text, " \t\n")] == '\0') return EDGELLM_OK;
    if (literal || text[0] != '/') return ask(chat, text, err);
    if (text[1] == '/') return ask(chat, text + 1, err);
    if (el_cli_chat_command(chat, text, err) != EDGELLM_OK) tell(chat, err);
    return EDGELLM_OK;
}

/* Ctrl-C at the prompt: the second one in a row with nothing typed leaves. */
static edgellm_status take_interrupt(el_cli_chat *chat, bool leaves, bool empty, edgellm_error *err)
{
    if (leaves || !chat->editor.interactive || !el_cli_forget_interrupt()) {
        err->message[0] = '\0';
        return EDGELLM_ERR_INTERRUPTED;
    }
    if (empty) fprintf(stderr, "(Ctrl-C again leaves, as Ctrl-D does)\n");
    return EDGELLM_OK;
}

/* Whoever presses Ctrl-C more than once to stop an answer does not mean to leave. */
static bool is_rest_of_stop(const el_cli_chat *chat)
{
    const double meant_ms = 500;
    return el_cli_now_ms() - chat->stopped_ms < meant_ms;
}

static edgellm_status take(el_cli_chat *chat, el_cli_line *line, bool literal, bool broken,
                           edgellm_error *err)
{
    switch (line->event) {
    case EL_CLI_LINE_TEXT:
        return take_text(chat, line->text, literal, err);
    case EL_CLI_LINE_END:
        chat->leaves = true;
        return EDGELLM_OK;
    case EL_CLI_LINE_CLEARED:
    case EL_CLI_LINE_BREAK:
    case EL_CLI_LINE_STOP:
        break;
    }
    if (line->event == EL_CLI_LINE_BREAK && is_rest_of_stop(chat)) {
        el_cli_forget_interrupt();
        line->event = EL_CLI_LINE_CLEARED;
        return EDGELLM_OK;
    }
    const bool empty = line->event == EL_CLI_LINE_BREAK;
    return take_interrupt(chat, empty && broken, empty, err);
}

static edgellm_status converse(el_cli_chat *chat, edgellm_error *err)
{
    edgellm_status status = EDGELLM_OK;
    bool broken = false, literal = false;
    while (status == EDGELLM_OK && !chat->leaves) {
        el_cli_line line = {EL_CLI_LINE_CLEARED, NULL};
        status = el_cli_editor_read(&chat->editor, &line, &literal, err);
        if (status == EDGELLM_ERR_USAGE) {
            status = tell_of_message(chat, err);
        } else if (status == EDGELLM_OK) {
            status = take(chat, &line, literal, broken, err);
        }
        broken = line.event == EL_CLI_LINE_BREAK;
        free(line.text);
    }
    if (status != EDGELLM_OK) return status;
    err->message[0] = '\0'; /* it was told */
    return chat->failed;
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status start_session(el_cli_chat *chat, edgellm_error *err)
{
    edgellm_session_options o = chat->v.model.session;
    o.grammar = el_cli_grammar_option(&chat->v.grammar) != NULL;
    if (!chat->model.info.has_chat_template) {
        return el_cli_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            chat->model.info.has_unknown_template
                ? "this model's chat template is not one of those known: choose one "
                  "with --template NAME"
                : "this model has no chat template: choose one with --template NAME, "
                  "or see edgellm run --raw");
    }
    if (o.context == 0) {
        const uint32_t trained = chat->model.info.context_trained;
        o.context = trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    }
    EL_CLI_TRY(el_cli_model_start(&chat->model, &o, err));
    return el_cli_certified_find(&chat->certified, chat->v.certificate, &chat->model, &o, err);
}

static void greet(const el_cli_chat *chat)
{
    if (!chat->editor.interactive || chat->v.quiet) return;
    fprintf(stderr, "%s, context %u; /help lists the commands, Ctrl-D leaves\n",
            chat->model.info.name[0] != '\0' ? chat->model.info.name : "model", chat->talk.context);
}

static edgellm_status prepare(el_cli_chat *chat, edgellm_error *err)
{
    EL_CLI_TRY(
        el_cli_climate_open(&chat->climate, &chat->v.climate, chat->v.model.session.realtime, err));
    EL_CLI_TRY(el_cli_grammar_read(chat->model.engine, &chat->v.grammar, &chat->grammar, err));
    EL_CLI_TRY(start_session(chat, err));
    EL_CLI_TRY(el_cli_answer_check_shift(&chat->v.answer, el_cli_grammar_option(&chat->v.grammar),
                                         chat->model.session, err));
    EL_CLI_TRY(el_cli_prompt_cache_check(&chat->cache, err));
    EL_CLI_TRY(el_cli_conversation_open(&chat->talk, &chat->model, chat->v.system, err));
    EL_CLI_TRY(el_cli_answer_reserve(&chat->answer, (size_t)chat->talk.context + 1, err));
    EL_CLI_TRY(el_cli_chat_set_sampler(chat, err));
    if (chat->v.load != NULL) EL_CLI_TRY(el_cli_chat_load(chat, chat->v.load, err));
    EL_CLI_TRY(el_cli_editor_open(&chat->editor, !chat->v.no_history, err));
    if (chat->editor.interactive) el_cli_signals_keep();
    greet(chat);
    if (!chat->v.quiet) el_cli_realtime_print(chat->model.session, stderr);
    if (chat->v.load != NULL) el_cli_chat_show(chat);
    return EDGELLM_OK;
}

/* Also when a signal or an error ended the conversation: what was said is kept. */
static edgellm_status save_at_the_end(const el_cli_chat *chat, edgellm_status status,
                                      edgellm_error *err)
{
    edgellm_error late = {EDGELLM_OK, ""};
    if (chat->v.save == NULL) return status;
    edgellm_status saved = el_cli_chat_save(chat, chat->v.save, &late);
    if (saved == EDGELLM_OK || (status != EDGELLM_OK && err->message[0] != '\0')) return status;
    *err = late;
    return saved;
}

static void free_words(el_cli_chat_word *word)
{
    while (word != NULL) {
        el_cli_chat_word *next = word->next;
        free(word);
        word = next;
    }
}

static edgellm_status chat(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    el_cli_chat chat = {.v = *(const el_cli_chat_values *)values};
    el_cli_model_values model = chat.v.model;
    (void)n_operands;
    EL_CLI_TRY(el_cli_grammar_check(&chat.v.grammar, chat.v.answer.ignore_eos, err));
    model.engine.grammars = el_cli_grammar_option(&chat.v.grammar) != NULL;
    if (chat.v.save != NULL) EL_CLI_TRY(el_cli_chat_check_save(chat.v.save, err));
    el_cli_prompt_cache_open(&chat.cache, chat.v.prompt_cache, operands[0], &chat.v.model.session);
    EL_CLI_TRY(el_cli_model_open_adapted(&chat.model, operands[0], &model, err));
    edgellm_status status = prepare(&chat, err);
    if (status == EDGELLM_OK) {
        status = converse(&chat, err);
        el_cli_editor_close(&chat.editor);
        status = save_at_the_end(&chat, status, err);
    }
    el_cli_conversation_close(&chat.talk);
    el_cli_answer_release(&chat.answer);
    el_cli_certified_release(&chat.certified);
    el_cli_prompt_cache_release(&chat.cache);
    el_cli_climate_release(&chat.climate);
    el_cli_model_close(&chat.model);
    edgellm_grammar_destroy(chat.grammar);
    free_words(chat.words);
    return status;
}

#define FIELD(member) offsetof(el_cli_chat_values, member)

static const el_cli_option options[] = {
    {"system", 0, EL_CLI_TEXT, FIELD(system), "TEXT", NULL,
     "system message; the chat template's own if not given", 0, 0, NULL},
    EL_CLI_PROMPT_CACHE_ROW(el_cli_chat_values),
    {"load", 0, EL_CLI_TEXT, FIELD(load), "FILE", NULL,
     "go on with a saved conversation, its system message and sampler", 0, 0, NULL},
    {"save", 0, EL_CLI_TEXT, FIELD(save), "FILE", NULL, "save the conversation at the end", 0, 0,
     NULL},
    EL_CLI_CHAT_TOKENS_ROW(el_cli_chat_values),
    {"ignore-eos", 0, EL_CLI_ON, FIELD(answer.ignore_eos), NULL, NULL, "go on past end tokens", 0,
     0, NULL},
    EL_CLI_SHIFT_ROWS(el_cli_chat_values),
    EL_CLI_GRAMMAR_ROWS(el_cli_chat_values),
    EL_CLI_SAMPLER_ROWS(el_cli_chat_values),
    EL_CLI_CONTEXT_ROW(el_cli_chat_values, NULL,
                       "context in tokens; 2048, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(el_cli_chat_values),
    EL_CLI_REALTIME_ROWS(el_cli_chat_values),
    EL_CLI_TEMPLATE_ROW(el_cli_chat_values),
    EL_CLI_ENGINE_ROWS(el_cli_chat_values),
    EL_CLI_LORA_ROW(el_cli_chat_values),
    EL_CLI_CERTIFICATE_ROW(el_cli_chat_values),
    EL_CLI_CLIMATE_ROWS(el_cli_chat_values),
    {"no-history", 0, EL_CLI_ON, FIELD(no_history), NULL, NULL,
     "remember no lines in $XDG_STATE_HOME/edgellm/chat_history", 0, 0, NULL},
    {"hash", 0, EL_CLI_ON, FIELD(answer.hash), NULL, NULL,
     "print a 64-bit hash over all logits that were sampled from", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object a line for each answer", 0, 0,
     NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no measured lines", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .synopsis = "chat MODEL [options]",
    .about =
        "Talks with a model, one line a message, on a terminal or through a pipe. Answers go to\n"
        "standard output, everything else to standard error. /help lists "
        "commands.\n" EL_CLI_CHAT_RULES
        "With --json each answer is one object on one line: text, tokens, prompt_tokens (that\n"
        "had to be computed), finish (end, length, context, interrupted), seed, hash if asked\n"
        "for, dropped (exchanges forgotten), used and context (tokens), timings, certificate\n"
        "(of all answers so far: times from token to token, those above it), prompt_cache (file,\n"
        "hit, kept, tokens, load_ms; null where nothing was looked for), conditions (of all "
        "answers\n"
        "so far: temperature, clock, energy and what was held back). A message that failed gives\n"
        "{\"error\": {status, message}}. Through a pipe the exit code is that of the\n"
        "first message or command that failed.\n"
        "With --shift an answer goes on when the context is full (edgellm help run): the system\n"
        "message stays, or --keep tokens if that is more, and earlier exchanges are forgotten.\n"
        "An answer then has as many tokens as the context at most.\n",
    .examples = "  edgellm chat model.tm2.bin\n"
                "  edgellm chat model.tm2.bin --system \"You answer in one sentence.\"\n"
                "  edgellm chat model.tm2.bin --save talk.els\n"
                "  edgellm chat model.tm2.bin --load talk.els --save talk.els\n"
                "  edgellm chat model.tm2.bin -s 1 --json < questions.txt\n"
                "  edgellm chat model.tm2.bin --json-schema lamp.json --repeat-penalty 1\n",
    .options = options,
    .values_size = sizeof(el_cli_chat_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = chat,
};
