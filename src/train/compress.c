/*
 * compress.c: el_compress(): sets up, goes through the stages of compress_run.h, writes the file
 * and judges it.
 */
#include "train/compress.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/fpenv.h"
#include "base/half.h"
#include "format/checks.h"
#include "quant/quantize.h"
#include "train/compress_run.h"
#include "train/forms.h"
#include "train/layer_shape.h"

/* ---- progress --------------------------------------------------------------------------- */

edgellm_status el_run_tell(const el_run *r, const char *stage, double done, edgellm_error *err)
{
    const el_compress_options *o = r->options;
    if (!o->progress || o->progress(o->progress_context, stage, (r->done + done) / r->total))
        return EDGELLM_OK;
    return el_run_stopped(r, err);
}

edgellm_status el_run_stopped(const el_run *r, edgellm_error *err)
{
    return el_fail(err, EDGELLM_ERR_INTERRUPTED,
                   "stopped: what is finished is in '%.300s'; --resume goes on from there",
                   r->journal.path ? r->journal.path : r->target);
}

static double probe_cost(const el_compress_options *o)
{
    return o->fit ? EL_COST_PROBE : 0;
}

static void add_costs(el_run *r)
{
    const el_compress_options *o = r->options;
    double tokens = (double)o->sequences * o->length;
    double layer_tokens =
        (double)(o->sequences < EL_LAYER_SEQUENCES ? o->sequences : EL_LAYER_SEQUENCES) * o->length;
    r->total = tokens * (EL_COST_WRITE + EL_COST_FORWARD) + probe_cost(o) +
               layer_tokens * (EL_COST_LAYERS + EL_COST_EPOCH * (double)o->epochs) +
               (double)o->steps * EL_STEP_SEQUENCES * o->length * EL_COST_TUNE;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static edgellm_status set_up(el_run *r, edgellm_error *err)
{
    el_arena measure = el_arena_measure(), angles = el_arena_measure();
    el_crew_layout(&measure);
    EL_TRY(el_arena_reserve(&r->crew_memory, measure.used, err));
    r->crew = el_crew_layout(&r->crew_memory);
    r->members = r->options->threads ? r->options->threads : el_cores_allowed();
    if (r->members > EL_CREW_MAX) r->members = EL_CREW_MAX;
    el_layer_shape_of(&r->source, r->options->length, &angles);
    EL_TRY(el_arena_reserve(&r->table_memory, angles.used, err));
    r->shape = el_layer_shape_of(&r->source, r->options->length, &r->table_memory);
    openblas_set_num_threads(1); /* threads are ours: pieces.h */
    snprintf(r->result.kernels, sizeof r->result.kernels, "%s", openblas_get_corename());
    return el_crew_start(r->crew, r->members, err);
}

/* Everything that decides the result. */
static uint64_t fingerprint(const el_run *r)
{
    const el_compress_options *o = r->options;
    const uint64_t numbers[] = {o->fit,
                                o->bits,
                                o->embedding_bits,
                                o->group,
                                o->embedding_group,
                                o->offset,
                                o->seed,
                                o->sequences,
                                o->length,
                                o->epochs,
                                o->steps,
                                el_bits_of_float(r->rate),
                                el_gguf_bytes(&r->source.gguf)};
    uint32_t crc = el_crc32(0, numbers, sizeof numbers);
    for (uint32_t i = 0; i < o->n_rules; i++) {
        crc = el_crc32(crc, o->rules[i].pattern, strlen(o->rules[i].pattern) + 1);
        crc = el_crc32(crc, &o->rules[i].bits, sizeof o->rules[i].bits);
    }
    if (o->even) crc = el_crc32(crc, &o->even, sizeof o->even);
    if (o->calibration) crc = el_crc32(crc, o->calibration, strlen(o->calibration));
    crc = el_crc32(crc, r->result.kernels, sizeof r->result.kernels);
    uint32_t source = el_gguf_crc(&r->source.gguf);
    return (uint64_t)source << 32 | crc;
}

/* ---- the file --------------------------------------------------------------------------- */

/* Bits a weight that halve the divergence, roughly: docs/QUANTISATION.md. */
#define BITS_TO_HALVE 0.6

static double max_kl(const el_run *r)
{
    return r->options->max_kl > 0 ? r->options->max_kl : EL_COMPRESS_RUINED;
}

/* A size of the file, in MB, that would bring the divergence to half of what is allowed. */
static double size_that_would_do(const el_run *r, uint64_t bytes)
{
    double halvings = log2(r->result.quality.kl / (max_kl(r) / 2));
    double bits = halvings * BITS_TO_HALVE * (double)r->result.parameters;
    return ceil(((double)bytes + bits / 8) / 1e6);
}

static edgellm_status refuse_ruined(const el_run *r, const char *path, edgellm_error *err)
{
    struct stat s;
    if (r->result.quality.kl <= max_kl(r) || r->options->force) return EDGELLM_OK;
    if (stat(path, &s) != 0) return el_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s'", path);
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "nothing was written: the file would be ruined (KL %.2f nats a token from the "
                   "source, above %.1f); about %.0f MB would do; --force writes it all the same",
                   r->result.quality.kl, max_kl(r), size_that_would_do(r, (uint64_t)s.st_size));
}

