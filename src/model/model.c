#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "kernel/kernels.h"
#include "model/bitnet.h"
#include "model/gemma2.h"
#include "model/gemma3.h"
#include "model/llama.h"
#include "model/phi3.h"
#include "model/qwen2.h"
#include "model/qwen3.h"
#include "model/smollm3.h"

static const el_architecture *const architectures[] = {&el_llama,   &el_qwen2,  &el_qwen3,
                                                       &el_gemma2,  &el_gemma3, &el_phi3,
                                                       &el_smollm3, &el_bitnet, &el_bitnet_b158};

enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

const el_architecture *el_architecture_of(const char *name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i]->name, name) == 0) return architectures[i];
    return NULL;
}

void el_architecture_names(char names[EL_ARCHITECTURE_NAMES])
{
    size_t len = 0;
    for (int i = 0; i < N_ARCHITECTURES && len < EL_ARCHITECTURE_NAMES; i++)
        len += (size_t)snprintf(names + len, EL_ARCHITECTURE_NAMES - len, "%s%s", i > 0 ? ", " : "",
                                architectures[i]->name);
}

static edgellm_status refuse_architecture(const char *name, edgellm_error *err)
{
    char names[EL_ARCHITECTURE_NAMES];
    el_architecture_names(names);
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "model: architecture \"%s\" is not one this version runs (%s)", name, names);
}

/* A cap far above all that it caps would round that away, and is meant as none. */
static edgellm_status check_cap(const char *name, float cap, edgellm_error *err)
{
    if (cap == 0 || (cap >= 1e-3f && cap <= 1e4f)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "model: %s %g; this version computes caps of 0.001 to 10000, and 0 is none",
                   name, (double)cap);
}

edgellm_status el_model_check(const el_config *c, edgellm_error *err)
{
    if (c->head_dim > EL_HEAD_DIM_MAX)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "model: a head has %u dimensions; this version runs at most %d", c->head_dim,
                       EL_HEAD_DIM_MAX);
    if (c->rotary_dim % 2 != 0 || c->rotary_dim > c->head_dim)
        return el_fail(err, EDGELLM_ERR_FORMAT, "model: rotary_dim %u does not fit head_dim %u",
                       c->rotary_dim, c->head_dim);
    /* angles would grow beyond position * 1 */
    if (!(c->rope_base >= 1.0f))
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "model: rope_base %g is below 1",
                       (double)c->rope_base);
    if (c->local_rope_base != 0 && !(c->local_rope_base >= 1.0f))
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "model: local_rope_base %g is below 1",
                       (double)c->local_rope_base);
    if (c->rope_factor != 0 && !(c->rope_factor >= 1.0f))
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "model: rope_factor %g is below 1",
                       (double)c->rope_factor);
    EL_TRY(check_cap("attention_cap", c->attention_cap, err));
    return check_cap("logit_cap", c->logit_cap, err);
}

static const char embedding[] = "token_embd", head[] = "output";
static const char output_norm[] = "output_norm.weight";
/* of all contexts, or of short and of long ones */
static const char factors_all[] = "rope_freqs.weight",
                  factors_short[] = "rope_factors_short.weight",
                  factors_long[] = "rope_factors_long.weight";

static edgellm_status load_ends(el_model *m, const el_tm2 *file, edgellm_error *err)
{
    const el_config *c = &m->config;
    EL_TRY(el_table_load(&m->embedding, file, embedding, c->vocab, c->dim, err));
    EL_TRY(el_tm2_vector(file, output_norm, c->dim, &m->output_norm, err));
    m->head = m->embedding;
    if (!el_table_exists(file, head)) return EDGELLM_OK;
    return el_table_load(&m->head, file, head, c->vocab, c->dim, err);
}

/* Wave lengths may grow, as far as rotary angles are exact, but not shrink. */
static edgellm_status load_rope_factors(const el_model *m, const el_tm2 *file, const char *name,
                                        const float **factors, edgellm_error *err)
{
    const uint32_t n = m->config.rotary_dim / 2;
    el_tensor tensor;
    if (!el_tm2_find(file, name, &tensor)) return EDGELLM_OK;
    EL_TRY(el_tm2_vector(file, name, n, factors, err));
    for (uint32_t i = 0; i < n; i++)
        if (!((*factors)[i] >= 1.0f))
            return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "tensor %s, column %u: the factor %g is below 1", name, i,
                           (double)(*factors)[i]);
    return EDGELLM_OK;
}

