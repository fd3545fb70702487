#!/usr/bin/env python3
"""Reads the golden TM2 file with tools/tm2.py, the independent reader.

    python3 tests/test_tm2_reader.py            the test (values only where numpy is installed)
    python3 tests/test_tm2_reader.py --write    writes golden.expected anew (needs numpy)
"""
import os
import random
import struct
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "data", "golden.tm2.bin")
GOLDEN_3 = os.path.join(HERE, "data", "golden_3.tm2.bin")  # as version 3 wrote it
GOLDEN_6 = os.path.join(HERE, "data", "golden_6.tm2.bin")  # and in version 6
GOLDEN_5 = os.path.join(HERE, "data", "golden_5.tm2.bin")  # what is new in version 5
GOLDEN_7 = os.path.join(HERE, "data", "golden_7.tm2.bin")  # chained codes
EXPECTED = os.path.join(HERE, "data", "golden.expected")
EXPECTED_7 = os.path.join(HERE, "data", "golden_7.expected")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import tm2  # noqa: E402


def lines_of(file):
    for tensor in file.tensors.values():
        weights = file.dequantize(tensor.name).astype("<f4")
        yield (f"{tensor.name} {tensor.rows} {tensor.cols} {tm2.CODECS[tensor.codec].name} "
               f"{zlib.crc32(weights.tobytes()):08x}\n")


def open_bytes(data):
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        file = tm2.TM2File(stream.name)
        file.check()
        return file


