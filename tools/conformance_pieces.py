#!/usr/bin/env python3
"""Compares EdgeLLM's tokenizer with sentencepiece on 20,000 texts and every code point.

    python3 tools/conformance_pieces.py --tool BUILD/tests/tokenize_lines --work DIR [FILE...]

The vocabularies are trained by sentencepiece here (tools/pieces.py), with and without a space
before a text, with bytes or an unknown token for what is no piece; they reach EdgeLLM in GGUF files
as other programs write them. The lines of FILEs are texts too. Exit code 1 and the first
differences if anything differs.

Needs: pip install sentencepiece gguf
"""
import argparse
import os
import struct
import subprocess
import sys

import gguf

import token_texts
from pieces import CONTROLS, USERS, Pieces

KINDS = [(4000, False, True), (3000, True, True), (3000, True, False),
         (3000, False, True, "unigram"), (3000, True, True, "unigram"), (3000, True, False, "unigram")]


def write_gguf(pieces, path):
    out = gguf.GGUFWriter(path, "llama")
    out.add_tokenizer_model("llama" if pieces.kind == "bpe" else "t5")
    out.add_token_list(pieces.names)
    out.add_token_scores(pieces.scores)
    out.add_token_types(pieces.types)
    out.add_bos_token_id(pieces.made.bos_id())
    out.add_eos_token_id(pieces.made.eos_id())
    out.add_unk_token_id(pieces.made.unk_id())
    out.add_add_space_prefix(pieces.prefix)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()


def tokenize(tool, path, texts, flags=0):
    data = b"".join(struct.pack("<I", len(t)) + t for t in (text.encode() for text in texts))
    lines = subprocess.run([tool, path, "-", str(flags)], input=data, stdout=subprocess.PIPE,
                           check=True).stdout.decode().split("\n")[:-1]
    return [[int(i) for i in line.split()] for line in lines]


def code_points():
    for c in range(1, 0x110000):
        if not 0xD800 <= c < 0xE000:
            yield chr(c)
            yield f"a{chr(c)} {chr(c)}b"


def judge(kind, options, texts):
    pieces = Pieces(*kind)
    path = os.path.join(options.work, "pieces.gguf")
    write_gguf(pieces, path)
    found = tokenize(options.tool, path, texts)
    if len(found) != len(texts):
        sys.exit(f"{options.tool}: {len(found)} answers for {len(texts)} texts")
    wrong = [(text, ids, expected) for text, ids, expected
             in zip(texts, found, pieces.made.encode(texts)) if ids != expected]
    for text, ids, expected in wrong[:5]:
        print(f"  {text!r}\n    EdgeLLM       {ids}\n    sentencepiece {expected}")
    print(f"{'FAIL' if wrong else 'ok  '} {kind[0]} pieces, {pieces.kind}, space first: {kind[1]}, "
          f"bytes: {kind[2]}: {len(texts)} texts, {len(wrong)} differ", flush=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--tool", required=True)
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    parser.add_argument("--count", type=int, default=20000)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    texts = token_texts.texts(options.count, 3, USERS + CONTROLS) + list(code_points())
    for name in options.files:
        with open(name, encoding="utf-8", newline="") as file:
            texts += file.read().split("\n")
    return 0 if all([judge(kind, options, texts) for kind in KINDS]) else 1


if __name__ == "__main__":
    sys.exit(main())
