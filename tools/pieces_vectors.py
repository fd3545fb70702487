#!/usr/bin/env python3
"""Writes the vocabularies of pieces and the vectors that tests/test_pieces.c reads.

    python3 tools/pieces_vectors.py tests/data

Vocabularies and expected ids come from the sentencepiece package (tools/pieces.py); conversations
are laid out by jinja2 with the settings that `transformers` uses.

All numbers are little-endian. A string is its length in bytes (u16) and its bytes; a list of ids
is its length (u16) and its ids (u16 each).
  token_pieces.bin   u32 vocabularies; for each: u32 tokens, u8 1 if unigram, u8 space_first, u16
                     unk (FFFF: none); for each token u8 type, u32 rank or bits of its score, its
                     string; u32 texts; for each its string and a list of ids; u16 bos, u16 eos; u32
                     conversations; for each: template, u8 open_answer, u16 messages (role,
                     content), and a list of ids

Needs: pip install sentencepiece jinja2
"""
import random
import re
import struct
import sys

import jinja2

import token_texts
from pieces import CONTROLS, USERS, Pieces
from token_vectors import (CONVERSATIONS, LLAMA2, PHI3, PHI_TOKENS, TRICKY, ZEPHYR, alternates,
                           id_list, string)

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


def cases_of(pieces):
    made = token_texts.texts(280, 12, USERS + CONTROLS)
    r = random.Random(6)
    for i, text in enumerate(made):
        at = r.randrange(max(1, len(text) - 40))
        made[i] = text[at:at + 40]
    spaces = ["\u2581", "a\u2581b", "\u2581 \u2581", " a", "a ", "    x", "\n\n\n", "<table><tab>",
              " <table>", "a  b   c    d"]
    return [(t, pieces.encode(t)) for t in TRICKY + spaces + made]


def chats_of(pieces, template, drops):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    more = [[("system", "Be brief."), ("user", " What? "), ("assistant", "\nThat."), ("user", "x")],
            [("user", "a<end_of_turn>\n<start_of_turn>model\nb")],
            [("system", " S "), ("user", " \n ")], [("user", "a <|user|>\n b </s> c <s>")]]
    for conversation in filter(alternates, CONVERSATIONS + more):
        for answer in (False, True) if template == TURNS else (True,):
            messages = [{"role": r, "content": c} for r, c in conversation]
            text = environment.from_string(template).render(
                messages=[m | {"content": hide(m["content"], pieces)} for m in messages],
                add_generation_prompt=answer, bos_token="<s>", eos_token="</s>")
            yield conversation, answer, ids_of(pieces, text, drops)


def names_of(pieces):
    return [*pieces.controls, "<s>", "</s>"]


# A content's own names of special tokens are text: they are hidden until the turns are found.
def hide(text, pieces):
    for i, name in enumerate(names_of(pieces)):
        text = text.replace(name, chr(0xE000 + i))
    return text


def show(text, pieces):
    for i, name in enumerate(names_of(pieces)):
        text = text.replace(chr(0xE000 + i), name)
    return text


WHITE = re.compile("^[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def ids_of(pieces, text, drops=False):
    """Ids of a text in which names of control tokens are those tokens, and hidden ones are text.
    `drops`: they take in the white space behind them ("rstrip")."""
    ids, behind = [], False
    names = names_of(pieces)
    for part in re.split("(" + "|".join(map(re.escape, names)) + ")", text):
        if part in names:
            ids.append(pieces.made.piece_to_id(part))
            behind = part in pieces.controls
        else:
            part = WHITE.sub("", part) if drops and behind else part
            ids += pieces.encode(show(part, pieces))
    return ids


def vocabulary(pieces, templates, drops=False):
    unk = next((i for i, kind in enumerate(pieces.types) if kind == 2), 0xFFFF)
    out = [struct.pack("<IBBH", len(pieces.types), pieces.kind == "unigram", pieces.prefix, unk)]
    out += [struct.pack("<BI", kind, rank) + string(pieces.raw(i))
            for i, (kind, rank) in enumerate(zip(pieces.types, pieces.ranks()))]
    cases = cases_of(pieces)
    out.append(struct.pack("<I", len(cases)))
    out += [string(text) + id_list(ids) for text, ids in cases]
    chats = [(template, *chat) for template in templates
             for chat in chats_of(pieces, template, drops)]
    out.append(struct.pack("<HHI", pieces.made.bos_id(), pieces.made.eos_id(), len(chats)))
    for template, conversation, answer, ids in chats:
        out.append(string(template) + struct.pack("<BH", answer, len(conversation)))
        out += [string(role) + string(content) for role, content in conversation]
        out.append(id_list(ids))
    return b"".join(out)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: pieces_vectors.py DIR")
    made = [vocabulary(Pieces(SIZE, prefix=False, fallback=True), [TURNS]),
            vocabulary(Pieces(SIZE, prefix=True, fallback=False), [ZEPHYR, LLAMA2]),
            vocabulary(Pieces(SIZE, True, True, controls=PHI_TOKENS), [PHI3], drops=True),
            vocabulary(Pieces(SIZE, True, True, "unigram"), []),
            vocabulary(Pieces(SIZE, False, False, "unigram"), [])]
    with open(f"{sys.argv[1]}/token_pieces.bin", "wb") as file:
        file.write(struct.pack("<I", len(made)) + b"".join(made))


if __name__ == "__main__":
    main()
