#!/usr/bin/env python3
"""Writes src/token/unicode_table.h, unicode_cases.h, unicode_words.h and unicode_nfc.h: what is asked of
characters.

    pip install unicodedata2==16.0.0 tokenizers==0.23.3
    python3 tools/gen_unicode.py classes > src/token/unicode_table.h
    python3 tools/gen_unicode.py cases > src/token/unicode_cases.h
    python3 tools/gen_unicode.py words > src/token/unicode_words.h
    python3 tools/gen_unicode.py nfc > src/token/unicode_nfc.h

Classes come from Unicode 16.0: letters (categories L*), numbers (N*) and white space (Z*, the
controls U+0009 to U+000D, and U+0085). Beside them: of letters upper case (Lu, Lt) and lower case
(Ll), and marks (M), which are no letters, for the expressions that ask for case. This is what \\p{L}, \\p{N} and \\s mean to the regular
expression engine inside Hugging Face tokenizers 0.23, found by asking it about every code point;
tools/conformance_tokens.py asks again. Its digit splitter asks the Rust library instead, which
follows Unicode 17.0: the numbers that are new there are listed apart.

Words are what \\w means to the same Rust library, where it looks for the borders of added tokens:
letters, marks, decimal digits and numbers that are letters, what joins (Pc, U+200C, U+200D), and
letters in circles and squares. This too was found by asking about every code point.

The normal form NFC comes from Unicode 16.0 too, without what the Rust library of tokenizers 0.23 does not
know, which follows an older Unicode: it is asked about each decomposition and each mark.
"""
import sys

import unicodedata2

VERSION = "16.0.0"
LATER_NUMBERS = ((0x11DE0, 0x11DE9), (0x16FF4, 0x16FF6))  # numbers since Unicode 17.0
BLOCK = 256  # code points whose classes lie together
OTHER, LETTER, NUMBER, SPACE = range(4)
NO_CASE, UPPER, LOWER, MARK = range(4)
JOINERS = (0x200C, 0x200D)
ENCLOSED = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
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


def is_word(code):
    kind = unicodedata2.category(chr(code))
    return kind[0] in "LM" or kind in ("Nd", "Nl", "Pc") or code in JOINERS or any(
        first <= code <= last for first, last in ENCLOSED)


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


def print_tables(count, index_name, flat_name, blocks, index):
    print_array(index_name, f"[{count}]", index)
    print()
    flat = [byte for block in blocks for byte in block]
    print_array(flat_name, f"[{len(blocks)} * EL_UNICODE_BLOCK / 4]", flat)
    print("\n#endif\n/* clang-format on */")


def print_classes():
    blocks, index = tables(class_of)
    print(f"""/*
 * unicode_table.h: character classes of Unicode {VERSION}, 2 bits each, in two levels: the block
 * of {BLOCK} code points, then the code point in it. Code points past the index are "other".
 *
 * Made by tools/gen_unicode.py (its head says how): do not edit.
 */
/* clang-format off */
#ifndef EL_TOKEN_UNICODE_TABLE_H
#define EL_TOKEN_UNICODE_TABLE_H

#include <stdint.h>

#define EL_UNICODE_BLOCK {BLOCK}
#define EL_UNICODE_BLOCKS {len(index)}
""")
    print("/* Numbers since Unicode 17.0: first and last of each range. */")
    print(f"static const uint32_t el_unicode_later_numbers[{len(LATER_NUMBERS)}][2] = {{")
    for first, last in LATER_NUMBERS:
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};\n")
    print_tables("EL_UNICODE_BLOCKS", "el_unicode_index", "el_unicode_classes", blocks, index)


def print_cases():
    blocks, index = tables(case_of)
    print(f"""/*
 * unicode_cases.h: cases and marks of Unicode {VERSION} (EL_CASE_...), as unicode_table.h has classes.
 * Code points past the index have none.
 *
 * Made by tools/gen_unicode.py (its head says how): do not edit.
 */
/* clang-format off */
#ifndef EL_TOKEN_UNICODE_CASES_H
#define EL_TOKEN_UNICODE_CASES_H

#include "token/unicode_table.h"

#define EL_UNICODE_CASE_BLOCKS {len(index)}
""")
    print_tables("EL_UNICODE_CASE_BLOCKS", "el_unicode_case_index", "el_unicode_cases", blocks, index)


