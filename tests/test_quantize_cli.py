#!/usr/bin/env python3
"""`edgellm quantize` with calibration, from outside, on a tiny model: what is made, what is told,
and that a run which was stopped or killed goes on to the very same file.

    python3 tests/test_quantize_cli.py EDGELLM MAKE_TINY OUT_DIR [sanitized]

Standard library only.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
USAGE, IO, FORMAT = 2, 3, 4
GGUF = str(OUT / "tiny.gguf")
WORDS = "the quick brown fox jumps over the lazy dog and 12 more, it's fun\n"
SANITIZED = "sanitized" in sys.argv[4:]
# As little work as calibration can be; and work that takes long enough to be stopped, which is less
# where sanitizers slow it down.
LITTLE = ("--length", "16", "--sequences", "4", "--epochs", "1", "--steps", "3", "-j", "1")
MUCH = ("--fit", "40KB", *(("--length", "24", "--sequences", "8", "--epochs", "2", "--steps", "40")
                           if SANITIZED else
                           ("--length", "48", "--sequences", "16", "--epochs", "4", "--steps", "120")),
        "-j", "1")
UNFINISHED, CONVERTED = ".unfinished-edgellm", "m.tm2.bin.calibrate-edgellm.tmp-edgellm"
BODY, EMBEDDING = 14, "token_embd.weight"  # matrices in two layers; the head is the embedding
FITTED = BODY + 3  # --fit cuts the embedding in three


def edgellm(*arguments, **options):
    return subprocess.run([EDGELLM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **options)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.target = self.folder / "m.tm2.bin"
        self.journal = self.folder / ("m.tm2.bin" + UNFINISHED)

    def ok(self, *arguments):
        done = edgellm(*arguments)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr.decode()))
        return done.stdout.decode()

    def one_line(self, done, contains=""):
        text = done.stderr.decode()
        self.assertRegex(text, r"\Aedgellm: [^\n]{20,}\n\Z")
        self.assertIn(contains, text)

    def fails(self, code, *arguments, contains="", **options):
        done = edgellm(*arguments, **options)
        self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
        self.assertEqual(done.stdout, b"")
        self.one_line(done, contains)

    def command(self, *options, source=GGUF, target=None):
        return ("quantize", source, "-o", target or self.target, *options)

    def made(self, *options):
        """The bytes of a new file, which is all that the run leaves."""
        self.target.unlink(missing_ok=True)
        before = set(os.listdir(self.folder)) - {self.journal.name}
        self.ok(*self.command("-q", *options))
        self.assertEqual(set(os.listdir(self.folder)) - before, {self.target.name})
        content = self.target.read_bytes()
        self.target.unlink()
        return content

    def report(self, *options):
        path = self.folder / "report.json"
        self.ok(*self.command("-q", "--report", path, *options))
        return json.loads(path.read_text())


class Result(Case):
    def test_a_size_is_met(self):
        for size, contains in ((37000, {"o2"}), (60000, {"o4", "i8"})):
            self.ok(*self.command("--fit", size, *LITTLE))
            self.assertEqual(os.listdir(self.folder), [self.target.name])
            bytes_now = self.target.stat().st_size
            self.assertLessEqual(bytes_now, size)
            self.assertGreater(bytes_now, 0.9 * size)
            info = json.loads(self.ok("info", self.target, "--json", "--verify"))
            self.assertTrue({c["codec"] for c in info["codecs"]} & contains, info["codecs"])
            self.assertEqual(info["manifest"]["options"]["calibrate"], "self")
            answer = json.loads(self.ok("run", self.target, "-p", "the fox", "-n", "4", "--json",
                                        "--ignore-eos", "--verify"))
            self.assertEqual(len(answer["tokens"]), 4)

    def test_bits(self):
        """Of all matrices, of the embedding, of those whose names match; the last rule counts."""
        report = self.report("--bits", "3", "--group", "64", "--embedding-bits", "8",
                             "--tensor", "blk.0=4", "--tensor", "attn_[qk=]+.weight$=2",
                             "--tensor", r"blk\.1\.attn_q=8", *LITTLE)
        bits = {m["name"]: (m["codec"], m["group"], m["scales"]) for m in report["matrices"]}
        self.assertEqual(len(bits), BODY + 1)
        for name, form in bits.items():
            codec = "s4" if "blk.0" in name else "s3"
            codec = "s2" if re.search("attn_[qk]", name) else codec
            codec = "i8" if name in (EMBEDDING, "blk.1.attn_q.weight") else codec
            self.assertEqual(form, (codec, 64, "byte"), name)
        self.assertEqual(report["options"]["tensors"][1],
                         {"pattern": "attn_[qk=]+.weight$", "bits": 2})

    def test_bits_beside_a_size(self):
        report = self.report("--fit", "50KB", "--embedding-bits", "4", "--tensor", "ffn_up=8",
                             *LITTLE)
        for matrix in report["matrices"]:
            if "ffn_up" in matrix["name"]:
                self.assertEqual(matrix["codec"], "i8")
            elif matrix["name"] == EMBEDDING:
                self.assertIn("4", matrix["codec"])
        self.assertLessEqual(self.target.stat().st_size, 50000)

    def test_what_decides_the_bytes(self):
        """Source, options and seed; never the number of threads."""
        options = ("--fit", "40KB", *LITTLE[:-2])
        first = self.made(*options, "-j", "1")
        cores = min(2, len(os.sched_getaffinity(0)))
        self.assertEqual(self.made(*options, "-j", cores), first)
        self.assertNotEqual(self.made(*options, "--seed", "7"), first)
        self.assertNotEqual(self.made(*options[2:], "--bits", "3"), first)

    def test_a_text(self):
        text = self.folder / "text"
        text.write_text(WORDS * 20)
        own = self.made("--bits", "2", *LITTLE)
        self.assertNotEqual(self.made("--bits", "2", "--calibrate", text, *LITTLE), own)
        self.assertEqual(self.made("--bits", "2", "--calibrate", "self", *LITTLE), own)

    def test_the_plain_way_is_as_it_was(self):
        got = json.loads(self.ok(*self.command("--bits", "4", "--calibrate", "none", "--json")))
        self.assertEqual((got["rounded"], got["kept"]), (15, 0))
        tensors = json.loads(self.ok("info", self.target, "--json", "--tensors"))["tensor_list"]
        self.assertEqual({t["scales"] for t in tensors if t["rows"] > 1}, {"f16"})
        got = json.loads(self.ok(*self.command("--json")))
        self.assertEqual((got["rounded"], got["kept"]), (0, 15))


    def test_below_2_bits(self):
        """Plainly, and such a model runs; what was asked for is told as it was said."""
        for bits, codec in (("1", "b1"), ("1.6", "t1")):
            options = ("--bits", bits, "--embedding-bits", "8", "--group", "128")
            report = self.report(*options, "--calibrate", "none")
            self.assertEqual((report["options"]["bits"], report["options"]["embedding_bits"]),
                             (float(bits), 8))
            self.assertEqual({m["codec"] for m in report["matrices"]}, {codec, "i8"})
            info = json.loads(self.ok("info", self.target, "--json", "--verify"))
            self.assertEqual(info["manifest"]["options"]["bits"], float(bits))
            answer = json.loads(self.ok("run", self.target, "-p", "the fox", "-n", "4", "--json",
                                        "--ignore-eos", "--verify"))
            self.assertEqual(len(answer["tokens"]), 4)


class Told(Case):
    FIGURES = ("error_rounded", "error_trained", "kl_first", "kl_last", "bits_per_weight",
               "seconds")

    def check_result(self, result):
        self.assertEqual(result["file_bytes"], self.target.stat().st_size)
        self.assertEqual(result["source_bytes"], os.path.getsize(GGUF))
        self.assertEqual(result["matrices"], FITTED)
        self.assertEqual((result["sequences"], result["length"]), (4, 16))
        for name in self.FIGURES:
            self.assertGreater(result[name], 0, name)
        self.assertAlmostEqual(result["bits_per_weight"],
                               8 * result["file_bytes"] / result["parameters"])

    def check_matrices(self, matrices):
        tensors = json.loads(self.ok("info", self.target, "--json", "--tensors"))["tensor_list"]
        listed = {t["name"]: t for t in tensors if t["rows"] > 1}
        self.assertEqual({m["name"] for m in matrices}, set(listed))
        for matrix in matrices:
            for key in ("rows", "cols", "codec", "rotation", "bytes"):
                self.assertEqual(matrix[key], listed[matrix["name"]][key], matrix)

    def test_report(self):
        report = self.report("--fit", "40KB", "--seed", "5", "--tensor", "ffn_up=3", "--rate", "0.002", *LITTLE)
        options = report["options"]
        self.assertEqual(report["source"], GGUF)
        self.assertEqual([options[k] for k in ("fit", "seed", "sequences", "length", "epochs",
                                               "steps", "threads", "calibration_file")],
                         [40000, 5, 4, 16, 1, 3, 1, None])
        self.assertAlmostEqual(options["rate"], 0.002)
        self.check_result(report["result"])
        self.check_matrices(report["matrices"])

    def test_report_of_the_plain_way(self):
        report = self.report("--bits", "4", "--calibrate", "none")
        self.assertEqual(report["options"]["scales"], "f16")
        self.assertEqual(report["result"]["rounded"], BODY + 1)
        self.check_matrices(report["matrices"])

    def test_json(self):
        done = edgellm(*self.command("--fit", "40KB", "--json", *LITTLE))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        result = json.loads(done.stdout)
        self.check_result(result)
        self.assertEqual(result["target"], str(self.target))

    def test_text_and_quiet(self):
        text = self.ok(*self.command("--fit", "40KB", *LITTLE))
        self.assertRegex(text, r"MB from .* bits per weight, calibrated on 4 x 16 tokens of its own")
        self.assertRegex(text, r"(?m)^error of a layer, trained +0\.\d+$")
        counts = re.findall(r"(?m)^[sio]\d +\d+ +(\d+) ", text)
        self.assertEqual(sum(map(int, counts)), FITTED)
        self.assertEqual(self.ok(*self.command("--fit", "40KB", "-q", *LITTLE)), "")

    def test_progress_on_a_terminal(self):
        master, slave = pty.openpty()
        process = subprocess.Popen([EDGELLM, *map(str, self.command(*MUCH))], stderr=slave,
                                   stdout=subprocess.DEVNULL)
        os.close(slave)
        text = b""
        try:
            while piece := os.read(master, 65536):
                text += piece
        except OSError:  # a terminal's end
            pass
        os.close(master)
        self.assertEqual(process.wait(timeout=60), 0, text)
        drawn = text.decode().split("\r")
        self.assertEqual(drawn[-1], "\033[K")
        shares = []
        for line in drawn[1:-1]:
            found = re.fullmatch(r"\[ *(\d+) %\] ([a-z][^\033]*)\033\[K", line)
            self.assertTrue(found, line)
            shares.append(int(found[1]))
            if shares[-1] < 3:
                self.assertNotIn("left", line)
        self.assertEqual(shares, sorted(shares))
        self.assertGreater(len(shares), 0)


class Stopped(Case):
    """Whenever a run ends early, --resume makes the file that an undisturbed one makes."""

    @classmethod
    def setUpClass(cls):
        target = OUT / "undisturbed.tm2.bin"
        begin = time.monotonic()
        done = edgellm("quantize", GGUF, "-o", target, "-q", *MUCH)
        cls.seconds = time.monotonic() - begin
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        cls.right = target.read_bytes()
        target.unlink()

    def setUp(self):
        super().setUp()
        self.target.write_bytes(b"what was there")

    def start(self, *options):
        return subprocess.Popen([EDGELLM, *map(str, self.command("-q", *MUCH, *options))],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait_for_journal(self, process, more_than=0):
        """Until it has grown; false if the process ended before."""
        end = time.monotonic() + 60
        while process.poll() is None:
            try:
                if self.journal.stat().st_size > more_than:
                    return True
            except FileNotFoundError:  # not yet, or not any more
                pass
            self.assertLess(time.monotonic(), end)
            time.sleep(0.001)
        return False

    def end(self, process, number):
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        return process.returncode, said

    def check_left_behind(self, killed=False):
        """killed: perhaps when it was done but for its end."""
        self.assertIn(self.target.read_bytes(), (b"what was there", self.right)[:1 + killed])
        left = set(os.listdir(self.folder)) - {self.target.name, self.journal.name}
        # What the model writes its text with has no name, but while it is made.
        while_made = {CONVERTED, CONVERTED.removesuffix(".tmp-edgellm")}
        self.assertLessEqual(left, while_made if killed else set())

    def resume(self):
        self.ok(*self.command("-q", *MUCH, "--resume"))
        self.assertEqual(self.target.read_bytes(), self.right)
        self.assertEqual(os.listdir(self.folder), [self.target.name])

    def test_killed_again_and_again(self):
        """At each record that it finishes, until it comes to an end."""
        size, kills = 0, 0
        process = self.start()
        while self.wait_for_journal(process, size):
            if self.end(process, signal.SIGKILL)[0] != -signal.SIGKILL:
                break
            kills += 1
            self.check_left_behind(killed=True)
            size = self.journal.stat().st_size if self.journal.exists() else 0
            process = self.start("--resume")
        self.assertEqual(process.wait(timeout=60), 0)
        process.stderr.close()
        self.assertGreater(kills, 1)
        self.assertEqual(self.target.read_bytes(), self.right)
        self.assertEqual(os.listdir(self.folder), [self.target.name])

    def test_killed_at_any_time(self):
        kills = 0
        for part in (0.1, 0.4, 0.7):
            process = self.start("--restart")
            time.sleep(part * self.seconds)
            if self.end(process, signal.SIGKILL)[0] == 0:
                continue
            kills += 1
            self.assertIn(self.target.read_bytes(), (b"what was there", self.right))
            self.ok(*self.command("-q", *MUCH, "--resume"))
            self.assertEqual(self.target.read_bytes(), self.right)
            self.assertEqual(os.listdir(self.folder), [self.target.name])
        self.assertGreater(kills, 0)

    def test_a_journal_that_was_cut(self):
        """As a crash of the machine may leave it: at any byte, or with a damaged end."""
        process = self.start()
        size = 0
        while self.wait_for_journal(process, size):  # the longest there is
            with contextlib.suppress(FileNotFoundError):  # it goes with the last record
                whole = self.journal.read_bytes()
                size = len(whole)
        self.assertEqual(process.wait(timeout=60), 0)
        process.stderr.close()
        self.assertGreater(len(whole), 1000)
        damaged = whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:]
        for content in (whole, whole[:-1], damaged, whole[:len(whole) // 2], whole[:20], whole[:16]):
            self.journal.write_bytes(content)
            self.resume()

    def test_interrupted(self):
        process = self.start()
        self.assertTrue(self.wait_for_journal(process, 1000))
        code, said = self.end(process, signal.SIGINT)
        self.assertEqual(code, 130, said)
        self.assertRegex(said.decode(), r"\Aedgellm: stopped: [^\n]*--resume[^\n]*\n\Z")
        self.assertIn(self.journal.name, said.decode())
        self.check_left_behind()
        self.refuses_what_does_not_go_on()
        self.resume()

    def refuses_what_does_not_go_on(self):
        whole = self.journal.read_bytes()
        self.fails(USAGE, *self.command(*MUCH), contains="--resume")
        for other in (("--seed", "2"), ("--steps", "121"), ("--rate", "0.001"), ("--fit", "41KB"), ("--tensor", "attn_k=2")):
            self.fails(USAGE, *self.command(*MUCH, *other, "--resume"), contains="other options")
        with open(self.journal, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for option in ("--resume", "--restart"):
                self.fails(USAGE, *self.command(*MUCH, option), contains="goes on")
        self.assertEqual(self.journal.read_bytes(), whole)
        self.check_left_behind()

    def test_begun_anew(self):
        process = self.start()
        self.assertTrue(self.wait_for_journal(process, 1000))
        self.end(process, signal.SIGTERM)
        self.check_left_behind()
        self.assertEqual(self.made("--restart", "--bits", "3", *LITTLE),
                         self.made("--restart", "--bits", "3", *LITTLE))
        self.assertFalse(self.journal.exists())

    def test_nothing_to_resume(self):
        self.resume()

    def test_other_file_in_the_way(self):
        self.journal.write_bytes(b"a diary, not a journal of ours")
        self.fails(USAGE, *self.command(*MUCH, "--resume"), contains="does not hold an unfinished")
        self.assertEqual(self.journal.read_bytes(), b"a diary, not a journal of ours")

    def test_no_report_of_what_was_stopped(self):
        report = self.folder / "report.json"
        process = self.start("--report", report)
        self.assertTrue(self.wait_for_journal(process, 1000))
        self.assertEqual(self.end(process, signal.SIGINT)[0], 130)
        self.check_left_behind()


class Errors(Case):
    def setUp(self):
        super().setUp()
        self.target.write_bytes(b"what was there")

    def refused(self, code, *options, contains="", source=GGUF, **how):
        self.fails(code, *self.command(*options, source=source), contains=contains, **how)
        self.assertEqual(self.target.read_bytes(), b"what was there")
        self.assertFalse(self.journal.exists())  # there is nothing to go on with
        self.assertEqual([n for n in os.listdir(self.folder) if n.endswith("tmp-edgellm")], [])

    def test_options(self):
        for options, contains in (
                (("--fit", "40KB", "--calibrate", "none"), "--fit needs calibration"),
                (("--fit", "40KB", "--bits", "4"), "leave out --bits"),
                (("--fit", "40KB", "--offset"), "--fit chooses"),
                (("--fit", "40KB", "--group", "64"), "--fit chooses"),
                (("--bits", "4", "--scales", "f16"), "byte scales"),
                (("--fit", "40KB", "--scales", "f16"), "byte scales"),
                (("--bits", "1"), "calibration makes 2, 3, 4 and 8 bits"),
                (("--bits", "1.6"), "calibration makes 2, 3, 4 and 8 bits"),
                (("--fit", "40KB", "--embedding-bits", "1.6"), "calibration makes"),
                (("--bits", "1.6", "--offset", "--calibrate", "none"), "have no offset"),
                (("--bits", "1.5", "--calibrate", "none"), "1.5"),
                (("--tensor", "a=4"), "--tensor needs calibration"),
                (("--bits", "4", "--tensor", "a=4", "--calibrate", "none"), "--tensor needs"),
                (("--resume",), "calibrated runs"),
                (("--restart", "--bits", "4", "--calibrate", "none"), "calibrated runs"),
                (("--calibrate", "self"), "nothing to calibrate"),
                (("--bits", "4", "--resume", "--restart"), "one of them"),
                (("--bits", "4", *["--tensor", "ffn=4"] * 65), "64 times"),
                (("--bits", "4", "--sequences", "0"), "bad number"),
                (("--bits", "4", "--epochs", "1001"), "bad number"),
                (("--bits", "4", "-j", "0"), "bad number")):
            self.refused(USAGE, *options, contains=contains)
        self.ok(*self.command("--bits", "4", "--scales", "byte", *LITTLE))

    def test_patterns(self):
        for pattern in ("ffn_up", "ffn_up=", "=4", "ffn_up=5", "ffn_up=44", "ffn_up=x", "=", ""):
            self.refused(USAGE, "--bits", "4", "--tensor", pattern, contains="REGEX=BITS")
        self.refused(USAGE, "--bits", "4", "--tensor", "ffn_dwon=3", *LITTLE, contains="'ffn_dwon'")
        self.refused(USAGE, "--fit", "40KB", "--tensor", "(=3", *LITTLE, contains="'('")

    def test_a_size_that_is_too_small(self):
        self.refused(USAGE, "--fit", "20KB", *LITTLE, contains="smallest")
        self.refused(USAGE, "--fit", "1", *LITTLE, contains="smallest")

    def test_texts(self):
        text = self.folder / "text"
        for content, code, contains in ((None, IO, "text"), ("", FORMAT, "text"),
                                        ("the fox", USAGE, "too few"), (WORDS, USAGE, "too short")):
            if content is not None:
                text.write_text(content)
            self.refused(code, "--bits", "2", *LITTLE, "--calibrate", text, contains=contains)

    def test_weights_that_are_no_numbers(self):
        source = self.folder / "nan.gguf"
        subprocess.run([MAKE_TINY, source, "f32"], check=True, timeout=60)
        whole = source.read_bytes()
        for at in (-8, -40000, -120000):
            data = bytearray(whole)
            struct.pack_into("<f", data, len(data) + at, float("nan"))
            source.write_bytes(data)
            for options in (("--bits", "2"), ("--fit", "40KB")):
                self.refused(FORMAT, *options, *LITTLE, source=source, contains="nan.gguf")

    def test_other_sources(self):
        broken = self.folder / "broken.gguf"
        broken.write_bytes(pathlib.Path(GGUF).read_bytes()[:5000])
        self.refused(FORMAT, "--bits", "2", *LITTLE, source=broken)
        self.refused(FORMAT, "--bits", "2", *LITTLE, source=__file__)
        self.refused(IO, "--bits", "2", *LITTLE, source=self.folder / "none.gguf")

    def test_files_that_meet(self):
        source, text = self.folder / "s.gguf", self.folder / "text"
        shutil.copy(GGUF, source)
        text.write_text(WORDS * 20)
        other = self.folder / "." / ".." / self.folder.name
        calibrated = ("--bits", "2", "--calibrate", text, *LITTLE)
        for target, report, contains in (
                (source, None, "source"), (other / "s.gguf", None, "source"),
                (other / "text", None, "the text"), (self.target, source, "the source"),
                (self.target, other / "text", "the text"), (self.target, other / "m.tm2.bin",
                                                            "the target")):
            more = ("--report", report) if report else ()
            self.fails(USAGE, *self.command(*calibrated, *more, source=source, target=target),
                       contains=contains)
        self.assertEqual(source.read_bytes(), pathlib.Path(GGUF).read_bytes())
        self.assertEqual(text.read_text(), WORDS * 20)
        self.assertEqual(self.target.read_bytes(), b"what was there")

    def test_places_that_cannot_be_written(self):
        none = self.folder / "none" / "x"
        self.refused(IO, "--bits", "2", "--report", none, *LITTLE, contains=str(none))
        self.assertFalse(self.journal.exists())
        self.fails(IO, *self.command("--bits", "2", *LITTLE, target=none), contains=str(none))

    def test_a_full_disk(self):
        """RLIMIT_FSIZE stands for it: the text, the journal, the target do not fit. What fitted
        is not lost."""
        right, kept = self.made(*MUCH), []
        self.target.write_bytes(b"what was there")
        for size in (100, 5000, 30000, 100000):
            def limit(size=size):
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            self.fails(IO, *self.command(*MUCH, "--resume"), preexec_fn=limit,
                       contains="File too large")
            self.assertEqual(self.target.read_bytes(), b"what was there")
            self.assertLessEqual(set(os.listdir(self.folder)),
                                 {self.target.name, self.journal.name})
            kept.append(self.journal.stat().st_size if self.journal.exists() else 0)
        self.assertEqual(kept, sorted(kept))
        self.assertGreater(kept[-1], 30000)
        self.assertEqual(self.made("--resume", *MUCH), right)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + ["-v"] * ("-v" in sys.argv))
