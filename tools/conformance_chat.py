#!/usr/bin/env python3
"""Compares EdgeLLM's chat templates with transformers' apply_chat_template on 200 conversations each.

    python3 tools/conformance_chat.py MODEL.gguf --build BUILD --work DIR [--templates DIR]

Conversations are made here: with and without a system message, several turns, code, odd white
space, characters of every plane; for families that know them, tools, calls and what these gave,
laid out by the server's code. Templates are those that models have: the one in MODEL.gguf, those
that llama.cpp collects (--templates: its models/templates), and below, where they are short, the
rest. Vocabularies are trained here, byte-level or by sentencepiece as the family has them, with the
family's special tokens. Exit code 1 and the first differences if anything differs.

Needs: pip install transformers sentencepiece gguf
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys

import gguf
from transformers import PreTrainedTokenizerFast

import token_texts
from conformance_tokens import CONTROL, SPECIAL, Vocabulary
from pieces import Pieces
from pieces_vectors import TURNS, ids_of
from token_vectors import PHI_TOKENS, train

OPEN_ANSWER = 1
IM = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
LLAMA = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
BYTES, PIECES = "byte-level", "pieces"

# Of each family: how its vocabulary is made, its special tokens, the form EdgeLLM must see in it.
FAMILIES = {
    "SmolLM2": ("chatml", BYTES, IM, "smollm"),
    "Qwen-Qwen2.5-7B-Instruct": ("chatml", BYTES, IM, "qwen2"),
    "Qwen-Qwen3-0.6B": ("chatml", BYTES, IM, "qwen2"),
    "meta-llama-Llama-3.1-8B-Instruct": ("llama3", BYTES, LLAMA, "llama-bpe"),
    "meta-llama-Llama-3.2-3B-Instruct": ("llama3", BYTES, LLAMA, "llama-bpe"),
    "google-gemma-2-2b-it": ("gemma", PIECES, ["<start_of_turn>", "<end_of_turn>"], False),
    "Gemma 3": ("gemma", PIECES, ["<start_of_turn>", "<end_of_turn>"], False),
    "microsoft-Phi-3.5-mini-instruct": ("phi3", PIECES, PHI_TOKENS, True),
    "Phi 3, first form": ("phi3", PIECES, PHI_TOKENS, True),
    "BitNet b1.58 2B4T": ("bitnet", BYTES, LLAMA, "llama-bpe"),
    "TinyLlama": ("zephyr", PIECES, [], True),
    "Falcon 3": ("falcon3", BYTES, ["<|endoftext|>"], "falcon3"),
    "Falcon 3, roles as tokens": ("falcon3", BYTES, ["<|endoftext|>", *PHI_TOKENS[:3]], "falcon3"),
    "Llama 2": ("llama2", PIECES, [], True),
}
OWN = {
    "Gemma 3": TURNS,
    "Phi 3, first form":
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}"
        "{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}"
        "{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}"
        "{% endif %}{% endfor %}",
    "BitNet b1.58 2B4T":
        "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
        "message['role'] | capitalize + ': '+ message['content'] | trim + '<|eot_id|>' %}"
        "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
    "TinyLlama":
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + "
        "message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
        "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == "
        "'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
        "{% endfor %}",
    "Falcon 3":
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + "
        "message['content'] + '\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + "
        "message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last "
        "%}{{ '<|assistant|>\n' + message['content'] + eos_token + '\n' }}{% else %}"
        "{{ '<|assistant|>\n' + message['content'] + eos_token }}{% endif %}{% endif %}{% if "
        "loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}",
    "Llama 2":
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set "
        "system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
        "{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if "
        "loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + "
        "system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = "
        "message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + "
        "'[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
}
OWN["Falcon 3, roles as tokens"] = OWN["Falcon 3"]
NO_SYSTEM = {"google-gemma-2-2b-it", "Phi 3, first form"}
TOOLS = {"Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct",
         "meta-llama-Llama-3.2-3B-Instruct"}

# ---- conversations ----------------------------------------------------------------------------


def said(r, texts):
    text = r.choice(texts).replace("\0", "")
    around = lambda: "".join(r.choices([" ", "\n", "\t", "\u00a0", "\u2003", "\x1c", "\r\n"], k=r.randrange(3)))
    return r.choice([text, text, around() + text + around(), "", " "]) if r.random() < .5 else text


def thought(r, text):
    if r.random() < .5:
        return text
    return r.choice(["<think>\nfirst, {}\n</think>\n\n", "<think>\n\n</think>\n\n{}", "</think>\n{}",
                     "<think>a</think>\n"]).format(text[:20]) + text


def tool_of(r, i):
    properties = {token_texts.name(r): {"type": r.choice(["string", "integer", "boolean"]),
                                        "description": token_texts.prose(r).strip()}
                  for _ in range(r.randrange(1, 4))}
    return {"type": "function", "function": {
        "name": f"tool_{i}", "description": token_texts.prose(r).strip(),
        "parameters": {"type": "object", "properties": properties,
                       "required": sorted(properties)[:1]}}}


def call_of(r, tools):
    tool = r.choice(tools)["function"]
    arguments = {key: r.choice([token_texts.prose(r), r.randrange(1000), True, None, [1, "é"]])
                 for key in tool["parameters"]["properties"]}
    return {"id": "call", "type": "function",
            "function": {"name": tool["name"], "arguments": arguments}}


def conversation(r, texts, family, form):
    """Messages and tools, in OpenAI's form."""
    thinks = "Qwen3" in family
    tools = [tool_of(r, i) for i in range(r.randrange(1, 4))] if family in TOOLS and r.random() < .5 else None
    messages = []
    if family not in NO_SYSTEM and r.random() < .5:
        messages.append({"role": "system", "content": said(r, texts)})
    for turn in range(r.randrange(1, 5)):
        messages.append({"role": "user", "content": said(r, texts)})
        if tools and r.random() < .6:
            many = 1 if form == "llama3" else r.randrange(1, 4)
            content = "" if form == "llama3" or r.random() < .5 else "Well." + said(r, texts)
            calls = [call_of(r, tools) for _ in range(many)]
            messages.append({"role": "assistant", "content": thought(r, content) if thinks and content else content,
                             "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": "call", "content": said(r, texts)} for _ in calls]
            if form == "chatml" and r.random() < .3:
                break
        answer = said(r, texts)
        messages.append({"role": "assistant", "content": thought(r, answer) if thinks else answer})
    if messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": said(r, texts)})
    return messages, tools


