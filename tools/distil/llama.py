"""The forward pass of a llama in PyTorch, for the source and for the file that is trained.

The file's runs as the engine does: inputs of matrices, queries, keys and values are rounded to int8
in blocks of 32 (docs/NUMERICS.md), and inputs of rotated matrices are rotated before.
"""
import tm2
import torch
from torch import nn
from torch.nn import functional

from . import matrices

PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


class Int8(torch.autograd.Function):
    """Values as the engine's int8 holds them; the derivative passes straight through."""

    @staticmethod
    def forward(ctx, x):
        blocks = x.unflatten(-1, (-1, 32)).float()
        scale = (blocks.abs().amax(-1, keepdim=True) / 127).clamp_min(1e-30)
        return ((blocks / scale).round() * scale).flatten(-2).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x, matrix):
    return (x.unflatten(-1, (-1, 64)) @ matrix).flatten(-2)


def turned(x, cos, sin):
    """Rotary positions: x (batch, heads, tokens, head_dim), neighbours are pairs."""
    n = 2 * cos.shape[-1]
    a, b = x[..., 0:n:2], x[..., 1:n:2]
    pairs = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    return pairs if n == x.shape[-1] else torch.cat([pairs, x[..., n:]], -1)


class Shape:
    """Numbers of a model, and its rotary tables."""

    def __init__(self, config, length, device):
        self.heads, self.kv_heads = config["heads"], config["kv_heads"]
        self.head_dim, self.eps = config["head_dim"], config["norm_eps"]
        self.layers, self.vocab = config["layers"], config["vocab"]
        half = torch.arange(config["rotary_dim"] // 2, dtype=torch.float64)
        speed = config["rope_base"] ** (-2 * half / max(config["rotary_dim"], 1))
        angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
        self.cos, self.sin = angle.cos().float().to(device), angle.sin().float().to(device)
        self.rotation = matrices.rotation().to(device)


def attend(shape, q, k, v, begin, int8, dtype, cache=None):
    """q (batch, tokens, heads * head_dim), k and v likewise -> the mix of values."""
    batch, tokens, _ = q.shape
    cos, sin = shape.cos[begin:begin + tokens], shape.sin[begin:begin + tokens]
    q, k, v = (x.view(batch, tokens, -1, shape.head_dim).transpose(1, 2) for x in (q, k, v))
    q, k = turned(q.float(), cos, sin), turned(k.float(), cos, sin)
    if int8:
        q, k, v = Int8.apply(q), Int8.apply(k), Int8.apply(v)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if cache is not None:
        return cache.attend(q, k, v, begin)
    share = shape.heads // shape.kv_heads
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).flatten(2)


def layer(shape, x, norms, weights, rotated, int8, dtype, begin=0, cache=None):
    """One block. x (batch, tokens, dim) in float32; norms: two vectors; weights and rotated: as
    PARTS. int8: inputs as the engine rounds them, else as they are."""
    def feed(value, parts):
        """The products of one input with some matrices."""
        ready = {}
        for part in parts:
            if rotated[part] not in ready:
                turn = rotate(value, shape.rotation) if rotated[part] else value
                ready[rotated[part]] = (Int8.apply(turn) if int8 else turn).to(dtype)
        return [functional.linear(ready[rotated[p]], weights[p]) for p in parts]

    q, k, v = feed(rms_norm(x, norms[0], shape.eps), (0, 1, 2))
    mixed = attend(shape, q, k, v, begin, int8, dtype, cache)
    x = x + feed(mixed.float(), (3,))[0].float()
    gate, up = feed(rms_norm(x, norms[1], shape.eps), (4, 5))
    return x + feed(functional.silu(gate.float()) * up.float(), (6,))[0].float()


def file_matrices(file):
    return [(name, t) for name, t in file.tensors.items() if t.codec != 0]


def source_rows(source, file, tensor):
    """The source's weights that a tensor of the file stands for: of a table, some rows."""
    name = f"{tensor.name.split('.')[0]}.weight"
    if name not in ("token_embd.weight", "output.weight"):
        return source.dequantize(tensor.name)
    names = file.table_parts(name)
    first = sum(file.tensors[n].rows for n in names[:names.index(tensor.name)])
    return source.table(name)[first:first + tensor.rows]


