/*
 * folder_config.c: config.json: which class of model it is, the numbers that all have, and what
 * would change results and isn't computed here, which is refused.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "folder/folder_levels.h"
#include "folder/folder_more.h"
#include "format/checks.h"

#define PHI_ORIGINAL 4096 /* positions of the training, where config.json of Phi-3 has none */

/* ---- the class ---------------------------------------------------------------------------- */

static edgellm_status find_family(el_folder *f)
{
    char known[256];
    const json_t *classes = json_object_get(f->config, "architectures");
    const char *name = json_string_value(json_array_get(classes, 0));
    el_folder_family_names(known, sizeof known);
    if (!name)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       EL_FOLDER_CONFIG ": 'architectures' does not name a class of models "
                                        "(supported are %s)",
                       known);
    f->family = el_folder_family_of(name);
    if (f->family) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   EL_FOLDER_CONFIG ": architecture '%.60s' is not supported, only %s", name,
                   known);
}

/* ---- what is refused ---------------------------------------------------------------------- */

/* Flags that may be absent or false. */
static const char *const flags[] = {"attention_bias", "mlp_bias", "use_sliding_window",
                                    "use_bidirectional_attention", "add_cross_attention"};

static edgellm_status refuse_activation(const el_folder *f)
{
    static const char *const keys[] = {"hidden_activation", "hidden_act"}; /* the first counts */
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *name = el_folder_text(f->config, keys[i]);
        if (!name) continue;
        if (strcmp(name, f->family->activation) == 0) return EDGELLM_OK;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": '%s' is '%.40s'; of %s this version computes only '%s'",
                       keys[i], name, f->family->name, f->family->activation);
    }
    return EDGELLM_OK;
}

/* Layers that attend to a window alone are Gemma's. */
static edgellm_status refuse_layers(const el_folder *f)
{
    const json_t *types = json_object_get(f->config, "layer_types");
    for (size_t i = 0; !f->family->one_more && i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type && strcmp(type, "full_attention") == 0) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": layer %zu has '%.40s'; of %s this version computes only "
                                        "'full_attention'",
                       i, type ? type : "no type", f->family->name);
    }
    return EDGELLM_OK;
}

/* The object that says how positions turn, under either name; NULL if none does. */
static const json_t *rotation_of(const el_folder *f)
{
    const json_t *rotation = json_object_get(f->config, "rope_parameters");
    const json_t *whole = json_object_get(rotation, "full_attention");
    if (json_is_object(whole)) return whole;
    if (json_is_object(rotation)) return rotation;
    rotation = json_object_get(f->config, "rope_scaling");
    return json_is_object(rotation) ? rotation : NULL;
}

/* The share of a head that is turned. */
static edgellm_status partial_of(const el_folder *f, double *part)
{
    static const char key[] = "partial_rotary_factor";
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, key, 1, part));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, rotation_of(f), key, *part, part));
    if (*part > 0 && *part <= 1) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT, EL_FOLDER_CONFIG ": '%s' is %g, not in (0, 1]", key,
                   *part);
}

static edgellm_status refuse(const el_folder *f)
{
    double part;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_is_true(json_object_get(f->config, flags[i]))) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": '%s' is true, which this version does not compute",
                       flags[i]);
    }
    EL_TRY(partial_of(f, &part));
    if (part != 1 && !f->family->partial)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": 'partial_rotary_factor' is %g, which this version does "
                                        "not compute",
                       part);
    EL_TRY(refuse_activation(f));
    return refuse_layers(f);
}

/* ---- positions ---------------------------------------------------------------------------- */

/* How much of a head is turned, in numbers. */
static edgellm_status rotary_dim(const el_folder *f, uint32_t *rotary)
{
    double part;
    EL_TRY(el_folder_head_dim(f, rotary));
    EL_TRY(partial_of(f, &part));
    *rotary = (uint32_t)(*rotary * part);
    if (*rotary >= 2) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   EL_FOLDER_CONFIG ": positions turn %u numbers of each head", *rotary);
}

/* A number that a kind of scaling cannot do without. */
static edgellm_status need(const el_folder *f, const json_t *rotation, const char *key,
                           double *value)
{
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, rotation, key, 0, value));
    if (*value > 0 && *value <= 1e9) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   EL_FOLDER_CONFIG ": scaling of positions: '%s' is %g or missing", key, *value);
}

static edgellm_status put_linear(el_folder *f, const json_t *rotation, double base)
{
    double factor;
    (void)base;
    EL_TRY(need(f, rotation, "factor", &factor));
    el_folder_put_text(f, el_folder_key(f, "rope.scaling.type"), "linear", 6);
    el_folder_put_f32(f, el_folder_key(f, "rope.scaling.factor"), (float)factor);
    return EDGELLM_OK;
}

