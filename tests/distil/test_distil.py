#!/usr/bin/env python3
"""tools/distil on tiny models: what it reads, trains and writes. Needs PyTorch: `make test-distil`.

    test_distil.py EDGELLM LIBRARY FOLDER
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import tm2  # noqa: E402
from distil import chain, files, llama, loss, matrices, prepare  # noqa: E402

EDGELLM, LIBRARY, OUT = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
GGUF = ROOT / "tests/data/conformance_tiny.gguf"
SOURCE, SMALL, TEXT, STARTS = (str(OUT / n) for n in
                               ("source.tm2.bin", "small.tm2.bin", "text.npy", "starts.json"))


def edgellm(*arguments):
    subprocess.run([EDGELLM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def distil(*arguments, fails=None):
    """Runs the package; with `fails`, it must end with one line that says so."""
    run = subprocess.run([sys.executable, "-m", "distil", *map(str, arguments)], text=True,
                         capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tools")})
    if fails is None:
        assert run.returncode == 0, run.stderr
    else:
        assert run.returncode == 1 and fails in run.stderr and "Traceback" not in run.stderr, run
    return run.stderr


def trained(output, *options):
    distil("train", SMALL, SOURCE, "--text", TEXT, "-o", output, "--batch", 8, "--held-out", 16,
           "--dtype", "float32", "--device", "cpu", *options)
    return json.loads(pathlib.Path(str(output).removesuffix(".tm2.bin") + ".curve.json").read_text())


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    edgellm("quantize", GGUF, "-o", SOURCE, "--bits", 8, "--calibrate", "none", "-q")
    edgellm("quantize", GGUF, "-o", SMALL, "--bits", 2, "--calibrate", "none", "-q")
    distil("prepare", SOURCE, "-o", STARTS, "--library", LIBRARY)
    distil("write", SOURCE, "--beginnings", STARTS, "-o", TEXT, "--tokens", 1024 * 64,
           "--batch", 512, "--length", 64, "--device", "cpu")


class Files(unittest.TestCase):
    def test_a_file_untrained_is_written_as_it_was(self):
        for path in (SMALL, SOURCE):
            file = tm2.TM2File(path)
            for name, tensor in llama.file_matrices(file):
                same = matrices.Matrix(file, tensor).packed() == bytes(file.bytes_of(tensor))
                self.assertTrue(same, f"{path} {name}")

    def test_every_codec_and_kind_of_scale_is_known(self):
        file = tm2.TM2File(ROOT / "tests/data/golden.tm2.bin")
        path = str(OUT / "golden.tm2.bin")
        packed = {n: matrices.Matrix(file, t).packed() for n, t in llama.file_matrices(file)}
        files.rewrite(file, path, packed, file.manifest)
        again = tm2.TM2File(path)
        again.check()  # codes of padded columns may be others than they were
        for name, tensor in llama.file_matrices(file):
            numpy.testing.assert_array_equal(again.stored(name), file.stored(name), name)
            weights = matrices.Matrix(file, tensor)().detach().numpy()
            numpy.testing.assert_allclose(weights, file.stored(name), rtol=1e-5, atol=1e-12)

    def test_chained_codes_are_known(self):
        file = tm2.TM2File(ROOT / "tests/data/golden_7.tm2.bin")
        tensor = file.tensors["r.c3.byte.128"]
        matrix = matrices.Matrix(file, tensor)
        self.assertTrue(matrix.packed() == bytes(file.bytes_of(tensor)))
        numpy.testing.assert_allclose(matrix().detach().numpy(), file.stored(tensor.name),
                                      rtol=1e-5, atol=1e-12)
        with self.assertRaisesRegex(tm2.FormatError, "the last tile lacks"):
            matrices.Matrix(file, file.tensors["c2.f16.64"])

    def test_chained_codes_placed_or_settled(self):
        """Placed, they are those of the file; settled at levels that a file can hold, these."""
        file = tm2.TM2File(ROOT / "tests/data/golden_7.tm2.bin")
        tensor = file.tensors["r.c3.byte.128"]
        matrix = matrices.Matrix(file, tensor)
        levels, random = matrix.levels(), torch.Generator().manual_seed(1)
        matrix.settle()
        self.assertTrue((matrix.levels() == levels).all())
        aside = torch.randn(levels.shape, generator=random) * 0.2
        turned = matrix.spread(matrix.scale()) * (levels + aside)
        matrix.rotated = False
        matrix.place(turned.detach())
        self.assertTrue(matrix.packed()[:1024] == bytes(file.bytes_of(tensor))[:1024])
        off = (matrix.u - levels).detach()
        self.assertGreater(torch.corrcoef(torch.stack([off.flatten(), aside.flatten()]))[0, 1], 0.8)

    def test_no_codes_are_nearer(self):
        random = torch.Generator().manual_seed(2)
        for name in ("c2", "c3"):
            codec = next(c for c in tm2.CODECS if c.name == name)
            rows = 4 if name == "c2" else 3
            at = torch.randn((rows, 50), generator=random) * 4
            importance = torch.rand((rows, 50), generator=random) + 0.1
            all_codes = torch.cartesian_prod(*[torch.arange(1 << codec.bits)] * rows).T
            levels = chain.levels(all_codes, codec)  # of every column there can be
            cost = ((at[:, :, None] - levels[:, None]).square() * importance[:, :, None]).sum(0)
            found = chain.levels(chain.search(at, importance, codec), codec)
            got = ((at - found).square() * importance).sum(0)
            torch.testing.assert_close(got, cost.amin(1))

    def test_a_latent_placed_keeps_its_code(self):
        file, source = tm2.TM2File(SMALL), tm2.TM2File(SOURCE)
        student = llama.Student(file, source)
        for name, tensor in llama.file_matrices(file):
            matrix = student.tensor(name)
            self.assertTrue(matrix.packed() == bytes(file.bytes_of(tensor)), name)
            self.assertGreater((matrix.u - matrix.codes()).std().item(), 0.2)  # even: 0.29

    def test_rewritten_files_keep_every_rule(self):
        file = tm2.TM2File(SMALL)
        name = next(n for n, t in file.tensors.items() if t.codec)
        matrix = matrices.Matrix(file, file.tensors[name])
        with torch.no_grad():
            matrix.u += 1
            matrix.keep_in_range()
        path = str(OUT / "rewritten.tm2.bin")
        files.rewrite(file, path, {name: matrix.packed()}, '{"made":"here"}')
        again = tm2.TM2File(path)
        again.check()
        self.assertEqual(again.manifest, '{"made":"here"}')
        numpy.testing.assert_allclose(again.stored(name), matrix().detach().numpy(), rtol=1e-5)
        edgellm("info", path, "--verify")

    def test_a_failed_write_leaves_what_was_there(self):
        path = OUT / "kept.tm2.bin"
        path.write_bytes(b"before")
        with self.assertRaises(tm2.FormatError):
            files.rewrite(tm2.TM2File(SMALL), str(path), {"output_norm.weight": b"x"}, "{}")
        self.assertEqual(path.read_bytes(), b"before")
        self.assertEqual(list(OUT.glob("kept*.tmp")), [])


class Forward(unittest.TestCase):
    def logits(self, path, ids, *options):
        """The engine's own, float32 (tokens, vocab)."""
        (OUT / "ids").write_text(" ".join(map(str, ids)))
        tool = pathlib.Path(EDGELLM).parent / "tools/dump_logits"
        subprocess.run([tool, path, OUT / "ids", OUT / "logits", *options], check=True)
        return torch.from_numpy(numpy.fromfile(OUT / "logits", numpy.float32).reshape(len(ids), -1))

    def kl(self, path, exact):
        file = tm2.TM2File(path)
        shape = llama.Shape(file.config, 32, "cpu")
        ids = numpy.load(TEXT)[0, :32].astype(numpy.int64)
        with torch.no_grad():
            weights = (llama.SourceWeights(file, shape, "cpu", torch.float32) if exact else
                       llama.Weights(llama.Student(file), shape, torch.float32))
            x = llama.hidden(shape, weights, torch.from_numpy(ids)[None], torch.float32)
            ours = llama.logits(llama.heads(shape, weights, x[0]))
            theirs = self.logits(path, ids, *(["--exact"] if exact else []))
            return loss.divergence(ours, theirs)[0].mean().item()

    def test_the_source_is_the_engine_in_exact_mode(self):
        self.assertLess(abs(self.kl(SOURCE, True)), 1e-6)

    def test_the_file_is_the_engine_as_it_runs(self):
        self.assertLess(abs(self.kl(SMALL, False)), 2e-3)

    def test_the_derivatives_are_those_of_the_loss(self):
        torch.manual_seed(1)
        x, w, y, v = (torch.randn(n, 8, dtype=torch.float64) for n in (5, 11, 5, 11))
        weight = torch.rand(5, dtype=torch.float64)
        x.requires_grad_(), w.requires_grad_()
        def kl(x, w):
            return loss.to_source([(x, w[:4]), (x, w[4:])], [(y, v)], weight)
        self.assertTrue(torch.autograd.gradcheck(kl, (x, w)))
        target = torch.tensor([0, 3, 10, 4, 4])
        self.assertTrue(torch.autograd.gradcheck(
            lambda x, w: loss.to_tokens([(x, w)], target, weight), (x, w)))


