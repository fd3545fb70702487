/* scheduler_requests.c: requests come into slots, turns compute their tokens, and they end. */
#include <inttypes.h>
#include <string.h>

#include "base/fpenv.h"
#include "engine/scheduler.h"
#include "model/cache.h"
#include "sample/logprob.h"

/* ---- arrival -------------------------------------------------------------------------------- */

static edgellm_status check_shift(const edgellm_request *r, uint32_t context, edgellm_error *err)
{
    if (!r->shift) return EDGELLM_OK;
    if (r->grammar)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "shift: an answer that keeps to a grammar ends within the context");
    if (r->shift_keep <= context / 2 && context > 1) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "shift_keep %u: at most half of the %u positions of a slot", r->shift_keep,
                   context);
}

static edgellm_status check_request(const edgellm_scheduler *s, const edgellm_request *r,
                                    edgellm_error *err)
{
    const uint32_t vocab = s->engine->file.config.vocab;
    const uint32_t context = s->slots[0].session->forward.context;
    if (r->count == 0) return el_fail(err, EDGELLM_ERR_USAGE, "a prompt of no tokens");
    if (r->max_tokens == 0) return el_fail(err, EDGELLM_ERR_USAGE, "an answer of no tokens");
    if (r->embedding && r->max_tokens != 1)
        return el_fail(err, EDGELLM_ERR_USAGE, "an embedding has no answer: max_tokens is 1");
    if (r->top_logprobs > EDGELLM_TOP_LOGPROBS)
        return el_fail(err, EDGELLM_ERR_USAGE, "top_logprobs %u: at most %d", r->top_logprobs,
                       EDGELLM_TOP_LOGPROBS);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->tokens[i] >= vocab)
            return el_fail(err, EDGELLM_ERR_USAGE, "token %u (at %u): ids are 0 to %u",
                           r->tokens[i], i, vocab - 1);
    EL_TRY(el_session_check_adapters(s->slots[0].session, r->adapters, err));
    EL_TRY(check_shift(r, context, err));
    if (r->count > context || (!r->shift && (uint64_t)r->count + r->max_tokens - 1 > context))
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "a prompt of %u tokens and an answer of %u do not fit into the %u positions "
                       "of a slot",
                       r->count, r->max_tokens, context);
    return EDGELLM_OK;
}

/* Tokens at the beginning of a request that a slot holds already; never all of them, for what
 * follows the last is not kept; none where layers with a window no longer hold what they need. */
static uint32_t held_by(const el_slot *slot, const edgellm_request *r)
{
    const edgellm_session *session = slot->session;
    uint32_t n = 0;
    if (!el_session_has_adapters(session, r->adapters)) return 0;
    while (n + 1 < r->count && n < session->position && session->tokens[n] == r->tokens[n])
        n++;
    return el_cache_reaches(&session->forward, n) ? n : 0;
}

/* The free slot that holds most of the request; of several that which loses least. */
static edgellm_status find_slot(const edgellm_scheduler *s, const edgellm_request *r,
                                uint32_t *slot, uint32_t *held, edgellm_error *err)
{
    uint32_t best = s->n_slots;
    *held = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].id != 0) continue;
        const uint32_t n = held_by(&s->slots[i], r);
        const uint32_t position = s->slots[i].session->position;
        if (best < s->n_slots &&
            (n < *held || (n == *held && position >= s->slots[best].session->position)))
            continue;
        best = i;
        *held = n;
    }
    *slot = best;
    if (best < s->n_slots) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_BUSY,
                   "all %u slots are taken: submit it again after a turn that ends a request",
                   s->n_slots);
}

/* It shifts only if it comes to that; where layers keep a ring, what stays is computed again too.
 */
static el_job job_of(const edgellm_scheduler *s, const edgellm_request *r, uint32_t held)
{
    const uint32_t context = s->slots[0].session->forward.context;
    const bool ring = s->slots[0].session->forward.cache.ring != 0;
    const bool shifts = (uint64_t)r->count + r->max_tokens - 1 > context;
    return (el_job){.position = held,
                    .prompt = r->count - held,
                    .steps = r->max_tokens - 1,
                    .choice = {r->grammar != NULL, r->logprobs, r->logprobs && r->top_logprobs > 0},
                    .deadline = r->deadline_ns,
                    .priority = r->priority,
                    .context = shifts ? context : 0,
                    .keep = shifts ? r->shift_keep : 0,
                    .from = shifts && !ring ? r->shift_keep : 0};
}

