#!/usr/bin/env python3
"""tools/quality.py on tiny models and small texts.

    python3 tests/test_quality.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TOOL = pathlib.Path(__file__).resolve().parent.parent / "tools" / "quality.py"
DATA = pathlib.Path(__file__).resolve().parent / "data"
GGUF, TM2, FOUR = (str(OUT / name) for name in ("tiny.gguf", "tiny.tm2.bin", "four.tm2.bin"))
TEXT, PAGES, PROMPTS, KEPT = (OUT / name for name in ("text", "pages", "prompts.json", "answers"))
FIGURES = ("ppl", "source_ppl", "ratio", "kl", "top1", "tokens", "tokens_hash")
ASKED = ("the quick fox?", "over 12 dogs")
HAS_BATCH = os.path.exists(EDGELLM + "-batch")  # which EDGELLM_BATCH=OFF leaves out


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    PAGES.mkdir(parents=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    for target, *more in ((TM2,), (FOUR, "--bits", "4", "--calibrate", "none")):
        subprocess.run([EDGELLM, "quantize", GGUF, "-o", target, "-q", *more], check=True, timeout=60)
    TEXT.write_bytes(b"the quick brown fox\njumps\r\nover the lazy dog\n" * 30)
    for name, word in (("git-b.txt", "and "), ("git-a.txt", "more "), ("git-c.txt", "never read")):
        (PAGES / name).write_text(word * 30000)
    (PAGES / "other.txt").write_text("other " * 1000)
    PROMPTS.write_text(json.dumps([{"kind": text, "prompts": [{"prompt": text}]} for text in ASKED]))


def quality(*arguments, seeds=0):
    return subprocess.run(
        [sys.executable, TOOL, "--edgellm", EDGELLM, "--source", TM2, "--context", "32", "--chunks",
         "4", "--pages", PAGES, "--prompts", PROMPTS, "--kept", KEPT, "--answer-tokens", "12",
         "--chat-context", "128", "--seeds", str(seeds), *map(str, arguments)],
        capture_output=True, timeout=120, text=True, env={**os.environ, "EDGELLM_CACHE": "none"})


def perplexity(model, data, how=("--cache", "none", "-c", "32", "--chunks", "4")):
    done = subprocess.run([EDGELLM, "perplexity", model, "-", "--against", TM2, *how, "--json"],
                          input=data, check=True, stdout=subprocess.PIPE, timeout=60)
    return json.loads(done.stdout)


class Quality(unittest.TestCase):
    def ok(self, *arguments, **more):
        done = quality(*arguments, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_rows_are_the_programs_figures(self):
        got = json.loads(self.ok("--wikitext", TEXT, "--json", TM2, FOUR))
        crlf = b"the quick brown fox\r\njumps\r\nover the lazy dog\r\n" * 30
        texts = {"WikiText": TEXT.read_bytes(), "WikiText, CRLF": crlf,
                 "git's manual": b"more " * 30000 + b"and " * 30000}
        self.assertEqual(got["not_measured"], ["chat answers"])
        self.assertEqual([(row["text"], row["file"]) for row in got["rows"]],
                         [(name, os.path.basename(m)) for name in texts for m in (TM2, FOUR)])
        for row in got["rows"]:
            expected = perplexity(OUT / row["file"], texts[row["text"]])
            self.assertEqual([row[key] for key in FIGURES], [expected[key] for key in FIGURES])
            self.assertEqual(row["mb"], os.path.getsize(OUT / row["file"]) / 1e6)
        self.assertEqual(len({row["tokens_hash"] for row in got["rows"]}), 3)

    def test_table(self):
        lines = self.ok("--wikitext", TEXT, FOUR).splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual({line.count("|") for line in lines[:5]}, {10})
        row = perplexity(FOUR, TEXT.read_bytes())
        self.assertEqual([cell.strip() for cell in lines[2].split("|")[1:-1]],
                         ["WikiText", "four.tm2.bin", "%.1f" % (os.path.getsize(FOUR) / 1e6),
                          str(row["tokens"]), "%.3f" % row["source_ppl"], "%.3f" % row["ppl"],
                          "%.4f" % row["ratio"], "%.5f" % row["kl"], "%.2f" % (100 * row["top1"])])

    def test_what_is_not_there_is_named(self):
        lines = self.ok(FOUR).splitlines()
        self.assertEqual(lines.pop(), "not measured: chat answers (--seeds 0)")
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[2].startswith("| git's manual"))
        for name, line in zip(("WikiText", "WikiText, CRLF"), lines[3:]):
            self.assertEqual(line, f"not measured: {name} (give one with WIKITEXT=FILE)")
        nothing = self.ok("--pages", OUT / "none", FOUR).splitlines()
        self.assertEqual(len(nothing), 4)
        self.assertIn("install git-doc", nothing[2])
        got = json.loads(self.ok("--json", FOUR))
        self.assertEqual(got["not_measured"], ["WikiText", "WikiText, CRLF", "chat answers"])

    def test_short_texts(self):
        lines = self.ok("--wikitext", TEXT, "--chunks", "100000", "--pages", OUT / "none",
                        FOUR).splitlines()
        self.assertRegex(lines[4], r"\AWikiText: only \d+ chunks, not 100000\Z")
        self.assertRegex(lines[5], r"\AWikiText, CRLF: only \d+ chunks, not 100000\Z")
        self.assertEqual(len(lines), 8)

    def test_failures(self):
        done = quality("--wikitext", OUT / "none", FOUR)
        self.assertEqual(done.returncode, 3)
        self.assertIn("none", done.stderr)
        done = quality(GGUF)
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertRegex(done.stderr, r"\Aedgellm: [^\n]+\n\Z")
        self.assertEqual(quality("--wikitext", TEXT, OUT / "none.bin").returncode, 3)


@unittest.skipUnless(HAS_BATCH, "there is no edgellm batch")
class ChatAnswers(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(KEPT, ignore_errors=True)

    def measure(self, *arguments, seeds=2, **more):
        done = quality("--pages", OUT / "none", "--json", *arguments, FOUR, seeds=seeds, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)["rows"]

    def kept(self):
        """The one file that is there, as rows."""
        path, = KEPT.iterdir()
        return path, [json.loads(line) for line in path.read_text().splitlines()]

    def test_are_what_the_source_says(self):
        self.measure()
        _, rows = self.kept()
        self.assertEqual([(r["messages"], r["seed"]) for r in rows],
                         [([{"role": "user", "content": text}], seed) for text in ASKED for seed in (1, 2)])
        for row in rows:
            done = subprocess.run([EDGELLM, "run", TM2, "-p", row["messages"][0]["content"], "--json",
                                   "-s", str(row["seed"]), "-n", "12", "-t", "1", "--top-k", "0",
                                   "--top-p", "1", "--min-p", "0", "--repeat-penalty", "1"],
                                  check=True, stdout=subprocess.PIPE, timeout=60)
            run = json.loads(done.stdout)
            self.assertEqual(row["ended"], run["finish"] == "end")
            self.assertEqual(row["answer"], run["text"] if row["ended"] else run["text"].rstrip("\ufffd"))

    def test_figures_are_the_programs(self):
        row, = self.measure()
        path, rows = self.kept()
        expected = perplexity(FOUR, path.read_bytes(), ("--chat", "-c", "128"))
        self.assertEqual({key: row[key] for key in FIGURES}, {key: expected[key] for key in FIGURES})
        self.assertEqual((row["text"], row["answers"]), ("chat answers", len(rows)))

    def test_are_kept(self):
        first = self.measure()
        path, rows = self.kept()
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[:1]))  # what is there is taken
        self.assertEqual(self.measure()[0]["answers"], 1)
        path.unlink()
        again = self.measure()
        self.assertEqual([again[0][key] for key in FIGURES], [first[0][key] for key in FIGURES])
        self.measure(seeds=1)
        self.measure("--answer-tokens", "5")
        self.assertEqual(len(list(KEPT.iterdir())), 3)

    def test_a_source_of_another_form(self):
        self.measure()
        _, rows = self.kept()
        shutil.rmtree(KEPT)
        self.measure("--source", GGUF)
        self.assertEqual(self.kept()[1], rows)

    def test_sources_that_do_not_answer(self):
        made = str(OUT / "plain.tm2.bin")
        subprocess.run([EDGELLM, "quantize", DATA / "conformance_tiny.gguf", "-o", made, "-q"], check=True,
                       timeout=60)
        done = quality("--pages", OUT / "none", "--source", made, made, seeds=1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout.splitlines()[-1],
                         r"\Anot measured: chat answers \(.*plain.tm2.bin: .*no chat template")
        self.assertFalse(KEPT.exists())
        self.assertEqual(quality("--source", OUT / "none.bin", FOUR, seeds=1).returncode, 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
