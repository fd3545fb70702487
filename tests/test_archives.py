#!/usr/bin/env python3
"""tools/compare_archives.py names the file by which archives differ, and how: by its contents, its traits, its place,
an object of a static library, a script of a Debian package.

    python3 tests/test_archives.py SOURCE_DIR OUT_DIR

Standard library only; the part on Debian packages is skipped where there is no dpkg-deb.
"""
import gzip
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import unittest

TOOL = pathlib.Path(sys.argv[1]).absolute() / "tools" / "compare_archives.py"
OUT = pathlib.Path(sys.argv[2]).absolute()
FILES = [("doc/README", b"read me"), ("lib/library.a", None), ("bin/program", b"\x7fELF with code")]
NAME = "edgellm.tar.gz"


def library(*members):
    """As ar writes it: headers of 60 bytes, contents in pairs of them."""
    text = b"!<arch>\n"
    for name, contents in members:
        text += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(contents):<10}`\n".encode()
        text += contents + b"\n" * (len(contents) % 2)
    return text


LIBRARY = library(("//", b"a_very_long_name_of.o/\n"), ("one.o/", b"first"), ("/0", b"second"), ("one.o/", b"third"))


def pack(folder, files=None, level=9, **traits):
    """NAME in the folder; traits of the program alone."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, contents in files or FILES:
            contents = LIBRARY if contents is None else contents
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            for trait, value in traits.items() if name == "bin/program" else ():
                setattr(member, trait, value)
            tar.addfile(member, io.BytesIO(contents))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(gzip.compress(stream.getvalue(), level, mtime=0))


def deb(folder, script):
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: edgellm\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\nDescription: test\n")
    (tree / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\n{script}\n")
    for path, mode in (tree, 0o755), (tree / "DEBIAN", 0o755), (tree / "DEBIAN" / "postinst", 0o755):
        path.chmod(mode)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, folder / "edgellm.deb"], check=True, capture_output=True,
                   env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})


def compare(*names):
    return subprocess.run([sys.executable, TOOL, OUT / "first", OUT / "second", *names], capture_output=True, text=True,
                          timeout=60, check=False)


class Archives(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(OUT, ignore_errors=True)
        pack(OUT / "first")

    def told(self, *parts):
        done = compare()
        self.assertEqual((done.returncode, done.stderr), (1, ""), done.stdout)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 2, lines)
        for part in parts:
            self.assertIn(part, lines[0])
        self.assertEqual(lines[1], "0 of 1 archives are the same")

    def test_the_same(self):
        pack(OUT / "second")
        done = compare()
        self.assertEqual((done.returncode, done.stdout), (0, "1 of 1 archives are the same\n"))

    def test_contents(self):
        pack(OUT / "second", [*FILES[:2], ("bin/program", b"\x7fELF with Code")])
        self.told(f"{NAME}: bin/program: contents", "from byte 10 on")

    def test_a_file_more_or_less(self):
        pack(OUT / "second", FILES[1:])
        self.told(f"{NAME}: doc/README: only in the first")
        pack(OUT / "second", [*FILES, ("new", b"")])
        self.told(f"{NAME}: new: only in the second")

    def test_traits(self):
        for trait, value, part in (("mode", 0o600, "0o644 and 0o600"), ("mtime", 7, "0 and 7"), ("uid", 5, "0 and 5"),
                                   ("gname", "staff", " and staff")):
            with self.subTest(trait=trait):
                pack(OUT / "second", **{trait: value})
                self.told(f"{NAME}: bin/program: {trait} ", part)

    def test_order(self):
        pack(OUT / "second", FILES[::-1])
        self.told(f"{NAME}: doc/README: at another place")

    def test_packing(self):
        pack(OUT / "second", level=1)
        self.told(f"{NAME}: all files are the same", "how they are packed")

    def test_an_object_of_a_library(self):
        """Names of more than 15 letters, and two objects of one name."""
        for old, new, name in ((b"second", b"Second", "a_very_long_name_of.o"), (b"third", b"Third", "one.o'")):
            with self.subTest(name=name):
                pack(OUT / "second", [("lib/library.a", LIBRARY.replace(old, new)) if name_ == "lib/library.a" else
                                      (name_, contents) for name_, contents in FILES])
                self.told(f"{NAME}: lib/library.a({name}): contents", "from byte 0 on")

    def test_nothing_there(self):
        (OUT / "second").mkdir()
        self.told(f"{NAME}: no ", f"second/{NAME}")
        (OUT / "first" / NAME).unlink()
        done = compare()
        self.assertEqual((done.returncode, done.stdout), (1, "there is nothing to compare\n"))

    @unittest.skipIf(shutil.which("dpkg-deb") is None, "NOT TRIED: no dpkg-deb here")
    def test_a_debian_package(self):
        shutil.rmtree(OUT)
        deb(OUT / "first", "true")
        deb(OUT / "second", "tRue")
        self.told("edgellm.deb: control: ./postinst: contents", "from byte 11 on")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