static edgellm_status need_costs(const edgellm_scheduler *s, edgellm_error *err)
{
    if (s->has_costs) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "no forecast and no deadline without costs: set them first, see "
                   "edgellm_scheduler_set_costs()");
}

edgellm_status edgellm_scheduler_forecast(const edgellm_scheduler *scheduler,
                                          const edgellm_request *request,
                                          edgellm_forecast *forecast, edgellm_error *err)
{
    uint32_t slot, held;
    EL_TRY(need_costs(scheduler, err));
    EL_TRY(check_request(scheduler, request, err));
    EL_TRY(find_slot(scheduler, request, &slot, &held, err));
    const el_job job = job_of(scheduler, request, held);
    *forecast = el_schedule_forecast(&scheduler->schedule, &job, el_clock_now());
    return EDGELLM_OK;
}

static edgellm_status refuse(const edgellm_request *r, const edgellm_forecast *f,
                             el_nanoseconds now, edgellm_error *err)
{
    const double left = (double)(int64_t)(r->deadline_ns - now) / 1e6;
    const double needed = EDGELLM_ADMITTED_AT * (f->answer_ns + f->margin_ns) / 1e6;
    if (needed <= left)
        return el_fail(err, EDGELLM_ERR_DEADLINE,
                       "%.1f ms would hold %u tokens after a prompt of %u, but not with the later "
                       "deadlines that are promised; %u tokens would fit",
                       left, r->max_tokens, r->count, f->tokens);
    return el_fail(err, EDGELLM_ERR_DEADLINE,
                   "%.1f ms are left until the deadline: the first token after a prompt of %u, "
                   "behind what is promised, takes %.1f ms, all %u take %.1f ms; %u would fit, "
                   "%.1f ms are enough",
                   left, r->count, f->first_ns / 1e6, r->max_tokens, f->answer_ns / 1e6, f->tokens,
                   needed);
}

/* Can it be promised? */
static edgellm_status admit(const edgellm_scheduler *s, const edgellm_request *r, const el_job *job,
                            edgellm_forecast *forecast, edgellm_error *err)
{
    const el_nanoseconds now = el_clock_now();
    if (r->deadline_ns != 0) EL_TRY(need_costs(s, err));
    if (!s->has_costs) return EDGELLM_OK;
    const edgellm_forecast f = el_schedule_forecast(&s->schedule, job, now);
    if (forecast) *forecast = f;
    return f.admitted ? EDGELLM_OK : refuse(r, &f, now, err);
}

/* Into the slot: what it holds of the request stays. */
static void settle(edgellm_scheduler *s, uint32_t place, const edgellm_request *r, uint32_t held)
{
    const el_job job = job_of(s, r, held);
    el_slot *slot = &s->slots[place];
    slot->id = ++s->last_id;
    slot->held = held;
    slot->stop_at_end = r->stop_at_end;
    slot->has_grammar = r->grammar != NULL;
    slot->is_cancelled = slot->has_shifted = false;
    slot->logprobs = r->logprobs;
    slot->wants_embedding = r->embedding;
    slot->wants_hash = r->hash;
    slot->hash = EDGELLM_HASH_START;
    slot->top_logprobs = r->logprobs ? r->top_logprobs : 0;
    slot->session->position = held;
    slot->session->logits_at = 0;
    memcpy(slot->session->tokens + held, r->tokens + held, job.prompt * sizeof *r->tokens);
    el_schedule_add(&s->schedule, place, &job);
}

