/* tiny_model.c: see tiny_model.h. Only the shape of the file matters; the weights are noise. */
#include "support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/ggml_types.h"

/* ---- bytes ----------------------------------------------------------------------------- */

void el_bytes_put(el_bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size) + 4096;
        b->data = realloc(b->data, b->room);
        if (!b->data) abort();
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

void el_bytes_align(el_bytes *b, size_t alignment)
{
    while (b->size % alignment)
        el_bytes_put(b, "", 1);
}

void el_bytes_u32(el_bytes *b, uint32_t x)
{
    el_bytes_put(b, &x, sizeof x); /* little-endian, as every machine that this builds on */
}

void el_bytes_u64(el_bytes *b, uint64_t x)
{
    el_bytes_put(b, &x, sizeof x);
}

void el_bytes_text(el_bytes *b, const char *text)
{
    el_bytes_u64(b, strlen(text));
    el_bytes_put(b, text, strlen(text));
}

bool el_bytes_save(const el_bytes *b, const char *path)
{
    remove(path); /* file systems flush a file that is overwritten; a fresh one waits */
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    bool written = b->size == 0 || fwrite(b->data, 1, b->size, f) == b->size;
    return fclose(f) == 0 && written;
}

bool el_bytes_load(el_bytes *b, const char *path)
{
    uint8_t piece[4096];
    size_t n;
    *b = (el_bytes){0};
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        el_bytes_put(b, piece, n);
    bool complete = !ferror(f);
    fclose(f);
    return complete;
}

static void put_key(el_bytes *b, const char *key, uint32_t type)
{
    el_bytes_text(b, key);
    el_bytes_u32(b, type);
}

void el_gguf_put_u32(el_bytes *b, const char *key, uint32_t value)
{
    put_key(b, key, 4);
    el_bytes_u32(b, value);
}

void el_gguf_put_f32(el_bytes *b, const char *key, float value)
{
    put_key(b, key, 6);
    el_bytes_u32(b, el_bits_of_float(value));
}

void el_gguf_put_bool(el_bytes *b, const char *key, bool value)
{
    put_key(b, key, 7);
    el_bytes_put(b, value ? "\1" : "\0", 1);
}

void el_gguf_put_text(el_bytes *b, const char *key, const char *value)
{
    put_key(b, key, 8);
    el_bytes_text(b, value);
}

void el_gguf_put_array(el_bytes *b, const char *key, uint32_t element_type, uint64_t count)
{
    put_key(b, key, 9);
    el_bytes_u32(b, element_type);
    el_bytes_u64(b, count);
}

/* ---- randomness ------------------------------------------------------------------------ */

uint64_t el_random_next(el_random *r) /* splitmix64 */
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t el_random_below(el_random *r, uint32_t n)
{
    return (uint32_t)((el_random_next(r) >> 32) * n >> 32);
}

float el_random_unit(el_random *r)
{
    int32_t x = (int32_t)(el_random_next(r) >> 40) - (1 << 23); /* 24 bits: exact as float */
    return (float)x * (1.7320508f / (1 << 23));
}

/* ---- vocabulary ------------------------------------------------------------------------ */

#define G "\xc4\xa0" /* GPT-2's printable space */
#define N "\xc4\x8a" /* ... and line end */

static const char *const merges[] = {
    "h e",  G " t",  G " a",  "i n",   "r e",       "o n",  G "t he", "e r",    G " s",
    "a t",  G " w",  G " o",  "e n",   G " c",      "i t",  "i s",    "a n",    "o r",
    "e s",  G " b",  "e d",   G " f",  "in g",      G " p", "o u",    G "a n",  "a l",
    "a r",  G "t o", G " m",  G "o f", G " in",     G " d", G " h",   G "an d", "l l",
    G " l", "o m",   N " " N, G " " G, G G " " G G,
};

enum { N_MERGES = sizeof merges / sizeof *merges, N_CONTROL = 3 };
_Static_assert(N_CONTROL + 256 + N_MERGES == EL_TINY_VOCAB, "size of the vocabulary");

