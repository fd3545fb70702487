#!/usr/bin/env python3
"""The `edgellm` program, disturbed from outside: stopped (SIGSTOP) in the middle of its work for
longer than its deadline and then continued.

    python3 tests/test_disturbed.py EDGELLM MAKE_TINY OUT_DIR

What is streamed goes into a pipe too small for an answer, so that its middle is surely met; else
the middle is where the process has had its share of processor time. Standard library only.
"""
import csv
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TM2 = str(OUT / "long.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
SMALLEST_PIPE = 4096  # bytes; an answer of ANSWER tokens has more
ANSWER = ("-n", "8000", "-s", "7", "-t", "1", "--ignore-eos", "-c", "8192", "-b", "16", "-j", "1")
RUN = ("run", TM2, "-p", "the fox", *ANSWER)
DEADLINE_MS, STOP_MS = 1000, 1400
NO_TOKEN = 9  # the exit code where the deadline passes before the first one
TICKS = os.sysconf("SC_CLK_TCK")
TRIES = 6  # to stop a process within its answer, each after twice the time


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, OUT / "long.gguf", "long"], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", OUT / "long.gguf", "-o", TM2, "-q", "--bits", "8",
                    "--calibrate", "none"], check=True, timeout=60)


def edgellm(*arguments, **options):
    done = subprocess.run([EDGELLM, *map(str, arguments)], capture_output=True, timeout=120, **options)
    if done.returncode != 0:
        raise AssertionError((arguments, done.stderr))
    return done


