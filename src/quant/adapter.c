/* adapter.c: see adapter.h. */
#include "quant/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"
#include "format/tm2.h"
#include "format/tma.h"
#include "quant/pairs.h"

typedef struct work {
    el_gguf source;
    el_tm2 model;
    el_lora_matrix *matrices; /* (layers, EL_LORA_PARTS); their floats are owned */
    uint32_t n;
    edgellm_error *err;
} work;

/* ---- names ----------------------------------------------------------------------------------- */

/* A tensor's place: "blk.LAYER.PART.weight.lora_a". */
typedef struct place {
    uint32_t layer, part;
    bool is_b;
} place;

static bool parse_half(const char *text, place *p)
{
    p->is_b = strcmp(text, ".weight.lora_b") == 0;
    return p->is_b || strcmp(text, ".weight.lora_a") == 0;
}

static bool parse_name(const char *name, uint32_t layers, place *p)
{
    char *end;
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') return false;
    const unsigned long layer = strtoul(name + 4, &end, 10);
    if (*end != '.' || layer >= layers) return false;
    p->layer = (uint32_t)layer;
    for (p->part = 0; p->part < EL_LORA_PARTS; p->part++) {
        const size_t len = strlen(el_lora_part_names[p->part]);
        if (strncmp(end + 1, el_lora_part_names[p->part], len) == 0 && parse_half(end + 1 + len, p))
            return true;
    }
    return false;
}

static edgellm_status unknown(const work *w, const char *name)
{
    return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED,
                   "tensor '%s': the model has no such matrix, or it cannot be adapted: that are "
                   "attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up and ffn_down of its %u "
                   "layers",
                   name, w->model.config.layers);
}

/* ---- one tensor ------------------------------------------------------------------------------ */

static edgellm_status check_shape(const work *w, const el_gguf_tensor *t, const place *p)
{
    uint32_t rows, cols;
    el_lora_shape(&w->model.config, (el_lora_part)p->part, &rows, &cols);
    const uint32_t has = p->is_b ? t->rows : t->cols, wanted = p->is_b ? rows : cols;
    const uint32_t rank = p->is_b ? t->cols : t->rows;
    if (has != wanted)
        return el_fail(w->err, EDGELLM_ERR_USAGE,
                       "tensor '%s' has %u %s, but this model needs %u: the adapter is for another "
                       "model",
                       t->name, has, p->is_b ? "rows" : "columns", wanted);
    if (rank <= EL_LORA_RANK_MAX) return EDGELLM_OK;
    return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED, "tensor '%s' has rank %u: at most %d", t->name,
                   rank, EL_LORA_RANK_MAX);
}

static edgellm_status dequantize(const work *w, const el_gguf_tensor *t, float **out)
{
    const el_ggml_type *type = el_ggml_type_of(t->type);
    const size_t n = (size_t)t->rows * t->cols;
    if (!type)
        return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED, "tensor '%s': a type for whole models",
                       t->name);
    float *floats = malloc(n * sizeof *floats);
    if (!floats) return el_fail(w->err, EDGELLM_ERR_MEMORY, "out of memory for '%s'", t->name);
    type->dequantize(t->data, n / type->block_weights, floats);
    for (size_t i = 0; i < n; i++) {
        if (floats[i] - floats[i] == 0) continue;
        free(floats);
        return el_fail(w->err, EDGELLM_ERR_FORMAT,
                       "tensor '%s', row %zu, column %zu: not a finite number", t->name,
                       i / t->cols, i % t->cols);
    }
    *out = floats;
    return EDGELLM_OK;
}

/* B of queries and keys: its rows lie as those of the matrix do. */
static edgellm_status dequantize_paired(const work *w, const el_gguf_tensor *t, const place *p,
                                        float **out)
{
    el_gguf_tensor named = *t, paired;
    uint8_t *data = NULL;
    named.name[strlen(named.name) - strlen(".lora_b")] = '\0';
    if (!p->is_b || !el_pairs_apart(&w->model.config, &named)) return dequantize(w, t, out);
    EL_TRY(el_pairs_join(&w->model.config, &named, &paired, &data, w->err));
    memcpy(paired.name, t->name, sizeof paired.name);
    const edgellm_status status = dequantize(w, &paired, out);
    free(data);
    return status;
}

