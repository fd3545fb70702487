#!/usr/bin/env python3
"""`edgellm quantize` of a Hugging Face folder, from outside: the model is the one that the GGUF file
gives which the folder was made from (tests/support/hf_folder.py), for every architecture and dtype,
and what is wrong with a folder is said.

    python3 tests/test_folder.py EDGELLM MAKE_TINY OUT_DIR [sanitized]

Standard library only.
"""
import json
import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE / "support"), str(HERE.parent / "tools")]
import hf_folder  # noqa: E402
import tm2  # noqa: E402  (the independent reader)

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
IO, FORMAT, UNSUPPORTED = 3, 4, 5
NAMES = ("tiny", "llama3", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "smollm3",
         "phi3", "phi4")
ROUNDED = ("--bits", "8", "--group", "32", "--calibrate", "none")
# Of the tiny Gemmas' pieces these have a character that is none: scores join it, merges cannot.
RENAMED = {"\u2581w": "w", "\u2581b": "b"}
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


def edgellm(*arguments):
    return subprocess.run([EDGELLM, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def gguf(name):
    return HERE / "data" / f"conformance_{name}.gguf"


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)


def read(name):
    model = hf_folder.read(gguf(name))
    values = model["values"]
    values["tokenizer.ggml.tokens"] = [RENAMED.get(t, t) for t in values["tokenizer.ggml.tokens"]]
    return model


def named_alike(vocab):
    if vocab["ranks"]:
        names = {k.replace("\u2581", " ").encode(): v.encode() for k, v in RENAMED.items()}
        vocab = vocab | {"tokens": [names.get(t, t) for t in vocab["tokens"]], "n_bytes": 0,
                         "ranks": None}
    return vocab


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)

    def ok(self, *arguments):
        done = edgellm(*arguments)
        self.assertEqual(done.returncode, 0, (arguments, done.stderr.decode()))
        return done.stdout.decode()

    def made(self, source, *options, name="made.tm2.bin"):
        target = self.place / name
        self.ok("quantize", source, "-o", target, "-q", *options)
        return target

    def same_ranks(self, ours, theirs, merges):
        """Of pieces that merges give; no other rank is ever asked for."""
        given = {"".join(pair).replace("\u2581", " ").encode() for pair in merges}
        def order(vocab):
            ranks = [r for t, r in zip(vocab["tokens"], vocab["ranks"]) if t in given]
            places = {r: i for i, r in enumerate(sorted(set(ranks)))}
            return [places[r] for r in ranks]
        self.assertGreater(len(given), 3)
        self.assertEqual(order(ours), order(theirs))

    def same_model(self, folder, source, merges=()):
        """Two files hold the same model; how it is called, and in which order, is theirs."""
        a, b = tm2.TM2File(folder), tm2.TM2File(source)
        self.assertEqual(a.config | {"name": ""}, b.config | {"name": ""})
        if a.vocab["ranks"]:
            self.same_ranks(a.vocab, b.vocab, merges)
        self.assertEqual(named_alike(a.vocab), named_alike(b.vocab))
        self.assertEqual(a.template, b.template)
        self.assertEqual(set(a.tensors), set(b.tensors))
        for name in a.tensors.keys() - {"rope_freqs.weight"}:
            self.assertEqual(bytes(a.bytes_of(a.tensors[name])),
                             bytes(b.bytes_of(b.tensors[name])), name)
        if "rope_freqs.weight" in a.tensors:  # others compute it in floats
            mine, its = (struct.unpack(f"<{len(raw) // 4}f", raw) for raw in (
                bytes(f.bytes_of(f.tensors["rope_freqs.weight"])) for f in (a, b)))
            self.assertEqual(len(mine), len(its))
            self.assertLess(max(abs(x / y - 1) for x, y in zip(mine, its)), 1e-5)


