#!/usr/bin/env python3
"""What models lost against the one they were made from, on three texts. Standard library only.

    tools/quality.py --edgellm PROGRAM --source SOURCE [--wikitext FILE] [--json] MODEL...

The texts: a file of WikiText as it is; the same with CRLF line ends; git's manual pages (Debian
package git-doc), in the order of their names, until they make 200 kB. Of each the first 40 chunks
of 512 tokens are taken and their second halves scored, by SOURCE in exact mode and by each MODEL as
it runs. A text that is not there is named as not measured, and is no failure.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = "/usr/share/doc/git-doc"
PAGES_BYTES = 200_000


def with_crlf(data):
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def manual_pages(folder):
    """The first pages that make PAGES_BYTES; None if the folder has not so many."""
    data = b""
    for path in sorted(pathlib.Path(folder).glob("git*.txt")):
        data += path.read_bytes()
        if len(data) >= PAGES_BYTES:
            return data
    return None


def install_pages():
    """Asks the package manager; says itself why not."""
    subprocess.run([ROOT / "scripts" / "setup.sh", "--quality"], check=False, stdout=sys.stderr)


def collect_texts(options):
    """(name, bytes or None, what would give them) for every text."""
    wikitext = pathlib.Path(options.wikitext).read_bytes() if options.wikitext else None
    if options.pages == PAGES:
        install_pages()
    pages = manual_pages(options.pages)
    give = "give one with WIKITEXT=FILE"
    return [("WikiText", wikitext, give),
            ("WikiText, CRLF", with_crlf(wikitext) if wikitext else None, give),
            ("git's manual", pages, f"no {PAGES_BYTES // 1000} kB of git*.txt in {options.pages}: "
                                    "install git-doc")]


class Failed(Exception):
    def __init__(self, code):
        super().__init__()
        self.code = code


def measure(options, model, path):
    """The program's figures. It says itself what is wrong."""
    done = subprocess.run([options.edgellm, "perplexity", model, path, "--against", options.source,
                           "-c", str(options.context), "--chunks", str(options.chunks), "--json"],
                          stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Failed(done.returncode if done.returncode > 0 else 128 - done.returncode)
    return json.loads(done.stdout)


def progress(text):
    """On a terminal: a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="" if text else "\r", file=sys.stderr, flush=True)


def measure_all(options, texts):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text")
        for name, data, _ in texts:
            if data is None:
                continue
            pathlib.Path(path).write_bytes(data)
            for model in options.models:
                progress(f"{name}: {model}")
                figures = measure(options, model, path)
                rows.append({"text": name, "file": os.path.basename(model),
                             "mb": os.path.getsize(model) / 1e6, **figures})
    progress("")
    return rows


COLUMNS = (
    ("text", "text", "%s"), ("file", "file", "%s"), ("MB", "mb", "%.1f"),
    ("source, exact", "source_ppl", "%.3f"), ("model, int8", "ppl", "%.3f"), ("ratio", "ratio", "%.4f"),
    ("KL, nats", "kl", "%.5f"), ("top-1, %", "top1", "%.2f"),
)


def cells(row):
    values = {**row, "top1": 100 * row["top1"]}
    return [form % values[key] for _, key, form in COLUMNS]


def print_table(rows):
    """A table that Markdown reads too."""
    lines = [[title for title, _, _ in COLUMNS], *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")


def report(options, rows, missing):
    few = [row for row in rows if row["chunks"] < options.chunks]
    if options.json:
        print(json.dumps({"source": os.path.basename(options.source), "rows": rows,
                          "not_measured": [name for name, _ in missing]}, indent=2))
        return
    if rows:
        print_table(rows)
    for row in few:
        print(f"{row['text']}: only {row['chunks']} chunks, not {options.chunks}")
    rounded = max((row["source_rounded"] for row in rows), default=0)
    if rounded:
        print(f"{rounded} matrices of the source are of types that TM2 lacks: rounded to 8 bits")
    for name, why in missing:
        print(f"not measured: {name} ({why})")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--wikitext", default="")
    parser.add_argument("--pages", default=PAGES, help="a folder with git's manual pages as text")
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("models", nargs="+")
    return parser.parse_args()


def main():
    options = parse()
    try:
        texts = collect_texts(options)
        rows = measure_all(options, texts)
    except Failed as failed:
        return failed.code
    except OSError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 3
    report(options, rows, [(name, why) for name, data, why in texts if data is None])
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
