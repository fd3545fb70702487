#!/usr/bin/env python3
"""The public header, copied out of this tree, serves C99, C11, C17, C++11 and C++17 alone: every
compiler here takes it without a warning, and a program that only includes it links.

    python3 tests/test_header.py HEADER C_COMPILER

C_COMPILER is what the library is built with; gcc, clang, g++ and clang++ are asked where they are.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HEADER, COMPILER = sys.argv[1:3]
STRICT = ["-pedantic-errors", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"]
C = {"c99", "c11", "c17"}
CPLUSPLUS = {"c++11", "c++17"}
USE = """#include <edgellm.h>
#include <edgellm.h>
int main(void)
{
    edgellm_session_options options = {0};
    return options.memory_bytes == 0 && EDGELLM_OK == 0 ? 0 : 1;
}
"""


def found(*names):
    """The compilers of these names that exist, each once."""
    paths = {os.path.realpath(path): path for path in map(shutil.which, names) if path}
    return sorted(paths.values())


class Header(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        shutil.copy(HEADER, self.folder / "edgellm.h")

    def compile(self, compiler, language, standard, text):
        source = self.folder / ("use.c" if language == "c" else "use.cpp")
        source.write_text(text)
        return subprocess.run([compiler, "-x", language, f"-std={standard}", *STRICT,
                               f"-I{self.folder}", source, "-o", self.folder / "use"],
                              cwd=self.folder, capture_output=True, text=True)

    def check(self, compilers, language, standards, text):
        self.assertTrue(compilers, f"no compiler for {language}: install g++")
        for compiler in compilers:
            for standard in sorted(standards):
                with self.subTest(compiler=compiler, standard=standard):
                    done = self.compile(compiler, language, standard, text)
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_c(self):
        self.check(found(COMPILER, "gcc", "clang"), "c", C, USE)

    def test_cplusplus(self):
        text = USE.replace("{0}", "{}").replace("(void)", "()")
        self.check(found("c++", "g++", "clang++"), "c++", CPLUSPLUS, text)

    def test_warnings_are_seen(self):
        done = self.compile(COMPILER, "c", "c11", USE.replace("return", "int unused; return"))
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