class GoldenFile(unittest.TestCase):
    def setUp(self):
        self.file = tm2.TM2File(GOLDEN)
        with open(GOLDEN, "rb") as stream:
            self.bytes = stream.read()

    def test_check(self):
        self.file.check()
        self.assertEqual(len(self.file.tensors), 28)

    def test_text(self):
        self.assertEqual(self.file.manifest, '{"made":"by hand"}')
        self.assertEqual(self.file.template, "{{ '€' }}")
        self.assertEqual(self.file.config["name"], "Goldén")
        self.assertEqual(self.file.config["rope_base"], 12345.5)
        self.assertEqual(self.file.config["rotary_dim"], 8)
        vocab = self.file.vocab
        self.assertEqual(vocab["tokens"], [b"<end>", b"a", b"\xff", b"a\xff", b"", "€".encode()])
        self.assertEqual(vocab["merges"], [(1, 2)])
        self.assertEqual((vocab["bos"], vocab["eos"]), (tm2.NONE, 0))
        self.assertEqual(vocab["pretokenizer"], "gpt2")

    def test_version_5(self):
        file = tm2.TM2File(GOLDEN_5)
        file.check()
        c, vocab = file.config, file.vocab
        self.assertEqual((file.version, self.file.version), (5, 4))
        self.assertEqual([c["window"], c["pattern"], c["local_rope_base"], c["rope_factor"]],
                         [512, 6, 1000.5, 8])
        self.assertEqual([c["attention_scale"], c["attention_cap"], c["logit_cap"]], [0.0625, 50, 30])
        self.assertEqual(vocab["tokens"], [b"<bos>", b"\xff", b" a", b"a", b" ", b"b", b"ab"])
        self.assertEqual(vocab["ranks"], [0, 0, 7, 8, 9, 2, 1])
        self.assertEqual((vocab["space_first"], vocab["merges"]), (True, []))
        self.assertEqual((self.file.config["window"], self.file.vocab["ranks"]), (0, None))

    def test_version_6(self):
        file = tm2.TM2File(GOLDEN_6)
        file.check()
        c = file.config
        self.assertEqual((file.version, c["rope_factor"], c["rope_context"]), (6, 4, 32))
        self.assertEqual([c["rope_gain"], c["yarn_fast"], c["yarn_slow"]], [1.125, 24, 1.5])
        self.assertEqual(self.file.config["rope_context"], 0)

    def test_names_and_shapes(self):
        with open(EXPECTED, encoding="ascii") as stream:
            expected = [line.split()[:4] for line in stream]
        found = [[t.name, str(t.rows), str(t.cols), tm2.CODECS[t.codec].name]
                 for t in self.file.tensors.values()]
        self.assertEqual(found, expected)

    def test_version_7(self):
        file = tm2.TM2File(GOLDEN_7)
        file.check()
        self.assertEqual((file.version, file.config["dim"]), (7, 100))

    @unittest.skipUnless(tm2.numpy, "needs numpy")
    def test_values(self):
        for file, expected in ((GOLDEN, EXPECTED), (GOLDEN_7, EXPECTED_7)):
            with open(expected, encoding="ascii") as stream:
                self.assertEqual(list(lines_of(tm2.TM2File(file))), list(stream))

    @unittest.skipUnless(tm2.numpy, "needs numpy")
    def test_tables(self):
        """Whole, in parts, and in parts that do not fit."""
        file, part = self.file, self.file.tensors["z4.f16.32"]  # 16 rows
        weights = file.dequantize(part.name)
        names = ["output.weight", "output.rest.weight", "output.last.weight"]
        file.tensors = {}
        for count, name in enumerate(names, 1):
            file.tensors[name] = part._replace(name=name)
            file.config["vocab"] = 16 * count
            table = file.table("output.weight")
            self.assertEqual(table.shape, (16 * count, 64))
            self.assertTrue((table.reshape(count, 16, 64) == weights).all())
        self.assertEqual(file.table_parts("output.weight"), names)
        for bad, message in (({"rows": 15}, "'output.last.weight' has 15 rows"),
                             ({"cols": 32}, "do not make a table"),
                             ({"rows": 17}, "do not make a table")):
            file.tensors[names[2]] = part._replace(name=names[2], **bad)
            with self.assertRaisesRegex(tm2.FormatError, message):
                file.table("output.weight")
        file.tensors[names[2]] = part._replace(name=names[2])
        for missing in names[:2]:
            kept = file.tensors.pop(missing)
            with self.assertRaisesRegex(tm2.FormatError, "needs the one before it"):
                file.table("output.weight")
            file.tensors[missing] = kept

    def test_damage(self):
        """Whatever bit is flipped, a full check finds it: no byte is without a guard."""
        source = random.Random(7)
        for _ in range(300):
            data = bytearray(self.bytes)
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
            with self.assertRaises(tm2.FormatError):
                open_bytes(data)

    def test_cut(self):
        for size in [0, 1, 8, 63, 64, 303, 320, 5000, len(self.bytes) - 1]:
            with self.assertRaises(tm2.FormatError):
                open_bytes(self.bytes[:size])

    def test_rotation(self):
        """What may be rotated, and what not."""
        start = self.file.sections["tensors"].offset
        rows = (("z4.f16.32", 1, None), ("z4.f16.32", 2, "rotation 2"),
                ("i8.f16.32", 1, "cannot be rotated"), ("f32.vector", 1, "cannot be rotated"))
        for name, rotation, message in rows:
            data = bytearray(self.bytes)
            data[start + 128 * list(self.file.tensors).index(name) + 78] = rotation
            size = self.file.sections["tensors"].size
            struct.pack_into("<I", data, 64 + 4 * 40 + 4, zlib.crc32(data[start:start + size]))
            struct.pack_into("<I", data, 24, zlib.crc32(data[64:304]))
            struct.pack_into("<I", data, 60, zlib.crc32(data[:60]))
            if message:
                with self.assertRaisesRegex(tm2.FormatError, message):
                    open_bytes(data)
            else:
                self.assertEqual(open_bytes(data).tensors[name].rotation, rotation)

    def with_version(self, version):
        data = bytearray(self.bytes)
        struct.pack_into("<I", data, 8, version)
        struct.pack_into("<I", data, 60, zlib.crc32(data[:60]))
        return data

    def test_other_version(self):
        for version in (0, 2, 8):
            with self.assertRaisesRegex(tm2.UnsupportedError,
                                        f"version {version}.*versions 3 to 7"):
                open_bytes(self.with_version(version))

    def test_codecs_of_a_version(self):
        with self.assertRaisesRegex(tm2.FormatError, "codec b1 is not in version 3"):
            open_bytes(self.with_version(3))

    def test_version_3(self):
        old = tm2.TM2File(GOLDEN_3)
        old.check()
        self.assertEqual((self.file.version, old.version), (4, 3))
        self.assertEqual((old.config, old.vocab), (self.file.config, self.file.vocab))
        both = [t for t in self.file.tensors.values() if t.codec < 10]
        self.assertEqual(list(old.tensors), [t.name for t in both])
        for tensor in both:
            self.assertEqual(bytes(old.bytes_of(old.tensors[tensor.name])),
                             bytes(self.file.bytes_of(tensor)))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        for made, written in ((GOLDEN, EXPECTED), (GOLDEN_7, EXPECTED_7)):
            with open(written, "w", encoding="ascii") as stream:
                stream.writelines(lines_of(tm2.TM2File(made)))
    else:
        unittest.main()
