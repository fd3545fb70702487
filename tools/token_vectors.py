#!/usr/bin/env python3
"""Writes the small vocabulary and the vectors that tests/test_token.c reads.

    python3 tools/token_vectors.py tests/data

The vocabulary is trained here, on texts that token_texts.py makes. Expected ids come from Hugging
Face `tokenizers`; conversations are laid out by jinja2 with the settings that `transformers` uses.

All numbers are little-endian. A string is its length in bytes (u16) and its bytes; a list of ids
is its length (u16) and its ids (u16 each).
  token_vocab.bin    u32 tokens, u32 merges; for each token u8 type and its string; for each merge
                     u16 left, u16 right
  token_vectors.bin  u32 count, u32 pre-tokenizers, their names; then for each text: u8 flags, its
                     string, and for each pre-tokenizer a list of ids and the lengths of the
                     pieces that the whole text is cut in, in bytes (u8 each, as a string)
  token_chat.bin     u32 count; for each: template, u8 open_answer, u16 messages (role, content)
                     and a list of ids for pre-tokenizer smollm

Needs: pip install tokenizers==0.23.3 jinja2
"""
import json
import random
import struct
import sys

import jinja2
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import token_texts
from conformance_tokens import (BYTE_TO_CHAR, CONTROL, NORMAL, PLAIN, PRETOKENIZERS, SPECIAL, USER,
                                Vocabulary)

SIZE = 2000
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|end|>", "<|end|>ing", "<|e", "</s>",
            "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
            "<|system|>", "<|user|>", "<|assistant|>"]
PHI_TOKENS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
USERS = ["<tool_call>", "<tool"]
WHOLE = ["Ġunreachable", "unreachable"]  # tokens that no merge makes
MISSING = [0x00, 0x04, 0xC0, 0xC1, 0xF3, *range(0xF5, 0x100)]  # bytes without a token

TRICKY = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", "'", "''", "'s", "'S", "'ſ", "'ſabc", "it's IT'S it'S",
    "we'll WE'LL we'Ll they're THEY'RE I've I'VE I'm I'M I'd I'D don't DON'T", "'l", "'r", "'ve!",
    "hello  world", "hello   world  ", "  leading", "trailing  ", "a\n\nb", "a \n b", "a\r\n\r\nb",
    "x\u00a0y", "x \u3000 y", "\u2028\u2029", "\u0085\u0085x", "\tfoo", "\u3000foo", "!foo", "\nfoo",
    "1234567", "12 345 6", "a1b22c333d4444", "½²Ⅷ①", "\U00011de0\U00011de9 \U00016ff4", "٠١٢٣",
    "a\x00b", "!\x04!", "!\x04", "\x04", "e\x04\x04x", "\U000e0001x", "\U000f0000", "\U0010ffff",
    "<|im_end|>", "<|im_end", "<|end|>", "<|end|>ing", "<|end|>in", "<|<|end|>", "<tool_call>",
    "<tool", "a<tool_call", "x<|im_start|>user\nhi<|im_end|>\n", " unreachable", "unreachable",
    "!!!\n\n\nx", " !!!\r\n", "...\n", "\u200d", "\ufeff", "e\u0301 e\u0301", "가힣", "𝒜𝔅", "日本語",
    "\n \n", " \n\n  \n x", "   \r\n   ", "   \r\n   y", "    return x", "\u00a0 \u00a0x",
]