static bool is_printable(uint32_t c)
{
    return (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174;
}

/* GPT-2's character for a byte, as UTF-8. */
static void printable_of_byte(uint32_t byte, char text[3])
{
    uint32_t c = byte;
    if (!is_printable(byte)) {
        c = 256;
        for (uint32_t i = 0; i < byte; i++)
            c += !is_printable(i);
    }
    memset(text, 0, 3);
    if (c < 0x80) {
        text[0] = (char)c;
    } else {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3f));
    }
}

static uint32_t vocab_of(const el_tiny_spec *s)
{
    return EL_TINY_VOCAB - s->left_out;
}

static void put_tokens(el_bytes *b, const el_tiny_spec *s)
{
    static const char *const chatml[N_CONTROL] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    static const char *const llama3[N_CONTROL] = {"<|end_header_id|>", "<|start_header_id|>",
                                                  "<|eot_id|>"};
    const char *const *control = s->llama3 ? llama3 : chatml;
    el_gguf_put_array(b, "tokenizer.ggml.tokens", 8, vocab_of(s));
    for (int i = 0; i < N_CONTROL; i++)
        el_bytes_text(b, control[i]);
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[3];
        printable_of_byte(byte, text);
        el_bytes_text(b, text);
    }
    for (uint32_t i = 0; i < N_MERGES - s->left_out; i++) {
        const char *space = strchr(merges[i], ' ');
        char joined[16];
        snprintf(joined, sizeof joined, "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        el_bytes_text(b, joined);
    }
}