/* Llama 3: long waves become longer by the factor, short ones stay, those between are blended. */
typedef struct blend {
    double factor, low, high, original;
} blend;

static double blended(const blend *b, double wave)
{
    if (wave < b->original / b->high) return 1;
    if (wave > b->original / b->low) return b->factor;
    const double share = (b->original / wave - b->low) / (b->high - b->low);
    return 1 / ((1 - share) / b->factor + share);
}

static edgellm_status add_factors(el_folder *f, const char *tensor, uint32_t n, float **list)
{
    *list = el_gguf_room(f->file, n * sizeof **list);
    if (!*list) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for positions");
    f->factors[f->n_factors++] = (el_folder_factors){.tensor = tensor, .list = *list, .n = n};
    return EDGELLM_OK;
}

static edgellm_status make_factors(el_folder *f, const json_t *rotation, double base)
{
    blend b;
    uint32_t head; /* what is turned of it */
    EL_TRY(need(f, rotation, "factor", &b.factor));
    EL_TRY(need(f, rotation, "low_freq_factor", &b.low));
    EL_TRY(need(f, rotation, "high_freq_factor", &b.high));
    EL_TRY(need(f, rotation, "original_max_position_embeddings", &b.original));
    EL_TRY(rotary_dim(f, &head));
    if (!(b.high > b.low))
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       EL_FOLDER_CONFIG ": scaling of positions: 'high_freq_factor' is not above "
                                        "'low_freq_factor'");
    float *list;
    EL_TRY(add_factors(f, "rope_freqs.weight", head / 2, &list));
    for (uint32_t i = 0; i < head / 2; i++)
        list[i] = (float)blended(&b, 2 * M_PI * pow(base, 2.0 * i / head));
    return EDGELLM_OK;
}

/* ---- longrope: two lists of factors, for contexts up to the training's and for longer ones */

static edgellm_status take_factors(el_folder *f, const json_t *rotation, const char *key,
                                   const char *tensor)
{
    uint32_t rotary;
    float *list;
    const json_t *theirs = json_object_get(rotation, key);
    EL_TRY(rotary_dim(f, &rotary));
    if (json_array_size(theirs) != rotary / 2)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       EL_FOLDER_CONFIG ": scaling of positions: '%s' has %zu numbers, not %u", key,
                       json_array_size(theirs), rotary / 2);
    EL_TRY(add_factors(f, tensor, rotary / 2, &list));
    for (uint32_t i = 0; i < rotary / 2; i++) {
        const json_t *factor = json_array_get(theirs, i);
        list[i] = (float)json_number_value(factor);
        if (json_is_number(factor) && list[i] >= 1 && list[i] <= 1e6f) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG
                       ": scaling of positions: number %u of '%s' is not from 1 to "
                       "1000000",
                       i, key);
    }
    return EDGELLM_OK;
}

/* The length of the training stands in config.json itself; what "rope_scaling" has must agree. */
static edgellm_status find_original(const el_folder *f, const json_t *rotation, uint32_t *original)
{
    static const char key[] = "original_max_position_embeddings";
    uint32_t again;
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, key, PHI_ORIGINAL, original));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, rotation, key, *original, &again));
    if (*original > 0 && again == *original) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   EL_FOLDER_CONFIG ": '%s' is %u, but %u in the scaling of positions", key,
                   *original, again);
}

/* How much longer texts became; some say it beside the lengths, from which it follows here. */
static edgellm_status check_stretch(const el_folder *f, const json_t *rotation, uint32_t original)
{
    double context, stretch;
    EL_TRY(
        el_folder_number(f, EL_FOLDER_CONFIG, f->config, "max_position_embeddings", 0, &context));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, rotation, "factor", context / original, &stretch));
    if (fabs(stretch * original - context) < 1e-3 * context) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   EL_FOLDER_CONFIG ": scaling of positions: 'factor' is %g, but by lengths of "
                                    "contexts %g",
                   stretch, context / original);
}

static edgellm_status put_longrope(el_folder *f, const json_t *rotation, double base)
{
    uint32_t original;
    double gain;
    (void)base;
    if (!f->family->partial)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": positions are scaled by longrope, which this version "
                                        "does not compute for %s",
                       f->family->name);
    EL_TRY(find_original(f, rotation, &original));
    EL_TRY(check_stretch(f, rotation, original));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, rotation, "attention_factor", 0, &gain));
    el_folder_put_text(f, el_folder_key(f, "rope.scaling.type"), "longrope", 8);
    el_folder_put_u32(f, el_folder_key(f, "rope.scaling.original_context_length"), original);
    if (gain != 0) el_folder_put_f32(f, el_folder_key(f, "rope.scaling.attn_factor"), (float)gain);
    EL_TRY(take_factors(f, rotation, "short_factor", "rope_factors_short.weight"));
    return take_factors(f, rotation, "long_factor", "rope_factors_long.weight");
}

