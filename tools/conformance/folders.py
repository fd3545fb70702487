"""Judges Hugging Face folders as sources by the programs that write them.

    python folders.py --build BUILD --work DIR

transformers makes small random models (tiny.py) and saves them, in one file or in several, in every
dtype; `edgellm quantize` reads the folder. Weights: those of the TM2 file, read by the independent
reader, against those that transformers loads. Logits: exact mode against transformers' model of the
folder with the TM2 file's weights, KL below 1e-6 at every token. Tokens: byte-level vocabularies,
and pieces with a space before a text, against the tokenizer that transformers loads, other pieces
against sentencepiece, which trained them.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges

import levels
import measures
import reference
import tiny
from programs import Programs

import tm2  # noqa: E402  (reference.py knows where)
import token_texts
from conformance_tokens import CASED, CONTRACTION, IGNORE_MERGES
from pieces import CONTROLS, NORMAL, SPACE, USERS, Pieces

TOKENS = 100
TEXTS = 2000
AT_ONCE = 50
ALONE = 300  # texts that begin with a space or two among them
TIE = 1e-3   # sums of scores that single precision cannot tell apart
T1 = [c.name for c in tm2.CODECS].index("t1")
ROUNDED = 0.02  # most that 8 bits may change a matrix, relative

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN, GPT4O = CASED % ("", "", ""), CASED % (CONTRACTION, CONTRACTION, "{1,3}")

# the model of tiny.py; what else is other: vocabulary, dtype, one file or bytes of a shard
FOLDERS = {
    "llama": dict(model="committed", cut="smollm", dtype="bfloat16"),
    "llama of pieces": dict(model="q8", cut="spaced pieces", dtype="float32"),
    "llama3": dict(model="llama3", cut="llama3", dtype="float32", shard="40KB"),
    "qwen2": dict(model="qwen2", cut="qwen2", dtype="float16", shard="40KB"),
    "qwen3": dict(model="qwen3", cut="qwen2", dtype="bfloat16"),
    "gpt2's cutting": dict(model="qwen2", cut="gpt2", dtype="float32"),
    "tekken": dict(model="llama3", cut="tekken", dtype="bfloat16"),
    "gpt-4o": dict(model="qwen3", cut="gpt-4o", dtype="float16"),
    "gemma2": dict(model="gemma2", cut="pieces", dtype="bfloat16", shard="100KB"),
    "gemma3": dict(model="gemma3", cut="pieces", dtype="float32"),
    "mistral": dict(model="mistral", cut="spaced pieces", dtype="bfloat16"),
    "smollm3": dict(model="smollm3", cut="llama3", dtype="bfloat16"),
    "phi3": dict(model="phi3", cut="spaced pieces", dtype="bfloat16", shard="100KB"),
    "phi4": dict(model="phi4", cut="gpt-4o", dtype="float16"),
    "unigram": dict(model="q8", cut="unigram", dtype="float32"),
    "unigram words": dict(model="q8", cut="unigram of words", dtype="float32"),
    "unigram bare": dict(model="q8", cut="unigram bare", dtype="float32"),
    "unigram normal": dict(model="q8", cut="unigram normalized", dtype="float32"),
    # models of three levels, by the way in which they are kept (levels.py)
    "bitnet packed": dict(model="bitnet-b1.58", cut="llama3", dtype="bfloat16", levels="multiplied"),
    "bitnet floats": dict(model="bitnet-b1.58", cut="llama3", dtype="bfloat16", levels="unpacked"),
    "bitnet divided": dict(model="bitnet-b1.58", cut="llama3", dtype="float32", levels="divided"),
    "bitnet online": dict(model="bitnet latent", cut="llama3", dtype="bfloat16", levels="online"),
    "1bitllm": dict(model="bitnet silu", cut="spaced pieces", dtype="float16", levels="1bitllm"),
    "falcon-e": dict(model="falcon-e", cut="llama3", dtype="bfloat16", levels="head plain"),
    "qwen2 in parts": dict(model="qwen2 levels", cut="qwen2", dtype="bfloat16", levels="all but",
                           unused=8),
    "trilm": dict(model="trilm", cut="gpt2", dtype="float16", levels="floats"),
}


# ---- making ---------------------------------------------------------------------------------


def cutting(name):
    bytes_, split = pre_tokenizers.ByteLevel, lambda r: pre_tokenizers.Split(Regex(r), "isolated")
    return pre_tokenizers.Sequence({
        "smollm": [pre_tokenizers.Digits(individual_digits=True), bytes_(add_prefix_space=False)],
        "gpt2": [bytes_(add_prefix_space=False)],
        "llama3": [split(LLAMA3), bytes_(add_prefix_space=False, use_regex=False)],
        "qwen2": [split(QWEN2), bytes_(add_prefix_space=False, use_regex=False)],
        "tekken": [split(TEKKEN), bytes_(add_prefix_space=False, use_regex=False)],
        "gpt-4o": [split(GPT4O), bytes_(add_prefix_space=False, use_regex=False)]}[name])


def make_bytes(name, size=1500):
    made = Tokenizer(models.BPE(ignore_merges=name in IGNORE_MERGES))
    made.pre_tokenizer = cutting(name)
    made.train_from_iterator(token_texts.texts(3000, 1, tiny.SPECIAL), trainers.BpeTrainer(
        vocab_size=size, special_tokens=tiny.SPECIAL, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return made, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}, None


def make_pieces(name, size=3000):
    spaced = name == "spaced pieces"
    users = [t for t in USERS if SPACE not in t] if spaced else USERS
    pieces = Pieces(size, spaced, True, users=users)
    vocab = {text: i for i, text in enumerate(pieces.names)}
    scores = {text: score for text, score, kind
              in zip(pieces.names, pieces.scores, pieces.types) if kind == NORMAL}
    made = Tokenizer(models.BPE(vocab, generate_merges(vocab, scores), byte_fallback=True,
                                fuse_unk=True, unk_token="<unk>"))
    steps = [normalizers.Prepend(SPACE)] if pieces.prefix else []
    made.normalizer = normalizers.Sequence(steps + [normalizers.Replace(" ", SPACE)])
    made.add_special_tokens([AddedToken(t, special=True, rstrip=spaced and t in CONTROLS)
                             for t in ["<pad>", "</s>", "<s>", "<unk>", *CONTROLS]])
    made.add_tokens([AddedToken(t, normalized=False, lstrip=spaced and t == "<table>") for t in users])
    # sentencepiece puts no space behind a user's token, and strips nothing
    return made, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, None if spaced else pieces


UNIGRAMS = {  # is a space put before a text; do bytes stand for what is no piece; what becomes of spaces
    "unigram": (True, True, lambda: ([], pre_tokenizers.Metaspace(prepend_scheme="always", split=False))),
    "unigram of words": (True, False, lambda: ([], pre_tokenizers.Metaspace(prepend_scheme="first"))),
    "unigram bare": (False, True, lambda: ([], pre_tokenizers.Metaspace(prepend_scheme="never", split=False))),
    "unigram normalized": (True, True, lambda: (
        [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)], None)),
}


def make_unigram(name, size=3000):
    prefix, fallback, spaces = UNIGRAMS[name]
    pieces = Pieces(size, prefix, fallback, "unigram")
    steps, before = spaces()
    of_words = name == "unigram of words"
    vocab = [(text, score) for text, score in zip(pieces.names, pieces.scores)
             if not of_words or SPACE not in text[1:]]
    unknown = [text for text, _ in vocab].index("<unk>")
    made = Tokenizer(models.Unigram(vocab, unknown, fallback))
    made.normalizer = normalizers.Sequence(steps)
    if before:
        made.pre_tokenizer = before
    made.add_special_tokens([AddedToken(t, special=True, normalized=False)
                             for t in ["<pad>", "</s>", "<s>", "<unk>", *CONTROLS]])
    return made, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, None


def make(row, folder):
    """Saves model and tokenizer; returns the pieces' trainer or None."""
    shutil.rmtree(folder, ignore_errors=True)
    kind = make_unigram if row["cut"] in UNIGRAMS else \
        make_pieces if "pieces" in row["cut"] else make_bytes
    tokenizer, special, pieces = kind(row["cut"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    m = dict((tiny.MODELS | tiny.FOLDERS)[row["model"]], vocab=tokenizer.get_vocab_size() + row.get("unused", 5))
    model = tiny.make_model(m).to(getattr(torch, row["dtype"]))
    for config in (model.config, model.generation_config):
        if (config.eos_token_id or 0) >= m["vocab"]:  # the class's default is a real model's
            config.bos_token_id = config.pad_token_id = None
            config.eos_token_id = tokenizer.token_to_id(special["eos_token"])
    model.save_pretrained(folder, max_shard_size=row.get("shard", "1GB"))
    if "levels" in row:
        levels.change(folder, row["levels"])
    several = os.path.exists(os.path.join(folder, "model.safetensors.index.json"))
    if several != ("shard" in row):
        raise ValueError(f"{folder}: several files: {several}")
    return pieces


# ---- judging --------------------------------------------------------------------------------


def told(passed, name, what, line):
    print(f"{'ok  ' if passed else 'FAIL'} {name:16s} {what:8s} {line}", flush=True)
    return int(not passed)


def names_of(model):
    """{transformers' name: ours}"""
    architecture = reference.ARCHITECTURES[
        {"gemma3_text": "gemma3"}.get(model.config.model_type, model.config.model_type)]
    names = {"model.embed_tokens.weight": "token_embd.weight",
             "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    for i in range(model.config.num_hidden_layers):
        names |= {f"model.layers.{i}.{theirs}": f"blk.{i}.{ours}"
                  for ours, theirs in architecture.names.items()}
    return names, architecture


def fused(name, architecture):
    """The tensors of the TM2 file that one of the folder's became."""
    stem, part = name.rsplit(".", 2)[0], name.split(".", 2)[-1]
    theirs, parts = reference.FUSED.get(part, (None, ()))
    return [f"{stem}.{p}" for p in parts] if architecture.names.get(part) == theirs else []


def weights_of(file, name, architecture, model):
    if parts := fused(name, architecture):
        return np.concatenate([one_of(file, p, architecture, model) for p in parts])
    return one_of(file, name, architecture, model)


def rotary_of(config):
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rotation = getattr(config, "rope_parameters", None) or {}
    return int(head * rotation.get("partial_rotary_factor", 1.0))


def one_of(file, name, architecture, model):
    weight = file.table(name) if name in ("token_embd.weight", "output.weight") else \
        file.dequantize(name)
    config, part = model.config, name.split(".", 2)[-1]
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads,
             "attn_q_norm": 1, "attn_k_norm": 1}.get(part.split(".")[0])
    if "norm" in name or part.endswith("bias"):
        weight = weight[0]
    if heads:
        weight = reference.halves_from_pairs(weight, heads, rotary_of(config))
    return architecture.norm(weight) if "norm" in name else weight


def judge_weights(name, file, model):
    """Puts the file's weights into the model; are they its own, but for rounding?"""
    names, architecture = names_of(model)
    state, worst = {}, 0.0
    for theirs, weight in model.state_dict().items():
        if theirs == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        ours = weights_of(file, names[theirs], architecture, model)
        its = weight.numpy()
        worst = max(worst, np.linalg.norm(ours - its) / np.linalg.norm(its))
        state[theirs] = torch.from_numpy(np.ascontiguousarray(ours))
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    ours = {o for n in state for o in fused(names[n], architecture) or [names[n]]}
    left = {n for n in set(file.tensors) - ours if not n.startswith("rope_")}
    return told(worst < ROUNDED and not left, name, "weights",
                f"{len(state)} tensors, at most {worst:.1e} apart (< {ROUNDED:g}), "
                f"{len(left)} others")


def judge_levels(name, kind, file, model):
    """Matrices of three levels: every level, and the scale but for its rounding to fp16."""
    names, architecture = names_of(model)
    wrong, scale, judged = 0, 0.0, 0
    for theirs, weight in model.state_dict().items():
        if not levels.is_level(theirs, kind):
            continue
        ours, its = weights_of(file, names[theirs], architecture, model), weight.numpy()
        wrong += int((np.sign(ours) != np.sign(its)).sum())
        wrong += file.tensors[names[theirs]].codec != T1
        scale = max(scale, float(abs(ours[its != 0] / its[its != 0] - 1).max()))
        judged += its.size
    return told(wrong == 0 and judged > 0 and scale < 2 ** -11, name, "levels",
                f"{judged} weights, {wrong} on another level; scales {scale:.1e} apart (< {2 ** -11:.1e})")


def judge_own(name, programs, path, folder, model):
    """transformers' own classes for such weights."""
    own, ids = levels.load_own(folder, model), some_ids(model)
    passed, line = measures.compare(reference.logits(own, ids),
                                    programs.logits(path, ids, "--exact", "--decode"),
                                    measures.EXACT_KL, False)
    return told(passed, name, "logits", f"as transformers loads it: {line}")


def some_ids(model):
    return [int(i) for i in np.random.RandomState(1).randint(0, model.config.vocab_size, TOKENS)]


def judge_logits(name, programs, path, model):
    ids = some_ids(model)
    expected = reference.logits(model, ids)
    failed = 0
    for how in (["--exact", "--batch", "64"], ["--exact", "--decode"]):
        passed, line = measures.compare(expected, programs.logits(path, ids, *how),
                                        measures.EXACT_KL, False)
        failed += told(passed, name, "logits", f"{' '.join(how)}: {line}")
    return failed


def ids_of(programs, path, text, *options):
    done = subprocess.run([programs.edgellm, "tokenize", path, "--ids", *options],
                          input=text.encode(), stdout=subprocess.PIPE, check=True)
    return [int(i) for i in done.stdout.split()]


def judge_tokens(name, programs, path, folder, pieces):
    tokenizer = None if pieces else PreTrainedTokenizerFast.from_pretrained(folder)
    texts = token_texts.texts(TEXTS, 3, tiny.SPECIAL + CONTROLS + USERS[3:])
    wrong = 0
    for at in range(0, TEXTS, AT_ONCE):
        text = "\n".join(texts[at:at + AT_ONCE])
        # in a text that sentencepiece gets no name is a special token
        ids = ids_of(programs, path, text, *[] if pieces else ["--special"])
        expected = pieces.made.encode(text) if pieces else \
            tokenizer.encode(text, add_special_tokens=False)
        wrong += ids != expected
    by = "sentencepiece" if pieces else "transformers"
    return told(wrong == 0, name, "tokens",
                f"{TEXTS} texts, {AT_ONCE} at once, as {by} has them: {wrong} differ")


def judge_unigram(name, programs, path, folder):
    """By tokenizers, which adds scores in double precision, EdgeLLM and sentencepiece in single: of two
    ways that are equally good either may be taken."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as file:
        scores = [score for _, score in json.load(file)["model"]["vocab"]]
    texts = token_texts.texts(TEXTS, 3, CONTROLS)
    alone = [" " * (i % 3) + text for i, text in enumerate(texts[:ALONE])]
    wrong, ties = 0, 0
    for text in ["\n".join(texts[at:at + AT_ONCE]) for at in range(0, TEXTS, AT_ONCE)] + alone:
        ids = ids_of(programs, path, text, "--special")
        expected = tokenizer.encode(text, add_special_tokens=False)
        apart = abs(sum(scores[i] for i in ids) - sum(scores[i] for i in expected))
        wrong += ids != expected and apart > TIE
        ties += ids != expected and apart <= TIE
    return told(wrong == 0 and ties < 5, name, "tokens", f"{TEXTS} texts, {AT_ONCE} at once, and {ALONE} alone, "
                f"as transformers has them: {wrong} differ; {ties} in ways that are equally good")


def judge(programs, name, row, work):
    folder = os.path.join(work, "folder")
    pieces = make(row, folder)
    path = programs.quantize(folder, os.path.join(work, "folder.tm2.bin"), again=True)
    failed, kind, file = 0, row.get("levels"), tm2.TM2File(path)
    if kind:
        model = levels.load(folder, kind)
        failed += judge_levels(name, kind, file, model)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    failed += judge_weights(name, file, model)
    failed += judge_logits(name, programs, path, model)
    if levels.KINDS.get(kind) is not None:
        failed += judge_own(name, programs, path, folder, model)
    if row["cut"] in UNIGRAMS:
        return failed + judge_unigram(name, programs, path, folder)
    return failed + judge_tokens(name, programs, path, folder, pieces)


def chosen(names):
    return {name: row for name, row in FOLDERS.items() if not names or name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these folders")
    parser.add_argument("--build", required=True, help="folder with edgellm and tools/dump_logits")
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    programs = Programs(options.build)
    failed = sum(judge(programs, name, row, options.work) for name, row in chosen(options.names).items())
    print(f"folders: {failed} failed" if failed else "folders: all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
