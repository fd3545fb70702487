/* compress_text.c: the calibration text of a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/quantize.h"
#include "train/compress_run.h"

static bool on_text(void *context, uint32_t done, uint32_t total)
{
    const el_run *r = context;
    double cost = (double)r->options->sequences * r->options->length * EL_COST_WRITE;
    edgellm_error ignored;
    return el_run_tell(r, "writing calibration text", cost * done / total, &ignored) == EDGELLM_OK;
}

/* The source as a TM2 file without loss, for the engine; nameless once it is open. */
static edgellm_status open_engine(el_run *r, edgellm_engine **engine, edgellm_error *err)
{
    const el_quantize_options keep = {
        .group = 32, .embedding_group = 32, .scales = EL_SCALE_F16, .open = r->options->open};
    size_t room = strlen(r->target) + sizeof ".calibrate-edgellm";
    char *path = malloc(room);
    if (!path) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a file's name");
    snprintf(path, room, "%s.calibrate-edgellm", r->target);
    edgellm_status status = el_quantize(r->path, path, &keep, NULL, err);
    r->named = status != EDGELLM_OK;
    if (status == EDGELLM_OK) status = edgellm_engine_open(path, NULL, engine, err);
    unlink(path);
    free(path);
    return status;
}

static edgellm_status make_text(el_run *r, edgellm_error *err)
{
    const el_compress_options *o = r->options;
    edgellm_engine *engine = NULL;
    EL_TRY(open_engine(r, &engine, err));
    const el_calibrate_options how = {.sequences = o->sequences + EL_HELD_OUT,
                                      .length = o->length,
                                      .seed = o->seed,
                                      .threads = r->members,
                                      .progress = on_text,
                                      .progress_context = r};
    edgellm_status status = o->calibration
                                ? el_calibrate_file(engine, o->calibration, &how, &r->text, err)
                                : el_calibrate_self(engine, &how, &r->text, err);
    edgellm_engine_close(engine);
    if (status == EDGELLM_ERR_INTERRUPTED) return el_run_stopped(r, err);
    return status;
}

static edgellm_status take_text(el_run *r, edgellm_error *err)
{
    uint32_t shape[3];
    if (!el_journal_take(&r->journal, EL_RECORD_TEXT, shape, sizeof shape)) return EDGELLM_OK;
    size_t bytes = (size_t)shape[0] * shape[1] * sizeof(uint32_t);
    uint32_t *tokens = malloc(bytes);
    if (!tokens) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for calibration text");
    if (el_journal_take(&r->journal, EL_RECORD_TOKENS, tokens, bytes)) {
        r->text = (el_calibration){shape[0], shape[1], shape[2], tokens};
    } else {
        free(tokens);
    }
    return EDGELLM_OK;
}

edgellm_status el_run_text(el_run *r, edgellm_error *err)
{
    const el_compress_options *o = r->options;
    EL_TRY(take_text(r, err));
    if (!r->text.tokens) {
        EL_TRY(make_text(r, err));
        const uint32_t shape[3] = {r->text.sequences, r->text.length, r->text.vocab};
        size_t bytes = (size_t)shape[0] * shape[1] * sizeof(uint32_t);
        EL_TRY(el_journal_add(&r->journal, EL_RECORD_TEXT, shape, sizeof shape, err));
        EL_TRY(el_journal_add(&r->journal, EL_RECORD_TOKENS, r->text.tokens, bytes, err));
    }
    if (r->text.sequences <= EL_HELD_OUT) {
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' is too short: it gives %u pieces of %u tokens, and calibration "
                       "needs at least %d",
                       o->calibration, r->text.sequences, o->length, EL_HELD_OUT + 1);
    }
    r->sequences = r->text.sequences - EL_HELD_OUT;
    r->done += (double)o->sequences * o->length * EL_COST_WRITE;
    return EDGELLM_OK;
}
