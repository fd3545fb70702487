#!/usr/bin/env python3
"""Makes tests/data/ggml_blocks.bin: random blocks of each ggml type that EdgeLLM reads, and what
the `gguf` package (PyPI) makes of them. Needs gguf and numpy; run by hand when a type is added:

    python3 tests/data/ggml_blocks.py tests/data/ggml_blocks.bin

For each type: u32 id, u32 number of blocks, the blocks, the weights as float32; little-endian.
"""
import struct
import sys

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# type: how many floats of 16 bits a block begins with, or ends with if it is one of AT_END
TYPES = {"F32": 0, "F16": 1, "BF16": 1, "Q4_0": 1, "Q4_1": 2, "Q5_0": 1, "Q5_1": 2, "Q8_0": 1,
         "TQ1_0": 1, "TQ2_0": 1}
AT_END = {"TQ1_0", "TQ2_0"}
EDGES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00]  # as f16


def finite_halves(random, n, exponent_mask):
    halves = random.integers(0, 1 << 16, n).astype("<u2")
    halves[halves & exponent_mask == exponent_mask] = 0x3555
    halves[:len(EDGES)] = EDGES
    return halves


def main():
    random = numpy.random.default_rng(20240)
    with open(sys.argv[1], "wb") as out:
        for name, n_halves in TYPES.items():
            kind = GGMLQuantizationType[name]
            weights, size = GGML_QUANT_SIZES[kind]
            n = 128 if weights == 1 else 16
            blocks = random.integers(0, 256, (n, size)).astype("u1")
            if name == "F32":
                blocks = random.normal(0, 1, n).astype("<f4").view("u1").reshape(n, 4)
            for i in range(n_halves):
                mask = 0x7F80 if name == "BF16" else 0x7C00
                at = 2 * i if name not in AT_END else size - 2
                blocks[:, at:at + 2] = finite_halves(random, n, mask).view("u1").reshape(n, 2)
            floats = dequantize(blocks.reshape(-1), kind) if weights > 1 else dequantize(
                blocks.reshape(-1).view("<f4" if name == "F32" else "<f2" if name == "F16" else
                                        "u1"), kind)
            floats = numpy.asarray(floats, "<f4").reshape(-1)
            assert floats.size == n * weights and numpy.isfinite(floats).all()
            out.write(struct.pack("<II", kind.value, n) + blocks.tobytes() + floats.tobytes())


main()
