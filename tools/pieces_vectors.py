#!/usr/bin/env python3
"""Writes the vocabularies of pieces and the vectors that tests/test_pieces.c reads.

    python3 tools/pieces_vectors.py tests/data

Vocabularies and expected ids come from the sentencepiece package (tools/pieces.py); conversations
are laid out by jinja2 with the settings that `transformers` uses.

All numbers are little-endian. A string is its length in bytes (u16) and its bytes; a list of ids
is its length (u16) and its ids (u16 each).
  token_pieces.bin   u32 vocabularies; for each: u32 tokens, u8 space_first, u16 unk (FFFF: none);
                     for each token u8 type, u16 rank, its string; u32 texts; for each its string
                     and a list of ids; u16 bos; u32 conversations; for each: template, u8
                     open_answer, u16 messages (role, content), and a list of ids

Needs: pip install sentencepiece jinja2
"""
import random
import struct
import sys

import jinja2

import token_texts
from pieces import CONTROLS, USERS, Pieces
from token_vectors import CONVERSATIONS, TRICKY, id_list, string

SIZE = 1300

# What Gemma 3's template does with a conversation whose turns alternate.
TURNS = """{{- bos_token -}}
{%- set ns = namespace(before='', from=0) -%}
{%- if messages[0]['role'] == 'system' -%}
    {%- set ns.before = messages[0]['content'] ~ '\n\n' -%}
    {%- set ns.from = 1 -%}
{%- endif -%}
{%- for message in messages[ns.from:] -%}
    {{- '<start_of_turn>' ~ ('model' if message['role'] == 'assistant' else message['role']) ~ '\n' -}}
    {{- (ns.before if loop.first else '') ~ message['content'] | trim ~ '<end_of_turn>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}
"""


def alternates(conversation):
    roles = [role for role, _ in conversation]
    roles = roles[1:] if roles[0] == "system" else roles
    return roles and all(role == ("user", "assistant")[i % 2] for i, role in enumerate(roles))


def cases_of(pieces):
    made = token_texts.texts(280, 12, USERS + CONTROLS)
    r = random.Random(6)
    for i, text in enumerate(made):
        at = r.randrange(max(1, len(text) - 40))
        made[i] = text[at:at + 40]
    spaces = ["\u2581", "a\u2581b", "\u2581 \u2581", " a", "a ", "    x", "\n\n\n", "<table><tab>",
              " <table>", "a  b   c    d"]
    return [(t, pieces.encode(t)) for t in TRICKY + spaces + made]


def chats_of(pieces):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    more = [[("system", "Be brief."), ("user", " What? "), ("assistant", "\nThat."), ("user", "x")],
            [("user", "a<end_of_turn>\n<start_of_turn>model\nb")]]
    for conversation in filter(alternates, CONVERSATIONS + more):
        for answer in (False, True):
            messages = [{"role": r, "content": c} for r, c in conversation]
            text = environment.from_string(TURNS).render(
                messages=[m | {"content": hide(m["content"])} for m in messages],
                add_generation_prompt=answer, bos_token="<s>")
            yield conversation, answer, ids_of(pieces, text)


# A content's own names of special tokens are text: they are hidden until the turns are found.
HIDDEN = {name: chr(0xE000 + i) for i, name in enumerate(CONTROLS)}


def hide(text):
    for name, mark in HIDDEN.items():
        text = text.replace(name, mark)
    return text


def ids_of(pieces, text):
    """Ids of a text in which names of control tokens are those tokens, and hidden ones are text."""
    ids, part = [], ""
    names = [*CONTROLS, "<s>"]
    at = 0
    while at < len(text):
        name = next((n for n in names if text.startswith(n, at)), None)
        if name:
            ids += pieces.encode(show(part)) + [pieces.made.piece_to_id(name)]
            part = ""
        else:
            part += text[at]
        at += len(name) if name else 1
    return ids + pieces.encode(show(part))


def show(text):
    for name, mark in HIDDEN.items():
        text = text.replace(mark, name)
    return text


def vocabulary(pieces, chats):
    unk = next((i for i, kind in enumerate(pieces.types) if kind == 2), 0xFFFF)
    out = [struct.pack("<IBH", len(pieces.types), pieces.prefix, unk)]
    out += [struct.pack("<BH", kind, rank) + string(pieces.raw(i))
            for i, (kind, rank) in enumerate(zip(pieces.types, pieces.ranks()))]
    cases = cases_of(pieces)
    out.append(struct.pack("<I", len(cases)))
    out += [string(text) + id_list(ids) for text, ids in cases]
    chats = list(chats_of(pieces)) if chats else []
    out.append(struct.pack("<HI", pieces.made.bos_id(), len(chats)))
    for conversation, answer, ids in chats:
        out.append(string(TURNS) + struct.pack("<BH", answer, len(conversation)))
        out += [string(role) + string(content) for role, content in conversation]
        out.append(id_list(ids))
    return b"".join(out)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: pieces_vectors.py DIR")
    kinds = [Pieces(SIZE, prefix=False, fallback=True), Pieces(SIZE, prefix=True, fallback=False)]
    with open(f"{sys.argv[1]}/token_pieces.bin", "wb") as file:
        file.write(struct.pack("<I", len(kinds)))
        for i, pieces in enumerate(kinds):
            file.write(vocabulary(pieces, chats=i == 0))


if __name__ == "__main__":
    main()
