/*
 * plan.c: walks over the tensors that the model will have. Between two levels bytes grow evenly
 * with the weights that have the higher one, so the share that fits is a division.
 */
#include "quant/plan.h"

#include <string.h>

#include "format/checks.h"

enum { GROUP = 128 }; /* what calibration takes: train/forms.c */

const unsigned el_plan_bits[EL_PLAN_LEVELS] = {1, EL_ROUND_TERNARY, 2, 3, 4, 8};

static const el_size_form vector_form = {EL_CODEC_F32, EL_SCALE_F16, 0};

el_size_form el_plan_form(unsigned bits)
{
    return (el_size_form){el_round_codec(bits, false), EL_SCALE_BYTE, GROUP};
}

/* ---- the tensors of a model -------------------------------------------------------------- */

typedef enum role { BODY, EMBEDDING, VECTOR, ROLES } role;

typedef struct shape {
    role role;
    uint32_t rows, cols, count;
} shape;

enum { SHAPES = 13 };

/* All of them; a count may be 0. The architectures in check() have the same. */
static void list_shapes(const el_plan_model *m, shape list[SHAPES])
{
    const uint32_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    const uint32_t biased = m->qkv_bias ? m->layers : 0;
    const shape all[SHAPES] = {
        {EMBEDDING, m->vocab, m->dim, m->tied_embedding ? 1 : 2},
        {VECTOR, 1, m->dim, 1},                /* output_norm */
        {VECTOR, 1, m->dim, m->layers},        /* attn_norm */
        {VECTOR, 1, m->dim, m->layers},        /* ffn_norm */
        {VECTOR, 1, q, biased},                /* attn_q, bias */
        {VECTOR, 1, kv, 2 * biased},           /* attn_k, attn_v, bias */
        {BODY, q, m->dim, m->layers},          /* attn_q */
        {BODY, kv, m->dim, m->layers},         /* attn_k */
        {BODY, kv, m->dim, m->layers},         /* attn_v */
        {BODY, m->dim, q, m->layers},          /* attn_output */
        {BODY, m->ffn_dim, m->dim, m->layers}, /* ffn_gate */
        {BODY, m->ffn_dim, m->dim, m->layers}, /* ffn_up */
        {BODY, m->dim, m->ffn_dim, m->layers}, /* ffn_down */
    };
    memcpy(list, all, sizeof all);
}

uint64_t el_plan_bytes(const el_plan_model *model, const el_size_form *body,
                       const el_size_form *embedding)
{
    const el_size_form *forms[ROLES] = {
        [BODY] = body, [EMBEDDING] = embedding, [VECTOR] = &vector_form};
    shape list[SHAPES];
    el_size size;
    el_size_begin(&size, model->tokenizer_bytes, 0);
    list_shapes(model, list);
    for (int i = 0; i < SHAPES; i++) {
        for (uint32_t n = 0; n < list[i].count; n++) {
            if (el_size_put(&size, list[i].rows, list[i].cols, forms[list[i].role])) return 0;
        }
    }
    return el_size_finish(&size, EL_PLAN_MANIFEST_BYTES);
}

/* The weights of one role; adds the bytes they take. */
static uint64_t role_weights(const el_plan_model *m, role wanted, const el_size_form *form,
                             uint64_t *bytes)
{
    uint64_t weights = 0;
    shape list[SHAPES];
    list_shapes(m, list);
    for (int i = 0; i < SHAPES; i++) {
        if (list[i].role != wanted) continue;
        weights += (uint64_t)list[i].rows * list[i].cols * list[i].count;
        uint64_t each = el_size_tensor(list[i].rows, list[i].cols, form);
        *bytes += (each + 63) / 64 * 64 * list[i].count;
    }
    return weights;
}

/* ---- mixes ------------------------------------------------------------------------------- */

/* The body at level `level`; the embedding too if embedding_bits is 0. */
static uint64_t level_bytes(const el_plan_model *m, int level, unsigned embedding_bits)
{
    const el_size_form body = el_plan_form(el_plan_bits[level]);
    const el_size_form embedding = embedding_bits ? el_plan_form(embedding_bits) : body;
    return el_plan_bytes(m, &body, &embedding);
}

static el_plan_mix make_mix(const el_plan_model *m, uint64_t size, unsigned embedding_bits)
{
    el_plan_mix mix = {.embedding_bits = embedding_bits};
    uint64_t low = mix.least_bytes = level_bytes(m, 0, embedding_bits);
    mix.fits = low <= size;
    for (int i = 1; mix.fits && i < EL_PLAN_LEVELS; i++) {
        uint64_t high = level_bytes(m, i, embedding_bits);
        if (size < high) {
            mix.share[i] = (double)(size - low) / (double)(high - low);
            mix.share[i - 1] = 1 - mix.share[i];
            return mix;
        }
        low = high;
    }
    if (mix.fits) mix.share[EL_PLAN_LEVELS - 1] = 1;
    return mix;
}

/* ---- the plan ---------------------------------------------------------------------------- */

static edgellm_status check_architecture(const char *name, edgellm_error *err)
{
    static const char *const known[] = {"llama", "qwen2"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], name) == 0) return EDGELLM_OK;
    }
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "architecture '%.40s': only the tensors of llama and qwen2 are known here",
                   name);
}

/* The same ranges as a file's, with the numbers that have no bearing on its size set. */
static edgellm_status check(const el_plan_model *m, edgellm_error *err)
{
    const el_config config = {.architecture = "llama",
                              .layers = m->layers,
                              .dim = m->dim,
                              .ffn_dim = m->ffn_dim,
                              .heads = m->heads,
                              .kv_heads = m->kv_heads,
                              .head_dim = m->head_dim,
                              .vocab = m->vocab,
                              .context = 1,
                              .rope_base = 1,
                              .norm_eps = 1};
    EL_TRY(check_architecture(m->architecture, err));
    EL_TRY(el_config_check(&config, "shapes", err));
    if (m->tokenizer_bytes > UINT32_MAX) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "shapes: tokenizer_bytes is %llu, above %u",
                       (unsigned long long)m->tokenizer_bytes, UINT32_MAX);
    }
    if (level_bytes(m, 0, 0) == 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "shapes: a matrix is too large for a file");
    }
    return EDGELLM_OK;
}

edgellm_status el_plan_make(const el_plan_model *model, uint64_t size, el_plan *plan,
                            edgellm_error *err)
{
    const el_size_form smallest = el_plan_form(el_plan_bits[0]);
    uint64_t matrices = 0;
    EL_TRY(check(model, err));
    el_plan p = {.size = size};
    p.smallest_bytes = level_bytes(model, 0, 0);
    p.calibrated_bytes = level_bytes(model, EL_PLAN_CALIBRATED, 0);
    p.fits = p.smallest_bytes <= size;
    p.body_weights = role_weights(model, BODY, &smallest, &matrices);
    p.embedding_weights = role_weights(model, EMBEDDING, &smallest, &matrices);
    role_weights(model, VECTOR, &vector_form, &p.vector_bytes);
    p.fixed_bytes = p.smallest_bytes - matrices;
    p.frame_bytes = p.fixed_bytes - p.vector_bytes - model->tokenizer_bytes;
    if (size > p.fixed_bytes) {
        p.bits_left =
            (double)(size - p.fixed_bytes) * 8 / (double)(p.body_weights + p.embedding_weights);
    }
    for (int i = 0; i < EL_PLAN_MIXES; i++)
        p.mixes[i] = make_mix(model, size, i ? el_plan_bits[i - 1] : 0);
    *plan = p;
    return EDGELLM_OK;
}
