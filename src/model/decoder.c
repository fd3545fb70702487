#include "model/decoder.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/forward.h"

/* ---- finding tensors ----------------------------------------------------------------------- */

/* A tensor of a layer. */
typedef struct part {
    const char *name;
    unsigned extra;     /* who has it; 0: all */
    el_side rows, cols; /* ONE row: a vector */
    size_t at;          /* of el_layer: its el_matrix, or its const float * */
} part;

#define AT(member) offsetof(el_layer, member)

static const part parts[] = {
    {"attn_norm.weight", 0, EL_SIDE_ONE, EL_SIDE_DIM, AT(attn_norm)},
    {"attn_q.weight", 0, EL_SIDE_QUERIES, EL_SIDE_DIM, AT(wq)},
    {"attn_k.weight", 0, EL_SIDE_KEYS, EL_SIDE_DIM, AT(wk)},
    {"attn_v.weight", 0, EL_SIDE_KEYS, EL_SIDE_DIM, AT(wv)},
    {"attn_output.weight", 0, EL_SIDE_DIM, EL_SIDE_QUERIES, AT(wo)},
    {"ffn_norm.weight", 0, EL_SIDE_ONE, EL_SIDE_DIM, AT(ffn_norm)},
    {"ffn_gate.weight", 0, EL_SIDE_FFN, EL_SIDE_DIM, AT(gate)},
    {"ffn_up.weight", 0, EL_SIDE_FFN, EL_SIDE_DIM, AT(up)},
    {"ffn_down.weight", 0, EL_SIDE_DIM, EL_SIDE_FFN, AT(down)},
    {"attn_q.bias", EL_DECODER_BIASES, EL_SIDE_ONE, EL_SIDE_QUERIES, AT(q_bias)},
    {"attn_k.bias", EL_DECODER_BIASES, EL_SIDE_ONE, EL_SIDE_KEYS, AT(k_bias)},
    {"attn_v.bias", EL_DECODER_BIASES, EL_SIDE_ONE, EL_SIDE_KEYS, AT(v_bias)},
    {"attn_q_norm.weight", EL_DECODER_NORMS, EL_SIDE_ONE, EL_SIDE_HEAD, AT(q_norm)},
    {"attn_k_norm.weight", EL_DECODER_NORMS, EL_SIDE_ONE, EL_SIDE_HEAD, AT(k_norm)},
    {"post_attention_norm.weight", EL_DECODER_POST_NORMS, EL_SIDE_ONE, EL_SIDE_DIM,
     AT(attn_post_norm)},
    {"post_ffw_norm.weight", EL_DECODER_POST_NORMS, EL_SIDE_ONE, EL_SIDE_DIM, AT(ffn_post_norm)},
    {"attn_sub_norm.weight", EL_DECODER_SUB_NORMS, EL_SIDE_ONE, EL_SIDE_QUERIES, AT(attn_sub_norm)},
    {"ffn_sub_norm.weight", EL_DECODER_SUB_NORMS, EL_SIDE_ONE, EL_SIDE_FFN, AT(ffn_sub_norm)},
};

enum { PARTS = sizeof parts / sizeof *parts };

static bool has(const el_architecture *a, const part *p)
{
    return p->extra == 0 || a->extra & p->extra;
}

bool el_decoder_has(const el_architecture *a, const char *name)
{
    for (int i = 0; i < PARTS; i++)
        if (strcmp(parts[i].name, name) == 0) return has(a, &parts[i]);
    return false;
}

static edgellm_status load_part(el_layer *l, const el_tm2 *file, uint32_t layer, const part *p,
                                edgellm_error *err)
{
    const uint32_t rows = el_config_side(&file->config, p->rows),
                   cols = el_config_side(&file->config, p->cols);
    void *to = (uint8_t *)l + p->at;
    char name[EL_TENSOR_NAME_BYTES];
    snprintf(name, sizeof name, "blk.%u.%s", layer, p->name);
    return p->rows == EL_SIDE_ONE ? el_tm2_vector(file, name, cols, to, err)
                                  : el_tm2_matrix(file, name, rows, cols, to, err);
}

static edgellm_status load_layer(el_layer *l, const el_tm2 *file, uint32_t layer,
                                 const el_architecture *a, edgellm_error *err)
{
    const uint32_t pattern = file->config.pattern;
    for (int i = 0; i < PARTS; i++)
        if (has(a, &parts[i])) EL_TRY(load_part(l, file, layer, &parts[i], err));
    l->local = pattern > 0 && (layer + 1) % pattern != 0;
    l->unturned = a->unturned > 0 && (layer + 1) % a->unturned == 0;
    return EDGELLM_OK;
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

edgellm_status el_decoder_load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    for (uint32_t i = 0; i < model->config.layers; i++) {
        model->layers[i] = (el_layer){0};
        EL_TRY(load_layer(&model->layers[i], file, i, model->architecture, err));
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