edgellm_status edgellm_scheduler_submit(edgellm_scheduler *scheduler,
                                        const edgellm_request *request, uint64_t *id,
                                        edgellm_forecast *forecast, edgellm_error *err)
{
    const edgellm_sampler_options defaults = edgellm_sampler_defaults();
    const edgellm_sampler_options *sampler = request->sampler ? request->sampler : &defaults;
    uint32_t place, held;
    EL_TRY(check_request(scheduler, request, err));
    EL_TRY(find_slot(scheduler, request, &place, &held, err));
    const el_job job = job_of(scheduler, request, held);
    EL_TRY(admit(scheduler, request, &job, forecast, err));
    edgellm_session *session = scheduler->slots[place].session;
    EL_TRY(edgellm_session_set_adapters(session, request->adapters, err));
    EL_TRY(edgellm_session_set_sampler(session, sampler, err));
    EL_TRY(edgellm_session_set_grammar(session, request->grammar, request->max_tokens, err));
    settle(scheduler, place, request, held);
    *id = scheduler->last_id;
    return EDGELLM_OK;
}

bool edgellm_scheduler_cancel(edgellm_scheduler *scheduler, uint64_t id)
{
    for (uint32_t i = 0; i < scheduler->n_slots; i++) {
        el_slot *slot = &scheduler->slots[i];
        if (id == 0 || slot->id != id || slot->is_cancelled) continue;
        slot->is_cancelled = true;
        scheduler->schedule.jobs[i].active = false;
        return true;
    }
    return false;
}

static edgellm_status refuse_change(const edgellm_forecast *f, uint32_t tokens, double left_ms,
                                    edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_DEADLINE,
                   "%.1f ms are left until the new deadline: the %u tokens that are left take %.1f "
                   "ms behind what is promised, and later promises hold; %u would fit, %.1f ms "
                   "would be enough without those. The deadline is as it was",
                   left_ms, tokens, f->answer_ns / 1e6, f->tokens,
                   EDGELLM_ADMITTED_AT * (f->answer_ns + f->margin_ns) / 1e6);
}

static edgellm_status change_deadline(edgellm_scheduler *s, uint32_t place, uint64_t deadline_ns,
                                      edgellm_forecast *forecast, edgellm_error *err)
{
    const el_nanoseconds now = el_clock_now();
    const el_job *job = &s->schedule.jobs[place];
    const uint32_t tokens = job->steps + (job->prompt > 0);
    if (deadline_ns != 0) EL_TRY(need_costs(s, err));
    const edgellm_forecast f = el_schedule_set_deadline(&s->schedule, place, deadline_ns, now);
    if (forecast && s->has_costs) *forecast = f;
    if (f.admitted) return EDGELLM_OK;
    return refuse_change(&f, tokens, (double)(int64_t)(deadline_ns - now) / 1e6, err);
}

edgellm_status edgellm_scheduler_set_deadline(edgellm_scheduler *scheduler, uint64_t id,
                                              uint64_t deadline_ns, edgellm_forecast *forecast,
                                              edgellm_error *err)
{
    for (uint32_t i = 0; i < scheduler->n_slots; i++) {
        const el_slot *slot = &scheduler->slots[i];
        if (id != 0 && slot->id == id && !slot->is_cancelled)
            return change_deadline(scheduler, i, deadline_ns, forecast, err);
    }
    return el_fail(err, EDGELLM_ERR_USAGE, "no request has the id %" PRIu64 ", or it has ended",
                   id);
}

/* ---- events --------------------------------------------------------------------------------- */

static edgellm_event *tell(const edgellm_scheduler *s, uint32_t place, edgellm_turn *turn)
{
    edgellm_event *event = &turn->events[turn->n_events++];
    *event = (edgellm_event){.id = s->slots[place].id};
    return event;
}

static void free_slot(edgellm_scheduler *s, uint32_t place)
{
    s->schedule.jobs[place].active = false;
    s->slots[place].id = 0;
}

static void end(edgellm_scheduler *s, uint32_t place, edgellm_finish finish, edgellm_turn *turn)
{
    tell(s, place, turn)->finish = finish;
    free_slot(s, place);
}

static void tell_cancelled(edgellm_scheduler *s, edgellm_turn *turn)
{
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->slots[i].id != 0 && s->slots[i].is_cancelled)
            end(s, i, EDGELLM_FINISH_CANCELLED, turn);
}

