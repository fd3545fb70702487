/* hand_gguf.c: see hand_gguf.h. */
#include "support/hand_gguf.h"

#include <stdlib.h>

#include "base/half.h"

void el_hand_tensor(el_hand *h, const char *name, uint64_t cols, uint32_t type, uint64_t offset)
{
    el_bytes_text(&h->table, name);
    el_bytes_u32(&h->table, 1);
    el_bytes_u64(&h->table, cols);
    el_bytes_u32(&h->table, type);
    el_bytes_u64(&h->table, offset);
    h->n_tensors++;
}

void el_hand_u32(el_hand *h, const char *key, uint32_t value)
{
    el_gguf_put_u32(&h->values, key, value);
    h->n_values++;
}

void el_hand_text(el_hand *h, const char *key, const char *value)
{
    el_gguf_put_text(&h->values, key, value);
    h->n_values++;
}

void el_hand_array(el_hand *h, const char *key, uint32_t type, uint64_t count)
{
    el_gguf_put_array(&h->values, key, type, count);
    h->n_values++;
}

void el_hand_texts(el_hand *h, const char *key, uint64_t count, const char *const *texts)
{
    el_hand_array(h, key, 8, count);
    for (uint64_t i = 0; i < count; i++)
        el_bytes_text(&h->values, texts[i]);
}

void el_hand_pieces(el_hand *h, const char *model, uint64_t count, const char *const *texts,
                    const uint32_t *types, const float *scores)
{
    el_hand_text(h, "tokenizer.ggml.model", model);
    el_hand_texts(h, "tokenizer.ggml.tokens", count, texts);
    el_hand_array(h, "tokenizer.ggml.token_type", 5, count);
    for (uint64_t i = 0; i < count; i++)
        el_bytes_u32(&h->values, types[i]);
    el_hand_array(h, "tokenizer.ggml.scores", 6, count);
    for (uint64_t i = 0; i < count; i++)
        el_bytes_u32(&h->values, el_bits_of_float(scores[i]));
}

el_hand el_hand_start(void)
{
    return (el_hand){.version = 3, .alignment = 32};
}

bool el_hand_save(el_hand *h, const char *path)
{
    el_bytes file = {0};
    el_bytes_put(&file, "GGUF", 4);
    el_bytes_u32(&file, h->version);
    el_bytes_u64(&file, h->n_tensors);
    el_bytes_u64(&file, h->n_values);
    el_bytes_put(&file, h->values.data, h->values.size);
    el_bytes_put(&file, h->table.data, h->table.size);
    el_bytes_align(&file, h->alignment);
    el_bytes_put(&file, h->data.data, h->data.size);
    bool saved = el_bytes_save(&file, path);
    free(file.data);
    free(h->values.data);
    free(h->table.data);
    free(h->data.data);
    return saved;
}
