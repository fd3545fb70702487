#!/usr/bin/env python3
"""The `edgellm` program from outside, on a tiny model: every command, and what it does when the
input is bad, the disk is full, the reader is gone or the user presses Ctrl-C.

    python3 tests/test_cli.py EDGELLM MAKE_TINY OUT_DIR [sanitized | counted]

MAKE_TINY writes a tiny GGUF file (tests/make_tiny.c). Standard library only.
"""
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
import termios
import time
import unittest
import zlib

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
SANITIZED = "sanitized" in sys.argv[4:]
COUNTED = "counted" in sys.argv[4:]  # a build for coverage, which writes counters as it ends
INTERNAL, USAGE, IO, FORMAT, UNSUPPORTED, MEMORY, CONTEXT = range(1, 8)
GGUF, TM2 = str(OUT / "tiny.gguf"), str(OUT / "tiny.tm2.bin")
COMMANDS = ("run", "chat", "quantize", "info", "tokenize", "embed", "perplexity", "bench", "certify",
            "soak")
if os.path.exists(EDGELLM + "-serve"):  # which is left out where there is no libwebsockets
    COMMANDS += ("serve",)
os.environ["EDGELLM_CACHE"] = "none"  # nothing of the tests' goes into the user's folders
WORDS = "the quick brown fox jumps over the lazy dog and 12 more, it's fun\n"


def edgellm(*arguments, stdin=b"", program=EDGELLM, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([program, *map(str, arguments)], input=stdin, stderr=subprocess.PIPE,
                          timeout=120, **options)


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    done = edgellm("quantize", GGUF, "-o", TM2)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())


class Case(unittest.TestCase):
    def ok(self, *arguments, **options):
        done = edgellm(*arguments, **options)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr.decode()))
        return done.stdout

    def json(self, *arguments, **options):
        done = edgellm(*arguments, "--json", **options)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr.decode()))
        self.assertEqual(done.stderr, b"")
        return json.loads(done.stdout)

    def one_line(self, done, contains=""):
        """Standard error holds exactly one line, and it is an error of the program."""
        text = done.stderr.decode()
        self.assertRegex(text, r"\Aedgellm: [^\n]+\n\Z")
        self.assertIn(contains, text)

    def fails(self, code, *arguments, contains="", **options):
        done = edgellm(*arguments, **options)
        self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
        self.one_line(done, contains)
        return done

    def temporary(self):
        folder = tempfile.mkdtemp(dir=OUT)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return pathlib.Path(folder)

    def run_json(self, *options):
        return self.json("run", TM2, "-p", "the quick brown fox", "-n", "12", "-s", "3",
                         "--ignore-eos", "--hash", *options)


class Help(Case):
    def test_overview(self):
        for arguments in ((), ("--help",), ("-h",), ("help",)):
            text = self.ok(*arguments).decode()
            for command in COMMANDS:
                self.assertRegex(text, rf"(?m)^  {command} +\w")
            for code in (0, 1, 2, 3, 4, 5, 6, 7, 9, 130):
                self.assertRegex(text, rf"(?m)^  {code} +\w")

    def test_version(self):
        self.assertRegex(self.ok("--version").decode(), r"\Aedgellm \d+\.\d+\.\d+\n\Z")

    def test_each_command(self):
        for command in COMMANDS:
            text = self.ok(command, "--help").decode()
            self.assertEqual(text, self.ok("help", command).decode())
            self.assertIn(f"usage: edgellm {command} ", text)
            self.assertRegex(text, rf"examples:\n  edgellm {command} ")
            self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_every_promised_option_is_in_the_help(self):
        promised = {
            "run": "-n -t -c -j -s -b -p -q --threads --seed --top-k --top-p --min-p --repeat-penalty"
                   " --ignore-eos --hash --exact --kernel --cpumask --json --max-ram --raw --system --rt"
                   " --reserve-cores --constant-time --certificate --deadline-ms --deadline-shorten"
                   " --prompt-cache[=FILE] --target-rate --max-temp --root --template --shift --keep",
            "chat": "--template --shift --keep --rt -n -t -c -j -s -b -q --system --load --save --top-k --no-history --json --hash"
                    " --prompt-cache[=FILE] --target-rate --max-temp --root",
            "quantize": "-o --bits --group --embedding-bits --embedding-group --calibrate --scales"
                        " --plan --fit --tensor --sequences --epochs --steps --seed -j --report"
                        " --resume --force --json -q",
            "info": "--json --tensors -c", "tokenize": "--special --ids --decode --json",
            "embed": "--file --json -c -j --exact --max-ram --verify",
            "perplexity": "--chat --chunks -c --json --exact --against --cache",
            "bench": "--template --runs -n --json --warmup --rt --certificate --backend"
                     " --blocks --prompt --unique-prompts --sessions --load --trace --output --csv --html"
                     " --target-rate --max-temp --root",
            "certify": "--duration -o --check --certificate --slower --sessions --load --rt -c -j -b --json -q",
            "soak": "--requests -p -n -s -o --load --rt --certificate -c -j -b --json -q",
            "serve": "--template --host --port --unix --api-key-file --insecure --sessions --queue --max-body --drain"
                     " --connections --reader-timeout --calibrate -c -j -b --max-ram --rt"}
        for command, options in promised.items():
            if command not in COMMANDS:
                continue
            words = re.split(r"[\s,]+", self.ok(command, "--help").decode())
            for option in options.split():
                self.assertIn(option, words, command)

    def test_examples_use_real_options(self):
        """Every option in an example is known: only the files are missing."""
        for command in COMMANDS:
            text = self.ok(command, "--help").decode().split("examples:\n")[1]
            examples = text.split("\n\n")[0].replace("\\\n", " ")
            for line in examples.splitlines():
                typed = line.split(" < ")[0].replace("edgellm ", f"'{EDGELLM}' ", 1)
                done = subprocess.run(["sh", "-c", typed], capture_output=True, cwd=OUT,
                                      stdin=subprocess.DEVNULL, timeout=60)
                self.assertEqual(done.returncode, IO, (line, done.stderr))


