#include "model/llama.h"

#include <stdio.h>

#include "model/forward.h"

typedef struct el_layer_names {
    const el_tm2 *file;
    uint32_t layer;
    char name[EL_TENSOR_NAME_BYTES];
} el_layer_names;

static const char *name_of(el_layer_names *n, const char *part)
{
    snprintf(n->name, sizeof n->name, "blk.%u.%s.weight", n->layer, part);
    return n->name;
}

static edgellm_status matrix(el_layer_names *n, const char *part, uint32_t rows, uint32_t cols,
                             el_matrix *m, edgellm_error *err)
{
    return el_tm2_matrix(n->file, name_of(n, part), rows, cols, m, err);
}

/* Matrices that meet the same input meet it rotated, or not. */
static edgellm_status agree(el_layer_names *n, const char *part, const el_matrix *m,
                            const char *other, const el_matrix *o, edgellm_error *err)
{
    if (m->rotation == o->rotation) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s' has rotation %s, but 'blk.%u.%s.weight', which meets the same "
                   "input, has %s",
                   name_of(n, part), el_rotation_names[m->rotation], n->layer, other,
                   el_rotation_names[o->rotation]);
}

static edgellm_status load_layer(el_layer *l, el_layer_names *n, const el_config *c,
                                 edgellm_error *err)
{
    const uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    EL_TRY(el_tm2_vector(n->file, name_of(n, "attn_norm"), c->dim, &l->attn_norm, err));
    EL_TRY(matrix(n, "attn_q", q, c->dim, &l->wq, err));
    EL_TRY(matrix(n, "attn_k", kv, c->dim, &l->wk, err));
    EL_TRY(matrix(n, "attn_v", kv, c->dim, &l->wv, err));
    EL_TRY(matrix(n, "attn_output", c->dim, q, &l->wo, err));
    EL_TRY(el_tm2_vector(n->file, name_of(n, "ffn_norm"), c->dim, &l->ffn_norm, err));
    EL_TRY(matrix(n, "ffn_gate", c->ffn_dim, c->dim, &l->gate, err));
    EL_TRY(matrix(n, "ffn_up", c->ffn_dim, c->dim, &l->up, err));
    EL_TRY(matrix(n, "ffn_down", c->dim, c->ffn_dim, &l->down, err));
    EL_TRY(agree(n, "attn_k", &l->wk, "attn_q", &l->wq, err));
    EL_TRY(agree(n, "attn_v", &l->wv, "attn_q", &l->wq, err));
    return agree(n, "ffn_up", &l->up, "ffn_gate", &l->gate, err);
}

/* Tensors that would change the result if they were ignored. */
static edgellm_status refuse_biases(el_layer_names *n, edgellm_error *err)
{
    static const char *const parts[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
    el_tensor tensor;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(n->name, sizeof n->name, "blk.%u.%s.bias", n->layer, parts[i]);
        if (el_tm2_find(n->file, n->name, &tensor))
            return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "tensor %s: biases are not supported for llama models", n->name);
    }
    return EDGELLM_OK;
}

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    el_tensor frequencies;
    if (el_tm2_find(file, "rope_freqs.weight", &frequencies))
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "tensor rope_freqs.weight: scaled rotary frequencies are not supported");
    for (uint32_t i = 0; i < model->config.layers; i++) {
        el_layer_names names = {.file = file, .layer = i};
        EL_TRY(load_layer(&model->layers[i], &names, &model->config, err));
        EL_TRY(refuse_biases(&names, err));
    }
    return EDGELLM_OK;
}

static void layers(el_forward *f, unsigned member, unsigned size)
{
    for (uint32_t i = 0; i < f->model->config.layers; i++) {
        const el_layer *l = &f->model->layers[i];
        el_block_norm(f, l->attn_norm, i > 0, &l->wq, member, size);
        el_block_project(f, &l->wq, f->q, member, size);
        el_block_project(f, &l->wk, f->k, member, size);
        el_block_project(f, &l->wv, f->v, member, size);
        el_block_attention(f, i, &l->wo, member, size);
        el_block_project(f, &l->wo, f->y, member, size);
        el_crew_barrier(f->crew);
        el_block_norm(f, l->ffn_norm, true, &l->gate, member, size);
        el_block_project(f, &l->gate, f->gate, member, size);
        el_block_project(f, &l->up, f->up, member, size);
        el_block_swiglu(f, &l->down, member, size);
        el_block_project(f, &l->down, f->y, member, size);
        el_crew_barrier(f->crew);
    }
}

const el_architecture el_llama = {.name = "llama", .load = load, .layers = layers};
