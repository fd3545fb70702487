#!/usr/bin/env python3
"""Library and programs as a stranger meets them: installed, then examples/ built against it with pkg-config
(shared and static) and with find_package(), from the place of the installation and from another
that it was moved to. Each example says exactly what `edgellm run` says.

    python3 tests/test_install.py BUILD_DIR CMAKE C_COMPILER MAKE_TINY OUT_DIR [SANITIZER]

MAKE_TINY writes a tiny GGUF file (tests/make_tiny.c). Standard library only.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

BUILD, CMAKE, CC, MAKE_TINY = sys.argv[1:5]
OUT = pathlib.Path(sys.argv[5]).absolute()
SANITIZE = [f"-fsanitize={sys.argv[6]}"] if len(sys.argv) > 6 else []
CXX = next((path for path in map(shutil.which, ["clang++"] if "clang" in pathlib.Path(CC).name
                                 else ["g++", "c++"]) if path), None)
PREFIX = "/opt/edgellm"
INSTALLED, MOVED = OUT / "stage" / PREFIX[1:], OUT / "moved"
MODEL = OUT / "tiny.tm2.bin"
EXAMPLES = ("minimal", "streaming", "two_sessions", "own_memory", "minimal_cpp")
SERVES = pathlib.Path(BUILD, "edgellm-serve").exists()
PROMPTS = ("the quick brown fox", "Grüße, 世界!")
USAGE, IO, CONTEXT = 2, 3, 7


def run(*command, **options):
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR", "PKG_CONFIG_PATH")}
    environment.update(options.pop("env", {}))
    return subprocess.run([*map(str, command)], capture_output=True, timeout=120, env=environment,
                          **options)


def ok(*command, **options):
    done = run(*command, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout.decode(errors='replace')}"
                             f"{done.stderr.decode(errors='replace')}")
    return done.stdout


def libdir(prefix):
    return next(prefix.glob("**/pkgconfig/edgellm.pc")).parent.parent


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    if CXX is None:
        raise AssertionError("no C++ compiler: install g++")
    ok(CMAKE, "--install", BUILD, "--prefix", PREFIX, env={"DESTDIR": str(OUT / "stage")})
    shutil.copytree(INSTALLED, MOVED, symlinks=True)
    ok(MAKE_TINY, OUT / "tiny.gguf")
    ok(INSTALLED / "bin" / "edgellm", "quantize", OUT / "tiny.gguf", "-o", MODEL)


def program_says(prompt, seed=0):
    return ok(INSTALLED / "bin" / "edgellm", "run", MODEL, "-p", prompt, "-s", seed, "-n", 128, "-q")


def with_make(prefix, name, *arguments):
    """A copy of the installed examples, built by its Makefile. Returns its folder."""
    folder = OUT / name
    shutil.copytree(prefix / "share" / "doc" / "edgellm" / "examples", folder)
    flags = " ".join(["-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *SANITIZE])
    ok("make", "-C", folder, "-j2", f"PKG_CONFIG_PATH={libdir(prefix) / 'pkgconfig'}", f"CC={CC}",
       f"CXX={CXX}", f"CFLAGS={flags}", f"CXXFLAGS={flags}", *arguments)
    return folder


def with_cmake(prefix, name, library):
    folder = OUT / name
    flags = " ".join(["-Wall", "-Wextra", "-Wpedantic", "-Werror", *SANITIZE])
    ok(CMAKE, "-S", prefix / "share" / "doc" / "edgellm" / "examples", "-B", folder,
       f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={CC}", f"-DCMAKE_CXX_COMPILER={CXX}",
       f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}", f"-DLIBRARY={library}")
    ok(CMAKE, "--build", folder, "--parallel", 2)
    return folder


class Files(unittest.TestCase):
    def test_everything_is_there(self):
        lib = libdir(INSTALLED)
        version = ok("pkg-config", "--modversion", lib / "pkgconfig" / "edgellm.pc").decode().strip()
        soname = os.readlink(lib / "libedgellm.so")
        self.assertEqual(os.readlink(lib / soname), f"libedgellm.so.{version}")
        self.assertTrue((lib / "libedgellm.a").is_file())
        self.assertEqual(sorted(p.name for p in (INSTALLED / "include").iterdir()), ["edgellm.h", "edgellm.hpp"])
        self.assertEqual(sorted(p.name for p in (lib / "cmake" / "edgellm").iterdir())[:2],
                         ["edgellm-config-version.cmake", "edgellm-config.cmake"])
        self.assertIn(version, ok(INSTALLED / "bin" / "edgellm", "--version").decode())
        documents = INSTALLED / "share" / "doc" / "edgellm"
        for name in ("LICENSE", "README.md", "CHANGELOG.md", "docs/ARCHITECTURE.md",
                     "examples/README.md"):
            self.assertTrue((documents / name).is_file(), name)

    def test_programs_find_each_other(self):
        """`edgellm quantize` is a program in libexec, which need not be where it was built for."""
        wanted = MODEL.read_bytes()
        for prefix in (INSTALLED, MOVED):
            self.assertEqual(sorted(p.name for p in (prefix / "bin").iterdir()), ["edgellm"])
            made = OUT / "again.tm2.bin"
            ok(prefix / "bin" / "edgellm", "quantize", OUT / "tiny.gguf", "-o", made)
            self.assertEqual(made.read_bytes(), wanted)
            made.unlink()
        parts = OUT / "parts"
        shutil.copytree(INSTALLED / "bin", parts / "bin")
        done = run(parts / "bin" / "edgellm", "quantize", OUT / "tiny.gguf", "-o", made)
        self.assertEqual((done.returncode, done.stdout), (IO, b""))
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: the quantizer is not installed: [^\n]+\n\Z")

    def test_nothing_knows_where_it_lies(self):
        places = [PREFIX, str(OUT), str(pathlib.Path(BUILD).absolute())]
        for path in [*INSTALLED.glob("**/*.pc"), *INSTALLED.glob("**/*.cmake")]:
            for place in places:
                self.assertNotIn(place, path.read_text(), path)

    def test_only_compatible_versions_are_taken(self):
        file = next(INSTALLED.glob("**/edgellm-config-version.cmake"))
        found = ok("pkg-config", "--modversion", next(INSTALLED.glob("**/edgellm.pc")))
        major, minor = map(int, found.decode().split(".")[:2])
        for asked, compatible in ((f"{major}.{minor}", True), (f"{major}.{minor + 1}", False),
                                  (f"{major + 1}.{minor}", False), (f"{major}.{minor}.99", False)):
            script = OUT / "version.cmake"
            parts = (asked.split(".") + ["0"])[:3]
            script.write_text(f"set(PACKAGE_FIND_VERSION {asked})\n"
                              f"set(PACKAGE_FIND_VERSION_MAJOR {parts[0]})\n"
                              f"set(PACKAGE_FIND_VERSION_MINOR {parts[1]})\n"
                              f'include("{file}")\n'
                              'message("compatible=${PACKAGE_VERSION_COMPATIBLE}")\n')
            done = run(CMAKE, "-P", script)
            self.assertEqual("compatible=TRUE" in done.stderr.decode(), compatible, asked)


class Examples(unittest.TestCase):
    def needs(self, program):
        """The shared libraries that a program asks for."""
        return re.findall(r"\(NEEDED\).*\[(.*)\]", ok("readelf", "-d", "-W", program).decode())

    def check(self, folder, shared, environment=None):
        first, second = map(program_says, PROMPTS)
        self.assertGreater(len(first), 20)
        self.assertNotEqual(first, second)
        for name in EXAMPLES:
            program = folder / name
            prompts = PROMPTS if name == "two_sessions" else PROMPTS[:1]
            expected = first + second if name == "two_sessions" else first
            with self.subTest(example=name):
                self.assertEqual("libedgellm" in " ".join(self.needs(program)), shared)
                self.assertEqual(ok(program, MODEL, *prompts, env=environment or {}), expected)

    def check_failures(self, folder, environment):
        long = "a b " * 2000
        for name in EXAMPLES:
            prompts = 2 if name == "two_sessions" else 1
            for code, arguments in ((USAGE, [MODEL]), (IO, [OUT / "none", *["x"] * prompts]),
                                    (CONTEXT, [MODEL, *[long] * prompts])):
                with self.subTest(example=name, code=code):
                    done = run(folder / name, *arguments, env=environment)
                    self.assertEqual((done.returncode, done.stdout), (code, b""))
                    last = done.stderr.decode().splitlines()[-1]
                    self.assertRegex(last, rf"^(usage: {name} |{name}: .*\w)")

    def test_pkg_config_shared(self):
        folder = with_make(INSTALLED, "make_shared")
        environment = {"LD_LIBRARY_PATH": str(libdir(INSTALLED))}
        self.check(folder, True, environment)
        self.check_failures(folder, environment)
        seven = ok(folder / "streaming", MODEL, PROMPTS[0], 7, env=environment)
        self.assertEqual(seven, program_says(PROMPTS[0], 7))
        self.assertNotEqual(seven, program_says(PROMPTS[0], 0))

    def check_stream(self, program):
        """The client in C, of the server that is installed, with a key and without."""
        key = {"EDGELLM_API_KEY": "a-key"}
        server = subprocess.Popen([INSTALLED / "bin" / "edgellm", "serve", MODEL, "--port", "0", "--calibrate", "20"],
                                  stdout=subprocess.PIPE, env={**os.environ, **key})
        try:
            port = re.search(r":(\d+) ", server.stdout.readline().decode())[1]
            lines = ok(program, "127.0.0.1", port, PROMPTS[0] + ' "\\\n', env=key).decode().splitlines()
            refused = run(program, "127.0.0.1", port, PROMPTS[0])
        finally:
            server.terminate()
            server.communicate(timeout=60)
        messages = [json.loads(line) for line in lines]
        self.assertEqual([m["type"] for m in messages],
                         ["accepted", *["token"] * (len(messages) - 2), "done"])
        self.assertEqual(messages[-1]["usage"]["completion_tokens"], len(messages) - 2)
        self.assertEqual((refused.returncode, refused.stdout), (IO, b""))
        self.assertIn(b"no connection", refused.stderr)

    @unittest.skipUnless(SERVES, "no edgellm-serve in this build")
    def test_client_of_the_server(self):
        folder = with_make(INSTALLED, "make_client", "stream")
        self.check_stream(folder / "stream")

    def test_pkg_config_static(self):
        self.check(with_make(INSTALLED, "make_static", "STATIC=1"), False)

    def test_cmake_shared(self):
        self.check(with_cmake(INSTALLED, "cmake_shared", "edgellm::edgellm"), True)

    def test_cmake_static_moved(self):
        self.check(with_cmake(MOVED, "cmake_static_moved", "edgellm::edgellm_static"), False)

    def test_the_program_in_the_readme(self):
        readme = (INSTALLED / "share" / "doc" / "edgellm" / "README.md").read_text()
        source = re.search(r"```c\n(.*?)```", readme, re.DOTALL).group(1)
        (OUT / "readme.c").write_text(source)
        flags = ok("pkg-config", "--cflags", "--libs", libdir(INSTALLED) / "pkgconfig" / "edgellm.pc")
        ok(CC, "-Wall", "-Wextra", "-Werror", *SANITIZE, OUT / "readme.c", *flags.decode().split(),
           "-o", OUT / "readme")
        done = run(OUT / "readme", MODEL, PROMPTS[0],
                   env={"LD_LIBRARY_PATH": str(libdir(INSTALLED))})
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith(program_says(PROMPTS[0]).rstrip(b"\n")))

    def test_pkg_config_moved(self):
        folder = with_make(MOVED, "make_moved", "minimal")
        found = ok("pkg-config", "--variable=libdir", libdir(MOVED) / "pkgconfig" / "edgellm.pc")
        self.assertTrue(os.path.samefile(found.decode().strip(), libdir(MOVED)))
        done = ok(folder / "minimal", MODEL, PROMPTS[0],
                  env={"LD_LIBRARY_PATH": str(libdir(MOVED))})
        self.assertEqual(done, program_says(PROMPTS[0]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