class Commands(Case):
    def test_run_streams_text_and_measures(self):
        done = edgellm("run", TM2, "-p", "the quick brown", "-n", "30", "-s", "1", "--ignore-eos")
        self.assertEqual(done.returncode, 0, done.stderr)
        line = done.stderr.decode()
        self.assertRegex(line, r"\Aprefill \d+ tokens [\d.]+ tok/s \| first token [\d.]+ ms \| "
                         r"decode 29 tokens [\d.]+ tok/s \| per token P50 [\d.]+ ms, "
                         r"P99 needs 1001 tokens, max [\d.]+ ms \| peak memory [\d.]+ MB \| "
                         r"file [\d.]+ MB \| \w+, \d+ threads? \| seed 1"
                         r"( \| up to [\d.]+ C)?( \| \S+ J a token)? \| length\n\Z")
        answer = self.json("run", TM2, "-p", "the quick brown", "-n", "30", "-s", "1",
                           "--ignore-eos")
        self.assertEqual(done.stdout.decode(errors="replace"), answer["text"] + "\n")
        self.assertEqual(len(answer["tokens"]), 30)

    def test_run_is_the_default_command(self):
        same = ("-p", "the lazy dog", "-n", "9", "-t", "0", "-q")
        self.assertEqual(self.ok(TM2, *same), self.ok("run", TM2, *same))
        self.assertEqual(self.ok(TM2, *same), self.ok("run", *same, TM2))

    def test_quiet(self):
        self.assertEqual(edgellm("run", TM2, "-p", "fox", "-n", "2", "-q").stderr, b"")

    def test_run_json(self):
        got = self.run_json()
        self.assertEqual(got["seed"], 3)
        self.assertEqual(got["finish"], "length")
        self.assertEqual(got["file_bytes"], os.path.getsize(TM2))
        self.assertGreater(got["peak_rss"], 0)
        times = got["timings"]
        self.assertEqual(times["token_ms"]["samples"], 11)
        self.assertIsNone(times["token_ms"]["p50"])  # 11 samples are too few
        self.assertGreater(times["token_ms"]["max"], 0)
        self.assertGreater(times["decode_tok_s"], 0)
        self.assertGreater(times["prefill_tok_s"], 0)
        self.assertGreater(times["ttft_ms"], 0)
        self.assertGreater(times["boot_ms"], times["load_ms"] + times["ttft_ms"])
        self.assertIsNone(got["prompt_cache"])

    def test_percentiles_need_samples(self):
        times = self.json("run", TM2, "-p", "fox", "-n", "21", "--ignore-eos")["timings"]
        self.assertEqual(times["token_ms"]["samples"], 20)
        self.assertLessEqual(times["token_ms"]["p50"], times["token_ms"]["max"])
        self.assertIsNone(times["token_ms"]["p99"])

    def test_seed(self):
        first, again = self.run_json(), self.run_json()
        for key in ("text", "tokens", "hash", "seed"):
            self.assertEqual(first[key], again[key])
        free = [self.json("run", TM2, "-p", "the quick", "-n", "5")["seed"] for _ in range(3)]
        self.assertGreater(len(set(free)), 1)
        repeat = self.json("run", TM2, "-p", "the quick", "-n", "5", "-s", free[0])
        self.assertEqual(repeat["seed"], free[0])

    def test_samplers(self):
        greedy = self.run_json("-t", "0")["tokens"]
        banned = self.run_json("-t", "0", "--logit-bias", f"{greedy[0]}=-inf,5=0.1")["tokens"]
        self.assertNotIn(greedy[0], banned)
        self.assertEqual(self.run_json("--logit-bias", "7=1000")["tokens"], [7] * 12)
        plain = ("--top-k", "0", "--top-p", "1", "--min-p", "0", "-t", "2")
        seen = [self.run_json(*plain, *more)["tokens"] for more in (
            (), ("--typical-p", "0.2"), ("--presence-penalty", "90"), ("--frequency-penalty", "-90"),
            ("--dry-multiplier", "90", "--dry-allowed-length", "0"), ("--mirostat", "1"),
            ("--xtc-probability", "1", "--xtc-threshold", "0.001"),
            ("--mirostat", "2", "--mirostat-tau", "1", "--mirostat-eta", "0.5"))]
        self.assertEqual(len(set(map(tuple, seen))), len(seen))
        dry = plain + ("--dry-multiplier", "90", "--dry-allowed-length", "0", "--dry-breakers")
        self.assertEqual(self.run_json(*dry, "\\n,:,\",*")["tokens"], seen[4])
        self.assertEqual(self.run_json(*dry, " ,e,\\,,a,o")["tokens"],
                         self.run_json(*dry, "\\,,o,e,a, ")["tokens"])

    def test_grammar(self):
        """The answer is what the grammar allows, whatever the model would say, and it closes."""
        folder = self.temporary()
        grammar = folder / "list.gbnf"
        grammar.write_text('root ::= "[" ( word ("," word)* )? "]" # a list\nword ::= [a-z]{2,9}\n')
        for tokens in (3, 8, 20):
            for seed in range(4):
                answer = self.json("run", TM2, "-p", "fox", "-n", str(tokens), "-s", str(seed), "-t", "2",
                                   "--grammar", str(grammar))
                self.assertRegex(answer["text"], r"\A\[([a-z]{2,9}(,[a-z]{2,9})*)?\]\Z")
                self.assertEqual(answer["finish"], "end")
        run = ("run", TM2, "-p", "fox", "--grammar", str(grammar))
        self.fails(USAGE, *run, "-n", "2", contains="may need 3 tokens with its end, 2 are allowed")
        self.fails(USAGE, *run, "--ignore-eos", contains="leave one out")
        grammar.write_text('root ::= "a"\n  | ["b-a]\n')
        self.fails(FORMAT, *run, contains=f"{grammar}: line 2, column 7: the range ends")
        self.fails(IO, "run", TM2, "-p", "fox", "--grammar", "/nonexistent", contains="/nonexistent")
        schema = folder / "lamp.json"
        schema.write_text('{"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}}}')
        for seed in ("1", "2"):
            answer = self.json("run", TM2, "-p", "fox", "--json-schema", str(schema), "-n", "40",
                               "-t", "2", "--seed", seed)
            self.assertIsInstance(json.loads(answer["text"])["on"], bool)
        self.fails(USAGE, *run, "--json-schema", str(schema), contains="--grammar or --json-schema")
        self.fails(USAGE, "run", TM2, "-p", "fox", "--json-schema", str(schema), "--ignore-eos",
                   contains="the end that --json-schema has")
        schema.write_text('{"properties": {"a": {"multipleOf": 3}}}')
        self.fails(UNSUPPORTED, "run", TM2, "-p", "fox", "--json-schema", str(schema),
                   contains="lamp.json: schema: #/properties/a")

    def test_hash_does_not_depend_on_the_way(self):
        reference = self.run_json("--kernel", "scalar", "-j", "1", "-b", "1")
        ways = [("-b", b) for b in (1, 7, 64, 512)]
        ways += [("--constant-time",), ("--constant-time", "-b", 5, "-c", 64)]
        ways += [("--cpumask", "scalar")]
        ways += [("--kernel", k) for k in self.json("info", TM2)["kernels_available"]]
        if len(os.sched_getaffinity(0)) > 1:
            ways += [("-j", 2)]
        for way in ways:
            got = self.run_json(*map(str, way))
            self.assertEqual(got["hash"], reference["hash"], way)
            self.assertEqual(got["tokens"], reference["tokens"], way)
        self.assertNotEqual(self.run_json("--exact")["hash"], reference["hash"])
        done = edgellm("run", TM2, "-p", "the quick brown fox", "-n", "12", "-s", "3",
                       "--ignore-eos", "--hash", "-q")
        self.assertEqual(done.stderr.decode(), f"hash {reference['hash']}\n")

    def test_prompt_sources(self):
        path = self.temporary() / "prompt.txt"
        path.write_text("the quick brown fox")
        same = ("-n", "6", "-t", "0", "-q")
        wanted = self.ok("run", TM2, "-p", "the quick brown fox", *same)
        self.assertEqual(self.ok("run", TM2, "--prompt-file", path, *same), wanted)
        self.assertEqual(self.ok("run", TM2, "--prompt-file", "-", *same,
                                 stdin=b"the quick brown fox"), wanted)

    def test_raw_is_the_text_alone(self):
        ids = self.json("tokenize", TM2, "the quick brown fox")
        raw = self.json("run", TM2, "--raw", "-p", "the quick brown fox", "-n", "1")
        self.assertEqual(raw["prompt_tokens"], ids["count"])
        chat = self.json("run", TM2, "-p", "the quick brown fox", "-n", "1")
        self.assertGreater(chat["prompt_tokens"], ids["count"])
        system = self.json("run", TM2, "--system", "the fox jumps over the dog. " * 3, "-p",
                           "the quick brown fox", "-n", "1")
        self.assertGreater(system["prompt_tokens"], ids["count"])

    def test_templates_by_name(self):
        same = ("-p", "the quick brown fox", "-n", "6", "-t", "0", "-q")
        self.fails(USAGE, "run", TM2, *same, "--template", "alpaca", contains='"alpaca"; known are: chatml')
        told = edgellm("run", TM2, *same, "--template", "alpaca").stderr.decode().split("are: ")[1]
        for command in ("run", "chat", "bench"):
            listed = re.search(r"--template NAME +chat as (.*)", self.ok(command, "--help").decode())[1]
            self.assertEqual(listed.replace(" or ", ", "), told.strip())
        self.fails(UNSUPPORTED, "run", TM2, *same, "--template", "llama3", contains="<|start_header_id|>")
        own = self.ok("run", TM2, *same)
        self.assertEqual(self.ok("run", TM2, *same, "--template", "chatml"), own)
        count = lambda *more: self.json("run", TM2, *same[:-1], *more)["prompt_tokens"]
        self.assertNotEqual(count("--template", "zephyr"), count())

    def test_a_template_that_is_not_known(self):
        data = bytearray(pathlib.Path(GGUF).read_bytes())
        at = data.index(b"tokenizer.chat_template")
        data[at:] = data[at:].replace(b"<|im_start|>", b"<|xx_start|>", 1)
        while b"<|im_start|>" in data[at:at + 600]:
            data[at:at + 600] = data[at:at + 600].replace(b"<|im_start|>", b"<|xx_start|>", 1)
        folder = self.temporary()
        odd, model = folder / "odd.gguf", folder / "odd.tm2.bin"
        odd.write_bytes(data)
        self.ok("quantize", odd, "-o", model)
        asked = ("-p", "fox", "-n", "2", "-t", "0", "-q")
        self.fails(UNSUPPORTED, "run", model, *asked, contains="--template NAME")
        self.fails(UNSUPPORTED, "chat", model, contains="--template NAME")
        self.assertIsNone(self.json("info", model)["chat_form"])
        self.assertIn(b"a chat template that is not known", self.ok("info", model))
        self.assertEqual(self.ok("run", model, *asked, "--raw"), self.ok("run", TM2, *asked, "--raw"))
        self.assertEqual(self.ok("run", model, *asked, "--template", "chatml", "--system", "x"),
                         self.ok("run", TM2, *asked, "--system", "x"))
        self.assertEqual(self.json("info", TM2)["chat_form"], "chatml")

    def test_run_ends_at_the_context(self):
        got = self.json("run", TM2, "--raw", "-p", "the quick brown fox", "-c", "16", "-n", "100",
                        "--ignore-eos")
        self.assertEqual(got["finish"], "context")
        self.assertEqual(got["prompt_tokens"] + len(got["tokens"]), 17)

    def test_max_ram(self):
        total = self.json("info", TM2)["plan"]["total"]
        self.ok("run", TM2, "-p", "fox", "-n", "1", "-q", "--max-ram", total + (64 << 20))
        self.fails(MEMORY, "run", TM2, "-p", "fox", "-n", "1", "--max-ram", "4K")
        self.fails(MEMORY, "info", TM2, "--max-ram", "4K")

    def test_real_time(self):
        """What was got depends on the rights of whoever runs the test; that it is told doesn't."""
        plain, real = self.run_json(), self.run_json("--rt", "-j", "1")
        self.assertNotIn("realtime", plain)
        self.assertEqual(plain["hash"], real["hash"])
        got = real["realtime"]
        self.assertLessEqual(got["locked_bytes"], got["wanted_bytes"])
        self.assertLessEqual(len(got["cores"]), 1)
        chosen = got["tries"][got["chosen"]]
        self.assertIsNone(chosen["refusal"])
        self.assertGreater(chosen["gap_ms"], 0)
        self.assertEqual(got["tries"][-1]["name"], "as it was")
        for refused in (t["name"] for t in got["tries"] if t["refusal"]):
            self.assertTrue(any(line.startswith(refused) for line in got["not"]), got)
        bench = self.json("bench", TM2, "-p", "8", "-n", "4", "--runs", "1", "--rt")
        self.assertIn("policy", bench["realtime"])
        done = edgellm("run", TM2, "-p", "fox", "-n", "1", "--rt")
        self.assertRegex(done.stderr.decode(), r"(?m)^rt  +\d+ threads? ")
        done = edgellm("run", TM2, "-p", "fox", "-n", "1", "--rt", "-q")
        self.assertNotIn(b"rt  ", done.stderr)

    def test_reserve_cores(self):
        cores = self.json("info", TM2)["plan"]["n_threads"]
        self.fails(USAGE, "run", TM2, "-p", "fox", "--reserve-cores", "63", contains="reserve")
        if cores > 1:
            self.assertLess(self.json("info", TM2, "--reserve-cores", cores - 1)
                            ["plan"]["n_threads"], cores)

    def test_quantize(self):
        folder = self.temporary()
        for name, options in (("keep", ()),
                              ("four", ("--bits", "4", "--offset", "--calibrate", "none")),
                              ("two", ("--bits", "2", "--group", "64", "--scales", "byte",
                                       "--embedding-bits", "8", "--embedding-group", "row",
                                       "--calibrate", "none")),
                              ("three", ("--bits", "3", "--group", "row", "--calibrate", "none"))):
            path = folder / f"{name}.tm2.bin"
            got = self.json("quantize", GGUF, "-o", path, *options)
            self.assertEqual(got["file_bytes"], path.stat().st_size)
            self.assertEqual(got["source_bytes"], os.path.getsize(GGUF))
            self.assertGreater(got["rounded"] + got["kept"], 0)
            self.assertEqual(got["rounded"] > 0, name != "keep")
            self.json("run", path, "-p", "the quick", "-n", "3", "--verify")
            self.assertEqual(len(list(folder.glob(f"*{name}*"))), 1)
        text = self.ok("quantize", GGUF, "-o", folder / "keep.tm2.bin").decode()
        self.assertRegex(text, r"bits per weight")
        self.assertEqual((folder / "keep.tm2.bin").read_bytes(), pathlib.Path(TM2).read_bytes())

    def test_info(self):
        got = self.json("info", TM2, "-c", "64", "--tensors")
        self.assertEqual(got["file_bytes"], os.path.getsize(TM2))
        self.assertEqual(len(got["tensor_list"]), got["tensors"])
        self.assertEqual(sum(c["tensors"] for c in got["codecs"]), got["tensors"])
        self.assertEqual(sum(c["weights"] for c in got["codecs"]), got["parameters"])
        parts = ("weights", "tables", "kv_cache", "scratch", "threads", "program")
        self.assertEqual(sum(got["plan"][p] for p in parts), got["plan"]["total"])
        self.assertEqual(got["plan"]["context"], 64)
        self.assertIn(got["kernel"], got["kernels_available"])
        self.assertEqual(got["page_bytes"], os.sysconf("SC_PAGESIZE"))
        text = self.ok("info", TM2, "--tensors").decode()
        for tensor in got["tensor_list"]:
            self.assertIn(tensor["name"], text)

    def test_the_kernel_is_chosen_once(self):
        kept = self.temporary() / "kept"

        def choice(*more, cache=kept):
            done = edgellm("info", TM2, "--json", *more, env={**os.environ, "EDGELLM_CACHE": cache})
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            return json.loads(done.stdout)["kernel_choice"]

        self.assertEqual([choice(), choice()], ["measured", "remembered"])
        self.assertEqual(len(list(kept.glob("kernel-*"))), 1)
        self.assertEqual(choice("--kernel", "scalar"), "given")
        self.assertEqual(choice(cache="none"), "newest")
        self.assertEqual(choice(cache="/proc/none"), "measured")  # where nothing can be kept
        self.assertIn("the fastest, measured before", edgellm(
            "info", TM2, env={**os.environ, "EDGELLM_CACHE": kept}).stdout.decode())

    def test_info_shows_rotation(self):
        data, path = bytearray(pathlib.Path(TM2).read_bytes()), self.temporary() / "r.tm2.bin"
        start, size = struct.unpack_from("<QQ", data, 64 + 4 * 40 + 8)  # docs/FORMAT.md
        for at in range(start, start + size, 128):
            if data[at + 76] and data[at:].startswith(b"blk.1.attn_output."):
                data[at + 78] = 1
        struct.pack_into("<I", data, 64 + 4 * 40 + 4, zlib.crc32(data[start:start + size]))
        struct.pack_into("<I", data, 24, zlib.crc32(data[64:304]))
        struct.pack_into("<I", data, 60, zlib.crc32(data[:60]))
        path.write_bytes(data)
        got = self.json("info", path, "--tensors")
        rotated = [t["name"] for t in got["tensor_list"] if t["rotation"] == "hadamard64"]
        self.assertEqual(rotated, ["blk.1.attn_output.weight"])
        self.assertEqual([c["tensors"] for c in got["codecs"] if c["rotation"] != "none"], [1])
        self.assertEqual(self.ok("info", path, "--tensors").decode().count("hadamard64"), 2)
        self.assertNotIn(b"hadamard64", self.ok("info", TM2, "--tensors"))
        self.assertNotEqual(self.json("run", path, "-p", "fox", "-n", "9", "--hash")["hash"],
                            self.json("run", TM2, "-p", "fox", "-n", "9", "--hash")["hash"])

    def test_tokenize(self):
        got = self.json("tokenize", TM2, WORDS)
        self.assertEqual(got["count"], len(got["ids"]))
        self.assertEqual("".join(got["pieces"]), WORDS)
        ids = self.ok("tokenize", TM2, "--ids", stdin=WORDS.encode()).decode()
        self.assertEqual(ids, " ".join(map(str, got["ids"])) + "\n")
        self.assertEqual(self.ok("tokenize", TM2, "--decode", ids), WORDS.encode())
        self.assertEqual(self.ok("tokenize", TM2, "--decode", ids.replace(" ", ",")),
                         WORDS.encode())
        lines = self.ok("tokenize", TM2, WORDS).decode().splitlines()
        self.assertEqual([int(line.split("\t")[0]) for line in lines], got["ids"])
        self.assertEqual(self.ok("tokenize", TM2), b"")

    def test_embed(self):
        """A line for each text, with as many numbers as there are dimensions; files, pipes and JSON agree."""
        lines = "the fox\n1 2 3 \n<|im_end|>\nthe quick brown fox"
        rows = [[float(x) for x in line.split()]
                for line in self.ok("embed", TM2, stdin=lines.encode()).decode().splitlines()]
        self.assertEqual([len(row) for row in rows], [64] * 4)
        for row in rows:
            self.assertAlmostEqual(sum(x * x for x in row), 1, places=5)
        path = self.temporary() / "lines.txt"
        path.write_text(lines + "\n")
        got = self.json("embed", TM2, "--file", path)
        self.assertEqual((got["dim"], len(got["embeddings"])), (64, 4))
        self.assertEqual(got["tokens"], sum(one["tokens"] for one in got["embeddings"]))
        for i, (row, text) in enumerate(zip(rows, lines.split("\n"))):
            one = got["embeddings"][i]
            self.assertEqual((one["index"], [float(f"{x:.9g}") for x in one["embedding"]]), (i, row))
            alone = self.ok("embed", TM2, text, "-j", "1", "-b", "1").decode()
            self.assertEqual([float(x) for x in alone.split()], row)  # in any batches
            self.assertEqual(one["tokens"], self.json("tokenize", TM2, text)["count"])
        self.assertEqual(self.ok("embed", TM2), b"")
        self.assertEqual(self.json("embed", TM2)["embeddings"], [])
        self.fails(USAGE, "embed", TM2, "", contains="the text is empty")
        self.fails(USAGE, "embed", TM2, stdin=b"fox\n\nfox\n", contains="line 2 is empty")
        self.fails(USAGE, "embed", TM2, "x", "--file", path, contains="--file")
        self.fails(CONTEXT, "embed", TM2, "-c", "4", stdin=b"a\nthe quick brown fox\n", contains="line 2 has")
        self.fails(IO, "embed", TM2, "--file", path.parent / "none.txt", contains="none.txt")

    def test_shift(self):
        """An answer of any length, in the same memory; up to the first shift the same."""
        base = ("run", TM2, "--raw", "-p", "the fox", "-c", "32", "--ignore-eos", "-s", "3")
        full = self.json(*base, "-n", "200")
        self.assertEqual((full["finish"], "shifts" in full), ("context", False))
        got = self.json(*base, "-n", "200", "--shift", "--hash")
        self.assertEqual((got["finish"], len(got["tokens"])), ("length", 200))
        # But for the program's own, of which a sanitizer has more or less at each start.
        more = range(2 if SANITIZED else 0)
        without = [full] + [self.json(*base, "-n", "200") for _ in more]
        shifting = [got] + [self.json(*base, "-n", "200", "--shift") for _ in more]
        self.assertLess(min(abs(a["planned_bytes"] - b["planned_bytes"]) for a in shifting for b in without), 1 << 20)
        n = len(full["tokens"])
        self.assertEqual(got["tokens"][:n], full["tokens"])
        behind = 200 - n  # each shift drops (32 - 4) / 2
        self.assertEqual(got["shifts"], (behind + 13) // 14)
        for options in (("-j", "1"), ("-b", "1"), ("-b", "3")):
            self.assertEqual(self.json(*base, "-n", "200", "--shift", "--hash", *options)["hash"], got["hash"])
        kept = self.json(*base, "-n", "200", "--shift", "--keep", "16")
        self.assertEqual(kept["tokens"][:n], full["tokens"])
        self.assertNotEqual(kept["tokens"], got["tokens"])
        endless = self.json(*base, "-n", "4000", "--shift")  # a hundred times what the context holds
        self.assertGreater(endless["shifts"], 270)
        if not SANITIZED:  # which keeps what was freed
            self.assertLess(abs(endless["peak_rss"] - got["peak_rss"]), 1 << 20)  # 16 bytes a token for the report
        self.fails(USAGE, *base, "--shift", "--keep", "17", contains="half of the context")
        self.fails(USAGE, *base, "--shift", "--deadline-ms", "900", contains="--deadline-ms")
        self.fails(CONTEXT, "run", TM2, "-c", "16", "--shift", "-p", "the quick brown fox " * 20)

    def test_perplexity(self):
        path = self.temporary() / "text.txt"
        path.write_text(WORDS * 20)
        count = self.json("tokenize", TM2, stdin=path.read_bytes())["count"]
        got = self.json("perplexity", TM2, path, "-c", "32")
        self.assertEqual(got["chunks"], count // 32)
        self.assertEqual(got["tokens"], got["chunks"] * (32 - 1 - 16))
        self.assertAlmostEqual(got["ppl"], 2.718281828459045 ** got["nll"], places=5)
        vocab = self.json("info", TM2)["vocab"]
        self.assertGreater(got["ppl"], 1)
        self.assertLess(got["ppl"], 100 * vocab)
        some = self.json("perplexity", TM2, path, "-c", "32", "--chunks", "2", "-b", "5")
        again = self.json("perplexity", TM2, path, "-c", "32", "--chunks", "2", "-b", "64")
        self.assertEqual(some["chunks"], 2)
        self.assertEqual(some["ppl"], again["ppl"])
        self.json("perplexity", TM2, path, "-c", "32", "--chunks", "1", "--exact")
        self.fails(USAGE, "perplexity", TM2, "-", stdin=b"the fox", contains="too short")
        for context in (1, 2):  # their second halves hold no token to predict
            self.fails(USAGE, "perplexity", TM2, path, "-c", context, contains="at least 3")
        self.assertEqual(self.json("perplexity", TM2, path, "-c", "3", "--chunks", "4")["tokens"], 4)

    def test_bench(self):
        got = self.json("bench", TM2, "--runs", "3", "-n", "8", "-p", "16", "-j", "1")
        self.assertGreater(got["decode_tok_s"], 0)
        self.assertGreater(got["prefill_tok_s"], 0)
        self.assertGreaterEqual(got["jitter_ms"], 0)
        self.assertEqual(got["token_ms"]["samples"], 24)
        self.assertGreater(got["token_ms"]["p50"], 0)
        self.assertEqual(got["ttft_ms"]["samples"], 3)
        self.assertIsNone(got["ttft_ms"]["p50"])
        self.assertGreater(got["peak_rss"], 0)
        self.assertRegex(self.ok("bench", TM2, "--runs", "2", "-n", "4", "-p", "4").decode(),
                         r"decode +[\d.]+ tok/s")

    def test_bench_of_several_sessions(self):
        arguments = ("bench", TM2, "--sessions", "3", "--runs", "2", "-n", "8", "-p", "40", "-j", "1")
        for _ in range(9):  # what keeps it from computing while it decodes makes that slower
            got = self.json(*arguments)
            if all(got[key]["decode_tok_s"] > got[key]["whole_tok_s"] for key in ("one", "together")):
                break
        for key, sessions in (("one", 1), ("together", 3)):
            self.assertEqual(got[key]["sessions"], sessions)
            self.assertGreater(got[key]["decode_tok_s"], got[key]["whole_tok_s"])
            self.assertGreater(got[key]["whole_tok_s"], 0)
            self.assertLessEqual(got[key]["pass_ms"]["samples"], 16)
            self.assertGreater(got[key]["forecast_share"]["max"], 0)
        self.assertEqual(got["one"]["pass_ms"]["samples"], 16)
        self.assertGreater(got["together"]["pass_ms"]["samples"], 0)
        self.assertAlmostEqual(got["ratio"],
                               got["together"]["decode_tok_s"] / got["one"]["decode_tok_s"], 6)
        text = self.ok(*arguments).decode()
        self.assertRegex(text, r"3 sessions +decode [\d.]+ tok/s")
        self.assertRegex(text, r"together +[\d.]+ times")
        self.fails(USAGE, *arguments, "--prompt", "x", contains="--sessions takes")
        self.fails(USAGE, "bench", TM2, "--sessions", "17")
        self.fails(USAGE, "bench", "--sessions", "2", contains="MODEL")


class Against(Case):
    """`perplexity --against`; that its figures are right is test_conformance.c's to show."""

    SECONDS = ("seconds", "source_seconds", "cache")

    def setUp(self):
        self.folder = self.temporary()
        self.text, self.model, self.kept = (self.folder / n for n in ("text", "m.bin", "kept"))
        self.text.write_text("here were the quick brown foxes " * 40)
        self.ok("quantize", GGUF, "-o", self.model, "--bits", "4", "--calibrate", "none", "-q")

    def command(self, *more, model=None, source=TM2):
        return ("perplexity", model or self.model, self.text, "-c", "32", "--chunks", "5", "-j", "1",
                "--against", source, *more)

    def measure(self, *more, cache="made", notes="", **which):
        """The figures without what was timed."""
        done = edgellm(*self.command("--json", "--cache", self.kept, *more, **which))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), r"\A(note: [^\n]+\n)?\Z")
        self.assertIn(notes, done.stderr.decode())
        self.assertEqual(bool(notes), bool(done.stderr), done.stderr)
        got = json.loads(done.stdout)
        self.assertEqual(got["cache"], cache)
        return {key: value for key, value in got.items() if key not in self.SECONDS}

    def kept_file(self):
        names = os.listdir(self.kept)
        self.assertEqual(len(names), 1)
        return self.kept / names[0]

    def test_figures(self):
        got = self.measure()
        alone = self.json("perplexity", self.model, self.text, "-c", "32", "--chunks", "5")
        source = self.json("perplexity", TM2, self.text, "-c", "32", "--chunks", "5", "--exact")
        self.assertEqual((got["ppl"], got["nll"]), (alone["ppl"], alone["nll"]))
        self.assertEqual((got["source_ppl"], got["source_nll"]), (source["ppl"], source["nll"]))
        self.assertAlmostEqual(got["ratio"], got["ppl"] / got["source_ppl"], places=9)
        self.assertEqual((got["tokens"], got["chunks"], got["context"]), (75, 5, 32))
        self.assertGreater(got["kl"], 1e-4)
        self.assertTrue(0 < got["top1"] < 1, got["top1"])
        self.assertEqual(got["source_rounded"], 0)
        for name, path in (("model_hash", self.model), ("source_hash", TM2)):
            value = 14695981039346656037
            for byte in pathlib.Path(path).read_bytes():
                value = (value ^ byte) * 1099511628211 % 2**64
            self.assertEqual(got[name], "%016x" % value)
        text = self.ok(*self.command("--cache", self.kept)).decode()
        self.assertRegex(text, rf"\Aperplexity {got['ppl']:.4f} over 75 tokens .*\n"
                         rf"source +{got['source_ppl']:.4f} in exact mode .*\n"
                         rf"ratio {got['ratio']:.5f}, KL {got['kl']:.6f} nats a token, "
                         rf"same best token {100 * got['top1']:.2f} %\n\Z")

    def test_a_model_against_itself(self):
        exact = self.measure("--exact", model=TM2)
        self.assertEqual((exact["ratio"], exact["top1"]), (1, 1))
        self.assertTrue(-1e-12 < exact["kl"] < 1e-6)
        int8 = self.measure(model=TM2, cache="used")
        self.assertTrue(exact["kl"] < int8["kl"] < 0.01)
        self.assertEqual(int8["source_ppl"], exact["source_ppl"])
        narrow = self.measure("--kv-bits", "4", model=TM2, cache="used")  # the source keeps all, always
        self.assertEqual((narrow["source_ppl"], narrow["kv_bits"]), (exact["source_ppl"], 4))
        self.assertNotEqual(narrow["kl"], int8["kl"])

    def test_texts_that_begin_with_a_token(self):
        gguf, source, small = (self.folder / name for name in ("bos.gguf", "bos.bin", "small.bin"))
        subprocess.run([MAKE_TINY, gguf, "bos"], check=True, timeout=60)
        self.ok("quantize", gguf, "-o", source, "-q")
        self.ok("quantize", gguf, "-o", small, "-q", "--bits", "4", "--calibrate", "none")
        got = self.measure(model=small, source=source)
        alone = self.json("perplexity", small, self.text, "-c", "32", "--chunks", "5")
        self.assertEqual((got["ppl"], got["tokens"]), (alone["ppl"], alone["tokens"]))

    def test_kept_logits_give_the_same_figures(self):
        none = self.measure("--cache", "none", cache="none")
        made = self.measure()
        before = self.kept_file().read_bytes()
        self.assertEqual(self.measure(cache="used"), made)
        self.assertEqual(self.measure("-b", "7", cache="used"), made)
        self.assertEqual(none, made)
        self.assertEqual(self.kept_file().read_bytes(), before)
        self.assertEqual(oct(self.kept.stat().st_mode & 0o777), "0o700")

    def test_what_depends_on_other_things_is_not_taken(self):
        self.measure()
        for more in (("--chunks", "4"), ("-c", "64", "--chunks", "2")):
            self.measure(*more)
        self.measure(source=GGUF)  # other bytes
        self.text.write_text("here were the quick brown foxes and dogs " * 40)
        self.measure()
        self.assertEqual(len(os.listdir(self.kept)), 5)
        self.measure("--exact", cache="used")

    def test_damaged_files_are_made_anew(self):
        made = self.measure()
        path = self.kept_file()
        whole = path.read_bytes()
        last = len(whole) - 1
        damage = [(whole[:cut], "not of their size") for cut in (0, 10, 64, len(whole) // 2, last)]
        damage += [(whole + b"x", "not of their size")]
        for at in (0, 16, 24, 40, 47, 60, 64, 72, 80, 84, 1000, len(whole) // 2, last):
            flipped = bytearray(whole)
            flipped[at] ^= 4
            damage.append((flipped, "damaged"))
        for bytes_, word in damage:
            path.write_bytes(bytes_)
            self.assertEqual(self.measure(notes=word), made)
            self.assertEqual(path.read_bytes(), whole)

    def test_a_folder_that_cannot_be_written(self):
        made = self.measure("--cache", "none", cache="none")
        unwritable = [("--cache", self.text / "kept"), ("--cache", "/proc/kept"),
                      ("--cache", "/dev/null")]
        for more in unwritable:
            done = edgellm(*self.command("--json", *more))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr.decode(), r"(?m)^note: .* not kept: .*\n\Z")
            got = json.loads(done.stdout)
            self.assertEqual(got["cache"], "none")
            self.assertEqual({k: v for k, v in got.items() if k in made}, made)

    def test_something_else_in_the_place(self):
        self.measure()
        path = self.kept_file()
        path.unlink()
        path.mkdir()
        done = edgellm(*self.command("--cache", self.kept))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), r"(?s)not of their size.*is a directory")
        path.rmdir()
        os.mkfifo(path)  # nobody writes to it: must not be waited for
        self.assertIn(b"device or pipe", edgellm(*self.command("--cache", self.kept)).stderr)

    def test_a_full_disk(self):
        made = self.measure("--cache", "none", cache="none")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        done = edgellm(*self.command("--json", "--cache", self.kept), preexec_fn=limit)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), r"\Anote: .* not kept: .*File too large.*\n\Z")
        self.assertEqual(json.loads(done.stdout)["kl"], made["kl"])
        self.assertEqual(os.listdir(self.kept), [])

    def test_where_it_is_kept(self):
        home, xdg = self.folder / "home", self.folder / "xdg"
        for more, there in (({"EDGELLM_CACHE": self.kept, "XDG_CACHE_HOME": xdg}, self.kept),
                            ({"XDG_CACHE_HOME": xdg, "EDGELLM_CACHE": ""}, xdg / "edgellm"),
                            ({"XDG_CACHE_HOME": "not/absolute"}, home / ".cache" / "edgellm"),
                            ({}, home / ".cache" / "edgellm")):
            rest = {k: v for k, v in os.environ.items()
                    if k not in ("EDGELLM_CACHE", "XDG_CACHE_HOME")}
            self.ok(*self.command(), env={**rest, "HOME": home, **more})
            self.assertEqual(len(list(there.glob("*.logits"))), 1)
            shutil.rmtree(there)
            self.ok(*self.command("--cache", "none"), env={**rest, "HOME": home, **more})
            self.assertEqual(list(there.glob("*.logits")), [])
        done = edgellm(*self.command(), env={**rest, "HOME": ""})
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (0, 1), done.stderr)
        self.assertIn(b"--cache", done.stderr)

    def test_gguf(self):
        temporary = self.folder / "tmp"
        temporary.mkdir()
        tm2 = self.measure()
        done = edgellm(*self.command("--json", source=GGUF), env={**os.environ, "TMPDIR": temporary})
        got = json.loads(done.stdout)
        for key in ("ppl", "source_ppl", "ratio", "kl", "top1", "source_rounded", "tokens_hash"):
            self.assertEqual(got[key], tm2[key])
        self.assertEqual(os.listdir(temporary), [])
        none = {**os.environ, "TMPDIR": self.folder / "none"}
        done = self.fails(IO, *self.command(source=GGUF), env=none, contains="TMPDIR")
        self.assertIn(f"edgellm quantize '{GGUF}' -o FILE", done.stderr.decode())

    def test_gguf_that_tm2_cannot_hold(self):
        floats = self.folder / "f32.gguf"
        subprocess.run([MAKE_TINY, floats, "f32"], check=True, timeout=60)
        self.assertGreater(self.measure(source=floats)["source_rounded"], 0)
        self.assertGreater(self.measure(source=floats, cache="used")["source_rounded"], 0)
        self.assertIn(b"rounded to 8 bits", self.ok(*self.command(source=floats)))

    def quantized(self, name, *replacements):
        """GGUF with bytes replaced, as a TM2 file."""
        data, source = pathlib.Path(GGUF).read_bytes(), self.folder / (name + ".gguf")
        for old, new in replacements:
            self.assertEqual((data.count(old), len(old)), (1, len(new)))
            data = data.replace(old, new)
        source.write_bytes(data)
        self.ok("quantize", source, "-o", self.folder / name, "-q")
        return self.folder / name

    def test_another_vocabulary(self):
        self.measure()
        size = struct.pack("<Q", 3)
        other = (
            (self.quantized("name", (b"<|endoftext|>", b"<|endoftexx|>")), "token 0 is another"),
            (self.quantized("order", (size + b"r e", size + b"E R"), (size + b"e r", size + b"r e"),
                            (size + b"E R", size + b"e r")), "the text becomes other tokens"))
        for path, word in other:
            self.fails(USAGE, *self.command(source=path), contains=word)
            self.fails(USAGE, *self.command(model=path), contains="another vocabulary")
        larger = pathlib.Path(__file__).parent / "data" / "conformance_tiny.gguf"
        self.fails(USAGE, *self.command(source=larger), contains="tokens, not 300")

    def test_bad_sources(self):
        empty = self.folder / "empty"
        empty.touch()
        for path, code in ((self.folder / "none.bin", IO), (self.folder, FORMAT),
                           (empty, FORMAT), (__file__, FORMAT), ("/dev/zero", IO)):
            self.fails(code, *self.command(source=path), contains=str(path)[-9:])
        cut = self.folder / "cut.gguf"
        cut.write_bytes(pathlib.Path(GGUF).read_bytes()[:-100])
        self.fails(FORMAT, *self.command(source=cut), contains="cut.gguf")
        self.fails(USAGE, "perplexity", TM2, self.text, "--cache", "x", contains="--against")

    def test_interrupted(self):
        temporary = self.folder / "tmp"
        temporary.mkdir()
        self.text.write_text("here were the quick brown foxes " * 4000)
        for source in (TM2, GGUF):
            process = subprocess.Popen(
                [EDGELLM, "perplexity", self.model, self.text, "--against", source, "--cache",
                 self.kept], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "TMPDIR": temporary})
            end = time.monotonic() + 60
            while not (self.kept.is_dir() and os.listdir(self.kept)):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out), (130, b""), err)
            self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")
            self.assertEqual((os.listdir(self.kept), os.listdir(temporary)), ([], []))


