"""Judges our logits by transformers' on the same weights and tokens.

    python logits.py --build BUILD --work DIR [--gguf MODEL.gguf]

Exact mode, in one pass and token by token: KL below 1e-6 at every token, and the same largest
logit. Int8 activations: on texts mean KL below 0.02, and the same largest logit wherever it leads
clearly; on tiny random models the logits of the int8 contract written a second time
(contract.py). Without --gguf only the tiny models are judged.
"""
import argparse
import os
import sys

import torch

import contract
import measures
import reference
import tiny
from programs import Programs

TOKENS = 64         # of a text
TINY_TOKENS = 150   # for a tiny model: more than two of the attention's blocks of 64 positions
PIECE = 10          # of those, computed apart when the int8 contract is judged
CONTRACT_KL = 5e-4  # mean: what flips of single roundings leave
UNFLIPPED = 1e-9    # KL of tokens that no flip has reached

FORMS = [  # of the tiny models' weights: every codec, both kinds of scales, every group
    ["--bits", "2", "--group", "64", "--scales", "byte"],
    ["--bits", "2", "--group", "32", "--offset"],
    ["--bits", "3", "--group", "128", "--scales", "f16"],
    ["--bits", "3", "--group", "32", "--offset", "--scales", "byte"],
    ["--bits", "4", "--group", "row", "--scales", "byte"],
    ["--bits", "4", "--group", "64", "--offset", "--embedding-bits", "8"],
    ["--bits", "8", "--group", "64"],
    ["--bits", "8", "--group", "128", "--offset", "--scales", "byte", "--embedding-bits", "3"],
]

TEXTS = [
    "The capital of France is Paris, and the capital of Italy is Rome. In the north of the "
    "country the mountains are high and the winters are long; in the south, people live by the "
    "sea and the summers are dry. Trains connect the larger towns every hour until midnight, "
    "and buses serve the villages between them.",
    "<|im_start|>user\nWrite a function that adds two numbers.<|im_end|>\n<|im_start|>assistant\n"
    "```python\ndef add(a: int, b: int) -> int:\n    \"\"\"Return a + b.\"\"\"\n    return a + b\n"
    "```\nCall it as `add(2, 3)`, which gives 5. It works for floats as well, and for strings.",
    "Pressure 4.25 bar, temperature 71 °C, 1,450 rpm; alarm at 6.0 bar. Prüfung am 03.11.2024 "
    "bestanden — naïve Schätzung: 12 % Verschleiß. 日本語のテキスト 🙂 and some\ttabs,\r\n"
    "line ends and   spaces. Ende der Meldung.",
]

# how, options of dump_logits, KL limit, rounded (see measures.compare)
EXACT_MODES = [
    ("exact, one pass", ["--exact", "--batch", "64"], measures.EXACT_KL, False),
    ("exact, batches of 7", ["--exact", "--batch", "7"], measures.EXACT_KL, False),
    ("exact, one by one", ["--exact", "--decode"], measures.EXACT_KL, False),
]
INT8_MODES = [
    ("int8, one pass", ["--batch", "64"], measures.INT8_KL, True),
    ("int8, one by one", ["--decode"], measures.INT8_KL, True),
]


def judge(programs, label, tm2, ids, expected, modes):
    """Prints a line per mode; returns how many failed."""
    failed = 0
    for how, options, limit, rounded in modes:
        ours = programs.logits(tm2, ids, *options)
        passed, line = measures.compare(expected, ours, limit, rounded)
        print(f"{'ok  ' if passed else 'FAIL'} {label:58s} {how:20s} {line}", flush=True)
        failed += not passed
    return failed


def judge_contract(programs, label, tm2, ids, model):
    """Both round alike, but sums in another order flip a rounding now and then, and all later
    tokens see it. Up to the first flip the logits are the same, so many short pieces are
    computed; after it they are close, over the whole length too."""
    contract.apply(model)
    whole = measures.kl(reference.logits(model, ids), programs.logits(tm2, ids)).mean()
    pieces = [ids[i:i + PIECE] for i in range(0, len(ids), PIECE)]
    same = sum(int((measures.kl(reference.logits(model, p), programs.logits(tm2, p))
                    < UNFLIPPED).sum()) for p in pieces)
    passed = same >= len(ids) // 2 and whole < CONTRACT_KL
    print(f"{'ok  ' if passed else 'FAIL'} {label:58s} against the contract KL mean "
          f"{whole:.1e} (< {CONTRACT_KL:g}), {same}/{len(ids)} tokens < {UNFLIPPED:g}", flush=True)
    return int(not passed)


def judge_tiny(programs, name, work):
    """What TM2 takes over as it is, against the GGUF file's own weights."""
    source = os.path.join(work, f"tiny-{name}.gguf")
    tiny.make(name, source)
    tm2 = programs.quantize(source, os.path.join(work, f"tiny-{name}.tm2.bin"))
    ids = tiny.ids_for(name, TINY_TOKENS)
    model = reference.load(source, None if name in tiny.LOSSLESS else tm2)
    failed = judge(programs, f"tiny {name}", tm2, ids, reference.logits(model, ids), EXACT_MODES)
    return failed + judge_contract(programs, f"tiny {name}", tm2, ids, model)


def judge_form(programs, name, form, work):
    """Rounded weights, read from the TM2 file by the independent reader."""
    source = os.path.join(work, f"tiny-{name}.gguf")
    tm2 = programs.quantize(source, os.path.join(work, f"tiny-{name}-form.tm2.bin"), *form,
                            again=True)
    ids = tiny.ids_for(name, TINY_TOKENS)
    model = reference.load(source, tm2)
    label = " ".join(form).replace("--", "")
    failed = judge(programs, label, tm2, ids, reference.logits(model, ids), EXACT_MODES[:1])
    return failed + judge_contract(programs, label, tm2, ids, model)


def judge_real(programs, source, work):
    model, tokenizer = reference.load(source), reference.tokenizer(source)
    tm2 = programs.quantize(source, os.path.join(work, "lossless.tm2.bin"))
    failed = 0
    for i, text in enumerate(TEXTS):
        ids = tokenizer.encode(text).ids[:TOKENS]
        if len(ids) < TOKENS:
            raise ValueError(f"text {i} has only {len(ids)} tokens")
        expected = reference.logits(model, ids)
        failed += judge(programs, f"text {i}", tm2, ids, expected, EXACT_MODES + INT8_MODES)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="folder with edgellm and tools/dump_logits")
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    parser.add_argument("--gguf", help="a llama model whose tensors TM2 can hold without loss")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    os.makedirs(options.work, exist_ok=True)
    programs = Programs(options.build)
    failed = sum(judge_tiny(programs, name, options.work) for name in tiny.MODELS)
    for i, form in enumerate(FORMS):
        failed += judge_form(programs, list(tiny.MODELS)[i % len(tiny.MODELS)], form, options.work)
    if options.gguf:
        failed += judge_real(programs, options.gguf, options.work)
    print(f"logits: {failed} failed" if failed else "logits: all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
