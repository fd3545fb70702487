#!/usr/bin/env python3
"""Writes src/token/unicode_table.h: the character classes that the pre-tokenizers ask for.

    pip install unicodedata2==16.0.0
    python3 tools/gen_unicode.py > src/token/unicode_table.h

Classes come from Unicode 16.0: letters (categories L*), numbers (N*) and white space (Z*, the
controls U+0009 to U+000D, and U+0085). Beside them: of letters upper case (Lu, Lt) and lower case
(Ll), and marks (M), which are no letters, for the expressions that ask for case. This is what \\p{L}, \\p{N} and \\s mean to the regular
expression engine inside Hugging Face tokenizers 0.23, found by asking it about every code point;
tools/conformance_tokens.py asks again. Its digit splitter asks the Rust library instead, which
follows Unicode 17.0: the numbers that are new there are listed apart.
"""
import sys

import unicodedata2

VERSION = "16.0.0"
LATER_NUMBERS = ((0x11DE0, 0x11DE9), (0x16FF4, 0x16FF6))  # numbers since Unicode 17.0
BLOCK = 256  # code points whose classes lie together
OTHER, LETTER, NUMBER, SPACE = range(4)
NO_CASE, UPPER, LOWER, MARK = range(4)
CONTROLS = (9, 10, 11, 12, 13, 0x85)  # white space that is not in a Z category


def class_of(code):
    kind = unicodedata2.category(chr(code))[0]
    if kind == "Z" or code in CONTROLS:
        return SPACE
    return {"L": LETTER, "N": NUMBER}.get(kind, OTHER)


def case_of(code):
    kind = unicodedata2.category(chr(code))
    if kind[0] == "M":
        return MARK
    return {"Lu": UPPER, "Lt": UPPER, "Ll": LOWER}.get(kind, NO_CASE)


def packed_block(classes):
    """Four classes to a byte, the first in the lowest bits."""
    return tuple(classes[i] | classes[i + 1] << 2 | classes[i + 2] << 4 | classes[i + 3] << 6
                 for i in range(0, BLOCK, 4))


def tables(of):
    """The distinct blocks, and for each block of code points the number of its block."""
    classes = [of(code) for code in range(0x110000)]
    end = max(code for code in range(0x110000) if classes[code]) // BLOCK + 1
    blocks, index = {}, []
    for block in range(end):
        packed = packed_block(classes[block * BLOCK:(block + 1) * BLOCK])
        index.append(blocks.setdefault(packed, len(blocks)))
    assert len(blocks) <= 256
    return list(blocks), index


def print_array(name, dimension, values):
    print(f"static const uint8_t {name}{dimension} = {{")
    for i in range(0, len(values), 20):
        print("    " + ", ".join(str(v) for v in values[i:i + 20]) + ",")
    print("};")


def main():
    if unicodedata2.unidata_version != VERSION:
        sys.exit(f"gen_unicode.py: needs unicodedata2 {VERSION}, "
                 f"found {unicodedata2.unidata_version}")
    blocks, index = tables(class_of)
    case_blocks, case_index = tables(case_of)
    print(f"""/*
 * unicode_table.h: character classes of Unicode {VERSION}, 2 bits each, in two levels: the block
 * of {BLOCK} code points, then the code point in it. Code points past the index are "other". The
 * same for cases.
 *
 * Made by tools/gen_unicode.py (its head says how): do not edit.
 */
/* clang-format off */
#ifndef EL_TOKEN_UNICODE_TABLE_H
#define EL_TOKEN_UNICODE_TABLE_H

#include <stdint.h>

#define EL_UNICODE_BLOCK {BLOCK}
#define EL_UNICODE_BLOCKS {len(index)}
#define EL_UNICODE_CASE_BLOCKS {len(case_index)}
""")
    print("/* Numbers since Unicode 17.0: first and last of each range. */")
    print(f"static const uint32_t el_unicode_later_numbers[{len(LATER_NUMBERS)}][2] = {{")
    for first, last in LATER_NUMBERS:
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};\n")
    print_array("el_unicode_index", "[EL_UNICODE_BLOCKS]", index)
    print()
    flat = [byte for block in blocks for byte in block]
    print_array("el_unicode_classes", f"[{len(blocks)} * EL_UNICODE_BLOCK / 4]", flat)
    print()
    print_array("el_unicode_case_index", "[EL_UNICODE_CASE_BLOCKS]", case_index)
    print()
    flat = [byte for block in case_blocks for byte in block]
    print_array("el_unicode_cases", f"[{len(case_blocks)} * EL_UNICODE_BLOCK / 4]", flat)
    print("\n#endif\n/* clang-format on */")


if __name__ == "__main__":
    main()
