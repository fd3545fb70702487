"""Small random models in GGUF files, made with transformers from a seed.

Each row of MODELS varies what can go wrong: grouped heads, heads that are no multiple of 32
wide, a head of its own or a tied one, an odd vocabulary, the block types that TM2 takes over as
they are (Q4_0, Q4_1, Q8_0), and F32 / F16 tensors with odd widths, which TM2 rounds to 8 bits; and
the architectures beside Llama's: Qwen2's biases, those of keys as large as in the real models, which
is what breaks coarse caches, Qwen3's norms of heads, the stretched positions of Llama 3, and what
Gemma 2 and 3 have of their own: windows shorter than the text, caps low enough to be felt, heads wider
than the embedding, and a vocabulary of pieces with scores; BitNet's norms and squared ReLU, weights of
three levels in F16 (with a scale for each matrix, or for each shard of its rows), TQ1_0 and TQ2_0.
"""
import copy
import json
import math
import os

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from reference import ARCHITECTURES, gemma_options, pairs_from_halves, trained_length

Q4_0, Q4_1, Q8_0, TQ1_0, TQ2_0 = (gguf.GGMLQuantizationType[n] for n in
                                  ("Q4_0", "Q4_1", "Q8_0", "TQ1_0", "TQ2_0"))
F16, F32 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32

TEXT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "text", "plain.txt")

CONTEXT = 256


def long_rope(original, pairs):
    """LongRoPE for models of `original` positions: factors for each pair that is turned."""
    steps = np.linspace(0, 1, pairs)
    return {"rope_type": "longrope", "original_max_position_embeddings": original,
            "short_factor": (1 + 0.25 * steps).round(3).tolist(),
            "long_factor": (1.125 + 6 * steps ** 2).round(3).tolist()}


