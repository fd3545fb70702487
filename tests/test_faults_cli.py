#!/usr/bin/env python3
"""The `edgellm` program when the system fails it: for every command and every kind of call the
Nth such call fails, for N = 1, 2, 3, ... until a run does not come that far; and for commands that
write, SIGKILL at every moment that touches a file.

    python3 tests/test_faults_cli.py EDGELLM MAKE_TINY INJECT OUT_DIR failures | writers | valgrind [all]

`failures`: each call of each command fails; `writers`: a run of hours is broken off, writers are
killed; `valgrind`: some failures, each looked through for leaks and wrong accesses, which is slow.
Without `all` (`make test-faults`) only some of the later N are tried: commands make
most of their calls alike, and each has others of them fail.
INJECT is the library of tests/faults/inject.c. Standard library only. A new command is a row of COMMANDS; one
that writes a file, a row of WRITERS too.
"""
import errno
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import unittest
import zlib

EDGELLM, MAKE_TINY, INJECT = (os.path.abspath(path) for path in sys.argv[1:4])
PART = sys.argv[5]
ALL = sys.argv[6:] == ["all"]
OUT = pathlib.Path(sys.argv[4]).absolute()
WORK = OUT / "work"  # the folder in which commands write
GGUF, TM2, TEXT = str(OUT / "tiny.gguf"), str(OUT / "tiny.tm2.bin"), str(OUT / "text")
NARROW = str(OUT / "narrow.gguf")
SHAPES = str(pathlib.Path(__file__).parent.parent / "examples" / "shapes" / "smollm2-135m.json")
ROWS = str(OUT / "rows")  # conversations with answers
TARGET = WORK / "target"
MARK = OUT / "mark"
VALGRIND = ("valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all",
            "--errors-for-leak-kinds=all", "--error-exitcode=99", "--trace-children=yes") if PART == "valgrind" else ()
SAVED = str(OUT / "saved.els")
CACHED, OTHERS = str(OUT / "cached.els"), str(OUT / "others.els")  # prompt caches: RUN's, another's
CERTIFICATE = str(OUT / "certificate.json")
KEPT, MADE = OUT / "kept", OUT / "made"  # the source's logits: there already; emptied each time
os.environ["TMPDIR"] = str(WORK)  # what is left there is seen
os.environ["EDGELLM_CACHE"] = "none"  # so is what is left there
IO, MEMORY = 3, 6
MOST_RUNS = 5000  # of one command with one fault: more is a failure without an end
CORES = str(min(2, len(os.sched_getaffinity(0))))

