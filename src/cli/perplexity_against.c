#include "cli/perplexity_against.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"
#include "cli/cli_stats.h"
#include "cli/perplexity_cache.h"
#include "cli/perplexity_source.h"

/* One run; chunk by chunk, so that no more than one chunk's reference is held. */
typedef struct run {
    const el_cli_model *model;
    const el_cli_chunks *chunks;
    const el_cli_against_options *options;
    el_cli_source source;
    el_cli_cache cache;
    el_cli_reference reference;
    float *logits; /* (batch, vocab) */
    el_cli_against total;
} run;

static uint64_t hash_of_tokens(const el_cli_chunks *c)
{
    return el_fnv(EDGELLM_HASH_START, c->tokens.ids, c->tokens.count * sizeof *c->tokens.ids);
}

/* What the reference logits depend on: exact mode gives the same bits on every machine. */
static uint64_t key_of(const run *r)
{
    const char *version = edgellm_version();
    uint64_t hash = el_fnv(EDGELLM_HASH_START, version, strlen(version));
    const uint64_t parts[] = {r->total.source_hash, r->total.tokens_hash,
                              el_cli_vocabulary_hash(r->model), r->chunks->context,
                              r->chunks->count};
    return el_fnv(hash, parts, sizeof parts);
}

/* ---- one chunk ----------------------------------------------------------------------------- */

static void take_reference(void *context, uint32_t index, const float *logits, uint32_t next)
{
    run *r = context;
    uint32_t vocab = r->model->info.vocab;
    el_cli_code(logits, vocab, &r->reference.heads[index],
                r->reference.codes + (size_t)index * vocab);
    r->reference.nll += el_cli_nll(logits, vocab, next);
}

static void take_model(void *context, uint32_t index, const float *logits, uint32_t next)
{
    run *r = context;
    uint32_t vocab = r->model->info.vocab;
    el_cli_comparison c =
        el_cli_compare(&r->reference.heads[index], r->reference.codes + (size_t)index * vocab,
                       logits, vocab, next);
    r->total.nll += c.nll;
    r->total.divergence += c.divergence;
    r->total.agreed += c.agrees;
    r->total.scored++;
}

static edgellm_status compute_reference(run *r, size_t index, edgellm_error *err)
{
    r->reference.nll = 0;
    EL_CLI_TRY(
        el_cli_chunk_score(r->chunks, index, &r->source.model, r->logits, take_reference, r, err));
    if (r->cache.writing) el_cli_cache_append(&r->cache, &r->reference);
    return EDGELLM_OK;
}

static void show(const run *r, size_t index, const char *what)
{
    const el_cli_against *t = &r->total;
    if (!r->options->progress) return;
    fprintf(stderr, "\r%s %zu/%zu, %s", el_cli_chunks_unit(r->chunks), index + 1, r->chunks->count,
            what);
    if (t->scored > 0) {
        double n = (double)t->scored;
        fprintf(stderr, "; so far source %.4f, model %.4f, KL %.5f", exp(t->source_nll / n),
                exp(t->nll / n), t->divergence / n);
    }
    fputs("\033[K", stderr);
}

/* *damaged: the cache could not be read on. */
static edgellm_status measure_chunk(run *r, size_t index, bool *damaged, edgellm_error *err)
{
    double start = el_cli_now_ms();
    bool kept = el_cli_cache_found(&r->cache);
    show(r, index, kept ? "reading the source's logits" : "computing the source");
    if (kept) {
        *damaged = !el_cli_cache_read(&r->cache, &r->reference);
        if (*damaged) return EDGELLM_OK;
    } else {
        EL_CLI_TRY(compute_reference(r, index, err));
    }
    double middle = el_cli_now_ms();
    show(r, index, "computing the model");
    EL_CLI_TRY(el_cli_chunk_score(r->chunks, index, r->model, r->logits, take_model, r, err));
    r->total.source_nll += r->reference.nll;
    r->total.source_seconds += (middle - start) / 1e3;
    r->total.seconds += (el_cli_now_ms() - middle) / 1e3;
    return EDGELLM_OK;
}

/* ---- all chunks ----------------------------------------------------------------------------- */

static edgellm_status measure_all(run *r, bool *damaged, edgellm_error *err)
{
    for (size_t i = 0; i < r->chunks->count && !*damaged; i++)
        EL_CLI_TRY(measure_chunk(r, i, damaged, err));
    return EDGELLM_OK;
}

static edgellm_status with_cache(run *r, bool *damaged, edgellm_error *err)
{
    r->total.cache = "used";
    r->total.rounded = r->cache.header.rounded;
    return measure_all(r, damaged, err);
}

static edgellm_status with_source(run *r, edgellm_error *err)
{
    bool never = false;
    el_cli_against *t = &r->total;
    *t = (el_cli_against){.source_hash = t->source_hash, .tokens_hash = t->tokens_hash};
    EL_CLI_TRY(el_cli_source_start(&r->source, r->model, r->chunks, r->options->model,
                                   r->options->progress, err));
    t->rounded = r->source.rounded;
    el_cli_cache_begin(&r->cache, t->rounded);
    EL_CLI_TRY(measure_all(r, &never, err));
    t->cache = el_cli_cache_finish(&r->cache) ? "made" : "none";
    return EDGELLM_OK;
}

static edgellm_status measure(run *r, edgellm_error *err)
{
    bool damaged = false;
    const el_cli_chunks *c = r->chunks;
    const el_cli_cache_header header = {
        .key = key_of(r),
        .context = c->context,
        .chunks = (uint32_t)c->count,
        .positions = c->positions,
        .vocab = r->model->info.vocab,
    };
    EL_CLI_TRY(el_cli_reference_open(&r->reference, header.positions, header.vocab, err));
    r->logits = el_cli_chunk_logits(r->model, err);
    if (r->logits == NULL) return err->status;
    /* The chunks of a file of kept logits are of one size; those of answers would be gigabytes. */
    el_cli_cache_open(&r->cache, c->chat ? "none" : r->options->cache, &header);
    if (el_cli_cache_found(&r->cache)) EL_CLI_TRY(with_cache(r, &damaged, err));
    if (r->total.scored == 0 || damaged) EL_CLI_TRY(with_source(r, err));
    return EDGELLM_OK;
}

edgellm_status el_cli_against_measure(el_cli_against *result, const el_cli_model *model,
                                      const el_cli_chunks *chunks,
                                      const el_cli_against_options *options, edgellm_error *err)
{
    run r = {.model = model, .chunks = chunks, .options = options, .cache = {.fd = -1}};
    EL_CLI_TRY(el_cli_source_identify(&r.source, options->source, err));
    r.total.source_hash = r.source.hash;
    r.total.tokens_hash = hash_of_tokens(chunks);
    edgellm_status status = measure(&r, err);
    if (options->progress) fputs("\r\033[K", stderr);
    el_cli_cache_close(&r.cache);
    el_cli_source_stop(&r.source);
    el_cli_reference_close(&r.reference);
    free(r.logits);
    if (status == EDGELLM_OK) *result = r.total;
    return status;
}