class Training(unittest.TestCase):
    def test_kl_is_halved(self):
        points = trained(OUT / "half.tm2.bin", "--steps", 300, "--batch", 16, "--rate", 0.01,
                         "--rate-table", 0.01, "--rate-scale", 0.01, "--rate-norm", 0.01,
                         "--every", 1000)
        self.assertLess(points[-1]["held_out"], points[0]["held_out"] / 2)
        file = tm2.TM2File(OUT / "half.tm2.bin")
        file.check()
        self.assertEqual(os.path.getsize(SMALL) // 1000, os.path.getsize(OUT / "half.tm2.bin") // 1000)
        made = json.loads(file.manifest)["distilled"][0]
        self.assertEqual(made["steps"], 300)
        self.assertAlmostEqual(made["held_out_kl"], points[-1]["held_out"], places=4)

    def test_resumed_is_the_same_as_uninterrupted(self):
        trained(OUT / "whole.tm2.bin", "--steps", 6, "--layerwise", 2)
        trained(OUT / "parts.tm2.bin", "--steps", 6, "--layerwise", 2, "--pause", 1e-6)
        for _ in range(5):
            trained(OUT / "parts.tm2.bin", "--steps", 6, "--layerwise", 2, "--pause", 1e-6,
                    "--resume")
        whole, parts = (tm2.TM2File(OUT / f"{n}.tm2.bin") for n in ("whole", "parts"))
        self.assertEqual(bytes(whole.section("weights")), bytes(parts.section("weights")))

    def test_layers_alone_bring_it_nearer_too(self):
        points = trained(OUT / "layers.tm2.bin", "--steps", 1, "--layerwise", 60, "--rate", 0.01,
                         "--rate-table", 0.01)
        self.assertLess(points[1]["held_out"], 0.9 * points[0]["held_out"])

    def test_a_task_is_learnt(self):
        starts = json.loads(pathlib.Path(STARTS).read_text())
        starts["task"] = [([10 + i, 20 + i, 30, *[40 + i] * 3, 2], 3) for i in range(8)]
        ready = OUT / "task.json"
        ready.write_text(json.dumps(starts))
        points = trained(OUT / "task.tm2.bin", "--steps", 80, "--rate", 0.01, "--rate-table", 0.01,
                         "--task", ready, "--anchor", 0.2, "--every", 0)
        losses = [p["train"] for p in points if p["train"] is not None]
        self.assertLess(losses[-1], losses[0] / 2)

    def test_a_task_needs_a_template_and_rows(self):
        data = OUT / "task.jsonl"
        data.write_text('{"messages": [{"role": "user", "content": "on"}], "answer": "yes"}\n')
        prepare_task = ("prepare", SOURCE, "-o", OUT / "no.json", "--library", LIBRARY, "--task")
        distil(*prepare_task, data, fails="template")
        data.write_text('{"answer": "yes"}\n')
        distil(*prepare_task, data, fails="line 1")
        distil("train", SMALL, SOURCE, "--text", TEXT, "-o", OUT / "bad.tm2.bin", "--steps", 1,
               "--device", "cpu", "--task", STARTS, fails="no rows")

    def test_what_is_wrong_is_said_in_a_line(self):
        base = ("train", SMALL, SOURCE, "--text", TEXT, "-o", OUT / "bad.tm2.bin", "--device", "cpu")
        distil(*base, fails="--minutes or --steps")
        distil(*base, "--steps", 1, "--held-out", 5000, fails="held back")
        distil(*base, "--steps", 1, "--resume", fails="checkpoint")
        distil("train", TEXT, SOURCE, "--text", TEXT, "-o", OUT / "bad.tm2.bin", "--steps", 1,
               fails="not a TM2 file")
        distil("train", SMALL, SOURCE, "--text", TEXT, "-o", SMALL, "--steps", 1, fails="place")


class Beginnings(unittest.TestCase):
    def test_they_are_the_quantisers(self):
        lists = prepare.beginnings()
        self.assertEqual(set(lists), {"questions", "halves", "openings"})
        self.assertIn("Write code in", lists["halves"])
        self.assertIn("La ville est située au bord de la mer, dans", lists["openings"])
        self.assertTrue(all(len(texts) > 20 for texts in lists.values()))
        source = prepare.BEGINNINGS.read_text(encoding="utf-8")
        words = {w for texts in lists.values() for t in texts for w in t.split() if w.isalpha()}
        self.assertEqual([w for w in words if w.isascii() and w not in source], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