static void put_tokenizer(el_bytes *b, const el_tiny_spec *s)
{
    el_gguf_put_text(b, "tokenizer.ggml.model", "gpt2");
    el_gguf_put_text(b, "tokenizer.ggml.pre", "smollm");
    put_tokens(b, s);
    el_gguf_put_array(b, "tokenizer.ggml.token_type", 5, vocab_of(s));
    for (uint32_t i = 0; i < vocab_of(s); i++)
        el_bytes_u32(b, i < N_CONTROL ? 3 : 1);
    el_gguf_put_array(b, "tokenizer.ggml.merges", 8, N_MERGES - s->left_out);
    for (uint32_t i = 0; i < N_MERGES - s->left_out; i++)
        el_bytes_text(b, merges[i]);
    el_gguf_put_u32(b, "tokenizer.ggml.bos_token_id", EL_TINY_IM_START);
    el_gguf_put_u32(b, "tokenizer.ggml.eos_token_id", EL_TINY_IM_END);
    el_gguf_put_u32(b, "tokenizer.ggml.unknown_token_id", EL_TINY_END_OF_TEXT);
    el_gguf_put_u32(b, "tokenizer.ggml.padding_token_id", EL_TINY_IM_END);
    el_gguf_put_bool(b, "tokenizer.ggml.add_bos_token", s->add_bos);
    if (s->llama3)
        el_gguf_put_text(b, "tokenizer.chat_template",
                         "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] "
                         "+ '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
                         "{% endfor %}");
    else
        el_gguf_put_text(
            b, "tokenizer.chat_template",
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
            "message['content'] + '<|im_end|>\n' }}{% endfor %}{% if "
            "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

/* ---- weights --------------------------------------------------------------------------- */

static float largest(const float *x, int n) /* by absolute value, with its sign */
{
    float best = 0;
    for (int i = 0; i < n; i++) {
        float a = x[i] < 0 ? -x[i] : x[i], b = best < 0 ? -best : best;
        if (a > b) best = x[i];
    }
    return best;
}

static void put_half(el_bytes *b, float x)
{
    uint16_t h = el_half_of_float(x);
    el_bytes_put(b, &(uint8_t[2]){(uint8_t)h, (uint8_t)(h >> 8)}, 2);
}

static unsigned nearest(float x, unsigned top)
{
    return x <= 0 ? 0 : x >= (float)top ? top : (unsigned)(x + 0.5f);
}

static void put_nibbles(el_bytes *b, const float x[32], float inverse, float shift)
{
    for (int i = 0; i < 16; i++) {
        unsigned low = nearest(x[i] * inverse + shift, 15);
        unsigned high = nearest(x[i + 16] * inverse + shift, 15);
        el_bytes_put(b, &(uint8_t){(uint8_t)(low | high << 4)}, 1);
    }
}

static void put_q4_0(el_bytes *b, const float *x)
{
    float d = largest(x, 32) / -8;
    put_half(b, d);
    put_nibbles(b, x, d != 0 ? 1 / d : 0, 8);
}

static void put_q4_1(el_bytes *b, const float *x)
{
    float low = x[0], high = x[0];
    for (int i = 1; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float d = (high - low) / 15, inverse = d != 0 ? 1 / d : 0;
    put_half(b, d);
    put_half(b, low);
    put_nibbles(b, x, inverse, -low * inverse);
}

static void put_q8_0(el_bytes *b, const float *x)
{
    float top = largest(x, 32), d = (top < 0 ? -top : top) / 127;
    put_half(b, d);
    for (int i = 0; i < 32; i++) {
        unsigned code = nearest((d != 0 ? x[i] / d : 0) + 127, 254);
        el_bytes_put(b, &(int8_t){(int8_t)((int)code - 127)}, 1);
    }
}

/* Codes 0, 1, 2 of the levels -1, 0, 1. */
static void ternary_codes(const float x[256], float d, unsigned codes[256])
{
    for (int i = 0; i < 256; i++)
        codes[i] = nearest((d != 0 ? x[i] / d : 0) + 1, 2);
}

static float largest_size(const float *x, int n)
{
    const float top = largest(x, n);
    return top < 0 ? -top : top;
}

/* n bytes of `count` codes each, that lie n apart, as a fraction of 256. */
static void put_threes(el_bytes *b, const unsigned *codes, int n, int count)
{
    for (int i = 0; i < n; i++) {
        unsigned value = 0;
        for (int k = 0; k < 5; k++)
            value = value * 3 + (k < count ? codes[k * n + i] : 0);
        el_bytes_put(b, &(uint8_t){(uint8_t)((value * 256 + 242) / 243)}, 1);
    }
}

static void put_tq1_0(el_bytes *b, const float *x)
{
    unsigned codes[256];
    const float d = largest_size(x, 256);
    ternary_codes(x, d, codes);
    put_threes(b, codes, 32, 5);
    put_threes(b, codes + 160, 16, 5);
    put_threes(b, codes + 240, 4, 4);
    put_half(b, d);
}

static void put_tq2_0(el_bytes *b, const float *x)
{
    unsigned codes[256];
    const float d = largest_size(x, 256);
    ternary_codes(x, d, codes);
    for (int i = 0; i < 64; i++) {
        const unsigned *c = codes + i / 32 * 128 + i % 32;
        const unsigned byte = c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6;
        el_bytes_put(b, &(uint8_t){(uint8_t)byte}, 1);
    }
    put_half(b, d);
}

static void put_f32(el_bytes *b, const float *x)
{
    for (int i = 0; i < 32; i++)
        el_bytes_u32(b, el_bits_of_float(x[i]));
}

static void put_f16(el_bytes *b, const float *x)
{
    for (int i = 0; i < 32; i++)
        put_half(b, x[i]);
}

typedef struct block_kind {
    uint32_t type, weights;
    void (*put)(el_bytes *, const float *);
} block_kind;

static const block_kind *block_kind_of(uint32_t type)
{
    static const block_kind rows[] = {
        {EL_GGML_F32, 32, put_f32},      {EL_GGML_F16, 32, put_f16},
        {EL_GGML_Q4_0, 32, put_q4_0},    {EL_GGML_Q4_1, 32, put_q4_1},
        {EL_GGML_Q8_0, 32, put_q8_0},    {EL_GGML_TQ1_0, 256, put_tq1_0},
        {EL_GGML_TQ2_0, 256, put_tq2_0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].type == type) return &rows[i];
    }
    abort();
}

static float square_root(float x) /* Newton's, without libm; x >= 1 */
{
    float y = x;
    for (int i = 0; i < 40; i++)
        y = (y + x / y) * 0.5f;
    return y;
}

/* ---- tensors --------------------------------------------------------------------------- */

typedef struct maker {
    el_bytes *table, data;
    el_random random;
    uint32_t n;
    bool rotated, lone;
} maker;

/* count weights, mean + deviation * noise; count is a multiple of a block's. */
static void put_noise(maker *m, uint32_t type, uint64_t count, float mean, float deviation)
{
    const block_kind *kind = block_kind_of(type);
    for (uint64_t i = 0; i < count; i += kind->weights) {
        float x[256];
        for (uint32_t k = 0; k < kind->weights; k++)
            x[k] = mean + deviation * el_random_unit(&m->random);
        kind->put(&m->data, x);
    }
}

static void put_tensor_head(maker *m, const char *name, uint32_t type, uint32_t rows, uint32_t cols)
{
    el_bytes_align(&m->data, 32);
    el_bytes_text(m->table, name);
    el_bytes_u32(m->table, rows ? 2 : 1);
    el_bytes_u64(m->table, cols);
    if (rows) el_bytes_u64(m->table, rows);
    el_bytes_u32(m->table, type);
    el_bytes_u64(m->table, m->data.size);
    m->n++;
}

/* R w in double, from its matrix: entry (i, j) is s[j], with another sign where i and j share an
 * odd number of bits. */
static void rotate_64(float *w)
{
    double rotated[64] = {0};
    for (unsigned i = 0; i < 64; i++)
        for (unsigned j = 0; j < 64; j++) {
            bool minus = 0x243f6a8885a308d3u >> j & 1;
            if (__builtin_popcount(i & j) % 2) minus = !minus;
            rotated[i] += (minus ? -0.125 : 0.125) * (double)w[j];
        }
    for (int i = 0; i < 64; i++)
        w[i] = (float)rotated[i];
}

/* 127 of 127 steps, of 127 / 8 steps once it is rotated: steps are powers of two. */
static void keep_one_of_64(float *w, el_random *random)
{
    const uint32_t kept = el_random_below(random, 64);
    const bool minus = w[kept] < 0;
    memset(w, 0, 64 * sizeof *w);
    w[kept] = minus ? -127.0f / 256 : 127.0f / 256;
}

static void put_matrix(maker *m, const char *name, uint32_t type, uint32_t rows, uint32_t cols)
{
    put_tensor_head(m, name, type, rows, cols);
    const size_t start = m->data.size;
    put_noise(m, type, (uint64_t)rows * cols, 0, 1 / square_root((float)cols));
    if (!m->rotated && !m->lone) return;
    if (type != EL_GGML_F32 || cols % 64) abort();
    for (size_t at = start; at < m->data.size; at += 64 * sizeof(float)) {
        float *w = (float *)(void *)(m->data.data + at);
        if (m->lone) keep_one_of_64(w, &m->random);
        if (m->rotated) rotate_64(w);
    }
}

static void put_norm(maker *m, const char *name, uint32_t cols)
{
    put_tensor_head(m, name, EL_GGML_F32, 0, cols);
    put_noise(m, EL_GGML_F32, cols, 1, 0.1f);
}

static bool is_of(const el_tiny_spec *s, const char *architecture)
{
    return s->architecture && strcmp(s->architecture, architecture) == 0;
}

static void put_layer(maker *m, const el_tiny_spec *s, uint32_t layer)
{
    uint32_t kv_dim = s->dim / s->heads * s->kv_heads;
    const struct {
        const char *name;
        uint32_t rows, cols;
    } matrices[] = {
        {"attn_q", s->dim, s->dim},       {"attn_k", kv_dim, s->dim},
        {"attn_v", kv_dim, s->dim},       {"attn_output", s->dim, s->dim},
        {"ffn_gate", s->ffn_dim, s->dim}, {"ffn_up", s->ffn_dim, s->dim},
        {"ffn_down", s->dim, s->ffn_dim},
    };
    const bool fused = is_of(s, "phi3");
    const uint32_t fused_rows[] = {s->dim + 2 * kv_dim, 0, 0, s->dim, 0, 2 * s->ffn_dim, s->dim};
    char name[64];
    snprintf(name, sizeof name, "blk.%u.attn_norm.weight", layer);
    put_norm(m, name, s->dim);
    snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", layer);
    put_norm(m, name, s->dim);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        const uint32_t rows = fused ? fused_rows[i] : matrices[i].rows;
        const char *part = fused && i == 0 ? "attn_qkv" : matrices[i].name;
        snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
        if (rows) put_matrix(m, name, s->matrix_type, rows, matrices[i].cols);
    }
}

/* What some architectures have besides. */
static void put_more(maker *m, const el_tiny_spec *s, uint32_t layer)
{
    const uint32_t head = s->dim / s->heads;
    const struct {
        const char *architecture, *name;
        uint32_t cols;
        float mean;
    } vectors[] = {{"qwen2", "attn_q.bias", s->dim, 0},
                   {"qwen2", "attn_k.bias", head * s->kv_heads, 0},
                   {"qwen2", "attn_v.bias", head * s->kv_heads, 0},
                   {"qwen3", "attn_q_norm.weight", head, 1},
                   {"qwen3", "attn_k_norm.weight", head, 1},
                   {"gemma2", "post_attention_norm.weight", s->dim, 1},
                   {"gemma2", "post_ffw_norm.weight", s->dim, 1},
                   {"gemma3", "attn_q_norm.weight", head, 1},
                   {"gemma3", "attn_k_norm.weight", head, 1},
                   {"gemma3", "post_attention_norm.weight", s->dim, 1},
                   {"gemma3", "post_ffw_norm.weight", s->dim, 1},
                   {"bitnet", "attn_sub_norm.weight", s->dim, 1},
                   {"bitnet", "ffn_sub_norm.weight", s->ffn_dim, 1},
                   {"bitnet-b1.58", "attn_sub_norm.weight", s->dim, 1},
                   {"bitnet-b1.58", "ffn_sub_norm.weight", s->ffn_dim, 1}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char name[64];
        if (!is_of(s, vectors[i].architecture)) continue;
        snprintf(name, sizeof name, "blk.%u.%s", layer, vectors[i].name);
        put_tensor_head(m, name, EL_GGML_F32, 0, vectors[i].cols);
        put_noise(m, EL_GGML_F32, vectors[i].cols, vectors[i].mean, 0.3f);
    }
}

static uint32_t turned_of(const el_tiny_spec *s)
{
    return s->turned ? s->turned : s->dim / s->heads;
}

/* 1 to 3: wave lengths may only grow. */
static void put_factors(maker *m, const el_tiny_spec *s)
{
    static const char *const names[] = {"rope_freqs.weight", "rope_factors_short.weight",
                                        "rope_factors_long.weight"};
    const size_t first = s->scaling == EL_TINY_FACTORS ? 0 : 1;
    const size_t end = s->scaling == EL_TINY_FACTORS ? 1 : s->scaling == EL_TINY_LONGROPE ? 3 : 0;
    for (size_t i = first; i < end; i++) {
        put_tensor_head(m, names[i], EL_GGML_F32, 0, turned_of(s) / 2);
        for (uint32_t k = 0; k < turned_of(s) / 2; k++) {
            const float factor = 1 + (float)el_random_below(&m->random, 1000) / 500 * (float)i / 2;
            el_bytes_u32(&m->data, el_bits_of_float(factor + (i == 0 ? (float)k : 0)));
        }
    }
}

static void put_tensors(maker *m, const el_tiny_spec *s)
{
    put_matrix(m, "token_embd.weight", s->embedding_type, vocab_of(s), s->dim);
    for (uint32_t layer = 0; layer < s->layers; layer++) {
        put_layer(m, s, layer);
        put_more(m, s, layer);
    }
    put_norm(m, "output_norm.weight", s->dim);
    put_factors(m, s);
    if (s->separate_head) put_matrix(m, "output.weight", s->embedding_type, vocab_of(s), s->dim);
}

/* ---- the file -------------------------------------------------------------------------- */

enum { N_VALUES = 23 }; /* without those of some */

static const char *architecture_of(const el_tiny_spec *s)
{
    return s->architecture ? s->architecture : "llama";
}

static void put_number(el_bytes *b, const el_tiny_spec *s, const char *key, uint32_t value)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", architecture_of(s), key);
    el_gguf_put_u32(b, name, value);
}

