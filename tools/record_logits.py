#!/usr/bin/env python3
"""Records real logits for tests/test_sampler_model.py: writes tests/data/sampler_logits.bin.

    python3 tools/record_logits.py EDGELLM DUMP_LOGITS MODEL.tm2.bin OUT

Three places in texts that repeat themselves: one where the model is sure, one where it is not, and
one in between. The file, little-endian: u32 records, u32 vocab; for each record u32 tokens and for
each token u32 id, u8 length, its bytes; then the logits after the last token, of each the upper 16
bits of the float32.
"""
import array
import pathlib
import struct
import subprocess
import sys
import tempfile

TEXTS = [
    "The cat sat on the mat: the dog sat on the mat.\nThe cat sat on the mat: the dog sat on the",
    "Once upon a time, in a land far, far away, in a land far",
    "Name one colour. Red. Name one colour. Green. Name one animal, name one colour, name one",
]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def record(edgellm, dump, model, text, folder):
    ids = [int(word) for word in output(edgellm, "tokenize", model, "--ids", text).split()]
    (folder / "ids").write_text(" ".join(map(str, ids)))
    output(dump, model, folder / "ids", folder / "logits", "--exact")
    logits = array.array("I", (folder / "logits").read_bytes())
    vocab = len(logits) // len(ids)
    out = struct.pack("<I", len(ids))
    for token in ids:
        piece = output(edgellm, "tokenize", model, "--decode", str(token))
        out += struct.pack("<IB", token, len(piece)) + piece
    return vocab, out + array.array("H", (bits >> 16 for bits in logits[-vocab:])).tobytes()


def main():
    edgellm, dump, model, target = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        records = [record(edgellm, dump, model, text, pathlib.Path(folder)) for text in TEXTS]
    head = struct.pack("<II", len(records), records[0][0])
    pathlib.Path(target).write_bytes(head + b"".join(data for _, data in records))


main()
