/*
 * gguf_config.c: the model's numbers from GGUF metadata. Keys begin with the architecture; what
 * a key's absence means is written in its row.
 */
#include <stdio.h>
#include <string.h>

#include "base/detmath.h"
#include "format/checks.h"
#include "format/gguf_value.h"

#define KEY_BYTES 128

typedef struct reader {
    const el_gguf *file;
    const char *architecture;
    edgellm_error *err;
} reader;

static void make_key(const reader *r, const char *suffix, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s.%s", r->architecture, suffix);
}

/* A key that is there but not a number is an error even where it could be left out. */
static edgellm_status wrong_kind(const reader *r, const char *key, const char *wanted)
{
    if (el_gguf_get(r->file, key)) {
        return el_fail(r->err, EDGELLM_ERR_FORMAT, "metadata: key '%s' is not %s", key, wanted);
    }
    return el_fail(r->err, EDGELLM_ERR_FORMAT,
                   "metadata: key '%s' is missing: convert the model again", key);
}

static edgellm_status need_u32(const reader *r, const char *suffix, uint32_t *value)
{
    char key[KEY_BYTES];
    make_key(r, suffix, key);
    return el_gguf_u32(r->file, key, value) ? EDGELLM_OK
                                            : wrong_kind(r, key, "a number of 32 bits");
}

static edgellm_status want_u32(const reader *r, const char *suffix, uint32_t fallback,
                               uint32_t *value)
{
    char key[KEY_BYTES];
    make_key(r, suffix, key);
    *value = fallback;
    return el_gguf_get(r->file, key) ? need_u32(r, suffix, value) : EDGELLM_OK;
}

static edgellm_status need_f32(const reader *r, const char *suffix, float *value)
{
    char key[KEY_BYTES];
    make_key(r, suffix, key);
    return el_gguf_f32(r->file, key, value) ? EDGELLM_OK : wrong_kind(r, key, "a float");
}

static edgellm_status want_f32(const reader *r, const char *suffix, float fallback, float *value)
{
    char key[KEY_BYTES];
    make_key(r, suffix, key);
    *value = fallback;
    return el_gguf_get(r->file, key) ? need_f32(r, suffix, value) : EDGELLM_OK;
}

/* A metadata string into a NUL-padded field; too long a name is cut between characters. */
static edgellm_status copy_text(const reader *r, const char *key, char *field, size_t size)
{
    const char *text;
    size_t len;
    if (!el_gguf_string(r->file, key, &text, &len)) return wrong_kind(r, key, "a string");
    if (!el_text_is_valid(text, len)) return wrong_kind(r, key, "UTF-8 text");
    memset(field, 0, size);
    memcpy(field, text, el_text_cut(text, len, size - 1));
    return EDGELLM_OK;
}

static edgellm_status read_architecture(const reader *r, el_config *c)
{
    const char *text;
    size_t len;
    if (el_gguf_string(r->file, "general.architecture", &text, &len) &&
        (len == 0 || len >= sizeof c->architecture)) {
        return el_fail(r->err, EDGELLM_ERR_UNSUPPORTED,
                       "metadata: general.architecture has %zu bytes, not 1..%zu", len,
                       sizeof c->architecture - 1);
    }
    return copy_text(r, "general.architecture", c->architecture, sizeof c->architecture);
}

static edgellm_status read_heads(const reader *r, el_config *c)
{
    EL_TRY(need_u32(r, "attention.head_count", &c->heads));
    EL_TRY(want_u32(r, "attention.head_count_kv", c->heads, &c->kv_heads));
    if (c->heads == 0 || c->kv_heads == 0) {
        return el_fail(r->err, EDGELLM_ERR_FORMAT, "metadata: %u heads, %u kv heads", c->heads,
                       c->kv_heads);
    }
    EL_TRY(want_u32(r, "attention.key_length", c->dim / c->heads, &c->head_dim));
    return want_u32(r, "rope.dimension_count", c->head_dim, &c->rotary_dim);
}

static edgellm_status read_vocab_size(const reader *r, el_config *c)
{
    const el_gguf_value *tokens = el_gguf_get(r->file, "tokenizer.ggml.tokens");
    bool counted = tokens && tokens->type == EL_GGUF_ARRAY && tokens->count <= EL_MAX_VOCAB;
    uint32_t count = counted ? (uint32_t)tokens->count : 0;
    if (!counted) return need_u32(r, "vocab_size", &c->vocab);
    EL_TRY(want_u32(r, "vocab_size", count, &c->vocab));
    if (c->vocab == count) return EDGELLM_OK;
    return el_fail(r->err, EDGELLM_ERR_FORMAT,
                   "metadata: vocab_size is %u, but tokenizer.ggml.tokens has %u entries", c->vocab,
                   count);
}