static void put_real(el_bytes *b, const el_tiny_spec *s, const char *key, float value)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", architecture_of(s), key);
    el_gguf_put_f32(b, name, value);
}

static void put_values(el_bytes *b, const el_tiny_spec *s)
{
    el_gguf_put_text(b, "general.architecture", architecture_of(s));
    el_gguf_put_text(b, "general.name", "Tiny");
    put_number(b, s, "block_count", s->layers);
    put_number(b, s, "context_length", s->context);
    put_number(b, s, "embedding_length", s->dim);
    put_number(b, s, "feed_forward_length", s->ffn_dim);
    put_number(b, s, "attention.head_count", s->heads);
    put_number(b, s, "attention.head_count_kv", s->kv_heads);
    put_real(b, s, "rope.freq_base", 10000.0f);
    put_real(b, s, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_number(b, s, "rope.dimension_count", turned_of(s));
    put_number(b, s, "vocab_size", vocab_of(s));
    put_tokenizer(b, s); /* 11 entries */
}

/* Numbers that some have; returns how many there are. */
static uint32_t put_more_values(el_bytes *b, const el_tiny_spec *s)
{
    const bool gemma2 = is_of(s, "gemma2"), gemma = gemma2 || is_of(s, "gemma3");
    const bool scaled = s->scaling == EL_TINY_LINEAR || s->scaling == EL_TINY_YARN;
    const bool old = s->scaling == EL_TINY_YARN || s->scaling == EL_TINY_LONGROPE;
    const struct {
        bool there;
        const char *key;
        float real;
        uint32_t number; /* 0: real */
    } rows[] = {{gemma || s->window, "attention.sliding_window", 0, s->window ? s->window : 7},
                {gemma, "attention.sliding_window_pattern", 0, 2},
                {gemma2, "attn_logit_softcapping", 0.5f, 0},
                {gemma2, "final_logit_softcapping", 1.5f, 0},
                {scaled, "rope.scaling.factor", 4, 0},
                {old, "rope.scaling.original_context_length", 0, 40}};
    static const char *const types[] = {
        [EL_TINY_LINEAR] = "linear", [EL_TINY_YARN] = "yarn", [EL_TINY_LONGROPE] = "longrope"};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].there) continue;
        if (rows[i].number)
            put_number(b, s, rows[i].key, rows[i].number);
        else
            put_real(b, s, rows[i].key, rows[i].real);
        n++;
    }
    if (!types[s->scaling]) return n;
    char key[64];
    snprintf(key, sizeof key, "%s.rope.scaling.type", architecture_of(s));
    el_gguf_put_text(b, key, types[s->scaling]);
    return n + 1;
}

