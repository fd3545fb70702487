"""The outside judge: a GGUF file's own weights, dequantised, in transformers' class of its
architecture."""
import hashlib
import json
import os
import sys

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig,
                          LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import tm2  # noqa: E402  (the independent reader of TM2 files)

NAMES = {  # GGUF's names of a layer's tensors -> transformers'
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight", "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight", "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight", "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


GEMMA_NAMES = {
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
    "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
}
FUSED = {  # Phi-3's projections that lie in one tensor, and what they are made of in a TM2 file
    "attn_qkv.weight": ("self_attn.qkv_proj.weight",
                        ("attn_q.weight", "attn_k.weight", "attn_v.weight")),
    "ffn_up.weight": ("mlp.gate_up_proj.weight", ("ffn_gate.weight", "ffn_up.weight")),
}
PHI_NAMES = {ours: theirs for ours, theirs in NAMES.items()
             if not any(ours in parts for _, parts in FUSED.values())}
PHI_NAMES |= {ours: theirs for ours, (theirs, _) in FUSED.items()}
HEAD_NORMS = {f"attn_{x}_norm.weight": f"self_attn.{x}_norm.weight" for x in "qk"}


class Architecture:
    """What transformers calls an architecture of GGUF, and how its files differ from Llama's."""

    def __init__(self, config, model, more=None, pairs=False, pattern=0, names=None, **options):
        self.config, self.model, self.options = config, model, options
        self.names = (names or NAMES) | (more or {})
        self.pairs = pairs      # rotary pairs side by side in the file
        self.pattern = pattern  # Gemma: of so many layers the last attends to all positions

    def norm(self, weight):
        """A norm's weight as transformers has it: Gemma's adds 1, GGUF's does not."""
        return weight - 1 if self.pattern else weight


ARCHITECTURES = {
    "llama": Architecture(LlamaConfig, LlamaForCausalLM, pairs=True,
                          attention_bias=False, mlp_bias=False),
    # Llama with a window, as GGUF has it:
    "mistral": Architecture(MistralConfig, MistralForCausalLM, pairs=True),
    "smollm3": Architecture(SmolLM3Config, SmolLM3ForCausalLM, pairs=True, pad_token_id=None,
                            attention_bias=False, mlp_bias=False),
    "phi3": Architecture(Phi3Config, Phi3ForCausalLM, names=PHI_NAMES, pad_token_id=None),
    "qwen2": Architecture(Qwen2Config, Qwen2ForCausalLM, {
        f"attn_{x}.bias": f"self_attn.{x}_proj.bias" for x in "qkv"}),
    "qwen3": Architecture(Qwen3Config, Qwen3ForCausalLM, HEAD_NORMS, attention_bias=False),
    "gemma2": Architecture(Gemma2Config, Gemma2ForCausalLM, GEMMA_NAMES, pattern=2),
    "gemma3": Architecture(Gemma3TextConfig, Gemma3ForCausalLM, GEMMA_NAMES | HEAD_NORMS,
                           pattern=6),
}


def file_hash(*paths):
    """A short name for the contents of files: the key under which results are kept."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as data:
            while block := data.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


class Source:
    """A GGUF file, read with the gguf package."""

    def __init__(self, path):
        self.path = path
        self.reader = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in self.reader.tensors}
        self.name = self.get("general.architecture")
        windowed = self.name == "llama" and self.number("attention.sliding_window")
        self.architecture = ARCHITECTURES["mistral" if windowed else self.name]

    def get(self, key, default=None):
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def number(self, key, default=None):
        return self.get(f"{self.name}.{key}", default)

    def weights(self, name):
        """Float32 weights as (rows, cols) or (cols,)."""
        tensor = self.tensors[name]
        return np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


class Rounded(Source):
    """The weights of a TM2 file made from a GGUF file; the rest as in the GGUF file."""

    def __init__(self, path, tm2_path):
        super().__init__(path)
        self.file = tm2.TM2File(tm2_path)

    def weights(self, name):
        layer, part = name.rsplit(".", 2)[0], ".".join(name.rsplit(".", 2)[1:])
        theirs, parts = FUSED.get(part, (None, ()))
        if self.architecture.names.get(part) != theirs or not parts:
            return self.part(name)
        return np.concatenate([self.part(f"{layer}.{p}") for p in parts])

    def part(self, name):
        is_table = name in ("token_embd.weight", "output.weight")
        weight = self.file.table(name) if is_table else self.file.dequantize(name)
        if name in self.tensors and len(self.tensors[name].shape) == 1:
            weight = weight[0]
        if self.architecture.pairs:
            return weight
        part = name.split(".", 2)[-1]  # TM2 has pairs whatever the GGUF file has
        heads = {"attn_q.weight": "head_count", "attn_q.bias": "head_count",
                 "attn_k.weight": "head_count_kv", "attn_k.bias": "head_count_kv"}
        if part in heads:
            return halves_from_pairs(weight, self.number(f"attention.{heads[part]}"),
                                     self.number("rope.dimension_count"))
        is_norm = part in ("attn_q_norm.weight", "attn_k_norm.weight")
        return halves_from_pairs(weight, 1) if is_norm else weight


def gemma_options(name, layers, head_dim, window, base, caps=(None, None), local_base=10000.0,
                  factor=1.0):
    """What Gemma's configurations have in other words, or have more; caps of scores and logits."""
    pattern = ARCHITECTURES[name].pattern
    everywhere = {"rope_type": "default", "rope_theta": base}
    if name == "gemma3":
        if factor != 1.0:
            everywhere |= {"rope_type": "linear", "factor": factor}
        everywhere = {"full_attention": everywhere,
                      "sliding_attention": {"rope_type": "default", "rope_theta": local_base}}
    return dict(
        hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=head_dim,
        sliding_window=window, rope_parameters=everywhere, attn_logit_softcapping=caps[0],
        final_logit_softcapping=caps[1],
        layer_types=["full_attention" if (i + 1) % pattern == 0 else "sliding_attention"
                     for i in range(layers)])


def rope_parameters(source, head_dim):
    """How positions are turned and stretched. The gain of sines and cosines is left to transformers:
    GGUF files say it again."""
    turned = {"rope_type": source.number("rope.scaling.type", "default"),
              "rope_theta": source.number("rope.freq_base", 10000.0),
              "partial_rotary_factor": source.number("rope.dimension_count", head_dim) / head_dim}
    for ours, theirs in (("rope.scaling.factor", "factor"),
                         ("rope.scaling.yarn_beta_fast", "beta_fast"),
                         ("rope.scaling.yarn_beta_slow", "beta_slow")):
        if source.number(ours) is not None:
            turned[theirs] = source.number(ours)
    if "rope_factors_long.weight" in source.tensors:
        turned |= {"rope_type": "longrope"} | {
            f"{kind}_factor": source.weights(f"rope_factors_{kind}.weight").tolist()
            for kind in ("long", "short")}
    if turned["rope_type"] in ("yarn", "longrope"):
        turned["original_max_position_embeddings"] = source.number(
            "rope.scaling.original_context_length")
    return turned


def trained_length(name, rope):
    """Phi-3's configuration has it once more, with a default that would count."""
    original = rope.get("original_max_position_embeddings")
    return {"original_max_position_embeddings": original} if name == "phi3" and original else {}


def special_options(source, head_dim):
    """Options of the configuration that not all architectures have."""
    if not source.architecture.pattern:
        window = source.number("attention.sliding_window")
        rope = rope_parameters(source, head_dim)
        return {"hidden_act": "silu", "rope_parameters": rope} | trained_length(
            source.name, rope) | ({"sliding_window": window} if window else {})
    gemma2 = source.name == "gemma2"
    return gemma_options(
        source.name, source.number("block_count"), head_dim,
        source.number("attention.sliding_window"),
        source.number("rope.freq_base", 10000.0 if gemma2 else 1000000.0),
        (source.number("attn_logit_softcapping", 50.0 if gemma2 else None),
         source.number("final_logit_softcapping", 30.0 if gemma2 else None)),
        source.number("rope.freq_base_swa", 10000.0), source.number("rope.scaling.factor", 1.0))


def config_of(source):
    heads = source.number("attention.head_count")
    dim = source.number("embedding_length")
    head_dim = source.number("attention.key_length", dim // heads)
    return source.architecture.config(
        vocab_size=len(source.get("tokenizer.ggml.tokens")),
        hidden_size=dim,
        intermediate_size=source.number("feed_forward_length"),
        num_hidden_layers=source.number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=source.number("attention.head_count_kv", heads),
        **({} if source.name == "phi3" else {"head_dim": head_dim}),
        max_position_embeddings=source.number("context_length"),
        rms_norm_eps=source.number("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in source.tensors,
        **special_options(source, head_dim), **source.architecture.options)


def halves_from_pairs(weight, heads, rotary=None):
    """GGUF keeps rotary pairs side by side, transformers keeps the two halves of a head apart:
    row 2i + j of a head becomes row j * half + i; of `rotary` rows of each, or all."""
    rows = weight.shape[0]
    if rotary and rotary < rows // heads:
        each = weight.reshape(heads, rows // heads, -1)
        turned = np.ascontiguousarray(each[:, :rotary]).reshape(heads * rotary, -1)
        turned = halves_from_pairs(turned, heads).reshape(heads, rotary, -1)
        return np.concatenate([turned, each[:, rotary:]], 1).reshape(weight.shape)
    return weight.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def pairs_from_halves(weight, heads):
    """The inverse of halves_from_pairs: what a converter to GGUF does."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def state_of(source, config):
    """All weights under transformers' names."""
    state = {"model.embed_tokens.weight": source.weights("token_embd.weight"),
             "model.norm.weight": source.architecture.norm(source.weights("output_norm.weight"))}
    if not config.tie_word_embeddings:
        state["lm_head.weight"] = source.weights("output.weight")
    for layer in range(config.num_hidden_layers):
        for ours, theirs in source.architecture.names.items():
            weight = source.weights(f"blk.{layer}.{ours}")
            if source.architecture.pairs and ours == "attn_q.weight":
                weight = halves_from_pairs(weight, config.num_attention_heads)
            elif source.architecture.pairs and ours == "attn_k.weight":
                weight = halves_from_pairs(weight, config.num_key_value_heads)
            elif "norm" in ours:
                weight = source.architecture.norm(weight)
            state[f"model.layers.{layer}.{theirs}"] = weight
    return state


def load(path, tm2_path=None):
    """transformers' model, float32, with every weight of the file and no other; those of the
    TM2 file if one is given."""
    source = Rounded(path, tm2_path) if tm2_path else Source(path)
    config = config_of(source)
    model = source.architecture.model(config).to(torch.float32).eval()
    state = {k: torch.from_numpy(v.copy()) for k, v in state_of(source, config).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    allowed = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - allowed or unexpected:
        raise ValueError(f"{path}: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    if "rope_freqs.weight" in source.tensors:
        factors = torch.from_numpy(source.weights("rope_freqs.weight").copy())
        model.model.rotary_emb.inv_freq /= factors
    return model


@torch.no_grad()
def logits(model, ids):
    """Float32 (tokens, vocab): the logits after each token, all tokens in one pass."""
    return model(torch.tensor([list(ids)]), use_cache=False).logits[0].float().numpy()


PRETOKENIZERS = {
    "smollm": [pre_tokenizers.Digits(individual_digits=True),
               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
    "gpt2": [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)],
}


def tokenizer(path):
    """Hugging Face's tokenizer with the file's own vocabulary and merges."""
    source = Source(path)
    tokens = source.get("tokenizer.ggml.tokens")
    types = source.get("tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ")) for m in source.get("tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(PRETOKENIZERS[source.get("tokenizer.ggml.pre")])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(t, special=True)
                             for t, kind in zip(tokens, types) if kind == 3])
    return made


def encode_file(path, text_path):
    """Token ids of a text file as edgellm reads it: bytes as they are, no special tokens' names."""
    with open(text_path, encoding="utf-8", newline="") as text:
        return tokenizer(path).encode(text.read(), add_special_tokens=False).ids


class Cache:
    """Results that take minutes, kept in a folder outside the sources."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def get(self, key, compute):
        path = os.path.join(self.folder, key + ".json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stored:
                return json.load(stored)
        value = compute()
        with open(path + ".tmp", "w", encoding="utf-8") as out:
            json.dump(value, out)
        os.replace(path + ".tmp", path)
        return value
