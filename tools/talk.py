#!/usr/bin/env python3
"""What can be expected of a small file's answers, beside its source's. Standard library only.

    tools/talk.py --edgellm PROGRAM --source SOURCE [-o FILE] MODEL      writes docs/QUALITY.md
    tools/talk.py --edgellm PROGRAM --source SOURCE --check MODEL        exit code 1: MODEL is worse

The prompts of tools/talk_prompts.json are answered by both files, with the model's chat template,
by `edgellm run`; what can be counted is counted. Every option is fixed, and so is every bit of the
answers, on whatever machine and with any number of threads: the same files give the same document.

In the prompts' file each kind has a list of prompts. What a rule can judge has
    words   one of them occurs in the answer, as a word of its own, in capitals or not
    not     none of these does
    keys    the answer parses as JSON, and is an object with all of them ([]: any JSON)
"""
import argparse
import codecs
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPTS = ROOT / "tools" / "talk_prompts.json"
DOCUMENT = ROOT / "docs" / "QUALITY.md"



class Way(typing.NamedTuple):
    """How a prompt is answered."""
    name: str
    options: tuple
    limit: int  # the longest answer, in tokens


# Near the best token, and without penalties, which forbid to repeat the question's words.
COOL = ("-t", "0.2", "--top-p", "0.9", "--repeat-penalty", "1")
# The first is shown and summed up.
WAYS = (Way("default", ("-s", "1"), 96), Way("cool", ("-s", "1", *COOL), 96),
        Way("greedy", ("-t", "0"), 96))
# --check: longer, as loops are what long answers end in; not only with penalties, which hide them.
LONG = (Way("default", ("-s", "2"), 160), Way("cool", ("-s", "2", *COOL), 160))

LOOP_PERIOD, LOOP_COPIES, LOOP_TOKENS = 32, 4, 24
SHOWN = 240  # characters of an answer


# ---- an answer ----

@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    tokens: tuple
    ended: bool   # by an end token
    broken: bool  # its bytes are not UTF-8


class Failed(Exception):
    """The program's exit code, and what it said."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def call(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed(done.returncode if done.returncode > 0 else 128 - done.returncode,
                     done.stderr.decode(errors="replace").strip())
    return done.stdout


def is_broken(data, ended):
    """Are these bytes not UTF-8? The limit may cut the last character of an answer in two."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=ended)
    except UnicodeDecodeError:
        return True
    return False


def ask(program, model, prompt, way):
    """--json shows U+FFFD for bytes that are not UTF-8, and where the model says U+FFFD itself:
    such an answer is made once more, for its bytes."""
    command = (program, "run", model, "-p", prompt, "-n", way.limit, "-j", 1, *way.options)
    got = json.loads(call(*command, "--json"))
    ended = got["finish"] == "end"
    broken = "\ufffd" in got["text"] and is_broken(call(*command, "-q")[:-1], ended)
    return Answer(got["text"], tuple(got["tokens"]), ended, broken)


# ---- what can be counted ----

def has_loop(tokens):
    """Does a sequence of up to 32 tokens follow itself until there are 4 copies and 24 tokens?"""
    for period in range(1, LOOP_PERIOD + 1):
        run, enough = 0, max(LOOP_COPIES * period, LOOP_TOKENS) - period
        for i in range(period, len(tokens)):
            run = run + 1 if tokens[i] == tokens[i - period] else 0
            if run >= enough:
                return True
    return False


def occurs(word, text):
    """As a word of its own; 5 isn't in 15, 5.2 or 2,5."""
    pattern = rf"(?<!\w)(?<!\d[.,]){re.escape(word)}(?!\w)(?![.,]\d)"
    return re.search(pattern, text, re.I) is not None


