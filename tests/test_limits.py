#!/usr/bin/env python3
"""The programs where less is allowed than they need: address space (`ulimit -v`), memory and processor time
of a control group.

    python3 tests/test_limits.py EDGELLM MAKE_TINY OUT_DIR [serve]

Control groups are made up: a folder lies over /sys/fs/cgroup in a mount namespace of the test's own; where
that is not permitted those tests are skipped. Standard library only.
"""
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TM2 = str(OUT / "long.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
USAGE, MEMORY = 2, 6
KIB, MIB = 1 << 10, 1 << 20
SYSTEM = 8 * MIB  # more than what the system needs beside a plan
SESSION = ("-c", "4096", "-j", "1")
COMMANDS = {
    "run": ("run", TM2, "-p", "the fox", "-n", "2", "-s", "1", "-q", *SESSION),
    "chat": ("chat", TM2, "-n", "2", "-s", "1", "-q", "--no-history", *SESSION),
    "bench": ("bench", TM2, "--runs", "1", "--warmup", "0", "-n", "2", "-p", "4", *SESSION),
    "certify": ("certify", TM2, "--duration", "0.001", "-c", "64", "-b", "8", "-j", "1", "-o", str(OUT / "c.json")),
    "info": ("info", TM2),
}


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    subprocess.run([MAKE_TINY, OUT / "long.gguf", "long"], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", OUT / "long.gguf", "-o", TM2, "-q", "--bits", "8", "--calibrate", "none"],
                   check=True, timeout=60)


def edgellm(*arguments, **options):
    return subprocess.run([EDGELLM, *map(str, arguments)], capture_output=True, timeout=120,
                          **{"stdin": subprocess.DEVNULL, **options})


def within(bytes_):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))


class AddressSpace(unittest.TestCase):
    def works(self, arguments, bytes_):
        """Whether it does; if not, it said so in one line, and ended by itself."""
        done = edgellm(*arguments, preexec_fn=within(bytes_),
                       **({"stdin": None, "input": b"fox\n"} if arguments[0] == "chat" else {}))
        if done.returncode == 0:
            return True
        self.assertEqual(done.returncode, MEMORY, (arguments, bytes_, done.stdout, done.stderr))
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z", (arguments, bytes_))
        return False

    def least(self, works, fails=0):
        """The least address space, to a page, for which works(bytes) holds."""
        right = 1 << 30
        self.assertTrue(works(right))
        while right - fails > 4 * KIB:
            middle = (fails + right) // 8 // KIB * 4 * KIB
            if works(middle):
                right = middle
            else:
                fails = middle
        return right

    def floor(self, *arguments):
        """With less the system's loader fails (or, of glibc 2.36, crashes) before the program begins."""
        return self.least(lambda bytes_: edgellm(*arguments, preexec_fn=within(bytes_)).returncode == 0)

    def test_what_does_not_fit_is_told(self):
        floor = self.floor("--version")
        for name, arguments in COMMANDS.items():
            with self.subTest(command=name):
                least = self.least(lambda bytes_, a=arguments: self.works(a, bytes_), floor)
                for less in range(4 * KIB, 2 * MIB, 116 * KIB):
                    if least - less > floor:
                        self.works(arguments, least - less)

    def test_the_limit_is_named(self):
        """Of a model that is larger than it; of a session that is."""
        large = OUT / "large.tm2.bin"
        shutil.copy(TM2, large)
        with open(large, "r+b") as file:
            file.truncate(1 << 30)  # a hole
        for arguments, limit in ((("run", large, "-p", "fox", "-j", "1"), 300 * MIB),
                                 (("run", TM2, "-p", "fox", "-j", "1", "-c", "100000"), 12 * MIB)):
            done = edgellm(*arguments, preexec_fn=within(limit))
            self.assertEqual(done.returncode, MEMORY, done.stderr)
            self.assertRegex(done.stderr.decode(), rf"may have {limit // KIB} KiB of address space \(ulimit -v\)\n\Z")
        large.unlink()

    @unittest.skipUnless("serve" in sys.argv[4:], "no edgellm-serve in this build")
    def test_a_server(self):
        floor = self.floor("serve", "--help")
        for more in (2 * MIB, 8 * MIB, 32 * MIB):
            done = edgellm("serve", TM2, "--port", "0", "-c", "100000", "--sessions", "16",
                           preexec_fn=within(floor + more))
            self.assertEqual(done.returncode, MEMORY, done.stderr)
            self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]+\n\Z")


