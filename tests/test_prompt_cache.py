#!/usr/bin/env python3
"""--prompt-cache of `edgellm run` and `edgellm chat` from outside, on a tiny model: with the cache an
answer has the bits that it has without, and a file that does not fit is never used. And
tools/bench_boot.py, which measures starts.

    python3 tests/test_prompt_cache.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
BENCH_BOOT = pathlib.Path(__file__).resolve().parent.parent / "tools" / "bench_boot.py"
USAGE, IO, FORMAT, UNSUPPORTED, MEMORY, CONTEXT = range(2, 8)
TM2, OTHER = str(OUT / "tiny.tm2.bin"), str(OUT / "other.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
SYSTEM = "the fox jumps over the lazy dog. " * 4
VERSION = subprocess.run([EDGELLM, "--version"], capture_output=True, check=True,
                         text=True).stdout.split()[1]
BEFORE = "".join("9" if c == "0" else c for c in VERSION)  # another one, of the same length
SAME = ("tokens", "text", "hash", "finish", "seed")


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    for path, options in ((TM2, []), (OTHER, ["--bits", "8", "--calibrate", "none"])):
        gguf = path.replace(".tm2.bin", ".gguf")
        subprocess.run([MAKE_TINY, gguf], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", path, "-q", *options], check=True, timeout=60)


def sealed(data):
    """A session file with its checksums made right again (docs/SESSION.md)."""
    data = bytearray(data)
    struct.pack_into("<I", data, 24, zlib.crc32(data[128:]))
    struct.pack_into("<I", data, 124, zlib.crc32(data[:124]))
    return bytes(data)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.model = self.folder / "m.tm2.bin"
        shutil.copy(TM2, self.model)

    def kept(self):
        return sorted(self.folder.glob("*.els"))

    def run_once(self, *more, code=0, note="", model=None, system=SYSTEM, prompt="the quick fox",
                 **options):
        """The answer; what was said besides it must be the note alone."""
        command = [EDGELLM, "run", model or self.model, "-p", prompt, "-n", "12", "-s", "3",
                   "--ignore-eos", "--hash", "--json", *(("--system", system) if system else ()),
                   *more]
        done = subprocess.run(list(map(str, command)), capture_output=True, timeout=120,
                              stdin=subprocess.DEVNULL, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        said = done.stderr.decode()
        if code == 0:
            self.assertRegex(said, r"\A(note: [^\n]+\n)?\Z")
        self.assertEqual(bool(note) or code != 0, bool(said), said)
        if note:
            self.assertRegex(said, note)
        return json.loads(done.stdout) if done.stdout else None

    def same(self, a, b):
        self.assertEqual({k: a[k] for k in SAME}, {k: b[k] for k in SAME})


class Run(Case):
    def test_the_second_start_computes_the_rest(self):
        plain = self.run_once()
        made, hit = self.run_once("--prompt-cache"), self.run_once("--prompt-cache")
        path, = self.kept()
        self.assertRegex(path.name, r"\Am\.tm2\.bin\.prompt-[0-9a-f]{16}\.els\Z")
        self.assertEqual(made["prompt_cache"], {"file": str(path), "hit": False, "kept": True, "load_ms": None,
                                                "tokens": hit["prompt_cache"]["tokens"]})
        self.assertGreater(hit["prompt_cache"].pop("load_ms"), 0)
        self.assertEqual((hit["prompt_cache"]["hit"], hit["prompt_cache"]["kept"]), (True, False))
        self.assertEqual(made["prompt_tokens"], plain["prompt_tokens"])
        self.assertEqual(hit["prompt_tokens"] + hit["prompt_cache"]["tokens"], plain["prompt_tokens"])
        for got in made, hit:
            self.same(got, plain)

    def test_other_questions_share_a_system_message(self):
        self.run_once("--prompt-cache")
        for prompt in "over", "the lazy dog jumps":
            got = self.run_once("--prompt-cache", prompt=prompt)
            self.assertTrue(got["prompt_cache"]["hit"])
            self.same(got, self.run_once(prompt=prompt))
        self.assertEqual(len(self.kept()), 1)
        self.assertFalse(self.run_once("--prompt-cache", system=SYSTEM + "x")["prompt_cache"]["hit"])
        self.assertEqual(len(self.kept()), 2)

    def test_the_way_of_computing_does_not_matter(self):
        plain = self.run_once()
        self.run_once("--prompt-cache", "-b", "1", "-c", "200", "--kernel", "scalar")
        ways = [("-b", "512"), ("-c", "256"), ("--constant-time",), ("-t", "0.8", "-s", "3")]
        for way in ways:
            got = self.run_once("--prompt-cache", *way)
            self.assertTrue(got["prompt_cache"]["hit"], way)
            self.assertEqual(got["hash"], self.run_once(*way)["hash"])
        self.same(self.run_once("--prompt-cache"), plain)

    def test_exact_mode_has_a_file_of_its_own(self):
        exact = self.run_once("--exact")
        for hit in False, True:
            for more in (), ("--exact",):
                got = self.run_once("--prompt-cache", *more)
                self.assertEqual(got["prompt_cache"]["hit"], hit)
        self.same(got, exact)
        self.assertEqual(len(self.kept()), 2)

    def test_each_width_of_the_cache_has_a_file_of_its_own(self):
        plain = {bits: self.run_once("--kv-bits", bits) for bits in (16, 8, 4)}
        self.same(plain[8], self.run_once())
        self.assertEqual(len({p["hash"] for p in plain.values()}), 3)
        for hit in False, True:
            for bits in plain:
                got = self.run_once("--prompt-cache", "--kv-bits", bits)
                self.assertEqual(got["prompt_cache"]["hit"], hit)
                self.same(got, plain[bits])
        self.assertEqual(len(self.kept()), 3)
        for bits in plain:
            self.same(self.run_once("--kernel", "scalar", "--kv-bits", bits, "-b", "3"), plain[bits])

    def test_widths_that_there_are_not(self):
        self.run_once("--kv-bits", "5", code=USAGE)
        self.run_once("--kv-bits", "16", "--exact", code=USAGE)

    def test_without_a_system_message_it_is_the_prompt(self):
        for more in (), ("--raw",):
            plain = self.run_once(*more, system=None)
            for _ in range(2):
                got = self.run_once("--prompt-cache", *more, system=None)
                self.same(got, plain)
            self.assertTrue(got["prompt_cache"]["hit"])
            self.assertEqual(got["prompt_tokens"], 1)
        one = self.run_once("--prompt-cache", "--raw", system=None, prompt="t")
        self.assertEqual((one["prompt_tokens"], one["prompt_cache"]), (1, None))

    def test_what_is_printed(self):
        command = [EDGELLM, "run", self.model, "-p", "fox", "-n", "3", "-s", "1", "--prompt-cache"]
        said = [subprocess.run(command, capture_output=True, check=True).stderr.decode()
                for _ in range(2)]
        self.assertRegex(said[0], r"\| prompt cache: \d+ tokens kept for the next start \| \w+\n\Z")
        self.assertRegex(said[1], r"\| prompt cache: \d+ tokens in [\d.]+ ms, first token [\d.]+ ms "
                                  r"after the start \| \w+\n\Z")

    def test_a_deadline_counts_what_is_left(self):
        plain = self.run_once("--prompt-cache")
        got = self.run_once("--prompt-cache", "--deadline-ms", "3600000")
        self.same(got, plain)
        self.assertEqual(got["finish"], "length")

    def test_a_prompt_that_does_not_fit(self):
        self.run_once("--prompt-cache", "-c", "8", code=CONTEXT, note="the context holds 8")
        self.assertEqual(self.kept(), [])


class Unfit(Case):
    """Files that must not be used."""

    def damaged(self, data):
        at = len(data) // 2
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

    def foreign(self, data):
        """Of the version before, sound otherwise."""
        there, before = (f"edgellm {v} prompt cache".encode() for v in (VERSION, BEFORE))
        self.assertEqual(data.count(there), 1)
        return sealed(data.replace(there, before))

    CHANGES = {"damaged": "checksum: the file is damaged",
               "foreign": f'it is "edgellm {BEFORE} prompt cache", not "edgellm {VERSION} prompt cache"'}

    def test_a_file_beside_the_model_is_made_anew(self):
        plain = self.run_once("--prompt-cache")
        path, = self.kept()
        right = path.read_bytes()
        changes = [(getattr(self, name)(right), says) for name, says in self.CHANGES.items()]
        changes += [(b"", "is empty"), (b"something else", "not a session file"),
                    (right[:1000], "should have"), (sealed(right[:8] + b"\3" + right[9:]), "version 3")]
        for data, says in changes:
            path.write_bytes(data)
            got = self.run_once("--prompt-cache", note=rf"prompt cache is not used: .*{says}")
            self.same(got, plain)
            self.assertEqual((got["prompt_cache"]["hit"], got["prompt_cache"]["kept"]), (False, True))
            self.assertEqual(path.read_bytes(), right)

    def test_another_model_in_the_same_place(self):
        self.run_once("--prompt-cache")
        shutil.copy(OTHER, self.model)
        plain = self.run_once()
        got = self.run_once("--prompt-cache", note="not used: .*saved with another model file")
        self.same(got, plain)
        self.assertTrue(self.run_once("--prompt-cache")["prompt_cache"]["hit"])

    def test_a_named_file_is_replaced_if_it_is_a_prompt_cache(self):
        path = self.folder / "my.cache"
        named = f"--prompt-cache={path}"
        plain = self.run_once(named)
        right = path.read_bytes()
        self.assertTrue(self.run_once(named)["prompt_cache"]["hit"])
        path.write_bytes(self.foreign(right))
        self.same(self.run_once(named, note="not used: .*" + self.CHANGES["foreign"]), plain)
        self.assertEqual(path.read_bytes(), right)
        self.run_once(named, prompt="fox", system="Be brief.", note="not used: .*another text")
        self.run_once(named, model=OTHER, note="not used: .*another model file")
        self.assertTrue(self.run_once(named, model=OTHER)["prompt_cache"]["hit"])
        self.assertEqual(self.kept(), [])

    def test_a_named_file_that_is_something_else_is_refused(self):
        path = self.folder / "talk.els"
        named = f"--prompt-cache={path}"
        subprocess.run([EDGELLM, "chat", self.model, "-n", "2", "--save", path], input=b"fox\n",
                       capture_output=True, check=True)
        others = [(path.read_bytes(), USAGE, "no prompt cache, and is not overwritten"),
                  (b"my letter", FORMAT, "not a session file; it is not overwritten"),
                  (b"", FORMAT, "is empty; it is not overwritten")]
        path.unlink()
        self.run_once(named)
        others.append((self.damaged(path.read_bytes()), FORMAT, "damaged.*; it is not overwritten"))
        for data, code, says in others:
            path.write_bytes(data)
            self.run_once(named, code=code, note=says)
            self.assertEqual(path.read_bytes(), data)
        self.run_once(f"--prompt-cache={self.model}", code=FORMAT, note="not a session file")
        self.run_once(f"--prompt-cache={self.folder}/nowhere/x", code=IO, note="No such file")


class Places(Case):
    def test_the_cache_folder_if_the_models_cannot_be_written(self):
        """/proc/self/fd is such a folder for everybody, the superuser included."""
        cache = self.folder / "cache"
        fd = os.open(self.model, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        options = {"model": f"/proc/self/fd/{fd}", "pass_fds": (fd,),
                   "env": {**os.environ, "EDGELLM_CACHE": str(cache)}}
        plain = self.run_once()
        made = self.run_once("--prompt-cache", note=rf"kept as {cache}/.*: .*/proc/self/fd", **options)
        self.same(made, plain)
        hit = self.run_once("--prompt-cache", **options)
        self.same(hit, plain)
        self.assertTrue(hit["prompt_cache"]["hit"])
        path, = cache.glob("*.els")
        self.assertEqual(hit["prompt_cache"]["file"], str(path))
        # Another model of that name has a file of its own there.
        other = os.open(OTHER, os.O_RDONLY)
        os.dup2(other, fd)
        os.close(other)
        os.set_inheritable(fd, True)
        self.assertFalse(self.run_once("--prompt-cache", note="kept as", **options)["prompt_cache"]["hit"])
        self.assertEqual(len(list(cache.glob("*.els"))), 2)
        options["env"] = {**os.environ, "EDGELLM_CACHE": "none"}
        none = self.run_once("--prompt-cache", note="not kept: .*/proc/self/fd", **options)
        self.assertEqual((none["prompt_cache"]["file"], none["prompt_cache"]["kept"]), (None, False))

    def test_a_full_disk(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        plain = self.run_once()
        got = self.run_once("--prompt-cache", note="not kept: .*File too large", preexec_fn=limit)
        self.same(got, plain)
        self.assertEqual(sorted(os.listdir(self.folder)), [self.model.name])
        path = self.folder / "mine"
        named = self.run_once(f"--prompt-cache={path}", code=IO, note="File too large",
                              preexec_fn=limit)
        self.same(named, plain)  # the answer was there before
        self.assertFalse(path.exists())


class Chat(Case):
    def chat(self, text, *more, code=0, notes=0):
        done = subprocess.run([EDGELLM, "chat", self.model, "-s", "7", "-n", "8", "--json", "--hash",
                               *map(str, more)], input=text.encode(), capture_output=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(re.findall(r"(?m)^note: ", done.stderr.decode())), notes, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_a_conversation_begins_with_what_is_kept(self):
        text = "the quick\nbrown fox\n/reset\nlazy dog\n"
        system = ("--system", SYSTEM)
        plain = self.chat(text, *system)
        for hit in False, True:
            got = self.chat(text, *system, "--prompt-cache")
            for a, b in zip(got, plain, strict=True):
                self.same(a, b)
            self.assertEqual(got[0]["prompt_cache"]["hit"], hit)
            self.assertIsNone(got[1]["prompt_cache"])
            self.assertTrue(got[2]["prompt_cache"]["hit"])  # after /reset it is loaded anew
        self.assertEqual(got[0]["prompt_tokens"] + got[0]["prompt_cache"]["tokens"],
                         plain[0]["prompt_tokens"])
        self.assertEqual(len(self.kept()), 1)

    def test_run_and_chat_share_a_file(self):
        made = self.run_once("--prompt-cache")
        got, = self.chat("fox\n", "--system", SYSTEM, "--prompt-cache")
        self.assertTrue(got["prompt_cache"]["hit"])
        self.assertEqual(got["prompt_cache"]["file"], made["prompt_cache"]["file"])

    def test_a_saved_conversation_is_as_without(self):
        files = [self.folder / name for name in ("a.talk", "b.talk")]
        for path, more in zip(files * 2, ([], ["--prompt-cache"]) * 2, strict=True):
            self.chat("the quick\nfox\n", "--system", SYSTEM, "--save", path, *more)
        self.assertEqual(files[0].read_bytes(), files[1].read_bytes())

    def test_a_new_system_message(self):
        got = self.chat("fox\n/system Be brief.\nfox\n", "--system", SYSTEM, "--prompt-cache")
        self.assertEqual([o["prompt_cache"]["kept"] for o in got], [True, True])
        self.assertEqual(len(self.kept()), 2)

    def test_named_files(self):
        path = self.folder / "mine"
        named = f"--prompt-cache={path}"
        self.assertTrue(self.chat("fox\n", named, "--system", SYSTEM)[0]["prompt_cache"]["kept"])
        self.chat("fox\n", named, "--system", "Be brief.", notes=1)
        path.write_text("my letter")
        self.assertEqual(self.chat("fox\n", named, code=FORMAT), [])
        self.assertEqual(path.read_text(), "my letter")
        nowhere = self.chat("fox\ndog\n", f"--prompt-cache={self.folder}/no/x", "--system", SYSTEM, code=IO)
        self.assertEqual(len(nowhere), 2)  # what was asked is answered; the exit code tells


class Tool(Case):
    def test_bench_boot(self):
        command = [sys.executable, BENCH_BOOT, "--edgellm", EDGELLM, self.model, "--tokens", "40",
                   "--runs", "2"]
        got = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True,
                                        timeout=120).stdout)
        self.assertGreater(got["tokens"], 10)
        self.assertEqual(got["model_bytes"], os.path.getsize(self.model))
        for key in "without_ms", "warm_ms", "evicted_ms":
            self.assertGreaterEqual(got[key]["max"], got[key]["median"])
            self.assertGreater(got[key]["median"], 0)
        files = got["model_bytes"] + got["cache_bytes"]
        self.assertAlmostEqual(got["evicted_limit_ms"], files / got["read_bytes_s"] * 1e3 + 100)
        self.assertEqual(os.listdir(self.folder), [self.model.name])
        shown = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
        self.assertRegex(shown, r"prompt cache, evicted +[\d.]+ ms")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
