/* folder_adapter.c: see folder_adapter.h. */
#include "folder/folder_adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "folder/folder_families.h"
#include "folder/folder_work.h"
#include "folder/safetensors.h"
#include "format/checks.h"
#include "format/gguf_value.h"
#include "format/tma.h"

#define CONFIG  "adapter_config.json"
#define WEIGHTS "adapter_model.safetensors"
#define VALUES  8 /* more than are put */

/* ---- adapter_config.json ----------------------------------------------------------------------
 */

/* Switches and lists that must be off: each changes what is computed. */
static const char *const off[] = {
    "use_dora",          "fan_in_fan_out",         "lora_bias",
    "use_qalora",        "megatron_config",        "alpha_pattern",
    "rank_pattern",      "modules_to_save",        "trainable_token_indices",
    "layer_replication", "target_parameters",      "use_bdlora",
    "arrow_config",      "alora_invocation_tokens"};

static bool is_off(const json_t *value)
{
    if (json_is_array(value)) return json_array_size(value) == 0;
    if (json_is_object(value)) return json_object_size(value) == 0;
    return value == NULL || json_is_null(value) || json_is_false(value);
}

static edgellm_status check_config(const el_folder *f)
{
    const char *kind = el_folder_text(f->config, "peft_type");
    const char *bias = el_folder_text(f->config, "bias");
    if (!kind || strcmp(kind, "LORA") != 0)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       CONFIG ": peft_type is '%.40s': only LORA is supported", kind ? kind : "");
    if (bias && strcmp(bias, "none") != 0)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       CONFIG ": bias is '%.40s': only adapters without trained biases ('none') "
                              "are supported",
                       bias);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(json_object_get(f->config, off[i])))
            return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                           CONFIG ": %s is set: adapters with it are not supported", off[i]);
    return EDGELLM_OK;
}

static edgellm_status put_values(el_folder *f, uint32_t *rank)
{
    double alpha;
    EL_TRY(el_folder_u32(f, CONFIG, f->config, "r", 0, rank));
    EL_TRY(el_folder_number(f, CONFIG, f->config, "lora_alpha", 0, &alpha));
    if (*rank == 0 || !(alpha > 0 && alpha < 1e30))
        return el_fail(f->err, EDGELLM_ERR_FORMAT, CONFIG ": r or lora_alpha is missing or 0");
    el_folder_put_text(f, "general.type", "adapter", strlen("adapter"));
    el_folder_put_text(f, "adapter.type", "lora", strlen("lora"));
    el_folder_put_f32(f, EL_ADAPTER_ALPHA, (float)alpha);
    el_folder_put_bool(f, EL_ADAPTER_ROOT, json_is_true(json_object_get(f->config, "use_rslora")));
    return f->failed ? el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for metadata")
                     : el_gguf_sort(f->file, f->err);
}

/* ---- tensors ----------------------------------------------------------------------------------
 */

/* The matrix that a layer's "self_attn.q_proj.lora_A.weight" is beside: all that have their weights
 * in the set of every layer. *half: ".lora_A.weight". NULL: it is no such. */
static const el_folder_part *part_of(const char *name, const char **half)
{
    for (unsigned i = 0; i < el_folder_n_parts; i++) {
        const el_folder_part *part = &el_folder_parts[i];
        const size_t len = strlen(part->theirs) - strlen(".weight");
        if (!(part->sets & (EL_SET_LAYER | EL_SET_APART)) || strncmp(name, part->theirs, len) != 0)
            continue;
        *half = name + len;
        return part;
    }
    return NULL;
}

/* The part of "PREFIX.layers.N.self_attn.q_proj.lora_A.weight", and our name of it; NULL: it is no
 * such. */
