#!/usr/bin/env python3
"""An independent reader of TM2 model files, written from docs/FORMAT.md.

    python3 tools/tm2.py FILE                  header, model, vocabulary, list of tensors
    python3 tools/tm2.py FILE --check          checks every rule and every checksum
    python3 tools/tm2.py FILE --tensor NAME    dequantises one tensor (needs numpy)

As a module:  file = TM2File(path); file.check(); weights = file.dequantize(name)

It favours clarity over speed. Lists and checks need only the standard library.
"""
import argparse
import math
import mmap
import re
import struct
import sys
import zlib
from collections import namedtuple

try:
    import numpy
except ImportError:
    numpy = None

MAGIC = bytes.fromhex("93544d320d0a1a0a")
VERSIONS = {3: 10, 4: 13, 5: 13, 6: 13, 7: 15}  # those that are read, and how many codecs each has
SECTION_NAMES = ["model", "vocab", "template", "weights", "tensors", "manifest"]
HEADER_BYTES, ENTRY_BYTES, TENSOR_BYTES = 64, 40, 128
NONE = 0xFFFFFFFF

Section = namedtuple("Section", "name offset size crc")
Tensor = namedtuple("Tensor", "name rows cols group codec scale_kind rotation offset size crc")
Codec = namedtuple("Codec", "name bits mul bias halved has_offset fives levels",
                   defaults=[False, None])
Plane = namedtuple("Plane", "name offset size")

CODECS = [
    Codec("f32", 32, 1, 0, False, False),
    Codec("s2", 2, 2, -3, True, False),
    Codec("s3", 3, 2, -7, True, False),
    Codec("s4", 4, 2, -15, True, False),
    Codec("o2", 2, 1, 0, False, True),
    Codec("o3", 3, 1, 0, False, True),
    Codec("o4", 4, 1, 0, False, True),
    Codec("z4", 4, 1, -8, False, False),
    Codec("i8", 8, 1, 0, False, False),
    Codec("o8", 8, 1, 0, False, True),
    Codec("b1", 1, 2, -1, False, False),
    Codec("t2", 2, 1, -1, False, False),
    Codec("t1", 1.6, 1, -1, False, False, fives=True),
    Codec("c2", 2, 1, 0, False, False,
          levels=[1, -6, -2, 4, 4, -2, -8, 1, -1, 8, 2, -4, -4, 2, 6, -1]),
    Codec("c3", 3, 1, 0, False, False,
          levels=[-4, -7, 2, 0, 13, 2, -9, -5, 5, 9, -2, -13, 0, -2, 7, 4]),
]
SCALE_KINDS = ["f16", "byte"]
ROTATIONS = ["none", "hadamard64"]
PI_FRACTION = 0x243F6A8885A308D3


class FormatError(ValueError):
    """The file breaks a rule of docs/FORMAT.md."""


class UnsupportedError(FormatError):
    """The file is of another version."""


def need(condition, message):
    if not condition:
        raise FormatError(message)


def aligned(n):
    return (n + 63) // 64 * 64


