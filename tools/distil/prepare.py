"""Everything that needs the tokenizer, made once: how texts begin, how turns are laid out, and the
rows of a task. The other steps read the JSON file that this writes, and need PyTorch alone."""
import ast
import json
import pathlib
import re

import tm2

from . import engine

BEGINNINGS = pathlib.Path(__file__).resolve().parents[2] / "src/offline/calibrate_seeds.c"


def beginnings(path=BEGINNINGS):
    """The quantiser's own lists, so that there is one: name -> texts."""
    source = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    lists = {}
    for name, body in re.findall(r"const char \*const (\w+)\[\] = \{(.*?)\n\};", source, re.S):
        items = re.findall(r'\(?((?:"(?:[^"\\]|\\.)*"\s*)+)\)?,', body)
        # As bytes: the lists write what is not ASCII as \xc3 and the like.
        lists[name] = [b"".join(ast.literal_eval("b" + s) for s in re.findall(
            r'"(?:[^"\\]|\\.)*"', item)).decode() for item in items]
    return lists


def common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return a[:n]


def layouts(model):
    """Tokens up to where a user's first message and a later one begin, and an answer."""
    def opened(flags):
        return common(model.chat([("user", "Anna")], flags), model.chat([("user", "boxes")], flags))
    try:
        return {"first": opened(0), "user": opened(engine.CONTINUE),
                "answer": model.chat([], engine.CONTINUE | engine.OPEN_ANSWER)}
    except RuntimeError:
        return None  # a model without a chat template


def task_rows(model, path):
    """(tokens, how many of them are the prompt) for each row of a JSON Lines file."""
    rows = []
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            messages = [(m["role"], m["content"]) for m in row["messages"]]
            answer = row["answer"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error!r}; a row is "
                             '{"messages": [{"role": ..., "content": ...}], "answer": ...}') from None
        prompt = model.chat(messages, engine.OPEN_ANSWER)
        closing = model.chat([], engine.CONTINUE | engine.OPEN_ANSWER)[:1]
        rows.append((prompt + model.tokens(answer) + closing, len(prompt)))
    return rows


def prepare(library, path, task=None):
    model, file = engine.Engine(library, path), tm2.TM2File(path)
    ends = [t for t in range(file.config["vocab"]) if model.is_end(t)]
    lists = beginnings()
    data = {name: [model.tokens(text) for text in texts] for name, texts in lists.items()}
    crlf = [text.replace("\n", "\r\n") for text in lists["openings"] if "\n" in text]
    data["crlf"] = [model.tokens(text) for text in crlf]
    types = file.vocab["types"]
    data["words"] = [t for t in range(file.config["vocab"]) if types[t] == 1]
    data["ends"], data["chat"] = ends, layouts(model)
    data["task"] = task_rows(model, task) if task else []
    return data