static const el_folder_part *our_name(const char *theirs, char *ours, size_t size)
{
    static const char prefix[] = "base_model.model.model.layers.";
    char *end;
    const char *half;
    if (strncmp(theirs, prefix, strlen(prefix)) != 0) return NULL;
    const unsigned long layer = strtoul(theirs + strlen(prefix), &end, 10);
    if (*end != '.' || layer >= EL_MAX_LAYERS) return NULL;
    const el_folder_part *part = part_of(end + 1, &half);
    const bool is_a = part && strcmp(half, ".lora_A.weight") == 0;
    if (!part || (!is_a && strcmp(half, ".lora_B.weight") != 0)) return NULL;
    snprintf(ours, size, "blk.%lu.%s.lora_%c", layer, part->ours, is_a ? 'a' : 'b');
    return part;
}

static edgellm_status add(const el_folder *f, const el_safetensor *t, uint32_t rank)
{
    el_gguf_tensor *to = &f->file->tensors[f->file->n_tensors];
    char shape[96];
    el_safetensor_shape(t, shape, sizeof shape);
    const el_folder_part *part = our_name(t->name, to->name, sizeof to->name);
    if (!part)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       "tensor '%.120s' cannot be adapted: that are q_proj, k_proj, v_proj, "
                       "o_proj, gate_proj, up_proj and down_proj of a model's layers",
                       t->name);
    if (t->type == EL_SAFETENSOR_OTHER)
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       "tensor '%.120s' has dtype %s; supported are F32, F16 and BF16", t->name,
                       t->dtype);
    const bool is_b = to->name[strlen(to->name) - 1] == 'b';
    if (t->n_dims != 2 || t->dims[0] == 0 || t->dims[0] > EL_MAX_DIM || t->dims[1] == 0 ||
        t->dims[1] > EL_MAX_DIM || t->dims[is_b ? 1 : 0] != rank)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "tensor '%.120s' has shape %s, but by " CONFIG " its rank is %u", t->name,
                       shape, rank);
    to->type = t->type;
    to->rows = (uint32_t)t->dims[0];
    to->cols = (uint32_t)t->dims[1];
    to->data = t->data;
    to->bytes = t->bytes;
    /* queries and keys as every folder has them; whose width a head is, the model says */
    to->halves = is_b && part->kind == EL_PART_PAIRS;
    f->file->n_tensors++;
    return EDGELLM_OK;
}

static edgellm_status add_all(const el_folder *f, const el_safetensors *all, uint32_t rank)
{
    f->file->tensors = calloc(all->n + (size_t)1, sizeof *f->file->tensors);
    if (!f->file->tensors)
        return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for %u tensors", all->n);
    for (uint32_t i = 0; i < all->n; i++)
        EL_TRY(add(f, &all->list[i], rank));
    return EDGELLM_OK;
}

static edgellm_status read_folder(el_folder *f)
{
    el_safetensors all = {0};
    uint32_t rank;
    f->file->values = calloc(VALUES, sizeof *f->file->values);
    if (!f->file->values) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for metadata");
    EL_TRY(el_folder_json(f, CONFIG, &f->config));
    if (!f->config)
        return el_fail(f->err, EDGELLM_ERR_USAGE,
                       "there is no " CONFIG ": this is no adapter as PEFT saves it");
    EL_TRY(check_config(f));
    EL_TRY(put_values(f, &rank));
    edgellm_status status = el_safetensors_read(f, WEIGHTS, &all);
    if (status == EDGELLM_OK) status = add_all(f, &all, rank);
    free(all.list);
    return status;
}

edgellm_status el_folder_adapter_open(el_gguf *file, const char *path, edgellm_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) return el_gguf_open(file, path, err);
    el_gguf fresh = {0};
    el_folder f = {.path = path, .file = &fresh, .err = err};
    const edgellm_status result = read_folder(&f);
    json_decref(f.config);
    if (result != EDGELLM_OK) {
        el_gguf_close(&fresh);
        return result == EDGELLM_ERR_IO ? result : el_fail_in_file(err, result, path);
    }
    *file = fresh;
    return EDGELLM_OK;
}
