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

# type: where in a block floats of 16 bits are
TYPES = {"F32": [], "F16": [0], "BF16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0],
         "Q5_1": [0, 2], "Q8_0": [0], "TQ1_0": [52], "TQ2_0": [64], "Q2_K": [80, 82],
         "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
         "IQ4_XS": [0], "MXFP4": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0],
         "IQ3_S": [0], "IQ1_S": [0], "IQ1_M": [], "NVFP4": []}
EDGES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00]  # as f16


def finite_halves(random, n, exponent_mask):
    halves = random.integers(0, 1 << 16, n).astype("<u2")
    halves[halves & exponent_mask == exponent_mask] = 0x3555
    halves[:len(EDGES)] = EDGES
    return halves


def main():
    random = numpy.random.default_rng(20240)
    with open(sys.argv[1], "wb") as out:
        for name, halves in TYPES.items():
            kind = GGMLQuantizationType[name]
            weights, size = GGML_QUANT_SIZES[kind]
            n = 128 if weights == 1 else 16
            blocks = random.integers(0, 256, (n, size)).astype("u1")
            if name == "F32":
                blocks = random.normal(0, 1, n).astype("<f4").view("u1").reshape(n, 4)
            if name == "MXFP4":  # the power of two: from the smallest on, to what is finite
                blocks[:, 0] = numpy.linspace(0, 250, n).astype("u1")
                blocks[1, 0] = 1
            if name == "IQ1_M":  # a scale in four pieces: finite
                blocks[:, 55] &= 0xBF
            for at in halves:
                mask = 0x7F80 if name == "BF16" else 0x7C00
                blocks[:, at:at + 2] = finite_halves(random, n, mask).view("u1").reshape(n, 2)
            floats = dequantize(blocks.reshape(-1), kind) if weights > 1 else dequantize(
                blocks.reshape(-1).view("<f4" if name == "F32" else "<f2" if name == "F16" else
                                        "u1"), kind)
            floats = numpy.asarray(floats, "<f4").reshape(-1)
            assert floats.size == n * weights and numpy.isfinite(floats).all()
            out.write(struct.pack("<II", kind.value, n) + blocks.tobytes() + floats.tobytes())


main()
