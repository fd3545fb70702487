"""Judges `edgellm perplexity` by transformers and by llama.cpp on the same text.

    python perplexity.py --build BUILD --work DIR --gguf MODEL.gguf --text FILE [--chunks 40]

The first chunks of 512 tokens, no first special token; positions 256 .. 510 of each predict the
tokens 257 .. 511. Slow references are kept in DIR under a hash of model and text. llama.cpp's
figure is computed with llama-cpp-python if that is installed, or given by LLAMA_PPL.
"""
import argparse
import importlib.util
import math
import os
import sys

import numpy as np
import torch

import measures
import reference
from programs import Programs

CHUNK = 512
SCORED = slice(CHUNK // 2, CHUNK - 1)
FOUR_BITS = ["--bits", "4", "--group", "32", "--offset", "--embedding-bits", "8"]


def negative_log_likelihood(logits, ids):
    """Sum over the scored positions of one chunk; logits (CHUNK, vocab)."""
    rows = measures.log_softmax(logits[SCORED])
    return -rows[np.arange(len(rows)), ids[CHUNK // 2 + 1:]].sum()


def perplexity(logits_of, ids, chunks, label):
    total = 0.0
    for c in range(chunks):
        chunk = ids[c * CHUNK:(c + 1) * CHUNK]
        total += negative_log_likelihood(logits_of(chunk), chunk)
        scored = (c + 1) * (CHUNK // 2 - 1)
        print(f"\r{label}: chunk {c + 1}/{chunks}, {math.exp(total / scored):.4f} ", end="",
              file=sys.stderr, flush=True)
    print("", file=sys.stderr)
    return math.exp(total / scored)


def by_transformers(gguf, ids, chunks):
    model = reference.load(gguf)
    return perplexity(lambda chunk: reference.logits(model, chunk), ids, chunks, "transformers")


def by_llama_cpp(gguf, ids, chunks):
    import llama_cpp
    threads = max(1, os.cpu_count() // 2)  # its threads spin: one too many is slower than one
    model = llama_cpp.Llama(gguf, n_ctx=CHUNK, n_batch=CHUNK, n_ubatch=CHUNK, logits_all=True,
                            n_threads=threads, n_threads_batch=threads,
                            verbose=False)

    def logits_of(chunk):
        model.reset()
        model.eval(chunk)
        return np.array(model.scores[:CHUNK])
    return perplexity(logits_of, ids, chunks, "llama.cpp")


class Judge:
    """Prints a line per comparison and counts what failed."""

    def __init__(self):
        self.failed = 0

    def within(self, what, value, base, percent, lower_too=True):
        off = 100 * (value / base - 1)
        passed = abs(off) <= percent if lower_too else off <= percent
        self.failed += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what:52s} {value:9.4f} / {base:9.4f}  "
              f"{off:+.3f} % (limit {percent} %)", flush=True)


def llama_figure(options, ids, keep):
    if "LLAMA_PPL" in os.environ:
        return float(os.environ["LLAMA_PPL"]), "llama.cpp (LLAMA_PPL)"
    if importlib.util.find_spec("llama_cpp") is None:
        return None, None
    return keep("llama-cpp", lambda: by_llama_cpp(options.gguf, ids, options.chunks)), "llama.cpp"


def judge(options):
    programs, verdict = Programs(options.build), Judge()
    cache = reference.Cache(options.work)
    key = f"{reference.file_hash(options.gguf, options.text)}-{options.chunks}"

    def keep(name, compute):
        return cache.get(f"ppl-{name}-{key}", compute)

    def ours(tm2, *extra):
        result = programs.perplexity(tm2, options.text, options.chunks, *extra)
        if result["chunks"] != options.chunks:
            raise ValueError(f"only {result['chunks']} chunks")
        return result["ppl"]

    ids = reference.encode_file(options.gguf, options.text)
    lossless = programs.quantize(options.gguf, os.path.join(options.work, "lossless.tm2.bin"))
    four = programs.quantize(options.gguf, os.path.join(options.work, "four.tm2.bin"), *FOUR_BITS)
    exact = ours(lossless, "--exact")
    transformers = keep("transformers",
                        lambda: by_transformers(options.gguf, ids, options.chunks))
    verdict.within("lossless, exact / transformers", exact, transformers, 0.1)
    llama, label = llama_figure(options, ids, keep)
    if llama:
        verdict.within(f"lossless, exact / {label}", exact, llama, 1.5)
    else:
        print("skip llama.cpp: not installed, LLAMA_PPL not given")
    verdict.within("lossless, int8 / exact", ours(lossless), exact, 1.5)
    verdict.within("4 bits, group 32, offset, int8 / lossless, exact", ours(four), exact, 8, False)
    return verdict.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--chunks", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    failed = judge(options)
    print(f"perplexity: {failed} failed" if failed else "perplexity: all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