# Kind of call, how it fails, exit codes allowed. With 0 the output must be as without a failure.
FAULTS = (
    ("memory", errno.ENOMEM, {0, MEMORY}),  # 0: the one inside fopen("/proc/self/statm"), ...
    ("mmap", errno.ENOMEM, {MEMORY}),
    ("mlock", errno.EPERM, {0}),
    ("open", errno.EMFILE, {0, IO}),  # 0: of a folder to sync it, of a container's quota
    ("read", errno.EIO, {0, IO}),
    ("read", errno.EINTR, {0}),
    ("read", "short", {0}),
    ("write", errno.ENOSPC, {IO}),
    ("write", errno.EINTR, {0}),
    ("write", "short", {0}),
    ("fsync", errno.EIO, {0, IO}),  # 0: of the folder
    ("close", errno.EIO, {0}),
    ("rename", errno.EACCES, {IO}),
    ("thread", errno.EAGAIN, {MEMORY}),
    ("exec", errno.EACCES, {IO}),
)
CHAT = ("chat", TM2, "-n", "3", "-s", "1", "-c", "128", "-j", "1", "-q", "--no-history")
# Threads that wait for each other take ten times as long where other tests have the processors: one
# command of a kind has two, the others one.
RUN = ("run", TM2, "-p", "the quick fox", "-n", "4", "-s", "1", "-j", "1", "-c", "64")
CERTIFY = ("certify", TM2, "--duration", "0.001", "-j", "1")
SMALL = ("-c", "32", "-b", "8")  # a round takes as long as its context is large
AGAINST = ("perplexity", TM2, TEXT, "-c", "16", "--chunks", "2", "-j", "1", "--against")
COMMANDS = {
    "quantize": ("quantize", GGUF, "-o", TARGET, "--bits", "4", "--calibrate", "none"),
    "quantize, anew": ("quantize", GGUF, "-o", TARGET, "--bits", "4", "--calibrate", "none"),
    "quantize, json": ("quantize", GGUF, "-o", TARGET, "--json"),
    "plan": ("quantize", "--plan", SHAPES, "--fit", "40MB"),
    "plan, json": ("quantize", "--plan", SHAPES, "--fit", "40MB", "--json"),
    "run": RUN[:-3] + (CORES,) + RUN[-2:],
    "run, json": RUN + ("--json", "--hash"),
    "run, file": ("run", TM2, "--prompt-file", TEXT, "-n", "1", "-s", "1", "-j", "1", "-q", "--copy"),
    "info": ("info", TM2),
    "info, json": ("info", TM2, "--json"),
    "tokenize": ("tokenize", TM2, "the fox"),
    "tokenize, json": ("tokenize", TM2, "the fox", "--json"),
    "embed": ("embed", TM2, "the fox", "-j", "1"),
    "embed, json": ("embed", TM2, "--file", TEXT, "-j", "1", "--json"),
    "tokenize, back": ("tokenize", TM2, "--decode", "70 71 72"),
    "perplexity": ("perplexity", TM2, TEXT, "-c", "16", "--chunks", "2", "-j", CORES),
    "perplexity, json": ("perplexity", TM2, TEXT, "-c", "16", "--chunks", "1", "--json"),
    "perplexity, chat": ("perplexity", TM2, ROWS, "--chat", "-c", "64", "-j", "1", "--against", TM2),
    "against, kept": AGAINST + (TM2, "--cache", KEPT),
    "against, making": AGAINST + (TM2, "--cache", MADE),
    "against, gguf": AGAINST + (GGUF, "--cache", "none"),
    "bench": ("bench", TM2, "--runs", "2", "-n", "2", "-p", "4", "-j", CORES),
    "bench, json": ("bench", TM2, "--runs", "2", "-n", "2", "-p", "4", "-j", "1", "--json"),
    "bench, output": ("bench", TM2, "--runs", "2", "--blocks", "2", "--warmup", "0", "-n", "2", "-p", "4",
                      "-j", "1", "--output", TARGET, "--json"),
    "bench, submit": ("bench", TM2, "--runs", "2", "-n", "2", "-p", "4", "-j", "1", "--submit", TARGET,
                      "--json"),
    "bench, sessions": ("bench", TM2, "--sessions", "2", "--runs", "1", "-n", "4", "-p", "4", "-j", "1",
                        "--json"),
    "run, certificate": RUN + ("--certificate", CERTIFICATE, "--json"),
    "run, deadline": RUN + ("--deadline-ms", "3600000", "--json"),
    "certify": CERTIFY[:-1] + (CORES,) + SMALL + ("-o", TARGET, "--json"),
    "certify, sessions": CERTIFY + SMALL + ("--sessions", "3", "-o", TARGET, "--json"),
    "certify, check": CERTIFY + SMALL + ("--check", "--certificate", CERTIFICATE, "--slower", "1e6", "--json"),
    "soak": ("soak", TM2, "--requests", "2", "-p", "4", "-n", "2", "-j", "1", "--certificate",
             CERTIFICATE, "--json"),
    "run, prompt cache": RUN + (f"--prompt-cache={TARGET}",),
    "run, prompt cache there": RUN + (f"--prompt-cache={CACHED}", "--json", "--hash"),
    "chat, save": CHAT + ("--save", TARGET),
    "chat, load": CHAT + ("--load", SAVED),
    "help": ("help", "run"),
}
# Failures that a command may survive, beside those that all may.
SURVIVES = {"against, making": {"write", "rename"}}
INPUT = {"chat": b"the fox\n"}
# Calls are counted in each program that a process becomes, so a fault meets the first that makes so
# many: a set OPENBLAS_CORETYPE keeps edgellm-quantize from starting itself anew, but for these.
ANEW = {"quantize, anew"}
# Commands that write TARGET.
WRITERS = {name: COMMANDS[name] for name in ("quantize", "bench, output", "bench, submit", "chat, save", "certify",
                                            "run, prompt cache")}
