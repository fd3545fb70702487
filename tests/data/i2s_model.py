#!/usr/bin/env python3
"""Makes tests/data/i2s_model.gguf: a BitNet of one layer whose matrices are of type I2_S, in the
layout 'avx', and which has learnt one sentence by heart, that of src/offline/layouts.c. Needs torch,
transformers and gguf (tools/conformance/venv.sh); run by hand:

    python3 tests/data/i2s_model.py tests/data/i2s_model.gguf

The matrices are random and stay so; what learns are the embedding and the norms. So the sentence is
likely only as long as every weight stands where it stood.
"""
import os
import re
import sys

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tools", "conformance"))
import reference  # noqa: E402
import tiny  # noqa: E402

MODEL = dict(seed=21, vocab=291, dim=128, ffn=128, layers=1, heads=2, kv=2, head_dim=64, tied=True,
             architecture="bitnet-b1.58", shards=1)
I2_S, SCALE, STEPS = 36, 0.0625, 120


def sentence():
    with open(os.path.join(ROOT, "src", "offline", "layouts.c"), encoding="utf-8") as source:
        quoted = re.search(r"sentence\[\] =\s*((?:\"[^\"]*\"\s*)+);", source.read()).group(1)
    return "".join(re.findall(r'"([^"]*)"', quoted))


def ids_of(text):
    tokens, merges = tiny.make_vocabulary(MODEL["vocab"])
    made = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                                merges=[tuple(m.split(" ")) for m in merges]))
    made.pre_tokenizer = pre_tokenizers.Sequence(reference.PRETOKENIZERS["smollm"])
    return made.encode(text, add_special_tokens=False).ids


def learn(model, ids):
    """Embedding and norms, until the sentence is known."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.requires_grad_("proj" not in name)
            if "proj" in name:
                weight.copy_(SCALE * torch.randint(-1, 2, weight.shape))
    batch = torch.tensor([ids])
    optimizer = torch.optim.Adam([w for w in model.parameters() if w.requires_grad], lr=0.01)
    for _ in range(STEPS):
        loss = model(batch, labels=batch, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def pack(weight):
    """I2_S in the layout 'avx': of 128 weights, weight i + 32 k is code k of byte i, the first code
    in the highest bits; then the scale in 32 bytes."""
    codes = (np.sign(weight).astype(np.int8) + 1).astype(np.uint8).reshape(-1, 4, 32)
    packed = (codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]).reshape(-1)
    tail = np.zeros(8, "<f4")
    tail[0] = SCALE
    return np.concatenate([packed, tail.view(np.uint8)])


def add_i2s(out, name, weight):
    data = pack(weight)
    out.add_tensor_info(name, weight.shape, np.dtype(np.float32), data.nbytes, raw_dtype=I2_S)
    out.tensors[-1][name].tensor = data


def main():
    model = tiny.make_model(MODEL)
    ids = ids_of(sentence())
    print(len(ids), "tokens,", learn(model, ids), "nats each")
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    out = gguf.GGUFWriter(sys.argv[1], MODEL["architecture"])
    tiny.write_metadata(out, MODEL, "parrot")
    tiny.add(out, "token_embd.weight", state["model.embed_tokens.weight"], tiny.Q8_0)
    tiny.add(out, "output_norm.weight", state["model.norm.weight"], tiny.F32)
    for ours, theirs in reference.ARCHITECTURES[MODEL["architecture"]].names.items():
        weight = state[f"model.layers.0.{theirs}"]
        if weight.ndim == 1:
            tiny.add(out, f"blk.0.{ours}", weight, tiny.F32)
        else:
            add_i2s(out, f"blk.0.{ours}", weight)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main()
