/*
 * quantize.c: walks over the tensors of a GGUF file and puts each, taken over or rounded, into a
 * TM2 file. Memory: the codes of one tensor and the floats of a few of its rows.
 */
#include "quant/quantize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fpenv.h"
#include "format/checks.h"
#include "format/gguf.h"
#include "format/three_levels.h"
#include "format/tm2.h"
#include "quant/manifest.h"
#include "quant/pairs.h"
#include "quant/round.h"
#include "quant/takeover.h"

#define ROWS_AT_ONCE  64
#define FALLBACK_BITS 8 /* for what cannot be kept when bits is 0 */

/* ---- what is asked for ----------------------------------------------------------------- */

/* `where`: "" or " for the embedding"; `zero`: what 0 bits stands for. */
static edgellm_status check_bits(unsigned bits, const char *where, const char *zero,
                                 edgellm_error *err)
{
    if (bits == 0 || el_round_codec(bits, false) != EL_CODEC_F32) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "%u bits%s: must be 1, %u for 1.6, 2, 3, 4, 8, or 0 for %s", bits, where,
                   EL_ROUND_TERNARY, zero);
}

static edgellm_status check_offset(const el_quantize_options *o, edgellm_error *err)
{
    const unsigned bits[] = {o->bits, o->embedding_bits};
    for (size_t i = 0; o->offset && i < sizeof bits / sizeof *bits; i++) {
        if (bits[i] != 0 && el_round_codec(bits[i], true) == EL_CODEC_F32)
            return el_fail(err, EDGELLM_ERR_USAGE, "1 and 1.6 bits have no offset: leave it out");
    }
    return EDGELLM_OK;
}

static edgellm_status check_group(uint32_t group, const char *where, edgellm_error *err)
{
    if (group == 0 || group == 32 || group == 64 || group == 128) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_USAGE,
                   "group %u%s: must be 32, 64, 128, or 0 for the whole row", group, where);
}

static edgellm_status check_options(const el_quantize_options *o, edgellm_error *err)
{
    static const char embedding[] = " for the embedding";
    EL_TRY(check_bits(o->bits, "", "what the source has", err));
    EL_TRY(check_bits(o->embedding_bits, embedding, "the same as the rest", err));
    EL_TRY(check_offset(o, err));
    EL_TRY(check_group(o->group, "", err));
    EL_TRY(check_group(o->embedding_group, embedding, err));
    if ((unsigned)o->i2s >= EL_I2S_LAYOUTS) {
        return el_fail(err, EDGELLM_ERR_USAGE, "unknown layout %u of I2_S", (unsigned)o->i2s);
    }
    if ((unsigned)o->scales >= EL_SCALE_KINDS) {
        return el_fail(err, EDGELLM_ERR_USAGE, "unknown kind of scales %u", (unsigned)o->scales);
    }
    return EDGELLM_OK;
}

edgellm_status el_quantize_paths(const char *source, const char *target, edgellm_error *err)
{
    struct stat s, t;
    if (stat(source, &s) != 0) {
        return el_fail(err, EDGELLM_ERR_IO, "cannot open '%.300s': %s", source, strerror(errno));
    }
    if (stat(target, &t) != 0) {
        if (errno == ENOENT) return EDGELLM_OK;
        return el_fail(err, EDGELLM_ERR_IO, "cannot write '%.300s': %s", target, strerror(errno));
    }
    if (s.st_dev == t.st_dev && s.st_ino == t.st_ino) {
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "'%.300s' is the source itself: give the result another name", target);
    }
    return EDGELLM_OK;
}

/* ---- one tensor ------------------------------------------------------------------------ */

/* How a tensor will lie in the file. */
typedef struct form {
    el_codec codec;
    el_scale_kind kind;
    uint32_t group;
    bool keep; /* taken over as it is */
} form;

/* Vectors are rare and small: they stay as they are. */
static bool is_vector(const el_gguf_tensor *t)
{
    return t->rows == 1;
}

static bool is_embedding(const el_gguf_tensor *t)
{
    return !strcmp(t->name, "token_embd.weight") || !strcmp(t->name, "output.weight");
}

static edgellm_status choose_form(const el_gguf_tensor *t, const el_quantize_options *o, form *f,
                                  edgellm_error *err)
{
    *f = (form){EL_CODEC_F32, EL_SCALE_F16, 0, false};
    if (is_vector(t)) return EDGELLM_OK;
    bool embedding = is_embedding(t);
    unsigned bits = embedding && o->embedding_bits ? o->embedding_bits : o->bits;
    if (bits == 0) {
        el_taken how;
        EL_TRY(el_takeover_how(t, o->two_bits, &how, err));
        *f = (form){how.codec, EL_SCALE_F16, how.group, how.exact};
        if (how.codec != EL_CODEC_F32) return EDGELLM_OK;
        bits = FALLBACK_BITS;
    }
    uint32_t group = embedding ? o->embedding_group : o->group;
    *f = (form){el_round_codec(bits, o->offset), o->scales, group, false};
    return EDGELLM_OK;
}

