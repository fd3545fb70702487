"""KL(source || file) over the whole vocabulary, and cross-entropy, from the streams before the head.

Logits of all tokens at once would take gigabytes: they are made for some tokens at a time, and
their derivatives at once, so that nothing of that size is kept.
"""
import torch

from . import llama

CHUNK = 4096  # tokens whose logits stand in memory together


def divergence(ours, theirs):
    """KL of each row of logits, and its derivative by ours."""
    a, b = ours.log_softmax(-1), theirs.log_softmax(-1)
    p = b.exp()
    return (p * (b - a)).sum(-1), a.exp() - p


def cross_entropy(ours, target):
    a = ours.log_softmax(-1)
    at = target[:, None]
    d = a.exp()
    d.scatter_add_(-1, at, torch.full_like(at, -1, dtype=d.dtype))
    return -a.gather(-1, at)[:, 0], d


class Head(torch.autograd.Function):
    """Sum over tokens of weight * loss(logits of the tokens, what they are held against)."""

    @staticmethod
    def forward(ctx, function, against, weight, *flat):
        xs, ws = flat[::2], flat[1::2]
        dx, dw = [torch.zeros_like(x) for x in xs], [torch.zeros_like(w) for w in ws]
        total = weight.new_zeros(())
        for at in range(0, len(weight), CHUNK):
            part = slice(at, at + CHUNK)
            ours = llama.logits([(x[part], w) for x, w in zip(xs, ws)])
            loss, d = function(ours, against(part))
            total += (loss * weight[part]).sum()
            d *= weight[part, None]
            first = 0
            for i, w in enumerate(ws):
                mine = d[:, first:first + len(w)]
                dx[i][part] = mine @ w
                dw[i].addmm_(mine.T, xs[i][part])
                first += len(w)
        ctx.save_for_backward(*dx, *dw)
        return total

    @staticmethod
    def backward(ctx, gradient):
        half = len(ctx.saved_tensors) // 2
        dx, dw = ctx.saved_tensors[:half], ctx.saved_tensors[half:]
        flat = [g * gradient for pair in zip(dx, dw) for g in pair]
        return (None, None, None, *flat)


def flat(met):
    return [tensor for pair in met for tensor in pair]


def to_source(met, source, weight, function=divergence):
    """met, source: what heads() gives for the file and for the source; weight (tokens)."""
    def against(part):
        return llama.logits([(x[part], w) for x, w in source])
    return Head.apply(function, against, weight, *flat(met))


def to_tokens(met, target, weight, function=cross_entropy):
    return Head.apply(function, lambda part: target[part], weight, *flat(met))


@torch.no_grad()
def measure(met, source, function=divergence):
    """Sum of KL and number of tokens with the same best one."""
    total, same, n = 0.0, 0, len(met[0][0])
    for at in range(0, n, CHUNK):
        part = slice(at, at + CHUNK)
        ours = llama.logits([(x[part], w) for x, w in met])
        theirs = llama.logits([(x[part], w) for x, w in source])
        total += function(ours, theirs)[0].sum().item()
        same += (ours.argmax(-1) == theirs.argmax(-1)).sum().item()
    return total, same
