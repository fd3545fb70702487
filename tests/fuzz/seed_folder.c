/* seed_folder.c: see seed_folder.h: one layer, 16 tokens, 16 wide. */
#include "fuzz/seed_folder.h"

#include <stdio.h>
#include <string.h>

#define NUMBERS                                                                                    \
    "\"hidden_size\":16,\"num_hidden_layers\":1,\"intermediate_size\":16,"                         \
    "\"max_position_embeddings\":64,\"num_attention_heads\":2,\"num_key_value_heads\":1,"          \
    "\"rms_norm_eps\":1e-5,\"vocab_size\":16,\"tie_word_embeddings\":true,"
#define ADDED                                                                                      \
    "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true},"                           \
    "{\"id\":1,\"content\":\"<|im_end|>\",\"special\":true},"                                      \
    "{\"id\":2,\"content\":\"<u>\",\"special\":false}],"
#define BOS                                                                                        \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"           \
    "{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]},"

enum { ALL = 1, GEMMA = 2, SUB_NORMS = 4, INNER_NORMS = 8 }; /* what tensors a seed has */

typedef struct tensor {
    const char *name;
    int rows, cols; /* rows 0: a vector */
    unsigned sets;
} tensor;

static const tensor tensors[] = {
    {"model.embed_tokens.weight", 16, 16, ALL},
    {"model.norm.weight", 0, 16, ALL},
    {"model.layers.0.self_attn.q_proj.weight", 16, 16, ALL},
    {"model.layers.0.self_attn.k_proj.weight", 8, 16, ALL},
    {"model.layers.0.self_attn.v_proj.weight", 8, 16, ALL},
    {"model.layers.0.self_attn.o_proj.weight", 16, 16, ALL},
    {"model.layers.0.mlp.gate_proj.weight", 16, 16, ALL},
    {"model.layers.0.mlp.up_proj.weight", 16, 16, ALL},
    {"model.layers.0.mlp.down_proj.weight", 16, 16, ALL},
    {"model.layers.0.input_layernorm.weight", 0, 16, ALL},
    {"model.layers.0.post_attention_layernorm.weight", 0, 16, ALL},
    {"model.layers.0.pre_feedforward_layernorm.weight", 0, 16, GEMMA},
    {"model.layers.0.post_feedforward_layernorm.weight", 0, 16, GEMMA},
    {"model.layers.0.self_attn.q_norm.weight", 0, 8, GEMMA},
    {"model.layers.0.self_attn.k_norm.weight", 0, 8, GEMMA},
    {"model.layers.0.self_attn.attn_sub_norm.weight", 0, 16, SUB_NORMS},
    {"model.layers.0.mlp.ffn_sub_norm.weight", 0, 16, SUB_NORMS},
    {"model.layers.0.self_attn.inner_attn_ln.weight", 0, 16, INNER_NORMS},
    {"model.layers.0.mlp.ffn_layernorm.weight", 0, 16, INNER_NORMS},
};

enum { TENSORS = sizeof tensors / sizeof *tensors };

#define FEW_BYTES                                                                                  \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{\"type\":"   \
    "\"BPE\",\"vocab\":{\"<s>\":0,\"<|im_end|>\":1,\"t\":3,\"h\":4,\"e\":5,\"th\":6,\"the\":7,"    \
    "\"a\":8,\"b\":9,\"c\":10,\"d\":11},\"merges\":[\"t h\",\"th e\"]}}"

