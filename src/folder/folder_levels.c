/* folder_levels.c: see folder_levels.h. */
#include "folder/folder_levels.h"

#include <string.h>

#include "format/planes.h"

#define WHERE EL_FOLDER_CONFIG ": 'quantization_config': "

/* ---- quantization_config ------------------------------------------------------------------ */

static edgellm_status unknown(const el_folder *f, const char *key, const char *value,
                              const char *only)
{
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE "'%.40s' is %.40s; this version knows only %s", key, value, only);
}

/* One of two words; the first is what is missing. */
static edgellm_status take_word(const el_folder *f, const json_t *config, const char *key,
                                const char *first, const char *second, bool *is_second)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_string_value(value);
    *is_second = text && strcmp(text, second) == 0;
    if (!value || *is_second || (text && strcmp(text, first) == 0)) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE "'%s' is '%.40s'; this version knows only '%s' and '%s'", key,
                   text ? text : "", first, second);
}

/* A name of a module, or of several by their beginning or end; no pattern. */
static bool is_plain(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";
    return text && *text && text[strspn(text, plain)] == '\0';
}

static edgellm_status take_except(el_folder *f, const json_t *config)
{
    static const char key[] = "modules_to_not_convert";
    const json_t *list = json_object_get(config, key);
    if (!list || json_is_null(list)) return EDGELLM_OK;
    if (!json_is_array(list)) return unknown(f, key, "no list", "lists of names");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!is_plain(text)) return unknown(f, key, text ? text : "no text", "names of modules");
    }
    f->levels.except = list;
    return EDGELLM_OK;
}

static edgellm_status refuse_keys(const el_folder *f, const json_t *config)
{
    static const char *const known[] = {"quant_method",      "linear_class",
                                        "quantization_mode", "modules_to_not_convert",
                                        "use_rms_norm",      "rms_norm_eps"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key) != 0)
            i++;
        if (i < sizeof known / sizeof *known) continue;
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       WHERE "'%.40s' is not known; of method 'bitnet' this version knows "
                             "linear_class, quantization_mode and modules_to_not_convert",
                       key);
    }
    if (json_is_true(json_object_get(config, "use_rms_norm")))
        return unknown(f, "use_rms_norm", "true", "false: inputs that are not normed once more");
    return EDGELLM_OK;
}

static edgellm_status take_config(el_folder *f, const json_t *config)
{
    const char *method = el_folder_text(config, "quant_method");
    bool automatic, online;
    if (!method || strcmp(method, "bitnet") != 0)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       WHERE "'quant_method' is '%.40s': the weights are codes of another program. "
                             "This version knows only 'bitnet': get the model in F32, F16 or BF16",
                       method ? method : "");
    if (f->family->sets & EL_SET_FUSED || f->family->rounds)
        return unknown(f, "quant_method", "bitnet", "other classes with it than this one");
    EL_TRY(refuse_keys(f, config));
    EL_TRY(take_word(f, config, "linear_class", "bitlinear", "autobitlinear", &automatic));
    EL_TRY(take_word(f, config, "quantization_mode", "offline", "online", &online));
    if (online && !automatic)
        return unknown(f, "quantization_mode", "online", "'offline' with 'bitlinear'");
    if (automatic && !online && f->family->sets & EL_SET_BIASES) /* which its scale meets too */
        return unknown(f, "linear_class", "autobitlinear", "'bitlinear' for a class with biases");
    f->levels.any = true;
    f->levels.rounded = online;
    f->levels.floats = automatic;
    f->levels.divides = !automatic;
    return take_except(f, config);
}

edgellm_status el_folder_levels_read(el_folder *f)
{
    const json_t *config = json_object_get(f->config, "quantization_config");
    f->levels = (el_folder_levels){.any = f->family->rounds, .rounded = f->family->rounds};
    return json_is_object(config) ? take_config(f, config) : EDGELLM_OK;
}

/* ---- which matrices ----------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t len, const char *end)
{
    const size_t n = strlen(end);
    return len >= n && memcmp(text + len - n, end, n) == 0;
}

/* Is the module of `len` bytes one that a name of a list means: that name, what lies in it, or
 * whatever ends so? */
