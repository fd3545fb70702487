#!/usr/bin/env python3
"""tools/distil: the data set of commands (distil.commands) and the counting of right answers
(distil.exact_match), the latter on a made-up program and on a tiny model.

    python3 tests/test_distil_commands.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))
from distil import command_grammar as grammar  # noqa: E402
from distil import commands, exact_match  # noqa: E402

GGUF, TM2, FAKE, TEST = (OUT / name for name in ("tiny.gguf", "tiny.tm2.bin", "fake", "test.jsonl"))
ON, OFF = ('{"action": "%s", "device": "lamp"}' % state for state in ("on", "off"))
NONE = '{"action": "none"}'

FAKE_TEXT = """\
#!%s -IS
import json, sys
arguments = sys.argv[1:]
prompt = arguments[arguments.index("-p") + 1]
with open(%r, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
question = prompt.rpartition("<|im_start|>user\\n")[2].partition("<|im_end|>")[0]
if question == "crash":
    sys.exit(6)
hash = question if arguments[1] == "chatml" else prompt
print(json.dumps({"text": json.load(open(%r))[question], "hash": hash}))
"""


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF, "long"], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", GGUF, "-o", TM2, "-q"], check=True, timeout=60)


def tool(name, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-B", "-m", f"distil.{name}", *map(str, arguments)], capture_output=True,
        text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(TOOLS), **environment})


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


class Files(unittest.TestCase):
    def make(self, folder, seed, **environment):
        done = tool("commands", "--seed", seed, "--train", "300", "--test", "50", "-o",
                    OUT / folder, **environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [(OUT / folder / name).read_bytes() for name in ("train.jsonl", "test.jsonl")]

    def test_bytes_are_the_seeds(self):
        first = self.make("a", 1, PYTHONHASHSEED="1")
        self.assertEqual(self.make("b", 1, PYTHONHASHSEED="2"), first)
        other = self.make("c", 2)
        self.assertNotEqual(other[0], first[0])
        self.assertNotEqual(other[1], first[1])

    def test_form(self):
        self.make("d", 3)
        train, test = (rows_of(OUT / "d" / name) for name in ("train.jsonl", "test.jsonl"))
        self.assertEqual((len(train), len(test)), (300, 50))
        for row in train + test:
            self.assertEqual(list(row), ["messages", "answer"])
            system, user = row["messages"]
            self.assertEqual(system, {"role": "system", "content": grammar.SYSTEM})
            self.assertEqual(list(user), ["role", "content"])
            self.assertEqual(user["role"], "user")

    def test_no_folder(self):
        (OUT / "file").write_text("")
        done = tool("commands", "-o", OUT / "file" / "below")
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stderr, r"\Acommands: [^\n]*below[^\n]*\n\Z")


def said_by(slot, draws=1500):
    """A pattern of what a slot says."""
    rng = random.Random(1)
    texts = {grammar.SLOTS[slot].draw(rng)[0] for _ in range(draws)}
    return "(?:" + "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) + ")"


def pattern(template, slots):
    parts = re.split(r"\{(\w+)\}", template.text.rstrip("?"))
    return "".join(slots[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.train, cls.test = commands.make_sets(1, 6000, 400)
        cls.all = cls.train + cls.test

    def test_enough_templates(self):
        train, test = ({row.template for row in rows} for rows in (self.train, self.test))
        self.assertGreaterEqual(len(train), 200)
        self.assertGreaterEqual(len(test), 70)
        self.assertEqual(train & test, set())

    def test_no_sentence_twice(self):
        said = [commands.plain(row.user) for row in self.all]
        self.assertEqual(len(set(said)), len(said))

    def test_what_the_test_says_no_training_template_says(self):
        """By what was written, not by which template it came from."""
        slots = {name: said_by(name) for name in grammar.SLOTS}
        before, after = ("|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
                         for texts in zip(*(form.split("{}") for form in grammar.POLITE)))
        texts = [re.compile(pattern(t, slots), re.IGNORECASE)
                 for intent in grammar.INTENTS for t in commands.templates(intent, False)]
        bare = re.compile(f"(?:{before})(.*?)(?:{after})", re.IGNORECASE)

        def known(row):
            plain = commands.plain(row.user)
            return any(text.fullmatch(found) for text in texts
                       for found in (plain, bare.fullmatch(plain)[1]))

        self.assertEqual([row.user for row in self.test if known(row)], [])
        self.assertGreater(sum(map(known, self.train[:200])), 150)  # it does find; typos hide some

    def test_pairs_of_the_test_only(self):
        def pairs(rows):
            answers = (json.loads(row.answer) for row in rows)
            return {(a["device"], a["room"]) for a in answers if "room" in a and "device" in a}

        new = [row for row in self.test if commands.is_held_pair(json.loads(row.answer))]
        self.assertGreater(len(new), 60)
        self.assertEqual(pairs(new) & pairs(self.train), set())
        for position in range(2):  # each word for itself is known
            known = {pair[position] for pair in pairs(self.train)}
            self.assertLessEqual({pair[position] for pair in pairs(new)}, known)

    def test_answers(self):
        actions = {"set", "on", "off", "open", "close", "raise", "lower", "play", "pause", "stop",
                   "next", "lock", "unlock", "cancel", "query", "none"}
        found = set()
        for row in self.all:
            answer = json.loads(row.answer)
            self.assertEqual(json.dumps(answer), row.answer)
            self.assertLessEqual(len(row.answer), 100)
            self.assertEqual(list(answer), [key for key in grammar.KEYS if key in answer])
            self.assertEqual("device" in answer, answer["action"] != "none", row)
            found.add(answer["action"])
            if "except" in answer:
                self.assertEqual(answer["room"], "all")
        self.assertEqual(found, actions)

    def test_share_of_none(self):
        for rows in (self.train, self.test):
            share = sum(row.answer == NONE for row in rows) / len(rows)
            self.assertTrue(0.1 <= share <= 0.2, share)

    def test_digits_are_in_the_answer(self):
        checked = 0
        for row in self.all:
            answer, digits = json.loads(row.answer), re.findall(r"\d+", row.user)
            if isinstance(answer.get("value"), int) and digits:
                self.assertEqual(digits, [str(answer["value"])], row)
                checked += 1
        self.assertGreater(checked, 500)


WORDS = {grammar.in_words(n): n for n in range(101)}


def read_clock(said):
    """What distil.commands says, read the other way round."""
    words, _, half = re.sub(" in the | at ", "|", said).rpartition("|")
    if not words:
        words, _, half = said.rpartition(" ")
    past = {"quarter past": 15, "half past": 30, "quarter to": -15}
    hour, minute = None, 0
    for name, more in past.items():
        if words.startswith(name):
            hour, minute = WORDS[words[len(name) + 1:]], more
    if hour is None and ":" in words:
        hour, minute = map(int, words.split(":"))
    elif hour is None:
        first, *rest = words.replace(" o'clock", "").split(" ")
        hour = int(first) if first.isdigit() else WORDS[first]
        minute = WORDS[" ".join(rest)] if rest else 0
    total = 60 * (hour + (0 if half in ("am", "morning") else 12)) + minute
    return f"{total // 60:02d}:{total % 60:02d}"


class Slots(unittest.TestCase):
    def test_numbers_in_words(self):
        self.assertEqual(len(WORDS), 101)
        self.assertEqual([grammar.in_words(n) for n in (0, 13, 40, 67, 100)],
                         ["zero", "thirteen", "forty", "sixty seven", "one hundred"])
        self.assertEqual(grammar.in_words(21, "-"), "twenty-one")

    def test_clock(self):
        rng = random.Random(2)
        drawn = {grammar.clock(rng) for _ in range(3000)}
        self.assertGreater(len(drawn), 300)
        for said, value in drawn:
            self.assertEqual(read_clock(said), value, said)

    def test_length(self):
        rng = random.Random(3)
        units = {"min": "minute", "s": "second", "h": "hour"}
        for said, value in {grammar.length(rng) for _ in range(2000)}:
            amount, unit = value.split()
            if said in dict(grammar.LENGTHS):
                self.assertEqual(value, dict(grammar.LENGTHS)[said])
            else:
                words, _, name = said.replace("-", " ").rpartition(" ")
                self.assertEqual(name, units[unit] + "s")
                self.assertEqual(str(WORDS.get(words, words)), amount)

    def test_typo_is_one_and_leaves_numbers(self):
        rng = random.Random(4)
        sentence = "set the kitchen lamp to 30%"
        made = {commands.with_typo(rng, sentence) for _ in range(200)}
        self.assertGreater(len(made), 10)
        for typo in made:
            self.assertLessEqual(abs(len(typo) - len(sentence)), 1)
            self.assertRegex(typo, r"\Aset the k[a-z]{4,6}n lamp to 30%\Z")
        self.assertEqual(commands.with_typo(rng, "fan on"), "fan on")


def as_row(user, answer):
    return {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": user}],
            "answer": answer}


class ExactMatch(unittest.TestCase):
    # question, wanted, what the program says
    ASKED = (("a", ON, f" {ON}\n"), ("b", ON, OFF),
             ("c", OFF, '{"device": "lamp", "action": "off"}'), ("d", NONE, "hello"),
             ("e", NONE, "[1]"), ("f", OFF, '{"action": "off"}'))

    def setUp(self):
        self.log = OUT / "log"
        self.log.unlink(missing_ok=True)
        (OUT / "answers.json").write_text(json.dumps({q: says for q, _, says in self.ASKED}))
        FAKE.write_text(FAKE_TEXT % (sys.executable, str(self.log), str(OUT / "answers.json")))
        FAKE.chmod(0o755)
        self.write(TEST, [(q, wanted) for q, wanted, _ in self.ASKED])

    def write(self, path, pairs):
        path.write_text("".join(json.dumps(as_row(*pair)) + "\n" for pair in pairs))

    def calls(self):
        return sorted(json.loads(line) for line in self.log.read_text().splitlines())

    def ok(self, *arguments, program=FAKE, model="model"):
        done = tool("exact_match", "--edgellm", program, model, TEST, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_counts(self):
        got = json.loads(self.ok("--json", "--failures", "2"))
        keys = ("rows", "exact", "same", "object", "action", "shots")
        self.assertEqual([got[key] for key in keys], [6, 1, 2, 4, 3, 0])
        self.assertEqual(got["by_action"]["off"],
                         {"rows": 2, "exact": 0, "same": 1, "object": 2, "action": 2})
        self.assertEqual(got["failures"], [
            {"user": "b", "wanted": ON, "got": OFF},
            {"user": "c", "wanted": OFF, "got": '{"device": "lamp", "action": "off"}'}])

    def test_how_it_asks(self):
        self.ok("--limit", "1")
        (call,) = self.calls()
        self.assertEqual(call[:6], ["run", "model", "--system", "s", "-p", "a"])
        for option in (["-t", "0"], ["--repeat-penalty", "1"], ["-n", "64"]):
            at = call.index(option[0])
            self.assertEqual(call[at:at + 2], option)

    def test_table(self):
        lines = self.ok("--failures", "1").splitlines()
        self.assertEqual(lines[0], "model, 0 shots")
        self.assertEqual([cell.strip() for cell in lines[6].split("|")[1:-1]],
                         ["all", "6", "16.7", "33.3", "66.7", "50.0"])
        self.assertEqual(lines[8:], ["b", f"  wanted {ON}", f"  got    {OFF!r}"])

    def test_shots_are_turns(self):
        self.write(OUT / "train.jsonl", [("x", ON), ("y", ON), ("z", NONE)])
        got = json.loads(self.ok("--shots", "2", "--limit", "2", "--json", model="chatml"))
        self.assertEqual((got["shots"], got["rows"], got["exact"]), (2, 2, 1))
        asked = [call[call.index("-p") + 1] for call in self.calls() if "--hash" not in call]
        turn = "<|im_start|>%s\n%s<|im_end|>\n"
        for prompt, question in zip(sorted(asked), "ab"):
            self.assertEqual(prompt, "".join(turn % pair for pair in (
                ("system", "s"), ("user", "x"), ("assistant", ON), ("user", "z"),
                ("assistant", NONE), ("user", question))) + "<|im_start|>assistant\n")

    def test_shots_need_chatml(self):
        self.write(OUT / "train.jsonl", [("x", ON)])
        done = tool("exact_match", "--edgellm", FAKE, "model", TEST, "--shots", "1")
        self.assertEqual((done.returncode, done.stdout), (5, ""))
        self.assertRegex(done.stderr, r"\Aexact_match: .*model is not ChatML\n\Z")

    def test_real_program(self):
        """Its own options; the tiny model's template is ChatML."""
        self.write(OUT / "train.jsonl", [("turn it on", ON), ("hello", NONE)])
        rows = exact_match.read_rows(TEST)
        done = subprocess.run([EDGELLM, "run", TM2, "--system", "s", "-p", "a", "-t", "0", "-n",
                               "9", "--repeat-penalty", "1", "--json"], check=True, timeout=60,
                              stdout=subprocess.PIPE)
        for shots in ("0", "2"):
            got = json.loads(self.ok("--json", "--tokens", "9", "--failures", "1", "--shots", shots,
                                     program=EDGELLM, model=TM2))
            self.assertEqual((got["rows"], got["exact"]), (len(rows), 0))
            if shots == "0":
                self.assertEqual(got["failures"][0]["got"], json.loads(done.stdout)["text"].strip())

    def test_failures(self):
        def fails(code, message, *arguments):
            done = tool("exact_match", "--edgellm", *arguments)
            self.assertEqual((done.returncode, done.stdout), (code, ""))
            self.assertRegex(done.stderr, message)

        fails(3, r"\Aexact_match: .*absent", FAKE, "model", OUT / "absent")
        fails(3, r"\Aexact_match: .*no-such", OUT / "no-such", "model", TEST)
        fails(4, r"\Aedgellm: ", EDGELLM, GGUF, TEST)
        fails(2, r"number from 1", FAKE, "model", TEST, "--limit", "0")
        bad = OUT / "bad.jsonl"
        for text in ("", "{}\n", "[]\n", "nonsense\n", json.dumps(as_row("a", "1")) + "\n"):
            bad.write_text(text)
            fails(4, r"\Aexact_match: [^\n]*bad\.jsonl: [^\n]*\n\Z", FAKE, "model", bad)
        self.write(TEST, [("a", ON), ("crash", ON), ("b", ON)])
        fails(6, r"\A\Z", FAKE, "model", TEST)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