class BadUsage(Case):
    def test_unknown_words(self):
        self.fails(USAGE, "frobnicate", contains="frobnicate")
        self.fails(USAGE, "help", "frobnicate", contains="frobnicate")
        self.fails(USAGE, "--frobnicate", contains="--frobnicate")
        for command in COMMANDS:
            self.fails(USAGE, command, "--frobnicate", contains="--frobnicate")
            self.fails(USAGE, command, "-Z", contains="-Z")
            typed = subprocess.run([EDGELLM, command, "file", b"-\xff"], capture_output=True)
            self.assertIn(b"'-?'", typed.stderr)
            self.fails(USAGE, command, contains="missing")
        self.fails(USAGE, "run", TM2, "-p", contains="-p")
        self.fails(USAGE, "run", TM2, "--json=1", contains="no argument")
        self.fails(USAGE, "run", TM2, "extra", "-p", "x", contains="too many")
        self.fails(USAGE, "run", TM2, contains="-p")
        self.fails(USAGE, "run", TM2, "-p", "", "--raw", contains="empty")
        self.fails(USAGE, "run", TM2, "-p", "a", "--raw", "--system", "b", contains="--system")
        self.fails(USAGE, "run", TM2, "-p", "a", "--kernel", "sse9", contains="sse9")
        self.fails(USAGE, "run", TM2, "-p", "a", "--cpumask", "sse9", contains="sse9")
        self.fails(USAGE, "quantize", GGUF, contains="-o")
        self.fails(USAGE, "tokenize", TM2, "--decode", "1 two", contains="two")
        self.fails(USAGE, "tokenize", TM2, "--decode", "4000000000")
        self.fails(USAGE, "frob\nnicate\x1b[31m", contains="frob?nicate?[31m")

    def test_bad_numbers(self):
        for option, value in (
                ("-n", "0"), ("-n", "-1"), ("-n", "12x"), ("-n", ""), ("-n", " 3"), ("-n", "1e3"),
                ("-n", "99999999999999999999"), ("-n", "4294967297"), ("-t", "nan"),
                ("-t", "inf"), ("-t", "1e999"), ("-t", "0x1"), ("-t", "-0.5"), ("-t", "1.0.0"),
                ("-c", "1.5"), ("-c", "0"), ("-b", "0"), ("-b", "513"), ("-j", "0"), ("-j", "65"),
                ("--top-k", "-1"), ("--top-p", "0"), ("--top-p", "1.01"), ("--min-p", "-0.1"),
                ("--min-p", "2"), ("--repeat-penalty", "0"), ("--repeat-penalty", "101"),
                ("--repeat-last", "1048577"), ("--typical-p", "0"), ("--presence-penalty", "101"),
                ("--frequency-penalty", "-101"), ("--dry-multiplier", "-1"), ("--dry-base", "0.5"),
                ("--dry-allowed-length", "-1"), ("--dry-penalty-last", "-2"),
                ("--dry-penalty-last", "--1"), ("--dry-penalty-last", "-"),
                ("--xtc-probability", "1.1"), ("--xtc-threshold", "-1"), ("--mirostat", "3"),
                ("--mirostat-tau", "101"), ("--mirostat-eta", "2"),
                ("-s", "-1"), ("-s", "9007199254740992"), ("--max-ram", "1T"), ("--max-ram", "G"),
                ("--max-ram", ""), ("--max-ram", "99999999999G")):
            done = self.fails(USAGE, "run", TM2, "-p", "x", option, value, contains="bad number")
            self.assertIn(option, done.stderr.decode())
            self.assertIn(f"'{value}'", done.stderr.decode())
            self.assertIn(" from ", done.stderr.decode())
        for option in ("--bits", "--group", "--embedding-bits", "--embedding-group", "--scales"):
            self.fails(USAGE, "quantize", GGUF, "-o", "/nonexistent/x", option, "5",
                       contains="expected one of")
        for option in ("--sequences", "--length", "--steps", "--epochs", "--seed", "-j", "--fit"):
            self.fails(USAGE, "quantize", GGUF, "-o", "/nonexistent/x", option, "x",
                       contains="bad number 'x'")

    def test_bad_lists(self):
        for value in ("7", "7=", "=1", "x=1", "7=x", "7=1,", ",7=1", "7=nan", "7=inf", "7=1e99",
                      "7=-1e999", "7=-infinity",
                      "-1=2", "7=1 ", "7=1,,8=1", "4294967296=1", ",".join(["7=1"] * 1025)):
            self.fails(USAGE, "run", TM2, "-p", "x", "--logit-bias", value, contains="ID=BIAS")
        self.fails(USAGE, "run", TM2, "-p", "x", "--logit-bias", "4000000000=1",
                   contains="4000000000")
        for value in (",", "a,", ",a", "a,,b", "\\", "\\x", "a" * 41, ",".join("a" * 17)):
            self.fails(USAGE, "run", TM2, "-p", "x", "--dry-breakers", value, contains="texts of")

    def test_prompt_longer_than_the_context(self):
        self.fails(CONTEXT, "run", TM2, "-c", "16", "-p", "the quick brown fox " * 20)
        self.fails(CONTEXT, "bench", TM2, "-c", "8", "-p", "16", "-n", "1")

    def test_nul_in_a_chat_prompt(self):
        self.fails(USAGE, "run", TM2, "--prompt-file", "-", stdin=b"a\0b", contains="NUL")


