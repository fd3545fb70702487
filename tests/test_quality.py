#!/usr/bin/env python3
"""tools/quality.py on tiny models and small texts.

    python3 tests/test_quality.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
TOOL = pathlib.Path(__file__).resolve().parent.parent / "tools" / "quality.py"
GGUF, TM2, FOUR = (str(OUT / name) for name in ("tiny.gguf", "tiny.tm2.bin", "four.tm2.bin"))
TEXT, PAGES = OUT / "text", OUT / "pages"
FIGURES = ("ppl", "source_ppl", "ratio", "kl", "top1", "tokens_hash")


def setUpModule():
    PAGES.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    for target, *more in ((TM2,), (FOUR, "--bits", "4", "--calibrate", "none")):
        subprocess.run([EDGELLM, "quantize", GGUF, "-o", target, "-q", *more], check=True, timeout=60)
    TEXT.write_bytes(b"the quick brown fox\njumps\r\nover the lazy dog\n" * 30)
    for name, word in (("git-b.txt", "and "), ("git-a.txt", "more "), ("git-c.txt", "never read")):
        (PAGES / name).write_text(word * 30000)
    (PAGES / "other.txt").write_text("other " * 1000)


def quality(*arguments):
    return subprocess.run(
        [sys.executable, TOOL, "--edgellm", EDGELLM, "--source", TM2, "--context", "32", "--chunks",
         "4", "--pages", PAGES, *map(str, arguments)], capture_output=True, timeout=120, text=True,
        env={**os.environ, "EDGELLM_CACHE": "none"})


def perplexity(model, data):
    done = subprocess.run([EDGELLM, "perplexity", model, "-", "--against", TM2, "--cache", "none",
                           "-c", "32", "--chunks", "4", "--json"], input=data, check=True,
                          stdout=subprocess.PIPE, timeout=60)
    return json.loads(done.stdout)


class Quality(unittest.TestCase):
    def ok(self, *arguments):
        done = quality(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_rows_are_the_programs_figures(self):
        got = json.loads(self.ok("--wikitext", TEXT, "--json", TM2, FOUR))
        crlf = b"the quick brown fox\r\njumps\r\nover the lazy dog\r\n" * 30
        texts = {"WikiText": TEXT.read_bytes(), "WikiText, CRLF": crlf,
                 "git's manual": b"more " * 30000 + b"and " * 30000}
        self.assertEqual(got["not_measured"], [])
        self.assertEqual([(row["text"], row["file"]) for row in got["rows"]],
                         [(name, os.path.basename(m)) for name in texts for m in (TM2, FOUR)])
        for row in got["rows"]:
            expected = perplexity(OUT / row["file"], texts[row["text"]])
            self.assertEqual([row[key] for key in FIGURES], [expected[key] for key in FIGURES])
            self.assertEqual(row["mb"], os.path.getsize(OUT / row["file"]) / 1e6)
        self.assertEqual(len({row["tokens_hash"] for row in got["rows"]}), 3)

    def test_table(self):
        lines = self.ok("--wikitext", TEXT, FOUR).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertEqual({line.count("|") for line in lines}, {9})
        row = perplexity(FOUR, TEXT.read_bytes())
        self.assertEqual([cell.strip() for cell in lines[2].split("|")[1:-1]],
                         ["WikiText", "four.tm2.bin", "%.1f" % (os.path.getsize(FOUR) / 1e6),
                          "%.3f" % row["source_ppl"], "%.3f" % row["ppl"], "%.4f" % row["ratio"],
                          "%.5f" % row["kl"], "%.2f" % (100 * row["top1"])])

    def test_what_is_not_there_is_named(self):
        lines = self.ok(FOUR).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[2].startswith("| git's manual"))
        for name, line in zip(("WikiText", "WikiText, CRLF"), lines[3:]):
            self.assertEqual(line, f"not measured: {name} (give one with WIKITEXT=FILE)")
        nothing = self.ok("--pages", OUT / "none", FOUR).splitlines()
        self.assertEqual(len(nothing), 3)
        self.assertIn("install git-doc", nothing[2])
        got = json.loads(self.ok("--json", FOUR))
        self.assertEqual(got["not_measured"], ["WikiText", "WikiText, CRLF"])

    def test_short_texts(self):
        lines = self.ok("--wikitext", TEXT, "--chunks", "100000", "--pages", OUT / "none",
                        FOUR).splitlines()
        self.assertRegex(lines[4], r"\AWikiText: only \d+ chunks, not 100000\Z")
        self.assertRegex(lines[5], r"\AWikiText, CRLF: only \d+ chunks, not 100000\Z")
        self.assertEqual(len(lines), 7)

    def test_failures(self):
        done = quality("--wikitext", OUT / "none", FOUR)
        self.assertEqual(done.returncode, 3)
        self.assertIn("none", done.stderr)
        done = quality(GGUF)
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertRegex(done.stderr, r"\Aedgellm: [^\n]+\n\Z")
        self.assertEqual(quality("--wikitext", TEXT, OUT / "none.bin").returncode, 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
