/* folder_more.c: numbers of config.json that only some families have. */
#include "folder/folder_more.h"

#include <math.h>
#include <string.h>

#include "format/checks.h"

/* ---- Mistral, Phi-3 ----------------------------------------------------------------------- */

/* The window that all layers attend to. Null is none; a class that is missing one may mean some. */
static edgellm_status put_window(el_folder *f, uint32_t missing)
{
    uint32_t window;
    const bool is_there = json_object_get(f->config, "sliding_window") != NULL;
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "sliding_window", 0, &window));
    if (!is_there) window = missing;
    if (window > 0) el_folder_put_u32(f, el_folder_key(f, "attention.sliding_window"), window);
    return EDGELLM_OK;
}

edgellm_status el_folder_more_mistral(el_folder *f)
{
    return put_window(f, 4096);
}

edgellm_status el_folder_more_phi3(el_folder *f)
{
    return put_window(f, 0);
}

/* ---- SmolLM3 ------------------------------------------------------------------------------ */

enum { UNTURNED = 4 }; /* of so many layers the engine leaves the last without positions */

/* Does a layer turn positions, by the list, or without one by the interval? */
static bool is_turned(const json_t *list, uint32_t interval, uint32_t layer)
{
    if (json_is_array(list)) return json_number_value(json_array_get(list, layer)) != 0;
    return interval == 0 || (layer + 1) % interval != 0;
}

edgellm_status el_folder_more_smollm3(el_folder *f)
{
    uint32_t layers, interval;
    const json_t *list = json_object_get(f->config, "no_rope_layers");
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "num_hidden_layers", 0, &layers));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "no_rope_layer_interval", UNTURNED,
                         &interval));
    if (json_is_array(list) && json_array_size(list) != layers)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       EL_FOLDER_CONFIG ": 'no_rope_layers' has %zu entries for %u layers",
                       json_array_size(list), layers);
    for (uint32_t i = 0; i < layers; i++) {
        if (is_turned(list, interval, i) == ((i + 1) % UNTURNED != 0)) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": layer %u: this version leaves every %dth layer of %s "
                                        "without positions and no other; 'no_rope_layers' or "
                                        "'no_rope_layer_interval' says otherwise",
                       i, UNTURNED, f->family->name);
    }
    return EDGELLM_OK;
}

/* ---- Gemma -------------------------------------------------------------------------------- */

static bool is_whole(const json_t *types, size_t layer)
{
    const char *type = json_string_value(json_array_get(types, layer));
    return type && strcmp(type, "full_attention") == 0;
}

static bool has_pattern(const json_t *types, size_t layers, uint32_t pattern)
{
    for (size_t i = 0; i < layers; i++)
        if (is_whole(types, i) != ((i + 1) % pattern == 0)) return false;
    return true;
}

/* Of so many layers the last attends to all positions; a list of layers says so, or a number. */
static edgellm_status find_pattern(const el_folder *f, uint32_t usual, uint32_t *pattern)
{
    const json_t *types = json_object_get(f->config, "layer_types");
    const size_t n = json_array_size(types);
    uint32_t layers, first = 0;
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "_sliding_window_pattern", usual, &usual));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "sliding_window_pattern", usual, pattern));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "num_hidden_layers", 0, &layers));
    if (*pattern > 0 && (n == 0 || (n == layers && has_pattern(types, n, *pattern))))
        return EDGELLM_OK;
    while (first < n && !is_whole(types, first))
        first++;
    *pattern = first + 1;
    if (n > 0 && n == layers && has_pattern(types, n, *pattern)) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   EL_FOLDER_CONFIG ": 'layer_types' has %zu entries for %u layers, or 'full_"
                                    "attention' at other layers than every so many",
                   n, layers);
}

/* A cap that is null is none; one that isn't there is the family's. */
static edgellm_status put_cap(el_folder *f, const char *theirs, const char *ours)
{
    double cap;
    if (!json_object_get(f->config, theirs)) return EDGELLM_OK;
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, theirs, 0, &cap));
    el_folder_put_f32(f, el_folder_key(f, ours), (float)cap);
    return EDGELLM_OK;
}

/* Scores are divided by the root of a number that is the width of a head in most models. */
static edgellm_status put_scale(el_folder *f)
{
    double number;
    uint32_t head;
    EL_TRY(el_folder_head_dim(f, &head));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, "query_pre_attn_scalar", 256, &number));
    if (!(number > 0))
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       EL_FOLDER_CONFIG ": 'query_pre_attn_scalar' is %g", number);
    el_folder_put_f32(f, el_folder_key(f, "attention.scale"),
                      number == head ? 0 : (float)(1 / sqrt(number)));
    return EDGELLM_OK;
}

static edgellm_status put_gemma(el_folder *f, uint32_t usual)
{
    uint32_t pattern, window;
    EL_TRY(find_pattern(f, usual, &pattern));
    EL_TRY(el_folder_u32(f, EL_FOLDER_CONFIG, f->config, "sliding_window", 4096, &window));
    el_folder_put_u32(f, el_folder_key(f, "attention.sliding_window"), window);
    el_folder_put_u32(f, el_folder_key(f, "attention.sliding_window_pattern"), pattern);
    EL_TRY(put_cap(f, "attn_logit_softcapping", "attn_logit_softcapping"));
    EL_TRY(put_cap(f, "final_logit_softcapping", "final_logit_softcapping"));
    return put_scale(f);
}

edgellm_status el_folder_more_gemma2(el_folder *f)
{
    return put_gemma(f, 2);
}

edgellm_status el_folder_more_gemma3(el_folder *f)
{
    double base;
    const json_t *rotation = json_object_get(f->config, "rope_parameters");
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, f->config, "rope_local_base_freq", 10000, &base));
    EL_TRY(el_folder_number(f, EL_FOLDER_CONFIG, json_object_get(rotation, "sliding_attention"),
                            "rope_theta", base, &base));
    el_folder_put_f32(f, el_folder_key(f, "rope.freq_base_swa"), (float)base);
    return put_gemma(f, 6);
}

/* ---- BitNet, as 1bitLLM made it ----------------------------------------------------------- */

/* With other widths it would round otherwise. */
edgellm_status el_folder_more_bitnet(el_folder *f)
{
    static const struct {
        const char *key;
        uint32_t only;
    } widths[] = {{"weight_bits", 1}, {"input_bits", 8}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        uint32_t value;
        EL_TRY(
            el_folder_u32(f, EL_FOLDER_CONFIG, f->config, widths[i].key, widths[i].only, &value));
        if (value == widths[i].only) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       EL_FOLDER_CONFIG ": '%s' is %u; of %s this version computes only %u",
                       widths[i].key, value, f->family->name, widths[i].only);
    }
    return EDGELLM_OK;
}