def ceil_div(a, b):
    return -(-a // b)


def text_of(data, where):
    try:
        text = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: not UTF-8: {error}") from None
    need("\0" not in text, f"{where}: NUL inside text")
    return text


def padded_text(data, where):
    """A NUL-padded field: text, then at least one NUL, then only NUL."""
    data = bytes(data)
    end = data.find(b"\0")
    need(end >= 0 and not any(data[end:]), f"{where}: not NUL-padded")
    return text_of(data[:end], where)


def planes_of(tensor):
    """The planes of a quantised tensor, with offsets from the start of its data."""
    codec = CODECS[tensor.codec]
    tiles, blocks = ceil_div(tensor.rows, 16), ceil_div(tensor.cols, 32)
    groups = ceil_div(tensor.cols, tensor.group) if tensor.group else 1
    byte_scales = tensor.scale_kind == 1
    scale_bytes = tiles * groups * 16 * (1 if byte_scales else 2)
    tile_vectors = ceil_div(8 * blocks, 5) if codec.fives else blocks * codec.bits
    sizes = [("codes", tiles * tile_vectors * 64), ("scales", scale_bytes)]
    if codec.has_offset:
        sizes.append(("offsets", scale_bytes))
    if byte_scales:
        sizes.append(("refs", tiles * 16 * 2))
        if codec.has_offset:
            sizes.append(("orefs", tiles * 16 * 2))
    planes, at = [], 0
    for name, size in sizes:
        planes.append(Plane(name, at, size))
        at += aligned(size)
    return {plane.name: plane for plane in planes}, at


class Packed:
    """The numbers and bytes of section vocab, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        value = 0
        for shift in range(0, 35, 7):
            need(self.at < len(self.data), "section vocab: ends too early")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                need(value < 1 << 32 and (byte or not shift), "section vocab: form of a number")
                return value
        raise FormatError("section vocab: form of a number")

    def bytes(self, n):
        need(n <= len(self.data) - self.at, "section vocab: ends too early")
        self.at += n
        return self.data[self.at - n:self.at]


class TM2File:
    """A TM2 file. Opening checks structure and small sections; check() checks all the rest."""

    def __init__(self, path):
        with open(path, "rb") as stream:
            try:
                self.data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError:
                raise FormatError("the file is empty") from None
        self._read_header()
        self._read_table()
        self._read_model()
        self._read_vocab()
        self.template = self._read_text("template")
        self.manifest = self._read_text("manifest")
        self._read_directory()

    # -- structure ---------------------------------------------------------------------------

    def _read_header(self):
        data = self.data
        need(data[:8] == MAGIC, "header, magic: not a TM2 file, or damaged")
        need(len(data) >= HEADER_BYTES, "header: cut off")
        (self.header_crc,) = struct.unpack_from("<I", data, 60)
        need(zlib.crc32(data[:60]) == self.header_crc, "header: wrong checksum")
        self.version, count, size, self.table_crc = struct.unpack_from("<IIQI", data, 8)
        if self.version not in VERSIONS:
            raise UnsupportedError(
                f"the file has TM2 version {self.version}, this program reads versions "
                f"{min(VERSIONS)} to {max(VERSIONS)}: make it again with 'edgellm quantize'")
        need(size == len(data), f"header: file size should be {size}, is {len(data)}")
        need(count == len(SECTION_NAMES), f"header: {count} sections")
        need(not any(data[28:60]), "header: reserved bytes")

    def _read_table(self):
        data = self.data
        table_end = HEADER_BYTES + ENTRY_BYTES * len(SECTION_NAMES)
        need(zlib.crc32(data[HEADER_BYTES:table_end]) == self.table_crc,
             "section table: wrong checksum")
        self.sections, end = {}, table_end
        for i, name in enumerate(SECTION_NAMES):
            kind, crc, offset, size, raw = struct.unpack_from(
                "<IIQQ16s", data, HEADER_BYTES + ENTRY_BYTES * i)
            need(kind == i + 1 and padded_text(raw, "section name") == name,
                 f"section table, entry {i}: not {name}")
            need(offset == aligned(end) and offset + size <= len(data),
                 f"section {name}: bad offset {offset} or size {size}")
            end = offset + size
            found = 0 if name == "weights" else zlib.crc32(data[offset:end])
            need(found == crc, f"section {name}, offset {offset}: wrong checksum")
            self.sections[name] = Section(name, offset, size, crc)
        need(end == len(data), "section table: bytes after the last section")

    def section(self, name):
        s = self.sections[name]
        return self.data[s.offset:s.offset + s.size]

    def _read_text(self, name):
        data = self.section(name)
        need(len(data) > 0 and data[-1] == 0, f"section {name}: no NUL at its end")
        return text_of(data[:-1], f"section {name}")

    # -- small sections ----------------------------------------------------------------------

    def _read_model(self):
        data = self.section("model")
        sizes = {5: [192], 6: [208], 7: [164, 192, 208]}.get(self.version, [164])
        need(len(data) in sizes, f"section model: size is not {' or '.join(map(str, sizes))}")
        names = ["layers", "dim", "ffn_dim", "heads", "kv_heads", "head_dim", "rotary_dim",
                 "vocab", "context", "rope_base", "norm_eps"]
        c = dict(zip(names, struct.unpack_from("<9I2f", data, 120)))
        c["architecture"] = padded_text(data[:24], "architecture")
        c["name"] = padded_text(data[24:120], "name")
        limits = {"layers": 1024, "dim": 65536, "ffn_dim": 1 << 20, "heads": 65536,
                  "kv_heads": 65536, "head_dim": 65536, "vocab": 1 << 21, "context": 1 << 28}
        for name, limit in limits.items():
            need(1 <= c[name] <= limit, f"section model: {name} is {c[name]}")
        need(c["heads"] % c["kv_heads"] == 0, "section model: heads, kv_heads")
        need(c["heads"] * c["head_dim"] <= 1 << 20, "section model: heads, head_dim")
        need(c["rotary_dim"] <= c["head_dim"] and c["rotary_dim"] % 2 == 0,
             "section model: rotary_dim")
        for name in ("rope_base", "norm_eps"):
            need(0 < c[name] <= 1e30, f"section model: {name} is {c[name]}")
        more = ["window", "pattern", "local_rope_base", "rope_factor", "attention_scale",
                "attention_cap", "logit_cap"]
        values = struct.unpack_from("<2I5f", data, 164) if len(data) >= 192 else [0] * 7
        c.update(zip(more, values))
        stretch = ["rope_context", "rope_gain", "yarn_fast", "yarn_slow"]
        values = struct.unpack_from("<I3f", data, 192) if len(data) >= 208 else [0] * 4
        c.update(zip(stretch, values))
        need(c["window"] <= 1 << 28 and c["pattern"] <= 1024, "section model: window, pattern")
        need((c["window"] == 0) == (c["pattern"] == 0), "section model: window without pattern")
        need(c["rope_context"] <= 1 << 28, "section model: rope_context")
        if c["yarn_fast"] or c["yarn_slow"]:
            need(0 < c["yarn_slow"] < c["yarn_fast"] and c["rope_context"] and c["rope_factor"]
                 and c["rope_base"] > 1, "section model: yarn")
        for name in more[2:] + stretch[1:]:
            need(0 <= c[name] <= 1e30, f"section model: {name} is {c[name]}")
        need(c["architecture"], "section model: no architecture")
        self.config = c

    def _read_vocab(self):
        data = self.section("vocab")
        need(len(data) >= 64, "section vocab: too small")
        names = ["n_tokens", "n_merges", "n_bytes", "bos", "eos", "unk", "pad"]
        v = dict(zip(names, struct.unpack_from("<7I", data, 0)))
        n, merges, n_bytes = v["n_tokens"], v["n_merges"], v["n_bytes"]
        need(n == self.config["vocab"], "section vocab: n_tokens differs from section model")
        need(data[28] <= 1 and (not data[28] or v["bos"] != NONE), "section vocab: add_bos")
        need(not any(data[29:32]) and not any(data[50:52]) and not any(data[56:64]),
             "section vocab: reserved bytes")
        v["add_bos"] = bool(data[28])
        v["pretokenizer"] = padded_text(data[32:48], "pre-tokeniser")
        ranked = self.version >= 5 and v["pretokenizer"] in ("spm", "unigram")
        need(data[48] <= 4 * ranked, "section vocab: space_first")
        v["space_first"] = data[48]
        need(data[49] <= (not ranked), "section vocab: nfc")
        v["nfc"] = data[49]
        need(not (ranked and merges), "section vocab: ranks and merges")
        need(v["pretokenizer"], "section vocab: no pre-tokeniser")
        for name in ("bos", "eos", "unk", "pad"):
            need(v[name] < n or v[name] == NONE, f"section vocab: {name} is {v[name]}")
        need(n_bytes <= 1 << 26, "section vocab: n_bytes")
        packed = Packed(bytes(data[64:]))
        v["merges"] = [(packed.number(), packed.number()) for _ in range(merges)]
        need(all(i < n for pair in v["merges"] for i in pair), "section vocab: merges")
        v["tokens"], v["types"] = self._unpack_tokens(packed, v["merges"], n)
        need(sum(map(len, v["tokens"])) == n_bytes, "section vocab: n_bytes")
        v["ranks"] = self._unpack_ranks(packed, n) if ranked else None
        v["flags"] = self._unpack_flags(packed, struct.unpack_from("<I", data, 52)[0], v["types"])
        need(packed.at == len(packed.data), "section vocab: bytes after the last token")
        self.vocab = v

    @staticmethod
    def _unpack_ranks(packed, n):
        ranks = []
        while len(ranks) < n:
            first, count = packed.number(), packed.number()
            need(0 < count <= n - len(ranks), "section vocab: length of a run of ranks")
            need(first + count - 1 < 1 << 32, "section vocab: rank")
            ranks += range(first, first + count)
        return ranks

    @staticmethod
    def _unpack_flags(packed, count, types):
        """{id: flags} of the tokens that have any."""
        flags, at = {}, 0
        for _ in range(count):
            at += packed.number()
            need(at < len(types) and types[at] in (2, 3, 4), "section vocab: token with flags")
            flags[at] = packed.number()
            need(0 < flags[at] < 16, "section vocab: flags")
            at += 1
        return flags

    @staticmethod
    def _unpack_tokens(packed, merges, n):
        tokens, types, at = [], [], 0
        while len(tokens) < n:
            kind, skipped, joined, spelled = (packed.number() for _ in range(4))
            need(1 <= kind <= 6, "section vocab: types")
            need(0 < joined + spelled <= n - len(tokens), "section vocab: length of a run")
            need(skipped + joined <= len(merges) - at, "section vocab: merges of a run")
            at += skipped
            for left, right in merges[at:at + joined]:
                need(max(left, right) < len(tokens), "section vocab: token joined too early")
                tokens.append(tokens[left] + tokens[right])
            at += joined
            tokens += [packed.bytes(packed.number()) for _ in range(spelled)]
            types += [kind] * (joined + spelled)
        return tokens, bytes(types)

    # -- tensors -----------------------------------------------------------------------------

    def _read_directory(self):
        data = self.section("tensors")
        need(len(data) % TENSOR_BYTES == 0 and len(data) // TENSOR_BYTES <= 65536,
             "section tensors: size")
        self.tensors = {}
        last = ""
        for at in range(0, len(data), TENSOR_BYTES):
            entry = data[at:at + TENSOR_BYTES]
            name = padded_text(entry[:64], "tensor name")
            rows, cols, group, codec, kind, rotation, zero, offset, size, crc = struct.unpack_from(
                "<IIIBBBBQQI", entry, 64)
            need(re.fullmatch(r"[!-~]{1,63}", name), f"tensor '{name}': bad name")
            need(last < name, f"tensor '{name}': out of order")
            need(zero == 0 and not any(entry[100:]), f"tensor '{name}': reserved bytes")
            tensor = Tensor(name, rows, cols, group, codec, kind, rotation, offset, size, crc)
            self._check_shape(tensor)
            need(codec < VERSIONS[self.version],
                 f"tensor '{name}': codec {CODECS[codec].name} is not in version {self.version}")
            self.tensors[name] = tensor
            last = name
        self._check_places()

    @staticmethod
    def _check_shape(t):
        where = f"tensor '{t.name}'"
        need(1 <= t.rows <= 1 << 24 and 1 <= t.cols <= 1 << 24, f"{where}: shape")
        need(t.codec < len(CODECS) and t.scale_kind < len(SCALE_KINDS), f"{where}: codec or scales")
        need(t.group in (0, 32, 64, 128), f"{where}: group {t.group}")
        need(t.rotation < len(ROTATIONS), f"{where}: rotation {t.rotation}")
        need(t.rotation == 0 or (t.codec != 0 and t.cols % 64 == 0), f"{where}: cannot be rotated")
        if t.codec == 0:
            need(t.group == 0 and t.scale_kind == 0, f"{where}: f32 has no groups or scales")
            need(t.size == 4 * t.rows * t.cols, f"{where}: size")
        else:
            need(t.size == planes_of(t)[1], f"{where}: size")

    def _check_places(self):
        w = self.sections["weights"]
        self.order = sorted(self.tensors.values(), key=lambda t: t.offset)
        end = w.offset
        for t in self.order:
            need(t.offset == aligned(end), f"tensor '{t.name}': overlap or gap at {t.offset}")
            end = t.offset + t.size
        need(end == w.offset + w.size, "section weights: bytes that belong to no tensor")

    def bytes_of(self, tensor):
        return self.data[tensor.offset:tensor.offset + tensor.size]

    # -- checks of everything ----------------------------------------------------------------

    def check(self):
        """Every rule that opening does not check. Raises FormatError."""
        end = HEADER_BYTES + ENTRY_BYTES * len(SECTION_NAMES)
        for s in self.sections.values():
            need(not any(self.data[end:s.offset]), f"padding before section {s.name} is not 0")
            end = s.offset + s.size
        end = self.sections["weights"].offset
        for t in self.order:
            need(not any(self.data[end:t.offset]), f"padding before tensor '{t.name}' is not 0")
            end = t.offset + t.size
            self._check_tensor(t)

    def _check_tensor(self, t):
        data = self.bytes_of(t)
        need(zlib.crc32(data) == t.crc, f"tensor '{t.name}', offset {t.offset}: wrong checksum")
        if t.codec == 0:
            floats = struct.unpack(f"<{t.rows * t.cols}f", data)
            need(all(map(math.isfinite, floats)), f"tensor '{t.name}': NaN or infinity")
            return
        planes, total = planes_of(t)
        halves = ["refs", "orefs"] if t.scale_kind == 1 else ["scales", "offsets"]
        for name in halves:
            if name in planes:
                words = self._plane(t, planes[name]).cast("H")
                need(not any(h & 0x7C00 == 0x7C00 for h in words),
                     f"tensor '{t.name}', {name}: NaN or infinity")
        self._check_codes(t, bytes(self._plane(t, planes["codes"])))
        self._check_padded_rows(t, planes)
        ends = [p.offset for p in planes.values()][1:] + [total]
        for plane, end in zip(planes.values(), ends):
            need(not any(data[plane.offset + plane.size:end]),
                 f"tensor '{t.name}': padding after {plane.name} is not 0")

    @staticmethod
    def _check_codes(t, codes):
        codec, used = CODECS[t.codec], set(codes)
        if codec.bits == 8:
            need(0x80 not in used, f"tensor '{t.name}': a code is -128")
        if codec.name == "t2":
            need(not any(byte & byte >> 1 & 0x55 for byte in used), f"tensor '{t.name}': a code is 3")
        if codec.fives:
            need(used <= {ceil_div(value * 256, 243) for value in range(243)},
                 f"tensor '{t.name}': a byte that no five codes make")

    def _plane(self, t, plane):
        return self.bytes_of(t)[plane.offset:plane.offset + plane.size]

    def _check_padded_rows(self, t, planes):
        tiles = ceil_div(t.rows, 16)
        groups = ceil_div(t.cols, t.group) if t.group else 1
        message = f"tensor '{t.name}': a padded row has a scale or offset"
        for values, reference, nothing in (("scales", "refs", 255), ("offsets", "orefs", 0)):
            if values not in planes:
                continue
            is_byte = t.scale_kind == 1
            plane = self._plane(t, planes[values]).cast("B" if is_byte else "H")
            refs = self._plane(t, planes[reference]).cast("H") if is_byte else None
            for row in range(t.rows, tiles * 16):
                for g in range(groups):
                    entry = plane[((row // 16) * groups + g) * 16 + row % 16]
                    if is_byte:
                        need(entry == nothing or refs[row] & 0x7FFF == 0, message)
                    else:
                        need(entry & 0x7FFF == 0, message)

    # -- values ------------------------------------------------------------------------------

    def dequantize(self, name):
        """The weights that a tensor stands for: a float32 array of shape (rows, cols)."""
        stored = self.stored(name)
        return rotated_back(stored) if self.tensors[name].rotation else stored

    def table(self, name):
        """The weights of a table (vocab, dim), which may be cut in parts (section 7)."""
        names = self.table_parts(name)
        if len(names) == 1:
            return self.dequantize(name)
        parts = [self.tensors[n] for n in names]
        for part in parts:
            need(part.rows >= 16 and (part is parts[-1] or part.rows % 16 == 0),
                 f"tensor '{part.name}' has {part.rows} rows, as part of a table")
        need(len({part.cols for part in parts}) == 1 and
             sum(part.rows for part in parts) == self.config["vocab"],
             f"the parts of '{name}' do not make a table")
        return numpy.concatenate([self.dequantize(n) for n in names])

    def table_parts(self, name):
        """The names of the tensors that make up a table, from the first row on."""
        names = [name] + [name.replace(".weight", f".{n}.weight") for n in ("rest", "last")]
        there = [n for n in names if n in self.tensors]
        need(there and there == names[:len(there)],
             f"a table has {there}; each part needs the one before it")
        return there

    def stored(self, name):
        """The same before a rotation is undone."""
        if numpy is None:
            raise RuntimeError("dequantising needs numpy")
        t = self.tensors[name]
        if t.codec == 0:
            return numpy.frombuffer(self.bytes_of(t), "<f4").reshape(t.rows, t.cols).copy()
        codec, (planes, _) = CODECS[t.codec], planes_of(t)
        codes = self._codes(t, codec, planes)
        scale, offset = self._scales(t, codec, planes)
        group_of = numpy.arange(t.cols) // (t.group or t.cols)
        if codec.levels:
            level = chained_levels(codes, codec)[:t.rows].astype(numpy.float32)
        else:
            level = (codes * codec.mul + codec.bias).astype(numpy.float32)
        weights = scale[:, group_of] * level
        if codec.has_offset:
            weights = weights + offset[:, group_of]
        return weights

    def _codes(self, t, codec, planes):
        """Integer codes (rows, cols); signed for 8 bits. Of chained codes those of padded rows, too."""
        tiles, blocks = ceil_div(t.rows, 16), ceil_div(t.cols, 32)
        raw = numpy.frombuffer(self._plane(t, planes["codes"]), numpy.uint8)
        if codec.fives:
            return self._fives(raw.reshape(tiles, -1, 64))[:t.rows, :t.cols]
        raw = raw.reshape(tiles, blocks, codec.bits, 64)  # vectors of 64 bytes
        row, col = numpy.arange(16)[:, None], numpy.arange(32)[None, :]

        def field(vectors, bits):  # -> (tiles, blocks, 16, 32)
            quad, lane, share = col // 4, row * 4 + col % 4, 8 // bits
            picked = vectors[:, :, quad // share + 0 * row, lane]
            return picked >> (bits * (quad % share)).astype(numpy.uint8) & ((1 << bits) - 1)

        if codec.bits == 3:
            codes = field(raw[:, :, :2], 2) | field(raw[:, :, 2:], 1) << 2
        else:
            codes = field(raw, codec.bits)
        codes = codes.astype(numpy.int32)
        if codec.bits == 8:
            codes = numpy.where(codes >= 128, codes - 256, codes)
        codes = codes.transpose(0, 2, 1, 3).reshape(tiles * 16, blocks * 32)
        return codes[:, :t.cols] if codec.levels else codes[:t.rows, :t.cols]

    @staticmethod
    def _fives(raw):
        """Codes (padded rows, padded columns) from vectors (tiles, vectors, 64) of five quads each."""
        tiles, vectors, _ = raw.shape
        value = raw.astype(numpy.int32) * 243 // 256
        digits = value[:, :, None, :] // numpy.array([81, 27, 9, 3, 1])[:, None] % 3
        quads = digits.reshape(tiles, vectors * 5, 16, 4)  # tile, quad, row, column
        return quads.transpose(0, 2, 1, 3).reshape(tiles * 16, vectors * 5 * 4)

    def _scales(self, t, codec, planes):
        """ws and m (rows, groups) as float32; m is None without offset."""
        tiles = ceil_div(t.rows, 16)

        def plane(name, kind):
            values = numpy.frombuffer(self._plane(t, planes[name]), kind).astype(numpy.float32)
            by_row = values.reshape(tiles, -1, 16).transpose(0, 2, 1)
            return by_row.reshape(tiles * 16, -1)[:t.rows]

        offset = None
        if t.scale_kind == 0:
            scale = plane("scales", "<f2")
            if codec.has_offset:
                offset = plane("offsets", "<f2")
        else:
            k = plane("scales", numpy.uint8).astype(numpy.int32)
            scale = plane("refs", "<f2") * scale_table()[k]
            if codec.has_offset:
                offset = plane("orefs", "<f2") * plane("offsets", numpy.int8)
        if codec.halved:
            scale = scale * numpy.float32(0.5)
        return scale, offset


def chained_levels(codes, codec):
    """Levels (rows, cols) of chained codes; rows are a multiple of 16."""
    tiles = codes.reshape(-1, 16, codes.shape[1])
    before = numpy.roll(tiles, 1, axis=1)
    if codec.bits == 2:
        index = before * 4 + tiles
    else:
        index = (tiles >> 2) * 8 + (before & 1) * 4 + ((tiles ^ (before >> 1 & 1)) & 3)
    return numpy.array(codec.levels)[index].reshape(codes.shape)


def scale_table():
    """T of section 9. The doubles are far more exact than the rounding to float32 needs."""
    table = [2.0 ** (-k / 32) for k in range(255)] + [0.0]
    return numpy.array(table, numpy.float64).astype(numpy.float32)


def rotated_back(weights):
    """R' of section 10 on every row: Hadamard's matrix, then the signs, in float32."""
    rows, cols = weights.shape
    x = weights.reshape(rows, cols // 64, 64)
    for h in (1, 2, 4, 8, 16, 32):
        pair = x.reshape(rows, cols // 64, 32 // h, 2, h)
        a, b = pair[:, :, :, 0], pair[:, :, :, 1]
        x = numpy.stack([a + b, a - b], axis=3).reshape(rows, cols // 64, 64)
    signs = [-0.125 if PI_FRACTION >> i & 1 else 0.125 for i in range(64)]
    return (x * numpy.array(signs, numpy.float32)).reshape(rows, cols)


def describe(file, path):
    c, v = file.config, file.vocab
    print(f"{path}: TM2 version {file.version}, {len(file.data):,} bytes")
    for s in file.sections.values():
        print(f"  section {s.name:9} offset {s.offset:12,} size {s.size:12,} crc {s.crc:08x}")
    print("  " + " ".join(f"{k}={c[k]}" for k in c))
    special = " ".join(f"{k}={v[k] if v[k] != NONE else 'none'}"
                       for k in ("bos", "eos", "unk", "pad"))
    print(f"  {v['n_tokens']} tokens, {v['n_merges']} merges, {v['pretokenizer']}, {special}, "
          f"add_bos={v['add_bos']}, template of {len(file.template)} characters")
    print(f"  manifest {file.manifest}")
    for t in file.tensors.values():
        scales = "none" if t.codec == 0 else SCALE_KINDS[t.scale_kind]
        print(f"  {t.name:32} ({t.rows}, {t.cols}) {CODECS[t.codec].name} scales={scales} "
              f"group={t.group} rotation={ROTATIONS[t.rotation]} offset={t.offset} size={t.size} crc={t.crc:08x}")


def show_tensor(file, name):
    need(name in file.tensors, f"there is no tensor '{name}'")
    w = file.dequantize(name)
    print(f"{name} {w.shape} {CODECS[file.tensors[name].codec].name} min {w.min():.6g} "
          f"max {w.max():.6g} mean {w.mean(dtype='f8'):.6g} "
          f"crc of float32 {zlib.crc32(w.astype('<f4').tobytes()):08x}")
    print(w)


def main():
    parser = argparse.ArgumentParser(description="Reads TM2 model files (docs/FORMAT.md).")
    parser.add_argument("file")
    parser.add_argument("--tensor", metavar="NAME", help="dequantise and show one tensor")
    parser.add_argument("--check", action="store_true", help="check every rule and checksum")
    options = parser.parse_args()
    try:
        file = TM2File(options.file)
        if options.check:
            file.check()
        if options.tensor:
            show_tensor(file, options.tensor)
        elif not options.check:
            describe(file, options.file)
        if options.check:
            print(f"{options.file}: all checks passed, {len(file.tensors)} tensors")
    except (FormatError, OSError, RuntimeError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
