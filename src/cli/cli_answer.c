#include "cli/cli_answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_output.h"
#include "cli/cli_prefill.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"

const char *const el_cli_finish_names[EL_CLI_FINISHES] = {"length", "end", "context", "interrupted",
                                                          "deadline"};

/* ---- memory ------------------------------------------------------------------------------- */

edgellm_status el_cli_answer_reserve(el_cli_answer *a, size_t capacity, edgellm_error *err)
{
    a->tokens = calloc(capacity, sizeof *a->tokens);
    a->token_ms = calloc(capacity, sizeof *a->token_ms);
    if (a->tokens == NULL || a->token_ms == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for an answer of %zu tokens",
                           capacity);
    }
    for (size_t i = 0; i < capacity; i++)
        a->tokens[i] = 0, a->token_ms[i] = 0; /* touch the pages */
    a->capacity = capacity;
    return EDGELLM_OK;
}

void el_cli_answer_release(el_cli_answer *a)
{
    free(a->tokens);
    free(a->token_ms);
    *a = (el_cli_answer){0};
}

/* ---- shifts ------------------------------------------------------------------------------- */

/* At least half of the context is left to what is dropped and computed anew. */
edgellm_status el_cli_answer_check_shift(const el_cli_answer_options *o, const char *grammar,
                                         const edgellm_session *session, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(session, &plan);
    if (!o->shift) return EDGELLM_OK;
    if (grammar != NULL)
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "%s ends within the context, --shift goes on past it: one or the other",
                           grammar);
    if (o->keep <= plan.context / 2 && plan.context > 1) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_USAGE, "--keep %u: at most half of the context of %u",
                       o->keep, plan.context);
}

/* ---- the token loop ----------------------------------------------------------------------- */

static void add_hash(el_cli_answer *a, const el_cli_model *model, const el_cli_answer_options *o)
{
    if (!o->hash) return;
    a->hash =
        edgellm_hash_logits(a->hash, edgellm_session_logits(model->session), model->info.vocab);
}

/* May another token follow? Sets a->finish if not. */
static bool goes_on(el_cli_answer *a, const el_cli_model *model, const el_cli_answer_options *o,
                    uint32_t context)
{
    if (a->n >= o->max_tokens) {
        a->finish = EL_CLI_FINISH_LENGTH;
    } else if (el_cli_interrupted() != 0) {
        a->finish = EL_CLI_FINISH_INTERRUPTED;
    } else if (!o->shift && edgellm_session_position(model->session) >= context) {
        a->finish = EL_CLI_FINISH_CONTEXT;
    } else {
        return true;
    }
    return false;
}

static edgellm_status stream_out(const el_cli_model *model, edgellm_stream *stream, uint32_t token,
                                 edgellm_error *err)
{
    char text[EDGELLM_STREAM_BYTES];
    return el_cli_write(text, edgellm_stream_push(model->engine, stream, token, text), err);
}

static edgellm_status stream_end(edgellm_stream *stream, edgellm_error *err)
{
    char text[EDGELLM_STREAM_BYTES];
    size_t len = edgellm_stream_flush(stream, text);
    text[len++] = '\n';
    return el_cli_write(text, len, err);
}

/* Makes room in a context that is full. */
static edgellm_status make_room(el_cli_answer *a, const el_cli_model *model,
                                const el_cli_answer_options *o, uint32_t context,
                                edgellm_error *err)
{
    if (edgellm_session_position(model->session) < context) return EDGELLM_OK;
    a->shifts++;
    return edgellm_session_shift(model->session, o->keep, NULL, err);
}

/* Computes a token, or ends the answer if the next one might be late. */
static edgellm_status next(el_cli_answer *a, const el_cli_model *model,
                           const el_cli_answer_options *o, uint32_t context, uint32_t token,
                           edgellm_error *err)
{
    edgellm_status status = make_room(a, model, o, context, err);
    if (status == EDGELLM_OK) status = edgellm_session_eval(model->session, &token, 1, NULL, err);
    if (status != EDGELLM_ERR_DEADLINE) return status;
    a->finish = EL_CLI_FINISH_DEADLINE;
    return EDGELLM_OK;
}

/* A token is ready, begun when the one before was given out: it is held back until its time. */
static void hold(el_cli_answer *a, const el_cli_answer_options *o, double before)
{
    a->held_ms = a->n > 0 && o->climate != NULL ? el_cli_climate_hold(o->climate, before) : 0;
}

/* Times from token to token, but for those held back and with a shift, against what was certified
 * for the position that was computed. */
static void count_gap(const el_cli_answer *a, const el_cli_model *model,
                      const el_cli_answer_options *o, bool shifted, double ms)
{
    if (a->n == 0 || shifted || o->certified == NULL) return;
    el_cli_certified_count(o->certified, edgellm_session_position(model->session) - 1,
                           ms - a->held_ms);
}