class TheSameModel(Case):
    def compare(self, name, **options):
        model, folder = read(name), self.place / "folder"
        hf_folder.write(model, folder, **options)
        merges = hf_folder.tokenizer_of(model)["model"]["merges"]
        self.same_model(self.made(folder, *ROUNDED),
                        self.made(gguf(name), *ROUNDED, name="gguf.tm2.bin"), merges)

    def test_of_every_architecture(self):
        for name in NAMES:
            with self.subTest(name):
                shutil.rmtree(self.place / "folder", ignore_errors=True)
                self.compare(name)

    def config_without(self, name, *keys, **new):
        """The numbers of the model whose config.json says nothing of these."""
        folder = self.place / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        hf_folder.write(read(name), folder, config=new)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps({k: v for k, v in config.items() if k not in keys}))
        return tm2.TM2File(self.made(folder)).config

    def test_defaults_of_classes(self):
        """What transformers' configurations of the classes have if nobody says otherwise."""
        for name, eps, base in (("tiny", 1e-6, 1e4), ("smollm3", 1e-6, 2e6), ("phi3", 1e-5, 1e4)):
            with self.subTest(name):
                config = self.config_without(name, "rms_norm_eps", "rope_theta",
                                             "tie_word_embeddings" if name != "tiny" else "")
                self.assertEqual(config["rope_base"], base)
                self.assertAlmostEqual(config["norm_eps"], eps, delta=1e-12)

    def test_windows(self):
        long = {"max_position_embeddings": 8192}
        self.assertEqual(self.config_without("mistral", "sliding_window", **long)["window"], 4096)
        self.assertEqual(self.config_without("mistral", **long, sliding_window=None)["window"], 0)
        self.assertEqual(self.config_without("mistral", **long, sliding_window=9000)["window"], 0)

    def test_every_other_way_to_say_it(self):
        for new in ({"no_rope_layers": [1, 1, 1, 0, 1]}, {"no_rope_layer_interval": 4}):
            self.config_without("smollm3", **new)
        self.config_without("phi3", rope_parameters=hf_folder.phi3_of(read("phi3"), 16)[
            "rope_scaling"] | {"rope_type": "su", "partial_rotary_factor": 1.0})

    def test_in_shards(self):
        self.compare("qwen3", shards=3)
        self.assertFalse((self.place / "folder" / "model.safetensors").exists())

    def test_of_every_dtype(self):
        model = read("tiny")
        for dtype in ("BF16", "F16"):
            with self.subTest(dtype):
                hf_folder.write(model, self.place / dtype, dtype=dtype)
                hf_folder.write(hf_folder.rounded(model, dtype), self.place / (dtype + "-floats"))
                self.same_model(self.made(self.place / dtype),
                                self.made(self.place / (dtype + "-floats"), name="f.tm2.bin"))

    def test_calibrated(self):
        source = self.place / "source.gguf"
        subprocess.run([MAKE_TINY, source, "f32"], check=True, timeout=60)
        hf_folder.write(hf_folder.read(source), self.place / "folder")
        little = ("--bits", "2", "--group", "64", "--length", "16", "--sequences", "4", "--steps",
                  "3", "-j", "1", "--max-kl", "100")
        self.same_model(self.made(self.place / "folder", *little),
                        self.made(source, *little, name="gguf.tm2.bin"))

    def test_is_judged_by_the_folder(self):
        folder, text = self.place / "folder", self.place / "text"
        hf_folder.write(read("tiny"), folder)
        text.write_text("the quick brown fox jumps over the lazy dog, and again. " * 8)
        told = json.loads(self.ok("perplexity", self.made(folder), text, "--exact", "--json", "-c",
                                  "32", "--against", folder, "--cache", "none"))
        self.assertLess(abs(told["kl"]), 1e-6, told)
        self.assertEqual(told["top1"], 1.0, told)

    def test_names_end_an_answer(self):
        """Beside eos, which is any token, those whose names say so."""
        folder = self.place / "folder"
        hf_folder.write(read("tiny"), folder)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2, 40]}))
        self.assertEqual(tm2.TM2File(self.made(folder)).vocab["eos"], 40)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [40, 41]}))
        done = edgellm("quantize", folder, "-o", self.place / "no.tm2.bin")
        self.assertEqual(done.returncode, UNSUPPORTED)
        self.assertIn(b"tokens 40 and 41", done.stderr)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 301}))
        done = edgellm("quantize", folder, "-o", self.place / "no.tm2.bin")
        self.assertEqual(done.returncode, FORMAT)
        self.assertIn(b"'eos_token_id' is 301, which is no token", done.stderr)

    def test_chat_template_in_a_file(self):
        folder = self.place / "folder"
        hf_folder.write(read("tiny"), folder)
        (folder / "chat_template.jinja").write_text("{{ messages }}")
        self.assertEqual(tm2.TM2File(self.made(folder)).template, "{{ messages }}")


    def test_flags_of_added_tokens(self):
        """As they are there; where a space is put before each part, only where it makes a difference is
        that told from what SentencePiece does."""
        for name, spaces in (("tiny", (0, 0, 0)), ("mistral", (1, 4, 4))):
            folder, model = self.place / name, read(name)
            hf_folder.write(model, folder)
            plain = tm2.TM2File(self.made(folder)).vocab
            made = json.loads((folder / "tokenizer.json").read_text())
            made["added_tokens"] = [t for t in made["added_tokens"] if t["special"]]
            first, last = made["added_tokens"][0], made["added_tokens"][-1]
            def vocab(**flags):
                last.update(flags)
                (folder / "tokenizer.json").write_text(json.dumps(made))
                return tm2.TM2File(self.made(folder)).vocab
            flagged = vocab(rstrip=True, lstrip=False, single_word=True)
            self.assertEqual((flagged["flags"], flagged["space_first"]), ({last["id"]: 5}, spaces[0]))
            self.assertEqual([t for t in flagged["tokens"]], plain["tokens"])
            normal = vocab(rstrip=False, normalized=True)
            self.assertEqual((normal["flags"], normal["space_first"]), ({last["id"]: 12}, spaces[1]))
            first["lstrip"], first["special"] = True, False
            last["special"] = False
            both = vocab(normalized=False, single_word=False)
            self.assertEqual((both["flags"], both["space_first"]), ({first["id"]: 2}, spaces[2]))

    def test_nfc(self):
        folder = self.place / "folder"
        hf_folder.write(read("tiny"), folder)
        plain = self.made(folder)
        made = json.loads((folder / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps(made | {"normalizer": {"type": "NFC"}}))
        normal = self.made(folder, name="normal.tm2.bin")
        self.assertEqual([tm2.TM2File(f).vocab["nfc"] for f in (plain, normal)], [0, 1])
        def ids(target, text):
            done = subprocess.run([EDGELLM, "tokenize", target, "--ids"], check=True, input=text.encode(),
                                  stdout=subprocess.PIPE, timeout=60)
            return done.stdout.split()
        apart, whole = "e\u0301 \u1100\u1161", "\u00e9 \uac00"
        self.assertEqual(ids(normal, apart), ids(plain, whole))
        self.assertEqual(ids(normal, whole), ids(plain, whole))
        self.assertNotEqual(ids(plain, apart), ids(plain, whole))

    def test_added_tokens_beyond_the_embedding(self):
        """Gemma 3 has one for pictures: a text cannot be it, and nothing else changes."""
        folder = self.place / "folder"
        hf_folder.write(read("tiny"), folder)
        plain = tm2.TM2File(self.made(folder)).vocab
        made = json.loads((folder / "tokenizer.json").read_text())
        made["added_tokens"].append({"id": 301, "content": "<picture>", "special": True})
        made["model"]["vocab"]["<picture>"] = 301
        (folder / "tokenizer.json").write_text(json.dumps(made))
        target = self.made(f"{folder}/")
        self.assertEqual(tm2.TM2File(target).vocab, plain)
        manifest = json.loads(tm2.TM2File(target).manifest)
        self.assertEqual(manifest["source"]["file"], "folder/")
        self.assertEqual(manifest["source"]["bytes"],
                         sum(p.stat().st_size for p in folder.iterdir()))


def levels_of(shape, floats, dtype):
    """What BitNet rounds floats to whenever it computes, by its description: -m, 0 and m, m the mean of
    their magnitudes in the type that they have."""
    mean = math.fsum(map(abs, floats)) / len(floats)
    level = hf_folder.unpack(hf_folder.pack([mean], dtype), dtype)[0] if dtype != "BF16" else \
        nearest_bf16(mean)
    return shape, [0.0 if abs(x) <= mean / 2 else math.copysign(level, x) for x in floats]


def nearest_bf16(x):
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16))[0]