/* What an architecture has beside the numbers that all have, and what files leave out. */
typedef struct family {
    const char *name;
    uint32_t pattern; /* layers */
    float rope_base, local_rope_base, attention_cap, logit_cap;
    uint32_t wide_layers; /* a model of so many scales scores by dim / heads, not by head_dim */
} family;

static const family families[] = {
    {"gemma2", 2, 10000.0f, 0, 50.0f, 30.0f, 46},
    {"gemma3", 6, 1000000.0f, 10000.0f, 0, 0, 62},
};

static const family *family_of(const reader *r)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].name, r->architecture) == 0) return &families[i];
    return NULL;
}

static edgellm_status read_family(const reader *r, const family *f, el_config *c)
{
    const uint32_t width = c->dim / c->heads;
    const float scale = 1.0f / __builtin_sqrtf((float)width);
    EL_TRY(need_u32(r, "attention.sliding_window", &c->window));
    EL_TRY(want_u32(r, "attention.sliding_window_pattern", f->pattern, &c->pattern));
    EL_TRY(want_f32(r, "rope.freq_base_swa", f->local_rope_base, &c->local_rope_base));
    EL_TRY(want_f32(r, "attention.scale", c->layers == f->wide_layers ? scale : 0,
                    &c->attention_scale));
    EL_TRY(want_f32(r, "attn_logit_softcapping", f->attention_cap, &c->attention_cap));
    return want_f32(r, "final_logit_softcapping", f->logit_cap, &c->logit_cap);
}

/* ---- windows --------------------------------------------------------------------------- */

/* Without a pattern all layers attend to the window, if there is one: a pattern longer than they
 * are. */
static edgellm_status read_window(const reader *r, el_config *c)
{
    static const char *const windowed[] = {"llama", "phi3"};
    uint32_t window, pattern;
    EL_TRY(want_u32(r, "attention.sliding_window", 0, &window));
    if (window == 0 || window >= c->context) return EDGELLM_OK;
    EL_TRY(want_u32(r, "attention.sliding_window_pattern", c->layers + 1, &pattern));
    for (size_t i = 0; i < sizeof windowed / sizeof *windowed; i++) {
        if (strcmp(windowed[i], r->architecture) != 0) continue;
        c->window = window;
        c->pattern = pattern;
        return EDGELLM_OK;
    }
    return el_fail(r->err, EDGELLM_ERR_UNSUPPORTED,
                   "metadata: %s.attention.sliding_window is %u: this version runs %s only "
                   "without a window",
                   r->architecture, window, r->architecture);
}

/* ---- stretched positions ----------------------------------------------------------------- */

/* What is not computed would give wrong answers far into a text: refuse, do not ignore. */
static edgellm_status want_only(const reader *r, const char *suffix, float only)
{
    float value;
    EL_TRY(want_f32(r, suffix, only, &value));
    if (value == only) return EDGELLM_OK;
    return el_fail(r->err, EDGELLM_ERR_UNSUPPORTED,
                   "metadata: %s.%s is %g: this version runs only models where it is %g",
                   r->architecture, suffix, (double)value, (double)only);
}

static edgellm_status read_linear(const reader *r, el_config *c)
{
    return need_f32(r, "rope.scaling.factor", &c->rope_factor);
}

/* Without a type a factor is of this kind; 0 or 1 means none. */
static edgellm_status read_untyped(const reader *r, el_config *c)
{
    static const char *const factors[] = {"rope.scaling.factor", "rope.scale_linear"};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        float factor;
        EL_TRY(want_f32(r, factors[i], 1.0f, &factor));
        if (factor != 1.0f && factor != 0.0f) c->rope_factor = factor;
    }
    return EDGELLM_OK;
}

/* The gain is what the file says, or 1 + ln(factor) / 10. */
static edgellm_status read_yarn(const reader *r, el_config *c)
{
    float gain;
    EL_TRY(need_f32(r, "rope.scaling.factor", &c->rope_factor));
    EL_TRY(need_u32(r, "rope.scaling.original_context_length", &c->rope_context));
    EL_TRY(want_f32(r, "rope.scaling.yarn_beta_fast", 32.0f, &c->yarn_fast));
    EL_TRY(want_f32(r, "rope.scaling.yarn_beta_slow", 1.0f, &c->yarn_slow));
    EL_TRY(want_only(r, "rope.scaling.yarn_ext_factor", 1.0f));
    EL_TRY(want_only(r, "rope.scaling.yarn_log_multiplier", 0.0f));
    EL_TRY(want_f32(r, "rope.scaling.attn_factor", 1.0f, &gain));
    const double usual = c->rope_factor > 1 ? 1 + el_log((double)c->rope_factor) / 10 : 1;
    EL_TRY(want_f32(r, "rope.scaling.yarn_attn_factor", (float)usual, &c->rope_gain));
    c->rope_gain *= gain;
    return EDGELLM_OK;
}

