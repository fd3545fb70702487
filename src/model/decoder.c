#include "model/decoder.h"

#include <stdio.h>

#include "model/forward.h"

typedef struct el_layer_names {
    const el_tm2 *file;
    uint32_t layer;
    char name[EL_TENSOR_NAME_BYTES];
} el_layer_names;

/* ---- finding tensors ----------------------------------------------------------------------- */

static const char *name_of(el_layer_names *n, const char *part)
{
    snprintf(n->name, sizeof n->name, "blk.%u.%s", n->layer, part);
    return n->name;
}

static edgellm_status matrix(el_layer_names *n, const char *part, uint32_t rows, uint32_t cols,
                             el_matrix *m, edgellm_error *err)
{
    return el_tm2_matrix(n->file, name_of(n, part), rows, cols, m, err);
}

static edgellm_status vector(el_layer_names *n, const char *part, uint32_t cols, const float **v,
                             edgellm_error *err)
{
    return el_tm2_vector(n->file, name_of(n, part), cols, v, err);
}

static edgellm_status load_plain(el_layer *l, el_layer_names *n, const el_config *c,
                                 edgellm_error *err)
{
    const uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    EL_TRY(vector(n, "attn_norm.weight", c->dim, &l->attn_norm, err));
    EL_TRY(matrix(n, "attn_q.weight", q, c->dim, &l->wq, err));
    EL_TRY(matrix(n, "attn_k.weight", kv, c->dim, &l->wk, err));
    EL_TRY(matrix(n, "attn_v.weight", kv, c->dim, &l->wv, err));
    EL_TRY(matrix(n, "attn_output.weight", c->dim, q, &l->wo, err));
    EL_TRY(vector(n, "ffn_norm.weight", c->dim, &l->ffn_norm, err));
    EL_TRY(matrix(n, "ffn_gate.weight", c->ffn_dim, c->dim, &l->gate, err));
    EL_TRY(matrix(n, "ffn_up.weight", c->ffn_dim, c->dim, &l->up, err));
    return matrix(n, "ffn_down.weight", c->dim, c->ffn_dim, &l->down, err);
}

static edgellm_status load_biases(el_layer *l, el_layer_names *n, const el_config *c,
                                  edgellm_error *err)
{
    const uint32_t kv = c->kv_heads * c->head_dim;
    EL_TRY(vector(n, "attn_q.bias", c->heads * c->head_dim, &l->q_bias, err));
    EL_TRY(vector(n, "attn_k.bias", kv, &l->k_bias, err));
    return vector(n, "attn_v.bias", kv, &l->v_bias, err);
}

static edgellm_status load_norms(el_layer *l, el_layer_names *n, const el_config *c,
                                 edgellm_error *err)
{
    EL_TRY(vector(n, "attn_q_norm.weight", c->head_dim, &l->q_norm, err));
    return vector(n, "attn_k_norm.weight", c->head_dim, &l->k_norm, err);
}

static edgellm_status load_post_norms(el_layer *l, el_layer_names *n, const el_config *c,
                                      edgellm_error *err)
{
    EL_TRY(vector(n, "post_attention_norm.weight", c->dim, &l->attn_post_norm, err));
    return vector(n, "post_ffw_norm.weight", c->dim, &l->ffn_post_norm, err);
}

static edgellm_status load_sub_norms(el_layer *l, el_layer_names *n, const el_config *c,
                                     edgellm_error *err)
{
    EL_TRY(vector(n, "attn_sub_norm.weight", c->heads * c->head_dim, &l->attn_sub_norm, err));
    return vector(n, "ffn_sub_norm.weight", c->ffn_dim, &l->ffn_sub_norm, err);
}

/* Tensors that change the result, and those who take them. Scales beside matrices are an older way
 * to store three levels. */
static const struct {
    const char *part;
    unsigned extra;
} optional[] = {
    {"attn_q.bias", EL_DECODER_BIASES},
    {"attn_k.bias", EL_DECODER_BIASES},
    {"attn_v.bias", EL_DECODER_BIASES},
    {"attn_output.bias", 0},
    {"attn_q_norm.weight", EL_DECODER_NORMS},
    {"attn_k_norm.weight", EL_DECODER_NORMS},
    {"post_attention_norm.weight", EL_DECODER_POST_NORMS},
    {"post_ffw_norm.weight", EL_DECODER_POST_NORMS},
    {"attn_sub_norm.weight", EL_DECODER_SUB_NORMS},
    {"ffn_sub_norm.weight", EL_DECODER_SUB_NORMS},
    {"attn_q.scale", 0},
    {"attn_k.scale", 0},
    {"attn_v.scale", 0},
    {"attn_output.scale", 0},
    {"ffn_gate.scale", 0},
    {"ffn_up.scale", 0},
    {"ffn_down.scale", 0},
};

