/*
 * gguf_split.c: projections that lie in one tensor become the tensors of which they are made. Their
 * rows follow one another, so that each part is a view of the mapping; the source's names then no
 * longer occur.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/gguf.h"

enum { PARTS = 3 };

/* What one tensor is made of, in the order of its rows (elements, of a vector). */
typedef struct fusion {
    const char *name;
    struct {
        const char *name;
        uint32_t rows;
    } part[PARTS];
    const char *unless; /* with this tensor beside it, it is none */
} fusion;

enum { FUSIONS = 3 };

static void list_fusions(const el_config *c, fusion list[FUSIONS])
{
    const uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const fusion all[FUSIONS] = {
        {"attn_qkv.weight",
         {{"attn_q.weight", q}, {"attn_k.weight", kv}, {"attn_v.weight", kv}},
         NULL},
        {"attn_qkv.bias", {{"attn_q.bias", q}, {"attn_k.bias", kv}, {"attn_v.bias", kv}}, NULL},
        {"ffn_up.weight",
         {{"ffn_gate.weight", c->ffn_dim}, {"ffn_up.weight", c->ffn_dim}},
         "ffn_gate.weight"},
    };
    memcpy(list, all, sizeof all);
}

/* A tensor's name after its layer's "blk.N.", whose bytes are *stem; NULL if it has none. */
static const char *part_name(const char *name, size_t *stem)
{
    const char *dot = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
    if (!dot) return NULL;
    *stem = (size_t)(dot + 1 - name);
    return dot + 1;
}

static bool exists_beside(const el_gguf *file, const el_gguf_tensor *t, size_t stem,
                          const char *name)
{
    char full[sizeof t->name];
    snprintf(full, sizeof full, "%.*s%s", (int)stem, t->name, name);
    return el_gguf_find(file, full) != NULL;
}

/* The fusion that a tensor is, or NULL. */
static const fusion *fusion_of(const el_gguf *file, const el_gguf_tensor *t,
                               const fusion list[FUSIONS], size_t *stem)
{
    const char *part = part_name(t->name, stem);
    for (int i = 0; part && i < FUSIONS; i++) {
        if (strcmp(part, list[i].name) != 0) continue;
        if (list[i].unless && exists_beside(file, t, *stem, list[i].unless)) return NULL;
        return &list[i];
    }
    return NULL;
}

static edgellm_status check_fusion(const el_gguf *file, const el_gguf_tensor *t, const fusion *f,
                                   size_t stem, edgellm_error *err)
{
    const bool vector = t->rows == 1;
    uint64_t together = 0;
    for (int i = 0; i < PARTS && f->part[i].name; i++) {
        together += f->part[i].rows;
        if (strcmp(f->part[i].name, f->name) != 0 && exists_beside(file, t, stem, f->part[i].name))
            return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' has the rows of '%.*s%s' too",
                           t->name, (int)stem, t->name, f->part[i].name);
    }
    if (together != (vector ? t->cols : t->rows))
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has shape (%u, %u); its parts have %llu rows together", t->name,
                       t->rows, t->cols, (unsigned long long)together);
    if (vector && el_ggml_type_of(t->type)->block_weights != 1)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "tensor '%s': a vector of type %s", t->name,
                       el_ggml_type_name(t->type));
    return EDGELLM_OK;
}

/* Writes the parts to `to`; returns how many. */
static uint32_t take_apart(const el_gguf_tensor *t, const fusion *f, size_t stem,
                           el_gguf_tensor *to)
{
    const bool vector = t->rows == 1;
    const uint64_t row_bytes = t->bytes / (vector ? t->cols : t->rows);
    const uint8_t *data = t->data;
    uint32_t n = 0;
    for (; n < PARTS && f->part[n].name; n++) {
        to[n] = *t;
        snprintf(to[n].name, sizeof to[n].name, "%.*s%s", (int)stem, t->name, f->part[n].name);
        *(vector ? &to[n].cols : &to[n].rows) = f->part[n].rows;
        to[n].data = data;
        to[n].bytes = row_bytes * f->part[n].rows;
        data += to[n].bytes;
    }
    return n;
}

static edgellm_status split_all(el_gguf *file, const el_config *c, const fusion list[FUSIONS],
                                el_gguf_tensor *to, edgellm_error *err)
{
    uint32_t n = 0, most = FUSIONS * c->layers; /* looking beside each takes time */
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const el_gguf_tensor *t = &file->tensors[i];
        size_t stem = 0;
        const fusion *f = fusion_of(file, t, list, &stem);
        if (!f) {
            to[n++] = *t;
            continue;
        }
        if (most-- == 0)
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor '%s': more such tensors than the %u layers have", t->name,
                           c->layers);
        EL_TRY(check_fusion(file, t, f, stem, err));
        n += take_apart(t, f, stem, to + n);
    }
    free(file->tensors);
    file->tensors = to;
    file->n_tensors = n;
    return EDGELLM_OK;
}

/* An up projection as high as it should be is no fusion. */
static void drop_plain_up(const el_gguf *file, const el_config *c, fusion list[FUSIONS])
{
    const el_gguf_tensor *up = el_gguf_find(file, "blk.0.ffn_up.weight");
    if (!up || up->rows == c->ffn_dim) list[FUSIONS - 1].name = "";
}

edgellm_status el_gguf_split(el_gguf *file, const el_config *config, edgellm_error *err)
{
    fusion list[FUSIONS];
    list_fusions(config, list);
    drop_plain_up(file, config, list);
    el_gguf_tensor *to = calloc((size_t)file->n_tensors * PARTS + 1, sizeof *to);
    if (!to)
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for %u tensors", file->n_tensors);
    edgellm_status status = split_all(file, config, list, to, err);
    if (status != EDGELLM_OK) free(to);
    return status;
}
