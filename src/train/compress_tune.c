/* compress_tune.c: all layers together, and what is kept of it meanwhile. */
#include <stdio.h>

#include "base/clock.h"
#include "train/compress_run.h"
#include "train/tune.h"

#define KEEP_SECONDS 600.0

/* Where the training is. */
typedef struct position {
    uint32_t step; /* the next */
    double kl;     /* of the last steps, a running mean */
    double kl_first, kl_last;
} position;

typedef struct training {
    el_run *run;
    el_tune tune;
    uint32_t *order; /* of the sequences in the present epoch */
    position at;
    el_nanoseconds kept; /* when a state was, the last time */
} training;

enum { SPANS = 3 };

/* Everything that the next step depends on, but for the text. */
static void state_of(training *t, el_span spans[SPANS])
{
    const el_arena *student = &t->run->student_memory;
    spans[0] = (el_span){&t->at, sizeof t->at};
    spans[1] = (el_span){student->base, student->used};
    spans[2] = t->tune.moments;
}

static edgellm_status keep(training *t, edgellm_error *err)
{
    el_span spans[SPANS];
    state_of(t, spans);
    EL_TRY(el_journal_keep(&t->run->journal, spans, SPANS, err));
    t->kept = el_clock_now();
    return EDGELLM_OK;
}

static bool time_to_keep(const training *t)
{
    double seconds = t->run->options->keep > 0 ? t->run->options->keep : KEEP_SECONDS;
    return (double)(el_clock_now() - t->kept) / 1e9 >= seconds;
}

/* Says where it is; asked to stop, it keeps that. */
static edgellm_status tell(training *t, edgellm_error *err)
{
    char stage[80];
    double cost = (double)t->tune.batch * t->tune.length * EL_COST_TUNE;
    int n = snprintf(stage, sizeof stage, "step %u of %u", t->at.step + 1, t->tune.steps);
    if (t->at.step > 0)
        snprintf(stage + n, sizeof stage - (size_t)n, ", KL divergence %.3f", t->at.kl);
    edgellm_status status = el_run_tell(t->run, stage, cost * t->at.step, err);
    edgellm_error why;
    if (status == EDGELLM_ERR_INTERRUPTED && keep(t, &why) != EDGELLM_OK) {
        *err = why;
        return EDGELLM_ERR_IO;
    }
    return status;
}

static void take_loss(training *t, double kl)
{
    uint32_t eighth = t->tune.steps / 8 + 1;
    t->at.kl = t->at.step == 0 ? kl : 0.95 * t->at.kl + 0.05 * kl;
    if (t->at.step < eighth) t->at.kl_first += kl / eighth;
    if (t->at.step + eighth >= t->tune.steps) t->at.kl_last += kl / eighth;
}

static edgellm_status run_steps(training *t, edgellm_error *err)
{
    uint32_t per_epoch = t->tune.sequences / t->tune.batch, shuffled = UINT32_MAX;
    for (; t->at.step < t->tune.steps; t->at.step++) {
        uint32_t in_epoch = t->at.step % per_epoch, first = t->at.step - in_epoch;
        EL_TRY(tell(t, err));
        if (time_to_keep(t)) EL_TRY(keep(t, err));
        if (shuffled != first) el_shuffle(t->order, t->tune.sequences, first + 1);
        shuffled = first;
        take_loss(t,
                  el_tune_step(&t->tune, t->at.step, t->order + (size_t)in_epoch * t->tune.batch));
    }
    return EDGELLM_OK;
}

/* Goes on where a state was kept. */
static edgellm_status train(training *t, edgellm_error *err)
{
    el_span spans[SPANS];
    state_of(t, spans);
    EL_TRY(el_journal_kept(&t->run->journal, spans, SPANS, err));
    t->kept = el_clock_now();
    EL_TRY(run_steps(t, err));
    t->run->result.kl_first = t->at.kl_first;
    t->run->result.kl_last = t->at.kl_last;
    t->run->done += (double)t->tune.steps * t->tune.batch * t->tune.length * EL_COST_TUNE;
    return EDGELLM_OK;
}

edgellm_status el_run_tune(el_run *r, edgellm_error *err)
{
    training t = {.run = r};
    t.tune = (el_tune){.source = &r->source,
                       .shape = &r->shape,
                       .student = &r->student,
                       .crew = r->crew,
                       .members = r->members,
                       .sequences = r->sequences,
                       .length = r->text.length,
                       .batch = r->sequences < EL_STEP_SEQUENCES ? r->sequences : EL_STEP_SEQUENCES,
                       .tokens = r->text.tokens,
                       .teacher = r->hidden,
                       .steps = r->options->steps,
                       .rate_u = r->rate,
                       .rate_scale = 0.001f,
                       .rate_norm = 0.001f};
    if (t.tune.steps == 0) return EDGELLM_OK;
    el_arena arena = el_arena_measure();
    el_tune_layout(&t.tune, &arena);
    size_t order = (size_t)t.tune.sequences * sizeof(uint32_t);
    EL_TRY(el_arena_reserve(&arena, arena.used + order + EL_ALIGN, err));
    el_tune_layout(&t.tune, &arena);
    t.order = el_arena_take(&arena, 1, order);
    edgellm_status status = train(&t, err);
    el_arena_release(&arena);
    return status;
}