el_tiny_spec el_tiny_defaults(void)
{
    return (el_tiny_spec){.dim = 64,
                          .ffn_dim = 96,
                          .layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .context = 256,
                          .matrix_type = EL_GGML_Q4_1,
                          .embedding_type = EL_GGML_Q8_0,
                          .version = 3,
                          .seed = 1};
}

void el_tiny_gguf(const el_tiny_spec *spec, el_bytes *out)
{
    el_bytes table = {0}, more = {0};
    const uint32_t n_more = put_more_values(&more, spec);
    maker m = {
        .table = &table, .random = {spec->seed}, .rotated = spec->rotated, .lone = spec->lone};
    put_tensors(&m, spec);
    el_bytes_put(out, "GGUF", 4);
    el_bytes_u32(out, spec->version);
    el_bytes_u64(out, m.n);
    el_bytes_u64(out, N_VALUES + n_more);
    put_values(out, spec);
    el_bytes_put(out, more.data, more.size);
    free(more.data);
    el_bytes_put(out, table.data, table.size);
    el_bytes_align(out, 32);
    el_bytes_put(out, m.data.data, m.data.size);
    free(table.data);
    free(m.data.data);
}

bool el_tiny_write(const el_tiny_spec *spec, const char *path)
{
    el_bytes file = {0};
    el_tiny_gguf(spec, &file);
    bool written = el_bytes_save(&file, path);
    free(file.data);
    return written;
}