class BadFiles(Case):
    def commands_on(self, path):
        """Every command that reads a model, on this file."""
        return [("info", path), ("run", path, "-p", "fox", "-n", "2"), ("tokenize", path, "fox"),
                ("embed", path, "fox"), ("perplexity", path, "-"), ("bench", path, "--runs", "1", "-n", "1")]

    def quantize(self, path):
        return ("quantize", path, "-o", self.temporary() / "out.tm2.bin")

    def test_missing_empty_directory(self):
        folder = self.temporary()
        empty = folder / "empty"
        empty.touch()
        for path, code in ((folder / "no-such.tm2.bin", IO), (folder, IO), (empty, FORMAT)):
            for command in self.commands_on(path):
                self.fails(code, *command, contains=path.name)
            # which a folder may be, but not this one
            self.fails(FORMAT if path == folder else code, *self.quantize(path), contains=path.name)
        self.fails(IO, folder / "no-such.tm2.bin", "-p", "x")
        self.fails(IO, "run", TM2, "--prompt-file", folder / "none.txt", contains="none.txt")
        self.fails(IO, "perplexity", TM2, folder / "none.txt", contains="none.txt")
        self.fails(IO, "run", TM2, "--prompt-file", folder)

    def test_other_format(self):
        for path in (GGUF, __file__, "/bin/sh"):
            for command in self.commands_on(path):
                self.fails(FORMAT, *command)
        for path in (TM2, __file__, "/bin/sh"):
            self.fails(FORMAT, *self.quantize(path))

    def test_angles_that_grow_faster_than_positions(self):
        data, path = bytearray(pathlib.Path(TM2).read_bytes()), self.temporary() / "base.tm2.bin"
        struct.pack_into("<f", data, 320 + 156, 0.5)  # rope_base; docs/FORMAT.md
        struct.pack_into("<I", data, 64 + 4, zlib.crc32(data[320:320 + 164]))
        struct.pack_into("<I", data, 24, zlib.crc32(data[64:304]))
        struct.pack_into("<I", data, 60, zlib.crc32(data[:60]))
        path.write_bytes(data)
        self.fails(UNSUPPORTED, "info", path, contains=f"'{path}': model: rope_base 0.5")

    def test_i2s(self):
        """A model whose tensors lie in one of three ways, which is found, or said."""
        source = pathlib.Path(__file__).resolve().parent / "data" / "i2s_model.gguf"
        folder = self.temporary()
        target = folder / "i2s.tm2.bin"
        got = self.json("quantize", source, "-o", target)
        self.assertEqual((got["i2s_layout"], got["kept"], got["rounded"]), ("avx", 8, 0))
        text = self.ok("quantize", source, "-o", target).decode()
        self.assertRegex(text, r"I2_S is laid out as 'avx'; avx: 0\.\d\d nats a token; neon: ")
        whole = target.read_bytes()
        said = self.json("quantize", source, "-o", target, "--i2s-layout", "avx")
        self.assertNotIn("i2s_layout", said)
        self.assertEqual(target.read_bytes(), whole)
        self.json("quantize", source, "-o", target, "--i2s-layout", "rows")
        self.assertNotEqual(target.read_bytes(), whole)
        self.fails(USAGE, "quantize", source, "-o", target, "--i2s-layout", "arm",
                   contains="i2s-layout")
        self.assertEqual([p.name for p in folder.iterdir()], ["i2s.tm2.bin"])

    def test_three_levels_in_two_bits(self):
        """The same weights, so the same logits."""
        source = pathlib.Path(__file__).resolve().parent / "data" / "i2s_model.gguf"
        target, hashes = self.temporary() / "t.tm2.bin", set()
        for bits, codec in (("1.6", "t1"), ("2", "t2")):
            got = self.json("quantize", source, "-o", target, "--i2s-layout", "avx", "--ternary", bits)
            self.assertEqual((got["kept"], got["rounded"]), (8, 0))
            kinds = {t["codec"] for t in self.json("info", target, "--tensors")["tensor_list"]}
            self.assertEqual(kinds & {"t1", "t2"}, {codec})
            hashes.add(self.json("run", target, "--raw", "-p", "a", "-n", "4", "--ignore-eos", "-s", "1",
                                 "--hash", "--verify")["hash"])
        self.assertEqual(len(hashes), 1)
        self.fails(USAGE, "quantize", GGUF, "-o", target, "--bits", "4", "--calibrate", "none", "--ternary", "2",
                   contains="--ternary is for three levels that stay as they are")

    def test_a_model_that_cannot_be_run_is_not_written(self):
        folder, data = self.temporary(), bytearray(pathlib.Path(GGUF).read_bytes())
        key = b"llama.rope.freq_base" + struct.pack("<I", 6)  # then a float32
        struct.pack_into("<f", data, data.index(key) + len(key), 0.5)
        (folder / "odd.gguf").write_bytes(data)
        target = folder / "odd.tm2.bin"
        target.write_bytes(b"kept")
        done = self.fails(UNSUPPORTED, "quantize", folder / "odd.gguf", "-o", target,
                          contains="could not be run: model: rope_base 0.5")
        self.assertIn("odd.gguf", done.stderr.decode())
        self.assertEqual(target.read_bytes(), b"kept")
        self.assertEqual({p.name for p in folder.iterdir()}, {"odd.gguf", "odd.tm2.bin"})

    @unittest.skipIf(os.geteuid() != 0 and os.access("/", os.W_OK), "cannot drop rights")
    @unittest.skipIf(COUNTED, "without rights, counters cannot be written, which is told")
    def test_no_permission(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        program, secret = folder / "edgellm", folder / "secret.tm2.bin"
        for source in (EDGELLM, EDGELLM + "-quantize"):
            shutil.copy(source, folder)
        shutil.copy(TM2, secret)
        shutil.copy(GGUF, folder / "tiny.gguf")
        folder.chmod(0o755)
        secret.chmod(0)
        options = {"program": program, "cwd": "/"}
        if os.geteuid() == 0:
            options.update(user=65534, group=65534, extra_groups=[])
        for command in [*self.commands_on(secret), ("quantize", secret, "-o", folder / "x")]:
            self.fails(IO, *command, contains="ermission", **options)
        folder.chmod(0o555)
        self.fails(IO, "quantize", folder / "tiny.gguf", "-o", folder / "new.tm2.bin",
                   contains="ermission", **options)

    def test_truncated(self):
        folder = self.temporary()
        for source, command in ((GGUF, None), (TM2, "info")):
            whole = pathlib.Path(source).read_bytes()
            cuts = {1, 3, 4, 7, 8, 15, 24, 63, 64, 100, 127, 128, 200, len(whole) - 1}
            cuts |= {len(whole) * k // 16 for k in range(1, 16)}
            path = folder / "cut.bin"
            for cut in sorted(cuts):
                path.write_bytes(whole[:cut])
                arguments = (command, path) if command else self.quantize(path)
                self.fails(FORMAT, *arguments, contains="cut.bin" if cut < 4 else "")

    def flipped(self, source, n):
        """n copies with one flipped bit each: every byte of the first 64, then evenly spread."""
        whole = bytearray(pathlib.Path(source).read_bytes())
        step = (len(whole) - 64) // (n - 16)
        for i in range(n):
            at = i * 4 if i < 16 else 64 + (i - 16) * step
            whole[at] ^= 1 << (i % 8)
            yield at, bytes(whole)
            whole[at] ^= 1 << (i % 8)

    def test_flipped_bits_in_tm2(self):
        path = self.temporary() / "flip.tm2.bin"
        caught = 0
        for at, data in self.flipped(TM2, 64):
            path.write_bytes(data)
            done = edgellm("run", path, "--verify", "-p", "fox", "-n", "1", "-q")
            self.assertIn(done.returncode, (0, FORMAT, UNSUPPORTED), (at, done.stderr))
            if done.returncode != 0:
                self.one_line(done)
                caught += 1
        self.assertGreater(caught, 56)  # what is left is padding between sections
        for at, data in self.flipped(TM2, 40):
            path.write_bytes(data)
            done = edgellm("run", path, "-p", "fox", "-n", "2", "-q")
            self.assertIn(done.returncode, (0, FORMAT, UNSUPPORTED), (at, done.stderr))

    def test_flipped_bits_in_gguf(self):
        path = self.temporary() / "flip.gguf"
        for at, data in self.flipped(GGUF, 64):
            path.write_bytes(data)
            done = edgellm(*self.quantize(path), "-q")
            self.assertIn(done.returncode, (0, FORMAT, UNSUPPORTED, MEMORY), (at, done.stderr))
            if done.returncode != 0:
                self.one_line(done)

    def test_lying_counts(self):
        """The largest numbers in the places of the GGUF header: version, tensors, entries."""
        whole = pathlib.Path(GGUF).read_bytes()
        path = self.temporary() / "lie.gguf"
        for at, size in ((4, 4), (8, 8), (16, 8), (24, 8)):
            for value in (b"\xff" * size, b"\xff" * (size - 1) + b"\x7f"):
                path.write_bytes(whole[:at] + value + whole[at + size:])
                done = edgellm(*self.quantize(path))
                self.assertIn(done.returncode, (FORMAT, UNSUPPORTED), (at, done.stderr))
                self.one_line(done)

    def test_a_model_that_could_not_be_run_is_not_written(self):
        folder = self.temporary()
        source, target = folder / "deep.gguf", folder / "deep.tm2.bin"
        key = b"llama.block_count" + struct.pack("<I", 4)  # of type uint32
        data = pathlib.Path(GGUF).read_bytes()
        at = data.index(key) + len(key)
        source.write_bytes(data[:at] + struct.pack("<I", 3) + data[at + 4:])
        target.write_bytes(b"what was there")
        self.fails(FORMAT, "quantize", source, "-o", target, contains="blk.2.attn_norm.weight")
        self.assertEqual(target.read_bytes(), b"what was there")
        self.assertEqual(sorted(os.listdir(folder)), ["deep.gguf", "deep.tm2.bin"])

    def test_weights_that_overflow(self):
        folder = self.temporary()
        source, target = folder / "huge.gguf", folder / "huge.tm2.bin"
        subprocess.run([MAKE_TINY, source, "f32"], check=True, timeout=60)
        data = source.read_bytes()
        source.write_bytes(data[:-4096] + struct.pack("<f", 3e38) * 1024)
        edgellm("quantize", source, "-o", target)
        self.fails(FORMAT, "run", target, "-p", "the quick", "--exact", contains="overflow")

    def test_oversized(self):
        path = self.temporary() / "long.tm2.bin"
        path.write_bytes(pathlib.Path(TM2).read_bytes() + b"\0" * 4096)
        self.fails(FORMAT, "info", path)


class Writing(Case):
    def test_disk_full_keeps_what_was_there(self):
        folder = self.temporary()
        target = folder / "model.tm2.bin"
        target.write_text("what was there")

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

        self.fails(IO, "quantize", GGUF, "-o", target, preexec_fn=limit)
        self.assertEqual(target.read_text(), "what was there")
        self.assertEqual(os.listdir(folder), ["model.tm2.bin"])

    def test_full_file_system(self):
        folder = self.temporary()
        script = ('mount -t tmpfs -o size=16k none "$1" || exit 99; cd "$1"; echo old > m.bin;'
                  '"$2" quantize "$3" -o m.bin; code=$?; cat m.bin; ls -A; exit $code')
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "-", folder, EDGELLM, GGUF],
                              capture_output=True, timeout=60)
        if b"mount" in done.stderr or b"unshare" in done.stderr:
            self.skipTest("no right to mount")
        self.assertEqual(done.returncode, IO, done.stderr)
        self.one_line(done, "No space left")
        self.assertEqual(done.stdout, b"old\nm.bin\n")

    def test_target_in_no_folder(self):
        self.fails(IO, "quantize", GGUF, "-o", self.temporary() / "none" / "x.tm2.bin")
        self.fails(IO, "quantize", GGUF, "-o", self.temporary())

    def test_a_full_disk_behind_stdout(self):
        with open("/dev/full", "wb") as full:
            for command in (("--help",), ("--version",), ("run", "--help"),
                            ("run", TM2, "-p", "fox", "-n", "9"), ("info", TM2),
                            ("info", TM2, "--json"), ("tokenize", TM2, "fox"),
                            ("run", TM2, "-p", "fox", "-n", "9", "--json"),
                            ("tokenize", TM2, "--decode", "70 71"),
                            ("bench", TM2, "--runs", "1", "-n", "1")):
                self.fails(IO, *command, stdout=full, contains="No space left")

    def test_a_reader_that_went_away(self):
        read, write = os.pipe()
        os.close(read)
        self.fails(IO, "run", TM2, "-p", "fox", "-n", "9", "--ignore-eos", stdout=write,
                   contains="Broken pipe")
        os.close(write)


