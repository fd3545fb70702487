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
    return matrix(n, "ffn_down", c->dim, c->ffn_dim, &l->down, err);
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

static unsigned bit(const el_matrix *m)
{
    return EL_ROTATION_BIT(m->rotation);
}

/* Rotations of the matrices that meet one input. */
static unsigned attention_rotations(const el_layer *l)
{
    return bit(&l->wq) | bit(&l->wk) | bit(&l->wv);
}

static unsigned feed_rotations(const el_layer *l)
{
    return bit(&l->gate) | bit(&l->up);
}

static unsigned rotations_of(const el_layer *l)
{
    return attention_rotations(l) | bit(&l->wo) | feed_rotations(l) | bit(&l->down);
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
        model->rotations |= rotations_of(&model->layers[i]);
    }
    return EDGELLM_OK;
}

static void layers(el_forward *f, unsigned member, unsigned size)
{
    for (uint32_t i = 0; i < f->model->config.layers; i++) {
        const el_layer *l = &f->model->layers[i];
        el_block_norm(f, l->attn_norm, i > 0, attention_rotations(l), member, size);
        el_block_project(f, &l->wq, f->q, member, size);
        el_block_project(f, &l->wk, f->k, member, size);
        el_block_project(f, &l->wv, f->v, member, size);
        el_block_attention(f, i, bit(&l->wo), member, size);
        el_block_project(f, &l->wo, f->y, member, size);
        el_crew_barrier(f->crew);
        el_block_norm(f, l->ffn_norm, true, feed_rotations(l), member, size);
        el_block_project(f, &l->gate, f->gate, member, size);
        el_block_project(f, &l->up, f->up, member, size);
        el_block_swiglu(f, bit(&l->down), member, size);
        el_block_project(f, &l->down, f->y, member, size);
        if (el_block_layer_ends(f, member)) return;
    }
}

const el_architecture el_llama = {.name = "llama", .load = load, .layers = layers};
