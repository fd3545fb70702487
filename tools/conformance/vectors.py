"""The vectors of tests/test_conformance.c: a tiny model and transformers' logits for it.

    python vectors.py DATA           compares DATA/conformance_* with what transformers says now
    python vectors.py DATA --write   makes them again

conformance_tiny.gguf is the model "committed" of tiny.py. conformance_logits.bin holds, little-
endian: uint32 tokens, uint32 vocab, uint32 ids (tokens), float32 logits (tokens, vocab) in
float32, float32 logits (tokens, vocab) under the int8 contract (contract.py).
"""
import os
import sys

import numpy as np

import contract
import measures
import reference
import tiny

NAME, TOKENS = "committed", 24


def compute(source):
    ids = tiny.ids_for(NAME, TOKENS)
    model = reference.load(source)
    exact = reference.logits(model, ids)
    return ids, exact, reference.logits(contract.apply(model), ids)


def write(source, target):
    tiny.make(NAME, source)
    ids, exact, contracted = compute(source)
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


def main():
    folder = sys.argv[1]
    source = os.path.join(folder, "conformance_tiny.gguf")
    target = os.path.join(folder, "conformance_logits.bin")
    if "--write" in sys.argv[2:]:
        write(source, target)
    ids, exact, contracted = read(target)
    expected_ids, *expected = compute(source)
    worst = max(measures.kl(e, s).max() for e, s in zip(expected, (exact, contracted)))
    passed = ids == expected_ids and worst < 1e-9
    print(f"{'ok  ' if passed else 'FAIL'} committed vectors: KL from transformers {worst:.1e}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
