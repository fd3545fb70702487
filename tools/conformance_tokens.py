#!/usr/bin/env python3
"""Compares EdgeLLM's tokenizer with Hugging Face `tokenizers` on 20,000 texts and every code point.

    python3 tools/conformance_tokens.py MODEL.gguf --tool BUILD/tests/tokenize_lines [FILE...]

Both are built from the vocabulary and merges in MODEL.gguf, once for each pre-tokenizer. The lines
of FILEs are texts too. Exit code 1 and the first differences if anything differs.

Needs: pip install tokenizers gguf
"""
import argparse
import os
import random
import struct
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

import token_texts

PLAIN, SPECIAL, KEEP = 0, 1, 2
NORMAL, UNKNOWN, CONTROL, USER = 1, 2, 3, 4  # types of tokens, as in GGUF

FAMILY = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%s"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%s|\p{N}%s"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), byte_level(False)])


# As in the tokenizer.json that each family publishes, without Qwen2's NFC normaliser (conformance_added.py).
PRETOKENIZERS = {
    "smollm": lambda: pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
    "gpt2": lambda: byte_level(True),
    "llama3": lambda: split(FAMILY % "{1,3}"),
    "qwen2": lambda: split(FAMILY % ""),
    "tekken": lambda: split(CASED % ("", "", "")),
    "gpt-4o": lambda: split(CASED % (CONTRACTION, CONTRACTION, "{1,3}")),
}
IGNORE_MERGES = {"llama3", "tekken"}


def printable():
    """GPT-2's mapping of bytes to printable characters."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    return {**{b: chr(b) for b in kept}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


BYTE_TO_CHAR = printable()
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}


class Vocabulary:
    """Tokens as they stand in a GGUF file (printable form), their types, and merges as pairs."""

    def __init__(self, tokens, types, merges):
        self.tokens, self.types, self.merges = tokens, types, merges

    def raw(self, token):
        if self.types[token] in (CONTROL, USER, UNKNOWN):
            return self.tokens[token].encode()
        return bytes(CHAR_TO_BYTE[c] for c in self.tokens[token])

    def names(self):
        return [t for t, kind in zip(self.tokens, self.types) if kind in (CONTROL, USER)]

    def reference(self, pretokenizer):
        ids = {}
        for i, token in enumerate(self.tokens):
            ids.setdefault(token, i)
        model = models.BPE(ids, self.merges, ignore_merges=pretokenizer in IGNORE_MERGES)
        reference = Tokenizer(model)
        reference.pre_tokenizer = PRETOKENIZERS[pretokenizer]()
        reference.decoder = decoders.ByteLevel()
        for token, kind in zip(self.tokens, self.types):
            if kind in (CONTROL, USER, UNKNOWN):
                reference.add_tokens([AddedToken(token, special=kind != USER, normalized=False)])
        return reference

    def expect(self, pretokenizer, texts, flags):
        reference = self.reference(pretokenizer)
        reference.encode_special_tokens = not flags & SPECIAL
        return [e.ids for e in reference.encode_batch(texts, add_special_tokens=False)]


def read_gguf(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    get = lambda key: fields["tokenizer.ggml." + key].contents()
    merges = [tuple(m.split(" ")) for m in get("merges")]
    return Vocabulary(get("tokens"), get("token_type"), merges)


# ---- comparison -------------------------------------------------------------------------------


def ours(args, pretokenizer, flags, texts):
    data = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    command = [args.tool, args.model, pretokenizer, str(flags)]
    out = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
    return [[int(i) for i in line.split()] for line in out.decode().split("\n")[:-1]]


def compare(args, vocabulary, pretokenizer, flags, texts, what):
    wanted = vocabulary.expect(pretokenizer, texts, flags)
    got = ours(args, pretokenizer, flags, [t.encode() for t in texts])
    wrong = [i for i in range(len(texts)) if i >= len(got) or got[i] != wanted[i]]
    kind = "special" if flags & SPECIAL else "plain"
    print(f"{pretokenizer:7} {kind:7} {what}: {len(texts)} texts, {len(wrong)} differ", flush=True)
    for i in wrong[:3]:
        print(f"  {texts[i]!r}\n    wanted {wanted[i]}\n    got    {got[i] if i < len(got) else None}")
    return len(wrong)


def round_trips(args, vocabulary, pretokenizer):
    """Random bytes, NUL and broken UTF-8 included, come back from their tokens."""
    r = random.Random(9)
    texts = [r.randbytes(r.randint(0, 60)) for _ in range(1000)]
    texts += [bytes(r.choice(b"\0a \xe2\x82\xac\xf0\x9f\x98\x80\xc0\xed\xa0\x80\x04'1\n")
                    for _ in range(r.randint(1, 40))) for _ in range(1000)]
    n = len(vocabulary.tokens)
    got = ours(args, pretokenizer, KEEP, texts)
    back = [b"".join(vocabulary.raw(i) if i < n else bytes([i - n]) for i in ids) for ids in got]
    wrong = [t for t, b in zip(texts, back) if t != b]
    print(f"{pretokenizer:7} keep    bytes and back: {len(texts)} texts, {len(wrong)} differ")
    for t in wrong[:3]:
        print(f"  {t!r}")
    return len(wrong)


def every_code_point():
    """Each code point between characters of other classes, some to a text."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    frame = [f"a{c}b1{c}2 {c}{c}'{c}. {c}A{c}BC{c}dE{c}" for c in points]
    return ["\n".join(frame[i:i + 64]) for i in range(0, len(frame), 64)]


def conformance(args):
    vocabulary = read_gguf(args.model)
    texts = token_texts.texts(20000, 3, vocabulary.names())
    lines = []
    for path in args.files:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            lines += file.read().splitlines(keepends=True)
    wrong = 0
    for pretokenizer in PRETOKENIZERS:
        for flags in (SPECIAL, PLAIN):
            wrong += compare(args, vocabulary, pretokenizer, flags, texts, "made texts")
        if lines:
            wrong += compare(args, vocabulary, pretokenizer, SPECIAL, lines, "lines of files")
        wrong += compare(args, vocabulary, pretokenizer, PLAIN, every_code_point(), "code points")
        wrong += round_trips(args, vocabulary, pretokenizer)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--tool", default="build/tests/tokenize_lines")
    args = parser.parse_intermixed_args()
    if not os.access(args.tool, os.X_OK):
        parser.error(f"{args.tool}: not built (cmake --build build --target tokenize_lines)")
    return conformance(args)


if __name__ == "__main__":
    sys.exit(main())
