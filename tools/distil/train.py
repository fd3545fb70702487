"""Training: latents, scales, offsets and norms of a file by Adam (Kingma & Ba 2015), against the
source's predictions at every position of the text (Hinton et al. 2015).

The rates rise over the first steps and fall along a cosine to nothing. Where the end is given in
minutes, progress is measured in time, so that it comes out right on any machine.
"""
import dataclasses
import json
import math
import os
import time

import numpy
import torch

from . import curve, files, llama, loss, progress

WARM = 20  # steps of rising rates
STEPS_OF_SCALE = 32 / math.log(2)  # a relative change r of a scale is one of r * this in k


def optimizer_of(student, options):
    """Adam, in groups whose rates fade together."""
    latents, tables, scales, groups = [], [], [], []
    for tensor in student.tensors.values():
        if hasattr(tensor, "u"):
            (latents if tensor.tensor.name.startswith("blk.") else tables).append(tensor.u)
            scales.append(tensor.k)
            if tensor.o is not None:
                with torch.no_grad():
                    unit = tensor.oref.abs() if tensor.is_byte else tensor.ref.abs()
                    worth = tensor.scale().abs() * (tensor.high - tensor.low) / 2
                    step = (worth / unit.clamp_min(1e-12)).median().item()
                groups.append({"params": [tensor.o], "rate": options.rate_scale * step})
        else:
            size = tensor.values.detach().abs().mean().item()
            groups.append({"params": [tensor.values], "rate": options.rate_norm * size})
    groups += [{"params": latents, "rate": options.rate},
               {"params": tables, "rate": options.rate_table},
               {"params": scales, "rate": options.rate_scale * STEPS_OF_SCALE}]
    return torch.optim.Adam(groups, lr=0.0, betas=(0.9, 0.99), eps=1e-20, fused=True)


class Text:
    """Sequences in an order of chance, each once before any comes again."""

    def __init__(self, sequences, seed):
        self.sequences, self.seed, self.taken = sequences, seed, 0

    def next(self, count):
        picked = []
        while len(picked) < count:
            epoch, at = divmod(self.taken, len(self.sequences))
            order = numpy.random.default_rng((self.seed, epoch)).permutation(len(self.sequences))
            take = order[at:at + count - len(picked)]
            picked += list(take)
            self.taken += len(take)
        return self.sequences[numpy.sort(picked)].astype(numpy.int64)


