#!/usr/bin/env python3
"""Are archives the same, and if not: which file in which? Of .tar.gz (.xz) and Debian packages, with the static
libraries in them.

    tools/compare_archives.py FIRST SECOND NAME...      FIRST/NAME and SECOND/NAME; exit code 1: they differ
    tools/compare_archives.py FIRST SECOND              all archives of both folders

Standard library only, and dpkg-deb for Debian packages.
"""
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile

SUFFIXES = (".tar.gz", ".tar.xz", ".deb")
SHOWN = 20  # differences of an archive that are told
TRAITS = ("type", "mode", "uid", "gid", "uname", "gname", "mtime", "linkname")


def ar_members(data):
    """(name, header, contents) of an archive of ar's, in order; GNU's names of more than 15 letters stand in "//"."""
    at, long_names = 8, b""
    while at + 60 <= len(data):
        header = data[at:at + 60]
        size = int(header[48:58])
        contents = data[at + 60:at + 60 + size]
        name = header[:16].rstrip()
        if name == b"//":
            long_names = contents
        elif name[1:].isdigit():
            name = long_names[int(name[1:]):].split(b"\n")[0]
        yield name.decode("latin-1").rstrip("/") or "symbols", header, contents
        at += 60 + size + size % 2


def library_parts(name, data):
    """A static library's objects, under its name; two may have the same."""
    seen = set()
    for member, header, contents in ar_members(data):
        while member in seen:
            member += "'"
        seen.add(member)
        yield f"{name}({member})", {"contents": contents, "header": header}


def tar_parts(stream, prefix=""):
    """(name, {what: value}) of all that a tar has, in order."""
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        for member in tar:
            traits = {trait: getattr(member, trait) for trait in TRAITS}
            contents = tar.extractfile(member).read() if member.isfile() else b""
            name = prefix + member.name
            if contents.startswith(b"!<arch>\n"):
                yield name, traits
                yield from library_parts(name, contents)
            else:
                yield name, {**traits, "contents": contents}


def dpkg(what, path):
    return subprocess.run(["dpkg-deb", what, path], check=True, capture_output=True).stdout


def parts(path):
    if path.suffix != ".deb":
        return list(tar_parts(path.read_bytes()))
    return [*tar_parts(dpkg("--ctrl-tarfile", path), "control: "), *tar_parts(dpkg("--fsys-tarfile", path))]


def first_difference(a, b):
    return next((at for at, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def told(what, a, b):
    if what not in ("contents", "header"):
        return f"{what} {oct(a) if what == 'mode' else a} and {oct(b) if what == 'mode' else b}"
    at = first_difference(a, b)
    return (f"{what} of {len(a)} and {len(b)} bytes, different from byte {at} on: "
            f"{a[at:at + 32]!r} and {b[at:at + 32]!r}")


def differences(first, second):
    """Sentences that begin with the file's name; none: the archives have the same bytes."""
    if hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest():
        return []
    one, two = parts(first), parts(second)
    names = [name for name, _ in one], [name for name, _ in two]
    found = [f"{name}: only in the first" for name in names[0] if name not in names[1]]
    found += [f"{name}: only in the second" for name in names[1] if name not in names[0]]
    other = dict(two)
    for name, traits in one:
        found += [f"{name}: {told(what, value, other[name][what])}" for what, value in traits.items()
                  if what in other.get(name, ()) and value != other[name][what]]
    if not found and names[0] != names[1]:
        found = [f"{next(a for a, b in zip(*names) if a != b)}: at another place in the archive"]
    return found or ["all files are the same, and so is their order: how they are packed differs"]


def compare(first, second, names):
    """How many archives differ; each is told."""
    failed = 0
    for name in names:
        missing = [str(folder / name) for folder in (first, second) if not (folder / name).is_file()]
        found = [f"no {path}" for path in missing] or differences(first / name, second / name)
        failed += bool(found)
        for line in found[:SHOWN]:
            print(f"{name}: {line}")
        if len(found) > SHOWN:
            print(f"{name}: and {len(found) - SHOWN} differences more")
    return failed


def main():
    first, second = map(pathlib.Path, sys.argv[1:3])
    names = sys.argv[3:] or sorted({path.name for folder in (first, second) for path in folder.iterdir()
                                    if path.name.endswith(SUFFIXES)})
    if not names:
        print("there is nothing to compare")
        return 1
    failed = compare(first, second, names)
    print(f"{len(names) - failed} of {len(names)} archives are the same")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