class Interrupt(Case):
    def catches_signals(self, pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"SigCgt:\s+(\w+)", status)[1], 16) >> (signal.SIGINT - 1) & 1

    def wait_for_handler(self, process):
        end = time.monotonic() + 60
        while not self.catches_signals(process.pid):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)

    @staticmethod
    def read_to_end(master):
        """A terminal hands its text over in pieces, and ends with an error."""
        text = b""
        try:
            while piece := os.read(master, 65536):
                text += piece
        except OSError:
            pass
        return text

    def on_stopped_terminal(self, *arguments, stream):
        """Starts the program with `stream` on a terminal that takes no output, interrupts it
        there, lets the output flow and returns (exit code, terminal text, other stream)."""
        master, slave = pty.openpty()
        termios.tcflow(slave, termios.TCOOFF)
        other = "stderr" if stream == "stdout" else "stdout"
        process = subprocess.Popen([EDGELLM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                   **{stream: slave, other: subprocess.PIPE})
        self.wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        termios.tcflow(slave, termios.TCOON)
        rest = getattr(process, other).read()
        code = process.wait(timeout=60)
        getattr(process, other).close()
        os.close(slave)
        text = self.read_to_end(master)
        os.close(master)
        return code, text, rest

    def test_run_stops_after_the_token(self):
        code, text, rest = self.on_stopped_terminal(
            "run", TM2, "-p", "the quick brown fox", "-n", "200", "-c", "256", "--ignore-eos",
            stream="stdout")
        self.assertEqual(code, 130, rest)
        self.assertEqual(rest.count(b"\n"), 1)

    def test_quantize_leaves_nothing_half_written(self):
        folder = self.temporary()
        code, text, rest = self.on_stopped_terminal(
            "quantize", GGUF, "-o", folder / "x.tm2.bin", "--bits", "4", "--calibrate", "none",
            stream="stderr")
        self.assertEqual(code, 130, text)
        self.assertEqual(os.listdir(folder), [])
        self.assertIn(b"edgellm: ", text)
        self.assertEqual(rest, b"")

    def test_while_a_text_is_awaited(self):
        """Standard input stays open: nothing but the signal can end the wait."""
        for command in (("run", TM2, "--prompt-file", "-"), ("tokenize", TM2),
                        ("perplexity", TM2, "-")):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process = subprocess.Popen([EDGELLM, *command], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.wait_for_handler(process)
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=60), 128 + number, command)
                out, err = process.communicate()
                self.assertEqual(out, b"")
                self.assertRegex(err.decode(), r"\Aedgellm: [^\n]+\n\Z")

    def test_nohup(self):
        process = subprocess.Popen(["nohup", EDGELLM, "tokenize", TM2, "--ids"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        self.wait_for_handler(process)
        process.send_signal(signal.SIGHUP)
        self.assertNotEqual(process.communicate(b"fox", timeout=60)[0], b"")
        self.assertEqual(process.returncode, 0)


@unittest.skipIf(SANITIZED or not shutil.which("strace"), "no strace, or a sanitized build")
class SystemCalls(Case):
    def test_only_output_between_tokens(self):
        log = self.temporary() / "calls"
        done = subprocess.run(["strace", "-f", "-o", log, EDGELLM, "run", TM2, "-j", "1", "-n", "60",
                               "-p", "the quick brown fox", "--ignore-eos", "-s", "1", "-q"],
                              capture_output=True, timeout=100)
        if b"ptrace" in done.stderr.lower():
            self.skipTest("no right to trace")
        self.assertEqual(done.returncode, 0, done.stderr)
        calls = [line.split(None, 1)[1] for line in log.read_text().splitlines()]
        output = [i for i, call in enumerate(calls) if call.startswith("write(1, ")]
        self.assertGreater(len(output), 20)
        self.assertEqual(len(output), output[-1] - output[0] + 1, calls[output[0]:output[-1]])


@unittest.skipIf(SANITIZED or not shutil.which("valgrind"), "no valgrind, or a sanitized build")
class Valgrind(Case):
    def test_five_tokens(self):
        levels = self.json("info", TM2)["kernels_available"]
        mask = "avx2" if "avx2" in levels else "scalar"
        done = subprocess.run(
            ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
             "--show-leak-kinds=definite,indirect,possible", "--errors-for-leak-kinds=definite",
             EDGELLM, "run", TM2, "--cpumask", mask, "-p", "the quick brown fox", "-n", "5", "-q"],
            capture_output=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(done.stderr, b"")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
