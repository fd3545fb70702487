/*
 * calibrate.c: see calibrate.h. Writers take the numbers of sequences from a counter; each has a
 * thread and a session of its own, so that who writes which one makes no difference. As many as
 * share a core decode together.
 */
#include "offline/calibrate.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "base/threads.h"
#include "offline/calibrate_text.h"

enum { SHORTEST = 2, WRITERS_MAX = EL_CALIBRATE_THREADS_MAX * EL_TOGETHER_MAX };

/* ---- options and room ---------------------------------------------------------------------- */

static edgellm_status check_options(const edgellm_engine *engine, const el_calibrate_options *o,
                                    edgellm_model_info *info, edgellm_error *err)
{
    edgellm_engine_info(engine, info);
    if (o->sequences < 1 || o->sequences > EL_CALIBRATE_SEQUENCES_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "calibration: %u sequences; 1 to %d are possible",
                       o->sequences, EL_CALIBRATE_SEQUENCES_MAX);
    if (o->length < SHORTEST || o->length > info->context_trained)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "calibration: sequences of %u tokens; this model takes %d to %u", o->length,
                       SHORTEST, info->context_trained);
    if (o->threads > EL_CALIBRATE_THREADS_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "calibration: %u threads; at most %d are possible",
                       o->threads, EL_CALIBRATE_THREADS_MAX);
    return EDGELLM_OK;
}

static edgellm_status reserve(el_calibration *c, uint32_t sequences, uint32_t length,
                              uint32_t vocab, edgellm_error *err)
{
    *c = (el_calibration){.sequences = sequences, .length = length, .vocab = vocab};
    const uint64_t count = (uint64_t)sequences * length;
    if (count <= SIZE_MAX / sizeof *c->tokens) c->tokens = malloc(count * sizeof *c->tokens);
    if (c->tokens == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "calibration: no memory for %u x %u tokens",
                       sequences, length);
    return EDGELLM_OK;
}

void el_calibration_free(el_calibration *c)
{
    free(c->tokens);
    c->tokens = NULL;
}

/* ---- the model's own text ------------------------------------------------------------------ */

typedef struct pool {
    const edgellm_engine *engine;
    const el_calibrate_options *options;
    const el_calibration *out;
    _Atomic uint32_t next; /* sequence that nobody has taken yet */
    atomic_bool stop;
    pthread_mutex_t lock; /* of all that follows, and around calls of progress */
    uint32_t done;
    edgellm_status status; /* the first failure */
    edgellm_error err;
} pool;

/* Writers that share a core. */
typedef struct desk {
    pool *pool;
    el_together together;
    uint32_t writers;
} desk;

/* `finished` sequences more; is the work to go on? */
static bool report(pool *p, uint32_t finished)
{
    const el_calibrate_options *o = p->options;
    pthread_mutex_lock(&p->lock);
    p->done += finished;
    bool on = !atomic_load(&p->stop);
    if (on && o->progress) on = o->progress(o->progress_context, p->done, o->sequences);
    if (!on) atomic_store(&p->stop, true);
    pthread_mutex_unlock(&p->lock);
    return on;
}

static bool may_go_on(void *context)
{
    return report(context, 0);
}

static void give_up(pool *p, edgellm_status status, const edgellm_error *err)
{
    pthread_mutex_lock(&p->lock);
    if (p->status == EDGELLM_OK) {
        p->status = status;
        p->err = *err;
    }
    pthread_mutex_unlock(&p->lock);
    atomic_store(&p->stop, true);
}

static edgellm_status write_some(pool *p, el_writer *w, edgellm_error *err)
{
    const el_calibration *out = p->out;
    for (;;) {
        const uint32_t i = atomic_fetch_add(&p->next, 1);
        if (i >= out->sequences) return EDGELLM_OK;
        EL_TRY(
            el_writer_sequence(w, p->options->seed, i, out->tokens + (size_t)i * out->length, err));
        if (!report(p, 1)) return el_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
    }
}

static void *work(void *context)
{
    desk *d = context;
    pool *p = d->pool;
    el_writer w = {.go_on = may_go_on, .go_on_context = p, .together = &d->together};
    edgellm_error err = {0};
    edgellm_status status = el_writer_open(&w, p->engine, p->out->length, &err);
    if (status == EDGELLM_OK) status = write_some(p, &w, &err);
    if (status != EDGELLM_OK) give_up(p, status, &err);
    el_together_leave(&d->together);
    el_writer_close(&w);
    return NULL;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* A session's batch, which a pass has to fit in, is no longer than its context. */
static edgellm_status open_desks(pool *p, desk *desks, unsigned count, edgellm_error *err)
{
    const el_calibration *out = p->out;
    edgellm_status status = EDGELLM_OK;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t share = (out->sequences - i + count - 1) / count;
        desks[i].pool = p;
        desks[i].writers = smaller(smaller(share, EL_TOGETHER_MAX), out->length);
        edgellm_status opened =
            el_together_open(&desks[i].together, desks[i].writers, out->vocab, err);
        if (opened != EDGELLM_OK) status = opened;
    }
    return status;
}

typedef struct team {
    pthread_t threads[WRITERS_MAX];
    unsigned started;
} team;