static edgellm_status load_all_rope_factors(el_model *m, const el_tm2 *file, edgellm_error *err)
{
    const float *short_factors = NULL;
    EL_TRY(load_rope_factors(m, file, factors_all, &m->rope_factors, err));
    EL_TRY(load_rope_factors(m, file, factors_short, &short_factors, err));
    EL_TRY(load_rope_factors(m, file, factors_long, &m->rope_long, err));
    if (!short_factors && !m->rope_long) return EDGELLM_OK;
    if (!short_factors || !m->rope_long || m->rope_factors || m->config.rope_context == 0)
        return el_fail(
            err, EDGELLM_ERR_FORMAT,
            "tensor %s: rope factors of short and of long contexts belong together, with "
            "a rope_context and without %s",
            factors_short, factors_all);
    m->rope_factors = short_factors;
    return EDGELLM_OK;
}

/* ---- tensors that the model has not -------------------------------------------------------- */

static bool is_of_no_layer(const char *name)
{
    const char *const vectors[] = {output_norm, factors_all, factors_short, factors_long};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        if (strcmp(vectors[i], name) == 0) return true;
    return el_table_is_part(embedding, name) || el_table_is_part(head, name);
}

/* What follows "blk.N." if N is one of so many layers, written without zeros before it; or NULL. */
static const char *part_of(const char *name, uint32_t layers)
{
    uint32_t layer = 0;
    if (strncmp(name, "blk.", 4) != 0) return NULL;
    const char *const number = name + 4, *p = number;
    for (; *p >= '0' && *p <= '9' && layer < layers; p++)
        layer = layer * 10 + (uint32_t)(*p - '0');
    if (p == number || *p != '.' || layer >= layers) return NULL;
    return *number == '0' && p > number + 1 ? NULL : p + 1;
}

static bool is_of_a_layer(const el_architecture *a, uint32_t layers, const char *name)
{
    const char *part = part_of(name, layers);
    return part && a->has(a, part);
}

edgellm_status el_model_check_tensor(const el_config *c, const char *name, edgellm_error *err)
{
    const el_architecture *a = el_architecture_of(c->architecture);
    if (!a) return refuse_architecture(c->architecture, err);
    if (is_of_no_layer(name) || is_of_a_layer(a, c->layers, name)) return EDGELLM_OK;
    return el_fail(
        err, EDGELLM_ERR_UNSUPPORTED,
        "tensor '%s': not supported for models of architecture %s with %u layers; it may "
        "change their answers: take a file of the model without it",
        name, a->name, c->layers);
}

static edgellm_status refuse_others(const el_tm2 *file, edgellm_error *err)
{
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(file, i, &t);
        EL_TRY(el_model_check_tensor(&file->config, t.name, err));
    }
    return EDGELLM_OK;
}

/* All weights; but of an embedding that is not the head too, a row of mean size. */
static uint64_t token_bytes(const el_model *m, const el_tm2 *file)
{
    const size_t stem = strlen(embedding);
    uint64_t all = 0, table = 0;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        el_tensor t;
        el_tm2_tensor(file, i, &t);
        all += t.bytes;
        if (strncmp(t.name, embedding, stem) == 0 && t.name[stem] == '.') table += t.bytes;
    }
    if (m->head.part[0].codes == m->embedding.part[0].codes) return all;
    return all - table + table / m->config.vocab;
}

static void set_scales(el_model *m)
{
    const el_config *c = &m->config;
    m->embedding_scale = m->architecture->scales_embedding ? __builtin_sqrtf((float)c->dim) : 1.0f;
    m->attention_scale =
        c->attention_scale != 0 ? c->attention_scale : 1.0f / __builtin_sqrtf((float)c->head_dim);
}

edgellm_status el_model_load(el_model *model, const el_tm2 *file, el_arena *arena,
                             edgellm_error *err)
{
    const el_config *c = &file->config;
    const el_architecture *architecture = el_architecture_of(c->architecture);
    if (!architecture) return refuse_architecture(c->architecture, err);
    EL_TRY(el_model_check(c, err));
    el_layer *layers = el_arena_take(arena, c->layers, sizeof(el_layer));
    if (!layers) return EDGELLM_OK;
    *model = (el_model){.architecture = architecture, .config = *c, .layers = layers};
    set_scales(model);
    EL_TRY(load_ends(model, file, err));
    EL_TRY(load_all_rope_factors(model, file, err));
    model->rotations = el_table_rotations(&model->head);
    model->token_bytes = token_bytes(model, file);
    EL_TRY(architecture->load(model, file, err));
    return refuse_others(file, err);
}
