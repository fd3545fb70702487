"""Writing TM2 files: a copy of one, with other weights of the same shape and codec."""
import os
import struct
import zlib

import numpy
import tm2


def pack_fives(quads):
    """quads (tiles, quads, 64) of codes 0 to 2, five to a byte."""
    tiles, n, _ = quads.shape
    vectors = tm2.ceil_div(n, 5)
    padded = numpy.zeros((tiles, vectors * 5, 64), numpy.int32)
    padded[:, :n] = quads
    weights = numpy.array([81, 27, 9, 3, 1])[:, None]
    sums = (padded.reshape(tiles, vectors, 5, 64) * weights).sum(2)
    return ((sums * 256 + 242) // 243).astype(numpy.uint8).tobytes()


def pack_codes(codes, codec):
    """Integer codes (rows, cols) as the plane of codes of docs/FORMAT.md, section 8."""
    bits, (rows, cols) = codec.bits, codes.shape
    tiles, blocks = tm2.ceil_div(rows, 16), tm2.ceil_div(cols, 32)
    padded = numpy.zeros((tiles * 16, blocks * 32), numpy.uint8)
    padded[:rows, :cols] = codes.astype(numpy.int32) & 255
    quads = padded.reshape(tiles, 16, blocks, 8, 4).transpose(0, 2, 3, 1, 4)
    if codec.fives:
        return pack_fives(quads.reshape(tiles, blocks * 8, 64))
    quads = quads.reshape(tiles, blocks, 8, 64)

    def fields(values, width):
        share = 8 // width
        vectors = values.reshape(tiles, blocks, 8 // share, share, 64)
        out = numpy.zeros((tiles, blocks, 8 // share, 64), numpy.uint8)
        for i in range(share):
            out |= vectors[:, :, :, i] << (width * i)
        return out

    if bits == 3:
        planes = numpy.concatenate([fields(quads & 3, 2), fields(quads >> 2, 1)], axis=2)
    else:
        planes = fields(quads, bits)
    return planes.tobytes()


def by_tile(values, kind, filler):
    """(rows, groups) in the order of scales: tile, group, row of the tile."""
    rows, groups = values.shape
    tiles = tm2.ceil_div(rows, 16)
    padded = numpy.full((tiles * 16, groups), filler, kind)
    padded[:rows] = values
    return padded.reshape(tiles, 16, groups).transpose(0, 2, 1).tobytes()


def pack(tensor, codes, parts):
    """The data of a quantised tensor. parts: name of a plane -> (rows, groups), as it is stored;
    (rows, 1) for refs and orefs."""
    planes, total = tm2.planes_of(tensor)
    data = bytearray(total)
    kinds = {"refs": ("<f2", 0), "orefs": ("<f2", 0)}
    kinds["scales"] = ("u1", 255) if tensor.scale_kind == 1 else ("<f2", 0)
    kinds["offsets"] = ("i1", 0) if tensor.scale_kind == 1 else ("<f2", 0)
    for plane in planes.values():
        if plane.name == "codes":
            raw = pack_codes(codes, tm2.CODECS[tensor.codec])
        else:
            raw = by_tile(parts[plane.name], *kinds[plane.name])
        data[plane.offset:plane.offset + plane.size] = raw
    return bytes(data)


def planes_as_stored(file, tensor):
    """The inverse of pack(): codes, and the parts by name."""
    planes, _ = tm2.planes_of(tensor)
    tiles = tm2.ceil_div(tensor.rows, 16)
    parts = {}
    for plane in planes.values():
        if plane.name == "codes":
            continue
        is_byte = tensor.scale_kind == 1 and plane.name in ("scales", "offsets")
        kind = ("u1" if plane.name == "scales" else "i1") if is_byte else "<f2"
        raw = file.bytes_of(tensor)[plane.offset:plane.offset + plane.size]
        values = numpy.frombuffer(raw, kind).reshape(tiles, -1, 16).transpose(0, 2, 1)
        parts[plane.name] = values.reshape(tiles * 16, -1)[:tensor.rows]
    return file._codes(tensor, tm2.CODECS[tensor.codec], planes), parts


def rewrite(file, path, tensors, manifest):
    """Writes `file` to `path` with other data for some tensors (name -> bytes of the same size) and
    another manifest (text). Under its name the new file is whole or not there at all."""
    last = file.sections["manifest"]
    data = bytearray(file.data[:last.offset]) + manifest.encode() + b"\0"
    directory = file.sections["tensors"]
    for i, (name, tensor) in enumerate(file.tensors.items()):
        if name not in tensors:
            continue
        new = tensors[name]
        tm2.need(len(new) == tensor.size, f"tensor '{name}': {len(new)} bytes are not its size")
        data[tensor.offset:tensor.offset + tensor.size] = new
        struct.pack_into("<I", data, directory.offset + tm2.TENSOR_BYTES * i + 96, zlib.crc32(new))
    seal(data, file.sections)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def seal(data, sections):
    """Sizes and checksums of sections, table and header, after a change of data or manifest."""
    for i, section in enumerate(sections.values()):
        at = tm2.HEADER_BYTES + tm2.ENTRY_BYTES * i
        size = section.size if section.name != "manifest" else len(data) - section.offset
        crc = 0 if section.name == "weights" else zlib.crc32(
            data[section.offset:section.offset + size])
        struct.pack_into("<I", data, at + 4, crc)
        struct.pack_into("<Q", data, at + 16, size)
    table_end = tm2.HEADER_BYTES + tm2.ENTRY_BYTES * len(sections)
    struct.pack_into("<Q", data, 16, len(data))
    struct.pack_into("<I", data, 24, zlib.crc32(data[tm2.HEADER_BYTES:table_end]))
    struct.pack_into("<I", data, 60, zlib.crc32(data[:60]))