/* A thread for each writer of a desk; those that cannot be started leave it. */
static int start_writers(team *t, desk *d)
{
    int error = 0;
    for (uint32_t i = 0; i < d->writers; i++) {
        if (!error) error = pthread_create(&t->threads[t->started], NULL, work, d);
        if (error)
            el_together_leave(&d->together);
        else
            t->started++;
    }
    return error;
}

/* Signals are blocked in the threads, and so go to those that handle them. */
static void work_together(pool *p, desk *desks, unsigned count)
{
    team t = {.started = 0};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 0; i < count; i++) {
        edgellm_error err;
        int error = start_writers(&t, &desks[i]);
        if (!error) continue;
        give_up(p,
                el_fail(&err, EDGELLM_ERR_MEMORY, "cannot start thread %u: %s", t.started + 1,
                        strerror(error)),
                &err);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (unsigned i = 0; i < t.started; i++)
        pthread_join(t.threads[i], NULL);
}

static edgellm_status write_all(pool *p, unsigned threads, edgellm_error *err)
{
    desk *desks = calloc(threads, sizeof *desks);
    if (!desks) return el_fail(err, EDGELLM_ERR_MEMORY, "calibration: no memory for writers");
    pthread_mutex_init(&p->lock, NULL);
    edgellm_status status = open_desks(p, desks, threads, err);
    if (status == EDGELLM_OK) {
        work_together(p, desks, threads);
        status = p->status;
        if (status != EDGELLM_OK) el_fail(err, status, "%s", p->err.message);
    }
    pthread_mutex_destroy(&p->lock);
    for (unsigned i = 0; i < threads; i++)
        el_together_close(&desks[i].together);
    free(desks);
    return status;
}

edgellm_status el_calibrate_self(const edgellm_engine *engine, const el_calibrate_options *options,
                                 el_calibration *out, edgellm_error *err)
{
    edgellm_model_info info;
    el_calibration c;
    EL_TRY(check_options(engine, options, &info, err));
    unsigned threads = options->threads ? options->threads : el_cores_allowed();
    if (threads > options->sequences) threads = options->sequences;
    if (threads > EL_CALIBRATE_THREADS_MAX) threads = EL_CALIBRATE_THREADS_MAX;
    EL_TRY(reserve(&c, options->sequences, options->length, info.vocab, err));
    pool p = {.engine = engine, .options = options, .out = &c};
    edgellm_status status = write_all(&p, threads, err);
    if (status == EDGELLM_OK)
        *out = c;
    else
        el_calibration_free(&c);
    return status;
}

/* ---- a file -------------------------------------------------------------------------------- */

typedef struct token_list {
    uint32_t *ids; /* (count) */
    size_t count;
} token_list;

static edgellm_status tokenize(const edgellm_engine *engine, const char *text, size_t len,
                               token_list *tokens, edgellm_error *err)
{
    size_t count = 0;
    EL_TRY(edgellm_tokenize(engine, text, len, EDGELLM_TOKENIZE_PLAIN, NULL, 0, &count, err));
    uint32_t *ids = count < SIZE_MAX / sizeof *ids ? malloc((count + 1) * sizeof *ids) : NULL;
    if (ids == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "calibration: no memory for %zu tokens", count);
    *tokens = (token_list){ids, count};
    return edgellm_tokenize(engine, text, len, EDGELLM_TOKENIZE_PLAIN, ids, count, &count, err);
}

/* The token that a sequence begins with: 1 or, for many vocabularies, 0 of them. */
static edgellm_status first_token(const edgellm_engine *engine, uint32_t *token, size_t *count,
                                  edgellm_error *err)
{
    return edgellm_tokenize(engine, "", 0, EDGELLM_TOKENIZE_BOS, token, 1, count, err);
}

static edgellm_status cut(const edgellm_engine *engine, const token_list *text, const char *path,
                          const el_calibrate_options *o, el_calibration *c, edgellm_error *err)
{
    edgellm_model_info info;
    uint32_t first = 0;
    size_t begins = 0;
    edgellm_engine_info(engine, &info);
    EL_TRY(first_token(engine, &first, &begins, err));
    const size_t piece = o->length - begins;
    size_t n = text->count / piece;
    if (n == 0)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' has %zu tokens: too few to calibrate with; at least %zu are "
                       "needed",
                       path, text->count, piece);
    if (n > o->sequences) n = o->sequences;
    EL_TRY(reserve(c, (uint32_t)n, o->length, info.vocab, err));
    for (size_t i = 0; i < n; i++) {
        const size_t at = (size_t)((uint64_t)text->count * i / n);
        uint32_t *sequence = c->tokens + i * o->length;
        sequence[0] = first;
        memcpy(sequence + begins, text->ids + at, piece * sizeof *sequence);
    }
    return EDGELLM_OK;
}

edgellm_status el_calibrate_file(const edgellm_engine *engine, const char *path,
                                 const el_calibrate_options *options, el_calibration *out,
                                 edgellm_error *err)
{
    edgellm_model_info info;
    el_mapfile file;
    token_list tokens = {NULL, 0};
    el_calibration c = {0};
    EL_TRY(check_options(engine, options, &info, err));
    EL_TRY(el_mapfile_copy(&file, path, err));
    edgellm_status status = tokenize(engine, (const char *)file.data, file.size, &tokens, err);
    el_mapfile_close(&file);
    if (status == EDGELLM_OK) status = cut(engine, &tokens, path, options, &c, err);
    free(tokens.ids);
    if (status == EDGELLM_OK) *out = c;
    return status;
}
