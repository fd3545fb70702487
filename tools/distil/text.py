"""The text that is trained on: the source writes it itself, many sequences at a time.

A sequence is filled with texts, one after another: conversations, of which the model writes both
sides, and texts that go on from an opening or from random words, some with line ends of two bytes.
Tokens are drawn from all there are (nothing is cut off), at one of several temperatures a sequence.
"""
import time

import numpy
import torch
from torch.nn import functional

from . import llama, progress

TEMPERATURES = (1.0, 1.0, 1.0, 0.8, 1.15)


class Cache:
    """Keys and values of one layer, (batch, kv_heads, length, head_dim)."""

    def __init__(self, shape, batch, length, dtype, device):
        size = (batch, shape.kv_heads, length, shape.head_dim)
        self.k = torch.empty(size, dtype=dtype, device=device)
        self.v = torch.empty_like(self.k)

    def attend(self, q, k, v, begin):
        """One token for each sequence."""
        end = begin + 1
        self.k[:, :, begin:end], self.v[:, :, begin:end] = k, v
        batch, heads, _, head_dim = q.shape
        q = q.view(batch, self.k.shape[1], -1, head_dim)
        # Heads that share keys are queries of one head: so keys and values are read once.
        mixed = functional.scaled_dot_product_attention(q, self.k[:, :, :end], self.v[:, :, :end])
        return mixed.reshape(batch, 1, heads * head_dim)


class Row:
    """What one sequence is to go on with. `pending`: tokens that are laid down, not drawn."""

    def __init__(self, beginnings, generator):
        self.b, self.random = beginnings, generator
        self.pending, self.turn = [], None
        self.begin()

    def one_of(self, items):
        return items[self.random.integers(len(items))]

    def begin(self):
        """A new text."""
        chat, kind = self.b["chat"], self.random.random()
        self.turn = None
        if chat and kind < 0.4:
            whole = self.random.random() < 0.4
            self.pending = chat["first"] + self.one_of(self.b["questions" if whole else "halves"])
            self.turn = "answer" if whole else "user"
            if whole:
                self.pending = self.pending + chat["answer"]
        elif kind < 0.6:
            n = 1 + self.random.integers(2)
            self.pending = [self.one_of(self.b["words"]) for _ in range(n)]
        else:
            opening = self.one_of(self.b["crlf" if self.random.random() < 1 / 6 else "openings"])
            if self.random.random() < 0.5:
                opening = opening[:1 + self.random.integers(len(opening))]
            self.pending = list(opening)

    def ended(self, token):
        """A token was drawn that ends a text or a turn: what comes in its place."""
        if self.turn == "user":
            self.turn, self.pending = "answer", list(self.b["chat"]["answer"])
        elif self.turn == "answer" and self.random.random() < 0.7:
            self.turn, self.pending = "user", list(self.b["chat"]["user"])
        else:
            self.begin()
            self.pending = [self.b["ends"][0]] + self.pending


def draw(logits, temperatures):
    """One token a row: the largest of p / e, e exponential, is drawn as often as p says."""
    p = (logits.float() / temperatures[:, None]).softmax(-1)
    return (p / torch.empty_like(p).exponential_().clamp_min_(1e-20)).argmax(-1)


@torch.no_grad()
def write(shape, weights, beginnings, batch, length, seed, dtype, device):
    """(batch, length) tokens."""
    generator = numpy.random.default_rng(seed)
    torch.manual_seed(seed)
    rows = [Row(beginnings, generator) for _ in range(batch)]
    temperatures = torch.tensor([rows[i].one_of(TEMPERATURES) for i in range(batch)], device=device)
    ends = numpy.array(beginnings["ends"])
    caches = [Cache(shape, batch, length, dtype, device) for _ in range(shape.layers)]
    tokens, drawn = numpy.zeros((batch, length), numpy.int32), None
    for at in range(length):
        for i in (range(batch) if drawn is None else numpy.flatnonzero(numpy.isin(drawn, ends))):
            if drawn is not None and not rows[i].pending:
                rows[i].ended(drawn[i])
        column = drawn if drawn is not None else numpy.zeros(batch, numpy.int32)
        for i, row in enumerate(rows):
            if row.pending:
                column[i] = row.pending.pop(0)
        tokens[:, at] = column
        now = torch.from_numpy(column.astype(numpy.int64)).to(device)[:, None]
        x = llama.hidden(shape, weights, now, dtype, begin=at, caches=caches)
        met = [(m.to(dtype), w.to(dtype)) for m, w in llama.heads(shape, weights, x[:, 0])]
        drawn = draw(llama.logits(met), temperatures).cpu().numpy().astype(numpy.int32)
    return tokens


def write_all(shape, weights, beginnings, total, batch, length, seed, dtype, device):
    """About `total` tokens, (sequences, length)."""
    started, parts = time.monotonic(), []
    rounds = max(1, round(total / (batch * length)))
    for i in range(rounds):
        parts.append(write(shape, weights, beginnings, batch, length, seed + i, dtype, device))
        done = (i + 1) * batch * length
        progress.tell(f"{done / 1e6:.1f} million tokens written, "
                      f"{done / (time.monotonic() - started):,.0f} a second")
    return numpy.concatenate(parts).astype(numpy.uint32)
