"""Models as Hugging Face publishes them, made from GGUF files in plain Python: for tests of the
importer, which must come to the same model both ways.

    model = read(PATH.gguf)
    write(model, FOLDER, dtype="BF16", shards=2)
"""
import json
import math
import pathlib
import struct

SPACE = "\u2581"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
           "gemma2": "Gemma2ForCausalLM", "gemma3": "Gemma3ForCausalLM",
           "smollm3": "SmolLM3ForCausalLM", "phi3": "Phi3ForCausalLM",
           "bitnet-b1.58": "BitNetForCausalLM"}
NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm"}
GEMMA_NAMES = NAMES | {"ffn_norm": "pre_feedforward_layernorm",
                       "post_attention_norm": "post_attention_layernorm",
                       "post_ffw_norm": "post_feedforward_layernorm"}
PHI_NAMES = NAMES | {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
REGEXES = {
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value[0] if len(value) == 1 else value

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.take(SCALARS[kind])
        inner, count = self.take("IQ")
        return [self.value(inner) for _ in range(count)]


def floats_of(data, at, kind, count):
    """The weights of F32, F16, Q4_0, Q4_1 and Q8_0; exact, but for Q4_1's sum."""
    if kind < 2:
        return list(struct.unpack_from(f"<{count}{'fe'[kind]}", data, at))
    out = []
    for _ in range(count // 32):
        (d,) = struct.unpack_from("<e", data, at)
        if kind == 8:
            out += [d * q for q in struct.unpack_from("<32b", data, at + 2)]
            at += 34
            continue
        m = struct.unpack_from("<e", data, at + 2)[0] if kind == 3 else -8 * d
        at += 4 if kind == 3 else 2
        codes = data[at:at + 16]
        out += [d * (q & 15) + m for q in codes] + [d * (q >> 4) + m for q in codes]
        at += 16
    return list(struct.unpack(f"<{count}f", struct.pack(f"<{count}f", *out)))


def read(path):
    """{"values": metadata, "tensors": {name: (shape, floats)}}; a shape is (cols) or (rows, cols)."""
    r = Reader(pathlib.Path(path).read_bytes())
    _, _, n_tensors, n_values = r.take("IIQQ")
    values, table = {}, []
    for _ in range(n_values):
        key = r.text()
        values[key] = r.value(r.take("I"))
    for _ in range(n_tensors):
        name, n = r.text(), r.take("I")
        dims = [r.take("Q") for _ in range(n)]
        table.append((name, tuple(reversed(dims)), *r.take("IQ")))
    start = -(-r.at // 32) * 32
    tensors = {name: (shape, floats_of(r.data, start + offset, kind, math.prod(shape)))
               for name, shape, kind, offset in table}
    return {"values": values, "tensors": tensors}


# ---- config.json ----------------------------------------------------------------------------


def architecture(model):
    return model["values"]["general.architecture"]


def number(model, key, default=None):
    return model["values"].get(f"{architecture(model)}.{key}", default)


def config_of(model):
    heads, dim = number(model, "attention.head_count"), number(model, "embedding_length")
    head = number(model, "attention.key_length", dim // heads)
    config = {
        "architectures": [CLASSES[architecture(model)]], "hidden_size": dim, "head_dim": head,
        "num_hidden_layers": number(model, "block_count"), "num_attention_heads": heads,
        "num_key_value_heads": number(model, "attention.head_count_kv", heads),
        "intermediate_size": number(model, "feed_forward_length"),
        "max_position_embeddings": number(model, "context_length"),
        "rms_norm_eps": number(model, "attention.layer_norm_rms_epsilon"),
        "rope_theta": number(model, "rope.freq_base", 10000.0),
        "vocab_size": len(model["values"]["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in model["tensors"]}
    if "rope_freqs.weight" in model["tensors"]:  # as tools/conformance/tiny.py has it
        config["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    if architecture(model).startswith("gemma"):
        config |= {"sliding_window": number(model, "attention.sliding_window"),
                   "query_pre_attn_scalar": head, "hidden_activation": "gelu_pytorch_tanh"}
        for key in ("attn_logit_softcapping", "final_logit_softcapping"):
            config[key] = number(model, key)
        if factor := number(model, "rope.scaling.factor"):
            config["rope_scaling"] = {"rope_type": "linear", "factor": factor}
    elif window := number(model, "attention.sliding_window"):
        config |= {"architectures": [CLASSES[architecture(model)].replace("Llama", "Mistral")],
                   "sliding_window": window}
    if architecture(model) == "bitnet-b1.58":
        config["hidden_act"] = "relu2"
    if architecture(model) == "phi3":
        config |= phi3_of(model, head)
    return config


def phi3_of(model, head):
    """Phi-3's two lists of factors, and the part of a head that is turned."""
    original = number(model, "rope.scaling.original_context_length")
    rotation = {"type": "longrope"}
    for name in ("short", "long"):
        rotation[f"{name}_factor"] = model["tensors"][f"rope_factors_{name}.weight"][1]
    if gain := number(model, "rope.scaling.attn_factor"):
        rotation["attention_factor"] = gain
    return {"rope_scaling": rotation, "original_max_position_embeddings": original,
            "partial_rotary_factor": number(model, "rope.dimension_count", head) / head}


# ---- tokenizer.json -------------------------------------------------------------------------


def merges_of(vocab, scores):
    """One for each way of splitting a piece in two, those of the best piece first."""
    merges = [(scores[text], text[:i], text[i:]) for text in scores for i in range(1, len(text))
              if text[:i] in vocab and text[i:] in vocab]
    merges.sort(key=lambda m: (m[0], len(m[1]), len(m[2])), reverse=True)
    return [list(m[1:]) for m in merges]


def pieces_of(values):
    tokens, types = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    vocab = {text: i for i, text in enumerate(tokens)}
    scores = {text: score for text, kind, score
              in zip(tokens, types, values["tokenizer.ggml.scores"]) if kind == 1}
    steps = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    if values.get("tokenizer.ggml.add_space_prefix", True):
        steps.insert(0, {"type": "Prepend", "prepend": SPACE})
    return {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None,
            "model": {"type": "BPE", "byte_fallback": True, "vocab": vocab,
                      "merges": merges_of(vocab, scores)}}


def bytes_of(values):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    steps, name = [byte_level], values["tokenizer.ggml.pre"]
    if name == "smollm":
        steps.insert(0, {"type": "Digits", "individual_digits": True})
    elif name in REGEXES:
        byte_level["use_regex"] = False
        steps.insert(0, {"type": "Split", "pattern": {"Regex": REGEXES[name]},
                         "behavior": "Isolated", "invert": False})
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
            "model": {"type": "BPE", "ignore_merges": name == "llama3",
                      "vocab": {t: i for i, t in enumerate(values["tokenizer.ggml.tokens"])},
                      "merges": values["tokenizer.ggml.merges"]}}


def tokenizer_of(model):
    values = model["values"]
    made = pieces_of(values) if values["tokenizer.ggml.model"] == "llama" else bytes_of(values)
    made["added_tokens"] = [
        {"id": i, "content": text, "special": kind == 3} for i, (text, kind)
        in enumerate(zip(values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]))
        if kind in (3, 4)]
    return made


def tokenizer_config_of(model):
    values, config = model["values"], {}
    for ours, name in (("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")):
        i = values.get(f"tokenizer.ggml.{ours}_token_id")
        if i is not None:
            config[f"{name}_token"] = {"content": values["tokenizer.ggml.tokens"][i]}
    config["add_bos_token"] = values.get("tokenizer.ggml.add_bos_token", False)
    if template := values.get("tokenizer.chat_template"):
        config["chat_template"] = template
    config["model_max_length"] = 1000000000000000019884624838656  # as transformers writes it
    return config


# ---- tensors --------------------------------------------------------------------------------


def halves(floats, rows, head):
    """The rows of a GGUF file of Llama, whose pairs stand side by side, with halves apart."""
    cols = len(floats) // rows
    out = []
    for i in range(rows):
        at, k = i // head * head, i % head
        source = at + (2 * k if k < head // 2 else 2 * (k - head // 2) + 1)
        out += floats[source * cols:(source + 1) * cols]
    return out


def state_of(model):
    """{their name: (shape, floats)}"""
    gemma = architecture(model).startswith("gemma")
    names = GEMMA_NAMES if gemma else PHI_NAMES if architecture(model) == "phi3" else NAMES
    head = config_of(model)["head_dim"]
    state = {}
    for name, (shape, floats) in model["tensors"].items():
        if gemma and "norm" in name:
            floats = [x - 1 for x in floats]
        if name.startswith("blk."):
            _, layer, part, ending = name.split(".")
            if architecture(model) in ("llama", "smollm3") and part in ("attn_q", "attn_k"):
                floats = halves(floats, shape[0], head)
            state[f"model.layers.{layer}.{names[part]}.{ending}"] = shape, floats
        elif not name.startswith("rope_"):
            theirs = {"token_embd": "model.embed_tokens", "output_norm": "model.norm",
                      "output": "lm_head"}[name.split(".")[0]]
            state[theirs + ".weight"] = shape, floats
    return state


# ---- matrices of three levels --------------------------------------------------------------


def packed(shape, levels):
    """Four rows in one, of levels -1, 0 and 1, as transformers has them."""
    rows, cols = shape
    height = -(-rows // 4)
    out = bytearray(height * cols)
    for i, level in enumerate(levels):
        row, col = divmod(i, cols)
        out[row % height * cols + col] |= (int(level) + 1) << 2 * (row // height)
    return (height, cols), bytes(out)


def coded(state, kind, except_for=()):
    """The state with its projections, of -s, 0 and s, as codes with a scale that is
    "multiplied" or "divided" by; or "unpacked": floats with a scale."""
    made = {}
    for name, (shape, floats) in state.items():
        if not name.endswith("_proj.weight") or any(part in name for part in except_for):
            made[name] = shape, floats
            continue
        scale = max(map(abs, floats))
        levels = [(x > 0) - (x < 0) for x in floats]
        made[name] = (shape, levels) if kind == "unpacked" else packed(shape, levels)
        made[name + "_scale"] = (1,), [1 / scale if kind == "divided" else scale]
    return made


def pack(floats, dtype):
    if dtype == "U8":
        return floats
    if dtype == "BF16":  # cut off, which rounds too
        wide = struct.pack(f"<{len(floats)}f", *floats)
        return b"".join(wide[i + 2:i + 4] for i in range(0, len(wide), 4))
    return struct.pack(f"<{len(floats)}{'e' if dtype == 'F16' else 'f'}", *floats)


def unpack(data, dtype):
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    form = "e" if dtype == "F16" else "f"
    return list(struct.unpack(f"<{len(data) // struct.calcsize(form)}{form}", data))


def rounded(model, dtype):
    """The model whose weights this type holds."""
    tensors = {name: (shape, floats if len(shape) == 1 else unpack(pack(floats, dtype), dtype))
               for name, (shape, floats) in model["tensors"].items()}
    return model | {"tensors": tensors}


def safetensors(state, dtype="F32"):
    """The bytes of a file; matrices in `dtype`, vectors in F32."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, floats) in state.items():
        kind = "U8" if isinstance(floats, bytes) else dtype if len(shape) == 2 else "F32"
        packed = pack(floats, kind)
        header[name] = {"dtype": kind, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    return with_header(json.dumps(header), data)


def with_header(text, data):
    text = text.encode()
    return struct.pack("<Q", len(text)) + text + data


def write_shards(state, folder, dtype, shards):
    names, places = list(state), {}
    for k in range(shards):
        shard = f"model-{k + 1:05}-of-{shards:05}.safetensors"
        mine = {n: state[n] for n in names[k::shards]}
        (folder / shard).write_bytes(safetensors(mine, dtype))
        places |= dict.fromkeys(mine, shard)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places}))


def write(model, folder, dtype="F32", shards=0, config=None, state=None):
    """shards: 0 for one file without an index; config: what is other in config.json; state: tensors
    instead of the model's."""
    state = state or state_of(model)
    folder.mkdir(parents=True)
    for name, made in (("config.json", config_of(model) | (config or {})),
                       ("tokenizer.json", tokenizer_of(model)),
                       ("tokenizer_config.json", tokenizer_config_of(model))):
        (folder / name).write_text(json.dumps(made))
    if shards:
        write_shards(state, folder, dtype, shards)
    else:
        (folder / "model.safetensors").write_bytes(safetensors(state, dtype))
