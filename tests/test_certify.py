#!/usr/bin/env python3
"""`edgellm certify`, the use of certificates, deadlines of `edgellm run`, and `edgellm soak`.

    python3 tests/test_certify.py EDGELLM MAKE_TINY OUT_DIR

How fast or even the machine is, is no test; what is refused, kept and counted is. Standard library
only.
"""
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TM2, OTHER = str(OUT / "tiny.tm2.bin"), str(OUT / "other.tm2.bin")
USAGE, IO, FORMAT, UNSUPPORTED, CONTEXT, DEADLINE = 2, 3, 4, 5, 7, 9
SHORT = ("--duration", "0.05", "-c", "128", "-b", "16", "-j", "1")
RUN = ("-p", "the fox", "-n", "8", "-t", "0", "-c", "128", "-b", "16", "-j", "1", "--ignore-eos")


def edgellm(*arguments, cache="none", **options):
    environment = {**os.environ, "EDGELLM_CACHE": str(cache)}
    return subprocess.run([EDGELLM, *map(str, arguments)], capture_output=True, timeout=120,
                          env=environment, **options)


def checksum(certificate):
    """FNV-1a over the rest, sorted and compact, with 12 digits: said in docs/LATENCY."""
    def text(value):
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(k)}:{text(value[k])}" for k in sorted(value)) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(text, value)) + "]"
        if isinstance(value, float):
            shown = "%.12g" % value
            shown = shown.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
            return shown if re.search("[.e]", shown) else shown + ".0"
        return json.dumps(value, ensure_ascii=False)
    rest, hash_ = {k: v for k, v in certificate.items() if k != "checksum"}, 14695981039346656037
    for byte in text(rest).encode():
        hash_ = (hash_ ^ byte) * 1099511628211 % 2 ** 64
    return "%016x" % hash_


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, OUT / "tiny.gguf"], check=True, timeout=60)
    for path, bits in ((TM2, "8"), (OTHER, "4")):
        done = edgellm("quantize", OUT / "tiny.gguf", "-o", path, "-q", "--bits", bits,
                       "--calibrate", "none")
        if done.returncode != 0:
            raise AssertionError(done.stderr)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = self.folder / "c.json"

    def ok(self, *arguments, **options):
        done = edgellm(*arguments, **options)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr))
        return done.stdout.decode()

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "--json", **options))

    def fails(self, code, *arguments, contains="", **options):
        done = edgellm(*arguments, **options)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, code, (arguments, done.stdout, text))
        self.assertRegex(text, r"\Aedgellm: [^\n]+\n\Z")
        self.assertIn(contains, text)
        return text

    def certify(self, *more, model=TM2, pinned=None):
        pin = None if pinned is None else lambda: os.sched_setaffinity(0, {pinned})
        self.ok("certify", model, *SHORT, "-o", self.file, *more, preexec_fn=pin)
        return json.loads(self.file.read_text())

    def change(self, edit, seal=True):
        """The certificate with something else in it, and, as an expert would, a right checksum."""
        certificate = json.loads(self.file.read_text())
        edit(certificate)
        if seal:
            certificate["checksum"] = checksum(certificate)
        path = self.folder / "changed.json"
        path.write_text(json.dumps(certificate))
        return path


