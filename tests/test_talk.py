#!/usr/bin/env python3
"""tools/talk.py: what it counts and writes, on a made-up program, and on the real one with a tiny
model.

    python3 tests/test_talk.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "talk.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools"))
import talk  # noqa: E402

# A model is a JSON file: prompt -> [answer as latin-1 bytes, finish, tokens], "" for all others.
PROGRAM = f"""#!{sys.executable} -IS
import json, sys
if sys.argv[1] == "--version":
    sys.exit(print("edgellm made up"))
_, command, model, p, prompt, n, limit, j, one, *options = sys.argv
assert [command, p, n, j, one] == ["run", "-p", "-n", "-j", "1"], sys.argv
answers = json.load(open(model))
if "fail" in answers:
    sys.exit(sys.stderr.write("edgellm: it says why\\n") and 4)
text, finish, tokens = answers.get(prompt, answers.get(""))
data = text.encode("latin-1")
if options[-1] == "--json":
    print(json.dumps({{"text": data.decode(errors="replace"), "finish": finish, "tokens": tokens}}))
else:
    assert options[-1] == "-q"
    sys.stdout.buffer.write(data + b"\\n")
"""
FAKE = OUT / "program"
PROMPTS = [{"kind": "Questions", "prompts": [
    {"prompt": "Capital?", "words": ["Paris"]},
    {"prompt": "On or off?", "words": ["on"], "not": ["off"]},
    {"prompt": "Say | what you *like*."}]},
    {"kind": "JSON requests", "prompts": [{"prompt": "JSON?", "keys": ["a"]}]}]
LOOP = [1, 2, 3, 4, 5, 6] * 4
GOOD = {"Capital?": ["It is Paris.", "end", [1, 2]], "On or off?": ["On.", "end", [1]],
        "Say | what you *like*.": ["one\ntwo | <b>", "end", [3]], "JSON?": ['{"a": 1}', "end", [4]]}
BAD = {"Capital?": ["Lyon, Lyon", "length", LOOP], "On or off?": ["on and off", "end", [1]],
       "Say | what you *like*.": ["caf\xe9 au lait", "context", [3]], "JSON?": ["", "end", []]}


def write_json(name, value):
    path = OUT / name
    path.write_text(json.dumps(value))
    return path


def run_talk(program, model, source, *options):
    return subprocess.run([sys.executable, TOOL, "--edgellm", program, "--source", source,
                           "--prompts", OUT / "prompts.json", *options, model],
                          capture_output=True, text=True, timeout=120,
                          env={**os.environ, "EDGELLM_CACHE": "none"})


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    FAKE.write_text(PROGRAM)
    FAKE.chmod(0o755)
    write_json("prompts.json", PROMPTS)
    write_json("good", GOOD)
    write_json("bad", BAD)


class Loops(unittest.TestCase):
    def test_found(self):
        for period in (1, 2, 6, 7, 24, 32):
            sequence = list(range(period))
            needed = max(talk.LOOP_COPIES * period, talk.LOOP_TOKENS)
            looping = (sequence * talk.LOOP_TOKENS)[:needed]
            for before, after in ((), ()), ((90, 91, 92), ()), ((90, 91), (93, 94)):
                self.assertTrue(talk.has_loop((*before, *looping, *after)), period)
                self.assertFalse(talk.has_loop((*before, *looping[:-1], *after)), period)

    def test_not_found(self):
        self.assertFalse(talk.has_loop(()))
        self.assertFalse(talk.has_loop(range(500)))
        self.assertFalse(talk.has_loop([*range(33)] * 8))  # longer than what is looked for
        self.assertFalse(talk.has_loop([1, 2, 3, 4, 5, 6, 7, 8] * 3))
        counting = [token for n in range(40) for token in (7, n, 8, 9, 10)]  # "1. a, 2. a, 3. a"
        self.assertFalse(talk.has_loop(counting))


class Rules(unittest.TestCase):
    def test_utf8(self):
        for data, ended, broken in ((b"", True, False), ("é☂😀".encode(), True, False),
                                    (b"a\xff", False, True), (b"\xe2\x82 b", False, True),
                                    (b"a\xe2\x82", True, True), (b"a\xe2\x82", False, False),
                                    ("\ufffd".encode(), True, False), (b"\xc0\x80", True, True)):
            self.assertEqual(talk.is_broken(data, ended), broken, (data, ended))

    def test_words(self):
        for word, text, found in (("5", "It is 5.", True), ("5", "5, then 6", True),
                                  ("5", "15", False), ("5", "5.2", False), ("5", "1,5", False),
                                  ("Paris", "PARIS!", True), ("rain", "train", False),
                                  ("rain", "rainbow", False), ("is on", "It is on.", True)):
            self.assertEqual(talk.occurs(word, text), found, (word, text))

    def test_json(self):
        for text, value in (('{"a": 1}', {"a": 1}), (" [1]\n", [1]),
                            ('```json\n{"a": 2}\n```', {"a": 2}),
                            ("Here:\n```\n[]\n```\nSo.", []), ("21", None), ('{"a": 1', None),
                            ('Here: {"a": 1}', None), ("```\nno\n```", None), ("", None),
                            ("[" * 100000, None)):
            self.assertEqual(talk.parse_json(text), value, text[:40])

    def test_right(self):
        words, keys = {"words": ["yes"], "not": ["no"]}, {"keys": ["a"], "words": ["1"]}
        for prompt, text, right in (({}, "yes", None), (words, "Yes.", True),
                                    (words, "yes, no", False), (words, "maybe", False),
                                    (keys, '{"a": 1}', True),
                                    (keys, '{"a": 2}', False), (keys, '{"b": 1}', False),
                                    (keys, '["a", 1]', False), (keys, '"a": 1', False),
                                    ({"keys": []}, "[]", True), ({"keys": []}, "[", False)):
            self.assertIs(talk.is_right(prompt, text), right, (prompt, text))

    def test_count(self):
        rows = [{"a": True}, {"a": None}, {"a": False}, {"a": True}, {}]
        self.assertEqual(str(talk.Count(rows, "a")), "2 of 3 (67 %)")
        self.assertEqual(str(talk.Count(rows, "b")), "none asked")
        low, high = talk.wilson(10, 20)
        self.assertAlmostEqual(low, 0.299, places=3)
        self.assertAlmostEqual(high, 0.701, places=3)
        self.assertEqual((talk.wilson(0, 9)[0], talk.wilson(9, 9)[1]), (0.0, 1.0))


class Markdown(unittest.TestCase):
    def test_escape(self):
        for text, escaped in (("a | b", r"a \| b"), ("*x* _y_ `z`", r"\*x\* \_y\_ \`z\`"),
                              ("<br> & [l](u)", r"&lt;br&gt; &amp; \[l\](u)"), ("\\|", "\\\\\\|"),
                              ("\n a \n\n\tb\r\n", "a<br>b"), ("a\tb\r c", "a b  c"),
                              ("$x$ # ~~y~~", r"\$x\$ \# \~\~y\~\~"),
                              ("\x07é😀", "\\\\u0007é😀"),
                              ("http://a www.b", "http&#58;//a www&#46;b")):
            self.assertEqual(talk.escape(text), escaped)

    def test_cut(self):
        self.assertEqual(talk.cut(" short "), "short")
        self.assertEqual(talk.cut("abc def", 7), "abc def")
        self.assertEqual(talk.cut("abc defg", 4), "abc …")

    def test_filled(self):
        text = "# title\n\nword " + "word " * 40 + "\n\n| " + "a | " * 60
        title, *words, table = talk.filled(text).split("\n\n")
        self.assertEqual(title, "# title")
        self.assertLessEqual(max(map(len, words[0].splitlines())), 100)
        self.assertEqual(table, "| " + "a | " * 60)


class Prompts(unittest.TestCase):
    def test_committed(self):
        prompts = talk.read_prompts(talk.PROMPTS)
        self.assertEqual(len({prompt["prompt"] for prompt in prompts}), 40)
        kinds = [prompt["kind"] for prompt in prompts]
        self.assertEqual([kinds.count(kind) for kind in talk.kinds_of(prompts)], [8] * 5)
        for prompt in prompts:
            self.assertLessEqual(prompt.keys(), {"kind", "prompt", "words", "not", "keys"})
            self.assertTrue("words" in prompt or "not" not in prompt, prompt)


class Program(unittest.TestCase):
    def ok(self, *arguments):
        done = run_talk(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_facts(self):
        prompts = talk.read_prompts(OUT / "prompts.json")
        rows = [talk.facts(prompt, talk.ask(FAKE, OUT / "bad", prompt["prompt"], talk.WAYS[0]))
                for prompt in prompts]
        self.assertEqual({key: [row[key] for row in rows] for key, _ in talk.COUNTED}, {
            "ended": [False, True, False, True], "limit": [True, False, True, False],
            "loop": [True, False, False, False], "broken": [False, False, True, False],
            "empty": [False, False, False, True], "json": [None, None, None, False],
            "right": [False, False, None, False]})

    def test_document(self):
        self.ok(FAKE, OUT / "bad", OUT / "good", "-o", OUT / "QUALITY.md")
        text = (OUT / "QUALITY.md").read_text(encoding="utf-8")
        for name, file in (("small file", "bad"), ("its source", "good")):
            data = (OUT / file).read_bytes()
            self.assertIn(f"| {name} | {file} | {len(data)} bytes (0.0 MB) | "
                          f"`{hashlib.sha256(data).hexdigest()}` |", text)
        self.assertIn("`make talk MODEL=", text)
        half, all4, none = "2 of 4 (50 %)", "4 of 4 (100 %)", "0 of 4 (0 %)"
        for line in (f"| ended by themselves |{f' {half} | {all4} |' * 3}",
                     f"| with a repetition loop |{f' 1 of 4 (25 %) | {none} |' * 3}",
                     f"| with broken UTF-8 |{f' 1 of 4 (25 %) | {none} |' * 3}",
                     f"| right, where a rule can judge |{' 0 of 3 (0 %) | 3 of 3 (100 %) |' * 3}",
                     f"| &nbsp; questions |{' 0 of 2 (0 %) | 2 of 2 (100 %) |' * 3}",
                     "| Capital? | Lyon, Lyon<br>*wrong; did not end; loop* | It is Paris.<br>"
                     "*right* |",
                     r"| Say \| what you \*like\*. | caf� au lait<br>*did not end; "
                     "broken UTF-8* | "
                     r"one<br>two \| &lt;b&gt; |",
                     "| JSON? | *wrong; no JSON; empty* | {\"a\": 1}<br>*right* |"):
            self.assertIn(line, text.splitlines())
        short = " ".join(text.split("## In short")[1].split("##")[0].split())
        for part in ("bad answered 4 prompts", f"ended by themselves: {half}, its source {all4}",
                     talk.ADVICE_RIGHT[-1][1], talk.ADVICE_JSON[-1][1], talk.ADVICE_ENDED[-1][1],
                     "Of the 3 that the source has right, the small file has 0."):
            self.assertIn(part, short)

    def test_summary_follows_the_counts(self):
        self.ok(FAKE, OUT / "good", OUT / "bad", "-o", OUT / "other.md")
        text = " ".join((OUT / "other.md").read_text(encoding="utf-8").split())
        for part in (talk.ADVICE_RIGHT[0][1], talk.ADVICE_JSON[0][1], talk.ADVICE_ENDED[0][1]):
            self.assertIn(part, text)

    def test_check(self):
        self.assertEqual(self.ok(FAKE, OUT / "good", OUT / "good", "--check").count("| yes |"), 3)
        self.ok(FAKE, OUT / "good", OUT / "bad", "--check")
        self.ok(FAKE, OUT / "bad", OUT / "bad", "--check")
        done = run_talk(FAKE, OUT / "bad", OUT / "good", "--check")
        self.assertEqual((done.returncode, done.stdout.count("| no |")), (1, 3))
        self.assertEqual([line.split(":")[1] for line in done.stderr.splitlines()],
                         [" " + what for _, what, _ in talk.MARGINS])

    def test_margins(self):
        for name, _, margin in talk.MARGINS:
            at, rest = round(100 * margin), {key: False for key, *_ in talk.MARGINS}
            for more, kept in ((0, True), (1, False)):
                small = [{**rest, name: i < 40 + at + more} for i in range(100)]
                source = [{**rest, name: i < 40} for i in range(100)]
                found = [row[4] for row in talk.compare(small, source)]
                self.assertEqual(found.count(False), not kept)

    def test_failures(self):
        bad = write_json("fails", {"fail": True})
        for options in (("--check",), ("-o", OUT / "never.md")):
            done = run_talk(FAKE, bad, OUT / "good", *options)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (4, "", "edgellm: it says why\n"))
        self.assertFalse((OUT / "never.md").exists())
        self.assertEqual(run_talk(OUT / "none", bad, bad).returncode, 3)

    def test_the_real_program(self):
        gguf, model = OUT / "tiny.gguf", OUT / "tiny.tm2.bin"
        subprocess.run([MAKE_TINY, gguf], check=True, timeout=60)
        subprocess.run([EDGELLM, "quantize", gguf, "-o", model, "-q"], check=True, timeout=60)
        self.assertEqual(self.ok(EDGELLM, model, model, "--check").count("| yes |"), 3)
        done = run_talk(EDGELLM, OUT / "none.bin", model, "--check")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertRegex(done.stderr, r"\Aedgellm: [^\n]+\n\Z")
        way = talk.Way("", ("-s", "3", "--ignore-eos"), 24)
        answer = talk.ask(EDGELLM, model, "Hello", way)
        self.assertEqual((len(answer.tokens), answer.ended), (24, False))
        said = talk.call(EDGELLM, "run", model, "-p", "Hello", "-n", 24, "-q", *way.options)
        self.assertEqual(answer.text, said[:-1].decode(errors="replace"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