# What was measured differs from run to run; a distribution is measured whole. "program" and what
# is summed from it are 0 where /proc does not tell.
MEASURED = re.compile(r"(_ms|tok_s|_gb_s|share|_rss|seconds|program|total|planned_bytes|samples|rounds"
                      r"|_percent|above|checksum|^ratio|^ms|late|_gap|whole|shortened|refused"
                      r"|of_those_\w+|tokens_of_those|tokens_that_fit)$")
# How many outliers there are is chance, and whether threads could be looked at.
CHANCE = {"outliers", "threads"}
# Of a certificate: what /proc and /sys tell, or not; of a soak, what became of each request.
UNTOLD = {"board", "conditions", "requests", "gap_ms"}


def is_tried(name, call, n):
    """Whether the nth call of a kind is failed in that command."""
    if ALL or n <= 6:
        return True
    share = 32 if call == "memory" else 8
    return n % share == zlib.crc32(f"{name} {call}".encode()) % share


def run(arguments, fault=None, **options):
    """fault: (call, n, how). Returns the finished process and whether the call was made."""
    command = [EDGELLM, *map(str, arguments)]
    if fault:
        set_up = {"LD_PRELOAD": INJECT, "EDGELLM_FAULT": "%s:%d:%s" % fault,
                  "EDGELLM_FAULT_MARK": str(MARK)}
        if VALGRIND:  # `env`, so that only the program itself is failed
            command[:0] = ["env", *("=".join(pair) for pair in set_up.items())]
        else:
            options["env"] = options.get("env", os.environ) | set_up
    MARK.unlink(missing_ok=True)
    shutil.rmtree(MADE, ignore_errors=True)
    done = subprocess.run([*VALGRIND, *command], timeout=60, input=INPUT.get(arguments[0], b""),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    return done, MARK.exists()


def shape(value, key=""):
    """What must not change when a failure is survived: all but what was measured."""
    if isinstance(value, dict):
        return {k: shape(v, key if MEASURED.search(key) else k) for k, v in value.items()
                if k not in UNTOLD and (k not in CHANCE or not isinstance(v, (dict, list)))}
    if isinstance(value, list):
        return [shape(v, key) for v in value]
    return type(value).__name__ if MEASURED.search(key) else value


def comparable(arguments, output):
    if "--json" in arguments:
        return shape(json.loads(output))
    numbers = r"[\d.]+" if arguments[0] in ("bench", "quantize", "info") else r"\d+\.\d+"
    return re.sub(rb"\s+", b" ", re.sub(numbers.encode(), b"#", output))


def old(arguments):
    """What the target holds before: `chat` replaces nothing but session files, a prompt cache
    nothing but those of others."""
    if is_cached(arguments):
        return pathlib.Path(OTHERS).read_bytes()
    return pathlib.Path(SAVED).read_bytes() if arguments[0] == "chat" else b"what was there before"


def is_cached(arguments):
    return any(str(a).startswith("--prompt-cache") for a in arguments)


def content(arguments):
    """What the target holds, where need be without what was measured."""
    held = TARGET.read_bytes()
    if held == old(arguments) or not ({"--output", "--submit"} & set(arguments) or arguments[0] == "certify"):
        return held
    return shape(json.loads(held))


def is_partial(arguments):
    """What was measured before a failure, whole and with the error in it."""
    return "--output" in arguments and json.loads(TARGET.read_bytes())["summary"]["error"] is not None


def put_old(arguments):
    WORK.mkdir(parents=True, exist_ok=True)
    for path in WORK.iterdir():
        path.unlink()
    TARGET.write_bytes(old(arguments))


def is_session(path):
    """Complete: it is checked whole when it is loaded."""
    return run(CHAT + ("--load", path))[0].returncode == 0


def setUpModule():
    os.environ["OPENBLAS_CORETYPE"] = "Prescott"
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    subprocess.run([MAKE_TINY, NARROW, "narrow"], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", GGUF, "-o", TM2], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    pathlib.Path(TEXT).write_text("the quick brown fox jumps over the lazy dog and 12 more\n" * 3)
    asked = [{"role": "user", "content": "the fox"}]
    pathlib.Path(ROWS).write_text(2 * (json.dumps({"messages": asked, "answer": "jumps"}) + "\n"))
    WORK.mkdir(exist_ok=True)
    shutil.rmtree(KEPT, ignore_errors=True)
    kept = run(COMMANDS["against, kept"])[0]
    if kept.returncode != 0 or len(os.listdir(KEPT)) != 1:
        raise AssertionError(kept.stderr)
    certified = run(CERTIFY + ("-c", "128", "-o", CERTIFICATE))[0]
    if certified.returncode != 0:
        raise AssertionError(certified.stderr)
    for prompt, path in (("another one", OTHERS), ("the quick fox", CACHED)):
        pathlib.Path(path).unlink(missing_ok=True)
        made = run(RUN[:3] + (prompt,) + RUN[4:] + (f"--prompt-cache={path}",))[0]
        if made.returncode != 0:
            raise AssertionError(made.stderr)
    talk = run(CHAT + ("--save", SAVED, "--system", "Be brief."))[0]
    if talk.returncode != 0:
        raise AssertionError(talk.stderr)


class Failures(unittest.TestCase):
    def expect_error(self, arguments, done, codes, what):
        self.assertIn(done.returncode, codes - {0}, (what, done.stdout, done.stderr))
        # Before a late error a prompt cache that was not used may be named, and the answer measured.
        before = r"(note: [^\n]+\n)?(prefill [^\n]+\n)?" if is_cached(arguments) else ""
        self.assertRegex(done.stderr.decode(), rf"\A{before}edgellm: [^\n]{{20,}}\n\Z", what)

    def check(self, arguments, done, codes, right, what):
        if done.returncode == 0:
            self.assertIn(0, codes, (what, "was not noticed", done.stdout, done.stderr))
            self.assertEqual(comparable(arguments, done.stdout), right["output"], what)
            self.assertEqual(content(arguments), right["content"], what)
        else:
            self.expect_error(arguments, done, codes, what)
            if arguments[0] == "quantize" and what[1] != "write":
                self.assertEqual(done.stdout, b"", what)  # nothing that claims success
            whole = content(arguments) in (old(arguments), right["content"])
            # What was said until an error is saved.
            self.assertTrue(whole or "--save" in arguments and is_session(TARGET) or
                            is_partial(arguments), what)
        self.assertEqual(os.listdir(WORK), [TARGET.name], what)
        if MADE.exists():  # whole or not at all
            self.assertEqual([f for f in os.listdir(MADE) if not f.endswith(".logits")], [], what)

    def every_failure(self, name):
        arguments, options = COMMANDS[name], {}
        if name in ANEW:
            options["env"] = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        put_old(arguments)
        done, _ = run(arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        right = {"output": comparable(arguments, done.stdout), "content": content(arguments)}
        made = {}
        for call, how, codes in FAULTS:
            codes = codes | {0} if call in SURVIVES.get(name, ()) else codes
            for n in range(1, MOST_RUNS):
                if not is_tried(name, call, n):
                    continue
                if TARGET.read_bytes() != old(arguments):
                    put_old(arguments)
                done, reached = run(arguments, (call, n, how), **options)
                self.check(arguments, done, codes if reached else {0}, right, (name, call, how, n))
                if not reached:
                    break
                made[call] = n
            else:
                self.fail((name, call, how, "has no end"))
        return made


def failure_test(name):
    def test(self):
        made = self.every_failure(name)
        print("%-18s" % name, made, file=sys.stderr)
        if name != "help":  # which asks the system for nothing that fails
            self.assertGreater(made.get("memory", 0), 0)
        if name in WRITERS:
            self.assertLessEqual({"mmap", "open", "write", "fsync", "close", "rename"}, set(made))
    return test


for command in COMMANDS:
    setattr(Failures, "test_" + re.sub(r"\W+", "_", command), failure_test(command))


class Leaps(unittest.TestCase):
    """The time of day leaps by years at each look: no duration is measured by it."""

    def test_time_goes_on(self):
        env = os.environ | {"LD_PRELOAD": INJECT, "EDGELLM_FAULT_CLOCK": "1"}
        for name in ("run, json", "run, deadline", "bench, json", "certify", "soak"):
            arguments = COMMANDS[name]
            put_old(arguments)
            done, _ = run(arguments)
            leaped, _ = run(arguments, env=env)
            self.assertEqual((leaped.returncode, leaped.stderr), (0, done.stderr), name)
            self.assertEqual(comparable(arguments, leaped.stdout), comparable(arguments, done.stdout))
            for times in re.findall(rb'"\w+_ms": ([-\d.e]+)', leaped.stdout):
                self.assertTrue(-1000 < float(times) < 60000 or float(times) == 3600000, (name, times))


class Calibrated(unittest.TestCase):
    """A run of hours: whatever fails, the target keeps its bytes, what is finished stays in the
    journal, and --resume makes the file that an undisturbed run makes."""

    COMMAND = ("quantize", NARROW, "-o", TARGET, "--fit", "21KB", "--length", "8", "--sequences", "2",
               "--epochs", "1", "--steps", "1", "-j", "1", "-q")
    JOURNAL = TARGET.name + ".unfinished-edgellm"
    # Kind of call, how it fails, exit codes allowed.
    FAULTS = (
        ("memory", errno.ENOMEM, {0, MEMORY}),
        ("mmap", errno.ENOMEM, {MEMORY}),
        ("open", errno.EMFILE, {0, IO}),
        ("write", errno.ENOSPC, {IO}),
        ("write", "kill", {-signal.SIGKILL}),
        ("fsync", errno.ENOSPC, {0, IO}),
        ("rename", errno.EACCES, {IO}),
    )

    def go_on(self, right, what):
        """After a failure, or a success that took no notice of one."""
        done, _ = run(self.COMMAND + ("--resume",))
        self.assertEqual(done.returncode, 0, (what, done.stderr))
        self.assertTrue(TARGET.read_bytes() == right, what)  # without a print of both
        self.assertEqual(os.listdir(WORK), [TARGET.name], what)

    def fail_once(self, call, n, how, codes, right):
        put_old(self.COMMAND)
        what = (call, how, n)
        done, reached = run(self.COMMAND, (call, n, how))
        self.assertIn(done.returncode, codes if reached else {0}, (what, done.stdout, done.stderr))
        if done.returncode > 0:
            self.assertRegex(done.stderr.decode(), r"\Aedgellm: [^\n]{20,}\n\Z", what)
            self.assertLessEqual(set(os.listdir(WORK)), {TARGET.name, self.JOURNAL}, what)
        content = TARGET.read_bytes()
        self.assertTrue(content == right if done.returncode == 0 else content == old(self.COMMAND) or
                        how == "kill" and content == right, (what, done.returncode))
        if how == errno.ENOSPC and done.returncode != 0:
            self.assertIn(b"No space left", done.stderr, what)
        self.go_on(right, what)
        return reached

    def test_every_failure(self):
        put_old(self.COMMAND)
        self.assertEqual(run(self.COMMAND)[0].returncode, 0)
        right, made = TARGET.read_bytes(), {}
        for call, how, codes in self.FAULTS:
            n = 1
            while self.fail_once(call, n, how, codes, right):
                made[call] = n
                n += 1
                while not is_tried("calibrated", call, n):
                    n += 1
        print("%-18s" % "calibrated", made, file=sys.stderr)
        self.assertLessEqual({call for call, *_ in self.FAULTS}, set(made))
        self.assertGreater(made["write"], 10)  # a journal's records, and the files


class Killed(unittest.TestCase):
    """A killed writer leaves the old target or the complete new one; the next run cleans up."""

    def check_target(self, arguments, right, what):
        held = content(arguments)
        self.assertIn(held, (old(arguments), right), (what, "the target is neither old nor new"))
        others = [name for name in os.listdir(WORK) if name != TARGET.name]
        self.assertLessEqual(len(others), 1, (what, others))
        return held == right

    def clean_run(self, arguments, right, what):
        done, _ = run(arguments)
        self.assertEqual(done.returncode, 0, (what, done.stderr))
        self.assertEqual(content(arguments), right, what)
        self.assertEqual(os.listdir(WORK), [TARGET.name], what)

    def kill_at_every(self, name, call, right):
        """Returns at how many moments; and how often the new file was in place."""
        arguments, moments, finished = WRITERS[name], 0, 0
        for n in range(1, MOST_RUNS):
            if not is_tried(name, call, n):
                continue
            put_old(arguments)
            done, reached = run(arguments, (call, n, "kill"))
            if not reached:
                self.assertEqual(done.returncode, 0, done.stderr)
                return moments, finished
            self.assertEqual(done.returncode, -signal.SIGKILL, (call, n))
            moments += 1
            finished += self.check_target(arguments, right, (call, n))
            self.clean_run(arguments, right, (call, n))
        return self.fail("there is no end")

    def test_every_moment(self):
        for name, arguments in WRITERS.items():
            put_old(arguments)
            run(arguments)
            right = content(arguments)
            self.assertNotEqual(right, old(arguments))
            self.clean_run(arguments, right, name)
            kills = {call: self.kill_at_every(name, call, right)
                     for call in ("open", "write", "fsync", "close", "rename")}
            print("%-18s" % name, "killed at", kills, file=sys.stderr)
            self.assertGreater(kills["write"][0], 1)
            self.assertEqual(kills["rename"], (1, 0))
            self.assertGreater(kills["fsync"][1], 0)  # the folder's, after the rename

    def test_again_and_again(self):
        """Temporaries of killed processes do not pile up."""
        arguments = WRITERS["quantize"]
        put_old(arguments)
        for n in (2, 1, 2, 1):
            run(arguments, ("write", n, "kill"))
            self.assertEqual(len(os.listdir(WORK)), 2)
            self.assertEqual(TARGET.read_bytes(), old(arguments))
        done, _ = run(arguments)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(os.listdir(WORK), [TARGET.name])
        self.assertEqual(run(("info", TARGET, "--verify"))[0].returncode, 0)

    def test_full_disk(self):
        """RLIMIT_FSIZE stands for the disk: failing, then killed, at every size."""
        arguments = WRITERS["quantize"]
        put_old(arguments)
        for size in range(0, 40000, 4000):
            def limit(size=size):
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            done, _ = run(arguments, preexec_fn=limit)
            self.assertEqual(done.returncode, IO, done.stderr)
            self.assertIn(b"File too large", done.stderr)
            self.assertEqual(TARGET.read_bytes(), old(arguments))
            self.assertEqual(os.listdir(WORK), [TARGET.name])


class Leaks(unittest.TestCase):
    """Allocations are valgrind's own there and do not fail: the other calls do."""

    CASES = {
        "quantize": (("open", 1), ("mmap", 1), ("write", 1), ("write", 2), ("fsync", 1),
                     ("rename", 1)),
        "run": (("mmap", 2), ("mmap", 3), ("thread", 1), ("write", 1)),
        "info, json": (("write", 1),),
    }

    def test_errors(self):
        for name, cases in self.CASES.items():
            for call, n in cases:
                put_old(COMMANDS[name])
                done, reached = run(COMMANDS[name], (call, n, errno.ENOMEM))
                what = (name, call, n, done.stderr)
                self.assertTrue(reached, what)
                self.assertIn(done.returncode, (IO, MEMORY), what)


PARTS = {"failures": (Failures,), "writers": (Leaps, Calibrated, Killed), "valgrind": (Leaks,)}


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(map(loader.loadTestsFromTestCase, PARTS[PART]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