static const struct scaling {
    const char *name;
    edgellm_status (*put)(el_folder *f, const json_t *rotation, double base);
} scalings[] = {{"default", NULL},
                {"linear", put_linear},
                {"llama3", make_factors},
                {"longrope", put_longrope},
                {"su", put_longrope}};

static edgellm_status put_rotation(el_folder *f)
{
    double base;
    const json_t *rotation = rotation_of(f);
    const char *type = el_folder_text(rotation, "rope_type");
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, "rope_theta", f->family->rope_base,
                            &base));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, rotation, "rope_theta", base, &base));
    if (base != 0) el_folder_put_f32(f, el_folder_key(f, "rope.freq_base"), (float)base);
    if (!type) type = el_folder_text(rotation, "type");
    if (!type) type = "default";
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) {
        if (strcmp(scalings[i].name, type) != 0) continue;
        return scalings[i].put ? scalings[i].put(f, rotation, base != 0 ? base : 10000)
                               : EDGELLM_OK;
    }
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   EL_FOLDER_CONFIG ": positions are scaled in the way '%.40s'; this version knows "
                                    "default, linear, llama3 and longrope",
                   type);
}

/* ---- numbers ------------------------------------------------------------------------------ */

static edgellm_status need_u32(const el_folder *f, const char *key, uint32_t most, uint32_t *value)
{
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, key, 0, value));
    if (*value > 0 && *value <= most) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   EL_FOLDER_CONFIG ": '%s' is missing, or not from 1 to %u", key, most);
}

edgellm_status el_folder_head_dim(const el_folder *f, uint32_t *head)
{
    uint32_t dim, heads;
    EL_TRY(need_u32(f, "hidden_size", EL_MAX_DIM, &dim));
    EL_TRY(need_u32(f, "num_attention_heads", EL_MAX_DIM, &heads));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "head_dim", dim / heads, head));
    if (*head > 0 && *head <= EL_MAX_DIM) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT, EL_FOLDER_CONFIG ": heads of %u dimensions", *head);
}

static edgellm_status put_numbers(el_folder *f)
{
    static const struct {
        const char *theirs, *ours;
        uint32_t most;
    } numbers[] = {{"num_hidden_layers", "block_count", EL_MAX_LAYERS},
                   {"hidden_size", "embedding_length", EL_MAX_DIM},
                   {"intermediate_size", "feed_forward_length", 16 * EL_MAX_DIM},
                   {"max_position_embeddings", "context_length", EL_MAX_CONTEXT},
                   {"num_attention_heads", "attention.head_count", EL_MAX_DIM},
                   {"vocab_size", "vocab_size", EL_MAX_VOCAB}};
    uint32_t value, heads, head, rotary;
    double eps;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        EL_TRY(need_u32(f, numbers[i].theirs, numbers[i].most, &value));
        el_folder_put_u32(f, el_folder_key(f, numbers[i].ours), value);
    }
    f->vocab = value; /* the last row */
    EL_TRY(need_u32(f, "num_attention_heads", EL_MAX_DIM, &heads));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "num_key_value_heads", heads, &value));
    el_folder_put_u32(f, el_folder_key(f, "attention.head_count_kv"), value);
    EL_TRY(el_folder_head_dim(f, &head));
    el_folder_put_u32(f, el_folder_key(f, "attention.key_length"), head);
    EL_TRY(rotary_dim(f, &rotary));
    el_folder_put_u32(f, el_folder_key(f, "rope.dimension_count"), rotary);
    eps = f->family->eps != 0 ? f->family->eps : 1e-6;
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, "rms_norm_eps", eps, &eps));
    el_folder_put_f32(f, el_folder_key(f, "attention.layer_norm_rms_epsilon"), (float)eps);
    return EDGELLM_OK;
}

/* The model is called like its folder, if that has a name. */
static void put_name(el_folder *f)
{
    size_t end = strlen(f->path), start;
    while (end > 0 && f->path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && f->path[start - 1] != '/'; start--)
        ;
    if (start == end || f->path[start] == '.' || !el_text_is_valid(f->path + start, end - start))
        return;
    el_folder_put_text(f, "general.name", f->path + start, end - start);
}

edgellm_status el_folder_config(el_folder *f)
{
    EL_TRY(el_folder_json(f, EL_FOLDER_CONFIG, &f->config));
    if (!f->config)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "the folder has no " EL_FOLDER_CONFIG ": it is not a model of Hugging Face");
    EL_TRY(find_family(f));
    EL_TRY(refuse(f));
    EL_TRY(el_folder_levels_read(f));
    el_folder_put_text(f, "general.architecture", f->family->architecture,
                       strlen(f->family->architecture));
    put_name(f);
    EL_TRY(put_numbers(f));
    EL_TRY(put_rotation(f));
    return f->family->more ? f->family->more(f) : EDGELLM_OK;
}
