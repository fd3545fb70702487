#include "quant/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/ggml_types.h"

/* Architectures whose GGUF files have halves. */
static const char *const apart[] = {"qwen2", "qwen3", "gemma2", "gemma3", "phi3"};

/* What is turned; of a layer, "blk.N." before it. */
static const char *const parts[] = {"attn_q.weight", "attn_k.weight",      "attn_q.bias",
                                    "attn_k.bias",   "attn_q_norm.weight", "attn_k_norm.weight"};

static bool is_in(const char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], text) == 0) return true;
    return false;
}

bool el_pairs_apart(const el_config *config, const el_gguf_tensor *tensor)
{
    if (tensor->halves) return true;
    if (!is_in(apart, sizeof apart / sizeof *apart, config->architecture)) return false;
    if (strncmp(tensor->name, "blk.", 4) != 0) return false;
    const char *part = strchr(tensor->name + 4, '.');
    return part && is_in(parts, sizeof parts / sizeof *parts, part + 1);
}

/* Where number i of a head comes from; those that are not turned stay. */
static uint32_t source_of(const el_config *c, uint32_t i)
{
    if (i >= c->rotary_dim) return i;
    return el_pairs_from(c->rotary_dim, i);
}

edgellm_status el_pairs_join(const el_config *config, const el_gguf_tensor *tensor,
                             el_gguf_tensor *paired, uint8_t **data, edgellm_error *err)
{
    const bool vector = tensor->rows == 1;
    const uint32_t n = vector ? tensor->cols : tensor->rows, head = config->head_dim;
    *data = NULL;
    if (n % head != 0)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' has shape (%u, %u): no whole number of heads of %u",
                       tensor->name, tensor->rows, tensor->cols, head);
    if (vector && el_ggml_type_of(tensor->type)->block_weights != 1)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED, "tensor '%s': a vector of type %s",
                       tensor->name, el_ggml_type_name(tensor->type));
    const size_t size = (size_t)(tensor->bytes / n);
    uint8_t *to = malloc((size_t)tensor->bytes);
    if (!to)
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: tensor '%s' needs %llu bytes",
                       tensor->name, (unsigned long long)tensor->bytes);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t from = i / head * head + source_of(config, i % head);
        memcpy(to + i * size, tensor->data + from * size, size);
    }
    *paired = *tensor;
    paired->data = *data = to;
    return EDGELLM_OK;
}