def seconds_of(pid):
    """Processor time."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


class Child:
    """The program at work; its errors go into a file, so that only standard output can block it."""

    def __init__(self, folder, *arguments, text=b"", **options):
        self.errors = folder / "errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen([EDGELLM, *map(str, arguments)], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, **options)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
        self.process.stdin.write(text)
        self.process.stdin.close()
        self.seen = b""

    def until_it_said(self, count):
        while len(self.seen) < count:
            got = os.read(self.process.stdout.fileno(), count)
            if not got:
                raise AssertionError((self.seen, self.errors.read_text()))
            self.seen += got

    def until_it_computed(self, seconds):
        while self.process.poll() is None and seconds_of(self.process.pid) < seconds:
            time.sleep(0.002)

    def stop(self, ms):
        """False: it had ended."""
        self.process.send_signal(signal.SIGSTOP)
        if self.process.poll() is not None:
            return False
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        time.sleep(ms / 1e3)
        self.process.send_signal(signal.SIGCONT)
        return True

    def end(self):
        """Exit code, standard output, standard error."""
        self.seen += self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(60), self.seen, self.errors.read_text()


class Stopped(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def stopped(self, *arguments, **options):
        """What a command says that is stopped after some bytes of its answer."""
        child = Child(self.folder, *arguments, **options)
        child.until_it_said(100)
        self.assertTrue(child.stop(STOP_MS), child.errors.read_text())
        return child.end()

    def stopped_at_work(self, hit, *arguments, too_early=0, **options):
        """The same of one that says nothing until its end; what hit() makes of its output once that
        is not None. Every try must end well, or with the exit code of one stopped too early."""
        for n in range(TRIES):
            child = Child(self.folder, *arguments, **options)
            child.until_it_computed(0.1 * 2 ** n)
            child.stop(STOP_MS)
            code, output, errors = child.end()
            self.assertIn(code, (0, too_early), errors)
            met = hit(output) if code == 0 else None
            if met is not None:
                return met
        return self.fail(f"{arguments}: never stopped in the middle")

    def certificate(self, **options):
        path = self.folder / "certificate.json"
        edgellm("certify", TM2, "-c", "8192", "-b", "16", "-j", "1", "--duration", "0.2", "-o", path)
        return path, json.loads(path.read_text())

    def largest_ms(self, certificate):
        costs = certificate["costs"]
        return costs["step_ms"] + 8192 * costs["step_position_ms"] + costs["most_over_ms"]


class Answers(Stopped):
    def test_a_deadline_that_passes_meanwhile(self):
        """It ends with what it had, and says by how much it was late."""
        whole = edgellm(*RUN).stdout
        late = ("--deadline-ms", DEADLINE_MS, "--deadline-shorten")
        code, text, errors = self.stopped(*RUN, *late)
        self.assertEqual(code, 0, errors)
        self.assertTrue(text.endswith(b"\n"))
        self.assertTrue(0 < len(text) < len(whole))
        said = text[:-1].rstrip("\ufffd".encode())  # half a character at its end
        self.assertEqual(said, whole[:len(said)])
        self.assertRegex(errors, r" \| deadline 1000 ms: [\d.]+ forecast by a calibration, "
                                 r"[\d.]+ taken, [\d.]+ late \| deadline\n\Z")

    def test_the_same_as_json(self):
        def hit(output):
            got = json.loads(output)
            self.assertIn(got["finish"], ("deadline", "length"))
            deadline = got["deadline"]
            self.assertAlmostEqual(deadline["late_ms"], max(0, deadline["answer_ms"] - DEADLINE_MS), 6)
            return got if deadline["late_ms"] >= STOP_MS - DEADLINE_MS else None
        # Without an end of its own before the deadline.
        more = ("-n", "90000", "-c", "95000", "--deadline-ms", DEADLINE_MS, "--deadline-shorten", "--json")
        got = self.stopped_at_work(hit, *RUN, *more, too_early=NO_TOKEN)
        self.assertEqual(got["finish"], "deadline")
        tokens = got["tokens"]
        self.assertGreater(len(tokens), 0)
        again = json.loads(edgellm(*RUN, "-n", len(tokens), "-c", "95000", "--json").stdout)
        self.assertEqual(again["tokens"], tokens)

    def test_violations_are_counted(self):
        """One gap holds the stop; no token is another one."""
        whole = edgellm(*RUN).stdout
        path, certificate = self.certificate()
        code, text, errors = self.stopped(*RUN, "--certificate", path)
        self.assertEqual((code, text), (0, whole), errors)
        found = [words for words in errors.split(" | ") if words.startswith("certified: ")]
        self.assertRegex(found[0], r"certified: [1-9]\d* of 7999 gaps above, by [\d.]+ ms at most")
        self.assertGreater(float(found[0].split()[-4]), STOP_MS - self.largest_ms(certificate) - 1)

    def test_a_conversation(self):
        talk = ("chat", TM2, *ANSWER, "-c", "20000", "--no-history")
        said = b"the fox\nthe dog\n"
        whole = edgellm(*talk, input=said).stdout
        code, text, errors = self.stopped(*talk, text=said)
        self.assertEqual((code, text), (0, whole), errors)

    def test_a_conversation_as_json(self):
        path, certificate = self.certificate()
        talk = ("chat", TM2, *ANSWER, "--no-history", "--json", "--certificate", path)
        said = b"the fox\n"
        whole = json.loads(edgellm(*talk, input=said).stdout)
        def hit(output):
            got = json.loads(output)
            self.assertEqual(got["text"], whole["text"])
            return got if got["timings"]["token_ms"]["max"] >= STOP_MS else None
        got = self.stopped_at_work(hit, *talk, text=said)
        counted = got["certificate"]
        self.assertTrue(counted["above"] >= 1 and counted["gaps"] == 7999)
        self.assertGreater(counted["most_above_ms"], STOP_MS - self.largest_ms(certificate) - 1)


class Reports(Stopped):
    def test_a_benchmark(self):
        """Its three files are whole, and the stop is in them as what it was: one long gap."""
        names = {"output": "b.json", "csv": "b.csv", "html": "b.html"}
        files = [word for key, name in names.items() for word in ("--" + key, self.folder / name)]
        def hit(output):
            shown = json.loads(output)
            saved = json.loads((self.folder / "b.json").read_text())
            self.assertEqual(saved["summary"], shown)
            ours, = shown["backends"]
            self.assertIsNone(shown["error"] or ours["error"])
            self.assertEqual(ours["all"]["token_ms"]["samples"], 4 * 4000)
            return ours if ours["all"]["token_ms"]["max"] >= STOP_MS else None
        ours = self.stopped_at_work(hit, "bench", TM2, "--runs", "4", "--blocks", "2", "-n", "4000",
                                    "-p", "4", "-j", "1", "--json", *files)
        self.assertGreaterEqual(ours["all"]["request_ms"]["max"], STOP_MS)
        self.assertGreaterEqual(max(o["gap_ms"] for o in ours["outliers"]["list"]), STOP_MS)
        with (self.folder / "b.csv").open(newline="") as rows:
            self.assertEqual(len({len(row) for row in csv.reader(rows)}), 1)
        self.assertTrue((self.folder / "b.html").read_text().endswith("</body></html>\n"))
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*names.values(), "errors"]))

    def test_a_certificate(self):
        """It tells of the stop as what it was, the longest of all, and is as good as others otherwise."""
        path = self.folder / "c.json"
        setup = ("-c", "2048", "-b", "16", "-j", "1")
        def hit(output):
            got = json.loads(output)
            self.assertEqual(got, json.loads(path.read_text()))
            self.assertGreater(got["measured"]["seconds"], 1)
            return got if got["measured"]["longest_ms"] >= STOP_MS else None
        got = self.stopped_at_work(hit, "certify", TM2, *setup, "--duration", "1", "-o", path, "--json")
        for time_ms in (got["costs"]["step_ms"], *(row["ms"] for row in got["costs"]["chunks"])):
            self.assertLess(time_ms, STOP_MS / 10)
        edgellm("certify", TM2, *setup, "--duration", "0.1", "--check", "--certificate", path,
                "--slower", "1e6")
        used = json.loads(edgellm("run", TM2, "-p", "the fox", "-n", "8", *setup, "--certificate", path,
                                  "--json").stdout)["certificate"]
        self.assertTrue(used["used"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
