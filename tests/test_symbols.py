#!/usr/bin/env python3
"""What the libraries show of themselves: exactly the functions of the public header.

    python3 tests/test_symbols.py SOURCE_DIR LIBEDGELLM_SO LIBEDGELLM_A VERSION

The header's EDGELLM_API declarations, the linker's list (src/engine/edgellm.map) and the symbols of
the shared library are the same; its soname tells incompatible versions apart; the static library
takes no name that a program might use. Needs nm and readelf, which come with a compiler.
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT, SHARED, STATIC, VERSION = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
HEADER = (ROOT / "include" / "edgellm.h").read_text()
MAP = (ROOT / "src" / "engine" / "edgellm.map").read_text()
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def soversion():
    """Before 1.0 a minor version may change the interface: 0.1.x and 0.2.x must not mix."""
    major, minor, _ = VERSION.split(".")
    return f"{major}.{minor}" if major == "0" else major


def declared():
    """Functions that the header declares with EDGELLM_API."""
    text = COMMENT.sub("", HEADER)
    return re.findall(r"^EDGELLM_API\s[^;(]*?\b(\w+)\(", text, re.MULTILINE)


def listed():
    """The node's name and the global names of the linker's list."""
    node = re.fullmatch(r"\s*(\S+)\s*\{\s*global:(.*?)local:\s*\*;\s*\};\s*", COMMENT.sub("", MAP),
                        re.DOTALL)
    return node.group(1), re.findall(r"\b(\w+);", node.group(2))


def exported():
    """(symbol, version) of every dynamic symbol that the shared library defines."""
    found = []
    for line in output("nm", "-D", "--defined-only", SHARED).splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":  # the version itself
            found.append(tuple(re.split("@+", name)))
    return found


def dynamic(tag):
    return re.findall(rf"\({tag}\).*\[(.*)\]", output("readelf", "-d", "-W", SHARED))


class Symbols(unittest.TestCase):
    def test_the_header_declares_every_function_for_export(self):
        text = COMMENT.sub("", HEADER)
        self.assertGreater(len(declared()), 20)
        self.assertEqual(sorted(declared()), sorted(set(re.findall(r"\b(edgellm_\w+)\(", text))))

    def test_the_list_is_the_header(self):
        self.assertEqual(listed()[1], declared())  # in the same order

    def test_the_shared_library_exports_the_list_and_nothing_else(self):
        node, names = listed()
        self.assertEqual(sorted(exported()), sorted((name, node) for name in names))

    def test_soname_and_version_agree(self):
        self.assertEqual(dynamic("SONAME"), [f"libedgellm.so.{soversion()}"])
        self.assertEqual(listed()[0], f"EDGELLM_{soversion()}")
        self.assertIn(f'#define EDGELLM_VERSION "{VERSION}"', HEADER)
        self.assertEqual(pathlib.Path(SHARED).resolve().name, f"libedgellm.so.{VERSION}")

    def test_the_shared_library_needs_libc_alone(self):
        needed = {re.sub(r"[-.].*", "", name) for name in dynamic("NEEDED")}
        self.assertLessEqual(needed, {"libc", "libpthread", "ld"})
        self.assertIn("libc", needed)

    def test_the_static_library_defines_only_names_of_its_own(self):
        lines = [line.split() for line in output("nm", "-g", "--defined-only", STATIC).splitlines()]
        names = {fields[2] for fields in lines if len(fields) == 3}
        self.assertLessEqual(set(declared()), names)
        self.assertEqual([n for n in sorted(names) if not n.startswith(("edgellm_", "el_"))], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