static void tell_logprobs(const edgellm_scheduler *s, el_slot *slot, edgellm_event *event)
{
    const float *logits = slot->session->forward.logits;
    const uint32_t vocab = s->engine->file.config.vocab;
    el_fpenv env = el_fpenv_enter();
    const el_softmax softmax = el_softmax_of(logits, vocab);
    event->logprob = el_logprob(softmax, logits[slot->token]);
    if (slot->top_logprobs > 0) {
        el_logprob_top(softmax, logits, vocab, slot->top_logprobs, slot->top);
        event->top = slot->top;
    }
    el_fpenv_leave(env);
}

/* Tokens that an answer may still have, with the next, which was computed. */
static uint32_t tokens_left(const edgellm_scheduler *s, uint32_t place)
{
    const el_job *job = &s->schedule.jobs[place];
    return el_session_fitting(&s->schedule.costs, s->slots[place].session->position, job->choice,
                              s->has_costs ? job->deadline : 0, job->steps + 1);
}

/* Chooses the next token from a slot's logits; is it the last? */
static edgellm_status choose(edgellm_scheduler *s, uint32_t place, edgellm_turn *turn,
                             edgellm_error *err)
{
    el_slot *slot = &s->slots[place];
    edgellm_status status =
        el_session_choose(slot->session, tokens_left(s, place), &slot->token, err);
    if (status != EDGELLM_OK) {
        end(s, place, EDGELLM_FINISH_FAILED, turn);
        return status;
    }
    edgellm_event *event = tell(s, place, turn);
    event->has_token = true;
    event->token = slot->token;
    event->shifted = slot->has_shifted;
    slot->has_shifted = false;
    if (slot->logprobs) tell_logprobs(s, slot, event);
    if (slot->wants_hash)
        event->hash = slot->hash = edgellm_hash_logits(slot->hash, slot->session->forward.logits,
                                                       s->engine->file.config.vocab);
    if ((slot->stop_at_end || slot->has_grammar) && edgellm_is_end(s->engine, slot->token))
        event->finish = EDGELLM_FINISH_END;
    else if (s->schedule.jobs[place].steps == 0)
        event->finish = EDGELLM_FINISH_LENGTH;
    if (event->finish != EDGELLM_FINISH_NOT) free_slot(s, place);
    return EDGELLM_OK;
}

/* The prompt is computed; its embedding is all that was wanted. */
static void give_embedding(edgellm_scheduler *s, uint32_t place, edgellm_turn *turn)
{
    edgellm_event *event = tell(s, place, turn);
    event->embedding = s->slots[place].embedding;
    event->finish = EDGELLM_FINISH_END;
    free_slot(s, place);
}

/* ---- actions -------------------------------------------------------------------------------- */

/* What the head has just computed its logits from, of the last of n tokens; the residual stream is
 * still there. Its length is summed up in the order of its parts. */
static void find_embedding(const el_forward *f, uint32_t n, float *embedding)
{
    const uint32_t dim = f->model->config.dim;
    double sum = 0;
    f->kernels->rms_norm(f->x + (size_t)(n - 1) * dim, f->model->output_norm, dim,
                         f->model->config.norm_eps, embedding);
    for (uint32_t i = 0; i < dim; i++)
        sum += (double)embedding[i] * (double)embedding[i];
    const double length = __builtin_sqrt(sum);
    for (uint32_t i = 0; i < dim && length > 0; i++)
        embedding[i] = (float)((double)embedding[i] / length);
}

/* The next tokens of a prompt; logits only after its last. */
static edgellm_status compute_chunk(edgellm_scheduler *s, const el_action *a, edgellm_error *err)
{
    edgellm_session *worker = s->slots[0].session, *session = s->slots[a->jobs[0]].session;
    const bool last = s->schedule.jobs[a->jobs[0]].prompt == a->tokens;
    edgellm_status status = EDGELLM_OK;
    const uint32_t first = session->position;
    el_fpenv env = el_fpenv_enter();
    el_realtime_border(worker->realtime, a->tokens > 1);
    el_session_run_by(worker, session, session->tokens + first, a->tokens, NULL, last);
    if (last) status = el_session_check_logits(session, session->forward.logits, 1, err);
    if (last && s->slots[a->jobs[0]].wants_embedding)
        find_embedding(&worker->forward, a->tokens, s->slots[a->jobs[0]].embedding);
    if (status == EDGELLM_OK) {
        session->logits_at = last ? session->position : 0;
    } else {
        session->position = 0; /* earlier chunks may have overflowed too */
        el_cache_forget(&session->forward, 0, first + a->tokens);
    }
    el_fpenv_leave(env);
    return status;
}

