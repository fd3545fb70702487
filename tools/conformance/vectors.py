"""The vectors of tests/test_conformance.c: tiny models and transformers' logits for them.

    python vectors.py DATA           compares DATA/conformance_* with what transformers says now
    python vectors.py DATA --write   makes them again

conformance_NAME.gguf is a model of tiny.py. conformance_NAME.bin holds, little-endian: uint32 tokens, uint32 vocab, uint32 ids (tokens), float32 logits (tokens, vocab) in
float32, float32 logits (tokens, vocab) under the int8 contract (contract.py).
"""
import os
import sys

import numpy as np

import contract
import measures
import reference
import tiny

VECTORS = {"tiny": ("committed", 64), "qwen2": ("qwen2", 64), "qwen3": ("qwen3", 64),
           "llama3": ("llama3", 64), "gemma2": ("gemma2", 64), "gemma3": ("gemma3", 96),
           "mistral": ("mistral", 64), "phi3": ("phi3", 80), "phi4": ("phi4", 64),
           "smollm3": ("smollm3", 64), "yarn": ("yarn", 80), "bitnet": ("bitnet", 64),
           "bitnet-b1.58": ("bitnet-b1.58", 64)}  # the model of tiny.py, and tokens


def compute(name, source):
    ids = tiny.ids_for(*VECTORS[name])
    model = reference.load(source)
    exact = reference.logits(model, ids)
    return ids, exact, reference.logits(contract.apply(model), ids)


def write(name, source, target):
    tiny.make(VECTORS[name][0], source)
    ids, exact, contracted = compute(name, source)
    with open(target, "wb") as out:
        np.array([len(ids), exact.shape[1], *ids], "<u4").tofile(out)
        exact.astype("<f4").tofile(out)
        contracted.astype("<f4").tofile(out)


def read(path):
    with open(path, "rb") as stored:
        count, vocab = (int(n) for n in np.fromfile(stored, "<u4", 2))
        ids = [int(i) for i in np.fromfile(stored, "<u4", count)]
        exact, contracted = np.fromfile(stored, "<f4").reshape(2, count, vocab)
    return ids, exact, contracted


def judge(name, folder, make):
    """Do they agree with transformers?"""
    source = os.path.join(folder, f"conformance_{name}.gguf")
    target = os.path.join(folder, f"conformance_{name}.bin")
    if make:
        write(name, source, target)
    ids, exact, contracted = read(target)
    expected_ids, *expected = compute(name, source)
    worst = max(measures.kl(e, s).max() for e, s in zip(expected, (exact, contracted)))
    passed = ids == expected_ids and worst < 1e-9
    print(f"{'ok  ' if passed else 'FAIL'} committed vectors, {name}: "
          f"KL from transformers {worst:.1e}")
    return passed


def main():
    passed = [judge(name, sys.argv[1], "--write" in sys.argv[2:]) for name in VECTORS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
