"""The vectors of tests/test_serve_embeddings.py: transformers' embeddings of some texts by the tiny models
of tests/data.

    python embeddings.py DATA           compares DATA/embeddings.json with what transformers says now
    python embeddings.py DATA --write   makes it again

An embedding is the state of the last token behind the output norm, divided by its Euclidean length, in
float32 mode.
"""
import json
import os
import sys

import numpy as np
import torch

import reference

MODELS = ("tiny", "qwen2", "qwen3", "llama3")
TEXTS = ("the fox", "A quick brown fox jumps over the lazy dog.", "\u00fcber 12 Br\u00fccken <|im_end|>\n")


@torch.no_grad()
def embedding(model, ids):
    state = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1].double().numpy()
    return state / np.linalg.norm(state)


def compute(folder, name):
    source = os.path.join(folder, f"conformance_{name}.gguf")
    model, tokenizer = reference.load(source), reference.tokenizer(source)
    # What is embedded is text: names of special tokens are none.
    tokenizer.encode_special_tokens = True
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        rows.append({"text": text, "tokens": len(ids),
                     "embedding": [float(f"{x:.9g}") for x in embedding(model, ids)]})
    return rows


def main():
    path = os.path.join(sys.argv[1], "embeddings.json")
    now = {name: compute(sys.argv[1], name) for name in MODELS}
    if "--write" in sys.argv[2:]:
        with open(path, "w", encoding="ascii") as out:
            json.dump(now, out, indent=None, separators=(",", ":"))
            out.write("\n")
    with open(path, encoding="ascii") as stored:
        right = json.load(stored)
    worst = max(np.abs(np.subtract(a["embedding"], b["embedding"])).max()
                for name in MODELS for a, b in zip(now[name], right[name]))
    passed = worst < 1e-5
    print(f"{'ok  ' if passed else 'FAIL'} committed embeddings: {worst:.1e} from transformers")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
