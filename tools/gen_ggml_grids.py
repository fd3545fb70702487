#!/usr/bin/env python3
"""Writes src/format/ggml_grids.h: which vectors of few values the IQ types of ggml know.

    pip install gguf
    python3 tools/gen_ggml_grids.py > src/format/ggml_grids.h

A code of these types is a place in a list of vectors: of 8 digits with three values each, or of 4
with eight. The lists are facts of the format, found once by its author's search. Each is in
ascending order, where a vector is read as a number with its first digit as the lowest; so a bit for
every number there can be says all of it, and the n-th vector is the n-th bit that is set.
"""
import numpy
from gguf import quants

GRIDS = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ3_XXS", "IQ3_S")
WORD = 64
HEAD = """/*
 * ggml_grids.h: made by tools/gen_ggml_grids.py; for ggml_iq.c alone. Bit b of word w says whether
 * the vector that is the number 64 w + b belongs to the list: digits of base 3 (8 of them) or 8
 * (4), the first the lowest.
 */
#ifndef EL_FORMAT_GGML_GRIDS_H
#define EL_FORMAT_GGML_GRIDS_H

#include <stdint.h>
"""


def numbers_of(name):
    """The list of a type, each vector as a number, and how many numbers there can be."""
    kind = getattr(quants, name)
    kind.init_grid()
    count, digits = kind.grid_shape
    base = len(kind.grid_map)
    values = numpy.array(kind.grid_map, numpy.float32)
    places = numpy.searchsorted(values, kind.grid.reshape(count, digits))
    numbers = (places * base ** numpy.arange(digits)).sum(axis=1)
    assert (numpy.diff(numbers) > 0).all()
    return [int(n) for n in numbers], base ** digits


def print_set(name, numbers, range_):
    words = [0] * ((range_ + WORD - 1) // WORD)
    for number in numbers:
        words[number // WORD] |= 1 << number % WORD
    print(f"\nenum {{ {name}_VECTORS = {len(numbers)} }};")
    print(f"static const uint64_t {name.lower()}_set[{len(words)}] = {{")
    for i in range(0, len(words), 4):
        print("    " + ", ".join(f"0x{w:016x}" for w in words[i:i + 4]) + ",")
    print("};")


def main():
    print(HEAD, end="")
    for name in GRIDS:
        print_set(name, *numbers_of(name))
    print("\n#endif")


main()
