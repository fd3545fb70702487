#!/usr/bin/env python3
"""Writes the vocabularies with flags and the vectors that tests/test_added.c reads.

    python3 tools/added_vectors.py tests/data

Expected ids come from Hugging Face `tokenizers` (tools/added.py). All numbers are little-endian. A
string is its length in bytes (u16) and its bytes; a list of ids its length (u16) and its ids (u16
each).
  token_added.bin    u32 vocabularies; for each: its pre-tokenizer's name, u8 space_first, u8 nfc, u32 tokens, u32
                     merges (of pieces 0); for each token u8 type, u8 flags, u32 rank, its string; for
                     each merge u16 left, u16 right; u32 texts; for each its string and two lists of
                     ids, names of special tokens being text and being those tokens

Needs: pip install tokenizers==0.23.3
"""
import struct
import sys

from added import KINDS, SPACE, Added
from conformance_tokens import NORMAL, Vocabulary
from token_vectors import id_list, string

TEXTS = 150


def vocabulary(kind):
    added = Added(kind)
    raw = Vocabulary(added.tokens, added.types, added.merges).raw
    index = {t: i for i, t in enumerate(added.tokens)}
    merges = [] if added.pieces else added.merges
    out = [string(added.pretokenizer), struct.pack("<BBII", added.space_first, added.nfc, len(added.tokens), len(merges))]
    for i, token in enumerate(added.tokens):
        plain = token.replace(SPACE, " ").encode() if added.pieces and added.types[i] == NORMAL else \
            token.encode() if added.pieces else raw(i)
        out.append(struct.pack("<BBI", added.types[i], added.flags[i], int(-added.scores[i])) + string(plain))
    out += [struct.pack("<HH", index[a], index[b]) for a, b in merges]
    texts = added.texts(TEXTS, 7)
    out.append(struct.pack("<I", len(texts)))
    out += [string(t) + id_list(a) + id_list(b)
            for t, a, b in zip(texts, added.expect(texts, False), added.expect(texts, True))]
    return b"".join(out)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: added_vectors.py DIR")
    with open(f"{sys.argv[1]}/token_added.bin", "wb") as file:
        file.write(struct.pack("<I", len(KINDS)) + b"".join(map(vocabulary, KINDS)))


if __name__ == "__main__":
    main()
