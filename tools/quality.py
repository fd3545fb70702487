#!/usr/bin/env python3
"""What models lost against the one they were made from, on four texts. Standard library only.

    tools/quality.py --edgellm PROGRAM --source SOURCE [--wikitext FILE] [--json] MODEL...

The texts: a file of WikiText as it is; the same with CRLF line ends; git's manual pages (Debian
package git-doc), in the order of their names, until they make 200 kB. Of each the first 40 chunks
of 512 tokens are taken and their second halves scored, by SOURCE in exact mode and by each MODEL as
it runs. The fourth is chat answers, of which every token is scored and none of the prompts': SOURCE
gives 5 to each of the 40 prompts of tools/talk_prompts.json, with the seeds 1 to 5, at temperature 1
and with nothing held back, of 640 tokens at most. They are the same on every machine, and kept in
build/quality. A text that is not there is named as not measured, and is no failure.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = "/usr/share/doc/git-doc"
PAGES_BYTES = 200_000
PROMPTS = ROOT / "tools" / "talk_prompts.json"
KEPT = ROOT / "build" / "quality"
# Every token as likely as the model says.
SAMPLING = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1,
            "repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}


class Text(typing.NamedTuple):
    name: str
    data: typing.Optional[bytes]  # None: it is not there
    give: str                     # what would give it
    options: tuple                # of `edgellm perplexity`


class Failed(Exception):
    """The program's exit code. It says itself what is wrong."""

    def __init__(self, code):
        super().__init__()
        self.code = code


def call(*command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Failed(done.returncode if done.returncode > 0 else 128 - done.returncode)
    return done.stdout


def progress(text):
    """On a terminal: a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="" if text else "\r", file=sys.stderr, flush=True)


# ---- texts ----

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


def plain_texts(options):
    wikitext = pathlib.Path(options.wikitext).read_bytes() if options.wikitext else None
    if options.pages == PAGES:
        install_pages()
    give = "give one with WIKITEXT=FILE"
    no_pages = f"no {PAGES_BYTES // 1000} kB of git*.txt in {options.pages}: install git-doc"
    cut = ("-c", options.context, "--chunks", options.chunks)
    return [Text("WikiText", wikitext, give, cut),
            Text("WikiText, CRLF", with_crlf(wikitext) if wikitext else None, give, cut),
            Text("git's manual", manual_pages(options.pages), no_pages, cut)]


# ---- chat answers ----

def make_requests(options):
    """(seed, request of `edgellm batch`) for every prompt and seed."""
    kinds = json.loads(pathlib.Path(options.prompts).read_text(encoding="utf-8"))
    prompts = [prompt["prompt"] for kind in kinds for prompt in kind["prompts"]]
    asked = [(seed, prompt) for prompt in prompts for seed in range(1, options.seeds + 1)]
    return [(seed, {"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions",
                    "body": {"messages": [{"role": "user", "content": prompt}], "seed": seed,
                             "max_tokens": options.answer_tokens, **SAMPLING}})
            for i, (seed, prompt) in enumerate(asked)]


def hash_of_source(path):
    path, sha = pathlib.Path(path), hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as data:
                for piece in iter(lambda: data.read(1 << 20), b""):
                    sha.update(piece)
    return sha.hexdigest()


def to_tm2(options, folder):
    """SOURCE as a file that answers: itself, or what it becomes as it is."""
    source = pathlib.Path(options.source)
    if not source.is_dir():
        with source.open("rb") as file:
            if file.read(4) != b"GGUF":
                return source
    call(options.edgellm, "quantize", source, "-o", folder / "source.tm2.bin", "-q")
    return folder / "source.tm2.bin"


def ask_source(options, requests):
    """The bodies of its responses, in the order of the requests."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        asked, answered = folder / "in.jsonl", folder / "out.jsonl"
        asked.write_text("".join(json.dumps(request) + "\n" for _, request in requests))
        model = to_tm2(options, folder)
        call(options.edgellm, "batch", model, asked, "-o", answered, "-c", options.chat_context)
        lines = [json.loads(line) for line in answered.read_bytes().split(b"\n") if line]
    lines.sort(key=lambda line: int(line["custom_id"]))
    return [line["response"]["body"] for line in lines]


def row_of(seed, request, body):
    """A conversation as `edgellm perplexity --chat` takes it; None: there is no answer to score.
    The limit may have cut the last character of an answer in two."""
    choice = body["choices"][0]
    answer, ended = choice["message"]["content"] or "", choice["finish_reason"] == "stop"
    if not ended:
        answer = answer.rstrip("\ufffd")
    return {"messages": request["body"]["messages"], "answer": answer, "ended": ended,
            "seed": seed} if answer else None


def write_answers(options, requests, path):
    """What is wrong, or "": they are in the file."""
    bodies = ask_source(options, requests)
    refused = [body["error"]["message"] for body in bodies if "error" in body]
    if refused:
        return f"{options.source}: {refused[0]}"
    rows = [row_of(*asked, body) for asked, body in zip(requests, bodies)]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows if row), encoding="utf-8")
    temporary.replace(path)
    return ""