static edgellm_status judge_file(void *context, const char *temporary, edgellm_error *err)
{
    el_run *r = context;
    const el_tm2_judge *judge = r->options->judge;
    size_t first = (size_t)r->sequences * r->text.length;
    const el_quality_text held_out = {r->text.tokens + first, r->hidden + first * r->shape.dim,
                                      EL_HELD_OUT, r->text.length};
    EL_TRY(el_run_tell(r, "measuring the file", 0, err));
    if (judge) EL_TRY(judge->accept(judge->context, temporary, err));
    EL_TRY(el_quality_measure(temporary, &r->source, &held_out, &r->result.quality, err));
    return refuse_ruined(r, temporary, err);
}

static edgellm_status write_file(el_run *r, edgellm_error *err)
{
    el_tm2_writer *writer = NULL;
    const el_source *s = &r->source;
    const el_tm2_judge judge = {.accept = judge_file, .context = r};
    char *manifest =
        el_forms_manifest(r->path, s, r->forms, r->options, r->sequences, r->result.kernels);
    if (!manifest) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the manifest");
    uint32_t tensors =
        el_student_count(s) + s->config.layers * EL_NORMS + el_source_fixed_count(s) + 1;
    edgellm_status status = el_tm2_create(&writer, r->target, &s->config, &s->vocab, tensors, err);
    if (status == EDGELLM_OK) status = el_student_write(&r->student, writer, err);
    if (status == EDGELLM_OK) {
        status = el_tm2_finish(writer, manifest, &judge, &r->result.file_bytes, err);
    } else {
        el_tm2_cancel(writer);
    }
    free(manifest);
    return status;
}

static edgellm_status lay_out_student(el_run *r, edgellm_error *err)
{
    el_arena measure = el_arena_measure();
    r->student = (el_student){.source = &r->source, .shape = &r->shape, .forms = r->forms};
    el_student_layout(&r->student, &measure);
    EL_TRY(el_arena_reserve(&r->student_memory, measure.used, err));
    el_student_layout(&r->student, &r->student_memory);
    return el_source_load(r->source.output_norm,
                          el_student_norm(&r->student, r->source.config.layers, 0), err);
}

static bool on_probe(void *context, uint32_t done, uint32_t total)
{
    const el_run *r = context;
    edgellm_error ignored;
    return el_run_tell(r, "trying what each matrix can bear", probe_cost(r->options) * done / total,
                       &ignored) == EDGELLM_OK;
}