static const struct seed {
    const char *name, *config, *tokenizer, *more, *generation;
    unsigned sets;
    bool index;
    bool packed; /* matrices of layers are codes of three levels, with scales */
} seeds[SEED_FOLDERS] = {
    {"llama",
     "{\"architectures\":[\"LlamaForCausalLM\"]," NUMBERS
     "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
     "\"high_freq_factor\":4,\"original_max_position_embeddings\":32}}",
     "{" ADDED BOS "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
     "\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
     "\"use_regex\":true}]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,\"<|im_end|>\":1,"
     "\"t\":3,\"h\":4,\"e\":5,\"th\":6,\"the\":7,\"\\u0120\":8,\"a\":9,\"b\":10,\"c\":11,"
     "\"d\":12,\"f\":13,\"g\":14},\"merges\":[\"t h\",[\"th\",\"e\"]]}}",
     "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"<|im_end|>\"},"
     "\"chat_template\":[{\"name\":\"default\",\"template\":\"{{x}}\"}],"
     "\"model_max_length\":1000000000000000019884624838656}",
     "{\"eos_token_id\":[1,3]}", ALL, false, false},
    {"qwen",
     "{\"architectures\":[\"LlamaForCausalLM\"]," NUMBERS "\"head_dim\":8,\"layer_types\":"
     "[\"full_attention\"],\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000}}",
     "{" ADDED "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
     "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
     "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
     "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
     "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"model\":{"
     "\"type\":\"BPE\",\"vocab\":{\"a\":3,\"b\":4,\"c\":5,\"ab\":6,\"d\":7,\"e\":8,\"f\":9,"
     "\"g\":10,\"h\":11},\"merges\":[\"a b\"]}}",
     "{\"add_bos_token\":false,\"chat_template\":\"{{x}}\"}", "", ALL, true, false},
    {"gemma",
     "{\"architectures\":[\"Gemma3ForCausalLM\"]," NUMBERS
     "\"hidden_activation\":\"gelu_pytorch_tanh\",\"sliding_window\":16,\"query_pre_attn_scalar\":"
     "16,\"layer_types\":[\"sliding_attention\"],\"attn_logit_softcapping\":null,"
     "\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,"
     "\"rope_theta\":1000000},\"sliding_attention\":{\"rope_theta\":10000}}}",
     "{" ADDED BOS "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
     "\"prepend\":\"\\u2581\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
     "\"\\u2581\"}]},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},"
     "\"behavior\":\"MergedWithPrevious\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,"
     "\"vocab\":{\"<0x41>\":3,\"\\u2581\":4,\"a\":5,\"b\":6,\"ab\":7,\"\\u2581a\":8,"
     "\"\\u2581ab\":9,\"c\":10,\"d\":11,\"e\":12,\"f\":13},\"merges\":[[\"\\u2581\",\"a\"],"
     "[\"\\u2581a\",\"b\"],[\"\\u2581\",\"ab\"],\"a b\"]}}",
     "{\"bos_token\":\"<s>\"}", "{\"eos_token_id\":1}", ALL | GEMMA, false, false},
    {"bitnet",
     "{\"architectures\":[\"BitNetForCausalLM\"]," NUMBERS
     "\"hidden_act\":\"relu2\",\"quantization_config\":{\"quant_method\":\"bitnet\","
     "\"linear_class\":\"autobitlinear\",\"quantization_mode\":\"offline\","
     "\"modules_to_not_convert\":[\"lm_head\",\"mlp.up_proj\"]}}",
     "{" ADDED FEW_BYTES, "", "", ALL | SUB_NORMS, false, true},
    {"bitnet_rounded",
     "{\"architectures\":[\"BitnetForCausalLM\"]," NUMBERS "\"weight_bits\":1,\"input_bits\":8}",
     "{" ADDED FEW_BYTES, "", "", ALL | INNER_NORMS, true, false},
    {"unigram", "{\"architectures\":[\"LlamaForCausalLM\"]," NUMBERS "\"head_dim\":8}",
     "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"rstrip\":true},{\"id\":"
     "12,\"content\":\"h\",\"lstrip\":true,\"single_word\":true,\"normalized\":true}],"
     "\"normalizer\":null,"
     "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":"
     "\"always\",\"split\":true},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":"
     "true,"
     "\"vocab\":[[\"<unk>\",0],[\"<0x41>\",0],[\"\\u2581\",-2],[\"a\",-3.5],[\"b\",-3],[\"ab\",-4],"
     "[\"\\u2581ab\",-5],[\"c\",-6],[\"d\",-6],[\"e\",-6],[\"f\",-7],[\"g\",-8]]}}",
     "", "", ALL, false, false},
};

static void put_text(el_bytes *b, const char *text)
{
    el_bytes_put(b, text, strlen(text) + 1);
}

static bool has(const struct seed *s, const tensor *t)
{
    return (s->sets & t->sets) != 0;
}

static bool is_packed(const struct seed *s, const tensor *t)
{
    return s->packed && strstr(t->name, "_proj") && !strstr(t->name, "up_proj");
}

/* An entry of the header; *at moves past its data. */
static void put_entry(el_bytes *b, const tensor *t, const char *more, const char *dtype,
                      uint32_t bytes, uint32_t *at)
{
    char entry[256], rows[16] = "";
    const uint32_t n = (uint32_t)((t->rows ? t->rows : 1) * t->cols) * bytes;
    if (t->rows) snprintf(rows, sizeof rows, "%d,", t->rows);
    snprintf(entry, sizeof entry,
             "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%s%d],\"data_offsets\":[%u,%u]}",
             *at ? "," : "", t->name, more, dtype, rows, t->cols, *at, *at + n);
    el_bytes_put(b, entry, strlen(entry));
    *at += n;
}

/* In F32, F16 and BF16 by turns, or packed; every number is 1 or next to 0, no code is 3. */
static void put_weights(el_bytes *b, const struct seed *s)
{
    static const struct {
        const char *name;
        uint32_t bytes;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}};
    uint32_t at = 0, all = 0;
    el_bytes_put(b, "{", 1);
    for (int i = 0; i < TENSORS; i++) {
        const tensor *t = &tensors[i];
        const tensor codes = {t->name, t->rows / 4, t->cols, 0}, scale = {t->name, 0, 1, 0};
        if (!has(s, t)) continue;
        if (!is_packed(s, t)) {
            put_entry(b, t, "", types[i % 3].name, types[i % 3].bytes, &at);
            continue;
        }
        put_entry(b, &codes, "", "U8", 1, &at);
        put_entry(b, &scale, "_scale", "F16", 2, &at);
    }
    put_text(b, "}");
    for (; s->packed && all < at; all++)
        el_bytes_put(b, "\x24", 1);
    for (; all < at; all += 4)
        el_bytes_u32(b, 0x3c003c00 + all); /* as any of the types a small number */
}

static void put_index(el_bytes *b, const struct seed *s)
{
    char entry[128];
    el_bytes_put(b, "{\"weight_map\":{", 15);
    for (int i = 0; i < TENSORS; i++) {
        if (!has(s, &tensors[i])) continue;
        snprintf(entry, sizeof entry, "%s\"%s\":\"a.safetensors\"", i ? "," : "", tensors[i].name);
        el_bytes_put(b, entry, strlen(entry));
    }
    put_text(b, "}}");
}

el_bytes seed_folder(int index, const char **name)
{
    const struct seed *s = &seeds[index];
    el_bytes b = {0};
    *name = s->name;
    el_bytes_put(&b, "\0\0", 2);
    put_text(&b, s->config);
    put_text(&b, s->tokenizer);
    put_text(&b, s->more);
    put_text(&b, s->generation);
    if (s->index)
        put_index(&b, s);
    else
        put_text(&b, "");
    put_weights(&b, s);
    return b;
}
