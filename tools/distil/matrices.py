"""The numbers that are trained: latents of codes, scales and offsets of a tensor, and norms.

A weight is s * level(round(u)) + m, as in src/train/latent.h. u is the latent in codes; rounding is
passed straight through (Bengio et al. 2013); scales and offsets have their exact derivatives for
the codes as they are (Esser et al. 2020). Byte scales are s = ref * 2^(-round(k) / 32), byte offsets
m = oref * round(o), and k and o are what is trained; so the file holds exactly what was trained.

Chained codes are chosen by tiles (chain.py), after each step; u is then in units that are as much as a
code of evenly spaced levels.
"""
import numpy
import tm2
import torch
from torch import nn

from . import chain, files

EDGE = 0.4999  # how far from its code a latent is placed; at 0.5 another cell begins


def rounded(x):
    """round(x), whose derivative is that of x."""
    return x + (x.round() - x).detach()


def as_half(x):
    return x + (x.half().float() - x).detach()


def code_range(codec):
    if codec.levels:  # two levels of room
        reach = (max(codec.levels) + 1.5) / chain.PACE[codec.name]
        return -reach, reach
    if codec.bits == 8:
        return -127, 127
    return 0, 2 if codec.name in ("t1", "t2") else (1 << codec.bits) - 1


class Matrix(nn.Module):
    """One quantised tensor of a file. forward() gives the weights as stored, (rows, cols): those of
    a rotated tensor meet rotated inputs."""

    def __init__(self, file, tensor):
        super().__init__()
        self.tensor, codec = tensor, tm2.CODECS[tensor.codec]
        self.rotated = tensor.rotation == 1
        self.low, self.high = code_range(codec)
        self.zero = -codec.bias / codec.mul
        self.chained = codec if codec.levels else None
        self.pace = chain.PACE[codec.name] if codec.levels else 1.0
        self.group = tensor.group or tensor.cols
        codes, parts = files.planes_as_stored(file, tensor)
        if self.chained:
            tm2.need(not codes[tensor.rows:].any(), f"tensor '{tensor.name}': rows that the last "
                     "tile lacks have codes, which this program does not keep")
            codes = torch.from_numpy(codes[:tensor.rows].astype(numpy.int64))
            self.register_buffer("chosen", codes.to(torch.uint8))
            self.u = nn.Parameter(self.levels())
        else:
            self.u = nn.Parameter(torch.from_numpy(codes.astype(numpy.float32)))
        self.is_byte = tensor.scale_kind == 1
        parts = {name: torch.from_numpy(p.astype(numpy.float32)) for name, p in parts.items()}
        # what one code is worth, in scales
        step = codec.mul * self.pace * (0.5 if codec.halved else 1.0)
        if self.is_byte:
            self.k = nn.Parameter(parts["scales"])
            self.register_buffer("ref", parts["refs"])
            alive = (parts["scales"] < 255) * step
        else:
            self.k = nn.Parameter(torch.zeros_like(parts["scales"]))
            self.register_buffer("ref", parts["scales"])
            alive = torch.full_like(self.ref, step)
        self.register_buffer("alive", alive)
        self.o = None
        if codec.has_offset:
            at = parts["offsets"] if self.is_byte else torch.zeros_like(parts["offsets"])
            self.o = nn.Parameter(at)
            self.register_buffer("oref", parts["orefs"] if self.is_byte else parts["offsets"])

    def scale(self):
        """Weights a code apart, (rows, groups)."""
        if self.is_byte:
            return self.ref * torch.exp2(rounded(self.k) / -32) * self.alive
        return as_half(self.ref * torch.exp2(self.k / -32)) * self.alive

    def offset(self):
        if self.is_byte:
            return self.oref * rounded(self.o)
        return as_half(self.oref + self.ref.abs() * self.o)

    def spread(self, values):
        """(rows, groups) -> (rows, cols)."""
        rows, groups = values.shape
        wide = values[:, :, None].expand(rows, groups, self.group)
        return wide.reshape(rows, groups * self.group)[:, :self.tensor.cols]

    def codes(self):
        if self.chained:
            return self.chosen
        return self.u.clamp(self.low, self.high).round()

    def levels(self):
        """What u is rounded to."""
        if self.chained:
            return chain.levels(self.chosen.long(), self.chained) / self.pace
        return self.codes()

    @torch.no_grad()
    def settle(self):
        """Chooses chained codes."""
        if self.chained:
            self.chosen.copy_(chain.search(self.u * self.pace, self.spread(self.scale()).square(),
                                           self.chained))

    def forward(self):
        levels = self.u + (self.levels() - self.u).detach() - self.zero
        weights = levels * self.spread(self.scale())
        return weights if self.o is None else weights + self.spread(self.offset())

    @torch.no_grad()
    def place(self, weights):
        """Puts latents into the cells of their codes where the source's weights (rows, cols) lie in
        the cells that are theirs, mostly the same ones, and scales anywhere in theirs. All in the
        middle, they would make the same way, reach others at the same step, and ruin the file."""
        if self.rotated:
            weights = (weights.unflatten(-1, (-1, 64)) @ rotation()).flatten(-2)
        scale = self.spread(self.scale())
        at = weights if self.o is None else weights - self.spread(self.offset())
        at = at / torch.where(scale == 0, torch.ones_like(scale), scale) + self.zero
        if self.chained:
            self.place_chained(at)
        else:
            self.u.copy_(self.codes() + (at - at.round()).clamp(-EDGE, EDGE))
        if self.is_byte:
            chance = torch.Generator().manual_seed(self.k.numel())
            self.k.add_((torch.rand(self.k.shape, generator=chance) * 2 - 1) * EDGE)

    @torch.no_grad()
    def place_chained(self, at):
        """Between the levels of the file and the source's weights, as far towards these as the search
        still finds the codes of the file: all of the way for most columns of tiles."""
        stored, levels = self.chosen.clone(), self.levels()
        aside = (at - levels).clamp(-1, 1)
        for _ in range(4):
            self.u.copy_(levels + aside)
            self.settle()
            moved = chain.by_tile((self.chosen != stored).float()).amax(0, keepdim=True)
            if not moved.any():
                break
            aside = aside * chain.back(1 - 0.5 * moved.expand(16, -1, -1), len(aside))
            self.chosen.copy_(stored)
        else:
            self.u.copy_(levels + aside * chain.back(1 - moved.expand(16, -1, -1), len(aside)))
        self.chosen.copy_(stored)

    @torch.no_grad()
    def keep_in_range(self):
        self.u.clamp_(self.low - 0.5, self.high + 0.5)
        if self.is_byte:
            self.k.clamp_(0, 254)
            if self.o is not None:
                self.o.clamp_(-127, 127)
        self.settle()

    @torch.no_grad()
    def packed(self):
        """The tensor's data for a file."""
        if self.is_byte:
            k = torch.where(self.alive != 0, self.k.round(), torch.full_like(self.k, 255))
            parts = {"scales": k, "refs": self.ref}
            if self.o is not None:
                parts |= {"offsets": self.o.round(), "orefs": self.oref}
        else:
            parts = {"scales": self.ref * torch.exp2(self.k / -32)}
            if self.o is not None:
                parts["offsets"] = self.offset()
        parts = {name: p.float().cpu().numpy() for name, p in parts.items()}
        return files.pack(self.tensor, self.codes().cpu().numpy(), parts)


class Vector(nn.Module):
    """An f32 tensor: the weights of a norm."""

    def __init__(self, file, tensor):
        super().__init__()
        self.tensor = tensor
        self.values = nn.Parameter(torch.from_numpy(file.stored(tensor.name)).reshape(-1))

    def forward(self):
        return self.values

    def keep_in_range(self):
        pass

    def packed(self):
        return self.values.detach().cpu().numpy().astype("<f4").tobytes()


def rotation():
    """R of docs/FORMAT.md, section 10, as a matrix (64, 64): x rotated is x @ R."""
    unit = numpy.eye(64, dtype=numpy.float32)
    return torch.from_numpy(tm2.rotated_back(unit).T.copy())