/* Dequantises rows [first, first + count) and refuses what is not a number. */
static edgellm_status read_rows(const el_gguf_tensor *t, uint32_t first, uint32_t count, float *w,
                                edgellm_error *err)
{
    const el_ggml_type *type = el_ggml_type_of(t->type);
    if (!type) {
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' has the unknown type %u", t->name,
                       t->type);
    }
    size_t row_blocks = t->cols / type->block_weights;
    type->dequantize(t->data + (size_t)first * row_blocks * type->block_bytes, count * row_blocks,
                     w);
    for (size_t i = 0; i < (size_t)count * t->cols; i++) {
        if (!__builtin_isfinite(w[i])) {
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s', row %u, column %u: the weight is not a finite number",
                           t->name, first + (uint32_t)(i / t->cols), (uint32_t)(i % t->cols));
        }
    }
    return EDGELLM_OK;
}

static edgellm_status round_tensor(const el_gguf_tensor *t, const form *f, uint8_t *data,
                                   edgellm_error *err)
{
    el_matrix m;
    float *w = malloc((size_t)ROWS_AT_ONCE * t->cols * sizeof *w);
    if (!w) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for rows of '%s'", t->name);
    edgellm_status status = EDGELLM_OK;
    if (el_matrix_view(&m, data, t->rows, t->cols, f->codec, f->kind, f->group)) {
        status = el_fail(err, EDGELLM_ERR_INTERNAL, "no layout for '%s'", t->name);
    }
    for (uint32_t row = 0; row < t->rows && status == EDGELLM_OK; row += ROWS_AT_ONCE) {
        uint32_t count = t->rows - row < ROWS_AT_ONCE ? t->rows - row : ROWS_AT_ONCE;
        status = read_rows(t, row, count, w, err);
        if (status == EDGELLM_OK) el_round_rows(w, row, count, &m, data);
    }
    free(w);
    return status;
}

static edgellm_status measure(const el_gguf_tensor *t, const form *f, uint64_t *bytes,
                              edgellm_error *err)
{
    if (f->codec == EL_CODEC_F32) {
        *bytes = (uint64_t)t->rows * t->cols * sizeof(float);
        return EDGELLM_OK;
    }
    el_matrix_layout layout;
    if (el_matrix_measure(t->rows, t->cols, f->codec, f->kind, f->group, &layout)) {
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "tensor '%s' (%u, %u) is too large", t->name,
                       t->rows, t->cols);
    }
    *bytes = layout.bytes;
    return EDGELLM_OK;
}

static edgellm_status fill(const el_gguf_tensor *t, const form *f, uint8_t *data,
                           edgellm_error *err)
{
    if (f->codec == EL_CODEC_F32) {
        return read_rows(t, 0, t->rows, (float *)(void *)data, err);
    }
    const el_taken how = {f->codec, f->group, f->keep};
    return f->keep ? el_takeover(t, &how, data, err) : round_tensor(t, f, data, err);
}

static edgellm_status put(const el_gguf_tensor *t, const form *f, el_tm2_writer *writer,
                          edgellm_error *err)
{
    uint64_t bytes = 0;
    EL_TRY(measure(t, f, &bytes, err));
    uint64_t room = (bytes + 63) & ~(uint64_t)63;
    uint8_t *data = room <= SIZE_MAX / 2 ? aligned_alloc(64, (size_t)room) : NULL;
    if (!data) {
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: tensor '%s' needs %llu bytes",
                       t->name, (unsigned long long)room);
    }
    memset(data, 0, (size_t)room);
    edgellm_status status = fill(t, f, data, err);
    if (status == EDGELLM_OK) {
        el_tensor tensor = {.name = t->name,
                            .rows = t->rows,
                            .cols = t->cols,
                            .group = f->group,
                            .codec = (uint8_t)f->codec,
                            .scale_kind = (uint8_t)f->kind,
                            .data = data,
                            .bytes = bytes};
        status = el_tm2_put(writer, &tensor, err);
    }
    free(data);
    return status;
}

static edgellm_status put_pairs(const el_config *config, const el_gguf_tensor *t, const form *f,
                                el_tm2_writer *writer, edgellm_error *err)
{
    if (!el_pairs_apart(config, t)) return put(t, f, writer, err);
    el_gguf_tensor paired;
    uint8_t *data;
    EL_TRY(el_pairs_join(config, t, &paired, &data, err));
    edgellm_status status = put(&paired, f, writer, err);
    free(data);
    return status;
}

/* ---- the file -------------------------------------------------------------------------- */