# name -> shape, and the types of (embedding, attention, feed-forward, head)
MODELS = {
    "committed": dict(seed=1, vocab=301, dim=96, ffn=160, layers=2, heads=3, kv=1, head_dim=32,
                      tied=True, types=(Q8_0, Q4_1, Q4_0, None)),
    "q8": dict(seed=2, vocab=315, dim=128, ffn=352, layers=3, heads=8, kv=2, head_dim=16,
               tied=True, types=(Q8_0, Q8_0, Q8_0, None)),
    "q4_0": dict(seed=3, vocab=307, dim=64, ffn=96, layers=4, heads=4, kv=4, head_dim=48,
                 tied=False, types=(Q4_0, Q4_0, Q4_0, Q4_0)),
    "q4_1": dict(seed=4, vocab=299, dim=160, ffn=224, layers=2, heads=5, kv=1, head_dim=64,
                 tied=False, types=(Q8_0, Q4_1, Q4_1, Q8_0)),
    "float": dict(seed=5, vocab=333, dim=54, ffn=75, layers=2, heads=6, kv=3, head_dim=10,
                  tied=False, types=(F16, F32, F16, F32)),
    "qwen2": dict(seed=6, vocab=291, dim=32, ffn=64, layers=2, heads=4, kv=2, head_dim=16,
                  tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="qwen2"),
    "qwen3": dict(seed=7, vocab=291, dim=32, ffn=64, layers=2, heads=4, kv=2, head_dim=32,
                  tied=False, types=(Q8_0, Q8_0, Q4_0, Q8_0), architecture="qwen3"),
    "llama3": dict(seed=8, vocab=291, dim=32, ffn=64, layers=2, heads=4, kv=1, head_dim=16,
                   tied=True, types=(Q8_0, Q8_0, Q4_0, None),
                   rope={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64}),
    "gemma2": dict(seed=9, vocab=291, dim=32, ffn=64, layers=3, heads=4, kv=2, head_dim=16,
                   tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="gemma2",
                   gemma=dict(window=20, base=10000.0, caps=(3.0, 6.0))),
    "gemma3": dict(seed=10, vocab=291, dim=32, ffn=64, layers=7, heads=2, kv=1, head_dim=32,
                   tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="gemma3",
                   gemma=dict(window=24, base=1000000.0, factor=4.0)),
    # as Phi-3-mini: long factors from 64 tokens on, and a window
    "phi3": dict(seed=11, vocab=291, dim=64, ffn=96, layers=2, heads=4, kv=4, head_dim=16,
                 tied=False, types=(Q8_0, Q4_0, Q8_0, Q8_0), architecture="phi3", window=40,
                 rope=long_rope(64, 8)),
    # as Phi-4-mini: grouped heads of which a part is turned, the short factors in these texts
    "phi4": dict(seed=12, vocab=291, dim=64, ffn=64, layers=2, heads=4, kv=2, head_dim=16,
                 tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="phi3",
                 rope=long_rope(192, 6) | {"partial_rotary_factor": 0.75}),
    "smollm3": dict(seed=13, vocab=291, dim=32, ffn=64, layers=5, heads=4, kv=1, head_dim=16,
                    tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="smollm3"),
    # with pieces as TinyLlama and Mistral have them
    "mistral": dict(seed=14, vocab=291, dim=32, ffn=64, layers=2, heads=4, kv=2, head_dim=16,
                    tied=False, types=(Q8_0, Q8_0, Q4_0, Q8_0), pieces=True, window=24),
    "yarn": dict(seed=15, vocab=291, dim=32, ffn=64, layers=2, heads=2, kv=1, head_dim=32,
                 tied=True, types=(Q8_0, Q8_0, Q4_0, None), architecture="qwen2",
                 rope={"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0,
                       "original_max_position_embeddings": 64}),
    "linear": dict(seed=16, vocab=291, dim=32, ffn=64, layers=2, heads=4, kv=1, head_dim=16,
                   tied=True, types=(Q8_0, Q8_0, Q4_0, None),
                   rope={"rope_type": "linear", "factor": 2.5}),
    "bitnet-b1.58": dict(seed=11, vocab=291, dim=32, ffn=64, layers=2, heads=2, kv=1, head_dim=16,
                         tied=True, types=(Q8_0, F16, F16, None), architecture="bitnet-b1.58",
                         shards=1),
    "bitnet": dict(seed=12, vocab=291, dim=256, ffn=256, layers=1, heads=4, kv=1, head_dim=64,
                   tied=True, types=(Q4_0, TQ1_0, TQ2_0, None), architecture="bitnet", shards=1),
    "trilm": dict(seed=13, vocab=291, dim=64, ffn=96, layers=2, heads=4, kv=2, head_dim=16,
                  tied=False, types=(Q8_0, F16, F16, Q8_0), shards=2),
}
# those that only folders are made of (folders.py): latent, weights that are yet to be rounded
FOLDERS = {
    "bitnet latent": MODELS["bitnet-b1.58"] | {"seed": 31, "shards": 0},
    "bitnet silu": MODELS["bitnet"] | {"seed": 32, "dim": 64, "ffn": 96, "layers": 2, "head_dim": 16,
                                       "shards": 0},
    "falcon-e": MODELS["trilm"] | {"seed": 33, "shards": 1},
    "qwen2 levels": MODELS["qwen2"] | {"seed": 34, "tied": False, "shards": 1},
}
LOSSLESS = [name for name in MODELS if name != "float"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def architecture_of(m):
    """Its name in GGUF files."""
    return m.get("architecture", "llama")


def three_levels(weight, shards):
    """-s, 0 or s, s a short number and one for each shard of the rows."""
    def level(part):
        scale = torch.round(part.abs().mean() * 4096) / 4096
        return scale * torch.round(part / part.abs().mean()).clamp(-1, 1)
    return torch.cat([level(part) for part in weight.chunk(shards)])


def class_of(m):
    windowed = architecture_of(m) == "llama" and "window" in m
    return ARCHITECTURES["mistral" if windowed else architecture_of(m)]


def make_model(m):
    torch.manual_seed(m["seed"])
    architecture = class_of(m)
    if "gemma" in m:
        special = gemma_options(architecture_of(m), m["layers"], m["head_dim"], **m["gemma"])
    else:
        special = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}
                                      | copy.deepcopy(m.get("rope", {}))}
        special |= trained_length(architecture_of(m), m.get("rope", {}))
        if "window" in m:
            special["sliding_window"] = m["window"]
    if architecture_of(m) != "phi3":
        special["head_dim"] = m["head_dim"]
    config = architecture.config(
        vocab_size=m["vocab"], hidden_size=m["dim"], intermediate_size=m["ffn"],
        num_hidden_layers=m["layers"], num_attention_heads=m["heads"],
        num_key_value_heads=m["kv"], max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5, tie_word_embeddings=m["tied"], initializer_range=0.08,
        **special, **architecture.options)
    model = architecture.model(config).to(torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name and "gemma" in m:  # short numbers: exact with 1 added, as in GGUF
                weight.copy_(torch.round(0.2 * torch.randn(weight.shape) * 1024) / 1024)
            elif "norm" in name:
                weight.copy_(1 + 0.2 * torch.randn(weight.shape))
            elif "embed" in name and "gemma" in m:  # which are multiplied by sqrt(dim)
                weight.copy_(0.16 * torch.randn(weight.shape))
            elif "embed" in name or "lm_head" in name:
                weight.mul_(2)  # logits with a spread like a real model's
            elif m.get("shards") and weight.ndim == 2:
                weight.copy_(three_levels(weight, m["shards"]))
            elif name.endswith("k_proj.bias"):
                weight.copy_(20 * torch.randn(weight.shape))
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape))
    return model


