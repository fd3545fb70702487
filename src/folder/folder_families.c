/*
 * folder_families.c: see folder_families.h. To add a class: a row in `families`; if its layers have
 * tensors under other names, rows in el_folder_parts and a bit of el_folder_set; a model in
 * tools/conformance/folders.py.
 */
#include "folder/folder_families.h"

#include <stdio.h>
#include <string.h>

#define LLAMA (EL_SET_LAYER | EL_SET_APART | EL_SET_TWO_NORMS)
#define PHI   (EL_SET_LAYER | EL_SET_FUSED | EL_SET_TWO_NORMS)
#define GEMMA (EL_SET_LAYER | EL_SET_APART | EL_SET_FOUR_NORMS)
#define TANH  "gelu_pytorch_tanh"

static const el_folder_family families[] = {
    {"LlamaForCausalLM", "llama", LLAMA, .halves = true, .activation = "silu"},
    {"MistralForCausalLM", "llama", LLAMA, .halves = true, .activation = "silu",
     .more = el_folder_more_mistral},
    {"Qwen2ForCausalLM", "qwen2", LLAMA | EL_SET_BIASES, .activation = "silu"},
    {"Qwen3ForCausalLM", "qwen3", LLAMA | EL_SET_HEAD_NORMS, .activation = "silu"},
    {"Gemma2ForCausalLM", "gemma2", GEMMA, .tied = true, .one_more = true, .activation = TANH,
     .more = el_folder_more_gemma2},
    {"Gemma3ForCausalLM", "gemma3", GEMMA | EL_SET_HEAD_NORMS, .tied = true, .one_more = true,
     .activation = TANH, .more = el_folder_more_gemma3},
    {"SmolLM3ForCausalLM", "smollm3", LLAMA, .halves = true, .tied = true, .rope_base = 2000000,
     .activation = "silu", .more = el_folder_more_smollm3},
    {"Phi3ForCausalLM", "phi3", PHI, .partial = true, .eps = 1e-5, .activation = "silu",
     .more = el_folder_more_phi3},
    {"BitNetForCausalLM", "bitnet-b1.58", LLAMA | EL_SET_SUB_NORMS, .eps = 1e-5,
     .rope_base = 500000, .activation = "relu2"},
    {"BitnetForCausalLM", "bitnet", LLAMA | EL_SET_INNER_NORMS, .rounds = true,
     .activation = "silu", .more = el_folder_more_bitnet},
};

const el_folder_part el_folder_parts[] = {
    {"self_attn.qkv_proj.weight", "attn_qkv.weight", EL_SIDE_FUSED, EL_SIDE_DIM, EL_SET_FUSED,
     EL_PART_PLAIN},
    {"mlp.gate_up_proj.weight", "ffn_up.weight", EL_SIDE_TWO_FFN, EL_SIDE_DIM, EL_SET_FUSED,
     EL_PART_PLAIN},
    {"self_attn.q_proj.weight", "attn_q.weight", EL_SIDE_QUERIES, EL_SIDE_DIM, EL_SET_APART,
     EL_PART_PAIRS},
    {"self_attn.k_proj.weight", "attn_k.weight", EL_SIDE_KEYS, EL_SIDE_DIM, EL_SET_APART,
     EL_PART_PAIRS},
    {"self_attn.v_proj.weight", "attn_v.weight", EL_SIDE_KEYS, EL_SIDE_DIM, EL_SET_APART,
     EL_PART_PLAIN},
    {"self_attn.q_proj.bias", "attn_q.bias", EL_SIDE_ONE, EL_SIDE_QUERIES, EL_SET_BIASES,
     EL_PART_PLAIN},
    {"self_attn.k_proj.bias", "attn_k.bias", EL_SIDE_ONE, EL_SIDE_KEYS, EL_SET_BIASES,
     EL_PART_PLAIN},
    {"self_attn.v_proj.bias", "attn_v.bias", EL_SIDE_ONE, EL_SIDE_KEYS, EL_SET_BIASES,
     EL_PART_PLAIN},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", EL_SIDE_ONE, EL_SIDE_HEAD, EL_SET_HEAD_NORMS,
     EL_PART_NORM},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", EL_SIDE_ONE, EL_SIDE_HEAD, EL_SET_HEAD_NORMS,
     EL_PART_NORM},
    {"self_attn.o_proj.weight", "attn_output.weight", EL_SIDE_DIM, EL_SIDE_QUERIES, EL_SET_LAYER,
     EL_PART_PLAIN},
    {"input_layernorm.weight", "attn_norm.weight", EL_SIDE_ONE, EL_SIDE_DIM, EL_SET_LAYER,
     EL_PART_NORM},
    {"post_attention_layernorm.weight", "ffn_norm.weight", EL_SIDE_ONE, EL_SIDE_DIM,
     EL_SET_TWO_NORMS, EL_PART_NORM},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", EL_SIDE_ONE, EL_SIDE_DIM,
     EL_SET_FOUR_NORMS, EL_PART_NORM},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", EL_SIDE_ONE, EL_SIDE_DIM,
     EL_SET_FOUR_NORMS, EL_PART_NORM},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", EL_SIDE_ONE, EL_SIDE_DIM,
     EL_SET_FOUR_NORMS, EL_PART_NORM},
    {"mlp.gate_proj.weight", "ffn_gate.weight", EL_SIDE_FFN, EL_SIDE_DIM, EL_SET_APART,
     EL_PART_PLAIN},
    {"mlp.up_proj.weight", "ffn_up.weight", EL_SIDE_FFN, EL_SIDE_DIM, EL_SET_APART, EL_PART_PLAIN},
    {"mlp.down_proj.weight", "ffn_down.weight", EL_SIDE_DIM, EL_SIDE_FFN, EL_SET_LAYER,
     EL_PART_PLAIN},
    {"self_attn.attn_sub_norm.weight", "attn_sub_norm.weight", EL_SIDE_ONE, EL_SIDE_QUERIES,
     EL_SET_SUB_NORMS, EL_PART_NORM},
    {"mlp.ffn_sub_norm.weight", "ffn_sub_norm.weight", EL_SIDE_ONE, EL_SIDE_FFN, EL_SET_SUB_NORMS,
     EL_PART_NORM},
    {"self_attn.inner_attn_ln.weight", "attn_sub_norm.weight", EL_SIDE_ONE, EL_SIDE_QUERIES,
     EL_SET_INNER_NORMS, EL_PART_NORM},
    {"mlp.ffn_layernorm.weight", "ffn_sub_norm.weight", EL_SIDE_ONE, EL_SIDE_FFN,
     EL_SET_INNER_NORMS, EL_PART_NORM},
};

const unsigned el_folder_n_parts = sizeof el_folder_parts / sizeof el_folder_parts[0];

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const el_folder_family *el_folder_family_of(const char *name)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(families[i].name, name) == 0) return &families[i];
    return NULL;
}

void el_folder_family_names(char *list, unsigned size)
{
    unsigned used = 0;
    list[0] = '\0';
    for (int i = 0; i < N_FAMILIES && used < size; i++) {
        int n = snprintf(list + used, size - used, "%s%s", i ? ", " : "", families[i].name);
        used += n > 0 ? (unsigned)n : 0;
    }
}