def unigram_of(model, scheme="always", fallback=True):
    """tokenizer.json of SentencePiece's other model, with as many pieces as the model has tokens."""
    pieces = ["<unk>", "\u2581", *"abcdefgh", "\u2581ab", "ab", "\u2581a"]
    pieces += [f"<0x{i:02X}>" for i in range(256)]
    pieces += [f"\u2581{i}" for i in range(len(model["values"]["tokenizer.ggml.tokens"]) - len(pieces))]
    return {"added_tokens": [{"id": 0, "content": "<unk>", "special": True}], "normalizer": None,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme},
            "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": fallback,
                      "vocab": [[p, -8 - i / 8] for i, p in enumerate(pieces)]}}


class Unigram(Case):
    def target(self, **options):
        shutil.rmtree(self.place / "folder", ignore_errors=True)
        hf_folder.write(read("tiny"), self.place / "folder")
        made = unigram_of(read("tiny"), **options)
        (self.place / "folder" / "tokenizer.json").write_text(json.dumps(made))
        config = {"unk_token": "<unk>"} if options.get("fallback", True) else {}
        (self.place / "folder" / "tokenizer_config.json").write_text(json.dumps(config))
        return self.made(self.place / "folder"), made["model"]["vocab"]

    def test_vocabulary(self):
        target, pieces = self.target()
        v = tm2.TM2File(target).vocab
        self.assertEqual((v["pretokenizer"], v["unk"], v["space_first"], v["merges"]), ("unigram", 0, 2, []))
        self.assertEqual(v["tokens"][10:14], [b" ab", b"ab", b" a", b"\0"])
        self.assertEqual(list(v["types"][:14]), [3] + [1] * 12 + [6])
        self.assertEqual(v["ranks"], [struct.unpack("<I", struct.pack("<f", s))[0] for _, s in pieces])
        v = tm2.TM2File(self.target(scheme="first", fallback=False)[0]).vocab
        self.assertEqual((v["space_first"], v["unk"], v["types"][13]), (3, 0, 1))

    def test_texts(self):
        """Words with a space before each; one is put before a part that has none."""
        def ids(text):
            done = subprocess.run([EDGELLM, "tokenize", target, "--ids", "--special"], check=True,
                                  input=text.encode(), stdout=subprocess.PIPE, timeout=60)
            return [int(i) for i in done.stdout.split()]
        for scheme, cases in {
                "always": {"ab": [10], " ab": [10], "  ab": [1, 10], "a<unk>ab": [12, 0, 10],
                           "<unk> ab": [0, 10], "abh": [10, 9], "z": [1, 13 + ord("z")]},
                "first": {"ab": [10], " ab": [10], "a<unk>ab": [12, 0, 11], "<unk>ab": [0, 11]},
                "never": {"ab": [11], " ab": [10], "a<unk>ab": [2, 0, 11]}}.items():
            target = self.target(scheme=scheme)[0]
            self.assertEqual({text: ids(text) for text in cases}, cases, scheme)