static edgellm_status compute_pass(edgellm_scheduler *s, const el_action *a, edgellm_error *err)
{
    edgellm_session *sessions[EDGELLM_SCHEDULER_SLOTS];
    uint32_t tokens[EDGELLM_SCHEDULER_SLOTS];
    for (uint32_t i = 0; i < a->tokens; i++) {
        sessions[i] = s->slots[a->jobs[i]].session;
        tokens[i] = s->slots[a->jobs[i]].token;
    }
    /* Of one alone they come to where they stay. */
    float *logits = a->tokens == 1 ? sessions[0]->forward.logits : s->logits;
    return el_sessions_step(s->slots[0].session, sessions, tokens, a->tokens, logits, err);
}

/* The token that was chosen finds no room: it is computed behind those that stay. */
static void shift(edgellm_scheduler *s, uint32_t place)
{
    el_slot *slot = &s->slots[place];
    const el_job *job = &s->schedule.jobs[place];
    const uint32_t keep = job->keep, left = el_shift_prompt(job->context, keep) - 1;
    uint32_t *tokens = slot->session->tokens;
    memmove(tokens + keep, tokens + job->context - left, left * sizeof *tokens);
    tokens[keep + left] = slot->token;
    slot->session->position = job->from;
    slot->session->logits_at = 0;
    slot->has_shifted = true;
    el_schedule_shift(&s->schedule, place);
}

static edgellm_status act(edgellm_scheduler *s, const el_action *a, edgellm_turn *turn,
                          edgellm_error *err)
{
    const bool chunk = a->kind == EL_ACTION_CHUNK;
    const uint32_t n = chunk ? 1 : a->tokens;
    edgellm_status status = (chunk ? compute_chunk : compute_pass)(s, a, err);
    el_schedule_did(&s->schedule, a);
    turn->forecast_ns = a->time;
    *(chunk ? &turn->prompt_tokens : &turn->steps) = a->tokens;
    edgellm_status chosen = EDGELLM_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (status != EDGELLM_OK) {
            end(s, a->jobs[i], EDGELLM_FINISH_FAILED, turn);
        } else if (chunk && s->slots[a->jobs[i]].wants_embedding) {
            if (s->schedule.jobs[a->jobs[i]].prompt == 0) give_embedding(s, a->jobs[i], turn);
        } else if (s->schedule.jobs[a->jobs[i]].prompt == 0) {
            const edgellm_status one = choose(s, a->jobs[i], turn, err);
            if (one != EDGELLM_OK) chosen = one;
            if (el_schedule_is_full(&s->schedule, a->jobs[i])) shift(s, a->jobs[i]);
        }
    }
    return status != EDGELLM_OK ? status : chosen;
}

edgellm_status edgellm_scheduler_turn(edgellm_scheduler *scheduler, edgellm_turn *turn,
                                      edgellm_error *err)
{
    *turn = (edgellm_turn){.steps = 0};
    tell_cancelled(scheduler, turn);
    el_action a = el_schedule_next(&scheduler->schedule, el_clock_now());
    while (a.kind == EL_ACTION_END) {
        end(scheduler, a.jobs[0], EDGELLM_FINISH_DEADLINE, turn);
        a = el_schedule_next(&scheduler->schedule, el_clock_now());
    }
    return a.kind == EL_ACTION_NONE ? EDGELLM_OK : act(scheduler, &a, turn, err);
}

double edgellm_scheduler_slack(const edgellm_scheduler *scheduler, double *next_ns)
{
    const el_nanoseconds now = el_clock_now();
    if (next_ns) *next_ns = el_schedule_next(&scheduler->schedule, now).time;
    return el_schedule_slack(&scheduler->schedule, now);
}

/* ---- looking -------------------------------------------------------------------------------- */

bool edgellm_scheduler_slot(const edgellm_scheduler *scheduler, uint32_t number, edgellm_slot *slot)
{
    if (number >= scheduler->n_slots) return false;
    const el_slot *s = &scheduler->slots[number];
    *slot = (edgellm_slot){s->session, s->id, s->held};
    return true;
}