class Certify(Case):
    def test_what_is_in_it(self):
        got = self.certify()
        self.assertIn("measured, not proven", got["kind"])
        self.assertEqual(got["checksum"], checksum(got))
        setup, costs, measured = got["setup"], got["costs"], got["measured"]
        self.assertEqual((setup["threads"], setup["batch"], setup["context"]), (1, 16, 128))
        self.assertEqual(setup["kernel"], self.json("info", TM2)["kernel"])
        self.assertRegex(setup["model_identity"], r"\A[0-9a-f]{8}(-[0-9a-f]{8}){2}\Z")
        self.assertEqual(got["board"]["kernel"], os.uname().release)
        self.assertEqual([row["tokens"] for row in costs["chunks"]], [2, 4, 8, 16])
        self.assertGreater(costs["step_ms"], 0)
        self.assertGreaterEqual(costs["most_over_ms"], costs["step_margin_ms"])
        # The first round is whole: every position of this context.
        self.assertGreaterEqual(measured["step_ms"]["samples"], 128)
        self.assertGreaterEqual(measured["requests"]["request_ms"]["samples"], 4)
        self.assertGreaterEqual(measured["requests"]["jitter_ms"], 0)
        self.assertGreater(measured["seconds"], 0.05)
        self.assertEqual(measured["load"], "none")
        self.assertGreaterEqual(measured["longest_ms"], measured["step_ms"]["max"] - 1e-6)
        self.assertEqual(os.listdir(self.folder), ["c.json"])

    def test_output(self):
        text = self.ok("certify", TM2, *SHORT, "-o", self.file)
        for pattern in (r"measured +[\d.]+ s, \d+ rounds?; \w+, 1 thread, batch 16, context 128",
                        r"load +none$", r"a token +[\d.]+ ms, and [\d.]+ us for each position before it",
                        r"a prompt +2: [\d.]+, 4: ", r"equal requests +24 \+ 32 tokens: mean ",
                        r"meanwhile +\d+ page faults .*, [\d.]+ ms the longest of all", r"written +" + re.escape(str(self.file))):
            self.assertRegex(text, "(?m)^" + pattern)
        shown = self.json("certify", TM2, *SHORT, "-o", self.file)
        self.assertEqual(shown, json.loads(self.file.read_text()))

    def test_small_sessions(self):
        for more in (("-c", "1"), ("-c", "3", "-b", "1"), ("-c", "55"), ("-b", "1"), ("--exact",),
                     ("--constant-time",), ("-c", "250", "-b", "48")):
            got = self.certify(*more)
            sizes = [row["tokens"] for row in got["costs"]["chunks"]]
            self.assertEqual(sizes, sorted(set(sizes)))
            self.json("run", TM2, *RUN[:4], *SHORT[2:], *more, "--raw", "-n", "1", "-p", "x",
                      "--certificate", self.file)

    def test_passes(self):
        """With --sessions also what steps of several answers in one pass take; else nothing is new."""
        plain = self.certify()
        self.assertNotIn("passes", plain["costs"])
        self.assertNotIn("passes", plain["measured"])
        for sessions, more, rows in ((2, (), [2]), (4, (), [2, 3, 4]), (16, (), [2, 3, 4, 8, 12, 16]),
                                     (16, ("-b", "6"), [2, 3, 4, 6]), (3, ("--rt",), [2, 3]),
                                     (3, ("--constant-time", "-c", "12"), [2, 3]),
                                     (3, ("--exact", "-c", "3", "-b", "3"), [2, 3])):
            for _ in range(5):  # of so few samples one that was held up may leave nothing but a slope
                got = self.certify("--sessions", sessions, *more)
                if all(row["ms"] > 0 for row in got["costs"]["passes"]):
                    break
            self.assertEqual(got["checksum"], checksum(got))
            self.assertEqual([row["sessions"] for row in got["costs"]["passes"]], rows)
            for row, told in zip(got["costs"]["passes"], got["measured"]["passes"]):
                self.assertEqual(told["sessions"], row["sessions"])
                self.assertGreaterEqual(told["ms"]["samples"], 3)
                self.assertTrue(0 < row["ms"] <= told["ms"]["max"])
        self.assertRegex(self.ok("certify", TM2, *SHORT, "-o", self.file, "--sessions", "3"),
                         r"(?m)^a pass +2: [\d.]+, 3: [\d.]+ ms")
        self.json("run", TM2, *RUN, "--certificate", self.file)  # whom they do not concern
        for wrong in (("--sessions", "1"), ("--sessions", "17"), ("--sessions", "2", "-b", "1"),
                      ("--sessions", "2", "--check")):
            self.fails(USAGE, "certify", TM2, *SHORT, *wrong)

    def test_default_place(self):
        cache = self.folder / "deep" / "cache"
        text = self.ok("certify", TM2, *SHORT, cache=cache)
        found = list(cache.glob("latency-*.json"))
        self.assertEqual(len(found), 1)
        self.assertIn(str(found[0]), text)
        self.assertEqual([p for p in cache.iterdir() if "tmp" in p.name], [])
        self.fails(USAGE, "certify", TM2, *SHORT, contains="-o")  # EDGELLM_CACHE=none
        self.fails(USAGE, "certify", TM2, *SHORT, "--check", contains="--certificate")

    def test_under_load(self):
        for kind, processes in (("cpu", 1), ("all", 3)):
            core = min(os.sched_getaffinity(0))
            got = self.certify("--load", kind, pinned=core)
            self.assertRegex(got["measured"]["load"], rf" on cores {core}, {processes} process")

    def test_real_time_is_another_setup(self):
        self.assertTrue(self.certify("--rt")["setup"]["realtime"])
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "--certificate", self.file, contains="scheduling")
        self.json("run", TM2, *RUN, "--rt", "--certificate", self.file)
        cache = self.folder / "cache"
        for more in ((), ("--rt",)):
            self.ok("certify", TM2, *SHORT, *more, cache=cache)
        self.assertEqual(len(list(cache.glob("latency-*.json"))), 2)

    def test_copied_weights_are_another_setup(self):
        self.assertFalse(self.certify()["setup"]["copied"])
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "--copy", "--certificate", self.file,
                   contains="another placing of weights: mapped, here it is copied (--copy)")
        self.assertTrue(self.certify("--copy")["setup"]["copied"])
        self.json("run", TM2, *RUN, "--copy", "--certificate", self.file)
        self.assertTrue(self.certify("--rt")["setup"]["copied"])
        unsaid = self.change(lambda c: c["setup"].pop("copied"))
        self.json("run", TM2, *RUN, "--rt", "--certificate", unsaid)
        self.certify()
        unsaid = self.change(lambda c: c["setup"].pop("copied"))
        self.json("run", TM2, *RUN, "--certificate", unsaid)
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "--copy", "--certificate", unsaid, contains="another placing of weights")
        self.fails(FORMAT, "run", TM2, *RUN, "--certificate", self.change(lambda c: c["setup"].update(copied=1)))
        cache = self.folder / "cache"
        for more in ((), ("--copy",)):
            self.ok("certify", TM2, *SHORT, *more, cache=cache)
        self.assertEqual(len(list(cache.glob("latency-*.json"))), 2)

    def test_usage(self):
        self.fails(USAGE, "certify", TM2, "--check", "-o", self.file)
        self.fails(USAGE, "certify", TM2, "--certificate", self.file)
        self.fails(USAGE, "certify", TM2, *SHORT, "-o", TM2, contains="it is the model; give another name")
        self.fails(USAGE, "certify", TM2, *SHORT, "-o", self.file, "--exact", "--constant-time")
        self.fails(IO, "certify", self.folder / "none", *SHORT, "-o", self.file)

    def test_where_it_cannot_be_written(self):
        """That is known before the measuring begins: an hour is not waited for."""
        hour = ("--duration", "3600") + SHORT[2:]
        self.fails(IO, "certify", TM2, *hour, "-o", self.folder)
        self.fails(IO, "certify", TM2, *hour, "-o", self.folder / "none" / "x")
        self.fails(IO, "certify", TM2, *hour, cache="/proc/none")
        if os.geteuid() != 0:
            self.folder.chmod(0o500)
            self.fails(IO, "certify", TM2, *hour, "-o", self.file)
            self.folder.chmod(0o700)

    def test_full_disk(self):
        self.file.write_text("what was there before")
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # noqa: E731
        self.fails(IO, "certify", TM2, *SHORT, "-o", self.file, preexec_fn=limit)
        done = edgellm("certify", TM2, *SHORT, "-o", self.file, "--json", preexec_fn=limit)
        self.assertEqual(done.returncode, IO)
        told = json.loads(done.stdout)  # what was measured is not lost: it is the certificate
        self.assertEqual(told["checksum"], checksum(told))
        self.assertEqual(self.file.read_text(), "what was there before")
        self.assertEqual(os.listdir(self.folder), ["c.json"])

    def test_interrupted(self):
        """On a terminal it shows how far it is; Ctrl-C leaves what was there before."""
        self.file.write_text("what was there before")
        master, slave = pty.openpty()
        process = subprocess.Popen([EDGELLM, "certify", TM2, "--duration", "3600", "-c", "64", "-j",
                                    "1", "-o", self.file], stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        seen = b""
        while b"steps" not in seen:
            seen += os.read(master, 1000)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130)
        self.assertEqual(process.stdout.read(), b"")
        process.stdout.close()
        os.close(master)
        self.assertRegex(seen.decode(), r"certify: \d+ of 3600 s, \d+ steps")
        self.assertEqual(self.file.read_text(), "what was there before")
        self.assertEqual(os.listdir(self.folder), ["c.json"])


