#!/usr/bin/env python3
"""How often a model's answers are the wanted ones, asked of the engine itself: greedy, with the
chat template, without penalties. Standard library only.

    PYTHONPATH=tools python3 -m distil.exact_match --edgellm PROGRAM MODEL TEST.jsonl
        [--limit ROWS] [--shots K [--train TRAIN.jsonl]] [--failures N] [--json]

TEST.jsonl is of the form that distil.commands writes. --shots puts K rows of TRAIN.jsonl (the one
beside TEST.jsonl if not given) before each question as earlier turns of the conversation. As the
program takes no such turns, they are written out in ChatML; whether that is how the model's own
template writes them is checked first, by the hash of a question's logits.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import subprocess
import sys

WORKERS = 2
CONTEXT, CONTEXT_SHOT = 512, 128  # tokens: for a question and its answer, for a shot
KINDS = (("exact", "exactly equal"), ("same", "same JSON"), ("object", "JSON object"),
         ("action", "right action"))


class Failed(Exception):
    """code: the exit code; text: what is wrong, empty if the program has said it itself."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code


# ---- rows ---------------------------------------------------------------------------------------


def read_rows(path, limit=None):
    with open(path, encoding="utf-8") as lines:
        try:
            rows = [json.loads(line) for line in itertools.islice(lines, limit)]
            for row in rows:
                json.loads(row["answer"])["action"]
                [(m["role"], m["content"]) for m in row["messages"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Failed(4, f"{path}: not rows of messages and answer: {error!r}") from None
    if not rows:
        raise Failed(4, f"{path}: no rows")
    return rows


def action_of(answer):
    return json.loads(answer)["action"]


def choose_shots(rows, count):
    """The first row of each action, then the second of each, until there are count."""
    seen, turns = {}, []
    for row in rows:
        action = action_of(row["answer"])
        seen[action] = seen.get(action, 0) + 1
        turns.append(seen[action])
    order = sorted(range(len(rows)), key=turns.__getitem__)
    return [rows[i] for i in order[:count]]


def read_shots(options):
    if not options.shots:
        return []
    beside = pathlib.Path(options.test).with_name("train.jsonl")
    return choose_shots(read_rows(options.train or beside), options.shots)


def with_shots(row, shots):
    """The row's system message, the shots as turns, the row's question."""
    earlier = []
    for shot in shots:
        question = [m for m in shot["messages"] if m["role"] != "system"]
        earlier += [*question, {"role": "assistant", "content": shot["answer"]}]
    system = [m for m in row["messages"] if m["role"] == "system"]
    return system + earlier + [m for m in row["messages"] if m["role"] != "system"]


# ---- asking -------------------------------------------------------------------------------------


def as_chatml(messages):
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


def written_out(messages):
    """Arguments of `run` for any conversation in ChatML."""
    return ["--raw", "--special", "-p", as_chatml(messages)]


def by_template(messages):
    """Arguments of `run` for a question that the model's own template writes."""
    arguments = []
    for message in messages:
        arguments += ["--system" if message["role"] == "system" else "-p", message["content"]]
    return arguments


def run(options, arguments, *more):
    """The program's JSON object. It says itself what is wrong."""
    if options.shots:
        more += "-c", str(CONTEXT + CONTEXT_SHOT * options.shots)
    done = subprocess.run(
        [options.edgellm, "run", options.model, *arguments, "-t", "0", "--repeat-penalty", "1",
         "-j", "1", "--json", *more], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Failed(done.returncode if done.returncode > 0 else 128 - done.returncode)
    return json.loads(done.stdout)


def check_chatml(options, row):
    one, other = (run(options, arguments(row["messages"]), "-n", "1", "--hash")
                  for arguments in (by_template, written_out))
    if one["hash"] != other["hash"]:
        raise Failed(5, f"--shots: the chat template of {options.model} is not ChatML")


def progress(text):
    """On a terminal: a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="" if text else "\r", file=sys.stderr, flush=True)


def ask_all(options, rows, shots):
    """The answers, in the order of the rows."""
    def ask(row):
        arguments = written_out(with_shots(row, shots)) if shots else by_template(row["messages"])
        return run(options, arguments, "-n", str(options.tokens))["text"].strip()

    if shots:
        check_chatml(options, rows[0])
    answers = []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for answer in pool.map(ask, rows):
            answers.append(answer)
            progress(f"{len(answers)} of {len(rows)}")
    progress("")
    return answers


# ---- counting -----------------------------------------------------------------------------------


def judge(wanted, got):
    """Which of KINDS hold. A bare text in quotation marks is JSON too, but of no use."""
    try:
        value = json.loads(got)
    except ValueError:
        value = None
    is_object = isinstance(value, dict)
    return {"exact": got == wanted, "same": value == json.loads(wanted), "object": is_object,
            "action": is_object and value.get("action") == action_of(wanted)}


def count(judged):
    return {"rows": len(judged), **{kind: sum(j[kind] for j in judged) for kind, _ in KINDS}}


def summarise(options, rows, answers):
    wanted = [row["answer"].strip() for row in rows]
    judged = list(map(judge, wanted, answers))
    groups = {}
    for answer, verdict in zip(wanted, judged):
        groups.setdefault(action_of(answer), []).append(verdict)
    failures = [{"user": row["messages"][-1]["content"], "wanted": right, "got": got}
                for row, right, got, verdict in zip(rows, wanted, answers, judged)
                if not verdict["exact"]]
    return {"model": pathlib.Path(options.model).name, "shots": options.shots, **count(judged),
            "by_action": {name: count(groups[name]) for name in sorted(groups)},
            "failures": failures[:options.failures]}


# ---- report -------------------------------------------------------------------------------------


def cells(name, figures):
    shares = (f"{100 * figures[kind] / figures['rows']:.1f}" for kind, _ in KINDS)
    return [name, str(figures["rows"]), *shares]


def print_table(summary):
    """A table that Markdown reads too; shares in per cent."""
    lines = [["action", "rows", *(f"{title}, %" for _, title in KINDS)]]
    lines += [cells(name, figures) for name, figures in summary["by_action"].items()]
    lines.append(cells("all", summary))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")


def report(options, summary):
    if options.json:
        print(json.dumps(summary, indent=2))
        return
    print(f"{summary['model']}, {summary['shots']} shots")
    print_table(summary)
    for failure in summary["failures"]:
        print(f"\n{failure['user']}\n  wanted {failure['wanted']}\n  got    {failure['got']!r}")


def whole(lowest):
    def read(text):
        n = int(text)
        if n < lowest:
            raise ValueError
        return n
    read.__name__ = f"number from {lowest}"  # argparse names it in its error
    return read


def parse(arguments):
    parser = argparse.ArgumentParser(prog="distil.exact_match", description=__doc__.split(":")[0])
    parser.add_argument("--edgellm", required=True, metavar="PROGRAM")
    parser.add_argument("--limit", type=whole(1), metavar="ROWS", help="the first rows only")
    parser.add_argument("--shots", type=whole(0), default=0, metavar="K")
    parser.add_argument("--train", metavar="FILE", help="where the shots are from")
    parser.add_argument("--tokens", type=whole(1), default=64, help="longest answer")
    parser.add_argument("--failures", type=whole(0), default=0, metavar="N", help="show so many")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("model")
    parser.add_argument("test")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    try:
        rows = read_rows(options.test, options.limit)
        shots = read_shots(options)
        summary = summarise(options, rows, ask_all(options, rows, shots))
    except (Failed, OSError) as error:
        if str(error):
            print(f"exact_match: {error}", file=sys.stderr)
        return error.code if isinstance(error, Failed) else 3
    report(options, summary)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
