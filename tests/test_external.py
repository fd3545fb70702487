#!/usr/bin/env python3
"""Commands that are programs of their own: how `edgellm` finds and starts `edgellm-quantize`, and
that it needs none of its libraries.

    python3 tests/test_external.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = pathlib.Path(sys.argv[1]).absolute(), os.path.abspath(sys.argv[2])
QUANTIZE = EDGELLM.with_name("edgellm-quantize")
OUT = pathlib.Path(sys.argv[3]).absolute()
GGUF = str(OUT / "tiny.gguf")
IO = 3


def run(*command, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "EDGELLM_EXEC_PATH"}
    return subprocess.run([*map(str, command)], capture_output=True, timeout=60,
                          env={**environment, **variables})


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)


class Case(unittest.TestCase):
    def folder(self, *parts):
        path = OUT.joinpath(self.id().rsplit(".", 1)[1], *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def stand_in(self, folder, says, code=0):
        """A program in the place of edgellm-quantize: what it says, its arguments, its code."""
        path = folder / "edgellm-quantize"
        path.write_text(f'#!/bin/sh\necho "{says}"\nprintf "<%s>" "$@"\nexit {code}\n')
        path.chmod(0o755)

    def program(self, *parts):
        folder = self.folder(*parts)
        shutil.copy(EDGELLM, folder)
        return folder / "edgellm"

    def fails(self, done, *contains):
        self.assertEqual((done.returncode, done.stdout), (IO, b""))
        text = done.stderr.decode()
        self.assertRegex(text, r"\Aedgellm: [^\n]+\n\Z")
        for words in contains:
            self.assertIn(words, text)


class Libraries(Case):
    def needs(self, program):
        done = run("readelf", "-d", "-W", program)
        self.assertEqual(done.returncode, 0)
        return " ".join(re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout.decode()))

    def test_only_the_quantizer_needs_blas(self):
        self.assertRegex(self.needs(QUANTIZE), r"blas")
        self.assertRegex(self.needs(EDGELLM), r"jansson")
        self.assertNotRegex(self.needs(EDGELLM), r"blas|lapack|gfortran|curl|websockets")


class Finding(Case):
    def test_beside_the_program(self):
        program = self.program("bin")
        self.stand_in(self.folder("bin"), "beside")
        self.stand_in(self.folder("libexec", "edgellm"), "libexec")
        done = run(program, "quantize", "a b", "", "-x")
        self.assertEqual(done.stdout, b"beside\n<a b><><-x>")

    def test_in_libexec_also_through_a_link(self):
        program = self.program("bin")
        self.stand_in(self.folder("libexec", "edgellm"), "libexec", 42)
        link = self.folder("elsewhere") / "ell"
        link.symlink_to(program)
        for start in (program, link):
            done = run(start, "quantize", "x")
            self.assertEqual((done.returncode, done.stdout), (42, b"libexec\n<x>"))

    def test_the_variable_comes_first(self):
        program = self.program("bin")
        self.stand_in(self.folder("bin"), "beside")
        self.stand_in(self.folder("own"), "own")
        done = run(program, "quantize", EDGELLM_EXEC_PATH=str(self.folder("own")))
        self.assertEqual(done.stdout, b"own\n<>")
        self.assertEqual(run(program, "quantize", EDGELLM_EXEC_PATH="").stdout, b"beside\n<>")
        empty = self.folder("empty")
        self.fails(run(program, "quantize", EDGELLM_EXEC_PATH=str(empty)),
                   "the quantizer is not installed", str(empty), "EDGELLM_EXEC_PATH")

    def test_missing(self):
        program = self.program("bin")
        for command in (("quantize", "x"), ("quantize", "--help"), ("help", "quantize")):
            self.fails(run(program, *command), "the quantizer is not installed",
                       "edgellm-quantize", str(program.parent), "libexec/edgellm")
        self.assertRegex(run(program, "--help").stdout.decode(), r"(?m)^  quantize +\w")

    def test_what_cannot_be_started(self):
        program = self.program("bin")
        (self.folder("bin") / "edgellm-quantize").write_bytes(b"\0")
        self.fails(run(program, "quantize", "x"), "cannot start", "edgellm-quantize", "ermission")
        (self.folder("bin") / "edgellm-quantize").chmod(0o755)
        self.fails(run(program, "quantize", "x"), "cannot start", "xec format")

    def test_a_folder_too_long(self):
        long = "/" + "x/" * 3000
        self.fails(run(EDGELLM, "quantize", "x", EDGELLM_EXEC_PATH=long), "is not installed")


class Starting(Case):
    def test_help(self):
        text = run(EDGELLM, "help", "quantize")
        self.assertEqual((text.returncode, text.stderr), (0, b""))
        self.assertTrue(text.stdout.startswith(b"usage: edgellm quantize "))
        for command in ((EDGELLM, "quantize", "--help"), (EDGELLM, "quantize", "-h"),
                        (QUANTIZE, "--help")):
            self.assertEqual(run(*command).stdout, text.stdout)

    def test_same_file_with_any_kernels(self):
        """Whatever OpenBLAS is told or finds: rounding without calibration does not use it."""
        made = set()
        target = self.folder() / "x.tm2.bin"
        for variables in ({}, {"OPENBLAS_CORETYPE": "PRESCOTT"}, {"OPENBLAS_CORETYPE": ""},
                          {"OPENBLAS_NUM_THREADS": "2"}):
            done = run(EDGELLM, "quantize", GGUF, "-o", target, "--bits", "4",
                       "--calibrate", "none", "-q", **variables)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""), variables)
            made.add(target.read_bytes())
        self.assertEqual(len(made), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