def make_vocabulary(size):
    """A byte-level BPE vocabulary of exactly `size` tokens, learnt from our own text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    made.train([TEXT], trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    table = json.loads(made.to_str())["model"]
    tokens = sorted(table["vocab"], key=table["vocab"].get)
    if len(tokens) != size:
        raise ValueError(f"{len(tokens)} tokens, wanted {size}")
    merges = [m if isinstance(m, str) else " ".join(m) for m in table["merges"]]
    return tokens, merges


PIECES = ["\u2581", *"etaoinshrdlu,.", "\u2581t", "he", "in", "er", "an", "\u2581the", "\u2581a", "on",
          "re", "\u2581s", "st", "en", "or", "\u2581o", "\u2581in", "\u2581w", "\u2581b"]


def add_pieces(out, size, spaced=False):
    """A vocabulary as SentencePiece's: special tokens, bytes, and pieces, the best first."""
    special = ["<pad>", "<eos>", "<bos>"]
    tokens = special + [f"<0x{i:02X}>" for i in range(256)] + PIECES
    if len(tokens) != size:
        raise ValueError(f"{len(tokens)} tokens, wanted {size}")
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(PIECES))])
    out.add_token_types([3] * len(special) + [6] * 256 + [1] * len(PIECES))
    out.add_bos_token_id(2)
    out.add_eos_token_id(1)
    out.add_add_bos_token(True)
    out.add_add_space_prefix(spaced)


def add_merges(out, size):
    tokens, merges = make_vocabulary(size)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(tokens)
    out.add_token_types([3] * len(SPECIAL) + [1] * (size - len(SPECIAL)))
    out.add_token_merges(merges)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_add_bos_token(False)


def add_gemma(out, window, base, caps=(None, None), factor=1.0):
    """The numbers of Gemma's own; what other programs leave out too is left out."""
    out.add_sliding_window(window)
    out.add_rope_freq_base(base)
    if factor != 1.0:
        out.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        out.add_rope_scaling_factor(factor)
    if caps[0] is not None:
        out.add_attn_logit_softcapping(caps[0])
        out.add_final_logit_softcapping(caps[1])


