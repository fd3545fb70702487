#!/usr/bin/env python3
"""Compares added tokens with flags with Hugging Face `tokenizers` on 20,000 texts for each vocabulary of
tools/added.py, and the characters of words, and NFC, on every code point.

    python3 tools/conformance_added.py --tool BUILD/tests/tokenize_lines --work DIR

Exit code 1 and the first differences if anything differs. Needs: pip install tokenizers gguf
"""
import argparse
import os
import sys
import unicodedata

import gguf

from added import KINDS, Added
from conformance_tokens import PLAIN, SPECIAL
from conformance_pieces import tokenize

KEY = "edgellm.token_flags"


def write_gguf(added, path):
    out = gguf.GGUFWriter(path, "llama")
    out.add_tokenizer_model("llama" if added.pieces else "gpt2")
    if not added.pieces:
        out.add_tokenizer_pre(added.pretokenizer)
        out.add_token_merges([" ".join(pair) for pair in added.merges])
    out.add_token_list(added.tokens)
    out.add_token_scores(added.scores)
    out.add_token_types(added.types)
    out.add_uint32("edgellm.space_first", added.space_first)
    out.add_bool("edgellm.nfc", added.nfc)
    out.add_key_value(KEY, added.flags, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT8)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()


def judge(kind, options, added, texts):
    path, wrong = os.path.join(options.work, "added.gguf"), 0
    write_gguf(added, path)
    for flags in (PLAIN, SPECIAL):
        found, expected = tokenize(options.tool, path, texts, flags), added.expect(texts, flags == SPECIAL)
        differ = [i for i in range(len(texts)) if i >= len(found) or found[i] != expected[i]]
        for i in differ[:3]:
            print(f"  {texts[i]!r}\n    EdgeLLM    {found[i] if i < len(found) else None}\n    tokenizers {expected[i]}")
        wrong += len(differ)
    print(f"{'FAIL' if wrong else 'ok  '} {kind}: {len(texts)} texts, twice, {wrong} differ", flush=True)
    return not wrong


def borders():
    """Every code point before, and behind, a token that is none inside a word."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    lines = [[f"{c}abba.abba{c}." for c in points[i:i + 64]] for i in range(0, len(points), 64)]
    return ["\n".join(line) for line in lines]


def forms():
    """Every code point alone, before and behind marks, and taken apart."""
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            c = chr(code)
            yield f"{c}.a{c}\u0301 \u0323{c}\u0334.{unicodedata.normalize('NFD', c)}x{unicodedata.normalize('NFC', c)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True)
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    parser.add_argument("--count", type=int, default=20000)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    passed = []
    for kind in KINDS:
        added = Added(kind)
        passed.append(judge(kind, options, added, added.texts(options.count, 3)))
    kind, points = "bytes, NFC", list(forms())
    passed.append(judge(f"{kind}, code points", options, Added(kind),
                        ["\n".join(points[i:i + 64]) for i in range(0, len(points), 64)]))
    kind = "bytes, words"
    passed.append(judge(f"{kind}, code points", options, Added(kind), borders()))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