def chat_answers(options):
    """What SOURCE has answered; kept under a name of it and of what it was asked."""
    requests, why = make_requests(options), "--seeds 0"
    asked = json.dumps([hash_of_source(options.source), options.chat_context, requests])
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    path = pathlib.Path(options.kept) / f"answers-{name}.jsonl"
    if requests and not path.exists():
        progress(f"chat answers: {options.source}")
        why = write_answers(options, requests, path)
        progress("")
    return Text("chat answers", path.read_bytes() if requests and path.exists() else None, why,
                ("--chat", "-c", options.chat_context))


# ---- measuring ----

def measure(options, model, path, how):
    """The program's figures."""
    return json.loads(call(options.edgellm, "perplexity", model, path, "--against", options.source,
                           *how, "--json"))


def measure_all(options, texts):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text")
        for text in texts:
            if text.data is None:
                continue
            pathlib.Path(path).write_bytes(text.data)
            for model in options.models:
                progress(f"{text.name}: {model}")
                figures = measure(options, model, path, text.options)
                rows.append({"text": text.name, "file": os.path.basename(model),
                             "mb": os.path.getsize(model) / 1e6, **figures})
    progress("")
    return rows


COLUMNS = (
    ("text", "text", "%s"), ("file", "file", "%s"), ("MB", "mb", "%.1f"), ("tokens", "tokens", "%d"),
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
    few = [row for row in rows if row.get("chunks", options.chunks) < options.chunks]
    if options.json:
        print(json.dumps({"source": os.path.basename(options.source), "rows": rows,
                          "not_measured": [text.name for text in missing]}, indent=2))
        return
    if rows:
        print_table(rows)
    for row in few:
        print(f"{row['text']}: only {row['chunks']} chunks, not {options.chunks}")
    rounded = max((row["source_rounded"] for row in rows), default=0)
    if rounded:
        print(f"{rounded} matrices of the source are of types that TM2 lacks: rounded to 8 bits")
    for text in missing:
        print(f"not measured: {text.name} ({text.give})")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--wikitext", default="")
    parser.add_argument("--pages", default=PAGES, help="a folder with git's manual pages as text")
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompts", default=PROMPTS, help="as tools/talk.py has them")
    parser.add_argument("--seeds", type=int, default=5, help="chat answers to each prompt")
    parser.add_argument("--answer-tokens", type=int, default=640, help="at most, of a chat answer")
    parser.add_argument("--chat-context", type=int, default=1024)
    parser.add_argument("--kept", default=KEPT, help="a folder, where chat answers are kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("models", nargs="+")
    return parser.parse_args()


def main():
    options = parse()
    try:
        texts = [*plain_texts(options), chat_answers(options)]
        rows = measure_all(options, texts)
    except Failed as failed:
        return failed.code
    except OSError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 3
    report(options, rows, [text for text in texts if text.data is None])
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