def add_rope(out, rope):
    """As llama.cpp's converter does: Phi-3's has no type."""
    kind = rope["rope_type"]
    if kind in ("linear", "yarn"):
        out.add_rope_scaling_type(gguf.RopeScalingType(kind))
        out.add_rope_scaling_factor(rope["factor"])
    if kind in ("yarn", "longrope"):
        out.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if "beta_fast" in rope:
        out.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
    if kind == "longrope":
        stretch = CONTEXT / rope["original_max_position_embeddings"]
        longest = math.log(rope["original_max_position_embeddings"])
        out.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(stretch) / longest))
        for length in ("long", "short"):
            add(out, f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"]), F32)


def write_metadata(out, m, name):
    out.add_name(f"tiny random {name}")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(m["dim"])
    out.add_block_count(m["layers"])
    out.add_feed_forward_length(m["ffn"])
    out.add_head_count(m["heads"])
    out.add_head_count_kv(m["kv"])
    out.add_key_length(m["head_dim"])
    out.add_value_length(m["head_dim"])
    out.add_rope_dimension_count(int(m["head_dim"] * m.get("rope", {}).get("partial_rotary_factor", 1)))
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(m["vocab"])
    if "gemma" in m:
        add_gemma(out, **m["gemma"])
        add_pieces(out, m["vocab"])
    else:
        out.add_rope_freq_base(10000.0)
        if "window" in m:
            out.add_sliding_window(m["window"])
        if "pieces" in m:
            add_pieces(out, m["vocab"], spaced=True)
        else:
            add_merges(out, m["vocab"])


def add(out, name, weight, kind):
    if kind == F32:
        out.add_tensor(name, weight.astype(np.float32))
    elif kind == F16:
        out.add_tensor(name, weight.astype(np.float16))
    else:
        out.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)


def rope_factors(model):
    """By which the wave lengths of positions are longer than those of the plain kind."""
    inverse = model.model.rotary_emb.inv_freq.double()
    plain = 10000.0 ** -(torch.arange(len(inverse), dtype=torch.float64) / len(inverse))
    return (plain / inverse).clamp(min=1.0).numpy()


def write_tensors(out, m, state):
    architecture = class_of(m)
    embedding, attention, feed_forward, head = m["types"]
    add(out, "token_embd.weight", state["model.embed_tokens.weight"], embedding)
    one = 1 if architecture.pattern else 0  # GGUF's norms have it added
    add(out, "output_norm.weight", state["model.norm.weight"] + one, F32)
    if not m["tied"]:
        add(out, "output.weight", state["lm_head.weight"], head)
    for layer in range(m["layers"]):
        for ours, theirs in architecture.names.items():
            weight = state[f"model.layers.{layer}.{theirs}"]
            if architecture.pairs and ours == "attn_q.weight":
                weight = pairs_from_halves(weight, m["heads"])
            elif architecture.pairs and ours == "attn_k.weight":
                weight = pairs_from_halves(weight, m["kv"])
            elif "norm" in ours:
                weight = weight + one
            kind = F32 if weight.ndim == 1 else feed_forward if "ffn" in ours else attention
            add(out, f"blk.{layer}.{ours}", np.ascontiguousarray(weight), kind)


def make(name, path):
    """Writes the model `name` of MODELS to a GGUF file."""
    m = MODELS[name]
    model = make_model(m)
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    out = gguf.GGUFWriter(path, architecture_of(m))
    write_metadata(out, m, name)
    if m.get("rope", {}).get("rope_type") == "llama3":
        add(out, "rope_freqs.weight", rope_factors(model), F32)
    elif "rope" in m:
        add_rope(out, m["rope"])
    write_tensors(out, m, state)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def ids_for(name, count):
    """Fixed token ids from every part of the vocabulary."""
    m = MODELS[name]
    return [int(i) for i in np.random.RandomState(m["seed"]).randint(0, m["vocab"], count)]