class Student(nn.Module):
    """The file that is trained. weights() computes its matrices once for several passes."""

    def __init__(self, file, source=None):
        super().__init__()
        self.file = file
        self.tensors = nn.ModuleDict()
        for name, tensor in file.tensors.items():
            kind = matrices.Vector if tensor.codec == 0 else matrices.Matrix
            self.tensors[name.replace(".", "/")] = kind(file, tensor)
        self.tied = "output.weight" not in file.tensors
        if source is not None:
            self.place(source)

    def place(self, source):
        for name, tensor in file_matrices(self.file):
            self.tensor(name).place(torch.from_numpy(source_rows(source, self.file, tensor)))

    def tensor(self, name):
        return self.tensors[name.replace(".", "/")]

    def pieces(self, table):
        """The parts of a table."""
        return [self.tensor(n) for n in self.file.table_parts(f"{table}.weight")]

    def keep_in_range(self):
        for tensor in self.tensors.values():
            tensor.keep_in_range()

    def packed(self):
        return {name: self.tensor(name).packed() for name in self.file.tensors}


class Weights:
    """The weights of a model at one moment, ready for passes in `dtype`."""

    def __init__(self, student, shape, dtype):
        self.int8 = True
        self.layers, self.norms, self.rotated = [], [], []
        for i in range(shape.layers):
            parts = [student.tensor(f"blk.{i}.{p}.weight") for p in PARTS]
            self.layers.append([m().to(dtype) for m in parts])
            self.rotated.append(tuple(m.rotated for m in parts))
            self.norms.append([student.tensor(f"blk.{i}.{n}.weight")()
                               for n in ("attn_norm", "ffn_norm")])
        self.last_norm = student.tensor("output_norm.weight")()
        self.embedding = [(m(), m.rotated) for m in student.pieces("token_embd")]
        self.head = self.embedding if student.tied else [
            (m(), m.rotated) for m in student.pieces("output")]


class SourceWeights:
    """The same for a source, whose weights are plain numbers."""

    def __init__(self, file, shape, device, dtype):
        def matrix(name):
            return torch.from_numpy(file.dequantize(f"{name}.weight")).to(device)

        self.int8 = False
        self.rotated = [(False,) * len(PARTS)] * shape.layers
        self.layers = [[matrix(f"blk.{i}.{p}").to(dtype) for p in PARTS]
                       for i in range(shape.layers)]
        self.norms = [[matrix(f"blk.{i}.{n}").view(-1) for n in ("attn_norm", "ffn_norm")]
                      for i in range(shape.layers)]
        self.last_norm = matrix("output_norm").view(-1)
        self.embedding = [(torch.from_numpy(file.table("token_embd.weight")).to(device), False)]
        self.head = self.embedding
        if "output.weight" in file.tensors:
            self.head = [(torch.from_numpy(file.table("output.weight")).to(device), False)]


def embed(shape, weights, tokens):
    rows, first = None, 0
    for piece, rotated in weights.embedding:
        inside = (tokens >= first) & (tokens < first + len(piece))
        local = torch.where(inside, tokens - first, torch.zeros_like(tokens))
        found = functional.embedding(local, piece)
        if rotated:
            found = rotate(found, shape.rotation.T)
        rows = found if rows is None else torch.where(inside[..., None], found, rows)
        first += len(piece)
    return rows


def heads(shape, weights, x):
    """What the pieces of the head meet: (input, weights) for each, x (tokens, dim) after the norm."""
    ready, met = {}, []
    for piece, rotated in weights.head:
        if rotated not in ready:
            turn = rotate(x, shape.rotation) if rotated else x
            ready[rotated] = Int8.apply(turn) if weights.int8 else turn
        met.append((ready[rotated], piece))
    return met


def hidden(shape, weights, tokens, dtype, run=layer, begin=0, caches=None):
    """The stream after the last norm, (batch, tokens, dim)."""
    x = embed(shape, weights, tokens)
    for i in range(shape.layers):
        cache = () if caches is None else (begin, caches[i])
        x = run(shape, x, weights.norms[i], weights.layers[i], weights.rotated[i], weights.int8,
                dtype, *cache)
    return rms_norm(x, weights.last_norm, shape.eps)


def logits(met):
    return torch.cat([functional.linear(x, w) for x, w in met], -1)


def load(path):
    """A TM2 file of the one architecture known here."""
    file = tm2.TM2File(path)
    tm2.need(file.config["architecture"] == "llama",
             f"{path}: architecture {file.config['architecture']} is not known here")
    tm2.need("rope_freqs.weight" not in file.tensors,
             f"{path}: positions stretched by rope_freqs.weight are not known here")
    return file