# ---- EdgeLLM ----------------------------------------------------------------------------------


def layout(options, form, messages, tools):
    """Messages as the engine takes them: by the server's code where there are tools."""
    if not tools:
        return [(m["role"], m["content"]) for m in messages]
    body = json.dumps({"messages": messages, "tools": tools}, ensure_ascii=False)
    done = subprocess.run([f"{options.build}/tests/tool_text", form, "layout"], input=body.encode(),
                          stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"tool_text: {done.stdout.decode()}")
    return [tuple(m) for m in json.loads(done.stdout)]


def lay_out(options, path, talks):
    data = []
    for messages in talks:
        text = b"".join(role.encode() + b"\0" + content.encode() + b"\0" for role, content in messages)
        data.append(struct.pack("<I", len(text)) + text)
    out = subprocess.run([f"{options.build}/tests/chat_lines", path, "-", str(OPEN_ANSWER)],
                         input=b"".join(data), stdout=subprocess.PIPE, check=True).stdout
    return [[int(i) for i in line.split()] for line in out.decode().split("\n")[:-1]]


# ---- vocabularies -----------------------------------------------------------------------------


class ByteLevel:
    trained = None

    def __init__(self, specials, pre):
        ByteLevel.trained = ByteLevel.trained or train()
        v = ByteLevel.trained
        normal = [i for i, kind in enumerate(v.types) if kind not in (CONTROL, 4)]
        self.pre, self.names = pre, ["<bos>", "<eos>", *specials]
        self.bos = "<|begin_of_text|>" if "<|begin_of_text|>" in specials else "<bos>"
        self.eos = next((s for s in ("<|endoftext|>", "<|eot_id|>") if s in specials), "<eos>")
        self.made = Vocabulary(self.names + [v.tokens[i] for i in normal],
                               [CONTROL] * len(self.names) + [v.types[i] for i in normal], v.merges)

    def write(self, path, template):
        out = gguf.GGUFWriter(path, "llama")
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre(self.pre)
        out.add_token_list(self.made.tokens)
        out.add_token_types(self.made.types)
        out.add_token_merges([" ".join(m) for m in self.made.merges])
        out.add_bos_token_id(self.made.tokens.index(self.bos))
        out.add_eos_token_id(self.made.tokens.index(self.eos))
        finish(out, template)

    def encode(self, text):
        ours = {"llama-bpe": "llama3", "falcon3": "llama3"}.get(self.pre, self.pre)
        return self.made.expect(ours, [text], SPECIAL)[0]