class Check(Case):
    def check(self, *more):
        return ("certify", TM2, *SHORT, "--check", "--certificate", self.file, *more)

    def test_within_a_wide_bound(self):
        self.certify()
        got = self.json(*self.check("--slower", "1000000"))
        self.assertGreater(got["steps_slower_percent"], -100)
        self.assertEqual(got["bound_percent"], 1000000)
        self.assertRegex(self.ok(*self.check("--slower", "1000000")), r"a token +takes [+-][\d.]+ %")

    def test_a_board_that_has_become_slower(self):
        """The certificate of a board a thousand times as fast."""
        self.certify()
        def faster(c):
            for key in ("step_ms", "step_position_ms", "chunk_pair_ms"):
                c["costs"][key] /= 1000
            for row in c["costs"]["chunks"]:
                row["ms"] /= 1000
        self.file = self.change(faster)
        text = self.fails(DEADLINE, *self.check(), contains="slower than its certificate")
        self.assertRegex(text, r"a token takes \+\d{4,}\.\d %")

    def test_what_is_not_said_is_as_in_the_certificate(self):
        check = ("certify", TM2, "--check", "--duration", "0.05", "--slower", "1000000")
        cache = self.folder / "cache"
        self.certify()
        self.ok(*check, "--certificate", self.file)
        self.ok("certify", TM2, *SHORT, cache=cache)
        self.ok(*check, "-j", "1", cache=cache)
        self.fails(UNSUPPORTED, *check, "-c", "200", "--certificate", self.file, contains="a context of 128")
        if len(os.sched_getaffinity(0)) > 1:
            self.fails(UNSUPPORTED, *check, "-j", "2", "--certificate", self.file, contains="number of threads")
        self.fails(UNSUPPORTED, *check[:1], OTHER, *check[2:], "--certificate", self.file, contains="another model")

    def test_needs_a_certificate(self):
        self.fails(IO, *self.check(), contains="the same command without --check makes one")
        self.certify("--exact")
        self.fails(UNSUPPORTED, *self.check(), contains="mode")


