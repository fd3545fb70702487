#include "train/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"
#include "quant/pairs.h"

static edgellm_status find(const el_source *s, const char *name, uint32_t rows, uint32_t cols,
                           const el_gguf_tensor **tensor, edgellm_error *err)
{
    const el_gguf_tensor *t = el_gguf_find(&s->gguf, name);
    if (!t) return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' is missing", name);
    if (t->rows != rows || t->cols != cols) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has shape (%u, %u), but this model needs (%u, %u)", name,
                       t->rows, t->cols, rows, cols);
    }
    if (!el_ggml_type_of(t->type))
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "tensor '%s' has type %s: a model that has it cannot be calibrated in this "
                       "version: --bits N --calibrate none rounds it",
                       name, el_ggml_type_name(t->type));
    *tensor = t;
    return EDGELLM_OK;
}

static void name_of(char name[64], uint32_t layer, const char *part)
{
    snprintf(name, 64, "blk.%u.%s.weight", layer, part);
}

const el_gguf_tensor *el_source_part(const el_source *s, uint32_t layer, int part)
{
    char name[64];
    name_of(name, layer, el_part_names[part]);
    return el_gguf_find(&s->gguf, name);
}

const el_gguf_tensor *el_source_norm(const el_source *s, uint32_t layer, int which)
{
    char name[64];
    name_of(name, layer, el_norm_names[which]);
    return el_gguf_find(&s->gguf, name);
}

static el_layer_shape shape_of(const el_config *c)
{
    return (el_layer_shape){.dim = c->dim,
                            .ffn_dim = c->ffn_dim,
                            .heads = c->heads,
                            .kv_heads = c->kv_heads,
                            .head_dim = c->head_dim,
                            .eps = c->norm_eps};
}

static edgellm_status check_layer(const el_source *s, uint32_t layer, edgellm_error *err)
{
    const el_layer_shape shape = shape_of(&s->config);
    const el_gguf_tensor *t;
    char name[64];
    for (int p = 0; p < EL_PARTS; p++) {
        name_of(name, layer, el_part_names[p]);
        EL_TRY(find(s, name, el_part_rows(&shape, p), el_part_cols(&shape, p), &t, err));
    }
    for (int i = 0; i < EL_NORMS; i++) {
        name_of(name, layer, el_norm_names[i]);
        EL_TRY(find(s, name, 1, shape.dim, &t, err));
    }
    return EDGELLM_OK;
}

/* What the float model can compute. */
#define BIASES     (1u << EL_FIXED_BQ | 1u << EL_FIXED_BK | 1u << EL_FIXED_BV)
#define HEAD_NORMS (1u << EL_FIXED_NQ | 1u << EL_FIXED_NK)
#define POST_NORMS (1u << EL_FIXED_PO | 1u << EL_FIXED_PD)
#define SUB_NORMS  (1u << EL_FIXED_SO | 1u << EL_FIXED_SD)
static const struct architecture {
    const char *name;
    unsigned has; /* of what is fixed */
} architectures[] = {
    {"llama", 0},
    {"qwen2", BIASES},
    {"qwen3", HEAD_NORMS},
    {"gemma2", POST_NORMS},
    {"gemma3", HEAD_NORMS | POST_NORMS},
    {"phi3", 0},
    {"smollm3", 0},
    {"bitnet", SUB_NORMS},
    {"bitnet-b1.58", SUB_NORMS},
};

static bool has(const struct architecture *a, int fixed)
{
    return a->has & 1u << fixed;
}

static const struct architecture *architecture_of(const el_config *c)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(c->architecture, architectures[i].name) == 0) return &architectures[i];
    return NULL;
}

static edgellm_status refuse_others(const el_source *s, edgellm_error *err)
{
    for (uint32_t i = 0; i < s->gguf.n_tensors; i++)
        EL_TRY(el_model_check_tensor(&s->config, s->gguf.tensors[i].name, err));
    return EDGELLM_OK;
}

/* From here on all rows that are turned together stand side by side: el_source_rows(). */
static void join_pairs(el_source *s)
{
    const el_config *c = &s->config;
    for (uint32_t i = 0; i < s->gguf.n_tensors; i++) {
        el_gguf_tensor *t = &s->gguf.tensors[i];
        if (t->rows == 1 || !el_pairs_apart(c, t)) continue;
        t->halves = c->head_dim;
        t->turned = c->rotary_dim;
    }
}

/* ---- what is fixed ---- */

static void fixed_name(char name[64], uint32_t layer, int fixed)
{
    snprintf(name, 64, "blk.%u.%s", layer, el_fixed_names[fixed]);
}