def in_group(files, *command):
    """The command in a control group that has these files."""
    folder = tempfile.mkdtemp(dir=OUT)
    for name, text in files.items():
        pathlib.Path(folder, name).write_text(text)
    script = 'mount --bind "$0" /sys/fs/cgroup || exit 99; exec "$@"'
    flags = "-m" if os.geteuid() == 0 else "-rm"
    return subprocess.run(["unshare", flags, "sh", "-c", script, folder, *map(str, command)],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


class Groups(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if shutil.which("unshare") is None or in_group({}, "true").returncode != 0:
            raise unittest.SkipTest("no mount namespaces here")

    def test_memory(self):
        """What a session keeps must be allowed; weights can be read again, but for a copy of them."""
        command = (EDGELLM, "run", TM2, "-p", "the fox", "-n", "2", "-s", "1", "-q", *SESSION)
        plan = json.loads(edgellm("info", TM2, "--json", *SESSION).stdout)["plan"]
        kept = plan["total"] - plan["weights"] - plan["program"]
        right = edgellm(*command[1:]).stdout
        for text in ("max", f"{plan['total'] + SYSTEM}\n", f"{kept + SYSTEM}\n"):
            done = in_group({"memory.max": text}, *command)
            self.assertEqual((done.returncode, done.stdout), (0, right), done.stderr)
        done = in_group({"memory.max": f"{plan['total'] + SYSTEM}\n"}, *command, "--copy")
        self.assertEqual((done.returncode, done.stdout), (0, right), done.stderr)
        for command_, limit in ((command, kept // 2), ((*command, "--rt"), plan["total"] // 2),
                                ((*command, "--copy"), plan["total"] // 2)):
            done = in_group({"memory.max": f"{limit}\n"}, *command_)
            self.assertEqual((done.returncode, done.stdout), (MEMORY, b""), done.stderr)
            self.assertRegex(done.stderr.decode(), rf"\Aedgellm: [^\n]* control group [^\n]* allows {limit}: [^\n]+\n\Z")

    def test_a_copy_that_does_not_fit(self):
        size = os.path.getsize(TM2)
        for option in ("--copy", "--rt"):
            done = in_group({"memory.max": f"{size - 1}\n"}, EDGELLM, "run", TM2, "-p", "fox", option)
            self.assertEqual((done.returncode, done.stdout), (MEMORY, b""), done.stderr)
            self.assertRegex(done.stderr.decode(), rf"\Aedgellm: a copy of [^\n]+ takes {size} bytes[^\n]+\n\Z")

    def test_bench_without_room_for_a_second_copy(self):
        """Its roofline then reads what is mapped, and says so."""
        model = OUT / "layers.tm2.bin"
        subprocess.run([MAKE_TINY, OUT / "layers.gguf", "layers"], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", OUT / "layers.gguf", "-o", model, "-q", "--bits", "8", "--calibrate",
                        "none"], check=True, timeout=60)
        size, context = os.path.getsize(model), ("-c", "64", "-j", "1")
        self.assertGreater(size, 6 * MIB)
        total = json.loads(edgellm("info", model, "--json", *context).stdout)["plan"]["total"]
        bench = (EDGELLM, "bench", model, "--runs", "1", "--warmup", "0", "-n", "2", "-p", "4", *context)
        for option, more, copied in (("--copy", 5 * MIB, False), ("--rt", 5 * MIB, False), ("--copy", SYSTEM + size, True)):
            group = {"memory.max": f"{total + more}\n"}
            done = in_group(group, *bench, option, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIs(json.loads(done.stdout)["roofline"]["roof_copied"], copied)
            text = in_group(group, *bench, option).stdout.decode()
            self.assertIs("mapped: there is no room for a second copy" in text, not copied)

    def test_processor_time(self):
        """No more threads than the quota has whole cores, or parts of one."""
        for quota, cores in (("100000 100000\n", 1), ("30000 100000\n", 1), ("max 100000\n", None)):
            done = in_group({"cpu.max": quota}, EDGELLM, "info", TM2, "--json")
            threads = json.loads(done.stdout)["plan"]["n_threads"]
            self.assertEqual(threads, cores or json.loads(edgellm("info", TM2, "--json").stdout)["plan"]["n_threads"])
        done = in_group({"cpu.max": "100000 100000\n"}, EDGELLM, "run", TM2, "-p", "fox", "-j", "2")
        self.assertEqual((done.returncode, done.stdout), (USAGE, b""))
        self.assertIn(b"may use 1 core;", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