static edgellm_status choose_forms(el_run *r, edgellm_error *err)
{
    uint32_t count = el_student_count(&r->source);
    r->forms = calloc(count, sizeof *r->forms);
    if (!r->forms) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for %u forms", count);
    size_t bytes = count * sizeof *r->forms;
    if (el_journal_take(&r->journal, EL_RECORD_FORMS, r->forms, bytes)) return EDGELLM_OK;
    const el_forms_means means = {.shape = &r->shape,
                                  .crew = r->crew,
                                  .members = r->members,
                                  .tokens = r->text.tokens,
                                  .sequences = r->sequences,
                                  .length = r->text.length,
                                  .progress = on_probe,
                                  .progress_context = r};
    edgellm_status status = el_forms_choose(&r->source, r->options, &means, r->forms, err);
    if (status == EDGELLM_ERR_INTERRUPTED) return el_run_stopped(r, err);
    EL_TRY(status);
    r->done += probe_cost(r->options);
    return el_journal_add(&r->journal, EL_RECORD_FORMS, r->forms, bytes, err);
}

static edgellm_status stages(el_run *r, edgellm_error *err)
{
    add_costs(r);
    for (uint32_t i = 0; i < r->source.gguf.n_tensors; i++) {
        const el_gguf_tensor *t = &r->source.gguf.tensors[i];
        r->result.parameters += (uint64_t)t->rows * t->cols;
    }
    el_forms_cut(&r->source, r->options);
    EL_TRY(el_forms_check(&r->source, r->options, err));
    EL_TRY(set_up(r, err));
    EL_TRY(el_journal_open(&r->journal, r->target, fingerprint(r), r->options->resume, err));
    EL_TRY(el_run_text(r, err));
    EL_TRY(choose_forms(r, err));
    EL_TRY(lay_out_student(r, err));
    EL_TRY(el_run_source(r, err));
    EL_TRY(el_run_ends(r, err));
    EL_TRY(el_run_layers(r, err));
    EL_TRY(el_run_tune(r, err));
    r->computed = true;
    return write_file(r, err);
}

/* Is there nothing to go on with? What was given is refused again, unless it is other, and then the
 * run is another; but a file that is none yet may still be forced. */
static bool is_over(const el_run *r, edgellm_status status)
{
    const bool refused = status == EDGELLM_ERR_FORMAT || status == EDGELLM_ERR_USAGE;
    if (status == EDGELLM_OK || (refused && !r->computed)) return true;
    return !r->journal.any && status != EDGELLM_ERR_INTERRUPTED;
}

static void release(el_run *r, edgellm_status status)
{
    el_journal_close(&r->journal, is_over(r, status));
    if (r->crew) el_crew_stop(r->crew);
    el_arena_release(&r->student_memory);
    el_arena_release(&r->table_memory);
    el_arena_release(&r->crew_memory);
    el_calibration_free(&r->text);
    free(r->forms);
    free(r->hidden);
    el_source_close(&r->source);
}

static edgellm_status check_options(const el_compress_options *o, edgellm_error *err)
{
    if (o->length < 2 || o->sequences < 1 ||
        o->sequences > EL_CALIBRATE_SEQUENCES_MAX - EL_HELD_OUT)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "calibration: %u sequences of %u tokens is out of range", o->sequences,
                       o->length);
    if (o->steps > 1000000 || o->epochs > 1000)
        return el_fail(err, EDGELLM_ERR_USAGE, "at most 1000 epochs and 1000000 steps");
    return EDGELLM_OK;
}

edgellm_status el_compress(const char *source, const char *target,
                           const el_compress_options *options, el_compress_result *result,
                           edgellm_error *err)
{
    el_run r = {.options = options, .path = source, .target = target};
    r.rate = (float)(options->rate > 0 ? options->rate : EL_COMPRESS_RATE);
    EL_TRY(check_options(options, err));
    EL_TRY(el_quantize_paths(source, target, err));
    EL_TRY(el_source_open_by(&r.source, source, options->open ? options->open : el_gguf_open, err));
    el_fpenv env = el_fpenv_enter();
    edgellm_status status = stages(&r, err);
    el_fpenv_leave(env);
    if (!r.named && (status == EDGELLM_ERR_FORMAT || status == EDGELLM_ERR_UNSUPPORTED))
        el_fail_in_file(err, status, source);
    r.result.source_bytes = el_gguf_bytes(&r.source.gguf);
    r.result.matrices = el_student_count(&r.source);
    r.result.sequences = r.sequences;
    r.result.length = options->length;
    release(&r, status);
    if (status == EDGELLM_OK && result) *result = r.result;
    return status;
}
