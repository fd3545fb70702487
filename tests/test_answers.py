#!/usr/bin/env python3
"""`edgellm perplexity --chat`: which tokens of conversations are scored, with what figures, and what
is said of lines that are none. What is expected is worked out here, of logits that the library
gives for tokens which this file lays out itself.

    python3 tests/test_answers.py EDGELLM MAKE_TINY DUMP_LOGITS OUT_DIR

Standard library only.
"""
import array
import json
import math
import os
import pathlib
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY, DUMP = map(os.path.abspath, sys.argv[1:4])
OUT = pathlib.Path(sys.argv[4]).absolute()
USAGE, FORMAT, UNSUPPORTED, CONTEXT = 2, 4, 5, 7
GGUF, TM2, FOUR = (str(OUT / name) for name in ("tiny.gguf", "tiny.tm2.bin", "four.tm2.bin"))
DATA = pathlib.Path(__file__).resolve().parent / "data"
os.environ["EDGELLM_CACHE"] = str(OUT / "kept")  # where no logits must appear
FIGURES = ("ppl", "nll", "tokens", "answers", "source_ppl", "source_nll", "ratio", "kl", "top1",
           "tokens_hash")


def edgellm(*arguments, stdin=b""):
    return subprocess.run([EDGELLM, *map(str, arguments)], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    for target, *more in ((TM2,), (FOUR, "--bits", "4", "--calibrate", "none")):
        subprocess.run([EDGELLM, "quantize", GGUF, "-o", target, "-q", *more], check=True, timeout=60)


def row(answer, *messages, **more):
    return {"messages": [{"role": role, "content": text} for role, text in messages],
            "answer": answer, **more}


ROWS = [row("jumps over the lazy dog", ("user", "the quick brown fox?")),
        row("no, <|im_end|> is text, and \0 too", ("system", "be brief"), ("user", "a"),
            ("assistant", "b"), ("user", "the fox"), ended=False, seed=7),
        row("it's 12", ("user", "more?"), ended=True)]


# ---- what is expected ----

def ids_of(text, *options):
    done = edgellm("tokenize", TM2, "--ids", *options, stdin=text.encode())
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def laid_out(conversation):
    """Tokens up to the answer, and from there on."""
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"
                   for m in conversation["messages"])
    prompt = ids_of(text + "<|im_start|>assistant\n", "--special")
    end = ids_of("<|im_end|>", "--special") if conversation.get("ended", True) else []
    return prompt, ids_of(conversation["answer"]) + end


def logits_of(model, ids, *options):
    """A list for each of the tokens."""
    told, got = OUT / "ids", OUT / "logits"
    told.write_text(" ".join(map(str, ids)))
    subprocess.run([DUMP, model, told, got, *options], check=True, timeout=60)
    values = array.array("f", got.read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    vocab = len(values) // len(ids)
    return [values[i * vocab:(i + 1) * vocab] for i in range(len(ids))]


def log_softmax(logits):
    top = max(logits)
    total = top + math.log(math.fsum(math.exp(x - top) for x in logits))
    return [x - total for x in logits]


def position_figures(source, model, token):
    p, q = log_softmax(source), log_softmax(model)
    return (-q[token], -p[token], math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q)),
            p.index(max(p)) == q.index(max(q)))


def figures_by_hand(rows):
    found = []
    for conversation in rows:
        prompt, answer = laid_out(conversation)
        ids = prompt + answer
        source, model = logits_of(TM2, ids, "--exact"), logits_of(FOUR, ids)
        found += [position_figures(source[i - 1], model[i - 1], ids[i])
                  for i in range(len(prompt), len(ids))]
    return len(found), [math.fsum(column) / len(found) for column in zip(*found)]


# ---- what is measured ----

def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