static bool is_meant(const char *module, size_t len, const char *name)
{
    const size_t n = strlen(name);
    if (ends_with(module, len, name)) return true;
    if (len < n || memcmp(module, name, n) != 0) return false;
    return len == n || module[n] == '.' || name[n - 1] == '.';
}

bool el_folder_levels_in(const el_folder *f, const char *name)
{
    static const char head[] = "lm_head", weight[] = ".weight";
    const size_t whole = strlen(name);
    if (!f->levels.any || !ends_with(name, whole, weight)) return false;
    const size_t len = whole - strlen(weight);
    const bool is_head = len == strlen(head) && memcmp(name, head, len) == 0;
    if (!is_head && !ends_with(name, len, "_proj")) return false;
    if (!f->levels.except) return !is_head;
    for (size_t i = 0; i < json_array_size(f->levels.except); i++)
        if (is_meant(name, len, json_string_value(json_array_get(f->levels.except, i))))
            return false;
    return true;
}

bool el_folder_levels_scaled(const el_folder *f)
{
    return !f->levels.rounded;
}

/* ---- one matrix --------------------------------------------------------------------------- */

static edgellm_status take_scale(const el_folder *f, const el_safetensor *t,
                                 const el_safetensor *scale, float *value)
{
    uint64_t n = 1;
    if (!scale)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "%s, tensor '%.100s': its scale, '%.100s_scale', is missing", t->shard,
                       t->name, t->name);
    for (uint32_t i = 0; i < scale->n_dims; i++)
        n *= scale->dims[i] < 2 ? scale->dims[i] : 2;
    if (n != 1 || scale->type == EL_SAFETENSOR_OTHER)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "%s, tensor '%.100s': it is a scale, but not one number in F32, F16 or BF16",
                       scale->shard, scale->name);
    el_ggml_type_of(scale->type)->dequantize(scale->data, 1, value);
    if (__builtin_isfinite(*value) && (*value != 0 || !f->levels.divides)) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "%s, tensor '%.100s': the scale is %g", scale->shard,
                   scale->name, (double)*value);
}

static edgellm_status bad_type(const el_folder *f, const el_safetensor *t)
{
    return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                   "%s, tensor '%.100s' has dtype %s; by 'quantization_config' supported are %s",
                   t->shard, t->name, t->dtype,
                   f->levels.rounded  ? "F32, F16 and BF16"
                   : f->levels.floats ? "U8, F32, F16 and BF16"
                                      : "only U8, four weights in each");
}

static edgellm_status check_shape(const el_folder *f, const el_safetensor *t, uint32_t rows,
                                  uint32_t cols)
{
    char shape[96];
    if (t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols) return EDGELLM_OK;
    el_safetensor_shape(t, shape, sizeof shape);
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   "%s, tensor '%.100s' has shape %s, but by " EL_FOLDER_CONFIG " (%u, %u)",
                   t->shard, t->name, shape, rows, cols);
}

edgellm_status el_folder_levels_take(const el_folder *f, const el_safetensor *t,
                                     const el_safetensor *scale, uint32_t rows, uint32_t cols,
                                     el_gguf_tensor *to)
{
    const bool packed = strcmp(t->dtype, "U8") == 0;
    el_gguf_levels levels = {.floats = packed ? EL_GGML_LEVELS : t->type,
                             .rounded = f->levels.rounded,
                             .divides = f->levels.divides};
    if (packed ? f->levels.rounded
               : t->type == EL_SAFETENSOR_OTHER || !(f->levels.rounded || f->levels.floats))
        return bad_type(f, t);
    EL_TRY(check_shape(f, t, packed ? el_planes_rows(rows) : rows, cols));
    if (el_folder_levels_scaled(f)) EL_TRY(take_scale(f, t, scale, &levels.scale));
    to->type = EL_GGML_LEVELS;
    to->levels = levels;
    return EDGELLM_OK;
}