SMOL = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\n%DEFAULT%<|im_end|>\\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
TEMPLATES = [
    SMOL.replace("%DEFAULT%", "You are a patient machine, made for tests."),
    SMOL.replace("%DEFAULT%", "It\\'s a \\\\ test.\\n\\tSecond \"line\"."),
    SMOL.replace("%DEFAULT%", ""),
    # a first literal without a message, then one in double quotes; "-" trims
    """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- endif %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- "<|im_start|>system\\nThe model's own message.<|im_end|>\\n" }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role != "system" or not loop.first %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    # no message of its own
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # text outside of braces, with real line ends
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nPlain \\n text.<|im_end|>\n"
    "{{ '' }}{% endif %}{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # outside of braces, but the given message
    "{% for message in messages %}{% if message['role'] == 'system' %}<|im_start|>system\n"
    "{{ message['content'] }}<|im_end|>\n{{ '' }}{% else %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{{ '' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
]
LLAMA3 = """{% for message in messages %}
{%- if loop.first %}{{ bos_token }}{% endif -%}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
{{- (message['content'] | trim) + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}
"""
TEMPLATES += [
    LLAMA3,
    # with dates before every conversation
    """{%- if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}
{%- set given = '' %}
{%- if messages[0]['role'] == 'system' %}
    {%- set given = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- bos_token + '<|start_header_id|>system<|end_header_id|>\n\n' }}
{{- 'Cutting Knowledge Date: December 2023\n' + 'Today Date: ' + date_string + '\n\n' }}
{{- given + '<|eot_id|>' }}
""" + LLAMA3.replace("{% for", "{%- for").replace("{{ bos_token }}", ""),
]
# The forms that other families' templates have, where an answer is to be made.
PHI3 = """{% for m in messages %}
{%- if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '<|end|>\n' }}
{%- elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '<|end|>\n' }}
{%- else %}{{ '<|assistant|>\n' + m['content'] + '<|end|>\n' }}{% endif -%}
{% endfor %}{{ '<|assistant|>\n' }}"""
BITNET = """{{ bos_token }}{% for m in messages %}
{{- m['role'] | capitalize + ': ' + m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}{{ 'Assistant: ' }}"""
ZEPHYR = """{% for m in messages %}
{%- if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + eos_token + '\n' }}
{%- elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + eos_token + '\n' }}
{%- else %}{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}{% endif -%}
{% endfor %}{{ '<|assistant|>\n' }}"""
FALCON3 = """{% for m in messages %}
{%- if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '\n' }}
{%- elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '\n' }}
{%- else %}{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}{% endif -%}
{% endfor %}{{ '<|assistant|>\n' }}"""
LLAMA2 = """{% set ns = namespace(told='') %}{% for m in messages %}
{%- if m['role'] == 'system' %}{% set ns.told = '<<SYS>>\n' + m['content'] + '\n<</SYS>>\n\n' %}
{%- elif m['role'] == 'user' -%}
{{ bos_token + '[INST] ' + (ns.told + m['content']).strip() + ' [/INST]' }}{% set ns.told = '' %}
{%- else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif -%}
{% endfor %}"""
# Qwen 3: what was thought before the last question is left out, behind it between think tags.
QWEN3 = """{% set ns = namespace(last_query_index=0) %}
{%- for m in messages %}{% if m['role'] == 'user' %}
{%- set ns.last_query_index = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}
{%- if m['role'] != 'assistant' %}{{ m['content'] }}
{%- else %}{% set thought = m['content'].split('</think>')[0].rstrip('\n').split('<think>')[-1] %}
{%- set said = m['content'].split('</think>')[-1] %}{% set has = '</think>' in m['content'] %}
{%- if loop.index0 > ns.last_query_index and (loop.last or has and thought.strip('\n')) -%}
{{ '<think>\n' + (thought.strip('\n') if has else '') + '\n</think>\n\n' + said.lstrip('\n') }}
{%- else %}{{ said.lstrip('\n') if has else said }}{% endif %}{% endif %}{{ '<|im_end|>\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
TEMPLATES += [PHI3, BITNET, ZEPHYR, FALCON3, LLAMA2, QWEN3]
OPEN_ONLY = {PHI3, BITNET, ZEPHYR, FALCON3, LLAMA2}
CONVERSATIONS = [
    [("user", "Hello!")],
    [("user", "  spaces \n"), ("assistant", "1 and 2"), ("user", "")],
    [("system", "Be brief."), ("user", "What's 12 + 34?")],
    [("system", ""), ("user", "Straße, 東京 👍🏿")],
    [("user", "a"), ("system", "late"), ("assistant", "\n\nb")],
    [("user", "x"), ("assistant", "<think>\n\na, b\n</think>\n\nFirst."), ("user", "y"),
     ("assistant", "<think>\nc\n</think>\n\nSecond."), ("assistant", "</think>no<think></think>\n!")],
    [("system", " \u2003 "), ("user", "\x1c\u00a0 x \u200b\u3000\n"), ("assistant", "\u0085y\tz")],
]


def alternates(conversation):
    roles = [role for role, _ in conversation]
    roles = roles[1:] if roles[0] == "system" else roles
    return roles and all(role == ("user", "assistant")[i % 2] for i, role in enumerate(roles))


def fits(template, conversation, answer):
    if template == LLAMA2 and not alternates(conversation):
        return False
    return answer or template not in OPEN_ONLY


def train():
    r = random.Random(1)
    makers = [token_texts.prose, token_texts.prose, token_texts.code, token_texts.spaces]
    texts = [makers[i % 4](r) for i in range(6000)]
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet()
                if c not in {BYTE_TO_CHAR[b] for b in MISSING}]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRETOKENIZERS["gpt2"]()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIALS) - len(USERS) - len(WHOLE),
        initial_alphabet=sorted(alphabet), show_progress=False))
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.get)
    merges = [tuple(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    kinds = [CONTROL] * len(SPECIALS) + [NORMAL] * (len(tokens) + len(WHOLE)) + [USER] * len(USERS)
    tokens = SPECIALS + tokens + WHOLE + USERS
    assert len(set(tokens)) == len(tokens) == SIZE
    return Vocabulary(tokens, kinds, merges)


# ---- writing ----------------------------------------------------------------------------------


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H", len(data)) + data


def id_list(ids):
    return struct.pack(f"<H{len(ids)}H", len(ids), *ids)


def vocab_file(vocabulary):
    index = {t: i for i, t in reversed(list(enumerate(vocabulary.tokens)))}
    out = [struct.pack("<II", len(vocabulary.tokens), len(vocabulary.merges))]
    out += [bytes([kind]) + string(vocabulary.raw(i)) for i, kind in enumerate(vocabulary.types)]
    out += [struct.pack("<HH", index[a], index[b]) for a, b in vocabulary.merges]
    return b"".join(out)


def piece_lengths(name, text):
    pieces = PRETOKENIZERS[name]().pre_tokenize_str(text)
    return bytes(len(text[begin:end].encode()) for _, (begin, end) in pieces)


def vectors_file(vocabulary):
    made = token_texts.texts(280, 11, vocabulary.names())
    r = random.Random(5)
    for i, text in enumerate(made):
        at = r.randrange(max(1, len(text) - 40))
        made[i] = text[at:at + 40]
    cases = [(SPECIAL, t) for t in TRICKY + made] + [(PLAIN, t) for t in TRICKY if "<" in t]
    out = [struct.pack("<II", len(cases), len(PRETOKENIZERS))]
    out += [string(name) for name in PRETOKENIZERS]
    expected = {(name, flags): vocabulary.expect(name, [t for _, t in cases], flags)
                for name in PRETOKENIZERS for flags in (PLAIN, SPECIAL)}
    for i, (flags, text) in enumerate(cases):
        out.append(bytes([flags]) + string(text))
        for name in PRETOKENIZERS:
            out += [id_list(expected[name, flags][i]), string(piece_lengths(name, text))]
    return b"".join(out)


def chat_file(vocabulary):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    cases = [(t, c, o) for t in TEMPLATES for c in CONVERSATIONS for o in (False, True)
             if fits(t, c, o)]
    out = [struct.pack("<I", len(cases))]
    for template, conversation, answer in cases:
        messages = [{"role": r, "content": c} for r, c in conversation]
        text = environment.from_string(template).render(
            messages=messages, add_generation_prompt=answer, bos_token="<|begin_of_text|>",
            eos_token="</s>")
        out.append(string(template) + struct.pack("<BH", answer, len(messages)))
        out += [string(role) + string(content) for role, content in conversation]
        out.append(id_list(vocabulary.expect("smollm", [text], SPECIAL)[0]))
    return b"".join(out)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: token_vectors.py DIR")
    vocabulary = train()
    for name, data in (("vocab", vocab_file(vocabulary)), ("vectors", vectors_file(vocabulary)),
                       ("chat", chat_file(vocabulary))):
        with open(f"{sys.argv[1]}/token_{name}.bin", "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
