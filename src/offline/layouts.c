/* layouts.c: see layouts.h. */
#include "offline/layouts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/detmath.h"
#include "format/gguf.h"

#define MARGIN 0.5    /* nats by which the best must lead */
#define WORST  1000.0 /* nats: what is no number counts as much */

enum { MOST_TOKENS = 96 };

static const char sentence[] =
    "The capital of France is Paris, and the capital of Italy is Rome. In the north of the "
    "country the mountains are high and the winters are long; in the south, people live by the "
    "sea.";

/* ---- reading the sentence ------------------------------------------------------------------- */

/* -log of the probability of a token. */
static double nats_of(const float *logits, uint32_t vocab, uint32_t token)
{
    double top = (double)logits[0], sum = 0;
    for (uint32_t i = 1; i < vocab; i++)
        if ((double)logits[i] > top) top = (double)logits[i];
    for (uint32_t i = 0; i < vocab; i++)
        sum += el_exp((double)logits[i] - top);
    const double nats = el_log(sum) + top - (double)logits[token];
    return nats >= 0 && nats < WORST ? nats : WORST; /* not for NaN */
}

static edgellm_status read_tokens(edgellm_session *session, const uint32_t *tokens, uint32_t n,
                                  uint32_t vocab, double *nats, edgellm_error *err)
{
    float *logits = malloc((size_t)n * vocab * sizeof *logits);
    if (!logits) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a sentence's logits");
    const edgellm_status status = edgellm_session_eval(session, tokens, n, logits, err);
    for (uint32_t i = 0; status == EDGELLM_OK && i + 1 < n; i++)
        *nats += nats_of(logits + (size_t)i * vocab, vocab, tokens[i + 1]) / (n - 1);
    free(logits);
    return status;
}

static edgellm_status read_sentence(const edgellm_engine *engine, double *nats, edgellm_error *err)
{
    edgellm_session_options options = {0};
    edgellm_session *session = NULL;
    edgellm_model_info info;
    uint32_t tokens[sizeof sentence];
    size_t n = 0;
    edgellm_engine_info(engine, &info);
    EL_TRY(edgellm_tokenize(engine, sentence, strlen(sentence), EDGELLM_TOKENIZE_BOS, tokens,
                            sizeof sentence, &n, err));
    if (n > info.context_trained) n = info.context_trained;
    if (n > MOST_TOKENS) n = MOST_TOKENS;
    options.context = (uint32_t)n;
    EL_TRY(edgellm_session_open(engine, &options, &session, err));
    edgellm_status status = read_tokens(session, tokens, (uint32_t)n, info.vocab, nats, err);
    edgellm_session_close(session);
    return status;
}

typedef struct trial {
    double nats;
    bool done;
} trial;

/* A judge (el_tm2_finish) who refuses every file, having read with it. */
static edgellm_status read_and_refuse(void *context, const char *temporary, edgellm_error *err)
{
    trial *t = context;
    edgellm_engine *engine = NULL;
    EL_TRY(edgellm_engine_open(temporary, NULL, &engine, err));
    edgellm_status status = read_sentence(engine, &t->nats, err);
    edgellm_engine_close(engine);
    t->done = status == EDGELLM_OK;
    return t->done ? EDGELLM_ERR_INTERRUPTED : status;
}

/* ---- trying --------------------------------------------------------------------------------- */

/* Layouts that all tensors of I2_S can have, a bit each; 0: there are no such tensors, as in
 * folders of other sources. */
static edgellm_status possible(const char *source, unsigned *layouts, edgellm_error *err)
{
    el_gguf file;
    struct stat about;
    bool any = false;
    *layouts = 0;
    if (stat(source, &about) == 0 && S_ISDIR(about.st_mode)) return EDGELLM_OK;
    EL_TRY(el_gguf_open(&file, source, err));
    unsigned left = (1u << EL_I2S_LAYOUTS) - 1;
    for (uint32_t i = 0; i < file.n_tensors; i++) {
        const el_gguf_tensor *t = &file.tensors[i];
        if (t->type != EL_GGML_I2_S) continue;
        any = true;
        for (int l = 0; l < EL_I2S_LAYOUTS; l++)
            if (!el_i2s_fits(t->rows, t->cols, (el_i2s)l)) left &= ~(1u << l);
    }
    el_gguf_close(&file);
    if (any && left == 0)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "'%.200s': its tensors of type I2_S have shapes that no layout holds all of",
                       source);
    if (any) *layouts = left;
    return EDGELLM_OK;
}

static edgellm_status try_layout(const char *source, const char *target,
                                 const el_quantize_options *options, el_i2s layout, double *nats,
                                 edgellm_error *err)
{
    trial t = {0};
    el_quantize_options o = *options;
    const el_tm2_judge judge = {.accept = read_and_refuse, .context = &t};
    o.i2s = layout;
    o.judge = &judge;
    edgellm_status status = el_quantize(source, target, &o, NULL, err);
    if (!t.done) return status;
    *nats = t.nats;
    return EDGELLM_OK;
}

static el_i2s best_of(const double *nats, el_i2s other)
{
    el_i2s best = EL_I2S_UNKNOWN;
    for (int l = 0; l < EL_I2S_LAYOUTS; l++) {
        if (nats[l] == 0 || (el_i2s)l == other) continue;
        if (best == EL_I2S_UNKNOWN || nats[l] < nats[best]) best = (el_i2s)l;
    }
    return best;
}

static edgellm_status choose(const double *nats, el_i2s *layout, edgellm_error *err)
{
    *layout = best_of(nats, EL_I2S_UNKNOWN);
    const el_i2s next = best_of(nats, *layout);
    if (next == EL_I2S_UNKNOWN || nats[next] - nats[*layout] >= MARGIN) return EDGELLM_OK;
    return el_fail(
        err, EDGELLM_ERR_UNSUPPORTED,
        "which layout its tensors of type I2_S have cannot be told: read as '%s' a token "
        "takes %.2f nats, as '%s' %.2f; say it with --i2s-layout",
        el_i2s_names[*layout], nats[*layout], el_i2s_names[next], nats[next]);
}

static edgellm_status find(const char *source, const char *target,
                           const el_quantize_options *options, el_layouts_found *found,
                           edgellm_error *err)
{
    unsigned layouts = 0;
    EL_TRY(possible(source, &layouts, err));
    if (layouts == 0) return EDGELLM_OK;
    if ((layouts & (layouts - 1)) == 0) { /* one alone */
        found->layout = (el_i2s)__builtin_ctz(layouts);
        return EDGELLM_OK;
    }
    for (int l = 0; l < EL_I2S_LAYOUTS; l++)
        if (layouts >> l & 1)
            EL_TRY(try_layout(source, target, options, (el_i2s)l, &found->nats[l], err));
    return choose(found->nats, &found->layout, err);
}

edgellm_status el_layouts_quantize(const char *source, const char *target,
                                   const el_quantize_options *options, el_quantize_result *result,
                                   el_layouts_found *found, edgellm_error *err)
{
    el_quantize_options o = *options;
    *found = (el_layouts_found){0};
    EL_TRY(el_quantize_paths(source, target, err));
    if (o.i2s == EL_I2S_UNKNOWN) EL_TRY(find(source, target, options, found, err));
    if (found->layout != EL_I2S_UNKNOWN) o.i2s = found->layout;
    return el_quantize(source, target, &o, result, err);
}