/* Two tensors have the factors, for short and for long contexts. The gain is what the file says, or
 * the square root of 1 + ln(stretch) / ln(context of the training). */
static edgellm_status read_longrope(const reader *r, el_config *c)
{
    EL_TRY(need_u32(r, "rope.scaling.original_context_length", &c->rope_context));
    const double stretch = (double)c->context / (c->rope_context ? c->rope_context : 1);
    const bool grows = stretch > 1 && c->rope_context > 1;
    const double square = grows ? 1 + el_log(stretch) / el_log((double)c->rope_context) : 1;
    return want_f32(r, "rope.scaling.attn_factor", __builtin_sqrtf((float)square), &c->rope_gain);
}

static edgellm_status read_nothing(const reader *r, el_config *c)
{
    (void)r;
    (void)c;
    return EDGELLM_OK;
}

static const struct {
    const char *type;
    edgellm_status (*read)(const reader *r, el_config *c);
} scalings[] = {
    {"none", read_nothing},
    {"linear", read_linear},
    {"yarn", read_yarn},
    {"longrope", read_longrope},
};

/* Without a type it is told by what there is. What Llama 3 has is a tensor, rope_freqs.weight,
 * which the model takes. */
static edgellm_status read_scaling(const reader *r, el_config *c)
{
    char key[KEY_BYTES];
    const char *text;
    size_t len;
    make_key(r, "rope.scaling.type", key);
    if (!el_gguf_get(r->file, key)) {
        const bool factors = el_gguf_find(r->file, "rope_factors_long.weight") != NULL;
        return factors ? read_longrope(r, c) : read_untyped(r, c);
    }
    if (!el_gguf_string(r->file, key, &text, &len)) return wrong_kind(r, key, "a string");
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++)
        if (len == strlen(scalings[i].type) && memcmp(text, scalings[i].type, len) == 0)
            return scalings[i].read(r, c);
    return el_fail(r->err, EDGELLM_ERR_UNSUPPORTED,
                   "the model scales its positions (%s is '%.*s'): this version runs models that "
                   "do not, or by linear, yarn or longrope",
                   key, len < KEY_BYTES ? (int)len : KEY_BYTES, text);
}

static edgellm_status read_config(const reader *r, el_config *c)
{
    const family *f = family_of(r);
    if (el_gguf_get(r->file, "general.name")) {
        EL_TRY(copy_text(r, "general.name", c->name, sizeof c->name));
    }
    EL_TRY(need_u32(r, "block_count", &c->layers));
    EL_TRY(need_u32(r, "embedding_length", &c->dim));
    EL_TRY(need_u32(r, "feed_forward_length", &c->ffn_dim));
    EL_TRY(need_u32(r, "context_length", &c->context));
    EL_TRY(read_heads(r, c));
    EL_TRY(want_f32(r, "rope.freq_base", f ? f->rope_base : 10000.0f, &c->rope_base));
    EL_TRY(need_f32(r, "attention.layer_norm_rms_epsilon", &c->norm_eps));
    EL_TRY(read_vocab_size(r, c));
    EL_TRY(f ? read_family(r, f, c) : read_window(r, c));
    EL_TRY(read_scaling(r, c));
    if (c->rope_gain == 1.0f) c->rope_gain = 0;
    return el_config_check(c, "metadata", r->err);
}

const char *el_gguf_architecture(const char *name)
{
    static const char *const aliases[][2] = {{"bitnet-25", "bitnet-b1.58"}};
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i][0]) == 0) return aliases[i][1];
    return name;
}

static void take_name(el_config *c)
{
    const char *name = el_gguf_architecture(c->architecture);
    if (name == c->architecture) return;
    memset(c->architecture, 0, sizeof c->architecture);
    memcpy(c->architecture, name, strlen(name));
}

edgellm_status el_gguf_config(const el_gguf *file, el_config *config, edgellm_error *err)
{
    el_config c;
    memset(&c, 0, sizeof c);
    reader r = {file, c.architecture, err};
    EL_TRY(read_architecture(&r, &c));
    EL_TRY(read_config(&r, &c));
    take_name(&c);
    *config = c;
    return EDGELLM_OK;
}