static edgellm_status refuse_others(el_layer_names *n, const el_model *model, unsigned extra,
                                    edgellm_error *err)
{
    el_tensor tensor;
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        if (extra & optional[i].extra) continue;
        if (el_tm2_find(n->file, name_of(n, optional[i].part), &tensor))
            return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "tensor %s: not supported for models of architecture %s", n->name,
                           model->architecture->name);
    }
    return EDGELLM_OK;
}

static edgellm_status load_layer(el_layer *l, el_layer_names *n, const el_model *model,
                                 unsigned extra, edgellm_error *err)
{
    const el_config *c = &model->config;
    const el_architecture *of = model->architecture;
    EL_TRY(load_plain(l, n, c, err));
    if (extra & EL_DECODER_BIASES) EL_TRY(load_biases(l, n, c, err));
    if (extra & EL_DECODER_NORMS) EL_TRY(load_norms(l, n, c, err));
    if (extra & EL_DECODER_POST_NORMS) EL_TRY(load_post_norms(l, n, c, err));
    if (extra & EL_DECODER_SUB_NORMS) EL_TRY(load_sub_norms(l, n, c, err));
    l->local = c->pattern > 0 && (n->layer + 1) % c->pattern != 0;
    l->unturned = of->unturned > 0 && (n->layer + 1) % of->unturned == 0;
    return refuse_others(n, model, extra, err);
}

/* ---- rotations of the matrices that meet one input ------------------------------------------ */

static unsigned bit(const el_matrix *m)
{
    return EL_ROTATION_BIT(m->rotation);
}

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

edgellm_status el_decoder_load(el_model *model, const el_tm2 *file, unsigned extra,
                               edgellm_error *err)
{
    for (uint32_t i = 0; i < model->config.layers; i++) {
        el_layer_names names = {.file = file, .layer = i};
        model->layers[i] = (el_layer){0};
        EL_TRY(load_layer(&model->layers[i], &names, model, extra, err));
        model->rotations |= rotations_of(&model->layers[i]);
    }
    return EDGELLM_OK;
}

/* ---- computing ----------------------------------------------------------------------------- */

/* Matrices of a layer that meet one input, and what they and their adapters give. */
typedef struct el_outputs {
    const el_matrix *matrix[EL_LORA_TOGETHER];
    float *out[EL_LORA_TOGETHER];
    uint32_t n;
} el_outputs;

/* No barrier at the end, as with el_block_project(). */
static void project(el_forward *f, uint32_t layer, el_lora_part first, const el_outputs *o,
                    unsigned member, unsigned size)
{
    el_block_lower(f, layer, first, o->n, member, size);
    for (uint32_t k = 0; k < o->n; k++) {
        el_block_project(f, o->matrix[k], o->out[k], member, size);
        el_block_raise(f, layer, (el_lora_part)(first + k), k, o->out[k], member, size);
    }
}

void el_decoder_layers(el_forward *f, unsigned member, unsigned size)
{
    const float *post = NULL;
    for (uint32_t i = 0; i < f->model->config.layers; i++) {
        const el_layer *l = &f->model->layers[i];
        const el_norm before = {l->attn_norm, i > 0, post};
        const el_norm between = {l->ffn_norm, true, l->attn_post_norm};
        const el_outputs attention = {{&l->wq, &l->wk, &l->wv}, {f->q, f->k, f->v}, 3};
        const el_outputs mixed = {{&l->wo}, {f->y}, 1}, fed = {{&l->down}, {f->y}, 1};
        const el_outputs feed = {{&l->gate, &l->up}, {f->gate, f->up}, 2};
        el_block_norm(f, &before, attention_rotations(l), member, size);
        project(f, i, EL_LORA_Q, &attention, member, size);
        el_block_attention(f, i, bit(&l->wo), member, size);
        project(f, i, EL_LORA_O, &mixed, member, size);
        el_crew_barrier(f->crew);
        el_block_norm(f, &between, feed_rotations(l), member, size);
        project(f, i, EL_LORA_GATE, &feed, member, size);
        el_block_gate(f, l->ffn_sub_norm, bit(&l->down), member, size);
        project(f, i, EL_LORA_DOWN, &fed, member, size);
        post = l->ffn_post_norm;
        if (el_block_layer_ends(f, member)) return;
    }
}