class Scored:
    """Of sentencepiece. `drops`: special tokens take in the white space behind them, as Phi 3's."""

    def __init__(self, specials, prefix):
        self.pieces = Pieces(3000, prefix, True, controls=specials)
        self.names = ["<s>", "</s>", *specials]
        self.bos, self.eos, self.drops = "<s>", "</s>", specials == PHI_TOKENS

    def write(self, path, template):
        p = self.pieces
        out = gguf.GGUFWriter(path, "llama")
        out.add_tokenizer_model("llama")
        out.add_token_list(p.names)
        out.add_token_scores(p.scores)
        out.add_token_types(p.types)
        out.add_bos_token_id(p.made.bos_id())
        out.add_eos_token_id(p.made.eos_id())
        out.add_unk_token_id(p.made.unk_id())
        out.add_add_space_prefix(p.prefix)
        finish(out, template)

    def encode(self, text):
        return ids_of(self.pieces, text, self.drops)


def finish(out, template):
    out.add_chat_template(template)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.close()


# ---- the judge --------------------------------------------------------------------------------


def expected(vocabulary, template, messages, tools):
    judge = PreTrainedTokenizerFast(
        tokenizer_object=ByteLevel(IM, "smollm").made.reference("smollm"),
        bos_token=vocabulary.bos, eos_token=vocabulary.eos, chat_template=template)
    return [judge.apply_chat_template(m, tools=t, tokenize=False, add_generation_prompt=True,
                                      date_string="26 Jul 2024") for m, t in zip(messages, tools)]


def judge(options, family, template):
    form, kind, specials, more = FAMILIES[family]
    vocabulary = ByteLevel(specials, more) if kind == BYTES else Scored(specials, more)
    r = random.Random(family)
    texts = [t for t in token_texts.texts(2000, 7, ["<table>"]) if not any(n in t for n in vocabulary.names)]
    made = [conversation(r, texts, family, form) for _ in range(options.count)]
    messages, tools = [m for m, _ in made], [t for _, t in made]
    wanted = expected(vocabulary, template, messages, tools)
    path = os.path.join(options.work, "chat.gguf")
    vocabulary.write(path, template)
    found = lay_out(options, path, [layout(options, form, *talk) for talk in made])
    wrong = [i for i in range(len(made)) if i >= len(found) or found[i] != vocabulary.encode(wanted[i])]
    for i in wrong[:3]:
        print(f"  {messages[i]}\n    {tools[i]}\n    {wanted[i]!r}\n    wanted {vocabulary.encode(wanted[i])}\n"
              f"    got    {found[i] if i < len(found) else None}")
    some = sum(1 for t in tools if t)
    print(f"{'FAIL' if wrong else 'ok  '} {family} ({form}): {len(made)} conversations"
          f"{f', {some} with tools' if some else ''}, {len(wrong)} differ", flush=True)
    return not wrong


def templates_of(options):
    found = dict(OWN)
    found["SmolLM2"] = gguf.GGUFReader(options.model).fields["tokenizer.chat_template"].contents()
    for family in FAMILIES:
        path = os.path.join(options.templates or "", family + ".jinja")
        if options.templates and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found[family] = file.read()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    parser.add_argument("--templates", help="llama.cpp's models/templates")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", help="families whose names have this in them")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    templates = templates_of(options)
    right = True
    for family in FAMILIES:
        if options.only and options.only not in family:
            continue
        if family in templates:
            right &= judge(options, family, templates[family])
        else:
            print(f"     {family}: not judged, no --templates that has it")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