def parse_json(text):
    """The object or array that an answer is, alone or in its first fence; None if it is none."""
    fence = re.search(r"```(?:json)?[ \t]*\n(.*?)```", text, re.S | re.I)
    try:
        value = json.loads(fence[1] if fence else text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def is_right(prompt, text):
    """By the rules that the prompt has; None if it has none."""
    if "words" not in prompt and "keys" not in prompt:
        return None
    if "words" in prompt and not any(occurs(word, text) for word in prompt["words"]):
        return False
    if any(occurs(word, text) for word in prompt.get("not", ())):
        return False
    if "keys" not in prompt:
        return True
    value = parse_json(text)
    has = value.keys() if isinstance(value, dict) else ()
    return value is not None and all(key in has for key in prompt["keys"])


def facts(prompt, answer):
    """Each true or false, or None where it isn't asked for."""
    return {"ended": answer.ended, "limit": not answer.ended, "loop": has_loop(answer.tokens),
            "broken": answer.broken, "empty": not answer.text.strip(),
            "json": parse_json(answer.text) is not None if "keys" in prompt else None,
            "right": is_right(prompt, answer.text), prompt["kind"]: is_right(prompt, answer.text)}


class Count:
    """How many of a list of facts are true, of how many."""

    def __init__(self, rows, name):
        asked = [row[name] for row in rows if row.get(name) is not None]
        self.n, self.of = sum(asked), len(asked)
        self.rate = self.n / self.of if asked else 0.0

    def __str__(self):
        return f"{self.n} of {self.of} ({100 * self.rate:.0f} %)" if self.of else "none asked"


def wilson(n, of):
    """Between which rates a count lies, at 95 %."""
    z, rate = 1.96, n / of
    middle = (rate + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - half), min(1.0, middle + half)


# ---- asking ----

def read_prompts(path):
    kinds = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return [{**prompt, "kind": kind["kind"]} for kind in kinds for prompt in kind["prompts"]]


def progress(text):
    """On a terminal: a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="" if text else "\r", file=sys.stderr, flush=True)


def ask_all(options, prompts, model, ways):
    """For each way a list of answers. One thread for an answer, as many answers as cores."""
    tasks = [(prompt["prompt"], way) for way in ways for prompt in prompts]
    answers = []
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for answer in pool.map(lambda task: ask(options.edgellm, model, *task), tasks):
                answers.append(answer)
                progress(f"{model}: {len(answers)} of {len(tasks)} answers")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    progress("")
    return [answers[i:i + len(prompts)] for i in range(0, len(tasks), len(prompts))]


def rows_of(prompts, answers):
    return [facts(prompt, answer) for prompt, answer in zip(prompts, answers)]


# ---- the check ----

# What may not be above the source's rate by more than this. Of 80 answers each, two files that are
# equally good differ by chance, 2 standard deviations of which, 2 sqrt(2 p (1 - p) / 80), are 15
# points where a third of the answers don't end, 5 points where 3 in 100 loop. Broken UTF-8, for
# which a model has to choose single bytes, is next to nothing in a sound file: one answer more.
MARGINS = (("limit", "answers that do not end", 0.15),
           ("loop", "answers with a repetition loop", 0.05),
           ("broken", "answers with broken UTF-8", 0.02))


def long_rows(options, prompts, model):
    return [row for answers in ask_all(options, prompts, model, LONG)
            for row in rows_of(prompts, answers)]


def compare(small, source):
    """(what, the small file's count, the source's, margin, is it kept) for each margin."""
    found = []
    for name, what, margin in MARGINS:
        ours, theirs = Count(small, name), Count(source, name)
        found.append((what, ours, theirs, margin, ours.rate <= theirs.rate + margin + 1e-9))
    return found


def long_answers(options, prompts):
    return compare(*(long_rows(options, prompts, m) for m in (options.model, options.source)))


def check_table(found):
    return table(("", "small file", "its source", "margin", "kept?"),
                 [(what, str(ours), str(theirs), f"{100 * margin:.0f} points",
                   "yes" if kept else "no") for what, ours, theirs, margin, kept in found])


def check(options, prompts):
    found = long_answers(options, prompts)
    print("\n".join(check_table(found)))
    for what, ours, theirs, margin, kept in found:
        if not kept:
            print(f"talk: {what}: {ours}, its source {theirs}; allowed are "
                  f"{100 * margin:.0f} points more", file=sys.stderr)
    return 0 if all(kept for *_, kept in found) else 1


# ---- Markdown ----

def escape(text):
    """Text in a table's cell, as it is: no marks, links, HTML; what can't be seen as a number."""
    text = re.sub(r"\s*\n\s*", "\n", text.strip())
    out = []
    for char in text:
        if char == "\n":
            out.append("<br>")
        elif not char.isprintable():
            out.append(" " if char.isspace() else f"\\\\u{ord(char):04x}")
        elif char in "&<>":
            out.append({"&": "&amp;", "<": "&lt;", ">": "&gt;"}[char])
        elif char in "\\`*_[]|~$#":
            out.append("\\" + char)
        else:
            out.append(char)
    return re.sub(r"(?i)\b(https?|ftp)://", r"\1&#58;//", "".join(out)).replace("www.", "www&#46;")


def cut(text, length=SHOWN):
    text = text.strip()
    return text if len(text) <= length else text[:length].rstrip() + " …"


def table(titles, rows):
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


# What is said below an answer, and when.
NOTES = (("right", True, "right"), ("right", False, "wrong"), ("json", False, "no JSON"),
         ("limit", True, "did not end"), ("loop", True, "loop"), ("broken", True, "broken UTF-8"),
         ("empty", True, "empty"))


def cell(prompt, answer):
    found = facts(prompt, answer)
    notes = "; ".join(note for name, value, note in NOTES if found[name] is value)
    return "<br>".join(filter(None, (escape(cut(answer.text)), f"*{notes}*" if notes else "")))


# ---- the document ----

# (above this rate, what is said); the first that fits.
ADVICE_RIGHT = (
    (0.9, "Nearly all answers that a rule can judge are right; check what matters."),
    (0.75, "Most answers that a rule can judge are right; check what matters."),
    (0.5, "It is right more often than wrong, which is too seldom for anything to depend on an "
          "answer that nobody has checked."),
    (0.25, "At most half of the answers that a rule can judge are right: it is no source of facts, "
           "and no decision should depend on it."),
    (-1, "At most one in four answers that a rule can judge is right: it is no source of facts, "
         "and no decision should depend on it."))
ADVICE_JSON = (
    (0.9, "JSON that it is asked for nearly always parses; a program parses it before use all the "
          "same."),
    (0.5, "JSON that it is asked for parses more often than not: a program must expect what "
          "doesn't."),
    (-1, "Half or more of the JSON that it is asked for doesn't parse: a program can't build on "
         "it."))
ADVICE_ENDED = (
    (0.9, "Nearly all answers end by themselves."),
    (0.75, "Most answers end by themselves; set a limit (`-n`) for the rest."),
    (-1, "A quarter of the answers or more don't end by themselves within the limit: set one "
         "(`-n`) that suits the task."))


def advice(rows, rate):
    return next(text for above, text in rows if rate > above)


def best_way(rows_of_ways):
    """The name of the first way with the most right answers, and its count."""
    counts = [Count(rows, "right") for rows in rows_of_ways]
    best = max(range(len(counts)), key=lambda i: counts[i].n)
    return WAYS[best].name, counts[best]


def summary(name, small_rows, source_rows):
    """Composed from the counts alone. Rows of facts for each of WAYS; the first is summed up."""
    small, source = small_rows[0], source_rows[0]
    ours, theirs = ({key: Count(rows, key) for key, _ in COUNTED} for rows in (small, source))
    parts = "; ".join(f"{what}: {ours[key]}, its source {theirs[key]}"
                      for key, what in COUNTED if ours[key].of and key != "limit")
    lines = [f"{name} answered {len(small)} prompts the way {way_text(WAYS[0])}. Of the answers, "
             f"{parts}.", advice(ADVICE_ENDED, ours["ended"].rate)]
    if ours["json"].of:
        lines.append(advice(ADVICE_JSON, ours["json"].rate))
    if ours["right"].of:
        low, high = wilson(ours["right"].n, ours["right"].of)
        both = sum(bool(a["right"] and b["right"]) for a, b in zip(small, source))
        way, most = best_way(small_rows)
        lines += [advice(ADVICE_RIGHT, ours["right"].rate),
                  f"So few prompts leave room for chance: that count stands for any rate between "
                  f"{100 * low:.0f} and {100 * high:.0f} % (95 %, Wilson). Of the "
                  f"{theirs['right'].n} that the source has right, the small file has {both}. Most "
                  f"right answers the small file gives the way *{way}*: {most}; its source "
                  "*{}*: {}.".format(*best_way(source_rows))]
    return " ".join(lines)


COUNTED = (("ended", "ended by themselves"), ("limit", "hit the limit"),
           ("loop", "with a repetition loop"), ("broken", "with broken UTF-8"), ("empty", "empty"),
           ("json", "JSON requests whose answer parses"),
           ("right", "right, where a rule can judge"))


def kinds_of(prompts):
    return list(dict.fromkeys(prompt["kind"] for prompt in prompts))


def counts_table(prompts, columns):
    """columns: (title, rows of facts)."""
    names = (*COUNTED, *((kind, "&nbsp; " + kind.lower().replace("json", "JSON"))
                         for kind in kinds_of(prompts)))
    return table(("answers", *(title for title, _ in columns)),
                 [(what, *(str(Count(rows, name)) for _, rows in columns)) for name, what in names])


def way_text(way):
    return f"*{way.name}* (`{' '.join(way.options)}`)"


def file_row(title, path):
    data = pathlib.Path(path).read_bytes()
    return (title, os.path.basename(path), f"{len(data)} bytes ({len(data) / 1e6:.1f} MB)",
            f"`{hashlib.sha256(data).hexdigest()}`")


def shown_path(path):
    """From the project's root, as make has it; of files elsewhere the name."""
    path = pathlib.Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


HEAD = """# What to expect of the answers

Written by `make talk MODEL={model} SOURCE={source}`: what both files say to the same {n} prompts
(`tools/talk_prompts.json`), and what of it can be counted. Nothing on this page is written or
chosen by hand. The same files give the same page on every machine.

{files}

{version}. Every prompt goes through the model's chat template, and is answered by
`edgellm run FILE -p PROMPT -n {limit}` with

{ways}

What is not named there is as by default.

## In short

{summary}

## Counted

{counts}

- *Ended by itself*: an end token came before the limit of {limit} tokens.
- *Repetition loop*: somewhere a sequence of at most {period} tokens follows itself until there are
  at least {copies} copies, which together have at least {tokens} tokens.
- *Broken UTF-8*: the bytes don't decode; a last character that the limit cut in two doesn't count.
- *Parses*: the whole answer, or its first fenced block, is a JSON object or array.
- *Right*: an accepted word occurs in the answer as a word of its own, no excluded one does, and
  JSON that was asked for parses and has the keys. The prompts' file has these words. The rule is
  lenient: an answer that is nonsense around the accepted word is right.

## Longer answers

The same prompts with up to {long_limit} tokens, {long_ways} taken together, as
`tools/talk.py --check` asks them. It fails where the small file's rate is above its source's by
more than the margin.

{check}

## The answers

With {shown_way}. Cut to {shown} characters (…) here, not where they were counted.
Below an answer: *right* or *wrong* where a rule can judge, and what else was counted against it."""


def answers_section(prompts, small, source):
    lines = []
    for kind in kinds_of(prompts):
        lines += ["", f"### {kind}", ""]
        lines += table(("prompt", "small file", "its source"),
                       [(escape(prompt["prompt"]), cell(prompt, ours), cell(prompt, theirs))
                        for prompt, ours, theirs in zip(prompts, small, source)
                        if prompt["kind"] == kind])
    return "\n".join(lines)


def filled(text):
    """Paragraphs in lines of at most 100 characters; tables, lists and titles as they are."""
    return "\n\n".join(part if part[0] in "|#-" else textwrap.fill(
        part, 100, break_long_words=False, break_on_hyphens=False) for part in text.split("\n\n"))


def document(options, prompts):
    small, source = (ask_all(options, prompts, model, WAYS)
                     for model in (options.model, options.source))
    small_rows, source_rows = ([rows_of(prompts, answers) for answers in of]
                               for of in (small, source))
    columns = [(f"{way.name}: {who}", rows[i]) for i, way in enumerate(WAYS)
               for who, rows in (("small file", small_rows), ("its source", source_rows))]
    found = long_answers(options, prompts)
    head = HEAD.format(
        model=shown_path(options.model), source=shown_path(options.source), n=len(prompts),
        files="\n".join(table(("", "file", "size", "SHA-256"),
                              [file_row("small file", options.model),
                               file_row("its source", options.source)])),
        version=call(options.edgellm, "--version").decode().strip(), limit=WAYS[0].limit,
        ways="\n".join(f"- *{way.name}*: `{' '.join(way.options)}`" for way in WAYS),
        summary=summary(os.path.basename(options.model), small_rows, source_rows),
        counts="\n".join(counts_table(prompts, columns)), period=LOOP_PERIOD, copies=LOOP_COPIES,
        tokens=LOOP_TOKENS, long_limit=LONG[0].limit, long_ways=" and ".join(map(way_text, LONG)),
        check="\n".join(check_table(found)), shown_way=way_text(WAYS[0]), shown=SHOWN)
    return filled(head) + "\n" + answers_section(prompts, small[0], source[0]) + "\n"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--source", required=True, help="what MODEL was made from")
    parser.add_argument("--prompts", default=PROMPTS)
    parser.add_argument("-o", "--output", default=DOCUMENT)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("model", metavar="MODEL")
    return parser.parse_args()


def main():
    options = parse()
    try:
        prompts = read_prompts(options.prompts)
        if options.check:
            return check(options, prompts)
        temporary = pathlib.Path(f"{options.output}.tmp")
        temporary.write_text(document(options, prompts), encoding="utf-8")
        temporary.replace(options.output)
        return 0
    except Failed as failed:
        print(failed, file=sys.stderr)
        return failed.code
    except OSError as error:
        print(f"talk: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