class Trainer:
    def __init__(self, file, source, sequences, options, device, dtype, compiled=False, task=None):
        torch.manual_seed(options.seed)
        length = max(sequences.shape[1], 0 if task is None else task[0].shape[1])
        self.options, self.device, self.dtype = options, device, dtype
        self.shape = llama.Shape(file.config, length, device)
        self.student = llama.Student(file, source).to(device)
        self.source = llama.SourceWeights(source, self.shape, device, torch.float32)
        self.optimizer = optimizer_of(self.student, options)
        self.held_out = sequences[:options.held_out].astype(numpy.int64)
        self.text = Text(sequences[options.held_out:], options.seed)
        self.task, self.task_rows = task, None
        if task is not None:
            self.task_rows = Text(numpy.arange(len(task[0]))[:, None], options.seed)
        self.step, self.seconds, self.points = 0, 0.0, []
        if compiled:
            torch._dynamo.config.recompile_limit = 64  # a variant for each mix of rotations
        self.run = torch.compile(llama.layer) if compiled else llama.layer
        self.divergence = torch.compile(loss.divergence) if compiled else loss.divergence

    # -- one step ----------------------------------------------------------------------------

    def progress(self):
        o = self.options
        return self.seconds / (60 * o.minutes) if o.minutes else self.step / o.steps

    def set_rates(self, done):
        fade = 0.5 * (1 + math.cos(math.pi * min(done, 1)))
        fade *= min(1, (self.step + 1) / WARM)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * fade

    def tokens(self, sequences):
        return torch.from_numpy(sequences).to(self.device)

    def source_heads(self, tokens):
        with torch.no_grad():
            x = llama.hidden(self.shape, self.source, tokens, torch.float32, self.run)
            return llama.heads(self.shape, self.source, x.flatten(0, 1))

    def met(self, weights, tokens):
        x = llama.hidden(self.shape, weights, tokens, self.dtype, self.run)
        return llama.heads(self.shape, weights, x.flatten(0, 1))

    def language_loss(self, weights, count):
        tokens = self.tokens(self.text.next(count))
        weight = torch.full((tokens.numel(),), 1 / tokens.numel(), device=self.device)
        theirs = self.source_heads(tokens)
        return loss.to_source(self.met(weights, tokens), theirs, weight, self.divergence)

    def task_loss(self, weights, count):
        """Mean cross-entropy of the tokens of answers."""
        rows = self.task_rows.next(count)[:, 0]
        tokens, mask = self.tokens(self.task[0][rows]), self.tokens(self.task[1][rows])
        met = self.met(weights, tokens[:, :-1])
        weight = mask[:, 1:].flatten().float()
        return loss.to_tokens(met, tokens[:, 1:].flatten(), weight / weight.sum())

    def total_loss(self, weights):
        """The loss to descend, and the figure to tell."""
        o = self.options
        if self.task is None:
            told = self.language_loss(weights, o.batch)
            return told, told
        told = self.task_loss(weights, o.batch)
        if o.anchor == 0:
            return told, told
        return (1 - o.anchor) * told + o.anchor * self.language_loss(weights, o.batch // 4), told

    def layerwise_loss(self, weights):
        """Block-wise reconstruction: each layer alone, on the stream of the file, against the
        source's output of that layer; log(1 + relative error), lest single tokens decide."""
        tokens = self.tokens(self.text.next(self.options.batch))
        ours, total = llama.embed(self.shape, weights, tokens), 0
        with torch.no_grad():
            theirs = llama.embed(self.shape, self.source, tokens)
        for i in range(self.shape.layers):
            with torch.no_grad():
                theirs = self.run(self.shape, theirs, self.source.norms[i], self.source.layers[i],
                                  self.source.rotated[i], False, torch.float32)
            ours = self.run(self.shape, ours.detach(), weights.norms[i], weights.layers[i],
                            weights.rotated[i], True, self.dtype)
            size = torch.maximum(theirs.square().sum(-1), ours.detach().square().sum(-1))
            total = total + torch.log1p((ours - theirs).square().sum(-1) / size).mean()
        return total, total / self.shape.layers

    def one_step(self, function):
        self.optimizer.zero_grad(set_to_none=True)
        weights = llama.Weights(self.student, self.shape, self.dtype)
        descend, told = function(weights)
        descend.backward()
        self.optimizer.step()
        self.student.keep_in_range()
        self.step += 1
        return told.detach()

    # -- measurement -------------------------------------------------------------------------

    @torch.no_grad()
    def measure(self):
        """Mean KL and share of the same best token on the sequences held back."""
        weights = llama.Weights(self.student, self.shape, self.dtype)
        kl, same, n = 0.0, 0, 0
        for at in range(0, len(self.held_out), self.options.batch):
            tokens = self.tokens(self.held_out[at:at + self.options.batch])
            k, s = loss.measure(self.met(weights, tokens), self.source_heads(tokens),
                                self.divergence)
            kl, same, n = kl + k, same + s, n + tokens.numel()
        return kl / n, same / n

    def note(self, train=None):
        """train: the mean loss of the steps since the last time, if there were any."""
        kl, same = self.measure()
        tokens = self.text.taken * self.text.sequences.shape[1]
        self.points.append({"step": self.step, "seconds": round(self.seconds, 1), "tokens": tokens,
                            "train": train, "held_out": kl, "same_best": same})
        told = "" if train is None else f"training {train:.4f}, "
        progress.tell(f"step {self.step}: {tokens / 1e6:.2f} million tokens, {told}"
                      f"KL on text held back {kl:.4f}, same best {same:.2%}")

    # -- runs --------------------------------------------------------------------------------

    def finished(self):
        o = self.options
        return self.progress() >= 1 or (o.steps and self.step >= o.steps)

    def descend_layers(self):
        for i in range(self.options.layerwise):
            self.set_rates(i / self.options.layerwise)
            error = self.one_step(self.layerwise_loss)
            if (i + 1) % 50 == 0:
                progress.tell(f"layers, step {i + 1}: error {error.item():.5f}")
        if self.options.layerwise:
            self.note()
            self.step = 0

    def descend(self, save=None):
        """Trains to the end, or to the pause; True at the end. save(): called now and then."""
        o, begun, told = self.options, time.monotonic(), []
        if self.step == 0:
            self.note()
            self.descend_layers()
        before, started, measured = self.seconds, time.monotonic(), time.monotonic()
        while not self.finished():
            self.set_rates(self.progress())
            told.append(self.one_step(self.total_loss))
            now = time.monotonic()
            self.seconds = before + now - started
            if now - measured > o.every:
                self.note(torch.stack(told).mean().item())
                measured, told = time.monotonic(), []
                if save:
                    save()
            if o.pause and now - begun > 60 * o.pause:
                break
        if told:
            self.note(torch.stack(told).mean().item())
        return self.finished()

    def state(self):
        return {"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict(),
                "step": self.step, "seconds": self.seconds, "points": self.points,
                "taken": self.text.taken, "task": self.task_rows and self.task_rows.taken}

    def resume(self, state):
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.points = state["step"], state["seconds"], state["points"]
        self.text.taken = state["taken"]
        if self.task_rows:
            self.task_rows.taken = state["task"]


def save_checkpoint(trainer, path):
    torch.save(trainer.state(), path + ".tmp")
    os.replace(path + ".tmp", path)


def manifest_of(file, trainer, sources):
    """The file's own manifest, and how it was trained on."""
    made = json.loads(file.manifest)
    o = dataclasses.asdict(trainer.options)
    made.setdefault("distilled", []).append({
        "tool": "edgellm tools/distil", **sources, "options": o, "steps": trainer.step,
        "tokens": trainer.points[-1]["tokens"], "held_out_kl": round(trainer.points[-1]["held_out"], 5)})
    return json.dumps(made, separators=(",", ":"))


def write_result(file, trainer, path, sources):
    files.rewrite(file, path, trainer.student.packed(), manifest_of(file, trainer, sources))
    curve.write(trainer.points, path.removesuffix(".tm2.bin") + ".curve")
