"""The int8 contract (docs/NUMERICS.md) written a second time, in torch: transformers' model with
the inputs of matrices, queries, keys and values rounded as the engine rounds them. It says how
much of a difference in logits is the price of the contract; the rest would be a mistake."""
import torch
import torch.nn.functional as F
from transformers import AttentionInterface

BLOCK = 32
SMALLEST = 2.0 ** -100


def rounded(x):
    """x as int8 with a scale for each 32 values along the last axis, and back."""
    width = x.shape[-1]
    blocks = F.pad(x, (0, -width % BLOCK)).unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(-1, keepdim=True)
    nothing = largest < SMALLEST
    divisor = torch.where(nothing, torch.ones_like(largest), largest)
    q = torch.clamp(torch.round(blocks * (127 / divisor)), -127, 127) * (divisor / 127)
    return torch.where(nothing, torch.zeros_like(q), q).flatten(-2)[..., :width]


def pairs(x, turned=1.0):
    """The halves of a head side by side, as they lie in the engine's cache: blocks differ.
    turned: the part of it that positions turn."""
    n = int(x.shape[-1] * turned)
    side_by_side = x[..., :n].unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    return torch.cat([side_by_side, x[..., n:]], -1)


def attention(module, query, key, value, attention_mask, scaling, sliding_window=None,
              softcap=None, **_):
    repeat = query.shape[1] // key.shape[1]
    turned = module.config.rope_parameters.get("partial_rotary_factor", 1.0)
    q = rounded(pairs(query, turned))
    k = rounded(pairs(key, turned)).repeat_interleave(repeat, 1)
    v = rounded(value).repeat_interleave(repeat, 1)
    length = q.shape[2]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    if sliding_window:
        hidden |= torch.ones(length, length, dtype=torch.bool).tril(-sliding_window)
    scores = q @ k.transpose(2, 3) * scaling
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(hidden, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).contiguous(), None


AttentionInterface.register("int8_contract", attention)


def apply(model):
    """Makes `model` round as the engine does. Returns it."""
    model.config._attn_implementation = "int8_contract"
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, args: (rounded(args[0]),))
    return model