class Use(Case):
    def test_gaps_are_counted(self):
        self.certify()
        self.file = self.change(lambda c: c["costs"].update(most_over_ms=1e6))
        got = self.json("run", TM2, *RUN, "--certificate", self.file)["certificate"]
        self.assertEqual((got["used"], got["gaps"], got["above"]), (True, 7, 0))
        slow = self.change(lambda c: c["costs"].update(step_ms=0.0, step_position_ms=0.0, most_over_ms=0.0))
        got = self.json("run", TM2, *RUN, "--certificate", slow)["certificate"]
        self.assertEqual((got["gaps"], got["above"]), (7, 7))
        self.assertGreater(got["most_above_ms"], 0)
        line = edgellm("run", TM2, *RUN, "--certificate", slow).stderr.decode()
        self.assertRegex(line, r" \| certified: 7 of 7 gaps above, by [\d.]+ ms at most \| ")
        bench = ("bench", TM2, "--runs", "3", "-n", "5", "-p", "4", "-j", "1", "-b", "16")
        got = self.json(*bench, "--certificate", slow)["certificate"]
        self.assertEqual((got["gaps"], got["above"]), (15, 15))
        self.assertRegex(self.ok(*bench, "--certificate", slow), r"certificate +15 of 15 tokens took longer")
        page = self.folder / "page.html"
        self.ok(*bench, "--certificate", slow, "--html", page)
        self.assertRegex(page.read_text(), r"<pre>certificate +15 of 15 tokens took longer[^<]*</pre>")
        chat = ("chat", TM2, "-c", "128", "-b", "16", "-j", "1", "-n", "4", "--ignore-eos",
                "--certificate", slow)
        lines = [json.loads(line)["certificate"] for line in
                 self.ok(*chat, "--json", input=b"the fox\nthe dog\n").splitlines()]
        self.assertEqual([(c["gaps"], c["above"]) for c in lines], [(3, 3), (6, 6)])
        self.assertIn("certified: 3 of 3", edgellm(*chat, input=b"the fox\n").stderr.decode())

    def test_the_position_counts(self):
        """1 ms at most at position 0, an hour more at each one after it."""
        self.certify()
        steep = self.change(lambda c: c["costs"].update(step_ms=0.0, step_position_ms=3.6e6, most_over_ms=0.0))
        self.assertEqual(self.json("run", TM2, *RUN, "--certificate", steep)["certificate"]["above"], 0)

    def test_a_mask_counts(self):
        """A gap under a grammar may take what its mask was certified to take, one without may not."""
        self.certify()
        grammar = self.folder / "any.gbnf"
        grammar.write_text('root ::= [^"]*\n')
        slow = self.change(lambda c: c["costs"].update(step_ms=0.0, step_position_ms=0.0, most_over_ms=0.0,
                                                       mask_ms=3.6e6))
        for options, above in (((), 7), (("--grammar", grammar), 0)):
            got = self.json("run", TM2, *RUN[:-1], *options, "--certificate", slow)["certificate"]
            self.assertEqual((got["used"], got["above"]), (True, above))

    def test_passes_of_several_sessions(self):
        """The forecast of a pass is the certificate's, if that knows it."""
        bench = ("bench", TM2, "--sessions", "3", "--runs", "2", "-n", "8", "-p", "4", "-j", "1", "-b", "16")
        got = self.json(*bench)
        self.assertEqual((got["forecast_by"], got["certificate"]), ("calibration", None))
        self.certify("--sessions", "3")
        # A pass is said to take a thousand seconds, so that it is a millionth of that, or so.
        slow = self.change(lambda c: c["costs"].update(
            passes=[{"sessions": n, "ms": 1e6} for n in (2, 3)], chunks=[{"tokens": 16, "ms": 2e6}],
            step_ms=1e6, most_over_ms=0.0))
        got = self.json(*bench, "--certificate", slow)
        self.assertEqual((got["forecast_by"], got["certificate"]["used"]), ("certificate", True))
        self.assertEqual((got["certificate"]["gaps"], got["certificate"]["above"]), (16, 0))
        for who in ("one", "together"):
            self.assertLess(got[who]["forecast_share"]["max"], 0.01)
        text = self.ok(*bench, "--certificate", slow)
        self.assertRegex(text, r"(?m)^certificate +0 of 16 tokens took longer")
        self.assertRegex(text, r"(?m)^forecast +by the certificate$")
        self.fails(UNSUPPORTED, *bench, "--certificate", slow, "--sessions", "4",
                   contains="certify with --sessions 4")
        self.certify()
        self.fails(UNSUPPORTED, *bench, "--certificate", self.file, contains="no passes of 3 sessions")
        cache = self.folder / "cache"
        for more, used in (((), False), (("--sessions", "4"), True)):
            self.ok("certify", TM2, *SHORT, "-c", "128", *more, cache=cache)
            got = self.json(*bench, cache=cache)
            self.assertEqual(got["certificate"]["used"], used)
            self.assertEqual(got["forecast_by"], "certificate" if used else "calibration")

    def test_a_certificate_of_another_board(self):
        """Refused by whoever goes by it, with what differs."""
        self.certify("--sessions", "2")
        other = self.change(lambda c: c["board"].update(cpu="another processor"))
        setup = ("-c", "128", "-b", "16", "-j", "1", "--certificate", other)
        for command in (("chat", TM2, *setup), ("bench", TM2, *setup), ("soak", TM2, *setup),
                        ("bench", TM2, "--sessions", "2", *setup), ("certify", TM2, "--check", *setup),
                        ("run", TM2, "-p", "x", *setup)):
            text = self.fails(UNSUPPORTED, *command, contains="another board: its cpu is 'another processor'")
            self.assertIn("here it is '", text)

    def test_none(self):
        self.assertIsNone(self.json("run", TM2, *RUN)["certificate"])
        cache = self.folder / "cache"
        self.ok("certify", TM2, *SHORT, cache=cache)
        self.assertTrue(self.json("run", TM2, *RUN, cache=cache)["certificate"]["used"])
        got = self.json("run", TM2, *RUN, "--certificate", "none", cache=cache)
        self.assertIsNone(got["certificate"])

    def test_what_differs(self):
        cache = self.folder / "cache"  # which remembers the kernel level, too
        self.ok("certify", TM2, *SHORT, cache=cache)
        kept, = cache.glob("latency-*.json")
        shutil.copy(kept, self.file)
        changed = {
            "board: its cpu": lambda c: c["board"].update(cpu="another"),
            "board: its cores": lambda c: c["board"].update(cores="77"),
            "board: its kernel": lambda c: c["board"].update(kernel="1.2.3"),
            "board: its name": lambda c: c["board"].update(name="another"),
            "another version: 9.9.9": lambda c: c["setup"].update(version="9.9.9"),
            "another kernel level": lambda c: c["setup"].update(kernel="another"),
            "another number of threads: 3": lambda c: c["setup"].update(threads=3),
            "another mode": lambda c: c["setup"].update(exact=True),
            "a context of 127, here it is 128": lambda c: c["setup"].update(context=127),
            "a batch of 15, here it is 16": lambda c: c["setup"].update(batch=15),
            "another format": lambda c: c.update(format=2),
        }
        if not json.loads(self.file.read_text())["board"]["name"]:  # not told here, not compared
            del changed["board: its name"]
        for what, edit in changed.items():
            path = self.change(edit)
            self.fails(UNSUPPORTED, "run", TM2, *RUN, "--certificate", path, contains=what,
                       cache=cache)
            shutil.copy(path, kept)
            got = self.json("run", TM2, *RUN, cache=cache)["certificate"]
            self.assertFalse(got["used"])
            self.assertIn(what, got["why"])
            self.assertIn("a certificate does not hold here",
                          edgellm("run", TM2, *RUN, cache=cache).stderr.decode())
        self.certify(model=OTHER)
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "--certificate", self.file, contains="another model")

    def test_smaller_sessions_are_covered(self):
        self.certify()
        got = self.json("run", TM2, *RUN, "-c", "64", "-b", "8", "--certificate", self.file)
        self.assertTrue(got["certificate"]["used"])
        self.certify("--constant-time")  # but there the context is the cost
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "-c", "64", "--constant-time", "--certificate",
                   self.file, contains="context")

    def test_widths_of_the_cache(self):
        self.certify("--kv-bits", "4")
        used = self.json("run", TM2, *RUN, "--kv-bits", "4", "--certificate", self.file)["certificate"]["used"]
        self.assertTrue(used)
        self.fails(UNSUPPORTED, "run", TM2, *RUN, "--certificate", self.file, contains="KV cache")

    def test_changed_by_hand(self):
        whole = self.certify()
        def bad(contains, code=FORMAT):
            self.fails(code, "run", TM2, *RUN, "--certificate", self.file, contains=contains)
        text = self.file.read_text()
        self.file.write_text(text.replace('"step_margin_ms": ', '"step_margin_ms": 1', 1))
        bad("checksum")
        for length in (0, 1, len(text) // 2, len(text) - 3):
            self.file.write_text(text[:length])
            bad("no certificate")
        for value in ("[]", "{}", "7", '{"kind": 1}', "\0\xff", "[" * 100000):
            self.file.write_bytes(value.encode("latin-1"))
            bad("no certificate")
        self.file.write_text(text)
        self.fails(IO, "run", TM2, *RUN, "--certificate", self.folder / "none")
        for where in ("setup", "board", "costs"):
            for key in whole[where]:
                for value in (None, -1, "x" * 300, [], {}, 1e300):
                    if (key, value) == ("chunks", []):  # as with a batch of 1
                        continue
                    edit = lambda c, w=where, k=key, v=value: c[w].update({k: v})  # noqa: E731
                    done = edgellm("run", TM2, *RUN, "--certificate", self.change(edit))
                    self.assertIn(done.returncode, (FORMAT, UNSUPPORTED), (where, key, value, done.stderr))
                self.file.write_text(text)
        broken = ([{"tokens": 1, "ms": 1}], [{"tokens": 4, "ms": 1}, {"tokens": 4, "ms": 1}],
                  [{"tokens": 4, "ms": -1}], [{"tokens": 4}], [{"tokens": n + 2, "ms": 1} for n in range(13)])
        for chunks in broken:
            path = self.change(lambda c, rows=chunks: c["costs"].update(chunks=rows))
            done = edgellm("run", TM2, *RUN, "--certificate", path)
            self.assertEqual(done.returncode, FORMAT, (chunks, done.stderr))
        broken = (None, {}, 3, [{"sessions": 1, "ms": 1}], [{"sessions": 3, "ms": 1}, {"sessions": 2, "ms": 1}],
                  [{"sessions": 2}], [{"tokens": 2, "ms": 1}], [{"sessions": 2, "ms": -1}],
                  [{"sessions": n + 2, "ms": 1} for n in range(7)])
        for passes in broken:
            path = self.change(lambda c, rows=passes: c["costs"].update(passes=rows))
            done = edgellm("run", TM2, *RUN, "--certificate", path)
            self.assertEqual(done.returncode, FORMAT, (passes, done.stderr))

    def test_a_cache_that_cannot_be_read(self):
        cache = self.folder / "cache"
        self.ok("certify", TM2, *SHORT, cache=cache)
        kept, = cache.glob("latency-*.json")
        kept.unlink()
        kept.mkdir()
        got = self.json("run", TM2, *RUN, cache=cache)["certificate"]
        self.assertFalse(got["used"])
        self.assertIsNone(self.json("run", TM2, *RUN, cache="/proc/none")["certificate"])


class Deadlines(Case):
    def costs(self, **values):
        """A certificate of costs that are made up."""
        if not self.file.exists():
            self.certify()
        zero = {"step_ms": 0.0, "step_position_ms": 0.0, "step_margin_ms": 0.0, "chunk_pair_ms": 0.0,
                "chunk_margin_ms": 0.0, "chunks": []}
        return self.change(lambda c: c["costs"].update({**zero, **values}))

    def test_time_enough(self):
        for more in ((), ("--certificate", self.costs(step_ms=0.01))):
            got = self.json("run", TM2, *RUN, "--deadline-ms", "3600000", *more)
            deadline = got["deadline"]
            self.assertEqual((got["finish"], len(got["tokens"])), ("length", 8))
            self.assertEqual(deadline["by"], "certificate" if more else "calibration")
            self.assertEqual((deadline["forecast_tokens"], deadline["late_ms"]), (8, 0))
            self.assertGreater(deadline["forecast_ms"], deadline["forecast_first_ms"])
            self.assertGreater(deadline["answer_ms"], 0)
            line = edgellm("run", TM2, *RUN, "--deadline-ms", "3600000", *more).stderr.decode()
            self.assertRegex(line, r" \| deadline 3600000 ms: [\d.]+ forecast by (a cal|the cert)\w+, "
                                   r"[\d.]+ taken \| length\n\Z")
        self.assertIsNone(self.json("run", TM2, *RUN)["deadline"])

    def test_masks_count(self):
        """They are measured, and belong to an answer that keeps to a grammar, and to no other."""
        costs = self.certify()["costs"]
        self.assertTrue(costs["mask_ms"] > 0 and costs["logprobs_ms"] > 0 and costs["top_logprobs_ms"] > 0)
        grammar = self.folder / "any.gbnf"
        grammar.write_text('root ::= [^"]*\n')
        run = ("run", TM2, *RUN[:-1], "--deadline-ms", "3600000", "--certificate",
               self.costs(step_ms=0.01, mask_ms=1e6))
        self.assertLess(self.json(*run)["deadline"]["forecast_ms"], 1e5)
        self.fails(DEADLINE, *run, "--grammar", grammar, contains="all 8 take 8000")

    def test_it_changes_no_token(self):
        plain = self.json("run", TM2, *RUN, "--hash")
        for more in (("--deadline-ms", "3600000"), ("--constant-time",)):
            got = self.json("run", TM2, *RUN, "--hash", *more)
            self.assertEqual((got["tokens"], got["hash"]), (plain["tokens"], plain["hash"]))

    def test_refused_with_the_numbers(self):
        """A step takes 100 ms, so of 8 tokens and the prompt some seconds."""
        path = self.costs(step_ms=100.0)
        prompt = self.json("run", TM2, *RUN)["prompt_tokens"]
        whole = 100 * (prompt + 7)
        run = ("run", TM2, *RUN, "--certificate", path, "--deadline-ms")
        text = self.fails(DEADLINE, *run, whole - 100, contains="by the certificate")
        self.assertIn(f"{whole - 100} ms do not hold the answer", text)
        self.assertIn(f"all 8 take {whole:.1f} ms; 7 fit", text)
        self.assertEqual(self.json(*run, whole)["finish"], "length")
        wide = ("run", TM2, *RUN, "--certificate", self.costs(step_ms=100.0, step_margin_ms=1e6),
                "--deadline-ms")
        self.fails(DEADLINE, *wide, int(whole * 1.14))
        # Admitted at 1.15 times the forecast; its margin then ends it after the first token.
        self.assertEqual(self.json(*wide, int(whole * 1.15) + 1)["finish"], "deadline")

    def test_shortened(self):
        path = self.costs(step_ms=100.0)
        prompt = self.json("run", TM2, *RUN)["prompt_tokens"]
        run = ("run", TM2, *RUN, "--certificate", path, "--deadline-shorten", "--deadline-ms")
        got = self.json(*run, 100 * prompt + 250)
        self.assertEqual(got["deadline"]["forecast_tokens"], 3)
        self.fails(DEADLINE, *run, 100 * prompt - 1, contains="0 fit")  # not even the first
        self.fails(USAGE, "run", TM2, *RUN, "--deadline-shorten")

    def test_ends_in_time(self):
        """Steps that are said to take 0.1 s at most: none begins in the last tenth."""
        path = self.costs(step_margin_ms=100.0)
        long = ("-p", "the fox", "-n", "16777216", "-t", "0", "-c", "128", "-b", "16", "-j", "1",
                "--ignore-eos", "--deadline-shorten", "--deadline-ms", "101", "--certificate", path)
        done = edgellm("run", TM2, *long, "--json")
        if done.returncode == DEADLINE:  # the prompt alone took so long
            return
        got = json.loads(done.stdout)
        self.assertIn(got["finish"], ("deadline", "context"))
        text = edgellm("run", TM2, *long).stdout.decode(errors="replace")
        self.assertTrue(text == "" or text.endswith("\n"))

    def test_a_prompt_that_takes_too_long(self):
        path = self.costs(chunks=[{"tokens": 16, "ms": 3.6e6}])
        run = ("run", TM2, *RUN, "--certificate", path, "--deadline-ms", "3000")
        for more in ((), ("--deadline-shorten",)):
            self.fails(DEADLINE, *run, *more, contains="0 fit")


class Soak(Case):
    """By made-up certificates, so that what a promise is worth does not depend on the machine."""
    SOAK = ("soak", TM2, "--requests", "60", "-p", "40", "-n", "20", "-b", "16", "-j", "1")

    def costs(self, **changes):
        self.certify(*changes.pop("more", ()))
        flat = {"step_position_ms": 0.0, "step_margin_ms": 0.0, "chunk_pair_ms": 0.0,
                "chunk_margin_ms": 0.0, "chunks": []}
        return self.change(lambda c: c["costs"].update({**flat, **changes}))

    def check_sums(self, got):
        """What is told in sum is so of the requests that are listed."""
        rows = got["requests"]
        begun = [r for r in rows if r["fate"] != "refused"]
        late = [r for r in begun if r["late_ms"] > 0]
        for fate in ("whole", "shortened", "refused"):
            self.assertEqual(got[fate], sum(r["fate"] == fate for r in rows))
        enough = [r for r in rows if r["deadline_ms"] >= 1.15 * r["forecast_ms"] - 1e-9]
        self.assertEqual(got["with_enough_time"], len(enough))
        self.assertEqual(got["of_those_admitted"], sum(r["fate"] == "whole" for r in enough))
        self.assertEqual(got["tokens_that_fit"], sum(r["fit"] for r in begun))
        self.assertEqual(got["tokens_of_those"], sum(min(r["fit"], r["tokens"]) for r in begun))
        self.assertEqual(got["late"], len(late))
        self.assertEqual(got["most_late_ms"], max((r["late_ms"] for r in late), default=0))
        for r in begun:
            past = r["taken_ms"] - r["deadline_ms"]
            self.assertAlmostEqual(r["late_ms"], max(past, 0), places=6)
            self.assertLessEqual(r["tokens"], r["answer_tokens"])
        for r in rows:
            self.assertTrue(1 <= r["prompt_tokens"] <= 40 and 1 <= r["answer_tokens"] <= 20)
            self.assertTrue(0.5 <= r["deadline_ms"] / r["forecast_ms"] <= 2)
        return begun

    def test_time_enough(self):
        """A token is said to take 100 ms: all that is begun ends in time, and is whole."""
        path = self.costs(step_ms=100.0)
        for _ in range(5):  # a busy machine may keep it from computing for as long as that
            got = self.json(*self.SOAK, "--certificate", path)
            if got["late"] == 0:
                break
        self.assertEqual(len(got["requests"]), 60)
        self.assertEqual((got["late"], got["with_enough_time"]), (0, got["of_those_admitted"]))
        for r in self.check_sums(got):
            if r["fate"] == "whole":
                self.assertEqual(r["tokens"], r["answer_tokens"])
        self.assertTrue(got["shortened"] > 0 and got["refused"] > 0 and got["whole"] > 20)
        again = self.json(*self.SOAK, "--requests", "10", "--certificate", path, "--seed", "2")
        self.assertNotEqual([r["prompt_tokens"] for r in got["requests"]][:10],
                            [r["prompt_tokens"] for r in again["requests"]])

    def test_a_promise_that_cannot_be_kept(self):
        """A token is said to take a nanosecond: with --rt that is an error, without it is told."""
        path = self.costs(step_ms=1e-6)
        got = self.json(*self.SOAK, "--certificate", path)
        self.check_sums(got)
        self.assertLess(got["tokens_of_those"], got["tokens_that_fit"] / 2)
        path = self.costs(step_ms=1e-6, more=("--rt",))
        done = edgellm(*self.SOAK, "--certificate", path, "--rt")
        self.assertEqual(done.returncode, DEADLINE, done.stderr)
        self.assertRegex(done.stdout.decode(), r"(?m)^tokens +\d+ of \d+ that fit")

    def test_late_ones_are_listed(self):
        """A prompt is said to take 2 us, so that most are begun in time, and all end late."""
        path = self.costs(step_ms=0.002, chunks=[{"tokens": n, "ms": 0.002} for n in (2, 16)])
        text = self.ok(*self.SOAK, "--certificate", path, "-n", "1")
        count = int(re.search(r"(?m)^late +(\d+) of", text)[1])
        self.assertGreater(count, 0)
        self.assertEqual(len(re.findall(r"(?m)^  request \d+ .* late by [\d.]+ ms, \w", text)), count)

    def test_calibrated_under_load(self):
        out = self.folder / "soak.json"
        done = edgellm(*self.SOAK, "--requests", "3", "--load", "cpu", "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout.decode(), r"(?m)^load +cpu on cores .*\nforecast +by a calibration")
        self.assertEqual(len(json.loads(out.read_text())["requests"]), 3)

    def test_full_disk(self):
        out = self.folder / "soak.json"
        out.write_text("what was there before")
        path = self.costs(step_ms=20.0)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))  # noqa: E731
        five = (*self.SOAK, "--requests", "5", "--certificate", path, "-o", out)
        self.assertIn("File too large", self.fails(IO, *five, preexec_fn=limit))
        self.assertEqual(len(json.loads(edgellm(*five, "--json", preexec_fn=limit).stdout)["requests"]), 5)
        self.assertEqual(out.read_text(), "what was there before")
        self.assertEqual([p.name for p in self.folder.iterdir() if "tmp" in p.name], [])

    def start_soak(self, path, requests, *more):
        return subprocess.Popen([EDGELLM, *self.SOAK, "--requests", str(requests), "--certificate", str(path), "-o",
                                 str(self.folder / "soak.json"), *more],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def interrupted(self, path, seconds):
        """The report of a soak that is interrupted after that time; None: before it answered anything."""
        out = self.folder / "soak.json"
        soak = self.start_soak(path, 10000000)
        time.sleep(seconds)
        soak.send_signal(signal.SIGINT)
        shown, _ = soak.communicate(timeout=60)
        if not out.exists() or not json.loads(out.read_text())["requests"]:
            return None
        self.assertEqual(soak.returncode, 128 + signal.SIGINT)
        self.assertRegex(shown.decode(), r"(?m)^requests +\d+ in ")
        return out

    def test_interrupted_tells_what_was(self):
        """On a busy machine the program may not even have begun after half a second."""
        path = self.costs(step_ms=20.0)
        self.assertTrue(any(self.interrupted(path, s) for s in (0.5, 2, 8, 30)))

    def end_load(self, soak):
        """Kills its process and returns its id."""
        place, deadline = pathlib.Path(f"/proc/{soak.pid}/task/{soak.pid}/children"), time.monotonic() + 60
        while not (children := place.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGKILL)
        return children[0]

    def test_a_load_that_ends_loses_nothing(self):
        """A signal to all (systemd stops a service so) ends it before the program has come to its end."""
        path, load = self.costs(step_ms=20.0), ("--load", "io")  # one process
        soak = self.start_soak(path, 40, *load)
        self.end_load(soak)
        _, said = soak.communicate(timeout=120)
        self.assertEqual((soak.returncode, said), (IO, b"edgellm: the load was ended by signal 9\n"))
        self.assertEqual(len(json.loads((self.folder / "soak.json").read_text())["requests"]), 40)
        soak = self.start_soak(path, 10000000, *load)
        status = pathlib.Path(f"/proc/{self.end_load(soak)}/status")
        while "State:\tZ" not in status.read_text():  # until somebody looks
            time.sleep(0.01)
        soak.send_signal(signal.SIGTERM)
        _, said = soak.communicate(timeout=60)
        self.assertEqual((soak.returncode, said), (128 + signal.SIGTERM, b"edgellm: interrupted\n"))

    def test_usage(self):
        self.fails(IO, "soak", TM2, "-o", self.folder / "none" / "x.json")
        self.fails(USAGE, "soak", TM2, "--load", "much")
        self.fails(USAGE, "soak", TM2, "-o", TM2, contains="it is the model; give another name")
        self.fails(CONTEXT, *self.SOAK, "-c", "30", contains="do not fit")
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