/* A vector, its pairs side by side. */
static edgellm_status load_vector(const el_source *s, const el_gguf_tensor *t, float *out,
                                  edgellm_error *err)
{
    if (!el_pairs_apart(&s->config, t)) return el_source_load(t, out, err);
    el_gguf_tensor paired;
    uint8_t *data;
    EL_TRY(el_pairs_join(&s->config, t, &paired, &data, err));
    const edgellm_status status = el_source_load(&paired, out, err);
    free(data);
    return status;
}

static edgellm_status load_fixed_layer(const el_source *s, uint32_t layer, edgellm_error *err)
{
    const el_layer_shape shape = shape_of(&s->config);
    for (int i = 0; i < EL_FIXED; i++) {
        char name[64];
        const el_gguf_tensor *t;
        if (s->fixed_at[i] == SIZE_MAX) continue;
        fixed_name(name, layer, i);
        EL_TRY(find(s, name, 1, el_fixed_cols(&shape, i), &t, err));
        EL_TRY(load_vector(s, t, s->fixed + layer * s->fixed_floats + s->fixed_at[i], err));
    }
    return EDGELLM_OK;
}

static edgellm_status load_fixed(el_source *s, const struct architecture *a, edgellm_error *err)
{
    const el_layer_shape shape = shape_of(&s->config);
    for (int i = 0; i < EL_FIXED; i++) {
        s->fixed_at[i] = has(a, i) ? s->fixed_floats : SIZE_MAX;
        s->fixed_floats += has(a, i) ? el_fixed_cols(&shape, i) : 0;
    }
    if (s->fixed_floats == 0) return EDGELLM_OK;
    s->fixed = calloc(s->config.layers, s->fixed_floats * sizeof *s->fixed);
    if (!s->fixed) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for biases and norms");
    for (uint32_t i = 0; i < s->config.layers; i++)
        EL_TRY(load_fixed_layer(s, i, err));
    return EDGELLM_OK;
}

uint32_t el_source_fixed_cols(const el_source *s, int fixed)
{
    const el_layer_shape shape = shape_of(&s->config);
    return el_fixed_cols(&shape, fixed);
}

void el_source_fixed(const el_source *s, uint32_t layer, el_layer_weights *w)
{
    const el_config *c = &s->config;
    for (int i = 0; i < EL_FIXED; i++)
        w->fixed[i] =
            el_source_has_fixed(s, i) ? s->fixed + layer * s->fixed_floats + s->fixed_at[i] : NULL;
    w->local = c->pattern > 0 && (layer + 1) % c->pattern != 0;
    w->unturned = s->unturned > 0 && (layer + 1) % s->unturned == 0;
}

uint32_t el_source_fixed_count(const el_source *s)
{
    uint32_t n = 0;
    for (int i = 0; i < EL_FIXED; i++)
        n += el_source_has_fixed(s, i) ? s->config.layers : 0;
    for (int i = 0; i < EL_FACTORS; i++)
        n += s->factors[i] != NULL;
    return n;
}

/* ---- what belongs to no layer ---- */

const char *const el_factor_names[EL_FACTORS] = {"rope_freqs.weight", "rope_factors_short.weight",
                                                 "rope_factors_long.weight"};

static edgellm_status load_factors(el_source *s, edgellm_error *err)
{
    const uint32_t n = s->config.rotary_dim / 2;
    for (int i = 0; i < EL_FACTORS; i++) {
        const el_gguf_tensor *t;
        if (!el_gguf_find(&s->gguf, el_factor_names[i])) continue;
        EL_TRY(find(s, el_factor_names[i], 1, n, &t, err));
        s->factors[i] = calloc(n, sizeof *s->factors[i]);
        if (!s->factors[i])
            return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for factors of positions");
        EL_TRY(el_source_load(t, s->factors[i], err));
        for (uint32_t k = 0; k < n; k++)
            if (!(s->factors[i][k] >= 1.0f))
                return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                               "tensor '%s', column %u: the factor %g is below 1",
                               el_factor_names[i], k, (double)s->factors[i][k]);
    }
    return EDGELLM_OK;
}

static void take_kind(el_source *s)
{
    const el_architecture *a = el_architecture_of(s->config.architecture);
    s->embedding_scale = 1.0f;
    if (!a) return;
    s->gate = a->gate;
    s->unturned = a->unturned;
    if (a->scales_embedding) s->embedding_scale = sqrtf((float)s->config.dim);
}

void el_source_scale(const el_source *s, float *row)
{
    for (uint32_t i = 0; i < s->config.dim; i++)
        row[i] *= s->embedding_scale;
}

