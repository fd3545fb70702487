/* seed_gguf.c: see seed_gguf.h. */
#include "fuzz/seed_gguf.h"

#include "base/half.h"

el_bytes seed_pieces(const char *model, float worst)
{
    static const char *const tokens[] = {"<bos>", "<0x41>",           "\xe2\x96\x81",
                                         "a",     "\xe2\x96\x81\x61", "<end_of_turn>"};
    static const uint8_t types[] = {3, 6, 1, 1, 1, 4};
    const uint32_t n = sizeof tokens / sizeof *tokens;
    el_bytes b = {0};
    el_bytes_put(&b, "GGUF", 4);
    el_bytes_u32(&b, 3);
    el_bytes_u64(&b, 0);
    el_bytes_u64(&b, 17);
    el_gguf_put_text(&b, "general.architecture", "gemma3");
    el_gguf_put_u32(&b, "gemma3.block_count", 6);
    el_gguf_put_u32(&b, "gemma3.context_length", 64);
    el_gguf_put_u32(&b, "gemma3.embedding_length", 8);
    el_gguf_put_u32(&b, "gemma3.feed_forward_length", 8);
    el_gguf_put_u32(&b, "gemma3.attention.head_count", 2);
    el_gguf_put_u32(&b, "gemma3.attention.sliding_window", 16);
    el_gguf_put_f32(&b, "gemma3.attention.layer_norm_rms_epsilon", 1e-5f);
    el_gguf_put_text(&b, "gemma3.rope.scaling.type", "linear");
    el_gguf_put_f32(&b, "gemma3.rope.scaling.factor", 8.0f);
    el_gguf_put_text(&b, "tokenizer.ggml.model", model);
    el_gguf_put_array(&b, "tokenizer.ggml.tokens", 8, n);
    for (uint32_t i = 0; i < n; i++)
        el_bytes_text(&b, tokens[i]);
    el_gguf_put_array(&b, "tokenizer.ggml.token_type", 5, n);
    for (uint32_t i = 0; i < n; i++)
        el_bytes_u32(&b, types[i]);
    el_gguf_put_array(&b, "tokenizer.ggml.scores", 6, n);
    for (uint32_t i = 0; i < n; i++)
        el_bytes_u32(&b, el_bits_of_float(i < 4 ? -(float)i : worst));
    el_gguf_put_u32(&b, "tokenizer.ggml.bos_token_id", 0);
    el_gguf_put_bool(&b, "tokenizer.ggml.add_space_prefix", true);
    el_gguf_put_bool(&b, "tokenizer.ggml.remove_extra_whitespaces", false);
    el_bytes_align(&b, 32);
    return b;
}

el_bytes seed_values(void)
{
    el_bytes b = {0};
    el_bytes_put(&b, "GGUF", 4);
    el_bytes_u32(&b, 3);
    el_bytes_u64(&b, 0);
    el_bytes_u64(&b, 13);
    for (uint32_t type = 0; type < 13; type++) {
        static const uint8_t bytes[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        char key[2] = {(char)('a' + type), 0};
        el_bytes_text(&b, key);
        el_bytes_u32(&b, type);
        for (int i = 0; i < bytes[type]; i++)
            el_bytes_put(&b, "\1", 1);
        if (type == 8) el_bytes_text(&b, "text");
        if (type != 9) continue;
        el_bytes_u32(&b, 9); /* an array of one array of two strings */
        el_bytes_u64(&b, 1);
        el_bytes_u32(&b, 8);
        el_bytes_u64(&b, 2);
        el_bytes_text(&b, "x");
        el_bytes_text(&b, "");
    }
    return b;
}
