#!/usr/bin/env python3
"""The house rules that a compiler does not check.

    python3 tests/test_includes.py SOURCE_DIR COMPILER

Includes point one way (docs/ARCHITECTURE.md); every header compiles by itself; file names are
unique, so that a file name is a module's name; functions and files are short.
"""
import pathlib
import re
import statistics
import subprocess
import sys
import unittest

ROOT, COMPILER = pathlib.Path(sys.argv[1]), sys.argv[2]

# module: the modules it may include, besides itself and edgellm.h. An entry with a slash is one
# header of a module.
MAY_INCLUDE = {
    "base": [],
    "cpu": [],
    "kernel": ["base", "cpu"],
    "format": ["base", "kernel/matrix.h"],
    "token": ["base", "format"],
    "grammar": ["base", "token"],
    "sample": ["base", "grammar/token_mask.h"],
    "model": ["base", "kernel", "format"],
    "engine": ["base", "cpu", "kernel", "format", "token", "grammar", "sample", "model"],
    # which names end an answer
    "folder": ["base", "format", "token/tokenizer.h"],
    "quant": ["base", "kernel", "format"],
    # model/model.h, model/positions.h: what an architecture is, and how positions turn
    "train": ["base", "kernel", "format", "quant", "offline", "model/model.h", "model/positions.h"],
    "offline": ["base", "kernel", "format", "quant", "engine", "sample/random.h"],
    # base/outfile.h: what the program keeps appears whole or not at all
    # base/mapfile.h, base/quota.h, base/threads.h: the bench reads the weights as the engine does
    # base/throttle.h: the doctor says what --rt goes by
    # base/clock.h: and times servers in whole nanoseconds
    # base/fnv.h: what was kept, and for what
    # format/gguf.h: pull opens what it stores
    # model/model.h: what is not run is refused before it is converted
    # token/chars.h: what is UTF-8
    "server": ["base", "token/chars.h", "schema/schema.h"],
    # what lies between a request and an answer, the network left out
    "batch": ["base", "server"],
    "schema": ["base"],
    # server/server.h: `edgellm serve` starts it; batch/batch.h: `edgellm batch`
    "cli": ["server/server.h", "batch/batch.h", "base/outfile.h", "base/mapfile.h", "base/quota.h",
            "base/threads.h", "base/throttle.h", "base/clock.h", "base/fnv.h", "schema/schema.h", "quant/plan.h",
            "quant/quantize.h", "quant/adapter.h", "train/compress.h", "offline/layouts.h", "format/gguf.h",
            "folder/folder.h", "folder/folder_adapter.h", "model/model.h"],
}
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-DEDGELLM_BUILDING", f"-I{ROOT}/include", f"-I{ROOT}/src",
         "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable",
         "-fsyntax-only"]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


# folder: at most so many lines has the median function, 95 in 100 of them, the longest.
FUNCTION_LINES = {"src": (15, 40, 60), "tools": (15, 40, 60), "tests": (15, 60, 80)}
FILE_LINES = 800


def sources(folder="src"):
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in (".c", ".h", ".inc"))


def function_lengths(text):
    """Lines of each function's body, braces included: these stand alone at a line's start."""
    found, start = [], None
    for number, line in enumerate(text.splitlines()):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            found.append(number - start + 1)
            start = None
    return found


def allowed(module, included):
    if included == "edgellm.h" or included.startswith(module + "/"):
        return True
    return any(included == entry or ("/" not in entry and included.startswith(entry + "/"))
               for entry in MAY_INCLUDE[module])


def violations(files):
    """(file, include) for every include that points the wrong way. files: (path, text)."""
    found = []
    for path, text in files:
        module = path.parts[0]
        for included in INCLUDE.findall(text):
            if module not in MAY_INCLUDE or not allowed(module, included):
                found.append((str(path), included))
    return found


class House(unittest.TestCase):
    def test_includes_point_one_way(self):
        files = [(p.relative_to(ROOT / "src"), p.read_text()) for p in sources()]
        self.assertGreater(len(files), 20)
        self.assertEqual(violations(files), [])

    def test_a_wrong_include_is_found(self):
        path = pathlib.PurePath
        text = '#include <stdio.h>\n#include "%s"\n'
        for place, included in (("base/x.c", "kernel/kernels.h"), ("kernel/x86/x.c", "model/model.h"),
                                ("format/x.c", "kernel/kernels.h"), ("cli/x.c", "engine/engine.h"),
                                ("cli/x.c", "quant/round.h"), ("model/x.c", "engine/engine.h"),
                                ("stranger/x.c", "base/error.h")):
            self.assertEqual(violations([(path(place), text % included)]), [(place, included)])
        self.assertEqual(violations([(path("format/x.c"), text % "kernel/matrix.h"),
                                     (path("engine/x.c"), text % "edgellm.h")]), [])

    def test_file_names_are_unique(self):
        seen = {}
        for path in sources() + sorted((ROOT / "include").glob("*.h")):
            self.assertNotIn(path.name, seen, f"{path} and {seen.get(path.name)}")
            seen[path.name] = path

    def test_functions_are_short(self):
        for folder, bounds in FUNCTION_LINES.items():
            lengths = sorted(n for p in sources(folder) for n in function_lengths(p.read_text()))
            measured = (statistics.median(lengths), lengths[len(lengths) * 95 // 100], lengths[-1])
            print(f"{folder}: {len(lengths)} functions; median %g lines, 95 %% up to %d, "
                  "longest %d" % measured)
            for value, bound in zip(measured, bounds):
                self.assertLessEqual(value, bound, folder)

    def test_lengths_are_measured(self):
        text = "int f(void)\n{\n    return 0;\n}\n\nstruct s {\n    int a;\n};\nint g(void)\n{\n}\n"
        self.assertEqual(function_lengths(text), [3, 2])

    def test_files_are_short(self):
        for folder in ("src", "include", "tests", "tools"):
            for path in sources(folder):
                self.assertLessEqual(len(path.read_text().splitlines()), FILE_LINES, path)

    def test_every_header_compiles_alone(self):
        headers = [p for p in sources() if p.suffix == ".h"] + [ROOT / "include" / "edgellm.h"]
        for header in headers:
            name = header.relative_to(ROOT / ("src" if "src" in header.parts else "include"))
            done = subprocess.run([COMPILER, *FLAGS, "-x", "c", "-"], text=True,
                                  input=f'#include "{name}"\n', capture_output=True)
            self.assertEqual(done.returncode, 0, f"{name}:\n{done.stderr}")

    def test_public_header_serves_cplusplus_and_c99_rules(self):
        text = (ROOT / "include" / "edgellm.h").read_text()
        self.assertIn('extern "C"', text)
        self.assertEqual(INCLUDE.findall(text), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