static edgellm_status take(work *w, const el_gguf_tensor *t)
{
    place p;
    float *floats;
    if (!parse_name(t->name, w->model.config.layers, &p)) return unknown(w, t->name);
    el_lora_matrix *m = &w->matrices[(size_t)p.layer * EL_LORA_PARTS + p.part];
    const uint32_t rank = p.is_b ? t->cols : t->rows;
    EL_TRY(check_shape(w, t, &p));
    if (m->rank != 0 && m->rank != rank)
        return el_fail(w->err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has rank %u, but its other half has %u", t->name, rank,
                       m->rank);
    if (p.is_b ? m->b != NULL : m->a != NULL)
        return el_fail(w->err, EDGELLM_ERR_FORMAT, "tensor '%s' is there twice", t->name);
    EL_TRY(dequantize_paired(w, t, &p, &floats));
    *(p.is_b ? &m->b : &m->a) = floats;
    if (m->rank == 0) w->n++;
    m->rank = rank;
    el_lora_shape(&w->model.config, (el_lora_part)p.part, &m->rows, &m->cols);
    return EDGELLM_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool says(const el_gguf *file, const char *key, const char *value)
{
    const char *text;
    size_t len;
    return el_gguf_string(file, key, &text, &len) && len == strlen(value) &&
           memcmp(text, value, len) == 0;
}

static edgellm_status check_kind(const work *w)
{
    const char *architecture;
    size_t len;
    if (!says(&w->source, "general.type", "adapter"))
        return el_fail(w->err, EDGELLM_ERR_USAGE,
                       "this is no adapter: its general.type is not 'adapter'");
    if (!says(&w->source, "adapter.type", "lora"))
        return el_fail(w->err, EDGELLM_ERR_UNSUPPORTED,
                       "only adapters of adapter.type 'lora' are supported");
    if (!el_gguf_string(&w->source, "general.architecture", &architecture, &len) ||
        says(&w->source, "general.architecture", w->model.config.architecture))
        return EDGELLM_OK; /* a PEFT folder does not say */
    return el_fail(w->err, EDGELLM_ERR_USAGE,
                   "the adapter is for a model of architecture %.*s, this one is of %s",
                   len < 32 ? (int)len : 32, architecture, w->model.config.architecture);
}

/* As llama.cpp has it: without alpha, or with 0, nothing is multiplied. */
static float gain_of(float alpha, bool root, uint32_t rank)
{
    if (alpha == 0) return 1;
    return root ? alpha / __builtin_sqrtf((float)rank) : alpha / (float)rank;
}

/* Every matrix has both halves. */
static edgellm_status finish(work *w, el_adapter_made *made)
{
    float alpha = 0;
    bool root = false;
    el_gguf_f32(&w->source, EL_ADAPTER_ALPHA, &alpha);
    el_gguf_bool(&w->source, EL_ADAPTER_ROOT, &root);
    if (!(alpha - alpha == 0))
        return el_fail(w->err, EDGELLM_ERR_FORMAT, "alpha is not a finite number");
    if (w->n == 0) return el_fail(w->err, EDGELLM_ERR_FORMAT, "the adapter has no tensors");
    for (uint32_t i = 0; i < w->model.config.layers; i++) {
        bool any = false;
        for (uint32_t part = 0; part < EL_LORA_PARTS; part++) {
            el_lora_matrix *m = &w->matrices[(size_t)i * EL_LORA_PARTS + part];
            if (m->rank == 0) continue;
            if (!m->a || !m->b)
                return el_fail(w->err, EDGELLM_ERR_FORMAT,
                               "tensor 'blk.%u.%s.weight.lora_%c' is missing, but its other half "
                               "is there",
                               i, el_lora_part_names[part], m->a ? 'b' : 'a');
            m->gain = gain_of(alpha, root, m->rank);
            if (m->rank > made->rank) made->rank = m->rank;
            any = true;
        }
        made->layers += any;
    }
    made->matrices = w->n;
    return EDGELLM_OK;
}

static edgellm_status make(work *w, const char *source, const char *target, el_adapter_made *made)
{
    const el_config *c = &w->model.config;
    w->matrices = calloc((size_t)c->layers * EL_LORA_PARTS, sizeof *w->matrices);
    if (!w->matrices) return el_fail(w->err, EDGELLM_ERR_MEMORY, "out of memory for the adapter");
    edgellm_status status = check_kind(w);
    for (uint32_t i = 0; status == EDGELLM_OK && i < w->source.n_tensors; i++)
        status = take(w, &w->source.tensors[i]);
    if (status == EDGELLM_OK) status = finish(w, made);
    if (status != EDGELLM_OK) return el_fail_in_file(w->err, status, source);
    const el_tma_source all = {w->matrices, w->n};
    return el_tma_write(target, c, &all, &made->bytes, w->err);
}

static void release(work *w)
{
    const size_t n = (size_t)w->model.config.layers * EL_LORA_PARTS;
    for (size_t i = 0; w->matrices && i < n; i++) {
        free((void *)(uintptr_t)w->matrices[i].a);
        free((void *)(uintptr_t)w->matrices[i].b);
    }
    free(w->matrices);
}

edgellm_status el_adapter_make(const char *source, el_gguf_opener *open, const char *model,
                               const char *target, el_adapter_made *made, edgellm_error *err)
{
    work w = {.err = err};
    *made = (el_adapter_made){0};
    EL_TRY(el_tm2_open(&w.model, model, false, err));
    edgellm_status status = open(&w.source, source, err);
    if (status == EDGELLM_OK) {
        status = make(&w, source, target, made);
        release(&w);
        el_gguf_close(&w.source);
    }
    el_tm2_close(&w.model);
    return status;
}