class Case(unittest.TestCase):
    def measure(self, rows, *more, model=FOUR):
        done = edgellm("perplexity", model, "-", "--chat", "--json", *more, stdin=lines(rows))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        got = json.loads(done.stdout)
        return {key: got[key] for key in FIGURES if key in got}

    def fails(self, code, text, *words, options=(), model=FOUR):
        done = edgellm("perplexity", model, "-", "--chat", *options, stdin=text)
        message = done.stderr.decode()
        self.assertEqual((done.returncode, done.stdout), (code, b""), message)
        self.assertRegex(message, r"\Aedgellm: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, message)


class Figures(Case):
    def test_by_hand(self):
        n, (nll, source_nll, kl, top1) = figures_by_hand(ROWS)
        for source in (TM2, GGUF):
            got = self.measure(ROWS, "--against", source)
            self.assertEqual((got["tokens"], got["answers"]), (n, len(ROWS)))
            self.assertAlmostEqual(got["nll"], nll, delta=1e-9)
            self.assertAlmostEqual(got["source_nll"], source_nll, delta=1e-9)
            self.assertAlmostEqual(got["ppl"], math.exp(nll), delta=1e-6)
            self.assertAlmostEqual(got["ratio"], math.exp(nll - source_nll), delta=1e-9)
            self.assertAlmostEqual(got["kl"], kl, delta=1e-7 + 1e-4 * kl)  # 16-bit codes
            self.assertAlmostEqual(got["top1"], top1, delta=1e-9)
            self.assertGreater(got["kl"], 1e-4)
        self.assertEqual(list((OUT / "kept").glob("*.logits")), [])

    def test_alone(self):
        against, alone = self.measure(ROWS, "--against", TM2), self.measure(ROWS)
        self.assertEqual(alone, {key: against[key] for key in ("ppl", "nll", "tokens", "answers")})
        exact = self.measure(ROWS, "--exact", model=TM2)
        self.assertEqual((exact["ppl"], exact["nll"]), (against["source_ppl"], against["source_nll"]))
        for more in (("-b", "3"), ("-j", "1"), ("-c", "256")):
            self.assertEqual(self.measure(ROWS, *more), alone)

    def test_each_answer_is_by_itself(self):
        each = [self.measure([r]) for r in ROWS]
        whole = self.measure(ROWS)
        n = sum(got["tokens"] for got in each)
        self.assertEqual(whole["tokens"], n)
        mean = math.fsum(got["nll"] * got["tokens"] for got in each) / n
        self.assertAlmostEqual(whole["nll"], mean, delta=1e-9)
        self.assertEqual(self.measure(ROWS, "--chunks", "1"), each[0])
        self.assertEqual(self.measure(ROWS[::-1])["tokens"], n)

    def test_prompts_are_not_scored(self):
        """They change how likely an answer is, and not how many tokens are scored."""
        short, long = (row("over the dog", ("user", words)) for words in ("fox", "quick fox " * 4))
        first, second = self.measure([short]), self.measure([long])
        self.assertEqual(first["tokens"], second["tokens"])
        self.assertEqual(first["tokens"], len(laid_out(short)[1]))
        self.assertNotEqual(first["nll"], second["nll"])
        cut = self.measure([{**short, "ended": False}])
        self.assertEqual(cut["tokens"], first["tokens"] - 1)

    def test_text(self):
        path, got = OUT / "rows", self.measure(ROWS, "--against", TM2)
        path.write_bytes(b"\n" + lines(ROWS).replace(b"\n", b"\r\n\n")[:-3])
        done = edgellm("perplexity", FOUR, path, "--chat", "--against", TM2)
        self.assertRegex(done.stdout.decode(),
                         rf"\Aperplexity {got['ppl']:.4f} over {got['tokens']} tokens "
                         rf"\(3 answers, [\d.]+ s\)\nsource +{got['source_ppl']:.4f} in exact mode .*\n"
                         rf"ratio {got['ratio']:.5f}, KL {got['kl']:.6f} nats a token, ")


class Errors(Case):
    def test_lines(self):
        user = '"messages": [{"role": "user", "content": "fox"}]'
        for line, code, *words in (
                ("{", FORMAT), ("[]", FORMAT, '"messages"'), ("{}", FORMAT, '"messages"'),
                ('{"messages": [], "answer": "a"}', FORMAT, '"messages"'),
                ('{"messages": [{"role": "user"}], "answer": "a"}', FORMAT, '"content"'),
                ('{"messages": ["fox"], "answer": "a"}', FORMAT, '"role"'),
                ('{"messages": [{"role": "user", "content": "a\\u0000"}], "answer": "a"}', FORMAT, "NUL"),
                ('{"messages": [{"role": "king", "content": "a"}], "answer": "a"}', USAGE, '"king"'),
                (f"{{{user}}}", FORMAT, '"answer"'),
                (f'{{{user}, "answer": 1}}', FORMAT, '"answer"'),
                (f'{{{user}, "answer": ""}}', FORMAT, "empty"),
                (f'{{{user}, "answer": "a", "ended": 1}}', FORMAT, '"ended"'),
                (f'{{{user}, "answer": "a", "answer": "b"}}', FORMAT, "duplicate"),
                (f'{{{user}, "answer": "{"fox " * 200}"}}', CONTEXT, "-c", "leave the line out")):
            with self.subTest(line=line):
                text = lines(ROWS[:1]) + b"\n" + line.encode() + b"\n" + lines(ROWS[1:])
                self.fails(code, text, "-, line 3: ", *words, options=("-c", "128"))
                self.fails(code, text, "line 3", options=("-c", "128", "--against", TM2))

    def test_files(self):
        for text in (b"", b"\n \t\r\n"):
            self.fails(USAGE, text, "no conversation")
        self.fails(USAGE, lines(ROWS), "--cache", options=("--cache", OUT, "--against", TM2))
        made = str(OUT / "plain.tm2.bin")
        subprocess.run([EDGELLM, "quantize", DATA / "conformance_tiny.gguf", "-o", made, "-q"],
                       check=True, timeout=60)
        self.fails(UNSUPPORTED, lines(ROWS), "no chat template", model=made)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
