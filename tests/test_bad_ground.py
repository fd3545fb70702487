#!/usr/bin/env python3
"""The program where the ground is bad: nothing writable, a disk that is full, no /proc, no /sys, a /tmp where nothing is
executed, one core, a quota of a core and a half, the locale C, a clock that was never set. docs/BOARDS.md has the table.

    python3 tests/test_bad_ground.py EDGELLM MAKE_TINY OUT_DIR INJECT [serve]

Mounts are made in a namespace of the test's own; where that is not permitted those tests are skipped, and say so.
INJECT: tests/faults/inject.c, for the clock. serve: there is an edgellm-serve. Standard library only.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest
import urllib.request

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


def where(script):
    """What a command stands behind, that it runs after the script, in a mount namespace; exit code 99: the script failed."""
    flags = "-m" if os.geteuid() == 0 else "-rm"
    return ["unshare", flags, "sh", "-c", f'{{ {script}; }} || exit 99; exec "$@"', "sh"]


def mounted(script, *command, **options):
    return call(*where(script), *command, **options)


@contextlib.contextmanager
def server(*before, **options):
    """Its address. It ends with the block, and well."""
    process = subprocess.Popen([*map(str, before), EDGELLM, "serve", TM2, "--port", "0", "-c", "256", "-j", "1"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        if address is None:
            raise AssertionError(line + process.stdout.read())
        yield address[0]
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
        if process.returncode != 0:
            raise AssertionError(f"exit code {process.returncode}: {said}")
    finally:
        process.kill()
        process.communicate()


def answer(address):
    request = {"prompt": "the fox", "max_tokens": 4, "seed": 1, "temperature": 0, "ignore_eos": True}
    asked = urllib.request.Request(f"{address}/v1/completions", json.dumps(request).encode(),
                                   {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        return json.load(reply)["choices"][0]


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
    # Whatever else is mounted and can be written to: /tmp on a board in memory, the tests' folder.
    READ_ONLY_ROOT = (f"mount --bind {OUT} {OUT} && for at in / /tmp {OUT}; do "
                      "mountpoint -q $at && { mount -o remount,bind,ro $at || exit 99; } || true; done")

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
        script = f"{self.READ_ONLY_ROOT} && ! touch /usr/written {OUT}/written /tmp/written 2>/dev/null"
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

    def test_a_full_disk(self):
        """What is to be written ends with a line, and what was there stays as it was; what may be left out is left out."""
        disk = OUT / "disk"
        disk.mkdir()
        script = (f"mount -t tmpfs -o size=512k none {disk} && cp {TM2} {disk}/m.tm2.bin && echo '{{}}' >{disk}/c.json && "
                  f"ln {disk}/c.json {disk}/x.json && ! head -c 1M /dev/zero >{disk}/full 2>/dev/null")
        def sums(*command):
            """Lines before, of the command, after."""
            look = f"cd {disk} && for f in *; do cksum <$f; echo $f; done"
            return mounted(script, "sh", "-c", f'{look}; echo ==; "$@"; echo $?; echo ==; {look}', "sh", *command)
        writers = {"quantize": (EDGELLM, "quantize", GGUF, "-o", disk / "m.tm2.bin", "-q"),
                   "certify": (*CERTIFY, disk / "c.json"), "submit": (*BENCH, "--submit", disk / "x.json"),
                   "output": (*BENCH, "--output", disk / "x.json")}
        for name, command in writers.items():
            with self.subTest(command=name):
                done = sums(*command)
                before, of_command, after = done.stdout.split(b"==\n")
                self.assertEqual(of_command.split()[-1], b"%d" % IO, done)
                self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]*No space left on device[^\n]*\n\Z")
                self.assertEqual(before, after)
        self.right(mounted(f"{script} && test -s {disk}/full", *RUN, env={**os.environ, "EDGELLM_CACHE": str(disk)}), call(*RUN))

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


@unittest.skipUnless("serve" in sys.argv[5:], "NOT TRIED: no edgellm-serve in this build")
class Servers(Case):
    """A server there gives the answer that it gives elsewhere, says that it is well, and ends when it is told to."""

    def same(self, *before, **options):
        with server() as address:
            known = answer(address)
        with server(*before, **options) as address:
            self.assertEqual(answer(address), known)
            for path in ("/health", "/metrics", "/props"):
                with urllib.request.urlopen(address + path, timeout=60) as reply:
                    self.assertEqual(reply.status, 200)

    def test_without_files_of_the_system(self):
        script = f"{Mounts.READ_ONLY_ROOT} && {Mounts.EMPTY_PROC} && {Mounts.EMPTY_SYS}"
        if mounted(script, "true").returncode != 0:
            self.skipTest("NOT TRIED: mount namespaces are not permitted here")
        self.same(*where(script))

    def test_a_clock_that_was_never_set_and_no_environment(self):
        self.same(env={"LD_PRELOAD": INJECT, "EDGELLM_FAULT_CLOCK": "@-86400"})


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

    def test_a_reader_that_went_away(self):
        """Whether the signal is taken by its default, or ignored, as under systemd."""
        for action in (signal.SIG_DFL, signal.SIG_IGN):
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run(RUN, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE, timeout=120,
                                  restore_signals=False, preexec_fn=lambda: signal.signal(signal.SIGPIPE, action))
            os.close(write)
            self.refused(done, contains="Broken pipe")

    def test_standard_streams_that_are_closed(self):
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- 2>&-', "sh", *RUN], stdout=subprocess.PIPE, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (0, call(*RUN).stdout))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
