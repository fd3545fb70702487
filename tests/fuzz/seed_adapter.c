/* seed_adapter.c: see seed_adapter.h. */
#include "fuzz/seed_adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/ggml_types.h"
#include "fuzz/seed_gguf.h"

enum { WIDTH = 32, KV = 16, ALIGNMENT = 32 };

typedef struct part {
    const char *gguf, *peft;
    uint32_t rows;
} part;

static const part parts[] = {
    {"attn_q", "self_attn.q_proj", WIDTH}, {"attn_k", "self_attn.k_proj", KV},
    {"attn_v", "self_attn.v_proj", KV},    {"attn_output", "self_attn.o_proj", WIDTH},
    {"ffn_gate", "mlp.gate_proj", WIDTH},  {"ffn_up", "mlp.up_proj", WIDTH},
    {"ffn_down", "mlp.down_proj", WIDTH},
};

enum { PARTS = sizeof parts / sizeof *parts };

static const struct seed {
    const char *name;
    const char *config; /* adapter_config.json; NULL: a GGUF file */
    const char *dtype;  /* of safetensors */
    uint32_t a, b;      /* types of A and B */
    uint32_t rank, layer;
    unsigned set; /* of the parts, a bit each */
} seeds[SEED_ADAPTERS] = {
    {"gguf", NULL, NULL, EL_GGML_F32, EL_GGML_F32, 1, 0, 0x7f},
    {"gguf_rounded", NULL, NULL, EL_GGML_Q8_0, EL_GGML_F16, 2, 1, 0x03},
    {"peft", "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":8,\"bias\":\"none\"}", "F32",
     EL_GGML_F32, EL_GGML_F32, 1, 0, 0x7f},
    {"peft_root",
     "{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":2.5,\"use_rslora\":true,\"rank_pattern\":{}}",
     "BF16", EL_GGML_BF16, EL_GGML_BF16, 3, 1, 0x42},
    {"peft_dora", "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":8,\"use_dora\":true}", "F16",
     EL_GGML_F16, EL_GGML_F16, 1, 0, 0x01},
};

/* A table of tensors, and their data. */
typedef struct halves {
    el_bytes table, data;
    el_random random;
    uint32_t n;
} halves;

static void put_gguf(halves *h, const struct seed *s, const part *p, bool is_b)
{
    char name[64];
    const uint32_t rows = is_b ? p->rows : s->rank, cols = is_b ? s->rank : WIDTH;
    snprintf(name, sizeof name, "blk.%u.%s.weight.lora_%c", s->layer, p->gguf, is_b ? 'b' : 'a');
    el_bytes_align(&h->data, ALIGNMENT);
    el_bytes_text(&h->table, name);
    el_bytes_u32(&h->table, 2);
    el_bytes_u64(&h->table, cols);
    el_bytes_u64(&h->table, rows);
    el_bytes_u32(&h->table, is_b ? s->b : s->a);
    el_bytes_u64(&h->table, h->data.size);
    seed_blocks(&h->data, is_b ? s->b : s->a, (uint64_t)rows * cols, &h->random);
    h->n++;
}

static void put_peft(halves *h, const struct seed *s, const part *p, bool is_b)
{
    char entry[256];
    const uint32_t rows = is_b ? p->rows : s->rank, cols = is_b ? s->rank : WIDTH;
    const size_t at = h->data.size;
    seed_blocks(&h->data, is_b ? s->b : s->a, (uint64_t)rows * cols, &h->random);
    snprintf(entry, sizeof entry,
             "%c\"base_model.model.model.layers.%u.%s.lora_%c.weight\":{\"dtype\":\"%s\","
             "\"shape\":[%u,%u],\"data_offsets\":[%zu,%zu]}",
             h->n ? ',' : '{', s->layer, p->peft, is_b ? 'B' : 'A', s->dtype, rows, cols, at,
             h->data.size);
    el_bytes_put(&h->table, entry, strlen(entry));
    h->n++;
}

static halves make_halves(const struct seed *s)
{
    halves h = {.random = {s->rank + s->layer}};
    for (int i = 0; i < 2 * PARTS; i++)
        if (s->set >> (i / 2) & 1) (s->config ? put_peft : put_gguf)(&h, s, &parts[i / 2], i % 2);
    return h;
}

static void begin_gguf(el_bytes *b, uint32_t tensors)
{
    el_bytes_put(b, "GGUF", 4);
    el_bytes_u32(b, 3);
    el_bytes_u64(b, tensors);
    el_bytes_u64(b, 4);
    el_gguf_put_text(b, "general.type", "adapter");
    el_gguf_put_text(b, "general.architecture", "llama");
    el_gguf_put_text(b, "adapter.type", "lora");
    el_gguf_put_f32(b, "adapter.lora.alpha", 8.0f);
}

el_bytes seed_adapter(int index, const char **name)
{
    const struct seed *s = &seeds[index];
    halves h = make_halves(s);
    el_bytes b = {0};
    *name = s->name;
    if (s->config) {
        el_bytes_put(&b, "\0", 1);
        el_bytes_put(&b, s->config, strlen(s->config) + 1);
    } else {
        begin_gguf(&b, h.n);
    }
    el_bytes_put(&b, h.table.data, h.table.size);
    if (s->config)
        el_bytes_put(&b, "}", 2);
    else
        el_bytes_align(&b, ALIGNMENT);
    el_bytes_put(&b, h.data.data, h.data.size);
    free(h.table.data);
    free(h.data.data);
    return b;
}
