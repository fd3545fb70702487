#!/usr/bin/env python3
"""Models in several GGUF files, NAME-00001-of-00003.gguf: `edgellm quantize` of any part makes the model
that the whole file makes, byte for byte; what is wrong with parts is said.

    python3 tests/test_gguf_parts.py EDGELLM OUT_DIR

Standard library only. That gguf's own writer is read too: tools/conformance/parts.py.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE / "support"))
import hf_folder  # noqa: E402
from gguf_cut import INT32, UINT16, UINT32, Whole, number, text  # noqa: E402

EDGELLM, OUT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
IO, FORMAT = 3, 4
SOURCE = HERE / "data" / "conformance_llama3.gguf"
ROUNDED = ("--bits", "8", "--group", "32", "--calibrate", "none")


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)


class Parts(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.whole = Whole(SOURCE)

    def name(self, no, count=3):
        return self.place / f"model-{no + 1:05}-of-{count:05}.gguf"

    def write(self, cuts=(0, 7, 12), **options):
        """Parts that begin at these tensors."""
        ends = [*cuts[1:], len(self.whole.tensors)]
        for no, (begin, end) in enumerate(zip(cuts, ends)):
            self.name(no, len(cuts)).write_bytes(
                self.whole.part(no, len(cuts), self.whole.tensors[begin:end], **options))

    def quantize(self, source):
        target = self.place / "out.tm2.bin"
        target.unlink(missing_ok=True)
        done = subprocess.run([EDGELLM, "quantize", source, "-o", target, *ROUNDED], timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode, done.stderr.decode(), target

    def model(self, source):
        """All sections but the manifest, which names the source, and the hash of a run."""
        code, said, target = self.quantize(source)
        self.assertEqual(code, 0, said)
        data = target.read_bytes()
        (count,) = struct.unpack_from("<I", data, 12)
        entries = [struct.unpack_from("<IIQQ", data, 64 + 40 * i) for i in range(count)]
        run = subprocess.run([EDGELLM, "run", target, "--raw", "-p", "the fox", "-n", "8", "-t", "0", "--hash",
                              "--ignore-eos", "-j", "1", "--json"], timeout=120, capture_output=True, check=True)
        return [data[at:at + size] for _, _, at, size in entries[:-1]], json.loads(run.stdout)["hash"]

    def refuses(self, source, code, *parts):
        got, said, target = self.quantize(source)
        self.assertEqual(got, code, said)
        for part in parts:
            self.assertIn(part, said)
        self.assertFalse(target.exists())

    def test_any_part_is_the_model(self):
        wanted = self.model(SOURCE)
        for cuts in ((0, 7, 12), (0, 0, 1), (0, 12)):  # a first part may have no tensors
            self.write(cuts)
            for no in range(len(cuts)):
                self.assertEqual(self.model(self.name(no, len(cuts))), wanted, (cuts, no))

    def test_one_part_is_a_file(self):
        path = self.place / "any.gguf"
        path.write_bytes(self.whole.part(0, 1, self.whole.tensors))
        self.assertEqual(self.model(path), self.model(SOURCE))

    def test_missing(self):
        for no in range(3):
            self.write()
            self.name(no).unlink()
            self.refuses(self.name((no + 1) % 3), IO, f"part {no + 1} of 3 is missing", self.name(no).name)

    def test_names(self):
        self.write()
        other = self.name(1).rename(self.place / "other.gguf")
        self.refuses(other, FORMAT, "part 2 of 3", "'-00002-of-00003.gguf'")
        shutil.copy(other, self.name(0, 2))
        self.refuses(self.name(0, 2), FORMAT, "part 2 of 3", "'-00002-of-00003.gguf'")
        shutil.copy(other, self.place / "x.gguf")
        self.refuses(self.place / "x.gguf", FORMAT, "part 2 of 3")

    def test_exchanged(self):
        self.write()
        shutil.copy(self.name(2), self.name(1))
        self.refuses(self.name(0), FORMAT, self.name(1).name, "should be part 2 of 3", "says that it is part 3 of 3")
        shutil.copy(SOURCE, self.name(1))
        self.refuses(self.name(0), FORMAT, self.name(1).name, "there is no split.no", "another model")

    def test_twice(self):
        self.write()
        self.name(1).write_bytes(self.whole.part(1, 3, self.whole.tensors[6:12]))
        self.refuses(self.name(2), FORMAT, "split.tensors.count")
        self.write(all_tensors=len(self.whole.tensors) + 1)
        self.name(1).write_bytes(self.whole.part(1, 3, self.whole.tensors[6:12]))
        self.refuses(self.name(2), FORMAT, f"name '{self.whole.tensors[6][0]}' is there twice")

    def test_counts(self):
        self.write(all_tensors=99)
        self.refuses(self.name(0), FORMAT, "split.tensors.count", "all 3 parts")
        for no, count in ((3, 3), (0, 65535)):
            self.name(0).write_bytes(self.whole.part(no, count, self.whole.tensors))
            self.refuses(self.name(0), FORMAT, "split.no" if no else "-00001-of-65535.gguf")
        values, self.whole.values = self.whole.values, [*self.whole.values, number("split.count", UINT32, 70000)]
        data = self.whole.part(0, 1, self.whole.tensors).replace(text("split.count") + b"\2", text("other.count") + b"\2")
        self.name(0).write_bytes(data)
        self.refuses(self.name(0), FORMAT, "split.count is no number of files")
        self.whole.values = values

    def test_cut_off(self):
        self.write()
        data = self.name(2).read_bytes()
        for size in (0, 3, 40, len(data) - 1):
            self.name(2).write_bytes(data[:size])
            self.refuses(self.name(0), FORMAT, self.name(2).name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