class ThreeLevels(Case):
    """Weights that are -s, 0 and s are the same in every form, and the file has them as they are."""

    NAME = "bitnet-b1.58"
    MORE = ("--embedding-bits", "8", "--embedding-group", "32")

    def folder(self, model, name="folder", **options):
        folder = self.place / name
        hf_folder.write(model, folder, **options)
        return folder

    def coded(self, model, kind, name="folder", except_for=(), **config):
        """The model's folder in codes."""
        state = hf_folder.coded(hf_folder.state_of(model), kind, except_for)
        how = {"quant_method": "bitnet"} | config
        if kind != "divided":
            how["linear_class"] = "autobitlinear"
        return self.folder(model, name, state=state, config={"quantization_config": how})

    def kept(self, target):
        """All projections are as fives, with one scale for each row."""
        t1 = [c.name for c in tm2.CODECS].index("t1")
        file = tm2.TM2File(target)
        matrices = [t for name, t in file.tensors.items() if name.startswith("blk.") and t.rows > 1]
        self.assertEqual({(t.codec, t.group) for t in matrices}, {(t1, 0)})
        return target

    def same_tensors(self, a, b):
        a, b = tm2.TM2File(a), tm2.TM2File(b)
        self.assertEqual(set(a.tensors), set(b.tensors))
        for name in a.tensors:
            self.assertEqual(bytes(a.bytes_of(a.tensors[name])), bytes(b.bytes_of(b.tensors[name])), name)

    def test_every_form(self):
        model = hf_folder.read(gguf(self.NAME))
        source = self.kept(self.made(gguf(self.NAME), *self.MORE, name="gguf.tm2.bin"))
        for kind in ("multiplied", "divided", "unpacked"):
            with self.subTest(kind):
                folder = self.coded(model, kind, kind)
                self.same_model(self.made(folder, *self.MORE), source)
        self.same_model(self.made(self.folder(model), *self.MORE), source)

    def test_random_codes(self):
        """Every weight of packed bytes is where the description has it."""
        model, r = hf_folder.read(gguf(self.NAME)), random.Random(1)
        state = hf_folder.coded(hf_folder.state_of(model), "multiplied")
        plain = {}
        for name, (shape, data) in state.items():
            if isinstance(data, bytes):
                data = bytes(sum(r.randrange(3) << 2 * k for k in range(4)) for _ in data)
                scale = state[name + "_scale"][1][0]
                state[name] = shape, data
                plain[name] = (4 * shape[0], shape[1]), [
                    scale * ((byte >> 2 * k & 3) - 1) for k in range(4) for byte in data]
            elif not name.endswith("_scale"):
                plain[name] = shape, data
        how = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
        folder = self.folder(model, state=state, config={"quantization_config": how})
        self.same_tensors(self.kept(self.made(folder)),
                          self.made(self.folder(model, "plain", state=plain), name="p.tm2.bin"))

    def test_rounded_while_computing(self):
        """BitNet's master weights, and 1bitLLM's class."""
        model, r = hf_folder.read(gguf(self.NAME)), random.Random(2)
        state = {n: (s, [r.gauss(0, 0.05) for _ in f] if n.endswith("_proj.weight") else f)
                 for n, (s, f) in hf_folder.state_of(model).items()}
        older = {n.replace("attn_sub_norm", "inner_attn_ln").replace("ffn_sub_norm", "ffn_layernorm"): w
                 for n, w in state.items()}
        online = {"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                          "quantization_mode": "online"}}
        first = {"architectures": ["BitnetForCausalLM"], "hidden_act": "silu", "weight_bits": 1,
                 "input_bits": 8}
        for dtype in ("F32", "F16", "BF16"):
            held = {n: (s, hf_folder.unpack(hf_folder.pack(f, dtype), dtype) if len(s) == 2 else f)
                    for n, (s, f) in state.items()}
            plain = {n: levels_of(s, f, dtype) if n.endswith("_proj.weight") else (s, f)
                     for n, (s, f) in held.items()}
            expected = self.made(self.folder(model, dtype, state=plain), name=dtype + ".tm2.bin")
            for name, tensors, config in (("new", state, online), ("old", older, first)):
                with self.subTest((dtype, name)):
                    folder = self.folder(model, dtype + name, dtype=dtype, state=tensors, config=config)
                    target = self.kept(self.made(folder))
                    self.same_tensors(target, expected)
                    self.assertEqual(tm2.TM2File(target).config["architecture"],
                                     "bitnet" if name == "old" else self.NAME)

    def test_of_other_classes(self):
        """Llama with packed weights, as Falcon-E; with floats, a scale for each shard, as TriLM."""
        model = hf_folder.read(gguf("tiny"))
        for name, (shape, floats) in model["tensors"].items():
            if name.startswith("blk.") and len(shape) == 2:
                model["tensors"][name] = shape, [0.25 * ((x > 0.02) - (x < -0.02)) for x in floats]
        plain = self.kept(self.made(self.folder(model, "plain"), name="plain.tm2.bin"))
        packed = self.coded(model, "divided", modules_to_not_convert=["lm_head"])
        self.same_model(self.made(packed), plain)
        but = self.coded(model, "divided", "but", ["layers.0.mlp", "k_proj"], use_rms_norm=False,
                         modules_to_not_convert=["model.layers.0.mlp", "k_proj", "lm_head"])
        self.same_model(self.made(but), plain)
        for name, (shape, floats) in model["tensors"].items():
            if name.startswith("blk.") and len(shape) == 2:
                half = len(floats) // 2
                model["tensors"][name] = shape, [2 * x for x in floats[:half]] + floats[half:]
        self.kept(self.made(self.folder(model, "shards", dtype="F16"), name="shards.tm2.bin"))

    def test_it_is_not_calibrated(self):
        """A number of bits rounds it."""
        folder = self.coded(hf_folder.read(gguf(self.NAME)), "multiplied")
        done = edgellm("quantize", folder, "-o", self.place / "no.tm2.bin", "--bits", "2")
        self.assertEqual(done.returncode, UNSUPPORTED)
        self.ok("quantize", folder, "-o", self.place / "y.tm2.bin", "--bits", "2", "--calibrate", "none")


class Bad(Case):
    """Each says what is wrong, and writes nothing."""

    @classmethod
    def setUpClass(cls):
        cls.model = read("tiny")
        cls.pieces = read("gemma3")

    def folder(self, model=None):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.place)) / "folder"
        hf_folder.write(model or self.model, folder)
        return folder

    def refused(self, folder, code, *texts):
        target = self.place / "no.tm2.bin"
        done = edgellm("quantize", folder, "-o", target)
        told = done.stderr.decode()
        self.assertEqual(done.returncode, code, told)
        self.assertRegex(told, r"\Aedgellm: [^\n]{20,}\n\Z")
        for text in texts:
            self.assertIn(text, told)
        self.assertFalse(target.exists())

    def change(self, file, change, *expected, model=None):
        """change: what is done to the file's JSON."""
        folder = self.folder(model)
        made = json.loads((folder / file).read_text())
        change(made)
        (folder / file).write_text(json.dumps(made))
        with self.subTest(expected):
            self.refused(folder, *expected)

    def test_config(self):
        def config(*expected, **new):
            self.change("config.json", lambda made: made.update(new), *expected)
        config(UNSUPPORTED, "'MambaForCausalLM'", "LlamaForCausalLM", "Gemma3ForCausalLM",
               architectures=["MambaForCausalLM"])
        config(FORMAT, "'architectures'", architectures=None)
        config(FORMAT, "q_proj.weight", "shape (96, 96)", "(192, 96)", head_dim=64)
        config(FORMAT, "embed_tokens", "(301, 96)", "(302, 96)", vocab_size=302)
        config(FORMAT, "'model.layers.2.", "is missing", num_hidden_layers=3)
        config(UNSUPPORTED, "'model.layers.1.", "no such tensor", num_hidden_layers=1)
        config(FORMAT, "'lm_head.weight' is missing", tie_word_embeddings=False)
        config(FORMAT, "'hidden_size'", hidden_size="wide")
        config(FORMAT, "'num_hidden_layers'", num_hidden_layers=1.5)
        config(FORMAT, "'intermediate_size'", intermediate_size=-1)
        config(FORMAT, "heads", num_key_value_heads=2)
        config(UNSUPPORTED, "'gelu'", hidden_act="gelu")
        config(UNSUPPORTED, "'attention_bias'", attention_bias=True)
        config(UNSUPPORTED, "'yarn'", rope_scaling={"rope_type": "yarn", "factor": 4})
        config(FORMAT, "'factor'", rope_parameters={"rope_type": "llama3"})
        def codes(*expected, **new):
            config(UNSUPPORTED, "'quantization_config'", *expected,
                   quantization_config={"quant_method": "bitnet"} | new)
        codes("'gptq'", "'bitnet'", quant_method="gptq")
        codes("'quant_method' is ''", quant_method=None)
        codes("'bits' is not known", "linear_class", bits=2)
        codes("'use_rms_norm' is true", use_rms_norm=True)
        codes("'linear_class' is 'x'", "'autobitlinear'", linear_class="x")
        codes("'quantization_mode' is 'x'", "'offline'", quantization_mode="x")
        codes("'quantization_mode' is online", quantization_mode="online")
        codes("'modules_to_not_convert' is no list", modules_to_not_convert="lm_head")
        codes("'modules_to_not_convert' is model.*", modules_to_not_convert=["model.*"])
        config(UNSUPPORTED, "has dtype F32", "only U8", quantization_config={"quant_method": "bitnet"})
        config(UNSUPPORTED, "'sliding_attention'", layer_types=["sliding_attention"])

    def test_config_of_one_class(self):
        def config(name, *expected, **new):
            self.change("config.json", lambda made: made.update(new), *expected, model=read(name))
        def rotation(name, *expected, **new):
            self.change("config.json", lambda made: made["rope_scaling"].update(new), *expected,
                        model=read(name))
        config("smollm3", UNSUPPORTED, "layer 3", "'no_rope_layer_interval'",
               no_rope_layer_interval=5)
        config("smollm3", UNSUPPORTED, "layer 2", "'no_rope_layers'", no_rope_layers=[1, 1, 0, 1, 1])
        config("smollm3", FORMAT, "4 entries for 5 layers", no_rope_layers=[1, 1, 1, 0])
        config("phi3", FORMAT, "qkv_proj", "shape (192, 64)", "(128, 64)", num_key_value_heads=2)
        config("phi3", FORMAT, "'short_factor' has 8 numbers, not 4", partial_rotary_factor=0.5)
        config("phi3", FORMAT, "'partial_rotary_factor' is 1.5", partial_rotary_factor=1.5)
        config("phi3", FORMAT, "turn 0 numbers", partial_rotary_factor=0.01)
        rotation("phi3", UNSUPPORTED, "'factor' is 9", factor=9)
        rotation("phi3", UNSUPPORTED, "number 1 of 'long_factor'", long_factor=[1, 0.5] + [1] * 6)
        rotation("phi3", UNSUPPORTED, "is 64, but 65", original_max_position_embeddings=65)
        config("qwen3", UNSUPPORTED, "'partial_rotary_factor' is 0.5",
               rope_parameters={"partial_rotary_factor": 0.5})
        config("tiny", UNSUPPORTED, "longrope", rope_scaling={"rope_type": "longrope"})
        bitnet = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
        config("phi3", UNSUPPORTED, "other classes", quantization_config=bitnet)
        config("qwen2", UNSUPPORTED, "a class with biases", quantization_config=bitnet)
        config("bitnet-b1.58", UNSUPPORTED, "'silu'", "'relu2'", hidden_act="silu")
        config("bitnet-b1.58", UNSUPPORTED, "'weight_bits' is 2", weight_bits=2, hidden_act="silu",
               architectures=["BitnetForCausalLM"])

    def test_codes(self):
        model = read("bitnet-b1.58")
        def coded(change, *expected, kind="multiplied"):
            how = {"quant_method": "bitnet"} | (
                {} if kind == "divided" else {"linear_class": "autobitlinear"})
            state = hf_folder.coded(hf_folder.state_of(model), kind)
            change(state)
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.place)) / "folder"
            hf_folder.write(model, folder, state=state, config={"quantization_config": how})
            with self.subTest(expected):
                self.refused(folder, *expected)
        scale = Q_PROJ + "_scale"
        def put(byte, value):
            def change(state):
                shape, data = state[Q_PROJ]
                state[Q_PROJ] = shape, data[:byte] + bytes([value]) + data[byte + 1:]
            return change
        # rows 8 to 15 are the second bits of rows 0 to 7; q_proj has 32 rows and columns
        coded(put(3 * 32 + 5, 0b1110), FORMAT, "'blk.0.attn_q.weight', row 11, column 5", "code 3")
        coded(put(0, 0xff), FORMAT, "row 0, column 0", "code 3")
        coded(lambda s: s.pop(scale), FORMAT, f"'{Q_PROJ}'", f"'{scale}', is missing")
        coded(lambda s: s.update({scale: ((2,), [1, 1])}), FORMAT, scale, "not one number")
        coded(lambda s: s.update({scale: ((1,), b"1")}), FORMAT, scale, "not one number")
        coded(lambda s: s.update({scale: ((1,), [0])}), FORMAT, scale, "is 0", kind="divided")
        coded(lambda s: s.update({scale: ((1,), [math.inf])}), FORMAT, scale, "is inf")
        coded(lambda s: s.update({Q_PROJ: ((16, 16), s[Q_PROJ][1])}), FORMAT, Q_PROJ,
              "shape (16, 16)", "(8, 32)")
        coded(lambda s: s.update({"model.norm.weight_scale": ((1,), [1])}), UNSUPPORTED, "no such tensor")
        coded(lambda s: s.update({Q_PROJ: (s[Q_PROJ][0], [math.nan] + s[Q_PROJ][1][1:])}), FORMAT,
              "row 0, column 0: the weight is not a finite number", kind="unpacked")

    def test_tokenizer(self):
        def tokenizer(change, *expected, **options):
            self.change("tokenizer.json", change, *expected, **options)
        tokenizer(lambda m: m["model"].update(type="WordPiece"), UNSUPPORTED, "'WordPiece'", "'BPE'",
                  "'Unigram'")
        tokenizer(lambda m: m["model"].update(type="Unigram"), FORMAT, "no list of pieces")
        tokenizer(lambda m: m["model"]["vocab"].update(more=301), FORMAT, "'more'", "301 tokens")
        tokenizer(lambda m: m["model"]["vocab"].update(more=300), FORMAT, "'more'", "id 300")
        tokenizer(lambda m: m["model"].update(vocab={"<|endoftext|>": 0}, merges=[]), FORMAT,
                  "don't belong together")
        tokenizer(lambda m: m["model"]["merges"].append("zz q"), FORMAT, "zz q")
        tokenizer(lambda m: m["model"]["merges"].append(["z"]), FORMAT, "not two texts")
        tokenizer(lambda m: m["added_tokens"].append({"content": "x"}), FORMAT, "'added_tokens'")
        tokenizer(lambda m: m["model"].update(ignore_merges=True), UNSUPPORTED, "ignore_merges")
        tokenizer(lambda m: m.update(normalizer={"type": "Lowercase"}), UNSUPPORTED, "'Lowercase'")
        tokenizer(lambda m: m["pre_tokenizer"]["pretokenizers"].append(
            {"type": "Split", "pattern": {"Regex": r"\d+|x"}, "behavior": "Isolated"}),
            UNSUPPORTED, r"\d+|x")
        tokenizer(lambda m: m.update(pre_tokenizer={"type": "Whitespace"}), UNSUPPORTED,
                  "'Whitespace'")
        (folder := self.folder()).joinpath("tokenizer.json").unlink()
        self.refused(folder, FORMAT, "no tokenizer.json")
        folder.joinpath("tokenizer.model").write_bytes(b"x")
        self.refused(folder, UNSUPPORTED, "save it again")

    def test_unigram(self):
        def unigram(change, *expected):
            def both(made):
                made.update(unigram_of(self.model))
                change(made)
            self.change("tokenizer.json", both, *expected)
        vocab = lambda m: m["model"]["vocab"]
        unigram(lambda m: vocab(m).append(["a", 1]), FORMAT, "'a' is twice")
        unigram(lambda m: vocab(m).append(["zz", None]), FORMAT, "entry 301", "with a score")
        unigram(lambda m: vocab(m).append([1, 1]), FORMAT, "entry 301", "with a score")
        unigram(lambda m: vocab(m).append(["zz", 1]), FORMAT, "'zz'", "the model has 301 tokens")
        unigram(lambda m: vocab(m)[299].__setitem__(1, 1e30), FORMAT, "score")
        unigram(lambda m: m["model"].update(unk_id="x"), FORMAT, "'unk_id'")
        unigram(lambda m: m.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AA=="}),
                UNSUPPORTED, "no maps of characters", "'Precompiled'", "'Replace'")
        unigram(lambda m: m.update(normalizer={"type": "NFKC"}), UNSUPPORTED, "'NFKC'")
        unigram(lambda m: vocab(m)[299].__setitem__(0, "a\u2581b"), UNSUPPORTED, "'Metaspace with split'")
        unigram(lambda m: m.update(pre_tokenizer=None), UNSUPPORTED, "spaces as they are")

    def test_flags_of_added_tokens(self):
        for key in ("rstrip", "lstrip"):
            self.change("tokenizer.json", lambda m: m["added_tokens"][0].update({key: True, "normalized": True}),
                        UNSUPPORTED, "is 'normalized' and has 'lstrip' or 'rstrip'", model=self.pieces)

    def test_merges_that_no_scores_give(self):
        def merges(change, *expected):
            self.change("tokenizer.json", lambda m: change(m["model"]["merges"]), UNSUPPORTED,
                        "SentencePiece", *expected, model=self.pieces)
        merges(lambda m: m.pop(0))
        merges(lambda m: m.append(m[0]))
        self.change("tokenizer.json", lambda m: m["model"]["merges"].append(["q", "x"]), FORMAT,
                    "is no token", model=self.pieces)

    def weights(self, change, *expected, data=None):
        """change: what is done to the header; data: to the bytes behind it."""
        folder = self.folder()
        path = folder / "model.safetensors"
        whole = path.read_bytes()
        size = struct.unpack_from("<Q", whole)[0]
        header, body = json.loads(whole[8:8 + size]), bytearray(whole[8 + size:])
        change(header)
        if data:
            data(header, body)
        path.write_bytes(hf_folder.with_header(json.dumps(header), bytes(body)))
        with self.subTest(expected):
            self.refused(folder, *expected)

    def test_tensors(self):
        def entry(**new):
            return lambda header: header[Q_PROJ].update(new)
        def place(first, last):
            def change(header):
                at = header[Q_PROJ]["data_offsets"]
                header[Q_PROJ]["data_offsets"] = [at[0] + first, at[1] + last]
            return change
        self.weights(entry(shape=[96, 95]), FORMAT, Q_PROJ, "needs")
        self.weights(entry(shape=[9216]), FORMAT, Q_PROJ, "shape (9216)")
        self.weights(entry(shape=[1 << 40, 1 << 40]), FORMAT, Q_PROJ, "none")
        self.weights(entry(shape=[-1]), FORMAT, Q_PROJ)
        self.weights(entry(shape=None), FORMAT, Q_PROJ, "'shape'")
        self.weights(entry(dtype="I32"), UNSUPPORTED, Q_PROJ, "I32", "BF16")
        self.weights(entry(dtype="F4"), UNSUPPORTED, Q_PROJ, "'F4'")
        self.weights(entry(data_offsets=[0, 1 << 50]), FORMAT, Q_PROJ, "past the end")
        self.weights(entry(data_offsets=[8, 0]), FORMAT, Q_PROJ)
        self.weights(place(-4, -4), FORMAT, "inside those before")
        self.weights(place(4, 4), FORMAT, "gap")
        self.weights(lambda header: header.pop(Q_PROJ), FORMAT, "gap")
        self.weights(lambda header: header.update({"x.y": header.pop(Q_PROJ)}), FORMAT,
                     f"'{Q_PROJ}' is missing")
        self.weights(lambda header: header.update({"e": {"dtype": "F32", "shape": [0],
                                                         "data_offsets": [0, 0]}}),
                     UNSUPPORTED, "'e'", "no such tensor")

    def test_weights_that_are_no_numbers(self):
        for bits in (0x7fc00000, 0x7f800000, 0xff800000):
            for name in (Q_PROJ, "model.norm.weight"):
                def put(header, body, name=name, bits=bits):
                    struct.pack_into("<I", body, header[name]["data_offsets"][0] + 4, bits)
                self.weights(lambda header: None, FORMAT, "not a finite number", data=put)

    def test_files(self):
        folder = self.folder()
        path = folder / "model.safetensors"
        whole = path.read_bytes()
        for bad, text in ((whole[:-4], "past the end"), (whole + b"\0", "together"),
                          (whole[:5], "header"), (b"\xff" * 8 + whole[8:], "header"),
                          (hf_folder.with_header("[]", b""), "object"),
                          (hf_folder.with_header('{"a":1}', b""), "'a'"),
                          (hf_folder.with_header('{"a":{},"a":{}}', b""), "duplicate")):
            path.write_bytes(bad)
            with self.subTest(text):
                self.refused(folder, FORMAT, "model.safetensors", text)
        path.unlink()
        self.refused(folder, FORMAT, "model.safetensors.index.json")
        (folder / "pytorch_model.bin").write_bytes(b"x")
        self.refused(folder, UNSUPPORTED, "pytorch_model.bin")
        (folder / "config.json").write_text("{")
        self.refused(folder, FORMAT, "config.json, line 1")
        (folder / "config.json").unlink()
        self.refused(folder, FORMAT, "no config.json")

    def test_shards(self):
        folder = self.place / "shards"
        hf_folder.write(self.model, folder, shards=2)
        path = folder / "model.safetensors.index.json"
        index = path.read_text()
        second = "model-00002-of-00002.safetensors"
        def with_places(**new):
            made = json.loads(index)
            made["weight_map"] |= new
            path.write_text(json.dumps(made))
        with_places(**{Q_PROJ: "../model.safetensors"})
        self.refused(folder, FORMAT, Q_PROJ, "'../model.safetensors'")
        with_places(**{Q_PROJ: "other.safetensors"})
        self.refused(folder, IO, "other.safetensors")
        with_places(**{"x.y": second})
        self.refused(folder, FORMAT, "it names")
        path.write_text(json.dumps({"weight_map": []}))
        self.refused(folder, FORMAT, "'weight_map'")
        path.write_text(index)
        shutil.copy(folder / "model-00001-of-00002.safetensors", folder / second)
        self.refused(folder, FORMAT, "is in both")
        (folder / second).unlink()
        self.refused(folder, IO, second)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