void el_source_embed(const el_source *s, uint32_t token, float *x)
{
    el_source_rows(s->embedding, token, 1, x);
    el_source_scale(s, x);
}

void el_source_cap(const el_source *s, float *logits, uint32_t n)
{
    if (s->config.logit_cap != 0) el_soft_cap(logits, n, s->config.logit_cap);
}

static edgellm_status check(el_source *s, edgellm_error *err)
{
    EL_TRY(el_gguf_config(&s->gguf, &s->config, err));
    EL_TRY(el_gguf_split(&s->gguf, &s->config, err));
    EL_TRY(el_gguf_vocab(&s->gguf, &s->vocab, err));
    const el_config *c = &s->config;
    const struct architecture *a = architecture_of(c);
    if (!a)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "architecture '%.20s' cannot be calibrated in this version, only llama, "
                       "qwen2, qwen3, gemma2, gemma3, phi3, smollm3, bitnet and bitnet-b1.58 can: "
                       "--bits N --calibrate none rounds it",
                       c->architecture);
    EL_TRY(el_model_check(c, err));
    join_pairs(s);
    take_kind(s);
    EL_TRY(load_factors(s, err));
    EL_TRY(find(s, "token_embd.weight", c->vocab, c->dim, &s->embedding, err));
    EL_TRY(find(s, "output_norm.weight", 1, c->dim, &s->output_norm, err));
    s->head = s->embedding;
    if (el_gguf_find(&s->gguf, "output.weight"))
        EL_TRY(find(s, "output.weight", c->vocab, c->dim, &s->head, err));
    for (uint32_t i = 0; i < c->layers; i++)
        EL_TRY(check_layer(s, i, err));
    EL_TRY(load_fixed(s, a, err));
    return refuse_others(s, err);
}

edgellm_status el_source_open_by(el_source *source, const char *path, el_gguf_opener *open,
                                 edgellm_error *err)
{
    *source = (el_source){0};
    EL_TRY(open(&source->gguf, path, err));
    edgellm_status status = check(source, err);
    if (status == EDGELLM_ERR_FORMAT || status == EDGELLM_ERR_UNSUPPORTED)
        el_fail_in_file(err, status, path);
    if (status != EDGELLM_OK) el_source_close(source);
    return status;
}

edgellm_status el_source_open(el_source *source, const char *path, edgellm_error *err)
{
    return el_source_open_by(source, path, el_gguf_open, err);
}

void el_source_close(el_source *source)
{
    el_gguf_close(&source->gguf);
    free(source->fixed);
    source->fixed = NULL;
    for (int i = 0; i < EL_FACTORS; i++) {
        free(source->factors[i]);
        source->factors[i] = NULL;
    }
}

static void read_rows(const el_gguf_tensor *t, uint32_t first, uint32_t count, float *out)
{
    const el_ggml_type *type = el_ggml_type_of(t->type);
    size_t blocks = t->cols / type->block_weights;
    type->dequantize(t->data + (size_t)first * blocks * type->block_bytes, count * blocks, out);
}

void el_source_rows(const el_gguf_tensor *t, uint32_t first, uint32_t count, float *out)
{
    const uint32_t head = t->halves, turned = t->turned ? t->turned : head;
    if (!head) {
        read_rows(t, first, count, out);
        return;
    }
    for (uint32_t i = first; i < first + count; i++, out += t->cols) {
        const uint32_t at = i % head, from = at < turned ? el_pairs_from(turned, at) : at;
        read_rows(t, i / head * head + from, 1, out);
    }
}

edgellm_status el_source_load_row(const el_gguf_tensor *t, uint32_t row, float *out,
                                  edgellm_error *err)
{
    el_source_rows(t, row, 1, out);
    for (uint32_t i = 0; i < t->cols; i++) {
        if (isfinite(out[i])) continue;
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s', row %u, column %u: the weight is not a finite number", t->name,
                       row, i);
    }
    return EDGELLM_OK;
}

edgellm_status el_source_load(const el_gguf_tensor *t, float *out, edgellm_error *err)
{
    for (uint32_t i = 0; i < t->rows; i++)
        EL_TRY(el_source_load_row(t, i, out + (size_t)i * t->cols, err));
    return EDGELLM_OK;
}

edgellm_status el_source_load_layer(const el_source *s, uint32_t layer, const el_layer_floats *into,
                                    edgellm_error *err)
{
    for (int p = 0; p < EL_PARTS; p++)
        EL_TRY(el_source_load(el_source_part(s, layer, p), into->part[p], err));
    for (int i = 0; i < EL_NORMS; i++)
        EL_TRY(el_source_load(el_source_norm(s, layer, i), into->norm[i], err));
    return EDGELLM_OK;
}