/* What one run works on; everything owned is released by el_quantize(). */
typedef struct run {
    const char *source;
    const el_quantize_options *options;
    el_gguf gguf;
    el_config config;
    el_tm2_writer *writer;
    el_codec_counts counts;
    el_quantize_result result;
} run;

/* Of codes that no block type has the floats, which are in `*data`; else *dense is `t`. */
static edgellm_status unpack(const run *r, const el_gguf_tensor *t, el_gguf_tensor *dense,
                             uint8_t **data, edgellm_error *err)
{
    *dense = *t;
    *data = NULL;
    if (t->type == EL_GGML_I2_S) return el_i2s_unpack(t, r->options->i2s, dense, data, err);
    if (t->type == EL_GGML_LEVELS) return el_three_levels_unpack(t, dense, data, err);
    return EDGELLM_OK;
}

/* *f: the form that it got. */
static edgellm_status convert(run *r, const el_gguf_tensor *source, form *f, edgellm_error *err)
{
    el_gguf_tensor dense;
    const el_gguf_tensor *t = &dense;
    uint8_t *data;
    EL_TRY(unpack(r, source, &dense, &data, err));
    edgellm_status status = choose_form(t, r->options, f, err);
    if (status == EDGELLM_OK) status = put_pairs(&r->config, t, f, r->writer, err);
    free(data);
    return status;
}

static edgellm_status convert_all(run *r, edgellm_error *err)
{
    const el_quantize_options *o = r->options;
    for (uint32_t i = 0; i < r->gguf.n_tensors; i++) {
        const el_gguf_tensor *t = &r->gguf.tensors[i];
        form f;
        EL_TRY(convert(r, t, &f, err));
        el_codec_count(&r->counts, f.codec, f.kind, f.group);
        r->result.parameters += (uint64_t)t->rows * t->cols;
        r->result.tensors++;
        r->result.kept += f.keep;
        r->result.rounded += f.codec != EL_CODEC_F32 && !f.keep;
        if (o->progress && !o->progress(o->progress_context, i + 1, r->gguf.n_tensors, t->name)) {
            return el_fail(err, EDGELLM_ERR_INTERRUPTED, "stopped after tensor %u of %u", i + 1,
                           r->gguf.n_tensors);
        }
    }
    return EDGELLM_OK;
}

static edgellm_status finish(run *r, edgellm_error *err)
{
    char *manifest = el_manifest_build(r->source, el_gguf_bytes(&r->gguf), el_gguf_crc(&r->gguf),
                                       r->options, &r->counts);
    if (!manifest) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the manifest");
    el_tm2_writer *writer = r->writer;
    r->writer = NULL;
    edgellm_status status =
        el_tm2_finish(writer, manifest, r->options->judge, &r->result.file_bytes, err);
    free(manifest);
    return status;
}

static edgellm_status check_i2s(const run *r, edgellm_error *err)
{
    for (uint32_t i = 0; i < r->gguf.n_tensors; i++) {
        const el_gguf_tensor *t = &r->gguf.tensors[i];
        if (t->type != EL_GGML_I2_S || r->options->i2s != EL_I2S_UNKNOWN) continue;
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "tensor '%s' has type I2_S, whose bytes have one of three layouts: say "
                       "which, avx, neon or rows",
                       t->name);
    }
    return EDGELLM_OK;
}

static edgellm_status convert_file(run *r, const char *target, edgellm_error *err)
{
    el_vocab vocab;
    EL_TRY(check_i2s(r, err));
    EL_TRY(el_gguf_config(&r->gguf, &r->config, err));
    EL_TRY(el_gguf_split(&r->gguf, &r->config, err));
    EL_TRY(el_gguf_vocab(&r->gguf, &vocab, err));
    EL_TRY(el_tm2_create(&r->writer, target, &r->config, &vocab, r->gguf.n_tensors, err));
    EL_TRY(convert_all(r, err));
    return finish(r, err);
}

edgellm_status el_quantize(const char *source, const char *target,
                           const el_quantize_options *options, el_quantize_result *result,
                           edgellm_error *err)
{
    run r = {.source = source, .options = options};
    EL_TRY(check_options(options, err));
    EL_TRY(el_quantize_paths(source, target, err));
    EL_TRY((options->open ? options->open : el_gguf_open)(&r.gguf, source, err));
    r.result.source_bytes = el_gguf_bytes(&r.gguf);
    el_fpenv env = el_fpenv_enter();
    edgellm_status status = convert_file(&r, target, err);
    el_fpenv_leave(env);
    if (status == EDGELLM_ERR_FORMAT || status == EDGELLM_ERR_UNSUPPORTED) {
        el_fail_in_file(err, status, source);
    }
    el_tm2_cancel(r.writer);
    el_gguf_close(&r.gguf);
    if (status == EDGELLM_OK && result) *result = r.result;
    return status;
}