static edgellm_status decode(el_cli_answer *a, const el_cli_model *model,
                             const el_cli_answer_options *o, uint32_t context, edgellm_error *err)
{
    edgellm_stream stream = {{0}, 0};
    double before = a->started_ms, first = before;
    size_t shifts = 0; /* before the last token */
    do {
        uint32_t token = 0;
        EL_CLI_TRY(edgellm_session_choose(model->session, &token, err));
        if (!o->ignore_eos && edgellm_is_end(model->engine, token)) {
            a->finish = EL_CLI_FINISH_END;
            break;
        }
        hold(a, o, before);
        if (!o->mute) EL_CLI_TRY(stream_out(model, &stream, token, err));
        double now = el_cli_now_ms();
        if (a->n == 0) {
            first = now;
            if (o->climate != NULL) el_cli_climate_first(o->climate, now);
        }
        count_gap(a, model, o, a->shifts > shifts, now - before);
        shifts = a->shifts;
        a->tokens[a->n] = token;
        a->token_ms[a->n++] = now - before;
        before = now;
        if (!goes_on(a, model, o, context)) break;
        EL_CLI_TRY(next(a, model, o, context, token, err));
        if (a->finish == EL_CLI_FINISH_DEADLINE) break;
        add_hash(a, model, o);
    } while (true);
    a->decode_ms = a->n > 0 ? before - first : 0;
    a->answer_ms = el_cli_now_ms() - a->started_ms;
    return o->mute ? EDGELLM_OK : stream_end(&stream, err);
}

edgellm_status el_cli_answer_make(el_cli_answer *a, const el_cli_model *model,
                                  const el_cli_tokens *prompt, const el_cli_answer_options *o,
                                  edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    a->n = a->shifts = 0;
    a->finish = EL_CLI_FINISH_LENGTH;
    a->prompt_tokens = prompt->count;
    a->hash = EDGELLM_HASH_START;
    if (o->climate != NULL) el_cli_climate_begin(o->climate);
    a->started_ms = el_cli_now_ms();
    edgellm_session_set_deadline(
        model->session,
        o->deadline_ms > 0 ? (uint64_t)((a->started_ms + o->deadline_ms) * 1e6) : 0);
    EL_CLI_TRY(el_cli_prefill(model->session, prompt->ids, prompt->count, o->climate, err));
    a->prefill_ms = el_cli_now_ms() - a->started_ms;
    if (o->climate != NULL) el_cli_climate_answer(o->climate);
    add_hash(a, model, o);
    EL_CLI_TRY(decode(a, model, o, plan.context, err));
    if (o->climate != NULL) el_cli_climate_end(o->climate, el_cli_answer_steps(a));
    a->peak_rss = el_cli_peak_rss(); /* before the report takes memory of its own */
    a->first_ms = a->n > 0 ? a->token_ms[0] : 0;
    el_cli_sort(a->token_ms + 1, el_cli_answer_steps(a));
    return EDGELLM_OK;
}

/* ---- figures ------------------------------------------------------------------------------ */

size_t el_cli_answer_steps(const el_cli_answer *a)
{
    return a->n > 0 ? a->n - 1 : 0;
}

static double per_second(double count, double ms)
{
    return ms > 0 ? count * 1e3 / ms : NAN;
}

double el_cli_answer_prefill_speed(const el_cli_answer *a)
{
    return per_second((double)a->prompt_tokens, a->prefill_ms);
}

double el_cli_answer_decode_speed(const el_cli_answer *a)
{
    return per_second((double)el_cli_answer_steps(a), a->decode_ms);
}

edgellm_status el_cli_answer_json(const el_cli_answer *a, const el_cli_model *model,
                                  const el_cli_answer_options *o, uint64_t seed, json_t **object,
                                  edgellm_error *err)
{
    el_cli_bytes text;
    char hash[20];
    EL_CLI_TRY(el_cli_detokenize(model->engine, a->tokens, a->n, false, &text, err));
    json_t *j = json_object(), *ids = json_array();
    for (size_t i = 0; i < a->n; i++)
        json_array_append_new(ids, json_integer(a->tokens[i]));
    json_object_set_new(j, "text", el_cli_json_text(text.text, text.len));
    free(text.text);
    json_object_set_new(j, "tokens", ids);
    json_object_set_new(j, "prompt_tokens", json_integer((json_int_t)a->prompt_tokens));
    json_object_set_new(j, "finish", json_string(el_cli_finish_names[a->finish]));
    json_object_set_new(j, "seed", json_integer((json_int_t)seed));
    if (o->hash) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)a->hash);
        json_object_set_new(j, "hash", json_string(hash));
    }
    if (o->shift) json_object_set_new(j, "shifts", json_integer((json_int_t)a->shifts));
    *object = j;
    return EDGELLM_OK;
}

json_t *el_cli_answer_timings(const el_cli_answer *a)
{
    json_t *o = json_object();
    json_object_set_new(o, "prefill_tok_s", el_cli_json_real(el_cli_answer_prefill_speed(a)));
    json_object_set_new(o, "ttft_ms", a->n > 0 ? json_real(a->first_ms) : json_null());
    json_object_set_new(o, "decode_tok_s", el_cli_json_real(el_cli_answer_decode_speed(a)));
    json_object_set_new(o, "token_ms",
                        el_cli_distribution(a->token_ms + (a->n > 0), el_cli_answer_steps(a)));
    return o;
}