def print_words():
    ranges = []
    for code in range(0x110000):
        if is_word(code) == (unicodedata2.category(chr(code))[0] in "LNM"):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    print(f"""/*
 * unicode_words.h: where the characters of words, by Unicode {VERSION}, are not just letters, numbers
 * and marks: there they are the others. First and last of each range, in order.
 *
 * Made by tools/gen_unicode.py (its head says how): do not edit.
 */
/* clang-format off */
#ifndef EL_TOKEN_UNICODE_WORDS_H
#define EL_TOKEN_UNICODE_WORDS_H

#include <stdint.h>

static const uint32_t el_unicode_words[{len(ranges)}][2] = {{""")
    for first, last in ranges:
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};\n\n#endif\n/* clang-format on */")


def decomposition(code):
    """The one or two characters that a character is, in its canonical form."""
    parts = unicodedata2.decomposition(chr(code)).split()
    return [int(part, 16) for part in parts] if parts and not parts[0].startswith("<") else []


def normal_forms():
    """(decompositions, places of those that compose, marks) as tokenizers know them."""
    from tokenizers import normalizers
    nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
    rows = [(code, *decomposition(code)) for code in range(0x110000)
            if decomposition(code) and nfd(chr(code)) != chr(code)]
    known = {row[0] for row in rows}
    assert not any(second in known for _, _, *seconds in rows for second in seconds)
    compose = [i for i, (code, *parts) in enumerate(rows)
               if len(parts) == 2 and nfc("".join(map(chr, parts))) == chr(code)]
    compose.sort(key=lambda i: rows[i][1:])
    marks = []
    for code in range(0x110000):
        order = unicodedata2.combining(chr(code))
        if order == 0:
            continue
        # Does it change places with a mark that belongs before it, or behind it?
        text = chr(code) + "\u0334" if order > 1 else "\u0301" + chr(code)
        if nfd(text) == text:
            continue
        if marks and marks[-1][1:] == [code - 1, order]:
            marks[-1][1] = code
        else:
            marks.append([code, code, order])
    return [(row + (0,))[:3] for row in rows], compose, marks


def print_nfc():
    rows, compose, marks = normal_forms()
    print(f"""/*
 * unicode_nfc.h: what characters are made of, by Unicode {VERSION} as far as tokenizers 0.23 knows it
 * (an older one); without syllables of Hangul, which are computed.
 *
 * Made by tools/gen_unicode.py (its head says how): do not edit.
 */
/* clang-format off */
#ifndef EL_TOKEN_UNICODE_NFC_H
#define EL_TOKEN_UNICODE_NFC_H

#include <stdint.h>

/* A character and the one (then 0) or two that it is, of which the first may be made of others. */
static const uint32_t el_unicode_parts[{len(rows)}][3] = {{""")
    for i in range(0, len(rows), 4):
        print("    " + " ".join("{0x%X, 0x%X, 0x%X}," % row for row in rows[i:i + 4]))
    print(f"""}};

/* Those rows of el_unicode_parts that two characters become, in the order of these. */
static const uint16_t el_unicode_composed[{len(compose)}] = {{""")
    for i in range(0, len(compose), 20):
        print("    " + ", ".join(map(str, compose[i:i + 20])) + ",")
    print(f"""}};

/* Marks that have an order among themselves: first, last, order. */
static const uint32_t el_unicode_marks[{len(marks)}][3] = {{""")
    for i in range(0, len(marks), 4):
        print("    " + " ".join("{0x%X, 0x%X, %d}," % tuple(m) for m in marks[i:i + 4]))
    print("};\n\n#endif\n/* clang-format on */")


WRITERS = {"nfc": print_nfc, "classes": print_classes, "cases": print_cases, "words": print_words}


def main():
    if unicodedata2.unidata_version != VERSION:
        sys.exit(f"gen_unicode.py: needs unicodedata2 {VERSION}, "
                 f"found {unicodedata2.unidata_version}")
    if len(sys.argv) != 2 or sys.argv[1] not in WRITERS:
        sys.exit("usage: gen_unicode.py " + "|".join(WRITERS))
    WRITERS[sys.argv[1]]()


if __name__ == "__main__":
    main()
