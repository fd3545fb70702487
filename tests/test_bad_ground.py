#!/usr/bin/env python3
"""The program where the ground is bad: nothing writable, no /proc, no /sys, a /tmp where nothing is executed, one core, a
quota of a core and a half, the locale C, a clock that was never set. docs/BOARDS.md has the table.

    python3 tests/test_bad_ground.py EDGELLM MAKE_TINY OUT_DIR INJECT

Mounts are made in a namespace of the test's own; where that is not permitted those tests are skipped, and say so.
INJECT: tests/faults/inject.c, for the clock. Standard library only.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT, INJECT = pathlib.Path(sys.argv[3]).absolute(), os.path.abspath(sys.argv[4])
GGUF, TM2 = str(OUT / "tiny.gguf"), str(OUT / "tiny.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
IO = 3
RUN = (EDGELLM, "run", TM2, "-p", "the fox", "-n", "4", "-s", "1", "-q", "--hash")
BENCH = (EDGELLM, "bench", TM2, "--runs", "1", "--warmup", "0", "-n", "2", "-p", "4")
CERTIFY = (EDGELLM, "certify", TM2, "--duration", "0.001", "-c", "64", "-b", "8", "-j", "1", "-o")
EACH = {"run": RUN, "bench": BENCH, "info": (EDGELLM, "info", TM2), "doctor": (EDGELLM, "doctor", "-q"),
        "tokenize": (EDGELLM, "tokenize", TM2, "the fox"), "certify": (*CERTIFY, str(OUT / "certificate.json"))}


def call(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, timeout=120,
                          **{"stdin": subprocess.DEVNULL, **options})


def mounted(script, *command, **options):
    """The command after the script, in a mount namespace; exit code 99: the script failed."""
    flags = "-m" if os.geteuid() == 0 else "-rm"
    return call("unshare", flags, "sh", "-c", f'{{ {script}; }} || exit 99; exec "$@"', "sh", *command, **options)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    call(MAKE_TINY, GGUF, check=True)
    call(EDGELLM, "quantize", GGUF, "-o", TM2, "-q", check=True)


class Case(unittest.TestCase):
    def right(self, done, known=None):
        self.assertEqual(done.returncode, 0, done.stderr)
        if known is not None:
            self.assertEqual((done.stdout, done.stderr), (known.stdout, known.stderr))

    def refused(self, done, code=IO, contains=""):
        self.assertEqual(done.returncode, code, done)
        self.assertRegex(done.stderr.decode(), rf"\Aedgellm: [^\n]*{contains}[^\n]*\n\Z")


class Mounts(Case):
    """What lies where the system has its files."""
    EMPTY_PROC = "mount -t tmpfs none /proc"
    EMPTY_SYS = "mount -t tmpfs none /sys"

    @classmethod
    def setUpClass(cls):
        if shutil.which("unshare") is None or mounted(cls.EMPTY_PROC, "true").returncode != 0:
            raise unittest.SkipTest("NOT TRIED: mount namespaces are not permitted here")

    def test_without_proc_and_sys(self):
        """No cpuinfo, no meminfo, no cpufreq, no sensors: nothing is known, and nothing is refused for it."""
        known = call(*RUN)
        for script in (self.EMPTY_PROC, self.EMPTY_SYS, f"{self.EMPTY_PROC} && {self.EMPTY_SYS}"):
            for name, command in EACH.items():
                with self.subTest(script=script, command=name):
                    self.right(mounted(script, *command), known if name == "run" else None)
            done = mounted(script, EDGELLM, "bench", *BENCH[2:], "--json")
            self.right(done)
            if "/sys" in script:
                self.assertIsNone(json.loads(done.stdout)["conditions"]["clock_mhz"])

    def test_nothing_writable(self):
        """The root read-only, as on a board whose card is to last: answers come; what writes says so in one line."""
        script = f"mount --bind {OUT} {OUT} && mount -o remount,bind,ro {OUT}"
        known = call(*RUN)
        folder = {**os.environ, "HOME": str(OUT), "XDG_CACHE_HOME": str(OUT), "TMPDIR": str(OUT)}
        del folder["EDGELLM_CACHE"]
        for name in ("run", "bench", "info", "doctor", "tokenize"):
            with self.subTest(command=name):
                self.right(mounted(script, *EACH[name], env=folder), known if name == "run" else None)
        for command in (EACH["certify"], (*BENCH, "--submit", OUT / "x.json"), (*BENCH, "--output", OUT / "x.json"),
                        (EDGELLM, "quantize", GGUF, "-o", OUT / "new.tm2.bin", "-q")):
            with self.subTest(command=command):
                self.refused(mounted(script, *command, env=folder), contains="Read-only file system")

    def test_nothing_is_executed_in_tmp(self):
        script = "mount -t tmpfs -o noexec none /tmp && mkdir /tmp/t"
        if str(OUT).startswith("/tmp/"):
            script = f"mkdir -p {OUT}/t && mount -t tmpfs -o noexec none {OUT}/t"
        folder = {**os.environ, "TMPDIR": f"{OUT}/t" if str(OUT).startswith("/tmp/") else "/tmp/t"}
        for command in (RUN, (*BENCH, "--load", "io")):
            self.right(mounted(script, *command, env=folder))

    def test_a_core_and_a_half(self):
        group = OUT / "group"
        group.mkdir()
        (group / "cpu.max").write_text("150000 100000\n")
        done = mounted(f"mount --bind {group} /sys/fs/cgroup", EDGELLM, "info", TM2, "--json")
        self.right(done)
        usable = len(os.sched_getaffinity(0))
        self.assertEqual(json.loads(done.stdout)["plan"]["n_threads"], min(2, usable))


class Processor(Case):
    def test_one_core(self):
        core = min(os.sched_getaffinity(0))
        one = {"preexec_fn": lambda: os.sched_setaffinity(0, {core})}
        self.right(call(*RUN, **one), call(*RUN))
        self.assertEqual(json.loads(call(EDGELLM, "info", TM2, "--json", **one).stdout)["plan"]["n_threads"], 1)
        self.right(call(*RUN, "--rt", **one))


class Surroundings(Case):
    def test_locale(self):
        """Text is bytes: the locale does not matter, nor that it is not there."""
        command = (EDGELLM, "tokenize", TM2, "äöü 日本 fox", "--json")
        known = call(*command)
        self.right(known)
        for name in ("C", "C.UTF-8", "POSIX", "de_DE.UTF-8", "xx_YY.nothing", ""):
            environment = {**os.environ, "LC_ALL": name, "LANG": name}
            self.right(call(*command, env=environment), known)
            self.right(call(*RUN, env=environment), call(*RUN))
            figures = call(*BENCH, "--json", env=environment)
            self.assertGreater(json.loads(figures.stdout)["decode_tok_s"], 0)  # a point, never a comma

    def test_an_empty_environment(self):
        self.right(call(*RUN, env={}), call(*RUN))

    def test_a_clock_that_was_never_set(self):
        """A board without a battery begins in 1970, or before."""
        for second in (0, 86400, -86400, 315532799):
            clock = {**os.environ, "LD_PRELOAD": INJECT, "EDGELLM_FAULT_CLOCK": f"@{second}"}
            self.right(call(*RUN, env=clock), call(*RUN))
            self.right(call(*RUN, "--deadline-ms", "3600000", env=clock))
            self.right(call(*BENCH, "--unique-prompts", env=clock))
            self.right(call(*EACH["certify"], env=clock))

    def test_files_of_another_time(self):
        os.utime(TM2, (0, 0))
        self.right(call(*RUN), call(*RUN))
        os.utime(TM2, (1 << 32, 1 << 32))  # 2106
        self.right(call(*RUN), call(*RUN))

    def test_standard_streams_that_are_closed(self):
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *RUN], stdout=subprocess.PIPE, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (0, call(*RUN).stdout))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
